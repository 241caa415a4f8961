"""The aggregations, one file each: its words, how a value is added, records merged and the number read, its rules.

Each works on one memory seen twice, as int64 (`ints`) and as float64 (`reals`), on the words that begin at `at`. To add
one: a file, and a line below. `dispatch` writes what chooses between them.
"""

from __future__ import annotations

from typing import Final

from .base import Aggregation, Trait
from .co_occurrence import CO_OCCURRENCE
from .count import COUNT
from .decayed import DECAYED
from .last import LAST
from .last_k import LAST_K
from .max import MAX
from .mean import MEAN
from .min import MIN
from .newest import NEWEST
from .orders import ORDERS
from .seen import SEEN
from .sequences import SEQUENCES
from .sum import SUM
from .time_since import TIME_SINCE
from .top_k import TOP_K
from .windowed import WINDOWED

AGGREGATIONS: Final = (
    COUNT, TOP_K, LAST_K, DECAYED, WINDOWED, SUM, MEAN, TIME_SINCE, LAST, MIN, MAX, ORDERS, CO_OCCURRENCE, SEEN,
    SEQUENCES, NEWEST,
)  # fmt: skip
"""What is asked for most comes first."""

DECLARED: Final = tuple(
    one.name for one in sorted(AGGREGATIONS, key=lambda one: one.number) if one.is_declared and not one.declared_as
)
"""The names that declarations use."""
_BY_DECLARATION: Final = {
    (one.declared_as or one.name, one.declared_by): one for one in AGGREGATIONS if one.is_declared
}


def declared(aggregate: str, by: str) -> Aggregation:
    """The aggregation that a declaration means.

    >>> declared("count", "").name, declared("count", "order").name, declared("top_k", "item").name
    ('count', 'orders', 'top_k')
    """
    return _BY_DECLARATION.get((aggregate, by)) or _BY_DECLARATION[aggregate, ""]


__all__ = [
    "AGGREGATIONS", "Aggregation", "CO_OCCURRENCE", "COUNT", "DECAYED", "DECLARED", "LAST", "LAST_K", "MAX", "MEAN",
    "MIN", "NEWEST", "ORDERS", "SEEN", "SEQUENCES", "SUM", "TIME_SINCE", "TOP_K", "Trait", "WINDOWED", "declared",
]  # fmt: skip
