"""Profiles: what is known of a person, and taking a link back."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from ..foundation.errors import RequestRejected
from .replies import reply
from .routing import path_id
from .tenancy import tenant_of


class UnlinkReply(msgspec.Struct):
    """The two are two again; each is exactly what it was."""

    unlinked: bool
    position: str


async def get(engine: Engine, request: Request) -> Response:
    """`GET /v1/profiles/{id}`."""
    return reply(engine.profiles.profile(tenant_of(request), path_id(request), now_ms=engine.clock.now_ms()))


async def unlink(engine: Engine, request: Request) -> Response:
    """`DELETE /v1/profiles/{id}/links/{linked}`: take the link between the two back."""
    tenant = tenant_of(request)
    owner = engine.profiles.cell(tenant, path_id(request))
    cell = engine.profiles.cell(tenant, path_id(request, "linked"))
    link = next((link for link in engine.partition.links.of_profile(owner) if link.cell == cell), None)
    if link is None or link.owner != owner:
        raise RequestRejected("not_linked", "no such link", status=404)
    position = await engine.unlink(tenant, cell)
    return reply(UnlinkReply(True, str(position)))
