"""The routes of models: which one ranks for which placement, and putting another one in charge."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from ..events.bodies import body_decoder
from ..events.envelope import ModelPlaced
from ..events.times import time_text
from ..foundation.limits import BODY_BYTES_MAX, NAME_CHARS_MAX
from .bodies import read_body
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of


class ModelRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`PUT /v1/models/{placement}`."""

    model: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    """As training names it, "kind@id"."""
    keep_stand_in: bool = False
    """For a model that is not measurably better than the one it replaces: the stand-in stays who it is."""


class ModelShown(msgspec.Struct, rename="camel"):
    """Who ranks for a placement."""

    placement: str
    model: str
    """In charge; "" is the built-in ranker."""
    stand_in: str
    """Answers where the one in charge fails; behind it stands the built-in ranker."""
    since: str
    reason: str
    missing: list[str] = []
    """Those of the two that cannot be loaded, with the reason."""


class ModelListing(msgspec.Struct, rename="camel"):
    """`GET /v1/models`: the placements that have a model."""

    models: list[ModelShown]


_model_of = body_decoder(ModelRequest)


async def list_(engine: Engine, request: Request) -> Response:
    """`GET /v1/models`."""
    return reply(ModelListing([shown(engine, placed) for placed in engine.models.placed(tenant_of(request))]))


async def place(engine: Engine, request: Request) -> Response:
    """`PUT /v1/models/{placement}`: on return it ranks; the model before it is its stand-in, unless that is kept."""
    placement = path_id(request, "placement")
    sent = _model_of(await read_body(request, bytes_max=BODY_BYTES_MAX))
    caller = caller_of(request)
    placed = await engine.models.place(
        caller.tenant, placement, sent.model, actor=caller.actor, keeps_stand_in=sent.keep_stand_in
    )
    return reply(shown(engine, placed))


async def roll_back(engine: Engine, request: Request) -> Response:
    """`DELETE /v1/models/{placement}`: the stand-in takes over, or the built-in ranker where there is none."""
    caller = caller_of(request)
    placement = path_id(request, "placement")
    return reply(shown(engine, await engine.models.roll_back(caller.tenant, placement, actor=caller.actor)))


def shown(engine: Engine, placed: ModelPlaced) -> ModelShown:
    """A placing as replies have it."""
    missing = engine.models.missing
    return ModelShown(
        placement=placed.placement,
        model=placed.model,
        stand_in=placed.stand_in,
        since=time_text(placed.at_ms),
        reason=placed.reason,
        missing=[f"{model}: {missing[model]}" for model in (placed.model, placed.stand_in) if model in missing],
    )
