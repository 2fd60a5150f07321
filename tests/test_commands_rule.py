"""When an utterance is a command: the listener's part of it, with an engine that says what it is told to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from voice_facilitator.files import phrases
from voice_facilitator.files.phrases import Phrases
from voice_facilitator.files.settings import load_defaults
from voice_facilitator.hearing.commands.commands import CommandListener, Recognised
from voice_facilitator.hearing.sound.activity import CHUNK
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.session.events import VOICE, Action, NotUnderstood, Request

SETTINGS = load_defaults().commands
HOLD_SECONDS = load_defaults().hearing.speech_hold_seconds
ENGLISH = phrases.load("en")
NEXT, BACK = Request(Action.NEXT, VOICE), Request(Action.BACK, VOICE)


def said_for(request: Request) -> list[str]:
    """Every phrase for it."""
    sayable = ENGLISH.sayable(frozenset(Action))
    return [text for text, phrase in sayable.items() if phrase.request == request]


class Engine:
    """Recognises whatever it was given."""

    name = "given"

    def __init__(self, answer: Recognised) -> None:
        self.answer = answer
        self.heard: list[Floats] = []

    def unknown_words(self, _phrases: Phrases) -> set[str]:
        return set()

    def recognise(self, samples: Floats, _texts: frozenset[str]) -> Recognised:
        self.heard.append(samples.copy())
        return self.answer


def utterance(
    engine: Engine, sound: Floats | None = None, *, pause: int = 40
) -> Request | NotUnderstood | None:
    """What comes of a second of speech between pauses. pause: chunks before it."""
    listener = CommandListener(SETTINGS, engine, ENGLISH, HOLD_SECONDS)
    listener.allow(frozenset({Action.NEXT, Action.BACK}))
    if sound is None:
        sound = np.full(30 * CHUNK, 0.01, np.float32)
    silence = np.zeros(CHUNK, np.float32)
    found: list[Request | NotUnderstood | None] = []
    found += [listener.hear(silence, speech=False, own_voice=False) for _ in range(40)]
    for begin in range(0, len(sound), CHUNK):
        found.append(listener.hear(sound[begin : begin + CHUNK], speech=True, own_voice=False))
    found += [listener.hear(silence, speech=False, own_voice=False) for _ in range(40)]
    (answer,) = [one for one in found if one is not None] or [None]
    return answer


def test_a_phrase_with_a_score_above_the_margin_is_a_command() -> None:
    text = said_for(NEXT)[0]
    assert utterance(Engine(Recognised(text, SETTINGS.margin))) == NEXT
    assert utterance(Engine(Recognised(text, SETTINGS.margin - 0.01))) is None
    assert utterance(Engine(Recognised("", 9.0, begins=ENGLISH.prefix))) == NotUnderstood()


def test_of_two_equally_likely_commands_none_is_taken() -> None:
    """Nobody knows which; whoever said it is told that it was not understood."""
    next_, back = said_for(NEXT), said_for(BACK)
    both = Recognised(next_[0], 9.0, begins=ENGLISH.prefix, rivals=frozenset({back[0]}))
    assert utterance(Engine(both)) == NotUnderstood()
    same = Recognised(next_[0], 9.0, rivals=frozenset(next_[1:]))
    assert len(next_) > 1
    assert utterance(Engine(same)) == NEXT, "another word for the same"


@tries(60)
@given(st.floats(1e-4, 0.3), st.integers(0, 100))
def test_however_far_away_somebody_sits_the_engine_hears_them_at_one_level(
    loudness: float, seed: int
) -> None:
    engine = Engine(Recognised(""))
    rng = np.random.default_rng(seed)
    utterance(engine, (loudness * rng.uniform(-1, 1, 30 * CHUNK)).astype(np.float32))
    (heard,) = engine.heard
    level = 20 * np.log10(np.sqrt(np.mean(heard**2)))
    assert level == pytest.approx(-26, abs=0.1)


def test_a_click_does_not_overdrive_the_engine() -> None:
    engine = Engine(Recognised(""))
    sound = np.full(30 * CHUNK, 1e-4, np.float32)
    sound[5000] = 1.0
    utterance(engine, sound)
    assert np.abs(engine.heard[0]).max() == 1


@pytest.mark.parametrize("chunks", [8, 200])
def test_what_is_too_short_or_too_long_for_a_command_is_never_looked_at(chunks: int) -> None:
    engine = Engine(Recognised(said_for(NEXT)[0], 9.0))
    assert utterance(engine, np.full(chunks * CHUNK, 0.01, np.float32)) is None
    assert engine.heard == []
