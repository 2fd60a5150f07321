"""Spoken commands from the sound of a room to what the session does, through the real engine."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from tests.spoken import room
from tests.support import plays
from voice_facilitator.app.eventlog import EventLog
from voice_facilitator.app.setting_up import commands_of, new_session, wording_of
from voice_facilitator.files import phrases, protocols
from voice_facilitator.files.protocols import load
from voice_facilitator.files.settings import Settings, load_settings
from voice_facilitator.hearing.commands.command_engines import load_listener
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.sound.source import ArraySource
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import VOICE, Action
from voice_facilitator.tools.replay import Replay


def replay(sound: Floats) -> list[dict[str, Any]]:
    """What a session does that hears `sound` from its beginning on."""
    settings, protocol = load_settings(), load("balint-45")
    setup = commands_of(settings, protocol)
    assert setup is not None
    commands = load_listener(setup, settings.hearing.speech_hold_seconds)
    log = io.StringIO()
    hearing = Hearing(settings.hearing, None, commands=commands)
    Replay(new_session(settings, protocol), hearing, None, [EventLog(log.write)]).run(ArraySource(sound))
    return [json.loads(line) for line in log.getvalue().splitlines()]


def commands(log: list[dict[str, Any]]) -> list[str]:
    return [event["name"] for event in log if event["event"] == "command" and event["source"] == "voice"]


def test_facilitator_next_part_moves_on() -> None:
    log = replay(room(3.0, "facilitator, next part", 3.0))
    assert commands(log) == ["next"]
    names = [event["name"] for event in log if event["event"] == "phase"]
    assert names == ["welcome", "check-in"]


# ------------------------------------------------------------ what is said about it


def spoken(text: str) -> list[plays.Timed]:
    """A timeline whose requests were all heard."""
    return [
        (at, replace(event, source=VOICE) if isinstance(event, ev.Request) else event)
        for at, event in plays.timeline(text)
    ]


def test_what_was_understood_is_said_before_anything_else_about_it() -> None:
    heard = plays.play(spoken("0 begin\n 0 silence\n 290 next"), until=298)
    assert heard.only("say", after=290) == ["290 say confirm", "294.8 say story.start"]
    assert heard.texts("confirm") == ["Moving on: The story. To stay, say: facilitator, undo."]


def test_a_part_whose_name_is_a_question_and_the_last_seconds_are_written_as_sentences() -> None:
    heard = plays.play(spoken("0 begin\n 0 silence\n 70 next\n 150 time-left\n 175 time-left"), until=185)
    assert heard.texts("confirm") == ["Moving on: Who has a case? To stay, say: facilitator, undo."]
    assert [text.split(" in ")[0] for text in heard.texts("time-left")] == [
        "1 minute left",
        "Less than a minute left",
    ]


def test_the_time_to_object_runs_from_the_end_of_that_sentence_on() -> None:
    heard = plays.play(spoken("0 begin\n 0 silence\n 250 next\n 267 undo"), until=268, voice_seconds=6.0)
    assert heard.only("phase", after=251) == ["267 phase case (undo)"]


def test_what_was_not_understood_is_told_on_the_display_only() -> None:
    timeline = [
        *spoken("0 begin\n 0 silence\n 250 next"),
        (252.0, ev.NotUnderstood()),
        (290.0, ev.NotUnderstood()),
    ]
    heard = plays.play(timeline, until=298)
    assert heard.only("say", after=289) == []
    assert ["didn't catch that" in line for line in heard.only("show", after=251)] == [True]
    assert heard.only("show", after=251)[0].startswith("290 ")


@pytest.mark.parametrize("language", phrases.languages())
def test_whatever_the_program_tells_people_to_say_can_be_said(language: str) -> None:
    wording = protocols.load_wording({"en": "en-gb"}.get(language, language))
    own = phrases.load(language)
    told = {
        said.replace("{timer_only}", own.shown_for(Action.TIMER_ONLY))
        for sentence in wording.sentences.values()
        for said in re.findall(r"\{prefix\}, ([a-zäöüß{}_ ]+)", sentence)
    }
    assert len(told) == 3
    sayable = {text.removeprefix(f"{own.prefix} ") for text in own.sayable(frozenset(Action))}
    assert {text.lower() for text in told} <= sayable


def test_the_welcome_tells_only_what_is_understood() -> None:
    settings = load_settings()

    def welcome(name: str, settings: Settings) -> str:
        protocol = load(name)
        return wording_of(settings, protocol).fill(protocol.phases[0].announcement)

    assert "say: facilitator, timer only, or press T." in welcome("balint-45", settings)
    assert "say: please stop." in welcome("balint-45", settings)
    deaf = settings.model_copy(update={"commands": settings.commands.model_copy(update={"engine": "none"})})
    for told in (welcome("balint-45", deaf), welcome("balint-45-de", deaf)):
        assert "acilitator, " not in told
        assert "oderator, " not in told
        assert " T." in told
        assert " P." in told
        assert "please stop" not in told
        assert "aufhören" not in told


def test_there_is_time_to_object_after_a_long_announcement_that_follows() -> None:
    heard = plays.play(spoken("0 begin\n 0 silence\n 250 next\n 285 undo"), until=286, voice_seconds=14.0)
    assert heard.only("phase", after=251) == ["285 phase case (undo)"]
    late = plays.play(spoken("0 begin\n 0 silence\n 250 next\n 297 undo"), until=298, voice_seconds=14.0)
    assert late.only("phase", after=251) == []


def test_a_key_is_not_explained() -> None:
    heard = plays.play("0 begin\n 0 silence\n 290 next", until=298)
    assert heard.only("say", after=290) == ["290 say story.start"]


def test_while_people_talk_the_display_tells_and_the_words_wait() -> None:
    heard = plays.play(spoken("0 begin\n 280 other\n 285 next\n 288 silence"), until=298)
    assert heard.only("show", after=285, before=286)[0].endswith("To stay, say: facilitator, undo.")
    assert heard.only("say", after=285)[0] == "289.8 say confirm"


def test_ending_asks_for_a_spoken_yes_and_can_be_taken_back() -> None:
    timeline = spoken("0 begin\n 0 silence\n 1000 end\n 1014 yes\n 1030 undo")
    heard = plays.play(timeline, until=1035, voice_seconds=5.0)
    assert heard.texts("ask-end.voice") == heard.texts("other") == []
    assert "facilitator, yes" in heard.texts("ask-end")[0]
    assert heard.only("say", after=1014)[0] == "1014 say confirm"
    assert heard.session.view().mode == "running"


def test_another_prefix_is_the_one_that_is_spoken_of() -> None:
    settings = load_settings()
    settings = settings.model_copy(
        update={"commands": settings.commands.model_copy(update={"prefix": "moderator"})}
    )
    assert "moderator, undo" in wording_of(settings, load("balint-45")).say("understood.end")
