"""From audio to events: the one object that live sessions and replays share. No clock, no thread, no file.

Time is the position in the audio. An event carries the time at which the program knew it, never an
earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from voice_facilitator.files.settings import HearingSettings
from voice_facilitator.hearing.commands.commands import CommandListener
from voice_facilitator.hearing.sound.activity import CHUNK, CHUNK_SECONDS, VoiceActivity
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.who.encoder import WINDOW_SAMPLES
from voice_facilitator.hearing.who.presenter import PresenterModel
from voice_facilitator.hearing.who.speaker import Decision, Heard, Piece, WhoSpeaks
from voice_facilitator.hearing.who.turns import HOP_CHUNKS, HOP_SECONDS
from voice_facilitator.hearing.who.voice_model import Rule, VoiceModel
from voice_facilitator.privacy.memory import move, private_zeros
from voice_facilitator.session import events
from voice_facilitator.session.events import Input, Seconds

WINDOW_CHUNKS = WINDOW_SAMPLES // CHUNK  # 50
_BATCH_CHUNKS = 32 * HOP_CHUNKS  # analysed at once: bounds the memory
_LEAST_SPEECH = 0.7  # share of a full window that must be speech
_SHORTEST_CHUNKS = 12  # 0.38 s: with less, a voice cannot be told at all
_PAUSE_CHUNKS = 5  # after the hold (so 0.35 s in all): another person may speak next
_QUIETEST = -120.0  # dBFS

Timed = tuple[Seconds, Input]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """32 ms of analysed audio. What looks at the sound itself is good until the next frame."""

    time: Seconds  # its end, as position in the audio
    speech: bool
    level: float = _QUIETEST  # dBFS
    full: Piece | None = None  # the last 1.6 s; once a hop, as is the next, where there is enough speech
    fresh: Piece | None = None  # what was said since the last short pause, if less than 1.6 s
    sound: Floats | None = None  # the chunk itself, float32 [512], for commands

    def wipe(self) -> None:
        """Overwrite the voices that were worked out."""
        for piece in (self.full, self.fresh):
            if piece is not None:
                piece.wipe()


class Hearing:
    """Feed it samples and tell it what the session listens for; it answers with events."""

    def __init__(
        self,
        settings: HearingSettings,
        voices: VoiceModel | None,
        commands: CommandListener | None = None,
    ) -> None:
        """Without a voice model it tells speech from silence only, and any speech is `unsure`."""
        self._commands = commands
        self._encoder = None if voices is None else voices.encoder
        self._activity = VoiceActivity(settings.speech_threshold, settings.speech_hold_seconds)
        self._tail = settings.gate_tail_seconds
        rule = Rule() if voices is None else voices.rule
        self._model = None
        if voices is not None:
            self._model = PresenterModel(voices.encoder.dim, voices.cohort, rule, HOP_SECONDS)
        repeat = max(1, round(settings.hop_seconds / HOP_SECONDS))
        self._hop = HOP_CHUNKS * repeat
        self._speaker = WhoSpeaks(self._model, rule, None if voices is None else voices.remark, repeat)
        # analysis
        # The last 1.6 s, and behind them `_pending` samples that wait to be analysed, all of a batch at most.
        self._audio: Floats = private_zeros(WINDOW_SAMPLES + _BATCH_CHUNKS * CHUNK)
        self._pending = 0
        self._speech = np.zeros(WINDOW_CHUNKS + _BATCH_CHUNKS, bool)  # the same in chunks
        self._analysed = 0  # chunks
        self._fresh_from = 0  # chunk at which speech began after the last short pause
        self._pause = _PAUSE_CHUNKS  # chunks of silence up to now
        # decision
        self._decided = 0  # chunks
        self._gated = False
        self._usable_from = 0.0
        self._silent_chunks = 0
        self.level = _QUIETEST

    @property
    def time(self) -> Seconds:
        """Position in the audio up to which events were given."""
        return self._decided * CHUNK_SECONDS

    # ------------------------------------------------------------ what the session wants

    def listen(self, effect: events.Listen) -> None:
        """A phase begins, is paused, or goes on after a pause."""
        self._speaker.listen(effect)

    def forget(self, for_good: bool) -> None:
        """Overwrite every voice. `for_good`: learn none again (timer only)."""
        self._speaker.forget(for_good)
        if self._commands is not None:
            self._commands.forget()
        # In the middle of a replay's block the rest of it waits: that was not heard yet.
        waiting = max(0, self._analysed - self._decided)  # chunks
        heard = WINDOW_SAMPLES + (self._pending // CHUNK - waiting) * CHUNK
        self._audio[: heard if waiting else None] = 0
        self._activity.wipe()
        self._usable_from = self.time

    def allow(self, actions: frozenset[events.Action]) -> None:
        """These can be asked for by voice now."""
        if self._commands is not None:
            self._commands.allow(actions)

    def say_again(self) -> None:
        """Report who is heard even if that has not changed: after a gap in the audio nobody knows."""
        self._speaker.say_again()

    def explain(self, to: Callable[[Decision], None]) -> None:
        """Tell `to` what each decision rests on, just before its events are given."""
        self._speaker.explain = to

    def gate(self, closed: bool) -> None:
        """We are speaking (or have stopped): nothing heard now, or in a tail after it, is a person's."""
        if self._gated and not closed:
            self._usable_from = self.time + self._tail
        self._gated = closed

    # ------------------------------------------------------------ audio in, events out

    def feed(self, samples: Floats) -> list[Timed]:
        """Hear float32 mono 16 kHz samples of any number; the events in time order."""
        return [(time, event) for time, found in self.steps(samples) for event in found]

    def steps(self, samples: Floats) -> Iterator[tuple[Seconds, list[Input]]]:
        """Like `feed`, one step of 32 ms at a time.

        `listen`, `forget` and `gate` may be called between the steps: a replay can hand over many seconds
        at once and still answer each event at its time.
        """
        for frame in self._analyse(samples):
            found = self.decide(frame)
            frame.wipe()
            yield frame.time, found

    def _analyse(self, samples: Floats) -> Iterator[Frame]:
        taken = 0
        while taken < len(samples):
            begin = WINDOW_SAMPLES + self._pending
            part = samples[taken : taken + len(self._audio) - begin]
            self._audio[begin : begin + len(part)] = part
            self._pending += len(part)
            taken += len(part)
            count = self._pending // CHUNK
            if count:
                yield from self._analyse_chunks(count)
                self._move_on(count)

    def _analyse_chunks(self, count: int) -> list[Frame]:
        """Speech, level and sound of `count` chunks. What it answers depends on the audio alone."""
        speech = self._speech
        frames = []
        for k in range(count):
            chunk = self._audio[WINDOW_SAMPLES + k * CHUNK :][:CHUNK]
            spoken = speech[WINDOW_CHUNKS + k] = self._activity.step(chunk)
            number = self._analysed + k + 1
            if spoken and self._pause >= _PAUSE_CHUNKS:
                self._fresh_from = number - 1
            self._pause = 0 if spoken else self._pause + 1
            full = fresh = None
            if spoken and number % self._hop == 0 and not self._speaker.timer_only:
                length = number - self._fresh_from
                if speech[k + 1 : k + 1 + WINDOW_CHUNKS].mean() >= _LEAST_SPEECH:
                    full = self._piece(k, WINDOW_CHUNKS)
                if _SHORTEST_CHUNKS <= length < WINDOW_CHUNKS:
                    fresh = self._piece(k, length)
            level = 10 * float(np.log10(np.mean(chunk * chunk, dtype=np.float64) + 1e-12))
            frames.append(Frame(number * CHUNK_SECONDS, spoken, level, full, fresh, chunk))
        self._analysed += count
        return frames

    def _move_on(self, count: int) -> None:
        """`count` chunks have been decided on: only the last 1.6 s are kept."""
        end = WINDOW_SAMPLES + self._pending
        self._pending -= count * CHUNK
        move(self._audio, 0, count * CHUNK, end)
        self._audio[WINDOW_SAMPLES + self._pending : end] = 0
        move(self._speech, 0, count, count + WINDOW_CHUNKS)
        if self._speaker.timer_only:  # nobody looks at it any more
            self._audio[:WINDOW_SAMPLES] = 0

    def _piece(self, k: int, chunks: int) -> Piece | None:
        """So many chunks up to the end of chunk `k` of those that wait."""
        if (encoder := self._encoder) is None:
            return None
        window = self._audio[(k + 1) * CHUNK :][:WINDOW_SAMPLES]
        start = np.array([WINDOW_SAMPLES - chunks * CHUNK], np.int64)
        return Piece(
            chunks * CHUNK_SECONDS,
            lambda: encoder.encode(window[None], start)[0],
            partial(encoder.two_voices, window) if encoder.tells_two and chunks == WINDOW_CHUNKS else None,
        )

    # ------------------------------------------------------------ decisions

    def decide(self, frame: Frame) -> list[Input]:
        """What an analysed frame means now. Frames come in order."""
        self._decided += 1
        self.level = frame.level
        out: list[Input] = []
        own_voice = self._gated or frame.time <= self._usable_from
        if self._commands is not None and frame.sound is not None:
            command = self._commands.hear(frame.sound, speech=frame.speech, own_voice=own_voice)
            out += [command] if command is not None else []
        if own_voice:
            if self._gated:
                self._usable_from = frame.time
            out += self._speaker.own_voice()
        elif frame.speech:
            self._silent_chunks = 0
            out += self._speaker.speech(self._usable(frame))
        else:
            self._silent_chunks += 1
            out += self._speaker.silence(
                self._silent_chunks * CHUNK_SECONDS,
                pause=self._silent_chunks == _PAUSE_CHUNKS,
                due=self._due,
            )
        return out

    @property
    def _due(self) -> bool:
        """Is a decision due at the last frame?"""
        return self._decided % self._hop == 0

    def _usable(self, frame: Frame) -> Heard:
        """The frame's pieces, unless our own announcement is in them."""

        def usable(piece: Piece | None) -> Piece | None:
            if piece is None or frame.time - piece.seconds < self._usable_from:
                return None
            return piece

        return Heard(usable(frame.full), usable(frame.fresh), due=self._due)
