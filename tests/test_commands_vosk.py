"""Spoken commands through the real vosk: the phrase, the pauses round it, what is allowed, damaged models."""

from __future__ import annotations

import functools
import queue
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.spoken import quiet, room, say
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import phrases
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.commands import command_engines
from voice_facilitator.hearing.commands.command_engines import CommandSetup, choose, load_listener
from voice_facilitator.hearing.commands.commands import CommandListener
from voice_facilitator.hearing.commands.vosk_models import CommandRule, VoskEngine
from voice_facilitator.hearing.process import Array, HearingProcess
from voice_facilitator.hearing.sound.activity import CHUNK, VoiceActivity
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.sound.source import ArraySource
from voice_facilitator.models import INSTALL_AGAIN, ModelEntry, State, load_manifest, manifest
from voice_facilitator.session.events import VOICE, Action, Input, NotUnderstood, Request
from voice_facilitator.tools.practise import Attempt, practise

SETTINGS = load_settings()
ENGLISH = phrases.load("en")
NEXT, TIME_LEFT = "facilitator, next phase", "facilitator, how long is left"
# what our own announcements tell people to say
TOLD = ("timer only", Action.TIMER_ONLY), ("undo", Action.UNDO), ("yes", Action.YES)
ALL = frozenset(Action)


@functools.cache
def folder() -> Path:
    """The small Vosk model for commands that comes with the program."""
    return load_manifest().find("commands-en").path()


@functools.cache
def engine() -> VoskEngine:
    return VoskEngine(folder(), "test", CommandRule(**load_manifest().find("commands-en").decision))


def heard(sound: Floats, allowed: frozenset[Action] = ALL, own_voice: bool = False) -> list[Input]:
    """What a listener makes of a sound, the real voice activity before it."""
    activity = VoiceActivity(SETTINGS.hearing.speech_threshold, SETTINGS.hearing.speech_hold_seconds)
    listener = CommandListener(SETTINGS.commands, engine(), ENGLISH, activity.hold_seconds)
    listener.allow(allowed)
    found: list[Input] = []
    for begin in range(0, len(sound) - CHUNK + 1, CHUNK):
        chunk = sound[begin : begin + CHUNK]
        request = listener.hear(chunk, speech=activity.step(chunk), own_voice=own_voice)
        found += [request] if request is not None else []
    return found


def test_each_phrase_is_one_word_of_the_model_that_comes_with_the_program() -> None:
    """Else it is heard word by word, less well: `training/README.md` says how to build them in."""
    words = {line.split()[0] for line in (folder() / "graph" / "words.txt").read_text("utf-8").splitlines()}
    missing = [text for text in ENGLISH.sayable(ALL) if text.replace(" ", "_") not in words]
    assert not missing


@pytest.mark.parametrize("voice", ["slt", "rms", "awb"])
@pytest.mark.parametrize(("text", "action"), [(NEXT, Action.NEXT), (TIME_LEFT, Action.TIME_LEFT)])
def test_a_command_between_pauses_is_a_request(voice: str, text: str, action: Action) -> None:
    assert heard(room(1.0, (text, voice), 1.0)) == [Request(action, VOICE)]


def test_people_may_talk_before_and_after() -> None:
    talk = "I had seen her twice before and each time she had asked about her father", "rms"
    assert heard(room(0.5, talk, 0.9, NEXT, 1.0, talk, 1.0)) == [Request(Action.NEXT, VOICE)]


@pytest.mark.parametrize(("text", "action"), TOLD)
def test_what_we_tell_people_to_say_is_understood(text: str, action: Action) -> None:
    allowed = frozenset({action, Action.NEXT, Action.PAUSE, Action.TIME_LEFT})
    assert heard(room(0.6, f"facilitator, {text}", 0.8), allowed) == [Request(action, VOICE)]


@pytest.mark.parametrize("text", ["please stop", "pause please"])
def test_a_plea_to_stop_needs_no_formula(text: str) -> None:
    assert heard(room(0.6, text, 0.8)) == [Request(Action.PAUSE, VOICE)]


def test_what_is_not_allowed_is_not_done_and_the_display_may_say_so() -> None:
    assert heard(room(1.0, NEXT, 1.0), frozenset({Action.UNDO, Action.YES})) == [NotUnderstood()]
    assert heard(room(1.0, NEXT, 1.0), frozenset()) == []


def test_our_own_voice_gives_no_commands() -> None:
    assert heard(room(1.0, NEXT, 1.0), own_voice=True) == []


@pytest.mark.parametrize(
    "text",
    [
        "I think the next phase was the hardest for him",
        "how long is left",
        "we asked the facilitator how long was left for him",
        "next phase facilitator",
        "stop",
        "we could not stop it",
        "she said nothing at all",
        "the patient came back on Monday",
    ],
)
def test_talk_is_no_command(text: str) -> None:
    assert heard(room(1.0, (text, "rms"), 1.0)) == []


