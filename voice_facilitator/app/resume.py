"""The resume file: lets a session go on after a power cut, and is gone when the session has ended.

It holds the protocol, the phase and the seconds elapsed, nothing about voices and nothing that was said:
`session.resume.Kept` is the list. It is written to a temporary file and renamed, in a thread of its own, so
that a slow or full disk never holds up a session.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
from pydantic import BaseModel, ConfigDict, Field

from voice_facilitator.app.setting_up import policy_of, wording_of
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import Settings
from voice_facilitator.machine.clocks import Moment
from voice_facilitator.machine.resources import state_folder
from voice_facilitator.session import Protocol, Session
from voice_facilitator.session.events import Restarted, Seconds
from voice_facilitator.session.resume import Kept

SAVE_SECONDS = 2.0  # what a power cut can take at most
_VERSION: Literal[2] = 2
_MOST_BYTES = 64_000
_CLOSE_SECONDS = 3.0
# A computer without a clock of its own (a Raspberry Pi) starts with the time of its last shutdown, or one
# saved within the last hours; clocks set wrongly by a time zone are off by 14 hours at most. One that went
# back farther than a day tells nothing, and an old session must not come up again by it.
_MOST_BACK_SECONDS = 86_400.0
_CLOCK_SLACK_SECONDS = 2.0
_LONGEST_SECONDS = 1e7  # months: any number in the file that is larger is damage
_DAMAGED = "The file of the session that was cut off cannot be understood; it was set aside as {name}."
_IN_THE_WAY = "The file of the session that was cut off cannot be understood, and not be moved away: {path}"


class _File(BaseModel):
    """The whole of the file. Its settings hold for the session's own classes inside, too."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)

    version: Literal[2]
    saved_at: float  # by the wall clock
    start: str = Field(max_length=100)  # see `clocks.Moment`
    up: float
    left: float = Field(gt=0)  # seconds to the planned end
    protocol: str
    minutes: int | None
    session: Kept


def resume_path() -> Path:
    return state_folder() / "resume.json"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A session that was cut off and whose planned end has not passed."""

    saved: Moment
    left_seconds: Seconds  # to the planned end, when it was saved
    kept_now: Seconds  # the session's own time then
    protocol_name: str  # or a file's path, as `protocols.load` takes it
    protocol: Protocol
    session: Session

    def away(self, now: Moment) -> Seconds | None:
        """For how long it has stood still, as far as the clocks tell; None where they tell nothing.

        In the same start of the computer its own clock tells, whatever was done to the wall clock. After
        another start it was at least as long as the computer is up, and where the wall clock went back, that
        is taken.
        """
        if now.start and now.start == self.saved.start:
            return max(0.0, now.up - self.saved.up)
        passed = now.wall - self.saved.wall
        if passed < -_MOST_BACK_SECONDS:
            return None
        least = now.up if now.start and self.saved.start else 0.0
        return max(passed, least, 0.0)

    def is_over(self, now: Moment) -> bool:
        """Whether it cannot go on at `now`."""
        away = self.away(now)
        return away is None or away >= self.left_seconds

    def session_time(self, now: Moment) -> Seconds:
        """The session's own time at `now`: it has run on all the while."""
        return self.kept_now + (self.away(now) or 0.0)

    def in_words(self, now: Moment) -> str:
        view = self.session.view()
        minute = int((view.phase_seconds - view.phase_left) / 60) + 1
        away = self.away(now) or 0.0
        ago = f"{away:.0f} seconds ago" if away < 90 else f"{away / 60:.0f} minutes ago"
        if now.wall < self.saved.wall - _CLOCK_SLACK_SECONDS and now.start != self.saved.start:
            ago = "at a time that this computer's clock has lost"
        return (
            f'"{view.protocol_title}" was interrupted {ago} in "{view.phase_title}", minute {minute}; '
            f"it would end in {(self.left_seconds - away) / 60:.0f} minutes."
        )


def find(
    settings: Settings,
    now: Moment,
    path: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
    *,
    hears: bool = True,
) -> Interrupted | None:
    """The session that can go on at `now`, if any.

    A file that leads nowhere is removed; one that cannot be understood is set aside, and `tell` says so.
    hears: see `wording_of`.
    """
    path = path or resume_path()
    try:
        found = _read(path, settings, hears)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, ArithmeticError, LookupError, RecursionError, FacilitatorError):
        tell(_set_aside(path))
        return None
    if found.is_over(now):
        remove(path)
        return None
    return found


def _read(path: Path, settings: Settings, hears: bool) -> Interrupted:
    """Raises OSError, or ValueError, ArithmeticError or FacilitatorError for what is no session of ours."""
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait
        raise ValueError("this is no file")
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("no resume file is so large")
    data = _File.model_validate_json(content)
    if not all(abs(number) <= _LONGEST_SECONDS for number in _numbers(dataclasses.asdict(data.session))):
        raise ValueError("no session has such numbers")
    protocol = protocols.load(data.protocol)
    if data.minutes is not None:
        protocol = protocols.with_minutes(protocol, data.minutes)
    wording = wording_of(settings, protocol, hears=hears)
    contacts = tuple(settings.session.support_contacts)

    def restored() -> Session:
        return Session.after_cut(data.session, protocol, wording, policy_of(settings), contacts)

    restored().handle(Restarted(), data.session.now)  # whether it goes on is found out here, not in the room
    saved = Moment(data.saved_at, data.start, data.up)
    return Interrupted(saved, data.left, data.session.now, data.protocol, protocol, restored())


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value


def _set_aside(path: Path) -> str:
    """Move what cannot be understood out of the way, in place of an earlier one. Says what became of it."""
    aside = path.with_name("resume-damaged.json")
    ways: tuple[Callable[[], None], ...] = (lambda: None, aside.unlink, aside.rmdir)
    for make_room in ways:
        with contextlib.suppress(OSError):
            make_room()
            path.replace(aside)
            return _DAMAGED.format(name=aside)
    return _IN_THE_WAY.format(path=path)


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

    def follow(
        self, session: Session, clock: float, now: Callable[[], Moment], *, at_once: bool = False
    ) -> None:
        """Bring the file up to date where it is time to; call it often. It does not wait for the disk."""
        view = session.view()
        phase = (view.mode, view.phase, view.timer_only)
        if clock < self._next_save and phase == self._phase and not at_once:
            return
        self._next_save, self._phase = clock + SAVE_SECONDS, phase
        kept, at = session.to_keep(), now()
        with self._change:
            self._dirty = kept is not None or self._wanted is not None
            self._wanted = (
                None
                if kept is None
                else {
                    "version": _VERSION,
                    "saved_at": round(at.wall, 3),
                    "start": at.start,
                    "up": round(at.up, 3),
                    "left": round(session.planned_end - kept.now, 3),
                    "protocol": self._protocol,
                    "minutes": self._minutes,
                    "session": dataclasses.asdict(kept),
                }
            )
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
