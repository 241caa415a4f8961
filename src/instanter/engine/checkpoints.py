"""Checkpoints on the loop: the state is copied in slices between other work, and written in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence, Set
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import msgspec

from ..foundation.clock import elapsed_ns
from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt
from ..foundation.limits import CHECKPOINTS_KEPT_BYTES_MAX, CHECKPOINTS_KEPT_MAX, REPLAY_EVENTS_MAX
from ..foundation.measure import Meter
from ..foundation.pages import trim_heap
from ..log.base import Log
from ..state.checkpoint import (
    CheckpointWriter,
    Manifest,
    Snapshot,
    checkpoint_path,
    cold_files_kept,
    list_checkpoints,
    read_manifest,
    remove_set_aside,
)
from ..state.cold_files import cold_path
from .holdings import LOG, HoldingsFile
from .partition import Partition

KEPT = 2
"""Newest checkpoints, which are kept in any case."""
DUE_AT = 0.875
"""Share of the records between two checkpoints at which the next one is begun; the rest comes in while it is made."""

SCRUB_AGAIN_S = 0.001
"""Between two looks whether people are still being written to a cold file."""


class ReplayBounds(msgspec.Struct, frozen=True):
    """What is kept so that replays need not fold from the beginning."""

    events: int = REPLAY_EVENTS_MAX
    """Records that a replay may have to fold, as long as the other bounds are not reached."""
    checkpoints: int = CHECKPOINTS_KEPT_MAX
    size_bytes: int = CHECKPOINTS_KEPT_BYTES_MAX


class Checkpoints:
    """Makes the checkpoints of one partition, one at a time, and prunes what they replace."""

    def __init__(
        self, *, disk: Disk, directory: Path, partition: Partition, log: Log, keep_ms: int, meter: Meter,
        replays: ReplayBounds, holdings: HoldingsFile | None = None,
    ) -> None:  # fmt: skip
        """`holdings` is told after each of them what there is."""
        self._disk = disk
        self._directory = directory
        self._partition = partition
        self._log = log
        self._keep_ms = keep_ms
        self._meter = meter
        self._replays = replays
        self._holdings = holdings
        self._records = partition.records
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._one_at_a_time = asyncio.Lock()
        self._wanted_ms: int | None = None
        self._taken: Snapshot | None = None
        disk.make_directory(directory)
        partition.on_epoch = self._take

    async def make(self, now_ms: Callable[[], int], publish: Callable[[int], Awaitable[None]]) -> Path:
        """Write a checkpoint as of the epoch that `publish` brings about; raises what that raises, and `OSError`.

        It is of the time when its turn comes: a start takes that for the newest in the log, if nothing came after it.
        """
        async with self._one_at_a_time:
            started_ns = elapsed_ns()
            at_ms = now_ms()
            self._records = self._partition.records
            self._wanted_ms, self._taken = at_ms, None
            try:
                await publish(at_ms)
                assert self._taken is not None, "an epoch was published"
                path = await self._write(self._taken)
            finally:
                self._end_saving()
            await asyncio.get_running_loop().run_in_executor(self._worker, self._prune, at_ms)
            self._meter.observe("checkpoint", elapsed_ns() - started_ns)
            return path

    async def remove_older(self) -> int:
        """Remove every checkpoint but the newest, and but the base once the log was cut; how many went.

        What cold files hold of erased people is overwritten first.
        The base is of before, and holds people under pseudonyms that lead nowhere once their keys are destroyed.
        """
        async with self._one_at_a_time:
            await self._scrub()
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._remove_older)

    async def _scrub(self) -> None:
        """Overwrite all that cold files hold of erased people. Raises `OSError`."""
        loop, state = asyncio.get_running_loop(), self._partition.state
        while state.scrubbing:
            step = state.begin_scrub()
            if step is None:  # Somebody is being written.
                await asyncio.sleep(SCRUB_AGAIN_S)
                continue
            await loop.run_in_executor(self._worker, step.run)
            state.end_upkeep(step)

    @property
    def worker(self) -> Executor:
        """The thread that writes."""
        return self._worker

    @property
    def writing(self) -> bool:
        """Whether one is being made."""
        return self._one_at_a_time.locked()

    @property
    def due(self) -> bool:
        """Whether so much was folded that one should not wait for its time, or replays would have to fold too much."""
        return self._partition.records - self._records >= self._replays.events * DUE_AT

    def close(self) -> None:
        """Stop the thread; a checkpoint in the making is given up with its unfinished file."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _take(self) -> None:
        """Right after an epoch: this is the position to save."""
        if self._wanted_ms is None or self._taken is not None:
            return
        partition = self._partition
        self._taken = Snapshot(
            partition.state, position=partition.position, at_ms=self._wanted_ms, control=partition.control_rows(),
            records=partition.records,
        )  # fmt: skip

    def _end_saving(self) -> None:
        """The fold need not keep rows as they were any longer."""
        self._wanted_ms = None
        if self._taken is not None:
            self._taken.abandon()
            self._taken = None  # It holds what was in the catalogue.

    async def _write(self, snapshot: Snapshot) -> Path:
        """Slices are copied here and written in the worker, which alone touches the file."""
        loop = asyncio.get_running_loop()
        position = snapshot.manifest.position
        writer = await loop.run_in_executor(self._worker, CheckpointWriter, self._disk, self._directory, position)
        whole = False
        try:
            for section in snapshot.sections():
                await loop.run_in_executor(self._worker, writer.write, section)
            whole = True
        finally:
            if not whole:
                with contextlib.suppress(OSError):  # Else the next checkpoint removes it.
                    await loop.run_in_executor(self._worker, writer.give_up)
        await loop.run_in_executor(self._worker, snapshot.sync_cold)
        return await loop.run_in_executor(self._worker, writer.finish)

    def _remove_older(self) -> int:
        _, *older = list_checkpoints(self._disk, self._directory) or [0]
        gone = older if self._log.start == 0 else older[:-1]
        for position in gone:
            self._disk.unlink(checkpoint_path(self._directory, position))
        remove_set_aside(self._disk, self._directory)
        self._retain_cold()
        return len(gone)

    def _retain_cold(self) -> None:
        """Remove the cold files that nobody lies in any more and no checkpoint names."""
        cold = self._partition.state.cold
        if cold is not None:
            with contextlib.suppress(Corrupt):  # Nobody knows then what is needed.
                cold.files.retain(cold_files_kept(self._disk, self._directory))

    def _may_begin_at(self, start: int) -> bool:
        assert self._holdings is not None
        return self._holdings.allow(LOG, start)

    def _prune(self, now_ms: int) -> None:
        """Cut the log below the older of the newest checkpoints, and remove those that nothing needs any more.

        The oldest that the log still holds everything behind is the base, the new beginning, once the log was cut.
        """
        trim_heap()  # What was deleted since the last one is free by now.
        if self._holdings is not None:
            self._holdings.write()
        positions = list_checkpoints(self._disk, self._directory)
        if len(positions) < KEPT:
            return
        newest = positions[:KEPT]
        retained = self._log.retain(
            below=newest[-1], older_than_ms=now_ms - self._keep_ms,
            allowed=None if self._holdings is None else self._may_begin_at,
        )  # fmt: skip
        reaching = [position for position in positions if position >= retained.start]
        base = reaching[-1:] if retained.start > 0 else []
        kept = {*newest, *base, *self._for_replays(reaching, base)}
        for position in positions:
            if position not in kept:
                self._disk.unlink(checkpoint_path(self._directory, position))
        self._retain_cold()

    def _for_replays(self, positions: Sequence[int], base: Sequence[int]) -> list[int]:
        """Of the checkpoints that replays can stand on those to keep; they lie further apart where they are many."""
        marks = [mark for mark in map(self._mark, reversed(positions)) if mark is not None and mark.records]
        if len(marks) <= KEPT:
            return []
        older, newest = marks[:-KEPT], marks[-KEPT:]
        begin = older[0].records if older[0].position in base else 0
        held = {number for mark in newest for number in mark.cold_files}
        apart, bounds = self._replays.events, self._replays
        while True:
            kept = spaced([(mark.position, mark.records) for mark in older], begin, newest[0].records, apart=apart)
            chosen = [mark for mark in older if mark.position in kept]
            if len(chosen) <= bounds.checkpoints and self._size_bytes(chosen, held) <= bounds.size_bytes:
                return kept
            apart *= 2
            self._meter.count("checkpoints_spread")

    def _mark(self, position: int) -> Manifest | None:
        try:
            return read_manifest(self._disk, checkpoint_path(self._directory, position))
        except Broken:
            return None

    def _size_bytes(self, marks: Sequence[Manifest], held: Set[int]) -> int:
        """Of checkpoints, and of the files of idle people that are kept for them alone."""
        paths = [checkpoint_path(self._directory, mark.position) for mark in marks]
        cold = self._partition.state.cold
        if cold is not None:
            numbers = {number for mark in marks for number in mark.cold_files} - held
            paths += [cold_path(cold.place.directory, number) for number in numbers]
        return sum(self._disk.size(path) for path in paths)


def spaced(marks: Sequence[tuple[int, int]], begin: int, end: int, *, apart: int) -> list[int]:
    """The positions of the fewest marks such that none of the gaps is longer than `apart`, as far as there are marks.

    `marks` are (position, records), ascending, and lie between the records `begin` and `end`.

    >>> spaced([(10, 100), (20, 250), (30, 300), (40, 650), (50, 900)], 0, 940, apart=300)
    [30, 40]
    """
    kept, last = [], begin
    for (position, records), (_, following) in pairwise([*marks, (0, end)]):
        if following - last > apart:
            kept.append(position)
            last = records
    return kept
