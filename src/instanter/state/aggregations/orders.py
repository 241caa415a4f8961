"""A count of orders, each of them once whatever is told of it and how often: [those no longer remembered one by one,
whether there are such, k pairs [time and what was told, order]], newest first. What was told are two bits below the
time: that it was made, that it was taken back. Unit: orders.

>>> ints = np.zeros(6, np.int64)
>>> for order, back in ((5, False), (5, False), (6, False), (6, True)):
...     add(ints, 0, 2, 1_000, order, back)
>>> read(ints, 0, 2)
1.0
"""

from __future__ import annotations

import numpy as np

from ..compiled import Ints, kernel
from .base import Aggregation, Rules, Trait
from .order import before

_MADE, _TAKEN_BACK = 1, 2


@kernel
def add(ints: Ints, at: int, k: int, at_ms: int, order: int, back: bool) -> None:
    """One statement about an order; without its id it cannot be told from others, and counts by itself."""
    if order == 0:
        ints[at] += -1 if back else 1
        return
    _put_order(ints, at, k, at_ms, order, _TAKEN_BACK if back else _MADE)


@kernel
def _put_order(ints: Ints, at: int, k: int, at_ms: int, order: int, told: int) -> None:
    end = k
    for i in range(k):
        word = ints[at + 2 + 2 * i]
        if word != 0 and ints[at + 3 + 2 * i] == order:
            at_ms, told, end = max(at_ms, word >> 2), told | (word & 3), i + 1
            break
    if end == k and ints[at + 2 * k] != 0 and ints[at + 1 + 2 * k] != order:
        last_ms, last = ints[at + 2 * k] >> 2, ints[at + 1 + 2 * k]
        if before(last_ms, last, at_ms, order):
            _let_go_of_order(ints, at, told)
            return
        _let_go_of_order(ints, at, ints[at + 2 * k] & 3)
    place = 0
    while place < end - 1 and before(ints[at + 2 + 2 * place] >> 2, ints[at + 3 + 2 * place], at_ms, order):
        place += 1
    for i in range(end - 1, place, -1):
        ints[at + 2 + 2 * i] = ints[at + 2 * i]
        ints[at + 3 + 2 * i] = ints[at + 1 + 2 * i]
    ints[at + 2 + 2 * place] = at_ms << 2 | told
    ints[at + 3 + 2 * place] = order


@kernel
def _let_go_of_order(ints: Ints, at: int, told: int) -> None:
    ints[at] += _order_counts(told, ints[at + 1])
    ints[at + 1] = 1


@kernel
def _order_counts(told: int, older: int) -> int:
    """What an order counts. One that was only taken back was made before anybody counted, or is among the older."""
    if told == _MADE:
        return 1
    return -1 if told == _TAKEN_BACK and older else 0


@kernel
def read(ints: Ints, at: int, k: int) -> float:
    if ints[at] == 0 and ints[at + 2] == 0:
        return np.nan
    total = ints[at]
    for i in range(k):
        if ints[at + 2 + 2 * i] != 0:
            total += _order_counts(ints[at + 2 + 2 * i] & 3, ints[at + 1])
    return float(max(total, 0))


@kernel
def merge(ints: Ints, to: int, of: int, k: int) -> None:
    ints[to] += ints[of]
    ints[to + 1] = max(ints[to + 1], ints[of + 1])
    for i in range(k):
        word = ints[of + 2 + 2 * i]
        if word != 0:
            _put_order(ints, to, k, word >> 2, ints[of + 3 + 2 * i], word & 3)


ORDERS = Aggregation(
    name="orders", number=14, words=lambda spec: 2 + 2 * spec.k, declared_as="count", declared_by="order",
    rules=Rules(by="must", k="must", takes_back=True, scopes=("session", "profile")),
    traits=Trait.FROM_ZERO | Trait.EVENTS, add_order=add, merge=merge, read=read,
)  # fmt: skip
