from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from instanter.decisions.decide import Decision
from instanter.decisions.placement import Placement
from instanter.decisions.receipt import decode_receipt
from instanter.decisions.request import decode_rank
from instanter.events.envelope import ItemDeleted, ItemPatched
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.features.view import Reader
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import Broken, ConfigRejected, RequestRejected
from instanter.foundation.ids import item_reference

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def over() -> Deadline:
    """A deadline that was over before it began."""
    readings = iter(range(0, 10**15, 10**9))
    return Deadline(1.0, stopwatch=lambda: next(readings))


def reason_by_id(answer) -> dict[str, str]:
    return {one["id"]: one["reason"] for one in answer["excluded"]}


# Names.


def _answers(make: type, features) -> list[Decision]:
    """What a shop over these features answers in the course of some visits."""
    shop, found = make(features), []
    shop.stock()
    for number, name in enumerate(("Product Viewed", "Product List Viewed", "Product Clicked", "Product Added") * 4):
        for key in (1, 2, 3):
            shop.happen(name, f"sku-{number * key % 23}", f"sku-{(number + key) % 7}", key=key, after_ms=number * 1_000)
    shop.happen("Order Completed", "sku-3", "sku-8", after_ms=20_000)
    shop.happen("Order Completed", "sku-2", key=2, after_ms=21_000)
    shop.publish()
    for keys in ((1,), (2,), (3,), (99,)):
        asked = ({"id": "home.recommended"}, {"id": "product.similar", "item": "sku-1"}, {"id": "cart.addons"})
        found.append(shop.decide(
            *asked, keys=keys, after_ms=30_000, explain=True, decision_id=f"d_{keys[0]}"
        ))  # fmt: skip
    return found


@pytest.mark.parametrize("named", [frozenset({"bought_items"}), frozenset(one.name for one in DEFAULT_FEATURES)])
def test_what_features_are_called_changes_no_decision(make_shop: type, named: frozenset[str]) -> None:
    renamed = [
        msgspec.structs.replace(one, name=f"my_{one.name}") if one.name in named else one for one in DEFAULT_FEATURES
    ]
    for one, other in zip(_answers(make_shop, DEFAULT_FEATURES), _answers(make_shop, renamed), strict=True):
        expected, told = one.reply.placements, other.reply.placements
        for name, placement in expected.items():
            assert [(item.id, item.score, item.reasons) for item in told[name].items] == [
                (item.id, item.score, item.reasons) for item in placement.items]
            assert told[name].excluded == placement.excluded
    first = _answers(make_shop, renamed)[0].reply.placements["home.recommended"]
    assert {one.id for one in first.excluded if one.reason == "just_bought"} == {"sku-3", "sku-8"}


# The answer.


def test_the_reply_has_the_shape_of_the_contract(shop) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-1")
    shop.publish()
    reply = msgspec.json.decode(shop.decide({"id": "home.hero"}, {"id": "home.recommended"}).encode())
    assert list(reply) == ["decisionId", "position", "epoch", "tookMs", "degraded", "placements"]
    assert (reply["position"], reply["epoch"], reply["degraded"]) == ("77", 1, [])
    placement = reply["placements"]["home.recommended"]
    assert list(placement) == ["items", "excluded", "servedBy", "experiments", "model", "scoreKind"]
    assert placement["servedBy"] == "personal"
    assert placement["model"].startswith("linear@")
    assert [item["position"] for item in placement["items"]] == list(range(1, 13))
    first = placement["items"][0]
    assert list(first) == ["id", "position", "score", "propensity", "reasons", "fields"]
    assert first["fields"]["title"].startswith("Item ")
    assert all(0.0 <= item["score"] <= 1.0 for item in placement["items"])


def test_a_view_changes_the_very_next_decision_and_says_why(shop, ids) -> None:
    shop.stock()
    before = ids(shop.ask("home.recommended"))
    shop.happen("Product Viewed", "sku-3")
    after = shop.ask("home.recommended")
    assert ids(after) != before
    alike = [item for item in after["items"] if item["fields"]["category"] == "category 3"]
    assert len(alike) > sum(int(item_id[4:]) % 5 == 3 for item_id in before)
    own, other = alike[:2]
    assert (own["id"], own["reasons"][0]) == ("sku-3", "back to what you viewed")
    assert "similar to what you viewed" in other["reasons"]
    told = {reason for item in after["items"] for reason in item["reasons"]}
    assert "what others turned to next" not in told, "there are no others"


