"""A linear ranker: what every shop starts with, and what can be read.

A score is the sum of weight x input over the matrix's columns. Counts, sums and prices may be of any size, so they
come in as log(1 + x). What is absent of an item adds what it adds to the others of the list on average, so that it
moves the item neither up nor down; what is absent of all adds nothing. 0 is an average item.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..features.assemble import (
    EVIDENCE,
    FIRST_RULES,
    ORDERED_BY_OTHERS,
    RULES_NOW,
    WHAT_IS_COMMON,
    WHAT_IS_PROVEN,
    Column,
    Matrix,
)
from ..features.carriers import Carriers
from ..features.roles import FeatureRole
from ..foundation.errors import Broken, ConfigRejected
from ..state.compiled import Bytes, Ints, Reals, kernel
from ..state.layout import FeatureSpec, Scope
from .base import EVERY_COLUMN, EVERY_ROW, Chosen
from .inputs import check_named

_BASE_WEIGHTS = {
    "item.click_lift": 1.0,
    "item.cart_lift": 0.2,
    "item.buy_lift": 0.3,
    "item.recency": 0.1,
    "cross.price_fit": 0.6,
    "cross.co_viewed": 1.5,
    "position": 0.2,
    "query.match": 6.0,
}
"""Click and buy rates decide; what the person looks at moves the list; the caller's order breaks the tie."""
_ROLE_WEIGHTS: dict[FeatureRole, float] = {"trending": 0.05, "popularity": 0.05}
"""For the number of the item's feature that has the role, in lists that we find. Somebody else's list is in an order
that knows what is liked: of 370 lists of hotels (trivago, before the cut) for people of whom nothing was known, these
two made the reciprocal rank 0.559 where that order had 0.571."""
_CHANCE_WEIGHT_FINDING = 1.0
"""For what may come next, by what people did one after another. Where nothing of the kind is known it is the same for
all, and where it is, it says more than all else."""
_CHANCE_WEIGHT_REORDERING = 0.3
"""By the rules before `ORDERED_BY_OTHERS`. From these on it and what is beside the newest step have none in a list of
the caller: what people do next there is what they were shown next. On the newer 40 % of the lists before the cut it
moved NDCG@10 from 0.613 to 0.580 (RankLens) and MRR from 0.601 to 0.600 (trivago), and what is beside the newest step
from 0.613 to 0.607 and not at all."""
_BESIDE_WEIGHTS = {"beside.category": 1.5, "beside.price_fit": 0.3, "beside.words": 0.5}
_BESIDE_WEIGHT = 0.3
"""Beside an item: of the same category first; of each further text field in common."""
_ABOUT_AN_ITEM_WEIGHTS = {
    "beside.category": 1.2, "beside.words": 3.0, "beside.price_fit": 1.0, "cross.co_viewed": 2.0,
    "next.chance": 0.0, "next.evident": 2.0, "next.usual": 1.0,
}  # fmt: skip
_ABOUT_AN_ITEM_TASTES = 0.25
"""Part of what else the person's tastes count."""
"""In a placement that is about an item these count instead: the item before the person, its words before its category;
what others turned to next as far as it is evident, and what is usual as far as it is not. Chosen on made-up shops of
another seed than those that are reported (examples/similar), and on the first parts of real logs."""
_BY_WHAT_IS_COMMON_WEIGHTS = {
    "similar.chance": 1.25, "similar.liked": 0.5, "beside.words": 3.0, "beside.price_fit": 1.2, "cross.price_fit": 0.0,
    "cross.co_viewed": 2.0, "next.chance": 0.0, "next.evident": 2.0, "next.usual": 1.0,
}  # fmt: skip
_BY_WHAT_IS_PROVEN_WEIGHTS = {
    "next.evident": 0.0, "next.usual": 0.0, "next.proven": 2.0, "next.unproven": 1.0, "similar.chance": 1.5,
    "beside.price_fit": 0.0,
}  # fmt: skip
"""From `WHAT_IS_PROVEN` on what others turned to next counts as far as it does in this shop, and prices as far as they
are a way that people go on by."""
_BY_WHAT_IS_COMMON_TASTES = 0.1
"""From `WHAT_IS_COMMON` on these count there: how likely people go on to an item by what it has in common with that of
the page, and how often it is looked at, as far as that explains what people do. Chosen likewise."""
_SHARE_WEIGHTS = {Scope.SESSION: 1.6, Scope.PROFILE: 0.8}
"""For each top-k by a field of the item."""
_SEEN_WEIGHT_FINDING = -0.5
_SEEN_WEIGHT_REORDERING = 1.5
"""For the session's last items. A list we make shows what is like them rather than them again, but not at any price:
on the first 80 % of a shop's evening (REES46) each step from -1.5 to 0 found more of what was viewed next. In a list
that somebody asked for, people go back (of RankLens lists, 80 % of what was clicked before is clicked again, 19 % of
the rest)."""


