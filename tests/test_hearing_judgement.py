"""The presenter's decision with given scores: what each constant of it does, at both sides of its border.

The benchmark says how well the constants work; these tests say that they are the ones that are at work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from voice_facilitator.hearing.who.others import Others, label_others, of_one_voice
from voice_facilitator.hearing.who.presenter import PresenterModel
from voice_facilitator.hearing.who.scores import Score, Together
from voice_facilitator.hearing.who.speaker import (
    Decision,
    Heard,
    Piece,
    Reason,
    Scores,
    WhoSpeaks,
    judge,
    told_strength,
    who_by,
)
from voice_facilitator.hearing.who.turns import HOP_SECONDS, Turns
from voice_facilitator.hearing.who.voice_model import Cohort, Rule
from voice_facilitator.hearing.who.voices import VoiceBank
from voice_facilitator.models import load_manifest
from voice_facilitator.session.events import (
    Enrolment,
    EnrolmentChanged,
    Input,
    Listen,
    PresenterEvidence,
    SpeakerState,
)

RULE = Rule(**load_manifest().default_encoder().decision)
A_BIT = 0.001
WINDOW_SECONDS = 1.6

STORY = Listen(0.0, enrol=True, learn_others=False, decide=False)
DISCUSSION = Listen(0.0, enrol=False, learn_others=False, decide=True)
OPEN = Listen(0.0, enrol=False, learn_others=False, decide=False)

scores = st.floats(-1.5, 1.5)
likelihoods = st.floats(0, 1)


def test_the_defaults_of_the_rule_are_those_of_the_shipped_encoder() -> None:
    assert Rule() == RULE


# ------------------------------------------------------------ turns: the strength of a mean


def turns(hops: Sequence[tuple[float | None, float, float | None]]) -> Turns:
    """After hops of score, length in windows, and score of the end."""
    found = Turns(RULE)
    found.begin(0.0)
    for score, length, end in hops:
        found.hop(score, length, end, 0.0)
    return found


def strength(
    *heard: float, length: float = 1.0, end: float = 0.9, screen: float = RULE.screen_score
) -> float | None:
    found = turns([(score, length, end) for score in heard]).strength(screen, RULE.certain_score)
    return None if found is None else told_strength(found)


def test_a_mean_is_worth_a_quiet_line_from_one_border_on_and_a_spoken_one_from_another() -> None:
    assert strength(*[0.79] * 6) == 2.0
    assert strength(*[0.79 - A_BIT] * 6) == 1.9
    assert strength(*[0.54] * 6) == 1.0
    assert strength(*[0.54 - A_BIT] * 6) == 0.9
    assert strength(*[0.67] * 6, screen=RULE.screen_score_without_round) == 1.0
    assert strength(*[0.67 - A_BIT] * 6, screen=RULE.screen_score_without_round) == 0.9
    assert strength(*[0.40] * 6) == 0.0
    assert strength(*[9.0] * 6) == 3.0


def test_a_short_mean_has_to_reach_higher() -> None:
    assert strength(0.0, 0.0, *[0.83] * 4) == 2.0
    assert strength(0.0, 0.0, *[0.83 - A_BIT] * 4) == 1.9
    assert strength(0.0, 0.0, 0.0, *[0.83] * 3) < 2.0  # type: ignore[operator]


def test_a_mean_is_of_the_last_six_hops() -> None:
    def mean(*heard: float) -> float | None:
        return turns([(score, 1.0, 0.9) for score in heard]).mean()

    assert mean(0.0, *[0.9] * 6) == pytest.approx(0.9)
    assert mean(0.0, *[0.9] * 5) == pytest.approx(0.75)


def test_a_mean_needs_one_and_a_half_windows() -> None:
    assert strength(0.9, length=1.0) == 0.0
    assert strength(0.9, 0.9, length=0.75) == strength(0.9, 0.9, 0.9)
    assert strength(0.9, 0.9, length=0.74) == 0.0


@tries(200)
@given(st.lists(st.tuples(scores | st.none(), st.floats(0.25, 1), scores), min_size=1, max_size=12))
def test_however_high_the_mean_there_is_no_strength_unless_the_last_end_agrees(
    hops: list[tuple[float | None, float, float]],
) -> None:
    found = turns(hops).strength(RULE.screen_score, RULE.certain_score)
    if hops[-1][0] is None:
        assert found is None, "too little was said"
        return
    assert found is not None
    assert 0 <= found <= 3
    if hops[-1][2] < 0.5:
        assert found == 0, "a mean lags behind"


def test_where_the_end_agrees_the_mean_counts_in_full() -> None:
    assert strength(*[0.9] * 6, end=0.5) == strength(*[0.9] * 6, end=1.0) > 2  # type: ignore[operator]
    assert strength(*[0.9] * 6, end=0.5 - A_BIT) == 0.0


# ------------------------------------------------------------ turns: how long the presenter has spoken


def seconds(*heard: float, length: float = 1.0) -> float:
    return turns([(score, length, 0.5) for score in heard]).seconds()


def test_a_window_holds_as_much_of_the_presenter_as_its_score_says() -> None:
    assert seconds(*[0.75] * 10) == pytest.approx(10 * HOP_SECONDS + WINDOW_SECONDS / 2)
    assert seconds(*[2.0] * 10) == seconds(*[0.75] * 10), "all of it is all of it"
    assert seconds(*[0.75 - A_BIT] * 10) < seconds(*[0.75] * 10)
    half = 10 * HOP_SECONDS / 2 + WINDOW_SECONDS * 0.5 * 0.75
    assert seconds(*[0.45] * 10) == pytest.approx(half)
    assert seconds(*[0.15] * 4) == seconds(*[-1.0] * 4) == 0
    assert seconds(*[0.15 + A_BIT] * 4) > 0


def test_five_windows_in_a_row_without_the_presenter_let_go_of_what_was_counted() -> None:
    spoke = [0.9] * 10
    before = seconds(*spoke)
    assert seconds(*spoke, *[0.1] * 4) > 1.5
    assert seconds(*spoke, *[0.1] * 5) == 0
    assert seconds(*spoke, *[0.1] * 4, 0.9) > 1.5
    three_tenths = 0.15 + 0.3 * (0.75 - 0.15)
    assert seconds(*spoke, *[three_tenths + A_BIT] * 9) > before - WINDOW_SECONDS / 2
    assert seconds(*spoke, *[three_tenths - A_BIT] * 9) < 1


def test_a_presenter_who_stops_has_spoken_no_longer_than_the_sound_did() -> None:
    """As the window slides off a remark, its share falls and what is left of it counts less."""
    still = [0.9] * 10
    sliding = [0.75 - 0.6 * k * HOP_SECONDS / WINDOW_SECONDS for k in range(1, 4)]
    assert seconds(*still, *sliding) == pytest.approx(seconds(*still), abs=0.15)


@pytest.mark.parametrize(
    ("shares", "falls"),
    [
        ((1.0, 1.0, 1.0, 0.845), True),
        ((1.0, 1.0, 1.0, 0.855), False),
        ((1.0, 0.9, 0.9, 0.845), True),
        ((1.0, 0.9, 0.9, 0.9, 0.845), False),
    ],
)
def test_a_share_falls_if_it_is_less_by_fifteen_hundredths_than_three_hops_before(
    shares: tuple[float, ...], falls: bool
) -> None:
    """While it rises or stays, half of the last window is still to come; once it falls, nothing is."""
    last = shares[-1]
    to_come = last * last / 2 if falls else last * (1 - last / 2)
    found = seconds(*(0.15 + 0.6 * share for share in shares))
    assert found == pytest.approx(sum(shares) * HOP_SECONDS + WINDOW_SECONDS * to_come)


@tries(200)
@given(st.lists(st.tuples(scores, st.floats(0.25, 1)), max_size=40))
def test_nobody_speaks_longer_than_the_time_that_passes(hops: list[tuple[float, float]]) -> None:
    found = turns([(score, length, 0.5) for score, length in hops]).seconds()
    assert 0 <= found <= len(hops) * HOP_SECONDS + WINDOW_SECONDS


def test_the_end_of_a_stretch_ends_the_count() -> None:
    found = turns([(0.9, 1.0, 0.9)] * 10)
    found.end()
    assert found.seconds() == 0
    assert found.strength(RULE.screen_score, RULE.certain_score) == 0


# ------------------------------------------------------------ turns: the odds


def odds(prior: float, *ends: float | None, length: float = 1.0) -> float:
    found = Turns(RULE)
    found.begin(prior)
    for end in ends:
        found.hop(end, length, end, prior)
    return found.odds


def test_an_end_moves_the_odds_by_eleven_for_each_unit_above_even() -> None:
    assert odds(0, 0.40) == pytest.approx(0)
    assert odds(0, 0.50) == pytest.approx(1.1)
    assert odds(-3, 0.50) == pytest.approx(-3 + 1.1)
    assert odds(0, 0.50, 0.40) == pytest.approx(0.4 * 1.1), "windows overlap: two are no two witnesses"
    assert odds(0, 0.50, length=0.5) == pytest.approx(1.1), "the end is no longer than that"
    assert odds(0, 0.50, length=0.25) == pytest.approx(0.55)


@tries(200)
@given(st.floats(-4, 4), st.lists(scores | st.none(), max_size=30))
def test_odds_stay_within_five(prior: float, ends: list[float | None]) -> None:
    assert abs(odds(prior, *ends)) <= 5
    assert odds(prior, *[1.5] * 9) == -odds(prior, *[-1.5] * 9) == 5


@tries(100)
@given(st.floats(-4, 4), scores, scores)
def test_a_higher_end_speaks_more_for_the_presenter(prior: float, one: float, other: float) -> None:
    lower, higher = sorted((one, other))
    assert odds(prior, lower) <= odds(prior, higher)


def test_a_pause_quarters_the_odds() -> None:
    found = turns([(0.9, 1.0, 0.9)] * 5)
    before = found.odds
    found.pause()
    assert found.odds == before / 4


# ------------------------------------------------------------ the judgement


enrolments = st.sampled_from(Enrolment)


@tries(400)
@given(st.floats(-5, 5), st.floats(0, 3) | st.none(), likelihoods | st.none(), enrolments, st.booleans())
def test_a_judgement(
    odds: float, mean: float | None, remark: float | None, enrolment: Enrolment, in_discussion: bool
) -> None:
    found = judge(
        RULE,
        odds=odds,
        mean_strength=mean,
        remark=remark,
        enrolment=enrolment,
        in_discussion=in_discussion,
    )
    assert found.who is who_by(odds, RULE)
    if mean is None or not in_discussion:
        assert found.strength is None
        assert found.reason in {Reason.SHORT, Reason.ODDS, Reason.EVEN}
        return
    assert found.strength is not None
    if enrolment is not Enrolment.READY:
        assert found.strength <= 0.5, "a voice that is not well known is never reminded"
        assert found.reason not in {Reason.SCREEN, Reason.CERTAIN}
    elif remark is not None:
        assert (found.strength >= 1) == (remark >= 0.91)
        assert told_strength(found.strength) < 2 or mean >= 2 - 1e-9, "the spoken one needs the mean besides"
    else:
        assert found.strength == mean
    assert (found.reason is Reason.CERTAIN) == (found.strength >= 2)
    assert (found.reason is Reason.SCREEN) == (1 <= found.strength < 2)


def likely(remark: float, mean: float = 0.0, enrolment: Enrolment = Enrolment.READY) -> float | None:
    return judge(
        RULE, odds=0, mean_strength=mean, remark=remark, enrolment=enrolment, in_discussion=True
    ).strength


def test_a_remark_is_worth_a_quiet_line_from_its_border_on() -> None:
    assert likely(0.91) == 1.0
    assert likely(0.91 - A_BIT) == 0.99, "however near, it is not rounded up"
    assert likely(0.455) == pytest.approx(0.5)
    assert likely(0.455, mean=3.0) == pytest.approx(0.5), "no mean makes a reminder of what is no remark"
    assert likely(0.95, mean=2.5) == 2.5
    assert likely(0.95, mean=2.5, enrolment=Enrolment.POOR) == 0.5


@tries(200)
@given(st.floats(0, 3))
def test_a_strength_is_told_in_tenths_and_never_rounded_up(strength: float) -> None:
    told = told_strength(strength)
    assert strength - 0.1 < told <= strength + 1e-9
    assert told == round(told, 1)


@pytest.mark.parametrize(
    ("odds", "who"),
    [
        (0.1, SpeakerState.PRESENTER),
        (0.1 - A_BIT, SpeakerState.UNSURE),
        (A_BIT - 0.1, SpeakerState.UNSURE),
        (-0.1, SpeakerState.OTHER),
    ],
)
def test_close_to_even_nobody_is_named(odds: float, who: SpeakerState) -> None:
    assert who_by(odds, RULE) is who


# ------------------------------------------------------------ a closer look


def score(value: float) -> Score:
    return Score(value, 0.5, 0.3, 0.3, value)


def two(best: float, best_end: float | None = None, other: float = -1.0) -> Together:
    best_end = best if best_end is None else best_end
    return Together(score(best), score(other), score(best_end), score(other), 0.4, 0.4)


@tries(200)
@given(scores, scores, scores, scores, st.booleans())
def test_one_of_two_voices_counts_less_by_the_discount_and_never_lowers_a_score(
    whole: float, end: float, best: float, best_end: float, full: bool
) -> None:
    found = Scores(score(whole), score(end), 1.0, full, two(best, best_end)).after_look(RULE)
    assert found == (max(whole, best - 0.3) if full else whole, max(end, best_end - 0.3))
    assert Scores(score(whole), score(end), 1.0, full, None).after_look(RULE) == (whole, end)


@dataclass
class Known:
    """A presenter's voice that is known; whatever is heard has the scores it is given."""

    whole: float = 0.0
    end: float = 0.0
    both: Together = field(default_factory=lambda: two(0.0))
    known: bool = True
    everybody_heard: bool = True
    enrolment: Enrolment = Enrolment.READY

    def score(self, _row: np.ndarray) -> Score:
        return score(self.whole)

    def score_end(self, _row: np.ndarray) -> Score:
        return score(self.end)

    def score_two(self, _voices: np.ndarray) -> Together:
        return self.both

    def learn_presenter(self, _row: np.ndarray) -> None:
        pass

    learn_other = learn_presenter


