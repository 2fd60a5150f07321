"""Where the shipped files lie: inside the wheel, or at the top of a source checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).parent.parent
_IN_WHEEL = _PACKAGE / "data"
APP_NAME = "voice-facilitator"
# Matrices here are so small that a second thread costs more than it brings: on a busy machine many times
# the time, because it waits by spinning. The libraries read this when they are loaded. The detector of voice
# activity asks for two threads by itself, so that only a limit holds it: 0.15 ms for a chunk instead of 2.5.
ONE_THREAD = (
    "OMP_THREAD_LIMIT",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def find_runtime_folder() -> None:
    """Name the user's runtime folder in the environment where that lacks it, for us and our processes.

    A program that was started by cron, su, ssh or a service has no XDG_RUNTIME_DIR; the socket of the user's
    sound server lies in it.
    """
    if sys.platform != "linux" or os.environ.get("XDG_RUNTIME_DIR"):
        return
    user = os.getuid()
    folder = Path("/run/user", str(user))
    if folder.is_dir() and folder.stat().st_uid == user:
        os.environ["XDG_RUNTIME_DIR"] = str(folder)


def find_home() -> None:
    """Name a home folder in the environment where the user has none, for us and our processes.

    Libraries look for files in it, and some stop without. Nothing can be found or made in this one.
    """
    try:
        Path.home()
    except RuntimeError:  # no HOME, and a user whom the system does not know
        os.environ["HOME"] = os.devnull


def shipped(*parts: str) -> Path:
    """Path of a shipped file, such as `shipped("config", "settings.toml")`."""
    root = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent
    return root.joinpath(*parts)


def models_folder() -> Path:
    """Where fetched models are kept: `models/` of a checkout, else the user's data folder."""
    if _IN_WHEEL.is_dir():
        return Path(platformdirs.user_data_dir(APP_NAME, appauthor=False)) / "models"
    return _PACKAGE.parent / "models"


def state_folder() -> Path:
    """Where the resume file and the content-free log are kept."""
    return Path(platformdirs.user_state_dir(APP_NAME, appauthor=False))


def user_settings_file() -> Path:
    return Path(platformdirs.user_config_dir(APP_NAME, appauthor=False)) / "settings.toml"


def writing_fails(folder: Path) -> str:
    """Why no file can be written in `folder`, which is made if need be; empty where one can."""
    if Path(os.devnull) in folder.parents:
        return "this user has no home folder"
    import tempfile  # noqa: PLC0415  # help and version answer at once

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b" " * 4096)
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""
