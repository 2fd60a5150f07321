"""Which form of a word goes with a number ("1 minute", "2 minutes") in a language, by the Unicode CLDR."""

from __future__ import annotations

import functools
from collections.abc import Callable

from babel import Locale, UnknownLocaleError

_COUNTED = range(1, 1001)  # no whole number above has a form that none of these has; nought is said otherwise


@functools.cache
def rule_of(language: str) -> Callable[[int], str]:
    """Gives the form for a number: "one", "two", "few", "many" or "other". language: such as "en-gb"."""
    try:
        return Locale.parse(language, sep="-").plural_form
    except (UnknownLocaleError, ValueError):
        return lambda _: "other"


@functools.cache
def forms_of(language: str) -> dict[str, tuple[int, ...]]:
    """The forms that whole numbers need in `language`, each with the first numbers it stands for."""
    rule = rule_of(language)
    found: dict[str, tuple[int, ...]] = {}
    for number in _COUNTED:
        known = found.setdefault(rule(number), ())
        if len(known) < 3:
            found[rule(number)] = (*known, number)
    return found
