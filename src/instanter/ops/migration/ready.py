"""What a migration leaves behind when all that it made is whole: DIR/migrating/ready.json, until it is done."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...foundation.disk import Disk
from ...foundation.errors import Corrupt


class Migrated(msgspec.Struct, frozen=True):
    """What a migration did."""

    from_format: int
    to_format: int
    records: int
    decisions: int
    quarantined: int
    checkpoints: int
    people: int
    passed_over: tuple[str, ...] = ()
    """Checkpoints that were damaged, and are left out."""


def read_ready(disk: Disk, path: Path) -> Migrated:
    """What is written there; `Corrupt` for a file that holds something else."""
    try:
        return msgspec.json.decode(disk.read(path, 0, disk.size(path)), type=Migrated)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = f"not what a migration leaves behind: {error}; put this file, or the whole directory, back from a copy"
        raise Corrupt(file=str(path), offset=0, reason=reason) from None
