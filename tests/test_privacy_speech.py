"""What the speech engine writes: our announcements, into memory, and nothing is left even after kill -9."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import privacy_scan
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.settings import load_settings
from voice_facilitator.speaking import engine
from voice_facilitator.speaking.engine import Pyttsx3Engine

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name is Linux")

LONG = "Would the presenter please move a little back, and only listen from now on. " * 8
LIMIT = 40.0  # seconds; generous, for a busy machine
# Renders one long sentence, as the speaking process does.
_RENDERS = """
import sys
from voice_facilitator.settings import load_settings
from voice_facilitator.speaking.engine import Pyttsx3Engine
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
def killed(whole: engine.Speech, tmp_path: Path) -> Iterator[tuple[bytes, set[Path]]]:
    """What the engine had written when everything was killed in mid-sentence, and the files there were."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
    before = _files(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", _RENDERS, LONG], env=environment, cwd=tmp_path)
    written = b""
    try:
        until = time.monotonic() + LIMIT
        while len(written) < 20_000 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
            for pid in privacy_scan.family(process.pid):
                written = max(written, _in_memory(pid), key=len)
    finally:
        for pid in reversed(privacy_scan.family(process.pid)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    yield written, _files(tmp_path) - before


def _in_memory(pid: int) -> bytes:
    """What the renderer's memory file holds now."""
    with contextlib.suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            if str(handle.readlink()).startswith("/memfd:sentence"):
                return handle.read_bytes()
    return b""


def _files(folder: Path) -> set[Path]:
    places = (folder, Path("/dev/shm"))
    return {
        path
        for place in places
        for path in place.rglob("*")
        if path.is_file() and not str(path).startswith("/dev/shm/jack_db-")
    }


def test_killed_in_mid_sentence_it_leaves_no_file_and_held_only_our_announcement(
    whole: engine.Speech, killed: tuple[bytes, set[Path]]
) -> None:
    written, left = killed
    assert left == set()
    assert len(written) >= 20_000, "the test must have seen it at work"
    assert written[:4] == b"RIFF"
    sound = np.frombuffer(written[44 : len(written) // 2 * 2], np.int16).astype(np.float64)
    piece = sound[np.flatnonzero(np.abs(sound) > 100)[0] :][:4_000]
    assert _closest(piece, whole.samples[:20_000].astype(np.float64)) > 0.95


def _closest(piece: np.ndarray, sound: np.ndarray) -> float:
    """The highest correlation of `piece` with any stretch of `sound`: 1 is the same but for the loudness."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, len(piece))
    lengths = np.linalg.norm(windows, axis=1) * np.linalg.norm(piece)
    return float((windows @ piece / np.maximum(lengths, 1e-9)).max())
