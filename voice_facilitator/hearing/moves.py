"""Notices when the sound server has put another source in the microphone's place, without a word or a gap.

PulseAudio and PipeWire do so when a microphone is unplugged and there is another, such as the laptop's own.
To the hearing process nothing changes but the sound, so the program asks the server, once a second, which
source that process listens to. Nothing of the sound comes along.
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


class MoveWatch:
    """Calls `on_move`, from a thread of its own, when a process's listening was moved to another source.

    Where there is no such server, or no library that talks to it, it does nothing.
    """

    def __init__(self, pid_of: Callable[[], int | None], on_move: Callable[[], None]) -> None:
        """pid_of: the process that listens now, None while there is none."""
        self._pid_of, self._on_move = pid_of, on_move
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="microphone-moves", daemon=True)

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
        server: Any = None
        while library is not None and not self._stopping.wait(_EVERY_SECONDS):
            pid = self._pid_of()
            try:
                server = server or library.Pulse("voice-facilitator")
                now = {
                    found.index: found.source
                    for found in server.source_output_list()
                    if found.proplist.get("application.process.id") == str(pid)
                }
            except Exception:  # noqa: BLE001  # no server, or it has just died: the next one may answer
                _close(server)
                server, before = None, {}
                continue
            if any(before.get(index, source) != source for index, source in now.items()):
                self._on_move()
            before = now
        _close(server)


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
