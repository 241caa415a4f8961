"""Ensembles of decision trees: read from LightGBM's text form, walked without LightGBM, equal to it in every bit.

LightGBM adds up leaves in double precision, tree by tree, and compares inputs in double precision as well. Inputs are
float32 here, so each threshold can be rounded down to float32 and each comparison comes out the same. What a split
does with missing inputs is settled before the walk: every (input, kind of missing, default side) is a slot of its own,
in which a missing input is minus infinity if it goes left and not a number if it goes right. The walk is then one
comparison a split, eight rows side by side, so that the processor does not wait for one row's split to be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from ..features.assemble import Column, Matrix
from ..foundation.errors import Broken
from ..state.compiled import Ints, Reals, kernel
from .artefact import Artefact, encode, identify
from .base import EVERY_COLUMN, EVERY_ROW, Chosen
from .bodies import DEFAULT_LEFT, MISSING_NAN, MISSING_SHIFT, MISSING_ZERO, Places, Trees, check_trees
from .calibration import log_odds
from .inputs import input_of, wire

Floats = npt.NDArray[np.float32]
Unsigned = npt.NDArray[np.uint32]

_ZERO: Final = float(np.float32(1e-35))
"""LightGBM takes inputs up to here for zero."""
_BLOCK_ROWS: Final = 512
"""Rows walked at once: their slots stay in the processor's cache."""
_KINDS_OF_SLOT: Final = 6
_INFINITY: Final = np.inf


def from_lightgbm(text: str, inputs: int) -> Trees:
    """The trees of LightGBM's own text (`Booster.model_to_string`). `Broken` for a model that is not one sum of trees
    with numeric splits: several classes, averaged or linear leaves, categories."""
    if "\naverage_output" in text or "\nnum_tree_per_iteration=1\n" not in text:
        raise Broken("the trees are averaged, or there are several sums of them")
    blocks = text.split("\nend of trees", 1)[0].split("\nTree=")[1:]
    trees = [_block(block) for block in blocks]
    nodes, leaves = [len(tree["threshold"]) for tree in trees], [len(tree["leaf_value"]) for tree in trees]

    def joined(name: str) -> Reals:
        return np.array([value for tree in trees for value in tree[name]], np.float64)

    def places(name: str) -> Places:
        return joined(name).astype(np.int32)

    def ends(sizes: list[int]) -> Places:
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)

    made = Trees(
        ends(nodes), ends(leaves), places("split_feature"), joined("threshold"), places("left_child"),
        places("right_child"), joined("decision_type").astype(np.uint8),
        np.array([mean for tree in trees for mean in _means(tree)], np.float64), joined("leaf_value"),
    )  # fmt: skip
    try:
        check_trees(made, inputs)
    except ValueError as error:
        raise Broken(f"the trees cannot be served: {error}") from None
    return made


def _block(block: str) -> dict[str, list[float]]:
    """The arrays of one tree."""
    lines = dict(line.split("=", 1) for line in block.splitlines()[1:] if "=" in line)
    if lines.get("is_linear", "0") != "0" or lines.get("num_cat", "0") != "0":
        raise Broken("a tree has linear leaves or splits by category")
    names = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value", "leaf_count")
    return {name: [float(value) for value in lines.get(name, "").split()] for name in names}


def _means(tree: Mapping[str, Sequence[float]]) -> list[float]:
    """Of each split, the mean leaf of the training rows that came by. Children stand behind their parents."""
    splits = len(tree["threshold"])
    sums, counts = [0.0] * splits, [0.0] * splits
    for split in reversed(range(splits)):
        for child in (int(tree["left_child"][split]), int(tree["right_child"][split])):
            count = counts[child] if child >= 0 else tree["leaf_count"][~child]
            counts[split] += count
            sums[split] += sums[child] if child >= 0 else tree["leaf_value"][~child] * count
    return [total / count if count else 0.0 for total, count in zip(sums, counts, strict=True)]


