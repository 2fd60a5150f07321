"""Looks into the memory of running processes for pieces of sound and of voiceprints.

Needles are looked for by their values, wherever they lie: sound as sixteen consecutive samples, in any of the
forms it takes in the program; voiceprints as pairs of neighbouring numbers, and number by number, so that a
library's rearranged copy is found as well.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
_TABLE_BITS = 22
_MIX = np.uint64(0x9E3779B97F4A7C15)
_PAGE = 4096
_PIECE = 1 << 24  # bytes looked at at once


def family(pid: int) -> list[int]:
    """The process and everything it started, as far as it still runs."""
    found, at = [pid], 0
    while at < len(found):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{found[at]}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        at += 1
    return found


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@dataclass(frozen=True)
class Mapping:
    """A stretch of a process's memory. `private`: it is left out of core dumps, as `private_zeros` asks."""

    begin: int
    end: int
    private: bool
    locked: bool


def mappings(pid: int) -> list[Mapping]:
    """All that the process can write to and has touched; empty when it is gone."""
    found, begin, end, touched = [], 0, 0, False
    lines = ""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps").read_text()
    for line in lines.splitlines():
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            begin, end, touched = int(match[1], 16), int(match[2], 16), False
        elif line.startswith(("Rss:", "Swap:")):
            touched = touched or line.split()[1] != "0"
        elif line.startswith("VmFlags:"):
            flags = set(line.split())
            if touched and "wr" in flags and "io" not in flags:
                found.append(Mapping(begin, end, "dd" in flags, "lo" in flags))
    return found


def read(pid: int, begin: int, end: int) -> bytes:
    """Memory of another process; empty where it cannot be read any more."""
    path = Path(f"/proc/{pid}/mem")
    with contextlib.suppress(OSError, ValueError, OverflowError), path.open("rb", buffering=0) as memory:
        memory.seek(begin)
        return memory.read(end - begin)
    return b""


def pieces(pid: int) -> Iterator[bytes]:
    """That memory without its empty pages, in pieces that overlap a little."""
    for mapping in mappings(pid):
        for at in range(mapping.begin, mapping.end, _PIECE):
            yield read(pid, at, min(mapping.end, at + _PIECE + 64))


