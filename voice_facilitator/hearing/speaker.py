"""Who is speaking: what the session listens for, the voices it has learnt, and the running stretch of speech.

Takes voices in, gives events out; when somebody asks, it says for each decision what it rested on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from voice_facilitator.hearing.encoder import RATE, WINDOW_SAMPLES
from voice_facilitator.hearing.networks import Floats
from voice_facilitator.hearing.presenter import PresenterModel
from voice_facilitator.hearing.remark import AnyRemark, LastHops, row_of
from voice_facilitator.hearing.scores import Score, Together
from voice_facilitator.hearing.turns import HOP_SECONDS, Turns
from voice_facilitator.hearing.voice_model import Rule
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
class Decision:
    """One decision, once a hop of speech: the scores, the calibration they are measured by, the reason.

    The score is on the scale of `Rule`, closenesses are cosines; `odds` are natural log-odds.
    """

    who: SpeakerState
    reason: Reason
    odds: float
    score: Score | None = None  # of the last 1.6 s, or of what was said since the last pause
    end: float | None = None  # score of the end of that
    even: float = 0.0  # score of an end at which presenter and other are equally likely
    agrees: float = 0.0  # score of an end that a spoken reminder needs (without weights a quiet line, too)
    remark: float | None = None  # how likely it is that the presenter is making a remark
    screen: float = 0.0  # how likely that has to be for a quiet line; without weights the mean for one
    mean: float | None = None  # running mean of the scores that a spoken reminder looks at
    certain: float = 0.0  # mean that is next to certain
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
        self._enrolment = events.EnrolmentChanged(Enrolment.NONE)
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

    def forget(self, for_good: bool) -> None:
        """Overwrite every voice. `for_good`: learn none again (timer only)."""
        if self._model is not None:
            self._model.forget()
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
            self._show_enrolment(out)
        if heard.due and model.known:
            self._decide(model, heard, out)
        elif heard.due and self.explain is not None:
            self.explain(Decision(self._speaker(), Reason.NOBODY_PRESENTED, 0.0))
        self._show(self._speaker(), out)
        return out

    def _decide(self, model: PresenterModel, heard: Heard, out: list[Input]) -> None:
        rule = self._rule
        last = heard.full if heard.fresh is None else heard.fresh
        length = 0.0 if last is None else last.seconds / WINDOW_SECONDS
        told = end = two = None
        if last is not None:
            told, end = model.score(last.voices[0]), model.score_end(last.voices[1])
            two = self._closer_look(model, heard.full, told, end)
        remark = self._hop(told, end, length, two)
        score, end_score = None if told is None else told.score, None if end is None else end.score
        if told is not None and end_score is not None and two is not None:
            end_score = max(end_score, two.best_end.score - rule.closer_less)
            if last is heard.full:
                score = max(told.score, two.best.score - rule.closer_less)
        for _ in range(self._repeat):
            self._turns.hop(
                score, length, end_score, self._prior(), alone=None if told is None else told.score
            )
        strength, seconds = self._how_strong(model, remark), self._turns.seconds()
        if self._remarking is not None:
            seconds = max(seconds, _REMARK_SECONDS + self._remarking)
        if self._mode.decide and strength is not None:
            self._evidence(strength, seconds, out)
        if self.explain is not None:
            if told is not None and score is not None:
                told = replace(told, score=score, closer=None if two is None else two.level)
            self.explain(
                Decision(
                    self._speaker(),
                    self._reason(model, told, strength),
                    self._turns.odds,
                    told,
                    end_score,
                    rule.even,
                    rule.agrees,
                    remark,
                    self._screen(model),
                    self._turns.mean(),
                    rule.certain,
                    strength or 0.0 if self._mode.decide else 0.0,
                    seconds,
                )
            )

    def _hop(
        self,
        told: Score | None = None,
        end: Score | None = None,
        length: float = 0.0,
        two: Together | None = None,
    ) -> float | None:
        """A hop is over: how likely it is that the presenter is making a remark.

        None outside the discussion, in silence, where too little was said, and without weights.
        """
        speech = self._spoken_chunks / max(self._chunks, 1)
        self._chunks = self._spoken_chunks = 0
        model = self._model
        if self._remark is None or model is None or not self._mode.decide:
            return None
        for _ in range(self._repeat):
            self._last.hop(row_of(speech, told, end, length, two))
        if told is None:
            return None
        likely = self._remark(self._last.rows, model.everybody_heard)
        if likely < self._rule.remark:
            self._remarking = None
        elif self._remarking is None:
            self._remarking = 0.0
        else:
            self._remarking += self._repeat * HOP_SECONDS
        return likely

    def _screen(self, model: PresenterModel) -> float:
        """The border of a quiet line: of the likelihood, or without weights of the mean score."""
        return self._mean_screen(model) if self._remark is None else self._rule.remark

    def _mean_screen(self, model: PresenterModel) -> float:
        return self._rule.screen if model.everybody_heard else self._rule.screen_unheard

    def _how_strong(self, model: PresenterModel, remark: float | None) -> float | None:
        """As in `PresenterEvidence`; None while too little was said to tell."""
        rule = self._rule
        strength = self._turns.strength(self._mean_screen(model), rule.certain)
        if strength is None:
            return None
        if remark is not None:
            likely = remark / rule.remark
            strength = max(strength, 1.0) if likely >= 1 else min(likely, _LESS_THAN_A_REMARK)
        if model.enrolment is not Enrolment.READY:  # not known well enough to tell anybody anything
            strength = min(strength, _UNSURE_STRENGTH)
        return strength

    def _closer_look(
        self, model: PresenterModel, full: Piece | None, told: Score, end: Score
    ) -> Together | None:
        """The voices of a window in which two people may speak at once; None without such a look.

        told, end: scores of what was said since the last short pause, or of `full`. A look costs more than
        those, so it is taken in the discussion only, and only now and then unless something points to the
        presenter.
        """
        rule = self._rule
        self._unlooked += self._repeat
        if full is None or full.two_voices is None or not self._mode.decide:
            return None
        if min(told.score, end.score) >= rule.whole:  # no doubt
            return None
        pointed = self._pointed or told.score > rule.doubtful or end.score > rule.doubtful_end
        if not pointed and self._unlooked < rule.look_every:
            return None
        voices = full.two_voices()
        if voices is None:
            return None
        found = model.score_two(voices)
        voices[:] = 0
        self._unlooked = 0
        self._pointed = found.level > rule.doubtful_two
        return found

    def _reason(self, model: PresenterModel, told: Score | None, strength: float | None) -> Reason:
        if told is None or strength is None:
            return Reason.SHORT
        if self._mode.decide and strength >= 1:
            return Reason.CERTAIN if strength >= 2 else Reason.SCREEN
        if abs(self._turns.odds) < self._rule.unsure:
            return Reason.EVEN
        if not self._mode.decide or self._turns.odds < 0:
            return Reason.ODDS
        return Reason.ENROLMENT if model.enrolment is not Enrolment.READY else Reason.BELOW_SCREEN

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
        if abs(self._turns.odds) < self._rule.unsure:
            return SpeakerState.UNSURE
        return SpeakerState.PRESENTER if self._turns.odds > 0 else SpeakerState.OTHER

    # ------------------------------------------------------------ what is told

    def _show(self, who: SpeakerState, out: list[Input]) -> None:
        if who is not self._who:
            self._who = who
            out.append(events.SpeakerChanged(who))

    def _evidence(self, strength: float, seconds: Seconds, out: list[Input]) -> None:
        strength = math.floor(10 * strength + 1e-9) / 10  # not up: 1 and 2 are borders
        if strength >= 0.3 or strength != self._strength:
            self._strength = strength
            out.append(events.PresenterEvidence(strength, round(seconds, 2)))

    def _show_enrolment(self, out: list[Input]) -> None:
        model = self._model
        assert model is not None
        now = events.EnrolmentChanged(model.enrolment, float(int(model.seconds)), model.other_voices)
        before = self._enrolment
        grown = now.presenter_seconds - before.presenter_seconds
        if (now.quality, now.other_voices) != (before.quality, before.other_voices) or not 0 <= grown < 10:
            self._enrolment = now
            out.append(now)
