"""`POST /v1/decisions/{id}/whatif`: what a decision would have shown if something had been otherwise."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ..decisions.placement import Weight
from ..decisions.request import Limit, ScoreKind
from ..decisions.why import Outcome
from ..engine.loop import Engine
from ..events.bodies import body_decoder
from ..foundation.errors import RequestRejected
from ..foundation.limits import NAME_CHARS_MAX, PURPOSES_MAX, WHATIF_BYTES_MAX, WHATIF_WEIGHTS_MAX
from .bodies import read_body
from .decide import read_receipt, told_by_job
from .routing import path_id
from .tenancy import tenant_of

WHATIF: Final = "whatif"
"""The kind of job that decides a decision's moment otherwise."""
BUILT_IN_MODEL: Final = "built-in"
"""The ranker that a configuration brings with it, where a model is named."""
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Share = Annotated[float, Meta(ge=0, le=1)]


class WhatIfRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):  # fmt: skip
    """What is tried instead of what was; whatever is left out is as it was."""

    placement: Annotated[str, Meta(max_length=NAME_CHARS_MAX)] = ""
    """Where the ranker and what stands about the list are tried; "" for all lists of the decision."""
    model: Annotated[str, Meta(max_length=NAME_CHARS_MAX)] = ""
    """"kind@id", or "built-in"; "" leaves it to whoever ranked."""
    weights: Annotated[dict[Name, Weight], Meta(max_length=WHATIF_WEIGHTS_MAX)] = {}
    """Of the built-in ranker, where they differ from the configuration's; it ranks then."""
    limit: Limit | None = None
    """Items of the list."""
    diversity: Share | None = None
    exploration: Share | None = None
    repeats: bool | None = None
    seen_before: Literal["allow", "leave_out"] | None = None
    """These four as for a placement of the configuration."""
    as_nobody: bool = False
    """As if nothing were known of the person."""
    refused: Annotated[list[Name], Meta(max_length=PURPOSES_MAX)] = []
    """As if the person had refused these purposes as well."""


class ItemBeside(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An item that at least one of the two lists shows."""

    id: str
    title: str | None
    before: int | None
    """Its position in the list as it was, from 1; null where it did not stand there."""
    after: int | None
    """Likewise in the list as it would have been."""
    score_before: float | None
    """null where it had none: it was no candidate, or ruled out. Scores of two models do not compare."""
    score_after: float | None
    outcome: Outcome
    """What becomes of it in the list as it would have been, as `?item=` tells it."""
    why: str
    """Of an item that only one list shows: why the other one does not, in sentences."""


class ListSide(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A list, with how it came about."""

    served_by: str
    model: str
    score_kind: ScoreKind
    candidates: int
    eligible: int
    places: int
    """Items that it shows."""


class ListBeside(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A list as it was, and as it would have been."""

    before: ListSide
    after: ListSide
    changed: bool
    """Whether any place shows another item."""
    items: list[ItemBeside]
    """Those at the first `EXPLAINED_ITEMS_MAX` places of either, in the order of the list as it would have been; behind
    them those that it does not show, in the order in which they stood."""


class WhatIfReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The decision's moment decided otherwise, beside the decision as it was made."""

    decision_id: str
    identical: bool
    """Whether the decision, made again as it was, came out the same. If not, `before` is of the one made again."""
    differences: list[str]
    tried: WhatIfRequest
    placements: dict[str, ListBeside]
    folded_events: int
    took_ms: float


_request_of = body_decoder(WhatIfRequest)
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(WhatIfRequest)


def whatif_subject(decision_id: str, tried: WhatIfRequest) -> str:
    """What a job is about that decides a moment otherwise; no id of a decision has a blank.

    >>> asked_whatif(whatif_subject("d_1", WhatIfRequest(diversity=0.5)))[1].diversity
    0.5
    """
    return f"{decision_id} {_encoder.encode(tried).decode()}"


def asked_whatif(subject: str) -> tuple[str, WhatIfRequest]:
    """The id of the decision, and what is tried, of such a job."""
    decision_id, _, tried = subject.partition(" ")
    return decision_id, _decoder.decode(tried)


async def what_if(engine: Engine, request: Request) -> Response:
    """`POST /v1/decisions/{id}/whatif`: decide its moment otherwise. What takes longer is a job, and answered 202."""
    decision_id = path_id(request)
    tried = _request_of(await read_body(request, bytes_max=WHATIF_BYTES_MAX))
    _check(tried)
    await read_receipt(engine, tenant_of(request), decision_id)
    return await told_by_job(request, WHATIF, whatif_subject(decision_id, tried))


def _check(tried: WhatIfRequest) -> None:
    if tried in (WhatIfRequest(), WhatIfRequest(placement=tried.placement)):
        names = ", ".join(
            field.encode_name for field in msgspec.structs.fields(WhatIfRequest) if field.name != "placement"
        )
        raise RequestRejected("schema", f"there is nothing to try: say what was to be otherwise, of {names}")
    if tried.weights and tried.model not in ("", BUILT_IN_MODEL):
        raise RequestRejected("schema", "weights are those of the built-in ranker: leave model away")
