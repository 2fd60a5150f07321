"""The benchmarks can be started, are all in their list, and say early what they lack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.presenter import heard

TOP = Path(__file__).parent.parent
LIST = (TOP / "benchmarks" / "README.md").read_text(encoding="utf-8")
STARTED = sorted(
    ".".join(file.relative_to(TOP).with_suffix("").parts)
    for file in (TOP / "benchmarks").rglob("*.py")
    if '__name__ == "__main__"' in file.read_text(encoding="utf-8")
)


def start(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=TOP, capture_output=True, text=True, check=False
    )


def test_the_list_names_every_benchmark() -> None:
    assert sorted(re.findall(r"^\| `(\w+\.\w+)", LIST, re.MULTILINE)) == [
        module.removeprefix("benchmarks.") for module in STARTED
    ]


@pytest.mark.parametrize("module", [*STARTED, "training.voices.make_cohort", "training.voices.make_remarks"])
def test_it_can_be_started(module: str) -> None:
    done = start(module, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python -m {module}" in done.stdout, "how is it started?"


def test_without_the_speech_corpus_it_says_why_it_does_nothing(tmp_path: Path) -> None:
    done = start("benchmarks.presenter.detection", tmp_path, tmp_path)
    assert done.stdout.startswith(f"Skipped: no speech corpus at {tmp_path}"), done.stderr
    done = start("benchmarks.presenter.sessions", tmp_path, "--out", tmp_path)
    assert done.returncode == 1
    assert "build_session.py is not there" in done.stderr


def test_the_networks_that_figures_come_from_are_the_very_ones(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"two-voices-without-a.onnx is not there. Say with --networks"):
        heard.hold_out_networks(tmp_path)
    for cast in heard.HOLD_OUT:
        (tmp_path / f"two-voices-without-{cast}.onnx").write_bytes(b"another network")
    with pytest.raises(SystemExit, match=r"not the network that the figures come from: its SHA-256 is 846a"):
        heard.hold_out_networks(tmp_path)


def test_the_networks_beside_the_checkout_are_these() -> None:
    if not heard.NETWORKS.exists():
        pytest.skip("the hold-out networks are not there")
    assert heard.hold_out_networks(heard.NETWORKS).keys() == {"a", "b"}
