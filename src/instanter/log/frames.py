"""Frames: how one entry lies in the log, format 1.

    offset  0  crc        u32   CRC-32 of everything after it, header and payload
            4  length     u32   bytes of payload
            8  position   u64   where this frame starts, counted over all segments
           16  time_ms    i64   when the entry was received
           24  partition  u16   0xFFFF is the control partition
           26  version    u8    1
           27  flags      u8    1 = first frame of its group
           28  payload

All little-endian. The position makes bytes that were left over from an earlier life, or lie in the wrong place,
as visible as damaged ones; and since no frame starts at position 0, zeros are never a frame. A group is written
and synced only after the group before it was synced: so whatever lies before a whole first-of-group frame was
durable once, and if it is not readable now it is damaged, not torn.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NewType, cast, overload
from zlib import crc32

import msgspec
import numpy as np

from ..foundation.limits import FRAME_BYTES_MAX

LogPosition = NewType("LogPosition", int)
"""Before, between or behind records: what stands there has to do with everything below, and with nothing else."""
RecordPosition = NewType("RecordPosition", LogPosition)
"""Where the frame of a record starts, which names the record for ever. It is a position before that record, too."""
FRAME_VERSION = 1
FRAME_HEADER_BYTES = 28
FIRST_OF_GROUP = 1

_CHECKED = struct.Struct("<IQqHBB")
_HEADER = struct.Struct("<IIQqHBB")
_CRC = struct.Struct("<I")
_CRC_BYTES = _CRC.size
_POSITION_OFFSET = 8
_POSITION_BYTES = 8
assert _HEADER.size == FRAME_HEADER_BYTES


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One entry as read back. `position` names it for ever."""

    position: RecordPosition
    time_ms: int
    partition: int
    flags: int
    payload: bytes

    @property
    def end(self) -> int:
        """Where to go on reading after this frame."""
        return self.position + FRAME_HEADER_BYTES + len(self.payload)

    @property
    def begins_group(self) -> bool:
        """Whether it is the first of the group that it was written and synced with."""
        return self.flags & FIRST_OF_GROUP != 0


def ends_of(frames: Iterable[Frame]) -> list[LogPosition]:
    """Where each of the frames ends."""
    if isinstance(frames, Run):
        return frames.positions_behind
    return cast("list[LogPosition]", [frame.end for frame in frames])  # A call for each would cost what it says.


class Group:
    """Entries that are written and synced together; each learns its position when it is appended.

    `start` is where the group's bytes begin. A group that opens a new segment brings the segment's header along
    (`opening`), so its first frame lies a little behind `start`. Made by `Log.begin`; not safe for several threads.

    >>> group = Group(start=0, segment=0, opening=b"")
    >>> group.append(3, 1_700_000_000_000, b"payload"), group.append(3, 1_700_000_000_001, b"more")
    (0, 35)
    >>> group.end
    67
    """

    __slots__ = ("_flags", "buffer", "end", "rolls", "segment", "start")

    def __init__(self, *, start: int, segment: int, opening: bytes) -> None:
        self.start = start
        self.segment = segment
        """Base position of the segment that the group is written to."""
        self.rolls = len(opening) > 0
        self.buffer = bytearray(opening)
        self.end = start + len(opening)
        """Position behind the last entry, which is where the next group starts."""
        self._flags = FIRST_OF_GROUP

    def append(self, partition: int, time_ms: int, payload: bytes) -> int:
        """Add one entry and return its position. Costs about half a microsecond; nothing is written yet."""
        size_bytes = len(payload)
        assert size_bytes <= FRAME_BYTES_MAX, "an entry is over limits.FRAME_BYTES_MAX"
        position = self.end
        checked = _CHECKED.pack(size_bytes, position, time_ms, partition, FRAME_VERSION, self._flags)
        buffer = self.buffer
        buffer += _CRC.pack(crc32(payload, crc32(checked)))
        buffer += checked
        buffer += payload
        self._flags = 0
        self.end = position + FRAME_HEADER_BYTES + size_bytes
        return position


    def extend(self, entries: Sequence[tuple[int, int, bytes, object]]) -> list[int]:
        """As `append` of (partition, time_ms, payload, anything) each; their positions. Half the work for many."""
        positions: list[int] = []
        pieces: list[bytes] = []
        position, flags, pack, pack_crc = self.end, self._flags, _CHECKED.pack, _CRC.pack
        for partition, time_ms, payload, _ in entries:
            size_bytes = len(payload)
            assert size_bytes <= FRAME_BYTES_MAX, "an entry is over limits.FRAME_BYTES_MAX"
            checked = pack(size_bytes, position, time_ms, partition, FRAME_VERSION, flags)
            pieces += (pack_crc(crc32(payload, crc32(checked))), checked, payload)
            positions.append(position)
            position += FRAME_HEADER_BYTES + size_bytes
            flags = 0
        self.buffer += b"".join(pieces)
        self.end, self._flags = position, flags
        return positions


