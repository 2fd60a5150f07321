"""The summary of a session: times and shares, nothing about anybody or anything said."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from voice_facilitator.files import protocols
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Seconds, SpeakerState
from voice_facilitator.session.protocol import Protocol

_SHARES = (SpeakerState.PRESENTER, SpeakerState.OTHER, SpeakerState.UNSURE, SpeakerState.SILENCE)


@dataclass(slots=True)
class _Part:
    """A part of the session, all visits to it together."""

    seconds: Seconds = 0.0
    heard: dict[SpeakerState, Seconds] = field(default_factory=lambda: dict.fromkeys(SpeakerState, 0.0))


class Report:
    """Listens to a session as a sink and adds up."""

    def __init__(self, protocol: Protocol) -> None:
        self._titles = {phase.name: phase.title for phase in protocol.phases}
        self._title, self._language = protocol.title, protocol.language
        self._parts: dict[str, _Part] = {}  # by the name of the phase, as far as they were held
        self._part: _Part | None = None
        self._who: SpeakerState | None = None
        self._since: Seconds = 0.0
        self._reminders: Counter[int] = Counter()
        self._announcements = 0
        self._faults: Counter[str] = Counter()
        self._over = False

    def __call__(self, t: Seconds, item: ev.Input | ev.Effect) -> None:
        match item:
            case ev.PhaseEntered():
                self.close(t)
                self._part, self._over, self._since = self._parts.setdefault(item.name, _Part()), False, t
            case ev.BackToStart():
                self._parts, self._part = {}, None
            case ev.SpeakerChanged():
                self.close(t)
                self._who = item.who
            case ev.Reminded():
                self._reminders[item.level] += 1
            case ev.Announce() if item.voice:
                self._announcements += 1
            case ev.Degraded() if item.lost:
                self._faults[item.part.value] += 1
            case (
                ev.Ended()
                | ev.Done(action=ev.Action.NEXT | ev.Action.END | ev.Action.YES, undo_until=float())
            ):
                self.close(t)  # the goodbye, and the time in which the end can be taken back, are in no part
                self._over = True
            case ev.Done(action=ev.Action.UNDO):
                self._over = False
                self.close(t)
            case _:
                pass

    def close(self, t: Seconds) -> None:
        """Count what was heard up to `t`."""
        if self._over:
            return
        if self._part is not None:
            passed = max(0.0, t - self._since)
            self._part.seconds += passed
            if self._who is not None:
                self._part.heard[self._who] += passed
        self._since = t

    @property
    def began(self) -> bool:
        """Whether there is anything to sum up."""
        return bool(self._parts)

    def _held(self) -> list[tuple[str, _Part]]:
        """Names and parts, in the order of the protocol."""
        return [(name, self._parts[name]) for name in self._titles if name in self._parts]

    def as_dict(self) -> dict[str, Any]:
        """The summary as plain values; lengths in seconds, shares from 0 to 1."""
        return {
            "protocol": self._title,
            "phases": [
                {
                    "name": name,
                    "title": self._titles[name],
                    "seconds": round(part.seconds, 1),
                    "shares": {who.value: round(share, 3) for who, share in _shares(part).items()},
                }
                for name, part in self._held()
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
        for name, part in self._held():
            shares = [f"{share:.0%}" for share in _shares(part).values()] or ["-"] * len(_SHARES)
            table.add_row(self._titles[name], clock(part.seconds), *shares)
        return table

    def _caption(self, phrases: dict[str, str]) -> str:
        parts = [phrases["summary.reminders"].format(screen=self._reminders[1], voice=self._reminders[2])]
        if self._faults:
            faults = ", ".join(f"{n} x {part}" for part, n in self._faults.items())
            parts.append(phrases["summary.faults"].format(faults=faults))
        return " ".join(parts)


def _shares(part: _Part) -> dict[SpeakerState, float]:
    total = sum(part.heard[who] for who in _SHARES)
    return {who: part.heard[who] / total for who in _SHARES} if total > 0 else {}


def clock(seconds: Seconds) -> str:
    """`6:05` for a length in seconds."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
