from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import CANONICAL_FIELDS, ItemDeleted, ItemPatched, ItemUpserted
from instanter.events.items import ALWAYS_MS
from instanter.foundation.ids import References, item_reference, reference
from instanter.foundation.limits import (
    ATTRIBUTE_VALUES_MAX,
    CATALOGUE_ITEM_BYTES,
    CATALOGUE_ITEMS_ALWAYS,
    DELETED_KNOWN_MAX,
    ITEMS_SHOWN_MAX,
    TEXTS_NAMED_MAX,
)
from instanter.sim.disk import SimulatedDisk
from instanter.state.catalogue import Catalogue, Item, texts_of
from instanter.state.checkpoint import Snapshot, load_checkpoint, write_checkpoint
from instanter.state.memory import State
from instanter.state.rows_left import RowsLeft
from instanter.state.schema import Capacity
from instanter.state.vacant import GIVEN_BACK_ROWS, STILL_STEPS

from .contents import cell_at, content
from .shop import SCHEMA, START_MS, TENANT, VIEWED, empty_state, fold_all, person, ref, tracked

TAGS = SCHEMA.attributes.index("tags")
PRICE, WIDTH = SCHEMA.numbers.index("price"), SCHEMA.numbers.index("width")


@pytest.fixture
def state() -> State:
    return empty_state()


def upsert(state: State, item_id: str = "sofa", *, at_ms: int = 1, tenant: str = TENANT, **fields: Any) -> None:
    state.catalogue.upsert(ItemUpserted(at_ms, tenant, item_id, fields))


def put(state: State, item_id: str = "sofa", *, tenant: str = TENANT, **fields: Any) -> int:
    """An item whose fields were read before they were written; its row."""
    state.catalogue.upsert(ItemUpserted(1, tenant, item_id, fields, CANONICAL_FIELDS))
    return state.find_item(item_reference(tenant, item_id))


def patch(state: State, item_id: str = "sofa", **fields: Any) -> None:
    state.catalogue.patch(ItemPatched(2, TENANT, item_id, fields))


def delete(state: State, item_id: str = "sofa") -> None:
    state.catalogue.delete(ItemDeleted(3, TENANT, item_id))


def item(state: State, item_id: str = "sofa") -> Item:
    found = state.catalogue.get(TENANT, item_id)
    assert found is not None
    return found


def test_an_item_is_called_by_its_reference_and_takes_what_it_is_packed_in(state: State) -> None:
    upsert(state, "sofa", title="Big sofa")
    assert state.catalogue.name_of(TENANT, ref("sofa")) == "sofa"
    assert state.catalogue.size_of(TENANT, "sofa") == state.catalogue.size_bytes == len(state.catalogue.packed()[0])
    patch(state, "sofa", title="Small")
    assert state.catalogue.size_of(TENANT, "sofa") == state.catalogue.size_bytes == len(state.catalogue.packed()[0])
    delete(state, "sofa")
    assert state.catalogue.name_of(TENANT, ref("sofa")) is None
    assert state.catalogue.size_of(TENANT, "sofa") == state.catalogue.size_bytes == 0


def test_texts_of_items_are_known_by_their_references_up_to_a_bound(state: State) -> None:
    upsert(state, "sofa", tags=["oak", "linen"])
    delete(state, "sofa")
    assert state.catalogue.text_of(TENANT, reference("linen")) == "linen"
    assert state.catalogue.text_of(TENANT, reference("steel")) is None
    for first in range(0, TEXTS_NAMED_MAX, ATTRIBUTE_VALUES_MAX):
        upsert(state, "sofa", tags=[f"tag {first + place}" for place in range(ATTRIBUTE_VALUES_MAX)])
    assert state.catalogue.text_of(TENANT, reference("tag 0")) == "tag 0"
    assert state.catalogue.text_of(TENANT, reference(f"tag {TEXTS_NAMED_MAX - 1}")) is None
    counted = state.catalogue.attributes.refs[state.find_item(ref("sofa")), TAGS]
    assert reference(f"tag {TEXTS_NAMED_MAX - 1}") in counted


