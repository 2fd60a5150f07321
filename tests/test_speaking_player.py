"""The player, heard at the speaker of a virtual room. Times are bounded generously: machines are busy."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from tests.support.virtual_room import VirtualRoom
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.machine import soundcard
from voice_facilitator.machine.soundcard import Samples
from voice_facilitator.speaking.player import Played, Player

pytestmark = pytest.mark.room


def _tone(seconds: float, rate: int) -> Samples:
    samples: Samples = (8000 * np.sin(2 * np.pi * 400 * np.arange(int(seconds * rate)) / rate)).astype(
        np.int16
    )
    return samples


@pytest.fixture
def player(room: VirtualRoom) -> Player:
    return Player(room.speaker)


def test_the_whole_sound_is_heard_when_the_player_says(room: VirtualRoom, player: Player) -> None:
    told: list[float] = []
    ended: list[float] = []
    with room.listening() as heard:
        played = player.play(
            lambda rate: _tone(1.5, rate),
            abort=threading.Event(),
            on_start=lambda: told.append(time.monotonic()),
            on_end=lambda _: ended.append(time.monotonic()),
        )
    [(start, end)] = heard.stretches()
    assert played.start is not None
    assert played.end is not None
    assert not played.aborted
    assert end - start == pytest.approx(1.5, abs=0.2), "neither the beginning nor the end is cut"
    assert played.start == pytest.approx(start, abs=0.5)
    assert played.end == pytest.approx(end, abs=0.5)
    assert len(told) == len(ended) == 1
    assert told[0] < played.start
    assert ended[0] >= played.end


def test_an_abort_ends_the_sound(room: VirtualRoom, player: Player) -> None:
    """How it fades is in test_speaking_feed."""
    abort = threading.Event()
    with room.listening() as heard:
        played = player.play(
            lambda rate: _tone(10, rate),
            abort=abort,
            on_start=lambda: threading.Timer(1.0, abort.set).start(),
        )
    [(start, end)] = heard.stretches()
    assert played.aborted
    assert 0.5 < end - start < 5


def test_an_abort_before_the_sound_is_never_heard(room: VirtualRoom, player: Player) -> None:
    abort = threading.Event()
    abort.set()
    ended: list[Played] = []
    with room.listening() as heard:
        played = player.play(lambda rate: _tone(1, rate), abort=abort, on_end=ended.append)
    assert played == Played(None, None, aborted=True)
    assert ended == [played]
    assert heard.stretches() == []


def test_one_sound_after_the_other(room: VirtualRoom, player: Player) -> None:
    with room.listening() as heard:
        for _ in range(3):
            player.play(lambda rate: _tone(0.5, rate), abort=threading.Event())
    lengths = [end - start for start, end in heard.stretches(bridge_seconds=0.1)]
    assert lengths == pytest.approx([0.5, 0.5, 0.5], abs=0.15)


def test_a_speaker_lost_in_the_middle_is_an_error(room: VirtualRoom, player: Player) -> None:
    with pytest.raises(FacilitatorError) as caught:
        player.play(
            lambda rate: _tone(20, rate),
            abort=threading.Event(),
            on_start=lambda: threading.Thread(target=room.kill_server).start(),
        )
    assert caught.value.code == "no-speaker"
    time.sleep(0.5)
    room.kill_server()
    room.start_server()
    soundcard.restart()
    assert player.play(lambda rate: _tone(0.2, rate), abort=threading.Event()).end is not None


def test_an_unknown_speaker_is_an_error(room: VirtualRoom) -> None:
    with pytest.raises(FacilitatorError) as caught:
        Player("kitchen").play(lambda rate: _tone(0.1, rate), abort=threading.Event())
    assert caught.value.code == "no-speaker"
    assert room.speaker in caught.value.hint


def test_a_sound_that_was_played_is_let_go_of(player: Player) -> None:
    sounds: list[weakref.ref[Samples]] = []

    def sound(rate: int) -> Samples:
        samples = _tone(0.1, rate)
        sounds.append(weakref.ref(samples))
        return samples

    gc.disable()  # it comes seldom in a process that does little
    try:
        player.play(sound, abort=threading.Event())
        assert [known() for known in sounds] == [None]
    finally:
        gc.enable()
