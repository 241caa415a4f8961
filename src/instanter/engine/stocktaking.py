"""What stands in the catalogue and has no effect, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from ..events.items import GROUP, FieldReader, FieldTypes, ItemRefused, Meaning, is_available, meaning_of
from ..foundation.limits import SHOWN_ID_CHARS, STOCKTAKEN_ITEMS_MAX
from ..state.catalogue import Catalogue, Item

ONE_GROUP_SHARE: Final = 0.5
"""A group that holds more of a catalogue than this is most likely none."""
_ONE_GROUP_ITEMS: Final = 10
"""Fewer items than this may well be the variants of one thing."""


def looked_at(catalogue: Catalogue, tenant: str) -> list[Item]:
    """The items that a report looks at."""
    return list(catalogue.page(tenant, after_row=-1, limit=STOCKTAKEN_ITEMS_MAX))


def without_effect(
    items: Sequence[Item], types: FieldTypes, *, numbers: Collection[str], texts: Collection[str] = (),
    currency: str = "",
) -> Iterator[tuple[str, int, str]]:  # fmt: skip
    """Code, number of items and sentence of each thing about them that has less effect than it may be meant to have."""
    reader = FieldReader(types, numbers=numbers, texts=texts, currency=currency)
    counted = Counter[tuple[str, str]]()
    as_sent = 0
    groups = Counter[str]()
    for item in items:
        try:
            read = reader.read(item.fields)
            told = [(remark.code, remark.message) for remark in reader.remarks]
        except ItemRefused as refused:
            read, told = item.fields, [("refused", refused.message)]
        if item.canonical and (group := meaning_of(item.fields).group):
            groups[group] += 1
        if is_available(read) != item.available or (not item.canonical and _says_more(item, read)):
            as_sent += 1
        counted.update(told)
    if as_sent:
        yield "items_as_sent", as_sent, _sentence(
            as_sent, len(items), "were written before their fields were read, and say more than counts: send them again"
        )
    if sentence := one_group(groups, len(items)):
        yield "one_group", max(groups.values()), sentence
    for (code, message), count in counted.items():
        yield code, count, _sentence(count, len(items), f"of the catalogue: {message}")


def one_group(groups: Mapping[str, int], total: int) -> str:
    """What to say of `total` items of which most are in one group, "" if that is not so.

    >>> one_group({"a": 2}, 12), one_group({"x": 11, "a": 1}, 12)[:53]
    ('', '11 of 12 items are in one item_group_id, "x", and a l')
    """
    group, count = max(groups.items(), key=lambda one: one[1], default=("", 0))
    if total < _ONE_GROUP_ITEMS or count <= ONE_GROUP_SHARE * total:
        return ""
    return (
        f'{count:,} of {total:,} items are in one {GROUP}, "{group[:SHOWN_ID_CHARS]}", and a list shows one item of a '
        "group: where they are no variants of one thing, send them without it."
    )


def _says_more(item: Item, read: dict[str, object]) -> bool:
    """Whether it would mean more if it were sent again."""
    return read != item.fields or meaning_of(read) != Meaning()


def _sentence(count: int, total: int, text: str) -> str:
    of = f"{count:,} of {total:,} items" if count < total else f"all of {total:,} items"
    return f"{of[0].upper()}{of[1:]} {text}."