class Run(Sequence[Frame]):
    """Frames one behind the other as they lie in the log, each taken apart where it is asked for.

    `begins`, `ends` and `times_ms` run in parallel: where in `chunk` each payload lies, and when it was received.

    >>> group = Group(start=32, segment=0, opening=b"")
    >>> _ = group.append(3, 1_700_000_000_000, b"payload"), group.append(3, 1_700_000_000_001, b"more")
    >>> run = decode_run(bytes(group.buffer), 32).frames
    >>> [frame.payload for frame in run], run[1].position, run.positions_behind
    ([b'payload', b'more'], 67, [67, 99])
    """

    __slots__ = ("begins", "chunk", "ends", "position", "times_ms")

    def __init__(
        self, position: int, chunk: bytes, begins: list[int], ends: list[int], times_ms: list[int]
    ) -> None:  # fmt: skip
        """`chunk` lies at `position`."""
        self.position = position
        self.chunk = chunk
        self.begins = begins
        self.ends = ends
        self.times_ms = times_ms

    def __len__(self) -> int:
        return len(self.begins)

    @overload
    def __getitem__(self, place: int) -> Frame: ...
    @overload
    def __getitem__(self, place: slice) -> Run: ...
    def __getitem__(self, place: int | slice) -> Frame | Run:
        if isinstance(place, slice):
            return Run(self.position, self.chunk, self.begins[place], self.ends[place], self.times_ms[place])
        begin = self.begins[place]
        _, _, found, time_ms, partition, _, flags = _HEADER.unpack_from(self.chunk, begin - FRAME_HEADER_BYTES)
        return Frame(found, time_ms, partition, flags, self.chunk[begin : self.ends[place]])

    @property
    def positions_behind(self) -> list[LogPosition]:
        """Where each of the frames ends in the log."""
        return [LogPosition(self.position + end) for end in self.ends]


class FrameFault(Enum):
    """Why decoding stopped."""

    END = "the bytes end behind a whole frame"
    SHORT = "the bytes end inside a frame"
    BAD = "the bytes are not the frame that belongs here"
    NEWER = "a frame of a newer format"


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """What a run of bytes holds: its frames up to the first fault, and how many bytes they take."""

    frames: Sequence[Frame]
    used_bytes: int
    fault: FrameFault
    version: int = FRAME_VERSION
    """Of the frame at fault, when that is newer than ours."""


def decode_frames(chunk: bytes, position: int) -> Decoded:
    """All frames from the beginning of `chunk`, which lies at `position`. About a million a second.

    >>> group = Group(start=32, segment=0, opening=b"")
    >>> _ = group.append(3, 1_700_000_000_000, b"payload")
    >>> decode_frames(bytes(group.buffer), 32).frames[0].payload
    b'payload'
    >>> decode_frames(bytes(group.buffer), 33).fault
    <FrameFault.BAD: 'the bytes are not the frame that belongs here'>
    """
    unpack_header = _HEADER.unpack_from
    view = memoryview(chunk)
    size_bytes = len(chunk)
    header_offset_max = size_bytes - FRAME_HEADER_BYTES
    frames: list[Frame] = []
    offset = 0
    while offset <= header_offset_max:
        crc, length, found, time_ms, partition, version, flags = unpack_header(chunk, offset)
        if found != position + offset or length > FRAME_BYTES_MAX:
            return Decoded(frames, offset, FrameFault.BAD)
        end = offset + FRAME_HEADER_BYTES + length
        if end > size_bytes:
            return Decoded(frames, offset, FrameFault.SHORT)
        if crc32(view[offset + _CRC_BYTES : end]) != crc or version < FRAME_VERSION:
            return Decoded(frames, offset, FrameFault.BAD)
        if version > FRAME_VERSION:
            return Decoded(frames, offset, FrameFault.NEWER, version)
        frames.append(Frame(found, time_ms, partition, flags, chunk[offset + FRAME_HEADER_BYTES : end]))
        offset = end
    return Decoded(frames, offset, FrameFault.END if offset == size_bytes else FrameFault.SHORT)


