"""Timed inputs for a replay: one JSON object a line, such as `{"t": 91.4, "do": "next"}`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from voice_facilitator.files import checked_toml
from voice_facilitator.files.checked_toml import Hint, Mistake, brief, did_you_mean
from voice_facilitator.session.events import Action, Request, Seconds
from voice_facilitator.session.protocol import Protocol

_CODE = "script"
_KEYS = {"t", "do", "name", "seconds"}


@dataclass(frozen=True, slots=True)
class Timed:
    """A request at a time in the audio."""

    t: Seconds
    request: Request


def load(path: Path, protocol: Protocol) -> list[Timed]:
    """The script in time order. Raises FacilitatorError or FileMistakes with every wrong line."""
    return parse(checked_toml.read_text(path, _CODE), protocol, str(path))


def parse(text: str, protocol: Protocol, file: str) -> list[Timed]:
    """Like `load`, from the text itself; `file` is the name used in messages."""
    entries: list[Timed] = []
    mistakes: list[Mistake] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entries.append(_entry(json.loads(line), protocol))
        except (ValueError, RecursionError):  # Python reads no whole number of more than 4,300 digits
            mistakes.append(
                Mistake(number, "this is not one JSON object.", 'Write {"t": 12.5, "do": "next"}.')
            )
        except _Wrong as wrong:
            mistakes.append(Mistake(number, wrong.message, wrong.hint))
    if mistakes:
        raise checked_toml.FileMistakes(_CODE, file, mistakes)
    return sorted(entries, key=lambda entry: entry.t)


def names_phases(script: list[Timed] | None) -> bool:
    """Whether the script says when phases began; then the clock does not move the session on."""
    return any(entry.request.action is Action.PHASE for entry in script or ())


class _Wrong(Exception):  # noqa: N818  # never leaves this module
    def __init__(self, message: str, hint: Hint = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def _entry(data: Any, protocol: Protocol) -> Timed:
    if not isinstance(data, dict):
        raise _Wrong("this is not one JSON object.", 'Write {"t": 12.5, "do": "next"}.')
    for key in data:
        if key not in _KEYS:
            raise _Wrong(f'"{brief(key)}" is not known here.', partial(did_you_mean, key, sorted(_KEYS)))
    t = _number(data.get("t"), '"t" must be a time in seconds, 0 or more.')
    if t < 0:
        raise _Wrong('"t" must be a time in seconds, 0 or more.')
    actions = [action.value for action in Action]
    do = data.get("do")
    if do not in actions:
        raise _Wrong(f'"do" cannot be "{brief(do)}".', partial(did_you_mean, do, actions))
    seconds = None
    if data.get("seconds") is not None:
        seconds = _number(data["seconds"], '"seconds" must be a positive number.')
        if seconds <= 0:
            raise _Wrong('"seconds" must be a positive number.')
    name = data.get("name")
    if do == Action.PHASE.value:
        phases = [phase.name for phase in protocol.phases]
        if name not in phases:
            known = partial(did_you_mean, name, phases)
            raise _Wrong(f'{protocol.name} has no phase "{brief(name)}".', known)
    elif name is not None:
        raise _Wrong('"name" belongs to "phase" only.')
    return Timed(t, Request(Action(do), "script", seconds, name))


def _number(value: Any, message: str) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = float(value) if good else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Wrong(message)
    return number