def test_what_others_turned_to_next_leads_and_says_so(shop) -> None:
    shop.stock()
    for key in (2 << 40, 3 << 40):
        shop.happen("Product Viewed", "sku-3", key=key)
        shop.happen("Product Viewed", "sku-19", key=key, after_ms=1)
    shop.happen("Product Viewed", "sku-3", key=1 << 40, after_ms=2)
    shop.publish()
    for placement, item in (("home.recommended", ""), ("product.similar", "sku-3")):
        shown = shop.ask(placement, keys=(1 << 40,), after_ms=3, item=item)["items"]
        others = [one for one in shown if one["id"] != "sku-3"]
        assert others[0]["id"] == "sku-19"
        assert others[0]["reasons"][0] == "what others turned to next"


def test_the_same_question_in_the_same_state_has_the_same_answer(shop) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-3")
    first, second = (shop.decide({"id": "home.recommended"}, decision_id="d_x") for _ in range(2))
    assert first.receipt == second.receipt
    assert first.reply.placements == second.reply.placements


def test_a_rank_reply_is_flattened(shop) -> None:
    shop.stock()
    request = decode_rank(b'{"placement": "search", "candidates": ["sku-1", "sku-2"]}').as_decide()
    decision: Decision = shop.decider.decide(
        request, state=shop.state, keys=(), tenant="shop", now_ms=START_MS, position=1, decision_id="d_1",
        deadline=Deadline(1_000), meter=shop.meter,
    )  # fmt: skip
    reply = msgspec.json.decode(decision.encode_rank())
    assert {"items", "excluded", "servedBy", "decisionId", "position", "epoch", "tookMs", "degraded"} <= set(reply)
    assert "placements" not in reply


def test_explain_adds_inputs_scores_and_rules(shop) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-3")
    shop.happen("Order Completed", "sku-4", after_ms=1)
    answer = shop.ask("home.recommended", explain=True, after_ms=1)
    item = answer["items"][0]
    assert item["features"]["cross.session_categories"] >= 0.0
    assert set(item["stages"]) == {"score", "arrange"}
    assert "filter just_bought: 1" in answer["rules"]
    assert {"id": "sku-4", "reason": "just_bought"} in answer["excluded"]
    plain = shop.ask("home.recommended", explain=True, deadline=over())["items"][0]
    assert "features" not in plain
    assert set(plain["stages"]) == {"score"}


def test_every_stage_is_measured(shop) -> None:
    shop.stock()
    shop.ask("home.recommended")
    assert set(shop.meter.stages) == {
        "context", "candidates", "eligibility", "features", "score", "policy", "arrange", "receipt",
        "reply",
    }


# Rungs.


def test_unknown_people_get_what_is_popular(shop, ids) -> None:
    shop.stock()
    shop.happen("Product Clicked", "sku-7", key=9)
    shop.publish()
    answer = shop.ask("home.recommended", keys=())
    assert answer["servedBy"] == "popular"
    assert ids(answer)[0] == "sku-7"
    assert "popular right now" in answer["items"][0]["reasons"]


def test_where_nobody_has_done_anything_the_default_answers(shop) -> None:
    shop.stock()
    answer = shop.ask("home.recommended", keys=(404,))
    assert answer["servedBy"] == "default"
    assert len(answer["items"]) == 12


def test_the_page_alone_is_enough_for_the_session_rung(shop, ids) -> None:
    shop.stock()
    answer = shop.ask("product.similar", item="sku-3", keys=())
    assert answer["servedBy"] == "session"
    assert "sku-3" not in ids(answer)
    assert any(item["fields"]["category"] == "category 3" for item in answer["items"])


def test_an_overdue_decision_is_still_an_answer_and_says_what_was_cut(shop, ids) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-3")
    shop.happen("Product Clicked", "sku-8")
    shop.happen("Order Completed", "sku-9")
    shop.publish()
    answer = shop.ask("home.recommended", deadline=over())
    assert answer["servedBy"] == "popular"
    assert answer["degraded"] == ["candidates", "policy"]
    assert ids(answer)[0] == "sku-8"
    assert "sku-9" not in ids(answer), "hard filters hold on every rung"
    assert shop.meter.counts["degraded.candidates"] == 1


class Misbehaving:
    """A ranker that gives what it is told to."""

    name = "misbehaving"
    missing = ()
    version = "1"

    def __init__(self, scores: object) -> None:
        self._scores = scores

    def score(self, matrix, columns):
        if isinstance(self._scores, Exception):
            raise self._scores
        return self._scores if self._scores is None else np.full(len(matrix), self._scores)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, 1 + 2j, ZeroDivisionError("x"), Broken("x"), KeyError("x")])
