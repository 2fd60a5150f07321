"""What the sound card is fed, with a clock of our own and no sound card."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from voice_facilitator.machine.soundcard import Samples
from voice_facilitator.speaking.player import FADE_SECONDS, LEAD_SECONDS, Feed

RATE = 48_000
LOUD = 8000


class Card:
    """Calls for blocks in step with its own time, as a sound card does."""

    def __init__(self, samples: Samples, block: int = 480) -> None:
        self.now = 100.0
        self.block = block
        self.abort = threading.Event()
        self.feed = Feed(self.abort, lambda: self.now)
        self.feed.prepare(samples, RATE, latency_seconds=0.02)
        self.played: Samples = np.zeros(0, np.int16)

    def run(self, seconds: float) -> bool:
        """False: the feed had enough on the way."""
        for _ in range(round(seconds * RATE / self.block)):
            out = np.zeros(self.block, np.int16)
            goes_on = self.feed.fill(out, 0.02)
            self.played = np.concatenate([self.played, out])
            self.now += self.block / RATE
            if not goes_on:
                return False
        return True

    @property
    def sound(self) -> Samples:
        """From the first to the last sample that is not silence."""
        (heard,) = np.nonzero(self.played)
        return self.played[heard[0] : heard[-1] + 1]


def steady(seconds: float) -> Samples:
    return np.full(round(seconds * RATE), LOUD, np.int16)


@tries(60)
@given(st.integers(1, 3000), st.sampled_from([64, 480, 1024, 4800]))
def test_every_sample_is_played_once_after_the_silence_and_its_times_are_told(count: int, block: int) -> None:
    samples = np.random.default_rng(count).integers(1, LOUD, count).astype(np.int16)
    card = Card(samples, block)
    assert not card.run(5), "the tail has an end, too"
    np.testing.assert_array_equal(card.sound, samples)
    first = int(np.flatnonzero(card.played)[0])
    assert first >= LEAD_SECONDS * RATE
    assert card.feed.start == pytest.approx(100 + first / RATE + 0.02, abs=2 / RATE)
    assert card.feed.end == pytest.approx(100 + (first + count) / RATE + 0.02, abs=2 / RATE)
    assert not card.feed.aborted


@pytest.mark.parametrize("block", [96, 480, 2048])
def test_an_abort_fades_out(block: int) -> None:
    """A sound that is cut off stands at its full level one moment and at nothing the next: that clicks."""
    card = Card(steady(10), block)
    card.run(1)
    before = len(card.sound)
    card.abort.set()
    assert not card.run(1)
    assert card.feed.aborted
    fade = card.sound[before:].astype(int)
    assert 0 < len(fade) <= FADE_SECONDS * RATE
    steps = -np.diff([LOUD, *fade, 0])
    assert (steps >= 0).all(), "only ever softer"
    if block >= FADE_SECONDS * RATE:
        assert steps.max() < LOUD / 100, "in small steps, to nothing"
        assert len(fade) > FADE_SECONDS * RATE * 0.9
    assert card.feed.end is not None


def test_an_abort_before_the_sound_is_never_heard() -> None:
    card = Card(steady(1))
    card.abort.set()
    card.run(1)
    assert not card.played.any()
    assert card.feed.over_unheard
    assert card.feed.aborted
    assert card.feed.end is None


def test_the_sound_waits_until_the_card_calls_in_step() -> None:
    """A burst of calls only fills its buffer: the speaker may still be asleep."""
    card = Card(steady(1))
    for _ in range(50):
        card.feed.fill(out := np.zeros(480, np.int16), 0.02)
        assert not out.any()
    assert not card.feed.in_step
    assert not card.run(3)
    np.testing.assert_array_equal(card.sound, steady(1))
