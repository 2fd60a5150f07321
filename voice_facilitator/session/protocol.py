"""A session format as data: phases, minutes, floor rules and wording. Reading the files is not done here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from voice_facilitator.session.events import Floor, Seconds


class CueKind(StrEnum):
    """How a cue is given. Every cue is shown as well."""

    VOICE = "voice"
    CHIME = "chime"
    SCREEN = "screen"


class Elasticity(StrEnum):
    """What a phase does when the plan does not add up any more."""

    FLEXIBLE = "flexible"  # the discussion: takes what is left over and gives first
    ELASTIC = "elastic"  # gives when the flexible phases have nothing left
    PROTECTED = "protected"  # the last word: never gives


class Listening(StrEnum):
    """What a session listens for besides commands."""

    VOICES = "voices"  # whose voice it is
    PAUSES = "pauses"  # the format learns no voices
    TIMER_ONLY = "timer-only"  # pauses, because the group wants no more
    NOTHING = "nothing"  # there is no microphone


@dataclass(frozen=True, slots=True)
class Cue:
    """A timed announcement inside a phase, `seconds_left` before its end."""

    seconds_left: Seconds
    kind: CueKind
    text: str


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a protocol. `grace_seconds` is how long the end of the phase waits for a gap."""

    name: str
    title: str
    seconds: Seconds
    floor: Floor
    announcement: str
    hint: str = ""  # whose turn it is, for the display
    cues: tuple[Cue, ...] = ()
    grace_seconds: Seconds = 30.0
    elasticity: Elasticity = Elasticity.ELASTIC
    reminders: bool = False
    enrols_presenter: bool = False
    hears_others: bool = False
    new_presenter: bool = False
    holds_silence: bool = False
    shows_speaker: bool = False  # the display says who speaks now: presenter, group or nobody

    @property
    def least_seconds(self) -> Seconds:
        """How short the plan may make this phase."""
        share = {Elasticity.FLEXIBLE: 0.25, Elasticity.ELASTIC: 0.5, Elasticity.PROTECTED: 1.0}
        return self.seconds * share[self.elasticity]


@dataclass(frozen=True, slots=True)
class Protocol:
    """A whole session format. `phases` has at least one entry and unique names."""

    name: str
    title: str
    description: str
    language: str
    phases: tuple[Phase, ...]
    goodbye: str
    closing_seconds: Seconds = 12.0  # the goodbye is said in the last seconds, to end on time

    def __post_init__(self) -> None:
        names = [phase.name for phase in self.phases]
        if not names or len(set(names)) != len(names):
            raise ValueError("a protocol needs phases with names of their own")

    @property
    def seconds(self) -> Seconds:
        return sum(phase.seconds for phase in self.phases)

    @property
    def learns_voices(self) -> bool:
        """Whether any phase learns how somebody sounds."""
        return any(p.enrols_presenter or p.hears_others or p.reminders for p in self.phases)

    def index(self, name: str) -> int | None:
        """The place of the phase called `name`, or None."""
        return next((i for i, phase in enumerate(self.phases) if phase.name == name), None)

    def presenter_of(self, index: int) -> str:
        """Name of the phase in which whoever presents in phase `index` began to; empty before the first."""
        return next((p.name for p in reversed(self.phases[: index + 1]) if p.new_presenter), "")


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings the session core needs; reasons stand in `config/settings.toml`."""

    gap_seconds: Seconds
    held_silence_seconds: Seconds
    undo_seconds: Seconds
    quiet_start_seconds: Seconds
    least_speech_seconds: Seconds
    screen_strength: float
    screen_seconds: Seconds
    voice_strength: float
    voice_speech_seconds: Seconds
    voice_every_seconds: Seconds
    voice_at_most: int
    after_pause_seconds: Seconds
    moves_by_itself: bool = True  # false where a recording's script says when each phase began


def _one_or_other(count: int) -> str:
    return "one" if count == 1 else "other"


@dataclass(frozen=True, slots=True)
class Wording:
    """The sentences that do not belong to one protocol, by key; `{...}` are filled in by the session.

    plural: the form that goes with a number in this language; of each there is `minutes.FORM`.
    """

    language: str
    sentences: dict[str, str] = field(default_factory=dict)
    prefix: str = "facilitator"  # with which spoken commands begin
    timer_only: str = ""  # what to say for it; empty where no commands are understood
    stop: str = ""  # all that has to be said for a pause; empty where no commands are understood
    microphone: bool = True  # whether there is one
    plural: Callable[[int], str] = _one_or_other

    def say(self, key: str, **values: str) -> str:
        """The sentence for `key` with its gaps filled. Raises KeyError for a key the file lacks."""
        return _filled(self.sentences[key], {"prefix": self.prefix, **values})

    def listening(self, protocol: Protocol, *, timer_only: bool) -> Listening:
        """What a session of `protocol` listens for on this machine."""
        if not self.microphone:
            return Listening.NOTHING
        if timer_only:
            return Listening.TIMER_ONLY
        return Listening.VOICES if protocol.learns_voices else Listening.PAUSES

    def fill(
        self,
        text: str,
        *,
        seconds: Seconds = 0.0,
        contacts: tuple[str, ...] = (),
        listening: Listening = Listening.VOICES,
        understands: bool = True,
    ) -> str:
        """A protocol's sentence on one line, its gaps (`{minutes}`, `{contacts}`, ...) filled in.

        listening: nobody is told that their voice is listened for where it is not, or how to have it stopped.
        understands: false while commands cannot be heard, although this machine knows them.
        """
        by_voice = ".voice" if self.stop and understands else ""
        gaps = dict.fromkeys(("contacts", "opt_out", "listening", "stop", "voices"), "")
        gaps["minutes"] = self.minutes(seconds)
        if contacts:
            gaps["contacts"] = self.say("contacts")
        if "{listening}" in text:
            commands = ".commands" if by_voice and listening is not Listening.NOTHING else ""
            gaps["listening"] = self.say(f"listening.{listening.value}{commands}")
        if "{stop}" in text:
            gaps["stop"] = self.say(f"stop{by_voice}", stop=self.stop)
        if "{voices}" in text and listening is Listening.VOICES:
            gaps["voices"] = self.say("voices")
        if "{opt_out}" in text and listening is Listening.VOICES:
            gaps["opt_out"] = self.say(f"opt-out{by_voice}", timer_only=self.timer_only)
        return _filled(text, gaps)

    def minutes(self, seconds: Seconds) -> str:
        """A length in words: "6 minutes", rounded to whole minutes, under one minute in words."""
        count = int(seconds / 60 + 0.5)
        if count < 1:
            return self.sentences["minutes.none"]
        return self.sentences[f"minutes.{self.plural(count)}"].format(count=count)


def _filled(text: str, gaps: dict[str, str]) -> str:
    """`text` on one line with its gaps filled, also with a question or where a sentence begins."""
    filled = " ".join(text.format(**gaps).split()).replace("?.", "?")
    for value in gaps.values():
        if value[:1].islower():
            begins = rf"(?:^|(?<=[.?!] )){re.escape(value)}"
            filled = re.sub(begins, lambda found: found[0][0].upper() + found[0][1:], filled)
    return filled