def test_a_ranker_that_gives_no_scores_leads_down_the_ladder(shop, bad: object) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-3")
    decider = shop.decider_of([Placement(id="home", limit=5)])
    spot = decider._spots["home"]
    decider._spots["home"] = msgspec.structs.replace(spot, ranker=Misbehaving(bad))
    answer = shop.ask("home", decider=decider)
    assert answer["servedBy"] == "popular"
    assert answer["degraded"] == ["score"]
    assert len(answer["items"]) == 5
    assert b"null" not in shop.decide({"id": "home"}, decider=decider).encode()


class BrokenForProfiles:
    """A ranker that fails on whoever has a profile, and ranks by order otherwise."""

    name = "picky"
    missing = ()
    version = "1"

    def score(self, matrix, columns):
        place = [column.name for column in columns].index("cross.category_affinity")
        if (matrix[:, place] > 0).any():
            raise ArithmeticError("profile")
        return np.arange(float(len(matrix)))

    def contributions(self, matrix, columns, rows, wanted):
        return np.zeros(matrix[rows][:, wanted].shape)


def test_where_the_profile_fails_the_session_alone_answers(shop) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-3")
    decider = shop.decider_of([Placement(id="home", limit=5)])
    decider._spots["home"] = msgspec.structs.replace(decider._spots["home"], ranker=BrokenForProfiles())
    answer = shop.ask("home", decider=decider)
    assert answer["servedBy"] == "session"
    assert answer["degraded"] == ["score"]


class Forgetful(Reader):
    """Cannot read anybody."""

    def person(self, state, keys, now_ms, denied=frozenset()):
        if keys:
            raise Broken("the record is damaged")
        return super().person(state, keys, now_ms, denied)


def test_a_person_who_cannot_be_read_is_answered_as_nobody(shop) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-3")
    shop.publish()
    decider = shop.decider_of([Placement(id="home", limit=5)])
    decider.reader = Forgetful(shop.schema, DEFAULT_FEATURES)
    answer = shop.ask("home", decider=decider)
    assert (answer["servedBy"], answer["degraded"], len(answer["items"])) == ("popular", ["context"], 5)


# Empty.


def test_an_empty_catalogue_is_an_empty_list_with_the_reason(shop) -> None:
    answer = shop.ask("home.recommended")
    assert (answer["items"], answer["reason"]) == ([], "empty_catalogue")


def test_where_all_is_sold_out_the_list_is_empty_with_the_reason(shop) -> None:
    shop.stock(stock=0)
    answer = shop.ask("home.recommended")
    assert (answer["items"], answer["reason"]) == ([], "nothing_eligible")


def test_an_eligible_item_is_found_however_deep_it_lies(shop, ids) -> None:
    shop.stock(450, created_at=START_MS)
    shop.item("old", created_at=1_000)
    hero = Placement(id="a", limit=200, diversity=0.0)
    many = [Placement(id=f"p{number}", limit=200, diversity=0.0) for number in range(2)]
    decider = shop.decider_of([hero, *many], exploration=0.0)
    reply = shop.decide({"id": "a"}, {"id": "p0"}, {"id": "p1"}, decider=decider).reply
    shown = [item.id for placement in reply.placements.values() for item in placement.items]
    assert len(shown) == len(set(shown)) == 451
    assert reply.placements["p1"].items[-1].id == "old"
    assert reply.placements["p1"].served_by == "default"


def test_a_rerank_without_candidates_is_empty_with_the_reason(shop) -> None:
    shop.stock()
    assert shop.ask("search")["reason"] == "no_candidates"
    assert shop.ask("search", candidates=[])["reason"] == "no_candidates"


# The caller's list.


def test_every_id_of_the_callers_list_comes_back_once(shop, ids) -> None:
    shop.stock(10)
    shop.state.catalogue.patch(ItemPatched(START_MS, "shop", "sku-1", {"stock": 0}))
    shop.state.catalogue.delete(ItemDeleted(START_MS, "shop", "sku-2"))
    asked = ["sku-0", "sku-1", "sku-2", "unknown", "sku-0", "sku-3"]
    answer = shop.ask("search", candidates=asked)
    assert sorted(ids(answer)) == ["sku-0", "sku-3", "unknown"]
    assert reason_by_id(answer) == {"sku-1": "out_of_stock", "sku-2": "deleted", "sku-0": "duplicate"}
    assert all("fields" not in item for item in answer["items"])


