"""Access keys at the door: where they may stand, what they are good for, and what is told to who has none."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from instanter.api import auth
from instanter.api.app import RESOURCES, make_app
from instanter.api.auth import Access
from instanter.api.tenancy import Terms
from instanter.engine.feeds import CatalogueOptions
from instanter.engine.loop import Engine
from instanter.events.batch import write_key_of
from instanter.events.claims import CORRECTIONS
from instanter.events.envelope import KeyRevoked
from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import (
    ACCESS_KEYS_MAX,
    ACCESS_KEYS_PER_TENANT_MAX,
    KEYS_LISTED_MAX,
    TENANT_PLACES_DIVISOR,
)
from instanter.privacy.access import Grant, issued
from instanter.privacy.roles import ROLES

from ..engine.harness import with_engine
from .client import Client, track, with_client

PLACES = 3 * TENANT_PLACES_DIVISOR
TERMS = Terms(key_requests_per_s=1_000_000)
DECIDE = {"anonymousId": "a1", "deadlineMs": 10_000, "placements": [{"id": "home.recommended"}]}


def basic(user: str, password: str = "") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def with_keys(root: Path, work: Any, **options: Any) -> Any:
    return with_client(root, work, terms=TERMS, **options)


def test_every_way_of_sending_a_key_is_taken(tmp_path: Path):
    async def work(client: Client) -> None:
        key = await client.key("write")
        packed = {"content-encoding": "gzip"}
        for number, (body, more) in enumerate((
            (track(1), {"headers": key.headers}),
            (track(2), {"headers": {"Authorization": f"bearer  {key.text} "}}),
            (track(3), {"headers": basic(key.text)}),
            (track(4), {"headers": basic(key.text, "ignored")}),
            ({**track(5), "writeKey": key.text}, {}),
            (gzip.compress(json.dumps({**track(6), "writeKey": key.text}).encode()), {"headers": packed}),
        ), start=1):
            assert (await client.post("/v1/track", body, **more)).status_code == 200, number
        batch = {"batch": [{"type": "track", **track(7)}], "writeKey": key.text}
        assert (await client.post("/v1/batch", batch)).json()["accepted"] == 1
        assert client.engine.partition.state.verdicts["applied"] == 7

    with_keys(tmp_path, work)


def test_a_broken_body_is_taken_apart_only_for_who_has_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """4 kB of gzip from anybody held up the loop for half a second."""
    taken_apart: list[bytes] = []

    def watched(body: bytes) -> str:
        taken_apart.append(body)
        return write_key_of(body)

    async def work(client: Client) -> None:
        key = await client.key("write")
        good = json.dumps({"type": "track", **track(1)})
        for said in ('"writeKey": "nobody"', '"writeKey": 7', '"writeKey"', ", ".join(
            f'"writeKey": "nobody-{number}"' for number in range(3_000)
        )):  # fmt: skip
            body = f'{{{said}, "batch": [{good}, {{"type": "track",, x]}}'.encode()
            assert (await client.post("/v1/batch", body)).status_code == 401, said[:40]
        assert taken_apart == []
        for before, behind in ((f'"writeKey":"{key.text}", ', ""), ("", f', "writeKey" : "{key.text}"')):
            body = f'{{{before}"batch": [{good}, {{"type": "track", "writeKey": "no",, x}}]{behind}}}'.encode()
            reply = await client.post("/v1/batch", body)
            assert (reply.status_code, reply.json()["accepted"]) == (200, 1), before
        assert len(taken_apart) == 2

    monkeypatch.setattr(auth, "write_key_of", watched)
    with_keys(tmp_path, work)


def test_without_a_key_that_counts_the_reply_is_always_the_same(tmp_path: Path):
    async def work(client: Client) -> None:
        gone = await client.key("write", "admin")
        await client.engine.credentials.revoke_key("default", gone.id, actor="test")
        good = await client.key("write", "admin")
        headers = (
            {}, gone.headers, {"Authorization": "Bearer"}, {"Authorization": ""},
            {"Authorization": "Bearer " + "x" * 9_000}, {"Authorization": b"Bearer \xff\xfe"},
            {"Authorization": f"Digest {good.text}"}, {"Authorization": good.text}, {"Authorization": "Basic !"},
            {"Authorization": "Basic /////w=="}, basic(""), basic(gone.text), basic("", good.text),
            {"Authorization": f"Bearer {good.text}x"}, {"Authorization": f"Bearer {good.id}"},
        )  # fmt: skip
        for path, body in (("/v1/track", track(1)), ("/v1/profiles/x", None), ("/metrics", None)):
            method = "POST" if body else "GET"
            replies = [await client.call(method, path, body, headers=one) for one in headers]
            assert {reply.status_code for reply in replies} == {401}
            assert {reply.headers["WWW-Authenticate"] for reply in replies} == {"Bearer"}
            assert len({reply.content for reply in replies}) == 1
        assert (await client.post("/v1/track", {**track(1), "writeKey": gone.text})).status_code == 401
        assert client.engine.partition.state.verdicts["applied"] == 0

    with_keys(tmp_path, work)


@pytest.mark.parametrize("body", [
    b"", b"[", b"null", b"7", b'{"writeKey": 7}', b'{"writeKey": null}', b'{"batch": [{"writeKey": "KEY"}]}',
    b'{"writeKey": "\xff"}', b'{"writeKey": ' + b"[" * 20_000, b'{"a": ' + b'{"writeKey":' * 2_000,
])
def test_a_body_that_holds_no_key_where_it_belongs_holds_none(body: bytes, tmp_path: Path):
    async def work(client: Client) -> None:
        key = await client.key("write")
        sent = body.replace(b"KEY", key.text.encode())
        assert (await client.post("/v1/batch", sent)).status_code == 401
        assert client.engine.meter.counts["events_rejected"] == 0, "a stranger fills no quarantine"

    with_keys(tmp_path, work)


def test_a_key_in_the_header_stands_over_one_in_the_body(tmp_path: Path):
    async def work(client: Client) -> None:
        key, other = await client.key("write"), await client.key("decide")
        sent = {**track(1), "writeKey": key.text}
        assert (await client.post("/v1/track", sent, headers=other.headers)).status_code == 403
        assert (await client.post("/v1/track", sent, headers={"Authorization": "Bearer no"})).status_code == 401
        decided = await client.post("/v1/decide", {**DECIDE, "writeKey": other.text})
        assert decided.status_code == 401, "only tracking bodies carry a key"

    with_keys(tmp_path, work)


@pytest.mark.parametrize("headers", [{"authorization": b"Bearer no"}, {}])
def test_who_is_refused_by_the_headers_is_refused_before_the_body_is_read(headers: dict[str, bytes], tmp_path: Path):
    async def work(engine: Engine) -> None:
        app = make_app(engine, metrics=bytes, access=Access(engine, ManualClock(), TERMS))
        sent: list[Any] = []

        async def receive() -> Any:
            pytest.fail("the body was asked for")

        async def send(message: Any) -> None:
            sent.append(message)

        path = "/v1/track" if headers else "/v1/decide"
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(name.encode(), value) for name, value in headers.items()], "http_version": "1.1",
            "scheme": "http", "server": ("127.0.0.1", 80), "client": None,
        }  # fmt: skip
        await app(scope, receive, send)
        assert sent[0]["status"] == 401

    with_engine(tmp_path, work)


def test_no_scope_implies_another_and_the_reply_names_the_one_that_is_missing(tmp_path: Path):
    async def work(client: Client) -> None:
        paths = {"write": ("POST", "/v1/track"), "decide": ("POST", "/v1/decide"), "catalog": ("POST", "/v1/items"),
                 "admin": ("GET", "/v1/keys")}
        for needed, (method, path) in paths.items():
            others = await client.key(*(scope for scope in paths if scope != needed))
            reply = await client.call(method, path, b"{}" if method == "POST" else None, headers=others.headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")
            assert needed in reply.json()["error"]["message"]

    with_keys(tmp_path, work)


def test_a_revoked_key_is_refused_from_the_next_request_on(tmp_path: Path):
    async def work(client: Client) -> None:
        admin, key = await client.key("admin"), await client.key("write")
        assert (await client.post("/v1/track", track(1), headers=key.headers)).status_code == 200
        assert (await client.call("DELETE", f"/v1/keys/{key.id}", headers=admin.headers)).status_code == 200
        assert (await client.post("/v1/track", track(2), headers=key.headers)).status_code == 401

    with_keys(tmp_path, work)


def test_what_belongs_to_the_whole_installation_is_for_the_operator(tmp_path: Path):
    async def work(client: Client) -> None:
        operator, tenant = await client.key("admin"), await client.key("admin", tenant="two")
        decider = await client.key("decide")
        for path in ("/metrics", "/v1/state"):
            assert (await client.get(path, headers=operator.headers)).status_code == 200
            assert (await client.get(path, headers=tenant.headers)).status_code == 403
            assert (await client.get(path, headers=decider.headers)).status_code == 403

    with_keys(tmp_path, work)


def test_with_dev_whatever_is_sent_as_a_key_is_ignored(tmp_path: Path):
    async def work(client: Client) -> None:
        key = await client.key("decide", tenant="two")
        for headers in ({}, key.headers, {"Authorization": "Bearer no"}, {"Authorization": b"\xff"}):
            assert (await client.get("/v1/state", headers=headers)).status_code == 200
        sent = {**track(1), "userId": "u1", "writeKey": key.text}
        assert (await client.post("/v1/track", sent, headers=key.headers)).status_code == 200
        assert (await client.get("/v1/profiles/u1")).json()["linked"] == ["anonymous:a1"]
        assert (await client.get("/v1/profiles/anonymous:a1")).status_code == 200
        await client.decide(timestamp=1_700_000_000_000, userId="u1")

    with_client(tmp_path, work)


# Public keys.

ASSERTING: dict[str, tuple[str, dict[str, Any]]] = {
    "a userId of no device": ("/v1/page", {"messageId": "m", "userId": 7}),
    "an alias": ("/v1/alias", {"messageId": "m", "userId": "u1", "previousId": "a1"}),
    **{name: ("/v1/track", {**track(1), "event": name}) for name in sorted(CORRECTIONS)},
    "a correction, otherwise spelt": ("/v1/track", {**track(1), "event": "order canceled"}),
}


@pytest.mark.parametrize("what", ASSERTING)
def test_a_public_key_says_nothing_that_no_device_can_know(what: str, tmp_path: Path):
    path, body = ASSERTING[what]

    async def work(client: Client) -> None:
        public, secret = await client.key("write", public=True), await client.key("write")
        refused = await client.post(path, body, headers=public.headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        in_batch = {"batch": [{"type": path.removeprefix("/v1/"), **body}, {"type": "track", **track(2)}]}
        told = (await client.post("/v1/batch", in_batch, headers=public.headers)).json()
        assert (told["accepted"], [one["code"] for one in told["rejected"]]) == (1, ["forbidden"])
        assert client.engine.meter.counts["events_rejected_forbidden"] == 2
        assert len(client.engine.partition.links) == 0
        assert (await client.post(path, body, headers=secret.headers)).status_code == 200

    with_keys(tmp_path, work)


def test_a_public_key_tells_what_a_visitor_without_a_name_does(tmp_path: Path):
    async def work(client: Client) -> None:
        key = await client.key("write", "decide", public=True)
        await client.engine.change_items([])
        for number, (path, body) in enumerate((
            ("/v1/track", {"event": "Checkout Started"}), ("/v1/track", {"event": "Product Added"}),
            ("/v1/page", {"name": "Home"}), ("/v1/identify", {"traits": {"plan": "gold"}}),
            ("/v1/track", {"event": "Product Viewed", "userId": " "}), ("/v1/identify", {"userId": "u1"}),
            ("/v1/track", {"event": "Order Completed", "userId": "u1"}),
        )):
            sent = {"messageId": f"m-{number}", "anonymousId": "a1", **body}
            assert (await client.post(path, sent, headers=key.headers)).status_code == 200, path

    with_keys(tmp_path, work)


@pytest.mark.parametrize(("public_fields", "seen"), [
    (frozenset({"title", "none"}), {"title": "Sku-1"}), (frozenset(), {}),
    (None, {"title": "Sku-1", "category": "chairs", "margin": 0.40713, "stock": 7}),
])  # fmt: skip
def test_a_public_key_sees_the_fields_that_are_public_and_a_secret_one_all(
    public_fields: frozenset[str] | None, seen: dict[str, Any], tmp_path: Path
):
    async def work(client: Client) -> None:
        public, secret = await client.key("decide", public=True), await client.key("decide", "catalog")
        item = {"id": "sku-1", "title": "Sku-1", "category": "chairs", "margin": 0.40713, "stock": 7}
        assert (await client.post("/v1/items", item, headers=secret.headers)).status_code == 200
        for key, fields in ((public, seen), (secret, {name: item[name] for name in item if name != "id"})):
            decided = (await client.post("/v1/decide", DECIDE, headers=key.headers)).json()
            shown = [one["fields"] for placed in decided["placements"].values() for one in placed["items"]]
            assert shown == [fields]
            asked = {"placement": "search", "candidates": ["sku-1"], "anonymousId": "a1", "deadlineMs": 10_000}
            ranked = await client.post("/v1/rank", asked, headers=key.headers)
            assert ranked.status_code == 200
            hidden = [name for name in ("title", "category", "margin", "stock") if name not in fields]
            assert not [name for name in hidden if f'"{name}"' in ranked.text]
        private = "0.40713" not in str(seen)
        for resource in RESOURCES:
            for method in resource.methods if resource.public else ():
                answer = await client.http.request(
                    method, resource.path.replace("{key}", "k"), json={**DECIDE, **asked}, headers=public.headers
                )
                assert not (private and "0.40713" in answer.text), resource.path
        for path in ("/v1/items", "/v1/items/sku-1"):
            assert (await client.get(path, headers=public.headers)).status_code == 403

    with_keys(tmp_path, work, catalogue=CatalogueOptions(public_fields=public_fields))


def test_a_public_key_decides_for_visitors_and_reads_nothing(tmp_path: Path):
    async def work(client: Client) -> None:
        public = await client.key("write", "decide", public=True)
        secret = await client.key("decide")
        refund = {"type": "track", "event": "Order Refunded", "anonymousId": "a1"}
        of_user = {**DECIDE, "anonymousId": None, "userId": "u1"}
        assert (await client.post("/v1/decide", of_user, headers=public.headers)).status_code == 403
        decided = await client.post("/v1/decide", DECIDE, headers=public.headers)
        assert decided.status_code == 200
        for more in ({"events": [refund]}, {"timestamp": 1_700_000_000_000}, {"explain": True}):
            refused = await client.post("/v1/decide", {**DECIDE, **more}, headers=public.headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden"), more
        ranked = {"placement": "search", "candidates": ["sku-1"], "userId": "u1", "deadlineMs": 10_000}
        assert (await client.post("/v1/rank", ranked, headers=public.headers)).status_code == 403
        ranked["anonymousId"] = "a1"
        assert (await client.post("/v1/rank", ranked, headers=public.headers)).status_code == 200
        receipt = f"/v1/decisions/{decided.json()['decisionId']}"
        assert (await client.get(receipt, headers=public.headers)).status_code == 403
        assert (await client.get(receipt, headers=secret.headers)).status_code == 200

    with_keys(tmp_path, work)


def test_events_beside_a_question_need_write_and_another_time_needs_admin(tmp_path: Path):
    async def work(client: Client) -> None:
        decide, both = await client.key("decide"), await client.key("decide", "write")
        admin = await client.key("decide", "admin")
        events = {**DECIDE, "events": [{"type": "track", **track(1)}]}
        past = {**DECIDE, "timestamp": 1_700_000_000_000}
        for body, key, status in (
            (events, decide, 403), (events, both, 200), (past, both, 403), (past, admin, 200), (past, decide, 403),
        ):  # fmt: skip
            assert (await client.post("/v1/decide", body, headers=key.headers)).status_code == status

    with_keys(tmp_path, work)


# The routes of keys.


def test_an_admin_makes_keys_of_its_own_tenant_and_their_text_is_shown_once(tmp_path: Path):
    async def work(client: Client) -> None:
        admin = await client.key("admin", tenant="two")
        asked = {"name": "page", "scopes": ["write", "decide"], "public": True, "requestsPerS": 50}
        made = (await client.post("/v1/keys", asked, headers=admin.headers)).json()
        assert (made["tenant"], made["public"], made["requestsPerS"], made["revokedAt"]) == ("two", True, 50, None)
        headers = {"Authorization": f"Bearer {made['key']}"}
        assert (await client.post("/v1/track", track(1), headers=headers)).status_code == 200
        listed = (await client.get("/v1/keys", headers=admin.headers)).json()["keys"]
        assert {one["id"] for one in listed} == {made["id"], admin.id}
        assert made["key"] not in json.dumps(listed)
        revoked = (await client.call("DELETE", f"/v1/keys/{made['id']}", headers=admin.headers)).json()
        assert revoked["revokedAt"] is not None
        again = await client.call("DELETE", f"/v1/keys/{made['id']}", headers=admin.headers)
        assert again.json() == revoked
        (left,) = [one for one in (await client.get("/v1/keys", headers=admin.headers)).json()["keys"]
                   if one["id"] == made["id"]]
        assert left == revoked

    with_keys(tmp_path, work)


def test_a_key_with_a_role_does_what_the_role_is_for_and_a_refusal_says_which_roles_may(tmp_path: Path):
    async def work(client: Client) -> None:
        admin = await client.key("admin")
        made = (await client.post("/v1/keys", {"name": "ada", "role": "merchandiser"}, headers=admin.headers)).json()
        assert (made["role"], made["scopes"]) == ("merchandiser", list(ROLES["merchandiser"]))
        (listed,) = [one for one in (await client.get("/v1/keys", headers=admin.headers)).json()["keys"]
                     if one["id"] == made["id"]]
        assert (listed["role"], listed["scopes"]) == (made["role"], made["scopes"])
        headers = {"Authorization": f"Bearer {made['key']}"}
        items = {"items": [{"id": "sku-1", "fields": {"title": "One"}}]}
        assert (await client.post("/v1/items", items, headers=headers)).status_code == 200
        for method, path, told in (
            ("GET", "/v1/profiles", "lacks the scope profiles:read; it comes with the scope admin, or with a role: "
                                    "privacy, admin"),
            ("GET", "/v1/state", "lacks the scope state:read; it comes with the scope admin, or with a role: operator"),
            ("POST", "/v1/keys", "lacks the scope admin; it comes with a role: admin"),
        ):  # fmt: skip
            refused = await client.call(method, path, {} if method == "POST" else None, headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
            assert told in refused.json()["error"]["message"]
        [noted] = (await client.get(f"/v1/audit?subject={made['id']}", headers=admin.headers)).json()["acts"]
        assert noted["details"] == {"name": "ada", "scopes": "", "public": False, "role": "merchandiser"}

    with_keys(tmp_path, work)


def test_a_key_with_a_role_is_the_same_after_a_crash_and_after_a_checkpoint(tmp_path: Path):
    made: list[dict[str, str]] = []

    async def before(client: Client) -> None:
        made.append((await client.key(role="viewer")).headers)
        await client.engine.checkpoint()
        made.append((await client.key(role="viewer")).headers)

    async def after(client: Client) -> None:
        for headers in made:
            assert (await client.get("/v1/items", headers=headers)).status_code == 200
            assert (await client.get("/v1/profiles", headers=headers)).status_code == 403

    with_keys(tmp_path, before, stop=False)
    with_keys(tmp_path, after)
    with_keys(tmp_path, after)


def test_the_keys_of_another_tenant_are_as_if_they_were_not(tmp_path: Path):
    async def work(client: Client) -> None:
        one, two = await client.key("admin", tenant="one"), await client.key("admin", tenant="two")
        listed = (await client.get("/v1/keys", headers=one.headers)).json()["keys"]
        assert [key["id"] for key in listed] == [one.id]
        theirs = await client.call("DELETE", f"/v1/keys/{two.id}", headers=one.headers)
        none = await client.call("DELETE", "/v1/keys/ffffffffffff", headers=one.headers)
        assert theirs.status_code == none.status_code == 404
        assert theirs.content == none.content
        assert (await client.get("/v1/keys", headers=two.headers)).status_code == 200

    with_keys(tmp_path, work)


@pytest.mark.parametrize("asked", [
    {}, {"name": "x"}, {"name": "", "scopes": ["write"]}, {"name": "x", "scopes": []},
    {"name": "x", "scopes": ["all"]}, {"name": "x", "scopes": ["write", "write"]},
    {"name": "x", "scopes": ["admin"], "public": True}, {"name": "x", "scopes": ["catalog"], "public": True},
    {"name": "x", "role": "viewer", "public": True}, {"name": "x", "role": "viewer", "scopes": ["write"]},
    {"name": "x", "role": "seer"}, {"name": "x", "role": ""}, {"name": "x", "role": ["viewer"]},
    {"name": "x", "scopes": ["write", "audit:read"], "public": True},
    {"name": "x", "scopes": ["write"], "requestsPerS": -1}, {"name": "x" * 300, "scopes": ["write"]},
])
def test_a_key_that_cannot_be_is_not_made(asked: dict[str, Any], tmp_path: Path):
    async def work(client: Client) -> None:
        admin = await client.key("admin")
        reply = await client.post("/v1/keys", asked, headers=admin.headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "schema")
        assert len(client.engine.partition.access_keys) == 1

    with_keys(tmp_path, work)


def test_keys_are_the_same_after_a_crash_and_after_a_checkpoint(tmp_path: Path):
    texts: list[str] = []

    async def before(client: Client) -> None:
        texts.append((await client.key("write")).text)
        await client.engine.checkpoint()
        kept, gone = await client.key("write"), await client.key("write")
        await client.engine.credentials.revoke_key("default", gone.id, actor="test")
        texts.extend([kept.text, gone.text])

    async def after(client: Client) -> None:
        statuses = [
            (await client.post("/v1/track", track(number), headers={"Authorization": f"Bearer {text}"})).status_code
            for number, text in enumerate(texts)
        ]
        assert statuses == [200, 200, 401]

    with_keys(tmp_path, before, stop=False)
    with_keys(tmp_path, after)
    with_keys(tmp_path, after)


def test_every_act_on_keys_is_noted_with_who_did_it(tmp_path: Path):
    async def work(client: Client) -> None:
        admin = await client.key("admin")
        noted = client.engine.audit.head.number
        made = (await client.post("/v1/keys", {"name": "x", "scopes": ["write"]}, headers=admin.headers)).json()
        await client.call("DELETE", f"/v1/keys/{made['id']}", headers=admin.headers)
        await client.call("DELETE", f"/v1/keys/{made['id']}", headers=admin.headers)
        assert client.engine.audit.head.number == noted + 2

    with_keys(tmp_path, work)


def test_a_listing_has_so_many_keys_those_that_count_and_of_the_others_the_newest(tmp_path: Path):
    async def work(client: Client) -> None:
        keys = client.engine.partition.access_keys
        admin = await client.key("admin")
        grant = Grant("x", ("write",))
        count, gone = ACCESS_KEYS_PER_TENANT_MAX - 1, KEYS_LISTED_MAX
        for number in range(gone):
            keys.issue(issued(grant, key_id=f"r{number}", text=f"r{number}", tenant="default", at_ms=1))
            keys.revoke(KeyRevoked(number + 2, f"r{number}"))
        for number in range(count):
            keys.issue(issued(grant, key_id=f"k{number}", text=f"t{number}", tenant="default", at_ms=1))
        listed = {key["id"] for key in (await client.get("/v1/keys", headers=admin.headers)).json()["keys"]}
        assert len(listed) == KEYS_LISTED_MAX
        assert {admin.id, *(f"k{number}" for number in range(count))} <= listed
        assert {one for one in listed if one.startswith("r")} == {
            f"r{number}" for number in range(gone - (KEYS_LISTED_MAX - count - 1), gone)}

    with_keys(tmp_path, work)


def test_of_one_tenant_only_a_part_of_all_places_is_taken_while_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    async def work(client: Client) -> None:
        ours, others = await client.key("admin"), await client.key("admin", tenant="two")
        gate, inside = asyncio.Event(), asyncio.Semaphore(0)

        async def decisions(*_: Any, **__: Any) -> Any:
            inside.release()
            await gate.wait()
            return await listed("default", limit=1, after=None)

        listed = client.engine.listings.decisions
        monkeypatch.setattr(client.engine.listings, "decisions", decisions)
        asking = [asyncio.create_task(client.get("/v1/decisions", headers=ours.headers))
                  for _ in range(PLACES // TENANT_PLACES_DIVISOR)]
        for _ in asking:
            await inside.acquire()
        refused = await client.get("/v1/decisions", headers=ours.headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        other = asyncio.create_task(client.get("/v1/decisions", headers=others.headers))
        await inside.acquire()
        gate.set()
        assert {(await one).status_code for one in [*asking, other]} == {200}

    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000_000, requests_max=PLACES))


def test_what_is_counted_of_revoked_keys_is_forgotten_when_there_is_no_room(tmp_path: Path):
    async def work(engine: Engine) -> None:
        access, keys = Access(engine, ManualClock(), TERMS), engine.partition.access_keys
        for number in range(ACCESS_KEYS_MAX):
            grant = Grant("x", ("write",))
            keys.issue(issued(grant, key_id=f"k{number}", text=f"t{number}", tenant=f"of{number % 10}", at_ms=1))
            access.holder(f"t{number}")
        assert access.counted == ACCESS_KEYS_MAX
        for number in range(ACCESS_KEYS_MAX - 1):
            keys.revoke(KeyRevoked(2, f"k{number}"))
        _, text = await engine.credentials.issue_key(Grant("y", ("write",)), tenant="two", actor="test")
        access.holder(text)
        assert access.counted == 2

    with_engine(tmp_path, work)


def test_the_keys_that_the_tour_makes_load_a_catalogue_send_decide_and_look(tmp_path: Path) -> None:
    tour = (Path(__file__).parents[2] / "docs" / "tour.md").read_text(encoding="utf-8").replace("\\\n", " ")
    made = [line for line in tour.splitlines() if "keys create" in line]
    assert len(made) == 2

    async def work(client: Client) -> None:
        shop = await client.key(*re.findall(r"--scope (\w+)", made[0]))
        operator = await client.key(role=re.findall(r"--role (\w+)", made[1])[0])
        items = {"items": [{"id": "sku-1", "fields": {"title": "One"}}]}
        for path, body in (("/v1/items", items), ("/v1/track", track()), ("/v1/decide", DECIDE)):
            assert (await client.post(path, body, headers=shop.headers)).status_code == 200, path
        for path in ("/v1/profiles", "/v1/decisions", "/v1/quarantine", "/metrics"):
            assert (await client.get(path, headers=operator.headers)).status_code == 200, path

    with_keys(tmp_path, work)
