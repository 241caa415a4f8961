"""People on disk are read beside the loop: who waits for them, who does not, and that nothing else changes by it."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from instanter.decisions.request import decode_decide
from instanter.engine.fetching import BEGUN_TOGETHER, LOOKED_AGAIN_S, Fetching
from instanter.engine.loop import Engine
from instanter.engine.recovery import beginning, catch_up
from instanter.events.envelope import Configured
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.clock import ManualClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.limits import FETCHES_WAITING_MAX
from instanter.foundation.measure import Measurements
from instanter.log.segments import SegmentReader
from instanter.sim.disk import SimulatedDisk
from instanter.state.cold_files import ColdPlace
from instanter.state.memory import State

from ..state.shop import START_MS, fold_all, person, tracked
from ..state.test_cold import COUNTED, on, small
from .harness import decide, event, stock_shop, take, with_engine
from .test_replay import again_in

COLD = Path("/cold")
CELLS = 6
CROWD = 12


class GatedDisk(SimulatedDisk):
    """Reads wait while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        assert self.gate.wait(timeout=30), "read on the loop, which nobody can open the gate for then"
        return super().read(path, offset, size_bytes)

    def read_now(self, path: Path, offset: int, size_bytes: int) -> bytes:
        if not self.gate.is_set():
            raise BlockingIOError
        return super().read_now(path, offset, size_bytes)


def with_crowd(root: Path, disk: SimulatedDisk, work: Callable[[Engine], Awaitable[None]]) -> None:
    """An engine whose memory holds half of the people who have been there: the last ones."""

    async def crowded(engine: Engine) -> None:
        await stock_shop(engine)
        for number in range(CROWD):
            await take(engine, event(number, person=f"a{number}"))
        assert engine.partition.state.cells_cold >= CROWD - CELLS
        await work(engine)
        await engine.journal.settled()

    with_engine(root, crowded, cold=ColdPlace(disk, COLD), cells=CELLS)


async def hurried(engine: Engine, name: str, *, deadline_ms: float = 1_000.0) -> dict[str, Any]:
    """A decision that has to be there in time."""
    body = {"anonymousId": name, "placements": [{"id": "home.recommended"}]}
    request = decode_decide(json.dumps(body).encode())
    decision = await engine.decide(request, tenant="default", deadline=Deadline(deadline_ms))
    reply: dict[str, Any] = json.loads(decision.encode())
    return reply


def rung(reply: dict[str, Any]) -> str:
    return str(reply["placements"]["home.recommended"]["servedBy"])


