"""The application: routes, and what becomes of an error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..engine.loop import Engine
from ..foundation.errors import InstanterError, RequestRejected
from ..foundation.ids import Ids
from . import decide, items, operations, profiles, track
from .openapi import openapi_document
from .replies import failure, refusal, reply

log = logging.getLogger("instanter.api")

Handler = Callable[[Engine, Request], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(engine: Engine, *, metrics: Callable[[], bytes]) -> Starlette:
    """All routes over one engine. `metrics` renders what `GET /metrics` answers."""

    def route(path: str, method: str, handler: Handler, *, tracking: bool = False) -> Route:
        return Route(path, _endpoint(engine, handler, tracking=tracking), methods=[method])

    async def show_metrics(engine: Engine, request: Request) -> Response:
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def show_openapi(engine: Engine, request: Request) -> Response:
        return reply(openapi_document())

    return Starlette(
        routes=[
            route("/v1/batch", "POST", track.batch, tracking=True),
            *(route(f"/v1/{kind}", "POST", track.single, tracking=True) for kind in track.SINGLE_ROUTES),
            route("/v1/decide", "POST", decide.decide),
            route("/v1/rank", "POST", decide.rank),
            route("/v1/decisions/{id}", "GET", decide.receipt),
            route("/v1/items", "POST", items.upsert),
            route("/v1/items/{id:path}", "GET", items.get),
            route("/v1/items/{id:path}", "PATCH", items.patch),
            route("/v1/items/{id:path}", "DELETE", items.delete),
            route("/v1/profiles/{id:path}/links/{linked:path}", "DELETE", profiles.unlink),
            route("/v1/profiles/{id:path}", "GET", profiles.get),
            route("/v1/state", "GET", operations.state),
            route("/healthz", "GET", operations.health),
            route("/readyz", "GET", operations.ready),
            route("/metrics", "GET", show_metrics),
            route("/openapi.json", "GET", show_openapi),
        ],
        exception_handlers={HTTPException: _no_route},
    )


def _endpoint(engine: Engine, handler: Handler, *, tracking: bool) -> Endpoint:
    ids = Ids()

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(engine, request)
        except InstanterError as error:
            engine.meter.count("requests_refused")
            return refusal(error, tracking=tracking)
        except Exception:
            incident = ids.token()
            engine.meter.count("requests_failed")
            log.exception("a request failed", extra={"incident": incident, "route": request.scope["path"][:40]})
            return failure()

    return endpoint


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    message = f"{request.method} {request.url.path[:80]}: {error.detail}"
    response = refusal(RequestRejected(code, message, status=error.status_code))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
