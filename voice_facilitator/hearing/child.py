"""The hearing process itself: everything here runs in the child, where audio lives and dies.

What leaves is one of `REPORTS`: events with a closed set of fields, a level, counters, an error. Nothing that
anybody said fits in there.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files.settings import HearingSettings
from voice_facilitator.hearing.commands.command_engines import CommandSetup, load_listener
from voice_facilitator.hearing.commands.commands import CommandListener
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.sound.microphone import MicrophoneSource, MicrophoneWedgedError
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.sound.source import ArraySource, AudioSource, FileSource
from voice_facilitator.hearing.who.voice_model import VoiceModel, load_voice_model
from voice_facilitator.machine import soundcard
from voice_facilitator.machine.child_process import EXIT_WEDGED, Pipes
from voice_facilitator.machine.messages import Codec
from voice_facilitator.privacy.confinement import Confinement, confine, harden
from voice_facilitator.privacy.memory import loading_models, wipe_all
from voice_facilitator.session.events import (
    Action,
    EnrolmentChanged,
    Forget,
    Listen,
    MicrophoneFault,
    NotUnderstood,
    Part,
    PartBack,
    PartLost,
    PresenterEvidence,
    Request,
    Seconds,
    SpeakerChanged,
)

_BEAT_SECONDS = 0.2
_OUTBOX = 512  # messages; a parent that does not read for minutes loses events, and they are counted
_LONGEST_ARRAY = 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Microphone:
    """Listen to the room. `name`: part of the device's name; empty is the default one."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """Listen to a recording, in real time if `paced`."""

    path: Path
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Samples:
    """Listen to the samples that follow the setup (float32 [n], 16 kHz mono), in real time if `paced`."""

    paced: bool
    samples_follow: bool = True


Source = Microphone | File | Samples


@dataclass(frozen=True, slots=True)
class Setup:
    """What a child is to do. `models`: where the models lie, if not in the usual place.

    `sound_heard`: the microphone has given sound to a child before this one, so that zeros are silence now.
    """

    source: Source
    settings: HearingSettings
    start_seconds: Seconds
    models: Path | None
    commands: CommandSetup | None = None
    sound_heard: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """We are speaking (`closed`), or have stopped."""

    closed: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Wipe everything and end."""


@dataclass(frozen=True, slots=True)
class Allow:
    """What can be asked for by voice from now on."""

    actions: frozenset[Action]


@dataclass(frozen=True, slots=True)
class Moved:
    """The sound server has put another source in the place of the microphone."""


@dataclass(frozen=True, slots=True)
class SayAgain:
    """Who is heard has to be said anew: the session has not believed the last answer."""


Control = Setup | Listen | Forget | Gate | Allow | Moved | SayAgain | Stop
CONTROLS: Codec[Control] = Codec(Setup, Listen, Forget, Gate, Allow, Moved, SayAgain, Stop)


@dataclass(frozen=True, slots=True)
class Beat:
    """Sign of life. `level`: dBFS of the last 32 ms. `dropped`: samples and messages lost so far."""

    level: float
    position: Seconds
    dropped_samples: int
    dropped_messages: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Something the user can act on, as in FacilitatorError; the process goes on if it can."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class SourceOver:
    """The recording has come to its end."""


@dataclass(frozen=True, slots=True)
class Confined:
    """What the system holds this process to, told once at its start."""

    confinement: Confinement


# What the session may be told: who is heard and what is asked for, never what was said.
Event = SpeakerChanged | PresenterEvidence | EnrolmentChanged | PartLost | PartBack | Request | NotUnderstood
Report = Event | Beat | Failed | SourceOver | Confined
REPORTS: Codec[Report] = Codec(
    SpeakerChanged,
    PresenterEvidence,
    EnrolmentChanged,
    PartLost,
    PartBack,
    Request,
    NotUnderstood,
    Beat,
    Failed,
    SourceOver,
    Confined,
)


def make_source(
    source: Source,
    settings: HearingSettings,
    start_seconds: Seconds = 0.0,
    samples: Floats | None = None,
    *,
    sound_heard: bool = False,
) -> AudioSource:
    """Open what is to be listened to. Raises FacilitatorError for bad files.

    samples: those that followed `Samples`. sound_heard: see `Setup`.
    """
    match source:
        case Microphone(name):
            silent = settings.silent_microphone_seconds
            return MicrophoneSource(name, silent_seconds=silent, sound_heard=sound_heard)
        case File(path, paced):
            return FileSource(path, paced=paced, start_seconds=start_seconds)
        case Samples(paced):
            assert samples is not None
            return ArraySource(samples, paced=paced, start_seconds=start_seconds)


class _Outbox:
    """Sends from a thread of its own, so that a slow parent cannot hold up the sound."""

    def __init__(self, pipes: Pipes[Control, Report]) -> None:
        self._pipes = pipes
        self._queue: queue.Queue[Report | None] = queue.Queue(_OUTBOX)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="hearing-outbox", daemon=True)
        self._thread.start()

    def put(self, report: Report) -> None:
        try:
            self._queue.put_nowait(report)
        except queue.Full:
            self.dropped += 1

    def fail(self, error: FacilitatorError) -> None:
        self.put(Failed(error.code, error.message, error.hint))

    def _run(self) -> None:
        while (report := self._queue.get()) is not None:
            self._pipes.send(REPORTS, report)

    def close(self) -> None:
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=1)
        self._thread.join(1)


def run(pipes: Pipes[Control, Report]) -> None:
    """The child's main function."""
    setup = pipes.receive(CONTROLS)
    assert isinstance(setup, Setup)
    samples = None
    if isinstance(setup.source, Samples):
        samples = np.frombuffer(pipes.receive_bytes(_LONGEST_ARRAY), np.float32)
    confinement = _give_up_rights(setup.source)
    outbox = _Outbox(pipes)
    outbox.put(Confined(confinement))
    code = 0
    try:
        _listen(pipes, outbox, setup, samples)
    except MicrophoneWedgedError as error:
        outbox.fail(error)
        code = EXIT_WEDGED
    except FacilitatorError as error:
        outbox.fail(error)
        code = 1
    except Exception as error:  # noqa: BLE001  # its message might hold what it should not: only the kind leaves
        kind = type(error).__name__
        outbox.put(Failed("hearing-broken", f"The hearing broke ({kind}).", "It starts again."))
        code = 1
    outbox.close()
    os._exit(code)  # threads of the sound system can hang an ordinary exit


