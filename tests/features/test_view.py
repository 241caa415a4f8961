from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, Tracked
from instanter.features.compile import compile_features
from instanter.features.declaration import FeatureDeclaration
from instanter.features.view import Reader
from instanter.foundation.ids import item_reference, reference
from instanter.foundation.limits import LINKED_CELLS_MAX, READING_PLANS_MAX
from instanter.state.memory import State

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000
VIEW = ("Product Viewed",)

EVERY_KIND = (
    FeatureDeclaration(name="views", on=VIEW, aggregate="count"),
    FeatureDeclaration(name="spent", on=VIEW, aggregate="sum", value="price"),
    FeatureDeclaration(name="usual", on=VIEW, aggregate="mean", value="price"),
    FeatureDeclaration(name="cheapest", on=VIEW, aggregate="min", value="price", default=-1.0),
    FeatureDeclaration(name="dearest", on=VIEW, aggregate="max", value="price"),
    FeatureDeclaration(name="lately", on=VIEW, aggregate="decayed", half_life="10m"),
    FeatureDeclaration(name="today", on=VIEW, aggregate="windowed", window="24h", tiles=24),
    FeatureDeclaration(name="last_price", on=VIEW, aggregate="last", value="price"),
    FeatureDeclaration(name="since", on=VIEW, aggregate="time_since", default=-5.0),
    FeatureDeclaration(name="brands", on=VIEW, aggregate="top_k", by="item.brand", k=3),
    FeatureDeclaration(name="recent", on=VIEW, aggregate="last_k", by="item", k=2),
    FeatureDeclaration(name="short", on=VIEW, aggregate="count", ttl="1h"),
    FeatureDeclaration(name="visit", on=VIEW, aggregate="count", scope="session"),
)


@pytest.fixture
def every_kind(little):
    shop = little(*EVERY_KIND, only=True)
    shop.item("a", brand="oak", price=10.0)
    shop.item("b", brand="elm", price=30.0)
    return shop


def read(shop, *keys: int, after_ms: int = 0, sessions_together: bool = True):
    reader = Reader(shop.schema, shop.declarations, sessions_together=sessions_together)
    return reader.person(shop.state, keys, START_MS + after_ms)


def test_nobody_reads_as_the_defaults(every_kind) -> None:
    for keys in ((), (404,)):
        person = read(every_kind, *keys)
        assert not person.known
        assert not person.in_session
        assert person.numbers["cheapest"] == -1.0
        assert person.numbers["since"] == -5.0
        assert person.numbers["views"] == 0.0
        assert len(person.tops["brands"][0]) == len(person.lasts["recent"][0]) == 0


def test_every_aggregation_reads_as_what_happened(every_kind) -> None:
    every_kind.happen("Product Viewed", "b")
    every_kind.happen("Product Viewed", "a", after_ms=5 * MINUTE_MS)
    every_kind.happen("Product Viewed", "a", after_ms=10 * MINUTE_MS)
    person = read(every_kind, 1, after_ms=10 * MINUTE_MS + 500)
    assert person.known
    assert person.in_session
    numbers = person.numbers
    assert (numbers["views"], numbers["spent"], numbers["cheapest"], numbers["dearest"]) == (3.0, 50.0, 10.0, 30.0)
    assert numbers["usual"] == pytest.approx(50 / 3, abs=1e-6)
    assert numbers["last_price"] == 10.0
    assert numbers["today"] == 3.0
    assert numbers["since"] == 0.5
    assert numbers["visit"] == 3.0
    assert numbers["lately"] == pytest.approx((0.5 + math.sqrt(0.5) + 1.0) * 0.5 ** (0.5 / 600), rel=1e-6)
    assert person.tops["brands"][0].tolist() == [reference("oak"), reference("elm")]
    assert [person.number(name) for name in numbers] == pytest.approx(list(numbers.values()), rel=0, abs=0, nan_ok=True)
    for one, every in ((person.top("brands"), person.tops["brands"]), (person.last("recent"), person.lasts["recent"])):
        assert [part.tolist() for part in one] == [part.tolist() for part in every]
    assert person.tops["brands"][1].tolist() == [2.0, 1.0]
    assert person.lasts["recent"][0].tolist() == [item_reference("shop", "a"), item_reference("shop", "b")]
    assert person.lasts["recent"][1].tolist() == [START_MS + 10 * MINUTE_MS, START_MS]


