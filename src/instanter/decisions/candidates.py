"""What a placement may choose from: the caller's list, and what the sources find."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec
import numpy as np

from ..events.items import candidate_fields
from ..features.assemble import Candidates
from ..foundation.errors import ReferenceTaken
from ..foundation.limits import ATTRIBUTE_VALUES_MAX, FOUND_MAX
from ..models.base import SourceContext
from ..models.sources import SOURCES
from ..models.words import Matches
from ..state.catalogue import Catalogue, texts_of
from ..state.compiled import Ints, Reals, Shorts, kernel
from ..state.memory import State
from ..state.program import Attributes, price_at
from ..state.table import BASE, ITEMS, Index, find
from .request import Candidate, id_text

CALLER: Final = "candidates"
NEW_ITEMS: Final = "new_items"
"""What gave the new items to a placement that has a share of places for them."""
QUERY: Final = "query"
"""What found the items that match a query."""
STOCK: Final = "stock"
_WORD: Final = 2**63
_NO_FIELDS: Final[dict[str, Any]] = {}
_NO_OWN: Final[dict[str, dict[str, Any]]] = {}
_TEXT: Final[frozenset[type]] = frozenset({str})


class Given(NamedTuple):
    """The caller's own list, without repetition."""

    ids: list[str]
    refs: Ints
    fields: Sequence[tuple[int, dict[str, Any]]] = ()
    """(place in the list, fields that count for this request only)."""
    duplicates: Sequence[str] = ()
    """Ids that were named again."""
    taken: Sequence[str] = ()
    """Ids that are no candidates, since their references are those of others."""


class Pool(msgspec.Struct, frozen=True):
    """The candidates of one placement, without repetition."""

    columns: Candidates
    ids: list[str]
    """Of the caller's list, which comes first; what was found goes by its row."""
    in_stock: dict[int, bool] = {}
    """Place in the pool -> whether the stock that came with the request allows it."""
    duplicates: Sequence[str] = ()
    """Ids that the caller named again."""
    origins: list[tuple[str, int]] = []
    """(source, how many it gave)."""
    found_by: Ints = msgspec.field(default_factory=lambda: np.zeros(0, np.int64))
    """By place: which of the origins gave it."""
    fresh: frozenset[int] = frozenset()
    """References of new items, among which one place may be drawn."""
    fields_hash: bytes = b""
    """Of the fields that came with the request, b"" if none did."""
    matches: Matches | None = None
    """How candidates match the query that they were found by, place by place; None where none was asked for."""

    def __len__(self) -> int:
        return len(self.columns)

    def id_at(self, place: int, state: State) -> str:
        """The id of a candidate; a found one is in the catalogue."""
        if place < len(self.ids):
            return self.ids[place]
        return state.catalogue.id_at(int(self.columns.rows[place]))


def found(
    context: SourceContext, sources: Sequence[str], now_ms: int, limit: int = FOUND_MAX, *, tenant: str,
    parts: bool = False,
) -> Pool:  # fmt: skip
    """What the sources find together, in their order; each may give half of what the ones before left, or with `parts`
    an equal part of it, and the last one all.

    What is another tenant's is not found: a person may have met it before it was that, under a name of one reference.
    """
    rows, seen, count = np.empty(limit, np.int64), np.zeros(_places_for(limit), np.int64), 0
    found_by = np.empty(limit, np.int64)
    owners, own = context.state.catalogue.tenants, context.state.catalogue.code_of(tenant)
    origins = []
    finders = [SOURCES[name] for name in sources if name != CALLER]
    for number, source in enumerate(finders):
        known = count
        share = (limit - known) // (len(finders) - number if parts else min(len(finders) - number, 2))
        # As many more as are known already, so that repetitions do not eat up the share.
        given = np.ascontiguousarray(source.candidates(context, share + known).rows)
        count = _add_new(rows, known, seen, given, owners, own, known + share)
        origins.append((source.name, count - known))
        found_by[known:count] = number
    return _of_rows(context.state, rows[:count].copy(), origins, found_by[:count], now_ms)


def _places_for(rows: int) -> int:
    """Places of an index that is at most a quarter full of so many rows."""
    return 1 << (4 * rows).bit_length()


