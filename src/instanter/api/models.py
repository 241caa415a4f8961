"""The routes of models: which one ranks for which placement, and putting another one in charge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ..decisions.answer import ORDER, PROBABILITY
from ..decisions.request import ScoreKind
from ..engine.calibrations import EDGES, Watched
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


class BinShown(msgspec.Struct, rename="camel"):
    """Items that were promised a probability from `from` up to `to`."""

    from_: float = msgspec.field(name="from")
    to: float
    items: int
    expected: float
    """Mean of what was promised."""
    rewarded: float
    """Share of them that brought a reward."""


class CalibrationShown(msgspec.Struct, rename="camel"):
    """Whether probabilities hold."""

    items: int
    """Shown, with all outcomes settled; the older weigh less where there are many."""
    expected: float
    rewarded: float
    error: float
    """Expected calibration error: the mean distance of `expected` and `rewarded`, by bins."""
    holds: bool
    """False: its scores are no probabilities any more, until it is put in charge again."""
    bins: list[BinShown]
    """Those that have items."""


class ModelShown(msgspec.Struct, rename="camel"):
    """Who ranks for a placement."""

    placement: str
    model: str
    """In charge; "" is the built-in ranker."""
    stand_in: str
    """Answers where the one in charge fails; behind it stands the built-in ranker."""
    since: str
    reason: str
    score_kind: ScoreKind
    """What the scores of the one in charge are: see the lists of decisions."""
    missing: list[str] = []
    """Those of the two that cannot be loaded, with the reason."""
    calibration: CalibrationShown | None = None
    """Of the one in charge, as measured while serving since the start; null while no list of it is settled."""


class ModelListing(msgspec.Struct, rename="camel"):
    """`GET /v1/models`: the placements that have a model."""

    models: list[ModelShown]


class VerdictShown(msgspec.Struct, rename="camel"):
    """What the gate said of a model before it took over, and by what: NDCG@10 over the newest lists."""

    passes: bool
    why: str
    lists: int
    difference: float
    """From what ranked then."""
    low: float
    high: float
    """95 % interval of the difference."""


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A model that was trained: what is remembered of the training, and what is kept of it."""

    model: str
    """As `PUT /v1/models/{placement}` names it."""
    placement: str
    """That it was trained for."""
    trained_at: str | None
    """null: it was trained too long ago to be remembered."""
    seen_from: str | None
    seen_until: str | None
    """The part of the log that it was made of; null where the model is not kept any more."""
    lists: int
    """That it learned from."""
    rows: int
    metrics: dict[str, float]
    """Of newer lists, which it has not learned from."""
    verdict: VerdictShown | None
    """null where no gate was asked."""
    took_over: bool
    """Whether it was put in charge when it had been trained."""
    kept: bool
    """Whether it can be put in charge: of models that were trained, the oldest make room."""
    size_bytes: int
    damage: str
    """Why it cannot be used, where its file is damaged."""


class TrainedShown(TrainedModel, frozen=True, kw_only=True, rename="camel"):
    """A model that was trained, with where it ranks now."""

    in_charge_of: list[str]
    stands_in_for: list[str]
    """Placements."""


class TrainedListing(msgspec.Struct, rename="camel"):
    """`GET /v1/trained-models`: the newest first."""

    models: list[TrainedShown]
    placements: list[str]
    """That a model can be put in charge of."""


class Registry(Protocol):
    """Remembers which models were trained."""

    def trained(self, tenant: str) -> Sequence[TrainedModel]:
        """Those of a tenant, the newest first. It reads files: not for the loop's thread."""
        ...


class NoRegistry:
    """An application that knows of no trainings."""

    def trained(self, tenant: str) -> Sequence[TrainedModel]:
        """As `Registry.trained`."""
        return ()


_model_of = body_decoder(ModelRequest)


async def list_(engine: Engine, request: Request) -> Response:
    """`GET /v1/models`."""
    return reply(ModelListing([shown(engine, placed) for placed in engine.models.placed(tenant_of(request))]))


async def list_trained(engine: Engine, request: Request) -> Response:
    """`GET /v1/trained-models`."""
    tenant, registry = tenant_of(request), request.app.state.registry
    trained = await asyncio.to_thread(registry.trained, tenant)
    placed = engine.models.placed(tenant)
    return reply(TrainedListing([
        TrainedShown(
            **msgspec.structs.asdict(one), in_charge_of=[at.placement for at in placed if at.model == one.model],
            stands_in_for=[at.placement for at in placed if at.stand_in == one.model],
        )
        for one in trained
    ], [placement.id for placement in engine.decider.placements]))  # fmt: skip


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
        score_kind=PROBABILITY if engine.models.gives_probabilities(placed) else ORDER,
        calibration=calibration_of(engine.calibrations.of(placed.tenant, placed.placement, placed.model)),
        missing=[f"{model}: {missing[model]}" for model in (placed.model, placed.stand_in) if model in missing],
    )


def calibration_of(watched: Watched | None) -> CalibrationShown | None:
    """What is known of a model's probabilities, as replies have it."""
    if watched is None:
        return None
    bounds = [0.0, *EDGES, 1.0]
    bins = [
        BinShown(
            from_=bounds[place], to=bounds[place + 1], items=round(one.items),
            expected=round(one.expected / one.items, 6), rewarded=round(one.rewarded / one.items, 6),
        )
        for place, one in enumerate(watched.bins) if one.items
    ]  # fmt: skip
    return CalibrationShown(
        items=round(watched.items), expected=round(watched.expected, 6), rewarded=round(watched.rewarded, 6),
        error=round(watched.error, 6), holds=watched.holds, bins=bins,
    )  # fmt: skip
