"""From the names that others give to the fields of items to ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Sized
from typing import Any, Final

from ...events.items import CALLED, FIELDS_MEANT, GROUP
from ...foundation.limits import FEED_COLUMNS_MAX, FEED_SHAPES_MAX
from .found import FeedItem, Problem, refused

ID: Final = "id"
IDS: Final = ("id", "itemid", "productid", "offerid", "articleid", "contentid", "sku", "itemcode", "productcode",
              "externalid", "articlenumber", "artikelnummer", "artikelnr", "artikelid",
              "produktid", "produktnummer", "uid", "guid")  # fmt: skip
"""How columns of ids are called, the first that there is counts."""

_CALLED_IN_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "link": ("link", "url", "producturl", "permalink", "deeplink", "itemurl", "pageurl"),
    "image_link": ("imagelink", "image", "imageurl", "imagesrc", "picture", "pictureurl", "thumbnail", "thumbnailurl"),
    "description": ("description", "longdescription", "body", "bodyhtml", "shortdescription"),
}
_VARIANT_SKU: Final = "variantsku"
_AT_THEIR_WORD: Final = frozenset({*IDS, *CALLED["title"], "handle", _VARIANT_SKU})
_OPTION: Final = "option"
_WOOCOMMERCE: Final = "visibilityincatalog"
"""A column by which WooCommerce's export is known: there `Parent` names the product of a variant."""
_WRAPPED: Final = ("amount", "value", "price")
_CURRENCIES: Final = ("currency", "currencyCode", "currency_code", "priceCurrency")
_ABSENT: Final = (None, "")


def letters(name: str) -> str:
    """A name by what tells it from others: small letters and digits, without a namespace.

    >>> letters("g:Item Group-ID"), letters("Product_ID")
    ('itemgroupid', 'productid')
    """
    return "".join(filter(str.isalnum, name.casefold().removeprefix("g:")))


def repeated(names: Sequence[str]) -> str:
    """A name that several columns have, "" if there is none.

    >>> repeated(["id", "a", "b", "a"]), repeated(["id"])
    ('a', '')
    """
    return next((name for name, count in Counter(names).items() if count > 1), "")


def told_apart(names: Sequence[str]) -> list[str]:
    """Names of columns, of several of one name the further ones with their places.

    >>> told_apart(["id", "a", "b", "a"])
    ['id', 'a', 'b', 'a (4)']
    """
    first: dict[str, int] = {}
    return [
        name if first.setdefault(name, place) == place else f"{name} ({place + 1})" for place, name in enumerate(names)
    ]


class FeedColumns:
    """Which column is which field."""

    def __init__(self, names: Sequence[str], given: Mapping[str, str], *, tables: bool) -> None:
        """`given` says field -> column over what the names say; raises `RequestRejected` where no column is the id."""
        self.ours: dict[str, str] = {}
        """Column -> field, of the columns that are called otherwise."""
        for field, column in given.items():
            if column not in names:
                raise refused(f'there is no column "{column}" for {field}: {_listed(names)}')
            self.ours[column] = field
        by_letters: dict[str, str] = {}
        for name in names:
            if name not in self.ours:
                by_letters.setdefault(letters(name), name)
        taken = set(self.ours.values())
        wanted: list[tuple[str, Collection[str]]] = [(ID, IDS), *CALLED.items()]
        wanted += _CALLED_IN_TABLES.items() if tables else ()
        wanted += [(meant, [called]) for called, meant in FIELDS_MEANT.items()]
        if _WOOCOMMERCE in by_letters:
            wanted.append((GROUP, ["parent"]))
        for field, called in wanted:
            if field in taken or (field in names and field not in self.ours):
                taken.add(field)
                continue
            for one in called:
                column = by_letters.get(one, "")
                if column and column not in self.ours and column not in taken:
                    self.ours[column] = field
                    taken.add(field)
                    break
        self.has_id = ID in taken
        for name in names:
            if name not in self.ours and name in given:  # Its name is what another column was said to be.
                self.ours[name] = f"{name}_in_feed"

    def takes_at_its_word(self, name: str) -> bool:
        """Whether a column holds ids, titles or options, which may be called `None` or `NULL`."""
        plain = letters(name)
        return self.ours.get(name, name) in (ID, "title") or plain in _AT_THEIR_WORD or plain.startswith(_OPTION)

    def holds_ids(self, name: str) -> bool:
        """Whether ids of items or of groups of them stand in a column."""
        return self.ours.get(name, name) in (ID, GROUP) or letters(name) in (*IDS, _VARIANT_SKU)

    def require_id(self, names: Sequence[str]) -> None:
        """Raise `RequestRejected` unless a column is the id."""
        if not self.has_id:
            raise refused(f"no column is the id of an item; say which one: --map id=COLUMN ({_listed(names)})")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return f"the columns are {shown}{', ...' if len(names) > 20 else ''}"


