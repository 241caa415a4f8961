"""The application: every route, over one engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from ..foundation.errors import RequestRejected
from . import decide, items, operations, profiles, track
from .limiting import TokenBucket
from .openapi import openapi_document
from .replies import refusal, reply
from .routing import RawPath, Resource, route_of

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PATH_CHARS_SHOWN = 80


def make_app(engine: Engine, *, metrics: Callable[[], bytes], bucket: TokenBucket | None = None) -> Starlette:
    """All routes over one engine. `metrics` renders what `GET /metrics` answers; `bucket` is the sender's rate.

    Health, readiness and metrics do not count against the rate: who watches the server is not its traffic.
    """

    async def show_metrics(engine: Engine, request: Request) -> Response:
        return Response(metrics(), media_type=METRICS_MEDIA_TYPE)

    async def show_openapi(engine: Engine, request: Request) -> Response:
        return reply(openapi_document())

    resources = [
        Resource("/v1/batch", {"POST": track.batch}, tracking=True),
        *(
            Resource(f"/v1/{kind}", {"POST": partial(track.single, kind)}, tracking=True)
            for kind in track.SINGLE_ROUTES
        ),
        Resource("/v1/decide", {"POST": decide.decide}),
        Resource("/v1/rank", {"POST": decide.rank}),
        Resource("/v1/decisions/{id:path}", {"GET": decide.receipt}),
        Resource("/v1/items", {"POST": items.upsert}),
        Resource("/v1/items/{id:path}", {"GET": items.get, "PATCH": items.patch, "DELETE": items.delete}),
        Resource("/v1/profiles/{id:path}/links/{linked:path}", {"DELETE": profiles.unlink}),
        Resource("/v1/profiles/{id:path}", {"GET": profiles.get}),
        Resource("/v1/state", {"GET": operations.state}),
        Resource("/healthz", {"GET": operations.health}, limited=False),
        Resource("/readyz", {"GET": operations.ready}, limited=False),
        Resource("/metrics", {"GET": show_metrics}, limited=False),
        Resource("/openapi.json", {"GET": show_openapi}),
    ]
    app = Starlette(
        routes=[route_of(resource, engine, bucket) for resource in resources],
        middleware=[Middleware(RawPath)],
        exception_handlers={HTTPException: _no_route},
    )
    app.router.redirect_slashes = False
    return app


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:_PATH_CHARS_SHOWN]
    return refusal(RequestRejected("not_found", f"there is no {path}; GET /openapi.json lists all", status=404))
