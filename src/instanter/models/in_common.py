"""What items have in common: values of their text fields, and words of their titles.

A pure function of the catalogue, which it follows item by item. Each value of an item is a place that all items of the
tenant with that value share, and of each place it is known how many those are: so it takes one pass over the places of
two items to tell what both have, and how many others have it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from ..events.items import BRAND, CATEGORY, TAGS
from ..foundation.limits import (
    FIELDS_IN_COMMON_MAX,
    VALUE_IN_COMMON_CHARS_MAX,
    VALUES_FOLLOWED_MAX,
    VALUES_IN_COMMON_MAX,
    WORDS_IN_COMMON_MAX,
)
from ..foundation.pages import mapped_zeros
from ..state.compiled import Ints, Shorts, kernel
from ..state.memory import State
from .catalogue_index import CatalogueIndex, IndexOfState
from .item_words import NO_WORDS, folded, title_of, words_in

TITLE: Final = "\0title"
"""Stands for the words of the title among the names of fields, none of which begins so."""
OFTEN: Final = 4
"""A word of the title that more than one in so many items has is none that two have in common."""
_FIRST: Final = (CATEGORY, BRAND, TAGS)
"""Fields that are read before the others."""
_LIST_MAX: Final = 8
"""Values of a list that are read."""
_SLOTS_MIN: Final = 1_024


class Fields(NamedTuple):
    """The fields of a tenant that items may have in common, and what stands for each."""

    names: tuple[str, ...]
    """In alphabetical order, without the title."""
    numbers: Shorts
    """By the number of a field: its place among the names, that behind them for the title, -1 for all others."""
    category: int
    """The place of the category, -1 if it is not among them."""
    items: int
    """How many items have any values."""

    @property
    def title(self) -> int:
        """The place of the title."""
        return len(self.names)


class Values(NamedTuple):
    """What kernels read: of items (by row) and of their values (by slot)."""

    slots: Shorts
    """[rows, `VALUES_IN_COMMON_MAX`]: slots + 1, 0 behind the last."""
    counts: Shorts
    """By slot: how many items have the value."""
    fields: Shorts
    """By slot: the number of its field."""
    owners: Shorts
    """By row: the tenant whose values stand there, 0 for none."""


class _Tenant:
    """The values of one tenant's items."""

    def __init__(self) -> None:
        self.slots: dict[tuple[str, str], int] = {}
        """By field and value."""
        self.numbers: dict[str, int] = {}
        """Of the fields that values are of ..."""
        self.counts: dict[str, int] = {}
        """... and how many values of items are of each."""
        self.items = 0


class InCommon(CatalogueIndex):
    """The values of all items of one state."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        rows_max = state.schema.capacity.items
        self._tenants: dict[int, _Tenant] = {}
        self.values = Values(
            mapped_zeros((rows_max, VALUES_IN_COMMON_MAX), np.int32), mapped_zeros(_SLOTS_MIN, np.int32),
            mapped_zeros(_SLOTS_MIN, np.int32), mapped_zeros(rows_max, np.int32),
        )  # fmt: skip
        self._keys: list[tuple[str, str]] = []
        """By slot its field and value."""
        self._free: list[int] = []
        """Slots of values that no item has any more."""
        self.version = 0
        """Counts the changes of values; what depends on them is stale once it differs."""

    @property
    def held_bytes(self) -> int:
        """Of the arrays, as far as they are in use; the texts of values come on top."""
        used = int(np.count_nonzero(self.values.owners))
        return used * 4 * (1 + VALUES_IN_COMMON_MAX) + 8 * len(self._keys)

    def fields(self, tenant: int) -> Fields:
        """What a tenant's items may have in common: the `FIELDS_IN_COMMON_MAX` fields with most values."""
        known = self._tenants.get(tenant)
        if known is None:
            return Fields((), np.zeros(1, np.int32), -1, 0)
        counts = {name: count for name, count in known.counts.items() if name != TITLE}
        most = sorted(counts, key=lambda name: (-counts[name], name))[:FIELDS_IN_COMMON_MAX]
        names = tuple(sorted(most))
        numbers = np.full(max(known.numbers.values()) + 1, -1, np.int32)
        for place, name in enumerate((*names, TITLE)):
            if name in known.numbers:
                numbers[known.numbers[name]] = place
        return Fields(names, numbers, names.index(CATEGORY) if CATEGORY in names else -1, known.items)

    def _by_row(self) -> Sequence[Shorts]:
        return self.values.owners, self.values.slots

    def _read(self, row: int) -> None:
        """Take notice of the values of an item that has come, changed or gone."""
        catalogue = self._state.catalogue
        item = catalogue.at_row.get(row)
        keys = [] if item is None else values_of(item.fields)
        code = int(catalogue.tenants[row]) if keys else 0
        if int(self.values.owners[row]) == code and (not code or self._keys_at(row) == keys):
            return
        self.version += 1
        if self.values.owners[row]:
            self._take_out(row)
        if keys:
            self._put_in(row, code, keys)

    def _keys_at(self, row: int) -> list[tuple[str, str]]:
        slots = self.values.slots[row]
        return [self._keys[slot] for slot in (slots[slots > 0] - 1).tolist()]

    def _put_in(self, row: int, code: int, keys: list[tuple[str, str]]) -> None:
        tenant = self._tenants.setdefault(code, _Tenant())
        tenant.items += 1
        slots = [self._slot_of(tenant, key) for key in keys]
        self.values.slots[row, : len(slots)] = np.array(slots) + 1
        self.values.counts[slots] += 1
        self.values.owners[row] = code
        for name, _ in keys:
            tenant.counts[name] += 1

    def _slot_of(self, tenant: _Tenant, key: tuple[str, str]) -> int:
        slot = tenant.slots.get(key)
        if slot is not None:
            return slot
        if self._free:
            slot = self._free.pop()
            self._keys[slot] = key
        else:
            slot = len(self._keys)
            self._keys.append(key)
            if slot == len(self.values.counts):
                counts, fields = _grown(self.values.counts), _grown(self.values.fields)
                self.values = self.values._replace(counts=counts, fields=fields)
        name = key[0]
        if name not in tenant.numbers:
            tenant.numbers[name] = next(_unused(tenant.numbers.values()))
            tenant.counts[name] = 0
        tenant.slots[key] = slot
        self.values.fields[slot] = tenant.numbers[name]
        return slot

    def _take_out(self, row: int) -> None:
        code = int(self.values.owners[row])
        tenant, slots = self._tenants[code], self.values.slots[row]
        for slot in (slots[slots > 0] - 1).tolist():
            key = self._keys[slot]
            self.values.counts[slot] -= 1
            if not self.values.counts[slot]:
                del tenant.slots[key]
                self._keys[slot] = ("", "")
                self._free.append(slot)
            tenant.counts[key[0]] -= 1
            if not tenant.counts[key[0]]:
                del tenant.counts[key[0]], tenant.numbers[key[0]]
        tenant.items -= 1
        if not tenant.items:
            del self._tenants[code]
        self.values.owners[row] = self.values.slots[row] = 0


