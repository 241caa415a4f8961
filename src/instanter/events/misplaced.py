"""Fields that stand where nothing reads them, by names that say what they are: told to the sender, and never read.

A time called `ts`, a `sku` beside the properties, a `visitor` in place of an anonymousId: what they say is lost, and
whoever sent them believes that it is not. Of a name that is not known here nothing is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from .amounts import WORTH_FIELDS
from .kinds import folded
from .named_items import HOLDERS, ID_FIELDS, ITEM_FIELDS, LIST_FIELDS, PRICE_FIELDS, QUANTITY_FIELDS
from .notes import UNKNOWN_FIELD, Note, add_note
from .orders import ORDER_FIELDS
from .schema import TrackingEvent

_NAME_CHARS_MAX: Final = 32
_TIMES: Final = (
    "ts", "time", "date", "datetime", "timestamp", "event_time", "event_date", "event_timestamp", "event_ts", "created",
    "created_at", "created_on", "occurred_at", "happened_at", "client_timestamp", "client_time", "local_time", "at",
    "when", "timestamp_ms", "time_ms", "timestamp_micros", "unix_time", "unixtime", "utc", "epoch", "zeit", "datum",
    "zeitpunkt", "zeitstempel", "uhrzeit", "heure", "fecha", "hora", "tijd", "ora",
)  # fmt: skip
_USERS: Final = (
    "user", "uid", "user_name", "username", "customer", "customer_id", "customer_number", "customer_no", "member_id",
    "account_id", "person_id", "profile_id", "login", "kunde", "kunden_id", "kundennummer", "kundennr", "nutzer",
    "nutzer_id", "benutzer", "benutzer_id", "client_number", "utilisateur", "cliente", "klant", "klant_id",
)  # fmt: skip
_DEVICES: Final = (
    "anonymous", "anon_id", "visitor", "visitor_id", "client_id", "cid", "device_id", "cookie", "cookie_id",
    "distinct_id", "user_pseudo_id", "browser_id", "fingerprint", "besucher", "besucher_id", "visiteur", "bezoeker",
    "visitante",
)  # fmt: skip
_VISITS: Final = ("session", "session_id", "sid", "visit_id", "sitzung")
"""What may stand in for a device where nothing else does."""
_MESSAGES: Final = ("event_id", "uuid", "insert_id", "dedup_id", "event_uuid")
_OTHER_PROPERTIES: Final = (
    "list_id", "query", "rating", "position", "currency", "dwell_ms", "read_ms", "scroll_pct", "artikel", "artikel_id",
    "artikelnummer", "produkt_id", "produktnummer", "preis", "menge", "anzahl",
)  # fmt: skip


def _by_spelling(names: Iterable[str]) -> frozenset[str]:
    return frozenset(map(folded, names))


_MEANT: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        _by_spelling((
            *ID_FIELDS, *LIST_FIELDS, *HOLDERS, *PRICE_FIELDS, *QUANTITY_FIELDS, *ORDER_FIELDS, *WORTH_FIELDS,
            *_OTHER_PROPERTIES,
        )),
        "properties",
    ),
    **dict.fromkeys(_by_spelling(_MESSAGES), "messageId"),
    **dict.fromkeys(_by_spelling(_DEVICES), "anonymousId"),
    **dict.fromkeys(_by_spelling(_USERS), "userId"),
    **dict.fromkeys(_by_spelling(_TIMES), "timestamp"),
}  # fmt: skip
"""What is meant by a name beside an event's fields."""
_ITEMS: Final = _by_spelling(ITEM_FIELDS)
_OF_PERSONS: Final = (
    ("anonymousId", _by_spelling((*_DEVICES, "anonymous_id"))),
    ("userId", _by_spelling((*_USERS, "user_id"))),
    ("anonymousId", _by_spelling(_VISITS)),
)
_HOLDERS: Final = ("properties", "context", "traits")
"""Where else a person's id may have been put."""
_WITH_PROPERTIES: Final = frozenset({"track", "page", "screen"})


def note_misplaced(names: Collection[str], event: TrackingEvent, type_: str, notes: list[Note]) -> None:
    """Tell of fields beside those of the specification, `names`, that say what the event says nowhere else."""
    said = {
        "timestamp": event.timestamp is not None or event.original_timestamp is not None,
        "anonymousId": event.anonymous_id is not None,
        "userId": event.user_id is not None,
        "messageId": event.message_id is not None,
        "properties": type_ not in _WITH_PROPERTIES,
    }
    there = _by_spelling(event.properties or ())
    for name in sorted(names):
        spelling = folded(name) if len(name) <= _NAME_CHARS_MAX else ""
        meant = _MEANT.get(spelling, "")
        if not meant or said[meant]:
            continue
        if meant != "properties":
            add_note(notes, UNKNOWN_FIELD, name, f"is no field of an event, and {meant} is")
        elif spelling not in there and (spelling not in _ITEMS or _ITEMS.isdisjoint(there)):
            add_note(notes, UNKNOWN_FIELD, name, "stands beside properties, and is read in them")


def person_meant(fields: Mapping[str, Any]) -> str:
    """The end of a sentence about an event without anybody's id: which of its fields may hold one; "" for none.

    >>> person_meant({"visitor": "v-1", "event": "x"}), person_meant({"properties": {"kundennummer": 7}})
    ('; visitor may hold it: send that as anonymousId', '; properties.kundennummer may hold it: send that as userId')
    """
    holders = (("", fields), *((f"{name}.", fields.get(name)) for name in _HOLDERS))
    for path, holder in holders:
        if not isinstance(holder, dict):
            continue
        for meant, spellings in _OF_PERSONS:
            for name, value in holder.items():
                if len(name) <= _NAME_CHARS_MAX and folded(name) in spellings:
                    inner = ".id" if isinstance(value, dict) else ""
                    if _is_id(value["id"] if inner and "id" in value else value):
                        return f"; {path}{name}{inner} may hold it: send that as {meant}"
    return ""


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""
