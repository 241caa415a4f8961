"""Who a record is about, and the seal on what is personal in it: the seam that the key store implements.

A subject is a person's anonymous id or user id. It has a pseudonym, random and stable until it is erased, and a key
of its own. What is sealed under a key that was destroyed can never be read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, Protocol

from ..foundation.ids import PersonKeys

NOBODY: Final = -1
"""The subject of what names no person: sealed under the key of its day alone."""

ANONYMOUS_PREFIX: Final = "anonymous:"
"""How an anonymous id is told from a user id where one text must do, as in `GET /v1/profiles/{id}`."""


CLAIM_PREFIX: Final = "\x1f"
"""How what a device claims of a user is told from both: no id holds such a character."""


def claimed(anonymous_id: str, user_id: str) -> str:
    """The subject of what a device says that a user did, which nobody has confirmed.

    >>> claimed("a1", "ada")
    '\\x1fa1\\x1fada'
    """
    return f"{CLAIM_PREFIX}{anonymous_id}{CLAIM_PREFIX}{user_id}"


class Sealed(IntEnum):
    """The classes of sealed data. Each is sealed for its day as well, so that one class of one day can be destroyed."""

    EVENT = 1
    RECEIPT = 2
    QUARANTINE = 3
    IDENTIFIER = 4
    """Lives as long as its subject; no day."""
    TOMBSTONE = 5
    """The keyed hash of an erased id: once it need not be recognised any more, nothing leads from it to a pseudonym."""


class Subject(Protocol):
    """One person's id."""

    @property
    def cell(self) -> int:
        """The pseudonym."""
        ...

    @property
    def sealed_id(self) -> bytes:
        """The id, in the form of `GET /v1/profiles/{id}`, sealed. The same bytes each time: cheap to write again."""
        ...

    def seal(self, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        """Seal bytes under the subject's key and the key of the class's day."""
        ...

    def seal_event(self, at_ms: int, plain: bytes) -> bytes:
        """As `seal` for `Sealed.EVENT`, and faster."""
        ...


Sealing = tuple[Subject, int, bytes]
"""An event to be sealed: whose it is, when it came, and the bytes."""


class Subjects(Protocol):
    """All subjects of an installation. Not for threads, but for `unseal`."""

    def find(self, tenant: str, identifier: str) -> int:
        """The pseudonym of `u1` or `anonymous:a1`, 0 if there is none (any more)."""
        ...

    def subject(self, tenant: str, identifier: str) -> Subject:
        """The subject of an id, made if it is new; it is durable before any record that names it."""
        ...

    def subjects(self, tenant: str, identifiers: Sequence[str]) -> Sequence[Subject]:
        """As `subject` of each, faster where many are not at hand."""
        ...

    def seal(self, cell: int, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        """Seal under the key of a known pseudonym, or of `NOBODY`."""
        ...

    def seal_events(self, sealings: Sequence[Sealing]) -> list[bytes]:
        """As `Subject.seal_event` of each, faster where they are many. The subjects are of here."""
        ...

    def unseal(self, cell: int, kind: Sealed, at_ms: int, sealed: bytes) -> bytes | None:
        """What was sealed, or None when a key is gone. Raises `Corrupt` for bytes that were changed."""
        ...

    def tombstone(self, tenant: str, identifier: str) -> bytes:
        """The keyed hash by which an id is recognised, 16 bytes; nobody without the secret can compute it."""
        ...


class HashedSubject:
    """A subject without a key: see `HashedSubjects`."""

    __slots__ = ("cell", "sealed_id")

    def __init__(self, cell: int, identifier: str) -> None:
        self.cell = cell
        self.sealed_id = identifier.encode()

    def seal(self, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        return plain

    def seal_event(self, at_ms: int, plain: bytes) -> bytes:
        return plain


class HashedSubjects:
    """Subjects that need no store: the pseudonym is a keyed hash of the id, and nothing is sealed.

    What sealing costs is measured against these, and tests of other rooms that need one id's cell to be the same in
    each run use them. Nothing can be erased that was written so.
    """

    def __init__(self, secret: bytes) -> None:
        self._keys = PersonKeys(secret)

    def find(self, tenant: str, identifier: str) -> int:
        if identifier.startswith(ANONYMOUS_PREFIX):
            return self._keys.anonymous(tenant, identifier.removeprefix(ANONYMOUS_PREFIX))
        return self._keys.user(tenant, identifier)

    def subject(self, tenant: str, identifier: str) -> HashedSubject:
        return HashedSubject(self.find(tenant, identifier), identifier)

    def subjects(self, tenant: str, identifiers: Sequence[str]) -> list[HashedSubject]:
        return [self.subject(tenant, identifier) for identifier in identifiers]

    def seal(self, cell: int, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        return plain

    def seal_events(self, sealings: Sequence[Sealing]) -> list[bytes]:
        return [plain for _, _, plain in sealings]

    def unseal(self, cell: int, kind: Sealed, at_ms: int, sealed: bytes) -> bytes | None:
        return sealed

    def tombstone(self, tenant: str, identifier: str) -> bytes:
        return self.find(tenant, identifier).to_bytes(16, "little", signed=True)
