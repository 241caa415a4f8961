"""S12: what is granted is the set rate, of a key and of a tenant, at once and for long; a refusal says when to come."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from instanter.api.tenancy import TenantTerms, Terms
from instanter.foundation.clock import ManualClock
from instanter.ops.child import is_ready

from ..api.client import Client, track, with_client
from .keyed import KeyedSite
from .servers import Nursery

pytestmark = pytest.mark.faults

HERE = Path(__file__).parent
WITHIN = 0.02
KEY_RATE, TENANT_RATE = 60, 100


def over_http(port: int, seconds: float, *keys: str) -> dict[str, Any]:
    """What a sender far over its rate gets."""
    words = [port, "/v1/track", seconds, 4, *keys]
    ran = run([sys.executable, str(HERE / "rate_load.py"), *map(str, words)], capture_output=True, text=True,
              check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@pytest.mark.parametrize("of", ["key", "key of its own rate", "tenant"])
def test_over_http_a_sender_far_over_its_rate_gets_its_rate(
    of: str, nursery: Nursery, tmp_path: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    seconds = 10.0 if full else 2.0
    config = f"[limits]\nrequests_per_s = {KEY_RATE}\ntenant_requests_per_s = {TENANT_RATE}\n"
    site = KeyedSite(nursery, tmp_path, config=config)
    rate = {"key": KEY_RATE, "key of its own rate": 25, "tenant": TENANT_RATE}[of]
    own = 25 if of == "key of its own rate" else 0
    keys = [site.key("write", requests_per_s=own) for _ in range(3 if of == "tenant" else 1)]
    with site.serve() as server:
        told = over_http(server.port, seconds, *keys)
    # One second's worth at once, then so many a second until the last that was granted.
    wanted = rate * (1 + told["seconds"])
    assert abs(told["granted"] - wanted) <= WITHIN * wanted + 1, told
    assert told["refused"] > 0
    assert (told["without_retry"], told["others"]) == (0, 0)
    assert told["dropped"] == 0, "who is refused hears of it, over a connection that goes on"
    record_property(f"{of}_granted_share", round(told["granted"] / wanted, 4))


@pytest.mark.parametrize("key_is", ["over its rate", "unknown"])
def test_a_connection_goes_on_after_a_refusal_that_came_before_its_small_body(
    key_is: str, nursery: Nursery, tmp_path: Path
) -> None:
    site = KeyedSite(nursery, tmp_path, config="[limits]\nrequests_per_s = 1\n")
    key = site.key("write")
    body = json.dumps(track(1)).encode()
    head = (
        "POST /v1/track HTTP/1.1\r\nHost: [::1]\r\n"
        f"Authorization: Bearer {key if key_is == 'over its rate' else 'ik_0_0'}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()  # fmt: skip
    with site.serve() as server, socket.create_connection(("127.0.0.1", server.port), timeout=300) as sender:
        statuses = []
        for _ in range(10):
            sender.sendall(head)
            assert is_ready(server.port), "the server has come to the head, and goes on"
            sender.sendall(body)
            reply = http.client.HTTPResponse(sender)
            reply.begin()
            reply.read()
            statuses.append(reply.status)
    refused = 429 if key_is == "over its rate" else 401
    assert statuses.count(refused) >= 5
    assert set(statuses) <= {200, refused}


def test_nobody_waits_for_the_body_of_a_refused_request_that_should_have_none(
    nursery: Nursery, tmp_path: Path
) -> None:
    site = KeyedSite(nursery, tmp_path)
    with site.serve() as server, socket.create_connection(("127.0.0.1", server.port), timeout=300) as sender:
        sender.sendall(b"DELETE /v1/keys/k HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\n\r\n")
        reply = http.client.HTTPResponse(sender)
        reply.begin()
        assert reply.status == 401


@pytest.mark.parametrize("path", ["/v1/track", "/v1/decide", "/v1/keys", "/v1/profiles/anonymous:a1", "/v1/items/x"])
@pytest.mark.parametrize("of", ["key", "tenant"])
def test_by_the_clock_burst_and_steady_are_within_two_percent(of: str, path: str, tmp_path: Path) -> None:
    clock = ManualClock()
    rate = 50
    terms = (
        Terms(key_requests_per_s=rate) if of == "key" else
        Terms(key_requests_per_s=1_000_000, others=TenantTerms(requests_per_s=rate))
    )  # fmt: skip
    method = "POST" if path in ("/v1/track", "/v1/decide") else "GET"
    body = {"/v1/track": track(1), "/v1/decide": {"placements": [{"id": "home.hero"}], "deadlineMs": 10_000}}.get(path)

    async def work(client: Client) -> None:
        keys = [await client.key("write", "decide", "admin", "catalog") for _ in range(1 if of == "key" else 3)]

        async def granted(calls: int) -> int:
            let_in = 0
            for number in range(calls):
                reply = await client.call(method, path, body, headers=keys[number % len(keys)].headers)
                assert reply.status_code in (200, 404, 429)
                assert (reply.status_code == 429) is ("Retry-After" in reply.headers)
                let_in += reply.status_code != 429
            return let_in

        burst = await granted(2 * rate)
        assert abs(burst - rate) <= WITHIN * rate
        steady, seconds, step_ms = 0, 6, 100
        for _ in range(seconds * 1_000 // step_ms):
            clock.advance(step_ms)
            steady += await granted(2 * rate * step_ms // 1_000)
        assert abs(steady - rate * seconds) <= WITHIN * rate * seconds

    with_client(tmp_path, work, terms=terms, bucket_clock=clock)


def test_who_waits_as_told_is_let_in(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(client: Client) -> None:
        key = await client.key("write", requests_per_s=3)
        refused = 0
        for number in range(60):
            reply = await client.post("/v1/track", track(number), headers=key.headers)
            if reply.status_code == 429:
                refused += 1
                clock.advance(1_000 * int(reply.headers["Retry-After"]))
                assert (await client.post("/v1/track", track(number), headers=key.headers)).status_code == 200
        assert refused >= 15

    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000), bucket_clock=clock)