@kernel
def _add_new(rows: Ints, count: int, seen: Ints, given: Ints, owners: Shorts, own: int, count_max: int) -> int:
    """Put what was given behind `rows[:count]` where it is not among them and no other tenant's, up to `count_max`; the
    count then. `seen` is their index: each row + 1 at the place of its last bits or behind it."""
    mask = len(seen) - 1
    for i in range(len(given)):
        if count == count_max:
            break
        row = given[i]
        if owners[row] != own and owners[row] != 0:
            continue
        place = row & mask
        while seen[place] != 0 and seen[place] != row + 1:
            place = (place + 1) & mask
        if seen[place] == 0:
            seen[place] = row + 1
            rows[count] = row
            count += 1
    return count


def of_rows(state: State, rows: Ints, origins: list[tuple[str, int]], now_ms: int) -> Pool:
    """Items of the catalogue by row."""
    by = np.repeat(np.arange(len(origins)), [count for _, count in origins]) if origins else np.zeros(0, np.int64)
    return _of_rows(state, rows, origins, by, now_ms)


def _of_rows(state: State, rows: Ints, origins: list[tuple[str, int]], by: Ints, now_ms: int) -> Pool:
    words = state.schema.layout.item_words
    refs = state.tables.memory.ints[int(state.tables.memory.regions[ITEMS, BASE]) + rows * words]
    return Pool(_columns(state, refs, rows, np.full(len(rows), -1, np.int64), now_ms), [], origins=origins, found_by=by)


def given_by(
    catalogue: Catalogue, tenant: str, candidates: Sequence[str | float | Candidate], known: frozenset[str],
    numbers: Sequence[str] = (),
) -> Given:  # fmt: skip
    """The list that came with a request, with those of its fields that are `known`: the others mean nothing.

    An id whose reference is that of another item, or of one before it in the list, is no candidate but `taken`.
    `numbers` are those that are numbers; text in them is read as that of an item is.
    """
    ids, fields, duplicates = _bare_ids(candidates), _NO_OWN, list[str]()
    if ids is None:
        fields, duplicates = _fields_by_id(candidates, known, numbers)
        ids = list(fields)
    # Whatever is known by name is an item that the catalogue holds, and no two of these have one reference.
    refs, taken = list(map(catalogue.named(tenant).get, ids)), list[str]()
    if None in refs:
        refs, taken = _looked_up(catalogue, tenant, ids)
        lost = frozenset(taken)
        ids = [item_id for item_id in ids if item_id not in lost]
    overridden = [(place, own) for place, item_id in enumerate(ids) if (own := fields[item_id])] if fields else []
    return Given(ids, np.array(refs, np.int64), overridden, duplicates, taken)


def _bare_ids(candidates: Sequence[str | float | Candidate]) -> list[str] | None:
    """The ids of a list that is nothing but ids, none of them twice, as most are; None of another one."""
    if not _TEXT.issuperset(map(type, candidates)):
        return None
    ids = cast("list[str]", list(candidates))
    return ids if len(set(ids)) == len(ids) else None


