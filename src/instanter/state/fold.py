"""The fold: the one function that changes the live picture. Live serving, replay and rebuild all call it.

Per event: find the cell, drop what has been seen, judge lateness against the cell's own newest event, find the
session, then run the operations of the event's code. Nothing here knows the time, the disk or the network.
"""

from __future__ import annotations

import numpy as np

from ..events.envelope import Flag
from .aggregations.base import Trait
from .aggregations.dispatch import add, add_order
from .aggregations.fixed_point import bounded
from .compiled import Bytes, Ints, kernel
from .dedup import look, remember
from .layout import (
    BY_ATTRIBUTE,
    BY_CONTEXT,
    BY_ORDER,
    CELL_CHUNK,
    CELL_EVENTS,
    CELL_FIRST_MS,
    CELL_LATE,
    CELL_NEWEST_MS,
    CELL_RECEIVED_MS,
    CELL_SESSION,
    CELL_SWEPT_MS,
    ITEM_NUMBER,
    ITEM_SCOPE,
    PRICE,
    PROPERTY,
    QUANTITY,
    SESSION_EVENTS,
    SESSION_SCOPE,
)
from .pairs import count_pairs
from .program import (
    ACTIVE,
    AT,
    BY,
    BY_COLUMN,
    DEDUP_MS,
    FOLDING,
    GIVES_OF_ORDER,
    HEARD_SINCE,
    PER_ITEM,
    PURPOSE,
    SCOPE,
    SEQUENCE_MS,
    SIGN,
    TAKES_PART,
    TRAITS,
    VALUE,
    VALUE_COLUMN,
    WINDOW_MS,
    Attributes,
    Columns,
    Program,
    Tables,
    price_at,
)
from .rows import cell_of, change_item, met_item_of
from .sequences import add_steps
from .sessions import session_of
from .table import CELLS, ITEMS, MIGRATE_PER_BATCH, SESSIONS, WORDS, address, find, migrate, touch
from .upkeep import is_swept, let_go

WORDS_PER_LINE = 8
"""Of a line of the processor's cache."""

APPLIED, DUPLICATE, LATE_FOR_SEQUENCES, LATE_FOR_WINDOWS, TABLE_FULL, TOLD_AGAIN = 0, 1, 2, 3, 4, 5
"""What became of an event."""

_BOT, _RETOLD = int(Flag.BOT), int(Flag.RETOLD)
_OWN_AGE, _SEQUENTIAL, _FED_BESIDE = int(Trait.OWN_AGE), int(Trait.SEQUENTIAL), int(Trait.PAIRS | Trait.STEPS)
_EVENTS, _RECALLS_ORDERS = int(Trait.EVENTS), int(Trait.RECALLS_ORDERS)


@kernel
def fold_batch(program: Program, tables: Tables, columns: Columns, verdicts: Bytes) -> None:
    """Fold a batch in the order given; `verdicts[i]` says what became of event i."""
    migrate(tables.cell_index, MIGRATE_PER_BATCH)
    migrate(tables.item_index, MIGRATE_PER_BATCH)
    for event in range(len(columns.keys)):
        verdicts[event] = _read_ahead(tables, columns.keys[event]) & 1
    for event in range(len(columns.keys)):
        verdicts[event] = _fold_event(program, tables, columns, event)


@kernel
def _read_ahead(tables: Tables, key: int) -> int:
    """Read a word of each line of the processor's cache in which the cell and its session lie, if they are there; what
    comes out means nothing. Reads of many people wait for memory together; in the midst of folding each waits alone,
    and that was a quarter of the time."""
    ints, regions = tables.memory.ints, tables.memory.regions
    row, found = find(tables.cell_index, key), 0
    if row >= 0:
        cell = address(regions, CELLS, row)
        for word in range(cell, cell + regions[CELLS, WORDS], WORDS_PER_LINE):
            found ^= ints[word]
        session_row = ints[cell + CELL_SESSION] - 1
        if session_row >= 0:
            session = address(regions, SESSIONS, session_row)
            for word in range(session, session + regions[SESSIONS, WORDS], WORDS_PER_LINE):
                found ^= ints[word]
    return found


