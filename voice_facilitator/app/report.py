"""The summary of a session: times and shares, nothing about anybody or anything said."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from voice_facilitator import protocols
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Seconds, SpeakerState
from voice_facilitator.session.protocol import Protocol

_SHARES = (SpeakerState.PRESENTER, SpeakerState.OTHER, SpeakerState.UNSURE, SpeakerState.SILENCE)


@dataclass(slots=True)
class _Visit:
    name: str
    started: Seconds
    ended: Seconds
    heard: dict[SpeakerState, Seconds] = field(default_factory=lambda: dict.fromkeys(SpeakerState, 0.0))


class Report:
    """Listens to a session as a sink and adds up."""

    def __init__(self, protocol: Protocol) -> None:
        self._titles = {phase.name: phase.title for phase in protocol.phases}
        self._title, self._language = protocol.title, protocol.language
        self._visits: list[_Visit] = []
        self._who: SpeakerState | None = None
        self._since: Seconds = 0.0
        self._reminders: Counter[int] = Counter()
        self._announcements = 0
        self._faults: Counter[str] = Counter()
        self._ended = False

    def __call__(self, t: Seconds, item: ev.Input | ev.Effect) -> None:
        match item:
            case ev.PhaseEntered():
                self.close(t)
                self._visits.append(_Visit(item.name, t, t))
            case ev.BackToStart():
                self._visits.clear()
            case ev.SpeakerChanged():
                self.close(t)
                self._who = item.who
            case ev.Reminded():
                self._reminders[item.level] += 1
            case ev.Announce() if item.voice:
                self._announcements += 1
            case ev.Degraded() if item.lost:
                self._faults[item.part.value] += 1
            case ev.Ended() | ev.Done(action=ev.Action.END | ev.Action.YES, undo_until=float()):
                self.close(t)  # the goodbye, and the time in which the end can be taken back, are in no part
                self._ended = True
            case ev.Done(action=ev.Action.UNDO):
                self._ended, self._since = False, t
            case _:
                pass

    def close(self, t: Seconds) -> None:
        """Count what was heard up to `t`."""
        if self._visits and not self._ended:
            visit = self._visits[-1]
            visit.ended = max(visit.ended, t)
            if self._who is not None:
                visit.heard[self._who] += max(0.0, t - max(self._since, visit.started))
        self._since = t

    def as_dict(self) -> dict[str, Any]:
        """The summary as plain values; lengths in seconds, shares from 0 to 1."""
        return {
            "protocol": self._title,
            "phases": [
                {
                    "name": visit.name,
                    "title": self._titles.get(visit.name, visit.name),
                    "seconds": round(visit.ended - visit.started, 1),
                    "shares": {who.value: round(share, 3) for who, share in _shares(visit).items()},
                }
                for visit in self._visits
            ],
            "reminders": {"screen": self._reminders[1], "voice": self._reminders[2]},
            "announcements": self._announcements,
            "faults": dict(self._faults),
        }

    def as_table(self) -> Table:
        """The summary for a terminal, in the language of the session."""
        phrases = protocols.load_phrases(self._language)
        caption = self._caption(phrases)
        table = Table(title=self._title, title_justify="left", caption=caption, caption_justify="left")
        table.add_column(phrases["summary.part"])
        for heading in ("time", *_SHARES):
            table.add_column(phrases[f"summary.{heading}"], justify="right")
        for visit in self._visits:
            shares = [f"{share:.0%}" for share in _shares(visit).values()] or ["-"] * len(_SHARES)
            table.add_row(
                self._titles.get(visit.name, visit.name), clock(visit.ended - visit.started), *shares
            )
        return table

    def _caption(self, phrases: dict[str, str]) -> str:
        parts = [phrases["summary.reminders"].format(screen=self._reminders[1], voice=self._reminders[2])]
        if self._faults:
            faults = ", ".join(f"{n} x {part}" for part, n in self._faults.items())
            parts.append(phrases["summary.faults"].format(faults=faults))
        return " ".join(parts)


def _shares(visit: _Visit) -> dict[SpeakerState, float]:
    total = sum(visit.heard[who] for who in _SHARES)
    return {who: visit.heard[who] / total for who in _SHARES} if total > 0 else {}


def clock(seconds: Seconds) -> str:
    """`6:05` for a length in seconds."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
