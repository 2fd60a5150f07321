"""An ordinary user on an ordinary desktop: the microphone is heard, and what is wrong with it is said."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import ordinary_desktop
from tests.ordinary_desktop import LIMIT, OrdinaryDesktop
from voice_facilitator.machine import resources

pytestmark = pytest.mark.room

RUN = ("run", "--no-display", "--no-resume", "--no-browser", "--begin-after", "0", "--events", "-")


@contextlib.contextmanager
def desktop(folder: Path, server: str, runtime: str = "run") -> Iterator[OrdinaryDesktop]:
    if reason := ordinary_desktop.missing(server):
        pytest.skip(reason)
    with OrdinaryDesktop(folder, server, runtime) as opened:
        yield opened


@contextlib.contextmanager
def session(desktop: OrdinaryDesktop, **changes: str | None) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a live session. It is stopped at the end."""
    process = desktop.program(*RUN, **changes)
    try:
        yield desktop.events(process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=LIMIT)
        finally:
            process.kill()


def until(events: Iterator[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """Everything up to and with the event that has these fields; pytest's own limit ends the waiting."""
    seen = []
    for event in events:
        seen.append(event)
        if wanted.items() <= event.items():
            return seen
    raise AssertionError(f"{wanted} did not come, but {seen}")


def heard(events: Iterator[dict[str, Any]]) -> None:
    """The room is heard, our own announcement in it, and the microphone was not lost before."""
    seen = until(events, event="speaker", who="self")
    assert not [event for event in seen if event.get("part") == "microphone"], seen


@pytest.mark.parametrize("server", ["pulseaudio", "pipewire"])
def test_a_session_hears_and_speaks_through_the_users_own_sound_server(tmp_path: Path, server: str) -> None:
    with desktop(tmp_path, server) as opened, session(opened) as events:
        heard(events)


def test_a_runtime_folder_may_have_a_space_in_its_name(tmp_path: Path) -> None:
    with desktop(tmp_path, "pulseaudio", "run of Ann") as opened, session(opened) as events:
        heard(events)


def test_a_server_that_the_environment_names_is_used(tmp_path: Path) -> None:
    with desktop(tmp_path, "pulseaudio") as opened:
        named = f"unix:{opened.socket}"
        with session(opened, PULSE_SERVER=named, XDG_RUNTIME_DIR=None) as events:
            heard(events)


@pytest.mark.skipif(sys.platform != "linux", reason="runtime folders are Linux")
def test_a_runtime_folder_that_the_environment_lacks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    mine = Path("/run/user", str(os.getuid()))
    resources.find_runtime_folder()
    assert os.environ.get("XDG_RUNTIME_DIR") == (str(mine) if mine.is_dir() else None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/somewhere")
    resources.find_runtime_folder()
    assert os.environ["XDG_RUNTIME_DIR"] == "/somewhere", "what is set stays"


def test_doctor_hears_the_room_as_a_session_does(tmp_path: Path) -> None:
    with desktop(tmp_path, "pulseaudio") as opened:
        silent = opened.doctor()["microphone"]
        assert silent["health"] == "note", "it opens, but gives nothing"
        humming = opened.hum()
        try:
            found = opened.doctor()
        finally:
            humming.kill()
            humming.wait()
        assert found["microphone"]["health"] == "good"
        assert "heard the room" in found["microphone"]["text"]
        assert found["speaker"]["health"] == "good"
        opened.pactl("set-source-mute", "mic", "1")
        muted = opened.doctor()["microphone"]
        assert muted["health"] == "bad"
        assert "muted" in muted["text"]
        assert "Unmute" in muted["hint"]


def test_a_mute_is_told_with_its_reason_and_is_over_when_it_is(tmp_path: Path) -> None:
    with desktop(tmp_path, "pulseaudio") as opened, session(opened) as events:
        heard(events)
        opened.pactl("set-source-mute", "mic", "1")
        seen = until(events, event="degraded", part="microphone", lost=True)
        assert seen[-1]["reason"] == "muted"
        opened.pactl("set-source-mute", "mic", "0")
        until(events, event="degraded", part="microphone", lost=False)
        until(events, event="speaker")


def test_a_microphone_that_goes_is_told_as_gone(tmp_path: Path) -> None:
    with desktop(tmp_path, "pulseaudio") as opened, session(opened) as events:
        heard(events)
        modules = opened.pactl("list", "short", "modules").stdout.splitlines()
        number = next(line.split("\t")[0] for line in modules if "source_name=mic" in line)
        opened.pactl("unload-module", number)
        seen = until(events, event="degraded", part="microphone", lost=True)
        assert seen[-1]["reason"] == "gone"


def test_a_mistake_in_the_filter_would_be_seen(tmp_path: Path) -> None:
    """The control: with mkdir refused as before, the session says that it is deaf."""
    if reason := ordinary_desktop.missing("pulseaudio"):
        pytest.skip(reason)
    package = tmp_path / "careless"
    shutil.copytree(ordinary_desktop.TOP / "voice_facilitator", package / "voice_facilitator")
    for folder in ("config", "models"):
        (package / folder).symlink_to(ordinary_desktop.TOP / folder)
    source = package / "voice_facilitator/privacy/confinement.py"
    text = source.read_text()
    assert '"creat"' in text
    source.write_text(text.replace('"creat"', '"creat", "mkdir"', 1))
    with desktop(tmp_path, "pulseaudio") as opened, session(opened, PYTHONPATH=str(package)) as events:
        until(events, event="degraded", part="microphone", lost=True)
