"""A kept model, put to work over the columns of an assembler, and told from one that does not do what it did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from ..features.assemble import Column
from ..foundation.errors import Broken
from ..state.compiled import Reals
from .acted import numbered
from .artefact import Artefact, Calibration, Input, Kind, make_check
from .attention import NO_NETS, AttentionRanker, Nets, asked
from .base import Ranker
from .bodies import Attention, Body, LinearWeights, Logits, Trees, Weights
from .conditional_logit import ConditionalLogitRanker
from .dataset import Dataset
from .head_ranker import HeadRanker
from .logistic import LogisticRanker
from .trees import TreeRanker

TrainedRanker = TreeRanker | LogisticRanker | ConditionalLogitRanker | AttentionRanker
RANKERS: Final[dict[Kind, type[TrainedRanker]]] = {
    "lambdamart": TreeRanker, "logistic": LogisticRanker, "conditional_logit": ConditionalLogitRanker,
    "attention": AttentionRanker,
}  # fmt: skip
"""By the kind that a model names. `tests/models/test_rankers.py` runs over all of them."""


def ranker_of(columns: Sequence[Column], artefact: Artefact, version: str = "", nets: Nets = NO_NETS) -> Ranker:
    """The ranker of a model. `missing` names its inputs that have no column; it works without them. Where there is a
    net, it runs in `nets`, and is prepared there; see `Nets.prepare`."""
    if artefact.kind == "attention":
        attention = AttentionRanker(columns, artefact, version, nets)
        attention.prepare()
        return attention
    ranker = row_ranker_of(columns, artefact, version)
    return ranker if artefact.head is None else HeadRanker(ranker, columns, artefact.head)


def row_ranker_of(columns: Sequence[Column], artefact: Artefact, version: str = "") -> TrainedRanker:
    """What scores the rows, of whatever part of a list they are."""
    return RANKERS[artefact.kind](columns, artefact, version)


def check_scores(artefact: Artefact) -> None:
    """`Broken` unless the known rows get the very scores that they got when the model was made. Compiles what is not
    compiled yet, so it warms as well."""
    matrix, expected = artefact.check.unpacked(len(artefact.inputs))
    columns = [Column(one.name) for one in artefact.inputs]
    ranker = row_ranker_of(columns, artefact)
    scores = ranker.raw_scores(matrix, columns)
    if scores.tobytes() != expected.tobytes():
        furthest = float(np.abs(scores - expected).max())
        raise Broken(f"the model gives known rows other scores than it gave, by up to {furthest:.3g}")
    told = (ranker.score(matrix, columns), ranker.contributions(matrix, columns))
    if not all(np.isfinite(numbers).all() for numbers in told):
        raise Broken("the model gives known rows what is not a finite number")


def scores_of(artefact: Artefact, dataset: Dataset, nets: Nets = NO_NETS) -> Reals:
    """What the model would have said of each row, position fixed as at serving. Takes 8 bytes a row."""
    columns = tuple(Column(name, name in dataset.unbounded) for name in dataset.columns)
    if artefact.kind == "attention":
        return _moved_by_list(AttentionRanker(columns, artefact, nets=nets), columns, artefact, dataset, nets)
    ranker = ranker_of(columns, artefact)
    if artefact.head is None and artefact.kind != "conditional_logit":
        return ranker.score(dataset.matrix, columns)
    return scored_by_list(ranker, columns, dataset)


def _moved_by_list(
    ranker: AttentionRanker, columns: Sequence[Column], artefact: Artefact, dataset: Dataset, nets: Nets
) -> Reals:
    """With what the net tells of each list, as far as it is written down which items were in it."""
    scores = scored_by_list(ranker, columns, dataset)
    net = artefact.model()
    assert isinstance(net, Attention)
    told = told_by_list(net, dataset, nets)
    for first, last in pairwise(dataset.groups.tolist()):
        scores[first:last] = ranker.moved(scores[first:last], told[first:last])
    return scores


def told_by_list(net: Attention, dataset: Dataset, nets: Nets) -> Logits:
    """What a net tells of each row; not a number where it knows the item not, or nothing of what was done before."""
    told: Logits = np.full(len(dataset.labels), np.nan, np.float32)
    acted = dataset.acted
    if acted is None:
        return told
    number_of = numbered(acted.names, net.items)
    items = number_of[acted.items].astype(np.int32)
    nets.prepare("", net)
    for place, (first, last) in enumerate(pairwise(dataset.groups.tolist())):
        recent = number_of[acted.recent[place]]
        known = first + np.flatnonzero(items[first:last])
        if recent.any() and len(known):
            told[known] = asked(nets, "", net, recent[recent > 0].tolist(), items[known], math.inf)
    return told


def scored_by_list(ranker: Ranker, columns: Sequence[Column], dataset: Dataset) -> Reals:
    """What a ranker says of each row that reads the other rows of its list as well: what is absent of an item adds what
    it adds to the others."""
    return np.concatenate([
        ranker.score(dataset.matrix[first:last], columns) for first, last in pairwise(dataset.groups.tolist())
    ])  # fmt: skip


def warm_up() -> None:
    """Load or compile what trained models run on, with the smallest ones there are: so that the first model that is
    put in charge holds nobody up."""
    one, two = np.ones(1), np.array([0, 1], np.int32)
    trees = Trees(
        two, np.array([0, 2], np.int32), np.zeros(1, np.int32), one, np.array([-1], np.int32), np.array([-2], np.int32),
        np.zeros(1, np.uint8), one, np.array([1.0, 2.0]),
    )  # fmt: skip
    weights = Weights(0.0, one, one, one, np.ones(1, np.uint8))
    rows = np.array([[0.0], [2.0]], np.float32)
    calibration = Calibration("isotonic", (0.0, 1.0), (0.0, 1.0), 1.0)
    bodies: tuple[tuple[Kind, Body, Reals], ...] = (
        ("lambdamart", trees.packed(), np.array([1.0, 2.0])),
        ("logistic", weights.packed(), np.array([-1.0, math.log(3.0) - 1.0])),
        ("conditional_logit", LinearWeights(one, np.zeros(1, np.uint8)).packed(), np.array([0.0, 2.0])),
    )
    for kind, body, scores in bodies:
        check_scores(Artefact(
            kind=kind, inputs=(Input("warm"),), body=body, check=make_check(rows, scores), calibration=calibration
        ))  # fmt: skip
