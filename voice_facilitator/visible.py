"""Text from elsewhere (files, device names, file names), made safe to show."""

from __future__ import annotations

import re

# What moves a cursor, clears a screen, sets a title or turns the order of letters round without being seen:
# control characters (C0, C1), separators of lines and paragraphs, bidirectional overrides and isolates,
# hidden tags. Joiners and plain direction marks belong to Persian, Hebrew, Hindi ... and stay.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_LAYOUT = "\n\t"


def visible(text: str, *, layout: bool = False) -> str:
    """`text` with everything that acts on a display written out ("\\x1b"); what is no letter in any encoding
    is shown as the sign for that. layout: line breaks and tabs stay."""

    def written_out(match: re.Match[str]) -> str:
        sign = match[0]
        if layout and sign in _LAYOUT:
            return sign
        if "\ud800" <= sign <= "\udfff":  # half a pair, or a byte of a file name in another encoding
            return "\ufffd"
        return sign.encode("unicode_escape").decode("ascii")

    return _HIDDEN.sub(written_out, text)


def in_one_line(text: str) -> str:
    """`text` made visible, for a title or a name: line breaks and tabs are blanks."""
    return visible(" ".join(text.split()))


def shortened(text: str, most: int) -> str:
    """`text`, or its beginning where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"
