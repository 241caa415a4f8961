"""The catalogue and profile routes, and identifiers of every kind in their paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from instanter.foundation.limits import ITEM_FIELDS_BYTES_MAX

from .client import Client, track, with_client

STRANGE = ("a/b", "a%2Fb", "100%", "ä€🪑", "a b", "a?b#c", "../../etc", "a/links/b", "links", "a+b", "'\"<>", "x" * 512)


@pytest.mark.parametrize("item", STRANGE)
def test_an_item_of_any_id_is_put_read_changed_and_taken_out(item: str, tmp_path: Path):
    async def work(client: Client) -> None:
        path = f"/v1/items/{quote(item, safe='')}"
        put = await client.post("/v1/items", {"items": [{"id": item, "fields": {"title": "Chair", "stock": 2}}]})
        assert put.json() == {"accepted": 1, "position": str(client.engine.partition.position)}
        assert (await client.get(path)).json() == {"id": item, "fields": {"title": "Chair", "stock": 2}}
        patched = await client.call("PATCH", path, {"fields": {"stock": 0, "title": None}})
        assert int(patched.json()["position"]) > int(put.json()["position"])
        assert (await client.get(path)).json()["fields"] == {"stock": 0}
        assert (await client.call("DELETE", path)).status_code == 200
        assert (await client.get(path)).status_code == 404

    with_client(tmp_path, work)


@pytest.mark.parametrize("person", STRANGE[:-1])
def test_a_profile_of_any_id_is_read_and_its_link_taken_back(person: str, tmp_path: Path):
    async def work(client: Client) -> None:
        await client.post("/v1/track", {**track(1), "anonymousId": person})
        await client.post("/v1/identify", {"messageId": "m-2", "anonymousId": person, "userId": f"user {person}"})
        anonymous, user = quote(f"anonymous:{person}", safe=""), quote(f"user {person}", safe="")
        profile = (await client.get(f"/v1/profiles/{anonymous}")).json()
        assert (profile["id"], profile["linked"]) == (f"anonymous:{person}", [f"user {person}"])
        assert (await client.get(f"/v1/profiles/{user}")).json()["features"] == profile["features"]
        undone = await client.call("DELETE", f"/v1/profiles/{user}/links/{anonymous}")
        assert undone.json() == {"unlinked": True, "position": str(client.engine.partition.position)}
        assert (await client.get(f"/v1/profiles/{user}")).status_code == 404
        again = await client.call("DELETE", f"/v1/profiles/{user}/links/{anonymous}")
        assert (again.status_code, again.json()["error"]["code"]) == (404, "not_linked")

    with_client(tmp_path, work)


def test_an_id_that_is_a_path_may_also_be_sent_unescaped(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("shoes/red/42")
        assert (await client.get("/v1/items/shoes/red/42")).json()["id"] == "shoes/red/42"

    with_client(tmp_path, work)


@pytest.mark.parametrize("sent", ["%ff", "a%C3", "x" * 513])
def test_an_id_in_the_path_that_can_be_none_is_refused(sent: str, tmp_path: Path):
    async def work(client: Client) -> None:
        for path in (f"/v1/items/{sent}", f"/v1/profiles/{sent}", f"/v1/decisions/{sent}"):
            reply = await client.get(path)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "schema"), path

    with_client(tmp_path, work)


def test_an_unknown_item_is_404_whatever_is_asked_of_it(tmp_path: Path):
    async def work(client: Client) -> None:
        for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"fields": {}})):
            reply = await client.call(method, "/v1/items/nothing", body)
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_item")

    with_client(tmp_path, work)


def test_an_upsert_replaces_all_fields_and_a_patch_only_its_own(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.post("/v1/items", {"items": [{"id": "i", "fields": {"price": 5, "brand": "b"}}]})
        await client.call("PATCH", "/v1/items/i", {"fields": {"price": 6}})
        assert (await client.get("/v1/items/i")).json()["fields"] == {"price": 6, "brand": "b"}
        await client.post("/v1/items", {"items": [{"id": "i", "fields": {"price": 7}}]})
        assert (await client.get("/v1/items/i")).json()["fields"] == {"price": 7}

    with_client(tmp_path, work)


def test_stock_counts_from_the_next_decision(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("i", stock=1)
        for stock, shown in ((0, []), (3, ["i"]), (-1, []), (0.5, ["i"]), (None, ["i"])):
            await client.call("PATCH", "/v1/items/i", {"fields": {"stock": stock}})
            assert [item["id"] for item in (await client.decide())["items"]] == shown, stock

    with_client(tmp_path, work)


CODES = ("schema", "malformed", "too_deep", "too_complex", "too_large")
REFUSED: dict[str, tuple[Any, int]] = {
    "no items": ({}, 400),
    "items no list": ({"items": {}}, 400),
    "no id": ({"items": [{"fields": {}}]}, 400),
    "empty id": ({"items": [{"id": "", "fields": {}}]}, 400),
    "blank id": ({"items": [{"id": " ", "fields": {}}]}, 400),
    "control character": ({"items": [{"id": "a\x00b", "fields": {}}]}, 400),
    "long id": ({"items": [{"id": "x" * 513, "fields": {}}]}, 400),
    "no fields": ({"items": [{"id": "i"}]}, 400),
    "fields no map": ({"items": [{"id": "i", "fields": []}]}, 400),
    "stock no number": ({"items": [{"id": "i", "fields": {"stock": "many"}}]}, 400),
    "stock a boolean": ({"items": [{"id": "i", "fields": {"stock": True}}]}, 400),
    "huge integer": ({"items": [{"id": "i", "fields": {"price": 10**30}}]}, 400),
    "not a number": (b'{"items": [{"id": "i", "fields": {"price": NaN}}]}', 400),
    "infinite": (b'{"items": [{"id": "i", "fields": {"price": 1e999}}]}', 400),
    "surrogate": (b'{"items": [{"id": "i", "fields": {"title": "\\ud800"}}]}', 400),
    "too deep": (b'{"items": [{"id": "i", "fields": {"a": ' + b"[" * 60_000 + b"]" * 60_000 + b"}}]}", 400),
    "large fields": ({"items": [{"id": "i", "fields": {"text": "x" * ITEM_FIELDS_BYTES_MAX}}]}, 413),
    "large body": (b" " * (1024 * 1024 + 1), 413),
    "too many": ({"items": [{"id": f"i{number}", "fields": {}} for number in range(5_001)]}, 400),
}


def test_what_cannot_be_an_item_is_refused_with_a_code_and_nothing_is_kept(tmp_path: Path):
    async def work(client: Client) -> None:
        for what, (body, status) in REFUSED.items():
            reply = await client.post("/v1/items", body)
            assert reply.status_code == status, (what, reply.text)
            assert reply.json()["error"]["code"] in CODES, what
        assert (await client.get("/v1/items/i")).status_code == 404

    with_client(tmp_path, work)


def test_one_unfit_item_keeps_all_of_its_request_out(tmp_path: Path):
    async def work(client: Client) -> None:
        sent = [{"id": "good", "fields": {}}, {"id": "bad", "fields": {"stock": "many"}}]
        reply = await client.post("/v1/items", {"items": sent})
        assert 'item "bad"' in reply.json()["error"]["message"]
        assert (await client.get("/v1/items/good")).status_code == 404

    with_client(tmp_path, work)


def test_a_full_request_of_items_is_taken(tmp_path: Path):
    async def work(client: Client) -> None:
        items = [{"id": f"i{number}", "fields": {"price": number}} for number in range(4_000)]
        assert (await client.post("/v1/items", {"items": items})).json()["accepted"] == 4_000
        assert (await client.post("/v1/items", {"items": []})).json()["accepted"] == 0

    with_client(tmp_path, work)


def test_a_catalogue_that_is_full_takes_changes_and_nothing_new(tmp_path: Path):
    async def work(client: Client) -> None:
        for first in range(0, 4_096, 1_024):
            await client.stock(*(f"i{number}" for number in range(first, first + 1_024)))
        refused = await client.post("/v1/items", {"items": [{"id": "one more", "fields": {}}]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        assert (await client.post("/v1/items", {"items": [{"id": "i7", "fields": {"a": 1}}]})).status_code == 200
        assert (await client.call("DELETE", "/v1/items/i8")).status_code == 200
        await client.stock("one more")

    with_client(tmp_path, work)


def test_a_profile_holds_what_the_person_did_and_says_what_it_is_by_name(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        await client.post("/v1/track", track(1))
        profile = (await client.get("/v1/profiles/anonymous:a1")).json()
        assert set(profile) == {"id", "linked", "known", "inSession", "features", "segments", "consent", "position"}
        assert (profile["known"], profile["inSession"]) == (True, True)
        lists = [value for value in profile["features"].values() if isinstance(value, list) and value]
        assert "sku-1" in {entry.get("name") for entries in lists for entry in entries}

    with_client(tmp_path, work)


def test_nobody_knows_whom_nobody_told_of(tmp_path: Path):
    async def work(client: Client) -> None:
        for unknown in ("nobody", "anonymous:nobody", "anonymous:"):
            reply = await client.get(f"/v1/profiles/{unknown}")
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_profile")

    with_client(tmp_path, work)
