"""Ctrl-C is answered politely from the first moment on, whatever the program is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from voice_facilitator import __version__
from voice_facilitator.machine.interrupts import noted

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are held back in the POSIX way")
BESIDE_PYTHON = Path(sys.executable).parent / "voice-facilitator"


@pytest.mark.parametrize("command", [[sys.executable, "-m", "voice_facilitator"], [str(BESIDE_PYTHON)]])
def test_an_interrupt_from_before_it_began_ends_it_with_its_exit_code(command: list[str]) -> None:
    def pressed_already() -> None:
        """As the installed command does: held back until the program is there to answer."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)

    if not Path(command[0]).exists():
        pytest.skip("the program is not installed beside this Python")
    ended = subprocess.run(
        [*command, "protocols", "list"],
        preexec_fn=pressed_already,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (130, "", "Stopped.")


def test_while_python_starts_it_is_quiet_too() -> None:
    if not BESIDE_PYTHON.exists() or "--block-signal" not in BESIDE_PYTHON.read_text():
        pytest.skip("the program was not installed by scripts/setup, or env cannot hold signals back")
    for milliseconds in range(0, 60, 4):  # Python takes about 30 to start
        started = subprocess.Popen(
            [BESIDE_PYTHON, "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(milliseconds / 1000)
        started.send_signal(signal.SIGINT)
        out, said = started.communicate(timeout=60)
        # In the first millisecond there is no Python yet, and it ends as any program does.
        assert (started.returncode, out, said.strip()) in [
            (130, "", "Stopped."),
            (-signal.SIGINT, "", ""),
            (0, f"voice-facilitator {__version__}\n", ""),
        ]


# The program as its command starts it, with a signal sent to itself: where it loads its command line, or when
# everything is done and Python clears up, which takes tenths of a second.
_SENT = """
import os, signal, sys
number = getattr(signal, sys.argv.pop(1))
class Here:
    def find_spec(self, name, *_):
        if name == "typer": os.kill(os.getpid(), number)
    def __del__(self, kill=os.kill, pid=os.getpid(), number=number): kill(pid, number)
if sys.argv.pop(1) == "early": sys.meta_path.insert(0, Here())
else: sys.never_used = Here()
from voice_facilitator.__main__ import main
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    ("moment", "outcome"),
    [("early", (130, "", "Stopped.")), ("late", (0, f"voice-facilitator {__version__}\n", ""))],
)
def test_whoever_ends_it_and_however_early_or_late_it_never_ends_by_a_signal(
    name: str, moment: str, outcome: tuple[int, str, str]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SENT, name, moment, "--version"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == outcome


def test_noted_a_signal_breaks_nothing_and_the_first_one_decides() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with noted() as told:
            assert not told.wait(threading.Event(), 0.01)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGINT):
                os.kill(os.getpid(), number)
            assert told.first is signal.SIGTERM
            assert not told.by_a_person
            with noted() as inside:
                assert inside is told
            assert told.wait(threading.Event(), 3600) is False, "it waits for nothing any more"
            with pytest.raises(KeyboardInterrupt):
                told.check()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    with noted() as later:
        assert not later


def test_in_a_thread_nothing_is_noted_and_the_main_thread_goes_on_noting() -> None:
    def beside() -> None:
        with noted() as own:
            own.check()

    with noted() as told:
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
        os.kill(os.getpid(), signal.SIGHUP)
        assert told
