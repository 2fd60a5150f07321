"""Who is speaking: what the session listens for, the voices it has learnt, and the running stretch of speech.

Takes voices in, gives events out; when somebody asks, it says for each decision what it rested on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.hearing.who.encoder import WINDOW_SAMPLES
from voice_facilitator.hearing.who.presenter import PresenterModel
from voice_facilitator.hearing.who.remark import AnyRemark, LastHops, row_of
from voice_facilitator.hearing.who.scores import Score, Together
from voice_facilitator.hearing.who.turns import HOP_SECONDS, Turns
from voice_facilitator.hearing.who.voice_model import Rule
from voice_facilitator.session import events
from voice_facilitator.session.events import Enrolment, Input, Seconds, SpeakerState

WINDOW_SECONDS = WINDOW_SAMPLES / RATE
STRETCH_SECONDS = 0.8  # a pause longer than this ends a stretch of speech
_UNSURE_STRENGTH = 0.5  # evidence never exceeds this while the presenter is not well known
_LESS_THAN_A_REMARK = 0.99  # however near: `_evidence` must not round it to one
_REMARK_SECONDS = 1.6  # of speech are in a remark at least: what the weights were fitted to call one

_PRIOR_STORY = 4.0  # log-odds of the presenter before listening, by what the phase is for
_PRIOR_DECIDE = -3.0
_PRIOR_OPEN = -0.3


def _too_late() -> Floats:
    raise AssertionError("the sound has moved on")


class Piece:
    """Sound in which somebody speaks. Whose voice it is, is worked out when somebody asks: it takes 20 ms.

    That has to be while its frame is decided on: the sound moves on.
    """

    def __init__(
        self,
        seconds: Seconds,
        encode: Callable[[], Floats],
        two_voices: Callable[[], Floats | None] | None = None,
    ) -> None:
        """encode, two_voices: see `SpeakerEncoder`, of this one window (float32 [2, dim] and [2, 2, dim]).

        None: the encoder cannot tell two voices, or not in so short a piece.
        """
        self.seconds = seconds
        self.two_voices = two_voices
        self._encode = encode
        self._voices: Floats | None = None

    @property
    def voices(self) -> Floats:
        """float32 [2, dim]: the voice of all of it, of length 1, and that of its end."""
        if self._voices is None:
            self._voices = self._encode()
        return self._voices

    def wipe(self) -> None:
        """Overwrite the voices: who wants to keep them has copied them."""
        if self._voices is not None:
            self._voices[:] = 0
        self._encode = self.two_voices = _too_late


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A chunk of speech, and what came before it, as far as it can be used."""

    full: Piece | None  # the last 1.6 s
    fresh: Piece | None  # what was said since the last short pause, if less than 1.6 s
    due: bool  # a decision is due, every 0.2 s (or as the settings want it)


class Reason(StrEnum):
    """What a decision rested on."""

    NO_VOICES = "no-voices"  # timer only, or no encoder: speech is told from silence only
    NOBODY_PRESENTED = "nobody-presented"  # there is no presenter to compare with yet
    ODDS = "odds"  # the log-odds said so
    EVEN = "even"  # they are too close to even
    SHORT = "short"  # too little speech to tell a voice by
    ENROLMENT = "enrolment"  # the presenter is not known well enough for a reminder
    BELOW_SCREEN = "below-screen"  # not enough for a quiet line
    SCREEN = "screen"  # enough for a quiet line
    CERTAIN = "certain"  # next to certain


