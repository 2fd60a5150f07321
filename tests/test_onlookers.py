"""Whoever only looks cannot hold up a session: readers that stop or go, terminals that stand still."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.test_faults_resume import LIMIT, PROTOCOL, wait_for
from voice_facilitator.machine.outlet import Outlet, PatientStream

fcntl = pytest.importorskip("fcntl")  # not there on Windows
termios = pytest.importorskip("termios")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pipes, terminals and folders as on Linux")
TINY_PIPE_BYTES = 4096


def full_pipe() -> tuple[int, int]:
    """A pipe that holds nothing more, because nobody reads it."""
    reads, writes = os.pipe()
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, TINY_PIPE_BYTES)
    os.write(writes, b"." * TINY_PIPE_BYTES)
    return reads, writes


class Run:
    """`run` with a session of seconds, timer only; in a terminal of its own where asked to."""

    def __init__(self, folder: Path, *options: str, minutes: float = 0.04, **streams: Any) -> None:
        folder.mkdir()
        self.log = folder / "events.jsonl"
        self.resume_file = folder / "voice-facilitator" / "resume.json"
        (folder / "three.toml").write_text(
            PROTOCOL.format(minutes=minutes).replace("goodbye =", "closing_seconds = 2\ngoodbye =")
        )
        (folder / "settings.toml").write_text('[commands]\nengine = "none"\n')
        soundfile.write(folder / "silence.wav", np.zeros(16_000 * 60), 16_000, subtype="PCM_16")
        command = [sys.executable, "-m", "voice_facilitator", "run", "--timer-only", "--begin-after", "0"]
        command += ["--no-display", "--settings", str(folder / "settings.toml")]
        command += ["--protocol", str(folder / "three.toml"), "--audio", str(folder / "silence.wav")]
        if "--events" not in options:
            command += ["--events", str(self.log)]
        environment = {"XDG_STATE_HOME": str(folder), "PULSE_SERVER": "unix:/nonexistent"}
        environment = {**os.environ, **environment, **streams.pop("env", {})}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **streams}
        self.process = subprocess.Popen(
            [*command, *options], env=environment, start_new_session="preexec_fn" not in streams, **streams
        )

    def phases(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return [entry["name"] for entry in entries if entry["event"] == "phase"]


class InTerminal(Run):
    """With a terminal before it, whose other end is `hand`."""

    def __init__(self, folder: Path, *options: str, **more: Any) -> None:
        self.hand, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, b"\x28\x00\xa0\x00\x00\x00\x00\x00")  # 40 by 160

        def in_it() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
        super().__init__(folder, *options, preexec_fn=in_it, **streams, **more)
        os.close(terminal)
        self.shown = b""

    def look(self, seconds: float = 0.05) -> str:
        """Reads what it shows for a while; all that was shown so far."""
        until = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            while select.select([self.hand], [], [], max(0.0, until - time.monotonic()))[0]:
                self.shown += os.read(self.hand, 65_536)
        return self.shown.decode("latin-1")

    def press(self, keys: bytes) -> None:
        os.write(self.hand, keys)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    running: list[Run] = []

    def begin(name: str, *options: str, kind: type[Run] = Run, **more: Any) -> Run:
        running.append(kind(tmp_path / name, *options, **more))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()
        if isinstance(one, InTerminal):
            os.close(one.hand)


@pytest.mark.slow
def test_readers_that_stop_or_go_hold_up_no_session(run: Callable[..., Run], tmp_path: Path) -> None:
    """All at the same time, since each takes as long as its session."""
    unread, gone = full_pipe()[1], full_pipe()
    os.close(gone[0])
    fifo, fifo_with_nobody = tmp_path / "fifo", tmp_path / "fifo-2"
    os.mkfifo(fifo)
    os.mkfifo(fifo_with_nobody)
    sessions = {
        "stderr that nobody reads": run("1", stderr=unread),
        "stderr whose reader has gone": run("2", stderr=gone[1]),
        "events that nobody reads": run("3", "--events", "-", stdout=unread, stderr=unread),
        "events whose reader has gone": run("4", "--events", "-", stdout=gone[1], stderr=gone[1]),
        "a FIFO without a reader": run("5", "--events", str(fifo_with_nobody), stderr=unread),
        "a FIFO": run("6", "--events", str(fifo), stderr=unread),
        "a full disk": run("7", "--events", "/dev/full", stderr=subprocess.PIPE, text=True),
        "a terminal that stands still": run("8", kind=InTerminal),
        "a terminal of another encoding": run("9", kind=InTerminal, env={"PYTHONIOENCODING": "latin-1"}),
        "letters that stderr lacks": run("10", stderr=unread, env={"PYTHONIOENCODING": "ascii:strict"}),
    }
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    for session in sessions.values():
        if isinstance(session, InTerminal):
            wait_for(
                lambda session=session: '"ended"' in (session.log.read_text() if session.log.exists() else "")
            )
            while session.process.poll() is None:  # it offers a summary until a key is pressed
                session.press(b" ")
                time.sleep(0.2)
    ends = {name: session.process.wait(LIMIT) for name, session in sessions.items()}
    assert ends == dict.fromkeys(sessions, 0)
    reader.join(LIMIT)
    assert json.loads(read[0].splitlines()[-1])["event"] == "ended"
    for name, session in sessions.items():
        if session.log.exists():
            assert session.phases() == ["first", "second", "third"], name


@pytest.mark.slow
def test_ctrl_s_stops_nothing_and_ctrl_c_works_where_nobody_reads(run: Callable[..., Any]) -> None:
    session = run("1", kind=InTerminal, minutes=0.1)
    wait_for(lambda: "Prepar" in session.look() or session.phases() != [])
    session.press(b"\x13")
    wait_for(lambda: session.phases() == ["first", "second"])  # the terminal is not read meanwhile
    session.press(b"\x03")
    assert session.process.wait(LIMIT) == 130
    assert not session.resume_file.exists()
    assert "Traceback" not in session.look()


@pytest.mark.slow
def test_a_terminal_that_cannot_go_back_gets_lines(run: Callable[..., Any]) -> None:
    sessions = [run(name, kind=InTerminal, env={"TERM": name}) for name in ("dumb", "unknown", "nonsense")]
    for session in sessions:
        wait_for(lambda session=session: "== Third (0:0" in session.look())
        assert "\x1b" not in session.shown.decode("latin-1")


def test_what_finds_no_room_is_counted_and_the_rest_keeps_its_order() -> None:
    go_on, written = threading.Event(), []

    def write(text: str) -> None:
        go_on.wait(LIMIT)
        written.append(text)
        if text == "3":
            raise OSError(28, "no space left")

    outlet = Outlet(write, most_waiting=5)
    outlet.put("0")
    wait_for(lambda: not outlet._waiting)
    for number in range(1, 9):
        outlet.put(str(number))
    assert outlet.lost == 3
    assert not outlet.idle
    assert not outlet.close(0.01) and outlet.lost == 8, "what waits is given up"
    go_on.set()
    wait_for(lambda: outlet.idle)
    assert written == ["0"]


def test_a_patient_stream_writes_to_the_end() -> None:
    reads, writes = os.pipe()
    with os.fdopen(writes, "w", encoding="cp1252") as under:
        stream = PatientStream(under)
        print("Übung █ " * 2000, file=stream)
        with os.fdopen(reads, "rb") as reader:
            text = reader.read(16_001)
        assert stream.outlet.close()
    assert text.decode("cp1252") == "Übung ? " * 2000 + "\n"
    assert stream.outlet.lost == 0
