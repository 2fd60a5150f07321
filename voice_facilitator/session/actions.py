"""What people can ask for: which request is possible when, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from voice_facilitator.session import events as ev
from voice_facilitator.session import faults
from voice_facilitator.session.core import Core
from voice_facilitator.session.events import Action, Seconds
from voice_facilitator.session.machine import Mode, Move, phase_in
from voice_facilitator.session.protocol import Elasticity
from voice_facilitator.session.schedule import remaining_after_pause
from voice_facilitator.session.state import Plan, Purpose, Undo

DEFAULT_CHANGE_SECONDS = 120.0
_LONGEST_CHANGE_SECONDS = 3600.0


class Settles(StrEnum):
    """What a request settles for a moment: a second one of the same kind, in haste, means nothing."""

    MOVES = "moves"  # from part to part
    HOLDS = "holds"  # pause and resume
    ANSWERS = "answers"  # the press that asks must not be the one that answers


@dataclass(frozen=True, slots=True)
class Spec:
    """All there is to know of an action: the modes in which it is possible, unless what, what it does."""

    when: frozenset[Mode]
    do: Callable[[Core, ev.Request], None]
    unless: Callable[[Core], bool] = lambda _: False
    settles: Settles | None = None


def allowed(core: Core) -> frozenset[Action]:
    """The requests that are possible now."""
    return frozenset(a for a, spec in ACTIONS.items() if core.mode in spec.when and not spec.unless(core))


def nothing_to_undo(core: Core) -> bool:
    """Whether there is nothing to take back. A session that is over can only be taken up again."""
    undo = core.state.undo
    if undo is None:
        return True
    return core.mode is Mode.CLOSING and (undo.action is Action.RESUME or _before_beginning(undo))


def _no_reminder_to_come(core: Core) -> bool:
    state = core.state
    ahead = core.protocol.phases[max(0, core.place) :]
    return state.reminders.stopped or state.timer_only or not any(phase.reminders for phase in ahead)


def _before_beginning(undo: Undo) -> bool:
    return undo.machine == Mode.NOT_STARTED


def apply(core: Core, request: ev.Request) -> None:
    """Carry out `request`, or emit `Refused` and change nothing."""
    if request.action not in allowed(core):
        _refuse(core, request, f"refused.{request.action.value}")
        return
    ACTIONS[request.action].do(core, request)


def _refuse(core: Core, request: ev.Request, key: str) -> None:
    sentences = core.wording.sentences
    text = sentences.get(key) or sentences["refused"]
    core.emit(ev.Refused(core.state.now, request.action, request.source, text))


def _done(core: Core, request: ev.Request, undo_until: Seconds | None = None) -> None:
    core.emit(ev.Done(core.state.now, request.action, request.source, undo_until))


def _go_to(core: Core, request: ev.Request, index: int) -> None:
    _done(core, request, core.remember_undo(request.action))
    if core.mode is not Mode.NOT_STARTED:
        stop_own_voice(core)
    core.enter(index, "request", confirm=_understood(core, request, index))


def _understood(core: Core, request: ev.Request, index: int) -> str:
    """What is said first about a change that somebody asked for by voice: ears can err, keys cannot."""
    if request.source != ev.VOICE or core.mode is Mode.NOT_STARTED:
        return ""
    title = core.protocol.phases[index].title
    return core.wording.say(f"understood.{request.action.value}", phase=title)


def stop_own_voice(core: Core) -> None:
    """Whatever is being said or waits to be said is out of date now."""
    core.drop_waiting()
    core.state.caption_until = core.state.line_until = core.state.now
    if core.state.speaking is not None:
        core.emit(ev.StopSpeaking(core.state.now))
        core.state.speaking = None
        core.state.quiet_since = core.state.now


def _begin(core: Core, request: ev.Request) -> None:
    _go_to(core, request, 0)


def _next(core: Core, request: ev.Request) -> None:
    index = core.place + 1
    if index < len(core.protocol.phases):
        _go_to(core, request, index)
        return
    _done(core, request, core.remember_undo(request.action))
    stop_own_voice(core)
    core.close(planned=False, confirm=_ending(core, request))


def _ending(core: Core, request: ev.Request) -> str:
    return core.wording.say("understood.end") if request.source == ev.VOICE else ""


def _back(core: Core, request: ev.Request) -> None:
    _go_to(core, request, core.place - 1)


def _repeat(core: Core, request: ev.Request) -> None:
    _go_to(core, request, core.place)


def _phase(core: Core, request: ev.Request) -> None:
    index = core.protocol.index(request.phase or "")
    if index is None:
        _refuse(core, request, "refused.phase")
        return
    _go_to(core, request, index)


def _pause(core: Core, request: ev.Request) -> None:
    _done(core, request, core.remember_undo(request.action))
    stop_own_voice(core)
    core.machine.go(Move.PAUSE)
    core.state.paused_at = core.state.now
    core.ask_no_more()
    core.listen()
    by_itself = request.source == ev.ASLEEP
    text = core.wording.say("paused.asleep" if by_itself else "paused")
    core.state.paused_because = text if by_itself else ""
    core.answer("paused", text)


def _resume(core: Core, request: ev.Request) -> None:
    """Whoever asked for the pause may need it still: the group is asked first."""
    if core.state.asks is Action.RESUME:
        _carry_on(core, request)
        return
    _done(core, request)
    core.ask(Action.RESUME, core.wording.say(f"ask-resume{_by_voice(request)}"))


def _by_voice(request: ev.Request) -> str:
    return ".voice" if request.source == ev.VOICE else ""


def _carry_on(core: Core, request: ev.Request) -> None:
    until = core.remember_undo(Action.RESUME)
    undo = core.state.undo
    core.emit(ev.Done(core.state.now, Action.RESUME, request.source, until))
    resume(core)
    core.state.undo = undo
    core.answer("resumed", core.wording.say("resumed", left=core.wording.minutes(_phase_left(core))))


def resume(core: Core) -> None:
    """Go on where the pause began; the discussion pays for the pause, nothing else does."""
    state, plan, phase = core.state, core.state.plan, core.phase
    if phase is None or state.paused_at is None:
        return
    core.ask_no_more()
    stop_own_voice(core)
    core.machine.go(Move.RESUME)
    length, session_ends = state.now - state.paused_at, plan.session_ends
    left = remaining_after_pause(
        phase,
        state.paused_at - plan.phase_started,
        max(0.0, plan.phase_ends - state.paused_at),
        core.later_phases(),
        session_ends - state.now,
    )
    plan.phase_started += length
    plan.phase_ends = state.now + left
    state.paused_at = None
    state.resumed_at = state.now
    state.undo = None
    core.listen()
    core.replan_later(session_ends)


def _phase_left(core: Core) -> Seconds:
    reference = core.state.paused_at if core.state.paused_at is not None else core.state.now
    return max(0.0, core.state.plan.phase_ends - reference)


def _time_left(core: Core, request: ev.Request) -> None:
    _done(core, request)
    plan = core.state.plan
    session_left = max(0.0, plan.session_ends - core.state.now)
    text = core.wording.say(
        "time-left", phase=core.wording.minutes(_phase_left(core)), session=core.wording.minutes(session_left)
    )
    core.answer("time-left", text)


def _change_time(core: Core, request: ev.Request) -> None:
    state, plan, phase = core.state, core.state.plan, core.phase
    if phase is None:
        return
    wanted = min(request.seconds or DEFAULT_CHANGE_SECONDS, _LONGEST_CHANGE_SECONDS)
    _done(core, request, core.remember_undo(request.action))
    former_end, session_ends = plan.phase_ends, plan.session_ends
    if request.action is Action.MORE_TIME:
        plan.phase_ends = max(former_end, state.now) + wanted  # in an overrun people mean from now on
    else:
        plan.phase_ends = former_end - min(wanted, _phase_left(core))
    flexible_later = any(p.elasticity is Elasticity.FLEXIBLE for p in core.later_phases())
    if not flexible_later:  # nothing later can give or take: the group moves the end itself
        session_ends += plan.phase_ends - former_end
    core.replan_later(session_ends)
    core.ask_no_more()
    core.answer(
        "time-changed", core.wording.say("time-changed", left=core.wording.minutes(_phase_left(core)))
    )


def _stop_reminders(core: Core, request: ev.Request) -> None:
    _done(core, request, core.remember_undo(request.action))
    core.state.reminders.stopped = True
    core.withdraw(Purpose.REMINDER)
    core.answer("reminders-stopped", core.wording.say("reminders-stopped"))


def _timer_only(core: Core, request: ev.Request) -> None:
    _done(core, request)
    state = core.state
    state.timer_only = True
    state.enrolment = ev.Enrolment.NONE
    core.withdraw(Purpose.REMINDER)
    faults.ears_not_needed(core)
    core.emit(ev.Forget(state.now, for_good=True))
    core.listen()
    text = core.wording.say("timer-only.deleted" if state.voices_learnt else "timer-only")
    state.voices_learnt = False
    if core.mode is not Mode.NOT_STARTED:
        core.answer("timer-only", text)
    elif request.source != ev.OPTION:
        core.show(text)


def _undo(core: Core, request: ev.Request) -> None:
    undo, state = core.state.undo, core.state
    if undo is None:
        return
    _done(core, request)
    state.undo = None
    if undo.action is Action.STOP_REMINDERS:
        state.reminders.stopped = False
        core.withdraw("reminders-stopped")
    elif core.mode is Mode.PAUSED and undo.action is Action.PAUSE:
        resume(core)
    elif _before_beginning(undo):
        _back_to_start(core)
        core.show(core.wording.say("undone"))
        return
    elif undo.action is Action.RESUME:
        _pause_again(core, undo)
    else:
        if core.mode is Mode.RUNNING and undo.plan.visit == state.plan.visit:
            core.withdraw("time-changed")
        else:
            stop_own_voice(core)
        core.go_back(undo)
        state.closing_until = None
    core.answer("undone", core.wording.say("undone"))


def _back_to_start(core: Core) -> None:
    """Not begun after all: whatever was heard is forgotten, and the welcome waits to be said again."""
    state = core.state
    stop_own_voice(core)
    core.machine.go(Move.BACK_TO_START)
    state.plan, state.presenter_of = Plan(), ""
    core.ask_no_more()
    state.voices_learnt = False
    state.enrolment = ev.Enrolment.NONE
    core.emit(ev.BackToStart(state.now))
    core.emit(ev.Forget(state.now, for_good=False))
    core.listen()


def _pause_again(core: Core, undo: Undo) -> None:
    """The pause goes on as if nobody had ended it."""
    stop_own_voice(core)
    if core.machine.phase != phase_in(undo.machine):
        core.machine.go(Move.ENTER, phase_in(undo.machine))
    core.machine.go(Move.PAUSE)
    core.state.paused_at = undo.paused_at
    core.go_back(undo)
    core.listen()


def _end(core: Core, request: ev.Request) -> None:
    if core.state.asks is Action.END:
        _really_end(core, request)
        return
    _done(core, request)
    core.ask(Action.END, core.wording.say(f"ask-end{_by_voice(request)}"))


def _yes(core: Core, request: ev.Request) -> None:
    (_carry_on if core.state.asks is Action.RESUME else _really_end)(core, request)


def _really_end(core: Core, request: ev.Request) -> None:
    if core.mode is Mode.PAUSED:  # so that an undo finds the time that was left
        resume(core)
    _done(core, request, core.remember_undo(Action.END))
    stop_own_voice(core)
    core.close(planned=False, confirm=_ending(core, request))


def _no(core: Core, request: ev.Request) -> None:
    _done(core, request)
    core.ask_no_more()
    if core.mode is Mode.PAUSED:
        core.show(core.wording.say("paused"))


_BEFORE, _RUNNING = frozenset({Mode.NOT_STARTED}), frozenset({Mode.RUNNING})
_PAUSED, _UNDER_WAY = frozenset({Mode.PAUSED}), frozenset({Mode.RUNNING, Mode.PAUSED})

# The one table of what people can ask for. What keys, buttons and spoken phrases there are for an action says
# display/keys.py and config/commands; its words stand in config/wording.
ACTIONS: dict[Action, Spec] = {
    Action.BEGIN: Spec(_BEFORE, _begin, settles=Settles.MOVES),
    Action.NEXT: Spec(_RUNNING, _next, settles=Settles.MOVES),
    Action.BACK: Spec(_RUNNING, _back, unless=lambda core: core.place == 0, settles=Settles.MOVES),
    Action.REPEAT: Spec(_RUNNING, _repeat, settles=Settles.MOVES),
    Action.PHASE: Spec(_BEFORE | _RUNNING, _phase),
    Action.PAUSE: Spec(_RUNNING, _pause, settles=Settles.HOLDS),
    Action.RESUME: Spec(_PAUSED, _resume, settles=Settles.HOLDS),
    Action.TIME_LEFT: Spec(_UNDER_WAY, _time_left),
    Action.MORE_TIME: Spec(_RUNNING, _change_time),
    Action.LESS_TIME: Spec(_RUNNING, _change_time),
    Action.STOP_REMINDERS: Spec(_RUNNING, _stop_reminders, unless=_no_reminder_to_come),
    Action.TIMER_ONLY: Spec(_BEFORE | _UNDER_WAY, _timer_only, unless=lambda core: core.state.timer_only),
    Action.UNDO: Spec(frozenset({*Mode} - {Mode.ENDED}), _undo, unless=nothing_to_undo),
    Action.END: Spec(_UNDER_WAY, _end, settles=Settles.ANSWERS),
    Action.YES: Spec(_UNDER_WAY, _yes, unless=lambda core: core.state.asks is None, settles=Settles.ANSWERS),
    Action.NO: Spec(_UNDER_WAY, _no, unless=lambda core: core.state.asks is None),
}
