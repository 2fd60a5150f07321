"""The session in a terminal: the same state as on the room page, for people without a browser."""

from __future__ import annotations

from rich import box
from rich.align import Align
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from voice_facilitator.display import frame
from voice_facilitator.display.key_table import KEYS
from voice_facilitator.display.keys import can_redraw
from voice_facilitator.display.screens import Screen
from voice_facilitator.files.plurals import rule_of
from voice_facilitator.session import View
from voice_facilitator.session.events import Action, Enrolment, Floor

Phrases = dict[str, str]

# The circle of chairs in one line: filled may speak, the square one is the presenter's.
_CHAIRS = {
    Floor.EVERYONE: "■ ●●●●",
    Floor.PRESENTER: "■ ○○○○",
    Floor.GROUP: "□  ●●●●",
    Floor.NOBODY: "□ ○○○○",
}


def make_screen(
    console: Console, phrases: Phrases, contacts: tuple[str, ...] = (), *, address: str = ""
) -> Screen:
    """The full view for a terminal, single lines for anything else. `address`: of the room page."""
    if console.is_terminal and can_redraw():
        return TerminalScreen(console, phrases, contacts, address)
    return LineScreen(console, phrases)


class TerminalScreen:
    """Redraws the whole state in place."""

    def __init__(
        self, console: Console, phrases: Phrases, contacts: tuple[str, ...] = (), address: str = ""
    ) -> None:
        self._phrases, self._contacts, self._address = phrases, contacts, address
        self._live = Live(console=console, auto_refresh=False, screen=False, transient=True)

    def start(self) -> None:
        self._live.start()

    def update(self, view: View, level_dbfs: float | None) -> None:
        outlet = getattr(self._live.console.file, "outlet", None)
        if outlet is not None and not outlet.idle:
            return  # the terminal stands still: the newest state is drawn when it goes on
        drawn = render(view, level_dbfs, self._phrases, self._contacts, self._address)
        self._live.update(drawn, refresh=True)

    def stop(self) -> None:
        self._live.stop()