@dataclass(frozen=True, slots=True)
class Scores:
    """How much of one hop's speech is the presenter's."""

    whole: Score  # of what was said since the last short pause, or of the last 1.6 s where that is longer
    end: Score  # of the end of that
    length: float  # of it, in windows (to 1)
    full: bool  # is it the last 1.6 s?
    two: Together | None  # of the two voices in the last 1.6 s, where a closer look was taken

    def after_look(self, rule: Rule) -> tuple[float, float]:
        """The scores of all of it and of its end, or those of the better of two voices, less a discount."""
        whole, end = self.whole.score, self.end.score
        if self.two is not None:
            end = max(end, self.two.best_end.score - rule.two_voices_discount)
            if self.full:  # the look was at the last 1.6 s
                whole = max(whole, self.two.best.score - rule.two_voices_discount)
        return whole, end


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from the scores of a hop and of those before it."""

    who: SpeakerState
    reason: Reason
    strength: float | None  # as in `PresenterEvidence`; None where there is nothing to tell about


def judge(
    rule: Rule,
    *,
    odds: float,
    mean_strength: float | None,
    remark: float | None,
    enrolment: Enrolment,
    in_discussion: bool,
) -> Judgement:
    """Who is heard, and how strong the evidence for a reminder is.

    odds: log-odds of the presenter. mean_strength: see `Turns.strength`. remark: how likely one is; None
    without weights, then the mean alone decides. in_discussion: elsewhere there is no evidence.
    """
    who = who_by(odds, rule)
    if mean_strength is None:
        return Judgement(who, Reason.SHORT, None)
    strength = mean_strength
    if remark is not None:
        likely = remark / rule.remark_likelihood
        strength = max(strength, 1.0) if likely >= 1 else min(likely, _LESS_THAN_A_REMARK)
    if enrolment is not Enrolment.READY:  # not known well enough to tell anybody anything
        strength = min(strength, _UNSURE_STRENGTH)
    if in_discussion and strength >= 1:
        reason = Reason.CERTAIN if strength >= 2 else Reason.SCREEN
    elif who is SpeakerState.UNSURE:
        reason = Reason.EVEN
    elif who is SpeakerState.OTHER or not in_discussion:
        reason = Reason.ODDS
    else:
        reason = Reason.BELOW_SCREEN if enrolment is Enrolment.READY else Reason.ENROLMENT
    return Judgement(who, reason, strength if in_discussion else None)


def who_by(odds: float, rule: Rule) -> SpeakerState:
    """Whom the log-odds speak for."""
    if abs(odds) < rule.unsure_log_odds:
        return SpeakerState.UNSURE
    return SpeakerState.PRESENTER if odds > 0 else SpeakerState.OTHER


def told_strength(strength: float) -> float:
    """In tenths, and never rounded up: 1 and 2 are borders."""
    return math.floor(10 * strength + 1e-9) / 10


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, once a hop of speech: the scores, the calibration they are measured by, the reason.

    The score is on the scale of `Rule`, closenesses are cosines; `odds` are natural log-odds.
    """

    who: SpeakerState
    reason: Reason
    odds: float
    score: Score | None = None  # of the last 1.6 s, or of what was said since the last pause
    end: float | None = None  # score of the end of that
    equal_score: float = 0.0  # of an end at which presenter and other are equally likely
    least_end_score: float = 0.0  # that a spoken reminder needs (without weights a quiet line, too)
    remark: float | None = None  # how likely it is that the presenter is making a remark
    screen: float = 0.0  # how likely that has to be for a quiet line; without weights the mean for one
    mean: float | None = None  # running mean of the scores that a spoken reminder looks at
    certain_score: float = 0.0  # mean that is next to certain
    strength: float = 0.0
    speech_seconds: Seconds = 0.0


