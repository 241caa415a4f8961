"""Whether a model that has just been trained may take over: measured on the newest lists, which it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
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
NOW: Final = "what ranks now"
_NO_PLAIN_ORDERS: Final[Mapping[str, Reals]] = {}


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


def judge(
    newest: Dataset, candidate: Reals, incumbent: Reals, plain: Mapping[str, Reals] = _NO_PLAIN_ORDERS
) -> GateVerdict:
    """Compare a ranker with the one that ranks now, and with plain orders by their names, by scores of the same rows.

    The candidate passes if it is better than each, or if it is hardly worse and the lists cannot tell it from being as
    good. The figures are those beside what ranks now, or beside the first that it is worse than.
    """
    figures = ndcg(newest.labels, candidate, newest.groups, k=_PLACES)
    verdict = None
    for name, scores in {NOW: incumbent, **plain}.items():
        found = compare(figures, ndcg(newest.labels, scores, newest.groups, k=_PLACES))
        if found.lists < LISTS_LEAST:
            return GateVerdict(False, f"only {found.lists} lists have a reward", found.lists, 0.0, 0.0, 0.0)
        if not (found.mean >= 0.0 or (found.mean >= -WORSE_MAX and found.high >= 0.0)):
            return GateVerdict(False, f"worse than {name}", found.lists, found.mean, found.low, found.high)
        if verdict is None:
            verdict = GateVerdict(True, f"as good as {name}, or better", found.lists, found.mean, found.low, found.high)
    assert verdict is not None
    return verdict
