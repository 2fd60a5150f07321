"""The state of a session as the displays show it: what is worth seeing, as plain values.

The room page and the terminal show the same; words come from the wording of the protocol's language.
"""

from __future__ import annotations

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


def session_frame(view: View, contacts: tuple[str, ...] = ()) -> dict[str, Any]:
    """The view as JSON-ready values; lengths in seconds."""
    shown_mic, shown_heard = microphone(view), heard(view)
    return {
        "stage": "session",
        "mode": view.mode,
        "protocol": view.protocol_title,
        "phase": view.phase,
        "title": view.phase_title,
        "hint": view.hint,
        "floor": view.floor.value,
        "calm": view.calm,
        "phase_seconds": round(view.phase_seconds, 2),
        "phase_left": round(view.phase_left, 2),
        "session_left": round(view.session_left, 2),
        "waits": view.waits_for_gap,
        "later": [[title, round(seconds)] for title, seconds in view.later[:SHOWN_NEXT]],
        "microphone": shown_mic.value,
        "microphone_text": microphone_text(view),
        "heard": shown_heard.value if shown_heard else None,
        "missing": missing(view),
        "trouble": trouble(view),
        "caption": view.caption,
        "line": view.line,
        "undo_left": round(view.undo_left, 2),
        "asks": view.asks.value if view.asks else None,
        "consent": consent(view.listening, understands=bool(view.stop)),
        "stop": view.stop,
        "voices_deleted": view.voices_deleted,
        "allowed": sorted(action.value for action in view.allowed),
        "contacts": list(contacts) if closes(view) else [],
    }
