"""Memory is full and the disk takes nobody who is idle: the fold waits, and goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.engine import journal
from instanter.engine.loop import Engine
from instanter.engine.partition import Halted, Partition
from instanter.events.envelope import Configured, Decided, ItemUpserted, Record
from instanter.foundation.errors import DiskFull
from instanter.foundation.limits import UNFOLDED_RECORDS_MAX
from instanter.sim.disk import SimulatedDisk
from instanter.state.cold_files import ColdPlace
from instanter.state.schema import Schema

from ..state.shop import DECLARATIONS, ITEMS, MINUTE_MS, START_MS, TENANT, random_event, schema_of
from .harness import decide, event, stock_shop, take, with_engine

ROOMY = 1 << 30
STEP = 9


def narrow() -> Schema:
    schema = schema_of(DECLARATIONS, cells=4, dedup_ids_max=24)
    return msgspec.structs.replace(schema, capacity=msgspec.structs.replace(schema.capacity, cold=100))


def records(seed: int, count: int) -> list[Record]:
    """What people do, with changes of the catalogue between."""
    rng = random.Random(seed)
    told: list[Record] = [Configured(START_MS, {}, schema_of(DECLARATIONS, cells=4).declared())]
    told += [ItemUpserted(START_MS, TENANT, item, fields) for item, fields in ITEMS.items()]
    for number in range(count):
        at_ms = START_MS + number * MINUTE_MS
        told.append(random_event(rng, rng.randrange(12), at_ms, number))
        if rng.random() < 0.15:
            item, fields = rng.choice(list(ITEMS.items()))
            told.append(ItemUpserted(at_ms, TENANT, item, {**fields, "stock": rng.randrange(5)}))
    return told


@given(seed=st.integers(0, 10_000), rooms=st.lists(st.integers(0, 6_000), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_whatever_the_disk_takes_the_rest_is_applied_later_and_nothing_twice(seed: int, rooms: list[int]) -> None:
    told = records(seed, 120)
    plain = Partition(schema_of(DECLARATIONS, cells=200, dedup_ids_max=24))
    plain.apply(told, ends=range(1, len(told) + 1))
    disk = SimulatedDisk()
    partition = Partition(narrow(), ColdPlace(disk, Path("/cold")))
    at = turn = 0
    while at < len(told):
        disk.capacity_bytes = sum(map(len, disk.files().values())) + rooms[turn % len(rooms)]
        turn += 1
        step = told[at : at + STEP * 5]
        try:
            partition.apply(step, ends=range(at + 1, at + 1 + len(step)))
            at += len(step)
        except Halted as halted:
            at += halted.applied
            disk.capacity_bytes = ROOMY
            partition.apply(told[at : at + 1], ends=[at + 1])
            at += 1
        assert (partition.position, partition.records) == (at, at)
    assert partition.hash() == plain.hash()


def test_the_fold_waits_for_room_refuses_politely_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "HALTED_S", 0.05)
    disk = SimulatedDisk()

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        for number in range(8):
            await take(engine, event(number, person=f"a{number}"))
        disk.capacity_bytes = sum(map(len, disk.files().values()))
        engine.partition.state.cold.refused = False
        newcomers = [event(100 + number, person=f"b{number}") for number in range(30)]
        with pytest.raises(DiskFull, match="the disk takes no more"):
            await take(engine, *newcomers)
        assert engine.journal.unfolded > 0
        assert not engine.broken
        for refused in (
            take(engine, event(200)), engine.change_items([ItemUpserted(1, "default", "sku-1", {"stock": 0})])
        ):  # fmt: skip
            with pytest.raises(DiskFull):
                await refused
        reply = await decide(engine, person="a7")
        assert len(reply["placements"]["home.recommended"]["items"]) > 0, "decisions go on"
        await asyncio.sleep(0.2)
        assert engine.meter.counts["folds_halted"] == 1, "counted once, however often it is tried"
        disk.capacity_bytes = ROOMY
        while engine.journal.unfolded:
            await asyncio.sleep(0.02)
        taken = await take(engine, *newcomers, event(300, person="c1"))
        assert taken.accepted == len(newcomers) + 1
        state = engine.partition.state
        assert state.verdicts["duplicate"] == len(newcomers), "what was refused had been kept, and counts once"
        assert state.cells_used == 8 + 30 + 1

    with_engine(tmp_path, work, cold=ColdPlace(disk, Path("/cold")), cells=6)


async def crowd(engine: Engine) -> None:
    """Receipts, for which no room is asked beforehand."""
    record, now_ms = Decided(1, "default", 0, "d", b""), engine.clock.now_ms()
    for _ in range(0, UNFOLDED_RECORDS_MAX + 20_000, 5_000):
        for _ in range(5_000):
            engine.journal.append(record, now_ms)
        await engine.journal.settled()


def test_what_waits_for_room_is_bounded_and_folded_after_a_restart(tmp_path: Path) -> None:
    disk = SimulatedDisk()

    async def fill(engine: Engine) -> int:
        await take(engine, *(event(number, person=f"a{number}") for number in range(5)))
        disk.capacity_bytes = sum(map(len, disk.files().values()))
        with pytest.raises(DiskFull):
            await take(engine, *(event(100 + number, person=f"b{number}") for number in range(30)))
        with pytest.raises(DiskFull):
            await crowd(engine)
        return engine.journal.unfolded

    waiting = with_engine(tmp_path, fill, cold=ColdPlace(disk, Path("/cold")), cells=6)
    assert waiting > 0
    disk.capacity_bytes = ROOMY

    async def look(engine: Engine) -> int:
        return engine.partition.state.cells_used

    assert with_engine(tmp_path, look, cold=ColdPlace(disk, Path("/cold")), cells=6) == 35
