"""The state of a session as the displays show it: what is worth seeing, as plain values.

The room page and the terminal show the same; words come from the wording of the protocol's language.
"""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Any

from voice_facilitator.session import View
from voice_facilitator.session.events import Part, SpeakerState
from voice_facilitator.session.protocol import Listening

SHOWN_NEXT = 3  # phases to come that fit on a screen without making people count
# What changes with every tick of the clock; everything else is news.
TIMES = ("phase_left", "session_left", "undo_left")


class Microphone(StrEnum):
    """What the microphone does, for people."""

    STARTING = "starting"
    LISTENING = "listening"
    MUTED = "muted"  # while we speak
    LOST = "lost"
    TIMER_ONLY = "timer-only"


class Heard(StrEnum):
    """Who speaks now: never a name, and no more than this."""

    PRESENTER = "presenter"
    GROUP = "group"
    NOBODY = "nobody"


_HEARD = {
    SpeakerState.PRESENTER: Heard.PRESENTER,
    SpeakerState.OTHER: Heard.GROUP,
    SpeakerState.SILENCE: Heard.NOBODY,
}


def microphone(view: View) -> Microphone:
    if view.timer_only:
        return Microphone.TIMER_ONLY
    if Part.MICROPHONE in view.lost or Part.HEARING in view.lost:
        return Microphone.LOST
    if view.who is None:
        return Microphone.STARTING
    return Microphone.MUTED if view.who is SpeakerState.SELF else Microphone.LISTENING


def microphone_text(view: View) -> str:
    """The key of what is said of the microphone: why it is lost, where that is known."""
    state = microphone(view)
    if state is Microphone.LOST and view.microphone_fault is not None:
        return f"microphone.{state.value}.{view.microphone_fault.value}"
    return f"microphone.{state.value}"


def heard(view: View) -> Heard | None:
    """Who speaks now, where the protocol wants it shown and it is known."""
    if not view.shows_speaker or view.who is None or view.mode != "running":
        return None
    return _HEARD.get(view.who)


def missing(view: View) -> list[str]:
    """The parts the session does without; the microphone has a place of its own."""
    return [part.value for part in view.lost if part not in (Part.MICROPHONE, Part.HEARING)]


def trouble(view: View) -> list[tuple[str, int]]:
    """What failed, was mended or was missed since the start, by kind; empty on most days."""
    counted = {
        "faults": view.faults,
        "restarts": view.restarts,
        "dropped": view.dropped,
        "missed": round(view.missed_seconds),
    }
    return [(what, count) for what, count in counted.items() if count]


def closes(view: View) -> bool:
    """Whether this is the last part, in which the support contacts are shown."""
    return view.mode in ("closing", "ended") or (bool(view.phase) and not view.later)


def consent(listening: Listening, *, understands: bool) -> str:
    """Key of the line that says what is listened for; commands only where they are understood."""
    commands = ".commands" if understands and listening is not Listening.NOTHING else ""
    return f"consent.{listening.value}{commands}"


# Of the view, what no page is told, or not in this form: who speaks is shown only where a protocol wants it.
_KEPT_BACK = frozenset(
    {"who", "shows_speaker", "speaking", "enrolment", "reminders", "timer_only", "lost", "listening"}
    | {"microphone_fault", "faults", "restarts", "dropped", "missed_seconds"}
)


def session_frame(view: View, contacts: tuple[str, ...] = ()) -> dict[str, Any]:
    """The view as JSON-ready values, with what pages make of it; lengths in seconds."""
    shown = {name: _plain(value) for name, value in asdict(view).items() if name not in _KEPT_BACK}
    who = heard(view)
    return {
        "stage": "session",
        **shown,
        "later": [[title, round(seconds)] for title, seconds in view.later[:SHOWN_NEXT]],
        "microphone": microphone(view).value,
        "microphone_text": microphone_text(view),
        "heard": who.value if who else None,
        "missing": missing(view),
        "trouble": trouble(view),
        "consent": consent(view.listening, understands=bool(view.stop)),
        "contacts": list(contacts) if closes(view) else [],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, frozenset):
        return sorted(value)
    return value