def test_an_item_that_only_events_have_named_has_no_numbers(state: State) -> None:
    upsert(state, "sofa", price=9)
    fold_all(state, [tracked(0, START_MS, VIEWED, number=1, items=["sofa", "stool"])])
    loaded = State(SCHEMA)
    loaded.tables.memory.regions[:] = state.tables.memory.regions
    loaded.tables.memory.ints[:] = state.tables.memory.ints
    loaded.rebuild_indexes()
    for one in (state, loaded):
        row = one.find_item(ref("stool"))
        assert row >= 0
        assert np.isnan(one.tables.attributes.numbers[row]).all()


@pytest.mark.parametrize(("items", "size_bytes", "taken"), [
    (CATALOGUE_ITEMS_ALWAYS, CATALOGUE_ITEMS_ALWAYS * CATALOGUE_ITEM_BYTES, True),
    (1_000, 300_000 * CATALOGUE_ITEM_BYTES, True),
    (1_000, 300_000 * CATALOGUE_ITEM_BYTES + 1, False),
    (300_000, 300_000 * CATALOGUE_ITEM_BYTES, True),
    (300_001, 0, False),
    (CATALOGUE_ITEMS_ALWAYS + 1, 300_001 * CATALOGUE_ITEM_BYTES, False),
])  # fmt: skip
def test_beyond_what_is_always_taken_items_count_by_number_and_size(items: int, size_bytes: int, taken: bool) -> None:
    room = Capacity(cells=64, items=400_000, catalogue=300_000)
    state = empty_state(msgspec.structs.replace(SCHEMA, capacity=room))
    assert state.catalogue_takes(items=items, size_bytes=size_bytes) == taken


def test_large_items_have_an_eighth_of_the_memory_where_that_is_more() -> None:
    """Up to 200,000 items were taken whatever they took: at 16 KiB each that is 3 GiB, under any limit."""
    room = Capacity(cells=64, items=400_000, catalogue=200_000, catalogue_bytes=256 << 20)
    state = empty_state(msgspec.structs.replace(SCHEMA, capacity=room))
    assert state.catalogue_takes(items=16_384, size_bytes=256 << 20)
    assert not state.catalogue_takes(items=16_384, size_bytes=(256 << 20) + 1)


def test_a_small_table_of_items_bounds_the_catalogue_whatever_memory_there_is() -> None:
    state = empty_state(msgspec.structs.replace(SCHEMA, capacity=Capacity(cells=64, items=4, catalogue=300_000)))
    assert state.catalogue_takes(items=4, size_bytes=0)
    assert not state.catalogue_takes(items=5, size_bytes=0)


def columns(catalogue: Catalogue, row: int) -> tuple[list[list[int]], list[float], list[Any]]:
    attributes = catalogue.attributes
    whole = (catalogue.available, catalogue.created_ms, catalogue.from_ms, catalogue.until_ms, catalogue.groups,
             attributes.sale_prices, attributes.sale_ms)  # fmt: skip
    return attributes.refs[row].tolist(), attributes.numbers[row].tolist(), [column[row].tolist() for column in whole]


def test_an_upsert_says_exactly_what_the_item_is(state: State) -> None:
    upsert(state, category="seats", price=899, tags=["wool"])
    upsert(state, category="beds")
    assert item(state).fields == {"category": "beds"}
    row = state.find_item(ref("sofa"))
    assert not state.catalogue.attributes.refs[row, TAGS].any()
    assert np.isnan(state.catalogue.attributes.numbers[row, PRICE])


def test_a_patch_changes_what_it_names_and_null_removes(state: State) -> None:
    upsert(state, category="seats", price=899, tags=["wool"])
    patch(state, price=799.5, tags=None, width=220)
    assert item(state).fields == {"category": "seats", "price": 799.5, "width": 220}
    row = state.find_item(ref("sofa"))
    assert not state.catalogue.attributes.refs[row, TAGS].any()
    assert state.catalogue.attributes.numbers[row, [PRICE, WIDTH]].tolist() == [799.5, 220.0]