class Hops:
    """The object under test, hop by hop."""

    def __init__(self, listen: Listen = DISCUSSION, likely: float | None = None) -> None:
        """likely: how likely the weights find a remark, until it is changed; None: there are no weights."""
        self.model = Known()
        self.likely = likely
        remark = None if likely is None else lambda _rows, _round: self.likely
        self.speaker = WhoSpeaks(self.model, RULE, remark)  # type: ignore[arg-type]
        self.told: list[Decision] = []
        self.speaker.explain = self.told.append
        self.speaker.listen(listen)
        self.looks = 0

    def look(self) -> np.ndarray:
        self.looks += 1
        return np.ones((2, 2, 2), np.float32)

    def hop(self, whole: float, end: float | None = None, both: Together | None = None) -> list[Input]:
        self.model.whole, self.model.end = whole, whole if end is None else end
        self.model.both = both or two(-1.0)
        piece = Piece(WINDOW_SECONDS, lambda: np.zeros((2, 2), np.float32), self.look)
        return self.speaker.speech(Heard(piece, None, due=True))

    def looked(self, *hop: float, both: Together | None = None) -> bool:
        before = self.looks
        self.hop(*hop, both=both)
        return self.looks > before


def test_a_closer_look_is_taken_where_a_score_or_its_end_points_to_the_presenter() -> None:
    room = Hops()
    assert room.looked(0.3 + A_BIT, 0.0)
    assert not room.looked(0.3, 0.0)
    assert room.looked(0.0, 0.4 + A_BIT)
    assert not room.looked(0.0, 0.4)


