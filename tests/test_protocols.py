"""Protocol files: what they may say, and how their mistakes are told."""

from __future__ import annotations

import itertools
import pickle
import re
import string
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from tests.support.plays import wording
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import checked_toml, phrases, protocols
from voice_facilitator.files.checked_toml import FileMistakes, did_you_mean
from voice_facilitator.machine.resources import shipped
from voice_facilitator.session import events as ev
from voice_facilitator.session.protocol import Elasticity, Protocol

GOOD = """
title = "Mine"
language = "en-gb"
goodbye = "Goodbye."

[[phase]]
name = "talk"
title = "Talk"
minutes = 10
floor = "everyone"
announcement = "You have {minutes}."
[[phase.cue]]
seconds_left = 60
kind = "voice"
text = "{minutes} left."
"""


def load(folder: Path, text: str | bytes) -> Protocol:
    path = folder / "mine.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return protocols.load(str(path))


def mistakes(folder: Path, text: str) -> list[str]:
    """The lines of the message, without the folder."""
    with pytest.raises(FileMistakes) as caught:
        load(folder, text)
    assert caught.value.exit_code is ExitCode.BAD_FILE
    return caught.value.message.replace(f"{folder}/", "").splitlines()


# ------------------------------------------------------------ good files


def test_a_protocol_of_ones_own(tmp_path: Path) -> None:
    mine = load(tmp_path, GOOD)
    assert (mine.name, mine.seconds, mine.phases[0].cues[0].seconds_left) == ("mine", 600, 60)


def test_a_protocol_built_on_another(tmp_path: Path) -> None:
    mine = load(
        tmp_path,
        """
        based_on = "balint-45"
        omit = ["questions"]
        title = "Mine"
        [change.story]
        minutes = 9
        [[change.story.cue]]
        seconds_left = 30
        kind = "chime"
        text = "{minutes} left."
    """,
    )
    base = protocols.load("balint-45")
    assert [phase.name for phase in mine.phases] == [p.name for p in base.phases if p.name != "questions"]
    story = mine.phases[3]
    assert (story.seconds, story.cues[0].seconds_left, mine.title) == (540, 30, "Mine")
    assert (story.announcement, mine.goodbye) == (base.phases[3].announcement, base.goodbye)


@pytest.mark.parametrize("name", protocols.names())
def test_the_shipped_protocols_keep_the_frame(name: str) -> None:
    shipped_one = protocols.load(name)
    assert shipped_one.language == ("de" if name.endswith("-de") else "en-gb")
    assert shipped_one.phases[0].name == "welcome"
    welcome = shipped_one.phases[0].announcement
    english = ("stays here", "stay silent", "you may leave", "{stop}", "{listening}", "{opt_out}")
    german = ("bleibt hier", "schweigen", "jederzeit gehen", "{stop}", "{listening}", "{opt_out}")
    for words in german if name.endswith("-de") else english:
        assert words in " ".join(welcome.split())
    assert "{contacts}" in shipped_one.phases[-1].announcement
    for phase in shipped_one.phases:
        if phase.name.startswith("last-word"):
            assert phase.elasticity is Elasticity.PROTECTED
        if phase.name.startswith("discussion"):
            assert (phase.elasticity, phase.holds_silence) == (Elasticity.FLEXIBLE, True)
            assert phase.grace_seconds == 60
        if phase.name.startswith("story"):
            assert phase.grace_seconds == 30
    assert shipped_one.phases[-1].grace_seconds == 15


def test_there_are_five_in_two_languages() -> None:
    five = ["balint-45", "balint-60", "balint-90", "balint-90-two-cases", "balint-plain"]
    assert protocols.names() == sorted(five + [f"{name}-de" for name in five])


def test_a_protocol_may_build_on_one_that_builds_on_another(tmp_path: Path) -> None:
    found = load(tmp_path, 'based_on = "balint-60-de"\n[change.story]\nminutes = 9\n')
    assert (found.language, found.phases[3].title, found.phases[3].seconds) == ("de", "Die Geschichte", 540)
    assert found.phases[5].seconds == protocols.load("balint-60").phases[5].seconds


def test_another_length_is_taken_from_the_discussion_and_never_from_the_last_word() -> None:
    for name in protocols.names():
        whole = protocols.load(name)
        least, most = protocols.minutes_of(whole)
        assert least < whole.seconds / 60 < most
        for minutes in (least, most):
            other = protocols.with_minutes(whole, minutes)
            assert other.seconds == pytest.approx(minutes * 60)
            for phase, before in zip(other.phases, whole.phases, strict=True):
                assert all(cue.seconds_left < phase.seconds for cue in phase.cues)
                if phase.name.startswith("last-word"):
                    assert phase.seconds >= before.seconds
        with pytest.raises(FacilitatorError, match="cannot be held in"):
            protocols.with_minutes(whole, least - 1)


