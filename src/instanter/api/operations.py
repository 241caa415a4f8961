"""Health, readiness and the state's hash."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from .replies import reply

RETRY_READY_S = 1


class HealthReply(msgspec.Struct):
    """`GET /healthz`."""

    status: Literal["ok"] = "ok"


class ReadyReply(msgspec.Struct):
    """`GET /readyz`, 200."""

    status: Literal["ready"]
    position: str
    epoch: int


class NotReadyReply(msgspec.Struct):
    """`GET /readyz`, 503."""

    status: Literal["not ready"]
    reason: str


class StateReply(msgspec.Struct):
    """`GET /v1/state`."""

    position: str
    hash: str
    links: int


async def health(engine: Engine, request: Request) -> Response:
    """`GET /healthz`: the process answers."""
    return reply(HealthReply())


async def ready(engine: Engine, request: Request) -> Response:
    """`GET /readyz`: 200 when decisions can be answered."""
    if engine.ready:
        partition = engine.partition
        return reply(ReadyReply("ready", str(partition.position), partition.state.epoch))
    reason = "the engine has stopped; see its log" if engine.broken else "shutting down"
    return reply(NotReadyReply("not ready", reason), status=503, headers={"Retry-After": str(RETRY_READY_S)})


async def state(engine: Engine, request: Request) -> Response:
    """`GET /v1/state`: position and canonical hash of the live state, to compare with a rebuild.

    Nothing else is done while it hashes, some tenths of a second for each 100,000 people: a tool, not a probe.
    """
    partition = engine.partition
    return reply(StateReply(str(partition.position), partition.state.hash(), len(partition.links)))
