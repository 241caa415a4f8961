"""What can be shown: items and their fields, as the control events have left them, and as columns by item row.

Items lie packed, in the bytes that a checkpoint holds them in: a quarter of the memory that they take unpacked, in
blocks of their own (`state.blocks`), and nothing that a garbage collection has to look at. They are unpacked when they
are asked for, about 1 us each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..events.envelope import ItemDeleted, ItemPatched, ItemUpserted
from ..events.folding import Change
from ..events.items import FieldTypes, Meaning, is_available, meaning_of
from ..events.times import parse_time_ms
from ..events.vectors import length_of
from ..foundation.errors import EventRejected, ReferenceTaken
from ..foundation.ids import References
from ..foundation.limits import ATTRIBUTE_VALUES_MAX, CHANGES_FOLLOWED_MAX, ITEMS_SHOWN_MAX, TEXTS_NAMED_MAX
from .blocks import PackedItems
from .compiled import Bytes, Ints, Shorts, kernel
from .program import Attributes
from .rows_left import RowsLeft


class Item(msgspec.Struct, frozen=True, array_like=True):
    """An item of the catalogue. Never changed in place: a change makes another one."""

    id: str
    ref: int
    tenant: str
    fields: dict[str, Any]
    created_ms: int
    """When it first came, or the field `created_at` where that is a time in ms or ISO 8601."""
    canonical: int = 0
    """Whether its fields mean more than their numbers and texts, see `envelope.ItemUpserted`."""

    @property
    def available(self) -> bool:
        """In stock; an item that says nothing of it always is."""
        if self.canonical:
            return is_available(self.fields)
        stock = self.fields.get("stock")
        return not isinstance(stock, int | float) or stock > 0


class _Named(msgspec.Struct, frozen=True, array_like=True):
    """As much of an item as says what it is called, and whose it is."""

    id: str
    ref: int
    tenant: str


class _Held(NamedTuple):
    """Of vectors, how many there are and how many numbers they have."""

    vectors: int
    size_bytes: int


_NO_VECTORS = _Held(0, 0)
_pack = msgspec.msgpack.Encoder().encode
_pack_name = msgspec.msgpack.Encoder().encode
_MEANS_NOTHING = Meaning()
_NO_TEXTS: Mapping[int, str] = {}
_NAMED_MAX = 65_536
"""Items that are known by name without hashing it and looking into them: those of the last events and lists."""
_NO_REFS: dict[str, int] = {}
_ROWS_LOOKED_AT = 65_536
"""At once, for a page."""
_unpack = msgspec.msgpack.Decoder(Item).decode
_unpack_name = msgspec.msgpack.Decoder(_Named).decode


class _Columns(NamedTuple):
    """What stands in the columns about an item, made before any of it does."""

    texts: list[list[str]]
    """By attribute."""
    numbers: list[float]
    available: bool
    meaning: Meaning
    group: int
    vector_length: int


class Items(Mapping[int, Item]):
    """Items by reference, in the order in which they came."""

    def __init__(self, packed: Mapping[int, bytes]) -> None:
        self._packed = packed

    def __getitem__(self, ref: int) -> Item:
        return _unpack(self._packed[ref])

    def __contains__(self, ref: object) -> bool:
        return ref in self._packed

    def __iter__(self) -> Iterator[int]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class ItemsByRow(Mapping[int, Item]):
    """Items by row; `refs` says which stands in a row, 0 for none."""

    def __init__(self, refs: Ints, items: Items) -> None:
        self._refs = refs
        self._items = items

    def __getitem__(self, row: int) -> Item:
        return self._items[int(self._refs[row])]

    def __contains__(self, row: object) -> bool:
        return isinstance(row, int) and self._refs[row] != 0

    def __iter__(self) -> Iterator[int]:
        rows: list[int] = np.flatnonzero(self._refs).tolist()
        return iter(rows)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._refs))


class Catalogue:
    """Items by reference, and their columns. `row_of` gives the state's row of an item, -1 when there is no room;
    `leave` lets the row of one that is gone go to others, and says whether it does."""

    def __init__(
        self,
        attributes: Attributes,
        *,
        attribute_names: tuple[str, ...],
        number_names: tuple[str, ...],
        row_of: Callable[[int], int],
        leave: Callable[[int], bool],
        references: References,
    ) -> None:
        rows_max = len(attributes.refs)
        self._packed = PackedItems()
        self._refs: Ints = np.zeros(rows_max, np.int64)
        self.items: Mapping[int, Item] = Items(self._packed)
        self.at_row: Mapping[int, Item] = ItemsByRow(self._refs, Items(self._packed))
        self.size_bytes = 0
        """Of all packed items, and of what is kept of their vectors besides."""
        self._counts: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._texts: dict[str, dict[int, str]] = {}
        self._texts_named = 0
        self._types: dict[str, FieldTypes] = {}
        self.attributes = attributes
        self.available: Bytes = np.zeros(rows_max, np.uint8)
        """By row: 1 for an item of the catalogue that is in stock."""
        self.created_ms: Ints = np.zeros(rows_max, np.int64)
        self.tenants: Shorts = np.zeros(rows_max, np.int32)
        """By row: the code of the tenant whose item it is, 0 where there is none."""
        self.from_ms: Ints = np.zeros(rows_max, np.int64)
        """By row: not shown before this time; 0: it does not say."""
        self.until_ms: Ints = np.zeros(rows_max, np.int64)
        """By row: not shown from this time on; 0: it does not say."""
        self.groups: Ints = np.zeros(rows_max, np.int64)
        """By row: the reference of its group of variants, which tenants do not share; 0: it has none."""
        self.vector_lengths: Shorts = np.zeros(rows_max, np.int32)
        """By row: how many numbers its vector has; 0: it has none."""
        self._vectors: dict[str, _Held] = {}
        """By tenant, of those that have any."""
        self.has_sales = False
        """Whether any item has had a sale price; where none has, nobody has to look for them."""
        self.has_windows = False
        """Whether any item has said from or until when it may be shown."""
        self.changes = 0
        """Counts the changes; what is derived from the catalogue is stale once it differs."""
        self._changed: Ints = np.zeros(CHANGES_FOLLOWED_MAX, np.int64)
        """Rows of the newest changes, in a ring."""
        self._changed_at: Ints = np.zeros(rows_max, np.int64)
        """By row: how many changes there were after its last one."""
        self._attribute_names = attribute_names
        self._number_names = number_names
        self._row_of = row_of
        self._leave = leave
        self.rows_left = RowsLeft()
        """The rows of items that were deleted."""
        self.references = references
        self._named: dict[str, dict[str, int]] = {}
        """By tenant and id the references of items of the catalogue that were asked for lately, see `named`."""
        self._named_count = 0
        self._shown: dict[int, tuple[int, Item]] = {}
        """By row the items that were shown lately, with what `_changed_at` said then, see `shown`."""

    def ref_of(self, tenant: str, item_id: str) -> int:
        """The reference of an item that the catalogue holds or may come to hold; `ReferenceTaken` if it holds another
        one under it, of whichever tenant."""
        named = self._named.get(tenant)
        if named is not None and item_id in named:
            return named[item_id]
        ref = self.references.item(tenant, item_id)
        packed = self._packed.get(ref)
        if packed is not None:
            if not _is_of(packed, tenant, item_id, ref):
                raise ReferenceTaken(item_id)
            if self._named_count >= _NAMED_MAX:
                self.forget_named()
            self._named.setdefault(tenant, {})[item_id] = ref
            self._named_count += 1
        return ref

    def named(self, tenant: str) -> Mapping[str, int]:
        """By id the references of some of a tenant's items: the cheapest way to ask for many, `ref_of` for the rest."""
        return self._named.get(tenant, _NO_REFS)

    def get(self, tenant: str, item_id: str) -> Item | None:
        """The item of that id."""
        packed = self._held(tenant, item_id)
        return _unpack(packed) if packed else None

    def holds(self, tenant: str, item_id: str) -> bool:
        """Whether the catalogue holds the item of that id."""
        return bool(self._held(tenant, item_id))

    def _held(self, tenant: str, item_id: str) -> bytes:
        """The item of that id, packed; b"" if there is none, or another one under its reference."""
        ref = self.references.item(tenant, item_id)
        packed = self._packed.get(ref, b"")
        return packed if packed and _is_of(packed, tenant, item_id, ref) else b""

    def name_of(self, tenant: str, ref: int) -> str | None:
        """The id of a tenant's item, without unpacking its fields; None if the catalogue does not hold it."""
        packed = self._packed.get(ref)
        if packed is None:
            return None
        named = _unpack_name(packed)
        return named.id if named.tenant == tenant else None

    def id_at(self, row: int) -> str:
        """The id of the item in a row."""
        return _unpack_name(self._packed[int(self._refs[row])]).id

    def shown(self, row: int) -> Item:
        """The item in a row, for those who show it and change nothing of it: most of what is shown is in fashion, and
        need not be unpacked again. KeyError if there is none."""
        changed_at = int(self._changed_at[row])
        known = self._shown.get(row)
        if known is not None and known[0] == changed_at:
            return known[1]
        item = self.at_row[row]
        if len(self._shown) >= ITEMS_SHOWN_MAX:
            self._shown.clear()
        self._shown[row] = changed_at, item
        return item

    def has(self, ref: int) -> bool:
        """Whether an item is in the catalogue, by a reference that `ref_of` gave."""
        return ref in self._packed

    def unknown(self, refs: Sequence[int]) -> frozenset[int]:
        """Those of these references that are of no item of the catalogue: the cheapest way to ask about many."""
        return self._packed.unknown(refs)

    def is_deleted(self, ref: int, row: int) -> bool:
        """Whether an item that is not in the catalogue once was; of those that left their rows the last are known."""
        return ref in self.rows_left or (row >= 0 and bool(self.created_ms[row]))

    def lacking(self, rows: Ints) -> Ints:
        """Places of those of these rows that hold no item of the catalogue; -1 holds none."""
        places = np.empty(len(rows), np.int64)
        return places[: _find_lacking(self._refs, rows, places)]

    def text_of(self, tenant: str, ref: int) -> str | None:
        """The text that a field of a tenant's item has, or had, by its reference."""
        return self._texts.get(tenant, _NO_TEXTS).get(ref)

    def size_of(self, tenant: str, item_id: str) -> int:
        """Bytes that an item takes packed, 0 if it is not in the catalogue."""
        return len(self._held(tenant, item_id))

    def packed(self) -> Sequence[bytes]:
        """The items as a checkpoint holds them, as they are now, in the order in which they came."""
        return self._packed.still()

    # Changing, in the two steps of `events.folding`: the first raises `ValueError` for an id that is known by the
    # reference of another one's item.

    def upsert(self, event: ItemUpserted) -> None:
        """Both steps at once, as with `patch` and `delete`."""
        self.upserting(event)()

    def patch(self, event: ItemPatched) -> None:
        """Changes a known item; about an unknown one there is nothing to change."""
        self.patching(event)()

    def is_taken(self, tenant: str, item_id: str) -> bool:
        """Whether the catalogue holds another item under the reference of this one."""
        try:
            self.ref_of(tenant, item_id)
        except ReferenceTaken:
            return True
        return False

    def delete(self, event: ItemDeleted) -> None:
        """Takes a known item out."""
        self.deleting(event)()

    def upserting(self, event: ItemUpserted, _end: int = 0) -> Change:
        """What puts the item in."""
        known = self._own(event)
        return self._putting(event, event.fields, known.created_ms if known else event.at_ms, event.canonical)

    def patching(self, event: ItemPatched, _end: int = 0) -> Change:
        """What changes its fields."""
        known = self._own(event)
        if known is None:
            return _no_change
        fields = {name: value for name, value in {**known.fields, **event.fields}.items() if value is not None}
        return self._putting(event, fields, known.created_ms, max(known.canonical, event.canonical))

    def deleting(self, event: ItemDeleted, _end: int = 0) -> Change:
        """What takes it out."""
        known = self._own(event)
        return _no_change if known is None else partial(self._remove, event.tenant, known.ref)

    def _own(self, event: ItemUpserted | ItemPatched | ItemDeleted) -> Item | None:
        """The item that the event is about, None if it is not in the catalogue."""
        try:
            self.ref_of(event.tenant, event.id)
        except ReferenceTaken as taken:
            raise ValueError(taken.message) from None
        return self.get(event.tenant, event.id)

    def _remove(self, tenant: str, ref: int) -> None:
        packed = self._packed.pop(ref)
        if self._named.get(tenant, _NO_REFS).pop(_unpack_name(packed).id, None) is not None:
            self._named_count -= 1
        self._counts[tenant] -= 1
        if not self._counts[tenant]:
            self._types.pop(tenant, None)
        self.size_bytes -= len(packed)
        row = self._changed_row(ref)
        if row >= 0:
            self._note_vector(row, tenant, 0)
            self._refs[row] = 0
            self.available[row] = self.tenants[row] = 0
            self.attributes.refs[row] = 0
            self.attributes.numbers[row] = np.nan
            self._fill_meaning(row, _MEANS_NOTHING, 0)
            if self._leave(row):
                self.created_ms[row] = 0
                self.attributes.numbers[row] = 0
                self.rows_left.add(ref, row)

    def forget_named(self) -> None:
        """Empty the caches of names: those of items that are gone would lie in their midst."""
        self._named, self._named_count = {}, 0
        self._shown = {}
        self._packed.forget()
        self.references.forget()

    def restore(self, packed: bytes) -> None:
        """Put an item back as a checkpoint holds it; `msgspec.ValidationError` for what is none."""
        item = _unpack(packed)
        self._keep(item, packed, self._columns_of(item))

    def count_of(self, tenant: str) -> int:
        """How many items a tenant has."""
        return self._counts.get(tenant, 0)

    def available_of(self, tenant: str) -> int:
        """How many of a tenant's items are in stock."""
        return int(np.count_nonzero(self.available[self.tenants == self.code_of(tenant)]))

    def types_of(self, tenant: str) -> FieldTypes:
        """What the fields of a tenant's items are, to read further ones by; changing it changes nothing here."""
        known = self._types.get(tenant)
        return FieldTypes() if known is None else known.copy()

    def page(self, tenant: str, *, after_row: int, limit: int) -> Iterator[Item]:
        """A tenant's items by row, behind a row; whatever changes meanwhile, an item that stays keeps its row."""
        code, first = self.code_of(tenant), after_row + 1
        while limit and first < len(self._refs):
            part = slice(first, first + _ROWS_LOOKED_AT)
            found = np.flatnonzero((self._refs[part] != 0) & (self.tenants[part] == code))[:limit]
            yield from (self.at_row[first + row] for row in found.tolist())
            limit -= len(found)
            first += _ROWS_LOOKED_AT

    def refs_of(self, tenant: str) -> Ints:
        """The references of a tenant's items."""
        refs: Ints = self._refs[(self._refs != 0) & (self.tenants == self.code_of(tenant))]
        return refs

    def code_of(self, tenant: str) -> int:
        """What stands for a tenant in `tenants`, -1 for one that has had no items."""
        return self._codes.get(tenant, -1)

    @property
    def columns(self) -> tuple[Ints | Bytes | Shorts, ...]:
        """What stands by row here; zeros where no item ever stood or one that left its row to others."""
        return (
            self._refs, self.available, self.created_ms, self.tenants, self.from_ms, self.until_ms, self.groups,
            self.vector_lengths,
        )  # fmt: skip

    @property
    def tenants_known(self) -> Iterable[str]:
        """The tenants that have had items."""
        return self._codes

    def of_tenant(self, tenant: str) -> Iterator[Item]:
        """All items of a tenant, in the order in which they came. Unpacks everybody's."""
        return (item for item in self.items.values() if item.tenant == tenant)

    def _putting(
        self, event: ItemUpserted | ItemPatched, fields: dict[str, Any], known_since_ms: int, canonical: int
    ) -> Change:
        created_ms = _created_ms(fields.get("created_at"), otherwise_ms=known_since_ms)
        ref = self.references.item(event.tenant, event.id)
        item = Item(event.id, ref, event.tenant, fields, created_ms, canonical)
        return partial(self._keep, item, _pack(item), self._columns_of(item))

    def _columns_of(self, item: Item) -> _Columns:
        numbers = [item.fields.get(name) for name in self._number_names]
        meaning = meaning_of(item.fields) if item.canonical else _MEANS_NOTHING
        return _Columns(
            [texts_of(item.fields.get(name)) for name in self._attribute_names],
            [float(one) if isinstance(one, int | float) and not isinstance(one, bool) else np.nan for one in numbers],
            item.available, meaning, self.references.group(item.tenant, meaning.group) if meaning.group else 0,
            length_of(item.fields),
        )  # fmt: skip

    def _keep(self, item: Item, packed: bytes, columns: _Columns) -> None:
        before = self._packed.get(item.ref)
        if before is None:
            self._counts[item.tenant] = self.count_of(item.tenant) + 1
        else:
            self.size_bytes -= len(before)
        self._packed[item.ref] = packed
        self.size_bytes += len(packed)
        if item.canonical:
            self._types.setdefault(item.tenant, FieldTypes()).learn(item.fields)
        self._fill_columns(item, columns)
        self.rows_left.discard(item.ref)

    def changed_since(self, changes: int) -> Ints | None:
        """The rows that changed since there were so many `changes`, each once; None if nobody remembers them all."""
        count = self.changes - changes
        if count > len(self._changed):
            return None
        rows = np.unique(self._changed[np.arange(changes, self.changes) % len(self._changed)])
        return rows[rows >= 0]

    def rows_changed_since(self, changes: int) -> Ints:
        """Likewise, however many those are: beyond what is remembered one by one it takes a pass over all rows."""
        rows = self.changed_since(changes)
        return np.flatnonzero(self._changed_at > changes) if rows is None else rows

    def _changed_row(self, ref: int) -> int:
        """The row of an item that changes, -1 when there is no room."""
        row = self._row_of(ref)
        self._changed[self.changes % len(self._changed)] = row
        self.changes += 1
        if row >= 0:
            self._changed_at[row] = self.changes
        return row

    def _noted(self, tenant: str, text: str) -> int:
        """The reference of a text, which `text_of` knows from here on unless it knows too many. Of two texts of one
        reference it knows the first, and another tenant's never."""
        ref = self.references.of(text)
        texts = self._texts.setdefault(tenant, {})
        if ref not in texts and self._texts_named < TEXTS_NAMED_MAX:
            texts[ref] = text
            self._texts_named += 1
        return ref

    def _fill_columns(self, item: Item, columns: _Columns) -> None:
        row = self._changed_row(item.ref)
        if row < 0:
            return
        self._note_vector(row, item.tenant, columns.vector_length)
        self._refs[row] = item.ref
        self.tenants[row] = self._codes.setdefault(item.tenant, len(self._codes) + 1)
        self.available[row] = columns.available
        self.created_ms[row] = item.created_ms
        for column, texts in enumerate(columns.texts):
            refs = [self._noted(item.tenant, text) for text in texts]
            self.attributes.refs[row, column] = refs + [0] * (ATTRIBUTE_VALUES_MAX - len(refs))
        for column, number in enumerate(columns.numbers):
            self.attributes.numbers[row, column] = number
        self._fill_meaning(row, columns.meaning, columns.group)

    def _note_vector(self, row: int, tenant: str, length: int) -> None:
        """The item in a row has a vector of this length now."""
        before = int(self.vector_lengths[row])
        if before == length:
            return
        self.vector_lengths[row] = length
        self.size_bytes += length - before
        held = self._vectors.get(tenant, _NO_VECTORS)
        held = _Held(held.vectors + (length > 0) - (before > 0), held.size_bytes + length - before)
        self._vectors[tenant] = held
        if not held.vectors:
            del self._vectors[tenant]
            if tenant in self._types:
                self._types[tenant].vector_length = 0

    def vectors_of(self, tenant: str) -> int:
        """Bytes of all vectors of a tenant."""
        return self._vectors.get(tenant, _NO_VECTORS).size_bytes

    def vector_length(self, tenant: str, item_id: str) -> int:
        """Of an item's vector, 0 where it has none."""
        item = self.get(tenant, item_id) if self.vectors_of(tenant) else None
        return 0 if item is None else length_of(item.fields)

    @property
    def vectors(self) -> int:
        """How many items have a vector."""
        return sum(held.vectors for held in self._vectors.values())

    @property
    def vector_bytes(self) -> int:
        """Of the vectors of all tenants, once."""
        return sum(held.size_bytes for held in self._vectors.values())

    def _fill_meaning(self, row: int, meaning: Meaning, group: int) -> None:
        self.from_ms[row], self.until_ms[row] = meaning.from_ms, meaning.until_ms
        self.has_windows = self.has_windows or meaning.from_ms > 0 or meaning.until_ms > 0
        self.groups[row] = group
        self.attributes.sale_prices[row] = meaning.sale_price
        self.attributes.sale_ms[row] = meaning.sale_from_ms, meaning.sale_until_ms
        self.has_sales = self.has_sales or meaning.sale_until_ms > 0


def _no_change() -> None:
    """About an item that is not there, there is nothing to change."""


def _is_of(packed: bytes, tenant: str, item_id: str, ref: int) -> bool:
    """Whether a packed item is the one of that name: both begin, behind the size of the array, with the same bytes."""
    return packed.startswith(_pack_name((item_id, ref, tenant))[1:], 1)


def texts_of(value: object) -> list[str]:
    """The values of a text field that features see: a text, or the first few of a list.

    >>> texts_of("sofa"), texts_of(["a", "b", 3]), texts_of(None)
    (['sofa'], ['a', 'b', '3'], [])
    """
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list):
        return [str(part) for part in value[:ATTRIBUTE_VALUES_MAX]]
    return [] if value is None else [str(value)]


def _created_ms(value: object, *, otherwise_ms: int) -> int:
    if isinstance(value, str | int) and not isinstance(value, bool) and value:
        try:
            return parse_time_ms(value, "created_at")
        except EventRejected:
            return otherwise_ms
    return otherwise_ms


@kernel
def _find_lacking(refs: Ints, rows: Ints, places: Ints) -> int:
    count = 0
    for place in range(len(rows)):
        if rows[place] < 0 or refs[rows[place]] == 0:
            places[count] = place
            count += 1
    return count
