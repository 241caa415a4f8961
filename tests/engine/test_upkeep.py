"""What is done at leisure waits for the disk in a thread: what the loop does meanwhile, and what comes of a disk that
fails."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from instanter.engine.loop import Engine
from instanter.foundation.disk import Bytes, WritableFile
from instanter.sim.disk import SimulatedDisk
from instanter.state.cold_files import ColdPlace, cold_path
from instanter.state.memory import State
from instanter.state.table import CELLS, free_rows

from .harness import decide, event, stock_shop, take, with_engine

COLD = Path("/cold")
CELLS_MAX = 64
CROWD = 100


class GatedFile:
    """A file of a `GatedDisk`."""

    def __init__(self, file: WritableFile, gate: threading.Event) -> None:
        self._file = file
        self._gate = gate
        self.truncate, self.sync, self.is_at, self.close = file.truncate, file.sync, file.is_at, file.close

    def write(self, chunk: Bytes) -> int:
        assert self._gate.wait(timeout=30), "written on the loop, which nobody can open the gate for then"
        return self._file.write(chunk)


class GatedDisk(SimulatedDisk):
    """Writing and overwriting wait while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def open(self, path: Path) -> WritableFile:
        return GatedFile(super().open(path), self.gate)

    def overwrite(self, path: Path, offset: int, content: Bytes) -> None:
        assert self.gate.wait(timeout=30), "overwritten on the loop, which nobody can open the gate for then"
        super().overwrite(path, offset, content)


def with_crowd(root: Path, disk: SimulatedDisk, work: Callable[[Engine], Awaitable[None]]) -> None:
    """An engine whose memory holds most of the people who have been there, with room for a few more."""

    async def crowded(engine: Engine) -> None:
        await stock_shop(engine)
        for first in range(0, CROWD, 10):
            await take(engine, *(event(number, person=f"a{number}") for number in range(first, first + 10)))
        await rested(engine.partition.state)
        await work(engine)

    with_engine(root, crowded, cold=ColdPlace(disk, COLD), cells=CELLS_MAX)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():
            await asyncio.sleep(0.001)


async def rested(state: State) -> None:
    """Returns when there is room ahead, and nobody is being written."""
    await until(lambda: free_rows(state.tables.memory, CELLS) >= CELLS_MAX // 16 and not state.cold.files.writing)


async def crowded_out(engine: Engine, reached: Callable[[], bool]) -> int:
    """Let one after another come until that is so, which takes a few; how many came."""
    for number in range(1_000, 1_010):
        if reached():
            break
        await take(engine, event(number, person=f"new {number}"))
        await asyncio.sleep(0.1)
    assert reached()
    return number - 1_000


def test_room_is_made_while_the_loop_serves_others(tmp_path: Path) -> None:
    disk = GatedDisk()

    async def work(engine: Engine) -> None:
        state = engine.partition.state
        before = state.cold.moved_out
        disk.gate.clear()
        newcomers = await crowded_out(engine, lambda: state.cold.files.writing)
        await decide(engine, person="a99")
        await take(engine, event(2_000, person="a99"))
        assert state.cold.moved_out == before
        disk.gate.set()
        await rested(state)
        assert state.cold.moved_out > before
        assert state.cells_used == CROWD + newcomers

    with_crowd(tmp_path, disk, work)


def test_an_erasure_waits_for_the_disk_beside_the_loop_and_for_who_is_being_written(tmp_path: Path) -> None:
    disk = GatedDisk()

    async def work(engine: Engine) -> None:
        state = engine.partition.state
        cell = engine.subjects.find("default", "anonymous:a0")
        assert state.cell_row(cell) < 0, "on disk"
        erasing = asyncio.create_task(engine.eraser.erase("default", "anonymous:a0", actor="test"))
        await until(lambda: state.scrubbing or erasing.done())
        assert not erasing.done()
        await erasing
        assert not state.scrubbing
        assert cell.to_bytes(8, "little", signed=True) not in b"".join(disk.files().values())

    with_crowd(tmp_path, disk, work)


@pytest.mark.parametrize("operation", ["open", "write"])
def test_a_disk_that_takes_nobody_for_once_leaves_them_in_memory(tmp_path: Path, operation: str) -> None:
    disk = SimulatedDisk()

    async def work(engine: Engine) -> None:
        state = engine.partition.state
        state.cold.files._close()
        disk.fail(operation, errno.ENOSPC)
        newcomers = await crowded_out(engine, lambda: state.cold.refused)
        assert state.cells_used == CROWD + newcomers
        state.cold._steps = -1  # The next step tries again.
        await rested(state)
        assert not state.cold.refused
        await decide(engine, person="a0")

    with_crowd(tmp_path, disk, work)


def test_a_damaged_record_that_is_to_move_stops_the_partition(tmp_path: Path) -> None:
    disk = SimulatedDisk()

    async def work(engine: Engine) -> None:
        files = engine.partition.state.cold.files
        number = files.number
        path = cold_path(COLD, number)
        for offset in range(0, disk.size(path), 97):
            disk.flip(path, offset, 3)
        files._distrusted.add(number)
        await until(lambda: bool(engine.broken))
        assert f"{number:08d}.cold" in engine.broken

    with_crowd(tmp_path, disk, work)
