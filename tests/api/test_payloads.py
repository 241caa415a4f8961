"""Payloads as other tools document them, written anew: what each changes in the profile of whoever sent it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .client import Client, with_client

MUG = {"product_id": "mug", "name": "Mug", "category": "Cups", "price": 12.5, "quantity": 1, "position": 1}
POT = {"product_id": "pot", "name": "Pot", "category": "Pots", "price": 40, "quantity": 2, "position": 2}


def names(features: dict[str, Any], feature: str) -> set[str]:
    """The items of a list in a profile."""
    return {entry["name"] for entry in features[feature]}


async def sent(client: Client, *events: dict[str, Any]) -> dict[str, Any]:
    """The features of a person after these events in one batch, each taken and none without effect."""
    await client.stock("mug", "pot", "story", price=20)
    batch = [{"type": "track", "anonymousId": "a1", **event} for event in events]
    reply = await client.post("/v1/batch", {"batch": batch})
    assert reply.status_code == 200, reply.text
    assert (reply.json()["accepted"], reply.json()["rejected"]) == (len(events), [])
    assert [one for one in reply.json().get("warnings", []) if one["code"] == "unheard"] == []
    found = await client.get("/v1/profiles/anonymous:a1")
    features: dict[str, Any] = found.json()["features"]
    return features


def track(event: str, **properties: Any) -> dict[str, Any]:
    return {"event": event, "properties": properties}


SEGMENT = (
    track("Products Searched", query="mug"),
    track("Product List Viewed", list_id="home", category="Cups", products=[MUG, POT]),
    track("Product Clicked", list_id="home", **MUG),
    track("Product Viewed", **MUG),
    track("Product Added", cart_id="c1", **MUG),
    track("Product Added", cart_id="c1", **POT),
    track("Product Removed", cart_id="c1", **POT),
    track("Product Added to Wishlist", wishlist_id="w1", **POT),
    track("Cart Viewed", cart_id="c1", products=[MUG]),
    track("Checkout Started", order_id="o1", value=12.5, products=[MUG]),
    track("Order Completed", order_id="o1", total=12.5, currency="EUR", products=[MUG]),
    track("Order Updated", order_id="o1", total=12.5, currency="EUR", products=[MUG]),
)
FORMER_NAMES = (
    track("Viewed Product Category", category="Cups"),
    track("Viewed Product", **MUG),
    track("Added Product", **MUG),
    track("Completed Order", orderId="o1", total=12.5, products=[MUG]),
    track("Completed Order", orderId="o1", total=12.5, products=[MUG]),
)
ITEM = {"item_id": "mug", "item_name": "Mug", "item_category": "Cups", "price": 12.5, "quantity": 1, "index": 0}
OTHER = {"item_id": "pot", "item_name": "Pot", "item_category": "Pots", "price": 40.0, "quantity": 2, "index": 1}
GA4 = (
    track("page_view", page_location="https://shop.example/", page_title="Shop"),
    track("search", search_term="mug"),
    track("view_item_list", item_list_id="home", item_list_name="Home", items=[ITEM, OTHER]),
    track("select_item", item_list_id="home", items=[ITEM]),
    track("view_item", currency="EUR", value=12.5, items=[ITEM]),
    track("add_to_cart", currency="EUR", value=92.5, items=[ITEM, OTHER]),
    track("remove_from_cart", currency="EUR", value=80, items=[OTHER]),
    track("add_to_wishlist", currency="EUR", value=40, items=[OTHER]),
    track("begin_checkout", currency="EUR", value=12.5, items=[ITEM]),
    track("add_shipping_info", currency="EUR", value=12.5, shipping_tier="Ground", items=[ITEM]),
    track("add_payment_info", currency="EUR", value=12.5, payment_type="Card", items=[ITEM]),
    track("purchase", transaction_id="t1", currency="EUR", value=12.5, tax=2, shipping=3, items=[ITEM]),
    track("purchase", transaction_id="t1", currency="EUR", value=12.5, tax=2, shipping=3, items=[ITEM]),
)


@pytest.mark.parametrize("events", [SEGMENT, GA4], ids=["e-commerce", "ga4"])
def test_a_visit_to_a_shop_fills_the_profile_as_the_table_says(tmp_path: Path, events: tuple[dict[str, Any]]) -> None:
    async def work(client: Client) -> None:
        features = await sent(client, *events)
        assert (features["views"], features["searches"], features["orders"]) == (1, 1, 1)
        assert names(features, "bought_items") == {"mug"}
        assert names(features, "cart_items") == set()
        assert names(features, "wishlist_items") == {"pot"}
        assert {"mug", "pot"} <= names(features, "session_items")

    with_client(tmp_path, work)


def test_the_first_e_commerce_names_are_the_same_and_an_order_is_one(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        features = await sent(client, *FORMER_NAMES)
        assert (features["views"], features["orders"], names(features, "bought_items")) == (1, 1, {"mug"})
        assert names(features, "cart_items") == set()

    with_client(tmp_path, work)


@pytest.mark.parametrize("refund", [
    track("Order Refunded", order_id="o1", total=12.5), track("refund", transaction_id="o1", value=12.5),
    track("Order Cancelled", order_id="o1", products=[MUG]), track("orders/cancelled", id="o1"),
    track("refunds/create", id=9, order_id="o1"),
])  # fmt: skip
def test_an_order_that_is_taken_back_is_none_and_its_item_may_be_shown_again(
    tmp_path: Path, refund: dict[str, Any]
) -> None:
    async def work(client: Client) -> None:
        features = await sent(client, track("Order Completed", order_id="o1", products=[MUG]), refund)
        assert (features["orders"], names(features, "bought_items")) == (0, set())

    with_client(tmp_path, work)


@pytest.mark.parametrize(("lines", "left"), [
    ({"refund_line_items": [{"id": 1, "quantity": 2, "line_item": {"id": 2, "product_id": "pot", "price": "40.00"}}]},
     {"mug"}),
    ({"refundLineItems": {"nodes": [{"quantity": 2, "lineItem": {"id": 2, "product": {"id": "pot"}}}]}}, {"mug"}),
    ({"refund_line_items": [{"id": 1, "line_item_id": 2, "quantity": 2}]}, {"mug", "pot"}),
    ({"products": [{"name": "Pot"}]}, {"mug", "pot"}),
])
def test_a_refund_takes_back_the_items_it_names_and_none_where_they_cannot_be_read(
    tmp_path: Path, lines: dict[str, Any], left: set[str]
) -> None:
    async def work(client: Client) -> None:
        refund = track("refunds/create", id=9, order_id="o1", **lines)
        features = await sent(client, track("Order Completed", order_id="o1", products=[MUG, POT]), refund)
        assert (features["orders"], names(features, "bought_items")) == (1, left)

    with_client(tmp_path, work)


def test_a_media_site_works_as_a_shop_does(tmp_path: Path) -> None:
    article = {"product_id": "story", "title": "Story"}

    async def work(client: Client) -> None:
        features = await sent(
            client, track("Article Viewed", **article), track("Article Read", read_ms=60_000, **article),
            track("Article Liked", **article), track("Video Playback Started", **article),
            {"type": "page", "name": "Story", "properties": {"path": "/story", **article}},
        )  # fmt: skip
        assert features["views"] == 2
        assert features["category_affinity"][0]["name"] == "chairs"
        assert names(features, "wishlist_items") == names(features, "session_items") == {"story"}
        features = await sent(client, track("Article Unliked", **article))
        assert names(features, "wishlist_items") == set()

    with_client(tmp_path, work)


SHOPIFY = (
    track("page_viewed"),
    track("search_submitted", searchResult={"query": "mug"}),
    track("collection_viewed", collection={"id": "c1", "title": "Cups"}),
    track("product_viewed", product_id="mug", price=12.5),
    track("product_added_to_cart", product_id="mug", quantity=1),
    track("product_added_to_cart", product_id="pot", quantity=1),
    track("product_removed_from_cart", product_id="pot", quantity=1),
    track("cart_viewed"),
    track("checkout_started"),
    track("checkout_completed", order_id="gid://shopify/Order/50", products=[MUG]),
    track("orders/create", id=50, products=[MUG]),
    track("orders/paid", id=50, products=[MUG]),
)


def test_a_visit_to_a_shopify_shop_fills_the_profile_and_its_order_is_one(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        features = await sent(client, *SHOPIFY)
        assert (features["views"], features["searches"], features["orders"]) == (1, 1, 1)
        assert (names(features, "bought_items"), names(features, "cart_items")) == ({"mug"}, set())

    with_client(tmp_path, work)


LINE = {"id": "mug", "price": 12.5, "quantity": 1}
VARIANT = {"id": 7, "sku": "M-1", "price": {"amount": 12.5, "currencyCode": "EUR"}, "product": {"id": "mug"}}
CHECKOUT = {"checkout": {
    "currencyCode": "EUR", "token": "c", "order": {"id": "gid://shopify/Order/820982911946154508"},
    "lineItems": [{"id": "l-1", "quantity": 1, "variant": VARIANT}],
}}  # fmt: skip
RECORD = {
    "id": 820982911946154508, "order_number": 1234, "name": "#1234", "currency": "EUR",
    "line_items": [{"id": 1, "product_id": "mug", "quantity": 1, "price": "12.50"}],
}  # fmt: skip
IN_MAPS = {
    "Google Tag Manager": (
        ("view_item", {"ecommerce": {"currency": "EUR", "items": [ITEM]}}),
        ("add_to_cart", {"ecommerce": {"items": [ITEM]}}),
        ("purchase", {"ecommerce": {"transaction_id": "t1", "value": 12.5, "currency": "EUR", "items": [ITEM]}}),
        ("refund", {"ecommerce": {"transaction_id": "t1"}})),
    "Google before GA4": (
        ("productDetail", {"ecommerce": {"detail": {"products": [LINE]}}}),
        ("addToCart", {"ecommerce": {"add": {"products": [LINE]}}}),
        ("purchase", {"ecommerce": {"purchase": {"actionField": {"id": "t1", "revenue": "12.5"}, "products": [LINE]}}}),
        ("refund", {"ecommerce": {"refund": {"actionField": {"id": "t1"}}}})),
    "Shopify": (
        ("product_viewed", {"productVariant": VARIANT}),
        ("product_added_to_cart", {"cartLine": {"merchandise": VARIANT, "quantity": 1}}),
        ("checkout_completed", CHECKOUT), ("refunds/create", {"id": 9, "order_id": 820982911946154508})),
    "Shopify, whole events": (
        ("product_viewed", {"id": "sh-1", "data": {"productVariant": VARIANT}}),
        ("product_added_to_cart", {"id": "sh-2", "data": {"cartLine": {"merchandise": VARIANT}}}),
        ("checkout_completed", {"id": "sh-3", "data": CHECKOUT}), ("orders/cancelled", RECORD)),
    "Shopify's server": (
        ("product_viewed", {"productVariant": VARIANT}), ("Product Added", LINE),
        ("orders/create", RECORD), ("refunds/create", {"id": 9, "order_id": 820982911946154508})),
    "Meta": (
        ("ViewContent", {"custom_data": {"content_ids": ["mug"], "content_type": "product"}}),
        ("AddToCart", {"contents": [{"id": "mug", "quantity": 1}]}),
        ("Purchase", {"custom_data": {"order_id": "m1", "contents": [{"id": "mug", "item_price": 12.5}]}}),
        ("refund", {"order_id": "m1"})),
    "TikTok": (
        ("ViewContent", {"contents": [{"content_id": "mug"}]}), ("AddToCart", {"contents": [{"content_id": "mug"}]}),
        ("CompletePayment", {"order_id": "k1", "contents": [{"content_id": "mug", "price": 12.5}]}),
        ("refund", {"order_id": "k1"})),
    "Adobe": (
        ("commerce.productViews", {"productListItems": [{"SKU": "mug"}]}),
        ("commerce.productListAdds", {"productListItems": [{"SKU": "mug", "quantity": 1}]}),
        ("commerce.purchases", {"commerce": {"order": {"purchaseID": "a1"}}, "productListItems": [{"SKU": "mug"}]}),
        ("refund", {"order_id": "a1"})),
    "Klaviyo": (
        ("Viewed Product", {"ProductID": "mug", "Price": 12.5}),
        ("Added to Cart", {"AddedItemProductID": "mug", "Items": [{"ProductID": "mug", "Quantity": 1}]}),
        ("Placed Order", {"OrderId": "v1", "Items": [{"ProductID": "mug", "Quantity": 1, "ItemPrice": 12.5}]}),
        ("Cancelled Order", {"OrderId": "v1", "Reason": "No stock"})),
    "Google's Retail API": (
        ("detail-page-view", {"productDetails": [{"product": {"id": "mug"}}]}),
        ("add-to-cart", {"productDetails": [{"product": {"id": "mug"}, "quantity": 1}]}),
        ("purchase-complete", {
            "productDetails": [{"product": {"id": "mug"}, "quantity": 1}],
            "purchaseTransaction": {"id": "r1", "revenue": 12.5, "currencyCode": "EUR"}}),
        ("refund", {"order_id": "r1"})),
    "the first specification": (
        ("Viewed Product", {"id": "mug", "name": "Mug", "price": 12.5}),
        ("Added Product", {"id": "mug", "quantity": 1}),
        ("Completed Order", {"id": "s1", "total": 12.5, "products": [{"id": "mug", "price": 12.5}]}),
        ("refund", {"order_id": "s1"})),
}  # fmt: skip


@pytest.mark.parametrize("visit", IN_MAPS.values(), ids=IN_MAPS)
def test_a_visit_counts_in_the_shape_of_each_tool_and_its_order_is_one_and_can_be_taken_back(
    tmp_path: Path, visit: tuple[tuple[str, dict[str, Any]], ...]
) -> None:
    async def work(client: Client) -> None:
        view, add, order, back = (track(event, **properties) for event, properties in visit)
        features = await sent(client, view, add)
        assert (features["views"], names(features, "cart_items"), features["category_affinity"][0]["name"]) == (
            1, {"mug"}, "chairs",
        )  # fmt: skip
        features = await sent(client, order, order)
        assert (features["orders"], names(features, "bought_items")) == (1, {"mug"})
        assert names(features, "cart_items") == set()
        features = await sent(client, back)
        assert (features["orders"], names(features, "bought_items")) == (0, set())

    with_client(tmp_path, work)


@pytest.mark.parametrize("name", [
    "Application Installed", "Application Opened", "Push Notification Tapped", "Deep Link Opened", "Account Created",
    "Signed Up", "Trial Started", "Invite Sent", "Email Link Clicked", "Live Chat Conversation Started", "login",
    "session_start", "Video Content Playing", "scroll", "Coupon Removed",
])  # fmt: skip
def test_what_tells_only_that_somebody_is_there_tells_that(tmp_path: Path, name: str) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/track", {"anonymousId": "a1", **track(name)})
        features = (await client.get("/v1/profiles/anonymous:a1")).json()["features"]
        assert (features["last_seen"] is not None) == (name != "scroll")
        assert (features["views"], features["price_level"]) == (0, None)

    with_client(tmp_path, work)
