"""Is this a remark of the presenter's? A logistic regression on what the last 2.5 s told.

Each hop of 0.2 s leaves a row of numbers: scores of the window and of its end, those of both voices where two
may speak at once, and how close each is to whom. `training/voices/make_remarks.py` fits the weights to
sessions of known truth; docs/presenter-detection.md tells how, and how well it does with presenters it was
not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.who.networks import reading
from voice_facilitator.hearing.who.scores import Score, Together

HOPS = 13  # that are looked back on: 2.5 s
# A row: these, then how close each voice is to whom. What was not heard in a hop is NaN.
_SCORES = ("score", "length", "end", "best", "other", "best_end", "other_end", "level", "speech")
_CLOSENESS = 24
ROW = len(_SCORES) + _CLOSENESS
_EXTREMES = [_SCORES.index(name) for name in ("score", "end", "best", "best_end", "level")]
_COUNTED = [_SCORES.index(name) for name in ("end", "level")]
_POINTING = [_SCORES.index(name) for name in ("score", "end", "best")]
_COUNTED_ABOVE = (0.3, 0.5)
_SPANS = (4, 8, HOPS)  # hops of the extremes and means of scores
_CLOSENESS_SPANS = (1, 5, HOPS)  # hops of the means of closeness
_POINTING_HOPS = 6
_POINTING_ABOVE = 0.2  # where no score of the last 1.2 s is, nobody asks whether it is a remark
_MOST_LOG_ODDS = 50.0  # beyond some 700 the exponential overflows
_FARTHEST = 3.0  # standard deviations: what is farther off tells no more; 2 to 6 make no difference


def row_of(
    speech: float,
    told: Score | None = None,
    end: Score | None = None,
    length: float = 0.0,
    two: Together | None = None,
) -> Floats:
    """What one hop told, float32 [33].

    speech: share of the hop. told, end: of the window and of its end, if there was one. length: of it, in
    windows (to 1). two: what a closer look found, if one was taken.
    """
    row = np.full(ROW, np.nan, np.float32)
    row[8] = speech
    if told is not None and end is not None:
        row[:3] = told.score, length, end.score
        row[9:17] = *told.closeness, *end.closeness
    if two is not None:
        row[3:8] = two.best.score, two.other.score, two.best_end.score, two.other_end.score, two.level
        row[17:25] = *two.best.closeness, *two.best_end.closeness
        row[25:31] = *two.other.closeness[:3], *two.other_end.closeness[:3]
        row[31:] = two.alike, two.alike_end
    return row


def features(rows: Floats, everybody_heard: bool) -> Floats:
    """What the regression looks at, float32 [..., n]; NaN where nothing of the kind was heard, counts 0.

    rows: float32 [..., 13, 33], the newest hop first.
    """
    scores, closeness = rows[..., : len(_SCORES)], rows[..., len(_SCORES) :]
    found = [np.swapaxes(scores, -1, -2)]
    found += [_mean(closeness[..., :hops, :]) for hops in _CLOSENESS_SPANS]
    for hops in _SPANS:
        some = scores[..., :hops, _EXTREMES]
        found += [np.fmax.reduce(some, axis=-2), np.fmin.reduce(some, axis=-2), _mean(some)]
    found += [np.sum(scores[..., _COUNTED] > above, axis=-2) for above in _COUNTED_ABOVE]
    found.append(np.full((*rows.shape[:-2], 1), everybody_heard))
    flat = [part.reshape(*rows.shape[:-2], -1) for part in found]
    return np.concatenate(flat, axis=-1, dtype=np.float32)


def pointing(rows: Floats) -> NDArray[np.bool_]:
    """bool [...]: does anything in the last 1.2 s of `rows` (as in `features`) point to the presenter?"""
    return np.asarray((rows[..., :_POINTING_HOPS, _POINTING] > _POINTING_ABOVE).any(axis=(-1, -2)))


def _mean(values: Floats) -> Floats:
    """Over the last axis but one, of what is there; NaN where nothing is."""
    count = (~np.isnan(values)).sum(axis=-2, dtype=np.float32)
    return np.asarray(np.nansum(values, axis=-2) / np.where(count, count, np.nan), np.float32)


def standardised(looked_at: Floats, mean: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Features [..., n] in standard deviations from their mean, 0 where they are NaN; 1 where they are."""
    missing = np.isnan(looked_at)
    far = np.where(missing, 0, (looked_at - mean) / scale)
    return far.clip(-_FARTHEST, _FARTHEST).astype(np.float32), missing.astype(np.float32)


class AnyRemark(Protocol):
    """How likely it is that the presenter is making a remark, by what the last hops told."""

    def __call__(self, rows: Floats, everybody_heard: bool) -> float:
        """rows: float32 [13, 33], the newest hop first. Returns 0 to 1."""
        ...


class Remark:
    """The regression, as fitted."""

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        """arrays: float32 `mean`, `scale`, `weight`, `missing` (weight of a feature's absence), all [n], and
        `bias` [1]. Raises KeyError or ValueError for other ones.
        """
        count = len(features(np.zeros((HOPS, ROW), np.float32), everybody_heard=False))

        def checked(name: str, size: int) -> Floats:
            array = np.asarray(arrays[name], np.float32)
            if array.shape != (size,) or not np.isfinite(array).all():
                raise ValueError(f"{name}: {size} numbers are needed")
            return array

        self._mean, self._scale = checked("mean", count), checked("scale", count)
        self._weight, self._missing = checked("weight", count), checked("missing", count)
        self._bias = float(checked("bias", 1)[0])
        if not (self._scale > 0).all():
            raise ValueError("scale: no number may be 0 or less")

    def __call__(self, rows: Floats, everybody_heard: bool) -> float:
        """See `AnyRemark`."""
        if not pointing(rows):
            return 0.0
        far, missing = standardised(features(rows, everybody_heard), self._mean, self._scale)
        log_odds = float(far @ self._weight + missing @ self._missing) + self._bias
        return 1 / (1 + math.exp(min(-log_odds, _MOST_LOG_ODDS)))

    @classmethod
    def load(cls, path: Path) -> Remark:
        """Read the weights. Raises FacilitatorError `model-missing` or `model-damaged`."""
        with reading(f"The file of weights {path.name}"), np.load(path, allow_pickle=False) as archive:
            return cls(archive)


class LastHops:
    """What the last hops told."""

    def __init__(self) -> None:
        self.rows: Floats = np.empty((HOPS, ROW), np.float32)  # the newest first
        self.end()

    def hop(self, row: Floats) -> None:
        """row: see `row_of`."""
        self.rows[1:] = self.rows[:-1]
        self.rows[0] = row

    def end(self) -> None:
        """Nothing of it counts any longer: as after a silence, which the weights know."""
        self.rows[:] = row_of(speech=0.0)
