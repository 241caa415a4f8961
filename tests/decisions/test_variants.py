"""Variants of one group, and items that may be shown for a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from instanter.decisions.eligibility import best_of_groups
from instanter.decisions.placement import Placement
from instanter.events.envelope import Epoch, ItemUpserted
from instanter.events.items import GROUP, SHOWN_FROM, SHOWN_UNTIL
from instanter.foundation.deadline import Deadline

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
HOME, SIMILAR, SEARCH = "home.recommended", "product.similar", "search"


def item(shop, item_id: str, **fields: object) -> None:
    own = {"title": item_id, "category": "shirts", "price": 20.0}
    shop.state.catalogue.upsert(ItemUpserted(START_MS, "shop", item_id, own | fields, canonical=1))


def at(hours: float) -> str:
    return datetime.fromtimestamp(START_MS / 1_000 + 3_600 * hours, UTC).isoformat()


def shirts(shop, groups: int = 3, sizes: str = "sml") -> None:
    for group in range(groups):
        for size in sizes:
            item(shop, f"shirt-{group}-{size}", **{GROUP: f"shirt-{group}"})
    for number in range(3):
        item(shop, f"hat-{number}")


def groups(ids: list[str]) -> list[str]:
    return [one.rpartition("-")[0] for one in ids if one.startswith("shirt")]


def excluded(answer: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["reason"] for one in answer["excluded"]}


@pytest.mark.parametrize("deadline_ms", [600_000, 1e-9])
def test_a_list_shows_one_variant_of_a_group_on_every_rung(shop, ids, deadline_ms: float) -> None:
    shirts(shop)
    for keys in ((), (1,)):
        shown = ids(shop.ask(HOME, keys=keys, deadline=Deadline(deadline_ms)))
        assert len(shown) == 6
        assert sorted(groups(shown)) == ["shirt-0", "shirt-1", "shirt-2"]
        shop.happen("Product Clicked", "shirt-1-m")
        shop.publish()


def test_the_best_variant_is_the_one_that_is_shown(shop, ids) -> None:
    shirts(shop)
    for number in range(5):
        shop.happen("Product Clicked", "shirt-1-m", key=9, after_ms=number)
    shop.publish()
    shown = ids(shop.ask(HOME, keys=()))
    assert "shirt-1-m" in shown
    assert "shirt-1-s" not in shown


def test_every_id_of_the_callers_list_comes_back_and_the_other_variants_say_why(shop, ids) -> None:
    shirts(shop)
    answer = shop.ask(SEARCH, candidates=["shirt-0-s", "shirt-0-m", "hat-0", "shirt-1-l", "shirt-1-s"])
    assert len(ids(answer)) == 3
    assert set(ids(answer)) | set(excluded(answer)) == {"shirt-0-s", "shirt-0-m", "hat-0", "shirt-1-l", "shirt-1-s"}
    assert set(excluded(answer).values()) == {"same_group"}


def test_variants_of_the_pages_item_and_of_what_was_bought_are_not_offered(shop, ids) -> None:
    shirts(shop)
    shop.happen("Order Completed", "shirt-2-l")
    shown = ids(shop.ask(SIMILAR, item="shirt-0-s"))
    assert groups(shown) == ["shirt-1"]
    answer = shop.ask(SIMILAR, item="shirt-0-s", explain=True)
    assert excluded(answer)["shirt-0-m"] == "same_group"
    assert excluded(answer)["shirt-0-s"] == "page_item"
    assert excluded(answer)["shirt-2-s"] == excluded(answer)["shirt-2-l"] == "just_bought"


def test_placements_of_one_call_share_out_the_groups_whatever_is_explored(shop) -> None:
    shirts(shop, groups=12)
    decider = shop.decider_of(
        [Placement(id="a", limit=3), Placement(id="b", limit=3), Placement(id="c", limit=2)], exploration=1.0
    )
    for _ in range(200):
        reply = shop.decide({"id": "a"}, {"id": "b"}, {"id": "c"}, decider=decider).reply
        shown = [one.id for placed in reply.placements.values() for one in placed.items]
        assert len(shown) == 8
        assert len(set(groups(shown))) == len(groups(shown))
        assert len(set(shown)) == len(shown)


def test_where_nobody_is_in_a_group_nobody_stands_back() -> None:
    assert best_of_groups(np.zeros(3, np.int64), np.zeros(3)) is None
    assert best_of_groups(np.array([1, 2, 0]), np.zeros(3)) is None
    assert best_of_groups(np.zeros(0, np.int64), np.zeros(0)) is None


def test_times_are_looked_at_by_the_time_of_the_decision(shop, ids) -> None:
    item(shop, "always")
    item(shop, "later", **{SHOWN_FROM: at(1)})
    item(shop, "until", **{SHOWN_UNTIL: at(1)})
    asked = ["always", "later", "until"]
    before, after = (shop.ask(SEARCH, candidates=asked, after_ms=after_ms) for after_ms in (0, HOUR_MS))
    assert sorted(ids(before)) == ["always", "until"]
    assert excluded(before) == {"later": "not_yet_available"}
    assert sorted(ids(after)) == ["always", "later"]
    assert excluded(after) == {"until": "expired"}
    assert sorted(ids(shop.ask(HOME, after_ms=HOUR_MS - 1))) == ["always", "until"]


def test_what_is_not_to_be_shown_yet_or_any_more_takes_no_place_in_the_lists(shop, ids) -> None:
    for number in range(500):
        item(shop, f"future-{number}", created_at=START_MS + number, **{SHOWN_FROM: at(10)})
        item(shop, f"past-{number}", created_at=START_MS + number, **{SHOWN_UNTIL: at(1)})
    item(shop, "now", created_at=START_MS - 1)
    seen = []
    for hours in (2, 2, 11):
        shop.state.publish(Epoch(START_MS + hours * HOUR_MS, shop.state.epoch + 1, ""))
        lists = shop.decider._standing.of(shop.state, "shop")
        seen.append((lists.count, sorted(ids(shop.ask(HOME, after_ms=hours * HOUR_MS, keys=())))[:2]))
    assert [count for count, _ in seen] == [1, 1, 501]
    assert seen[0][1] == ["now"]
    assert shop.decider.looks == 1


def test_before_the_first_epoch_nothing_is_kept_out_of_the_lists_for_its_times(shop, ids) -> None:
    item(shop, "since", **{SHOWN_FROM: at(-1)})
    assert ids(shop.ask(HOME, keys=())) == ["since"]
