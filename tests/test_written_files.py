"""Files that people write, as they come from any editor, by mistake or with intent: read or refused, soon."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.test_protocols import GOOD
from tests.work import TooMuchWorkError, at_most
from voice_facilitator import models
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import checked_toml, phrases, protocols
from voice_facilitator.files.checked_toml import FileMistakes, line_numbers, line_of
from voice_facilitator.files.settings import load_settings
from voice_facilitator.tools import script

PLAIN = protocols.load("balint-plain")
MOST = checked_toml._MAX_FILE_BYTES
Reader = Callable[[Path], Any]
READERS: dict[str, Reader] = {
    "protocol": lambda path: protocols.load(str(path)),
    "settings": load_settings,
    "script": lambda path: script.load(path, PLAIN),
    "commands": lambda path: phrases.parse(checked_toml.read_text(path, "commands"), str(path)),
    "manifest": models.load_manifest,
}
GOOD_ONES = {
    "protocol": GOOD,
    "settings": '[session]\nsupport_contacts = ["The chaplain"]\n',
    "script": '{"t": 1, "do": "next"}\n{"t": 2, "do": "pause"}\n',
    "commands": 'language = "en"\ntitle = "x"\nprefix = "x"\n[[command]]\n'
    'action = "next"\ndoes = "x"\nphrases = ["go"]\n',
    "manifest": "model = []\n",
}
each_kind = pytest.mark.parametrize("kind", READERS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def refused(kind: str, file: Path) -> FacilitatorError:
    with pytest.raises(FacilitatorError) as caught, at_most():
        READERS[kind](file)
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.BAD_FILE
    assert len(caught.value.message) < 10_000
    return caught.value


# ------------------------------------------------------------ editors


@each_kind
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_byte_order_marks_and_line_ends_are_read_over(file: Path, kind: str, ends: str, mark: bytes) -> None:
    file.write_bytes(mark + GOOD_ONES[kind].replace("\n", ends).encode())
    READERS[kind](file)


@each_kind
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "latin-1"])
def test_another_encoding_is_named_with_what_to_do(file: Path, kind: str, encoding: str) -> None:
    file.write_bytes(f"# ok\n# caf\xe9\n{GOOD_ONES[kind]}".encode(encoding))
    error = refused(kind, file)
    assert "not a text file in UTF-8" in error.message
    assert "Save it as UTF-8" in error.hint
    assert ("UTF-16" in error.message) is (encoding in ("utf-16", "utf-32"))
    assert ("line 2" in error.message) is (encoding == "latin-1")


# ------------------------------------------------------------ what is no such file


@each_kind
def test_a_pipe_is_not_waited_for(file: Path, kind: str) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names here")
    os.mkfifo(file)
    assert "not an ordinary file" in refused(kind, file).message


@each_kind
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_read(kind: str, device: str) -> None:
    if not Path(device).exists():
        pytest.skip("no such device here")
    if kind == "protocol" and device == "/dev/null":
        pytest.skip("has no name of a file")
    assert "not an ordinary file" in refused(kind, Path(device)).message


@each_kind
def test_links_folders_and_permissions(tmp_path: Path, kind: str) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(tmp_path / "gone.toml")
    assert "a link to a file that is not there" in refused(kind, link).message
    round_ = tmp_path / "round.toml"
    round_.symlink_to(round_)
    assert "cannot be read" in refused(kind, round_).message
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert "is a folder" in refused(kind, folder).message
    closed = tmp_path / "closed.toml"
    closed.write_text(GOOD_ONES[kind])
    closed.chmod(0)
    if os.access(closed, os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in refused(kind, closed).message
    closed.chmod(stat.S_IRUSR)


@each_kind
def test_a_huge_file_is_not_read_to_its_end(file: Path, kind: str) -> None:
    with file.open("wb") as hole:
        hole.truncate(5_000_000_000)
    assert "far too large" in refused(kind, file).message


# ------------------------------------------------------------ far too much of something


def full(text: str) -> str:
    """So many of `text` as a file may hold; `#` is a number."""
    lines, size = [], 0
    while size < MOST - 40:
        lines.append(text.replace("#", str(len(lines))))
        size += len(lines[-1].encode())
    return "".join(lines)


TOO_MUCH = {
    "a whole number of 5,000 digits": "minutes = " + "9" * 5000,
    "a hexadecimal one": "closing_seconds = 0x" + "f" * 5000 + "\n[[phase]]\nminutes = 0x" + "f" * 400,
    "unknown keys": full("key# = 1\n"),
    "keys that nearly are": full("languag# = 1\n"),
    "a key of 10,000 parts": ".".join(["a"] * 10_000) + " = 1",
    "many deep keys": full(".".join(["k#", *["a"] * 63]) + " = 1\n"),
    "many deep tables": full("[" + ".".join(["k#", *["a"] * 63]) + "]\n"),
    "empty phases": full("[[phase]]\n"),
    "empty phases in a line": "phase = [" + full("{},") + "]",
    "phases with names": full('[[phase]]\nname = "a#"\nminutes = 1\n'),
    "cues": "[[phase]]\n" + full("[[phase.cue]]\n"),
    "commands": full("[[command]]\n"),
    "models": full("[[model]]\n"),
    "changes": 'based_on = "balint-45"\n' + full("[change.stor#]\nx = 1\n"),
    "omissions": 'based_on = "balint-45"\nomit = [' + full('"stor#", ') + "]",
    "keys over another protocol": 'based_on = "balint-45"\n' + full("titl# = 1\n"),
    "nested lists": "a = " + "[" * 90_000,
    "nested tables": "a = " + full("{b = "),
    "lists just not too deep": "title = " + "[" * 200 + "]" * 200,
    "a long string": 'title = "' + "x" * (MOST - 20) + '"',
    "a string without end": 'title = "' + "x" * (MOST - 20),
    "quotation marks": full('"""'),
    "quotation marks in a string": "a = '''" + full("''x"),
    "backslashes": 'a = """' + full('\\"""'),
    "nothing but lines": "\n" * MOST,
    "equal signs": "=" * MOST,
    "blanks": " " * MOST,
    "a comment": "#" * MOST,
    "mistyped actions": full('{"t": 1, "do": "nexd"}\n'),
    "no JSON": full("x\n"),
    "deep JSON": "[" * 90_000,
    "a long number in JSON": '{"t": ' + "9" * 5000 + "}",
}