def test_every_sentence_the_session_needs_is_there() -> None:
    needed = {f"{state}.{part.value}" for state in ("lost", "back") for part in ev.Part}
    needed |= {"minutes.none", "minutes.one", "minutes.other", "contacts", "refused", "ask-end", "undone"}
    needed |= {"paused", "paused.asleep", "resumed", "time-left", "time-changed", "reminders-stopped"}
    needed |= {"timer-only"}
    needed |= {"reminder.screen", "reminder.voice", "enrolment.poor", "enrolment.ambiguous"}
    assert needed <= set(wording().sentences)


def test_what_is_rendered_beforehand_holds_no_open_gap() -> None:
    for name in protocols.names():
        texts = protocols.sentences_of(protocols.load(name), wording(), ("The chaplain",))
        assert all(text and "{" not in text for text in texts)
        assert any("on the screen" in text for text in texts)
        assert not any("The chaplain" in text for text in texts), "numbers are shown and not read out"


# ------------------------------------------------------------ short enough for the ear


def seconds_of(text: str) -> float:
    """How long it takes at 150 words a minute."""
    return len(text.split()) / 150 * 60


@pytest.mark.parametrize("name", protocols.names())
def test_no_announcement_is_longer_than_people_listen(name: str) -> None:
    """20 seconds; the welcome, which says what people agree to, has 40. In every mode."""
    protocol = protocols.load(name)
    found = phrases.load(protocol.language)
    plain = protocols.load_wording(protocol.language)
    for understands, timer_only in itertools.product((False, True), (False, True)):
        known = replace(
            plain,
            prefix=found.written_prefix,
            timer_only=found.shown_for(ev.Action.TIMER_ONLY) if understands else "",
            stop=found.shortest_for(ev.Action.PAUSE) if understands else "",
        )
        first, *others = protocols.sentences_of(protocol, known, ("Somebody",), timer_only=timer_only)
        assert first.startswith(("Welcome", "Willkommen"))
        assert seconds_of(first) <= 40, first
        too_long = {text: seconds_of(text) for text in others if seconds_of(text) > 20}
        assert too_long == {}


@pytest.mark.parametrize("language", ["en-gb", "de"])
def test_no_other_sentence_is_longer_either(language: str) -> None:
    sentences = protocols.load_wording(language).sentences
    gap = "Questions of fact"  # as long as a title
    filled = {key: re.sub(r"\{\w+\}", gap, text) for key, text in sentences.items()}
    # what a welcome is made of is measured with the welcome
    assert {k: t for k, t in filled.items() if seconds_of(t) > 20 and not k.startswith("listening.")} == {}


def test_english_speaks_as_people_do() -> None:
    """Contractions: without them it sounds like a lift. The presenter is never "the doctor" of the room."""
    texts = list(protocols.load_wording("en-gb").sentences.values())
    texts += list(protocols.load_phrases("en-gb").values())
    texts += [p.announcement for name in protocols.names() for p in protocols.load(name).phases]
    stiff = re.compile(
        r"\b(cannot|do not|does not|did not|is not|are not|will not|I am|I have|let us)\b", re.I
    )
    found = [text for text in texts if stiff.search(text)]
    assert found == []


# ------------------------------------------------------------ mistakes


def test_all_mistakes_at_once_with_line_and_did_you_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_toml, "_MOST_SHOWN", 12)
    found = mistakes(
        tmp_path,
        """title = "x"
langauge = "en-gb"
goodbye = "Bye {minuts}."
[[phase]]
name = "Last Word"
title = ""
minutes = -3
floor = "presentr"
announcement = "Well} then."
reminders = "yes"
[[phase.cue]]
seconds_left = 30
kind = "bell"
text = 7
""",
    )
    assert found == [
        'mine.toml: "language" is missing.',
        'mine.toml, line 2: "langauge" is not known here. Did you mean "language"?',
        "mine.toml, line 3: goodbye: {minuts} cannot be filled in; known here: {minutes}, {contacts}, "
        '{listening}, {opt_out}, {stop}, {voices} (it is "Bye {minuts}.").',
        "mine.toml, line 5: phase.name: use small letters, digits and hyphens only, such as last-word "
        '(it is "Last Word").',
        'mine.toml, line 6: phase.title must not be empty (it is "").',
        "mine.toml, line 7: phase.minutes must be more than 0 (it is -3).",
        'mine.toml, line 8: phase.floor cannot be "presentr". Did you mean "presenter"?',
        "mine.toml, line 9: phase.announcement: a curly brace has no partner; "
        'for a plain brace write it twice (it is "Well} then.").',
        'mine.toml, line 10: phase.reminders must be true or false, without quotes (it is "yes").',
        "mine.toml, line 12: Last Word is not longer than this cue's 30 seconds. "
        "Give fewer seconds or more minutes.",
        'mine.toml, line 13: phase.cue.kind cannot be "bell". Known here: chime, screen, voice.',
        "mine.toml, line 14: phase.cue.text must be text in quotes (it is 7).",
    ]


