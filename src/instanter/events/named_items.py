"""The items that an event names, with their prices, quantities and places in the list.

The e-commerce specification's shape (`product_id`, else `sku`, in the properties or in `products`) is read on a short
way. What else shops, media and analytics tools send is read on a longer one, that costs others one look: other names of
an id, lists called `items` or `line_items`, maps and JSON text in the place of lists. What lies in a map around all
this is put beside it before (`wrapped`). `[events] item_from` says instead where ids stand, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, isfinite, nan
from typing import Any, Final

import msgspec

from ..foundation.errors import ConfigRejected, EventRejected
from ..foundation.ids import References
from ..foundation.limits import ITEMS_PER_EVENT_MAX
from . import kinds
from .identifiers import identifier
from .meanings import BY_NAME, MEANINGS, Role
from .notes import FIELD_REPAIRED, NEAR_MISS, NUMBER_IMPOSSIBLE, NUMBER_UNREADABLE, UNITS_MIXED, Note, add_note
from .numbers import AMOUNT_MAX, FAULTS, NumberRead, currencies_agree, currency_of, read_number

_POSITION_MAX = 2**31 - 1
_INTEGER_MAX = 2**63
_EMPTY: Mapping[str, Any] = {}

Items = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...], tuple[int, ...]]
"""References, prices, quantities and positions of one event's items, in the shape of `envelope.Tracked`."""

NO_ITEMS: Items = ((), (), (), ())

ID_FIELDS: Final = (
    "product_id", "sku", "productId", "productID", "product_sku", "productSku", "productSKU", "item_id", "itemId",
    "article_id", "articleId", "content_id", "contentId", "content_asset_id", "contentAssetId", "video_id", "videoId",
    "asset_id", "assetId", "post_id", "postId", "story_id", "storyId", "recipe_id", "recipeId", "episode_id",
    "episodeId", "media_id", "mediaId", "_pks",
)  # fmt: skip
"""Names of an item's id where `events.item_from` names none, the first that is there; within a list or a map that holds
an item also `id`, behind these. `_pks` is Matomo's."""
LIST_FIELDS: Final = (
    "products", "items", "line_items", "lineItems", "refund_line_items", "refundLineItems", "contents", "content_ids",
    "articles", "videos", "ec_items", "content_asset_ids", "contentAssetIds", "product_ids", "productIds", "item_ids",
    "itemIds", "objectIDs", "product_list", "productDetails", "productListItems", "productVariants", "impressions",
    "transactionProducts",
)  # fmt: skip
"""Names of a list of items, the first that holds some. `contents` and `content_ids` are Meta's, `ec_items` Matomo's,
`content_asset_ids` Segment's for videos; those of lines and `productVariants` are Shopify's, `objectIDs` Algolia's,
`productDetails` those of Google's Retail API, `productListItems` Adobe's."""
HOLDERS: Final = ("product", "item", "article", "content", "video", "asset", "productVariant", "cartLine")
"""Names of a map that holds the one item."""
_WITHIN: Final = ("line_item", "lineItem", "merchandise", "variant", "productVariant", "product")
"""Names of a map within a line, or within such a map, that says more of its item than the line itself."""
ITEM_FIELDS: Final = frozenset({*ID_FIELDS, *LIST_FIELDS, *HOLDERS})
"""Whatever names items."""
PRICE_FIELDS: Final = ("price", "item_price", "itemPrice", "unit_price", "unitPrice", "product_price", "_pkp")
QUANTITY_FIELDS: Final = ("quantity", "qty", "product_quantity")

UNREAD: Final = "\x1funread"
"""Stands for an item that is named in a way that cannot be read; no id holds a control character."""

NAMING_ITEMS: Final = frozenset(
    meaning.name
    for meaning in MEANINGS
    if meaning.items
    and meaning.role not in (Role.PRESENCE, Role.PAGE, Role.ORDER_CHANGE, Role.REFUND, Role.CANCEL)
    and not meaning.name.startswith("Promotion ")
)
"""Names of events that mean nothing without an item."""
_OF_ONE: Final = frozenset(
    name for name in NAMING_ITEMS if BY_NAME[name].role not in (Role.SHOWN, Role.ORDER, Role.CLAIM)
)
"""Those that are about one item, whose `id` is that item's where nothing else is said."""

