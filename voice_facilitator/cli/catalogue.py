"""The commands about what is shipped: protocols and models."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from voice_facilitator.cli.options import (
    STDERR,
    STDOUT,
    JsonOption,
    model_names,
    print_json,
    protocol_names,
    say,
    say_error,
    say_result,
)
from voice_facilitator.errors import ExitCode, FacilitatorError

# Heavy parts (NumPy, pydantic, the sound system) are imported by the commands that need them, so that
# help, version and shell completion answer at once.
# ruff: noqa: PLC0415

protocols = typer.Typer(help="The session formats.", no_args_is_help=True)
models = typer.Typer(help="The models: list, fetch, verify.", no_args_is_help=True)


@protocols.command("list")
def protocols_list(as_json: JsonOption = False) -> int:
    """The shipped protocols."""
    from voice_facilitator.files import protocols as files

    found = [files.load(name) for name in files.names()]
    if as_json:
        print_json(
            [
                {"name": p.name, "title": p.title, "minutes": p.seconds / 60, "description": p.description}
                for p in found
            ]
        )
        return ExitCode.OK
    table = Table("Name", "Minutes", "Description")
    for p in found:
        table.add_row(p.name, f"{p.seconds / 60:.0f}", p.description)
    STDOUT.print(table)
    return ExitCode.OK


@protocols.command("show")
def protocols_show(
    name: Annotated[str, typer.Argument(help="Name or file.", autocompletion=protocol_names)],
    as_json: JsonOption = False,
) -> int:
    """The phases of one protocol, with minutes, floor and what they are for."""
    from voice_facilitator.files import protocols as files

    found = files.load(name)
    if as_json:
        print_json(dataclasses.asdict(found))
        return ExitCode.OK
    table = Table("Phase", "Title", "Minutes", "Floor", "Cues", "", title=found.title, title_justify="left")
    for phase in found.phases:
        cues = ", ".join(f"{cue.seconds_left:.0f} s left ({cue.kind.value})" for cue in phase.cues)
        marks = {
            "learns the presenter's voice": phase.enrols_presenter,
            "hears the others": phase.hears_others,
            "reminds": phase.reminders,
            phase.elasticity.value: phase.elasticity.value != "elastic",
        }
        notes = ", ".join(text for text, is_set in marks.items() if is_set)
        table.add_row(phase.name, phase.title, f"{phase.seconds / 60:g}", phase.floor.value, cues, notes)
    table.add_row("", "", f"{found.seconds / 60:g}", "", "", "in all")
    STDOUT.print(table)
    return ExitCode.OK


@protocols.command("check")
def protocols_check(
    files: Annotated[list[str], typer.Argument(help="Names or files.", autocompletion=protocol_names)],
) -> int:
    """Check protocols and report every mistake at once."""
    from voice_facilitator.files import protocols as reader

    code = ExitCode.OK
    for file in files:
        try:
            found = reader.load(file)
        except FacilitatorError as error:
            say_error(error)
            code = error.exit_code
        else:
            say_result(f"{file}: good, {len(found.phases)} phases, {found.seconds / 60:g} minutes")
            for note in reader.hard_to_follow(found):
                say(f"Note: {note}")
    return code


@models.command("list")
def models_list(as_json: JsonOption = False) -> int:
    """What models there are and which of them lie here."""
    from voice_facilitator import models as store

    rows = [
        {
            "name": entry.name,
            "what": entry.what,
            "state": store.state_of(entry).value,
            "megabytes": round(entry.bytes / 1e6, 1),
            "licence": entry.licence,
            "source": entry.source,
            "needed": entry.default,
        }
        for entry in store.load_manifest().model
    ]
    if as_json:
        print_json(rows)
        return ExitCode.OK
    longest = max(len(str(row["name"])) for row in rows)  # `fetch` wants it whole
    name = Column("Name", no_wrap=True, min_width=longest)
    table = Table(name, "For what; licence, source", "State", "MB", "Needed")
    for row in rows:
        needed = "yes" if row["needed"] else "no"
        size = str(row["megabytes"] or "?")
        about = Text.assemble(f"{row['what']}\n", (f"{row['licence']}, {row['source']}", "dim"))
        table.add_row(str(row["name"]), about, str(row["state"]), size, needed)
    STDOUT.print(table)
    return ExitCode.OK


@models.command("fetch")
def models_fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Models; the needed ones otherwise.", autocompletion=model_names),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Take a model whose publisher names no hash.")
    ] = False,
) -> int:
    """Fetch models; what is here and whole is left alone."""
    from voice_facilitator import models as store

    manifest = store.load_manifest()
    chosen = (
        [manifest.find(name) for name in names]
        if names
        else [entry for entry in manifest.model if entry.default]
    )
    for entry in chosen:
        if store.state_of(entry) is store.State.GOOD:
            say(f"{entry.name}: here already")
            continue
        say(f"{entry.name}: {entry.what} ({entry.licence}, {entry.source})")
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=STDERR,
        ) as progress:
            task = progress.add_task(entry.name, total=entry.bytes or None)

            def on_progress(doing: str, done: int, total: int) -> None:
                progress.update(task, description=doing, completed=done, total=total or None)  # noqa: B023

            store.fetch(entry, on_progress, trust_unknown=trust)
        say(f"{entry.name}: good")
    return ExitCode.OK


@models.command("verify")
def models_verify(as_json: JsonOption = False) -> int:
    """Check every model that lies here against its hash."""
    from voice_facilitator import models as store

    manifest = store.load_manifest()
    states = {entry.name: store.state_of(entry) for entry in manifest.model}
    needed = {entry.name for entry in manifest.model if entry.default}
    wrong = [
        name
        for name, state in states.items()
        if state is store.State.DAMAGED or (state is store.State.MISSING and name in needed)
    ]
    if as_json:
        print_json({name: state.value for name, state in states.items()})
    else:
        for name, state in states.items():
            print(f"{name}: {state.value}")
    fetched = [name for name in wrong if not manifest.find(name).is_shipped]
    if fetched:
        say(f"Run: voice-facilitator models fetch {' '.join(fetched)}")
    if len(fetched) < len(wrong):
        say(store.INSTALL_AGAIN)
    if wrong:
        return ExitCode.NO_MODEL
    return ExitCode.OK
