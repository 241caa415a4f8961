"""Whom we have erased: their late and repeated events are told until the horizon, and nothing is told after it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from instanter.events.envelope import Erased
from instanter.foundation.limits import TOMBSTONES_MAX
from instanter.privacy.tombstones import Tombstone, Tombstones


def erased(at_ms: int, *, until_ms: int, ids: tuple[bytes, ...] = (b"ada",), messages: tuple[int, ...] = ()) -> Erased:
    return Erased(at_ms, "shop", "e1", (1,), tombstones=ids, messages=messages, until_ms=until_ms)


@given(st.integers(0, 100), st.integers(0, 9), st.integers(0, 300))
def test_an_event_is_dropped_if_it_is_from_before_or_known_and_the_horizon_is_not_reached(
    happened_ms: int, message: int, now_ms: int
) -> None:
    stone = Tombstone((b"ada",), at_ms=50, until_ms=200, messages=(3, 5))
    drops = stone.drops(happened_ms=happened_ms, message=message, now_ms=now_ms)
    assert drops == (now_ms < 200 and (happened_ms <= 50 or message in (3, 5)))


def test_tombstones_that_are_over_go_with_the_next_erasure() -> None:
    stones = Tombstones()
    for at_ms in (10, 20, 30):
        stones.apply(erased(at_ms, until_ms=at_ms + 15))
    assert [stone.at_ms for stone in stones] == [20, 30]
    stones.apply(erased(100, until_ms=115, ids=()))
    assert len(stones) == 0, "an erasure that leaves no tombstone lets old ones go too"
    assert stones.added == 3


def test_the_oldest_go_when_there_are_too_many() -> None:
    stones = Tombstones()
    for at_ms in range(TOMBSTONES_MAX + 5):
        stones.apply(erased(at_ms, until_ms=1 << 40))
    assert (len(stones), next(iter(stones)).at_ms) == (TOMBSTONES_MAX, 5)


def test_a_checkpoint_holds_them_in_their_order() -> None:
    stones = Tombstones()
    for at_ms in (10, 20):
        stones.apply(erased(at_ms, until_ms=500, messages=(at_ms,)))
    again = Tombstones(list(stones))
    assert list(again) == list(stones)
    assert [stone.at_ms for stone in reversed(again)] == [20, 10]
    assert again.added == 2
