"""R6: power or process die at every single step that a checkpoint, or the cut of the log behind it, takes on disk."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path

import pytest

from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.engine.recovery import beginning, catch_up
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import WritableFile
from instanter.log.segments import SEGMENT_HEADER_BYTES, SegmentReader
from instanter.sim.disk import PowerLost, SimulatedDisk
from instanter.state.checkpoint import list_checkpoints

from ..engine.harness import event, open_engine, stock_shop, take
from .conftest import Figures

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
ROOT = Path("shop")
SEGMENT_BYTES = 32 * 1024
SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)


class DyingDisk(SimulatedDisk):
    """Loses its power at the n-th operation after a checkpoint was begun, and does nothing any more after that."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_at = 0
        """0 = never."""
        self.steps = 0
        self._counting = False
        self._dead = False

    def open(self, path: Path) -> WritableFile:
        self._counting = self._counting or (self.dies_at > 0 and path.suffix == ".tmp")
        return super().open(path)

    def attempt(self, operation: str) -> None:
        if self._dead:
            raise PowerLost
        if self._counting and operation != "read":
            self.steps += 1
            if self.steps == self.dies_at:
                self._dead = True
                raise PowerLost
        super().attempt(operation)

    def come_back(self, unsynced_bytes: int | None) -> None:
        """With the power; None: it was only the process that died, and everything written is there."""
        self._dead, self._counting, self.dies_at = False, False, 0
        if unsynced_bytes is not None:
            self.crash(unsynced_bytes=unsynced_bytes)


def opened(disk: DyingDisk, clock: ManualClock, keep_days: int) -> Engine:
    return open_engine(ROOT, clock=clock, disk=disk, segment_bytes=SEGMENT_BYTES, keep_days=keep_days)


async def feed(engine: Engine, first: int, count: int) -> None:
    for number in range(first, first + count, 50):
        await take(engine, *(event(one, person=f"p{one % 23}") for one in range(number, number + 50)))


def shop_with_two_checkpoints(keep_days: int) -> DyingDisk:
    """A disk that was left in good order, with several segments and two checkpoints."""

    async def fill() -> DyingDisk:
        disk, clock = DyingDisk(), ManualClock(START_MS)
        engine = opened(disk, clock, keep_days)
        await engine.start()
        await stock_shop(engine)
        for day in range(2):
            clock.advance(2 * DAY_MS)
            await feed(engine, 1_000 * day, 300)
            await engine.checkpoint()
        await engine.abandon()
        disk.crash()
        return disk

    return asyncio.run(fill())


def checkpoint_that_dies(disk: DyingDisk, dies_at: int, keep_days: int) -> bool:
    """Take more events and write one more checkpoint; whether the power went."""

    async def work() -> bool:
        engine = opened(disk, ManualClock(START_MS + 8 * DAY_MS), keep_days)
        await engine.start()
        await feed(engine, 5_000, 150)
        disk.dies_at = dies_at
        try:
            await engine.checkpoint()
        except PowerLost:
            return True
        finally:
            await engine.abandon()
        return False

    return asyncio.run(work())


def rebuilt(disk: DyingDisk) -> Partition:
    """The naive replay: from the beginning of what is left of the log."""
    log = SegmentReader(disk, ROOT / "log")
    partition = beginning(SCHEMA, log, disk=disk, checkpoints=ROOT / "checkpoints")
    catch_up(partition, log)
    return partition


@pytest.mark.faults
@pytest.mark.about("P1", "P3")
@pytest.mark.parametrize("keep_days", [3_650, 1], ids=["all of the log kept", "the log cut"])
def test_r6_death_at_every_step_of_a_checkpoint(keep_days: int, figures: Figures) -> None:
    base = shop_with_two_checkpoints(keep_days)
    segments = len([path for path in base.files() if path.suffix == ".seg"])
    steps = deaths = 0
    for unsynced_bytes in (0, 100_000, None):
        steps, died = 0, True
        while died:
            steps += 1
            disk = copy.deepcopy(base)
            died = checkpoint_that_dies(disk, steps, keep_days)
            deaths += died
            disk.come_back(unsynced_bytes)
            assert_recovers(disk, keep_days, where=f"step {steps}, {unsynced_bytes} unsynced bytes")
    left = len([path for path in disk.files() if path.suffix == ".seg"])
    assert (left < segments) == (keep_days == 1), "the last one, which did not die, cut the log if it was to be cut"
    assert steps > 10
    figures(deaths=deaths)


def assert_recovers(disk: DyingDisk, keep_days: int, *, where: str) -> None:
    naive = rebuilt(disk)

    async def look() -> None:
        engine = opened(disk, ManualClock(START_MS + 9 * DAY_MS), keep_days)
        assert engine.recovery.checkpoint is not None, f"{where}: no usable checkpoint"
        assert engine.recovery.damaged == (), where
        assert engine.partition.state.hash() == naive.state.hash(), where
        await engine.start()
        await engine.checkpoint()
        await engine.abandon()

    asyncio.run(look())
    assert not [path for path in disk.files() if path.suffix == ".tmp"], f"{where}: an unfinished file was left lying"


@pytest.mark.about("P3")
def test_r6_a_log_that_begins_right_at_a_checkpoint_is_replayed_from_that_one() -> None:
    async def run() -> None:
        disk, clock = DyingDisk(), ManualClock(START_MS)
        engine = open_engine(ROOT, clock=clock, disk=disk, segment_bytes=64, keep_days=1)
        await engine.start()
        for day in range(3):
            clock.advance(2 * DAY_MS)
            await feed(engine, 1_000 * day, 50)
            await engine.journal.settled()
            await engine.checkpoint()
            await feed(engine, 1_000 * day + 500, 50)
        await engine.abandon()
        log = SegmentReader(disk, ROOT / "log")
        oldest = list_checkpoints(disk, ROOT / "checkpoints")[-1]
        assert next(log.read()).position == oldest + SEGMENT_HEADER_BYTES, "each group has a segment of its own"
        base = beginning(SCHEMA, log, disk=disk, checkpoints=ROOT / "checkpoints")
        assert base.position == oldest
        catch_up(base, log)
        assert base.state.hash() == engine.partition.state.hash()

    asyncio.run(run())
