"""After a power cut the same phase goes on, and the session still ends when it should."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from tests.support.plays import Heard, event, play, protocol, session, shipped_policy, wording
from tests.support.program import LIMIT, PROTOCOL, Program, kept_in, orphans, wait_for
from voice_facilitator.app import resume
from voice_facilitator.app.resume import ResumeFile, single_session
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import load_settings
from voice_facilitator.machine.clocks import Moment
from voice_facilitator.session import Session
from voice_facilitator.session import events as ev
from voice_facilitator.session.resume import Kept

SETTINGS = load_settings()


def cut(at: float, before: str = "", name: str = "balint-45") -> dict[str, Any]:
    """What is kept of a session that began at 0 and is cut off at `at`."""
    kept = play(f"0 begin\n 0 silence\n{before}", until=at, name=name).session.to_keep()
    assert kept is not None
    return json.loads(json.dumps(dataclasses.asdict(kept), allow_nan=False))  # type: ignore[no-any-return]


def read_kept(content: str) -> Kept:
    """As the resume file reads it. Raises ValueError."""
    whole = '{"version": 2, "saved_at": 0, "start": "", "up": 0, "left": 1, "protocol": "", "minutes": null, '
    return resume._File.model_validate_json(f'{whole}"session": {content}}}').session


def restored(kept: dict[str, Any], name: str = "balint-45") -> Session:
    return Session.after_cut(read_kept(json.dumps(kept)), protocol(name), wording(), shipped_policy())


def go_on(kept: dict[str, Any], at: float, after: str = "", until: float = 0.0) -> Heard:
    name = kept["protocol"]
    going = restored(kept, name)
    return play(f"{at} restarted\n{after}", until=max(at, until), name=name, going=going)


# ------------------------------------------------------------ the session


def test_the_same_phase_goes_on_at_its_minute_and_the_end_stays() -> None:
    heard = go_on(cut(400), 460, until=460)  # in the second minute of the story
    view = heard.session.view()
    assert (view.phase, view.mode) == ("story", "running")
    assert view.phase_seconds - view.phase_left == pytest.approx(100)
    assert view.phase_left == pytest.approx(260)
    assert view.session_left == pytest.approx(2700 - 460)
    assert heard.plan()["discussion"] == pytest.approx(1320 - 60), "the discussion pays"
    assert heard.plan()["last-word"] == 240
    assert heard.only("phase") == ["460 phase story"]
    whole = go_on(cut(400), 460, "462 silence", until=3000)
    assert whole.only("ended") == ["2691 ended planned"], "as without the cut"


def test_without_a_microphone_it_waits_for_no_gap() -> None:
    going = restored(cut(400, "1 timer-only"))
    heard = play([(410, ev.Restarted(hears=False))], until=700, going=going)
    assert heard.only("say", "chime") == ["410 say restarted", "670 say questions.start"]


def test_one_sentence_says_it_in_a_gap() -> None:
    heard = go_on(cut(400), 410, "411 other\n 414 silence", until=500)
    assert heard.only("say", "chime") == ["415.8 say restarted"]
    assert "4 minutes" in heard.texts("restarted")[0]


def test_cut_off_in_its_first_words_a_phase_is_announced_again() -> None:
    assert go_on(cut(303), 310, "312 silence", until=340).only("say") == ["313.8 say story.start"]


def test_voices_are_learnt_anew_and_in_the_discussion_nobody_is_reminded() -> None:
    assert go_on(cut(400), 410).only("listen") == ["410 listen enrol new_presenter"]
    discussion = go_on(cut(1200), 1210, "1300 enrolment ready\n 1301 evidence 9 60", until=1400)
    assert not discussion.session.view().reminders
    assert discussion.only("reminder") == []


def test_a_pause_and_what_people_decided_are_kept() -> None:
    paused = go_on(cut(500, "400 pause"), 520).session.view()
    assert paused.mode == "paused"
    assert paused.phase_left == pytest.approx(260)
    assert ev.Action.RESUME in paused.allowed
    decided = go_on(cut(500, "400 timer-only\n 410 stop-reminders"), 520)
    assert decided.session.view().timer_only
    assert decided.only("forget") == ["520 forget for good"]


@pytest.mark.parametrize(
    ("at", "away"), [(1, 30), (1, 940), (1, 2085), (700, 0), (1200, 600), (2300, 45), (2400, 230), (2550, 80)]
)
def test_it_always_ends_on_time(at: float, away: float) -> None:
    kept = cut(at)
    before = restored(kept).view()
    heard = go_on(kept, at + away, f"{at + away + 1} silence", until=3000)
    assert heard.only("phase")[0].endswith(before.phase)
    (ended,) = [e.at for e in heard.effects if isinstance(e, ev.Ended)]
    assert ended <= 2700 + 15  # a sentence that is being said is finished


def test_what_is_kept_says_nothing_of_voices_or_words() -> None:
    kept = cut(1200, "1100 enrolment ready\n 1150 other\n 1190 lost microphone")
    assert set(kept) == {
        "protocol",
        "machine",
        "now",
        "visits",
        "plan",
        "paused_at",
        "timer_only",
        "reminders",
        "announced",
    }
    assert set(kept["plan"]) == {
        "visit",
        "phase_started",
        "phase_ends",
        "later",
        "cues_done",
        "end_stays",
    }
    assert "other" not in json.dumps(kept)


# ------------------------------------------------------------ the file


@pytest.fixture
def file(tmp_path: Path) -> Iterator[ResumeFile]:
    kept = ResumeFile("balint-45", tmp_path / "resume.json")
    yield kept
    kept.close(keep=False)


def saved(file: ResumeFile, tmp_path: Path, wall: float = 5000.0) -> Path:
    running = play("0 begin\n 0 silence", until=400).session
    file.follow(running, 1.0, lambda: Moment(wall))
    path = tmp_path / "resume.json"
    wait_for(path.exists)
    return path


def test_a_session_is_found_until_its_end(file: ResumeFile, tmp_path: Path) -> None:
    path = saved(file, tmp_path)
    found = resume.find(SETTINGS, Moment(5030.0), path)
    assert found is not None
    assert found.session_time(Moment(5030.0)) == 430
    assert found.session.view().phase == "story"
    assert "minute 2" in found.in_words(Moment(5030.0))
    assert found.is_over(Moment(5000 + 2300))
    assert resume.find(SETTINGS, Moment(5000 + 2299), path) is not None
    assert resume.find(SETTINGS, Moment(5000 + 2300), path) is None
    assert not path.exists(), "a session whose end has passed is forgotten"


@pytest.mark.slow
def test_at_any_moment_it_is_the_same_minute_and_never_after_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred power cuts, each through the file; without what would take longest in it."""
    for name in ("load", "load_wording"):
        monkeypatch.setattr(protocols, name, cache(getattr(protocols, name)))
    monkeypatch.setattr(os, "fsync", lambda _file: None)
    path, dice = tmp_path / "resume.json", random.Random(6)
    for moment in sorted(dice.uniform(0.1, 2690) for _ in range(200)):
        away = dice.choice([dice.uniform(0, 60), dice.uniform(0, 3000)])
        running = play("0 begin\n 0 silence", until=moment).session
        before, end = running.view(), running.planned_end
        file = ResumeFile("balint-45", path)
        file.follow(running, moment, lambda at=5000 + moment: Moment(at), at_once=True)
        file.close(keep=True)
        found = resume.find(SETTINGS, Moment(5000 + moment + away), path)
        if before.mode == "closing" or moment + away >= end:
            assert found is None
            continue
        assert found is not None
        going = play([(moment + away, ev.Restarted())], until=moment + away, going=found.session)
        after = going.session.view()
        assert (after.phase, after.mode) == (before.phase, "running")
        elapsed = before.phase_seconds - before.phase_left
        assert after.phase_seconds - after.phase_left == pytest.approx(elapsed, abs=0.01)
        assert going.session.planned_end == pytest.approx(end)


