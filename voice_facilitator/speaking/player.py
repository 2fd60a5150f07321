"""Plays one announcement and knows when it is heard, on time.monotonic().

Measured over PulseAudio, and the reason for most of what follows: the first callbacks come in a burst that
fills the buffer, then a speaker that slept takes up to 1.7 s to wake, so the sound starts only when the
callbacks come in step with time; what is buffered when a stream ends is cut off, so silence follows the
sound; and a stream can stop calling without a word.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.machine import soundcard
from voice_facilitator.machine.soundcard import Samples

LEAD_SECONDS = 0.1  # silence before the sound: amplifiers swallow the first moments
WARN_SECONDS = 0.08  # `on_start` comes this much before the sound, never more than 0.1
FADE_SECONDS = 0.02
TAIL_SECONDS = 0.15  # silence after the sound, on top of twice the device's latency
WAKE_SECONDS = 5.0  # how long a sleeping speaker may take to call for the first time in step
STALL_SECONDS = 1.5  # no callback for this long: the speaker is lost
_SLICE_SECONDS = 0.01
_LONGEST_DELAY = 1.0  # some systems tell nonsense; wireless speakers really have 0.3 s


class SpeakerWedgedError(Exception):
    """The sound system hangs; only the end of this process helps."""


@dataclass(frozen=True, slots=True)
class Played:
    """When the sound was heard, on time.monotonic(); both None when it was stopped before it began."""

    start: float | None
    end: float | None
    aborted: bool


class Player:
    """Plays on one speaker, one sound at a time.

    `speaker`: part of the device's name, empty is the default. `tick` is called all the time while it
    plays, as a sign of life.
    """

    def __init__(self, speaker: str, tick: Callable[[], None] = lambda: None) -> None:
        self._speaker = speaker
        self._tick = tick

    def play(
        self,
        sound: Callable[[int], Samples],
        *,
        abort: threading.Event,
        on_start: Callable[[], None] = lambda: None,
        on_end: Callable[[Played], None] = lambda _: None,
    ) -> Played:
        """Plays `sound(rate)`, int16 mono at the speaker's rate in Hz, unless or until `abort` is set.

        `on_start` is called up to 0.1 s before the sound begins, `on_end` just after its last sample.
        Raises FacilitatorError `no-speaker` or `no-portaudio` (before the sound, or when the speaker is lost
        in the middle: then `on_end` was not called), or SpeakerWedgedError.
        """
        feed = Feed(abort)
        stream = soundcard.open_output(self._speaker, feed.fill, feed.finished.set)
        try:
            feed.prepare(sound(stream.rate), stream.rate, stream.latency_seconds)
            stream.start()
            played = self._follow(feed, on_start)
            on_end(played)
            # The silence after the sound has to be played too, or the end of the sound is cut.
            until = time.monotonic() + feed.tail_seconds + 1
            while not feed.finished.is_set() and time.monotonic() < until:
                self._rest()
        finally:
            wedged = not stream.close()
            feed.let_go()
            if wedged:
                raise SpeakerWedgedError
        return played

    def _follow(self, feed: Feed, on_start: Callable[[], None]) -> Played:
        """Waits from the opening of the speaker to the last audible sample."""
        told = False
        last_call_due = time.monotonic() + WAKE_SECONDS
        while True:
            now = time.monotonic()
            if not told and feed.start is not None and now >= feed.start - WARN_SECONDS:
                told = True
                on_start()
            if feed.end is not None and now >= feed.end:
                return Played(feed.start, feed.end, feed.aborted)
            if feed.over_unheard:
                return Played(None, None, aborted=True)
            if feed.in_step:
                last_call_due = max(last_call_due, feed.last_call + STALL_SECONDS)
            if now > last_call_due or (feed.finished.is_set() and feed.end is None):
                raise FacilitatorError(
                    "no-speaker",
                    "The loudspeaker stopped playing.",
                    "Check that it is plugged in and switched on.",
                    exit_code=ExitCode.NO_DEVICE,
                )
            self._rest()

    def _rest(self) -> None:
        self._tick()
        time.sleep(_SLICE_SECONDS)


class Feed:
    """What the sound card's thread plays, and what it noted. Attributes are written by one thread only."""

    def __init__(self, abort: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.finished = threading.Event()
        self.start: float | None = None  # when the first sample is heard; foreseen, then measured
        self.end: float | None = None
        self.aborted = False
        self.over_unheard = False
        self.in_step = False
        self.last_call = 0.0
        self.tail_seconds = 0.0
        self._abort = abort
        self._samples: Samples = np.zeros(0, np.int16)
        self._rate = 1
        self._calls: deque[float] = deque(maxlen=5)
        self._position = 0  # in samples; negative in the silence before the sound
        self._tail = 0

    def prepare(self, samples: Samples, rate: int, latency_seconds: float) -> None:
        self._samples, self._rate = samples, rate
        self._position = -int(LEAD_SECONDS * rate)
        self.tail_seconds = 2 * latency_seconds + TAIL_SECONDS
        self._tail = int(self.tail_seconds * rate)

    def let_go(self) -> None:
        """A closed stream and its callbacks hold each other, and this, until Python looks for such circles.

        It seldom does where little happens: 20 MB of sentences in a hundred announcements.
        """
        self._samples = self._samples[:0].copy()

    def fill(self, out: Samples, delay_seconds: float) -> bool:
        """Runs in the sound card's thread; `out` comes zeroed. False: that was all, the stream can end."""
        now = self._clock()
        self.last_call = now
        self._calls.append(now)
        heard = now + min(max(delay_seconds, 0.0), _LONGEST_DELAY)
        if self.end is not None or self.over_unheard:
            self._tail -= len(out)
            return self._tail > 0
        if not self.in_step:
            asked_for = len(out) / self._rate * (len(self._calls) - 1)
            full = len(self._calls) == self._calls.maxlen
            self.in_step = full and now - self._calls[0] > 0.6 * asked_for
            if not self.in_step:
                return True
        if self._position <= 0:
            if self._abort.is_set():
                self.over_unheard = self.aborted = True
                return True
            self.start = heard - self._position / self._rate
        self._copy(out, heard)
        return True

    def _copy(self, out: Samples, heard: float) -> None:
        begin, self._position = self._position, self._position + len(out)
        lead = max(0, -begin)
        if lead >= len(out):
            return
        piece = self._samples[begin + lead : self._position]
        if self._abort.is_set():
            fade = int(FADE_SECONDS * self._rate)
            piece = piece[:fade]
            ramp = np.linspace(1, 0, fade)[: len(piece)] ** 2
            out[lead : lead + len(piece)] = (piece * ramp).astype(np.int16)
            self.aborted = True
            self.end = heard + (lead + len(piece)) / self._rate
            return
        out[lead : lead + len(piece)] = piece
        if self._position >= len(self._samples):
            self.end = heard + (lead + len(piece)) / self._rate
