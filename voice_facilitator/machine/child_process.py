"""Child processes: one supervisor for all that the program starts and keeps running.

The program's side is `Supervisor`: it launches a child of a kind, passes messages on, watches for signs of
life, kills what hangs or talks nonsense, and launches the next, later each time. The child's side is `Pipes`:
what it reads from the program and what it may send. A library that hangs or crashes takes only its child with
it.

A child is this program again, with a hidden sub-command. Its standard input and output are the pipes, and the
end of its input is the end of the program: a child that has nobody to work for goes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pkgutil
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any, Generic, TypeVar

from voice_facilitator.machine.messages import Codec, NonsenseError, read_frame, write_frame

Control = TypeVar("Control")
Report = TypeVar("Report")

SUB_COMMAND = "child-process"
MODULE = "voice_facilitator"  # what a child runs; the control of the privacy tests puts its own in the place
# The kinds of children and the function that each runs, by name: this module lies below them.
CHILDREN = {
    "hearing": "voice_facilitator.hearing.child:run",
    "speaking": "voice_facilitator.speaking.worker:run",
    "loudspeaker": "voice_facilitator.tools.loudspeaker:run",
    "render": "voice_facilitator.speaking.render:run",
    "selftest": "voice_facilitator.privacy.selftest:run",
}
EXIT_WEDGED = 71  # a child ends so when a library of the system hangs in it: only a new process helps
_SLICE_SECONDS = 0.1
_KILLED_SECONDS = 2.0
_UNREAD = 1000  # reports; a supervisor that stands still holds up its child, not the memory
_UNSENT = 1000  # controls; a child that stands still is told no more

_log = logging.getLogger(__name__)


class Ending(StrEnum):
    """How a child ended."""

    DIED = "died"
    HUNG = "hung"  # no sign of life, or it said itself that a library hangs
    NONSENSE = "nonsense"  # it sent what is no message
    NOT_STARTED = "not-started"  # a crowded machine may have no room for a process just now


@dataclass(frozen=True, slots=True)
class Limits:
    """How long is waited for what. Seconds.

    `start`: until the first sign of life. `silent`: between later ones. `again`: before a child is launched
    anew, longer with each failure in a row. `again_hung`: at most, after one that hung. `steady`: having run
    so long, a failure counts as the first one again.
    """

    start: float
    silent: float
    again: tuple[float, ...]
    again_hung: float
    steady: float


class Hooks(Generic[Control, Report]):
    """What the owner of a supervisor does. Called from the supervisor's thread: be quick."""

    def setup(self) -> tuple[Control, tuple[bytes, ...]]:
        """The first message to every child, and what follows it as it is: see `Supervisor.send`."""
        raise NotImplementedError

    def launched(self) -> None:
        """A child was started and knows its setup, and nothing else yet: `Supervisor.send` reaches it."""

    def told(self, report: Report) -> None:
        """The child sent this."""
        raise NotImplementedError

    def is_life(self, report: Report) -> bool:
        """Whether this is the first sign of life; from then on any report is one."""
        del report
        return True

    def came_alive(self) -> None:
        """The first sign of life of a child."""

    def lost(self, ending: Ending, *, was_alive: bool, failures: int) -> bool:
        """The child is gone and was not told to go; the `failures`-th in a row. False: launch no other."""
        raise NotImplementedError

    def turn(self) -> None:
        """Some ten times a second, also while there is no child."""

    def closed(self) -> None:
        """There is no child any more, and there will be none."""


