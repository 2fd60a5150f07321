"""Before a live session: what to go on with, what was chosen, and whether all of it is there."""

from __future__ import annotations

import contextlib
import queue
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voice_facilitator.cli.options import say
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.machine.interrupts import LOOK_SECONDS, Noted

if TYPE_CHECKING:
    from voice_facilitator.app.room_display import Keyboard

# Heavy parts (NumPy, pydantic, the sound system) are imported by the functions that need them, so that
# help, version and shell completion answer at once.
# ruff: noqa: PLC0415


def choice(settings: Any, cut: Any, protocol: str | None, minutes: int | None, timer_only: bool) -> Any:
    """What the command line and the settings choose; an interrupted session goes on as it was."""
    from voice_facilitator.app.stages import Chosen
    from voice_facilitator.files import protocols as protocol_files

    if cut is not None:
        timer_only = timer_only or cut.session.view().timer_only
        return Chosen(cut.protocol_name, cut.protocol, settings, timer_only)
    name = protocol or settings.session.protocol
    format_ = protocol_files.load(name)
    if minutes is not None:
        format_ = protocol_files.with_minutes(format_, minutes)
    return Chosen(name, format_, settings, timer_only)


def interrupted(
    settings: Any, wanted: bool | None, audio: Path | None, keyboard: Keyboard, told: Noted
) -> Any:
    """The session to go on with, or None; whoever is there is asked. Raises KeyboardInterrupt.

    audio: heard instead of a microphone.
    """
    from voice_facilitator.app import resume
    from voice_facilitator.machine.clocks import Moment

    hears = audio is not None or not resume.resume_path().exists() or has_microphone()
    found = resume.find(settings, Moment.now(), tell=say, hears=hears)
    if found is None:
        if wanted:
            say("No session was cut off that could go on: a new one begins.")
        return None
    say(found.in_words(Moment.now()))
    if wanted is None and sys.stdin.isatty():
        wanted = _yes("Go on with it? (y/n)", keyboard, told)
    elif wanted is None:
        say("A new one begins; with --resume the other would have gone on.")
    if wanted and not found.is_over(Moment.now()):  # people may have thought about it for long
        return found
    resume.remove()
    return None


def _yes(question: str, keyboard: Keyboard, told: Noted) -> bool:
    """Wait for one key: y, space or Enter is yes, n is no. Raises KeyboardInterrupt."""
    pressed: queue.SimpleQueue[str] = queue.SimpleQueue()
    keyboard.leads_to(pressed.put)
    say(question)
    while True:
        told.check()
        with contextlib.suppress(queue.Empty):
            key = pressed.get(timeout=LOOK_SECONDS).lower()
            if key in ("y", " ", "\r", "\n", "n"):
                return key != "n"


def named_are_there(microphone: str | None, speaker: str | None) -> None:
    """A name that is mistyped on the command line is said at once. Raises FacilitatorError."""
    from voice_facilitator.machine import soundcard

    if microphone:
        soundcard.find(microphone, "input")
    if speaker:
        soundcard.find(speaker, "output")


def all_there(chosen: Any, audio: Path | None) -> None:
    """Says what is missing while the one who started the program still stands at the keyboard."""
    from voice_facilitator.hearing.who.voice_model import load_voice_model
    from voice_facilitator.machine import soundcard

    if chosen.settings.speaking.speaker:  # without a name it may be silent: everything is shown as well
        soundcard.find(chosen.settings.speaking.speaker, "output")
    if chosen.timer_only:
        return
    load_voice_model(chosen.settings.hearing)
    if audio is not None:
        return
    try:
        soundcard.find(chosen.settings.hearing.microphone, "input")
    except FacilitatorError as error:
        error.hint += " To only keep the time: voice-facilitator run --timer-only"
        raise


def has_microphone() -> bool:
    from voice_facilitator.machine import soundcard

    with contextlib.suppress(FacilitatorError):
        return any(device.direction == "input" for device in soundcard.devices())
    return False
