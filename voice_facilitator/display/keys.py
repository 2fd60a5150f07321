"""Presses: keys of the terminal, a clicker, buttons of the room page. All that voice does, one press does."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import readchar

from voice_facilitator.display.keystrokes import Keystrokes
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


# Nobody presses two keys, and no keyboard repeats one, within this time of each other.
_BURST_SECONDS = 0.02
_REST_SECONDS = 0.3  # a key sequence on a slow line comes in pieces
_PASTE_SECONDS = 3.0  # a long one, too


class KeyReader:
    """Reads single keys in a thread of its own while the terminal is one."""

    def __init__(self, on_key: Callable[[str], None], on_interrupt: Callable[[], None]) -> None:
        self._on_key = on_key
        self._on_interrupt = on_interrupt

    def start(self) -> bool:
        """Begin reading; False where there is no terminal to read from.

        Use it inside `terminal_restored`. Ctrl-S stops nothing any more, and Ctrl-Z neither: a session is not
        to stand still because of a slip.
        """
        if not sys.stdin.isatty():
            return False
        read = self._read_on_windows
        if sys.platform != "win32":
            if not _key_by_key(sys.stdin.fileno()):
                return False
            _bracket_pastes(True)
            read = self._read
        threading.Thread(target=read, name="keys", daemon=True).start()
        return True

    def _read(self) -> None:
        terminal, keystrokes = sys.stdin.fileno(), Keystrokes()
        burst: list[str] = []
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            while True:
                if select.select(
                    [terminal], [], [], _BURST_SECONDS if burst or keystrokes.unfinished else None
                )[0]:
                    data = os.read(terminal, 1024)
                    if not data:
                        return
                    burst += keystrokes.feed(data)
                    continue
                for key in _pressed(burst):
                    self._pass_on(key)
                burst.clear()
                if keystrokes.unfinished:
                    self._wait_for_the_rest(terminal, keystrokes)

    def _wait_for_the_rest(self, terminal: int, keystrokes: Keystrokes) -> None:
        """Of a sequence that has begun: a slow line may take it apart, or this is all of it."""
        wait = 0.0 if keystrokes.only_escape else _PASTE_SECONDS if keystrokes.pasting else _REST_SECONDS
        if not select.select([terminal], [], [], wait)[0]:
            keystrokes.give_up()

    def _read_on_windows(self) -> None:
        while True:
            try:
                self._pass_on(readchar.readkey())
            except KeyboardInterrupt:
                self._on_interrupt()
            except (OSError, EOFError, ValueError):  # the terminal is gone
                return

    def _pass_on(self, key: str) -> None:
        if key == "\x03":  # the terminal itself does it where it is the program's own
            self._on_interrupt()
        else:
            self._on_key(key)


def _pressed(burst: list[str]) -> list[str]:
    """The keys among those that came at once: letters that came together were pasted, not pressed.

    Terminals that mark pasted text have it passed over already; this is for the others. The same key twice is
    a clicker that bounces.
    """
    typed = {key for key in burst if len(key) == 1}
    return [key for key in dict.fromkeys(burst) if len(key) > 1 or len(typed) == 1]


def _key_by_key(terminal: int) -> bool:
    """Have the terminal send keys as they are pressed. False in the background, where it is not ours."""
    import termios  # noqa: PLC0415  # not there on Windows

    with contextlib.suppress(OSError):  # it is no job's terminal
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return False
    try:
        flags = termios.tcgetattr(terminal)
        flags[0] &= ~termios.IXON
        flags[3] &= ~(termios.ICANON | termios.ECHO)
        flags[6][termios.VMIN], flags[6][termios.VTIME] = 1, 0
        flags[6][termios.VSUSP] = bytes([os.fpathconf(terminal, "PC_VDISABLE")])
        termios.tcsetattr(terminal, termios.TCSANOW, flags)  # never waits until all is shown
    except (OSError, ValueError, termios.error):
        return False
    return True


_pastes_bracketed = threading.Event()


def _bracket_pastes(wanted: bool) -> None:
    """Have the terminal mark what is pasted, or no more."""
    if not sys.stderr.isatty() or not can_redraw():
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("\x1b[?2004h" if wanted else "\x1b[?2004l")
        sys.stderr.flush()
    (_pastes_bracketed.set if wanted else _pastes_bracketed.clear)()


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """Leaves the terminal as it was found, even if a key was just being read."""
    try:
        import termios  # noqa: PLC0415  # not there on Windows

        before = termios.tcgetattr(sys.stdin.fileno())
    except (ImportError, OSError, ValueError, termios.error):
        yield
        return
    bracketed = _pastes_bracketed.is_set()
    try:
        yield
    finally:
        if _pastes_bracketed.is_set() and not bracketed:
            _bracket_pastes(False)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, before)


def can_redraw() -> bool:
    """Whether the terminal knows more than lines: to go back, and to do what it is told by sequences."""
    if sys.platform == "win32":
        return True
    name = os.environ.get("TERM", "")
    try:
        import curses  # noqa: PLC0415  # not there on Windows, nor in every Python

        curses.setupterm(name, 2)
    except ImportError:
        return name not in ("", "dumb", "unknown")
    except curses.error:
        return False
    return curses.tigetstr("cuu1") is not None and curses.tigetstr("el") is not None
