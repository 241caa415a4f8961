"""What is done before a log may be written again: check the chain, check the newest segment, find its true end.

A crash leaves the last group unfinished: cut short, or with holes where pages never reached the disk. That is
torn, and is cut off. Bytes before the beginning of a later group were synced: if they do not read now they are
damaged, and the log is not opened. Damage in older segments shows when they are read.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec

from ..foundation.disk import Disk
from ..foundation.errors import Corrupt
from .base import Cut
from .segments import Segment, list_segments


class Recovered(msgspec.Struct, frozen=True):
    """The segments by base position, where the whole frames end, and what lies behind that, to be cut."""

    bases: list[int]
    end: int
    cut: Cut | None


def recover(disk: Disk, directory: Path) -> Recovered:
    """Find the end of the log in `directory` without changing anything. `Corrupt` when it cannot be trusted."""
    bases = list_segments(disk, directory)
    if not bases:
        return Recovered([], 0, None)
    for base, following in pairwise(bases):
        _check_reaches(Segment(disk, directory, base), following)
    newest = Segment(disk, directory, bases[-1])
    end = _whole_end(newest)
    size_bytes = newest.size()
    offset = end - newest.base
    cut = Cut(str(newest.path), offset, size_bytes - offset) if size_bytes > offset else None
    return Recovered(bases, end, cut)


def _check_reaches(segment: Segment, following: int) -> None:
    size_bytes = segment.size()
    expected_bytes = following - segment.base
    if size_bytes != expected_bytes:
        reason = f"the segment has {size_bytes} bytes, and the next one begins behind {expected_bytes}"
        raise Corrupt(file=str(segment.path), offset=min(size_bytes, expected_bytes), reason=reason)


def _whole_end(segment: Segment) -> int:
    end = segment.base
    if segment.has_header():
        end = segment.first
        for run in segment.whole_frames(segment.first, None):
            end = run[-1].end
    if segment.was_durable(end):
        raise segment.damage(end, "not the bytes that were written here")
    return end
