"""A recorded room, replayed through the real hearing and session."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import demo_room, plays
from voice_facilitator.app.eventlog import EventLog
from voice_facilitator.app.report import Report
from voice_facilitator.app.setting_up import new_session
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.sound.source import FileSource
from voice_facilitator.hearing.who.speaker import Reason
from voice_facilitator.hearing.who.voice_model import load_voice_model
from voice_facilitator.session import events as ev
from voice_facilitator.tools import script
from voice_facilitator.tools.replay import Replay

pytestmark = pytest.mark.slow


def replay(audio: Path, lines: str | None = None, *, explain: bool = False) -> str:
    """The event log of one replay in the demo's own protocol, as text."""
    settings = demo_room.impatient()
    protocol = demo_room.room().protocol
    voices = load_voice_model(settings.hearing)
    hearing = Hearing(settings.hearing, voices)
    timed = None if lines is None else script.parse(lines, protocol, "script")
    log = io.StringIO()
    events = EventLog(log.write)
    session = new_session(settings, protocol, moves_by_itself=not script.names_phases(timed))
    why = [events.explain] if explain else []
    run = Replay(session, hearing, timed, [events, Report(protocol)], explain=why)
    run.run(FileSource(audio))
    return log.getvalue()


def parsed(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    demo_room.needs_encoder()
    return demo_room.as_wav(tmp_path_factory.mktemp("replay") / "room.wav")


@pytest.fixture(scope="module")
def script_text() -> str:
    """The phases at their true times, as somebody pressing a key would have given them."""
    at, lines = demo_room.demo_room._LEAD_SECONDS, []
    for phase in demo_room.room().protocol.phases:
        lines.append(json.dumps({"t": round(at, 2), "do": "phase", "name": phase.name}))
        at += phase.seconds
    return "\n".join([*lines, json.dumps({"t": round(at, 2), "do": "end"})])


@pytest.fixture(scope="module")
def log(wav: Path, script_text: str) -> str:
    return replay(wav, script_text)


def test_the_phases_come_as_the_script_says_and_the_session_ends(log: str) -> None:
    events = parsed(log)
    names = [event["name"] for event in events if event["event"] == "phase"]
    assert names == [phase.name for phase in demo_room.room().protocol.phases]
    assert events[-1]["event"] == "ended"


def test_events_come_in_time_order(log: str) -> None:
    times = [event["t"] for event in parsed(log)]
    assert times == sorted(times)


def test_the_presenter_is_learnt_and_the_intrusion_is_noticed_once(log: str) -> None:
    begin, end = demo_room.room().intrusion
    events = parsed(log)
    assert {"ready"} <= {event["quality"] for event in events if event["event"] == "enrolment"}
    noticed = [event["t"] for event in events if event["event"] == "reminder"]
    assert len(noticed) == 1
    assert begin < noticed[0] <= end + 3


def test_the_same_input_gives_the_same_bytes_explained_or_not(wav: Path, script_text: str, log: str) -> None:
    explained = replay(wav, script_text, explain=True)
    lines = explained.splitlines(keepends=True)
    decisions = [json.loads(line) for line in lines if '"event": "decision"' in line]
    assert "".join(line for line in lines if '"event": "decision"' not in line) == log
    times = [event["t"] for event in parsed(explained)]
    assert times == sorted(times)
    begin, end = demo_room.room().intrusion
    told = [d for d in decisions if begin < d["t"] < end and d["strength"] >= 1]
    assert told, "what the reminder rested on is there to read"
    for decision in decisions:
        assert decision["who"] in {"presenter", "other", "unsure"}
        assert decision["reason"] in {reason.value for reason in Reason}
        numbers = {key: value for key, value in decision.items() if key not in ("event", "who", "reason")}
        assert all(value is None or isinstance(value, int | float) for value in numbers.values())
    assert all(d["remark"] >= d["screen"] for d in told)


def test_a_script_that_names_phases_is_not_overtaken_by_the_clock(wav: Path) -> None:
    """The recorded group took longer than any plan."""
    text = '{"t": 0, "do": "phase", "name": "story"}\n{"t": 110, "do": "phase", "name": "discussion"}'
    phases = [(e["t"], e["name"]) for e in parsed(replay(wav, text)) if e["event"] == "phase"]
    assert phases == [(0.0, "story"), (110.0, "discussion")]


def test_without_a_script_the_session_begins_at_once_and_moves_by_itself(wav: Path) -> None:
    events = parsed(replay(wav))
    assert events[0] == {"t": 0.0, "event": "command", "name": "begin", "source": "replay"}
    names = [event["name"] for event in events if event["event"] == "phase"]
    assert names == [phase.name for phase in demo_room.room().protocol.phases]


def test_what_is_logged_has_a_closed_set_of_fields(log: str) -> None:
    allowed = {
        "speaker": {"who"},
        "enrolment": {"quality"},
        "phase": {"name", "seconds", "reason"},
        "announcement": {"id", "text", "chime", "voice"},
        "line": {"text"},
        "reminder": {"level"},
        "command": {"name", "source"},
        "refused": {"name", "source"},
        "plan": {"ends_at"},
        "degraded": {"part", "lost"},
        "forgotten": set(),
        "ended": {"reason"},
    }
    for event in parsed(log):
        assert set(event) == {"t", "event"} | allowed[event["event"]]


def test_another_rate_gives_the_same_phases(script_text: str, tmp_path: Path, wav: Path) -> None:
    other = parsed(replay(demo_room.as_wav(tmp_path / "room.flac", 44_100), script_text))
    who = [event["who"] for event in other if event["event"] == "speaker"]
    assert {"presenter", "other", "silence"} <= set(who)


@pytest.mark.parametrize(
    ("timeline", "seconds"),
    [
        ("0 begin\n 20 end\n 24 yes", 24),
        ("0 begin\n 20 end\n 24 end", 24),
        ("0 begin\n 20 end\n 24 yes\n 30 undo\n 50 end\n 52 yes", 52),
        ("0 phase close\n 20 next", 20),
    ],
)
def test_the_goodbye_and_the_time_to_take_the_end_back_are_in_no_part(timeline: str, seconds: int) -> None:
    heard, report = plays.play(timeline, until=200), Report(plays.protocol())
    assert heard.only("ended")
    for effect in heard.effects:
        report(effect.at, effect)
    assert sum(phase["seconds"] for phase in report.as_dict()["phases"]) == pytest.approx(seconds)


def test_the_part_in_which_the_program_was_stopped_is_counted() -> None:
    report = Report(plays.protocol())
    for effect in [*plays.play("0 begin", until=20).effects, ev.Ended(21.0, "stopped")]:
        report(effect.at, effect)
    assert [phase["seconds"] for phase in report.as_dict()["phases"]] == [21]


def test_a_part_that_was_gone_back_to_stands_once_in_the_summary_with_all_its_time() -> None:
    timeline = "0 begin\n 20 next\n 50 back\n 70 next\n 75 undo\n 80 end\n 81 yes"
    heard, report = plays.play(timeline, until=200), Report(plays.protocol())
    for effect in heard.effects:
        report(effect.at, effect)
    phases = [(phase["name"], phase["seconds"]) for phase in report.as_dict()["phases"]]
    assert phases == [("welcome", 20 + 20 + 6), ("check-in", 30 + 5)]
