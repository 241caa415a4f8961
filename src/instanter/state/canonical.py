"""The state hash: equal hashes mean equal content, whatever order the rows came to lie in, in memory or on disk.

Names are resolved and keys sorted; words that only say where something lies are left out. `order_free` also leaves
out decayed sums and the scores of decaying top-ks, whose last bits depend on the order of arrival, and the count of
messages forgotten before their time.

People are read a slice at a time, in the order of their keys, once for each kind of record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .cold_files import Stored
from .compiled import Ints
from .dedup import CHUNK_COUNT, CHUNK_FIRST, CHUNK_NEXT, CHUNK_WORDS
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
    ITEM_KEY,
    SESSION_CELL,
    SESSION_START_MS,
    Kind,
    Layout,
    Placed,
    Scope,
)
from .program import DEDUP_MS, SEQUENCE_MS, Tables
from .table import CELLS, CHUNKS, COLD, ITEMS, SESSIONS, Index, Memory, find, rows_of

SLICE_PEOPLE = 2_048
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
        layout = self.layout
        cells: list[Ints] = []
        sessions: list[Ints] = []
        previous: list[Ints] = []
        chunks: list[Ints] = []
        whose: list[int] = []
        for place in places.tolist():
            words = self._stored(place) if place < 0 else self._packed(place)
            if words is None:
                continue
            cell = words[: layout.cell_words].copy()
            self._forget_swept(cell.reshape(1, -1))
            counts = words[[CELL_SESSION, CELL_PREVIOUS]]
            at = layout.cell_words
            for link, rows in ((CELL_SESSION, sessions), (CELL_PREVIOUS, previous)):
                if cell[link]:
                    rows.append(words[at : at + layout.session_words])
                at += layout.session_words * int(words[link])
            at = layout.cell_words + layout.session_words * int(counts.sum())
            if cell[CELL_CHUNK]:
                whose += [len(cells)] * int(cell[CELL_CHUNK])
                chunks.append(words[at:])
            cells.append(cell)
        whole = np.array(cells, np.int64).reshape(len(cells), layout.cell_words)
        return Rows(
            whole, (whole[:, CELL_SESSION] > 0).astype(np.int64), _stacked(sessions, layout.session_words),
            (whole[:, CELL_PREVIOUS] > 0).astype(np.int64), _stacked(previous, layout.session_words),
            np.array(whose, np.int64), np.concatenate([*chunks, np.zeros(0, np.int64)]).reshape(-1, CHUNK_WORDS),
        )  # fmt: skip

    def _stored(self, place: int) -> Ints | None:
        assert self._read_cold is not None
        found = self._read_cold(place - _ON_DISK)
        return None if found is None else found.words

    def _packed(self, place: int) -> Ints:
        """The words of somebody in memory, as they would lie on disk."""
        rows = self._rows(np.array([place]))
        cell = rows.cells[0]
        cell[[CELL_SESSION, CELL_PREVIOUS, CELL_CHUNK]] = rows.in_session[0], rows.had_session[0], len(rows.chunks)
        return np.concatenate([cell, rows.sessions.ravel(), rows.previous.ravel(), rows.chunks.ravel()])

    def _forget_swept(self, cells: Ints) -> None:
        idle_ms = self._tables.idle[0]
        swept = (cells[:, CELL_RECEIVED_MS] < idle_ms) & (cells[:, CELL_SWEPT_MS] < idle_ms)
        for word in (CELL_SESSION, CELL_PREVIOUS, CELL_CHUNK):
            cells[swept, word] = 0


def _stacked(rows: list[Ints], words: int) -> Ints:
    return np.concatenate([*rows, np.zeros(0, np.int64)]).reshape(-1, words)


def state_hash(people: People, memory: Memory, settings: Ints, *, order_free: bool = False) -> str:
    """Hash of all cells, their sessions and messages, and of all items."""
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
    items = items[np.argsort(items[:, ITEM_KEY], kind="stable")]
    # A row made for the catalogue's sake and never counted on says nothing yet.
    items = items[(items[:, ITEM_KEY + 1 :] != 0).any(axis=1)]
    yield _content(items, layout, Scope.ITEM, (), order_free)


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
