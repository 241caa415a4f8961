"""Training sets out of the replay: what was served, bit for bit, and nothing of the future."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instanter.decisions.placement import DEFAULT_PLACEMENTS
from instanter.engine.configuration import Configuration, Configurations
from instanter.engine.joining import Joining, ListsWanted, before_the_log
from instanter.engine.loop import Engine
from instanter.engine.replay import NoModels, Replay
from instanter.engine.training import Gathered, Gathering
from instanter.features.assemble import RULES_NOW
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.feedback.rewards import Rewards
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.log.segments import SegmentReader
from instanter.models.training import TrainingOptions, train
from instanter.privacy.subjects import KeyStore

from .harness import SECRET, decide, event, iso, set_stock, stock_shop, take, with_engine
from .rankers import Shelf

HOME = "home.recommended"
WINDOW_MS = 60_000
REWARDS = Rewards(window_ms=WINDOW_MS, delay_ms=0)


def gathered(root: Path, tmp_path: Path, *, placement: str = HOME, **wanted: Any) -> tuple[Gathered, Joining]:
    """The training set of a directory."""
    disk = RealDisk()
    log = SegmentReader(disk, root / "log")
    subjects = KeyStore(disk, root / "keys", secret=SECRET, master=SECRET, read_only=True)
    configurations = Configurations(disk, root / "configurations")
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64)
    configuration = configurations.keep(Configuration(
        DEFAULT_FEATURES, DEFAULT_PLACEMENTS, schema.settings, {}, 0.0, RULES_NOW
    ))
    replay = Replay(log, disk=disk, checkpoints=root / "checkpoints", configurations=configurations,
                    models=NoModels(), memory_mb=64)  # fmt: skip
    joining = Joining(log, subjects, REWARDS, ListsWanted("default", placement, **wanted))
    gathering = Gathering(replay, log, subjects, configuration=configuration, placement=placement)
    made = gathering.gather(joining.examples(), tmp_path / "rows")
    subjects.close()
    return made, joining


async def shop_with(engine: Engine, clock: ManualClock, visits: int) -> list[dict[str, Any]]:
    """People look, get a list and click on it: on what is cheap, mostly."""
    await stock_shop(engine)
    replies = []
    for number in range(visits):
        person = f"p{number % 9}"
        await take(engine, event(1_000 + number, person=person, at_ms=clock.now_ms()))
        reply = await decide(engine, person=person)
        replies.append(reply)
        clock.advance(1_500)
        items = [item["id"] for item in reply["placements"][HOME]["items"]]
        clicked = min(items, key=lambda item: int(item.removeprefix("sku-")))
        fields = {"context": {"decisionId": reply["decisionId"]}, "properties": {"product_id": clicked}}
        await take(engine, event(5_000 + number, person=person, name="Product Clicked", at_ms=clock.now_ms(), **fields))
        clock.advance(1_500)
    return replies


async def pass_time(engine: Engine, clock: ManualClock) -> None:
    """Until every window is over."""
    clock.advance(2 * WINDOW_MS)
    await take(engine, event(99_999, person="late", at_ms=clock.now_ms()))
    await engine.journal.settled()


def test_rows_are_what_was_served_with_what_came_of_them(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(engine: Engine) -> list[dict[str, Any]]:
        replies = await shop_with(engine, clock, 40)
        await engine.checkpoint()
        await pass_time(engine, clock)
        return replies

    replies = with_engine(tmp_path, work, clock=clock)
    made, _ = gathered(tmp_path, tmp_path)
    dataset = made.dataset
    assert (made.counts.decisions, made.counts.differing, made.counts.unread) == (40, 0, 0)
    assert len(dataset) == 40
    assert dataset.labels.sum() == 40.0
    shown = [len(reply["placements"][HOME]["items"]) for reply in replies]
    assert np.diff(dataset.groups).tolist() == shown
    clicked = [np.flatnonzero(dataset.labels[first:last]).tolist() for first, last in
               zip(dataset.groups[:-1], dataset.groups[1:], strict=True)]  # fmt: skip
    for reply, places in zip(replies, clicked, strict=True):
        items = [item["id"] for item in reply["placements"][HOME]["items"]]
        assert [items[place] for place in places] == [min(items, key=lambda item: int(item.removeprefix("sku-")))]


def test_the_matrix_of_each_row_is_the_one_the_server_read(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(engine: Engine) -> dict[str, dict[str, float]]:
        await shop_with(engine, clock, 10)
        reply = await decide(engine, person="p1", explain=True)
        await pass_time(engine, clock)
        return {item["id"]: item["features"] for item in reply["placements"][HOME]["items"]}

    features = with_engine(tmp_path, work, clock=clock)
    dataset = gathered(tmp_path, tmp_path)[0].dataset
    last = dataset.matrix[dataset.groups[-2] : dataset.groups[-1]]
    for row, (_, told) in zip(last, features.items(), strict=True):
        read = dict(zip(dataset.columns, row.tolist(), strict=True))
        for name, value in told.items():
            assert read[name] == value


def test_what_happens_later_changes_no_row(tmp_path: Path) -> None:
    clock = ManualClock()

    async def past(engine: Engine) -> tuple[int, str]:
        replies = await shop_with(engine, clock, 20)
        await pass_time(engine, clock)
        return engine.partition.position, replies[3]["decisionId"]

    position, decision_id = with_engine(tmp_path, past, clock=clock)
    before = identity(gathered(tmp_path, tmp_path)[0])

    async def future(engine: Engine) -> None:
        fields = {"context": {"decisionId": decision_id}, "properties": {"product_id": "sku-3"}}
        planted = iso(clock.now_ms() + 86_400_000)
        await take(engine, event(7, person="p3", name="Order Completed", timestamp=planted, **fields))
        await set_stock(engine, "sku-3", 0)
        clock.advance(10_000)
        await take(engine, event(8, person="p3", name="Order Completed", at_ms=clock.now_ms(), **fields))
        await pass_time(engine, clock)

    with_engine(tmp_path, future, clock=clock)
    assert identity(gathered(tmp_path, tmp_path)[0]) == before
    assert identity(gathered(tmp_path, tmp_path, until=position)[0]) == before


def identity(made: Gathered) -> str:
    return made.dataset.identity()


def test_lists_that_others_chose_are_read_as_they_would_have_been(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(engine: Engine) -> bytes:
        await stock_shop(engine)
        await take(engine, event(1, at_ms=clock.now_ms()))
        clock.advance(2_000)
        reply = await decide(engine, placements=[{"id": "search", "candidates": [
            {"id": "sku-4", "fields": {"price": 3.5}}, "sku-5", "unknown"]}], explain=True)  # fmt: skip
        products = [{"product_id": "sku-4", "price": 3.5}, {"product_id": "sku-5"}, {"product_id": "unknown"}]
        await take(engine, event(2, name="Product List Viewed", at_ms=clock.now_ms(),
                                 properties={"list_id": "l1", "products": products}))  # fmt: skip
        clock.advance(1_000)
        await take(engine, event(3, name="Product Clicked", at_ms=clock.now_ms(),
                                 properties={"list_id": "l1", "product_id": "sku-5"}))  # fmt: skip
        await pass_time(engine, clock)
        served = {item["id"]: item["features"] for item in reply["placements"]["search"]["items"]}
        return rows_hash([served[name] for name in ("sku-4", "sku-5", "unknown")])

    served = with_engine(tmp_path, work, clock=clock)
    made, _ = gathered(tmp_path, tmp_path, placement="search", lists=True)
    assert (made.counts.lists, made.counts.decisions) == (1, 1)
    at = made.dataset.groups.tolist()
    both = [made.dataset.matrix[first:last] for first, last in itertools.pairwise(at)]
    assert made.dataset.labels[made.dataset.labels > 0].tolist() == [1.0]
    found = {rows_hash([dict(zip(made.dataset.columns, row, strict=True)) for row in rows.tolist()]) for rows in both}
    assert served in found


def rows_hash(rows: list[dict[str, float]]) -> bytes:
    """Of rows by column, what is not a number included."""
    texts = [sorted(f"{name} {float(np.float32(value))!r}" for name, value in row.items() if value == value)
             for row in rows]  # fmt: skip
    return hashlib.blake2b(repr(texts).encode()).digest()


def test_erased_people_are_not_learned_from(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(engine: Engine) -> None:
        await shop_with(engine, clock, 18)
        await pass_time(engine, clock)
        await engine.eraser.erase("default", "anonymous:p0", actor="tests")

    with_engine(tmp_path, work, clock=clock)
    made, joining = gathered(tmp_path, tmp_path)
    assert (made.counts.decisions, joining.unreadable) == (16, 2)


def test_without_a_list_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)

    with_engine(tmp_path, work)
    with pytest.raises(RequestRejected, match="no list"):
        gathered(tmp_path, tmp_path)


def test_a_model_learns_what_people_like(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(engine: Engine) -> None:
        await shop_with(engine, clock, 120)
        await pass_time(engine, clock)

    with_engine(tmp_path, work, clock=clock)
    dataset = gathered(tmp_path, tmp_path)[0].dataset
    artefact = train(dataset, TrainingOptions(trees_max=30, leaves=4, min_data_in_leaf=5))
    assert artefact.metrics["ndcg_10"] > 0.95


def test_links_and_models_from_before_the_log_begins_are_those_of_the_oldest_checkpoint(tmp_path: Path) -> None:
    clock = ManualClock()

    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        known = {"type": "identify", "messageId": "i-1", "anonymousId": "p1", "userId": "u1"}
        await take(engine, json.dumps(known).encode())
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        await engine.checkpoint()
        await shop_with(engine, clock, 30)
        await engine.checkpoint()

    with_engine(tmp_path, first, clock=clock, segment_bytes=4_096, models=Shelf("plain@1"))
    disk, log = RealDisk(), SegmentReader(RealDisk(), tmp_path / "log")
    assert before_the_log(log, disk, tmp_path / "checkpoints").links == ()
    sorted((tmp_path / "log").glob("*.seg"))[0].unlink()
    cut = before_the_log(SegmentReader(RealDisk(), tmp_path / "log"), disk, tmp_path / "checkpoints")
    assert (len(cut.ties), [placed.model for placed in cut.models]) == (1, ["plain@1"])
    for path in (tmp_path / "checkpoints").glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:40])
    damaged = before_the_log(SegmentReader(RealDisk(), tmp_path / "log"), disk, tmp_path / "checkpoints")
    assert damaged.links == ()
