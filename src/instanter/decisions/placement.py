"""A placement: one spot of a page, and what a decision may put there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ..features.carriers import Carriers
from ..foundation.errors import ConfigRejected
from ..foundation.limits import LIST_LIMIT_MAX, NAME_CHARS_MAX
from ..models.online import LearnerDeclaration
from ..models.sources import BOUGHT_WITH, SOURCES, SOURCES_USUAL

if TYPE_CHECKING:
    Source = str
else:
    Source = Literal[(*SOURCES, "candidates")]
    """Where candidates come from, by name; "candidates" is the caller's list."""
Weight = Annotated[float, Meta(ge=-1_000, le=1_000)]


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One spot of a page. A request names it by `id` and may ask for fewer items than `limit`."""

    id: Annotated[str, Meta(
        min_length=1, max_length=NAME_CHARS_MAX, description='The name that requests use, e.g. "home.recommended".')]
    kind: Annotated[Literal["items", "rerank"], Meta(
        description="items finds the items itself; rerank orders the caller's own list and gives every id back, or "
                    "finds what matches the query where the request has one and no list.")] = "items"
    limit: Annotated[int, Meta(ge=1, le=LIST_LIMIT_MAX, description="Most items in a reply.")] = 12
    sources: Annotated[tuple[Source, ...], Meta(
        min_length=1, max_length=12,
        description="Where candidates come from, the first the most important; candidates is the caller's list.")] = (
        SOURCES_USUAL)
    goal: Annotated[Literal["next", "goes_with"], Meta(
        description="What its built-in order is for. next: what the person turns to next, beside an item what is like "
                    "it. goes_with: what is bought together with the item of the page, or with what is in the cart; "
                    "no more of the same category, and nothing of the cart.")] = "next"
    diversity: Annotated[float, Meta(
        ge=0, le=1, description="0 arranges by score alone, 1 by difference from what stands above (MMR).")] = 0.1
    repeats: Annotated[bool, Meta(
        description="Whether it may show what another placement of the same call shows.")] = False
    seen_before: Annotated[Literal["allow", "leave_out"], Meta(
        description="Whether it may show what the person has looked at before, or another variant of it. leave_out "
                    "shows what is new to them, and excludes the rest as seen_before.")] = "allow"
    exploration: Annotated[Annotated[float, Meta(ge=0, le=1)] | None, Meta(
        description="Chance that one slot shows an item the ranker did not choose; else decide.exploration.")] = (
        None)
    new_items: Annotated[float, Meta(
        ge=0, le=1,
        description="Share of its places, at most, that is given to new items so that they can be judged: a place, the "
                    "last one, of so many of its lists. 0 gives none.")] = 0.0
    new_items_shown: Annotated[int, Meta(
        ge=1, le=1_000_000,
        description="An item is new until it has been shown, or looked at, so often.")] = 100
    new_items_days: Annotated[int, Meta(
        ge=1, le=3_650, description="... and for so many days after it came into the catalogue.")] = 30
    needs_item: Annotated[bool, Meta(
        description="Whether it is about an item: a request that names none is answered, with a warning.")] = False
    weights: Annotated[dict[str, Weight], Meta(
        description="Weights of the ranker that differ here from [ranker.weights].")] = {}
    learner: Annotated[LearnerDeclaration | None, Meta(
        description="An online learner that every outcome of this placement moves, on top of the ranker.")] = None


class Fault(NamedTuple):
    """Why a placement is impossible, and which of its fields says so."""

    field: str
    reason: str
    suggestion: str = ""


def check(placement: Placement) -> None:
    """Raise `ConfigRejected`, naming the placement and the reason, if no decision could fill it."""
    fault = first_fault(placement)
    if fault is not None:
        raise ConfigRejected(f'placement "{placement.id}": {fault.reason}', suggestion=fault.suggestion)


def check_all(placements: Iterable[Placement]) -> None:
    """`check` each, and raise `ConfigRejected` if two share an id."""
    seen: set[str] = set()
    for placement in placements:
        check(placement)
        if placement.id in seen:
            raise ConfigRejected(f'two placements have the id "{placement.id}"', suggestion="rename one of them")
        seen.add(placement.id)


def first_fault(placement: Placement) -> Fault | None:
    """The first reason why the placement is impossible, or None."""
    if placement.id != placement.id.strip() or not placement.id:
        return Fault("id", "an id is not blank and has no blanks around it")
    if len(set(placement.sources)) < len(placement.sources):
        return Fault("sources", "it names the same source twice")
    if placement.kind == "rerank" and placement.sources != ("candidates",):
        return Fault("sources", "a rerank orders the caller's list and nothing else", 'sources = ["candidates"]')
    if placement.goal == "goes_with" and placement.kind == "items" and BOUGHT_WITH not in placement.sources:
        return Fault("sources", f'it is about what goes with what, and the source "{BOUGHT_WITH}" is not among them',
                     f'sources = ["{BOUGHT_WITH}", "co_viewed", "popular"]')
    if placement.kind == "rerank" and placement.new_items:
        return Fault("new_items", "a rerank orders the caller's list and nothing else")
    if placement.kind == "items" and placement.sources == ("candidates",):
        return Fault("sources", "items finds items itself, and the caller's list alone is a rerank", 'kind = "rerank"')
    return None


def role_missing(placement: Placement, having: Carriers) -> Fault | None:
    """Why a source of the placement can find nothing: no feature has the role that it reads. None where all do."""
    for source in placement.sources:
        role = SOURCES[source].role if source in SOURCES else None
        if role is not None and role not in having:
            return Fault("sources", f'its source "{source}" needs a feature of the role "{role}", and none has it',
                         f'declare role = "{role}" for one, or leave the source out')
    return None


def unfiltered(placements: Iterable[Placement], having: Carriers) -> list[str]:
    """The placements that offer again what was bought just now, since no feature has the role purchases."""
    if "purchases" in having:
        return []
    return [placement.id for placement in placements if placement.kind == "items"]


DEFAULT_PLACEMENTS: Final[tuple[Placement, ...]] = (
    Placement(id="home.hero", limit=1),
    Placement(id="home.recommended", limit=12),
    Placement(
        id="product.similar", limit=8,
        sources=("next_items", "same_category", "co_viewed", "vectors", "content", "popular"),
        diversity=0.0, needs_item=True,
    ),
    Placement(
        id="cart.addons", limit=4, sources=("bought_with", "next_items", "co_viewed", "trending", "popular"),
        goal="goes_with",
    ),
    Placement(id="search", kind="rerank", limit=LIST_LIMIT_MAX, sources=("candidates",), diversity=0.0, repeats=True),
)
"""What a server without a configuration offers; a configuration adds to it, and replaces by id."""
