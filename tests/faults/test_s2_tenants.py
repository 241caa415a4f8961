"""S2: two tenants with equal ids never see or change what is the other's; one that sends too much slows nobody else."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Any
from urllib.parse import quote

import pytest

from instanter.api.tenancy import Terms
from instanter.foundation.clock import ManualClock
from instanter.privacy.roles import SCOPES

from ..api.client import AccessKey, Client, with_client
from .keyed import Caller, KeyedSite
from .servers import Nursery

pytestmark = pytest.mark.faults

HERE = Path(__file__).parent
TENANTS = ("one", "two")
ITEMS = tuple(f"sku-{number}" for number in range(6))
PEOPLE = tuple(f"a{number}" for number in range(4))
USERS = ("u0", "u1")
CELLS = (*(f"anonymous:{person}" for person in PEOPLE), *USERS)
SLOWER_MAX = 1.5
REPEATS = 5


class Plain:
    """What one tenant should find: a dictionary of each thing, and nothing of anybody else's."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.views: dict[str, int] = {}
        """By cell: that of the user whom the event names, as `u1`, else that of the device, as `anonymous:a1`."""
        self.known: set[str] = set()
        self.signed_in: dict[str, set[str]] = {}
        """Device -> users."""
        self.shared: set[str] = set()
        """Devices that are nobody's until they are erased, whoever is unlinked."""
        self.decisions: list[str] = []
        self.keys: set[str] = set()

    def sign_in(self, device: str, user: str) -> None:
        users = self.signed_in.setdefault(device, set())
        users.add(user)
        if len(users) > 1:
            self.shared.add(device)

    def profile(self, identifier: str) -> set[str]:
        """All cells of the person that an identifier belongs to."""
        if identifier in self.shared:
            return {identifier}
        user = next(iter(self.signed_in.get(identifier, ())), identifier)
        return {user} | {device for device, users in self.signed_in.items() if user in users} - self.shared

    def erase(self, identifier: str) -> None:
        """Forget a person, and what was done unsigned on the devices that they shared."""
        person = self.profile(identifier)
        for cell in person | {device for device, users in self.signed_in.items() if users & person}:
            self.views.pop(cell, None)
            self.known.discard(cell)
            self.signed_in.pop(cell, None)
            self.shared.discard(cell)


