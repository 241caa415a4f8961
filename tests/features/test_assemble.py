from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from instanter.events.envelope import CANONICAL_FIELDS, ItemUpserted
from instanter.features.assemble import (
    BESIDE,
    EVIDENCE,
    FIRST_RULES,
    ORDERED_BY_OTHERS,
    RATE_EXPECTED,
    RATE_STRENGTH,
    WHAT_IS_COMMON,
    WHAT_IS_PROVEN,
    Assembler,
    Candidates,
)
from instanter.features.beside import NOTHING_TOLD, Told
from instanter.features.carriers import carriers
from instanter.features.declaration import FeatureDeclaration
from instanter.features.neighbours import Neighbourhood
from instanter.features.view import Reader, blank
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.ids import item_reference, reference
from instanter.foundation.limits import SHOWN_RECENTLY_MAX
from instanter.state.aggregations.dispatch import read_number

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def candidates(shop, *item_ids: str, ranks: tuple[int, ...] = ()) -> Candidates:
    refs = np.array([item_reference("shop", item_id) for item_id in item_ids], np.int64)
    rows = np.array([shop.state.find_item(ref) for ref in refs.tolist()], np.int64)
    attributes = shop.state.tables.attributes
    places = np.array(ranks or [-1] * len(refs), np.int64)
    texts, numbers = attributes.refs[rows], attributes.numbers[rows]
    texts[rows < 0], numbers[rows < 0] = 0, np.nan
    return Candidates(refs, rows, places, texts, numbers)


def assembled(
    shop, *item_ids: str, keys=(1,), after_ms: int = 0, ranks=(), recent=(), rules: int = EVIDENCE, page: str = "",
    told: Told = NOTHING_TOLD,
) -> list[dict[str, float]]:
    reader = Reader(shop.schema, shop.declarations)
    assembler = Assembler(shop.schema, shop.declarations, reader, rules)
    person = reader.person(shop.state, keys, START_MS + after_ms)
    neighbourhood = Neighbourhood(shop.schema, carriers(shop.declarations))
    near = neighbourhood.of(shop.state, [item_reference("shop", one) for one in recent])
    rows = np.array(sorted(shop.state.catalogue.at_row), np.int64)
    counts = np.zeros((len(rows), assembler.counts), np.int64)
    assembler.count(shop.state, rows, counts)
    created = shop.state.catalogue.created_ms[rows]
    page_row = shop.state.find_item(item_reference("shop", page)) if page else -1
    matrix = assembler.matrix(
        shop.state, person, candidates(shop, *item_ids, ranks=ranks), near,
        assembler.averages(counts.sum(axis=0), int(created.min()) if len(rows) else 0), START_MS + after_ms,
        page_row, told,
    )  # fmt: skip
    names = [column.name for column in assembler.columns]
    return [dict(zip(names, row.tolist(), strict=True)) for row in matrix]


def test_item_numbers_are_those_of_the_epoch(little) -> None:
    shop = little()
    shop.item("a", price=20.0)
    shop.happen("Product Viewed", "a")
    assert assembled(shop, "a")[0]["item.item_views"] == 0.0
    shop.publish()
    (row,) = assembled(shop, "a")
    assert row["item.item_views"] == 1.0
    assert row["item.price"] == 20.0
    assert row["item.trending"] == 1.0
    assert assembled(shop, "a", after_ms=2 * 3_600_000)[0]["item.trending"] == pytest.approx(0.5)


def test_rates_are_smoothed_towards_the_average_and_an_unseen_item_has_it(little) -> None:
    shop = little()
    for item_id in ("shown", "clicked", "unseen"):
        shop.item(item_id)
    for number in range(20):
        shop.happen("Product List Viewed", "shown", "clicked", after_ms=number)
    for number in range(10):
        shop.happen("Product Clicked", "clicked", after_ms=number)
    shop.publish()
    shown, clicked, unseen = assembled(shop, "shown", "clicked", "unseen")
    average = (10 + 0.05) / (40 + 1)
    assert unseen["item.click_rate"] == pytest.approx(average, rel=1e-6)
    assert unseen["item.click_lift"] == pytest.approx(0.0, abs=1e-9)
    rate = (10 + average * RATE_STRENGTH) / (20 + RATE_STRENGTH)
    assert clicked["item.click_rate"] == pytest.approx(rate, rel=1e-6)
    assert clicked["item.click_lift"] == pytest.approx(math.log(rate / average), rel=1e-5)
    assert shown["item.click_lift"] < 0.0


