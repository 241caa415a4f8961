import re
from collections import Counter, defaultdict
from datetime import datetime
from itertools import islice
from typing import Literal

import msgspec
import pytest

from instanter.foundation.limits import EVENT_BYTES_MAX, ID_CHARS_MAX, ITEMS_PER_EVENT_MAX
from instanter.sim.choice import Preference, Reward, examination
from instanter.sim.front import Placement, ShopFront, Visitor
from instanter.sim.people import People
from instanter.sim.traffic import VISITS_PER_PERSON_MAX, Traffic

START_MS = 1_767_225_600_000
DAY_MS = 86_400_000
NAMES = {"Products Searched", "Product List Viewed", "Product Clicked", "Product Viewed", "Product Added",
         "Product Removed", "Cart Viewed", "Checkout Started", "Order Completed", "Page Left", "Price Compared"}


class Received(msgspec.Struct, rename="camel"):
    """What a tracking route must find in an event; written apart from the simulator's own struct."""

    type: Literal["track", "page", "identify"]
    message_id: str
    timestamp: datetime
    anonymous_id: str
    context: dict[str, object]
    event: str = ""
    properties: dict[str, object] = {}


@pytest.fixture(scope="module")
def crowd(shop):
    """Two days of 150 people: the events as sent, the outcomes, and what the front was asked."""
    asked, outcomes, front = [], [], ShopFront(shop, seed=1)

    def show(visitor, placement, now_ms):
        asked.append((now_ms, visitor, placement))
        return front(visitor, placement, now_ms)

    traffic = Traffic(shop, people_count=150, seed=1, start_ms=START_MS, span_ms=2 * DAY_MS, show=show)
    events = list(traffic.events(tell=outcomes.append))
    return events, outcomes, asked


def test_two_runs_are_the_same_events_and_outcomes(shop):
    runs = []
    for _ in range(2):
        outcomes = []
        traffic = Traffic(shop, people_count=20, seed=4, start_ms=START_MS, span_ms=DAY_MS)
        runs.append((list(traffic.events(tell=outcomes.append)), outcomes))
    assert runs[0] == runs[1]
    assert len(runs[0][0]) > 100


def test_another_seed_is_other_traffic(shop):
    first, second = (
        [event.timestamp for event in islice(Traffic(
            shop, people_count=20, seed=seed, start_ms=START_MS, span_ms=DAY_MS).events(), 50)]
        for seed in (4, 5)
    )
    assert first != second


def test_events_come_in_time_order_and_no_message_id_twice(crowd):
    events, _, _ = crowd
    times = [event.timestamp for event in events]
    assert times == sorted(times)
    assert len({event.message_id for event in events}) == len(events)


def test_every_event_is_one_the_tracking_routes_can_take(shop, crowd):
    decoder = msgspec.json.Decoder(Received)
    seen = set()
    for event in crowd[0]:
        raw = msgspec.json.encode(event)
        received = decoder.decode(raw)
        assert len(raw) <= EVENT_BYTES_MAX
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.timestamp)
        assert received.timestamp.tzinfo is not None
        assert 0 < len(received.message_id) <= ID_CHARS_MAX
        assert received.anonymous_id
        assert {"userAgent", "ip", "page", "locale", "timezone", "sessionId"} <= set(received.context)
        assert (received.type == "track") == bool(received.event)
        seen.add(received.event)
    assert seen == NAMES | {""}


def test_every_product_named_is_one_the_shop_carries(shop, crowd):
    ids = {item.id for item in shop.items()}
    for event in crowd[0]:
        if event.properties is None:
            continue
        named = [each.product_id for each in event.properties.products]
        assert len(named) <= ITEMS_PER_EVENT_MAX
        assert set(named) <= ids
        assert event.properties.product_id in {"", *ids}


def test_a_click_names_the_list_and_the_position_that_showed_the_product(crowd):
    slates, clicks = {}, 0
    for event in crowd[0]:
        if event.event == "Product List Viewed":
            slates[event.properties.list_id] = {each.product_id: each.position for each in event.properties.products}
        elif event.event == "Product Clicked":
            clicks += 1
            assert slates[event.properties.list_id][event.properties.product_id] == event.properties.position
    assert clicks > 200


def test_an_order_follows_its_cart_and_costs_what_its_products_cost(shop, crowd):
    added, orders = defaultdict(set), 0
    for event in crowd[0]:
        if event.event == "Product Added":
            added[event.anonymous_id].add(event.properties.product_id)
        elif event.event == "Order Completed":
            orders += 1
            bought = [each.product_id for each in event.properties.products]
            assert set(bought) <= added[event.anonymous_id]
            assert event.properties.revenue == pytest.approx(sum(shop.item(each).fields.price for each in bought))
            assert event.user_id
    assert orders > 5


def test_lists_are_asked_for_in_time_order_and_after_every_earlier_event(shop):
    front, told_ms, asked = ShopFront(shop), [], []

    def show(visitor, placement, now_ms):
        asked.append((now_ms, len(told_ms)))
        return front(visitor, placement, now_ms)

    for event in Traffic(shop, people_count=25, seed=2, start_ms=START_MS, span_ms=DAY_MS, show=show).events():
        told_ms.append(round(datetime.fromisoformat(event.timestamp).timestamp() * 1000))
    assert [now_ms for now_ms, _ in asked] == sorted(now_ms for now_ms, _ in asked)
    for now_ms, told_before in asked:
        assert max(told_ms[:told_before], default=0) <= now_ms <= min(told_ms[told_before:])


