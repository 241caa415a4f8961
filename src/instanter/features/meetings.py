"""How the lists of a person meet the candidates of a decision.

    cross.<top-k>    share (0 to 1) of the candidate's value in the person's top-k; the best of several values
    cross.<last-k>   1 for the newest of the person's last-k, 1/2 for the one before ..., 0 if it is not there
    score.<top-k>    the score itself, 0 if the value is not there
    age.<last-k>     seconds since it was put there, NaN if it is not there

Most lists meet few candidates, or have no entries. So a list is not looked through for each candidate: what candidates
have is put into a hash table, once for all lists that are kept by the same, and each entry finds those that have it.
Where nobody meets, the row that all candidates begin with says so already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..state.compiled import Ints, Reals, kernel
from ..state.layout import BySource, FeatureSpec
from .view import Person

Matrix = npt.NDArray[np.float32]

MET_AS = {"scores": "score", "times": "age"}
"""What is told of a meeting beside its share or place."""
SHARE_STRENGTH = 1.0
"""A share is of the sum of all scores and this: one view does not make a taste."""

# Columns of a plan, one row for each list.
_LIST, _BY_SCORES, _FIELD, _START, _CROSS = 0, 1, 2, 3, 4
"""Its place among all lists; whether its entries weigh by scores, else by times; the text field it is kept by, or
`_ITEM`; where it begins in the arrays of a person; its place among the lists that meet."""
_ITEM = -1


class Meetings:
    """The lists that candidates can meet, in the order of their columns."""

    def __init__(self, lists: Sequence[FeatureSpec], starts: Sequence[int]) -> None:
        """`lists` are all that a reader reads, and `starts` where they begin in the arrays of a `Person`."""
        met = [(place, spec) for place, spec in enumerate(lists) if spec.by in (BySource.ITEM, BySource.ITEM_ATTRIBUTE)]
        self.lists: tuple[FeatureSpec, ...] = tuple(spec for _, spec in met)
        fields = [spec.by_column if spec.by is BySource.ITEM_ATTRIBUTE else _ITEM for spec in self.lists]
        plan = [
            (place, spec.aggregation.listed == "scores", fields[cross], starts[place], cross)
            for cross, (place, spec) in enumerate(met)
        ]
        plan.sort(key=lambda row: (row[_FIELD], row[_CROSS]))
        self._plan = np.array(plan or np.zeros((0, 5)), np.int64)
        unmet = [0.0 if spec.aggregation.listed == "scores" else np.nan for spec in self.lists]
        self.nobody: Matrix = np.array([0.0] * len(met) + unmet, np.float32)
        """The columns of a candidate that no list meets: the share or place of all lists, then the score or age."""

    def fill(
        self, person: Person, refs: Ints, attributes: Ints, now_ms: int, first: int, matrix: Matrix
    ) -> None:
        """Put the meetings of these candidates, [candidates] and [candidates, fields, values], into the columns from
        `first` on, which say `nobody`."""
        nodes = attributes.shape[0] * attributes.shape[2]
        _meet_all(
            self._plan, len(self.lists), person.refs, person.weights, person.counts, refs, attributes, now_ms,
            np.empty(_places(nodes), np.int64), np.empty(_places(nodes), np.int64), np.empty(nodes, np.int64),
            np.zeros(len(refs), np.int64), first, matrix,
        )  # fmt: skip


@kernel
def _meet_all(
    plan: Ints, lists: int, person_refs: Ints, person_weights: Reals, person_counts: Ints, refs: Ints,
    attributes: Ints, now_ms: int, keys: Ints, heads: Ints, further: Ints, met: Ints, first: int, matrix: Matrix,
) -> None:  # fmt: skip
    """`keys`, `heads` and `further` are room for a table of candidates; `met` says of each candidate which list it met
    last, and is zero at first."""
    indexed, places = _ITEM - 1, 0
    for row in range(len(plan)):
        count = person_counts[plan[row, _LIST]]
        if count == 0:
            continue
        if plan[row, _FIELD] != indexed:
            indexed = plan[row, _FIELD]
            places = _index(refs, attributes, indexed, keys, heads, further)
        start, column = plan[row, _START], first + plan[row, _CROSS]
        total = 0.0
        for j in range(start, start + count):
            total += person_weights[j]
        # The list runs from the strongest or newest on, so the first entry that a candidate has is the best one.
        for j in range(count):
            place, weight = _place_of(keys, places, person_refs[start + j]), person_weights[start + j]
            node = heads[place] - 1 if keys[place] != 0 else -1
            while node >= 0:
                c = node // attributes.shape[2]
                node = further[node] - 1
                if met[c] == row + 1:
                    continue
                met[c] = row + 1
                if plan[row, _BY_SCORES]:
                    matrix[c, column] = weight / (total + SHARE_STRENGTH)
                    matrix[c, column + lists] = weight
                else:
                    matrix[c, column] = 1.0 / (1.0 + j)
                    matrix[c, column + lists] = (now_ms - weight) / 1e3


@kernel
def _index(refs: Ints, attributes: Ints, field: int, keys: Ints, heads: Ints, further: Ints) -> int:
    """Make the table of what candidates have: from the place of a value the nodes are found of those that have it. A
    node stands for a value of a candidate. Values stand before the places that have none. How many places it takes."""
    most = attributes.shape[2] if field >= 0 else 1
    values = len(refs)
    for c in range(len(refs) if field >= 0 else 0):
        for i in range(1, most):
            values += attributes[c, field, i] != 0
    places = _places(values)
    for place in range(places):
        keys[place] = 0
    for c in range(len(refs)):
        for i in range(most):
            value = attributes[c, field, i] if field >= 0 else refs[c]
            if value == 0:
                break
            place, node = _place_of(keys, places, value), c * attributes.shape[2] + i
            further[node] = heads[place] if keys[place] != 0 else 0
            keys[place] = value
            heads[place] = node + 1
    return places


@kernel
def _places(values: int) -> int:
    """How many places a table of so many values has: a power of two, half of them empty at least."""
    places = 2
    while places < 2 * values:
        places *= 2
    return places


@kernel
def _place_of(keys: Ints, places: int, value: int) -> int:
    """Where a value stands among the first places, or the empty one where it would."""
    place = value & (places - 1)
    while keys[place] != 0 and keys[place] != value:
        place = (place + 1) & (places - 1)
    return place
