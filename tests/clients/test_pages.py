"""Clients for browsers, as they are, in pages of a Chromium: from another origin, with a public key, and refused first.

The proxy between them and the server refuses every request once, as for the libraries of servers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from instanter.foundation.clock import SystemClock

from .between import STATUSES, Between
from .chromium import Pages
from .shop import Shop

VIEWS, VIEWS_FULL = 8, 24

pytestmark = pytest.mark.faults


def user_token(shop: Shop, user_id: str) -> str:
    """A token that the shop's own server signs for whoever is logged in."""
    headers = {"Authorization": f"Bearer {shop.admin}"}
    made = httpx.post(f"{shop.url}/v1/signing-secrets", json={}, headers=headers).json()
    exp = SystemClock().now_ms() // 1_000 + 600
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "kid": made["id"]}, {"sub": user_id, "aud": made["tenant"], "exp": exp})
    ]
    signature = hmac.new(made["secret"].encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])


def check_counted(shop: Shop, device: str, views: int) -> None:
    """What a page sent counts for its device, each once, and changes what is shown there."""
    shop.wait_for_views(device, views)
    assert shop.views(device) == views, "none lost, none twice"
    assert [one["name"] for one in shop.profile(device)["features"]["category_affinity"]] == ["chairs"]
    rung, categories = shop.decide(anonymousId=device.removeprefix("anonymous:"))
    assert (rung, categories[0]) == ("personal", "chair")
    assert shop.decide(anonymousId=f"not-{device}")[0] != "personal"


def check_refused(between: Between, requests: int) -> None:
    """Each status was met; the server itself refused the alias, which no page may send, and nothing else."""
    assert between.refused.total() >= requests
    assert set(between.refused) == set(STATUSES)
    assert between.told, "the alias"
    for _, _, said in between.told:
        answer = json.loads(said)
        codes = [one["code"] for one in answer.get("rejected", [answer])]
        assert codes == ["forbidden"], said


@pytest.mark.parametrize(("page", "mode"), [
    ("segment", "plain"), ("segment", "batching"), ("rudder", "plain"), ("rudder", "batching"),
])
def test_what_a_page_sends_counts_once_whatever_it_is_answered_first(
    page: str, mode: str, pages: Pages, between: Between, shop: Shop, full: bool
) -> None:
    views, who = VIEWS_FULL if full else VIEWS, f"{page}-{mode}-user"
    with pages.opened(page, server=between.url, key=shop.public, mode=mode, who=who, views=str(views)) as told:
        assert "anonymousId" in told, told
        device = f"anonymous:{told['anonymousId']}"
        shop.wait_for_views(device, views + 1)
        shop.wait_for_event(device, "Order Completed")
        shop.wait_for_event(device, "group")
    check_counted(shop, device, views + 1)
    check_refused(between, views + 4 if mode == "plain" else views // 2)
    kinds = {event["type"] for event in shop.events(device)}
    assert kinds >= {"page", "track", "identify", "group"}
    assert "alias" not in kinds
    assert shop.views(who) == 0, "what a page says of its user is a claim"


def test_a_page_with_a_signed_user_token_is_its_users_at_once(pages: Pages, between: Between, shop: Shop) -> None:
    who = "segment-signed-user"
    settings = {"mode": "plain", "who": who, "views": "1", "token": user_token(shop, who)}
    with pages.opened("segment", server=between.url, key=shop.public, **settings) as told:
        shop.wait_for_views(f"anonymous:{told['anonymousId']}", 2)
        shop.wait_for_event(who, "identify")
    assert f"anonymous:{told['anonymousId']}" in shop.profile(who)["linked"]
    assert shop.decide(userId=who)[0] == "personal"
    assert all("userToken" not in json.dumps(event) for event in shop.events(who))


@pytest.mark.parametrize("page", ["segment", "rudder"])
def test_what_is_left_when_a_page_is_left_is_sent_all_the_same(page: str, pages: Pages, shop: Shop) -> None:
    with pages.opened(page, server=shop.url, key=shop.public, mode="leaving", who=page) as told:
        assert "anonymousId" in told, told
        device = f"anonymous:{told['anonymousId']}"
        shop.wait_for_views(device, 1)
    check_counted(shop, device, 1)


def test_jitsu_sends_from_a_page(pages: Pages, shop: Shop) -> None:
    """It sends nothing again, so it is not refused here."""
    with pages.opened("jitsu", server=shop.url, key=shop.public, who="jitsu-user", views="3") as told:
        assert "anonymousId" in told, told
        device = f"anonymous:{told['anonymousId']}"
        shop.wait_for_views(device, 4)
    check_counted(shop, device, 4)
    assert {event["type"] for event in shop.events(device)} == {"page", "track", "identify"}


def test_a_page_does_by_itself_what_a_public_key_is_good_for(pages: Pages, shop: Shop) -> None:
    def categories(reply: Any) -> list[str]:
        return [item["id"].partition("-")[0] for item in reply["body"]["placements"]["home.recommended"]["items"]]

    with pages.opened("beacon", server=shop.url, key=shop.public, who="beacon-device") as told:
        shop.wait_for_views("anonymous:beacon-device", 2)
    statuses = [told[name]["status"] for name in ("before", "text", "after", "wrong", "unknown")]
    assert statuses == [200, 200, 200, 400, 401]
    assert categories(told["after"])[0] == "chair"
    assert told["after"]["body"]["placements"]["home.recommended"]["servedBy"] == "personal"
    assert told["wrong"]["body"]["code"] == "schema", "the page reads why"
    assert "Failed to fetch" in told["refused"], "the catalogue is not for pages"
    assert shop.views("anonymous:beacon-device") == 2
    event, = [one for one in shop.events("anonymous:beacon-device") if one["messageId"] == "beacon-device-2"]
    assert "Mozilla/5.0" in event["context"]["userAgent"], "its headers tell what it does not say"
    assert event["context"]["page"]["url"].startswith("http://beacon-plain.shop.localhost:")
