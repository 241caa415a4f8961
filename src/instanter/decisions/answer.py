"""What the caller is told of a list: items with scores, propensities and reasons, and what was left out and why."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

import numpy as np

from ..events.vectors import shown_fields
from ..features.assemble import Column, Matrix
from ..features.carriers import Carriers
from ..features.roles import FeatureRole
from ..foundation.ids import References
from ..foundation.limits import MISSING_TOLD_MAX
from ..state.compiled import Ints
from ..state.memory import State
from .candidates import Pool
from .eligibility import DUPLICATE, OVER_LIMIT, reason_of
from .explain import EXPLORED, NEW, POPULAR_NOW, Explainer, find_origins, reason_of_source
from .fallback import POPULAR
from .receipt import ExploredSlot, PlacementReceipt, caller_part, packed, short_hash
from .request import ExcludedItem, PlacementReply, RankedItem
from .score import shown_amounts, shown_scores
from .slate import Moment, Slate

_INTEREST: Final[tuple[FeatureRole, ...]] = ("trending", "popularity")
"""Roles of the features that tell of interest in an item."""
_NO_MATRIX: Final[Matrix] = np.zeros((0, 0), np.float32)
_NO_COLUMNS: Final[Ints] = np.zeros(0, np.int64)


class Answers:
    """Puts finished lists into words and receipts."""

    def __init__(self, explainer: Explainer, columns: Sequence[Column], carriers: Carriers) -> None:
        self._explainer = explainer
        self._columns = columns
        interest = {f"item.{carriers[role]}" for role in _INTEREST if role in carriers}
        self._interest: Ints = np.array([at for at, one in enumerate(columns) if one.name in interest], np.int64)

    def reply(
        self, slate: Slate, moment: Moment, *, explain: bool, denied: Container[str] = ()
    ) -> PlacementReply:
        """As it stands on the wire. What is kept for a purpose in `denied` is not told."""
        state = moment.state
        places = np.array(slate.order, np.int64)
        reasons = self._reasons(slate, moment, places)
        raw = slate.scores[places]
        scores = shown_amounts(raw) if slate.matrix is None else shown_scores(raw)
        count, drawn = len(slate.order), slate.draw
        propensities = [1.0] * count
        if drawn and count:
            propensities[-1] = drawn.propensity
            if drawn.explored:
                why = NEW if drawn.is_new else EXPLORED
                reasons[-1] = [why, *(text for text in reasons[-1] if text != why)]
        gains = slate.gains() if explain else {}
        ids, fields = _named(slate, slate.eligible[places], state)
        items = list(map(
            RankedItem, ids, range(1, count + 1), scores, propensities, reasons, fields,
            [self._features(slate, place, denied) for place in slate.order] if explain else repeat(None),
            [_stages(slate, place, gains) for place in slate.order] if explain else repeat(None),
        ))  # fmt: skip
        return PlacementReply(
            items=items, excluded=_excluded(slate, state, explain=explain), served_by=slate.rung, experiments=[],
            model=slate.model, score_kind=PROBABILITY if slate.gives_probabilities else ORDER, reason=slate.reason,
            rules=_rules(slate) if explain else None,
        )  # fmt: skip

    def _features(self, slate: Slate, place: int, denied: Container[str]) -> dict[str, float] | None:
        return None if slate.matrix is None else self._explainer.features(slate.matrix[place], denied)

    def _reasons(self, slate: Slate, moment: Moment, places: Ints) -> list[list[str]]:
        """Of each place what adds most to its score; where nothing is to be said of that, where it was found."""
        pool = slate.pool
        told: Callable[[int], list[str]] = self._explainer.told
        if slate.matrix is None or slate.ranker is None:
            matrix, interest = _NO_MATRIX, _NO_COLUMNS
            liked = slate.scores[places] > 0.0 if slate.rung == POPULAR else np.zeros(len(places), bool)
            sorts, told = liked.astype(np.int64), _popular_now
        else:
            matrix, interest = slate.matrix, self._interest
            added = slate.ranker.contributions(matrix, self._columns, places, self._explainer.spoken)
            sorts = self._explainer.sorts(matrix, added, places)
        find_origins(
            places, slate.eligible, pool.found_by, pool.columns.rows, moment.state.catalogue.created_ms,
            moment.lists.averages.oldest_ms, matrix, interest, sorts,
        )  # fmt: skip
        numbers: list[int] = sorts.tolist()
        # Of many items there are few sorts.
        texts = {number: told(number) if number > 0 else _of_origin(pool, -1 - number) for number in set(numbers)}
        return list(map(texts.__getitem__, numbers))


def _popular_now(_: int) -> list[str]:
    return [POPULAR_NOW]


def _of_origin(pool: Pool, number: int) -> list[str]:
    """The reason for an item of which nothing else is to be said, by what `find_origins` found."""
    return [reason_of_source(pool.origins[number >> 2][0], wanted=bool(number & 2), newer=bool(number & 1))]


def _named(
    slate: Slate, places: Ints, state: State
) -> tuple[Sequence[str], Iterable[dict[str, Any] | None]]:  # fmt: skip
    """The ids of the list, given by places in the pool, and the catalogue's fields of what was found; who sent a list
    knows those of its items."""
    pool = slate.pool
    if len(pool) == len(pool.ids):
        return list(map(pool.ids.__getitem__, places.tolist())), repeat(None)
    rows = pool.columns.rows[places].tolist()
    found = [
        state.catalogue.shown(row) if place >= len(pool.ids) else None
        for place, row in zip(places.tolist(), rows, strict=True)
    ]
    ids = [
        pool.ids[place] if item is None else item.id for place, item in zip(places.tolist(), found, strict=True)
    ]
    return ids, [None if item is None else shown_fields(item.fields) for item in found]


def placement_receipt(slate: Slate) -> PlacementReceipt:
    """What the receipt keeps of a list."""
    asked, pool, drawn = slate.asked, slate.pool, slate.draw
    slot = None
    if drawn is not None and (slate.allowed > 1 or slate.new):
        slot = ExploredSlot(
            len(slate.order), slate.incumbent, slate.allowed, asked.spot.exploration, drawn.propensity, slate.new,
            slate.new_chance,
        )
    places = np.array(slate.order, np.int64)
    return PlacementReceipt(
        asked.id, asked.limit, slate.rung, slate.model, len(pool), short_hash(packed(pool.columns.refs)),
        packed(pool.columns.refs[slate.eligible[places]]), caller_part(pool), pool.fields_hash, asked.page,
        asked.query_hash, slot,
        -1 if asked.given is None else len(asked.given.refs),
        b"" if slate.matrix is None else short_hash(slate.matrix),
        short_hash(slate.scores[places]),
        slate.learned, () if slate.ranker is None else slate.ranker.missing[:MISSING_TOLD_MAX],
    )  # fmt: skip


PROBABILITY: Final = "probability"
ORDER: Final = "order"


def query_hash(query: str, references: References) -> int:
    """A search as receipts have it, 0 for none."""
    return references.of(query) if query else 0


def _stages(slate: Slate, place: int, gains: Mapping[int, float]) -> dict[str, float]:
    """The score after each stage that changed it."""
    after = {"score": float(slate.scores[place])}
    if place in gains:
        after["arrange"] = gains[place]
    return after


def _excluded(slate: Slate, state: State, *, explain: bool) -> list[ExcludedItem]:
    """Every id of the caller's list that is not shown; with `explain` also what was found and ruled out."""
    pool = slate.pool
    excluded = [
        ExcludedItem(pool.id_at(place, state), reason_of(int(slate.codes[place])))
        for place in np.flatnonzero(slate.codes).tolist()
        if place < len(pool.ids) or explain
    ]
    if pool.ids and len(slate.order) < len(slate.eligible):
        left = np.ones(len(slate.eligible), bool)
        left[slate.order] = False
        places = slate.eligible[left]
        callers = places[places < len(pool.ids)].tolist()
        excluded += map(ExcludedItem, map(pool.ids.__getitem__, callers), repeat(OVER_LIMIT))
    return excluded + [ExcludedItem(item_id, DUPLICATE) for item_id in pool.duplicates]


def _rules(slate: Slate) -> list[str]:
    """What took part: the sources with what they gave, and the filters with what they ruled out."""
    rules = [f"source {name}: {count}" for name, count in slate.pool.origins]
    codes, counts = np.unique(slate.codes[slate.codes > 0], return_counts=True)
    rules.append(f"scores: {'the probability of a reward' if slate.gives_probabilities else 'an order, and no more'}")
    return rules + [
        f"filter {reason_of(code)}: {count}" for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
    ]
