"""Health, readiness and the state's hash."""

from __future__ import annotations

import html
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..engine.loop import Engine
from ..engine.partition import Partition
from .replies import reply
from .routing import CONSOLE_PATH
from .tenancy import tenant_of

RETRY_READY_S = 1
_WHERE = {
    "documentation": "/openapi.json",
    "ready": "/readyz",
    "metrics": "/metrics",
    "profiles": "/v1/profiles",
    "decisions": "/v1/decisions",
    "items": "/v1/items",
    "what has no effect": "/v1/health/data",
}
"""Where to look, in the order in which one would."""
_ACCESS_DEV = "This server runs with --dev: it asks for no access key and listens to this machine alone."
_ACCESS = (
    "Every request but this one, /healthz, /readyz and /openapi.json needs an access key: Authorization: Bearer <key>. "
    "`instanter keys create` makes one."
)


class WelcomeReply(msgspec.Struct, rename="camel"):
    """`GET /`."""

    name: Literal["Instanter"]
    what: str
    dev: bool
    """Whether it runs with `--dev`: no access key is asked for."""
    access: str
    send: dict[str, str]
    """Where events, items and questions go."""
    look: dict[str, str]
    """Where there is something to see."""


class HealthReply(msgspec.Struct):
    """`GET /healthz`."""

    status: Literal["ok"] = "ok"


class ReadyReply(msgspec.Struct, omit_defaults=True):
    """`GET /readyz`, 200."""

    status: Literal["ready"]
    position: str
    epoch: int
    warnings: tuple[str, ...] = ()
    """What an operator has to look at: no events are taken, or the time is doubted."""


class NotReadyReply(msgspec.Struct):
    """`GET /readyz`, 503."""

    status: Literal["not ready"]
    reason: str


class StateReply(msgspec.Struct):
    """`GET /v1/state`."""

    position: str
    hash: str
    links: int


async def health(request: Request) -> Response:
    """`GET /healthz`: the process answers."""
    return reply(HealthReply())


async def welcome(request: Request) -> Response:
    """`GET /`: what this is and where to look, for programs and for people."""
    dev = bool(request.app.state.dev)
    told = WelcomeReply(
        name="Instanter",
        what="A real-time personalization engine: events in, decisions out.",
        dev=dev,
        access=_ACCESS_DEV if dev else _ACCESS,
        send={"events": "POST /v1/batch", "items": "POST /v1/items", "decisions": "POST /v1/decide"},
        look={"pages for people": CONSOLE_PATH, **_WHERE} if request.app.state.console else _WHERE,
    )
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_page(told), headers={"Content-Security-Policy": "default-src 'none'"})
    return reply(told)


async def ready(engine: Engine, request: Request) -> Response:
    """`GET /readyz`: 200 when decisions can be answered."""
    if engine.ready:
        partition = engine.partition
        return reply(ReadyReply("ready", str(partition.position), partition.state.epoch, engine.warnings))
    reason = "the engine has stopped; see its log" if engine.broken else "shutting down"
    return reply(NotReadyReply("not ready", reason), status=503, headers={"Retry-After": str(RETRY_READY_S)})


async def health_of_data(engine: Engine, request: Request) -> Response:
    """`GET /v1/health/data`: what of the tenant's data has no effect, in sentences."""
    return reply(await engine.data_health(tenant_of(request)))


async def state(partition: Partition, request: Request) -> Response:
    """`GET /v1/state`: position and canonical hash of the live state, to compare with a rebuild.

    Nothing else is done while it hashes, some tenths of a second for each 100,000 people: a tool, not a probe.
    """
    return reply(StateReply(str(partition.position), partition.state.hash(), len(partition.links)))


def _page(told: WelcomeReply) -> str:
    """The same for a browser: nothing in it comes from outside or from the request."""
    send = "".join(f"<li>{what}: <code>{how}</code></li>" for what, how in told.send.items())
    look = "".join(f'<li>{what}: <a href="{path}">{path}</a></li>' for what, path in told.look.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{told.name}</title><h1>{told.name}</h1>'
        f"<p>{told.what}</p><p>{html.escape(told.access)}</p><h2>Send</h2><ul>{send}</ul><h2>Look</h2><ul>{look}</ul></html>\n"
    )
