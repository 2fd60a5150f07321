"""Speech engines for tests: real subclasses, here so that the speaking process can import them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files.settings import SpeakingSettings
from voice_facilitator.speaking.engine import Pyttsx3Engine, Speech, SpeechEngine, no_engine
from voice_facilitator.speaking.voices import Voice

SECONDS_PER_WORD = 0.2
SWITCH = "TEST_SPEECH_ENGINE_SWITCH"  # names a file: where it exists, SwitchedEngine works


def name_of(engine: type[SpeechEngine]) -> str:
    """As `engine_for` takes it."""
    return f"{engine.__module__}:{engine.__qualname__}"


class ToneEngine(SpeechEngine):
    """Says every sentence as a tone of 0.2 s a word, at once."""

    rate = 22_050

    def __init__(self, _settings: SpeakingSettings) -> None:
        self.rendered: list[str] = []

    def render(self, text: str) -> Speech:
        self.rendered.append(text)
        time_axis = np.arange(int(len(text.split()) * SECONDS_PER_WORD * self.rate)) / self.rate
        return Speech((8000 * np.sin(2 * np.pi * 300 * time_axis)).astype(np.int16), self.rate)

    def voices(self) -> list[Voice]:
        return [Voice("tone", "Tone", "en-gb")]


class SlowEngine(ToneEngine):
    """A small computer that renders slower than it is asked."""

    def render(self, text: str) -> Speech:
        time.sleep(4)
        return super().render(text)


class MissingEngine(ToneEngine):
    """There is no speech engine on this machine."""

    def render(self, text: str) -> Speech:
        super().render(text)
        raise no_engine("as a test")


class CrashingEngine(ToneEngine):
    """Fails in a way nobody foresaw."""

    def render(self, text: str) -> Speech:
        super().render(text)
        raise ZeroDivisionError


class HangingEngine(ToneEngine):
    """Never comes back: it breaks its promise to answer in time."""

    def render(self, text: str) -> Speech:
        super().render(text)
        time.sleep(3600)
        raise AssertionError


class SwitchedEngine(ToneEngine):
    """Works only while the file that the environment names exists."""

    def render(self, text: str) -> Speech:
        if not Path(os.environ[SWITCH]).exists():
            raise FacilitatorError("speech-timeout", "Switched off.")
        return super().render(text)


class HungChildEngine(Pyttsx3Engine):
    """The process that renders hangs and ignores polite requests to end."""

    def command(self) -> list[str]:
        hang = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
        return [sys.executable, "-c", hang]


class DyingChildEngine(Pyttsx3Engine):
    """The process that renders dies at once."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", "import os; os.abort()"]
