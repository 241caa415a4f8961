"""S1: which key may do what, by scope and by role, for every operation of the OpenAPI document; keys on disk; a key
that is revoked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from instanter.api.app import document
from instanter.api.me import visitor_id
from instanter.api.tenancy import Terms
from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.foundation.clock import ManualClock
from instanter.models.online import LearnerDeclaration
from instanter.privacy.roles import PUBLIC_SCOPES, ROLES, SCOPES, WIDE, Scope, wide_with

from ..api.client import AccessKey, Client, track, with_client
from ..engine.rankers import Shelf
from .keyed import Caller, KeyedSite, keys_command
from .servers import Nursery

pytestmark = pytest.mark.faults

SECRET = "a-secret-of-a-device-of-this-test"
PROOF = {"X-Visitor-Secret": SECRET}
"""Of the visitor whom `/v1/me` is about; no other route looks at it."""
ASKED = {"anonymousId": "a1", "deadlineMs": 10_000, "placements": [{"id": "home.recommended"}]}
BODIES: dict[str, Any] = {
    "/v1/track": track(1),
    "/v1/identify": {"messageId": "m-2", "anonymousId": "a1", "traits": {"plan": "gold"}},
    "/v1/page": {"messageId": "m-3", "anonymousId": "a1"},
    "/v1/screen": {"messageId": "m-4", "anonymousId": "a1"},
    "/v1/group": {"messageId": "m-5", "anonymousId": "a1", "groupId": "g1"},
    "/v1/alias": {"messageId": "m-6", "userId": "u1", "previousId": "u0"},
    "/v1/batch": {"batch": [{"type": "track", **track(7)}]},
    "/v1/decide": ASKED,
    "/v1/rank": {"placement": "search", "candidates": ["sku-1"], "anonymousId": "a1", "deadlineMs": 10_000},
    "/v1/complete": {"query": "cha", "anonymousId": "a1", "deadlineMs": 10_000},
    "/v1/items": {"items": [{"id": "sku-1", "fields": {"title": "Chair"}}]},
    "/v1/items/{id}": {"fields": {"stock": 3}},
    "/v1/items/delete": {"ids": ["sku-1"]},
    "/v1/imports": {"batch": [{"type": "track", **track(8)}], "lines": [1]},
    "/v1/imports/{id}": {"batch": [{"type": "track", **track(9)}], "lines": [1]},
    "/v1/keys": {"name": "made in a test", "scopes": ["write"]},
    "/v1/profiles/{id}/consent": {"purposes": {"personalization": True}},
    "/v1/me/consent": {"purposes": {"personalization": True}},
    "/v1/models/{placement}": {"model": "plain@1"},
    "/v1/learners/{placement}": {"act": "freeze"},
    "/v1/quarantine/repair": {"code": "schema", "dryRun": True},
    "/v1/decisions/{id}/whatif": {"asNobody": True},
}
PUBLIC_KEYS_REFUSED = {"/v1/alias"}
"""Public keys may call it, and no event they could send there is one they may send."""


WITHOUT_END = "/v1/stream"
"""Answers for as long as somebody listens. Here nobody tells readers anything, so who is let in is told 503."""

BEFORE = {
    "write": {
        "/v1/track", "/v1/identify", "/v1/page", "/v1/screen", "/v1/group", "/v1/alias", "/v1/batch", "/v1/imports",
        "/v1/imports/{id}", "/sourceConfig", "/v1/me/consent", "DELETE /v1/me",
    },
    "decide": {
        "/v1/decide", "/v1/rank", "/v1/complete", "/v1/decisions/{id}", "GET /v1/me", "/v1/me/decisions/{id}",
        "/v1/me/export", "/v1/decisions/{id}/whatif",
    },
    "catalog": {"/v1/items", "/v1/items/{id}", "/v1/items/delete"},
}
"""What each scope was good for before there were finer ones; `admin`, for all other routes with a key."""


LEARNING = Placement(id="home.learning", learner=LearnerDeclaration(inputs=("item.recency",)))


class Operation(NamedTuple):
    """One cell's row: what the document says of an operation."""

    method: str
    path: str
    scope: str
    """Empty: it is open."""
    held_by: frozenset[str]
    """Wider scopes that will do."""
    roles: frozenset[str]
    public: bool
    all_tenants: bool


