"""The hearing in its own process: over a file, killed, hanging, and stopped."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing import child
from voice_facilitator.hearing import process as process_module
from voice_facilitator.hearing.process import Array, File, HearingProcess
from voice_facilitator.machine import child_process
from voice_facilitator.machine.interrupts import NAMES
from voice_facilitator.machine.messages import LARGEST_MESSAGE, frame
from voice_facilitator.session.events import (
    Enrolment,
    EnrolmentChanged,
    Forget,
    Input,
    Listen,
    Part,
    PartBack,
    PartLost,
    SpeakerChanged,
    SpeakerState,
)

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
    assert hearing.restarts == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_hanging_it_is_replaced(quiet_room: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = quiet_room.hearing._supervisor
    monkeypatch.setattr(supervisor, "_limits", replace(process_module.LIMITS, silent=1.0))
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
def test_the_child_does_not_outlive_us_and_ignores_the_signals_of_a_logout(quiet_room: Listener) -> None:
    """A terminal and a logout tell all processes; the one that hears has voices to wipe first."""
    child = quiet_room.hearing.pid
    assert child is not None
    for name in NAMES:
        os.kill(child, signal.Signals[name])
    before = quiet_room.hearing.position
    deadline = time.monotonic() + LIMIT
    while quiet_room.hearing.position <= before + 0.3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert quiet_room.hearing.pid == child
    running = quiet_room.hearing._supervisor._child
    assert running is not None
    running.done()  # its end of the pipe is closed: what the child sees when we are killed
    quiet_room.wait_for(PartLost(Part.HEARING))


def test_the_gate_reaches_the_child(quiet_room: Listener) -> None:
    quiet_room.hearing.gate(True)
    quiet_room.wait_for(SpeakerChanged(SpeakerState.SELF))
    quiet_room.hearing.gate(False)
    quiet_room.wait_for(SpeakerChanged(SpeakerState.SILENCE))


def test_only_messages_of_a_closed_set_get_out() -> None:
    for foreign in (Listen(0.0, True, True, True), "what somebody said"):
        with pytest.raises(KeyError):
            child.REPORTS.encode(foreign)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="the nonsense is a script")
@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x80\x04\x95",  # a pickle
        b'{"kind": "Said", "text": "what somebody said"}',
        b'{"kind": "SpeakerChanged", "who": "Ann"}',
        b'{"kind": "SpeakerChanged", "who": "other", "text": "what somebody said"}',
        b'{"kind": "Beat", "level": NaN, "position": 0.0, "dropped_samples": 0, "dropped_messages": 0}',
        b'{"kind": "Beat", "level": 1e999, "position": 0.0, "dropped_samples": 0, "dropped_messages": 0}',
        b'{"kind": "Beat", "level": "0", "position": 0.0, "dropped_samples": 0, "dropped_messages": 0}',
        b"[" * 60_000,
        b" " * (LARGEST_MESSAGE + 1),
    ],
    ids=["pickle", "kind", "value", "field", "nan", "infinity", "type", "deep", "long"],
)
def test_a_process_that_talks_nonsense_is_ended_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nonsense: bytes
) -> None:
    """The first child is a script that sends this; the one after it is a hearing process again."""
    script = tmp_path / "nonsense.py"
    script.write_text(
        f"import sys, time\nsys.stdout.buffer.write({frame(nonsense)!r})\nsys.stdout.flush()\n"
        "time.sleep(3600)\n"
    )
    usual = child_process.command_line("hearing")
    commands = [[sys.executable, str(script)], usual]
    monkeypatch.setattr(child_process, "command_line", lambda _: commands.pop(0) if commands[1:] else usual)
    listener = Listener(Array(np.zeros(16_000 * 120, np.float32)), tmp_path)
    listener.hearing.start()
    try:
        seen = listener.wait_for(PartBack(Part.HEARING))
        assert seen[0] == PartLost(Part.HEARING)
        assert listener.hearing.dropped == 1, "it is counted"
    finally:
        listener.hearing.stop()


def test_a_file_that_cannot_be_heard_any_more_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "LIMITS", replace(process_module.LIMITS, again=(0.0, 0.0)))
    path = tmp_path / "room.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    listener = Listener(File(path), tmp_path)
    monkeypatch.setattr(process_module.child, "make_source", lambda *_, **__: path.open())
    path.write_bytes(b"")
    listener.hearing.start()
    listener.wait_for(PartLost(Part.HEARING))
    deadline = time.monotonic() + LIMIT
    while "hearing" in {t.name.partition("-")[0] for t in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert listener.hearing.restarts == 2
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


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_forgetting_ends_the_process_that_has_learnt_and_nobody_hears_of_it(quiet_room: Listener) -> None:
    hearing = quiet_room.hearing
    quiet_room.wait_for(SpeakerChanged(SpeakerState.SILENCE))
    first = hearing.pid
    hearing.send(Forget(0.0, for_good=False))
    assert hearing.pid == first, "it has learnt nothing"
    hearing.send(Listen(0.0, enrol=True, learn_others=False, decide=False))
    hearing.send(Forget(0.0, for_good=True))
    seen = quiet_room.wait_for(SpeakerChanged(SpeakerState.SILENCE))
    assert not [event for event in seen if isinstance(event, PartLost | PartBack)]
    assert SpeakerChanged(SpeakerState.UNSURE) in seen, "meanwhile nobody knows whether somebody speaks"
    assert hearing.pid not in (None, first)
    assert hearing.restarts == 0
    assert first is not None
    assert not Path(f"/proc/{first}").exists()


def test_a_process_that_was_being_started_when_it_was_stopped_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearing = Listener(Array(np.zeros(16_000 * 120, np.float32)), tmp_path).hearing
    usual = hearing.setup

    def stopped_meanwhile() -> Any:
        hearing.stop(0.0)
        return usual()

    monkeypatch.setattr(hearing, "setup", stopped_meanwhile)
    hearing.start()
    hearing._supervisor._thread.join(LIMIT / 4)
    assert not hearing._supervisor._thread.is_alive(), "it would go on listening after the session"
    assert hearing.pid is None
