"""What callers prove themselves with: access keys, which the log holds, and signing secrets, which lie with the keys.

Each change is in the audit record before it is made.
"""

from __future__ import annotations

from ..events.envelope import KeyRevoked
from ..foundation.clock import Clock
from ..foundation.errors import Overloaded, RequestRejected
from ..foundation.ids import Ids
from ..privacy.access import AccessKey, AccessKeys, Grant, check_grant, issued, new_key
from ..privacy.audit import Audit
from ..privacy.user_tokens import SigningSecret, SigningSecrets
from .journal import Journal


class Credentials:
    """Makes and revokes both kinds. Used on the loop's thread."""

    def __init__(
        self, access_keys: AccessKeys, signing: SigningSecrets, *, journal: Journal, audit: Audit, clock: Clock,
        ids: Ids,
    ) -> None:  # fmt: skip
        self._access_keys = access_keys
        self._signing = signing
        self._journal = journal
        self._audit = audit
        self._clock = clock
        self._ids = ids

    def keys_of(self, tenant: str) -> list[AccessKey]:
        """A tenant's access keys, the oldest first, revoked ones too."""
        return self._access_keys.of_tenant(tenant)

    async def issue_key(self, grant: Grant, *, tenant: str, actor: str) -> tuple[AccessKey, str]:
        """Make an access key; on return it counts. Its text is nowhere but in what is returned.

        Raises `RequestRejected` for a grant that cannot be, `Overloaded` where the tenant can have no more keys.
        """
        check_grant(grant)
        full = Overloaded("there is no room for another access key: revoke one", retry_after_s=60)
        if not self._access_keys.has_room(tenant):
            raise full
        key_id, text = new_key(self._ids)
        await self._audit.note("key.issued", actor=actor, tenant=tenant, subject=key_id, details=grant.noted())
        now_ms = self._clock.now_ms()
        await self._journal.write([issued(grant, key_id=key_id, text=text, tenant=tenant, at_ms=now_ms)], now_ms)
        key = self._access_keys.get(key_id)
        if key is None:
            raise full
        return key, text

    async def revoke_key(self, tenant: str, key_id: str, *, actor: str) -> AccessKey:
        """Revoke a tenant's access key; on return it does not count. `RequestRejected` if the tenant has none such."""
        key = self._access_keys.get(key_id)
        if key is None or key.tenant != tenant:
            raise RequestRejected("unknown_key", "there is no such access key", status=404)
        if key.counts:
            await self._audit.note("key.revoked", actor=actor, tenant=tenant, subject=key_id)
            now_ms = self._clock.now_ms()
            await self._journal.write([KeyRevoked(now_ms, key_id)], now_ms)
        return self._access_keys.get(key_id) or key

    def secrets_of(self, tenant: str) -> list[SigningSecret]:
        """A tenant's signing secrets, the oldest first."""
        return self._signing.of_tenant(tenant)

    async def make_signing_secret(
        self, tenant: str, *, actor: str, dev: bool = False
    ) -> tuple[SigningSecret, str]:
        """Make one; on return tokens signed under it are good. Its text is nowhere but in what is returned.

        Raises `Overloaded` where the tenant can have no more.
        """
        made, text = self._signing.make(tenant, self._clock.now_ms(), dev=dev)
        await self._audit.note("signing_secret.made", actor=actor, tenant=tenant, subject=made.id)
        return made, text

    async def revoke_signing_secret(self, tenant: str, secret_id: str, *, actor: str) -> SigningSecret:
        """Revoke one; on return no token signed under it is good. `RequestRejected` if the tenant has none such."""
        revoked = self._signing.revoke(tenant, secret_id)
        await self._audit.note("signing_secret.revoked", actor=actor, tenant=tenant, subject=secret_id)
        return revoked
