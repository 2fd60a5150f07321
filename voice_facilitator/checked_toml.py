"""Reads TOML into a pydantic model and reports all mistakes at once, each with its line.

Pydantic finds the mistakes; this module only adds what people need to mend them: the line, plain words
and "did you mean".
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from voice_facilitator.errors import ExitCode, FacilitatorError

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
Found = tuple[Location, str, str]  # where a mistake is, what it is, and a hint

_MAX_FILE_BYTES = 1_000_000  # a settings file larger than this is another file by mistake
_TABLE = re.compile(r"^\s*\[(\[)?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*("[^"]*"|'[^']*'|[\w.-]+)\s*=""")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a file. `line` counts from 1; None where no line can be named."""

    line: int | None
    message: str
    hint: str = ""


class FileMistakes(FacilitatorError):  # noqa: N818  # it is about a file, and there may be many
    """A file with mistakes; carries all of them."""

    def __init__(self, code: str, file: str, mistakes: list[Mistake]) -> None:
        mistakes = sorted(mistakes, key=lambda mistake: mistake.line or 0)
        lines = [
            f"{file}{f', line {m.line}' if m.line else ''}: {m.message}{f' {m.hint}' if m.hint else ''}"
            for m in mistakes
        ]
        count = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(code, "\n".join(lines), f"Mend {count} and try again.", exit_code=ExitCode.BAD_FILE)
        self.file = file
        self.mistakes = mistakes

    def __reduce__(self) -> tuple[Any, ...]:
        return (FileMistakes, (self.code, self.file, self.mistakes))

    def as_dict(self) -> dict[str, Any]:
        plain = [{"line": m.line, "message": m.message, "hint": m.hint} for m in self.mistakes]
        return {**super().as_dict(), "file": self.file, "mistakes": plain}


def did_you_mean(word: str, known: list[str]) -> str:
    """`Did you mean "story"?`, or the known words, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Known here: {', '.join(sorted(known))}." if 0 < len(known) <= 24 else ""


def read_text(path: Path, code: str) -> str:
    """The text of a settings-like file.

    Raises FacilitatorError: missing, unreadable, far too large, or not UTF-8.
    """

    def wrong(message: str, hint: str) -> FacilitatorError:
        return FacilitatorError(code, message, hint, exit_code=ExitCode.BAD_FILE)

    try:
        if path.is_dir():
            raise wrong(f"{path} is a folder.", "Name a file in it.")
        if path.is_file() and path.stat().st_size > _MAX_FILE_BYTES:
            raise wrong(f"{path} is far too large for such a file.", "Is this the right file?")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise wrong(f"There is no file {path}.", "Check the name and the folder.") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise wrong(f"{path} is not a text file in UTF-8.", "Save it as UTF-8 text.") from error
    except OSError as error:
        raise wrong(f"{path} cannot be read: {error.strerror}.", "Check the permissions.") from error


def load(path: Path, model: type[Model], code: str) -> Model:
    """Read `path` into `model`. Raises FacilitatorError (unreadable) or FileMistakes (everything wrong)."""
    return parse(read_text(path, code), model, code, str(path))


def parse(text: str, model: type[Model], code: str, file: str) -> Model:
    """Read TOML `text` into `model`; `file` is the name used in messages. Raises FileMistakes."""
    return check(parse_toml(text, code, file), text, model, code, file)


def check(data: dict[str, Any], text: str, model: type[Model], code: str, file: str) -> Model:
    """Check `data`, which was read from `text`, against `model`. Raises FileMistakes."""
    if found := mistakes_in(data, model):
        raise located(found, text, code, file)
    return model.model_validate(data)


def located(found: list[Found], text: str, code: str, file: str) -> FileMistakes:
    """The mistakes `found`, each with its line in `text`."""
    lines = line_numbers(text)
    return FileMistakes(
        code, file, [Mistake(line_of(place, lines), message, hint) for place, message, hint in found]
    )


