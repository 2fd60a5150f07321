"""Who is speaking: decisions on embeddings of our own making, fed to the object that live sessions use."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.pipeline import WINDOW_CHUNKS, Frame, Hearing
from voice_facilitator.hearing.sound.activity import CHUNK_SECONDS
from voice_facilitator.hearing.who.remark import HOPS, ROW, LastHops, Remark, features, pointing, row_of
from voice_facilitator.hearing.who.scores import Score, Together
from voice_facilitator.hearing.who.speaker import Decision, Piece
from voice_facilitator.hearing.who.turns import HOP_CHUNKS, HOP_SECONDS, Turns
from voice_facilitator.hearing.who.voice_model import Cohort, Rule, VoiceModel
from voice_facilitator.machine.resources import shipped
from voice_facilitator.models import load_manifest
from voice_facilitator.privacy import memory
from voice_facilitator.session.events import (
    Enrolment,
    EnrolmentChanged,
    Input,
    Listen,
    PresenterEvidence,
    SpeakerChanged,
    SpeakerState,
)

SETTINGS = load_settings().hearing
DIM = 192

STORY = Listen(0.0, enrol=True, learn_others=False, decide=False)
NEXT_STORY = replace(STORY, new_presenter=True)
ROUND = Listen(0.0, enrol=False, learn_others=True, decide=False, is_round=True)
QUESTIONS = replace(ROUND, is_round=False)
DISCUSSION = Listen(0.0, enrol=False, learn_others=False, decide=True)
LAST_WORD = Listen(0.0, enrol=False, learn_others=False, decide=False)


class NoEncoder:
    """For tests that bring their own embeddings: must never be asked."""

    name = "none"
    dim = DIM
    tells_two = True

    def encode(self, windows: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        raise AssertionError("not to be used")

    def two_voices(self, window: np.ndarray) -> np.ndarray:
        raise AssertionError("not to be used")


def states(found: list[tuple[float, Input]]) -> list[SpeakerState]:
    return [event.who for _, event in found if isinstance(event, SpeakerChanged)]


class Room:
    """Speaks with made-up voices: `say` feeds frames as the analysis would make them."""

    def __init__(self, voices: int = 6, seed: int = 0, hops: int = 1, *, weights: bool = True) -> None:
        """hops: look at the voices only after so many times 0.2 s. weights: for remarks."""
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.hop = HOP_CHUNKS * hops
        settings = SETTINGS.model_copy(update={"hop_seconds": 0.2 * hops})
        self.room = self.unit(rng.normal(size=DIM))
        self.voices = [self.voice() for _ in range(voices)]
        cohort = np.stack([self.around(self.voice()) for _ in range(200)])
        entry = load_manifest().default_encoder()
        model = VoiceModel(
            NoEncoder(),
            Cohort(cohort, np.arange(200), ()),
            Rule(**entry.decision),
            Remark.load(shipped("models", entry.remark)) if weights else None,
        )
        self.hearing = Hearing(settings, model)
        self.frames = 0
        self.window: list[tuple[int, ...]] = [()] * WINDOW_CHUNKS  # who spoke in the last 1.6 s
        self.speaking = 0
        self.looks: list[float] = []  # when it was asked who else speaks
        self.told: list[np.ndarray] = []  # what it was answered
        self.found: list[tuple[float, Input]] = []

    @staticmethod
    def unit(row: np.ndarray) -> np.ndarray:
        return (row / np.linalg.norm(row)).astype(np.float32)

    def voice(self) -> np.ndarray:
        """Somebody's: as in real rooms, a little like anybody else's there."""
        return self.unit(0.33 * self.room + self.unit(self.rng.normal(size=DIM)))

    def around(self, voice: np.ndarray, spread: float = 1.2) -> np.ndarray:
        """As heard in 1.6 s: in rendered sessions a presenter's windows are 0.55 to 0.65 like their mean."""
        return self.unit(voice + spread * self.unit(self.rng.normal(size=DIM)))

    def embedding(self, window: list[tuple[int, ...]]) -> np.ndarray:
        """A mixture of those who spoke in the window."""
        return self.around(self.unit(sum(self.voices[who] for chunk in window for who in chunk)))

    def piece(self, chunks: int, both: Callable[[], np.ndarray] | None = None) -> Piece:
        """So much of the last 1.6 s; its end is two thirds of a second."""
        voices = [self.embedding(self.window[-count:]) for count in (chunks, min(chunks, self.speaking, 21))]
        return Piece(chunks * CHUNK_SECONDS, partial(np.stack, voices), both)

    def look(self, time: float, who: int, across: int | None) -> np.ndarray:
        """Where only one person speaks, both voices are theirs."""
        self.looks.append(time)
        if across is None:
            told = [[self.around(self.around(self.voices[who]), 0.3)] * 2 for _ in ("whole", "end")]
        else:
            told = [[self.around(self.voices[v]) for v in (who, across)] for _ in ("whole", "end")]
        self.told.append(np.array(told))
        return self.told[-1]

    def say(self, who: int | None, seconds: float, *, across: int | None = None) -> list[Input]:
        """across: says something meanwhile."""
        before = len(self.found)
        for _ in range(round(seconds / CHUNK_SECONDS)):
            self.frames += 1
            self.speaking = 0 if who is None else self.speaking + 1
            time = self.frames * CHUNK_SECONDS
            full = fresh = None
            self.window = [*self.window[1:], tuple(v for v in (who, across) if v is not None)]
            if who is not None and self.frames % self.hop == 0:
                both = partial(self.look, time, who, across)
                if self.window.count(()) <= 15:
                    full = self.piece(WINDOW_CHUNKS, both)
                if 12 <= self.speaking < WINDOW_CHUNKS:
                    fresh = self.piece(self.speaking)
            frame = Frame(time, who is not None, -30.0, full, fresh)
            self.found += [(time, event) for event in self.hearing.decide(frame)]
            frame.wipe()
        return [event for _, event in self.found[before:]]

    def quality(self) -> Enrolment:
        """How well the presenter is known, as last told."""
        return qualities(self.found)[-1]

    def session(self, *, with_round: bool = True) -> None:
        """Everything up to the discussion; voice 0 presents."""
        if with_round:
            self.hearing.listen(ROUND)
            for who in range(len(self.voices)):
                self.say(who, 6)
                self.say(None, 1)
        self.hearing.listen(STORY)
        for _ in range(5):
            self.say(0, 8)
            self.say(None, 1)
        self.hearing.listen(QUESTIONS)
        for who in (1, 0, 2, 0, 3, 0):
            self.say(who, 5)
            self.say(None, 1)
        self.hearing.listen(DISCUSSION)


