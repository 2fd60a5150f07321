"""Turns short pieces of speech into vectors that describe the voice.

`SpeakerEncoder` is the small interface; `Ge2eEncoder` is the default one, in NumPy only. A second one,
on Vosk's speaker model, lies in `vosk_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.errors import ExitCode, FacilitatorError

Floats = NDArray[np.float32]

RATE = 16_000  # Hz, everywhere in the hearing
_HALF = np.float32(0.5)
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

    40 linear-power mel bands of 25 ms every 10 ms, three LSTM layers of 256, a linear layer, ReLU, unit
    length. Input is scaled to -30 dBFS. About 11 ms for one window on one core, 5 ms in a batch.
    """

    dim = 256
    _HOP, _FRAME, _BANDS, _STEPS, _UNITS, _LAYERS = 160, 400, 40, 160, 256, 3
    _LEVEL = 10 ** (-30 / 20)
    _BATCH = 32  # larger batches gain little and cost 1 MB a window

    def __init__(self, arrays: dict[str, Floats], name: str = "ge2e") -> None:
        """arrays: as `models.convert.ge2e_arrays` makes them. Raises FacilitatorError `model-damaged`."""
        self.name = name
        shapes = {"linear": (256, 256), "linear_bias": (256,)}
        for k in range(self._LAYERS):
            shapes |= {f"input{k}": (256 if k else 40, 1024), f"hidden{k}": (256, 1024), f"bias{k}": (1024,)}
        if any(name not in arrays or arrays[name].shape != shape for name, shape in shapes.items()):
            raise FacilitatorError(
                "model-damaged", f"The voice encoder {name} lacks a part.", "Fetch the model again.",
                exit_code=ExitCode.NO_MODEL,
            )  # fmt: skip
        # sigmoid(x) = (1 + tanh(x / 2)) / 2, so all four gates are one tanh: halve three of them once, here
        half = np.full(1024, 0.5, np.float32)
        half[512:768] = 1
        # input, forget, output, cell instead of PyTorch's order, so that the sigmoids lie side by side
        order = np.r_[0:512, 768:1024, 512:768]

        def gates(name: str) -> Floats:
            return np.ascontiguousarray((arrays[name] * half)[..., order])

        self._input = [gates(f"input{k}") for k in range(self._LAYERS)]
        self._hidden = [gates(f"hidden{k}") for k in range(self._LAYERS)]
        self._bias = [gates(f"bias{k}") for k in range(self._LAYERS)]
        self._linear, self._linear_bias = arrays["linear"], arrays["linear_bias"]
        self._filters = mel_filters(self._BANDS, self._FRAME, RATE)
        self._taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self._FRAME) / self._FRAME)).astype(
            np.float32
        )

    @classmethod
    def load(cls, path: Path, name: str = "ge2e") -> Ge2eEncoder:
        """Read a converted weight file. Raises FacilitatorError `model-missing` or `model-damaged`."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: archive[key].astype(np.float32) for key in archive.files}
        except FileNotFoundError as error:
            raise FacilitatorError(
                "model-missing", f"The voice encoder {path.name} is not there.",
                "Run: voice-facilitator models fetch", exit_code=ExitCode.NO_MODEL,
            ) from error  # fmt: skip
        except Exception as error:  # np.load raises half a dozen kinds on damaged files
            raise FacilitatorError(
                "model-damaged", f"The voice encoder {path.name} cannot be read.",
                "Run: voice-facilitator models fetch", exit_code=ExitCode.NO_MODEL,
            ) from error  # fmt: skip
        return cls(arrays, name)

    def encode(self, windows: Floats, starts: NDArray[np.int64] | None = None) -> Floats:
        """See `SpeakerEncoder.encode`."""
        out = np.zeros((len(windows), self.dim), np.float32)
        first = np.zeros(len(windows), np.int64) if starts is None else starts
        batch = self._BATCH if len(windows) >= 4 else 1  # two or three at once are slower than one by one
        for begin in range(0, len(windows), batch):
            part = slice(begin, begin + batch)
            out[part] = self._lstm(self._mel(windows[part], first[part]), first[part] // self._HOP)
        return out

    def _mel(self, windows: Floats, starts: NDArray[np.int64]) -> Floats:
        """Mel power [n, 160, 40] of the level-adjusted windows."""
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
            (n, self._STEPS, self._FRAME),
            (padded.strides[0], step * self._HOP, step),
            writeable=False,
        )
        spectrum = np.fft.rfft(frames * self._taper, axis=2)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
        mel = power.reshape(n * self._STEPS, -1).dot(self._filters)
        return np.asarray(mel.reshape(n, self._STEPS, self._BANDS), np.float32)

    def _lstm(self, mel: Floats, first: NDArray[np.int64]) -> Floats:
        n, units = len(mel), self._UNITS
        x = np.ascontiguousarray(mel.transpose(1, 0, 2))  # time first
        live = (np.arange(self._STEPS)[:, None] >= first[None, :]).astype(np.float32)[:, :, None]
        ragged = bool(first.any())
        for weights, recurrent, bias in zip(self._input, self._hidden, self._bias, strict=True):
            gates = x.reshape(self._STEPS * n, -1).dot(weights)
            gates += bias
            gates = gates.reshape(self._STEPS, n, 4 * units)
            sigmoids, inputs, forgets, outputs, news = (
                gates[:, :, a * units : b * units] for a, b in ((0, 3), (0, 1), (1, 2), (2, 3), (3, 4))
            )
            x = np.empty((self._STEPS, n, units), np.float32)
            hidden, cell, new = (np.zeros((n, units), np.float32) for _ in range(3))
            fed_back = np.empty((n, 4 * units), np.float32)
            for t in range(self._STEPS):  # in place: for one window the calls cost as much as the sums
                gate, sigmoid = gates[t], sigmoids[t]
                gate += np.dot(hidden, recurrent, out=fed_back)
                np.tanh(gate, out=gate)
                sigmoid *= _HALF
                sigmoid += _HALF
                cell *= forgets[t]
                cell += np.multiply(inputs[t], news[t], out=new)
                hidden = np.multiply(outputs[t], np.tanh(cell, out=new), out=x[t])
                if ragged:  # a window that has not begun keeps its zero state
                    cell *= live[t]
                    hidden *= live[t]
        vector = np.maximum(x[-1].dot(self._linear) + self._linear_bias, 0)
        length = np.linalg.norm(vector, axis=1, keepdims=True)
        return np.asarray(vector / np.maximum(length, 1e-9), np.float32)


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
