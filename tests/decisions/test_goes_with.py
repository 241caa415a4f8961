"""What goes with what: of the cart and of the page, by orders, and what is shown where there are none."""

from __future__ import annotations

import pytest

from instanter.decisions.placement import Placement, first_fault
from instanter.events.items import GROUP
from instanter.features.assemble import EVIDENCE

ADDONS = "cart.addons"
PEOPLE = 1 << 40
"""Between the keys of people, which are as far apart as pseudonyms are."""
MINUTE_MS = 60_000
NOW_MS = 60 * MINUTE_MS


def in_session(shop, key: int, name: str, *items: str, at_ms: int = 0) -> None:
    for place, item in enumerate(items):
        shop.happen(name, item, key=key * PEOPLE, after_ms=at_ms + place)


def ordered(shop, *orders: tuple[str, ...], first: int = 100) -> None:
    for key, order in enumerate(orders, first):
        shop.happen("Order Completed", *order, key=key * PEOPLE, after_ms=key)


@pytest.fixture
def furnished(shop):
    """Sofas are looked at together and bought with a rug and a lamp."""
    for category, count in (("sofa", 6), ("rug", 4), ("lamp", 4), ("desk", 4)):
        for number in range(count):
            shop.item(f"{category}-{number}", category=category, price=50.0 + number)
    for key in range(10, 30):
        in_session(shop, key, "Product Viewed", "sofa-0", "sofa-1", "sofa-2", "rug-3", at_ms=key * MINUTE_MS)
    in_session(shop, 40, "Product Viewed", *["desk-0"] * 30, at_ms=5)
    return shop


def addons(shop, ids, **options):
    return ids(shop.ask(ADDONS, after_ms=NOW_MS, **options))


def test_what_is_bought_with_the_cart_comes_first_and_no_substitute_does(furnished, ids) -> None:
    ordered(furnished, *[("sofa-0", "rug-0", "lamp-0")] * 4, *[("sofa-0", "rug-0")] * 3, ("sofa-0", "lamp-1"))
    in_session(furnished, 1, "Product Added", "sofa-0", at_ms=NOW_MS - 1)
    furnished.publish()
    shown = addons(furnished, ids, keys=(PEOPLE,))
    assert shown[:3] == ["rug-0", "lamp-0", "lamp-1"]
    assert not any(item.startswith("sofa") for item in shown)
    answer = furnished.ask(ADDONS, keys=(PEOPLE,), after_ms=NOW_MS)
    assert answer["items"][0]["reasons"][0] == "often bought together"


def test_the_page_says_it_too_and_similar_items_stay_those_of_the_category(furnished, ids) -> None:
    ordered(furnished, *[("sofa-0", "rug-0")] * 4)
    furnished.publish()
    assert addons(furnished, ids, item="sofa-0", keys=())[0] == "rug-0"
    similar = ids(furnished.ask("product.similar", item="sofa-0", keys=(), after_ms=NOW_MS))
    assert similar[0].startswith("sofa")


def test_of_one_category_is_shown_what_is_bought_together(furnished, ids) -> None:
    ordered(furnished, *[("sofa-0", "sofa-3")] * 4)
    furnished.publish()
    assert addons(furnished, ids, item="sofa-0", keys=())[0] == "sofa-3"


def test_without_orders_it_is_what_is_viewed_together_of_other_categories_and_then_popular(furnished, ids) -> None:
    furnished.publish()
    shown = addons(furnished, ids, item="sofa-0", keys=())
    assert shown[:2] == ["rug-3", "desk-0"]
    assert not any(item.startswith("sofa") for item in shown)


