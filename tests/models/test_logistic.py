from __future__ import annotations

import math
import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from instanter.features.assemble import Column
from instanter.foundation.errors import Broken, RequestRejected
from instanter.models.artefact import Calibration
from instanter.models.dataset import TrainingRows
from instanter.models.logistic import LogisticRanker, fit

from .examples import small_artefact

COLUMNS = [Column("x"), Column("item.b"), Column("item.a")]
BOUNDED = np.zeros(2, np.uint8)


def examples(rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of a reward are a + 2 b - 1."""
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(rows, 2)).astype(np.float32)
    odds = matrix @ np.array([1.0, 2.0]) - 1.0
    return matrix, (rng.random(rows) < 1.0 / (1.0 + np.exp(-odds))).astype(np.float64)


def slopes(weights) -> list[float]:
    """Weights of the inputs as they come, and the intercept."""
    slope = weights.weight / weights.deviation
    return [*slope.tolist(), weights.intercept - float(slope @ weights.mean)]


def test_the_weights_behind_the_rewards_are_found() -> None:
    matrix, outcomes = examples()
    told: list[float] = []
    found = fit(TrainingRows(matrix), BOUNDED, outcomes, np.ones(len(matrix)), l2=0.0, progress=told.append)
    assert slopes(found) == pytest.approx([1.0, 2.0, -1.0], abs=0.1)
    assert told
    assert told == sorted(told)


def test_at_the_optimum_the_gradient_with_its_penalty_is_nothing() -> None:
    matrix, outcomes = examples(9_000)
    weights = np.random.default_rng(3).random(9_000)
    found = fit(TrainingRows(matrix), BOUNDED, outcomes, weights, l2=30.0)
    standard = (matrix.astype(np.float64) - found.mean) / found.deviation
    off = weights * (outcomes - 1.0 / (1.0 + np.exp(-(standard @ found.weight + found.intercept))))
    assert off @ standard - 30.0 * found.weight == pytest.approx([0.0, 0.0], abs=1e-5)
    assert off.sum() == pytest.approx(0.0, abs=1e-5)
    assert np.average(standard, axis=0, weights=weights) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_a_row_that_counts_twice_is_two_rows() -> None:
    matrix, outcomes = examples(400)
    rows = TrainingRows(np.concatenate([matrix, matrix[:100]]))
    twice = fit(rows, BOUNDED, np.concatenate([outcomes, outcomes[:100]]), np.ones(500), l2=1.0)
    weighed = fit(TrainingRows(matrix), BOUNDED, outcomes, np.where(np.arange(400) < 100, 2.0, 1.0), l2=1.0)
    assert slopes(twice) == pytest.approx(slopes(weighed), rel=1e-6)


def test_rewards_that_an_input_tells_apart_end_at_finite_weights() -> None:
    matrix = np.array([[-1.0], [-2.0], [1.0], [2.0]], np.float32)
    for l2 in (0.0, 1.0):
        found = fit(TrainingRows(matrix), np.zeros(1, np.uint8), np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4), l2=l2)
        assert np.isfinite(found.weight).all()
        assert found.weight[0] > 0.0


def test_what_never_differs_and_what_is_never_there_gets_no_weight() -> None:
    matrix, outcomes = examples(500)
    matrix = np.column_stack([matrix, np.full(500, 3.0), np.full(500, np.nan)]).astype(np.float32)
    found = fit(TrainingRows(matrix), np.zeros(4, np.uint8), outcomes, np.ones(500), l2=1.0)
    assert found.weight[2:].tolist() == [0.0, 0.0]
    assert found.deviation[2:].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_outcomes_that_are_all_alike_are_refused(outcome: float) -> None:
    with pytest.raises(RequestRejected, match="with a reward and rows without"):
        fit(TrainingRows(np.zeros((3, 1), np.float32)), np.zeros(1, np.uint8), np.full(3, outcome), np.ones(3), l2=1.0)


def test_a_score_is_the_sum_of_its_contributions() -> None:
    ranker = LogisticRanker(COLUMNS, small_artefact(logistic=True))
    rows = np.array([[9.0, 3.0, 0.5], [9.0, -3.0, np.nan], [9.0, np.nan, np.inf]], np.float32)
    added = ranker.contributions(rows, COLUMNS)
    # item.a has weight 1; item.b has weight 2, mean 1 and deviation 2, and is unbounded.
    assert added.tolist() == [[0.0, math.log(4.0) - 1.0, 0.5], [0.0, -math.log(4.0) - 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert ranker.score(rows, COLUMNS) == pytest.approx(added.sum(axis=1) - 0.5)
    assert (ranker.name, ranker.missing) == ("logistic", ())


def test_an_input_without_a_column_is_the_mean() -> None:
    ranker = LogisticRanker(COLUMNS[:2], small_artefact(logistic=True))
    rows = np.array([[9.0, 3.0]], np.float32)
    assert ranker.missing == ("item.a",)
    assert ranker.score(rows, COLUMNS[:2]).tolist() == [-0.5 + math.log(4.0) - 1.0]
    assert ranker.contributions(rows, COLUMNS[:2]).tolist() == [[0.0, math.log(4.0) - 1.0]]


def test_calibration_comes_after_the_sum() -> None:
    calibrated = msgspec.structs.replace(
        small_artefact(logistic=True), calibration=Calibration("platt", (0.0,), (1.0,), 2.0)
    )
    ranker = LogisticRanker(COLUMNS, calibrated)
    rows = np.array([[0.0, np.nan, np.nan]], np.float32)
    assert ranker.raw_scores(rows, COLUMNS).tolist() == [-0.5]
    assert ranker.score(rows, COLUMNS).tolist() == [0.0]


def test_other_columns_and_other_models_are_refused() -> None:
    ranker = LogisticRanker(COLUMNS, small_artefact(logistic=True))
    for call in (ranker.score, ranker.contributions):
        with pytest.raises(Broken, match="other columns"):
            call(np.zeros((1, 3), np.float32), COLUMNS[::-1])
    with pytest.raises(Broken, match="no weights"):
        LogisticRanker(COLUMNS, small_artefact())


PROGRAM = """
import numpy as np
from instanter.models.dataset import TrainingRows
from instanter.models.logistic import fit
rng = np.random.default_rng(1)
matrix = rng.normal(size=(300, 3)).astype(np.float32)
matrix[rng.random(matrix.shape) < 0.2] = np.nan
found = fit(TrainingRows(matrix, rng.integers(0, 5, 300).astype(np.int32)), np.array([0, 1, 0, 1], np.uint8),
            (rng.random(300) < 0.5) * 1.0, np.ones(300), l2=1.0)
print([found.intercept.hex(), *[value.hex() for value in found.weight.tolist()]])
"""


@pytest.mark.slow
def test_compiled_and_plain_fit_alike() -> None:
    told = []
    for plain in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=os.environ | {"NUMBA_DISABLE_JIT": plain},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0] == told[1]