def _fields_by_id(
    candidates: Sequence[str | float | Candidate], known: frozenset[str], numbers: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The candidates by id, each with what of its own fields counts; and the ids that are named again."""
    fields: dict[str, dict[str, Any]] = {}
    duplicates: list[str] = []
    for candidate in candidates:
        if type(candidate) is str:
            item_id, own = candidate, _NO_FIELDS
        elif isinstance(candidate, Candidate):
            item_id, own = id_text(candidate.id), candidate.fields
        else:
            item_id, own = id_text(candidate), _NO_FIELDS
        if item_id in fields:
            duplicates.append(item_id)
        elif own:
            read = candidate_fields(own, numbers)
            fields[item_id] = {name: _kept(value) for name, value in read.items() if name in known}
        else:
            fields[item_id] = _NO_FIELDS
    return fields, duplicates


def _looked_up(catalogue: Catalogue, tenant: str, item_ids: Iterable[str]) -> tuple[list[int | None], list[str]]:
    """The references of items, and the ids whose reference is that of another item, or of one before."""
    named, taken = dict[int | None, str](), list[str]()
    for item_id in item_ids:
        try:
            ref = catalogue.ref_of(tenant, item_id)
        except ReferenceTaken:
            taken.append(item_id)
            continue
        if named.setdefault(ref, item_id) != item_id:
            taken.append(item_id)
    return list(named), taken


def _kept(value: Any) -> Any:
    """A field's value as a receipt keeps it, which means the same: what lists and objects are as text, and numbers
    that no machine word holds as the nearest that one does."""
    if isinstance(value, list | dict):
        return texts_of(value)
    if isinstance(value, int) and not -_WORD <= value < _WORD:
        return math.inf if value > 0 else -math.inf
    return value


def of_caller(state: State, given: Given, now_ms: int) -> Pool:
    """The caller's list in its order. Items the catalogue does not know are candidates like the others."""
    rows = np.empty(len(given.refs), np.int64)
    _find_rows(state.tables.item_index, given.refs, rows)
    columns = _columns(state, given.refs, rows, np.arange(len(given.refs)), now_ms)
    in_stock = {}
    for place, own in given.fields:
        _override(state, columns, place, own)
        stock = own.get(STOCK)
        if isinstance(stock, int | float):
            in_stock[place] = stock > 0
    return Pool(
        columns, given.ids, in_stock, given.duplicates, [(CALLER, len(given.refs))],
        found_by=np.zeros(len(given.refs), np.int64), fields_hash=_digest(given),
    )  # fmt: skip


def joined(first: Pool, second: Pool) -> Pool:
    """The caller's list, and what was found besides."""
    new = np.flatnonzero(~np.isin(second.columns.refs, first.columns.refs))
    more = second.columns.taken(new)
    columns = Candidates(*(
        np.concatenate([getattr(first.columns, name), getattr(more, name)]) for name in Candidates.__struct_fields__
    ))
    by = np.concatenate([first.found_by, second.found_by[new] + len(first.origins)])
    return msgspec.structs.replace(first, columns=columns, origins=first.origins + second.origins, found_by=by)


def _columns(state: State, refs: Ints, rows: Ints, ranks: Ints, now_ms: int) -> Candidates:
    """What the catalogue says of items, their prices as of now."""
    items = state.tables.attributes
    attributes = np.empty((len(rows), *items.refs.shape[1:]), np.int64)
    numbers = np.empty((len(rows), items.numbers.shape[1]))
    _read_columns(items, rows, now_ms, state.catalogue.has_sales, attributes, numbers)
    return Candidates(refs, rows, ranks, attributes, numbers)


def _digest(given: Given) -> bytes:
    """Of the fields that came with the request, b"" if none did."""
    return hashlib.blake2b(msgspec.msgpack.encode(given.fields), digest_size=16).digest() if given.fields else b""


def _override(state: State, columns: Candidates, place: int, fields: dict[str, Any]) -> None:
    """Put fields that came with the request in the place of the catalogue's."""
    schema = state.schema
    for name, value in fields.items():
        if name in schema.numbers:
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            columns.numbers[place, schema.numbers.index(name)] = value if numeric else np.nan
        if name in schema.attributes:
            refs = [state.references.of(text) for text in texts_of(value)]
            columns.attributes[place, schema.attributes.index(name)] = refs + [0] * (ATTRIBUTE_VALUES_MAX - len(refs))


@kernel
def _read_columns(
    items: Attributes, rows: Ints, now_ms: int, has_sales: bool, attributes: Ints, numbers: Reals
) -> None:
    """Of each row what the catalogue says; nothing of a row of -1."""
    for i in range(len(rows)):
        row = rows[i]
        for field in range(attributes.shape[1]):
            for place in range(attributes.shape[2]):
                attributes[i, field, place] = items.refs[row, field, place] if row >= 0 else 0
        for field in range(numbers.shape[1]):
            numbers[i, field] = items.numbers[row, field] if row >= 0 else np.nan
        if has_sales and row >= 0:
            numbers[i, 0] = price_at(items, row, now_ms)


@kernel
def _find_rows(index: Index, refs: Ints, rows: Ints) -> None:
    for i in range(len(refs)):
        rows[i] = find(index, refs[i])
