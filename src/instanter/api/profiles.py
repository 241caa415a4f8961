"""Profiles: what is known of a person, and taking a link back."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from ..foundation.errors import RequestRejected
from ..foundation.limits import ID_CHARS_MAX
from .replies import reply
from .tenancy import tenant_of


class UnlinkReply(msgspec.Struct):
    """The two are two again; each is exactly what it was."""

    unlinked: bool
    position: str


async def get(engine: Engine, request: Request) -> Response:
    """`GET /v1/profiles/{id}`."""
    return reply(engine.profiles.profile(tenant_of(request), _identifier(request, "id"), now_ms=engine.clock.now_ms()))


async def unlink(engine: Engine, request: Request) -> Response:
    """`DELETE /v1/profiles/{id}/links/{linked}`: take the link between the two back."""
    tenant = tenant_of(request)
    owner = engine.profiles.cell(tenant, _identifier(request, "id"))
    cell = engine.profiles.cell(tenant, _identifier(request, "linked"))
    link = next((link for link in engine.partition.links.of_profile(owner) if link.cell == cell), None)
    if link is None or link.owner != owner:
        raise RequestRejected("not_linked", "no such link", status=404)
    position = await engine.unlink(tenant, cell)
    return reply(UnlinkReply(True, str(position)))


def _identifier(request: Request, name: str) -> str:
    identifier: str = request.path_params[name]
    if not identifier or len(identifier) > ID_CHARS_MAX:
        raise RequestRejected("schema", f"an identifier has 1 to {ID_CHARS_MAX} characters")
    return identifier
