"""Writing that holds up nobody: whoever only looks may stop reading, and a disk may be slow or full.

A terminal stands still at Ctrl-S, a pager reads one screen and waits, a pipe fills up: a write would wait
with it. Here a thread of its own waits, behind a queue with an end to it; what finds no room is dropped and
counted.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TextIO

from voice_facilitator.session.events import Seconds

_MOST_WAITING = 5000  # texts: a whole session's event log, or the lines of one that nobody has read
_CLOSE_SECONDS = 2.0  # for a reader who is slow; one who has stopped is not waited for
_AGAIN_SECONDS = 0.05  # a descriptor that somebody else has made non-blocking is tried again after this


class Outlet:
    """Passes texts on to `write`, in their order, from a thread of its own."""

    def __init__(self, write: Callable[[str], object], most_waiting: int = _MOST_WAITING) -> None:
        """write: may wait, and may raise OSError or ValueError, which counts as a lost text."""
        self._write, self._most = write, most_waiting
        self._change = threading.Condition()
        self._waiting: deque[str] = deque()
        self._busy = self._closed = self._gone = False
        self._thread: threading.Thread | None = None
        self.lost = 0  # texts that found no room, or could not be written

    def put(self, text: str) -> None:
        """Write `text` as soon as may be; any thread may. Returns at once."""
        with self._change:
            if self._closed or self._gone or len(self._waiting) >= self._most:
                self.lost += not self._gone
                return
            self._waiting.append(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)
                self._thread.start()
            self._change.notify_all()

    @property
    def idle(self) -> bool:
        """Whether everything has been written."""
        with self._change:
            return not self._waiting and not self._busy

    def close(self, seconds: Seconds = _CLOSE_SECONDS) -> bool:
        """Take nothing more, and wait a little for the rest. Whether all of it was written."""
        with self._change:
            self._closed = True
            self._change.notify_all()
            done = self._change.wait_for(lambda: not self._waiting and not self._busy, seconds)
            self.lost += len(self._waiting)
            self._waiting.clear()
            return done

    def _run(self) -> None:
        while True:
            with self._change:
                self._busy = False
                self._change.notify_all()
                self._change.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                text = self._waiting.popleft()
                self._busy = True
            try:
                self._write(text)
            except BrokenPipeError:  # who read has gone, and misses nothing any more
                self._gone = True
                self.lost += 1
            except (OSError, ValueError):
                self.lost += 1


def straight_to(stream: TextIO) -> Callable[[str], None]:
    """Writes to what lies below a standard stream; characters that its encoding lacks are replaced.

    Not through its buffer: a thread that waits there would hold a lock that Python wants at its end.
    """
    raw = getattr(stream.buffer, "raw", stream.buffer)
    encoding = stream.encoding or "ascii"

    def write(text: str) -> None:
        left = memoryview(text.encode(encoding, "replace"))
        while left:
            written = raw.write(left)
            if written is None:
                time.sleep(_AGAIN_SECONDS)
            else:
                left = left[written:]

    return write


class PatientStream(io.TextIOBase):
    """A text stream in the place of `stream` that never waits for its reader."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.outlet = Outlet(straight_to(stream))

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only, as a stream's is
        return self._stream.encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "replace"

    def write(self, text: str) -> int:
        if text:
            self.outlet.put(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


@contextlib.contextmanager
def patient_stderr() -> Iterator[Outlet]:
    """Meanwhile whatever is told on stderr waits in a queue of its own if it has to wait."""
    before = sys.stderr
    before.flush()
    patient = PatientStream(before)
    sys.stderr = patient
    try:
        yield patient.outlet
    finally:
        sys.stderr = before
        patient.outlet.close()
