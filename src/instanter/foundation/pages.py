"""Memory that is taken from the system as it is needed, and given back while the process goes on."""

from __future__ import annotations

import ctypes
import gc
import math
import mmap
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

_DONTNEED = 4
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def mapped_zeros(shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros in memory of their own, which is taken page by page as it is written to, and the system's again as soon as
    nobody refers to them. What the C library had before it would write over with zeros, all of it."""
    size_bytes = math.prod(shape if isinstance(shape, tuple) else (shape,)) * np.dtype(dtype).itemsize
    # Private: of shared memory a page is taken as soon as it is read.
    memory = mmap.mmap(-1, max(size_bytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, np.uint8, size_bytes).view(dtype).reshape(shape)


def give_back(zeros: npt.NDArray[Any]) -> None:
    """Hand the whole pages of a contiguous array back to the system: read again, they are zeros. So it is for one that
    holds nothing else, or nothing that counts. Does nothing where the system has no way for that."""
    if _libc is None:
        return
    page = mmap.PAGESIZE
    first = -(-zeros.ctypes.data // page) * page
    end = (zeros.ctypes.data + zeros.nbytes) // page * page
    if end > first:
        _libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _DONTNEED)


def empty_objects() -> None:
    """Let go of the small objects that Python keeps at hand, each of which can keep 1 MiB from the system: freed ones,
    and names by which C code looked attributes up. Takes some ms and holds up all else: for when many went at once."""
    sys._clear_type_cache()
    gc.collect()
    trim_heap()


def resident_bytes() -> int:
    """Memory of the machine that this process holds; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as said:
            return int(said.read().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


def trim_heap() -> None:
    """Hand what the C library's heap holds free in whole pages back to the system. Takes about 1 ms for 10 MiB."""
    if _libc is not None and hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(ctypes.c_size_t(0))