def test_what_is_over_the_limit_is_excluded_as_that(shop, ids) -> None:
    shop.stock(10)
    answer = shop.ask("search", candidates=[f"sku-{number}" for number in range(5)], limit=2)
    assert len(answer["items"]) == 2
    assert set(reason_by_id(answer).values()) == {"over_limit"}
    assert len(answer["excluded"]) == 3


def test_ties_go_by_the_callers_order(shop, ids) -> None:
    orderless = Placement(id="search", kind="rerank", sources=("candidates",), weights={"position": 0.0})
    decider = shop.decider_of([orderless])
    asked = ["z", "a", "m", "b"]
    assert ids(shop.ask("search", candidates=asked, decider=decider)) == asked


def test_fields_beside_a_candidate_count_for_this_request_only(shop, ids) -> None:
    shop.stock(10)
    shop.happen("Product Viewed", "sku-0")
    price_only = Placement(
        id="search", kind="rerank", sources=("candidates",), weights={"position": 0.0, "cross.price_fit": 50.0}
    )
    decider = shop.decider_of([price_only])
    asked = ["sku-7", {"id": "sku-9", "fields": {"price": 10.0, "brand": ["x", "y"], "title": "none of it is kept"}}]
    assert ids(shop.ask("search", candidates=asked, decider=decider)) == ["sku-9", "sku-7"]
    assert ids(shop.ask("search", candidates=["sku-7", "sku-9"], decider=decider)) == ["sku-7", "sku-9"]
    gone = [{"id": "sku-7", "fields": {"stock": 0}}, {"id": "new", "fields": {"stock": 0}}, "sku-9"]
    assert reason_by_id(shop.ask("search", candidates=gone)) == {"sku-7": "out_of_stock", "new": "out_of_stock"}


def test_stock_beside_a_candidate_brings_a_sold_out_item_back_for_this_request(shop, ids) -> None:
    shop.item("bed", stock=0)
    assert ids(shop.ask("search", candidates=[{"id": "bed", "fields": {"stock": 3}}])) == ["bed"]
    assert ids(shop.ask("search", candidates=["bed"])) == []
    shop.state.catalogue.delete(ItemDeleted(START_MS, "shop", "bed"))
    gone = shop.ask("search", candidates=[{"id": "bed", "fields": {"stock": 3}}])
    assert reason_by_id(gone) == {"bed": "deleted"}


def test_a_search_may_show_what_was_just_bought(shop, ids) -> None:
    shop.stock(10)
    shop.happen("Order Completed", "sku-3")
    assert "sku-3" in ids(shop.ask("search", candidates=["sku-3", "sku-4"]))
    assert reason_by_id(shop.ask("home.recommended", candidates=["sku-3", "sku-4"])) == {"sku-3": "just_bought"}


def test_a_placement_may_join_the_callers_list_with_what_is_found(shop, ids) -> None:
    shop.stock(10)
    decider = shop.decider_of([Placement(id="mixed", limit=8, sources=("candidates", "popular"))], exploration=0.0)
    answer = shop.ask("mixed", candidates=["sku-1", "guest"], decider=decider)
    assert {"sku-1", "guest"} <= set(ids(answer)) | set(reason_by_id(answer))
    assert len(answer["items"]) == 8
    overdue = shop.ask("mixed", candidates=["sku-1", "guest"], decider=decider, deadline=over())
    assert overdue["servedBy"] == "popular"
    assert len(overdue["items"]) == 8


# Hard filters.


def test_what_was_bought_comes_back_after_a_month(shop, ids) -> None:
    shop.stock(5)
    shop.happen("Order Completed", "sku-3")
    assert "sku-3" not in ids(shop.ask("home.recommended", after_ms=30 * DAY_MS - 1))
    assert "sku-3" in ids(shop.ask("home.recommended", after_ms=30 * DAY_MS))


def test_stock_counts_from_the_next_decision_on(shop, ids) -> None:
    shop.stock(5)
    shop.ask("home.recommended")
    shop.state.catalogue.patch(ItemPatched(START_MS, "shop", "sku-2", {"stock": 0}))
    assert "sku-2" not in ids(shop.ask("home.recommended"))
    shop.state.catalogue.patch(ItemPatched(START_MS, "shop", "sku-2", {"stock": 1}))
    assert "sku-2" in ids(shop.ask("home.recommended"))


