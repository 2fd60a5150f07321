"""Where audio comes from: a file or an array, always as float32 mono 16 kHz blocks, never all at once.

The microphone is in `microphone`, behind the same interface.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.hearing.encoder import RATE

Floats = NDArray[np.float32]

_MOST_CHANNELS = 64
_HIGHEST_RATE = 384_000  # Hz; a nonsense rate would ask for absurd buffers
_LOWEST_RATE = 4_000


class AudioSource(Protocol):
    """Gives blocks of float32 mono at 16 kHz until it is over or closed."""

    def blocks(self) -> Iterator[Floats]:
        """The blocks in order, each good until the next. An endless source may give an empty block when
        nothing came lately.

        Raises FacilitatorError when the audio is, or turns out to be, unusable.
        """
        ...

    def close(self) -> None:
        """Let go of the file or device. Calling it twice is fine."""
        ...


class Resampler:
    """Any rate and channel count to 16 kHz mono, block by block."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._stream = (
            None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
        )

    def wipe(self) -> None:
        """Push out what the filter still holds."""
        if self._stream is not None:
            self._stream.resample_chunk(np.zeros(self._rate // 4, np.float32))
            self._stream.clear()

    def push(self, block: Floats, *, last: bool = False) -> Floats:
        """block: float32 [n] or [n, channels]. `last` lets out what the filter still holds."""
        mono = block if block.ndim == 1 else block.mean(axis=1, dtype=np.float32)
        if self._stream is None:
            return mono
        return np.asarray(self._stream.resample_chunk(mono, last=last), np.float32)


class Pace:
    """Holds a source back to real time, counted from its first block."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._start: float | None = None
        self._samples = 0

    def wait(self, samples: int) -> None:
        """Return when `samples` more would have been spoken."""
        now = self._clock()
        if self._start is None:
            self._start = now
        self._samples += samples
        ahead = self._start + self._samples / RATE - now
        if ahead > 0:
            self._sleep(ahead)


class FileSource:
    """A WAV, FLAC or OGG file of any rate and channel count."""

    def __init__(
        self, path: Path, *, paced: bool = False, block_seconds: float = 1.0, start_seconds: float = 0.0
    ) -> None:
        """Open the file. paced: give blocks no faster than they were recorded. start_seconds: skip so much.

        Raises FacilitatorError: `audio-missing`, `audio-empty`, `audio-unreadable`.
        """
        self._path = path
        self._pace = Pace() if paced else None
        if not path.exists():
            raise _bad("audio-missing", f"There is no audio file {path}.", "Check the name and the folder.")
        if not path.is_file():
            raise _bad("audio-unreadable", f"{path} is not a file.", "Name a WAV, FLAC or OGG file.")
        try:
            size = path.stat().st_size
            if size == 0:
                raise _bad("audio-empty", f"{path} is empty.", "Record or copy it again.")
            self._file = soundfile.SoundFile(path)
        except OSError as error:
            raise _bad(
                "audio-unreadable", f"{path} cannot be read: {error.strerror}.", "Check the permissions."
            ) from error
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            raise _bad(
                "audio-unreadable", f"{path} is not an audio file we can read.", "Use WAV, FLAC or OGG."
            ) from error
        rate, channels = int(self._file.samplerate), int(self._file.channels)
        if not _LOWEST_RATE <= rate <= _HIGHEST_RATE or not 1 <= channels <= _MOST_CHANNELS:
            self.close()
            raise _bad(
                "audio-unreadable",
                f"{path} has {channels} channels at {rate} Hz: that cannot be speech.",
                "Use a recording of 8 to 192 kHz.",
            )
        if self._file.frames == 0:
            self.close()
            raise _bad("audio-empty", f"{path} has no sound in it.", "Record or copy it again.")
        if _is_cut_off(self._file.extra_info):
            self.close()
            raise self._damaged()
        self.rate, self.channels = rate, channels
        self.seconds = self._file.frames / rate  # as its header says
        self._block = max(1, round(rate * block_seconds))
        self._skip = min(self._file.frames, max(0, round(start_seconds * rate)))

    def blocks(self) -> Iterator[Floats]:
        """See `AudioSource`. Raises FacilitatorError `audio-unreadable` (damaged, cut off) or
        `audio-not-finite`."""
        resampler = Resampler(self.rate)
        left = int(self._file.frames) - self._skip
        try:
            self._file.seek(self._skip)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise self._damaged() from error
        while left > 0:
            try:
                block = self._file.read(min(self._block, left), dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                raise self._damaged() from error
            if len(block) == 0:
                raise self._damaged()
            left -= len(block)
            if not np.isfinite(block).all():
                raise _bad(
                    "audio-not-finite",
                    f"{self._path} contains samples that are not numbers.",
                    "It is damaged: convert or record it again.",
                )
            yield from self._give(resampler.push(block))
        yield from self._give(resampler.push(np.zeros(0, np.float32), last=True))

    def _give(self, samples: Floats) -> Iterator[Floats]:
        if len(samples) == 0:
            return
        if self._pace is None:
            yield samples
            return
        for begin in range(0, len(samples), RATE // 50):
            piece = samples[begin : begin + RATE // 50]
            self._pace.wait(len(piece))
            yield piece

    def _damaged(self) -> FacilitatorError:
        return _bad("audio-unreadable", f"{self._path} is damaged or cut off.", "Copy or record it again.")

    def close(self) -> None:
        """See `AudioSource`."""
        self._file.close()


class ArraySource:
    """Audio that is already there, such as the demo's room."""

    def __init__(self, samples: Floats, *, paced: bool = False, start_seconds: float = 0.0) -> None:
        """samples: float32 [n], 16 kHz mono. start_seconds: skip so much.

        Raises FacilitatorError `audio-empty` or `audio-not-finite`.
        """
        if samples.size == 0 or samples.ndim != 1:
            raise _bad("audio-empty", "There is no sound to hear.", "")
        if not np.isfinite(samples).all():
            raise _bad("audio-not-finite", "The sound contains samples that are not numbers.", "")
        self._samples = samples.astype(np.float32, copy=False)[max(0, round(start_seconds * RATE)) :]
        self._pace = Pace() if paced else None
        self._closed = False

    def blocks(self) -> Iterator[Floats]:
        """See `AudioSource`."""
        size = RATE // 50 if self._pace else RATE
        for begin in range(0, len(self._samples), size):
            if self._closed:
                return
            piece = self._samples[begin : begin + size]
            if self._pace:
                self._pace.wait(len(piece))
            yield piece

    def close(self) -> None:
        """See `AudioSource`."""
        self._closed = True


def _is_cut_off(info: str) -> bool:
    """What libsndfile noticed on opening but does not count as an error."""
    if "Last page lacks an end-of-stream bit" in info:  # OGG
        return True
    sizes = re.search(r"^data : (\d+) \(should be (\d+)\)", info, re.MULTILINE)  # WAV
    # A recorder that writes to a pipe cannot know the size and says 0, 2 or 4 GB instead.
    return sizes is not None and int(sizes[2]) < int(sizes[1]) < 0x7FFF_0000


def _bad(code: str, message: str, hint: str) -> FacilitatorError:
    return FacilitatorError(code, message, hint, exit_code=ExitCode.BAD_FILE)
