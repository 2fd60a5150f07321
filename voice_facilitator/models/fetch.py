"""Gets models from a web address, with progress, and goes on where it stopped.

Never called while a session runs.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import filelock

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.machine.resources import models_folder, state_folder
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

Progress = Callable[[str, int, int], None]
"""Told what is being done, bytes done and bytes in all (0 when unknown)."""

_BLOCK = 1 << 16
_UNPACKING = "unpack-"
_MOST_OVER = 1 << 20  # bytes that a download may have beyond what the manifest says
_MOST_ENTRIES = 10_000  # files in a model; the largest here has 30
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and without a byte
# A model unpacked is up to twice as large as its zip; what grows far more was made to fill a disk.
_MOST_GROWTH, _MOST_GROWTH_OVER = 4, 50 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)


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
    One at a time into a folder: who comes while another fetches waits, and finds the model there.
    Raises FacilitatorError `model-download`, `model-hash`, `model-missing`, `model-damaged`,
    `model-unpublished-hash`, `model-folder`.
    """
    target = entry.path(folder)
    if entry.is_shipped:
        return checked_path(entry, folder)  # there is nowhere to fetch it from
    if state_of(entry, folder) is State.GOOD:
        return target
    home = folder or models_folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _alone_in(home, progress):
            if state_of(entry, folder) is not State.GOOD:
                _fetch_from_web(entry, home, target, progress, trust_unknown)
    except OSError as error:
        if error.errno in _NO_SPACE:
            (home / f"{entry.name}.zip.part").unlink(missing_ok=True)
            raise _failed(
                "model-folder",
                f"There is no room left for {entry.name} in {home}.",
                "Make room on that disk, then run the same command again.",
            ) from error
        raise _failed(
            "model-folder",
            f"{entry.name} cannot be kept in {home}: {error.strerror}.",
            "Run the command as a user who may write there.",
        ) from error
    return target


@contextlib.contextmanager
def _alone_in(home: Path, progress: Progress) -> Iterator[None]:
    """Until the end of the block nobody else fetches into `home`. The lock lies elsewhere: models are counted
    and hashed by what lies here."""
    key = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    try:
        state_folder().mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(state_folder() / f"fetching-{key}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            progress("waiting for another fetch", 0, 0)
            lock.acquire()
    except (OSError, NotImplementedError):  # no folder of our own, or a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


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
    for left_over in home.glob(f"{_UNPACKING}*"):  # of a fetch that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    archive = home / f"{entry.name}.zip.part"
    _download(entry, archive, progress)
    found = file_hash(archive)
    if expected and found != expected:
        archive.unlink()
        raise _wrong_hash(entry)
    progress("unpacking", 0, 0)
    with tempfile.TemporaryDirectory(dir=home, prefix=_UNPACKING) as name:
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
            "model-download",
            f"{urlsplit(entry.url).hostname} cannot be reached.",
            "Is this computer on the internet? It is needed for this one command only.",
        ) from error
    try:
        with answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                return  # all of it is here already
            answer.raise_for_status()
            resumed = answer.status_code == requests.codes.partial_content
            have = have if resumed else 0
            length = answer.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else entry.bytes
            most = entry.bytes + _MOST_OVER if entry.bytes else None
            with partial.open("ab" if resumed else "wb") as file:
                for block in answer.iter_content(_BLOCK):
                    file.write(block)
                    have += len(block)
                    progress(what, have, total)
                    if most is not None and have > most:
                        raise _wrong_hash(entry)
            if length.isdigit() and have < total:
                raise requests.ConnectionError("the connection was cut")
    except FacilitatorError:
        partial.unlink(missing_ok=True)
        raise
    except requests.HTTPError as error:
        partial.unlink(missing_ok=True)
        raise _failed("model-download", f"{entry.url} is not there: {error}.") from error
    except requests.RequestException as error:
        raise _failed(
            "model-download",
            f"The download of {entry.name} was interrupted.",
            "Run the same command again: it goes on where it stopped.",
        ) from error


def unpack(archive: Path, place: Path) -> Path:
    """Unpack a zip that holds one folder; returns that folder.

    Refuses names that lead out of `place`, links, and absurd sizes.
    Raises FacilitatorError `model-damaged`.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
            most = _MOST_GROWTH * archive.stat().st_size + _MOST_GROWTH_OVER
            if len(entries) > _MOST_ENTRIES or sum(entry.file_size for entry in entries) > most:
                raise _failed("model-damaged", f"{archive.name} is far too large unpacked.")
            root = place.resolve()
            for entry in entries:
                path = (root / entry.filename).resolve()
                if os.path.commonpath([root, path]) != str(root) or stat.S_ISLNK(entry.external_attr >> 16):
                    raise _failed("model-damaged", f"{archive.name} wants to write outside its folder.")
            file.extractall(root)
    except OSError as error:
        if error.errno in (*_NO_SPACE, errno.EACCES, errno.EROFS, errno.EIO):
            raise
        raise _failed("model-damaged", f"{archive.name} is not a zip file we can read.") from error
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise _failed("model-damaged", f"{archive.name} is not a zip file we can read.") from error
    folders = [path for path in place.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise _failed("model-damaged", f"{archive.name} does not hold one folder.")
    return folders[0]


# ---------------------------------------------------------------- errors


def _wrong_hash(entry: ModelEntry) -> FacilitatorError:
    return _failed(
        "model-hash",
        f"The download of {entry.name} is not what its publisher released; it was thrown away.",
        "Try again. If it happens again, somebody between you and the publisher changes it.",
    )


def _failed(code: str, message: str, hint: str = "Check the network and try again.") -> FacilitatorError:
    return FacilitatorError(code, message, hint, exit_code=ExitCode.NO_MODEL)
