"""What the files of a log say of its ends, to another process than the one that writes it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec

from ..foundation.disk import Disk
from ..foundation.errors import Unavailable
from ..foundation.limits import BACKUP_TRIES_MAX
from .recovery import recover
from .segments import SEGMENT_HEADER_BYTES, Segment, list_segments, segment_path

SETTLE_S: Final = 0.2
"""How long a log has to stand still to have come to rest: far longer than a group takes."""


def holds_records(extent: tuple[int, int]) -> bool:
    """Whether anything was ever appended to a log that begins and ends there."""
    return extent[1] - extent[0] > SEGMENT_HEADER_BYTES


def end_by_size(disk: Disk, folder: Path) -> int:
    """Where a log ends by the size of its newest file, whatever that holds; costs nothing."""
    newest = max(list_segments(disk, folder), default=None)
    return 0 if newest is None else newest + disk.size(segment_path(folder, newest))


def durable_end(disk: Disk, folder: Path, *, is_written: bool) -> int:
    """A position of the log, behind a whole record, below which everything is durable; the newest that is known.

    Where a server writes it, that is where the newest group begins, or the end of a log that stands still.
    """
    if not is_written:
        return recover(disk, folder).end
    seen = _newest(disk, folder)
    for _ in range(BACKUP_TRIES_MAX):
        time.sleep(SETTLE_S)
        later = _newest(disk, folder)
        if later.group >= seen.end:
            return later.group
        if later.end == seen.end:
            _refuse_damage(Segment(disk, folder, later.base), later.end)
            return later.end
        seen = later
    raise Unavailable(f"the log in {folder} does not come to the end of a group; try again")


class _Newest(msgspec.Struct, frozen=True):
    """The end of a log as it is seen now."""

    base: int
    """Of the newest segment."""
    group: int
    """Where the newest group begins that can be read: everything below is durable."""
    end: int
    """Behind the last whole frame."""


def _newest(disk: Disk, folder: Path) -> _Newest:
    bases = list_segments(disk, folder)
    if not bases:
        return _Newest(0, 0, 0)
    segment = Segment(disk, folder, bases[-1])
    group = end = segment.base
    if segment.has_header():
        for run in segment.whole_frames(segment.first, None):
            end = run[-1].end
            firsts = [frame.position for frame in run if frame.begins_group]
            group = firsts[-1] if firsts and firsts[-1] != segment.first else group
    return _Newest(segment.base, group, end)


def _refuse_damage(segment: Segment, end: int) -> None:
    """A log that stands still because something in it cannot be read, and goes on behind that, is damaged."""
    readable = segment.has_header() and (end == segment.base or segment.holds_frame(end))
    if segment.path.exists() and segment.was_durable(end) and not readable:
        raise segment.damage(end, "not the bytes that were written here")
