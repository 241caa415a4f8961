"""The record of administrators' acts, read: a page of the newest, or all of it line by line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from ..foundation.limits import EXPORT_PIECE_BYTES
from ..log.segment_log import SegmentLog
from ..privacy.acts import ActShown, Wanted, shown_act
from ..privacy.audit import decode_entry

ACTS_PER_STEP = 1_024
"""Looked at before what was found is handed on."""


class Acts(msgspec.Struct, frozen=True):
    """`GET /v1/audit`: the newest first. A page holds fewer than asked for, or none, where few are wanted."""

    acts: list[ActShown]
    next: str | None
    """`after` of the page behind this one; null where there is none."""


async def read_acts(log: SegmentLog, wanted: Wanted, *, limit: int, after: int | None) -> Acts:
    """Up to `limit` acts that were noted before position `after`, of one bounded piece of the record."""
    frames, following = await asyncio.to_thread(log.read_back, after)
    found: list[ActShown] = []
    last = 0
    for frame in reversed(frames):
        entry = decode_entry(frame.payload, offset=frame.position)
        if not wanted.matches(entry):
            continue
        if len(found) == limit:
            return Acts(found, str(last))
        found.append(shown_act(entry))
        last = frame.position
    return Acts(found, str(following) if following else None)


def act_lines(log: SegmentLog, wanted: Wanted) -> Iterator[list[bytes]]:
    """All of them as NDJSON, the oldest first, a bounded piece at a time. May run in a thread."""
    lines, size_bytes = list[bytes](), 0
    for number, frame in enumerate(log.read(), start=1):
        entry = decode_entry(frame.payload, offset=frame.position)
        if wanted.matches(entry):
            lines.append(msgspec.json.encode(shown_act(entry)) + b"\n")
            size_bytes += len(lines[-1])
        if number % ACTS_PER_STEP == 0 or size_bytes >= EXPORT_PIECE_BYTES:
            yield lines
            lines, size_bytes = [], 0
    yield lines
