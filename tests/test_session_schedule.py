"""Planning the time: what a pause costs, and whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from voice_facilitator.session.events import Floor
from voice_facilitator.session.protocol import Elasticity, Phase
from voice_facilitator.session.schedule import remaining_after_pause

lengths = st.floats(0, 3600)


def phase(elasticity: Elasticity, seconds: float) -> Phase:
    return Phase("any", "Any", seconds, Floor.EVERYONE, "", elasticity=elasticity)


def test_a_pause_is_taken_from_the_discussion_down_to_its_least_length() -> None:
    """Of 20 minutes, a quarter at least, and the last one whatever there was before."""
    discussion, close = phase(Elasticity.FLEXIBLE, 1200), [phase(Elasticity.PROTECTED, 300)]

    def left(elapsed: float, until_end: float) -> float:
        return remaining_after_pause(discussion, elapsed, 1200 - elapsed, close, until_end)

    assert left(100, until_end=1000) == 700, "so much there is"
    assert left(100, until_end=400) == 200, "a quarter of it, in all"
    assert left(250, until_end=300) == 60, "a minute to end with"
    assert left(900, until_end=0) == 60
    assert left(1170, until_end=0) == 30, "there was no more"


@tries(300)
@given(
    st.sampled_from(Elasticity),
    lengths,
    lengths,
    lengths,
    st.lists(lengths, max_size=3),
    st.floats(-3600, 7200),
)
def test_after_a_pause(
    elasticity: Elasticity,
    seconds: float,
    elapsed: float,
    remaining: float,
    later: list[float],
    until_end: float,
) -> None:
    running, others = phase(elasticity, seconds), [phase(Elasticity.ELASTIC, length) for length in later]
    left = remaining_after_pause(running, elapsed, remaining, others, until_end)
    assert left <= remaining, "a pause gives nothing"
    if elasticity is not Elasticity.FLEXIBLE:
        assert left == remaining
        return
    assert left >= min(remaining, 60), "nobody is cut off in mid-sentence"
    assert left >= min(remaining, seconds / 4 - elapsed)
    if left > max(60, seconds / 4 - elapsed):
        assert left <= max(remaining, 0)
        assert left == pytest.approx(min(remaining, until_end - sum(later)))
