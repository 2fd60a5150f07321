"""What a display needs to know about a session, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from voice_facilitator.session.actions import allowed, nothing_to_undo
from voice_facilitator.session.core import Core
from voice_facilitator.session.events import (
    Action,
    Enrolment,
    Floor,
    MicrophoneFault,
    Part,
    Seconds,
    SpeakerState,
)
from voice_facilitator.session.machine import Mode
from voice_facilitator.session.protocol import Listening


@dataclass(frozen=True, slots=True)
class View:
    """The state of a session for people. Lengths in seconds."""

    mode: str
    protocol_title: str
    phase: str
    phase_title: str
    hint: str
    floor: Floor
    calm: bool  # the part belongs to thinking: no seconds are counted down in front of people
    shows_speaker: bool  # the protocol wants to see who speaks now
    phase_seconds: Seconds
    phase_left: Seconds  # below 0 while the end of the phase waits for a gap
    session_left: Seconds
    later: tuple[tuple[str, Seconds], ...]  # titles and planned lengths of what comes next
    who: SpeakerState | None
    waits_for_gap: bool
    speaking: bool
    caption: str
    line: str
    enrolment: Enrolment
    reminders: bool
    timer_only: bool
    lost: tuple[Part, ...]
    microphone_fault: MicrophoneFault | None
    faults: int  # parts lost so far, those that are back included
    restarts: int  # of our processes, so far
    dropped: int  # events, announcements and lines refused by a full queue or disk, so far
    missed_seconds: Seconds  # of the room's sound, so far
    undo_left: Seconds
    asks: Action | None  # what a yes would do now: END or RESUME
    listening: Listening
    stop: str  # all that has to be said for a pause; empty where it takes a key
    voices_deleted: bool  # the session has closed, and voices had been learnt in it
    allowed: frozenset[Action]


def view(core: Core) -> View:
    """The state at the time of the last `handle`."""
    state, plan, phase = core.state, core.state.plan, core.phase
    running, begun = core.mode in (Mode.RUNNING, Mode.PAUSED), core.mode is not Mode.NOT_STARTED
    now = state.paused_at if state.paused_at is not None else state.now
    if phase is None:
        later = tuple((p.title, p.seconds) for p in core.protocol.phases)
    else:
        later = tuple((p.title, s) for p, s in zip(core.later_phases(), plan.later, strict=True))
    shown = phase if running else None
    return View(
        mode=core.mode,
        protocol_title=core.protocol.title,
        phase=shown.name if shown else "",
        phase_title=shown.title if shown else "",
        hint=shown.hint if shown else "",
        floor=shown.floor if shown else Floor.EVERYONE,
        calm=bool(shown and shown.holds_silence),
        shows_speaker=bool(shown and shown.shows_speaker),
        phase_seconds=plan.phase_ends - plan.phase_started if shown else 0.0,
        phase_left=plan.phase_ends - now if shown else 0.0,
        session_left=max(0.0, plan.session_ends - now) if begun else core.protocol.seconds,
        later=later if core.mode not in (Mode.CLOSING, Mode.ENDED) else (),
        who=state.who,
        waits_for_gap=bool(shown) and core.mode is Mode.RUNNING and now >= plan.phase_ends,
        speaking=state.speaking is not None,
        caption=state.caption if state.speaking is not None or state.now < state.caption_until else "",
        line=_line(core),
        enrolment=state.enrolment,
        reminders=core.may_remind(),
        timer_only=state.timer_only,
        lost=tuple(state.lost),
        microphone_fault=state.microphone_fault,
        faults=state.faults,
        restarts=state.health.restarts,
        dropped=state.health.dropped,
        missed_seconds=state.health.missed_seconds,
        undo_left=max(0.0, state.undo.until - state.now) if state.undo and not nothing_to_undo(core) else 0.0,
        asks=state.asks,
        listening=core.listening,
        stop=core.wording.stop if core.understands else "",
        voices_deleted=state.voices_learnt and core.mode in (Mode.CLOSING, Mode.ENDED),
        allowed=allowed(core),
    )


def _line(core: Core) -> str:
    state = core.state
    if state.now < state.line_until:
        return state.line
    return state.paused_because if core.mode is Mode.PAUSED else ""
