"""The items that an event names, with their prices, quantities and places in the list."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any

from ..foundation.errors import EventRejected
from ..foundation.ids import item_reference
from ..foundation.limits import ITEMS_PER_EVENT_MAX
from .identifiers import identifier

_POSITION_MAX = 2**31 - 1
_EMPTY: Mapping[str, Any] = {}

Items = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...], tuple[int, ...]]
"""References, prices, quantities and positions of one event's items, in the shape of `envelope.Tracked`."""

NO_ITEMS: Items = ((), (), (), ())


def items_of(properties: Mapping[str, Any], tenant: str) -> Items:
    """The item the event is about, then those of `products`, as sent; one without an id is in the body alone."""
    item_id = _item_id(properties)
    if "products" in properties and properties["products"] is not None:
        return _listed_items(item_id, properties, tenant)
    return _one_item(item_reference(tenant, item_id), properties) if item_id else NO_ITEMS


def _one_item(item: int, properties: Mapping[str, Any]) -> Items:
    """By far the most frequent shape, without the loops of the general one; the result is the same."""
    price = _number(properties["price"], nan) if "price" in properties else nan
    prices = (price,) if price == price else ()
    quantities: tuple[float, ...] = ()
    if "quantity" in properties and properties["quantity"] != 1:
        quantity = _number(properties["quantity"], 1.0)
        quantities = (quantity,) if quantity != 1.0 else ()
    positions: tuple[int, ...] = ()
    if "position" in properties:
        position = _number(properties["position"], inf)
        positions = (int(position),) if 1 <= position <= _POSITION_MAX else ()
    return (item,), prices, quantities, positions


def _listed_items(item_id: str, properties: Mapping[str, Any], tenant: str) -> Items:
    products = properties["products"]
    if not isinstance(products, list):
        raise EventRejected("schema", "properties.products is a list")
    if len(products) + bool(item_id) > ITEMS_PER_EVENT_MAX:
        raise EventRejected("too_large", f"an event has at most {ITEMS_PER_EVENT_MAX} items")
    references = [item_reference(tenant, item_id)] if item_id else []
    kept = [properties] if item_id else []
    for product in products:
        if isinstance(product, dict):
            item_id = _item_id(product)
        else:  # The id alone.
            item_id = identifier(product, "properties.products[]")
        if item_id:
            references.append(item_reference(tenant, item_id))
            kept.append(product if isinstance(product, dict) else _EMPTY)
    return tuple(references), _prices(kept), _quantities(kept), _positions(kept)


def _item_id(product: Mapping[str, Any]) -> str:
    """`product_id`, else `sku`."""
    item_id = identifier(product["product_id"], "product_id") if "product_id" in product else ""
    if item_id or "sku" not in product:
        return item_id
    return identifier(product["sku"], "sku")


def _number(value: Any, default: float) -> float:
    """A finite number, also from text such as "499.00"; else `default`."""
    if isinstance(value, float):
        return value
    if type(value) is int:  # Not a boolean.
        return float(value)
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return default
        return number if isfinite(number) else default
    return default


def _any_has(field: str, products: list[Mapping[str, Any]]) -> bool:
    return True in [field in product for product in products]


def _prices(products: list[Mapping[str, Any]]) -> tuple[float, ...]:
    if not _any_has("price", products):
        return ()
    prices = [_number(product.get("price"), nan) for product in products]
    return tuple(prices) if any(price == price for price in prices) else ()


def _quantities(products: list[Mapping[str, Any]]) -> tuple[float, ...]:
    if not _any_has("quantity", products):
        return ()
    quantities = [_number(product.get("quantity"), 1.0) for product in products]
    return tuple(quantities) if any(quantity != 1.0 for quantity in quantities) else ()


def _positions(products: list[Mapping[str, Any]]) -> tuple[int, ...]:
    """Positions as sent; where only some items have one, the others stand where they are in the list."""
    if not _any_has("position", products):
        return ()
    sent = [_number(product.get("position"), inf) for product in products]
    valid = [1 <= position <= _POSITION_MAX for position in sent]
    if not any(valid):
        return ()
    return tuple([int(sent[at]) if valid[at] else at + 1 for at in range(len(sent))])