WHERE = [(kind, name) for name in TOO_MUCH for kind in ("protocol", "settings", "script")]
WHERE += [("commands", "commands"), ("manifest", "models")]


@pytest.mark.parametrize(("kind", "name"), WHERE)
def test_nothing_takes_long_to_refuse(file: Path, kind: str, name: str) -> None:
    content = TOO_MUCH[name]
    file.write_text(content, encoding="utf-8")
    try:
        with at_most():
            READERS[kind](file)
    except FacilitatorError as error:
        assert len(error.message) < 10_000
        assert len(error.message.splitlines()) <= 11
    else:
        assert kind in ("settings", "script"), "where a file without entries is good"


def test_the_budget_notices_too_much_work() -> None:
    with pytest.raises(TooMuchWorkError), at_most(1000):
        checked_toml.line_numbers("a = 1\n" * 1000)


def test_ten_mistakes_are_shown_and_the_rest_is_counted(file: Path) -> None:
    file.write_text("\n".join(f"key{number} = 1" for number in range(1, 26)))
    with pytest.raises(FileMistakes) as caught:
        load_settings(file)
    lines = caught.value.message.splitlines()
    assert lines[0].startswith(f'{file}, line 1: "key1" is not known here.')
    assert (len(lines), lines[-1]) == (11, f"{file}: and 15 more.")
    assert caught.value.hint == "Mend 25 mistakes and try again."
    assert (len(caught.value.as_dict()["mistakes"]), caught.value.as_dict()["count"]) == (10, 25)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("minutes = 1979-05-27", "phase.minutes must be a number"),
        ("minutes = 07:32:00", "phase.minutes must be a number"),
        ("minutes = nan", "must be an ordinary number (it is nan)"),
        ("minutes = 0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "must be"),
        ("minutes = 10\nminutes = 11", "line 9: this is not valid TOML: cannot overwrite a value"),
        ("minutes = []", "phase.minutes must be a number"),
        ("minutes = 10 \x00", "has zero bytes"),
        ("minutes = 10 \x07", "this is not valid TOML"),
    ],
)
def test_values_of_every_kind(file: Path, line: str, says: str) -> None:
    file.write_text(GOOD.replace("minutes = 10", line).lstrip(), encoding="utf-8")
    assert says in refused("protocol", file).message


# ------------------------------------------------------------ lines


def test_a_key_is_found_however_it_is_written() -> None:
    text = (
        'plain = 1\n"a.b" = 2\n'
        "'c d'.\"e\\u0041\" . f = 3\n"
        "[ \"x.y\" . z ]  # [no]\nkey = 4 # 'no' = 5\n"
        '[[list."x"]]\nk = 6\n[[list.x]]\nk = 7\n[list.x.inner]\nk = 8\n'
    )
    lines = line_numbers(text)
    places = {
        ("plain",): 1,
        ("a.b",): 2,
        ("c d", "eA", "f"): 3,
        ("c d",): 3,
        ("x.y", "z", "key"): 5,
        ("list", "x", 0, "k"): 7,
        ("list", "x", 1, "k"): 9,
        ("list", "x", 1, "inner", "k"): 11,
    }
    assert {place: lines.get(place) for place in places} == places
    assert line_of(("a.b", "deeper"), lines) == 2


def test_what_stands_in_a_string_is_no_key(file: Path) -> None:
    text = (
        'title = """\nkey = 1\n[table]\n\\""" x = 2\n"""\n'
        "goodbye = '''\nother = 3\n\"\"\"\n'''\n"
        'a = "\'\'\'"  # \'\'\' and """\nlist = ["""\nb = 4""", "c"]\nlast = 5\n'
    )
    assert line_numbers(text) == {("title",): 1, ("goodbye",): 6, ("a",): 10, ("list",): 11, ("last",): 13}
    file.write_text(GOOD.replace('"Goodbye."', '"""\nBye.\nlanguage = 1\n"""') + "\ntitel = 1\n")
    with pytest.raises(FileMistakes) as caught:
        protocols.load(str(file))
    assert [mistake.line for mistake in caught.value.mistakes] == [20]


@each_kind
def test_a_key_without_end_is_not_even_begun(file: Path, kind: str) -> None:
    """What tomllib does with one grows with the square of its parts, in C, where no lines are counted."""
    if kind == "script":
        pytest.skip("is no TOML")
    file.write_text("\n" + ".".join(["a"] * 10_000) + " = 1")
    assert "line 2: this is not valid TOML: the line has far too many dots." in refused(kind, file).message
    file.write_text("# " + "." * 200 + "\n" + GOOD_ONES[kind])
    READERS[kind](file)
