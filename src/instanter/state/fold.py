"""The fold: the one function that changes the live picture. Live serving, replay and rebuild all call it.

Per event: find the cell, drop what has been seen, judge lateness against the cell's own newest event, find the
session, then run the operations of the event's code. Nothing here knows the time, the disk or the network.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .aggregations import (
    add_decayed,
    add_last,
    add_last_k,
    add_max,
    add_mean,
    add_min,
    add_seen,
    add_sum,
    add_time_since,
    add_top_k,
    add_windowed,
    bounded,
    bounded_sum,
    count,
    has_seen,
    merge_extreme,
    merge_last_k,
    merge_top_k,
    merge_windowed,
    to_micro,
)
from .compiled import Bytes, Ints, Reals, kernel
from .dedup import CHUNK_NEXT, look, remember
from .layout import (
    CELL_CHUNK,
    CELL_EVENTS,
    CELL_FIRST_MS,
    CELL_IDS,
    CELL_LATE,
    CELL_NEWEST_MS,
    CELL_PREVIOUS,
    CELL_RECEIVED_MS,
    CELL_SESSION,
    MICRO,
    SEEN_ITEMS_MAX,
    SESSION_CELL,
    SESSION_END_MS,
    SESSION_EVENTS,
    SESSION_START_MS,
    BySource,
    Kind,
    Scope,
    ValueSource,
)
from .program import (
    ACTIVE,
    AT,
    BY,
    BY_COLUMN,
    DEDUP_MS,
    GAP_MS,
    HALF_LIFE_MS,
    IDS_MAX,
    KIND,
    LENGTH_MAX_MS,
    PER_ITEM,
    SCOPE,
    SEEN_AT,
    SEQUENCE_MS,
    TILE_MS,
    TILES,
    UNIQUE,
    VALUE,
    VALUE_COLUMN,
    WINDOW_MS,
    Attributes,
    Changes,
    Columns,
    K,
    Program,
    Tables,
)
from .table import (
    CELLS,
    CHUNKS,
    ITEMS,
    MIGRATE_PER_BATCH,
    ROWS_MAX,
    SESSIONS,
    USED,
    WORDS,
    Index,
    Memory,
    address,
    allocate,
    find,
    insert,
    migrate,
    release,
    touch,
)

APPLIED, DUPLICATE, LATE_FOR_SEQUENCES, LATE_FOR_WINDOWS, TABLE_FULL = 0, 1, 2, 3, 4
"""What became of an event."""

# The compiled loop compares plain integers.
COUNT, SUM, MEAN, MIN, MAX = int(Kind.COUNT), int(Kind.SUM), int(Kind.MEAN), int(Kind.MIN), int(Kind.MAX)
DECAYED, WINDOWED, LAST, LAST_K = int(Kind.DECAYED), int(Kind.WINDOWED), int(Kind.LAST), int(Kind.LAST_K)
TIME_SINCE, TOP_K, CO_OCCURRENCE, SEEN = int(Kind.TIME_SINCE), int(Kind.TOP_K), int(Kind.CO_OCCURRENCE), int(Kind.SEEN)
SESSION_SCOPE, ITEM_SCOPE = int(Scope.SESSION), int(Scope.ITEM)
BY_ATTRIBUTE, BY_CONTEXT = int(BySource.ITEM_ATTRIBUTE), int(BySource.CONTEXT)
PROPERTY, ITEM_NUMBER = int(ValueSource.PROPERTY), int(ValueSource.ITEM_NUMBER)
PRICE, QUANTITY = int(ValueSource.PRICE), int(ValueSource.QUANTITY)


@kernel
def fold_batch(program: Program, tables: Tables, columns: Columns, verdicts: Bytes) -> None:
    """Fold a batch in the order given; `verdicts[i]` says what became of event i."""
    migrate(tables.cell_index, MIGRATE_PER_BATCH)
    migrate(tables.item_index, MIGRATE_PER_BATCH)
    for event in range(len(columns.keys)):
        verdicts[event] = _fold_event(program, tables, columns, event)


@kernel
def _fold_event(program: Program, tables: Tables, columns: Columns, event: int) -> int:
    row = cell_of(tables.memory, tables.cell_index, columns.keys[event])
    if row < 0:
        return TABLE_FULL
    memory, settings, at_ms = tables.memory, program.settings, columns.times_ms[event]
    ints, regions = memory.ints, memory.regions
    cell = address(regions, CELLS, row)
    newest_ms = max(ints[cell + CELL_NEWEST_MS], at_ms)
    horizon_ms = newest_ms - settings[DEDUP_MS]
    if at_ms >= horizon_ms:
        seen = look(ints, regions, cell, columns.messages[event], at_ms, horizon_ms)
        if seen.duplicate:
            return DUPLICATE
        touch(memory, CELLS, row)
        remember(memory, cell, columns.messages[event], at_ms, settings[IDS_MAX], seen)
    touch(memory, CELLS, row)
    verdict, session = _lateness(settings, newest_ms - at_ms), -1
    if verdict == APPLIED:
        session_row = _session_of(program, tables, row, cell, at_ms)
        if session_row < 0:
            return TABLE_FULL
        session = address(regions, SESSIONS, session_row)
        ints[session + SESSION_EVENTS] += 1
    _note(ints, cell, at_ms, newest_ms, verdict)
    ints[cell + CELL_RECEIVED_MS] = max(ints[cell + CELL_RECEIVED_MS], columns.received_ms[event])
    code = columns.codes[event]
    if program.first[code] < program.first[code + 1]:
        feeds_items = program.feeds_items[code] and not columns.bots[event]
        _find_items(tables, columns, event, feeds_items)
        _run(program, memory.ints, memory.reals, regions, tables.attributes, columns, event, cell, session, verdict)
        if feeds_items and session >= 0:
            _pair(program, tables, columns, event, session)
    return verdict


@kernel
def _lateness(settings: Ints, lag_ms: int) -> int:
    if lag_ms > settings[WINDOW_MS]:
        return LATE_FOR_WINDOWS
    if lag_ms > settings[SEQUENCE_MS]:
        return LATE_FOR_SEQUENCES
    return APPLIED


@kernel
def _note(ints: Ints, cell: int, at_ms: int, newest_ms: int, verdict: int) -> None:
    if ints[cell + CELL_FIRST_MS] == 0 or at_ms < ints[cell + CELL_FIRST_MS]:
        ints[cell + CELL_FIRST_MS] = at_ms
    ints[cell + CELL_NEWEST_MS] = newest_ms
    ints[cell + CELL_EVENTS] += 1
    if verdict != APPLIED:
        ints[cell + CELL_LATE] += 1


@kernel
def cell_of(memory: Memory, index: Index, key: int) -> int:
    """The row of a cell, made if need be; -1 if there is no room."""
    return _row_of(memory, index, CELLS, key)


@kernel
def item_of(memory: Memory, index: Index, ref: int) -> int:
    """The row of an item, made if need be; -1 if there is no room."""
    return _row_of(memory, index, ITEMS, ref)


@kernel
def met_item_of(memory: Memory, index: Index, ref: int) -> int:
    """The row of an item that an event names; made as long as half of the table is left for the catalogue's items."""
    if memory.regions[ITEMS, USED] * 2 < memory.regions[ITEMS, ROWS_MAX]:
        return item_of(memory, index, ref)
    return find(index, ref)


