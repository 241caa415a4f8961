"""The items of a session that co-occurrence pairs up: [how many came, references in a ring]. Made by the layout, never
declared.

>>> import numpy as np
>>> ints = np.zeros(1 + SEEN_ITEMS_MAX, np.int64)
>>> add_seen(ints, 0, 7)
>>> bool(has_seen(ints, 0, 7)), bool(has_seen(ints, 0, 8))
(True, False)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..compiled import Ints, kernel
from ..layout import SEEN_ITEMS_MAX
from .base import Aggregation, Trait

if TYPE_CHECKING:
    from ..layout import FeatureSpec

@kernel
def has_seen(ints: Ints, at: int, ref: int) -> bool:
    found = False
    for i in range(min(ints[at], SEEN_ITEMS_MAX)):
        found = found or ints[at + 1 + i] == ref
    return found


@kernel
def add_seen(ints: Ints, at: int, ref: int) -> None:
    ints[at + 1 + ints[at] % SEEN_ITEMS_MAX] = ref
    ints[at] += 1


def _sort(words: Ints, spec: FeatureSpec) -> None:
    del spec
    words[:, 1:].sort(axis=1)


SEEN = Aggregation(
    name="seen", number=13, words=lambda spec: 1 + SEEN_ITEMS_MAX, traits=Trait.COMPANION, sort=_sort, unordered=True
)
