"""Whose turn it is, from the scores of single windows: a state for the display, evidence for the reminder.

The state follows quickly: it adds up log-odds, and looks at short windows after a pause. The evidence is
slow and careful: a mean over full windows.
"""

from __future__ import annotations

from collections import deque

from voice_facilitator.hearing.voice_model import Rule
from voice_facilitator.session.events import Seconds

_SCORES = 4  # hops in the running mean: 0.8 s
_LEAST_SCORES = 3
_LOOK_BACK_SECONDS = 1.6  # a full window that tells speaks for all of its length
_LET_GO_SECONDS = 1.0  # without a window that tells
_MOST_ODDS = 5.0
_KEEP = 0.6  # of the log-odds from one hop to the next: neighbouring windows are no new witnesses
_KEEP_AFTER_PAUSE = 0.5
_MOST_STRENGTH = 3.0


class Turns:
    """Fed once a hop with the scores of the hop's windows; answers with odds and evidence."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._scores: deque[float | None] = deque(maxlen=_SCORES)
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
        self._run_start = self._stretch_start = None

    def hop(self, time: Seconds, full: float | None, fresh: float | None, share: float, prior: float) -> None:
        """One hop of 0.2 s within speech.

        full: score of the last 1.6 s, where they are mostly speech. fresh: score of what was said since
        the last short pause. share: length of that in windows (0 to 1). prior: log-odds before hearing.
        """
        rule = self._rule
        self._scores.append(full)
        told = fresh if fresh is not None else full
        if told is not None:
            length = share if fresh is not None else 1.0
            even = rule.even_short + (rule.even - rule.even_short) * length
            self.odds = _KEEP * self.odds + length * rule.slope * (told - even)
        self.odds += (1 - _KEEP) * prior
        self.odds = max(-_MOST_ODDS, min(_MOST_ODDS, self.odds))
        if self.odds > 0 or (full is not None and full > rule.even):
            if self._run_start is None:
                length = _LOOK_BACK_SECONDS if fresh is None else share * _LOOK_BACK_SECONDS
                self._run_start = max(time - length, self._stretch_start or 0.0)
            self._run_last = time
        elif self._run_start is not None and time - self._run_last > _LET_GO_SECONDS:
            self._run_start = None

    def seconds(self, time: Seconds) -> Seconds:
        """How long the presenter may have been speaking."""
        return 0.0 if self._run_start is None else time - self._run_start

    @property
    def mean(self) -> float | None:
        """The running mean of full windows' scores; None when the last ones did not tell."""
        known = [score for score in self._scores if score is not None]
        if len(known) < _LEAST_SCORES or self._scores[-1] is None:
            return None
        return sum(known) / len(known)

    def strength(self, screen: float, certain: float) -> float:
        """As in `PresenterEvidence`. screen, certain: the mean scores that are worth 1 and 2."""
        mean = self.mean
        if mean is None:
            return 0.0
        if mean < screen:
            strength = (mean - self._rule.even) / max(screen - self._rule.even, 1e-6)
        else:
            strength = 1 + (mean - screen) / max(certain - screen, 1e-6)
        return min(max(strength, 0.0), _MOST_STRENGTH)
