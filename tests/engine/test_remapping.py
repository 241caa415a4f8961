"""Kept events told again: as if they had been mapped from the start, and never twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instanter.engine import remapping
from instanter.engine.intake import BYTES_PER_STEP
from instanter.engine.loop import Engine
from instanter.engine.remapping import NameRemapped, RemapStep
from instanter.events.decode import Door
from instanter.events.envelope import Tracked, decode_record
from instanter.events.kinds import Names
from instanter.events.named_items import ItemFinder
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.limits import REMAP_NAMES_MAX, REMAP_STEP_BYTES
from instanter.log.segments import SegmentReader
from instanter.ops.cli.remap import FURTHER, Tally

from .harness import event, stock_shop, take, with_engine

NOW_MS = 1_790_000_000_000
MAPPING = {"book_opened": "Product Viewed", "basket_add": "Product Added"}


def books(count: int = 200, *, mapped: bool = False, name: str = "") -> list[bytes]:
    """A bookshop's events of ten hours, under its own names or ours."""
    names = list(MAPPING.values()) if mapped else list(MAPPING)
    first_ms = NOW_MS - count * 180_000
    return [
        event(number, name=name or names[number % 5 == 0], person=f"u{number % 8}", at_ms=first_ms + number * 180_000)
        for number in range(count)
    ]


def map_names(engine: Engine, mapping: dict[str, str]) -> None:
    """As a start with another configuration does."""
    door: Door = engine.remapper._door
    door._names = Names(mapping)


async def remap(
    engine: Engine, *, dry_run: bool = False, tenant: str = "default"
) -> tuple[dict[str, int], dict[str, int]]:
    told: dict[str, int] = {}
    skipped: dict[str, int] = {}
    after = 0
    while True:
        step: RemapStep = await engine.remapper.step(tenant, after, dry_run=dry_run, actor="test")
        for one in step.told:
            told[f"{one.event} as {one.name}"] = told.get(f"{one.event} as {one.name}", 0) + one.told
        for why, count in step.skipped.items():
            skipped[why] = skipped.get(why, 0) + count
        if step.next is None:
            return told, skipped
        assert int(step.next) > after
        after = int(step.next)


async def profiles(engine: Engine) -> dict[str, Any]:
    """Profile features of all people; what belongs to a visit is gone when it is told again."""
    names = ("category_affinity", "price_level", "views", "orders", "last_seen", "bought_items")
    found = {}
    for number in range(8):
        profile = engine.profiles.profile("default", f"anonymous:u{number}", now_ms=NOW_MS)
        found[number] = {name: _rounded(profile.features[name]) for name in names}
    return found


def _rounded(value: Any) -> Any:
    if not isinstance(value, list):
        return value if value is None else round(value, 6)
    return [{name: round(one, 6) if isinstance(one, float) else one for name, one in entry.items()} for entry in value]


def second_tellings(root: Path) -> list[int]:
    found = [decode_record(frame.payload) for frame in SegmentReader(RealDisk(), root / "log").read()]
    return [one.first_told for one in found if isinstance(one, Tracked) and one.first_told]


def test_told_again_profiles_are_as_if_mapped_from_the_start_and_a_second_walk_tells_nothing(tmp_path: Path) -> None:
    async def mapped(engine: Engine) -> dict[str, Any]:
        await stock_shop(engine)
        await take(engine, *books(mapped=True))
        return await profiles(engine)

    async def remapped(engine: Engine) -> dict[str, Any]:
        await stock_shop(engine)
        await take(engine, *books())
        map_names(engine, MAPPING)
        dry = await remap(engine, dry_run=True)
        assert second_tellings(tmp_path / "two") == []
        told = await remap(engine)
        assert dry == told == ({"book_opened as Product Viewed": 160, "basket_add as Product Added": 40}, {})
        assert await remap(engine) == ({}, {"told_before": 200})
        return await profiles(engine)

    expected = with_engine(tmp_path / "one", mapped, clock=ManualClock(NOW_MS))
    assert with_engine(tmp_path / "two", remapped, clock=ManualClock(NOW_MS)) == expected
    told = second_tellings(tmp_path / "two")
    assert len(told) == len(set(told)) == 200


