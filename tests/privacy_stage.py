"""Sessions of the real program in processes of their own, driven by keys and looked into from outside.

Nothing here goes by the clock: a session stands in one part until the test presses a key, and every look
waits until there is something to be seen, however slow the machine is.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests import privacy_scan
from tests.privacy_scan import Found, Needles, Voiceprints
from tests.support import demo_room, virtual_room
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.who.voice_model import load_voice_model
from voice_facilitator.machine.child_process import SUB_COMMAND

TOP = Path(__file__).parent.parent
LIMIT = 120.0  # seconds for each step on a busy machine; a few are usual
# What makes, changes or removes files, calls somebody, or starts a program.
CALLS = (
    "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,symlink,"
    "symlinkat,truncate,unlink,unlinkat,socket,connect,bind,listen,memfd_create,execve"
)
# A network of its own with nothing in it but itself: the room page is served there, and leads nowhere.
_LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x49))
os.execv(sys.argv[1], sys.argv[1:])
"""
ALONE = ["unshare", "-n", sys.executable, "-c", _LOOPBACK_UP]
# Long parts, so that nothing happens before the test has seen enough.
PROTOCOL = """
title = "Half an hour"
description = "Story and close."
language = "en-gb"
goodbye = "Thank you. The voice patterns are deleted."
closing_seconds = 12
[[phase]]
name = "story"
title = "The story"
minutes = 30
floor = "presenter"
enrols_presenter = true
new_presenter = true
grace_seconds = 8
announcement = "The story is yours."
[[phase]]
name = "close"
title = "Close"
minutes = 6
floor = "everyone"
grace_seconds = 5
announcement = "Thank you."
"""
NEXT, UNDO, LESS_TIME = b" ", b"u", b"-"
_VOICES = 8  # that the program has to have learnt before we look for them


