"""Settings: the shipped defaults, the user's own lines over them, and mistakes in those."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from tests.test_protocols import as_toml, values
from voice_facilitator.app.setting_up import policy_of
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.files.checked_toml import FileMistakes
from voice_facilitator.files.settings import Settings, load_settings
from voice_facilitator.machine.resources import shipped
from voice_facilitator.session import Policy


def load(folder: Path, text: str) -> Settings:
    path = folder / "settings.toml"
    path.write_bytes(text.encode())
    return load_settings(path)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(FileMistakes) as caught:
        load(folder, text)
    assert caught.value.exit_code is ExitCode.BAD_FILE
    return caught.value.message.replace(f"{folder}/", "").splitlines()


def test_an_empty_file_leaves_the_defaults(tmp_path: Path) -> None:
    defaults = load(tmp_path, "")
    assert defaults.session.protocol in protocols.names()
    assert defaults.session.support_contacts == []
    assert (defaults.reminders.voice_every_seconds, defaults.reminders.voice_at_most) == (300, 1)
    assert defaults.reminders.after_pause_seconds == 120


def test_each_setting_of_the_session_reaches_it(tmp_path: Path) -> None:
    names = Policy.__dataclass_fields__.keys() - {"moves_by_itself"}  # belongs to a replay's script
    defaults = load(tmp_path, "")
    for section in ("session", "reminders"):
        own = getattr(defaults, section).model_dump()
        for name in names & own.keys():
            value = own[name] + 1
            changed = load(tmp_path, f"[{section}]\n{name} = {value}\n")
            assert policy_of(changed) == replace(policy_of(defaults), **{name: value}), name
        names -= own.keys()
    assert not names


def test_only_the_lines_that_change_are_needed(tmp_path: Path) -> None:
    changed = load(tmp_path, '[session]\nsupport_contacts = ["The chaplain"]\n[speaking]\nvolume = 0.5\n')
    assert changed.session.support_contacts == ["The chaplain"]
    assert changed.speaking.volume == 0.5
    assert changed.session.gap_seconds == 1.8


def test_every_default_has_a_line_of_why() -> None:
    lines = shipped("config", "settings.toml").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "=" in line.partition("#")[0] and "#" not in line] == []


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    assert mistakes(
        tmp_path,
        """session = 3
[reminder]
x = 1
[reminders]
voice_at_mots = 3
screen_seconds = "x"
voice_at_most = 2.5
[speaking]
volume = nan
language = 3
words_per_minute = 9999
""",
    ) == [
        "settings.toml, line 1: session must be a table with settings of its own (it is 3).",
        'settings.toml, line 2: "reminder" is not known here. Did you mean "reminders"?',
        'settings.toml, line 5: "voice_at_mots" is not known here. Did you mean "voice_at_most"?',
        'settings.toml, line 6: reminders.screen_seconds must be a number (it is "x").',
        "settings.toml, line 7: reminders.voice_at_most must be a whole number (it is 2.5).",
        "settings.toml, line 9: speaking.volume must be an ordinary number (it is nan).",
        "settings.toml, line 10: speaking.language must be text in quotes (it is 3).",
        "settings.toml, line 11: speaking.words_per_minute must be at most 300 (it is 9999).",
    ]


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_a_line_that_looks_like_a_setting_inside_a_long_text_is_none(tmp_path: Path, quotes: str) -> None:
    text = f"""[speaking]
voice = {quotes}
volume = 0.5
[session]
{quotes}
volume = 7
"""
    assert mistakes(tmp_path, text) == ["settings.toml, line 6: speaking.volume must be at most 1 (it is 7)."]


def test_a_missing_file_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(FacilitatorError, match="There is no file") as caught:
        load_settings(tmp_path / "none.toml")
    assert caught.value.hint


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(FacilitatorError, match="is a folder") as caught:
        load_settings(tmp_path)
    assert caught.value.hint == "Name a file in it."


def test_a_setting_above_all_tables_is_told_where_it_belongs(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "hop_seconds = 0.4\nlanguage = 'de'\n")[0] == (
        'settings.toml, line 1: "hop_seconds" is not known here. It belongs under [hearing].'
    )


DEFAULTS = tomllib.loads(shipped("config", "settings.toml").read_text(encoding="utf-8"))


@st.composite
def changed_settings(draw: st.DrawFn) -> str:
    lines = []
    for section, entries in DEFAULTS.items():
        names = draw(st.lists(st.sampled_from([*entries, "unknown"]), max_size=3, unique=True))
        lines += [f"[{section}]", *(f"{name} = {as_toml(draw(values))}" for name in names)]
    return "\n".join(lines)


@tries(250)
@given(changed_settings() | st.text(max_size=80))
def test_any_file_gives_settings_or_a_list_of_mistakes(tmp_path: Path, text: str) -> None:
    try:
        load(tmp_path, text)
    except FacilitatorError as error:
        assert error.message
        assert "input should" not in error.message.lower(), error.message