@kernel
def _row_of(memory: Memory, index: Index, table: int, key: int) -> int:
    """The key stands in the first word of cells and items alike."""
    row = find(index, key)
    if row < 0:
        row = allocate(memory, table)
        if row >= 0:
            memory.ints[address(memory.regions, table, row)] = key
            insert(index, key, row)
    return row


# Sessions. A cell keeps its newest two; with the lateness for sequences at most the gap, an event inside lateness
# can only belong to one of them or join them, so any order of arrival ends in the same sessions.


@kernel
def _session_of(program: Program, tables: Tables, cell_row: int, cell: int, at_ms: int) -> int:
    """The row of the session that an event at `at_ms` belongs to, made, extended or joined; -1 if there is no room."""
    memory = tables.memory
    ints, regions = memory.ints, memory.regions
    gap_ms, length_max_ms = program.settings[GAP_MS], program.settings[LENGTH_MAX_MS]
    row: int = ints[cell + CELL_SESSION] - 1
    if row < 0:
        return _begin_session(memory, cell_row, cell, at_ms)
    session = address(regions, SESSIONS, row)
    start_ms, end_ms = ints[session + SESSION_START_MS], ints[session + SESSION_END_MS]
    if at_ms > end_ms and (at_ms - end_ms > gap_ms or at_ms - start_ms > length_max_ms):
        return _begin_session(memory, cell_row, cell, at_ms)
    touch(memory, SESSIONS, row)
    if at_ms >= start_ms:
        ints[session + SESSION_END_MS] = max(end_ms, at_ms)
        return row
    earlier_row: int = ints[cell + CELL_PREVIOUS] - 1
    if earlier_row >= 0:
        earlier = address(regions, SESSIONS, earlier_row)
        touch(memory, SESSIONS, earlier_row)
        if at_ms <= ints[earlier + SESSION_END_MS]:
            return earlier_row
        earlier_start_ms = ints[earlier + SESSION_START_MS]
        if at_ms - ints[earlier + SESSION_END_MS] <= gap_ms and at_ms - earlier_start_ms <= length_max_ms:
            if end_ms - earlier_start_ms > length_max_ms:
                ints[earlier + SESSION_END_MS] = at_ms
                return earlier_row
            _join(program, tables, session, earlier)
            release(memory, SESSIONS, earlier_row)
            ints[cell + CELL_PREVIOUS] = 0
            return row
    ints[session + SESSION_START_MS] = at_ms
    return row


