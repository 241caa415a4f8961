"""Rows of tables, and objects without a type, as events: which column is what, and which rows are one order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ..events.kinds import KNOWN, Names
from ..events.times import read_time_ms
from ..foundation.errors import EventRejected, RequestRejected
from ..foundation.limits import ITEMS_PER_EVENT_MAX

COLUMNS: Final = {
    "event": ("event", "event_name", "event_type", "eventname", "action", "behavior", "behaviour", "activity", "verb",
              "aktion", "ereignis", "type", "name"),
    "userId": ("userid", "user", "customerid", "customer", "memberid", "accountid", "personid", "customernumber",
               "kundennummer", "kundennr", "kundenid", "kunde", "nutzer", "benutzer"),
    "anonymousId": ("anonymousid", "visitorid", "userpseudoid", "clientid", "deviceid", "cookieid", "sessionid",
                    "usersession", "visitor", "session", "besucherid", "besucher"),
    "timestamp": ("timestamp", "time", "eventtime", "ts", "datetime", "date", "createdat", "occurredat", "at",
                  "happenedat", "eventtimestamp", "timestampms", "timestampmicros", "eventdate", "zeitpunkt",
                  "zeitstempel", "datum", "zeit", "originaltimestamp", "sentat", "receivedat"),
    "messageId": ("messageid", "eventid", "id", "uuid"),
    "product_id": ("productid", "itemid", "item", "product", "articleid", "contentid", "sku", "isbn", "movieid",
                   "articlenumber", "artikelnummer", "artikelnr", "artikelid", "artikel", "produktid", "produkt",
                   "lineitemsku"),
    "order_id": ("orderid", "transactionid", "purchaseid", "ordernumber", "orderno", "ordernr", "bestellnummer",
                 "bestellnr", "bestellid", "auftragsnummer", "auftragsnr"),
    "price": ("unitprice", "itemprice", "preis", "einzelpreis", "lineitemprice"),
    "quantity": ("qty", "menge", "anzahl", "lineitemquantity"),
}  # fmt: skip
"""What a column of a table is taken for, by its name without case and separators; the first of these that is there."""
TOP: Final = ("event", "userId", "anonymousId", "timestamp", "messageId")
IDS_OF_EVENTS: Final = frozenset({"userId", "anonymousId", "messageId", "product_id", "sku", "order_id"})
NOW: Final = "now"
"""What is said to be the column of the time where all events are to count as of now."""
_OTHER_TIMES: Final = ("birth", "geburt", "releas", "deliver", "liefer", "expir", "valid", "until", "due", "publish",
                       "updat", "modif")  # fmt: skip
"""In the names of columns whose times are not those of the events."""
_EPOCHS: Final = ((10**9, 2 * 10**9), (10**12, 2 * 10**12), (10**15, 2 * 10**15), (10**18, 2 * 10**18))
"""Numbers that are times of the years 2001 to 2033: in seconds, milliseconds and so on."""
_FIGURES: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?")
_AS_THEY_ARE: Final = ("price", "quantity")
"""Properties that need no column of another name where there is one of theirs."""
_ITEMS: Final = ("products", "items", "line_items", "contents")
"""Columns that hold lists of items."""
_ASKED: Final = {
    "the event's name": "--map event=COLUMN (or, where all are of one kind, --map 'event=Order Completed')",
    "who it was": "--map userId=COLUMN (or anonymousId=COLUMN)",
}
_OF_LINES: Final = ("product_id", "sku", "price", "quantity")
"""Properties that are each line's own, also where those of all lines of an order are the same."""

_encode = msgspec.json.Encoder().encode


class EventLine(NamedTuple):
    """One event of a file, as JSON."""

    number: int
    """Of its line, of several lines the last; higher where lines before it hold several events. No two have the same.
    """
    text: bytes


class Row(NamedTuple):
    """One row as an event of its own, until it is known whether those behind it belong to it."""

    number: int
    event: dict[str, Any]


