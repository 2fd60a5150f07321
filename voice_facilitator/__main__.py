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
_INTERRUPTED = 130  # errors.ExitCode.INTERRUPTED, which is not loaded yet
# ruff: noqa: PLC0415  # see above


def main() -> None:
    """Runs a command of the command line, and ends the process with its exit code."""
    if sys.argv[1:2] == ["child-process"]:
        from voice_facilitator.machine.child_process import run_child

        run_child(sys.argv[2:])
    interrupted = False
    ours: list[int] = []  # the signals that are answered

    def end_so() -> None:
        """What is done is done. Python forgets its handlers while it clears up, and a late one would kill it;
        and it kills itself where an interrupt came in the middle of certain imports, handled or not."""
        for number in ours:
            signal.signal(number, signal.SIG_IGN)
        if interrupted:
            import contextlib

            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(_INTERRUPTED)

    try:
        atexit.register(end_so)  # the first to come, the last to be called
        import signal

        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no terminal that hangs up
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                ours.append(number)  # a job in the background is left alone
                signal.signal(number, _leave)
        if sys.platform != "win32":  # the installed command holds Ctrl-C back until here
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        import voice_facilitator.cli

        try:
            voice_facilitator.cli.main()
        finally:
            for number in ours:
                signal.signal(number, _leave)
    except KeyboardInterrupt:
        interrupted = True
        os.write(2, _WORD)
        sys.exit(_INTERRUPTED)
    except SystemExit as end:
        interrupted = end.code == _INTERRUPTED
        raise


def _leave(*_: object) -> None:
    """Before anything has begun, and when everything has been put away.

    An exception could be lost here, or printed, in the middle of an import or of Python's own clean-up.
    """
    try:
        os.write(2, _WORD)
    finally:  # where the terminal is gone, too
        os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
