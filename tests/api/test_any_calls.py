"""Whatever sequence of calls the OpenAPI document allows: a restart comes to the same state, and so does the log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from instanter.api.app import document
from instanter.api.tenancy import Terms
from instanter.engine.partition import Partition
from instanter.engine.recovery import catch_up, recover
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.log.segments import SegmentReader

from ..engine.test_poison import SCHEMA, START_MS
from .client import AccessKey, Client, track, with_client

API = schemathesis.openapi.from_dict(document())
KNOWN = ("sku-1", "sku-2", "anonymous:a1", "u1", "home.recommended", "home.hero")
"""What there is when the calls begin; else hardly any call would be about something."""
SERVED = ("write", "decide", "catalog", "admin")


NAMES: tuple[dict[str, str], ...] = (
    {},
    {"id": "sku-1", "anonymousId": "a1", "userId": "u1", "event": "Product Viewed", "product_id": "sku-1"},
    {"id": "home.hero", "anonymousId": "a2", "previousId": "a1", "event": "Order Completed", "product_id": "sku-2"},
)
"""What made-up bodies may be given instead of what was made up."""


class Call(NamedTuple):
    """One call as it is made up."""

    method: str
    path: str
    query: dict[str, Any]
    body: Any
    second: bool
    """Whether the other tenant makes it."""


def _about(body: Any, names: dict[str, str]) -> Any:
    """The body with other names in it."""
    if isinstance(body, list):
        return [_about(one, names) for one in body]
    if isinstance(body, dict):
        return {name: names[name] if name in names else _about(one, names) for name, one in body.items()}
    return body


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Of every operation of the document, of those that change something more often."""
    operation = draw(st.sampled_from(OPERATIONS) | st.sampled_from(CHANGING))
    case = draw(operation.as_strategy())
    path = operation.path
    for name, value in (case.path_parameters or {}).items():
        known = draw(st.sampled_from(KNOWN) | st.just(str(value)))
        path = path.replace("{" + name + "}", known)
    body = _about(case.body, draw(st.sampled_from(NAMES))) if isinstance(case.body, dict | list) else None
    return Call(operation.method.upper(), path, dict(case.query or {}), body, draw(st.booleans()))


WITHOUT_END = "/v1/stream"
"""Answers as long as somebody listens."""
OPERATIONS = [one for one in (found.ok() for found in API.get_all_operations()) if one.path != WITHOUT_END]
CHANGING = [one for one in OPERATIONS if one.method.upper() != "GET"]


async def begin(client: Client, keys: list[AccessKey]) -> None:
    """Two tenants with the same ids."""
    for key in keys:
        items = [{"id": item, "fields": {"title": item, "category": "c", "price": 5, "stock": 2}} for item in KNOWN[:2]]
        assert (await client.post("/v1/items", {"items": items}, headers=key.headers)).status_code == 200
        event = {"type": "track", **track(1, userId="u1")}
        assert (await client.post("/v1/batch", {"batch": [event]}, headers=key.headers)).status_code == 200


async def make(client: Client, call: Call, keys: list[AccessKey]) -> int:
    """The status of a call; the client holds the reply against the document."""
    headers = keys[call.second].headers
    reply = await client.call(call.method, call.path, call.body, params=call.query, headers=headers)
    return reply.status_code


def recovered(root: Path) -> str:
    """What the next start comes to."""
    log, checkpoints = SegmentReader(RealDisk(), root / "log"), root / "checkpoints"
    return recover(SCHEMA, log, log_start=0, log_end=1 << 62, disk=RealDisk(), checkpoints=checkpoints)[0].hash()


def rebuilt(root: Path) -> tuple[str, int]:
    """What the log comes to from its beginning, and how much of it was passed over."""
    partition = Partition(SCHEMA)
    catch_up(partition, SegmentReader(RealDisk(), root / "log"))
    return partition.hash(), partition.passed_over


@pytest.mark.parametrize("stop", [True, False])
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(made=st.lists(calls(), min_size=25, max_size=40))
def test_a_restart_comes_to_the_same_state(tmp_path_factory: pytest.TempPathFactory, stop: bool, made: list[Call]):
    root = tmp_path_factory.mktemp("calls")

    async def work(client: Client) -> tuple[str, list[int]]:
        keys = [await client.key(*SERVED), await client.key(*SERVED, tenant="other")]
        await begin(client, keys)
        statuses = [await make(client, call, keys) for call in made]
        engine = client.engine
        await engine.journal.settled()
        while engine.journal.unfolded:
            await asyncio.sleep(0)
        assert engine.broken == ""
        return engine.partition.hash(), statuses

    terms, clock = Terms(key_requests_per_s=1_000_000), ManualClock(START_MS)
    hashed, statuses = with_client(root, work, terms=terms, clock=clock, stop=stop)
    assert max(statuses) < 500
    assert rebuilt(root) == (recovered(root), 0)
    assert stop or recovered(root) == hashed
