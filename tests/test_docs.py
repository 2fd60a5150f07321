"""What the documents say is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from voice_facilitator.app import eventlog
from voice_facilitator.errors import ExitCode
from voice_facilitator.files import protocols
from voice_facilitator.session.events import Action

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text(encoding="utf-8")


def test_the_protocol_example_works(tmp_path: Path) -> None:
    match = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert match is not None
    file = tmp_path / "lunch.toml"
    file.write_text(match.group(1), encoding="utf-8")
    assert "case" not in [phase.name for phase in protocols.load(str(file)).phases]


def test_the_table_of_minutes_is_that_of_the_protocol() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| (\d+) \| (\w+) \|", README, re.MULTILINE)
    loaded = protocols.load("balint-45")
    assert rows == [(p.title, f"{p.seconds / 60:g}", p.floor.value) for p in loaded.phases]


def test_every_command_named_exists() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "voice_facilitator", "--help"], capture_output=True, text=True, check=True
    ).stdout
    named = set(re.findall(r"voice-facilitator ([a-z]+)", README))
    named |= set(re.findall(r"^\| `([a-z]+)", README, re.MULTILINE)) & {"run", "demo", "replay", "rehearse"}
    for command in named:
        assert re.search(rf"^  {command}\b", help_text, re.MULTILINE), command


def test_every_exit_code_is_explained() -> None:
    codes = README.split("Exit codes:")[1].split("\n\n")[0]
    for code in ExitCode:
        assert re.search(rf"\b{code.value}\b", codes), code


def test_every_logged_event_and_every_request_is_described() -> None:
    page = (TOP / "docs" / "events.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    assert described == {name for name, _ in eventlog._FIELDS.values()}
    sentence = page.split("`do` is one of:")[1].split(".")[0]
    assert all(action.value in sentence for action in Action)


def test_the_drawing_of_the_states_is_current() -> None:
    sys.path.insert(0, str(TOP / "scripts"))
    try:
        import draw_states
    finally:
        sys.path.pop(0)
    if draw_states.page_with(draw_states.drawing()) != draw_states.PAGE.read_text(encoding="utf-8"):
        pytest.fail("run: python scripts/draw_states.py")


def test_the_table_of_keys_is_current() -> None:
    sys.path.insert(0, str(TOP / "scripts"))
    try:
        import draw_keys
    finally:
        sys.path.pop(0)
    if draw_keys.page_with(draw_keys.table()) != draw_keys.PAGE.read_text(encoding="utf-8"):
        pytest.fail("run: python scripts/draw_keys.py")


def test_the_tables_of_spoken_commands_are_current() -> None:
    sys.path.insert(0, str(TOP / "scripts"))
    try:
        import draw_commands
    finally:
        sys.path.pop(0)
    if draw_commands.page_with(draw_commands.tables()) != draw_commands.PAGE.read_text(encoding="utf-8"):
        pytest.fail("run: python scripts/draw_commands.py")


def test_no_path_of_one_machine_and_no_audio_is_in_the_project() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    sounds = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff")
    assert not [name for name in listed.stdout.splitlines() if name.lower().endswith(sounds)]


def test_every_file_that_is_named_exists() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    texts = [TOP / name for name in listed.stdout.splitlines() if name.endswith((".md", ".toml", ".py"))]
    lost = []
    for text in texts:
        for name in re.findall(
            r"(?<![\w./-])((?:benchmarks|docs|scripts|tests|training)/[\w/.-]*\w)(?![\w*<{])",
            text.read_text(encoding="utf-8"),
        ):
            if not (TOP / name).exists():
                lost.append(f"{text.relative_to(TOP)}: {name}")
    assert lost == []


def test_the_formatter_has_its_way_everywhere() -> None:
    exception = " ".join(["# fmt:", "skip"])  # which does not stand here either
    files = [file for file in TOP.rglob("*.py") if ".venv" not in file.parts]
    assert [file for file in files if exception in file.read_text(encoding="utf-8")] == []