@dataclass
class Running:
    """A session in a process of its own. What was found: Found by part of the program."""

    folder: Path
    process: subprocess.Popen[bytes]
    keyboard: int  # our end of its terminal
    during: dict[str, Found] = field(default_factory=dict)
    after: dict[str, Found] = field(default_factory=dict)
    voices: Voiceprints | None = field(default=None, repr=False)
    locked: list[bool] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)  # of the hearing process
    resume: dict[str, Any] = field(default_factory=dict)  # the resume file while the session ran
    most_held: int = 0  # see `speech_held`, while somebody spoke

    @property
    def output(self) -> str:
        """What it has printed."""
        return (self.folder / "printed.txt").read_text()

    def end(self) -> None:
        """Whatever happened: nothing of it goes on."""
        for pid in reversed(privacy_scan.family(self.process.pid)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.keyboard)

    def events(self) -> list[dict[str, Any]]:
        with contextlib.suppress(OSError):
            lines = (self.folder / "events.jsonl").read_text().splitlines(keepends=True)
            return [json.loads(line) for line in lines if line.endswith("\n")]
        return []

    def happened(self, **wanted: Any) -> bool:
        return self.times(**wanted) > 0

    def times(self, **wanted: Any) -> int:
        return sum(wanted.items() <= event.items() for event in self.events())

    def wait_until(self, happened: Callable[[], object], every: float = 0.1) -> None:
        until = time.monotonic() + LIMIT
        while not happened():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"it did not happen; {self.events()[-5:]} {self.output}")
            time.sleep(every)

    def press(self, key: bytes, until: Callable[[], object]) -> None:
        """Press until it was taken: right after a change a key is passed over."""

        def pressed() -> bool:
            if until():
                return True
            os.write(self.keyboard, key)
            return False

        self.wait_until(pressed, every=0.4)

    def parts(self) -> dict[str, int]:
        """The processes of ours by what they do."""
        found = {}
        for pid in privacy_scan.family(self.process.pid):
            line = privacy_scan.command_line(pid)
            if line.startswith(("strace ", "unshare ")):
                continue
            kind = "program"
            if SUB_COMMAND in line:
                kind = line.split()[-1]
            found.setdefault(kind, pid)  # a program that is just being started looks like its parent
        return found

    # ------------------------------------------------------------ looks

    def look_at_hearing(self, needles: dict[str, Needles]) -> Found:
        return privacy_scan.look(self.parts()["hearing"], needles, self.voices)

    def look_everywhere(self, needles: dict[str, Needles]) -> dict[str, Found]:
        """Those that end meanwhile, as renderers do, are looked at for as long as they are there."""
        return {part: privacy_scan.look(pid, needles, self.voices) for part, pid in self.parts().items()}

    def learn_what_it_holds(self, needles: Needles) -> None:
        """Wait until it holds voices, and take note of them."""
        dim = load_voice_model(load_settings().hearing).encoder.dim
        hearing = self.parts()["hearing"]
        self.wait_until(lambda: len(privacy_scan.voiceprints(hearing, dim, _VOICES).rows) == _VOICES)
        self.voices = privacy_scan.voiceprints(hearing, dim, _VOICES)
        self.most_held = self.speech_held(needles)
        self.locked = [m.locked for m in privacy_scan.mappings(hearing) if m.private]
        self.threads = [int(task.name) for task in Path(f"/proc/{hearing}/task").iterdir()]
        state = self.folder / "home/.local/state/voice-facilitator/resume.json"
        self.wait_until(state.exists)
        self.resume = json.loads(state.read_text())

    def wait_for_silence(self, needles: Needles) -> None:
        """After the room fell silent: until that has arrived, and more than half of what is held is silence.

        From then on nothing comes that was not there before the forgetting.
        """
        self.wait_until(lambda: self.speech_held(needles) <= self.most_held / 2, every=0.02)

    def speech_held(self, needles: Needles) -> int:
        """How much speech lies in the memory that is meant for it."""
        hearing = self.parts()["hearing"]
        private = [m for m in privacy_scan.mappings(hearing) if m.private]
        memory = (privacy_scan.read(hearing, m.begin, m.end) for m in private)
        return sum(needles.count(privacy_scan.as_words(piece)) for piece in memory)

    def wait_until_nothing_is_found(self, needles: dict[str, Needles]) -> None:
        """The forgetting takes a moment to arrive. Gives up quietly: it is for the test to say."""
        until = time.monotonic() + LIMIT / 2
        while time.monotonic() < until:
            found = self.look_at_hearing(needles)
            if not any(found.sound.values()) and not found.voice_pairs:
                return


def start(folder: Path, before: list[str], module: str) -> Running:
    """`before`: what the program is started by."""
    folder.mkdir()
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    (folder / "protocol.toml").write_text(PROTOCOL)
    (folder / "settings.toml").write_text("[session]\nundo_seconds = 10\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
    environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(TOP)}
    arguments = ["run", "--protocol", str(folder / "protocol.toml"), "--begin-after", "0", "--no-browser"]
    arguments += ["--microphone", virtual_room.MICROPHONE, "--speaker", virtual_room.SPEAKER]
    arguments += ["--settings", str(folder / "settings.toml"), "--events", str(folder / "events.jsonl")]
    keyboard, terminal = pty.openpty()
    tty.setraw(terminal)
    with (folder / "printed.txt").open("wb") as printed:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", module, *arguments],
            stdin=terminal,
            stdout=printed,
            stderr=printed,
            env=environment,
            cwd=folder,
        )
    os.close(terminal)
    return Running(folder, process, keyboard)


def story() -> np.ndarray[Any, np.dtype[np.int16]]:
    """The presenter's story out of the demo's room, int16 at 16 kHz, without a pause."""
    sound = demo_room.story(16.0)
    frames = sound[: len(sound) // 320 * 320].reshape(-1, 320)
    level = np.sqrt(np.mean(frames**2, axis=1))
    return (np.clip(frames[level > 0.1 * level.max()].ravel(), -1, 1) * 32767).astype(np.int16)
