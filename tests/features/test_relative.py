"""How a candidate stands among the others: the compiled loop against a plain one, and what its columns mean."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.features import relative

PRICES = st.sampled_from([math.nan, 0.0, -1.0, 1.0, 2.0, 2.0, 3.5, 100.0])
CANDIDATES = st.lists(st.tuples(PRICES, st.floats(0.0, 1.0, width=32), st.integers(-1, 5)), min_size=1, max_size=12)


def stood(
    prices: list[float], rates: list[float], ranks: list[int], recent: list[int], *, rated: bool = True
) -> list[dict[str, float]]:
    """The columns of candidates with the references 1, 2, 3 ..., as the compiled loop has them."""
    refs = np.arange(1, len(prices) + 1, dtype=np.int64)
    matrix = np.zeros((len(prices), 1 + len(relative.NAMES)), np.float32)
    matrix[:, 0] = rates
    relative.stand(
        refs, np.array(ranks, np.int64), np.array(prices, np.float64), np.array(recent, np.int64),
        0 if rated else relative.NO_RATE, 1, matrix,
    )  # fmt: skip
    return [dict(zip(relative.NAMES, row[1:].tolist(), strict=True)) for row in matrix]


def plainly(prices: list[float], rates: list[float], ranks: list[int], recent: list[int]) -> list[dict[str, float]]:
    """The same as it is said in the docstring."""
    known = [price for price in prices if price > 0.0]
    touched = [ref for ref in recent if 1 <= ref <= len(prices)]
    newest = touched[0] - 1 if touched else None
    return [
        {
            "list.size": len(prices),
            "list.price_rank": below(known, price) if price > 0.0 else math.nan,
            "list.price_ratio": math.log(price / (sum(known) / len(known))) if price > 0.0 else math.nan,
            "list.click_rank": below([float(np.float32(one)) for one in rates], float(np.float32(rate))),
            "list.touched": len(touched),
            "list.from_newest": rank - ranks[newest] if newest is not None and min(rank, ranks[newest]) >= 0
            else math.nan,
            "list.price_to_newest": math.log(price / prices[newest])
            if newest is not None and price > 0.0 and prices[newest] > 0.0 else math.nan,
        }
        for price, rate, rank in zip(prices, rates, ranks, strict=True)
    ]  # fmt: skip


def below(values: list[float], value: float) -> float:
    others = len(values) - 1
    return sum(one < value for one in values) / others if others else 0.0


@settings(deadline=None)
@given(candidates=CANDIDATES, recent=st.lists(st.integers(1, 15), max_size=6, unique=True))
def test_the_compiled_loop_is_the_plain_one(candidates: list[tuple[float, float, int]], recent: list[int]) -> None:
    prices, rates, ranks = (list(one) for one in zip(*candidates, strict=True))
    for row, plain in zip(stood(prices, rates, ranks, recent), plainly(prices, rates, ranks, recent), strict=True):
        for name in relative.NAMES:
            assert np.array_equal(np.float32(row[name]), np.float32(plain[name]), equal_nan=True) or math.isclose(
                row[name], plain[name], rel_tol=1e-6, abs_tol=1e-6
            ), name


def test_the_cheapest_is_0_and_the_dearest_1() -> None:
    rows = stood([30.0, 10.0, math.nan, 20.0], [0.0] * 4, [-1] * 4, [])
    assert [row["list.price_rank"] for row in rows[:2]] == [1.0, 0.0]
    assert math.isnan(rows[2]["list.price_rank"])
    assert rows[3]["list.price_rank"] == 0.5


def test_the_next_in_the_list_is_one_place_below_what_was_touched_last() -> None:
    rows = stood([10.0, 20.0, 40.0], [0.0] * 3, [0, 1, 2], [9, 2, 1])
    assert [row["list.from_newest"] for row in rows] == [-1.0, 0.0, 1.0]
    assert [row["list.touched"] for row in rows] == [2.0] * 3
    assert rows[2]["list.price_to_newest"] == np.float32(math.log(2.0))


def test_without_a_click_rate_nobody_is_clicked_less_often() -> None:
    assert [row["list.click_rank"] for row in stood([1.0, 2.0], [0.1, 0.2], [0, 1], [], rated=False)] == [0.0, 0.0]
