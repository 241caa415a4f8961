"""The erasure list: which pseudonyms were erased. It lies with the keys, outside what is backed up, and is applied
to whatever log is opened, so that an old backup brings nobody back.

It names no id and no keyed hash of one: once a pseudonym's key is destroyed, nothing leads from it to a person.
Beside it lie the headstones: what a log that is older than an erasure must learn to tell late events of the person.
They are sealed as in the log, and their files go when the last of them is over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ..events.envelope import CONTROL_PARTITION
from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt
from ..foundation.limits import TOMBSTONES_MAX
from ..log.base import Readable
from ..log.commit import commit_now
from ..log.segment_log import SegmentLog
from ..log.segments import SegmentReader

VERSION: Final = 1
ERASURES: Final = "erasures"
HEADSTONES: Final = "headstones"
NOTHING_KNOWN: Final[Mapping[str, int]] = {}
_SEGMENT_BYTES: Final = 64 * 1024 * 1024
_DAY_MS: Final = 86_400_000


class Erasure(msgspec.Struct, frozen=True, array_like=True):
    """One erasure, written down before anything is destroyed."""

    version: int
    id: str
    at_ms: int
    tenant: str
    cells: tuple[int, ...]
    reason: str = "request"


class Headstone(msgspec.Struct, frozen=True, array_like=True):
    """What `Erased` says beside the pseudonyms. One without `ids` only says that these keys have seen that record."""

    version: int
    id: str
    """Of the erasure."""
    at_ms: int
    until_ms: int
    ids: tuple[bytes, ...] = ()
    messages: tuple[int, ...] = ()


Entry = TypeVar("Entry", Erasure, Headstone)
_encode = msgspec.msgpack.Encoder().encode


class ErasureList:
    """Append-only, durable on return. One writer. Grows by 100 bytes an erasure and is never cut; the headstones, up to
    20 KB each, are cut by the day."""

    def __init__(self, disk: Disk, directory: Path, *, reaches: Mapping[str, int] = NOTHING_KNOWN) -> None:
        """`reaches`: how far the two logs are known to reach, see `SegmentLog`."""
        self._directory = directory
        self._headstones_directory = directory.with_name(HEADSTONES)
        with ExitStack() as opened:
            self._log = SegmentLog(
                disk, directory, segment_bytes=_SEGMENT_BYTES, reaches=reaches.get(ERASURES, 0)
            )
            opened.callback(self._log.close)
            self._headstones = SegmentLog(
                disk, self._headstones_directory, segment_bytes=_SEGMENT_BYTES, reaches=reaches.get(HEADSTONES, 0)
            )
            opened.callback(self._headstones.close)
            self._closing = opened.pop_all()

    def add(self, erasure: Erasure) -> None:
        """Write an erasure down. Raises `Unavailable`."""
        commit_now(self._log, [(CONTROL_PARTITION, erasure.at_ms, _encode(erasure))])

    def add_headstone(self, stone: Headstone) -> None:
        """Write down what belongs to an erasure, before it or again; the last of an id counts. Raises `Unavailable`."""
        self._headstones.set_apart(stone.until_ms - _DAY_MS)
        commit_now(self._headstones, [(CONTROL_PARTITION, stone.until_ms, _encode(stone))])
        self._headstones.retain(below=self._headstones.begin().start, older_than_ms=stone.at_ms)

    def __iter__(self) -> Iterator[Erasure]:
        return _entries(self._log, self._directory, Erasure)

    def headstones(self) -> Iterator[Headstone]:
        """All that are kept, those that are over too, oldest first."""
        return _entries(self._headstones, self._headstones_directory, Headstone)

    @property
    def extents(self) -> dict[str, tuple[int, int]]:
        """Where what is durable of the list, and of the headstones, begins and ends."""
        return {ERASURES: self._log.extent, HEADSTONES: self._headstones.extent}

    def standing(self, now_ms: int) -> dict[str, Headstone]:
        """By id of the erasure: those that are not over, the newest `TOMBSTONES_MAX`."""
        found = OrderedDict[str, Headstone]()
        for stone in self.headstones():
            if stone.ids and stone.until_ms > now_ms:
                found.pop(stone.id, None)
                found[stone.id] = stone
                if len(found) > TOMBSTONES_MAX:
                    found.popitem(last=False)
        return found

    def close(self) -> None:
        """Give the files back."""
        self._closing.close()


def read_erasures(disk: Disk, directory: Path) -> Iterator[Erasure]:
    """What the list names, also beside its writer. Raises `Corrupt` or `Broken`."""
    return _entries(SegmentReader(disk, directory), directory, Erasure)


def read_headstones(disk: Disk, directory: Path) -> Iterator[Headstone]:
    """What lies beside the list, likewise."""
    return _entries(SegmentReader(disk, directory), directory, Headstone)


def _entries(log: Readable, directory: Path, kind: type[Entry]) -> Iterator[Entry]:
    decode = msgspec.msgpack.Decoder(kind).decode
    for frame in log.read():
        try:
            entry = decode(frame.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            what = "an erasure" if kind is Erasure else "a headstone"
            raise Corrupt(file=str(directory), offset=frame.position, reason=f"not {what}: {error}") from None
        if entry.version > VERSION:
            raise Broken(f"{directory} has format {entry.version}; this program reads up to {VERSION}")
        yield entry
