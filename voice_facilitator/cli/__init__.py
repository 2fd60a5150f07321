"""The command line. Data goes to stdout, everything else to stderr; exit codes stand in the README."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Annotated, NoReturn

import typer

from voice_facilitator import __version__
from voice_facilitator.cli import catalogue, machine, sessions
from voice_facilitator.cli.options import say_error
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.machine.resources import ONE_THREAD, find_home, find_runtime_folder


def _exit_with(code: int | None, **_: object) -> None:
    raise typer.Exit(code or ExitCode.OK)


app = typer.Typer(
    name="voice-facilitator",
    result_callback=_exit_with,  # commands return their exit code
    help="Keeps the frame of a Balint group: time, turns and gentle reminders. Offline; nothing is recorded.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(sessions.app)
app.add_typer(catalogue.protocols, name="protocols")
app.add_typer(catalogue.models, name="models")
app.add_typer(machine.app)


def main() -> None:
    """The entry point: runs a command and turns errors into a message, a hint and an exit code."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    find_home()
    find_runtime_folder()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # letters that the terminal lacks end no command
    try:
        app()
    except FacilitatorError as error:
        _fail(error)


def _fail(error: FacilitatorError) -> NoReturn:
    if "--json" in sys.argv:
        print(json.dumps({"error": error.as_dict()}))
    say_error(error)
    sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"voice-facilitator {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version
