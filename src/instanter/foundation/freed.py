"""What was freed still holds what it held: overwriting it.

Memory that a program frees stays as it is until somebody gets it again. So whoever wants to be sure asks for memory of
every size until the system has to hand out new one: by then all that was free has been written over with zeros.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .pages import trim_heap

_MAPS: Final = Path("/proc/self/maps")
_ON_LINUX: Final = sys.platform == "linux"
_OBJECTS_BYTES: Final = range(48, 513, 16)
"""Sizes of small objects, which Python keeps room for by itself; smaller ones hold no text."""
_HEAD_BYTES: Final = sys.getsizeof(b"")
_KEPT_BYTES: Final = range(1_032, 23, -16)
"""Sizes of freed pieces of which each thread keeps a few for itself ..."""
_KEPT_PIECES: Final = 7
"""... of each so many."""
_PIECES_BYTES: Final = (65_528, 16_376, 4_088, *_KEPT_BYTES)
"""Sizes that the C library is asked for; what is between lies in what is left of larger pieces."""
_DEQUES: Final = 64
"""More than Python keeps blocks for."""
_DEQUE_PLACES: Final = 64
_STEP_BYTES: Final = 262_144
_STEP_BLOCKS: Final = 256
"""Asked for in one step, some tenths of a millisecond."""
_STEPS_MAX: Final = 16_384
"""Of one size, so that it ends whatever happens: 4 GiB."""
_HTTP_SERVER_FREES: Final = ("_RJEM_MALLOC_CONF", "junk:free,background_thread:true")
"""What its allocator, jemalloc, is told: to write over what is freed, and to give it back also while nobody asks for
more: it keeps what 8,000 connections took that left at once, until the next ones come."""
_ARENA_MAX: Final = -8
"""A parameter of `mallopt`."""

_libc = ctypes.PyDLL(None) if _ON_LINUX else None


def forget_what_is_freed() -> None:
    """Have freed memory overwritten where it can be had for nothing, and lie where `overwrite_freed` comes: the HTTP
    server, not loaded yet, writes over what it frees; all threads share one heap of the C library. And what libraries
    keep from their first use on is made now, while nothing was freed yet that it could lie in and not fill."""
    os.environ.setdefault(*_HTTP_SERVER_FREES)
    Ed25519PrivateKey.generate().sign(hashlib.sha256().digest())
    if _libc is not None and hasattr(_libc, "mallopt"):
        _libc.mallopt(_ARENA_MAX, 1)


def overwrite_freed() -> Generator[None, None, None]:
    """A bounded step at a time; what is asked for is held until the end, and given back to the system then. Small
    pieces that other threads keep for themselves are not reached, see `overwrite_kept`. Does nothing but on Linux."""
    if _libc is None:
        return
    _fill_blocks_of_deques()
    is_new = _Mappings()
    objects, pieces = list[bytes](), _Pieces(_libc)
    try:
        for size in _OBJECTS_BYTES:
            yield from _exhaust(size, partial(_make, objects), is_new)
        for size in _PIECES_BYTES:
            yield from _exhaust(size, pieces.ask, is_new)
        while objects:
            del objects[-_STEP_BLOCKS:]
            yield
        while pieces.free(_STEP_BLOCKS):
            yield
    finally:
        while pieces.free(_STEP_BLOCKS):
            pass
        trim_heap()


def overwrite_kept() -> None:
    """The small pieces of freed memory that the calling thread keeps for itself. About 1 ms."""
    if _libc is None:
        return
    pieces = _Pieces(_libc)
    for size in _KEPT_BYTES:
        pieces.ask(size, _KEPT_PIECES + 1)
    while pieces.free(_STEP_BLOCKS):
        pass


def _fill_blocks_of_deques() -> None:
    """Python keeps some blocks of deques that are no more, 64 places each; a deque writes to the middle of one."""
    deques = [deque([None] * (_DEQUE_PLACES // 2)) for _ in range(_DEQUES)]
    for one in deques:
        one.extendleft([None] * (_DEQUE_PLACES // 2))


def _exhaust(size: int, ask: Callable[[int, int], int], is_new: Callable[[int], bool]) -> Generator[None, None, None]:
    """Ask for blocks of a size until there are new ones."""
    count = max(min(_STEP_BYTES // size, _STEP_BLOCKS), 1)
    for _ in range(_STEPS_MAX):
        last = ask(size, count)
        yield
        if is_new(last):
            return


def _make(objects: list[bytes], size: int, count: int) -> int:
    """So many objects of that size more; where the last one lies."""
    objects.extend([bytes(size - _HEAD_BYTES) for _ in range(count)])
    return id(objects[-1])


class _Pieces:
    """Memory of the C library's heap."""

    def __init__(self, libc: ctypes.PyDLL) -> None:
        word = ctypes.c_size_t
        self._malloc = ctypes.PYFUNCTYPE(word, word)(("malloc", libc))
        self._size = ctypes.PYFUNCTYPE(word, word)(("malloc_usable_size", libc))
        self._free = ctypes.PYFUNCTYPE(None, word)(("free", libc))
        self._held: list[int] = []

    def ask(self, size: int, count: int) -> int:
        """So many pieces of that size more, zeroed; where the last one lies."""
        for _ in range(count):
            place = self._malloc(size)
            ctypes.memset(place, 0, self._size(place))
            self._held.append(place)
        return self._held[-1]

    def free(self, count: int) -> bool:
        """Free so many of them, the newest first; whether there were any."""
        freed, self._held[-count:] = self._held[-count:], []
        for place in freed:
            self._free(place)
        return bool(freed)


class _Mappings:
    """The memory that this process has."""

    def __init__(self) -> None:
        self._firsts, self._ends = list[int](), list[int]()
        for line in _MAPS.read_text().splitlines():
            span, rights, *_ = line.split(maxsplit=2)
            if rights.startswith("rw"):
                first, _, end = span.partition("-")
                self._firsts.append(int(first, 16))
                self._ends.append(int(end, 16))

    def __call__(self, address: int) -> bool:
        """Whether it has been handed out by the system since."""
        place = bisect_right(self._firsts, address) - 1
        return place < 0 or address >= self._ends[place]
