"""What the speaking process says, with a player of our own and no sound card."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.speech_engines import ToneEngine
from voice_facilitator.files.settings import load_defaults
from voice_facilitator.machine.child_process import Pipes
from voice_facilitator.machine.soundcard import Samples
from voice_facilitator.session.events import Outcome
from voice_facilitator.speaking import messages as m
from voice_facilitator.speaking.player import Played
from voice_facilitator.speaking.worker import STALE_SECONDS, Worker

SETTINGS = load_defaults().speaking


class Silent:
    """Plays in no time, to nobody."""

    def __init__(self, _speaker: str, _tick: Callable[[], None]) -> None:
        self.played: list[Samples] = []

    def play(
        self,
        sound: Callable[[int], Samples],
        *,
        abort: threading.Event,
        on_start: Callable[[], None],
        on_end: Callable[[Played], None],
    ) -> Played:
        self.played.append(sound(16_000))
        on_start()
        played = Played(0.0, 1.0, abort.is_set())
        on_end(played)
        return played


def announce(asked_seconds_ago: float, **how: Any) -> tuple[Outcome, list[Samples]]:
    """The outcome of an announcement that was asked for so long ago, and what was played."""
    player = Silent("", lambda: None)
    pipes: Pipes[m.Control, m.Report] = Pipes(io.BytesIO(), io.BytesIO())
    worker = Worker(pipes, SETTINGS, ToneEngine(SETTINGS), 1.0, new_player=lambda *_: player)
    say = m.Say(
        1, "Two words", **{"chime": True, "voice": True} | how, asked_at=time.monotonic() - asked_seconds_ago
    )
    return worker.announce(say), player.played


@pytest.mark.parametrize("seconds_ago", [STALE_SECONDS + 1, 60, 600])
def test_an_announcement_that_comes_too_late_is_not_said(seconds_ago: float) -> None:
    """A process that was wedged, or a machine that slept: the room has moved on."""
    assert announce(seconds_ago) == (Outcome.FAILED, [])
    assert STALE_SECONDS < 10


def test_one_that_is_in_time_is() -> None:
    outcome, (sound,) = announce(1.0)
    assert outcome is Outcome.SPOKEN
    assert np.abs(sound).max() > 1000


def test_without_a_voice_it_is_the_chime() -> None:
    outcome, (chime,) = announce(0.0, voice=False)
    _, (spoken,) = announce(0.0)
    assert outcome is Outcome.CHIMED
    assert 0 < len(chime) < len(spoken)
