"""Which of the engine's voices we take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# macOS lists its joke voices ("Grandpa", "Bubbles") among the others of a language; these are the calm ones.
_CALM = ("daniel", "serena", "kate", "oliver", "samantha", "anna", "thomas")
# espeak-ng lists these even when the program they need (mbrola) is missing; then they fail.
_NEEDS_MORE = "mb/"


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of the speech engine. `language`: such as "en-gb"; empty where the engine does not tell."""

    id: str
    name: str
    language: str


def named(voices: Sequence[Voice], wanted: str) -> Voice | None:
    """The voice whose id or name is, or else contains, `wanted`; case does not matter."""
    word = wanted.strip().casefold()
    if not word:
        return None
    for voice in voices:
        if word in (voice.id.casefold(), voice.name.casefold()):
            return voice
    return next((v for v in voices if word in v.name.casefold() or word in v.id.casefold()), None)


def for_language(voices: Sequence[Voice], language: str) -> Voice | None:
    """The voice that fits a language such as "en-gb" best; None where not even the "en" fits."""
    wanted = tidy_language(language)

    def fit(voice: Voice) -> tuple[int, bool]:
        spoken = voice.language
        base = wanted.split("-")[0]
        if spoken == wanted:
            closeness = 4
        elif spoken.startswith(wanted + "-"):
            closeness = 3
        elif spoken == base:
            closeness = 2
        elif spoken.split("-")[0] == base:
            closeness = 1
        else:
            closeness = 0
        return closeness, voice.name.casefold().split(" ")[0] in _CALM

    fitting = [voice for voice in voices if fit(voice)[0] and not voice.id.startswith(_NEEDS_MORE)]
    return max(fitting, key=fit, default=None)


def tidy_language(raw: str) -> str:
    """ "en_GB" or "EN-GB" as "en-gb"; espeak-ng puts control characters in front."""
    return "".join(sign for sign in raw if sign.isprintable()).strip().lower().replace("_", "-")
