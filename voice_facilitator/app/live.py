"""A live session: starts the parts, carries events between them and the session, stops the parts in order."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from voice_facilitator.app.conductor import Conductor, Sink
from voice_facilitator.app.faultlog import FaultLog
from voice_facilitator.app.presses import Presses
from voice_facilitator.app.resume import ResumeFile
from voice_facilitator.display.key_table import Press, press_for
from voice_facilitator.display.keys import KeyReader, terminal_restored
from voice_facilitator.display.screens import Screen
from voice_facilitator.errors import ExitCode
from voice_facilitator.hearing.process import HearingProcess
from voice_facilitator.hearing.sound.samples import RATE
from voice_facilitator.machine.clocks import Moment, asleep_seconds
from voice_facilitator.machine.interrupts import Noted, interrupt, noted
from voice_facilitator.machine.outlet import Outlet
from voice_facilitator.privacy.confinement import harden
from voice_facilitator.session import Session, View
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Action, Part, Request, Seconds
from voice_facilitator.speaking.process import SpeakingProcess

_INBOX = 2000  # events; a loop that stands still for minutes loses events, and they are counted
_REDRAW_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 0.2
_PREPARE_SENTENCES = 2  # rendered before the session can begin; the rest follows in the background
_PREPARE_SECONDS = 15.0
_READY_SECONDS = 20.0  # a hearing that says nothing for so long does not hold up the beginning
_REFUSAL_SECONDS = 6.0  # on the screens only: long enough to be read
_SLEPT_SECONDS = 2.0  # shorter than people notice


@dataclass(frozen=True, slots=True)
class _Key:
    name: str


class _Ears:
    """The hearing process behind the conductor's interface."""

    def __init__(self, hearing: HearingProcess) -> None:
        self._hearing = hearing

    def listen(self, effect: ev.Listen) -> None:
        self._hearing.send(effect)

    def forget(self, for_good: bool) -> None:
        self._hearing.send(ev.Forget(0.0, for_good))

    def gate(self, closed: bool) -> None:
        self._hearing.gate(closed)

    def allow(self, actions: frozenset[ev.Action]) -> None:
        self._hearing.allow(actions)


