"""A last k by reference whose acts may be taken back. k pairs [time, reference], newest first; the time of an act that
takes back is negative. Behind them k words: the order that each act belongs to, or 0. Taking a whole order back is an
act on the order's own reference.
"""

from __future__ import annotations

from ..compiled import Ints, kernel
from ..table import Index
from .order import stands_before


@kernel
def put_act(
    ints: Ints, items: Index, at: int, k: int, by_row: bool, at_ms: int, ref: int, order: int, back: bool
) -> None:  # fmt: skip
    """Keep the act if it is the newest on its reference and among the k newest of all.

    The newest act on each reference, and the k newest of those: maxima, which no order of arrival can change.
    """
    orders, end = at + 2 * k, k
    word = -at_ms if back else at_ms
    for i in range(k):
        if ints[at + 2 * i] != 0 and ints[at + 2 * i + 1] == ref:
            known = ints[at + 2 * i]
            if known == word:
                ints[orders + i] = max(ints[orders + i], order)
            if known == word or _acted_before(items, by_row, known, ref, word, ref):
                return
            end = i + 1
            break
    place = 0
    while place < end and _acted_before(
        items, by_row, ints[at + 2 * place], ints[at + 2 * place + 1], word, ref
    ):  # fmt: skip
        place += 1
    if place == end:
        return
    for i in range(end - 1, place, -1):
        ints[at + 2 * i] = ints[at + 2 * i - 2]
        ints[at + 2 * i + 1] = ints[at + 2 * i - 1]
        ints[orders + i] = ints[orders + i - 1]
    ints[at + 2 * place] = word
    ints[at + 2 * place + 1] = ref
    ints[orders + place] = order


@kernel
def _acted_before(items: Index, by_row: bool, word: int, ref: int, other: int, other_ref: int) -> bool:
    """Whether an act stands in front of another: newer; at one time what takes back; else as in a last k."""
    time_ms, other_ms = abs(word), abs(other)
    if time_ms != other_ms:
        return time_ms > other_ms
    if (word < 0) != (other < 0):
        return word < 0
    return stands_before(items, by_row, time_ms, ref, other_ms, other_ref)


@kernel
def is_held(ints: Ints, at: int, k: int, i: int) -> bool:
    """Whether the i-th act stands: it takes nothing back, and its order has not been taken back as a whole."""
    if ints[at + 2 * i] <= 0:
        return False
    order, stands = ints[at + 2 * k + i], True
    for j in range(k):
        stands = stands and not (order != 0 and ints[at + 2 * j] < 0 and ints[at + 2 * j + 1] == order)
    return stands