def test_otherwise_every_third_time() -> None:
    room = Hops()
    assert [room.looked(0.0) for _ in range(9)] == [False, False, True] * 3


def test_after_a_look_that_points_to_the_presenter_the_next_window_is_looked_at() -> None:
    room = Hops()
    level = two(0.0, other=0.0)
    pointing = replace(level, best_end=score((0.2 + A_BIT) / 0.6))
    not_pointing = replace(level, best_end=score((0.2 - A_BIT) / 0.6))
    assert [room.looked(0.0, both=pointing) for _ in range(5)] == [False, False, True, True, True]
    room = Hops()
    assert [room.looked(0.0, both=not_pointing) for _ in range(5)] == [False, False, True, False, False]


def test_nobody_looks_where_only_the_presenter_speaks_or_nobody_asks() -> None:
    room = Hops()
    assert not any(room.looked(0.75, 0.75) for _ in range(5))
    assert room.looked(0.75, 0.75 - A_BIT)
    room = Hops(OPEN)
    assert not any(room.looked(0.5) for _ in range(5))


# ------------------------------------------------------------ hop by hop


@pytest.mark.parametrize(("listen", "prior"), [(STORY, 4.0), (DISCUSSION, -3.0), (OPEN, -0.3)])
def test_what_a_phase_is_for_is_what_is_believed_at_first(listen: Listen, prior: float) -> None:
    room = Hops(listen)
    room.hop(0.4)
    assert room.told[-1].odds == pytest.approx(prior)


