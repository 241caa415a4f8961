"""The routes of access keys. An admin sees and makes keys of its own tenant, and knows of no other."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ..engine.credentials import Credentials
from ..events.bodies import body_decoder
from ..events.times import time_text
from ..foundation.limits import BODY_BYTES_MAX, KEYS_LISTED_MAX, NAME_CHARS_MAX, REQUESTS_PER_S_MAX
from ..privacy.access import AccessKey, Grant
from ..privacy.roles import SCOPES, RoleName, Scope
from .bodies import read_body
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of


class KeyRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """`POST /v1/keys`."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    scopes: Annotated[list[Scope], Meta(max_length=len(SCOPES))] = []
    """What the key is good for; none beside a role."""
    role: RoleName | None = None
    """A named set of scopes, in their place."""
    public: bool = False
    """It will stand in a page for everybody to read."""
    requests_per_s: Annotated[int, Meta(ge=0, le=REQUESTS_PER_S_MAX)] = 0
    """0: as the configuration says."""

    def grant(self, *, dev: bool = False) -> Grant:
        """What is asked for."""
        return Grant(self.name, tuple(self.scopes), self.public, self.requests_per_s, dev, self.role)


class KeyShown(msgspec.Struct, rename="camel"):
    """An access key, without what it takes to use it."""

    id: str
    tenant: str
    name: str
    scopes: list[str]
    """Those of its role, if it has one."""
    public: bool
    requests_per_s: int
    issued_at: str
    revoked_at: str | None
    dev: bool
    """Made under `--dev`: a server that asks for keys does not accept it."""
    role: str | None = None


class KeyCreated(KeyShown, rename="camel", kw_only=True):
    """A new access key. This is the only time that it is shown."""

    key: str


class KeyListing(msgspec.Struct, rename="camel"):
    """`GET /v1/keys`: at most so many as `KEYS_LISTED_MAX` says, those that count first of all."""

    keys: list[KeyShown]


decode_key_request = body_decoder(KeyRequest)


async def create(credentials: Credentials, request: Request) -> Response:
    """`POST /v1/keys`."""
    sent = decode_key_request(await read_body(request, bytes_max=BODY_BYTES_MAX))
    caller = caller_of(request)
    grant = sent.grant(dev=request.app.state.dev)
    key, text = await credentials.issue_key(grant, tenant=caller.tenant, actor=caller.actor)
    return reply(created(key, text))


async def list_(credentials: Credentials, request: Request) -> Response:
    """`GET /v1/keys`."""
    return reply(listing(credentials.keys_of(tenant_of(request))))


async def revoke(credentials: Credentials, request: Request) -> Response:
    """`DELETE /v1/keys/{id}`: on return the key is refused; revoking it again changes nothing."""
    caller = caller_of(request)
    return reply(shown(await credentials.revoke_key(caller.tenant, path_id(request), actor=caller.actor)))


def shown(key: AccessKey) -> KeyShown:
    """A key as it is listed."""
    return KeyShown(
        key.id, key.tenant, key.name, list(key.granted), key.public, key.requests_per_s, time_text(key.issued_ms),
        None if key.counts else time_text(key.revoked_ms), key.dev, key.role or None,
    )  # fmt: skip


def created(key: AccessKey, text: str) -> KeyCreated:
    """A key as it is shown once."""
    return KeyCreated(key=text, **msgspec.structs.asdict(shown(key)))


def listing(keys: list[AccessKey]) -> KeyListing:
    """A tenant's keys: all that count, and of the revoked ones those revoked last."""
    revoked = sorted((key for key in keys if not key.counts), key=lambda key: key.revoked_ms, reverse=True)
    room = KEYS_LISTED_MAX - sum(key.counts for key in keys)
    left_out = {key.id for key in revoked[max(room, 0) :]}
    return KeyListing([shown(key) for key in keys if key.id not in left_out])
