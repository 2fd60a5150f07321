"""Opens the room display in the browser of this machine, without telling its key to other users."""

from __future__ import annotations

import contextlib
import html
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from voice_facilitator.machine.resources import state_folder

_LOADING_SECONDS = 120.0  # a slow computer that starts its browser first
_LOOK_SECONDS = 0.5
_REDIRECT = (
    '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
    '<meta http-equiv="refresh" content="0; url={address}"><title>voice-facilitator</title>'
    '<p><a href="{address}">voice-facilitator</a>\n'
)


def there_is_a_desktop() -> bool:
    """Whether a browser would open in a window. Without one, it would take over the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextlib.contextmanager
def opened_in_browser(address: str, is_seen: Callable[[], bool]) -> Iterator[bool]:
    """Meanwhile a browser shows `address`; a browser that does not come up is no fault of the session's.

    Every user of a computer can read the command lines on it. So the browser is given a file that leads on,
    which nobody else can read; it is gone when `is_seen` says that the page is there. Gives False where there
    can be none.
    """
    over = threading.Event()
    try:
        file = _redirect_to(address)
    except OSError:
        yield False
        return

    def remove_when_seen() -> None:
        for _ in range(int(_LOADING_SECONDS / _LOOK_SECONDS)):
            if is_seen() or over.wait(_LOOK_SECONDS):
                break
        file.unlink(missing_ok=True)

    thread = threading.Thread(target=remove_when_seen, name="browser", daemon=True)
    thread.start()
    with contextlib.suppress(OSError):
        _open(file.as_uri())
    try:
        yield True
    finally:
        over.set()
        thread.join(_LOOK_SECONDS)


def _redirect_to(address: str) -> Path:
    handle, name = tempfile.mkstemp(".html", "voice-facilitator-", _folder())  # for its owner only
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(_REDIRECT.format(address=html.escape(address)))
    return Path(name)


def _folder() -> Path:
    """One that the user's browser can read."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if sys.platform == "linux" and (Path.home() / "snap").is_dir():
        return Path.home()  # a browser that is a snap, as Ubuntu's is, sees nothing that is hidden, nor /run
    if runtime and Path(runtime).is_dir():
        return Path(runtime)
    state_folder().mkdir(parents=True, exist_ok=True)
    return state_folder()


def _open(url: str) -> None:
    """In a process of its own: what a browser prints would be drawn into the session's picture."""
    subprocess.Popen(
        [sys.executable, "-m", "webbrowser", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it outlives the program, and ctrl-c
    )
