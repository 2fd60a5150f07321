"""The demo's room as a recording for tests: synthetic voices only."""

from __future__ import annotations

import dataclasses
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_facilitator import models
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import Settings, load_settings
from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.session.protocol import Protocol
from voice_facilitator.tools import demo_room
from voice_facilitator.tools.demo_room import DemoRoom


@cache
def room() -> DemoRoom:
    """Rendered once for the whole run; skips where there are no voices for it."""
    if shutil.which("flite") is None:
        pytest.skip("not installed: flite (apt install flite)")
    wording = protocols.load_wording("en-gb")
    return demo_room.build(load_settings().speaking, wording, lambda text: 2.0 + len(text) / 14)


def needs_encoder() -> None:
    """Skip where the default encoder was not fetched."""
    entry = models.load_manifest().default_encoder()
    if models.state_of(entry) is not models.State.GOOD:
        pytest.skip("the encoder is not here: install the program again")


def as_wav(path: Path, rate: int = RATE) -> Path:
    """The room's sound in a file."""
    samples = room().samples
    if rate != RATE:
        samples = np.interp(
            np.arange(0, len(samples) / RATE, 1 / rate), np.arange(len(samples)) / RATE, samples
        ).astype(np.float32)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def story(seconds: float) -> Floats:
    """The beginning of the presenter's story, float32 [n] at 16 kHz, without a long pause."""
    phases = room().protocol.phases
    before = sum(phase.seconds for phase in phases[: room().protocol.index("story")])
    begin = demo_room._LEAD_SECONDS + before + 4.5
    return room().samples[int(begin * RATE) :][: int(seconds * RATE)]


def impatient(settings: Settings | None = None) -> Settings:
    """Settings for a session of two minutes: no quiet start of 20 seconds."""
    settings = settings or load_settings()
    reminders = settings.reminders.model_copy(update={"quiet_start_seconds": 2.0})
    return settings.model_copy(update={"reminders": reminders})


def short_protocol(**seconds: float) -> Protocol:
    """The demo's protocol with other lengths and only the phases that are named."""
    whole = room().protocol
    phases = tuple(
        dataclasses.replace(phase, seconds=seconds[phase.name.replace("-", "_")])
        for phase in whole.phases
        if phase.name.replace("-", "_") in seconds
    )
    return dataclasses.replace(whole, phases=phases)