class _Child:
    """One running child. What it is told goes through a thread, since a child that hangs does not read."""

    def __init__(self, process: subprocess.Popen[bytes], kind: str) -> None:
        self.process = process
        self._unsent: queue.Queue[tuple[bytes, ...]] = queue.Queue(_UNSENT)
        threading.Thread(target=self._write, name=f"{kind}-controls", daemon=True).start()

    def send(self, *frames: bytes) -> bool:
        """Whether it will be told, as far as is known."""
        if self.process.poll() is not None:
            return False
        with contextlib.suppress(queue.Full):
            self._unsent.put_nowait(frames)
            return True
        return False

    def done(self) -> None:
        """It is dead: let the thread go, which closes its end of the pipe."""
        with contextlib.suppress(queue.Full):  # then it is woken by the broken pipe
            self._unsent.put_nowait(())

    def _write(self) -> None:
        pipe = self.process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError), pipe:
            while frames := self._unsent.get():
                for data in frames:
                    write_frame(pipe, data)


class Supervisor(Generic[Control, Report]):
    """Keeps one child of a kind running from `start` to `close`. See the module."""

    def __init__(
        self,
        kind: str,
        controls: Codec[Control],
        reports: Codec[Report],
        hooks: Hooks[Control, Report],
        *,
        limits: Limits,
        environment: dict[str, str] | None = None,
    ) -> None:
        """kind: of `CHILDREN`. environment: added to ours for the child."""
        self.restarts = 0  # children launched after the first
        self.refused = 0  # reports that were no message
        self._kind, self._controls, self._reports = kind, controls, reports
        self._limits, self._hooks, self._environment = limits, hooks, environment or {}
        self._child: _Child | None = None
        self._unwanted: _Child | None = None  # killed by `renew`
        self._closing = threading.Event()
        self._launched_once = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{kind}-supervisor", daemon=True)

    def start(self) -> None:
        """Launch the first child, in a thread of our own. Call once."""
        self._thread.start()

    def wait_launched(self, seconds: float) -> bool:
        """Whether there was a first attempt within so long; from then on a child can be told something."""
        return self._launched_once.wait(seconds)

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        child = self._child
        return child.process.pid if child is not None and child.process.poll() is None else None

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    def send(self, control: Control, *attachments: bytes) -> bool:
        """Pass this on. False: there is no child, or it does not take it. Any thread may; never waits.

        attachments: bytes that follow the message as they are; the child knows what they mean.
        """
        child = self._child
        return child is not None and child.send(self._controls.encode(control), *attachments)

    def renew(self) -> None:
        """Another child in place of this one, at once: all that this one remembers is gone with it."""
        child = self._child
        if child is not None:
            self._unwanted = child
            child.process.kill()

    def close(self, farewell: Control, seconds: float) -> None:
        """Tell the child to go, and kill it after so long. Never hangs, may be called twice."""
        self._closing.set()
        self.send(farewell)
        child = self._child
        if child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(seconds)
            child.process.kill()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_KILLED_SECONDS)

    # ------------------------------------------------------------ in our thread

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began, alive, ending = time.monotonic(), False, Ending.NOT_STARTED
            try:
                reports = self._launch()
            except OSError as error:
                _log.warning("A process (%s) could not be started: %s", self._kind, error)
            else:
                child = self._child
                alive, ending = self._watch(reports)
                if child is self._unwanted and not self._closing.is_set():
                    continue  # nobody has lost it
            finally:
                self._launched_once.set()
            if self._closing.is_set():
                break
            failures = 1 if time.monotonic() - began > self._limits.steady else failures + 1
            if not self._hooks.lost(ending, was_alive=alive, failures=failures):
                break
            self.restarts += 1
            again = self._limits.again
            seconds = again[min(failures, len(again)) - 1]
            self._wait(min(seconds, self._limits.again_hung) if ending is Ending.HUNG else seconds)
        self._hooks.closed()

    def _launch(self) -> queue.Queue[Report | Ending]:
        process = subprocess.Popen(
            command_line(self._kind),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **self._environment},
            # Ctrl-C and a closed terminal are the program's to answer, and it ends its children itself.
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
            | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        child = _Child(process, self._kind)
        assert process.stdout is not None
        reports: queue.Queue[Report | Ending] = queue.Queue(_UNREAD)
        threading.Thread(
            target=self._read, args=(process.stdout, reports), name=f"{self._kind}-reports", daemon=True
        ).start()
        setup, attachments = self._hooks.setup()
        child.send(self._controls.encode(setup), *attachments)
        self._child = child
        if self._closing.is_set():  # while it was being started: who closed did not see it
            process.kill()
        self._hooks.launched()
        return reports

    def _read(self, pipe: IO[bytes], reports: queue.Queue[Report | Ending]) -> None:
        try:
            with pipe:
                while (frame := read_frame(pipe)) is not None:
                    reports.put(self._reports.decode(frame))
        except NonsenseError:
            self.refused += 1
            reports.put(Ending.NONSENSE)
        except (OSError, ValueError):  # closed under us
            reports.put(Ending.DIED)
        else:
            reports.put(Ending.DIED)

    def _watch(self, reports: queue.Queue[Report | Ending]) -> tuple[bool, Ending]:
        """Pass on what the child says until it ends. Whether it was ever alive, and how it ended."""
        alive, ending = False, Ending.HUNG
        limit = time.monotonic() + self._limits.start
        while time.monotonic() < limit:
            self._hooks.turn()
            try:
                report = reports.get(timeout=_SLICE_SECONDS)
            except queue.Empty:
                continue
            if isinstance(report, Ending):
                ending = report
                break
            if self._child is self._unwanted:
                continue  # what it still says is of what has been forgotten
            if not alive and self._hooks.is_life(report):
                alive = True
                self._hooks.came_alive()
            if alive:
                limit = time.monotonic() + self._limits.silent
            self._hooks.told(report)
        return alive, self._end(ending)

    def _end(self, ending: Ending) -> Ending:
        child, self._child = self._child, None
        if child is None:
            return ending
        process = child.process
        if ending is Ending.DIED:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_KILLED_SECONDS)  # its pipe is closed: it is about to go, with a code
        process.kill()
        code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(_KILLED_SECONDS)
        child.done()
        return Ending.HUNG if code == EXIT_WEDGED else ending

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._closing.wait(min(_SLICE_SECONDS, seconds)):
            self._hooks.turn()


