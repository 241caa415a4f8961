"""What a storefront carries: items by id and by section, made from the simulator's shop or read from a file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ..foundation.errors import RequestRejected
from ..foundation.limits import STOREFRONT_ITEMS_MAX
from ..sim.shop import Shop

Kind = Literal["furniture", "articles", "plain"]
_REMARKS_MAX: Final = 20
_SHOWN_APART: Final = frozenset({
    "title", "name", "category", "brand", "price", "stock", "style", "colour", "color", "material", "room", "text",
    "author", "minutes", "created_at", "price_band", "currency",
})  # fmt: skip
_DETAILS_MAX: Final = 12
_WHETHER_SOLD: Final = frozenset({
    "active", "is_active", "available", "availability", "available_for_sale", "enabled", "published", "status",
    "in_stock", "is_in_stock", "visible", "visibility", "on_sale", "sellable", "aktiv", "verfügbar", "verfuegbar",
    "verfügbarkeit", "lieferbar", "sichtbar", "actif", "disponible", "disponibilité", "disponibilite", "activo",
    "disponibilidad", "attivo", "disponibile", "beschikbaar", "actief",
})  # fmt: skip
"""Fields that say whether an item is sold, in lower case: to the shop, not to who buys."""
_ADDRESS: Final = re.compile(r"\s*([a-z][a-z0-9+.-]*:)?//\S|\s*www\.\S", re.IGNORECASE)
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_PATH_SIGNS: Final = re.compile(r"\s*[>›»]\s*")
_WORDS: Final = re.compile(r"\w+")
OTHER: Final = "Other"
"""The section of items that have no category."""


class ShelfItem(msgspec.Struct, frozen=True):
    """One item as pages show it; `price` and `stock` are None where the catalogue does not say."""

    id: str
    title: str
    category: str = ""
    brand: str = ""
    price: float | None = None
    stock: float | None = None
    room: str = ""
    style: str = ""
    colour: str = ""
    material: str = ""
    text: str = ""
    author: str = ""
    minutes: int = 0
    details: tuple[tuple[str, str], ...] = ()
    """Further fields, as (name, text)."""

    @property
    def category_title(self) -> str:
        """The category as it is read: of a path the last part.

        >>> ShelfItem("a", "A", category="Jackets > Rain jackets").category_title
        'Rain jackets'
        """
        return _last_part(self.category)

    @property
    def sold_out(self) -> bool:
        """Whether the catalogue says that there is none left."""
        return self.stock is not None and self.stock <= 0


class Section(msgspec.Struct, frozen=True):
    """Items that stand together: a category, or a room with its categories."""

    slug: str
    title: str
    ids: tuple[str, ...]
    within: tuple[str, ...] = ()
    """The slugs of the sections inside it."""


class Shelf:
    """The items in the order of their catalogue, and the sections they stand in. Stock is all that changes.

    >>> shelf = Shelf.of_items([{"id": "a", "fields": {"title": "Blue cup", "category": "cups", "price": 9}}])
    >>> shelf.item("a").title, [section.title for section in shelf.sections]
    ('Blue cup', ['Cups'])
    """

    def __init__(
        self, items: Iterable[ShelfItem], *, name: str, kind: Kind = "plain", currency: str = ""
    ) -> None:
        """`currency` is the ISO 4217 code of all prices; "" where it is not known, or they are in several."""
        self.name = name
        self.kind = kind
        self.currency = currency
        self._items = {item.id: item for item in items}

    @classmethod
    def of_shop(cls, shop: Shop, *, name: str = "Hearth & Alder") -> Shelf:
        """The simulator's furniture."""
        made = (ShelfItem(
            id=item.id, title=item.fields.title, category=item.fields.category, brand=item.fields.brand,
            price=item.fields.price, stock=item.fields.stock, room=item.fields.room, style=item.fields.style,
            colour=item.fields.colour, material=item.fields.material,
        ) for item in shop.items())  # fmt: skip
        return cls(made, name=name, kind="furniture", currency="EUR")

    @classmethod
    def of_items(cls, items: Iterable[Mapping[str, Any]], *, name: str = "Your shop", kind: Kind = "plain") -> Shelf:
        """Items in the shape of `POST /v1/items`; an item whose id is empty is left out."""
        currencies = set[str]()
        made = [_item(item, currencies) for item in items if str(item.get("id", ""))]
        currency = currencies.pop() if len(currencies) == 1 else ""
        return cls(made, name=name, kind=kind, currency=currency)

    @classmethod
    def read(cls, path: Path, *, name: str = "Your shop") -> tuple[Shelf, list[str]]:
        """The items of a file of NDJSON, and what is to be said of lines that are none: line and reason.

        The rest goes on. Raises `RequestRejected` where the file cannot be read or holds no item at all.
        """
        remarks: list[str] = []
        try:
            with path.open("rb") as lines:
                shelf = cls.of_items(_read_lines(lines, remarks), name=name)
        except OSError as error:
            raise RequestRejected("shelf", f"cannot read {path}: {error.strerror or error}") from None
        if not len(shelf):
            told = f"; {remarks[0]}" if remarks else ""
            raise RequestRejected("shelf", f'{path} holds no item: one {{"id": ..., "fields": ...}} a line{told}')
        return shelf, remarks

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def item(self, item_id: str) -> ShelfItem:
        """One item; KeyError if there is none of this id."""
        return self._items[item_id]

    def items(self) -> Iterator[ShelfItem]:
        """All of them, in the order of the catalogue."""
        return iter(self._items.values())

    def found(self, ids: Iterable[str], limit: int) -> list[ShelfItem]:
        """Those of the ids that are here, at most so many."""
        return [self._items[one] for one in ids if one in self._items][:limit]

    def set_stock(self, item_id: str, stock: float) -> None:
        """The catalogue says another stock now; KeyError if there is no such item."""
        self._items[item_id] = msgspec.structs.replace(self._items[item_id], stock=stock)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """What the navigation shows: rooms where items have them, else categories; the largest first."""
        rooms = _grouped((item.room, item) for item in self.items()) if self.kind == "furniture" else {}
        if not rooms:
            return self.categories
        inner = {section.slug: section for section in self.categories}
        return tuple(
            Section(_slug(room), room.capitalize(), tuple(item.id for item in items),
                    tuple(slug for slug in dict.fromkeys(_slug(item.category) for item in items) if slug in inner))
            for room, items in rooms.items()
        )  # fmt: skip

    @cached_property
    def categories(self) -> tuple[Section, ...]:
        """The categories, the largest first."""
        groups = _grouped((item.category or OTHER, item) for item in self.items())
        ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
        taken: dict[str, Section] = {}
        for title, items in ordered:
            slug = _slug(title)
            while slug in taken:
                slug += "-"
            taken[slug] = Section(slug, _capital(_last_part(title)), tuple(item.id for item in items))
        return tuple(taken.values())

    @cached_property
    def _by_slug(self) -> dict[str, Section]:
        return {section.slug: section for section in (*self.categories, *self.sections)}

    def section(self, slug: str) -> Section:
        """A section by its slug; KeyError if there is none."""
        return self._by_slug[slug]

    def section_of(self, item: ShelfItem) -> Section | None:
        """The category that an item stands in."""
        return self._standing.get(item.id)

    @cached_property
    def _standing(self) -> dict[str, Section]:
        return {one: section for section in self.categories for one in section.ids}

    def search(self, query: str, limit: int) -> list[ShelfItem]:
        """Items that have each of the words in a text of theirs: what a page falls back on without an engine."""
        words = _WORDS.findall(_folded(query))
        if not words:
            return []
        found = []
        for item in self.items():
            text = _folded(f"{item.title} {item.category} {item.brand} {item.style} {item.colour} {item.material}")
            if all(word in text for word in words):
                found.append(item)
                if len(found) == limit:
                    break
        return found


