"""Checkpoints on the loop: the state is copied in slices between other work, and written in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..foundation.clock import elapsed_ns
from ..foundation.disk import Disk
from ..foundation.errors import Corrupt
from ..foundation.measure import Meter
from ..log.base import Log
from ..log.segments import SEGMENT_HEADER_BYTES
from ..state.checkpoint import CheckpointWriter, Snapshot, checkpoint_path, cold_files_kept, list_checkpoints
from .partition import Partition

KEPT = 2
"""Newest checkpoints kept beside the base."""


class Checkpoints:
    """Makes the checkpoints of one partition, one at a time, and prunes what they replace."""

    def __init__(
        self, *, disk: Disk, directory: Path, partition: Partition, log: Log, keep_ms: int, meter: Meter
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._partition = partition
        self._log = log
        self._keep_ms = keep_ms
        self._meter = meter
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
            while self._partition.state.scrub():
                await asyncio.sleep(0)
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._remove_older)

    @property
    def writing(self) -> bool:
        """Whether one is being made."""
        return self._one_at_a_time.locked()

    def close(self) -> None:
        """Stop the thread; a checkpoint in the making is given up with its unfinished file."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _take(self) -> None:
        """Right after an epoch: this is the position to save."""
        if self._wanted_ms is None or self._taken is not None:
            return
        partition = self._partition
        self._taken = Snapshot(
            partition.state, position=partition.position, at_ms=self._wanted_ms, control=partition.control_rows()
        )

    def _end_saving(self) -> None:
        """The fold need not keep rows as they were any longer."""
        self._wanted_ms = None
        if self._taken is not None:
            self._taken.abandon()

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
        start = next((frame.position for frame in self._log.read()), 0)
        gone = older if start <= SEGMENT_HEADER_BYTES else older[:-1]
        for position in gone:
            self._disk.unlink(checkpoint_path(self._directory, position))
        self._retain_cold()
        return len(gone)

    def _retain_cold(self) -> None:
        """Remove the cold files that nobody lies in any more and no checkpoint names."""
        cold = self._partition.state.cold
        if cold is not None:
            with contextlib.suppress(Corrupt):  # Nobody knows then what is needed.
                cold.files.retain(cold_files_kept(self._disk, self._directory))

    def _prune(self, now_ms: int) -> None:
        """Cut the log below the older of the kept checkpoints, and remove what is older still.

        Once the log has been cut, the checkpoint it was cut below stays as the base: the new beginning.
        """
        positions = list_checkpoints(self._disk, self._directory)
        if len(positions) < KEPT:
            return
        kept = positions[:KEPT]
        retained = self._log.retain(below=kept[-1], older_than_ms=now_ms - self._keep_ms)
        base = kept[-1] if retained.segments_removed or retained.start == 0 else positions[-1]
        for position in positions:
            if position not in kept and position != base:
                self._disk.unlink(checkpoint_path(self._directory, position))
        self._retain_cold()
