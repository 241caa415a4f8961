"""An asyncio loop without threads, sockets and waiting: the same seed runs the same steps in the same order.

Time is counted, not measured: each step takes `STEP_NS`, and when nothing is left to do it is at once the time of the
next timer. What would run in another thread runs between two steps, at a moment that chance picks; its end is heard
of at a later one. So everything that can come between in reality comes between here, from some seed.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, Final, TypeVar, TypeVarTuple

from ..foundation.errors import InstanterError
from .chance import Chance
from .disk import PowerLost

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEP_NS: Final = 5_000
"""A callback of the loop."""
_END_STEPS_MAX: Final = 10_000
_SECOND_NS: Final = 1_000_000_000
_NEVER: Final = 1 << 62


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs until the work is done, or until `die` is called: then `run_until_complete` raises `PowerLost`.

    `job_ns` says how long a piece of work for an executor takes to begin, and again how long until its end is known;
    an executor does one at a time, as ours do.

    >>> loop = SimulatedLoop(Chance("loop"), job_ns=lambda: 1_000)
    >>> async def work() -> float:
    ...     await asyncio.sleep(3_600)
    ...     await asyncio.get_running_loop().run_in_executor(None, len, "text")
    ...     return asyncio.get_running_loop().time()
    >>> round(loop.run_until_complete(work())); loop.close()
    3600
    """

    def __init__(self, chance: Chance, *, job_ns: Callable[[], int], dies_at: int = 0) -> None:
        self._running = self._stopped = False
        super().__init__()
        self.steps = 0
        """Callbacks run."""
        self.dies_at = dies_at
        """The power goes before this step; 0 = never."""
        self.dead = False
        self.errors: list[BaseException] = []
        """What nobody caught."""
        self._chance = chance
        self._job_ns = job_ns
        self._now_ns = 0
        self._soon: deque[asyncio.Handle] = deque()
        self._later: list[tuple[int, int, asyncio.Handle | Callable[[], None]]] = []
        """A heap of (when, number, timer or job)."""
        self._number = 0
        self._free_ns: dict[int, int] = {}
        self.set_exception_handler(_note)

    def now_ns(self) -> int:
        """The time of this loop, from 0; a stopwatch for deadlines."""
        return self._now_ns

    def die(self) -> None:
        """The power goes: nothing runs after the present step."""
        self.dead = True

    def end(self) -> None:
        """Close the loop; what still waits is cancelled, and no job is done any more."""
        self.dead, self.dies_at = True, 0
        self._later.clear()
        for task in asyncio.all_tasks(self):
            task.cancel()
        left = _END_STEPS_MAX
        events._set_running_loop(self)
        try:
            while self._soon and left:
                left -= 1
                self._soon.popleft()._run()
        finally:
            events._set_running_loop(None)
        self.close()

    # As `asyncio.AbstractEventLoop`.

    def time(self) -> float:
        return self._now_ns / _SECOND_NS

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._push(min(int(when * _SECOND_NS), _NEVER), handle)
        return handle

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        if self.dead:
            future.cancel()
            return future
        begins_ns = max(self._now_ns, self._free_ns.get(id(executor), 0)) + self._job_ns()
        ends_ns = begins_ns + self._job_ns()
        self._free_ns[id(executor)] = ends_ns

        def work() -> None:
            if not future.cancelled():
                self._push(ends_ns, _outcome(future, lambda: func(*args)))

        self._push(begins_ns, work)
        return future

    def run_forever(self) -> None:
        self._running, self._stopped = True, False
        events._set_running_loop(self)
        try:
            while not self._stopped:
                self._step()
        finally:
            self._running = False
            events._set_running_loop(None)

    def stop(self) -> None:
        self._stopped = True

    def is_running(self) -> bool:
        return self._running

    def _push(self, when_ns: int, what: asyncio.Handle | Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._later, (when_ns, self._number, what))

    def _step(self) -> None:
        """Run one callback, or a job that chance puts before it."""
        job = self._due()
        if job is None and not self._soon:
            raise RuntimeError("everything waits, and nothing is left that could happen")
        self.steps += 1
        self._now_ns += STEP_NS
        self.dead = self.dead or self.steps == self.dies_at
        if not self.dead:
            run = job or self._soon.popleft()._run
            run()
        if self.dead:
            raise PowerLost

    def _due(self) -> Callable[[], None] | None:
        """A job whose turn it is. Timers that are due become callbacks; time goes on where there is none."""
        while self._soon and self._soon[0].cancelled():
            self._soon.popleft()
        while self._later:
            when_ns, _, what = self._later[0]
            timer = what if isinstance(what, asyncio.Handle) else None
            if timer is not None and timer.cancelled():
                heapq.heappop(self._later)
            elif self._soon and (when_ns > self._now_ns or (timer is None and self._chance.happens(0.5))):
                return None
            else:
                heapq.heappop(self._later)
                self._now_ns = max(self._now_ns, when_ns)
                if not isinstance(what, asyncio.Handle):
                    return what
                self._soon.append(what)
        return None


def _outcome(future: asyncio.Future[T], work: Callable[[], T]) -> Callable[[], None]:
    """Do the work now; the function tells the future what came of it, as an executor would."""
    try:
        result = work()
    except (OSError, InstanterError) as error:
        failure = error
        return lambda: None if future.done() else future.set_exception(failure)
    return lambda: None if future.done() else future.set_result(result)


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, SimulatedLoop)
    error = context.get("exception")
    if isinstance(error, PowerLost):
        loop.die()
    elif not loop.dead:
        loop.errors.append(error or RuntimeError(str(context["message"])))
