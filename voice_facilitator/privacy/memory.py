"""Memory for sound and for voiceprints: pages of their own that can be overwritten for certain.

What lives long enough to matter (the ring of the microphone, the last 1.6 s, the voiceprints) is allocated
once with `private_zeros`: locked, so that it is not swapped out; left out of core dumps; overwritten in place
by `wipe_all`. What a library copies for a moment is beyond our reach, so the hearing process is started with
an allocator that overwrites whatever is given back to it: `wiping_allocator`.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import sys
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# glibc fills memory with this byte when it is freed (and with its complement, zeros, when it is handed out).
# Small pieces would pass by a cache that skips it, so the cache is switched off.
_FILL = 255
_GLIBC = f"glibc.malloc.perturb={_FILL}:glibc.malloc.tcache_count=0"
_M_PERTURB = -6  # of mallopt, in glibc's malloc.h
# Python's own allocator keeps small objects to itself, so it has to hand them to the one above.
_WIPING = {"PYTHONMALLOC": "malloc", "MallocScribble": "1"}  # MallocScribble is the same on macOS

_held: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_locked: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def private_zeros(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Like `np.zeros`, for sound and voiceprints: see the module. Given back when nothing refers to it."""
    kind = np.dtype(dtype)
    count = math.prod(shape) if isinstance(shape, tuple) else shape
    size = max(1, count * kind.itemsize)
    if sys.platform == "win32":
        pages = mmap.mmap(-1, size)
    else:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_DONTDUMP"):
            pages.madvise(mmap.MADV_DONTDUMP)
    array = np.frombuffer(pages, kind, count).reshape(shape)
    _held.add(pages)
    if _lock(array.ctypes.data, size):
        _locked.add(pages)
    return array


def wipe_all() -> None:
    """Overwrite everything that `private_zeros` handed out in this process."""
    for pages in list(_held):
        np.frombuffer(pages, np.uint8)[:] = 0


@dataclass(frozen=True, slots=True)
class Held:
    """Private memory of this process in bytes: all of it, what is locked, what is not zero."""

    total: int
    locked: int
    not_zero: int


def held() -> Held:
    """What is held now, for checks."""
    pages = list(_held)
    return Held(
        total=sum(len(p) for p in pages),
        locked=sum(len(p) for p in pages if p in _locked),
        not_zero=sum(int(np.count_nonzero(np.frombuffer(p, np.uint8))) for p in pages),
    )


def move(array: npt.NDArray[Any], to: int, begin: int, end: int) -> None:
    """array[to : to + end - begin] = array[begin:end], overlapping or not, without a copy in between.

    array: contiguous, of one dimension.
    """
    width, start = array.itemsize, array.ctypes.data
    assert array.flags.c_contiguous
    assert 0 <= begin <= end <= len(array)
    assert 0 <= to <= len(array) - (end - begin)
    ctypes.memmove(start + to * width, start + begin * width, (end - begin) * width)


def wiping_allocator(environment: dict[str, str]) -> dict[str, str]:
    """What to add to the environment of a process so that its allocator overwrites what is freed.

    environment: what it would have otherwise; a user's own tunables are kept. Empty where the system has no
    such allocator (Windows, musl): there freed memory keeps its content until it is used again.
    """
    if sys.platform == "darwin":
        return dict(_WIPING)
    if sys.platform != "linux" or not _is_glibc():
        return {}
    own = environment.get("GLIBC_TUNABLES", "")
    return {**_WIPING, "GLIBC_TUNABLES": ":".join(filter(None, [own, _GLIBC]))}


@contextlib.contextmanager
def loading_models() -> Iterator[None]:
    """In it, what is freed is not overwritten, and at its end goes back to the system.

    For what is done before any sound has been heard. To overwrite memory is to touch all of it, at both ends
    of its life: the speech detector asks for 85 MB more than it ever uses, and would hold them for good.
    """
    if _GLIBC not in os.environ.get("GLIBC_TUNABLES", ""):
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_PERTURB, 0)
    try:
        yield
    finally:
        libc.mallopt(_M_PERTURB, _FILL)
        libc.malloc_trim(0)


def freed_memory_is_overwritten() -> bool:
    """Was this process started with such an allocator? Tried out, not only looked up."""
    if os.environ.get("PYTHONMALLOC") != "malloc" or sys.platform not in ("linux", "darwin"):
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    except (OSError, AttributeError):
        return False
    size, mark, seen = 640, b"\xa7", False  # 20 ms of int16 at 16 kHz
    for _ in range(16):
        place = libc.malloc(size)
        ctypes.memset(place, mark[0], size)
        libc.free(place)
        # The first bytes hold the allocator's own links; what follows must not be ours any more. A run of
        # ours: the object that Python copies it into may lie there itself, with any byte in its addresses.
        seen = seen or mark * 16 in ctypes.string_at(place + 64, 256)
    return not seen


def _is_glibc() -> bool:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") is not None
    except (ValueError, OSError):
        return False


def _lock(address: int, size: int) -> bool:
    """Keeps the pages out of swap. False where the system does not allow (that much of) it."""
    try:
        if sys.platform == "win32":
            lock: Any = ctypes.windll.kernel32.VirtualLock
            return bool(lock(ctypes.c_void_p(address), ctypes.c_size_t(size)))
        libc = ctypes.CDLL(None)
        return bool(libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) == 0)
    except (OSError, AttributeError):
        return False
