"""What people do with what they were shown, by canonical event name."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag
from typing import Final, NamedTuple

from ..events import kinds
from ..events.envelope import Tracked
from ..events.meanings import MEANINGS, Role


class Outcome(IntFlag):
    """Kinds of outcome, as bits."""

    NONE = 0
    IMPRESSION = 1
    """The list was seen; told by a list that names the decision."""
    VIEW = 2
    CLICK = 4
    DWELL = 8
    """Stayed for as long as is declared."""
    LIKE = 16
    CART = 32
    ORDER = 64
    REFUND = 128


_BY_ROLE: Final = {
    Role.SHOWN: Outcome.IMPRESSION,
    Role.VIEW: Outcome.VIEW,
    Role.CLICK: Outcome.CLICK,
    Role.READ: Outcome.DWELL,
    Role.LIKE: Outcome.LIKE,
    Role.CART: Outcome.CART,
    Role.ORDER: Outcome.ORDER,
    Role.REFUND: Outcome.REFUND,
    Role.CANCEL: Outcome.REFUND,
}
OUTCOME_OF: Final = {kinds.PAGE_LEFT: Outcome.DWELL} | {
    meaning.name: _BY_ROLE[meaning.role] for meaning in MEANINGS if meaning.role in _BY_ROLE
}
"""By canonical name; an order that only the visitor's device tells of is none."""
OUTCOMES_FORMERLY: Final = frozenset({
    kinds.PRODUCT_LIST_VIEWED, kinds.PROMOTION_VIEWED, kinds.PRODUCT_VIEWED, kinds.ARTICLE_VIEWED,
    kinds.PRODUCT_CLICKED, kinds.PROMOTION_CLICKED, kinds.ARTICLE_READ, kinds.PAGE_LEFT, kinds.ARTICLE_LIKED,
    kinds.PRODUCT_ADDED_TO_WISHLIST, kinds.PRODUCT_ADDED, kinds.ORDER_COMPLETED, kinds.ORDER_REFUNDED,
})  # fmt: skip
"""The names that were outcomes under rules 1 of the fold: what was learned from them is folded state."""
_DWELLS: Final = ("read_ms", "dwell_ms")


class Happened(NamedTuple):
    """One item's part in one event."""

    outcome: Outcome
    item: int
    revenue: float
    """Price times quantity of an order, as far as both are known; less than 0 for a refund."""


def happened_in(event: Tracked, *, dwell_ms: int) -> Iterator[Happened]:
    """The outcomes in an event, an item each. Staying for less than `dwell_ms` is none."""
    outcome = OUTCOME_OF.get(event.name, Outcome.NONE)
    if not outcome or (outcome is Outcome.IMPRESSION and not event.decision_id):
        return
    if outcome is Outcome.DWELL and max(event.values.get(name, 0.0) for name in _DWELLS) < dwell_ms:
        return
    sign = {Outcome.ORDER: 1.0, Outcome.REFUND: -1.0}.get(outcome, 0.0)
    for place, item in enumerate(event.items):
        yield Happened(outcome, item, sign * _revenue(event, place) if sign else 0.0)


def _revenue(event: Tracked, place: int) -> float:
    price = event.prices[place] if event.prices else 0.0
    quantity = event.quantities[place] if event.quantities else 1.0
    return price * quantity if price == price else 0.0