def operations() -> list[Operation]:
    """Every operation, with what the document says a key needs for it."""
    found = []
    for path, methods in document()["paths"].items():
        for method, told in methods.items():
            scopes = {scope for way in told["security"] for needed in way.values() for scope in needed}
            assert len(scopes) <= 1, "one scope each, in every way of sending a key"
            description = told.get("description", "")
            found.append(Operation(
                method.upper(), path, next(iter(scopes), ""), told_in(r"The scope ([^.]*) holds", description),
                told_in(r"Roles: ([^.]*)\.", description), "public key will do" in description,
                "tenant `default`" in description,
            ))  # fmt: skip
    return found


def told_in(pattern: str, description: str) -> frozenset[str]:
    """The names that a sentence of a description lists."""
    said = re.search(pattern, description)
    return frozenset(said[1].split(", ")) if said else frozenset()


class Holder(NamedTuple):
    """One cell's column: a key and what is known of it."""

    name: str
    headers: dict[str, str]
    scopes: frozenset[str] = frozenset()
    role: str = ""
    public: bool = False
    tenant: str = "default"
    counts: bool = True


def expected(operation: Operation, holder: Holder) -> int:
    """200 stands for whatever the operation answers whoever it lets in."""
    if not operation.scope:
        return 200
    if not holder.counts:
        return 401
    if holder.role:
        may = holder.role in operation.roles
    else:
        may = bool(holder.scopes & {operation.scope, *operation.held_by})
    if not may or (holder.public and not operation.public):
        return 403
    if operation.all_tenants and holder.tenant != "default":
        return 403
    return 403 if holder.public and operation.path in PUBLIC_KEYS_REFUSED else 200


async def holders(client: Client) -> list[Holder]:
    """Keys with each one scope, with all, with all that do not hold one, with each role, public ones, ones of another
    tenant, and none."""
    made = []

    async def holder(name: str, *scopes: Scope, **more: Any) -> None:
        key = await client.key(*scopes, **more)
        made.append(Holder(name, key.headers, frozenset(scopes), **more))

    for scope in SCOPES:
        await holder(scope, scope)
        await holder(f"all but {scope}", *(one for one in SCOPES if one not in (scope, *wide_with(scope))))
    for tenant in ("default", "two"):
        for role in ROLES:
            await holder(f"{role} of {tenant}", role=role, tenant=tenant)
        for wide in WIDE:
            await holder(f"{wide} of {tenant}", wide, tenant=tenant)
    await holder("all", *SCOPES)
    await holder("all of another tenant", *SCOPES, tenant="two")
    public: list[Scope] = [scope for scope in SCOPES if scope in PUBLIC_SCOPES]
    for scope in public:
        await holder(f"public {scope}", scope, public=True)
    await holder("public", *public, public=True)
    revoked = await client.key(*SCOPES)
    await client.engine.credentials.revoke_key("default", revoked.id, actor="test")
    made.append(Holder("revoked", revoked.headers, counts=False))
    made.append(Holder("unknown", {"Authorization": "Bearer ik_0_0"}, counts=False))
    made.append(Holder("none", {}, counts=False))
    return made


