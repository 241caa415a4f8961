"""What every ranker does, whichever it is: the suite runs over the built-in one and all kinds of trained ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import msgspec
import numpy as np
import pytest

from instanter.features.assemble import Column, Matrix
from instanter.foundation.errors import Broken
from instanter.models.artefact import Calibration, Kind
from instanter.models.base import Ranker, Uncalibrated
from instanter.models.linear import LinearRanker
from instanter.models.trained import RANKERS, ranker_of

from .examples import small_artefact

COLUMNS = (Column("item.a"), Column("item.b", unbounded=True), Column("position"))
MATRIX = np.array(
    [[0.0, 1.0, 1.0], [np.nan, 3.0, 0.5], [2.0, np.nan, 0.25], [-1.0, -2.0, 0.0], [1e9, -1e9, 1.0]], np.float32
)
CALIBRATION = Calibration("platt", (0.0, 1.0), (-1.0, 1.0), 2.0)


def _trained(kind: Kind, calibration: Calibration | None = None) -> Callable[[Sequence[Column]], Ranker]:
    artefact = msgspec.structs.replace(small_artefact(kind=kind), calibration=calibration)
    return lambda columns: ranker_of(columns, artefact)


MAKES: dict[str, Callable[[Sequence[Column]], Ranker]] = {
    "linear": lambda columns: LinearRanker(columns, {"item.a": 1.0, "item.b": -0.5, "position": 2.0}),
    **{kind: _trained(kind) for kind in RANKERS},
    **{f"calibrated {kind}": _trained(kind, CALIBRATION) for kind in RANKERS if kind != "attention"},
    "uncalibrated": lambda columns: Uncalibrated(_trained("logistic")(columns)),
}
EVERY_RANKER = pytest.mark.parametrize("name", MAKES)


def scores(name: str, matrix: Matrix = MATRIX) -> list[float]:
    found: list[float] = MAKES[name](COLUMNS).score(matrix.copy(), COLUMNS).tolist()
    return found


def test_every_kind_of_a_model_has_a_ranker() -> None:
    assert set(RANKERS) == set(get_args(Kind))


@EVERY_RANKER
def test_it_gives_each_candidate_one_finite_score(name: str) -> None:
    assert len(scores(name)) == len(MATRIX)
    assert np.isfinite(scores(name)).all()
    assert len(set(scores(name))) > 1, "not all the same"


@EVERY_RANKER
def test_it_scores_no_candidates_and_candidates_of_whom_nothing_is_known(name: str) -> None:
    assert scores(name, MATRIX[:0]) == []
    unknown = scores(name, np.full((3, len(COLUMNS)), np.nan, np.float32))
    assert np.isfinite(unknown).all()
    assert len(set(unknown)) == 1


@EVERY_RANKER
def test_the_same_matrix_gets_the_same_scores_and_stays_as_it_is(name: str) -> None:
    ranker, matrix = MAKES[name](COLUMNS), MATRIX.copy()
    first = ranker.score(matrix, COLUMNS).tobytes()
    assert first == ranker.score(matrix, COLUMNS).tobytes() == MAKES[name](COLUMNS).score(matrix, COLUMNS).tobytes()
    ranker.contributions(matrix, COLUMNS)
    assert matrix.tobytes() == MATRIX.tobytes()


@EVERY_RANKER
def test_the_order_of_the_candidates_changes_no_score(name: str) -> None:
    assert scores(name, MATRIX[::-1].copy())[::-1] == pytest.approx(scores(name), rel=1e-12)


@EVERY_RANKER
def test_contributions_are_of_the_rows_asked_for_and_of_columns_that_it_reads(name: str) -> None:
    ranker, matrix = MAKES[name](COLUMNS), MATRIX.copy()
    ranker.score(matrix, COLUMNS)
    every, some = ranker.contributions(matrix, COLUMNS), np.array([3, 0])
    assert every.shape == MATRIX.shape
    assert np.isfinite(every).all()
    assert ranker.contributions(matrix, COLUMNS, some).tolist() == every[some].tolist()
    for wanted in ([2, 0], [1], []):
        places = np.array(wanted, np.int64)
        assert ranker.contributions(matrix, COLUMNS, some, places).tolist() == every[some][:, places].tolist()
    if name != "linear":
        assert not every[:, 2].any(), "it was not made of that column"


@EVERY_RANKER
def test_it_says_what_it_is_and_works_without_inputs_that_there_are_not(name: str) -> None:
    ranker, fewer = MAKES[name](COLUMNS), COLUMNS[:1]
    assert (bool(ranker.name), bool(ranker.version), ranker.missing) == (True, True, ())
    assert ranker.version == MAKES[name](COLUMNS).version
    if name != "linear":
        narrow = MAKES[name](fewer)
        assert narrow.missing == ("item.b",)
        assert np.isfinite(narrow.score(MATRIX[:, :1].copy(), fewer)).all()


@EVERY_RANKER
def test_it_refuses_columns_that_it_was_not_made_for(name: str) -> None:
    with pytest.raises(Broken):
        MAKES[name](COLUMNS).score(MATRIX, COLUMNS[::-1])
