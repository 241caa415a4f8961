"""What one feature does with one value, and how two records of it become one: the aggregations by kind."""

from __future__ import annotations

from .aggregations import (
    add_decayed,
    add_held,
    add_last,
    add_last_k,
    add_max,
    add_mean,
    add_min,
    add_sum,
    add_time_since,
    add_top_k,
    add_windowed,
    bounded,
    bounded_sum,
    merge_extreme,
    merge_held,
    merge_last_k,
    merge_orders,
    merge_top_k,
    merge_windowed,
    to_micro,
)
from .compiled import Ints, Reals, kernel
from .layout import BySource, Kind, Scope, ValueSource
from .program import AS_CAME, BY, HALF_LIFE_MS, KIND, TAKES_BACK, TILE_MS, TILES, UNIQUE, K
from .table import Index

# The compiled loop compares plain integers.
COUNT, SUM, MEAN, MIN, MAX = int(Kind.COUNT), int(Kind.SUM), int(Kind.MEAN), int(Kind.MIN), int(Kind.MAX)
DECAYED, WINDOWED, LAST, LAST_K = int(Kind.DECAYED), int(Kind.WINDOWED), int(Kind.LAST), int(Kind.LAST_K)
TIME_SINCE, TOP_K, CO_OCCURRENCE, SEEN = int(Kind.TIME_SINCE), int(Kind.TOP_K), int(Kind.CO_OCCURRENCE), int(Kind.SEEN)
ORDERS = int(Kind.ORDERS)
SESSION_SCOPE, ITEM_SCOPE = int(Scope.SESSION), int(Scope.ITEM)
BY_ITEM, BY_ATTRIBUTE, BY_CONTEXT = int(BySource.ITEM), int(BySource.ITEM_ATTRIBUTE), int(BySource.CONTEXT)
PROPERTY, ITEM_NUMBER = int(ValueSource.PROPERTY), int(ValueSource.ITEM_NUMBER)
PRICE, QUANTITY = int(ValueSource.PRICE), int(ValueSource.QUANTITY)


@kernel
def add(
    features: Ints, feature: int, ints: Ints, reals: Reals, items: Index, at: int, at_ms: int, message: int,
    value: float, ref: int, order: int, back: bool,
) -> None:  # fmt: skip
    """Add one value to the feature's words at `at`, or take it back. A value or reference that is not there changes
    nothing."""
    by = features[feature, BY] != 0
    if value != value or (by and ref == 0):
        return
    kind, k, value = features[feature, KIND], features[feature, K], bounded(value)
    if kind == COUNT:
        add_sum(ints, at, -1 if back else 1)
    elif kind == TOP_K:
        add_top_k(
            ints, reals, at, k, features[feature, HALF_LIFE_MS], features[feature, AS_CAME], at_ms, ref, value
        )
    elif kind == LAST_K:
        if features[feature, TAKES_BACK]:
            add_held(ints, items, at, k, _goes_by_row(features, feature), at_ms, ref, order, back)
        else:
            by_row = _goes_by_row(features, feature)
            add_last_k(ints, items, at, k, by, by_row, at_ms, ref if by else to_micro(value))
    elif kind == DECAYED:
        add_decayed(ints, reals, at, features[feature, HALF_LIFE_MS], at_ms, value)
    elif kind == WINDOWED:
        add_windowed(ints, at, features[feature, TILE_MS], features[feature, TILES], at_ms, to_micro(value))
    elif kind == SUM:
        add_sum(ints, at, -to_micro(value) if back else to_micro(value))
    elif kind == MEAN:
        add_mean(ints, at, to_micro(value))
    elif kind == TIME_SINCE:
        add_time_since(ints, at, at_ms)
    elif kind == LAST:
        micro = to_micro(value)
        add_last(ints, at, at_ms, micro if features[feature, AS_CAME] else message, micro)
    elif kind == MIN:
        add_min(ints, at, to_micro(value))
    elif kind == MAX:
        add_max(ints, at, to_micro(value))


@kernel
def merge_feature(
    features: Ints, feature: int, ints: Ints, reals: Reals, items: Index, to: int, of: int
) -> None:  # fmt: skip
    """Merge the words of one feature at `of` into those at `to`."""
    kind, k = features[feature, KIND], features[feature, K]
    if kind in (COUNT, SUM):
        ints[to] = bounded_sum(ints[to], ints[of])
    elif kind == MEAN:
        ints[to] = bounded_sum(ints[to], ints[of])
        ints[to + 1] += ints[of + 1]
    elif kind in (MIN, MAX):
        merge_extreme(ints, to, of, kind == MAX)
    elif kind == DECAYED:
        if ints[of] > 0:
            add_decayed(ints, reals, to, features[feature, HALF_LIFE_MS], ints[of], reals[of + 1])
    elif kind == WINDOWED:
        merge_windowed(ints, to, of, features[feature, TILES])
    elif kind == LAST:
        add_last(ints, to, ints[of], ints[of + 1], ints[of + 2])
    elif kind == LAST_K:
        if features[feature, TAKES_BACK]:
            merge_held(ints, items, to, of, k, _goes_by_row(features, feature))
        else:
            by_row = _goes_by_row(features, feature)
            merge_last_k(ints, items, to, of, k, features[feature, UNIQUE] == 1, by_row)
    elif kind == ORDERS:
        merge_orders(ints, to, of, k)
    elif kind == TIME_SINCE:
        add_time_since(ints, to, ints[of])
    elif kind in (TOP_K, CO_OCCURRENCE):
        merge_top_k(ints, reals, to, of, k, features[feature, HALF_LIFE_MS], features[feature, AS_CAME])


@kernel
def _goes_by_row(features: Ints, feature: int) -> bool:
    """Whether items of one time in a last k stand in the order of their rows."""
    return bool(features[feature, AS_CAME] and features[feature, BY] == BY_ITEM)