@pytest.mark.parametrize(
    ("saved", "now", "away"),
    [
        (Moment(5000, "a", 900), Moment(5060, "a", 960), 60),
        (Moment(5000, "a", 900), Moment(4400, "a", 960), 60),  # set back since, or never set
        (Moment(5000, "a", 900), Moment(90_000_000, "a", 960), 60),
        (Moment(5000, "a", 900), Moment(5060, "b", 30), 60),  # a power cut
        (
            Moment(5000, "a", 900),
            Moment(4400, "b", 30),
            30,
        ),  # with a clock that went back: as long as it is up
        (Moment(5000, "a", 900), Moment(5010, "b", 30), 30),  # and that was slow
        (Moment(5000), Moment(4400), 0),  # a system that says no more
        (Moment(100_000), Moment(100_000 - 86_400), 0),
        (Moment(100_000), Moment(100_000 - 86_401), None),  # this tells nothing
    ],
)
def test_a_clock_that_went_back_throws_no_session_away(
    tmp_path: Path, saved: Moment, now: Moment, away: float | None
) -> None:
    file, path = ResumeFile("balint-45", tmp_path / "resume.json"), tmp_path / "resume.json"
    file.follow(play("0 begin\n 0 silence", until=400).session, 1.0, lambda: saved)
    file.close(keep=True)
    found = resume.find(SETTINGS, now, path)
    assert (found is None) == (away is None)
    if found is not None and away is not None:
        assert found.session_time(now) == 400 + away
        assert "minute 2" in found.in_words(now)


