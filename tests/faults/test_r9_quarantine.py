"""R9, what becomes of it: what was late, too large or not fit is counted, listed, and can be taken at last."""

from __future__ import annotations

from typing import Any

import pytest

from instanter.foundation.clock import SystemClock

from .accountant import ask
from .conftest import MakeSite
from .test_r9_late import HOUR_MS, MINUTE_MS, folded, views

LATE = 30
TOO_OLD = 20
LARGE = 3
BAD = 7
BACK_H = 26

pytestmark = pytest.mark.faults


def test_r9_nothing_is_dropped_silently_and_all_of_it_can_come_again(make_site: MakeSite) -> None:
    site, now_ms = make_site(), SystemClock().now_ms()
    server = site.start()

    def post(events: list[dict[str, Any]]) -> Any:
        return ask(server.port, "POST", "/v1/batch", {"batch": events}).json

    def counts(port: int) -> dict[str, int]:
        groups = ask(port, "GET", "/v1/quarantine").json["groups"]
        return {group["code"]: group["count"] for group in groups}

    def repair(*steps: dict[str, Any], code: str) -> tuple[int, dict[str, int]]:
        asked = {"rewrite": list(steps), "code": code}
        done = ask(server.port, "POST", "/v1/quarantine/repair", asked).json
        return done["passed"], done["refused"]

    assert post(views("ada", [now_ms]))["accepted"] == 1
    post(views("ada", [now_ms - 31 * MINUTE_MS - number * MINUTE_MS for number in range(LATE)]))
    post(views("ada", [now_ms - BACK_H * HOUR_MS - number * 1_000 for number in range(TOO_OLD)]))
    sent = views("ada", [now_ms - 1 - number for number in range(LARGE + BAD)])
    large = [{**one, "properties": {"html": "x" * 40_000}} for one in sent[:LARGE]]
    bad = [{**one, "properties": {"products": "x"}} for one in sent[LARGE:]]
    assert len(post([*large, *bad])["rejected"]) == LARGE + BAD
    expected = {"late_for_sequences": LATE, "late": TOO_OLD, "too_large": LARGE, "schema": BAD}
    assert counts(server.port) == expected
    server.kill()

    server = site.start()
    assert counts(server.port) == expected, "also after a kill"
    assert repair(code="late") == (0, {"late": TOO_OLD})
    assert repair({"do": "shift_time", "path": "timestamp", "by_ms": BACK_H * HOUR_MS}, code="late") == (TOO_OLD, {})
    assert repair({"do": "remove", "path": "properties.html"}, code="too_large") == (LARGE, {})
    assert repair({"do": "remove", "path": "properties.products"}, code="schema") == (BAD, {})
    assert counts(server.port) == {"late_for_sequences": LATE}
    verdicts = folded(server.port)
    assert (verdicts["duplicate"], verdicts["applied"]) == (0, 1 + TOO_OLD + LARGE + BAD)
