"""The items of a trial: from a file of items, or from what a click log says of the items that it names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ...events.items import CALLED, PRICE
from ...foundation.errors import RequestRejected
from ...foundation.limits import CATALOGUE_ITEMS_MAX
from ..feeds.columns import IDS, Renamer, letters
from ..feeds.found import Aside, FeedItem
from ..feeds.reading import read_items
from .columns import ITEM, SESSION, SHARE_SURE, USER, VISITOR, Column, Guesses, columns_of, loosely, text_of
from .exports import METARANK
from .history import Remarks
from .rows import EACH, Rows, Sample

Items = dict[str, dict[str, Any]]
"""Fields by id."""
_REPEATED_LEAST: Final = 5
"""Items that come several times in a sample, to tell by them which columns are the items'."""
_FIELDS_MAX: Final = 12
_HEAD_ROWS: Final = 20
_OF_ITEMS: Final = ("item", "product", "article", "ti_", "main", "primary")
_TITLE_WORDS: Final = ("description", "beschreibung", "name", "title", "label", "headline")


class Catalogue:
    """What a file of items holds."""

    def __init__(self, path: Path, given: Mapping[str, str]) -> None:
        """`given` is field -> column over what the names of the columns say."""
        self._path, self._given = path, dict(given)
        self.remarks = Remarks()
        self.format = ""
        self.notes: list[str] = []

    def read(self) -> Items:
        """All of its items; the last one of an id counts. `RequestRejected` where there is none."""
        found: Items = {}
        twice = 0
        for place, one in self._found():
            if not isinstance(one, FeedItem):
                self.remarks.add(one[0], place)
                continue
            twice += one.id in found
            if len(found) >= CATALOGUE_ITEMS_MAX and one.id not in found:
                self.remarks.add(f"more than {CATALOGUE_ITEMS_MAX:,} items are not taken", place)
                continue
            found[one.id] = one.fields
        if twice:
            self.notes.append(f"{twice:,} rows have an id that another row had before: the last one counts")
        if not found:
            told = "; ".join(self.remarks.sentences()[:3])
            raise RequestRejected("feed", f"{self._path.name}: there is no item in it{': ' if told else ''}{told}")
        return found

    def _found(self) -> Iterator[tuple[str, Any]]:
        if _export_of(self._path) == METARANK:
            self.format = METARANK
            yield from _of_rows(Rows(self._path), self._given)
            return
        with read_items(self._path, columns=self._given) as feed:
            self.format = feed.format
            yield from feed
            self.notes += feed.notes


def _export_of(path: Path) -> str:
    try:
        return Rows(path).sample(_HEAD_ROWS).export
    except RequestRejected:
        return ""  # XML, which only the reader of feeds reads.


def _of_rows(rows: Rows, given: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    names = rows.sample(200).names
    renamer = Renamer(given)
    for place, row in rows.read(names):
        yield place, row if isinstance(row, Aside) else renamer.item(
            {name: value for name, value in zip(names, row, strict=True) if value is not None and name != "event"}
        )


def describing(sample: Sample, guesses: Guesses) -> dict[str, str]:
    """Columns of a click log that say something of the item, as column -> field: those that are the same wherever the
    item comes again, and its price, which may change.

    >>> rows = [{"sku": f"s{n % 5}", "brand": f"b{n % 5 % 2}", "page": n} for n in range(40)]
    >>> from .columns import Guess
    >>> describing(Sample("CSV", rows, ["sku", "brand", "page"], []), Guesses([Guess("item", "sku", "")], {}))
    {'brand': 'brand'}
    """
    item = guesses.column(ITEM)
    person = next(filter(None, map(guesses.column, (USER, VISITOR, SESSION))), "")
    price = guesses.column(PRICE)
    used = {one.column for one in guesses.taken if one.column != price}
    found: dict[str, str] = {}
    for column in columns_of(sample):
        if column.name in used or not column.values or column.name.count(EACH) != item.count(EACH):
            continue
        if column.name == price or (
            (column.distinct > 1 or _named_field(column)) and _is_the_items(sample, item, person, column)
        ):
            field = _field_of(column, found.values())
            if field and len(found) < _FIELDS_MAX:
                found[column.name] = field
    return found


def _is_the_items(sample: Sample, item: str, person: str, column: Column) -> bool:
    """Whether the values of a column are the same in nearly all rows of an item, whoever came to it."""
    first: dict[str, tuple[str, Any]] = {}
    again, same = 0, 0
    for row in sample.rows:
        items, values = row.get(item), row.get(column.name)
        pairs = zip(items, values, strict=False) if isinstance(items, list) and isinstance(values, list) else (
            [(items, values)]
        )
        for one, value in pairs:
            if one is None or isinstance(one, list) or value is None or value == "":
                continue
            known, who = first.setdefault(text_of(one), (text_of(value), row.get(person)))
            if not person or who != row.get(person):
                again += 1
                same += known == text_of(value)
    if not person:
        again -= len(first)
        same -= len(first)
    if again < _REPEATED_LEAST:
        # Too few come again; what is called as a field of items is one.
        return bool(_named_field(column))
    return same >= (SHARE_SURE if not _named_field(column) else 0.5) * again


def _named_field(column: Column) -> str:
    """The field of items that a column is called as, "" for none."""
    plain = column.plain
    for prefix in ("", *_OF_ITEMS):
        short = plain.removeprefix(letters(prefix))
        for field, called in CALLED.items():
            if short in called and short != "type":
                return field
    return "category" if "categor" in plain and not plain.endswith(("id", "mean")) else ""


def _field_of(column: Column, taken: Collection[str]) -> str:
    named = _named_field(column)
    if not named and column.plain in _TITLE_WORDS:
        named = "title"
    if named and named not in taken:
        return named
    own = column.name.rpartition(".")[2]
    return own if own not in taken and own not in CALLED else ""


def titled(items: Items) -> int:
    """Give items without a title one, by what else is known of them; how many had none."""
    without = 0
    for item_id, fields in items.items():
        if not fields.get("title"):
            without += 1
            words = [str(fields[name]).rpartition(".")[2].replace("_", " ") for name in ("brand", "category")
                     if isinstance(fields.get(name), str | int) and fields[name] != ""]  # fmt: skip
            fields["title"] = f"{' '.join(words).strip().capitalize() or 'Item'} {item_id}"[:200]
    return without


def joining(ids: Collection[str], clicked: Collection[str]) -> tuple[Callable[[str], str], str]:
    """From the id of a click to that of the catalogue, and a sentence where they are written in different ways.

    >>> find, note = joining({"00123", "00456"}, {"123", "456"})
    >>> find("123"), find("9"), note
    ('00123', '9', 'ids are joined without zeros in front and case: 123 of the clicks is 00123 of the catalogue')
    """
    known = frozenset(ids)
    if not clicked or not known:
        return str, ""
    exact = sum(one in known for one in clicked) / len(clicked)
    loose: dict[str, str] = {}
    for one in known:
        loose.setdefault(loosely(one), one)
    found = [one for one in clicked if one not in known and loosely(one) in loose]
    if exact > 0.5 or len(found) < max(0.2 * len(clicked), 1):
        return str, ""
    example = min(found)
    note = (f"ids are joined without zeros in front and case: {example} of the clicks is "
            f"{loose[loosely(example)]} of the catalogue")  # fmt: skip
    return lambda name: name if name in known else loose.get(loosely(name), name), note


def is_id_named(names: Collection[str]) -> bool:
    """Whether a column is called as ids of items are."""
    return any(letters(name.rpartition(".")[2]) in IDS for name in names)
