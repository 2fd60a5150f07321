"""The program itself from the set-up page to the summary, in a browser and over the virtual sound card."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import demo_room
from tests.support.display_stage import chromium
from tests.support.virtual_room import VirtualRoom
from tests.test_display_page import shows, violations, wait_for

pytestmark = pytest.mark.room
SHORT = """
based_on = "balint-45"
omit = ["check-in", "case", "questions", "last-word"]
title = "A short one"
closing_seconds = 5
[change.welcome]
announcement = "Welcome."
[change.story]
announcement = "The story is yours."
[change.discussion]
announcement = "Now the group."
[change.close]
announcement = "Thank you. {contacts}"
"""


class Program:
    """`voice-facilitator run` without a terminal; its lines are collected."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        settings = folder / "settings.toml"
        settings.write_text('[session]\nsupport_contacts = ["The chaplain, extension 12"]\n')
        (folder / "short.toml").write_text(SHORT)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "voice_facilitator", "run", "--no-browser"),
                *("--settings", str(settings), "--protocol", str(folder / "short.toml"), *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": str(folder), "COLUMNS": "200"},
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def address(self, start: str = "Room page: ") -> str:
        def found() -> list[str]:
            return [line.removeprefix(start).strip() for line in self.lines if line.startswith(start)]

        wait_for(lambda: bool(found()) or self.process.poll() is not None, 60)
        assert found(), "".join(self.lines)
        return found()[0]


@contextmanager
def talk(room: VirtualRoom) -> Iterator[None]:
    """Somebody makes a noise at the microphone for as long as it takes."""
    noise = np.random.default_rng(1).normal(0, 6000, 16_000).astype(np.int16)
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            room.play_into_microphone(noise, 16_000)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def program(room: VirtualRoom, tmp_path: Path) -> Iterator[Program]:
    demo_room.needs_encoder()
    running = Program(tmp_path)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def test_from_setting_up_to_the_summary(program: Program, room: VirtualRoom) -> None:
    with chromium() as browser:
        page: Any = browser.new_page(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
        page.set_default_timeout(60_000)
        page.goto(program.address())
        page.get_by_role("heading", name="Setting up").wait_for()
        assert violations(page) == []
        assert page.get_by_text("The chaplain, extension 12").is_visible()
        page.select_option("[name=microphone]", label="room_mic")
        with talk(room):
            page.get_by_text("Say something: the bar should move.").wait_for()
            wait_for(lambda: page.locator("meter").evaluate("meter => meter.value") > 0.3, 60)
        with room.listening() as heard:
            page.get_by_role("button", name="Play a test sentence").click()
            page.get_by_text("Could you hear it at the far end of the table?").wait_for()
        assert heard.stretches()
        page.select_option("[name=protocol]", "balint-60-de")
        page.get_by_role("heading", name="Vorbereiten").wait_for()
        page.select_option(
            "[name=protocol]", str(page.locator("option", has_text="A short one").get_attribute("value"))
        )
        page.get_by_role("button", name="Ready").click()

        shows(page, "title", "Welcome")
        page.mouse.move(200, 200)
        page.get_by_role("button", name="Begin").click()
        shows(page, "floor", "Everyone")
        shows(page, "saying", "Welcome.")
        shows(page, "microphone", "Not listening while I speak")
        for key, title in [("PageDown", "The story"), ("Space", "Discussion"), ("PageDown", "Close")]:
            page.wait_for_timeout(1600)
            page.keyboard.press(key)
            shows(page, "title", title)
        shows(page, "contacts", "The chaplain, extension 12")
        page.wait_for_timeout(1600)
        page.keyboard.press("PageDown")

        shows(page, "title", "The session is over")
        shows(page, "contacts", "The chaplain, extension 12")
        assert page.locator("#summary").is_hidden(), "nobody has asked for it"
        page.mouse.move(300, 300)
        page.get_by_role("button", name="Show the summary").click()
        page.get_by_role("heading", name="Thank you").wait_for()
        assert page.locator("svg.shares .row").count() == 4
        assert page.locator("tbody tr").count() == 4
        assert violations(page) == []
        page.get_by_role("button", name="Hide the summary").click()
        shows(page, "title", "The session is over")
        page.mouse.move(200, 300)
        page.get_by_role("button", name="Show the summary").click()
        page.get_by_role("button", name="Discard and end").click()
        shows(page, "notice-title", "The program has ended")
    assert program.process.wait(30) == 0
    assert any("No sound, no voices and no words were kept" in line for line in program.lines)
    assert not [line for line in program.lines if re.search("Traceback|Error", line)]
