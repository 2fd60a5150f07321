"""The event log: one JSON object a line, in time order, without content. Described in `docs/events.md`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voice_facilitator.hearing.who.speaker import Decision
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Seconds

# How each kind of event is written; what is not listed is not logged.
_FIELDS: dict[type[ev.Input | ev.Effect], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    ev.SpeakerChanged: ("speaker", lambda e: {"who": e.who.value}),
    ev.EnrolmentChanged: ("enrolment", lambda e: {"quality": e.quality.value}),
    ev.PhaseEntered: (
        "phase",
        lambda e: {"name": e.name, "seconds": round(e.planned_seconds, 1), "reason": e.reason},
    ),
    ev.BackToStart: ("back-to-start", lambda _: {}),
    ev.Announce: (
        "announcement",
        lambda e: {"id": e.key, "text": e.text, "chime": e.chime, "voice": e.voice},
    ),
    ev.ShowLine: ("line", lambda e: {"text": e.text}),
    ev.Reminded: ("reminder", lambda e: {"level": e.level}),
    ev.Done: ("command", lambda e: {"name": e.action.value, "source": e.source}),
    ev.Refused: ("refused", lambda e: {"name": e.action.value, "source": e.source}),
    ev.PlanChanged: ("plan", lambda e: {"ends_at": round(e.ends_at, 1)}),
    ev.Degraded: (
        "degraded",
        lambda e: {
            "part": e.part.value,
            "lost": e.lost,
            "reason": None if e.reason is None else e.reason.value,
        },
    ),
    ev.Forget: ("forgotten", lambda _: {}),
    ev.Ended: ("ended", lambda e: {"reason": e.reason}),
}


def entry(t: Seconds, item: ev.Input | ev.Effect) -> dict[str, Any] | None:
    """The log entry for something that happened at `t`, or None for what is not logged."""
    found = _FIELDS.get(type(item))
    if found is None:
        return None
    name, fields = found
    return {"t": round(t, 3), "event": name, **fields(item)}


_LONGEST_LINE = 10_000  # bytes; a recording may have no end of line at all


def is_other_file(path: Path) -> bool:
    """Whether something else than an event log lies there, which must not be overwritten. Raises OSError."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        begin = file.read(_LONGEST_LINE)
    line, end, _ = begin.partition(b"\n")
    if not end and len(begin) < _LONGEST_LINE and (not begin.strip(b"\0") or begin.startswith(b'{"t": ')):
        return False  # empty, or all that a power cut has left of a log
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return True
    return not (isinstance(first, dict) and {"t", "event"} <= first.keys())


def is_cut_off(path: Path) -> bool:
    """Whether the last line of the file was cut off."""
    return path.is_file() and path.read_bytes()[-1:] not in {b"", b"\n"}


class EventLog:
    """A sink that gives entries to `write` as they come, each a line."""

    def __init__(self, write: Callable[[str], object], *, ascii_only: bool = False) -> None:
        """ascii_only: other letters are written as JSON's escapes, for a stream that cannot hold them."""
        self._write, self._ascii_only = write, ascii_only

    def __call__(self, t: Seconds, item: ev.Input | ev.Effect) -> None:
        found = entry(t, item)
        if found is not None:
            self._write(json.dumps(found, ensure_ascii=self._ascii_only) + "\n")

    def explain(self, t: Seconds, decision: Decision) -> None:
        """Write what a decision of the hearing rests on: numbers and a reason from a closed list."""
        numbers: dict[str, float | None] = {
            "odds": decision.odds,
            **({} if decision.score is None else dataclasses.asdict(decision.score)),
            "end": decision.end,
            "even": decision.equal_score,
            "agrees": decision.least_end_score,
            "remark": decision.remark,
            "screen": decision.screen,
            "mean": decision.mean,
            "certain": decision.certain_score,
            "strength": decision.strength,
            "seconds": decision.speech_seconds,
        }
        line = {
            "t": round(t, 3),
            "event": "decision",
            "who": decision.who.value,
            "reason": decision.reason.value,
            **{name: None if number is None else round(number, 3) for name, number in numbers.items()},
        }
        self._write(json.dumps(line) + "\n")
