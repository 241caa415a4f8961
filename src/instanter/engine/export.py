"""Everything held about a person, for the person: read from the log and unsealed, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from ..decisions.receipt import decode_receipt, id_of
from ..events.envelope import Consented, Decided, Lesson, Linked, Tracked, read_record
from ..events.sent import kept_fields
from ..events.subjects import ANONYMOUS_PREFIX, Sealed
from ..events.times import time_text
from ..foundation.errors import Corrupt, EventRejected
from ..foundation.limits import EXPORT_PIECE_BYTES
from ..identity.former import Link
from ..identity.links import Tie
from ..log.base import Log
from ..privacy.subjects import EXPIRED, NO_KEY, KeyStore
from ..state.catalogue import Catalogue
from .learning import inputs_of

DAMAGED: Final = "damaged"
"""Why something is left out of an export: the bytes are not what was sealed, or no event or receipt."""
_ID_FIELDS = ("anonymousId", "previousId")
"""Fields of a stored event that may hold an id sealed by itself."""
_decode_map = msgspec.msgpack.Decoder(dict[str, Any]).decode
RECORDS_PER_STEP = 256
"""Records looked at before others may use the processor."""


def export(
    tenant: str, cells: Sequence[int], log: Log, subjects: KeyStore, catalogue: Catalogue
) -> Iterator[list[bytes]]:
    """NDJSON lines of all events, decisions, links and statements in the log, a bounded piece of work at a time.

    Whose an event is says the key that it is sealed under: those on other people's devices that name the person are
    there, and those of others on the person's own device are not. A device that others have used as well stands there
    as a link, without what was done on it unsigned. The last line, of the kind `left_out`, counts what could not be
    read, by the reason; there is none where nothing was. Reads the whole log, about a second for each 100,000
    records. May run in a thread.
    """
    lines, size_bytes = list[bytes](), 0
    wanted, left_out = frozenset(cells), Counter[str]()
    for number, frame in enumerate(log.read(), start=1):
        line = _line(read_record(frame.payload), tenant, wanted, subjects, catalogue)
        if isinstance(line, str):
            left_out[line] += 1
        elif line is not None:
            lines.append(msgspec.json.encode(line) + b"\n")
            size_bytes += len(lines[-1])
        if number % RECORDS_PER_STEP == 0 or size_bytes >= EXPORT_PIECE_BYTES:
            yield lines
            lines, size_bytes = [], 0
    if left_out:
        counts = {reason: left_out[reason] for reason in (EXPIRED, NO_KEY, DAMAGED) if left_out[reason]}
        lines.append(msgspec.json.encode({"kind": "left_out", "records": left_out.total(), "reasons": counts}) + b"\n")
    yield lines


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


def _line(
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
            receipt = opened_receipt(record, subjects)
            return _why(record.subject, Sealed.RECEIPT, record.at_ms, subjects) if receipt is None else {
                "kind": "decision", "id": record.decision_id, "at": time_text(record.at_ms),
                "decision": decode_receipt(receipt).readable(catalogue),
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
    """The receipt of a decision, None when it can be read no more, or never could be, as with `stored_event`."""
    try:
        receipt: bytes | None = record.receipt
        if record.subject:
            receipt = subjects.unseal(record.subject, Sealed.RECEIPT, record.at_ms, record.receipt)
        if receipt is not None:
            decode_receipt(receipt)
    except Corrupt:
        return None
    return receipt