def evidence(found: list[Input]) -> PresenterEvidence:
    (event,) = [event for event in found if isinstance(event, PresenterEvidence)]
    return event


def test_without_weights_a_spoken_reminder_needs_mean_and_end() -> None:
    room = Hops()
    for _ in range(5):
        room.hop(0.8)
    assert evidence(room.hop(0.8)).strength >= 2
    assert evidence(room.hop(0.8, 0.49)).strength == 0
    assert evidence(room.hop(0.8)).strength >= 2


@pytest.mark.parametrize(("with_round", "border"), [(True, 0.54), (False, 0.67)])
def test_without_weights_a_quiet_line_needs_a_mean_that_depends_on_the_round(
    with_round: bool, border: float
) -> None:
    room = Hops()
    room.model.everybody_heard = with_round
    for _ in range(6):
        found = room.hop(border + A_BIT)
    assert evidence(found).strength == 1.0
    assert room.told[-1].screen == border
    for _ in range(6):
        found = room.hop(border - A_BIT)
    assert evidence(found).strength == 0.9


def test_a_remark_has_lasted_from_the_first_window_that_is_called_one() -> None:
    room = Hops(likely=0.5)
    assert evidence(room.hop(0.0)).strength == 0.5
    room.likely = 0.92
    lasted = [evidence(room.hop(0.0)).speech_seconds for _ in range(4)]
    assert lasted == [round(1.6 + k * HOP_SECONDS, 2) for k in range(4)]
    room.likely = 0.90
    assert evidence(room.hop(0.0)).strength == 0.9
    room.likely = 0.91
    assert evidence(room.hop(0.0)).speech_seconds == 1.6, "another one"