def test_clicks_without_impressions_say_nothing(little) -> None:
    shop = little()
    shop.item("a")
    for number in range(50):
        shop.happen("Product Clicked", "a", after_ms=number)
    shop.publish()
    (row,) = assembled(shop, "a")
    assert math.isnan(row["item.click_rate"])
    assert math.isnan(row["item.click_lift"])
    assert math.isnan(row["list.click_rank"])
    assert assembled(shop, "a", rules=FIRST_RULES)[0]["item.click_rate"] == 1.0


def test_clicks_that_no_impression_was_seen_of_lift_nothing_where_others_have_impressions(little) -> None:
    shop = little()
    shop.item("half the site"), shop.item("tells no impressions")
    for number in range(50):
        shop.happen("Product List Viewed", "half the site", after_ms=2 * number)
        shop.happen("Product Clicked", "tells no impressions", after_ms=2 * number + 1)
    shop.happen("Product Clicked", "half the site", after_ms=1_000)
    shop.publish()
    counted, other = assembled(shop, "half the site", "tells no impressions")
    assert other["item.click_lift"] == pytest.approx(0.0, abs=1e-9)
    assert counted["item.click_rate"] < 0.1


@pytest.mark.parametrize("rate", ["cart", "buy"])
def test_views_of_a_shop_without_carts_or_orders_say_nothing_of_either(little, rate: str) -> None:
    shop = little()
    for number in range(40):
        shop.item(f"sku-{number}")
        for _ in range(number):
            shop.happen("Product Viewed", f"sku-{number}", after_ms=number)
    shop.publish()
    rows = assembled(shop, "sku-0", "sku-5", "sku-39")
    assert all(math.isnan(row[f"item.{rate}_{kind}"]) for row in rows for kind in ("rate", "lift"))
    before = [row[f"item.{rate}_lift"] for row in assembled(shop, "sku-0", "sku-39", rules=FIRST_RULES)]
    assert before == pytest.approx([0.0, math.log(10 / 49)])


def test_few_views_and_no_cart_are_held_against_nobody_and_many_are(little) -> None:
    shop = little()
    for item_id in ("bought", "viewed", "much viewed", "unseen"):
        shop.item(item_id)
    for number in range(60):
        shop.happen("Product Viewed", "bought", "much viewed", after_ms=2 * number)
        if number < 4:
            shop.happen("Product Viewed", "viewed", after_ms=2 * number)
        if number % 4 == 0:
            shop.happen("Product Added", "bought", after_ms=2 * number + 1)
    shop.publish()
    bought, viewed, much, unseen = (
        row["item.cart_lift"] for row in assembled(shop, "bought", "viewed", "much viewed", "unseen")
    )
    assert unseen == pytest.approx(0.0, abs=1e-9)
    assert viewed == pytest.approx(0.0, abs=1e-9), "half a cart was to be expected, and none came"
    assert much < -0.5
    assert bought > 0.3


def test_a_rate_grows_with_its_evidence(little) -> None:
    """The first cart of a shop moves its item a little, the tenth more; it moves nobody else down in a leap."""
    shop = little()
    shop.item("carted"), shop.item("other")
    for number in range(200):
        shop.happen("Product Viewed", "carted", "other", after_ms=number)
    lifts = []
    for number in range(10):
        shop.happen("Product Added", "carted", after_ms=1_000 + number)
        shop.publish()
        lifts.append([row["item.cart_lift"] for row in assembled(shop, "carted", "other")])
    carted, other = zip(*lifts, strict=True)
    assert 0.0 < carted[0] < math.log(2)
    assert list(carted) == sorted(carted)
    assert other[0] == pytest.approx(0.0, abs=1e-9)
    assert list(other) == sorted(other, reverse=True)
    assert max(one - following for one, following in itertools.pairwise(other)) < 0.25