def test_a_patch_of_an_unknown_item_changes_nothing(state: State) -> None:
    patch(state, price=1)
    assert not state.catalogue.items
    assert state.catalogue.changes == 0


def test_items_are_never_changed_in_place(state: State) -> None:
    upsert(state, price=1, tags=["a"])
    before = item(state)
    patch(state, price=2)
    assert before.fields == {"price": 1, "tags": ["a"]}


def test_a_deleted_item_is_gone_with_its_columns_and_deleting_it_again_changes_nothing(state: State) -> None:
    upsert(state, category="seats", price=899, tags=["wool"], stock=3)
    row, changes = state.find_item(ref("sofa")), state.catalogue.changes
    delete(state)
    assert state.catalogue.get(TENANT, "sofa") is None
    assert row not in state.catalogue.at_row
    assert not state.catalogue.attributes.refs[row].any()
    assert not state.catalogue.attributes.numbers[row].any(), "a vacant row is all zeros"
    assert state.catalogue.available[row] == 0
    delete(state)
    delete(state, "never there")
    assert state.catalogue.changes == changes + 1


def test_an_event_about_a_deleted_item_counts_without_its_fields(state: State) -> None:
    upsert(state, price=899.0, tags=["wool"])
    fold_all(state, [tracked(0, START_MS, VIEWED, number=1, items=["sofa"])])
    delete(state)
    fold_all(state, [tracked(0, START_MS + 1, VIEWED, number=2, items=["sofa"])])

    def read(name: str, at: int) -> Any:
        placed = SCHEMA.layout.named(name)
        return content(state, placed.spec, at + placed.offset)

    cell = cell_at(state, person(0))
    assert read("profile_count", cell) == 2
    assert read("profile_mean", cell) == (899_000_000, 1)
    assert read("profile_tags", cell) == (0, False, {reference("wool"): 1_000_000})


def test_an_item_that_comes_back_is_new_and_keeps_what_was_counted(state: State) -> None:
    upsert(state, at_ms=1)
    fold_all(state, [tracked(0, START_MS, VIEWED, number=1, items=["sofa"])])
    row, before = state.find_item(ref("sofa")), state.hash()
    delete(state)
    upsert(state, at_ms=9)
    assert state.find_item(ref("sofa")) == row
    assert state.hash() == before
    assert item(state).created_ms == 9


@pytest.mark.parametrize(("fields", "available"), [
    ({}, True), ({"stock": 1}, True), ({"stock": 0}, False), ({"stock": -2}, False), ({"stock": 0.5}, True),
    ({"stock": None}, True), ({"stock": "many"}, True), ({"stock": True}, True), ({"stock": False}, False),
])  # fmt: skip
def test_an_item_is_available_while_its_stock_is_positive_or_not_told(
    state: State, fields: dict[str, Any], available: bool
) -> None:
    upsert(state, **fields)
    assert item(state).available is available
    assert state.catalogue.available[state.find_item(ref("sofa"))] == available


def test_stock_counts_from_the_next_change(state: State) -> None:
    upsert(state, stock=1)
    row = state.find_item(ref("sofa"))
    seen = []
    for stock in (0, 5, None):
        patch(state, stock=stock)
        seen.append(int(state.catalogue.available[row]))
    assert seen == [0, 1, 1]


@pytest.mark.parametrize(("created_at", "created_ms"), [
    ("2024-05-01T00:00:00Z", 1_714_521_600_000), ("2024-05-01", 1_714_521_600_000),
    ("2024-05-01T02:00:00+02:00", 1_714_521_600_000), (1_714_521_600_000, 1_714_521_600_000),
    ("yesterday", 5), ("", 5), (None, 5), (True, 5), (0, 5), (10**18, 5), ([1], 5), ({"a": 1}, 5),
])  # fmt: skip
def test_an_item_is_as_old_as_it_says_or_else_as_its_first_event(
    state: State, created_at: object, created_ms: int
) -> None:
    upsert(state, at_ms=5, created_at=created_at)
    assert item(state).created_ms == created_ms
    assert state.catalogue.created_ms[state.find_item(ref("sofa"))] == created_ms


