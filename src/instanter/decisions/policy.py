"""Exploration: one slot of a list shows, now and then, something the ranker did not choose.

It is the last place of a list, or the only one of a hero. After arrangement, with probability epsilon, it goes to a
uniform draw from the items allowed there, the incumbent among them. With A the allowed set:

    incumbent            (1 - epsilon) + epsilon / |A|
    any other of A       epsilon / |A|
    every other place    1

Over several placements of one decision an item is allowed in one of them at most, so the draws are independent and
the propensities exact. The generator is keyed by the decision and the placement: a replay draws the same.

New items: a placement may give a share of its places to items that few have been shown. Of a list of n places that has
none of them by itself, with probability p = min(1, share x n) the same last place goes to a uniform draw from the set F
of new items, before anything else is explored. F is disjoint from A, so with it

    any of F             p / |F|
    the others           (1 - p) x what is said above
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from ..foundation.rng import KeyedRng


class Draw(msgspec.Struct, frozen=True):
    """What became of the explored slot of a list."""

    ref: int
    propensity: float
    explored: bool
    """Whether it is another item than the incumbent."""
    is_new: bool = False
    """Whether it was drawn among the new items."""


def allowed(
    pools: Sequence[Sequence[int]], shown: Collection[int], *, by_reference: bool = False
) -> list[list[int]]:  # fmt: skip
    """What each placement may explore, in the order of its pool: eligible, shown nowhere, and in no other's set.

    Those that several could explore go to one of them in turn; by former rules of the fold, by their references.

    >>> allowed([[1, 2, 3], [2, 3, 4]], shown={1})
    [[2], [3, 4]]
    """
    if len(pools) == 1:
        return [[ref for ref in pools[0] if ref not in shown]]
    holders: dict[int, list[int]] = {}
    for number, pool in enumerate(pools):
        for ref in pool:
            if ref not in shown:
                holders.setdefault(ref, []).append(number)
    sets: list[list[int]] = [[] for _ in pools]
    turn = 0
    for ref, numbers in holders.items():
        sets[numbers[(ref if by_reference else turn) % len(numbers)]].append(ref)
        turn += len(numbers) > 1
    return sets


def draw(incumbent: int, others: Sequence[int], *, epsilon: float, rng: KeyedRng) -> Draw:
    """Who stands in the slot. `others` are allowed there besides the incumbent."""
    size = len(others) + 1
    stays = (1.0 - epsilon) + epsilon / size
    if epsilon <= 0.0 or not others or rng.uniform() >= epsilon:
        return Draw(incumbent, stays if others else 1.0, explored=False)
    place = rng.below(size)
    if place == 0:
        return Draw(incumbent, stays, explored=False)
    return Draw(others[place - 1], epsilon / size, explored=True)


def draw_new(otherwise: Draw, fresh: Sequence[int], *, chance: float, rng: KeyedRng) -> Draw:
    """Who stands in the slot, where with this chance it goes to one of the new items."""
    if chance <= 0.0 or not fresh:
        return otherwise
    if rng.uniform() >= chance:
        return msgspec.structs.replace(otherwise, propensity=(1.0 - chance) * otherwise.propensity)
    return Draw(fresh[rng.below(len(fresh))], chance / len(fresh), explored=True, is_new=True)
