"""Presses: keys of the terminal, a clicker, buttons of the room page. All that voice does, one press does."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import readchar

from voice_facilitator.session.events import Action, Request

# Presentation clickers send PageDown and PageUp, and "b" for a black screen: here that is the pause.
NEXT_KEYS = (" ", "\r", "\n", readchar.key.PAGE_DOWN, readchar.key.RIGHT)
BACK_KEYS = (readchar.key.PAGE_UP, readchar.key.LEFT, readchar.key.BACKSPACE)
PAUSE_KEYS = ("p", "b", ".")
SIMPLE_KEYS: dict[str, Action] = {
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
    "n": Action.NO,
}
# The key shown for each action, and the order in which they are shown; "space" is written out.
SHOWN_KEYS: tuple[tuple[Action, str], ...] = (
    (Action.BEGIN, "space"),
    (Action.NEXT, "space"),
    (Action.BACK, "←"),
    (Action.REPEAT, "r"),
    (Action.PAUSE, "p"),
    (Action.RESUME, "p"),
    (Action.MORE_TIME, "+"),
    (Action.LESS_TIME, "-"),
    (Action.TIME_LEFT, "?"),
    (Action.STOP_REMINDERS, "s"),
    (Action.TIMER_ONLY, "t"),
    (Action.YES, "y"),
    (Action.NO, "n"),
    (Action.UNDO, "u"),
    (Action.END, "e"),
)


@dataclass(frozen=True, slots=True)
class Press:
    """Somebody pressed for `action`. `seen`: the phase they had before their eyes; None: unknown."""

    action: Action
    source: str = "key"
    seen: str | None = None

    def request(self) -> Request:
        return Request(self.action, self.source)


def press_for(key: str, allowed: frozenset[Action]) -> Press | None:
    """What a key asks for, given what is possible now; None for a key without a meaning."""
    key = key if len(key) > 1 else key.lower()
    if key in NEXT_KEYS:
        return Press(Action.BEGIN if Action.BEGIN in allowed else Action.NEXT)
    if key in BACK_KEYS:
        return Press(Action.BACK)
    if key in PAUSE_KEYS:
        return Press(Action.RESUME if Action.RESUME in allowed else Action.PAUSE)
    action = SIMPLE_KEYS.get(key)
    return Press(action) if action is not None else None


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
