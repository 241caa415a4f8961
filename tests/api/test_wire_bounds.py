"""Bounds of what is sent: at each of them a request is taken, and one beyond it is refused clearly."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from instanter.api.visitors import Proxies
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.limits import (
    BODY_MEMBERS_MAX,
    CATALOGUE_MEMORY_DIVISOR,
    DEADLINE_MS_MAX,
    FIELDS_NESTED_MAX,
    ITEM_DEPTH_MAX,
    ITEMS_PER_REQUEST_MAX,
    PAGE_ENTRIES_MAX,
    PROXIES_LISTED_MAX,
    QUERY_CHARS_MAX,
    REPAIR_EVENTS_MAX,
    REQUESTS_PER_S_MAX,
    REWRITE_TEXT_CHARS_MAX,
    SHOWN_ID_CHARS,
    TENANTS_MAX,
)
from instanter.ops.config import parse
from instanter.ops.wiring import schema_of

from .client import Client, track, with_client

PLACED = {"anonymousId": "a1", "deadlineMs": 10_000}
ASKED = {**PLACED, "placements": [{"id": "search", "query": "sofa"}]}
RANKED = {**PLACED, "placement": "search", "candidates": ["i"]}


def repair(**more: Any) -> dict[str, Any]:
    return {"dryRun": True, **more}


@pytest.mark.parametrize(("method", "path", "most", "beyond"), [
    ("POST", "/v1/decide", {**ASKED, "deadlineMs": DEADLINE_MS_MAX}, {**ASKED, "deadlineMs": DEADLINE_MS_MAX + 1}),
    ("POST", "/v1/rank", {**RANKED, "deadlineMs": DEADLINE_MS_MAX}, {**RANKED, "deadlineMs": DEADLINE_MS_MAX + 1}),
    ("POST", "/v1/decide", {**PLACED, "placements": [{"id": "search", "query": "q" * QUERY_CHARS_MAX}]},
     {**PLACED, "placements": [{"id": "search", "query": "q" * (QUERY_CHARS_MAX + 1)}]}),
    ("POST", "/v1/complete", {"query": "q" * QUERY_CHARS_MAX}, {"query": "q" * (QUERY_CHARS_MAX + 1)}),
    ("POST", "/v1/rank", {**RANKED, "query": "q" * QUERY_CHARS_MAX}, {**RANKED, "query": "q" * (QUERY_CHARS_MAX + 1)}),
    ("POST", "/v1/items", [{"id": number, "price": 1} for number in range(ITEMS_PER_REQUEST_MAX - 1_000)],
     [{"id": number, "price": 1} for number in range(ITEMS_PER_REQUEST_MAX + 1)]),
    ("POST", "/v1/items/delete", {"ids": list(range(ITEMS_PER_REQUEST_MAX))},
     {"ids": list(range(ITEMS_PER_REQUEST_MAX + 1))}),
    ("POST", "/v1/keys", {"name": "k", "scopes": ["write"], "requestsPerS": REQUESTS_PER_S_MAX},
     {"name": "k", "scopes": ["write"], "requestsPerS": REQUESTS_PER_S_MAX + 1}),
    ("POST", "/v1/quarantine/repair", repair(limit=REPAIR_EVENTS_MAX), repair(limit=REPAIR_EVENTS_MAX + 1)),
    ("POST", "/v1/quarantine/repair",
     repair(rewrite=[{"do": "replace", "find": "a", "put": "b" * REWRITE_TEXT_CHARS_MAX}]),
     repair(rewrite=[{"do": "replace", "find": "a", "put": "b" * (REWRITE_TEXT_CHARS_MAX + 1)}])),
    ("GET", f"/v1/profiles?limit={PAGE_ENTRIES_MAX}", None, f"/v1/profiles?limit={PAGE_ENTRIES_MAX + 1}"),
    ("GET", f"/v1/decisions?limit={PAGE_ENTRIES_MAX}", None, f"/v1/decisions?limit={PAGE_ENTRIES_MAX + 1}"),
])  # fmt: skip
def test_the_most_is_taken_and_more_is_refused(method: str, path: str, most: Any, beyond: Any, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        taken = await client.call(method, path, most)
        assert taken.status_code in (200, 201), taken.text
        refused = await (client.get(beyond) if method == "GET" else client.call(method, path, beyond))
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "schema")

    with_client(tmp_path, work)


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "/v1/items", b'{"items": [{"id": "i", "fields": %s}]}'), ("POST", "/v1/items", b'[{"id": "i", "a": %s}]'),
    ("POST", "/v1/items?replace=begin", b'{"items": [{"id": "i", "fields": %s}]}'),
    ("PATCH", "/v1/items/i", b'{"fields": %s}'), ("PATCH", "/v1/items/i", b"%s"),
    ("POST", "/v1/rank", b'{"anonymousId": "a", "placement": "search", "candidates": [{"id": "i", "fields": %s}]}'),
    ("POST", "/v1/decide",
     b'{"anonymousId": "a", "placements": [{"id": "search", "candidates": ["j", {"id": "i", "fields": %s}]}]}'),
])  # fmt: skip
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_the_fields_of_an_item_are_nested_so_deep_and_no_deeper(
    method: str, path: str, body: bytes, opening: bytes, tmp_path: Path
) -> None:
    async def sent(client: Client, depth: int) -> tuple[int, set[str]]:
        """The status, and the codes of what was refused."""
        within = depth - 1 if b'"a": %s' not in body else depth - 2
        closing = b"]" if opening == b"[" else b"}"
        fields = b'{"a": ' + opening * within + b"0" + closing * within + b"}" + b" " * 16 * depth
        reply = await client.call(method, path, body % fields)
        told = reply.json()
        assert reply.status_code == 200 or f"at most {ITEM_DEPTH_MAX} deep" in reply.text or depth > FIELDS_NESTED_MAX
        return reply.status_code, {one["code"] for one in [*told.get("rejected", ()), told.get("error")] if one}

    async def work(client: Client) -> None:
        await client.stock("i")
        assert await sent(client, ITEM_DEPTH_MAX) == (200, set())
        before = (await client.get("/v1/items/i")).json()["fields"]
        for depth in (ITEM_DEPTH_MAX + 1, FIELDS_NESTED_MAX, FIELDS_NESTED_MAX + 1, 900, 950, 960, 970, 980, 2_000):
            status, codes = await sent(client, depth)
            assert (status in (200, 400), codes) == (True, {"too_deep"}), (depth, status)
        assert (await client.get("/v1/items/i")).json()["fields"] == before

    with_client(tmp_path, work)


def test_a_body_has_so_many_streams_and_no_more(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        whole = json.dumps(track(1)).encode()
        ends = gzip.compress(b"")
        headers = {"Content-Encoding": "gzip"}
        most = gzip.compress(whole) + ends * (BODY_MEMBERS_MAX - 1)
        assert (await client.post("/v1/track", most, headers=headers)).status_code == 200
        refused = await client.post("/v1/track", most + ends, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "malformed")

    with_client(tmp_path, work)


def test_a_long_id_is_shown_in_part(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        for number in (SHOWN_ID_CHARS, SHOWN_ID_CHARS + 1):
            told = (await client.get(f"/v1/items/{'x' * number}")).json()["error"]["message"]
            assert told.count("x") == SHOWN_ID_CHARS

    with_client(tmp_path, work)


def test_so_many_proxies_are_looked_at_the_nearest_first() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    for number, found in ((PROXIES_LISTED_MAX - 1, "198.51.100.4"), (PROXIES_LISTED_MAX, "")):
        chain = ", ".join(["198.51.100.4", *["10.0.0.1"] * number])
        assert proxies.client_address("10.0.0.7", "", chain) == found


def test_so_many_tenants_have_terms_of_their_own_and_no_more() -> None:
    tables = [f'[[tenants]]\nid = "t-{number}"\n' for number in range(TENANTS_MAX + 1)]
    assert len(parse("".join(tables[:-1])).tenants) == TENANTS_MAX
    with pytest.raises(ConfigRejected, match=f"more than {TENANTS_MAX}"):
        parse("".join(tables))


def test_large_items_have_a_part_of_the_memory() -> None:
    room = schema_of(parse("[state]\nmemory_mb = 1024\n")).capacity
    assert room.catalogue_bytes == (1024 << 20) // CATALOGUE_MEMORY_DIVISOR
