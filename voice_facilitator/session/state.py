"""Everything a session remembers, as plain values, so that it can be stored and restored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from voice_facilitator.session.events import Action, Enrolment, MicrophoneFault, Part, Seconds, SpeakerState
from voice_facilitator.session.machine import Mode


class Purpose(StrEnum):
    """What an announcement is for, as far as something depends on it."""

    PHASE = "phase"  # a phase has begun
    CONFIRM = "confirm"  # what was understood by voice, so that it can be taken back
    QUESTION = "question"  # waits for a yes
    REMINDER = "reminder"
    LOST = "lost"  # a component has failed
    BACK = "back"  # and works again
    OTHER = "other"


class Late(StrEnum):
    """What becomes of an announcement that found no gap within its grace."""

    DROP = "drop"  # it was shown, that is enough
    CHIME = "chime"  # chimed, then dropped
    SAY = "say"  # chimed, and said at the next gap


@dataclass(slots=True)
class Pending:
    """An announcement that waits for a gap after `due`, until `grace_until`. `key`: what the log calls it."""

    purpose: Purpose
    key: str
    text: str
    due: Seconds
    grace_until: Seconds
    chime: bool = True
    voice: bool = True
    late: Late = Late.SAY
    holds_silence: bool = False

    @property
    def is_of_a_fault(self) -> bool:
        """About a component of the program: outlives the phase."""
        return self.purpose in (Purpose.LOST, Purpose.BACK)


@dataclass(slots=True)
class Plan:
    """When things begin and end, in session seconds; which phase it is about is the machine's to say."""

    visit: int = 0  # number of this visit, so that a repeated phase has cues of its own
    phase_started: Seconds = 0.0
    phase_ends: Seconds = 0.0
    later: list[Seconds] = field(default_factory=list)  # planned lengths of the phases after this one
    cues_done: list[int] = field(default_factory=list)
    end_stays: bool = False  # a power cut took more than the rules let the phases give: all of them give

    @property
    def session_ends(self) -> Seconds:
        return self.phase_ends + sum(self.later)


@dataclass(slots=True)
class Undo:
    """What a request changed, to be taken back until `until`: `machine` and `plan` as they were before it.

    `told`: number of the announcement that says so, or of the last one since; 0 as long as there is none.
    """

    action: Action
    until: Seconds
    machine: str
    plan: Plan
    paused_at: Seconds | None = None  # for a pause that was ended
    told: int = 0


@dataclass(slots=True)
class Reminders:
    """What the reminder ladder remembers."""

    stopped: bool = False
    armed: bool = True
    last_screen: Seconds | None = None
    last_voice: Seconds | None = None
    voice_count: int = 0
    handed_over: bool = False


@dataclass(slots=True)
class Health:
    """What was mended or given up without a word, counted since the program began."""

    restarts: int = 0  # of the hearing and the speaking process
    dropped: int = 0  # events and announcements that a full queue refused, lines that a full disk did
    missed_seconds: Seconds = 0.0  # of the room's sound


@dataclass(slots=True)
class State:
    """The whole memory of a session."""

    machine: str = Mode.NOT_STARTED  # as `machine.SessionMachine` names its states
    now: Seconds = 0.0
    visits: int = 0  # phases entered so far
    plan: Plan = field(default_factory=Plan)
    paused_at: Seconds | None = None
    paused_because: str = ""  # shown for as long as a pause lasts that nobody asked for
    undo: Undo | None = None
    asks: Action | None = None  # the question that waits for a yes: END or RESUME
    asked_until: Seconds | None = None
    resumed_at: Seconds | None = None  # end of the last pause
    closing_until: Seconds | None = None
    # what is heard
    who: SpeakerState | None = None
    silent_since: Seconds | None = None
    enrolment: Enrolment = Enrolment.NONE
    timer_only: bool = False
    voices_learnt: bool = False  # and not forgotten again; once the session closes: until it closed
    reminders: Reminders = field(default_factory=Reminders)
    presenter_of: str = ""  # the phase whose presenter is being learnt or known
    lost: list[Part] = field(default_factory=list)
    microphone_fault: MicrophoneFault | None = None
    safeguards_told: bool = False
    faults: int = 0  # parts lost so far
    fault_told: dict[str, Seconds] = field(default_factory=dict)
    faults_heard: list[str] = field(default_factory=list)  # what the group was told is lost
    telling_fault: str = ""  # what is being said is about this one
    health: Health = field(default_factory=Health)
    # what is said and shown
    waiting: list[Pending] = field(default_factory=list)
    speaking: int | None = None
    speaking_until: Seconds = 0.0  # when a missing "finished" is no longer waited for
    quiet_since: Seconds = 0.0  # end of our last announcement
    announced: int = 0
    caption: str = ""
    caption_until: Seconds = 0.0
    line: str = ""
    line_until: Seconds = 0.0


def to_plain(state: State) -> dict[str, Any]:
    """The state as JSON-ready data."""
    return dataclasses.asdict(state)
