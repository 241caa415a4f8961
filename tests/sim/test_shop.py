import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime

import msgspec
import pytest

from instanter.sim.assortment import CATEGORIES, COLOURS, MATERIALS, PRICE_BANDS, ROOMS, STYLES
from instanter.sim.chance import Chance
from instanter.sim.names import invent_distinct
from instanter.sim.shop import DEFAULT_AS_OF_MS, PRODUCTS, Item, Shop

DIGEST_PROGRAM = """
import hashlib, msgspec
from itertools import islice
from instanter.sim.shop import Shop
from instanter.sim.traffic import Traffic
shop = Shop(seed=7)
events = Traffic(shop, people_count=20, seed=5, start_ms=0, span_ms=86_400_000).events()
print(hashlib.sha256(msgspec.json.encode([list(shop.items()), list(events)])).hexdigest())
"""


def digest(shop: Shop) -> str:
    return hashlib.sha256(msgspec.json.encode(list(shop.items()))).hexdigest()


def test_the_same_seed_is_the_same_shop(shop):
    again = Shop(seed=7)
    assert digest(again) == digest(shop)
    assert again.columns.appeal.tolist() == shop.columns.appeal.tolist()


def test_another_seed_is_another_shop(shop):
    assert digest(Shop(seed=8)) != digest(shop)


def test_no_hash_seed_changes_the_shop_or_its_traffic():
    digests = {
        subprocess.run([sys.executable, "-c", DIGEST_PROGRAM], env={**os.environ, "PYTHONHASHSEED": hash_seed},
                       capture_output=True, text=True, check=True).stdout
        for hash_seed in ("0", "4242")
    }
    assert len(digests) == 1


def test_the_shop_carries_two_thousand_products_over_every_room_style_and_category(shop):
    fields = [item.fields for item in shop.items()]
    assert len(fields) == len(shop) == PRODUCTS
    assert {each.room for each in fields} == set(ROOMS)
    assert {each.style for each in fields} == set(STYLES)
    assert {each.category for each in fields} == {category.name for category in CATEGORIES}
    assert {each.price_band for each in fields} == set(PRICE_BANDS)


def test_ids_and_titles_are_never_given_twice(shop):
    assert len({item.id for item in shop.items()}) == len(shop)
    assert len({item.fields.title for item in shop.items()}) == len(shop)


def test_every_product_is_made_of_what_its_category_allows(shop):
    categories = {category.name: category for category in CATEGORIES}
    for item in shop.items():
        category = categories[item.fields.category]
        assert item.fields.room == category.room
        assert item.fields.material in category.materials
        assert item.fields.material in MATERIALS
        assert item.fields.colour in COLOURS
        assert item.fields.brand in shop.brands
        assert item.fields.title.endswith(category.name)
        assert item.fields.stock >= 0


def test_every_price_lies_in_the_range_of_its_category_and_in_its_band(shop):
    categories = {category.name: category for category in CATEGORIES}
    for item in shop.items():
        category = categories[item.fields.category]
        assert category.price_min <= item.fields.price <= category.price_max
        quarter = PRICE_BANDS.index(item.fields.price_band)
        assert category.price_at(quarter / 4) <= item.fields.price * 1.000001
        assert item.fields.price <= category.price_at((quarter + 1) / 4) * 1.000001


def test_dear_materials_cost_more_within_a_category(shop):
    tables = [item.fields for item in shop.items() if item.fields.category == "coffee table"]
    marble = [each.price for each in tables if each.material == "marble"]
    pine = [each.price for each in tables if each.material == "pine"]
    assert sum(marble) / len(marble) > 1.5 * sum(pine) / len(pine)


def test_some_products_are_sold_out_and_most_are_not(shop):
    sold_out = [item for item in shop.items() if item.fields.stock == 0]
    assert 0.02 < len(sold_out) / len(shop) < 0.06
    assert all(item.fields.stock > 0 for item in shop.select())
    assert len(shop.select()) + len(sold_out) == len(shop)


def test_products_are_at_most_two_years_old_on_the_shops_day(shop):
    day = datetime.fromtimestamp(DEFAULT_AS_OF_MS / 1000, tz=UTC)
    ages = [(day - datetime.fromisoformat(item.fields.created_at)).days for item in shop.items()]
    assert min(ages) >= 0
    assert 365 < max(ages) <= 730


def test_an_item_is_sent_in_the_wire_shape_of_the_catalogue(shop):
    item = next(shop.items())
    sent = msgspec.json.decode(msgspec.json.encode(item))
    assert set(sent) == {"id", "fields"}
    assert set(sent["fields"]) == {"title", "category", "brand", "price", "stock", "room", "style", "material",
                                   "colour", "price_band", "created_at"}
    assert msgspec.convert(sent, Item) == item


def test_an_item_is_found_by_id_and_by_row(shop):
    assert shop.item("sku-0042").id == shop.id_at(shop.row("sku-0042")) == "sku-0042"
    with pytest.raises(KeyError):
        shop.item("sku-of-somebody-else")


def test_invented_names_are_distinct_and_leave_out_the_taken_ones():
    names = invent_distinct(Chance("names"), 200, syllables=3)
    others = invent_distinct(Chance("names"), 200, syllables=3, taken=frozenset(names))
    assert len(set(names)) == 200
    assert not set(names) & set(others)
