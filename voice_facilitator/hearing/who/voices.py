"""Memory for voices: an array of a fixed size, overwritten in place when it is to be forgotten."""

from __future__ import annotations

from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.privacy.memory import private_zeros


class VoiceBank:
    """Up to `capacity` embeddings, oldest first.

    When it is full every second one is dropped and from then on only every second new one is taken, so it
    covers any length of time evenly, and costs the same in hour four as in minute one.
    """

    def __init__(self, capacity: int, dim: int) -> None:
        self._rows: Floats = private_zeros((capacity, dim))
        self._count = 0
        self._every = 1
        self.offered = 0  # how many were offered, thinned out or not

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Floats:
        """The embeddings held: a view [n, dim], not a copy."""
        return self._rows[: self._count]

    def held_of(self, offered: int) -> int:
        """How many of the first `offered` embeddings are still held: the first ones of `rows`."""
        return min(offered // self._every, self._count)

    def add(self, row: Floats) -> None:
        self.offered += 1
        if self.offered % self._every:
            return
        if self._count == len(self._rows):
            half = self._count // 2
            self._rows[:half] = self._rows[1 : 2 * half : 2]
            self._rows[half:] = 0
            self._count = half
            self._every *= 2
            if self.offered % self._every:
                return
        self._rows[self._count] = row
        self._count += 1

    def forget(self) -> None:
        """Overwrite everything in place."""
        self._rows[:] = 0
        self._count = 0
        self._every = 1
        self.offered = 0
