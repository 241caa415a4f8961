"""What was shown to somebody: a list of ours, or one that somebody else chose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from ..events.envelope import Tracked
from ..events.kinds import PRODUCT_LIST_VIEWED, PROMOTION_VIEWED
from ..log.frames import LogPosition

DECISION: Final = "decision"
LIST: Final = "list"
SHOWING: Final = frozenset({PRODUCT_LIST_VIEWED, PROMOTION_VIEWED})

UNKNOWN: Final = float("nan")


class Slate(msgspec.Struct, frozen=True, kw_only=True):
    """One list. `items`, `places` and `propensities` run in parallel; so do `prices`, unless there are none."""

    id: str
    """The decision's, or the `list_id`; of a list without one the reference of its message."""
    source: Literal["decision", "list"]
    tenant: str
    key: int
    """The cell that asked, or that sent the event; 0 for nobody."""
    cells: tuple[int, ...]
    """All cells of the person, as they were linked then."""
    at_ms: int
    position: LogPosition
    """Of the log: what the ranker read, or would have read, is the state with everything before it folded."""
    items: tuple[int, ...]
    places: tuple[int, ...]
    """From 1 on."""
    propensities: tuple[float, ...] = ()
    """That the item stands there, over the policy's draw; empty where others chose and it is not known."""
    placement: str = ""
    """Of a decision."""
    prices: tuple[float, ...] = ()
    """As sent with the list, NaN where there was none."""


def slate_of(event: Tracked, *, cells: Sequence[int], position: LogPosition) -> Slate | None:
    """The list that an event tells of; None if it tells of none, or of one of ours, which the decision told of."""
    if event.name not in SHOWING or event.decision_id or not event.items:
        return None
    firsts = {item: place for place, item in reversed(list(enumerate(event.items)))}
    kept = sorted(firsts.values())
    places = event.positions if len(event.positions) == len(event.items) else range(1, len(event.items) + 1)
    return Slate(
        id=event.list_id or f"{event.message & 0xFFFFFFFFFFFFFFFF:016x}",
        source=LIST,
        tenant=event.tenant,
        key=event.key,
        cells=tuple(cells),
        at_ms=event.happened_ms,
        position=position,
        items=tuple(event.items[place] for place in kept),
        places=tuple(places[place] for place in kept),
        prices=tuple(event.prices[place] for place in kept) if event.prices else (),
    )
