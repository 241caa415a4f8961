"""What is bought together, walked over the ring of orders: the compiled walk against a plain one, its bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.features import together
from instanter.features.assemble import Assembler
from instanter.features.carriers import carriers
from instanter.features.together import BASKET_MS, NAMES, GoesWith, Room, Together, walk
from instanter.features.view import Reader
from instanter.foundation.ids import item_reference
from instanter.foundation.limits import (
    TOGETHER_FOUND_MAX,
    TOGETHER_HITS_MAX,
    TOGETHER_ITEMS_MAX,
    TOGETHER_REACH,
)
from instanter.state.steps import first_word
from instanter.state.table import STEPS

from .conftest import TENANT, Little
from .test_sequences import ADA, BOB, EVE, MINUTE, STEP, ZOE, Ring, Step

ORDERED, VIEWED = "Order Completed", "Product Viewed"
DAY = 24 * 60 * MINUTE
PEOPLE = 1 << 40


def room_of(size: int = TOGETHER_FOUND_MAX) -> Room:
    return Room(np.zeros(size), np.zeros(size, np.int64), np.zeros(2 * size, np.int64), np.zeros(1, np.int64))


def walked(ring: Ring, rows: Sequence[int], until: int | None = None) -> dict[int, float]:
    """Score by row."""
    until = len(ring.steps) if until is None else until
    heads = [max((n for n, s in enumerate(ring.steps[:until], 1) if s.row == row), default=0) for row in rows]
    room = room_of()
    walk(ring.memory.ints, first_word(ring.memory, STEPS), until, np.array(heads, np.int64), room)
    return {int(room.rows[found]): float(room.scores[found]) for found in range(room.found[0])}


def plainly(ring: Ring, rows: Sequence[int], until: int) -> dict[int, float]:
    """The same as the docstring says it, without links."""
    kept = [n for n in range(1, len(ring.steps) + 1) if n > len(ring.steps) - ring.kept]
    steps = dict(enumerate(ring.steps, 1))
    scores: dict[int, float] = {}
    parts = [together.AGE_FADES**i for i in range(len(rows))]
    for row, part in zip(rows, parts, strict=True):
        part /= sum(parts)
        hits = [n for n in reversed(kept) if n <= until and steps[n].row == row][: int(TOGETHER_HITS_MAX * part)]
        for hit in hits:
            theirs = [n for n in kept if steps[n].key == steps[hit].key]
            place = theirs.index(hit)
            for side in (theirs[place + 1 :], theirs[:place][::-1]):
                orders, at_ms = 0, steps[hit].at_ms
                for distance, n in enumerate(side[:TOGETHER_REACH], 1):
                    if n > until:
                        break
                    if abs(steps[n].at_ms - at_ms) > BASKET_MS:
                        orders, at_ms = orders + 1, steps[n].at_ms
                    if steps[n].row == row:
                        break
                    score = part / (len(hits) + together.ORDERS_PRIOR) * together.ORDER_FADES**orders
                    score *= distance**-together.LINE_FADES
                    scores[steps[n].row] = scores.get(steps[n].row, 0.0) + score
    return scores


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=60), st.integers(0, 5), st.sampled_from([16, 4_096]), st.data())
def test_the_walk_finds_what_a_plain_one_finds(
    told: list[tuple[int, int, int]], untold: int, kept: int, data: st.DataObject
) -> None:
    at_ms, steps = 0, []
    for key, row, minutes in told:
        at_ms += minutes * MINUTE
        steps.append(Step(key, row, at_ms))
    ring, until = Ring(steps, kept), max(len(steps) - untold, 0)
    rows = data.draw(st.lists(st.integers(0, 6), unique=True, max_size=5))
    found, plain = walked(ring, rows, until), plainly(ring, rows, until)
    assert set(found) == set(plain)
    assert all(math.isclose(found[row], plain[row], rel_tol=1e-9) for row in plain)


def test_the_same_order_says_more_than_the_next_one() -> None:
    steps = [Step(BOB, 1, 0), Step(BOB, 2, BASKET_MS), Step(BOB, 3, 2 * DAY), Step(BOB, 4, 4 * DAY)]
    found = walked(Ring(steps), [1])
    assert found[2] > found[3] > found[4] > 0.0


def test_lines_far_apart_in_one_order_say_less_than_neighbours_and_both_ways_say_the_same() -> None:
    ring = Ring([Step(BOB, row, 0) for row in (1, 2, 3)])
    assert walked(ring, [1])[2] > walked(ring, [1])[3]
    assert walked(ring, [2])[1] == walked(ring, [2])[3]


def test_few_orders_say_less_than_many() -> None:
    few = walked(Ring([Step(BOB, 1, 0), Step(BOB, 2, 0)]), [1])
    many = walked(Ring([Step(key, row, 0) for key in (ADA, BOB, EVE, ZOE) for row in (1, 2)]), [1])
    assert few[2] < many[2] < 1.0


def test_a_walk_looks_at_the_newest_orders_up_to_a_bound() -> None:
    steps = [Step((n + 9) << 40, 1, 0) for n in range(2 * TOGETHER_HITS_MAX)]
    steps = [other for n, step in enumerate(steps) for other in (step, Step(step.key, n + 2, 0))]
    found = walked(Ring(steps), [1])
    assert sorted(found) == list(range(TOGETHER_HITS_MAX + 2, 2 * TOGETHER_HITS_MAX + 2))


def test_a_walk_looks_so_far_into_an_order_on_each_side() -> None:
    found = walked(Ring([Step(BOB, row, 0) for row in range(200)]), [100])
    assert sorted(found) == [row for row in range(100 - TOGETHER_REACH, 101 + TOGETHER_REACH) if row != 100]


def test_a_walk_finds_items_up_to_a_bound() -> None:
    steps = []
    for n in range(400):
        steps += [Step((n + 9) << 40, row, 0) for row in (0, *range(6 * n + 1, 6 * n + 7))]
    assert len(walked(Ring(steps), [0])) == TOGETHER_FOUND_MAX < 6 * 400


def shop_of(little, orders: Sequence[Sequence[str]], items: int = 12) -> Little:
    shop: Little = little()
    for number in range(items):
        shop.item(f"i{number}", category=f"category {number % 3}", price=1.0)
    for key, order in enumerate(orders, 9):
        shop.happen(ORDERED, *order, key=key * PEOPLE)
    shop.publish()
    return shop


def row_of(shop: Little, name: str) -> int:
    return shop.state.find_item(item_reference(TENANT, name))


def found_by(shop: Little, *names: str) -> Together:
    rows = np.array([row_of(shop, name) for name in names], np.int64)
    return GoesWith(shop.schema, carriers(shop.declarations)).of(shop.state, rows)


def names_of(shop: Little, goes_with: Together) -> list[str]:
    return [shop.state.catalogue.id_at(row) for row in goes_with.best()[0].tolist()]


def columns_of(shop: Little, goes_with: Together, *names: str) -> list[dict[str, float]]:
    rows = np.array([row_of(shop, name) for name in names], np.int64)
    matrix = np.full((len(rows), 1 + len(NAMES)), -7.0, np.float32)
    goes_with.fill(rows, shop.state.tables.attributes.refs[rows], 1, matrix)
    assert (matrix[:, 0] == -7.0).all()
    return [dict(zip(NAMES, row[1:].tolist(), strict=True)) for row in matrix]


def test_what_orders_have_beside_all_items_of_a_cart_comes_first_and_none_of_the_cart(little) -> None:
    shop = shop_of(little, [["i0", "i1", "i4"], ["i0", "i4"], ["i1", "i4"], ["i0", "i5"], ["i7", "i8"]])
    assert names_of(shop, found_by(shop, "i0", "i1")) == ["i4", "i5"]
    assert names_of(shop, found_by(shop, "i9")) == names_of(shop, found_by(shop)) == []


def test_the_columns_say_what_orders_have_and_what_is_a_mere_substitute(little) -> None:
    shop = shop_of(little, [["i0", "i3", "i4"], ["i0", "i4"]])
    often, once, alike, other = columns_of(shop, found_by(shop, "i0"), "i4", "i3", "i6", "i7")
    assert often["with.share"] > once["with.share"] > 0.0
    assert often["with.chance"] == pytest.approx(math.log(1.0 + often["with.share"] / together.LEAST), rel=1e-5)
    assert once["with.substitute"] == 0.0, "of the same category, but bought together"
    assert alike == {"with.share": 0.0, "with.chance": 0.0, "with.substitute": 1.0}
    assert other == {"with.share": 0.0, "with.chance": 0.0, "with.substitute": 0.0}


def test_the_columns_are_missing_where_nobody_asked(little) -> None:
    shop = shop_of(little, [["i0", "i1"]])
    assembler = Assembler(shop.schema, shop.declarations, Reader(shop.schema, shop.declarations))
    assert [column.name for column in assembler.columns[-len(NAMES) :]] == list(NAMES)


def test_an_order_since_the_epoch_and_one_of_an_erased_person_are_not_seen(little) -> None:
    shop = shop_of(little, [["i0", "i1"]])
    shop.happen(ORDERED, "i0", "i2", key=PEOPLE)
    assert names_of(shop, found_by(shop, "i0")) == ["i1"]
    shop.state.erase([9 * PEOPLE])
    shop.publish()
    assert names_of(shop, found_by(shop, "i0")) == ["i2"]


def test_it_goes_by_so_many_items_and_leaves_out_older_ones(little) -> None:
    shop = shop_of(little, [["i0", "i11"]])
    rest = [f"i{number}" for number in range(1, TOGETHER_ITEMS_MAX + 1)]
    assert names_of(shop, found_by(shop, *rest[:-1], "i0")) == ["i11"]
    assert names_of(shop, found_by(shop, *rest, "i0")) == []


def test_a_shop_whose_features_keep_no_orders_finds_nothing(little) -> None:
    shop = shop_of(lambda: little(only=True), [])
    assert names_of(shop, found_by(shop, "i0")) == []
