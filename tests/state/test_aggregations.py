"""The laws of each aggregation, on its words alone: merging, order, bounds and reads."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from instanter.foundation.ids import reference
from instanter.state import aggregations
from instanter.state.aggregations import Aggregation, decayed, orders, top_k, windowed
from instanter.state.aggregations import sum as sums
from instanter.state.aggregations.dispatch import add, merge_feature
from instanter.state.aggregations.fixed_point import SUM_MAX, VALUE_MAX, bounded_sum, decay, to_micro
from instanter.state.aggregations.last_k import put_last
from instanter.state.layout import ITEM_WORDS, BySource, FeatureSpec, Scope, ValueSource, lay_out
from instanter.state.program import FOLDING_NOW, SETTING_NAMES, make_program
from instanter.state.table import make_index

from .contents import close, content_of

K = 4
TILES = 3
TILE_MS = 100
HALF_LIFE_MS = 500
RECORDS = 4
"""Records of one feature that stand one after another in the memory of a test."""


def spec_of(kind: Aggregation, **fields: Any) -> FeatureSpec:
    return FeatureSpec("one", "1", kind, fields.pop("scope", Scope.PROFILE), (1,), **fields)


SPECS = {
    "count": spec_of(aggregations.COUNT),
    "sum": spec_of(aggregations.SUM, value=ValueSource.PRICE),
    "mean": spec_of(aggregations.MEAN, value=ValueSource.PRICE),
    "min": spec_of(aggregations.MIN, value=ValueSource.PRICE),
    "max": spec_of(aggregations.MAX, value=ValueSource.PRICE),
    "decayed": spec_of(aggregations.DECAYED, half_life_ms=HALF_LIFE_MS),
    "windowed": spec_of(aggregations.WINDOWED, tile_ms=TILE_MS, tiles=TILES),
    "last": spec_of(aggregations.LAST, value=ValueSource.PRICE),
    "last_k": spec_of(aggregations.LAST_K, by=BySource.ITEM, k=K),
    "held": spec_of(aggregations.LAST_K, by=BySource.ITEM, k=K, takes_back=(2,)),
    "orders": spec_of(aggregations.ORDERS, by=BySource.ORDER, k=K, takes_back=(2,)),
    "net_count": spec_of(aggregations.COUNT, takes_back=(2,)),
    "net_sum": spec_of(aggregations.SUM, value=ValueSource.PRICE, takes_back=(2,)),
    "time_since": spec_of(aggregations.TIME_SINCE),
    "top_k": spec_of(aggregations.TOP_K, by=BySource.ITEM, k=K),
    "decaying_top_k": spec_of(aggregations.TOP_K, by=BySource.ITEM, k=K, half_life_ms=HALF_LIFE_MS),
    "co_occurrence": spec_of(aggregations.CO_OCCURRENCE, scope=Scope.ITEM, k=K),
}
NO_ITEMS = make_index(2)
"""Nothing has a row: what stands equal goes by reference."""
DECAYING = ("decayed", "decaying_top_k")


class Records:
    """A few records of one feature, all zero at first."""

    def __init__(self, spec: FeatureSpec, *, rules: int = FOLDING_NOW) -> None:
        self.spec, self.rules = spec, rules
        settings = dict.fromkeys(SETTING_NAMES, 1) | {"folding": rules}
        self.features = make_program(lay_out([spec]), codes=3, settings=settings).features
        self.ints = np.zeros(RECORDS * spec.words, np.int64)
        self.reals = self.ints.view(np.float64)

    def add(self, record: int, *parts: tuple[int, int, int, float]) -> Records:
        """Parts are (time, message, reference, value)."""
        for at_ms, message, ref, value in parts:
            at, back = record * self.spec.words, bool(self.spec.takes_back) and message % 3 == 0
            if self.spec.aggregation is aggregations.ORDERS:
                orders.add(self.ints, at, self.spec.k, at_ms, ref, back)
                continue
            order = 1_000 + message % 4 if self.spec.takes_back else 0
            add(self.features, 0, self.ints, self.reals, NO_ITEMS, at, at_ms, message, value, ref, order, back)
        return self

    def merge(self, to: int, of: int) -> Records:
        words = self.spec.words
        merge_feature(self.features, 0, self.ints, self.reals, NO_ITEMS, to * words, of * words)
        return self

    def words(self, record: int) -> bytes:
        return self.ints[record * self.spec.words : (record + 1) * self.spec.words].tobytes()

    def content(self, record: int) -> Any:
        return content_of(self.ints, self.reals, self.spec, record * self.spec.words)


def alike(left: Any, right: Any) -> bool:
    """Equal, reals within 1e-9."""
    if isinstance(left, float):
        return close(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, tuple | list):
        return len(left) == len(right) and all(map(alike, left, right))
    return bool(left == right)


def refs(count: int) -> st.SearchStrategy[int]:
    return st.sampled_from([(-1) ** n * (n + 1) * 1_000_003 for n in range(count)])


def parts(count: int = K, *, max_size: int = 12) -> st.SearchStrategy[list[tuple[int, int, int, float]]]:
    """(time, message, reference, value) of up to `count` references; what differs is of different messages."""
    values = st.one_of(st.floats(0, 1e6), st.sampled_from((0.0, 0.1, 19.99, 1e12, math.nan)))
    part = st.tuples(st.integers(1, 3_000), refs(count), values)
    return st.lists(
        part.map(lambda part: (part[0], reference(repr(part)), part[1], part[2])), max_size=max_size
    )


RULES = (2, FOLDING_NOW)
"""By the former ones the entries of a top-k stand by reference; now they stand as they came, so that words differ."""


def same_words(left: Records, right: Records) -> bool:
    """Whether the first records are equal to the bit, where that is promised."""
    spec = left.spec
    if spec.half_life_ms or (spec.aggregation.sort is not None and left.rules == FOLDING_NOW):
        return True
    return left.words(0) == right.words(0)


LAWFUL = [name for name, spec in SPECS.items() if spec.aggregation is not aggregations.CO_OCCURRENCE]
"""Co-occurrence is counted in pairs, not added event by event."""


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", LAWFUL)
@given(parts(), parts(), parts())
def test_merging_is_associative(rules: int, name: str, a: list[Any], b: list[Any], c: list[Any]) -> None:
    left = Records(SPECS[name], rules=rules).add(0, *a).add(1, *b).add(2, *c).merge(0, 1).merge(0, 2)
    right = Records(SPECS[name], rules=rules).add(0, *a).add(1, *b).add(2, *c).merge(1, 2).merge(0, 1)
    assert alike(left.content(0), right.content(0))
    assert same_words(left, right)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", LAWFUL)
@given(parts(), parts())
def test_merging_is_commutative(rules: int, name: str, a: list[Any], b: list[Any]) -> None:
    left = Records(SPECS[name], rules=rules).add(0, *a).add(1, *b).merge(0, 1)
    right = Records(SPECS[name], rules=rules).add(0, *b).add(1, *a).merge(0, 1)
    assert alike(left.content(0), right.content(0))
    assert same_words(left, right)


@pytest.mark.parametrize("name", LAWFUL)
@given(parts(3 * K))
def test_nothing_is_the_neutral_element_of_merging(name: str, a: list[Any]) -> None:
    records = Records(SPECS[name]).add(0, *a).add(1, *a)
    before = records.words(0)
    assert records.merge(0, 2).words(0) == before
    assert alike(records.merge(3, 1).content(3), records.content(0))


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", LAWFUL)
@given(parts(), parts())
def test_merging_two_is_what_adding_all_to_one_is(rules: int, name: str, a: list[Any], b: list[Any]) -> None:
    merged = Records(SPECS[name], rules=rules).add(0, *a).add(1, *b).merge(0, 1)
    added = Records(SPECS[name], rules=rules).add(0, *a, *b)
    assert alike(merged.content(0), added.content(0))
    assert same_words(merged, added)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", LAWFUL)
@given(parts(max_size=10), st.randoms(use_true_random=False))
def test_the_order_of_adding_does_not_matter(rules: int, name: str, a: list[Any], rng: Any) -> None:
    shuffled = rng.sample(a, len(a))
    left, right = Records(SPECS[name], rules=rules).add(0, *a), Records(SPECS[name], rules=rules).add(0, *shuffled)
    assert alike(left.content(0), right.content(0))
    assert same_words(left, right)


@settings(max_examples=200)
@given(parts(3 * K, max_size=30), st.randoms(use_true_random=False))
def test_what_is_held_is_the_newest_act_on_each_of_the_newest_in_any_order(a: list[Any], rng: Any) -> None:
    a = [one for one in a if one[3] == one[3]]
    left, right = Records(SPECS["held"]).add(0, *a), Records(SPECS["held"]).add(0, *rng.sample(a, len(a)))
    assert left.words(0) == right.words(0)
    acts: dict[int, tuple[int, bool]] = {}
    for at_ms, message, ref, _ in a:
        acts[ref] = max(acts.get(ref, (0, False)), (at_ms, message % 3 == 0))
    newest = sorted(((at_ms, back, ref) for ref, (at_ms, back) in acts.items()), reverse=True)[:K]
    assert [one[:2] for one in left.content(0)] == [(-at if back else at, ref) for at, back, ref in newest]


@pytest.mark.parametrize("name", [name for name in LAWFUL if name != "orders"])
def test_a_value_that_is_not_there_changes_nothing(name: str) -> None:
    records = Records(SPECS[name]).add(0, (5, 5, 7, math.nan))
    assert records.words(0) == records.words(1)


@pytest.mark.parametrize("name", [
    name for name, spec in SPECS.items() if spec.by not in (BySource.NOTHING, BySource.ORDER)
])  # fmt: skip
def test_a_reference_that_is_not_there_changes_nothing(name: str) -> None:
    records = Records(SPECS[name]).add(0, (5, 5, 0, 1.0))
    assert records.words(0) == records.words(1)


# Fixed point and its bounds.


@given(st.floats(-1e9, 1e9))
def test_fixed_point_is_within_half_a_millionth(value: float) -> None:
    assert abs(to_micro(value) - value * 1e6) <= 0.5 + abs(value) * 1e-9


@pytest.mark.parametrize(("value", "kept"), [
    (math.inf, VALUE_MAX), (-math.inf, -VALUE_MAX), (1e300, VALUE_MAX), (-1e300, -VALUE_MAX), (math.nan, 0.0),
])  # fmt: skip
def test_values_are_clamped_before_they_are_aggregated(value: float, kept: float) -> None:
    assert to_micro(value) == int(kept * 1e6)


@pytest.mark.parametrize("name", ["decayed", "decaying_top_k"])
@pytest.mark.parametrize("value", [math.inf, 1.7e308])
def test_a_value_out_of_bounds_does_not_spoil_a_decayed_sum(name: str, value: float) -> None:
    records = Records(SPECS[name]).add(0, (1, 1, 7, value), (1, 2, 7, value), (10_000_000, 3, 7, 1.0))
    found = records.content(0)
    assert (found[1] if name == "decayed" else found[2][7]) == 1.0


@given(st.integers(-SUM_MAX, SUM_MAX), st.integers(-SUM_MAX, SUM_MAX))
def test_a_sum_stops_at_its_bound(left: int, right: int) -> None:
    assert bounded_sum(np.int64(left), np.int64(right)) == max(-SUM_MAX, min(SUM_MAX, left + right))


def test_a_record_that_reaches_the_bound_stays_there() -> None:
    ints = np.array([SUM_MAX - 5], np.int64)
    for _ in range(3):
        sums.add(ints, 0, 10, False)
    assert ints.tolist() == [SUM_MAX]


def test_top_k_scores_add_up_beyond_the_largest_value_when_they_are_merged() -> None:
    whales = [(1, n, 7, VALUE_MAX) for n in range(5)]
    records = Records(SPECS["top_k"]).add(0, *whales).add(1, *whales).merge(0, 1)
    assert records.content(0) == (0, False, {7: 10 * int(VALUE_MAX) * 1_000_000})


# Top k.


@settings(max_examples=200)
@given(parts(3 * K, max_size=60), st.sampled_from(("top_k", "decaying_top_k")))
def test_a_full_top_k_is_flagged_and_within_the_bound_of_space_saving(a: list[Any], name: str) -> None:
    half_life_ms = SPECS[name].half_life_ms
    at_ms, flagged, entries = Records(SPECS[name]).add(0, *a).content(0)
    truth = _true_scores(a, at_ms, half_life_ms)
    _assert_bound(truth, flagged, entries)


@settings(max_examples=200)
@given(parts(3 * K, max_size=40), parts(3 * K, max_size=40), st.sampled_from(("top_k", "decaying_top_k")))
def test_merged_top_ks_are_within_the_bound_too(a: list[Any], b: list[Any], name: str) -> None:
    half_life_ms = SPECS[name].half_life_ms
    at_ms, flagged, entries = Records(SPECS[name]).add(0, *a).add(1, *b).merge(0, 1).content(0)
    truth = _true_scores([*a, *b], at_ms, half_life_ms)
    _assert_bound(truth, flagged, entries)


@settings(max_examples=100)
@given(parts(3 * K, max_size=40), parts(3 * K, max_size=40))
def test_merging_full_top_ks_is_commutative(a: list[Any], b: list[Any]) -> None:
    for rules in RULES:
        left = Records(SPECS["top_k"], rules=rules).add(0, *a).add(1, *b).merge(0, 1)
        right = Records(SPECS["top_k"], rules=rules).add(0, *b).add(1, *a).merge(0, 1)
        assert same_words(left, right)
        assert sorted(left.content(0)[2].values()) == sorted(right.content(0)[2].values())


@settings(max_examples=200)
@given(parts(3 * K, max_size=60), parts(3 * K, max_size=40), st.sampled_from(("top_k", "decaying_top_k")))
def test_which_entries_a_top_k_keeps_does_not_hang_on_their_references(
    a: list[Any], b: list[Any], name: str
) -> None:
    """Another installation has other references: their places and scores are the same, whatever they are."""
    def other(ref: int) -> int:
        return -7 * ref ^ 0x5555

    told = [[(at_ms, message, other(ref), value) for at_ms, message, ref, value in one] for one in (a, b)]
    here = Records(SPECS[name]).add(0, *a).add(1, *b).merge(0, 1).content(0)
    there = Records(SPECS[name]).add(0, *told[0]).add(1, *told[1]).merge(0, 1).content(0)
    assert here[:2] == there[:2]
    assert [(other(ref), score) for ref, score in here[2].items()] == list(there[2].items())


def _true_scores(a: list[Any], at_ms: int, half_life_ms: int) -> dict[int, float]:
    truth: dict[int, float] = {}
    for part_ms, _, ref, value in a:
        if not math.isnan(value):
            value = min(value, VALUE_MAX)
            faded = value * 2 ** (-(at_ms - part_ms) / half_life_ms) if half_life_ms else to_micro(value)
            truth[ref] = truth.get(ref, 0) + faded
    return truth


def _assert_bound(truth: dict[int, float], flagged: bool, entries: dict[int, float]) -> None:
    total = sum(truth.values())
    slack = 1e-9 * total
    assert flagged == (len(truth) > K)
    assert len(entries) == min(len(truth), K)
    for ref, score in entries.items():
        error = score - truth[ref]
        assert -slack <= error <= (total / K if flagged else 0) + slack
    for ref in truth.keys() - entries.keys():
        assert truth[ref] <= min(entries.values()) + slack


def test_the_scores_of_a_decaying_top_k_fade_when_they_are_read() -> None:
    records = Records(SPECS["decaying_top_k"]).add(0, (1_000, 1, 7, 8.0))
    for elapsed_ms, score in ((-100, 8.0), (0, 8.0), (HALF_LIFE_MS, 4.0), (3 * HALF_LIFE_MS, 1.0)):
        read = top_k.read_score(records.ints, records.reals, 0, 0, HALF_LIFE_MS, 1_000 + elapsed_ms)
        assert read == pytest.approx(score, rel=1e-12)


# Last k, last, time since.


@settings(max_examples=100)
@given(parts(3 * K, max_size=40))
def test_last_k_holds_the_newest_of_each_and_no_more_than_k(a: list[Any]) -> None:
    found = Records(SPECS["last_k"]).add(0, *a).content(0)
    newest: dict[int, int] = {}
    for at_ms, _, ref, value in a:
        if not math.isnan(value):
            newest[ref] = max(at_ms, newest.get(ref, 0))
    assert found == sorted(((at_ms, ref) for ref, at_ms in newest.items()), reverse=True)[:K]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-3, 3)), max_size=12))
def test_last_k_of_values_keeps_equal_ones_apart(pairs: list[tuple[int, int]]) -> None:
    ints = np.zeros(2 * K, np.int64)
    for at_ms, value in pairs:
        put_last(ints, NO_ITEMS, 0, K, False, False, at_ms, value)
    held = [pair for pair in ints.reshape(K, 2).tolist() if pair[0]]
    assert held == [list(pair) for pair in sorted(pairs, reverse=True)[:K]]


# Windows and decays at a time.


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(1, 1_500), st.integers(-9, 9)), max_size=30), st.integers(0, 3_000))
def test_a_window_reads_what_happened_in_it_and_still_stands(adds: list[tuple[int, int]], now_ms: int) -> None:
    ints = np.zeros(1 + TILES + 1, np.int64)
    newest = 0
    for at_ms, micro in adds:
        before = ints.copy()
        windowed.add(ints, 0, TILE_MS, TILES, at_ms, micro)
        assert at_ms // TILE_MS >= newest - TILES or (ints == before).all(), "it is of a window that no longer stands"
        newest = max(newest, at_ms // TILE_MS)
    first = max(now_ms // TILE_MS, newest) - TILES
    truth = sum(micro for at_ms, micro in adds if first <= at_ms // TILE_MS <= now_ms // TILE_MS)
    found = windowed.read(ints, 0, TILE_MS, TILES, now_ms)
    assert found == truth / 1e6 if newest else math.isnan(found)


def test_a_window_empties_with_no_event_and_no_timer() -> None:
    ints = np.zeros(1 + TILES + 1, np.int64)
    windowed.add(ints, 0, TILE_MS, TILES, 1_050, 5_000_000)
    reads = [windowed.read(ints, 0, TILE_MS, TILES, now_ms) for now_ms in (999, 1_000, 1_399, 1_400, 10**15)]
    assert reads == [0, 5, 5, 0, 0]


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6))
def test_decay_is_between_nothing_and_everything(elapsed_ms: int, half_life_ms: int) -> None:
    factor = decay(elapsed_ms, half_life_ms)
    assert 0.0 <= factor <= 1.0
    assert elapsed_ms > 0 or factor == 1.0
    assert close(decay(half_life_ms, half_life_ms), 0.5)


def test_a_decayed_sum_halves_and_does_not_grow_backwards() -> None:
    ints = np.zeros(2, np.int64)
    reals = ints.view(np.float64)
    decayed.add(ints, reals, 0, HALF_LIFE_MS, 1_000, 4.0)
    reads = [decayed.read(ints, reals, 0, HALF_LIFE_MS, now_ms) for now_ms in (0, 1_000, 1_500, 2_000)]
    assert reads == pytest.approx([4.0, 4.0, 2.0, 1.0], rel=1e-12)
    assert all(earlier >= later for earlier, later in pairwise(reads))


@settings(max_examples=60)
@given(st.lists(st.tuples(refs(K), st.sampled_from((1, 1, 2))), max_size=20))
def test_counts_of_co_occurrence_merge_like_a_top_k(pairs: list[tuple[int, int]]) -> None:
    assume(pairs)
    one, two = Records(SPECS["co_occurrence"]), Records(SPECS["co_occurrence"])
    for ref, record in pairs:
        top_k.add(one.ints, one.reals, 0, K, 0, 1, 1, ref, 1.0)
        top_k.add(two.ints, two.reals, (record - 1) * two.spec.words, K, 0, 1, 1, ref, 1.0)
    assert two.merge(0, 1).content(0) == one.content(0)


def test_a_record_of_items_begins_with_its_key() -> None:
    assert lay_out([SPECS["co_occurrence"]]).named("one").offset == ITEM_WORDS
