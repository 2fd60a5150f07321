"""What a terminal sends, taken apart: keys that were pressed, and everything else, which is nothing.

Terminals send escape sequences for keys, for the mouse, for the focus, for pasted text, and answer questions
with them; every one has its own. The grammar (ECMA-48, and the exceptions from it that are in use) says where
a sequence ends, so that none has to be known to be passed over whole. Nothing here knows what keys mean.
"""

from __future__ import annotations

import re
from enum import Enum, auto

# What is reported for a key, as `readchar` names it: what terminals send for it most often.
_FINALS = {"A": "\x1b[A", "B": "\x1b[B", "C": "\x1b[C", "D": "\x1b[D", "H": "\x1b[H", "F": "\x1b[F"}
_NUMBERED = {number: f"\x1b[{number}~" for number in ("1", "2", "3", "4", "5", "6")}
_KEYPAD = {"M": "\r", "X": "=", "k": "+", "m": "-", "n": "."}  # in its application mode, after ESC O
_PRESSED = ("", "1", "2")  # an event's kind in kitty's protocol; 3 is a key let go of
_LOCKS = 0b1100_0000  # Caps Lock and Num Lock, which change no arrow
_BEGIN_PASTE, _END_PASTE = "200", b"\x1b[201~"
_MOUSE_BYTES = 3  # after CSI M, in its oldest form
_LONGEST = 4096  # of a sequence, before it is given up
_PARAMETERS = re.compile(r"(\d*)(?:;(\d*)(?::(\d*))?)?")


class _At(Enum):
    GROUND = auto()
    ESCAPE = auto()
    CSI = auto()
    SS3 = auto()
    STRING = auto()  # OSC, DCS and their kind, up to ST or BEL
    STRING_ESCAPE = auto()
    SKIP = auto()  # so many bytes whatever they are
    PASTE = auto()


class Keystrokes:
    """Takes bytes as they come, in pieces of any size."""

    def __init__(self) -> None:
        self._at = _At.GROUND
        self._held = bytearray()  # of the sequence so far
        self._skip = 0

    @property
    def pasting(self) -> bool:
        """In the middle of pasted text, which may be long in coming."""
        return self._at is _At.PASTE

    @property
    def only_escape(self) -> bool:
        """An ESC has come, and nothing behind it."""
        return self._at is _At.ESCAPE

    @property
    def unfinished(self) -> bool:
        """In the middle of a sequence."""
        return self._at is not _At.GROUND

    def give_up(self) -> None:
        """What has begun is not going to be finished: a lone ESC, a sequence that was cut off."""
        self._at = _At.GROUND
        self._held.clear()

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete with these bytes."""
        keys = []
        for byte in data:
            key = self._take(byte)
            if key:
                keys.append(key)
            if len(self._held) > _LONGEST and not self.pasting:
                self.give_up()
        return keys

    def _take(self, byte: int) -> str:
        match self._at:
            case _At.GROUND:
                return self._plain(byte)
            case _At.ESCAPE:
                return self._after_escape(byte)
            case _At.CSI:
                return self._in_csi(byte)
            case _At.SS3:
                return self._in_ss3(byte)
            case _At.STRING | _At.STRING_ESCAPE:
                self._in_string(byte)
            case _At.SKIP:
                self._skip -= 1
                if self._skip <= 0:
                    self.give_up()
            case _At.PASTE:
                self._held.append(byte)
                del self._held[: -len(_END_PASTE)]
                if self._held == _END_PASTE:
                    self.give_up()
        return ""

    def _plain(self, byte: int) -> str:
        if byte == 0x1B:
            self._go(_At.ESCAPE)
        elif 0xC2 <= byte <= 0xF4:  # the rest of a letter in UTF-8, which may look like a control of 8 bits
            self._skip_next(1 + (byte >= 0xE0) + (byte >= 0xF0))
        elif 0x80 <= byte <= 0x9F:
            self._after_escape(byte - 0x40)
        elif byte == 0x08:
            return "\x7f"  # some terminals send it for Backspace
        elif byte < 0x80:
            return chr(byte)
        return ""

    def _after_escape(self, byte: int) -> str:
        match chr(byte):
            case "[":
                self._go(_At.CSI)
            case "O":
                self._go(_At.SS3)
            case "]" | "P" | "X" | "^" | "_":
                self._go(_At.STRING)
            case "\x1b":
                self._go(_At.ESCAPE)  # the first one stood alone
            case _ if 0x20 <= byte <= 0x2F:
                pass  # between ESC and its last byte
            case _:
                self.give_up()  # a key together with Alt
        return ""

    def _in_csi(self, byte: int) -> str:
        text = self._held.decode("ascii")
        if byte == 0x1B:
            self._go(_At.ESCAPE)
        elif byte == ord("[") and not text:
            self._skip_next(1)  # a function key of the Linux console: ESC [ [ A
        elif byte == ord("M") and not text:
            self._skip_next(_MOUSE_BYTES)
        elif byte == ord("$") and text.isdigit():
            self.give_up()  # rxvt ends a key together with Shift so
        elif 0x20 <= byte <= 0x3F:
            self._held.append(byte)
        else:
            self.give_up()
            if byte == ord("~") and text == _BEGIN_PASTE:
                self._go(_At.PASTE)
            elif 0x40 <= byte <= 0x7E:
                return _key(text, chr(byte))
        return ""

    def _in_ss3(self, byte: int) -> str:
        if byte == 0x1B:
            self._go(_At.ESCAPE)
        elif 0x30 <= byte <= 0x3F:
            self._held.append(byte)  # a key together with Shift or Ctrl
        else:
            alone = not self._held
            self.give_up()
            if alone:
                return _FINALS.get(chr(byte), "") or _KEYPAD.get(chr(byte), "")
        return ""

    def _in_string(self, byte: int) -> None:
        self._held.append(byte)
        if byte in (0x07, 0x9C) or (self._at is _At.STRING_ESCAPE and byte == ord("\\")):
            self.give_up()
        else:
            self._at = _At.STRING_ESCAPE if byte == 0x1B else _At.STRING

    def _go(self, at: _At) -> None:
        self.give_up()
        self._at = at

    def _skip_next(self, count: int) -> None:
        self._go(_At.SKIP)
        self._skip = count


def _key(parameters: str, final: str) -> str:
    """The key that a whole control sequence stands for; nothing together with Shift, Alt or Ctrl."""
    found = _PARAMETERS.fullmatch(parameters)
    if found is None:
        return ""
    number, modifiers, kind = (part or "" for part in found.groups())
    if kind not in _PRESSED or (int(modifiers or 1) - 1) & ~_LOCKS:
        return ""
    if final == "~":
        return _NUMBERED.get(number, "")
    return _FINALS.get(final, "") if number in ("", "1") else ""
