"""The moves a session is made of: entering a phase, planning the rest, announcing, showing, closing."""

from __future__ import annotations

import copy

from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Seconds
from voice_facilitator.session.machine import Mode, Move, SessionMachine, phase_in
from voice_facilitator.session.protocol import Listening, Phase, Policy, Protocol, Wording
from voice_facilitator.session.schedule import fit, squeeze
from voice_facilitator.session.state import Late, Pending, Plan, Purpose, State, Undo

REQUEST_GRACE_SECONDS = 10.0  # an answer to a request waits this long for a gap
CLOSING_SECONDS = 60.0  # after a request to end, the goodbye waits at most this long for a gap
READ_CHARACTERS_PER_SECOND = 12.0  # slow silent reading of a sentence that may not have been heard
LINE_SECONDS = 12.0
_CHANGE_SECONDS = 1.0  # a plan that moves by less than this is still the same plan
_DEAF = frozenset({ev.Part.MICROPHONE, ev.Part.HEARING})


class Core:
    """State and moves of one session; `Session` decides when which move is made."""

    def __init__(
        self,
        protocol: Protocol,
        wording: Wording,
        policy: Policy,
        contacts: tuple[str, ...] = (),
        state: State | None = None,
    ) -> None:
        self.protocol = protocol
        self.wording = wording
        self.policy = policy
        self.contacts = contacts
        self.state = state or State()
        self.machine = SessionMachine(protocol, self.state)
        self.effects: list[ev.Effect] = []

    # ------------------------------------------------------------ reading

    @property
    def mode(self) -> Mode:
        return self.machine.mode

    @property
    def place(self) -> int:
        """The place of the phase under way in the protocol; -1 where there is none."""
        found = self.protocol.index(self.machine.phase)
        return -1 if found is None else found

    @property
    def phase(self) -> Phase | None:
        return self.protocol.phases[self.place] if self.place >= 0 else None

    def later_phases(self) -> tuple[Phase, ...]:
        return self.protocol.phases[self.place + 1 :]

    def may_hear(self) -> bool:
        """Whether no part that hearing needs is lost."""
        return _DEAF.isdisjoint(self.state.lost)

    def hears(self) -> bool:
        """Whether the hearing works, so that gaps are known."""
        return self.state.who is not None and self.may_hear()

    @property
    def listening(self) -> Listening:
        return self.wording.listening(self.protocol, timer_only=self.state.timer_only)

    @property
    def understands(self) -> bool:
        """Whether spoken commands can be heard now, as far as is known."""
        return bool(self.wording.stop) and self.may_hear() and ev.Part.COMMANDS not in self.state.lost

    def may_remind(self) -> bool:
        """Whether a reminder is possible at all: the phase has them, and the voice known is the right one."""
        state, phase = self.state, self.phase
        if phase is None or not phase.reminders or self.mode is not Mode.RUNNING:
            return False
        if (
            state.timer_only
            or state.reminders.stopped
            or not {*_DEAF, ev.Part.VOICE_MODEL}.isdisjoint(state.lost)
        ):
            return False
        return state.presenter_of == self.protocol.presenter_of(self.place)

    def someone_speaks(self) -> bool:
        return self.hears() and self.state.silent_since is None

    def gap_after(self, due: Seconds, *, holds_silence: bool) -> Seconds | None:
        """The moment from `due` on at which something may be said, if nobody speaks until then.

        None while somebody speaks, while we speak, or when the silence by then belongs to the group.
        """
        if self.state.speaking is not None:
            return None
        if not self.hears():
            return due
        since = self.state.silent_since
        if since is None:
            return None
        since = max(since, self.state.quiet_since)
        moment = max(due, since + self.policy.gap_seconds)
        if holds_silence and moment - since > self.policy.held_silence_seconds:
            return None
        return moment

    # ------------------------------------------------------------ moving

    def emit(self, effect: ev.Effect) -> None:
        self.effects.append(effect)

    def remember_undo(self, action: ev.Action) -> Seconds:
        until = self.state.now + self.policy.undo_seconds
        state = self.state
        state.undo = Undo(action, until, state.machine, copy.deepcopy(state.plan), state.paused_at)
        return until

    def enter(self, index: int, reason: str, *, quietly: bool = False, confirm: str = "") -> None:
        """Enter the phase at `index` now: the machine moves, the rest is planned, the phase is announced.

        quietly: chimed and shown, the words wait for a gap. confirm: a sentence said before the announcement,
        so that it can be taken back.
        """
        state, phase, before = self.state, self.protocol.phases[index], self.state.plan
        follows = index == self.place + 1
        if self.mode is Mode.NOT_STARTED:
            budget = sum(p.seconds for p in self.protocol.phases[index:])
        else:
            budget = before.session_ends - state.now
        lengths = (squeeze if before.end_stays else fit)(self.protocol.phases[index:], budget)
        self.machine.go(Move.ENTER, phase.name)
        state.visits += 1
        ends = state.now + lengths[0]
        state.plan = Plan(state.visits, state.now, ends, lengths[1:], end_stays=before.end_stays)
        state.reminders.armed = True
        self.ask_no_more()
        self.drop_waiting()
        self.emit(ev.PhaseEntered(state.now, phase.name, lengths[0], reason))
        self.listen()
        if before.visit and not (follows and self._as_planned(before)):
            self.plan_changed()
        text = self.fill(phase.announcement, seconds=lengths[0])
        if text:
            grace = state.now + phase.grace_seconds
            pending = Pending(Purpose.PHASE, f"{phase.name}.start", text, state.now, grace)
            at_once = reason == "planned" or not self.someone_speaks()
            self._say_confirmed(confirm, pending, quietly, at_once=at_once)

    def _say_confirmed(self, confirm: str, pending: Pending, quietly: bool, *, at_once: bool) -> None:
        """Tell a change; one asked for by voice says first what was understood, the rest at the next gap."""
        if not confirm:
            self.say_change(pending, quietly, at_once=at_once)
            return
        self.show(confirm)
        purpose = Purpose.CONFIRM
        first = Pending(purpose, purpose.value, confirm, pending.due, pending.grace_until, late=Late.DROP)
        if self.state.undo is not None:  # as long as it may take until it is said
            self.state.undo.until = max(self.state.undo.until, pending.grace_until + self.policy.undo_seconds)
        self.say_change(first, quietly, at_once=at_once)
        pending.chime = False
        self.wait(pending)

    def _as_planned(self, before: Plan) -> bool:
        """Whether the phase just entered is as long as `before` foresaw, and all ends when it did there."""
        plan = self.state.plan
        lengths = [plan.phase_ends - plan.phase_started, *plan.later]
        changes = [a - b for a, b in zip(lengths, before.later, strict=True)]
        return all(abs(c) < _CHANGE_SECONDS for c in [*changes, plan.session_ends - before.session_ends])

    def say_change(self, pending: Pending, quietly: bool, *, at_once: bool) -> None:
        """Tell a change that has just been made: now, at the next gap, or (quietly) first by a chime."""
        if self.state.speaking is not None:
            if quietly:
                pending.grace_until = pending.due  # the grace is over already
            self.wait(pending)
        elif quietly:
            self.announce(pending, only_chime=True)
            pending.chime = False
            self.wait(pending)
        elif at_once:
            self.announce(pending)
        else:
            self.wait(pending)

    def go_back(self, undo: Undo) -> None:
        """Go back to the phase and the plan that `undo` remembers, running or paused as it is now."""
        plan, phase, current = undo.plan, phase_in(undo.machine), self.state.plan
        same_visit = current.visit == plan.visit
        if same_visit:  # a cue that sounded meanwhile does not sound again
            plan.cues_done = sorted({*plan.cues_done, *current.cues_done})
        self.state.plan = plan
        if self.mode is Mode.CLOSING:
            self.state.voices_learnt = False  # they were forgotten when it closed
        if not same_visit or self.mode not in (Mode.RUNNING, Mode.PAUSED):
            if self.mode is not Mode.PAUSED:
                self.machine.go(Move.ENTER, phase)
            self.drop_waiting()
            self.emit(ev.PhaseEntered(self.state.now, phase, plan.phase_ends - plan.phase_started, "undo"))
            self.listen()
        self.plan_changed()

    def listen(self) -> None:
        """Tell the hearing what the running phase is for."""
        phase, state = self.phase, self.state
        if phase is None or self.mode is not Mode.RUNNING or state.timer_only:
            paused = self.mode is Mode.PAUSED and not state.timer_only
            self.emit(ev.Listen(state.now, enrol=False, learn_others=False, decide=False, paused=paused))
            return
        new = phase.new_presenter and state.presenter_of != phase.name
        if new:
            state.presenter_of = phase.name
            state.enrolment = ev.Enrolment.NONE
        presenter_of = self.protocol.presenter_of(self.place)
        self.emit(
            ev.Listen(
                state.now,
                enrol=phase.enrols_presenter,
                learn_others=phase.hears_others,
                decide=phase.reminders and state.presenter_of == presenter_of,
                new_presenter=new,
                is_round=phase.hears_others and not presenter_of,
            )
        )
        self.note_learning()

    def note_learning(self) -> None:
        """Remember that a voice has been learnt: somebody speaks in a phase that learns voices."""
        state, phase = self.state, self.phase
        if phase is None or self.mode is not Mode.RUNNING or state.timer_only:
            return
        speaks = state.who in (ev.SpeakerState.PRESENTER, ev.SpeakerState.OTHER, ev.SpeakerState.UNSURE)
        learns = phase.enrols_presenter or phase.hears_others
        state.voices_learnt = state.voices_learnt or (speaks and learns)

    def replan_later(self, session_ends: Seconds) -> None:
        """Plan the later phases anew, to end at `session_ends`, after the running one got another end."""
        plan = self.state.plan
        plan.later = (squeeze if plan.end_stays else fit)(self.later_phases(), session_ends - plan.phase_ends)
        self.plan_changed()

    def plan_changed(self) -> None:
        plan, phase = self.state.plan, self.phase
        if phase is None:
            return
        rest = [(phase.name, max(0.0, plan.phase_ends - self.state.now))]
        rest += [(p.name, length) for p, length in zip(self.later_phases(), plan.later, strict=True)]
        self.emit(ev.PlanChanged(self.state.now, plan.session_ends, tuple(rest)))

    def close(self, *, planned: bool, quietly: bool = False, confirm: str = "") -> None:
        """Say goodbye and wipe the voices; the session ends when the goodbye is over."""
        state = self.state
        self.machine.go(Move.CLOSE)
        state.waiting.clear()  # what failed does not matter any more
        state.paused_at = None
        self.ask_no_more()
        state.enrolment = ev.Enrolment.NONE
        state.closing_until = state.now + CLOSING_SECONDS
        if planned:
            state.closing_until = max(state.now, state.plan.session_ends) + self.protocol.closing_seconds
        self.listen()
        # Not yet for good: who ended by mistake can take it back, and goes on with voices learnt anew.
        self.emit(ev.Forget(state.now, for_good=False))
        text = self.fill(self.protocol.goodbye)
        if text:
            until = state.now + REQUEST_GRACE_SECONDS
            pending = Pending(Purpose.OTHER, "goodbye", text, state.now, until)
            self._say_confirmed(confirm, pending, quietly, at_once=planned)

    def end(self) -> None:
        state = self.state
        planned = state.now >= state.plan.session_ends - self.protocol.closing_seconds - _CHANGE_SECONDS
        self.machine.go(Move.END)
        state.waiting.clear()
        state.undo = state.closing_until = None
        self.emit(ev.Forget(state.now, for_good=True))
        self.emit(ev.Ended(state.now, "planned" if planned else "request"))

    # ------------------------------------------------------------ saying and showing

    def announce(self, pending: Pending, *, only_chime: bool = False) -> None:
        """Say it now, or only chime; the screens show it in any case."""
        state, key, text = self.state, pending.key, pending.text
        chime, voice = pending.chime or only_chime, pending.voice and not only_chime
        state.announced += 1
        state.speaking = state.announced
        state.speaking_until = state.now + longest(text)
        # The time to object runs from its end on, and from the end of what follows: we hear nobody meanwhile.
        if state.undo is not None and (pending.purpose is Purpose.CONFIRM or state.undo.told):
            state.undo.told = state.announced
            state.undo.until = state.speaking_until + self.policy.undo_seconds
        state.caption = text
        state.caption_until = state.now + max(LINE_SECONDS, len(text) / READ_CHARACTERS_PER_SECOND)
        state.telling_fault = key if pending.purpose is Purpose.LOST else ""
        if state.telling_fault:
            state.faults_heard = sorted({*state.faults_heard, key})
        self.emit(ev.Announce(state.now, state.announced, key, text, chime, voice))

    def wait(self, pending: Pending) -> None:
        self.state.waiting.append(pending)

    def drop_waiting(self) -> None:
        """Forget what waits to be said, except that a part has failed or is back: that is still true."""
        self.state.waiting = [p for p in self.state.waiting if p.is_of_a_fault]

    def withdraw(self, which: str | Purpose) -> bool:
        """Take back what waits for a purpose or under a key; whether there was any."""
        waiting = self.state.waiting
        if isinstance(which, Purpose):
            self.state.waiting = [pending for pending in waiting if pending.purpose is not which]
        else:
            self.state.waiting = [pending for pending in waiting if pending.key != which]
        return len(self.state.waiting) < len(waiting)

    def show(self, text: str, seconds: Seconds = LINE_SECONDS) -> None:
        if not text:
            return
        self.state.line, self.state.line_until = text, self.state.now + seconds
        self.emit(ev.ShowLine(self.state.now, text, seconds))

    def answer(self, key: str, text: str, purpose: Purpose = Purpose.OTHER) -> None:
        """Answer a request: shown now, said at the next gap."""
        self.show(text)
        due = self.state.now
        self.wait(Pending(purpose, key, text, due, due + REQUEST_GRACE_SECONDS, late=Late.DROP))

    def ask(self, action: ev.Action, text: str) -> None:
        """Ask whether `action` is really wanted: a yes, or the same request again, carries it out."""
        self.ask_no_more()
        self.state.asks, self.state.asked_until = action, self.state.now + self.policy.undo_seconds
        self.answer(f"ask-{action.value}", text, Purpose.QUESTION)

    def ask_no_more(self) -> None:
        self.withdraw(Purpose.QUESTION)
        self.state.asks = self.state.asked_until = None

    def fill(self, text: str, *, seconds: Seconds = 0.0) -> str:
        """Fill the gaps a protocol's sentence may have."""
        return self.wording.fill(
            text,
            seconds=seconds,
            contacts=self.contacts,
            listening=self.listening,
            understands=self.understands,
        )


def longest(text: str) -> Seconds:
    """After this a missing "finished" is no longer waited for: slow speech, and time to begin it."""
    return 15.0 + len(text) / 5
