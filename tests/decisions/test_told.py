"""What a reply says of the question and of itself: warnings, reasons, the rung, and no look at all items."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.decisions.explain import IN_CATALOGUE, YOUR_LIST
from instanter.decisions.placement import DEFAULT_PLACEMENTS
from instanter.decisions.receipt import decode_receipt
from instanter.features.assemble import EVIDENCE, FIRST_RULES, Column
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.deadline import Deadline
from instanter.foundation.measure import NoMeter
from instanter.models.base import EVERY_COLUMN, EVERY_ROW


def warnings(shop, *placements: dict[str, Any]) -> list[tuple[str, str]]:
    reply = msgspec.json.decode(shop.decide(*placements).encode())
    return [(one["code"], one["message"]) for one in reply.get("warnings", [])]


def test_a_question_of_which_all_counts_is_answered_without_warnings(shop) -> None:
    shop.stock()
    asked = ({"id": "product.similar", "item": "sku-1"}, {"id": "search", "candidates": ["sku-1", "sku-2"]})
    assert b"warnings" not in shop.decide(*asked).encode()


def test_an_item_that_nobody_knows_is_told(shop) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sold years ago")
    ((code, unheard),) = warnings(shop, {"id": "product.similar", "item": "SKU-1"})
    assert code == "unknown_item"
    assert 'the item "SKU-1" is not in the catalogue, and no event has named it either' in unheard
    ((_, seen),) = warnings(shop, {"id": "product.similar", "item": "sold years ago"})
    assert "events have named it" in seen


def test_an_item_by_its_number_is_told_by_its_number(shop) -> None:
    shop.item("5", category="a")
    assert warnings(shop, {"id": "product.similar", "item": 5}) == []
    assert 'the item "6"' in warnings(shop, {"id": "product.similar", "item": 6})[0][1]


def test_a_placement_about_an_item_says_so_where_none_is_named(shop) -> None:
    shop.stock()
    assert [code for code, _ in warnings(shop, {"id": "product.similar"})] == ["item_missing"]
    assert warnings(shop, {"id": "home.recommended"}) == []


def test_candidates_that_the_catalogue_does_not_know_are_told_as_a_number(shop) -> None:
    shop.stock(3)
    ((code, message),) = warnings(shop, {"id": "search", "candidates": ["sku-0", "x", 7, {"id": "y"}]})
    assert code == "unknown_candidates"
    assert '3 of 4 candidates are not in the catalogue, the first "x"' in message


def test_somebody_of_whom_only_unheard_events_came_is_served_what_is_popular(shop) -> None:
    shop.stock()
    shop.happen("book_opened", "sku-1", key=3)
    shop.happen("Product Clicked", "sku-2", key=9)
    shop.publish()
    assert shop.ask("home.recommended", keys=(3,))["servedBy"] == "popular"
    assert shop.ask("home.recommended", keys=(9,))["servedBy"] == "personal"


def test_somebody_who_only_saw_pages_is_served_what_is_popular_and_a_model_may_read_that(shop) -> None:
    shop.stock()
    shop.happen("Page Viewed", key=3)
    assert shop.ask("home.recommended", keys=(3,), after_ms=5_000)["servedBy"] == "default"
    spot = shop.decider.asked("home.recommended").spot.ranker

    class Standing:
        def of(self, tenant: str, placement: str) -> tuple[Any, ...]:
            return (spot,)

    answer = shop.ask("home.recommended", keys=(3,), after_ms=5_000, rankers=Standing())
    assert answer["servedBy"] == "personal"


def test_the_rung_that_answered_answers_in_a_replay_whoever_may_rank_now(shop) -> None:
    shop.stock()
    shop.happen("Page Viewed", key=3)
    spot = shop.decider.asked("home.recommended").spot.ranker

    class Standing:
        def of(self, tenant: str, placement: str) -> tuple[Any, ...]:
            return (spot,)

    decision = shop.decide({"id": "home.recommended"}, keys=(3,), after_ms=5_000, rankers=Standing())
    made = decode_receipt(decision.receipt)
    assert made.placements[0].rung == "personal"
    asked = shop.decider.asked_again(made, b"", shop.state.catalogue)
    again, _ = shop.decider.again(made, asked, state=shop.state, meter=NoMeter(), rankers=_Nobody())
    assert again == made


class _Nobody:
    def of(self, tenant: str, placement: str) -> tuple[Any, ...]:
        return ()


class OfTheListAlone:
    """A ranker, as trained trees may be, that goes by columns nothing can be said of."""

    name, version, missing = "trees", "1", ()

    def score(self, matrix: Any, columns: Any) -> Any:
        return np.arange(len(matrix), dtype=np.float64)

    def contributions(
        self, matrix: Any, columns: tuple[Column, ...], rows: Any = EVERY_ROW, wanted: Any = EVERY_COLUMN
    ) -> Any:
        added = np.zeros(matrix[rows].shape)
        added[:, [column.name for column in columns].index("list.size")] = 1.0
        return added[:, wanted]


class Trees:
    def of(self, tenant: str, placement: str) -> tuple[Any, ...]:
        return (OfTheListAlone(),)


def test_every_item_has_a_reason_even_where_the_ranker_gives_none(shop) -> None:
    shop.stock(created_at=1_000)
    shop.item("late", category="category 1", created_at=2_000)
    for number, item_id in enumerate(["sku-1", "sku-6", "sku-11"]):
        shop.happen("Product Viewed", item_id, after_ms=number)
        shop.happen("Product Viewed", item_id, key=7, after_ms=number)
    shop.publish()
    reasons = {
        one["id"]: one["reasons"]
        for one in shop.ask("home.recommended", limit=40, rankers=Trees())["items"]
    }
    assert all(reasons.values())
    assert {text for texts in reasons.values() for text in texts} >= {"similar to what you viewed", IN_CATALOGUE}
    (found,) = shop.ask("search", candidates=["sku-2"], rankers=Trees())["items"]
    assert found["reasons"] == [YOUR_LIST]


@pytest.mark.parametrize("seed", range(3))
def test_every_item_shown_has_a_reason(shop, seed: int) -> None:
    rng = random.Random(seed)
    shop.stock(30)
    for number in range(rng.choice((0, 30))):
        name, key = rng.choice(("Product Viewed", "Product Clicked")), 1 + rng.randrange(4)
        shop.happen(name, f"sku-{rng.randrange(30)}", key=key, after_ms=number)
    shop.publish()
    for placement in DEFAULT_PLACEMENTS:
        own = {"candidates": ["sku-1", "new"]} if placement.kind == "rerank" else {"item": "sku-3"}
        for keys in ((), (1,)):
            for deadline in (Deadline(600_000), Deadline(1e-9)):
                items = shop.ask(placement.id, keys=keys, deadline=deadline, **own)["items"]
                assert items
                assert all(one["reasons"] for one in items)


def test_what_was_loaded_at_once_is_not_called_new(shop) -> None:
    shop.stock()
    assert not any("new" in one["reasons"] for one in shop.ask("home.recommended", keys=())["items"])
    later_ms = 90 * 86_400_000
    shop.item("late", created_at=1_700_000_000_000 + later_ms)
    newest = shop.ask("home.recommended", keys=(), after_ms=later_ms)["items"]
    assert [one["id"] for one in newest if "new" in one["reasons"]] == ["late"]


def test_no_decision_pays_for_an_epoch(shop) -> None:
    """Between a fold and the next decision `follow` keeps up; a decision looks at all items never again."""
    shop.stock(300)
    shop.decider.follow(shop.state)
    assert shop.decider.looks == 1
    for number in range(60):
        shop.happen("Product Viewed", f"sku-{number % 7}", after_ms=1_000 * number)
        if number % 2:
            shop.happen("Product Clicked", f"sku-{number % 11}", after_ms=1_000 * number + 1)
        shop.publish()
        if number % 3:
            shop.decider.follow(shop.state)
        answer = shop.ask("home.recommended", after_ms=1_000 * number + 2)
        assert (answer["degraded"], len(answer["items"])) == ([], 12)
    assert shop.decider.looks == 1


def test_by_the_first_rules_decisions_are_what_they_were(make_shop) -> None:
    """Weights and rules make the name of the ranker: receipts of before name the one that they were made by."""
    # Configurations of then have every default written out, and knew fewer features.
    later = ("cart_items", "wishlist_items", "searches")
    then = [msgspec.structs.replace(one, default=0.0) for one in DEFAULT_FEATURES if one.name not in later]
    shop = make_shop(then)
    before = shop.decider_of(DEFAULT_PLACEMENTS, exploration=0.0, rules=FIRST_RULES)
    now = shop.decider_of(DEFAULT_PLACEMENTS, exploration=0.0, rules=EVIDENCE)
    shop.stock(9)
    for number in range(40):
        shop.happen("Product Viewed", "sku-1", after_ms=number)
    shop.publish()
    asked = {"id": "home.recommended", "limit": 9}
    old, new = (decode_receipt(shop.decide(asked, decider=one, decision_id="d_1").receipt) for one in (before, now))
    assert old.placements[0].model == "linear@816e93d5"
    assert old.placements[0].matrix_hash.hex() == "9088eff230c00711"
    assert old.placements[0].scores_hash.hex() == "feb012775dc2d4bf"
    assert (old.placements[0].model, old.placements[0].matrix_hash) != (
        new.placements[0].model, new.placements[0].matrix_hash
    )  # fmt: skip
