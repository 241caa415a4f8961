"""Vectors over HTTP: loaded with items, kept out of replies, refused where they are none, and what is near by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instanter.api import items as item_routes
from instanter.foundation.limits import VECTOR_LENGTH_MAX, VECTORS_BYTES_MAX
from instanter.ops import metrics

from .client import Client, with_client

ALIKE = {"sofa": [1.0, 0.1, 0.0], "couch": [0.9, 0.2, 0.0], "lamp": [-0.1, 0.1, 1.0], "rug": [-1.0, 0.0, 0.2]}


async def put(client: Client, **vectors: Any) -> Any:
    items = [
        {"id": item, "fields": {"title": item, "category": item, "vector": one}} for item, one in vectors.items()
    ]
    return await client.post("/v1/items", {"items": items})


def test_similar_items_are_those_whose_vectors_are_near_and_no_reply_shows_one(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        assert (await put(client, **ALIKE)).json()["accepted"] == len(ALIKE)
        asked = {"placements": [{"id": "product.similar", "item": "sofa", "limit": 1}], "anonymousId": "new"}
        answer = await client.decide(placement="product.similar", **asked, explain=True)
        assert [item["id"] for item in answer["items"]] == ["couch"]
        assert "source vectors: 1" in answer["rules"]
        assert answer["items"][0]["reasons"] == ["similar to what you viewed"]
        assert "vector" not in answer["items"][0]["fields"]
        home = await client.decide()
        assert all("vector" not in item["fields"] for item in home["items"])
        completed = (await client.post("/v1/complete", {"query": "so", "deadlineMs": 10_000})).json()
        assert completed["items"]
        assert all("vector" not in item["fields"] for item in completed["items"])

    with_client(tmp_path, work)


def test_it_is_shown_to_who_asks_for_it(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await put(client, sofa=[2.0, -1.0, 0.0])
        assert (await client.get("/v1/items/sofa")).json()["fields"] == {"title": "sofa", "category": "sofa"}
        shown = (await client.get("/v1/items/sofa?vector=true")).json()["fields"]["vector"]
        assert shown == pytest.approx([2.0, -1.0, 0.0], abs=2 / 254)
        assert "vector" not in (await client.get("/v1/items")).json()["items"][0]["fields"]
        listed = (await client.get("/v1/items?vector=true")).json()["items"][0]["fields"]
        assert listed["vector"] == shown
        assert (await client.get("/v1/items/sofa?vector=yes")).status_code == 400

    with_client(tmp_path, work)


@pytest.mark.parametrize(("vector", "said"), [
    ([0, 0, 0], "all zeros"), ([1, 2], "has 2 numbers, and the catalogue's vectors have 3"),
    ([1, "2", 3], "at place 1"), ([], "has 0 numbers"), ("q8:AAAA", "as it is kept"),
    ([1e40, 1, 1], "at place 0"), ([1] * (VECTOR_LENGTH_MAX + 1), "1 to 1024"),
])  # fmt: skip
def test_what_is_no_vector_is_refused_by_item_and_the_others_stay(vector: Any, said: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await put(client, sofa=[1.0, 0.1, 0.0])
        reply = (await put(client, good=[1.0, 0.0, 0.0], bad=vector)).json()
        assert reply["accepted"] == 1
        assert [(one["id"], one["code"]) for one in reply["rejected"]] == [("bad", "schema")]
        assert said in reply["rejected"][0]["message"]
        patched = await client.call("PATCH", "/v1/items/good", {"fields": {"vector": vector}})
        assert patched.status_code == 400
        assert said in patched.json()["error"]["message"]

    with_client(tmp_path, work)


def test_a_number_that_is_none_spoils_its_own_item_alone(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        body = b'{"items": [{"id": "a", "vector": [NaN, 1]}, {"id": "b", "vector": [1, 1]}]}'
        reply = (await client.post("/v1/items", body)).json()
        assert (reply["accepted"], reply["rejected"][0]["id"]) == (1, "a")
        assert "not finite" in reply["rejected"][0]["message"]

    with_client(tmp_path, work)


def test_it_changes_and_goes_with_a_patch_and_with_the_item(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await put(client, **ALIKE)
        catalogue = client.engine.partition.state.catalogue
        assert (await client.call("PATCH", "/v1/items/rug", {"price": 5})).status_code == 200
        assert catalogue.vectors_of("default") == 12
        assert (await client.call("PATCH", "/v1/items/rug", {"vector": None})).status_code == 200
        assert (await client.call("DELETE", "/v1/items/lamp")).status_code == 200
        assert (catalogue.vectors, catalogue.vector_bytes) == (2, 6)
        said = metrics.render(client.engine).decode()
        assert "instanter_catalogue_vectors 2.0" in said
        assert "instanter_catalogue_vectors_bytes 6.0" in said
        for item in ("sofa", "couch"):
            await client.call("PATCH", f"/v1/items/{item}", {"vector": None})
        assert (await put(client, sofa=[1, 2])).json()["accepted"] == 1, "with the last one their length is forgotten"

    with_client(tmp_path, work)


def test_there_are_no_more_than_a_decision_looks_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_routes, "VECTORS_BYTES_MAX", VECTORS_BYTES_MAX // VECTORS_BYTES_MAX * 7)

    async def work(client: Client) -> None:
        await put(client, a=[1, 0, 0], b=[0, 1, 0])
        full = await put(client, c=[0, 0, 1])
        assert full.status_code == 429
        assert "vectors of the catalogue have 6 numbers, and may have 7" in full.json()["error"]["message"]
        assert (await put(client, a=[1, 1, 1])).status_code == 200, "one that takes another's place is taken"
        assert (await client.call("PATCH", "/v1/items/b", {"vector": [1, 1, 1]})).status_code == 200
        bare = {"items": [{"id": "c", "fields": {"title": "bare"}}]}
        assert (await client.post("/v1/items", bare)).status_code == 200

    with_client(tmp_path, work)


def test_vectors_come_back_from_the_log_and_from_a_checkpoint(tmp_path: Path) -> None:
    before: list[Any] = []

    async def work(client: Client) -> None:
        await put(client, **ALIKE)
        await client.engine.checkpoint()
        await client.call("PATCH", "/v1/items/rug", {"vector": [1.0, 0.1, 0.1]})
        before.append(client.engine.partition.hash())

    async def again(client: Client) -> None:
        assert client.engine.partition.hash() == before[0]
        asked = {"placements": [{"id": "product.similar", "item": "sofa", "limit": 3}], "anonymousId": "new"}
        answer = await client.decide(placement="product.similar", **asked, explain=True)
        assert "source vectors: 2" in answer["rules"]

    with_client(tmp_path, work)
    with_client(tmp_path, again)


def test_a_feed_may_have_it_as_text(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        assert (await put(client, a=json.dumps([1, 2]), b=" [2, 1] ")).json()["accepted"] == 2
        told = (await put(client, c="drawing.svg")).json()
        assert [(one["field"], one["code"]) for one in told["warnings"]] == [("vector", "without_effect")]
        assert client.engine.partition.state.catalogue.vectors == 2
        assert (await client.get("/v1/items/c")).json()["fields"]["vector"] == "drawing.svg"

    with_client(tmp_path, work)
