from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.events.meanings import number_of_role
from instanter.features.compile import DEFAULT_SETTINGS, PROGRAM_MIB, compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.limits import (
    CATALOGUE_ITEMS_ALWAYS,
    CATALOGUE_ITEMS_MAX,
    ITEMS_MAX,
    STEP_RINGS_MAX,
    STEPS_MAX,
    STEPS_MEMORY_DIVISOR,
    STEPS_MIN,
)
from instanter.state import aggregations
from instanter.state.layout import (
    CELL_WORDS,
    CHUNK_WORDS,
    ITEM_WORDS,
    SESSION_WORDS,
    STEP_WORDS,
    BySource,
    FeatureSpec,
    Scope,
    ValueSource,
)
from instanter.state.ledger import LEDGER_PAGES_MAX, PAGE_WORDS
from instanter.state.program import ACTIVE, COMPANION_AT, RING, SETTING_NAMES, activate, make_program
from instanter.state.schema import Schema

HEADS = {Scope.SESSION: SESSION_WORDS, Scope.PROFILE: CELL_WORDS, Scope.ITEM: ITEM_WORDS}


def feature(**fields: object) -> FeatureDeclaration:
    return msgspec.convert({"name": "one", "on": ("Product Viewed",), "aggregate": "count"} | fields,
                           FeatureDeclaration)  # fmt: skip


def spec(**fields: object) -> FeatureSpec:
    return compile_features([feature(**fields)]).feature("one")


def by_name(schema: Schema) -> dict[str, FeatureSpec]:
    return {placed.spec.name: placed.spec for placed in schema.layout.features}


def test_the_shops_defaults_compile() -> None:
    schema = compile_features(DEFAULT_FEATURES)
    assert {name for name, _ in schema.declared()} == {declaration.name for declaration in DEFAULT_FEATURES}
    assert schema.numbers[0] == "price"
    assert schema.settings == DEFAULT_SETTINGS | {"steps_kept": schema.settings["steps_kept"]}


def test_the_features_of_a_record_stand_one_after_another_without_a_gap() -> None:
    schema = compile_features(DEFAULT_FEATURES)
    words = {Scope.SESSION: schema.layout.session_words, Scope.PROFILE: schema.layout.cell_words,
             Scope.ITEM: schema.layout.item_words}  # fmt: skip
    for scope, end in HEADS.items():
        for placed in schema.layout.features:
            if placed.spec.scope is scope:
                assert placed.offset == end
                end += placed.spec.words
        assert end == words[scope]


@given(st.randoms(use_true_random=False))
def test_the_order_of_declarations_changes_no_feature(rng: random.Random) -> None:
    shuffled = rng.sample(DEFAULT_FEATURES, len(DEFAULT_FEATURES))
    assert by_name(compile_features(shuffled)) == by_name(compile_features(DEFAULT_FEATURES))


def test_the_same_declarations_compile_to_the_same_schema() -> None:
    assert compile_features(DEFAULT_FEATURES) == compile_features(list(DEFAULT_FEATURES))


@pytest.mark.parametrize(("value", "source", "per_item"), [
    ("", ValueSource.ONE, False), ("price", ValueSource.PRICE, True), ("quantity", ValueSource.QUANTITY, True),
    ("revenue", ValueSource.REVENUE, True), ("item.width", ValueSource.ITEM_NUMBER, True),
    ("properties.read_ms", ValueSource.PROPERTY, False),
])  # fmt: skip
def test_a_value_comes_from_where_it_says(value: str, source: ValueSource, per_item: bool) -> None:
    compiled = spec(aggregate="decayed", half_life="1h", value=value)
    assert (compiled.value, compiled.per_item) == (source, per_item)


@pytest.mark.parametrize(("by", "source", "per_item"), [
    ("item", BySource.ITEM, True), ("item.brand", BySource.ITEM_ATTRIBUTE, True),
    ("context.device", BySource.CONTEXT, False),
])  # fmt: skip
def test_what_is_told_apart_comes_from_where_it_says(by: str, source: BySource, per_item: bool) -> None:
    compiled = spec(aggregate="top_k", by=by, k=3)
    assert (compiled.by, compiled.per_item, compiled.k) == (source, per_item, 3)


