"""Opens the microphone and the speaker for a moment, through the very processes that a session starts."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files.settings import HearingSettings, SpeakingSettings
from voice_facilitator.hearing.process import HearingProcess, Microphone
from voice_facilitator.privacy.confinement import Confinement
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Part, PartBack
from voice_facilitator.speaking.process import SpeakingProcess

_START_SECONDS = 30.0  # a small computer reads its models from a card
_OPEN_SECONDS = 6.0  # a sleeping device takes 1.8 s, and a second attempt may help
_LISTEN_SECONDS = 1.5  # of level; a mute is noticed within one
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class MicrophoneTrial:
    """What came of it. `level_dbfs`: the loudest 32 ms; None where nothing was heard. `error`: why not.

    `confinement`: what the system holds the process to; None where the process did not come so far.
    """

    level_dbfs: float | None
    error: FacilitatorError | None
    confinement: Confinement | None


def try_microphone(settings: HearingSettings) -> MicrophoneTrial:
    """Hear the room for a second or two; takes some five."""
    events: queue.Queue[ev.Input] = queue.Queue()
    hearing = HearingProcess(Microphone(settings.microphone), settings, events.put)
    hearing.start()
    try:
        if not hearing.wait_ready(_START_SECONDS):
            error = hearing.last_error or FacilitatorError(
                "hearing-broken",
                "The hearing process does not start on this computer.",
                "A session runs as a timer: voice-facilitator run --timer-only",
            )
            return MicrophoneTrial(None, error, hearing.confinement)
        _until(lambda: isinstance(hearing.microphone, PartBack), _OPEN_SECONDS)
        loudest = -120.0
        until = time.monotonic() + _LISTEN_SECONDS
        while time.monotonic() < until:
            loudest = max(loudest, hearing.level)
            time.sleep(_POLL_SECONDS)
        if isinstance(hearing.microphone, PartBack):
            return MicrophoneTrial(loudest, None, hearing.confinement)
        error = hearing.last_error or FacilitatorError(
            "no-microphone", "No sound comes from the microphone.", "Plug it in again, or choose another one."
        )
        return MicrophoneTrial(None, error, hearing.confinement)
    finally:
        hearing.stop()


def try_speaker(settings: SpeakingSettings) -> bool:
    """Play a moment of silence; whether the speaker takes it."""
    lost: queue.Queue[ev.Input] = queue.Queue()
    speaking = SpeakingProcess(settings, lost.put)
    speaking.start([])
    try:
        _until(lambda: Part.SPEAKER in speaking.works, _START_SECONDS)
        return speaking.works.get(Part.SPEAKER, False)
    finally:
        speaking.close()


def _until(there: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not there() and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