def test_rare_events_need_many_views_to_say_anything(little) -> None:
    shop = little()
    shop.item("lucky"), shop.item("usual")
    for number in range(400):
        shop.happen("Product Viewed", "usual", after_ms=number)
    shop.happen("Product Viewed", "lucky", after_ms=500)
    shop.happen("Product Added", "lucky", after_ms=501)
    shop.publish()
    lucky, _ = assembled(shop, "lucky", "usual")
    average = (1 + RATE_EXPECTED) / 402
    assert lucky["item.cart_lift"] == pytest.approx(math.log((1 + 1) / (1 + average)), rel=1e-5)


def test_shares_are_of_the_whole_list_and_the_best_of_several_values_counts(little) -> None:
    shop = little(
        FeatureDeclaration(name="styles", on=("Product Viewed",), aggregate="top_k", by="item.style", k=4)
    )
    shop.item("a", style="oak")
    shop.item("b", style=["elm", "oak"])
    shop.item("c", style="ash")
    shop.happen("Product Viewed", "a")
    shop.happen("Product Viewed", "b", after_ms=1)
    rows = assembled(shop, "a", "b", "c", after_ms=1)
    assert [row["cross.styles"] for row in rows] == [0.5, 0.5, 0.0]


def test_the_place_in_a_list_of_items_counts_down_from_one(little) -> None:
    shop = little()
    for item_id in "abc":
        shop.item(item_id)
    shop.happen("Product Viewed", "a")
    shop.happen("Product Viewed", "b", after_ms=1)
    rows = assembled(shop, "a", "b", "c", after_ms=1)
    assert [row["cross.session_items"] for row in rows] == [0.5, 1.0, 0.0]


def test_the_price_fits_best_where_the_person_looks(little) -> None:
    shop = little()
    shop.item("a", price=100.0)
    shop.item("b", price=50.0)
    shop.item("c")
    shop.happen("Product Viewed", "a")
    fits = [row["cross.price_fit"] for row in assembled(shop, "a", "b", "c")]
    assert fits == pytest.approx([1.0, 0.5, math.nan], nan_ok=True)
    assert math.isnan(assembled(shop, "a", keys=())[0]["cross.price_fit"])
    before = [row["cross.price_fit"] for row in assembled(shop, "b", "c", rules=FIRST_RULES)]
    assert before == pytest.approx([0.5, 0.0])


def test_neighbours_of_recent_items_are_close(little) -> None:
    shop = little()
    for item_id in "abc":
        shop.item(item_id)
    shop.happen("Product Viewed", "a", key=5)
    shop.happen("Product Viewed", "b", key=5, after_ms=1)
    shop.publish()
    assert [row["cross.co_viewed"] for row in assembled(shop, "a", "b", "c", recent=("a",))] == [0.0, 1.0, 0.0]
    assert [row["cross.co_viewed"] for row in assembled(shop, "b", recent=("c",))] == [0.0]
    assert [row["cross.co_viewed"] for row in assembled(shop, "b", recent=("nobody", "a"))] == [0.5]


def test_so_many_recent_items_beside_that_of_the_page_have_neighbours(little) -> None:
    shop = little()
    recent = [f"r{number}" for number in range(SHOWN_RECENTLY_MAX + 2)]
    for number, item_id in enumerate(recent):
        shop.item(item_id)
        shop.item(f"n{number}")
        shop.happen("Product Viewed", item_id, key=number + 5)
        shop.happen("Product Viewed", f"n{number}", key=number + 5, after_ms=1)
    shop.publish()
    neighbourhood = Neighbourhood(shop.schema, carriers(shop.declarations))
    near = neighbourhood.of(shop.state, [item_reference("shop", one) for one in recent])
    assert set(near.refs.tolist()) == {item_reference("shop", f"n{number}") for number in range(SHOWN_RECENTLY_MAX + 1)}


