"""What will be called, found out without compiling: so that a second process can compile it from the other end.

Both keep what they have compiled in one folder, and each looks there before it compiles.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numba.core import registry as _registry

from .compiling import compiled

registry: Any = _registry

Call = tuple[Any, tuple[Any, ...]]
"""A kernel that Python calls, and the types that it is called with."""


class _Calls:
    """Of the run that is looked at. There is one at most, as a process has one set of kernels."""

    def __init__(self) -> None:
        self.depth = 0
        self.first: dict[Call, None] = {}
        """In the order in which they were first made."""


_calls = _Calls()


class _NotedKernel(registry.CPUDispatcher):
    """A kernel that runs as plain Python; how Python calls it is noted."""

    def __call__(self, *args: Any, **kws: Any) -> Any:
        if kws:
            args, kws = inspect.signature(self.py_func).bind(*args, **kws).args, {}
        if _calls.depth == 0:
            self._compile_for_args(*args)
        _calls.depth += 1
        try:
            return self.py_func(*args)
        finally:
            _calls.depth -= 1

    def compile(self, sig: tuple[Any, ...]) -> None:
        _calls.first[self, sig] = None


def foresee(run: Callable[[], None]) -> list[Call]:
    """How `run` calls kernels, in order. It runs as plain Python: a hundred times as long, on what is small."""
    _calls.first.clear()
    kernels = {kernel: type(kernel) for kernel in compiled.kernels}
    for kernel in kernels:
        kernel.__class__ = _NotedKernel
    try:
        run()
    finally:
        for kernel, kind in kernels.items():
            kernel.__class__ = kind
    return list(_calls.first)


def compile_backwards(calls: list[Call]) -> None:
    """Load or compile all of them, the last first."""
    for kernel, types in reversed(calls):
        kernel.compile(types)
