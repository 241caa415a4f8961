"""Cold people and cold shops: what is shown at the first, second and third view, and by a catalogue alone."""

from __future__ import annotations

import random

import pytest

from instanter.events.envelope import CANONICAL_FIELDS, ItemUpserted

from .conftest import START_MS, TENANT

PEOPLE = 1 << 40
MINUTE_MS = 60_000
NOW_MS = 60 * MINUTE_MS
DAYS_MS = 20 * 24 * 60 * MINUTE_MS
HOME, SIMILAR, ADDONS = "home.recommended", "product.similar", "cart.addons"
CATEGORIES, BRANDS = 6, 4


def catalogue(shop, count: int = 60) -> None:
    """Items that came one an hour, of 6 categories, 4 brands, and of 10 to 69."""
    for number in range(count):
        shop.item(
            f"item-{number}", category=f"category {number % CATEGORIES}", brand=f"brand {number % BRANDS}",
            price=10.0 + number, created_at=number * MINUTE_MS,
        )
    shop.publish()


def category_of(item: str) -> int:
    return int(item.removeprefix("item-")) % CATEGORIES


def view(shop, key: int, *items: str, at_ms: int = 0) -> None:
    for place, item in enumerate(items):
        shop.happen("Product Viewed", item, key=key * PEOPLE, after_ms=at_ms + place * 1_000)


# A shop with no history.


def test_a_shop_that_nobody_has_visited_shows_different_things_at_home(shop, ids) -> None:
    catalogue(shop)
    shown = ids(shop.ask(HOME, keys=(), after_ms=NOW_MS))
    assert len(shown) == 12
    assert len({category_of(item) for item in shown}) == CATEGORIES


def test_a_shop_that_nobody_has_visited_shows_its_newest_items_at_home(shop, ids) -> None:
    catalogue(shop, 24)
    for number in range(24, 36):
        shop.state.catalogue.upsert(later(number))
    shop.publish()
    shown = ids(shop.ask(HOME, keys=(), after_ms=NOW_MS + DAYS_MS))
    assert sum(int(item.removeprefix("item-")) >= 24 for item in shown) >= 9


def later(number: int) -> ItemUpserted:
    """An item that comes after the others."""
    fields = {"category": f"category {number % CATEGORIES}", "brand": f"brand {number % BRANDS}", "price": 30.0}
    return ItemUpserted(START_MS + DAYS_MS, TENANT, f"item-{number}", fields, CANONICAL_FIELDS)


@pytest.mark.parametrize("number", [7, 30, 52])
def test_beside_an_item_that_nobody_has_seen_stands_its_category(shop, ids, number: int) -> None:
    catalogue(shop)
    shown = ids(shop.ask(SIMILAR, item=f"item-{number}", keys=(), after_ms=NOW_MS))
    assert len(shown) == 8
    own = [item for item in shown if category_of(item) == number % CATEGORIES]
    assert len(own) >= 6
    assert set(shown[:4]) <= set(own)
    brands = [int(item.removeprefix("item-")) % BRANDS == number % BRANDS for item in own]
    assert sum(brands) >= 4, "of the category, 5 of 10 have the brand, the item itself among them"
    apart = [abs(int(item.removeprefix("item-")) - number) for item in own]
    assert sum(apart) / len(apart) < 30


@pytest.mark.parametrize("own", [{"category": "nobody else's"}, {}])
def test_an_item_alone_in_its_category_stands_beside_those_of_its_brand(shop, ids, own: dict[str, str]) -> None:
    for number in range(600):
        shop.item(f"item-{number}", category=f"category {number % 9}", brand=f"brand {number % 9}", price=20.0,
                  created_at=MINUTE_MS)
    for number in range(20):
        shop.item(f"kin-{number}", category=f"category {number}", brand="ikea", price=20.0, created_at=number)
    shop.item("alone", brand="ikea", price=20.0, created_at=0, **own)
    shop.publish()
    shown = ids(shop.ask(SIMILAR, item="alone", keys=(), after_ms=NOW_MS))
    assert sum(item.startswith("kin") for item in shown) >= 6


def test_what_goes_with_an_item_that_nobody_has_seen_is_of_other_categories(shop, ids) -> None:
    catalogue(shop)
    shown = ids(shop.ask(ADDONS, item="item-7", keys=(), after_ms=NOW_MS))
    assert len(shown) == 4
    assert all(category_of(item) != 7 % CATEGORIES for item in shown)


# One visitor's views, and no others.


@pytest.mark.parametrize("views", [1, 2, 3])
def test_the_first_visitor_of_a_shop_is_shown_what_is_like_what_they_viewed(shop, ids, views: int) -> None:
    catalogue(shop)
    viewed = [f"item-{number}" for number in (14, 20, 26)[:views]]
    view(shop, 1, *viewed)
    shop.publish()
    shown = ids(shop.ask(HOME, keys=(PEOPLE,), after_ms=views * 1_000))
    assert len(shown) == 12
    own = [item for item in shown if category_of(item) == 2 and item not in viewed]
    assert len(own) >= 4
    assert len({category_of(item) for item in shown}) > 1, "but not that alone"
    beside = ids(shop.ask(SIMILAR, item=viewed[-1], keys=(PEOPLE,), after_ms=views * 1_000))
    assert sum(category_of(item) == 2 for item in beside) >= 6


# The first views of a person whom nobody knows, in a shop that others visit.


def visited_shop(shop, visits: int = 240) -> random.Random:
    """Visits go through one of six rows of ten items, two of three to the next one; the rest is noise."""
    catalogue(shop)
    chance = random.Random(3)
    for key in range(10, 10 + visits):
        view(shop, key, *visit(chance), at_ms=key * 1_000)
    shop.publish()
    return chance


def visit(chance: random.Random, steps: int = 5) -> list[str]:
    row, place = chance.randrange(6), chance.randrange(10)
    found = []
    for _ in range(steps):
        found.append(f"item-{10 * row + place}")
        place = (place + 1) % 10 if chance.random() < 0.67 else chance.randrange(10)
    return found


@pytest.mark.parametrize("views", [1, 2, 3])
def test_from_the_first_view_on_a_stranger_is_shown_what_others_turned_to(shop, ids, views: int) -> None:
    chance = visited_shop(shop)
    popular = ids(shop.ask(HOME, keys=(), after_ms=NOW_MS))[:6]
    hits = theirs = asked = 0
    for key in range(2_000, 2_060):
        path = visit(chance, views + 1)
        if path[-1] in path[:-1]:
            continue
        view(shop, key, *path[:-1], at_ms=NOW_MS)
        shown = ids(shop.ask(HOME, keys=(key * PEOPLE,), after_ms=NOW_MS + views * 1_000))[:6]
        hits, theirs, asked = hits + (path[-1] in shown), theirs + (path[-1] in popular), asked + 1
    assert hits / asked >= 0.6, (hits, asked)
    assert hits >= 3 * theirs


def test_a_stranger_is_shown_what_everybody_likes(shop, ids) -> None:
    catalogue(shop)
    for key in range(10, 60):
        view(shop, key, *(f"item-{key % 4}", "item-5"), at_ms=key * 1_000)
    shop.publish()
    shown = ids(shop.ask(HOME, keys=(), after_ms=NOW_MS))
    assert set(shown[:5]) == {"item-0", "item-1", "item-2", "item-3", "item-5"}
    assert len(shown) == 12, "and then what nobody has seen"