def test_no_item_is_shown_twice_in_one_call_unless_the_placement_allows_it(shop) -> None:
    shop.stock(40)
    decider = shop.decider_of(
        [Placement(id="a", limit=10), Placement(id="b", limit=10), Placement(id="again", limit=10, repeats=True)],
        exploration=1.0,
    )
    reply = shop.decide({"id": "a"}, {"id": "b"}, {"id": "again"}, decider=decider).reply
    shown = {name: {item.id for item in placement.items} for name, placement in reply.placements.items()}
    assert not shown["a"] & shown["b"]
    assert shown["a"] & shown["again"]
    listed = shop.decide({"id": "a"}, {"id": "b", "candidates": ["sku-1", "sku-2"]}, decider=decider).reply
    shown_above = {item.id for item in listed.placements["a"].items}
    assert {one.id for one in listed.placements["b"].excluded if one.reason == "shown_elsewhere"} == (
        shown_above & {"sku-1", "sku-2"}
    )


# What is refused.


def test_an_unknown_placement_is_refused_with_a_suggestion(shop) -> None:
    with pytest.raises(RequestRejected, match=r'did you mean "home\.hero"') as caught:
        shop.decide({"id": "home.hreo"})
    assert (caught.value.code, caught.value.status) == ("unknown_placement", 400)
    with pytest.raises(RequestRejected, match="there are home"):
        shop.decide({"id": "???"})


def test_a_placement_asked_for_twice_is_refused(shop) -> None:
    with pytest.raises(RequestRejected) as caught:
        shop.decide({"id": "home.hero"}, {"id": "home.hero"})
    assert caught.value.code == "duplicate_placement"


def test_weights_are_checked_when_the_decider_is_made(shop) -> None:
    with pytest.raises(ConfigRejected, match="finite"):
        shop.decider_of([Placement(id="a")], weights={"position": math.nan})
    with pytest.raises(ConfigRejected, match="did you mean"):
        shop.decider_of([Placement(id="a", weights={"item.clik_lift": 1.0})])


# Receipts.


def test_the_receipt_says_what_the_decision_stood_on(shop) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-3")
    shop.publish()
    decider = shop.decider_of([Placement(id="home", limit=4)], exploration=1.0, config_hash="abc")
    decision = shop.decide({"id": "home", "query": "red sofa", "item": "sku-3"}, decider=decider, userId="secret")
    receipt = decode_receipt(decision.receipt)
    assert (receipt.decision_id, receipt.position, receipt.epoch, receipt.tenant) == (decision.id, 77, 1, "shop")
    assert (receipt.keys, receipt.config_hash, receipt.at_ms) == ((1,), "abc", START_MS)
    (placement,) = receipt.placements
    shown = decision.reply.placements["home"].items
    assert placement.shown() == [item_reference("shop", item.id) for item in shown]
    assert placement.slot is not None
    assert placement.slot.propensity == shown[-1].propensity == 1.0 / placement.slot.allowed
    readable = receipt.readable(shop.state.catalogue)
    assert [item.id for item in readable.placements["home"].items] == [item.id for item in shown]
    assert b"secret" not in decision.receipt
    assert b"sofa" not in decision.receipt


def test_receipts_keep_within_their_bounds(shop) -> None:
    shop.stock(1_200)
    shop.happen("Product Viewed", "sku-3")
    usual = shop.decide(*({"id": name} for name in ("home.hero", "home.recommended", "product.similar", "cart.addons")))
    assert len(usual.receipt) <= 2_048
    for count in (192, 193, 1_000):
        listed = shop.decide({"id": "search", "candidates": [f"sku-{number}" for number in range(count)]})
        assert len(listed.receipt) <= 4_096
        caller = decode_receipt(listed.receipt).placements[0].caller
        assert len(caller) == (8 * count if count <= 192 else 0)


def test_the_input_hash_follows_the_person_the_request_and_the_epoch(shop) -> None:
    shop.stock()
    shop.happen("Product Viewed", "sku-3")

    def hashed(**options) -> bytes:
        asked = {"id": "search", "candidates": options.pop("candidates", ["sku-1"])}
        return decode_receipt(shop.decide(asked, **options).receipt).inputs_hash

    first = hashed()
    assert first == hashed()
    assert first != hashed(keys=())
    assert first != hashed(candidates=[{"id": "sku-1", "fields": {"price": 3}}])
    shop.publish()
    assert first != hashed()
