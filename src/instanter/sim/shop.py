"""A furniture shop made from a seed: about two thousand products in coordinated lines, none of them real."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from .assortment import CATEGORIES, COLOURS, MATERIALS, ROOMS, STYLES, Category
from .chance import Chance
from .names import invent_distinct
from .wire import iso

PRODUCTS = 2_000
BRANDS = 24
LINE_CATEGORIES_MIN = 6
LINE_CATEGORIES_MAX = 16
OUT_OF_STOCK_SHARE = 0.04
AGE_DAYS_MAX = 730
DEFAULT_AS_OF_MS = 1_767_225_600_000
"""2026-01-01: the day the shop's newest products are up to, unless another is given."""

_DAY_MS = 86_400_000
_CATEGORY_CODES = {category.name: code for code, category in enumerate(CATEGORIES)}
_ROOM_CODES = {room: code for code, room in enumerate(ROOMS)}
_STYLE_CODES = {style: code for code, style in enumerate(STYLES)}
_MATERIAL_CODES = {material: code for code, material in enumerate(MATERIALS)}
_COLOUR_CODES = {colour: code for code, colour in enumerate(COLOURS)}


class ItemFields(msgspec.Struct, frozen=True):
    """The fields of a product as `POST /v1/items` takes them."""

    title: str
    category: str
    brand: str
    price: float
    stock: int
    room: str
    style: str
    material: str
    colour: str
    price_band: str
    created_at: str


class Item(msgspec.Struct, frozen=True):
    """One object of `POST /v1/items`: `msgspec.json.encode(item)` is the wire form."""

    id: str
    fields: ItemFields


class ProductLine(msgspec.Struct, frozen=True):
    """A coordinated range: one name, one brand, one style, several categories."""

    name: str
    brand: int
    style: str


class ProductColumns(msgspec.Struct, frozen=True):
    """The products as parallel arrays, in the order of `Shop.items()`; what people's tastes are computed on."""

    category: npt.NDArray[np.int64]
    room: npt.NDArray[np.int64]
    style: npt.NDArray[np.int64]
    material: npt.NDArray[np.int64]
    colour: npt.NDArray[np.int64]
    brand: npt.NDArray[np.int64]
    price: npt.NDArray[np.float64]
    level: npt.NDArray[np.float64]
    """Where the price stands in its category's range, 0 to 1."""
    in_stock: npt.NDArray[np.bool_]
    appeal: npt.NDArray[np.float64]
    """What everyone likes about it, in the units of utility. Not on the wire: people know it, engines must find out."""


