"""A kept model, put to work over the columns of an assembler, and told from one that does not do what it did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..features.assemble import Column
from ..foundation.errors import Broken
from ..state.compiled import Reals
from .artefact import SHOWN_POSITION, Artefact
from .dataset import Dataset
from .logistic import LogisticRanker
from .trees import TreeRanker

TrainedRanker = TreeRanker | LogisticRanker


def ranker_of(columns: Sequence[Column], artefact: Artefact, version: str = "") -> TrainedRanker:
    """The ranker of a model. `missing` names its inputs that have no column; it works without them."""
    if artefact.kind == "logistic":
        return LogisticRanker(columns, artefact, version)
    return TreeRanker(columns, artefact, version)


def check_scores(artefact: Artefact) -> None:
    """`Broken` unless the known rows get the very scores that they got when the model was made. Compiles what is not
    compiled yet, so it warms as well."""
    matrix, expected = artefact.check.unpacked(len(artefact.inputs))
    unfixed = np.ascontiguousarray(matrix)
    columns = [Column(one.name) for one in artefact.inputs]
    ranker = ranker_of(columns, artefact)
    scores = ranker.raw_scores(unfixed, columns)
    if scores.tobytes() != expected.tobytes():
        furthest = float(np.abs(scores - expected).max())
        raise Broken(f"the model gives known rows other scores than it gave, by up to {furthest:.3g}")
    if not np.isfinite(ranker.score(unfixed, columns)).all() or not np.isfinite(
        ranker.contributions(unfixed, columns)
    ).all():
        raise Broken("the model gives known rows what is not a finite number")


def scores_of(artefact: Artefact, dataset: Dataset) -> Reals:
    """What the model would have said of each row, position fixed as at serving. Takes 8 bytes a row."""
    columns = [Column(name, name in dataset.unbounded) for name in dataset.columns if name != SHOWN_POSITION]
    return ranker_of(columns, artefact).score(dataset.matrix, columns)
