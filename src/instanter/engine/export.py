"""Everything held about a person, for the person: read from the log and unsealed, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from ..decisions.receipt import Receipt, decode_receipt, id_of
from ..events.envelope import Consented, Decided, Lesson, Linked, Tracked, read_record
from ..events.reject import Quarantined, decode_quarantined, identifiers_in, identifiers_named, opened
from ..events.sent import kept_fields
from ..events.subjects import ANONYMOUS_PREFIX, Sealed
from ..events.times import time_text
from ..foundation.errors import Corrupt, EventRejected, RequestRejected
from ..foundation.limits import EXPORT_PIECE_BYTES, ID_CHARS_MAX
from ..identity.former import Link
from ..identity.links import Tie
from ..log.base import Log, Readable
from ..privacy.subjects import EXPIRED, NO_KEY, KeyStore
from ..state.catalogue import Catalogue
from .learning import inputs_of

DAMAGED: Final = "damaged"
"""Why something is left out of an export: the bytes are not what was sealed, or no event or receipt."""
SHARED: Final = "shared"
"""Likewise: it lies in the quarantine, and names somebody else as well or came before the person was known."""
_ID_FIELDS = ("anonymousId", "previousId")
"""Fields of a stored event that may hold an id sealed by itself."""
_decode_map = msgspec.msgpack.Decoder(dict[str, Any]).decode
RECORDS_PER_STEP = 256
"""Records looked at before others may use the processor."""


class Held(NamedTuple):
    """Whose everything is exported."""

    tenant: str
    cells: frozenset[int]
    names: frozenset[bytes]
    """The keyed hashes of their ids."""


def export(
    person: Held, log: Log, quarantine: Readable, subjects: KeyStore, catalogue: Catalogue
) -> Iterator[list[bytes]]:
    """NDJSON lines of all events, decisions, links and statements in the log, then of what lies in the quarantine, a
    bounded piece of work at a time.

    Whose an event is says the key that it is sealed under: those on other people's devices that name the person are
    there, and those of others on the person's own device are not. A device that others have used as well stands there
    as a link, without what was done on it unsigned. What was refused is there where it names nobody else. The last
    line, of the kind `left_out`, counts what could not be read or shown, by the reason; there is none where nothing
    was. Reads the whole log, about a second for each 100,000 records. May run in a thread.
    """
    left_out, lines, size_bytes = Counter[str](), list[bytes](), 0
    told = chain(
        (line_of(read_record(frame.payload), person.tenant, person.cells, subjects, catalogue) for frame in log.read()),
        _refused(person, quarantine, subjects),
    )
    for number, line in enumerate(told, start=1):
        if isinstance(line, str):
            left_out[line] += 1
        elif line is not None:
            lines.append(msgspec.json.encode(line) + b"\n")
            size_bytes += len(lines[-1])
        if number % RECORDS_PER_STEP == 0 or size_bytes >= EXPORT_PIECE_BYTES:
            yield lines
            lines, size_bytes = [], 0
    if left_out:
        counts = {reason: left_out[reason] for reason in (EXPIRED, NO_KEY, DAMAGED, SHARED) if left_out[reason]}
        lines.append(msgspec.json.encode({"kind": "left_out", "records": left_out.total(), "reasons": counts}) + b"\n")
    yield lines


def _refused(person: Held, quarantine: Readable, subjects: KeyStore) -> Iterator[dict[str, Any] | str | None]:
    """What the person gets of each entry of the quarantine, as `line_of`; the oldest may go meanwhile."""
    try:
        for frame in quarantine.read():
            entry = decode_quarantined(frame.payload, offset=frame.position)
            yield _entry(entry, person, subjects) if entry.tenant == person.tenant else None
    except Corrupt:
        yield DAMAGED
    except RequestRejected:
        yield EXPIRED


def _entry(entry: Quarantined, person: Held, subjects: KeyStore) -> dict[str, Any] | str | None:
    """An entry that is sealed for the person alone, opened. One that names others as well is not shown to the person,
    nor is one that came before anybody was known by that name: nobody can tell then whose it is."""
    theirs = not person.cells.isdisjoint(entry.subjects)
    try:
        found = opened(entry, subjects)
    except Corrupt:
        return DAMAGED if theirs else None
    if found is None:
        missing = (subjects.lacks(cell, Sealed.QUARANTINE, entry.at_ms) for cell in entry.subjects)
        return next(filter(None, missing), NO_KEY) if theirs else None
    if theirs and person.cells.issuperset(entry.subjects):
        return {
            "kind": "quarantined", "at": time_text(entry.at_ms), "code": entry.code, "message": entry.message,
            "raw": found.raw.decode("utf-8", "replace"),
        }  # fmt: skip
    return SHARED if theirs or _names(found.raw, person, subjects) else None


def _names(raw: bytes, person: Held, subjects: KeyStore) -> bool:
    """Whether bytes that need be no event name the person."""
    names = (name for field, text in identifiers_in(raw) for name in identifiers_named(field, text[:ID_CHARS_MAX]))
    return any(subjects.tombstone(person.tenant, name) in person.names for name in names)


def stored_event(record: Tracked, subjects: KeyStore) -> dict[str, Any] | None:
    """The tracking event as it was sent, None when it can be read no more, or never could be: another writer may have
    left bytes there that are none, and nobody's export or list ends at them."""
    body: bytes | None = record.body
    try:
        if record.subject:
            body = subjects.unseal(record.subject, Sealed.EVENT, record.received_ms, record.body)
        if body is None:
            return None
        event = kept_fields(body)
    except (Corrupt, EventRejected, msgspec.DecodeError, LookupError, ValueError):
        return None
    for field in _ID_FIELDS:
        if isinstance(event.get(field), bytes):
            event[field] = _plain_id(event[field], subjects)
    return event