def test_a_session_that_closes_is_not_kept(file: ResumeFile, tmp_path: Path) -> None:
    path = saved(file, tmp_path)
    running = session()
    for words in ("begin", "end", "yes"):
        running.handle(event(words), 1)
    file.follow(running, 100.0, lambda: Moment(5100.0))
    wait_for(lambda: not path.exists())


def test_a_disk_that_cannot_be_written_is_counted_and_holds_nothing_up(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where the folder should be")
    file = ResumeFile("balint-45", tmp_path / "folder" / "resume.json")
    running = session()
    running.handle(event("begin"), 0)
    file.follow(running, 1.0, lambda: Moment(5000.0))
    wait_for(lambda: file.failures > 0)
    file.close(keep=True)


@tries(100)
@given(
    st.binary(max_size=400)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=20,
    ).map(lambda data: json.dumps(data).encode())
)
def test_any_bytes_are_no_session(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    nothing_to_resume(path)


def nothing_to_resume(path: Path) -> None:
    """It is said once, and the file is set aside: the next start finds none."""
    told: list[str] = []
    assert resume.find(SETTINGS, Moment(5001.0), path, told.append) is None
    assert len(told) == 1
    assert "set aside" in told[0]
    assert not path.exists()
    assert (path.parent / "resume-damaged.json").exists()
    assert resume.find(SETTINGS, Moment(5001.0), path, told.append) is None
    assert len(told) == 1


def test_a_file_cut_off_anywhere_is_no_session(file: ResumeFile, tmp_path: Path) -> None:
    path = saved(file, tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        nothing_to_resume(path)


_WRONG = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1",
    "1e300",
    "1e8",
    "9" * 5000,
    "true",
    "null",
    '"1"',
    "[]",
    "{}",
)


@pytest.mark.slow
def test_whatever_one_value_is_the_session_goes_on_or_there_is_none(file: ResumeFile, tmp_path: Path) -> None:
    path = saved(file, tmp_path)
    whole = json.loads(path.read_text())

    def places(inner: Any) -> Iterator[tuple[Any, Any]]:
        for key, value in list(inner.items()) if isinstance(inner, dict) else list(enumerate(inner)):
            yield inner, key
            if isinstance(value, dict | list):
                yield from places(value)

    for inside, key in places(whole):
        right, inside[key] = inside[key], "HERE"
        damaged = json.dumps(whole)
        inside[key] = right
        for wrong in _WRONG:
            path.write_text(damaged.replace('"HERE"', wrong))
            found = resume.find(SETTINGS, Moment(5001.0), path)
            if found is not None:
                found.in_words(Moment(5001.0))
                found.session.handle(ev.Restarted(), found.session_time(Moment(5001.0)))
                found.session.handle(ev.Tick(), 20_000.0)


@pytest.mark.parametrize(
    "kind", ["huge", "folder", "full folder", "pipe", "link to nowhere", "another version"]
)
def test_what_is_no_file_of_ours_is_set_aside(file: ResumeFile, tmp_path: Path, kind: str) -> None:
    path = saved(file, tmp_path)
    whole = path.read_text()
    path.unlink()
    (tmp_path / "resume-damaged.json").mkdir()  # from before
    match kind:
        case "huge":
            path.write_text(whole + " " * 70_000)
        case "folder" | "full folder":
            path.mkdir()
            if kind == "full folder":
                (path / "x").touch()
        case "pipe":
            os.mkfifo(path)
        case "link to nowhere":
            path.symlink_to("/dev/zero")
        case _:
            path.write_text(whole.replace('"version": 2', '"version": 1'))
    nothing_to_resume(path)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_set_aside(file: ResumeFile, tmp_path: Path) -> None:
    saved(file, tmp_path).chmod(0)
    nothing_to_resume(tmp_path / "resume.json")


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    lock = tmp_path / "session.lock"
    with (
        single_session(lock),
        pytest.raises(FacilitatorError, match="running on this computer already"),
        single_session(lock),
    ):
        pass
    with single_session(lock):
        pass


# ------------------------------------------------------------ the program itself


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000 * 120), 16_000, subtype="PCM_16")
    programs: list[Program] = []

    def begin(*options: str, minutes: float = 0.2) -> Program:
        (tmp_path / "three.toml").write_text(PROTOCOL.format(minutes=minutes))
        programs.append(Program(tmp_path, *options))
        return programs[-1]

    yield begin
    for program in programs:
        if program.process.poll() is None:
            program.power_cut()
        program.errors.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the state folder is moved as on Linux")