def _listen(pipes: Pipes[Control, Report], outbox: _Outbox, setup: Setup, samples: Floats | None) -> None:
    start = setup.start_seconds
    with loading_models():
        hearing = _make_hearing(setup, outbox)
    audio = make_source(setup.source, setup.settings, start, samples, sound_heard=setup.sound_heard)
    inbox = _Inbox(pipes)
    told: PartLost | PartBack | None = None  # of the microphone
    error_told = ""
    next_beat = 0.0
    try:
        for block in _until_stopped(audio, inbox, hearing):
            for _, found in hearing.steps(block):
                for event in found:
                    assert isinstance(event, Event)
                    outbox.put(event)
            if isinstance(audio, MicrophoneSource) and (audio.lost or len(block) > 0):
                state = _state_of(audio)
                if state != told:  # the reason may change while it is lost: first absent, then mute
                    if type(state) is not type(told):
                        hearing.say_again()
                    outbox.put(state)
                told = state
                if audio.error is not None and audio.error.code != error_told:
                    outbox.fail(audio.error)
                error_told = audio.error.code if audio.error is not None else ""
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + _BEAT_SECONDS
                dropped = audio.dropped if isinstance(audio, MicrophoneSource) else 0
                outbox.put(Beat(round(hearing.level, 1), start + hearing.time, dropped, outbox.dropped))
        if not inbox.stopped:
            outbox.put(SourceOver())
            while not inbox.stopped:  # stay, so that the end is not mistaken for a crash
                inbox.apply(hearing)
                outbox.put(Beat(-120.0, start + hearing.time, 0, outbox.dropped))
                time.sleep(_BEAT_SECONDS)
    finally:
        hearing.forget(for_good=True)
        audio.close()
        wipe_all()


def _state_of(microphone: MicrophoneSource) -> PartLost | PartBack:
    if not microphone.lost:
        return PartBack(Part.MICROPHONE)
    code = microphone.error.code.removeprefix("microphone-") if microphone.error is not None else ""
    known = code in set(MicrophoneFault)
    return PartLost(Part.MICROPHONE, MicrophoneFault(code) if known else MicrophoneFault.GONE)


def _until_stopped(audio: AudioSource, inbox: _Inbox, hearing: Hearing) -> Iterator[Floats]:
    for block in audio.blocks():
        forgotten = inbox.apply(hearing)
        if forgotten and isinstance(audio, MicrophoneSource):
            audio.renew()
        if inbox.take_moved() and isinstance(audio, MicrophoneSource):
            audio.moved()
        if inbox.stopped:
            return
        if not forgotten:  # else it was heard before
            yield block


def _make_hearing(setup: Setup, outbox: _Outbox) -> Hearing:
    settings = setup.settings
    commands = _make_commands(setup, outbox)
    try:
        model: VoiceModel | None = load_voice_model(settings, setup.models)
    except FacilitatorError as error:
        outbox.fail(error)
        outbox.put(PartLost(Part.VOICE_MODEL))
        model = None
    else:
        outbox.put(PartBack(Part.VOICE_MODEL))
    if model is None:
        return Hearing(settings, None, commands=commands)
    return Hearing(settings, model, commands)


def _make_commands(setup: Setup, outbox: _Outbox) -> CommandListener | None:
    if setup.commands is None:
        return None
    try:
        return load_listener(setup.commands, setup.settings.speech_hold_seconds, setup.models)
    except FacilitatorError as error:
        outbox.fail(error)
        outbox.put(PartLost(Part.COMMANDS))
        return None


class _Inbox:
    """Controls from the parent, taken up between two blocks. The parent's end means stop."""

    def __init__(self, pipes: Pipes[Control, Report]) -> None:
        self._queue: queue.Queue[Control] = queue.Queue(256)
        self._pipes = pipes
        self.stopped = False
        self._moved = False
        threading.Thread(target=self._run, name="hearing-inbox", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._queue.put(self._pipes.receive(CONTROLS))

    def apply(self, hearing: Hearing) -> bool:
        """Do what came. True: the voices were forgotten."""
        forgotten = False
        while not self._queue.empty():
            match self._queue.get():
                case Listen() as effect:
                    hearing.listen(effect)
                case Forget(for_good=for_good):
                    hearing.forget(for_good)
                    forgotten = True
                case Gate(closed):
                    hearing.gate(closed)
                case Allow(actions):
                    hearing.allow(actions)
                case Moved():
                    self._moved = True
                case SayAgain():
                    hearing.say_again()
                case Stop():
                    self.stopped = True
        return forgotten

    def take_moved(self) -> bool:
        """Whether the microphone was replaced since this was last asked."""
        moved, self._moved = self._moved, False
        return moved


def _give_up_rights(source: Source) -> Confinement:
    """Before anything is heard: from here on this process cannot write a file or reach a network."""
    harden()
    microphone = isinstance(source, Microphone)
    if microphone:
        soundcard.silence_native_noise()
        with contextlib.suppress(FacilitatorError):  # it is told when the microphone is opened
            soundcard.load()
    return confine(sound_server=microphone)
