"""The speaking process as the program sees it, heard at the speaker of a virtual room.

Times are bounded generously: machines are busy. The bounds show order and completeness, not speed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import speech_engines
from tests.speech_engines import SECONDS_PER_WORD, ToneEngine
from tests.support.virtual_room import VirtualRoom
from voice_facilitator.files.settings import SpeakingSettings, load_settings
from voice_facilitator.session.events import (
    AnnouncementFinished,
    AnnouncementStarted,
    Input,
    Outcome,
    Part,
    PartBack,
    PartLost,
)
from voice_facilitator.speaking import process as processes
from voice_facilitator.speaking.chime import SECONDS as CHIME_SECONDS
from voice_facilitator.speaking.engine import Pyttsx3Engine, SpeechEngine
from voice_facilitator.speaking.process import SpeakingProcess

pytestmark = pytest.mark.room

FIVE_WORDS = "one two three four five"
LONG = " ".join(["word"] * 60)  # twelve seconds


class Watched:
    """A speaking process, and what it told."""

    def __init__(self, settings: SpeakingSettings, engine: type[SpeechEngine]) -> None:
        self.events: list[Input] = []
        self.times: list[float] = []
        self._change = threading.Condition()
        self.process = SpeakingProcess(
            settings, self._take, engine=speech_engines.name_of(engine), retry_seconds=0.5
        )

    def _take(self, event: Input) -> None:
        with self._change:
            self.events.append(event)
            self.times.append(time.monotonic())
            self._change.notify_all()

    def wait_for(self, event: Input, limit: float = 40) -> float:
        """When it came."""
        with self._change:
            assert self._change.wait_for(lambda: event in self.events, limit), (event, self.events)
            return self.times[self.events.index(event)]

    def of(self, *kinds: type[Input]) -> list[Input]:
        return [event for event in self.events if isinstance(event, kinds)]


Start = Callable[..., Watched]


@pytest.fixture
def settings(room: VirtualRoom, tmp_path: Path) -> SpeakingSettings:
    empty = tmp_path / "settings.toml"
    empty.write_text("")
    return load_settings(empty).speaking.model_copy(update={"speaker": room.speaker, "chime_volume": 0.3})


@pytest.fixture
def start(settings: SpeakingSettings) -> Iterator[Start]:
    started: list[Watched] = []

    def begin(texts: list[str], engine: type[SpeechEngine] = ToneEngine, **changed: object) -> Watched:
        watched = Watched(settings.model_copy(update=changed), engine)
        started.append(watched)
        watched.process.start(texts)
        return watched

    yield begin
    for watched in started:
        watched.process.close()


def finished(number: int, outcome: Outcome) -> AnnouncementFinished:
    return AnnouncementFinished(number, outcome)


# ---------------------------------------------------------------- as it should be


def test_chime_and_voice_are_heard(room: VirtualRoom, start: Start) -> None:
    speaking = start([FIVE_WORDS])
    with room.listening() as heard:
        speaking.process.say(1, FIVE_WORDS)
        speaking.process.say(2, FIVE_WORDS, voice=False)
        speaking.process.say(3, FIVE_WORDS, chime=False)
        speaking.wait_for(finished(3, Outcome.SPOKEN))
    told = [event for event in speaking.events if event != finished(2, Outcome.CHIMED)]
    assert told == [
        AnnouncementStarted(1),
        finished(1, Outcome.SPOKEN),
        AnnouncementStarted(2),
        AnnouncementStarted(3),
        finished(3, Outcome.SPOKEN),
    ]
    # The chime dies away before the voice begins, so the first announcement is two sounds.
    sounds = heard.stretches(bridge_seconds=0.05)
    lengths = [end - begin for begin, end in sounds]
    chime_heard, voice_heard = CHIME_SECONDS - 0.1, 5 * SECONDS_PER_WORD
    assert lengths == pytest.approx([chime_heard, voice_heard, chime_heard, voice_heard], abs=0.3)
    # What gates the hearing: told before the sound, and over after it.
    for number, begin, end, outcome in (
        (1, sounds[0][0], sounds[1][1], Outcome.SPOKEN),
        (2, *sounds[2], Outcome.CHIMED),
        (3, *sounds[3], Outcome.SPOKEN),
    ):
        begun, over = (
            speaking.wait_for(AnnouncementStarted(number)),
            speaking.wait_for(finished(number, outcome)),
        )
        assert begin - 1.0 < begun < begin + 0.05
        assert end - 0.05 < over < end + 1.0


def test_announcements_come_in_order(start: Start) -> None:
    speaking = start([])
    assert speaking.process.pid is not None
    os.kill(speaking.process.pid, signal.SIGINT)  # Ctrl-C reaches the whole group; it is not for this process
    for number in (3, 1, 2):
        speaking.process.say(number, f"sentence {number}", chime=False)
    speaking.wait_for(finished(2, Outcome.SPOKEN))
    assert speaking.events == [
        event
        for number in (3, 1, 2)
        for event in (AnnouncementStarted(number), finished(number, Outcome.SPOKEN))
    ]


def test_known_sentences_are_rendered_ahead(settings: SpeakingSettings) -> None:
    done = threading.Event()
    process = SpeakingProcess(settings, lambda _: None, engine=speech_engines.name_of(ToneEngine))
    seen: list[tuple[int, int]] = []

    def progress(count: int, total: int) -> None:
        seen.append((count, total))
        if count == total:
            done.set()

    process.start(["one", "two", "one", "  ", "three"], progress)
    try:
        assert done.wait(30), seen
    finally:
        process.close()
    assert seen[-1] == (3, 3)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="not installed: espeak-ng")
def test_the_real_voice_is_heard(room: VirtualRoom, start: Start, settings: SpeakingSettings) -> None:
    text = "Five minutes left."
    expected = Pyttsx3Engine(settings).render(text).seconds
    speaking = start([], Pyttsx3Engine)
    with room.listening() as heard:
        speaking.process.say(1, text, chime=False)
        speaking.wait_for(finished(1, Outcome.SPOKEN))
    [(start_heard, end_heard)] = heard.stretches()
    assert end_heard - start_heard == pytest.approx(expected, abs=0.3)


def test_stop_fades_out_and_drops_what_waits(room: VirtualRoom, start: Start) -> None:
    speaking = start([LONG])
    with room.listening() as heard:
        speaking.process.say(1, LONG, chime=False)
        speaking.process.say(2, FIVE_WORDS)
        speaking.wait_for(AnnouncementStarted(1))
        time.sleep(0.5)
        speaking.process.stop()
        speaking.wait_for(finished(1, Outcome.STOPPED))
        speaking.wait_for(finished(2, Outcome.STOPPED))
        speaking.process.say(3, "heard again", chime=False)
        speaking.wait_for(finished(3, Outcome.SPOKEN))
    assert AnnouncementStarted(2) not in speaking.events
    first, second = heard.stretches(bridge_seconds=0.1)
    assert first[1] - first[0] < 6
    assert second[1] - second[0] == pytest.approx(2 * SECONDS_PER_WORD, abs=0.2)


def test_too_many_are_refused_and_counted(start: Start) -> None:
    speaking = start([LONG])
    for number in range(processes.MAX_OPEN + 3):
        speaking.process.say(number, LONG)
    for number in range(processes.MAX_OPEN, processes.MAX_OPEN + 3):
        speaking.wait_for(finished(number, Outcome.FAILED))
    assert speaking.process.dropped == 3
    speaking.process.close()
    assert len(speaking.of(AnnouncementFinished)) == processes.MAX_OPEN + 3


# ---------------------------------------------------------------- without a voice


@pytest.mark.parametrize("engine", [speech_engines.MissingEngine, speech_engines.CrashingEngine])
def test_without_an_engine_it_chimes(room: VirtualRoom, start: Start, engine: type[ToneEngine]) -> None:
    speaking = start(["known"], engine)
    speaking.wait_for(PartLost(Part.SPEECH_ENGINE))
    with room.listening() as heard:
        speaking.process.say(1, "unknown", chime=False)
        speaking.wait_for(finished(1, Outcome.CHIMED))
    lengths = [end - begin for begin, end in heard.stretches(bridge_seconds=0.2)]
    assert lengths == pytest.approx([CHIME_SECONDS], abs=0.3)
    assert speaking.of(PartLost, PartBack) == [PartLost(Part.SPEECH_ENGINE)], "said once"


def test_a_hanging_engine_delays_an_announcement_no_longer_than_the_limit(start: Start) -> None:
    speaking = start(["first"], speech_engines.HangingEngine)
    asked = time.monotonic()
    speaking.process.say(1, "needed now")
    assert speaking.wait_for(finished(1, Outcome.CHIMED)) - asked < 25


def test_a_slow_engine_is_no_fault_and_says_what_it_had_time_for(start: Start) -> None:
    speaking = start([], speech_engines.SlowEngine)
    speaking.process.say(1, "needed now", chime=False)
    speaking.wait_for(finished(1, Outcome.CHIMED))  # the room has not waited longer than for a pause
    speaking.process.say(2, "needed now", chime=False)
    speaking.wait_for(finished(2, Outcome.SPOKEN))
    assert speaking.of(PartLost) == []


def test_the_engine_comes_back(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = tmp_path / "works"
    monkeypatch.setenv(speech_engines.SWITCH, str(switch))
    speaking = start(["known"], speech_engines.SwitchedEngine)
    speaking.wait_for(PartLost(Part.SPEECH_ENGINE))
    switch.touch()
    speaking.wait_for(PartBack(Part.SPEECH_ENGINE))
    speaking.process.say(1, "known", chime=False)
    speaking.wait_for(finished(1, Outcome.SPOKEN))


# ---------------------------------------------------------------- without a speaker


def test_a_lost_speaker_is_told_once_and_comes_back(room: VirtualRoom, start: Start) -> None:
    speaking = start([LONG])
    speaking.process.say(1, LONG, chime=False)
    speaking.wait_for(AnnouncementStarted(1))
    room.kill_server()
    speaking.wait_for(PartLost(Part.SPEAKER))
    speaking.wait_for(finished(1, Outcome.FAILED))
    speaking.process.say(2, "into the void")
    speaking.wait_for(finished(2, Outcome.FAILED))
    room.start_server()
    speaking.wait_for(PartBack(Part.SPEAKER))
    with room.listening() as heard:
        speaking.process.say(3, FIVE_WORDS, chime=False)
        speaking.wait_for(finished(3, Outcome.SPOKEN))
    assert len(heard.stretches()) == 1
    assert speaking.of(PartLost, PartBack) == [PartLost(Part.SPEAKER), PartBack(Part.SPEAKER)]
    assert speaking.process.restarts == 0, "the same process went on"


def test_an_unplugged_speaker_comes_back(room: VirtualRoom, start: Start) -> None:
    speaking = start([])
    speaking.process.say(1, "fine", chime=False)
    speaking.wait_for(finished(1, Outcome.SPOKEN))
    room.unplug_speaker()
    speaking.process.say(2, "lost", chime=False)
    speaking.wait_for(PartLost(Part.SPEAKER))
    speaking.wait_for(finished(2, Outcome.FAILED))
    room.plug_speaker()
    speaking.wait_for(PartBack(Part.SPEAKER))


def test_an_unknown_speaker_is_told_at_the_start(start: Start) -> None:
    speaking = start([], speaker="kitchen")
    speaking.wait_for(PartLost(Part.SPEAKER))
    speaking.process.say(1, "hello")
    speaking.wait_for(finished(1, Outcome.FAILED))


# ---------------------------------------------------------------- the process itself


def test_a_killed_process_is_started_again(start: Start) -> None:
    speaking = start([LONG])
    speaking.process.say(1, LONG)
    speaking.process.say(2, LONG)
    speaking.wait_for(AnnouncementStarted(1))
    pid = speaking.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    speaking.wait_for(finished(1, Outcome.FAILED))
    speaking.wait_for(finished(2, Outcome.FAILED))
    _say_until_spoken(speaking, 3)
    assert speaking.process.restarts == 1
    assert speaking.of(PartLost) == []


def test_a_hung_process_is_killed_and_started_again(
    room: VirtualRoom, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LIMITS", replace(processes.LIMITS, silent=3.0, start=10.0))
    speaking = start([LONG])
    speaking.process.say(1, LONG, chime=False)
    speaking.wait_for(AnnouncementStarted(1))
    pid = speaking.process.pid
    assert pid is not None
    room.freeze_server()
    try:
        speaking.wait_for(finished(1, Outcome.FAILED))
        speaking.wait_for(PartLost(Part.SPEAKER))
    finally:
        room.thaw_server()
    speaking.wait_for(PartBack(Part.SPEAKER))
    assert not _alive(pid)
    _say_until_spoken(speaking, 2)


def test_close_is_quick_whatever_goes_on(room: VirtualRoom, start: Start) -> None:
    speaking = start([LONG])
    speaking.process.say(1, LONG)
    speaking.process.say(2, LONG)
    speaking.wait_for(AnnouncementStarted(1))
    pid = speaking.process.pid
    began = time.monotonic()
    speaking.process.close()
    speaking.process.close()
    assert time.monotonic() - began < 10
    assert pid is not None
    assert not _alive(pid)
    assert speaking.of(AnnouncementFinished) == [finished(2, Outcome.STOPPED), finished(1, Outcome.STOPPED)]
    frozen = start([LONG])
    frozen.process.say(1, LONG)
    frozen.wait_for(AnnouncementStarted(1))
    pid = frozen.process.pid
    room.freeze_server()
    try:
        began = time.monotonic()
        frozen.process.close()
        assert time.monotonic() - began < 10
    finally:
        room.thaw_server()
    assert pid is not None
    assert not _alive(pid)


def test_a_process_never_outlives_the_program(room: VirtualRoom, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import time\n"
        "from voice_facilitator.files.settings import load_settings\n"
        "from voice_facilitator.speaking.process import SpeakingProcess\n"
        "if __name__ == '__main__':\n"
        "    tone = 'tests.speech_engines:ToneEngine'\n"
        "    process = SpeakingProcess(load_settings().speaking, lambda _: None, engine=tone)\n"
        "    process.start([])\n"
        "    print(process.pid, flush=True)\n"
        "    time.sleep(3600)\n"
    )
    here = str(Path(__file__).parent.parent)
    parent = subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": here},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while _alive(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _alive(pid)


def _say_until_spoken(speaking: Watched, number: int) -> None:
    """A process that is just being started refuses; people would press the key again, too."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        speaking.process.say(number, "here again", chime=False)
        while not any(isinstance(e, AnnouncementFinished) and e.number == number for e in speaking.events):
            assert time.monotonic() < until, speaking.events
            time.sleep(0.05)
        if finished(number, Outcome.SPOKEN) in speaking.events:
            return
        number += 1
        time.sleep(0.5)
    raise AssertionError(speaking.events)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()


def test_a_machine_without_room_for_a_process_gets_another_try(
    no_room_for_a_process: list[int], start: Start
) -> None:
    speaking = start([])
    assert no_room_for_a_process
    speaking.process.say(1, FIVE_WORDS, chime=False)
    speaking.wait_for(finished(1, Outcome.FAILED))
    deadline = time.monotonic() + 40
    while speaking.process.pid is None and time.monotonic() < deadline:
        time.sleep(0.05)
    speaking.process.say(2, FIVE_WORDS, chime=False)
    speaking.wait_for(finished(2, Outcome.SPOKEN))
