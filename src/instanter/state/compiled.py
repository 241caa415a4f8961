"""One decorator for the loops that are compiled. Without the compiler the same function is the oracle.

Set NUMBA_DISABLE_JIT=1 and every kernel runs as plain Python; tests compare the two forms bit for bit. For that to
hold, kernels use + - * /, math.exp and math.log in fixed loop order and nothing vectorised but sums of whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import numpy.typing as npt

from .compiling import compiled_kernel, entry_of

P = ParamSpec("P")
R = TypeVar("R")

Ints = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int32]
Reals = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


_WITHOUT_RUNTIME_MEMORY: dict[str, Any] = {"_nrt": False}
"""An option that numba's own code uses and does not document; compiling fails without it, never silently."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call and keep the result on disk, see `compiling`.

    Compiled without numba's run-time memory: the arrays belong to the caller, and counting their references at every
    call took longer than the work (6.7 us an event against 2.7). So a kernel makes no array and returns none.
    """
    return cast("Callable[P, R]", compiled_kernel(function, fastmath=False, **_WITHOUT_RUNTIME_MEMORY))


def wide_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel whose innermost loop sums up whole numbers, many at once: the order of a sum of those changes nothing.
    Real numbers are summed up in their order here, too."""
    return cast("Callable[P, R]", compiled_kernel(function, wide=True, fastmath=False, **_WITHOUT_RUNTIME_MEMORY))


def allocating_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel that needs an array of its own while it runs, or calls one that does."""
    return cast("Callable[P, R]", compiled_kernel(function, fastmath=False))


def form_of(whole: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> Callable[P, R]:
    """The compiled form of a kernel that has been called with arguments of the types of these, to be called with such.

    Finding the form takes longer at each call than ten events take to fold: numba looks at the type of every array.
    """
    assert not named, "kernels are called by place"
    return cast("Callable[P, R]", entry_of(whole, arguments))
