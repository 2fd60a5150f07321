"""The sound before an announcement: one low soft tone that fades in slowly and dies away.

It must not be taken for a medical alarm (IEC 60601-1-8: bursts of several short pulses with steep flanks)
nor startle anybody: so a single tone, no melody, no pulse, no steep flank.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FREQUENCY = 392.0  # Hz, the G above middle C: low for a bell, yet within what small speakers can play
FADE_IN_SECONDS = 0.06
SECONDS = 1.6
# Partials: multiple of the frequency, share of the level, time constant of the decay in seconds.
# The higher ones are weak and die first, as in a singing bowl.
_PARTIALS = ((1.0, 1.0, 0.42), (2.0, 0.18, 0.25), (3.01, 0.05, 0.14))


def chime(rate: int, level: float) -> npt.NDArray[np.int16]:
    """The tone as int16 mono at `rate` Hz; `level` is its peak, full scale is 1."""
    time = np.arange(int(SECONDS * rate)) / rate
    tone = np.zeros_like(time)
    for multiple, share, decay in _PARTIALS:
        tone += share * np.sin(2 * np.pi * FREQUENCY * multiple * time) * np.exp(-time / decay)
    tone *= np.sin(np.pi / 2 * np.minimum(1, time / FADE_IN_SECONDS)) ** 2
    tone *= np.cos(np.pi / 2 * np.clip((time - (SECONDS - 0.3)) / 0.3, 0, 1)) ** 2  # ends at nothing
    samples: npt.NDArray[np.int16] = (tone / np.abs(tone).max() * level * 32767).astype(np.int16)
    return samples