def test_later_changes_do_not_make_an_item_younger(state: State) -> None:
    upsert(state, at_ms=5)
    upsert(state, at_ms=50, price=1)
    patch(state, price=2)
    assert item(state).created_ms == 5


def test_tenants_do_not_share_items(state: State) -> None:
    upsert(state, price=1)
    upsert(state, tenant="another", price=2)
    delete(state)
    assert [one.fields["price"] for one in state.catalogue.of_tenant("another")] == [2]
    assert list(state.catalogue.of_tenant(TENANT)) == []


@pytest.mark.parametrize(("value", "texts"), [
    (None, []), ("", []), ("oak", ["oak"]), (3, ["3"]), (True, ["True"]), ([], []), (["a", 1], ["a", "1"]),
    (list("abcdefg"), list("abcd")),
])  # fmt: skip
def test_a_field_has_at_most_a_few_texts(state: State, value: object, texts: list[str]) -> None:
    assert texts_of(value) == texts
    upsert(state, tags=value)
    refs = state.catalogue.attributes.refs[state.find_item(ref("sofa")), TAGS].tolist()
    assert refs == [*map(reference, texts), *[0] * (ATTRIBUTE_VALUES_MAX - len(texts))]


@pytest.mark.parametrize(("value", "number"), [
    (3, 3.0), (2.5, 2.5), (-1, -1.0), (True, np.nan), ("3", np.nan), (None, np.nan), ([3], np.nan),
])  # fmt: skip
def test_only_a_number_is_a_number(state: State, value: object, number: float) -> None:
    upsert(state, width=value)
    found = state.catalogue.attributes.numbers[state.find_item(ref("sofa")), WIDTH]
    np.testing.assert_equal(found, number)


DAY = "2026-03-01T00:00:00+00:00"
DAY_MS = 1_772_323_200_000
TIMED = {"availability_date": DAY, "expiration_date": DAY, "item_group_id": "sofas", "price": 9, "sale_price": 7,
         "sale_price_effective_date": f"{DAY}/", "availability": "out_of_stock"}  # fmt: skip


def test_times_groups_and_sales_are_columns(state: State) -> None:
    row, catalogue = put(state, **TIMED), state.catalogue
    assert [int(column[row]) for column in (catalogue.from_ms, catalogue.until_ms)] == [DAY_MS, DAY_MS]
    assert catalogue.groups[row] == References().group(TENANT, "sofas") != References().group("another", "sofas")
    assert catalogue.attributes.sale_prices[row] == 7
    assert catalogue.attributes.sale_ms[row].tolist() == [DAY_MS, ALWAYS_MS]
    assert catalogue.available[row] == 0
    assert catalogue.has_sales
    state.catalogue.patch(ItemPatched(2, TENANT, "sofa", dict.fromkeys(TIMED)))
    assert columns(catalogue, row)[2][2:] == [0, 0, 0, 0.0, [0, 0]]
    put(state, **TIMED)
    delete(state)
    assert columns(catalogue, row)[2][2:] == [0, 0, 0, 0.0, [0, 0]]


def test_fields_that_were_written_as_sent_say_no_more_than_when_they_were_written(state: State) -> None:
    """Logs from before fields were read give the state and the decisions that they gave then."""
    upsert(state, **TIMED)
    row = state.find_item(ref("sofa"))
    assert item(state).available
    assert columns(state.catalogue, row)[2][2:] == [0, 0, 0, 0.0, [0, 0]]
    state.catalogue.patch(ItemPatched(2, TENANT, "sofa", {"price": 8}, CANONICAL_FIELDS))
    assert state.catalogue.until_ms[row] == DAY_MS
    assert not item(state).available


@pytest.mark.parametrize(("fields", "available"), [
    ({"availability": "in_stock"}, True), ({"availability": "out_of_stock"}, False),
    ({"availability": "discontinued", "stock": 3}, False), ({"availability": "in_stock", "stock": 0}, False),
    ({"availability": "preorder", "stock": 0}, True), ({"availability": "backorder"}, True),
    ({"availability": "limited"}, True), ({"availability": ["a"]}, True), ({"stock": 0}, False),
])  # fmt: skip
def test_availability_and_stock_together_say_whether_it_can_be_bought(
    state: State, fields: dict[str, Any], available: bool
) -> None:
    row = put(state, **fields)
    assert item(state).available is available
    assert state.catalogue.available[row] == available


