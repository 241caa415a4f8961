from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, ItemUpserted, Tracked
from instanter.features.declaration import FeatureDeclaration
from instanter.foundation.limits import FOLD_BATCH_EVENTS_MAX, FOLD_BATCH_ITEMS_MAX, ITEMS_MET_MAX
from instanter.state import table
from instanter.state.memory import State, batches
from instanter.state.schema import Schema

from .contents import assert_agreement, cell_at, content, fold_both
from .oracle import Oracle
from .shop import (
    DECLARATIONS,
    HOUR_MS,
    ITEMS,
    MINUTE_MS,
    SCHEMA,
    START_MS,
    TENANT,
    VIEWED,
    empty_state,
    fold_all,
    open_shop,
    person,
    publish,
    ref,
    schema_of,
    tracked,
)
from .streams import Sending, shapes

SHORT_SESSIONS = schema_of(session_length_max_ms=2 * HOUR_MS)
FEW_IDS = schema_of(dedup_ids_max=7)


def beside(schema: Schema) -> tuple[State, Oracle]:
    """A shop, and the oracle of it."""
    oracle = Oracle(DECLARATIONS, schema.settings)
    oracle.catalogue = {ref(item_id): fields for item_id, fields in ITEMS.items()}
    return open_shop(schema), oracle


def fold_in_batches(state: State, oracle: Oracle, events: list[Tracked], sizes: list[int]) -> None:
    while events:
        size = sizes.pop() if sizes else len(events)
        fold_both(state, oracle, events[:size])
        events = events[size:]


@pytest.mark.slow
@settings(max_examples=150)
@given(shapes(), st.lists(st.integers(1, 30), max_size=8))
def test_the_fold_is_what_the_oracle_says_in_any_order_of_arrival(shapes: list[Any], sizes: list[int]) -> None:
    state, oracle = beside(SCHEMA)
    sending = Sending()
    fold_in_batches(state, oracle, [sending.send(shape) for shape in shapes], sizes)
    assume(not oracle.at_length_limit)
    assert_agreement(state, oracle)


@pytest.mark.slow
@settings(max_examples=60)
@given(shapes(min_size=10))
def test_a_session_ends_at_its_longest_whatever_happens_in_it(shapes: list[Any]) -> None:
    state, oracle = beside(SHORT_SESSIONS)
    sending = Sending()
    fold_in_batches(state, oracle, [sending.send(shape, in_order=True) for shape in shapes], [])
    assert_agreement(state, oracle)


@pytest.mark.slow
@settings(max_examples=60)
@given(shapes(min_size=20))
def test_only_the_newest_messages_are_remembered_and_the_others_counted(shapes: list[Any]) -> None:
    state, oracle = beside(FEW_IDS)
    sending = Sending()
    fold_in_batches(state, oracle, [sending.send(shape | {"who": 0}) for shape in shapes], [])
    assume(not oracle.at_length_limit)
    assert_agreement(state, oracle)


@settings(max_examples=30)
@given(shapes(), st.lists(st.integers(1, 30), max_size=8))
def test_how_events_are_cut_into_batches_changes_nothing(shapes: list[Any], sizes: list[int]) -> None:
    sending = Sending()
    events = [sending.send(shape) for shape in shapes]
    at_once, cut = open_shop(), open_shop()
    at_once.fold(events)
    first = 0
    for size in [*sizes, len(events)]:
        cut.fold(events[first : first + size])
        first += size
    assert at_once.hash() == cut.hash()


@given(st.lists(st.integers(0, 200), max_size=400))
def test_batches_keep_the_order_and_their_bounds(counts: list[int]) -> None:
    events = [
        tracked(0, 1 + number, number=number, items=["chair"] * count) for number, count in enumerate(counts)
    ]
    cut = list(batches(events))
    assert [event for batch in cut for event in batch] == events
    assert all(1 <= len(batch) <= FOLD_BATCH_EVENTS_MAX for batch in cut)
    assert all(sum(len(event.items) for event in batch) <= FOLD_BATCH_ITEMS_MAX for batch in cut)


def test_a_feature_counts_from_the_configuration_that_names_it() -> None:
    state, views = State(SCHEMA), SCHEMA.layout.named("profile_count")
    events = [tracked(0, 1_000 * n + 1, number=n, items=["sofa"]) for n in range(6)]
    state.fold(events[:2])
    assert content(state, views.spec, cell_at(state, person(0)) + views.offset) == 0
    state.configure(Configured(1, {}, ((views.spec.name, views.spec.version),)))
    state.fold(events[2:])
    assert content(state, views.spec, cell_at(state, person(0)) + views.offset) == 4
    mean = SCHEMA.layout.named("profile_mean")
    assert content(state, mean.spec, cell_at(state, person(0)) + mean.offset) == (0, 0)


def test_a_feature_of_another_version_does_not_count() -> None:
    state, views = State(SCHEMA), SCHEMA.layout.named("profile_count")
    state.configure(Configured(1, {}, ((views.spec.name, "another"),)))
    state.fold([tracked(0, 1, number=1, items=["sofa"])])
    assert content(state, views.spec, cell_at(state, person(0)) + views.offset) == 0


def test_a_late_event_that_still_stands_in_an_items_window_reaches_the_next_epoch() -> None:
    state = open_shop()
    state.fold([tracked(0, 50 * HOUR_MS, number=1, items=["sofa"])])
    publish(state)
    assert state.fold([tracked(0, 20 * HOUR_MS, number=2, items=["lamp"])]).tolist() == [3]
    assert state.unpublished == 1


def test_while_so_many_items_have_aggregates_events_make_none_for_another_and_count_all_the_same() -> None:
    schema = schema_of([FeatureDeclaration(name="views", on=(VIEWED,), aggregate="count", scope="item")], cells=8,
                       items=2 * ITEMS_MET_MAX + 1_000)  # fmt: skip
    state = empty_state(schema)

    def view(first: int, count: int) -> list[int]:
        events = [tracked(1, START_MS + first + number, number=first + number) for number in range(0, count, 200)]
        return fold_all(state, [msgspec.structs.replace(event, items=tuple(range(at + 1, at + 201)))
                                for event, at in zip(events, range(first, first + count, 200), strict=True)], batch=5)

    assert set(view(0, ITEMS_MET_MAX + 400)) == {0}
    assert state.tables.memory.regions[table.ITEMS, table.USED] == ITEMS_MET_MAX
    assert state.find_item(ITEMS_MET_MAX) >= 0 > state.find_item(ITEMS_MET_MAX + 1)
    state.catalogue.upsert(ItemUpserted(START_MS, TENANT, "known", {"title": "Known"}))
    assert state.find_item(ref("known")) >= 0, "the room that is left is the catalogue's"


def test_an_order_of_two_hundred_items_counts_each() -> None:
    state, oracle = beside(SCHEMA)
    items = [item_id for _ in range(40) for item_id in ("chair", "sofa", "lamp", "desk", "chair")]
    fold_both(state, oracle, [tracked(0, MINUTE_MS, "Order Completed", number=1, items=items)])
    assert_agreement(state, oracle)
