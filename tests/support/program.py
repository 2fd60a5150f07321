"""The program itself, started to be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voice_facilitator.machine.child_process import SUB_COMMAND

PROTOCOL = """
title = "Three parts"
description = "For tests."
language = "en-gb"
goodbye = "Goodbye."
[[phase]]
name = "first"
title = "First"
minutes = {minutes}
floor = "everyone"
announcement = "First."
[[phase]]
name = "second"
title = "Second"
minutes = {minutes}
floor = "everyone"
announcement = "Second."
elasticity = "flexible"
[[phase]]
name = "third"
title = "Third"
minutes = {minutes}
floor = "everyone"
announcement = "Third."
"""
LIMIT = 60.0  # seconds; generous, since machines are busy


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def orphans() -> list[int]:
    """Child processes of the program that have outlived it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if SUB_COMMAND not in (entry / "cmdline").read_text().split("\0"):
                continue
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            command = Path("/proc", parent, "cmdline").read_text()
            if not any(ours in command for ours in ("voice", "pytest", "tests", "benchmarks", "-c")):
                found.append(int(entry.name))
    return found


def kept_in(folder: Path) -> Path:
    return folder / "voice-facilitator" / "resume.json"


class Program:
    """`run` as a process of its own, without a terminal, a microphone or a speaker."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.log = folder / f"events-{time.monotonic_ns()}.jsonl"
        self.errors = (folder / f"stderr-{time.monotonic_ns()}").open("w+")
        command = [sys.executable, "-m", "voice_facilitator", "run", "--timer-only", "--begin-after", "0"]
        command += ["--protocol", str(folder / "three.toml"), "--audio", str(folder / "silence.wav")]
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder),
            "PULSE_SERVER": "unix:/nonexistent",
            "COLUMNS": "200",
        }
        self.process = subprocess.Popen(
            [*command, "--events", str(self.log), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            env=environment,
            start_new_session=True,
        )

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        whole = [json.loads(text) for text in lines if text.endswith("}")]
        return [entry for entry in whole if entry["event"] == kind]

    def wait_for_phase(self, name: str) -> dict[str, Any]:
        def there() -> bool:
            assert self.process.poll() is None, self.said()
            return any(entry["name"] == name for entry in self.events("phase"))

        wait_for(there)
        return next(entry for entry in self.events("phase") if entry["name"] == name)

    def said(self) -> str:
        self.errors.seek(0)
        return self.errors.read()

    def power_cut(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # its helper processes too
        self.process.wait()
