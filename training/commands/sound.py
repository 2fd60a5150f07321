"""Step 2: dry speech with a label for every 10 ms, and the rooms and noises that step 3 puts it in.

    python -m training.commands.sound WORK/speech.jsonl WORK/train.npz

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
from scipy.signal import resample_poly

from training.commands.kaldi import Layer, read_network
from training.commands.rooms import CEPSTRA, ECHO_SAMPLES, FRAME, HIGH_HERTZ, LOW_HERTZ, RATE
from training.commands.vocabulary import PDF, SILENCE, ask_espeak, in_accents, pronunciations

STEP = 3  # frames of 10 ms to one output of the network
GAP = 0.4  # seconds between recordings that belong to one text
MARGIN = 0.3  # seconds of silence around each utterance
MFCC_CONF = (
    f"--use-energy=false\n--num-mel-bins={CEPSTRA}\n--num-ceps={CEPSTRA}\n"
    f"--low-freq={LOW_HERTZ}\n--high-freq={HIGH_HERTZ - RATE // 2}\n--sample-frequency={RATE}\n--dither=0\n"
)


def mfcc(sound: np.ndarray) -> np.ndarray:
    """float32 (frames, CEPSTRA) of float sound in -1..1, as Kaldi computes it with MFCC_CONF."""
    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = RATE
    options.mel_opts.num_bins = CEPSTRA
    options.mel_opts.low_freq = LOW_HERTZ
    options.mel_opts.high_freq = HIGH_HERTZ
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
    """One or several recordings, with GAP seconds of silence between and MARGIN around them."""
    gap, margin = np.zeros(int(GAP * RATE), np.float32), np.zeros(int(MARGIN * RATE), np.float32)
    parts = [part for path in paths for part in (load(Path(path)), gap)][:-1]
    return np.concatenate([margin, *parts, margin])


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
    """The pdf of each row, int8, and the mean score of a row; None if the text cannot fit."""
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
    path = np.zeros(len(emitted), np.int8)
    for frame in range(len(emitted) - 1, -1, -1):
        path[frame] = pdfs[state]
        state = back[frame, state]
    return path, float(total / len(emitted))


def echo(rng: np.random.Generator) -> np.ndarray:
    """What a seat at 0.5 to 3.2 m from the microphone sounds like in some room, float16 (ECHO_SAMPLES,)."""
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
    room.add_source(np.clip(seat, 0.2, np.array(size) - 0.2))
    room.add_microphone(microphone)
    room.compute_rir()
    made = room.rir[0][0]
    made = made[max(0, int(np.abs(made).argmax()) - 20) :][:ECHO_SAMPLES]
    kept = np.zeros(ECHO_SAMPLES, np.float16)
    kept[: len(made)] = made / np.abs(made).max()
    return kept


def as_int16(sound: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(sound, -1, 1) * 32767, np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="WORK/speech.jsonl")
    parser.add_argument("out", type=Path)
    parser.add_argument("--echoes", type=int, default=500, help="seats in simulated rooms")
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
    items = [item for item in items if not item["held_out"]]
    ask_espeak(sorted({word for item in items for word in item["text"].split()}))
    sounds, labels, people, quality = [], [], [], []
    for number, item in enumerate(items):
        dry = joined(item["paths"])
        dry = dry[: len(dry) // FRAME * FRAME]
        found = align(scores(layers, mfcc(dry)), item["text"])
        quality.append(-9.0 if found is None else found[1])
        if number % 200 == 0:
            print(f"{number} of {len(items)} utterances, labels at {np.mean(quality):.2f}", flush=True)
        if found is None or found[1] < options.worst:
            continue
        frames = np.zeros(len(dry) // FRAME, np.int8)  # the last two are shorter than a window: silence
        by_10_ms = found[0].repeat(STEP)[: len(frames)]
        frames[: len(by_10_ms)] = by_10_ms
        sounds.append(as_int16(dry))
        labels.append(frames)
        people.append(not item["synthetic"])
    recorded = sorted(options.noise.rglob("*.flac")) if options.noise.exists() else []
    noises = [as_int16(load(path)) for path in recorded if path.parent.name not in options.without]
    np.savez(
        options.out,
        sound=np.concatenate(sounds),
        labels=np.concatenate(labels),
        lengths=np.array([len(each) for each in labels]),  # frames of 10 ms
        people=np.array(people),
        echoes=np.stack([echo(rng) for _ in range(options.echoes)]),
        noise=np.concatenate([np.zeros(RATE, np.int16), *noises]),
    )
    left_out = sum(each < options.worst for each in quality)
    hours = sum(map(len, labels)) / 360_000
    print(f"{len(labels)} utterances, {hours:.1f} h; left out {left_out}; scores by tenths:")
    print(np.percentile(quality, range(0, 101, 10)).round(2))


if __name__ == "__main__":
    main()
