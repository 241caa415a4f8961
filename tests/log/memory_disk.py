"""A disk in memory that fails when told to and forgets, on a crash, what was never synced."""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from instanter.foundation.disk import Bytes, Lock, WritableFile


class PowerLost(BaseException):
    """The machine stopped in the middle of an operation; nothing of the process goes on."""


@dataclass
class _Inode:
    written: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


class _MemoryFile:
    def __init__(self, disk: MemoryDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._sync_failed = False

    def write(self, chunk: Bytes) -> int:
        taken = min(len(chunk), self._disk.room_bytes(), self._disk.write_bytes_max)
        self._inode.written += bytes(chunk[:taken])
        self._disk.attempt("write")
        if taken == 0 and self._disk.room_bytes() == 0:
            raise _error(errno.ENOSPC)
        return taken

    def sync(self) -> None:
        assert not self._sync_failed, "a sync was tried again after it failed on this descriptor"
        self._sync_failed = True
        self._disk.attempt("sync")
        self._sync_failed = False
        self._inode.synced = bytes(self._inode.written)

    def truncate(self, size_bytes: int) -> None:
        self._disk.attempt("truncate")
        del self._inode.written[size_bytes:]

    def close(self) -> None:
        return None


class _MemoryLock:
    def __init__(self, disk: MemoryDisk, path: Path) -> None:
        self._disk = disk
        self._path = path

    def release(self) -> None:
        self._disk.locked.discard(self._path)


class MemoryDisk:
    """Files and names in memory. `fail(...)` plans a failure, `capacity_bytes` is the room there is."""

    def __init__(self) -> None:
        self.capacity_bytes = 1 << 40
        self.write_bytes_max = 1 << 40
        """The most one write takes: short writes."""
        self.calls: Counter[str] = Counter()
        self.locked: set[Path] = set()
        self._planned: dict[tuple[str, int], int | None] = {}
        self._names: dict[Path, _Inode] = {}
        self._names_synced: dict[Path, _Inode] = {}

    def fail(self, operation: str, code: int | None, *, at: int = 1) -> None:
        """The `at`-th call of `operation` from now on raises that errno; None means that the power is lost there."""
        self._planned[operation, self.calls[operation] + at] = code

    def attempt(self, operation: str) -> None:
        """Count a call, and raise if it was planned to fail."""
        self.calls[operation] += 1
        planned = (operation, self.calls[operation])
        if planned in self._planned:
            code = self._planned.pop(planned)
            raise PowerLost if code is None else _error(code)

    def room_bytes(self) -> int:
        """What can still be written."""
        return max(0, self.capacity_bytes - sum(len(inode.written) for inode in self._names.values()))

    def crash(self, *, unsynced_bytes: int = 0, hole_bytes: int = 0) -> None:
        """The power goes and comes back. Of what each file had beyond its last sync, the first `unsynced_bytes`
        reached the disk, all but the first `hole_bytes` of them as written and those as zeros."""
        self._planned.clear()
        self.locked.clear()
        self._names = dict(self._names_synced)
        for inode in self._names.values():
            kept = len(inode.synced)
            tail = inode.written[kept : kept + unsynced_bytes]
            tail[:hole_bytes] = bytes(min(hole_bytes, len(tail)))
            inode.written = bytearray(inode.synced) + tail
            inode.synced = bytes(inode.written)

    def files(self) -> dict[Path, bytes]:
        """What is in every file now."""
        return {path: bytes(inode.written) for path, inode in self._names.items()}

    def put(self, path: Path, contents: bytes) -> None:
        """Give a file these contents, synced."""
        inode = _Inode(bytearray(contents), contents)
        self._names[path] = self._names_synced[path] = inode

    def open(self, path: Path) -> WritableFile:
        self.attempt("open")
        return _MemoryFile(self, self._names.setdefault(path, _Inode()))

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        self.attempt("read")
        return bytes(self._inode(path).written[offset : offset + size_bytes])

    def size(self, path: Path) -> int:
        return len(self._inode(path).written)

    def list(self, directory: Path) -> list[str]:
        return sorted(path.name for path in self._names if path.parent == directory)

    def make_directory(self, directory: Path) -> None:
        self.attempt("make_directory")

    def rename(self, old: Path, new: Path) -> None:
        self.attempt("rename")
        self._names[new] = self._inode(old)
        del self._names[old]

    def unlink(self, path: Path) -> None:
        self.attempt("unlink")
        self._inode(path)
        del self._names[path]

    def sync_directory(self, directory: Path) -> None:
        self.attempt("sync_directory")
        kept = {path: inode for path, inode in self._names_synced.items() if path.parent != directory}
        self._names_synced = kept | {path: inode for path, inode in self._names.items() if path.parent == directory}

    def lock(self, path: Path) -> Lock:
        if path in self.locked:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        self.locked.add(path)
        return _MemoryLock(self, path)

    def _inode(self, path: Path) -> _Inode:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._names[path]


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
