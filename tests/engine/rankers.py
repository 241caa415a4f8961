"""Models of tests: rankers by name, some of them damaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instanter.decisions.decide import Decider
from instanter.features.assemble import Column, Matrix
from instanter.foundation.errors import Corrupt, RequestRejected
from instanter.models.base import EVERY_COLUMN, EVERY_ROW, Chosen, Ranker
from instanter.state.compiled import Reals


class Plain:
    """A ranker of a version; scores by a column, or fails from some call on."""

    name = "plain"
    missing = ()

    def __init__(self, version: str, fails: bool = False) -> None:
        self.version = version
        self.fails = fails
        self.gives_probabilities = False

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        if self.fails:
            return np.full(len(matrix), np.nan)
        return matrix[:, 0].astype(np.float64) + float(len(self.version))

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        return np.zeros(matrix[rows][:, wanted].shape)


class Shelf:
    """Models by name; some are damaged."""

    def __init__(self, *names: str, damaged: Sequence[str] = ()) -> None:
        self.rankers = {name: Plain(name.partition("@")[2]) for name in names}
        self.damaged = set(damaged)

    def ranker(self, model: str, decider: Decider) -> Ranker:
        if model in self.damaged:
            raise Corrupt(file=f"{model}.model", offset=7, reason="its checksum is wrong")
        if model not in self.rankers:
            raise RequestRejected("unknown_model", f"there is no model {model}", status=404)
        return self.rankers[model]
