"""What stands in the catalogue and has no effect, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ..events.items import FieldReader, FieldTypes, ItemRefused, Meaning, is_available, meaning_of
from ..foundation.limits import STOCKTAKEN_ITEMS_MAX
from ..state.catalogue import Catalogue, Item


def looked_at(catalogue: Catalogue, tenant: str) -> list[Item]:
    """The items that a report looks at."""
    return list(catalogue.page(tenant, after_row=-1, limit=STOCKTAKEN_ITEMS_MAX))


def without_effect(
    items: Sequence[Item], types: FieldTypes, *, numbers: Collection[str], currency: str = ""
) -> Iterator[tuple[str, int, str]]:
    """Code, number of items and sentence of each thing about them that has less effect than it may be meant to have."""
    reader = FieldReader(types, numbers=numbers, currency=currency)
    counted: dict[tuple[str, str], tuple[int, str]] = {}
    as_sent = 0
    for item in items:
        try:
            read = reader.read(item.fields)
            told = [(remark.field, remark.code, remark.message) for remark in reader.remarks]
        except ItemRefused as refused:
            read, told = item.fields, [(refused.field, "refused", refused.message)]
        if not item.canonical and _says_more(item, read):
            as_sent += 1
        for field, code, message in told:
            count, first = counted.get((field, code), (0, message))
            counted[field, code] = (count + 1, first)
    if as_sent:
        yield "items_as_sent", as_sent, _sentence(
            as_sent, len(items), "were written before their fields were read, and say more than counts: send them again"
        )
    for (_, code), (count, message) in counted.items():
        yield code, count, _sentence(count, len(items), f"of the catalogue: {message}")


def _says_more(item: Item, read: dict[str, object]) -> bool:
    """Whether it would mean more if it were sent again."""
    return read != item.fields or meaning_of(read) != Meaning() or is_available(read) != item.available


def _sentence(count: int, total: int, text: str) -> str:
    of = f"{count:,} of {total:,} items" if count < total else f"all of {total:,} items"
    return f"{of[0].upper()}{of[1:]} {text}."
