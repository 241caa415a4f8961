"""A server with a small shop in it, its people and what they did, some of it wrong, for a browser to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from ..faults.keyed import KeyedSite
from ..faults.servers import Nursery

HOSTILE = "<script>document.title='owned'</script>"
"""A name as somebody hostile sends it."""
KINDS = ("chair", "lamp", "table", "rug")
ITEMS = 40
PEOPLE = 12


class Stall(NamedTuple):
    """The server, with keys for it."""

    url: str
    admin: str
    viewer: str
    decisions: list[str]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers an admin."""
        headers = {"Authorization": f"Bearer {self.admin}"}
        reply = httpx.request(method, self.url + path, json=body, headers=headers, timeout=30)
        assert reply.status_code < 300, reply.text
        return reply.json()


@pytest.fixture(scope="session")
def stall(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stall]:
    """Filled once for all tests, which leave it as they find it or name what they change."""
    site = KeyedSite(nursery, tmp_path_factory.mktemp("stall") / "site", config="[limits]\nrequests_per_s = 100000\n")
    admin, viewer = site.key("admin", "write", "decide", "catalog"), site.key("catalog:read", "models:read")
    with site.serve() as server:
        stall = Stall(f"http://127.0.0.1:{server.port}", admin, viewer, [])
        _fill(stall)
        yield stall


def _fill(stall: Stall) -> None:
    items = [
        {"id": f"{KINDS[number % 4]}-{number}", "fields": {
            "title": f"{KINDS[number % 4].title()} number {number}", "category": f"{KINDS[number % 4]}s",
            "price": 20.0 + number, "stock": number % 5, "brand": ("Nord", "Solis")[number % 2],
        }}
        for number in range(ITEMS)
    ]  # fmt: skip
    items.append({"id": HOSTILE, "fields": {"title": HOSTILE, "category": HOSTILE, HOSTILE: HOSTILE, "price": 1.0}})
    stall.call("POST", "/v1/items", {"items": items})
    events = [
        {"type": "track", "event": ("Product Viewed", "Product Added", HOSTILE)[number % 3], "messageId": f"m-{number}",
         "anonymousId": f"visitor-{number % PEOPLE}", "properties": {"product_id": f"chair-{4 * (number % 9)}"}}
        for number in range(90)
    ]  # fmt: skip
    events += [{"type": "track", "event": "Product Viewed", "messageId": f"n-{n}"} for n in range(3)]
    events += [{"type": "track", "event": HOSTILE, "messageId": f"o-{n}", "anonymousId": 5 * [1]} for n in range(2)]
    stall.call("POST", "/v1/batch", {"batch": json.loads(json.dumps(events))})
    for number in range(PEOPLE):
        asked = {"anonymousId": f"visitor-{number}", "placements": [{"id": "home.recommended"}], "deadlineMs": 10_000}
        stall.decisions.append(stall.call("POST", "/v1/decide", asked)["decisionId"])
    stall.call("POST", f"/v1/decisions/{stall.decisions[0]}/replay")
