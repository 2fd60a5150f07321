"""For `voices` and `doctor`: what voices there are, and what one sounds like in this room."""

from __future__ import annotations

import difflib
import threading

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.settings import SpeakingSettings
from voice_facilitator.speaking import voices as choice
from voice_facilitator.speaking.engine import engine_for
from voice_facilitator.speaking.player import Player, SpeakerWedgedError
from voice_facilitator.speaking.voices import Voice


def voices(settings: SpeakingSettings) -> list[Voice]:
    """All voices of the speech engine, those of the language that is set first.

    Raises FacilitatorError `no-speech-engine`, `speech-failed` or `speech-timeout`.
    """
    base = choice.tidy_language(settings.language).split("-")[0]
    found = engine_for(settings).voices()
    return sorted(found, key=lambda voice: (voice.language.split("-")[0] != base, voice.language, voice.name))


def chosen(settings: SpeakingSettings) -> Voice | None:
    """The voice a session would speak with; None: the engine's default, none fits the language.

    Raises FacilitatorError `no-voice` when the voice that is set does not exist (a session then speaks with
    the best voice of the language), and as `voices` does.
    """
    known = engine_for(settings).voices()
    if not settings.voice.strip():
        return choice.for_language(known, settings.language)
    voice = choice.named(known, settings.voice)
    if voice is None:
        raise _no_voice(settings.voice, known)
    return voice


def sample(voice: str, text: str, settings: SpeakingSettings) -> None:
    """Speaks `text` with `voice` (part of a name or id; empty is the one that is set), and waits for its end.

    Raises FacilitatorError as `chosen` does, `no-speaker`, `no-portaudio` or `speaker-hangs`.
    """
    wanted = settings.model_copy(update={"voice": voice}) if voice else settings
    chosen(wanted)  # a voice that does not exist is an error here
    speech = engine_for(wanted).render(text)
    try:
        Player(settings.speaker).play(
            lambda rate: speech.at_rate(rate, settings.volume), abort=threading.Event()
        )
    except SpeakerWedgedError:
        raise FacilitatorError(
            "speaker-hangs",
            "The sound system of this computer hangs.",
            "Start it again (systemctl --user restart pipewire-pulse, or pulseaudio -k), or this computer.",
            exit_code=ExitCode.NO_DEVICE,
        ) from None


def _no_voice(name: str, known: list[Voice]) -> FacilitatorError:
    names = [voice.name for voice in known] + [voice.id for voice in known]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    hint += "`voice-facilitator voices` lists what there is."
    return FacilitatorError("no-voice", f'No voice is called "{name}".', hint, exit_code=ExitCode.NO_ENGINE)
