"""The wording: nothing is missing in any language, and a new language is only a matter of new files."""

from __future__ import annotations

import re
import shutil
import string
from pathlib import Path

import pytest

from voice_facilitator.display import frame
from voice_facilitator.display.key_table import KEYS
from voice_facilitator.display.routes import PAGE
from voice_facilitator.display.terminal import calmly
from voice_facilitator.files import protocols
from voice_facilitator.files.checked_toml import FileMistakes
from voice_facilitator.machine.resources import shipped
from voice_facilitator.session.events import Action, Enrolment, Floor, Part
from voice_facilitator.session.protocol import Listening

LANGUAGES = sorted(path.stem for path in shipped("config", "wording").glob("*.toml"))
ENGLISH = protocols.load_phrases("en-gb")


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_english_and_german_are_there() -> None:
    assert {"en-gb", "de"} <= set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_every_phrase_with_the_same_gaps(language: str) -> None:
    for own, english in (
        (protocols.load_phrases(language), ENGLISH),
        (protocols.load_wording(language).sentences, protocols.load_wording("en-gb").sentences),
    ):
        assert set(own) == set(english)
        assert {key: gaps(text) for key, text in own.items()} == {
            key: gaps(text) for key, text in english.items()
        }
        assert all(text.strip() for text in own.values())


def test_every_phrase_the_page_asks_for_is_there() -> None:
    asked: set[str] = set()
    built: set[str] = set()
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        asked |= set(re.findall(r'data-(?:words|label)="([^"]+)"', text))
        asked |= set(re.findall(r'say\("([^"]+)"', text))
        built |= set(re.findall(r"say\(`([a-z.-]+)\$\{", text))
    assert asked - set(ENGLISH) == set()
    assert {start for start in built if not any(key.startswith(start) for key in ENGLISH)} == set()


def test_every_phrase_made_from_a_state_is_there() -> None:
    keys = {floor.value for floor in Floor}
    keys |= {f"microphone.{state.value}" for state in frame.Microphone}
    keys |= {f"heard.{who.value}" for who in frame.Heard}
    keys |= {f"missing.{part.value}" for part in Part} - {"missing.microphone", "missing.hearing"}
    keys |= {f"voices.{quality.value}" for quality in Enrolment if quality is not Enrolment.NONE}
    keys |= {f"action.{action.value}" for action in Action} - {"action.phase"}
    keys |= {frame.consent(kind, understands=knows) for kind in Listening for knows in (False, True)}
    keys |= {f"asks.{action.value}" for action in (Action.END, Action.RESUME)}
    keys |= {f"number.{count}" for count in (*range(1, 11), *range(15, 61, 5))}
    assert keys - set(ENGLISH) == set()
    assert {key.action for key in KEYS} == set(Action) - {Action.PHASE}


def test_every_phrase_is_used_somewhere() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in PAGE.iterdir())
    package = Path(protocols.__file__).parents[1]
    for folder in ("display", "app", "tools"):
        code += "".join(path.read_text(encoding="utf-8") for path in (package / folder).glob("*.py"))
    made = (
        "action.",
        "microphone.",
        "missing.",
        "voices.",
        "heard.",
        "number.",
        "setup.microphone.",
        "setup.test.",
    )
    made += ("calm.", "connecting.", "over.", "no-key.", "full.", "preparing.", "summary.", "trouble.")
    made += ("asks.", "consent.")
    plain = [key for key in ENGLISH if not key.startswith(made)]
    unused = [key for key in plain if not re.search(rf"[\"'`\[]{re.escape(key)}[\"'`\]]", code)]
    assert set(unused) <= {floor.value for floor in Floor}


def _copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration in a folder of the test's own."""
    shutil.copytree(shipped("config"), folder / "config")
    monkeypatch.setattr(protocols, "shipped", folder.joinpath)
    return folder / "config"


def test_a_missing_phrase_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _copy(tmp_path, monkeypatch) / "wording" / "de.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r'(?m)^"(paused\.text|undone)" = .*\n', "", text), encoding="utf-8")
    with pytest.raises(FileMistakes) as caught:
        protocols.load_wording("de")
    assert '[sentences] lacks "undone". In English: "Undone."' in caught.value.message
    assert '[display] lacks "paused.text".' in caught.value.message


def test_a_new_language_is_two_new_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _copy(tmp_path, monkeypatch)
    english = (config / "wording" / "en-gb.toml").read_text(encoding="utf-8")
    (config / "wording" / "nl.toml").write_text(
        english.replace('language = "en-gb"', 'language = "nl"').replace('"Everyone"', '"Iedereen"'),
        encoding="utf-8",
    )
    (config / "protocols" / "balint-45-nl.toml").write_text(
        'based_on = "balint-45"\ntitle = "Balintgroep"\nlanguage = "nl"\n', encoding="utf-8"
    )
    found = protocols.load("balint-45-nl")
    assert (found.language, len(found.phases)) == ("nl", 8)
    assert protocols.load_phrases("nl")["everyone"] == "Iedereen"
    assert protocols.load_wording("nl").language == "nl"


