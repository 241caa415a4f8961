"""What Segment and RudderStack document that their clients send, written anew: taken, with the effect of the table.

Each event comes with the properties that the specification lists for it, in the envelope of either. What it changes in
a profile is what the built-in features say that hear its name, which is what `docs/events.md` is written from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from instanter.ops.settings import Config

from .client import Client, with_client

RUG: Final = {
    "product_id": "rug", "sku": "R-17", "category": "Rugs", "name": "Round rug", "brand": "Loom", "variant": "red",
    "price": 89.0, "quantity": 1, "coupon": "SPRING", "position": 1, "currency": "EUR", "value": 89.0,
    "url": "https://shop.example/rug", "image_url": "https://shop.example/rug.jpg",
}  # fmt: skip
BED: Final = {
    **RUG, "product_id": "bed", "sku": "B-2", "category": "Beds", "name": "Bed", "price": 420.0, "position": 2,
}  # fmt: skip
PROMOTION: Final = {
    "promotion_id": "p-1", "creative": "top_banner", "name": "75% store-wide", "position": "home_top",
    "product_id": "rug",
}  # fmt: skip
ORDER: Final = {
    "checkout_id": "c-9", "order_id": "o-9", "affiliation": "Web", "subtotal": 509.0, "total": 530.5, "revenue": 480.0,
    "shipping": 9.0, "tax": 12.5, "discount": 29.0, "coupon": "SPRING", "currency": "EUR", "products": [RUG, BED],
}  # fmt: skip
COUPON: Final = {"order_id": "o-9", "cart_id": "k-1", "coupon_id": "SPRING", "coupon_name": "Spring", "discount": 5.0}
CHECKOUT_STEP: Final = {"checkout_id": "c-9", "step": 2, "shipping_method": "Parcel", "payment_method": "Card"}
E_COMMERCE: Final[dict[str, dict[str, Any]]] = {
    "Products Searched": {"query": "blue rugs"},
    "Product List Viewed": {"list_id": "hot-deals", "category": "Deals", "products": [RUG, BED]},
    "Product List Filtered": {
        "list_id": "todays", "category": "Rugs", "filters": [{"type": "colour", "value": "red"}],
        "sorts": [{"type": "price", "value": "desc"}], "products": [RUG, BED]},
    "Promotion Viewed": PROMOTION,
    "Promotion Clicked": PROMOTION,
    "Product Clicked": RUG,
    "Product Viewed": RUG,
    "Product Added": {"cart_id": "k-1", **RUG},
    "Product Removed": {"cart_id": "k-1", **RUG},
    "Cart Viewed": {"cart_id": "k-1", "products": [RUG, BED]},
    "Checkout Started": {**ORDER, "value": 530.5},
    "Checkout Step Viewed": CHECKOUT_STEP,
    "Checkout Step Completed": CHECKOUT_STEP,
    "Payment Info Entered": {**CHECKOUT_STEP, "order_id": "o-9"},
    "Order Completed": ORDER,
    "Order Updated": ORDER,
    "Order Refunded": {"order_id": "o-9", "total": 530.5, "currency": "EUR", "products": [RUG, BED]},
    "Order Cancelled": ORDER,
    "Coupon Entered": COUPON,
    "Coupon Applied": COUPON,
    "Coupon Denied": {**COUPON, "reason": "expired"},
    "Coupon Removed": COUPON,
    "Product Added to Wishlist": {"wishlist_id": "w-1", "wishlist_name": "Flat", **RUG},
    "Product Removed from Wishlist": {"wishlist_id": "w-1", "wishlist_name": "Flat", **RUG},
    "Wishlist Product Added to Cart": {"wishlist_id": "w-1", "cart_id": "k-1", **RUG},
    "Product Shared": {"share_via": "email", "share_message": "look", "recipient": "a friend", **RUG},
    "Cart Shared": {"share_via": "email", "cart_id": "k-1", "products": [{"product_id": "rug"}, {"product_id": "bed"}]},
    "Product Reviewed": {"product_id": "rug", "review_id": "r-1", "review_body": "good", "rating": "5"},
}
"""Every event of the specification for e-commerce."""
SEGMENT_CONTEXT: Final = {
    "active": True,
    "app": {"name": "Shop", "version": "545", "build": "3.0.1.545", "namespace": "example.shop"},
    "campaign": {"name": "spring", "source": "news", "medium": "email", "term": "rugs", "content": "picture"},
    "device": {
        "id": "B5372DB0", "advertisingId": "7A3CBEA0", "adTrackingEnabled": True, "manufacturer": "Maker",
        "model": "Phone7,2", "name": "maguro", "type": "ios", "token": "ff15"},
    "ip": "203.0.113.9",
    "library": {"name": "analytics.js", "version": "2.11.1"},
    "locale": "en-US",
    "network": {"bluetooth": False, "carrier": "Carrier", "cellular": True, "wifi": False},
    "os": {"name": "iPhone OS", "version": "8.1.3"},
    "page": {"path": "/rugs/", "referrer": "", "search": "", "title": "Rugs", "url": "https://shop.example/rugs/"},
    "referrer": {"id": "ABCD582CDEFFFF01919", "type": "dataxu"},
    "screen": {"width": 320, "height": 568, "density": 2},
    "groupId": "12345", "timezone": "Europe/Amsterdam", "traits": {"plan": "gold"},
    "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1 (KHTML, like Gecko) Safari/605.1",
    "userAgentData": {
        "brands": [{"brand": "Chromium", "version": "114"}], "mobile": False, "platform": "macOS"},
}  # fmt: skip
RUDDER_CONTEXT: Final = {
    **{name: SEGMENT_CONTEXT[name] for name in ("app", "campaign", "page", "traits", "timezone", "userAgent")},
    "library": {"name": "RudderLabs JavaScript SDK", "version": "3.34.1", "snippetVersion": "3.2.0"},
    "locale": "de-DE", "os": {"name": "", "version": ""}, "network": {"carrier": "", "wifi": True},
    "screen": {"density": 2, "width": 1440, "height": 900, "innerWidth": 1440, "innerHeight": 700},
    "sessionId": 1_662_393_792_000, "sessionStart": True, "ip": "0.0.0.0",
    "page": {
        "path": "/rugs/", "referrer": "$direct", "referring_domain": "", "search": "", "title": "Rugs", "tab_url": "x",
        "url": "https://shop.example/rugs/", "initial_referrer": "$direct", "initial_referring_domain": ""},
}  # fmt: skip


def segment(number: int, **fields: Any) -> dict[str, Any]:
    """An event with all that Segment's specification calls common."""
    return {
        "messageId": f"ajs-{number}", "channel": "browser", "integrations": {"All": True, "Mixpanel": False},
        "context": SEGMENT_CONTEXT, "version": "1.1", "writeKey": "unused", "_metadata": {"bundled": ["Segment.io"]},
        **fields,
    }


