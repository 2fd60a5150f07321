"""What the computer's clocks tell besides the time: whether it slept, and which of its starts this is."""

from __future__ import annotations

import ctypes
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from voice_facilitator.session.events import Seconds

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def asleep_seconds() -> Seconds:
    """How long this computer has been suspended since its start; 0 where the system does not say.

    The wall clock does not enter into it: setting that is no sleep.
    """
    if sys.platform == "win32":
        awake = ctypes.c_ulonglong()
        ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(awake))
        return _up_on_windows() - awake.value / 1e7
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time by both clocks: the wall's, which people and networks set, and the computer's own."""

    wall: float  # seconds since 1970
    start: str = ""  # which start of the computer it is in; empty: unknown
    up: Seconds = 0.0  # since that start, sleep included

    @classmethod
    def now(cls) -> Moment:
        start = ""
        if sys.platform == "linux":
            try:
                start = _BOOT_ID.read_text("ascii").strip()
            except (OSError, ValueError):
                start = ""
        return cls(time.time(), start, _up())


def _up() -> Seconds:
    if sys.platform == "win32":
        return _up_on_windows()
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _up_on_windows() -> Seconds:
    up = ctypes.windll.kernel32.GetTickCount64  # type: ignore[attr-defined,unused-ignore]
    up.restype = ctypes.c_ulonglong
    return float(up()) / 1000.0
