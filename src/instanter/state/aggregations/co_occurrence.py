"""The k items met most often with this one in a session: words as of a `top_k` without a half-life. Each pair of
distinct items of a session counts once, see `pairs`; what the session has seen is kept beside (`seen`). Unit: sessions.

>>> import numpy as np
>>> from instanter.state.aggregations.top_k import count
>>> ints = np.zeros(6, np.int64)
>>> reals = ints.view(np.float64)
>>> count(ints, reals, 0, 2, 0, 1, 7, 1_000_000, 0.0)
>>> ints.tolist()
[0, 0, 7, 1000000, 0, 0]
"""

from __future__ import annotations

from . import top_k
from .base import Aggregation, Rules, Trait
from .seen import SEEN

CO_OCCURRENCE = Aggregation(
    name="co_occurrence", number=12, words=top_k.words_of, rules=Rules(k="must", scopes=("item",)),
    traits=Trait.PAIRS, merge=top_k.merge, sort=top_k.sort_entries, companion=SEEN,
)  # fmt: skip