_RARE: Final = ITEM_FIELDS - {*ID_FIELDS[:2], LIST_FIELDS[0]}
_IN_LISTS: Final = (*ID_FIELDS, "id")
_BY_SPELLING: Final = {
    kinds.folded(name): name for name in reversed((*ID_FIELDS, *LIST_FIELDS, *PRICE_FIELDS, *QUANTITY_FIELDS))
}
"""Of names that differ in nothing but their writing the first."""
_MATOMO_LINE: Final = ("sku", "name", "category", "price", "quantity")

_decode_text = msgspec.json.Decoder(list[Any] | dict[str, Any]).decode


ONE_WITH_PRICE, NONE, ANY = 0, 1, 2
"""What the names of properties say of items: `product_id` and `price`, and nothing else that is read of an item; no
name of an item; or anything else."""

RefOf = Callable[[str, str], int]
"""Gives the reference of a tenant's item; raises `ReferenceTaken`, see `Catalogue.ref_of`."""


class ItemFinder:
    """Finds an event's items. `item_from` (of the configuration) stands in place of `ID_FIELDS`.

    >>> finder = ItemFinder(["sku", "ecommerce.items[].item_id", "content.id"])
    >>> len(finder.items_of({"content": {"id": 5}, "product_id": "p"}, "t", [])[0])
    1
    """

    def __init__(self, item_from: Sequence[str] = (), ref_of: RefOf | None = None) -> None:
        """Raises `ConfigRejected` for a path that is none. `ref_of` gives the reference of a tenant's item."""
        self._ref_of = ref_of or References().item
        self._own = bool(item_from)
        paths = [_path(sent) for sent in item_from]
        self._fields = tuple(steps[0] for steps, listed in paths if len(steps) == 1 and listed < 0)
        self._nested = tuple(steps for steps, listed in paths if len(steps) > 1 and listed < 0)
        lists: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for steps, listed in paths:
            if listed >= 0:
                lists.setdefault(steps[: listed + 1], []).append(steps[listed + 1 :])
        self._lists = tuple(lists.items())

    def items_of(self, properties: Mapping[str, Any], tenant: str, notes: list[Note]) -> Items:
        """The item the event is about, then those of its list, as sent; one without an id is in the body alone."""
        if self._own:
            return self._found(properties, tenant, notes)
        item_id = identifier(properties["product_id"], "properties.product_id") if "product_id" in properties else ""
        if not item_id and "sku" in properties:
            item_id = identifier(properties["sku"], "properties.sku")
        if not item_id and not _RARE.isdisjoint(properties):
            return self._found(properties, tenant, notes)
        if "products" in properties and properties["products"] is not None:
            products = properties["products"]
            if type(products) is not list:
                return self._found(properties, tenant, notes)
            return _of_products(item_id, properties, products, tenant, notes, self._ref_of)
        return _one_item(self._ref_of(tenant, item_id), properties, notes) if item_id else NO_ITEMS

    def in_shape(self, names: Sequence[str]) -> int:
        """What these names of properties say of items: `ONE_WITH_PRICE`, `NONE` or `ANY`. Of the first the item is the
        one of `product_id`, if that is printable text, at that price, if it is a decimal number and one."""
        if self._own:
            return ANY
        if ITEM_FIELDS.isdisjoint(names):
            return NONE
        one = "product_id" in names and "price" in names and _BESIDE_ONE.isdisjoint(names)
        return ONE_WITH_PRICE if one else ANY

    def nearly_named(self, name: str, properties: Mapping[str, Any], tenant: str, notes: list[Note]) -> Items:
        """What an event of that name says under fields that are nearly those of ids, where it names no item otherwise.

        The `id` of the first e-commerce specification is looked at last: it may be that of something else.
        """
        if self._own:
            return NO_ITEMS
        respelt, nearly = _respelt(properties)
        for field in LIST_FIELDS:
            if isinstance(lines := respelt.get(field), list):
                found = [_respelt(line) if isinstance(line, dict) else (line, "") for line in lines]
                respelt[field] = [line for line, _ in found]
                nearly = nearly or next((f"{field}[].{one}" for _, one in found if one), "")
        if nearly and (items := self.items_of(respelt, tenant, notes))[0]:
            meant = _BY_SPELLING[kinds.folded(nearly.rpartition(".")[2])]
            add_note(notes, NEAR_MISS, f"properties.{nearly}", f"stands for {meant}")
            return items
        if name in _OF_ONE and isinstance(properties.get("id"), str | int | float):
            return self.items_of({**properties, ID_FIELDS[0]: properties["id"]}, tenant, notes)
        return NO_ITEMS

    def _found(self, properties: Mapping[str, Any], tenant: str, notes: list[Note]) -> Items:
        item_id, holder = self._single(properties)
        lines = [line for line in self._lines(properties, notes) if line[0]]
        if len(lines) + bool(item_id) > ITEMS_PER_EVENT_MAX:
            raise EventRejected("too_large", f"an event has at most {ITEMS_PER_EVENT_MAX} items")
        if item_id and not lines:
            return _one_item(self._ref_of(tenant, item_id), holder, notes)
        if item_id:
            lines.insert(0, (item_id, holder))
        if not lines:
            return NO_ITEMS
        kept = [fields for _, fields in lines]
        references = tuple([self._ref_of(tenant, line_id) for line_id, _ in lines])
        return references, _prices(kept, properties, notes), _quantities(kept, notes), _positions(kept)

    def _single(self, properties: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """The id of the item that the event itself is about, and the map with its price and so on."""
        for field in self._fields if self._own else ID_FIELDS:
            if field in properties:
                item_id = identifier(properties[field], f"properties.{field}")
                if item_id:
                    return item_id, properties
        for steps in self._nested:
            holder = _at(properties, steps[:-1])
            if isinstance(holder, dict) and steps[-1] in holder:
                item_id = identifier(holder[steps[-1]], f"properties.{'.'.join(steps)}")
                if item_id:
                    return item_id, {**properties, **holder}
        if not self._own:
            for name in HOLDERS:
                holder = properties.get(name)
                if isinstance(holder, dict):
                    item_id, fields = _line(holder, _IN_LISTS, f"properties.{name}")
                    if item_id:
                        return item_id, {**properties, **fields}
        return "", properties

    def _lines(self, properties: Mapping[str, Any], notes: list[Note]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(id, fields) of each line of the event's list."""
        for steps, inner in self._lists:
            found = _at(properties, steps)
            if isinstance(found, list) and found:
                for line in found:
                    yield _id_at(line, inner, f"properties.{'.'.join(steps)}[]"), line if isinstance(line, dict) else {}
                return
        fields = self._fields if self._own else _IN_LISTS
        if self._own and not self._fields:
            return
        for name in LIST_FIELDS:
            sent = properties.get(name)
            lines = _as_list(sent, f"properties.{name}", notes) if sent is not None else ()
            if lines:
                for line in lines:
                    yield _line(line, fields, f"properties.{name}[]")
                return


_NAME_CHARS_MAX: Final = 32


def _path(sent: str) -> tuple[tuple[str, ...], int]:
    """The steps of a path in the configuration, and the place of the step that is a list; -1 for none."""
    parts = sent.removeprefix("properties.").split(".")
    steps = tuple(part.removesuffix("[]") for part in parts)
    lists = [place for place, part in enumerate(parts) if part.endswith("[]")]
    if not all(steps) or any(set(step) & set("[] ") for step in steps) or len(lists) > 1 or lists == [len(parts) - 1]:
        raise ConfigRejected(
            f'"{sent}" is no place of an item\'s id',
            suggestion='write names with points between, and [] behind a list: "sku", "items[].item_id", "content.id"',
            setting="item_from",
        )
    return steps, lists[0] if lists else -1


def _at(holder: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        holder = holder.get(step) if isinstance(holder, dict) else None
    return holder


def _id_at(line: Any, paths: Sequence[tuple[str, ...]], field: str) -> str:
    for steps in paths:
        found = _at(line, steps)
        if found is not None and (item_id := identifier(found, f"{field}.{'.'.join(steps)}")):
            return item_id
    return ""


def _respelt(sent: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The map with names as the specification spells them, where those are not there; and the first that was not so."""
    respelt, nearly = dict(sent), ""
    for name, value in sent.items():
        meant = _BY_SPELLING.get(kinds.folded(name)) if len(name) <= _NAME_CHARS_MAX else None
        if meant is not None and meant not in sent and value:
            respelt[meant] = value
            nearly = nearly or name
    return respelt, nearly


def _as_list(sent: Any, field: str, notes: list[Note]) -> Sequence[Any]:
    """A list of items in whatever shape it came; empty if there are none."""
    if isinstance(sent, list):
        return sent
    if isinstance(sent, str) and sent.lstrip()[:1] in ("[", "{"):
        try:
            sent = _decode_text(sent)
        except (msgspec.DecodeError, RecursionError):
            raise EventRejected("schema", f"{field} is text that is no JSON where a list is wanted") from None
        add_note(notes, FIELD_REPAIRED, field, "is a list as JSON text where a list is wanted")
        if isinstance(sent, list):
            return sent
    if isinstance(sent, dict):
        if isinstance(sent.get("nodes"), list):  # The lists of GraphQL.
            return list(sent["nodes"])
        if isinstance(sent.get("edges"), list):
            return [edge.get("node") if isinstance(edge, dict) else edge for edge in sent["edges"]]
        add_note(notes, FIELD_REPAIRED, field, "is an object where a list is wanted")
        lines = list(sent.values())
        return lines if lines and all(isinstance(line, dict) for line in lines) else [sent] if sent else []
    if field == "properties.products":
        raise EventRejected("schema", "properties.products is a list of the products, each with its product_id")
    return ()


def names_items(properties: Mapping[str, Any]) -> bool:
    """Whether an event speaks of items of its own, whether or not they can be read.

    >>> names_items({"order_id": 5, "products": []}), names_items({"order_id": 5, "lineItems": [{"x": 1}]})
    (False, True)
    """
    return any(properties[field] for field in ITEM_FIELDS & properties.keys())


def _line(line: Any, fields: Sequence[str], field: str) -> tuple[str, Mapping[str, Any]]:
    if isinstance(line, dict):
        if not _WITHIN_SET.isdisjoint(line):
            return _nested_line(line, fields, field)
        if fields is _IN_LISTS and field in _OF_REFUNDS:
            fields = ID_FIELDS
        return _first_id(line, fields, field), line
    if field == "properties.ec_items[]" and isinstance(line, list):
        named = dict(zip(_MATOMO_LINE, line, strict=False))
        return _first_id(named, fields, field), named
    return identifier(line, field), _EMPTY  # The id alone.


def _nested_line(line: Mapping[str, Any], fields: Sequence[str], field: str) -> tuple[str, Mapping[str, Any]]:
    """A line whose item stands in a map within it. A line's own `id` may be that of the line."""
    whole, inner, path, last = line, line, field, ""
    for _ in _WITHIN:
        name = next((name for name in _WITHIN if isinstance(inner.get(name), dict)), "")
        if not name:
            break
        inner, path, last = inner[name], f"{path}.{name}", name
        whole = {**inner, **{key: value for key, value in whole.items() if key != "id"}}
    if fields is not _IN_LISTS:
        return _first_id(whole, fields, field), whole
    own = () if field in _OF_REFUNDS or {"line_item", "lineItem"} & line.keys() else ("id",)
    item_id = _first_id(whole, ID_FIELDS[:1], field) or (_first_id(inner, ("id",), path) if last == "product" else "")
    item_id = item_id or _first_id(whole, ID_FIELDS, field)
    if not item_id and last == "variant":
        item_id = _first_id(line, own, field)
    return item_id or _first_id(inner, ("id",), path) or _first_id(line, own, field), whole


_WITHIN_SET: Final = frozenset(_WITHIN)
_OF_REFUNDS: Final = ("properties.refund_line_items[]", "properties.refundLineItems[]")
"""Lines whose own `id` is never an item's."""


def _first_id(holder: Mapping[str, Any], fields: Sequence[str], field: str) -> str:
    for name in fields:
        if name in holder:
            item_id = identifier(holder[name], f"{field}.{name}")
            if item_id:
                return item_id
    return ""


def _of_products(
    item_id: str, properties: Mapping[str, Any], products: list[Any], tenant: str, notes: list[Note], ref_of: RefOf
) -> Items:
    """The specification's list: the event's own item, then the products."""
    if len(products) + bool(item_id) > ITEMS_PER_EVENT_MAX:
        raise EventRejected("too_large", f"an event has at most {ITEMS_PER_EVENT_MAX} items")
    references = [ref_of(tenant, item_id)] if item_id else []
    kept = [properties] if item_id else []
    for product in products:
        if type(product) is dict:
            item_id = identifier(product["product_id"], _LINE_ID) if "product_id" in product else ""
            if not item_id:
                item_id, product = _line(product, _IN_LISTS, "properties.products[]")
        else:  # The id alone.
            item_id, product = identifier(product, "properties.products[]"), _EMPTY
        if item_id:
            references.append(ref_of(tenant, item_id))
            kept.append(product)
    if not kept:
        return NO_ITEMS
    named = set[str]().union(*kept)
    return (
        tuple(references),
        () if _PRICES.isdisjoint(named) else _prices(kept, properties, notes),
        () if _QUANTITIES.isdisjoint(named) else _quantities(kept, notes),
        _positions(kept) if "position" in named else (),
    )


_PRICES: Final = frozenset(PRICE_FIELDS)
_QUANTITIES: Final = frozenset(QUANTITY_FIELDS)
_LINE_ID: Final = "properties.products[].product_id"


def _one_item(item: int, properties: Mapping[str, Any], notes: list[Note]) -> Items:
    """By far the most frequent shape, without the loops of the general one; the result is the same."""
    prices: tuple[float, ...] = ()
    if "price" in properties:
        price = properties["price"]
        if type(price) is not float or not 0.0 <= price <= AMOUNT_MAX:
            price = _price(price, "properties.price", _currency(properties), notes).number
        if price == price:
            prices = (price,)
    elif not _RARE_PRICES.isdisjoint(properties):
        prices = _prices([properties], properties, notes, "properties")
    quantities: tuple[float, ...] = ()
    if "quantity" in properties and properties["quantity"] != 1:
        quantity = _quantity(properties["quantity"], "properties.quantity", notes)
        quantities = (quantity,) if quantity != 1.0 else ()
    elif not _RARE_QUANTITIES.isdisjoint(properties):
        quantities = _quantities([properties], notes, "properties")
    positions: tuple[int, ...] = ()
    if "position" in properties:
        position = _number(properties["position"], inf)
        positions = (int(position),) if 1 <= position <= _POSITION_MAX else ()
    return (item,), prices, quantities, positions


_BESIDE_ONE: Final = frozenset({LIST_FIELDS[0], *QUANTITY_FIELDS, "position"})
_RARE_PRICES: Final = frozenset(PRICE_FIELDS[1:])
_RARE_QUANTITIES: Final = frozenset(QUANTITY_FIELDS[1:])


def _number(value: Any, default: float) -> float:
    """A finite number, also from text such as "499,00"; else `default`."""
    if type(value) is float:
        return value if isfinite(value) else default
    if type(value) is int and -_INTEGER_MAX <= value < _INTEGER_MAX:  # Not a boolean.
        return float(value)
    if type(value) is str:
        read = read_number(value)
        return default if read.fault else read.number
    return default


def told_number(value: Any, field: str, notes: list[Note]) -> NumberRead:
    """A number, with a note where what was sent is none; null and empty text are as if nothing had been sent."""
    read = read_number(value)
    if read.fault and value is not None and not (isinstance(value, str) and not value.strip()):
        add_note(notes, NUMBER_UNREADABLE, field, FAULTS[read.fault])
    return read


_CURRENCY_FIELDS: Final = ("currency", "currencyCode", "currency_code")


def _amount(sent: dict[str, Any]) -> Any:
    """The amount of a map, with its currency: Shopify's `{"amount": "12.90", "currencyCode": "EUR"}`.

    >>> _amount({"amount": 12.9, "currencyCode": "EUR"}), _amount({"value": "5"}), _amount({"n": 1})
    ('12.9 EUR', '5', {'n': 1})
    """
    amount = next((sent[name] for name in ("amount", "value") if name in sent), None)
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        return sent
    code = next((sent[name] for name in _CURRENCY_FIELDS if name in sent), "")
    return f"{amount} {code}" if isinstance(code, str) and code else amount


def _price(value: Any, field: str, currency: str, notes: list[Note]) -> NumberRead:
    if type(value) is dict:
        value = _amount(value)
    read = told_number(value, field, notes)
    if read.number < 0:
        add_note(notes, NUMBER_IMPOSSIBLE, field, "is below zero")
        return _NO_NUMBER
    if read.number > AMOUNT_MAX:
        add_note(notes, NUMBER_IMPOSSIBLE, field, "is beyond any price")
        return _NO_NUMBER
    if read.currency and not currencies_agree(read.currency, currency):
        add_note(notes, UNITS_MIXED, field)
        return _NO_NUMBER
    return read


_NO_NUMBER: Final = NumberRead(nan)


def _quantity(value: Any, field: str, notes: list[Note]) -> float:
    number = told_number(value, field, notes).number
    if number <= 0:
        add_note(notes, NUMBER_IMPOSSIBLE, field, "is not above zero")
        return 1.0
    return number if number == number else 1.0


def _currency(properties: Mapping[str, Any]) -> str:
    sent = next((properties[name] for name in _CURRENCY_FIELDS if properties.get(name)), "")
    return currency_of(sent) if isinstance(sent, str) else ""


def _column(lines: list[Mapping[str, Any]], names: Sequence[str]) -> tuple[str, list[Any]]:
    """The first of these names that any of the lines has, and what they say under it; "" and nothing if none has."""
    for name in names:
        column = [line.get(name) for line in lines]
        if column.count(None) < len(column):
            return name, column
    return "", []


def _prices(
    lines: list[Mapping[str, Any]], properties: Mapping[str, Any], notes: list[Note],
    holder: str = "properties.products[]",
) -> tuple[float, ...]:  # fmt: skip
    name, sent = _column(lines, PRICE_FIELDS)
    currency: str | None = None
    for place, price in enumerate(sent):
        if type(price) is not float or not 0.0 <= price <= AMOUNT_MAX:
            if currency is None:
                currency = _currency(properties)
            read = _price(price, f"{holder}.{name}", currency, notes)
            currency = currency or read.currency
            sent[place] = read.number
    return tuple(sent) if any(price == price for price in sent) else ()


def _quantities(
    lines: list[Mapping[str, Any]], notes: list[Note], holder: str = "properties.products[]"
) -> tuple[float, ...]:
    name, sent = _column(lines, QUANTITY_FIELDS)
    if sent.count(1) == len(sent):
        return ()
    quantities = [1.0 if one == 1 else _quantity(one, f"{holder}.{name}", notes) for one in sent]
    return tuple(quantities) if any(quantity != 1.0 for quantity in quantities) else ()


def _positions(lines: list[Mapping[str, Any]]) -> tuple[int, ...]:
    """Positions as sent; where only some items have one, the others stand where they are in the list."""
    if True not in ["position" in line for line in lines]:
        return ()
    sent = [_number(line.get("position"), inf) for line in lines]
    valid = [1 <= position <= _POSITION_MAX for position in sent]
    if not any(valid):
        return ()
    return tuple([int(sent[at]) if valid[at] else at + 1 for at in range(len(sent))])
