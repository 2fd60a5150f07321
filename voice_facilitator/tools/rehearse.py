"""The announcements of a protocol, printed or spoken, without waiting for the phases."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from voice_facilitator.app.report import clock
from voice_facilitator.app.setting_up import speaking_in, wording_of
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.settings import Settings
from voice_facilitator.machine import soundcard
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Seconds
from voice_facilitator.session.protocol import CueKind, Phase, Protocol
from voice_facilitator.speaking.process import SpeakingProcess

_LONGEST_SENTENCE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Line:
    """One announcement: when it comes if all goes to plan, and how it is given."""

    at: Seconds
    phase: str
    kind: str  # "voice", "chime" or "screen"
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {"at": round(self.at, 1), "phase": self.phase, "kind": self.kind, "text": self.text}


def lines(protocol: Protocol, settings: Settings) -> list[Line]:
    """Everything a session of this protocol announces as planned, in order."""
    wording = wording_of(settings, protocol)
    contacts = tuple(settings.session.support_contacts)
    listening = wording.listening(protocol, timer_only=False)
    found: list[Line] = []
    at = 0.0

    def add(phase: Phase, when: Seconds, kind: CueKind, text: str, seconds: Seconds) -> None:
        filled = wording.fill(text, seconds=seconds, contacts=contacts, listening=listening)
        found.append(Line(when, phase.name, kind.value, filled))

    for phase in protocol.phases:
        add(phase, at, CueKind.VOICE, phase.announcement, phase.seconds)
        end = at + phase.seconds
        for cue in sorted(phase.cues, key=lambda cue: -cue.seconds_left):
            add(phase, end - cue.seconds_left, cue.kind, cue.text, cue.seconds_left)
        at = end
    add(protocol.phases[-1], at - protocol.closing_seconds, CueKind.VOICE, protocol.goodbye, 0)
    return found


def show(found: list[Line], protocol: Protocol, console: Console) -> None:
    """Print them for reading aloud or checking."""
    titles = {phase.name: phase.title for phase in protocol.phases}
    before = ""
    for line in found:
        if line.phase != before:
            console.print(f"\n{titles[line.phase]}", style="bold", highlight=False)
        before = line.phase
        _print(line, console)


def _print(line: Line, console: Console) -> None:
    mark = {"voice": "says", "chime": "chimes", "screen": "shows"}[line.kind]
    console.print(f"  {clock(line.at):>5}  {mark}: {line.text}", highlight=False, markup=False)


def speak(found: list[Line], protocol: Protocol, settings: Settings, console: Console) -> ExitCode:
    """Say them one after the other over the speaker.

    Raises FacilitatorError `no-speaker` or `no-portaudio` before anything is said, `rehearsal-unheard` at the
    first that cannot be heard.
    """
    soundcard.find(settings.speaking.speaker, "output")
    events: queue.Queue[ev.Input] = queue.Queue()
    speaking = SpeakingProcess(speaking_in(settings.speaking, protocol.language), events.put)
    spoken = [line for line in found if line.kind != CueKind.SCREEN.value]
    with console.status("Preparing the voice ..."):
        speaking.start([line.text for line in spoken if line.kind == CueKind.VOICE.value])
    try:
        for number, line in enumerate(spoken, start=1):
            _print(line, console)
            voice = line.kind == CueKind.VOICE.value
            speaking.say(number, line.text, chime=True, voice=voice)
            outcome = _outcome(events, number)
            if outcome is ev.Outcome.FAILED or (voice and outcome is ev.Outcome.CHIMED):
                raise FacilitatorError(
                    "rehearsal-unheard",
                    "This could not be said.",
                    "Run: voice-facilitator doctor",
                    exit_code=ExitCode.NO_ENGINE,
                )
    finally:
        speaking.close()
    return ExitCode.OK


def _outcome(events: queue.Queue[ev.Input], number: int) -> ev.Outcome:
    while True:
        try:
            event = events.get(timeout=_LONGEST_SENTENCE_SECONDS)
        except queue.Empty:
            return ev.Outcome.FAILED
        if isinstance(event, ev.AnnouncementFinished) and event.number == number:
            return event.outcome