async def target(client: Client, operation: Operation, owner: AccessKey) -> str:
    """The path of something that is there to be read, changed or taken away, in the owner's tenant."""
    path = operation.path
    if path.startswith("/v1/decisions/"):
        decided = await client.post("/v1/decide", ASKED, headers=owner.headers)
        return path.replace("{id}", decided.json()["decisionId"])
    if path.startswith("/v1/me"):
        visitor = {"anonymousId": visitor_id(SECRET)}
        await client.post("/v1/track", {**track(client.engine.clock.now_ms()), **visitor}, headers=owner.headers)
        decided = await client.post("/v1/decide", {**ASKED, **visitor}, headers=owner.headers)
        return path.replace("{id}", decided.json()["decisionId"])
    if path == "/v1/jobs/{id}":
        decision = await target(client, operation._replace(path="/v1/decisions/{id}/replay"), owner)
        await client.post(decision, headers=owner.headers)
        jobs = (await client.get("/v1/jobs", headers=owner.headers)).json()["jobs"]
        return path.replace("{id}", jobs[0]["id"])
    if path == "/v1/imports/{id}":
        return path.replace("{id}", "0f" * 16)
    if path == "/v1/projects/{key}/settings":
        return path.replace("{key}", "any")
    if path.startswith("/v1/signing-secrets"):
        for secret in (await client.get("/v1/signing-secrets", headers=owner.headers)).json()["secrets"]:
            await client.call("DELETE", f"/v1/signing-secrets/{secret['id']}", headers=owner.headers)
        if "{" in path:
            made = await client.post("/v1/signing-secrets", headers=owner.headers)
            return path.replace("{id}", made.json()["id"])
    if path.startswith("/v1/items/") and "{" in path:
        await client.post("/v1/items", BODIES["/v1/items"], headers=owner.headers)
        return path.replace("{id}", "sku-1")
    if path == "/v1/keys/{id}":
        made = await client.post("/v1/keys", BODIES["/v1/keys"], headers=owner.headers)
        return path.replace("{id}", made.json()["id"])
    if path == "/v1/models/{placement}":
        path = path.replace("{placement}", "home.hero")
        await client.call("PUT", path, BODIES[operation.path], headers=owner.headers)
        return path
    if path == "/v1/learners/{placement}":
        return path.replace("{placement}", LEARNING.id)
    if path == "/v1/quarantine/{id}":
        await client.post("/v1/track", {"messageId": "bad"}, headers=owner.headers)
        groups = (await client.get("/v1/quarantine", headers=owner.headers)).json()["groups"]
        return path.replace("{id}", groups[0]["example"])
    if path.startswith("/v1/profiles/"):
        number = client.engine.clock.now_ms()
        linked = {"messageId": f"p-{number}", "anonymousId": "a9", "userId": "u9"}
        await client.post("/v1/identify", linked, headers=owner.headers)
        await client.post("/v1/track", {**track(number), "anonymousId": "a9"}, headers=owner.headers)
        person = "u9" if "links" in path else "anonymous:a9"
        return path.replace("{id}", person).replace("{linked}", "anonymous:a9")
    assert "{" not in path, f"this test does not know how to make something for {path}"
    return path