LEAST_SECONDS = load_settings().reminders.least_speech_seconds


def strongest(found: list[Input], least_seconds: float = LEAST_SECONDS) -> float:
    return max(
        (e.strength for e in found if isinstance(e, PresenterEvidence) and e.speech_seconds >= least_seconds),
        default=0.0,
    )


@pytest.mark.parametrize("hops", [1, 2])
def test_the_presenter_is_known_from_the_story_and_told_from_the_others(hops: int) -> None:
    room = Room(hops=hops)
    room.session()
    assert room.quality() is Enrolment.READY
    for who in (1, 2, 3, 4, 5):
        found = room.say(who, 10)
        assert strongest(found) < 1
        assert SpeakerChanged(SpeakerState.PRESENTER) not in found
        room.say(None, 1)
    found = room.say(0, 6)
    assert strongest(found) >= 1
    assert SpeakerChanged(SpeakerState.PRESENTER) in found


def test_a_back_channel_is_welcome() -> None:
    room = Room()
    room.session()
    room.say(3, 5)
    found = room.say(0, 0.9) + room.say(None, 0.5) + room.say(2, 4)
    assert strongest(found) < 1


def test_a_remark_in_two_pieces_is_as_long_as_both() -> None:
    room = Room()
    room.session()
    room.say(3, 5)
    room.say(None, 1)
    found = room.say(0, 0.5) + room.say(None, 0.4) + room.say(0, 1.5) + room.say(None, 0.5)
    assert strongest(found) >= 1


