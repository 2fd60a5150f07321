"""Step 2: features and labels. Every utterance is aligned with its words, then heard in several rooms.

    python training/commands/sound.py WORK/speech.jsonl WORK/train.npz --part train --copies 3

The aligner is a command model of the same kind (`--aligner`, by default the one in models/): each version
labels the speech for the next. `--without` names folders of noise that are kept for the benchmark.
"""

from __future__ import annotations

import argparse
import json
from math import gcd
from pathlib import Path

import kaldi_native_fbank
import numpy as np
import pyroomacoustics
import soundfile
from kaldi import Layer, read_network
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt
from vocabulary import PDF, SILENCE, in_accents, pronunciations

RATE = 16_000
CEPSTRA = 40
STEP = 3  # frames of 10 ms to one output of the network
GAP = 0.4  # seconds between recordings that belong to one text
SPEEDS = ((1, 1), (1, 1), (10, 9), (10, 11), (20, 19), (20, 21), (20, 17), (20, 23))
MFCC_CONF = (
    f"--use-energy=false\n--num-mel-bins={CEPSTRA}\n--num-ceps={CEPSTRA}\n--low-freq=40\n--high-freq=-400\n"
    "--sample-frequency=16000\n--dither=0\n"
)


def mfcc(sound: np.ndarray) -> np.ndarray:
    """float32 (frames, CEPSTRA) of float sound in -1..1, as Kaldi computes it with MFCC_CONF."""
    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = RATE
    options.mel_opts.num_bins = CEPSTRA
    options.mel_opts.low_freq = 40
    options.mel_opts.high_freq = -400
    options.num_ceps = CEPSTRA
    options.use_energy = False
    computer = kaldi_native_fbank.OnlineMfcc(options)
    computer.accept_waveform(RATE, (np.clip(sound, -1, 1) * 32767).astype(np.float32))
    computer.input_finished()
    frames = [computer.get_frame(k) for k in range(computer.num_frames_ready)]
    return np.stack(frames) if frames else np.zeros((0, CEPSTRA), np.float32)


