"""`doctor --privacy`: what protects the group on this machine, tried out, and what no program can promise."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from voice_facilitator.machine.resources import state_folder, user_settings_file
from voice_facilitator.privacy import selftest
from voice_facilitator.privacy.selftest import WORKED, Results
from voice_facilitator.tools.doctor import Finding, Health

_LANDLOCK_HINT = (
    "Needs Linux 5.13 or newer with Landlock, and libseccomp (Debian: sudo apt install libseccomp2). "
    "Until then the program's word has to do."
)
_MEMLOCK_HINT = "Raise the limit for locked memory (ulimit -l) to 8192 or more."


def in_short() -> Iterator[Finding]:
    """One line for the ordinary `doctor`."""
    results = selftest.start()
    if results is None:
        yield Finding("privacy", Health.NOTE, "the self-test gave no answer")
        return
    good = [
        text
        for text, is_so in (
            ("no network", WORKED not in results.network.values()),
            ("no writing of files", WORKED not in results.files.values()),
            ("no core dumps", results.no_core_dumps),
            ("closed to other programs", results.not_dumpable),
            ("locked memory", results.locked_bytes == results.private_bytes),
            ("freed memory overwritten", results.freed_is_overwritten),
        )
        if is_so
    ]
    yield Finding(
        "privacy",
        Health.GOOD if len(good) == 6 else Health.NOTE,
        "in force for the hearing process: " + (", ".join(good) or "nothing that this system offers"),
        "" if len(good) == 6 else "More: voice-facilitator doctor --privacy",
    )


def examine() -> Iterator[Finding]:
    """Everything that was tried, each with what happened."""
    results = selftest.start()
    if results is None:
        yield Finding("self-test", Health.BAD, "it gave no answer", "Run it again; restart the computer.")
    else:
        yield from _tried(results)
    yield _announcements()
    yield from _system()
    yield _kept()
    yield Finding(
        "not checked here",
        Health.NOTE,
        "the system's sound server, the microphone itself, other programs and devices in the room, and what "
        "people remember; docs/privacy.md says how the rest was proven and how to repeat it",
    )


def _tried(results: Results) -> Iterator[Finding]:
    yield _refused("network", "it cannot reach a network", results.network)
    yield _refused("files", "it cannot write a file", results.files)
    yield _refused("programs", "it cannot start a program", results.programs)
    dumps = results.no_core_dumps and results.not_dumpable
    if dumps:
        text = "a crash leaves no copy of its memory, and other programs of yours cannot look into it"
    elif results.no_core_dumps:
        text = "a crash leaves no copy of its memory; other programs of yours could look into it"
    else:
        text = "this system could write a copy of its memory after a crash"
    yield Finding("crashes", Health.GOOD if dumps else Health.NOTE, text)
    locked, total = results.locked_bytes >> 10, results.private_bytes >> 10
    enough = results.locked_bytes == results.private_bytes
    yield Finding(
        "memory",
        Health.GOOD if enough else Health.NOTE,
        f"{locked} of {total} KiB for sound and voiceprints are kept out of swap",
        "" if enough else _MEMLOCK_HINT,
    )
    yield Finding(
        "forgetting",
        Health.GOOD if results.wiped else Health.BAD,
        "sound and voiceprints are overwritten in place" if results.wiped else "they were not overwritten",
    )
    freed = "what libraries give back is overwritten at once"
    if not results.freed_is_overwritten:
        freed = (
            "this system does not overwrite what libraries give back: "
            "it stays in memory until it is used again or the session ends"
        )
    yield Finding("freed memory", Health.GOOD if results.freed_is_overwritten else Health.NOTE, freed)


def _refused(what: str, good: str, tried: dict[str, str]) -> Finding:
    worked = [name for name, result in tried.items() if result == WORKED]
    if worked:
        return Finding(
            what,
            Health.NOTE,
            f"this system does not prevent {', '.join(worked)}; the program does not do it",
            _LANDLOCK_HINT if sys.platform == "linux" else "Only Linux offers this.",
        )
    return Finding(what, Health.GOOD, f"{good} (tried: {', '.join(tried)})")


def _announcements() -> Finding:
    if hasattr(os, "memfd_create"):
        return Finding(
            "announcements", Health.GOOD, "rendered in memory without a name: no file, whatever happens"
        )
    return Finding(
        "announcements",
        Health.NOTE,
        "rendered through a file in the temporary folder, one sentence of ours at a time, then removed",
    )


def _system() -> Iterator[Finding]:
    swaps = Path("/proc/swaps")
    if swaps.is_file() and len(swaps.read_text().splitlines()) > 1:
        yield Finding(
            "swap",
            Health.NOTE,
            "this computer has swap; the locked memory is kept out of it, but not out of hibernation",
            "Do not let the computer hibernate (suspend to disk) during a session.",
        )


def _kept() -> Finding:
    places = (user_settings_file(), state_folder())
    files = [f for p in places for f in ([p] if p.is_file() else p.glob("*") if p.is_dir() else [])]
    what = "(settings, resume file, fault log, lock; no content)"
    listed = ", ".join(map(str, files)) or "nothing"
    names = ", ".join(file.name for file in files) or "nothing"
    return Finding("files of this program", Health.GOOD, f"{listed} {what}", reported=f"{names} {what}")
