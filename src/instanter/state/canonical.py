"""The state hash: equal hashes mean equal content, whatever order the rows came to lie in, in memory or on disk.

Names are resolved and keys sorted; words that only say where something lies are left out. `order_free` also leaves
out decayed sums and the scores of decaying top-ks, whose last bits depend on the order of arrival, the count of
messages forgotten before their time, and steps, which are that order.

People are read a slice at a time, in the order of their keys, once for each kind of record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .cold_files import Stored, parts_of
from .compiled import Ints
from .layout import (
    CELL_CHUNK,
    CELL_KEY,
    CELL_NEWEST_MS,
    CELL_OVERFLOW,
    CELL_PREVIOUS,
    CELL_RECEIVED_MS,
    CELL_SESSION,
    CELL_SWEPT_MS,
    CELL_UPKEEP_WORDS,
    CHUNK_COUNT,
    CHUNK_FIRST,
    CHUNK_NEXT,
    CHUNK_WORDS,
    ITEM_KEY,
    SESSION_CELL,
    SESSION_START_MS,
    Layout,
    Scope,
)
from .program import DEDUP_MS, SEQUENCE_MS, Tables
from .steps import content as content_of_ring
from .table import CELLS, CHUNKS, COLD, ITEMS, SESSIONS, STEPS, Index, Memory, find, rows_of

SLICE_PEOPLE = 2_048
SLICE_ITEMS = 4_096
_ON_DISK = -1 << 62
"""Added to the number of a cold row, so that one number says where somebody lies."""


class Rows(NamedTuple):
    """The records of some people, in their order; sessions and chunks beside, cells without row numbers."""

    cells: Ints
    in_session: Ints
    """1 for who has a session, row by row in `sessions`."""
    sessions: Ints
    had_session: Ints
    """1 for who has one before it, row by row in `previous`."""
    previous: Ints
    owners: Ints
    """Whose each of `chunks` is, as a place in `cells`."""
    chunks: Ints

    def messages(self, settings: Ints) -> Ints:
        """[key, message, time] of every remembered message that has not expired, sorted."""
        horizon = self.cells[self.owners, CELL_NEWEST_MS] - settings[DEDUP_MS]
        found: list[Ints] = []
        for place in range((CHUNK_WORDS - CHUNK_FIRST) // 2):
            message, at_ms = self.chunks[:, CHUNK_FIRST + 2 * place], self.chunks[:, CHUNK_FIRST + 2 * place + 1]
            valid = (place < self.chunks[:, CHUNK_COUNT]) & (at_ms >= horizon)
            keys = self.cells[self.owners[valid], CELL_KEY]
            found.append(np.stack([keys, message[valid], at_ms[valid]], axis=1))
        rows = np.concatenate(found)
        return rows[np.lexsort(rows.T[::-1])]


class People:
    """Everybody of a state, wherever they lie."""

    def __init__(
        self, tables: Tables, layout: Layout, read_cold: Callable[[int], Stored | None] | None, cold: Index | None
    ) -> None:
        self.layout = layout
        self._tables = tables
        self._read_cold = read_cold
        self._cold = cold

    def in_order(self) -> Ints:
        """Where each lies, in the order of their keys."""
        memory = self._tables.memory
        hot, cold = rows_of(memory, CELLS)[:, CELL_KEY], rows_of(memory, COLD)[:, 0]
        at, at_cold = np.flatnonzero(hot), np.flatnonzero(cold)
        keys = np.concatenate([hot[at], cold[at_cold]])
        places: Ints = np.concatenate([at, at_cold + _ON_DISK])[np.argsort(keys, kind="stable")]
        return places

    def of(self, keys: Sequence[int]) -> Iterator[Rows]:
        """The people with these keys, as far as they are known."""
        places: list[int] = []
        for key in keys:
            hot = find(self._tables.cell_index, key)
            cold = find(self._cold, key) if self._cold is not None else -1
            places += [hot] if hot >= 0 else [cold + _ON_DISK] if cold >= 0 else []
        return self.slices(np.array(places, np.int64))

    def slices(self, places: Ints) -> Iterator[Rows]:
        """Their records, a bounded number of people at a time."""
        for first in range(0, len(places), SLICE_PEOPLE):
            part = places[first : first + SLICE_PEOPLE]
            yield self._rows(part) if part.min() >= 0 else self._mixed(part)

    def _rows(self, places: Ints) -> Rows:
        """Of people who are all in memory."""
        memory = self._tables.memory
        sessions, chunks = rows_of(memory, SESSIONS), rows_of(memory, CHUNKS)
        cells = rows_of(memory, CELLS)[places]
        self._forget_swept(cells)
        current, previous = cells[:, CELL_SESSION], cells[:, CELL_PREVIOUS]
        owners, held = np.arange(len(cells)), cells[:, CELL_CHUNK] - 1
        found, whose = [np.zeros((0, CHUNK_WORDS), np.int64)], [np.zeros(0, np.int64)]
        while (held >= 0).any():
            owners, held = owners[held >= 0], held[held >= 0]
            found.append(chunks[held])
            whose.append(owners)
            held = found[-1][:, CHUNK_NEXT] - 1
        return Rows(
            cells, (current > 0).astype(np.int64), sessions[current[current > 0] - 1],
            (previous > 0).astype(np.int64), sessions[previous[previous > 0] - 1],
            np.concatenate(whose), np.concatenate(found),
        )  # fmt: skip

    def _mixed(self, places: Ints) -> Rows:
        """Of people some of whom lie on disk; those who turn out to be erased are left out."""
        hot = np.flatnonzero(places >= 0)
        of_disk, found = self._from_disk(places, np.flatnonzero(places < 0))
        parts = ((self._rows(places[hot]), hot), (found, of_disk))
        order = np.argsort(np.concatenate([whose for _, whose in parts]), kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        ranks = (rank[: len(hot)], rank[len(hot) :])

        def merged(pick: Callable[[Rows], Ints], owners: Callable[[Rows, Ints], Ints]) -> tuple[Ints, Ints]:
            whose = np.concatenate([owners(rows, at) for (rows, _), at in zip(parts, ranks, strict=True)])
            by_owner = np.argsort(whose, kind="stable")
            return np.concatenate([pick(rows) for rows, _ in parts])[by_owner], whose[by_owner]

        cells, _ = merged(lambda rows: rows.cells, lambda rows, at: at)
        sessions, _ = merged(lambda rows: rows.sessions, lambda rows, at: at[rows.in_session > 0])
        previous, _ = merged(lambda rows: rows.previous, lambda rows, at: at[rows.had_session > 0])
        chunks, owners = merged(lambda rows: rows.chunks, lambda rows, at: at[rows.owners])
        return Rows(
            cells, (cells[:, CELL_SESSION] > 0).astype(np.int64), sessions,
            (cells[:, CELL_PREVIOUS] > 0).astype(np.int64), previous, owners, chunks,
        )  # fmt: skip

    def _from_disk(self, places: Ints, at: Ints) -> tuple[Ints, Rows]:
        """The people at these of the places who are still there, and which they are."""
        assert self._read_cold is not None
        layout = self.layout
        read = [(int(i), self._read_cold(int(places[i]) - _ON_DISK)) for i in at]
        there = [(i, parts_of(one.words, layout)) for i, one in read if one is not None]
        cells = _stacked([one.cell for _, one in there], layout.cell_words)
        in_session, had_session = cells[:, CELL_SESSION] > 0, cells[:, CELL_PREVIOUS] > 0
        sessions = _stacked([one.sessions[:1] for _, one in there if one.cell[CELL_SESSION]], layout.session_words)
        previous = _stacked([one.sessions[1:] for _, one in there if one.cell[CELL_PREVIOUS]], layout.session_words)
        chunks = _stacked([one.chunks for _, one in there], CHUNK_WORDS)
        owners = np.repeat(np.arange(len(cells)), cells[:, CELL_CHUNK])
        self._forget_swept(cells)
        kept = cells[:, CELL_SESSION] > 0
        rows = Rows(
            cells, kept.astype(np.int64), sessions[kept[in_session]],
            (cells[:, CELL_PREVIOUS] > 0).astype(np.int64), previous[(cells[:, CELL_PREVIOUS] > 0)[had_session]],
            owners[cells[owners, CELL_CHUNK] > 0], chunks[cells[owners, CELL_CHUNK] > 0],
        )  # fmt: skip
        return np.array([i for i, _ in there], np.int64), rows

    def _forget_swept(self, cells: Ints) -> None:
        idle_ms = self._tables.idle[0]
        swept = (cells[:, CELL_RECEIVED_MS] < idle_ms) & (cells[:, CELL_SWEPT_MS] < idle_ms)
        for word in (CELL_SESSION, CELL_PREVIOUS, CELL_CHUNK):
            cells[swept, word] = 0


def _stacked(rows: Sequence[Ints], words: int) -> Ints:
    """A copy of all rows, one below another."""
    return np.concatenate([np.zeros((0, words), np.int64), *(row.reshape(-1, words) for row in rows)])


def state_hash(people: People, memory: Memory, settings: Ints, *, order_free: bool = False) -> str:
    """Hash of all cells, their sessions and messages, of all items, and of the steps in the rings."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _parts(people, memory, settings, order_free):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _parts(people: People, memory: Memory, settings: Ints, order_free: bool) -> Iterator[Ints]:
    layout, places = people.layout, people.in_order()
    without = (*CELL_UPKEEP_WORDS, CELL_OVERFLOW) if order_free else CELL_UPKEEP_WORDS
    held: list[Ints] = [np.zeros((0, 3), bool)]
    for rows in people.slices(places):
        yield _content(rows.cells, layout, Scope.PROFILE, without, order_free)
        held.append(_held(rows, int(settings[SEQUENCE_MS])))
    has = np.concatenate(held)
    if len(has) < len(places):
        places = _without_erased(people, places)
    for which in (0, 1):
        yield has[:, which].astype(np.int64)
        for rows in people.slices(places[has[:, which]]):
            session = rows.previous if which else rows.sessions
            yield _content(session, layout, Scope.SESSION, (SESSION_CELL,), order_free)
    for rows in people.slices(places[has[:, 2]]):
        yield rows.messages(settings)
    items = rows_of(memory, ITEMS)
    order = np.argsort(items[:, ITEM_KEY], kind="stable")
    for first in range(0, len(order), SLICE_ITEMS):
        some = items[order[first : first + SLICE_ITEMS]]
        # A row made for the catalogue's sake and never counted on says nothing yet.
        some = some[(some[:, ITEM_KEY + 1 :] != 0).any(axis=1)]
        yield _content(some, layout, Scope.ITEM, (), order_free)
    for table in range(STEPS, len(memory.regions) if not order_free else STEPS):
        yield from content_of_ring(memory, table)


