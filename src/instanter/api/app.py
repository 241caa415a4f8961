"""The application: every route, over one engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from ..foundation.errors import RequestRejected
from . import (
    audit,
    decide,
    imports,
    items,
    jobs,
    keys,
    learners,
    models,
    operations,
    profiles,
    quarantine,
    remap,
    signing,
    starting,
    track,
)
from .auth import Access
from .jobs import Jobs, NoJobs
from .openapi import openapi_document
from .replies import encoded, refusal
from .routing import RawPath, Resource, plain_path, route_of
from .visitors import Proxies

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DECISION_WORK: Final = 6
LIST_WORK: Final = 4
REPLAY_WORK: Final = 12
"""Mostly in another process; here a receipt is looked for, and a process begun."""
LISTING_WORK: Final = 60
"""Reading a piece of the log, mostly in another thread."""
NO_JOBS: Final = NoJobs()


async def show_metrics(engine: Engine, request: Request) -> Response:
    """`GET /metrics`."""
    return Response(request.app.state.metrics(), media_type=METRICS_MEDIA_TYPE)


async def show_openapi(engine: Engine, request: Request) -> Response:
    """`GET /openapi.json`."""
    return encoded(_document_text())


RESOURCES: Final = (
    # What is asked most comes first: the router tries one after the other.
    Resource("/v1/batch", "write", {"POST": track.batch}, public=True, tracking=True),
    Resource("/v1/decide", "decide", {"POST": decide.decide}, public=True, work=DECISION_WORK),
    Resource("/v1/rank", "decide", {"POST": decide.rank}, public=True, work=DECISION_WORK),
    *(
        Resource(path, "write", {"POST": track.batch}, public=True, tracking=True, alias_of=track.BATCH_PATH)
        for path in track.BATCH_ALIASES
    ),
    *(
        Resource(f"/v1/{kind}", "write", {"POST": partial(track.single, kind)}, public=True, tracking=True)
        for kind in track.SINGLE_ROUTES
    ),
    *(
        Resource(
            path, "write", {"POST": partial(track.single, kind)}, public=True, tracking=True, alias_of=f"/v1/{kind}"
        )
        for kind in track.SINGLE_ROUTES for path in track.single_aliases(kind)
    ),
    Resource("/sourceConfig", "write", {"GET": starting.rudder_source}, public=True, tracking=True),
    Resource("/v1/projects/{key}/settings", "open", {"GET": starting.segment_settings}, public=True),
    Resource("/v1/decisions", "admin", {"GET": decide.list_}, work=LISTING_WORK),
    Resource("/v1/decisions/{id:path}/replay", "admin", {"POST": decide.replay}, work=REPLAY_WORK),
    Resource("/v1/decisions/{id:path}", "decide", {"GET": decide.receipt}),
    Resource("/v1/items", "catalog", {"POST": items.upsert, "GET": items.list_}, work=LIST_WORK),
    # An item that is called "delete" as well goes by %64elete.
    Resource("/v1/items/delete", "catalog", {"POST": items.delete_many}),
    Resource("/v1/items/{id:path}", "catalog", {"GET": items.get, "PATCH": items.patch, "DELETE": items.delete}),
    Resource("/v1/imports", "write", {"GET": imports.list_, "POST": imports.take_once}),
    Resource("/v1/imports/{id:path}", "write", {"POST": imports.take}),
    Resource("/v1/profiles", "admin", {"GET": profiles.list_}, work=LISTING_WORK),
    Resource("/v1/profiles/{id:path}/links/{linked:path}", "admin", {"DELETE": profiles.unlink}),
    Resource("/v1/profiles/{id:path}/export", "admin", {"GET": profiles.export}),
    Resource("/v1/profiles/{id:path}/consent", "admin", {"PUT": profiles.consent}),
    Resource("/v1/profiles/{id:path}", "admin", {"GET": profiles.get, "DELETE": profiles.erase}),
    Resource("/v1/keys", "admin", {"POST": keys.create, "GET": keys.list_}),
    Resource("/v1/keys/{id:path}", "admin", {"DELETE": keys.revoke}),
    Resource("/v1/signing-secrets", "admin", {"POST": signing.create, "GET": signing.list_}),
    Resource("/v1/signing-secrets/{id:path}", "admin", {"DELETE": signing.revoke}),
    Resource("/v1/audit", "admin", {"GET": audit.list_}, work=LISTING_WORK),
    Resource("/v1/models", "admin", {"GET": models.list_}),
    Resource("/v1/models/{placement:path}", "admin", {"PUT": models.place, "DELETE": models.roll_back}),
    Resource("/v1/learners", "admin", {"GET": learners.list_}),
    Resource("/v1/learners/{placement:path}", "admin", {"PUT": learners.turn}),
    Resource("/v1/jobs", "admin", {"GET": jobs.list_}),
    Resource("/v1/jobs/{id:path}", "admin", {"GET": jobs.get}),
    Resource("/v1/quarantine", "admin", {"GET": quarantine.groups}),
    Resource("/v1/quarantine/repair", "admin", {"POST": quarantine.repair}),
    Resource("/v1/quarantine/{id:path}", "admin", {"GET": quarantine.get}),
    Resource("/v1/remap", "admin", {"POST": remap.step}, work=REPLAY_WORK),
    Resource("/v1/health/data", "admin", {"GET": operations.health_of_data}, work=LISTING_WORK),
    Resource("/v1/state", "operator", {"GET": operations.state}),
    Resource("/", "open", {"GET": operations.welcome}),
    Resource("/healthz", "open", {"GET": operations.health}),
    Resource("/readyz", "open", {"GET": operations.ready}),
    Resource("/metrics", "operator", {"GET": show_metrics}, limited=False),
    Resource("/openapi.json", "open", {"GET": show_openapi}),
)
"""Every route, with what it asks of an access key."""


def make_app(
    engine: Engine, *, metrics: Callable[[], bytes], access: Access, jobs: Jobs = NO_JOBS, proxies: Sequence[str] = (),
) -> Starlette:  # fmt: skip
    """All routes over one engine. `metrics` renders what `GET /metrics` answers; what `proxies` say of addresses
    is believed.
    """
    app = Starlette(
        routes=[route_of(resource, engine, access) for resource in RESOURCES],
        middleware=[Middleware(RawPath)],
        exception_handlers={HTTPException: _no_route},
    )
    app.state.metrics = metrics
    app.state.jobs = jobs
    app.state.dev = access.dev
    app.state.proxies = Proxies(proxies)
    app.router.redirect_slashes = False
    return app


_PAGE_ROUTES: Final = [
    (re.compile(re.sub(r"\{\w+\}", "[^/]+", resource.path)), tuple(resource.handlers))
    for resource in RESOURCES if resource.public and "{" in resource.path
]
_PAGE_PATHS: Final = {
    resource.path: tuple(resource.handlers) for resource in RESOURCES if resource.public and "{" not in resource.path
}


def page_methods(path: str) -> tuple[str, ...]:
    """The methods of a path that a page may use, with a public key or none; empty for every other path.

    >>> page_methods("/v1/t/"), page_methods("/v1/projects/k/settings"), page_methods("/v1/items")
    (('POST',), ('GET',), ())
    """
    plain = plain_path(path)
    known = _PAGE_PATHS.get(plain)
    if known is not None:
        return known
    return next((methods for route, methods in _PAGE_ROUTES if route.fullmatch(plain)), ())


def is_tracking(path: str) -> bool:
    """Whether a path takes events."""
    return plain_path(path) in track.TRACKING_PATHS


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    return openapi_document(RESOURCES)


@cache
def _document_text() -> bytes:
    return msgspec.json.encode(document())


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(RequestRejected("not_found", "there is no such path; GET /openapi.json lists all", status=404))
