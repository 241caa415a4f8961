"""The ranker's answer, taken only if it is one finite number for each candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..features.assemble import Column, Matrix
from ..foundation.errors import Broken
from ..models.base import Ranker
from ..state.compiled import Reals, kernel

_LOGIT_MAX = 500.0
_DIGITS = 6


def score(ranker: Ranker, matrix: Matrix, columns: Sequence[Column]) -> Reals:
    """Scores of the candidates, or `Broken` if the ranker gives anything else."""
    scores = np.asarray(ranker.score(matrix, columns))
    if scores.shape != (len(matrix),) or scores.dtype.kind != "f":
        raise Broken(f"ranker {ranker.name} gave {scores.dtype} of shape {scores.shape}, not {len(matrix)} numbers")
    if not np.isfinite(scores).all():
        raise Broken(f"ranker {ranker.name} gave a score that is not a finite number")
    return scores.astype(np.float64, copy=False)


def shown_scores(scores: Reals) -> list[float]:
    """A ranker's scores as replies show them: between 0 and 1, 0.5 for an average item.

    >>> shown_scores(np.array([0.0, -1e9, 1e9]))
    [0.5, 0.0, 1.0]
    """
    shown = np.empty(len(scores))
    _logistic(scores, shown)
    rounded: list[float] = shown.round(_DIGITS).tolist()
    return rounded


def shown_amounts(scores: Reals) -> list[float]:
    """Scores of any size from 0 on, brought into 0 to 1.

    >>> shown_amounts(np.array([0.0, 1.0, 3.0]))
    [0.0, 0.5, 0.75]
    """
    rounded: list[float] = np.round(scores / (1.0 + scores), _DIGITS).tolist()
    return rounded


@kernel
def _logistic(scores: Reals, shown: Reals) -> None:
    for i in range(len(scores)):
        shown[i] = 1.0 / (1.0 + math.exp(-min(max(scores[i], -_LOGIT_MAX), _LOGIT_MAX)))
