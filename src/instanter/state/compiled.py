"""One decorator for the loops that are compiled. Without the compiler the same function is the oracle.

Set NUMBA_DISABLE_JIT=1 and every kernel runs as plain Python; tests compare the two forms bit for bit. For that to
hold, kernels use + - * /, math.exp and math.log in fixed loop order and nothing vectorised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

P = ParamSpec("P")
R = TypeVar("R")

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call and keep the result on disk beside its source."""
    return cast("Callable[P, R]", numba.njit(cache=True, fastmath=False)(function))
