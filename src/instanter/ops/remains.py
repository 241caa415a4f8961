"""What is left in the memory of the process of people who were erased: garbage and freed memory, overwritten."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from typing import Final

from ..foundation.clock import elapsed_ns
from ..foundation.freed import overwrite_freed, overwrite_kept
from ..foundation.measure import Meter

AFTER_S: Final = 1.0
"""So long after somebody was erased it begins: by then the answer has been sent, and what it took been freed."""
EVERY_S: Final = 15.0
"""Not more often than that, however many are erased."""
_PAUSE_S: Final = 0.001
"""Between two steps: other work comes first."""


class Remains:
    """Overwrites what is left of people, within a minute after they were erased."""

    def __init__(self, meter: Meter, workers: Sequence[Executor] = (), *, after_s: float = AFTER_S) -> None:
        """`workers` are threads that stay."""
        self._meter = meter
        self._workers = workers
        self._after_s = after_s
        self._wanted = asyncio.Event()
        self._threads = self._new_threads()

    def want(self) -> None:
        """Somebody was erased."""
        self._wanted.set()

    async def watch(self) -> None:
        """Overwrite whenever that is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._after_s)
            self._wanted.clear()
            await self._overwrite()
            await asyncio.sleep(EVERY_S)

    def _new_threads(self) -> ThreadPoolExecutor:
        """Threads for all that is done beside the loop from here on."""
        threads = ThreadPoolExecutor(thread_name_prefix="beside")
        asyncio.get_running_loop().set_default_executor(threads)
        return threads

    async def _overwrite(self) -> None:
        """Threads keep pieces of freed memory for themselves until they end. And exceptions and what they were about
        refer to one another, and lie around until the collector finds them."""
        began_ns = elapsed_ns()
        former, self._threads = self._threads, self._new_threads()
        await asyncio.to_thread(former.shutdown)
        gc.collect()
        for worker in self._workers:
            await asyncio.get_running_loop().run_in_executor(worker, overwrite_kept)
        with closing(overwrite_freed()) as steps:
            for _ in steps:
                await asyncio.sleep(_PAUSE_S)
        self._meter.observe("overwrite", elapsed_ns() - began_ns)
