"""Ctrl-C and its kin: SIGTERM, when the computer shuts down, and SIGHUP, when the terminal is closed.

No handler ever raises: an exception out of one can strike in the middle of an import, a lock or a clean-up,
and is lost there, or breaks what it strikes. Where nothing has to be put away, the handler ends the program
at once (see `__main__`). Where something has, signals are `noted`, and the loops look at what came.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no terminal that hangs up
LOOK_SECONDS = 0.1  # how often whatever waits long looks at what was noted


def heeded() -> list[signal.Signals]:
    """Those that this system has, and that are not ignored, as they are in a job in the background."""
    there = [signal.Signals[name] for name in NAMES if hasattr(signal, name)]
    return [number for number in there if signal.getsignal(number) is not signal.SIG_IGN]


class Noted:
    """What came since signals are only noted. The first one decides; later ones change nothing."""

    def __init__(self) -> None:
        self.first: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.first is not None

    @property
    def by_a_person(self) -> bool:
        """Ctrl-C: whoever pressed it does not want to go on later."""
        return self.first is signal.SIGINT

    def check(self) -> None:
        """For a place where nothing can break. Raises KeyboardInterrupt if something came."""
        if self:
            raise KeyboardInterrupt

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for `event`, though not beyond a signal. Whether the event came."""
        slices = max(1, round(seconds / LOOK_SECONDS))
        return any(self or event.wait(seconds / slices) for _ in range(slices)) and event.is_set()

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or signal.Signals(number)


_outermost: list[Noted] = []  # for the whole process, as the handlers are


@contextlib.contextmanager
def noted() -> Iterator[Noted]:
    """Signals are noted and nothing else. Inside another `noted` it is the same note.

    In a thread other than the main one, which is sent no signals, nothing is ever noted.
    """
    if _outermost or threading.current_thread() is not threading.main_thread():
        yield _outermost[0] if _outermost else Noted()
        return
    found = Noted()
    _outermost.append(found)
    before = {number: signal.signal(number, found._take) for number in heeded()}
    try:
        yield found
    finally:
        _outermost.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt() -> None:
    """As Ctrl-C does; any thread may."""
    signal.raise_signal(signal.SIGINT)
