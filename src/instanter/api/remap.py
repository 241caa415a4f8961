"""Telling kept events again under the names and features of today, a piece of the log at a time."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..engine.remapping import Remapper
from ..events.bodies import body_decoder
from ..foundation.errors import RequestRejected
from ..foundation.limits import BODY_BYTES_MAX
from .bodies import read_body
from .replies import reply
from .tenancy import caller_of

_DIGITS_MAX = 18


class RemapRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`POST /v1/remap`."""

    after: str = ""
    """What the step before named as `next`; left out, from the beginning."""
    dry_run: bool = False
    """Only say what would be told again."""


_asked_of = body_decoder(RemapRequest)


async def step(remapper: Remapper, request: Request) -> Response:
    """`POST /v1/remap`: one step, to be called until `next` is null. A walk that broke off is begun again."""
    asked = _asked_of(await read_body(request, bytes_max=BODY_BYTES_MAX) or b"{}")
    if asked.after and not (asked.after.isascii() and asked.after.isdigit() and len(asked.after) <= _DIGITS_MAX):
        raise RequestRejected("schema", "after is what the step before named as next")
    caller = caller_of(request)
    return reply(await remapper.step(caller.tenant, int(asked.after or 0), dry_run=asked.dry_run, actor=caller.actor))