def test_after_a_power_cut_the_program_goes_on_and_ends_on_time(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    first = start()
    first.wait_for_phase("first")
    wait_for(kept_in(tmp_path).exists)
    first.power_cut()
    kept = json.loads(kept_in(tmp_path).read_text())
    planned_end = kept["saved_at"] + kept["left"]
    second = start("--resume")
    entry = second.wait_for_phase("first")
    assert entry["reason"] == "restored"
    assert second.process.wait(LIMIT) == 0
    assert [p["name"] for p in second.events("phase")] == ["first", "second", "third"]
    assert time.time() > planned_end - 15
    assert second.events("ended") == [
        {"t": second.events("ended")[0]["t"], "event": "ended", "reason": "planned"}
    ]
    assert second.events("ended")[0]["t"] < 3 * 12 + 20, "in the session's own time"
    assert not kept_in(tmp_path).exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the state folder is moved as on Linux")
def test_who_does_not_want_it_gets_a_new_session_and_a_second_program_is_refused(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    first = start(minutes=5)
    first.wait_for_phase("first")
    wait_for(kept_in(tmp_path).exists)
    other = start("--resume", minutes=5)
    assert other.process.wait(LIMIT) == 1
    assert "already-running" in other.said()
    assert first.process.poll() is None
    first.power_cut()
    second = start("--no-resume", minutes=5)
    assert second.wait_for_phase("first")["reason"] == "request"
    second.process.send_signal(signal.SIGTERM)  # the computer shuts down
    assert second.process.wait(LIMIT) == 130
    assert kept_in(tmp_path).exists()
    assert second.events("ended")[-1]["reason"] == "stopped"
    third = start("--resume", minutes=5)
    assert third.wait_for_phase("first")["reason"] == "restored"
    third.process.send_signal(signal.SIGINT)  # a person ends it
    assert third.process.wait(LIMIT) == 130
    assert not kept_in(tmp_path).exists()
    assert "Traceback" not in third.said()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("names", "seconds_after_log", "gap_seconds"),
    [
        ("SIGINT SIGINT", 0.0, 0.1),
        ("SIGINT SIGINT", 0.3, 0.1),
        ("SIGINT SIGTERM", 1.1, 0.1),
        ("SIGTERM SIGTERM", 0.0, 0.1),
        ("SIGTERM SIGHUP", 0.2, 0.0),
        ("SIGHUP SIGTERM", 0.1, 0.001),
        ("SIGHUP SIGTERM SIGINT", 2.0, 0.0),
        ("SIGINT SIGHUP SIGTERM", 2.5, 0.01),
    ],
)
def test_signals_at_any_moment_end_it_and_leave_nothing(
    start: Callable[..., Program], tmp_path: Path, names: str, seconds_after_log: float, gap_seconds: float
) -> None:
    """While it makes itself ready, and after: the whole group of processes gets them, as in a terminal, and
    some come while the program puts things away. `benchmarks.running.signals` tries hundreds of moments."""
    program = start(minutes=5)
    wait_for(program.log.exists)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.process.wait(seconds_after_log)
    for name in names.split():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.process.pid, signal.Signals[name])
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.process.wait(gap_seconds)
    assert program.process.wait(LIMIT) == 130, program.said()
    assert "Traceback" not in program.said()
    assert [entry["reason"] for entry in program.events("ended")] in (["stopped"], [])
    if names.startswith("SIGINT"):  # a person ended it, and not the computer
        assert not kept_in(tmp_path).exists()
    wait_for(lambda: not orphans())
