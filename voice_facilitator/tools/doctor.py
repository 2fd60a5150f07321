"""Looks at everything a session needs and says what works, and what to do about what does not."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from voice_facilitator import __version__, models
from voice_facilitator.app import faultlog
from voice_facilitator.app.setting_up import speaking_in
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import protocols, settings
from voice_facilitator.files.settings import Settings
from voice_facilitator.hearing.commands.command_engines import CommandSetup, choose, load_engine, load_phrases
from voice_facilitator.hearing.who.voice_model import load_voice_model
from voice_facilitator.machine import soundcard
from voice_facilitator.machine.resources import user_settings_file
from voice_facilitator.speaking import listing
from voice_facilitator.speaking.engine import engine_for
from voice_facilitator.tools.trial import try_microphone, try_speaker

_SILENCE_DBFS = -100.0  # below what any microphone gives of a quiet room
_LONGEST_CONTACT = 150  # characters, three lines on the wall
_TIMER_ONLY_HINT = "Without one: voice-facilitator run --timer-only"


class Health(StrEnum):
    GOOD = "good"
    NOTE = "note"  # a session runs, but with less
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `hint`: what to do, empty when nothing is to be done.

    `reported`: what a bug report says instead of both, where they hold the user's folders or own words.
    """

    what: str
    health: Health
    text: str
    hint: str = ""
    reported: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"what": self.what, "health": self.health.value, "text": self.text, "hint": self.hint}


def examine(settings_file: Path | None = None, protocol: str | None = None) -> Iterator[Finding]:
    """Everything in turn; each finding comes as soon as it is known. protocol: instead of the one set."""
    yield Finding(
        "program",
        Health.GOOD,
        f"voice-facilitator {__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}",
    )
    chosen, finding = _settings(settings_file)
    yield finding
    if chosen is None:
        return
    name = protocol or chosen.session.protocol
    language = chosen.speaking.language
    try:
        loaded = protocols.load(name)
    except FacilitatorError as error:
        yield _bad("protocol", error)
    else:
        yield Finding("protocol", Health.GOOD, loaded.title)
        yield from (Finding("protocol", Health.NOTE, note) for note in protocols.hard_to_follow(loaded))
        language = loaded.language
    yield from _contacts(chosen)
    yield from _microphone(chosen)
    yield _speaker(chosen)
    yield _speech(chosen, language)
    yield _voices(chosen)
    yield _commands(chosen, language)
    yield from _models()
    if (last := _last_session_of(faultlog.read())) is not None:
        yield last


def report(findings: list[Finding]) -> str:
    """What helps with a bug report: findings and fault log, without content, folders or the user's words."""
    lines = [f"{f.health.value}  {f.what}: {f.reported or f'{f.text} {f.hint}'.rstrip()}" for f in findings]
    lines += ["", "Fault log (parts, seconds, error codes; nothing anybody said):"]
    lines += [json.dumps(entry) for entry in faultlog.read()] or ["empty"]
    lines += ["", "Before you send it: is a microphone or speaker named after its owner?"]
    return "\n".join(lines).replace(str(Path.home()), "~")


def _contacts(chosen: Settings) -> Iterator[Finding]:
    longest = max(map(len, chosen.session.support_contacts), default=0)
    if longest > _LONGEST_CONTACT:
        text = f"one has {longest} characters: nobody can note it down from the wall"
        yield Finding("contacts", Health.NOTE, text, "A name and a number are enough.")


def _last_session_of(log: list[dict[str, Any]]) -> Finding | None:
    last = faultlog.last_session(log)
    if last is None:
        return None
    lost, restarts = Counter(last["lost"]), last["restarts"]
    text = (
        f"{last['day']}: faults {lost.total()}, restarts of our processes {restarts}, "
        f"dropped from full queues {last['dropped']}, seconds in which the room was not heard "
        f"{last['missed_seconds']:.0f}"
    )
    parts = ", ".join(f"{number} x {part}" for part, number in lost.items())
    well = not lost and not restarts and not last["dropped"]
    hint = "" if well else f"{'Lost: ' + parts + '. ' if parts else ''}For a bug report: doctor --report"
    return Finding("last session", Health.GOOD if well else Health.NOTE, text, hint)


def _settings(file: Path | None) -> tuple[Settings | None, Finding]:
    try:
        defaults = settings.load_defaults()
    except FacilitatorError as error:
        return None, _bad("settings", error)
    try:
        chosen = settings.load_settings(file)
    except FacilitatorError as error:
        return defaults, _bad("settings", error, "What follows is with the defaults.")
    own = file or user_settings_file()
    if own.is_file():
        return chosen, Finding("settings", Health.GOOD, f"yours, from {own}", reported="the user's own")
    text = f"the defaults; your own would go into {own}"
    return chosen, Finding("settings", Health.GOOD, text, reported="the defaults")


