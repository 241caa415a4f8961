"""The log as segment files in one directory: the embedded driver of the seam."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..foundation.disk import Bytes, Disk, WritableFile
from ..foundation.errors import DiskFull, LogClosed, Lost, Unavailable
from .base import OpenReport, Retained
from .frames import Frame, Group
from .recovery import Recovered, recover
from .segments import SEGMENT_HEADER_BYTES, Segment, SegmentReader, encode_segment_header, segment_path

_LOCK_NAME = "lock"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SegmentLog:
    """Opens, and where it must repairs, the log in `directory`; holds its lock until closed.

    A segment is full at `segment_bytes`; the group that reaches it still goes in whole. With `size_bytes_max` the
    oldest segments go as soon as the whole is larger than that (`dropped_segments` counts them), the newest stays.
    Opening reads the newest segment, and raises `Corrupt` when durable bytes are damaged, `Broken` when they are
    of a newer format, `LogClosed` when another process writes the log or the disk fails, `DiskFull` without room.
    """

    def __init__(
        self, disk: Disk, directory: Path, *, segment_bytes: int, size_bytes_max: int | None = None, reaches: int = 0
    ) -> None:
        """`reaches` is a position up to which the log is known to have been durable: `Lost`, and nothing is cut off,
        if its whole frames end before that."""
        assert segment_bytes > SEGMENT_HEADER_BYTES
        self._disk = disk
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._size_bytes_max = size_bytes_max
        self._reader = SegmentReader(disk, directory)
        self._bases_guard = threading.Lock()
        self._ended = ""
        """Why nothing more is written; empty while writing goes on."""
        self._rolls = False
        """Whether the next group opens a new segment, full or not."""
        self._closed = False
        self.dropped_segments = 0
        try:
            disk.make_directory(directory)
            self._lock = disk.lock(directory / _LOCK_NAME)
        except BlockingIOError:
            raise LogClosed(f"another process is writing the log in {directory}") from None
        except OSError as error:
            raise _translated(error, f"the log in {directory} cannot be opened") from None
        opened = False
        try:
            recovered = recover(disk, directory)
            if recovered.end < reaches:
                raise Lost([shortened(directory, recovered.end, reaches)])
            self._file = self._continue(recovered)
            opened = True
        except OSError as error:
            raise _translated(error, f"the log in {directory} cannot be opened") from None
        finally:
            if not opened:
                self._lock.release()
        self._bases = recovered.bases or [0]
        self._end = max(recovered.end, self._bases[-1] + SEGMENT_HEADER_BYTES)
        self.opened = OpenReport(self._bases[0], self._end, len(self._bases), recovered.cut)

    @property
    def start(self) -> int:
        """As `Readable.start`."""
        with self._bases_guard:
            return self._bases[0]

    @property
    def extent(self) -> tuple[int, int]:
        """Where what is durable begins and ends."""
        return self._bases[0], self._end

    def begin(self, after: Group | None = None) -> Group:
        """As `Log.begin`."""
        start = self._end if after is None else after.end
        segment = self._bases[-1] if after is None else after.segment
        rolls = start - segment >= self._segment_bytes or (self._rolls and start > segment + SEGMENT_HEADER_BYTES)
        if not rolls:
            return Group(start=start, segment=segment, opening=b"")
        self._rolls = False
        return Group(start=start, segment=start, opening=encode_segment_header(start))

    def commit(self, group: Group) -> None:
        """As `Log.commit`."""
        if self._ended:
            raise LogClosed(self._ended)
        if group.start != self._end:
            raise DiskFull("the log had no room for what comes before this")
        if group.end == group.start:
            return
        if group.rolls:
            self._commit_rolling(group)
        else:
            self._write(self._file, group.buffer, keep_bytes=group.start - group.segment)
            self._sync(self._file)
        self._end = group.end

    def check_there(self) -> None:
        """Raises `LogClosed`, and ends writing, if the newest segment is not found at its path any more: a start would
        not find what was written to it. May be called from any thread, and costs two looks at the directory: too much
        for each commit, whose thread would wait for the interpreter twice more."""
        with self._bases_guard:
            path = segment_path(self._directory, self._bases[-1])
            there = self._closed or self._file.is_at(path)
        if not there:
            raise self._end_writing(f"{path} is gone: the data directory was removed, replaced or unmounted")

    def read(self, position: int | None = None) -> Iterator[Frame]:
        """As `Readable.read`; sees durable frames only, and may be called from any thread."""
        return self._reader.read_until(position, self._end)

    def read_runs(self, position: int | None = None) -> Iterator[Sequence[Frame]]:
        """As `Readable.read_runs`; sees durable frames only, and may be called from any thread."""
        return self._reader.read_runs_until(position, self._end)

    def read_back(self, before: int | None = None) -> tuple[list[Frame], int]:
        """As `SegmentReader.read_back`; sees durable frames only, and may be called from any thread."""
        return self._reader.read_back(before, end=self._end)

    def find_time(self, time_ms: int) -> int:
        """As `ReadableByTime.find_time`; sees durable frames only, and may be called from any thread."""
        return self._reader.find_time(time_ms, end=self._end)

    def retain(
        self, *, below: int, older_than_ms: int, allowed: Callable[[int], bool] | None = None
    ) -> Retained:
        """As `Log.retain`. A segment's age is that of the first frame behind it, which came in later than all of it."""
        assert self._size_bytes_max is None, "a log of limited size drops its oldest segments by itself"
        bases = tuple(self._bases)
        count = 0
        for following in bases[1:]:
            if following > below or not self._begins_before(following, older_than_ms):
                break
            count += 1
        if count and allowed is not None and not allowed(bases[count]):
            count = 0
        removed = self._remove_oldest(count)
        start = bases[removed]
        return Retained(start, removed, start - bases[0])

    def set_apart(self, before_ms: int) -> None:
        """As `Log.set_apart`: the next group opens a new segment if the newest one holds entries from before then."""
        self._rolls = self._begins_before(self._bases[-1], before_ms)

    def close(self) -> None:
        """As `Log.close`. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        self._ended = self._ended or "the log is closed"
        self._file.close()
        self._lock.release()

    def _continue(self, recovered: Recovered) -> WritableFile:
        """Open the newest segment with its torn end cut, everything that is kept synced."""
        base = recovered.bases[-1] if recovered.bases else 0
        file = self._disk.open(segment_path(self._directory, base))
        kept = False
        try:
            if recovered.cut is not None:
                file.truncate(recovered.cut.offset)
            if recovered.end == base:
                self._write_all(file, encode_segment_header(base))
            file.sync()
            self._disk.sync_directory(self._directory)
            kept = True
        finally:
            if not kept:
                file.close()
        return file

    def _commit_rolling(self, group: Group) -> None:
        path = segment_path(self._directory, group.segment)
        try:
            file = self._disk.open(path)
        except OSError as error:
            raise self._refused(error) from None
        try:
            self._write(file, group.buffer, keep_bytes=0)
            self._sync(file)
            self._sync_directory()
        except Unavailable:
            file.close()
            self._forget(path)
            raise
        full = self._file
        with self._bases_guard:
            self._file = file
            self._bases.append(group.segment)
        full.close()
        self._drop_over_size(group.end)

    def _write(self, file: WritableFile, buffer: Bytes, *, keep_bytes: int) -> None:
        """Write all of `buffer`, or take everything beyond `keep_bytes` back and raise."""
        try:
            self._write_all(file, buffer)
        except OSError as error:
            self._take_back(file, keep_bytes)
            raise self._refused(error) from None

    def _write_all(self, file: WritableFile, buffer: Bytes) -> None:
        rest = memoryview(buffer)
        while rest:
            taken = file.write(rest)
            if taken == 0:
                raise OSError(errno.ENOSPC, "nothing was taken")
            rest = rest[taken:]

    def _take_back(self, file: WritableFile, keep_bytes: int) -> None:
        try:
            file.truncate(keep_bytes)
        except OSError as error:
            raise self._end_writing(f"an unfinished write cannot be taken back: {error.strerror}") from None

    def _sync(self, file: WritableFile) -> None:
        """Nobody knows what a failed sync left on the disk, so it is never tried again and writing ends here.

        What was not synced is taken back where that still works, lest the next start read it from memory,
        believe it and find later that it never was on the disk.
        """
        try:
            file.sync()
        except OSError as error:
            ended = self._end_writing(f"a sync of the log failed: {error.strerror}")
            if file is self._file:
                self._take_back(file, self._end - self._bases[-1])
            raise ended from None

    def _sync_directory(self) -> None:
        try:
            self._disk.sync_directory(self._directory)
        except OSError as error:
            raise self._end_writing(f"a sync of the log's directory failed: {error.strerror}") from None

    def _forget(self, path: Path) -> None:
        try:
            self._disk.unlink(path)
        except OSError as error:
            raise self._end_writing(f"an unfinished segment cannot be removed: {error.strerror}") from None

    def _refused(self, error: OSError) -> Unavailable:
        if error.errno in _NO_ROOM:
            return DiskFull("no room on the disk for the log")
        return self._end_writing(f"a write to the log failed: {error.strerror}")

    def _end_writing(self, reason: str) -> LogClosed:
        """Writing has ended for the first reason given."""
        self._ended = self._ended or f"{reason}; the log takes nothing more until a restart"
        return LogClosed(self._ended)

    def _begins_before(self, base: int, time_ms: int) -> bool:
        segment = Segment(self._disk, self._directory, base)
        frame = next((run[0] for run in segment.whole_frames(segment.first, None)), None)
        return frame is not None and frame.time_ms < time_ms

    def _drop_over_size(self, end: int) -> None:
        if self._size_bytes_max is None:
            return
        newest = len(self._bases) - 1
        fitting = (index for index, base in enumerate(self._bases) if end - base <= self._size_bytes_max)
        self.dropped_segments += self._remove_oldest(min(next(fitting, newest), newest))

    def _remove_oldest(self, count: int) -> int:
        """Remove up to `count` segments and return how many went; what cannot be removed now is left for next time.

        Oldest first and each made durable before the next, so that a crash in between leaves no gap.
        """
        for removed in range(count):
            try:
                self._disk.unlink(segment_path(self._directory, self._bases[0]))
                self._disk.sync_directory(self._directory)
            except OSError:
                return removed
            with self._bases_guard:
                del self._bases[0]
        return count


def begin_log(disk: Disk, directory: Path, start: int) -> None:
    """Make an empty log that begins at a position, as if what was before had been dropped; durable on return."""
    disk.make_directory(directory)
    file = disk.open(segment_path(directory, start))
    file.write(encode_segment_header(start))
    file.sync()
    file.close()
    disk.sync_directory(directory)


def shortened(directory: Path, end: int, reached: int) -> str:
    """A sentence about a log that ends too early."""
    return f"{directory} ends at position {end} and reached {reached}: the last {reached - end} bytes are missing"


def _translated(error: OSError, what: str) -> Unavailable:
    if error.errno in _NO_ROOM:
        return DiskFull(f"{what}: no room on the disk")
    return LogClosed(f"{what}: {error.strerror}")
