"""The other voices of the session, the non-target speakers: found among unlabelled windows, compared with,
and told from the presenter, the target speaker, by a discriminant.

Counts of windows below hold until a bank of voices is full; then it keeps every second one, and so on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.who.voices import VoiceBank
from voice_facilitator.privacy.memory import private_zeros

Mask = NDArray[np.bool_]

_CAPACITY = 1024  # windows of others that are compared with
_RIDGE = 1.0
_SESSION_SHARE = 0.5  # weight of this session's others against the cohort in the discriminant
_FAR = 0.68  # of the closeness of the story to itself
_AGREEING = 2  # neighbours on each side that must agree
_SMOOTHED = 3  # neighbours on each side in a mean: the windows overlap, so that one voice moves slowly
_LEAST_TURN = 6  # windows of the round that sound like the presenter's, one after the other
_TURN_BELOW = 0.03  # cosine; in 26 rounds the presenter's turn was always the closest to the story
_LEAST_WINDOWS = 12
_LEAST_RANGE = 1e-3  # no dividing by nothing when presenter and others cannot be told apart
_ONE_VOICE_BELOW = (
    0.20  # windows of the story this far below its median closeness, smoothed, are somebody else's
)
_BLOCK = 12  # windows between two turns: longer than a window and its smoothing
_NEAREST = 10  # windows: with one, a single odd window decides; with groups by voice nothing was gained


class Others:
    """Windows that are surely not the presenter's, in one array that is overwritten in place."""

    def __init__(self, dim: int) -> None:
        self._rows: Floats = private_zeros((_CAPACITY, dim))
        self._held = 0
        self.too_alike = False  # did somebody else in the round sound just like the presenter?

    @property
    def rows(self) -> Floats:
        """The windows held: a view [n, dim], not a copy."""
        return self._rows[: self._held]

    def learn(self, pool: VoiceBank, presenter: Floats, in_round: int = 0) -> None:
        """Find the others' windows in the pool anew.

        presenter: [n, dim]. in_round: how many windows of the pool, from the first, are of the round.
        """
        self.forget()
        if len(presenter) < _LEAST_WINDOWS or len(pool) < _LEAST_WINDOWS:
            return
        mask = label_others(pool.rows, presenter)
        turns, self.too_alike = _other_turns(pool.rows[:in_round], presenter, mask[:in_round])
        mask[:in_round] |= turns
        found = pool.rows[mask]
        found = found[:: 1 + len(found) // _CAPACITY]
        self._held = len(found)
        self._rows[: self._held] = found

    def closeness(self, row: Floats) -> float | None:
        """Mean cosine to the nearest windows of others; None when too few are known."""
        if self._held < _NEAREST:
            return None
        close = self._rows[: self._held] @ row
        return float(np.partition(close, -_NEAREST)[-_NEAREST:].mean())

    def forget(self) -> None:
        self._rows[:] = 0
        self._held = 0
        self.too_alike = False


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9), np.float32)


def robust_centroid(rows: Floats) -> Floats:
    """The mean direction of the dominant voice among `rows` [n, dim], without outliers: others' remarks."""
    mean = unit(rows.mean(axis=0))
    for _ in range(3):
        close = rows @ mean
        keep = close >= max(np.quantile(close, 0.1), np.median(close) - 0.25)
        mean = unit(rows[keep].mean(axis=0))
    return mean


def of_one_voice(rows: Floats) -> Mask:
    """Which windows of the story [n, dim] are of the person who tells most of it."""
    close = smoothed(rows) @ robust_centroid(rows)
    return np.asarray(close >= np.median(close) - _ONE_VOICE_BELOW)