def test_a_stretch_of_speech_lasts_through_a_silence_of_eight_tenths() -> None:
    room = Hops(likely=0.95)
    room.hop(0.9)
    assert not [
        e for e in room.speaker.silence(0.8, pause=False, due=False) if isinstance(e, PresenterEvidence)
    ]
    assert evidence(room.speaker.silence(0.8 + A_BIT, pause=False, due=False)) == PresenterEvidence(0.0, 0.0)


# ------------------------------------------------------------ what is told about the enrolment


def test_a_quality_is_told_once_and_again_after_it_was_forgotten() -> None:
    model = PresenterModel(8, None, RULE, HOP_SECONDS)
    speaker = WhoSpeaks(model, RULE)
    rng = np.random.default_rng(0)

    def told(hops: int) -> list[Enrolment]:
        found: list[Input] = []
        for _ in range(hops):
            voices = rng.normal(size=(2, 8)).astype(np.float32)
            found += speaker.speech(Heard(Piece(WINDOW_SECONDS, lambda v=voices: v), None, due=True))
        return [event.quality for event in found if isinstance(event, EnrolmentChanged)]

    speaker.listen(STORY)
    assert told(9) == [Enrolment.LEARNING]
    speaker.forget(for_good=False)
    speaker.listen(STORY)
    assert told(9) == [Enrolment.LEARNING], "whoever asked to forget believes that nobody is known"
    speaker.listen(replace(STORY, new_presenter=True))
    assert told(9) == [Enrolment.LEARNING]


