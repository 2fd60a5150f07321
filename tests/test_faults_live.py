"""Faults in a whole live session, on the real parts: what the group hears of them, and its end in time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import speech_engines
from tests.fault_stage import Play
from tests.support import demo_room
from tests.support.virtual_room import VirtualRoom
from voice_facilitator import models
from voice_facilitator.app import live as live_module
from voice_facilitator.app.eventlog import EventLog
from voice_facilitator.app.faultlog import last_session, read
from voice_facilitator.app.resume import ResumeFile
from voice_facilitator.hearing.process import Microphone
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Action, Part, Request
from voice_facilitator.speaking import process as speaking_processes

pytestmark = [pytest.mark.room, pytest.mark.skipif(sys.platform != "linux", reason="signals, PulseAudio")]

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
    limits = dataclasses.replace(speaking_processes.LIMITS, silent=3.0)
    monkeypatch.setattr(speaking_processes, "LIMITS", limits)
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
        play.wait_until(lambda: play.hearing.level > -90)  # or the new process finds nothing but zeros
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
    resume_file = ResumeFile("short", Path("/dev/full") / "resume.json")
    play = begin(
        engine=speech_engines.HangingEngine,
        models=folder,
        sinks=(EventLog(lambda line: print(line, file=full, flush=True)),),
        resume_file=resume_file,
    )
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
        play.asleep += 3600.0  # the lid was closed for an hour
        play.wait(ev.Done, action=Action.PAUSE)
        play.live.put(Request(Action.RESUME))
        play.wait(ev.Done, action=Action.RESUME)
        play.live.put(Request(Action.YES))
        play.wait(ev.PlanChanged)
        play.screen.broken = True

    play.run(faults)
    with contextlib.suppress(OSError):
        full.close()
    play.ended_well()
    assert [item.source for _, item in play.of(ev.Done, action=Action.PAUSE)] == ["asleep"]  # type: ignore[union-attr]
    assert play.told().count("lost.voice-model") <= 1
    assert play.live.write_failures > 0
    assert resume_file.failures > 0


def put_model(folder: Path, harm: Callable[[bytes], bytes]) -> None:
    manifest = models.load_manifest()
    entry = manifest.default_encoder()
    second = manifest.find(entry.two_voices)
    folder.mkdir(parents=True, exist_ok=True)
    second.path(folder).write_bytes(second.path().read_bytes())
    entry.path(folder).write_bytes(harm(entry.path().read_bytes()))


def cut_in_half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def change_a_bit(whole: bytes) -> bytes:
    return whole[:-1] + bytes([whole[-1] ^ 1])