def as_words(memory: bytes) -> Words:
    return np.frombuffer(memory, np.uint64, len(memory) // 8)


class Needles:
    """A set of 8-byte words, found wherever `run` of them follow each other."""

    def __init__(self, words: Words, run: int) -> None:
        self._sorted = np.unique(words)
        self._run = run
        self._table = np.zeros(1 << _TABLE_BITS, bool)
        self._table[_hash(self._sorted)] = True

    def __len__(self) -> int:
        return len(self._sorted)

    def count(self, words: Words, hashed: npt.NDArray[np.intp] | None = None) -> int:
        """How many places in `words` begin a run of needles. hashed: their hashes, where they are known."""
        maybe = np.flatnonzero(self._table[_hash(words) if hashed is None else hashed])
        at = np.searchsorted(self._sorted, words[maybe])
        at[at == len(self._sorted)] = 0
        hits = maybe[self._sorted[at] == words[maybe]] if len(self._sorted) else maybe[:0]
        if self._run == 1:
            return len(hits)
        return int((hits[self._run - 1 :] - hits[: -self._run + 1] == self._run - 1).sum())


def _hash(words: Words) -> npt.NDArray[np.intp]:
    return ((words * _MIX) >> np.uint64(64 - _TABLE_BITS)).astype(np.intp)


def sound_needles(samples: npt.NDArray[np.int16]) -> dict[str, Needles]:
    """Sixteen samples in a row: as int16, and as float32 of full scale 1, 4 (as the detector hears them) or
    32768 (as recognisers do)."""
    lively = np.abs(samples.astype(np.int32)) > 200  # zeros and the like are everywhere
    at = np.flatnonzero(lively[:-3] & lively[1:-2] & lively[2:-1] & lively[3:])
    quads = np.stack([samples[at + k] for k in range(4)], axis=1)
    different = (np.diff(np.sort(quads, axis=1)) != 0).all(axis=1)
    needles = {"int16": Needles(np.ascontiguousarray(quads[different]).view(np.uint64)[:, 0], run=4)}
    whole = samples.astype(np.float32) / np.float32(32768)
    for name, gain in (("float32", 1), ("louder", 4), ("recogniser", 32768)):
        pairs = np.stack([whole[at] * np.float32(gain), whole[at + 1] * np.float32(gain)], axis=1)
        # Every second pair follows the last one in memory: eight of them are sixteen samples.
        needles[name] = Needles(np.ascontiguousarray(pairs[different]).view(np.uint64)[:, 0], run=8)
    return needles


@dataclass(frozen=True)
class Voiceprints:
    """What was found of a session's voices while they were held: float32 [n, dim]."""

    rows: npt.NDArray[np.float32]

    @property
    def pairs(self) -> Needles:
        """Neighbouring numbers, both of them telling."""
        pairs = np.stack([self.rows[:, :-1].ravel(), self.rows[:, 1:].ravel()], axis=1)
        telling = (np.abs(pairs) > 1e-3).all(axis=1)
        return Needles(np.ascontiguousarray(pairs[telling]).view(np.uint64)[:, 0], run=1)

    def numbers(self, offset: int = 0) -> npt.NDArray[np.uint32]:
        """Every telling number as its bits. offset: another set of the kind, to see what chance finds."""
        telling = self.rows[np.abs(self.rows) > 1e-3]
        return np.unique(telling.view(np.uint32)) + np.uint32(offset)


def voiceprints(pid: int, dim: int, most: int) -> Voiceprints:
    """Some of the voiceprints in the private memory of the hearing process, spread over what is there.

    Rows of length 1, as closely as 32 bits can say it, whose neighbouring numbers have nothing to do with
    each other: in sound they have. The array they lie in begins with some page.
    """
    rows = []
    steps = range(0, dim, math.gcd(dim, _PAGE // 4))
    for mapping in mappings(pid):
        if not mapping.private:
            continue
        held = np.frombuffer(read(pid, mapping.begin, mapping.end), np.float32)
        for begin in steps:
            table = held[begin : begin + (len(held) - begin) // dim * dim].reshape(-1, dim)
            with np.errstate(all="ignore"):
                length = np.linalg.norm(table.astype(np.float64), axis=1)
                rough = np.linalg.norm(np.diff(table, axis=1), axis=1) > 1
            rows.append(table[(np.abs(length - 1) < 1e-6) & rough])
    found = np.concatenate(rows) if rows else np.zeros((0, dim), np.float32)
    return Voiceprints(found[:: max(1, len(found) // most)][:most])


@dataclass(frozen=True)
class Found:
    """What a look into one process showed. `mebibytes`: how much was looked at."""

    mebibytes: int
    sound: dict[str, int]  # form: places
    voice_pairs: int  # places
    voice_numbers: float  # share of the voiceprints' numbers that are there, in whatever order
    by_chance: float  # the same for numbers of the kind that no voiceprint has


def look(pid: int, sound: dict[str, Needles], voices: Voiceprints | None) -> Found:
    """Everything in one process, while it runs."""
    size, places, pairs = 0, dict.fromkeys(sound, 0), 0
    pair_needles = voices.pairs if voices is not None else None
    numbers = [voices.numbers(), voices.numbers(offset=977)] if voices is not None else []
    seen: list[set[int]] = [set() for _ in numbers]
    tables = []
    for wanted in numbers:
        tables.append(np.zeros(1 << 20, bool))
        tables[-1][wanted & 0xFFFFF] = True
    for memory in pieces(pid):
        size += len(memory)
        words = as_words(memory)
        hashed = _hash(words)
        for name, needles in sound.items():
            places[name] += needles.count(words, hashed)
        if pair_needles is None:
            continue
        pairs += pair_needles.count(words, hashed)
        singles = np.frombuffer(memory, np.uint32, len(memory) // 4)
        low = singles & np.uint32(0xFFFFF)
        for wanted, table, there in zip(numbers, tables, seen, strict=True):
            maybe = singles[table[low]]
            there.update(np.intersect1d(maybe, wanted).tolist())
    shares = [len(there) / max(1, len(wanted)) for there, wanted in zip(seen, numbers, strict=True)]
    return Found(size >> 20, places, pairs, *(shares or [0.0, 0.0]))


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
