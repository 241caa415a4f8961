"""Completing what is being typed into a search box: `POST /v1/complete`."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..decisions.request import CompleteReply, decode_complete
from ..engine.loop import Engine
from ..events.claims import user_token_in
from ..foundation.deadline import Deadline
from ..foundation.limits import BODY_BYTES_MAX
from .admission import arrived_ns
from .bodies import read_body
from .decide import of_device, public_item
from .replies import reply
from .tenancy import caller_of, objects, user_token_of


async def complete(engine: Engine, request: Request) -> Response:
    """`POST /v1/complete`. Nothing is written: it is no decision, and has no receipt."""
    asked = decode_complete(await read_body(request, bytes_max=BODY_BYTES_MAX))
    deadline = Deadline(asked.deadline_ms or engine.options.deadline_ms, started_ns=arrived_ns(request))
    engine.decider.admit_complete(asked)
    caller = caller_of(request)
    if caller.public and asked.user is not None:
        asked = of_device(engine, asked, caller.tenant, user_token_of(request) or user_token_in(asked.context))
    engine.meter.observe("wait", deadline.elapsed_ns())
    made = await engine.complete(asked, tenant=caller.tenant, deadline=deadline, gpc=objects(request))
    return reply(published_completions(made, engine.options.catalogue.public_fields if caller.public else None))


def published_completions(made: CompleteReply, public_fields: Collection[str] | None) -> CompleteReply:
    """The reply with those fields of items that are public; all of them for None."""
    if public_fields is None:
        return made
    return msgspec.structs.replace(made, items=[public_item(item, public_fields) for item in made.items])
