"""A whole live session for faults.

Its clock runs some times as fast as the real one, so that minutes pass in seconds; the parts, the sound
server and the faults are real.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.speech_engines import ToneEngine, name_of
from tests.support import processes
from tests.support.virtual_room import VirtualRoom
from voice_facilitator.app.conductor import Sink
from voice_facilitator.app.faultlog import FaultLog
from voice_facilitator.app.live import LiveSession
from voice_facilitator.app.resume import ResumeFile
from voice_facilitator.app.setting_up import new_session
from voice_facilitator.errors import ExitCode
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.process import Array, HearingProcess, Source
from voice_facilitator.machine.clocks import Moment
from voice_facilitator.session import Protocol, View
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Action, Floor, Request
from voice_facilitator.session.protocol import Phase
from voice_facilitator.speaking.process import SpeakingProcess

LIMIT = 90.0  # seconds, for what comes in one or two: machines are busy
SPEED = 4.0  # of the session's clock
LATE = 12.0  # real seconds that a busy machine may take to say goodbye, with a process started again for it
QUIET = Array(np.zeros(16_000 * 600, np.float32), paced=True)


def short_protocol() -> Protocol:
    def phase(name: str, seconds: float, text: str, **more: bool) -> Phase:
        return Phase(name, name.title(), seconds, Floor.EVERYONE, text, grace_seconds=15.0, **more)

    phases = (
        phase("welcome", 8.0, "Welcome."),
        phase("story", 900.0, "Your story.", new_presenter=True, enrols_presenter=True),
        phase("close", 12.0, "To close."),
    )
    return Protocol("short", "Short", "", "en-gb", phases, "Goodbye.", closing_seconds=10.0)


class Screen:
    """Keeps the last view; breaks where told to."""

    def __init__(self) -> None:
        self.view: View | None = None
        self.broken = False

    def start(self) -> None: ...

    def update(self, view: View, level_dbfs: float | None) -> None:
        self.view = view
        if self.broken:
            raise OSError(5, "the window is gone")

    def stop(self) -> None: ...


@dataclass
class Play:
    """One session, and what came of it. Times are the session's own."""

    room: VirtualRoom
    folder: Path
    engine: type[ToneEngine] = ToneEngine
    source: Source = field(default_factory=lambda: QUIET)
    models: Path | None = None
    mute_seconds: float = 0.0  # nothing but zeros for so long is a fault; 0: never
    sinks: tuple[Sink, ...] = ()
    resume_file: ResumeFile | None = None
    entries: list[tuple[float, ev.Input | ev.Effect]] = field(default_factory=list)
    asleep: float = 0.0  # so long was the lid closed, in all

    def __post_init__(self) -> None:
        protocol, settings = short_protocol(), load_settings()
        hearing = settings.hearing.model_copy(update={"silent_microphone_seconds": self.mute_seconds})
        speaking = settings.speaking.model_copy(update={"speaker": self.room.speaker})
        self.protocol, self.screen = protocol, Screen()
        self.change = threading.Condition()
        self.log = FaultLog(self.folder / "faults.jsonl")
        self.live = LiveSession(
            new_session(settings, protocol),
            lambda put: self._keep(HearingProcess(self.source, hearing, put, models=self.models)),
            lambda put: self._speak(
                SpeakingProcess(speaking, put, engine=name_of(self.engine), retry_seconds=1.0)
            ),
            self.screen,
            [self._note, *self.sinks],
            sentences=protocols.sentences_of(protocol, protocols.load_wording("en-gb"), ()),
            begin_after_seconds=0.0,
            resume_file=self.resume_file,
            fault_log=self.log,
            keys=False,
            clock=lambda: time.monotonic() * SPEED,
            moment=lambda: Moment(time.monotonic() * SPEED),
            asleep=lambda: self.asleep,
        )

    def _keep(self, hearing: HearingProcess) -> HearingProcess:
        self.hearing = hearing
        return hearing

    def _speak(self, speaking: SpeakingProcess) -> SpeakingProcess:
        self.speaking = speaking
        return speaking

    def _note(self, t: float, item: ev.Input | ev.Effect) -> None:
        with self.change:
            self.entries.append((t, item))
            self.change.notify_all()

    def run(self, during: Callable[[], None] = lambda: None) -> None:
        """Until the end; `during` runs beside it from the beginning of the story on, which ends with it."""
        failed: list[BaseException] = []

        def beside() -> None:
            try:
                self.wait(ev.PhaseEntered, name="story")
                during()
            except BaseException as error:  # noqa: BLE001
                failed.append(error)
            self.hurry()

        thread = threading.Thread(target=beside, daemon=True)
        thread.start()
        code = self.live.run()
        thread.join(LIMIT)
        if failed:
            raise failed[0]
        assert code is ExitCode.OK

    def hurry(self) -> None:
        """The rest of the running phase is not needed any more."""
        self.live.put(Request(Action.LESS_TIME, seconds=3600.0))

    def of(self, kind: type, **fields: object) -> list[tuple[float, ev.Input | ev.Effect]]:
        return [
            (t, item)
            for t, item in list(self.entries)
            if isinstance(item, kind) and all(getattr(item, k) == v for k, v in fields.items())
        ]

    def wait(self, kind: type, times: int = 1, **fields: object) -> float:
        """Until it has happened so often; the session's time of the last."""
        with self.change:
            there = self.change.wait_for(lambda: len(self.of(kind, **fields)) >= times, LIMIT)
            assert there, (kind, fields, self.diary())
        return self.of(kind, **fields)[-1][0]

    def wait_until(self, there: Callable[[], bool]) -> None:
        until = time.monotonic() + LIMIT
        while not there():
            assert time.monotonic() < until, self.diary()
            time.sleep(0.05)

    def diary(self) -> str:
        return "\n".join(f"{t:.1f} {item}" for t, item in self.entries)

    def kill_hearing(self) -> None:
        self.wait_until(lambda: self.hearing.pid is not None)
        os.kill(self.hearing.pid or 0, signal.SIGKILL)

    def told(self) -> list[str]:
        """What was said aloud about faults, as far as it was heard."""
        failed = {item.number for _, item in self.of(ev.AnnouncementFinished, outcome=ev.Outcome.FAILED)}  # type: ignore[union-attr]
        said = [item for _, item in self.of(ev.Announce) if item.number not in failed]  # type: ignore[union-attr]
        return [item.key for item in said if item.key.startswith(("lost.", "back."))]  # type: ignore[union-attr]

    def ended_well(self) -> None:
        """Every phase, the planned end at its time, and nothing left behind."""
        assert [item.name for _, item in self.of(ev.PhaseEntered)] == ["welcome", "story", "close"]  # type: ignore[union-attr]
        ((begun, _), *_), ((ended, effect),) = self.of(ev.PhaseEntered), self.of(ev.Ended)
        plans = [item.ends_at for _, item in self.of(ev.PlanChanged)]  # type: ignore[union-attr]
        planned = plans[-1] if plans else begun + self.protocol.seconds
        assert effect.reason == "planned"  # type: ignore[union-attr]
        # The planned second; then a goodbye that is being said is finished.
        assert planned - 15 <= ended <= planned + 15 + LATE * SPEED, self.diary()
        assert processes.children() == []
        for key in ("lost", "back"):
            per_part = [text for text in self.told() if text.startswith(key)]
            assert len(per_part) <= len(self.of(ev.Degraded, lost=key == "lost"))