def test_what_fades_fades_without_an_event(every_kind) -> None:
    every_kind.happen("Product Viewed", "a")
    later = read(every_kind, 1, after_ms=26 * 60 * MINUTE_MS)
    assert later.numbers["today"] == 0.0
    assert later.numbers["lately"] < 1e-9
    assert later.numbers["views"] == 1.0


def test_a_session_lives_until_its_gap_is_over(every_kind) -> None:
    every_kind.happen("Product Viewed", "a")
    assert read(every_kind, 1, after_ms=30 * MINUTE_MS).numbers["visit"] == 1.0
    over = read(every_kind, 1, after_ms=30 * MINUTE_MS + 1)
    assert over.known
    assert not over.in_session
    assert over.numbers["visit"] == 0.0


def test_a_feature_past_its_time_to_live_reads_as_its_default(every_kind) -> None:
    every_kind.happen("Product Viewed", "a")
    assert read(every_kind, 1, after_ms=60 * MINUTE_MS).numbers["short"] == 1.0
    assert read(every_kind, 1, after_ms=60 * MINUTE_MS + 1).numbers["short"] == 0.0


def test_a_forgotten_cell_takes_nothing_from_the_living_ones(every_kind) -> None:
    every_kind.happen("Product Viewed", "a", key=1)
    every_kind.happen("Product Viewed", "a", key=2, after_ms=90 * MINUTE_MS)
    person = read(every_kind, 1, 2, after_ms=91 * MINUTE_MS)
    assert person.numbers["short"] == 1.0
    assert person.numbers["views"] == 2.0


def test_the_live_sessions_of_all_cells_are_one(every_kind) -> None:
    every_kind.happen("Product Viewed", "a", key=1)
    every_kind.happen("Product Viewed", "a", key=1, after_ms=1)
    every_kind.happen("Product Viewed", "b", key=2, after_ms=MINUTE_MS)
    every_kind.happen("Product Viewed", "b", key=4, after_ms=-40 * MINUTE_MS)
    for keys in ((1, 2), (2, 1), (3, 1, 2, 4)):
        assert read(every_kind, *keys, after_ms=MINUTE_MS).numbers["visit"] == 3.0
    assert read(every_kind, 1, 2, after_ms=30 * MINUTE_MS + 2).numbers["visit"] == 1.0, "only one of them is live"


def test_by_former_rules_the_live_session_is_that_of_the_cell_that_asks_else_the_newest(every_kind) -> None:
    every_kind.happen("Product Viewed", "a", key=1)
    every_kind.happen("Product Viewed", "a", key=1, after_ms=1)
    every_kind.happen("Product Viewed", "b", key=2, after_ms=MINUTE_MS)
    for keys, visits in (((1, 2), 2.0), ((2, 1), 1.0), ((3, 1, 2), 1.0)):
        assert read(every_kind, *keys, after_ms=MINUTE_MS, sessions_together=False).numbers["visit"] == visits


def test_without_the_profile_only_the_session_is_left(every_kind) -> None:
    every_kind.happen("Product Viewed", "a")
    reader = Reader(every_kind.schema, every_kind.declarations)
    person = reader.without_profile(reader.person(every_kind.state, [1], START_MS))
    assert not person.known
    assert person.in_session
    assert person.numbers["visit"] == 1.0
    assert person.numbers["views"] == 0.0
    assert person.numbers["cheapest"] == -1.0
    assert len(person.tops["brands"][0]) == 0


def test_cells_beyond_the_bound_are_left_out(every_kind) -> None:
    for key in range(1, LINKED_CELLS_MAX + 3):
        every_kind.happen("Product Viewed", "a", key=key)
    assert read(every_kind, *range(1, LINKED_CELLS_MAX + 3)).numbers["views"] == LINKED_CELLS_MAX


