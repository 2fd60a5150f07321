"""The one table of keys and buttons: which key asks for what, on the room page and in the terminal alike.

The page is given it with its words, the terminal's keys are translated into the page's names, and
`scripts/draw_keys.py` writes README's table from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import readchar

from voice_facilitator.session.events import Action, Request


class Row(IntEnum):
    """Where an action's button stands in the bar of the page. The second row is smaller."""

    FIRST = 0
    SECOND = 1


@dataclass(frozen=True, slots=True)
class Key:
    """The keys of an action by their names in a browser (`KeyboardEvent.key`); `shown`: the one to tell."""

    action: Action
    names: tuple[str, ...]
    shown: str
    row: Row


# Presentation clickers send PageDown and PageUp, and "b" for a black screen: here that is the pause.
_FORWARD = (" ", "Enter", "PageDown", "ArrowRight")
_HOLD = ("p", "b", ".")

# In the order in which they are shown. Of actions with the same key the first that is possible now is meant.
KEYS = (
    Key(Action.BACK, ("ArrowLeft", "PageUp", "Backspace"), "←", Row.FIRST),
    Key(Action.RESUME, _HOLD, "p", Row.FIRST),
    Key(Action.PAUSE, _HOLD, "p", Row.FIRST),
    Key(Action.BEGIN, _FORWARD, "space", Row.FIRST),
    Key(Action.NEXT, _FORWARD, "space", Row.FIRST),
    Key(Action.MORE_TIME, ("+", "="), "+", Row.FIRST),
    Key(Action.UNDO, ("u",), "u", Row.FIRST),
    Key(Action.YES, ("y",), "y", Row.FIRST),
    Key(Action.NO, ("n",), "n", Row.FIRST),
    Key(Action.REPEAT, ("r",), "r", Row.SECOND),
    Key(Action.LESS_TIME, ("-",), "-", Row.SECOND),
    Key(Action.TIME_LEFT, ("?",), "?", Row.SECOND),
    Key(Action.STOP_REMINDERS, ("s",), "s", Row.SECOND),
    Key(Action.TIMER_ONLY, ("t",), "t", Row.SECOND),
    Key(Action.END, ("e",), "e", Row.SECOND),
)
# What a terminal sends for keys that have no letter, by the page's names.
TERMINAL_NAMES = {
    "\r": "Enter",
    "\n": "Enter",
    readchar.key.PAGE_DOWN: "PageDown",
    readchar.key.RIGHT: "ArrowRight",
    readchar.key.PAGE_UP: "PageUp",
    readchar.key.LEFT: "ArrowLeft",
    readchar.key.BACKSPACE: "Backspace",
}


@dataclass(frozen=True, slots=True)
class Press:
    """Somebody pressed for `action`. `seen`: the phase they had before their eyes; None: unknown."""

    action: Action
    source: str = "key"
    seen: str | None = None

    def request(self) -> Request:
        return Request(self.action, self.source)


def press_for(key: str, allowed: frozenset[Action]) -> Press | None:
    """What a terminal's key asks for, given what is possible now; None for a key without a meaning."""
    name = TERMINAL_NAMES.get(key, key)
    meant = meanings().get(name if len(name) > 1 else name.lower(), [])
    possible = [action for action in meant if action in allowed]
    return Press([*possible, meant[-1]][0]) if meant else None


def meanings() -> dict[str, list[Action]]:
    """What each key may mean, by its name: the first that is possible, else the last (which is refused)."""
    found: dict[str, list[Action]] = {}
    for key in KEYS:
        for name in key.names:
            found.setdefault(name, []).append(key.action)
    return found


def buttons() -> list[list[Action]]:
    """The actions of the bar's rows, in order."""
    return [[key.action for key in KEYS if key.row is row] for row in Row]
