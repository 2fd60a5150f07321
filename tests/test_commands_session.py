"""Spoken commands from the sound of a room to what the session does, through the real engine."""

from __future__ import annotations

import io
import json
from typing import Any

from tests.spoken import room
from voice_facilitator.app.eventlog import EventLog
from voice_facilitator.app.replay import Replay
from voice_facilitator.app.setting_up import commands_of, new_session
from voice_facilitator.hearing.command_engines import load_listener
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.source import ArraySource, Floats
from voice_facilitator.protocols import load
from voice_facilitator.settings import load_settings


def replay(sound: Floats) -> list[dict[str, Any]]:
    """What a session does that hears `sound` from its beginning on."""
    settings, protocol = load_settings(), load("balint-45")
    setup = commands_of(settings, protocol)
    assert setup is not None
    commands = load_listener(setup, settings.hearing.speech_hold_seconds)
    log = io.StringIO()
    hearing = Hearing(settings.hearing, None, commands=commands)
    Replay(new_session(settings, protocol), hearing, None, [EventLog(log)]).run(ArraySource(sound))
    return [json.loads(line) for line in log.getvalue().splitlines()]


def commands(log: list[dict[str, Any]]) -> list[str]:
    return [event["name"] for event in log if event["event"] == "command" and event["source"] == "voice"]


def test_facilitator_next_part_moves_on() -> None:
    log = replay(room(3.0, "facilitator, next part", 3.0))
    assert commands(log) == ["next"]
    names = [event["name"] for event in log if event["event"] == "phase"]
    assert names == ["welcome", "check-in"]
