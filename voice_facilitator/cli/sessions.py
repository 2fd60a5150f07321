"""The commands that hold, show or replay a session."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voice_facilitator.cli.beginning import all_there, choice, has_microphone, interrupted, named_are_there
from voice_facilitator.cli.options import (
    STDERR,
    STDOUT,
    EventsOption,
    JsonOption,
    ProtocolOption,
    SettingsOption,
    counted,
    event_log,
    print_json,
    progress_bar,
    protocol_names,
    say,
    settings_with,
)
from voice_facilitator.errors import ExitCode
from voice_facilitator.machine.interrupts import noted
from voice_facilitator.machine.outlet import Outlet, patient_stderr
from voice_facilitator.machine.resources import state_folder, writing_fails
from voice_facilitator.visible import visible

if TYPE_CHECKING:
    from voice_facilitator.app.room_display import Keyboard

# Heavy parts (NumPy, pydantic, the sound system) are imported by the commands that need them, so that
# help, version and shell completion answer at once.
# ruff: noqa: PLC0415

app = typer.Typer()


@app.command()
def run(
    protocol: ProtocolOption = None,
    settings_file: SettingsOption = None,
    microphone: Annotated[str | None, typer.Option(help="Part of the microphone's name.")] = None,
    speaker: Annotated[str | None, typer.Option(help="Part of the loudspeaker's name.")] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Hear this recording, in real time, instead of a microphone.")
    ] = None,
    begin_after: Annotated[
        float | None, typer.Option(min=0, help="Begin by itself so many seconds after everything is ready.")
    ] = None,
    timer_only: Annotated[
        bool, typer.Option("--timer-only", help="Only keep the time: tell no voices apart.")
    ] = False,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume",
            help="Go on with a session that was cut off, or begin a new one; a terminal asks otherwise.",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the room page in this machine's browser.")
    ] = True,
    display: Annotated[
        bool,
        typer.Option("--display/--no-display", help="Serve the room page, or only the terminal."),
    ] = True,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the room page; 0 takes any that is free.")
    ] = 0,
    setup: Annotated[
        bool | None,
        typer.Option("--setup/--no-setup", help="Begin with the setup page.", show_default=False),
    ] = None,
    minutes: Annotated[
        int | None, typer.Option(min=1, help="Length of the session, if not the protocol's own.")
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Let devices in the local network look at the room page.")
    ] = False,
    share_control: Annotated[
        bool, typer.Option("--share-control", help="Let them drive the session as well.")
    ] = False,
    share_address: Annotated[
        str | None,
        typer.Option(
            help="Share at this address or network interface of yours, and not at the likeliest one."
        ),
    ] = None,
    events: EventsOption = None,
) -> int:
    """Hold a live session."""
    from voice_facilitator.app.resume import single_session
    from voice_facilitator.app.room_display import DisplayOptions, Keyboard
    from voice_facilitator.display.access import Role
    from voice_facilitator.display.browser import there_is_a_desktop
    from voice_facilitator.display.keys import terminal_restored

    settings = settings_with(settings_file, microphone=microphone, speaker=speaker)
    shared = Role.CONTROL if share_control else Role.VIEW if share or share_address else None
    options = DisplayOptions(display, browser and there_is_a_desktop(), port, shared, share_address or "")
    page_is_opened = display and (options.browser or not browser or shared is not None)
    with noted() as told, patient_stderr() as outlet, terminal_restored(), single_session():
        keyboard = Keyboard()
        cut = interrupted(settings, resume, audio, keyboard, told)
        chosen = choice(settings, cut, protocol, minutes, timer_only)
        if cut is None:
            named_are_there(microphone, speaker)
        if cut is None and begin_after is None and not sys.stdin.isatty() and not page_is_opened:
            raise typer.BadParameter("there is no keyboard here to begin with: give --begin-after SECONDS.")
        # Where a page is what people have before them, they set up there.
        by_page = options.browser or shared is not None or not sys.stdin.isatty()
        by_itself = cut is not None or begin_after is not None or audio is not None
        sets_up = by_page and not by_itself if setup is None else setup and cut is None
        if setup is None and display and browser and not by_page and not by_itself:
            say("There is no desktop here, so the set-up page is left out; --setup serves it.")
        told.check()
        wishes = _Wishes(audio, begin_after, sets_up and display)
        return _hold(chosen, cut, wishes, options, events, keyboard, [outlet])


@dataclass(frozen=True)
class _Wishes:
    """What the command line says about how the session is held."""

    audio: Path | None
    begin_after: float | None
    sets_up: bool


def _hold(
    chosen: Any,
    cut: Any,
    wishes: _Wishes,
    options: Any,
    events: Path | None,
    keyboard: Keyboard,
    outlets: list[Outlet],
) -> int:
    """A new session, or (`cut`) the rest of an interrupted one."""
    from voice_facilitator.app.room_display import room_display
    from voice_facilitator.app.stages import SetupStage

    if not cut and not wishes.sets_up:
        all_there(chosen, wishes.audio)
    with (
        event_log(events, goes_on=bool(cut), outlets=outlets) as sinks,
        room_display(options, chosen.protocol.language, say) as server,
    ):
        if wishes.sets_up and server is not None:
            stage = SetupStage(server, chosen, say)
            keyboard.leads_to(stage.key)
            say("Set up on the room page, or press the space bar to go on without.")
            chosen = stage.run()
            if chosen is None:
                return ExitCode.INTERRUPTED
        return _run(chosen, cut, wishes, server, keyboard, sinks, outlets)


def _run(
    chosen: Any,
    cut: Any,
    wishes: _Wishes,
    server: Any,
    keyboard: Keyboard,
    sinks: list[Any],
    outlets: list[Outlet],
) -> int:
    """Everything is chosen: the session itself and its summary."""
    from voice_facilitator.app.faultlog import FaultLog
    from voice_facilitator.app.live import LiveSession
    from voice_facilitator.app.report import Report
    from voice_facilitator.app.resume import ResumeFile
    from voice_facilitator.app.room_display import screens_of
    from voice_facilitator.app.setting_up import commands_of, new_session, speaking_in, wording_of
    from voice_facilitator.app.stages import SummaryStage
    from voice_facilitator.files import protocols as protocol_files
    from voice_facilitator.hearing.process import File, HearingProcess, Microphone
    from voice_facilitator.machine.clocks import Moment
    from voice_facilitator.speaking.process import SpeakingProcess

    settings, format_ = chosen.settings, chosen.protocol
    source: File | Microphone = Microphone(settings.hearing.microphone)
    if wishes.audio is not None:
        source = File(wishes.audio, paced=True)
    hears = not chosen.timer_only or wishes.audio is not None or has_microphone()
    if not hears:
        say(
            "There is no microphone: every part ends by the clock, and only keys and buttons are listened to."
        )
    commands = commands_of(settings, format_, say) if hears else None
    if commands is not None and commands.choice is not None:
        say(f"{commands.choice.name} listens for spoken commands: {commands.choice.how_good}.")
    if reason := writing_fails(state_folder()):
        say(f"Nothing can be kept for going on after a power cut, and no fault log: {reason}.")
    report = Report(format_)
    usual = protocol_files.load(chosen.protocol_name).seconds
    other_length = round(format_.seconds / 60) if abs(format_.seconds - usual) > 1 else None
    with counted("Preparing the announcements") as on_progress:
        live = LiveSession(
            cut.session if cut else new_session(settings, format_, hears=hears),
            lambda put: HearingProcess(source, settings.hearing, put, commands=commands),
            lambda put: SpeakingProcess(speaking_in(settings.speaking, format_.language), put),
            screens_of(server, STDERR, format_.language, tuple(settings.session.support_contacts)),
            [report, *sinks],
            sentences=protocol_files.sentences_of(
                format_,
                wording_of(settings, format_, hears=hears),
                tuple(settings.session.support_contacts),
                timer_only=chosen.timer_only,
            ),
            on_progress=on_progress,
            begin_after_seconds=wishes.begin_after,
            timer_only=chosen.timer_only,
            hears=hears,
            keys=False,
            resume_file=None if reason else ResumeFile(chosen.protocol_name, minutes=other_length),
            fault_log=None if reason else FaultLog(),
            outlets=outlets,
            resumed_at=cut.session_time(Moment.now()) if cut else None,
        )
        keyboard.leads_to(live.key)
        if server is not None:
            server.on_press = live.press
        code = live.run()
    by_key = sys.stdin.isatty() and STDERR.is_terminal  # else nobody watches, and what is printed is a log
    if report.began and code is ExitCode.OK and (by_key or (server is not None and server.hosts)):
        if server is not None and server.hosts:
            say("For the summary: the button on the room page.")
        if by_key:
            say('For the summary here: the key "s". Any other key ends the program.')
        summary = SummaryStage(
            server, report.as_dict(), lambda: STDERR.print(report.as_table()), by_key=by_key
        )
        keyboard.leads_to(summary.key)
        summary.run()
    elif report.began:
        STDERR.print(report.as_table())
    say("No sound, no voices and no words were kept.")
    return code


@app.command()
def demo(
    settings_file: SettingsOption = None,
    silent: Annotated[bool, typer.Option("--silent", help="Make no sound.")] = False,
    events: EventsOption = None,
) -> int:
    """Watch a whole session in two minutes, played by synthetic voices."""
    from voice_facilitator.tools import demo as demo_session

    with patient_stderr() as outlet:
        outlets = [outlet]
        with event_log(events, outlets=outlets) as sinks:
            settings = settings_with(settings_file)
            return demo_session.run(settings, STDERR, silent=silent, sinks=sinks, outlets=outlets)


@app.command()
def replay(
    audio: Annotated[Path, typer.Argument(help="WAV, FLAC or OGG of a recorded room.")],
    protocol: ProtocolOption = None,
    script: Annotated[
        Path | None, typer.Option("--script", "-s", help="Timed inputs, one JSON object a line.")
    ] = None,
    events: EventsOption = Path("-"),
    explain: Annotated[
        bool, typer.Option("--explain", help="Add to the events what each decision rests on, in numbers.")
    ] = False,
    settings_file: SettingsOption = None,
) -> int:
    """Run a recorded room through hearing and session, faster than real time."""
    from voice_facilitator.app.report import Report
    from voice_facilitator.app.setting_up import commands_of, new_session
    from voice_facilitator.files import protocols as protocol_files
    from voice_facilitator.hearing.commands.command_engines import load_listener
    from voice_facilitator.hearing.pipeline import Hearing
    from voice_facilitator.hearing.sound.source import FileSource
    from voice_facilitator.hearing.who.voice_model import load_voice_model
    from voice_facilitator.tools import script as scripts
    from voice_facilitator.tools.replay import Replay

    settings = settings_with(settings_file)
    format_ = protocol_files.load(protocol or settings.session.protocol)
    timed = scripts.load(script, format_) if script else None
    voices = load_voice_model(settings.hearing)
    # Where the script says when each phase began, what was said to the program then must not move it again.
    setup = None if scripts.names_phases(timed) else commands_of(settings, format_, say)
    commands = load_listener(setup, settings.hearing.speech_hold_seconds) if setup else None
    source = FileSource(audio)
    report = Report(format_)
    with noted() as told, event_log(events) as sinks, progress_bar() as progress:
        hearing = Hearing(settings.hearing, voices, commands)
        session = new_session(settings, format_, moves_by_itself=not scripts.names_phases(timed))
        why = [log.explain for log in sinks] if explain else []
        run_ = Replay(session, hearing, timed, [report, *sinks], explain=why)
        task = progress.add_task(f"Replaying {visible(audio.name)}", total=source.seconds or None)

        def on_progress(seconds: float) -> None:
            told.check()
            progress.update(task, completed=seconds)

        try:
            run_.run(source, on_progress)
        finally:
            source.close()
    STDERR.print(report.as_table())
    return ExitCode.OK


@app.command()
def rehearse(
    protocol: Annotated[
        str | None, typer.Argument(help="Name or file of a protocol.", autocompletion=protocol_names)
    ] = None,
    speak: Annotated[bool, typer.Option("--speak", help="Say them over the loudspeaker.")] = False,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> int:
    """The announcements of a protocol, printed or spoken, without the waiting between them."""
    from voice_facilitator.files import protocols as protocol_files
    from voice_facilitator.tools import rehearse as rehearsal

    settings = settings_with(settings_file)
    format_ = protocol_files.load(protocol or settings.session.protocol)
    found = rehearsal.lines(format_, settings)
    if as_json:
        print_json([line.as_dict() for line in found])
        return ExitCode.OK
    if speak:
        return rehearsal.speak(found, format_, settings, STDERR)
    rehearsal.show(found, format_, STDOUT)
    return ExitCode.OK
