"""The parent's handle on the hearing process: starts it, reads its events, and replaces it when it dies.

A library that hangs or crashes takes only the child with it: the session hears one PartLost and, a moment
later, one PartBack.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing import child
from voice_facilitator.hearing.child import (
    Allow,
    Array,
    File,
    Gate,
    Microphone,
    Moved,
    SayAgain,
    Source,
    Stop,
)
from voice_facilitator.hearing.command_engines import CommandSetup, chosen
from voice_facilitator.hearing.source_watch import SourceWatch
from voice_facilitator.interrupts import deaf_to_interrupts
from voice_facilitator.privacy.confinement import Confinement
from voice_facilitator.privacy.memory import wiping_allocator
from voice_facilitator.resources import ONE_THREAD
from voice_facilitator.session.events import (
    Action,
    Enrolment,
    EnrolmentChanged,
    Forget,
    Input,
    Listen,
    MicrophoneFault,
    NotUnderstood,
    Part,
    PartBack,
    PartLost,
    PresenterEvidence,
    Request,
    SafeguardsMissing,
    Seconds,
    SpeakerChanged,
)
from voice_facilitator.settings import HearingSettings

__all__ = ["Array", "Counters", "File", "HearingProcess", "Microphone", "Source"]

_START_SECONDS = 60.0  # a slow small computer reading its models from a card
_HANG_SECONDS = 8.0  # without a sign of life
_BACKOFF_SECONDS = (0.2, 1.0, 3.0, 10.0, 30.0)
_WEDGED_SECONDS = (
    1.0  # a sound system that hung may be back at any time, and people wait for their microphone
)
_STEADY_SECONDS = 300.0  # having run so long, a crash counts as the first one again
_MAY_CROSS = (SpeakerChanged, PresenterEvidence, EnrolmentChanged, PartLost, PartBack, Request, NotUnderstood)


_MUTED = FacilitatorError(
    "microphone-muted",
    "The microphone is muted.",
    "Unmute it: by a button on it or on the keyboard, or in the computer's sound settings.",
)


@dataclass(slots=True)
class Counters:
    """What went wrong so far."""

    restarts: int = 0
    dropped_samples: int = 0
    dropped_messages: int = 0
    refused_messages: int = 0  # of a kind that may not leave the hearing
    errors: dict[str, int] = field(default_factory=dict)  # by code


class HearingProcess:
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
        self._lock = threading.Lock()
        self._listen: Listen | None = None
        self._gate = Gate(False)
        self._allow = Allow(frozenset())
        self._forget: Forget | None = None
        self._process: Any = None
        self._controls: Connection | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._watch = SourceWatch(lambda: self.pid, self._moved, self._silenced)
        self._muted = False
        self._from_child: PartLost | PartBack | None = None  # of the microphone
        self._ready = threading.Event()
        self._over = False
        self._lost: set[Part] = set()  # as the children told
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
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    def start(self) -> None:
        """Start listening. Returns at once; `wait_ready` waits until the first sound was looked at.

        Raises FacilitatorError for a file that cannot be heard; a missing microphone is a PartLost.
        """
        if self._thread is not None:
            raise RuntimeError("a hearing process is started once")
        if not isinstance(self._source, Microphone):
            child.make_source(self._source, self._settings).close()
        self._thread = threading.Thread(target=self._supervise, name="hearing", daemon=True)
        self._thread.start()
        if isinstance(self._source, Microphone):
            self._watch.start()

    def wait_ready(self, seconds: float = _START_SECONDS) -> bool:
        """True as soon as the child has given its first sign of life."""
        return self._ready.wait(seconds)

    def send(self, control: Listen | Forget) -> None:
        """Pass on what the session wants. Remembered, so that a restarted child knows it too."""
        with self._lock:
            if isinstance(control, Listen):
                self._listen = control
            elif control.for_good:
                self._forget = control
            self._pass_on(control)

    def gate(self, closed: bool) -> None:
        """Nothing heard between closing and opening (and a tail after it) is a person's."""
        with self._lock:
            self._gate = Gate(closed)
            self._pass_on(self._gate)

    def allow(self, actions: frozenset[Action]) -> None:
        """These can be asked for by voice from now on."""
        with self._lock:
            self._allow = Allow(actions)
            self._pass_on(self._allow)

    def stop(self, limit_seconds: float = 3.0) -> None:
        """Wipe the voices and end the child; killed if it does not obey. Never hangs, may be called twice."""
        self._stopping.set()
        with self._lock:
            self._pass_on(Stop())
            process = self._process
        if process is not None:
            process.join(limit_seconds)
        self._kill()
        self._watch.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(limit_seconds)

    # ------------------------------------------------------------ in our thread

    def _supervise(self) -> None:
        crashes = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            healthy = wedged = False
            with contextlib.suppress(OSError):  # a crowded machine may have no room for a process just now
                healthy = self._read(self._launch())
                wedged = self._kill()
            if self._stopping.is_set():
                break
            if crashes == 0 or healthy:
                self._tell(PartLost(Part.HEARING))
            self.level = -120.0
            counters = self.counters
            self._dropped_before = (counters.dropped_samples, counters.dropped_messages)
            crashes = 1 if time.monotonic() - started > _STEADY_SECONDS else crashes + 1
            if crashes > len(_BACKOFF_SECONDS) and not isinstance(self._source, Microphone):
                break  # a file stays what it is, a microphone may be plugged in again
            counters.restarts += 1
            wait = _BACKOFF_SECONDS[min(crashes, len(_BACKOFF_SECONDS)) - 1]
            self._stopping.wait(min(wait, _WEDGED_SECONDS) if wedged else wait)

    def _launch(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        controls_out, self_controls = context.Pipe(duplex=False)
        self_messages, messages_in = context.Pipe(duplex=False)
        setup = child.Setup(self._source, self._settings, self.position, self._models, self._commands)
        process = context.Process(
            target=child.run,
            name="voice-facilitator-hearing",
            args=(controls_out, messages_in, setup),
            daemon=True,
        )
        with _environment_of_a_child():
            process.start()
        controls_out.close()
        messages_in.close()
        with self._lock:
            self._process, self._controls = process, self_controls
            # Its memory is empty: what the session wants has to be said again.
            for control in (
                self._forget,
                self._listen,
                self._allow,
                self._gate if self._gate.closed else None,
            ):
                if isinstance(control, Listen):
                    self._pass_on(replace(control, new_presenter=False))
                elif control is not None:
                    self._pass_on(control)
            if self._stopping.is_set():
                self._pass_on(Stop())
        return self_messages

    def _read(self, messages: Connection) -> bool:
        """Read until the child ends or hangs. True if it was ever alive."""
        alive = False
        quiet_until = time.monotonic() + _START_SECONDS
        with messages:
            while True:
                try:
                    if messages.poll(0.2):
                        message = messages.recv()
                    elif time.monotonic() > quiet_until:
                        return alive
                    else:
                        continue
                except Exception:  # noqa: BLE001  # its end, or half a message: in any case it is of no use now
                    return alive
                if isinstance(message, child.Beat) and not alive:
                    alive = True
                    self._came_alive()
                if alive:
                    quiet_until = time.monotonic() + _HANG_SECONDS
                self._take(message)

    def _came_alive(self) -> None:
        self._ready.set()
        if self.counters.restarts:
            self._tell(EnrolmentChanged(Enrolment.NONE))
            self._tell(PartBack(Part.HEARING))

    def _take(self, message: child.Message) -> None:
        match message:
            case child.Heard(event=(PartLost(Part.MICROPHONE) | PartBack(Part.MICROPHONE)) as event):
                with self._lock:
                    self._from_child = event
                    self._tell_of_microphone()
            case child.Heard(event=PartLost(part) as event):
                self._lost.add(part)
                self._tell(event)
            case child.Heard(event=PartBack(part) as event):
                if part in self._lost:  # every new child tells what it has
                    self._lost.discard(part)
                    self._tell(event)
            case child.Heard(event=event) if isinstance(event, _MAY_CROSS):
                self._tell(event)
            case child.Beat(level, position, dropped_samples, dropped_messages):
                self.level, self.position = level, position
                samples_before, messages_before = self._dropped_before
                self.counters.dropped_samples = samples_before + dropped_samples
                self.counters.dropped_messages = messages_before + dropped_messages
            case child.Confined(confinement):
                if self.confinement is None and confinement.lacking:
                    self._tell(SafeguardsMissing())
                self.confinement = confinement
            case child.Failed(error):
                self._failed(error)
            case child.SourceOver():
                if not self._over:
                    self._over = True
                    self._on_end()
            case _:
                self.counters.refused_messages += 1

    def _moved(self) -> None:
        with self._lock:
            self._pass_on(Moved())

    def _silenced(self, muted: bool) -> None:
        if muted:
            self._failed(_MUTED)
        with self._lock:
            self._muted = muted
            self._tell_of_microphone()

    def _failed(self, error: FacilitatorError) -> None:
        self.last_error = error
        self.counters.errors[error.code] = self.counters.errors.get(error.code, 0) + 1

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
            self._pass_on(SayAgain())

    def _tell(self, event: Input) -> None:
        if not self._stopping.is_set():
            self._on_event(event)

    def _pass_on(self, control: child.Control) -> None:
        if self._controls is not None:
            with contextlib.suppress(OSError, ValueError):  # it just died: the next one is told at its start
                self._controls.send(control)

    def _kill(self) -> bool:
        """End the child. True: the sound system was what hung."""
        with self._lock:
            process, controls = self._process, self._controls
            self._process = self._controls = None
        if controls is not None:
            controls.close()
        if process is not None:
            hung: bool = process.is_alive() and not process.join(0.2) and process.is_alive()
            if hung:
                process.kill()
            process.join(2)
            return hung or bool(process.exitcode == child.EXIT_WEDGED)
        return False


@contextlib.contextmanager
def _environment_of_a_child() -> Iterator[None]:
    """For the moment of starting a child.

    It inherits single-threaded matrices, an allocator that overwrites what is freed, and deafness to Ctrl-C.
    """
    wanted = dict.fromkeys(ONE_THREAD, "1") | wiping_allocator(dict(os.environ))
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        with deaf_to_interrupts():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
