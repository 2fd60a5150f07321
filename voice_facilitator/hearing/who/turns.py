"""Whose turn it is, from the scores of single windows: a state for the display, evidence for the reminder.

The state follows quickly: it adds up log-odds of the ends of windows, which tell less well but sooner. The
evidence is slow and careful: a mean over 1.2 s of whole windows, or a higher one over 0.8 s, and the end of
the last one has to agree.
"""

from __future__ import annotations

from collections import deque

from voice_facilitator.hearing.sound.activity import CHUNK_SECONDS
from voice_facilitator.hearing.who.voice_model import Rule
from voice_facilitator.session.events import Seconds

HOP_CHUNKS = 6  # windows end every 0.192 s
HOP_SECONDS = HOP_CHUNKS * CHUNK_SECONDS
_SCORES = 6  # hops in the running mean: 1.2 s
_SHORT_SCORES = 4  # hops in the quicker one, which has to reach higher
_LEAST_WEIGHT = 1.5  # full windows' worth in a mean
_WINDOW_SECONDS = 1.6
_END_SHARE = 0.5  # of a window: the longer of the two parts that its end is made of
_TELLING = 0.3  # share of a window that the presenter must have for a remark to go on
_FALLING_HOPS = 3
_FALLING = 0.15  # less of the window than so many hops before: the presenter has stopped
_LET_GO_HOPS = 5  # of speech without a window that tells
_MOST_ODDS = 5.0
_KEEP = 0.4  # of the log-odds from one hop to the next: overlapping windows are not independent evidence
_KEEP_AFTER_PAUSE = 0.25
_MOST_STRENGTH = 3.0


class Turns:
    """Fed once a hop with the scores of the hop's windows; answers with odds and evidence."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._scores: deque[tuple[float, float] | None] = deque(maxlen=_SCORES)  # score, weight
        self._end: float | None = None  # score of the end of the last window
        self.odds = 0.0  # log-odds of presenter against other
        self._parts: deque[float] = deque(maxlen=_FALLING_HOPS)  # shares of the last windows
        self._spoken: Seconds = 0.0  # the presenter's, as far as counted
        self._untold = 0  # hops
        self._falling = False
        self._anew = False  # after a pause, until enough was said since: windows still reach back beyond it
        self._begun = False

    def pause(self) -> None:
        """A short pause: another person may speak next."""
        self.odds *= _KEEP_AFTER_PAUSE
        self._spoken = self.seconds()
        self._parts.clear()
        self._anew = True

    def begin(self, prior: float) -> None:
        """There is speech. prior: log-odds of the presenter, should a new stretch begin with it."""
        if not self._begun:
            self._begun = True
            self.odds = prior

    def end(self) -> None:
        """The stretch of speech is over."""
        self._scores.clear()
        self._end = None
        self._parts.clear()
        self._spoken = 0.0
        self._untold = 0
        self._anew = False
        self._begun = False

    def hop(
        self,
        score: float | None,
        length: float,
        end: float | None,
        prior: float,
        *,
        alone: float | None = None,
    ) -> None:
        """One hop of 0.2 s within speech.

        score: of what was said since the last short pause, or of the last 1.6 s where that is longer; None:
        too little of it. length: how long that was, in windows (to 1). end: score of its end. prior: log-odds
        before hearing. alone: the score without a closer look, if there was one.
        """
        self._scores.append(None if score is None else (score, length))
        self._end = end
        if end is not None:
            weight, rule = min(1.0, length / _END_SHARE), self._rule
            self.odds = _KEEP * self.odds + weight * rule.log_odds_per_score * (end - rule.equal_score)
        self.odds += (1 - _KEEP) * prior
        self.odds = max(-_MOST_ODDS, min(_MOST_ODDS, self.odds))
        if score is not None:
            self._count(score if alone is None else alone, length)

    def _count(self, score: float, length: float) -> None:
        """Add up how much of each window is the presenter's."""
        if self._anew and length >= 1:
            return
        self._anew = False
        part = length * self._share_of(score)
        self._untold = 0 if part >= _TELLING else self._untold + 1
        if self._untold >= _LET_GO_HOPS:
            self._spoken = 0.0
        self._spoken += HOP_SECONDS * part
        self._falling = bool(self._parts) and part < self._parts[0] - _FALLING
        self._parts.append(part)

    def _share_of(self, score: float) -> float:
        """How much of a window the presenter has, by its score."""
        rule = self._rule
        span = max(rule.solo_score - rule.absent_score, 1e-6)
        return min(max((score - rule.absent_score) / span, 0.0), 1.0)

    def seconds(self) -> Seconds:
        """How long the presenter has been speaking, pauses left out.

        Each moment of it lies in the windows of 1.6 s; what the last window holds is not yet fully counted:
        half a window's worth where all of it is the presenter's, less where it slides in or out.
        """
        if not self._parts:
            return self._spoken
        part = self._parts[-1]
        return self._spoken + _WINDOW_SECONDS * (part * part / 2 if self._falling else part * (1 - part / 2))

    def mean(self, hops: int = _SCORES) -> float | None:
        """The weighted mean of the last scores; None when they tell too little."""
        told = [entry for entry in list(self._scores)[-hops:] if entry is not None]
        weight = sum(weight for _, weight in told)
        if weight < _LEAST_WEIGHT or self._scores[-1] is None:
            return None
        return sum(score * weight for score, weight in told) / weight

    def strength(self, screen: float, certain: float) -> float | None:
        """As in `PresenterEvidence`; None while too little was said to tell.

        screen, certain: the mean scores that are worth 1 and 2.
        """
        if self._scores and self._scores[-1] is None:
            return None
        rule = self._rule
        if self._end is None or self._end < rule.least_end_score:  # a mean lags behind
            return 0.0
        short_mean, mean = self.mean(_SHORT_SCORES), self.mean()
        if mean is None:
            return 0.0
        best = mean if short_mean is None else max(mean, short_mean - rule.short_mean_extra)
        if best < screen:
            strength = (best - rule.equal_score) / max(screen - rule.equal_score, 1e-6)
        else:
            strength = 1 + (best - screen) / max(certain - screen, 1e-6)
        return min(max(strength, 0.0), _MOST_STRENGTH)
