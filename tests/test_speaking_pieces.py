"""Long texts: in pieces that the engine can render in time, none of them lost."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from tests.speech_engines import ToneEngine
from tests.test_protocols import GOOD
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import load_defaults
from voice_facilitator.speaking.engine import PAUSE_SECONDS, Speech
from voice_facilitator.speaking.pieces import MOST_EFFORT, _effort, digit_by_digit, pieces
from voice_facilitator.speaking.renderer import Renderer
from voice_facilitator.tools import doctor

SETTINGS = load_defaults()
LONG = {
    "no pause": "word " * 240,
    "one word": "a" * 1200,
    "digits": "1" * 1200,
    "signs the voice does not know": "\u6f22" * 1200,
    "commas": "a contact, " * 110,
    "sentences": "This is one of the sentences. " * 40,
}


def letters(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_each_piece_can_be_rendered_in_time(text: str) -> None:
    found = pieces(text)
    assert len(found) > 1
    assert max(map(_effort, found)) <= MOST_EFFORT
    assert letters("".join(found)) == letters(text)


def test_texts_are_parted_where_people_pause() -> None:
    assert all(piece.endswith("sentences.") for piece in pieces(LONG["sentences"]))
    assert all(piece.endswith("contact,") for piece in pieces(LONG["commas"]))
    assert all(piece.endswith("word") for piece in pieces(LONG["no pause"]))
    assert pieces("Short, and whole. As it is.") == ["Short, and whole. As it is."]
    assert pieces("  ") == []


@tries(200)
@given(st.text(max_size=3000) | st.text("a1.\u6f22, \n", max_size=3000))
def test_nothing_is_lost_of_any_text(text: str) -> None:
    found = pieces(text)
    assert letters("".join(found)) == letters(text)
    assert all(0 < _effort(piece) <= MOST_EFFORT and piece == piece.strip() for piece in found)


class LimitedEngine(ToneEngine):
    """Takes too long for what is too long, as espeak-ng does for a minute of digits on a small computer."""

    def render(self, text: str) -> Speech:
        if _effort(text) > MOST_EFFORT:
            raise FacilitatorError("speech-timeout", "It took too long.")
        return super().render(text)


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_long_text_is_said_and_the_voice_stays(text: str, prepared: bool) -> None:
    works: list[bool] = []
    renderer = Renderer(LimitedEngine(SETTINGS.speaking), works.append)
    renderer.prepare([text] if prepared else [])
    speech = renderer.get(text, 20.0, threading.Event(), lambda: None)
    assert speech is not None
    spoken = sum(len(piece.split()) for piece in pieces(text)) * 0.2
    assert speech.seconds == pytest.approx(spoken + (len(pieces(text)) - 1) * PAUSE_SECONDS, abs=0.1)
    assert all(works)
    assert renderer.get("And this too.", 5.0, threading.Event(), lambda: None) is not None


def test_pieces_become_one_sound() -> None:
    first = Speech(np.ones(1000, np.int16), 1000)
    other = Speech(np.ones(4000, np.int16), 2000)
    joined = Speech.joined([first, other])
    assert joined is not None
    assert (joined.rate, joined.seconds) == (1000, pytest.approx(3 + PAUSE_SECONDS, abs=0.01))
    assert Speech.joined([]) is None
    assert Speech.joined([first]) is first


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Helpline 116 123.", "Helpline 1 1 6, 1 2 3."),
        ("116117", "1 1 6 1 1 7"),
        ("0800/111 0 111!", "0 8 0 0, 1 1 1, 0, 1 1 1!"),
        ("+49 (0)30 123-4567", "+ 4 9, 0, 3 0, 1 2 3, 4 5 6 7"),
        *(
            (text, text)
            for text in ("in 2024", "10 000 people", "1,000,000", "at 10:30:45", "2024-12-31", "3.14159265")
        ),
    ],
)
def test_telephone_numbers_are_dictated(written: str, said: str) -> None:
    assert digit_by_digit(written) == said


def test_the_checker_warns_of_what_is_hard_to_listen_to(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        GOOD.replace("You have {minutes}.", "word " * 60).replace("minutes = 10", "minutes = 0.1")
    )
    path.write_text(path.read_text().replace("seconds_left = 60", "seconds_left = 5"))
    notes = protocols.hard_to_follow(protocols.load(str(path)))
    assert [note.partition(":")[0] for note in notes] == ["talk", "talk"]
    assert "299 characters are said without a pause" in notes[0]
    assert "about 21 s, of 6 s" in notes[1]
    for name in protocols.names():
        assert protocols.hard_to_follow(protocols.load(name)) == []
    session = SETTINGS.session.model_copy(update={"support_contacts": ["x" * 1200]})
    (finding,) = doctor._contacts(SETTINGS.model_copy(update={"session": session}))
    assert "1200 characters" in finding.text