def test_the_loop_is_closed_what_is_shown_changes_what_is_clicked(shop):
    people = People(shop, seed=1)
    best = {}

    def oracle(visitor, placement, now_ms):
        if visitor.anonymous_id not in best:
            person = people.person(int(visitor.anonymous_id.rsplit("-", 1)[1]))
            best[visitor.anonymous_id] = Preference(shop, person).best(12)
        return best[visitor.anonymous_id]

    totals = []
    for show in (None, oracle):
        outcomes = []
        traffic = Traffic(shop, people_count=60, seed=1, start_ms=START_MS, span_ms=DAY_MS, show=show)
        for _ in traffic.events(tell=outcomes.append):
            pass
        totals.append(sum((each.counted for each in outcomes), Reward()))
    assert totals[1].clicks > 2.0 * totals[0].clicks
    assert totals[1].revenue > 2.0 * totals[0].revenue


def test_an_answer_longer_than_the_placement_is_cut(shop):
    ids = tuple(item.id for item in islice(shop.items(), 40))
    events = Traffic(shop, people_count=3, start_ms=START_MS, span_ms=DAY_MS, show=lambda *_: ids).events()
    lengths = {len(each.properties.products) for each in events if each.event == "Product List Viewed"}
    assert lengths <= {1, 8, 12, 24}


def test_expected_clicks_and_counted_clicks_agree(crowd):
    _, outcomes, _ = crowd
    expected = sum((each.expected for each in outcomes), Reward())
    counted = sum((each.counted for each in outcomes), Reward())
    assert counted.clicks == pytest.approx(expected.clicks, abs=4 * expected.clicks ** 0.5)
    assert counted.orders > 0
    assert counted.revenue > 0


def test_outcomes_count_what_the_events_say(crowd):
    events, outcomes, asked = crowd
    names = Counter(event.event for event in events)
    counted = sum((each.counted for each in outcomes), Reward())
    assert names["Product Clicked"] == counted.clicks
    assert names["Product Added"] == counted.carts
    assert names["Product List Viewed"] == sum(each.lists for each in outcomes) == len(asked)
    assert sum(len(each.properties.products) for each in events if each.event == "Order Completed") == counted.orders


def test_higher_positions_are_clicked_more_as_the_curve_says(shop):
    same = [item.id for item in islice(shop.items(), 8)]
    chance_lists = {"shown": Counter(), "clicked": Counter()}

    def rotating(visitor: Visitor, placement: Placement, now_ms: int):
        turn = now_ms % len(same)
        return [*same[turn:], *same[:turn]]

    for event in Traffic(shop, people_count=400, seed=6, start_ms=START_MS, span_ms=DAY_MS, show=rotating).events():
        if event.event == "Product List Viewed":
            chance_lists["shown"].update(each.position for each in event.properties.products)
        elif event.event == "Product Clicked":
            chance_lists["clicked"][event.properties.position] += 1
    # The hero's single slot counts among the first positions; every list here is a random rotation of one set.
    rates = [chance_lists["clicked"][position] / chance_lists["shown"][position] for position in (1, 2, 4, 8)]
    assert rates[0] > rates[1] > rates[2] > rates[3]
    assert rates[3] / rates[0] == pytest.approx(examination(8), rel=0.4)


def test_people_come_back_with_the_cart_they_left(crowd):
    events, outcomes, _ = crowd
    visits = Counter(each.anonymous_id for each in outcomes)
    assert 1 < max(visits.values()) <= VISITS_PER_PERSON_MAX
    assert len(visits) == 150
    sessions = defaultdict(list)
    for event in events:
        if event.context.session_id not in sessions[event.anonymous_id]:
            sessions[event.anonymous_id].append(event.context.session_id)
    assert {person: len(ids) for person, ids in sessions.items()} == visits


def test_the_user_id_is_known_from_the_first_order_on(crowd):
    known = set()
    for event in crowd[0]:
        if event.type == "identify":
            known.add(event.anonymous_id)
        assert bool(event.user_id) == (event.anonymous_id in known)
    assert known


def test_only_the_landing_page_carries_the_campaign_and_the_referrer_from_outside(crowd):
    landed = set()
    for event in crowd[0]:
        if event.type != "page":
            continue
        session = event.context.session_id
        if session in landed:
            assert event.context.campaign is None
            assert event.context.page.referrer.startswith("https://shop.example/")
        else:
            assert not event.context.page.referrer.startswith("https://shop.example/")
        landed.add(session)


def test_a_visitor_told_to_the_front_carries_no_tastes(crowd):
    assert set(Visitor.__struct_fields__) == {
        "anonymous_id", "session_id", "user_id", "user_agent", "ip", "locale", "timezone"}
    assert all(visitor.user_agent.startswith("Mozilla/5.0") for _, visitor, _ in crowd[2])


def test_nobody_visits_a_shop_without_people(shop):
    assert list(Traffic(shop, people_count=0, start_ms=START_MS, span_ms=DAY_MS).events()) == []


def test_the_stream_is_lazy_a_million_people_cost_nothing_before_they_come(shop):
    events = Traffic(shop, people_count=1_000_000, start_ms=START_MS, span_ms=DAY_MS).events()
    assert len(list(islice(events, 20))) == 20


def test_the_shop_front_shows_no_product_twice_nor_the_one_on_the_page(shop):
    front, visitor = ShopFront(shop), Visitor(anonymous_id="a", session_id="s")
    for now_ms in range(50):
        shown = front(visitor, Placement(id="product.similar", limit=8, item="sku-0001"), now_ms)
        assert len(shown) == len(set(shown)) == 8
        assert "sku-0001" not in shown
        assert all(shop.item(item_id).fields.stock > 0 for item_id in shown)