def guessed(names: Iterable[str]) -> dict[str, str]:
    """What the columns of a table are taken for, by column.

    >>> guessed(["Event Type", "customer", "visitor_id", "price"])
    {'Event Type': 'event', 'customer': 'userId', 'visitor_id': 'anonymousId'}
    """
    names = list(names)
    by_spelling = {re.sub(r"[\W_]", "", name).casefold(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for meant, spellings in COLUMNS.items():
        if meant in _AS_THEY_ARE and meant in names:
            continue
        plain = [one.replace("_", "") for one in spellings]
        column = next((by_spelling[one] for one in plain if one in by_spelling and by_spelling[one] not in found), None)
        if column is not None:
            found[column] = meant
    return found


def completed(said: dict[str, str], names: Iterable[str]) -> dict[str, str]:
    """What columns are taken for: as it was said, and for what nothing was said as their names say.

    >>> completed({"label": "event"}, ["label", "event", "user"])
    {'user': 'userId', 'label': 'event'}
    """
    meant = set(said.values())
    found = {column: what for column, what in guessed(names).items() if what not in meant and column not in said}
    return {**found, **said}


def unsaid(columns: dict[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """What no column of a table says and is missed afterwards, in sentences with the remedy."""
    meant = {*columns.values(), *names}
    sentences = []
    if "timestamp" not in columns.values():
        sentences.append("no column says when it was, so all of them count as of now: --map timestamp=COLUMN")
    if "product_id" not in meant and not meant & set(_ITEMS):
        sentences.append("no column says which item it was about: --map product_id=COLUMN")
    return tuple(sentences)


def time_column(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """The column that says when it was by what stands in it, where none is called so; "" if none does.

    `RequestRejected` where several may: an event that counted as of now cannot be told its time afterwards. `name` is
    the file's.

    >>> rows = [{"user": "ada", "when": "2023-05-01 10:00", "born": "x"}, {"user": "bo", "when": "2023-05-02 11:30"}]
    >>> time_column({"user": "userId"}, rows, "f.csv"), time_column({}, [{"n": "17", "birthday": "1990-05-01"}], "f")
    ('when', '')
    """
    seen: dict[str, bool] = {}
    for row in rows:
        for column, value in row.items():
            if column not in columns and value not in (None, ""):
                seen[column] = seen.get(column, True) and is_moment(value)
    found = [column for column, times in seen.items() if times and not any(
        word in column.casefold() for word in _OTHER_TIMES)]
    if len(found) > 1:
        raise RequestRejected("map", (
            f"{name}: no column is known as the time of an event, and {' and '.join(found[:8])[:200]} hold times: say "
            f"which it is, --map timestamp={found[0]}; --map timestamp={NOW} counts all events as of now"
        ))
    return found[0] if found else ""


def is_moment(value: Any) -> bool:
    """Whether a value is a moment: text that reads as one, or a number of the years 2001 to 2033."""
    if isinstance(value, str) and _FIGURES.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return any(least <= value < most for least, most in _EPOCHS)
    if not isinstance(value, str):
        return False
    try:
        read_time_ms(value, "timestamp")
    except EventRejected:
        return False
    return True


def event_of(row: dict[str, Any], columns: dict[str, str], name: str = "") -> dict[str, Any]:
    """A row of a table as an event: what no column is taken for is a property, and what is empty is not there. `name`
    is that of all rows, where no column has it."""
    event: dict[str, Any] = {"type": "track", **({"event": name} if name else {})}
    properties: dict[str, Any] = {}
    for column, value in row.items():
        if value is None or value == "":
            continue
        meant = columns.get(column)
        if meant is None:
            properties.setdefault(column, value)
        elif meant in TOP:
            is_number = meant == "timestamp" and isinstance(value, str) and value.isascii() and value.isdigit()
            event[meant] = int(value) if is_number else value
        else:
            properties[meant] = value
    return {**event, "properties": properties}


def always(said: dict[str, str], names: Iterable[str]) -> str:
    """The event that all rows are, where what was said to be the column of its name is none but a known name.

    >>> always({"Order Completed": "event"}, ["order_id"]), always({"what": "event"}, ["what"])
    ('Order Completed', '')
    """
    column = next((column for column, meant in said.items() if meant == "event"), "")
    return column if column not in names and Names().canonical(column) in KNOWN else ""


def asked_for(columns: dict[str, str]) -> str:
    """What an event has to say and no column does, and how to say it; "" where nothing lacks."""
    lacking = lacking_in(columns)
    said = " ".join(_ASKED[one] for one in lacking)
    return f"none of them says {' and '.join(lacking)}: say which does, {said}" if lacking else ""


def lines_of(found: Iterable[EventLine | Row]) -> Iterator[EventLine]:
    """Lines as they are, and rows as lines: those of one order that follow each other, a row an item, are one event.

    An order that is told again does not count again, so the items of all rows but the first would be lost.
    """
    order: list[Row] = []
    for one in found:
        if order and not (isinstance(one, Row) and _goes_on(order, one)):
            yield _told(order)
            order = []
        if isinstance(one, Row):
            order.append(one)
        else:
            yield one
    if order:
        yield _told(order)


def _goes_on(order: list[Row], row: Row) -> bool:
    """Whether a row is another line of an order, and not the same told again."""
    first, event = order[0].event, row.event
    if len(order) >= ITEMS_PER_EVENT_MAX or not first["properties"].get("order_id"):
        return False
    if any(first.get(name) != event.get(name) for name in ("event", "userId", "anonymousId")):
        return False
    if first["properties"]["order_id"] != event["properties"].get("order_id"):
        return False
    item = event["properties"].get("product_id")
    met = any(item == one.event["properties"].get("product_id") for one in order)
    repeats = event.get("messageId", "") == first.get("messageId") or event.get("timestamp") != first.get("timestamp")
    return not (met and repeats)


def _told(order: list[Row]) -> EventLine:
    """One event of the rows of an order: what all say is the order's, the rest is that of its lines."""
    event = order[0].event
    if len(order) > 1:
        told = [row.event["properties"] for row in order]
        shared = {
            name: value for name, value in told[0].items()
            if name not in _OF_LINES and all(one.get(name, value) == value for one in told)
        }  # fmt: skip
        lines = [{name: value for name, value in one.items() if name not in shared} for one in told]
        event = {**event, "properties": {**shared, "products": lines}}
    return EventLine(order[-1].number, _encode(event))


def lacking_in(columns: dict[str, str]) -> list[str]:
    """What an event has to say and no column does."""
    meant = set(columns.values())
    name, person = _ASKED
    return [name] * ("event" not in meant) + [person] * (not meant & {"userId", "anonymousId"})
