"""Every setting with its type and limits. The defaults and their reasons stand in `config/settings.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import checked_toml
from voice_facilitator.files.spoken_words import spoken
from voice_facilitator.machine.resources import shipped, user_settings_file
from voice_facilitator.session.events import Action
from voice_facilitator.visible import in_one_line

_CODE = "settings"
_Name = Annotated[str, AfterValidator(in_one_line)]  # as the displays show it


def _prefix(text: str) -> str:
    if " " in text:
        raise ValueError("use one word")
    return text and spoken(text)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SessionSettings(Section):
    protocol: str
    support_contacts: list[_Name] = Field(max_length=8)
    gap_seconds: float = Field(ge=0.5, le=10)
    held_silence_seconds: float = Field(ge=2, le=120)
    undo_seconds: float = Field(ge=3, le=60)


class ReminderSettings(Section):
    """The reminder ladder; strengths are those of `PresenterEvidence`."""

    quiet_start_seconds: float = Field(ge=0, le=300)
    least_speech_seconds: float = Field(ge=1, le=20)
    screen_strength: float = Field(ge=0.1, le=10)
    screen_seconds: float = Field(ge=3, le=60)
    voice_strength: float = Field(ge=0.1, le=10)
    voice_speech_seconds: float = Field(ge=2, le=60)
    voice_every_seconds: float = Field(ge=60, le=3600)
    voice_at_most: int = Field(ge=0, le=5)
    after_pause_seconds: float = Field(ge=0, le=3600)


class HearingSettings(Section):
    microphone: _Name  # part of the device's name; empty is the system's default
    silent_microphone_seconds: float = Field(ge=0, le=600)
    voice_model: str  # name in the models' manifest; empty is the default one
    hop_seconds: float = Field(ge=0.2, le=0.4)  # to the nearest 0.2 s
    speech_threshold: float = Field(ge=0.05, le=0.95)
    speech_hold_seconds: float = Field(ge=0, le=1)
    gate_tail_seconds: float = Field(ge=0, le=3)


class CommandSettings(Section):
    engine: str  # a recogniser's name, a folder, "pocketsphinx" or "none"; empty: the best one here
    language: str  # empty is the protocol's
    # empty is the language's own
    prefix: Annotated[str, Field(max_length=30), AfterValidator(_prefix)]
    without_prefix: list[Action] = Field(max_length=16)
    margin: float = Field(ge=-10, le=10)
    pause_before_seconds: float = Field(ge=0.3, le=3)
    pause_after_seconds: float = Field(ge=0.3, le=2)
    longest_seconds: float = Field(ge=1.5, le=8)


class SpeakingSettings(Section):
    speaker: _Name  # part of the device's name; empty is the system's default
    voice: _Name  # part of the voice's name or id; empty is the engine's default for the language
    language: str
    words_per_minute: int = Field(ge=80, le=300)
    volume: float = Field(ge=0.05, le=1)
    chime_volume: float = Field(ge=0, le=1)


class Settings(Section):
    session: SessionSettings
    reminders: ReminderSettings
    hearing: HearingSettings
    commands: CommandSettings
    speaking: SpeakingSettings


def load_defaults() -> Settings:
    """The shipped settings. Raises FacilitatorError `settings` where their file is damaged."""
    try:
        return checked_toml.load(shipped("config", "settings.toml"), Settings, _CODE)
    except FacilitatorError as error:  # not the user's to mend
        raise FacilitatorError(
            _CODE,
            f"The settings that come with the program are damaged. {error.message}",
            "Install the program again.",
            exit_code=ExitCode.BAD_FILE,
        ) from error


def load_settings(path: Path | None = None) -> Settings:
    """The shipped defaults, with the user's own file laid over them.

    `path`: the user's file; by default the one in the user's configuration folder, if there is one.
    Raises FacilitatorError or checked_toml.FileMistakes.
    """
    defaults = load_defaults()
    own = path or (user_settings_file() if user_settings_file().is_file() else None)
    if own is None:
        return defaults
    text = checked_toml.read_text(own, _CODE)
    merged = defaults.model_dump(mode="json")
    for section, values in checked_toml.parse_toml(text, _CODE, str(own)).items():
        if isinstance(values, dict) and isinstance(merged.get(section), dict):
            merged[section] = merged[section] | values
        else:
            merged[section] = values
    return checked_toml.check(merged, text, Settings, _CODE, str(own))
