"""Functions of C libraries that kernels call: by name in what is compiled and kept, at their addresses in this process.

One is called from Python just as well, so that a kernel that calls it runs as plain Python too.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import llvmlite.binding as llvm
from numba.core import types as _types
from numba.core import typing as _typing

# What numba says of the types of its inside does not hold, or is not said.
types: Any = _types
typing: Any = _typing

INTEGER, ADDRESS = "integer", "address"
"""What an argument is: a C `int`, or a pointer."""
_C: Final = {INTEGER: ctypes.c_int, ADDRESS: ctypes.c_void_p}
_COMPILED: Final = {INTEGER: types.intc, ADDRESS: types.intp}
_SYMBOL: Final = "instanter.{}"
"""Of our own: what a process has of the same name for somebody else stays that."""


class Foreign(types.ExternalFunction):
    """A C function that returns an `int`."""

    def __init__(self, library: ctypes.CDLL, name: str, *arguments: str) -> None:
        """Raises `AttributeError` if the library has none of that name."""
        self._function = getattr(library, name)
        self._function.restype = ctypes.c_int
        self._function.argtypes = [_C[one] for one in arguments]
        address = ctypes.cast(self._function, ctypes.c_void_p).value
        symbol = _SYMBOL.format(name)
        llvm.add_symbol(symbol, address)
        super().__init__(symbol, typing.signature(types.intc, *(_COMPILED[one] for one in arguments)))

    def __call__(self, *arguments: int) -> int:
        found: int = self._function(*map(int, arguments))
        return found
