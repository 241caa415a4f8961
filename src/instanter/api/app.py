"""The application: every route, over one engine."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ..engine.loop import Engine
from ..foundation.errors import RequestRejected
from . import (
    audit,
    complete,
    decide,
    imports,
    items,
    jobs,
    keys,
    learners,
    library,
    live,
    me,
    models,
    operations,
    outcomes,
    profiles,
    quarantine,
    remap,
    signing,
    starting,
    stream,
    track,
    whatif,
)
from .auth import Access
from .jobs import Jobs, NoJobs
from .live import NoSeries, Series
from .models import NoRegistry, Registry
from .openapi import openapi_document, parameters_of
from .outgoing import Outgoing
from .replies import encoded, refusal
from .routing import RawPath, Resource, Site, alone, console_routes, given, plain_path, route_of
from .visitors import Proxies

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DECISION_WORK: Final = 6
LIST_WORK: Final = 4
REPLAY_WORK: Final = 12
"""Mostly in another process; here a receipt is looked for, and a process begun."""
LISTING_WORK: Final = 60
"""Reading a piece of the log, mostly in another thread."""
NO_JOBS: Final = NoJobs()
NO_SERIES: Final = NoSeries()
NO_REGISTRY: Final = NoRegistry()


async def show_metrics(request: Request) -> Response:
    """`GET /metrics`."""
    return Response(request.app.state.metrics(), media_type=METRICS_MEDIA_TYPE)


async def show_openapi(request: Request) -> Response:
    """`GET /openapi.json`."""
    return encoded(_document_text())


by_credentials = given(lambda engine: engine.credentials)
by_eraser = given(lambda engine: engine.eraser)
by_importer = given(lambda engine: engine.importer)
by_intake = given(lambda engine: engine.intake)
by_learners = given(lambda engine: engine.learners)
by_partition = given(lambda engine: engine.partition)
by_quarantine = given(lambda engine: engine.quarantine)
by_remapper = given(lambda engine: engine.remapper)
by_repairs = given(lambda engine: engine.repairs)

RESOURCES: Final = (
    # What is asked most comes first: the router tries one after the other.
    Resource("/v1/batch", {"POST": ("write", by_intake(track.batch))}, public=True, tracking=True),
    Resource("/v1/decide", {"POST": ("decide", decide.decide)}, public=True, work=DECISION_WORK),
    Resource("/v1/rank", {"POST": ("decide", decide.rank)}, public=True, work=DECISION_WORK),
    Resource("/v1/complete", {"POST": ("decide", complete.complete)}, public=True, work=DECISION_WORK),
    *(
        Resource(
            path, {"POST": ("write", by_intake(track.batch))}, public=True, tracking=True, alias_of=track.BATCH_PATH
        )
        for path in track.BATCH_ALIASES
    ),
    *(
        Resource(
            f"/v1/{kind}", {"POST": ("write", by_intake(partial(track.single, kind)))}, public=True, tracking=True
        )
        for kind in track.SINGLE_ROUTES
    ),
    *(
        Resource(
            path, {"POST": ("write", by_intake(partial(track.single, kind)))}, public=True, tracking=True,
            alias_of=f"/v1/{kind}",
        )
        for kind in track.SINGLE_ROUTES for path in track.single_aliases(kind)
    ),
    Resource("/sourceConfig", {"GET": ("write", alone(starting.rudder_source))}, public=True, tracking=True),
    Resource("/v1/projects/{key}/settings", {"GET": ("open", alone(starting.segment_settings))}, public=True),
    Resource("/v1/decisions", {"GET": ("decisions:read", decide.list_)}, work=LISTING_WORK),
    Resource("/v1/decisions/{id:path}/replay", {"POST": ("decisions:replay", decide.replay)}, work=REPLAY_WORK),
    Resource("/v1/decisions/{id:path}/whatif", {"POST": ("receipts:read", whatif.what_if)}, work=REPLAY_WORK),
    Resource("/v1/decisions/{id:path}", {"GET": ("receipts:read", decide.receipt)}),
    Resource("/v1/items", {"POST": ("catalog", items.upsert), "GET": ("catalog:read", items.list_)}, work=LIST_WORK),
    # An item that is called "delete" as well goes by %64elete.
    Resource("/v1/items/delete", {"POST": ("catalog", items.delete_many)}),
    Resource("/v1/items/{id:path}", {
        "GET": ("catalog:read", items.get), "PATCH": ("catalog", items.patch), "DELETE": ("catalog", items.delete),
    }),
    Resource("/v1/imports", {
        "GET": ("write", by_importer(imports.list_)), "POST": ("write", by_importer(imports.take_once)),
    }),
    Resource("/v1/imports/{id:path}", {"POST": ("write", by_importer(imports.take))}),
    Resource("/v1/me", {"GET": ("decide", me.get), "DELETE": ("write", me.erase)}, public=True, work=LIST_WORK),
    Resource("/v1/me/decisions/{id}", {"GET": ("decide", me.decision)}, public=True, work=LIST_WORK),
    Resource("/v1/me/export", {"GET": ("decide", me.export)}, public=True),
    Resource("/v1/me/consent", {"PUT": ("write", me.consent)}, public=True),
    Resource("/v1/profiles", {"GET": ("profiles:read", profiles.list_)}, work=LISTING_WORK),
    Resource("/v1/profiles/{id:path}/links/{linked:path}", {"DELETE": ("privacy:write", profiles.unlink)}),
    Resource("/v1/profiles/{id:path}/export", {"GET": ("profiles:export", profiles.export)}),
    Resource("/v1/profiles/{id:path}/timeline", {"GET": ("profiles:export", profiles.timeline)}, work=LISTING_WORK),
    Resource("/v1/profiles/{id:path}/consent", {"PUT": ("privacy:write", profiles.consent)}),
    Resource("/v1/profiles/{id:path}", {
        "GET": ("profiles:read", profiles.get), "DELETE": ("privacy:write", by_eraser(profiles.erase)),
    }),
    Resource("/v1/keys", {
        "POST": ("admin", by_credentials(keys.create)), "GET": ("keys:read", by_credentials(keys.list_)),
    }),
    Resource("/v1/keys/{id:path}", {"DELETE": ("admin", by_credentials(keys.revoke))}),
    Resource("/v1/signing-secrets", {
        "POST": ("admin", by_credentials(signing.create)), "GET": ("keys:read", by_credentials(signing.list_)),
    }),
    Resource("/v1/signing-secrets/{id:path}", {"DELETE": ("admin", by_credentials(signing.revoke))}),
    Resource("/v1/audit", {"GET": ("audit:read", audit.list_)}, work=LISTING_WORK),
    Resource("/v1/models", {"GET": ("models:read", models.list_)}),
    Resource("/v1/models/{placement:path}", {
        "PUT": ("models:write", models.place), "DELETE": ("models:write", models.roll_back),
    }),
    Resource("/v1/trained-models", {"GET": ("models:read", models.list_trained)}, work=LIST_WORK),
    Resource("/v1/learners", {"GET": ("models:read", by_learners(learners.list_))}),
    Resource("/v1/learners/{placement:path}", {"PUT": ("models:write", by_learners(learners.turn))}),
    Resource("/v1/jobs", {"GET": ("jobs:read", alone(jobs.list_))}),
    Resource("/v1/jobs/{id:path}", {"GET": ("jobs:read", outcomes.get)}),
    Resource("/v1/quarantine", {"GET": ("quarantine:read", by_quarantine(quarantine.groups))}),
    Resource("/v1/quarantine/repair", {"POST": ("quarantine:write", by_repairs(quarantine.repair))}),
    Resource("/v1/quarantine/{id:path}", {"GET": ("quarantine:read", by_repairs(quarantine.get))}),
    Resource("/v1/remap", {"POST": ("events:remap", by_remapper(remap.step))}, work=REPLAY_WORK),
    Resource("/v1/health/data", {"GET": ("health:read", operations.health_of_data)}, work=LISTING_WORK),
    Resource("/v1/state", {"GET": ("state:read", by_partition(operations.state))}, all_tenants=True),
    Resource(library.LIBRARY_PATH, {"GET": ("open", alone(library.show))}, public=True),
    Resource("/", {"GET": ("open", alone(operations.welcome))}),
    Resource("/healthz", {"GET": ("open", alone(operations.health))}),
    Resource("/readyz", {"GET": ("open", operations.ready)}),
    Resource(
        "/metrics", {"GET": ("metrics:read", alone(show_metrics))}, all_tenants=True, limited=False, always=True
    ),
    Resource("/v1/stream", {"GET": ("admin", stream.follow)}),
    Resource("/v1/live", {"GET": ("metrics:read", alone(live.live))}, all_tenants=True, work=LIST_WORK),
    Resource("/openapi.json", {"GET": ("open", alone(show_openapi))}),
)  # fmt: skip
"""Every route, with what it asks of an access key."""


Answering = Callable[[Request], Awaitable[Response]]


def make_app(
    engine: Engine, *, metrics: Callable[[], bytes], access: Access, jobs: Jobs = NO_JOBS, proxies: Sequence[str] = (),
    series: Series = NO_SERIES, registry: Registry = NO_REGISTRY,
    console: Callable[[ASGIApp], Answering] | None = None,
) -> Starlette:  # fmt: skip
    """All routes over one engine. `metrics` renders what `GET /metrics` answers, `series` has what `GET /v1/live` does,
    `registry` what `GET /v1/trained-models` does; what `proxies` say of addresses is believed. `console` makes what
    answers at `/console`, given the application, whose API it speaks to.
    """
    outgoing = Outgoing()
    app = Starlette(
        routes=[route_of(resource, parameters_of(resource), engine, access, outgoing) for resource in RESOURCES],
        middleware=[Middleware(RawPath)],
        exception_handlers={HTTPException: _no_route},
    )
    if console is not None:
        app.router.routes += console_routes(Site(console(app), engine.meter, outgoing))
    app.state.metrics = metrics
    app.state.jobs = jobs
    app.state.live = series
    app.state.registry = registry
    app.state.console = console is not None
    app.state.dev = access.dev
    app.state.proxies = Proxies(proxies)
    app.router.redirect_slashes = False
    return app


_PAGE_ROUTES: Final = [
    (re.compile(re.sub(r"\{\w+\}", "[^/]+", resource.path)), tuple(resource.methods))
    for resource in RESOURCES if resource.public and "{" in resource.path
]
_PAGE_PATHS: Final = {
    resource.path: tuple(resource.methods) for resource in RESOURCES if resource.public and "{" not in resource.path
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
