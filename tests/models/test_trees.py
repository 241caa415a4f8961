"""Our walk of the trees against LightGBM's own, bit for bit, and against the plain form of the same function."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.features.assemble import Column
from instanter.foundation.errors import Broken
from instanter.models.artefact import SHOWN_POSITION, Calibration, Input
from instanter.models.bodies import Trees, unpacked_trees
from instanter.models.trained import check_scores
from instanter.models.trees import TreeRanker, add_up, from_lightgbm, leaves_of, walk_of

from .examples import small_artefact, small_trees

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed: nothing to be equal to")

QUIET = {"verbosity": -1, "num_threads": 2, "deterministic": True, "min_data_in_leaf": 5}
ODD = [np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-36, -1e-36, 1e-35, 1.1e-35, -1.1e-35, 3.4e38, -3.4e38, 1e-45, 0.1, 0.5]


def examples(seed: int, rows: int = 600, columns: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, columns)).astype(np.float32)
    matrix[:, 1] = rng.integers(0, 4, rows)
    matrix[:, 2] = np.where(rng.random(rows) < 0.5, 0.0, matrix[:, 2])
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    matrix[:, 3] = rng.normal(size=rows) ** 3
    return matrix, np.nan_to_num(matrix) @ rng.normal(size=columns) + np.isnan(matrix[:, 0])


def hostile(matrix: np.ndarray, seed: int) -> np.ndarray:
    """The rows, with inputs put in that nobody trained with."""
    rng = np.random.default_rng(seed)
    odd = matrix.copy()
    places = rng.random(matrix.shape) < 0.3
    odd[places] = rng.choice(np.array(ODD, np.float32), int(places.sum()))
    return odd


def same(booster, matrix: np.ndarray) -> Trees:
    """The trees, after a comparison with the booster on the rows as they are and on hostile ones."""
    trees = from_lightgbm(booster.model_to_string(), matrix.shape[1])
    walk = walk_of(unpacked_trees(trees.packed(), matrix.shape[1]))
    for rows in (matrix, hostile(matrix, 1), hostile(matrix, 2)):
        assert add_up(walk, walk.slots, rows).tobytes() == booster.predict(rows, raw_score=True).tobytes()
    return trees


@pytest.mark.parametrize("missing", [{}, {"use_missing": False}, {"zero_as_missing": True}])
@pytest.mark.parametrize(("objective", "leaves", "trees"), [("regression", 31, 60), ("binary", 7, 200), ("l2", 2, 30)])
def test_every_kind_of_missing_scores_as_lightgbm_scores(missing, objective: str, leaves: int, trees: int) -> None:
    matrix, target = examples(leaves)
    labels = (target > 0).astype(int) if objective == "binary" else target
    parameters = QUIET | missing | {"objective": objective, "num_leaves": leaves}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, labels), trees)
    assert len(same(booster, matrix)) == booster.num_trees()


def test_a_ranking_model_that_stopped_early_scores_as_its_best_trees() -> None:
    matrix, target = examples(5)
    labels = np.digitize(target, [-1.0, 1.0, 2.0])
    learned = lightgbm.Dataset(matrix[:400], labels[:400], group=[20] * 20)
    noise = np.random.default_rng(1).permutation(labels[400:])
    measured = lightgbm.Dataset(matrix[400:], noise, group=[20] * 10, reference=learned)
    booster = lightgbm.train(
        QUIET | {"objective": "lambdarank", "num_leaves": 15}, learned, 150, valid_sets=[measured],
        callbacks=[lightgbm.early_stopping(5, verbose=False)], keep_training_booster=True,
    )  # fmt: skip
    assert 0 < booster.best_iteration < booster.current_iteration()
    assert len(same(booster, matrix)) == booster.best_iteration


def test_trees_without_a_split_are_their_leaf() -> None:
    matrix, _ = examples(6)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(matrix, np.full(600, 2.5)), 3)
    assert same(booster, matrix).feature.size == 0


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 511, 512, 513, 517])
def test_any_number_of_rows_scores_as_lightgbm_scores(rows: int) -> None:
    matrix, target = examples(7)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(matrix, target), 10)
    walk = walk_of(from_lightgbm(booster.model_to_string(), 7))
    expected = booster.predict(matrix, raw_score=True)[:rows]
    assert add_up(walk, walk.slots, matrix[:rows]).tobytes() == expected.tobytes()


@pytest.mark.slow
@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 40]), st.integers(1, 40), st.booleans())
def test_whatever_was_learned_scores_as_lightgbm_scores(seed: int, leaves: int, trees: int, zero: bool) -> None:
    matrix, target = examples(seed, rows=200, columns=4)
    parameters = QUIET | {"objective": "regression", "num_leaves": leaves, "zero_as_missing": zero}
    same(lightgbm.train(parameters, lightgbm.Dataset(matrix, target), trees), matrix)


@pytest.mark.parametrize(("parameters", "categories"), [
    ({"objective": "multiclass", "num_class": 3}, []),
    ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, []),
    ({"objective": "regression", "linear_tree": True}, []),
    ({"objective": "regression", "cat_smooth": 1.0, "min_data_per_group": 1}, [1]),
])
def test_other_forests_are_refused(parameters, categories) -> None:
    matrix, target = examples(8)
    matrix[:, 1] = np.nan_to_num(matrix[:, 1])
    labels = np.digitize(target, [-1.0, 1.0]) if "num_class" in parameters else matrix[:, 1] % 2 + target / 100
    learned = lightgbm.Dataset(matrix, labels, categorical_feature=categories)
    booster = lightgbm.train(QUIET | parameters, learned, 3)
    with pytest.raises(Broken):
        from_lightgbm(booster.model_to_string(), 7)


def test_more_inputs_than_there_are_is_refused() -> None:
    matrix, target = examples(9)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(matrix, target), 10)
    with pytest.raises(Broken, match="looks at no input"):
        from_lightgbm(booster.model_to_string(), 2)


PROGRAM = """
import hashlib
import numpy as np
from instanter.features.assemble import Column
from instanter.models.artefact import Artefact, Calibration, Input, make_check
from instanter.models.trees import TreeRanker, from_lightgbm
import sys
matrix = np.load(sys.argv[1])
trees = from_lightgbm(open(sys.argv[2]).read(), matrix.shape[1])
columns = [Column(f"c{n}") for n in range(matrix.shape[1])]
artefact = Artefact(kind="lambdamart", inputs=tuple(Input(one.name) for one in columns), body=trees.packed(),
    check=make_check(matrix, np.zeros(len(matrix))),
    calibration=Calibration("isotonic", (-1.0, 0.0, 2.5), (-2.0, 0.5, 0.75), 0.001))
