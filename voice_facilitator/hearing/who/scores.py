"""How much a piece of sound is the presenter's: what the voices of a session are compared to."""

from __future__ import annotations

from dataclasses import dataclass

_TWO_END = 0.6  # how much the end of a window counts when two may speak in it


@dataclass(frozen=True, slots=True)
class Score:
    """How much a window is the presenter's, and why. `score` and `discriminant` are no cosines."""

    score: float  # all of it together, on the scale of `Rule`; or of a voice found by a closer look
    own: float  # to the presenter's mean
    nearest: float | None  # to the nearest other voices of this session, if any are known
    typical: float | None  # to the nearest voices of the cohort, if there is one: high for a voice like many
    discriminant: float  # 0 the others' level, 1 the presenter's own
    closer: float | None = None  # `Together.level`, where a closer look was taken

    @property
    def closeness(self) -> tuple[float, float, float, float]:
        """Own, nearest, typical and discriminant; NaN for what is not there to compare with."""
        nearest, typical = (float("nan") if v is None else v for v in (self.nearest, self.typical))
        return self.own, nearest, typical, self.discriminant


@dataclass(frozen=True, slots=True)
class Together:
    """The two voices of a window in which two people may speak at once, and those of its end."""

    best: Score  # of the voice that is more like the presenter's
    other: Score
    best_end: Score
    other_end: Score
    alike: float  # cosine between the two voices
    alike_end: float

    @property
    def level(self) -> float:
        """How much of the window is the presenter's: the better end, less the other voice.

        A voice like the presenter's makes both voices high.
        """
        return _TWO_END * self.best_end.score + (1 - _TWO_END) * (self.best.score - self.other.score)
