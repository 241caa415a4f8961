"""The only door to disk. The log and the checkpoints take a `Disk`; a simulated one can crash, tear and forget.

Every operation raises `OSError` and nothing else: its `errno` is the contract, and the room that calls
turns it into an error of ours. Nothing is durable before `sync`, and no name before `sync_directory`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

Bytes = bytes | bytearray | memoryview

_MODE_FILE = 0o600
_MODE_DIRECTORY = 0o700
UNFINISHED = ".tmp"
"""How the names of files end that are not whole yet."""


class WritableFile(Protocol):
    """A file that grows at its end. One thread at a time."""

    def write(self, chunk: Bytes) -> int:
        """Append; returns how many bytes were taken, which may be fewer than given."""
        ...

    def sync(self) -> None:
        """Make what was written durable (fdatasync). After a failure nobody knows what is on disk: never retry."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """Forget everything from `size_bytes` on; the next write goes there."""
        ...

    def is_at(self, path: Path) -> bool:
        """Whether this file is what is found at `path` now: not once it, or a directory above it, was removed, moved,
        replaced or unmounted."""
        ...

    def close(self) -> None:
        """Give the descriptor back, without syncing."""
        ...


class Lock(Protocol):
    """An advisory lock that is held until released or until the process ends, however it ends."""

    def release(self) -> None: ...


class Disk(Protocol):
    """Files by path. Safe to use from several threads; a `WritableFile` is not."""

    def open(self, path: Path) -> WritableFile:
        """Open for appending; created empty when missing, readable by its owner only."""
        ...

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        """Up to `size_bytes` from `offset`; fewer only where the file ends."""
        ...

    def read_each(self, path: Path, offsets: Sequence[int], size_bytes: int) -> list[bytes]:
        """As `read` at each of these offsets of one file."""
        ...

    def read_now(self, path: Path, offset: int, size_bytes: int) -> bytes:
        """As `read`, without waiting for the device: `BlockingIOError` if that would have to be waited for. The system
        begins to read it then, so it is worth asking again a moment later."""
        ...

    def size(self, path: Path) -> int:
        """Bytes in the file."""
        ...

    def list(self, directory: Path) -> list[str]:
        """The names in a directory, sorted; none when it does not exist."""
        ...

    def make_directory(self, directory: Path) -> None:
        """Create it with its parents; fine when it exists."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Put `old` in the place of `new` in one step."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        ...

    def overwrite(self, path: Path, offset: int, content: Bytes) -> None:
        """Put `content` in the place of the bytes at `offset`, durably. Up to 128 bytes at a multiple of 128 are
        changed all or not at all, whatever happens."""
        ...

    def sync_directory(self, directory: Path) -> None:
        """Make the names in it durable: after creating, renaming or removing."""
        ...

    def lock(self, path: Path) -> Lock:
        """Take the lock at `path`, or raise `BlockingIOError` at once when another holder has it."""
        ...


def write_whole(disk: Disk, path: Path, content: bytes) -> None:
    """Put a small file in its place whole or not at all, durably."""
    unfinished = path.with_suffix(UNFINISHED)
    if unfinished.name in disk.list(path.parent):
        disk.unlink(unfinished)
    file = disk.open(unfinished)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        file.sync()
    finally:
        file.close()
    disk.rename(unfinished, path)
    disk.sync_directory(path.parent)


def _blocking(path: Path) -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))


def _read_cached(descriptor: int, content: bytearray, offset: int) -> int:
    """Fill from what the system has in memory; how many bytes. -1 if it has none, or a file system cannot tell: what
    else may be wrong says whoever waits."""
    try:
        return os.preadv(descriptor, [content], offset, os.RWF_NOWAIT)
    except OSError:
        return -1


class _RealFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, chunk: Bytes) -> int:
        return os.write(self._descriptor, chunk)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size_bytes: int) -> None:
        os.ftruncate(self._descriptor, size_bytes)

    def is_at(self, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(path))
        except OSError:
            return False

    def close(self) -> None:
        os.close(self._descriptor)


class _RealLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


class RealDisk:
    """The machine's own file system. `write`, `sync` and `read` release the interpreter lock."""

    def open(self, path: Path) -> WritableFile:
        return _RealFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _MODE_FILE))

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.pread(descriptor, size_bytes, offset)
        finally:
            os.close(descriptor)

    def read_each(self, path: Path, offsets: Sequence[int], size_bytes: int) -> list[bytes]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return [os.pread(descriptor, size_bytes, offset) for offset in offsets]
        finally:
            os.close(descriptor)

    def read_now(self, path: Path, offset: int, size_bytes: int) -> bytes:
        if not hasattr(os, "RWF_NOWAIT"):
            raise _blocking(path)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # Else what lies behind is read ahead too.
            content = bytearray(size_bytes)
            count = _read_cached(descriptor, content, offset)
            if count < size_bytes and (count < 0 or offset + count < os.fstat(descriptor).st_size):
                os.posix_fadvise(descriptor, offset, size_bytes, os.POSIX_FADV_WILLNEED)
                raise _blocking(path)
            return bytes(memoryview(content)[:count])
        finally:
            os.close(descriptor)

    def size(self, path: Path) -> int:
        return os.stat(path).st_size

    def list(self, directory: Path) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []

    def make_directory(self, directory: Path) -> None:
        directory.mkdir(mode=_MODE_DIRECTORY, parents=True, exist_ok=True)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def overwrite(self, path: Path, offset: int, content: Bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY)
        try:
            if os.pwrite(descriptor, content, offset) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: Path) -> Lock:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _MODE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return _RealLock(descriptor)
