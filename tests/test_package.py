"""The program as it is installed: built as a wheel, once, with its files inside; and what it is made of."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parent.parent
LOCKS = ("requirements-uv.lock", "requirements-setup.lock", "requirements.lock", "requirements-dev.lock")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `scripts/build` makes."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [TOP / "scripts" / "build", str(folder)], capture_output=True, check=False, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which only the installed package is found, away from the checkout."""
    place = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*command, "--no-deps", "--target", str(place), str(wheel)], check=True, timeout=300)
    return {**os.environ, "PYTHONPATH": str(place), "XDG_DATA_HOME": str(place / "data"), "HOME": str(place)}


def call(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "voice_facilitator", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        env=environment,
        cwd=environment["HOME"],
    )


def locked(name: str) -> dict[str, list[str]]:
    """Package and version, with their hashes."""
    lines = (TOP / name).read_text().replace("\\\n", " ").splitlines()
    return {line.split()[0]: re.findall(r"--hash=sha256:([0-9a-f]{64})", line) for line in lines if line}


def test_protocols_settings_and_manifest_are_inside(installed: dict[str, str]) -> None:
    names = {entry["name"] for entry in json.loads(call(installed, "protocols", "list", "--json").stdout)}
    assert {"balint-45", "balint-60", "balint-90", "balint-90-two-cases", "balint-plain"} <= names
    models = {
        entry["name"]: entry for entry in json.loads(call(installed, "models", "list", "--json").stdout)
    }
    assert any(entry["needed"] for entry in models.values())
    assert call(installed, "rehearse").returncode == 0


def test_the_voice_model_comes_with_it(installed: dict[str, str]) -> None:
    found = {entry["what"]: entry for entry in json.loads(call(installed, "doctor", "--json").stdout)}
    assert found["settings"]["health"] == "good"
    assert (Path(installed["PYTHONPATH"]) / "voice_facilitator" / "data" / "config").is_dir()
    assert call(installed, "models", "verify").returncode == 0, "nothing has to be fetched"


def test_its_bill_of_materials_names_every_package_with_its_hashes(wheel: Path) -> None:
    bill: dict[str, Any] = json.loads(wheel.with_suffix(".cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "voice-facilitator"
    named = {
        f"{part['name']}=={part['version']}": sorted(
            each["content"] for source in part["externalReferences"] for each in source.get("hashes", ())
        )
        for part in bill["components"]
    }
    assert named == {package: sorted(hashes) for package, hashes in locked("requirements.lock").items()}


# ---------------------------------------------------------------- what is locked


@pytest.mark.parametrize("name", LOCKS)
def test_everything_locked_has_one_version_and_hashes_and_no_address(name: str) -> None:
    packages = locked(name)
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", package) for package in packages)
    assert all(packages.values())
    assert "://" not in (TOP / name).read_text()


def test_the_locks_hold_what_is_asked_for() -> None:
    """Where this fails, dependencies were changed: scripts/lock."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = {
        ("requirements-uv.lock",): groups["uv"],
        ("requirements-setup.lock",): [*groups["setup"], *project["build-system"]["requires"]],
        ("requirements.lock",): project["project"]["dependencies"],
        LOCKS: groups["dev"],
    }
    for names, wanted in asked.items():
        versions: dict[str, list[str]] = {}
        for of, _, version in (package.partition("==") for name in names for package in locked(name)):
            versions.setdefault(canonicalize_name(of), []).append(version)
        for each in map(Requirement, wanted):
            found = versions.get(canonicalize_name(each.name), [])
            assert any(each.specifier.contains(version) for version in found), f"{names[-1]}: {each}"


def test_the_locks_can_be_installed_together() -> None:
    packages = [{package.partition("==")[0]: package for package in locked(name)} for name in LOCKS]
    for one, other in itertools.combinations(packages, 2):
        for name in one.keys() & other.keys():
            assert one[name] == other[name]


def test_every_licence_is_one_of_those_allowed() -> None:
    script = str(TOP / "scripts" / "licences")
    done = subprocess.run([script], capture_output=True, check=False, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "numpy" in done.stdout
    strict = subprocess.run([script, "--allow-only", "MIT"], capture_output=True, check=False, timeout=120)
    assert strict.returncode != 0, "the check must be able to fail"