def test_mistakes_in_a_file_built_on_another(tmp_path: Path) -> None:
    assert mistakes(
        tmp_path,
        """based_on = "balint-45"
omit = ["quest"]
titel = "x"
[change.storry]
minuts = 3
minutes = "eight"
[change.story]
minuts = 4
minutes = "long"
""",
    ) == [
        'mine.toml, line 2: balint-45 has no phase "quest". Did you mean "questions"?',
        'mine.toml, line 3: "titel" is not known here. Did you mean "title"?',
        'mine.toml, line 4: balint-45 has no phase "storry". Did you mean "story"?',
        'mine.toml, line 5: "minuts" is not known here. Did you mean "minutes"?',
        'mine.toml, line 6: minutes must be a number (it is "eight").',
        'mine.toml, line 8: "minuts" is not known here. Did you mean "minutes"?',
        'mine.toml, line 9: minutes must be a number (it is "long").',
    ]


def test_what_does_not_fit_together(tmp_path: Path) -> None:
    text = GOOD.replace("minutes = 10", "minutes = 0.5").replace('"everyone"', '"everyone"\nreminders = true')
    text = text.replace('goodbye = "Goodbye."', 'goodbye = "Goodbye."\nclosing_seconds = 40')
    assert [line.partition(": ")[2] for line in mistakes(tmp_path, text + text.partition("\n\n")[2])] == [
        "closing_seconds must be shorter than the last phase, talk (it is 40).",
        'talk has reminders, but everybody may speak there. Reminders need floor = "group".',
        "talk has reminders, but the presenter's voice is not learnt before it. "
        "Set enrols_presenter = true in the story.",
        "talk is not longer than this cue's 60 seconds. Give fewer seconds or more minutes.",
        'there are two phases called "talk". Each needs a name of its own.',
        'talk has reminders, but everybody may speak there. Reminders need floor = "group".',
        "talk has reminders, but the presenter's voice is not learnt before it. "
        "Set enrols_presenter = true in the story.",
        "talk is not longer than this cue's 60 seconds. Give fewer seconds or more minutes.",
    ]


def test_a_change_that_does_not_fit_the_rest_is_told_where_it_was_made(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, 'based_on = "balint-45"\n\n[change.discussion]\nfloor = "everyone"\n')
    assert found.startswith("mine.toml, line 3: discussion has reminders, but everybody may speak there.")
    (found,) = mistakes(tmp_path, 'based_on = "balint-45"\nomit = ["story"]\n')
    assert "the presenter's voice is not learnt" in found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('based_on = "balint-46"', 'line 1: there is no protocol "balint-46" to build on.'),
        ("based_on = 5", 'line 1: there is no protocol "5" to build on.'),
        (
            'based_on = "balint-45"\nomit = 5',
            'line 2: omit must be a list of phase names, such as ["questions"].',
        ),
        ('based_on = "balint-45"\nchange = 3', "line 2: change must be a table for each phase"),
        ("title = 'x", "line 1: this is not valid TOML"),
        ("a = 1\na = 2", "line 2: this is not valid TOML"),
        ("phase = []", "phase needs at least one entry."),
        ("phase = 3", "phase must be a list (it is 3)."),
        (GOOD.replace("10", "inf"), "line 9: phase.minutes must be an ordinary number (it is inf)."),
        (GOOD.replace("10", "true"), "line 9: phase.minutes must be a number (it is true)."),
        (GOOD.replace("{minutes}.", "{minutes!r}"), "{minutes!r} cannot be filled in"),
        (GOOD.replace("{minutes}.", "{minutes:>99999999}"), "{minutes:>99999999} cannot be filled in"),
        (GOOD.replace("{minutes}.", "{}"), "{} cannot be filled in"),
        (GOOD.replace("en-gb", "English"), "use a language code in small letters, such as en-gb"),
    ],
)
def test_single_mistakes(tmp_path: Path, text: str, says: str) -> None:
    assert says in "\n".join(mistakes(tmp_path, text))


