"""The quarantine over HTTP: what could not be taken, why, and another try. An admin sees its own tenant's alone."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..engine.quarantine import QuarantineStore
from ..engine.repair import RepairRequest, Repairs, position_of
from ..events.bodies import body_decoder
from ..foundation.limits import BODY_BYTES_MAX
from .bodies import read_body
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of

_repair_of = body_decoder(RepairRequest)


async def groups(store: QuarantineStore, request: Request) -> Response:
    """`GET /v1/quarantine`: what is open, by reason."""
    return reply(await store.listing(tenant_of(request)))


async def get(repairs: Repairs, request: Request) -> Response:
    """`GET /v1/quarantine/{id}`: one entry, with its seal taken off."""
    position, caller = position_of(path_id(request)), caller_of(request)
    return reply(await repairs.show(position, tenant=caller.tenant, actor=caller.actor))


async def repair(repairs: Repairs, request: Request) -> Response:
    """`POST /v1/quarantine/repair`: entries once more through the door, rewritten if that is asked for."""
    asked = _repair_of(await read_body(request, bytes_max=BODY_BYTES_MAX))
    caller = caller_of(request)
    return reply(await repairs.repair(asked, tenant=caller.tenant, actor=caller.actor))
