"""R9: late events are kept, counted and told; sessions stay what they were. Silence and a burst are no lateness."""

from __future__ import annotations

from typing import Any

import pytest

from instanter.foundation.clock import SystemClock

from .accountant import ask, message_ids, recovered
from .conftest import Figures, MakeSite

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
NEWEST = 40
LATE_FOR_SEQUENCES = 25
LATE_FOR_WINDOWS = 15
BURST = 200

pytestmark = pytest.mark.faults


def views(person: str, times_ms: list[int]) -> list[dict[str, Any]]:
    return [{"type": "track", "event": "Product Viewed", "anonymousId": person, "messageId": f"{person}-{at_ms}",
             "timestamp": at_ms, "properties": {"product_id": f"sku-{at_ms % 7}"}} for at_ms in times_ms]  # fmt: skip


def folded(port: int) -> dict[str, int]:
    """Events by verdict, as the metrics tell."""
    lines = ask(port, "GET", "/metrics").body.decode().splitlines()
    prefix = 'instanter_events_folded_total{verdict="'
    told = (line.removeprefix(prefix).split('"} ') for line in lines if line.startswith(prefix))
    return {verdict: int(float(count)) for verdict, count in told}


def session_of(port: int, person: str) -> dict[str, Any]:
    profile = ask(port, "GET", f"/v1/profiles/anonymous:{person}").json
    return {name: value for name, value in profile["features"].items() if "session" in name} | {
        "inSession": profile["inSession"]
    }


def test_r9_late_events_are_kept_and_counted_and_leave_the_session_alone(
    make_site: MakeSite, figures: Figures
) -> None:
    site, now_ms = make_site(), SystemClock().now_ms()
    server = site.start()

    def take(person: str, times_ms: list[int]) -> None:
        reply = ask(server.port, "POST", "/v1/batch", {"batch": views(person, times_ms)})
        assert (reply.status, reply.json["accepted"], reply.json["rejected"]) == (200, len(times_ms), [])

    take("ada", [now_ms - number * 1_000 for number in range(NEWEST)])
    before = session_of(server.port, "ada")
    take("ada", [now_ms - 31 * MINUTE_MS - number * MINUTE_MS for number in range(LATE_FOR_SEQUENCES)])
    take("ada", [now_ms - 25 * HOUR_MS - number * HOUR_MS for number in range(LATE_FOR_WINDOWS)])
    assert session_of(server.port, "ada") == before
    counted = folded(server.port)
    assert (counted["applied"], counted["late_for_sequences"], counted["late_for_windows"]) == (
        NEWEST, LATE_FOR_SEQUENCES, LATE_FOR_WINDOWS
    )  # fmt: skip
    assert_kept(site, server, NEWEST + LATE_FOR_SEQUENCES + LATE_FOR_WINDOWS)
    figures(late=counted["late_for_sequences"] + counted["late_for_windows"], applied=counted["applied"])


def test_r9_a_source_that_was_silent_for_days_and_then_sends_all_at_once_is_not_late(
    make_site: MakeSite, figures: Figures
) -> None:
    site, now_ms = make_site(), SystemClock().now_ms()
    server = site.start()
    ask(server.port, "POST", "/v1/batch", {"batch": views("others", [now_ms])})
    offline = [now_ms - 72 * HOUR_MS + number * MINUTE_MS for number in range(BURST)]
    assert ask(server.port, "POST", "/v1/batch", {"batch": views("idle", offline)}).json["accepted"] == BURST
    counted = folded(server.port)
    assert counted["applied"] == BURST + 1
    assert (counted["late_for_sequences"], counted["late_for_windows"]) == (0, 0), "late is told by the own newest time"
    assert_kept(site, server, BURST + 1)
    figures(burst=BURST, burst_called_late=counted["late_for_sequences"] + counted["late_for_windows"])


def assert_kept(site: Any, server: Any, count: int) -> None:
    """All are in the log, and a restart knows as much as the server did."""
    live = ask(server.port, "GET", "/v1/state").json["hash"]
    server.kill()
    assert sum(ids.total() for ids in message_ids(site.data).values()) == count
    assert recovered(site.data, site.config).state.hash() == live
