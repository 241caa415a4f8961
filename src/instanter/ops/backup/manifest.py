"""What a backup holds: its manifest, written last, so that a folder without one is no backup."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from ...foundation.disk import Disk, WritableFile
from ...foundation.errors import Broken, Corrupt, RequestRejected
from ...foundation.limits import BACKUP_MANIFEST_BYTES_MAX

BACKUP_FORMAT: Final = 1
MANIFEST: Final = "backup.json"
CHUNK_BYTES: Final = 2 * 1024 * 1024
SYNC_BYTES: Final = 8 * 1024 * 1024
"""Written before a sync: a server that syncs its log on the same disk never waits behind much more."""
_SUM_BYTES: Final = 32


class BackedUp(msgspec.Struct, frozen=True):
    """One file of a backup."""

    path: str
    """Below the folder, with `/`."""
    size_bytes: int
    sha256: str


class BackupManifest(msgspec.Struct, frozen=True):
    """`backup.json`. The log in it is exactly what the original's is from `log_start` to `position`."""

    format: int
    directory_format: int
    """Of the data directory, as in `instanter.json`."""
    installation: str
    """Which keys open it: a short hash of the installation's secret."""
    at_ms: int
    log_start: int
    position: int
    """Where the log ends, behind its last whole record."""
    checkpoint: int | None
    """Position of the checkpoint; None: the log is whole from its beginning."""
    files: tuple[BackedUp, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    def of(self, part: str) -> list[BackedUp]:
        """The files in one folder of the data directory."""
        return [file for file in self.files if PurePosixPath(file.path).parent.as_posix() == part]


class _Versioned(msgspec.Struct, frozen=True):
    """The one field that manifests of every format have."""

    format: int


def encode_manifest(manifest: BackupManifest) -> bytes:
    """The manifest as a file: JSON, and its own SHA-256 behind it."""
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    return content + b"\n" + hashlib.sha256(content).hexdigest().encode() + b"\n"


def read_manifest(disk: Disk, folder: Path) -> BackupManifest:
    """The manifest of a backup; `Broken` if there is none or a newer one, `Corrupt` if it is damaged."""
    path = folder / MANIFEST
    if MANIFEST not in disk.list(folder):
        raise Broken(f"{folder} is not a backup: it has no {MANIFEST}, which is written last")
    if disk.size(path) > BACKUP_MANIFEST_BYTES_MAX:
        reason = f"a manifest has at most {BACKUP_MANIFEST_BYTES_MAX} bytes"
        raise Corrupt(file=str(path), offset=BACKUP_MANIFEST_BYTES_MAX, reason=reason)
    content, _, rest = disk.read(path, 0, BACKUP_MANIFEST_BYTES_MAX).rstrip(b"\n").rpartition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != rest:
        raise Corrupt(file=str(path), offset=0, reason="checksum does not match")
    try:
        found = msgspec.json.decode(content, type=_Versioned).format
        if found > BACKUP_FORMAT:
            raise Broken(f"{folder} is a backup of format {found}; this program reads up to {BACKUP_FORMAT}")
        manifest = msgspec.json.decode(content, type=BackupManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(file=str(path), offset=0, reason=f"not a manifest: {error}") from None
    seen = set[str]()
    for file in manifest.files:
        if not _stays_inside(file.path):
            raise Corrupt(file=str(path), offset=0, reason=f"{file.path!r} is no file of a data directory")
        if file.path in seen:
            raise Corrupt(file=str(path), offset=0, reason=f"{file.path!r} stands there twice")
        seen.add(file.path)
    return manifest


def check_backup(disk: Disk, folder: Path) -> BackupManifest:
    """Read every byte of a backup; raises what `read_manifest` raises, and `Corrupt` for the first damaged file."""
    manifest = read_manifest(disk, folder)
    for file in manifest.files:
        check_file(disk, folder, file)
    _check_log(folder, manifest)
    return manifest


def check_file(disk: Disk, folder: Path, file: BackedUp) -> None:
    """`Corrupt` unless the file has the bytes that were backed up."""
    path = folder / file.path
    try:
        size_bytes = disk.size(path)
    except FileNotFoundError:
        raise Corrupt(file=str(path), offset=0, reason="the file is missing") from None
    if size_bytes != file.size_bytes:
        reason = f"the file has {size_bytes} bytes, {file.size_bytes} were backed up"
        raise Corrupt(file=str(path), offset=min(size_bytes, file.size_bytes), reason=reason)
    digest = hashlib.sha256()
    for chunk in chunks(disk, path, size_bytes):
        digest.update(chunk)
    if digest.hexdigest() != file.sha256:
        raise Corrupt(file=str(path), offset=0, reason="checksum does not match")


def chunks(disk: Disk, path: Path, size_bytes: int) -> Iterator[bytes]:
    """The first `size_bytes` of a file, piece by piece."""
    offset = 0
    while offset < size_bytes:
        chunk = disk.read(path, offset, min(CHUNK_BYTES, size_bytes - offset))
        if not chunk:
            raise Corrupt(file=str(path), offset=offset, reason="the file ends here")
        yield chunk
        offset += len(chunk)


class Copying:
    """A file of a copy in the making."""

    def __init__(self, disk: Disk, path: Path, *, named: str) -> None:
        self._disk = disk
        self._path = path
        self._named = named
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._synced = 0
        if path.name in disk.list(path.parent):
            disk.unlink(path)
        self._file: WritableFile = disk.open(path)

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._digest.update(chunk)
        self._size_bytes += len(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        if self._size_bytes // SYNC_BYTES > self._synced:
            self._synced = self._size_bytes // SYNC_BYTES
            self._file.sync()

    def finish(self) -> BackedUp:
        """Sync and close; its name is durable once its folder is synced."""
        self._file.sync()
        self._file.close()
        return BackedUp(self._named, self._size_bytes, self._digest.hexdigest())

    def give_up(self) -> None:
        """Close and remove."""
        self._file.close()
        self._disk.unlink(self._path)


def copy_file(disk: Disk, source: Path, to: Path, *, named: str) -> BackedUp:
    """Copy a file that does not change any more. Raises `FileNotFoundError` when it goes away meanwhile."""
    size_bytes = disk.size(source)
    copying = Copying(disk, to, named=named)
    whole = False
    try:
        for chunk in chunks(disk, source, size_bytes):
            copying.write(chunk)
        whole = True
    finally:
        if not whole:
            copying.give_up()
    return copying.finish()


def check_empty(disk: Disk, folder: Path, *, what: str, but: str = "") -> None:
    """`RequestRejected` if something lies in the folder, `but` aside."""
    if set(disk.list(folder)) - {but}:
        raise RequestRejected("not_empty", f"{folder} is not empty: {what} goes into a folder of its own")


def check_apart(to: Path, source: Path) -> None:
    """`RequestRejected` where the folder that is copied and the one that it is copied to are one, or lie in each other:
    each has to stay whole when the other goes."""
    ours, theirs = source.resolve(), to.resolve()
    if ours == theirs or ours in theirs.parents or theirs in ours.parents:
        raise RequestRejected("inside", f"{to} and {source} must not lie in one another")


def _stays_inside(path: str) -> bool:
    parts: Sequence[str] = path.split("/")
    plain = all(part not in ("", ".", "..") and "\\" not in part and "\0" not in part for part in parts)
    return plain and len(parts) <= 2 and parts[0] != "keys"


def _check_log(folder: Path, manifest: BackupManifest) -> None:
    """The segments follow one another from `log_start` to `position`."""
    at = manifest.log_start
    for file in manifest.of("log"):
        if PurePosixPath(file.path).stem != f"{at:020d}":
            raise Corrupt(file=str(folder / file.path), offset=0, reason=f"the segment at {at} is missing before it")
        at += file.size_bytes
    if at != manifest.position:
        reason = f"the log ends at {at}, the backup is of {manifest.position}"
        raise Corrupt(file=str(folder / MANIFEST), offset=0, reason=reason)
