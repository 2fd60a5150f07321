"""A speaker, a voice and a microphone that fail in a whole session: what the group hears, and its end."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import speech_engines
from tests.fault_stage import Play
from tests.speech_engines import ToneEngine
from tests.support import demo_room
from tests.support.virtual_room import VirtualRoom
from voice_facilitator.app import live as live_module
from voice_facilitator.hearing.process import Array, Microphone
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Action, Part, Request

pytestmark = [pytest.mark.room, pytest.mark.skipif(sys.platform != "linux", reason="PulseAudio")]

Begin = Callable[..., Play]


@functools.cache
def talk() -> np.ndarray:
    """Minutes of somebody who pauses now and then, int16 at 16 kHz: a group's long silence is not
    broken for a fault."""
    whole = demo_room.room()
    begin = demo_room.demo_room._LEAD_SECONDS
    for phase in whole.protocol.phases:
        if phase.name == "story":
            break
        begin += phase.seconds
    spoken = whole.samples[int((begin + 4.5) * 16_000) :][:16_000]
    once = np.concatenate([np.clip(spoken, -1, 1) * 32767, np.zeros(16_000)]).astype(np.int16)
    return np.tile(once, 150)


def talking() -> Array:
    return Array(talk().astype(np.float32) / 32768, paced=True)


@pytest.fixture
def begin(room: VirtualRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    monkeypatch.setattr(live_module, "_PREPARE_SECONDS", 1.0)
    return lambda **options: Play(room, tmp_path, **options)


def test_a_speaker_and_a_voice_that_go_and_come_back(
    begin: Begin, room: VirtualRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = tmp_path / "works"
    switch.touch()
    monkeypatch.setenv(speech_engines.SWITCH, str(switch))
    play = begin(engine=speech_engines.SwitchedEngine, source=talking())

    def ask_until_lost(part: Part) -> None:
        for _ in range(30):  # an answer is dropped when its pause does not come
            play.live.put(Request(Action.TIME_LEFT))
            time.sleep(3)
            if play.of(ev.PartLost, part=part):
                return
        raise AssertionError(play.diary())

    def faults() -> None:
        play.wait(ev.AnnouncementFinished, 2)
        room.unplug_speaker()
        ask_until_lost(Part.SPEAKER)
        room.plug_speaker()
        play.wait(ev.PartBack, part=Part.SPEAKER)
        play.wait_until(lambda: play.told() == ["back.speaker"])
        switch.unlink()
        play.live.put(Request(Action.LESS_TIME, seconds=180.0))
        ask_until_lost(Part.SPEECH_ENGINE)  # by a sentence that was not rendered before
        play.wait_until(lambda: "lost.speech-engine" in play.told())
        switch.touch()
        play.wait(ev.PartBack, part=Part.SPEECH_ENGINE)
        play.wait_until(lambda: "back.speech-engine" in play.told())

    play.run(faults)
    play.ended_well()
    assert play.told() == ["back.speaker", "lost.speech-engine", "back.speech-engine"]


@pytest.mark.parametrize("engine", [speech_engines.MissingEngine, speech_engines.CrashingEngine])
def test_who_begins_without_a_voice_saw_it_and_the_group_hears_the_chime(
    begin: Begin, engine: type[ToneEngine]
) -> None:
    play = begin(engine=engine, source=talking())

    def faults() -> None:
        play.live.put(Request(Action.TIME_LEFT))
        play.wait(ev.AnnouncementFinished, 2)

    play.run(faults)
    play.ended_well()
    assert len(play.of(ev.PartLost)) == 1
    assert play.told() == []
    assert {item.outcome for _, item in play.of(ev.AnnouncementFinished)} == {ev.Outcome.CHIMED}  # type: ignore[union-attr]
    assert play.screen.view is not None
    assert Part.SPEECH_ENGINE in play.screen.view.lost


def test_a_slow_voice_is_no_fault(begin: Begin) -> None:
    play = begin(engine=speech_engines.SlowEngine, source=talking())

    def faults() -> None:
        play.live.put(Request(Action.TIME_LEFT))
        play.wait(ev.AnnouncementFinished, 2)

    play.run(faults)
    play.ended_well()
    assert play.of(ev.PartLost) == []
    assert play.told() == []


def test_an_overdriven_microphone_is_no_fault_and_another_one_in_its_place_is_no_recovery(
    begin: Begin, room: VirtualRoom
) -> None:
    overdriven = np.clip(talk().astype(np.float32) * 50, -32768, 32767).astype(np.int16)
    play = begin(source=Microphone(room.microphone))

    def speaks() -> bool:
        told = play.of(ev.SpeakerChanged)
        return bool(told) and told[-1][1].who in _SPEAKS  # type: ignore[union-attr]

    def faults() -> None:
        player = room.play_into_microphone(overdriven, 16_000, wait=False)
        play.wait_until(speaks)
        play.wait_until(lambda: not speaks())
        play.wait_until(speaks)
        player.kill()
        player.wait()
        assert play.of(ev.PartLost) == []
        player = room.play_into_microphone(talk(), 16_000, wait=False)
        play.wait_until(lambda: not speaks())
        play.wait_until(speaks)
        room.plug_camera()  # the server takes it instead, without a gap
        play.wait(ev.PartLost, part=Part.MICROPHONE)
        play.wait(ev.PartBack, part=Part.MICROPHONE)
        time.sleep(2)  # it is looked at once a second
        room.unplug_microphone()  # and again
        play.wait(ev.PartLost, 2, part=Part.MICROPHONE)
        play.wait_until(lambda: play.told() == ["lost.microphone"])
        time.sleep(3)  # in which the camera could be taken for it
        assert len(play.of(ev.PartBack)) == 1
        room.plug_microphone()
        play.wait(ev.PartBack, 2, part=Part.MICROPHONE)
        play.wait_until(lambda: "back.microphone" in play.told())
        player.kill()
        player.wait()

    play.run(faults)
    play.ended_well()
    assert play.told() == ["lost.microphone", "back.microphone"]


_SPEAKS = (ev.SpeakerState.PRESENTER, ev.SpeakerState.OTHER, ev.SpeakerState.UNSURE)