def ids_of(link: Linked | Link | Tie, subjects: KeyStore) -> list[str]:
    """The two ids of a link, those that can still be read."""
    try:
        body = _decode_map(link.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    if not link.sealed:
        return [str(one) for one in body.values()]
    plain = (_plain_id_of(one, subjects) for one in body.values())
    return [one for one in plain if one is not None]


def _plain_id_of(sealed: object, subjects: KeyStore) -> str | None:
    try:
        return subjects.unseal_id(sealed) if isinstance(sealed, bytes) else None
    except (Corrupt, UnicodeDecodeError):
        return None


def _plain_id(sealed: bytes, subjects: KeyStore) -> str | None:
    plain = _plain_id_of(sealed, subjects)
    return None if plain is None else plain.removeprefix(ANONYMOUS_PREFIX)


def line_of(
    record: object, tenant: str, cells: frozenset[int], subjects: KeyStore, catalogue: Catalogue
) -> dict[str, Any] | str | None:
    """What the person gets of a record; where it cannot be read, why; None for what is not theirs."""
    match record:
        case Tracked() if record.tenant == tenant and (record.subject or record.key) in cells:
            event = stored_event(record, subjects)
            return _why(record.subject, Sealed.EVENT, record.received_ms, subjects) if event is None else {
                "kind": "event", "name": record.name, "receivedAt": time_text(record.received_ms), "event": event,
            }  # fmt: skip
        case Decided() if record.tenant == tenant and (record.subject or record.key) in cells:
            receipt = read_receipt(record, subjects)
            return _why(record.subject, Sealed.RECEIPT, record.at_ms, subjects) if receipt is None else {
                "kind": "decision", "id": record.decision_id, "at": time_text(record.at_ms),
                "decision": receipt.readable(catalogue),
                **({"lessons": [_lesson(one, tenant, catalogue) for one in record.lessons]} if record.lessons else {}),
            }  # fmt: skip
        case Linked() if record.tenant == tenant and (record.user or record.owner) in cells:
            return {"kind": "link", "at": time_text(record.at_ms), "ids": ids_of(record, subjects)}
        case Consented() if record.cell in cells:
            return {"kind": "consent", "at": time_text(record.at_ms), "purposes": record.purposes}
        case _:
            return None


def _why(cell: int, kind: Sealed, at_ms: int, subjects: KeyStore) -> str:
    """Why something cannot be read that was sealed so; what has its keys, or was never sealed, is damaged."""
    try:
        return subjects.lacks(cell, kind, at_ms) or DAMAGED if cell else DAMAGED
    except Corrupt:
        return DAMAGED


def _lesson(lesson: Lesson, tenant: str, catalogue: Catalogue) -> dict[str, Any]:
    """What an online learner read of each item that was shown: the ranker's score, then its inputs."""
    rows = inputs_of(lesson).tolist()
    items = [
        {"id": id_of(item, tenant, catalogue), "inputs": row} for item, row in zip(lesson.items, rows, strict=True)
    ]  # fmt: skip
    return {"placement": lesson.placement, "items": items}


def opened_receipt(record: Decided, subjects: KeyStore) -> bytes | None:
    """The bytes of the receipt of a decision, None when it can be read no more, or never could be, as with
    `stored_event`."""
    found = _opened(record, subjects)
    return None if found is None else found[0]


def read_receipt(record: Decided, subjects: KeyStore) -> Receipt | None:
    """The receipt of a decision, as `opened_receipt`."""
    found = _opened(record, subjects)
    return None if found is None else found[1]


def _opened(record: Decided, subjects: KeyStore) -> tuple[bytes, Receipt] | None:
    try:
        receipt: bytes | None = record.receipt
        if record.subject:
            receipt = subjects.unseal(record.subject, Sealed.RECEIPT, record.at_ms, record.receipt)
        return None if receipt is None else (receipt, decode_receipt(receipt))
    except Corrupt:
        return None
