"""Whose an event is: its user's if it has one, else its device's; what strangers did is never told to one another.

The cases A1 to A4 from the field, through the routes.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import CLAIMS_OF_DEVICE_MAX, LINKED_CELLS_MAX
from instanter.state.table import ITEMS, rows_of

from ..engine.harness import iso
from .client import Client, with_client
from .test_auth import with_keys
from .test_claims import keys, token

ORDER = {"event": "Order Completed", "properties": {"order_id": "o1", "product_id": "sku-1", "price": 5}}


def view(number: int, item: str = "sku-1", **ids: str) -> dict[str, Any]:
    return {"type": "track", "messageId": f"m{number}", "event": "Product Viewed", **ids,
            "properties": {"product_id": item}}  # fmt: skip


def identify(number: int, anonymous_id: str, user_id: str) -> dict[str, Any]:
    return {"type": "identify", "messageId": f"i{number}", "anonymousId": anonymous_id, "userId": user_id}


async def send(client: Client, *events: dict[str, Any], **more: Any) -> dict[str, Any]:
    reply = await client.post("/v1/batch", {"batch": list(events)}, **more)
    assert reply.status_code == 200, reply.text
    assert reply.json()["rejected"] == []
    return dict(reply.json())


async def profile(client: Client, identifier: str, **more: Any) -> dict[str, Any]:
    reply = await client.get(f"/v1/profiles/{identifier}", **more)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def exported(client: Client, identifier: str, kind: str = "event", **more: Any) -> list[dict[str, Any]]:
    reply = await client.get(f"/v1/profiles/{identifier}/export", **more)
    assert reply.status_code == 200, reply.text
    lines = [json.loads(line) for line in reply.text.splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_twelve_devices_are_all_the_users_and_consent_export_and_erasure_reach_each(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        for number in range(12):
            await send(client, view(number, anonymousId=f"d{number}"), identify(number, f"d{number}", "u"))
        assert len((await profile(client, "u"))["linked"]) == 12
        assert (await profile(client, "anonymous:d11"))["linked"] != []
        assert len(await exported(client, "u")) == 24
        refused = await client.call("PUT", "/v1/profiles/u/consent", {"purposes": {"personalization": False}})
        assert refused.status_code == 200
        for number in range(12):
            assert (await client.decide(anonymousId=f"d{number}"))["servedBy"] != "personal"
            await send(client, view(100 + number, anonymousId=f"d{number}"))
        assert len(await exported(client, "u")) == 24
        receipt = (await client.call("DELETE", "/v1/profiles/u")).json()["receipt"]
        places = {place["where"]: place for place in receipt["places"]}
        assert places["keys"]["count"] == 13
        assert not any("not reached" in place["how"] for place in receipt["places"])
        for one in ("u", *(f"anonymous:d{number}" for number in range(12))):
            assert (await client.get(f"/v1/profiles/{one}")).status_code == 404

    with_client(tmp_path, work)


def test_a_decision_reads_the_most_recently_active_of_many_devices(tmp_path: Path):
    async def work(client: Client) -> None:
        engine, clock = client.engine, client.engine.clock
        for number in range(12):
            await send(client, identify(number, f"d{number}", "u"), view(number, anonymousId=f"d{number}"))
            clock.advance(60_000)  # type: ignore[attr-defined]
        await send(client, view(50, anonymousId="d0"))
        names = {engine.subjects.find("default", f"anonymous:d{number}"): number for number in range(12)}
        user = engine.subjects.find("default", "u")
        cells = engine.cells_of("default", user_id="u", anonymous_id=None)
        assert len(cells) == LINKED_CELLS_MAX
        assert (cells[0], [names[cell] for cell in cells[1:]]) == (user, [0, 11, 10, 9, 8, 7, 6])
        assert engine.cells_of("default", user_id=None, anonymous_id="d3")[0] == engine.subjects.find(
            "default", "anonymous:d3"
        )

    with_client(tmp_path, work)


def shared_story() -> list[dict[str, Any]]:
    return [
        identify(1, "k", "anna"),
        {"type": "track", "messageId": "o", "anonymousId": "k", "userId": "anna", **ORDER},
        view(2, anonymousId="k"),
        identify(3, "k", "bert"),
        view(4, anonymousId="k", userId="bert"),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5)))[::9], ids=str)
def test_on_a_shared_device_each_has_what_is_theirs_in_any_order_of_arrival(order: tuple[int, ...], tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        story = shared_story()
        for place in order:
            await send(client, story[place])
        found = {who: (await profile(client, who)) for who in ("anna", "bert", "anonymous:k")}
        assert {who: (one["features"]["orders"], one["features"]["views"], one["linked"])
                for who, one in found.items()} == {
            "anna": (1.0, 0.0, []), "bert": (0.0, 1.0, []), "anonymous:k": (0.0, 1.0, [])}  # fmt: skip

    with_client(tmp_path, work)


def test_erasing_one_of_two_on_a_shared_device_takes_what_is_theirs_and_nothing_brings_it_back(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        await send(client, *shared_story())
        assert (await client.call("DELETE", "/v1/profiles/anna")).status_code == 200
        assert (await client.get("/v1/profiles/anna")).status_code == 404
        bert = await profile(client, "bert")
        assert (bert["features"]["orders"], bert["features"]["views"], bert["linked"]) == (0.0, 1.0, [])
        client.engine.clock.advance(1)  # type: ignore[attr-defined]
        await send(client, *shared_story()[:2], identify(9, "k", "anna"))
        assert (await profile(client, "anna"))["features"]["orders"] == 0.0
        assert "anna" not in json.dumps(await exported(client, "bert"))

    with_client(tmp_path, work)


def test_erasing_a_shared_device_says_that_its_users_were_not_reached(tmp_path: Path):
    async def work(client: Client) -> None:
        await send(client, *shared_story())
        receipt = (await client.call("DELETE", "/v1/profiles/anonymous:k")).json()["receipt"]
        (left,) = (place for place in receipt["places"] if place["how"].startswith("not reached"))
        assert (left["where"], left["count"]) == ("users of the device", 2)
        assert (await profile(client, "anna"))["known"]

    with_client(tmp_path, work)


def test_nobodys_grant_on_a_shared_device_overrides_a_users_refusal(tmp_path: Path):
    async def work(client: Client) -> None:
        await send(client, identify(1, "k", "anna"), identify(2, "k", "bert"))
        await client.call("PUT", "/v1/profiles/bert/consent", {"purposes": {"personalization": False}})
        grant = {**view(3, anonymousId="k", userId="anna"), "context": {"consent": {"personalization": True}}}
        await send(client, grant, view(4, anonymousId="k", userId="bert"))
        assert (await client.get("/v1/profiles/bert")).json()["features"]["views"] == 0.0
        assert (await profile(client, "anna"))["features"]["views"] == 1.0

    with_client(tmp_path, work)


def test_one_live_session_across_devices_and_the_server(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2", "sku-3")
        await send(client, view(1, "sku-1", anonymousId="d1"), view(2, "sku-2", anonymousId="d2", userId="u"))
        await send(client, identify(3, "d1", "u"), view(4, "sku-3", userId="u"))
        for who in ("u", "anonymous:d1", "anonymous:d2"):
            one = await profile(client, who)
            assert one["inSession"]
            assert {entry["name"] for entry in one["features"]["session_items"]} == {"sku-1", "sku-2", "sku-3"}
            (category,) = one["features"]["session_categories"]
            assert category["score"] == pytest.approx(3.0)

    with_client(tmp_path, work)


def test_an_event_with_both_ids_and_never_an_identify_is_in_the_users_profile_and_export(tmp_path: Path):
    async def work(client: Client) -> None:
        await send(client, view(1, anonymousId="d", userId="u"))
        assert (await profile(client, "u"))["features"]["views"] == 1.0
        for who in ("u", "anonymous:d"):
            (event,) = await exported(client, who)
            assert (event["event"]["messageId"], event["event"]["anonymousId"]) == ("m1", "d")

    with_client(tmp_path, work)


def test_one_order_told_by_device_and_server_counts_once(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        told = {"type": "track", **ORDER, "userId": "u"}
        await send(client, {**told, "messageId": "page", "anonymousId": "d"}, {**told, "messageId": "server"})
        assert (await profile(client, "u"))["features"]["orders"] == 1.0
        state = client.engine.partition.state
        row = state.find_item(state.references.item("default", "sku-1"))
        assert row >= 0
        buys = state.schema.layout.named("buys").offset
        assert rows_of(state.tables.memory, ITEMS)[row, buys] == 1

    with_client(tmp_path, work)


def test_an_alias_of_two_users_reads_both_and_takes_no_place_for_the_id_nobody_used(tmp_path: Path):
    async def work(client: Client) -> None:
        alias = {"type": "alias", "messageId": "a", "previousId": "old", "userId": "new"}
        await send(client, view(1, userId="old"), view(2, userId="new"), alias)
        for who in ("old", "new"):
            assert (await profile(client, who))["features"]["views"] == 2.0
        cells = client.engine.cells_of("default", user_id="new", anonymous_id=None)
        assert client.engine.subjects.find("default", "old") in cells
        gone = await client.call("DELETE", "/v1/profiles/new/links/old")
        assert gone.status_code == 200
        assert (await profile(client, "old"))["features"]["views"] == 1.0

    with_client(tmp_path, work)


def test_a_link_beyond_the_bound_is_refused_with_a_code_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("instanter.identity.links.LINKS_MAX", 5)

    async def work(client: Client) -> None:
        events = [identify(number, f"d{number}", "u") for number in range(7)]
        told = await send(client, *events, view(9, anonymousId="d6"))
        (warning,) = (one for one in told["warnings"] if one["code"] == "links_full")
        assert (warning["count"], warning["messageId"]) == (2, "i5")
        assert client.engine.meter.counts["events_notes.links_full"] == 2
        assert len((await profile(client, "u"))["linked"]) == 5
        assert (await profile(client, "anonymous:d6"))["linked"] == []
        assert len(await exported(client, "u")) == 7, "the events count"
        receipt = (await client.call("DELETE", "/v1/profiles/u")).json()["receipt"]
        left = [place for place in receipt["places"] if place["how"].startswith("not reached")]
        assert [(place["where"], place["count"]) for place in left] == [("devices beyond the bound", 2)]

    with_client(tmp_path, work)


@pytest.mark.parametrize("kind", ["identify", "alias", "track"])
@pytest.mark.parametrize("path", ["", "/v1/batch", "/v1/imports", "/v1/imports/" + "0" * 32, "/v1/quarantine/repair"])
def test_the_bound_on_links_holds_on_every_way_in(
    kind: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("instanter.identity.links.LINKS_MAX", 5)

    def linking(number: int) -> dict[str, Any]:
        if kind == "alias":
            return {"type": "alias", "messageId": f"a{number}", "previousId": f"old{number}", "userId": "u"}
        if kind == "track":
            return view(number, anonymousId=f"d{number}", userId="u")
        return identify(number, f"d{number}", "u")

    async def work(client: Client) -> None:
        events = [linking(number) for number in range(7)]
        told = []
        if path == "/v1/quarantine/repair":
            refused = [{**one, "timestamp": "some day"} for one in events]
            reply = (await client.post("/v1/batch", {"batch": refused})).json()
            assert len(reply["rejected"]) == 7
            rewrite = [{"do": "remove", "path": "timestamp"}]
            reply = (await client.post(path, {"rewrite": rewrite})).json()
            assert (reply["passed"], reply["refused"]) == (7, {})
        elif path:
            lines = {"lines": list(range(1, 8))} if "imports" in path else {}
            told = (await client.post(path, {"batch": events, **lines})).json()["warnings"]
        else:
            for one in events:
                told += (await client.post(f"/v1/{kind}", one)).json().get("warnings", [])
        beyond = 9 if kind == "alias" else 2  # An alias is two links: the former id may be a user's or a device's.
        assert client.engine.meter.counts["events_notes.links_full"] == beyond
        if path != "/v1/quarantine/repair":
            assert sum(one["count"] for one in told if one["code"] == "links_full") == beyond
        assert len(client.engine.partition.links) == 5

    with_client(tmp_path, work)


def test_a_claim_is_read_by_its_device_and_a_secret_key_makes_it_the_users(tmp_path: Path):
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        await send(client, view(1, anonymousId="d"), view(2, anonymousId="d", userId="ada"), headers=public.headers)
        device = await profile(client, "anonymous:d", headers=admin.headers)
        assert (device["features"]["views"], device["linked"]) == (2.0, [])
        assert (await client.get("/v1/profiles/ada", headers=admin.headers)).status_code == 404
        await send(client, identify(3, "d", "ada"), headers=admin.headers)
        ada = await profile(client, "ada", headers=admin.headers)
        assert (ada["features"]["views"], ada["linked"]) == (2.0, ["anonymous:d"])
        await send(client, identify(4, "d", "bert"), headers=admin.headers)
        assert (await profile(client, "ada", headers=admin.headers))["features"]["views"] == 1.0
        assert (await profile(client, "anonymous:d", headers=admin.headers))["features"]["views"] == 1.0
        assert (await profile(client, "bert", headers=admin.headers))["features"]["views"] == 0.0

    with_keys(tmp_path, work)


def test_a_claim_never_shares_a_device_and_many_of_them_keep_no_names(tmp_path: Path):
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        await send(client, identify(0, "d", "ada"), headers=admin.headers)
        events = [view(number, anonymousId="d", userId=f"u{number}") for number in range(CLAIMS_OF_DEVICE_MAX)]
        for one in events:
            await send(client, one, headers=public.headers)
        told = await send(client, view(99, anonymousId="d", userId="one-too-many"), headers=public.headers)
        assert "links_full" in [one["code"] for one in told["warnings"]]
        assert (await profile(client, "ada", headers=admin.headers))["linked"] == ["anonymous:d"]
        text = (await client.get("/v1/profiles/anonymous:d/export", headers=admin.headers)).text
        assert "one-too-many" not in text

    with_keys(tmp_path, work)


def test_the_bodies_of_devices_that_named_a_user_are_in_the_users_export_and_go_with_the_user(tmp_path: Path):
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        await send(client, view(1, anonymousId="d"), view(2, anonymousId="d", userId="ada"), headers=public.headers)
        await send(client, view(3, userId="ada"), headers=admin.headers)
        events = await exported(client, "ada", headers=admin.headers)
        assert [one["event"]["messageId"] for one in events] == ["m2", "m3"]
        assert (await client.call("DELETE", "/v1/profiles/ada", headers=admin.headers)).status_code == 200
        device = await exported(client, "anonymous:d", headers=admin.headers)
        assert [one["event"]["messageId"] for one in device] == ["m1"]
        assert (await profile(client, "anonymous:d", headers=admin.headers))["features"]["views"] == 1.0

    with_keys(tmp_path, work)


def test_a_token_of_the_user_links_what_was_claimed_before(tmp_path: Path):
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        await send(client, view(1, anonymousId="d", userId="ada"), headers=public.headers)
        signed = await token(client, "ada")
        await send(client, identify(2, "d", "ada"), headers={**public.headers, "X-User-Token": signed})
        assert (await profile(client, "ada", headers=admin.headers))["features"]["views"] == 1.0

    with_keys(tmp_path, work)


@pytest.mark.parametrize("placeholder", ["undefined", "null", "NULL", "None", "nan", "0", "guest", "[object Object]"])
def test_what_programs_write_for_no_user_makes_strangers_nobody(tmp_path: Path, placeholder: str):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2")
        for number, device in enumerate(("k1", "k2")):
            reply = await send(client, view(number, f"sku-{number + 1}", anonymousId=device, userId=placeholder))
            assert [one["code"] for one in reply["warnings"]] == ["placeholder"]
            reply = await send(client, identify(number, device, placeholder))
            assert [one["code"] for one in reply["warnings"]] == ["placeholder"]
        assert (await client.get(f"/v1/profiles/{placeholder}")).status_code == 404
        for device in ("k1", "k2"):
            assert (await profile(client, f"anonymous:{device}")).get("linked", []) == []
            assert len(await exported(client, f"anonymous:{device}")) == 2
        body = {"anonymousId": "new", "userId": placeholder, "placements": [{"id": "home.recommended"}]}
        asked = (await client.post("/v1/decide", body)).json()
        assert [one["code"] for one in asked["warnings"]] == ["placeholder"]
        assert asked["placements"]["home.recommended"]["servedBy"] != "personal"
        alone = await client.post("/v1/track", view(9, userId=placeholder))
        assert alone.status_code == 400
        assert "userId is a text that programs write where there is no id" in alone.text
        alias = await client.post("/v1/alias", {"messageId": "a", "userId": "anna", "previousId": placeholder})
        assert alias.status_code == 400

    with_client(tmp_path, work)


def test_a_device_called_as_programs_write_none_is_none(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        for number in range(2):
            await send(client, view(number, anonymousId="undefined", userId=f"u{number}"))
        assert (await client.get("/v1/profiles/anonymous:undefined")).status_code == 404
        assert (await profile(client, "u0")).get("linked", []) == []
        message = view(5, anonymousId="k1") | {"messageId": "undefined"}
        assert (await send(client, message, message | {"event": "Product Added"}))["accepted"] == 2
        assert (await profile(client, "anonymous:k1"))["features"]["cart_items"], "the second is no repetition"

    with_client(tmp_path, work)


@pytest.mark.parametrize("how", ["batch", "alias", "imports"])
def test_an_alias_from_before_an_erasure_brings_nobody_back(tmp_path: Path, how: str):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        clock = client.engine.clock
        assert isinstance(clock, ManualClock)
        await send(client, view(1, userId="v"), identify(2, "dv", "v"), view(3, userId="o"))
        before = iso(clock.now_ms())
        clock.advance(60_000)
        assert (await client.call("DELETE", "/v1/profiles/v")).status_code == 200
        for number, previous_id in enumerate(("v", "dv")):
            told = {"type": "alias", "messageId": f"al{number}", "userId": "o", "previousId": previous_id,
                    "timestamp": before}  # fmt: skip
            path, body = f"/v1/{how}", told if how == "alias" else {"batch": [told]}
            reply = await client.post(path, body)
            assert reply.status_code == 200, reply.text
        assert (await client.get("/v1/profiles/v")).status_code == 404
        assert (await client.get("/v1/profiles/anonymous:dv")).status_code == 404
        assert (await profile(client, "o")).get("linked", []) == []
        clock.advance(60_000)
        await send(client, {"type": "alias", "messageId": "al9", "userId": "o", "previousId": "v"})
        assert len((await profile(client, "o"))["linked"]) > 0, "who comes later is somebody new"

    with_client(tmp_path, work)
