"""Clients in use, as they are: pointed at us by their host setting and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from segment.analytics.client import Client
from segment.analytics.request import APIError, post

from instanter.ops.child import ChildServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildServer]:
    folder = tmp_path_factory.mktemp("server")
    config = folder / "small.toml"
    config.write_text("[state]\nmemory_mb = 64\n")
    with running_server(folder / "data", config=config, log=folder / "server.log") as running:
        items = {"items": [{"id": "sku-1", "fields": {"title": "Chair", "category": "chairs"}}]}
        assert httpx.post(f"{running.url}/v1/items", json=items).status_code == 200
        yield running


def counted(server: ChildServer, sample: str) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(sample))


def profile(server: ChildServer, who: str) -> Any:
    reply = httpx.get(f"{server.url}/v1/profiles/{quote(who, safe='')}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def use_all(client: Client, who: str) -> int:
    """Call everything there is to call; how many events that is."""
    browser = f"{who}-browser"
    client.identify(who, {"plan": "gold"}, anonymous_id=browser)
    client.track(anonymous_id=browser, event="Product Viewed", properties={"product_id": "sku-1", "price": 9.5})
    client.track(user_id=who, event="Order Completed", properties={"products": [{"product_id": "sku-1"}]})
    client.page(anonymous_id=browser, name="Home", properties={"url": "https://shop.example/"})
    client.screen(anonymous_id=browser, name="Home")
    client.group(who, "g1", {"name": "Friends"})
    client.alias(f"{who}-before", who)
    return 7


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("sync_mode", [True, False])
def test_everything_the_python_client_sends_is_taken_and_folded(
    gzip: bool, sync_mode: bool, server: ChildServer,
) -> None:
    who = f"python-{gzip}-{sync_mode}"
    failures: list[Any] = []
    accepted = counted(server, "instanter_events_accepted_total")
    rejected = counted(server, "instanter_events_rejected_total")
    client = Client(
        "key", host=server.url, gzip=gzip, sync_mode=sync_mode, upload_interval=0.05, max_retries=1, timeout=10,
        on_error=lambda error, batch: failures.append(error))
    sent = use_all(client, who)
    if not sync_mode:
        client.flush()
        client.join()
    assert failures == []
    assert counted(server, "instanter_events_accepted_total") - accepted == sent
    assert counted(server, "instanter_events_rejected_total") == rejected
    known = profile(server, who)
    assert known["known"] is True
    assert f"anonymous:{who}-browser" in known["linked"]
    browser = profile(server, f"anonymous:{who}-browser")
    assert who in browser["linked"]
    assert browser["features"]["views"] == known["features"]["views"] == 1.0
    assert [one["name"] for one in browser["features"]["category_affinity"]] == ["chairs"]


def test_the_python_client_reads_our_errors(server: ChildServer) -> None:
    with pytest.raises(APIError, match=r"\[Segment\] schema: .*batch.* \(400\)"):
        post("key", host=server.url, batch=7)