_GOES_WITH_WEIGHTS = {"with.chance": 1.0, "next.chance": 0.2, "with.substitute": -4.0, "item.buy_lift": 0.3}
"""Where it counts what goes with what: what is bought together leads; where nothing is known of that, what is looked at
together of other categories does."""


def goes_with_weights(columns: Sequence[Column], carriers: Carriers) -> dict[str, float]:
    """The built-in weight of each column that has one, for what goes with an item or a cart: no column that speaks for
    what is like it, or like what the person looks at, has one."""
    weights = _GOES_WITH_WEIGHTS | {
        f"item.{carriers[role]}": weight for role, weight in _ROLE_WEIGHTS.items() if role in carriers
    }
    names = {column.name for column in columns}
    return {name: weight for name, weight in weights.items() if name in names}


def default_weights(
    columns: Sequence[Column], lists: Sequence[FeatureSpec], carriers: Carriers, *, reorders: bool = False,
    about_item: bool = False, rules: int = RULES_NOW,
) -> dict[str, float]:  # fmt: skip
    """The built-in weight of each column that has one, by these rules. `lists` are the person's top-k and last-k
    features, `carriers` the features that have a role; `reorders` says that the ranker orders the caller's own list,
    `about_item` that the placement is about an item.
    """
    names = {column.name for column in columns}
    weights = dict(_BASE_WEIGHTS)
    if not reorders or "next.chance" not in names:  # By the rules from before it, as before.
        weights |= {f"item.{carriers[role]}": weight for role, weight in _ROLE_WEIGHTS.items() if role in carriers}
    for spec in lists:
        if spec.is_taste:
            weights[f"cross.{spec.name}"] = _SHARE_WEIGHTS[spec.scope]
        elif spec.is_history and spec.scope is Scope.SESSION:
            if reorders:
                weights[f"cross.{spec.name}"] = _SEEN_WEIGHT_REORDERING
            elif "next.chance" not in names:  # Which knows of returns.
                weights[f"cross.{spec.name}"] = _SEEN_WEIGHT_FINDING
    if not reorders or rules < ORDERED_BY_OTHERS:
        weights["next.chance"] = _CHANCE_WEIGHT_REORDERING if reorders else _CHANCE_WEIGHT_FINDING
        weights |= {name: _BESIDE_WEIGHTS.get(name, _BESIDE_WEIGHT) for name in names if name.startswith("beside.")}
    if about_item:
        tastes = {f"cross.{spec.name}" for spec in lists if spec.is_taste}
        weights = _about_an_item(weights, tastes, rules)
    return {name: weight for name, weight in weights.items() if name in names}


def _about_an_item(weights: Mapping[str, float], tastes: Collection[str], rules: int) -> dict[str, float]:
    """What the weights are in a placement that is about an item; `tastes` are the columns of the person's."""
    share = _BY_WHAT_IS_COMMON_TASTES if rules >= WHAT_IS_COMMON else _ABOUT_AN_ITEM_TASTES
    kept = {name: share * weight if name in tastes else weight for name, weight in weights.items()}
    if rules < WHAT_IS_COMMON:
        return kept | _ABOUT_AN_ITEM_WEIGHTS
    others = {name: weight for name, weight in kept.items() if not name.startswith("beside.")}
    weights = others | _BY_WHAT_IS_COMMON_WEIGHTS
    return weights | _BY_WHAT_IS_PROVEN_WEIGHTS if rules >= WHAT_IS_PROVEN else weights


