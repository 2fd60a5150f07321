"""Keeps a hasty second press from doing twice what was meant once.

A clicker that bounces, a finger in a hurry, two people at once, or a press at the very moment the part
changes by itself: all of them mean one step.
"""

from __future__ import annotations

from voice_facilitator.display.key_table import Press
from voice_facilitator.session import events as ev
from voice_facilitator.session.actions import ACTIONS, Settles
from voice_facilitator.session.events import Seconds

SETTLE_SECONDS = 1.5  # a change is seen, and a wrong press regretted, within about this time


class Presses:
    """A sink that remembers when things last changed, and says which press comes too soon after it."""

    def __init__(self) -> None:
        self._last: dict[Settles, Seconds] = {}

    def __call__(self, t: Seconds, item: ev.Input | ev.Effect) -> None:
        match item:
            case ev.PhaseEntered():
                self._last[Settles.MOVES] = t
            case ev.Done():
                settles = ACTIONS[item.action].settles
                if settles in (Settles.ANSWERS, Settles.HOLDS):
                    self._last[settles] = t
            case _:
                pass

    def too_soon(self, press: Press, phase: str, now: Seconds) -> bool:
        """Whether this press is to be passed over. `phase`: the name of the running one."""
        settles = ACTIONS[press.action].settles
        if settles is Settles.MOVES and press.seen is not None and press.seen != phase:
            return True  # made for a part that is over
        last = self._last.get(settles) if settles is not None else None
        return last is not None and now - last < SETTLE_SECONDS
