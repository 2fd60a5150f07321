"""Carries events to the session and its effects to whoever has to act. Live sessions and replays share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from voice_facilitator.session import Session
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Seconds

Sink = Callable[[Seconds, ev.Input | ev.Effect], None]


class Ears(Protocol):
    """The hearing, as the conductor needs it."""

    def listen(self, effect: ev.Listen) -> None: ...
    def forget(self, for_good: bool) -> None: ...
    def gate(self, closed: bool) -> None: ...
    def allow(self, actions: frozenset[ev.Action]) -> None: ...


class Mouth(Protocol):
    """The speaking, as the conductor needs it."""

    def say(self, number: int, text: str, *, chime: bool, voice: bool) -> None: ...
    def stop(self) -> None: ...


class Conductor:
    """One way round: event in, effects out, each to the part that carries it out and to the sinks."""

    def __init__(self, session: Session, ears: Ears, mouth: Mouth, sinks: Sequence[Sink] = ()) -> None:
        self.session = session
        self._ears = ears
        self._mouth = mouth
        self._sinks = sinks
        self._allowed: frozenset[ev.Action] = frozenset()

    def take(self, event: ev.Input, now: Seconds) -> None:
        """Something happened at `now` (seconds of the session)."""
        effects = self.session.handle(event, now)
        self._gate(event)
        told = isinstance(event, ev.Tick)
        for effect in effects:
            if not told and effect.at >= now:  # what fell due before the event comes before it
                self._tell(now, event)
                told = True
            self._carry_out(effect)
            self._tell(effect.at, effect)
        if not told:
            self._tell(now, event)
        if (allowed := self.session.allowed()) != self._allowed:
            self._allowed = allowed
            self._ears.allow(allowed)

    def _gate(self, event: ev.Input) -> None:
        if isinstance(event, ev.AnnouncementStarted):
            self._ears.gate(closed=True)
        elif isinstance(event, ev.AnnouncementFinished):
            self._ears.gate(closed=False)

    def _carry_out(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Listen():
                self._ears.listen(effect)
            case ev.Forget():
                self._ears.forget(effect.for_good)
            case ev.Announce():
                self._mouth.say(effect.number, effect.text, chime=effect.chime, voice=effect.voice)
            case ev.StopSpeaking():
                self._mouth.stop()
            case _:
                pass  # only shown

    def _tell(self, at: Seconds, item: ev.Input | ev.Effect) -> None:
        for sink in self._sinks:
            sink(at, item)
