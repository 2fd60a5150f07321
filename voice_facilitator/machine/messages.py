"""Messages between our processes: plain data of a closed set of types, checked on arrival.

A message is a frozen dataclass. On the pipe it is one JSON object with the name of its type, in a frame that
begins with its length. Nothing that arrives can run code, as unpickling would, and what is not exactly a
message of the set is refused.
"""

from __future__ import annotations

import json
import math
import struct
from typing import IO, Generic, NoReturn, TypeVar

Message = TypeVar("Message")

_LENGTH = struct.Struct(">I")
_KIND = "kind"
LARGEST_MESSAGE = 1 << 16  # bytes; the longest are lists of sentences to say, or of phrases to understand


class NonsenseError(Exception):
    """What arrived is not a message that this side knows."""


class Codec(Generic[Message]):
    """Writes and reads the messages of one direction."""

    def __init__(self, *kinds: type[Message]) -> None:
        """kinds: the dataclasses that may pass, nothing else."""
        from pydantic import TypeAdapter  # noqa: PLC0415  # a renderer, which has no codec, starts sooner without

        self._adapters = {kind.__name__: TypeAdapter(kind) for kind in kinds}

    def encode(self, message: Message) -> bytes:
        """The message as JSON. Raises KeyError for a type that may not pass."""
        kind = type(message).__name__
        fields = self._adapters[kind].dump_python(message, mode="json")
        return json.dumps({_KIND: kind, **fields}).encode()

    def decode(self, data: bytes) -> Message:
        """The message in `data`. Raises NonsenseError for anything else, also for numbers without end."""
        try:
            fields = json.loads(data, parse_float=_finite, parse_constant=_refuse)
            adapter = self._adapters[fields.pop(_KIND)]
            return adapter.validate_json(json.dumps(fields), strict=True, extra="forbid")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise NonsenseError(type(error).__name__) from None


def frame(data: bytes) -> bytes:
    """`data` with its length before it."""
    return _LENGTH.pack(len(data)) + data


def write_frame(pipe: IO[bytes], data: bytes) -> None:
    """Send `data` whole. Raises OSError when nobody reads any more."""
    pipe.write(frame(data))
    pipe.flush()


def read_frame(pipe: IO[bytes], limit: int = LARGEST_MESSAGE) -> bytes | None:
    """The next frame; None at the end of the pipe. Raises NonsenseError for one longer than `limit` bytes."""
    header = pipe.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(header)
    if length > limit:
        raise NonsenseError(f"{length} bytes")
    data = pipe.read(length)
    return data if len(data) == length else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)