@kernel
def _fold_event(program: Program, tables: Tables, columns: Columns, event: int) -> int:
    row = cell_of(tables.memory, tables.cell_index, columns.keys[event])
    if row < 0:
        return TABLE_FULL
    if columns.flags[event] & _RETOLD:
        return _fold_again(program, tables, columns, event, row)
    memory, settings, at_ms = tables.memory, program.settings, columns.times_ms[event]
    ints, regions = memory.ints, memory.regions
    cell = address(regions, CELLS, row)
    if is_swept(ints, cell, tables.idle[0]) and ints[cell + CELL_SESSION] + ints[cell + CELL_CHUNK] > 0:
        touch(memory, CELLS, row)
        let_go(memory, row)
    newest_ms = max(ints[cell + CELL_NEWEST_MS], at_ms)
    horizon_ms = newest_ms - settings[DEDUP_MS]
    if at_ms >= horizon_ms:
        message = columns.messages[event]
        seen = look(memory, row, message, at_ms, horizon_ms)
        if seen.duplicate:
            return DUPLICATE
        touch(memory, CELLS, row)
        if not remember(memory, row, message, at_ms, horizon_ms, settings, seen):
            tables.forgotten[0] += 1
    touch(memory, CELLS, row)
    verdict, session = _lateness(settings, newest_ms - at_ms), -1
    if verdict == APPLIED:
        session_row = session_of(program, tables, row, cell, at_ms)
        if session_row < 0:
            return TABLE_FULL
        session = address(regions, SESSIONS, session_row)
        ints[session + SESSION_EVENTS] += 1
    _note(ints, cell, at_ms, newest_ms, verdict)
    ints[cell + CELL_RECEIVED_MS] = max(ints[cell + CELL_RECEIVED_MS], columns.received_ms[event])
    ints[cell + CELL_SWEPT_MS] = tables.idle[0]
    code = columns.codes[event]
    if program.first[code] < program.first[code + 1]:
        feeds_items = _feeds_items(program, columns, event)
        _find_items(program, tables, columns, event, feeds_items)
        _run(program, tables, columns, event, cell, session, verdict)
        if feeds_items and session >= 0:
            count_pairs(program, tables, columns, event, session)
            add_steps(program, tables, columns, event, cell)
    return verdict


@kernel
def _fold_again(program: Program, tables: Tables, columns: Columns, event: int, row: int) -> int:
    """Fold an event that is told again: its features take it, whatever its age, and the cell's own course stays."""
    memory, at_ms = tables.memory, columns.times_ms[event]
    cell = address(memory.regions, CELLS, row)
    touch(memory, CELLS, row)
    if memory.ints[cell + CELL_EVENTS] == 0:  # Its first telling had found no room.
        _note(memory.ints, cell, at_ms, at_ms, APPLIED)
    code = columns.codes[event]
    if program.first[code] < program.first[code + 1]:
        _find_items(program, tables, columns, event, _feeds_items(program, columns, event))
        _run(program, tables, columns, event, cell, -1, TOLD_AGAIN)
    return TOLD_AGAIN


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
def _feeds_items(program: Program, columns: Columns, event: int) -> bool:
    """Whether the event changes item records."""
    since = program.feeds_items[columns.codes[event]]
    return bool(0 < since <= program.settings[FOLDING] and not columns.flags[event] & _BOT)


@kernel
def _find_items(program: Program, tables: Tables, columns: Columns, event: int, feeds_items: bool) -> None:
    """Find the rows of the event's items, or make them: items of one time stand in their order. By former rules of the
    fold only an event that changes items makes rows. What it changes is marked."""
    makes = feeds_items or program.settings[FOLDING] >= 4
    for place in range(columns.first_item[event], columns.first_item[event + 1]):
        ref = columns.items[place]
        row = met_item_of(tables.memory, tables.item_index, ref) if makes else find(tables.item_index, ref)
        if feeds_items and row >= 0:
            change_item(tables, row)
        columns.item_rows[place] = row


