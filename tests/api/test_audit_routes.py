"""`GET /v1/audit`: filters, pages, lines; what is noted of reads; and that a tenant sees its own acts alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from instanter.api.tenancy import Terms

from .client import Client, track, with_client

LINES = {"Accept": "application/x-ndjson"}


def acts(answer: Any) -> list[tuple[str, str]]:
    return [(one["act"], one["tenant"]) for one in answer.json()["acts"]]


def test_reads_and_exports_of_a_profile_are_acts(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        sent = {**track(1), "anonymousId": "somebody"}  # No id in an act, all of which are hexadecimal, can hold that.
        await client.call("POST", "/v1/track", sent)
        person = f"anonymous:{sent['anonymousId']}"
        for path, act in (
            (f"/v1/profiles/{person}", "profile.read"), (f"/v1/profiles/{person}/export", "profile.exported"),
            (f"/v1/profiles/{person}/timeline", "profile.timeline"), ("/v1/profiles", "profiles.listed"),
        ):  # fmt: skip
            assert (await client.call("GET", path)).status_code == 200
            [noted] = (await client.call("GET", f"/v1/audit?act={act}")).json()["acts"]
            assert (noted["act"], noted["tenant"]) == (act, "default")
            assert noted["actor"]
            assert person.partition(":")[2] not in json.dumps(noted), "it names nobody"
        seen = {one["subject"] for one in (await client.call("GET", "/v1/audit?act=profile")).json()["acts"]}
        assert len(seen) == 1, "the same person has the same subject"
        assert (await client.call("GET", "/v1/profiles/nobody")).status_code == 404
        assert (await client.call("GET", "/v1/profiles/nobody/timeline")).status_code == 404
        assert len((await client.call("GET", "/v1/audit?act=profile")).json()["acts"]) == 3, "nobody was seen"

    with_client(tmp_path, work)


def test_taking_a_link_back_is_an_act_and_names_nobody(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/identify", {"messageId": "m", "anonymousId": "a1", "userId": "u1"})
        link = "/v1/profiles/u1/links/anonymous:a1"
        for person in ("u1", "anonymous:a1"):
            await client.get(f"/v1/profiles/{person}")
        device, user = (one["subject"] for one in (await client.get("/v1/audit?act=profile.read")).json()["acts"])
        assert (await client.call("DELETE", "/v1/profiles/u1/links/anonymous:a2")).status_code == 404
        assert (await client.get("/v1/audit?act=profile.unlinked")).json()["acts"] == [], "nothing was taken back"
        assert (await client.call("DELETE", link)).status_code == 200
        [noted] = (await client.get("/v1/audit?act=profile.unlinked")).json()["acts"]
        assert (noted["actor"], noted["subject"], noted["details"]) == ("dev", user, {"linked": device})
        assert (await client.call("DELETE", link)).status_code == 404

    with_client(tmp_path, work)


def test_reading_what_somebody_wrote_in_the_quarantine_is_an_act(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        async def noted() -> list[tuple[str, str]]:
            page = (await client.get("/v1/audit?act=quarantine")).json()
            return [(one["act"], one["subject"]) for one in page["acts"]]

        await client.post("/v1/track", {"messageId": "bad"})
        [group] = (await client.get("/v1/quarantine")).json()["groups"]
        assert await noted() == [], "groups are counts"
        assert (await client.get("/v1/quarantine/7")).status_code == 404
        assert (await client.post("/v1/quarantine/repair", {"code": "none", "dryRun": True})).status_code == 200
        assert await noted() == [], "nothing was seen"
        assert (await client.get(f"/v1/quarantine/{group['example']}")).status_code == 200
        assert await noted() == [("quarantine.read", group["example"])]
        assert (await client.post("/v1/quarantine/repair", {"dryRun": True})).status_code == 200
        assert await noted() == [("quarantine.tried", ""), ("quarantine.read", group["example"])]

    with_client(tmp_path, work)


@pytest.mark.parametrize("gone", ["/v1/quarantine/{entry}", "/v1/profiles/u1/links/anonymous:a1"])
def test_what_cannot_be_noted_is_neither_shown_nor_done(gone: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/identify", {"messageId": "m", "anonymousId": "a1", "userId": "u1"})
        await client.post("/v1/track", {"messageId": "bad"})
        [group] = (await client.get("/v1/quarantine")).json()["groups"]
        client.engine.audit.abandon()
        refused = await client.call("DELETE" if "links" in gone else "GET", gone.replace("{entry}", group["example"]))
        assert refused.status_code == 503
        assert len(client.engine.partition.links) == 1

    with_client(tmp_path, work, stop=False)


def test_acts_come_in_pages_newest_first_and_in_lines_oldest_first(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        ids = [
            (await client.call("POST", "/v1/keys", {"name": f"k{number}", "scopes": ["write"]})).json()["id"]
            for number in range(7)
        ]
        found: list[str] = []
        after = ""
        for _ in range(20):
            page = (await client.call("GET", f"/v1/audit?act=key&limit=3{after}")).json()
            assert len(page["acts"]) <= 3
            found += [one["subject"] for one in page["acts"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert found[: len(ids)] == ids[::-1]
        assert len(found) == len(set(found)), "none twice"
        lines = await client.call("GET", "/v1/audit?act=key.issued", headers=LINES)
        assert lines.headers["content-type"].startswith(LINES["Accept"])
        told = [json.loads(line) for line in lines.text.splitlines()]
        assert [one["subject"] for one in told][-len(ids) :] == ids
        assert [one["number"] for one in told] == sorted(one["number"] for one in told)
        [one] = (await client.call("GET", f"/v1/audit?subject={ids[2]}&actor={told[-1]['actor']}")).json()["acts"]
        assert (one["details"]["name"], "chain" in one) == ("k2", False)
        at = quote(one["at"])
        assert (await client.call("GET", f"/v1/audit?until={at}&since={at}")).json()["acts"] == []
        assert ids[2] in {
            each["subject"] for each in (await client.call("GET", f"/v1/audit?since={at}")).json()["acts"]
        }

    with_client(tmp_path, work)


@pytest.mark.parametrize("query", [
    "since=yesterday", "until=7", "tenant=No%20Name", "limit=0", "after=x", "who=me", f"actor={'a' * 2000}",
])
def test_a_filter_that_cannot_be_is_refused(query: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        assert (await client.call("GET", f"/v1/audit?{query}")).status_code == 400
        assert (await client.call("GET", f"/v1/audit?{query}", headers=LINES)).status_code == 400

    with_client(tmp_path, work)


def test_a_tenant_sees_its_own_acts_and_the_operator_all(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        operator, other = await client.key("admin"), await client.key("admin", tenant="two")
        third = await client.key("admin", "write", tenant="three")
        made = await client.post("/v1/keys", {"name": "page", "scopes": ["write"]}, headers=other.headers)
        own = acts(await client.get("/v1/audit?limit=200", headers=other.headers))
        assert {tenant for _, tenant in own} == {"two"}
        assert acts(await client.get("/v1/audit?tenant=two", headers=other.headers)) == own
        assert {tenant for _, tenant in acts(await client.get("/v1/audit", headers=third.headers))} == {"three"}
        lines = (await client.get("/v1/audit", headers={**other.headers, **LINES})).text.splitlines()
        assert {json.loads(line)["tenant"] for line in lines} == {"two"}
        for tenant in ("three", "default", ""):
            answer = await client.get(f"/v1/audit?tenant={tenant}", headers=other.headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        seen = acts(await client.get("/v1/audit?limit=200", headers=operator.headers))
        assert {tenant for _, tenant in seen} >= {"two", "three", "default"}
        assert acts(await client.get("/v1/audit?tenant=two", headers=operator.headers)) == own
        page = await client.get(f"/v1/audit?subject={made.json()['id']}", headers=third.headers)
        assert page.json()["acts"] == []
        privacy = await client.key(role="privacy")
        assert {tenant for _, tenant in acts(await client.get("/v1/audit", headers=privacy.headers))} == {"default"}
        assert (await client.get("/v1/audit?tenant=two", headers=privacy.headers)).status_code == 403
        for key in (await client.key("write", "decide", "catalog"), await client.key("write", public=True)):
            assert (await client.get("/v1/audit", headers=key.headers)).status_code == 403
        assert (await client.get("/v1/audit")).status_code == 401

    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000))