@pytest.mark.parametrize(("hops", "with_round"), [(1, True), (1, False), (2, True)])
def test_the_presenter_is_heard_while_somebody_else_speaks(hops: int, with_round: bool) -> None:
    room = Room(hops=hops)
    room.session(with_round=with_round)
    room.say(3, 3)
    assert strongest(room.say(3, 3, across=0)) >= 1
    assert strongest(room.say(3, 3) + room.say(3, 3, across=4)) < 1, "two others at once are no presenter"
    assert len(room.told) > 10
    assert not any(voices.any() for voices in room.told), "each is overwritten once compared"


def test_without_weights_for_remarks_the_mean_score_decides() -> None:
    """As with Vosk's speaker model."""
    room = Room(weights=False)
    room.session()
    assert strongest(room.say(1, 8)) < 1
    room.say(None, 1)
    assert strongest(room.say(0, 6)) >= 1


def test_each_reminder_is_a_likely_remark_and_the_spoken_one_needs_a_high_mean_too() -> None:
    room, told = Room(), []
    room.hearing.explain(told.append)
    room.session()
    for who, seconds in ((1, 6), (0, 0.9), (2, 5), (0, 3), (3, 4), (0, 12)):
        room.say(who, seconds)
        room.say(None, 0.5)
    rule = Rule(**load_manifest().default_encoder().decision)
    reminded = [decision for decision in told if decision.strength >= 1]
    assert len(reminded) > 40
    assert all((decision.remark or 0.0) >= rule.remark_likelihood for decision in reminded)
    assert any(decision.strength >= 2 for decision in reminded)
    others = [decision for decision in told if decision.strength < 1]
    assert all((decision.remark or 0.0) < rule.remark_likelihood for decision in others)


def test_the_border_that_is_explained_is_the_one_that_counts() -> None:
    room, told = Room(), []
    room.hearing.explain(told.append)
    room.session()
    assert {decision.remark for decision in told} == {None}, "nobody asks before the discussion"
    rule = Rule(**load_manifest().default_encoder().decision)
    room.say(0, 3)
    assert told[-1].screen == rule.remark_likelihood
    assert told[-1].remark is not None


def test_without_weights_the_border_that_is_explained_is_that_of_the_mean() -> None:
    room, told = Room(weights=False), []
    room.hearing.explain(told.append)
    room.session()
    rule = Rule(**load_manifest().default_encoder().decision)
    room.say(0, 3)
    assert (told[-1].screen, told[-1].remark) == (rule.screen_score, None)
    assert told[-1].mean is not None
    assert (told[-1].mean >= rule.screen_score) == (told[-1].strength >= 1)


def paused(room: Room) -> None:
    room.hearing.listen(Listen(0.0, enrol=False, learn_others=False, decide=False, paused=True))
    room.hearing.listen(DISCUSSION)


def announced(room: Room) -> None:
    room.hearing.gate(True)
    room.say(None, 2)
    room.hearing.gate(False)
    room.say(None, 1)


@pytest.mark.parametrize("event", [paused, announced, lambda room: room.hearing.listen(DISCUSSION)])
def test_what_was_said_before_a_break_is_not_part_of_the_next_remark(event: Callable[[Room], None]) -> None:
    room = Room()
    room.session()
    assert strongest(room.say(0, 4)) >= 1
    event(room)
    assert strongest(room.say(0, 0.9) + room.say(None, 0.4) + room.say(2, 3)) < 1
    room.say(None, 1)
    found = [e for e in room.say(0, 3) if isinstance(e, PresenterEvidence) and e.strength >= 1]
    assert found[0].speech_seconds < 2.5


