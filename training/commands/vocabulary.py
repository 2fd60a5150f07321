"""What the command model can hear: phones, words with their pronunciations, and sentences to train on.

Pronunciations come from the CMU dictionary inside the pocketsphinx wheel, word frequencies from the language
model beside it. A word that the dictionary lacks is written down in EXTRA, or espeak-ng is asked for it.
"""

from __future__ import annotations

import math
import re
import subprocess
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from pocketsphinx import Config, LogMath, NGramModel, get_model_path

SILENCE = "SIL"
PHONES = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
).split()
PDF = {SILENCE: 0} | {phone: number + 1 for number, phone in enumerate(PHONES)}

EXTRA: dict[str, list[str]] = {"facilitator": ["F AH S IH L IH T EY T ER", "F AH S IH L AH T EY D ER"]}

# espeak-ng's phones (IPA, longest first) as the dictionary writes them.
FROM_IPA: dict[str, str] = dict(
    entry.strip().split(maxsplit=1)
    for entry in """
tʃ CH; dʒ JH; eɪ EY; aɪ AY; ɔɪ OY; oʊ OW; əʊ OW; aʊ AW; iə IY AH; ɪə IH R; eə EH R; ʊə UH R; əl AH L; ɑː AA;
ɔː AO; ʉː UW; ʉ UW; ʌʉ AW; æʊ AW; ɑə AA; oə AO; eː EY; oːɹ AO R; or AO R; ɜ ER; uː UW; iː IY; ɜː ER; oː OW;
ɚ ER; ɹ R; r R; æ AE; a AE; ʌ AH; ɐ AH; ə AH; ɛ EH; e EH; ɪ IH; ᵻ IH; i IY; ɒ AA; ɑ AA; ɔ AO; o OW; ʊ UH;
u UW; ʃ SH; ʒ ZH; θ TH; ð DH; ŋ NG; ɡ G; g G; ɾ D; j Y; x K; ɬ L; ʔ T; h HH
""".split(";")
) | {letter: letter.upper() for letter in "bdfklmnpstvwz"}

ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-gb-x-gbclan")

# Asked of the model besides the phrases of config/commands: other ways of saying the same, numbers, answers.
SYNONYMS = """
move to the next part; skip this part; carry on; please continue; hold on; break; how much longer;
what time is it; ten more minutes; one more minute; three more minutes; say that again; say it again; again;
stop the reminders; just the timer; take it back; cancel; cancel that; stop the session; close the session;
okay; correct; never mind; be quiet; help; status; yes please; no thanks; start; begin; continue the session
""".strip()


def phrases(config: Path) -> tuple[str, list[str]]:
    """The prefix word and every phrase of one file of config/commands."""
    content = tomllib.loads(config.read_text(encoding="utf-8"))
    listed = [phrase for command in content["command"] for phrase in command["phrases"]]
    return content["prefix"], [*listed, *bare(config)]


def bare(config: Path) -> list[str]:
    """The phrases of it that need no prefix."""
    content = tomllib.loads(config.read_text(encoding="utf-8"))
    return [phrase for command in content["command"] for phrase in command.get("bare", [])]


def synonyms() -> list[str]:
    return [" ".join(each.split()) for each in SYNONYMS.split(";")]


@cache
def dictionary() -> dict[str, list[list[str]]]:
    """Word → pronunciations, each a list of ARPAbet phones without stress."""
    found: dict[str, list[list[str]]] = {}
    with Path(get_model_path("en-us"), "cmudict-en-us.dict").open(encoding="utf-8") as file:
        for line in file:
            word, *phones = line.split()
            found.setdefault(re.sub(r"\(\d+\)$", "", word), []).append(phones)
    for word, more in EXTRA.items():
        known = found.setdefault(word, [])
        known += [each.split() for each in more if each.split() not in known]
    return found


@cache
def pronunciations(word: str) -> tuple[tuple[str, ...], ...]:
    """From the dictionary, else from espeak-ng (which also reads numbers); empty if neither can say it."""
    if word in dictionary():
        return tuple(tuple(phones) for phones in dictionary()[word])
    phones = as_espeak_says(word, "en-us")
    return (phones,) if phones else ()


