"""What goes into the session core and what comes out of it.

Everything here is a frozen value with a closed set of fields: what crosses the border of the hearing
process is one of these, so nothing a person said can cross it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

Seconds = float

VOICE = "voice"  # source of requests that were heard
OPTION = "option"  # source of what the command line asks for
ASLEEP = "asleep"  # source of the pause after the computer was suspended


class SpeakerState(StrEnum):
    """Who is heard now. `SELF` is our own announcement."""

    PRESENTER = "presenter"
    OTHER = "other"
    UNSURE = "unsure"
    SILENCE = "silence"
    SELF = "self"


class Floor(StrEnum):
    """Who may speak in a phase. `GROUP` is everybody but the presenter."""

    EVERYONE = "everyone"
    PRESENTER = "presenter"
    GROUP = "group"
    NOBODY = "nobody"


class Action(StrEnum):
    """What people can ask for, by voice, key, clicker or button."""

    BEGIN = "begin"
    NEXT = "next"
    BACK = "back"
    REPEAT = "repeat"
    PHASE = "phase"
    PAUSE = "pause"
    RESUME = "resume"
    TIME_LEFT = "time-left"
    MORE_TIME = "more-time"
    LESS_TIME = "less-time"
    STOP_REMINDERS = "stop-reminders"
    TIMER_ONLY = "timer-only"
    UNDO = "undo"
    END = "end"
    YES = "yes"
    NO = "no"


class Part(StrEnum):
    """Parts of the program that can fail while the session goes on."""

    MICROPHONE = "microphone"
    HEARING = "hearing"
    VOICE_MODEL = "voice-model"
    COMMANDS = "commands"
    SPEAKER = "speaker"
    SPEECH_ENGINE = "speech-engine"


class MicrophoneFault(StrEnum):
    """Why the microphone is lost, as far as that is known."""

    MUTED = "muted"  # by a button on it or in the sound settings
    NOT_PERMITTED = "not-permitted"  # the system does not let this program listen
    TAKEN = "taken"  # another program holds it
    SILENT = "silent"  # it gives nothing but zeros
    GONE = "gone"  # unplugged, or there never was one


class Outcome(StrEnum):
    """How an announcement ended."""

    SPOKEN = "spoken"
    CHIMED = "chimed"  # the words could not be spoken, the chime was heard
    STOPPED = "stopped"
    FAILED = "failed"


class Enrolment(StrEnum):
    """How well the presenter's voice is known."""

    NONE = "none"
    LEARNING = "learning"
    READY = "ready"
    POOR = "poor"  # too little or too mixed speech in the story
    AMBIGUOUS = "ambiguous"  # another voice in the room is too close


# ---------------------------------------------------------------- inputs


@dataclass(frozen=True, slots=True)
class Input:
    """Something that happened. Given to `Session.handle` together with the time."""


@dataclass(frozen=True, slots=True)
class Tick(Input):
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class NotUnderstood(Input):
    """Somebody spoke to the program by its name, and it was nothing that can be asked for now."""


@dataclass(frozen=True, slots=True)
class Request(Input):
    """Somebody asks for something.

    `seconds` belongs to MORE_TIME and LESS_TIME, `phase` to PHASE. `source` is shown on the display
    only ("voice", "key", "script", ...).
    """

    action: Action
    source: str = "key"
    seconds: Seconds | None = None
    phase: str | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError("seconds must be a positive number")


@dataclass(frozen=True, slots=True)
class SpeakerChanged(Input):
    """Another answer to "who is heard now"."""

    who: SpeakerState


@dataclass(frozen=True, slots=True)
class PresenterEvidence(Input):
    """How strongly the running stretch of speech is the presenter's.

    `strength`: 0 is none, 1 is enough for a quiet line on the display, 2 is next to certain.
    `speech_seconds`: how much of the running stretch the presenter has spoken.
    Both may count while somebody else speaks as well: interrupting is an intrusion, too.
    """

    strength: float
    speech_seconds: Seconds


