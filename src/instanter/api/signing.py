"""The routes of signing secrets, under which a shop's own server signs user tokens for its pages."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..engine.credentials import Credentials
from ..events.times import time_text
from ..privacy.user_tokens import ALGORITHM, SigningSecret
from .bodies import read_nothing
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of


class SecretShown(msgspec.Struct, rename="camel"):
    """A signing secret, without what it takes to sign."""

    id: str
    """The `kid` in the header of a token."""
    tenant: str
    """The `aud` of a token."""
    algorithm: str
    made_at: str
    dev: bool
    """Made under `--dev`: no token signed under it is good."""


class SecretCreated(SecretShown, rename="camel", kw_only=True):
    """A new signing secret. This is the only time that it is shown."""

    secret: str


class SecretListing(msgspec.Struct, rename="camel"):
    """`GET /v1/signing-secrets`, the oldest first."""

    secrets: list[SecretShown]


async def create(credentials: Credentials, request: Request) -> Response:
    """`POST /v1/signing-secrets`: the one before stays good until it is revoked, so that secrets can be changed."""
    await read_nothing(request)
    caller = caller_of(request)
    made, text = await credentials.make_signing_secret(caller.tenant, actor=caller.actor, dev=request.app.state.dev)
    return reply(SecretCreated(secret=text, **msgspec.structs.asdict(_shown(made))))


async def list_(credentials: Credentials, request: Request) -> Response:
    """`GET /v1/signing-secrets`."""
    return reply(SecretListing([_shown(one) for one in credentials.secrets_of(tenant_of(request))]))


async def revoke(credentials: Credentials, request: Request) -> Response:
    """`DELETE /v1/signing-secrets/{id}`: on return no token signed under it is good."""
    caller = caller_of(request)
    return reply(_shown(await credentials.revoke_signing_secret(caller.tenant, path_id(request), actor=caller.actor)))


def _shown(secret: SigningSecret) -> SecretShown:
    return SecretShown(secret.id, secret.tenant, ALGORITHM, time_text(secret.made_ms), secret.dev)
