"""Reads TOML into a pydantic model and reports all mistakes at once, each with its line.

Pydantic finds the mistakes; this module only adds what people need to mend them: the line, plain words
and "did you mean".
"""

from __future__ import annotations

import codecs
import difflib
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.visible import shortened, visible

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
Hint = str | Callable[[], str]  # a function where it takes work: it is called for the mistakes that are shown
Found = tuple[Location, str, Hint]  # where a mistake is, what it is, and a hint

# Nobody writes so much by hand: the largest file of ours has 16 kB. It keeps all that is done with a file
# under a second, on a small computer too.
_MAX_FILE_BYTES = 100_000
_MOST_DOTS = 64  # in a line; what tomllib does with the parts of a key grows with their square
_MOST_SHOWN = 10  # mistakes; then a count
_LONGEST_MESSAGE, _LONGEST_HINT, _LONGEST_VALUE = 400, 800, 60  # characters

_NAME = r"""(?:"(?:[^"\\]|\\.)*+"|'[^']*+'|[A-Za-z0-9_-]++)"""
_DOTTED = rf"{_NAME}(?:[ \t]*+\.[ \t]*+{_NAME})*+"
_TABLE = re.compile(rf"[ \t]*+\[(\[)?[ \t]*+({_DOTTED})[ \t]*+\]\]?[ \t]*+(?:#.*)?$")
_KEY = re.compile(rf"[ \t]*+({_DOTTED})[ \t]*+=")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# What can hold a quotation mark or a line break, in a text that is good TOML.
_STRING_OR_COMMENT = re.compile(
    r'''
    """(?:[^"\\]|\\.|"(?!""))*+"""  # over several lines
    | '{3}(?:[^']|'(?!''))*+'{3}
    | "(?:[^"\\\n]|\\.)*+"
    | '[^'\n]*+'
    | \#[^\n]*+
    ''',
    re.DOTALL | re.VERBOSE,
)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a file. `line` counts from 1; None where no line can be named."""

    line: int | None
    message: str
    hint: Hint = ""


class FileMistakes(FacilitatorError):  # noqa: N818  # it is about a file, and there may be many
    """A file with mistakes; carries the first of them, and how many there are."""

    def __init__(self, code: str, file: str, mistakes: list[Mistake], count: int = 0) -> None:
        first = sorted(mistakes, key=lambda mistake: mistake.line or 0)[:_MOST_SHOWN]
        self.file = visible(file)
        self.count = count or len(mistakes)
        self.mistakes = [_ready_to_show(mistake) for mistake in first]
        lines = [
            f"{self.file}{f', line {m.line}' if m.line else ''}: {m.message}{f' {m.hint}' if m.hint else ''}"
            for m in self.mistakes
        ]
        if more := self.count - len(lines):
            lines.append(f"{self.file}: and {more} more.")
        mend = "one mistake" if self.count == 1 else f"{self.count} mistakes"
        super().__init__(code, "\n".join(lines), f"Mend {mend} and try again.", exit_code=ExitCode.BAD_FILE)

    def __reduce__(self) -> tuple[Any, ...]:
        return (FileMistakes, (self.code, self.file, self.mistakes, self.count))

    def as_dict(self) -> dict[str, Any]:
        plain = [{"line": m.line, "message": m.message, "hint": m.hint} for m in self.mistakes]
        return {**super().as_dict(), "file": self.file, "count": self.count, "mistakes": plain}


def _ready_to_show(mistake: Mistake) -> Mistake:
    hint = mistake.hint() if callable(mistake.hint) else mistake.hint
    message = shortened(visible(mistake.message), _LONGEST_MESSAGE)
    return Mistake(mistake.line, message, shortened(visible(hint), _LONGEST_HINT))


def did_you_mean(word: object, known: list[str]) -> str:
    """`Did you mean "story"?`, or the known words, or nothing."""
    text = shortened(word, _LONGEST_VALUE) if isinstance(word, str) else ""
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Known here: {', '.join(sorted(known))}." if 0 < len(known) <= 24 else ""


def read_text(path: Path, code: str) -> str:
    """The text of a settings-like file, its lines ended by "\\n", without a byte order mark.

    Raises FacilitatorError: missing, no ordinary file, unreadable, far too large, or not UTF-8.
    """

    def wrong(message: str, hint: str) -> FacilitatorError:
        return FacilitatorError(code, message, hint, exit_code=ExitCode.BAD_FILE)

    try:
        if path.is_dir():
            raise wrong(f"{path} is a folder.", "Name a file in it.")
        if path.exists() and not path.is_file():  # a pipe or a device may never end, or never begin
            raise wrong(f"{path} is not an ordinary file.", "Save the text in a file, and name that.")
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise wrong(f"{path} is a link to a file that is not there.", "Mend the link.") from error
        raise wrong(f"There is no file {path}.", "Check the name and the folder.") from error
    except ValueError as error:  # a zero byte, or what is no letter in the encoding of file names
        raise wrong(f"There can be no file {path}.", "Check the name and the folder.") from error
    except OSError as error:
        raise wrong(f"{path} cannot be read: {error.strerror}.", "Check the permissions.") from error
    if len(data) > _MAX_FILE_BYTES:
        raise wrong(
            f"{path} is far too large for such a file (over {_MAX_FILE_BYTES // 1000} kB).",
            "Is this the right file?",
        )
    if data.startswith(_UTF_16):
        raise wrong(
            f"{path} is not a text file in UTF-8, but in UTF-16.",
            "Save it as UTF-8: the editor asks for the encoding under Save as.",
        )
    if b"\0" in data:
        raise wrong(f"{path} is not a text file in UTF-8: it has zero bytes.", "Save it as UTF-8 text.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise wrong(
            f"{path} is not a text file in UTF-8 (line {line}).",
            "Save it as UTF-8: the editor asks for the encoding under Save as.",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
    """The data in `text`. Raises FileMistakes with the one place where it stops being TOML."""

    def wrong(line: int | None, reason: str) -> FileMistakes:
        return FileMistakes(code, file, [Mistake(line, f"this is not valid TOML: {reason}.")])

    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > _MOST_DOTS and not line.lstrip().startswith("#"):
            raise wrong(number, "the line has far too many dots")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        at_end = text.count("\n") + 1 if "end of document" in str(error) else None
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise wrong(int(match[1]) if match else at_end, f"{reason[:1].lower()}{reason[1:]}") from error
    except RecursionError as error:
        raise wrong(None, "it is nested too deeply") from error
    except ValueError as error:  # Python reads no whole number of more than 4,300 digits
        match = re.search(r"\d(?:_?\d){4000}", text)
        where = text.count("\n", 0, match.start()) + 1 if match else None
        raise wrong(where, "a number has far too many digits") from error


def line_numbers(text: str) -> dict[Location, int]:
    """The line of each table and key, by its place in the data. `text` is good TOML.

    Reads one key a line, as people write such files; a key inside an inline table gets the line of
    the table.
    """
    lines: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()
    for number, raw in enumerate(_STRING_OR_COMMENT.sub(_without_lines, text).split("\n"), start=1):
        if match := _TABLE.match(raw):
            table = _table_location(_parts(match[2]), bool(match[1]), counts)
            lines.setdefault(table[:1], number)
            lines.setdefault(table, number)
        elif match := _KEY.match(raw):
            key = _parts(match[1])
            lines.setdefault(table + key[:1], number)
            lines.setdefault(table + key, number)
    return lines


def _without_lines(match: re.Match[str]) -> str:
    """What stands in a string of several lines is no key, whatever it looks like."""
    breaks = match[0].count("\n")
    return '""' + "\n" * breaks if breaks else match[0]


def _parts(key: str) -> Location:
    """The parts of a key as it is written: `a."b.c"` as a and b.c."""
    if _BARE.fullmatch(key):
        return (key,)
    place: list[str] = []
    inner: Any = tomllib.loads(f"{key} = 0")
    while isinstance(inner, dict):
        ((part, inner),) = inner.items()
        place.append(part)
    return tuple(place)


def _table_location(parts: Location, is_array: bool, counts: dict[Location, int]) -> Location:
    place: Location = ()
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


def brief(value: Any) -> str:
    """What stands in the file in place of something else, as far as it can be shown in a line."""
    match value:
        case str():
            text = shortened(value, _LONGEST_VALUE)
        case bool():
            text = str(value).lower()
        case int() if value.bit_length() > 4 * _LONGEST_VALUE:  # Python writes no very large ones out
            text = "a number with far too many digits"
        case list():
            text = "a list"
        case dict():
            text = "a table"
        case _:
            text = str(value)
    return text


def _shown(value: Any) -> str:
    """The value as it stands in the file, where that helps."""
    if isinstance(value, str) and not (len(value) < _LONGEST_VALUE and value.isprintable()):
        return ""
    quote = '"' if isinstance(value, str) else ""
    return f" (it is {quote}{brief(value)}{quote})" if isinstance(value, str | int | float) else ""


def _mistake(detail: ErrorDetails, model: type[BaseModel]) -> Found:
    location = tuple(detail["loc"])
    name = ".".join(str(part) for part in location if isinstance(part, str)) or "the file"
    value = detail.get("input")
    match detail["type"]:
        case "extra_forbidden":
            word = str(location[-1])

            def known() -> str:
                return _belongs_under(model, location) or did_you_mean(
                    word, _known_keys(model, location[:-1])
                )

            return location, f'"{brief(word)}" is not known here.', known
        case "missing":
            return location, f'"{location[-1]}" is missing.', ""
        case "enum" | "literal_error":
            allowed = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
            return location, f'{name} cannot be "{brief(value)}".', partial(did_you_mean, value, allowed)
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