def _microphone(chosen: Settings) -> Iterator[Finding]:
    """Opened as a session opens it: that a device is listed says little."""
    try:
        device = _device(soundcard.find(chosen.hearing.microphone, "input"))
    except FacilitatorError as error:
        yield _bad("microphone", error, _TIMER_ONLY_HINT)
        return
    trial = try_microphone(chosen.hearing)
    if trial.error is not None:
        yield _bad("microphone", trial.error, _TIMER_ONLY_HINT)
    elif trial.level_dbfs is None or trial.level_dbfs <= _SILENCE_DBFS:
        text = f"{device}: it opens, but there was no sound at all for a second"
        yield Finding("microphone", Health.NOTE, text, "Say something and try again. Is it switched on?")
    else:
        text = f"{device}: heard the room, at most {trial.level_dbfs:.0f} dB (0 is full scale)"
        yield Finding("microphone", Health.GOOD, text)
    if trial.confinement is not None and trial.confinement.lacking:
        text = "this system does not enforce: " + ", ".join(trial.confinement.lacking)
        yield Finding("hearing process", Health.NOTE, text, "More: voice-facilitator doctor --privacy")


def _speaker(chosen: Settings) -> Finding:
    def plays() -> str:
        device = _device(soundcard.find(chosen.speaking.speaker, "output"))
        if not try_speaker(chosen.speaking):
            raise FacilitatorError(
                "no-speaker",
                f"{device} does not play.",
                "Check that it is plugged in and that no other program holds it.",
            )
        return device

    return _checked("speaker", plays, "A session runs, but everything is shown on the screen only.")


def _commands(chosen: Settings, language: str) -> Finding:
    setup = CommandSetup(chosen.commands, language)
    try:
        choice = choose(setup)
        if choice is None:
            text = "none, as the settings want it; the keys do everything"
            return Finding("spoken commands", Health.NOTE, text)
        phrases = load_phrases(setup)
        engine = load_engine(choice, phrases)
    except FacilitatorError as error:
        hint = f"The keys do everything. {error.hint}".strip()
        return replace(_bad("spoken commands", error), hint=hint)
    text = f'{choice.name} listens for {phrases.title} ("{phrases.prefix} ..."): {choice.how_good}'
    never = sorted(engine.unknown_words(phrases))
    hint = f"It cannot hear: {', '.join(never)}." if never else ""
    return Finding("spoken commands", Health.GOOD, text, hint)


def _voices(chosen: Settings) -> Finding:
    try:
        model = load_voice_model(chosen.hearing)
    except FacilitatorError as error:
        hint = f"The timer works without: voice-facilitator run --timer-only. {error.hint}".strip()
        return replace(_bad("voices", error), hint=hint, reported=error.code)
    return Finding("voices", Health.GOOD, f"told apart by {model.encoder.name}")


def _device(device: soundcard.Device) -> str:
    return f"{device.name} ({device.rate} Hz, {device.host_api})"


def _speech(chosen: Settings, language: str) -> Finding:
    def speaks() -> str:
        speaking = speaking_in(chosen.speaking, language)
        sentence = protocols.load_phrases(language)["setup.test-sentence"]
        seconds = engine_for(speaking).render(sentence).seconds
        voice = listing.chosen(speaking)
        return f"{voice.name if voice else 'default voice'}, rendered {seconds:.1f} s of speech"

    return _checked("speech", speaks, "Without it a session chimes and shows.")


def _models() -> Iterator[Finding]:
    try:
        manifest = models.load_manifest()
    except FacilitatorError as error:
        yield _bad("models", error)
        return
    for entry in manifest.model:
        state = models.state_of(entry)
        what = f"model {entry.name}"
        if state is models.State.MISSING and not entry.default:
            yield Finding(what, Health.NOTE, f"not here; the program does without ({entry.what})")
        elif state in (models.State.GOOD, models.State.UNCHECKED):
            text = f"{entry.what}; in {entry.path().parent}"
            yield Finding(what, Health.GOOD, text, reported=entry.what)
        else:
            hint = f"Run: voice-facilitator models fetch {entry.name}"
            if entry.is_shipped:
                hint = models.INSTALL_AGAIN
            yield Finding(what, Health.BAD, f"{state.value} ({entry.what})", hint)


def _checked(what: str, look: Callable[[], str], extra_hint: str = "") -> Finding:
    try:
        return Finding(what, Health.GOOD, look())
    except FacilitatorError as error:
        return _bad(what, error, extra_hint)


def _bad(what: str, error: FacilitatorError, extra_hint: str = "") -> Finding:
    # The message names the file, and what it holds.
    of_a_file = error.exit_code in (ExitCode.BAD_FILE, ExitCode.NO_MODEL)
    hint = f"{error.hint} {extra_hint}".strip()
    return Finding(what, Health.BAD, error.message, hint, reported=error.code if of_a_file else "")
