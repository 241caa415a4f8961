"""The decision routes: bytes in, bytes out."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ..decisions.decide import Decision
from ..decisions.receipt import decode_receipt
from ..decisions.request import Asking, DecideRequest, decode_decide, decode_rank
from ..engine.loop import Engine
from ..foundation.clock import elapsed_ns
from ..foundation.deadline import Deadline
from ..foundation.errors import RequestRejected
from ..foundation.limits import BODY_BYTES_MAX
from .bodies import read_body
from .replies import encoded, reply
from .tenancy import tenant_of


async def decide(engine: Engine, request: Request) -> Response:
    """`POST /v1/decide`."""
    body = await read_body(request, bytes_max=BODY_BYTES_MAX)
    started_ns = elapsed_ns()
    asked = decode_decide(body)
    decision = await _decide(engine, asked, asked, tenant_of(request), started_ns)
    return encoded(decision.encode())


async def rank(engine: Engine, request: Request) -> Response:
    """`POST /v1/rank`: a decision with one placement, flattened."""
    body = await read_body(request, bytes_max=BODY_BYTES_MAX)
    started_ns = elapsed_ns()
    asked = decode_rank(body)
    decision = await _decide(engine, asked, asked.as_decide(), tenant_of(request), started_ns)
    return encoded(decision.encode_rank())


async def receipt(engine: Engine, request: Request) -> Response:
    """`GET /v1/decisions/{id}`: what the decision stood on."""
    record = engine.receipt(tenant_of(request), request.path_params["id"])
    return reply(decode_receipt(record.receipt))


async def _decide(
    engine: Engine, asked: Asking, question: DecideRequest, tenant: str, started_ns: int
) -> Decision:
    deadline = Deadline(asked.deadline_ms or engine.options.deadline_ms, started_ns=started_ns)
    engine.decider.admit(question)
    if asked.events:
        taken = await engine.intake.take(asked.events, kind=None, tenant=tenant)
        if taken.rejected:
            first = taken.rejected[0]
            raise RequestRejected(first.code, f"events: {first.message}")
    if asked.min_position is not None:
        await _reach(engine, asked.min_position, deadline)
    return await engine.decide(question, tenant=tenant, deadline=deadline)


async def _reach(engine: Engine, position: str, deadline: Deadline) -> None:
    """Wait until the state is at least there; a position that nobody gave out is refused."""
    if not position.isdigit() or int(position) > engine.journal.next_position:
        raise RequestRejected("position", "minPosition is not a position of this log")
    while engine.partition.position < int(position) and deadline.left_ms() > 0:
        await asyncio.sleep(0.001)