@pytest.mark.parametrize("name", [name for name in protocols.names() if not name.endswith("-de")])
def test_each_format_is_there_in_german_with_the_same_frame(name: str) -> None:
    english, german = protocols.load(name), protocols.load(f"{name}-de")
    assert german.language == "de"

    def frame_of(protocol: protocols.Protocol) -> list[object]:
        return [
            (
                *(phase.name, phase.seconds, phase.floor, phase.elasticity, phase.grace_seconds),
                *(phase.reminders, phase.enrols_presenter, phase.hears_others, phase.holds_silence),
                *(phase.new_presenter, [(cue.seconds_left, cue.kind) for cue in phase.cues]),
            )
            for phase in protocol.phases
        ]

    assert frame_of(german) == frame_of(english)
    for own, other in zip(german.phases, english.phases, strict=True):
        for text in ("title", "hint", "announcement"):
            assert getattr(own, text) != getattr(other, text), (own.name, text)
        assert gaps(own.announcement) == gaps(other.announcement)
        assert [cue.text for cue in own.cues] != [cue.text for cue in other.cues] or not own.cues


POLISH = {"one": "minuta", "few": "{count} minuty", "many": "{count} minut"}
ARABIC = {
    "one": "دقيقة",
    "two": "دقيقتان",
    "few": "{count} دقائق",
    "many": "{count} دقيقة",
    "other": "{count} دقيقة",
}
CZECH = {"one": "minuta", "few": "{count} minuty", "other": "{count} minut"}


def _counting(config: Path, language: str, forms: dict[str, str]) -> None:
    """A wording in `language` that is English but for its minutes."""
    text = (config / "wording" / "en-gb.toml").read_text(encoding="utf-8")
    text = re.sub(r'(?m)^"(minutes|calm)\.(one|other)" = .*\n', "", text)
    text = text.replace('language = "en-gb"', f'language = "{language}"')
    for table, family in (("[sentences]", "minutes"), ("[display]", "calm")):
        lines = "".join(f'"{family}.{form}" = "{said}"\n' for form, said in forms.items())
        text = text.replace(f"{table}\n", f"{table}\n{lines}")
    (config / "wording" / f"{language}.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("language", "forms", "said"),
    [
        ("pl", POLISH, {1: "minuta", 3: "3 minuty", 5: "5 minut", 12: "12 minut", 22: "22 minuty"}),
        ("cs", CZECH, {1: "minuta", 4: "4 minuty", 5: "5 minut", 22: "22 minut"}),
        ("ar", ARABIC, {2: "دقيقتان", 5: "5 دقائق", 15: "15 دقيقة", 100: "100 دقيقة"}),
        ("ja", {"other": "{count}分"}, {1: "1分", 20: "20分"}),
        ("tlh", {"other": "{count} tup"}, {1: "1 tup"}),
    ],
)
def test_a_language_counts_with_all_the_forms_it_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    forms: dict[str, str],
    said: dict[int, str],
) -> None:
    _counting(_copy(tmp_path, monkeypatch), language, forms)
    wording = protocols.load_wording(language)
    assert {count: wording.minutes(count * 60) for count in said} == said
    phrases = {**protocols.load_phrases(language), **{f"number.{count}": str(count) for count in said}}
    near = {count: text for count, text in said.items() if count <= 10}
    assert {count: calmly(count * 60, phrases) for count in near} == near
    if len(forms) > 1:
        assert wording.minutes(0) == "less than a minute"


def test_the_forms_a_language_lacks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _counting(_copy(tmp_path, monkeypatch), "pl", {"one": "minuta", "other": "{count} minut"})
    with pytest.raises(FileMistakes) as caught:
        protocols.load_wording("pl")
    for key in ('[sentences] lacks "minutes.few"', '[sentences] lacks "minutes.many"', '"calm.few"'):
        assert key in caught.value.message
    assert "has it for 2, 3, 4 ..." in caught.value.message
    assert caught.value.count == 4, "other is for fractions there"


def test_a_form_for_many_numbers_says_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _copy(tmp_path, monkeypatch)
    _counting(config, "ru", {"one": "одна минута", "few": "{count} минуты", "many": "{count} минут"})
    with pytest.raises(FileMistakes) as caught:
        protocols.load_wording("ru")
    lines = (config / "wording" / "ru.toml").read_text(encoding="utf-8").splitlines()
    first = caught.value.mistakes[0]
    assert first.message == "minutes.one: it stands for 1, 21, 31 ..., so it needs {count}."
    assert first.line == lines.index('"minutes.one" = "одна минута"') + 1


def test_a_mistake_in_any_sentence_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _copy(tmp_path, monkeypatch) / "wording" / "de.toml"
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    for key in ("minutes.other", "lost.microphone", "setup.commands.unmeasured", "paused"):
        number = next(n for n, line in enumerate(lines) if line.startswith(f'"{key}" = '))
        file.write_text("\n".join([*lines[:number], f'"{key}" = "{{oops}}"', *lines[number + 1 :]]), "utf-8")
        with pytest.raises(FileMistakes) as caught:
            protocols.load_wording("de")
        assert number + 1 in [mistake.line for mistake in caught.value.mistakes], key