class Walk(msgspec.Struct, frozen=True, eq=False):
    """Trees as they are walked: splits and leaves in one array, the right child behind the left one."""

    slots: Ints
    """[slots, 3]: input, kind of missing, 1 if what is missing goes left."""
    roots: Places
    left: Places
    """Of a leaf: itself."""
    slot: Places
    """Of a leaf: the one behind the others, which is 0 in every row."""
    threshold: Floats
    """Of a leaf: infinity, so that the walk stays there."""
    value: Reals
    """Of a leaf what it adds, of a split the mean of the leaves below."""


def walk_of(trees: Trees) -> Walk:
    """Lay trees out for the walk; takes milliseconds."""
    nodes = np.diff(trees.first_node)
    tree_of = np.repeat(np.arange(len(nodes)), nodes)
    roots = (trees.first_node[:-1] + trees.first_leaf[:-1]).astype(np.int32)
    own = np.arange(len(trees.feature)) - trees.first_node[:-1][tree_of]
    left_at = roots[tree_of] + 1 + 2 * own
    split_at, leaf_at = np.empty(len(trees.feature), np.int64), np.empty(len(trees.leaf), np.int64)
    split_at[trees.first_node[:-1][nodes > 0]] = roots[nodes > 0]
    leaf_at[trees.first_leaf[:-1][nodes == 0]] = roots[nodes == 0]
    for child, at in ((trees.left, left_at), (trees.right, left_at + 1)):
        inner = child >= 0
        split_at[child[inner] + trees.first_node[:-1][tree_of[inner]]] = at[inner]
        leaf_at[~child[~inner] + trees.first_leaf[:-1][tree_of[~inner]]] = at[~inner]
    missing = trees.flags.astype(np.int64) >> MISSING_SHIFT
    to_left = (trees.flags & DEFAULT_LEFT) // DEFAULT_LEFT
    codes, slot_of = np.unique(trees.feature * _KINDS_OF_SLOT + missing * 2 + to_left, return_inverse=True)
    total = len(split_at) + len(leaf_at)
    left, slot = np.arange(total, dtype=np.int32), np.full(total, len(codes), np.int32)
    threshold, value = np.full(total, _INFINITY, np.float32), np.empty(total)
    left[split_at], slot[split_at], threshold[split_at] = left_at, slot_of, _rounded_down(trees.threshold)
    value[split_at], value[leaf_at] = trees.mean, trees.leaf
    slots = np.stack([codes // _KINDS_OF_SLOT, codes % _KINDS_OF_SLOT // 2, codes % 2], axis=1).astype(np.int64)
    return Walk(slots, roots, left, slot, threshold, value)


class Paths(msgspec.Struct, frozen=True, eq=False):
    """By how much the splits above each leaf moved the mean, summed by column."""

    first: Places
    """[nodes + 1]: where the part of each node begins in the others; that of a split is empty."""
    column: Places
    moved: Reals
    width: int
    """How many columns there are."""


def paths_of(walk: Walk, columns: Ints, width: int) -> Paths:
    """`columns`: which of the `width` columns each slot of the walk reads, below 0 for none."""
    nodes = len(walk.left)
    is_leaf = walk.left == np.arange(nodes)
    splits = np.flatnonzero(~is_leaf)
    above = np.full(nodes, -1, np.int64)
    above[walk.left[splits]] = above[walk.left[splits] + 1] = splits
    leaf = node = np.flatnonzero(is_leaf)
    keys, steps = [np.empty(0, np.int64)], [np.empty(0)]
    while len(node := node[higher := above[node] >= 0]):
        leaf, split = leaf[higher], above[node]
        column = columns[walk.slot[split]]
        keys.append(np.where(column >= 0, leaf * width + column, -1))
        steps.append(walk.value[node] - walk.value[split])
        node = split
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    moved: Reals = np.bincount(place, np.concatenate(steps), len(key)).astype(np.float64)[key >= 0]
    key = key[key >= 0]
    first = np.searchsorted(key, np.arange(nodes + 1) * width)
    return Paths(first.astype(np.int32), (key % width).astype(np.int32), moved, width)


def narrowed(paths: Paths, wanted: Ints) -> Paths:
    """The part of the paths that is about these columns, each by its place among them; takes less than a
    millisecond."""
    place_of = np.full(paths.width, -1, np.int32)
    place_of[wanted] = np.arange(len(wanted), dtype=np.int32)
    column = place_of[paths.column]
    before = np.concatenate([[0], np.cumsum(column >= 0)])
    kept = column >= 0
    return Paths(before[paths.first].astype(np.int32), column[kept], paths.moved[kept], len(wanted))


def _rounded_down(thresholds: Reals) -> Floats:
    """The largest float32 that is not above: what is at most the one is at most the other.

    >>> _rounded_down(np.array([0.1, 0.5, 1e300, -1e300, np.inf])).astype(float).tolist()
    [0.09999999403953552, 0.5, 3.4028234663852886e+38, -inf, inf]
    """
    largest = float(np.finfo(np.float32).max)
    within = np.clip(thresholds, -largest, largest).astype(np.float32)
    above = (within > -largest) & (within.astype(np.float64) > thresholds)
    within[above] = np.nextafter(within[above], np.float32(-_INFINITY))
    within[thresholds < -largest] = -_INFINITY
    within[np.isposinf(thresholds)] = _INFINITY
    return within


def add_up(walk: Walk, slots: Ints, matrix: Matrix) -> Reals:
    """The sum of leaves of each row. `slots` are the walk's with columns of the matrix for inputs, see `inputs`."""
    scores = np.zeros(len(matrix))
    for first in range(0, len(matrix), _BLOCK_ROWS):
        rows = matrix[first : first + _BLOCK_ROWS]
        _add_up(leaves_of(walk, slots, rows), walk.value, scores[first : first + len(rows)])
    return scores


def leaves_of(walk: Walk, slots: Ints, rows: Matrix) -> Places:
    """Where each row comes to in each tree, [rows, trees]."""
    filled = np.empty((len(rows), len(slots) + 1), np.float32)
    leaves = np.empty((len(rows), len(walk.roots)), np.int32)
    _fill(rows, slots, filled)
    _walk_down(
        filled, _unsigned(walk.roots), _unsigned(walk.left), _unsigned(walk.slot), walk.threshold, _unsigned(leaves)
    )
    return leaves


def _unsigned(places: Places) -> Unsigned:
    """The same places without a sign: compiled loops need not look for those that are counted from the end."""
    return places.view(np.uint32)


class TreeRanker:
    """A trained ensemble over the columns of one assembler."""

    def __init__(self, columns: Sequence[Column], artefact: Artefact, version: str = "") -> None:
        """`version` is the model's id, worked out here if not given. `Broken` for a model of another kind."""
        trees = artefact.model()
        if not isinstance(trees, Trees):
            raise Broken(f"a {artefact.kind} model has no trees")
        self.name: str = artefact.kind
        self.version = version or identify(encode(artefact))
        self._wired = wire(columns, artefact)
        self.columns, self.missing = self._wired.columns, self._wired.missing
        self._calibration = artefact.calibration
        self.gives_probabilities = artefact.calibration is not None
        self._walk = walk_of(trees)
        self._slots = self._walk.slots.copy()
        self._slots[:, 0] = self._wired.places[self._walk.slots[:, 0]]
        self._paths = paths_of(self._walk, self._slots[:, 0], len(columns))
        self._wanted, self._paths_wanted = np.arange(len(columns)), self._paths
        self._walked: tuple[Matrix | None, Places] = (None, np.empty((0, 0), np.int32))
        """The rows that were scored last and their leaves: a list is explained by the walk that scored it."""

    def raw_scores(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """The sum of leaves, whatever it is calibrated to."""
        self._wired.check(columns)
        if len(matrix) > _BLOCK_ROWS:
            return add_up(self._walk, self._slots, matrix)
        scores, leaves = np.zeros(len(matrix)), leaves_of(self._walk, self._slots, matrix)
        self._walked = (matrix, leaves)
        _add_up(leaves, self._walk.value, scores)
        return scores

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """The sum of leaves; of a calibrated model the log-odds of a reward."""
        scores = self.raw_scores(matrix, columns)
        return scores if self._calibration is None else log_odds(self._calibration, scores)

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        """By how much each column's splits moved the mean on the way to the leaves (Saabas' attribution). Those of all
        columns add up to the raw score less the mean of all, short of what inputs without a column added."""
        self._wired.check(columns)
        scored, leaves = self._walked
        found = leaves[rows] if scored is matrix else leaves_of(self._walk, self._slots, matrix[rows])
        paths = self._paths_to(np.arange(len(columns))[wanted])
        added = np.zeros((len(found), paths.width))
        _attribute(_unsigned(found), _unsigned(paths.first), _unsigned(paths.column), paths.moved, added)
        return added

    def _paths_to(self, wanted: Ints) -> Paths:
        """The paths as far as they are about these columns. The same are asked for at every decision."""
        if not np.array_equal(self._wanted, wanted):
            self._wanted, self._paths_wanted = wanted, narrowed(self._paths, wanted)
        return self._paths_wanted

    def mean(self) -> float:
        """The raw score of an average training row."""
        return float(self._walk.value[self._walk.roots].sum())


@kernel
def _fill(matrix: Matrix, table: Ints, slots: Floats) -> None:
    """The slots of each row; the last one is 0."""
    for row in range(len(matrix)):
        for slot in range(len(table)):
            value, missing = input_of(matrix, row, table[slot, 0]), table[slot, 1]
            if abs(value) <= _ZERO or (value != value and missing != MISSING_NAN):
                value = 0.0
            if (missing == MISSING_ZERO and value == 0.0) or value != value:
                value = -_INFINITY if table[slot, 2] == 1 else np.nan
            slots[row, slot] = value
        slots[row, len(table)] = 0.0


@kernel
def _next(row: Floats, node: int, left: Unsigned, slot: Unsigned, threshold: Floats) -> int:
    below: int = left[node] + np.uint64(0 if row[slot[node]] <= threshold[node] else 1)
    return below


@kernel
def _walk_down(
    slots: Floats, roots: Unsigned, left: Unsigned, slot: Unsigned, threshold: Floats, leaves: Unsigned
) -> None:
    """Eight rows walk together until all are at their leaves."""
    rows = len(slots)
    together = rows - rows % 8
    for tree in range(len(roots)):
        found, root = leaves[:, tree], roots[tree]
        for row in range(0, together, 8):
            row_a, row_b, row_c, row_d = slots[row], slots[row + 1], slots[row + 2], slots[row + 3]
            row_e, row_f, row_g, row_h = slots[row + 4], slots[row + 5], slots[row + 6], slots[row + 7]
            a = b = c = d = e = f = g = h = root
            while True:
                to_a = _next(row_a, a, left, slot, threshold)
                to_b = _next(row_b, b, left, slot, threshold)
                to_c = _next(row_c, c, left, slot, threshold)
                to_d = _next(row_d, d, left, slot, threshold)
                to_e = _next(row_e, e, left, slot, threshold)
                to_f = _next(row_f, f, left, slot, threshold)
                to_g = _next(row_g, g, left, slot, threshold)
                to_h = _next(row_h, h, left, slot, threshold)
                stay = (to_a == a) & (to_b == b) & (to_c == c) & (to_d == d)
                if stay & (to_e == e) & (to_f == f) & (to_g == g) & (to_h == h):
                    break
                a, b, c, d, e, f, g, h = to_a, to_b, to_c, to_d, to_e, to_f, to_g, to_h
            found[row], found[row + 1], found[row + 2], found[row + 3] = a, b, c, d
            found[row + 4], found[row + 5], found[row + 6], found[row + 7] = e, f, g, h
        for row in range(together, rows):
            node = root
            while left[node] != node:
                node = _next(slots[row], node, left, slot, threshold)
            found[row] = node


@kernel
def _add_up(leaves: Places, value: Reals, scores: Reals) -> None:
    """Each row's leaves in the order of the trees, as LightGBM adds them."""
    for row in range(len(scores)):
        for leaf in leaves[row]:
            scores[row] += value[leaf]


@kernel
def _attribute(leaves: Unsigned, first: Unsigned, column: Unsigned, moved: Reals, added: Reals) -> None:
    for row in range(len(added)):
        sums = added[row]
        for leaf in leaves[row]:
            step, end = first[leaf], first[leaf + np.uint64(1)]
            while step < end:
                sums[column[step]] += moved[step]
                step += np.uint64(1)
