"""Ctrl-C and its kin: who gets them, and when they may strike."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

LEAVING = ("SIGTERM", "SIGHUP")  # the computer shuts down; the terminal is closed
_LATER_SECONDS = 0.05
_raised: dict[type[BaseException], int] = {}  # and the signal it was raised for
_holding: list[None] = []  # an entry for each `held_back` that is on


def heeded(*names: str) -> list[signal.Signals]:
    """Those of the signals that this system has, and that are not ignored, as in a job in the background."""
    there = [signal.Signals[name] for name in names if hasattr(signal, name)]
    return [number for number in there if signal.getsignal(number) is not signal.SIG_IGN]


def raising(exception: type[BaseException]) -> Callable[[int, FrameType | None], None]:
    """A signal handler that raises `exception` in the main thread, a moment later where it would be lost.

    In the middle of an import it can be swallowed, or come out as an error of the library that was importing.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if _holding or frame.f_code.co_filename.startswith("<frozen importlib"):
                _send_again(number)
                return
            frame = frame.f_back
        _raised[exception] = number
        raise exception

    return handler


def comes_again(lost: sys.UnraisableHookArgs) -> None:
    """For `sys.unraisablehook`: what `raising` raised where nobody can catch it, as when an object goes, is
    sent once more. Anything else is told as always."""
    number = _raised.pop(lost.exc_type, None)
    if number is None:
        sys.__unraisablehook__(lost)
    else:
        _send_again(number)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Handlers of `raising` wait: for a library that breaks when interrupted. In the main thread only."""
    _holding.append(None)
    try:
        yield
    finally:
        _holding.pop()


def _send_again(number: int) -> None:
    again = threading.Timer(_LATER_SECONDS, _send_to_main_thread, [number])
    again.daemon = True
    again.start()


def _send_to_main_thread(number: int) -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)  # wakes it where it waits
    else:  # Windows
        signal.raise_signal(number)
