"""What comes in and has no effect is said in a sentence, with the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instanter.api.tenancy import Terms
from instanter.engine import effects
from instanter.events.envelope import CANONICAL_FIELDS, ItemUpserted
from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import STOCKTAKEN_ITEMS_MAX

from ..engine.harness import iso
from .client import Client, track, with_client

TERMS = Terms(key_requests_per_s=1_000_000)
NOW_MS = 1_790_000_000_000


async def findings(client: Client, code: str) -> list[dict[str, Any]]:
    health = (await client.get("/v1/health/data")).json()
    assert health["ok"] is (health["findings"] == [])
    return [one for one in health["findings"] if one["code"] == code]


async def send(client: Client, count: int, **fields: Any) -> None:
    for number in range(count):
        assert (await client.post("/v1/track", track(hash((number, str(fields))), **fields))).status_code == 200


def test_an_empty_catalogue_and_a_name_that_nobody_hears_are_told(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        (empty,) = await findings(client, "no_catalogue")
        assert "instanter import --items FILE" in empty["message"]
        await send(client, 3, event="book_opened")
        (unheard,) = await findings(client, "unheard")
        assert (unheard["event"], unheard["count"]) == ("book_opened", 3)
        told = 'put "book_opened" = "Product Viewed" under [events.names], and run `instanter remap`'
        assert told in unheard["message"]

    with_client(tmp_path, work)


def test_a_name_of_the_specification_that_nobody_hears_is_not_taken_for_another(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await send(client, 1, event="Help Viewed")
        (unheard,) = await findings(client, "unheard")
        assert unheard["message"].startswith('1 event "Help Viewed" changes no profile')
        assert "name it in the `on` of a feature" in unheard["message"]
        assert "Product Viewed" not in unheard["message"]

    with_client(tmp_path, work)


def test_a_feed_that_is_keyed_by_another_field_is_named(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        items = [{"id": f"p-{n}", "fields": {"title": "T", "gtin": 4_000_000 + n, "mpn": f"M{n}"}} for n in range(30)]
        await client.post("/v1/items", {"items": items})
        for number in range(20):
            await client.post("/v1/track", track(number, properties={"product_id": str(4_000_000 + number)}))
        (unknown,) = await findings(client, "item_unknown")
        assert unknown["count"] == 20
        assert "stand in the field gtin of the catalogue" in unknown["message"]
        assert "load the feed with gtin as the id" in unknown["message"]

    with_client(tmp_path, work)


@pytest.mark.parametrize("properties", [
    {"product_id": "x{n}", "sku": "p-{n}"}, {"products": [{"product_id": "x{n}", "variant": "p-{n}"}]},
])
def test_a_field_of_the_events_that_has_the_catalogues_ids_is_named(properties: dict[str, Any], tmp_path: Path) -> None:
    def filled(value: Any, number: int) -> Any:
        if isinstance(value, dict):
            return {name: filled(one, number) for name, one in value.items()}
        return [filled(one, number) for one in value] if isinstance(value, list) else value.replace("{n}", str(number))

    async def work(client: Client) -> None:
        await client.stock(*(f"p-{n}" for n in range(20)))
        for number in range(20):
            await client.post("/v1/track", track(number, properties=filled(properties, number)))
        (unknown,) = await findings(client, "item_unknown")
        field = "variant" if "products" in properties else "sku"
        assert f'item_from = ["{field}"]' in unknown["message"]

    with_client(tmp_path, work)


@pytest.mark.parametrize(("event", "properties", "told"), [
    ("Product Viewed", {"payload": {"productVariant": {"sku": "{id}"}, "n": 1}},
     'item_from = ["payload.productVariant.sku"]'),
    ("Order Completed", {"payload": {"lineItems": [{"variant": {"sku": "{id}"}}]}},
     'item_from = ["payload.lineItems[].variant.sku"]'),
    ("Product Added", {"Artikelnr": "{id}"}, 'item_from = ["Artikelnr"]'),
    ("Product Added", {"quantity": "p-1"}, "send properties.product_id, or"),
    ("Page Viewed", {"url": "https://s.example/a/{id}.html?x=/1"}, "properties.url, as its last part: send the id as"),
    ("Screen Viewed", {"screen": "Template", "ref": "{id}"}, "stand in properties.ref: send the id as"),
    ("Page Viewed", {"url": "https://s.example/about"}, ""),
    ("book_opened", {"Artikelnr": "{id}"},
     "again, once. Before that: they name no item, and the catalogue's ids stand in properties.Artikelnr: say so in"),
    ("book_opened", {"product_id": "{id}"}, "tells the kept ones again, once."),
])  # fmt: skip
def test_where_the_ids_of_events_without_items_stand_is_told(
    event: str, properties: dict[str, Any], told: str, tmp_path: Path
) -> None:
    async def work(client: Client) -> None:
        await client.stock(*(f"p-{n}" for n in range(9)))
        for number in range(9):
            sent = json.loads(json.dumps(properties).replace("{id}", f"p-{number}"))
            await client.post("/v1/track", track(number, event=event, properties=sent))
        found = [*await findings(client, "no_item"), *await findings(client, "unheard")]
        if told:
            assert told in found[0]["message"]
        else:
            assert found == []

    with_client(tmp_path, work)


def test_no_item_times_far_off_unfed_features_and_empty_placements_are_told(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)

    async def work(client: Client) -> None:
        await client.post("/v1/decide", {"anonymousId": "a", "placements": [{"id": "home.hero"}], "deadlineMs": 10_000})
        await client.stock("sku-1")
        await send(client, 2, event="Product Viewed", properties={"name": "Chair"})
        await send(client, 2, event="Product Viewed", timestamp=iso(1_790_000_000))
        await send(client, 1, event="Product Viewed", timestamp=iso(NOW_MS + 3_600_000))
        assert await findings(client, "no_feed") == []
        await send(client, 1, event="Product Added")
        (no_item,) = await findings(client, "no_item")
        assert (no_item["count"], no_item["event"]) == (2, "Product Viewed")
        (far,) = await findings(client, "time_far")
        assert (far["count"], "ten years before" in far["message"]) == (2, True)
        (ahead,) = await findings(client, "time_ahead")
        assert ahead["count"] == 1
        unfed = await findings(client, "no_feed")
        assert any("orders" in one["message"] and '"Order Completed"' in one["message"] for one in unfed)
        (empty,) = await findings(client, "no_candidates")
        assert empty["event"] == "home.hero"

    with_client(tmp_path, work, clock=clock)


def test_a_mapping_to_a_name_that_nobody_hears_is_told_with_the_line_to_write(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        (misspelt,) = await findings(client, "mapping")
        assert 'Write "book_opened" = "Product Viewed"' in misspelt["message"]

    with_client(tmp_path, work, event_names={"book_opened": "Product Vewed", "basket_add": "Product Added"})


def test_a_shop_that_does_all_right_hears_nothing(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2")
        for name in ("Product List Viewed", "Product Clicked", "Product Viewed", "Product Added"):
            await send(client, 1, event=name)
        await send(client, 1, event="Order Completed", properties={"product_id": "sku-1", "order_id": "5"})
        await client.decide()
        health = (await client.get("/v1/health/data")).json()
        assert (health["ok"], health["findings"]) == (True, [])
        assert sum(one["count"] for one in health["events"]) == 5

    with_client(tmp_path, work)


def test_each_tenant_hears_of_its_own_and_no_more_is_looked_at_than_the_bounds_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "EFFECTS_RECORDS_MAX", 12)
    monkeypatch.setattr(effects, "EFFECTS_NAMES_MAX", 3)
    monkeypatch.setattr(effects, "EFFECTS_SAMPLES_MAX", 2)
    monkeypatch.setattr(effects, "EFFECTS_ITEMS_MAX", 1)

    async def work(client: Client) -> None:
        ours, theirs = await client.key("admin", "write", "catalog"), await client.key("admin", "write", tenant="two")
        items = {"items": [{"id": f"p-{n}", "fields": {}} for n in range(3)]}
        await client.post("/v1/items", items, headers=ours.headers)
        for number in range(20):
            await client.post("/v1/track", track(number, event=f"my name {number % 6}"), headers=ours.headers)
        health = (await client.get("/v1/health/data", headers=ours.headers)).json()
        assert health["records"] == 12
        assert len(health["events"]) == 4
        assert effects.FURTHER in {one["event"] for one in health["events"]}
        other = (await client.get("/v1/health/data", headers=theirs.headers)).json()
        assert other["events"] == []

    with_client(tmp_path, work, terms=TERMS)


def test_fields_of_items_that_have_no_effect_are_told(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        items = [{"id": f"p-{n}", "price": "1,299", "inventory": 0, "title": "T"} for n in range(3)]
        items += [{"id": "a", "price": "5 EUR"}, {"id": "b", "price": "600 JPY"}]
        assert (await client.post("/v1/items", items)).status_code == 200
        before = ItemUpserted(1, "default", "old", {"price": "19,90", "availability": "sold out"})
        unfit = ItemUpserted(1, "default", "unfit", {"price": -5})
        await client.engine.change_items([before, unfit])
        (unheard,) = await findings(client, "unheard")
        assert unheard["message"] == (
            '3 of 7 items of the catalogue: inventory has no effect; the field that has one is called "stock".'
        )
        (ambiguous,) = await findings(client, "unreadable")
        assert (ambiguous["count"], "price may be decimals or thousands" in ambiguous["message"]) == (3, True)
        (refused,) = await findings(client, "refused")
        assert "1 of 7 items of the catalogue: price is below 0" in refused["message"]
        (currency,) = await findings(client, "other_currency")
        assert "1 of 7 items of the catalogue: price is in JPY" in currency["message"]
        (as_sent,) = await findings(client, "items_as_sent")
        assert as_sent["count"] == 1

    with_client(tmp_path, work)


def test_items_that_would_be_kept_back_if_they_were_sent_again_are_told(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        before = [ItemUpserted(1, "default", f"old-{n}", {"active": False}, CANONICAL_FIELDS) for n in range(2)]
        await client.engine.change_items(before)
        assert len((await client.decide())["items"]) == 2
        await client.post("/v1/items", [{"id": "new", "active": False, "vendor": "Own"}])
        (as_sent,) = await findings(client, "items_as_sent")
        assert as_sent["count"] == 2
        (unheard,) = await findings(client, "unheard")
        assert unheard["message"].endswith('vendor has no effect; the field that has one is called "brand".')

    with_client(tmp_path, work)


def test_a_report_looks_at_so_many_items(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        items = [{"id": n, "inventory": 0} for n in range(STOCKTAKEN_ITEMS_MAX + 5)]
        assert (await client.post("/v1/items", items)).status_code == 200
        (unheard,) = await findings(client, "unheard")
        assert unheard["count"] == STOCKTAKEN_ITEMS_MAX
        assert unheard["message"].startswith(f"All of {STOCKTAKEN_ITEMS_MAX:,} items of the catalogue: inventory")

    with_client(tmp_path, work)


def test_a_group_that_holds_most_of_a_catalogue_is_told(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/items", [{"id": n, "item_group_id": 0, "title": "T"} for n in range(12)])
        assert await findings(client, "one_group") == []
        assert len((await client.decide())["items"]) > 1
        items = [{"id": n, "item_group_id": "all", "title": "T"} for n in range(7)]
        assert (await client.post("/v1/items", items)).json()["accepted"] == 7
        (told,) = await findings(client, "one_group")
        assert told["count"] == 7
        assert '7 of 12 items are in one item_group_id, "all", and a list shows one item of a group' in told["message"]

    with_client(tmp_path, work)