def _without_erased(people: People, places: Ints) -> Ints:
    """A checkpoint from before an erasure still names who has been overwritten since."""
    there = [bool(len(rows.cells)) for place in places for rows in people.slices(np.array([place]))]
    remaining: Ints = places[np.array(there)]
    return remaining


def _held(rows: Rows, lateness_ms: int) -> Ints:
    """By person: whether there is a session, one before while a late event can still reach it, and messages."""
    has = np.zeros((len(rows.cells), 3), bool)
    has[:, 0] = rows.in_session > 0
    held = np.flatnonzero(rows.had_session)
    start_ms = np.zeros(len(rows.cells), np.int64)
    start_ms[has[:, 0]] = rows.sessions[:, SESSION_START_MS]
    has[held, 1] = start_ms[held] > rows.cells[held, CELL_NEWEST_MS] - lateness_ms
    has[rows.owners, 2] = True
    return has


def _content(rows: Ints, layout: Layout, scope: Scope, without: tuple[int, ...], order_free: bool) -> Ints:
    kept = np.ones(rows.shape[1], bool)
    kept[list(without)] = False
    for placed in layout.features:
        if placed.spec.scope is scope:
            aggregation, words = placed.spec.aggregation, slice(placed.offset, placed.offset + placed.spec.words)
            if aggregation.sort is not None and (order_free or aggregation.unordered):
                rows = rows.copy()
                aggregation.sort(rows[:, words], placed.spec)
            if order_free:
                kept[[placed.offset + word for word in aggregation.inexact(placed.spec)]] = False
    return rows[:, kept]