class LineScreen:
    """For logs and pipes: one line for each phase and each sentence."""

    def __init__(self, console: Console, phrases: Phrases) -> None:
        self._console, self._phrases = console, phrases
        self._phase = ""
        self._said_before: set[str] = set()
        self._caption = ""
        self._line = ""
        self._microphone = ""

    def start(self) -> None:
        pass

    def update(self, view: View, level_dbfs: float | None) -> None:
        del level_dbfs
        if view.mode == "not-started":
            self._once(self._phrases[frame.consent(view.listening, understands=bool(view.stop))])
        if view.mode not in ("closing", "ended"):
            self._once(how_to_stop(view, self._phrases))
        elif view.voices_deleted:
            self._once(self._phrases["voices-deleted"])
        if view.phase_title and view.phase != self._phase:
            floor = self._phrases[view.floor.value]
            self._print(f"== {view.phase_title} ({clock(view.phase_left)}) - {floor}")
        if view.caption and view.caption != self._caption:
            self._print(f"   says: {view.caption}")
        if view.line and view.line not in (self._line, view.caption):
            self._print(f"   shows: {view.line}")
        microphone = self._phrases[frame.microphone_text(view)] if view.microphone_fault else ""
        if microphone and microphone != self._microphone:
            self._print(f"   {microphone}")
        self._phase, self._caption, self._line = view.phase, view.caption, view.line
        self._microphone = microphone

    def _once(self, text: str) -> None:
        """What stands on a screen all the time, a log says when it becomes true."""
        if text not in self._said_before:
            self._said_before.add(text)
            self._print(f"   shows: {text}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        pass


def clock(seconds: float) -> str:
    """`6:05`; below zero counts as zero."""
    whole = max(0, int(seconds + 0.999))
    return f"{whole // 60}:{whole % 60:02d}"


def calmly(seconds: float, phrases: Phrases) -> str:
    """`about twenty minutes`: to the minute below ten, to five above."""
    minutes = seconds / 60
    if minutes < 1:
        return phrases["calm.none"]
    count = int(minutes + 0.5) if minutes < 10.5 else int(minutes / 5 + 0.5) * 5
    form = rule_of(phrases["language"])(count)
    return phrases[f"calm.{form}"].format(count=phrases.get(f"number.{count}", count))


def render(
    view: View,
    level_dbfs: float | None,
    phrases: Phrases,
    contacts: tuple[str, ...] = (),
    address: str = "",
) -> RenderableType:
    """The state as something rich can print. level_dbfs: loudness at the microphone, None if unknown."""
    if view.mode == "not-started":
        body: list[RenderableType] = [
            Text(phrases["ready.title"], style="bold"),
            Text(phrases["ready.text"]),
            Text(phrases["in-all"].format(time=clock(view.session_left))),
            Text(),
            Text(phrases[frame.consent(view.listening, understands=bool(view.stop))]),
        ]
    elif view.mode in ("closing", "ended"):
        body = [Text(phrases[f"{view.mode}.title"], style="bold")]
        if view.voices_deleted:
            body.append(Text(phrases["voices-deleted"]))
    else:
        body = _phase(view, phrases)
    if contacts and frame.closes(view):
        body += [Text(), Text(phrases["contacts.title"]), *(Text(f"  {contact}") for contact in contacts)]
    said = [text for text in (view.caption, view.line) if text]
    body += [Text(), *(Text(text, style="italic", justify="center") for text in dict.fromkeys(said))]
    body += [Text(), _status(view, level_dbfs, phrases)]
    if view.mode not in ("closing", "ended"):
        body += [Text(), Text(how_to_stop(view, phrases), style="bold")]
    panel = Panel(
        Group(*body),
        title=Text(view.protocol_title),
        subtitle=_subtitle(view, phrases),
        box=box.ROUNDED,
        padding=(1, 3),
    )
    below = [Align.center(_keys(view, phrases))]
    if address:
        below.append(Align.center(Text(address, style="dim", no_wrap=True)))
    return Group(panel, *below)


def how_to_stop(view: View, phrases: Phrases) -> str:
    """By voice where that works now, else by key."""
    return phrases["stop.voice"].format(stop=view.stop) if view.stop else phrases["stop"]


def _phase(view: View, phrases: Phrases) -> list[RenderableType]:
    hint = view.hint
    if view.asks is not None:
        hint = phrases[f"asks.{view.asks.value}"]
    elif view.mode == "paused":
        hint = phrases["paused.text"]
    elif view.waits_for_gap:
        hint = phrases["time-up"]
    left = calmly(view.phase_left, phrases) if view.calm else clock(view.phase_left)
    done = max(0.0, view.phase_seconds - max(0.0, view.phase_left))
    parts: list[RenderableType] = [
        Text(view.phase_title, style="bold"),
        Text(hint),
        Text(),
        Text(phrases["paused"] if view.mode == "paused" else left, style="bold"),
        ProgressBar(total=max(view.phase_seconds, 1e-9), completed=done, width=50, pulse=False),
        Text(),
        Text(f"{phrases['turn']}: {_CHAIRS[view.floor]}  {phrases[view.floor.value]}"),
    ]
    if view.later:
        following = ", ".join(
            f"{title} {clock(seconds)}" for title, seconds in view.later[: frame.SHOWN_NEXT]
        )
        parts.append(Text(f"{phrases['next']}: {following}"))
    return parts


def _status(view: View, level_dbfs: float | None, phrases: Phrases) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    meter = "" if level_dbfs is None else "▁▂▃▄▅▆▇█"[max(0, min(7, int((level_dbfs + 70) / 7)))]
    table.add_row(phrases["microphone"], f"{phrases[frame.microphone_text(view)]} {meter}")
    if (who := frame.heard(view)) is not None:
        table.add_row(phrases["heard"], phrases[f"heard.{who.value}"])
    if view.enrolment is not Enrolment.NONE:
        table.add_row(phrases["voices"], phrases[f"voices.{view.enrolment.value}"])
    for part in frame.missing(view):
        table.add_row("", phrases[f"missing.{part}"])
    if trouble := frame.trouble(view):
        counted = (phrases[f"trouble.{what}"].format(count=count) for what, count in trouble)
        table.add_row(phrases["trouble"], ", ".join(counted))
    return table


def _subtitle(view: View, phrases: Phrases) -> Text | None:
    if view.mode not in ("running", "paused"):
        return None
    left = calmly(view.session_left, phrases) if view.calm else clock(view.session_left)
    return Text(phrases["in-all"].format(time=left))


def _keys(view: View, phrases: Phrases) -> RenderableType:
    shown = []
    for key in KEYS:
        if key.action in view.allowed:
            label = phrases[f"action.{key.action.value}"]
            if key.action is Action.UNDO:
                label += f" ({view.undo_left:.0f} s)"
            shown.append(f"{phrases['space'] if key.shown == 'space' else key.shown} {label}")
    shown.append(f"ctrl-c {phrases['action.quit']}")
    return Columns([Text(label, style="dim", no_wrap=True) for label in shown], padding=(0, 3))
