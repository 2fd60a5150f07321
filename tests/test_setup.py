"""scripts/setup: in a folder of any name, and never with a package that is not the one that was locked.

From what lies in uv's cache since this very environment was set up: nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from voice_facilitator import __version__

TOP = Path(__file__).parent.parent
BESIDE_PYTHON = Path(sys.executable).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="system packages are installed in other ways"),
    pytest.mark.skipif(not (BESIDE_PYTHON / "uv").exists(), reason="not set up by scripts/setup"),
]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
    "PATH": f"{BESIDE_PYTHON}{os.pathsep}{os.environ['PATH']}",
    "UV_OFFLINE": "1",
    "UV_COMPILE_BYTECODE": "0",
}


def call(program: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
        env={**ENVIRONMENT, **more},
        cwd=program.anchor,
    )
    if "network was disabled" in done.stderr:
        pytest.skip("uv's cache does not hold what is locked")
    return done


# ---------------------------------------------------------------- where it lies


@pytest.mark.parametrize(
    "name", ["-R&D,O'Brien's,Preis$5=100%|\\\"ü\"#1;`x`", "R&D, O'Brien's Preis $5 = 'ü' \\ #1"]
)
def test_its_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        check=False,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    checkout = tmp_path / name
    for file in listed.stdout.splitlines():
        if (TOP / file).is_file() and not file.startswith(("tests/", "benchmarks/", "training/")):
            (checkout / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / file, checkout / file)
    done = call(checkout / "scripts" / "setup")
    assert done.returncode == 0, done.stderr
    again = call(checkout / "scripts" / "setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    (tmp_path / "link").symlink_to(checkout / ".venv" / "bin" / "voice-facilitator")
    for program in (checkout / ".venv" / "bin" / "voice-facilitator", tmp_path / "link"):
        done = call(program, "--version")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"voice-facilitator {__version__}\n", "")
    for script in ("run", "demo"):
        done = call(checkout / "scripts" / script, "--help")
        assert done.returncode == 0, done.stderr
        assert f"Usage: voice-facilitator {script}" in done.stdout


# ---------------------------------------------------------------- what it installs


class Project:
    """A small one with the real scripts/setup, and a folder from which packages come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.packages = folder / "packages"
        self.packages.mkdir()
        (self.folder / "scripts").mkdir(parents=True)
        shutil.copy2(TOP / "scripts" / "setup", self.folder / "scripts")
        for lock in ("requirements-uv.lock", "requirements-setup.lock"):
            shutil.copy2(TOP / lock, self.folder)
        (self.folder / "requirements-dev.lock").touch()
        (self.folder / "small.py").touch()

    def asks_for(self, *names: str) -> None:
        (self.folder / "pyproject.toml").write_text(f"""
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "small"
version = "1"
dependencies = {list(names)}
[project.scripts]
voice-facilitator = "small:main"
[dependency-groups]
uv = ["uv"]
setup = ["editables", "hatchling"]
[tool.hatch.build.targets.wheel]
include = ["small.py"]
""")

    def package(self, name: str) -> str:
        """A wheel in that folder; its hash."""
        file = self.packages / f"{name}-1-py3-none-any.whl"
        with zipfile.ZipFile(file, "w") as wheel:
            info = f"{name}-1.dist-info"
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def locks(self, **hashes: str) -> None:
        lines = [f"{name}==1 --hash=sha256:{hash_}\n" for name, hash_ in hashes.items()]
        (self.folder / "requirements.lock").write_text("".join(lines))

    def set_up(self) -> subprocess.CompletedProcess[str]:
        return call(self.folder / "scripts" / "setup", UV_FIND_LINKS=str(self.packages))

    def installed(self) -> set[str]:
        found = (self.folder / ".venv").rglob("vf_*.py")
        return {file.stem for file in found}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_what_is_locked_is_installed(project: Project) -> None:
    project.asks_for("vf_one")
    project.locks(vf_one=project.package("vf_one"))
    done = project.set_up()
    assert done.returncode == 0, done.stderr
    assert project.installed() == {"vf_one"}
    assert "lock does not hold" not in done.stderr


def test_what_the_lock_lacks_comes_without_it_and_it_says_so(project: Project) -> None:
    project.asks_for("vf_one", "vf_two")
    project.locks(vf_one=project.package("vf_one"), vf_three="0" * 64)
    project.package("vf_two")
    done = project.set_up()
    assert done.returncode == 0, done.stderr
    assert project.installed() == {"vf_one", "vf_two"}
    assert "The lock does not hold all that is needed here" in done.stderr


@pytest.mark.parametrize("asked", [("vf_one",), ("vf_one", "vf_two")], ids=["all locked", "not all locked"])
def test_a_file_whose_hash_is_wrong_is_never_installed(project: Project, asked: tuple[str, ...]) -> None:
    project.asks_for(*asked)
    project.package("vf_one")
    project.package("vf_two")
    project.locks(vf_one="0" * 64)
    done = project.set_up()
    assert done.returncode == 1
    assert project.installed() == set()
    assert "not the one that was locked" in done.stderr
    assert "Settings of yours that may be in the way: " in done.stderr
    assert "UV_FIND_LINKS" in done.stderr
    assert str(project.packages) not in done.stderr.splitlines()[-1], "a value may hold a password"
