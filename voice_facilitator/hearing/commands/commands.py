"""Finds spoken commands: utterances between pauses, of plausible length, that are one exact phrase.

Running speech is never looked at, which keeps this cheap and is the first half of the rejection. The other
half is the engine's score: how much better the phrase explains the sound than anything else would. Nothing is
done on a recogniser's word alone. What was recognised and is not a command is forgotten at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from voice_facilitator.files.phrases import Phrases
from voice_facilitator.files.settings import CommandSettings
from voice_facilitator.hearing.sound.activity import CHUNK, CHUNK_SECONDS
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.privacy.memory import move, private_zeros
from voice_facilitator.session.events import Action, NotUnderstood, Request

_LEAD_CHUNKS = 10  # 0.3 s before the first sound: a soft "f" lies before the detector's first chunk
_SHORTEST_SECONDS = 0.35  # a bare "stop"; with the prefix no phrase is shorter than 0.9 s
_LEVEL = 10 ** (-26 / 20)  # what recognisers were trained on; people at a table arrive at -45 dBFS


@dataclass(frozen=True, slots=True)
class Recognised:
    """What an engine made of an utterance.

    text: the phrase, or empty. score: 0 is the engine's own limit between a command and anything else,
    higher is surer. rivals: other phrases that are as likely, or nearly. begins: the word of the phrases with
    which it most likely begins, or empty.
    """

    text: str
    score: float = 0.0
    begins: str = ""
    rivals: frozenset[str] = frozenset()


class CommandEngine(Protocol):
    """Something that recognises phrases from a list."""

    @property
    def name(self) -> str:
        """Its name in settings and messages."""
        ...

    def unknown_words(self, phrases: Phrases) -> set[str]:
        """Words of the phrases that it can never hear."""
        ...

    def recognise(self, samples: Floats, texts: frozenset[str]) -> Recognised:
        """The phrase that a whole utterance consists of.

        samples: float32 [n], 16 kHz mono, with 0.3 s before and some silence after.
        texts: at least one phrase.
        """
        ...


class CommandListener:
    """Fed every chunk in order; answers with a request when somebody has given a command."""

    def __init__(
        self,
        settings: CommandSettings,
        engine: CommandEngine,
        phrases: Phrases,
        hold_seconds: float,
        on_heard: Callable[[Recognised, bool], None] | None = None,
    ) -> None:
        """hold_seconds: as for `VoiceActivity`.

        on_heard: told what each utterance was taken for and whether that counts; for practising only.
        """
        self._on_heard = on_heard
        self._engine, self._phrases, self._margin = engine, phrases, settings.margin
        unknown = engine.unknown_words(phrases)
        self._deaf_to = {text for text in phrases.sayable(frozenset(Action)) if unknown & set(text.split())}
        hold = max(1, round(hold_seconds / CHUNK_SECONDS))
        self._before = max(1, round(settings.pause_before_seconds / CHUNK_SECONDS) - hold)
        self._after = max(1, round(settings.pause_after_seconds / CHUNK_SECONDS) - hold)
        self._longest = round(settings.longest_seconds / CHUNK_SECONDS) + hold
        self._shortest = round(_SHORTEST_SECONDS / CHUNK_SECONDS) + hold
        self._sayable = phrases.sayable(frozenset())
        # Allocated once and overwritten after each use: the sound of an utterance stays nowhere else.
        self._sound: Floats = private_zeros((_LEAD_CHUNKS + self._longest + self._after + 1) * CHUNK)
        self._lead: Floats = private_zeros(_LEAD_CHUNKS * CHUNK)
        self._count = 0  # chunks of `_sound` in use
        self._spoken = 0  # chunks from the first to the last speech of the utterance
        self._quiet = self._before  # chunks of silence up to now
        self._active = self._recording = False
        self.decoded = 0  # utterances given to the engine so far, for measurements

    def allow(self, actions: frozenset[Action]) -> None:
        """From now on only these actions can be asked for."""
        sayable = self._phrases.sayable(actions)
        self._sayable = {text: phrase for text, phrase in sayable.items() if text not in self._deaf_to}

    def forget(self) -> None:
        """Overwrite whatever sound is held."""
        self._drop()
        self._lead[:] = 0

    def hear(self, chunk: Floats, *, speech: bool, own_voice: bool) -> Request | NotUnderstood | None:
        """One chunk (float32 [512]). own_voice: we are speaking, or the room still rings with it."""
        if own_voice:
            self._drop()
            self._active = speech  # what began under our own voice has no beginning
            self._quiet = 0 if speech else self._quiet + 1
            self._lead[:] = 0
            return None
        if speech:
            if not self._active:
                self._begin()
            self._quiet = 0
        else:
            self._quiet += 1
        if self._recording:
            self._append(chunk)
        elif not self._active:
            move(self._lead, 0, CHUNK, len(self._lead))
            self._lead[-CHUNK:] = chunk
        if self._active and self._quiet >= self._after:
            self._active = False
            return self._end()
        return None

    def _begin(self) -> None:
        self._active = True
        self._recording = self._quiet >= self._before and bool(self._sayable)
        if self._recording:
            self._sound[: _LEAD_CHUNKS * CHUNK] = self._lead
            self._count, self._spoken = _LEAD_CHUNKS, 0
        self._lead[:] = 0

    def _append(self, chunk: Floats) -> None:
        self._sound[self._count * CHUNK : (self._count + 1) * CHUNK] = chunk
        self._count += 1
        if self._quiet == 0:
            self._spoken = self._count - _LEAD_CHUNKS
            if self._spoken > self._longest:
                self._drop()

    def _end(self) -> Request | NotUnderstood | None:
        if not self._recording or not self._sayable or self._spoken < self._shortest:
            self._drop()
            return None
        sound = self._sound[: self._count * CHUNK]
        level = float(np.sqrt(np.mean(sound * sound, dtype=np.float64)))
        sound *= np.float32(_LEVEL / max(level, 1e-6))
        np.clip(sound, -1, 1, out=sound)
        self.decoded += 1
        heard = self._engine.recognise(sound, frozenset(self._sayable))
        self._drop()
        phrase = self._sayable.get(heard.text)
        counts = phrase is not None and heard.score >= self._margin
        if phrase is not None and any(self._sayable[text].request != phrase.request for text in heard.rivals):
            counts = False  # one of two, and nobody knows which
        if self._on_heard is not None:
            self._on_heard(heard, counts)
        if phrase is not None and counts:
            return phrase.request
        return NotUnderstood() if heard.begins == self._phrases.prefix else None

    def _drop(self) -> None:
        self._sound[: self._count * CHUNK] = 0
        self._recording, self._count, self._spoken = False, 0, 0
