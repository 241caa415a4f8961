"""Access keys: who may call, for which tenant, and what for. Control state, folded from `KeyIssued` and `KeyRevoked`.

A key is a text of 192 random bits, shown once to whoever asked for it. What is kept is its SHA-256: with that much
chance in a key no salt and no slow hash add anything, and finding one costs the same whether there is such a key or
not.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from ..events.envelope import KeyIssued, KeyRevoked, Record
from ..events.folding import Prepare, Rows, always
from ..foundation.errors import RequestRejected
from ..foundation.ids import Ids
from ..foundation.limits import (
    ACCESS_KEY_CHARS_MAX,
    ACCESS_KEYS_MAX,
    ACCESS_KEYS_PER_TENANT_MAX,
    ACCESS_KEYS_REVOKED_MAX,
)
from .audit import Plain
from .roles import PUBLIC_SCOPES, ROLES, SCOPES, RoleName, Scope, held, scopes_of

TENANT_PATTERN: Final = "^[a-z0-9-]{1,64}$"
"""Names of tenants."""
DEFAULT_TENANT: Final = "default"
"""The operator's own, and the only one without access keys."""

_PREFIX: Final = "ik_"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 24
_is_tenant = re.compile("[a-z0-9-]{1,64}").fullmatch


class AccessKey(msgspec.Struct, frozen=True, array_like=True):
    """A key as it is kept, and as a checkpoint holds it. New fields go last and have defaults."""

    id: str
    tenant: str
    digest: bytes
    """SHA-256 of the key."""
    scopes: tuple[str, ...]
    """As they were given; none beside a role."""
    public: bool
    requests_per_s: int
    """0: the configuration's."""
    name: str
    issued_ms: int
    revoked_ms: int = 0
    """0: it counts."""
    dev: bool = False
    """Made under `--dev`, where whoever reaches the server can make one: it is accepted nowhere."""
    role: str = ""
    """Empty: it has scopes of its own."""

    @property
    def granted(self) -> tuple[str, ...]:
        """Its scopes, those of its role if it has one."""
        return scopes_of(self.role) if self.role else self.scopes

    @property
    def held(self) -> frozenset[str]:
        """All that it is good for."""
        return held(self.granted)

    @property
    def counts(self) -> bool:
        """Whether it has a place among the keys; a revoked one has none."""
        return self.revoked_ms == 0


class Grant(msgspec.Struct, frozen=True):
    """What a new key is to be good for."""

    name: str
    scopes: tuple[Scope, ...] = ()
    """None beside a role."""
    public: bool = False
    requests_per_s: int = 0
    """0: the configuration's."""
    dev: bool = False
    """It is asked for under `--dev`."""
    role: RoleName | None = None

    def noted(self) -> dict[str, Plain]:
        """What the record of administrators' acts says of it."""
        role: dict[str, Plain] = {} if self.role is None else {"role": self.role}
        return {"name": self.name, "scopes": " ".join(self.scopes), "public": self.public, **role}


def check_tenant(tenant: str) -> None:
    """Raise `RequestRejected` if that is no name of a tenant."""
    if not _is_tenant(tenant):
        raise RequestRejected("schema", "the name of a tenant is 1 to 64 of a-z, 0-9 and -")


def check_grant(grant: Grant) -> None:
    """Raise `RequestRejected` if there can be no such key.

    >>> check_grant(Grant("the shop's page", ("write", "admin"), public=True))
    Traceback (most recent call last):
    instanter.foundation.errors.RequestRejected: schema: a public key can have the scopes decide, write, not admin
    """
    if grant.role is not None:
        _check_role(grant)
    elif not grant.scopes:
        raise RequestRejected("schema", f"a key has a role ({', '.join(ROLES)}) or scopes ({', '.join(SCOPES)})")
    if len(set(grant.scopes)) < len(grant.scopes):
        raise RequestRejected("schema", "a key has each of its scopes once")
    beyond = sorted(set(grant.scopes) - PUBLIC_SCOPES)
    if grant.public and beyond:
        able = ", ".join(sorted(PUBLIC_SCOPES))
        raise RequestRejected("schema", f"a public key can have the scopes {able}, not {', '.join(beyond)}")


def _check_role(grant: Grant) -> None:
    if grant.scopes:
        raise RequestRejected("schema", "a key has a role or scopes, not both: a role is a set of scopes")
    if grant.public:
        able = ", ".join(sorted(PUBLIC_SCOPES))
        raise RequestRejected("schema", f"a public key can have the scopes {able}, and no role")


