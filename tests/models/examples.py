"""Lists that were shown, with a taste behind what was chosen, and small models made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from instanter.features.assemble import Column
from instanter.models.artefact import Artefact, Input, Kind, make_check
from instanter.models.bodies import (
    DEFAULT_LEFT,
    MISSING_NAN,
    MISSING_SHIFT,
    Attention,
    Learned,
    LinearWeights,
    Trees,
    Weights,
)
from instanter.models.dataset import Dataset
from instanter.models.trained import row_ranker_of

COLUMNS = 6


def shop_lists(*, seed: int = 1, lists: int = 300, rows: int = 8, gone: float = 0.1) -> Dataset:
    """Lists of people who choose by the first columns and by position; the last column says nothing."""
    rng = np.random.default_rng(seed)
    count = lists * rows
    matrix = rng.normal(size=(count, COLUMNS)).astype(np.float32)
    matrix[rng.random(matrix.shape) < gone] = np.nan
    positions = np.tile(np.arange(1, rows + 1), lists).astype(np.int32)
    taste = np.nan_to_num(matrix) @ np.array([1.5, -1.0, 0.5, 0.0, 0.0, 0.0])
    chosen = rng.random(count) < 1.0 / (1.0 + np.exp(1.5 - taste + 0.5 * np.log(positions)))
    return Dataset(
        tuple(f"item.input_{number}" for number in range(COLUMNS)), matrix, np.arange(0, count + 1, rows),
        chosen * rng.choice([1.0, 3.0], count), positions, np.ones(count), np.arange(lists) * 1_000,
    )  # fmt: skip


def small_trees() -> Trees:
    """Two trees: one with two splits, one that is a leaf."""
    return Trees(
        np.array([0, 2, 2], np.int32), np.array([0, 3, 4], np.int32), np.array([0, 1], np.int32),
        np.array([0.5, -1.0]), np.array([1, ~1], np.int32), np.array([~0, ~2], np.int32),
        np.array([DEFAULT_LEFT | MISSING_NAN << MISSING_SHIFT, MISSING_NAN << MISSING_SHIFT], np.uint8),
        np.array([0.25, 0.75]), np.array([-1.0, 0.5, 1.0, 0.125]),
    )  # fmt: skip


def small_weights() -> Weights:
    return Weights(
        -0.5, np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.array([0, 1], np.uint8)
    )


def small_linear() -> LinearWeights:
    return LinearWeights(np.array([1.0, -0.5]), np.array([0, 1], np.uint8))


def small_attention() -> Attention:
    """A net that is no graph: whoever is asked in its place says what it tells."""
    return Attention(
        small_linear(), 0.5, b"no graph", ("sofa", "lamp", "rug"), 4, np.array([0, 0, 1, 2], np.int32),
        np.array([1, 3], np.int32), np.array([0.5, -0.5], np.float32),
    )  # fmt: skip


def small_artefact(*, made_ms: int = 0, logistic: bool = False, kind: Kind | None = None) -> Artefact:
    """A model of two inputs that knows what it gives."""
    matrix = np.array([[np.nan, 1.0], [0.0, np.nan], [1.0, 0.0], [0.0, -2.0]], np.float32)
    kind = kind or ("logistic" if logistic else "lambdamart")
    bodies: dict[str, Callable[[], Learned]] = {
        "lambdamart": small_trees, "logistic": small_weights, "conditional_logit": small_linear,
        "attention": small_attention,
    }  # fmt: skip
    artefact = Artefact(
        kind=kind, inputs=(Input("item.a", "v1"), Input("item.b")),
        body=bodies[kind]().packed(), check=make_check(matrix, np.zeros(4)),
        tenant="shop", placement="home.hero", made_ms=made_ms, metrics={"ndcg_10": 0.5},
    )  # fmt: skip
    columns = [Column("item.a"), Column("item.b")]
    scores = row_ranker_of(columns, artefact).raw_scores(matrix, columns)
    return Artefact(**{**{name: getattr(artefact, name) for name in artefact.__struct_fields__},
                       "check": make_check(matrix, scores)})  # fmt: skip
