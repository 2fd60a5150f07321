"""Speech engines: text in, sound out, or an error within a time limit."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.settings import SpeakingSettings
from voice_facilitator.machine.child_process import command_line
from voice_facilitator.machine.messages import NonsenseError, frame, read_frame
from voice_facilitator.speaking.pieces import digit_by_digit
from voice_facilitator.speaking.voices import Voice
from voice_facilitator.visible import visible

RENDER_SECONDS = 10.0  # limit for one sentence; 0.3 s is usual, 2 s on a busy small computer
_LONGEST_SOUND = 1 << 27  # bytes
MAX_TEXT = 2000  # characters; the longest welcome has about 700
PAUSE_SECONDS = 0.25  # between the pieces of a long text


@dataclass(frozen=True, slots=True)
class Speech:
    """Rendered speech: int16 mono `samples` at `rate` Hz."""

    samples: npt.NDArray[np.int16]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @classmethod
    def joined(cls, parts: list[Speech]) -> Speech | None:
        """One after the other with a short pause between; None where there are none."""
        if len(parts) <= 1:
            return parts[0] if parts else None
        rate = parts[0].rate
        pause = np.zeros(int(PAUSE_SECONDS * rate), np.int16)
        sounds = [sound for part in parts for sound in (pause, part.at_rate(rate, 1.0))]
        return cls(np.concatenate(sounds[1:]), rate)

    def at_rate(self, rate: int, volume: float) -> npt.NDArray[np.int16]:
        """The samples at another rate in Hz; `volume` 1 leaves them as loud as they are."""
        samples = self.samples.astype(np.float32) * volume
        if self.rate != rate:
            samples = soxr.resample(samples, self.rate, rate)
        clipped: npt.NDArray[np.int16] = np.clip(samples, -32768, 32767).astype(np.int16)
        return clipped


class SpeechEngine:
    """What the announcer needs of a speech engine. Used from several threads at once."""

    def render(self, text: str) -> Speech:
        """The sentence as sound.

        Raises FacilitatorError: `no-speech-engine` when there is none, `speech-empty` when this text has
        nothing to say, `speech-failed` or `speech-timeout` otherwise.
        """
        raise NotImplementedError

    def voices(self) -> list[Voice]:
        """The voices there are. Raises FacilitatorError as `render` does."""
        raise NotImplementedError


PYTTSX3 = "pyttsx3"
_ENGINES = {PYTTSX3: "voice_facilitator.speaking.engine:Pyttsx3Engine"}


def engine_for(settings: SpeakingSettings, name: str = "") -> SpeechEngine:
    """The engine that makes the announcements. Nobody else names one.

    name: of an engine, or, for one that is not ours, its class as "package.module:Class"; empty is the one
    that the settings mean.
    """
    made = pkgutil.resolve_name(_ENGINES.get(name or PYTTSX3, name))(settings)
    assert isinstance(made, SpeechEngine)
    return made


class Pyttsx3Engine(SpeechEngine):
    """The system's own speech (espeak-ng, SAPI, macOS) by way of pyttsx3, one process for each sentence.

    `limit_seconds`: after this the process is killed. `driver`: pyttsx3's name of one, None is the
    system's usual. Volume is not the engine's business: the player sets it.
    """

    def __init__(
        self, settings: SpeakingSettings, limit_seconds: float = RENDER_SECONDS, driver: str | None = None
    ) -> None:
        self._settings = settings
        self._limit = limit_seconds
        self._driver = driver

    def command(self) -> list[str]:
        """The command line of the process that renders."""
        return command_line("render")

    def render(self, text: str) -> Speech:
        if not text.strip():
            raise _empty()
        request = {
            "do": "render",
            "text": digit_by_digit(text[:MAX_TEXT]),
            "voice": self._settings.voice,
            "language": self._settings.language,
            "words_per_minute": self._settings.words_per_minute,
        }
        _, sound = self._ask(request)
        return _read(sound)

    def voices(self) -> list[Voice]:
        header, _ = self._ask({"do": "voices"})
        return [Voice(id_, visible(name), visible(language)) for id_, name, language in header["voices"]]

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        with _folder() as folder:
            request |= {"folder": folder, "limit": self._limit, "driver": self._driver}
            answer = io.BytesIO(self._run(frame(json.dumps(request).encode())))
        try:
            header: dict[str, Any] = json.loads(read_frame(answer) or b"")
            sound = read_frame(answer, _LONGEST_SOUND) or b""
        except (ValueError, NonsenseError):
            raise FacilitatorError("speech-failed", "The speech engine ended without an answer.") from None
        if header.get("error") == "no-speech-engine":
            raise no_engine(header["message"])
        if "error" in header:
            raise FacilitatorError("speech-failed", f"The speech engine failed: {header['message']}.")
        return header, sound

    def _run(self, request: bytes) -> bytes:
        with subprocess.Popen(
            self.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        ) as child:
            try:
                return child.communicate(request, timeout=self._limit)[0]
            except subprocess.TimeoutExpired:
                raise FacilitatorError(
                    "speech-timeout", f"The speech engine did not answer within {self._limit:g} s."
                ) from None
            finally:
                child.kill()


def _empty() -> FacilitatorError:
    return FacilitatorError("speech-empty", "There is nothing to say in this text.")


def no_engine(detail: str = "") -> FacilitatorError:
    """The error for a missing speech engine, with the one line that mends it."""
    hint = {
        "linux": "Install one: sudo apt install espeak-ng (Fedora: sudo dnf install espeak-ng).",
        "darwin": "Install what connects Python to the system's voices: pip install pyobjc.",
        "win32": "Add a voice: Settings, Time & language, Speech, Add voices.",
    }.get(sys.platform, "Install espeak-ng.")
    message = "No speech engine was found" + (f" ({detail})." if detail else ".")
    return FacilitatorError("no-speech-engine", message, hint, exit_code=ExitCode.NO_ENGINE)


@contextlib.contextmanager
def _folder() -> Iterator[str | None]:
    """A folder for the engine's file, in memory where it can be; None: it needs no folder at all."""
    if hasattr(os, "memfd_create"):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="voice-facilitator-", ignore_cleanup_errors=True) as folder:
        yield folder


def _read(sound: bytes) -> Speech:
    """WAV, AIFF or AIFF-C as int16 mono, without the silence around it, at a common loudness."""
    try:
        samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise FacilitatorError("speech-failed", f"The speech engine gave no sound: {error}.") from error
    mono = samples.mean(axis=1)
    loud = np.flatnonzero(np.abs(mono) > 0.003)
    if len(loud) == 0:
        raise _empty()
    margin = int(0.03 * rate)
    mono = mono[max(0, loud[0] - margin) : loud[-1] + margin]
    # Engines differ in level; at most 12 dB up, so that a faint one does not become mere noise.
    gain = min(4.0, 0.89 / float(np.abs(mono).max()))
    return Speech((mono * gain * 32767).astype(np.int16), int(rate))
