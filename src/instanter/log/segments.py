"""Segment files: `00000000000000000000.seg`, named by their base position, and the reader over them.

    offset  0  magic    8 bytes  INSTANTR
            8  crc      u32      CRC-32 of everything after it in the header
           12  version  u16      1; magic, crc and version keep their places in every format to come
           14  unused   u16
           16  base     u64      position of the file's first byte
           24  unused   u64
           32  frames

A segment ends where the next begins, so a file that is missing or too short is a gap that shows.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from zlib import crc32

from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt, RequestRejected
from ..foundation.limits import FRAME_BYTES_MAX, READ_BACK_BYTES_MAX
from .frames import (
    FRAME_HEADER_BYTES,
    FRAME_VERSION,
    Decoded,
    Frame,
    FrameFault,
    decode_frames,
    decode_run,
    find_frame,
    find_group,
)

SEGMENT_VERSION = 1
SEGMENT_HEADER_BYTES = 32

Decode = Callable[[bytes, int], Decoded]
"""`decode_frames` or `decode_run`."""

_MAGIC = b"INSTANTR"
_SUFFIX = ".seg"
_DIGITS = 20
_CHECKED = struct.Struct("<HHQQ")
_HEADER = struct.Struct("<8sIHHQQ")
_CHECKED_OFFSET = len(_MAGIC) + 4
assert _HEADER.size == SEGMENT_HEADER_BYTES

_READ_BYTES_FIRST = 8 * 1024
_READ_BYTES = 2 * 1024 * 1024
_SEARCH_BYTES = 8 * 1024 * 1024
_FRAME_BYTES_MAX = FRAME_BYTES_MAX + FRAME_HEADER_BYTES
FIND_BYTES = 32 * 1024
"""Read where a time is looked for, and how near to it the search ends."""
assert _READ_BYTES >= FRAME_BYTES_MAX + FRAME_HEADER_BYTES, "a read holds any whole frame"


def encode_segment_header(base: int) -> bytes:
    """The first bytes of the segment at `base`."""
    checked = _CHECKED.pack(SEGMENT_VERSION, 0, base, 0)
    return _MAGIC + crc32(checked).to_bytes(4, "little") + checked


def segment_path(directory: Path, base: int) -> Path:
    """The file of the segment at `base`."""
    return directory / f"{base:0{_DIGITS}d}{_SUFFIX}"


def list_segments(disk: Disk, directory: Path) -> list[int]:
    """The base positions of all segments, in order."""
    stems = (name.removesuffix(_SUFFIX) for name in disk.list(directory) if name.endswith(_SUFFIX))
    return sorted(int(stem) for stem in stems if len(stem) == _DIGITS and stem.isdecimal())


class Segment:
    """One segment file, read. `Corrupt` names the file and the byte in it."""

    def __init__(self, disk: Disk, directory: Path, base: int) -> None:
        self._disk = disk
        self.base = base
        self.path = segment_path(directory, base)
        self.first = base + SEGMENT_HEADER_BYTES

    def size(self) -> int:
        """Bytes in the file now."""
        return self._disk.size(self.path)

    def has_header(self) -> bool:
        """Whether the header is whole; raises `Broken` when it is of a newer format."""
        raw = self._read(self.base, SEGMENT_HEADER_BYTES)
        if len(raw) < SEGMENT_HEADER_BYTES:
            return False
        magic, crc, version, _, base, _ = _HEADER.unpack(raw)
        if magic != _MAGIC or crc32(raw[_CHECKED_OFFSET:]) != crc:
            return False
        if version > SEGMENT_VERSION:
            raise _newer(self.path, version, SEGMENT_VERSION)
        return bool(version == SEGMENT_VERSION and base == self.base)

    def decode(self, position: int, size_bytes: int, decode: Decode = decode_frames) -> Decoded:
        """The frames in `size_bytes` from `position`; raises `Broken` when the first is of a newer format."""
        decoded = decode(self._read(position, size_bytes), position)
        if decoded.fault is FrameFault.NEWER and not decoded.frames:
            raise _newer(self.path, decoded.version, FRAME_VERSION)
        return decoded

    def whole_frames(
        self, position: int, until: int | None, decode: Decode = decode_frames
    ) -> Generator[Sequence[Frame], None, int]:
        """The frames from `position` up to `until` or the file's end, in runs; returns where the whole ones end."""
        size_bytes = _READ_BYTES_FIRST
        while until is None or position < until:
            wanted = size_bytes if until is None else min(size_bytes, until - position)
            decoded = self.decode(position, wanted, decode)
            if decoded.frames:
                yield decoded.frames
                position += decoded.used_bytes
            elif decoded.fault is FrameFault.BAD or size_bytes == _READ_BYTES:
                break
            size_bytes = _READ_BYTES
        return position

    def checked_bytes(self, until: int) -> Iterator[bytes]:
        """All of it up to position `until`, where a frame ends, in pieces of whole frames; raises `Corrupt`."""
        if not self.has_header():
            raise self.damage(self.base, "the segment's header is not whole")
        yield self._read(self.base, SEGMENT_HEADER_BYTES)
        position = self.first
        while position < until:
            chunk = self._read(position, min(_READ_BYTES, until - position))
            used_bytes = decode_frames(chunk, position).used_bytes
            if used_bytes == 0:
                raise self.damage(position, "not the bytes that were written here")
            yield chunk[:used_bytes]
            position += used_bytes

    def newest_before(self, before: int) -> tuple[list[Frame], int]:
        """The whole frames of the last groups before a position, and where the first of those groups begins."""
        size_bytes = READ_BACK_BYTES_MAX
        while True:
            start = max(self.first, before - size_bytes)
            raw = self._read(start, max(before - start, 0))
            offset = 0 if start == self.first else find_group(raw, start)
            if offset is not None:
                return list(decode_frames(raw[offset:], start + offset).frames), start + offset
            size_bytes *= 2

    def first_time_ms(self) -> int | None:
        """When the first of its frames was received; None if it has none."""
        frames = self.decode(self.first, _READ_BYTES_FIRST).frames or self.decode(self.first, _READ_BYTES).frames
        return frames[0].time_ms if frames else None

    def find_time(self, time_ms: int, until: int) -> int:
        """Where a frame begins, close before the first one up to `until` that was received at or after a time."""
        low, high = self.first, until
        while high - low > FIND_BYTES:
            middle = (low + high) // 2
            frame = self._frame_behind(middle, high)
            if frame is None or frame.time_ms >= time_ms:
                high = middle
            else:
                low = frame.position
        return low

    def _frame_behind(self, position: int, until: int) -> Frame | None:
        """The next frame that begins at or behind a position, and ends before another."""
        size_bytes, size_bytes_max = _READ_BYTES_FIRST, min(until - position, 2 * _FRAME_BYTES_MAX)
        while True:
            frame = find_frame(self._read(position, min(size_bytes, size_bytes_max)), position)
            if frame is not None or size_bytes >= size_bytes_max:
                return frame
            size_bytes *= 8

    def holds_frame(self, position: int) -> bool:
        """Whether a whole frame starts there."""
        return bool(self.decode(position, _READ_BYTES).frames)

    def was_durable(self, position: int) -> bool:
        """Whether a later group lies behind `position`, so that what is there was synced once."""
        offset_max = self.size()
        while position - self.base < offset_max:
            chunk = self._read(position, _SEARCH_BYTES + FRAME_BYTES_MAX + FRAME_HEADER_BYTES)
            if find_group(chunk, position) is not None:
                return True
            position += _SEARCH_BYTES
        return False

    def damage(self, position: int, reason: str) -> Corrupt:
        """The error that names this file and the byte at `position`."""
        return Corrupt(file=str(self.path), offset=position - self.base, reason=reason)

    def _read(self, position: int, size_bytes: int) -> bytes:
        try:
            return self._disk.read(self.path, position - self.base, size_bytes)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self.damage(position, f"cannot be read: {error.strerror}") from None


