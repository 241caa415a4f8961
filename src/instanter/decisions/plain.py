"""The lower rungs: lists that need no ranker and no inputs, so that there is always an answer."""

from __future__ import annotations

from functools import reduce
from typing import Final

import numpy as np

from ..features.assemble import Candidates
from ..state.compiled import Bytes, Ints, Reals
from .arrange import in_tiers
from .candidates import Pool, joined, of_caller, of_rows
from .eligibility import Filters, beside_the_best, best_of_groups, groups_of, judge
from .fallback import DEFAULT, POPULAR
from .searching import searched
from .slate import Asked, Moment, Slate

EMPTY_CATALOGUE: Final = "empty_catalogue"
NOTHING_ELIGIBLE: Final = "nothing_eligible"
NO_CANDIDATES: Final = "no_candidates"
_NEWEST: Final = "newest"
NOTHING_MATCHED: Final = "nothing_matched"
"""No item that may be shown has a word of the query: the list is of what is popular."""


def eligible(moment: Moment, pool: Pool, filters: Filters) -> tuple[Bytes, Ints]:
    """The codes of `judge`, and the places of those it lets pass."""
    codes = moment.stages.run("eligibility", lambda: judge(moment.state, pool, filters))
    return codes, np.flatnonzero(codes == 0)


def popular(moment: Moment, asked: Asked, filters: Filters) -> Slate:
    """By what everybody likes; nothing of it can be cut."""
    pool = _pool(moment, asked, moment.lists.popular.rows, POPULAR)
    rows = pool.columns.rows
    scores = moment.lists.popularity(rows)
    return _listed(moment, asked, filters, pool, scores, POPULAR)


def default(moment: Moment, asked: Asked, filters: Filters) -> Slate:
    """The newest, looking through the whole catalogue if need be; a caller's list in its own order."""
    newest = moment.lists.newest.rows
    slate = _by_age(moment, asked, filters, _pool(moment, asked, newest, _NEWEST))
    if slate.order or asked.is_callers or (moment.lists.count == len(newest) and not asked.query):
        return slate
    rows = moment.lists.rows
    created = moment.state.catalogue.created_ms[rows].astype(np.float64)
    everything = rows[np.argsort(-created, kind="stable")]
    return _by_age(moment, asked, filters, _pool(moment, asked, everything, _NEWEST, searching=False))


def empty(asked: Asked) -> Slate:
    """Nothing, where even the lower rungs failed."""
    nothing, weightless = np.zeros(0, np.int64), np.zeros(0)
    columns = Candidates(nothing, nothing, nothing, np.zeros((0, 1, 1), np.int64), np.zeros((0, 1)))
    return Slate(
        asked, DEFAULT, DEFAULT, Pool(columns, []), np.zeros(0, np.uint8), nothing, [], weightless, [],
        reason=NOTHING_ELIGIBLE,
    )  # fmt: skip


def _by_age(moment: Moment, asked: Asked, filters: Filters, pool: Pool) -> Slate:
    return _listed(moment, asked, filters, pool, 1.0 / np.arange(1.0, len(pool) + 1.0), DEFAULT)


def _pool(moment: Moment, asked: Asked, rows: Ints, source: str, *, searching: bool = True) -> Pool:
    def made() -> Pool:
        if asked.query and searching:
            matching = searched(moment, asked)
            if len(matching):
                return matching
        listed = [] if asked.is_callers else [of_rows(moment.state, rows, [(source, len(rows))], moment.now_ms)]
        callers = [] if asked.given is None else [of_caller(moment.state, asked.given, moment.now_ms)]
        return reduce(joined, [*callers, *listed])

    return moment.stages.run("candidates", made, hurried=True)


def _listed(moment: Moment, asked: Asked, filters: Filters, pool: Pool, scores: Reals, rung: str) -> Slate:
    codes, places = eligible(moment, pool, filters)
    groups = groups_of(moment.state, pool.columns.rows[places]) if filters.now_ms else np.zeros(0, np.int64)
    best = best_of_groups(groups, scores[places])
    if best is not None:
        beside_the_best(codes, np.delete(places, best))
        places, groups = places[best], groups[best]
    kept = scores[places]
    ordered_by = kept if pool.matches is None else in_tiers(kept, pool.matches.words[places])
    order = np.argsort(-ordered_by, kind="stable")[: asked.limit].tolist()
    reason = told_of(asked, pool) if order else _why_empty(moment, asked, pool)
    return Slate(
        asked, rung, rung, pool, codes, places, pool.columns.refs[places].tolist(), kept, order, reason=reason,
        groups=groups if groups.any() else groups[:0],
    )  # fmt: skip


def told_of(asked: Asked, pool: Pool) -> str:
    """What is to be said of a list that is not empty: whether it is what was asked for."""
    return NOTHING_MATCHED if asked.query and pool.matches is None else ""


def _why_empty(moment: Moment, asked: Asked, pool: Pool) -> str:
    if asked.is_callers:
        return NOTHING_ELIGIBLE if len(pool) else NO_CANDIDATES
    return NOTHING_ELIGIBLE if moment.state.catalogue.count_of(moment.tenant) else EMPTY_CATALOGUE
