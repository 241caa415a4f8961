"""The state hash: equal hashes mean equal content, whatever order the rows came to lie in.

Names are resolved and keys sorted; words that only say where something lies are left out. `order_free` also leaves
out decayed sums and the scores of decaying top-ks, whose last bits depend on the order of arrival, and the count of
messages forgotten before their time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from .compiled import Ints
from .dedup import CHUNK_COUNT, CHUNK_FIRST, CHUNK_NEXT
from .layout import (
    CELL_CHUNK,
    CELL_KEY,
    CELL_NEWEST_MS,
    CELL_OVERFLOW,
    CELL_PREVIOUS,
    CELL_SESSION,
    CELL_UPKEEP_WORDS,
    ITEM_KEY,
    SESSION_CELL,
    SESSION_START_MS,
    Kind,
    Layout,
    Placed,
    Scope,
)
from .program import DEDUP_MS, SEQUENCE_MS
from .table import CELLS, CHUNKS, ITEMS, SESSIONS, Memory, live_rows, rows_of


def state_hash(memory: Memory, layout: Layout, settings: Ints, *, order_free: bool = False) -> str:
    """Hash of all cells, their sessions and messages, and of all items."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _parts(memory, layout, settings, order_free):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _parts(memory: Memory, layout: Layout, settings: Ints, order_free: bool) -> Iterator[Ints]:
    cells, sessions = live_rows(memory, CELLS), rows_of(memory, SESSIONS)
    order = np.argsort(cells[:, CELL_KEY], kind="stable")
    without = (*CELL_UPKEEP_WORDS, CELL_OVERFLOW) if order_free else CELL_UPKEEP_WORDS
    yield _content(cells[order], layout, Scope.PROFILE, without, order_free)
    for rows in _session_rows(cells[order], sessions, int(settings[SEQUENCE_MS])):
        yield (rows >= 0).astype(np.int64)
        yield _content(sessions[rows[rows >= 0]], layout, Scope.SESSION, (SESSION_CELL,), order_free)
    yield _messages(memory, cells, int(settings[DEDUP_MS]))
    items = rows_of(memory, ITEMS)
    items = items[np.argsort(items[:, ITEM_KEY], kind="stable")]
    # A row made for the catalogue's sake and never counted on says nothing yet.
    items = items[(items[:, ITEM_KEY + 1 :] != 0).any(axis=1)]
    yield _content(items, layout, Scope.ITEM, (), order_free)


def _session_rows(cells: Ints, sessions: Ints, lateness_ms: int) -> tuple[Ints, Ints]:
    """By cell: the row of its session, and of the one before while a late event can still reach it; -1 for none."""
    current, previous = cells[:, CELL_SESSION] - 1, cells[:, CELL_PREVIOUS] - 1
    held = np.flatnonzero(previous >= 0)
    out_of_reach = sessions[current[held], SESSION_START_MS] <= cells[held, CELL_NEWEST_MS] - lateness_ms
    previous[held[out_of_reach]] = -1
    return current, previous


def _content(rows: Ints, layout: Layout, scope: Scope, without: tuple[int, ...], order_free: bool) -> Ints:
    kept = np.ones(rows.shape[1], bool)
    kept[list(without)] = False
    for placed in layout.features:
        if placed.spec.scope is scope:
            if placed.spec.kind is Kind.SEEN:
                rows = _sorted_seen(rows, placed)
            elif order_free and placed.spec.half_life_ms > 0:
                kept[_decaying_words(placed)] = False
    return rows[:, kept]


def _sorted_seen(rows: Ints, placed: Placed) -> Ints:
    rows = rows.copy()
    first, end = placed.offset + 1, placed.offset + placed.spec.words
    rows[:, first:end].sort(axis=1)
    return rows


def _decaying_words(placed: Placed) -> list[int]:
    first = placed.offset
    if placed.spec.kind is Kind.TOP_K:
        return [first + 3 + 2 * i for i in range(placed.spec.k)]
    return [first + 1]


def _messages(memory: Memory, cells: Ints, dedup_ms: int) -> Ints:
    """[key, message, time] of every remembered message that has not expired, sorted."""
    chunks = rows_of(memory, CHUNKS)
    found: list[Ints] = []
    owners, heads = cells[:, CELL_KEY], cells[:, CELL_CHUNK] - 1
    horizon = cells[:, CELL_NEWEST_MS] - dedup_ms
    while (heads >= 0).any():
        chained = heads >= 0
        owners, heads, horizon = owners[chained], heads[chained], horizon[chained]
        chunk = chunks[heads]
        for place in range((chunk.shape[1] - CHUNK_FIRST) // 2):
            message, at_ms = chunk[:, CHUNK_FIRST + 2 * place], chunk[:, CHUNK_FIRST + 2 * place + 1]
            valid = (place < chunk[:, CHUNK_COUNT]) & (at_ms >= horizon)
            found.append(np.stack([owners[valid], message[valid], at_ms[valid]], axis=1))
        heads = chunk[:, CHUNK_NEXT] - 1
    if not found:
        return np.zeros((0, 3), np.int64)
    rows = np.concatenate(found)
    return rows[np.lexsort(rows.T[::-1])]