def command_line(kind: str) -> list[str]:
    """How a child of this kind is started: in a build of its own the program is all there is."""
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", MODULE]
    return [*program, SUB_COMMAND, kind]


# ---------------------------------------------------------------- in the child


class Pipes(Generic[Control, Report]):
    """The child's ends of the two pipes."""

    def __init__(self, controls: IO[bytes], reports: IO[bytes]) -> None:
        self._in, self._out = controls, reports
        self._writing = threading.Lock()

    def receive(self, codec: Codec[Control]) -> Control:
        """The next message of the program's. Its end is the end of this process."""
        return codec.decode(self.receive_bytes(_LARGEST_CONTROL))

    def receive_bytes(self, limit: int) -> bytes:
        """An attachment, of at most so many bytes. The program's end is the end of this process."""
        frame = None
        with contextlib.suppress(OSError, ValueError):
            frame = read_frame(self._in, limit)
        if frame is None:
            os._exit(0)
        return frame

    def send(self, codec: Codec[Report], report: Report) -> None:
        """Tell the program. Any thread may; with the program gone this process ends."""
        self.send_bytes(codec.encode(report))

    def send_bytes(self, data: bytes) -> None:
        """Answer with `data` as it is."""
        try:
            with self._writing:
                write_frame(self._out, data)
        except (OSError, ValueError):
            os._exit(0)


_LARGEST_CONTROL = 1 << 20  # bytes; what to do at the start holds all sentences of a session


def run_child(arguments: Sequence[str]) -> None:
    """The hidden sub-command: be a child. Ends the process."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the program's to answer
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    controls, reports = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)  # what a library prints must not get between the messages
    os.close(nowhere)
    (kind,) = arguments
    run: Any = pkgutil.resolve_name(CHILDREN[kind])
    pipes: Pipes[Any, Any] = Pipes(os.fdopen(controls, "rb"), os.fdopen(reports, "wb"))
    run(pipes)
    os._exit(0)
