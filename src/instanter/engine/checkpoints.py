"""Checkpoints on the loop: the state is copied in slices between other work, and written in a thread of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..foundation.clock import elapsed_ns
from ..foundation.disk import Disk
from ..foundation.measure import Meter
from ..log.base import Log
from ..state.checkpoint import CheckpointWriter, Snapshot, checkpoint_path, list_checkpoints
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
        self._wanted: asyncio.Future[Snapshot] | None = None
        self._wanted_ms = 0
        self.writing = False
        disk.make_directory(directory)
        partition.on_epoch = self._take

    async def make(self, now_ms: int) -> Path:
        """Write a checkpoint of the next epoch, which the caller has appended or is about to."""
        assert not self.writing
        self.writing = True
        started_ns = elapsed_ns()
        try:
            self._wanted, self._wanted_ms = asyncio.get_running_loop().create_future(), now_ms
            path = await self._write(await self._wanted)
            await asyncio.get_running_loop().run_in_executor(self._worker, self._prune, now_ms)
        finally:
            self._wanted = None
            self.writing = False
        self._meter.observe("checkpoint", elapsed_ns() - started_ns)
        return path

    def close(self) -> None:
        """Stop the thread; a checkpoint in the making is given up with its unfinished file."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _take(self) -> None:
        """Right after an epoch: this is the position to save."""
        if self._wanted is None or self._wanted.done():
            return
        partition = self._partition
        snapshot = Snapshot(
            partition.state, position=partition.position, at_ms=self._wanted_ms, control=partition.control_rows()
        )
        partition.state.saving = snapshot
        self._wanted.set_result(snapshot)

    async def _write(self, snapshot: Snapshot) -> Path:
        loop = asyncio.get_running_loop()
        writer = await loop.run_in_executor(
            self._worker, CheckpointWriter, self._disk, self._directory, snapshot.manifest.position
        )
        done = False
        try:
            for section in snapshot.sections():
                await loop.run_in_executor(self._worker, writer.write, section)
            done = True
        finally:
            self._partition.state.saving = None
            snapshot.abandon()
            if not done:
                writer.give_up()
        return await loop.run_in_executor(self._worker, writer.finish)

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