class Shop:
    """The catalogue. Same seed (and size, and day), same products, bit for bit.

    >>> shop = Shop(seed=7, products=50)
    >>> [item.id for item in shop.items()][:2]
    ['sku-0001', 'sku-0002']
    >>> next(shop.items()) == next(Shop(seed=7, products=50).items())
    True
    """

    def __init__(self, *, seed: int = 7, products: int = PRODUCTS, as_of_ms: int = DEFAULT_AS_OF_MS) -> None:
        assert products > 0
        self.seed = seed
        self.as_of_ms = as_of_ms
        self.brands = tuple(invent_distinct(Chance("brands", seed=seed), BRANDS, syllables=3))
        self._brand_tiers = tuple(Chance(f"tier/{brand}", seed=seed).normal(0.0, 0.13) for brand in self.brands)
        self._brand_codes = {brand: code for code, brand in enumerate(self.brands)}
        self._items = self._stocked(products)
        self._rows = {item.id: row for row, item in enumerate(self._items)}
        self.columns = self._columns()

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> Iterator[Item]:
        """Every product, in catalogue order."""
        return iter(self._items)

    def item(self, item_id: str) -> Item:
        """One product; KeyError if the shop does not carry it."""
        return self._items[self._rows[item_id]]

    def holds(self, item_id: str) -> bool:
        """Whether the shop carries it."""
        return item_id in self._rows

    def row(self, item_id: str) -> int:
        """Where the product stands in `columns`; KeyError if the shop does not carry it."""
        return self._rows[item_id]

    def id_at(self, row: int) -> str:
        """The id of the product at this row of `columns`."""
        return self._items[row].id

    def select(self, *, room: str = "", category: str = "", style: str = "") -> list[Item]:
        """The products in stock that have these fields, in catalogue order; an empty argument does not choose."""
        return [
            item for item in self._items
            if item.fields.stock > 0
            and (not room or item.fields.room == room)
            and (not category or item.fields.category == category)
            and (not style or item.fields.style == style)
        ]

    def _stocked(self, products: int) -> list[Item]:
        items: list[Item] = []
        for line in self._lines(products):
            for category in self._carried(line):
                items.append(self._product(len(items) + 1, line, category))
                if len(items) == products:
                    return items
        raise AssertionError("the lines drawn hold too few products")

    def _lines(self, products: int) -> Iterator[ProductLine]:
        count = products // LINE_CATEGORIES_MIN + 1
        chance = Chance("lines", seed=self.seed)
        for name in invent_distinct(chance, count, syllables=3, taken=frozenset(self.brands)):
            yield ProductLine(name=name, brand=chance.below(len(self.brands)), style=chance.pick(tuple(STYLES)))

    def _carried(self, line: ProductLine) -> list[Category]:
        """The categories of a line, without repetition, the common ones more often."""
        chance = Chance(f"carried/{line.name}", seed=self.seed)
        count = LINE_CATEGORIES_MIN + chance.below(LINE_CATEGORIES_MAX - LINE_CATEGORIES_MIN + 1)
        ranked = sorted(CATEGORIES, key=lambda category: chance.exponential(1.0 / category.share))
        return ranked[:count]

    def _product(self, number: int, line: ProductLine, category: Category) -> Item:
        chance = Chance(f"product/{number}", seed=self.seed)
        material, colour = _look(chance, line.style, category)
        price = self._price(chance, category, material, line.brand)
        age_ms = int(min(chance.exponential(200.0), float(AGE_DAYS_MAX)) * _DAY_MS)
        stock = 0 if chance.happens(OUT_OF_STOCK_SHARE) else 1 + int(chance.exponential(18.0))
        return Item(id=f"sku-{number:04d}", fields=ItemFields(
            title=f"{line.name} {category.name}", category=category.name, brand=self.brands[line.brand], price=price,
            stock=stock, room=category.room, style=line.style, material=material, colour=colour,
            price_band=category.band_of(price), created_at=iso(self.as_of_ms - age_ms),
        ))

    def _price(self, chance: Chance, category: Category, material: str, brand: int) -> float:
        """The category sets the range; material, brand and a little luck say where in it."""
        level = 0.42 + MATERIALS[material] + self._brand_tiers[brand] + chance.normal(0.0, 0.10)
        price = category.price_at(min(1.0, max(0.0, level)))
        rounded = round(price / 10.0) * 10.0 - 1.0 if price >= 200.0 else round(price) - 0.05
        return min(category.price_max, max(category.price_min, rounded))

    def _columns(self) -> ProductColumns:
        fields = [item.fields for item in self._items]
        chance = Chance("appeal", seed=self.seed)
        return ProductColumns(
            category=np.array([_CATEGORY_CODES[each.category] for each in fields], dtype=np.int64),
            room=np.array([_ROOM_CODES[each.room] for each in fields], dtype=np.int64),
            style=np.array([_STYLE_CODES[each.style] for each in fields], dtype=np.int64),
            material=np.array([_MATERIAL_CODES[each.material] for each in fields], dtype=np.int64),
            colour=np.array([_COLOUR_CODES[each.colour] for each in fields], dtype=np.int64),
            brand=np.array([self._brand_codes[each.brand] for each in fields], dtype=np.int64),
            price=np.array([each.price for each in fields], dtype=np.float64),
            level=np.array([_category(each).level_of(each.price) for each in fields], dtype=np.float64),
            in_stock=np.array([each.stock > 0 for each in fields], dtype=np.bool_),
            appeal=np.array([chance.normal(0.0, 0.7) for _ in fields], dtype=np.float64),
        )


def _category(fields: ItemFields) -> Category:
    return CATEGORIES[_CATEGORY_CODES[fields.category]]


def _look(chance: Chance, style: str, category: Category) -> tuple[str, str]:
    """Material and colour: what the style is mostly made in, where the category allows it."""
    materials, colours = STYLES[style]
    fitting = [material for material in category.materials if material in materials]
    typical = bool(fitting) and chance.happens(0.8)
    material = chance.pick(fitting if typical else category.materials)
    colour = chance.pick(colours if chance.happens(0.85) else COLOURS)
    return material, colour
