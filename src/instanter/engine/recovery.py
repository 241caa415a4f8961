"""Recovery: from the newest checkpoint, or from the beginning, to where the log ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from ..events.envelope import Record, Unreadable, read_record
from ..events.reject import POISON
from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt
from ..foundation.limits import POISON_NOTED_PER_MINUTE_MAX
from ..log.base import Readable
from ..log.frames import Frame
from ..log.segments import SEGMENT_HEADER_BYTES
from ..state.checkpoint import checkpoint_path, list_checkpoints, load_checkpoint
from ..state.cold_files import ColdPlace
from ..state.schema import Schema
from .partition import Noticed, Partition

CHUNK_RECORDS = 1_024

Progress = Callable[[int, int], None]
"""Called with (records applied, position) every `CHUNK_RECORDS`."""


class Recovery(msgspec.Struct, frozen=True):
    """How a partition came to be what it is."""

    checkpoint: int | None
    """Position of the checkpoint it stands on; None = from the beginning of the log."""
    records: int
    """Records replayed behind it."""
    newest_ms: int
    """Receipt time of the newest record, 0 if there is none."""
    damaged: tuple[str, ...] = ()
    """Checkpoints that could not be used, and why."""
    passed_over: tuple[tuple[int, Record | Unreadable, Noticed], ...] = ()
    """Records that could not be folded, with their positions; at most `POISON_NOTED_PER_MINUTE_MAX`."""


def recover(
    schema: Schema, log: Readable, *, log_start: int, log_end: int, disk: Disk, checkpoints: Path,
    until: int | None = None, progress: Progress | None = None, cold: ColdPlace | None = None,
) -> tuple[Partition, Recovery]:  # fmt: skip
    """The partition at the end of the log (or `until`): newest usable checkpoint, then the tail.

    A damaged checkpoint is passed over and named. Raises `Broken` when the log does not begin at the beginning any
    more and no checkpoint is left to stand on.
    """
    damaged: list[str] = []
    poison: list[tuple[int, Record | Unreadable, Noticed]] = []

    def note(position: int, record: Record | Unreadable, noticed: Noticed) -> None:
        if noticed.code == POISON and len(poison) < POISON_NOTED_PER_MINUTE_MAX:
            poison.append((position, record, noticed))

    for position in list_checkpoints(disk, checkpoints):
        path = checkpoint_path(checkpoints, position)
        try:
            if not log_start <= position <= log_end:
                reason = f"it is of position {position}, the log holds {log_start} to {log_end}"
                raise Corrupt(file=str(path), offset=0, reason=reason)
            partition, newest_ms = open_checkpoint(schema, disk, path, cold)
        except Corrupt as error:
            damaged.append(str(error))
            continue
        records, newest_ms = catch_up(
            partition, log, until=until, newest_ms=newest_ms, progress=progress, on_noticed=note
        )
        return partition, Recovery(position, records, newest_ms, tuple(damaged), tuple(poison))
    if log_start > 0:
        raise Broken(f"the log begins at {log_start} and no checkpoint at or after it can be used: {damaged}")
    partition = Partition(schema, cold)
    records, newest_ms = catch_up(partition, log, until=until, progress=progress, on_noticed=note)
    return partition, Recovery(None, records, newest_ms, tuple(damaged), tuple(poison))


def beginning(
    schema: Schema, log: Readable, *, disk: Disk, checkpoints: Path, cold: ColdPlace | None = None
) -> Partition:
    """The partition that a rebuild starts with: empty, or the base checkpoint that the log was cut below."""
    first = next(log.read(), None)
    if first is None or first.position <= SEGMENT_HEADER_BYTES:
        return Partition(schema, cold)
    start = first.position - SEGMENT_HEADER_BYTES
    positions = [position for position in list_checkpoints(disk, checkpoints) if position >= start]
    if not positions:
        raise Broken(f"the log begins at {start} and there is no checkpoint at or after it")
    return open_checkpoint(schema, disk, checkpoint_path(checkpoints, positions[-1]), cold)[0]


def open_checkpoint(
    schema: Schema, disk: Disk, path: Path, cold: ColdPlace | None = None
) -> tuple[Partition, int]:
    """The partition as of a checkpoint, and the time it was taken; `Corrupt` if it is damaged."""
    partition = Partition(schema, cold)
    manifest, control = load_checkpoint(disk, path, partition.state)
    try:
        partition.restore_control(control)
    except msgspec.ValidationError as error:
        raise Corrupt(file=str(path), offset=0, reason=f"the control rows do not fit: {error}") from None
    partition.position = manifest.position
    return partition, manifest.at_ms


def catch_up(
    partition: Partition, log: Readable, *, until: int | None = None, newest_ms: int = 0,
    progress: Progress | None = None, on_noticed: Callable[[int, Record | Unreadable, Noticed], None] | None = None,
) -> tuple[int, int]:  # fmt: skip
    """Apply what the log holds behind the partition, up to `until`; (records applied, newest receipt time).

    `on_noticed` gets the position of each record of which the fold could not make what was meant.
    """
    applied = 0
    for frames in _chunks(log.read(partition.position or None), until):
        records = [read_record(frame.payload) for frame in frames]
        noticed = partition.apply(records, ends=[frame.end for frame in frames])
        for one in noticed if on_noticed is not None else ():
            assert on_noticed is not None
            on_noticed(frames[one.place].position, records[one.place], one)
        applied += len(frames)
        newest_ms = max(newest_ms, frames[-1].time_ms)
        if progress is not None:
            progress(applied, partition.position)
    return applied, newest_ms


def _chunks(frames: Iterator[Frame], until: int | None) -> Iterator[list[Frame]]:
    while chunk := list(islice(frames, CHUNK_RECORDS)):
        wanted = chunk if until is None else [frame for frame in chunk if frame.position < until]
        if wanted:
            yield wanted
        if len(wanted) < len(chunk):
            return