def rudder(number: int, **fields: Any) -> dict[str, Any]:
    """An event as RudderStack documents what its SDKs send, and what its own server passes on."""
    return {
        "messageId": f"4d5a7681-{number}", "channel": "web", "integrations": {"All": True}, "rudderId": "1a-2b",
        "context": RUDDER_CONTEXT, "request_ip": "203.0.113.9", "userProperties": None, "groupId": None,
        **fields,
    }


ENVELOPES: Final = (segment, rudder)
OF_PEOPLE: Final = [feature for feature in Config().features if feature.scope in ("profile", "session")]
HEARD: Final = {name: {feature.name for feature in OF_PEOPLE if name in feature.on} for name in E_COMMERCE}
NEEDS_BEFORE: Final = {
    "Product Removed": "Product Added", "Order Refunded": "Order Completed", "Order Cancelled": "Order Completed",
    "Product Removed from Wishlist": "Product Added to Wishlist",
}  # fmt: skip
"""What takes something back, and what."""
TAKEN_BACK: Final = {
    "Product Removed": "cart_items", "Order Refunded": "bought_items", "Order Cancelled": "bought_items",
    "Product Removed from Wishlist": "wishlist_items",
}  # fmt: skip


async def stock(client: Client) -> None:
    fields = {"rug": ("Rugs", 89.0), "bed": ("Beds", 420.0)}
    items = [
        {"id": item, "fields": {"title": item, "category": category, "brand": "Loom", "price": price}}
        for item, (category, price) in fields.items()
    ]
    assert (await client.post("/v1/items", {"items": items})).status_code == 200


async def features_of(client: Client, person: str) -> dict[str, Any]:
    found = await client.get(f"/v1/profiles/{person}")
    assert found.status_code == 200, found.text
    features: dict[str, Any] = found.json()["features"]
    return features