@kernel
def _begin_session(memory: Memory, cell_row: int, cell: int, at_ms: int) -> int:
    ints = memory.ints
    if ints[cell + CELL_PREVIOUS] > 0:
        release(memory, SESSIONS, ints[cell + CELL_PREVIOUS] - 1)
        ints[cell + CELL_PREVIOUS] = 0
    row = allocate(memory, SESSIONS)
    if row < 0:
        return -1
    ints[cell + CELL_PREVIOUS] = ints[cell + CELL_SESSION]
    ints[cell + CELL_SESSION] = row + 1
    session = address(memory.regions, SESSIONS, row)
    ints[session + SESSION_CELL] = cell_row
    ints[session + SESSION_START_MS] = at_ms
    ints[session + SESSION_END_MS] = at_ms
    return row


@kernel
def _join(program: Program, tables: Tables, session: int, earlier: int) -> None:
    """Merge the session at word `earlier` into the one at word `session`."""
    ints, features = tables.memory.ints, program.features
    ints[session + SESSION_START_MS] = ints[earlier + SESSION_START_MS]
    ints[session + SESSION_EVENTS] += ints[earlier + SESSION_EVENTS]
    for feature in range(len(features)):
        if features[feature, SCOPE] == SESSION_SCOPE:
            at = features[feature, AT]
            if features[feature, KIND] == SEEN:
                _join_seen(program, tables, session + at, earlier + at, at)
            else:
                merge_feature(features, feature, ints, tables.memory.reals, session + at, earlier + at)


@kernel
def merge_feature(features: Ints, feature: int, ints: Ints, reals: Reals, to: int, of: int) -> None:
    """Merge the words of one feature at `of` into those at `to`."""
    kind, k = features[feature, KIND], features[feature, K]
    if kind in (COUNT, SUM):
        ints[to] = bounded_sum(ints[to], ints[of])
    elif kind == MEAN:
        ints[to] = bounded_sum(ints[to], ints[of])
        ints[to + 1] += ints[of + 1]
    elif kind in (MIN, MAX):
        merge_extreme(ints, to, of, kind == MAX)
    elif kind == DECAYED:
        if ints[of] > 0:
            add_decayed(ints, reals, to, features[feature, HALF_LIFE_MS], ints[of], reals[of + 1])
    elif kind == WINDOWED:
        merge_windowed(ints, to, of, features[feature, TILES])
    elif kind == LAST:
        add_last(ints, to, ints[of], ints[of + 1], ints[of + 2])
    elif kind == LAST_K:
        merge_last_k(ints, to, of, k, features[feature, UNIQUE] == 1)
    elif kind == TIME_SINCE:
        add_time_since(ints, to, ints[of])
    elif kind in (TOP_K, CO_OCCURRENCE):
        merge_top_k(ints, reals, to, of, k, features[feature, HALF_LIFE_MS])


# Operations.


