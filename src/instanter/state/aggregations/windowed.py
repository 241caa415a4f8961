"""A sum over the last window, which moves on tile by tile: [number of the newest tile, tiles in a ring by number], in
millionths. Unit: that of the value, else events.

>>> ints = np.zeros(5, np.int64)
>>> add(ints, 0, 100, 3, 250, 1_000_000), add(ints, 0, 100, 3, 420, 2_000_000)
(None, None)
>>> float(read(ints, 0, 100, 3, 450)), float(read(ints, 0, 100, 3, 700))
(3.0, 2.0)
"""

from __future__ import annotations

import numpy as np

from ..compiled import Ints, kernel
from .base import Aggregation, Rules, Trait
from .fixed_point import bounded_sum


@kernel
def add(ints: Ints, at: int, tile_ms: int, tiles: int, at_ms: int, micro: int) -> None:
    """What belongs to a window that no longer stands changes nothing."""
    ring = tiles + 1
    number = at_ms // tile_ms
    newest = ints[at]
    if number <= newest - ring:
        return
    _advance(ints, at, ring, number)
    slot = at + 1 + number % ring
    ints[slot] = bounded_sum(ints[slot], micro)


@kernel
def _advance(ints: Ints, at: int, ring: int, number: int) -> None:
    newest = ints[at]
    if number <= newest:
        return
    for passed in range(max(newest + 1, number - ring + 1), number + 1):
        ints[at + 1 + passed % ring] = 0
    ints[at] = number


@kernel
def merge(ints: Ints, to: int, of: int, tiles: int) -> None:
    ring = tiles + 1
    newest = ints[of]
    _advance(ints, to, ring, newest)
    for number in range(max(newest - tiles, 0), newest + 1):
        if number > ints[to] - ring:
            slot = to + 1 + number % ring
            ints[slot] = bounded_sum(ints[slot], ints[of + 1 + number % ring])


@kernel
def read(ints: Ints, at: int, tile_ms: int, tiles: int, now_ms: int) -> float:
    """Sum over the window, which reaches back to the start of the tile that it begins in."""
    newest = ints[at]
    if newest == 0:
        return np.nan
    ring = tiles + 1
    current = now_ms // tile_ms
    total = 0
    for number in range(max(current - tiles, newest - tiles), min(current, newest) + 1):
        if number >= 0:
            total = bounded_sum(total, ints[at + 1 + number % ring])
    return total / 1e6


WINDOWED = Aggregation(
    name="windowed", number=7, words=lambda spec: 1 + spec.tiles + 1, rules=Rules(value="may", window="must"),
    traits=Trait.FROM_ZERO | Trait.OWN_AGE | Trait.TILED, add=add, merge=merge, read=read,
    fades_by_itself=True,
)  # fmt: skip
