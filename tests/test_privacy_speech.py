"""What the speech engine writes: our announcements, into memory, and nothing is left even after kill -9."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from tests import privacy_scan
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files.settings import load_settings
from voice_facilitator.speaking import engine
from voice_facilitator.speaking.engine import MAX_TEXT, Pyttsx3Engine

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name is Linux")

# As long as a sentence may be: the engine is at work for some 0.4 s, and a busy machine makes it longer.
LONG = ("Would the presenter please move a little back, and only listen from now on. " * 27)[:MAX_TEXT]
LIMIT = 40.0  # seconds; generous, for a busy machine
# Renders one long sentence, as the speaking process does.
_RENDERS = """
import sys
from voice_facilitator.files.settings import load_settings
from voice_facilitator.speaking.engine import MAX_TEXT, Pyttsx3Engine
Pyttsx3Engine(load_settings().speaking).render(sys.argv[1])
"""


@pytest.fixture(scope="module")
def whole() -> engine.Speech:
    """The sentence, rendered in peace."""
    try:
        return Pyttsx3Engine(load_settings().speaking).render(LONG)
    except FacilitatorError as error:
        pytest.skip(f"no speech engine here: {error.message}")


@pytest.fixture
def at_work(whole: engine.Speech, tmp_path: Path) -> Iterator[AtWork]:
    """A process like the speaking one, in the middle of the sentence."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
    before = _files(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", _RENDERS, LONG], env=environment, cwd=tmp_path)
    until, memory = time.monotonic() + LIMIT, None
    try:
        while memory is None and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
            memory = next(filter(None, map(_memory_file, privacy_scan.family(process.pid))), None)
        assert memory is not None, "the test must see it at work"
        with memory:
            yield AtWork(process, memory, before)
    finally:
        _kill(process)


@dataclass(frozen=True)
class AtWork:
    """memory: what the renderer writes to; it stays readable here when the renderer is gone."""

    process: subprocess.Popen[bytes]
    memory: BinaryIO
    files_before: set[Path]


def _memory_file(pid: int) -> BinaryIO | None:
    with contextlib.suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            if str(handle.readlink()).startswith("/memfd:sentence"):
                return handle.open("rb")
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    for pid in reversed(privacy_scan.family(process.pid)):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _files(folder: Path) -> set[Path]:
    places = (folder, Path("/dev/shm"))
    return {
        path
        for place in places
        for path in place.rglob("*")
        if path.is_file() and not str(path).startswith("/dev/shm/jack_db-")
    }


def test_killed_in_mid_sentence_it_leaves_no_file(at_work: AtWork, tmp_path: Path) -> None:
    _kill(at_work.process)
    assert at_work.process.returncode == -signal.SIGKILL, "it had not ended by itself"
    assert _files(tmp_path) - at_work.files_before == set()


def test_all_that_it_writes_is_our_announcement_and_into_memory(
    whole: engine.Speech, at_work: AtWork, tmp_path: Path
) -> None:
    until = time.monotonic() + LIMIT
    while at_work.process.poll() is None and time.monotonic() < until:
        assert _files(tmp_path) - at_work.files_before == set()
        time.sleep(0.002)
    assert at_work.process.returncode == 0
    written = at_work.memory.read()
    assert written[:4] == b"RIFF"
    sound = np.frombuffer(written[44 : len(written) // 2 * 2], np.int16).astype(np.float64)
    piece = sound[np.flatnonzero(np.abs(sound) > 100)[0] :][:4_000]
    assert _closest(piece, whole.samples[:20_000].astype(np.float64)) > 0.95


def _closest(piece: np.ndarray, sound: np.ndarray) -> float:
    """The highest correlation of `piece` with any stretch of `sound`: 1 is the same but for the loudness."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, len(piece))
    lengths = np.linalg.norm(windows, axis=1) * np.linalg.norm(piece)
    return float((windows @ piece / np.maximum(lengths, 1e-9)).max())
