"""Which engine listens for commands: what is here for the language, in order of how well it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import phrases as phrase_files
from voice_facilitator.files.phrases import Phrases
from voice_facilitator.files.settings import CommandSettings
from voice_facilitator.hearing.commands import sphinx
from voice_facilitator.hearing.commands.commands import CommandEngine, CommandListener, Recognised
from voice_facilitator.hearing.commands.vosk_models import CommandRule, VoskEngine, try_out
from voice_facilitator.models import Kind, Measured, ModelEntry, State, checked_path, load_manifest, state_of

NO_ENGINE = "none"
SPHINX = "pocketsphinx"


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine. `folder`: its Vosk model; None is pocketsphinx. `measured`: how well it does, if known."""

    name: str
    folder: Path | None = None
    rule: CommandRule | None = None
    measured: Measured | None = None

    @property
    def how_good(self) -> str:
        """In words, for who runs the program."""
        if self.measured is None:
            return "how well has not been measured"
        heard, false = self.measured.heard_percent, self.measured.false_commands
        return (
            f"it understands {heard} of 100 commands of synthetic voices at the first try, and took "
            f"{false or 'nothing'} for a command in {self.measured.talk_hours:g} hours of people talking"
        )


@dataclass(frozen=True, slots=True)
class CommandSetup:
    """What a hearing needs to know to understand commands."""

    settings: CommandSettings
    language: str  # of the protocol; the settings may name another
    choice: Choice | None = None  # made already


def load_phrases(setup: CommandSetup) -> Phrases:
    """The phrases in the chosen language. Raises FacilitatorError or FileMistakes."""
    chosen = setup.settings
    return phrase_files.load(
        chosen.language or setup.language,
        prefix=chosen.prefix,
        without_prefix=frozenset(chosen.without_prefix),
    )


def load_listener(
    setup: CommandSetup,
    hold_seconds: float,
    models: Path | None = None,
    on_heard: Callable[[Recognised, bool], None] | None = None,
) -> CommandListener | None:
    """Everything that is needed to hear commands, or None where the settings want none.

    hold_seconds, on_heard: see `CommandListener`. models: where the models lie, if not in the usual place.
    Raises FacilitatorError, see `choose` and `load_engine`.
    """
    choice = setup.choice or choose(setup, models)
    if choice is None:
        return None
    phrases = load_phrases(setup)
    return CommandListener(setup.settings, load_engine(choice, phrases), phrases, hold_seconds, on_heard)


def choose(setup: CommandSetup, models: Path | None = None) -> Choice | None:
    """The engine that will listen, without loading it; None where the settings want none.

    Raises FacilitatorError `commands-language`, `model-unknown`, `model-missing` or `model-damaged`.
    """
    name, language = setup.settings.engine, load_phrases(setup).language
    if name == NO_ENGINE:
        return None
    if name == SPHINX:
        if language != sphinx.LANGUAGE:
            raise _no_engine_for(language)
        return Choice(SPHINX)
    if name and Path(name).is_dir():
        try:
            try_out(Path(name), Path(name).name)
        except FacilitatorError as error:
            # there is nothing to fetch for a folder of one's own
            error.hint = "Unpack the model anew, or choose another engine in the settings, [commands]."
            raise
        return Choice(Path(name).name, Path(name))
    if name:
        entry = load_manifest().find(name)
        if entry.kind is not Kind.RECOGNISER:
            raise FacilitatorError(
                "model-unknown",
                f'"{name}" does not understand commands.',
                "Choose a recogniser of: voice-facilitator models list",
                exit_code=ExitCode.USAGE,
            )
        return _choice(entry, models)
    for entry in recognisers(language):
        if state_of(entry, _place(entry, models)) in (State.GOOD, State.UNCHECKED):
            return _choice(entry, models)
    for entry in recognisers(language):
        if state_of(entry, _place(entry, models)) is State.DAMAGED:
            return _choice(entry, models)  # which says so
    raise _no_engine_for(language)


def _choice(entry: ModelEntry, models: Path | None) -> Choice:
    folder = checked_path(entry, _place(entry, models))
    return Choice(entry.name, folder, CommandRule(**entry.decision), entry.measured)


def _place(entry: ModelEntry, models: Path | None) -> Path | None:
    """What comes with the program is never anywhere else."""
    return None if entry.is_shipped else models


def chosen(setup: CommandSetup, models: Path | None = None) -> CommandSetup | None:
    """The setup with its engine chosen, None where the settings want none. Raises as `choose` does.

    To be done outside the hearing process, which may start no other to try a model out.
    """
    choice = setup.choice or choose(setup, models)
    return replace(setup, choice=choice) if choice is not None else None


def load_engine(choice: Choice, phrases: Phrases) -> CommandEngine:
    """Load what was chosen.

    Raises FacilitatorError `model-missing`, `model-damaged`, or `commands-unfit` where it can never hear the
    prefix word.
    """
    engine: CommandEngine
    if choice.folder is None:
        engine = sphinx.SphinxEngine()
    else:
        engine = VoskEngine(choice.folder, choice.name, choice.rule)
    if lacking := engine.unknown_words(phrases) & set(phrases.prefix.split()):
        raise FacilitatorError(
            "commands-unfit",
            f'{engine.name} does not know the word "{min(lacking)}" with which commands begin.',
            "Choose another prefix or engine in the settings, [commands].",
            exit_code=ExitCode.NO_MODEL,
        )
    return engine


def recognisers(language: str) -> list[ModelEntry]:
    """The Vosk models for a language, best first."""
    manifest = load_manifest()
    return [e for e in manifest.model if e.kind is Kind.RECOGNISER and e.language.split("-")[0] == language]


def _no_engine_for(language: str) -> FacilitatorError:
    names = [entry.name for entry in recognisers(language)]
    hint = f"Run: voice-facilitator models fetch {names[0]}" if names else ""
    return FacilitatorError(
        "model-missing",
        f'Commands spoken in the language "{language}" need a model that is not here.',
        hint,
        exit_code=ExitCode.NO_MODEL,
    )
