"""The new log, quarantine and checkpoints, written beside the old ones and from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ...events.envelope import Decided, Record, Unreadable, encode_record, read_record
from ...events.reject import QUARANTINE_VERSION, decode_quarantined, encode_quarantined
from ...events.reject import sealed as sealed_quarantined
from ...foundation.disk import Disk
from ...foundation.errors import Broken, Corrupt
from ...foundation.limits import MOVED_ENDS_MAX
from ...identity.former import Link
from ...log.frames import Frame
from ...log.moved import MovedWriter
from ...log.recovery import recover
from ...log.segment_log import SegmentLog, begin_log
from ...log.segments import SegmentReader
from ...privacy.subjects import KeyStore
from ...state.checkpoint import checkpoint_path, list_checkpoints, rewrite_checkpoint
from .sealing import Sealing

GROUP_BYTES: Final = 1024 * 1024
_LINKS: Final = "links"


class Built(msgspec.Struct):
    """What was written anew."""

    records: int = 0
    decisions: int = 0
    quarantined: int = 0
    checkpoints: int = 0
    passed_over: list[str] = []
    """Checkpoints that were damaged, and why: they are left out, as a start would leave them out."""


class Source:
    """The old log, from its first record to its last whole one."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._reader = SegmentReader(disk, directory)
        self.start = self._reader.start
        self.end = recover(disk, directory).end

    def frames(self) -> Iterator[Frame]:
        """Its frames. Raises `Corrupt`."""
        return self._reader.read_until(None, self.end)

    def records(self) -> Iterator[tuple[Frame, Record | Unreadable]]:
        """Its frames with their records."""
        for frame in self.frames():
            yield frame, read_record(frame.payload)


class _Target:
    """The new log: groups of about a megabyte, each synced."""

    def __init__(self, disk: Disk, directory: Path, *, start: int, segment_bytes: int) -> None:
        if start:
            begin_log(disk, directory, start)
        self._log = SegmentLog(disk, directory, segment_bytes=segment_bytes)
        self._group = self._log.begin()

    def append(self, frame: Frame, payload: bytes) -> int:
        """One entry in the place of `frame`; its position."""
        if len(self._group.buffer) >= GROUP_BYTES:
            self._log.commit(self._group)
            self._group = self._log.begin()
        return self._group.append(frame.partition, frame.time_ms, payload)

    @property
    def end(self) -> int:
        """Behind the newest entry."""
        return self._group.end

    def close(self) -> None:
        self._log.commit(self._group)
        self._log.close()


class Builder:
    """Writes the parts of a migrated directory from `old` to `new`. One after the other, in the order written here."""

    def __init__(self, disk: Disk, old: Path, new: Path, *, sealing: Sealing, segment_bytes: int) -> None:
        self._disk = disk
        self._old = old
        self._new = new
        self._sealing = sealing
        self._segment_bytes = segment_bytes
        self._source = Source(disk, old / "log")
        self._checkpoints = dict[int, int]()
        """Of old checkpoints, the new positions, as far as they are known."""
        self.built = Built()

    def adopt(self) -> None:
        """Give keys to everybody whom the log or a checkpoint names."""
        for _, record in self._source.records():
            self._sealing.adopt(record)

    def log(self) -> None:
        """The log, record by record; receipt times, partitions and the order are as they were."""
        folder = self._old / "checkpoints"
        wanted = set(list_checkpoints(self._disk, folder))
        start = self._source.start
        ends = OrderedDict({start: start})
        target = _Target(self._disk, self._new / "log", start=start, segment_bytes=self._segment_bytes)
        self._disk.make_directory(self._new / "moved")
        moved = MovedWriter(self._disk, self._new / "moved")
        self._checkpoints.update({start: start} if start in wanted else {})
        for frame, record in self._source.records():
            payload = frame.payload
            if not isinstance(record, Unreadable):
                sealed = self._sealing.sealed(record, position_of=ends)
                payload = payload if sealed is record else encode_record(sealed)
            position = target.append(frame, payload)
            if isinstance(record, Decided):
                moved.add(frame.position, position)
            ends[frame.end] = target.end
            if frame.end in wanted:
                self._checkpoints[frame.end] = ends[frame.end]
            if len(ends) > MOVED_ENDS_MAX:
                ends.popitem(last=False)
            self.built.records += 1
        target.close()
        moved.finish()
        self.built.decisions = moved.count

    def quarantine(self, subjects: KeyStore) -> None:
        """Every entry, sealed for whom it names."""
        source = Source(self._disk, self._old / "quarantine")
        target = _Target(self._disk, self._new / "quarantine", start=0, segment_bytes=self._segment_bytes)
        for frame in source.frames():
            entry = decode_quarantined(frame.payload, offset=frame.position)
            sealed = msgspec.structs.replace(sealed_quarantined(entry, subjects), version=QUARANTINE_VERSION)
            target.append(frame, encode_quarantined(sealed))
            self.built.quarantined += 1
        target.close()

    def checkpoints(self) -> None:
        """Every checkpoint that the new log holds the position of; the state in it as it is."""
        folder = self._old / "checkpoints"
        self._disk.make_directory(self._new / "checkpoints")
        for old, new in self._checkpoints.items():
            try:
                rewrite_checkpoint(
                    self._disk, checkpoint_path(folder, old), self._new / "checkpoints", position=new,
                    control=self._control,
                )  # fmt: skip
                self.built.checkpoints += 1
            except Corrupt as error:
                self.built.passed_over.append(str(error))
        if self._source.start > 0 and not self.built.checkpoints:
            passed_over = self.built.passed_over
            raise Broken(f"the log begins at {self._source.start} and no checkpoint can be used: {passed_over}")

    def _control(self, name: str, rows: list[Any]) -> list[Any]:
        if name != _LINKS:
            return rows
        return [self._sealing.sealed_link(msgspec.convert(row, Link)) for row in rows]

