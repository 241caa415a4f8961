"""Weights of one shop in the place of the built-in ones: what they learn, what they leave alone, and how they rank."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from instanter.features.assemble import Column
from instanter.foundation import limits
from instanter.foundation.errors import Broken, RequestRejected
from instanter.models import conditional_logit
from instanter.models.artefact import decode, encode
from instanter.models.bodies import LinearWeights, unpacked
from instanter.models.conditional_logit import ConditionalLogitRanker
from instanter.models.dataset import Dataset
from instanter.models.evaluate import compare, ndcg
from instanter.models.head import Head
from instanter.models.linear import LinearRanker
from instanter.models.trained import check_scores, ranker_of, scored_by_list, scores_of
from instanter.models.training import TrainingOptions, train

from .examples import small_artefact, small_linear

NAMES = ("item.a", "cross.b", "item.views", "position", "person.c")
COLUMNS = [Column(name, unbounded=name == "item.views") for name in NAMES]
BUILT_IN = {"item.a": 1.0, "position": 0.2}
BEHIND = np.array([-1.0, 1.5, 0.8, 0.0, 0.0])
"""What people of this shop go by, of the terms of the inputs."""
OPTIONS = TrainingOptions(kind="conditional_logit", later_share=0.1)


def chosen_lists(lists: int = 400, rows: int = 10, seed: int = 3, gone: float = 0.1) -> Dataset:
    """Of each list one item was chosen, by `BEHIND`."""
    rng = np.random.default_rng(seed)
    count = lists * rows
    matrix = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    matrix[:, 2] = rng.poisson(20.0, count) ** 2
    matrix[:, 4] = np.repeat(rng.normal(size=lists), rows)
    terms = matrix.astype(np.float64)
    terms[:, 2] = np.log1p(terms[:, 2])
    scores = (terms @ BEHIND + rng.gumbel(size=count)).reshape(lists, rows)
    labels = np.zeros((lists, rows))
    labels[np.arange(lists), scores.argmax(axis=1)] = 1.0
    matrix[rng.random(matrix.shape) < gone] = np.nan
    return Dataset(
        NAMES, matrix, np.arange(0, count + 1, rows), labels.ravel(), np.zeros(count, np.int32), np.ones(count),
        np.arange(lists) * 1_000, ("item.views",), Head("item.a", weights=tuple(BUILT_IN.items())),
    )  # fmt: skip


def learned(dataset: Dataset) -> LinearWeights:
    weights = train(dataset, OPTIONS).model()
    assert isinstance(weights, LinearWeights)
    return weights


def test_the_weights_that_people_go_by_are_found() -> None:
    weights = learned(chosen_lists(lists=4_000, gone=0.0)).weight
    assert np.abs(weights[:3] - BEHIND[:3]).max() < 0.15


def test_lists_that_nobody_learned_from_are_ordered_better_than_by_the_built_in_weights() -> None:
    artefact, fresh = train(chosen_lists(), OPTIONS), chosen_lists(seed=9)
    built_in = scored_by_list(LinearRanker(COLUMNS, BUILT_IN), COLUMNS, fresh)
    figures = [ndcg(fresh.labels, scores, fresh.groups) for scores in (scores_of(artefact, fresh), built_in)]
    assert compare(*figures).low > 0.1


def test_what_a_list_says_nothing_of_keeps_its_weight() -> None:
    weights = dict(zip(NAMES, learned(chosen_lists()).weight.tolist(), strict=True))
    assert (weights["position"], weights["person.c"]) == (BUILT_IN["position"], 0.0)


def test_an_input_that_never_differs_keeps_its_weight() -> None:
    dataset = chosen_lists()
    matrix = dataset.matrix.copy()
    matrix[:, 0] = 7.0
    assert learned(msgspec.structs.replace(dataset, matrix=matrix)).weight[0] == BUILT_IN["item.a"]


def test_the_more_they_are_penalised_the_less_weights_move(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    for penalty in (1e6, 1.0, 0.003):
        monkeypatch.setattr(conditional_logit, "PENALTIES", (penalty,))
        moved.append(float(np.abs(learned(chosen_lists()).weight[:2] - [1.0, 0.0]).sum()))
    assert moved[0] < 1e-3 < moved[1] < moved[2]


def test_the_same_examples_give_the_same_bytes() -> None:
    first = encode(train(chosen_lists(), OPTIONS))
    assert encode(train(chosen_lists(), OPTIONS)) == first
    assert encode(train(chosen_lists(seed=4), OPTIONS)) != first


def test_a_kept_model_gives_what_it_gave_and_programs_from_before_refuse_its_format() -> None:
    artefact = train(chosen_lists(), OPTIONS)
    raw = encode(artefact)
    assert decode(raw) == artefact
    check_scores(decode(raw))
    assert (int.from_bytes(raw[8:12], "little"), int.from_bytes(encode(small_artefact())[8:12], "little")) == (2, 1)


def test_it_ranks_whole_lists_and_what_its_inputs_add_is_the_score() -> None:
    dataset = chosen_lists()
    artefact = train(dataset, OPTIONS)
    assert artefact.head is None
    ranker, matrix = ranker_of(COLUMNS, artefact), dataset.matrix[:10]
    added = ranker.contributions(matrix, COLUMNS)
    assert np.allclose(added.sum(axis=1), ranker.score(matrix, COLUMNS), rtol=0.0, atol=1e-12)
    assert (added[:, 1] != 0.0).all(), "what is absent adds what it adds to the others on average"
    beyond = matrix.copy()
    beyond[0, 0] = np.inf
    missing = matrix.copy()
    missing[0, 0] = np.nan
    assert ranker.score(beyond, COLUMNS).tolist() == ranker.score(missing, COLUMNS).tolist()


def test_it_works_without_inputs_that_there_are_no_longer() -> None:
    ranker = ranker_of([Column("item.b", unbounded=True)], small_artefact(kind="conditional_logit"))
    assert ranker.missing == ("item.a",)
    matrix = np.array([[0.0], [np.e - 1.0]], np.float32)
    assert np.allclose(ranker.score(matrix, [Column("item.b", unbounded=True)]), [0.0, -0.5])


def test_no_more_values_are_held_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = chosen_lists()
    assert limits.CONDITIONAL_LOGIT_VALUES_MAX == conditional_logit.CONDITIONAL_LOGIT_VALUES_MAX
    monkeypatch.setattr(conditional_logit, "CONDITIONAL_LOGIT_VALUES_MAX", 25 * 10 * len(NAMES))
    newest = conditional_logit._newest(dataset)
    assert (len(newest), newest.at_ms[-1]) == (25, dataset.at_ms[-1])
    monkeypatch.setattr(conditional_logit, "CONDITIONAL_LOGIT_VALUES_MAX", 1)
    assert len(conditional_logit._newest(dataset)) == 1, "one list at least"


def test_lists_without_a_reward_teach_nothing() -> None:
    dataset = chosen_lists()
    labels = dataset.labels.copy()
    labels[: int(dataset.groups[200])] = 0.0
    half = msgspec.structs.replace(dataset, labels=labels)
    assert np.isfinite(learned(half).weight).all()
    with pytest.raises(RequestRejected, match="no reward"):
        train(msgspec.structs.replace(dataset, labels=np.zeros(len(labels))), OPTIONS)


def test_where_rows_were_shown_is_no_input_of_it() -> None:
    for position in ("fixed", "debiased"):
        with pytest.raises(RequestRejected, match="leaves the weight of a position"):
            TrainingOptions(kind="conditional_logit", position=position)


def test_weights_that_no_model_can_have_are_refused() -> None:
    for weight, unbounded in (([1.0], [0, 0]), ([1.0, np.nan], [0, 0]), ([1.0, 2.0, 3.0], [0, 0, 0])):
        body = LinearWeights(np.array(weight), np.array(unbounded, np.uint8)).packed()
        with pytest.raises(ValueError, match="weight"):
            unpacked(body, 2)
    assert isinstance(unpacked(small_linear().packed(), 2), LinearWeights)
    with pytest.raises(Broken, match="no linear weights"):
        ConditionalLogitRanker(COLUMNS, small_artefact())