def test_columns_are_shared_and_sorted_and_named_once() -> None:
    schema = compile_features([
        feature(name="a", aggregate="sum", value="item.width"),
        feature(name="b", aggregate="max", value="item.width"),
        feature(name="c", aggregate="min", value="item.depth"),
        feature(name="d", aggregate="sum", value="item.price"),
        feature(name="e", aggregate="sum", value="properties.z"),
        feature(name="f", aggregate="sum", value="properties.a"),
        feature(name="g", aggregate="top_k", by="item.tags", k=2),
        feature(name="h", aggregate="top_k", by="context.system", k=2),
        feature(name="i", aggregate="top_k", by="context.device", k=2),
    ])  # fmt: skip
    assert schema.numbers == ("price", "depth", "width")
    assert (schema.properties, schema.attributes, schema.contexts) == (("a", "z"), ("tags",), ("device", "system"))
    specs = by_name(schema)
    assert [specs[name].value_column for name in "abcdef"] == [2, 2, 1, 0, 1, 0]
    assert [specs[name].by_column for name in "ghi"] == [0, 1, 0]


def test_events_have_codes_from_one_on_in_the_order_of_their_names() -> None:
    schema = compile_features([feature(name="a", on=("Z", "B")), feature(name="b", on=("A", "B"))])
    assert schema.codes == {"A": 1, "B": 2, "Z": 3}
    assert by_name(schema)["a"].codes == (2, 3)


def test_durations_and_tiles_are_in_milliseconds() -> None:
    windowed = spec(aggregate="windowed", window="24h", tiles=8)
    assert (windowed.tile_ms, windowed.tiles, windowed.words) == (3 * 3_600_000, 8, 10)
    assert spec(aggregate="decayed", half_life="2h").half_life_ms == 7_200_000
    assert spec().tiles == 0


def test_co_occurrence_brings_the_slot_that_its_sessions_need() -> None:
    schema = compile_features([feature(aggregate="co_occurrence", scope="item", k=24)])
    seen = schema.layout.named("one.seen")
    assert (seen.spec.aggregation, seen.spec.scope) == (aggregations.SEEN, Scope.SESSION)
    assert schema.declared() == (("one", schema.feature("one").version),)
    program = make_program(schema.layout, codes=2, settings=schema.settings)
    assert program.features[0, COMPANION_AT] == seen.offset
    activate(program, schema.layout, frozenset(schema.declared()), {})
    assert program.features[:, ACTIVE].tolist() == [1, 1]


def test_a_program_lists_the_features_of_each_code() -> None:
    schema = compile_features([feature(name="a", on=("A", "B")), feature(name="b", on=("B",), scope="item")])
    program = make_program(schema.layout, codes=len(schema.codes) + 1, settings=schema.settings)
    listed = [program.ops[program.first[code] : program.first[code + 1]].tolist() for code in range(3)]
    assert listed == [[], [0], [0, 1]]
    assert program.feeds_items.tolist() == [0, 0, 1]
    assert program.settings.tolist() == [schema.settings[name] for name in SETTING_NAMES]


def test_a_version_follows_the_meaning_and_not_the_name() -> None:
    views = compile_features([feature(name="views")]).feature("views").version
    assert compile_features([feature(name="looks", owner="me")]).feature("looks").version == views
    assert compile_features([feature(name="views", scope="item")]).feature("views").version != views


def test_time_to_live_is_handed_to_the_reader() -> None:
    schema = compile_features([feature(name="a", ttl="90d"), feature(name="b")])
    assert schema.ttl_ms == {"a": 90 * 86_400_000}


def test_more_memory_is_room_for_more_people_and_there_is_always_some() -> None:
    rooms = [compile_features(DEFAULT_FEATURES, memory_mb=mb).capacity.cells for mb in (1, 64, 1_165, 2_165)]
    assert rooms[0] == rooms[1] > 10_000
    assert rooms[2] > 10 * rooms[1]
    assert 1.9 < rooms[3] / rooms[2] < 2.6


def test_of_people_on_disk_more_fit_than_of_those_in_memory() -> None:
    room = compile_features(DEFAULT_FEATURES, memory_mb=2_048).capacity
    assert room.cold > 5 * room.cells


def test_ledgers_are_part_of_what_people_may_take() -> None:
    room = compile_features([], memory_mb=2_048, items_max=0).capacity
    words = CELL_WORDS + 2 * SESSION_WORDS + 4 * CHUNK_WORDS + 1
    marks, index, subject = 7, 64, 100
    people = (8 * words + marks + index + subject) * room.cells
    of_people = (2_048 - PROGRAM_MIB) * 1024 * 1024 * 2 // 3
    assert people + 8 * PAGE_WORDS * (room.ledger_pages - LEDGER_PAGES_MAX) <= of_people
    assert room.ledger_pages > 10 * LEDGER_PAGES_MAX


