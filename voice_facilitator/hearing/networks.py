"""The encoder's network: mel bands in, a vector for each window out. Three LSTM layers and a linear one.

The shipped network is ONNX and runs in onnxruntime; the published one, which some may fetch to compare, comes
as arrays and runs in NumPy, two to three times as slowly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from voice_facilitator.errors import ExitCode, FacilitatorError

Floats = NDArray[np.float32]

BANDS, STEPS, DIM = 40, 160, 256  # mel bands, frames in a window, length of a vector
_UNITS, _LAYERS = 256, 3
_HALF = np.float32(0.5)
_ERRORS_ONLY = 3  # of onnxruntime's levels of logging


class Network(Protocol):
    """The network of a speaker encoder."""

    def __call__(self, mel: Floats, steps: NDArray[np.int64]) -> Floats:
        """mel: float32 [n, 160, 40]. steps: int [n], how many frames of each count, from the first on.

        Returns float32 [n, 256], each row of length 1 or all zeros.
        """
        ...


def load_network(path: Path) -> Network:
    """Read a weight file, .onnx or .npz. Raises FacilitatorError `model-missing` or `model-damaged`."""
    try:
        content = path.read_bytes()
        return OnnxNetwork(content) if path.suffix == ".onnx" else NumpyNetwork(_arrays(path))
    except FileNotFoundError as error:
        raise FacilitatorError(
            "model-missing", f"The voice encoder {path.name} is not there.",
            "Run: voice-facilitator models fetch", exit_code=ExitCode.NO_MODEL,
        ) from error  # fmt: skip
    except FacilitatorError:
        raise
    except Exception as error:  # damaged files raise half a dozen kinds
        raise FacilitatorError(
            "model-damaged", f"The voice encoder {path.name} cannot be read.",
            "Run: voice-facilitator models fetch", exit_code=ExitCode.NO_MODEL,
        ) from error  # fmt: skip


def _arrays(path: Path) -> dict[str, Floats]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key].astype(np.float32) for key in archive.files}


class OnnxNetwork:
    """What `training/voices/export.py` writes, on one thread."""

    def __init__(self, content: bytes) -> None:
        """Raises FacilitatorError `model-damaged`, or what onnxruntime raises for bytes that are no model."""
        onnxruntime.disable_telemetry_events()  # its Windows build would tell its maker
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # what is computed is not kept
        options.log_severity_level = _ERRORS_ONLY
        self._session: Any = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        if [i.name for i in self._session.get_inputs()] != ["mel", "steps"]:
            raise _lacks_a_part()

    def __call__(self, mel: Floats, steps: NDArray[np.int64]) -> Floats:
        """See `Network`."""
        time_first = np.ascontiguousarray(mel.transpose(1, 0, 2))
        (vectors,) = self._session.run(None, {"mel": time_first, "steps": steps.astype(np.int32)})
        return np.array(vectors)  # its own memory would go with the session's


class NumpyNetwork:
    """The arrays of `models.convert.ge2e_arrays`."""

    def __init__(self, arrays: dict[str, Floats]) -> None:
        """Raises FacilitatorError `model-damaged` when one is missing."""
        shapes = {"linear": (_UNITS, DIM), "linear_bias": (DIM,)}
        for k in range(_LAYERS):
            inputs = _UNITS if k else BANDS
            shapes |= {f"input{k}": (inputs, 1024), f"hidden{k}": (_UNITS, 1024), f"bias{k}": (1024,)}
        if any(name not in arrays or arrays[name].shape != shape for name, shape in shapes.items()):
            raise _lacks_a_part()
        # sigmoid(x) = (1 + tanh(x / 2)) / 2, so all four gates are one tanh: halve three of them once, here
        half = np.full(4 * _UNITS, 0.5, np.float32)
        half[2 * _UNITS : 3 * _UNITS] = 1
        # input, forget, output, cell instead of PyTorch's order, so that the sigmoids lie side by side
        order = np.r_[0:512, 768:1024, 512:768]

        def gates(name: str) -> Floats:
            return np.ascontiguousarray((arrays[name] * half)[..., order])

        self._layers = [(gates(f"input{k}"), gates(f"hidden{k}"), gates(f"bias{k}")) for k in range(_LAYERS)]
        self._linear, self._linear_bias = arrays["linear"], arrays["linear_bias"]

    def __call__(self, mel: Floats, steps: NDArray[np.int64]) -> Floats:
        """See `Network`."""
        n = len(mel)
        x = np.ascontiguousarray(mel.transpose(1, 0, 2))  # time first
        live = (np.arange(STEPS)[:, None] < steps[None, :]).astype(np.float32)[:, :, None]
        for weights, recurrent, bias in self._layers:
            gates = (x.reshape(STEPS * n, -1).dot(weights) + bias).reshape(STEPS, n, 4 * _UNITS)
            x = np.empty((STEPS, n, _UNITS), np.float32)
            hidden, cell = np.zeros((n, _UNITS), np.float32), np.zeros((n, _UNITS), np.float32)
            for t in range(STEPS):
                gate = np.tanh(gates[t] + hidden.dot(recurrent))
                inputs, forgets, outputs = np.split(gate[:, : 3 * _UNITS] * _HALF + _HALF, 3, axis=1)
                new = cell * forgets + inputs * gate[:, 3 * _UNITS :]
                cell += (new - cell) * live[t]  # a window that is over keeps its state
                hidden = hidden + (outputs * np.tanh(cell) - hidden) * live[t]
                x[t] = hidden
        vector = np.maximum(x[-1].dot(self._linear) + self._linear_bias, 0)
        length = np.linalg.norm(vector, axis=1, keepdims=True)
        return np.asarray(vector / np.maximum(length, 1e-9), np.float32)


def _lacks_a_part() -> FacilitatorError:
    return FacilitatorError(
        "model-damaged", "The voice encoder lacks a part.", "Fetch the model again.",
        exit_code=ExitCode.NO_MODEL,
    )  # fmt: skip