# ------------------------------------------------------------ the voices of a session


def at(cosine: float, count: int, seed: int = 0) -> np.ndarray:
    """Rows of length 1 with this cosine to the first axis, the rest of each in a direction of its own."""
    rest = np.random.default_rng(seed).normal(size=(count, 63))
    rest *= np.sqrt(1 - cosine**2) / np.linalg.norm(rest, axis=1, keepdims=True)
    return np.hstack([np.full((count, 1), cosine), rest]).astype(np.float32)


PRESENTER = at(1.0, 100)


def test_a_window_is_anothers_below_its_share_of_the_storys_closeness_if_its_neighbours_are() -> None:
    assert label_others(at(0.68 - A_BIT, 20), PRESENTER).all()
    assert not label_others(at(0.68 + A_BIT, 20), PRESENTER).any()
    pool = at(0.1, 21)
    pool[10] = PRESENTER[0]
    assert np.flatnonzero(~label_others(pool, PRESENTER)).tolist() == [8, 9, 10, 11, 12]


def after(pool: np.ndarray, in_round: int) -> Others:
    bank = VoiceBank(512, 64)
    for row in pool:
        bank.add(row)
    others = Others(64)
    others.learn(bank, PRESENTER, in_round)
    return others


def mean_of_the_nearest(count: int, rows: np.ndarray, row: np.ndarray) -> float:
    return float(np.sort(rows @ row)[-count:].mean())


def test_how_close_a_window_is_to_the_others_is_told_by_the_nearest_ten() -> None:
    others, row = after(at(0.1, 40), 0), at(0.5, 1, seed=7)[0]
    assert others.closeness(row) == pytest.approx(mean_of_the_nearest(10, others.rows, row))


def one_turn(cosine: float, windows: int = 20) -> np.ndarray:
    return np.repeat(at(cosine, 1, seed=3), windows, axis=0)


@pytest.mark.parametrize(("below", "alike"), [(0.03 + A_BIT, False), (0.03 - A_BIT, True)])
def test_of_two_turns_like_the_presenters_the_farther_is_anothers_unless_it_is_as_close(
    below: float, alike: bool
) -> None:
    own, other = one_turn(0.9, 40), one_turn(0.9 - below, 40)
    pool = np.vstack([at(0.1, 20), own, at(0.1, 20), other, at(0.1, 20)])
    others = after(pool, len(pool))
    assert others.too_alike is alike
    assert len(others.rows) == (20 - 2) + (20 - 4) + (20 - 2) + (0 if alike else 40 + 4)
    assert not after(pool, 0).too_alike, "outside a round somebody may speak twice"


@pytest.mark.parametrize(("between", "told"), [(12, False), (13, True)])
def test_two_turns_close_together_are_one(between: int, told: bool) -> None:
    """What is surely others' between them; two windows on each side of it are not."""
    pool = np.vstack([one_turn(0.9), at(0.1, between + 4), one_turn(0.9)])
    assert after(pool, len(pool)).too_alike is told


@pytest.mark.parametrize(("windows", "anothers"), [(1, 0), (2, 6)])
def test_a_turn_is_at_least_six_windows(windows: int, anothers: int) -> None:
    """Its neighbours, two on each side, are taken for it; so short it is not as close as the presenter's."""
    pool = np.vstack([one_turn(0.9), at(0.1, 40), one_turn(0.9, windows), at(0.1, 20, seed=1)])
    assert len(after(pool, len(pool)).rows) == (40 - 4) + (20 - 2) + anothers


def test_the_windows_of_a_story_far_below_its_median_are_somebody_elses() -> None:
    """Smoothed over three on each side, so a turn of eight has two that are its own alone."""
    for cosine, mine in ((0.80 - 0.01, False), (0.80 + 0.01, True)):
        found = of_one_voice(np.vstack([PRESENTER, one_turn(cosine, 8), PRESENTER]))
        assert np.flatnonzero(~found).tolist() == ([] if mine else [103, 104])


