"""The simulated loop is an asyncio loop: what runs on one runs on it, without waiting, and the same each time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from instanter.foundation.errors import DiskFull
from instanter.sim.chance import Chance
from instanter.sim.disk import PowerLost
from instanter.sim.loop import SimulatedLoop

HOUR_S = 3_600.0


def make(seed: int = 0, *, dies_at: int = 0) -> SimulatedLoop:
    chance = Chance("loop", seed=seed)
    return SimulatedLoop(chance, job_ns=lambda: chance.below(1_000_000), dies_at=dies_at)


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    loop = make()
    yield loop
    loop.end()
    assert loop.errors == []


def test_sleeping_for_hours_takes_no_time_and_timers_end_in_their_order(loop: SimulatedLoop) -> None:
    woken: list[int] = []

    async def sleep(hours: int) -> None:
        await asyncio.sleep(hours * HOUR_S)
        woken.append(hours)

    async def work() -> float:
        await asyncio.gather(*[sleep(hours) for hours in (5, 1, 3)])
        return loop.time()

    assert 5 * HOUR_S <= loop.run_until_complete(work()) < 5 * HOUR_S + 1
    assert woken == [1, 3, 5]


def test_a_timer_that_was_cancelled_does_not_move_time(loop: SimulatedLoop) -> None:
    async def work() -> float:
        asyncio.get_running_loop().call_later(HOUR_S, print).cancel()
        await asyncio.sleep(1)
        return loop.time()

    assert loop.run_until_complete(work()) < 2


def test_time_limits_locks_and_events_work_as_on_any_loop(loop: SimulatedLoop) -> None:
    async def work() -> None:
        lock, event = asyncio.Lock(), asyncio.Event()
        async with lock:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lock.acquire(), 10)
        loop.call_later(3, event.set)
        await asyncio.wait_for(event.wait(), 4)

    loop.run_until_complete(work())


def test_work_for_an_executor_is_done_in_order_on_the_same_thread(loop: SimulatedLoop) -> None:
    done: list[int] = []

    async def work() -> None:
        with ThreadPoolExecutor(1) as pool:
            futures = [loop.run_in_executor(pool, done.append, number) for number in range(20)]
            await asyncio.gather(*futures)
        assert await loop.run_in_executor(None, threading.get_ident) == threading.get_ident()

    loop.run_until_complete(work())
    assert done == list(range(20))


def test_what_the_work_raises_is_raised_where_it_is_waited_for(loop: SimulatedLoop) -> None:
    def fail() -> None:
        raise DiskFull("no room")

    async def work() -> None:
        with pytest.raises(DiskFull, match="no room"):
            await asyncio.get_running_loop().run_in_executor(None, fail)

    loop.run_until_complete(work())


def test_work_that_was_cancelled_before_it_began_is_not_done(loop: SimulatedLoop) -> None:
    done: list[int] = []

    async def work() -> None:
        loop.run_in_executor(None, done.append, 1).cancel()
        await asyncio.sleep(1)

    loop.run_until_complete(work())
    assert done == []


def order_of(seed: int) -> list[str]:
    """How callbacks and jobs come between one another."""
    loop, order = make(seed), list[str]()

    async def steps() -> None:
        for number in range(6):
            order.append(f"step {number}")
            await asyncio.sleep(0.0003)

    async def jobs() -> None:
        for number in range(3):
            await loop.run_in_executor(None, order.append, f"job {number}")
            order.append(f"heard {number}")

    async def work() -> None:
        await asyncio.gather(steps(), jobs())

    loop.run_until_complete(work())
    loop.end()
    return order


def test_the_seed_says_what_comes_between_and_the_same_seed_says_the_same() -> None:
    orders = [order_of(seed) for seed in range(30)]
    assert orders == [order_of(seed) for seed in range(30)]
    assert len({tuple(order) for order in orders}) > 10
    for order in orders:
        assert [one for one in order if one.startswith("job")] == ["job 0", "job 1", "job 2"]


def test_the_power_goes_before_any_step_and_nothing_runs_after_it() -> None:
    async def work() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
            ran.append(1)

    counts = []
    for dies_at in range(1, 40):
        ran: list[int] = []
        loop = make(dies_at=dies_at)
        with pytest.raises(PowerLost):
            loop.run_until_complete(work())
        counts.append(len(ran))
        loop.end()
        assert len(ran) == counts[-1]
    assert counts[-1] > counts[0]
    assert counts == sorted(counts)


def test_power_that_is_lost_in_a_job_ends_the_loop_there() -> None:
    def lose() -> None:
        raise PowerLost

    async def work() -> None:
        await asyncio.get_running_loop().run_in_executor(None, lose)

    loop = make()
    with pytest.raises(PowerLost):
        loop.run_until_complete(work())
    loop.end()


def test_a_wait_that_nothing_can_end_is_an_error_and_not_a_hang() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    loop = make()
    with pytest.raises(RuntimeError, match="everything waits"):
        loop.run_until_complete(work())
    loop.end()