@pytest.mark.parametrize("envelope", ENVELOPES, ids=["segment", "rudderstack"])
def test_every_documented_event_of_a_shop_changes_what_the_table_says(envelope: Any, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await stock(client)
        for number, (name, properties) in enumerate(E_COMMERCE.items()):
            person, before = f"visitor-{number}", NEEDS_BEFORE.get(name)
            earlier = [(before, E_COMMERCE[before])] if before else []
            batch = [
                envelope(10 * number + at, type="track", anonymousId=person, event=event, properties=sent)
                for at, (event, sent) in enumerate([*earlier, (name, properties)])
            ]
            reply = await client.post("/v1/batch", {"batch": batch, "sentAt": "2025-06-15T10:00:00.000Z"})
            told = reply.json()
            assert (reply.status_code, told["accepted"], told["rejected"]) == (200, len(batch), []), name
            warned = [one for one in told.get("warnings", []) if one["code"] == "unheard"]
            assert not warned or not HEARD[name], (name, warned)
            features = await features_of(client, f"anonymous:{person}")
            if name in TAKEN_BACK:
                assert not features[TAKEN_BACK[name]], name
            else:
                nothing = {feature for feature in HEARD[name] if features.get(feature) in (None, [])}
                nothing |= {feature for feature in HEARD[name] - {"last_seen"} if features.get(feature) == 0}
                assert nothing == set(), name

    with_client(tmp_path, work)


@pytest.mark.parametrize("envelope", ENVELOPES, ids=["segment", "rudderstack"])
def test_every_documented_call_is_taken_alone_and_its_context_is_understood(envelope: Any, tmp_path: Path) -> None:
    ids = {"anonymousId": "507f191e810c19729de860ea"}
    times = {"timestamp": "2025-06-15T10:00:00.000Z", "originalTimestamp": "2025-06-15T10:00:00.000Z"}
    traits = {
        "name": "Ada", "email": "ada@shop.example", "phone": "+49 30 5550", "age": 36, "gender": "f", "plan": "gold",
        "birthday": "1989-12-10T00:00:00Z", "createdAt": "2024-01-01T00:00:00Z", "logins": 5, "username": "ada",
        "address": {"street": "Lane 6", "city": "Berlin", "postalCode": "10115", "state": "BE", "country": "DE"},
        "company": {"name": "Looms", "id": "987", "industry": "Home", "employee_count": 30, "plan": "trial"},
        "avatar": "https://shop.example/ada.png", "title": "Editor", "website": "https://ada.example",
    }  # fmt: skip
    calls: dict[str, dict[str, Any]] = {
        "page": {"name": "Rugs", "category": "Shop", "properties": {
            "title": "Rugs", "url": "https://shop.example/rugs", "path": "/rugs", "referrer": "", "search": "",
            "keywords": ["rug"], "category": "Shop", "name": "Rugs"}},
        "screen": {"name": "Rugs", "category": "Shop", "properties": {"name": "Rugs", "Feed Type": "private"}},
        "track": {"event": "Product Viewed", "properties": RUG},
        "identify": {"userId": "97980cfea0067", "traits": traits},
        "group": {"userId": "97980cfea0067", "groupId": "0e8c78ea9d", "traits": {
            "name": "Looms", "industry": "Home", "employees": 30, "plan": "enterprise", "total billed": 830}},
        "alias": {"userId": "97980cfea0067", "previousId": "39239-239239", "traits": {"plan": "gold"}},
    }  # fmt: skip

    async def work(client: Client) -> None:
        await stock(client)
        for number, (kind, fields) in enumerate(calls.items()):
            sent = envelope(number, type=kind, **ids, **times, sentAt="2025-06-15T10:00:01.000Z", **fields)
            reply = await client.post(f"/v1/{kind}", sent)
            assert (reply.status_code, reply.json()["accepted"]) == (200, 1), (kind, reply.text)
            assert not [one for one in reply.json().get("warnings", []) if one["code"] == "odd"], reply.text
        features = await features_of(client, "97980cfea0067")
        assert features["views"] == 1
        assert {one["name"] for one in features["category_affinity"]} == {"Rugs"}
        assert "anonymous:507f191e810c19729de860ea" in (await client.get("/v1/profiles/97980cfea0067")).json()["linked"]

    with_client(tmp_path, work)
