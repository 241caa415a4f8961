"""Vectors of items: how they are kept, and the index against a plain one that looks at the whole catalogue."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import CANONICAL_FIELDS, Configured, ItemDeleted, ItemPatched, ItemUpserted
from instanter.events.items import FieldReader, FieldTypes, ItemRefused
from instanter.events.vectors import (
    LARGEST,
    VECTOR,
    VectorRefused,
    length_of,
    numbers_of,
    pack_vector,
    shown_fields,
    unpack_vector,
)
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.limits import VECTOR_LENGTH_MAX, VECTORS_FOLLOWED_MAX
from instanter.models import vectors
from instanter.models.vectors import VectorIndex, Vectors, _mean
from instanter.state.memory import State

START_MS = 1_700_000_000_000
SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_000)


class Shelf:
    """A catalogue that changes."""

    def __init__(self) -> None:
        self.state = State(SCHEMA)
        self.state.configure(Configured(START_MS, {}, SCHEMA.declared()))
        self.vectors = Vectors()

    def put(self, item: str, *numbers: float, tenant: str = "shop", **fields: object) -> int:
        own = {**fields, VECTOR: pack_vector(list(numbers))} if numbers else fields
        self.state.catalogue.upsert(ItemUpserted(START_MS, tenant, item, own, CANONICAL_FIELDS))
        return self.row(item, tenant)

    def delete(self, item: str, tenant: str = "shop") -> None:
        self.state.catalogue.delete(ItemDeleted(START_MS, tenant, item))

    def row(self, item: str, tenant: str = "shop") -> int:
        return self.state.find_item(self.state.catalogue.ref_of(tenant, item))

    @property
    def index(self) -> VectorIndex:
        return self.vectors.of(self.state)

    def near(self, *items: str, limit: int = 10, tenant: str = "shop") -> list[str]:
        rows = self.index.near(tenant, [self.row(item, tenant) for item in items], limit)[0]
        return [self.state.catalogue.id_at(row) for row in rows.tolist()]


def by_hand(state: State, tenant: str, rows: list[int], limit: int) -> list[tuple[int, float]]:
    """The oracle, for a single item: one after the other."""
    catalogue = state.catalogue
    wanted = unpack_vector(catalogue.at_row[rows[0]].fields[VECTOR]).astype(np.int64)
    found = []
    for row, item in catalogue.at_row.items():
        if item.tenant != tenant or row in rows or not item.available or length_of(item.fields) != len(wanted):
            continue
        other = unpack_vector(item.fields[VECTOR]).astype(np.int64)
        norms = np.sqrt(float((wanted**2).sum())), np.sqrt(float((other**2).sum()))
        if (score := float((wanted * other).sum()) / (norms[1] * norms[0])) > 0.0:
            found.append((row, score))
    return sorted(found, key=lambda one: (-one[1], one[0]))[:limit]


# How they are kept.


def test_a_vector_takes_a_byte_for_each_number_and_keeps_its_direction() -> None:
    chance = np.random.default_rng(1)
    for length in (1, 7, 128, VECTOR_LENGTH_MAX):
        vector = chance.normal(size=length)
        kept = pack_vector(vector.tolist())
        assert len(kept) <= 3 + 4 * ((length + 8) // 3 + 1)
        back = np.array(numbers_of(kept))
        assert np.abs(back - vector).max() <= np.abs(vector).max() / (2 * LARGEST) + 1e-9
        assert unpack_vector(kept).astype(int).max(initial=0) <= LARGEST


def test_numbers_of_any_size_are_kept_by_their_proportions() -> None:
    for scale in (1e-300, 5e-324, 1.0, 1e29):
        assert unpack_vector(pack_vector([scale, -scale, 0.0])).tolist() == [127, -127, 0]
    assert unpack_vector(pack_vector([1, 2])).tolist() == [64, 127]
    assert pack_vector("[1, 2]") == pack_vector([1, 2]) == pack_vector(pack_vector([1, 2]))


@pytest.mark.parametrize(("sent", "said"), [
    ([], "has 0 numbers"), ([1.0] * (VECTOR_LENGTH_MAX + 1), f"1 to {VECTOR_LENGTH_MAX}"), ([0.0, -0.0], "all zeros"),
    ([1.0, float("nan")], "not finite, or beyond 1e30, at place 1"), ([float("inf")], "not finite"),
    ([1e31], "beyond 1e30"), ([10**400], "beyond 1e30"), ([True], "no number, at place 0"),
    ([1, "2"], "no number, at place 1"), ([[1]], "no number"), ([None], "no number"), (7, "no list of numbers"),
    ("[1, 2", "cannot be read"), ("[" * 100_000, "cannot be read"), ({"a": 1}, "no list of numbers"),
    ("q8:", "as it is kept"), ("q8:%%%%", "as it is kept"),
    ("q8:" + "A" * 2_000, "as it is kept"), ("q8:" + "A" * 24, "as it is kept"), ("q8:AAAAAAAA+H8B", "as it is kept"),
])  # fmt: skip
def test_what_is_no_vector_is_refused_with_what_is_wrong(sent: object, said: str) -> None:
    with pytest.raises(VectorRefused, match=said):
        pack_vector(sent)


def test_all_of_a_tenant_have_one_length() -> None:
    with pytest.raises(VectorRefused, match="has 2 numbers, and the catalogue's vectors have 3"):
        pack_vector([1, 2], length=3)
    reader = FieldReader(FieldTypes())
    assert length_of(reader.read({VECTOR: [1, 2, 3]})) == 3
    with pytest.raises(ItemRefused, match="vector has 2 numbers"):
        reader.read({VECTOR: [1, 2]})
    assert reader.read({VECTOR: None}) == {VECTOR: None}
    kept = reader.read({VECTOR: "[1, 2, 4]"})
    assert reader.read(kept) == kept, "what is kept is read again as it is"


def test_another_thing_of_that_name_stays_and_has_no_effect() -> None:
    reader = FieldReader(FieldTypes())
    assert reader.read({VECTOR: "drawing.svg"}) == {VECTOR: "drawing.svg"}
    assert [(one.field, one.code) for one in reader.remarks] == [(VECTOR, "without_effect")]
    assert reader.read({VECTOR: 5})[VECTOR] == 5


def test_replies_show_it_only_where_that_is_wanted() -> None:
    fields = {"title": "t", VECTOR: pack_vector([1, -2])}
    assert shown_fields(fields) == {"title": "t"}
    shown = shown_fields(fields, vector=True)
    assert json.loads(json.dumps(shown))[VECTOR] == pytest.approx([1, -2], abs=0.01)
    assert shown_fields({VECTOR: "drawing.svg"}) == {VECTOR: "drawing.svg"}


def test_what_is_no_vector_in_a_log_is_none_and_spoils_nothing() -> None:
    shelf = Shelf()
    shelf.put("a", 1, 0)
    for text in ("q8:", "q8:%%", "q8:" + "A" * 24, "drawing.svg"):
        assert (length_of({VECTOR: text}), numbers_of(text), unpack_vector(text).tolist()) == (0, [], [])
        shelf.put("b", vector=text)
        assert shelf.near("a") == []


# What the catalogue knows of them.


def test_the_catalogue_counts_them_and_forgets_their_length_with_the_last() -> None:
    shelf = Shelf()
    catalogue = shelf.state.catalogue
    plain = catalogue.size_bytes
    shelf.put("a", 1, 2, 3)
    shelf.put("b", 3, 2, 1)
    shelf.put("other", 1, 2, tenant="other")
    assert (catalogue.vectors, catalogue.vector_bytes, catalogue.vectors_of("shop")) == (3, 8, 6)
    assert catalogue.size_bytes > plain + 8 + 3 * (8 + 2)
    assert (catalogue.vector_length("shop", "a"), catalogue.vector_length("shop", "x")) == (3, 0)
    assert catalogue.types_of("shop").vector_length == 3
    catalogue.patch(ItemPatched(START_MS, "shop", "a", {VECTOR: None}, CANONICAL_FIELDS))
    assert catalogue.types_of("shop").vector_length == 3
    shelf.put("b", title="without")
    assert (catalogue.types_of("shop").vector_length, catalogue.vectors_of("shop")) == (0, 0)
    assert catalogue.vector_length("shop", "a") == 0
    for item, tenant in (("a", "shop"), ("b", "shop"), ("other", "other")):
        shelf.delete(item, tenant)
    assert (catalogue.vectors, catalogue.vector_bytes, catalogue.size_bytes) == (0, 0, 0)


def test_it_comes_back_from_packed_items_and_stays_through_a_patch_of_something_else() -> None:
    shelf, other = Shelf(), Shelf()
    shelf.put("a", 1, 2, 3)
    shelf.put("b", 1, 2, 2)
    shelf.state.catalogue.patch(ItemPatched(START_MS, "shop", "a", {"price": 3}, CANONICAL_FIELDS))
    for packed in shelf.state.catalogue.packed():
        other.state.catalogue.restore(packed)
    assert other.near("a") == shelf.near("a") == ["b"]
    assert other.state.catalogue.vector_bytes == 6


# What is near.


def test_the_nearest_come_first_whatever_their_size_and_what_points_elsewhere_does_not() -> None:
    shelf = Shelf()
    for item, numbers in (("a", (1, 0)), ("near", (9, 1)), ("far", (1, 2)), ("back", (-1, 0)), ("across", (0, 1))):
        shelf.put(item, *numbers)
    assert shelf.near("a") == ["near", "far"]
    assert shelf.near("a", limit=1) == ["near"]
    assert shelf.near("a", "across")[0] == "near"
    assert shelf.near("across", "a")[0] == "far"
    _, scores = shelf.index.near("shop", [shelf.row("a")], 5)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert scores[0] == pytest.approx(9 / np.hypot(9, 1), abs=0.01)


def test_items_without_one_are_near_nothing() -> None:
    shelf = Shelf()
    shelf.put("a", 1, 0)
    shelf.put("bare", title="x")
    assert shelf.near("bare") == shelf.near("a") == []
    assert shelf.index.near("shop", [], 5)[0].tolist() == []
    assert shelf.index.near("shop", [-1], 5)[0].tolist() == []
    assert shelf.index.near("nobody", [shelf.row("a")], 5)[0].tolist() == []


def test_what_cancels_out_is_near_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = np.array([127, 0], np.int8)
    assert _mean([(ahead, 127.0, 1), (-ahead, 127.0, 1)]).tolist() == [0, 0]
    assert _mean([(ahead, 127.0, 0), (-ahead, 127.0, 1)]).tolist() == [127, 0]
    shelf = Shelf()
    for item in ("a", "b", "c"):
        shelf.put(item, 1, 0)
    monkeypatch.setattr(vectors, "_mean", lambda parts: np.zeros(2, np.int8))
    assert shelf.near("a", "b") == []


def test_vectors_of_another_length_and_of_another_tenant_are_not_compared() -> None:
    shelf = Shelf()
    shelf.put("a", 1, 0)
    shelf.put("b", 1, 0)
    shelf.put("long", 1, 0, 0)
    shelf.put("c", 1, 0, tenant="other")
    assert shelf.near("a", "long") == ["b"]
    assert shelf.near("long") == []
    assert shelf.near("c", tenant="other") == []


def test_what_is_sold_out_is_not_found_and_others_lead_to_it_no_more() -> None:
    shelf = Shelf()
    shelf.put("a", 1, 0)
    shelf.put("b", 1, 0, stock=0)
    assert shelf.near("a") == []
    assert shelf.near("b") == ["a"]


def test_a_vector_that_changes_length_or_goes_is_followed() -> None:
    shelf = Shelf()
    for item in ("a", "b", "c"):
        shelf.put(item, 1, 1)
    assert shelf.near("a") == ["b", "c"]
    shelf.put("b", 1, 1, 1)
    assert shelf.near("a") == ["c"]
    shelf.put("b", -1, -1)
    assert shelf.near("a") == ["c"]
    shelf.delete("c")
    assert shelf.near("a") == []
    shelf.put("b", title="x")
    shelf.delete("a")
    assert shelf.index.held_bytes == 0


def test_many_changes_are_read_in_steps_and_a_question_reads_the_rest() -> None:
    shelf = Shelf()
    shelf.put("a", 1, 0)
    shelf.vectors.follow(shelf.state)
    for number in range(VECTORS_FOLLOWED_MAX + 10):
        shelf.put(f"i{number}", 1, number + 1)
    shelf.vectors.follow(shelf.state)
    index = shelf.vectors._index_of(shelf.state)
    assert index.held_bytes == (1 + VECTORS_FOLLOWED_MAX) * (2 + 12)
    shelf.vectors.follow(shelf.state)
    assert index.held_bytes == (11 + VECTORS_FOLLOWED_MAX) * (2 + 12)
    assert shelf.near("a")[0] == "i0"


CHANGES = st.lists(
    st.tuples(st.integers(0, 7), st.lists(st.integers(-3, 3), min_size=2, max_size=3), st.integers(0, 2)), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_however_the_catalogue_came_to_be_it_is_what_looking_at_every_item_comes_to(
    changes: list[tuple[int, list[int], int]],
) -> None:
    shelf = Shelf()
    for number, vector, act in changes:
        if act == 0:
            shelf.delete(f"i{number}")
        elif any(vector):
            shelf.put(f"i{number}", *vector, stock=number % 4)
        else:
            shelf.put(f"i{number}", title="bare")
        shelf.index.follow()
    catalogue = shelf.state.catalogue
    for row, item in [*catalogue.at_row.items()]:
        if length_of(item.fields):
            for limit in (2, 10):
                rows, scores = shelf.index.near("shop", [row], limit)
                assert list(zip(rows.tolist(), scores.tolist(), strict=True)) == by_hand(
                    shelf.state, "shop", [row], limit
                )
    fresh = Vectors().of(shelf.state)
    assert fresh.held_bytes == shelf.index.held_bytes


def test_equal_ones_go_by_row_however_they_came() -> None:
    shelf = Shelf()
    for number in range(400):
        shelf.put(f"i{number}", 1, 1)
    for number in range(0, 400, 7):
        shelf.put(f"i{number}", title="bare")
    for number in range(0, 400, 7):
        shelf.put(f"i{number}", 1, 1)
    rows, _ = shelf.index.near("shop", [shelf.row("i9")], 20)
    assert rows.tolist() == [row for row in range(21) if row != shelf.row("i9")]
