"""The room's microphone: noticed when it goes, taken up again when it comes back.

Learnt from real failures: a device can stop without a word while PortAudio calls it active; a sound server
can replace it silently by another source after a gap of a second; closing can hang for ever; on macOS a
missing permission looks like zeros. So freshness of the blocks is the only thing trusted.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.hearing.sound.source import Resampler
from voice_facilitator.machine import soundcard
from voice_facilitator.privacy.memory import private_zeros

# A stalled sound server delivered a burst of 6 s. With the longest command behind it, there are never more
# than ten seconds of the room in memory.
_RING_SECONDS = 6.0
_READ_SECONDS = 0.25
_HIGHEST_RATE = 48_000  # Hz the ring is made for; it holds less of a device that is faster
_POLL_SECONDS = 0.02
_GRACE_SECONDS = 3.0  # the first block of a sleeping device takes up to 1.8 s
_STALE_SECONDS = 0.5
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)  # between attempts; the last one repeats
_ANY_DEVICE_SECONDS = 10.0  # if the user named none, after this long the default one will do
_CLOSE_SECONDS = 1.0


class MicrophoneWedgedError(FacilitatorError):
    """PortAudio hangs in this process; only a new process can open a microphone."""

    def __init__(self) -> None:
        super().__init__("microphone-wedged", "The sound system hangs.", "It is started again by itself.")


_SILENT = (
    FacilitatorError(
        "microphone-not-permitted",  # as macOS does it: it gives zeros
        "The microphone gives nothing but zeros, as macOS does for a program that may not listen.",
        "Allow it under System Settings, Privacy & Security, Microphone. If it is allowed: is it muted?",
    )
    if sys.platform == "darwin"
    else FacilitatorError(
        "microphone-silent",
        "The microphone gives nothing but zeros.",
        "Is it switched on, and its cable plugged in? Or is another microphone the default one?",
    )
)


class InputStream(Protocol):
    """What an open microphone offers; `soundcard.InputStream` is one."""

    rate: int
    device_name: str

    @property
    def active(self) -> bool: ...

    def close(self, limit_seconds: float = 1.0) -> bool: ...


class Sound(Protocol):
    """What is needed of `soundcard`; tests give their own."""

    def open_input(
        self,
        device_name: str,
        on_block: Callable[[memoryview], None],
        on_finished: Callable[[], None],
    ) -> InputStream: ...

    def restart(self) -> None: ...


class Ring:
    """int16 samples between the sound thread and ours, in memory that is allocated once and wiped."""

    def __init__(self, capacity: int, at_once: int) -> None:
        """capacity: samples it can hold. at_once: samples that `read` gives at most."""
        self._memory: NDArray[np.int16] = private_zeros(capacity, np.int16)
        self._out_memory: Floats = private_zeros(at_once)
        self._data, self._out = self._memory, self._out_memory
        self._written = 0
        self._read = 0
        self._lock = threading.Lock()
        self.dropped = 0  # samples

    def write(self, block: bytes | memoryview) -> None:
        """Called by the sound thread. What does not fit is dropped and counted."""
        samples = np.frombuffer(block, np.int16)
        with self._lock:
            room = len(self._data) - (self._written - self._read)
            taken = samples[:room]
            self.dropped += len(samples) - len(taken)
            at = self._written % len(self._data)
            first = taken[: len(self._data) - at]
            self._data[at : at + len(first)] = first
            self._data[: len(taken) - len(first)] = taken[len(first) :]
            self._written += len(taken)

    def begin(self, rate: int) -> None:
        """Wipe it; from now on it holds samples of `rate` Hz, some seconds of them whatever the rate."""
        self.wipe()
        with self._lock:
            self._written = self._read = 0
            self._data = self._memory[: round(rate * _RING_SECONDS)]
            self._out = self._out_memory[: round(rate * _READ_SECONDS)]

    @property
    def waiting(self) -> int:
        """Samples that have not been read."""
        return self._written - self._read

    def read(self) -> Floats:
        """What waits, or the oldest of it, as float32 of full scale 1; its place in the ring is wiped.

        A view that is good until the next `read`, `begin` or `wipe`.
        """
        with self._lock:
            count = min(self._written - self._read, len(self._out))
            at = self._read % len(self._data)
            first = self._data[at : at + count]
            rest = self._data[: count - len(first)]
            out = self._out[:count]
            out[: len(first)] = first
            out[len(first) :] = rest
            first[:] = 0
            rest[:] = 0
            self._read += count
        out /= 32768
        return out

    def wipe(self) -> None:
        with self._lock:
            self._memory[:] = 0
            self._out_memory[:] = 0
            self._read = self._written


class MicrophoneSource:
    """See `AudioSource`. Endless; `lost` says that nothing is heard at present."""

    def __init__(
        self,
        name: str = "",
        *,
        silent_seconds: float = 0.0,
        sound_heard: bool = False,
        sound: Sound = soundcard,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """name: part of the device's name, empty is the default one. silent_seconds: nothing but zeros for
        this long since it was opened means it gives us nothing (0: never mind). Later it means a look at
        whether it is still there: a sound server may have put our own speaker in its place. sound_heard: it
        has given more than zeros before, to a process that is gone.

        Nothing is opened before `blocks`.
        """
        self._wanted = name
        self._known_name = ""  # in full, once it was open
        self._sound, self._clock, self._sleep = sound, clock, sleep
        self._silent_seconds = silent_seconds
        self._ring = Ring(round(_HIGHEST_RATE * _RING_SECONDS), round(_HIGHEST_RATE * _READ_SECONDS))
        self._resampler = Resampler(RATE)
        self._stream: InputStream | None = None
        self._finished = threading.Event()
        self._closed = False
        self._opened_at = 0.0
        self._fresh_until = 0.0
        self._heard_something = sound_heard
        self._last_sound = 0.0
        self._looked = False  # at whether it is still there, since the last sound
        self._attempts = 0
        self._next_attempt = 0.0
        self._lost_at = 0.0
        self.lost = False
        self.error: FacilitatorError | None = None  # why it is lost, where that is known

    @property
    def dropped(self) -> int:
        """Samples that were lost because we were too slow."""
        return self._ring.dropped

    def blocks(self) -> Iterator[Floats]:
        """Blocks as they come, each good until the next; an empty one at least every 0.05 s.

        Raises MicrophoneWedgedError.
        """
        nothing = np.zeros(0, np.float32)
        self._lost_at = self._next_attempt = self._last_sound = self._clock()
        while not self._closed:
            now = self._clock()
            if self._stream is None:
                if now >= self._next_attempt:
                    self._open(now)
                yield nothing
            elif self._finished.is_set():
                self._lose(now)
                yield nothing
            elif len(heard := self._ring.read()):
                self._fresh_until = now + _STALE_SECONDS
                self._judge(now, sound=bool(heard.any()))
                yield self._resampler.push(heard)
                if self._replaced(now):
                    self.renew()
                elif self._ring.waiting > len(heard):  # a burst: catch up
                    continue
            else:
                if now > self._fresh_until:
                    self._lose(now)
                yield nothing
            self._sleep(_POLL_SECONDS)

    def _replaced(self, now: float) -> bool:
        """Whether zeros came where there was sound, for so long that it may be another source by now."""
        if not (self._heard_something and self._silent_seconds) or self._looked:
            return False
        self._looked = now - self._last_sound > self._silent_seconds
        return self._looked

    def _judge(self, now: float, *, sound: bool) -> None:
        """Blocks come: but is it sound? macOS gives zeros when it was not allowed to listen."""
        if sound:
            self._heard_something, self._last_sound, self._looked = True, now, False
        if self._heard_something or not self._silent_seconds:
            self.lost, self.error, self._attempts = False, None, 0
        elif now - self._opened_at > self._silent_seconds:
            self.error = _SILENT
            self.lost = True

    def _lose(self, now: float) -> None:
        if not self.lost:
            self.lost, self._lost_at = True, now
        stream, self._stream = self._stream, None
        if stream is not None and not stream.close(_CLOSE_SECONDS):
            raise MicrophoneWedgedError
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        self._next_attempt = now + _RETRY_SECONDS[min(self._attempts, len(_RETRY_SECONDS) - 1)]
        self._attempts += 1

    def _open(self, now: float) -> None:
        """One attempt. By its full name if it was open before: another source in its place is no recovery."""
        if not self._wanted and now - self._lost_at > _ANY_DEVICE_SECONDS:
            self._known_name = ""
        self._finished = finished = threading.Event()
        self._forget_sound()
        try:
            if self._attempts:
                self._sound.restart()
            stream = self._sound.open_input(self._known_name or self._wanted, self._ring.write, finished.set)
        except FacilitatorError as error:
            self.lost, self.error = True, error
            self._schedule(now)
            return
        self._stream = stream
        self._known_name = stream.device_name
        self._ring.begin(stream.rate)  # the first block, if it was that quick, is no loss
        self._resampler = Resampler(stream.rate)
        self._opened_at = now
        self._fresh_until = now + _GRACE_SECONDS
        self._heard_something = self._heard_something and not self.lost

    def renew(self) -> None:
        """Let go of the device and take it up again, about half a second later.

        The sound system's own buffers in this process hold a tenth of a second of sound in places that it
        uses again much later. They go with the connection.
        """
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if not stream.close(_CLOSE_SECONDS):
            raise MicrophoneWedgedError
        self._forget_sound()
        self._attempts = 1  # that is: with a fresh look, which closes the old connection
        self._lost_at = self._next_attempt = self._clock()

    def moved(self) -> None:
        """What is heard now is another source: the microphone is lost until it can be opened by its name."""
        if self._stream is not None:
            self._lose(self._clock())
            self._forget_sound()

    def close(self) -> None:
        """See `AudioSource`."""
        self._closed = True
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(_CLOSE_SECONDS)
        self._forget_sound()

    def _forget_sound(self) -> None:
        self._ring.wipe()
        self._resampler.wipe()
