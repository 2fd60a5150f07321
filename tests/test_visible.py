"""Text from elsewhere never acts on a display: in errors, in lists, in the session's picture."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.plenty import tries
from tests.support.plays import shipped_policy
from tests.test_cli import call
from tests.test_display_terminal import CONTACTS
from tests.test_protocols import GOOD
from voice_facilitator.display.frame import session_frame
from voice_facilitator.display.terminal import LineScreen, render
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import load_settings
from voice_facilitator.session import Session
from voice_facilitator.session.events import Action, Request
from voice_facilitator.visible import in_one_line, shortened, visible

ATTACKS = {
    "title of the window": "\x1b]0;owned\x07",
    "clear the screen": "\x1b[2J\x1b[H",
    "C1": "\x9b2J\x9d0;owned\x9c",
    "bidi": "\u202egnp.exe\u2066",
    "separators": "a\u2028b\u2029c\x85d",
    "tags": "\U000e0041\U000e007f",
}


def harmless(text: str) -> bool:
    return visible(text, layout=True) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eabc", "\\u202eabc"),
        ("caf\udce9.wav", "caf\ufffd.wav"),
        ("Zwölf 漢字 \u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 👩\u200d👩", None),
        ("\u05e9\u05dc\u05d5\u05dd\u200f!", None),
        ("a\nb\tc", "a\\nb\\tc"),
    ],
)
def test_what_acts_is_written_out_and_what_is_text_stays(text: str, shown: str | None) -> None:
    assert visible(text) == (text if shown is None else shown)


@tries(200)
@given(st.text() | st.text("\x1b\x07\u202e\x9b\ud800\n[2J"))
def test_once_visible_always_visible(text: str) -> None:
    for made in (visible(text), in_one_line(text), visible(text, layout=True)):
        assert visible(made, layout=True) == made
        made.encode("utf-8")
    assert "\n" not in in_one_line(text)
    assert len(shortened(text, 5)) <= 5


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_errors(attack: str) -> None:
    error = FacilitatorError("code", f"There is no {attack}.", f"Not {attack}.")
    assert harmless(error.message)
    assert harmless(error.hint)
    assert harmless(str(error))
    with pytest.raises(FacilitatorError) as caught:
        protocols.load(attack)
    assert harmless(caught.value.message)


def written(attack: str) -> str:
    return json.dumps(attack + "[/b][red]:warning:").replace("\\u007f", "\\u007F")


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_protocol_in_every_list_and_in_the_sessions_picture(attack: str, tmp_path: Path) -> None:
    if not attack.isascii() and ord(max(attack)) > 0xFFFF:
        text = '"\\U000E0041[/b][red]:warning:"'
    else:
        text = written(attack)
    path = tmp_path / "mine.toml"
    path.write_text(
        GOOD.replace('"Mine"', text).replace('"Talk"', text).replace('"Goodbye."', text), encoding="utf-8"
    )
    protocol = protocols.load(str(path))
    session = Session(protocol, protocols.load_wording("en-gb"), shipped_policy(), CONTACTS)
    session.handle(Request(Action.BEGIN), 0.0)
    view = session.view()
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    phrases = protocols.load_phrases("en-gb")
    console.print(render(view, -30.0, phrases, CONTACTS, ""))
    LineScreen(Console(file=stream, width=200, emoji=False), phrases).update(view, None)
    assert harmless(stream.getvalue())
    assert "[/b][red]:warning:" in stream.getvalue()
    frame = session_frame(view, CONTACTS)
    assert harmless(frame["phase_title"] + frame["protocol_title"])
    for arguments in (("show", str(path)), ("check", str(path))):
        result = call("protocols", *arguments)
        assert result.returncode == 0, result.stderr
        assert harmless(result.stdout + result.stderr)
        assert (":warning:" in result.stdout) is (arguments[0] == "show")
    result = call("rehearse", str(path))
    assert harmless(result.stdout + result.stderr)


def test_mistakes_quote_keys_and_values_as_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '"\\u001b]0;x\\u0007" = 1\n"a\\nmine.toml, line 99: b" = 2\n'
        'based_on = "\\u001b[2J"\n[change."\\u009b2J"]\nx = 1\n'
    )
    for name in (str(path), str(tmp_path / "\x1b[2J.toml")):
        result = call("protocols", "check", name)
        assert result.returncode == 3
        assert harmless(result.stderr)
        assert "\\x1b" in result.stderr
    assert "line 99" not in [line.partition(": ")[0] for line in result.stderr.splitlines()]


def test_contacts_and_device_names_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        '[session]\nsupport_contacts = ["\\u001b[2J Helpline\\n116 123"]\n'
        '[hearing]\nmicrophone = "\\u202eUSB"\n'
    )
    settings = load_settings(path)
    assert settings.session.support_contacts == ["\\x1b[2J Helpline 116 123"]
    assert settings.hearing.microphone == "\\u202eUSB"


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_names_of_files_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / b"caf\xe9.toml".decode("utf-8", "surrogateescape")
    path.write_text(GOOD, encoding="utf-8")
    result = call("protocols", "check", str(path))
    assert (result.returncode, "caf\ufffd.toml: good" in result.stdout) == (0, True)
    path.write_text("titel = 1", encoding="utf-8")
    result = call("protocols", "check", str(path))
    assert (result.returncode, "caf\ufffd.toml, line 1" in result.stderr) == (3, True)
    result = call("replay", str(tmp_path / b"\xe9[/b].wav".decode("utf-8", "surrogateescape")), "--json")
    assert "Traceback" not in result.stderr
