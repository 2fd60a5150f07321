"""The session in a terminal: phase, floor, time left, what comes next, who is heard, and the keys."""

from __future__ import annotations

import sys
from typing import Protocol

from rich import box
from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from voice_facilitator.display.keys import HELP
from voice_facilitator.session import View
from voice_facilitator.session.events import Enrolment, Floor, Part, SpeakerState

_FLOOR = {
    Floor.EVERYONE: "○○○  everyone",
    Floor.PRESENTER: "●○○  the presenter",
    Floor.GROUP: "○●●  the group",
    Floor.NOBODY: "···  nobody, take a breath",
}
_WHO = {
    SpeakerState.PRESENTER: "the presenter",
    SpeakerState.OTHER: "the group",
    SpeakerState.UNSURE: "someone",
    SpeakerState.SILENCE: "nobody",
    SpeakerState.SELF: "this program",
}
_LOST = {
    Part.MICROPHONE: "microphone lost",
    Part.HEARING: "listening stopped",
    Part.VOICE_MODEL: "cannot tell voices apart",
    Part.COMMANDS: "does not understand spoken commands",
    Part.SPEAKER: "speaker lost",
    Part.SPEECH_ENGINE: "no spoken words",
}
_ENROLMENT = {
    Enrolment.NONE: "",
    Enrolment.LEARNING: "learning the presenter's voice",
    Enrolment.READY: "the presenter's voice is known",
    Enrolment.POOR: "the presenter's voice is not known well enough",
    Enrolment.AMBIGUOUS: "two voices are too alike",
}


class Screen(Protocol):
    """What a live session shows itself on."""

    def start(self) -> None: ...
    def update(self, view: View, level_dbfs: float | None) -> None: ...
    def stop(self) -> None: ...


def make_screen(console: Console) -> Screen:
    """The full view for a terminal, single lines for anything else."""
    return TerminalScreen(console) if console.is_terminal else LineScreen(console)


class TerminalScreen:
    """Redraws the whole state in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, screen=False, transient=True)

    def start(self) -> None:
        self._live.start()

    def update(self, view: View, level_dbfs: float | None) -> None:
        self._live.update(render(view, level_dbfs), refresh=True)

    def stop(self) -> None:
        self._live.stop()


class LineScreen:
    """For logs and pipes: one line for each phase and each sentence."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._caption = ""
        self._line = ""

    def start(self) -> None:
        pass

    def update(self, view: View, level_dbfs: float | None) -> None:
        del level_dbfs
        if view.phase_title and view.phase != self._phase:
            self._print(f"== {view.phase_title} ({clock(view.phase_left)}) - {_FLOOR[view.floor][5:]}")
        if view.caption and view.caption != self._caption:
            self._print(f"   says: {view.caption}")
        if view.line and view.line not in (self._line, view.caption):
            self._print(f"   shows: {view.line}")
        self._phase, self._caption, self._line = view.phase, view.caption, view.line

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        sys.stdout.flush()


def clock(seconds: float) -> str:
    """`6:05`; below zero counts as zero."""
    whole = max(0, int(seconds + 0.999))
    return f"{whole // 60}:{whole % 60:02d}"


def render(view: View, level_dbfs: float | None) -> RenderableType:
    """The state as something rich can print. level_dbfs: loudness at the microphone, None if unknown."""
    if view.mode == "not-started":
        body: list[RenderableType] = [
            Text("Ready", style="bold"),
            Text(view.protocol_title),
            Text(f"{clock(view.session_left)} minutes in all. Press space when everyone has arrived."),
        ]
    elif view.mode in ("closing", "ended"):
        body = [Text("Closing" if view.mode == "closing" else "The session is over", style="bold")]
    else:
        body = _phase(view)
    said = [text for text in (view.caption, view.line) if text]
    body += [Text(), *(Text(text, style="italic", justify="center") for text in dict.fromkeys(said))]
    body += [Text(), _status(view, level_dbfs)]
    panel = Panel(
        Group(*body), title=view.protocol_title, subtitle=_subtitle(view), box=box.ROUNDED, padding=(1, 3)
    )
    return Group(panel, Align.center(_keys(view)))


def _phase(view: View) -> list[RenderableType]:
    waiting = "  the time is up, waiting for a pause" if view.waits_for_gap else ""
    left = "PAUSED" if view.mode == "paused" else clock(view.phase_left) + waiting
    done = max(0.0, view.phase_seconds - max(0.0, view.phase_left))
    parts: list[RenderableType] = [
        Text(view.phase_title, style="bold"),
        Text(view.hint),
        Text(),
        Text(f"{left}", style="bold"),
        ProgressBar(total=max(view.phase_seconds, 1e-9), completed=done, width=50),
        Text(),
        Text(f"Whose turn: {_FLOOR[view.floor]}"),
    ]
    if view.later:
        following = ", ".join(f"{title} {clock(seconds)}" for title, seconds in view.later[:3])
        parts.append(Text(f"Next:       {following}"))
    return parts


def _status(view: View, level_dbfs: float | None) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    microphone = "muted while this program speaks" if view.who is SpeakerState.SELF else "listening"
    if view.timer_only:
        microphone = "timer only: voices are not told apart"
    if Part.MICROPHONE in view.lost or Part.HEARING in view.lost:
        microphone = "lost, keeping the time"
    elif view.who is None:
        microphone = "starting"
    meter = "" if level_dbfs is None else "▁▂▃▄▅▆▇█"[max(0, min(7, int((level_dbfs + 70) / 7)))]
    table.add_row("Microphone", f"{microphone} {meter}")
    table.add_row("Heard", _WHO[view.who] if view.who else "-")
    if _ENROLMENT[view.enrolment]:
        table.add_row("Voices", _ENROLMENT[view.enrolment])
    if view.lost:
        table.add_row("Missing", ", ".join(_LOST[part] for part in view.lost))
    return table


def _subtitle(view: View) -> str | None:
    if view.mode not in ("running", "paused"):
        return None
    return f"{clock(view.session_left)} left in all"


def _keys(view: View) -> Text:
    shown = [label for label, action in HELP if action in view.allowed]
    if view.undo_left > 0:
        shown = [f"u undo ({view.undo_left:.0f} s)" if label == "u undo" else label for label in shown]
    shown = [label.replace(" ", "\N{NO-BREAK SPACE}") for label in (*shown, "ctrl-c quit")]
    return Text("   ".join(shown), style="dim", justify="center")
