"""What the state does at leisure, a step at a time: the loop begins it and takes it over, a thread waits for the
disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from ..foundation.errors import InstanterError
from ..foundation.measure import Meter
from ..state.cold import ColdWork
from ..state.memory import State


class Upkeep:
    """Idle people make room, the files they lie in are kept dense, erased ones are overwritten: one step at a time.
    Used on the loop's thread."""

    def __init__(self, state: State, meter: Meter, *, on_broken: Callable[[str], None]) -> None:
        """`on_broken` is told what was found to be damaged."""
        self._state = state
        self._meter = meter
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="upkeep")
        self._under_way = False
        self._closed = False

    @property
    def worker(self) -> Executor:
        """The thread that reads and writes."""
        return self._worker

    def step(self) -> bool:
        """Begin the next step, unless one is under way. False if there was nothing to do."""
        if self._closed:
            return False
        if self._under_way:
            return True
        try:
            work = self._state.begin_upkeep()
        except OSError:  # of a folder that cannot be listed: tried again with the next step
            self._meter.count("upkeep_failed")
            return False
        if work is not None:
            self._run(work)
        return work is not None

    def stop(self) -> None:
        """Begin nothing any more."""
        self._closed = True

    def close(self) -> None:
        """Stop the thread. What it was at changes nothing: everybody is where they were."""
        self.stop()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _run(self, work: ColdWork) -> None:
        self._under_way = True
        running = self._loop.run_in_executor(self._worker, work.run)
        running.add_done_callback(partial(self._end, work))

    def _end(self, work: ColdWork, running: asyncio.Future[None]) -> None:
        self._under_way = False
        if running.cancelled():
            return
        try:
            running.result()
            following = self._state.end_upkeep(work)
        except OSError:
            self._meter.count("upkeep_failed")
        except InstanterError as error:
            self._on_broken(str(error))
        else:
            if following is not None and not self._closed:
                self._run(following)
