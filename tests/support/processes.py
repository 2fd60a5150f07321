"""The program's own child processes, as the system sees them."""

from __future__ import annotations

import os
from pathlib import Path

from voice_facilitator.machine.child_process import SUB_COMMAND


def children() -> list[str]:
    """Command lines of the hearing and speaking processes that we have started and that still live."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            words = process.joinpath("cmdline").read_bytes().decode().split("\0")
        except (OSError, ValueError):  # it ended meanwhile
            continue
        if parent == os.getpid() and SUB_COMMAND in words:
            found.append(" ".join(words))
    return found
