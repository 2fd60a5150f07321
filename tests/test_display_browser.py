"""The browser is opened without the page's key in any command line, and without its noise in the terminal."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.display_stage import Stage, chromium
from tests.test_display_page import shows, wait_for
from voice_facilitator.display import browser as browsers
from voice_facilitator.display.browser import opened_in_browser

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a script for a browser")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's; its browser notes how it was called, and is noisy."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$@" > new\nmv new told\necho NOISE >&2\necho NOISE\n')
    script.chmod(0o755)
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("BROWSER", f"{script} %s")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def left(folder: Path) -> list[Path]:
    return list(folder.rglob("voice-facilitator-*.html"))


def test_its_command_line_has_no_key_and_its_file_is_for_its_owner(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = threading.Event()
    with opened_in_browser("http://127.0.0.1:1/#secret", seen.is_set) as opened:
        assert opened
        wait_for((folder / "told").exists)
        (file,) = left(folder)
        assert (folder / "told").read_text().strip() == file.as_uri()
        assert file.parent == folder / "run"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "http://127.0.0.1:1/#secret" in file.read_text()
        lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert "#secret" not in lines
        seen.set()
        wait_for(lambda: left(folder) == [])
    assert capfd.readouterr() == ("", "")


def test_its_file_is_gone_when_the_program_ends_before_the_page_came(folder: Path) -> None:
    with opened_in_browser("http://127.0.0.1:1/#secret", lambda: False):
        assert len(left(folder)) == 1
    wait_for(lambda: left(folder) == [])


def test_a_browser_that_is_a_snap_is_given_a_file_that_it_can_read(folder: Path) -> None:
    (folder / "snap").mkdir()
    with opened_in_browser("http://127.0.0.1:1/#secret", lambda: False):
        if sys.platform == "linux":
            assert [file.parent for file in left(folder)] == [folder]


def test_where_no_file_can_be_made_people_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    with opened_in_browser("http://127.0.0.1:1/#secret", lambda: False) as opened:
        assert opened is (sys.platform == "darwin")  # its state folder is elsewhere


def test_the_file_leads_to_the_page(folder: Path) -> None:
    with Stage() as stage, chromium() as browser:
        file = browsers._redirect_to(stage.server.address)
        page: Any = browser.new_page()
        page.goto(file.as_uri())
        shows(page, "title", "Welcome")
        assert page.url == f"http://127.0.0.1:{stage.server.port}/"
        page.keyboard.press("Space")
        wait_for(lambda: stage.done() == ["begin"])