class LinearRanker:
    """Weights by name over the columns of one assembler.

    >>> ranker = LinearRanker([Column("item.click_lift"), Column("position")], {"position": 2.0})
    >>> ranker.score(np.array([[0.0, 1.0], [0.0, 0.5]], np.float32), ranker.columns).tolist()
    [2.0, 1.0]
    """

    name = "linear"
    missing: tuple[str, ...] = ()

    def __init__(
        self, columns: Sequence[Column], weights: Mapping[str, float], *, rules: int = EVIDENCE
    ) -> None:
        """`ConfigRejected` for a weight without a column, or one that is not a number. By the first rules what is
        absent adds nothing."""
        _check(columns, weights)
        self.columns = tuple(columns)
        self.weights: Reals = np.array([weights.get(column.name, 0.0) for column in columns], np.float64)
        self._weighted: Ints = np.flatnonzero(self.weights)
        self._unbounded: Bytes = np.array([column.unbounded for column in columns], np.uint8)
        self._rules = rules
        self._averaged: tuple[Matrix | None, Reals] = (None, self.weights)
        """The rows that were scored last and what their columns add where they are absent: what explains a list stands
        on the same."""
        basis = repr(sorted((name, float(weight)) for name, weight in weights.items() if weight))
        basis += f" by rules {rules}" if rules > FIRST_RULES else ""
        self.version = hashlib.blake2b(basis.encode(), digest_size=4).hexdigest()

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        scores = np.empty(len(matrix))
        self._check_columns(columns)
        absent = self._absent(matrix)
        self._averaged = (matrix, absent)
        _score(matrix, self._weighted, self.weights, self._unbounded, absent, scores)
        return scores

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        self._check_columns(columns)
        averaged, absent = self._averaged
        if averaged is not matrix:
            absent = self._absent(matrix)
        chosen, places = np.arange(len(matrix))[rows], np.arange(len(self.weights))[wanted]
        added = np.zeros((len(chosen), len(places)))
        _contribute(matrix, chosen, places, self.weights, self._unbounded, absent, added)
        return added

    def _absent(self, matrix: Matrix) -> Reals:
        """What each column adds where it is absent."""
        means = np.zeros(len(self.weights))
        if self._rules > FIRST_RULES:
            _average(matrix, self._weighted, self.weights, self._unbounded, means)
        return means

    def _check_columns(self, columns: Sequence[Column]) -> None:
        if columns is not self.columns and tuple(columns) != self.columns:
            raise Broken("the ranker was made for other columns")


def _check(columns: Sequence[Column], weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        check_named(columns, name, by="the ranker")
        if not math.isfinite(weight):
            raise ConfigRejected(f'the weight of "{name}" is not a finite number', setting=name)


@kernel
def _term(value: float, weight: float, unbounded: int, absent: float) -> float:
    if value != value:
        return absent
    if unbounded:
        return weight * math.log(1.0 + value) if value >= 0.0 else -weight * math.log(1.0 - value)
    return weight * value


@kernel
def _average(matrix: Matrix, weighted: Ints, weights: Reals, unbounded: Bytes, means: Reals) -> None:
    """What each column adds on average where it is there."""
    for column in weighted:
        count = 0
        for row in range(len(matrix)):
            if matrix[row, column] == matrix[row, column]:
                count += 1
        if not 0 < count < len(matrix):
            continue
        total = 0.0
        for row in range(len(matrix)):
            total += _term(float(matrix[row, column]), weights[column], unbounded[column], 0.0)
        means[column] = total / count


@kernel
def _score(
    matrix: Matrix, weighted: Ints, weights: Reals, unbounded: Bytes, absent: Reals, scores: Reals
) -> None:
    for row in range(len(matrix)):
        total = 0.0
        for column in weighted:
            total += _term(float(matrix[row, column]), weights[column], unbounded[column], absent[column])
        scores[row] = total


@kernel
def _contribute(
    matrix: Matrix, rows: Ints, columns: Ints, weights: Reals, unbounded: Bytes, absent: Reals, added: Reals
) -> None:
    for place in range(len(columns)):
        column = columns[place]
        if weights[column] == 0.0:
            continue
        for i in range(len(rows)):
            value = float(matrix[rows[i], column])
            added[i, place] = _term(value, weights[column], unbounded[column], absent[column])