def test_what_would_name_no_item_waits_until_it_is_said_where_its_id_stands(tmp_path: Path) -> None:
    def sold(number: int, **properties: Any) -> bytes:
        return event(number, name="gekauft", person="u1", at_ms=NOW_MS - 90_000 * number, properties=properties)

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, *(sold(n, Artikel={"nr": f"sku-{n}"}, order_id=f"o{n}") for n in range(9)))
        map_names(engine, {"gekauft": "Order Completed"})
        step = await engine.remapper.step("default", 0, dry_run=False, actor="test")
        assert (step.told, step.skipped) == ([], {"no_item": 9})
        assert 'item_from = ["Artikel.nr"]' in step.elsewhere["gekauft"]
        engine.remapper._door._items = ItemFinder(["Artikel.nr"], engine.partition.state.catalogue.ref_of)
        assert await remap(engine) == ({"gekauft as Order Completed": 9}, {})
        assert await remap(engine) == ({}, {"told_before": 9})

    with_engine(tmp_path / "named", work, clock=ManualClock(NOW_MS))


@pytest.mark.parametrize("properties", [{"revenue": 5}, {"shop": "sku-1"}, {"url": "https://s.example/{sku}"}])
def test_what_names_no_item_anywhere_is_told_all_the_same(properties: dict[str, Any], tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        for number in range(5):
            said = {name: str(value).replace("{sku}", f"sku-{number}") for name, value in properties.items()}
            await take(engine, event(number, name="gekauft", properties=said))
        map_names(engine, {"gekauft": "Order Completed"})
        assert await remap(engine) == ({"gekauft as Order Completed": 5}, {})

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


@pytest.mark.parametrize("most", [1, 7, 500_000])
def test_whatever_is_held_at_once_nothing_is_told_twice(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remapping, "REMAP_POSITIONS_MAX", most)
    monkeypatch.setattr(remapping, "RECORDS_PER_STEP", 23)

    async def work(engine: Engine) -> None:
        await take(engine, *books(40))
        map_names(engine, {"book_opened": "Product Viewed"})
        assert (await remap(engine))[0] == {"book_opened as Product Viewed": 32}
        map_names(engine, MAPPING)
        assert (await remap(engine))[0] == {"basket_add as Product Added": 8}
        assert (await remap(engine))[0] == {}

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


def test_a_walk_that_was_killed_goes_on_and_tells_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remapping, "RECORDS_PER_STEP", 50)

    async def killed(engine: Engine) -> None:
        await take(engine, *books())
        map_names(engine, MAPPING)
        first = await engine.remapper.step("default", 0, dry_run=False, actor="test")
        await engine.remapper.step("default", int(first.next or 0), dry_run=False, actor="test")

    with_engine(tmp_path, killed, clock=ManualClock(NOW_MS), stop=False)
    some = len(second_tellings(tmp_path))
    assert 0 < some < 200

    async def again(engine: Engine) -> None:
        map_names(engine, MAPPING)
        told, skipped = await remap(engine)
        assert (sum(told.values()), skipped) == (200 - some, {"told_before": some})

    with_engine(tmp_path, again, clock=ManualClock(NOW_MS))
    assert len(set(second_tellings(tmp_path))) == 200


def test_what_was_imported_twice_is_told_once(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, *books(50))
        await take(engine, *books(50))
        map_names(engine, MAPPING)
        told, skipped = await remap(engine)
        assert (sum(told.values()), skipped) == (50, {"repeated": 50})
        assert sum((await remap(engine))[0].values()) == 0

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


def test_consent_and_erasures_of_today_hold(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, *books(80))
        await engine.eraser.erase("default", "anonymous:u1", actor="test")
        await engine.consent("default", "anonymous:u2", {"personalization": False}, actor="test")
        map_names(engine, MAPPING)
        told, skipped = await remap(engine)
        assert (sum(told.values()), skipped) == (60, {"erased": 10, "withheld": 10})
        assert not engine.partition.state.knows(engine.subjects.find("default", "anonymous:u1"))

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


def test_a_new_feature_hears_what_nobody_heard_and_an_old_one_nothing_twice(tmp_path: Path) -> None:
    async def before(engine: Engine) -> None:
        await take(engine, *books(20, name="Quiz Finished"), *books(20, mapped=True))

    with_engine(tmp_path, before, clock=ManualClock(NOW_MS))
    quiz = FeatureDeclaration(name="quizzes", on=("Quiz Finished",), aggregate="count")
    more = FeatureDeclaration(name="more", on=("Product Viewed",), aggregate="count")

    async def work(engine: Engine) -> None:
        assert (await remap(engine))[0] == {"Quiz Finished as Quiz Finished": 20}
        features = engine.profiles.profile("default", "anonymous:u0", now_ms=NOW_MS).features
        assert (features["quizzes"], features["more"]) == (3.0, None)
        assert (await remap(engine))[0] == {}

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS), features=(*DEFAULT_FEATURES, quiz, more))


