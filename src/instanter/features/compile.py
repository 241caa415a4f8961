"""From declarations to the schema that the fold runs on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..events.envelope import RECORD_VERSION
from ..events.kinds import canonical_name
from ..events.meanings import BOUND_TO_ORDER, PARTIAL
from ..foundation.errors import ConfigRejected
from ..foundation.limits import (
    CATALOGUE_ITEM_BYTES,
    CATALOGUE_ITEMS_ALWAYS,
    CATALOGUE_ITEMS_MAX,
    CATALOGUE_MEMORY_DIVISOR,
    DEDUP_IDS_MAX,
    ITEMS_MAX,
    PURPOSES_MAX,
    STEP_RINGS_MAX,
    STEPS_MAX,
    STEPS_MEMORY_DIVISOR,
    STEPS_MIN,
)
from ..state import aggregations
from ..state.aggregations import SEQUENCES
from ..state.cold import COLD_WORDS
from ..state.layout import CHUNK_WORDS, STEP_WORDS, BySource, FeatureSpec, Layout, Scope, ValueSource, lay_out
from ..state.ledger import PAGE_WORDS
from ..state.program import FOLDING_NOW, SETTING_NAMES, SETTINGS_FORMERLY
from ..state.schema import CELLS_PER_LEDGER_PAGE, OTHER, Capacity, Schema
from .declaration import EVERYTHING, FeatureDeclaration, check_all, duration_ms, former_of, version

_PRICE = "price"
_MIB = 1024 * 1024
_BYTES_PER_WORD = 8
_INDEX_BYTES = 64
"""A row's share of its index, which is at most half full, with what growing takes."""
_SUBJECT_BYTES = 100
"""What the key store remembers of a person."""
_STEP_BYTES = STEP_WORDS * _BYTES_PER_WORD + 1
PROGRAM_MIB = 165
"""Kernels and libraries."""
MANY_ITEMS_MIB = 2_048
"""Of what the limit is beyond this, half is for items beyond those that are always taken."""
PEOPLE_MIB_MIN = 48
"""People have so much also where the limit is smaller than the program."""

DEFAULT_SETTINGS = {
    "session_gap_ms": 30 * 60_000,
    "session_length_max_ms": 12 * 3_600_000,
    "lateness_sequence_ms": 30 * 60_000,
    "lateness_window_ms": 24 * 3_600_000,
    "dedup_window_ms": 24 * 3_600_000,
    "dedup_ids_max": DEDUP_IDS_MAX,
    "folding": FOLDING_NOW,
}
"""What the fold stands on where the configuration says nothing."""


def compile_features(
    declarations: Sequence[FeatureDeclaration],
    *,
    settings: dict[str, int] = DEFAULT_SETTINGS,
    memory_mb: int = 2_048,
    items_max: int = ITEMS_MAX,
) -> Schema:
    """The schema of these declarations; `ConfigRejected` if one is impossible. Same declarations, same schema.

    `memory_mb` is what the process may take, see `capacity_in`.
    """
    rings = sum(declaration.aggregate == SEQUENCES.name for declaration in declarations)
    settings = SETTINGS_FORMERLY | {"steps_kept": _steps_kept(memory_mb, rings)} | settings
    assert set(settings) == set(SETTING_NAMES)
    check_all(declarations, session_ms_max=settings["session_length_max_ms"])
    heard = {name for d in declarations for name in (*_spelled(d.on), *_spelled(d.takes_back))}
    codes = {name: code for code, name in enumerate(sorted(heard - {EVERYTHING}), start=1)}
    properties = _named(("properties.",), (d.value for d in declarations))
    numbers = (_PRICE, *(n for n in _named(("item.",), (d.value for d in declarations)) if n != _PRICE))
    attributes = _named(("item.",), (d.by for d in declarations))
    contexts = _named(("context.",), (d.by for d in declarations))
    specs = [
        _spec(declaration, codes, properties=properties, numbers=numbers, attributes=attributes, contexts=contexts)
        for declaration in declarations
    ]
    layout = lay_out(specs)
    if rings > STEP_RINGS_MAX:
        raise ConfigRejected(f"{rings} features keep sequences, there is room for {STEP_RINGS_MAX}",
                             setting="aggregate")
    if len(layout.purposes) > PURPOSES_MAX:
        raise ConfigRejected(f"features name {len(layout.purposes)} purposes, at most {PURPOSES_MAX} are told apart",
                             setting="purpose")
    return Schema(
        layout,
        codes,
        properties=properties,
        contexts=contexts,
        attributes=attributes,
        numbers=numbers,
        settings=dict(settings),
        capacity=capacity_in(memory_mb, layout, items_max=items_max),
        ttl_ms={d.name: duration_ms(d.ttl) for d in declarations if d.ttl},
        purposes=layout.purposes,
        hears_all=any(EVERYTHING in d.on for d in declarations),
    )


def _named(prefixes: tuple[str, ...], sources: Iterable[str]) -> tuple[str, ...]:
    """The distinct names behind a prefix, sorted so that the order of the file does not matter."""
    return tuple(sorted({text.removeprefix(p) for text in sources for p in prefixes if text.startswith(p)}))


