"""What a trained model has learned, as arrays and as the bytes that are kept of them, little endian.

The loops that read these arrays check nothing, so whatever comes from a file is checked here first: `ValueError` for
arrays that no model can have. After that every walk ends at a leaf, and every number is finite.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from ..foundation.limits import ATTENTION_ITEMS_MAX, MODEL_NODES_MAX, STEPS_READ_MAX
from ..state.compiled import Bytes, Reals

Places = npt.NDArray[np.int32]
Logits = npt.NDArray[np.float32]

CATEGORICAL: Final = 1
DEFAULT_LEFT: Final = 2
MISSING_SHIFT: Final = 2
MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2
"""What a split takes for missing: nothing (not a number is 0), zero and not a number, or not a number."""

_I4: Final = np.dtype("<i4")
_F4: Final = np.dtype("<f4")
_F8: Final = np.dtype("<f8")
_U1: Final = np.dtype("u1")


class TreesBody(msgspec.Struct, frozen=True, array_like=True, tag="trees"):
    """An ensemble of trees as it is kept; the fields are those of `Trees`."""

    first_node: bytes
    first_leaf: bytes
    feature: bytes
    threshold: bytes
    left: bytes
    right: bytes
    flags: bytes
    mean: bytes
    leaf: bytes


class LogisticBody(msgspec.Struct, frozen=True, array_like=True, tag="logistic"):
    """A logistic model as it is kept; the fields are those of `Weights`."""

    intercept: float
    weight: bytes
    mean: bytes
    deviation: bytes
    unbounded: bytes


class LinearBody(msgspec.Struct, frozen=True, array_like=True, tag="linear"):
    """A linear model as it is kept; the fields are those of `LinearWeights`."""

    weight: bytes
    unbounded: bytes


class AttentionBody(msgspec.Struct, frozen=True, array_like=True, tag="attention"):
    """A self-attention model as it is kept; the fields are those of `Attention`."""

    weight: bytes
    unbounded: bytes
    share: float
    graph: bytes
    items: tuple[str, ...]
    recent: int
    known_recent: bytes
    known_candidates: bytes
    known_told: bytes


Body = TreesBody | LogisticBody | LinearBody | AttentionBody


class Trees(msgspec.Struct, frozen=True, eq=False):
    """Trees with numeric splits, one behind the other.

    A split sends a row to the left if its input is at most the threshold. Children are counted from the tree's first
    split on; `~child` is a leaf, counted from the tree's first leaf on. A tree without a split has one leaf.
    """

    first_node: Places
    """[trees + 1]"""
    first_leaf: Places
    """[trees + 1]"""
    feature: Places
    """Which input a split looks at."""
    threshold: Reals
    left: Places
    right: Places
    flags: Bytes
    """`DEFAULT_LEFT` for what is missing, and from bit `MISSING_SHIFT` on what counts as missing."""
    mean: Reals
    """Of the training rows that came by a split, the mean of their leaves."""
    leaf: Reals

    def __len__(self) -> int:
        return len(self.first_node) - 1

    def packed(self) -> TreesBody:
        """As it is kept."""
        return TreesBody(
            _packed(self.first_node, _I4), _packed(self.first_leaf, _I4), _packed(self.feature, _I4),
            _packed(self.threshold, _F8), _packed(self.left, _I4), _packed(self.right, _I4), _packed(self.flags, _U1),
            _packed(self.mean, _F8), _packed(self.leaf, _F8),
        )  # fmt: skip


class Weights(msgspec.Struct, frozen=True, eq=False):
    """What a logistic model multiplies its inputs by, once they are standardised."""

    intercept: float
    weight: Reals
    mean: Reals
    deviation: Reals
    unbounded: Bytes
    """1 for an input that comes in as sign(x) log(1 + |x|)."""

    def packed(self) -> LogisticBody:
        """As it is kept."""
        return LogisticBody(
            self.intercept, _packed(self.weight, _F8), _packed(self.mean, _F8), _packed(self.deviation, _F8),
            _packed(self.unbounded, _U1),
        )  # fmt: skip


class LinearWeights(msgspec.Struct, frozen=True, eq=False):
    """What a linear model multiplies its inputs by, as they are."""

    weight: Reals
    unbounded: Bytes
    """1 for an input that comes in as sign(x) log(1 + |x|)."""

    def packed(self) -> LinearBody:
        """As it is kept."""
        return LinearBody(_packed(self.weight, _F8), _packed(self.unbounded, _U1))


class Attention(msgspec.Struct, frozen=True, eq=False):
    """A net that reads what somebody did last, and the linear order that it moves.

    Items are numbers from 1 on, in the order of `items`; 0 is none. The net is asked with `recent` of them, the newest
    last and zeros before, and with any number of candidates, and tells a number of each candidate.
    """

    linear: LinearWeights
    share: float
    """Times what the net tells, less its mean over the list, is added to a linear score."""
    graph: bytes
    """The net, ONNX."""
    items: tuple[str, ...]
    """Ids of the catalogue."""
    recent: int
    known_recent: Places
    """[recent]: a question ..."""
    known_candidates: Places
    known_told: Logits
    """... with its answer, by which a net is known to work."""

    def packed(self) -> AttentionBody:
        """As it is kept."""
        return AttentionBody(
            _packed(self.linear.weight, _F8), _packed(self.linear.unbounded, _U1), self.share, self.graph, self.items,
            self.recent, _packed(self.known_recent, _I4), _packed(self.known_candidates, _I4),
            _packed(self.known_told, _F4),
        )  # fmt: skip


Learned = Trees | Weights | LinearWeights | Attention


def unpacked(body: Body, inputs: int) -> Learned:
    """The arrays of a model with so many inputs; `ValueError` if it cannot be one."""
    if isinstance(body, TreesBody):
        return unpacked_trees(body, inputs)
    if isinstance(body, AttentionBody):
        return unpacked_attention(body, inputs)
    return unpacked_linear(body, inputs) if isinstance(body, LinearBody) else unpacked_weights(body, inputs)


def unpacked_trees(body: TreesBody, inputs: int) -> Trees:
    """The trees; `ValueError` if one has no end, or reads what is not there."""
    trees = Trees(
        _array(body.first_node, _I4), _array(body.first_leaf, _I4), _array(body.feature, _I4),
        _array(body.threshold, _F8), _array(body.left, _I4), _array(body.right, _I4), _array(body.flags, _U1),
        _array(body.mean, _F8), _array(body.leaf, _F8),
    )  # fmt: skip
    check_trees(trees, inputs)
    return trees


def check_trees(trees: Trees, inputs: int) -> None:
    """`ValueError` for trees that cannot be walked to an end with so many inputs."""
    splits = len(trees.feature)
    _require({len(part) for part in (trees.threshold, trees.left, trees.right, trees.flags, trees.mean)} == {splits},
             "the splits have different lengths")  # fmt: skip
    _require(len(trees.first_node) == len(trees.first_leaf) >= 1, "the trees have different lengths")
    nodes, leaves = np.diff(trees.first_node), np.diff(trees.first_leaf)
    _require(trees.first_node[0] == trees.first_leaf[0] == 0, "the first tree does not begin at 0")
    _require(trees.first_node[-1] == splits and trees.first_leaf[-1] == len(trees.leaf), "nodes belong to no tree")
    _require(bool((nodes >= 0).all() and (leaves == nodes + 1).all()), "a tree has one leaf more than splits")
    _require(splits + len(trees.leaf) <= MODEL_NODES_MAX, f"there are more than {MODEL_NODES_MAX} nodes")
    _require(bool(((trees.feature >= 0) & (trees.feature < inputs)).all()), "a split looks at no input")
    _require(not np.isnan(trees.threshold).any(), "a threshold is not a number")
    _require(not (trees.flags & CATEGORICAL).any(), "a split is by category")
    _require(bool(((trees.flags >> MISSING_SHIFT) <= MISSING_NAN).all()), "a split knows another kind of missing")
    _require(bool(np.isfinite(trees.mean).all() and np.isfinite(trees.leaf).all()), "a leaf is not a finite number")
    _check_children(trees, nodes)


def _check_children(trees: Trees, nodes: Places) -> None:
    """Every child comes behind its parent, and every node but a root has exactly one parent: so there is no circle."""
    tree_of = np.repeat(np.arange(len(nodes)), nodes)
    own = np.arange(len(trees.feature)) - trees.first_node[:-1][tree_of]
    children = np.concatenate([trees.left, trees.right]).astype(np.int64)
    trees_of, parents = np.tile(tree_of, 2), np.tile(own, 2)
    inner = children >= 0
    _require(bool((children[inner] > parents[inner]).all()), "a split comes before its parent")
    _require(bool((children[inner] < nodes[trees_of[inner]]).all()), "a split is of another tree")
    _require(bool((~children[~inner] <= nodes[trees_of[~inner]]).all()), "a leaf is of another tree")
    below = children[inner] + trees.first_node[:-1][trees_of[inner]]
    ends = ~children[~inner] + trees.first_leaf[:-1][trees_of[~inner]]
    _require(len(np.unique(below)) == len(below) and len(np.unique(ends)) == len(ends), "a node has two parents")


def unpacked_weights(body: LogisticBody, inputs: int) -> Weights:
    """The weights; `ValueError` if there is not one for each input, or one is no number."""
    weights = Weights(
        body.intercept, _array(body.weight, _F8), _array(body.mean, _F8), _array(body.deviation, _F8),
        _array(body.unbounded, _U1),
    )  # fmt: skip
    parts = (weights.weight, weights.mean, weights.deviation)
    _require({len(part) for part in (*parts, weights.unbounded)} == {inputs}, "there is not one weight an input")
    _require(bool(np.isfinite([weights.intercept, *np.concatenate(parts)]).all()), "a weight is not a finite number")
    _require(bool((weights.deviation > 0.0).all()), "an input has no deviation")
    return weights


def unpacked_linear(body: LinearBody, inputs: int) -> LinearWeights:
    """The weights; `ValueError` if there is not one for each input, or one is no number."""
    weights = LinearWeights(_array(body.weight, _F8), _array(body.unbounded, _U1))
    _require(len(weights.weight) == len(weights.unbounded) == inputs, "there is not one weight an input")
    _require(bool(np.isfinite(weights.weight).all()), "a weight is not a finite number")
    return weights


def unpacked_attention(body: AttentionBody, inputs: int) -> Attention:
    """The model; `ValueError` if its weights, its items or its known answer cannot be one's. The net itself is looked
    at where it is put to work."""
    linear = unpacked_linear(LinearBody(body.weight, body.unbounded), inputs)
    net = Attention(
        linear, body.share, body.graph, body.items, body.recent, _array(body.known_recent, _I4),
        _array(body.known_candidates, _I4), _array(body.known_told, _F4),
    )  # fmt: skip
    _require(bool(np.isfinite(net.share)), "the share of the net is not a finite number")
    _require(0 < len(set(net.items)) == len(net.items) <= ATTENTION_ITEMS_MAX,
             f"a net knows 1 to {ATTENTION_ITEMS_MAX} items, each once")  # fmt: skip
    _require(0 < net.recent <= STEPS_READ_MAX, f"a net reads 1 to {STEPS_READ_MAX} items")
    _require(len(net.known_recent) == net.recent, "the known question has another length")
    _require(0 < len(net.known_candidates) == len(net.known_told), "the known answer has another length")
    for numbers in (net.known_recent, net.known_candidates):
        _require(bool(((numbers >= 0) & (numbers <= len(net.items))).all()), "the known question is about no item")
    _require(bool(np.isfinite(net.known_told).all()), "the known answer is not a finite number")
    return net


def _packed(array: npt.NDArray[Any], kind: np.dtype[Any]) -> bytes:
    return array.astype(kind).tobytes()


def _array(raw: bytes, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """In the machine's own byte order. `ValueError` if the length is no whole number of elements."""
    return np.frombuffer(raw, kind).astype(kind.newbyteorder("="))


def _require(holds: bool | np.bool_, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
