"""What there is to see: the first page, people and decisions, page by page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instanter.api.tenancy import Terms
from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import READ_BACK_BYTES_MAX, TIMELINE_PIECES_MAX

from .client import Client, track, with_client

TERMS = Terms(key_requests_per_s=1_000_000)


async def pages(client: Client, path: str, entries: str, *, limit: int) -> list[Any]:
    """All entries of a listing, page after page."""
    found: list[Any] = []
    after = ""
    for _ in range(200):
        page = (await client.get(f"{path}?limit={limit}{after}")).json()
        assert len(page[entries]) <= limit
        found += page[entries]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"
    raise AssertionError("the listing does not end")


def test_the_first_page_says_what_this_is_to_programs_and_to_people(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        told = (await client.get("/")).json()
        assert (told["name"], told["dev"]) == ("Instanter", True)
        assert told["send"]["events"] == "POST /v1/batch"
        page = await client.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
        assert page.headers["content-type"].startswith("text/html")
        assert "--dev" in page.text
        assert 'href="/openapi.json"' in page.text
        assert "src=" not in page.text
        for path in told["look"].values():
            assert (await client.http.get(path)).status_code == 200, path

    with_client(tmp_path, work)


def test_the_first_page_needs_no_key_and_says_how_to_get_one(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        told = (await client.get("/")).json()
        assert told["dev"] is False
        assert "instanter keys create" in told["access"]
        assert (await client.get("/v1/profiles")).status_code == 401
        reader = await client.key("write", "decide")
        assert (await client.get("/v1/profiles", headers=reader.headers)).status_code == 403
        assert (await client.get("/v1/decisions", headers=reader.headers)).status_code == 403

    with_client(tmp_path, work, terms=TERMS)


def test_people_are_listed_once_each_whoever_was_there_last_first(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(client: Client) -> None:
        for number in range(60):
            clock.advance(1_000)
            user = {"anonymousId": None, "userId": f"u{number % 5}"}
            await client.post("/v1/track", track(number, **({"anonymousId": f"a{number % 7}"} if number % 2 else user)))
        whole = await pages(client, "/v1/profiles", "profiles", limit=200)
        told = [one["id"] for one in whole]
        assert sorted(told) == sorted([*(f"anonymous:a{n}" for n in range(7)), *(f"u{n}" for n in range(5))])
        assert told[:3] == ["anonymous:a3", "u3", "anonymous:a1"]
        assert await pages(client, "/v1/profiles", "profiles", limit=1) == whole
        assert await pages(client, "/v1/profiles", "profiles", limit=5) == whole
        for one in told:
            assert (await client.get(f"/v1/profiles/{one}")).status_code == 200

    with_client(tmp_path, work, clock=clock)


def test_linked_ids_stand_beside_a_person_and_the_erased_are_not_listed(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(client: Client) -> None:
        await client.post("/v1/track", track(1, anonymousId="gone"))
        clock.advance(1_000)
        await client.post("/v1/identify", {"anonymousId": "a1", "userId": "ada", "messageId": "i"})
        await client.http.delete("/v1/profiles/anonymous:gone")
        (one,) = await pages(client, "/v1/profiles", "profiles", limit=10)
        assert {one["id"], *one["linked"]} == {"anonymous:a1", "ada"}
        assert one["lastEvent"] == "Identified"

    with_client(tmp_path, work, clock=clock)


def test_decisions_are_listed_the_newest_first_and_each_leads_to_its_receipt(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2")
        made = [(await client.decide())["whole"]["decisionId"] for _ in range(9)]
        whole = await pages(client, "/v1/decisions", "decisions", limit=200)
        assert [one["decisionId"] for one in whole] == made[::-1]
        assert await pages(client, "/v1/decisions", "decisions", limit=2) == whole
        assert whole[0]["placements"] == [{"id": "home.recommended", "servedBy": "default", "items": 2}]
        assert (await client.get(f"/v1/decisions/{whole[0]['decisionId']}")).status_code == 200

    with_client(tmp_path, work)


def test_a_profile_names_what_no_catalogue_holds(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/track", track(1, properties={"product_id": "not-in-the-feed"}))
        await client.post("/v1/track", track(2, properties={"products": [{"product_id": 4711}]}))
        profile = (await client.get("/v1/profiles/anonymous:a1")).json()
        shown = profile["features"]["session_items"]
        assert sorted(one["name"] for one in shown) == ["4711", "not-in-the-feed"]
        assert all("ref" not in one for one in shown)

    with_client(tmp_path, work)


def test_each_tenant_lists_its_own(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        ours, theirs = await client.key("admin", "write"), await client.key("admin", "write", tenant="two")
        await client.post("/v1/track", track(1, anonymousId="ours"), headers=ours.headers)
        await client.post("/v1/track", track(1, anonymousId="theirs"), headers=theirs.headers)
        listed = (await client.get("/v1/profiles", headers=theirs.headers)).json()
        assert [one["id"] for one in listed["profiles"]] == ["anonymous:theirs"]
        assert (await client.get("/v1/decisions", headers=theirs.headers)).json() == {"decisions": [], "next": None}

    with_client(tmp_path, work, terms=TERMS)


def test_a_page_that_cannot_be_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        for query, told in (
            ("limit=0", "limit is a whole number from 1 to 200"),
            ("limit=201", "limit is a whole number from 1 to 200"),
            ("limit=many", "limit is a whole number from 1 to 200"),
            ("after=yesterday", "after is what the page before named as next"),
            ("page=2", '"page" is not a parameter here: there are after, limit'),
        ):
            for path in ("/v1/profiles", "/v1/decisions"):
                reply = await client.get(f"{path}?{query}")
                assert (reply.status_code, reply.json()["error"]["message"]) == (400, told)
        assert (await client.get("/v1/profiles?after=999999999")).json()["profiles"] == []
        assert (await client.get("/v1/profiles?after=5")).json()["next"] is None

    with_client(tmp_path, work)


def test_a_timeline_has_what_an_export_has_the_newest_first(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2")
        for number in range(25):
            clock.advance(1_000)
            await client.post("/v1/track", track(number, anonymousId=f"a{number % 2}"))
        await client.decide(anonymousId="a1")
        await client.call("PUT", "/v1/profiles/anonymous:a1/consent", {"purposes": {"ads": False}})
        await client.post("/v1/identify", {"messageId": "m", "anonymousId": "a1", "userId": "u1"})
        lines = (await client.get("/v1/profiles/anonymous:a1/export")).text.splitlines()
        exported = [one for one in map(json.loads, lines) if one["kind"] != "profile"]
        assert {one["kind"] for one in exported} == {"event", "decision", "consent", "link"}
        for limit in (1, 7, 200):
            assert await pages(client, "/v1/profiles/anonymous:a1/timeline", "entries", limit=limit) == exported[::-1]
        assert (await client.get("/v1/profiles/u1/timeline")).json()["leftOut"] == 0
        assert (await client.call("DELETE", "/v1/profiles/u1")).status_code == 200
        gone = await client.get("/v1/profiles/anonymous:a1/timeline")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "unknown_profile")

    with_client(tmp_path, work, clock=clock)


def test_a_timeline_begins_at_somebodys_newest_event_behind_whatever_crowd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TIMELINE_PIECES_MAX * READ_BACK_BYTES_MAX == 16 * 2**20
    monkeypatch.setattr("instanter.engine.listing.TIMELINE_PIECES_MAX", 2)
    clock = ManualClock(1_700_000_000_000)

    async def crowd(client: Client, first: int) -> None:
        """Five MiB of what others do."""
        clock.advance(60_000)
        context = {"page": {"title": "x" * 20_000}}
        for batch in range(first, first + 13):
            events = [
                {"type": "track", **track(1_000 * batch + number, anonymousId=f"other-{number}"), "context": context}
                for number in range(20)
            ]
            assert (await client.post("/v1/batch", {"batch": events})).status_code == 200

    async def work(client: Client) -> None:
        path = "/v1/profiles/anonymous:a1/timeline"
        await client.post("/v1/track", track(1))
        await crowd(client, 1)
        decided = (await client.decide(anonymousId="a1"))["whole"]["decisionId"]
        await crowd(client, 20)
        newest = (await client.get(path)).json()
        assert [one["kind"] for one in newest["entries"]] == ["event"]
        assert newest["next"] is None
        assert 4 * 2**20 > newest["lookedBytes"] > 2 * 2**20
        between = newest["passedOver"]
        assert int(between["downTo"]) < int(between["after"])
        found, after, looked = list[Any](), between["after"], 0
        while not found:
            page = (await client.get(f"{path}?after={after}")).json()
            assert page["passedOver"] is None
            found, after, looked = page["entries"], page["next"], looked + page["lookedBytes"]
            assert page["lookedBytes"] <= 2 * 1.5 * 2**20
        assert [(one["kind"], one.get("id")) for one in found][:1] == [("decision", decided)]
        assert looked > 2**20
        there = (await client.get("/v1/profiles/anonymous:other-3/timeline?limit=3")).json()
        assert (len(there["entries"]), there["passedOver"]) == (3, None)

    with_client(tmp_path, work, clock=clock)


def test_a_profile_names_the_features_that_tell_of_the_session(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/track", track(1))
        profile = (await client.get("/v1/profiles/anonymous:a1")).json()
        session = profile["sessionFeatures"]
        assert session
        assert set(session) < set(profile["features"])
        assert "session_categories" in session
        assert set(profile["described"]) == set(profile["features"])
        assert profile["described"]["last_seen"] == {"title": "Last seen, how long ago", "unit": "s"}
        assert profile["described"]["orders"] == {"title": "Orders", "unit": "orders"}

    with_client(tmp_path, work)
