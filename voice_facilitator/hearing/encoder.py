"""Turns short pieces of speech into vectors that describe the voice.

`SpeakerEncoder` is the small interface; `Ge2eEncoder` is the default one. A second one, on Vosk's speaker
model, lies in `vosk_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.hearing.networks import BANDS, DIM, STEPS, Floats, Network, load_network

RATE = 16_000  # Hz, everywhere in the hearing
WINDOW_SAMPLES = 25_600  # 1.6 s: the length the published encoder was trained on


class SpeakerEncoder(Protocol):
    """Voice windows in, unit vectors out."""

    @property
    def name(self) -> str:
        """Its name in the manifest; a cohort and decision constants belong to it."""
        ...

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        ...

    def encode(self, windows: Floats, starts: NDArray[np.int64] | None = None) -> Floats:
        """Describe the voice in each window.

        windows: float32 [n, 25600], 16 kHz mono, full scale 1. starts: int [n], the first sample of each
        window that counts (default 0); what lies before is not looked at.
        Returns float32 [n, dim], each row of length 1 (or all zeros when nothing can be said).
        """
        ...


class Ge2eEncoder:
    """The GE2E encoder of Resemblyzer 0.1.4 (Wan et al. 2018, arXiv:1710.10467) without PyTorch.

    Input is scaled to -30 dBFS; 40 linear-power mel bands of 25 ms every 10 ms go through the network (see
    `networks`). A window costs 12 ms on one core, 5 ms in a batch of five.
    """

    dim = DIM
    _HOP, _FRAME = 160, 400
    _LEVEL = 10 ** (-30 / 20)
    _BATCH = 32  # larger batches gain nothing and cost 1 MB a window

    def __init__(self, network: Network, name: str = "ge2e") -> None:
        self.name = name
        self._network = network
        self._filters = mel_filters(BANDS, self._FRAME, RATE)
        self._taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self._FRAME) / self._FRAME)).astype(
            np.float32
        )

    @classmethod
    def load(cls, path: Path, name: str = "ge2e") -> Ge2eEncoder:
        """Read a weight file, .onnx or .npz. Raises FacilitatorError `model-missing` or `model-damaged`."""
        return cls(load_network(path), name)

    def encode(self, windows: Floats, starts: NDArray[np.int64] | None = None) -> Floats:
        """See `SpeakerEncoder.encode`."""
        out = np.zeros((len(windows), self.dim), np.float32)
        first = np.zeros(len(windows), np.int64) if starts is None else starts
        for begin in range(0, len(windows), self._BATCH):
            part = slice(begin, begin + self._BATCH)
            skipped = first[part] // self._HOP
            mel = self.mel(windows[part], first[part])
            for row, skip in zip(mel, skipped, strict=True):  # a short window begins at once, like a long one
                row[: STEPS - skip], row[STEPS - skip :] = row[skip:].copy(), 0
            out[part] = self._network(mel, STEPS - skipped)
        return out

    def mel(self, windows: Floats, starts: NDArray[np.int64]) -> Floats:
        """Mel power, float32 [n, 160, 40], of the level-adjusted windows; see `SpeakerEncoder.encode`."""
        n = len(windows)
        padded = np.zeros((n, WINDOW_SAMPLES + self._FRAME), np.float32)
        for row, (window, start) in enumerate(zip(windows, starts, strict=True)):
            valid = window[start:]
            level = float(np.sqrt(np.mean(valid * valid, dtype=np.float64))) if len(valid) else 0.0
            if level > 1e-7:
                at = self._FRAME // 2 + int(start)
                padded[row, at : at + len(valid)] = valid * np.float32(self._LEVEL / level)
        step = padded.strides[1]
        frames = np.lib.stride_tricks.as_strided(
            padded,
            (n, STEPS, self._FRAME),
            (padded.strides[0], step * self._HOP, step),
            writeable=False,
        )
        spectrum = np.fft.rfft(frames * self._taper, axis=2)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
        mel = power.reshape(n * STEPS, -1).dot(self._filters)
        return np.asarray(mel.reshape(n, STEPS, BANDS), np.float32)


def mel_filters(bands: int, frame: int, rate: int) -> Floats:
    """Slaney's mel filter bank with area normalisation [frame // 2 + 1, bands], as librosa makes it."""

    def to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithmic = 15 + np.log(np.maximum(hz, 1e-9) / 1000) / (np.log(6.4) / 27)
        return np.where(hz >= 1000, logarithmic, hz * 3 / 200)

    def to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(mel >= 15, 1000 * np.exp((np.log(6.4) / 27) * (mel - 15)), mel * 200 / 3)

    ends = to_mel(np.array([0.0, rate / 2]))
    edges = to_hz(np.linspace(ends[0], ends[1], bands + 2))
    bins = np.linspace(0, rate / 2, frame // 2 + 1)
    rise = (bins[None, :] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins[None, :]) / np.diff(edges)[1:, None]
    weights = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.ascontiguousarray(weights.T, dtype=np.float32)
