"""How many people a public key may make known: by key and by network, on every way in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from instanter.api.app import make_app
from instanter.api.auth import Access
from instanter.api.newcomers import Networks, Newcomers
from instanter.api.tenancy import TenantTerms, Terms
from instanter.api.track import BATCH_PATHS, TRACKING_PATHS
from instanter.engine.loop import Engine
from instanter.events.envelope import ItemUpserted
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import TooManyNewPeople
from instanter.foundation.limits import (
    NETWORKS_REMEMBERED_MAX,
    NEW_PEOPLE_NETWORK_DIVISOR,
    NEW_PEOPLE_PER_S,
)
from instanter.ops import metrics
from instanter.ops.config import parse
from instanter.ops.wiring import terms_of

from .client import AccessKey, Client, warmed, with_engine

PROXY = "10.0.0.7"


def with_proxied(
    root: Path, work: Callable[[Client], Awaitable[None]], terms: TenantTerms, clock: ManualClock,
    proxies: tuple[str, ...] = (PROXY,),
) -> None:  # fmt: skip
    """An application behind a proxy, which says of whom each request is."""
    warmed()

    async def run(engine: Engine) -> None:
        access = Access(engine, clock, Terms(key_requests_per_s=1_000_000, others=terms))
        app = make_app(engine, metrics=lambda: metrics.render(engine), access=access, proxies=proxies)
        transport = httpx.ASGITransport(app=app, client=(PROXY, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            await work(Client(http, engine))

    with_engine(root, run)


def asked(path: str, number: int) -> dict[str, Any]:
    """A body for a route that makes one person known."""
    event = {"messageId": f"m-{number}", "anonymousId": f"a{number}", "event": "Product Viewed",
             "properties": {"product_id": "i"}}  # fmt: skip
    if path in BATCH_PATHS:
        return {"batch": [{"type": "track", **event}]}
    if path in ("/v1/decide", "/v1/rank"):
        question = {"anonymousId": f"a{number}", "events": [{"type": "track", **event}]}
        more = {"placements": [{"id": "home.recommended"}]} if path == "/v1/decide" else {
            "placement": "home.recommended", "candidates": [{"id": "i"}]}  # fmt: skip
        return {**question, **more}
    return event


WAYS = (*sorted(TRACKING_PATHS - {path for path in TRACKING_PATHS if "alias" in path or path == "/v1/a"}),
        "/v1/decide", "/v1/rank")  # fmt: skip


@pytest.mark.parametrize("path", WAYS)
def test_a_public_key_makes_so_many_people_known_and_no_more(path: str, tmp_path: Path):
    """Found by attack: 98,000 people made up with one public key in 8 s."""
    clock = ManualClock()

    async def work(client: Client) -> None:
        key = await client.key("write", "decide", public=True)
        await client.engine.change_items([ItemUpserted(1, "default", "i", {"title": "Chair"})])
        secret = await client.key("write", "decide")

        async def send(number: int, by: AccessKey = key) -> httpx.Response:
            return await client.http.post(path, json=asked(path, number), headers=by.headers)

        for number in range(5):
            assert (await send(number)).status_code == 200
        before = client.engine.subjects.find("default", "anonymous:a5")
        refused = await send(5)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_new_people")
        assert refused.headers["retry-after"] == "1"
        assert before == client.engine.subjects.find("default", "anonymous:a5") == 0, "not even a key is made"
        assert client.engine.meter.counts["requests_refused.too_many_new_people"] == 1
        assert (await send(4)).status_code == 200, "who is known already goes on"
        assert (await send(6, secret)).status_code == 200, "a shop's own server is believed"
        clock.advance(200)
        assert (await send(5)).status_code == 200
        assert (await send(7)).status_code == 429

    with_proxied(tmp_path, work, TenantTerms(new_people_per_s=5), clock)


def test_a_batch_of_people_without_end_is_refused_and_what_was_taken_of_it_counts_once(tmp_path: Path):
    clock = ManualClock()

    async def work(client: Client) -> None:
        key = await client.key("write", public=True)
        body = {"batch": [{"type": "track", **asked("", number)} for number in range(300)]}
        answers = []
        for _ in range(40):
            answers.append((await client.http.post("/v1/batch", json=body, headers=key.headers)).status_code)
            clock.advance(1_000)
        assert answers[0] == 429
        assert answers[-1] == 200
        assert answers.count(429) >= 300 // 20 - 1, "twenty a second"
        assert client.engine.partition.state.verdicts["applied"] == 300

    with_proxied(tmp_path, work, TenantTerms(new_people_per_s=20), clock)


@pytest.mark.parametrize(("first", "second"), [
    ("198.51.100.7", "198.51.100.8"), ("2001:db8:1:2::1", "2001:db8:1:3::1"), ("::ffff:198.51.100.7", "198.51.100.8")])
def test_one_network_has_a_tenth_of_what_a_key_has(first: str, second: str, tmp_path: Path):
    clock, counted = ManualClock(), iter(range(1_000))

    async def work(client: Client) -> None:
        key = await client.key("write", public=True)

        async def send(address: str) -> int:
            headers = {**key.headers, "X-Forwarded-For": address}
            return (await client.http.post("/v1/track", json=asked("", next(counted)), headers=headers)).status_code

        assert [await send(first) for _ in range(4)] == [200, 200, 200, 429]
        assert await send(second) == 200
        if ":" in first and "ffff" not in first:
            assert await send(first[:-1] + "abcd") == 429, "another address of the same network"
        assert [await send("192.168.1.1") for _ in range(20)].count(200) == 20, "a private address is nobody's"

    with_proxied(tmp_path, work, TenantTerms(new_people_per_s=30), clock)


def test_whoever_is_no_proxy_of_ours_names_no_networks(tmp_path: Path):
    counted = iter(range(1_000))

    async def work(client: Client) -> None:
        key = await client.key("write", public=True)
        answers = []
        for number in range(40):
            headers = {**key.headers, "X-Forwarded-For": f"198.51.100.{number}"}
            answer = await client.http.post("/v1/track", json=asked("", next(counted)), headers=headers)
            answers.append(answer.status_code)
        assert answers.count(200) == 30, "the key's bound holds for whatever addresses are said"

    with_proxied(tmp_path, work, TenantTerms(new_people_per_s=30), ManualClock(), proxies=())


def test_networks_without_end_take_no_more_memory(tmp_path: Path):
    clock = ManualClock()
    networks = Networks(clock)
    newcomers = Newcomers(clock, networks, 1_000_000)
    for number in range(NETWORKS_REMEMBERED_MAX + 500):
        newcomers.meet(f"2001:db8:{number:x}::/64")()
        assert len(networks) <= NETWORKS_REMEMBERED_MAX
    shared = Newcomers(clock, networks, 10)
    shared.meet("2001:db8:ffff:1::/64")()
    with pytest.raises(TooManyNewPeople):
        shared.meet("2001:db8:ffff:2::/64")()
    clock.advance(1_000)
    shared.meet("2001:db8:ffff:3::/64")()
    assert len(networks) == 1, "who has been quiet is forgotten"


def test_it_is_set_by_tenant_and_with_dev_there_is_none():
    config = parse('[[tenants]]\nid = "one"\nnew_people_per_s = 7\n')
    terms = terms_of(config, dev=False)
    assert (terms.of("one").new_people_per_s, terms.of("two").new_people_per_s) == (7, NEW_PEOPLE_PER_S)
    assert NEW_PEOPLE_PER_S // NEW_PEOPLE_NETWORK_DIVISOR >= 1
    assert terms_of(config, dev=True).named == {}


def test_none_are_counted_where_none_are_bounded(tmp_path: Path):
    async def work(client: Client) -> None:
        key = await client.key("write", public=True)
        for number in range(NEW_PEOPLE_PER_S + 50):
            answer = await client.http.post("/v1/track", json=asked("", number), headers=key.headers)
            assert answer.status_code == 200

    with_proxied(tmp_path, work, TenantTerms(new_people_per_s=0), ManualClock())