def test_every_key_gets_from_every_operation_what_the_document_says(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async def work(client: Client) -> None:
        keys, rows = await holders(client), operations()
        owners = {tenant: await client.key(*SCOPES, tenant=tenant) for tenant in ("default", "two")}
        wrong, cells = [], 0
        for operation in rows:
            there: dict[str, str] = {}
            for holder in keys:
                clock.advance(20_000 if operation.path.startswith("/v1/me") else 1_000)
                if holder.tenant not in there:
                    there[holder.tenant] = await target(client, operation, owners[holder.tenant])
                path = there[holder.tenant]
                body = BODIES.get(operation.path, {}) if operation.method in ("POST", "PUT", "PATCH") else None
                reply = await client.call(operation.method, path, body, headers={**holder.headers, **PROOF})
                cells += 1
                if reply.is_success:
                    del there[holder.tenant]  # It may be gone, or full.
                want = expected(operation, holder)
                if operation.path == WITHOUT_END and want == 200:
                    want = 503
                if reply.status_code != want:
                    wrong.append((operation.method, operation.path, holder.name, want, reply.status_code, reply.text))
        assert wrong == []
        assert cells == len(rows) * len(keys)
        record_property("cells", cells)
        record_property("wrong", len(wrong))

    clock = ManualClock()
    with_client(
        tmp_path, work, terms=Terms(key_requests_per_s=1_000_000), clock=clock, bucket_clock=clock,
        models=Shelf("plain@1"), placements=(*DEFAULT_PLACEMENTS, LEARNING),
    )  # fmt: skip


def test_the_table_has_every_kind_of_operation() -> None:
    found = operations()
    assert {operation.scope for operation in found} == {"", *SCOPES}
    open_ones = {operation.path for operation in found if not operation.scope}
    assert open_ones == {"/", "/healthz", "/readyz", "/openapi.json", "/instanter.js", "/v1/projects/{key}/settings"}
    assert {operation.path for operation in found if operation.all_tenants} == {"/metrics", "/v1/live", "/v1/state"}
    public = {operation.path for operation in found if operation.public}
    assert {"/v1/batch", "/v1/decide", "/v1/rank"} <= public
    assert {operation.scope for operation in found if operation.public} == PUBLIC_SCOPES
    assert all("admin" in operation.roles for operation in found if operation.scope)
    assert {role for operation in found for role in operation.roles} == {*ROLES}
    wide = {operation.scope: operation.held_by for operation in found if operation.held_by}
    assert {scope for held_by in wide.values() for scope in held_by} == {*WIDE}


def test_the_scopes_of_before_open_what_they_opened_and_nothing_else() -> None:
    """Keys that were given out when there were these four scopes are used as they were."""
    for operation in operations():
        names = {operation.path, f"{operation.method} {operation.path}"}
        before = next((scope for scope, paths in BEFORE.items() if names & paths), "admin")
        if operation.scope:
            assert {operation.scope, *operation.held_by} & {*BEFORE, "admin"} == {before}, operation


def test_a_key_is_nowhere_on_disk_and_stops_at_once_when_it_is_revoked(
    nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    site = KeyedSite(nursery, tmp_path)
    admin = site.key("admin", "write")
    with site.serve() as server, Caller(server.port, admin) as caller:
        made = caller.call("POST", "/v1/keys", {"name": "short-lived", "role": "admin"}).body
        with Caller(server.port, made["key"]) as holder:
            for number in range(20):
                assert holder.call("POST", "/v1/track", track(number)).status == 200
            assert caller.call("DELETE", f"/v1/keys/{made['id']}").status == 200
            assert [holder.call("POST", "/v1/track", track(100 + number)).status for number in range(50)] == [401] * 50
        assert caller.call("POST", "/v1/track", track(200)).status == 200
    listed = {one["id"]: one for one in site.run("list")["keys"]}
    assert listed[made["id"]]["revokedAt"] is not None
    assert json.dumps(listed).count("_") < 10, "nothing of a key's text is listed"
    raw = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert made["id"].encode() in raw
    for text in (admin, made["key"]):
        assert text.encode() not in raw
        assert text.rpartition("_")[2].encode() not in raw
    record_property("accepted_after_revocation", 0)


def test_the_command_makes_and_revokes_keys_of_a_running_server(nursery: Nursery, tmp_path: Path) -> None:
    site = KeyedSite(nursery, tmp_path)
    admin = site.key("admin", tenant="two")
    with site.serve() as server:
        asking = ("--url", f"http://127.0.0.1:{server.port}", "--key", admin)
        made = keys_command("create", "--name", "page", "--scope", "write", "--public", *asking)
        assert (made["tenant"], made["public"]) == ("two", True)
        with Caller(server.port, made["key"]) as caller:
            assert caller.call("POST", "/v1/track", track(1)).status == 200
            revoked = keys_command("revoke", made["id"], *asking)
            assert caller.call("POST", "/v1/track", track(2)).status == 401
        assert revoked in keys_command("list", *asking)["keys"]


def test_a_server_says_nothing_to_whoever_has_no_key_but_that_it_is_there(nursery: Nursery, tmp_path: Path) -> None:
    site = KeyedSite(nursery, tmp_path)
    with site.serve() as server, Caller(server.port, "ik_0_0") as nobody:
        statuses = {path: nobody.call("GET", path).status for path in ("/healthz", "/readyz", "/openapi.json")}
        assert set(statuses.values()) == {200}
        for path in ("/metrics", "/v1/state", "/v1/keys", "/v1/items/a", "/v1/profiles/a", "/v1/decisions/a"):
            assert nobody.call("GET", path).status == 401
