"""Keeps a hasty second press from doing twice what was meant once.

A clicker that bounces, a finger in a hurry, two people at once, or a press at the very moment the part
changes by itself: all of them mean one step.
"""

from __future__ import annotations

from voice_facilitator.display.keys import Press
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Action, Seconds

SETTLE_SECONDS = 1.5  # a change is seen, and a wrong press regretted, within about this time
_MOVES = frozenset({Action.BEGIN, Action.NEXT, Action.BACK, Action.REPEAT})
_ANSWERS = frozenset({Action.END, Action.YES})  # the press that asks must not be the one that answers
_HOLDS = frozenset({Action.PAUSE, Action.RESUME})


class Presses:
    """A sink that remembers when things last changed, and says which press comes too soon after it."""

    def __init__(self) -> None:
        self._last: dict[frozenset[Action], Seconds] = {}

    def __call__(self, t: Seconds, item: ev.Input | ev.Effect) -> None:
        match item:
            case ev.PhaseEntered():
                self._last[_MOVES] = t
            case ev.Done():
                for group in (_ANSWERS, _HOLDS):
                    if item.action in group:
                        self._last[group] = t
            case _:
                pass

    def too_soon(self, press: Press, phase: str, now: Seconds) -> bool:
        """Whether this press is to be passed over. `phase`: the name of the running one."""
        if press.action in _MOVES and press.seen is not None and press.seen != phase:
            return True  # made for a part that is over
        return any(
            press.action in group and now - last < SETTLE_SECONDS for group, last in self._last.items()
        )
