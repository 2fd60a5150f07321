"""Where audio comes from: a file or an array, always as float32 mono 16 kHz blocks, never all at once.

The microphone is in `microphone`, behind the same interface.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing.sound.recording import CONVERT, Excerpt, Part, bad, other_format, parts_of
from voice_facilitator.hearing.sound.samples import RATE, Floats

_MOST_CHANNELS = 64
_HIGHEST_RATE = 384_000  # Hz; a nonsense rate would ask for absurd buffers
_LOWEST_RATE = 4_000
_UNKNOWN_FRAMES = 1 << 60  # libsndfile gives its largest number where a file does not say how long it is
_LOUDEST = 64.0  # of full scale; recordings in float go a little above 1, whole numbers by mistake to 32,768
# A smaller constant (of full scale) does no harm, and most recordings stay as they are.
_LEAST_OFFSET = 0.002
# The power of the sum of all channels, as a share of the sum of their powers: 1 where they have nothing in
# common, or all but one are silent. Where a quarter is left, one of them is turned round.
_CANCELLED = 0.25


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
    """Any rate to 16 kHz, block by block."""

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
        """block: float32 [n]. `last` lets out what the filter still holds."""
        if self._stream is None:
            return block
        return np.asarray(self._stream.resample_chunk(block, last=last), np.float32)


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


class _Mix:
    """Several channels to one, and what a microphone adds to each of them taken away."""

    def __init__(self, channels: int) -> None:
        self._sum = np.zeros(channels)
        self._count = 0
        self._offset: NDArray[np.float64] | None = None
        self._products = np.zeros((channels, channels))

    def push(self, block: Floats) -> Floats:
        """block: float32 [n, channels]. Returns float32 [n]."""
        block = self._without_offset(block)
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        self._products += block.T @ block
        whole, single = self._products.sum(), np.trace(self._products)
        if whole > _CANCELLED * single:
            return np.asarray(block.mean(axis=1), np.float32)
        # One is wired the wrong way round: their mean would be silence. As the loudest one has it, then.
        loudest = self._products[np.argmax(np.diag(self._products))]
        signs = np.where(loudest < 0, -1, 1).astype(np.float32)
        return np.asarray((block * signs).mean(axis=1), np.float32)

    def _without_offset(self, block: Floats) -> Floats:
        """The mean of all so far, going over from one block to the next without a step."""
        self._sum += block.sum(axis=0, dtype=np.float64)
        self._count += len(block)
        now = self._sum / max(1, self._count)
        now[np.abs(now) < _LEAST_OFFSET] = 0
        before, self._offset = now if self._offset is None else self._offset, now
        if not before.any() and not now.any():
            return block
        share = np.linspace(0, 1, len(block))[:, None]
        return np.asarray(block - (before + (now - before) * share), np.float32)


class _Straight(soundfile.SoundFile):  # type: ignore[misc]
    """Read from its beginning to its end: soundfile goes to a place after each block, which fails in a file
    that does not say how long it is."""

    def seekable(self) -> bool:
        return False


class FileSource:
    """A recording of any rate and channel count: WAV, FLAC, Ogg, or whatever else libsndfile reads."""

    def __init__(
        self, path: Path, *, paced: bool = False, block_seconds: float = 1.0, start_seconds: float = 0.0
    ) -> None:
        """Open the file. paced: give blocks no faster than they were recorded. start_seconds: skip so much.

        Raises FacilitatorError: `audio-missing`, `audio-empty`, `audio-unreadable`.
        """
        self._path = path
        self._pace = Pace() if paced else None
        self._block_seconds, self._start_seconds = block_seconds, start_seconds
        if not path.exists():
            raise bad("audio-missing", f"There is no audio file {path}.", "Check the name and the folder.")
        if not path.is_file():
            raise bad("audio-unreadable", f"{path} is not a file.", "Name a WAV, FLAC or OGG file.")
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise bad(
                "audio-unreadable", f"{path} cannot be read: {error.strerror}.", "Check the permissions."
            ) from error
        try:
            self.seconds = self._examine()
        except OSError as error:
            self.close()
            raise bad(
                "audio-unreadable", f"{path} cannot be read: {error.strerror}.", "Copy it again."
            ) from error
        except FacilitatorError:
            self.close()
            raise

    def _examine(self) -> float:
        """Look at every recording in the file. Returns their length in seconds; 0 where one does not say."""
        if self._path.stat().st_size == 0:
            raise bad("audio-empty", f"{self._path} is empty.", "Record or copy it again.")
        self._parts = parts_of(self._file, str(self._path))
        lengths = []
        for part in self._parts:
            with self._opened(part) as sound:
                lengths.append(0.0 if sound.frames > _UNKNOWN_FRAMES else sound.frames / sound.samplerate)
        return sum(lengths) if all(lengths) else 0.0

    def _opened(self, part: Part) -> soundfile.SoundFile:
        try:
            sound = _Straight(Excerpt(self._file, part))
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            what = other_format(self._file)
            message = f"{self._path} is {what}, which cannot be read here." if what else ""
            raise bad(
                "audio-unreadable", message or f"{self._path} is not an audio file we can read.", CONVERT
            ) from error
        rate, channels = sound.samplerate, sound.channels
        if not _LOWEST_RATE <= rate <= _HIGHEST_RATE or not 1 <= channels <= _MOST_CHANNELS:
            sound.close()
            raise bad(
                "audio-unreadable",
                f"{self._path} has {channels} channels at {rate} Hz: that cannot be speech.",
                "Use a recording of 8 to 192 kHz.",
            )
        if sound.frames == 0:
            sound.close()
            raise bad("audio-empty", f"{self._path} has no sound in it.", "Record or copy it again.")
        return sound

    def blocks(self) -> Iterator[Floats]:
        """See `AudioSource`. Raises FacilitatorError `audio-unreadable` (damaged, cut off) or
        `audio-not-finite`."""
        skip_seconds = self._start_seconds
        for part in self._parts:
            with self._opened(part) as sound:
                resampler, mix = Resampler(sound.samplerate), _Mix(sound.channels)
                skip = max(0, round(skip_seconds * sound.samplerate))
                for block in self._read(sound):
                    wanted = block[skip:]
                    skip -= len(block) - len(wanted)
                    if len(wanted):
                        yield from self._give(resampler.push(mix.push(wanted)))
                skip_seconds = skip / sound.samplerate
                yield from self._give(resampler.push(np.zeros(0, np.float32), last=True))

    def _read(self, sound: soundfile.SoundFile) -> Iterator[Floats]:
        """All of one recording as float32 [n, channels]; an error where it holds less than it says."""
        size = max(1, round(sound.samplerate * self._block_seconds))
        done = 0
        while True:
            try:
                block = sound.read(size, dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                raise self._damaged() from error
            if len(block) == 0:
                break
            done += len(block)
            if not np.isfinite(block).all():
                raise bad(
                    "audio-not-finite",
                    f"{self._path} contains samples that are not numbers.",
                    "It is damaged: convert or record it again.",
                )
            if np.abs(block).max() > _LOUDEST:
                raise bad(
                    "audio-not-finite",
                    f"{self._path} contains samples far above full scale.",
                    "Write it again with samples from -1 to 1.",
                )
            yield block
        if done < sound.frames <= _UNKNOWN_FRAMES:
            raise self._damaged()

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
        return bad("audio-unreadable", f"{self._path} is damaged or cut off.", "Copy or record it again.")

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
            raise bad("audio-empty", "There is no sound to hear.", "")
        if not np.isfinite(samples).all():
            raise bad("audio-not-finite", "The sound contains samples that are not numbers.", "")
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
