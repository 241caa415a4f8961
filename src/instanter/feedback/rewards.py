"""What an outcome is worth, and how long one is waited for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from .outcomes import Outcome

MINUTE_MS: Final = 60_000

Rewarded = Literal["view", "click", "dwell", "like", "cart", "order", "revenue"]
DEFAULT_WORTHS: Final[Mapping[Rewarded, float]] = {
    "view": 0.0, "click": 1.0, "dwell": 1.0, "like": 2.0, "cart": 3.0, "order": 5.0, "revenue": 0.0,
}  # fmt: skip
"""A view is worth nothing by itself: who clicks also views, and the click says it."""
_BITS: Final[Mapping[Rewarded, int]] = {
    "view": int(Outcome.VIEW), "click": int(Outcome.CLICK), "dwell": int(Outcome.DWELL), "like": int(Outcome.LIKE),
    "cart": int(Outcome.CART), "order": int(Outcome.ORDER),
}  # fmt: skip
_REFUND: Final = int(Outcome.REFUND)


class Rewards(msgspec.Struct, frozen=True, kw_only=True):
    """As declared in the configuration.

    A reward is the sum of what each kind of outcome that came about is worth, once each, and of the revenue's
    logarithm.

    >>> Rewards().of(Outcome.CLICK | Outcome.ORDER, revenue=0.0)
    6.0
    """

    window_ms: int = 30 * MINUTE_MS
    """After a list was shown in which an outcome belongs to it."""
    delay_ms: int = 5 * MINUTE_MS
    """For which outcomes that come late are waited for; any order of arrival within it gives the same examples."""
    dwell_ms: int = 15_000
    """Staying for as long counts."""
    worths: Mapping[Rewarded, float] = msgspec.field(default_factory=lambda: dict(DEFAULT_WORTHS))
    propensity_least: float = 0.05
    """What was drawn more rarely than this counts as if it had been drawn so often: weights stay bounded."""

    def of(self, outcomes: int, revenue: float) -> float:
        """The reward of an item; never less than 0, and nothing for what was given back."""
        # Most of what is shown comes to nothing, and every row of a training set passes here.
        if (not outcomes and revenue <= 0.0) or outcomes & _REFUND:
            return 0.0
        worths = self.worths
        total = sum(worths.get(name, 0.0) for name, bit in _BITS.items() if outcomes & bit)
        return total + worths.get("revenue", 0.0) * math.log1p(max(revenue, 0.0))

    def weight(self, propensity: float) -> float:
        """Of an item that was shown with this propensity: its inverse; 1 where it is not known."""
        return 1.0 / max(propensity, self.propensity_least) if propensity == propensity else 1.0
