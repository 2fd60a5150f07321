"""What terminals send does what its key says, or nothing; pasted text is never a key."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from tests.test_faults_resume import wait_for
from tests.test_onlookers import InTerminal, run
from voice_facilitator.display.key_table import press_for
from voice_facilitator.display.keys import KeyReader, terminal_restored
from voice_facilitator.display.keystrokes import Keystrokes
from voice_facilitator.session.events import Action

termios = pytest.importorskip("termios")  # not there on Windows
__all__ = ["run"]  # the fixture
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a session in a terminal as on Linux")

NEXT, BACK, PAUSE, MORE, LESS, END = (
    Action.NEXT,
    Action.BACK,
    Action.PAUSE,
    Action.MORE_TIME,
    Action.LESS_TIME,
    Action.END,
)
# What a terminal sends, and what it must do. Each is its own burst.
CASES: list[tuple[str, bytes, Action | None]] = [
    ("Page Down", b"\x1b[6~", NEXT),
    ("Page Up", b"\x1b[5~", BACK),
    ("right", b"\x1b[C", NEXT),
    ("left", b"\x1b[D", BACK),
    ("right, application mode", b"\x1bOC", NEXT),
    ("left, application mode", b"\x1bOD", BACK),
    ("right, kitty, Num Lock", b"\x1b[1;129C", NEXT),
    ("right, kitty, pressed", b"\x1b[1;1:1C", NEXT),
    ("right, kitty, let go", b"\x1b[1;1:3C", None),
    ("Page Down, 8 bits", b"\x9b6~", NEXT),
    ("Enter", b"\r", NEXT),
    ("Backspace", b"\x7f", BACK),
    ("Backspace as Ctrl-H", b"\x08", BACK),
    ("b", b"b", PAUSE),
    ("B", b"B", PAUSE),
    ("e", b"e", END),
    ("a clicker that bounces", b"  ", NEXT),
    ("keypad Enter", b"\x1bOM", NEXT),
    ("keypad +", b"\x1bOk", MORE),
    ("keypad -", b"\x1bOm", LESS),
    ("keypad .", b"\x1bOn", PAUSE),
    ("keypad 0", b"\x1bOp", None),
    ("keypad 5", b"\x1bOE", None),
    ("ESC", b"\x1b", None),
    ("ESC ESC", b"\x1b\x1b", None),
    ("ESC, Page Down", b"\x1b\x1b[6~", NEXT),
    ("Alt-b", b"\x1bb", None),
    ("Alt-e", b"\x1be", None),
    ("Alt-Page Down", b"\x1b[6;3~", None),
    ("up", b"\x1b[A", None),
    ("down", b"\x1b[B", None),
    ("down, application mode", b"\x1bOB", None),
    ("Shift-down", b"\x1b[1;2B", None),
    ("Ctrl-down", b"\x1b[1;5B", None),
    ("Alt-down", b"\x1b[1;3B", None),
    ("Ctrl-right", b"\x1b[1;5C", None),
    ("Shift-left, rxvt", b"\x1b[d", None),
    ("Shift-Page Down, rxvt", b"\x1b[6$", None),
    ("Ctrl-Page Down, rxvt", b"\x1b[6^", None),
    ("Shift-Tab", b"\x1b[Z", None),
    ("Home", b"\x1b[H", None),
    ("End", b"\x1b[F", None),
    ("End, VT220", b"\x1b[4~", None),
    ("Insert", b"\x1b[2~", None),
    ("Delete", b"\x1b[3~", None),
    *((f"F{n + 1}, Linux console", b"\x1b[[" + bytes([65 + n]), None) for n in range(5)),
    *((f"F{n + 1}, xterm", b"\x1bO" + bytes([80 + n]), None) for n in range(4)),
    *((f"Shift-F{n + 1}, xterm", b"\x1b[1;2" + bytes([80 + n]), None) for n in range(4)),
    *((f"CSI {n}~", b"\x1b[%d~" % n, None) for n in (11, 15, 17, 24, 29, 34)),
    ("Shift-F1, old xterm", b"\x1bO2P", None),
    ("pasted", b"\x1b[200~yes\r\x1b[201~", None),
    ("pasted, with a key in it", b"\x1b[200~\x1b[6~e\x1b[201~", None),
    ("pasted, 5,000 letters", b"\x1b[200~" + b"e" * 5000 + b"\x1b[201~", None),
    ("pasted where no terminal marks it", b"ends here", None),
    ("focus", b"\x1b[I", None),
    ("focus lost", b"\x1b[O", None),
    ("mouse", b"\x1b[M be", None),
    ("mouse, SGR", b"\x1b[<0;12;7M", None),
    ("mouse, urxvt", b"\x1b[32;12;7M", None),
    ("kitty: e", b"\x1b[101u", None),
    ("kitty: Ctrl-e", b"\x1b[101;5u", None),
    ("kitty: ESC", b"\x1b[27u", None),
    ("kitty: let go", b"\x1b[101;1:3u", None),
    ("modifyOtherKeys", b"\x1b[27;5;101~", None),
    ("where is the cursor", b"\x1b[12;40R", None),
    ("which terminal", b"\x1b[?62;22c", None),
    ("which version", b"\x1bP>|XTerm(380)\x1b\\", None),
    ("colours", b"\x1b]11;rgb:ee/ee/ee\x07", None),
    ("colours, with ST", b"\x1b]11;rgb:ee/ee/ee\x1b\\", None),
    ("application program", b"\x1b_Gi=1;bye\x1b\\", None),
    ("mode report", b"\x1b[?2026;2$y", None),
    ("theme", b"\x1b[?997;1n", None),
    ("a letter with an accent", "ë".encode(), None),
    ("an emoji", "\N{PARTY POPPER}".encode(), None),
    ("Ctrl-S", b"\x13", None),
    ("Ctrl-Z", b"\x1a", None),
    ("Ctrl-E", b"\x05", None),
    ("NUL", b"\x00", None),
]


def actions(keys: list[str]) -> list[Action]:
    found = (press_for(key, frozenset()) for key in keys)
    return [press.action for press in found if press is not None]


class Reading:
    """A KeyReader at a terminal of the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hand: int, terminal: int) -> None:
        self.hand = hand
        monkeypatch.setattr("sys.stdin", os.fdopen(terminal))
        self.keys: list[str] = []
        self.interrupts = threading.Semaphore(0)
        assert KeyReader(self.keys.append, self.interrupts.release).start()

    def press(self, data: bytes, settle: float = 0.08) -> None:
        os.write(self.hand, data)
        time.sleep(settle)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(monkeypatch, *os.openpty())


