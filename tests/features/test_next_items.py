"""What may come next as inputs: own steps, returns, and the chance, each beside a plain form of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import ItemDeleted
from instanter.features import next_items as module
from instanter.features.carriers import carriers
from instanter.features.declaration import FeatureDeclaration
from instanter.features.next_items import NAMES, NO_STEPS, PROVEN_NAMES, REST_MS, Ahead, NextItems, live_steps
from instanter.features.sequences import COLUMNS, HITS, find_row
from instanter.foundation.ids import item_reference
from instanter.foundation.limits import WALK_ITEMS_MAX
from instanter.state.recent import Steps

from .conftest import START_MS, TENANT, Little

MINUTE_MS = 60_000
NOBODY: frozenset[str] = frozenset()
VIEWED = "Product Viewed"
KEYS = 1 << 40
"""Between the keys of people, which are as far apart as pseudonyms are: steps tell people apart by their upper bits."""


def shop_of(little, items: int = 9) -> Little:
    shop = little()
    for number in range(items):
        shop.item(f"i{number}", price=1.0)
    return shop


def view(shop: Little, name: str, *, key: int, after_ms: int = 0) -> None:
    shop.happen(VIEWED, name, key=key * KEYS, after_ms=after_ms)


def row_of(shop: Little, name: str) -> int:
    return shop.state.find_item(item_reference(TENANT, name))


def ahead_of(shop: Little, key: int, *, page: str = "", after_ms: int = 0, made: NextItems | None = None) -> Ahead:
    """What may come next for somebody, `after_ms` after the start."""
    found = made or NextItems(shop.schema, carriers(shop.declarations))
    keys = (key * KEYS,)
    steps = found.steps(shop.state, keys, NOBODY)
    page_row = row_of(shop, page) if page else -1
    tenant = shop.state.catalogue.code_of(TENANT)
    return found.of(shop.state, keys, steps, page_row, START_MS + after_ms, tenant)


def names_of(shop: Little, ahead: Ahead) -> list[str]:
    """The items found, the likeliest first."""
    return [shop.state.catalogue.id_at(row) for row in ahead.best()[0].tolist()]


def filled(shop: Little, ahead: Ahead, *names: str, after_ms: int = 0) -> list[dict[str, float]]:
    rows = np.array([row_of(shop, name) for name in names], np.int64)
    matrix = np.full((len(rows), 1 + len(NAMES)), -7.0, np.float32)
    ahead.fill(rows, START_MS + after_ms, -1, 1, matrix)
    assert (matrix[:, 0] == -7.0).all()
    return [dict(zip(NAMES, row[1:].tolist(), strict=True)) for row in matrix]


def test_what_followed_for_others_comes_first_and_what_was_never_met_is_not_found(little) -> None:
    shop = shop_of(little)
    for key in (2, 3, 4):
        for place, name in enumerate(("i0", "i1", "i2")):
            view(shop, name, key=key, after_ms=key * MINUTE_MS + place)
    view(shop, "i5", key=5, after_ms=9 * MINUTE_MS)
    view(shop, "i0", key=1, after_ms=9 * MINUTE_MS)
    shop.publish()
    ahead = ahead_of(shop, 1, after_ms=10 * MINUTE_MS)
    found = names_of(shop, ahead)
    assert found.index("i1") < found.index("i2") < found.index("i5")
    assert "i7" not in found
    next_, far, never = filled(shop, ahead, "i1", "i5", "i7", after_ms=10 * MINUTE_MS)
    assert next_["next.next"] == 1.0
    assert next_["next.chance"] > far["next.chance"] > never["next.chance"] == 0.0


def test_what_happened_since_the_epoch_is_not_seen_but_own_steps_are(little) -> None:
    shop = shop_of(little)
    view(shop, "i0", key=2)
    view(shop, "i1", key=2, after_ms=1)
    shop.publish()
    view(shop, "i2", key=2, after_ms=2)
    view(shop, "i0", key=1, after_ms=3)
    (first, second, own) = filled(shop, ahead_of(shop, 1, after_ms=4), "i1", "i2", "i0", after_ms=4)
    assert (first["next.next"], second["next.next"]) == (1.0, 0.0)
    assert (own["own.place"], own["own.times"], own["own.age"]) == (1.0, 1.0, pytest.approx(0.001))
    assert math.isnan(second["own.age"])


def test_the_page_counts_as_the_newest_step(little) -> None:
    shop = shop_of(little)
    for place, name in enumerate(("i3", "i4")):
        view(shop, name, key=2, after_ms=place)
    view(shop, "i0", key=1, after_ms=9)
    shop.publish()
    page, before = filled(shop, ahead_of(shop, 1, page="i3", after_ms=10), "i3", "i0", after_ms=10)
    assert (page["own.place"], before["own.place"]) == (1.0, 0.5)
    others = [name for name in names_of(shop, ahead_of(shop, 99, page="i3")) if name != "i3"]
    assert others[0] == "i4", "also for somebody of whom nothing is known"
    same = ahead_of(shop, 1, page="i0", after_ms=10)
    assert same.times.tolist() == [1], "the step that brought the person to the page is not counted twice"


def test_somebody_who_has_not_agreed_has_no_steps(little) -> None:
    shop = shop_of(little)
    view(shop, "i0", key=1)
    found = NextItems(shop.schema, carriers(shop.declarations))
    assert len(found.steps(shop.state, (KEYS,), NOBODY).rows) == 1
    assert found.steps(shop.state, (KEYS,), frozenset({"personalization"})) is NO_STEPS
    assert found.steps(shop.state, (), NOBODY) is NO_STEPS


def test_without_a_feature_of_the_role_nothing_is_found(little) -> None:
    views = FeatureDeclaration(name="views", on=(VIEWED,), aggregate="count", scope="item")
    shop = little(views, only=True)
    shop.item("i0", price=1.0)
    ahead = ahead_of(shop, 1)
    assert (ahead.found, len(ahead.own)) == (0, 0)
    assert filled(shop, ahead, "i0")[0]["next.chance"] == 0.0


def test_the_live_visit_ends_where_the_person_rested() -> None:
    at_ms = np.array([100, 90, 90 - REST_MS - 1, 5], np.int64)
    steps = Steps(*(np.arange(4) for _ in range(4)), at_ms)
    assert live_steps(steps, 100 + REST_MS).numbers.tolist() == [0, 1]
    assert len(live_steps(steps, 101 + REST_MS).numbers) == 0
    assert live_steps(NO_STEPS, 5) is NO_STEPS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), st.sampled_from([1, REST_MS, REST_MS + 1])), max_size=20),
       st.integers(-1, 15))  # fmt: skip
def test_own_items_are_each_there_once_the_newest_first(walk: list[tuple[int, int]], page: int) -> None:
    times_ms = np.cumsum([gap for _, gap in walk][::-1])[::-1].astype(np.int64)
    rows = np.array([row for row, _ in walk], np.int64)
    now_ms = int(times_ms[0]) + 1 if len(rows) else 1
    own = module._own_of(Steps(rows, rows, rows, rows, times_ms), page, now_ms)
    steps = list(zip(rows.tolist(), times_ms.tolist(), strict=True))
    if page >= 0 and (not steps or steps[0][0] != page):
        steps = [(page, now_ms), *steps]
    weight, weights, visit, resting = 1.0, dict[int, float](), 0, False
    for place, (row, at_ms) in enumerate(steps):
        if place:
            rested = steps[place - 1][1] - at_ms > REST_MS
            weight *= module.STEP_FADES * (module.REST_FADES if rested else 1.0)
            resting = resting or rested
        visit += not resting
        weights.setdefault(row, weight)
    expected = list(weights.items())[:WALK_ITEMS_MAX]
    assert list(zip(own.rows.tolist(), own.weights.tolist(), strict=True)) == expected
    assert own.times.tolist() == [sum(row == one for one, _ in steps) for row, _ in expected]
    assert own.in_visit == visit


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=60))
def test_returns_are_told_from_the_newest_steps_of_the_tenant(little_once, acts: list[tuple[int, int]]) -> None:
    shop = shop_of(little_once)
    for place, (key, item) in enumerate(acts):
        view(shop, f"i{item}", key=key, after_ms=place)
    shop.publish()
    counts = np.zeros((2, WALK_ITEMS_MAX))
    tenant = shop.state.catalogue.code_of(TENANT)
    recent, rows = np.zeros(WALK_ITEMS_MAX, np.int64), np.zeros(module.RETURNS_LOOKED_AT, np.int64)
    ints, ring = shop.state.tables.memory.ints, shop.state.ring("sequences")
    module._count_returns(ints, ring, len(acts), shop.state.catalogue.tenants, tenant, recent, rows, counts)
    expected, before = np.zeros((2, WALK_ITEMS_MAX)), dict[int, list[int]]()
    for key, item in acts:
        seen = before.setdefault(key, [])
        expected[1, : len(seen)] += 1.0
        if item in seen:
            expected[0, seen.index(item)] += 1.0
        before[key] = [item, *(one for one in seen if one != item)]
    assert counts.tolist() == expected.tolist()
    module._count_returns(ints, ring, len(acts), shop.state.catalogue.tenants, tenant + 1, recent, rows, counts)
    assert counts.tolist() == expected.tolist(), "nothing of another tenant's"


def plain_chance(ahead: Ahead, row: int, returns: list[float], in_visit: int) -> float:
    """The formula, for one item found, as it would be written on paper."""
    walked = ahead.walked
    shares = {
        name: walked.scores[find_row(walked, row), place] / walked.totals[place] if walked.totals[place] else 0.0
        for place, name in enumerate(COLUMNS)
    }  # fmt: skip
    hits = walked.counts[HITS]
    trust = hits / (hits + module.TRUSTED_HITS)
    kin = 1 - hits / (hits + module.KIN_HITS)
    weights = {
        name: weight * (trust if name in module._RULES else kin if name in module._KIN else 1)
        for name, weight in module._MIXED.items()
    }  # fmt: skip
    mixture = sum(weight * shares[name] for name, weight in weights.items()) / sum(weights.values()) + module.LEAST
    chance = (module.BY_MIXTURE + module.BY_TRUST * trust) * math.log(mixture / module.LEAST)
    own = ahead.own.tolist()
    if row not in own:
        return chance
    place = own.index(row)
    chance += module.BY_OWN + module.BY_RETURNS * returns[place] + module.BY_OWN_MIXTURE * math.log(mixture)
    chance += module.BY_TIMES * (ahead.times[place] > 1) + module.BY_LENGTH * (math.log(1 + in_visit) - 1.5)
    if place == 0:
        its = (shares["next"] * hits + module.RETURN_HITS * math.exp(returns[0])) / (hits + module.RETURN_HITS)
        chance += module.BY_ITS_RETURNS * (math.log(its + 1e-5) - returns[0])
    return chance


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 8)), min_size=1, max_size=50))
def test_the_chance_is_that_of_the_formula(little_once, acts: list[tuple[int, int]]) -> None:
    shop = shop_of(little_once)
    for place, (key, item) in enumerate(acts):
        view(shop, f"i{item}", key=key, after_ms=place)
    shop.publish()
    made = NextItems(shop.schema, carriers(shop.declarations))
    ahead = ahead_of(shop, 1, after_ms=len(acts), made=made)
    ring = shop.state.ring("sequences")
    returns = made._returns.of(shop.state, ring, shop.state.catalogue.code_of(TENANT)).tolist()
    in_visit = sum(key == 1 for key, _ in acts[-len(acts) :])
    rows, chances = ahead.best()
    assert set(ahead.own.tolist()) <= set(rows.tolist())
    assert chances.tolist() == sorted(chances.tolist(), reverse=True)
    for row, chance in zip(rows.tolist(), chances.tolist(), strict=True):
        assert chance == pytest.approx(plain_chance(ahead, row, returns, min(in_visit, 20)))


def test_the_steps_of_erased_people_are_in_no_chance_any_more(little) -> None:
    shop = shop_of(little)
    for key in (2, 3):
        for place, name in enumerate(("i0", f"i{key}")):
            view(shop, name, key=key, after_ms=place)
    view(shop, "i0", key=1, after_ms=5)
    shop.publish()
    made = NextItems(shop.schema, carriers(shop.declarations))
    assert {"i2", "i3"} <= set(names_of(shop, ahead_of(shop, 1, after_ms=6, made=made)))
    shop.state.erase([2 * KEYS])
    left = names_of(shop, ahead_of(shop, 1, after_ms=6, made=made))
    assert "i2" not in left
    assert "i3" in left


def test_what_is_evident_counts_by_the_visits_it_is_told_from_and_what_is_usual_by_those_that_lack(little) -> None:
    shop = shop_of(little)
    for key in range(2, 2 + 8):
        for place, name in enumerate(("i0", "i1")):
            view(shop, name, key=key, after_ms=place)
    view(shop, "i0", key=1, after_ms=5)
    shop.publish()
    ahead, rows = ahead_of(shop, 1, after_ms=6), np.array([row_of(shop, "i1"), row_of(shop, "i7")], np.int64)
    matrix = np.zeros((2, len(NAMES) + 1), np.float32)
    matrix[:, 0] = [9.0, np.nan]
    ahead.fill(rows, START_MS + 6, 0, 1, matrix)
    found, never = (dict(zip(NAMES, row[1:].tolist(), strict=True)) for row in matrix)
    evidence = 8 / (8 + module.EVIDENT_HITS)
    assert found["next.evident"] == pytest.approx(evidence * found["next.chance"])
    assert found["next.usual"] == pytest.approx((1 - evidence) * math.log(10.0))
    assert (never["next.evident"], never["next.usual"]) == (0.0, 0.0), "views that are not known are none"


def test_beside_an_item_it_takes_as_many_visits_as_the_shop_says(little) -> None:
    shop = shop_of(little)
    for key in range(2, 2 + 8):
        for place, name in enumerate(("i0", "i1")):
            view(shop, name, key=key, after_ms=place)
    view(shop, "i0", key=1, after_ms=5)
    shop.publish()
    ahead, rows = ahead_of(shop, 1, after_ms=6), np.array([row_of(shop, "i1"), row_of(shop, "i7")], np.int64)
    matrix = np.zeros((2, 1 + len(PROVEN_NAMES) + len(NAMES)), np.float32)
    matrix[:, 0] = [9.0, np.nan]
    first = 1 + len(PROVEN_NAMES)
    ahead.fill(rows, START_MS + 6, 0, first, matrix)
    module.fill_proven(ahead, 24.0, 0, first, matrix)
    (found, never), chance = matrix[:, 1:first].tolist(), matrix[0, first + NAMES.index("next.chance")]
    evidence = 8**1.5 / (8**1.5 + 24**1.5)
    assert found == [pytest.approx(evidence * chance), pytest.approx((1.0 - evidence) * math.log(10.0))]
    assert never == [0.0, 0.0], "views that are not known are none"
    module.fill_proven(ahead, 8.0, 0, first, matrix)
    assert matrix[0, 1:first] == pytest.approx([chance / 2.0, math.log(10.0) / 2.0])
    module.fill_proven(None, 24.0, 0, first, matrix)
    assert not matrix[:, 1:first].any(), "where no walk was made"


def test_that_people_return_takes_no_visits_of_others(little, monkeypatch) -> None:
    monkeypatch.setattr(module, "OWN_CHANCE", 5.0)
    shop = shop_of(little)
    for place, name in enumerate(("i0", "i1", "i2")):
        view(shop, name, key=1, after_ms=place)
    shop.publish()
    ahead, rows = ahead_of(shop, 1, after_ms=6), np.array([row_of(shop, "i1"), row_of(shop, "i7")], np.int64)
    matrix = np.zeros((2, len(PROVEN_NAMES) + len(NAMES)), np.float32)
    first = len(PROVEN_NAMES)
    ahead.fill(rows, START_MS + 6, -1, first, matrix)
    module.fill_proven(ahead, 1e9, -1, first, matrix)
    chance = matrix[0, first + NAMES.index("next.chance")]
    assert chance > 5.0, "people have returned to nothing here so far"
    assert matrix[:, 0] == pytest.approx([chance - 5.0, 0.0])


def test_where_no_walk_was_made_nothing_is_known() -> None:
    known = dict(zip(NAMES, module.NOTHING_KNOWN.tolist(), strict=True))
    assert math.isnan(known.pop("own.age"))
    assert set(known.values()) == {0.0}


def test_returns_that_are_known_are_those_of_the_items_that_are_the_tenants_now(little) -> None:
    shop = shop_of(little)
    for place in range(module.RETURNS_EVERY):
        view(shop, f"i{place % 2}", key=1 + place // 8, after_ms=place)
    shop.publish()
    ring, tenant = shop.state.ring("sequences"), shop.state.catalogue.code_of(TENANT)
    kept = module._Returns()
    known = kept.of(shop.state, ring, tenant)
    shop.item("i0", price=2.0)
    assert kept.of(shop.state, ring, tenant) is known, "a price says nothing of returns"
    shop.state.catalogue.delete(ItemDeleted(START_MS, TENANT, "i0"))
    told = kept.of(shop.state, ring, tenant)
    assert told.tolist() == module._Returns().of(shop.state, ring, tenant).tolist()
    assert told.tolist() != known.tolist()
    shop.item("i0", price=2.0)
    assert kept.of(shop.state, ring, tenant).tolist() == known.tolist(), "it is back"
