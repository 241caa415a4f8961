"""Replacing the catalogue: who may, for how long, and what is known of it in between."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from instanter.engine.feeds import REPLACE_IDLE_MS
from instanter.engine.loop import Engine
from instanter.events.envelope import ItemDeleted, ItemUpserted
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import Overloaded, RequestRejected
from instanter.foundation.limits import ITEM_FIELDS_BYTES_MAX, REPLACES_OPEN_MAX

from .harness import decide, stock_shop, with_engine


def test_so_many_catalogues_are_replaced_at_once_and_idle_ones_make_room(tmp_path: Path) -> None:
    clock = ManualClock(1_700_000_000_000)

    async def work(engine: Engine) -> None:
        tokens = [engine.feeds.begin(f"tenant-{number}") for number in range(REPLACES_OPEN_MAX)]
        with pytest.raises(Overloaded):
            engine.feeds.begin("one more")
        engine.feeds.check("tenant-0", tokens[0])
        with pytest.raises(RequestRejected, match="begin again"):
            engine.feeds.check("tenant-1", tokens[0])
        clock.advance(REPLACE_IDLE_MS - 1)
        engine.feeds.note_put("tenant-3", ["a"])
        clock.advance(1)
        engine.feeds.begin("one more")
        engine.feeds.check("tenant-3", tokens[3])
        with pytest.raises(RequestRejected):
            engine.feeds.check("tenant-0", tokens[0])

    with_engine(tmp_path, work, clock=clock)


def test_what_a_feed_names_takes_no_more_memory_than_what_was_there(tmp_path: Path) -> None:
    """A feed that went on naming new items was remembered whole, 40 kB a request, for as long as it went on."""

    async def work(engine: Engine) -> None:
        items = [ItemUpserted(1, "default", item_id, {"title": "x"}) for item_id in ("a", "b", "c", "d")]
        await engine.change_items(items)
        token = engine.feeds.begin("default")
        engine.feeds.note_put("default", ["d", "new"])
        size = len(pickle.dumps(engine.feeds._replaces["default"].named))
        for number in range(50):
            engine.feeds.note_put("default", [f"new-{number}-{place}" for place in range(200)])
        assert len(pickle.dumps(engine.feeds._replaces["default"].named)) == size
        engine.feeds.note_put("default", ["b", "a"])
        replaced = await engine.feeds.commit("default", token, force=False)
        left = [item.id for item in engine.partition.state.catalogue.page("default", after_row=-1, limit=9)]
        assert (replaced.deleted, left) == (1, ["a", "b", "d"])

    with_engine(tmp_path, work)


def test_a_feed_into_an_empty_catalogue_deletes_nothing(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        token = engine.feeds.begin("default")
        engine.feeds.note_put("default", ["a"])
        engine.feeds.note_put("default", [])
        assert (await engine.feeds.commit("default", token, force=False)).deleted == 0

    with_engine(tmp_path, work)


def test_changes_on_their_way_count_towards_the_bound_of_an_item_and_not_afterwards(tmp_path: Path) -> None:
    half = ITEM_FIELDS_BYTES_MAX // 2

    async def work(engine: Engine) -> None:
        with engine.feeds.changing("default", "a", result_bytes=half, change_bytes=half + 1):
            with (
                pytest.raises(Overloaded),
                engine.feeds.changing("default", "a", result_bytes=half, change_bytes=half),
            ):
                pass
            with engine.feeds.changing("default", "b", result_bytes=half, change_bytes=half):
                pass
            with engine.feeds.changing("default", "a", result_bytes=9, change_bytes=9):
                pass
        with engine.feeds.changing("default", "a", result_bytes=half, change_bytes=half):
            pass
        with (
            pytest.raises(RequestRejected, match="more than"),
            engine.feeds.changing("default", "a", result_bytes=ITEM_FIELDS_BYTES_MAX + 1, change_bytes=1),
        ):
            pass

    with_engine(tmp_path, work)


@pytest.mark.parametrize("stop", [True, False])
def test_an_item_that_was_deleted_is_told_so_behind_a_checkpoint_and_behind_a_log(tmp_path: Path, stop: bool) -> None:
    async def delete(engine: Engine) -> None:
        await stock_shop(engine, 3)
        await engine.change_items([ItemDeleted(engine.clock.now_ms(), "default", "sku-1")])

    async def excluded(engine: Engine) -> dict[str, str]:
        candidates = [{"id": name} for name in ("sku-0", "sku-1", "nobody")]
        reply = await decide(engine, placements=[{"id": "search", "candidates": candidates}])
        return {one["id"]: one["reason"] for one in reply["placements"]["search"]["excluded"]}

    with_engine(tmp_path, delete, stop=stop)
    assert with_engine(tmp_path, excluded) == {"sku-1": "deleted"}