@pytest.mark.slow
def test_everything_a_terminal_sends_does_what_it_says_or_nothing(reading: Reading) -> None:
    wrong = []
    for name, data, action in CASES:
        expected = [*([action] if action else []), Action.UNDO]  # the next key is heard
        for settle in (0.08, 0.5, 2.0):  # a busy machine may take what comes now for one with what comes then
            reading.keys.clear()
            reading.press(data, settle)
            reading.press(b"u", settle)
            if actions(reading.keys) == expected:
                break
        else:
            wrong.append((name, reading.keys[:], expected))
    assert wrong == []


def test_ctrl_c_that_comes_as_a_letter_interrupts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    hand, terminal = os.openpty()
    flags = termios.tcgetattr(terminal)
    flags[3] &= ~termios.ISIG
    termios.tcsetattr(terminal, termios.TCSANOW, flags)
    reading = Reading(monkeypatch, hand, terminal)
    reading.press(b"\x03")
    assert reading.interrupts.acquire(timeout=10)
    assert reading.keys == []


def test_a_sequence_that_comes_in_pieces_is_one(reading: Reading) -> None:
    for piece in (b"\x1b[", b"6", b"~"):
        reading.press(piece, 0.05)
    assert actions(reading.keys) == [NEXT]
    for piece in (b"\x1b[20", b"0~y", b"es", b"e", b"\x1b[2", b"01~"):
        reading.press(piece, 0.05)
    reading.press(b"b", 0.5)
    assert actions(reading.keys) == [NEXT, PAUSE]
    reading.press(b"\x1b[1;", 0.6)  # and never ends
    reading.press(b"u")
    assert actions(reading.keys) == [NEXT, PAUSE, Action.UNDO]


@tries(300)
@given(st.lists(st.sampled_from([data for _, data, _ in CASES]), max_size=6), st.lists(st.integers(1, 9)))
def test_it_does_not_matter_how_bytes_are_cut_up(sequences: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(sequences)
    at_once, in_pieces = Keystrokes(), Keystrokes()
    rest, keys = whole, []
    for cut in cuts:
        keys += in_pieces.feed(rest[:cut])
        rest = rest[cut:]
    assert keys + in_pieces.feed(rest) == at_once.feed(whole)


@tries(300)
@given(st.binary(max_size=60))
def test_any_bytes_are_taken_and_given_up(data: bytes) -> None:
    keystrokes = Keystrokes()
    keystrokes.feed(data)
    keystrokes.give_up()
    assert keystrokes.feed(b"e") == ["e"]


def test_the_terminal_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    _, terminal = os.openpty()
    monkeypatch.setattr("sys.stdin", os.fdopen(terminal))
    before = termios.tcgetattr(terminal)
    with terminal_restored():
        assert KeyReader(lambda _: None, lambda: None).start()
        assert not termios.tcgetattr(terminal)[0] & termios.IXON, "ctrl-s stops nothing"
    assert termios.tcgetattr(terminal) == before


@pytest.mark.slow
def test_in_a_running_session(run: Callable[..., Any]) -> None:
    session = run("1", kind=InTerminal, minutes=5)
    wait_for(lambda: "First" in session.look() and session.phases() == ["first"])
    for _, data, action in CASES:
        if action is None:
            session.press(data)
            session.look(0.06)
    session.look(0.5)
    assert "\x1b[?2004h" in session.look()
    assert session.phases() == ["first"]
    assert '"command"' not in "".join(
        line for line in session.log.read_text().splitlines() if '"key"' in line
    ), "none of them did anything"
    session.press(b"\x1b[6~")
    wait_for(lambda: session.phases() == ["first", "second"])
    session.press(b"\x03")
    assert session.process.wait(60) == 130
    assert "\x1b[?2004l" in session.look(0.5)
