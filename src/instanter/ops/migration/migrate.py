"""Bringing a data directory up to today's format. It can be killed anywhere: run again, it completes.

1. Everything new is written to DIR/migrating, and the keys of people to the folder of keys; the old is only read.
2. DIR/migrating/ready.json says that the new is whole. From here on only forward.
3. DIR/instanter.json names the new format. So a program that knows only the old one refuses from here on, before
   anything that it would misread stands in the old places.
4. Folder by folder, the old one moves to DIR/replaced and the new one into its place.
5. The old files are overwritten and removed: what is personal lies open in them.
6. The act is left for the audit record, and ready.json is removed: the directory is whole again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from ...foundation.clock import Clock
from ...foundation.disk import Disk, write_whole
from ...foundation.errors import LogClosed
from ...foundation.ids import Ids, PersonKeys
from ...privacy.audit import COMMAND_LINE, Act, hand_in
from ...privacy.subjects import KeyStore
from ..datadir import FORMAT, MIGRATING, READY, DataDirectory
from .building import Builder
from .ready import Migrated, read_ready
from .sealing import Sealing

REPLACED: Final = "replaced"
_PARTS: Final = ("log", "quarantine", "checkpoints", "moved")
_ZEROS: Final = bytes(1024 * 1024)


class Footing(msgspec.Struct, frozen=True):
    """What a migration needs beside the directory."""

    secret: bytes
    master: bytes
    numbers: frozenset[str]
    """The numeric properties that stay in the clear part of an event."""
    segment_bytes: int


def needs_migration(directory: DataDirectory) -> bool:
    """Whether the directory is of an older format, or on its way from one."""
    names = directory.disk.list(directory.root)
    return MIGRATING in names or REPLACED in names or directory.format() < FORMAT


def migrate(directory: DataDirectory, footing: Footing, *, clock: Clock, ids: Ids) -> Migrated | None:
    """Bring the directory up to today's format; None if it was there.

    Raises `LogClosed` while another process has it, and `Corrupt` for a damaged log, which is left as it is.
    """
    if not needs_migration(directory):
        return None
    with _alone(directory):
        if not needs_migration(directory):
            return None
        disk, new = directory.disk, directory.root / MIGRATING
        if READY not in disk.list(new) and directory.format() < FORMAT:
            _remove(disk, new)
            _write(disk, new / READY, _build(directory, new, footing))
        if READY in disk.list(new):
            migrated = read_ready(disk, new / READY)
            directory.mark(FORMAT)
            _swap(directory, new)
            _destroy(disk, directory.root / REPLACED)
            details = {"from": migrated.from_format, "to": migrated.to_format, "records": migrated.records}
            act = Act("directory.migrated", COMMAND_LINE, details=dict(details), at_ms=clock.now_ms())
            hand_in(disk, directory.acts, act, ids)
            disk.unlink(new / READY)
            disk.sync_directory(new)
        else:
            migrated = None
        _remove(disk, new)
        _destroy(disk, directory.root / REPLACED)
        return migrated


@contextmanager
def _alone(directory: DataDirectory) -> Iterator[None]:
    """No other migration, and no server."""
    disk, locks = directory.disk, []
    try:
        for folder in (directory.keys, directory.log):
            if folder.is_dir():
                locks.append(disk.lock(folder / "lock"))
        yield
    except BlockingIOError:
        raise LogClosed(f"another process has {directory.root} open; it cannot be migrated now") from None
    finally:
        for lock in locks:
            lock.release()


def _build(directory: DataDirectory, new: Path, footing: Footing) -> Migrated:
    disk, root = directory.disk, directory.root
    subjects = KeyStore(disk, directory.keys, secret=footing.secret, master=footing.master)
    try:
        sealing = Sealing(PersonKeys(footing.secret), subjects, numbers=footing.numbers)
        builder = Builder(disk, root, new, sealing=sealing, segment_bytes=footing.segment_bytes)
        builder.adopt()
        subjects.flush()
        builder.log()
        builder.quarantine(subjects)
        builder.checkpoints()
        subjects.flush()
        built = builder.built
        return Migrated(
            directory.format(), FORMAT, built.records, built.decisions, built.quarantined, built.checkpoints,
            subjects.count, tuple(built.passed_over),
        )  # fmt: skip
    finally:
        subjects.close()


def _write(disk: Disk, path: Path, migrated: Migrated) -> None:
    for part in _PARTS:
        disk.sync_directory(path.parent / part)
    write_whole(disk, path, msgspec.json.encode(migrated))
    disk.sync_directory(path.parent.parent)


def _swap(directory: DataDirectory, new: Path) -> None:
    """Each folder is in one of three places, so every step can be told from what lies where."""
    disk, root = directory.disk, directory.root
    replaced = root / REPLACED
    disk.make_directory(replaced)
    disk.sync_directory(root)
    for part in _PARTS:
        if not (new / part).is_dir():
            continue
        if (root / part).is_dir():
            disk.rename(root / part, replaced / part)
            disk.sync_directory(replaced)
            disk.sync_directory(root)
        disk.rename(new / part, root / part)
        disk.sync_directory(root)
        disk.sync_directory(new)


def _destroy(disk: Disk, folder: Path) -> None:
    """Overwrite every file, then remove the folder."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for offset in range(0, disk.size(path), len(_ZEROS)):
            disk.overwrite(path, offset, _ZEROS[: disk.size(path) - offset])
    _remove(disk, folder)


def _remove(disk: Disk, folder: Path) -> None:
    """Remove a folder with what is in it; fine when there is none."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            disk.unlink(path)
    if folder.is_dir():
        folder.rmdir()
        disk.sync_directory(folder.parent)
