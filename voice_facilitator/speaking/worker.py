"""The speaking process from the inside: renders ahead, plays one announcement after the other.

Threads: one listens to the program, one or two render, PortAudio's feeds the speaker, and the main one plays
and gives signs of life. When the main one hangs in a sound library, the signs stop, and the program kills
this process and starts another.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files.settings import SpeakingSettings
from voice_facilitator.machine import soundcard
from voice_facilitator.machine.child_process import EXIT_WEDGED, Pipes
from voice_facilitator.machine.soundcard import Samples
from voice_facilitator.privacy.confinement import harden
from voice_facilitator.session.events import Outcome, Part
from voice_facilitator.speaking import messages as m
from voice_facilitator.speaking.chime import chime
from voice_facilitator.speaking.engine import SpeechEngine, engine_for
from voice_facilitator.speaking.player import Played, Player, SpeakerWedgedError
from voice_facilitator.speaking.renderer import Renderer

ALIVE_SECONDS = 0.5
RENDER_NOW_SECONDS = 3.0  # how long an announcement waits for its words before it is chimed only
STALE_SECONDS = 6.0  # an announcement this late is not said any more: the room has moved on
SPEAKER_RETRY_SECONDS = 3.0
PAUSE_SECONDS = 0.1  # between the chime, which has died away, and the voice


def run(pipes: Pipes[m.Control, m.Report]) -> None:
    """The process's main function."""
    harden()
    soundcard.silence_native_noise()
    setup = pipes.receive(m.CONTROLS)
    assert isinstance(setup, m.Setup)
    engine = engine_for(setup.settings, setup.engine)
    Worker(pipes, setup.settings, engine, setup.retry_seconds).run(list(setup.texts))


class Worker:
    """See the module."""

    def __init__(
        self,
        pipes: Pipes[m.Control, m.Report],
        settings: SpeakingSettings,
        engine: SpeechEngine,
        retry_seconds: float,
        *,
        new_player: Callable[[str, Callable[[], None]], Player] = Player,
    ) -> None:
        self._pipes = pipes
        self._settings = settings
        self._renderer = Renderer(engine, self._engine_works, self._progress, retry_seconds)
        self._player = new_player(settings.speaker, self._tick)
        self._last_alive = 0.0
        self._last_end = 0.0
        self._speaker_works = True
        self._speaker_retry = min(SPEAKER_RETRY_SECONDS, retry_seconds)
        self._try_speaker_at = 0.0
        self._abort = threading.Event()
        self._change = threading.Condition()
        # Guarded by `_change`; bounded by the program, which has a few announcements open at most.
        self._queue: deque[m.Say] = deque()
        self._current: m.Say | None = None
        self._closing = False

    def run(self, texts: list[str]) -> None:
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        self._renderer.prepare(texts)
        self._tick()
        self._try_speaker()
        while (say := self._next()) is not None or not self._closing:
            if say is not None:
                self._finish(say, self.announce(say))
            elif not self._speaker_works and time.monotonic() >= self._try_speaker_at:
                self._try_speaker()
        os._exit(0)  # the libraries' own clean-up can hang

    # ------------------------------------------------------------ from the program

    def _listen(self) -> None:
        while True:
            control = self._pipes.receive(m.CONTROLS)
            with self._change:
                match control:
                    case m.Say():
                        self._queue.append(control)
                    case m.Stop():
                        self._drop_all()
                    case m.Close():
                        self._drop_all()
                        self._closing = True
                self._change.notify_all()

    def _drop_all(self) -> None:
        self._abort.set()
        while self._queue:
            self._send(m.Finished(self._queue.popleft().number, Outcome.STOPPED))

    def _next(self) -> m.Say | None:
        """The next announcement, or None after a while."""
        self._tick()
        with self._change:
            if not self._queue and not self._closing:
                self._change.wait(0.2)
            self._current = self._queue.popleft() if self._queue else None
            self._abort.clear()  # under the lock: a stop that comes from now on is meant for this one
            return self._current

    # ------------------------------------------------------------ one announcement

    def announce(self, say: m.Say) -> Outcome:
        """Say it now, unless it is too late for that."""
        if time.monotonic() - max(say.asked_at, self._last_end) > STALE_SECONDS:
            return Outcome.FAILED
        speech = None
        if say.voice:
            speech = self._renderer.get(say.text, RENDER_NOW_SECONDS, self._abort, self._tick)
        if self._abort.is_set():
            return Outcome.STOPPED
        # Words that cannot be had are replaced by the chime, so that people look at the display.
        with_chime = say.chime or (say.voice and speech is None)

        def sound(rate: int) -> Samples:
            parts = [chime(rate, self._settings.chime_volume)] if with_chime else []
            if speech is not None:
                parts += [np.zeros(int(PAUSE_SECONDS * rate), np.int16)] if parts else []
                parts.append(speech.at_rate(rate, self._settings.volume))
            return np.concatenate(parts) if parts else np.zeros(0, np.int16)

        outcome = Outcome.CHIMED if speech is None else Outcome.SPOKEN

        def ended(played: Played) -> None:
            self._finish(say, Outcome.STOPPED if played.aborted else outcome)

        # `ended` answers at the last sample already, before the speaker is closed.
        played = self._play(sound, lambda: self._send(m.Started(say.number)), ended)
        return outcome if played else Outcome.FAILED

    def _play(
        self,
        sound: Callable[[int], Samples],
        on_start: Callable[[], None] = lambda: None,
        on_end: Callable[[Played], None] = lambda _: None,
    ) -> Played | None:
        """Plays, after a fresh look at the devices if need be. None: the speaker is lost."""
        started = False

        def starts() -> None:
            nonlocal started
            started = True
            on_start()

        def ended(played: Played) -> None:
            self._last_end = time.monotonic()
            on_end(played)

        for fresh_look in dict.fromkeys((not self._speaker_works, True)):
            try:
                if fresh_look:
                    soundcard.restart()
                played = self._player.play(sound, abort=self._abort, on_start=starts, on_end=ended)
            except FacilitatorError:
                self._tick()
                if started or self._abort.is_set():  # nobody wants the beginning twice
                    break
            except SpeakerWedgedError:
                self._speaker_is(works=False)
                if self._current is not None:
                    self._finish(self._current, Outcome.FAILED)
                os._exit(EXIT_WEDGED)
            else:
                self._speaker_is(works=True)
                return played
        self._speaker_is(works=False)
        return None

    def _finish(self, say: m.Say, outcome: Outcome) -> None:
        """Answers an announcement, once."""
        with self._change:
            if self._current is not say:
                return
            self._current = None
        self._send(m.Finished(say.number, outcome))

    # ------------------------------------------------------------ the parts

    def _try_speaker(self) -> None:
        """Plays a moment of silence: that a device is listed says little."""
        self._play(lambda rate: np.zeros(rate // 50, np.int16))

    def _speaker_is(self, *, works: bool) -> None:
        self._speaker_works = works
        self._try_speaker_at = time.monotonic() + self._speaker_retry
        self._send(m.PartWorks(Part.SPEAKER, works))

    def _engine_works(self, works: bool) -> None:
        self._send(m.PartWorks(Part.SPEECH_ENGINE, works))

    def _progress(self, done: int, total: int) -> None:
        self._send(m.Progress(done, total))

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._last_alive >= ALIVE_SECONDS:
            self._last_alive = now
            self._send(m.Alive())

    def _send(self, report: m.Report) -> None:
        self._pipes.send(m.REPORTS, report)
