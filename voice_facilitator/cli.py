"""The command line. Data goes to stdout, everything else to stderr; exit codes stand in the README."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from voice_facilitator import __version__
from voice_facilitator.errors import ExitCode, FacilitatorError

# Heavy parts (NumPy, pydantic, the sound system) are imported by the commands that need them, so that
# help, version and shell completion answer at once.
# ruff: noqa: PLC0415


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
protocols_app = typer.Typer(help="The session formats.", no_args_is_help=True)
models_app = typer.Typer(help="The models: list, fetch, verify.", no_args_is_help=True)
app.add_typer(protocols_app, name="protocols")
app.add_typer(models_app, name="models")

_stderr = Console(stderr=True)
_stdout = Console()

SettingsOption = Annotated[
    Path | None, typer.Option("--settings", help="Your settings file instead of the usual one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
ProtocolOption = Annotated[
    str | None,
    typer.Option("--protocol", "-p", help="Name or file of a protocol; the one in the settings otherwise."),
]
EventsOption = Annotated[
    Path | None, typer.Option("--events", help='Write the event log (JSON lines) here; "-" is stdout.')
]


def main() -> None:
    """The entry point: runs a command and turns errors into a message, a hint and an exit code."""
    try:
        app()
    except FacilitatorError as error:
        _fail(error)


def _fail(error: FacilitatorError) -> NoReturn:
    if "--json" in sys.argv:
        print(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
    _say(f"Error ({error.code}): {error.message}", style="bold")
    if error.hint:
        _say(error.hint)
    sys.exit(error.exit_code)


def _say(text: str, *, style: str | None = None) -> None:
    """Tell people something, on stderr; long lines are left to the terminal."""
    _stderr.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2))


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


# ---------------------------------------------------------------- sessions


@app.command()
def run(
    protocol: ProtocolOption = None,
    settings_file: SettingsOption = None,
    microphone: Annotated[str | None, typer.Option(help="Part of the microphone's name.")] = None,
    speaker: Annotated[str | None, typer.Option(help="Part of the speaker's name.")] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Hear this recording, in real time, instead of a microphone.")
    ] = None,
    begin_after: Annotated[
        float | None, typer.Option(min=0, help="Begin by itself so many seconds after everything is ready.")
    ] = None,
    timer_only: Annotated[
        bool, typer.Option("--timer-only", help="Only keep the time: tell no voices apart.")
    ] = False,
    events: EventsOption = None,
) -> int:
    """Hold a live session."""
    from voice_facilitator import protocols as protocol_files
    from voice_facilitator import soundcard
    from voice_facilitator.app.live import LiveSession
    from voice_facilitator.app.report import Report
    from voice_facilitator.app.setting_up import new_session
    from voice_facilitator.display.terminal import make_screen
    from voice_facilitator.hearing.process import File, HearingProcess, Microphone
    from voice_facilitator.hearing.voice_model import load_voice_model
    from voice_facilitator.speaking.process import SpeakingProcess

    settings = _settings(settings_file, microphone=microphone, speaker=speaker)
    if begin_after is None and not sys.stdin.isatty():
        raise typer.BadParameter("there is no keyboard here to begin with: give --begin-after SECONDS.")
    format_ = protocol_files.load(protocol or settings.session.protocol)
    if not timer_only:
        load_voice_model(settings.hearing)
    source: File | Microphone = Microphone(settings.hearing.microphone)
    if audio is not None:
        source = File(audio, paced=True)
    elif not timer_only:
        _microphone_there(soundcard, settings.hearing.microphone)
    session = new_session(settings, format_)
    report = Report(format_)
    with _event_log(events) as sinks, _counted("Preparing the announcements") as on_progress:
        live = LiveSession(
            session,
            lambda put: HearingProcess(source, settings.hearing, put),
            lambda put: SpeakingProcess(settings.speaking, put),
            make_screen(_stderr),
            [report, *sinks],
            sentences=protocol_files.sentences_of(
                format_,
                protocol_files.load_wording(format_.language),
                tuple(settings.session.support_contacts),
            ),
            on_progress=on_progress,
            begin_after_seconds=begin_after,
            timer_only=timer_only,
        )
        code = live.run()
    _stderr.print(report.as_table())
    _say("Nothing was kept: no sound, no voices, no words.")
    return code


def _microphone_there(soundcard: Any, name: str) -> None:
    try:
        soundcard.find(name, "input")
    except FacilitatorError as error:
        error.hint += " To only keep the time: voice-facilitator run --timer-only"
        raise


@app.command()
def demo(
    settings_file: SettingsOption = None,
    silent: Annotated[bool, typer.Option("--silent", help="Make no sound.")] = False,
    events: EventsOption = None,
) -> int:
    """Watch a whole session in two minutes, played by synthetic voices."""
    from voice_facilitator.app import demo as demo_session

    with _event_log(events) as sinks:
        return demo_session.run(_settings(settings_file), _stderr, silent=silent, sinks=sinks)


@app.command()
def replay(
    audio: Annotated[Path, typer.Argument(help="WAV, FLAC or OGG of a recorded room.")],
    protocol: ProtocolOption = None,
    script: Annotated[
        Path | None, typer.Option("--script", "-s", help="Timed inputs, one JSON object a line.")
    ] = None,
    events: EventsOption = Path("-"),
    settings_file: SettingsOption = None,
) -> int:
    """Run a recorded room through hearing and session, faster than real time."""
    from voice_facilitator import protocols as protocol_files
    from voice_facilitator.app import script as scripts
    from voice_facilitator.app.replay import Replay
    from voice_facilitator.app.report import Report
    from voice_facilitator.app.setting_up import new_session
    from voice_facilitator.hearing.pipeline import Hearing
    from voice_facilitator.hearing.source import FileSource
    from voice_facilitator.hearing.voice_model import load_voice_model

    settings = _settings(settings_file)
    format_ = protocol_files.load(protocol or settings.session.protocol)
    timed = scripts.load(script, format_) if script else None
    voices = load_voice_model(settings.hearing)
    source = FileSource(audio)
    report = Report(format_)
    with _event_log(events) as sinks, _progress() as progress:
        hearing = Hearing(settings.hearing, voices.encoder, voices.cohort, voices.rule)
        session = new_session(settings, format_, moves_by_itself=not scripts.names_phases(timed))
        run_ = Replay(session, hearing, timed, [report, *sinks])
        task = progress.add_task(f"Replaying {audio.name}", total=source.seconds)
        try:
            run_.run(source, lambda seconds: progress.update(task, completed=seconds))
        finally:
            source.close()
    _stderr.print(report.as_table())
    return ExitCode.OK


@app.command()
def rehearse(
    protocol: Annotated[str | None, typer.Argument(help="Name or file of a protocol.")] = None,
    speak: Annotated[bool, typer.Option("--speak", help="Say them over the speaker.")] = False,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> int:
    """The announcements of a protocol, printed or spoken, without the waiting between them."""
    from voice_facilitator import protocols as protocol_files
    from voice_facilitator.app import rehearse as rehearsal

    settings = _settings(settings_file)
    format_ = protocol_files.load(protocol or settings.session.protocol)
    found = rehearsal.lines(format_, settings)
    if as_json:
        _print_json([line.as_dict() for line in found])
        return ExitCode.OK
    if speak:
        return rehearsal.speak(found, settings, _stderr)
    rehearsal.show(found, format_, _stdout)
    return ExitCode.OK


# ---------------------------------------------------------------- protocols


@protocols_app.command("list")
def protocols_list(as_json: JsonOption = False) -> int:
    """The shipped protocols."""
    from voice_facilitator import protocols as files

    found = [files.load(name) for name in files.names()]
    if as_json:
        _print_json(
            [
                {"name": p.name, "title": p.title, "minutes": p.seconds / 60, "description": p.description}
                for p in found
            ]
        )
        return ExitCode.OK
    table = Table("Name", "Minutes", "Description")
    for p in found:
        table.add_row(p.name, f"{p.seconds / 60:.0f}", p.description)
    _stdout.print(table)
    return ExitCode.OK


@protocols_app.command("show")
def protocols_show(name: str, as_json: JsonOption = False) -> int:
    """The phases of one protocol, with minutes, floor and what they are for."""
    import dataclasses

    from voice_facilitator import protocols as files

    found = files.load(name)
    if as_json:
        _print_json(dataclasses.asdict(found))
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
    _stdout.print(table)
    return ExitCode.OK


@protocols_app.command("check")
def protocols_check(files: Annotated[list[str], typer.Argument(help="Names or files.")]) -> int:
    """Check protocols and report every mistake at once."""
    from voice_facilitator import protocols as reader

    code = ExitCode.OK
    for file in files:
        try:
            found = reader.load(file)
        except FacilitatorError as error:
            _say(error.message)
            _say(error.hint)
            code = error.exit_code
        else:
            print(f"{file}: good, {len(found.phases)} phases, {found.seconds / 60:g} minutes")
    return code


# ---------------------------------------------------------------- models


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> int:
    """What models there are and which of them lie here."""
    from voice_facilitator import models

    rows = [
        {
            "name": entry.name,
            "what": entry.what,
            "state": models.state_of(entry).value,
            "megabytes": round(entry.bytes / 1e6, 1),
            "licence": entry.licence,
            "source": entry.source,
            "needed": entry.default,
        }
        for entry in models.load_manifest().model
    ]
    if as_json:
        _print_json(rows)
        return ExitCode.OK
    table = Table("Name", "For what", "State", "MB", "Licence", "Source", "Needed")
    for row in rows:
        needed = "yes" if row["needed"] else "no"
        size = str(row["megabytes"] or "?")
        table.add_row(
            str(row["name"]), str(row["what"]), str(row["state"]), size,
            str(row["licence"]), str(row["source"]), needed,
        )  # fmt: skip
    _stdout.print(table)
    return ExitCode.OK


@models_app.command("fetch")
def models_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Models; the needed ones otherwise.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Take a model whose publisher names no hash.")
    ] = False,
) -> int:
    """Fetch models; what is here and whole is left alone."""
    from voice_facilitator import models

    manifest = models.load_manifest()
    chosen = (
        [manifest.find(name) for name in names]
        if names
        else [entry for entry in manifest.model if entry.default]
    )
    for entry in chosen:
        if models.state_of(entry) is models.State.GOOD:
            _say(f"{entry.name}: here already")
            continue
        _say(f"{entry.name}: {entry.what} ({entry.licence}, {entry.source})")
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=_stderr,
        ) as progress:
            task = progress.add_task(entry.name, total=entry.bytes or None)

            def on_progress(doing: str, done: int, total: int) -> None:
                progress.update(task, description=doing, completed=done, total=total or None)  # noqa: B023

            models.fetch(entry, on_progress, trust_unknown=trust)
        _say(f"{entry.name}: good")
    return ExitCode.OK


@models_app.command("verify")
def models_verify(as_json: JsonOption = False) -> int:
    """Check every model that lies here against its hash."""
    from voice_facilitator import models

    states = {entry.name: models.state_of(entry) for entry in models.load_manifest().model}
    needed = {entry.name for entry in models.load_manifest().model if entry.default}
    wrong = [
        name
        for name, state in states.items()
        if state is models.State.DAMAGED or (state is models.State.MISSING and name in needed)
    ]
    if as_json:
        _print_json({name: state.value for name, state in states.items()})
    else:
        for name, state in states.items():
            print(f"{name}: {state.value}")
    if wrong:
        _say(f"Run: voice-facilitator models fetch {' '.join(wrong)}")
        return ExitCode.NO_MODEL
    return ExitCode.OK


# ---------------------------------------------------------------- the machine


@app.command()
def devices(as_json: JsonOption = False) -> int:
    """The microphones and speakers of this machine."""
    import dataclasses

    from voice_facilitator import soundcard

    found = soundcard.devices()
    if as_json:
        _print_json([dataclasses.asdict(device) for device in found])
        return ExitCode.OK
    if not found:
        soundcard.find("", "input")  # says what is missing and what to do
    table = Table("Name", "Direction", "Rate", "Channels", "Default", "System")
    for device in found:
        default = "default" if device.is_default else ""
        direction = "microphone" if device.direction == "input" else "speaker"
        table.add_row(
            device.name, direction, f"{device.rate} Hz", str(device.channels), default, device.host_api
        )
    _stdout.print(table)
    return ExitCode.OK


@app.command()
def voices(
    say: Annotated[str | None, typer.Option(help="Listen to this voice (part of its name).")] = None,
    text: Annotated[
        str, typer.Option(help="What it says.")
    ] = "The story is yours now. You have 6 minutes, just as it comes to you.",
    speaker: Annotated[str | None, typer.Option(help="Part of the speaker's name.")] = None,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> int:
    """The voices of this machine; --say lets you listen to one."""
    import dataclasses

    from voice_facilitator.speaking import listing

    settings = _settings(settings_file, speaker=speaker).speaking
    if say is not None:
        listing.sample(say, text, settings)
        return ExitCode.OK
    found = listing.voices(settings)
    if as_json:
        _print_json([dataclasses.asdict(voice) for voice in found])
        return ExitCode.OK
    chosen = listing.chosen(settings)
    table = Table("Name", "Language", "Id", "")
    for voice in found:
        table.add_row(voice.name, voice.language, voice.id, "chosen" if voice == chosen else "")
    _stdout.print(table)
    return ExitCode.OK


@app.command()
def doctor(settings_file: SettingsOption = None, as_json: JsonOption = False) -> int:
    """Say what works, and what to do about what does not."""
    from voice_facilitator.app.doctor import Health, examine

    findings = []
    marks = {Health.GOOD: "good", Health.NOTE: "note", Health.BAD: "BAD "}
    for finding in examine(settings_file):
        findings.append(finding)
        if not as_json:
            print(f"{marks[finding.health]}  {finding.what}: {finding.text}")
            if finding.hint:
                print(f"      {finding.hint}")
            sys.stdout.flush()
    if as_json:
        _print_json([finding.as_dict() for finding in findings])
    return ExitCode.FAILED if any(f.health is Health.BAD for f in findings) else ExitCode.OK


# ---------------------------------------------------------------- helpers


def _settings(file: Path | None, *, microphone: str | None = None, speaker: str | None = None) -> Any:
    from voice_facilitator.settings import load_settings

    settings = load_settings(file)
    if microphone is not None:
        hearing = settings.hearing.model_copy(update={"microphone": microphone})
        settings = settings.model_copy(update={"hearing": hearing})
    if speaker is not None:
        speaking = settings.speaking.model_copy(update={"speaker": speaker})
        settings = settings.model_copy(update={"speaking": speaking})
    return settings


@contextlib.contextmanager
def _event_log(path: Path | None) -> Iterator[list[Any]]:
    """The sinks that write the event log: none, one to a file, or one to stdout."""
    from voice_facilitator.app.eventlog import EventLog

    if path is None:
        yield []
    elif str(path) == "-":
        yield [EventLog(sys.stdout)]
    else:
        try:
            stream = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise FacilitatorError(
                "events-file",
                f"The event log cannot be written to {path}: {error.strerror}.",
                "Name another file.",
                exit_code=ExitCode.BAD_FILE,
            ) from error
        with stream:
            yield [EventLog(stream)]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=_stderr, transient=True
    )


@contextlib.contextmanager
def _counted(what: str) -> Iterator[Any]:
    """A line that counts up until the session's own screen takes over."""
    shown = _stderr.is_terminal

    def on_progress(done: int, total: int) -> None:
        if shown and done <= 2:
            _say(f"{what} ... {done} of {total}")

    yield on_progress


if __name__ == "__main__":
    main()
