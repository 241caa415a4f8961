"""R16: what comes and goes leaves nothing behind: items that are deleted again, connections that do nothing, keys that
are revoked."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from instanter.features.compile import PROGRAM_MIB
from instanter.ops.bench.load import HOST, Connection, request
from instanter.ops.bench.server import Server

from .conftest import Figures
from .keyed import Caller, KeyedSite
from .servers import Nursery
from .test_r16_full_house import resident_mib

MEMORY_MB = 2_560
CALL_ITEMS = 2_000
CYCLES = 3
WARM_ITEMS = 4_000
SETTLED_S_MAX = 60.0
LOOKED_EVERY_S = 2.0
FILES_OF_TEST = 512
KEYS_EACH = 9
WARM_TENANTS = 4
CONFIG = f"""\
[state]
memory_mb = {MEMORY_MB}
checkpoint_s = 5
[serve]
connections_max = 8192
header_read_s = 60
[limits]
requests_per_s = 1000000
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    config = tmp_path / "instanter.toml"
    config.write_text(CONFIG)
    with Server(tmp_path / "first", config=config) as first:  # Whoever is first compiles, and keeps what that took.
        first.wait_ready()
    with Server(tmp_path / "data", config=config) as server:
        server.wait_ready()
        yield server


def calls(server: Server, path: str, bodies: Iterable[bytes]) -> None:
    connection = Connection(server.port)
    for body in bodies:
        assert connection.exchange(request("POST", path, body)).status == 200
    connection.close()


def load_and_delete(server: Server, name: str, count: int) -> None:
    """So many items, looked at by a decision, then deleted."""
    parts = [range(first, min(first + CALL_ITEMS, count)) for first in range(0, count, CALL_ITEMS)]
    calls(server, "/v1/items", (msgspec.json.encode({"items": [
        {"id": f"{name}-{number:07d}", "fields": {
            "title": f"Item {number} of {name}", "category": f"category {number % 50}",
            "brand": f"brand {number % 200}", "price": number % 90 + 0.5, "stock": 9,
        }} for number in part]}) for part in parts))  # fmt: skip
    asked = {"anonymousId": "visitor", "placements": [{"id": "home.recommended"}]}
    calls(server, "/v1/decide", [msgspec.json.encode(asked)])
    calls(server, "/v1/items/delete", (
        msgspec.json.encode({"ids": [f"{name}-{number:07d}" for number in part]}) for part in parts
    ))  # fmt: skip


def settled(read: Callable[[], float], most: float) -> float:
    """What is read once it is small enough, or after a minute: what is free is given back by the next checkpoint."""
    for _ in range(int(SETTLED_S_MAX / LOOKED_EVERY_S)):
        if (found := read()) <= most:
            break
        threading.Event().wait(LOOKED_EVERY_S)
    return found


def open_files(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


@pytest.mark.faults
def test_r16_items_that_were_deleted_give_their_memory_back(server: Server, full: bool, figures: Figures) -> None:
    count = 300_000 if full else 20_000
    load_and_delete(server, "warm", WARM_ITEMS)
    threading.Event().wait(2 * LOOKED_EVERY_S)
    before = resident_mib(server.pid, "VmRSS")
    after = []
    for cycle in range(CYCLES):
        load_and_delete(server, f"cycle {cycle}", count)
        after.append(settled(lambda: resident_mib(server.pid, "VmRSS"), 1.1 * before))
    most = resident_mib(server.pid, "VmHWM")
    figures(items=count, cycles=CYCLES, resident_mib_before=round(before), resident_mib_after_max=round(max(after)),
            grown_by_mib_max=round(after[-1] - after[0], 1), resident_mib_max=round(most))  # fmt: skip
    assert server.metrics().value("instanter_catalogue_items") == 0
    assert after[-1] <= 1.05 * after[0], "further items take the room of those before"
    assert max(after) <= 1.1 * before
    assert most <= 1.1 * MEMORY_MB


@pytest.mark.faults
def test_r16_connections_that_do_nothing_are_bounded_and_leave_nothing(
    server: Server, full: bool, figures: Figures
) -> None:
    wanted = 10_000 if full else 1_000
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed[1], allowed[1]))
    wanted = min(wanted, allowed[1] - FILES_OF_TEST)
    before_mib, before_files = resident_mib(server.pid, "VmRSS"), open_files(server)
    with ExitStack() as connections:
        for _ in range(wanted):
            connections.enter_context(socket.create_connection((HOST, server.port)))
        held_mib, held_files = resident_mib(server.pid, "VmRSS"), open_files(server)
    files = settled(lambda: open_files(server), before_files + 2)
    after_mib = settled(lambda: resident_mib(server.pid, "VmRSS"), 1.1 * before_mib)
    resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    figures(idle_connections=wanted, resident_mib_before=round(before_mib), resident_mib_with_them_max=round(held_mib),
            resident_mib_after_max=round(after_mib), files_more_max=files - before_files)  # fmt: skip
    assert held_files - before_files <= 8_192 + 2
    assert held_mib <= 1.1 * MEMORY_MB
    assert files <= before_files + 2
    assert after_mib <= 1.1 * before_mib


@pytest.mark.faults
def test_r16_keys_of_many_tenants_that_are_revoked_give_their_memory_back(
    nursery: Nursery, tmp_path: Path, full: bool, figures: Figures
) -> None:
    tenants = (1_000 if full else 24) - WARM_TENANTS
    site = KeyedSite(nursery, tmp_path)
    owners = [site.key("admin", tenant=f"tenant-{number}") for number in range(tenants + WARM_TENANTS)]
    with site.serve() as server:
        for owner in owners[tenants:]:
            revoke(server.port, owner, used_keys(server.port, owner))
        before = resident_mib(server.pid, "VmRSS")
        made = [used_keys(server.port, owner) for owner in owners[:tenants]]
        held = resident_mib(server.pid, "VmRSS")
        for owner, ids in zip(owners, made, strict=False):
            revoke(server.port, owner, ids)
        after = settled(lambda: resident_mib(server.pid, "VmRSS"), 1.1 * before)
        figures(keys=tenants * (KEYS_EACH + 1), tenants=tenants, resident_mib_before=round(before),
                resident_mib_with_them_max=round(held), resident_mib_after_max=round(after))  # fmt: skip
    assert held <= 1.1 * max(before, PROGRAM_MIB)
    assert after <= 1.1 * before


def used_keys(port: int, owner: str) -> list[str]:
    """The ids of keys that a tenant made, each used once."""
    with Caller(port, owner) as caller:
        granted = {"name": "of a page", "scopes": ["write", "decide"]}
        keys = [caller.call("POST", "/v1/keys", granted).body for _ in range(KEYS_EACH)]
    for key in keys:
        with Caller(port, key["key"]) as caller:
            event = {"event": "Product Viewed", "anonymousId": "a", "properties": {"product_id": "i"}}
            assert caller.call("POST", "/v1/track", event).status == 200
            asked = {"anonymousId": "a", "placements": [{"id": "home.recommended"}]}
            assert caller.call("POST", "/v1/decide", asked).status == 200
    return [key["id"] for key in keys]


def revoke(port: int, owner: str, ids: list[str]) -> None:
    with Caller(port, owner) as caller:
        assert {caller.call("DELETE", f"/v1/keys/{one}").status for one in ids} == {200}