class WhoSpeaks:
    """The decision about each stretch of speech. `model` None: there is no encoder."""

    def __init__(
        self, model: PresenterModel | None, rule: Rule, remark: AnyRemark | None = None, repeat: int = 1
    ) -> None:
        """repeat: how many hops of 0.2 s each window stands for, where a small computer looks less often.

        Without `remark` a quiet line needs a mean score, a lower one than the spoken sentence does.
        """
        self._model = model
        self._remark = remark
        self._last = LastHops()
        self._chunks = self._spoken_chunks = 0  # since the last hop, and in how many there was speech
        self._remarking: Seconds | None = None  # for how long the presenter has been making a remark
        self._repeat = repeat
        self._rule = rule
        self._turns = Turns(rule)
        self._mode = events.Listen(0.0, enrol=False, learn_others=False, decide=False)
        self._phase = self._mode  # the same but for pauses
        self._who: SpeakerState | None = None
        self._strength = 0.0
        self._told_enrolment = Enrolment.NONE
        self._unlooked = 0  # hops since the last closer look
        self._pointed = False  # did it point to the presenter?
        self.timer_only = False
        self.explain: Callable[[Decision], None] | None = None

    def listen(self, effect: events.Listen) -> None:
        """A phase begins, is paused, or goes on after a pause."""
        model, before = self._model, self._phase
        self._mode = effect
        self._start_anew()
        if effect.paused:
            return
        self._phase = effect
        if model is None or self.timer_only:
            return
        if before.enrol and not effect.enrol:
            model.finish_presenter()
        elif before.learn_others and not effect.learn_others:
            model.finish_others(was_round=before.is_round)
        if effect.new_presenter:
            model.forget_presenter()
            self._told_enrolment = Enrolment.NONE  # the session, which wants it so, knows that

    def forget(self, for_good: bool) -> None:
        """Overwrite every voice. `for_good`: learn none again (timer only)."""
        if self._model is not None:
            self._model.forget()
            self._told_enrolment = Enrolment.NONE
        self._start_anew()
        self.timer_only = self.timer_only or for_good

    def say_again(self) -> None:
        """Report who is heard even if that has not changed."""
        self._who = None

    def _start_anew(self) -> None:
        """What was heard before is none of what comes now."""
        self._turns.end()
        self._last.end()
        self._chunks = self._spoken_chunks = 0
        self._remarking = None
        self._unlooked, self._pointed = 0, False

    # ------------------------------------------------------------ what is heard

    def own_voice(self) -> list[Input]:
        """Our own announcement: nothing is decided."""
        out: list[Input] = []
        self._start_anew()
        self._evidence(0.0, 0.0, out)
        self._show(SpeakerState.SELF, out)
        return out

    def silence(self, seconds: Seconds, *, pause: bool, due: bool) -> list[Input]:
        """No speech, for `seconds` up to now.

        pause: a short pause has just become one. due: as in `Heard`.
        """
        out: list[Input] = []
        self._chunks += 1
        if due:
            self._hop()
        if pause:
            self._turns.pause()
        if seconds > STRETCH_SECONDS:
            self._turns.end()
            self._remarking = None
            self._evidence(0.0, 0.0, out)
        self._show(SpeakerState.SILENCE, out)
        return out

    def speech(self, heard: Heard) -> list[Input]:
        """A chunk of speech."""
        out: list[Input] = []
        self._chunks += 1
        self._spoken_chunks += 1
        self._turns.begin(self._prior())
        model = self._model
        if model is None or self.timer_only:
            self._show(SpeakerState.UNSURE, out)
            if heard.due and self.explain is not None:
                self.explain(Decision(SpeakerState.UNSURE, Reason.NO_VOICES, 0.0))
            return out
        if heard.full is not None:
            learn = model.learn_presenter if self._mode.enrol else model.learn_other
            if self._mode.enrol or self._mode.learn_others:
                for _ in range(self._repeat):
                    learn(heard.full.voices[0])
            self._show_enrolment(model.enrolment, out)
        if heard.due and model.known:
            self._decide(model, heard, out)
        elif heard.due and self.explain is not None:
            self.explain(Decision(self._speaker(), Reason.NOBODY_PRESENTED, 0.0))
        self._show(self._speaker(), out)
        return out

    def _decide(self, model: PresenterModel, heard: Heard, out: list[Input]) -> None:
        """A hop of speech is over: score it, add it to what came before, judge, and tell."""
        rule, turns = self._rule, self._turns
        scores = self._score(model, heard)
        remark = self._hop(scores)
        self._add(scores)
        judgement = judge(
            rule,
            odds=turns.odds,
            mean_strength=turns.strength(self._mean_screen(model), rule.certain_score),
            remark=remark,
            enrolment=model.enrolment,
            in_discussion=self._mode.decide,
        )
        self._follow(remark)
        seconds = turns.seconds()
        if self._remarking is not None:
            seconds = max(seconds, _REMARK_SECONDS + self._remarking)
        if judgement.strength is not None:
            self._evidence(judgement.strength, seconds, out)
        if self.explain is not None:
            self.explain(self._decision(model, scores, judgement, remark, seconds))

    def _score(self, model: PresenterModel, heard: Heard) -> Scores | None:
        """None where too little was said since the last short pause, or our own voice is in it."""
        piece = heard.full if heard.fresh is None else heard.fresh
        if piece is None:
            return None
        whole, end = model.score(piece.voices[0]), model.score_end(piece.voices[1])
        return Scores(
            whole=whole,
            end=end,
            length=piece.seconds / WINDOW_SECONDS,
            full=piece is heard.full,
            two=self._closer_look(model, heard.full, whole, end),
        )

    def _hop(self, scores: Scores | None = None) -> float | None:
        """A hop is over: how likely it is that the presenter is making a remark.

        None outside the discussion, in silence, where too little was said, and without weights.
        """
        speech = self._spoken_chunks / max(self._chunks, 1)
        self._chunks = self._spoken_chunks = 0
        model = self._model
        if self._remark is None or model is None or not self._mode.decide:
            return None
        row = row_of(speech)
        if scores is not None:
            row = row_of(speech, scores.whole, scores.end, scores.length, scores.two)
        for _ in range(self._repeat):
            self._last.hop(row)
        return None if scores is None else self._remark(self._last.rows, model.everybody_heard)

    def _add(self, scores: Scores | None) -> None:
        """To the running stretch of speech."""
        for _ in range(self._repeat):
            if scores is None:
                self._turns.hop(None, 0.0, None, self._prior())
            else:
                whole, end = scores.after_look(self._rule)
                self._turns.hop(whole, scores.length, end, self._prior(), alone=scores.whole.score)

    def _follow(self, remark: float | None) -> None:
        """Measure for how long the presenter has been making a remark, by how likely one is now."""
        if remark is None:
            return
        if remark < self._rule.remark_likelihood:
            self._remarking = None
        elif self._remarking is None:
            self._remarking = 0.0
        else:
            self._remarking += self._repeat * HOP_SECONDS

    def _decision(
        self,
        model: PresenterModel,
        scores: Scores | None,
        judgement: Judgement,
        remark: float | None,
        seconds: Seconds,
    ) -> Decision:
        """What there is to explain about a judgement."""
        rule, score, end = self._rule, None, None
        if scores is not None:
            whole, end = scores.after_look(rule)
            closer = None if scores.two is None else scores.two.level
            score = replace(scores.whole, score=whole, closer=closer)
        return Decision(
            who=judgement.who,
            reason=judgement.reason,
            odds=self._turns.odds,
            score=score,
            end=end,
            equal_score=rule.equal_score,
            least_end_score=rule.least_end_score,
            remark=remark,
            screen=self._mean_screen(model) if self._remark is None else rule.remark_likelihood,
            mean=self._turns.mean(),
            certain_score=rule.certain_score,
            strength=judgement.strength or 0.0,
            speech_seconds=seconds,
        )

    def _mean_screen(self, model: PresenterModel) -> float:
        """The mean score that is worth a strength of 1."""
        rule = self._rule
        return rule.screen_score if model.everybody_heard else rule.screen_score_without_round

    def _closer_look(
        self, model: PresenterModel, full: Piece | None, whole: Score, end: Score
    ) -> Together | None:
        """The voices of a window in which two people may speak at once; None without such a look.

        whole, end: scores of what was said since the last short pause, or of `full`. A look costs more than
        those, so it is taken in the discussion only, and only now and then unless something points to the
        presenter.
        """
        rule = self._rule
        self._unlooked += self._repeat
        if full is None or full.two_voices is None or not self._mode.decide:
            return None
        if min(whole.score, end.score) >= rule.solo_score:  # no doubt
            return None
        doubtful = whole.score > rule.doubtful_score or end.score > rule.doubtful_end_score
        if not (doubtful or self._pointed) and self._unlooked < rule.look_every_hops:
            return None
        voices = full.two_voices()
        if voices is None:
            return None
        found = model.score_two(voices)
        voices[:] = 0
        self._unlooked = 0
        self._pointed = found.level > rule.doubtful_level
        return found

    def _prior(self) -> float:
        if self._mode.enrol:
            return _PRIOR_STORY
        return _PRIOR_DECIDE if self._mode.decide else _PRIOR_OPEN

    def _speaker(self) -> SpeakerState:
        model = self._model
        if model is None or not model.known:
            # In the round nobody is the presenter yet; in the story it is whoever begins to tell it.
            if model is not None and self._mode.enrol:
                return SpeakerState.PRESENTER
            return SpeakerState.OTHER if self._mode.learn_others else SpeakerState.UNSURE
        return who_by(self._turns.odds, self._rule)

    # ------------------------------------------------------------ what is told

    def _show(self, who: SpeakerState, out: list[Input]) -> None:
        if who is not self._who:
            self._who = who
            out.append(events.SpeakerChanged(who))

    def _evidence(self, strength: float, seconds: Seconds, out: list[Input]) -> None:
        strength = told_strength(strength)
        if strength >= 0.3 or strength != self._strength:
            self._strength = strength
            out.append(events.PresenterEvidence(strength, round(seconds, 2)))

    def _show_enrolment(self, quality: Enrolment, out: list[Input]) -> None:
        if quality is not self._told_enrolment:
            self._told_enrolment = quality
            out.append(events.EnrolmentChanged(quality))
