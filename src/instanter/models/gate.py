"""Whether a model that has just been trained may take over: measured on the newest lists, which it has not seen."""

from __future__ import annotations

from typing import Final

import msgspec

from ..state.compiled import Reals
from .dataset import Dataset
from .evaluate import compare, ndcg

LISTS_LEAST: Final = 50
"""Lists with a reward that have to be there: fewer say nothing."""
WORSE_MAX: Final = 0.005
"""By how much NDCG@10 may fall, where the interval still allows for no fall at all."""
_PLACES: Final = 10


class GateVerdict(msgspec.Struct, frozen=True):
    """What the gate says, and why. NDCG@10, means over the newest lists that have a reward."""

    passes: bool
    why: str
    lists: int
    difference: float
    """Candidate less incumbent."""
    low: float
    high: float
    """95 % interval of the difference, paired over lists."""

    @property
    def is_better(self) -> bool:
        """Whether a difference was measured: the interval lies above none."""
        return self.low > 0.0


def judge(newest: Dataset, candidate: Reals, incumbent: Reals) -> GateVerdict:
    """Compare two rankers by their scores of the same rows.

    The candidate passes if it is better, or if it is hardly worse and the lists cannot tell it from being as good.
    """
    figures = [ndcg(newest.labels, scores, newest.groups, k=_PLACES) for scores in (candidate, incumbent)]
    found = compare(*figures)
    if found.lists < LISTS_LEAST:
        return GateVerdict(False, f"only {found.lists} lists have a reward", found.lists, 0.0, 0.0, 0.0)
    as_good = found.mean >= 0.0 or (found.mean >= -WORSE_MAX and found.high >= 0.0)
    why = "as good as what ranks now, or better" if as_good else "worse than what ranks now"
    return GateVerdict(as_good, why, found.lists, found.mean, found.low, found.high)