def test_reading_changes_nothing(every_kind) -> None:
    every_kind.happen("Product Viewed", "a", key=1)
    every_kind.happen("Product Viewed", "b", key=2)
    before = every_kind.state.hash()
    first = read(every_kind, 1, 2)
    second = read(every_kind, 1, 2)
    assert every_kind.state.hash() == before
    assert first.numbers == second.numbers


Event = st.tuples(st.sampled_from("ab"), st.integers(0, 20 * MINUTE_MS), st.integers(1, 4))


@settings(max_examples=25)
@given(st.lists(Event, max_size=12))
def test_linked_cells_read_as_one_cell_that_had_all_their_events(events: list[tuple[str, int, int]]) -> None:
    schema = compile_features(EVERY_KIND, memory_mb=64, items_max=100)
    apart, together = State(schema), State(schema)
    for state in (apart, together):
        state.configure(Configured(0, {}, schema.declared()))
    for number, (item, after_ms, key) in enumerate(events, start=1):
        at_ms = START_MS + after_ms
        event = Tracked(at_ms, at_ms, "shop", key, number, "Product Viewed", items=(reference(item),), prices=(3.5,))
        apart.fold([event])
        together.fold([Tracked(at_ms, at_ms, "shop", 9, number, "Product Viewed", items=event.items, prices=(3.5,))])
    reader = Reader(schema, EVERY_KIND)
    now_ms = START_MS + 21 * MINUTE_MS
    merged, single = reader.person(apart, [1, 2, 3, 4], now_ms), reader.person(together, [9], now_ms)
    for name in ("views", "spent", "usual", "cheapest", "dearest", "today", "since", "short"):
        assert merged.numbers[name] == pytest.approx(single.numbers[name], rel=0, abs=0, nan_ok=True), name
    assert merged.numbers["lately"] == pytest.approx(single.numbers["lately"], rel=1e-9)
    assert np.array_equal(merged.lasts["recent"][0], single.lasts["recent"][0])
    assert np.array_equal(merged.tops["brands"][0], single.tops["brands"][0])


def test_features_for_a_denied_purpose_are_missing(little) -> None:
    purposes = {"lately": "analytics", "brands": "analytics", "since": "analytics", "visit": "ads", "recent": "ads"}
    declared = [msgspec.structs.replace(one, purpose=purposes.get(one.name, "personalization")) for one in EVERY_KIND]
    shop = little(*declared, only=True)
    shop.item("a", brand="oak", price=10.0)
    shop.happen("Product Viewed", "a")
    shop.happen("Product Viewed", "a", key=2, after_ms=5)
    reader = Reader(shop.schema, shop.declarations)
    for keys in ([1], [1, 2]):
        whole, nobody = (reader.person(shop.state, some, START_MS + MINUTE_MS) for some in (keys, []))
        part = reader.person(shop.state, keys, START_MS + MINUTE_MS, frozenset({"analytics", "never heard of"}))
        expected = {
            name: (math.nan if purposes.get(name) == "analytics" else whole.numbers[name]) for name in whole.numbers
        } | {"since": -5.0}  # As declared.
        assert part.numbers == pytest.approx(expected, nan_ok=True)
        assert not nobody.known
        assert (list(part.tops["brands"][0]), list(part.lasts["recent"][0])) == ([], [item_reference("shop", "a")])
        assert part.known
        assert part.in_session
    assert len(reader.person(shop.state, [1], START_MS, frozenset({"ads"})).lasts["recent"][0]) == 0


def test_plans_for_denied_purposes_are_bounded(every_kind) -> None:
    reader = Reader(every_kind.schema, every_kind.declarations)
    every_kind.happen("Product Viewed", "a")
    for number in range(READING_PLANS_MAX + 5):
        denied = frozenset({"personalization", f"p{number}"})
        assert math.isnan(reader.person(every_kind.state, [1], START_MS, denied).numbers["views"])
        assert len(reader._plans) <= READING_PLANS_MAX
