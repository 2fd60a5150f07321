"""What the computer's clocks tell: a wall clock that is set is no sleep."""

from __future__ import annotations

import time

import pytest

from voice_facilitator.machine import clocks
from voice_facilitator.machine.clocks import Moment, asleep_seconds


def test_only_the_clock_that_counts_sleep_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("another system's clocks")
    slept = asleep_seconds()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert asleep_seconds() == pytest.approx(slept, abs=0.1)
    read = time.clock_gettime
    monkeypatch.setattr(
        time, "clock_gettime", lambda clock: read(clock) + 3600 * (clock == time.CLOCK_BOOTTIME)
    )
    assert asleep_seconds() == pytest.approx(slept + 3600, abs=0.1)


def test_a_moment_knows_its_start_of_the_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Moment.now(), Moment.now()
    assert one.start == other.start
    assert 0 < one.up <= other.up
    monkeypatch.setattr(clocks, "_BOOT_ID", clocks.Path("/nonexistent"))
    assert Moment.now().start == ""
