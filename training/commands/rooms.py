"""Dry speech as a microphone on a table hears it, and its MFCC: in torch, in batches, on any device."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

RATE = 16_000
FRAME = 160  # samples of 10 ms
WINDOW, FFT = 400, 512
CEPSTRA = 40
LOW_HERTZ, HIGH_HERTZ = 40, 7600
LIFTER = 22
ECHO_SAMPLES = 9600
WARPS = tuple(np.linspace(0.88, 1.14, 9).round(3))  # lengths of vocal tracts, 1 being the voice's own
TAPS = 16  # of the filter that changes the speed


def mel_bank(warp: float = 1.0) -> np.ndarray:
    """float64 (FFT / 2 + 1, CEPSTRA): Kaldi's triangles; their centres moved by `warp`, the ends left."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))

    edges = np.linspace(mel(LOW_HERTZ), mel(HIGH_HERTZ), CEPSTRA + 2)
    hertz = 700.0 * np.expm1(edges / 1127.0)
    knee = HIGH_HERTZ * 0.8 / max(warp, 1.0)  # above it the rest is stretched to the end
    moved = np.where(
        hertz <= knee,
        hertz * warp,
        HIGH_HERTZ - (HIGH_HERTZ - hertz) * (HIGH_HERTZ - knee * warp) / (HIGH_HERTZ - knee),
    )
    edges = mel(moved if warp != 1.0 else hertz)
    bins = mel(np.arange(FFT // 2 + 1) * RATE / FFT)[:, None]
    up = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0.0, np.minimum(up, down))
    bank[-1] = 0.0  # Kaldi leaves the last bin out
    return np.asarray(bank)


class Mfcc:
    """Kaldi's MFCC with dither off, of whole batches; float32, to within 0.001 of kaldi-native-fbank."""

    def __init__(self, device: torch.device) -> None:
        window = (0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(WINDOW) / (WINDOW - 1))) ** 0.85
        self._window = window.to(device)
        banks = np.stack([mel_bank(warp) for warp in (1.0, *WARPS)])
        self._banks = torch.from_numpy(banks).float().to(device)
        k = np.arange(CEPSTRA)
        cosines = np.sqrt(2 / CEPSTRA) * np.cos(np.pi / CEPSTRA * (k[:, None] + 0.5) * k[None])
        cosines[:, 0] = np.sqrt(1 / CEPSTRA)
        cosines *= 1 + 0.5 * LIFTER * np.sin(np.pi * k / LIFTER)
        self._cosines = torch.from_numpy(cosines).float().to(device)

    def __call__(self, sound: Tensor, warps: Tensor | None = None) -> Tensor:
        """sound: (batch, samples) in -1..1. warps: int64 (batch,), 0 or 1 + place in WARPS.

        Returns (batch, frames, CEPSTRA).
        """
        frames = (sound * 32767).unfold(1, WINDOW, FRAME)
        frames = frames - frames.mean(2, keepdim=True)
        before = torch.cat([frames[:, :, :1], frames[:, :, :-1]], 2)
        frames = (frames - 0.97 * before) * self._window
        spectrum = torch.fft.rfft(frames, FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        banks = self._banks[:1] if warps is None else self._banks[warps]
        energies = torch.matmul(power, banks).clamp_min(1.1920929e-07).log()
        return energies @ self._cosines


class Rooms:
    """Cuts pieces out of the speech, any speaker after any other; each is heard in a room of its own."""

    def __init__(self, stored: dict[str, np.ndarray], device: torch.device, seed: int = 0) -> None:
        self.device = device
        self._rng = torch.Generator(device).manual_seed(seed)
        order = np.random.default_rng(seed)
        starts = np.concatenate([[0], np.cumsum(stored["lengths"])])
        turns = [(starts[k], starts[k + 1]) for k in order.permutation(len(stored["lengths"]))]
        frames = np.concatenate([np.arange(a, b) for a, b in turns])
        sound = stored["sound"].reshape(-1, FRAME)[frames].reshape(-1)
        self.sound = torch.from_numpy(sound).to(device)  # int16
        self.labels = torch.from_numpy(stored["labels"][frames]).to(device)
        bounds = itertools.pairwise(starts * FRAME)
        talk = [
            stored["sound"][begin:end]
            for (begin, end), person in zip(bounds, stored["people"], strict=True)
            if person
        ]
        self._talk = torch.from_numpy(np.concatenate(talk or [sound])).to(device)
        self._recorded = torch.from_numpy(stored["noise"]).to(device)
        self._echoes = torch.from_numpy(stored["echoes"].astype(np.float32)).to(device)
        self._mfcc = Mfcc(device)
        self._taps = torch.arange(TAPS, device=device) - TAPS // 2 + 1

    def _between(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self._rng, device=self.device)

    def _integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self._rng, device=self.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._rng, device=self.device)

    def _sometimes(self, share: float, batch: int) -> Tensor:
        """1 for that share of the batch, else 0; (batch, 1)."""
        return (self._between(0, 1, batch, 1) < share).float()

    def batch(self, batch: int, frames: int) -> tuple[Tensor, Tensor]:
        """Features (batch, frames, CEPSTRA) and labels int64 (batch, frames) of pieces from anywhere."""
        samples = (frames - 1) * FRAME + WINDOW
        before = ECHO_SAMPLES // 2  # what was said just before still echoes
        speed = self._between(0.86, 1.16, batch)
        speed = torch.where(self._between(0, 1, batch) < 0.25, torch.ones_like(speed), speed)
        whole = len(self.sound) - int((samples + before) * 1.2) - 2 * TAPS
        first = self._integers(whole, batch).double() + TAPS
        dry = self._faster(first, speed, before + samples)
        centres = (
            first[:, None]
            + (before + FRAME * torch.arange(frames, device=self.device) + WINDOW // 2 - FRAME // 2)
            * speed[:, None]
        )
        labels = self.labels[(centres / FRAME).long()].long()
        heard = self._heard(dry)[:, before:]
        warps = self._integers(len(WARPS), batch) + 1
        return self._mfcc(heard, warps), labels

    def _faster(self, first: Tensor, speed: Tensor, samples: int) -> Tensor:
        """The sound from `first` on at another speed, by a windowed sinc; float32 (batch, samples)."""
        made = []
        for some_first, some_speed in zip(first.split(64), speed.split(64), strict=True):
            at = (
                some_first[:, None] + torch.arange(samples, device=self.device) * some_speed[:, None].double()
            )
            whole = at.floor()
            part = (at - whole).float()[:, :, None] - self._taps
            cut = torch.clamp(1 / some_speed, max=1.0)[:, None, None]  # what would fold back is left out
            weights = cut * torch.sinc(cut * part) * torch.cos(math.pi * part / (TAPS + 1)) ** 2
            made.append((self.sound[whole.long()[:, :, None] + self._taps].float() * weights).sum(2))
        return torch.cat(made) / 32768

    def _heard(self, dry: Tensor) -> Tensor:
        batch, samples = dry.shape
        size = next_fast_len(samples + ECHO_SAMPLES, real=True)
        response = self._responses(batch, size)
        heard = torch.fft.irfft(torch.fft.rfft(dry, size) * response, size)[:, :samples]
        loud = self._level(heard)
        below = self._between(2, 30, batch, 1)
        noise = self._noise(batch, samples, size)
        heard = heard + self._sometimes(0.9, batch) * noise * loud * 10 ** (-below / 20)
        talk = self._murmur(batch, samples, size)
        below = self._between(4, 25, batch, 1)
        heard = heard + self._sometimes(0.25, batch) * talk * loud * 10 ** (-below / 20)
        level = heard.square().mean(1, keepdim=True).sqrt() + 1e-6
        heard = heard / level * 10 ** (self._between(-34, -20, batch, 1) / 20)
        return heard.clamp(-1, 1)

    def _responses(self, batch: int, size: int) -> Tensor:
        """A seat's echo for most, and the colour of a voice, a microphone, a place; (batch, size / 2 + 1)."""
        echo = self._echoes[self._integers(len(self._echoes), batch)]
        none = functional.pad(torch.ones(batch, 1, device=self.device), (0, ECHO_SAMPLES - 1))
        often = self._sometimes(0.85, batch)
        response = torch.fft.rfft(echo * often + none * (1 - often), size)
        return response * self._colour(batch, size, 8.0, 0.6)

    def _colour(self, batch: int, size: int, most_db: float, share: float) -> Tensor:
        """Smooth random gains over the bins, for that share of the batch, and now and then no treble."""
        bins = size // 2 + 1
        points = self._between(-most_db, most_db, batch, 1, 9) * self._sometimes(share, batch)[:, None]
        decibels = functional.interpolate(points, bins, mode="linear", align_corners=True)[:, 0]
        hertz = torch.linspace(0, RATE / 2, bins, device=self.device)
        cut = self._between(3400, 7500, batch, 1)
        fall = 36 * torch.log2((hertz / cut).clamp_min(1.0)) * self._sometimes(0.15, batch)
        return 10 ** ((decibels - fall) / 20)

    @staticmethod
    def _level(sound: Tensor) -> Tensor:
        """Effective value where somebody speaks: of the louder half of its tenths of a second; (batch, 1)."""
        pieces = sound.unfold(1, 1600, 1600).square().mean(2)
        louder = pieces.topk(max(1, pieces.shape[1] // 2), dim=1).values
        return louder.mean(1, keepdim=True).sqrt() + 1e-5

    def _noise(self, batch: int, samples: int, size: int) -> Tensor:
        """Of effective value 1, recorded or made: any colour, steady or swelling, with or without drops."""
        made = self._normal(batch, size)
        drops = (self._between(0, 1, batch, size) < 10 ** self._between(-4, -1.3, batch, 1)).float()
        drops = drops * torch.exp(1.5 * self._normal(batch, size)) * torch.sign(self._normal(batch, size))
        drops = drops / (drops.square().mean(1, keepdim=True).sqrt() + 1e-6)
        share = self._sometimes(0.4, batch) * self._between(0.2, 1, batch, 1)
        made = (1 - share) * made + share * drops
        bins = torch.arange(size // 2 + 1, device=self.device).clamp_min(size * 60 // RATE)
        slope = self._between(0, 1.1, batch, 1)
        spectrum = torch.fft.rfft(made) * bins ** (-slope) * self._colour(batch, size, 12.0, 0.7)
        made = self._even(torch.fft.irfft(spectrum, size)[:, :samples])
        swell = functional.interpolate(
            self._between(-5, 5, batch, 1, 12), samples, mode="linear", align_corners=True
        )[:, 0]
        made = made * 10 ** (swell * self._sometimes(0.5, batch) / 20)
        first = self._integers(len(self._recorded), batch, 1)
        places = (first + torch.arange(samples, device=self.device)) % len(self._recorded)
        recorded = self._even(self._recorded[places].float())
        where = self._sometimes(0.25, batch)
        return self._even(where * recorded + (1 - where) * made)

    def _murmur(self, batch: int, samples: int, size: int) -> Tensor:
        """One to three other people, each from a seat of their own, together of effective value 1."""
        total = torch.zeros(batch, samples, device=self.device)
        for number in range(3):
            first = self._integers(len(self._talk) - samples, batch, 1)
            voice = self._talk[first + torch.arange(samples, device=self.device)].float() / 32768
            echo = torch.fft.rfft(self._echoes[self._integers(len(self._echoes), batch)], size)
            voice = torch.fft.irfft(torch.fft.rfft(voice, size) * echo, size)[:, :samples]
            total = total + self._even(voice) * (1.0 if number == 0 else self._sometimes(0.5, batch))
        return self._even(total)

    @staticmethod
    def _even(sound: Tensor) -> Tensor:
        return sound / (sound.square().mean(1, keepdim=True).sqrt() + 1e-6)
