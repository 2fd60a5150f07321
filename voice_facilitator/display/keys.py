"""Keys as a terminal sends them, read one by one. What they mean stands in `key_table`."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator

import readchar

from voice_facilitator.display.keystrokes import Keystrokes

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
