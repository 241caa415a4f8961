"""The tracking routes: the Segment HTTP specification is the event API."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..engine.intake import Rejection, Taken
from ..engine.loop import Engine
from ..events.decode import decode_batch
from ..foundation.clock import elapsed_ns
from ..foundation.errors import EventRejected
from ..foundation.limits import BATCH_BYTES_MAX, EVENT_BYTES_MAX
from .bodies import read_body
from .replies import encoded, refusal
from .tenancy import tenant_of

SINGLE_ROUTES = ("track", "identify", "page", "screen", "group", "alias")

_encode = msgspec.json.Encoder().encode


class TrackReply(msgspec.Struct, rename="camel"):
    """200: everything accepted is on disk, and the next decision sees it."""

    success: bool
    accepted: int
    rejected: list[Rejection]
    position: str


async def batch(engine: Engine, request: Request) -> Response:
    """`POST /v1/batch`: the good ones are kept, the bad ones quarantined and reported."""
    arrived_ns = elapsed_ns()
    body = await read_body(request, bytes_max=BATCH_BYTES_MAX)
    try:
        sent = decode_batch(body)
    except EventRejected as error:
        await engine.intake.reject(body, error, tenant=tenant_of(request))
        return refusal(error, tracking=True)
    taken = await engine.intake.take(
        sent.events,
        kind=None,
        tenant=tenant_of(request),
        sent_at_ms=sent.sent_at_ms,
        defaults=sent.defaults,
        arrived_ns=arrived_ns,
    )
    return _accepted(taken)


async def single(kind: str, engine: Engine, request: Request) -> Response:
    """`POST /v1/track | identify | page | screen | group | alias`: one event of that kind, 400 if it is bad."""
    arrived_ns = elapsed_ns()
    body = await read_body(request, bytes_max=EVENT_BYTES_MAX)
    taken = await engine.intake.take([body], kind=kind, tenant=tenant_of(request), arrived_ns=arrived_ns)
    if taken.rejected:
        first = taken.rejected[0]
        status = 413 if first.code == "too_large" else 400
        return refusal(EventRejected(first.code, first.message, status=status), tracking=True)
    return _accepted(taken)


def _accepted(taken: Taken) -> Response:
    return encoded(_encode(TrackReply(True, taken.accepted, taken.rejected, str(taken.position))))
