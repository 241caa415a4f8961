"""The route of the record of administrators' acts. A tenant sees its own; the operator's admin sees all."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ..engine.acts import read_acts
from ..engine.loop import Engine
from ..events.times import parse_time_ms
from ..foundation.errors import EventRejected, RequestRejected
from ..foundation.limits import NAME_CHARS_MAX
from ..privacy.access import DEFAULT_TENANT, check_tenant
from ..privacy.acts import Wanted
from .lines import NDJSON_MEDIA_TYPE, LinesResponse
from .pages import page_of
from .replies import reply
from .tenancy import caller_of, tenant_of

FILTERS: Final = ("since", "until", "actor", "act", "subject", "tenant")


async def list_(engine: Engine, request: Request) -> Response:
    """`GET /v1/audit`: a page of JSON, the newest first; or with `Accept: application/x-ndjson` all, the oldest
    first."""
    page, wanted = page_of(request), _wanted(request)
    if NDJSON_MEDIA_TYPE in request.headers.get("accept", ""):
        return LinesResponse(engine.acts(tenant_of(request), wanted))
    return reply(await read_acts(engine.audit.log, wanted, limit=page.limit, after=page.after))


def _wanted(request: Request) -> Wanted:
    query, caller = request.query_params, caller_of(request)
    own = caller.tenant
    for name in FILTERS:
        if len(query.get(name, "")) > NAME_CHARS_MAX:
            raise RequestRejected("schema", f"{name} has at most {NAME_CHARS_MAX} characters")
    tenant = query.get("tenant")
    if tenant:
        check_tenant(tenant)
    if own != DEFAULT_TENANT or "admin" not in caller.scopes:
        if tenant is not None and tenant != own:
            raise RequestRejected("forbidden", "the acts of another tenant are not shown", status=403)
        tenant = own
    return Wanted(
        tenant=tenant, actor=query.get("actor", ""), act=query.get("act", ""), subject=query.get("subject", ""),
        since_ms=_time(query.get("since"), "since") or 0, until_ms=_time(query.get("until"), "until"),
    )  # fmt: skip


def _time(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_time_ms(text, name)
    except EventRejected as error:
        raise RequestRejected("schema", f"{name}: {error.message}") from None