class Commons(IndexOfState[InCommon]):
    """What items of the state that decisions are made on have in common."""

    def __init__(self) -> None:
        super().__init__(InCommon, VALUES_FOLLOWED_MAX)


def values_of(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The values of an item by their fields, the first `VALUES_IN_COMMON_MAX`: words of the title, then category, brand
    and tags, then further texts by the name of the field. A text that is long is no value, nor is an address.

    >>> values_of({"title": "Oak table", "category": "Tables", "made_in": ["Riga"], "price": 3})
    [('\\x00title', 'oak'), ('\\x00title', 'table'), ('category', 'tables'), ('made_in', 'riga')]
    """
    title = title_of(fields)
    text = fields.get(title)
    words = words_in(text[: WORDS_IN_COMMON_MAX * VALUE_IN_COMMON_CHARS_MAX]) if isinstance(text, str) else []
    found = [(TITLE, word) for word in list(dict.fromkeys(words))[:WORDS_IN_COMMON_MAX]]
    for name in (*_FIRST, *sorted(fields)):
        if name in fields and name != title and name not in NO_WORDS:
            found += [(name, value) for value in _texts(fields[name])]
    return list(dict.fromkeys(found))[:VALUES_IN_COMMON_MAX]


def _texts(value: object) -> Iterable[str]:
    parts = value[:_LIST_MAX] if isinstance(value, list) else [value]
    for part in parts:
        if isinstance(part, str) and 0 < len(part) <= VALUE_IN_COMMON_CHARS_MAX and "://" not in part:
            yield folded(part)


def _unused(numbers: Iterable[int]) -> Iterator[int]:
    used = set(numbers)
    return (number for number in range(len(used) + 1) if number not in used)


def _grown(column: Shorts) -> Shorts:
    more: Shorts = mapped_zeros(2 * len(column), np.int32)
    more[: len(column)] = column
    return more


@kernel
def _place_of(values: Values, slot: int, numbers: Shorts, title: int, items: int) -> int:
    """The place of a value's field among those that items may have in common, -1 for none."""
    place: int = numbers[values.fields[slot]]
    if place == title and OFTEN * values.counts[slot] > items:
        return -1
    return place


@kernel
def mark(values: Values, row: int, numbers: Shorts, title: int, items: int, marks: Shorts, sizes: Ints) -> None:
    """Put into `marks` by slot the place + 1 of what the item of a row has, and into `sizes` by place how many others
    have one of its values, each counted for each. `marks` are all zeros before, and after `unmark`."""
    for place in range(len(sizes)):
        sizes[place] = 0
    for i in range(values.slots.shape[1]):
        slot = values.slots[row, i] - 1
        if slot < 0:
            break
        place = _place_of(values, slot, numbers, title, items)
        if place >= 0:
            marks[slot] = place + 1
            sizes[place] += values.counts[slot] - 1


@kernel
def unmark(values: Values, row: int, marks: Shorts) -> None:
    """Leave `marks` as they were before `mark`."""
    for i in range(values.slots.shape[1]):
        slot = values.slots[row, i] - 1
        if slot < 0:
            break
        marks[slot] = 0
