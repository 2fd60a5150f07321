"""Whose turn it is, from the scores of single windows: a state for the display, evidence for the reminder.

Both look at short windows after a pause and at full ones later. The state follows quickly: it adds up
log-odds. The evidence is slow and careful: a mean over 1.2 s of windows, or a higher one over 0.8 s.
"""

from __future__ import annotations

from collections import deque

from voice_facilitator.hearing.voice_model import Rule
from voice_facilitator.session.events import Seconds

_SCORES = 6  # hops in the running mean: 1.2 s
_SHORT_SCORES = 4  # hops in the quicker one, which has to reach higher
_LEAST_WEIGHT = 1.5  # full windows' worth in a mean
_LOOK_BACK_SECONDS = 0.8  # a full window crosses the middle when half of it is the presenter's
_NOTICED_LATE_SECONDS = 0.2  # from the first sound to the first chunk of speech, measured
_WINDOW_SECONDS = 1.6
_LET_GO_SECONDS = 1.0  # without a window that tells
_MOST_ODDS = 5.0
_KEEP = 0.4  # of the log-odds from one hop to the next: neighbouring windows are no new witnesses
_KEEP_AFTER_PAUSE = 0.25
_FADING_HOPS = 3  # a window that slides out of somebody's speech falls for 1.6 s; this sees it sooner
_FADING = 0.5
_MOST_STRENGTH = 3.0


class Turns:
    """Fed once a hop with the scores of the hop's windows; answers with odds and evidence."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._scores: deque[tuple[float, float] | None] = deque(maxlen=_SCORES)  # score, weight
        self._fulls: deque[float] = deque(maxlen=_FADING_HOPS)  # scores of the last full windows
        self.odds = 0.0  # log-odds of presenter against other
        self._run_start: Seconds | None = None
        self._run_last: Seconds = 0.0
        self._stretch_start: Seconds | None = None

    def pause(self) -> None:
        """A short pause: another person may speak next."""
        self.odds *= _KEEP_AFTER_PAUSE

    def begin(self, time: Seconds, prior: float) -> None:
        """There is speech. prior: log-odds of the presenter, should a new stretch begin with it."""
        if self._stretch_start is None:
            self._stretch_start = time
            self.odds = prior

    def end(self) -> None:
        """The stretch of speech is over."""
        self._scores.clear()
        self._fulls.clear()
        self._run_start = self._stretch_start = None

    def hop(self, time: Seconds, full: float | None, fresh: float | None, share: float, prior: float) -> None:
        """One hop of 0.2 s within speech.

        full: score of the last 1.6 s, where they are mostly speech. fresh: score of what was said since
        the last short pause. share: length of that in windows (0 to 1). prior: log-odds before hearing.
        """
        rule = self._rule
        told = fresh if fresh is not None else full
        length = share if fresh is not None else 1.0
        # What a short window says is worth less than its length: its scores scatter.
        self._scores.append(None if told is None else (told, length * length))
        if told is not None:
            even = rule.even_short + (rule.even - rule.even_short) * length
            fading = 0.0
            if fresh is None and self._fulls:
                fading = _FADING * min(told - self._fulls[0], 0.0)
            self.odds = _KEEP * self.odds + length * rule.slope * (told + fading - even)
        if full is None:
            self._fulls.clear()
        else:
            self._fulls.append(full)
        self.odds += (1 - _KEEP) * prior
        self.odds = max(-_MOST_ODDS, min(_MOST_ODDS, self.odds))
        if self.odds > 0 or (full is not None and full > rule.even):
            whole = full is not None and full >= rule.whole
            back = share * _WINDOW_SECONDS + _NOTICED_LATE_SECONDS
            if whole:
                back = _WINDOW_SECONDS
            elif fresh is None:
                back = _LOOK_BACK_SECONDS
            start = max(time - back, (self._stretch_start or 0.0) - _NOTICED_LATE_SECONDS)
            if self._run_start is None:
                self._run_start = start
            elif whole:  # a remark broken up by pauses: what came before them was the presenter's too
                self._run_start = min(start, self._run_start)
            self._run_last = time
        elif self._run_start is not None and time - self._run_last > _LET_GO_SECONDS:
            self._run_start = None

    def seconds(self, time: Seconds) -> Seconds:
        """How long the presenter may have been speaking."""
        return 0.0 if self._run_start is None else time - self._run_start

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
        quick, mean = self.mean(_SHORT_SCORES), self.mean()
        if mean is None or self.odds <= 0:  # a mean lags behind: what was said last has to agree
            return 0.0
        best = mean if quick is None else max(mean, quick - self._rule.quick)
        if best < screen:
            strength = (best - self._rule.even) / max(screen - self._rule.even, 1e-6)
        else:
            strength = 1 + (best - screen) / max(certain - screen, 1e-6)
        return min(max(strength, 0.0), _MOST_STRENGTH)
