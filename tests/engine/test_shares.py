"""Nobody pushes out of the quarantine what others have there: shares by tenant and by the sort of key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from instanter.engine.loop import Engine
from instanter.engine.quarantine import entries
from instanter.engine.shares import DAY_MS, ENTRY_BYTES, Shares, Sort
from instanter.events.reject import Quarantined, quarantined
from instanter.foundation import limits
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import EventRejected
from instanter.log.segments import SegmentReader

from .harness import with_engine

TENANT = "default"
REFUSED = EventRejected("schema", "no")


def entry(tenant: str = TENANT, size_bytes: int = 1_000, *, public: bool = False, code: str = "schema") -> Quarantined:
    return quarantined(b"x" * size_bytes, EventRejected(code, "no"), at_ms=0, tenant=tenant, public=public)


def stored_bytes(kept: Quarantined | None) -> int:
    return 0 if kept is None else ENTRY_BYTES + len(kept.raw)


def fill(shares: Shares, tenant: str, *, public: bool, count: int, size_bytes: int, now_ms: int = 0) -> int:
    """Bytes that a sender who sends and sends has in the quarantine."""
    one = entry(tenant, size_bytes, public=public)
    return sum(stored_bytes(shares.fitted(one, now_ms)) for _ in range(count))


@pytest.mark.parametrize("size_bytes", [10, 3_000, limits.EVENT_BYTES_MAX, limits.QUARANTINED_EVENT_BYTES_MAX])
@pytest.mark.parametrize(("public", "bytes_max"), [
    (True, limits.QUARANTINE_PUBLIC_BYTES_MAX), (False, limits.QUARANTINE_PRIVATE_BYTES_MAX)])  # fmt: skip
def test_a_tenants_keys_of_one_sort_have_their_share_and_no_more(public: bool, bytes_max: int, size_bytes: int):
    shares = Shares(0)
    count = 4 * bytes_max // (size_bytes + ENTRY_BYTES) + 80_000
    added = fill(shares, TENANT, public=public, count=count, size_bytes=size_bytes)
    stubs_max = bytes_max // limits.QUARANTINE_STUBS_DIVISOR
    assert added <= bytes_max + stubs_max
    assert added >= stubs_max - ENTRY_BYTES
    assert shares.fitted(entry(size_bytes=size_bytes, public=public), 0) is None
    assert shares.fitted(entry(public=not public), 0) == entry(public=not public), "the other sort has its own"
    assert shares.fitted(entry("other"), 0) == entry("other"), "and so have others"


def test_the_public_keys_of_all_tenants_together_leave_most_of_it_to_the_others():
    shares = Shares(0)
    added = sum(fill(shares, f"t-{number}", public=True, count=300, size_bytes=30_000) for number in range(100))
    assert limits.QUARANTINE_PUBLIC_ALL_BYTES_MAX - 2 * ENTRY_BYTES <= added <= limits.QUARANTINE_PUBLIC_ALL_BYTES_MAX
    assert added <= limits.QUARANTINE_BYTES_MAX // 4


def test_a_share_comes_back_in_a_day_and_a_clock_that_is_set_back_gives_nothing():
    shares = Shares(DAY_MS)
    fill(shares, TENANT, public=True, count=30_000, size_bytes=1_000, now_ms=DAY_MS)
    assert shares.fitted(entry(public=True), DAY_MS) is None
    assert shares.fitted(entry(public=True), 0) is None
    half = fill(shares, TENANT, public=True, count=30_000, size_bytes=1_000, now_ms=DAY_MS // 2)
    whole = limits.QUARANTINE_PUBLIC_BYTES_MAX * (1 + 1 / limits.QUARANTINE_STUBS_DIVISOR)
    assert half == pytest.approx(whole / 2, rel=0.01)


def test_what_is_too_large_comes_from_a_public_key_as_a_stub():
    kept = Shares(0).fitted(entry(size_bytes=limits.EVENT_BYTES_MAX + 1, public=True), 0)
    assert kept is not None
    assert (kept.raw, kept.raw_bytes, kept.code) == (b"", limits.EVENT_BYTES_MAX + 1, "schema")
    large = entry(size_bytes=limits.EVENT_BYTES_MAX + 1)
    assert Shares(0).fitted(large, 0) == large, "another key's can be repaired"


def test_the_next_entry_tells_of_those_that_were_left_out():
    shares = Shares(0)
    fill(shares, TENANT, public=True, count=30_000, size_bytes=1_000)
    for _ in range(5):
        assert shares.fitted(entry(public=True, code="malformed"), 0) is None
    kept = shares.fitted(entry(public=True, code="malformed"), DAY_MS)
    assert kept is not None
    assert kept.more == 5
    again = shares.fitted(entry(public=True, code="malformed"), DAY_MS)
    assert again is not None
    assert again.more == 0


def test_pointers_have_a_share_too():
    shares = Shares(0)
    allowed = sum(shares.notes(TENANT, 0) for _ in range(50_000))
    assert allowed == limits.QUARANTINE_NOTED_BYTES_MAX // ENTRY_BYTES
    assert shares.notes("other", 0)


def test_tenants_without_end_share_what_is_left():
    shares = Shares(0)
    sorts: tuple[Sort, ...] = ("public", "private", "noted")
    tenants_max = limits.TENANTS_NOTED_MAX * len(sorts)
    for number in range(tenants_max + 5_000):
        shares.fitted(entry(f"t-{number}", 10), 0)
    assert len(shares._shares) <= tenants_max + len(sorts)


def test_one_public_key_pushes_out_nothing_of_anybody(tmp_path: Path):
    """Found by attack: with one public key it was emptied for all tenants in 1.2 s."""

    async def work(engine: Engine) -> None:
        await engine.intake.reject(b"mine", REFUSED, tenant="shop")
        body = b"x" * limits.QUARANTINED_EVENT_BYTES_MAX
        for size_bytes in (len(body), 32_000, 200):
            for _ in range(25):
                await asyncio.gather(*(
                    engine.intake.reject(body[:size_bytes], REFUSED, tenant=TENANT, public=True) for _ in range(8)))
        assert (await engine.quarantine.listing("shop")).total == 1
        assert engine.quarantine.dropped_bytes == 0
        assert engine.meter.counts["quarantine_stubs"] >= 200
        assert engine.meter.counts["events_rejected"] == 3 * 200 + 1

    with_engine(tmp_path, work, clock=ManualClock())
    listed = list(entries(SegmentReader(RealDisk(), tmp_path / "quarantine")))
    size_bytes = sum(len(msgspec.msgpack.encode(one.entry)) for one in listed)
    stubs_max = limits.QUARANTINE_PUBLIC_BYTES_MAX // limits.QUARANTINE_STUBS_DIVISOR
    assert size_bytes <= limits.QUARANTINE_PUBLIC_BYTES_MAX + stubs_max