class LiveSession:
    """One live session. Make it with parts that are not started yet, then call `run` once."""

    def __init__(
        self,
        session: Session,
        hearing_of: Callable[[Callable[[ev.Input], None]], HearingProcess],
        speaking_of: Callable[[Callable[[ev.Input], None]], SpeakingProcess],
        screen: Screen,
        sinks: Sequence[Sink] = (),
        *,
        sentences: Sequence[str] = (),
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
        begin_after_seconds: Seconds | None = None,
        timer_only: bool = False,
        hears: bool = True,
        resume_file: ResumeFile | None = None,
        resumed_at: Seconds | None = None,
        fault_log: FaultLog | None = None,
        outlets: Sequence[Outlet] = (),
        keys: bool = True,
        clock: Callable[[], float] = time.monotonic,
        moment: Callable[[], Moment] = Moment.now,
        asleep: Callable[[], Seconds] = asleep_seconds,
    ) -> None:
        """hearing_of, speaking_of: make the part, given where its events go.

        sentences: what will be said as planned, rendered before the room is listened to.
        begin_after_seconds: begin by itself this long after the room is first heard; None waits for people.
        hears: false on a machine without a microphone, where there is nothing to fail or to come back.
        moment, asleep: as `clocks` has them.
        resume_file: is kept up to date, and gone when the session has ended or is stopped by a person.
        resumed_at: the session's own time now, of a session that goes on after a power cut.
        outlets: what the sinks and the screen write through; what they lose is counted.
        """
        self._inbox: queue.Queue[ev.Input | _Key | Press] = queue.Queue(_INBOX)
        self.dropped_events = 0
        self.write_failures = 0  # of event log, fault log and display, on a full disk or a closed window
        self._session = session
        self._hearing = hearing_of(self.put)
        self._speaking = speaking_of(self.put)
        self._presses = Presses()
        self._faults = fault_log
        self._outlets = outlets
        everywhere: list[Sink] = [self._presses, self._happened, *sinks, *([fault_log] if fault_log else [])]
        self._sinks = [self._guarded(sink) for sink in everywhere]
        self._conductor = Conductor(session, _Ears(self._hearing), self._speaking, self._sinks)
        self._health = ev.HealthChanged(0, 0)
        self._errors: dict[str, int] = {}
        self._screen = screen
        self._sentences = list(sentences)
        self._on_progress = on_progress
        self._prepared = threading.Event()  # enough is rendered to begin
        self._begin_after = begin_after_seconds
        self._begin_at: Seconds | None = None
        self._timer_only, self._hears = timer_only, hears
        self._resume_file = resume_file
        self._resumes = resumed_at is not None
        self._keys = keys
        self._clock, self._moment, self._asleep = clock, moment, asleep
        self._zero = clock() - (resumed_at or 0.0)
        self._asleep_before = asleep()
        self._next_redraw = 0.0
        self._refusal, self._refusal_until = "", 0.0

    def put(self, item: ev.Input | _Key | Press) -> None:
        """Give the session an event; any thread may."""
        try:
            self._inbox.put_nowait(item)
        except queue.Full:
            self.dropped_events += 1

    def key(self, name: str) -> None:
        """A key of the terminal; any thread may."""
        self.put(_Key(name))

    def press(self, press: Press) -> bool:
        """A press from elsewhere than the keyboard; any thread may."""
        self.put(press)
        return True

    def run(self) -> ExitCode:
        """Run until the session has ended or is interrupted; the parts are stopped either way.

        Interrupted by a person it is forgotten; where the computer or the terminal goes away under it, it can
        go on afterwards.
        """
        keep = True
        harden()
        with noted() as told, terminal_restored():
            try:
                self._start(told)
                self._loop(told)
                keep = bool(told) and not self._session.ended and not told.by_a_person
            finally:
                self._stop(keep_resume_file=keep)
        return ExitCode.OK if self._session.ended else ExitCode.INTERRUPTED

    def _start(self, told: Noted) -> None:
        if told:
            return
        self._speaking.start(self._sentences, self._progress)
        if not self._resumes:  # then people wait already
            told.wait(self._prepared, _PREPARE_SECONDS)
        if told:
            return
        if self._hears:
            self._hearing.start()
        self._screen.start()
        if self._keys:
            reader = KeyReader(self.key, interrupt)
            reader.start()
        if self._resumes:
            self._conductor.take(ev.Restarted(self._hears), self._now())
        if self._timer_only and not self._session.view().timer_only:
            self._conductor.take(Request(Action.TIMER_ONLY, ev.OPTION), self._now())

    def _progress(self, done: int, total: int) -> None:
        self._on_progress(done, total)
        if done >= min(_PREPARE_SENTENCES, total):
            self._prepared.set()

    def _stop(self, *, keep_resume_file: bool) -> None:
        """The mirror of `_start`: nothing here may keep the voices from being wiped."""
        with contextlib.ExitStack() as stack:  # runs every step even if one fails, last one first
            if self._resume_file is not None:
                stack.callback(self._resume_file.close, keep=keep_resume_file)
                if keep_resume_file:
                    self._follow(at_once=True)
            if not self._session.ended:
                stack.callback(self._tell_stopped, self._now())
            stack.callback(self._speaking.close)
            stack.callback(self._hearing.stop)
            stack.callback(self._screen.stop)
            if self._faults is not None:
                stack.callback(self._faults.close)

    def _tell_stopped(self, now: Seconds) -> None:
        for sink in self._sinks:
            sink(now, ev.Ended(now, "stopped"))

    def _loop(self, told: Noted) -> None:
        while not self._session.ended and not told:
            now = self._now()
            self._begin_by_itself(now)
            self._take_next(now)
            self._check_clock()
            self._follow()
            if self._now() >= self._next_redraw:
                self._next_redraw = self._now() + _REDRAW_SECONDS
                self._check_health()
                self._show(self._hearing.level if self._hearing.pid else None)
        self._show(None)

    def _show(self, level: float | None) -> None:
        try:
            self._screen.update(self._session.view() if self._session.ended else self._view(), level)
        except OSError:  # the window is gone; the voice is still there
            self.write_failures += 1

    def _guarded(self, sink: Sink) -> Sink:
        """A full disk must not end a session."""

        def guarded(t: Seconds, item: ev.Input | ev.Effect) -> None:
            try:
                sink(t, item)
            except OSError:
                self.write_failures += 1

        return guarded

    def _check_health(self) -> None:
        """Tell the session, and with it the display, what the parts have counted."""
        counters, resume_file = self._hearing.counters, self._resume_file
        health = ev.HealthChanged(
            restarts=self._hearing.restarts + self._speaking.restarts,
            dropped=self.dropped_events
            + self._speaking.dropped
            + self._hearing.dropped
            + self.write_failures
            + sum(outlet.lost for outlet in self._outlets)
            + (resume_file.failures if resume_file else 0),
            missed_seconds=counters.dropped_samples / RATE,
        )
        if health != self._health:
            self._health = health
            self._conductor.take(health, self._now())
        for code, times in list(counters.errors.items()):
            if self._faults is not None and self._errors.get(code) != times:
                self._errors[code] = times
                self._faults.error(self._now(), code, times)

    def _follow(self, *, at_once: bool = False) -> None:
        if self._resume_file is not None:
            self._resume_file.follow(self._session, self._clock(), self._moment, at_once=at_once)

    def _begin_by_itself(self, now: Seconds) -> None:
        view = self._session.view()
        if self._begin_after is None or view.mode != "not-started":
            return
        heard = view.who is not None or Part.MICROPHONE in view.lost
        ready = heard or not self._hears or now > _READY_SECONDS
        if self._begin_at is None and ready:
            self._begin_at = now + self._begin_after
        if self._begin_at is not None and now >= self._begin_at:
            self._begin_after = None  # who takes it back wants to begin by hand
            self._conductor.take(Request(Action.BEGIN, ev.OPTION), now)

    def _take_next(self, now: Seconds) -> None:
        moment = self._session.next_moment()
        wait = _LONGEST_WAIT_SECONDS if moment is None else min(_LONGEST_WAIT_SECONDS, max(0.0, moment - now))
        try:
            item = self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait()
        except queue.Empty:
            self._conductor.take(ev.Tick(), self._now())
            return
        if isinstance(item, _Key):
            self._pressed(press_for(item.name, self._session.view().allowed))
            return
        if isinstance(item, Press):
            self._pressed(item)
            return
        self._conductor.take(item, self._now())

    def _pressed(self, press: Press | None) -> None:
        now = self._now()
        if press is not None and not self._presses.too_soon(press, self._session.view().phase, now):
            self._conductor.take(press.request(), now)

    def _happened(self, t: Seconds, item: ev.Input | ev.Effect) -> None:
        self._next_redraw = 0.0  # seen at once, not with the next turn of the clock
        if isinstance(item, ev.Refused):
            self._refusal, self._refusal_until = item.text, t + _REFUSAL_SECONDS

    def _view(self) -> View:
        """What is shown: the session, and for a moment why something asked for was not done."""
        view = self._session.view()
        if view.line or view.caption or self._now() >= self._refusal_until:
            return view
        return replace(view, line=self._refusal)

    def _now(self) -> Seconds:
        return self._clock() - self._zero

    def _check_clock(self) -> None:
        """After a suspend nobody knows how long it was: pause, so that the group decides when to go on."""
        asleep = self._asleep()
        slept, self._asleep_before = asleep - self._asleep_before, asleep
        if slept > _SLEPT_SECONDS and Action.PAUSE in self._session.view().allowed:
            self._conductor.take(Request(Action.PAUSE, ev.ASLEEP), self._now())
