"""Build `models/cohort-campplus.npz`: some windows of many licensed voices in simulated rooms, encoded.

    python -m training.voices.make_cohort ../shared/speech

Needs numpy, scipy, soundfile and pyroomacoustics (`pip install -r ../shared/speech/requirements.txt`) beside
this package; nothing of it is needed at run time. The same arguments give the same bytes on one machine.
What is stored is no audio: 192 numbers for 1.6 s of speech, with the name that the corpus gives the speaker.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices: two threads only wait for each other

import numpy as np

from benchmarks import corpus
from voice_facilitator.hearing.sound.samples import RATE
from voice_facilitator.hearing.who.encoder import WINDOW_SAMPLES, CampplusEncoder
from voice_facilitator.models import file_hash, load_manifest

ROOMS = 24
LISTS = ("dev.json", "more_voices.json")
SHORTEST = 1.7  # seconds of an utterance
SPEECH_SHARE = 0.75  # of a window


def main() -> None:
    options = arguments()
    room = Rooms(corpus.script(options.speech, "build_session"), options.speech, options.seed)
    weights = options.encoder or load_manifest().find(options.model).path()
    encoder = CampplusEncoder.load(weights, name=options.model)
    names: list[str] = []
    voices: list[int] = []
    rows: list[np.ndarray] = []
    for bank in room.banks:
        for name in sorted(bank.by):
            windows = room.windows(bank, name, options.windows)
            if not windows:
                continue
            rows.append(encoder.encode(np.stack(windows))[:, 0])
            voices += [len(names)] * len(windows)
            names.append(name)
    arrays = {
        "embeddings": np.concatenate(rows).astype(np.float16),
        "voice": np.array(voices, np.int16),
        "names": np.array(names),
    }
    options.out.write_bytes(npz_bytes(arrays))
    print(f"cohort_sha256 in models/manifest.toml: {file_hash(options.out)}")
    size = options.out.stat().st_size / 1e6
    print(f"{len(names)} voices, {len(voices)} windows, {size:.2f} MB in {options.out}")


class Rooms:
    """Simulated rooms and what is said in them, by the corpus's own session builder."""

    def __init__(self, builder: Any, speech: Path, seed: int, rooms: int = ROOMS) -> None:
        self._b = builder
        self._rng = np.random.default_rng(seed)
        self.banks = [builder.Bank(json.loads((speech / name).read_text())) for name in LISTS]
        self._responses = []
        for _ in range(rooms):
            room = builder.make_room(self._rng, 8)
            self._responses += builder.rirs(self._rng, room, [*room["seats"], room["far"]])
        self._noises = [builder.background(self._rng, RATE * 40, 50.0) for _ in range(6)]

    def windows(self, bank: Any, name: str, wanted: int) -> list[np.ndarray]:
        """Up to `wanted` windows of a voice, spread over its utterances, each in another room."""
        found: list[np.ndarray] = []
        utterances = [u for u in bank.by[name] if u["dur"] >= SHORTEST]
        self._rng.shuffle(utterances)
        for turn in range(3 * wanted):
            if not utterances or len(found) == wanted:
                break
            utterance = utterances[turn % len(utterances)]
            begin = self._rng.uniform(0, utterance["dur"] - WINDOW_SAMPLES / RATE)
            spoken = sum(max(0, min(begin + 1.6, e) - max(begin, s)) for s, e in utterance["vad"])
            if spoken < SPEECH_SHARE * WINDOW_SAMPLES / RATE:
                continue
            dry = bank.colour(bank.audio(utterance), utterance["source"])
            found.append(self.in_a_room(dry, round(begin * RATE)))
        return found

    def in_a_room(self, dry: np.ndarray, begin: int) -> np.ndarray:
        """The window that begins at sample `begin`, from one of the seats, coloured, with noise."""
        b, rng = self._b, self._rng
        lead = min(begin, RATE // 2)  # reverberation of what was said just before
        dry = dry[begin - lead : begin + WINDOW_SAMPLES]
        away = rng.beta(1.2, 2.5)  # head turned from the microphone: treble is lost
        bands = np.array([0, 150, 400, 1000, 2500, 5000, RATE / 2])
        gains = np.clip(rng.normal(0, 2, 7), -6, 6) - 9 * away * np.array([0, 0, 0.05, 0.2, 0.5, 0.85, 1])
        coloured = b.fftconvolve(dry, b.firwin2(129, bands, b.db(gains), fs=RATE))[64 : 64 + len(dry)]
        response = self._responses[int(rng.integers(len(self._responses)))]
        delay = int(np.argmax(np.abs(response)))
        wet = b.fftconvolve(coloured, response)[delay : delay + len(dry)][lead : lead + WINDOW_SAMPLES]
        wet = np.pad(wet, (0, WINDOW_SAMPLES - len(wet)))
        noise = self._noises[int(rng.integers(len(self._noises)))]
        at = int(rng.integers(len(noise) - WINDOW_SAMPLES))
        noise = noise[at : at + WINDOW_SAMPLES]
        level = np.sqrt(np.mean(wet**2)) + 1e-9
        noise = noise / (np.sqrt(np.mean(noise**2)) + 1e-9) * level * b.db(-rng.uniform(8, 26))
        return (wet + noise).astype(np.float32)


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A compressed .npz archive of these arrays, without the time of day that np.savez writes into it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, arrays[name], version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # else it tells Windows from the rest
            archive.writestr(entry, member.getvalue())
    return out.getvalue()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="folder with dev.json, more_voices.json and the recordings")
    parser.add_argument("--model", default="campplus", help="name in the manifest")
    parser.add_argument("--encoder", type=Path, help="weight file, if not the one the manifest names")
    parser.add_argument("--out", type=Path, default=Path("models/cohort-campplus.npz"))
    parser.add_argument("--windows", type=int, default=4, help="of each voice")
    parser.add_argument("--seed", type=int, default=11)
    return parser.parse_args()


if __name__ == "__main__":
    main()