def test_a_command_in_running_speech_is_none() -> None:
    said = np.concatenate(
        [quiet(1.0), say("and so I told her", "rms"), say(NEXT), say("that was it", "rms"), quiet(1.0)]
    )
    assert heard(said) == []


def test_another_grammar_between_two_utterances_does_not_kill_it() -> None:
    for allowed in (ALL, frozenset({Action.NEXT}), frozenset({Action.TIME_LEFT}), ALL):
        heard(room(0.6, TIME_LEFT, 0.8), allowed)
    assert heard(room(0.6, TIME_LEFT, 0.8), ALL) == [Request(Action.TIME_LEFT, VOICE)]


@pytest.mark.slow
def test_it_is_heard_by_the_hearing_process_and_only_the_request_leaves() -> None:
    events: queue.Queue[Input] = queue.Queue()
    chosen = SETTINGS.commands.model_copy(update={"engine": str(folder())})
    sound = np.concatenate([quiet(2.0), room(TIME_LEFT), quiet(4.0)])
    hearing = HearingProcess(
        Array(sound), SETTINGS.hearing, events.put, commands=CommandSetup(chosen, "en-gb")
    )
    hearing.start()
    try:
        hearing.allow(frozenset({Action.TIME_LEFT}))
        assert hearing.wait_ready(60)
        while not isinstance(event := events.get(timeout=60), Request):
            pass
    finally:
        hearing.stop()
    assert event == Request(Action.TIME_LEFT, VOICE)
    assert hearing.dropped == 0


def test_practising_shows_what_was_understood_and_what_was_not() -> None:
    attempts: list[Attempt] = []
    sound = room(0.6, NEXT, 1.2, ("the patient came back on Monday", "rms"), 1.2, "facilitator, purple", 1.0)
    practise(SETTINGS.hearing, CommandSetup(SETTINGS.commands, "en"), ArraySource(sound), attempts.append)
    assert [(each.text, each.counts, each.addressed) for each in attempts] == [
        ("facilitator next phase", True, True),
        ("", False, False),
        ("", False, True),
    ]


# ------------------------------------------------------------ models that are not right


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    shutil.copytree(folder(), place)
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return place


@pytest.mark.parametrize(
    "file", ["am/final.mdl", "graph/HCLr.fst", "graph/Gr.fst", "conf/mfcc.conf", "graph/words.txt"]
)
def test_a_file_cut_in_half_is_a_message_and_no_crash(copy: Path, file: str) -> None:
    whole = (copy / file).read_bytes()
    (copy / file).write_bytes(whole[: len(whole) // 3])
    chosen = SETTINGS.commands.model_copy(update={"engine": str(copy)})
    with pytest.raises(FacilitatorError) as caught:
        choose(CommandSetup(chosen, "en"))
    assert caught.value.code == "model-damaged"
    assert caught.value.exit_code is ExitCode.NO_MODEL
    assert "another engine" in caught.value.hint
    assert "models fetch" not in caught.value.hint, "there is nothing to fetch for a folder of one's own"


def test_where_the_only_model_is_damaged_nothing_else_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    def state(entry: ModelEntry, *_: object) -> State:
        return State.DAMAGED if entry.is_shipped else State.MISSING

    for module in (command_engines, manifest):
        monkeypatch.setattr(module, "state_of", state)
    with pytest.raises(FacilitatorError) as caught:
        choose(CommandSetup(SETTINGS.commands, "en"))
    assert caught.value.code == "model-damaged"
    assert caught.value.hint == INSTALL_AGAIN


@pytest.mark.parametrize("file", ["am/final.mdl", "graph/HCLr.fst", "graph/Gr.fst", "conf/mfcc.conf"])
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(FacilitatorError, match=f"lacks {file}"):
        VoskEngine(copy, "mine")


def test_a_model_that_cannot_hear_the_prefix_is_refused() -> None:
    chosen = SETTINGS.commands.model_copy(update={"engine": str(folder()), "prefix": "xylophonist"})
    with pytest.raises(FacilitatorError, match='does not know the word "xylophonist"') as caught:
        load_listener(CommandSetup(chosen, "en"), 0.2)
    assert caught.value.code == "commands-unfit"


def test_german_needs_a_german_model_and_says_which(tmp_path: Path) -> None:
    with pytest.raises(FacilitatorError, match="need a model") as caught:
        choose(CommandSetup(SETTINGS.commands, "de"), tmp_path)
    assert caught.value.code == "model-missing"
    assert "models fetch vosk-small-de" in caught.value.hint


def test_no_engine_is_a_choice() -> None:
    chosen = SETTINGS.commands.model_copy(update={"engine": "none"})
    assert load_listener(CommandSetup(chosen, "en"), 0.2) is None


def test_a_model_for_something_else_is_refused() -> None:
    chosen = SETTINGS.commands.model_copy(update={"engine": "campplus"})
    with pytest.raises(FacilitatorError, match="does not understand commands"):
        choose(CommandSetup(chosen, "en"))
