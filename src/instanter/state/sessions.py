"""Sessions in event time. A cell keeps its newest two.

With the lateness for sequences at most the gap, an event inside lateness can only belong to one of them or join them,
so any order of arrival ends in the same sessions.
"""

from __future__ import annotations

from .aggregations.base import Trait
from .aggregations.dispatch import merge_feature
from .compiled import kernel
from .layout import (
    CELL_PREVIOUS,
    CELL_SESSION,
    SESSION_CELL,
    SESSION_END_MS,
    SESSION_EVENTS,
    SESSION_SCOPE,
    SESSION_START_MS,
)
from .pairs import join_seen
from .program import AT, GAP_MS, LENGTH_MAX_MS, SCOPE, TRAITS, Program, Tables
from .table import SESSIONS, Memory, address, allocate, release, touch

_COMPANION = int(Trait.COMPANION)


@kernel
def session_of(program: Program, tables: Tables, cell_row: int, cell: int, at_ms: int) -> int:
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
            if features[feature, TRAITS] & _COMPANION:
                join_seen(program, tables, session + at, earlier + at, at)
            else:
                merge_feature(
                    features, feature, ints, tables.memory.reals, tables.item_index, session + at, earlier + at
                )
