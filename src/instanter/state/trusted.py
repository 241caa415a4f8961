"""Which files nobody else can have written. Compiled kernels are loaded from files, and whoever writes those decides
what this process does."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_ROOT: Final = 0


def fault_of_folder(folder: Path) -> str:
    """Why others could put a file into a folder, or another folder into its place; "" where they cannot.

    A folder that is not there is judged by the nearest one above it that is.
    """
    named = folder.absolute()
    for path in dict.fromkeys([named, *named.parents, named.resolve(), *named.resolve().parents]):
        fault = _fault(path, above=path not in (named, named.resolve()))
        if fault:
            return fault
    return ""


def fault_of_file(file: Path) -> str:
    """Why others could have written a file in a folder that is sound; "" where they cannot, or it is not there."""
    return _fault(file, above=False)


def _fault(path: Path, *, above: bool) -> str:
    """In a sticky folder, as /tmp is one, everybody makes files and nobody replaces those of others."""
    try:
        seen, real = path.lstat(), path.stat()
    except OSError:
        return ""
    if not {seen.st_uid, real.st_uid} <= {os.geteuid(), _ROOT}:
        return f"{path} belongs to another user"
    if real.st_mode & _OTHERS and not (above and real.st_mode & stat.S_ISVTX):
        return f"others can write to {path}"
    return ""
