"""The tracking routes: the Segment HTTP specification is the event API."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..engine.intake import Intake, Rejection, Taken
from ..engine.tally import EventWarning
from ..events.batch import decode_batch
from ..events.claims import FORBIDDEN
from ..foundation.clock import elapsed_ns
from ..foundation.errors import EventRejected
from ..foundation.limits import BATCH_BYTES_MAX, EVENT_BYTES_MAX, QUARANTINED_EVENT_BYTES_MAX
from .auth import count_events, meet_of
from .bodies import fault_of, read_body
from .replies import encoded, refusal
from .tenancy import caller_of, objects, user_token_of
from .visitors import context_of

SINGLE_ROUTES = ("track", "identify", "page", "screen", "group", "alias")
BATCH_PATH: Final = "/v1/batch"
BATCH_ALIASES: Final = ("/v1/b", "/v1/import", "/beacon/v1/batch")
"""Where else clients send batches: Segment's in browsers, its Ruby and Java ones, RudderStack's when a page is left."""


def single_aliases(kind: str) -> tuple[str, ...]:
    """Where else clients send one event of a kind: Segment's in browsers, and Jitsu's.

    >>> single_aliases("track")
    ('/v1/t', '/api/s/track', '/api/s/s2s/track')
    """
    return (f"/v1/{kind[0]}", f"/api/s/{kind}", f"/api/s/s2s/{kind}")


TRACKING_PATHS: Final = frozenset(
    {BATCH_PATH, *BATCH_ALIASES}.union(*({f"/v1/{kind}", *single_aliases(kind)} for kind in SINGLE_ROUTES))
)
BATCH_PATHS: Final = frozenset({BATCH_PATH, *BATCH_ALIASES})

STATUS_BY_CODE: Final = {"too_large": 413, FORBIDDEN: 403}
"""Of a rejected event; others are 400."""

_encode = msgspec.json.Encoder().encode


class TrackReply(msgspec.Struct, rename="camel", omit_defaults=True):
    """200: everything accepted is on disk, and the next decision sees it."""

    success: bool
    accepted: int
    rejected: list[Rejection]
    position: str
    warnings: list[EventWarning] = []
    """What of the accepted events has no effect, by event name; absent when all of it counts."""


async def batch(intake: Intake, request: Request) -> Response:
    """`POST /v1/batch`: the good ones are kept, the bad ones quarantined and reported."""
    arrived_ns = elapsed_ns()
    body = await read_body(request, bytes_max=BATCH_BYTES_MAX, any_text=True)
    caller, gpc = caller_of(request), objects(request)
    try:
        _check_text(body, request)
        sent = decode_batch(body)
    except EventRejected as error:
        await intake.reject(body, error, tenant=caller.tenant, gpc=gpc, public=caller.public)
        return refusal(error, tracking=True)
    count_events(request, len(sent.events))
    defaults = sent.defaults
    if (seen := context_of(request, caller, request.app.state.proxies)) is not None:
        defaults = {**seen, **defaults} if defaults else seen
    taken = await intake.take(
        sent.events,
        kind=None,
        tenant=caller.tenant,
        public=caller.public,
        sent_at_ms=sent.sent_at_ms,
        defaults=defaults,
        arrived_ns=arrived_ns,
        gpc=gpc,
        user_token=user_token_of(request) or sent.user_token,
        meet=meet_of(request),
    )
    return _accepted(taken)


async def single(kind: str, intake: Intake, request: Request) -> Response:
    """`POST /v1/track | identify | page | screen | group | alias`: one event of that kind, 400 if it is bad.

    More is read than will be taken, so that what is too large can be quarantined and repaired.
    """
    arrived_ns = elapsed_ns()
    body = await read_body(request, bytes_max=QUARANTINED_EVENT_BYTES_MAX, any_text=True)
    caller, gpc = caller_of(request), objects(request)
    count_events(request, 1)
    try:
        _check_text(body, request)
    except EventRejected as error:
        await intake.reject(body, error, kind=kind, tenant=caller.tenant, gpc=gpc, public=caller.public)
        return refusal(error, tracking=True)
    taken = await intake.take(
        [body], kind=kind, tenant=caller.tenant, public=caller.public, arrived_ns=arrived_ns, gpc=gpc,
        user_token=user_token_of(request),
        defaults=context_of(request, caller, request.app.state.proxies), meet=meet_of(request),
    )  # fmt: skip
    if taken.rejected:
        first = taken.rejected[0]
        status = STATUS_BY_CODE.get(first.code, 400)
        return refusal(EventRejected(first.code, first.message, status=status), tracking=True)
    return _accepted(taken)


def _check_text(body: bytes, request: Request) -> None:
    """Raise `EventRejected` for a body that is seen to be no JSON."""
    if len(body) <= EVENT_BYTES_MAX and (fault := fault_of(body, request)):
        raise EventRejected("malformed", fault)


def _accepted(taken: Taken) -> Response:
    return encoded(_encode(TrackReply(True, taken.accepted, taken.rejected, str(taken.position), taken.warnings)))
