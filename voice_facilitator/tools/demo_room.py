"""A room for the demo: synthetic voices around a table, rendered on the spot. Nothing is kept of it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from pydantic import BaseModel, ConfigDict, Field

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import checked_toml, protocols
from voice_facilitator.files.settings import SpeakingSettings
from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.machine.resources import shipped
from voice_facilitator.session.events import Seconds
from voice_facilitator.session.protocol import Protocol, Wording
from voice_facilitator.speaking.engine import engine_for
from voice_facilitator.speaking.voices import Voice

# flite's voices are recorded from people and lie far apart for a speaker encoder; most espeak-ng variants do
# not. The presenter is first.
_FLITE_VOICES = ("slt", "rms", "awb", "kal")
_LEAST_VOICES = 3
_BETWEEN_TURNS_SECONDS = 0.45
_BEFORE_TURNS_SECONDS = 0.6  # after an announcement, until somebody begins
_AFTER_TURNS_SECONDS = 2.2  # a little more than the gap the session waits for
_LEAD_SECONDS = 0.5
_REVERBERATION_SECONDS = 0.35
_NOISE_DBFS = -62.0
_SPEECH_DBFS = -24.0


@dataclass(frozen=True, slots=True)
class DemoRoom:
    """The room's sound (float32 mono 16 kHz) and the protocol whose lengths fit it."""

    samples: Floats
    protocol: Protocol
    intrusion: tuple[Seconds, Seconds]  # when the presenter speaks in the discussion
    voices: tuple[str, ...]


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    phase: str
    voice: int = Field(ge=0, le=7)
    text: str
    intrusion: bool = False


class _RoomFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    turn: list[_Turn] = Field(min_length=1)


class _Flite:
    """One voice of the program flite."""

    def __init__(self, voice: str) -> None:
        self._voice = voice

    def sound(self, text: str) -> Floats:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "turn.wav"
            command = ["flite", "-voice", self._voice, "-t", text, "-o", str(file)]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=30)
                samples, rate = soundfile.read(file, dtype="float32")
            except (OSError, subprocess.SubprocessError, soundfile.LibsndfileError) as error:
                raise _no_voices() from error
        return np.asarray(soxr.resample(samples, rate, RATE), np.float32)


def _sounds(settings: SpeakingSettings) -> tuple[list[Callable[[str], Floats]], tuple[str, ...]]:
    """Something that speaks for each of a few distinct voices, and their names."""
    if shutil.which("flite"):
        return [_Flite(name).sound for name in _FLITE_VOICES], tuple(f"flite {n}" for n in _FLITE_VOICES)
    chosen = _distinct(engine_for(settings).voices())
    if len(chosen) < _LEAST_VOICES:
        raise _no_voices()

    def speaker(voice: Voice) -> Callable[[str], Floats]:
        engine = engine_for(settings.model_copy(update={"voice": voice.id}))

        def sound(text: str) -> Floats:
            return np.asarray(engine.render(text).at_rate(RATE, 1.0) / 32768, np.float32)

        return sound

    return [speaker(voice) for voice in chosen], tuple(voice.name for voice in chosen)


def _distinct(voices: Sequence[Voice]) -> list[Voice]:
    """Up to four English voices, as different as their languages and names promise."""
    english = [voice for voice in voices if voice.language.startswith("en") and "mb/" not in voice.id]
    seen: dict[str, Voice] = {}
    for voice in english:
        seen.setdefault(voice.language, voice)
    rest = [voice for voice in english if voice not in seen.values()]
    return [*seen.values(), *rest][:4]


def _no_voices() -> FacilitatorError:
    return FacilitatorError(
        "demo-voices",
        "The demo needs three synthetic voices and found fewer.",
        "Install flite (Debian/Ubuntu: apt install flite; Fedora: dnf install flite) and try again.",
        exit_code=ExitCode.NO_ENGINE,
    )


def build(
    settings: SpeakingSettings,
    wording: Wording,
    announcement_seconds: Callable[[str], Seconds],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> DemoRoom:
    """Render the room. `announcement_seconds`: how long saying a sentence takes, chime included.

    Raises FacilitatorError `demo-voices`, or what the speech engine raises.
    """
    protocol = protocols.load(str(shipped("config", "demo", "protocol.toml")))
    turns = checked_toml.load(shipped("config", "demo", "room.toml"), _RoomFile, "demo-room").turn
    sounds, names = _sounds(settings)
    rng = np.random.default_rng(45)  # the same room each time
    seats = [_impulse(rng) for _ in sounds]
    dry = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done, sound in enumerate(
            pool.map(lambda t: sounds[t.voice % len(sounds)](t.text), turns), start=1
        ):
            dry.append(sound)
            on_progress(done, len(turns))
    pieces: list[tuple[Seconds, Floats]] = []
    phases = []
    intrusion = (0.0, 0.0)
    at = start = _LEAD_SECONDS
    for phase in protocol.phases:
        text = wording.fill(phase.announcement)
        at += announcement_seconds(text)
        own = [(turn, sound) for turn, sound in zip(turns, dry, strict=True) if turn.phase == phase.name]
        if own:
            at += _BEFORE_TURNS_SECONDS
        for turn, sound in own:
            seat = turn.voice % len(sounds)
            pieces.append((at, _in_room(sound, seats[seat])))
            end = at + len(sound) / RATE
            if turn.intrusion:
                intrusion = (at, end)
            at = end + _BETWEEN_TURNS_SECONDS
        at += _AFTER_TURNS_SECONDS
        if phase is protocol.phases[-1]:
            at += protocol.closing_seconds
        phases.append(dataclasses.replace(phase, seconds=at - start))
        start = at
    samples = _mix(pieces, at + 8.0, rng)
    return DemoRoom(samples, dataclasses.replace(protocol, phases=tuple(phases)), intrusion, names)


def _impulse(rng: np.random.Generator) -> Floats:
    """A seat's impulse response: the direct sound and a decaying tail of noise."""
    length = int(_REVERBERATION_SECONDS * RATE)
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail[: int(0.004 * RATE)] = 0
    response = 0.35 * tail / np.sqrt((tail**2).sum())
    response[0] = 1.0
    return np.asarray(response, np.float32)


def _in_room(sound: Floats, impulse: Floats) -> Floats:
    size = 1 << int(np.ceil(np.log2(len(sound) + len(impulse))))
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(impulse, size), size)
    wet = wet[: len(sound) + len(impulse)]
    loudness = np.sqrt((wet**2).mean()) + 1e-9
    return np.asarray(wet / loudness * 10 ** (_SPEECH_DBFS / 20), np.float32)


def _mix(pieces: list[tuple[Seconds, Floats]], seconds: Seconds, rng: np.random.Generator) -> Floats:
    room = rng.standard_normal(int(seconds * RATE)).astype(np.float32) * np.float32(10 ** (_NOISE_DBFS / 20))
    for at, sound in pieces:
        begin = int(at * RATE)
        end = min(len(room), begin + len(sound))
        room[begin:end] += sound[: end - begin]
    return np.asarray(np.clip(room, -1, 1), np.float32)
