"""Putting a backup back: into an empty folder, after every byte of it was checked.

Until the end a file says that the directory is not whole; a server refuses it, and a restore that is run again
begins anew. The file that names the format is put there second to last, and that one is removed last.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from ...foundation.disk import Disk, write_whole
from ...foundation.errors import Broken, ConfigRejected, Corrupt
from ..belonging import installation_of
from ..datadir import FILES, FORMAT, LOGS, UNFINISHED, DataDirectory, secret_in
from .manifest import (
    MANIFEST,
    BackupManifest,
    check_apart,
    check_backup,
    check_empty,
    copy_file,
    read_manifest,
)

_PARTS = ("checkpoints", *LOGS, *FILES)


class Restored(msgspec.Struct, frozen=True):
    """What was put back."""

    manifest: BackupManifest
    keys: int
    """Files of keys that were put beside it; 0: it cannot be opened until they are there."""


def restore(directory: DataDirectory, folder: Path, *, keys: Path | None) -> Restored:
    """Restore the backup in `folder` into an empty or new directory, with the keys in the folder `keys`.

    Without them, the keys that lie where the directory's are (`[privacy] keys`) have to be the right ones, if any do.

    Raises `Corrupt` for the first damage in the backup, `ConfigRejected` for keys of another installation, and
    `RequestRejected` for a directory that is not empty, or that would lie in the backup or around it; nothing has been
    written then.
    """
    disk, data = directory.disk, directory.root
    check_apart(data, folder)
    again = UNFINISHED in disk.list(data)
    if not again:
        check_empty(disk, data, what="a restored directory", but=Path(UNFINISHED).with_suffix(".tmp").name)
    manifest = read_manifest(disk, folder)
    if manifest.directory_format > FORMAT:
        found = manifest.directory_format
        raise Broken(f"{folder} holds a data directory of format {found}; this program reads up to {FORMAT}")
    _check_places(directory, folder, manifest)
    check_backup(disk, folder)
    _check_keys(directory, keys, manifest)
    disk.make_directory(data)
    write_whole(disk, data / UNFINISHED, msgspec.json.encode({"from": str(folder)}))
    disk.sync_directory(data.parent)
    if again:
        _clear(directory)
    for part in _PARTS:
        disk.make_directory(data / part)
    for file in manifest.files:
        if file.path != directory.marker.name:
            _put(disk, folder, data, file.path, file.sha256)
    for part in _PARTS:
        disk.sync_directory(data / part)
    copied = 0 if keys is None else _copy_keys(disk, keys, directory.keys)
    _put(disk, folder, data, directory.marker.name, "")
    directory.own(manifest.installation)  # A backup from before says it in its manifest alone.
    disk.sync_directory(data)
    disk.unlink(data / UNFINISHED)
    disk.sync_directory(data)
    return Restored(manifest, copied)


def _put(disk: Disk, folder: Path, data: Path, path: str, sha256: str) -> None:
    copied = copy_file(disk, folder / path, data / path, named=path)
    if sha256 and copied.sha256 != sha256:
        raise Corrupt(file=str(folder / path), offset=0, reason="the file changed while it was restored")


def _check_places(directory: DataDirectory, folder: Path, manifest: BackupManifest) -> None:
    """All files, and the one that names the format among them, are of a data directory: nothing else is put there."""
    listed = {file.path for file in manifest.files}
    strange = [path for path in listed if str(PurePosixPath(path).parent) not in _PARTS]
    if strange != [directory.marker.name]:
        wrong = next((path for path in strange if path != directory.marker.name), "")
        reason = f"{wrong!r} is no file of a data directory" if wrong else f"{directory.marker.name} is not listed"
        raise Corrupt(file=str(folder / MANIFEST), offset=0, reason=reason)


def _check_keys(directory: DataDirectory, keys: Path | None, manifest: BackupManifest) -> None:
    data = directory.root.resolve()
    if keys is not None and data in (keys.resolve(), *keys.resolve().parents):
        raise ConfigRejected(f"{keys} lies in {data}: give a copy of the keys that lies elsewhere")
    found = directory.keys if keys is None and directory.disk.list(directory.keys) else keys
    if found is not None and installation_of(secret_in(directory.disk, found)) != manifest.installation:
        raise ConfigRejected(f"the keys in {found} are of another installation than the backup")


def _copy_keys(disk: Disk, keys: Path, to: Path) -> int:
    """Copy a folder of keys; how many files."""
    copied = 0
    for source in sorted(path for path in keys.rglob("*") if path.is_file() and path.name != "lock"):
        target = to / source.relative_to(keys)
        disk.make_directory(target.parent)
        copy_file(disk, source, target, named=source.name)
        disk.sync_directory(target.parent)
        copied += 1
    return copied


def _clear(directory: DataDirectory) -> None:
    """Remove what an unfinished restore had put there, but for keys, which are put in the place of equal ones."""
    disk, root = directory.disk, directory.root
    for folder in (root / part for part in _PARTS):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            disk.unlink(path)
    if directory.marker.name in disk.list(root):
        disk.unlink(directory.marker)
