"""Models that are trained: what they learn, that they learn it again alike, and what they are told not to look at."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from instanter.foundation import limits
from instanter.foundation.errors import RequestRejected
from instanter.models.artefact import SHOWN_POSITION, Window, decode, encode
from instanter.models.dataset import Dataset
from instanter.models.evaluate import compare, mean, ndcg
from instanter.models.trained import check_scores, scores_of
from instanter.models.training import GRADES_MAX, Origin, TrainingOptions, _grades, train

from .examples import COLUMNS, shop_lists

pytest.importorskip("lightgbm", reason="LightGBM is not installed: nothing to train with")

FEW = TrainingOptions(trees_max=40, leaves=7, min_data_in_leaf=20, learning_rate=0.1)
POSITIONS = ("input", "fixed", "debiased")


def options(**changed: object) -> TrainingOptions:
    return msgspec.structs.replace(FEW, **changed)


@pytest.fixture(scope="module")
def lists() -> Dataset:
    return shop_lists()


def figure(artefact, dataset: Dataset) -> np.ndarray:
    return ndcg(dataset.labels, scores_of(artefact, dataset), dataset.groups)


@pytest.mark.parametrize(("kind", "position"), [
    *(("lambdamart", position) for position in POSITIONS), ("logistic", "input"), ("logistic", "fixed"),
])
def test_what_was_learned_orders_lists_that_nobody_learned_from(lists: Dataset, kind, position) -> None:
    artefact = train(lists, options(kind=kind, position=position))
    fresh = shop_lists(seed=9)
    as_shown = ndcg(fresh.labels, -fresh.positions.astype(np.float64), fresh.groups)
    assert compare(figure(artefact, fresh), as_shown).low > 0.05
    assert artefact.metrics["ndcg_10"] > artefact.metrics["ndcg_10_as_shown"]
    assert artefact.metrics["lists_measured"] == 60
    assert decode(encode(artefact)) == artefact
    check_scores(artefact)


@pytest.mark.parametrize("kind", ["lambdamart", "logistic"])
def test_the_same_examples_give_the_same_bytes(lists: Dataset, kind) -> None:
    chosen = options(kind=kind, calibration="isotonic", position="fixed")
    first = encode(train(lists, chosen))
    assert encode(train(lists, chosen)) == first
    assert encode(train(shop_lists(seed=2), chosen)) != first


def test_another_seed_draws_other_inputs(lists: Dataset) -> None:
    assert train(lists, options(seed=1)).body != train(lists, options(seed=2)).body


def test_trees_stop_growing_when_the_later_lists_gain_nothing(lists: Dataset) -> None:
    noise = msgspec.structs.replace(
        lists, labels=np.random.default_rng(1).permutation(lists.labels))  # fmt: skip
    stopped = train(noise, options(trees_max=200, early_stopping_rounds=5)).metrics["trees"]
    assert stopped < 100
    assert train(noise, options(trees_max=100, early_stopping_rounds=0)).metrics["trees"] == 100


def test_later_lists_teach_nothing_but_when_to_stop(lists: Dataset) -> None:
    chosen = options(early_stopping_rounds=0)
    earlier, _ = lists.split(at_share=0.8)
    rows = len(earlier.labels)
    labels = lists.labels.copy()
    labels[rows:] = labels[rows:][::-1]
    assert train(msgspec.structs.replace(lists, labels=labels), chosen).body == train(lists, chosen).body
    labels[:rows] = labels[:rows][::-1]
    assert train(msgspec.structs.replace(lists, labels=labels), chosen).body != train(lists, chosen).body


@pytest.mark.parametrize("kind", ["lambdamart", "logistic"])
def test_a_fixed_position_takes_the_blame_for_the_place(kind) -> None:
    """Clicks come by position alone, and an input says where the row was shown."""
    rng = np.random.default_rng(1)
    positions = np.tile(np.arange(1, 9), 600).astype(np.int32)
    matrix = np.column_stack([-positions, rng.normal(size=len(positions))]).astype(np.float32)
    matrix[:, 0] += rng.normal(0.0, 1.5, len(positions)).astype(np.float32)
    chosen = rng.random(len(positions)) < 0.8 / positions**2
    dataset = Dataset(
        ("placed", "noise"), matrix, np.arange(0, len(positions) + 1, 8), chosen * 1.0, positions,
        np.ones(len(positions)), np.arange(600),
    )  # fmt: skip
    slopes = {}
    for position in ("input", "fixed"):
        chosen_options = options(kind=kind, position=position, early_stopping_rounds=0, feature_fraction=1.0)
        slopes[position] = np.polyfit(matrix[:, 0], scores_of(train(dataset, chosen_options), dataset), 1)[0]
    assert slopes["input"] > 0.1
    assert slopes["fixed"] < 0.5 * slopes["input"]


def test_a_fixed_position_is_an_input_of_the_model_and_no_column(lists: Dataset) -> None:
    artefact = train(lists, options(position="fixed"))
    assert [one.name for one in artefact.inputs][-1] == SHOWN_POSITION
    assert len(artefact.inputs) == COLUMNS + 1
    elsewhere = msgspec.structs.replace(lists, positions=np.ones_like(lists.positions))
    assert scores_of(artefact, lists).tolist() == scores_of(artefact, elsewhere).tolist()


@pytest.mark.parametrize("kind", ["lambdamart", "logistic"])
@pytest.mark.parametrize("calibration", ["isotonic", "platt"])
def test_calibrated_scores_mean_probabilities(kind, calibration) -> None:
    dataset = shop_lists(lists=1_500)
    artefact = train(dataset, options(kind=kind, calibration=calibration))
    assert artefact.calibration.kind == calibration
    assert artefact.metrics["calibration_error"] < 0.06
    assert artefact.metrics["lists_measured"] == 150
    fresh = shop_lists(seed=3)
    bare = msgspec.structs.replace(artefact, calibration=None)
    assert mean(figure(artefact, fresh)) == pytest.approx(mean(figure(bare, fresh)), abs=0.002)


def test_the_artefact_says_what_it_was_made_of(lists: Dataset) -> None:
    origin = Origin(
        tenant="shop", placement="home.hero", configuration="c0ffee", made_ms=77, window=Window(1, 2, 3, 4),
        parent="0" * 32, versions={"item.input_0": "v3"},
    )  # fmt: skip
    told: list[tuple[str, float]] = []
    artefact = train(lists, FEW, origin, lambda stage, share: told.append((stage, share)))
    assert (artefact.tenant, artefact.placement, artefact.configuration) == ("shop", "home.hero", "c0ffee")
    assert (artefact.made_ms, artefact.window, artefact.parent) == (77, Window(1, 2, 3, 4), "0" * 32)
    assert (artefact.lists, artefact.rows, artefact.dataset) == (300, 2_400, lists.identity())
    assert [(one.name, one.version) for one in artefact.inputs][:2] == [("item.input_0", "v3"), ("item.input_1", "")]
    assert artefact.options == msgspec.structs.asdict(FEW)
    assert set(artefact.libraries) == {"lightgbm", "numpy", "python"}
    assert artefact.check.rows == 16
    assert np.isnan(artefact.check.unpacked(COLUMNS)[0]).any()
    assert [stage for stage, _ in told][-1] == "measure"
    shares = [share for stage, share in told if stage == "train"]
    assert shares == sorted(shares)
    assert 0.0 < shares[0] < shares[-1] <= 1.0


def test_heavier_rows_are_learned_first() -> None:
    """Half of the lists prefer the first input, half its contrary; weights decide which is believed."""
    dataset = shop_lists(lists=400, gone=0.0)
    rng = np.random.default_rng(4)
    contrary = np.repeat(rng.random(400) < 0.5, 8)
    labels = ((dataset.matrix[:, 0] > 0.5) != contrary).astype(np.float64)
    for kind in ("lambdamart", "logistic"):
        for heavy, sign in ((contrary, -1.0), (~contrary, 1.0)):
            weighed = msgspec.structs.replace(dataset, labels=labels, weights=np.where(heavy, 1.0, 0.01))
            artefact = train(weighed, options(kind=kind, early_stopping_rounds=0))
            assert sign * np.corrcoef(scores_of(artefact, weighed), dataset.matrix[:, 0])[0, 1] > 0.3


def test_many_different_rewards_become_grades_that_rise() -> None:
    rewards = np.random.default_rng(1).lognormal(3.0, 1.0, 5_000)
    gains, cuts = _grades(np.concatenate([np.zeros(100), rewards]))
    assert len(gains) == len(cuts) + 1 == GRADES_MAX
    assert gains == sorted(gains)
    assert gains[0] == 0.0
    assert cuts[0] == rewards.min()


@pytest.mark.parametrize("kind", ["lambdamart", "logistic"])
def test_revenue_is_a_reward(kind) -> None:
    dataset = shop_lists()
    revenue = dataset.labels * np.random.default_rng(1).lognormal(3.0, 1.0, len(dataset.labels))
    assert train(msgspec.structs.replace(dataset, labels=revenue), options(kind=kind)).metrics["ndcg_10"] > 0.5


@pytest.mark.parametrize("changed", [
    {"trees_max": 0}, {"leaves": 1}, {"learning_rate": float("nan")}, {"later_share": 0.0}, {"threads": 0},
    {"feature_fraction": 1.5}, {"kind": "logistic", "position": "debiased"},
    {"trees_max": limits.MODEL_NODES_MAX // (2 * 1_000 - 1) + 1, "leaves": 1_000},
])
def test_options_that_cannot_be_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(RequestRejected):
        TrainingOptions(**changed)


@pytest.mark.parametrize("kind", ["lambdamart", "logistic"])
def test_too_little_to_learn_from_is_refused(lists: Dataset, kind) -> None:
    earlier = len(lists.split(at_share=0.8)[0].labels)
    for rewards in (lists.labels * 0.0, np.where(np.arange(len(lists.labels)) < earlier, lists.labels, 0.0)):
        with pytest.raises(RequestRejected, match="no reward"):
            train(msgspec.structs.replace(lists, labels=rewards), options(kind=kind))
    with pytest.raises(RequestRejected, match="cut"):
        train(lists.part(0, 1), options(kind=kind))
    names = tuple(f"c{number}" for number in range(limits.MODEL_INPUTS_MAX))
    matrix = np.zeros((len(lists.labels), len(names)), np.float32)
    wide = msgspec.structs.replace(lists, columns=names, matrix=matrix)
    with pytest.raises(RequestRejected, match=f"1 to {limits.MODEL_INPUTS_MAX - 1} inputs"):
        train(wide, options(kind=kind))
    named = msgspec.structs.replace(lists, columns=(*lists.columns[:-1], SHOWN_POSITION))
    with pytest.raises(RequestRejected, match="none shown"):
        train(named, options(kind=kind))


def test_serving_a_model_loads_no_training_library() -> None:
    program = (
        "import sys\nimport instanter.models.store, instanter.models.trained, instanter.models.evaluate\n"
        "print(sorted({'lightgbm', 'scipy.sparse', 'pandas', 'sklearn'} & set(sys.modules)))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
