"""The resume file: lets a session go on after a power cut, and is gone when the session has ended.

It holds the protocol, the phase and the seconds elapsed, nothing about voices and nothing that was said:
`session.resume.KEPT` is the list. It is written to a temporary file and renamed, in a thread of its own, so
that a slow or full disk never holds up a session.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from voice_facilitator import protocols
from voice_facilitator.app.setting_up import policy_of, wording_of
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.resources import state_folder
from voice_facilitator.session import Protocol, Session
from voice_facilitator.session.events import Seconds
from voice_facilitator.settings import Settings

SAVE_SECONDS = 2.0  # what a power cut can take at most
_VERSION = 1
_FIELDS = {"version", "saved_at", "ends_at", "protocol", "minutes", "session"}
_MOST_BYTES = 64_000
_CLOCK_SLACK_SECONDS = 2.0
_CLOSE_SECONDS = 3.0


def resume_path() -> Path:
    return state_folder() / "resume.json"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A session that was cut off and whose planned end has not passed. Times of the wall clock in seconds."""

    saved_at: float
    ends_at: float
    protocol_name: str  # or a file's path, as `protocols.load` takes it
    protocol: Protocol
    session: Session

    def is_over(self, now: float) -> bool:
        """Whether it cannot go on at `now`, the wall clock's time."""
        return not self.saved_at - _CLOCK_SLACK_SECONDS <= now < self.ends_at

    def session_time(self, now: float) -> Seconds:
        """The session's own time at `now`, the wall clock's: it has run on all the while."""
        kept = self.session.to_keep()
        assert kept is not None
        return float(kept["now"]) + max(0.0, now - self.saved_at)

    def in_words(self, now: float) -> str:
        view = self.session.view()
        minute = int((view.phase_seconds - view.phase_left) / 60) + 1
        away, left = max(0.0, now - self.saved_at), self.ends_at - now
        ago = f"{away:.0f} seconds" if away < 90 else f"{away / 60:.0f} minutes"
        return (
            f'"{view.protocol_title}" was interrupted {ago} ago in "{view.phase_title}", minute {minute}; '
            f"it would end in {left / 60:.0f} minutes."
        )


def find(
    settings: Settings, now: float, path: Path | None = None, *, hears: bool = True
) -> Interrupted | None:
    """The session that can go on at `now` (wall clock), if any. A file that leads nowhere is removed.

    hears: see `wording_of`.
    """
    path = path or resume_path()
    try:
        found = _read(path, settings, hears)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, FacilitatorError):
        found = None
    if found is None or found.is_over(now):
        remove(path)
        return None
    return found


def _read(path: Path, settings: Settings, hears: bool) -> Interrupted:
    """Raises OSError, or ValueError or FacilitatorError for what is no session of ours."""
    with path.open("rb") as file:
        data = json.loads(file.read(_MOST_BYTES))
    if not isinstance(data, dict) or set(data) != _FIELDS or data["version"] != _VERSION:
        raise ValueError("this is no resume file")
    times = [data["saved_at"], data["ends_at"]]
    if not all(type(value) in (int, float) for value in times) or not isinstance(data["protocol"], str):
        raise ValueError("this is no resume file")
    protocol = protocols.load(data["protocol"])
    if data["minutes"] is not None:
        if type(data["minutes"]) is not int:
            raise ValueError("this is no resume file")
        protocol = protocols.with_minutes(protocol, data["minutes"])
    wording = wording_of(settings, protocol, hears=hears)
    contacts = tuple(settings.session.support_contacts)
    session = Session.after_cut(data["session"], protocol, wording, policy_of(settings), contacts)
    return Interrupted(float(times[0]), float(times[1]), data["protocol"], protocol, session)


def remove(path: Path | None = None) -> None:
    path = path or resume_path()
    for file in (path, _temporary(path)):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


class ResumeFile:
    """Keeps the file up to date for one session.

    `failures` counts writes that went wrong: the session goes on, and could not be resumed.
    """

    def __init__(self, protocol_name: str, path: Path | None = None, *, minutes: int | None = None) -> None:
        """protocol_name: what `protocols.load` takes; a file is made absolute. minutes: another length."""
        self._minutes = minutes
        file = Path(protocol_name)
        self._protocol = str(file.resolve()) if file.suffix and file.is_file() else protocol_name
        self._path = path or resume_path()
        self._change = threading.Condition()
        self._wanted: dict[str, Any] | None = None
        self._dirty = self._closed = self._discard = False
        self._next_save = 0.0
        self._phase: object = None
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="resume-file", daemon=True)
        self._thread.start()

    def follow(self, session: Session, clock: float, wall_clock: float, *, at_once: bool = False) -> None:
        """Bring the file up to date where it is time to; call it often. It does not wait for the disk."""
        view = session.view()
        phase = (view.mode, view.phase, view.timer_only)
        if clock < self._next_save and phase == self._phase and not at_once:
            return
        self._next_save, self._phase = clock + SAVE_SECONDS, phase
        kept = session.to_keep()
        with self._change:
            self._dirty = kept is not None or self._wanted is not None
            self._wanted = kept and {
                "version": _VERSION,
                "saved_at": round(wall_clock, 3),
                "ends_at": round(wall_clock + session.planned_end - kept["now"], 3),
                "protocol": self._protocol,
                "minutes": self._minutes,
                "session": kept,
            }
            self._change.notify()

    def close(self, *, keep: bool) -> None:
        """Stop writing. keep: leave the file for the next start, otherwise it is gone."""
        with self._change:
            self._closed, self._discard = True, not keep
            self._dirty = self._dirty and keep
            self._change.notify()
        self._thread.join(_CLOSE_SECONDS)
        if not keep:
            remove(self._path)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._dirty or self._closed)
                if self._closed and not self._dirty:
                    return
                wanted, self._dirty = self._wanted, False
            try:
                if wanted is not None:
                    _write(self._path, wanted)
            except OSError:
                self.failures += 1
            if wanted is None or self._discard:  # a slow disk may have written after `close` removed it
                remove(self._path)


def _temporary(path: Path) -> Path:
    return path.with_suffix(".tmp")


def _write(path: Path, data: dict[str, Any]) -> None:
    """All or nothing, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(data, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextlib.contextmanager
def single_session(path: Path | None = None) -> Iterator[None]:
    """Only one session at a time on this computer: two would talk over each other.

    Raises FacilitatorError `already-running`. Where no lock can be made, it goes without.
    """
    path = path or state_folder() / "session.lock"
    lock = filelock.FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise FacilitatorError(
            "already-running",
            "A session is running on this computer already.",
            "End that one first (its key e, or ctrl-c in its window).",
        ) from error
    except (
        OSError,
        NotImplementedError,
    ):  # a disk that is full or read-only must not keep a group from meeting
        yield
        return
    try:
        yield
    finally:
        lock.release()