@dataclass(frozen=True, slots=True)
class EnrolmentChanged(Input):
    """How well the presenter's voice is known now."""

    quality: Enrolment


@dataclass(frozen=True, slots=True)
class AnnouncementStarted(Input):
    """An announcement is heard from now on."""

    number: int


@dataclass(frozen=True, slots=True)
class AnnouncementFinished(Input):
    """An announcement is over."""

    number: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class PartLost(Input):
    """A part does not work any more. Told again when another reason is known by now."""

    part: Part
    reason: MicrophoneFault | None = None


@dataclass(frozen=True, slots=True)
class PartBack(Input):
    """A part works again."""

    part: Part


@dataclass(frozen=True, slots=True)
class SafeguardsMissing(Input):
    """This computer does not hold the hearing process to all that is promised of it."""


@dataclass(frozen=True, slots=True)
class HealthChanged(Input):
    """What the parts have counted since the program began: see `state.Health`."""

    restarts: int
    dropped: int
    missed_seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class Restarted(Input):
    """The program is there again after a power cut; nothing fell due since the last event.

    hears: false where nothing listens any more, on a machine without a microphone.
    """

    hears: bool = True


# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class Effect:
    """Something the program has to do. `at` is the session time in seconds at which it was decided."""

    at: Seconds


@dataclass(frozen=True, slots=True)
class BackToStart(Effect):
    """The beginning was taken back: the session stands as before it."""


@dataclass(frozen=True, slots=True)
class PhaseEntered(Effect):
    name: str
    planned_seconds: Seconds
    reason: str  # "planned", "request", "undo", "restored"


@dataclass(frozen=True, slots=True)
class Announce(Effect):
    """Say this now. `voice` false: chime only (the display shows `text` in any case)."""

    number: int
    key: str  # which sentence this is, such as "discussion.start"
    text: str
    chime: bool = True
    voice: bool = True


@dataclass(frozen=True, slots=True)
class StopSpeaking(Effect):
    """Fade out what is being said and drop what waits."""


@dataclass(frozen=True, slots=True)
class ShowLine(Effect):
    """Show one quiet line on the display for some seconds."""

    text: str
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Reminded(Effect):
    """The reminder ladder went up to `level` (1 screen, 2 voice, 3 left to the people)."""

    level: int


@dataclass(frozen=True, slots=True)
class Listen(Effect):
    """Tells the hearing what the phase that starts now is for.

    `enrol`: learn the presenter's voice. `learn_others`: learn the voices that are not the presenter's.
    `is_round`: and everybody speaks once in it, before anybody has presented.
    `decide`: report evidence of the presenter speaking. `new_presenter`: forget the former presenter's voice.
    `paused`: learn and decide nothing for now; what was being learnt goes on afterwards.
    """

    enrol: bool
    learn_others: bool
    decide: bool
    new_presenter: bool = False
    paused: bool = False
    is_round: bool = False


@dataclass(frozen=True, slots=True)
class Forget(Effect):
    """Wipe every voiceprint now. `for_good`: no voice is learnt again in this session."""

    for_good: bool


@dataclass(frozen=True, slots=True)
class Done(Effect):
    """A request was carried out; `undo_until` is the time up to which it can be undone."""

    action: Action
    source: str
    undo_until: Seconds | None = None


@dataclass(frozen=True, slots=True)
class Refused(Effect):
    """A request that is not possible now; shown on the display only."""

    action: Action
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class PlanChanged(Effect):
    """The rest was planned anew. `ends_at` is the session time of the new end."""

    ends_at: Seconds
    phases: tuple[tuple[str, Seconds], ...]  # name and planned seconds of the running and later phases


@dataclass(frozen=True, slots=True)
class Degraded(Effect):
    """The session goes on without `part` (`lost` true), or has it back."""

    part: Part
    lost: bool
    reason: MicrophoneFault | None = None


@dataclass(frozen=True, slots=True)
class Ended(Effect):
    reason: str  # "planned" or "request"; told by others "audio" (it is over) or "stopped" (the program is)
