"""Where the program begins: the command `voice-facilitator`, and `python -m voice_facilitator`.

This file loads next to nothing, and the rest later: what the command line needs takes tenths of a second, and
Ctrl-C is to be answered politely from the first moment on; so are SIGTERM, when the computer shuts down, and
SIGHUP, when the terminal is closed.
"""

from __future__ import annotations

import atexit
import os
import sys

_WORD = b"\nStopped.\n"
_SHOW_CURSOR = b"\x1b[?25h"  # a progress bar may have hidden it
_INTERRUPTED = 130  # errors.ExitCode.INTERRUPTED, which is not loaded yet
# ruff: noqa: PLC0415  # see above


def main() -> None:
    """Runs a command of the command line, and ends the process with its exit code."""
    if sys.argv[1:2] == ["child-process"]:
        from voice_facilitator.machine.child_process import run_child

        run_child(sys.argv[2:])
    ours: list[int] = []  # the signals that are answered

    def ignore_signals() -> None:
        """Python forgets its handlers while it clears up, and a late signal would kill the process."""
        for number in ours:
            signal.signal(number, signal.SIG_IGN)

    _open_what_is_closed()
    try:
        atexit.register(ignore_signals)  # the first to be registered, the last to be called
        import signal

        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # interrupts.NAMES, which is not loaded yet
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                ours.append(number)  # a job in the background is left alone
                signal.signal(number, _leave)
        if sys.platform != "win32":  # the installed command holds them back until here
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)
        import voice_facilitator.cli

        voice_facilitator.cli.main()
    except KeyboardInterrupt:
        _say(_WORD)
        sys.exit(_INTERRUPTED)


def _open_what_is_closed() -> None:
    """Standard streams that are closed lead to nowhere, instead of to whatever file is opened next."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(
                os.open(os.devnull, os.O_RDWR), True
            )  # it takes the lowest number that is free
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _leave(*_: object) -> None:
    """Where nothing has to be put away: ends the process now."""
    try:
        _say(_WORD)
    finally:
        os._exit(_INTERRUPTED)


def _say(word: bytes) -> None:
    """To stderr, where somebody reads it: a terminal that stands still must not keep us."""
    import select

    try:
        if os.isatty(2) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
            word = _SHOW_CURSOR + word
        if sys.platform == "win32" or select.select([], [2], [], 0)[1]:
            os.write(2, word)
    except (OSError, ValueError):  # closed, or the terminal is gone
        pass


if __name__ == "__main__":
    main()
