"""The demo as a new user sees and hears it, in the virtual room."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import demo_room
from tests.support.virtual_room import VirtualRoom

pytestmark = pytest.mark.room


def test_a_silent_demo_makes_no_sound_and_misses_no_speaker(room: VirtualRoom, tmp_path: Path) -> None:
    demo_room.needs_encoder()
    demo_room.room()
    with (
        room.listening() as heard,
        subprocess.Popen(
            [sys.executable, "-m", "voice_facilitator", "demo", "--silent"],
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        ) as program,
    ):
        assert program.stderr is not None
        told = iter(program.stderr.readline, "")
        next(line for line in told if "The story" in line)  # two announcements are over
        program.send_signal(signal.SIGINT)
        rest = program.stderr.read()
    assert program.returncode == 130
    assert "Faults" not in rest
    assert heard.stretches() == []


def test_the_demo_plays_a_session_and_catches_the_intrusion(room: VirtualRoom, tmp_path: Path) -> None:
    demo_room.needs_encoder()
    demo_room.room()  # skips where there are no voices
    log = tmp_path / "events.jsonl"
    with room.listening() as heard:
        result = subprocess.run(
            [sys.executable, "-m", "voice_facilitator", "demo", "--events", str(log)],
            capture_output=True,
            check=False,
            text=True,
            timeout=240,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "100"},
        )
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in log.read_text().splitlines()]
    names = [event["name"] for event in events if event["event"] == "phase"]
    assert names == ["welcome", "check-in", "story", "questions", "discussion", "last-word", "close"]
    assert events[-1]["event"] == "ended"
    assert events[-1]["t"] - next(e["t"] for e in events if e["event"] == "phase") <= 120
    assert [event["level"] for event in events if event["event"] == "reminder"] == [1]
    spoken = sum(event["voice"] for event in events if event["event"] == "announcement")
    assert spoken == len(names) + 1  # each phase and the goodbye
    sounding = sum(end - begin for begin, end in heard.stretches())
    assert sounding > 60  # the room and the announcements
    assert "The last word" in result.stderr  # the summary
    assert "Traceback" not in result.stderr
