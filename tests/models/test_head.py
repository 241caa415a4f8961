"""A model that orders the head of a list: which rows these are, and that the others stand behind as they were."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.features.assemble import Column
from instanter.foundation.errors import RequestRejected
from instanter.models.artefact import decode, encode
from instanter.models.dataset import Dataset
from instanter.models.head import Head
from instanter.models.head_ranker import standing_order
from instanter.models.trained import ranker_of, row_ranker_of, scores_of
from instanter.models.training import TrainingOptions, train

from .examples import shop_lists, small_artefact

COLUMNS = (Column("item.a"), Column("item.b"), Column("next.chance"))
VALUES = st.lists(st.one_of(st.floats(-10.0, 10.0, width=32), st.just(float("nan"))), min_size=1, max_size=12)


@given(VALUES, st.integers(1, 12))
def test_the_head_is_ordered_by_the_model_and_the_rest_stands_behind_as_it_was(
    values: list[float], rows: int
) -> None:
    matrix = np.zeros((len(values), 3), np.float32)
    matrix[:, 0], matrix[:, 2] = np.arange(len(values)) % 3, values
    headed = ranker_of(COLUMNS, msgspec.structs.replace(small_artefact(), head=Head("next.chance", rows)))
    scores = headed.score(matrix, COLUMNS)
    plainly = sorted(range(len(values)), key=lambda row: (np.isnan(values[row]), -values[row]))
    head, behind = plainly[:rows], plainly[rows:]
    assert scores[head].tolist() == row_ranker_of(COLUMNS, small_artefact()).score(matrix[head], COLUMNS).tolist()
    assert np.argsort(-scores, kind="stable")[len(head) :].tolist() == behind
    assert headed.contributions(matrix, COLUMNS).shape == matrix.shape


def test_without_the_input_all_rows_are_ordered() -> None:
    matrix = np.zeros((5, 2), np.float32)
    matrix[:, 0] = [0.0, 1.0, 0.0, 1.0, 0.0]
    artefact = small_artefact()
    headed = ranker_of(COLUMNS[:2], msgspec.structs.replace(artefact, head=Head("next.chance", 2)))
    assert headed.score(matrix, COLUMNS[:2]).tolist() == (
        row_ranker_of(COLUMNS[:2], artefact).score(matrix, COLUMNS[:2]).tolist()
    )


def test_which_rows_are_the_head_is_said_by_a_linear_order_where_there_is_one() -> None:
    matrix = np.array([[0.0, 3.0, 9.0], [1.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    weights = (("item.b", 1.0), ("item.gone", 5.0))
    headed = ranker_of(COLUMNS, msgspec.structs.replace(small_artefact(), head=Head("next.chance", 2, weights)))
    scores = headed.score(matrix, COLUMNS)
    assert set(np.argsort(-scores)[:2].tolist()) == {0, 2}
    assert np.argsort(-scores)[2:].tolist() == [1, 3]


def test_a_head_from_before_there_were_weights_is_read() -> None:
    assert msgspec.convert(["next.chance", 60], Head) == Head("next.chance")


def with_head(dataset: Dataset, rows: int) -> Dataset:
    return msgspec.structs.replace(dataset, head=Head(dataset.columns[0], rows))


def test_a_model_orders_what_its_examples_say_and_each_list_is_measured_by_itself() -> None:
    options = TrainingOptions(trees_max=10, leaves=4, min_data_in_leaf=5)
    lists = with_head(shop_lists(), 3)
    artefact = decode(encode(train(lists, options)))
    assert artefact.head == lists.head
    scores = scores_of(artefact, lists)
    columns = tuple(Column(name) for name in lists.columns)
    for first, last in zip(lists.groups[:5], lists.groups[1:6], strict=True):
        alone = ranker_of(columns, artefact).score(lists.matrix[first:last], columns)
        assert scores[first:last].tolist() == alone.tolist()
        behind = standing_order(lists.matrix[first:last, 0])[3:]
        assert np.argsort(-scores[first:last], kind="stable")[3:].tolist() == behind.tolist()
    assert artefact.dataset != train(msgspec.structs.replace(lists, head=None), options).dataset


def test_what_people_did_next_is_not_calibrated() -> None:
    with pytest.raises(RequestRejected, match="how likely a reward is"):
        train(with_head(shop_lists(), 3), TrainingOptions(calibration="platt"))
