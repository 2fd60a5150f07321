"""The hearing in its own process: over a file, killed, hanging, and stopped."""

from __future__ import annotations

import os
import queue
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing import process as process_module
from voice_facilitator.hearing.child import Failed
from voice_facilitator.hearing.process import Array, File, HearingProcess
from voice_facilitator.session.events import (
    Enrolment,
    EnrolmentChanged,
    Input,
    Listen,
    Part,
    PartBack,
    PartLost,
    SpeakerChanged,
    SpeakerState,
)
from voice_facilitator.settings import load_settings

SETTINGS = load_settings().hearing
LIMIT = 40.0  # seconds; generous, since a child may start slowly on a busy machine


class Listener:
    """A hearing process without models (voice activity only) and its events."""

    def __init__(self, source: Array | File, models: Path) -> None:
        self.events: queue.Queue[Input] = queue.Queue()
        self.ended: queue.Queue[bool] = queue.Queue()
        self.hearing = HearingProcess(
            source, SETTINGS, self.events.put, on_end=lambda: self.ended.put(True), models=models
        )

    def wait_for(self, wanted: Input) -> list[Input]:
        """Everything up to and with `wanted`."""
        seen: list[Input] = []
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            try:
                seen.append(self.events.get(timeout=1))
            except queue.Empty:
                continue
            if seen[-1] == wanted:
                return seen
        raise AssertionError(f"{wanted} did not come, but {seen}")


@pytest.fixture
def quiet_room(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(Array(np.zeros(16_000 * 120, np.float32)), tmp_path)
    listener.hearing.start()
    assert listener.hearing.wait_ready(LIMIT)
    yield listener
    listener.hearing.stop()


def test_hears_a_file_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "room.flac"
    soundfile.write(path, np.zeros(8_000 * 20), 8_000)
    listener = Listener(File(path), tmp_path)
    listener.hearing.start()
    seen = listener.wait_for(SpeakerChanged(SpeakerState.SILENCE))
    assert PartLost(Part.VOICE_MODEL) in seen, "a missing model is said once, and it goes on"
    assert listener.ended.get(timeout=LIMIT)
    assert listener.hearing.last_error is not None
    assert listener.hearing.last_error.code == "model-missing"
    listener.hearing.stop()
    assert listener.hearing.pid is None


def test_a_bad_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    listener = Listener(File(tmp_path / "none.wav"), tmp_path)
    with pytest.raises(FacilitatorError, match=r"no audio file"):
        listener.hearing.start()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_it_is_lost_and_comes_back(quiet_room: Listener) -> None:
    hearing = quiet_room.hearing
    hearing.send(Listen(0.0, enrol=True, learn_others=False, decide=False))
    first = hearing.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    quiet_room.wait_for(PartLost(Part.HEARING))
    seen = quiet_room.wait_for(PartBack(Part.HEARING))
    assert EnrolmentChanged(Enrolment.NONE) in seen, "what it had learnt is gone"
    assert hearing.pid not in (None, first)
    assert hearing.counters.restarts == 1
    assert not hearing.given_up


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_hanging_it_is_replaced(quiet_room: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_HANG_SECONDS", 1.0)
    first = quiet_room.hearing.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    quiet_room.wait_for(PartLost(Part.HEARING))
    quiet_room.wait_for(PartBack(Part.HEARING))
    assert quiet_room.hearing.pid not in (None, first)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_stop_does_not_wait_for_a_child_that_hangs(quiet_room: Listener) -> None:
    child = quiet_room.hearing.pid
    assert child is not None
    os.kill(child, signal.SIGSTOP)
    began = time.monotonic()
    quiet_room.hearing.stop(limit_seconds=0.5)
    assert time.monotonic() - began < 5
    assert quiet_room.hearing.pid is None
    quiet_room.hearing.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_child_does_not_outlive_us_and_ignores_the_interrupt_key(quiet_room: Listener) -> None:
    child = quiet_room.hearing.pid
    assert child is not None
    os.kill(child, signal.SIGINT)
    before = quiet_room.hearing.position
    deadline = time.monotonic() + LIMIT
    while quiet_room.hearing.position <= before + 0.3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert quiet_room.hearing.pid == child
    controls = quiet_room.hearing._controls
    assert controls is not None
    controls.close()  # what the child sees when we are killed
    quiet_room.wait_for(PartLost(Part.HEARING))


def test_the_gate_reaches_the_child(quiet_room: Listener) -> None:
    quiet_room.hearing.gate(True)
    quiet_room.wait_for(SpeakerChanged(SpeakerState.SELF))
    quiet_room.hearing.gate(False)
    quiet_room.wait_for(SpeakerChanged(SpeakerState.SILENCE))


def test_only_events_of_a_closed_kind_get_out(tmp_path: Path) -> None:
    listener = Listener(Array(np.zeros(16_000, np.float32)), tmp_path)
    listener.hearing._take("what somebody said")  # type: ignore[arg-type]
    listener.hearing._take(process_module.child.Heard(1.0, Listen(0.0, True, True, True)))  # type: ignore[arg-type]
    assert listener.hearing.counters.refused_messages == 2
    assert listener.events.empty()
    listener.hearing._take(Failed(FacilitatorError("x", "y")))
    assert listener.hearing.counters.errors == {"x": 1}


@pytest.mark.slow
def test_a_child_that_cannot_live_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_BACKOFF_SECONDS", (0.0, 0.0))
    path = tmp_path / "room.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    listener = Listener(File(path), tmp_path)
    monkeypatch.setattr(process_module.child, "make_source", lambda *_: path.open())
    path.write_bytes(b"")
    listener.hearing.start()
    listener.wait_for(PartLost(Part.HEARING))
    deadline = time.monotonic() + LIMIT
    while not listener.hearing.given_up and time.monotonic() < deadline:
        time.sleep(0.05)
    assert listener.hearing.given_up
    assert listener.hearing.last_error is not None
    assert listener.hearing.last_error.code == "audio-empty"
    listener.hearing.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="processes start in another way")
def test_a_machine_without_room_for_a_process_gets_another_try(
    no_room_for_a_process: list[int], tmp_path: Path
) -> None:
    listener = Listener(Array(np.zeros(16_000 * 120, np.float32)), tmp_path)
    listener.hearing.start()
    seen = listener.wait_for(PartBack(Part.HEARING))
    assert no_room_for_a_process
    assert PartLost(Part.HEARING) in seen
    listener.hearing.stop()
