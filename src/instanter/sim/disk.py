"""A disk in memory that fails when told to, and that forgets, when the power goes, what was never synced.

What a reader sees and what the power leaves are two things, as on a real one: a write changes the first, a sync
brings the second up to it. Between the two anything may have reached the disk, in whole sectors and in any order.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ..foundation.disk import Bytes, Lock, WritableFile
from .chance import Chance

SECTOR_BYTES: Final = 512
"""Written all or not at all."""
_EARLIER_MAX: Final = 4
"""Contents since the last sync that are remembered because they were truncated."""

Reach = Literal["nothing", "everything", "a prefix", "some sectors"]
REACHES: Final[tuple[Reach, ...]] = ("nothing", "everything", "a prefix", "some sectors")
"""How much of what was not synced is there when the power comes back."""


class PowerLost(BaseException):
    """The machine stopped in the middle of an operation; nothing of the process goes on."""


@dataclass
class _Inode:
    written: bytearray = field(default_factory=bytearray)
    """What is read."""
    synced: bytes = b""
    """What is on the disk for certain."""
    earlier: list[bytes] = field(default_factory=list)
    """What it was before it was truncated: that may have reached the disk, and the truncation not."""
    forsaken: set[int] = field(default_factory=set)
    """Sectors that a failed sync gave up. They are read as written, and no later sync writes them: the system has
    forgotten that they are not on the disk."""

    def put(self, offset: int, chunk: Bytes) -> None:
        """Write, at the end or over what is there."""
        self.written[offset : offset + len(chunk)] = chunk
        if chunk:
            self.forsaken.difference_update(range(offset // SECTOR_BYTES, -(-(offset + len(chunk)) // SECTOR_BYTES)))

    def truncate(self, size_bytes: int) -> None:
        self.earlier = [*self.earlier, bytes(self.written)][-_EARLIER_MAX:]
        del self.written[size_bytes:]
        self.forsaken = {sector for sector in self.forsaken if sector < size_bytes // SECTOR_BYTES}

    def sync(self) -> None:
        self.synced = self._reachable(bytes(self.written))
        self.earlier.clear()

    def forsake(self) -> None:
        """A sync failed: of what differs from the disk nothing will get there by itself."""
        self.forsaken.update(_sectors_that_differ(self.synced, bytes(self.written)))

    def lose(self, reach: Reach, chance: Chance) -> None:
        """The power goes and comes back."""
        newest = self._reachable(chance.pick([bytes(self.written), *self.earlier]))
        self.settle(_reached(self.synced, newest, reach, chance))

    def settle(self, content: bytes) -> None:
        """This is what is on the disk and what is read."""
        self.written, self.synced = bytearray(content), content
        self.earlier.clear()
        self.forsaken.clear()

    def _reachable(self, content: bytes) -> bytes:
        """`content` with the forsaken sectors as they are on the disk."""
        if not self.forsaken:
            return content
        kept = bytearray(content)
        for sector in self.forsaken:
            first, end = sector * SECTOR_BYTES, min((sector + 1) * SECTOR_BYTES, len(kept))
            if first < end:
                kept[first:end] = self.synced[first:end].ljust(end - first, b"\0")
        return bytes(kept)


class _SimulatedFile:
    def __init__(self, disk: SimulatedDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._sync_failed = False

    def write(self, chunk: Bytes) -> int:
        taken = min(len(chunk), self._disk.room_bytes(), self._disk.write_bytes_max)
        self._inode.put(len(self._inode.written), bytes(chunk[:taken]))
        self._disk.attempt("write")
        if taken == 0 and self._disk.room_bytes() == 0:
            raise _error(errno.ENOSPC)
        return taken

    def sync(self) -> None:
        assert not self._sync_failed, "a sync was tried again after it failed on this descriptor"
        self._sync_failed = True
        self._disk.attempt_sync(self._inode)
        self._sync_failed = False

    def truncate(self, size_bytes: int) -> None:
        self._disk.attempt("truncate")
        self._inode.truncate(size_bytes)

    def is_at(self, path: Path) -> bool:
        return self._disk.holds(path, self._inode)

    def close(self) -> None:
        return None


class _SimulatedLock:
    def __init__(self, disk: SimulatedDisk, path: Path) -> None:
        self._disk = disk
        self._path = path

    def release(self) -> None:
        self._disk.locked.discard(self._path)


class SimulatedDisk:
    """Files and names in memory. `fail` plans a failure, `dies_at` the end, `capacity_bytes` is the room there is.

    The power is lost in three ways: `crash` says exactly what is left, `lose_power` lets chance say it, and
    `kill` ends the process alone, so that everything written is there, synced or not.

    >>> disk = SimulatedDisk()
    >>> file = disk.open(Path("/a")); _ = file.write(b"synced"); file.sync(); disk.sync_directory(Path("/"))
    >>> _ = file.write(b", lost"); disk.read(Path("/a"), 0, 99)
    b'synced, lost'
    >>> disk.crash(); disk.read(Path("/a"), 0, 99)
    b'synced'
    """

    def __init__(self) -> None:
        self.capacity_bytes = 1 << 40
        self.write_bytes_max = 1 << 40
        """The most one write takes: short writes."""
        self.calls: Counter[str] = Counter()
        self.locked: set[Path] = set()
        self.dies_at = 0
        """The power goes at this operation, counted over all that were ever attempted; 0 = never."""
        self.dead = False
        self.on_death: Callable[[], object] | None = None
        """Called when the power goes by `dies_at`."""
        self._operations = 0
        self._planned: dict[tuple[str, int], int | None] = {}
        self._names: dict[Path, _Inode] = {}
        self._asked: set[tuple[Path, int]] = set()
        self._names_synced: dict[Path, _Inode] = {}
        self._name_changes: list[tuple[Path, _Inode | None, Path | None]] = []
        """Since their directories were synced: (name, what it stands for or None, the name it had before)."""

    # Faults.

    @property
    def operations(self) -> int:
        """How many were attempted, reads left out."""
        return self._operations

    def fail(self, operation: str, code: int | None, *, at: int = 1) -> None:
        """The `at`-th call of `operation` from now on raises that errno; None means that the power is lost there."""
        self._planned[operation, self.calls[operation] + at] = code

    def attempt(self, operation: str) -> None:
        """Count a call, and raise if it was planned to fail."""
        if self.dead:
            raise PowerLost
        self.calls[operation] += 1
        if operation != "read":
            self._operations += 1
            if self._operations == self.dies_at:
                self._die()
        planned = (operation, self.calls[operation])
        if planned in self._planned:
            code = self._planned.pop(planned)
            raise PowerLost if code is None else _error(code)

    def attempt_sync(self, inode: _Inode) -> None:
        """Bring the disk up to what was written, or fail and forsake it."""
        try:
            self.attempt("sync")
        except OSError:
            inode.forsake()
            raise
        inode.sync()

    def room_bytes(self) -> int:
        """What can still be written."""
        return max(0, self.capacity_bytes - self.used_bytes())

    def used_bytes(self) -> int:
        """What all files hold."""
        return sum(len(inode.written) for inode in self._names.values())

    def crash(self, *, unsynced_bytes: int = 0, hole_bytes: int = 0) -> None:
        """The power goes and comes back. Of what each file had beyond its last sync, the first `unsynced_bytes`
        reached the disk, all but the first `hole_bytes` of them as written and those as zeros. No name is there
        whose directory was not synced."""
        self._come_back(dict(self._names_synced))
        for inode in self._names.values():
            kept = len(inode.synced)
            tail = inode.written[kept : kept + unsynced_bytes]
            tail[:hole_bytes] = bytes(min(hole_bytes, len(tail)))
            inode.settle(inode.synced + bytes(tail))

    def lose_power(self, chance: Chance) -> None:
        """The power goes and comes back, and chance says what is left of what was not synced: names up to some
        change of them, of each file nothing, everything, a prefix or some sectors."""
        names = dict(self._names_synced)
        for change in self._name_changes[: self._names_reached(chance)]:
            _apply(names, *change)
        self._come_back(names)
        for path in sorted(names):
            names[path].lose(chance.pick(REACHES), chance)

    def kill(self) -> None:
        """Only the process ended: what it had written can be read, and may still be lost with the power."""
        self._planned.clear()
        self.locked.clear()
        self.dead, self.dies_at, self.on_death = False, 0, None

    def flip(self, path: Path, offset: int, bit: int) -> None:
        """Turn one bit of a file over."""
        content = bytearray(self._inode(path).written)
        content[offset] ^= 1 << bit
        self._inode(path).settle(bytes(content))

    def copy(self) -> SimulatedDisk:
        """Another disk with the same content, which nobody uses."""
        other = SimulatedDisk()
        for path, content in self.files().items():
            other.put(path, content)
        return other

    def files(self) -> dict[Path, bytes]:
        """What is in every file now."""
        return {path: bytes(inode.written) for path, inode in self._names.items()}

    def holds(self, path: Path, inode: _Inode) -> bool:
        """Whether this is the file of that name."""
        return self._names.get(path) is inode

    def lose(self, path: Path) -> None:
        """A file is gone, for good, by somebody else's doing."""
        self._names.pop(path)
        self._names_synced.pop(path, None)

    def put(self, path: Path, contents: bytes) -> None:
        """Give a file these contents, synced."""
        inode = _Inode(bytearray(contents), contents)
        self._names[path] = self._names_synced[path] = inode

    # As `foundation.disk.Disk`.

    def open(self, path: Path) -> WritableFile:
        self.attempt("open")
        if path not in self._names:
            self._change(path, _Inode())
        return _SimulatedFile(self, self._names[path])

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        self.attempt("read")
        return bytes(self._inode(path).written[offset : offset + size_bytes])

    def read_each(self, path: Path, offsets: Sequence[int], size_bytes: int) -> list[bytes]:
        return [self.read(path, offset, size_bytes) for offset in offsets]

    def read_now(self, path: Path, offset: int, size_bytes: int) -> bytes:
        """What is asked for a second time has been read meanwhile."""
        if (path, offset) not in self._asked:
            self._asked.add((path, offset))
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))
        return self.read(path, offset, size_bytes)

    def size(self, path: Path) -> int:
        return len(self._inode(path).written)

    def list(self, directory: Path) -> list[str]:
        return sorted(path.name for path in self._names if path.parent == directory)

    def make_directory(self, directory: Path) -> None:
        self.attempt("make_directory")

    def rename(self, old: Path, new: Path) -> None:
        self.attempt("rename")
        self._change(new, self._inode(old), old)

    def unlink(self, path: Path) -> None:
        self.attempt("unlink")
        self._inode(path)
        self._change(path, None)

    def overwrite(self, path: Path, offset: int, content: Bytes) -> None:
        inode = self._inode(path)
        self.attempt("overwrite")
        inode.put(offset, bytes(content))
        self.attempt_sync(inode)

    def sync_directory(self, directory: Path) -> None:
        self.attempt("sync_directory")
        for change in self._name_changes:
            if change[0].parent == directory:
                _apply(self._names_synced, *change)
        self._name_changes = [change for change in self._name_changes if change[0].parent != directory]

    def lock(self, path: Path) -> Lock:
        if path in self.locked:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        self.locked.add(path)
        return _SimulatedLock(self, path)

    def _change(self, path: Path, inode: _Inode | None, before: Path | None = None) -> None:
        self._name_changes.append((path, inode, before))
        _apply(self._names, path, inode, before)

    def _die(self) -> None:
        self.dead = True
        if self.on_death is not None:
            self.on_death()
        raise PowerLost

    def _come_back(self, names: dict[Path, _Inode]) -> None:
        self.kill()
        self._names, self._names_synced = names, dict(names)
        self._name_changes.clear()

    def _names_reached(self, chance: Chance) -> int:
        everything = len(self._name_changes)
        return chance.pick((0, everything, chance.below(everything + 1)))

    def _inode(self, path: Path) -> _Inode:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._names[path]