def _spec(
    feature: FeatureDeclaration,
    codes: dict[str, int],
    *,
    properties: tuple[str, ...],
    numbers: tuple[str, ...],
    attributes: tuple[str, ...],
    contexts: tuple[str, ...],
) -> FeatureSpec:
    gives = _spelled(feature.on) if EVERYTHING not in feature.on else set(codes)
    takes = _spelled(feature.takes_back) - gives
    formerly = set((former_of(feature) or feature).on)
    since = {codes[name]: 2 for name in (gives | takes) - formerly}
    if EVERYTHING in feature.on:
        since[OTHER] = 2
    value, value_column = _value(feature.value, properties, numbers)
    by, by_column = _by(feature.by, attributes, contexts)
    return FeatureSpec(
        name=feature.name,
        version=f"{RECORD_VERSION}-{version(feature)}",
        aggregation=aggregations.declared(feature.aggregate, feature.by),
        scope=Scope[feature.scope.upper()],
        codes=tuple(sorted([codes[name] for name in gives] + [OTHER] * (EVERYTHING in feature.on))),
        value=value,
        value_column=value_column,
        by=by,
        by_column=by_column,
        k=feature.k,
        half_life_ms=duration_ms(feature.half_life) if feature.half_life else 0,
        tile_ms=duration_ms(feature.window) // feature.tiles if feature.window else 0,
        tiles=feature.tiles if feature.window else 0,
        purpose=feature.purpose,
        takes_back=tuple(sorted(codes[name] for name in takes)),
        partial=frozenset(codes[name] for name in takes & PARTIAL),
        bound=frozenset(codes[name] for name in gives & BOUND_TO_ORDER if feature.by == "order"),
        heard_since=since,
    )


def _spelled(names: Iterable[str]) -> set[str]:
    """The names as declared, and the canonical ones that events come under which were sent by these."""
    return {spelled for name in names for spelled in (name, canonical_name(name))}


def _value(text: str, properties: tuple[str, ...], numbers: tuple[str, ...]) -> tuple[ValueSource, int]:
    if text.startswith("properties."):
        return ValueSource.PROPERTY, properties.index(text.removeprefix("properties."))
    if text.startswith("item."):
        return ValueSource.ITEM_NUMBER, numbers.index(text.removeprefix("item."))
    return (ValueSource[text.upper()] if text else ValueSource.ONE), 0


def _by(text: str, attributes: tuple[str, ...], contexts: tuple[str, ...]) -> tuple[BySource, int]:
    if text.startswith("item."):
        return BySource.ITEM_ATTRIBUTE, attributes.index(text.removeprefix("item."))
    if text.startswith("context."):
        return BySource.CONTEXT, contexts.index(text.removeprefix("context."))
    if text == "order":
        return BySource.ORDER, 0
    return (BySource.ITEM if text else BySource.NOTHING), 0


def capacity_in(memory_mb: int, layout: Layout, *, items_max: int) -> Capacity:
    """How many people a process of so much memory has room for, and how large a catalogue.

    The program, the items and the steps come first. Of the rest two thirds are for people in memory: a cell, its two
    sessions, its share of message ids, ledgers and indexes; one third says where those on disk lie.
    """
    words = layout.cell_words + 2 * layout.session_words + 4 * CHUNK_WORDS + 1 + PAGE_WORDS // CELLS_PER_LEDGER_PAGE
    in_memory = words * _BYTES_PER_WORD + 7 + _INDEX_BYTES + _SUBJECT_BYTES
    on_disk = COLD_WORDS * _BYTES_PER_WORD + 1 + _INDEX_BYTES + _SUBJECT_BYTES
    item = 2 * layout.item_words * _BYTES_PER_WORD + 2 * _INDEX_BYTES
    items = min(min(items_max, CATALOGUE_ITEMS_ALWAYS) * item, memory_mb * _MIB // 4)
    more = min(
        max(min(items_max, CATALOGUE_ITEMS_MAX) - CATALOGUE_ITEMS_ALWAYS, 0),
        max(memory_mb - MANY_ITEMS_MIB, 0) * _MIB // 2 // (item + CATALOGUE_ITEM_BYTES),
    )
    items += more * (item + CATALOGUE_ITEM_BYTES)
    rings = len(layout.rings)
    steps = rings * _steps_kept(memory_mb, rings) * _STEP_BYTES
    people = max((memory_mb - PROGRAM_MIB) * _MIB - items - steps, PEOPLE_MIB_MIN * _MIB)
    return Capacity(
        cells=max(people * 2 // 3 // in_memory, 1_024), items=items_max, cold=people // 3 // on_disk,
        steps=STEPS_MAX, catalogue=CATALOGUE_ITEMS_ALWAYS + more,
        catalogue_bytes=memory_mb * _MIB // CATALOGUE_MEMORY_DIVISOR,
    )  # fmt: skip


def _steps_kept(memory_mb: int, rings: int) -> int:
    """How many steps each of so many rings keeps where the configuration does not say."""
    if rings == 0:
        return 0
    return min(max(memory_mb * _MIB // STEPS_MEMORY_DIVISOR // rings // _STEP_BYTES, STEPS_MIN), STEPS_MAX)