def _read_lines(lines: Iterable[bytes], remarks: list[str]) -> Iterator[dict[str, Any]]:
    count = 0
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            read = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _remark(remarks, f"line {number}: {error}")
            continue
        if not isinstance(read, dict) or read.get("id") in (None, "") or not isinstance(read.get("fields", {}), dict):
            _remark(remarks, f'line {number}: not an item, {{"id": ..., "fields": {{...}}}}')
            continue
        if count == STOREFRONT_ITEMS_MAX:
            _remark(remarks, f"line {number}: the shelf holds {STOREFRONT_ITEMS_MAX:,} items, the rest is not shown")
            return
        count += 1
        yield read


def _remark(remarks: list[str], text: str) -> None:
    if len(remarks) < _REMARKS_MAX:
        remarks.append(text)
    elif len(remarks) == _REMARKS_MAX:
        remarks.append("and further lines")


def _item(sent: Mapping[str, Any], currencies: set[str]) -> ShelfItem:
    """An item as it was sent, with its currency among those; fields that are not of a usable type are left out, and so
    are addresses and what says whether it is sold."""
    fields: Mapping[str, Any] = sent.get("fields") or {}
    item_id = str(sent["id"])
    if (currency := _text(fields.get("currency")).upper()) and _CURRENCY.fullmatch(currency):
        currencies.add(currency)
    details = [
        (name.replace("_", " "), text) for name, value in fields.items()
        if name not in _SHOWN_APART and name.lower().replace(" ", "_") not in _WHETHER_SOLD
        and (text := _text(value)) and len(text) <= 200 and not _ADDRESS.match(text)
    ]  # fmt: skip
    return ShelfItem(
        id=item_id, title=_text(fields.get("title")) or _text(fields.get("name")) or item_id,
        category=_text(fields.get("category")), brand=_text(fields.get("brand")), price=_number(fields.get("price")),
        stock=_number(fields.get("stock")), room=_text(fields.get("room")), style=_text(fields.get("style")),
        colour=_text(fields.get("colour")) or _text(fields.get("color")), material=_text(fields.get("material")),
        text=_text(fields.get("text")), author=_text(fields.get("author")),
        minutes=int(_number(fields.get("minutes")) or 0), details=tuple(details[:_DETAILS_MAX]),
    )  # fmt: skip


def _text(value: object) -> str:
    """A text to show; the first of a list, "" for what is no text and no number."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = value[0] if value else ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except ValueError:
        return None
    return read if abs(read) < 1e15 else None


def _grouped(items: Iterable[tuple[str, ShelfItem]]) -> dict[str, list[ShelfItem]]:
    groups: dict[str, list[ShelfItem]] = {}
    for name, item in items:
        if name:
            groups.setdefault(name, []).append(item)
    return groups


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _last_part(category: str) -> str:
    return next((part for part in reversed(_PATH_SIGNS.split(category)) if part.strip()), category).strip()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _slug(text: str) -> str:
    """A name as it stands in an address.

    >>> _slug("Coffee table"), _slug("Größen / 1")
    ('coffee-table', 'grössen-1')
    """
    return "-".join(_WORDS.findall(_folded(text))) or "other"