def issued(grant: Grant, *, key_id: str, text: str, tenant: str, at_ms: int) -> KeyIssued:
    """The record of a new key."""
    return KeyIssued(
        at_ms, key_id, tenant, digest_of(text), grant.scopes, grant.public, grant.requests_per_s, grant.name,
        grant.dev, grant.role or "",
    )  # fmt: skip


def new_key(ids: Ids) -> tuple[str, str]:
    """The id and the text of a key that never was. Whoever has the text has the key; nothing keeps it."""
    key_id = ids.token(_ID_BYTES)
    return key_id, f"{_PREFIX}{key_id}_{ids.token(_SECRET_BYTES)}"


def digest_of(text: str) -> bytes:
    """What is kept of a key. A text that is too long to be one costs no more than one that is not.

    >>> len(digest_of("ik_0123456789ab_secret"))
    32
    """
    return hashlib.sha256(text[:ACCESS_KEY_CHARS_MAX].encode("utf-8", "surrogatepass")).digest()


class AccessKeys:
    """All keys of an installation as of one position of the log."""

    def __init__(self, keys: Iterable[AccessKey] = ()) -> None:
        self._by_digest: dict[bytes, AccessKey] = {}
        self._by_id: dict[str, AccessKey] = {}
        self._revoked = OrderedDict[str, None]()
        """In the order in which they were."""
        self._per_tenant: dict[str, int] = {}
        for key in keys:
            self._put(key)

    def __len__(self) -> int:
        """Keys that count."""
        return len(self._by_digest)

    @property
    def tenants(self) -> int:
        """Tenants with a key that counts."""
        return len(self._per_tenant)

    def find(self, text: str) -> AccessKey | None:
        """The key of that text, if it is accepted. Costs the same either way.

        One made under `--dev` never is: there no key is asked for, and nowhere else does it count.
        """
        key = self._by_digest.get(digest_of(text))
        return None if key is None or key.dev else key

    def get(self, key_id: str) -> AccessKey | None:
        """The key of that id, revoked ones too as long as they are remembered."""
        return self._by_id.get(key_id)

    def of_tenant(self, tenant: str) -> list[AccessKey]:
        """A tenant's keys, the oldest first, revoked ones too."""
        keys = (key for key in self._by_id.values() if key.tenant == tenant)
        return sorted(keys, key=lambda key: (key.issued_ms, key.id))

    def has_room(self, tenant: str) -> bool:
        """Whether a tenant can have one more key."""
        return len(self) < ACCESS_KEYS_MAX and self._per_tenant.get(tenant, 0) < ACCESS_KEYS_PER_TENANT_MAX

    def issue(self, event: KeyIssued) -> None:
        """From here on the key counts. One for which there is no room, or whose id or digest is taken, does not."""
        if self.has_room(event.tenant) and event.id not in self._by_id and event.digest not in self._by_digest:
            self._put(AccessKey(
                event.id, event.tenant, event.digest, event.scopes, event.public, event.requests_per_s, event.name,
                event.at_ms, dev=event.dev, role=event.role,
            ))  # fmt: skip

    def revoke(self, event: KeyRevoked) -> None:
        """From here on the key does not count any more. It stays known; of too many the one revoked first goes."""
        key = self._by_id.get(event.id)
        if key is None or not key.counts:
            return
        del self._by_digest[key.digest]
        left = self._per_tenant.pop(key.tenant) - 1
        if left:
            self._per_tenant[key.tenant] = left
        self._put(msgspec.structs.replace(key, revoked_ms=max(event.at_ms, 1)))

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {KeyIssued: always(self.issue), KeyRevoked: always(self.revoke)}

    def kept(self) -> list[AccessKey]:
        """All that are known; `AccessKeys` of them is the same again."""
        revoked = [self._by_id[key_id] for key_id in self._revoked]
        return [*self._by_digest.values(), *revoked]

    def rows(self) -> Rows:
        return {"access_keys": self.kept()}

    def restore(self, rows: Rows) -> None:
        for key in msgspec.convert(rows.get("access_keys", []), list[AccessKey]):
            self._put(key)

    def hashed(self) -> None:
        """Who may call is no part of what was computed."""
        return

    def _put(self, key: AccessKey) -> None:
        self._by_id[key.id] = key
        if key.counts:
            self._by_digest[key.digest] = key
            self._per_tenant[key.tenant] = self._per_tenant.get(key.tenant, 0) + 1
            return
        self._revoked[key.id] = None
        if len(self._revoked) > ACCESS_KEYS_REVOKED_MAX:
            oldest, _ = self._revoked.popitem(last=False)
            del self._by_id[oldest]
