"""Why an item stands in a list, or does not: read off a list that was made again, stage by stage.

    not_candidate   nothing gave it to the list to choose from
    excluded        a hard filter rules it out
    below           it is eligible, and everything shown scores at least as high
    rearranged      it scores higher than something shown: what is less like the rest of the list stands there
    drawn_away      it had won the last place, and that was drawn for another item
    shown           it stands in the list
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from ..features.assemble import Column
from ..foundation.limits import EXPLAINED_ITEMS_MAX, NAME_CHARS_MAX, SOURCE_LOOKED_MAX, WHY_INPUTS_MAX
from ..models.base import SourceContext, rows_ordered
from ..models.sources import SOURCES
from ..state.compiled import Ints
from ..state.memory import State
from .candidates import CALLER, QUERY, of_rows
from .eligibility import (
    DELETED,
    EXPIRED,
    IN_CART,
    JUST_BOUGHT,
    NOT_IN_CATALOGUE,
    NOT_YET_AVAILABLE,
    OUT_OF_STOCK,
    PAGE_ITEM,
    SAME_GROUP,
    SEEN_BEFORE,
    SHOWN_ELSEWHERE,
    Filters,
    judge,
    reason_of,
)
from .explain import Explainer
from .request import ExcludedItem, PlacementReply, RankedItem, ScoreKind
from .score import shown_amounts, shown_scores
from .searching import searched
from .slate import Moment, Slate

Outcome = Literal["shown", "below", "rearranged", "drawn_away", "excluded", "not_candidate"]

TITLE: Final = "title"
_UNAVAILABLE: Final = (OUT_OF_STOCK, NOT_IN_CATALOGUE, DELETED)
"""What sources leave out by themselves."""
REASONS_SAID: Final[Mapping[str, str]] = {
    OUT_OF_STOCK: "it was out of stock",
    JUST_BOUGHT: "the person had bought it lately",
    NOT_IN_CATALOGUE: "the catalogue had no such item at that time",
    DELETED: "it had been deleted from the catalogue",
    SHOWN_ELSEWHERE: "another list of the same decision shows it",
    PAGE_ITEM: "it is the item that the page is about",
    NOT_YET_AVAILABLE: "it was not available yet",
    EXPIRED: "it was not available any more",
    SAME_GROUP: "another variant of its group stands for it",
    IN_CART: "it is in the cart",
    SEEN_BEFORE: "the person has looked at it before, and the list shows what is new to them",
}
"""Every reason of a filter, as a part of a sentence."""


class SourceTold(msgspec.Struct, frozen=True, rename="camel"):
    """What gave candidates to a list."""

    source: str
    gave: int
    """Candidates, without those that a source before it gave."""
    rank: int | None
    """Where the item stands in all that the source had to give, from 1; null where that is not among the first
    `SOURCE_LOOKED_MAX` of it, or has no order."""


class InputTold(msgspec.Struct, frozen=True, rename="camel"):
    """An input of the ranker, and what it adds to the score, in the ranker's own unit: log-odds where scores are
    probabilities."""

    input: str
    value: float | None
    """null: of this item there is none."""
    adds: float
    compared_value: float | None = None
    compared_adds: float | None = None
    """Of the item that it is compared with, where it is compared with one."""


class ComparedTold(msgspec.Struct, frozen=True, rename="camel"):
    """The item of the list with the lowest score, before a place was drawn."""

    id: str
    position: int
    score: float


class PlacementWhy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What became of an item in one list of a decision."""

    outcome: Outcome
    why: str
    """In sentences."""
    served_by: str
    model: str
    candidates: int
    eligible: int
    """Candidates that no filter ruled out."""
    places: int
    """Items that the list shows."""
    score_kind: ScoreKind
    sources: list[SourceTold]
    position: int | None = None
    propensity: float | None = None
    """How likely the item was to stand there, where it is shown."""
    reasons: list[str] = []
    """Where it is shown: as the reply gave them."""
    moved_by: Literal["", "diversity", "exploration"] = ""
    """What moved a shown item away from the place that its score alone gives it."""
    excluded: str = ""
    """The reason of the filter that rules it out, or would, as replies name it in `excluded`."""
    instead: str = ""
    """The item that stands where this one had won its place, or the variant that stands for it."""
    elsewhere: str = ""
    """The placement of this decision that shows it."""
    found_by: str = ""
    """The source that gave it."""
    rank: int | None = None
    """Its place among the eligible by score alone, from 1."""
    score: float | None = None
    """As replies show scores."""
    compared: ComparedTold | None = None
    inputs: list[InputTold] = []
    """What moves its score most; beside `compared`, what makes it lower than that one's, the most first."""