def test_a_decision_about_somebody_on_disk_reads_nothing_on_the_loop_and_moves_nobody(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        state = engine.partition.state
        before = state.read_at_use, state.cold.moved_out, state.cold.brought_back
        for number in range(CROWD):
            reply = await decide(engine, person=f"a{number}")
            assert (rung(reply), reply["degraded"]) == ("personal", [])
        assert (state.read_at_use, state.cold.moved_out, state.cold.brought_back) == before
        assert engine.meter.counts["people_fetched.soon"] >= CROWD - CELLS
        assert engine.meter.counts["people_awaited.decision"] >= CROWD - CELLS

    with_crowd(tmp_path, SimulatedDisk(), work)


def test_who_does_not_come_in_time_is_not_waited_for_and_the_decision_says_so(tmp_path: Path) -> None:
    disk = GatedDisk()

    async def work(engine: Engine) -> None:
        disk.gate.clear()
        late, others = await asyncio.gather(hurried(engine, "a0"), decide(engine, person=f"a{CROWD - 1}"))
        assert (rung(late) != "personal", late["degraded"]) == (True, ["context"])
        assert len(late["placements"]["home.recommended"]["items"]) > 0
        assert (rung(others), others["degraded"]) == ("personal", []), "whoever is in memory waits for nobody"
        assert engine.meter.counts["people_late"] == 1
        assert engine.fetches_waiting == 1
        disk.gate.set()
        assert rung(await decide(engine, person="a0")) == "personal"
        assert engine.fetches_waiting == 0

    with_crowd(tmp_path, disk, work)
    assert [again.differences for again in again_in(tmp_path)] == [[]] * 3


def test_the_fold_waits_for_those_it_is_about_and_decisions_go_on(tmp_path: Path) -> None:
    disk = GatedDisk()

    async def work(engine: Engine) -> None:
        state = engine.partition.state
        before = state.read_at_use
        disk.gate.clear()
        taking = asyncio.create_task(take(engine, event(100, person="a0"), event(101, person="a1")))
        while not engine.meter.counts["people_awaited.fold"]:
            await asyncio.sleep(sum(LOOKED_AGAIN_S))
        position = engine.partition.position
        assert rung(await decide(engine, person=f"a{CROWD - 1}")) == "personal"
        assert (engine.partition.position, taking.done()) == (position, False)
        disk.gate.set()
        assert (await taking).accepted == 2
        assert (state.read_at_use, state.verdicts["applied"]) == (before, CROWD + 2)
        assert engine.meter.counts["people_fetched.thread"] >= 1
        assert engine.meter.stages["fetch"].count >= 1

    with_crowd(tmp_path, disk, work)


def test_who_has_not_agreed_is_not_read(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        request = decode_decide(json.dumps({"anonymousId": "a0", "placements": [{"id": "home.recommended"}]}).encode())
        await engine.decide(request, tenant="default", deadline=Deadline(10_000), gpc=True)
        assert engine.meter.counts["people_awaited.decision"] == 0
        assert len(engine.partition.state.cold.fetched) == 0

    with_crowd(tmp_path, SimulatedDisk(), work)


def test_whom_a_decision_waits_for_may_be_erased_meanwhile(tmp_path: Path) -> None:
    disk = GatedDisk()

    async def work(engine: Engine) -> None:
        cells = engine.cells_of("default", user_id=None, anonymous_id="a0")
        disk.gate.clear()
        deciding = asyncio.create_task(decide(engine, person="a0"))
        while not engine.fetches_waiting:
            await asyncio.sleep(0)
        engine.partition.state.erase(cells)
        disk.gate.set()
        assert rung(await deciding) != "personal"
        assert len(engine.partition.state.cold.fetched) == 0

    with_crowd(tmp_path, disk, work)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_log_gives_the_same_state_and_decisions_with_and_without_reading_ahead(
    tmp_path: Path, seed: int
) -> None:
    """People come back in any order, ask before and after, are erased and moved, while the disk stalls and goes on."""
    rng, disk, clock = random.Random(seed), GatedDisk(), ManualClock()
    hashes: list[str] = []

    async def turn(engine: Engine, number: int) -> None:
        names = [f"a{rng.randrange(20)}" for _ in range(rng.randrange(1, 9))]
        taking = take(engine, *(event(number * 10 + place, person=name) for place, name in enumerate(names)))
        asked = [f"a{rng.randrange(20)}" for _ in range(3)]
        if rng.random() < 0.5:
            disk.gate.clear()
        work = asyncio.gather(taking, *(hurried(engine, name, deadline_ms=50.0) for name in asked))
        for _ in range(rng.randrange(8)):
            await asyncio.sleep(0)
        if rng.random() < 0.2:
            engine.partition.state.cold.files._distrusted |= set(engine.partition.state.cold.files.live)
        disk.gate.set()
        await work
        clock.advance(rng.choice((700, 60_000, 3_600_000)))

    async def run(engine: Engine) -> None:
        await stock_shop(engine)
        for number in range(40):
            await turn(engine, number)
        await engine.journal.settled()
        assert engine.meter.counts["people_fetched.soon"] > 0
        hashes.append(engine.partition.hash())

    with_engine(tmp_path, run, cold=ColdPlace(disk, COLD), cells=CELLS, clock=clock, exploration=0.5)
    log = SegmentReader(RealDisk(), tmp_path / "log")
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)
    partition = beginning(schema, log, disk=RealDisk(), checkpoints=tmp_path / "none")
    catch_up(partition, log)
    assert partition.hash() == hashes[0]
    recomputed = again_in(tmp_path)
    assert [again.differences for again in recomputed] == [[]] * 120


# The bound, and the end.


def crowded(people: int) -> tuple[GatedDisk, State]:
    disk = GatedDisk()
    state = on(disk, small([COUNTED], cells=8, cold=10_000))
    state.configure(Configured(START_MS, {}, state.schema.declared()))
    fold_all(state, [tracked(who, START_MS + who, number=who) for who in range(people)], batch=4)
    return disk, state


def test_no_more_people_wait_to_be_read_than_may() -> None:
    disk, state = crowded(FETCHES_WAITING_MAX + 50)
    keys, meter = sorted(person(who) for who in range(FETCHES_WAITING_MAX + 20)), Measurements()

    async def run() -> None:
        fetching = Fetching(state, meter, by="fold")
        disk.gate.clear()
        coming = fetching.coming(keys)
        assert fetching.waiting == FETCHES_WAITING_MAX
        assert meter.counts["people_not_fetched"] == 20
        assert fetching.coming(keys[:5]) == coming, "they are read once, whoever else waits for them"
        assert fetching.coming(keys[FETCHES_WAITING_MAX:]) == []
        last = keys[FETCHES_WAITING_MAX:]
        assert not await fetching.arrived(lambda: last, left_ms=lambda: 10_000.0)
        disk.gate.set()
        await asyncio.wait(coming)
        assert fetching.waiting == 0
        assert await fetching.arrived(lambda: last, left_ms=lambda: 10_000.0)
        fetching.close()

    asyncio.run(run())


def test_a_body_of_many_people_is_looked_for_a_few_in_each_pass_of_the_loop() -> None:
    people = 3 * BEGUN_TOGETHER + 10
    disk, state = crowded(people)
    keys = [person(who) for who in range(people) if state.cell_row(person(who)) < 0]

    async def run() -> None:
        fetching, begun = Fetching(state, Measurements(), by="fold"), [0]
        disk.gate.clear()
        fetching.begin(keys)
        while fetching.waiting < len(keys):
            assert len(begun) < 10
            begun.append(fetching.waiting)
            await asyncio.sleep(0)
        assert max(after - before for before, after in pairwise(begun)) == BEGUN_TOGETHER
        fetching.begin(keys)
        fetching.close()
        await asyncio.sleep(0)

    asyncio.run(run())


def test_at_the_end_nobody_waits_for_what_is_not_read_any_more() -> None:
    disk, state = crowded(40)

    async def run() -> None:
        fetching = Fetching(state, Measurements(), by="fold")
        disk.gate.clear()
        coming = fetching.coming([person(0), person(1)])
        fetching.close()
        await asyncio.wait(coming)
        assert all(one.cancelled() for one in coming)

    asyncio.run(run())


def test_whoever_cannot_be_read_is_not_waited_for_again() -> None:
    disk, state = crowded(40)

    async def run() -> None:
        fetching = Fetching(state, Measurements(), by="fold")
        for path in list(disk.files()):
            disk.unlink(path)
        assert await fetching.arrived(lambda: [person(0)], left_ms=lambda: 10_000.0)
        assert len(state.cold.fetched) == 0
        fetching.close()

    asyncio.run(run())