@kernel
def _run(
    program: Program, tables: Tables, columns: Columns, event: int, cell: int, session: int, verdict: int
) -> None:  # fmt: skip
    ints, reals, regions = tables.memory.ints, tables.memory.reals, tables.memory.regions
    attributes, items = tables.attributes, tables.item_index
    features, refs = program.features, attributes.refs
    code, at_ms, message = columns.codes[event], columns.times_ms[event], columns.messages[event]
    denied, order, folding = columns.denied[event], columns.orders[event], program.settings[FOLDING]
    nothing_named = columns.first_item[event] == columns.first_item[event + 1]
    for op in range(program.first[code], program.first[code + 1]):
        feature, sign = program.ops[op], program.acts[op, SIGN]
        if nothing_named and sign > 0 and features[feature, PER_ITEM]:
            continue
        traits, scope = features[feature, TRAITS], features[feature, SCOPE]
        if program.acts[op, HEARD_SINCE] > folding or (sign == GIVES_OF_ORDER and order == 0):
            continue
        if denied >> features[feature, PURPOSE] & 1:
            continue
        if not features[feature, ACTIVE] or traits & _FED_BESIDE:
            continue
        if not _counts(traits, scope, session, verdict, columns.flags[event] & _BOT, folding):
            continue
        back = sign < 0
        at = features[feature, AT] + (session if scope == SESSION_SCOPE else cell)
        by, by_column = features[feature, BY], features[feature, BY_COLUMN]
        if by == BY_ORDER:
            if sign != TAKES_PART or nothing_named:
                add_order(features, feature, ints, at, at_ms, order, back)
            continue
        context = columns.refs[event, by_column] if by == BY_CONTEXT else 0
        given = columns.values[event, features[feature, VALUE_COLUMN]] if features[feature, VALUE] == PROPERTY else 1.0
        if not features[feature, PER_ITEM]:
            if sign != TAKES_PART or nothing_named or not traits & _EVENTS:
                add(features, feature, ints, reals, items, at, at_ms, message, given, context, order, back)
            continue
        if back and nothing_named and order != 0 and traits & _RECALLS_ORDERS:
            add(features, feature, ints, reals, items, at, at_ms, message, 1.0, order, order, back)
        for place in range(columns.first_item[event], columns.first_item[event + 1]):
            row = columns.item_rows[place]
            if scope == ITEM_SCOPE:
                if row < 0:
                    continue
                at = features[feature, AT] + address(regions, ITEMS, row)
            value = given
            if features[feature, VALUE] > PROPERTY:
                value = _item_value(
                    features, feature, attributes, row, at_ms, columns.prices[place], columns.quantities[place]
                )
            if by != BY_ATTRIBUTE:
                ref = columns.items[place] if by != BY_CONTEXT else context
                add(features, feature, ints, reals, items, at, at_ms, message, value, ref, order, back)
            elif row >= 0:
                for i in range(refs.shape[2]):
                    if refs[row, by_column, i] == 0:
                        break
                    ref = refs[row, by_column, i]
                    add(features, feature, ints, reals, items, at, at_ms, message, value, ref, order, back)


@kernel
def _counts(traits: int, scope: int, session: int, verdict: int, bot: int, folding: int) -> bool:
    """Whether a feature takes notice of an event of this verdict, see `program.FOLDING_NOW`."""
    if verdict == LATE_FOR_WINDOWS and not traits & _OWN_AGE:
        return False
    if verdict == LATE_FOR_SEQUENCES and folding < 2 and traits & _SEQUENTIAL:
        return False
    if scope == SESSION_SCOPE:
        return session >= 0
    return scope != ITEM_SCOPE or not bot


@kernel
def _item_value(
    features: Ints, feature: int, attributes: Attributes, row: int, at_ms: int, price: float, quantity: float
) -> float:
    source = features[feature, VALUE]
    if source == QUANTITY:
        return quantity
    if source == ITEM_NUMBER:
        column = features[feature, VALUE_COLUMN]
        if row < 0:
            return np.nan
        return price_at(attributes, row, at_ms) if column == 0 else float(attributes.numbers[row, column])
    if price != price and row >= 0:
        price = price_at(attributes, row, at_ms)
    return price if source == PRICE else bounded(price) * bounded(quantity)
