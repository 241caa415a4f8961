"""Decisions recomputed from the log: after restarts, changes of the configuration, cuts of the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.decisions.placement import Placement
from instanter.engine.configuration import Configurations
from instanter.engine.loop import Engine
from instanter.engine.replay import Again, Made, NoModels, Past, Replay, decided_in, opened
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, Corrupt
from instanter.log.segments import SegmentReader
from instanter.privacy.subjects import KeyStore

from .harness import SECRET, decide, event, set_stock, stock_shop, take, with_engine

FIRST, SECOND = "a1", "a2"
MINE = FeatureDeclaration(name="my_views", on=("Product Viewed",), aggregate="count", scope="profile", unit="views",
                          owner="tests")  # fmt: skip
OWN_PLACEMENT = Placement(id="home.recommended", limit=3, weights={"item.click_lift": 5.0})
REST = (Placement(id="home.hero", limit=1), Placement(
    id="search", kind="rerank", limit=200, sources=("candidates",), diversity=0.0, repeats=True))  # fmt: skip


def made_in(root: Path) -> list[Made]:
    """Every decision in the log that can be read."""
    log, subjects = SegmentReader(RealDisk(), root / "log"), KeyStore(RealDisk(), root / "keys", secret=SECRET,
                                                                     master=SECRET)  # fmt: skip
    found = [opened(at, record, subjects) for at, record in decided_in(log)]
    subjects.close()
    return [made for made in found if made is not None]


def replay_of(root: Path) -> Replay:
    disk = RealDisk()
    return Replay(
        SegmentReader(disk, root / "log"), disk=disk, checkpoints=root / "checkpoints", models=NoModels(),
        configurations=Configurations(disk, root / "configurations"), memory_mb=64,
    )  # fmt: skip


def again_in(root: Path) -> list[Again]:
    return list(replay_of(root).decisions(made_in(root)))


async def visit(engine: Engine, first: int, count: int = 12) -> list[dict[str, Any]]:
    """Events of two people with a decision after each, for the last of which the caller brings a list."""
    replies = []
    for number in range(first, first + count):
        person = FIRST if number % 3 else SECOND
        await take(engine, event(number, person=person))
        assert isinstance(engine.clock, ManualClock)
        engine.clock.advance(700)
        candidates = ["sku-1", "unknown", {"id": "sku-3", "fields": {"price": 5.5}}]
        replies.append(await decide(engine, person=person, placements=[
            {"id": "home.recommended"}, {"id": "home.hero"}, {"id": "search", "candidates": candidates, "query": "x"},
        ]))  # fmt: skip
    return replies


def test_decisions_are_recomputed_identically_in_the_same_log_and_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()

    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        await visit(engine, 1)
        await set_stock(engine, "sku-3", 0)
        await engine.checkpoint()
        await visit(engine, 100)

    async def second(engine: Engine) -> None:
        await visit(engine, 200)
        await engine.journal.settled()

    with_engine(tmp_path, first, clock=clock, exploration=0.5)
    with_engine(tmp_path, second, clock=clock, exploration=0.5, stop=False)
    recomputed = again_in(tmp_path)
    assert len(recomputed) == 36
    assert {again.made.receipt.placements[0].rung for again in recomputed} >= {"personal"}
    assert [again.differences for again in recomputed] == [[]] * 36


def test_old_decisions_are_recomputed_under_the_configuration_that_made_them(tmp_path: Path) -> None:
    clock = ManualClock()

    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        await visit(engine, 1)

    async def later(engine: Engine) -> None:
        await visit(engine, 100 + engine.partition.position)

    with_engine(tmp_path, first, clock=clock)
    with_engine(tmp_path, later, clock=clock, placements=(OWN_PLACEMENT, *REST))
    with_engine(tmp_path, later, clock=clock, features=(*DEFAULT_FEATURES, MINE))
    with_engine(tmp_path, later, clock=clock)
    recomputed = again_in(tmp_path)
    assert len({again.made.receipt.config_hash for again in recomputed}) == 3
    assert [again.differences for again in recomputed] == [[]] * 48


def test_any_order_of_decisions_can_be_recomputed(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await visit(engine, 1)

    with_engine(tmp_path, work)
    assert all(again.identical for again in replay_of(tmp_path).decisions(reversed(made_in(tmp_path))))


def test_a_receipt_that_says_something_else_is_told(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await visit(engine, 1)

    with_engine(tmp_path, work)
    made = made_in(tmp_path)[-1]
    earlier = made_in(tmp_path)[-2]
    lying = made._replace(receipt=msgspec.structs.replace(made.receipt, position=earlier.receipt.position))
    assert "inputs_hash" in replay_of(tmp_path).decision(lying).differences


def test_a_configuration_that_is_gone_or_changed_is_named(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await visit(engine, 1, count=1)

    with_engine(tmp_path, work)
    (path,) = (tmp_path / "configurations").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"limit":12', b'"limit":13'))
    with pytest.raises(Corrupt, match="not what was kept"):
        again_in(tmp_path)
    path.unlink()
    with pytest.raises(Corrupt, match="not there"):
        again_in(tmp_path)


def test_the_past_is_what_the_present_was(tmp_path: Path) -> None:
    hashes: dict[int, str] = {}

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        for number in range(30):
            await take(engine, event(number, person=f"p{number % 5}"))
            if number == 17:
                await engine.checkpoint()
            hashes[engine.partition.position] = engine.partition.hash()

    with_engine(tmp_path, work)
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)
    past = Past(schema, SegmentReader(RealDisk(), tmp_path / "log"), disk=RealDisk(),
                checkpoints=tmp_path / "checkpoints")  # fmt: skip
    for position in (*hashes, *reversed(hashes)):
        assert past.at(position).hash() == hashes[position]
    for between_no_records in (list(hashes)[3] + 1, 10 * list(hashes)[-1]):
        with pytest.raises(Broken, match="no position between two records"):
            past.at(between_no_records)


def test_an_erased_persons_decisions_cannot_be_read(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await visit(engine, 1)
        await engine.eraser.erase("default", f"anonymous:{FIRST}", actor="tests")

    with_engine(tmp_path, work)
    assert len(made_in(tmp_path)) == 4
    assert all(again.identical for again in again_in(tmp_path))


def test_damage_in_the_log_is_named_each_time_and_what_lies_before_it_is_replayed(tmp_path: Path) -> None:
    stops: list[int] = []

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        for number in range(30):
            await take(engine, event(number))
            stops.append(engine.partition.position)

    with_engine(tmp_path, work, stop=False)
    (segment,) = (tmp_path / "log").glob("*.seg")
    raw = bytearray(segment.read_bytes())
    raw[stops[22] + 60] ^= 1
    segment.write_bytes(bytes(raw))
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)
    past = Past(schema, SegmentReader(RealDisk(), tmp_path / "log"), disk=RealDisk(),
                checkpoints=tmp_path / "checkpoints")  # fmt: skip
    for _ in range(2):
        assert past.at(stops[20]).position == stops[20]
        with pytest.raises(Corrupt, match="seg"):
            past.at(stops[25])