def test_a_cart_that_was_ordered_is_no_cart_any_more(furnished, ids) -> None:
    ordered(furnished, *[("sofa-0", "rug-0")] * 4, *[("desk-1", "lamp-2")] * 4)
    in_session(furnished, 1, "Product Added", "sofa-0", at_ms=NOW_MS - 100)
    in_session(furnished, 1, "Order Completed", "sofa-0", at_ms=NOW_MS - 50)
    in_session(furnished, 1, "Product Added", "desk-1", at_ms=NOW_MS - 10)
    furnished.publish()
    assert addons(furnished, ids, keys=(PEOPLE,))[0] == "lamp-2"


def test_an_empty_cart_goes_by_what_was_looked_at_last(furnished, ids) -> None:
    ordered(furnished, *[("desk-1", "lamp-2")] * 4)
    in_session(furnished, 1, "Product Viewed", "desk-1", at_ms=NOW_MS - 10)
    furnished.publish()
    assert addons(furnished, ids, keys=(PEOPLE,))[0] == "lamp-2"


def test_nothing_of_the_cart_is_offered_and_no_variant_of_it(furnished) -> None:
    furnished.item("sofa-blue", category="sofa", price=50.0, **{GROUP: "klippan"})
    furnished.item("sofa-red", category="sofa", price=50.0, **{GROUP: "klippan"})
    ordered(furnished, *[("sofa-0", "sofa-red", "rug-0")] * 4)
    in_session(furnished, 1, "Product Added", "sofa-blue", "sofa-0", at_ms=NOW_MS - 10)
    furnished.publish()
    answer = furnished.ask(ADDONS, keys=(PEOPLE,), after_ms=NOW_MS, explain=True)
    left_out = {one["id"]: one["reason"] for one in answer["excluded"]}
    assert left_out["sofa-red"] == "in_cart"
    assert answer["items"][0]["id"] == "rug-0"
    shown_at_home = furnished.ask("home.recommended", keys=(PEOPLE,), after_ms=NOW_MS, explain=True)
    assert "in_cart" not in {one["reason"] for one in shown_at_home["excluded"]}


def test_it_is_walked_only_where_a_placement_names_the_source(furnished) -> None:
    furnished.publish()
    inputs = furnished.ask("home.recommended", item="sofa-0", keys=(), explain=True)["items"][0]["features"]
    assert not any(name.startswith("with.") for name in inputs)
    inputs = furnished.ask(ADDONS, item="sofa-0", keys=(), explain=True)["items"][0]["features"]
    assert "with.share" in inputs


def test_a_callers_own_list_is_ordered_by_what_goes_with_the_cart_and_loses_nothing(furnished, ids) -> None:
    ordered(furnished, *[("sofa-0", "rug-0")] * 4)
    in_session(furnished, 1, "Product Added", "sofa-0", at_ms=NOW_MS - 10)
    furnished.publish()
    decider = furnished.decider_of(
        [Placement(id="own", kind="rerank", sources=("candidates",), goal="goes_with")], exploration=0.0
    )
    listed = ["sofa-0", "sofa-1", "desk-2", "rug-0"]
    shown = ids(furnished.ask("own", keys=(PEOPLE,), candidates=listed, after_ms=NOW_MS, decider=decider))
    assert shown[0] == "rug-0"
    assert set(shown) == set(listed)


def test_by_former_rules_there_is_no_such_source(furnished, ids) -> None:
    ordered(furnished, *[("sofa-0", "rug-0")] * 4)
    furnished.publish()
    former = furnished.decider_of([Placement(id=ADDONS, sources=("bought_with", "popular"))], rules=EVIDENCE)
    assert ids(furnished.ask(ADDONS, item="sofa-0", decider=former))
    assert not any(column.name.startswith("with.") for column in former.assembler.columns)


def test_a_placement_about_what_goes_with_what_needs_the_source() -> None:
    fault = first_fault(Placement(id="a", goal="goes_with", sources=("popular",)))
    assert fault is not None
    assert fault.field == "sources"
    assert first_fault(Placement(id="a", goal="goes_with", sources=("bought_with", "popular"))) is None
    assert first_fault(Placement(id="a", goal="goes_with", kind="rerank", sources=("candidates",))) is None