ranker = TreeRanker(columns, artefact, "v")
for found in (ranker.score(matrix, columns), ranker.contributions(matrix, columns)):
    print(hashlib.sha256(found.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_compiled_and_plain_walk_alike(tmp_path) -> None:
    matrix, target = examples(10)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(matrix, target), 12)
    np.save(tmp_path / "matrix.npy", hostile(matrix, 3)[:90])
    (tmp_path / "trees.txt").write_text(booster.model_to_string())
    told = []
    for plain in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, tmp_path / "matrix.npy", tmp_path / "trees.txt"],
            env=os.environ | {"NUMBA_DISABLE_JIT": plain}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0] == told[1]
    assert told[0].count("\n") == 2


def grown(booster: lightgbm.Booster) -> tuple[list[Column], TreeRanker]:
    """LightGBM's trees over the seven columns of `examples`, as they are served."""
    columns = [Column(f"c{number}") for number in range(7)]
    artefact = msgspec.structs.replace(
        small_artefact(), inputs=tuple(Input(column.name) for column in columns),
        body=from_lightgbm(booster.model_to_string(), 7).packed(),
    )  # fmt: skip
    return columns, TreeRanker(columns, artefact)


def test_contributions_add_up_to_the_score_less_the_mean() -> None:
    matrix, target = examples(11)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(matrix, target), 40)
    columns, ranker = grown(booster)
    added = ranker.contributions(matrix, columns)
    assert added.sum(axis=1) + ranker.mean() == pytest.approx(ranker.raw_scores(matrix, columns), abs=1e-9)
    assert ranker.mean() == pytest.approx(target.mean(), abs=0.05)


def test_inputs_are_found_by_name_and_what_has_no_column_is_missing() -> None:
    artefact = small_artefact()
    inputs = TreeRanker([Column("x"), Column("item.b"), Column("item.a")], artefact)
    rows = np.array([[9.0, -2.0, 0.0], [9.0, 5.0, 1.0]], np.float32)
    assert inputs.missing == ()
    assert inputs.score(rows, inputs.columns).tolist() == [0.5 + 0.125, -1.0 + 0.125]
    alone = TreeRanker([Column("item.b")], artefact)
    assert alone.missing == ("item.a",)
    assert alone.score(rows[:, 1:2], alone.columns).tolist() == [0.5 + 0.125, 1.0 + 0.125]
    assert inputs.version == alone.version
    assert inputs.name == "lambdamart"


