"""What can be shown: items and their fields, as the control events have left them, and as columns by item row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from ..events.envelope import ItemDeleted, ItemPatched, ItemUpserted
from ..events.times import parse_time_ms
from ..foundation.errors import EventRejected
from ..foundation.ids import item_reference, reference
from ..foundation.limits import ATTRIBUTE_VALUES_MAX
from .compiled import Bytes, Ints
from .program import Attributes


class Item(msgspec.Struct, frozen=True, array_like=True):
    """An item of the catalogue. Never changed in place: a change makes another one."""

    id: str
    ref: int
    tenant: str
    fields: dict[str, Any]
    created_ms: int
    """When it first came, or the field `created_at` where that is a time in ms or ISO 8601."""

    @property
    def available(self) -> bool:
        """In stock; an item without `stock` always is."""
        stock = self.fields.get("stock")
        return not isinstance(stock, int | float) or stock > 0


class Catalogue:
    """Items by reference, and their columns. `row_of` gives the state's row of an item, -1 when there is no room."""

    def __init__(
        self,
        attributes: Attributes,
        *,
        attribute_names: tuple[str, ...],
        number_names: tuple[str, ...],
        row_of: Callable[[int], int],
    ) -> None:
        rows_max = len(attributes.refs)
        self.items: dict[int, Item] = {}
        self._counts: dict[str, int] = {}
        self.at_row: dict[int, Item] = {}
        self.attributes = attributes
        self.available: Bytes = np.zeros(rows_max, np.uint8)
        """By row: 1 for an item of the catalogue that is in stock."""
        self.created_ms: Ints = np.zeros(rows_max, np.int64)
        self.changes = 0
        """Counts the changes; what is derived from the catalogue is stale once it differs."""
        self._attribute_names = attribute_names
        self._number_names = number_names
        self._row_of = row_of

    def get(self, tenant: str, item_id: str) -> Item | None:
        """The item of that id."""
        return self.items.get(item_reference(tenant, item_id))

    def upsert(self, event: ItemUpserted) -> None:
        known = self.get(event.tenant, event.id)
        self._put(event.tenant, event.id, event.fields, known.created_ms if known else event.at_ms)

    def patch(self, event: ItemPatched) -> None:
        """Changes a known item; about an unknown one there is nothing to change."""
        known = self.get(event.tenant, event.id)
        if known is not None:
            fields = {name: value for name, value in {**known.fields, **event.fields}.items() if value is not None}
            self._put(event.tenant, event.id, fields, known.created_ms)

    def delete(self, event: ItemDeleted) -> None:
        item = self.items.pop(item_reference(event.tenant, event.id), None)
        if item is not None:
            self._counts[item.tenant] -= 1
            self.changes += 1
            row = self._row_of(item.ref)
            if row >= 0:
                del self.at_row[row]
                self.available[row] = 0
                self.attributes.refs[row] = 0
                self.attributes.numbers[row] = np.nan

    def restore(self, item: Item) -> None:
        """Put an item back as a checkpoint holds it."""
        if item.ref not in self.items:
            self._counts[item.tenant] = self.count_of(item.tenant) + 1
        self.items[item.ref] = item
        self._fill_columns(item)

    def count_of(self, tenant: str) -> int:
        """How many items a tenant has."""
        return self._counts.get(tenant, 0)

    def of_tenant(self, tenant: str) -> Iterator[Item]:
        """All items of a tenant, in the order in which they came."""
        return (item for item in self.items.values() if item.tenant == tenant)

    def _put(self, tenant: str, item_id: str, fields: dict[str, Any], known_since_ms: int) -> None:
        created_ms = _created_ms(fields.get("created_at"), otherwise_ms=known_since_ms)
        self.restore(Item(item_id, item_reference(tenant, item_id), tenant, fields, created_ms))

    def _fill_columns(self, item: Item) -> None:
        self.changes += 1
        row = self._row_of(item.ref)
        if row < 0:
            return
        self.at_row[row] = item
        self.available[row] = item.available
        self.created_ms[row] = item.created_ms
        for column, name in enumerate(self._attribute_names):
            refs = [reference(text) for text in texts_of(item.fields.get(name))]
            self.attributes.refs[row, column] = refs + [0] * (ATTRIBUTE_VALUES_MAX - len(refs))
        for column, name in enumerate(self._number_names):
            value = item.fields.get(name)
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            self.attributes.numbers[row, column] = value if numeric else np.nan


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
