"""What people did with items, one step after another: [number of the newest step about the item], 0 for none. The steps
themselves lie in the feature's ring, see `steps`; `newest` beside it names the newest one of a person. Numbers follow
the log.

>>> import numpy as np
>>> words = np.array([3, 5])
>>> merge(words, 0, 1)
>>> int(words[0])
5
"""

from __future__ import annotations

from ..compiled import Ints, kernel
from .base import Aggregation, Rules, Trait
from .newest import NEWEST


@kernel
def merge(ints: Ints, to: int, of: int) -> None:
    ints[to] = max(ints[to], ints[of])


SEQUENCES = Aggregation(
    name="sequences", number=15, words=lambda spec: 1, rules=Rules(scopes=("item",)), traits=Trait.STEPS, merge=merge,
    companion=NEWEST, inexact=lambda spec: [0],
)  # fmt: skip
