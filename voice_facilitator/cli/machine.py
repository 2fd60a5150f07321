"""The commands about this machine: devices, voices, doctor."""

from __future__ import annotations

import dataclasses
import json
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from voice_facilitator.cli.options import (
    STDERR,
    STDOUT,
    JsonOption,
    ProtocolOption,
    SettingsOption,
    print_json,
    say,
    say_result,
    settings_with,
)
from voice_facilitator.errors import ExitCode
from voice_facilitator.machine.interrupts import noted

# Heavy parts (NumPy, pydantic, the sound system) are imported by the commands that need them, so that
# help, version and shell completion answer at once.
# ruff: noqa: PLC0415

app = typer.Typer()


@app.command()
def devices(as_json: JsonOption = False) -> int:
    """The microphones and speakers of this machine."""
    from voice_facilitator.machine import soundcard

    found = soundcard.devices()
    if not found:
        soundcard.find("", "input")  # says what is missing and what to do
    if as_json:
        print_json([dataclasses.asdict(device) for device in found])
        return ExitCode.OK
    table = Table("Name", "Direction", "Rate", "Channels", "Default", "System")
    for device in found:
        default = "default" if device.is_default else ""
        direction = "microphone" if device.direction == "input" else "loudspeaker"
        table.add_row(
            device.name, direction, f"{device.rate} Hz", str(device.channels), default, device.host_api
        )
    STDOUT.print(table)
    return ExitCode.OK


@app.command()
def voices(
    say: Annotated[str | None, typer.Option(help="Listen to this voice (part of its name).")] = None,
    text: Annotated[
        str, typer.Option(help="What it says.")
    ] = "The story is yours now. You have 6 minutes, just as it comes to you.",
    speaker: Annotated[str | None, typer.Option(help="Part of the loudspeaker's name.")] = None,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> int:
    """The voices that can make the announcements; --say lets you listen to one."""
    from voice_facilitator.speaking import listing

    settings = settings_with(settings_file, speaker=speaker).speaking
    if say is not None:
        listing.sample(say, text, settings)
        return ExitCode.OK
    found = listing.voices(settings)
    if as_json:
        print_json([dataclasses.asdict(voice) for voice in found])
        return ExitCode.OK
    chosen = listing.chosen(settings)
    table = Table("Name", "Language", "Id", "")
    for voice in found:
        table.add_row(voice.name, voice.language, voice.id, "chosen" if voice == chosen else "")
    STDOUT.print(table)
    return ExitCode.OK


@app.command("try-commands")
def try_commands(
    protocol: ProtocolOption = None,
    microphone: Annotated[str | None, typer.Option(help="Part of the microphone's name.")] = None,
    audio: Annotated[Path | None, typer.Option(help="Hear this recording instead of a microphone.")] = None,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Practise the spoken commands: shows what was understood and does nothing. Ctrl-C ends it."""
    from voice_facilitator.files import protocols as protocol_files
    from voice_facilitator.hearing.commands.command_engines import CommandSetup, choose, load_phrases
    from voice_facilitator.hearing.sound.microphone import MicrophoneSource
    from voice_facilitator.hearing.sound.source import FileSource
    from voice_facilitator.machine import soundcard
    from voice_facilitator.tools.practise import Attempt, practise

    settings = settings_with(settings_file, microphone=microphone)
    language = protocol_files.load(protocol or settings.session.protocol).language
    setup = CommandSetup(settings.commands, language)
    choice, phrases = choose(setup), load_phrases(setup)
    if choice is None:
        say("Spoken commands are switched off in the settings: [commands], engine.")
        return ExitCode.OK
    meanings = {
        spoken: command.does
        for command in phrases.commands
        for text in command.texts
        for spoken in (text, f"{phrases.prefix} {text}")
    }

    def tell(attempt: Attempt) -> None:
        if as_json:
            print(json.dumps(dataclasses.asdict(attempt)), flush=True)
        elif attempt.counts:
            print(f"understood   {attempt.text}: {meanings.get(attempt.text, '')}", flush=True)
        elif attempt.text:
            print(f"not sure     perhaps {attempt.text}; say it once more, a little slower", flush=True)
        elif attempt.addressed:
            print("not known    it heard its name, and then no phrase of the list", flush=True)
        else:
            print("no command   that is how it should be, if it was none", flush=True)

    if audio is None:
        soundcard.find(settings.hearing.microphone, "input")
    if not as_json:
        say(
            f"{choice.name} listens: {choice.how_good}. Make a short pause, say one of these, "
            "make another. Ctrl-C ends it."
        )
        table = Table("Say", "What it would do")
        for command in phrases.commands:
            table.add_row(phrases.shown(command), command.does)
        STDERR.print(table)
    source = FileSource(audio) if audio else MicrophoneSource(settings.hearing.microphone)
    with noted() as told:
        practise(settings.hearing, setup, source, tell, over=lambda: bool(told))
        if told:
            say("No sound and no words were kept.")
    return ExitCode.OK


@app.command()
def doctor(
    protocol: ProtocolOption = None,
    settings_file: SettingsOption = None,
    privacy: Annotated[
        bool, typer.Option("--privacy", help="Try out what protects the group on this machine.")
    ] = False,
    as_json: JsonOption = False,
    report: Annotated[
        bool, typer.Option("--report", help="A text for a bug report, with the fault log (without content).")
    ] = False,
) -> int:
    """Say what works, and what to do about what does not."""
    from voice_facilitator.tools import doctor as doctor_
    from voice_facilitator.tools import privacy_check
    from voice_facilitator.tools.doctor import Health, examine

    findings = []
    marks = {Health.GOOD: "good", Health.NOTE: "note", Health.BAD: "BAD "}
    looks = (
        privacy_check.examine()
        if privacy
        else chain(examine(settings_file, protocol), privacy_check.in_short())
    )
    for finding in looks:
        findings.append(finding)
        if not as_json and not report:
            say_result(f"{marks[finding.health]}  {finding.what}: {finding.text}")
            if finding.hint:
                say_result(f"      {finding.hint}")
    if report:
        say_result(doctor_.report(findings))
    elif as_json:
        print_json([finding.as_dict() for finding in findings])
    return ExitCode.FAILED if any(f.health is Health.BAD for f in findings) else ExitCode.OK
