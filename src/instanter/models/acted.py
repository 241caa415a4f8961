"""Which items the rows of lists are, and what those did last whom they were for: for models that read more than
inputs."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from ..state.compiled import Ints

NOTHING: Final = -1
"""In the place of an item: none, or one that the catalogue does not hold."""


class Acted(msgspec.Struct, frozen=True, eq=False):
    """Of a set of examples, beside its matrix."""

    names: tuple[str, ...]
    """Ids of all items that are named here."""
    items: Ints
    """[rows]: places in `names`."""
    recent: Ints
    """[lists, so many]: places of the items that somebody acted on right before, the newest first, then `NOTHING`."""

    def part(self, lists: slice, rows: slice) -> Acted:
        """Those of some lists, without copying them."""
        return Acted(self.names, self.items[rows], self.recent[lists])


def numbered(names: tuple[str, ...], items: tuple[str, ...]) -> Ints:
    """By place in `names` the number of the item among `items`, from 1 on; 0 where it is not there. One more stands at
    the end, so that `NOTHING` is 0 too.

    >>> numbered(("sofa", "lamp"), ("lamp",)).tolist()
    [0, 1, 0]
    """
    number_of = {item: number for number, item in enumerate(items, start=1)}
    return np.array([*(number_of.get(name, 0) for name in names), 0], np.int64)
