"""Training windows for the speaker encoder: licensed voices, dry and in many simulated rooms, as mel bands.

    python training/voices/rooms.py ../shared/speech WORK/windows.npz

Each window of 1.6 s comes once dry and `--versions` times in a room: another seat or the chair moved back,
another colour and head turn, noise, at times a second voice. Each voice also speaks at other speeds, which
count as voices of their own. Stored are the encoder's log mel bands (float16), the voice, and whether the
window is dry.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import soxr

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from make_cohort import SHORTEST, Rooms

from voice_facilitator.hearing.encoder import RATE, WINDOW_SAMPLES, features

SPEEDS = (1.0, 0.9, 1.1)
SECOND_VOICE = 0.15  # share of the windows


def main() -> None:
    options = arguments()
    sys.path.insert(0, str(options.speech))
    room = Rooms(importlib.import_module("build_session"), options.speech, options.seed, options.rooms)
    rng = np.random.default_rng(options.seed + 1)
    mels, voices, dry_ones, names = [], [], [], []
    before = np.zeros(0, np.float32)
    for bank in room.banks:
        for name in sorted(bank.by):
            for speed in SPEEDS[: options.speeds]:
                windows = []
                for dry, begin in pieces(rng, room, bank, name, speed, options.windows):
                    windows.append(dry[begin : begin + WINDOW_SAMPLES])
                    for _ in range(options.versions):
                        wet = room.in_a_room(dry, begin)
                        if len(before) and rng.random() < SECOND_VOICE:
                            wet = wet + before * np.float32(10 ** (-rng.uniform(3, 15) / 20))
                        windows.append(wet)
                    before = windows[-1]
                if len(windows) < 4 * (1 + options.versions):
                    continue
                mels.append(features(np.stack(windows).astype(np.float32)).astype(np.float16))
                dry_ones.append(np.arange(len(windows)) % (1 + options.versions) == 0)
                voices.append(np.full(len(windows), len(names)))
                names.append(name if speed == 1 else f"{name}@{speed}")
        print(f"{len(names)} voices", flush=True)
    np.savez(
        options.out, mel=np.concatenate(mels), voice=np.concatenate(voices), dry=np.concatenate(dry_ones),
        names=np.array(names),
    )  # fmt: skip


def pieces(rng, room, bank, name, speed, wanted):
    """Up to `wanted` windows of a voice: the recording at this speed, and where the window begins."""
    utterances = [u for u in bank.by[name] if u["dur"] >= SHORTEST * speed]
    found = 0
    for turn in range(3 * wanted):
        if not utterances or found == wanted:
            return
        utterance = utterances[turn % len(utterances)]
        begin = rng.uniform(0, utterance["dur"] - 1.6 * speed)
        spoken = sum(max(0, min(begin + 1.6 * speed, e) - max(begin, s)) for s, e in utterance["vad"])
        if spoken < 1.1 * speed:
            continue
        sound = bank.colour(bank.audio(utterance), utterance["source"])
        if speed != 1:
            sound = soxr.resample(sound, RATE * speed, RATE)
        at = min(round(begin / speed * RATE), len(sound) - WINDOW_SAMPLES)
        if at >= 0:
            found += 1
            yield sound, at


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="folder with dev.json, more_voices.json and the recordings")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rooms", type=int, default=300)
    parser.add_argument("--windows", type=int, default=10, help="of each voice and speed")
    parser.add_argument("--versions", type=int, default=3, help="of each window, in rooms")
    parser.add_argument("--speeds", type=int, default=3, choices=range(1, 4))
    parser.add_argument("--seed", type=int, default=21)
    return parser.parse_args()


if __name__ == "__main__":
    main()