def test_what_can_be_ordered_ahead_is_shown_before_it_is_there(state: State) -> None:
    row = put(state, availability="preorder", availability_date=DAY)
    assert state.catalogue.from_ms[row] == 0


@pytest.mark.parametrize("fields", [
    {"availability_date": "soon", "expiration_date": 7, "item_group_id": 5, "sale_price": "7"},
    {"price": 7, "sale_price": 7}, {"price": 7, "sale_price": 0}, {"sale_price": True},
    {"availability_date": [], "expiration_date": {}, "item_group_id": None, "sale_price": None},
    {"availability_date": "0001-01-01T00:00:00Z"},
])  # fmt: skip
def test_what_is_not_canonical_says_nothing_and_stops_nothing(state: State, fields: dict[str, Any]) -> None:
    row = put(state, **fields)
    assert columns(state.catalogue, row)[2][2:] == [0, 0, 0, 0.0, [0, 0]]


@pytest.mark.parametrize(("at_ms", "price"), [(DAY_MS - 1, 9.0), (DAY_MS, 7.0), (DAY_MS + 9, 7.0), (DAY_MS + 10, 9.0)])
def test_an_event_without_a_price_counts_with_the_price_at_its_time(at_ms: int, price: float) -> None:
    state = empty_state()
    put(state, price=9, sale_price=7, sale_price_effective_date=f"{DAY}/2026-03-01T00:00:00.010+00:00")
    fold_all(state, [tracked(0, at_ms, VIEWED, number=1, items=["sofa"])])
    placed = SCHEMA.layout.named("profile_mean")
    cell = cell_at(state, person(0))
    assert content(state, placed.spec, cell + placed.offset) == (int(price * 1_000_000), 1)


FIELDS = st.fixed_dictionaries({}, optional={
    "category": st.sampled_from(("a", "b")), "tags": st.lists(st.sampled_from("xyz"), max_size=6),
    "item_group_id": st.sampled_from("gh"), "expiration_date": st.sampled_from((DAY, "x")),
    "sale_price": st.integers(0, 9), "availability": st.sampled_from(("out_of_stock", "in_stock")),
    "price": st.integers(0, 9), "stock": st.sampled_from((0, 1, None)), "created_at": st.sampled_from((0, 77, "x")),
})  # fmt: skip


@settings(max_examples=80)
@given(st.lists(
    st.tuples(st.sampled_from(("upsert", "put", "patch", "delete")), st.sampled_from("ab"), FIELDS), max_size=12
))  # fmt: skip
def test_the_columns_always_say_what_the_items_say(steps: list[Any]) -> None:
    """However an item came to be what it is, its columns are those of the item put into an empty catalogue."""
    state, changes = empty_state(), 0
    for at_ms, (what, item_id, fields) in enumerate(steps, start=1):
        match what:
            case "upsert":
                upsert(state, item_id, at_ms=at_ms, **fields)
            case "put":
                put(state, item_id, **fields)
            case "patch":
                patch(state, item_id, **fields)
            case "delete":
                delete(state, item_id)
        assert state.catalogue.changes >= changes
        changes = state.catalogue.changes
    fresh = empty_state()
    for packed, one in zip(state.catalogue.packed(), state.catalogue.items.values(), strict=True):
        fresh.catalogue.restore(packed)
        row, fresh_row = state.find_item(one.ref), fresh.find_item(one.ref)
        np.testing.assert_equal(columns(state.catalogue, row), columns(fresh.catalogue, fresh_row))
        assert state.catalogue.at_row[row] == one
    assert len(state.catalogue.at_row) == len(state.catalogue.items)
    assert state.catalogue.size_bytes == sum(map(len, state.catalogue.packed())) == fresh.catalogue.size_bytes


