"""S2: two tenants whose items have the same references, by construction. Nothing of one is read, changed or shown by
a call of the other, what cannot be told apart is refused with its code and counted, and a restart comes to the same
state.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from instanter.api.tenancy import Terms
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import REFERENCE_TAKEN
from instanter.foundation.ids import References, reference
from instanter.privacy.roles import SCOPES

from ..api.client import AccessKey, Client, with_client

pytestmark = pytest.mark.faults

TENANTS = ("one", "two")
CLASSES = 5
"""References that all items share, whoever's they are."""
PEOPLE = ("p0", "p1", "p2")
TERMS = Terms(key_requests_per_s=1_000_000)


def colliding(text: str) -> int:
    """Items go by the last character of their ids alone, of whichever tenant; all else as ever."""
    return 1_000 + ord(text[-1]) if "\x00" in text and "\x00group\x00" not in text else reference(text)


def collide() -> References:
    return References(hashed=colliding)


class Crossing:
    """Random calls of both tenants. `held` is what the catalogue should hold: who has which reference."""

    def __init__(self, client: Client, clock: ManualClock, seed: int) -> None:
        self.client = client
        self.clock = clock
        self.chance = random.Random(seed)
        self.keys: dict[str, AccessKey] = {}
        self.held: dict[str, tuple[str, str, dict[str, Any]]] = {}
        """By the last character: tenant, id and fields."""
        self.decisions: dict[str, list[str]] = {tenant: [] for tenant in TENANTS}
        self.number = self.refused = self.refused_items = self.refused_events = 0
        self.wrong: list[tuple[Any, ...]] = []
        self.steps: list[Callable[[str], Any]] = [
            *[self.put] * 4, *[self.patch] * 2, *[self.delete] * 2, self.delete_many, *[self.get] * 2, self.list,
            *[self.view] * 6, self.buy, *[self.decide] * 4, *[self.rank] * 2, *[self.receipt] * 2, self.profile,
            self.export, self.page_after,
        ]  # fmt: skip

    async def step(self) -> None:
        self.clock.advance(1_000)
        tenant = self.chance.choice(TENANTS)
        await self.chance.choice(self.steps)(tenant)

    async def call(self, tenant: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A reply, which names nothing of the other tenant's: all ids and titles begin with whose they are."""
        reply = await self.client.call(method, path, body, headers=self.keys[tenant].headers)
        other = TENANTS[1 - TENANTS.index(tenant)]
        if f"{other}:" in reply.text:
            self.wrong.append((tenant, method, path, "names what is the other's", reply.text))
        plain = reply.headers["content-type"] == "application/json"
        return reply.status_code, reply.json() if plain else reply.text

    def expect(self, tenant: str, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            self.wrong.append((tenant, what, found, wanted))

    def an_id(self, tenant: str) -> str:
        return f"{tenant}:{self.chance.choice('ab')}{self.chance.randrange(CLASSES)}"

    def owns(self, tenant: str, item: str) -> bool:
        return self.held.get(item[-1], ("", "", {}))[:2] == (tenant, item)

    def is_taken(self, tenant: str, item: str) -> bool:
        return item[-1] in self.held and not self.owns(tenant, item)

    def wanted(self, tenant: str, item: str) -> int:
        """The status of a call about one item."""
        taken = self.is_taken(tenant, item)
        self.refused_items += taken
        return 409 if taken else 200 if self.owns(tenant, item) else 404

    # Catalogue.

    async def put(self, tenant: str) -> None:
        items = list(dict.fromkeys(self.an_id(tenant) for _ in range(self.chance.randint(1, 3))))
        fields = {"title": f"{tenant}:title", "category": f"{tenant}:kind", "stock": self.chance.randint(0, 3)}
        fits, refused, now = list[str](), list[str](), dict[str, str]()
        for item in items:
            if self.is_taken(tenant, item) or now.setdefault(item[-1], item) != item:
                refused.append(item)
            else:
                fits.append(item)
        sent = [{"id": item, "fields": fields} for item in items]
        status, body = await self.call(tenant, "POST", "/v1/items", {"items": sent})
        self.expect(tenant, "put", status, 200 if fits else 400)
        rejected = body["rejected"] if fits else body["error"]["details"]
        self.expect(tenant, "put", [(one["id"], one["code"], one["index"]) for one in rejected],
                    [(item, REFERENCE_TAKEN, items.index(item)) for item in refused])  # fmt: skip
        self.refused_items += len(refused)
        for item in fits:
            self.held[item[-1]] = (tenant, item, dict(fields))

    async def patch(self, tenant: str) -> None:
        item, changed = self.an_id(tenant), {"stock": self.chance.randint(0, 3)}
        status, body = await self.call(tenant, "PATCH", f"/v1/items/{quote(item)}", {"fields": changed})
        self.expect(tenant, "patch", status, self.wanted(tenant, item))
        if status == 409:
            self.expect(tenant, "patch", body["error"]["code"], REFERENCE_TAKEN)
        if self.owns(tenant, item):
            self.held[item[-1]][2].update(changed)

    async def delete(self, tenant: str) -> None:
        item = self.an_id(tenant)
        status, _ = await self.call(tenant, "DELETE", f"/v1/items/{quote(item)}")
        self.expect(tenant, "delete", status, self.wanted(tenant, item))
        if self.owns(tenant, item):
            del self.held[item[-1]]

    async def delete_many(self, tenant: str) -> None:
        items = list(dict.fromkeys(self.an_id(tenant) for _ in range(2)))
        own = [item for item in items if self.owns(tenant, item)]
        self.refused_items += sum(self.is_taken(tenant, item) for item in items)
        _, body = await self.call(tenant, "POST", "/v1/items/delete", {"ids": items})
        self.expect(tenant, "delete many", (body["deleted"], body["unknown"]),
                    (len(own), [item for item in items if item not in own]))  # fmt: skip
        for item in own:
            del self.held[item[-1]]

    async def get(self, tenant: str) -> None:
        item = self.an_id(tenant)
        status, body = await self.call(tenant, "GET", f"/v1/items/{quote(item)}")
        self.expect(tenant, "get", status, self.wanted(tenant, item))
        if self.owns(tenant, item):
            self.expect(tenant, "get", (body["id"], body["fields"]), self.held[item[-1]][1:])

    async def list(self, tenant: str) -> None:
        _, body = await self.call(tenant, "GET", "/v1/items?limit=100")
        self.expect(tenant, "list", sorted((one["id"], one["fields"]["stock"]) for one in body["items"]),
                    sorted((item, fields["stock"]) for of, item, fields in self.held.values() if of == tenant))

    async def page_after(self, tenant: str) -> None:
        item = self.an_id(tenant)
        status, _ = await self.call(tenant, "GET", f"/v1/items?after={quote(item)}")
        if self.is_taken(tenant, item):
            self.refused_items += 1
            self.expect(tenant, "a page", status, 409)

    # People and what they did.

    async def view(self, tenant: str) -> None:
        await self.tell(tenant, "Product Viewed", {"product_id": self.an_id(tenant), "price": 3})

    async def buy(self, tenant: str) -> None:
        lines = [{"product_id": self.an_id(tenant), "price": 3} for _ in range(2)]
        more = {"decisionId": self.chance.choice(sum(self.decisions.values(), ["d_none"]))}
        await self.tell(tenant, "Order Completed", {"order_id": str(self.number), "products": lines, **more})

    async def tell(self, tenant: str, name: str, properties: dict[str, Any]) -> None:
        self.number += 1
        ids = [properties["product_id"]] if "product_id" in properties else [
            one["product_id"] for one in properties["products"]
        ]  # fmt: skip
        event = {
            "type": "track", "messageId": f"m{self.number}", "anonymousId": self.chance.choice(PEOPLE), "event": name,
            "properties": properties,
        }  # fmt: skip
        status, body = await self.call(tenant, "POST", "/v1/batch", {"batch": [event]})
        taken = any(self.is_taken(tenant, item) for item in ids)
        codes = [one["code"] for one in body["rejected"]] if status == 200 else [body["error"]["code"]]
        self.expect(tenant, "an event", codes, [REFERENCE_TAKEN] if taken else [])
        self.refused_events += taken

    async def profile(self, tenant: str) -> None:
        await self.call(tenant, "GET", f"/v1/profiles/anonymous:{self.chance.choice(PEOPLE)}")
        await self.call(tenant, "GET", "/v1/profiles?limit=10")

    async def export(self, tenant: str) -> None:
        await self.call(tenant, "GET", f"/v1/profiles/anonymous:{self.chance.choice(PEOPLE)}/export")

    # Decisions.

    def asked(self, tenant: str) -> tuple[list[str], list[str]]:
        """Candidates, and those of them that are none: another item has their reference, or one before them."""
        items, first, taken = [self.an_id(tenant) for _ in range(3)], dict[str, str](), list[str]()
        for item in dict.fromkeys(items):
            if self.is_taken(tenant, item) or first.setdefault(item[-1], item) != item:
                taken.append(item)
        return items, taken

    async def decide(self, tenant: str) -> None:
        page = self.an_id(tenant)
        status, body = await self.call(tenant, "POST", "/v1/decide", {
            "anonymousId": self.chance.choice(PEOPLE), "deadlineMs": 10_000, "explain": True,
            "placements": [{"id": "home.recommended", "limit": 10}, {"id": "product.similar", "item": page}],
        })  # fmt: skip
        self.expect(tenant, "decide", status, 200)
        told = [one["code"] for one in body.get("warnings", []) if one["code"] == REFERENCE_TAKEN]
        self.expect(tenant, "decide", told, [REFERENCE_TAKEN] * self.is_taken(tenant, page))
        for placed in body["placements"].values():
            for one in placed["items"]:
                self.expect(tenant, f"shown {one['id']}", self.owns(tenant, one["id"]), True)
        self.decisions[tenant].append(body["decisionId"])

    async def rank(self, tenant: str) -> None:
        items, taken = self.asked(tenant)
        status, body = await self.call(tenant, "POST", "/v1/rank", {
            "anonymousId": self.chance.choice(PEOPLE), "deadlineMs": 10_000, "placement": "search", "candidates": items,
        })  # fmt: skip
        self.expect(tenant, "rank", status, 200)
        told = [one for one in body.get("warnings", []) if one["code"] == REFERENCE_TAKEN]
        self.expect(tenant, "rank", len(told), len(taken))
        self.expect(tenant, "rank", {one["id"] for one in body["items"]} & set(taken), set())
        self.decisions[tenant].append(body["decisionId"])

    async def receipt(self, tenant: str) -> None:
        for of in TENANTS:
            if self.decisions[of]:
                decision = self.chance.choice(self.decisions[of])
                status, _ = await self.call(tenant, "GET", f"/v1/decisions/{decision}")
                self.expect(tenant, f"a receipt of {of}", status, 200 if of == tenant else 404)
        await self.call(tenant, "GET", "/v1/decisions?limit=10")


def test_s2_items_of_one_reference_never_cross(
    tmp_path: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    clock, calls = ManualClock(), 10_000 if full else 1_500

    async def work(client: Client) -> tuple[Crossing, str]:
        crossing = Crossing(client, clock, seed=12)
        for tenant in TENANTS:
            crossing.keys[tenant] = await client.key(*SCOPES, tenant=tenant)
        for _ in range(calls):
            await crossing.step()
            assert not crossing.wrong, crossing.wrong[:3]
        for tenant in TENANTS:
            await crossing.list(tenant)
        counts = client.engine.meter.counts
        assert counts[f"items_rejected.{REFERENCE_TAKEN}"] == crossing.refused_items
        assert counts[f"events_rejected_{REFERENCE_TAKEN}"] == crossing.refused_events
        return crossing, client.engine.partition.hash()

    crossing, before = with_client(
        tmp_path, work, clock=clock, terms=TERMS, references=collide(), stop=False
    )
    record_property("calls", calls)
    record_property("crossed", len(crossing.wrong))
    record_property("refused", crossing.refused_items + crossing.refused_events)
    assert crossing.wrong == []
    assert min(crossing.refused_items, crossing.refused_events) > calls // 50

    async def rebuilt(client: Client) -> str:
        return client.engine.partition.hash()

    assert with_client(tmp_path, rebuilt, clock=clock, terms=TERMS, references=collide()) == before