def test_an_unknown_name_suggests_a_known_one() -> None:
    with pytest.raises(FacilitatorError) as caught:
        protocols.load("balint-54")
    assert caught.value.hint == 'Did you mean "balint-45"?'


@pytest.mark.parametrize("name", ["", ".", "..", "nowhere/x.toml", "\0", "a\nb", "x" * 5000, "config"])
def test_odd_names_are_refused_plainly(name: str) -> None:
    with pytest.raises(FacilitatorError):
        protocols.load(name)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"\x00" * 10, b"RIFF....WAVEfmt ", b"a" * 1_000_001, b""]
)
def test_another_file_by_mistake(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FacilitatorError) as caught:
        load(tmp_path, content)
    assert caught.value.exit_code is ExitCode.BAD_FILE


def test_mistakes_cross_a_process_border_whole(tmp_path: Path) -> None:
    with pytest.raises(FileMistakes) as caught:
        load(tmp_path, "titel = 1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.as_dict(), again.exit_code) == (caught.value.as_dict(), ExitCode.BAD_FILE)
    assert again.as_dict()["mistakes"]


def test_wording_in_an_unknown_language_is_refused() -> None:
    with pytest.raises(FacilitatorError, match='no sentences for the language "en-us"'):
        protocols.load_wording("en-us")


# ------------------------------------------------------------ anything at all


def _quoted(text: str) -> str:
    return '"' + "".join(c if c.isalnum() or c in " -_.{}!:" else f"\\u{ord(c):04x}" for c in text) + '"'


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    return str(value)


letters = st.text(alphabet=string.ascii_letters + ' -.{}!:\u00e9"\n', max_size=12)
keys = st.sampled_from(
    [
        *("title", "language", "goodbye", "phase", "closing_seconds", "based_on", "omit", "change", "name"),
        *("minutes", "floor", "announcement", "cue", "grace_seconds", "elasticity", "reminders", "hint"),
        *("seconds_left", "kind", "text", "story", "discussion", "enrols_presenter", "new_presenter"),
    ]
)
scalars = st.one_of(
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(),
    letters,
    st.sampled_from(["balint-45", "story", "group", "everyone", "voice", "en-gb", "{minutes}", 5, 0.5]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | letters, inner, max_size=5),
    max_leaves=20,
)
changes = st.dictionaries(keys, values, max_size=4)


def _refused_or_usable(text: str, folder: Path) -> None:
    try:
        found = load(folder, text)
    except FacilitatorError as error:
        assert error.message
        if isinstance(error, FileMistakes):
            lines = text.count("\n") + 1
            assert all(mistake.line is None or 1 <= mistake.line <= lines for mistake in error.mistakes)
            assert "input should" not in error.message.lower(), error.message
    else:
        assert protocols.sentences_of(found, wording(), ("x",)) is not None


@tries(250)
@given(st.dictionaries(keys, values, max_size=6))
def test_any_data_is_a_protocol_or_a_list_of_mistakes(tmp_path: Path, data: dict[str, Any]) -> None:
    _refused_or_usable("\n".join(f"{key} = {as_toml(value)}" for key, value in data.items()), tmp_path)


@tries(250)
@given(top=changes, phase=changes, cue=changes, based=st.booleans())
def test_a_good_protocol_with_anything_changed(
    tmp_path: Path, top: dict[str, Any], phase: dict[str, Any], cue: dict[str, Any], based: bool
) -> None:
    data = tomllib.loads(GOOD)
    if based:
        data = {"based_on": "balint-45", "change": {"story": phase}, **top}
    else:
        data |= top
        data["phase"] = [{**tomllib.loads(GOOD)["phase"][0], **phase}]
        data["phase"][0]["cue"] = [{"seconds_left": 60, "kind": "voice", "text": "x", **cue}]
    _refused_or_usable("\n".join(f"{key} = {as_toml(value)}" for key, value in data.items()), tmp_path)


@tries(150)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_at_all(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FacilitatorError):
        load(tmp_path, content)


@tries(250)
@given(at=st.integers(min_value=0, max_value=6000), cut=st.integers(min_value=0, max_value=40), put=letters)
def test_a_shipped_file_with_a_slip_of_the_keyboard(tmp_path: Path, at: int, cut: int, put: str) -> None:
    text = shipped("config", "protocols", "balint-45.toml").read_text(encoding="utf-8")
    _refused_or_usable(text[:at] + put + text[at + cut :], tmp_path)


@tries(150)
@given(letters, st.lists(letters, max_size=30))
def test_did_you_mean_never_fails(word: str, known: list[str]) -> None:
    assert isinstance(did_you_mean(word, known), str)