@kernel
def _find_items(tables: Tables, columns: Columns, event: int, feeds_items: bool) -> None:
    """Find the rows of the event's items; make and mark them if the event changes them."""
    for place in range(columns.first_item[event], columns.first_item[event + 1]):
        if feeds_items:
            row = met_item_of(tables.memory, tables.item_index, columns.items[place])
            if row >= 0:
                _change(tables, row)
        else:
            row = find(tables.item_index, columns.items[place])
        columns.item_rows[place] = row


@kernel
def _change(tables: Tables, row: int) -> None:
    touch(tables.memory, ITEMS, row)
    changes = tables.changes
    if not changes.marks[row]:
        changes.marks[row] = 1
        changes.rows[changes.meta[0]] = row
        changes.meta[0] += 1


@kernel
def _run(
    program: Program, ints: Ints, reals: Reals, regions: Ints, attributes: Attributes, columns: Columns, event: int,
    cell: int, session: int, verdict: int,
) -> None:  # fmt: skip
    features, refs = program.features, attributes.refs
    code, at_ms, message = columns.codes[event], columns.times_ms[event], columns.messages[event]
    for op in range(program.first[code], program.first[code + 1]):
        feature = program.ops[op]
        kind, scope = features[feature, KIND], features[feature, SCOPE]
        if not _counts(features[feature, ACTIVE], kind, scope, session, verdict, columns.bots[event]):
            continue
        at = features[feature, AT] + (session if scope == SESSION_SCOPE else cell)
        by, by_column = features[feature, BY], features[feature, BY_COLUMN]
        context = columns.refs[event, by_column] if by == BY_CONTEXT else 0
        given = columns.values[event, features[feature, VALUE_COLUMN]] if features[feature, VALUE] == PROPERTY else 1.0
        if not features[feature, PER_ITEM]:
            add(features, feature, ints, reals, at, at_ms, message, given, context)
            continue
        for place in range(columns.first_item[event], columns.first_item[event + 1]):
            row = columns.item_rows[place]
            if scope == ITEM_SCOPE:
                if row < 0:
                    continue
                at = features[feature, AT] + address(regions, ITEMS, row)
            value = given
            if features[feature, VALUE] > PROPERTY:
                value = _item_value(
                    features, feature, attributes.numbers, row, columns.prices[place], columns.quantities[place]
                )
            if by != BY_ATTRIBUTE:
                ref = columns.items[place] if by != BY_CONTEXT else context
                add(features, feature, ints, reals, at, at_ms, message, value, ref)
            elif row >= 0:
                for i in range(refs.shape[2]):
                    if refs[row, by_column, i] == 0:
                        break
                    add(features, feature, ints, reals, at, at_ms, message, value, refs[row, by_column, i])


@kernel
def _counts(active: int, kind: int, scope: int, session: int, verdict: int, bot: int) -> bool:
    """Whether a feature takes notice of an event of this verdict."""
    if not active or kind == CO_OCCURRENCE:
        return False
    if verdict == LATE_FOR_WINDOWS and kind != WINDOWED:
        return False
    if verdict == LATE_FOR_SEQUENCES and (kind in (LAST, LAST_K, TIME_SINCE)):
        return False
    if scope == SESSION_SCOPE:
        return session >= 0
    return scope != ITEM_SCOPE or not bot


@kernel
def _item_value(
    features: Ints, feature: int, numbers: Reals, row: int, price: float, quantity: float
) -> float:
    source = features[feature, VALUE]
    if source == QUANTITY:
        return quantity
    if source == ITEM_NUMBER:
        return float(numbers[row, features[feature, VALUE_COLUMN]]) if row >= 0 else np.nan
    if price != price and row >= 0:
        price = numbers[row, 0]
    return price if source == PRICE else bounded(price) * bounded(quantity)


