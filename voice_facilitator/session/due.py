"""What happens by itself: cues, ends of phases, announcements that find their gap, times that run out."""

from __future__ import annotations

from collections.abc import Callable

from voice_facilitator.session import events as ev
from voice_facilitator.session import floor
from voice_facilitator.session.core import Core, longest
from voice_facilitator.session.events import Seconds
from voice_facilitator.session.machine import Mode
from voice_facilitator.session.protocol import CueKind
from voice_facilitator.session.state import Late, Pending, Purpose

Moment = tuple[Seconds, Callable[[], None]]


def advance(core: Core, now: Seconds) -> None:
    """Let everything happen that falls due up to `now`, each at its own moment."""
    state = core.state
    while True:
        moment = min(moments(core), key=lambda m: m[0], default=None)
        if moment is None or moment[0] > now:
            break
        state.now = max(state.now, moment[0])
        moment[1]()
    state.now = now


def moments(core: Core) -> list[Moment]:
    """Everything that will happen by itself, with its time. Earlier entries win at the same time.

    Depends on the state alone and not on how often anybody looks, so that one long step gives the same
    as many short ones.
    """
    state, found = core.state, list[Moment]()
    if core.mode is Mode.ENDED:
        return found
    if (number := state.speaking) is not None:
        found.append((state.speaking_until, lambda: announcement_over(core, number)))
    if state.undo is not None:
        found.append((state.undo.until, lambda: setattr(state, "undo", None)))
    if state.asked_until is not None:
        found.append((state.asked_until, core.ask_no_more))
    if core.mode is Mode.RUNNING:
        found += _cue_moments(core)
        if core.policy.moves_by_itself:
            found.append(_phase_end_moment(core))
    if core.mode is Mode.CLOSING and (moment := _end_moment(core)):
        found.append(moment)
    if state.waiting and core.mode is not Mode.NOT_STARTED and (moment := _waiting_moment(core)):
        found.append(moment)
    return found


def announcement_over(core: Core, number: int) -> None:
    """The announcement `number` is over, or nobody waits for its end any more."""
    state = core.state
    if state.speaking == number:
        state.speaking = None
        state.quiet_since = state.now
        # While we speak nobody is heard: the time to answer or to object runs from the end on.
        if state.undo is not None and state.undo.told == number:
            state.undo.until = state.now + core.policy.undo_seconds
        if state.asked_until is not None:
            state.asked_until = state.now + core.policy.undo_seconds


# ---------------------------------------------------------------- phases


def _cue_moments(core: Core) -> list[Moment]:
    """The cues to come. One whose time is past, because the plan changed, would be wrong by now."""
    plan, phase, found = core.state.plan, core.phase, list[Moment]()
    for index, cue in enumerate(phase.cues if phase else ()):
        due = plan.phase_ends - cue.seconds_left
        if index not in plan.cues_done and due >= core.state.now and due > plan.phase_started:
            found.append((due, lambda index=index: _give_cue(core, index)))  # type: ignore[misc]
    return found


def _give_cue(core: Core, index: int) -> None:
    state, phase = core.state, core.phase
    assert phase is not None
    cue, plan = phase.cues[index], state.plan
    plan.cues_done.append(index)
    text = core.fill(cue.text, seconds=cue.seconds_left)
    core.show(text)
    if cue.kind is CueKind.SCREEN:
        return
    core.wait(
        Pending(
            Purpose.OTHER,
            f"{phase.name}.cue-{index + 1}",
            text,
            state.now,
            min(state.now + phase.grace_seconds, plan.phase_ends),
            voice=cue.kind is CueKind.VOICE,
            late=Late.CHIME,
            holds_silence=phase.holds_silence,
        )
    )


def _phase_end_moment(core: Core) -> Moment:
    plan, phase = core.state.plan, core.phase
    assert phase is not None
    due = plan.phase_ends
    if not core.later_phases() and core.protocol.goodbye:
        due = max(plan.phase_started, due - core.protocol.closing_seconds)
    limit = due + phase.grace_seconds
    gap = core.gap_after(due, holds_silence=phase.holds_silence)
    if gap is not None and gap < limit:
        return gap, lambda: _phase_over(core, quietly=False)
    return limit, lambda: _phase_over(core, quietly=core.someone_speaks())


def _phase_over(core: Core, *, quietly: bool) -> None:
    if core.later_phases():
        core.enter(core.place + 1, "planned", quietly=quietly)
    else:
        core.close(planned=True, quietly=quietly)


def _end_moment(core: Core) -> Moment | None:
    """The session ends when the goodbye is over and nothing can be taken back any more."""
    state = core.state
    if state.speaking is not None or state.closing_until is None:
        return None  # we do not break off in the middle of a sentence
    if state.waiting:
        return state.closing_until, core.end
    return (state.undo.until if state.undo else state.now), core.end


# ---------------------------------------------------------------- announcements


def _waiting_moment(core: Core) -> Moment | None:
    """When the first announcement in the queue is given, by a gap or because its grace is over."""
    if core.state.speaking is not None:
        return None
    pending = core.state.waiting[0]
    gap = core.gap_after(pending.due, holds_silence=pending.holds_silence)
    if gap is not None and (not pending.holds_silence or gap <= _latest_gap(core, pending)):
        return gap, lambda: _give(core)
    if pending.late is Late.SAY and not pending.chime:
        return None  # chimed already, now it only waits for the next gap
    return pending.grace_until, lambda: _give_late(core)


def _latest_gap(core: Core, pending: Pending) -> Seconds:
    """Of a pause that has begun within the grace, a fault awaits the gap: it would go untold otherwise."""
    return pending.grace_until + (core.policy.gap_seconds if pending.is_of_a_fault else 0.0)


def _give(core: Core) -> None:
    state, phase = core.state, core.phase
    pending = state.waiting.pop(0)
    if pending.purpose is Purpose.REMINDER:
        floor.spoken(state.reminders, state.now)
        core.emit(ev.Reminded(state.now, 2))
    elif pending.purpose is Purpose.QUESTION:  # there is time to answer from the question on
        state.asked_until = state.now + longest(pending.text) + core.policy.undo_seconds
    elif pending.purpose is Purpose.PHASE and phase is not None:
        left = state.plan.phase_ends - state.now  # after a long wait the minutes of then would be wrong
        pending.text = core.fill(phase.announcement, seconds=left)
    core.announce(pending)


def _give_late(core: Core) -> None:
    """No gap within the grace. Into a silence that belongs to the group there is not even a chime."""
    state = core.state
    pending = state.waiting[0]
    if pending.late is not Late.SAY:
        state.waiting.pop(0)
    if pending.late is Late.SAY or (pending.late is Late.CHIME and core.someone_speaks()):
        core.announce(pending, only_chime=True)
    pending.chime = False
