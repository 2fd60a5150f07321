"""From audio to events: the one object that live sessions and replays share. No clock, no thread, no file.

Time is the position in the audio. An event carries the time at which the program knew it, never an
earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from voice_facilitator.hearing.activity import CHUNK, CHUNK_SECONDS, VoiceActivity
from voice_facilitator.hearing.commands import CommandListener
from voice_facilitator.hearing.encoder import RATE, WINDOW_SAMPLES, Floats, SpeakerEncoder
from voice_facilitator.hearing.presenter import PresenterModel
from voice_facilitator.hearing.turns import Turns
from voice_facilitator.hearing.voice_model import Cohort, Rule
from voice_facilitator.privacy.memory import move, private_zeros
from voice_facilitator.session import events
from voice_facilitator.session.events import Enrolment, Input, Seconds, SpeakerState
from voice_facilitator.settings import HearingSettings

WINDOW_CHUNKS = WINDOW_SAMPLES // CHUNK  # 50
HOP_CHUNKS = 6  # windows end every 0.192 s
HOP_SECONDS = HOP_CHUNKS * CHUNK_SECONDS
_BATCH_CHUNKS = 32 * HOP_CHUNKS  # analysed at once: bounds the memory, fills the encoder's batch
_LEAST_SPEECH = 0.7  # share of a full window that must be speech
_SHORTEST_CHUNKS = 12  # 0.38 s: with less, a voice cannot be told at all
_PAUSE_CHUNKS = 5  # of held silence (so 0.35 s in all): another person may speak next
_STRETCH_SECONDS = 0.8  # a pause longer than this ends a stretch of speech
_QUIETEST = -120.0  # dBFS
_UNSURE_STRENGTH = 0.5  # evidence never exceeds this while the presenter is not well known

_PRIOR_STORY = 4.0  # log-odds of the presenter before listening, by what the phase is for
_PRIOR_DECIDE = -2.5
_PRIOR_OPEN = 0.0

Timed = tuple[Seconds, Input]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """32 ms of analysed audio. Embeddings come with every sixth frame, where there is enough speech."""

    time: Seconds  # its end, as position in the audio
    speech: bool
    level: float = _QUIETEST  # dBFS
    full: Floats | None = None  # voice of the last 1.6 s
    fresh: Floats | None = None  # voice of what was said since the last short pause, if less than 1.6 s
    fresh_seconds: Seconds = 0.0  # length of that
    sound: Floats | None = None  # the chunk itself, for commands: good until the next frame

    def wipe(self) -> None:
        """Overwrite the embeddings: who wants to keep them has copied them."""
        for voice in (self.full, self.fresh):
            if voice is not None:
                voice[:] = 0


class Hearing:
    """Feed it samples and tell it what the session listens for; it answers with events."""

    def __init__(
        self,
        settings: HearingSettings,
        encoder: SpeakerEncoder | None,
        cohort: Cohort | None = None,
        rule: Rule | None = None,
        commands: CommandListener | None = None,
    ) -> None:
        """Without an encoder it tells speech from silence only, and any speech is `unsure`."""
        self._commands = commands
        self._encoder = encoder
        self._activity = VoiceActivity(settings.speech_threshold, settings.speech_hold_seconds)
        self._tail = settings.gate_tail_seconds
        self._rule = rule or Rule()
        self._model = (
            PresenterModel(encoder.dim, cohort, self._rule, HOP_SECONDS) if encoder is not None else None
        )
        self._turns = Turns(self._rule)
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
        self._mode = events.Listen(0.0, enrol=False, learn_others=False, decide=False)
        self._phase = self._mode  # the same but for pauses
        self._timer_only = False
        self._gated = False
        self._usable_from = 0.0
        self._silent_chunks = 0
        self._who: SpeakerState | None = None
        self._strength = 0.0
        self._enrolment = events.EnrolmentChanged(Enrolment.NONE)
        self.level = _QUIETEST

    @property
    def time(self) -> Seconds:
        """Position in the audio up to which events were given."""
        return self._decided * CHUNK_SECONDS

    @property
    def hangover_seconds(self) -> Seconds:
        """Silence is reported this much after the last sound of speech."""
        return self._activity.hold_seconds

    # ------------------------------------------------------------ what the session wants

    def listen(self, effect: events.Listen) -> None:
        """A phase begins, is paused, or goes on after a pause."""
        model, before = self._model, self._phase
        self._mode = effect
        self._turns.end()
        if effect.paused:
            return
        self._phase = effect
        if model is None or self._timer_only:
            return
        if before.enrol and not effect.enrol:
            model.finish_presenter()
        elif before.learn_others and not effect.learn_others:
            model.finish_round()
        if effect.new_presenter:
            model.forget_presenter()

    def forget(self, for_good: bool) -> None:
        """Overwrite every voice. `for_good`: learn none again (timer only)."""
        if self._model is not None:
            self._model.forget()
        if self._commands is not None:
            self._commands.forget()
        self._audio[:] = 0
        self._activity.wipe()
        self._usable_from = self.time
        self._turns.end()
        self._timer_only = self._timer_only or for_good

    def allow(self, actions: frozenset[events.Action]) -> None:
        """These can be asked for by voice now."""
        if self._commands is not None:
            self._commands.allow(actions)

    def say_again(self) -> None:
        """Report who is heard even if that has not changed: after a gap in the audio nobody knows."""
        self._who = None

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
        at once (the encoder is twice as fast in batches) and still answer each event at its time.
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
        """Speech, level and voice of `count` chunks. What it answers depends on the audio alone."""
        speech = self._speech
        levels: list[float] = []
        wanted: list[tuple[int, int]] = []  # chunk, and how many chunks of the window do not count
        for k in range(count):
            chunk = self._audio[WINDOW_SAMPLES + k * CHUNK :][:CHUNK]
            spoken = speech[WINDOW_CHUNKS + k] = self._activity.step(chunk)
            levels.append(10 * float(np.log10(np.mean(chunk * chunk, dtype=np.float64) + 1e-12)))
            number = self._analysed + k + 1
            if spoken and self._pause >= _PAUSE_CHUNKS:
                self._fresh_from = number - 1
            self._pause = 0 if spoken else self._pause + 1
            if not spoken or number % HOP_CHUNKS or self._timer_only:
                continue
            fresh = number - self._fresh_from
            if speech[k + 1 : k + 1 + WINDOW_CHUNKS].mean() >= _LEAST_SPEECH:
                wanted.append((k, 0))
            if _SHORTEST_CHUNKS <= fresh < WINDOW_CHUNKS:
                wanted.append((k, WINDOW_CHUNKS - fresh))
        voices = self._encode(wanted)
        frames = []
        for k in range(count):
            fresh_voice, skipped = voices.get((k, False), (None, WINDOW_CHUNKS))
            frames.append(
                Frame(
                    time=(self._analysed + k + 1) * CHUNK_SECONDS,
                    speech=bool(speech[WINDOW_CHUNKS + k]),
                    sound=self._audio[WINDOW_SAMPLES + k * CHUNK :][:CHUNK],
                    level=levels[k],
                    full=voices.get((k, True), (None, 0))[0],
                    fresh=fresh_voice,
                    fresh_seconds=(WINDOW_CHUNKS - skipped) * CHUNK_SECONDS,
                )
            )
        self._analysed += count
        return frames

    def _move_on(self, count: int) -> None:
        """`count` chunks have been decided on: only the last 1.6 s are kept."""
        end = WINDOW_SAMPLES + self._pending
        self._pending -= count * CHUNK
        move(self._audio, 0, count * CHUNK, end)
        self._audio[WINDOW_SAMPLES + self._pending : end] = 0
        move(self._speech, 0, count, count + WINDOW_CHUNKS)
        if self._timer_only:  # nobody looks at it any more
            self._audio[:WINDOW_SAMPLES] = 0

    def _encode(self, wanted: list[tuple[int, int]]) -> dict[tuple[int, bool], tuple[Floats, int]]:
        """The voices of the wanted windows, by chunk and whether the window is a full one."""
        if not wanted or self._encoder is None:
            return {}
        windows = np.stack([self._audio[(k + 1) * CHUNK :][:WINDOW_SAMPLES] for k, _ in wanted])
        rows = self._encoder.encode(windows, np.array([skip * CHUNK for _, skip in wanted], np.int64))
        windows[:] = 0
        return {(k, skip == 0): (row, skip) for (k, skip), row in zip(wanted, rows, strict=True)}

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
            self._turns.end()
            self._evidence(0.0, frame.time, out)
            self._show(SpeakerState.SELF, out)
        elif frame.speech:
            self._hear_speech(frame, out)
        else:
            self._silent_chunks += 1
            if self._silent_chunks == _PAUSE_CHUNKS:
                self._turns.pause()
            if self._silent_chunks * CHUNK_SECONDS > _STRETCH_SECONDS:
                self._turns.end()
                self._evidence(0.0, frame.time, out)
            self._show(SpeakerState.SILENCE, out)
        return out

    def _hear_speech(self, frame: Frame, out: list[Input]) -> None:
        self._silent_chunks = 0
        self._turns.begin(frame.time - CHUNK_SECONDS, self._prior())
        model = self._model
        if model is None or self._timer_only:
            self._show(SpeakerState.UNSURE, out)
            return
        full, fresh = self._usable(frame)
        if full is not None:
            if self._mode.enrol:
                model.learn_presenter(full)
            elif self._mode.learn_others:
                model.learn_other(full)
            self._show_enrolment(out)
        if model.known and self._decided % HOP_CHUNKS == 0:
            self._turns.hop(
                frame.time,
                None if full is None else model.score(full),
                None if fresh is None else model.score(fresh),
                frame.fresh_seconds / (WINDOW_SAMPLES / RATE),
                self._prior(),
            )
            if self._mode.decide:
                screen = self._rule.screen if model.everybody_heard else self._rule.screen_unheard
                strength = self._turns.strength(screen)
                if model.enrolment is not Enrolment.READY:  # not known well enough to tell anybody anything
                    strength = min(strength, _UNSURE_STRENGTH)
                self._evidence(strength, frame.time, out)
        self._show(self._speaker(), out)

    def _usable(self, frame: Frame) -> tuple[Floats | None, Floats | None]:
        """The frame's voices, unless our own announcement is in them."""
        full = frame.full if frame.time - WINDOW_SAMPLES / RATE >= self._usable_from else None
        fresh = frame.fresh if frame.time - frame.fresh_seconds >= self._usable_from else None
        return full, fresh

    def _prior(self) -> float:
        if self._mode.enrol:
            return _PRIOR_STORY
        return _PRIOR_DECIDE if self._mode.decide else _PRIOR_OPEN

    def _speaker(self) -> SpeakerState:
        model = self._model
        assert model is not None
        if not model.known:
            # In the round nobody is the presenter yet; in the story it is soon to be known.
            return SpeakerState.OTHER if self._mode.learn_others else SpeakerState.UNSURE
        return SpeakerState.PRESENTER if self._turns.odds > 0 else SpeakerState.OTHER

    def _show(self, who: SpeakerState, out: list[Input]) -> None:
        if who is not self._who:
            self._who = who
            out.append(events.SpeakerChanged(who))

    def _evidence(self, strength: float, time: Seconds, out: list[Input]) -> None:
        strength = round(strength, 1)
        if strength >= 0.3 or strength != self._strength:
            self._strength = strength
            out.append(events.PresenterEvidence(strength, round(self._turns.seconds(time), 2)))

    def _show_enrolment(self, out: list[Input]) -> None:
        model = self._model
        assert model is not None
        now = events.EnrolmentChanged(model.enrolment, float(int(model.seconds)), model.other_voices)
        before = self._enrolment
        grown = now.presenter_seconds - before.presenter_seconds
        if (now.quality, now.other_voices) != (before.quality, before.other_voices) or not 0 <= grown < 10:
            self._enrolment = now
            out.append(now)