def _apply(names: dict[Path, _Inode], path: Path, inode: _Inode | None, before: Path | None) -> None:
    """One change of a name: made or replaced, removed, or moved."""
    if before is not None:
        names.pop(before, None)
    if inode is None:
        names.pop(path, None)
    else:
        names[path] = inode


def _reached(old: bytes, new: bytes, reach: Reach, chance: Chance) -> bytes:
    """A content on the way from `old` to `new`, in whole sectors; what lies behind the old end may end anywhere."""
    if reach == "nothing" or old == new:
        return old
    if reach == "everything":
        return new
    size_bytes = len(old) + chance.below(len(new) - len(old) + 1) if len(new) > len(old) else len(new)
    content = bytearray(old[:size_bytes].ljust(size_bytes, b"\0"))
    differing = _sectors_that_differ(old, new)
    if reach == "a prefix":
        differing = differing[: chance.below(len(differing) + 1)]
    else:
        differing = [sector for sector in differing if chance.happens(0.5)]
    for sector in differing:
        first = sector * SECTOR_BYTES
        end = min(first + SECTOR_BYTES, size_bytes)
        if first < end:
            content[first:end] = new[first:end]
    return bytes(content)


def _sectors_that_differ(old: bytes, new: bytes) -> list[int]:
    return [
        first // SECTOR_BYTES
        for first in range(0, max(len(old), len(new)), SECTOR_BYTES)
        if old[first : first + SECTOR_BYTES] != new[first : first + SECTOR_BYTES]
    ]


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