def test_position_and_recency(little) -> None:
    shop = little()
    shop.item("a")
    first, second, unknown = assembled(shop, "a", "a", "unknown", ranks=(0, 3, -1), after_ms=30 * DAY_MS)
    assert (first["position"], second["position"], unknown["position"]) == (1.0, 0.25, 0.0)
    assert first["item.recency"] == 0.0, "there is none that is older"
    assert math.isnan(unknown["item.recency"])
    assert math.isnan(unknown["item.price"])
    first, unknown = assembled(shop, "a", "unknown", after_ms=30 * DAY_MS, rules=FIRST_RULES)
    assert first["item.recency"] == pytest.approx(0.5)
    assert unknown["item.recency"] == 0.0
    assert unknown["item.click_lift"] == pytest.approx(0.0, abs=1e-9)


def test_items_that_came_at_once_are_equally_new_and_one_that_came_later_is_newer(little) -> None:
    shop = little()
    for item_id in ("a", "b"):
        shop.item(item_id, created_at=START_MS)
    shop.item("later", created_at=START_MS + 30 * DAY_MS)
    a, b, later = (row["item.recency"] for row in assembled(shop, "a", "b", "later", after_ms=30 * DAY_MS))
    assert (a, b) == (0.0, 0.0)
    assert later == pytest.approx(0.5)


def test_inputs_that_mean_something_else_now_have_another_version(little) -> None:
    shop = little()
    reader = Reader(shop.schema, shop.declarations)
    before = Assembler(shop.schema, shop.declarations, reader, FIRST_RULES).columns
    now = Assembler(shop.schema, shop.declarations, reader, EVIDENCE).columns
    assert [column.name for column in before] == [column.name for column in now]
    changed = {one.name for one, other in zip(now, before, strict=True) if one != other}
    assert changed == {
        *(f"item.{rate}_{kind}" for rate in ("click", "view", "cart", "buy") for kind in ("rate", "lift")),
        "item.recency", "cross.price_fit", "list.click_rank",
    }  # fmt: skip


def test_an_item_feature_past_its_time_to_live_reads_as_its_default(little) -> None:
    shop = little(
        FeatureDeclaration(
            name="hot", on=("Product Viewed",), aggregate="decayed", half_life="1d", scope="item", ttl="1h", default=7.0
        ),
        FeatureDeclaration(
            name="hour", on=("Product Viewed",), aggregate="windowed", window="24h", scope="item", ttl="2h", default=8.0
        ),
    )
    shop.item("a")
    shop.happen("Product Viewed", "a")
    shop.publish()
    (fresh,), (old,) = assembled(shop, "a"), assembled(shop, "a", after_ms=4 * 3_600_000)
    assert (fresh["item.hot"], fresh["item.hour"]) == (1.0, 1.0)
    assert (old["item.hot"], old["item.hour"]) == (7.0, 8.0)


def test_the_numbers_of_many_items_are_those_of_each(little) -> None:
    kinds = {
        "count": {}, "sum": {"value": "price"}, "mean": {"value": "price"}, "min": {"value": "price"},
        "max": {"value": "price"}, "last": {"value": "price"}, "decayed": {"half_life": "1h"},
        "windowed": {"window": "2h", "tiles": 4}, "time_since": {},
    }  # fmt: skip
    features = [
        FeatureDeclaration(name=f"{kind}_{on.lower()}", on=(f"Product {on}",), aggregate=kind, scope="item",
                           default=3.0 if on == "Added" else None, **rest)
        for kind, rest in kinds.items() for on in ("Viewed", "Clicked", "Added")
    ]  # fmt: skip
    shop = little(*features, only=True)
    for number in range(6):
        shop.item(f"sku-{number}", price=float(number))
        for after_ms in range(number):
            shop.happen(("Product Viewed", "Product Clicked")[number % 2], f"sku-{number}", after_ms=after_ms * 60_000)
    shop.publish()
    now_ms, program, state = START_MS + 3_600_000, shop.state.program, shop.state
    for item_id, row in zip(("sku-5", "none", "sku-0", "sku-4"), assembled(
        shop, "sku-5", "none", "sku-0", "sku-4", after_ms=3_600_000
    ), strict=True):  # fmt: skip
        record = state.find_item(item_reference("shop", item_id))
        for number, one in enumerate(shop.schema.layout.features):
            default = next(d.default for d in shop.declarations if d.name == one.spec.name)
            default = math.nan if default is None else default
            expected = blank(one.spec, default) if record < 0 else read_number(
                program.features, number, state.published, state.published_reals,
                record * shop.schema.layout.item_words + one.offset, now_ms, int(state.catalogue.created_ms[record]),
                default,
            )  # fmt: skip
            assert row[f"item.{one.spec.name}"] == pytest.approx(float(np.float32(expected)), rel=0, nan_ok=True)


