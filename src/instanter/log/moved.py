"""Where entries of a log went that was written anew: an old position still finds its entry.

Ids of decisions held the position of their receipt once, and clients hold these ids. So when a log is rewritten, a
sorted file of (old position, new position) is kept beside it for the entries that are asked for by position. It is
searched on disk, 16 bytes a step: it takes no memory however large it is.

    offset  0  magic    8 bytes  INSTMOVE
            8  version  u32      1
           12  unused   u32
           16  pairs    (old u64, new u64), ascending
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np

from ..foundation.disk import Disk, WritableFile
from ..foundation.errors import Broken, Corrupt

VERSION: Final = 1
_MAGIC: Final = b"INSTMOVE"
_HEADER: Final = struct.Struct("<8sII")
_PAIR: Final = struct.Struct("<QQ")
_BUFFER_BYTES: Final = 64 * 1024
_NAME: Final = "positions"


class MovedPositions:
    """Looks old positions up in `directory`; there need be none. `Broken` for a newer format, `Corrupt` for another
    file."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._path = directory / _NAME
        self._count = 0
        if _NAME in disk.list(directory):
            head = disk.read(self._path, 0, _HEADER.size)
            magic, version, _ = _HEADER.unpack(head.ljust(_HEADER.size, b"\0"))
            if magic != _MAGIC and len(head) == _HEADER.size:
                raise Corrupt(file=str(self._path), offset=0, reason="not a file of moved positions")
            if magic == _MAGIC and version > VERSION:
                raise Broken(f"{self._path} has format {version}; this program reads up to {VERSION}")
            if magic == _MAGIC:
                self._count = (disk.size(self._path) - _HEADER.size) // _PAIR.size
                self._check()

    def __len__(self) -> int:
        return self._count

    def newest(self) -> int | None:
        """The furthest position that an entry was moved to; None without any."""
        if self._count == 0:
            return None
        offset = _HEADER.size + (self._count - 1) * _PAIR.size
        _, new = _PAIR.unpack(self._disk.read(self._path, offset, _PAIR.size))
        return int(new)

    def _check(self) -> None:
        """`Corrupt` unless the old positions ascend, as they were written: else some would not be found."""
        raw = self._disk.read(self._path, _HEADER.size, self._count * _PAIR.size)
        olds = np.frombuffer(raw, "<u8")[::2]
        wrong = np.flatnonzero(olds[1:] <= olds[:-1])
        if len(wrong):
            offset = _HEADER.size + (int(wrong[0]) + 1) * _PAIR.size
            raise Corrupt(file=str(self._path), offset=offset, reason="the positions do not ascend")

    def find(self, old: int) -> int | None:
        """The position now of the entry that was at `old`; None if it is not known. About 20 small reads."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            found, new = _PAIR.unpack(self._disk.read(self._path, _HEADER.size + middle * _PAIR.size, _PAIR.size))
            if found == old:
                return int(new)
            low, high = (middle + 1, high) if found < old else (low, middle)
        return None


class NothingMoved:
    """Of a log that was never written anew."""

    def find(self, old: int) -> int | None:
        """As `MovedPositions.find`."""
        return None


class MovedWriter:
    """Writes the file, from an empty directory; durable after `finish`."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        self._file: WritableFile = disk.open(directory / _NAME)
        self._buffer = bytearray(_HEADER.pack(_MAGIC, VERSION, 0))
        self._newest = -1
        self.count = 0

    def add(self, old: int, new: int) -> None:
        """Old positions come in ascending order."""
        assert old > self._newest, "ascending"
        self._newest = old
        self._buffer += _PAIR.pack(old, new)
        self.count += 1
        if len(self._buffer) >= _BUFFER_BYTES:
            self._write()

    def finish(self) -> None:
        """Write the rest, and sync."""
        self._write()
        self._file.sync()
        self._file.close()
        self._disk.sync_directory(self._directory)

    def _write(self) -> None:
        rest = memoryview(bytes(self._buffer))
        while rest:
            rest = rest[self._file.write(rest) :]
        self._buffer.clear()