def load(path: Path) -> np.ndarray:
    """Mono float32 at 16 kHz, its peak at 0.6."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(1)
    if rate != RATE:
        common = gcd(rate, RATE)
        mono = resample_poly(mono, RATE // common, rate // common)
    return (mono / (np.abs(mono).max() + 1e-9) * 0.6).astype(np.float32)


def joined(paths: list[str]) -> np.ndarray:
    """One or several recordings, with GAP seconds of silence between."""
    gap = np.zeros(int(GAP * RATE), np.float32)
    return np.concatenate([part for path in paths for part in (load(Path(path)), gap)][:-1])


# ---- alignment


def scores(layers: list[Layer], features: np.ndarray) -> np.ndarray:
    """The network's log probabilities, float32 (frames / STEP, pdfs)."""
    reach = sum(max(layer.offsets) for layer in layers)
    x, step = np.concatenate([features[:1].repeat(reach, 0), features, features[-1:].repeat(reach, 0)]), 1
    for number, layer in enumerate(layers):
        offsets = [offset // step for offset in layer.offsets]
        far = max(offsets)
        length = len(x) - 2 * far
        x = np.concatenate([x[far + offset : far + offset + length] for offset in offsets], 1)
        x = x @ layer.weights.T + layer.bias
        if number < len(layers) - 1:
            x = np.maximum(x, 0)
        if number == 1:
            x, step = x[::STEP], STEP
    return np.asarray(x - np.logaddexp.reduce(x, 1, keepdims=True))


def chain(text: str) -> tuple[list[int], list[list[int]], list[int]]:
    """Phones of a text as states: their pdfs, the states before each (-1: the start), and the last ones."""
    pdfs: list[int] = [PDF[SILENCE]]
    before: list[list[int]] = [[-1]]
    ends = [-1, 0]
    for word in text.split():
        after: list[int] = []
        for phones in in_accents(word):
            previous = ends
            for phone in phones:
                pdfs.append(PDF[phone])
                before.append(list(previous))
                previous = [len(pdfs) - 1]
            after += previous
        pdfs.append(PDF[SILENCE])
        before.append(list(after))
        ends = [*after, len(pdfs) - 1]
    return pdfs, before, ends


def align(log_probabilities: np.ndarray, text: str) -> tuple[np.ndarray, float] | None:
    """The pdf of each row, int16, and the mean score of a row; None if the text cannot fit."""
    if not text or any(not pronunciations(word) for word in text.split()):
        return None
    pdfs, before, ends = chain(text)
    width = max(len(each) for each in before) + 1
    table = np.full((len(pdfs), width), -2)
    for state, previous in enumerate(before):
        table[state, 0] = state
        table[state, 1 : 1 + len(previous)] = previous
    # two columns stand behind the states: never (-2) and the start (-1)
    best = np.full(len(pdfs) + 2, -np.inf)
    best[-1] = 0.0
    emitted = log_probabilities[:, pdfs]
    back = np.zeros(emitted.shape, np.int32)
    rows = np.arange(len(pdfs))
    for frame in range(len(emitted)):
        choices = best[table]
        choice = choices.argmax(1)
        back[frame] = table[rows, choice]
        best[:-2] = choices[rows, choice] + emitted[frame]
        best[-2:] = -np.inf
    last = [state for state in ends if state >= 0]
    state = last[int(np.argmax(best[last]))]
    total = best[state]
    if not np.isfinite(total):
        return None
    path = np.zeros(len(emitted), np.int16)
    for frame in range(len(emitted) - 1, -1, -1):
        path[frame] = pdfs[state]
        state = back[frame, state]
    return path, float(total / len(emitted))


# ---- rooms and noise


class Rooms:
    """Makes a dry recording sound as from a seat in a room: echo, colour, noise, other people, level."""

    def __init__(
        self, rng: np.random.Generator, noises: list[np.ndarray], talk: list[np.ndarray], rooms: int
    ) -> None:
        self.rng, self.recorded, self.talk = rng, noises, talk
        self.echoes = [self._echo() for _ in range(rooms)]
        self.noises = [self._noise(20 * RATE) for _ in range(60)]

    def _echo(self) -> np.ndarray:
        rng = self.rng
        size = [rng.uniform(3, 9), rng.uniform(3, 8), rng.uniform(2.4, 3.5)]
        absorption, order = pyroomacoustics.inverse_sabine(rng.uniform(0.2, 0.7), size)
        room = pyroomacoustics.ShoeBox(
            size, fs=RATE, materials=pyroomacoustics.Material(absorption), max_order=min(order, 14)
        )
        microphone = np.array(
            [rng.uniform(0.8, size[0] - 0.8), rng.uniform(0.8, size[1] - 0.8), rng.uniform(0.7, 1.1)]
        )
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 3.2)
        seat = microphone + np.array([far * np.cos(angle), far * np.sin(angle), rng.uniform(0.1, 0.6)])
        seat = np.clip(seat, 0.2, np.array(size) - 0.2)
        room.add_source(seat)
        room.add_microphone(microphone)
        room.compute_rir()
        echo = room.rir[0][0]
        echo = echo[max(0, int(np.abs(echo).argmax()) - 20) :]
        return (echo / np.abs(echo).max()).astype(np.float32)

    def noise(self, samples: int) -> np.ndarray:
        """Coloured noise or a recorded one, float32, of standard deviation 1 on average."""
        kept = self.noises[self.rng.integers(len(self.noises))]
        return np.take(kept, np.arange(samples) + self.rng.integers(len(kept)), mode="wrap")

    def _noise(self, samples: int) -> np.ndarray:
        rng = self.rng
        if self.recorded and rng.random() < 0.35:
            made = np.resize(self.recorded[rng.integers(len(self.recorded))], samples)
        else:
            spectrum = np.fft.rfft(rng.standard_normal(samples))
            bins = np.arange(len(spectrum))
            spectrum /= np.maximum(bins, 20) ** rng.choice([0.0, 0.5, 1.0])
            if rng.random() < 0.25:
                centre, width = rng.integers(len(bins)), len(bins) * rng.uniform(0.02, 0.3)
                spectrum *= np.exp(-0.5 * ((bins - centre) / width) ** 2)
            made = np.fft.irfft(spectrum, samples)
        return np.asarray(made / (made.std() + 1e-9), np.float32)

    def hear(self, sound: np.ndarray) -> np.ndarray:
        rng = self.rng
        response = np.ones(1, np.float32)
        if rng.random() < 0.75:
            response = self.echoes[rng.integers(len(self.echoes))]
        if rng.random() < 0.4:  # the colour of a voice, a microphone, a place
            gains = np.interp(np.linspace(0, 1, 65), np.linspace(0, 1, 8), rng.uniform(-8, 8, 8))
            response = fftconvolve(response, np.roll(np.fft.irfft(10 ** (gains / 20)), 64).astype(np.float32))
        heard = fftconvolve(sound, response)[: len(sound)]
        if rng.random() < 0.15:
            heard = sosfilt(butter(6, rng.uniform(3400, 7000), "low", fs=RATE, output="sos"), heard)
        loud = heard.std() + 1e-9
        if rng.random() < 0.85:
            heard = heard + self.noise(len(heard)) * loud * 10 ** (-rng.uniform(5, 30) / 20)
        if self.talk and rng.random() < 0.25:
            voices = [
                np.resize(self.talk[rng.integers(len(self.talk))], len(heard))
                for _ in range(rng.integers(1, 5))
            ]
            murmur = np.sum(voices, 0)
            heard = heard + murmur / (murmur.std() + 1e-9) * loud * 10 ** (-rng.uniform(8, 25) / 20)
        return np.asarray(
            heard / (np.abs(heard).max() + 1e-9) * 10 ** (rng.uniform(-26, -1) / 20), np.float32
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="WORK/speech.jsonl")
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", choices=("train", "held-out"), default="train")
    parser.add_argument("--copies", type=int, default=3, help="rooms that each utterance is heard in")
    parser.add_argument("--rooms", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=Path, default=Path("../shared/speech/noise"))
    parser.add_argument("--without", nargs="*", default=["rain"], help="folders of noise not to be heard")
    parser.add_argument("--aligner", type=Path, default=Path("models/commands-en"))
    parser.add_argument(
        "--worst", type=float, default=-2.2, help="mean log probability below which labels are left out"
    )
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    layers = read_network(options.aligner / "am" / "final.mdl")
    items = [json.loads(line) for line in options.speech.open(encoding="utf-8")]
    items = [item for item in items if item["held_out"] == (options.part == "held-out")]
    recorded = sorted(options.noise.rglob("*.flac")) if options.noise.exists() else []
    noises = [load(path) for path in recorded if path.parent.name not in options.without]
    people = [item for item in items if not item["synthetic"]] or items
    talk = [load(Path(people[k]["paths"][0])) for k in rng.integers(len(people), size=60)]
    rooms = Rooms(rng, noises, talk, options.rooms)
    features, labels, quality = [], [], []
    for number, item in enumerate(items):
        dry = joined(item["paths"])
        found = align(scores(layers, mfcc(dry)), item["text"])
        if found is None or found[1] < options.worst:
            quality.append(-9.0 if found is None else found[1])
            continue
        quality.append(found[1])
        labelled = found[0].repeat(STEP)
        for _ in range(options.copies):
            up, down = SPEEDS[rng.integers(len(SPEEDS))]
            heard = rooms.hear(resample_poly(dry, up, down) if up != down else dry)
            features.append(mfcc(heard).astype(np.float16))
            at = np.minimum((np.arange(len(features[-1])) * down / up).astype(int), len(labelled) - 1)
            labels.append(labelled[at].astype(np.int8))
        if number % 200 == 0:
            print(f"{number} of {len(items)} utterances, labels at {np.mean(quality):.2f}", flush=True)
    for _ in range(len(features) // 40):
        quiet = mfcc(rooms.noise(3 * RATE) * 10 ** (rng.uniform(-75, -15) / 20))
        features.append(quiet.astype(np.float16))
        labels.append(np.zeros(len(quiet), np.int8))
    lengths = np.array([len(each) for each in features])
    np.savez(options.out, features=np.concatenate(features), labels=np.concatenate(labels), lengths=lengths)
    left_out = sum(each < options.worst for each in quality)
    print(
        f"{len(features)} utterances, {lengths.sum() / 360_000:.1f} h; left out {left_out}; scores by tenths:"
    )
    print(np.percentile(quality, range(0, 101, 10)).round(2))


if __name__ == "__main__":
    main()
