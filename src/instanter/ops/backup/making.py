"""Making a backup of a data directory, also while a server writes to it: without its lock, and without stopping it.

Logs only grow at their end, and a group is written only after the one before it was synced. So everything before the
beginning of the newest group is durable, and a log copied up to there is what the log was at that moment. The main
log goes first and the audit record last, so that the copy of the record reaches at least as far as the log remembers.

Meanwhile retention may remove old segments and checkpoints. Then the copy begins later, or once more.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...foundation.clock import Clock
from ...foundation.disk import Disk, write_whole
from ...foundation.errors import Broken, Corrupt, Unavailable
from ...foundation.limits import BACKUP_TRIES_MAX
from ...log.beside import durable_end
from ...log.segments import Segment, list_segments
from ...state.checkpoint import check_checkpoint, checkpoint_path, list_checkpoints
from ...state.cold_files import cold_path
from ..belonging import installation_of
from ..datadir import FILES, LOGS, DataDirectory
from ..readiness import is_locked
from .manifest import (
    BACKUP_FORMAT,
    MANIFEST,
    BackedUp,
    BackupManifest,
    Copying,
    check_apart,
    check_empty,
    copy_file,
    encode_manifest,
)


def back_up(directory: DataDirectory, to: Path, *, clock: Clock) -> BackupManifest:
    """Copy the directory, without its keys, to the empty or new folder `to`; durable on return.

    Raises `Corrupt` if something that it copies is damaged, `Unavailable` if it could not keep up with retention.
    """
    disk = directory.disk
    check_empty(disk, to, what="a backup")
    check_apart(to, directory.root)
    format_, installation = directory.format(), installation_of(directory.check())
    for part in ("checkpoints", *LOGS, *FILES):
        disk.make_directory(to / part)
    checkpoint, state, log = _state_and_log(directory, to)
    files = [*state, *log.files]
    for part in LOGS[1:]:
        files += _copy_log(disk, directory.root / part, to / part, part).files
    files.append(copy_file(disk, directory.marker, to / directory.marker.name, named=directory.marker.name))
    for part in ("checkpoints", *LOGS, *FILES):
        disk.sync_directory(to / part)
    manifest = BackupManifest(
        BACKUP_FORMAT, format_, installation, clock.now_ms(), log.start, log.end, checkpoint, tuple(files)
    )
    write_whole(disk, to / MANIFEST, encode_manifest(manifest))
    disk.sync_directory(to.parent)
    return manifest


# State and log.


class _CopiedLog(msgspec.Struct, frozen=True):
    start: int
    end: int
    files: list[BackedUp]


class _CopiedCheckpoint(msgspec.Struct, frozen=True):
    position: int
    file: BackedUp
    cold_files: frozenset[int]
    """The numbers of the files of idle people that it names."""


def _state_and_log(directory: DataDirectory, to: Path) -> tuple[int | None, list[BackedUp], _CopiedLog]:
    """A checkpoint, and a log that holds what comes behind it; again if retention removed that meanwhile."""
    disk, copied = directory.disk, dict[int, BackedUp]()
    for _ in range(BACKUP_TRIES_MAX):
        found = _copy_checkpoint(directory, to)
        files = [file for part in FILES for file in _copy_files(disk, directory.root / part, to / part, part)]
        log = _copy_log(disk, directory.log, to / "log", "log", copied)
        if found is not None and log.start <= found.position <= log.end and _holds_idle(disk, to / "cold", found):
            return found.position, [found.file, *files], log
        if found is None and log.start == 0:
            return None, files, log
        if found is None and not list_checkpoints(disk, directory.checkpoints):
            raise Broken(f"the log in {directory.log} begins at {log.start} and there is no checkpoint")
        if found is not None:
            disk.unlink(checkpoint_path(to / "checkpoints", found.position))
    raise Unavailable(f"the log in {directory.log} was cut faster than it could be copied; try again")


def _holds_idle(disk: Disk, cold: Path, checkpoint: _CopiedCheckpoint) -> bool:
    """Whether the files of idle people that the checkpoint names were copied; what it knows was in them before it."""
    return {cold_path(cold, number).name for number in checkpoint.cold_files} <= set(disk.list(cold))


def _copy_checkpoint(directory: DataDirectory, to: Path) -> _CopiedCheckpoint | None:
    """The newest checkpoint that is whole; None if there is none."""
    disk = directory.disk
    for position in list_checkpoints(disk, directory.checkpoints):
        source = checkpoint_path(directory.checkpoints, position)
        copy = checkpoint_path(to / "checkpoints", position)
        try:
            file = copy_file(disk, source, copy, named=f"checkpoints/{copy.name}")
            manifest = check_checkpoint(disk, copy)
        except FileNotFoundError:
            continue
        except Corrupt:
            disk.unlink(copy)
            continue
        return _CopiedCheckpoint(position, file, frozenset(manifest.cold_files))
    return None


# Logs.


def _copy_log(
    disk: Disk, folder: Path, to: Path, part: str, copied: dict[int, BackedUp] | None = None
) -> _CopiedLog:
    """Copy a log up to a whole record that is durable. `copied` are whole segments of an earlier try."""
    end = durable_end(disk, folder, is_written=is_locked(folder / "lock"))
    copied = {} if copied is None else copied
    for _ in range(BACKUP_TRIES_MAX):
        bases = [base for base in list_segments(disk, folder) if base < end]
        for gone in [base for base in copied if base not in bases]:
            disk.unlink(to / Path(copied.pop(gone).path).name)
        try:
            for base, until in zip(bases, [*bases, end][1:], strict=True):
                if base not in copied or copied[base].size_bytes != until - base:
                    copied[base] = _copy_segment(disk, Segment(disk, folder, base), until, to, part)
        except FileNotFoundError:
            continue
        return _CopiedLog(bases[0] if bases else end, end, [copied[base] for base in bases])
    raise Unavailable(f"the segments in {folder} were removed faster than they could be copied; try again")


def _copy_segment(disk: Disk, segment: Segment, until: int, to: Path, part: str) -> BackedUp:
    """Copy a segment up to `until`, every frame checked: damage is not backed up, it is named."""
    copying = Copying(disk, to / segment.path.name, named=f"{part}/{segment.path.name}")
    whole = False
    try:
        for piece in segment.checked_bytes(until):
            copying.write(piece)
        whole = True
    finally:
        if not whole:
            copying.give_up()
    return copying.finish()


def _copy_files(disk: Disk, folder: Path, to: Path, part: str) -> list[BackedUp]:
    """Copy files; one that goes away meanwhile is needed by no checkpoint that is left."""
    for name in disk.list(to):
        disk.unlink(to / name)
    files = []
    for name in disk.list(folder):
        try:
            files.append(copy_file(disk, folder / name, to / name, named=f"{part}/{name}"))
        except FileNotFoundError:
            continue
    return files
