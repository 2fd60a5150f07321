"""Text as the speech engine gets it: in pieces that it can render in time, telephone numbers in digits."""

from __future__ import annotations

import re
import unicodedata

MOST_EFFORT = 300  # of one piece; a minute of speech at the most, which a busy small computer renders in time
# What a sign costs: a digit is a word, and a letter of a script without capitals may be read as its long name
# ("chinese letter") where the voice knows no better.
_DIGIT_EFFORT, _OTHER_LETTER_EFFORT = 4, 3
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])")
_PAUSE = re.compile(r"(?<=[,;:\u2013\u2014\u3001\uff0c\uff1b])\s*")
_BLANK = re.compile(r"\s+")
# Six digits or more in groups, such as "116 123"; no decimals, dates, years or thousands with commas.
_TELEPHONE = re.compile(
    r"(?<![\w.,:+])(?!\d{4}[\u2013-]\d\d)\+?\d(?:[ /()\u2013-]{0,2}\d){5,}(?![\w:])(?![.,]\d)"
)


def pieces(text: str) -> list[str]:
    """The text in pieces: whole where it is short, else parted at sentences, commas or blanks."""
    found = [text.strip()]
    for parting in (_SENTENCE_END, _PAUSE, _BLANK):
        found = [part for piece in found for part in _parted(piece, parting)]
    return [part for piece in found for part in _in_equal_parts(piece) if part]


def digit_by_digit(text: str) -> str:
    """Telephone numbers as they are dictated: "116 123" is no hundred and sixteen."""
    return _TELEPHONE.sub(lambda match: ", ".join(map(" ".join, re.findall(r"\+?\d+", match[0]))), text)


def _effort(text: str) -> int:
    return sum(
        _DIGIT_EFFORT if sign.isdigit() else _OTHER_LETTER_EFFORT if unicodedata.category(sign) == "Lo" else 1
        for sign in text
    )


def _parted(piece: str, parting: re.Pattern[str]) -> list[str]:
    """As few parts as can be, where the piece is too long."""
    if _effort(piece) <= MOST_EFFORT:
        return [piece]
    parts: list[str] = []
    begin = 0
    effort = MOST_EFFORT
    for end in [*(match.end() for match in parting.finditer(piece)), len(piece)]:
        part, begin = piece[begin:end], end
        cost = _effort(part)
        if effort + cost <= MOST_EFFORT:
            parts[-1] += part
            effort += cost
        else:
            parts.append(part)
            effort = cost
    return [part.strip() for part in parts]


def _in_equal_parts(piece: str) -> list[str]:
    """A word without end."""
    count = -(-_effort(piece) // MOST_EFFORT)
    if count <= 1:
        return [piece]
    size = -(-len(piece) // count)
    return [piece[at : at + size] for at in range(0, len(piece), size)]