def test_a_large_catalogue_takes_room_of_people_only_where_there_is_much_memory() -> None:
    for memory_mb in (64, 512, 2_048):
        room, few = (compile_features(DEFAULT_FEATURES, memory_mb=memory_mb, items_max=items).capacity
                     for items in (ITEMS_MAX, CATALOGUE_ITEMS_ALWAYS))  # fmt: skip
        assert (room.cells, room.cold, room.catalogue) == (few.cells, few.cold, CATALOGUE_ITEMS_ALWAYS)
    room = compile_features(DEFAULT_FEATURES, memory_mb=3_072).capacity
    assert CATALOGUE_ITEMS_ALWAYS < room.catalogue < CATALOGUE_ITEMS_MAX
    room = compile_features(DEFAULT_FEATURES, memory_mb=4_450).capacity
    assert (room.catalogue, room.items) == (CATALOGUE_ITEMS_MAX, ITEMS_MAX)
    assert room.cells + room.cold > 5_400_000


def test_a_ring_keeps_more_steps_where_there_is_more_memory() -> None:
    def kept(memory_mb: int, rings: int = 1) -> int:
        features = [feature(name=f"ring_{i}", aggregate="sequences", scope="item") for i in range(rings)]
        return compile_features(features, memory_mb=memory_mb).settings["steps_kept"]

    assert (kept(1, rings=2), kept(100_000), kept(2_048, rings=0)) == (STEPS_MIN, STEPS_MAX, 0)
    of_steps = 1_024 * 1024 * 1024 // STEPS_MEMORY_DIVISOR
    assert kept(1_024) == of_steps // (8 * STEP_WORDS + 1) == pytest.approx(2 * kept(1_024, rings=2), abs=1)
    assert compile_features([feature()], settings=DEFAULT_SETTINGS | {"steps_kept": 7}).settings["steps_kept"] == 7


def test_steps_take_room_of_people() -> None:
    steps = feature(name="steps", aggregate="sequences", scope="item")
    without = compile_features([feature()], memory_mb=1_024).capacity
    with_steps = compile_features([feature(), steps], memory_mb=1_024).capacity
    assert 0.9 * without.cells < with_steps.cells < 0.96 * without.cells


def test_so_many_features_have_a_ring_and_one_more_is_refused() -> None:
    rings = [feature(name=f"ring_{i}", aggregate="sequences", scope="item") for i in range(STEP_RINGS_MAX + 1)]
    assert [spec.name for spec in compile_features(rings[1:]).layout.rings] == [one.name for one in rings[1:]]
    with pytest.raises(ConfigRejected, match="keep sequences"):
        compile_features(rings)


def test_a_feature_that_keeps_steps_brings_the_slot_that_its_people_need() -> None:
    schema = compile_features([feature(aggregate="sequences", scope="item")])
    newest = schema.layout.named("one.newest")
    program = make_program(schema.layout, codes=2, settings=schema.settings, names=schema.codes)
    assert (newest.spec.scope, newest.spec.words, newest.offset) == (Scope.PROFILE, 1, CELL_WORDS)
    assert (program.features[0, COMPANION_AT], program.features[0, RING]) == (newest.offset, 0)
    assert program.roles.tolist() == [0, number_of_role("Product Viewed")]


def test_no_features_compile_to_records_without_any() -> None:
    layout = compile_features([]).layout
    assert (layout.cell_words, layout.session_words, layout.item_words) == (CELL_WORDS, SESSION_WORDS, ITEM_WORDS)


def test_what_is_impossible_is_refused() -> None:
    with pytest.raises(ConfigRejected, match="two features"):
        compile_features([feature(), feature()])
    with pytest.raises(ConfigRejected, match="longer than any session"):
        compile_features([feature(aggregate="windowed", window="6h", scope="session")],
                         settings=DEFAULT_SETTINGS | {"session_length_max_ms": 3_600_000})  # fmt: skip


def test_an_unknown_feature_is_not_found() -> None:
    with pytest.raises(KeyError):
        compile_features(DEFAULT_FEATURES).feature("nothing")