def test_the_shipped_weights_know_the_order_of_what_they_look_at() -> None:
    """A column more or less or in another place would give other likelihoods and be as good as lost."""
    clear = Score(0.95, 0.6, 0.25, 0.25, 0.9)
    theirs = Score(-0.5, 0.1, 0.55, 0.27, 0.0)
    both = Together(clear, theirs, clear, theirs, 0.4, 0.5)
    one = Together(theirs, theirs, theirs, theirs, 0.95, 0.9)
    remark = Remark.load(shipped("models", load_manifest().default_encoder().remark))

    def likely(*hops: tuple[Score, Score, Together | None]) -> float:
        last = LastHops()
        for told, end, two in hops:
            last.hop(row_of(1.0, told, end, 1.0, two))
        return remark(last.rows, True)

    assert likely(*[(theirs, theirs, one)] * 13) < 0.001
    assert likely(*[(clear, clear, None)] * 13) > 0.99
    assert likely(*[(theirs, theirs, one)] * 2, *[(replace(clear, score=0.3), clear, both)] * 11) > 0.85
    assert likely(*[(theirs, theirs, one)] * 9, *[(replace(clear, score=0.3), clear, both)] * 4) < 0.5
    assert likely(*[(clear, clear, None)] * 9, *[(theirs, theirs, one)] * 4) < 0.5, "it is over"


@pytest.mark.parametrize("hops", [1, 2])
def test_a_remark_is_as_long_as_it_lasts_across_others_too(hops: int) -> None:
    """So that who wants longer ones left alone (`least_speech_seconds`) is understood."""
    room = Room(hops=hops)
    room.session()
    room.say(3, 5)
    found = [e for e in room.say(3, 6, across=0) if isinstance(e, PresenterEvidence) and e.strength >= 1]
    assert found[0].speech_seconds < 3
    assert 3 < max(e.speech_seconds for e in found) < 7.5


def test_a_remark_after_a_silence_is_a_new_one() -> None:
    room = Room()
    room.session()
    room.say(3, 5)
    room.say(0, 6)
    room.say(None, 1.2)
    found = [e for e in room.say(0, 3) if isinstance(e, PresenterEvidence) and e.strength >= 1]
    assert found
    assert found[0].speech_seconds < 2.5


