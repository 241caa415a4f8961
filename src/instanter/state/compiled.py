"""One decorator for the loops that are compiled. Without the compiler the same function is the oracle.

Set NUMBA_DISABLE_JIT=1 and every kernel runs as plain Python; tests compare the two forms bit for bit. For that to
hold, kernels use + - * /, math.exp and math.log in fixed loop order and nothing vectorised.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

P = ParamSpec("P")
R = TypeVar("R")

Ints = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int32]
Reals = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


_PACKAGE = Path(__file__).parent.parent
_ROOMS_WITH_KERNELS = ("state", "features", "models", "decisions")


def cache_folder() -> Path:
    """Where compiled kernels are kept: a folder named by all sources that may hold one.

    numba looks only at the file of the function it compiles; a kernel that another file's kernel has taken in would
    live on there after it has changed.
    """
    digest = hashlib.blake2b(digest_size=8)
    for room in _ROOMS_WITH_KERNELS:
        for source in sorted((_PACKAGE / room).glob("*.py")):
            digest.update(source.read_bytes())
    told = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(told) if told else _PACKAGE / "__pycache__"
    return base / f"kernels-{digest.hexdigest()}"


vars(numba.config)["CACHE_DIR"] = str(cache_folder())


_WITHOUT_RUNTIME_MEMORY: dict[str, Any] = {"_nrt": False}
"""An option that numba's own code uses and does not document; compiling fails without it, never silently."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call and keep the result on disk beside its source.

    Compiled without numba's run-time memory: the arrays belong to the caller, and counting their references at every
    call took longer than the work (6.7 us an event against 2.7). So a kernel makes no array and returns none.
    """
    return cast("Callable[P, R]", numba.njit(cache=True, fastmath=False, **_WITHOUT_RUNTIME_MEMORY)(function))


def allocating_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel that needs an array of its own while it runs, or calls one that does."""
    return cast("Callable[P, R]", numba.njit(cache=True, fastmath=False)(function))
