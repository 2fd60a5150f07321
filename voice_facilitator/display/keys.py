"""Keys of the terminal: everything that voice does can be done with one key."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

import readchar

from voice_facilitator.session.events import Action, Request

# Presentation clickers send PageDown, PageUp and sometimes "b".
_NEXT = (" ", "\r", "\n", "n", readchar.key.PAGE_DOWN, readchar.key.RIGHT)
_BACK = ("b", readchar.key.PAGE_UP, readchar.key.LEFT)
_SIMPLE: dict[str, Action] = {
    "r": Action.REPEAT,
    "?": Action.TIME_LEFT,
    "+": Action.MORE_TIME,
    "=": Action.MORE_TIME,
    "-": Action.LESS_TIME,
    "t": Action.TIMER_ONLY,
    "s": Action.STOP_REMINDERS,
    "u": Action.UNDO,
    "e": Action.END,
    "y": Action.YES,
    "o": Action.NO,
    **dict.fromkeys(_BACK, Action.BACK),
}

HELP: tuple[tuple[str, Action], ...] = (
    ("space begin", Action.BEGIN),
    ("space next", Action.NEXT),
    ("b back", Action.BACK),
    ("r repeat part", Action.REPEAT),
    ("p pause", Action.PAUSE),
    ("p resume", Action.RESUME),
    ("+ 2 more min", Action.MORE_TIME),
    ("- 2 less min", Action.LESS_TIME),
    ("? time left", Action.TIME_LEFT),
    ("s stop reminders", Action.STOP_REMINDERS),
    ("t timer only", Action.TIMER_ONLY),
    ("y yes", Action.YES),
    ("o no", Action.NO),
    ("u undo", Action.UNDO),
    ("e end", Action.END),
)


def request_for(key: str, allowed: frozenset[Action]) -> Request | None:
    """What a key asks for, given what is possible now; None for a key without a meaning."""
    key = key if len(key) > 1 else key.lower()
    if key in _NEXT:
        action = Action.BEGIN if Action.BEGIN in allowed else Action.NEXT
    elif key == "p":
        action = Action.RESUME if Action.RESUME in allowed else Action.PAUSE
    elif key in _SIMPLE:
        action = _SIMPLE[key]
    else:
        return None
    return Request(action, "key")


class KeyReader:
    """Reads single keys in a thread of its own while the terminal is one."""

    def __init__(self, on_key: Callable[[str], None], on_interrupt: Callable[[], None]) -> None:
        self._on_key = on_key
        self._on_interrupt = on_interrupt

    def start(self) -> bool:
        """Begin reading; False where there is no terminal to read from."""
        if not sys.stdin.isatty():
            return False
        threading.Thread(target=self._read, name="keys", daemon=True).start()
        return True

    def _read(self) -> None:
        while True:
            try:
                key = readchar.readkey()
            except KeyboardInterrupt:
                self._on_interrupt()
                return
            except (OSError, EOFError, ValueError):  # the terminal is gone
                return
            self._on_key(key)


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """Leaves the terminal as it was found, even if a key was just being read."""
    try:
        import termios  # noqa: PLC0415  # not there on Windows

        before = termios.tcgetattr(sys.stdin.fileno())
    except (ImportError, OSError, ValueError, termios.error):
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
