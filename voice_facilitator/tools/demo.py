"""The demo: a whole session with synthetic voices through the same parts as a live room."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from rich.console import Console

from voice_facilitator.app.conductor import Sink
from voice_facilitator.app.live import LiveSession
from voice_facilitator.app.report import Report
from voice_facilitator.app.setting_up import policy_of
from voice_facilitator.display.terminal import make_screen
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import Settings
from voice_facilitator.hearing.process import Array, HearingProcess
from voice_facilitator.hearing.sound.samples import RATE
from voice_facilitator.hearing.who.voice_model import load_voice_model
from voice_facilitator.machine import soundcard
from voice_facilitator.machine.interrupts import noted
from voice_facilitator.machine.outlet import Outlet
from voice_facilitator.session import Session
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Seconds
from voice_facilitator.speaking.engine import engine_for
from voice_facilitator.speaking.process import SpeakingProcess
from voice_facilitator.tools import demo_room
from voice_facilitator.tools.demo_room import DemoRoom
from voice_facilitator.tools.loudspeaker import Loudspeaker

# A demo has no time to wait for chairs; everything else is as in a live session.
_DEMO_QUIET_START_SECONDS = 2.0
_CHIME_SECONDS = 2.0  # chime, breath and the start of the speaker


def run(
    settings: Settings,
    console: Console,
    *,
    silent: bool = False,
    sinks: Sequence[Sink] = (),
    outlets: Sequence[Outlet] = (),
) -> ExitCode:
    """Play the demo. `silent`: make no sound even if there is a speaker.

    Returns FAILED if the presenter's intrusion was not noticed. Raises FacilitatorError (model, voices).
    """
    load_voice_model(settings.hearing)  # before a minute is spent on anything else
    heard = not silent and _speaker_there(settings, console)
    wording = protocols.load_wording("en-gb")
    length = _announcement_seconds(settings)
    room = _build(settings, console, wording_length=length)
    console.print(
        f"Demo room: {len(set(room.voices))} synthetic voices, {len(room.samples) / RATE:.0f} s. "
        "The first one presents.",
        highlight=False,
    )
    reminders = settings.reminders.model_copy(update={"quiet_start_seconds": _DEMO_QUIET_START_SECONDS})
    demo_settings = settings.model_copy(update={"reminders": reminders})
    session = Session(room.protocol, wording, policy_of(demo_settings), ())
    report = Report(room.protocol)
    watcher = _Watcher()
    started = threading.Event()
    loudspeaker = Loudspeaker(room.samples, RATE, settings.speaking.speaker) if heard else None

    def first_sound(t: Seconds, item: ev.Input | ev.Effect) -> None:
        if isinstance(item, ev.SpeakerChanged) and not started.is_set():
            started.set()
            watcher.zero = t
            if loudspeaker is not None:
                loudspeaker.start()

    live = LiveSession(
        session,
        lambda put: HearingProcess(Array(room.samples, paced=True), settings.hearing, put),
        lambda put: SpeakingProcess(settings.speaking, put) if heard else _Silence(settings, put, length),
        make_screen(console, protocols.load_phrases(room.protocol.language)),
        [first_sound, report, watcher, *sinks],
        sentences=protocols.sentences_of(room.protocol, wording, ()),
        begin_after_seconds=0.0,
        outlets=outlets,
    )
    with noted():
        try:
            code = live.run()
        finally:
            if loudspeaker is not None:
                loudspeaker.stop()
    console.print(report.as_table())
    if code is not ExitCode.OK:
        return code
    return _verdict(console, watcher, room)


def _speaker_there(settings: Settings, console: Console) -> bool:
    try:
        soundcard.find(settings.speaking.speaker, "output")
    except FacilitatorError as error:
        console.print(f"No sound: {error.message} The demo goes on without.", highlight=False)
        return False
    return True


def _announcement_seconds(settings: Settings) -> Callable[[str], Seconds]:
    """How long saying a sentence takes: measured on one, so that another voice or speed fits too."""
    sample = "You have five minutes for questions of fact."
    try:
        rate = engine_for(settings.speaking).render(sample).seconds / len(sample)
    except FacilitatorError:
        rate = 1 / 14.0  # chimed only; people need the time to read
    return lambda text: _CHIME_SECONDS + rate * len(text)


def _build(settings: Settings, console: Console, *, wording_length: Callable[[str], Seconds]) -> DemoRoom:
    wording = protocols.load_wording("en-gb")
    with console.status("Rendering the demo room ...") as status:

        def progress(done: int, total: int) -> None:
            status.update(f"Rendering the demo room ... {done} of {total} turns")

        return demo_room.build(settings.speaking, wording, wording_length, progress)


class _Silence(SpeakingProcess):
    """Makes no sound, and takes as long for each announcement as saying it would."""

    def __init__(
        self, settings: Settings, on_event: Callable[[ev.Input], None], length: Callable[[str], Seconds]
    ) -> None:
        super().__init__(settings.speaking, on_event)
        self._tell_session, self._length = on_event, length
        self._saying: threading.Timer | None = None
        self._number = 0

    def start(
        self, texts_to_prepare: list[str], on_progress: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        on_progress(len(texts_to_prepare), len(texts_to_prepare))

    def say(self, number: int, text: str, *, chime: bool = True, voice: bool = True) -> None:
        self._tell_session(ev.AnnouncementStarted(number))
        over = ev.AnnouncementFinished(number, ev.Outcome.SPOKEN)
        seconds = self._length(text) if voice else _CHIME_SECONDS
        self._number, self._saying = number, threading.Timer(seconds, self._tell_session, [over])
        self._saying.daemon = True
        self._saying.start()

    def stop(self) -> None:
        if self._saying is not None:
            self._saying.cancel()
            self._tell_session(ev.AnnouncementFinished(self._number, ev.Outcome.STOPPED))

    def close(self) -> None:
        if self._saying is not None:
            self._saying.cancel()


class _Watcher:
    """Notes when a reminder was shown, in seconds of the room's sound."""

    def __init__(self) -> None:
        self.zero: Seconds = 0.0
        self.reminders: list[Seconds] = []

    def __call__(self, t: Seconds, item: ev.Input | ev.Effect) -> None:
        if isinstance(item, ev.Reminded):
            self.reminders.append(t - self.zero)


def _verdict(console: Console, watcher: _Watcher, room: DemoRoom) -> ExitCode:
    begin, end = room.intrusion
    noticed = [t - begin for t in watcher.reminders if begin <= t <= end + 3]
    wrong = len(watcher.reminders) - len(noticed)
    if not noticed:
        console.print("The presenter's words in the discussion were not noticed.", highlight=False)
        return ExitCode.FAILED
    console.print(
        f"The presenter spoke in the discussion; the screen said so {noticed[0]:.1f} s later"
        f"{'' if not wrong else f', and {wrong} time(s) for nothing'}.",
        highlight=False,
    )
    return ExitCode.OK
