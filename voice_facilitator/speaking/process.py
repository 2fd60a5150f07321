"""The program's handle on the speaking process.

    speaking = SpeakingProcess(settings.speaking, on_event=inbox.put)
    speaking.start([every known sentence, the first needed first])
    speaking.say(7, "Two minutes left.", chime=True, voice=True)
    ...
    speaking.close()

Every `say` is answered by exactly one AnnouncementFinished, whatever happens to the process, the speaker or
the speech engine. Nothing here waits for the process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from voice_facilitator.files.settings import SpeakingSettings
from voice_facilitator.machine.child_process import Ending, Hooks, Limits, Supervisor
from voice_facilitator.session.events import (
    AnnouncementFinished,
    AnnouncementStarted,
    Input,
    Outcome,
    Part,
    PartBack,
    PartLost,
)
from voice_facilitator.speaking import messages as m
from voice_facilitator.speaking.engine import MAX_TEXT
from voice_facilitator.speaking.renderer import RETRY_SECONDS

MAX_OPEN = 8  # announcements not answered yet; more would be said to a room that has moved on
CLOSE_SECONDS = 1.5  # to fade out and go
LIMITS = Limits(
    start=20.0,  # a busy small computer imports slowly
    silent=6.0,  # opening a sleeping speaker may take two
    again=(0.2, 1.0, 3.0, 10.0, 30.0, 60.0),  # a process that keeps dying must not burn the machine
    again_hung=60.0,
    steady=60.0,
)
_BEGIN_SECONDS = 2.0  # for the system to make the process: a session waits for this, even after a power cut

_log = logging.getLogger(__name__)


class SpeakingProcess(Hooks[m.Control, m.Report]):
    """See the module. `start`, `say`, `stop` and `close` may be called from any thread.

    `on_event` gets AnnouncementStarted (up to 0.1 s before the sound), AnnouncementFinished (after its last
    sample), PartLost and PartBack (SPEAKER, SPEECH_ENGINE), one at a time, from a thread of this class; it
    must be quick. `dropped` counts announcements refused because too many were open.
    """

    def __init__(
        self,
        settings: SpeakingSettings,
        on_event: Callable[[Input], None],
        *,
        engine: str = "",
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """engine: another one than the settings mean, see `engine_for`."""
        self.dropped = 0
        self.works: dict[Part, bool] = {}  # as far as the process has told
        self._settings = settings
        self._on_event = on_event
        self._on_progress: Callable[[int, int], None] = lambda _done, _total: None
        self._engine = engine
        self._retry_seconds = retry_seconds
        self._texts: tuple[str, ...] = ()
        self._supervisor = Supervisor("speaking", m.CONTROLS, m.REPORTS, self, limits=LIMITS)
        self._lock = threading.Lock()
        # Guarded by `_lock`:
        self._open: dict[int, None] = {}  # announcements without an answer, oldest first
        self._refused: deque[int] = deque()  # answered FAILED by the supervising thread
        self._stopping = False  # a Stop is on its way: one is enough, so the pipe cannot fill up

    # ------------------------------------------------------------ for the program

    def start(
        self,
        texts_to_prepare: list[str],
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        """Start the process; it renders these sentences in the background, the first first. Call once.

        `on_progress(done, total)` is called as `on_event` is; without an engine it stops short.
        """
        self._texts = tuple(text[:MAX_TEXT] for text in texts_to_prepare)
        self._on_progress = on_progress
        self._supervisor.start()
        self._supervisor.wait_launched(_BEGIN_SECONDS)

    def say(self, number: int, text: str, *, chime: bool = True, voice: bool = True) -> None:
        """Say this after what is being said. `number` comes back in the events."""
        with self._lock:
            if len(self._open) >= MAX_OPEN:
                self.dropped += 1
                if len(self._refused) < MAX_OPEN * 4:
                    self._refused.append(number)
                return
            asked = m.Say(number, text[:MAX_TEXT], chime, voice, time.monotonic())
            if (chime or voice) and self._supervisor.send(asked):
                self._open[number] = None
                self._stopping = False
            else:
                self._refused.append(number)

    def stop(self) -> None:
        """Fade out what is being said and drop what waits; those are answered STOPPED."""
        with self._lock:
            if self._open and not self._stopping:
                self._stopping = self._supervisor.send(m.Stop())

    def close(self) -> None:
        """Fade out and end the process, by force if need be. Takes at most some four seconds."""
        self._supervisor.close(m.Close(), CLOSE_SECONDS)

    @property
    def pid(self) -> int | None:
        """The process's number, None while there is none."""
        return self._supervisor.pid

    @property
    def restarts(self) -> int:
        """Processes started after the first."""
        return self._supervisor.restarts

    # ------------------------------------------------------------ in the supervisor's thread

    def setup(self) -> tuple[m.Control, tuple[bytes, ...]]:
        """See `Hooks`."""
        return m.Setup(self._settings, self._texts, self._engine, self._retry_seconds), ()

    def launched(self) -> None:
        """See `Hooks`."""
        with self._lock:
            self._stopping = False

    def lost(self, ending: Ending, *, was_alive: bool, failures: int) -> bool:
        """See `Hooks`."""
        del was_alive, failures
        self._answer_all(Outcome.FAILED)
        if ending is Ending.HUNG:  # only a sound library can stop the playing thread
            self._part_is(Part.SPEAKER, works=False)
        return True

    def closed(self) -> None:
        """See `Hooks`."""
        self._answer_all(Outcome.STOPPED)

    def turn(self) -> None:
        """See `Hooks`."""
        with self._lock:
            numbers = list(self._refused)
            self._refused.clear()
        for number in numbers:
            self._tell(AnnouncementFinished(number, Outcome.FAILED))

    def told(self, report: m.Report) -> None:
        """See `Hooks`."""
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

    def _answer_all(self, outcome: Outcome) -> None:
        with self._lock:
            numbers = list(self._open)
            self._open.clear()
        for number in numbers:
            self._tell(AnnouncementFinished(number, outcome))
        self.turn()

    def _tell(self, event: Input) -> None:
        self._safely(lambda: self._on_event(event))

    def _safely(self, call: Callable[[], None]) -> None:
        """A mistake in the program's handler must not end the supervision."""
        try:
            call()
        except Exception:  # noqa: BLE001  # logged, and the next event is as important
            _log.exception("The handler of the speaking process's events failed")