def test_contributions_are_the_same_whether_the_rows_were_scored_before_or_not() -> None:
    matrix, target = examples(12)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(matrix, target), 30)
    (columns, ranker), (one, other) = grown(booster), (matrix[:201], matrix[201:330])
    anew = [ranker.contributions(rows.copy(), columns).tobytes() for rows in (one, other)]
    for rows, expected in ((one, anew[0]), (other, anew[1])):
        scores = ranker.score(rows, columns).tobytes()
        assert ranker.contributions(rows, columns).tobytes() == expected
        assert ranker.score(rows, columns).tobytes() == scores == ranker.score(rows.copy(), columns).tobytes()
        ranker.contributions(other[:9], columns)
        assert ranker.contributions(rows, columns).tobytes() == expected, "other rows were walked meanwhile"
        some = np.array([5, 2, 100, 2])
        chosen = ranker.contributions(rows, columns, some).tobytes()
        assert chosen == ranker.contributions(rows[some], columns).tobytes()
    many = np.concatenate([matrix] * 3)
    parts = [ranker.contributions(many[first : first + 7], columns) for first in range(0, len(many), 7)]
    assert ranker.contributions(many, columns).tobytes() == np.concatenate(parts).tobytes()


def test_contributions_of_some_columns_are_theirs_among_all() -> None:
    matrix, target = examples(13)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(matrix, target), 30)
    columns, ranker = grown(booster)
    rows = matrix[:50]
    every = ranker.contributions(rows, columns)
    for wanted in ([3, 0], [3, 0], [6], [], list(range(len(columns)))):
        found = ranker.contributions(rows, columns, np.arange(50), np.array(wanted, np.int64))
        assert found.tobytes() == every[:, wanted].tobytes()


def test_rows_that_walk_together_come_where_each_comes_by_itself() -> None:
    matrix, target = examples(14)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(matrix, target), 20)
    _, ranker = grown(booster)
    walk, slots = ranker._walk, ranker._slots
    alone = np.concatenate([leaves_of(walk, slots, matrix[row : row + 1]) for row in range(19)])
    for count in range(20):
        assert leaves_of(walk, slots, matrix[:count]).tolist() == alone[:count].tolist()


def test_contributions_stand_in_their_columns() -> None:
    ranker = TreeRanker([Column("x"), Column("item.b"), Column("item.a")], small_artefact())
    rows = np.array([[9.0, -2.0, 0.0], [9.0, 5.0, 1.0]], np.float32)
    assert ranker.contributions(rows, ranker.columns).tolist() == [[0.0, -0.25, 0.5], [0.0, 0.0, -1.25]]


def test_the_shown_position_is_one_at_serving_and_no_columns_business() -> None:
    artefact = msgspec.structs.replace(small_artefact(), inputs=(Input("item.a"), Input(SHOWN_POSITION)))
    columns = [Column("item.a"), Column(SHOWN_POSITION)]
    rows = np.array([[0.0, -7.0]], np.float32)
    as_any_input = TreeRanker(columns, artefact)
    fixed = TreeRanker(columns, msgspec.structs.replace(artefact, position="fixed"))
    assert as_any_input.score(rows, columns).tolist() == [0.625]
    assert fixed.score(rows, columns).tolist() == [1.125]
    assert TreeRanker(columns[:1], msgspec.structs.replace(artefact, position="fixed")).missing == ()


def test_a_calibrated_ranker_gives_log_odds_in_the_same_order() -> None:
    calibration = Calibration("platt", (0.0,), (-2.0,), 0.5)
    columns = [Column("item.a"), Column("item.b")]
    rows = np.array([[0.0, -2.0], [1.0, 5.0]], np.float32)
    ranker = TreeRanker(columns, msgspec.structs.replace(small_artefact(), calibration=calibration))
    assert ranker.score(rows, columns).tolist() == [-2.0 + 0.5 * 0.625, -2.0 - 0.5 * 0.875]
    assert ranker.raw_scores(rows, columns).tolist() == [0.625, -0.875]


def test_other_columns_and_other_models_are_refused() -> None:
    columns = [Column("item.a"), Column("item.b")]
    ranker = TreeRanker(columns, small_artefact())
    rows = np.zeros((1, 2), np.float32)
    assert ranker.score(rows, list(columns)).shape == (1,)
    for call in (ranker.score, ranker.contributions):
        with pytest.raises(Broken, match="other columns"):
            call(rows, columns[::-1])
    with pytest.raises(Broken, match="no trees"):
        TreeRanker(columns, small_artefact(logistic=True))


def test_a_model_that_scores_otherwise_than_it_did_is_found() -> None:
    artefact = small_artefact()
    check_scores(artefact)
    trees = small_trees()
    leaves = trees.leaf.copy()
    leaves[0] += 1e-9
    with pytest.raises(Broken, match="other scores"):
        check_scores(msgspec.structs.replace(artefact, body=msgspec.structs.replace(trees, leaf=leaves).packed()))
