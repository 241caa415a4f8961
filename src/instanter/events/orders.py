"""Which order an event speaks of, and what makes two events one statement about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .kinds import folded
from .meanings import MEANINGS, Role
from .named_items import names_items

_IDS: Final = ("order_id", "orderId", "transaction_id", "transactionId", "purchase_id", "purchaseId", "ec_id")
"""Properties that name the order, the first that does. `ec_id` is Matomo's."""
_ITSELF: Final = ("id",)
"""How a shop's own record names itself: an order its order, a refund its refund."""
_NUMBERS: Final = (
    "order_number", "orderNumber", "order_no", "orderNo", "order_nr", "orderNr", "order_num", "order_ref", "orderRef",
    "order_reference", "orderReference", "order_code", "orderCode", "transaction_no", "transaction_number",
    "purchase_number", "bestellnummer", "bestell_nr", "bestell_id", "bestellung_id", "auftragsnummer", "auftrags_nr",
    "numero_commande", "commande_id", "ordernummer", "bestelnummer", "numero_pedido", "pedido_id", "numero_ordine",
    "ordine_id",
)  # fmt: skip
"""What people call the order: after its id, by which the record of a refund names it."""
_MAYBE: Final = (
    "order", "transaction", "invoice_id", "invoice_no", "invoice_number", "receipt_id", "receipt_no", "receipt_number",
    "purchase", "sale_id", "sales_id", "checkout_id", "basket_id", "cart_id", "booking_id", "booking_number",
    "reference", "ref", "number", "nummer", "rechnungsnummer", "bestellung", "auftrag", "commande", "pedido", "ordine",
)  # fmt: skip
"""Names under which an order's id may stand, and something else as well: told, never read."""
ORDER_FIELDS: Final = _IDS + _NUMBERS
"""Properties that name an order and nothing else."""
_BY_SPELLING: Final = {folded(name): name for name in reversed(_IDS + _NUMBERS)}
_MAYBE_BY_SPELLING: Final = frozenset(map(folded, _MAYBE))
_NAME_CHARS_MAX: Final = 32
_REFUND_IDS: Final = ("refund_id", "refundId")
_SHOPIFY: Final = "gid://"
"""Ids of Shopify's newer interfaces end with the number that the older ones have alone."""
_NOTHING: Final = frozenset({"", "null", "undefined", "none", "nan"})
"""What broken pages send in the place of an id."""
_ID_CHARS_MAX: Final = 255

_STATUS: Final = ("status", "order_status", "orderStatus", "financial_status", "financialStatus", "payment_status",
                  "paymentStatus")  # fmt: skip
_UNDONE: Final = frozenset({
    "failed", "cancelled", "canceled", "refunded", "voided", "declined", "rejected", "expired", "abandoned", "trash",
    "paymentfailed", "returned", "chargeback",
})  # fmt: skip

ABOUT_ORDERS: Final = frozenset(
    meaning.name
    for meaning in MEANINGS
    if meaning.role in (Role.ORDER, Role.ORDER_CHANGE, Role.CLAIM, Role.REFUND, Role.CANCEL)
)
"""The canonical names that speak of an order."""
_ONCE: Final = frozenset(
    meaning.name for meaning in MEANINGS if meaning.role in (Role.ORDER, Role.CLAIM, Role.CANCEL)
)
"""Said of an order once, however often it is told."""
REFUNDS: Final = frozenset(meaning.name for meaning in MEANINGS if meaning.role is Role.REFUND)
ORDERING: Final = frozenset(meaning.name for meaning in MEANINGS if meaning.role in (Role.ORDER, Role.CLAIM))
"""Names that say that an order stands. Without its id one that is told twice is two."""
TAKING_BACK: Final = REFUNDS | {meaning.name for meaning in MEANINGS if meaning.role is Role.CANCEL}
"""Names that take an order back, or the items that they name; without either they say nothing."""
_OF_ORDER: Final = "\x1forder\x1f"
"""In front of the text that stands for a statement; no messageId holds a control character."""


def order_of(name: str, properties: Mapping[str, Any]) -> str:
    """The id of the order that an event of this canonical name speaks of; "" if it names none.

    >>> order_of("Order Completed", {"order_id": 50}), order_of("Product Viewed", {"order_id": 50})
    ('50', '')
    """
    if name not in ABOUT_ORDERS:
        return ""
    found = _first_id(properties, _IDS + _NUMBERS if name in REFUNDS else _IDS + _ITSELF + _NUMBERS)
    return found or _first_id(_respelt(properties), _IDS + _NUMBERS)


def maybe_order(properties: Mapping[str, Any]) -> str:
    """The property that may well hold the order's id and is not read as one; "" for none.

    >>> maybe_order({"Invoice-No": "R7", "total": 5}), maybe_order({"total": 5})
    ('Invoice-No', '')
    """
    return next(
        (
            name
            for name in properties
            if len(name) <= _NAME_CHARS_MAX
            and folded(name) in _MAYBE_BY_SPELLING
            and _first_id(properties, (name,))
        ),
        "",
    )


def undone_by(name: str, properties: Mapping[str, Any]) -> str:
    """The property by which an event that completes an order says that there is none; "" where it does not.

    >>> undone_by("Order Completed", {"status": "failed"}), undone_by("Order Completed", {"status": "paid"})
    ('status', '')
    """
    if name not in _ONCE or name in TAKING_BACK:
        return ""
    said = ((field, properties.get(field)) for field in _STATUS)
    return next((field for field, text in said if isinstance(text, str) and folded(text) in _UNDONE), "")


def idempotence_of(name: str, message_id: str, properties: Mapping[str, Any]) -> str:
    """The text whose reference tells whether an event has come before: the messageId, but for orders.

    One order is completed once and cancelled once, whatever the messageIds: a page that is loaded again, and a server
    that reports what the page had reported, tell the same. A refund of the whole order likewise; one of some items is
    told apart by its `refund_id`, else by the messageId, since there may be several. A change of an order is each time
    another. What an order's own device claims is not what a server says of it.

    >>> told = [idempotence_of("Order Completed", message, {"order_id": "50"}) for message in ("m1", "m2")]
    >>> told[0] == told[1], idempotence_of("Order Completed", "m1", {}), idempotence_of("Product Viewed", "m1", {})
    (True, 'm1', 'm1')
    """
    order = order_of(name, properties)
    if not order:
        return message_id
    if name in _ONCE:
        return f"{_OF_ORDER}{name}\x1f{order}"
    if name in REFUNDS:
        refund = _first_id(properties, _REFUND_IDS + _ITSELF)
        if refund or not names_items(properties):
            return f"{_OF_ORDER}{name}\x1f{order}\x1f{refund}"
    return message_id


def _respelt(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What stands under names that are nearly those of an order's id, such as `OrderID`."""
    return {
        meant: value
        for name, value in properties.items()
        if len(name) <= _NAME_CHARS_MAX and (meant := _BY_SPELLING.get(folded(name)))
    }


def _first_id(properties: Mapping[str, Any], fields: tuple[str, ...]) -> str:
    for field in fields:
        found = properties.get(field)
        if isinstance(found, str):
            text = found.strip()
            if text.startswith(_SHOPIFY):
                text = text.rpartition("/")[2]
            if text.casefold() not in _NOTHING and len(text) <= _ID_CHARS_MAX:
                return text
        elif isinstance(found, int | float) and not isinstance(found, bool) and found == found // 1:
            return str(int(found))
    return ""
