"""Without a home, a user name, standard streams or a disk, a session is held; what it lacks is said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.test_faults_resume import LIMIT, PROTOCOL
from voice_facilitator.machine import resources

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="an environment as on Linux")
CHECKOUT = Path(__file__).parent.parent


def nobody(folder: Path) -> dict[str, str]:
    """An empty environment, and a user whom the system does not know."""
    (folder / "sitecustomize.py").write_text(
        "import pwd\ndef unknown(*_): raise KeyError('no such user')\npwd.getpwuid = pwd.getpwnam = unknown\n"
    )
    return {"PYTHONPATH": str(folder), "PULSE_SERVER": "unix:/nonexistent"}


def closed() -> None:
    for number in range(3):
        os.close(number)


def full_disk() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every write to a file fails


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "more", "told"),
    [
        ("no home", {}, "has no home folder"),
        ("a home that is not there", {"HOME": "/proc/nowhere"}, "No such file or directory"),
        ("a home that is read-only", {"HOME": "/proc"}, "No such file or directory"),
        ("no streams", {"XDG_STATE_HOME": "."}, ""),
        ("a full disk", {"XDG_STATE_HOME": "."}, "File too large"),
    ],
)
def test_a_session_is_held(tmp_path: Path, case: str, more: dict[str, str], told: str) -> None:
    (tmp_path / "three.toml").write_text(
        PROTOCOL.format(minutes=0.04).replace("goodbye =", "closing_seconds = 2\ngoodbye =")
    )
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000 * 60), 16_000, subtype="PCM_16")
    more = {name: str(tmp_path) if value == "." else value for name, value in more.items()}
    prepared: Callable[[], None] | None = {"no streams": closed, "a full disk": full_disk}.get(case)
    streams: dict[str, Any] = {} if case == "no streams" else {"stderr": subprocess.PIPE}
    running = subprocess.run(
        [
            *(sys.executable, "-m", "voice_facilitator", "run", "--timer-only", "--begin-after", "0"),
            *("--protocol", str(tmp_path / "three.toml"), "--audio", str(tmp_path / "silence.wav")),
        ],
        cwd=CHECKOUT,
        env={**nobody(tmp_path), **more},
        preexec_fn=prepared,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=2 * LIMIT,
        **streams,
    )
    assert running.returncode == 0, running.stderr
    said = running.stderr or ""
    assert "Traceback" not in said
    assert said.count("going on after a power cut") == bool(told)
    assert told in said
    assert not (CHECKOUT / "~").exists()


@pytest.mark.parametrize(
    "command",
    [["doctor"], ["protocols", "list"], ["models", "list"], ["--version"], ["run", "--resume", "--help"]],
)
def test_other_commands_work_without_a_home(tmp_path: Path, command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "voice_facilitator", *command],
        cwd=CHECKOUT,
        env=nobody(tmp_path),
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert "Traceback" not in ended.stderr
    assert ended.stdout


def test_streams_that_are_closed_lead_nowhere(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.argv = ['x', 'protocols', 'list']; from voice_facilitator.__main__ import main\n"
    )
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "links = [os.readlink(f'/proc/self/fd/{n}') for n in range(3)]\n"
    code += f"open({str(tmp_path / 'links')!r}, 'w').write(' '.join(links))"
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, preexec_fn=closed, check=True, timeout=LIMIT)
    assert (tmp_path / "links").read_text() == " ".join(["/dev/null"] * 3)


def test_a_folder_that_takes_no_file_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resources.writing_fails(tmp_path / "new" / "folder") == ""
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").touch()
    assert resources.writing_fails(tmp_path / "file" / "folder") == "Not a directory"

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(
        "pwd.getpwuid", {}.__getitem__
    )  # KeyError, as for a user whom the system does not know
    resources.find_home()
    assert "no home" in resources.writing_fails(resources.state_folder())
