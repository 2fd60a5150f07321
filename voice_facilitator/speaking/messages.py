"""What passes between the program and its speaking process."""

from __future__ import annotations

from dataclasses import dataclass

from voice_facilitator.files.settings import SpeakingSettings
from voice_facilitator.machine.messages import Codec
from voice_facilitator.session.events import Outcome, Part

# ---------------------------------------------------------------- to the process


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process is to do. `texts`: the known sentences, the first needed first.

    `engine`: see `engine_for`.
    """

    settings: SpeakingSettings
    texts: tuple[str, ...]
    engine: str
    retry_seconds: float


@dataclass(frozen=True, slots=True)
class Say:
    """Say this after what waits already. `asked_at`: time.monotonic(), which all processes share."""

    number: int
    text: str
    chime: bool
    voice: bool
    asked_at: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Fade out, and drop what waits."""


@dataclass(frozen=True, slots=True)
class Close:
    """Fade out and end the process."""


# ---------------------------------------------------------------- from the process


@dataclass(frozen=True, slots=True)
class Alive:
    """A sign of life of the thread that plays, about twice a second."""


@dataclass(frozen=True, slots=True)
class Started:
    number: int


@dataclass(frozen=True, slots=True)
class Finished:
    number: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class PartWorks:
    """Whether a part works, as found just now; said again without a change."""

    part: Part
    works: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the known sentences are done with."""

    done: int
    total: int


Control = Setup | Say | Stop | Close
Report = Alive | Started | Finished | PartWorks | Progress
CONTROLS: Codec[Control] = Codec(Setup, Say, Stop, Close)
REPORTS: Codec[Report] = Codec(Alive, Started, Finished, PartWorks, Progress)
