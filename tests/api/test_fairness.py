"""Turns: nobody waits while there is room, and while there is not each tenant gets its share."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.api.fairness import Line, Turns
from instanter.foundation.errors import Overloaded
from instanter.foundation.limits import TURN_QUANTUM, TURN_WORK_MAX, TURNS_WAITING_MAX

T = TypeVar("T")


class Passes:
    """The passes of a loop, made one by one."""

    def __init__(self) -> None:
        self.due: deque[Callable[[], None]] = deque()

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.due.append(callback)

    def make(self) -> bool:
        """One pass; whether there was anything to do."""
        for _ in range(asked := len(self.due)):
            self.due.popleft()()
        return asked > 0


def made(*, in_flight_max: int = 1_000, competing: bool = True) -> tuple[Turns, Passes, Counter[str]]:
    passes, counts = Passes(), Counter[str]()
    turns = Turns(
        competing=lambda: competing, in_flight_max=in_flight_max, on_wait=lambda: counts.update(["waited"]),
        call_soon=passes.call_soon,
    )  # fmt: skip
    return turns, passes, counts


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    return asyncio.run(main())


def test_while_there_is_room_nobody_waits_and_few_ask_for_a_pass():
    async def work() -> None:
        turns, passes, counts = made()
        line = Line()
        assert turns.take(line, 1) is None
        assert not passes.due, "one request costs no pass of its own"
        for _ in range(1_000):
            assert turns.take(line, 1) is None
            passes.make()
        assert counts["waited"] == 0
        while passes.make():
            pass
        assert not passes.due, "and an idle loop is left alone"

    run(work)


def test_one_tenant_alone_never_waits():
    async def work() -> None:
        turns, passes, counts = made(competing=False, in_flight_max=1)
        line = Line()
        for _ in range(10_000):
            turns.enter(line)
            assert turns.take(line, 100) is None
        assert not passes.due
        assert counts["waited"] == 0
        assert line.in_flight == 10_000

    run(work)


def test_a_pass_begins_no_more_than_so_much_work():
    async def work() -> None:
        turns, passes, _ = made()
        line = Line()
        waiters = [turns.take(line, 1) for _ in range(TURNS_WAITING_MAX)]
        begun = waiters.count(None)
        assert begun == TURN_WORK_MAX
        while passes.make():
            now = sum(waiter is None or waiter.done() for waiter in waiters)
            assert now - begun <= TURN_WORK_MAX
            begun = now
        assert begun == len(waiters)

    run(work)


def served(
    backlog: dict[str, Sequence[int]], shares: dict[str, int], *, passes_max: int
) -> tuple[Counter[str], dict[str, Line]]:
    """Work begun of each tenant in so many passes, when all lines are kept full."""

    async def work() -> tuple[Counter[str], dict[str, Line]]:
        turns, passes, _ = made()
        lines = {tenant: Line(share=shares[tenant]) for tenant in backlog}
        turns.take(Line(), TURN_WORK_MAX)
        done: Counter[str] = Counter()
        sent = dict.fromkeys(backlog, 0)
        waiting: list[tuple[str, int, asyncio.Future[None]]] = []
        for _ in range(passes_max):
            for tenant, works in backlog.items():
                while len(lines[tenant].waiting) < TURNS_WAITING_MAX:
                    size = works[sent[tenant] % len(works)]
                    sent[tenant] += 1
                    waiter = turns.take(lines[tenant], size)
                    assert waiter is not None
                    waiting.append((tenant, size, waiter))
            passes.make()
            done.update(dict.fromkeys(backlog, 0))
            for tenant, size, waiter in waiting:
                done[tenant] += size * waiter.done()
            waiting = [one for one in waiting if not one[2].done()]
        return done, lines

    return run(work)


@pytest.mark.parametrize("shares", [{"a": 1, "b": 1}, {"a": 1, "b": 3}, {"a": 5, "b": 1}])
def test_who_always_has_more_to_do_gets_by_share(shares: dict[str, int]):
    done, _ = served({"a": [1], "b": [4, 1, 9]}, shares, passes_max=400)
    assert done["a"] / done["b"] == pytest.approx(shares["a"] / shares["b"], rel=0.05)
    assert sum(done.values()) == pytest.approx(400 * TURN_WORK_MAX, rel=0.02)


@given(
    st.lists(st.tuples(st.integers(1, 10), st.lists(st.integers(1, 260), min_size=1, max_size=5)),
             min_size=2, max_size=5),
)
@settings(max_examples=30)
def test_the_shares_hold_whatever_the_sizes(tenants: list[tuple[int, list[int]]]):
    names = [f"t{number}" for number in range(len(tenants))]
    shares = {name: share for name, (share, _) in zip(names, tenants, strict=True)}
    backlog = {name: works for name, (_, works) in zip(names, tenants, strict=True)}
    done, _ = served(backlog, shares, passes_max=1_500)
    for one in names:
        for other in names:
            # Between two that always wait, work per share differs by the largest piece and a quantum at most.
            slack = (max(backlog[one]) / shares[one] + max(backlog[other]) / shares[other]) + 2 * TURN_QUANTUM
            assert abs(done[one] / shares[one] - done[other] / shares[other]) <= slack


def test_a_newcomer_waits_for_one_quantum_of_each_other_and_not_for_their_lines():
    async def work() -> None:
        turns, passes, _ = made()
        noisy, quiet = Line(), Line()
        for _ in range(TURN_WORK_MAX + TURNS_WAITING_MAX):
            turns.take(noisy, 1)
        waiter = turns.take(quiet, TURN_WORK_MAX)
        assert waiter is not None
        for _ in range(-(-TURN_QUANTUM // TURN_WORK_MAX) + 1):
            passes.make()
        assert waiter.done()
        assert len(noisy.waiting) >= TURNS_WAITING_MAX - TURN_QUANTUM - TURN_WORK_MAX

    run(work)


def test_a_line_that_is_too_long_is_refused_at_once_and_its_tenant_alone():
    async def work() -> None:
        turns, passes, counts = made()
        noisy = Line()
        turns.take(noisy, TURN_WORK_MAX)
        for _ in range(TURNS_WAITING_MAX):
            assert turns.take(noisy, 1) is not None
        for _ in range(100):
            with pytest.raises(Overloaded) as refused:
                turns.take(noisy, 1)
            assert refused.value.retry_after_s >= 1
        assert turns.take(Line(), 1) is not None
        assert counts["waited"] == TURNS_WAITING_MAX + 1
        passes.make()
        assert turns.take(noisy, 1) is not None

    run(work)


def test_of_one_tenant_only_so_many_are_answered_at_once():
    turns, _, _ = made(in_flight_max=3)
    noisy, quiet = Line(), Line()
    for _ in range(3):
        turns.enter(noisy)
    with pytest.raises(Overloaded):
        turns.enter(noisy)
    turns.enter(quiet)
    turns.leave(noisy)
    turns.enter(noisy)
    assert (noisy.in_flight, quiet.in_flight) == (3, 1)


def test_who_has_given_up_takes_nobody_elses_turn():
    async def work() -> None:
        turns, passes, _ = made()
        line = Line()
        turns.take(line, TURN_WORK_MAX)
        waiters = [turns.take(line, TURN_WORK_MAX) for _ in range(20)]
        for waiter in waiters[:19]:
            assert waiter is not None
            waiter.cancel()
        passes.make()
        assert waiters[19] is not None
        assert waiters[19].done()
        while passes.make():
            pass
        assert (len(line.waiting), line.deficit) == (0, 0)

    run(work)


def test_everybody_who_waits_gets_a_turn_in_the_order_of_the_line():
    async def work() -> None:
        chance = random.Random(7)
        turns, passes, _ = made()
        lines = [Line(share=chance.randint(1, 5)) for _ in range(8)]
        order: dict[int, list[asyncio.Future[None]]] = {number: [] for number in range(8)}
        for _ in range(2_000):
            number = chance.randrange(8)
            if len(lines[number].waiting) < TURNS_WAITING_MAX:
                waiter = turns.take(lines[number], chance.randint(1, 40))
                order[number] += [waiter] if waiter is not None else []
            if chance.random() < 0.4:
                passes.make()
            for waiters in order.values():
                done = [waiter.done() for waiter in waiters]
                assert done == sorted(done, reverse=True)
        while passes.make():
            pass
        assert all(waiter.done() for waiters in order.values() for waiter in waiters)

    run(work)
