"""What every candidate source does, whichever it is: the suite runs over all that are registered."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from instanter.decisions.placement import DEFAULT_PLACEMENTS, Source
from instanter.events.envelope import ItemPatched
from instanter.events.vectors import pack_vector
from instanter.features.assemble import Assembler
from instanter.features.carriers import carriers
from instanter.features.neighbours import Neighbourhood
from instanter.features.next_items import NextItems
from instanter.features.roles import ROLES
from instanter.features.together import GoesWith
from instanter.features.view import Reader
from instanter.foundation.ids import item_reference
from instanter.models.base import Found, SourceContext
from instanter.models.sources import SOURCES
from instanter.models.standing import Standing

from .conftest import START_MS, TENANT

ITEMS = 12
NOBODY, SOMEBODY = 99, 1
EVERY_SOURCE = pytest.mark.parametrize("name", SOURCES)


def context_of(shop, key: int, page: str = "") -> SourceContext:
    """What a source may look at, made anew."""
    reader = Reader(shop.schema, shop.declarations)
    lists = Standing(shop.schema.layout, Assembler(shop.schema, shop.declarations, reader)).of(shop.state, TENANT)
    person = reader.person(shop.state, (key,), START_MS + 1_000)
    recent = [ref for refs, _ in person.lasts.values() for ref in refs.tolist()]
    near = Neighbourhood(shop.schema, carriers(shop.declarations)).of(shop.state, recent)
    page_row = shop.state.find_item(item_reference(TENANT, page)) if page else -1
    next_items, tenant = NextItems(shop.schema, carriers(shop.declarations)), shop.state.catalogue.code_of(TENANT)
    steps = next_items.steps(shop.state, (key,), frozenset())
    ahead = next_items.of(shop.state, (key,), steps, page_row, START_MS + 1_000, tenant)
    items = np.array([page_row], np.int64) if page_row >= 0 else ahead.own
    goes_with = GoesWith(shop.schema, carriers(shop.declarations)).of(shop.state, items)
    return SourceContext(shop.state, lists, reader, person, near, page_row, ahead, True, goes_with)


def found(shop, name: str, key: int = SOMEBODY, limit: int = 5, page: str = "") -> Found:
    answer = SOURCES[name].candidates(context_of(shop, key, page), limit)
    rows, scores = answer.rows.tolist(), answer.scores
    assert len(rows) == len(scores) <= limit
    assert len(set(rows)) == len(rows), "an item is there once"
    assert all(shop.state.catalogue.available[row] == 1 for row in rows), "only what can be shown"
    assert not np.isnan(scores).any()
    assert (scores[:-1] >= scores[1:]).all(), "the best first"
    return answer


@pytest.fixture
def shop(little):
    """Items of three categories that several people have met together."""
    shop = little()
    for number in range(ITEMS):
        vector = pack_vector([1, number % 4, number % 3])
        shop.item(f"item-{number}", category=f"category {number % 3}", created_at=START_MS + number, vector=vector)
    for key in (SOMEBODY, 2, 3):
        for number in range(8):
            shop.happen("Product Viewed", f"item-{(number + key) % ITEMS}", key=key, after_ms=number)
            shop.happen("Product Clicked", f"item-{number % 4}", key=key, after_ms=number)
        shop.happen("Order Completed", "item-2", "item-3", f"item-{key + 8}", key=1_000 + key, after_ms=9)
    shop.publish()
    return shop


def test_a_source_is_registered_by_its_name_and_placements_may_name_it() -> None:
    assert [source.name for source in SOURCES.values()] == list(SOURCES)
    assert get_args(Source) == (*SOURCES, "candidates")
    assert {source.role for source in SOURCES.values()} - {None} <= set(ROLES)
    assert {name for one in DEFAULT_PLACEMENTS for name in one.sources} == {*SOURCES, "candidates"}


@EVERY_SOURCE
def test_it_finds_something_for_somebody_in_a_shop_where_things_happen(shop, name: str) -> None:
    assert len(found(shop, name).rows)


@EVERY_SOURCE
@pytest.mark.parametrize("page", ["", "item-1", "nowhere"])
def test_it_finds_nothing_in_an_empty_shop(little, name: str, page: str) -> None:
    assert len(found(little(), name, page=page).rows) == 0


@EVERY_SOURCE
@pytest.mark.parametrize("page", ["", "item-1", "nowhere"])
def test_it_answers_for_somebody_unknown(shop, name: str, page: str) -> None:
    found(shop, name, NOBODY, page=page)


@EVERY_SOURCE
def test_it_finds_nothing_where_nothing_is_in_stock(shop, name: str) -> None:
    for number in range(ITEMS):
        shop.state.catalogue.patch(ItemPatched(START_MS, TENANT, f"item-{number}", {"stock": 0}))
    assert len(found(shop, name).rows) == 0


@EVERY_SOURCE
def test_it_finds_the_same_in_the_same_state(shop, name: str) -> None:
    one, other = found(shop, name), found(shop, name)
    assert one.rows.tolist() == other.rows.tolist()
    assert one.scores.tobytes() == other.scores.tobytes()


@EVERY_SOURCE
def test_it_gives_no_more_than_is_asked_for_and_the_best_of_it(shop, name: str) -> None:
    everything = found(shop, name, limit=10 * ITEMS).rows.tolist()
    for limit in (0, 1, 3):
        assert found(shop, name, limit=limit).rows.tolist() == everything[:limit]