class SegmentReader:
    """Reads the segments in a directory; holds nothing open, writes nothing, needs no lock.

    From another process it sees what has been written, which can be a group that is not synced yet.
    """

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory

    @property
    def start(self) -> int:
        """As `Readable.start`."""
        return next(iter(list_segments(self._disk, self._directory)), 0)

    def read(self, position: int | None = None) -> Iterator[Frame]:
        """As `Readable.read`."""
        return self.read_until(position, None)

    def read_until(self, position: int | None, end: int | None) -> Iterator[Frame]:
        """As `Readable.read`, up to `end`, below which every frame is known to be durable."""
        return chain.from_iterable(self._runs_until(position, end, decode_frames))

    def read_runs(self, position: int | None = None) -> Iterator[Sequence[Frame]]:
        """As `Readable.read_runs`."""
        return self.read_runs_until(position, None)

    def read_runs_until(self, position: int | None, end: int | None) -> Iterator[Sequence[Frame]]:
        """As `Readable.read_runs`, up to `end` as `read_until`."""
        return self._runs_until(position, end, decode_run)

    def _runs_until(self, position: int | None, end: int | None, decode: Decode) -> Iterator[Sequence[Frame]]:
        bases = list_segments(self._disk, self._directory)
        start = bases[0] if bases else 0
        if position is None:
            position = start
        if position < start:
            raise _expired(position)
        if end is not None and position > end:
            raise _stray(position)
        return self._runs(position, end, decode) if bases else iter(())

    def read_back(self, before: int | None = None, *, end: int | None = None) -> tuple[list[Frame], int]:
        """The frames before position `before` (None: the newest), about `READ_BACK_BYTES_MAX` bytes of them, in the
        order of the log, and the position to go on from; 0 when there is nothing older.

        A position within a frame is as good as where it begins. One group is read whole, however large it is.
        """
        bases = list_segments(self._disk, self._directory)
        if not bases:
            return [], 0
        before = end if before is None else before if end is None else min(before, end)
        index = len(bases) - 1 if before is None else bisect_right(bases, before - SEGMENT_HEADER_BYTES - 1) - 1
        if index < 0:
            return [], 0
        segment = Segment(self._disk, self._directory, bases[index])
        segment_end = bases[index + 1] if index + 1 < len(bases) else segment.base + segment.size()
        before = segment_end if before is None else min(before, segment_end)
        try:
            frames, start = segment.newest_before(before)
        except FileNotFoundError:  # Retention was just there.
            return [], 0
        if start <= segment.first:
            start = segment.base if index > 0 else 0
        return frames, start

    def find_time(self, time_ms: int, *, end: int | None = None) -> int:
        """As `ReadableByTime.find_time`, among what lies below `end`."""
        bases = list_segments(self._disk, self._directory)
        found = bisect_left(bases, time_ms, key=self._first_time_ms)
        if found == 0:
            return bases[0] if bases else 0
        segment = Segment(self._disk, self._directory, bases[found - 1])
        segment_end = bases[found] if found < len(bases) else segment.base + segment.size() if end is None else end
        try:
            return segment.find_time(time_ms, segment_end)
        except FileNotFoundError:  # Retention was just there.
            return bases[-1]

    def _first_time_ms(self, base: int) -> int:
        """Of the segment at `base`; the least of all times if it is gone, the last of all if nothing is in it yet."""
        try:
            first_ms = Segment(self._disk, self._directory, base).first_time_ms()
        except FileNotFoundError:
            return 0
        return 1 << 63 if first_ms is None else first_ms

    def _runs(self, position: int, end: int | None, decode: Decode) -> Iterator[Sequence[Frame]]:
        asked = position
        try:
            while end is None or position < end:
                segment, until = self._locate(position, end)
                position = yield from self._segment_runs(segment, position, until, asked, decode)
                if until is None and self._locate(position, end) == (segment, until):
                    return
        except FileNotFoundError:
            raise _expired(position) from None

    def _locate(self, position: int, end: int | None) -> tuple[int, int | None]:
        """The segment that holds `position`, and where it is known to end."""
        bases = list_segments(self._disk, self._directory)
        index = bisect_right(bases, position)
        if index == 0:
            raise _expired(position)
        following = bases[index] if index < len(bases) else end
        return bases[index - 1], following if end is None or following is None else min(following, end)

    def _segment_runs(
        self, base: int, position: int, until: int | None, asked: int, decode: Decode
    ) -> Generator[Sequence[Frame], None, int]:
        segment = Segment(self._disk, self._directory, base)
        if not segment.has_header() and not self._became_readable(segment, base, until):
            return position
        position = max(position, segment.first)
        while True:
            for run in segment.whole_frames(position, until, decode):
                yield run
                position = run[-1].end
            if position == until:
                return position
            if position == asked:
                _refuse_stray(segment, asked)
            if not self._became_readable(segment, position, until):
                return position

    def _became_readable(self, segment: Segment, position: int, until: int | None) -> bool:
        """At a place that could not be read: raises `Corrupt` if it was durable, unless the writer was just there."""
        if until is None:
            if not segment.was_durable(position):
                return False
            if segment.has_header() and (position == segment.base or segment.holds_frame(position)):
                return True
        raise segment.damage(position, "not the bytes that were written here")


def _refuse_stray(segment: Segment, position: int) -> None:
    """Raises when no frame starts or will start at `position`: then it is the position that is wrong, not the log."""
    beyond = position - segment.base - segment.size()
    if beyond > 0:
        raise _stray(position)
    if beyond == 0 or position == segment.first:
        return
    for run in segment.whole_frames(segment.first, None):
        if run[-1].end < position:
            continue
        if any(frame.end == position for frame in run):
            return
        raise _stray(position)


def _newer(path: Path, found: int, known: int) -> Broken:
    return Broken(f"{path}: written in log format {found}, and this release reads formats up to {known}")


def _expired(position: int) -> RequestRejected:
    return RequestRejected("expired", f"position {position} is no longer kept in the log", status=410)


def _stray(position: int) -> RequestRejected:
    return RequestRejected("position", f"no frame of the log starts at {position}", status=404)
