"""Health, readiness, metrics and the state's hash."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from .replies import reply


async def health(engine: Engine, request: Request) -> Response:
    """`GET /healthz`: the process answers."""
    return reply({"status": "ok"})


async def ready(engine: Engine, request: Request) -> Response:
    """`GET /readyz`: 200 when decisions can be answered."""
    if engine.ready:
        partition = engine.partition
        return reply({"status": "ready", "position": str(partition.position), "epoch": partition.state.epoch})
    reason = engine.broken or "shutting down"
    return reply({"status": "not ready", "reason": reason}, status=503, headers={"Retry-After": "1"})


async def state(engine: Engine, request: Request) -> Response:
    """`GET /v1/state`: position and canonical hash of the live state, to compare with a rebuild."""
    partition = engine.partition
    return reply({"position": str(partition.position), "hash": partition.state.hash(), "links": len(partition.links)})
