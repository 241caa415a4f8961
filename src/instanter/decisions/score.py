"""The ranker's answer, taken only if it is one finite number for each candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..features.assemble import Column, Matrix
from ..foundation.errors import Broken
from ..models.base import Ranker
from ..state.compiled import Reals

_LOGIT_MAX = 500.0


def score(ranker: Ranker, matrix: Matrix, columns: Sequence[Column]) -> Reals:
    """Scores of the candidates, or `Broken` if the ranker gives anything else."""
    scores = np.asarray(ranker.score(matrix, columns))
    if scores.shape != (len(matrix),) or scores.dtype.kind != "f":
        raise Broken(f"ranker {ranker.name} gave {scores.dtype} of shape {scores.shape}, not {len(matrix)} numbers")
    if not np.isfinite(scores).all():
        raise Broken(f"ranker {ranker.name} gave a score that is not a finite number")
    return scores.astype(np.float64, copy=False)


def shown_score(raw: float) -> float:
    """A ranker's score as replies show it: between 0 and 1, 0.5 for an average item.

    >>> shown_score(0.0), shown_score(-1e9)
    (0.5, 0.0)
    """
    return 1.0 / (1.0 + math.exp(-min(max(raw, -_LOGIT_MAX), _LOGIT_MAX))) if raw > -_LOGIT_MAX else 0.0