class Crossing:
    """Calls in two tenants' names with the same ids, each reply held against that tenant's dictionary."""

    def __init__(self, client: Client, clock: ManualClock, seed: int) -> None:
        self.client = client
        self.clock = clock
        self.chance = random.Random(seed)
        self.plain = {tenant: Plain() for tenant in TENANTS}
        self.keys: dict[str, AccessKey] = {}
        self.messages = 0
        self.wrong: list[tuple[Any, ...]] = []
        self.steps: list[Callable[[str], Any]] = [
            *[self.put] * 3, self.patch, self.delete, *[self.get] * 3, *[self.view] * 6, self.identify,
            *[self.read] * 4, *[self.decide] * 4, *[self.receipt] * 2, self.make_key, self.revoke_key,
            self.list_keys, self.unlink, self.consent, self.export,
        ]  # fmt: skip

    async def step(self) -> None:
        """One call of a random kind in a random tenant's name."""
        if self.chance.random() < 0.01:
            await self.erase(self.chance.choice(TENANTS))
        else:
            await self.chance.choice(self.steps)(self.chance.choice(TENANTS))

    async def call(self, tenant: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        reply = await self.client.call(method, path, body, headers=self.keys[tenant].headers)
        if reply.headers["content-type"] != "application/json":
            return reply.status_code, reply.text
        return reply.status_code, reply.json()

    def expect(self, tenant: str, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            self.wrong.append((tenant, what, found, wanted))

    # Catalogue.

    async def put(self, tenant: str) -> None:
        item = self.chance.choice(ITEMS)
        fields = {"title": f"{tenant}'s {item}", "category": tenant, "stock": self.chance.randint(0, 3)}
        status, _ = await self.call(tenant, "POST", "/v1/items", {"items": [{"id": item, "fields": fields}]})
        self.plain[tenant].items[item] = fields
        self.expect(tenant, "put", status, 200)

    async def patch(self, tenant: str) -> None:
        item, changed = self.chance.choice(ITEMS), {"stock": self.chance.randint(0, 3)}
        status, _ = await self.call(tenant, "PATCH", f"/v1/items/{item}", {"fields": changed})
        own = self.plain[tenant].items.get(item)
        self.expect(tenant, "patch", status, 404 if own is None else 200)
        if own is not None:
            own.update(changed)

    async def delete(self, tenant: str) -> None:
        item = self.chance.choice(ITEMS)
        status, _ = await self.call(tenant, "DELETE", f"/v1/items/{item}")
        own = self.plain[tenant].items.pop(item, None)
        self.expect(tenant, "delete", status, 404 if own is None else 200)

    async def get(self, tenant: str) -> None:
        item = self.chance.choice(ITEMS)
        status, body = await self.call(tenant, "GET", f"/v1/items/{item}")
        own = self.plain[tenant].items.get(item)
        self.expect(tenant, "get", body.get("fields"), own)
        self.expect(tenant, "get", status, 404 if own is None else 200)

    # People.

    async def view(self, tenant: str) -> None:
        self.messages += 1
        cell = self.chance.choice(CELLS)
        who = {"userId": cell} if cell in USERS else {"anonymousId": cell.removeprefix("anonymous:")}
        event = {
            "messageId": f"m-{self.messages}", "event": "Product Viewed", **who,
            "properties": {"product_id": self.chance.choice(ITEMS), "tenant": tenant},
        }  # fmt: skip
        status, _ = await self.call(tenant, "POST", "/v1/track", event)
        plain = self.plain[tenant]
        plain.views[cell] = plain.views.get(cell, 0) + 1
        plain.known.add(cell)
        self.expect(tenant, "view", status, 200)

    async def identify(self, tenant: str) -> None:
        self.messages += 1
        person, user = self.chance.choice(PEOPLE), self.chance.choice(USERS)
        event = {"messageId": f"m-{self.messages}", "anonymousId": person, "userId": user}
        status, _ = await self.call(tenant, "POST", "/v1/identify", event)
        plain = self.plain[tenant]
        plain.known.add(user)
        plain.sign_in(f"anonymous:{person}", user)
        self.expect(tenant, "identify", status, 200)

    async def read(self, tenant: str) -> None:
        plain = self.plain[tenant]
        identifier = self.chance.choice(CELLS)
        status, body = await self.call(tenant, "GET", f"/v1/profiles/{quote(identifier, safe='')}")
        cells = plain.profile(identifier)
        known = bool(cells & plain.known)
        self.expect(tenant, f"profile {identifier}", status, 200 if known else 404)
        if known:
            self.expect(tenant, "views", body["features"]["views"], sum(plain.views.get(cell, 0) for cell in cells))
            self.expect(tenant, "linked", set(body["linked"]), cells - {identifier} if len(cells) > 1 else set())

    async def unlink(self, tenant: str) -> None:
        person, user = f"anonymous:{self.chance.choice(PEOPLE)}", self.chance.choice(USERS)
        status, _ = await self.call(tenant, "DELETE", f"/v1/profiles/{user}/links/{quote(person)}")
        users = self.plain[tenant].signed_in.get(person, set())
        linked = user in users
        self.expect(tenant, "unlink", status, 200 if linked else 404)
        users.discard(user)

    async def consent(self, tenant: str) -> None:
        """Stated in one tenant, and so to be read there alone."""
        purpose = f"{tenant}-purpose"
        stated = {"purposes": {purpose: True}}
        status, body = await self.call(tenant, "PUT", "/v1/profiles/anonymous:a0/consent", stated)
        self.expect(tenant, "consent", (status, set(body.get("purposes", ()))), (200, {purpose}))
        self.plain[tenant].known.add("anonymous:a0")

    async def export(self, tenant: str) -> None:
        if self.chance.random() > 0.1:
            return
        person = f"anonymous:{self.chance.choice(PEOPLE)}"
        _, text = await self.call(tenant, "GET", f"/v1/profiles/{quote(person)}/export")
        lines = [json.loads(line) for line in text.splitlines()] if isinstance(text, str) else []
        foreign = [line for line in lines if line["kind"] == "event"
                   and line["event"].get("properties", {}).get("tenant", tenant) != tenant]
        self.expect(tenant, "export", foreign, [])

    async def erase(self, tenant: str) -> None:
        person = f"anonymous:{self.chance.choice(PEOPLE)}"
        self.clock.advance(1_000)
        await self.call(tenant, "DELETE", f"/v1/profiles/{quote(person)}")
        self.clock.advance(1_000)
        self.plain[tenant].erase(person)

    # Decisions.

    async def decide(self, tenant: str) -> None:
        plain = self.plain[tenant]
        asked = {"anonymousId": self.chance.choice(PEOPLE), "deadlineMs": 10_000,
                 "placements": [{"id": "home.recommended"}], "explain": self.chance.random() < 0.3}
        status, body = await self.call(tenant, "POST", "/v1/decide", asked)
        shown = {one["id"]: one["fields"]["title"] for one in body["placements"]["home.recommended"]["items"]}
        own = {item: fields["title"] for item, fields in plain.items.items() if fields["stock"] > 0}
        self.expect(tenant, "decide", status, 200)
        self.expect(tenant, "shown", shown, own)
        plain.decisions.append(body["decisionId"])

    async def receipt(self, tenant: str) -> None:
        reader = self.chance.choice(TENANTS)
        if self.plain[tenant].decisions:
            decision = self.chance.choice(self.plain[tenant].decisions[-20:])
            status, body = await self.call(reader, "GET", f"/v1/decisions/{decision}")
            if reader == tenant:
                self.expect(tenant, "receipt", status in (200, 410), True)
            else:
                self.expect(reader, "receipt", (status, body["error"]["code"]), (404, "unknown_decision"))

    # Keys.

    async def make_key(self, tenant: str) -> None:
        if len(self.plain[tenant].keys) < 20:
            status, body = await self.call(tenant, "POST", "/v1/keys", {"name": "k", "scopes": ["write"]})
            self.expect(tenant, "key", (status, body["tenant"]), (200, tenant))
            self.plain[tenant].keys.add(body["id"])

    async def revoke_key(self, tenant: str) -> None:
        owner = self.chance.choice(TENANTS)
        if self.plain[owner].keys:
            key = self.chance.choice(sorted(self.plain[owner].keys))
            status, _ = await self.call(tenant, "DELETE", f"/v1/keys/{key}")
            self.expect(tenant, "revoke", status, 200 if owner == tenant else 404)

    async def list_keys(self, tenant: str) -> None:
        _, body = await self.call(tenant, "GET", "/v1/keys")
        found = {key["id"] for key in body["keys"]} - {self.keys[tenant].id}
        self.expect(tenant, "keys", found, self.plain[tenant].keys)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_of_one_tenant_is_read_or_changed_by_another_with_the_same_ids(
    seed: int, tmp_path: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    calls = 5_000 if full else 1_000
    clock = ManualClock()

    async def work(client: Client) -> None:
        crossing = Crossing(client, clock, seed)
        crossing.keys = {tenant: await client.key(*SCOPES, tenant=tenant) for tenant in TENANTS}
        for number in range(calls):
            await crossing.step()
            assert crossing.wrong == [], f"seed {seed}, call {number}"
        record_property("calls", calls)
        record_property("crossed", len(crossing.wrong))

    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000_000), clock=clock)


# Load.

RATE = 100
"""Decisions a second of the quiet tenant."""
NOISY_SHARE = 100
"""Requests a second that the noisy tenant may send."""
LIMITED = f"""\
[[tenants]]
id = "noisy"
requests_per_s = {NOISY_SHARE}
"""
UNLIMITED = "[limits]\nrequests_per_s = 1000000\ntenant_requests_per_s = 0\nevents_per_s = 0\n"


def measured(
    nursery: Nursery, root: Path, *, config: str, noisy_rate: int, seconds: float, repeats: int
) -> list[dict[str, Any]]:
    """Figures of so many rounds against one server, from a client in a process of its own."""
    site = KeyedSite(nursery, root, config=config)
    stock = site.key("catalog", tenant="quiet"), site.key("catalog", tenant="noisy")
    quiet, noisy = site.key("decide", tenant="quiet"), site.key("write", "decide", tenant="noisy")
    items = {"items": [{"id": f"sku-{number}", "fields": {"title": f"Item {number}", "category": f"c{number % 9}"}}
                       for number in range(200)]}  # fmt: skip
    rounds = []
    with site.serve() as server:
        for key in stock:
            with Caller(server.port, key) as caller:
                assert caller.call("POST", "/v1/items", items).status == 200
        told(traffic("quiet", server.port, quiet, RATE, 1.0))
        for _ in range(repeats):
            alone = told(traffic("quiet", server.port, quiet, RATE, seconds))
            sending = traffic("noisy", server.port, noisy, noisy_rate, seconds + 1.0)
            beside = told(traffic("quiet", server.port, quiet, RATE, seconds))
            rounds.append({"alone": alone, "beside": beside, "noisy": told(sending)})
    return rounds


def traffic(role: str, port: int, key: str, rate: int, seconds: float) -> Popen[str]:
    """One tenant's client, begun."""
    words = [role, port, key, rate, seconds]
    return Popen([sys.executable, str(HERE / "tenants_load.py"), *map(str, words)], stdout=PIPE, text=True)


def told(client: Popen[str]) -> Any:
    """What a client found, once it has ended."""
    output, _ = client.communicate()
    assert client.returncode == 0
    return json.loads(output)


def recorded(rounds: list[dict[str, Any]], what: str, record_property: Callable[[str, object], None]) -> float:
    """The median of how many times its p99 alone the quiet tenant's p99 was; told in the report."""
    ratio = median(one["beside"]["p99_ms"] / one["alone"]["p99_ms"] for one in rounds)
    middle = {
        f"{when}_{share}": round(median(one[when][share] for one in rounds), 2)
        for when in ("alone", "beside") for share in ("p50_ms", "p99_ms")
    }  # fmt: skip
    refused = sum(one["beside"]["refused"] for one in rounds)
    record_property(f"{what}_ratio", round(ratio, 2))
    record_property(f"{what}_ms", middle)
    record_property(f"{what}_refused", refused)
    print(f"{what}: p99 {ratio:.2f} times its p99 alone; {middle}; {refused} refused; {rounds[-1]['noisy']}")
    return ratio


def test_one_that_sends_20_times_its_rate_is_refused_and_slows_nobody_else(
    nursery: Nursery, tmp_path: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    seconds, repeats = (8.0, REPEATS) if full else (1.5, 1)
    rounds = measured(nursery, tmp_path, config=LIMITED, noisy_rate=20 * NOISY_SHARE, seconds=seconds, repeats=repeats)
    ratio = recorded(rounds, "beside_20_times_the_rate", record_property)
    for one in rounds:
        assert set(one["noisy"]["statuses"]) == {"200", "429"}
        assert one["noisy"]["statuses"]["200"] <= 1.02 * NOISY_SHARE * (one["noisy"]["seconds"] + 1) + 1
        assert one["beside"]["refused"] == 0
    if full:
        assert ratio <= SLOWER_MAX


def test_one_that_sends_all_it_can_leaves_the_others_their_share(
    nursery: Nursery, tmp_path: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    seconds, repeats = (6.0, REPEATS) if full else (1.5, 1)
    rounds = measured(nursery, tmp_path, config=UNLIMITED, noisy_rate=0, seconds=seconds, repeats=repeats)
    recorded(rounds, "beside_all_it_can", record_property)
    for one in rounds:
        assert one["noisy"]["statuses"]["200"] > 0
        assert set(one["noisy"]["statuses"]) <= {"200", "429"}
    if full:
        assert sum(one["beside"]["refused"] for one in rounds) == 0