class Renamer:
    """Items from objects whose names are their sender's; what the names mean is found once for each set of them."""

    def __init__(self, given: Mapping[str, str], *, tables: bool = False) -> None:
        self._given = dict(given)
        self._tables = tables
        self._known: dict[tuple[str, ...], FeedColumns] = {}

    def item(self, sent: Mapping[str, Any]) -> FeedItem | Problem:
        """The item that an object is. Objects as `POST /v1/items` takes them are taken as they are."""
        if isinstance(sent.get("fields"), dict) and ID in sent and not self._given:
            return _with_id(sent[ID], dict(sent["fields"]))
        names = tuple(sent)
        columns = self._known.get(names)
        if columns is None:
            given = {field: column for field, column in self._given.items() if column in sent}
            columns = FeedColumns(names, given, tables=self._tables)
            if len(self._known) >= FEED_SHAPES_MAX:
                self._known.clear()
            self._known[names] = columns
        if not columns.has_id:
            return Problem(f"it has no id: it has {', '.join(names[:12])[:200] or 'nothing'}; --map id=NAME says which")
        fields = {columns.ours.get(name, name): value for name, value in sent.items() if value not in _ABSENT}
        return _with_id(fields.pop(ID, None), unwrapped(fields))




def check_count(names: Sized) -> None:
    """Raise `RequestRejected` for more columns than a table may have."""
    if len(names) > FEED_COLUMNS_MAX:
        raise refused(f"it has {len(names):,} columns, and at most {FEED_COLUMNS_MAX:,} are read")


def _with_id(item_id: Any, fields: dict[str, Any]) -> FeedItem | Problem:
    if isinstance(item_id, float) and item_id.is_integer():
        item_id = int(item_id)  # Tables of numbers make 5.0 of 5 where another row has no id.
    if isinstance(item_id, bool) or not isinstance(item_id, str | int):
        return Problem("it has no id" if item_id in _ABSENT else "its id is neither text nor a whole number")
    text = str(item_id).strip()
    return FeedItem(text, fields) if text else Problem("it has no id")


def unwrapped(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with prices, brands and categories that are objects of their own made plain.

    >>> unwrapped({"price": {"amount": "5.00", "currencyCode": "EUR"}, "brand": {"name": "Own"}})
    {'price': '5.00', 'brand': 'Own', 'currency': 'EUR'}
    """
    for name in ("price", "sale_price"):
        value = fields.get(name)
        if isinstance(value, dict):
            amount = next((value[key] for key in _WRAPPED if key in value), None)
            currency = next((value[key] for key in _CURRENCIES if isinstance(value.get(key), str)), None)
            if amount is not None:
                fields[name] = amount
                if currency is not None:
                    fields.setdefault("currency", currency)
    for name in ("brand", "category"):
        value = fields.get(name)
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            fields[name] = value["name"]
    offers = fields.get("offers")
    if isinstance(offers, dict):  # schema.org
        for theirs, ours in (("price", "price"), ("priceCurrency", "currency"), ("availability", "availability")):
            if theirs in offers:
                fields.setdefault(ours, offers[theirs])
    return fields