class Discriminant:
    """The direction in which the presenter lies apart from the cohort and this session's others.

    Of its levels 0 is the cohort's median, 1 the presenter's, cross-validated on the two halves of the story.
    """

    def __init__(self, dim: int) -> None:
        self._direction: Floats = private_zeros(dim)
        self._low, self._range = 0.0, 1.0

    def learn(self, presenter: Floats, others: Floats, cohort: Floats) -> None:
        """Work it out anew from windows [n, dim] of each; with too few of the presenter's there is none."""
        self.forget()
        half = len(presenter) // 2
        if half < _LEAST_WINDOWS // 2:
            return
        whole = _Fisher(presenter, _negatives(others, cohort))
        first = _Fisher(presenter[:half], _negatives(others[::2], cohort))
        second = _Fisher(presenter[half:], _negatives(others[1::2], cohort))
        high = float(np.median(np.concatenate([first(presenter[half:]), second(presenter[:half])])))
        low = float(np.median(first(cohort[::3])))
        self._direction[:] = whole.direction
        self._low = low + whole.offset
        self._range = max(high - low, _LEAST_RANGE)

    @property
    def learnt(self) -> bool:
        """Was there enough to work it out from?"""
        return bool(self._direction.any())

    def level(self, rows: Floats) -> Floats:
        """0 where the others are, 1 where the presenter is, for rows [..., dim]."""
        return np.asarray((rows @ self._direction - self._low) / self._range, np.float32)

    def forget(self) -> None:
        self._direction[:] = 0
        self._low, self._range = 0.0, 1.0


class _Fisher:
    """Ridge Fisher direction of the presenter against weighted heaps of others."""

    def __init__(self, presenter: Floats, negatives: list[tuple[Floats, float]]) -> None:
        mean, scatter = _moments(presenter)
        other_mean, other_scatter = np.zeros_like(mean), np.zeros_like(scatter)
        for rows, share in negatives:
            m, s = _moments(rows)
            other_mean += share * m
            other_scatter += share * s
        middle = 0.5 * (mean + other_mean)
        total = 0.5 * (scatter + other_scatter) - np.outer(middle, middle)
        total += _RIDGE * np.trace(total) / len(total) * np.eye(len(total), dtype=np.float32)
        direction = np.linalg.solve(total, mean - other_mean)
        self.direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
        self.offset = float(middle @ self.direction)

    def __call__(self, rows: Floats) -> Floats:
        return np.asarray(rows @ self.direction - self.offset, np.float32)


def _negatives(others: Floats, cohort: Floats) -> list[tuple[Floats, float]]:
    if len(others) < 8:
        return [(cohort, 1.0)]
    return [(cohort, 1 - _SESSION_SHARE), (others, _SESSION_SHARE)]


def _moments(rows: Floats) -> tuple[Floats, Floats]:
    return rows.mean(axis=0), rows.T @ rows / np.float32(len(rows))


def label_others(pool: Floats, presenter: Floats) -> Mask:
    """Which windows of the pool [n, dim] surely are not the presenter's.

    Those that are far from the presenter, and their neighbours too.
    """
    mean = robust_centroid(presenter)
    return _agreed(np.asarray(pool @ mean < _FAR * np.median(presenter @ mean)))


def _other_turns(round_: Floats, presenter: Floats, others: Mask) -> tuple[Mask, bool]:
    """Which windows of the round [n, dim] are a turn that sounds like the presenter's and is not.

    Everybody speaks once in it: of several such turns, far from each other, the closest is the presenter's.
    And whether one of them is as close: then nothing tells that person from the presenter.
    """
    found, as_close = np.zeros(len(round_), bool), False
    edges = np.flatnonzero(np.diff(np.concatenate([[True], others, [True]]).astype(np.int8)))
    turns = [(b, e) for b, e in zip(edges[::2], edges[1::2], strict=True) if e - b >= _LEAST_TURN]
    if len(turns) < 2:
        return found, as_close
    mean = robust_centroid(presenter)
    close = [float(unit(round_[b:e].mean(axis=0)) @ mean) for b, e in turns]
    own = int(np.argmax(close))
    for (b, e), closeness in zip(turns, close, strict=True):
        apart = b - turns[own][1] if b >= turns[own][1] else turns[own][0] - e
        if apart > _BLOCK:
            if closeness < close[own] - _TURN_BELOW:
                found[b:e] = True
            else:
                as_close = True
    return found, as_close


def smoothed(rows: Floats) -> Floats:
    """Each row [n, dim] with its neighbours on both sides, as one direction."""
    padded = np.pad(rows, ((_SMOOTHED, _SMOOTHED), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _SMOOTHED + 1, axis=0)
    return unit(windows.mean(axis=-1, dtype=np.float32))


def _agreed(mask: Mask) -> Mask:
    """Where the neighbours on both sides say so too; beyond the ends they do."""
    padded = np.pad(mask, _AGREEING, constant_values=True)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * _AGREEING + 1).all(axis=1))
