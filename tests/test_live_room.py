"""A live session over the virtual sound card: the microphone moves it, its announcements are heard."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from tests.support import demo_room, processes
from tests.support.virtual_room import Heard, VirtualRoom
from voice_facilitator.app.conductor import Sink
from voice_facilitator.app.live import LiveSession
from voice_facilitator.app.setting_up import new_session
from voice_facilitator.errors import ExitCode
from voice_facilitator.files import protocols
from voice_facilitator.hearing.process import HearingProcess, Microphone
from voice_facilitator.session import View
from voice_facilitator.session import events as ev
from voice_facilitator.session.protocol import Protocol
from voice_facilitator.speaking.process import SpeakingProcess

pytestmark = pytest.mark.room


class RememberingScreen:
    """A screen that keeps what it was shown."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self.running = False

    def start(self) -> None:
        self.running = True

    def update(self, view: View, level_dbfs: float | None) -> None:
        del level_dbfs
        self.views.append(view)

    def stop(self) -> None:
        self.running = False


class Diary:
    """A sink that notes everything with the time of time.monotonic()."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, ev.Input | ev.Effect]] = []

    def __call__(self, t: float, item: ev.Input | ev.Effect) -> None:
        self.entries.append((time.monotonic(), item))

    def when(self, kind: type, **fields: object) -> list[float]:
        return [
            at
            for at, item in self.entries
            if isinstance(item, kind) and all(getattr(item, k) == v for k, v in fields.items())
        ]


def live(
    room: VirtualRoom, protocol: Protocol, sinks: Sequence[Sink]
) -> tuple[LiveSession, RememberingScreen]:
    settings = demo_room.impatient()
    screen = RememberingScreen()
    session = LiveSession(
        new_session(settings, protocol),
        lambda put: HearingProcess(Microphone(room.microphone), settings.hearing, put),
        lambda put: SpeakingProcess(settings.speaking.model_copy(update={"speaker": room.speaker}), put),
        screen,
        sinks,
        sentences=protocols.sentences_of(protocol, protocols.load_wording("en-gb"), ()),
        begin_after_seconds=0.0,
        keys=False,
    )
    return session, screen


def short_protocol(grace_seconds: float) -> Protocol:
    """Welcome, story and close: half a minute in all."""
    whole = demo_room.room().protocol
    seconds = {"welcome": 8.0, "story": 9.0, "close": 10.0}
    phases = tuple(
        dataclasses.replace(phase, seconds=seconds[phase.name], grace_seconds=grace_seconds)
        for phase in whole.phases
        if phase.name in seconds
    )
    return dataclasses.replace(whole, phases=phases)


@pytest.fixture(scope="module")
def run_once(_open_room: VirtualRoom) -> tuple[Diary, RememberingScreen, Heard, list[float], ExitCode]:
    """One session in which the presenter talks past the end of the story."""
    demo_room.needs_encoder()
    diary, spoken = Diary(), []

    def presenter_speaks(_t: float, item: ev.Input | ev.Effect) -> None:
        if isinstance(item, ev.PhaseEntered) and item.name == "story":

            def speak() -> None:
                time.sleep(3.5)  # after the announcement
                story = (demo_room.story(8.0) * 32767).astype(np.int16)
                _open_room.play_into_microphone(story, 16_000)
                spoken.append(time.monotonic())

            threading.Thread(target=speak, daemon=True).start()

    session, screen = live(_open_room, short_protocol(grace_seconds=12), [diary, presenter_speaks])
    with _open_room.listening() as heard:
        code = session.run()
    return diary, screen, heard, spoken, code


def test_the_session_runs_to_its_end(
    run_once: tuple[Diary, RememberingScreen, Heard, list[float], ExitCode],
) -> None:
    diary, screen, _, _, code = run_once
    assert code is ExitCode.OK
    names = [item.name for _, item in diary.entries if isinstance(item, ev.PhaseEntered)]
    assert names == ["welcome", "story", "close"]
    assert diary.when(ev.Ended, reason="planned")
    assert not screen.running


def test_speech_holds_up_the_change_until_a_gap(
    run_once: tuple[Diary, RememberingScreen, Heard, list[float], ExitCode],
) -> None:
    diary, _, _, spoken, _ = run_once
    (speech_over,) = spoken
    (story_began,) = diary.when(ev.PhaseEntered, name="story")
    (close_began,) = diary.when(ev.PhaseEntered, name="close")
    assert close_began > story_began + 9.0 + 1.0  # later than planned
    assert speech_over + 0.8 < close_began < speech_over + 8.0  # pacat returns a little after the sound


def test_every_announcement_is_heard_at_the_speaker(
    run_once: tuple[Diary, RememberingScreen, Heard, list[float], ExitCode],
) -> None:
    diary, _, heard, _, _ = run_once
    stretches = heard.stretches(bridge_seconds=1.0)
    announced = [(at, item) for at, item in diary.entries if isinstance(item, ev.Announce)]
    assert [item.key for _, item in announced] == ["welcome.start", "story.start", "close.start", "goodbye"]
    assert len(stretches) == len(announced)
    for (at, item), (begin, end) in zip(announced, stretches, strict=True):
        assert at - 0.3 < begin < at + 4.0
        assert 1.0 < end - begin < 3.0 + len(item.text) / 8


def test_the_microphone_is_muted_while_we_speak(
    run_once: tuple[Diary, RememberingScreen, Heard, list[float], ExitCode],
) -> None:
    diary, _, _, _, _ = run_once
    started, finished = diary.when(ev.AnnouncementStarted), diary.when(ev.AnnouncementFinished)
    for begin, end in zip(started, finished, strict=True):
        during = [
            item.who
            for at, item in diary.entries
            if isinstance(item, ev.SpeakerChanged) and begin + 0.3 < at < end
        ]
        assert not set(during) - {ev.SpeakerState.SELF}
    assert diary.when(ev.SpeakerChanged, who=ev.SpeakerState.PRESENTER)


def test_an_interrupt_ends_politely_and_leaves_no_process(room: VirtualRoom) -> None:
    demo_room.needs_encoder()
    diary = Diary()

    def interrupt(_t: float, item: ev.Input | ev.Effect) -> None:
        if isinstance(item, ev.PhaseEntered):
            there.append(len(processes.children()))
            threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    there: list[int] = []
    session, screen = live(room, short_protocol(grace_seconds=5), [diary, interrupt])
    # A shell starts background jobs with interrupts ignored, and the tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert session.run() is ExitCode.INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    assert not screen.running
    assert there == [2], "the test must be able to fail"
    assert processes.children() == []
    assert diary.when(ev.Ended, reason="stopped")
