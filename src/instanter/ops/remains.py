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
ROUNDS: Final = 5
"""So often it is done: what somebody had got before one round, and did not fill, may be free in the next."""
EVERY_S: Final = 12.0
"""From one round to the next, however many are erased."""
_PAUSE_S: Final = 0.001
"""Between two steps: other work comes first."""


class Remains:
    """Overwrites what is left of people, within a minute after they were erased."""

    def __init__(
        self, meter: Meter, workers: Sequence[Executor] = (), *, after_s: float = AFTER_S, every_s: float = EVERY_S
    ) -> None:
        """`workers` are threads that stay. They begin now: what one is made of may lie in what was freed before."""
        self._meter = meter
        self._workers = workers
        self._after_s, self._every_s = after_s, every_s
        self._wanted = asyncio.Event()
        self._threads = self._new_threads()
        self._waiting = ThreadPoolExecutor(1, thread_name_prefix="remains")
        """Waits for others to end."""
        for worker in (*workers, self._waiting):
            worker.submit(overwrite_kept)

    def want(self) -> None:
        """Somebody was erased."""
        self._wanted.set()

    async def watch(self) -> None:
        """Overwrite whenever that is wanted, until cancelled."""
        left = 0
        with self._waiting:
            while True:
                if not left:
                    await self._wanted.wait()
                    await asyncio.sleep(self._after_s)
                if self._wanted.is_set():
                    self._wanted.clear()
                    left = ROUNDS
                await self._overwrite()
                left -= 1
                await asyncio.sleep(self._every_s)

    def _new_threads(self) -> ThreadPoolExecutor:
        """Threads for all that is done beside the loop from here on."""
        threads = ThreadPoolExecutor(thread_name_prefix="beside")
        asyncio.get_running_loop().set_default_executor(threads)
        return threads

    async def _overwrite(self) -> None:
        """Threads keep pieces of freed memory for themselves until they end. And exceptions and what they were about
        refer to one another, and lie around until the collector finds them."""
        began_ns = elapsed_ns()
        run = asyncio.get_running_loop().run_in_executor
        former, self._threads = self._threads, self._new_threads()
        await run(self._waiting, former.shutdown)
        gc.collect()
        for worker in (*self._workers, self._waiting):
            await run(worker, overwrite_kept)
        with closing(overwrite_freed()) as steps:
            for _ in steps:
                await asyncio.sleep(_PAUSE_S)
        self._meter.observe("overwrite", elapsed_ns() - began_ns)
