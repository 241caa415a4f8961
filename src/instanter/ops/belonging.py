"""Whose keys a data directory is opened with: its own, or those of another installation.

`instanter.json` names the installation, by a short hash of its secret, and the files of keys that were begun with it,
by a hash of their first slot, which never changes. A directory from before that says neither. What proves its keys to
be its own then is the chain of the audit record, which hangs on the secret, and people of the log: their ids, unsealed,
have the keyed hash under which their key lies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ..engine.export import stored_event
from ..events.envelope import Tracked, read_record
from ..events.identifiers import identifier
from ..events.reject import PEOPLE, identifiers_named
from ..foundation.disk import Disk
from ..foundation.errors import Corrupt, EventRejected
from ..log.frames import Frame
from ..log.segments import SegmentReader
from ..privacy.audit import Head, audit_key, follows, read_entries
from ..privacy.subjects import KeyStore

_INSTALLATION_BYTES: Final = 8
_ENTRIES_LOOKED_AT: Final = 64


def installation_of(secret: bytes) -> str:
    """The name of an installation, which tells its keys from others and tells nothing of them."""
    digest = hashlib.blake2b(b"instanter installation", key=secret, digest_size=_INSTALLATION_BYTES)
    return digest.hexdigest()


def proved_by_audit(disk: Disk, folder: Path, secret: bytes) -> bool | None:
    """Whether the audit record was written under this secret; None where nothing of it can be read.

    One entry that follows the one before it under the secret is enough: nobody else can make one.
    """
    key, before, others = audit_key(secret), Head(), 0
    try:
        for entry in islice(read_entries(SegmentReader(disk, folder)), _ENTRIES_LOOKED_AT):
            if follows(entry, before, key):
                return True
            others += entry.number == before.number + 1  # Else what it follows is missing, and it proves nothing.
            before = Head(entry.number, entry.chain)
    except Corrupt:
        pass  # It is named where the record is read for itself.
    return False if others else None


def proved_by_people(frames: Iterable[Frame], subjects: KeyStore) -> bool | None:
    """Whether people of these records lie in the key store under the hash of their ids; None where it opens nobody."""
    opened = 0
    for frame in frames:
        record = read_record(frame.payload)
        if not isinstance(record, Tracked) or not record.subject or not subjects.has([record.subject]):
            continue
        event = stored_event(record, subjects)
        if event is None:
            continue
        opened += 1
        names = subjects.names_of([record.subject])
        if any(subjects.tombstone(record.tenant, one) in names for one in _identifiers(event)):
            return True
    return False if opened else None


def _identifiers(event: dict[str, Any]) -> list[str]:
    """Under whose name an event may be kept, in the form of `GET /v1/profiles/{id}`."""
    found: list[str] = []
    for field in PEOPLE:
        with suppress(EventRejected):
            found += identifiers_named(field, identifier(event.get(field), field))
    return found
