"""Notices what the sound server does to the microphone without a word: another source in its place, or mute.

PulseAudio and PipeWire exchange the source when a microphone is unplugged and there is another, such as the
laptop's own. To the hearing process nothing changes but the sound, so the program asks the server, once a
second, which source that process listens to, and whether it is muted. Nothing of the sound comes along.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import sys
import threading
from collections.abc import Callable
from typing import Any

_EVERY_SECONDS = 1.0
_STOP_SECONDS = 0.5  # a server that hangs never answers; the thread goes with the program


class SourceWatch:
    """Tells, from a thread of its own, what becomes of the source that a process listens to.

    `on_move` is called when it was exchanged for another, `on_mute` when it was muted (True) or unmuted.
    Where there is no such server, or no library that talks to it, it does nothing.
    """

    def __init__(
        self, pid_of: Callable[[], int | None], on_move: Callable[[], None], on_mute: Callable[[bool], None]
    ) -> None:
        """pid_of: the process that listens now, None while there is none."""
        self._pid_of, self._on_move, self._on_mute = pid_of, on_move, on_mute
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Never hangs."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        library = _pulsectl()
        before: dict[int, int] = {}  # source by connection
        muted = False
        server: Any = None
        while library is not None and not self._stopping.wait(_EVERY_SECONDS):
            pid = self._pid_of()
            try:
                server = server or library.Pulse("voice-facilitator")
                listening = [
                    found
                    for found in server.source_output_list()
                    if found.proplist.get("application.process.id") == str(pid)
                ]
                silenced = any(_is_muted(server, connection) for connection in listening)
            except Exception:  # noqa: BLE001  # no server, or it has just died: the next one may answer
                _close(server)
                server, before = None, {}
                continue
            now = {connection.index: connection.source for connection in listening}
            if any(before.get(index, source) != source for index, source in now.items()):
                self._on_move()
            before = now
            if listening and silenced != muted:
                muted = silenced
                self._on_mute(muted)
        _close(server)


def _is_muted(server: Any, connection: Any) -> bool:
    return bool(connection.mute or server.source_info(connection.source).mute)


def _pulsectl() -> Any:
    if sys.platform != "linux":
        return None
    # It looks for PulseAudio's library in a way that starts a compiler, which writes files; without an answer
    # it takes the usual name.
    find = ctypes.util.find_library
    ctypes.util.find_library = lambda name: None if name == "libpulse" else find(name)
    try:
        import pulsectl  # noqa: PLC0415  # see above
    except Exception:  # noqa: BLE001  # not installed, or PulseAudio's library is missing
        return None
    finally:
        ctypes.util.find_library = find
    return pulsectl


def _close(server: Any) -> None:
    with contextlib.suppress(Exception):
        server.close()
