"""Co-occurrence: each pair of distinct items of a session counts once in both directions."""

from __future__ import annotations

from .aggregations.base import Trait
from .aggregations.seen import add_seen, has_seen
from .aggregations.top_k import count
from .compiled import Ints, kernel
from .layout import MICRO, SEEN_ITEMS_MAX
from .program import (
    ACTIVE,
    AS_CAME,
    AT,
    COMPANION_AT,
    FOLDING,
    HEARD_SINCE,
    PURPOSE,
    TRAITS,
    Columns,
    K,
    Program,
    Tables,
)
from .rows import change_item, met_item_of
from .table import ITEMS, address

_PAIRS = int(Trait.PAIRS)


@kernel
def count_pairs(program: Program, tables: Tables, columns: Columns, event: int, session: int) -> None:
    """Pair the event's first item with those that the session has seen, for each co-occurrence the event feeds."""
    code, features, ints = columns.codes[event], program.features, tables.memory.ints
    place = columns.first_item[event]
    if place == columns.first_item[event + 1]:
        return
    for op in range(program.first[code], program.first[code + 1]):
        feature = program.ops[op]
        if not features[feature, TRAITS] & _PAIRS or not features[feature, ACTIVE]:
            continue
        if program.acts[op, HEARD_SINCE] > program.settings[FOLDING]:
            continue
        if columns.denied[event] >> features[feature, PURPOSE] & 1:
            continue
        seen, ref = session + features[feature, COMPANION_AT], columns.items[place]
        if not has_seen(ints, seen, ref):
            for i in range(min(ints[seen], SEEN_ITEMS_MAX)):
                _count_pair(features, feature, tables, ref, ints[seen + 1 + i], MICRO)
            add_seen(ints, seen, ref)


@kernel
def _count_pair(features: Ints, feature: int, tables: Tables, left: int, right: int, micro: int) -> None:
    memory, k = tables.memory, features[feature, K]
    left_row = met_item_of(memory, tables.item_index, left)
    right_row = met_item_of(memory, tables.item_index, right)
    if left_row < 0 or right_row < 0:
        return
    change_item(tables, left_row)
    change_item(tables, right_row)
    at, as_came = features[feature, AT], features[feature, AS_CAME]
    count(memory.ints, memory.reals, address(memory.regions, ITEMS, left_row) + at, k, 0, as_came, right, micro, 0.0)
    count(memory.ints, memory.reals, address(memory.regions, ITEMS, right_row) + at, k, 0, as_came, left, micro, 0.0)


@kernel
def join_seen(program: Program, tables: Tables, ours: int, theirs: int, seen_at: int) -> None:
    """Two sessions turn out to be one: count the pairs across, take back those that both had counted."""
    ints, features = tables.memory.ints, program.features
    for feature in range(len(features)):
        if not features[feature, TRAITS] & _PAIRS or features[feature, COMPANION_AT] != seen_at:
            continue
        if not features[feature, ACTIVE]:
            continue
        for i in range(min(ints[theirs], SEEN_ITEMS_MAX)):
            other = ints[theirs + 1 + i]
            shared = has_seen(ints, ours, other)
            for j in range(min(ints[ours], SEEN_ITEMS_MAX)):
                mine = ints[ours + 1 + j]
                also = has_seen(ints, theirs, mine)
                if not shared and not also:
                    _count_pair(features, feature, tables, mine, other, MICRO)
                elif shared and also and mine < other:
                    _count_pair(features, feature, tables, mine, other, -MICRO)
    for i in range(min(ints[theirs], SEEN_ITEMS_MAX)):
        if not has_seen(ints, ours, ints[theirs + 1 + i]):
            add_seen(ints, ours, ints[theirs + 1 + i])
