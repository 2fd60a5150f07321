"""Turns short pieces of speech into vectors that describe the voice.

`SpeakerEncoder` is the small interface; `CampplusEncoder` is the default one. A second one, on Vosk's speaker
model, lies in `vosk_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.hearing.who.networks import BANDS, DIM, Network, load_network

_HOP, _FRAME, _FFT = 160, 400, 512  # samples
_LEVEL = 10 ** (-25 / 20)
WINDOW_SAMPLES = 25_600  # 1.6 s: tells voices apart well and is said soon


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
        window that counts (default 0); what lies before is not looked at (but for 10 ms).
        Returns float32 [n, 2, dim]: the voice of the whole window, of length 1 (or all zeros when nothing can
        be said), and that of its end, which tells less well but sooner; it may be a little shorter than 1.
        """
        ...

    @property
    def tells_two(self) -> bool:
        """Can `two_voices` be asked?"""
        ...

    def two_voices(self, window: Floats) -> Floats | None:
        """Describe the two voices in a window in which people may speak at the same time. Slow.

        window: float32 [25600], as above. Returns float32 [2, 2, dim]: of the whole window, and of its end,
        the one voice and the other (alike, if there is but one); None if this encoder cannot do it.
        """
        ...


class CampplusEncoder:
    """CAM++ (Wang et al. 2023, arXiv:2303.00332) on 80 log mel bands, as 3D-Speaker computes them.

    Input is scaled to -25 dBFS; frames of 25 ms every 10 ms, less the mean of the window. What the network
    is and how it was trained stands in models/README.md. The end of a window is its last 0.8 s and its last
    0.5 s, whose statistics are pooled apart from the same layers: the mean of the two vectors.
    """

    dim = DIM
    _BATCH = 4  # larger batches gain nothing and cost 6 MB a window
    _SHORTEST = 1600  # samples that count at least: of one or two frames the network makes no numbers

    def __init__(self, network: Network, second: Network | None = None, name: str = "campplus") -> None:
        """second: the network that tells two voices at once."""
        self.name = name
        self._network = network
        self._second = second

    @classmethod
    def load(cls, path: Path, second: Path | None = None, name: str = "campplus") -> CampplusEncoder:
        """Read weight files, .onnx. Raises FacilitatorError `model-missing` or `model-damaged`."""
        return cls(load_network(path), None if second is None else load_network(second, 2), name)

    def encode(self, windows: Floats, starts: NDArray[np.int64] | None = None) -> Floats:
        """See `SpeakerEncoder.encode`."""
        out = np.zeros((len(windows), 2, self.dim), np.float32)
        first = np.zeros(len(windows), np.int64) if starts is None else np.asarray(starts)
        skipped = np.minimum(first, WINDOW_SAMPLES - self._SHORTEST) // _HOP
        for skip in np.unique(skipped):  # windows of one length go together
            rows = np.flatnonzero(skipped == skip)
            for begin in range(0, len(rows), self._BATCH):
                part = rows[begin : begin + self._BATCH]
                out[part] = self._network(features(windows[part, skip * _HOP :]))
        return out

    @property
    def tells_two(self) -> bool:
        """See `SpeakerEncoder.tells_two`."""
        return self._second is not None

    def two_voices(self, window: Floats) -> Floats | None:
        """See `SpeakerEncoder.two_voices`."""
        return None if self._second is None else self._second(features(window[None]))[0]


def features(windows: Floats) -> Floats:
    """Log mel bands, float32 [n, frames, 80], each less its mean over the window.

    windows: float32 [n, samples], 16 kHz mono, at least 400 samples; their loudness does not matter. Kaldi's
    filter bank: mean taken off, emphasis of 0.97, Povey's taper, power.
    """
    level = np.sqrt(np.mean(windows * windows, axis=1, keepdims=True, dtype=np.float64))
    x = (windows * (_LEVEL / np.maximum(level, 1e-7))).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(x, _FRAME, axis=1)[:, ::_HOP]
    frames = frames - frames.mean(axis=2, keepdims=True)
    frames[..., 1:] -= np.float32(0.97) * frames[..., :-1].copy()
    frames[..., 0] *= np.float32(0.03)
    spectrum = np.fft.rfft(frames * _TAPER, _FFT, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
    bands = np.log(np.maximum(power @ _FILTERS, np.finfo(np.float32).eps))
    return np.asarray(bands - bands.mean(axis=1, keepdims=True), np.float32)


def mel_filters(bands: int, size: int, rate: int) -> Floats:
    """Kaldi's mel filters from 20 Hz up [size // 2 + 1, bands]: triangles, not normalised."""

    def to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1127 * np.log1p(hz / 700)

    low, high = to_mel(np.array([20.0, rate / 2]))
    edges = np.linspace(low, high, bands + 2)
    bins = to_mel(np.arange(size // 2 + 1) * rate / size)
    rise = (bins[None, :] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins[None, :]) / np.diff(edges)[1:, None]
    return np.ascontiguousarray(np.maximum(0, np.minimum(rise, fall)).T, dtype=np.float32)


_TAPER = ((0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / (_FRAME - 1))) ** 0.85).astype(np.float32)
_FILTERS = mel_filters(BANDS, _FFT, RATE)
