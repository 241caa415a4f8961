"""The erasure list: which pseudonyms were erased. It lies with the keys, outside what is backed up, and is applied
to whatever log is opened, so that an old backup brings nobody back.

It names no id and no keyed hash of one: once a pseudonym's key is destroyed, nothing leads from it to a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..events.envelope import CONTROL_PARTITION
from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt
from ..log.base import Readable
from ..log.commit import commit_now
from ..log.segment_log import SegmentLog
from ..log.segments import SegmentReader

VERSION: Final = 1
_SEGMENT_BYTES: Final = 64 * 1024 * 1024


class Erasure(msgspec.Struct, frozen=True, array_like=True):
    """One erasure, written down before anything is destroyed."""

    version: int
    id: str
    at_ms: int
    tenant: str
    cells: tuple[int, ...]
    reason: str = "request"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Erasure).decode


class ErasureList:
    """Append-only, durable on return. One writer; grows by 100 bytes an erasure and is never cut."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._log = SegmentLog(disk, directory, segment_bytes=_SEGMENT_BYTES)
        self._directory = directory

    def add(self, erasure: Erasure) -> None:
        """Write an erasure down. Raises `Unavailable`."""
        commit_now(self._log, [(CONTROL_PARTITION, erasure.at_ms, _encode(erasure))])

    def __iter__(self) -> Iterator[Erasure]:
        return _erasures(self._log, self._directory)

    def close(self) -> None:
        """Give the files back."""
        self._log.close()


def read_erasures(disk: Disk, directory: Path) -> Iterator[Erasure]:
    """What the list names, also beside its writer. Raises `Corrupt` or `Broken`."""
    return _erasures(SegmentReader(disk, directory), directory)


def _erasures(log: Readable, directory: Path) -> Iterator[Erasure]:
    for frame in log.read():
        try:
            erasure = _decode(frame.payload)
        except msgspec.MsgspecError as error:
            raise Corrupt(file=str(directory), offset=frame.position, reason=f"not an erasure: {error}") from None
        if erasure.version > VERSION:
            raise Broken(f"{directory} has format {erasure.version}; this program reads up to {VERSION}")
        yield erasure
