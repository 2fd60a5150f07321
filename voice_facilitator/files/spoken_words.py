"""Words that people say to the program, as they are written in files: phrases and the prefix before them."""

from __future__ import annotations

import re
import unicodedata

_INSIDE = "'-\u200c\u200d"  # apostrophes, hyphens, and the joiners of Persian and Hindi


def spoken(text: str) -> str:
    """`text` composed, with one kind of apostrophe: the same word is the same text, as recognisers have it.

    Raises ValueError where it is anything but words of any language.
    """
    text = re.sub("[\u2018\u2019\u02bc]", "'", unicodedata.normalize("NFC", text))
    if not all(map(_is_word, text.split(" "))):
        raise ValueError("use words with single spaces between them, numbers written out")
    return text


def _is_word(word: str) -> bool:
    is_letter = [sign.isalpha() or unicodedata.category(sign).startswith("M") for sign in word]
    whole = all(good or sign in _INSIDE for sign, good in zip(word, is_letter, strict=True))
    return whole and any(is_letter) and word.strip("-") == word
