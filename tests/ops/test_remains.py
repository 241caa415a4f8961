"""What was freed is overwritten, whatever its size, and what lives stays."""

from __future__ import annotations

import asyncio
import gc
import mmap
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from instanter.foundation.measure import Measurements
from instanter.foundation.pages import mapped_zeros
from instanter.ops.remains import ROUNDS, Remains

from ..faults.remains import remnants

MARK = "a-mark-in-freed-memory"
FREE_AND_OVERWRITE = f"""
import sys
from instanter.foundation.freed import forget_what_is_freed, overwrite_freed
forget_what_is_freed()
mark = {MARK[::-1]!r}[::-1]
freed = [(mark + " %d " % number) * times for number in range(2_000) for times in (1, 2, 5, 15, 40, 200, 2_000)]
kept = freed[70::700]
del freed, mark
print(len(kept), flush=True)
sys.stdin.readline()
for _ in overwrite_freed():
    pass
print(sum(text.count("freed") for text in kept), flush=True)
sys.stdin.readline()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems overwrite nothing")


def test_freed_memory_is_overwritten_and_live_memory_is_not() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FREE_AND_OVERWRITE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        freed = len(remnants(child.pid, [MARK]))
        print(file=child.stdin, flush=True)
        live = int(child.stdout.readline())
        left = len(remnants(child.pid, [MARK]))
        print(file=child.stdin, flush=True)
    assert freed > 10 * live > 0
    assert left == live


class Self:
    """Garbage that only the collector finds."""

    def __init__(self, collected: threading.Event) -> None:
        self.myself = self
        self._collected = collected

    def __del__(self) -> None:
        self._collected.set()


def test_once_wanted_garbage_is_collected_and_work_beside_the_loop_goes_on() -> None:
    collected, meter = threading.Event(), Measurements()

    async def run() -> None:
        remains = Remains(meter, after_s=0.0)
        watching = asyncio.create_task(remains.watch())
        before = await asyncio.to_thread(threading.current_thread)
        Self(collected)
        async with asyncio.timeout(600):  # The whole suite runs in one process, of some GiB by then.
            remains.want()
            while "overwrite" not in meter.stages:
                await asyncio.sleep(0.01)
        assert collected.is_set()
        assert not before.is_alive()
        assert await asyncio.to_thread(threading.current_thread) is not before
        watching.cancel()

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()


def test_each_time_it_is_wanted_there_are_all_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody had got before one round may be free in the next."""
    rounds: list[int] = []

    async def run() -> None:
        remains = Remains(Measurements(), after_s=0.0, every_s=0.0)

        async def overwrite() -> None:
            rounds.append(len(rounds))
            if len(rounds) == 3:
                remains.want()

        monkeypatch.setattr(remains, "_overwrite", overwrite)
        watching = asyncio.create_task(remains.watch())
        remains.want()
        for _ in range(100):
            await asyncio.sleep(0)
        watching.cancel()

    asyncio.run(run())
    assert len(rounds) == 3 + ROUNDS


def test_memory_of_its_own_is_taken_as_it_is_written_to_and_goes_with_the_array() -> None:
    mib = 1 << 20
    before = resident_bytes()
    zeros = mapped_zeros((64, mib // 8), np.int64)
    assert (int(zeros.sum()), zeros.shape, zeros.flags.c_contiguous) == (0, (64, mib // 8), True)
    assert resident_bytes() - before < 8 * mib, "reading takes none"
    zeros[:32] = 1
    assert resident_bytes() - before > 24 * mib
    del zeros
    assert resident_bytes() - before < 8 * mib


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
