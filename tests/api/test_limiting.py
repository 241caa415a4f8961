"""The rate of requests: what is granted, what is refused, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.api.limiting import TokenBucket, take_all
from instanter.api.tenancy import TenantTerms, Terms
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import RateLimited

from .client import AccessKey, Client, track, with_client


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


# Of tenants, and of events.


def test_what_costs_more_than_a_second_is_let_through_a_full_bucket_and_paid_back():
    clock = ManualClock()
    bucket = TokenBucket(clock, per_s=100)
    bucket.take(1_000)
    with pytest.raises(RateLimited) as refused:
        bucket.take()
    assert refused.value.retry_after_s == 10
    clock.advance(9_000)
    with pytest.raises(RateLimited):
        bucket.take()
    clock.advance(1_000)
    bucket.take()


@given(per_s=st.integers(1, 50_000), costs=st.lists(st.integers(1, 20_000), min_size=1, max_size=30))
def test_the_average_holds_whatever_the_costs_and_who_waits_as_told_is_let_in(per_s: int, costs: list[int]):
    clock = ManualClock()
    bucket = TokenBucket(clock, per_s=per_s)
    begun_ms = clock.now_ms()
    for cost in costs:
        try:
            bucket.take(cost)
        except RateLimited as refused:
            clock.advance(refused.retry_after_s * 1_000)
            bucket.take(cost)
    seconds = (clock.now_ms() - begun_ms) / 1_000
    assert sum(costs) <= per_s * (seconds + 1) + max(costs)


def test_of_several_buckets_all_give_or_none():
    clock = ManualClock()
    wide, narrow = TokenBucket(clock, per_s=10), TokenBucket(clock, per_s=1, of="events")
    take_all([(wide, 1), (narrow, 1)])
    for _ in range(20):
        with pytest.raises(RateLimited, match="1 events a second"):
            take_all([(wide, 1), (narrow, 1)])
    assert granted(wide, 100) == 9


def limited(**terms: int) -> Terms:
    return Terms(key_requests_per_s=1_000_000, others=TenantTerms(**terms))


def test_all_keys_of_a_tenant_share_its_rate_and_another_tenant_has_its_own(tmp_path: Path):
    clock = ManualClock()

    async def work(client: Client) -> None:
        keys = [await client.key("write", tenant="one") for _ in range(3)]
        other = await client.key("write", tenant="two")
        statuses = [
            (await client.post("/v1/track", track(number), headers=keys[number % 3].headers)).status_code
            for number in range(12)
        ]
        assert statuses == [200] * 6 + [429] * 6
        assert (await client.post("/v1/track", track(20), headers=other.headers)).status_code == 200
        clock.advance(500)
        again = [(await client.post("/v1/track", track(30 + number), headers=keys[0].headers)).status_code
                 for number in range(4)]
        assert again == [200] * 3 + [429]

    with_client(tmp_path, work, terms=limited(requests_per_s=6), bucket_clock=clock)


def test_a_key_may_have_a_rate_of_its_own(tmp_path: Path):
    async def work(client: Client) -> None:
        slow, plain = await client.key("write", requests_per_s=2), await client.key("write")
        statuses = [(await client.post("/v1/track", track(number), headers=slow.headers)).status_code
                    for number in range(4)]
        assert statuses == [200, 200, 429, 429]
        assert [(await client.post("/v1/track", track(9), headers=plain.headers)).status_code
                for _ in range(5)] == [200] * 5

    with_client(tmp_path, work, terms=Terms(key_requests_per_s=5))


def test_events_count_against_their_tenant_in_whatever_request_they_come(tmp_path: Path):
    clock = ManualClock()

    async def work(client: Client) -> None:
        key = await client.key("write", "decide")
        batch = {"batch": [{"type": "track", **track(number)} for number in range(8)]}
        asked = {"anonymousId": "a1", "deadlineMs": 10_000, "placements": [{"id": "home.hero"}]}
        assert (await client.post("/v1/batch", batch, headers=key.headers)).status_code == 200
        assert (await client.post("/v1/track", track(50), headers=key.headers)).status_code == 200
        events = {**asked, "events": [{"type": "track", **track(60 + number)} for number in range(2)]}
        refused = await client.post("/v1/decide", events, headers=key.headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert refused.headers["Retry-After"] == "1"
        assert (await client.post("/v1/decide", asked, headers=key.headers)).status_code == 200
        clock.advance(1_000)
        assert (await client.post("/v1/decide", events, headers=key.headers)).status_code == 200
        assert client.engine.partition.state.verdicts["applied"] == 11

    with_client(tmp_path, work, terms=limited(events_per_s=10), bucket_clock=clock)


def test_a_tenant_has_as_many_items_as_it_may_and_takes_nobody_elses_room(tmp_path: Path):
    async def work(client: Client) -> None:
        one, two = await client.key("catalog", tenant="one"), await client.key("catalog", tenant="two")

        async def put(key: AccessKey, *ids: str) -> int:
            items = {"items": [{"id": item, "fields": {}} for item in ids]}
            return (await client.post("/v1/items", items, headers=key.headers)).status_code

        assert await put(one, "a", "b", "c") == 200
        assert await put(one, "d") == 429
        assert await put(one, "a", "b") == 200
        assert await put(two, "a", "b", "c", "d") == 200
        assert (await client.call("DELETE", "/v1/items/a", headers=one.headers)).status_code == 200
        assert await put(one, "d") == 200

    named = {"one": TenantTerms(items_max=3)}
    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000_000, named=named))