@cache
def in_accents(word: str) -> tuple[tuple[str, ...], ...]:
    """As `pronunciations`, and as it is said where an r is heard only before a vowel, in Scotland and so on.

    Without them a model made from an American dictionary is half deaf to "facilitator" without its last r.
    """
    more = (as_espeak_says(word, accent) for accent in ACCENTS)
    return tuple(dict.fromkeys([*pronunciations(word), *(phones for phones in more if phones)]))


def as_espeak_says(word: str, accent: str) -> tuple[str, ...]:
    if (word, accent) not in _asked:
        ask_espeak([word], [accent])
    return _asked[word, accent]


def ask_espeak(words: Sequence[str], accents: Sequence[str] = ACCENTS) -> None:
    """Ask for many words at once: starting espeak-ng takes longer than saying them."""
    pattern = "|".join(sorted(FROM_IPA, key=len, reverse=True))
    for accent in accents:
        command = ["espeak-ng", "-q", "--ipa", "-v", accent, "--stdin"]
        asked = "\n\n".join(words) + "\n"
        written = subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout
        lines = [line for line in written.splitlines() if line.strip()]
        if len(lines) != len(words):  # a word that espeak-ng reads as several, or not at all
            if len(words) == 1:
                lines = [" ".join(lines)]
            else:
                for half in (words[: len(words) // 2], words[len(words) // 2 :]):
                    ask_espeak(half, [accent])
                continue
        for word, line in zip(words, lines, strict=True):
            bare_line = re.sub("[ˈˌ]", "", line)  # stress marks part what belongs together
            phones = " ".join(FROM_IPA[found] for found in re.findall(pattern, bare_line))
            _asked[word, accent] = tuple(phones.split())


_asked: dict[tuple[str, str], tuple[str, ...]] = {}  # word and accent → phones


@cache
def frequencies() -> list[tuple[str, float]]:
    """Ordinary words, the most frequent first, with their natural log probability."""
    model = NGramModel(Config(), LogMath(), str(Path(get_model_path("en-us"), "en-us.lm.bin")))
    base = math.log(1.0001)  # pocketsphinx counts in this base
    words = [word for word in dictionary() if re.fullmatch(r"[a-z]+('[a-z]+)?", word)]
    words = [word for word in words if len(word) > 1 or word in {"a", "i"}]
    scored = [(word, base * model.prob([word])) for word in words]
    return sorted(scored, key=lambda pair: -pair[1])


def sounding_like(words: set[str], of: int = 20_000) -> list[str]:
    """Of so many frequent words those one phone away from one of `words`; and the words themselves."""

    def blurred(phones: tuple[str, ...]) -> set[tuple[str, ...]]:
        one_other = {(*phones[:k], "?", *phones[k + 1 :]) for k in range(len(phones))}
        return one_other | {(*phones[:k], "?", *phones[k:]) for k in range(len(phones) + 1)}

    # two words that share a blurred form differ by one phone: another, one more or one less
    forms = {form for word in words for phones in pronunciations(word) for form in blurred(phones)}
    frequent = [word for word, _ in frequencies()[:of]]
    near = [word for word in frequent if any(blurred(phones) & forms for phones in pronunciations(word))]
    return sorted({*near, *words})


def sentence(
    rng: np.random.Generator, commands: list[str], prefix: str, texts: list[str], share: float
) -> str:
    """One sentence to say: a command (that share of them), its words in other company, or ordinary words."""
    if rng.random() < share:
        return f"{prefix} {rng.choice(commands)}"
    kind = rng.uniform(0.3, 1.0)
    if kind < 0.36:
        return str(rng.choice(commands))
    common = frequencies()[:6000]
    weights = 1 / (np.arange(len(common)) + 40.0) ** 0.75
    weights /= weights.sum()
    ordinary = [common[k][0] for k in rng.choice(len(common), size=9, p=weights)]
    if kind < 0.5:
        pool = " ".join([*commands, prefix, prefix]).split()
        mixed = [str(rng.choice(pool)) if rng.random() < 0.6 else word for word in ordinary]
        return " ".join(mixed[: rng.integers(2, 6)])
    if kind < 0.7 and texts:
        words = str(rng.choice(texts)).split()
        start = rng.integers(0, max(1, len(words) - 4))
        return " ".join(words[start : start + 9])
    return " ".join(ordinary[: rng.integers(3, 10)])
