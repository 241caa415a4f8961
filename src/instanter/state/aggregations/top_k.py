"""The k strongest: [time it stands for, flagged, k pairs [reference, score]]. Without a half-life the scores are
integers in millionths and the time stays 0. The pairs stand in the order in which they came, and of equal ones the
first goes first (`as_came`); by former rules of the fold, in the order of their references, and the largest goes first.
Exact until it is full, from then on flagged, with the error bound of space-saving (Metwally, Agrawal and El Abbadi,
2005).

>>> ints = np.zeros(6, np.int64)
>>> reals = ints.view(np.float64)
>>> for ref in (7, 8, 7):
...     add(ints, reals, 0, 2, 0, 1, 1_000, ref, 1.0)
>>> ints.tolist()
[0, 0, 7, 2000000, 8, 1000000]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..compiled import Ints, Reals, kernel
from .base import Aggregation, Rules
from .fixed_point import bounded_sum, decay, to_micro

if TYPE_CHECKING:
    from ..layout import FeatureSpec


@kernel
def add(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, at_ms: int, ref: int, value: float
) -> None:
    weight = value
    if half_life_ms > 0:
        stands_ms = ints[at]
        if at_ms > stands_ms:
            _age(ints, reals, at, k, decay(at_ms - stands_ms, half_life_ms))
            ints[at] = at_ms
        else:
            weight = value * decay(stands_ms - at_ms, half_life_ms)
    count(ints, reals, at, k, half_life_ms, as_came, ref, to_micro(value), weight)


@kernel
def _age(ints: Ints, reals: Reals, at: int, k: int, factor: float) -> None:
    for i in range(k):
        if ints[at + 2 + 2 * i] == 0:
            break
        reals[at + 3 + 2 * i] *= factor


@kernel
def count(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, ref: int, micro: int, weight: float
) -> None:
    """Add `weight` to the score of a reference, or `micro` without a half-life."""
    used = 0
    for i in range(k):
        known = ints[at + 2 + 2 * i]
        if known == 0:
            break
        if known == ref:
            _raise_score(ints, reals, at + 3 + 2 * i, half_life_ms, micro, weight)
            return
        used += 1
    if used < k:
        _insert(ints, reals, at, used, half_life_ms, as_came, ref, micro, weight)
    else:
        _replace_least(ints, reals, at, k, half_life_ms, as_came, ref, micro, weight)


@kernel
def _raise_score(ints: Ints, reals: Reals, word: int, half_life_ms: int, micro: int, weight: float) -> None:
    if half_life_ms > 0:
        reals[word] += weight
    else:
        ints[word] = bounded_sum(ints[word], micro)


@kernel
def _insert(
    ints: Ints, reals: Reals, at: int, used: int, half_life_ms: int, as_came: int, ref: int, micro: int, weight: float
) -> None:
    """Insert among `used` entries."""
    place = used
    while place > 0 and not as_came and ints[at + 2 * place] > ref:
        ints[at + 2 + 2 * place] = ints[at + 2 * place]
        ints[at + 3 + 2 * place] = ints[at + 1 + 2 * place]
        place -= 1
    ints[at + 2 + 2 * place] = ref
    if half_life_ms > 0:
        reals[at + 3 + 2 * place] = weight
    else:
        ints[at + 3 + 2 * place] = micro


@kernel
def _replace_least(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, ref: int, micro: int, weight: float
) -> None:
    """Space-saving: the newcomer takes the place and the score of the least."""
    ints[at + 1] = 1
    least = _least(ints, reals, at, k, half_life_ms, as_came)
    if half_life_ms > 0:
        _replace(ints, reals, at, k, half_life_ms, as_came, least, ref, 0, reals[at + 3 + 2 * least] + weight)
    else:
        raised = bounded_sum(ints[at + 3 + 2 * least], micro)
        _replace(ints, reals, at, k, half_life_ms, as_came, least, ref, raised, 0.0)


@kernel
def _least(ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int) -> int:
    """Which of k entries has the least score; of equal ones the first to come, formerly the largest reference."""
    least = 0
    for i in range(1, k):
        word, known = at + 3 + 2 * i, at + 3 + 2 * least
        if half_life_ms > 0:
            less, equal = reals[word] < reals[known], reals[word] == reals[known]
        else:
            less, equal = ints[word] < ints[known], ints[word] == ints[known]
        if less or (equal and not as_came):
            least = i
    return least


@kernel
def _replace(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, place: int, ref: int, micro: int,
    weight: float,
) -> None:  # fmt: skip
    for i in range(place, k - 1):
        ints[at + 2 + 2 * i] = ints[at + 4 + 2 * i]
        ints[at + 3 + 2 * i] = ints[at + 5 + 2 * i]
    _insert(ints, reals, at, k - 1, half_life_ms, as_came, ref, micro, weight)


@kernel
def merge(ints: Ints, reals: Reals, to: int, of: int, k: int, half_life_ms: int, as_came: int) -> None:
    """Scores add up and the k largest stay.

    Where a flagged side does not know a reference it may have had up to its least score: that much is added, so
    that no score is ever below the truth (Agarwal and others, Mergeable summaries, 2013).
    """
    if ints[of + 2] == 0:
        return
    factor = 1.0
    if half_life_ms > 0:
        if ints[of] > ints[to]:
            _age(ints, reals, to, k, decay(ints[of] - ints[to], half_life_ms))
            ints[to] = ints[of]
        else:
            factor = decay(ints[to] - ints[of], half_life_ms)
    our_micro, our_weight = _unknown_score(ints, reals, to, k, half_life_ms)
    their_micro, their_weight = _unknown_score(ints, reals, of, k, half_life_ms)
    for i in range(k):
        ref = ints[to + 2 + 2 * i]
        if ref == 0:
            break
        place = _place_of(ints, of, k, ref)
        micro, weight = their_micro, their_weight
        if place >= 0:
            micro, weight = _score(ints, reals, of, place, half_life_ms)
        _raise_score(ints, reals, to + 3 + 2 * i, half_life_ms, micro, weight * factor)
    ints[to + 1] = max(ints[to + 1], ints[of + 1])
    for i in range(k):
        ref = ints[of + 2 + 2 * i]
        if ref == 0:
            break
        if _place_of(ints, to, k, ref) < 0:
            micro, weight = _score(ints, reals, of, i, half_life_ms)
            _admit(
                ints, reals, to, k, half_life_ms, as_came, ref, bounded_sum(our_micro, micro),
                our_weight + weight * factor,
            )  # fmt: skip


@kernel
def _admit(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, ref: int, micro: int, weight: float
) -> None:
    """Take an entry that is not there, if it is among the k largest."""
    used = 0
    while used < k and ints[at + 2 + 2 * used] != 0:
        used += 1
    if used < k:
        _insert(ints, reals, at, used, half_life_ms, as_came, ref, micro, weight)
        return
    ints[at + 1] = 1
    least = _least(ints, reals, at, k, half_life_ms, as_came)
    least_micro, least_weight = _score(ints, reals, at, least, half_life_ms)
    equal = micro == least_micro and weight == least_weight
    if micro > least_micro or weight > least_weight or (equal and not as_came and ref < ints[at + 2 + 2 * least]):
        _replace(ints, reals, at, k, half_life_ms, as_came, least, ref, micro, weight)


@kernel
def _score(ints: Ints, reals: Reals, at: int, i: int, half_life_ms: int) -> tuple[int, float]:
    """(integer score, 0) without a half-life, (0, decaying score) with one."""
    if half_life_ms > 0:
        return 0, reals[at + 3 + 2 * i]
    return ints[at + 3 + 2 * i], 0.0


@kernel
def _unknown_score(ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int) -> tuple[int, float]:
    """The most that a reference which is not there can have had."""
    if ints[at + 1] == 0:
        return 0, 0.0
    return _score(ints, reals, at, _least(ints, reals, at, k, half_life_ms, 0), half_life_ms)


@kernel
def _place_of(ints: Ints, at: int, k: int, ref: int) -> int:
    """Which entry the reference is, or -1."""
    for i in range(k):
        if ints[at + 2 + 2 * i] == ref:
            return i
    return -1


@kernel
def read_list(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, now_ms: int, refs: Ints, weights: Reals, start: int
) -> int:  # fmt: skip
    """Strongest first, weighed by their scores; those that have come down to nothing are left out."""
    count = 0
    for i in range(k):
        ref = ints[at + 2 + 2 * i]
        if ref == 0:
            break
        score = read_score(ints, reals, at, i, half_life_ms, now_ms)
        if score > 0.0:
            place = start + count
            while place > start and weights[place - 1] < score:
                refs[place], weights[place] = refs[place - 1], weights[place - 1]
                place -= 1
            refs[place], weights[place] = ref, score
            count += 1
    return count


@kernel
def read_score(ints: Ints, reals: Reals, at: int, i: int, half_life_ms: int, now_ms: int) -> float:
    """Score of the i-th entry at `now_ms`."""
    score: float = ints[at + 3 + 2 * i] / 1e6
    if half_life_ms > 0:
        score = reals[at + 3 + 2 * i] * decay(now_ms - ints[at], half_life_ms)
    return score


def words_of(spec: FeatureSpec) -> int:
    return 2 + 2 * spec.k


def sort_entries(words: Ints, spec: FeatureSpec) -> None:
    """The entries in the order of their references."""
    entries = words[:, 2:]
    pairs = entries.reshape(len(words), spec.k, 2)
    order = np.argsort(pairs[:, :, 0], axis=1, kind="stable")
    entries[:] = np.take_along_axis(pairs, order[:, :, None], axis=1).reshape(entries.shape)


TOP_K = Aggregation(
    name="top_k", number=11, words=words_of,
    rules=Rules(value="may", by="must", k="must", half_life="may", scopes=("session", "profile")),
    add=add, merge=merge, read_list=read_list, listed="scores", sort=sort_entries,
    inexact=lambda spec: [3 + 2 * i for i in range(spec.k)] if spec.half_life_ms else [],
)  # fmt: skip
