"""Orders that take no learning, each by one input: what a model has to be as good as before it may rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ..features.carriers import Carriers
from ..features.roles import FeatureRole
from ..state.compiled import Reals
from .dataset import Dataset

_BY_ROLE: Final[dict[str, FeatureRole]] = {"by popularity": "popularity", "by what is trending": "trending"}
"""Of the number of the item's feature that has the role."""
_BY_INPUT: Final = {
    "by what is viewed together": "cross.co_viewed",
    "by what came after": "next.after",
    "by what came right after": "next.next",
    "by visits of the same kind": "next.kin",
    "by what may come next": "next.chance",
}
"""The inputs that sequential rules and session kNN are alone, and all readings of people's steps in one."""


def plain_orders(dataset: Dataset, carriers: Carriers) -> Mapping[str, Reals]:
    """Scores of all rows by name, for each order that has its input, and one that is not the same everywhere: such an
    order would be that in which candidates were found. What is missing comes last."""
    inputs = {name: f"item.{carriers[role]}" for name, role in _BY_ROLE.items() if role in carriers} | _BY_INPUT
    places = {name: place for place, name in enumerate(dataset.columns)}
    scores = {
        name: np.nan_to_num(dataset.matrix[:, places[column]].astype(np.float64), nan=-np.inf)
        for name, column in inputs.items() if column in places
    }  # fmt: skip
    return {name: found for name, found in scores.items() if len(found) and found.min() < found.max()}
