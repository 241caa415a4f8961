"""A placement that shows what is new to the person: what they looked at is left out, and a list remains."""

from __future__ import annotations

import msgspec
import pytest

from instanter.decisions.fallback import Stages
from instanter.decisions.placement import Placement
from instanter.events.items import GROUP
from instanter.features.assemble import EVIDENCE
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.limits import SEEN_STEPS_MAX
from instanter.ops.config import parse

from .conftest import START_MS, TENANT

DISCOVER = Placement(id="discover", limit=10, seen_before="leave_out")
ADA = 7 << 40
NOW_MS = 3_600_000


def decider_of(shop, placement: Placement = DISCOVER, **options):
    return shop.decider_of([placement], exploration=0.0, **options)


def asked(shop, placement: Placement = DISCOVER, *, decider=None, keys=(ADA,), after_ms=NOW_MS, **options):
    decider = decider or decider_of(shop, placement)
    return shop.ask(placement.id, decider=decider, keys=keys, after_ms=after_ms, **options)


def viewed(shop, *items: str, name: str = "Product Viewed", key: int = ADA) -> None:
    for place, item in enumerate(items):
        shop.happen(name, item, key=key, after_ms=place)


def left_out(answer) -> dict[str, str]:
    return {one["id"]: one["reason"] for one in answer["excluded"]}


@pytest.fixture
def stocked(shop):
    shop.stock(30)
    for key in range(20, 26):
        for place, item in enumerate(("sku-1", "sku-2", "sku-3")):
            shop.happen("Product Viewed", item, key=key << 40, after_ms=place)
    shop.publish()
    return shop


def test_what_was_seen_is_left_out_with_its_reason_and_counted(stocked, ids) -> None:
    viewed(stocked, "sku-1", "sku-2")
    viewed(stocked, "sku-4", name="Product Added")
    before = stocked.meter.counts["seen_before_left_out"]
    answer = asked(stocked, explain=True)
    assert not {"sku-1", "sku-2", "sku-4"} & set(ids(answer))
    reasons = left_out(answer)
    assert [reasons[item] for item in ("sku-1", "sku-2", "sku-4")] == ["seen_before"] * 3
    assert "filter seen_before: 3" in answer["rules"]
    assert stocked.meter.counts["seen_before_left_out"] - before == 3
    assert len(ids(answer)) == 10


def test_by_default_it_is_shown_again(stocked, ids) -> None:
    viewed(stocked, "sku-1", "sku-2")
    assert {"sku-1", "sku-2"} & set(ids(asked(stocked, Placement(id="home", limit=10))))


def test_other_variants_of_it_are_left_out_too(stocked, ids) -> None:
    for colour in ("red", "blue"):
        stocked.item(f"sofa-{colour}", category="category 1", **{GROUP: "klippan"})
    viewed(stocked, "sofa-red")
    answer = asked(stocked, explain=True)
    assert not {"sofa-red", "sofa-blue"} & set(ids(answer))
    assert left_out(answer)["sofa-blue"] == "seen_before"


def test_the_acts_of_others_leave_nothing_out(stocked) -> None:
    viewed(stocked, "sku-1", "sku-2")
    assert "seen_before" not in left_out(asked(stocked, keys=(9 << 40,), explain=True)).values()
    assert "seen_before" not in left_out(asked(stocked, keys=(), explain=True)).values()


def test_of_somebody_whose_acts_may_not_be_used_nothing_is_left_out(stocked) -> None:
    viewed(stocked, "sku-1", "sku-2")
    decider = decider_of(stocked)
    moments = [
        decider.look(
            stocked.state, (ADA,), TENANT, START_MS + NOW_MS, Stages(Deadline(600_000), stocked.meter), denied
        ) for denied in (frozenset(), frozenset({"personalization"}))
    ]  # fmt: skip
    assert [len(decider._seen_by(moment)) for moment in moments] == [2, 0]


def test_who_has_seen_all_that_was_found_gets_the_rest_of_the_catalogue(shop, ids) -> None:
    shop.stock(12)
    viewed(shop, *(f"sku-{number}" for number in range(11)))
    shop.publish()
    placement = msgspec.structs.replace(DISCOVER, sources=("next_items", "co_viewed"))
    assert ids(asked(shop, placement)) == ["sku-11"]


def test_who_has_seen_everything_gets_an_empty_list_that_says_why(shop) -> None:
    shop.stock(6)
    viewed(shop, *(f"sku-{number}" for number in range(6)))
    shop.publish()
    answer = asked(shop, explain=True)
    assert (answer["items"], answer["reason"]) == ([], "nothing_eligible")
    assert set(left_out(answer).values()) == {"seen_before"}


def test_a_callers_list_comes_back_whole_with_the_reason(stocked, ids) -> None:
    viewed(stocked, "sku-1")
    own = Placement(id="own", kind="rerank", sources=("candidates",), seen_before="leave_out")
    answer = asked(stocked, own, candidates=["sku-1", "sku-5", "sku-6"])
    assert sorted(ids(answer)) == ["sku-5", "sku-6"]
    assert answer["excluded"] == [{"id": "sku-1", "reason": "seen_before"}]


def test_acts_beyond_those_that_are_read_are_seen_no_more(shop, ids) -> None:
    count = SEEN_STEPS_MAX + 40
    shop.stock(count + 5)
    viewed(shop, *(f"sku-{number}" for number in range(count)))
    shop.publish()
    seen = {item for item, reason in left_out(asked(shop, candidates=[f"sku-{n}" for n in range(count)],
            placement=Placement(id="own", kind="rerank", sources=("candidates",), seen_before="leave_out"))).items()
            if reason == "seen_before"}  # fmt: skip
    assert len(seen) == SEEN_STEPS_MAX
    assert seen == {f"sku-{number}" for number in range(40, count)}


def test_rules_without_steps_go_by_the_lists_of_items(stocked) -> None:
    viewed(stocked, "sku-1", "sku-2")
    answer = asked(stocked, decider=decider_of(stocked, rules=EVIDENCE), after_ms=10, explain=True)
    assert [left_out(answer)[item] for item in ("sku-1", "sku-2")] == ["seen_before"] * 2


def test_it_says_one_of_two_words() -> None:
    with pytest.raises(ConfigRejected, match="seen_before"):
        parse('[[placements]]\nid = "a"\nseen_before = "hide"\n')
