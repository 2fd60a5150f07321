"""Opens the room display in the browser of this machine."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import webbrowser


def there_is_a_desktop() -> bool:
    """Whether a browser would open in a window. Without one, it would take over the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_in_browser(address: str) -> None:
    """Returns at once; a browser that does not come up is no fault of the session's."""

    def call() -> None:
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(address)

    threading.Thread(target=call, name="browser", daemon=True).start()
