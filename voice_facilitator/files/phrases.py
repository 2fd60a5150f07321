"""What people can say: the phrases of `config/commands/*.toml` and what each of them asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import checked_toml
from voice_facilitator.files.checked_toml import FileMistakes, Mistake
from voice_facilitator.files.spoken_words import spoken
from voice_facilitator.machine.resources import shipped
from voice_facilitator.session.events import VOICE, Action, Request, Seconds
from voice_facilitator.visible import in_one_line

_CODE = "commands"
_TIMED = (Action.MORE_TIME, Action.LESS_TIME)


@dataclass(frozen=True, slots=True)
class Phrase:
    """One way to ask for something. `text`: what follows the prefix word, in small letters."""

    text: str
    action: Action
    seconds: Seconds | None = None

    @property
    def request(self) -> Request:
        return Request(self.action, VOICE, self.seconds)


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be asked for, with all its phrases; the first one is the one that is shown.

    texts: in small letters, as they are listened for. written: the same as people write them.
    bare: those of the texts that need no prefix.
    """

    action: Action
    does: str
    texts: tuple[str, ...]
    written: tuple[str, ...]
    seconds: Seconds | None = None
    bare: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Phrases:
    """The commands of one language. `without_prefix`: actions whose phrases are understood bare as well.

    headings: for a table of them in this language.
    """

    language: str
    title: str
    written_prefix: str
    commands: tuple[Command, ...]
    without_prefix: frozenset[Action] = frozenset()
    headings: Headings | None = None

    @property
    def prefix(self) -> str:
        """In small letters, as it is listened for."""
        return self.written_prefix.lower()

    def sayable(self, allowed: frozenset[Action]) -> dict[str, Phrase]:
        """Every complete utterance that asks for one of the `allowed` actions, with its meaning."""
        found: dict[str, Phrase] = {}
        for command in self.commands:
            if command.action not in allowed:
                continue
            for text in command.texts:
                phrase = Phrase(text, command.action, command.seconds)
                found[f"{self.prefix} {text}"] = phrase
                if command.action in self.without_prefix or text in command.bare:
                    found[text] = phrase
        return found

    def words(self) -> set[str]:
        """Every word that occurs."""
        texts = (text for command in self.commands for text in command.texts)
        return {word for text in (self.prefix, *texts) for word in text.split()}

    def shown_for(self, action: Action) -> str:
        """What to say for an action, without the prefix."""
        return next(command.written[0] for command in self.commands if command.action is action)

    def shortest_for(self, action: Action) -> str:
        """All that has to be said for an action: a phrase without the prefix, where there is one."""
        for command in self.commands:
            for text, written in zip(command.texts, command.written, strict=True):
                if command.action is action and text in command.bare:
                    return written
        return f"{self.written_prefix}, {self.shown_for(action)}"

    def shown(self, command: Command) -> str:
        """How the documentation writes a command."""
        return f"{self.prefix.capitalize()}, {command.written[0]}"


_Text = Annotated[str, Field(max_length=60), AfterValidator(spoken)]


class _CommandFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action
    does: Annotated[str, Field(min_length=1, max_length=80), AfterValidator(in_one_line)]
    phrases: list[_Text] = Field(min_length=1, max_length=20)
    bare: list[_Text] = Field(default=[], max_length=20)  # further ones, without the prefix
    seconds: float | None = Field(default=None, gt=0, le=3600, allow_inf_nan=False)


class Headings(BaseModel):
    """Of the table that is printed for the group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    others: str  # of the column with further phrases
    does: str  # of the column with what happens
    bare: str  # what the asterisk means


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str = Field(pattern=r"^[a-z]{2,3}$")
    title: Annotated[str, AfterValidator(in_one_line)]
    prefix: _Text
    headings: Headings | None = None
    command: list[_CommandFile] = Field(min_length=1, max_length=100)


def languages() -> list[str]:
    """The languages there are commands in."""
    return sorted(path.stem for path in shipped("config", "commands").glob("*.toml"))


def load(language: str, *, prefix: str = "", without_prefix: frozenset[Action] = frozenset()) -> Phrases:
    """The commands in `language` ("en-gb" counts as "en"). prefix: another word than the language's own.

    Raises FacilitatorError `commands-language`, or FileMistakes with everything wrong in the file.
    """
    short = language.split("-", maxsplit=1)[0]
    if short not in languages():
        raise FacilitatorError(
            "commands-language",
            f'There are no spoken commands for the language "{language}".',
            f"There are: {', '.join(languages())}. Everything can be done with the keys.",
            exit_code=ExitCode.BAD_FILE,
        )
    path = shipped("config", "commands", f"{short}.toml")
    text = checked_toml.read_text(path, _CODE)
    phrases = parse(text, str(path))
    return replace(phrases, written_prefix=prefix or phrases.written_prefix, without_prefix=without_prefix)


def parse(text: str, file: str) -> Phrases:
    """The commands in TOML `text`; `file` is the name used in messages. Raises FileMistakes."""
    read = checked_toml.parse(text, _File, _CODE, file)
    lines = checked_toml.line_numbers(text)
    mistakes: list[Mistake] = []
    seen: set[str] = set()
    for index, command in enumerate(read.command):
        line = lines.get(("command", index))
        if command.action is Action.PHASE:
            mistakes.append(Mistake(line, "a part cannot be asked for by name.", 'Use "next" and "back".'))
        if (command.seconds is not None) != (command.action in _TIMED):
            mistakes.append(Mistake(line, f'"seconds" belongs to {" and ".join(_TIMED)}, and only there.'))
        for phrase in (text.lower() for text in (*command.phrases, *command.bare)):
            if phrase in seen:
                mistakes.append(Mistake(line, f'"{phrase}" would mean two things.'))
            seen.add(phrase)
    if mistakes:
        raise FileMistakes(_CODE, file, mistakes)
    return Phrases(
        read.language, read.title, read.prefix, tuple(map(_command, read.command)), headings=read.headings
    )


def _command(read: _CommandFile) -> Command:
    written = (*read.phrases, *read.bare)
    bare = frozenset(text.lower() for text in read.bare)
    return Command(
        read.action, read.does, tuple(text.lower() for text in written), written, read.seconds, bare
    )
