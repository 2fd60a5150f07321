"""Random plays of the session core: whatever happens, in whatever order, these things hold."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.plenty import tries
from tests.support.plays import Timed, protocol, shipped_policy, wording
from tests.test_faults_resume import read_kept
from voice_facilitator.session import Policy, Protocol, Session
from voice_facilitator.session import events as ev
from voice_facilitator.session.protocol import Cue, CueKind, Elasticity, Phase

# ------------------------------------------------------------ what may happen

requests = st.one_of(
    st.builds(
        ev.Request,
        st.sampled_from(ev.Action),
        seconds=st.none() | st.sampled_from([1.0, 30.0, 120.0, 900.0, 1e300]),
        phase=st.none() | st.sampled_from(["story", "discussion", "last-word", "close", "nowhere"]),
    ),
    st.builds(ev.Request, st.sampled_from([ev.Action.NEXT, ev.Action.UNDO, ev.Action.END, ev.Action.YES])),
)
heard = st.builds(
    ev.SpeakerChanged, st.sampled_from([ev.SpeakerState.SILENCE, *ev.SpeakerState, ev.SpeakerState.SILENCE])
)
evidence = st.builds(
    ev.PresenterEvidence,
    strength=st.sampled_from([0.0, 0.3, 1.0, 1.5, 2.0, 3.0, float("nan")]),
    speech_seconds=st.sampled_from([0.5, 2.0, 8.0, 30.0, float("nan")]),
)
enrolments = st.builds(ev.EnrolmentChanged, st.sampled_from([ev.Enrolment.READY, *ev.Enrolment]))
faults = st.one_of(
    st.builds(ev.PartLost, st.sampled_from(ev.Part)), st.builds(ev.PartBack, st.sampled_from(ev.Part))
)
finishes = st.builds(
    ev.AnnouncementFinished, st.integers(min_value=0, max_value=40), st.sampled_from(ev.Outcome)
)
nothing_asked = st.one_of(
    st.just(ev.Tick()), heard, heard, heard, evidence, evidence, enrolments, faults, finishes
)
anything = st.one_of(nothing_asked, nothing_asked, requests)
steps = st.one_of(
    st.sampled_from([0.0, 0.1, 1.0, 1.8, 3.0, 8.1, 20.0, 61.0, 301.0, -5.0]),
    st.floats(min_value=0, max_value=12),
    st.floats(min_value=-60, max_value=400),
)
voices = st.sampled_from([0.0, 1.0, 4.0, 20.0, None])  # how long each announcement takes; None: no answer

SILENCE, OTHER, PRESENTER = (
    ev.SpeakerChanged(who)
    for who in (ev.SpeakerState.SILENCE, ev.SpeakerState.OTHER, ev.SpeakerState.PRESENTER)
)
Scene = list[tuple[float, ev.Input]]  # seconds after what came before, and what happens


def ask(action: ev.Action, **more: Any) -> ev.Request:
    return ev.Request(action, **more)


def _intrusion(seconds: float, gap: float) -> Scene:
    strong = [(4.0, ev.PresenterEvidence(3.0, 5.0 + 4 * i)) for i in range(4)]
    return [
        (seconds, PRESENTER),
        (3.0, ev.PresenterEvidence(1.2, 3.0)),
        *strong,
        (1.0, SILENCE),
        (gap, OTHER),
        (1.0, ev.PresenterEvidence(0, 0)),
    ]


# Single inputs alone hardly ever get far, so plays are made of small scenes that make sense, and of noise.
asked = st.sampled_from(
    [action for action in ev.Action if action not in (ev.Action.END, ev.Action.TIMER_ONLY)]
)
scenes: st.SearchStrategy[Scene] = st.one_of(
    st.builds(lambda step, happened: [(step, happened)], steps, anything),
    st.builds(
        lambda step, pause: [(step, OTHER), (step, SILENCE), (pause, OTHER)],
        st.floats(1, 40),
        st.floats(0.5, 20),
    ),
    st.builds(_intrusion, st.floats(0, 350), st.sampled_from([1.0, 2.5, 30.0])),
    st.builds(
        lambda pause, times: _intrusion(pause, 2.5) * times,
        st.floats(20, 320),
        st.integers(min_value=2, max_value=5),
    ),
    st.builds(
        lambda action: [*_intrusion(30, 2.5)[:-3], (1.0, ask(action)), (1.0, SILENCE), (5.0, OTHER)],
        st.sampled_from([ev.Action.TIMER_ONLY, ev.Action.STOP_REMINDERS, ev.Action.PAUSE]),
    ),
    st.builds(
        lambda step, action, wait: [(step, ask(action)), (wait, ask(ev.Action.UNDO))],
        steps,
        asked,
        st.floats(0, 20),
    ),
    st.builds(
        lambda step, wait, answer: [
            (step, ask(ev.Action.PAUSE)),
            (wait, ask(ev.Action.RESUME)),
            (2.0, ask(answer)),
        ],
        steps,
        st.floats(0, 900),
        st.sampled_from([ev.Action.YES, ev.Action.RESUME, ev.Action.YES, ev.Action.NO]),
    ),
    st.builds(
        lambda step, wait, last: [(step, ask(ev.Action.END)), (wait, ask(last)), (3.0, ask(ev.Action.UNDO))],
        steps,
        st.floats(0, 14),
        st.sampled_from([ev.Action.YES, ev.Action.END, ev.Action.NO]),
    ),
    st.builds(
        lambda step, name, who: [
            (step, ask(ev.Action.PHASE, phase=name)),
            (0.5, ev.EnrolmentChanged(ev.Enrolment.READY)),
            (25.0, who),
        ],
        steps,
        st.sampled_from(["story", "discussion", "last-word", "close"]),
        st.sampled_from([SILENCE, OTHER]),
    ),
    st.builds(
        lambda step, part, wait: [(step, ev.PartLost(part)), (wait, ev.PartBack(part))],
        steps,
        st.sampled_from(ev.Part),
        st.floats(0, 90),
    ),
)

sentences = st.sampled_from(["Some words.", "You have {minutes}.", "{contacts}", ""])
phases = st.builds(
    Phase,
    name=st.just(""),
    title=st.just("A phase"),
    seconds=st.sampled_from([1.0, 20.0, 60.0, 240.0, 900.0]),
    floor=st.sampled_from(ev.Floor),
    announcement=sentences,
    cues=st.lists(
        st.builds(
            Cue,
            st.sampled_from([5.0, 30.0, 60.0]),
            st.sampled_from(CueKind),
            st.just("{minutes} left."),
        ),
        max_size=2,
        unique_by=lambda cue: cue.seconds_left,
    ).map(tuple),
    grace_seconds=st.sampled_from([0.0, 10.0, 60.0]),
    elasticity=st.sampled_from(Elasticity),
    reminders=st.booleans(),
    enrols_presenter=st.booleans(),
    hears_others=st.booleans(),
    new_presenter=st.booleans(),
    holds_silence=st.booleans(),
)


@st.composite
def made_up(draw: st.DrawFn) -> Protocol:
    """A protocol nobody would write; the names of its phases are those the requests know."""
    names = ["story", "discussion", "last-word", "close"]
    found = draw(st.lists(phases, min_size=1, max_size=4))
    named = [
        Phase(**{**{name: getattr(phase, name) for name in Phase.__dataclass_fields__}, "name": names[i]})
        for i, phase in enumerate(found)
    ]
    return Protocol(
        "made-up",
        "Made up",
        "",
        "en-gb",
        tuple(named),
        goodbye=draw(st.sampled_from(["Goodbye.", ""])),
        closing_seconds=draw(st.sampled_from([0.0, 12.0])),
    )


shipped = st.sampled_from(["balint-45", "balint-90-two-cases", "balint-plain"]).map(protocol)
formats = st.one_of(shipped, shipped, made_up())
POLICY = shipped_policy()
policies = st.sampled_from(
    [
        POLICY,
        shipped_policy(voice_at_most=3),
        shipped_policy(undo_seconds=60, quiet_start_seconds=0),
        shipped_policy(voice_at_most=2, after_pause_seconds=0),
    ]
)
CONTACTS = ("The chaplain, extension 12",)


@dataclass
class Play:
    """A format, and what happens in it when; the times may run backwards."""

    protocol: Protocol
    policy: Policy
    timed: list[Timed]
    begun: bool = True

    def session(self) -> Session:
        return Session(self.protocol, wording(), self.policy, CONTACTS)


def _finished(session: Session, timed: list[Timed], voice_seconds: float | None) -> list[Timed]:
    """`timed` with an AnnouncementFinished for each announcement that is made on the way."""
    found: list[Timed] = []
    waiting: list[Timed] = []

    def take(happened: ev.Input, at: float) -> None:
        for effect in session.handle(happened, at):
            if isinstance(effect, ev.Announce) and voice_seconds is not None:
                over = ev.AnnouncementFinished(effect.number, ev.Outcome.SPOKEN)
                waiting.append((effect.at + voice_seconds, over))

    for now, happened in timed:
        while True:
            moment = session.next_moment()
            if waiting and waiting[0][0] <= min(now, now if moment is None else moment):
                at, over = waiting.pop(0)
                found.append((at, over))
                take(over, at)
            elif moment is not None and moment <= now:
                take(ev.Tick(), moment)
            else:
                break
        found.append((now, happened))
        take(happened, now)
    return found


@st.composite
def plays(draw: st.DrawFn, kinds: st.SearchStrategy[Scene] = scenes, most: int = 20) -> Play:
    begun = draw(st.sampled_from([True, True, True, True, False]))
    play = Play(draw(formats), draw(policies), [], begun)
    now, timed = 0.0, list[Timed]()
    if begun:
        timed.append((0.0, ev.Request(ev.Action.BEGIN)))
        timed.append((0.0, ev.EnrolmentChanged(ev.Enrolment.READY)))
        if draw(st.booleans()):  # straight into the discussion, its presenter known
            timed += [
                (20.0, ev.Request(ev.Action.PHASE, phase="story")),
                (90.0, ev.EnrolmentChanged(ev.Enrolment.READY)),
                (90.0, ev.Request(ev.Action.PHASE, phase="discussion")),
            ]
            now = 120.0
    least = draw(st.integers(min_value=0, max_value=most))
    for scene in draw(st.lists(kinds, min_size=least, max_size=most)):
        for step, happened in scene:
            timed.append((now + step, happened))
            now = max(now, now + step)
    play.timed = _finished(play.session(), timed, draw(voices))
    return play


# ------------------------------------------------------------ what must hold


@functools.cache
def _known_sentences() -> re.Pattern[str]:
    texts = ["Some words.", "You have {minutes}.", "{contacts}", "{minutes} left.", "Goodbye."]
    texts += wording().sentences.values()
    for name in ("balint-45", "balint-90-two-cases", "balint-plain"):
        chosen = protocol(name)
        texts.append(chosen.goodbye)
        for phase in chosen.phases:
            texts += [
                phase.announcement.replace("{listening}", sentence)
                for key, sentence in wording().sentences.items()
                if key.startswith("listening.")
            ]
            texts += [cue.text for cue in phase.cues]
    patterns = {
        ".{0,80}".join(re.escape(" ".join(part.split())) for part in re.split(r"\s*\{\w+\}\s*", text))
        for text in texts
    }
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


@dataclass
class Watch:
    """Looks at everything a session does and objects to what must not be."""

    play: Play
    session: Session
    now: float = 0.0
    last_at: float = 0.0
    who: ev.SpeakerState | None = None
    lost: set[ev.Part] = field(default_factory=set)
    in_flight: tuple[int, float] | None = None
    spoken_reminders: list[float] = field(default_factory=list)
    handed_over: bool = False
    carried_on: float | None = None  # when the last pause ended with a yes
    forgotten: bool = False
    visit: int = 0
    visits: int = 0
    cues: set[tuple[int, str]] = field(default_factory=set)
    ended: float | None = None

    def take(self, happened: ev.Input, at: float) -> list[ev.Effect]:
        """Time first, then the event: so it is clear what each effect knew."""
        self.now = max(self.now, at)
        effects = self._handle(ev.Tick(), at)
        before, allowed = self.session.snapshot(), self.session.view().allowed
        undo_visit = before["undo"]["plan"]["visit"] if before["undo"] else None
        self._hear(happened)
        found = self._handle(happened, at, undo_visit)
        if isinstance(happened, ev.Request):
            refused = [effect for effect in found if isinstance(effect, ev.Refused)]
            known = (
                happened.action is not ev.Action.PHASE
                or self.play.protocol.index(happened.phase or "") is not None
            )
            assert (not refused) == (happened.action in allowed and known), happened
            if refused:
                assert found == refused
                assert len(refused) == 1
                assert self.session.snapshot() == before, "a refused request changed something"
            else:
                assert any(isinstance(effect, ev.Done) for effect in found)
        return effects + found

    def someone_speaks(self) -> bool:
        deaf = {ev.Part.MICROPHONE, ev.Part.HEARING} & self.lost
        return not deaf and self.who not in (None, ev.SpeakerState.SILENCE)

    def _hear(self, happened: ev.Input) -> None:
        deaf = {ev.Part.MICROPHONE, ev.Part.HEARING}
        match happened:
            case ev.SpeakerChanged():
                self.who = happened.who
            case ev.PartLost():
                self.lost.add(happened.part)
                if happened.part in deaf:
                    self.who = None
            case ev.PartBack() if happened.part in self.lost:
                self.lost.remove(happened.part)
                if happened.part in deaf:
                    self.who = None if deaf & self.lost else ev.SpeakerState.UNSURE
            case ev.AnnouncementFinished() if self.in_flight and self.in_flight[0] == happened.number:
                self.in_flight = None
            case _:
                pass

    def _handle(self, happened: ev.Input, at: float, undo_visit: int | None = None) -> list[ev.Effect]:
        effects = self.session.handle(happened, at)
        for effect in effects:
            note(str(effect))
            assert self.last_at <= effect.at <= self.now, effect
            assert self.ended is None or isinstance(effect, ev.Refused), "something after the end"
            self.last_at = effect.at
            self._check(effect, undo_visit)
        self.session.view()
        return effects

    def _check(self, effect: ev.Effect, undo_visit: int | None) -> None:
        match effect:
            case ev.Announce():
                self._check_announcement(effect)
            case ev.StopSpeaking():
                self.in_flight = None
            case ev.ShowLine() | ev.Refused():
                assert _known_sentences().fullmatch(effect.text), effect.text
            case ev.Reminded():
                self._check_reminder(effect)
            case ev.Done(action=ev.Action.RESUME, undo_until=float()):
                self.carried_on = effect.at
            case ev.Forget():
                self.forgotten = self.forgotten or effect.for_good
            case ev.Listen():
                wanted = effect.enrol or effect.learn_others or effect.decide or effect.new_presenter
                assert not (wanted and self.forgotten), (
                    "listening to voices after they were forgotten for good"
                )
            case ev.PhaseEntered(reason="undo"):
                assert undo_visit is not None
                self.visit = undo_visit
            case ev.PhaseEntered():
                self.visits += 1
                self.visit = self.visits
                self._check_lengths([(effect.name, effect.planned_seconds)])
            case ev.PlanChanged():
                self._check_lengths(effect.phases[1:])
            case ev.BackToStart():
                assert undo_visit == 0
            case ev.Ended():
                self.ended = effect.at
                assert self.forgotten
            case _:
                pass

    def _check_announcement(self, effect: ev.Announce) -> None:
        assert effect.voice or effect.chime
        assert effect.text
        assert _known_sentences().fullmatch(effect.text), effect.text
        if self.in_flight is not None:
            assert effect.at >= self.in_flight[1] - 1e-6, "two announcements at once"
        self.in_flight = (effect.number, effect.at + 15 + len(effect.text) / 5)
        assert not (effect.voice and self.someone_speaks()), "spoke over somebody"
        if ".cue-" in effect.key:
            assert (self.visit, effect.key) not in self.cues, "a cue sounded twice in one visit"
            self.cues.add((self.visit, effect.key))

    def _check_reminder(self, effect: ev.Reminded) -> None:
        assert not self.handed_over
        assert not self.forgotten
        if effect.level == 2:
            last = self.spoken_reminders[-1] if self.spoken_reminders else None
            pause = self.play.policy.after_pause_seconds
            assert self.carried_on is None or effect.at - self.carried_on >= pause
            assert last is None or effect.at - last >= self.play.policy.voice_every_seconds
            self.spoken_reminders.append(effect.at)
            assert len(self.spoken_reminders) <= self.play.policy.voice_at_most
        self.handed_over = effect.level == 3

    def _check_lengths(self, lengths: Any) -> None:
        for name, seconds in lengths:
            index = self.play.protocol.index(name)
            assert index is not None
            phase = self.play.protocol.phases[index]
            assert seconds >= phase.least_seconds - 1e-6, f"{name} was planned too short"


def watched(play: Play) -> Watch:
    watch = Watch(play, play.session())
    for now, happened in play.timed:
        note(f"{now:g}: {happened}")
        watch.take(happened, now)
    return watch


@tries(180)
@given(plays())
def test_a_session_keeps_its_manners_whatever_happens(play: Play) -> None:
    """Announcements, reminders, cues, consent, refusals, times and lengths: see `Watch`."""
    watched(play)


@tries(120)
@given(plays(), st.lists(st.floats(min_value=0, max_value=6000), max_size=60))
def test_one_long_step_is_the_same_as_many_short_ones(play: Play, looks: list[float]) -> None:
    once, often = play.session(), play.session()
    expected: list[ev.Effect] = []
    found: list[ev.Effect] = []
    now = 0.0
    looks.sort()
    for at, happened in [*play.timed, (20_000.0, ev.Tick())]:
        expected += once.handle(happened, at)
        for look in [look for look in looks if now < look < at]:
            found += often.handle(ev.Tick(), look)
        while (moment := often.next_moment()) is not None and moment < at:
            found += often.handle(ev.Tick(), moment)
        found += often.handle(happened, at)
        now = max(now, at)
    assert found == expected
    assert once.snapshot() == often.snapshot()


@tries(60)
@given(plays(), st.data())
def test_a_restored_session_goes_on_as_the_original(play: Play, data: st.DataObject) -> None:
    original = play.session()
    cut = data.draw(st.integers(min_value=0, max_value=len(play.timed)))
    for at, happened in play.timed[:cut]:
        original.handle(happened, at)
    json.dumps(original.snapshot(), allow_nan=False)
    stored = copy.deepcopy(original._core.state)
    restored = Session.restore(stored, play.protocol, wording(), play.policy, CONTACTS)
    assert restored.view() == original.view()
    for at, happened in [*play.timed[cut:], (20_000.0, ev.Tick())]:
        assert restored.handle(happened, at) == original.handle(happened, at)
        assert restored.snapshot() == original.snapshot()


@tries(60)
@given(plays())
def test_every_session_ends_when_nobody_asks_for_anything_any_more(play: Play) -> None:
    watch = watched(play)
    at = watch.now
    if watch.session.view().mode == "not-started":
        watch.take(ev.Request(ev.Action.BEGIN), at)
    if ev.Action.RESUME in watch.session.view().allowed:
        watch.take(ev.Request(ev.Action.RESUME), at)
        if watch.session.view().asks is not None:
            watch.take(ev.Request(ev.Action.YES), at)
    graces = sum(phase.grace_seconds for phase in play.protocol.phases)
    planned_end = at + watch.session.view().session_left
    watch.take(ev.Tick(), at + 1e6)
    assert watch.ended is not None
    assert watch.ended <= planned_end + graces + 200


@tries(30)  # 45 to 90 minutes each
@given(plays(st.builds(lambda step, happened: [(step, happened)], steps, nothing_asked), most=80))
def test_the_shipped_sessions_end_on_time_whatever_is_heard(play: Play) -> None:
    if play.protocol.name == "made-up":
        return
    unasked = [(at, happened) for at, happened in play.timed if not isinstance(happened, ev.Request)]
    watch = watched(Play(play.protocol, play.policy, [(0.0, ask(ev.Action.BEGIN)), *unasked]))
    watch.take(ev.Tick(), 1e5)
    assert watch.ended is not None
    assert play.protocol.seconds - 20 <= watch.ended <= play.protocol.seconds + 60


# ------------------------------------------------------------ resume data


damage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@tries(180)
@given(plays(most=12), damage, st.data())
def test_damaged_resume_data_is_refused_or_can_be_gone_on_with(
    play: Play, value: object, data: st.DataObject
) -> None:
    session = play.session()
    for at, happened in play.timed:
        session.handle(happened, at)
    kept = session.to_keep()
    if kept is None:
        return
    stored = json.loads(json.dumps(dataclasses.asdict(kept)))
    place: Any = stored
    key = data.draw(st.sampled_from(sorted(place)))
    while place[key] and isinstance(place[key], dict) and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    if data.draw(st.booleans()):
        place[key] = value
    else:
        del place[key]
    try:
        found = read_kept(json.dumps(stored))
        restored = Session.after_cut(found, play.protocol, wording(), play.policy, CONTACTS)
    except ValueError:
        return
    restored.view()
    restored.handle(ev.Restarted(), found.now)
    restored.handle(ev.Tick(), 10_000)


def test_resume_data_of_another_protocol_is_refused() -> None:
    other = Session(protocol("balint-60"), wording(), POLICY)
    other.handle(ask(ev.Action.BEGIN), 0.0)
    kept = other.to_keep()
    assert kept is not None
    with pytest.raises(ValueError, match="another protocol"):
        Session.after_cut(kept, protocol(), wording(), POLICY)


@pytest.mark.parametrize("now", [float("nan"), float("inf"), float("-inf")])
def test_a_time_that_is_none_is_refused(now: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Session(protocol(), wording(), POLICY).handle(ev.Tick(), now)


@tries(60)
@given(st.floats(max_value=0) | st.just(float("nan")) | st.just(float("inf")))
def test_a_request_for_no_time_at_all_cannot_be_made(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        ev.Request(ev.Action.MORE_TIME, seconds=seconds)