def test_two_inputs_of_one_name_are_refused(little) -> None:
    shop = little(
        FeatureDeclaration(name="price", on=("Product Viewed",), aggregate="mean", value="price", scope="item")
    )
    with pytest.raises(ConfigRejected, match=r'"item\.price"'):
        Assembler(shop.schema, shop.declarations, Reader(shop.schema, shop.declarations))


def test_a_schema_without_item_features_still_assembles(little) -> None:
    shop = little(FeatureDeclaration(name="views", on=("Product Viewed",), aggregate="count"), only=True)
    shop.item("a", price=3.0)
    (row,) = assembled(shop, "a", recent=("a",))
    assert math.isnan(row.pop("cross.price_fit"))
    assert {name: value for name, value in row.items() if not name.startswith("list.")} == {
        "item.price": 3.0, "cross.co_viewed": 0.0, "position": 0.0, "item.recency": 0.0, "person.views": 0.0,
    }  # fmt: skip
    assert row["list.touched"] == 1.0


def test_numbers_of_the_person_are_the_same_for_every_candidate(little) -> None:
    shop = little(FeatureDeclaration(name="looks", on=("Product Viewed",), aggregate="count", scope="session"))
    for item_id in "ab":
        shop.item(item_id)
        shop.happen("Product Viewed", item_id)
    assert [row["person.looks"] for row in assembled(shop, "a", "b")] == [2.0, 2.0]
    assert [row["person.looks"] for row in assembled(shop, "a", "b", keys=())] == [0.0, 0.0]


def test_what_stands_of_a_candidate_does_not_depend_on_the_others_but_for_the_list(little) -> None:
    shop = little(
        FeatureDeclaration(name="last_brands", on=("Product Viewed",), aggregate="last_k", by="item.brand", k=3),
        FeatureDeclaration(name="dearest", on=("Product Viewed",), aggregate="max", value="price", scope="item"),
    )
    ids = [f"sku-{number}" for number in range(12)]
    for number, item_id in enumerate(ids[:10]):
        shop.item(item_id, brand=[f"b{number % 3}", "oak"][: 1 + number % 2], category=f"c{number % 4}", price=number)
        for after_ms in range(number):
            shop.happen("Product Viewed", item_id, after_ms=1_000 * number + after_ms)
    shop.publish()
    together = assembled(shop, *ids, after_ms=60_000, ranks=tuple(range(12)), recent=("sku-3",))
    for rank, (item_id, row) in enumerate(zip(ids, together, strict=True)):
        (alone,) = assembled(shop, item_id, after_ms=60_000, ranks=(rank,), recent=("sku-3",))
        for name, value in row.items():
            if not name.startswith("list."):
                assert value == pytest.approx(alone[name], rel=0, abs=0, nan_ok=True), name


def test_a_meeting_is_told_with_its_score_or_its_age(little) -> None:
    shop = little(FeatureDeclaration(name="tops", on=("Product Viewed",), aggregate="top_k", by="item", k=3))
    for item_id in "abc":
        shop.item(item_id)
    shop.happen("Product Viewed", "a")
    shop.happen("Product Viewed", "a", after_ms=1_000)
    shop.happen("Product Viewed", "b", after_ms=4_000)
    rows = assembled(shop, "a", "b", "c", after_ms=5_000)
    assert [row["score.tops"] for row in rows] == [2.0, 1.0, 0.0]
    assert [row["age.session_items"] for row in rows[:2]] == [4.0, 1.0]
    assert math.isnan(rows[2]["age.session_items"])