def decode_run(chunk: bytes, position: int) -> Decoded:
    """As `decode_frames`, with a `Run` in place of the list: half of the time where most frames are not looked at."""
    unpack_header = _HEADER.unpack_from
    view = memoryview(chunk)
    size_bytes = len(chunk)
    header_offset_max = size_bytes - FRAME_HEADER_BYTES
    run = Run(position, chunk, [], [], [])
    add_begin, add_end, add_time = run.begins.append, run.ends.append, run.times_ms.append
    offset = 0
    while offset <= header_offset_max:
        crc, length, found, time_ms, _, version, _ = unpack_header(chunk, offset)
        if found != position + offset or length > FRAME_BYTES_MAX:
            return Decoded(run, offset, FrameFault.BAD)
        begin = offset + FRAME_HEADER_BYTES
        end = begin + length
        if end > size_bytes:
            return Decoded(run, offset, FrameFault.SHORT)
        if crc32(view[offset + _CRC_BYTES : end]) != crc or version < FRAME_VERSION:
            return Decoded(run, offset, FrameFault.BAD)
        if version > FRAME_VERSION:
            return Decoded(run, offset, FrameFault.NEWER, version)
        add_begin(begin)
        add_end(end)
        add_time(time_ms)
        offset = end
    return Decoded(run, offset, FrameFault.END if offset == size_bytes else FrameFault.SHORT)


def find_frame(chunk: bytes, position: int) -> Frame | None:
    """The first whole frame in `chunk`, wherever it lies; `chunk` lies at `position`."""
    found = (_whole_frame(chunk, position, offset) for offset in _stamped(chunk, position))
    return next((frame for frame in found if frame is not None), None)


def find_group(chunk: bytes, position: int) -> int | None:
    """Offset of the first whole frame in `chunk` that begins a group, wherever it lies; `chunk` lies at `position`."""
    for offset in _stamped(chunk, position):
        frame = _whole_frame(chunk, position, offset)
        if frame is not None and frame.begins_group:
            return offset
    return None


def _stamped(chunk: bytes, position: int) -> list[int]:
    """Offsets, in order, at which a frame would lie for which eight bytes say where they themselves are."""
    candidates: list[int] = []
    for shift in range(_POSITION_BYTES):
        count = (len(chunk) - shift) // _POSITION_BYTES
        if count <= 0:
            continue
        words = np.frombuffer(chunk, dtype="<u8", offset=shift, count=count)
        first = position + shift - _POSITION_OFFSET
        if first < 0:
            words, shift, first = words[1:], shift + _POSITION_BYTES, first + _POSITION_BYTES
        own = np.arange(len(words), dtype=np.uint64) * np.uint64(_POSITION_BYTES) + np.uint64(first)
        candidates.extend((np.flatnonzero(words == own) * _POSITION_BYTES + shift - _POSITION_OFFSET).tolist())
    return sorted(offset for offset in candidates if offset >= 0)


def _whole_frame(chunk: bytes, position: int, offset: int) -> Frame | None:
    if offset + FRAME_HEADER_BYTES > len(chunk):
        return None
    length = _HEADER.unpack_from(chunk, offset)[1]
    frame_bytes = chunk[offset : offset + FRAME_HEADER_BYTES + min(length, FRAME_BYTES_MAX)]
    frames = decode_frames(frame_bytes, position + offset).frames
    return frames[0] if frames else None