def of_items(count: int) -> State:
    """An empty state with room for so many items."""
    return empty_state(msgspec.structs.replace(SCHEMA, capacity=Capacity(cells=64, items=count)))


def test_an_item_of_which_nothing_was_counted_leaves_its_row_to_one_that_finds_no_other() -> None:
    state = of_items(3)
    row = put(state, "sofa", category="sofas", price=5.0, stock=1)
    put(state, "lamp")
    before, used = state.hash(), state.items_used
    delete(state, "sofa")
    assert (state.find_item(ref("sofa")), state.items_used, state.hash()) == (-1, used - 1, before)
    assert put(state, "sofa") == row, "it comes back to its own"
    delete(state, "sofa")
    assert put(state, "bed") == 2, "there is a row that nobody had"
    assert put(state, "chair", tenant="other") == row
    assert (state.items_used, state.catalogue.tenants[row]) == (3, state.catalogue.code_of("other"))
    assert not state.catalogue.attributes.refs[row].any()
    assert np.isnan(state.catalogue.attributes.numbers[row]).all()
    assert put(state, "sofa") == -1


def test_the_last_items_that_left_their_rows_are_known_to_have_been_deleted_until_they_come_back(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instanter.state.rows_left.DELETED_KNOWN_MAX", 2)
    for name in ("a", "b", "c", "d"):
        put(state, name)
    for name in ("a", "b", "c"):
        delete(state, name)
    put(state, "c")

    def known(some: State) -> str:
        return "".join(name for name in "abcdx" if some.catalogue.is_deleted(ref(name), some.find_item(ref(name)))
                       and not some.catalogue.has(ref(name)))  # fmt: skip

    assert known(state) == "b"
    assert DELETED_KNOWN_MAX > 2
    again = empty_state()
    again.catalogue.rows_left.restore(state.catalogue.rows_left.pairs())
    left = again.catalogue.rows_left
    assert (known(again), list(left.pairs()), left.row_of(ref("b"))) == ("b", [(ref("b"), 1)], 1)
    delete(state, "d")
    delete(state, "c")
    assert known(state) == "cd"


@given(st.lists(st.integers(1, 12), max_size=200), st.booleans())
def test_rows_left_are_known_as_a_dict_in_their_order_would_know_them(refs: list[int], restored: bool) -> None:
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr("instanter.state.rows_left.DELETED_KNOWN_MAX", 5)
        left, model = RowsLeft(), dict[int, int]()
        for row, ref in enumerate(refs):
            if ref in model:
                left.discard(ref)
                del model[ref]
            else:
                left.add(ref, row)
                if len(model) == 5:
                    del model[next(iter(model))]
                model[ref] = row
            if restored:
                again = RowsLeft()
                again.restore(left.pairs()[:])
                left = again
        assert (list(left.pairs()), len(left)) == (list(model.items()), len(model))
        assert [ref in left for ref in range(13)] == [ref in model for ref in range(13)]
        assert [left.row_of(ref) for ref in range(13)] == [model.get(ref, -1) for ref in range(13)]


def test_an_item_that_was_counted_keeps_its_row_and_what_was_counted(state: State) -> None:
    row = put(state, "sofa")
    fold_all(state, [tracked(0, START_MS, VIEWED, number=1, items=("sofa",))])
    delete(state, "sofa")
    assert (put(state, "lamp"), put(state, "sofa")) == (row + 1, row)


def test_by_former_rules_an_item_keeps_its_row(state: State) -> None:
    row = put(state, "sofa")
    state.put_in_force({"folding": 2})
    delete(state, "sofa")
    assert state.find_item(ref("sofa")) == row


@pytest.mark.parametrize("saved", [False, True])
def test_the_lowest_vacant_row_is_taken_first_also_behind_a_checkpoint(saved: bool) -> None:
    state = of_items(6)
    rows = [put(state, f"item {number}") for number in range(6)]
    for number in (4, 1, 3):
        delete(state, f"item {number}")
    if saved:
        disk = SimulatedDisk()
        path = write_checkpoint(disk, Path("/checkpoints"), Snapshot(state, position=7, at_ms=1, control={}))
        state = of_items(6)
        load_checkpoint(disk, path, state)
    assert [put(state, name) for name in "abcd"] == [rows[1], rows[3], rows[4], -1]


@pytest.mark.slow
def test_the_memory_of_many_that_are_gone_is_given_back_and_taken_again() -> None:
    count = 5 * GIVEN_BACK_ROWS
    state = of_items(count + 2)
    for again in range(2):
        first = put(state, f"{again} kept", price=1.0)
        places = len(state.tables.item_index.keys)
        rows = [put(state, f"{again} {number}", category="sofas", price=2.0) for number in range(count)]
        assert (rows, state.items_used) == (list(range(1, count + 1)), again + 1 + count)
        prices = state.catalogue.attributes.numbers[:, PRICE]
        assert (prices[first], prices[rows[0]], prices[rows[-1]]) == (1.0, 2.0, 2.0)
        for number in range(count):
            delete(state, f"{again} {number}")
        for _ in range(2 * STILL_STEPS):
            state.upkeep()
        assert (state.items_used, len(state.tables.item_index.keys)) == (again + 1, places)
        assert state.find_item(ref(f"{again} kept")) == first
        assert not any(column[rows].any() for column in state.catalogue.columns)


def test_a_row_that_nobody_had_is_blank_again_after_the_memory_behind_those_that_are_gone_was_given_back() -> None:
    count = 2 * GIVEN_BACK_ROWS
    state = of_items(2 * count)
    for number in range(count):
        put(state, f"{number}", price=2.0)
    for number in range(count):
        delete(state, f"{number}")
    for _ in range(2 * STILL_STEPS):
        state.upkeep()
    row = state.item_row(ref("only met"))
    assert row == count
    assert np.isnan(state.catalogue.attributes.numbers[row]).all()


def test_what_is_shown_is_unpacked_once_until_it_changes(state: State) -> None:
    row = put(state, title="Sofa")
    first = state.catalogue.shown(row)
    assert state.catalogue.shown(row) is first
    assert first == state.catalogue.at_row[row]
    put(state, title="Couch")
    assert state.catalogue.shown(row).fields["title"] == "Couch"
    state.catalogue.patch(ItemPatched(2, TENANT, "sofa", {"title": "Settee"}))
    assert state.catalogue.shown(row).fields["title"] == "Settee"
    state.catalogue.delete(ItemDeleted(3, TENANT, "sofa"))
    with pytest.raises(KeyError):
        state.catalogue.shown(row)


def test_a_row_that_went_to_another_item_shows_that_one() -> None:
    state = empty_state(msgspec.structs.replace(SCHEMA, capacity=Capacity(cells=64, items=1)))
    row = put(state, title="Sofa")
    assert state.catalogue.shown(row).id == "sofa"
    state.catalogue.delete(ItemDeleted(2, TENANT, "sofa"))
    assert put(state, "lamp", title="Lamp") == row, "the row of what is gone goes to the next"
    assert state.catalogue.shown(row).id == "lamp"


def test_so_many_shown_items_are_kept_unpacked() -> None:
    room = Capacity(cells=64, items=2 * ITEMS_SHOWN_MAX)
    state = empty_state(msgspec.structs.replace(SCHEMA, capacity=room))
    rows = [put(state, f"item-{number}") for number in range(ITEMS_SHOWN_MAX + 1)]
    first = state.catalogue.shown(rows[0])
    for row in rows[1:ITEMS_SHOWN_MAX]:
        state.catalogue.shown(row)
    assert state.catalogue.shown(rows[0]) is first
    state.catalogue.shown(rows[-1])
    again = state.catalogue.shown(rows[0])
    assert again is not first
    assert again == first


def test_it_says_which_rows_hold_no_item(state: State) -> None:
    rows = [put(state, "sofa"), put(state, "lamp")]
    state.catalogue.delete(ItemDeleted(2, TENANT, "lamp"))
    assert state.catalogue.lacking(np.array([*rows, -1], np.int64)).tolist() == [1, 2]
    assert state.catalogue.lacking(np.zeros(0, np.int64)).tolist() == []