def test_what_is_looked_at_is_the_same_hop_by_hop_and_all_at_once() -> None:
    """So that a whole session's hops can be looked at with one call."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(40, ROW)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    last, one_by_one = LastHops(), []
    for row in rows:
        last.hop(row)
        one_by_one.append(features(last.rows, everybody_heard=True))
    windows = np.lib.stride_tricks.sliding_window_view(rows, HOPS, axis=0).transpose(0, 2, 1)[:, ::-1]
    np.testing.assert_array_equal(features(windows, everybody_heard=True), np.stack(one_by_one[HOPS - 1 :]))
    last.end()
    assert not pointing(last.rows)


@pytest.mark.parametrize("damage", ["missing", "lacking", "short", "not a number", "no scale"])
def test_bad_weights_for_remarks(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "remark.npz"
    with np.load(shipped("models", load_manifest().default_encoder().remark)) as archive:
        arrays = dict(archive)
    match damage:
        case "lacking":
            del arrays["bias"]
        case "short":
            arrays["weight"] = arrays["weight"][1:]
        case "not a number":
            arrays["mean"][3] = np.nan
        case "no scale":
            arrays["scale"][3] = 0
    if damage != "missing":
        np.savez(path, **arrays)
    with pytest.raises(FacilitatorError) as caught:
        Remark.load(path)
    assert caught.value.code == ("model-missing" if damage == "missing" else "model-damaged")


def test_right_after_a_pause_only_what_was_said_since_counts() -> None:
    turns = Turns(Rule())
    for _ in range(5):
        turns.hop(0.9, 1.0, 0.9, 0.0)
    turns.pause()
    before = turns.seconds()
    for _ in range(3):
        turns.hop(0.9, 1.0, 0.9, 0.0)
        assert turns.seconds() == before, "the last 1.6 s reach back beyond the pause"
    turns.hop(0.9, 0.3, 0.9, 0.0)
    assert turns.seconds() > before


def test_who_speaks_after_a_pause_is_told_by_what_was_said_since() -> None:
    room = Room()
    room.session()
    room.say(3, 5)
    room.say(None, 0.45)
    assert SpeakerChanged(SpeakerState.PRESENTER) in room.say(0, 0.9)


def test_where_the_presenter_surely_speaks_alone_nobody_looks_closer() -> None:
    room = Room()
    room.session()
    room.say(0, 3)
    looks = len(room.looks)
    room.say(0, 5)
    assert len(room.looks) - looks <= 4, "of 26 windows; a third of them if somebody else spoke"


def test_a_closer_look_is_taken_now_and_then_only() -> None:
    room = Room()
    room.session()
    assert room.looks == [], "outside the discussion it does not matter"
    began = room.frames * CHUNK_SECONDS
    room.say(3, 10)
    assert 10 / HOP_SECONDS / 3.5 < len(room.looks) < 10 / HOP_SECONDS / 2.5
    room.say(3, 2, across=0)
    following = np.diff([time for time in room.looks if time > began + 11])
    assert len(following) > 3
    assert np.allclose(following, HOP_SECONDS), "the presenter may be speaking: now every time"


def had_a_round(room: Room) -> bool:
    """Whether the others' voices count, and not the cohort's: by the border of the mean."""
    told: list[Decision] = []
    room.hearing.explain(told.append)
    room.hearing.listen(DISCUSSION)
    room.say(0, 3)
    rule = Rule(**load_manifest().default_encoder().decision)
    return {rule.screen_score: True, rule.screen_score_without_round: False}[told[-1].screen]


def test_questions_are_no_round_whatever_came_before_them() -> None:
    """As after a story that was skipped, or where the hearing had to be started again."""
    room = Room(weights=False)
    room.hearing.listen(QUESTIONS)
    for who in (1, 2, 3):
        room.say(who, 8)
    room.hearing.listen(STORY)
    room.say(0, 20)
    assert not had_a_round(room)


def test_a_round_counts_that_was_gone_back_to_before_anything_was_told() -> None:
    room = Room(weights=False)
    room.hearing.listen(ROUND)
    room.hearing.listen(STORY)
    room.hearing.listen(ROUND)
    for who in range(4):
        room.say(who, 6)
    room.hearing.listen(STORY)
    room.say(0, 20)
    assert had_a_round(room)


def test_who_sounds_almost_like_the_presenter_and_spoke_in_the_round_is_not_reminded() -> None:
    room = Room()
    room.voices[5] = room.unit(room.voices[0] + 0.75 * room.voices[5])
    room.session()
    assert strongest(room.say(5, 8)) < 1


def test_evidence_ends_with_the_stretch() -> None:
    room = Room()
    room.session()
    room.say(0, 5)
    found = room.say(None, 3)
    last = [e for e in found if isinstance(e, PresenterEvidence)][-1]
    assert last.strength == 0
    assert last.speech_seconds == 0


def test_there_is_evidence_in_the_discussion_only() -> None:
    room = Room()
    room.session()
    room.hearing.listen(LAST_WORD)
    assert not any(isinstance(e, PresenterEvidence) for e in room.say(0, 8))


def test_before_the_story_nobody_is_the_presenter() -> None:
    room = Room()
    room.hearing.listen(ROUND)
    room.say(1, 5)
    room.hearing.listen(LAST_WORD)
    room.say(1, 5)
    assert SpeakerState.PRESENTER not in states(room.found)


def test_without_a_round_it_still_works() -> None:
    room = Room()
    room.session(with_round=False)
    assert strongest(room.say(4, 8)) < 1
    room.say(None, 1)
    assert strongest(room.say(0, 6)) >= 1


def test_a_second_case_has_another_presenter() -> None:
    room = Room()
    room.session()
    room.hearing.listen(NEXT_STORY)
    for _ in range(4):
        room.say(2, 8)
        room.say(None, 1)
    room.hearing.listen(QUESTIONS)
    room.say(0, 5)
    room.hearing.listen(DISCUSSION)
    assert strongest(room.say(0, 8)) < 1, "who presented before may speak now"
    room.say(None, 1)
    assert strongest(room.say(2, 6)) >= 1


def test_too_short_a_story_is_said_to_be_poor() -> None:
    room = Room()
    room.hearing.listen(STORY)
    room.say(0, 6)
    room.hearing.listen(DISCUSSION)
    room.say(1, 2)
    assert room.quality() is Enrolment.POOR


def qualities(found: list[tuple[float, Input]]) -> list[Enrolment]:
    return [event.quality for _, event in found if isinstance(event, EnrolmentChanged)]


def test_a_story_that_others_told_too_is_said_to_be_poor_and_nobody_is_reminded() -> None:
    room = Room()
    room.hearing.listen(STORY)
    for who in (0, 1, 0, 2, 0, 0):
        room.say(who, 8)
        room.say(None, 1)
    room.hearing.listen(QUESTIONS)
    room.say(1, 8)
    assert room.quality() is Enrolment.POOR
    room.hearing.listen(DISCUSSION)
    assert strongest(room.say(0, 8)) < 1


def test_a_word_of_the_others_does_not_spoil_the_story() -> None:
    room = Room()
    room.session()
    room.hearing.listen(NEXT_STORY)
    for _ in range(5):
        room.say(0, 8)
        room.say(3, 0.6)
    room.hearing.listen(DISCUSSION)
    assert strongest(room.say(0, 6)) >= 1
    assert room.quality() is Enrolment.READY


def test_two_voices_too_alike_are_said_to_be_and_nobody_is_reminded() -> None:
    room = Room()
    room.voices[3] = room.unit(room.voices[0] + 0.1 * room.unit(room.rng.normal(size=DIM)))
    room.session()
    found = room.say(3, 10)
    assert room.quality() is Enrolment.AMBIGUOUS
    assert strongest(found) < 1
    room.say(None, 1)
    assert strongest(room.say(0, 6)) < 1


def test_a_voice_like_the_presenters_that_was_heard_before_is_no_presenter() -> None:
    room = Room()
    room.voices[2] = room.unit(room.voices[0] + 0.9 * room.unit(room.rng.normal(size=DIM)))
    room.session()
    assert strongest(room.say(2, 10)) < 1
    room.say(None, 1)
    assert strongest(room.say(0, 6)) >= 1


def test_forgetting_overwrites_every_voice_in_place() -> None:
    gc.collect()
    before = memory.held()
    room = Room()
    room.session()
    held = memory.held()
    assert held.total > before.total
    # The story, the others, the pool and what is made of them; the test must be able to fail.
    assert held.not_zero - before.not_zero > 100 * DIM * 4
    room.hearing.feed(np.full(3 * 16_000, 0.1, np.float32))
    assert memory.held().not_zero - held.not_zero > 16_000 * 4, "the last second and more, as sound"
    room.hearing.forget(for_good=True)
    assert memory.held().total == held.total, "in place"
    assert memory.held().not_zero == before.not_zero, "nor is anything left where we did not look"
    room.hearing.listen(STORY)
    room.say(0, 20)
    room.hearing.listen(DISCUSSION)
    room.say(0, 20)
    assert memory.held().not_zero == before.not_zero, "for good means that no voice is learnt again"
    assert states(room.found)[-1] in (SpeakerState.UNSURE, SpeakerState.SILENCE)


def test_memory_does_not_grow_with_the_session() -> None:
    room = Room()
    room.hearing.listen(ROUND)
    before = memory.held().total
    room.say(1, 900)
    room.hearing.listen(STORY)
    room.say(0, 900)
    assert memory.held().total == before


def test_a_pause_in_the_story_does_not_end_the_learning() -> None:
    room = Room()
    room.hearing.listen(STORY)
    room.say(0, 10)
    room.hearing.listen(Listen(0.0, enrol=False, learn_others=False, decide=False, paused=True))
    room.say(1, 30)  # talk in the pause is nobody's story
    room.hearing.listen(STORY)
    room.say(0, 14)
    room.hearing.listen(DISCUSSION)
    room.say(1, 2)
    assert qualities(room.found) == [Enrolment.LEARNING, Enrolment.READY]


def test_after_a_gap_in_the_audio_it_says_again_who_is_heard() -> None:
    room = Room()
    room.say(None, 1)
    room.hearing.say_again()
    assert states([(0.0, event) for event in room.say(None, 0.2)]) == [SpeakerState.SILENCE]
