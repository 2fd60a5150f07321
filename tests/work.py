"""How much a call works, counted in lines of Python: the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# A slow computer runs some ten million lines in a second; work in C is not counted, hence a wide margin.
IN_A_SECOND = 3_000_000


class TooMuchWorkError(BaseException):
    """No Exception: nothing may take it for an error of its own."""


@contextmanager
def at_most(lines: int = IN_A_SECOND) -> Iterator[None]:
    """Raises TooMuchWorkError where the block runs more lines of Python."""
    left = lines
    before = sys.gettrace()

    def count(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left < 0:
                raise TooMuchWorkError(f"more than {lines} lines of Python")
        return count

    sys.settrace(count)
    try:
        yield
    finally:
        sys.settrace(before)