def enrolled(seconds: float, of_others: float = 0.0) -> Enrolment:
    """After a story of so many seconds, a share of which somebody else told."""
    count = int(np.ceil(seconds / HOP_SECONDS))
    foreign = round(count * of_others)
    model = PresenterModel(64, None, RULE, HOP_SECONDS)
    # A cosine of 0.5 between two people: the centroid is the presenter's all the same.
    for row in np.vstack([at(1.0, count - foreign), one_turn(0.5, foreign)]):
        model.learn_presenter(row)
    model.finish_presenter()
    return model.enrolment


def test_a_story_is_enough_from_fifteen_seconds_on_of_which_four_fifths_are_of_one_voice() -> None:
    assert enrolled(15.0) is Enrolment.READY
    assert enrolled(14.7) is Enrolment.POOR
    assert enrolled(60.0, of_others=0.19) is Enrolment.READY
    assert enrolled(60.0, of_others=0.21) is Enrolment.POOR


@pytest.mark.parametrize(("seconds", "counts"), [(15.0, True), (14.7, False)])
def test_a_round_counts_from_fifteen_seconds_on(seconds: float, counts: bool) -> None:
    model = PresenterModel(64, None, RULE, HOP_SECONDS)
    for row in at(0.1, int(np.ceil(seconds / HOP_SECONDS))):
        model.learn_other(row)
    model.finish_others(was_round=True)
    assert model.everybody_heard is counts


def scored(*, with_round: bool) -> tuple[Score, Score, float]:
    """A window and its end, with or without a round, and the closeness to the nearest of the cohort."""
    rng = np.random.default_rng(5)
    cohort = rng.normal(size=(200, 64))
    cohort = (cohort / np.linalg.norm(cohort, axis=1, keepdims=True)).astype(np.float32)
    model = PresenterModel(64, Cohort(cohort, np.arange(200), ()), RULE, HOP_SECONDS)
    if with_round:
        for row in at(0.1, 120):
            model.learn_other(row)
        model.finish_others(was_round=True)
    for row in at(0.9, 120, seed=2):
        model.learn_presenter(row)
    model.finish_presenter()
    window = at(0.7, 1, seed=4)[0]
    return model.score(window), model.score_end(window), mean_of_the_nearest(40, cohort, window)


def test_after_a_round_the_others_count_and_without_one_the_cohort_does() -> None:
    whole, end, _ = scored(with_round=True)
    assert whole.nearest is not None
    assert end.nearest is not None
    assert whole.score == pytest.approx(whole.discriminant + 1.0 * (whole.own - whole.nearest - 0.15))
    assert end.score == pytest.approx(end.discriminant + 1.7 * (0.35 - end.nearest))
    whole, end, nearest = scored(with_round=False)
    assert whole.typical == pytest.approx(nearest)
    assert whole.typical is not None
    assert end.typical is not None
    assert whole.score == pytest.approx(whole.discriminant + 2.0 * (0.30 - whole.typical))
    assert end.score == pytest.approx(end.discriminant + 1.0 * (0.30 - end.typical))


# ------------------------------------------------------------ the memory for voices


@tries(200)
@given(st.integers(1, 40), st.integers(0, 400), st.integers(0, 400))
def test_a_bank_of_voices_covers_any_length_of_time_evenly(capacity: int, count: int, first: int) -> None:
    bank = VoiceBank(2 * capacity, 2)
    for number in range(1, count + 1):
        bank.add(np.array([number, -number], np.float32))
    held = bank.rows[:, 0].astype(int).tolist()
    assert bank.offered == count
    assert len(bank) == len(held) <= 2 * capacity
    apart = held[0] if held else 1
    assert apart.bit_count() == 1, "every one, every second one, every fourth ..."
    assert held == list(range(apart, count + 1, apart)), "none of them lacks, old or new"
    if count >= 2 * capacity:
        assert len(held) >= capacity, "no more is given up than has to be"
    first = min(first, count)
    assert bank.held_of(first) == sum(number <= first for number in held)
    bank.forget()
    assert (len(bank), bank.offered, bank.rows.any()) == (0, 0, False)
