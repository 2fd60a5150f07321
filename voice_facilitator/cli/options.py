"""What the commands share: options, the two consoles, settings, the event log and progress lines."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.machine.outlet import Outlet, straight_to
from voice_facilitator.visible import visible

# Heavy parts (NumPy, pydantic, the sound system) are imported by the commands that need them, so that
# help, version and shell completion answer at once.
# ruff: noqa: PLC0415

# Text is shown as it is: "[/b]" or ":warning:" in a title or a file name asks for nothing.
STDERR = Console(stderr=True, markup=False, emoji=False)
STDOUT = Console(markup=False, emoji=False)


def protocol_names() -> list[str]:
    """For shell completion, which offers files by itself where none of these fits."""
    from voice_facilitator.files import protocols

    return protocols.names()


def model_names() -> list[str]:
    """For shell completion."""
    from voice_facilitator import models

    return [entry.name for entry in models.load_manifest().model]


SettingsOption = Annotated[
    Path | None, typer.Option("--settings", help="Your settings file instead of the usual one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        "-p",
        help="Name or file of a protocol; the one in the settings otherwise.",
        autocompletion=protocol_names,
    ),
]
EventsOption = Annotated[
    Path | None, typer.Option("--events", help='Write the event log (JSON lines) here; "-" is stdout.')
]


def say(text: str, *, style: str | None = None) -> None:
    """Tell people something, on stderr; long lines are left to the terminal."""
    with contextlib.suppress(OSError):  # nobody reads it any more
        STDERR.print(visible(text, layout=True), style=style, markup=False, highlight=False, soft_wrap=True)


def say_result(text: str) -> None:
    """A line of what was asked for, on stdout."""
    print(visible(text, layout=True), flush=True)


def say_error(error: FacilitatorError) -> None:
    """The form of every error: its code, what is wrong, and what to do."""
    say(f"Error ({error.code}): {error.message}", style="bold")
    if error.hint:
        say(error.hint)


def is_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().startswith("utf")


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))  # in ASCII: whatever it is, a terminal and a pipe can take it


def settings_with(file: Path | None, *, microphone: str | None = None, speaker: str | None = None) -> Any:
    from voice_facilitator.files.settings import load_settings

    settings = load_settings(file)
    if microphone is not None:
        hearing = settings.hearing.model_copy(update={"microphone": visible(microphone)})
        settings = settings.model_copy(update={"hearing": hearing})
    if speaker is not None:
        speaking = settings.speaking.model_copy(update={"speaker": visible(speaker)})
        settings = settings.model_copy(update={"speaking": speaking})
    return settings


@contextlib.contextmanager
def event_log(
    path: Path | None, *, goes_on: bool = False, outlets: list[Outlet] | None = None
) -> Iterator[list[Any]]:
    """The sinks that write the event log: none, one to a file, or one to stdout.

    goes_on: what the interrupted session has logged stays. outlets: for a session, which must not wait for
    a reader or a disk; the one through which the log is written is added. Without, nothing is ever dropped.
    """
    from voice_facilitator.app.eventlog import EventLog

    if path is None:
        yield []
        return
    with _stdout() if str(path) == "-" else _log_file(path, goes_on) as (write, ascii_only):
        if outlets is None:
            yield [EventLog(write, ascii_only=ascii_only)]
            return
        outlet = Outlet(write)
        outlets.append(outlet)
        try:
            yield [EventLog(outlet.put, ascii_only=ascii_only)]
        finally:
            if not outlet.close():
                say(f"The event log {path} is not complete: it could not be written in time.")


_Writing = tuple[Callable[[str], object], bool]  # and whether it takes ASCII only


@contextlib.contextmanager
def _stdout() -> Iterator[_Writing]:
    yield straight_to(sys.stdout), not is_unicode(sys.stdout)


@contextlib.contextmanager
def _log_file(path: Path, goes_on: bool) -> Iterator[_Writing]:
    from voice_facilitator.app.eventlog import is_cut_off, is_other_file

    if path.is_fifo():
        yield _to_fifo(path), False
        return
    try:
        if is_other_file(path):
            raise FacilitatorError(
                "events-file",
                f"{path} is there already, and it is no event log.",
                "Name another file, so that nothing is overwritten.",
                exit_code=ExitCode.BAD_FILE,
            )
        stream = path.open("a" if goes_on else "w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise FacilitatorError(
            "events-file",
            f"The event log cannot be written to {path}: {error.strerror}.",
            "Name another file.",
            exit_code=ExitCode.BAD_FILE,
        ) from error

    def write(line: str) -> None:
        stream.write(line)
        stream.flush()

    try:
        if goes_on and is_cut_off(path):
            stream.write("\n")
        yield write, False
    finally:
        try:
            stream.close()
        except OSError as error:
            say(f"The event log {path} is not complete: {error.strerror}.")


def _to_fifo(path: Path) -> Callable[[str], None]:
    """Waits for a reader with the first line, and not before."""
    opened: list[TextIO] = []

    def write(line: str) -> None:
        if not opened:
            opened.append(path.open("w", encoding="utf-8", newline="\n"))
        opened[0].write(line)
        opened[0].flush()

    return write


def progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeRemainingColumn(),
        console=STDERR,
        transient=True,
        disable=not STDERR.is_terminal,  # it would leave an empty line
    )


@contextlib.contextmanager
def counted(what: str) -> Iterator[Any]:
    """A line that counts up until the session's own screen takes over."""
    shown = STDERR.is_terminal

    def on_progress(done: int, total: int) -> None:
        if shown and done <= 2:
            say(f"{what} ... {done} of {total}")

    yield on_progress
