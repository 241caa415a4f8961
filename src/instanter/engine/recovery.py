"""Recovery: from the newest checkpoint, or from the beginning, to where the log ends."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from ..events.envelope import Epoch, Record, Unreadable, read_record
from ..events.reject import POISON
from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt, Lost, RequestRejected
from ..foundation.ids import References
from ..foundation.limits import POISON_NOTED_PER_MINUTE_MAX
from ..log.base import Readable, ReadableBack
from ..log.frames import Frame, LogPosition, RecordPosition, ends_of
from ..state.checkpoint import checkpoint_path, list_checkpoints, load_checkpoint, read_manifest, set_aside
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
    passed_over: tuple[tuple[RecordPosition, Record | Unreadable, Noticed], ...] = ()
    """Records that could not be folded, with their positions; at most `POISON_NOTED_PER_MINUTE_MAX`."""


def recover(
    schema: Schema, log: ReadableBack, *, log_start: int, log_end: int, disk: Disk, checkpoints: Path,
    until: int | None = None, progress: Progress | None = None, cold: ColdPlace | None = None,
    references: References | None = None,
) -> tuple[Partition, Recovery]:  # fmt: skip
    """The partition at the end of the log (or `until`): newest usable checkpoint, then the tail.

    A damaged checkpoint is passed over and named. Raises `Broken` when the log does not begin at the beginning any
    more and no checkpoint is left to stand on, and `Lost` when there is a checkpoint of what the log does not hold.
    """
    if groundless := without_ground(log, disk=disk, checkpoints=checkpoints, log_start=log_start, log_end=log_end):
        raise Lost([one.reason for one in groundless])
    damaged: list[str] = []
    poison: list[tuple[RecordPosition, Record | Unreadable, Noticed]] = []

    def note(position: RecordPosition, record: Record | Unreadable, noticed: Noticed) -> None:
        if noticed.code == POISON and len(poison) < POISON_NOTED_PER_MINUTE_MAX:
            poison.append((position, record, noticed))

    for position in list_checkpoints(disk, checkpoints):
        path = checkpoint_path(checkpoints, position)
        try:
            if position < log_start:
                reason = f"it is of position {position}, the log begins at {log_start}"
                raise Corrupt(file=str(path), offset=0, reason=reason)
            partition, newest_ms = open_checkpoint(schema, disk, path, cold, references)
        except Corrupt as error:
            damaged.append(str(error))
            continue
        records, newest_ms = catch_up(
            partition, log, until=until, newest_ms=newest_ms, progress=progress, on_noticed=note
        )
        return partition, Recovery(position, records, newest_ms, tuple(damaged), tuple(poison))
    if log_start > 0:
        raise Broken(f"the log begins at {log_start} and no checkpoint at or after it can be used: {damaged}")
    partition = Partition(schema, cold, references)
    records, newest_ms = catch_up(partition, log, until=until, progress=progress, on_noticed=note)
    return partition, Recovery(None, records, newest_ms, tuple(damaged), tuple(poison))


class Groundless(msgspec.Struct, frozen=True):
    """A checkpoint of a log that held more than this one, or something else."""

    position: int
    reason: str


def without_ground(
    log: ReadableBack, *, disk: Disk, checkpoints: Path, log_start: int, log_end: int
) -> list[Groundless]:
    """The checkpoints, newest first, that were not taken of this log: a checkpoint is of the moment right behind an
    epoch, which was durable before it. Those that are damaged say nothing."""
    found = []
    for position in list_checkpoints(disk, checkpoints):
        path = checkpoint_path(checkpoints, position)
        try:
            epoch = read_manifest(disk, path).epoch
        except (Broken, FileNotFoundError):
            continue
        if position > log_end:
            reason = f"{path} is of position {position}, and the log ends at {log_end}: "
            reason += f"at least its last {position - log_end} bytes are missing"
        elif position > log_start and not _follows(log, position, epoch):
            reason = f"{path} is of position {position}, where the log does not hold the epoch {epoch} that it is of: "
            reason += "the log was cut, and written on"
        else:
            continue
        found.append(Groundless(position, reason))
    return found


def _follows(log: ReadableBack, position: int, epoch: int) -> bool:
    """Whether the record that ends at `position` is that epoch. Where nothing is left before it, or what is there is
    damaged, nobody can tell; damage is named where the log is read."""
    try:
        frames, _ = log.read_back(position)
        if not frames or frames[-1].end != position:
            return not frames or next(log.read(frames[-1].end), None) is None
    except (Corrupt, RequestRejected):
        return True
    record = read_record(frames[-1].payload)
    return isinstance(record, Epoch) and record.number == epoch


def leave_aside(disk: Disk, checkpoints: Path, groundless: Sequence[Groundless]) -> None:
    """Put these checkpoints aside: nothing stands on them any more."""
    for one in groundless:
        set_aside(disk, checkpoint_path(checkpoints, one.position))


def beginning(
    schema: Schema, log: Readable, *, disk: Disk, checkpoints: Path, cold: ColdPlace | None = None,
    references: References | None = None,
) -> Partition:  # fmt: skip
    """The partition that a rebuild starts with: empty, or the base checkpoint that the log was cut below."""
    start = log.start
    if start == 0:
        return Partition(schema, cold, references)
    positions = [position for position in list_checkpoints(disk, checkpoints) if position >= start]
    if not positions:
        raise Broken(f"the log begins at {start} and there is no checkpoint at or after it")
    return open_checkpoint(schema, disk, checkpoint_path(checkpoints, positions[-1]), cold, references)[0]


def open_checkpoint(
    schema: Schema, disk: Disk, path: Path, cold: ColdPlace | None = None, references: References | None = None
) -> tuple[Partition, int]:
    """The partition as of a checkpoint, and the time it was taken; `Corrupt` if it is damaged."""
    partition = Partition(schema, cold, references)
    manifest, control = load_checkpoint(disk, path, partition.state)
    try:
        partition.restore_control(control)
    except msgspec.ValidationError as error:
        raise Corrupt(file=str(path), offset=0, reason=f"the control rows do not fit: {error}") from None
    partition.position = LogPosition(manifest.position)
    return partition, manifest.at_ms


def catch_up(
    partition: Partition, log: Readable, *, until: int | None = None, newest_ms: int = 0,
    progress: Progress | None = None,
    on_noticed: Callable[[RecordPosition, Record | Unreadable, Noticed], None] | None = None,
) -> tuple[int, int]:  # fmt: skip
    """Apply what the log holds behind the partition, up to `until`; (records applied, newest receipt time).

    `on_noticed` gets the position of each record of which the fold could not make what was meant.
    """
    applied = 0
    for frames, many in _pieces(log.read_runs(partition.position or None), until):
        for one in fold_frames(partition, frames, many=many):
            if on_noticed is not None:
                frame = frames[one.place]
                on_noticed(frame.position, read_record(frame.payload), one)
        applied += len(frames)
        newest_ms = max(newest_ms, frames[-1].time_ms)
        if progress is not None:
            progress(applied, partition.position)
    return applied, newest_ms


def fold_frames(partition: Partition, frames: Sequence[Frame], *, many: bool = False) -> list[Noticed]:
    """Apply what frames hold. Few are not worth the compiled way, which a process loads at its first use, unless they
    are of `many`."""
    if many or len(frames) >= CHUNK_RECORDS:
        return partition.apply_frames(frames)
    return partition.apply(
        [read_record(frame.payload) for frame in frames], ends=ends_of(frames),
        times_ms=[frame.time_ms for frame in frames],
    )  # fmt: skip


def _pieces(runs: Iterator[Sequence[Frame]], until: int | None) -> Iterator[tuple[Sequence[Frame], bool]]:
    """What runs of the log hold up to `until`, at most `CHUNK_RECORDS` at once; and whether there are many by then."""
    met = 0
    for run in runs:
        wanted = run if until is None else _before(run, until)
        met += len(wanted)
        for first in range(0, len(wanted), CHUNK_RECORDS):
            yield wanted[first : first + CHUNK_RECORDS], met >= CHUNK_RECORDS
        if len(wanted) < len(run):
            return


def _before(run: Sequence[Frame], until: int) -> Sequence[Frame]:
    return run[: bisect_left(run, until, key=lambda frame: frame.position)]
