"""From scores to a list: the best first, and not all of one kind.

Maximal marginal relevance (Carbonell and Goldstein, 1998): each place goes to the candidate with the best of
(1 - diversity) x score - diversity x likeness to what stands above it. Scores are stretched to 0..1 first; likeness
is the share of text fields with a common value, and nearness in price, 0..1.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ..features.assemble import Candidates
from ..foundation.limits import DIVERSE_PLACES_MAX
from ..state.compiled import Bytes, Ints, Reals, allocating_kernel, kernel

_APART: Final = 1.0
"""By so much the lowest of those that match more words stands above the highest of the others."""
_CONSIDERED_PER_PLACE = 4
_CONSIDERED_MIN = 48
"""Candidates that are considered for difference: what scores lower would not be wanted however different it is."""


class Arrangement(NamedTuple):
    """Candidates in the order of the list, and what each of them won its place with."""

    order: Ints
    gains: Reals


def arrange(candidates: Candidates, scores: Reals, *, limit: int, diversity: float) -> Arrangement:
    """The first `limit` places. Ties go to the candidate that came first."""
    ranking = np.argsort(-scores, kind="stable")
    if diversity <= 0.0 or limit == 1 or len(ranking) <= 1:
        order = ranking[:limit]
        return Arrangement(order, scores[order])
    places = min(limit, DIVERSE_PLACES_MAX)
    considered = ranking[: max(places * _CONSIDERED_PER_PLACE, _CONSIDERED_MIN)]
    places = min(places, len(considered))
    order, gains = np.empty(places, np.int64), np.empty(places, np.float64)
    _diversify(
        candidates.attributes[considered], candidates.numbers[considered, 0], _stretched(scores[considered]),
        diversity, order, gains,
    )  # fmt: skip
    chosen = considered[order]
    if limit > places:
        rest = ranking[~np.isin(ranking, chosen)][: limit - places]
        chosen, gains = np.concatenate([chosen, rest]), np.concatenate([gains, scores[rest]])
    return Arrangement(chosen, gains)


def _stretched(scores: Reals) -> Reals:
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.ones(len(scores))


@allocating_kernel
def _diversify(
    attributes: Ints, prices: Reals, scores: Reals, diversity: float, order: Ints, gains: Reals
) -> None:
    alike = np.zeros(len(scores))
    taken: Bytes = np.zeros(len(scores), np.uint8)
    for place in range(len(order)):
        best, best_gain = -1, 0.0
        for i in range(len(scores)):
            if not taken[i]:
                gain = (1.0 - diversity) * scores[i] - diversity * alike[i]
                if best < 0 or gain > best_gain:
                    best, best_gain = i, gain
        order[place], gains[place] = best, best_gain
        taken[best] = 1
        for i in range(len(scores)):
            if not taken[i]:
                alike[i] = max(alike[i], _likeness(attributes[i], attributes[best], prices[i], prices[best]))


@kernel
def _likeness(left: Ints, right: Ints, left_price: float, right_price: float) -> float:
    """Of what both have; 0 if they have nothing to compare."""
    compared, common = 0, 0.0
    for field in range(left.shape[0]):
        if left[field, 0] == 0 or right[field, 0] == 0:
            continue
        compared += 1
        if _share_a_value(left[field], right[field]):
            common += 1.0
    if left_price > 0.0 and right_price > 0.0:
        compared += 1
        common += math.exp(-abs(math.log(left_price / right_price)))
    return common / compared if compared > 0 else 0.0


@kernel
def _share_a_value(left: Ints, right: Ints) -> bool:
    """Whether a value stands in both. Values stand before the places that have none."""
    for one in left:
        if one == 0:
            break
        for other in right:
            if other == 0:
                break
            if one == other:
                return True
    return False


def in_tiers(scores: Reals, words: Ints) -> Reals:
    """The scores lowered so far that whatever matches more words of a query stands above whatever matches fewer; among
    those that match as many nothing changes.

    >>> in_tiers(np.array([0.5, 2.0, 1.0]), np.array([2, 1, 2])).tolist()
    [0.5, -0.5, 1.0]
    """
    lowered, least = scores.copy(), np.inf
    for tier in np.unique(words)[::-1]:
        own = words == tier
        lowered[own] -= max(float(lowered[own].max()) - least + _APART, 0.0)
        least = float(lowered[own].min())
    return lowered
