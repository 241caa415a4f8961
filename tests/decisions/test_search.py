"""Search without candidates: a placement that reranks, a query, and no list."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.decisions.arrange import in_tiers
from instanter.decisions.candidates import Given
from instanter.decisions.enclosed import enclose, given_again
from instanter.decisions.receipt import decode_receipt
from instanter.events.envelope import ItemPatched
from instanter.features.assemble import BESIDE, EVIDENCE
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import RequestRejected
from instanter.foundation.ids import item_reference
from instanter.foundation.measure import NoMeter
from instanter.models.lineup import NoRankers

START_MS = 1_700_000_000_000
GOODS = (
    ("red-sofa", "Red velvet sofa", "sofas"), ("blue-sofa", "Blue sofa", "sofas"), ("sofa-bed", "Sofabed", "beds"),
    ("red-lamp", "Red lamp", "lamps"), ("oak-table", "Oak table", "tables"),
)  # fmt: skip


@pytest.fixture
def furniture(shop) -> Any:
    for item_id, title, category in GOODS:
        shop.item(item_id, title=title, category=category, price=20.0, stock=3)
    return shop


def over() -> Deadline:
    readings = iter(range(0, 10**15, 10**9))
    return Deadline(1.0, stopwatch=lambda: next(readings))


def again(shop, decision) -> Any:
    receipt = decode_receipt(decision.receipt)
    asked = shop.decider.asked_again(receipt, decision.enclosed, shop.state.catalogue)
    return shop.decider.again(receipt, asked, state=shop.state, meter=NoMeter(), rankers=NoRankers())[0]


def test_a_query_without_candidates_finds_what_has_all_of_its_words_and_then_what_has_some(furniture, ids) -> None:
    answer = furniture.ask("search", query="red sofa ")
    assert ids(answer) == ["red-sofa", "blue-sofa", "red-lamp"]
    assert "reason" not in answer
    assert answer["items"][0]["fields"]["title"] == "Red velvet sofa"
    assert answer["items"][-1]["reasons"] == ["matches your search"]


def test_the_last_word_may_be_the_beginning_of_one(furniture, ids) -> None:
    assert set(ids(furniture.ask("search", query="sof"))) == {"red-sofa", "blue-sofa", "sofa-bed"}
    assert set(ids(furniture.ask("search", query="sofa "))) == {"red-sofa", "blue-sofa"}


def test_among_what_matches_as_well_the_person_decides(furniture, ids) -> None:
    before = ids(furniture.ask("search", query="sofa ", keys=(5,)))
    for number in range(3):
        furniture.happen("Product Viewed", before[-1], key=5, after_ms=number)
        furniture.happen("Product Clicked", before[-1], key=5, after_ms=number)
    furniture.publish()
    assert ids(furniture.ask("search", query="sofa ", keys=(5,), after_ms=10)) == before[::-1]


def test_however_much_somebody_likes_an_item_one_that_has_more_words_comes_before_it(furniture, ids) -> None:
    for number in range(30):
        furniture.happen("Product Clicked", "blue-sofa", after_ms=number)
    furniture.publish()
    found = ids(furniture.ask("search", query="red velvet sofa ", after_ms=100))
    assert found.index("red-sofa") < found.index("blue-sofa")


def test_what_is_sold_out_or_not_shown_any_more_is_not_found(furniture, ids) -> None:
    furniture.state.catalogue.patch(ItemPatched(START_MS, "shop", "red-sofa", {"stock": 0}, 1))
    furniture.item("old-sofa", title="Old red sofa", expiration_date="2020-01-01T00:00:00Z")
    answer = furniture.ask("search", query="red sofa ", explain=True)
    assert set(ids(answer)) == {"blue-sofa", "red-lamp"}
    assert {"id": "old-sofa", "reason": "expired"} in answer["excluded"]


@pytest.mark.parametrize("query", ["xylophone", "?!", "xylophone sof@"[:9]])
def test_where_nothing_matches_what_is_popular_is_shown_and_that_is_told(furniture, ids, query: str) -> None:
    furniture.happen("Product Clicked", "oak-table")
    furniture.publish()
    decision = furniture.decide({"id": "search", "query": query})
    reply = decision.reply.placements["search"]
    assert reply.reason == "nothing_matched"
    assert reply.items[0].id == "oak-table"
    assert len(reply.items) == len(GOODS)
    assert [one.code for one in decision.reply.warnings] == ["nothing_matched"]
    assert furniture.meter.counts["questions_warned.nothing_matched"] == 1
    assert again(furniture, decision) == decode_receipt(decision.receipt)


def test_where_nothing_that_matches_may_be_shown_it_is_the_same(furniture, ids) -> None:
    furniture.item("old", title="Gramophone", expiration_date="2020-01-01T00:00:00Z")
    answer = furniture.ask("search", query="gramophone")
    assert answer["reason"] == "nothing_matched"
    assert len(ids(answer)) == len(GOODS)


def test_in_an_empty_shop_there_is_nothing_to_find(shop) -> None:
    answer = shop.ask("search", query="sofa")
    assert (answer["items"], answer["reason"]) == ([], "empty_catalogue")


def test_without_time_the_lower_rungs_find_by_the_query_too(furniture, ids) -> None:
    for query, expected in (("red sofa ", ["red-sofa", "blue-sofa", "red-lamp"]), ("nothing", None)):
        decision = furniture.decide({"id": "search", "query": query}, deadline=over())
        reply = decision.reply.placements["search"]
        assert reply.served_by == "popular"
        assert expected is None or [item.id for item in reply.items] == expected
        assert reply.reason == ("" if expected else "nothing_matched")
        made, receipt = again(furniture, decision), decode_receipt(decision.receipt)
        assert made.placements == receipt.placements


def test_where_nothing_matching_or_popular_may_be_shown_all_items_are_looked_at(shop, ids) -> None:
    shop.item("late", title="Late", availability_date="2099-01-01T00:00:00Z")
    answer = shop.ask("search", query="late", deadline=over())
    assert (ids(answer), answer["reason"]) == ([], "nothing_eligible")


def test_a_list_of_the_callers_is_ordered_as_before_whatever_the_query(furniture, ids) -> None:
    for query in ("", "red sofa"):
        answer = furniture.ask("search", candidates=["oak-table", "red-sofa"], query=query, explain=True)
        assert ids(answer) == ["oak-table", "red-sofa"]
        assert "query.match" not in answer["items"][0]["features"]
    for asked in ({"candidates": [], "query": "sofa"}, {"query": " "}, {}):
        assert furniture.ask("search", **asked)["reason"] == "no_candidates"


def test_a_query_to_a_placement_that_finds_items_itself_changes_nothing(furniture, ids) -> None:
    plain = ids(furniture.ask("home.recommended", decision_id="d_1"))
    assert ids(furniture.ask("home.recommended", query="red sofa", decision_id="d_1")) == plain


def test_by_former_rules_nobody_searches(furniture) -> None:
    decider = furniture.decider_of(furniture.decider.placements, rules=EVIDENCE)
    assert EVIDENCE < BESIDE
    assert furniture.ask("search", query="sofa", decider=decider)["reason"] == "no_candidates"


def test_a_search_is_made_again_from_what_lies_beside_its_receipt(furniture) -> None:
    furniture.happen("Product Viewed", "blue-sofa")
    furniture.publish()
    decision = furniture.decide(
        {"id": "search", "query": "red sof"}, {"id": "home.recommended"}, {"id": "product.similar", "item": "red-sofa"}
    )
    assert b"red sof" in decision.enclosed
    assert b"red sof" not in decision.receipt
    assert again(furniture, decision) == decode_receipt(decision.receipt)
    lost = msgspec.structs.replace(decision, enclosed=b"")
    with pytest.raises(RequestRejected, match="query that search was asked was not kept"):
        again(furniture, lost)


def test_what_was_enclosed_before_there_were_queries_is_read_as_ever(furniture) -> None:
    decision = furniture.decide({"id": "search", "candidates": [{"id": "red-sofa", "fields": {"price": 2}}]})
    (placement,) = decode_receipt(decision.receipt).placements
    former = msgspec.msgpack.encode([["search", b"", [[0, {"price": 2}]]]])
    catalogue = furniture.state.catalogue
    assert given_again(placement, former, "shop", catalogue).fields == [(0, {"price": 2})]
    refs = np.array([item_reference("shop", "red-sofa")])
    assert enclose([("search", Given(["red-sofa"], refs), ""), ("home", None, "")]) == b""


def test_beside_an_item_what_is_alike_in_words_is_found_though_nobody_has_seen_it(furniture, ids) -> None:
    for number in range(200):
        furniture.item(f"thing-{number}", title=f"Thing {number}", category="things")
    furniture.item("new", title="Velvet sofa in red", category="unheard of")
    found = ids(furniture.ask("product.similar", item="red-sofa"))
    assert set(found[:3]) >= {"new", "blue-sofa"}


def test_tiers_stand_apart_and_keep_their_order() -> None:
    scores, words = np.array([0.2, 5.0, 0.1, 7.0]), np.array([3, 1, 3, 2])
    lowered = in_tiers(scores, words)
    assert np.argsort(-lowered).tolist() == [0, 2, 3, 1]
    assert lowered[[0, 2]].tolist() == [0.2, 0.1]
    assert in_tiers(np.array([3.0, 1.0]), np.array([2, 1])).tolist() == [3.0, 1.0], "nothing is lowered without need"
