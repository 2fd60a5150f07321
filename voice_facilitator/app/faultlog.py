"""The fault log: what failed and was mended, without a word of content, to help with a bug report.

One JSON object a line in the state folder: when a session began (the day, not the hour), which part was lost
or came back at which second of it, error codes, and what was counted. `FIELDS` is everything it may hold.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import platform
from pathlib import Path
from typing import Any

from voice_facilitator import __version__
from voice_facilitator.machine.outlet import Outlet
from voice_facilitator.machine.resources import state_folder
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Seconds

FIELDS: dict[str, dict[str, type]] = {
    "session": {"day": str, "version": str, "python": str, "system": str},
    "resumed": {"t": float},
    "part": {"t": float, "part": str, "lost": bool},
    "counted": {"t": float, "restarts": int, "dropped": int, "missed_seconds": float},
    "error": {"t": float, "code": str, "times": int},
    "ended": {"t": float, "reason": str},
}
_EARS = (ev.Part.MICROPHONE.value, ev.Part.HEARING.value)
_MOST_LINES = 400  # some sessions' worth; older lines go first
_MOST_OF_ONE = 200  # a part that flaps all session long must not fill it


def log_path() -> Path:
    return state_folder() / "faults.jsonl"


class FaultLog:
    """A sink that writes one session's lines. A log that cannot be written never hurts the session.

    `close` it at the end.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or log_path()
        self._written = 0
        self._outlet = Outlet(self._append)
        kept = read(self._path)[-_MOST_LINES:]
        begin = _line(
            "session",
            day=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            version=__version__,
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
        )
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("".join(json.dumps(entry) + "\n" for entry in [*kept, begin]), "utf-8")

    def __call__(self, t: Seconds, item: ev.Input | ev.Effect) -> None:
        match item:
            case ev.Degraded(part=part, lost=lost):
                self._write(_line("part", t=round(float(t), 1), part=part.value, lost=lost))
            case ev.Restarted():
                self._write(_line("resumed", t=round(float(t), 1)))
            case ev.HealthChanged(restarts, dropped, missed):
                counted = {
                    "restarts": restarts,
                    "dropped": dropped,
                    "missed_seconds": round(float(missed), 1),
                }
                self._write(_line("counted", t=round(float(t), 1), **counted))
            case ev.Ended(reason=reason):
                self._write(_line("ended", t=round(float(t), 1), reason=reason))
            case _:
                pass

    def error(self, t: Seconds, code: str, times: int) -> None:
        """An error with this code has happened so often by now."""
        self._write(_line("error", t=round(float(t), 1), code=code, times=times))

    def _write(self, entry: dict[str, Any]) -> None:
        if self._written >= _MOST_OF_ONE:
            return
        self._written += 1
        self._outlet.put(json.dumps(entry) + "\n")

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line)

    def close(self) -> None:
        """Write the rest; a disk that hangs is not waited for."""
        self._outlet.close()


def _line(kind: str, **values: Any) -> dict[str, Any]:
    return {"what": kind, **values}


def read(path: Path | None = None) -> list[dict[str, Any]]:
    """The lines of the log that can be understood, oldest first; none where there is no log."""
    try:
        lines = (path or log_path()).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines[-_MOST_LINES:]:
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and _understood(entry):
                found.append(entry)
    return found


def _understood(entry: dict[str, Any]) -> bool:
    fields = FIELDS.get(str(entry.get("what")), {})
    good = (type(entry.get(name)) is kind for name, kind in fields.items())
    return bool(fields) and set(entry) == {"what", *fields} and all(good)


def last_session(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What the last session in the log counted; None where there was none.

    `missed_seconds`: of the room, be it that blocks of sound were dropped or that nothing listened.
    """
    begins = [index for index, entry in enumerate(entries) if entry["what"] == "session"]
    if not begins:
        return None
    session = entries[begins[-1] :]
    counted = {"restarts": 0, "dropped": 0, "missed_seconds": 0.0}
    for entry in session:
        if entry["what"] == "counted":
            counted = {name: entry[name] for name in counted}
    counted["missed_seconds"] += _deaf_seconds(session)
    lost = [entry["part"] for entry in session if entry["what"] == "part" and entry["lost"] is True]
    return {"day": session[0]["day"], "lost": lost, **counted}


def _deaf_seconds(session: list[dict[str, Any]]) -> Seconds:
    """For how long the microphone or what hears was lost; at the longest up to the last line."""
    lost: set[str] = set()
    deaf = since = now = 0.0
    for entry in session:
        now = entry.get("t", now)
        if entry["what"] != "part" or entry["part"] not in _EARS:
            continue
        if entry["lost"]:
            since = since if lost else now
            lost.add(entry["part"])
        elif entry["part"] in lost:
            lost.remove(entry["part"])
            deaf += 0.0 if lost else now - since
    return deaf + (now - since if lost else 0.0)
