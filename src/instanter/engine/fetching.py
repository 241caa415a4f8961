"""People on disk, read before they are needed, so that the loop waits for no disk.

What the system has in memory is taken at once. For the rest the disk begins to work, and it is looked again a moment
later; only what is not there then is read by a thread, which has to ask for the interpreter at each read. Whoever
waits, waits at the rim: what uses a person is synchronous, finds what was read here or reads it itself, and comes to
the same either way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple

from ..foundation.clock import elapsed_ns
from ..foundation.limits import FETCHES_WAITING_MAX
from ..foundation.measure import Meter
from ..state.cold_files import Stored
from ..state.fetched import ColdRecord
from ..state.memory import State

LOOKED_AGAIN_S: Final = (0.001, 0.002)
"""When it is looked for what the disk has begun to read, each time after the time before."""
BEGUN_TOGETHER: Final = 64
"""People of one body who are looked for in one pass of the loop; those at hand take 2 ms if all of them lie on disk."""
FETCHED_TOGETHER: Final = 32
"""People read in one piece of work of the thread; what one piece found is at hand before the next one begins."""

Coming = asyncio.Future[None]
"""Done when some people are at hand, or cannot be."""


class Begun(NamedTuple):
    """What has to be done before some people are at hand."""

    coming: list[Coming]
    refused: int
    """People who are not read, since as many wait as may."""


class Fetching:
    """People of one state who are being read from disk, and who waits for them. Used on the loop's thread."""

    def __init__(self, state: State, meter: Meter, *, by: str) -> None:
        """`by` says who waits: `decision` or `fold`."""
        self._state = state
        self._meter = meter
        self._loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"fetch-{by}")
        self._by = by
        self._under_way: dict[ColdRecord, Coming] = {}
        self._closed = False

    @property
    def worker(self) -> Executor:
        """The thread that reads."""
        return self._worker

    @property
    def waiting(self) -> int:
        """People who are being read, or wait for their turn."""
        return len(self._under_way)

    def begin(self, keys: Sequence[int]) -> None:
        """Begin to read who of these lies on disk, a few in each pass of the loop from the next one on."""
        if keys:
            self._loop.call_soon(self._begin_next, keys)

    def _begin_next(self, keys: Sequence[int]) -> None:
        if not self._closed:
            self._begin(self._state.unread(keys[:BEGUN_TOGETHER]))
            self.begin(keys[BEGUN_TOGETHER:])

    def coming(self, keys: Sequence[int]) -> list[Coming]:
        """What is to be waited for before all of these are at hand: nothing if they are, or if so many wait that
        whoever needs them has to read them."""
        begun = self._begin(self._state.unread(keys))
        if begun.coming:
            self._meter.count(f"people_awaited.{self._by}")
        return begun.coming

    async def arrived(self, keys: Callable[[], Sequence[int]], *, left_ms: Callable[[], float]) -> bool:
        """Returns when all of `keys` are at hand, True, or when the time is over or too many wait, False.

        Who they are is asked again after each wait: people move, and links change. Whoever cannot be read counts as
        arrived: why, says the read itself.
        """
        tried: set[ColdRecord] = set()
        while unread := [one for one in self._state.unread(keys()) if one not in tried]:
            begun, left_s = self._begin(unread), left_ms() / 1_000
            tried.update(unread)
            if begun.refused or (begun.coming and left_s <= 0.0):
                return False
            if begun.coming:
                self._meter.count(f"people_awaited.{self._by}")
                if (await asyncio.wait(begun.coming, timeout=left_s))[1]:
                    return False
        return True

    def close(self) -> None:
        """Stop the thread; what has not begun is not read."""
        self._closed = True
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _begin(self, unread: Sequence[ColdRecord]) -> Begun:
        new = [one for one in unread if one not in self._under_way]
        room = max(FETCHES_WAITING_MAX - len(self._under_way), 0)
        refused = max(len(new) - room, 0)
        if refused:
            self._meter.count("people_not_fetched", refused)
        if new := new[:room]:
            pending = self._state.fetch_now(new)
            self._count("at_once", len(new) - len(pending))
            if pending:
                self._await(pending)
        return Begun([*{coming for one in unread if (coming := self._under_way.get(one)) is not None}], refused)

    def _await(self, some: Sequence[ColdRecord]) -> None:
        coming = self._loop.create_future()
        for one in some:
            self._under_way[one] = coming
        self._loop.call_later(LOOKED_AGAIN_S[0], self._look_again, some, coming, 1)

    def _look_again(self, some: Sequence[ColdRecord], coming: Coming, looks: int) -> None:
        if self._closed:
            coming.cancel()
            return
        pending = self._state.fetch_now(some)
        self._count("soon", len(some) - len(pending))
        self._settle(set(some).difference(pending))
        if not pending:
            self._end(coming)
        elif looks < len(LOOKED_AGAIN_S):
            self._loop.call_later(LOOKED_AGAIN_S[looks], self._look_again, pending, coming, looks + 1)
        else:
            self._read(pending, coming)

    def _read(self, some: Sequence[ColdRecord], coming: Coming) -> None:
        """Have the thread wait for the disk."""
        part, rest = some[:FETCHED_TOGETHER], some[FETCHED_TOGETHER:]
        reading = self._loop.run_in_executor(self._worker, self._state.fetch, part)
        reading.add_done_callback(partial(self._take, part, rest, coming, elapsed_ns()))

    def _take(
        self, some: Sequence[ColdRecord], rest: Sequence[ColdRecord], coming: Coming, began_ns: int,
        reading: asyncio.Future[dict[ColdRecord, Stored | None]],
    ) -> None:  # fmt: skip
        self._settle(some)
        if reading.cancelled() or self._closed:
            coming.cancel()
            return
        if reading.exception() is None:
            self._state.keep_fetched(reading.result())
        self._count("thread", len(some))
        self._meter.observe("fetch", elapsed_ns() - began_ns)
        if rest:
            self._read(rest, coming)
        else:
            self._end(coming)

    def _settle(self, some: Iterable[ColdRecord]) -> None:
        for one in some:
            del self._under_way[one]

    def _count(self, how: str, people: int) -> None:
        self._meter.count(f"people_fetched.{how}", people)

    def _end(self, coming: Coming) -> None:
        if not coming.done():
            coming.set_result(None)
