"""The encoder's networks in onnxruntime: mel bands in, vectors for each window and for its end out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.models import INSTALL_AGAIN

BANDS, DIM = 80, 192  # mel bands, length of a vector
_ERRORS_ONLY = 3  # of onnxruntime's levels of logging


class Network(Protocol):
    """The network of a speaker encoder."""

    def __call__(self, features: Floats) -> Floats:
        """features: float32 [n, frames, 80].

        Returns float32 [n, 2, 192], see `SpeakerEncoder.encode`; of a network that tells voices which speak
        at the same time [n, 2, voices, 192].
        """
        ...


def load_network(path: Path, voices: int = 1) -> Network:
    """Read a weight file, .onnx, of a network that tells so many voices at once.

    Raises FacilitatorError `model-missing` or `model-damaged`.
    """
    with reading(f"The voice encoder {path.name}"):
        if not path.is_file():
            raise FileNotFoundError(path)  # onnxruntime has a kind of its own
        return OnnxNetwork(path, voices)


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """What goes wrong in it becomes a FacilitatorError, `model-missing` or `model-damaged`.

    what: the file in the user's words, as the beginning of a sentence.
    """
    try:
        yield
    except FacilitatorError:
        raise
    except FileNotFoundError as error:
        raise FacilitatorError(
            "model-missing", f"{what} is not there.", INSTALL_AGAIN, exit_code=ExitCode.NO_MODEL
        ) from error
    except Exception as error:  # damaged files raise half a dozen kinds
        raise FacilitatorError(
            "model-damaged", f"{what} cannot be read.", INSTALL_AGAIN, exit_code=ExitCode.NO_MODEL
        ) from error


class OnnxNetwork:
    """What `training/voices` writes, on one thread."""

    def __init__(self, path: Path, voices: int = 1) -> None:
        """Raises FacilitatorError `model-damaged`, or what onnxruntime raises for a file that is no model."""
        onnxruntime.disable_telemetry_events()  # its Windows build would tell its maker
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # what is computed is not kept
        # Weights of 8 bits are made whole once, here; else they are for every window: 27 ms instead of 22.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.log_severity_level = _ERRORS_ONLY
        self._session: Any = onnxruntime.InferenceSession(
            str(path),  # not its bytes, which would be kept
            options,
            providers=["CPUExecutionProvider"],
        )
        shape = [voices, DIM] if voices > 1 else [DIM]
        parts = [
            [i.name for i in self._session.get_inputs()],
            [[o.name, *o.shape[1:]] for o in self._session.get_outputs()],
        ]
        if parts != [["features"], [["whole", *shape], ["end", *shape]]]:
            raise FacilitatorError(
                "model-damaged", "The voice encoder lacks a part.", INSTALL_AGAIN, exit_code=ExitCode.NO_MODEL
            )

    def __call__(self, features: Floats) -> Floats:
        """See `Network`."""
        return np.stack(self._session.run(None, {"features": features}), axis=1)
