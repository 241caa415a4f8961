import statistics
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.sim.chance import Chance
from instanter.sim.choice import Preference, Reward, examination
from instanter.sim.front import popular
from instanter.sim.people import People
from instanter.sim.shop import Shop

SHOP = Shop(seed=7, products=300)
PEOPLE = People(SHOP, seed=2)
IDS = [item.id for item in SHOP.items()]


def favourite_style(shop: Shop, person) -> int:
    return person.tastes.styles.index(max(person.tastes.styles))


def test_a_person_is_the_same_whenever_asked_for(shop):
    people = People(shop, seed=1)
    assert people.person(9) == People(shop, seed=1).person(9)
    assert people.person(9) != people.person(10)
    assert people.person(9).tastes != People(shop, seed=2).person(9).tastes


def test_a_goal_lies_in_one_room_and_within_the_budget(shop):
    rooms = {item.fields.category: item.fields.room for item in shop.items()}
    goals = [PEOPLE.person(index).goal for index in range(200)]
    assert {len(goal.categories) for goal in goals} == {1, 2, 3, 4, 5}
    for goal in goals:
        assert {rooms[category] for category in goal.categories} == {goal.room}
        assert len(set(goal.categories)) == len(goal.categories)
    for index in range(50):
        person, preference = PEOPLE.person(index), Preference(shop, PEOPLE.person(index))
        assert any(preference.cart(item.id) > 0 for item in shop.select(category=person.goal.categories[0]))


def test_people_are_drawn_to_the_style_they_like(shop):
    gaps = []
    for index in range(60):
        person = PEOPLE.person(index)
        preference, liked = Preference(shop, People(shop, seed=2).person(index)), favourite_style(shop, person)
        inside = [preference.attraction(shop.id_at(row)) for row in range(0, len(shop), 7)
                  if shop.columns.style[row] == liked]
        outside = [preference.attraction(shop.id_at(row)) for row in range(0, len(shop), 7)
                   if shop.columns.style[row] != liked]
        gaps.append(statistics.mean(inside) / statistics.mean(outside))
    assert min(gaps) > 1.0
    assert statistics.median(gaps) > 2.0


def test_what_is_too_dear_or_sold_out_is_never_bought(shop):
    person = PEOPLE.person(0)
    preference = Preference(shop, person, spent=person.budget - 100.0)
    for item in shop.items():
        can_buy = item.fields.stock > 0 and item.fields.price <= 100.0
        assert (preference.order(item.id) > 0.0) == can_buy
        assert (preference.cart(item.id) > 0.0) == can_buy


def test_a_piece_already_bought_loses_its_pull(shop):
    person = PEOPLE.person(0)
    category = person.goal.categories[0]
    before = Preference(shop, person)
    after = Preference(shop, person, done=frozenset({category}))
    for item in shop.items():
        if item.fields.category == category:
            assert after.utility(item.id) < before.utility(item.id)
        else:
            assert after.utility(item.id) == before.utility(item.id)


def test_examination_falls_with_the_position_from_certainty():
    curve = [examination(position) for position in range(1, 25)]
    assert curve[0] == 1.0
    assert all(later < earlier for earlier, later in pairwise(curve))


def test_the_oracle_beats_the_popular_list_and_that_beats_a_random_one(shop):
    people, chance, top = People(shop, seed=3), Chance("random lists"), popular(shop, 12)
    ids = [item.id for item in shop.items()]
    totals = {"oracle": Reward(), "popular": Reward(), "random": Reward()}
    for index in range(60):
        preference = Preference(shop, people.person(index))
        lists = {"oracle": preference.best(12, by="orders"), "popular": top, "random": chance.sample(ids, 12)}
        for name, shown in lists.items():
            totals[name] += preference.reward(shown)
    for part in ("clicks", "carts", "orders", "revenue"):
        oracle, middle, least = (getattr(totals[name], part) for name in ("oracle", "popular", "random"))
        assert oracle > 1.5 * middle > 1.5 * least > 0.0


@settings(deadline=None, max_examples=60)
@given(index=st.integers(0, 1000), by=st.sampled_from(["clicks", "carts", "orders", "revenue"]),
       shown=st.lists(st.sampled_from([item.id for item in SHOP.select()]), min_size=5, max_size=5, unique=True))
def test_no_list_of_products_in_stock_is_worth_more_than_the_oracles(index, by, shown):
    preference = Preference(SHOP, PEOPLE.person(index))
    best = preference.best(5, by=by)
    assert getattr(preference.reward(best), by) >= getattr(preference.reward(shown), by)
    assert getattr(preference.reward(preference.best(5, by=by, among=shown)), by) >= getattr(
        preference.reward(shown), by) - 1e-12


def test_the_worth_of_a_list_is_that_of_its_products_weighted_by_examination():
    preference = Preference(SHOP, PEOPLE.person(4))
    expected = sum(examination(position) * preference.attraction(item_id)
                   for position, item_id in enumerate(IDS[:8], start=1))
    assert preference.reward(IDS[:8]).clicks == pytest.approx(expected)
    assert preference.reward([]) == Reward()


def test_a_sold_out_product_is_worth_clicks_but_no_orders():
    sold_out = next(item for item in SHOP.items() if item.fields.stock == 0)
    worth = Preference(SHOP, PEOPLE.person(4)).worth(sold_out.id)
    assert worth.clicks > 0.0
    assert worth.carts == worth.orders == worth.revenue == 0.0
