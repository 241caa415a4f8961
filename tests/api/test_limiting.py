"""The rate of requests: what is granted, what is refused, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.api.limiting import TokenBucket
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import RateLimited

from .client import Client, track, with_client


def granted(bucket: TokenBucket, calls: int) -> int:
    """How many of so many calls at once are let through."""
    count = 0
    for _ in range(calls):
        try:
            bucket.take()
        except RateLimited:
            continue
        count += 1
    return count


def test_one_seconds_worth_is_granted_at_once_and_then_the_rate():
    clock = ManualClock()
    bucket = TokenBucket(clock, per_s=100)
    assert granted(bucket, 500) == 100
    clock.advance(250)
    assert granted(bucket, 500) == 25
    clock.advance(60_000)
    assert granted(bucket, 500) == 100, "what was not used for a minute is not saved up"


@pytest.mark.parametrize("per_s", [1, 3, 7, 999, 1_000])
def test_a_sender_far_over_the_rate_gets_the_rate(per_s: int):
    clock = ManualClock()
    bucket = TokenBucket(clock, per_s=per_s)
    seconds, step_ms = 20, 5
    count = 0
    for _ in range(seconds * 1_000 // step_ms):
        count += granted(bucket, 1 + per_s // 100)
        clock.advance(step_ms)
    assert count == pytest.approx(per_s * (seconds + 1), rel=0.02, abs=1)


@given(per_s=st.integers(1, 1_000_000), waits_ms=st.lists(st.integers(0, 3_000), max_size=30))
def test_after_the_time_it_was_told_a_sender_is_let_through(per_s: int, waits_ms: list[int]):
    clock = ManualClock()
    bucket = TokenBucket(clock, per_s=per_s)
    for wait_ms in waits_ms:
        clock.advance(wait_ms)
        for _ in range(min(per_s, 40)):
            try:
                bucket.take()
            except RateLimited as refused:
                clock.advance(max(1, refused.retry_after_s) * 1_000)
                bucket.take()
                break


def test_over_the_rate_is_429_and_says_when_there_is_room(tmp_path: Path):
    clock = ManualClock()

    async def work(client: Client) -> None:
        assert [(await client.post("/v1/track", track(number))).status_code for number in range(3)] == [200, 200, 429]
        refused = await client.post("/v1/track", track(3))
        assert refused.headers["Retry-After"] == "1"
        assert (refused.json()["success"], refused.json()["code"]) == (False, "rate_limited")
        asked = await client.post("/v1/decide", {"placements": [{"id": "home.hero"}]})
        assert (asked.status_code, asked.json()["error"]["code"]) == (429, "rate_limited")
        clock.advance(500)
        assert (await client.post("/v1/track", track(4))).status_code == 200
        assert client.engine.meter.counts["requests_refused.rate_limited"] == 3

    with_client(tmp_path, work, per_s=2, bucket_clock=clock)


def test_who_watches_the_server_is_never_refused(tmp_path: Path):
    async def work(client: Client) -> None:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert [(await client.get(path)).status_code for _ in range(5)] == [200] * 5
        assert (await client.get("/v1/state")).status_code == 200
        assert (await client.get("/v1/state")).status_code == 429

    with_client(tmp_path, work, per_s=1)


def test_nothing_is_done_for_a_call_that_is_refused(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.post("/v1/track", track(1))
        position = client.engine.partition.position
        assert (await client.post("/v1/track", b"not json")).status_code == 429
        assert client.engine.partition.position == position
        assert client.engine.meter.counts["events_rejected"] == 0

    with_client(tmp_path, work, per_s=1)
