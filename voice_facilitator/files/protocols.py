"""Reads protocols and wording from TOML and turns them into the session core's own types.

A protocol may be built on another (`based_on`), leaving phases out and changing single values, so that
the sentences of a format are written once.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import checked_toml
from voice_facilitator.files.checked_toml import Hint, Location, Mistake, brief, did_you_mean
from voice_facilitator.files.plurals import forms_of, rule_of
from voice_facilitator.files.protocol_file import (
    Language,
    PhaseFile,
    ProtocolFile,
    StrictTable,
    contradictions,
    gaps_known,
    phase_of,
)
from voice_facilitator.machine.resources import shipped
from voice_facilitator.session.protocol import CueKind, Protocol, Wording
from voice_facilitator.session.schedule import fit
from voice_facilitator.visible import in_one_line

_CODE = "protocol"
_LONGEST_STRETCH = 250  # characters between two pauses; our own have 80
_SIGNS_A_SECOND = 14  # of a calm voice
_PAUSES = re.compile(r"[.,;:!?\u2026\u2013\u2014\u3001\u3002\uff0c\uff1b]")
_LONGEST_FACTOR = 2.0  # more than twice its minutes is another format


def names() -> list[str]:
    """The names of the shipped protocols."""
    return sorted(path.stem for path in shipped("config", "protocols").glob("*.toml"))


def load(name_or_path: str) -> Protocol:
    """A shipped protocol by name, or one from a file.

    Raises FacilitatorError (no such protocol, unreadable) or checked_toml.FileMistakes (all mistakes).
    """
    path = _find(name_or_path)
    text = checked_toml.read_text(path, _CODE)
    data = checked_toml.parse_toml(text, _CODE, str(path))
    based = "based_on" in data
    if based:
        data = _build_on(data, path, text)
    found = checked_toml.mistakes_in(data, ProtocolFile) + contradictions(data)
    if found and based:
        phases = [phase["name"] for phase in data["phase"]]
        found = [(_place_in_change(place, phases), message, hint) for place, message, hint in found]
    if found:
        raise checked_toml.located(found, text, _CODE, str(path))
    return _protocol(path.stem, ProtocolFile.model_validate(data))


def _place_in_change(place: Location, phases: list[str]) -> Location:
    """Where something of a phase stands in a file that changes another protocol."""
    match place:
        case ("phase", int(index), *rest):
            return ("change", phases[index], *rest)
    return place


def _find(name_or_path: str) -> Path:
    known = shipped("config", "protocols", f"{name_or_path}.toml")
    if name_or_path in names():
        return known
    path = Path(name_or_path)
    with contextlib.suppress(OSError):  # too long to be a name
        if path.suffix == ".toml" or path.exists():
            return path
    raise FacilitatorError(
        "protocol-unknown",
        f'There is no protocol "{name_or_path}".',
        did_you_mean(name_or_path, names()),
        exit_code=ExitCode.BAD_FILE,
    )


def _build_on(data: dict[str, Any], path: Path, text: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """`data` laid over the protocol it is based on, which may be based on another one. Raises FileMistakes.

    above: the shipped protocols on the way here.
    """
    lines = checked_toml.line_numbers(text)
    mistakes: list[Mistake] = []

    def wrong(place: tuple[int | str, ...], message: str, hint: Hint = "") -> None:
        mistakes.append(Mistake(lines.get(place), message, hint))

    base = data.pop("based_on")
    omit = data.pop("omit", [])
    change = data.pop("change", {})
    if (
        base not in names()
        or base in above
        or shipped("config", "protocols", f"{base}.toml").resolve() == path.resolve()
    ):
        message = f'there is no protocol "{brief(base)}" to build on.'
        wrong(("based_on",), message, did_you_mean(base, names()))
        raise checked_toml.FileMistakes(_CODE, str(path), mistakes)
    base_path = shipped("config", "protocols", f"{base}.toml")
    base_text = checked_toml.read_text(base_path, _CODE)
    merged = checked_toml.parse_toml(base_text, _CODE, base)
    if "based_on" in merged:
        merged = _build_on(merged, base_path, base_text, (*above, base))
    phases: list[dict[str, Any]] = merged["phase"]
    phase_names = [phase["name"] for phase in phases]
    if not isinstance(omit, list):
        wrong(("omit",), 'omit must be a list of phase names, such as ["questions"].')
    if not isinstance(change, dict):
        wrong(("change",), "change must be a table for each phase, such as [change.story].")
    if mistakes:
        raise checked_toml.FileMistakes(_CODE, str(path), mistakes)
    for name in omit:
        if name not in phase_names:
            meant = functools.partial(did_you_mean, name, phase_names)
            wrong(("omit",), f'{base} has no phase "{brief(name)}".', meant)
    mistakes += _change(phases, change, base, lines)
    mistakes += [
        Mistake(
            lines.get((key,)),
            f'"{brief(key)}" is not known here.',
            functools.partial(did_you_mean, key, list(_known_top())),
        )
        for key in data
        if key not in _known_top()
    ]
    if mistakes:
        raise checked_toml.FileMistakes(_CODE, str(path), mistakes)
    merged["phase"] = [phase for name, phase in zip(phase_names, phases, strict=True) if name not in omit]
    return {**merged, **data}


def _change(
    phases: list[dict[str, Any]], change: dict[str, Any], base: str, lines: dict[Location, int]
) -> list[Mistake]:
    """Lay each `[change.NAME]` table over its phase; what is wrong with it."""
    by_name = {phase["name"]: phase for phase in phases}
    mistakes: list[Mistake] = []
    for name, values in change.items():
        line = lines.get(("change", name))
        if name not in by_name:
            hint = functools.partial(did_you_mean, name, list(by_name))
            mistakes.append(Mistake(line, f'{base} has no phase "{brief(name)}".', hint))
        if not isinstance(values, dict):
            message = f"change.{name} must be a table with settings of its own."
            mistakes.append(Mistake(line, message))
            continue
        # Of a phase that there is not, the single values can be looked at all the same.
        phase = by_name.get(name, phases[0])
        mistakes += _wrong_values(name, values, phase, lines)
        if name in by_name:
            phase.update(values)
    return mistakes


def _known_top() -> tuple[str, ...]:
    return ("based_on", "omit", "change", *(key for key in ProtocolFile.model_fields if key != "phase"))


def _wrong_values(
    name: str,
    values: dict[str, Any],
    base: dict[str, Any],
    lines: dict[checked_toml.Location, int],
) -> list[Mistake]:
    """The mistakes in one `[change.NAME]` table, found by checking the changed phase."""
    found = checked_toml.mistakes_in({**base, **values}, PhaseFile)
    return [
        Mistake(lines.get(("change", name, *place), lines.get(("change", name))), message, hint)
        for place, message, hint in found
    ]


def _protocol(name: str, file: ProtocolFile) -> Protocol:
    phases = tuple(phase_of(phase) for phase in file.phase)
    return Protocol(
        name=name,
        title=file.title,
        description=file.description,
        language=file.language,
        phases=phases,
        goodbye=file.goodbye,
        closing_seconds=file.closing_seconds,
    )


def with_minutes(protocol: Protocol, minutes: int) -> Protocol:
    """`protocol` in another length: the discussion takes or gives first, the last word never gives.

    Raises FacilitatorError `protocol-minutes` where the format makes no sense in so few or so many.
    """
    least, most = minutes_of(protocol)
    if not least <= minutes <= most:
        raise FacilitatorError(
            "protocol-minutes",
            f"{protocol.title} cannot be held in {minutes} minutes.",
            f"Choose from {least} to {most}, or another protocol.",
            exit_code=ExitCode.USAGE,
        )
    wanted = minutes * 60.0
    lengths = fit(protocol.phases, wanted)
    stretch = max(1.0, wanted / sum(lengths))  # where no phase is flexible, all of them grow
    phases = tuple(
        replace(
            phase,
            seconds=length * stretch,
            cues=tuple(cue for cue in phase.cues if cue.seconds_left < length * stretch),
        )
        for phase, length in zip(protocol.phases, lengths, strict=True)
    )
    return replace(protocol, phases=phases)


def minutes_of(protocol: Protocol) -> tuple[int, int]:
    """The fewest and the most minutes in which this format makes sense."""
    least = sum(phase.least_seconds for phase in protocol.phases) / 60
    return math.ceil(least), max(math.ceil(least), math.floor(protocol.seconds * _LONGEST_FACTOR / 60))


def hard_to_follow(protocol: Protocol) -> list[str]:
    """What is no mistake, but hard to listen to: sentences without a pause, announcements without an end."""
    notes = []
    spoken = [(phase.name, phase.announcement, phase.seconds) for phase in protocol.phases]
    spoken += [("goodbye", protocol.goodbye, protocol.phases[-1].seconds)]
    spoken += [
        (phase.name, cue.text, cue.seconds_left)
        for phase in protocol.phases
        for cue in phase.cues
        if cue.kind is CueKind.VOICE
    ]
    for name, text, seconds in spoken:
        stretch = max(map(len, _PAUSES.split(text)))
        if stretch > _LONGEST_STRETCH:
            notes.append(f"{name}: {stretch} characters are said without a pause. Put full stops in.")
        if (length := len(text) / _SIGNS_A_SECOND) > seconds:
            notes.append(f"{name}: saying it takes about {length:.0f} s, of {seconds:.0f} s. Shorten it.")
    return notes


# ---------------------------------------------------------------- wording


_Texts = dict[str, Annotated[str, AfterValidator(in_one_line)]]


class _WordingFile(StrictTable):
    language: Language
    sentences: _Texts
    display: _Texts


# What is said of a number, in each table: one key for each form that the language has.
_COUNTED = {"sentences": "minutes", "display": "calm"}
_FORMS = ("zero", "one", "two", "few", "many", "other")
_WORDING_GAPS: dict[str, tuple[str, ...]] = {
    **{f"minutes.{form}": ("count",) for form in _FORMS},
    "resumed": ("left",),
    "time-left": ("phase", "session"),
    "time-changed": ("left",),
    "understood.next": ("phase", "prefix"),
    "understood.back": ("phase", "prefix"),
    "understood.repeat": ("prefix",),
    "understood.end": ("prefix",),
    "ask-end.voice": ("prefix",),
    "ask-resume.voice": ("prefix",),
    "stop.voice": ("stop",),
    "opt-out.voice": ("prefix", "timer_only"),
    "restarted": ("left",),
}
_PHRASE_GAPS: dict[str, tuple[str, ...]] = {
    "in-all": ("time",),
    "minutes.short": ("count",),
    **{f"calm.{form}": ("count",) for form in _FORMS},
    "stop.voice": ("stop",),
    "setup.no-model": ("models",),
    "setup.commands": ("say", "heard"),
    "setup.commands.unmeasured": ("say",),
    **{f"trouble.{what}": ("count",) for what in ("faults", "restarts", "dropped", "missed")},
    "summary.length": ("time",),
    "summary.faults": ("faults",),
    "summary.reminders": ("screen", "voice"),
}
_REFERENCE = "en-gb"  # every other language has the sentences this one has


def load_wording(language: str) -> Wording:
    """The common sentences in `language`. Raises FacilitatorError or FileMistakes."""
    file = _wording_file(language)
    return Wording(file.language, file.sentences, plural=rule_of(file.language))


def load_phrases(language: str) -> dict[str, str]:
    """What the displays show in `language`, by key; under "language" its code, which says how it counts.

    Raises FacilitatorError or FileMistakes.
    """
    file = _wording_file(language)
    return {**file.display, "language": file.language}


def _wording_file(language: str) -> _WordingFile:
    known = sorted(path.stem for path in shipped("config", "wording").glob("*.toml"))
    if language not in known:
        raise FacilitatorError(
            "wording-unknown",
            f'There are no sentences for the language "{language}".',
            did_you_mean(language, known),
            exit_code=ExitCode.BAD_FILE,
        )
    path = shipped("config", "wording", f"{language}.toml")
    text = checked_toml.read_text(path, "wording")
    file = checked_toml.parse(text, _WordingFile, "wording", str(path))
    lines = checked_toml.line_numbers(text)
    mistakes = []
    for table, phrases, gaps in (
        ("sentences", file.sentences, _WORDING_GAPS),
        ("display", file.display, _PHRASE_GAPS),
    ):
        for key, phrase in phrases.items():
            try:
                gaps_known(phrase, gaps.get(key, ()))
            except ValueError as error:
                mistakes.append(Mistake(lines.get((table, key)), f"{key}: {error}."))
    if language != _REFERENCE:
        mistakes += _lacking(file, _wording_file(_REFERENCE))
    mistakes += _wrong_forms(file, lines)
    if mistakes:
        raise checked_toml.FileMistakes("wording", str(path), mistakes)
    return file


def _lacking(file: _WordingFile, reference: _WordingFile) -> list[Mistake]:
    """A phrase that one language lacks would be a gap on the wall in the middle of a session."""
    return [
        Mistake(None, f'[{table}] lacks "{key}".', f'In English: "{english}"')
        for table, own, whole in (
            ("sentences", file.sentences, reference.sentences),
            ("display", file.display, reference.display),
        )
        for key, english in whole.items()
        if key not in own and key.rpartition(".")[::2] not in _counted_keys(table)
    ]


def _counted_keys(table: str) -> list[tuple[str, str]]:
    return [(_COUNTED[table], form) for form in _FORMS]


def _wrong_forms(file: _WordingFile, lines: dict[Location, int]) -> list[Mistake]:
    """What is said of a number needs every form that the language has, and no number in the wrong place."""
    needed = forms_of(file.language)
    mistakes = []
    for table, texts in (("sentences", file.sentences), ("display", file.display)):
        for form, numbers in needed.items():
            key = f"{_COUNTED[table]}.{form}"
            examples = ", ".join(map(str, numbers))
            if key not in texts:
                hint = f'The language "{file.language}" has it for {examples} ...'
                mistakes.append(Mistake(None, f'[{table}] lacks "{key}".', hint))
            elif len(numbers) > 1 and "{count}" not in texts[key]:
                message = f"{key}: it stands for {examples} ..., so it needs {{count}}."
                mistakes.append(Mistake(lines.get((table, key)), message))
    return mistakes


def sentences_of(
    protocol: Protocol, wording: Wording, contacts: tuple[str, ...], *, timer_only: bool = False
) -> list[str]:
    """Every sentence a session of this protocol is likely to say, in order, to be rendered at the start."""
    listening = wording.listening(protocol, timer_only=timer_only)
    fill = functools.partial(wording.fill, contacts=contacts, listening=listening)
    texts = [fill(phase.announcement, seconds=phase.seconds) for phase in protocol.phases]
    texts += [fill(protocol.goodbye)]
    texts += [
        fill(cue.text, seconds=cue.seconds_left)
        for phase in protocol.phases
        for cue in phase.cues
        if cue.kind is CueKind.VOICE
    ]
    texts += [
        wording.say(key)
        for key in (
            *("reminder.voice", "paused", "timer-only", "timer-only.deleted", "undone"),
            *("ask-end", "ask-end.voice", "ask-resume", "ask-resume.voice"),
        )
    ]
    texts += [sentence for key, sentence in wording.sentences.items() if key.startswith(("lost.", "back."))]
    return [text for text in texts if text]
