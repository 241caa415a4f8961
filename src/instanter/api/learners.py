"""The routes of online learners: what they have learned, and the switch that freezes, thaws or resets one."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..engine.learners import LearnerStatus, LearnerSwitches
from ..events.bodies import body_decoder
from ..foundation.limits import BODY_BYTES_MAX
from .bodies import read_body
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of


class LearnerRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`PUT /v1/learners/{placement}`."""

    act: Literal["freeze", "thaw", "reset"]


class LearnerShown(msgspec.Struct, rename="camel"):
    """An online learner, as decisions read it."""

    placement: str
    lessons: int
    """Outcomes it has learned from."""
    score_weight: float
    """Of the ranker's score; 1 in the beginning."""
    weights: dict[str, float]
    """By input; 0 in the beginning."""
    step: float
    weight_max: float
    frozen: bool


class LearnerListing(msgspec.Struct, rename="camel"):
    """`GET /v1/learners`: the placements that learn from every outcome."""

    learners: list[LearnerShown]


_act_of = body_decoder(LearnerRequest)


async def list_(switches: LearnerSwitches, request: Request) -> Response:
    """`GET /v1/learners`."""
    return reply(LearnerListing([shown(one) for one in switches.all(tenant_of(request)).values()]))


async def turn(switches: LearnerSwitches, request: Request) -> Response:
    """`PUT /v1/learners/{placement}`: on return it is frozen, learns again, or has forgotten everything."""
    placement = path_id(request, "placement")
    sent = _act_of(await read_body(request, bytes_max=BODY_BYTES_MAX))
    caller = caller_of(request)
    return reply(shown(await switches.turn(caller.tenant, placement, sent.act, actor=caller.actor)))


def shown(status: LearnerStatus) -> LearnerShown:
    """A learner as replies have it."""
    declared, learned = status.declared, status.learned
    weights = [1.0, *([0.0] * len(declared.inputs))] if learned is None else learned.weights.tolist()
    return LearnerShown(
        placement=declared.placement,
        lessons=0 if learned is None else learned.lessons,
        score_weight=weights[0],
        weights=dict(zip(declared.inputs, weights[1:], strict=True)),
        step=declared.step,
        weight_max=declared.weight_max,
        frozen=status.frozen,
    )
