"""Faults in a whole live session, on the real parts: what the group hears of them, and that it ends on time.

The session's clock runs some times as fast as the real one, so that minutes pass in seconds; the parts, the
sound server and the faults are real.
"""

from __future__ import annotations

import contextlib
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
from voice_facilitator.app.conductor import Sink
from voice_facilitator.app.eventlog import EventLog
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
    entries: list[tuple[float, ev.Input | ev.Effect]] = field(default_factory=list)
    jump: float = 0.0  # of the wall clock

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
            lambda put: self._speak(SpeakingProcess(speaking, put, new_engine=self.engine)),
            self.screen,
            [self._note, *self.sinks],
            sentences=protocols.sentences_of(protocol, protocols.load_wording("en-gb"), ()),
            begin_after_seconds=0.0,
            fault_log=self.log,
            keys=False,
            clock=lambda: time.monotonic() * SPEED,
            wall_clock=lambda: time.monotonic() * SPEED + self.jump,
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
        subprocess.Popen(["nice", "-n", "5", sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 2)
    ]
    yield
    for burner in burners:
        stop(burner)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_a_microphone_late_mute_and_unplugged_processes_that_die_and_a_sound_server_that_freezes(
    begin: Begin, room: VirtualRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unplugged, its listener is moved to another source by the server. Killed: at random moments."""
    monkeypatch.setattr(speaking_processes, "SILENT_SECONDS", 3.0)
    moments = random.Random(6)
    hiss = np.random.default_rng(6).normal(0, 30, 48_000 * 120).astype(np.int16)
    room.unplug_microphone()
    play = begin(source=Microphone(room.microphone), mute_seconds=2.0)

    def faults() -> None:
        play.wait(ev.PartLost, part=Part.MICROPHONE)
        room.plug_microphone()  # it gives zeros
        play.wait_until(lambda: "microphone-silent" in play.hearing.counters.errors)
        hissing = room.play_into_microphone(hiss, 48_000, wait=False)
        play.wait(ev.PartBack, part=Part.MICROPHONE)
        room.unplug_microphone()
        stop(hissing)  # or it may be heard through the source that is there instead
        play.wait(ev.PartLost, 2, part=Part.MICROPHONE)
        room.plug_microphone()
        hissing = room.play_into_microphone(hiss, 48_000, wait=False)
        play.wait(ev.PartBack, 2, part=Part.MICROPHONE)
        time.sleep(moments.uniform(0, 1.0))
        for pid in (play.hearing.pid, play.speaking.pid):
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        play.wait(ev.PartBack, part=Part.HEARING)
        play.wait_until(lambda: play.speaking.restarts > 0 and play.speaking.pid is not None)
        room.freeze_server()
        play.wait(ev.PartLost, 2, part=Part.HEARING)
        play.wait(ev.PartLost, part=Part.SPEAKER)  # something was to be said
        room.thaw_server()
        play.wait(ev.PartBack, part=Part.SPEAKER)
        play.wait(ev.PartBack, 2, part=Part.HEARING)
        stop(hissing)

    try:
        play.run(faults)
    finally:
        room.thaw_server()
    play.ended_well()
    assert play.screen.view is not None
    assert not play.screen.view.lost
    assert play.screen.view.restarts >= 3
    assert play.screen.view.faults >= 3
    found = last_session(read(play.folder / "faults.jsonl"))
    assert found is not None
    assert found["restarts"] >= 3
    assert found["lost"][0] == "microphone"


def test_no_voice_bad_models_a_full_disk_a_clock_that_jumps_and_a_closed_window_on_a_busy_machine(
    begin: Begin, tmp_path: Path, busy_cores: None
) -> None:
    """Each time the hearing dies, its next start finds another bad model, at last a good one."""
    folder = tmp_path / "models"
    folder.mkdir()
    demo_room.needs_encoder()
    full = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115  # its close fails, too
    play = begin(engine=speech_engines.HangingEngine, models=folder, sinks=(EventLog(full),))
    seen = play.hearing.counters.errors

    def faults() -> None:
        play.wait_until(lambda: seen.get("model-missing", 0) >= 1)
        for times, harm in enumerate((cut_in_half, change_a_bit), 1):
            put_model(folder, harm)
            play.kill_hearing()
            play.wait_until(lambda times=times: seen.get("model-damaged", 0) >= times)
        put_model(folder, lambda whole: whole)
        play.kill_hearing()
        play.wait(ev.PartBack, part=Part.VOICE_MODEL)
        play.jump += 3600.0  # the lid was closed for an hour
        play.wait(ev.Done, action=Action.PAUSE)
        play.live.put(Request(Action.RESUME))
        play.wait(ev.Done, action=Action.RESUME)
        play.screen.broken = True

    play.run(faults)
    with contextlib.suppress(OSError):
        full.close()
    play.ended_well()
    assert [item.source for _, item in play.of(ev.Done, action=Action.PAUSE)] == ["clock"]  # type: ignore[union-attr]
    assert play.told().count("lost.voice-model") <= 1
    assert play.live.write_failures > 0


def put_model(folder: Path, harm: Callable[[bytes], bytes]) -> None:
    entry = models.load_manifest().default_encoder()
    path = entry.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(harm(entry.path().read_bytes()))


def cut_in_half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def change_a_bit(whole: bytes) -> bytes:
    return whole[:-1] + bytes([whole[-1] ^ 1])
