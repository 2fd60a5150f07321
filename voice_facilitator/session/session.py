"""A session: events and the time go in, effects come out. Pure and deterministic."""

from __future__ import annotations

import math
from typing import Any

from voice_facilitator.session import actions, due, faults, floor, resume
from voice_facilitator.session import events as ev
from voice_facilitator.session.core import Core
from voice_facilitator.session.events import Seconds, SpeakerState
from voice_facilitator.session.machine import Mode
from voice_facilitator.session.protocol import Policy, Protocol, Wording
from voice_facilitator.session.resume import Kept
from voice_facilitator.session.state import Health, Late, Pending, Purpose, State, to_plain
from voice_facilitator.session.view import View, view

REMINDER_GRACE_SECONDS = 3.0  # a reminder this long after the presenter has given way would only embarrass


class Session:
    """One run of a protocol.

    `handle` is given everything that happens together with the time in seconds, which never runs
    backwards: an earlier time counts as the last one. Whatever fell due up to then happens at its own
    moment, so one long step gives the same effects as many short ones.
    """

    def __init__(
        self, protocol: Protocol, wording: Wording, policy: Policy, contacts: tuple[str, ...] = ()
    ) -> None:
        self._core = Core(protocol, wording, policy, contacts)

    @classmethod
    def restore(
        cls,
        state: State,
        protocol: Protocol,
        wording: Wording,
        policy: Policy,
        contacts: tuple[str, ...] = (),
    ) -> Session:
        """The session that remembers `state`.

        Raises ValueError where that does not hold together, or not with the protocol.
        """
        session = cls(protocol, wording, policy, contacts)
        session._core = Core(protocol, wording, policy, contacts, state)
        if not _holds_together(session._core):
            raise ValueError("the stored session is damaged or the protocol has changed")
        return session

    @classmethod
    def after_cut(
        cls,
        kept: Kept,
        protocol: Protocol,
        wording: Wording,
        policy: Policy,
        contacts: tuple[str, ...] = (),
    ) -> Session:
        """The session whose `to_keep` was `kept`; give it `Restarted` to go on. Raises ValueError."""
        if kept.protocol != protocol.name:
            raise ValueError("the stored session belongs to another protocol")
        session = cls.restore(kept.state(), protocol, wording, policy, contacts)
        if session.to_keep() is None:
            raise ValueError("the stored session is not under way")
        return session

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as plain data (no audio, no voice, no words of anybody)."""
        return {"protocol": self.protocol.name, **to_plain(self._core.state)}

    def to_keep(self) -> Kept | None:
        """What a power cut must not take; None while there is nothing to go on with."""
        if self._core.mode not in (Mode.RUNNING, Mode.PAUSED):
            return None
        return Kept.of(self._core.state, self.protocol.name)

    def view(self) -> View:
        return view(self._core)

    def allowed(self) -> frozenset[ev.Action]:
        """What can be asked for now."""
        return actions.allowed(self._core)

    @property
    def protocol(self) -> Protocol:
        return self._core.protocol

    @property
    def ended(self) -> bool:
        return self._core.mode is Mode.ENDED

    @property
    def planned_end(self) -> Seconds:
        """The session's time at which the last phase ends as planned now."""
        return self._core.state.plan.session_ends

    def next_moment(self) -> Seconds | None:
        """When something will happen by itself if no event comes before, or None."""
        return min((moment for moment, _ in due.moments(self._core)), default=None)

    def handle(self, event: ev.Input, now: Seconds) -> list[ev.Effect]:
        """Take in `event` at time `now` (seconds). Raises ValueError if `now` is not a finite number."""
        if not math.isfinite(now):
            raise ValueError("the time must be a finite number")
        core = self._core
        core.effects = []
        now = max(now, core.state.now)
        if isinstance(event, ev.Restarted):
            resume.restarted(core, now, hears=event.hears)
        else:
            due.advance(core, now)
            self._take_in(event)
        due.advance(core, core.state.now)
        return core.effects

    # ------------------------------------------------------------ what happens

    def _take_in(self, event: ev.Input) -> None:
        match event:
            case ev.Request():
                actions.apply(self._core, event)
            case _ if self.ended:
                pass
            case ev.NotUnderstood():
                if self._core.state.now >= self._core.state.line_until:  # hides nothing that people read
                    self._core.show(self._core.wording.say("not-understood"))
            case ev.SpeakerChanged():
                self._heard(event.who)
            case ev.PresenterEvidence():
                self._evidence(event)
            case ev.EnrolmentChanged():
                self._enrolment(event)
            case ev.AnnouncementFinished():
                self._announcement_over(event)
            case ev.PartLost():
                faults.part_lost(self._core, event.part, event.reason)
            case ev.PartBack():
                faults.part_back(self._core, event.part)
            case ev.SafeguardsMissing():
                faults.safeguards_missing(self._core)
            case ev.HealthChanged():
                self._core.state.health = Health(event.restarts, event.dropped, event.missed_seconds)

    def _announcement_over(self, event: ev.AnnouncementFinished) -> None:
        if event.outcome is ev.Outcome.FAILED and event.number == self._core.state.speaking:
            faults.not_heard(self._core)
        due.announcement_over(self._core, event.number)

    def _heard(self, who: SpeakerState) -> None:
        state = self._core.state
        if who is not SpeakerState.SILENCE:
            state.silent_since = None
        elif state.who is not SpeakerState.SILENCE:
            state.silent_since = state.now
        state.who = who
        self._core.note_learning()

    def _evidence(self, evidence: ev.PresenterEvidence) -> None:
        core, state = self._core, self._core.state
        if not core.may_remind():
            return
        level = floor.level(
            evidence,
            state.reminders,
            core.policy,
            now=state.now,
            phase_started=state.plan.phase_started,
            enrolment=state.enrolment,
            resumed_at=state.resumed_at,
        )
        waiting = next((p for p in state.waiting if p.purpose is Purpose.REMINDER), None)
        if waiting is not None and evidence.strength >= core.policy.screen_strength:
            waiting.grace_until = state.now + REMINDER_GRACE_SECONDS  # the presenter is still at it
        if level == 1:
            core.emit(ev.Reminded(state.now, 1))
            core.show(core.wording.say("reminder.screen"), core.policy.screen_seconds)
        elif level == 2 and waiting is None:
            text = core.wording.say("reminder.voice")
            until = state.now + REMINDER_GRACE_SECONDS
            purpose = Purpose.REMINDER
            core.wait(
                Pending(purpose, purpose.value, text, state.now, until, late=Late.DROP, holds_silence=True)
            )
        elif level == 3:
            core.emit(ev.Reminded(state.now, 3))

    def _enrolment(self, event: ev.EnrolmentChanged) -> None:
        core, state = self._core, self._core.state
        if state.timer_only or event.quality is state.enrolment:
            return
        state.enrolment = event.quality
        if event.quality is not ev.Enrolment.NONE and core.mode in (Mode.RUNNING, Mode.PAUSED):
            state.voices_learnt = True
        if event.quality in (ev.Enrolment.POOR, ev.Enrolment.AMBIGUOUS):
            core.show(core.wording.say(f"enrolment.{event.quality.value}"))


def _holds_together(core: Core) -> bool:
    """Whether a restored state can be gone on with; that the machine knows it is certain by now."""
    state, mode = core.state, core.mode
    if mode is not Mode.ENDED and len(state.plan.later) != (len(core.later_phases()) if core.phase else 0):
        return False
    if (state.plan.visit > 0) != (mode is not Mode.NOT_STARTED):
        return False
    return (mode is Mode.PAUSED) == (state.paused_at is not None) and (mode is Mode.CLOSING) == (
        state.closing_until is not None
    )
