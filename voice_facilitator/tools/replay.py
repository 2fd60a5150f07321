"""Runs a recorded room through the same hearing and session as a live one, faster than real time.

Deterministic: the same audio, protocol, script and settings give the same events, byte for byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from voice_facilitator.app.conductor import Conductor, Sink
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.sound.source import AudioSource
from voice_facilitator.hearing.who.speaker import Decision
from voice_facilitator.session import Session
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Action, Outcome, Request, Seconds
from voice_facilitator.tools.script import Timed

_SECONDS_BEFORE_WORDS = 2.2  # chime and breath before an announcement
_CHARACTERS_PER_SECOND = 13.0  # measured with espeak-ng at 150 words a minute
_TICK_SECONDS = 0.096  # how finely the session's own moments are met


class ReplayEars:
    """The hearing of a replay. It is not gated: the recorded room never heard our announcements."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing

    def listen(self, effect: ev.Listen) -> None:
        self._hearing.listen(effect)

    def forget(self, for_good: bool) -> None:
        self._hearing.forget(for_good)

    def gate(self, closed: bool) -> None:
        del closed

    def allow(self, actions: frozenset[Action]) -> None:
        self._hearing.allow(actions)


class SilentMouth:
    """Says nothing, but takes as long as saying it would."""

    def __init__(self) -> None:
        self._wanted: list[tuple[int, Seconds]] = []

    def say(self, number: int, text: str, *, chime: bool, voice: bool) -> None:
        length = len(text) / _CHARACTERS_PER_SECOND if voice else 0.0
        self._wanted.append((number, length + (_SECONDS_BEFORE_WORDS if chime else 0.5)))

    def stop(self) -> None:
        self._wanted.clear()

    def started(self) -> list[tuple[int, Seconds]]:
        """Number and length of the announcements begun since the last call."""
        wanted, self._wanted = self._wanted, []
        return wanted


class Replay:
    """One run over one source."""

    def __init__(
        self,
        session: Session,
        hearing: Hearing,
        script: Sequence[Timed] | None = None,
        sinks: Sequence[Sink] = (),
        explain: Sequence[Callable[[Seconds, Decision], None]] = (),
    ) -> None:
        """Without a script, or with one that never begins, the session begins at 0.

        explain: told what each decision of the hearing rests on, before the events that come of it.
        """
        entries = list(script or ())
        if not any(entry.request.action in (Action.BEGIN, Action.PHASE) for entry in entries):
            entries.insert(0, Timed(0.0, Request(Action.BEGIN, "replay")))
        self._script = deque(entries)
        self._hearing = hearing
        self._mouth = SilentMouth()
        self._finishing: deque[tuple[Seconds, int]] = deque()
        self._conductor = Conductor(session, ReplayEars(hearing), self._mouth, sinks)
        self._session = session
        self._sinks = sinks
        self._explain = explain
        self._decisions: list[Decision] = []
        if explain:
            hearing.explain(self._decisions.append)
        self._last_tick: Seconds = 0.0

    def run(self, source: AudioSource, on_progress: Callable[[Seconds], None] = lambda _: None) -> Seconds:
        """Go through the whole source; returns its length in seconds. Raises FacilitatorError from it."""
        now: Seconds = 0.0
        self._move_to(0.0)
        for block in source.blocks():
            for now, heard in self._hearing.steps(block):
                self._move_to(now, force=bool(heard))
                self._tell_why(now)
                for event in heard:
                    self._take(event, now)
            on_progress(now)
        self._finish(now)
        return now

    def _tell_why(self, now: Seconds) -> None:
        for decision in self._decisions:
            for told in self._explain:
                told(now, decision)
        self._decisions.clear()

    def _finish(self, end: Seconds) -> None:
        """What the script still holds, and the goodbye; then the recording is simply over."""
        if self._script:
            end = max(end, self._script[-1].t)
        self._move_to(end, force=True)
        while not self._session.ended and self._session.view().mode == "closing":
            end += 1.0
            self._move_to(end, force=True)
        if not self._session.ended:
            for sink in self._sinks:
                sink(end, ev.Ended(end, "audio"))

    def _move_to(self, now: Seconds, *, force: bool = False) -> None:
        """Everything that falls due up to `now`, in order."""
        while True:
            script_at = self._script[0].t if self._script else None
            finish_at = self._finishing[0][0] if self._finishing else None
            if finish_at is not None and finish_at <= now and (script_at is None or finish_at <= script_at):
                at, number = self._finishing.popleft()
                self._take(ev.AnnouncementFinished(number, Outcome.SPOKEN), at)
            elif script_at is not None and script_at <= now:
                entry = self._script.popleft()
                self._take(entry.request, entry.t)
                if entry.request.action is self._session.view().asks:
                    self._take(Request(Action.YES, "script"), entry.t)
            else:
                break
        if force or now - self._last_tick >= _TICK_SECONDS:
            self._last_tick = now
            self._take(ev.Tick(), now)

    def _take(self, event: ev.Input, now: Seconds) -> None:
        self._conductor.take(event, now)
        for number, length in self._mouth.started():
            self._finishing.append((now + length, number))
