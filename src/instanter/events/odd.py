"""An event with a field of another kind than the specification's: it loses that field, or says what was meant with it.

Used only when the typed conversion has refused an event. What can be lost without changing what the event says of its
person, its time, its items or a consent is taken out, and the sender told; what cannot is refused with the field, what
stands there and what is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from ..foundation.errors import EventRejected
from .kinds import folded
from .notes import FIELD_DROPPED, FIELD_REPAIRED, NEAR_MISS, Note, add_note, kind_of
from .schema import FIELDS, TrackingEvent
from .wanted import complaint

_EMPTIES: Final[tuple[Any, ...]] = ("", [], {})

_decode_map = msgspec.json.Decoder(dict[str, Any]).decode


def event_of(sent: dict[str, Any], notes: list[Note]) -> TrackingEvent:
    """The typed event, with what was odd taken out of `sent`; `EventRejected` where that would change what it says."""
    for field, value in list(sent.items()):
        mend = _FIELDS.get(field)
        if mend is not None and value is not None:
            mend(sent, field, value, notes)
    try:
        return msgspec.convert(sent, TrackingEvent)
    except msgspec.ValidationError as error:
        field, reason = complaint(error)
        raise EventRejected("schema", f"{field or 'the event'} {reason}") from None


def mend_context(sent: dict[str, Any], notes: list[Note]) -> None:
    """Put an event's context right by itself, before a batch's is put under it."""
    _context(sent, "context", sent["context"], notes)


# What is done with one field. Each takes the map, the field's name, its value and the notes.

_Mend = Callable[[dict[str, Any], str, Any, list[Note]], None]


def _drop(sent: dict[str, Any], name: str, value: Any, notes: list[Note], *, path: str, wanted: str) -> None:
    del sent[name]
    add_note(notes, FIELD_DROPPED, path, f"is {kind_of(value)} where {wanted} is wanted")


def _text(path: str) -> _Mend:
    """Text, or a list of just one; else dropped."""

    def mend(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
        if isinstance(value, str):
            return
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
            sent[name] = value[0]
            add_note(notes, FIELD_REPAIRED, path, "is a list of one text where text is wanted")
        else:
            _drop(sent, name, value, notes, path=path, wanted="text")

    return mend


def _label(path: str) -> _Mend:
    """Text or a number; else dropped."""

    def mend(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            _drop(sent, name, value, notes, path=path, wanted="text or a number")

    return mend


def _identifier(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
    """An id: a whole number is one however it is written. Nothing else is lost: that would change who it is about."""
    if isinstance(value, float) and value.is_integer():
        sent[name] = int(value)


def _group(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        _drop(sent, name, value, notes, path=name, wanted="text or a whole number")


def _map(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
    """A map, also as JSON text; what is empty is an empty one; anything else is the check of types to refuse."""
    if isinstance(value, dict):
        return
    found = _map_in(value)
    if found is not None:
        sent[name] = found
        add_note(notes, FIELD_REPAIRED, name, "is an object as JSON text where an object is wanted")
    elif value in _EMPTIES or (isinstance(value, str) and value.isspace()):
        _drop(sent, name, value, notes, path=name, wanted="an object")


def _map_in(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    try:
        return _decode_map(value)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _context(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
    """The circumstances. A list of something is left for the check of types to refuse: it may hold a consent."""
    _map(sent, name, value, notes)
    context = sent.get(name)
    if isinstance(context, str | int | float):
        _drop(sent, name, context, notes, path=name, wanted="an object")
    if isinstance(context, dict):
        _each(context, _CONTEXT, notes)


def _each(holder: dict[str, Any], fields: Mapping[str, _Mend], notes: list[Note]) -> None:
    for name, mend in fields.items():
        if holder.get(name) is not None:
            mend(holder, name, holder[name], notes)


def _page(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
    if isinstance(value, str) and value.strip():
        part = "url" if "://" in value else "path" if value.startswith("/") else "title"
        sent[name] = {part: value}
        add_note(notes, FIELD_REPAIRED, "context.page", f"is text where an object is wanted, such as its {part}")
    elif isinstance(value, dict):
        _each(value, _PAGE, notes)
    else:
        _drop(sent, name, value, notes, path="context.page", wanted="an object")


def _campaign(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
    if isinstance(value, str) and value.strip():
        sent[name] = {"name": value}
        add_note(notes, FIELD_REPAIRED, "context.campaign", "is text where an object is wanted, such as its name")
    elif isinstance(value, dict):
        _each(value, _CAMPAIGN, notes)
    else:
        _drop(sent, name, value, notes, path="context.campaign", wanted="an object")


def _referrer(sent: dict[str, Any], name: str, value: Any, notes: list[Note]) -> None:
    if isinstance(value, dict):
        _each(value, _REFERRER, notes)
    elif not isinstance(value, str):
        _drop(sent, name, value, notes, path="context.referrer", wanted="text")


_PAGE: Final = {name: _text(f"context.page.{name}") for name in ("url", "path", "referrer", "title", "search")}
_CAMPAIGN: Final = {
    name: _label(f"context.campaign.{name}") for name in ("source", "medium", "name", "term", "content")
}
_REFERRER: Final = {name: _text(f"context.referrer.{name}") for name in ("url", "link")}
_CONTEXT: Final[Mapping[str, _Mend]] = {
    **{name: _text(f"context.{name}") for name in ("userAgent", "ip", "locale", "timezone", "decisionId")},
    "sessionId": _label("context.sessionId"),
    "page": _page,
    "campaign": _campaign,
    "referrer": _referrer,
}
_FIELDS: Final[Mapping[str, _Mend]] = {
    "name": _text("name"),
    "category": _text("category"),
    "messageId": _identifier,
    "anonymousId": _identifier,
    "userId": _identifier,
    "previousId": _identifier,
    "groupId": _group,
    "properties": _map,
    "traits": _map,
    "context": _context,
}
"""The fields that an event can lose, or be put right in. `type`, `event` and the times are not among them: without them
nobody can say what happened, or when."""


# Names.

_BY_SPELLING: Final = {folded(name): name for name in FIELDS} | {"eventname": "event"}


def _spellings() -> Iterator[str]:
    """The ways in which programs write a name of several words, but for the specification's own."""
    for name in (*FIELDS, "eventName"):
        words = re.findall("[A-Z]?[a-z]+", name)
        lower = [word.lower() for word in words]
        title = "".join(word.title() for word in words)
        for sep in ("_", "-", " "):
            yield from (sep.join(lower), sep.join(lower).upper(), sep.join(lower).title())
        yield from (title, "".join(lower), "".join(lower).upper())
        if words[-1] == "Id":
            yield from (name[:-2] + "ID", title[:-2] + "ID", sep.join(lower[:-1]) + "_ID")
    yield from ("eventName", "event_name")


MISSPELT: Final = frozenset(_spellings()) - FIELDS
"""Names that are nearly the specification's, to be looked for in one step."""


def near_miss(field: str) -> str:
    """The field of the specification that a name nearly has; "" if it is none.

    >>> near_miss("anonymous_id"), near_miss("userID"), near_miss("Properties"), near_miss("shopId")
    ('anonymousId', 'userId', 'properties', '')
    """
    return _BY_SPELLING.get(folded(field), "") if field not in FIELDS and len(field) <= _FIELD_CHARS_MAX else ""


_FIELD_CHARS_MAX: Final = 32


def take_near_misses(sent: dict[str, Any], notes: list[Note]) -> bool:
    """Take fields whose name is nearly one of the specification's for those, where those are not there themselves.

    Whether there were any.
    """
    taken = False
    for name in list(sent):
        meant = near_miss(name)
        if meant and sent.get(meant) is None:
            sent[meant] = sent.pop(name)
            add_note(notes, NEAR_MISS, name, f"stands for {meant}")
            taken = True
    return taken
