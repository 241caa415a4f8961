"""What other people looked at together with what this person looked at last."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ..foundation.limits import SHOWN_RECENTLY_MAX
from ..state.compiled import Ints, Reals, kernel
from ..state.memory import State
from ..state.schema import Schema
from ..state.table import Index, find
from .carriers import Carriers

_RECENT_MAX = SHOWN_RECENTLY_MAX + 1
"""The item of the page, and the items looked at before."""


class Neighbours(msgspec.Struct, frozen=True):
    """Items met in sessions with the recent ones, the closest first. The recent ones themselves are not among them:
    that they were met together is this person's own doing."""

    recent: Ints
    """What they are neighbours of: what the person looked at, the newest first."""
    refs: Ints
    rows: Ints
    weights: Reals
    """Sum over the recent items of the neighbour's share of their neighbourhood, halved, thirded ... as they age."""
    table_refs: Ints
    """The same as a hash table, to look references up in a compiled loop."""
    table_weights: Reals


class Neighbourhood:
    """Reads neighbours from the feature of a schema that has the role co_views."""

    def __init__(self, schema: Schema, carriers: Carriers) -> None:
        name = carriers.get("co_views")
        placed = schema.layout.named(name) if name is not None else None
        self._at = placed.offset if placed else -1
        self._k = placed.spec.k if placed else 0
        self._words = schema.layout.item_words
        nothing, weightless = np.zeros(0, np.int64), np.zeros(0, np.float64)
        self._nobody = Neighbours(
            nothing, nothing, nothing, weightless, np.zeros(1, np.int64), np.zeros(1, np.float64)
        )  # fmt: skip

    def of(self, state: State, recent: Sequence[int]) -> Neighbours:
        """Neighbours of these items (references, the newest first), as of the epoch."""
        if not recent:
            return self._nobody
        newest = np.array(recent[:_RECENT_MAX], np.int64)
        if self._at < 0:
            return msgspec.structs.replace(self._nobody, recent=newest)
        found_max = len(newest) * self._k
        places = 1 << (2 * found_max).bit_length()  # At most half full.
        keys, weights = np.zeros(places, np.int64), np.zeros(places, np.float64)
        refs, rows, sums = np.empty(found_max, np.int64), np.empty(found_max, np.int64), np.empty(found_max)
        count = _gather(
            state.published, self._words, self._at, self._k, state.tables.item_index, newest, keys, weights, refs,
            rows, sums,
        )  # fmt: skip
        if state.references.key:  # Equal ones in the order in which their items came.
            order = np.lexsort((rows[:count], -sums[:count]))
        else:  # By reference, as logs without a key have always had it.
            order = np.argsort(-sums[:count], kind="stable")
        return Neighbours(newest, refs[order], rows[order], sums[order], keys, weights)


@kernel
def _gather(
    published: Ints, item_words: int, at: int, k: int, index: Index, recent: Ints, keys: Ints, weights: Reals,
    refs: Ints, rows: Ints, sums: Reals,
) -> int:  # fmt: skip
    """Fill the hash table and the list of what is in it; how many."""
    count = 0
    for i in range(len(recent)):
        row = find(index, recent[i])
        if row < 0:
            continue
        first = row * item_words + at + 2
        total = 0
        for j in range(k):
            if published[first + 2 * j] != 0 and published[first + 2 * j + 1] > 0:
                total += published[first + 2 * j + 1]
        for j in range(k):
            ref, score = published[first + 2 * j], published[first + 2 * j + 1]
            if ref == 0 or score <= 0 or _is_among(recent, ref):
                continue
            place = place_of(keys, ref)
            if keys[place] == 0:
                keys[place] = ref
                refs[count] = ref
                rows[count] = find(index, ref)
                count += 1
            weights[place] += float(score) / float(total) / (1.0 + i)
    for j in range(count):
        sums[j] = weights[place_of(keys, refs[j])]
    return count


@kernel
def _is_among(recent: Ints, ref: int) -> bool:
    found = False
    for i in range(len(recent)):
        found = found or recent[i] == ref
    return found


@kernel
def place_of(keys: Ints, ref: int) -> int:
    """Where `ref` stands in the hash table, or the empty place where it would."""
    mask = len(keys) - 1
    place = ref & mask
    while keys[place] != 0 and keys[place] != ref:
        if mask == 0:
            break
        place = (place + 1) & mask
    return place
