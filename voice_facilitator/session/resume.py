"""A session that goes on after a power cut: what is kept of it, and how it takes up its time again.

The minutes of the running phase stand still while nobody was there, and the planned end stays where it was:
what the cut has cost is taken from the later phases as an overrun is.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields, replace

from voice_facilitator.session import events as ev
from voice_facilitator.session.core import REQUEST_GRACE_SECONDS, Core
from voice_facilitator.session.events import Seconds
from voice_facilitator.session.machine import Mode
from voice_facilitator.session.schedule import fit, squeeze
from voice_facilitator.session.state import Late, Pending, Plan, Purpose, Reminders, State

_HARDLY_BEGUN_SECONDS = 15.0  # cut off so early, few have heard what the phase is about


@dataclass(slots=True)
class Kept:
    """The phase, the plan and what people have decided. Nothing of who was heard, learnt, said or shown."""

    protocol: str
    machine: str
    now: Seconds
    visits: int
    plan: Plan
    paused_at: Seconds | None
    timer_only: bool
    reminders: Reminders
    announced: int

    @classmethod
    def of(cls, state: State, protocol: str) -> Kept:
        names = [field.name for field in fields(cls) if field.name != "protocol"]
        return deepcopy(cls(protocol, **{name: getattr(state, name) for name in names}))

    def state(self) -> State:
        """A state to go on with; what was not kept is as at the start."""
        kept = deepcopy(self)
        names = [field.name for field in fields(kept) if field.name != "protocol"]
        return State(**{name: getattr(kept, name) for name in names})


def restarted(core: Core, now: Seconds, *, hears: bool = True) -> None:
    """Go on at `now` with a session that stood still since its last moment."""
    state, plan, phase = core.state, core.state.plan, core.phase
    cut = state.now
    state.now = now
    if state.timer_only:
        core.emit(ev.Forget(now, for_good=True))
    core.listen()
    if core.mode is Mode.PAUSED:
        core.show(core.wording.say("restarted.paused"))
    if core.mode is not Mode.RUNNING or phase is None:
        return
    # Somebody may be speaking, until we have heard otherwise.
    state.who = ev.SpeakerState.UNSURE if hears else None
    elapsed, session_ends = cut - plan.phase_started, plan.session_ends
    rest = [replace(phase, seconds=max(0.0, plan.phase_ends - cut)), *core.later_phases()]
    lengths = squeeze(rest, session_ends - now)
    plan.end_stays = plan.end_stays or sum(fit(rest, session_ends - now)) > session_ends - now
    plan.phase_started = now - elapsed
    plan.phase_ends = now + lengths[0]
    plan.later = lengths[1:]
    core.emit(ev.PhaseEntered(now, phase.name, plan.phase_ends - plan.phase_started, "restored"))
    core.plan_changed()
    text = core.wording.say("restarted", left=core.wording.minutes(lengths[0]))
    core.show(text)
    beginning = core.fill(phase.announcement, seconds=lengths[0])
    if elapsed < _HARDLY_BEGUN_SECONDS and beginning:
        core.wait(Pending(Purpose.PHASE, f"{phase.name}.start", beginning, now, now + phase.grace_seconds))
    else:
        until, holds = now + REQUEST_GRACE_SECONDS, phase.holds_silence
        core.wait(Pending(Purpose.OTHER, "restarted", text, now, until, late=Late.CHIME, holds_silence=holds))
