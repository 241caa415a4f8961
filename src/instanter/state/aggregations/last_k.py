"""The k newest: k pairs [time, value], newest first. By reference, each reference stands once with its newest time.
Items of one time stand in the order of their rows (`by_row`), which does not hang on the references that an
installation has.

Where something can be taken back, a pair is an act and k words more say which order each belongs to, see `held`.

>>> import numpy as np
>>> from instanter.state.table import make_index
>>> ints = np.zeros(4, np.int64)
>>> items = make_index(2)
>>> for at_ms, ref in ((10, 7), (20, 8), (30, 7)):
...     put_last(ints, items, 0, 2, True, False, at_ms, ref)
>>> ints.tolist()
[30, 7, 20, 8]
"""

from __future__ import annotations

from ..compiled import Ints, Reals, kernel
from ..table import Index
from .base import Aggregation, Rules, Trait
from .held import is_held, put_act
from .order import stands_before


@kernel
def add(
    ints: Ints, items: Index, at: int, k: int, unique: bool, by_row: bool, takes_back: int, at_ms: int, ref: int,
    micro: int, order: int, back: bool,
) -> None:  # fmt: skip
    if takes_back:
        put_act(ints, items, at, k, by_row, at_ms, ref, order, back)
    else:
        put_last(ints, items, at, k, unique, by_row, at_ms, ref if unique else micro)


@kernel
def put_last(
    ints: Ints, items: Index, at: int, k: int, unique: bool, by_row: bool, at_ms: int, value: int
) -> None:  # fmt: skip
    end = k
    if unique:
        for i in range(k):
            if ints[at + 2 * i] != 0 and ints[at + 2 * i + 1] == value:
                if ints[at + 2 * i] >= at_ms:
                    return
                end = i + 1
                break
    place = 0
    while place < end and stands_before(
        items, by_row, ints[at + 2 * place], ints[at + 2 * place + 1], at_ms, value
    ):  # fmt: skip
        place += 1
    if place == end:
        return
    for i in range(end - 1, place, -1):
        ints[at + 2 * i] = ints[at + 2 * i - 2]
        ints[at + 2 * i + 1] = ints[at + 2 * i - 1]
    ints[at + 2 * place] = at_ms
    ints[at + 2 * place + 1] = value


@kernel
def merge(ints: Ints, items: Index, to: int, of: int, k: int, unique: bool, by_row: bool, takes_back: int) -> None:
    for i in range(k):
        word = ints[of + 2 * i]
        if word == 0:
            break
        if takes_back:
            put_act(ints, items, to, k, by_row, abs(word), ints[of + 2 * i + 1], ints[of + 2 * k + i], word < 0)
        else:
            put_last(ints, items, to, k, unique, by_row, word, ints[of + 2 * i + 1])


@kernel
def read_list(
    ints: Ints, at: int, k: int, takes_back: int, refs: Ints, weights: Reals, start: int
) -> int:  # fmt: skip
    """Newest first, weighed by their times."""
    count = 0
    for i in range(k):
        if ints[at + 2 * i] == 0:
            break
        if takes_back and not is_held(ints, at, k, i):
            continue
        refs[start + count] = ints[at + 2 * i + 1]
        weights[start + count] = ints[at + 2 * i]
        count += 1
    return count


LAST_K = Aggregation(
    name="last_k", number=9, words=lambda spec: 3 * spec.k if spec.takes_back else 2 * spec.k,
    rules=Rules(by="must", k="must", takes_back_by="item", scopes=("session", "profile")),
    traits=Trait.SEQUENTIAL | Trait.RECALLS_ORDERS, add=add, merge=merge, read_list=read_list, listed="times",
)  # fmt: skip
