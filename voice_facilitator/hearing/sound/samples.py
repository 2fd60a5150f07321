"""What sound is inside the hearing: float32 samples of full scale 1, mono, at one rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RATE = 16_000  # Hz, everywhere in the hearing