def test_what_a_feature_that_hears_everything_has_counted_is_not_told_again(tmp_path: Path) -> None:
    everything = FeatureDeclaration(name="all_events", on=("*",), aggregate="count")

    async def work(engine: Engine) -> None:
        await take(engine, *books(10))
        map_names(engine, MAPPING)
        assert await remap(engine) == ({}, {})

    with_engine(tmp_path / "one", work, clock=ManualClock(NOW_MS), features=(*DEFAULT_FEATURES, everything))

    async def before(engine: Engine) -> None:
        await take(engine, *books(10))

    async def after(engine: Engine) -> None:
        assert sum((await remap(engine))[0].values()) == 10
        assert engine.profiles.profile("default", "anonymous:u0", now_ms=NOW_MS).features["all_events"] == 2.0
        assert (await remap(engine))[0] == {}

    with_engine(tmp_path / "two", before, clock=ManualClock(NOW_MS))
    with_engine(tmp_path / "two", after, clock=ManualClock(NOW_MS), features=(*DEFAULT_FEATURES, everything))


def test_each_tenant_walks_over_its_own(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, *books(10))
        await engine.intake.take(books(10), kind=None, tenant="two")
        map_names(engine, MAPPING)
        assert sum((await remap(engine, tenant="two"))[0].values()) == 10
        assert sum((await remap(engine))[0].values()) == 10

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))




def test_repetitions_are_told_among_the_newest_events_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remapping, "REMAP_MESSAGES_MAX", 3)
    walk = remapping._Walk("default", 10)
    first, *others = [Tracked(1, number, "default", 7, number, "Seen") for number in range(4)]
    assert walk.is_new(first)
    assert not walk.is_new(first)
    assert all(walk.is_new(one) for one in others)
    assert not walk.is_new(others[0])
    assert walk.is_new(first), "three others have come since"
    assert len(walk.messages) == 3


def test_a_step_tells_no_more_bytes_than_so_many_and_a_few_at_once(tmp_path: Path) -> None:
    """2,048 events of 32 KiB lay in memory for one step, and 64 of them went through the door at once."""
    large = [event(number, name="book_opened", properties={"product_id": "p", "note": "x" * 30_000})
             for number in range(200)]  # fmt: skip

    async def work(engine: Engine) -> None:
        for first in range(0, len(large), 50):
            await take(engine, *large[first : first + 50])
        map_names(engine, MAPPING)
        sizes, after = list[int](), 0
        tell = engine.remapper._tell

        async def counted(candidates: Any, *rest: Any) -> None:
            sizes.append(sum(len(one.record.body) for one in candidates))
            await tell(candidates, *rest)

        engine.remapper._tell = counted  # type: ignore[method-assign]
        told = []
        while True:
            step = await engine.remapper.step("default", after, dry_run=False, actor="test")
            told.append(sum(one.told for one in step.told))
            if step.next is None:
                break
            after = int(step.next)
        assert sum(told) == len(large)
        assert max(told) * len(large[0]) < REMAP_STEP_BYTES + 2 * len(large[0])
        assert max(sizes) < BYTES_PER_STEP + len(large[0])

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


def test_the_report_of_the_command_tells_so_many_names_apart() -> None:
    tally = Tally(dry_run=True)
    for first in range(0, 2 * REMAP_NAMES_MAX, 500):
        names = [f"name {number}" for number in range(first, first + 500)]
        told = [NameRemapped(name, "Seen", 2) for name in names]
        tally.add(RemapStep(True, 9, told, {}, dict.fromkeys(names, 3), dict.fromkeys(names, "where"), "5"))
    report = tally.report()
    assert report.told == 2 * 2 * REMAP_NAMES_MAX
    assert len(report.names) == len(report.unheard) == REMAP_NAMES_MAX + 1
    assert report.unheard[FURTHER] == 3 * REMAP_NAMES_MAX
    assert len(report.elsewhere) == REMAP_NAMES_MAX


def test_what_took_something_back_was_heard_and_is_not_told_again(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        for number, name in enumerate(("Product Added", "Product Removed", "Order Completed", "Order Refunded")):
            await take(engine, event(number, name=name, person="u1", at_ms=NOW_MS - 90_000 + number))
        assert await remap(engine) == ({}, {})

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))