def test_lists_of_attributes_by_time_count_by_place(little) -> None:
    shop = little(
        FeatureDeclaration(name="last_brands", on=("Product Viewed",), aggregate="last_k", by="item.brand", k=3),
        FeatureDeclaration(name="top_items", on=("Product Viewed",), aggregate="top_k", by="item", k=3),
        FeatureDeclaration(name="devices", on=("Product Viewed",), aggregate="top_k", by="context.device", k=3),
    )
    shop.item("a", brand="oak")
    shop.happen("Product Viewed", "a")
    (row,) = assembled(shop, "a")
    assert row["cross.last_brands"] == 1.0
    assert row["cross.top_items"] == 0.5
    assert "cross.devices" not in row


def test_references_are_those_of_the_texts(little) -> None:
    shop = little()
    shop.item("a", brand="oak")
    assert reference("oak") in candidates(shop, "a").attributes


def test_candidates_stand_beside_the_item_of_the_page(little) -> None:
    shop = little()
    shop.item("page", price=20.0, category=["shoes", "sale"], brand="b")
    shop.item("alike", price=20.0, category="sale", brand="b")
    shop.item("other", price=10.0, category="hats")
    shop.item("bare")
    alike, other, bare = assembled(shop, "alike", "other", "bare", page="page", rules=BESIDE)
    assert (alike["beside.category"], alike["beside.brand"], alike["beside.price_fit"]) == (1.0, 1.0, 1.0)
    assert (other["beside.category"], other["beside.price_fit"]) == (0.0, pytest.approx(0.5))
    assert np.isnan(other["beside.brand"])
    assert np.isnan([bare[f"beside.{name}"] for name in ("category", "brand", "price_fit")]).all()
    (nowhere,) = assembled(shop, "alike", rules=BESIDE)
    assert np.isnan([nowhere[f"beside.{name}"] for name in ("category", "brand", "price_fit")]).all()
    assert not any(name.startswith("beside.") for name in assembled(shop, "alike", rules=EVIDENCE)[0])


def test_how_people_go_on_is_as_told_and_views_count_as_far_as_it_explains(little) -> None:
    shop = little()
    shop.item("page")
    shop.item("a")
    shop.happen("Product Viewed", "a")
    shop.publish()
    told = Told(chance=np.array([1.5]), explained=0.5)
    (row,) = assembled(shop, "a", page="page", rules=WHAT_IS_COMMON, told=told)
    assert (row["similar.chance"], row["similar.liked"]) == (1.5, pytest.approx(0.5 * math.log(2.0)))
    (nothing,) = assembled(shop, "a", page="page", rules=WHAT_IS_COMMON)
    assert (nothing["similar.chance"], nothing["similar.liked"]) == (0.0, 0.0)
    assert not any(name.startswith("similar.") for name in assembled(shop, "a", rules=ORDERED_BY_OTHERS)[0])


def test_what_is_proven_has_inputs_of_its_own_and_what_is_common_another_version(little) -> None:
    shop = little()
    reader = Reader(shop.schema, shop.declarations)
    before, now = (
        {one.name: one.version for one in Assembler(shop.schema, shop.declarations, reader, rules).columns}
        for rules in (WHAT_IS_COMMON, WHAT_IS_PROVEN)
    )
    assert now.keys() - before.keys() == {"next.proven", "next.unproven"}
    assert {name for name in before if before[name] != now[name]} == {"similar.chance", "similar.liked"}


def test_beside_an_item_on_sale_prices_are_those_of_the_sale(little) -> None:
    shop = little()
    on_sale = ItemUpserted(START_MS, "shop", "page", {"price": 20.0, "sale_price": 10.0}, CANONICAL_FIELDS)
    shop.state.catalogue.upsert(on_sale)
    shop.item("other", price=10.0)
    assert assembled(shop, "other", page="page", rules=BESIDE)[0]["beside.price_fit"] == 1.0
