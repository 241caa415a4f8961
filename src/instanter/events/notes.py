"""What of an event that was taken has no effect, or another one than its sender meant: told to the sender, and counted.

A note names a field and the kind of what stood there, never the value: it is counted per event name, where nothing
personal may be. Notes are made in unusual cases only; an event without faults costs nothing.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ..foundation.limits import NOTES_PER_EVENT_MAX

UNHEARD: Final = "unheard"
NO_ITEM: Final = "no_item"
NO_ORDER: Final = "no_order"
ITEM_UNKNOWN: Final = "item_unknown"
NUMBER_UNREADABLE: Final = "number_unreadable"
NUMBER_IMPOSSIBLE: Final = "number_impossible"
UNITS_MIXED: Final = "units_mixed"
FIELD_DROPPED: Final = "field_dropped"
FIELD_REPAIRED: Final = "field_repaired"
NEAR_MISS: Final = "near_miss"
TEXT_REPAIRED: Final = "text_repaired"
TIME_FAR: Final = "time_far"
TIME_CLAMPED: Final = "time_clamped"
SCHEMA_FAULT: Final = "schema_fault"
CLAIMED: Final = "claimed"
CONSENT_UNHEEDED: Final = "consent_unheeded"
CONSENT_UNREAD: Final = "consent_unread"
LINKS_FULL: Final = "links_full"
PLACEHOLDER: Final = "placeholder"
ORDER_UNDONE: Final = "order_undone"
ORDER_UNNAMED: Final = "order_unnamed"
UNKNOWN_FIELD: Final = "unknown_field"

CODES: Final = {
    UNHEARD: "no feature hears this name, so the event changes no profile: map it under [events.names], or name it in "
             "the `on` of a feature",
    NO_ITEM: "it names no item: send properties.product_id (or sku, item_id, article_id ...), or say in "
             "[events] item_from where the id stands",
    NO_ORDER: "it names neither its order nor items, so it changes nothing: send properties.order_id (or orderId, "
              "transaction_id ...), as the event had it that completed the order",
    ORDER_UNDONE: "it says that no order stands, and the event's name that one does, so it counts: send "
                  "Order Cancelled or Order Refunded with its order_id, or nothing",
    ORDER_UNNAMED: "it names no order, so the same order told again under another messageId counts again: send "
                   "properties.order_id (or orderId, order_number, transaction_id ...)",
    UNKNOWN_FIELD: "it has no effect there",
    ITEM_UNKNOWN: "its item is not in the catalogue, so nothing can be recommended for it: load the item, or say in "
                  "[events] item_from which field has the catalogue's id",
    NUMBER_UNREADABLE: "it counts as not sent",
    NUMBER_IMPOSSIBLE: "it counts as not sent",
    UNITS_MIXED: "its amounts are of more than one currency, so its prices count as not sent: send one currency an "
                 "event",
    FIELD_DROPPED: "the event was taken without this field",
    FIELD_REPAIRED: "it was taken as what it says",
    NEAR_MISS: "it was taken as the field whose name it nearly has; send the name as the specification spells it",
    TEXT_REPAIRED: "the event was taken as what it says",
    TIME_FAR: "its time is more than ten years before its receipt: send ISO 8601 with zone, or seconds or "
              "milliseconds since 1970",
    TIME_CLAMPED: "its time is in the future, and was set to five minutes after the receipt: set the sender's clock, "
                  "or send sentAt",
    CLAIMED: "with a public key that is a claim, which counts for the device alone until your server says the same "
             "with a secret key; a signed user token makes a userId count at once",
    LINKS_FULL: "the event counts, and the ids in it were not linked: a person has so many links, and a device so many "
                "users and claims, that there is no room for another; look for an id that many people share",
    PLACEHOLDER: "it counts as not sent, or all who have it would be one: send no id where there is none",
    CONSENT_UNHEEDED: "none of its purposes is one that a feature is kept for, so nothing of it is heeded: say in "
                      "[privacy] consent_ids which of your consent tool's categories is personalization",
    CONSENT_UNREAD: "what it says of consent is not read there, or not in this form, so nothing of it is heeded: send "
                    "context.consent with purposes, or a consent string of TCF version 2 as context.tcString",
    SCHEMA_FAULT: "it does not agree with its schema under [[events.schemas]]",
}  # fmt: skip
"""Every code, with what is said behind the field and what stood there."""

_EMPTY_CATALOGUE: Final = "the catalogue is empty: load it with POST /v1/items or `instanter import --items FILE`"


class Note(NamedTuple):
    """One thing about one event."""

    code: str
    """One of `CODES`."""
    field: str = ""
    """Where, as the wire spells it and without numbers of places: `properties.products[].price`."""
    found: str = ""
    """What stands there by its kind: "is a list where text is wanted"."""


NO_CATALOGUE: Final = Note(ITEM_UNKNOWN, "", _EMPTY_CATALOGUE)


def sentence(note: Note) -> str:
    """A note in words.

    >>> sentence(Note(FIELD_DROPPED, "context.locale", "is a number where text is wanted"))
    'context.locale is a number where text is wanted: the event was taken without this field'
    """
    what = " ".join(part for part in (note.field, note.found) if part)
    if note is NO_CATALOGUE or note == NO_CATALOGUE:
        return note.found
    return f"{what}: {CODES[note.code]}" if what else CODES[note.code]


def add_note(notes: list[Note], code: str, field: str = "", found: str = "") -> None:
    """Add a note, once each and up to the bound."""
    note = Note(code, field, found)
    if len(notes) < NOTES_PER_EVENT_MAX and note not in notes:
        notes.append(note)


def kind_of(value: Any) -> str:
    """What a value of JSON is, for people.

    >>> kind_of("x"), kind_of(None), kind_of(True), kind_of([]), kind_of({}), kind_of(7)
    ('text', 'null', 'true or false', 'a list', 'an object', 'a number')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text" if value else "empty text"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"
