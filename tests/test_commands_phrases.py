"""The files of phrases: what they must hold, and what is said about mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import phrases
from voice_facilitator.files.checked_toml import FileMistakes
from voice_facilitator.files.settings import load_settings
from voice_facilitator.session.events import VOICE, Action, Request

BY_VOICE = frozenset(Action) - {Action.PHASE, Action.LESS_TIME}


@pytest.mark.parametrize("language", phrases.languages())
def test_every_language_can_ask_for_everything(language: str) -> None:
    found = phrases.load(language)
    assert {command.action for command in found.commands} == BY_VOICE
    lengths = {c.seconds for c in found.commands if c.action is Action.MORE_TIME}
    assert lengths == {120.0, 300.0}


def test_a_phrase_is_a_request_like_one_from_a_key() -> None:
    said = phrases.load("en-gb").sayable(frozenset({Action.MORE_TIME}))
    assert said["facilitator five more minutes"].request == Request(Action.MORE_TIME, VOICE, 300.0)


def test_only_what_is_allowed_can_be_said() -> None:
    found = phrases.load("en")
    assert found.sayable(frozenset()) == {}
    assert {p.action for p in found.sayable(frozenset({Action.UNDO})).values()} == {Action.UNDO}


def test_the_prefix_is_needed_but_for_a_plea_to_stop_and_what_the_settings_except() -> None:
    allowed = frozenset({Action.PAUSE, Action.NEXT})
    said = phrases.load("en").sayable(allowed)
    bare = {text: phrase.action for text, phrase in said.items() if not text.startswith("facilitator ")}
    assert "please stop" in bare
    assert set(bare.values()) == {Action.PAUSE}
    assert all(" " in text for text in bare), "one word alone is said in talk too"
    found = phrases.load("en", prefix="moderator", without_prefix=frozenset({Action.PAUSE}))
    said = found.sayable(allowed)
    assert "pause" in said
    assert "next part" not in said
    assert "moderator next part" in said


def test_a_language_without_phrases_is_refused_politely() -> None:
    with pytest.raises(FacilitatorError, match="no spoken commands") as caught:
        phrases.load("fr")
    assert "de, en" in caught.value.hint


def test_every_mistake_is_named() -> None:
    text = """
language = "en"
title = "English"
prefix = "facilitator"

[[command]]
action = "next"
does = "moves on"
seconds = 10
phrases = ["go"]

[[command]]
action = "more-time"
does = "more"
phrases = ["go"]
"""
    with pytest.raises(FileMistakes) as caught:
        phrases.parse(text, "mine.toml")
    lines = [mistake.line for mistake in caught.value.mistakes]
    assert lines == [6, 12, 12]
    assert '"go" would mean two things' in str(caught.value)
    with pytest.raises(FileMistakes, match="numbers written out"):
        phrases.parse(text.replace('["go"]', '["2 more minutes"]'), "mine.toml")


MINE = """
language = "xx"
title = "X"
prefix = "PREFIX"
[[command]]
action = "next"
does = "moves on"
phrases = ["PHRASE"]
"""


@pytest.mark.parametrize(
    "words",
    [
        "próxima sesión",
        "continúa",
        "l'étape suivante",
        "część następna",
        "další část",
        "şimdi devam et",
        "επόμενο μέρος",
        "следующая часть",
        "الجزء التالي",
        "अगला भाग",
        "می\u200cخواهم",  # noqa: RUF001
        "ถัดไป",
        "次へ",
        "rendez-vous",
        "'s avonds",
        "Nächster Teil",
    ],
)
def test_words_of_any_language(tmp_path: Path, words: str) -> None:
    found = phrases.parse(MINE.replace("PHRASE", words).replace("PREFIX", words.split()[0]), "xx.toml")
    assert found.commands[0].written == (words,)
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[commands]\nprefix = "{words.split()[0]}"\n', encoding="utf-8")
    assert load_settings(settings).commands.prefix == words.split()[0]


@pytest.mark.parametrize(
    "words", ["2 minutes", "yes!", "a  b", " a", "", "-", "a-", "'", "a\tb", "a, b", "x\u202e"]
)
def test_what_are_no_words(tmp_path: Path, words: str) -> None:
    with pytest.raises(FileMistakes, match="numbers written out"):
        phrases.parse(MINE.replace("PHRASE", words).replace("PREFIX", "x"), "xx.toml")
    if words:  # as a prefix nothing means: the language's own
        settings = tmp_path / "settings.toml"
        settings.write_text(f'[commands]\nprefix = "{words}"\n', encoding="utf-8")
        with pytest.raises(FileMistakes, match=r"numbers written out|use one word|valid TOML"):
            load_settings(settings)


def test_the_same_word_is_the_same_text_however_it_was_typed() -> None:
    typed = phrases.parse(MINE.replace("PHRASE", "l\u2019e\u0301tape").replace("PREFIX", "x"), "xx.toml")
    assert typed.commands[0].texts == ("l'\u00e9tape",)
