"""The notice for participants and what the program says at the beginning are the same promise."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from voice_facilitator import phrases, protocols
from voice_facilitator.hearing import microphone
from voice_facilitator.session.events import Action
from voice_facilitator.settings import load_settings

DOCS = Path(__file__).parent.parent / "docs"


def _page(name: str) -> str:
    return re.sub(r"\s+", " ", (DOCS / name).read_text(encoding="utf-8"))


NOTICES = {
    "en": _page("privacy.md").split("## 1. ")[1].split("## 2. ")[0].replace("**", ""),
    "de": _page("privacy-de.md").replace("**", ""),
}
SAID = {
    "en": (
        r"I listen for (who is|whether someone is) speaking",
        "Nothing is recorded, and nothing is kept",
        "deleted",
    ),
    "de": (
        r"ich höre darauf, (wer|ob jemand) spricht",
        "Nichts wird aufgenommen, und nichts wird aufbewahrt",
        "gelöscht",
    ),
}


@pytest.mark.parametrize("name", protocols.names())
def test_every_session_says_it_at_the_beginning_and_at_the_end(name: str) -> None:
    protocol = protocols.load(name)
    language = protocol.language.split("-")[0]
    listens, keeps_nothing, deleted = SAID[language]
    known = phrases.load(language)
    wording = replace(
        protocols.load_wording(protocol.language),
        prefix=known.prefix,
        timer_only=known.shown_for(Action.TIMER_ONLY),
    )
    welcome = wording.fill(protocol.phases[0].announcement)
    assert re.search(listens, welcome)
    assert keeps_nothing in welcome
    assert deleted in protocol.goodbye
    assert _timer_only(language) in welcome.casefold()
    assert re.search(r"\bT\.", welcome), "and the key"


@pytest.mark.parametrize("language", NOTICES)
def test_the_notice_says_the_same(language: str) -> None:
    notice = NOTICES[language].casefold()
    _, keeps_nothing, _ = SAID[language]
    assert keeps_nothing.replace(",", "").casefold() in notice.replace(",", "")
    assert f'"{_timer_only(language)}"' in notice
    assert {"en": "the key t,", "de": "die taste t,"}[language] in notice
    assert {"en": "overwritten", "de": "überschrieben"}[language] in notice
    assert len(notice.split()) < 450, "one page"


@pytest.mark.parametrize("language", NOTICES)
def test_what_is_shown_says_the_same(language: str) -> None:
    sentences = protocols.load_phrases({"en": "en-gb"}.get(language, language))
    _, keeps_nothing, _ = SAID[language]
    shown = sentences["consent"]
    assert {"en": "not for what is said", "de": "nicht darauf, was gesagt wird"}[language] in shown
    kept = re.split(r", (?:and|und) ", keeps_nothing)  # both halves, however they are joined
    assert all(re.search(half, shown, re.IGNORECASE) for half in kept)
    assert re.search(r"\bT\.|\bdrückt T\b", shown)
    assert re.search(kept[1], sentences["consent.timer-only"])


def test_never_more_than_ten_seconds_of_the_room() -> None:
    waiting = microphone._RING_SECONDS + 2 * microphone._READ_SECONDS
    command = load_settings().commands.longest_seconds
    assert "at most ten seconds of sound" in NOTICES["en"]
    assert "zu keiner Zeit mehr als zehn Sekunden Ton" in NOTICES["de"]
    assert waiting + max(1.6, command) <= 10


def _timer_only(language: str) -> str:
    known = phrases.load(language)
    first = next(c for c in known.commands if c.action is Action.TIMER_ONLY).texts[0]
    return f"{known.prefix}, {first}"
