"""Is it the presenter who speaks? Learnt from the session itself, scored window by window.

The story phase teaches the presenter's voice; the round and the question phase teach the others', as far
as they surely are not the presenter. A window's score says on which side of the session's own discriminant
it lies; after a round by how much it is nearer to the presenter than to the others; without one how much it
sounds like many voices. `Rule` weighs them, otherwise for the end of a window than for the whole of it.
docs/presenter-detection.md tells the method and where each constant comes from.
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import numpy as np

from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.who.others import (
    Discriminant,
    Others,
    of_one_voice,
    robust_centroid,
)
from voice_facilitator.hearing.who.scores import Score, Together
from voice_facilitator.hearing.who.voice_model import Cohort, Rule
from voice_facilitator.hearing.who.voices import VoiceBank
from voice_facilitator.privacy.memory import private_zeros
from voice_facilitator.session.events import Enrolment, Seconds

_PRESENTER_WINDOWS = 768  # 2.5 minutes of windows before thinning; gains are flat after one minute
_POOL_WINDOWS = 1536  # 5 minutes of the round and the questions before thinning
_LEAST_WINDOWS = 2
_EARLY_UPDATES = (2, 4, 8, 16, 32, 64)  # windows of the story after which the voice is worked out anew
_UPDATE_EVERY = 64
_READY_SECONDS = 15.0  # of speech: below this the story was too short to tell a voice by
_OTHER_SPEECH = 0.20  # share of the story's windows
_ROUND_SECONDS = 15.0  # of full windows; a round of five people has twice as much
_NEAREST_OF_COHORT = 40  # windows: about as many as ten voices have


class PresenterModel:
    """Everything known about the voices of this session. All of it is overwritten by `forget`."""

    def __init__(self, dim: int, cohort: Cohort | None, rule: Rule, hop_seconds: Seconds) -> None:
        """hop_seconds: time between two windows, to count seconds of speech."""
        self._rule = rule
        self._cohort = cohort
        self._hop = hop_seconds
        self._enrolled = VoiceBank(_PRESENTER_WINDOWS, dim)
        self._pool = VoiceBank(_POOL_WINDOWS, dim)
        self._mean: Floats = private_zeros(dim)
        self._others = Others(dim)
        self._discriminant = Discriminant(dim)
        self._known = False
        self._in_round = 0  # windows offered to the pool in the round
        self.everybody_heard = False  # was there a round in which everybody spoke once?
        self.enrolment = Enrolment.NONE

    @property
    def known(self) -> bool:
        """Is there a presenter's voice to compare with?"""
        return self._known

    @property
    def seconds(self) -> Seconds:
        """Seconds of the presenter's speech learnt from."""
        return self._enrolled.offered * self._hop

    def finish_others(self, *, was_round: bool) -> None:
        """A phase that teaches the others' voices is over. was_round: everybody spoke once in it."""
        if was_round and self.enrolment is Enrolment.NONE:
            self.everybody_heard = self._pool.offered * self._hop >= _ROUND_SECONDS
            self._in_round = self._pool.offered
        else:
            self.update()
            self._judge()

    def learn_presenter(self, row: Floats) -> None:
        """A window of the story. row: float32 [dim] of length 1."""
        self._enrolled.add(row)
        if self.enrolment is Enrolment.NONE:
            self.enrolment = Enrolment.LEARNING
        count = self._enrolled.offered
        if count in _EARLY_UPDATES or count % _UPDATE_EVERY == 0:
            self.update()

    def learn_other(self, row: Floats) -> None:
        """A window of the round or the questions, anybody's."""
        self._pool.add(row)
        if self._known and self._pool.offered % _UPDATE_EVERY == 0:
            self.update()

    def update(self) -> None:
        """Work out the voices anew from what was heard so far; takes some tens of milliseconds."""
        if len(self._enrolled) < _LEAST_WINDOWS:
            return
        self._mean[:] = robust_centroid(self._enrolled.rows)
        self._known = self._cohort is None
        if self._cohort is not None:
            story = self._enrolled.rows[of_one_voice(self._enrolled.rows)]
            self._others.learn(self._pool, story, self._pool.held_of(self._in_round))
            self._discriminant.learn(story, self._others.rows, self._cohort.embeddings)
            self._known = self._discriminant.learnt
        if self.enrolment is Enrolment.LEARNING and self.seconds >= _READY_SECONDS:
            self.enrolment = Enrolment.READY

    def finish_presenter(self) -> None:
        """The story is over: was it enough, and of one voice?"""
        self.update()
        if self.enrolment is Enrolment.NONE:
            return
        mixed = float(np.mean(~of_one_voice(self._enrolled.rows)))
        enough = self.seconds >= _READY_SECONDS and mixed <= _OTHER_SPEECH
        self.enrolment = Enrolment.READY if enough else Enrolment.POOR
        self._judge()

    def _judge(self) -> None:
        """Can anybody be told from the presenter? What was heard last decides."""
        if self.enrolment in (Enrolment.READY, Enrolment.AMBIGUOUS):
            self.enrolment = Enrolment.AMBIGUOUS if self._others.too_alike else Enrolment.READY

    def score(self, row: Floats) -> Score:
        """How much this window (float32 [dim]) is the presenter's. Only when `known`."""
        parts, rule = self._parts(row), self._rule
        if not self.everybody_heard:  # then who is speaking may never have been heard
            return _with(parts, self._unlike_cohort(parts, rule.cohort_weight))
        if parts.nearest is None:
            return parts
        return _with(parts, rule.margin_weight * (parts.own - parts.nearest - rule.margin))

    def score_end(self, row: Floats) -> Score:
        """The same for a window's end (float32 [dim]). How close it is to the presenter says little there."""
        parts, rule = self._parts(row), self._rule
        if not self.everybody_heard:
            return _with(parts, self._unlike_cohort(parts, rule.end_cohort_weight))
        if parts.nearest is None:
            return parts
        return _with(parts, rule.end_nearest_weight * (rule.end_nearest_closeness - parts.nearest))

    def _unlike_cohort(self, parts: Score, weight: float) -> float:
        return 0.0 if parts.typical is None else weight * (self._rule.cohort_closeness - parts.typical)

    def score_two(self, voices: Floats) -> Together:
        """Whose the two voices of a window may be. voices: float32 [2, 2, dim] of `two_voices`."""
        other, best = sorted((self.score(row) for row in voices[0]), key=attrgetter("score"))
        other_end, best_end = sorted((self.score_end(row) for row in voices[1]), key=attrgetter("score"))
        alike, alike_end = (float(first @ second) for first, second in voices)
        return Together(best, other, best_end, other_end, alike, alike_end)

    def _parts(self, row: Floats) -> Score:
        own, discriminant = float(row @ self._mean), float(self._discriminant.level(row))
        value = own if self._cohort is None else discriminant
        return Score(value, own, self._others.closeness(row), self._cohort_score(row), discriminant)

    def _cohort_score(self, row: Floats) -> float | None:
        """Mean cosine to the nearest of the cohort, as in AS-norm; None where there is no cohort."""
        if self._cohort is None or len(self._cohort.embeddings) <= _NEAREST_OF_COHORT:
            return None
        close = self._cohort.embeddings @ row
        return float(np.partition(close, -_NEAREST_OF_COHORT)[-_NEAREST_OF_COHORT:].mean())

    def forget_presenter(self) -> None:
        """Another presenter comes: the former one's voice goes, the pool of unnamed windows stays."""
        self._enrolled.forget()
        self._mean[:] = 0
        self._others.forget()
        self._discriminant.forget()
        self._known = False
        self.enrolment = Enrolment.NONE

    def forget(self) -> None:
        """Overwrite every voice."""
        self.forget_presenter()
        self._pool.forget()
        self._in_round = 0
        self.everybody_heard = False


def _with(parts: Score, more: float) -> Score:
    return replace(parts, score=parts.score + more)
