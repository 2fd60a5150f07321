"""Tries out, in a process like the hearing one, what the hearing process can and cannot do on this machine.

`python -m voice_facilitator.privacy.selftest` hardens and confines itself as the hearing process does, tries
what must fail, and prints the results as one line of JSON. `run` starts it and reads them.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voice_facilitator.privacy import memory
from voice_facilitator.privacy.confinement import confine, harden

_LIKE_THE_HEARING = 5 << 20  # bytes: the ring, the last seconds and the voiceprints together
_LIMIT_SECONDS = 30.0
WORKED = "worked"


@dataclass(frozen=True, slots=True)
class Results:
    """What happened. `network`, `files`, `programs`: each thing tried, and the error's name or "worked"."""

    network: dict[str, str]
    files: dict[str, str]
    programs: dict[str, str]
    no_core_dumps: bool
    not_dumpable: bool
    private_bytes: int
    locked_bytes: int
    wiped: bool  # private memory was zero after the wiping
    freed_is_overwritten: bool
    left_over: tuple[str, ...] = ()  # files that could be made after all


def run() -> Results | None:
    """Start the self-test; None where it gives no answer."""
    environment = dict(os.environ)
    environment |= memory.wiping_allocator(environment)
    with tempfile.TemporaryDirectory(prefix="voice-facilitator-selftest-") as folder:
        try:
            answer = subprocess.run(
                [sys.executable, "-m", "voice_facilitator.privacy.selftest", folder],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=_LIMIT_SECONDS,
                check=False,
            ).stdout
            found: dict[str, Any] = json.loads(answer)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
        return Results(**found | {"left_over": tuple(path.name for path in Path(folder).iterdir())})


def main() -> None:
    """In the process that is tried out."""
    folder = Path(sys.argv[1])
    harden()
    in_force = confine(sound_server=True)
    tried: dict[str, dict[str, str]] = {"network": {}, "files": {}, "programs": {}}

    def attempt(kind: str, name: str, do: Callable[[], object]) -> None:
        try:
            do()
            tried[kind][name] = WORKED
        except OSError as error:
            tried[kind][name] = errno.errorcode.get(error.errno or 0, "error")

    attempt("network", "an internet connection", lambda: socket.socket(socket.AF_INET).close())
    attempt("network", "an internet connection by IPv6", lambda: socket.socket(socket.AF_INET6).close())
    attempt("files", "a new file", lambda: (folder / "new").write_text("x"))
    attempt("files", "a new folder", (folder / "folder").mkdir)
    attempt("files", "a file in the home folder", lambda: _and_removed(Path.home() / f".{folder.name}"))
    if sys.platform == "linux":
        attempt("files", "shared memory", lambda: _and_removed(Path("/dev/shm") / folder.name))  # noqa: S108
    thread = threading.Thread(
        target=lambda: attempt("files", "a new file, from a thread", lambda: (folder / "t").write_text("x"))
    )
    thread.start()
    thread.join()
    attempt(
        "programs",
        "another program",
        lambda: subprocess.run([sys.executable, "-V"], capture_output=True, check=False),
    )

    held = memory.private_zeros(_LIKE_THE_HEARING // 4)
    held[:] = 1
    amounts = memory.held()
    memory.wipe_all()
    results = Results(
        network=tried["network"],
        files=tried["files"],
        programs=tried["programs"],
        no_core_dumps=in_force.no_core_dumps,
        not_dumpable=in_force.not_dumpable,
        private_bytes=amounts.total,
        locked_bytes=amounts.locked,
        wiped=amounts.not_zero > 0 and memory.held().not_zero == 0,
        freed_is_overwritten=memory.freed_memory_is_overwritten(),
    )
    print(json.dumps(asdict(results)))


def _and_removed(path: Path) -> None:
    path.write_text("x")
    path.unlink()


if __name__ == "__main__":
    main()
