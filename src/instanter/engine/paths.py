"""The order in which people acted on items, out of a whole log: what a net learns from.

Paths are of cells: what somebody did before they signed in is a path of its own.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..events.envelope import Flag, Tracked
from ..foundation.limits import ATTENTION_ITEMS_MAX, NET_ACTS_MAX
from ..state.compiled import Ints

_LEAST: Final = 2
"""Acts of a path that says what comes next."""


class Windows(NamedTuple):
    """Pieces of paths, as a net reads them."""

    items: tuple[str, ...]
    """Ids; the first has number 1."""
    numbers: npt.NDArray[np.int32]
    """[windows, length]: the newest last, zeros before."""


class Paths:
    """Acts of one tenant in the order of the log: the newest `acts_max` and as many again, at most."""

    def __init__(self, tenant: str, names: Collection[str], acts_max: int = NET_ACTS_MAX) -> None:
        """`names` are those of the events that are acts on items."""
        self._tenant, self._names, self._acts_max = tenant, frozenset(names), acts_max
        self._cells, self._refs, self._times = array("q"), array("q"), array("q")
        self._gone: set[int] = set()

    def __len__(self) -> int:
        """Acts kept."""
        return len(self._refs)

    def note(self, event: Tracked) -> None:
        """An event of the log, which may be an act; bots' are none, and nothing is one twice."""
        if event.tenant != self._tenant or event.name not in self._names:
            return
        if event.flags & (Flag.BOT | Flag.RETOLD):
            return
        for ref in event.items:
            self._cells.append(event.key)
            self._refs.append(ref)
            self._times.append(event.happened_ms)
        if len(self._refs) > 2 * self._acts_max:
            for column in (self._cells, self._refs, self._times):
                del column[: -self._acts_max]

    def drop(self, cells: Collection[int]) -> None:
        """People were erased: what they did is in no window."""
        self._gone.update(cells)

    def windows(self, *, until_ms: int, length: int, name_of: Callable[[int], str | None]) -> Windows:
        """What was done before a moment, in pieces of `length` acts of one cell, cut from the newest on: the last act
        of a piece is the first of the next. Items are those acted on most, as many as a net knows, and only such as
        `name_of` knows.

        In the order in which people came, and of items that were acted on as often in that of their ids: another log of
        the same events, where references and cells have other numbers, gives the same.
        """
        cells, refs, times = (np.array(one[-self._acts_max :]) for one in (self._cells, self._refs, self._times))
        kept = (times < until_ms) & ~np.isin(cells, np.array(sorted(self._gone), np.int64))
        cells, refs = cells[kept], refs[kept]
        counted = [(-count, name, ref) for ref, count in Counter(refs.tolist()).items()
                   if (name := name_of(ref)) is not None]  # fmt: skip
        known = sorted(counted)[:ATTENTION_ITEMS_MAX]
        number_of = {ref: number for number, (_, _, ref) in enumerate(known, start=1)}
        numbers = np.array([number_of.get(ref, 0) for ref in refs.tolist()], np.int32)
        pieces = list(_pieces(cells[numbers > 0], numbers[numbers > 0], length))
        found = np.zeros((len(pieces), length), np.int32)
        for place, piece in enumerate(pieces):
            found[place, length - len(piece) :] = piece
        return Windows(tuple(name for _, name, _ in known), found)


def _pieces(cells: Ints, numbers: npt.NDArray[np.int32], length: int) -> Iterator[npt.NDArray[np.int32]]:
    """The paths of cells in the order in which they came, cut into pieces."""
    _, firsts, inverse = np.unique(cells, return_index=True, return_inverse=True)
    order = np.argsort(firsts[inverse], kind="stable")
    bounds = np.flatnonzero(np.diff(firsts[inverse][order])) + 1
    for path in np.split(numbers[order], bounds):
        end = len(path)
        while end >= _LEAST:
            yield path[max(end - length, 0) : end]
            end -= length - 1
