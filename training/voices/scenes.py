"""Two voices in one simulated room, alone and at the same time, as `two_voices.py` learns from them.

    python -m training.voices.scenes ../shared/speech WORK/material.npz

writes what scenes are made of: the speech of each voice in a row, echoes of simulated rooms, noises. `Scenes`
makes them, anew for every batch and on a GPU if there is one. A scene is two pieces of 1.6 s of each of two
voices, each alone, and four mixtures of them: one takes over from the other while that one still speaks, both
speak all the time, one says something into the other's words, or one follows the other.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.signal import butter, sosfreqz
from torch import Tensor

from benchmarks import corpus
from voice_facilitator.hearing.sound.samples import RATE
from voice_facilitator.hearing.who.encoder import _FILTERS, _FRAME, _HOP, _LEVEL, _TAPER, WINDOW_SAMPLES

SEATS = 8  # and the presenter's chair moved back
RESPONSE = 8800  # samples of an echo: what comes after 0.55 s is as quiet as the noise
ONSET = 40  # samples before an echo's peak
LEAD = RATE // 2  # said before the window: its echo is heard in it
PIECE = LEAD + WINDOW_SAMPLES
FFT = 65536  # a piece, an echo and a filter fit in
GRID = 320  # samples: where a piece may begin
SPEECH_SHARE = 0.78
SECONDS, END = WINDOW_SAMPLES / RATE, 0.8  # of a window, and of its end
# A voice at another speed is another voice: most at their own, some a tenth or so faster or slower.
SPEEDS = [(1, 1), (9, 10), (11, 10), (19, 20), (21, 20), (8, 7), (7, 8)]
SPEED_SHARES = [4.0, 1, 1, 1, 1, 1, 1]
MIXTURES = [(0, 2), (0, 3), (1, 2), (1, 3)]  # of the four pieces


def material(builder: Any, splits: list[dict[str, Any]], rooms: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Speech (16-bit, one voice after the other), where it is speech (by 10 ms), rooms and noises."""
    rng = np.random.default_rng(seed)
    bank = builder.Bank({**splits[0], "utterances": [u for split in splits for u in split["utterances"]]})
    voices = {name: voice for split in splits for name, voice in split["speakers"].items()}
    names = sorted(bank.by)
    sound: list[np.ndarray] = []
    spoken: list[np.ndarray] = []
    lengths = np.zeros(len(names), np.int64)
    for k, name in enumerate(names):
        for said in bank.by[name]:
            x = bank.colour(bank.audio(said), said["source"])
            x = x[: len(x) // 160 * 160]
            active = np.zeros(len(x) // 160, bool)
            for begin, end in said["vad"]:
                active[round(begin * 100) : round(end * 100)] = True
            sound.append(np.clip(x * 32767, -32767, 32767).astype(np.int16))
            spoken.append(active)
            lengths[k] += len(x)
    echoes = np.zeros((rooms, SEATS + 1, RESPONSE), np.float16)
    for k in range(rooms):
        room = builder.make_room(rng, SEATS)
        for seat, echo in enumerate(builder.rirs(rng, room, [*room["seats"], room["far"]])):
            early = echo[max(0, int(np.argmax(np.abs(echo))) - ONSET) :][:RESPONSE]
            echoes[k, seat, : len(early)] = early
    noises = np.stack([builder.background(rng, RATE * 30, 50.0) for _ in range(8)])
    return {
        "names": np.array(names),
        "sexes": np.array([(voices[name].get("sex") or "?")[0] for name in names]),
        "lengths": lengths,
        "sound": np.concatenate(sound),
        "spoken": np.concatenate(spoken),
        "echoes": echoes,
        "noises": (noises / np.abs(noises).max(1, keepdims=True)).astype(np.float16),
    }


@dataclass(frozen=True, eq=False)
class Batch:
    """n scenes. All windows [n, 8, 25600]: four pieces alone, two of each voice, and four mixtures."""

    windows: Tensor
    labels: Tensor  # [n, 2]: voice x number of speeds + speed
    seconds: Tensor  # [n, 4, 2]: how long each voice speaks in each mixture
    end_seconds: Tensor  # [n, 4, 2]: the same in its last 0.8 s


class Scenes:
    """Makes scenes of the voices named."""

    def __init__(
        self, material: dict[str, np.ndarray], names: set[str], device: torch.device, seed: int
    ) -> None:
        self.device = device
        self._random = torch.Generator(device).manual_seed(seed)
        ends = np.cumsum(material["lengths"])
        begins = ends - material["lengths"]
        parts: list[Tensor] = []
        places: list[np.ndarray] = []
        counts: list[int] = []
        kept, shares, at = [], [], 0
        for k, name in enumerate(material["names"]):
            if name not in names:
                continue
            dry = torch.from_numpy(material["sound"][begins[k] : ends[k]].astype(np.float32) / 32767)
            spoken = material["spoken"][begins[k] // 160 : ends[k] // 160]
            found = [_places(spoken, *speed) for speed in SPEEDS]
            if not all(len(p) for p in found):
                continue
            for speed, where in zip(SPEEDS, found, strict=True):
                x = _at_speed(dry.to(device), *speed)
                parts.append(x.half())
                places.append(where + at)
                counts.append(len(where))
                at += len(x)
            kept.append(k)
            shares.append(min(60.0, spoken.sum() / 100) ** 0.5)  # no voice much more often than another
        self.names = [str(material["names"][k]) for k in kept]
        self._sound = torch.cat([*parts, torch.zeros(PIECE, dtype=torch.float16, device=device)])
        self._places = torch.from_numpy(np.concatenate(places)).to(device)
        self._counts = torch.tensor(counts, device=device)
        self._first = torch.cumsum(self._counts, 0) - self._counts
        self._shares = torch.tensor(shares, device=device)
        self._sexes = torch.tensor([ord(material["sexes"][k]) for k in kept], device=device)
        self._echoes = torch.fft.rfft(torch.from_numpy(material["echoes"].astype(np.float32)), FFT)
        self._echoes = self._echoes.to(torch.complex64).to(device)
        self._noises = torch.from_numpy(material["noises"].astype(np.float32)).to(device)
        band = sosfreqz(butter(2, [75, 7600], "bp", fs=RATE, output="sos"), FFT // 2 + 1, whole=False)[1]
        self._band = torch.from_numpy(band.astype(np.complex64)).to(device)

    def batch(self, n: int) -> Batch:
        """n scenes, voices of one sex in two of three."""
        voices = torch.multinomial(self._shares.expand(3 * n, -1), 2, generator=self._random)
        apart = (self._sexes[voices[:, 0]] != self._sexes[voices[:, 1]]) & (self._uniform(3 * n) < 0.5)
        voices = voices[torch.argsort(apart.int(), stable=True)[:n]]
        shares = torch.tensor(SPEED_SHARES, device=self.device)
        speeds = torch.multinomial(shares, 2 * n, True, generator=self._random).view(n, 2)
        labels = voices * len(SPEEDS) + speeds
        pieces = self._pieces(labels.repeat_interleave(2, 1).reshape(-1)).view(n, 4, PIECE)
        pieces = (
            pieces * _db((self._normal(n, 2) * 2.6 - 0.5).clamp(-6, 6)).repeat_interleave(2, 1)[..., None]
        )
        pieces = pieces * _db(self._normal(n, 4))[..., None]
        room = torch.randint(len(self._echoes), (n,), generator=self._random, device=self.device)
        seats = torch.multinomial(torch.ones(n, SEATS + 1, device=self.device), 2, generator=self._random)
        behind = (self._uniform(n) < 0.5) & (seats != SEATS).all(1)
        seats[:, 0] = torch.where(behind, SEATS, seats[:, 0])  # who presented sits further away
        echoes = self._echoes[room[:, None], seats.repeat_interleave(2, 1)]
        patterns = self._patterns(4 * n).view(n, 4, 2, 2)
        alone = self._wet(pieces, echoes)
        both = []
        for k, (one, other) in enumerate(MIXTURES):
            masks = self._masks(patterns[:, k])
            both.append(self._wet(pieces[:, [one, other]] * masks, echoes[:, [one, other]]).sum(1))
        windows = self._finished(torch.cat([alone, torch.stack(both, 1)], 1))
        begin, end = patterns.unbind(-1)
        late = (end - begin.clamp(min=SECONDS - END)).clamp(min=0)
        return Batch(windows, labels, end - begin, late)

    def alone(self, labels: Tensor) -> Tensor:
        """A piece of each of these [n] in some room: [n, 25600]."""
        room = torch.randint(len(self._echoes), labels.shape, generator=self._random, device=self.device)
        seat = torch.randint(SEATS + 1, labels.shape, generator=self._random, device=self.device)
        return self._finished(self._wet(self._pieces(labels), self._echoes[room, seat]))

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._random, device=self.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._random, device=self.device)

    def _pieces(self, labels: Tensor) -> Tensor:
        """Half a second and a window of each voice, dry, the window mostly speech; the head turned a bit."""
        n = len(labels)
        which = self._first[labels] + (self._uniform(n) * self._counts[labels]).long()
        at = self._places[which][:, None] + torch.arange(PIECE, device=self.device)
        x = self._sound[at].float()
        x = x / (x[:, LEAD:].square().mean(1, keepdim=True).sqrt() + 1e-6) * 0.05
        away = self._uniform(n) ** 2  # how far the head is turned from the microphone
        hz = torch.tensor([0, 150, 400, 1000, 2500, 5000, RATE / 2])
        lost = torch.tensor([0, 0, 0.05, 0.2, 0.5, 0.85, 1], device=self.device)  # of the treble, then
        gains = (self._normal(n, 7) * 2).clamp(-6, 6) - 9 * away[:, None] * lost
        gains[:, 0] = gains[:, 1]
        taps = torch.fft.irfft(_db(gains @ _interpolation(hz, 65).to(self.device)))  # [n, 128]
        taps = torch.roll(taps, 64, 1) * torch.hamming_window(128, device=self.device)
        wet = torch.fft.irfft(torch.fft.rfft(x, FFT) * torch.fft.rfft(taps, FFT))
        return wet[:, 64 : 64 + PIECE]

    def _patterns(self, n: int) -> Tensor:
        """From when to when each of two speaks, in seconds of the window: [n, 2, 2]."""
        kind = self._uniform(n)
        zero, whole = torch.zeros_like(kind), torch.full_like(kind, SECONDS)
        begin = 0.05 + 1.15 * self._uniform(n)
        least = (begin - 0.1).clamp(min=0.35)
        taken_over = torch.stack([begin, whole, zero, least + (whole - least) * self._uniform(n)], 1)
        length = 0.5 + 0.7 * self._uniform(n)
        into = (whole - length) * self._uniform(n)
        put_in = torch.stack([into, into + length, zero, whole], 1)
        later = 0.5 + 0.7 * self._uniform(n)
        after = torch.stack([later, whole, zero, later - 0.05 - 0.25 * self._uniform(n)], 1)
        always = torch.stack([zero, whole, zero, whole], 1)
        found = torch.where(kind[:, None] < 0.45, taken_over, always)
        found = torch.where(kind[:, None] >= 0.65, put_in, found)
        found = torch.where(kind[:, None] >= 0.85, after, found).view(n, 2, 2)
        return torch.where((self._uniform(n) < 0.5)[:, None, None], found, found.flip(1))

    def _masks(self, patterns: Tensor) -> Tensor:
        """1 where each speaks, with soft edges of 20 ms [..., samples]; who begins with it spoke before."""
        time = (torch.arange(PIECE, device=self.device) - LEAD) / RATE
        begin, end = patterns[..., :1], patterns[..., 1:]
        begin = torch.where(begin <= 0, -1.0, begin)
        end = torch.where(end >= SECONDS, 9.0, end)
        return (((time - begin) / 0.02).clamp(0, 1) * ((end - time) / 0.02).clamp(0, 1)).float()

    def _wet(self, dry: Tensor, echoes: Tensor) -> Tensor:
        """The window in the room, the lead left out. dry: [..., samples], echoes: [..., FFT / 2 + 1]."""
        wet = torch.fft.irfft(torch.fft.rfft(dry, FFT) * echoes)
        return wet[..., ONSET + LEAD : ONSET + LEAD + WINDOW_SAMPLES]

    def _finished(self, x: Tensor) -> Tensor:
        """With noise, as the microphone has it."""
        shape = x.shape[:-1]
        which = torch.randint(len(self._noises), shape, generator=self._random, device=self.device)
        last = self._noises.shape[1] - WINDOW_SAMPLES
        at = torch.randint(last, shape, generator=self._random, device=self.device)
        noise = self._noises[
            which[..., None], at[..., None] + torch.arange(WINDOW_SAMPLES, device=self.device)
        ]
        level = (x.square().mean(-1) / (noise.square().mean(-1) + 1e-12)).sqrt()
        x = x + noise * (level * _db(-9 - 17 * self._uniform(*shape)))[..., None]
        return torch.fft.irfft(torch.fft.rfft(x, FFT) * self._band)[..., :WINDOW_SAMPLES]


def features(windows: Tensor) -> Tensor:
    """What `voice_facilitator.hearing.who.encoder.features` computes, [n, frames, 80]."""
    taper, filters = torch.from_numpy(_TAPER).to(windows), torch.from_numpy(_FILTERS).to(windows)
    x = windows * (_LEVEL / windows.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-7))
    frames = x.unfold(-1, _FRAME, _HOP)
    frames = frames - frames.mean(-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
    power = torch.fft.rfft((frames - 0.97 * before) * taper, 512).abs().square()
    bands = (power @ filters).clamp(min=float(np.finfo(np.float32).eps)).log()
    return bands - bands.mean(1, keepdim=True)


def _places(spoken: np.ndarray, up: int, down: int) -> np.ndarray:
    """Where a piece may begin, in samples at that speed: its window is mostly speech."""
    pieces = (len(spoken) * 160 * up // down - PIECE) // GRID
    begin = np.arange(max(0, pieces)) * GRID
    total = np.concatenate([[0], np.cumsum(spoken)])
    first = ((begin + LEAD) * down / up / 160).astype(int)
    last = np.minimum(((begin + PIECE) * down / up / 160).astype(int), len(spoken))
    return begin[total[last] - total[first] >= SPEECH_SHARE * (last - first)]


def _at_speed(x: Tensor, up: int, down: int) -> Tensor:
    """Resampled through its spectrum: up / down times as many samples."""
    if up == down:
        return x
    n = next_fast_len(-(-len(x) // down), real=True)
    padded = torch.fft.rfft(x, n * down)
    return torch.fft.irfft(padded, n * up)[: len(x) * up // down] * (up / down)


def _interpolation(hz: Tensor, points: int) -> Tensor:
    """[len(hz), points]: weights that draw straight lines through values at `hz`."""
    grid = np.linspace(0, RATE / 2, points)
    rows = [np.interp(grid, hz.numpy(), row) for row in np.eye(len(hz))]
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def _db(gain: Tensor) -> Tensor:
    return 10 ** (gain / 20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="folder of build_session.py")
    parser.add_argument("out", type=Path, help="the .npz file")
    parser.add_argument("--rooms", type=int, default=80)
    options = parser.parse_args()
    splits = [json.loads((options.speech / name).read_text()) for name in ("dev.json", "more_voices.json")]
    np.savez(options.out, **material(corpus.script(options.speech, "build_session"), splits, options.rooms))


if __name__ == "__main__":
    main()
