"""The way round: what the sinks are told, and in which order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from tests.support import plays
from voice_facilitator.app.conductor import Conductor
from voice_facilitator.session import events as ev

Told = list[tuple[float, ev.Input | ev.Effect]]


class Nobody:
    """Ears and mouth in one, which do nothing."""

    def listen(self, effect: ev.Listen) -> None: ...
    def forget(self, for_good: bool) -> None: ...
    def gate(self, closed: bool) -> None: ...
    def allow(self, actions: frozenset[ev.Action]) -> None: ...
    def say(self, number: int, text: str, *, chime: bool, voice: bool) -> None: ...
    def stop(self) -> None: ...


def told(timed: list[plays.Timed]) -> Told:
    """Everything a sink is told of what happens, ticks left out."""
    found: Told = []
    conductor = Conductor(plays.session(), Nobody(), Nobody(), [lambda at, item: found.append((at, item))])
    for at, happened in timed:
        conductor.take(happened, at)
    return [(at, item) for at, item in found if not isinstance(item, ev.Tick)]


def test_what_fell_due_before_an_event_is_told_before_it() -> None:
    """One long step, as after a machine slept: the check-in began at its own moment."""
    silence, other = plays.event("silence"), plays.event("other")
    found = told([(0.0, plays.event("begin")), (0.0, silence), (90.0, other)])
    kinds = [type(item).__name__ if isinstance(item, ev.Effect) else item for _, item in found]
    assert "PhaseEntered" in kinds[kinds.index(silence) : kinds.index(other)]
    assert kinds[-1] == other


def test_an_event_is_told_before_what_comes_of_it() -> None:
    begin = plays.event("begin")
    found = [item for _, item in told([(0.0, begin)])]
    assert found[0] == begin
    assert any(isinstance(item, ev.PhaseEntered) for item in found)


@tries(100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 3.0, 30.0, 200.0]),
            st.sampled_from(
                ["other", "silence", "next", "more-time 60", "tick", "pause", "resume", "lost microphone"]
            ),
        ),
        max_size=20,
    )
)
def test_a_sink_is_told_in_time_order_and_of_each_event_once(steps: list[tuple[float, str]]) -> None:
    timed, now = [(0.0, plays.event("begin"))], 0.0
    for step, words in steps:
        now += step
        timed.append((now, plays.event(words)))
    found = told(timed)
    times = [at for at, _ in found]
    assert times == sorted(times)
    given_ = [item for _, item in timed if not isinstance(item, ev.Tick)]
    assert [item for _, item in found if isinstance(item, ev.Input)] == given_
