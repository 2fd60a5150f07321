"""Turns the published encoder's PyTorch checkpoint into a plain NumPy archive, without PyTorch.

A checkpoint is a pickle, and a pickle can run anything: the reader below knows six harmless names and
refuses every other. The archive written is the same bytes on every machine, so its hash can be pinned.

Source of the layout: the GE2E encoder of Resemblyzer 0.1.4 (Apache-2.0): 40 mel bands, three LSTM layers
of 256, one linear layer of 256.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.errors import ExitCode, FacilitatorError

LAYERS = 3
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # first object of files written before PyTorch 1.6
_STORAGE: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


class _Kind:
    """Stands for `torch.FloatStorage` and its like."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype


class _Tensor(NamedTuple):
    storage: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild_tensor(
    storage: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, shape, stride)


def _rebuild_parameter(data: _Tensor, *_: Any) -> _Tensor:
    return data


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    **{("torch", name): _Kind(dtype) for name, dtype in _STORAGE.items()},
}


class _Reader(pickle.Unpickler):
    """Reads tensors and dictionaries, nothing else. `types` collects the type of each storage."""

    def __init__(self, file: BinaryIO, types: dict[str, np.dtype[Any]]) -> None:
        super().__init__(file, encoding="latin1")
        self._types = types

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"refused: {module}.{name}") from None

    def persistent_load(self, pid: Any) -> str:
        _, kind, key, *_rest = pid
        self._types[str(key)] = kind.dtype
        return str(key)


def read_checkpoint(data: bytes) -> dict[str, NDArray[np.float32]]:
    """The weights in a PyTorch checkpoint (either file format) by their names.

    Raises FacilitatorError `model-damaged` for anything that is not such a file.
    """
    try:
        state, storages, types = (
            _read_zip(data) if zipfile.is_zipfile(io.BytesIO(data)) else _read_legacy(data)
        )
        state = state.get("model_state", state)
        return {
            name: _array(item, storages, types) for name, item in state.items() if isinstance(item, _Tensor)
        }
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        struct.error,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        ImportError,
        MemoryError,
        OverflowError,
    ) as error:
        raise FacilitatorError(
            "model-damaged", "The encoder's weight file cannot be read.", "Fetch the model again.",
            exit_code=ExitCode.NO_MODEL,
        ) from error  # fmt: skip


_Parts = tuple[dict[str, Any], dict[str, bytes], dict[str, np.dtype[Any]]]


def _read_zip(data: bytes) -> _Parts:
    types: dict[str, np.dtype[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        index = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        state = _Reader(io.BytesIO(archive.read(index)), types).load()
        root = index.removesuffix("data.pkl")
        storages = {key: archive.read(f"{root}data/{key}") for key in types}
    return state, storages, types


def _read_legacy(data: bytes) -> _Parts:
    file = io.BytesIO(data)
    types: dict[str, np.dtype[Any]] = {}

    def load() -> Any:
        return _Reader(file, types).load()

    if load() != _LEGACY_MAGIC:
        raise ValueError("not a checkpoint")
    load()  # protocol version
    load()  # sizes of the writing machine's integers
    state = load()
    storages: dict[str, bytes] = {}
    for key in load():
        (count,) = struct.unpack("<q", file.read(8))
        storages[str(key)] = file.read(count * types[str(key)].itemsize)
    return state, storages, types


def _array(
    tensor: _Tensor, storages: dict[str, bytes], types: dict[str, np.dtype[Any]]
) -> NDArray[np.float32]:
    flat = np.frombuffer(storages[tensor.storage], dtype=types[tensor.storage])
    last = tensor.offset + sum(
        (size - 1) * step for size, step in zip(tensor.shape, tensor.stride, strict=True)
    )
    if min(tensor.shape, default=1) < 1 or min(tensor.stride, default=0) < 0 or not 0 <= last < len(flat):
        raise ValueError("a tensor reaches beyond its data")
    steps = [step * flat.itemsize for step in tensor.stride]
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps)
    return np.ascontiguousarray(view, dtype=np.float32)


def ge2e_arrays(weights: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The arrays our encoder computes with, from a checkpoint's weights.

    For layer k: `input{k}` [in, 1024], `hidden{k}` [256, 1024], `bias{k}` [1024]; `linear` [256, 256],
    `linear_bias` [256]. Gates in PyTorch's order: input, forget, cell, output.
    Raises FacilitatorError `model-damaged` when a weight is missing.
    """
    prefix = "l." if "l.weight_ih_l0" in weights else "lstm."
    linear = "f." if prefix == "l." else "linear."
    try:
        arrays: dict[str, NDArray[np.float32]] = {}
        for k in range(LAYERS):
            arrays[f"input{k}"] = weights[f"{prefix}weight_ih_l{k}"].T
            arrays[f"hidden{k}"] = weights[f"{prefix}weight_hh_l{k}"].T
            arrays[f"bias{k}"] = weights[f"{prefix}bias_ih_l{k}"] + weights[f"{prefix}bias_hh_l{k}"]
        arrays["linear"] = weights[f"{linear}weight"].T
        arrays["linear_bias"] = weights[f"{linear}bias"]
    except KeyError as error:
        raise FacilitatorError(
            "model-damaged", f"The encoder's weight file lacks {error}.", "Fetch the model again.",
            exit_code=ExitCode.NO_MODEL,
        ) from error  # fmt: skip
    return arrays


def npz_bytes(arrays: dict[str, Any], *, compress: bool = False) -> bytes:
    """An .npz archive whose bytes depend on nothing but the arrays (np.savez writes the time of day).

    compress: smaller, but the bytes then also depend on the zlib of the machine.
    """
    out = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(
                member, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False
            )
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = kind
            entry.create_system = 3  # else it tells Windows from the rest
            archive.writestr(entry, member.getvalue())
    return out.getvalue()


def convert_checkpoint(checkpoint: Path, target: Path) -> None:
    """Write the NumPy archive for a checkpoint file."""
    target.write_bytes(npz_bytes(ge2e_arrays(read_checkpoint(checkpoint.read_bytes()))))
