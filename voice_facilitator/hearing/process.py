"""The program's handle on the hearing process: passes on what the session wants and what was heard.

A library that hangs or crashes takes only the child with it: the session hears one PartLost and, a moment
later, one PartBack.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files.settings import HearingSettings
from voice_facilitator.hearing import child
from voice_facilitator.hearing.child import (
    CONTROLS,
    REPORTS,
    Allow,
    Control,
    Event,
    File,
    Gate,
    Microphone,
    Moved,
    Report,
    Samples,
    SayAgain,
    Setup,
    Stop,
)
from voice_facilitator.hearing.commands.command_engines import CommandSetup, chosen
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.sound.source_watch import SourceWatch
from voice_facilitator.machine.child_process import Ending, Hooks, Limits, Supervisor
from voice_facilitator.machine.resources import ONE_THREAD
from voice_facilitator.privacy.confinement import Confinement
from voice_facilitator.privacy.memory import wiping_allocator
from voice_facilitator.session.events import (
    Action,
    Enrolment,
    EnrolmentChanged,
    Forget,
    Input,
    Listen,
    MicrophoneFault,
    Part,
    PartBack,
    PartLost,
    SafeguardsMissing,
    Seconds,
    SpeakerChanged,
    SpeakerState,
)

__all__ = ["Array", "Counters", "File", "HearingProcess", "Microphone", "Source"]

LIMITS = Limits(
    start=60.0,  # a slow small computer reading its models from a card
    silent=8.0,
    again=(0.2, 1.0, 3.0, 10.0, 30.0),
    again_hung=1.0,  # a sound system that hung may be back at any time, and people wait for their microphone
    steady=300.0,
)
_SOUND_DBFS = -100.0  # whatever is above it is more than zeros
_MUTED = child.Failed(
    "microphone-muted",
    "The microphone is muted.",
    "Unmute it: by a button on it or on the keyboard, or in the computer's sound settings.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """Listen to samples (float32 [n], 16 kHz mono), in real time if `paced`."""

    samples: Floats
    paced: bool = True


Source = Microphone | File | Array


@dataclass(slots=True)
class Counters:
    """What went wrong so far."""

    dropped_samples: int = 0
    dropped_messages: int = 0
    errors: dict[str, int] = field(default_factory=dict)  # by code


class HearingProcess(Hooks[Control, Report]):
    """Owns the hearing process from `start` to `stop`.

    `on_event` and `on_end` are called from a thread of ours: hand the event to a queue and return.
    """

    def __init__(
        self,
        source: Source,
        settings: HearingSettings,
        on_event: Callable[[Input], None],
        *,
        on_end: Callable[[], None] = lambda: None,
        models: Path | None = None,
        commands: CommandSetup | None = None,
    ) -> None:
        """on_end: a file or array is over (once). models: where the models lie, if not in the usual place.

        commands: what to understand by voice; None for nothing. Its engine is chosen here, see `chosen`.
        """
        self._commands = chosen(commands, models) if commands is not None else None
        self._source, self._settings, self._models = source, settings, models
        self._on_event, self._on_end = on_event, on_end
        environment = dict.fromkeys(ONE_THREAD, "1") | wiping_allocator(dict(os.environ))
        self._supervisor = Supervisor(
            "hearing", CONTROLS, REPORTS, self, limits=LIMITS, environment=environment
        )
        self._lock = threading.RLock()
        self._listen: Listen | None = None
        self._gate = Gate(False)
        self._allow = Allow(frozenset())
        self._forget: Forget | None = None
        self._may_know_voices = False
        self._hears = False  # something has been heard at all
        self._sound_heard = False  # the microphone has given more than zeros
        self._told_lost = False
        self._started = False
        self._watch = SourceWatch(lambda: self.pid, self._moved, self._silenced)
        self._muted = False
        self._from_child: PartLost | PartBack | None = None  # of the microphone
        self._ready = threading.Event()
        self._over = False
        self._lost: set[Part] = set()  # as the children told, the microphone apart
        self._dropped_before = (0, 0)  # samples, messages: by the children that are gone
        self.level = -120.0  # dBFS, for a meter
        self.position: Seconds = 0.0  # of the audio
        self.counters = Counters()
        self.microphone: PartLost | PartBack | None = None  # None: not known yet
        self.last_error: FacilitatorError | None = None
        self.confinement: Confinement | None = None  # of the child; None until it has told

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return self._supervisor.pid

    @property
    def restarts(self) -> int:
        """Children started after the first."""
        return self._supervisor.restarts

    @property
    def dropped(self) -> int:
        """Messages that a full queue or the check on arrival refused."""
        return self.counters.dropped_messages + self._supervisor.refused

    def start(self) -> None:
        """Start listening. Returns at once; `wait_ready` waits until the first sound was looked at.

        Raises FacilitatorError for a file that cannot be heard; a missing microphone is a PartLost.
        """
        if self._started:
            raise RuntimeError("a hearing process is started once")
        if isinstance(self._source, File):
            child.make_source(self._source, self._settings).close()
        self._started = True
        self._supervisor.start()
        if isinstance(self._source, Microphone):
            self._watch.start()

    def wait_ready(self, seconds: float = LIMITS.start) -> bool:
        """True as soon as the child has given its first sign of life."""
        return self._ready.wait(seconds)

    def send(self, control: Listen | Forget) -> None:
        """Pass on what the session wants. Remembered, so that a restarted child knows it too.

        Forgetting ends the child, and another takes its place: copies that libraries have made of a
        voiceprint lie where nobody can overwrite them for certain (pieces were found a minute later), and go
        with it.
        """
        with self._lock:
            if isinstance(control, Listen):
                self._listen = control
                self._may_know_voices |= control.enrol or control.learn_others or control.decide
            elif control.for_good:
                self._forget = control
            if isinstance(control, Listen) or not self._may_know_voices:
                self._supervisor.send(control)
                return
            self._may_know_voices = False
            self._supervisor.renew()
            if self._hears:  # until the next one does, nobody knows whether somebody speaks
                self._tell(SpeakerChanged(SpeakerState.UNSURE))

    def gate(self, closed: bool) -> None:
        """Nothing heard between closing and opening (and a tail after it) is a person's."""
        with self._lock:
            self._gate = Gate(closed)
            self._supervisor.send(self._gate)

    def allow(self, actions: frozenset[Action]) -> None:
        """These can be asked for by voice from now on."""
        with self._lock:
            self._allow = Allow(actions)
            self._supervisor.send(self._allow)

    def stop(self, limit_seconds: float = 3.0) -> None:
        """Wipe the voices and end the child; killed if it does not obey. Never hangs, may be called twice."""
        self._supervisor.close(Stop(), limit_seconds)
        self._watch.stop()

    # ------------------------------------------------------------ in the supervisor's thread

    def setup(self) -> tuple[Control, tuple[bytes, ...]]:
        """See `Hooks`: a child goes on where the one before it was."""
        source, attached = self._source, tuple[bytes, ...]()
        if isinstance(source, Array):
            attached = (np.ascontiguousarray(source.samples, np.float32).tobytes(),)
        given = Samples(source.paced) if isinstance(source, Array) else source
        setup = Setup(given, self._settings, self.position, self._models, self._commands, self._sound_heard)
        return setup, attached

    def launched(self) -> None:
        """See `Hooks`. Its memory is empty: what the session wants has to be said again."""
        with self._lock:
            listen = None if self._listen is None else replace(self._listen, new_presenter=False)
            for control in (self._forget, listen, self._allow, self._gate if self._gate.closed else None):
                if control is not None:
                    self._supervisor.send(control)

    def is_life(self, report: Report) -> bool:
        """See `Hooks`: before the first beat the models are still being read."""
        return isinstance(report, child.Beat)

    def came_alive(self) -> None:
        """See `Hooks`."""
        self._ready.set()
        if self._told_lost:
            self._told_lost = False
            self._tell(EnrolmentChanged(Enrolment.NONE))
            self._tell(PartBack(Part.HEARING))

    def lost(self, ending: Ending, *, was_alive: bool, failures: int) -> bool:
        """See `Hooks`. Given up is only what stays as it is: a microphone may be plugged in again."""
        del ending
        if failures == 1 or was_alive:
            self._told_lost = True
            self._tell(PartLost(Part.HEARING))
        self.level = -120.0
        self._dropped_before = (self.counters.dropped_samples, self.counters.dropped_messages)
        return failures <= len(LIMITS.again) or isinstance(self._source, Microphone)

    def told(self, report: Report) -> None:
        """See `Hooks`."""
        match report:
            case PartLost(Part.MICROPHONE) | PartBack(Part.MICROPHONE):
                with self._lock:
                    self._from_child = report
                    self._tell_of_microphone()
            case PartLost(part):  # every new child tells what it lacks, and what it has
                if part not in self._lost:
                    self._lost.add(part)
                    self._tell(report)
            case PartBack(part):
                if part in self._lost:
                    self._lost.discard(part)
                    self._tell(report)
            case child.Beat(level, position, dropped_samples, dropped_messages):
                self.level, self.position = level, position
                self._sound_heard = self._sound_heard or level > _SOUND_DBFS
                samples_before, messages_before = self._dropped_before
                self.counters.dropped_samples = samples_before + dropped_samples
                self.counters.dropped_messages = messages_before + dropped_messages
            case child.Confined(confinement):
                if self.confinement is None and confinement.lacking:
                    self._tell(SafeguardsMissing())
                self.confinement = confinement
            case child.Failed():
                self._failed(report)
            case child.SourceOver():
                if not self._over:
                    self._over = True
                    self._on_end()
            case _:
                self._hears = self._hears or isinstance(report, SpeakerChanged)
                self._tell(report)

    def _failed(self, failure: child.Failed) -> None:
        self.last_error = FacilitatorError(failure.code, failure.message, failure.hint)
        self.counters.errors[failure.code] = self.counters.errors.get(failure.code, 0) + 1

    def _tell(self, event: Event | SafeguardsMissing) -> None:
        if not self._supervisor.closing:
            self._on_event(event)

    # ------------------------------------------------------------ in the thread that watches the source

    def _moved(self) -> None:
        self._supervisor.send(Moved())

    def _silenced(self, muted: bool) -> None:
        if muted:
            self._failed(_MUTED)
        with self._lock:
            self._muted = muted
            self._tell_of_microphone()

    def _tell_of_microphone(self) -> None:
        """With the lock held: what the child and the sound server say of it, as one."""
        if self._from_child is None:
            return
        before, now = self.microphone, self._from_child
        if self._muted and isinstance(now, PartBack):
            now = PartLost(Part.MICROPHONE, MicrophoneFault.MUTED)
        self.microphone = now
        if isinstance(now, PartLost) and now != before:
            self._tell(now)
        elif isinstance(before, PartLost) and now != before:
            self._tell(now)
            self._supervisor.send(SayAgain())
