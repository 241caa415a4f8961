"""Why an item stands in a list, or does not: every way in which it may not, against the list as it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.decisions.decide import Decider, Decision
from instanter.decisions.eligibility import FILTERS
from instanter.decisions.explain import Explainer
from instanter.decisions.placement import Placement
from instanter.decisions.receipt import decode_receipt
from instanter.decisions.why import REASONS_SAID, PlacementWhy
from instanter.events.envelope import ItemDeleted
from instanter.events.items import GROUP
from instanter.features.assemble import Column, Matrix
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import ReferenceTaken
from instanter.foundation.ids import References
from instanter.foundation.limits import (
    EXPLAINED_ITEMS_MAX,
    FOUND_MAX,
    NAME_CHARS_MAX,
    SOURCE_LOOKED_MAX,
    STANDING_LIST_MAX,
    WHY_INPUTS_MAX,
)
from instanter.foundation.measure import NoMeter
from instanter.models.lineup import Lineup, NoRankers, Rankers
from instanter.state.compiled import Reals

from .test_again import ByPlace

HOME = "home.recommended"
LIST_PLACES = 5
LIST = Placement(id="list", limit=LIST_PLACES, sources=("popular", "newest"), diversity=0.0)


def why(
    shop: Any, decision: Decision, item_id: str, decider: Decider | None = None, rankers: Rankers | None = None
) -> dict[str, PlacementWhy]:
    """What is told of the item, in each list of the decision made again."""
    decider = decider or shop.decider
    receipt = decode_receipt(decision.receipt)
    asked = decider.asked_again(receipt, decision.enclosed, shop.state.catalogue)
    made, slates = decider.again(
        receipt, asked, state=shop.state, meter=NoMeter(), rankers=rankers or NoRankers()
    )
    assert msgspec.structs.replace(made, degraded=receipt.degraded) == receipt
    return decider.why(receipt, slates, item_id, state=shop.state)


def asked(shop: Any, item_id: str, *placements: Placement, keys: Sequence[int] = (1,), **options: Any) -> PlacementWhy:
    """What is told of the item in the one list of a decision that is made for it."""
    exploration = options.pop("exploration", 0.0)
    decider = shop.decider_of(placements or (LIST,), exploration=exploration)
    question = {"id": (placements or (LIST,))[0].id, **options.pop("question", {})}
    decision = shop.decide(question, keys=keys, decider=decider, **options)
    (told,) = why(shop, decision, item_id, decider).values()
    return told


def liked(shop: Any, *item_ids: str) -> None:
    """Everybody looks at these, at the first most."""
    for place, item_id in enumerate(item_ids):
        for person in range(len(item_ids) - place):
            shop.happen("Product Clicked", item_id, key=(person + 2) << 40)
    shop.publish()


def test_every_item_of_a_catalogue_is_told_as_the_reply_has_it(shop) -> None:
    shop.stock(40)
    shop.item("sold-out", stock=0)
    for name, item in (("Product Viewed", "sku-3"), ("Product Clicked", "sku-8"), ("Order Completed", "sku-9")):
        shop.happen(name, item)
    shop.publish()
    decision = shop.decide({"id": HOME}, {"id": "home.hero"}, explain=True)
    for item_id in [*(f"sku-{number}" for number in range(40)), "sold-out"]:
        for placement, told in why(shop, decision, item_id).items():
            placed = decision.reply.placements[placement]
            shown = {item.id: item for item in placed.items}
            left_out = {one.id: one.reason for one in placed.excluded}
            assert (told.outcome == "shown") is (item_id in shown)
            if item_id in shown:
                item = shown[item_id]
                assert (told.position, told.propensity, told.score) == (item.position, item.propensity, item.score)
                assert told.reasons == item.reasons
            elif item_id in left_out:
                assert (told.outcome, told.excluded) == ("excluded", left_out[item_id])
            assert (told.served_by, told.model) == (placed.served_by, placed.model)
            assert told.why.endswith(".")


def test_a_decision_with_its_reasons_says_what_each_source_gave_and_what_was_ruled_out(shop) -> None:
    for number in range(70):
        shop.item(f"sku-{number}", title="A title " * 100, category="c", price=10.0, margin="not for people to read")
    liked(shop, *(f"sku-{number}" for number in range(9)))
    for number in range(62, 70):
        shop.happen("Order Completed", f"sku-{number}")
    shop.publish()
    many = Placement(id="list", limit=200, sources=("popular", "newest"), diversity=0.0)
    decider = shop.decider_of((many,), exploration=0.0)
    decision = shop.decide({"id": "list"}, decider=decider, explain=True)
    placed = decision.reply.placements["list"]
    receipt = decode_receipt(decision.receipt)
    asked_again = decider.asked_again(receipt, decision.enclosed, shop.state.catalogue)
    _, slates = decider.again(receipt, asked_again, state=shop.state, meter=NoMeter(), rankers=NoRankers())
    (told,) = decider.explained(receipt, slates, state=shop.state).values()
    assert (told.candidates, told.eligible, told.places) == (70, 62, 62)
    assert (told.ruled_out, len(told.excluded)) == ({"just_bought": 8}, 8)
    assert [(one.source, one.gave) for one in told.sources] == [("popular", 70), ("newest", 0)]
    assert len(told.items) == EXPLAINED_ITEMS_MAX
    for item, shown in zip(told.items, placed.items, strict=False):
        assert (item.id, item.score, item.reasons, item.stages) == (shown.id, shown.score, shown.reasons, shown.stages)
        assert item.features is None
        assert list(item.fields or {}) == ["title"]
        assert len(item.fields["title"]) == NAME_CHARS_MAX


def test_what_scores_lower_is_told_its_rank_the_last_items_score_and_what_makes_the_difference(shop) -> None:
    shop.stock(12)
    liked(shop, *(f"sku-{number}" for number in range(12)))
    told = asked(shop, "sku-11", keys=(1 << 40,))
    assert told.outcome == "below"
    assert told.rank is not None
    assert told.rank > told.places == 5
    assert told.compared is not None
    assert told.compared.position == 5
    assert told.score is not None
    assert told.score <= told.compared.score
    assert 0 < len(told.inputs) <= WHY_INPUTS_MAX
    for one in told.inputs:
        assert one.compared_adds is not None
        assert one.adds < one.compared_adds
    gaps = [one.adds - (one.compared_adds or 0.0) for one in told.inputs]
    assert gaps == sorted(gaps), "what costs it most comes first"
    assert f"number {told.rank} of {told.eligible}" in told.why


def test_what_stands_behind_the_head_that_a_model_orders_is_told_so(shop) -> None:
    class OfHead(ByPlace):
        rows_ordered = 6

    shop.stock(12)
    decider, lineup = shop.decider_of((LIST,), exploration=0.0), Lineup()
    lineup.stand("shop", "list", [OfHead()])
    decision = shop.decide({"id": "list"}, decider=decider, rankers=lineup)
    told = [why(shop, decision, f"sku-{number}", decider, lineup)["list"] for number in range(12)]
    below = {one.rank: "not among them" in one.why for one in told if one.outcome == "below"}
    assert below == {rank: rank > OfHead.rows_ordered for rank in range(LIST_PLACES + 1, 13)}


def test_so_many_inputs_are_told_and_no_more(shop) -> None:
    class Even(ByPlace):
        def contributions(self, matrix: Matrix, columns: Any, rows: Any = ..., wanted: Any = ...) -> Reals:
            added = np.repeat(np.arange(float(len(matrix)))[:, None], matrix.shape[1], axis=1)
            return added[rows][:, wanted]

    shop.stock(12)
    liked(shop, "sku-1", "sku-2")
    decider, lineup = shop.decider_of((LIST,), exploration=0.0), Lineup()
    lineup.stand("shop", "list", [Even()])
    decision = shop.decide({"id": "list"}, decider=decider, rankers=lineup)
    (told,) = why(shop, decision, "sku-1", decider, lineup).values()
    assert (told.outcome, len(told.inputs)) == ("below", WHY_INPUTS_MAX)


def test_inputs_of_a_purpose_that_the_person_has_not_agreed_to_are_not_told() -> None:
    columns = [Column("item.recency"), Column("cross.tastes"), Column("cross.viewed")]
    explainer = Explainer(columns, (), (), {"tastes": "ads", "viewed": "personalization"})
    assert explainer.told_columns().tolist() == [0, 1, 2]
    assert explainer.told_columns({"ads"}).tolist() == [0, 2]


def test_what_is_passed_over_for_difference_is_not_said_to_score_too_low(shop) -> None:
    for number in range(30):
        shop.item(f"twin-{number}", title="Same", category="sofas", brand="b", price=100.0)
    for number in range(30):
        shop.item(f"other-{number}", category=f"kind {number}", brand=f"brand {number}", price=5.0 + 40 * number)
    liked(shop, *(f"twin-{number}" for number in range(8)))
    varied = Placement(id="list", limit=6, sources=("popular", "newest"), diversity=0.9)
    outcomes = {f"twin-{number}": asked(shop, f"twin-{number}", varied, keys=()) for number in range(8)}
    moved = [told for told in outcomes.values() if told.outcome == "rearranged"]
    assert moved
    for told in moved:
        assert told.compared is not None
        assert told.score is not None
        assert told.score > told.compared.score
        assert "score lower" in told.why
    shown = [told for told in outcomes.values() if told.outcome == "shown"]
    assert shown


def test_the_item_whose_place_was_drawn_for_another_and_that_other_are_told_so(shop) -> None:
    shop.stock(20)
    liked(shop, *(f"sku-{number}" for number in range(8)))
    decider = shop.decider_of((LIST,), exploration=1.0)
    told: dict[str, PlacementWhy] = {}
    while "explored" not in told:
        decision = shop.decide({"id": "list"}, decider=decider, keys=())
        last = decision.reply.placements["list"].items[-1]
        (of_last,) = why(shop, decision, last.id, decider).values()
        if of_last.moved_by == "exploration":
            told["explored"] = of_last
    assert told["explored"].position == 5
    assert told["explored"].propensity == last.propensity < 1.0
    assert told["explored"].rank is not None
    assert told["explored"].rank > 5
    (slot,) = [one.slot for one in decode_receipt(decision.receipt).placements]
    assert slot is not None
    (of_incumbent,) = why(shop, decision, shop.state.catalogue.name_of("shop", slot.incumbent), decider).values()
    assert (of_incumbent.outcome, of_incumbent.instead) == ("drawn_away", last.id)


def test_every_reason_of_a_filter_has_words() -> None:
    assert set(REASONS_SAID) == {reason for one in FILTERS.values() for reason in one.reasons}


def test_what_is_ruled_out_is_told_by_the_reason_that_replies_give(shop) -> None:
    shop.stock(6)
    shop.item("sold-out", stock=0)
    shop.item("gone")
    shop.state.catalogue.delete(ItemDeleted(1_700_000_000_000, "shop", "gone"))
    shop.happen("Order Completed", "sku-2")
    shop.publish()
    assert {item: asked(shop, item).excluded for item in ("sold-out", "sku-2", "never-heard-of")} == {
        "sold-out": "out_of_stock", "sku-2": "just_bought", "never-heard-of": "not_in_catalogue"}  # fmt: skip
    gone = asked(shop, "gone")
    assert gone.outcome == "excluded"
    assert gone.excluded in ("deleted", "not_in_catalogue")
    page = asked(shop, "sku-1", question={"item": "sku-1"})
    assert (page.outcome, page.excluded) == ("excluded", "page_item")
    assert asked(shop, "never-heard-of").why == "It is ruled out: the catalogue had no such item at that time."


def test_a_variant_names_the_one_that_stands_for_its_group(shop) -> None:
    for size in "sml":
        shop.item(f"shirt-{size}", category="shirts", **{GROUP: "shirt"})
    shop.stock(3)
    liked(shop, "shirt-m")
    told = asked(shop, "shirt-s", keys=())
    assert (told.excluded, told.instead) == ("same_group", "shirt-m")
    assert told.why == "It is ruled out: another variant of its group stands for it (shirt-m)."


def test_what_stands_in_another_list_of_the_decision_is_told_where(shop) -> None:
    shop.stock(20)
    liked(shop, "sku-1")
    decision = shop.decide({"id": "home.hero"}, {"id": HOME})
    (hero,) = decision.reply.placements["home.hero"].items
    told = why(shop, decision, hero.id)
    assert told["home.hero"].outcome == "shown"
    assert (told[HOME].excluded, told[HOME].elsewhere) == ("shown_elsewhere", "home.hero")
    assert told[HOME].why == "It is ruled out: another list of the same decision shows it (home.hero)."


def test_what_no_source_gave_is_told_what_each_gave_and_where_it_stands_there(shop) -> None:
    shop.stock(STANDING_LIST_MAX + 10)
    liked(shop, *(f"sku-{number}" for number in range(5)))
    decider = shop.decider_of((LIST,), exploration=0.0)
    decision = shop.decide({"id": "list"}, keys=(), decider=decider)
    asked_for = [FOUND_MAX + 50, STANDING_LIST_MAX - 1, STANDING_LIST_MAX + 5]
    told = [why(shop, decision, f"sku-{number}", decider)["list"] for number in asked_for]
    assert {one.outcome for one in told} == {"not_candidate"}
    for one in told:
        assert [source.source for source in one.sources] == ["popular", "newest"]
        assert sum(source.gave for source in one.sources) == one.candidates == FOUND_MAX
    assert [[source.rank for source in one.sources] for one in told] == [
        [FOUND_MAX + 51] * 2, [STANDING_LIST_MAX] * 2, [None] * 2]  # fmt: skip
    assert told[0].why == (
        "Nothing that gives candidates gave it: popular gave 100 candidates and has it at number 251; newest gave 100 "
        "candidates and has it at number 251.")  # fmt: skip
    assert STANDING_LIST_MAX < SOURCE_LOOKED_MAX


def test_what_the_callers_list_does_not_name_is_told_so_and_what_it_names_twice_is_told_as_one(shop) -> None:
    shop.stock(5)
    search = Placement(id="search", kind="rerank")
    question = {"candidates": ["sku-1", "sku-2", "sku-1", {"id": "sku-3", "fields": {"stock": 0}}, "foreign"]}
    told = {item: asked(shop, item, search, question=question)
            for item in ("sku-1", "sku-3", "sku-4", "foreign", "unknown")}  # fmt: skip
    assert {item: one.outcome for item, one in told.items()} == {
        "sku-1": "shown", "sku-3": "excluded", "sku-4": "not_candidate", "foreign": "shown",
        "unknown": "not_candidate"}  # fmt: skip
    assert told["sku-4"].why.startswith("The list that came with the question names 4 items, and not this one.")
    assert told["unknown"].excluded == "not_in_catalogue"


def test_what_a_query_does_not_find_and_what_matches_fewer_words_is_told(shop) -> None:
    search = Placement(id="search", kind="rerank", limit=1)
    for item_id, title in (("a", "Red velvet sofa"), ("b", "Blue sofa"), ("c", "Oak table")):
        shop.item(item_id, title=title)
    shop.publish()
    told = {item: asked(shop, item, search, question={"query": "red sofa"}) for item in "abc"}
    assert {item: one.outcome for item, one in told.items()} == {"a": "shown", "b": "below", "c": "not_candidate"}
    assert told["b"].why.endswith("It matches 1 of the query's words, and what is shown 2.")
    assert [one.source for one in told["c"].sources] == ["query"]


def over() -> Deadline:
    readings = iter(range(0, 10**15, 10**9))
    return Deadline(1.0, stopwatch=lambda: next(readings))


@pytest.mark.parametrize("keys", [(), (1,)])
def test_a_list_of_a_lower_rung_is_told_without_inputs(shop, keys: Sequence[int]) -> None:
    shop.stock(30)
    liked(shop, *(f"sku-{number}" for number in range(9)))
    decider = shop.decider_of((LIST,), exploration=0.0)
    decision = shop.decide({"id": "list"}, decider=decider, keys=keys, deadline=over())
    placed = decision.reply.placements["list"]
    assert placed.served_by in ("popular", "default")
    for number in range(30):
        (told,) = why(shop, decision, f"sku-{number}", decider).values()
        assert (told.inputs, told.served_by) == ([], placed.served_by)
        assert (told.outcome == "shown") is (f"sku-{number}" in [item.id for item in placed.items])


def test_a_list_that_nothing_could_be_put_into_is_told(shop) -> None:
    told = asked(shop, "sku-1")
    assert (told.outcome, told.excluded, told.places) == ("excluded", "not_in_catalogue", 0)


def test_an_id_that_cannot_be_told_from_another_items_is_refused(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.stock(3)
    taken = shop.state.catalogue.ref_of("shop", "sku-1")
    monkeypatch.setattr(References, "item", lambda self, tenant, item_id: taken)
    decision = shop.decide({"id": HOME})
    with pytest.raises(ReferenceTaken):
        why(shop, decision, "another")
