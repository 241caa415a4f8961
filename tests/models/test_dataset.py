from __future__ import annotations

import msgspec
import numpy as np
import pytest

from instanter.foundation.errors import Broken, RequestRejected
from instanter.models.dataset import Dataset, TrainingRows
from instanter.models.head import Head

from .examples import shop_lists


def small(**changed: object) -> Dataset:
    parts: dict[str, object] = {
        "columns": ("a", "b"), "matrix": np.arange(8, dtype=np.float32).reshape(4, 2), "groups": np.array([0, 2, 3, 4]),
        "labels": np.array([0.0, 1.0, 0.0, 2.0]), "positions": np.array([1, 2, 1, 1], np.int32), "weights": np.ones(4),
        "at_ms": np.array([10, 20, 20]),
    }  # fmt: skip
    return Dataset(**(parts | changed))


@pytest.mark.parametrize("changed", [
    {"matrix": np.zeros((4, 3), np.float32)}, {"matrix": np.zeros((3, 2), np.float32)}, {"matrix": np.zeros((4, 2))},
    {"labels": np.zeros(3)}, {"labels": np.array([0.0, np.nan, 0.0, 0.0])}, {"labels": np.array([0.0, -1.0, 0.0, 0.0])},
    {"weights": np.array([0.0, np.inf, 0.0, 0.0])}, {"weights": np.ones(5)}, {"weights": -np.ones(4)},
    {"positions": np.array([-1, 1, 1, 1], np.int32)}, {"positions": np.ones(3, np.int32)},
    {"groups": np.array([0, 2, 2, 4])}, {"groups": np.array([1, 2, 3, 4])}, {"groups": np.array([0, 2, 3, 5])},
    {"groups": np.array([0, 4])}, {"at_ms": np.array([10, 20, 19])}, {"columns": ("a", "a")}, {"unbounded": ("c",)},
])
def test_parts_that_do_not_fit_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(Broken):
        small(**changed)


def test_lists_of_one_moment_stay_together() -> None:
    earlier, later = small().split(at_share=0.7)
    assert earlier.at_ms.tolist() == [10]
    assert later.at_ms.tolist() == [20, 20]
    assert (earlier.groups.tolist(), later.groups.tolist()) == ([0, 2], [0, 1, 2])
    assert (earlier.labels.tolist(), later.labels.tolist()) == ([0.0, 1.0], [0.0, 2.0])
    assert later.matrix.tolist() == [[4.0, 5.0], [6.0, 7.0]]


def test_a_moment_belongs_to_what_is_later() -> None:
    dataset = shop_lists(lists=10)
    earlier, later = dataset.split(at_ms=4_000)
    assert (len(earlier), len(later), later.at_ms[0]) == (4, 6, 4_000)


def test_a_split_copies_no_inputs() -> None:
    dataset = shop_lists(lists=10)
    assert all(np.shares_memory(part.matrix, dataset.matrix) for part in dataset.split(at_share=0.8))


@pytest.mark.parametrize("how", [{"at_share": 0.0}, {"at_ms": 5}, {"at_ms": 21}])
def test_a_split_with_an_empty_side_is_refused(how: dict[str, float]) -> None:
    with pytest.raises(RequestRejected, match="cannot be cut"):
        small().split(**how)
    nothing = small(
        matrix=np.zeros((0, 2), np.float32), groups=np.array([0]), labels=np.zeros(0), weights=np.zeros(0),
        positions=np.zeros(0, np.int32), at_ms=np.zeros(0, np.int64))  # fmt: skip
    with pytest.raises(RequestRejected):
        nothing.split(**how)


def test_the_identity_follows_every_part() -> None:
    dataset = small()
    assert small().identity() == dataset.identity()
    parts = {
        "columns": ("a", "c"), "matrix": dataset.matrix + 1, "groups": np.array([0, 1, 3, 4]),
        "labels": dataset.labels + 1, "positions": dataset.positions + 1, "weights": dataset.weights + 1,
        "at_ms": dataset.at_ms + 1, "unbounded": ("a",), "head": Head("a", 1),
    }  # fmt: skip
    beside = {"acted"}  # Which says nothing that trees learn: their files keep the name of their examples.
    assert set(parts) | beside == {field.name for field in msgspec.structs.fields(Dataset)}
    changed = {small(**{name: value}).identity() for name, value in parts.items()}
    assert len(changed | {dataset.identity()}) == 1 + len(parts)


def test_rows_without_positions_are_not_copied() -> None:
    matrix = np.zeros((4, 2), np.float32)
    assert np.shares_memory(TrainingRows(matrix).block(1, 3), matrix)
    assert len(TrainingRows(matrix)) == 4
