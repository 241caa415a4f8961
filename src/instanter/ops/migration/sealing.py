"""Records of format 1 as records of format 2: what is personal in them sealed, the pseudonyms as they were.

In format 1 a person's cell was a keyed hash of the id, and bodies lay open. The cell stays, as the pseudonym of a
subject that gets a key now: so the state, which knows people by their cells, is the same before and after.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...decisions.receipt import decode_receipt, encode_receipt
from ...events.envelope import Decided, Linked, Record, Tracked, Unreadable
from ...events.subjects import ANONYMOUS_PREFIX, NOBODY, Sealed
from ...foundation.errors import Corrupt
from ...foundation.ids import PersonKeys
from ...identity.former import Link
from ...privacy.subjects import KeyStore, KeySubject

_EMPTY: Final = msgspec.msgpack.encode({})
DEFAULT_TENANT: Final = "default"
"""The one tenant that format 1 served."""
_Ids = dict[str, str]

_encode = msgspec.msgpack.Encoder().encode
_decode_ids = msgspec.msgpack.Decoder(_Ids).decode
_decode_body = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Sealing:
    """Seals the records of one installation. First every record is told to `adopt`, then each is `sealed`.

    A decision names its person by the cell alone; that is why all ids have to be known before the first is sealed.
    """

    def __init__(self, keys: PersonKeys, subjects: KeyStore, *, numbers: frozenset[str]) -> None:
        """`numbers` are the numeric properties that stay in the clear part of an event."""
        self._keys = keys
        self._subjects = subjects
        self._numbers = numbers
        self._tenants = dict.fromkeys([DEFAULT_TENANT])

    def adopt(self, record: Record | Unreadable) -> None:
        """Give keys to the people that the record names."""
        if isinstance(record, Tracked) and not record.subject:
            self._tenants[record.tenant] = None
            body = _decode_body(record.body)
            for identifier in (*self._identifiers(record, body), *_previous(body)):
                self._subject(record.tenant, identifier)
        elif isinstance(record, Linked) and not record.sealed:
            self._tenants[record.tenant] = None
            for identifier in _decode_ids(record.body).values():
                self._subject(record.tenant, identifier)

    def adopt_link(self, link: Link) -> None:
        """Likewise for a link in a checkpoint, whose record may have been cut from the log."""
        if not link.sealed:
            self.sealed_link(link)

    def sealed(self, record: Record, *, position_of: dict[int, int] | None = None) -> Record:
        """The record as it is written in format 2; `position_of` are new positions of old ones, for receipts."""
        if isinstance(record, Tracked) and not record.subject:
            return self._tracked(record)
        if isinstance(record, Linked) and not record.sealed:
            return msgspec.structs.replace(record, body=self._link_body(record.tenant, record.body), sealed=True)
        if isinstance(record, Decided) and not record.subject:
            return self._decided(record, position_of or {})
        return record

    def sealed_link(self, link: Link) -> Link:
        """A link of a checkpoint, which does not say whose tenant's it is: the one that its cells are of."""
        if link.sealed:
            return link
        ids = _decode_ids(link.body)
        tenant = next((one for one in self._tenants if self._cell(one, ids["cell"]) == link.cell), None)
        if tenant is None:
            raise Corrupt(file="checkpoint", offset=0, reason="a link's body names another person than its cell")
        return msgspec.structs.replace(link, body=self._link_body(tenant, link.body), sealed=True)

    def _tracked(self, record: Tracked) -> Tracked:
        body = _decode_body(record.body)
        identifiers = self._identifiers(record, body)
        who, owner = self._subject(record.tenant, identifiers[0]), self._subject(record.tenant, identifiers[-1])
        values = {name: value for name, value in record.values.items() if name in self._numbers}
        if who.cell != record.key:
            # The person was erased since and came again, under another pseudonym; what was before is gone.
            return msgspec.structs.replace(record, values=values, body=_EMPTY)
        for previous in _previous(body)[:1]:
            body["previousId"] = self._subject(record.tenant, previous).sealed_id
        if owner is not who:
            body["anonymousId"] = who.sealed_id
        sealed = owner.seal(Sealed.EVENT, record.received_ms, _encode(body))
        return msgspec.structs.replace(record, values=values, body=sealed, subject=owner.cell)

    def _link_body(self, tenant: str, body: bytes) -> bytes:
        ids = _decode_ids(body)
        return _encode({place: self._subject(tenant, identifier).sealed_id for place, identifier in ids.items()})

    def _decided(self, record: Decided, position_of: dict[int, int]) -> Decided:
        receipt = decode_receipt(record.receipt)
        # An old position means nothing in the new log: 0 says that nobody knows it any more.
        receipt = msgspec.structs.replace(receipt, position=position_of.get(receipt.position, 0))
        subject = record.key if record.key and self._subjects.has([record.key]) else NOBODY
        sealed = self._subjects.seal(subject, Sealed.RECEIPT, record.at_ms, encode_receipt(receipt))
        return msgspec.structs.replace(record, receipt=sealed, subject=subject)

    def _identifiers(self, record: Tracked, body: dict[str, Any]) -> list[str]:
        """Who the event is about, as in `GET /v1/profiles/{id}`: the cell's id, and the user's if both were sent."""
        anonymous_id, user_id = _text(body.get("anonymousId")), _text(body.get("userId"))
        found = [ANONYMOUS_PREFIX + anonymous_id] if anonymous_id else []
        found += [user_id] if user_id else []
        if not found or self._cell(record.tenant, found[0]) != record.key:
            raise Corrupt(file="log", offset=0, reason="an event's body names another person than its record")
        return found

    def _cell(self, tenant: str, identifier: str) -> int:
        if identifier.startswith(ANONYMOUS_PREFIX):
            return self._keys.anonymous(tenant, identifier.removeprefix(ANONYMOUS_PREFIX))
        return self._keys.user(tenant, identifier)

    def _subject(self, tenant: str, identifier: str) -> KeySubject:
        return self._subjects.adopt(tenant, identifier, self._cell(tenant, identifier))


def _previous(body: dict[str, Any]) -> list[str]:
    """The ids that an alias may mean by its previousId."""
    if body.get("type") != "alias":
        return []
    previous_id = _text(body.get("previousId"))
    return [ANONYMOUS_PREFIX + previous_id, previous_id]


def _text(value: Any) -> str:
    """An id as it was taken: numbers as text, blank for none."""
    if value is None:
        return ""
    text = str(value)
    return "" if text.isspace() else text
