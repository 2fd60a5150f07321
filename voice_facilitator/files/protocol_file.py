"""What a protocol file may contain, and what must fit together in it."""

from __future__ import annotations

import dataclasses
import math
import re
import string
import typing
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from voice_facilitator.files.checked_toml import Found, brief
from voice_facilitator.session.events import Floor
from voice_facilitator.session.protocol import Cue, CueKind, Phase
from voice_facilitator.visible import in_one_line, visible

MOST_PHASES = 60
# what a sentence may leave open with {...}
_GAPS = ("minutes", "contacts", "listening", "opt_out", "stop", "voices")


def gaps_known(text: str, allowed: tuple[str, ...] = _GAPS) -> str:
    try:
        gaps = [gap[1:] for gap in string.Formatter().parse(text) if gap[1] is not None]
    except ValueError as error:
        raise ValueError("a curly brace has no partner; for a plain brace write it twice") from error
    for name, layout, conversion in gaps:
        if name not in allowed or layout or conversion:
            written = f"{name}{f'!{conversion}' if conversion else ''}{f':{layout}' if layout else ''}"
            known = ", ".join(f"{{{gap}}}" for gap in allowed)
            raise ValueError(
                f"{{{written}}} cannot be filled in; known here: {known}"
                if known
                else f"{{{written}}} cannot be filled in; nothing can in this sentence"
            )
    return text


def _simple_name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", text):
        raise ValueError("use small letters, digits and hyphens only, such as last-word")
    return text


def _said(text: str) -> str:
    return visible(text, layout=True).strip()


def _language(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", text):
        raise ValueError("use a language code in small letters, such as en-gb")
    return text


Sentence = Annotated[str, Field(max_length=1200), AfterValidator(gaps_known), AfterValidator(_said)]
Language = Annotated[str, AfterValidator(_language)]
PhaseName = Annotated[str, AfterValidator(_simple_name)]
Minutes = Annotated[float, Field(gt=0, le=240, allow_inf_nan=False)]


class StrictTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CueFile(StrictTable):
    seconds_left: float = Field(gt=0, le=14_400, allow_inf_nan=False)
    kind: CueKind = Field(strict=False)
    text: Sentence


# What a file writes otherwise than `Phase` holds it, and the limits of what it may say. All else about a
# phase, its fields and their defaults, is declared in `Phase` alone.
_LIMITS: dict[str, Any] = {
    "name": PhaseName,
    "title": Annotated[str, Field(min_length=1, max_length=60), AfterValidator(in_one_line)],
    "announcement": Sentence,
    "hint": Annotated[str, Field(max_length=120), AfterValidator(in_one_line)],
    "grace_seconds": Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)],
}
_WRITTEN: dict[str, Any] = {
    "seconds": ("minutes", Minutes),
    "cues": ("cue", Annotated[list[CueFile], Field(max_length=20)]),
}


def _phase_file() -> type[StrictTable]:
    """The model of a phase in a file, made from the fields of `Phase`."""
    hints, written = typing.get_type_hints(Phase), dict[str, Any]()
    for field in dataclasses.fields(Phase):
        name, kind = _WRITTEN.get(field.name, (field.name, _LIMITS.get(field.name, hints[field.name])))
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            kind = Annotated[kind, Field(strict=False)]
        default = ... if field.default is dataclasses.MISSING else field.default
        written[name] = (kind, list(default) if isinstance(default, tuple) else default)
    return create_model("PhaseFile", __base__=StrictTable, **written)


PhaseFile = _phase_file()


def phase_of(file: StrictTable) -> Phase:
    """The phase that a `PhaseFile` describes."""
    values = dict(file)
    minutes, cues = values.pop("minutes"), values.pop("cue")
    return Phase(seconds=minutes * 60, cues=tuple(Cue(**dict(cue)) for cue in cues), **values)


class ProtocolFile(StrictTable):
    title: Annotated[str, Field(min_length=1, max_length=80), AfterValidator(in_one_line)]
    description: Annotated[str, Field(max_length=300), AfterValidator(in_one_line)] = ""
    language: Language
    goodbye: Sentence
    closing_seconds: float = Field(default=12, ge=0, le=60, allow_inf_nan=False)
    phase: list[PhaseFile] = Field(min_length=1, max_length=MOST_PHASES)  # type: ignore[valid-type]


def contradictions(data: dict[str, Any]) -> list[Found]:
    """What does not fit together, as far as it can be told from data that may have other mistakes too."""
    phases = data.get("phase")
    if isinstance(phases, list) and len(phases) > MOST_PHASES:
        return []  # which is told already
    found: list[Found] = []
    names: list[object] = []
    learnt = False
    for index, phase in enumerate(phases if isinstance(phases, list) else []):
        if not isinstance(phase, dict):
            continue
        place, name = ("phase", index), phase.get("name")
        shown = brief(name)
        if name in names:
            message = f'there are two phases called "{brief(name)}".'
            found.append(((*place, "name"), message, "Each needs a name of its own."))
        names.append(name)
        cues = phase.get("cue")
        for number, cue in enumerate(cues if isinstance(cues, list) else []):
            left = _number(cue.get("seconds_left")) if isinstance(cue, dict) else 0.0
            if left >= _number(phase.get("minutes"), math.inf) * 60:
                message = f"{shown} is not longer than this cue's {left:g} seconds."
                found.append(
                    ((*place, "cue", number, "seconds_left"), message, "Give fewer seconds or more minutes.")
                )
        learnt = learnt or phase.get("enrols_presenter") is True
        if phase.get("reminders") is True and phase.get("floor") != Floor.GROUP:
            message = f"{shown} has reminders, but everybody may speak there."
            found.append(((*place, "reminders"), message, 'Reminders need floor = "group".'))
        if phase.get("reminders") is True and not learnt:
            message = f"{shown} has reminders, but the presenter's voice is not learnt before it."
            found.append(((*place, "reminders"), message, "Set enrols_presenter = true in the story."))
    last = phases[-1] if isinstance(phases, list) and phases else None
    closing = _number(data.get("closing_seconds"))
    if isinstance(last, dict) and closing > 0 and closing >= _number(last.get("minutes"), math.inf) * 60:
        name = brief(last.get("name", ""))
        message = f"closing_seconds must be shorter than the last phase, {name} (it is {closing:g})."
        found.append((("closing_seconds",), message, ""))
    return found


def _number(value: object, otherwise: float = 0.0) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    return number if math.isfinite(number) else otherwise
