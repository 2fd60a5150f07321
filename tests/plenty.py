"""How often tests try random input: FUZZ_TIMES=20 in the environment tries twenty times as many."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = float(os.environ.get("FUZZ_TIMES", "1"))
_MAY_BE = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


def tries(examples: int) -> settings:
    """As many examples, and always the same ones."""
    return settings(
        max_examples=max(1, round(examples * TIMES)),
        derandomize=True,
        deadline=None,
        suppress_health_check=_MAY_BE,
    )
