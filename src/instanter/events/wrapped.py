"""Properties that lie in a map of their own, as many tools send them, read as if they stood beside it.

| map | sent by |
|---|---|
| `ecommerce`, also one map deeper with its `actionField` | Google Tag Manager, for Analytics 4 and its predecessor |
| `checkout` and its `order`, `collection`, `data` around them | Shopify's customer events |
| `custom_data` | Meta's conversions API |
| `product_action` | mParticle |
| `commerce` | Adobe's Experience Platform |
| `order`, `transaction`, `purchaseTransaction` | shops' own records, Snowplow, Google's Retail API |

The body is kept as it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .named_items import ITEM_FIELDS, names_items

WRAPPERS: Final = (
    "data", "custom_data", "product_action", "ecommerce", "checkout", "collection", "commerce", "order", "transaction",
    "purchaseTransaction",
)  # fmt: skip
"""Names of such maps. One that may lie within another stands behind it."""
_ACTION: Final = "actionField"
_OF_ORDERS: Final = frozenset({"order", "transaction", "purchaseTransaction", _ACTION})
"""Maps whose own `id` is that of the order; any other's names the map, and nothing else."""
_WRAPPERS: Final = frozenset(WRAPPERS)


def unwrapped(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties, and beside them what their maps say. What an event says itself comes first: of one that names
    items itself the maps name none.

    >>> found = unwrapped({"ecommerce": {"transaction_id": "T1", "value": 5, "items": [{"item_id": "a"}]}, "value": 7})
    >>> found["transaction_id"], found["value"], found["items"]
    ('T1', 7, [{'item_id': 'a'}])
    """
    if _WRAPPERS.isdisjoint(properties):
        return properties
    left_out = ITEM_FIELDS if names_items(properties) else frozenset()
    found = dict(properties)
    for name in WRAPPERS:
        wrapper = found.get(name)
        if isinstance(wrapper, dict):
            _add(found, name, wrapper, left_out)
    return found


def _add(found: dict[str, Any], name: str, wrapper: Mapping[str, Any], left_out: frozenset[str]) -> None:
    """Put what a map says beside what is there."""
    for field, value in wrapper.items():
        field = ("order_id" if name in _OF_ORDERS else "") if field == "id" else field
        if field and field not in left_out and found.get(field) is None:
            found[field] = value
    if name == "ecommerce":
        for action, inner in wrapper.items():
            if isinstance(inner, dict):
                _add(found, action, inner, left_out)
                if isinstance(inner.get(_ACTION), dict):
                    _add(found, _ACTION, inner[_ACTION], left_out)