def mistakes_in(data: Any, model: type[BaseModel]) -> list[Found]:
    """Place, message and hint of everything in `data` that `model` does not allow."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        return _mistakes(error, model)
    return []


def parse_toml(text: str, code: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        match = re.search(r"line (\d+)", str(error))
        at_end = text.count("\n") + 1 if "end of document" in str(error) else None
        line = int(match.group(1)) if match else at_end
        reason = re.sub(r" \(at .*\)$", "", str(error)) or "too deeply nested"
        mistake = Mistake(line, f"this is not valid TOML: {reason[:1].lower()}{reason[1:]}.")
        raise FileMistakes(code, file, [mistake]) from error


def line_numbers(text: str) -> dict[Location, int]:
    """The line of each table and key, by its place in the parsed data.

    Reads one key a line, as people write such files; a key inside an inline table gets the line of
    the table.
    """
    lines: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()
    closing: str | None = None  # inside a multi-line string
    for number, raw in enumerate(text.splitlines(), start=1):
        if closing is not None:
            closing = None if closing in raw else closing
            continue
        if match := _TABLE.match(raw):
            table = _table_location(match.group(2), bool(match.group(1)), counts)
            lines.setdefault(table, number)
        elif match := _KEY.match(raw):
            keys = tuple(part.strip("\"' ") for part in match.group(1).split("."))
            lines.setdefault(table + keys, number)
            for quotes in ('"""', "'''"):
                if raw.count(quotes) == 1:
                    closing = quotes
    return lines


def _table_location(name: str, is_array: bool, counts: dict[Location, int]) -> Location:
    place: Location = ()
    parts = [part.strip("\"' ") for part in name.split(".")]
    for index, part in enumerate(parts):
        place = (*place, part)
        if index == len(parts) - 1 and is_array:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def line_of(location: Location, lines: dict[Location, int]) -> int | None:
    """The line of the place, or of the nearest table around it."""
    for length in range(len(location), 0, -1):
        if location[:length] in lines:
            return lines[location[:length]]
    return None


def _mistakes(error: ValidationError, model: type[BaseModel]) -> list[Found]:
    return [_mistake(detail, model) for detail in error.errors(include_url=False)]


_PLAIN = {  # by pydantic's name of the mistake; what is missing here keeps pydantic's words
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be an ordinary number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is far too large",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false, without quotes",
    "bool_parsing": "must be true or false, without quotes",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "string_too_long": "must not be longer than {max_length} characters",
    "list_type": "must be a list",
    "too_short": "needs at least one entry",
    "too_long": "must not have more than {max_length} entries",
    "model_type": "must be a table with settings of its own",
    "dict_type": "must be a table with settings of its own",
}
_LONGEST_SHOWN = 60


def _shown(value: Any) -> str:
    """The value as it stands in the file, where that helps."""
    if isinstance(value, bool):
        return f" (it is {str(value).lower()})"
    if not isinstance(value, str | int | float):
        return ""
    text = f'"{value}"' if isinstance(value, str) else f"{value}"
    return f" (it is {text})" if len(text) <= _LONGEST_SHOWN and text.isprintable() else ""


def _mistake(detail: ErrorDetails, model: type[BaseModel]) -> Found:
    location = tuple(detail["loc"])
    name = ".".join(str(part) for part in location if isinstance(part, str)) or "the file"
    value = detail.get("input")
    match detail["type"]:
        case "extra_forbidden":
            word = str(location[-1])
            hint = _belongs_under(model, location) or did_you_mean(word, _known_keys(model, location[:-1]))
            return location, f'"{word}" is not known here.', hint
        case "missing":
            return location, f'"{location[-1]}" is missing.', ""
        case "enum" | "literal_error":
            allowed = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
            return location, f'{name} cannot be "{value}".', did_you_mean(str(value), allowed)
        case _:
            shown = _shown(value)
            if plain := _PLAIN.get(detail["type"]):
                return location, f"{name} {plain.format(**detail.get('ctx', {}))}{shown}.", ""
            message = detail["msg"].removeprefix("Value error, ").rstrip(".")
            return location, f"{name}: {message[:1].lower()}{message[1:]}{shown}.", ""


def _belongs_under(model: type[BaseModel], location: Location) -> str:
    """The hint for a key that stands above all tables and is known in one of them."""
    if len(location) != 1:
        return ""
    tables = [
        name
        for name, field in model.model_fields.items()
        if _is_model(field.annotation) and location[0] in _known_keys(model, (name,))
    ]
    return f"It belongs under [{tables[0]}]." if len(tables) == 1 else ""


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys allowed at a place, found by walking the model's fields."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if _is_model(current) else None
        field = field or next(
            (f for f in getattr(current, "model_fields", {}).values() if f.alias == part), None
        )
        current = _inner_model(field.annotation) if field else None
    return [f.alias or name for name, f in current.model_fields.items()] if _is_model(current) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _inner_model(annotation: Any) -> Any:
    if _is_model(annotation):
        return annotation
    inner = (_inner_model(argument) for argument in getattr(annotation, "__args__", ()))
    return next((kind for kind in inner if kind is not None), None)
