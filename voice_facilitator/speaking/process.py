"""The program's handle on the speaking process: starts it, watches it, starts it again.

    speaking = SpeakingProcess(settings.speaking, on_event=inbox.put)
    speaking.start([every known sentence, the first needed first])
    speaking.say(7, "Two minutes left.", chime=True, voice=True)
    ...
    speaking.close()

Every `say` is answered by exactly one AnnouncementFinished, whatever happens to the process, the speaker or
the speech engine. Nothing here waits for the process.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from voice_facilitator.interrupts import deaf_to_interrupts
from voice_facilitator.session.events import (
    AnnouncementFinished,
    AnnouncementStarted,
    Input,
    Outcome,
    Part,
    PartBack,
    PartLost,
)
from voice_facilitator.settings import SpeakingSettings
from voice_facilitator.speaking import messages as m
from voice_facilitator.speaking import worker
from voice_facilitator.speaking.engine import MAX_TEXT, Pyttsx3Engine
from voice_facilitator.speaking.renderer import RETRY_SECONDS

MAX_OPEN = 8  # announcements not answered yet; more would be said to a room that has moved on
START_SECONDS = 20.0  # limit for the first sign of life: a busy small computer imports slowly
_BEGIN_SECONDS = 2.0  # for the system to make the process: a session waits for this, even after a power cut
SILENT_SECONDS = 6.0  # limit between signs of life; opening a sleeping speaker may take two
CLOSE_SECONDS = 1.5  # to fade out and go
_HEALTHY_SECONDS = 60.0  # after this a process counts as sound, and the waiting times begin anew
_WAIT_BEFORE_START = (0.2, 1.0, 3.0, 10.0, 30.0, 60.0)  # a process that keeps dying must not burn the machine
_SLICE_SECONDS = 0.1

_log = logging.getLogger(__name__)


class SpeakingProcess:
    """See the module. `start`, `say`, `stop` and `close` may be called from any thread.

    `on_event` gets AnnouncementStarted (up to 0.1 s before the sound), AnnouncementFinished (after its last
    sample), PartLost and PartBack (SPEAKER, SPEECH_ENGINE), one at a time, from a thread of this class; it
    must be quick. `restarts` counts processes started after the first, `dropped` announcements refused
    because too many were open.
    """

    def __init__(
        self,
        settings: SpeakingSettings,
        on_event: Callable[[Input], None],
        *,
        new_engine: worker.EngineFactory = Pyttsx3Engine,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.restarts = 0
        self.dropped = 0
        self._settings = settings
        self._on_event = on_event
        self._on_progress: Callable[[int, int], None] = lambda _done, _total: None
        self._new_engine = new_engine
        self._retry_seconds = retry_seconds
        self._texts: list[str] = []
        self._thread = threading.Thread(target=self._supervise, name="speaking", daemon=True)
        self._process: BaseProcess | None = None
        self._reports: Connection | None = None
        self.works: dict[Part, bool] = {}  # as far as the process has told
        self._close_now = threading.Event()
        self._begun = threading.Event()
        self._lock = threading.Lock()
        # Guarded by `_lock`:
        self._commands: Connection | None = None
        self._open: dict[int, None] = {}  # announcements without an answer, oldest first
        self._refused: deque[int] = deque()  # answered FAILED by the supervising thread
        self._stopping = False  # a Stop is on its way: one is enough, so the pipe cannot fill up

    # ------------------------------------------------------------ for the program

    def start(
        self,
        texts_to_prepare: list[str],
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        """Starts the process; it renders these sentences in the background, the first first. Call once.

        `on_progress(done, total)` is called as `on_event` is; without an engine it stops short.
        """
        self._texts = [text[:MAX_TEXT] for text in texts_to_prepare]
        self._on_progress = on_progress
        self._thread.start()
        self._begun.wait(_BEGIN_SECONDS)  # some 0.05 s: from now on it can be told to say something

    def say(self, number: int, text: str, *, chime: bool = True, voice: bool = True) -> None:
        """Says this after what is being said. `number` comes back in the events."""
        with self._lock:
            if len(self._open) >= MAX_OPEN:
                self.dropped += 1
                if len(self._refused) < MAX_OPEN * 4:
                    self._refused.append(number)
                return
            asked = m.Say(number, text[:MAX_TEXT], chime, voice, time.monotonic())
            if (chime or voice) and self._send(asked):
                self._open[number] = None
                self._stopping = False
            else:
                self._refused.append(number)

    def stop(self) -> None:
        """Fades out what is being said and drops what waits; those are answered STOPPED."""
        with self._lock:
            if self._open and not self._stopping:
                self._stopping = self._send(m.Stop())

    def close(self) -> None:
        """Fades out and ends the process, by force if need be. Takes at most some four seconds."""
        self._close_now.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * CLOSE_SECONDS + 2)

    @property
    def pid(self) -> int | None:
        """The process's number, None while there is none."""
        process = self._process
        return process.pid if process is not None else None

    def _send(self, command: m.Command) -> bool:
        """With the lock held. Does not block: what is open at most fits into the pipe many times."""
        if self._commands is None:
            return False
        try:
            self._commands.send(command)
        except OSError:  # it has just died; the supervising thread notices
            return False
        return True

    # ------------------------------------------------------------ the supervising thread

    def _supervise(self) -> None:
        failures = 0
        while not self._close_now.is_set():
            began, hung = time.monotonic(), False
            try:
                self._start_process()
            except OSError as error:  # a crowded machine may have no room for a process just now
                _log.warning("The speaking process could not be started: %s", error)
            else:
                hung = self._watch()
                self._end_process()
            finally:
                self._begun.set()
            self._answer_all(Outcome.STOPPED if self._close_now.is_set() else Outcome.FAILED)
            if self._close_now.is_set():
                break
            if hung:  # only a sound library can stop the playing thread
                self._part_is(Part.SPEAKER, works=False)
            failures = 0 if time.monotonic() - began > _HEALTHY_SECONDS else failures + 1
            wait = _WAIT_BEFORE_START[min(max(failures - 1, 0), len(_WAIT_BEFORE_START) - 1)]
            self.restarts += 1
            self._wait_refusing(wait)

    def _start_process(self) -> None:
        context = multiprocessing.get_context("spawn")
        command_end, commands = context.Pipe(duplex=False)
        self._reports, report_end = context.Pipe(duplex=False)
        ends = (command_end, report_end)
        what = (self._settings, self._texts, self._new_engine, self._retry_seconds)
        process = context.Process(target=worker.run, args=(*ends, *what), name="speaking", daemon=True)
        with deaf_to_interrupts():
            process.start()
        for end in ends:
            end.close()  # the process has its own; with ours open its end would not be noticed
        self._process = process
        with self._lock:
            self._commands = commands
            self._stopping = False
        self._begun.set()

    def _watch(self) -> bool:
        """Passes on what the process says until it ends, hangs (True) or is not wanted any more."""
        assert self._process is not None
        assert self._reports is not None
        limit = time.monotonic() + START_SECONDS
        while not self._close_now.is_set():
            self._answer_refused()
            ready = connection.wait([self._reports, self._process.sentinel], _SLICE_SECONDS)
            if self._reports in ready:
                try:
                    report: m.Report = self._reports.recv()
                except Exception:  # noqa: BLE001  # its end, or half a message: in any case it is of no use now
                    self._process.join(1)
                    return self._process.exitcode in (None, worker.EXIT_WEDGED)
                limit = time.monotonic() + SILENT_SECONDS
                self._take(report)
            elif ready:  # dead, and everything it said has been read
                return self._process.exitcode == worker.EXIT_WEDGED
            if time.monotonic() > limit:
                return True
        return False

    def _take(self, report: m.Report) -> None:
        match report:
            case m.Alive():
                pass
            case m.Started(number):
                self._tell(AnnouncementStarted(number))
            case m.Finished(number, outcome):
                with self._lock:
                    known = number in self._open
                    self._open.pop(number, None)
                    self._stopping = self._stopping and bool(self._open)
                if known:
                    self._tell(AnnouncementFinished(number, outcome))
            case m.PartWorks(part, works):
                self._part_is(part, works=works)
            case m.Progress(done, total):
                self._safely(lambda: self._on_progress(done, total))

    def _part_is(self, part: Part, *, works: bool) -> None:
        worked = self.works.get(part, True)
        self.works[part] = works
        if works != worked:
            self._tell(PartBack(part) if works else PartLost(part))

    def _end_process(self) -> None:
        process, reports = self._process, self._reports
        assert process is not None
        assert reports is not None
        with self._lock:
            if self._close_now.is_set():
                self._send(m.Close())
            commands, self._commands = self._commands, None
        if self._close_now.is_set():
            self._hear_out(reports)
        process.join(0.1)
        process.kill()
        process.join(1)
        for end in (commands, reports):
            if end is not None:
                end.close()
        self._process = None

    def _hear_out(self, reports: Connection) -> None:
        """The last words of a process that was told to go."""
        until = time.monotonic() + CLOSE_SECONDS
        with contextlib.suppress(EOFError, OSError):
            while (left := until - time.monotonic()) > 0:
                if reports.poll(left):
                    self._take(reports.recv())

    def _wait_refusing(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._close_now.wait(min(_SLICE_SECONDS, seconds)):
            self._answer_refused()

    def _answer_refused(self) -> None:
        with self._lock:
            numbers = list(self._refused)
            self._refused.clear()
        for number in numbers:
            self._tell(AnnouncementFinished(number, Outcome.FAILED))

    def _answer_all(self, outcome: Outcome) -> None:
        with self._lock:
            numbers = list(self._open)
            self._open.clear()
        for number in numbers:
            self._tell(AnnouncementFinished(number, outcome))
        self._answer_refused()

    def _tell(self, event: Input) -> None:
        self._safely(lambda: self._on_event(event))

    def _safely(self, call: Callable[[], None]) -> None:
        """A mistake in the program's handler must not end the supervision."""
        try:
            call()
        except Exception:  # noqa: BLE001  # logged, and the next event is as important
            _log.exception("The handler of the speaking process's events failed")