@kernel
def add(
    features: Ints, feature: int, ints: Ints, reals: Reals, at: int, at_ms: int, message: int, value: float, ref: int
) -> None:
    """Add one value to the feature's words at `at`. A value or reference that is not there changes nothing."""
    by = features[feature, BY] != 0
    if value != value or (by and ref == 0):
        return
    kind, k, value = features[feature, KIND], features[feature, K], bounded(value)
    if kind == COUNT:
        add_sum(ints, at, 1)
    elif kind == TOP_K:
        add_top_k(ints, reals, at, k, features[feature, HALF_LIFE_MS], at_ms, ref, value)
    elif kind == LAST_K:
        add_last_k(ints, at, k, by, at_ms, ref if by else to_micro(value))
    elif kind == DECAYED:
        add_decayed(ints, reals, at, features[feature, HALF_LIFE_MS], at_ms, value)
    elif kind == WINDOWED:
        add_windowed(ints, at, features[feature, TILE_MS], features[feature, TILES], at_ms, to_micro(value))
    elif kind == SUM:
        add_sum(ints, at, to_micro(value))
    elif kind == MEAN:
        add_mean(ints, at, to_micro(value))
    elif kind == TIME_SINCE:
        add_time_since(ints, at, at_ms)
    elif kind == LAST:
        add_last(ints, at, at_ms, message, ref if by else to_micro(value))
    elif kind == MIN:
        add_min(ints, at, to_micro(value))
    elif kind == MAX:
        add_max(ints, at, to_micro(value))


# Co-occurrence: each pair of distinct items of a session counts once in both directions.


@kernel
def _pair(program: Program, tables: Tables, columns: Columns, event: int, session: int) -> None:
    code, features, ints = columns.codes[event], program.features, tables.memory.ints
    place = columns.first_item[event]
    if place == columns.first_item[event + 1]:
        return
    for op in range(program.first[code], program.first[code + 1]):
        feature = program.ops[op]
        if features[feature, KIND] != CO_OCCURRENCE or not features[feature, ACTIVE]:
            continue
        seen, ref = session + features[feature, SEEN_AT], columns.items[place]
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
    _change(tables, left_row)
    _change(tables, right_row)
    at = features[feature, AT]
    count(memory.ints, memory.reals, address(memory.regions, ITEMS, left_row) + at, k, 0, right, micro, 0.0)
    count(memory.ints, memory.reals, address(memory.regions, ITEMS, right_row) + at, k, 0, left, micro, 0.0)


@kernel
def _join_seen(program: Program, tables: Tables, ours: int, theirs: int, seen_at: int) -> None:
    """Two sessions turn out to be one: count the pairs across, take back those that both had counted."""
    ints, features = tables.memory.ints, program.features
    for feature in range(len(features)):
        if features[feature, KIND] != CO_OCCURRENCE or features[feature, SEEN_AT] != seen_at:
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


# Ticks.


class Swept(NamedTuple):
    """How far a sweep came: the first row not looked at, and how many cells it freed something of."""

    end: int
    cells: int


@kernel
def sweep(memory: Memory, first: int, end: int, idle_since_ms: int) -> Swept:
    """Free the sessions and message ids of cells `first` to `end` from which nothing was received since.

    Ends early when the rows saved for a checkpoint take half of their room.
    """
    ints, regions, swept = memory.ints, memory.regions, 0
    for row in range(first, min(end, regions[CELLS, USED])):
        if 2 * memory.spill[0] > len(memory.spill):
            return Swept(row, swept)
        cell = address(regions, CELLS, row)
        if ints[cell + CELL_RECEIVED_MS] >= idle_since_ms or ints[cell + CELL_SESSION] + ints[cell + CELL_CHUNK] == 0:
            continue
        touch(memory, CELLS, row)
        swept += 1
        for word in (cell + CELL_SESSION, cell + CELL_PREVIOUS):
            if ints[word] > 0:
                release(memory, SESSIONS, ints[word] - 1)
                ints[word] = 0
        chunk = ints[cell + CELL_CHUNK] - 1
        while chunk >= 0:
            following = ints[address(regions, CHUNKS, chunk) + CHUNK_NEXT] - 1
            release(memory, CHUNKS, chunk)
            chunk = following
        ints[cell + CELL_CHUNK] = 0
        ints[cell + CELL_IDS] = 0
    return Swept(end, swept)


# Epochs.


@kernel
def publish(memory: Memory, changes: Changes, published: Ints) -> None:
    """Copy the changed item rows to the published table and clear the marks."""
    ints, regions = memory.ints, memory.regions
    words = regions[ITEMS, WORDS]
    for i in range(changes.meta[0]):
        row = changes.rows[i]
        changes.marks[row] = 0
        first = address(regions, ITEMS, row)
        for word in range(words):
            published[row * words + word] = ints[first + word]
    changes.meta[0] = 0
