"""Faults in a whole live session, on the real parts: what the group hears of them, and that it ends on time.

The session's clock runs some times as fast as the real one, so that minutes pass in seconds; the parts, the
sound server and the faults are real.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests import demo_room, speech_engines
from tests.speech_engines import ToneEngine
from tests.virtual_room import VirtualRoom
from voice_facilitator import models, protocols
from voice_facilitator.app import live as live_module
from voice_facilitator.app.faultlog import FaultLog, last_session, read
from voice_facilitator.app.live import LiveSession
from voice_facilitator.app.setting_up import new_session
from voice_facilitator.errors import ExitCode
from voice_facilitator.hearing.process import Array, HearingProcess, Microphone, Source
from voice_facilitator.session import Protocol, View
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Action, Floor, Part, Request
from voice_facilitator.session.protocol import Phase
from voice_facilitator.settings import load_settings
from voice_facilitator.speaking import process as speaking_processes
from voice_facilitator.speaking.process import SpeakingProcess

pytestmark = [pytest.mark.room, pytest.mark.skipif(sys.platform != "linux", reason="signals, PulseAudio")]

LIMIT = 90.0  # seconds, for what comes in one or two: machines are busy
QUIET = Array(np.zeros(16_000 * 600, np.float32), paced=True)


def short_protocol(story: float) -> Protocol:
    def phase(name: str, seconds: float, text: str, **more: bool) -> Phase:
        return Phase(name, name.title(), seconds, Floor.EVERYONE, text, grace_seconds=15.0, **more)

    phases = (
        phase("welcome", 15.0, "Welcome."),
        phase("story", story, "Your story.", new_presenter=True, enrols_presenter=True),
        phase("close", 25.0, "To close."),
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
    story: float = 60.0
    speed: float = 10.0
    engine: type[ToneEngine] = ToneEngine
    source: Source = field(default_factory=lambda: QUIET)
    models: Path | None = None
    entries: list[tuple[float, ev.Input | ev.Effect]] = field(default_factory=list)
    jump: float = 0.0  # of the wall clock

    def __post_init__(self) -> None:
        protocol, settings = short_protocol(self.story), load_settings()
        hearing = settings.hearing.model_copy(update={"silent_microphone_seconds": 0.0})
        speaking = settings.speaking.model_copy(update={"speaker": self.room.speaker})
        self.protocol, self.screen = protocol, Screen()
        self.change = threading.Condition()
        self.log = FaultLog(self.folder / "faults.jsonl")
        self.live = LiveSession(
            new_session(settings, protocol),
            lambda put: self._keep(HearingProcess(self.source, hearing, put, models=self.models)),
            lambda put: self._speak(SpeakingProcess(speaking, put, new_engine=self.engine)),
            self.screen,
            [self._note],
            sentences=protocols.sentences_of(protocol, protocols.load_wording("en-gb"), ()),
            begin_after_seconds=0.0,
            fault_log=self.log,
            keys=False,
            clock=lambda: time.monotonic() * self.speed,
            wall_clock=lambda: time.monotonic() * self.speed + self.jump,
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
        """Until the end; `during` runs beside it from the beginning of the story on."""
        failed: list[BaseException] = []

        def beside() -> None:
            try:
                self.wait(ev.PhaseEntered, name="story")
                during()
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

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
            assert there, (kind, fields, [f"{t:.1f} {item}" for t, item in self.entries])
        return self.of(kind, **fields)[-1][0]

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
        # The planned second; then a goodbye may still be said, slowly on a busy machine (time is compressed).
        assert planned - 15 <= ended <= planned + 45
        assert self.live.processes_left() == []
        for key in ("lost", "back"):
            per_part = [text for text in self.told() if text.startswith(key)]
            assert len(per_part) <= len(self.of(ev.Degraded, lost=key == "lost"))


Begin = Callable[..., Play]


@pytest.fixture
def begin(room: VirtualRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    monkeypatch.setattr(live_module, "_PREPARE_SECONDS", 1.0)
    return lambda **options: Play(room, tmp_path, **options)


@pytest.fixture
def busy_cores() -> Iterator[None]:
    """Every core has something else to do."""
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)
    ]
    yield
    for burner in burners:
        burner.kill()
        burner.wait()


def test_a_microphone_that_goes_and_comes_and_processes_that_die(
    begin: Begin, room: VirtualRoom, busy_cores: None
) -> None:
    """Unplugged (and its listener moved to another source by the server), then killed at random moments."""
    play = begin(source=Microphone(room.microphone), story=600.0, speed=4.0)
    moments = random.Random(6)

    def faults() -> None:
        room.unplug_microphone()
        play.wait(ev.Announce, key="lost.microphone")
        room.plug_microphone()
        play.wait(ev.PartBack, part=Part.MICROPHONE)
        for times in (1, 2):
            time.sleep(moments.uniform(0, 1.5))
            for pid in (play.hearing.pid, play.speaking.pid):
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
            play.wait(ev.PartBack, times, part=Part.HEARING)
        play.hurry()

    play.run(faults)
    play.ended_well()
    assert play.told().count("lost.microphone") <= 1
    assert play.told().count("back.microphone") <= 1
    assert play.screen.view is not None
    assert play.screen.view.restarts >= 3
    assert play.screen.view.faults >= 3
    found = last_session(read(play.folder / "faults.jsonl"))
    assert found is not None
    assert found["restarts"] >= 3
    assert found["lost"][0] == "microphone"


def test_a_sound_server_that_freezes(
    begin: Begin, room: VirtualRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking_processes, "SILENT_SECONDS", 3.0)
    play = begin(source=Microphone(room.microphone), story=600.0, speed=4.0)

    def faults() -> None:
        room.freeze_server()
        play.wait(ev.PartLost, part=Part.HEARING)
        play.wait(ev.PartLost, part=Part.SPEAKER)  # something was to be said
        room.thaw_server()
        play.wait(ev.PartBack, part=Part.SPEAKER)
        play.wait(ev.PartBack, part=Part.HEARING)
        play.hurry()

    try:
        play.run(faults)
    finally:
        room.thaw_server()
    play.ended_well()
    assert len([text for text in play.told() if text.startswith("back.")]) <= 2, "hearing and speaker"
    assert play.screen.view is not None
    assert Part.MICROPHONE not in play.screen.view.lost
    assert play.hearing.counters.errors.get("microphone-wedged")


@pytest.mark.parametrize("harm", ["missing", "truncated", "wrong hash"])
def test_without_voice_or_model_a_clock_that_jumps_and_a_window_that_closes(
    begin: Begin, tmp_path: Path, harm: str
) -> None:
    engines = {
        "missing": speech_engines.HangingEngine,
        "truncated": speech_engines.CrashingEngine,
        "wrong hash": speech_engines.SlowEngine,
    }
    play = begin(engine=engines[harm], models=harmed_models(tmp_path / "models", harm))

    def faults() -> None:
        play.wait(ev.Degraded, part=Part.VOICE_MODEL)
        play.jump += 3600.0  # the lid was closed for an hour
        play.wait(ev.Done, action=Action.PAUSE)
        play.live.put(Request(Action.RESUME))
        play.screen.broken = True

    play.run(faults)
    play.ended_well()
    assert [item.source for _, item in play.of(ev.Done, action=Action.PAUSE)] == ["clock"]  # type: ignore[union-attr]
    assert play.told().count("lost.voice-model") <= 1
    assert play.live.write_failures > 0
    assert play.hearing.counters.errors.keys() == {"model-missing" if harm == "missing" else "model-damaged"}


def harmed_models(folder: Path, harm: str) -> Path:
    folder.mkdir()
    if harm == "missing":
        return folder
    demo_room.needs_encoder()
    entry = models.load_manifest().default_encoder()
    whole = entry.path().read_bytes()
    bad = whole[: len(whole) // 2] if harm == "truncated" else whole[:-1] + bytes([whole[-1] ^ 1])
    path = entry.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bad)
    return folder
