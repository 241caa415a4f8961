"""The routes of the quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .client import Client, track, with_client

BAD = {"products": "a lamp", "product_id": "sku-1"}
REMOVE = {"do": "remove", "path": "properties.products"}


async def refuse(client: Client, *numbers: int) -> None:
    for number in numbers:
        assert (await client.post("/v1/track", track(number, properties=BAD))).status_code == 400


async def repair(client: Client, **asked: Any) -> Any:
    reply = await client.post("/v1/quarantine/repair", asked)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_what_was_refused_is_listed_shown_repaired_and_gone_from_the_list(tmp_path: Path):
    async def work(client: Client) -> None:
        await refuse(client, 1, 2)
        listing = (await client.get("/v1/quarantine")).json()
        (group,) = listing["groups"]
        assert (listing["total"], group["count"], group["code"]) == (2, 2, "schema")
        shown = (await client.get(f"/v1/quarantine/{group['example']}")).json()
        assert (shown["messageId"], shown["kind"], shown["outcome"]) == ("m-2", "track", "")
        assert "a lamp" in shown["event"]
        dry = await repair(client, rewrite=[REMOVE], group=group["group"], dryRun=True)
        assert (dry["passed"], dry["refused"], len(dry["examples"])) == (2, {}, 2)
        done = await repair(client, rewrite=[REMOVE], group=group["group"])
        assert (done["passed"], done["dryRun"]) == (2, False)
        assert int(done["position"]) > int(dry["position"])
        assert (await client.get("/v1/quarantine")).json() == {"total": 0, "groups": [], "droppedBytes": 0}
        assert (await client.get(f"/v1/quarantine/{group['example']}")).json()["outcome"] == "taken"

    with_client(tmp_path, work)


@pytest.mark.parametrize(("asked", "code"), [
    ({"rewrite": [{"do": "set", "path": "userId", "value": "eve"}]}, "rewrite"),
    ({"rewrite": [{"do": "dance", "path": "x"}]}, "schema"), ({"rewrite": [REMOVE] * 51}, "schema"),
    ({"limit": 0}, "schema"), ({"limit": 10_001}, "schema"), ({"unknown": 1}, "schema"), ({"position": "x"}, "schema"),
    ({"position": "9" * 5_000}, "schema"),
])
def test_a_request_that_cannot_be_is_400(asked: dict[str, Any], code: str, tmp_path: Path):
    async def work(client: Client) -> None:
        reply = await client.post("/v1/quarantine/repair", asked)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)

    with_client(tmp_path, work)


@pytest.mark.parametrize(("position", "status"), [("1", 404), ("32", 404), ("x", 400), ("-1", 400), ("9" * 30, 400)])
def test_what_is_no_entry_is_refused(position: str, status: int, tmp_path: Path):
    async def work(client: Client) -> None:
        await refuse(client, 1)
        (group,) = (await client.get("/v1/quarantine")).json()["groups"]
        asked = position if position != "32" else str(int(group["example"]) + 1)
        assert (await client.get(f"/v1/quarantine/{asked}")).status_code == status

    with_client(tmp_path, work)