class SourceGave(msgspec.Struct, frozen=True):
    """A source, and how many candidates it gave that none before it had."""

    source: str
    gave: int


class PlacementExplained(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A list, with what its receipt alone does not say."""

    served_by: str
    model: str
    score_kind: ScoreKind
    reason: str
    """Why the list is empty, when it is, or is not of what was asked for."""
    candidates: int
    eligible: int
    """Candidates that no filter ruled out."""
    places: int
    """Items that the list shows."""
    sources: list[SourceGave]
    ruled_out: dict[str, int]
    """Candidates that filters ruled out, by reason."""
    items: list[RankedItem]
    """The first `EXPLAINED_ITEMS_MAX`: of an item's fields its title alone, without the ranker's inputs."""
    excluded: list[ExcludedItem]
    """Likewise."""


class AskedItem(NamedTuple):
    """The item that is asked about."""

    item_id: str
    ref: int
    row: int
    """-1 where neither the catalogue nor an event had named it."""


class Beside(NamedTuple):
    """What a list was made with beside what it holds."""

    moment: Moment
    filters: Filters
    reply: PlacementReply
    """As it was answered."""
    elsewhere: str
    """The placement of the decision, but this one, that shows the item."""
    context: SourceContext | None
    """What the sources looked at; None where that cannot be told."""


class Ranking(NamedTuple):
    """The eligible of a list by score alone, and what that made the list before a place was drawn."""

    rank: int
    last: int
    """Place of the item with the lowest score in the list; -1 for an empty one."""
    lower: int
    """How many items of the list have a lower score than the item."""


class Reasons:
    """Tells why. Made once for one assembler."""

    def __init__(self, explainer: Explainer, columns: tuple[Column, ...]) -> None:
        self._explainer = explainer
        self._columns = columns

    def told(self, item: AskedItem, slate: Slate, beside: Beside, denied: frozenset[str]) -> PlacementWhy:
        """What became of the item. What is kept for a purpose in `denied` is not told."""
        places = np.flatnonzero(slate.pool.columns.refs == item.ref)
        if not len(places):
            return _not_candidate(item, slate, beside)
        place = int(places[0])
        found_by = slate.pool.origins[int(slate.pool.found_by[place])][0]
        if slate.codes[place]:
            return _excluded(item, slate, beside, reason_of(int(slate.codes[place])), found_by)
        return self._eligible(slate.refs.index(item.ref), slate, beside, denied, found_by)

    def _eligible(
        self, place: int, slate: Slate, beside: Beside, denied: frozenset[str], found_by: str
    ) -> PlacementWhy:
        ranking, state = _ranking(place, slate), beside.moment.state
        compared = _compared(ranking.last, slate, state)
        told = msgspec.structs.replace(
            _list(slate, beside, "shown", ""), found_by=found_by, rank=ranking.rank, score=_score(slate, place)
        )
        if place in slate.order:
            inputs = self._inputs(slate, place, -1, denied)
            return _shown(told, slate.order.index(place), slate, beside, inputs)
        if place in slate.order_before_draw:
            drawn = _id_at(slate.order[-1], slate, state)
            return msgspec.structs.replace(
                told, outcome="drawn_away", instead=drawn, inputs=self._inputs(slate, place, -1, denied),
                why=f"It had won the last place, and that was drawn for {drawn}: now and then a place goes to another "
                    "item, so that the engine learns of it.")  # fmt: skip
        if ranking.lower:
            return msgspec.structs.replace(
                told, outcome="rearranged", compared=compared, inputs=self._inputs(slate, place, -1, denied),
                why=f"By score alone it is number {ranking.rank} of {len(slate.refs)}, and {ranking.lower} of the "
                    f"{len(slate.order)} items shown score lower: they stand there because they are less like the "
                    "rest of the list.")  # fmt: skip
        return msgspec.structs.replace(
            told, outcome="below", compared=compared, inputs=self._inputs(slate, place, ranking.last, denied),
            why=f"By score it is number {ranking.rank} of {len(slate.refs)}, and the list has {len(slate.order)} "
                f"places.{_of_words(place, ranking.last, slate)}{_of_head(ranking.rank, slate)}")  # fmt: skip

    def _inputs(self, slate: Slate, place: int, other: int, denied: frozenset[str]) -> list[InputTold]:
        """The inputs that add or take most, `other` -1; else those that make the score lower than that of `other`."""
        if slate.matrix is None or slate.ranker is None:
            return []
        columns = self._explainer.told_columns(denied)
        rows = np.array([place, other] if other >= 0 else [place], np.int64)
        added = slate.ranker.contributions(slate.matrix, self._columns, rows, columns)
        if other < 0:
            order = np.argsort(-np.abs(added[0]), kind="stable")
            return [self._input(slate, columns[at], place, added[0, at]) for at in _first(order, added[0] != 0.0)]
        less = added[0] - added[1]
        return [
            msgspec.structs.replace(
                self._input(slate, columns[at], place, added[0, at]),
                compared_value=_value(slate, other, columns[at]), compared_adds=round(float(added[1, at]), 6),
            )
            for at in _first(np.argsort(less, kind="stable"), less < 0.0)
        ]  # fmt: skip

    def _input(self, slate: Slate, column: int, place: int, added: float) -> InputTold:
        return InputTold(self._columns[column].name, _value(slate, place, column), round(float(added), 6))


def _first(order: Ints, counts: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[int]:
    """The first of an order that count, `WHY_INPUTS_MAX` of them."""
    chosen: list[int] = order[counts[order]][:WHY_INPUTS_MAX].tolist()
    return chosen


def _value(slate: Slate, place: int, column: int) -> float | None:
    assert slate.matrix is not None
    value = float(slate.matrix[place, column])
    return round(value, 6) if np.isfinite(value) else None


def _ranking(place: int, slate: Slate) -> Ranking:
    by = slate.ordered_by
    listed = slate.order_before_draw
    above = (by > by[place]) | ((by == by[place]) & (np.arange(len(by)) < place))
    last = min(listed, key=lambda one: (by[one], -one), default=-1)
    return Ranking(int(above.sum()) + 1, last, sum(bool(by[one] < by[place]) for one in listed))


def _score(slate: Slate, place: int) -> float:
    raw = slate.scores[[place]]
    return (shown_amounts(raw) if slate.matrix is None else shown_scores(raw))[0]


def _id_at(place: int, slate: Slate, state: State) -> str:
    return slate.pool.id_at(int(slate.eligible[place]), state)


def _compared(place: int, slate: Slate, state: State) -> ComparedTold | None:
    if place < 0:
        return None
    position = slate.order_before_draw.index(place) + 1
    return ComparedTold(_id_at(place, slate, state), position, _score(slate, place))


def _of_words(place: int, last: int, slate: Slate) -> str:
    """Whether it stands below because it matches fewer words of the query."""
    matches = slate.pool.matches
    if matches is None or last < 0:
        return ""
    own, others = (int(matches.words[slate.eligible[one]]) for one in (place, last))
    return f" It matches {own} of the query's words, and what is shown {others}." if own < others else ""


def _of_head(rank: int, slate: Slate) -> str:
    """Whether it stands where the model does not order any more."""
    head = 0 if slate.ranker is None else rows_ordered(slate.ranker)
    if not head or rank <= head or len(slate.refs) <= head:
        return ""
    return (f" The model puts the {head} candidates in order that come first without it; this one is not among them, "
            "and its score says no more than that.")  # fmt: skip


def _list(slate: Slate, beside: Beside, outcome: Outcome, why: str) -> PlacementWhy:
    """What is told of the list, whatever became of the item."""
    return PlacementWhy(
        outcome=outcome, why=why, served_by=slate.rung, model=slate.model, candidates=len(slate.pool),
        eligible=len(slate.refs), places=len(slate.order), score_kind=beside.reply.score_kind,
        sources=[SourceTold(name, gave, None) for name, gave in slate.pool.origins], elsewhere=beside.elsewhere,
    )  # fmt: skip


def _shown(told: PlacementWhy, at: int, slate: Slate, beside: Beside, inputs: list[InputTold]) -> PlacementWhy:
    item, drawn = beside.reply.items[at], slate.draw
    is_drawn = drawn is not None and drawn.explored and at == len(slate.order) - 1
    why, moved = f"It is shown, at place {at + 1} of {len(slate.order)}.", ""
    if is_drawn:
        why += (f" The place was drawn for it, with a chance of {item.propensity:.4g}, so that the engine learns of "
                f"it; by score alone it is number {told.rank}.")  # fmt: skip
        moved = "exploration"
    elif told.rank != at + 1:
        why += f" By score alone it is number {told.rank}; lists are varied, which moved it."
        moved = "diversity"
    return msgspec.structs.replace(
        told, why=why, position=at + 1, propensity=item.propensity, reasons=item.reasons, moved_by=moved,
        score=item.score, inputs=inputs,
    )  # fmt: skip


def _excluded(item: AskedItem, slate: Slate, beside: Beside, reason: str, found_by: str) -> PlacementWhy:
    instead = _variant_shown(item, slate, beside.moment.state) if reason == SAME_GROUP else ""
    said = REASONS_SAID[reason]
    said += f" ({instead})" if instead else f" ({beside.elsewhere})" if reason == SHOWN_ELSEWHERE else ""
    return msgspec.structs.replace(
        _list(slate, beside, "excluded", f"It is ruled out: {said}."), excluded=reason, instead=instead,
        found_by=found_by,
    )  # fmt: skip


def _variant_shown(item: AskedItem, slate: Slate, state: State) -> str:
    """The variant that is in the running in the item's place; "" where it is the page's."""
    group = int(state.catalogue.groups[item.row]) if item.row >= 0 else 0
    if not group or group not in slate.groups:
        return ""
    return _id_at(int(np.flatnonzero(slate.groups == group)[0]), slate, state)


def _not_candidate(item: AskedItem, slate: Slate, beside: Beside) -> PlacementWhy:
    reason = _would_be_excluded(item, beside)
    if reason in _UNAVAILABLE and not slate.asked.is_callers:
        return _excluded(item, slate, beside, reason, "")
    sources = [
        SourceTold(name, gave, _rank_in(name, item, slate, beside)) for name, gave in slate.pool.origins
    ]
    told = _list(slate, beside, "not_candidate", _why_not_given(slate, sources))
    also = f" And it would be ruled out: {REASONS_SAID[reason]}." if reason else ""
    return msgspec.structs.replace(told, why=told.why + also, sources=sources, excluded=reason)


def _would_be_excluded(item: AskedItem, beside: Beside) -> str:
    """The reason for which it would be ruled out if it were a candidate; "" where none would."""
    moment = beside.moment
    if item.row < 0:
        return NOT_IN_CATALOGUE
    pool = of_rows(moment.state, np.array([item.row], np.int64), [(CALLER, 1)], moment.now_ms)
    reason = reason_of(int(judge(moment.state, pool, beside.filters)[0]))
    if reason == NOT_IN_CATALOGUE and moment.state.catalogue.is_deleted(item.ref, item.row):
        return DELETED
    return reason


def _rank_in(name: str, item: AskedItem, slate: Slate, beside: Beside) -> int | None:
    """Where the item stands in all that a source has to give."""
    if item.row < 0:
        return None
    if name == QUERY:
        asked = msgspec.structs.replace(slate.asked, found_max=SOURCE_LOOKED_MAX)
        rows = searched(beside.moment, asked).columns.rows
    elif name in SOURCES and beside.context is not None:
        rows = SOURCES[name].candidates(beside.context, SOURCE_LOOKED_MAX).rows
    else:
        return None
    places = np.flatnonzero(rows == item.row)
    return int(places[0]) + 1 if len(places) else None


def _why_not_given(slate: Slate, sources: Iterable[SourceTold]) -> str:
    if slate.asked.is_callers:
        return f"The list that came with the question names {len(slate.pool)} items, and not this one."
    told = [f"{one.source} gave {one.gave} candidates and has "
            + ("not got it" if one.rank is None else f"it at number {one.rank}") for one in sources]  # fmt: skip
    named = "The list that came with the question does not name it, and nothing" if slate.pool.ids else "Nothing"
    return f"{named} that gives candidates gave it: {'; '.join(told) or 'nothing was asked'}."


def explained(slate: Slate, reply: PlacementReply) -> PlacementExplained:
    """A list as people read it; `reply` is its answer with what was found and ruled out."""
    codes, counts = np.unique(slate.codes[slate.codes > 0], return_counts=True)
    ruled_out = {reason_of(code): count for code, count in zip(codes.tolist(), counts.tolist(), strict=True)}
    return PlacementExplained(
        served_by=slate.rung, model=slate.model, score_kind=reply.score_kind, reason=slate.reason,
        candidates=len(slate.pool), eligible=len(slate.refs), places=len(slate.order),
        sources=[SourceGave(name, gave) for name, gave in slate.pool.origins], ruled_out=ruled_out,
        items=[_with_title(item) for item in reply.items[:EXPLAINED_ITEMS_MAX]],
        excluded=reply.excluded[:EXPLAINED_ITEMS_MAX],
    )  # fmt: skip


def _with_title(item: RankedItem) -> RankedItem:
    title = (item.fields or {}).get(TITLE)
    fields = {TITLE: title[:NAME_CHARS_MAX]} if isinstance(title, str) else None
    return msgspec.structs.replace(item, fields=fields, features=None)
