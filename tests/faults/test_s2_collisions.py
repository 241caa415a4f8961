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

from instanter.api.app import document
from instanter.api.me import visitor_id
from instanter.api.tenancy import Terms
from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import REFERENCE_TAKEN
from instanter.foundation.ids import References, reference
from instanter.models.online import LearnerDeclaration
from instanter.privacy.roles import SCOPES

from ..api.client import AccessKey, Client, template_of, with_client
from ..engine.rankers import Shelf

pytestmark = pytest.mark.faults

TENANTS = ("one", "two")
CLASSES = 5
"""References that all items share, whoever's they are."""
PEOPLE = ("p0", "p1", "p2")
USER = "u0"
LEARNING = Placement(id="home.learning", learner=LearnerDeclaration(inputs=("item.recency",)))
PLACEMENTS = (*DEFAULT_PLACEMENTS, LEARNING)
SECRET = "a-secret-of-a-device-of-this-test"
IMPORT = "0f" * 16
"""An import that both tenants have."""
WITHOUT_IDS = {"/v1/keys", "/v1/signing-secrets", "/v1/quarantine/repair", "/v1/remap"}
"""What is sent there names nothing."""
HANDED_OUT_MAX = 10
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
        self.number = self.refused_items = self.refused_events = self.warned = 0
        self.wrong: list[tuple[Any, ...]] = []
        self.steps: list[Callable[[str], Any]] = [
            *[self.put] * 4, *[self.patch] * 2, *[self.delete] * 2, self.delete_many, *[self.get] * 2, self.list,
            *[self.view] * 6, self.buy, *[self.decide] * 4, *[self.rank] * 2, self.complete, *[self.receipt] * 2,
            self.profile, self.export, self.page_after, *[self.say] * 2, *[self.consent] * 2, self.me, self.unlink,
            self.import_, self.govern, *[self.hand_out] * 2, *[self.use_anothers] * 3, self.use_own,
        ]  # fmt: skip
        self.called: set[tuple[str, str]] = set()
        """(method, path of the document) of all calls."""
        self.handed: dict[str, list[tuple[str, str]]] = {tenant: [] for tenant in TENANTS}
        """Calls about what was made for a tenant and has an id that was handed out."""
        self.mine: dict[str, str] = dict.fromkeys(TENANTS, "")
        """The newest decision for the visitor who keeps `SECRET`; "" where nothing is known of them."""
        self.agreed: dict[str, set[str]] = {tenant: set() for tenant in TENANTS}
        self.placed: dict[str, bool] = dict.fromkeys(TENANTS, False)
        self.frozen: dict[str, bool] = dict.fromkeys(TENANTS, False)
        self.imported: dict[str, int] = dict.fromkeys(TENANTS, 0)

    async def step(self) -> None:
        self.clock.advance(1_000)
        tenant = self.chance.choice(TENANTS)
        await self.chance.choice(self.steps)(tenant)

    async def call(
        self, tenant: str, method: str, path: str, body: Any = None, **proof: str
    ) -> tuple[int, Any]:
        """A reply, which names nothing of the other tenant's: all ids and titles begin with whose they are."""
        reply = await self.client.call(method, path, body, headers={**self.keys[tenant].headers, **proof})
        self.called.add((method, template_of(path)))
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

    async def say(self, tenant: str) -> None:
        """The events that are about no item, each at its own path."""
        self.number += 1
        person, kind = self.chance.choice(PEOPLE), self.chance.choice(("identify", "page", "screen", "group", "alias"))
        more = {
            "identify": {"anonymousId": person, "userId": USER}, "page": {"anonymousId": person},
            "screen": {"anonymousId": person}, "group": {"anonymousId": person, "groupId": "g0"},
            "alias": {"userId": USER, "previousId": f"old{person}"},
        }[kind]  # fmt: skip
        body = {"messageId": f"m{self.number}", **more}
        if self.chance.random() < 0.5:
            self.number += 1
            item = self.an_id(tenant)
            body = {"messageId": f"m{self.number}", "anonymousId": person, "event": "Product Viewed",
                    "properties": {"product_id": item}}  # fmt: skip
            status, _ = await self.call(tenant, "POST", "/v1/track", body)
            self.refused_events += self.is_taken(tenant, item)
            self.expect(tenant, "track", status, 400 if self.is_taken(tenant, item) else 200)
            return
        status, _ = await self.call(tenant, "POST", f"/v1/{kind}", body)
        self.expect(tenant, kind, status, 200)

    async def consent(self, tenant: str) -> None:
        """What a person of one tenant has agreed to is agreed to there alone; an erased one has agreed to nothing."""
        cell = "anonymous:agreeing"
        if self.agreed[tenant] and self.chance.random() < 0.3:
            status, _ = await self.call(tenant, "DELETE", f"/v1/profiles/{cell}")
            self.expect(tenant, "erase", status, 200)
            self.agreed[tenant] = set()
        else:
            purpose = f"{tenant}:{self.chance.choice('ab')}"
            stated = {"purposes": {purpose: True}}
            status, body = await self.call(tenant, "PUT", f"/v1/profiles/{cell}/consent", stated)
            self.agreed[tenant].add(purpose)
            self.expect(tenant, "consent", (status, set(body["purposes"])), (200, self.agreed[tenant]))
        for of in TENANTS:
            status, body = await self.call(of, "GET", f"/v1/profiles/{cell}")
            agreed = set(body["consent"]) if status == 200 else set()
            self.expect(of, "agreed", agreed, self.agreed[of])

    async def me(self, tenant: str) -> None:
        """One secret is somebody in each tenant, who are two people: one sees, and erases, what is there alone."""
        visitor, proof = visitor_id(SECRET), {"X-Visitor-Secret": SECRET}
        if self.mine[tenant] and self.chance.random() < 0.3:
            status, _ = await self.call(tenant, "DELETE", "/v1/me", **proof)
            self.expect(tenant, "erase me", status, 200)
            self.mine[tenant] = ""
        else:
            self.number += 1
            await self.call(tenant, "POST", "/v1/page", {"messageId": f"m{self.number}", "anonymousId": visitor})
            _, body = await self.call(tenant, "POST", "/v1/decide", {
                "anonymousId": visitor, "deadlineMs": 10_000, "placements": [{"id": "home.recommended"}],
            })  # fmt: skip
            self.mine[tenant] = body["decisionId"]
            await self.call(tenant, "PUT", "/v1/me/consent", {"purposes": {f"{tenant}:a": True}}, **proof)
        for of in TENANTS:
            status, body = await self.call(of, "GET", "/v1/me", **proof)
            self.expect(of, "me", status, 200 if self.mine[of] else 404)
            status, _ = await self.call(of, "GET", "/v1/me/export", **proof)
            self.expect(of, "my export", status, 200 if self.mine[of] else 404)
            for whose in TENANTS:
                if self.mine[whose]:
                    status, _ = await self.call(of, "GET", f"/v1/me/decisions/{self.mine[whose]}", **proof)
                    self.expect(of, f"my decision in {whose}", status, 200 if of == whose else 404)

    async def unlink(self, tenant: str) -> None:
        person = self.chance.choice(PEOPLE)
        await self.call(tenant, "DELETE", f"/v1/profiles/{USER}/links/anonymous:{person}")

    async def import_(self, tenant: str) -> None:
        """Files with one id are each tenant's own, and how far they were taken."""
        self.number += 1
        event = {"type": "page", "messageId": f"m{self.number}", "anonymousId": self.chance.choice(PEOPLE)}
        if self.chance.random() < 0.3:
            status, _ = await self.call(tenant, "POST", "/v1/imports", {"batch": [event]})
            self.expect(tenant, "a piece", status, 200)
            return
        self.imported[tenant] += 1
        piece = {"batch": [event], "lines": [self.imported[tenant]]}
        status, _ = await self.call(tenant, "POST", f"/v1/imports/{IMPORT}", piece)
        self.expect(tenant, "a piece", status, 200)
        for of in TENANTS:
            _, body = await self.call(of, "GET", "/v1/imports")
            taken = [one["taken"] for one in body["imports"] if one["id"] == IMPORT]
            self.expect(of, "taken", taken, [self.imported[of]] if self.imported[of] else [])

    # What stands for a tenant, and what has an id that was handed out.

    async def govern(self, tenant: str) -> None:
        """A placement has in each tenant the model and the learner that were put there."""
        if self.chance.random() < 0.5:
            act = self.chance.choice(("freeze", "thaw"))
            status, _ = await self.call(tenant, "PUT", f"/v1/learners/{LEARNING.id}", {"act": act})
            self.frozen[tenant] = act == "freeze"
        elif self.placed[tenant]:
            status, _ = await self.call(tenant, "DELETE", "/v1/models/home.hero")
            self.placed[tenant] = False
        else:
            status, _ = await self.call(tenant, "PUT", "/v1/models/home.hero", {"model": "plain@1"})
            self.placed[tenant] = True
        self.expect(tenant, "govern", status, 200)
        for of in TENANTS:
            _, body = await self.call(of, "GET", "/v1/models")
            self.expect(of, "models", bool([one for one in body["models"] if one["model"]]), self.placed[of])
            _, body = await self.call(of, "GET", "/v1/learners")
            self.expect(of, "learners", [one["frozen"] for one in body["learners"]], [self.frozen[of]])

    async def hand_out(self, tenant: str) -> None:
        """Make something that has an id of its own."""
        handed, kind = self.handed[tenant], self.chance.choice(("keys", "secret", "replay", "quarantine"))
        if len(handed) >= HANDED_OUT_MAX:
            return
        if kind == "keys":
            _, body = await self.call(tenant, "POST", "/v1/keys", {"name": f"{tenant}:key", "scopes": ["write"]})
            handed.append(("DELETE", f"/v1/keys/{body['id']}"))
        elif kind == "secret" and not any("secrets" in path for _, path in handed):
            _, body = await self.call(tenant, "POST", "/v1/signing-secrets")
            handed.append(("DELETE", f"/v1/signing-secrets/{body['id']}"))
        elif kind == "replay" and self.decisions[tenant]:
            decision = self.chance.choice(self.decisions[tenant])
            await self.call(tenant, "POST", f"/v1/decisions/{decision}/replay")
            handed.append(("GET", f"/v1/decisions/{decision}?item=sku-1"))
            _, body = await self.call(tenant, "GET", "/v1/jobs")
            handed.append(("POST", f"/v1/decisions/{decision}/whatif"))
            handed += [("POST", f"/v1/decisions/{decision}/replay"), ("GET", f"/v1/jobs/{body['jobs'][0]['id']}")]
        elif kind == "quarantine":
            _, body = await self.call(tenant, "GET", "/v1/quarantine")
            handed += [("GET", f"/v1/quarantine/{one['example']}") for one in body["groups"][:1]]

    async def use_anothers(self, tenant: str) -> None:
        """An id that the other tenant was handed out names nothing here, and what it names stays."""
        of = TENANTS[1 - TENANTS.index(tenant)]
        if self.handed[of]:
            method, path = self.chance.choice(self.handed[of])
            status, _ = await self.call(tenant, method, path, body_of(path))
            self.expect(tenant, f"{method} {path} of {of}", status, 404)

    async def use_own(self, tenant: str) -> None:
        if self.handed[tenant]:
            method, path = self.handed[tenant].pop(self.chance.randrange(len(self.handed[tenant])))
            status, _ = await self.call(tenant, method, path, body_of(path))
            self.expect(tenant, f"{method} {path}", status in (200, 202), True)
        await self.client.call("GET", f"/v1/projects/{self.keys[tenant].text}/settings")
        self.called.add(("GET", "/v1/projects/{key}/settings"))

    async def profile(self, tenant: str) -> None:
        await self.call(tenant, "GET", f"/v1/profiles/anonymous:{self.chance.choice(PEOPLE)}")
        await self.call(tenant, "GET", "/v1/profiles?limit=10")

    async def export(self, tenant: str) -> None:
        await self.call(tenant, "GET", f"/v1/profiles/anonymous:{self.chance.choice(PEOPLE)}/export")
        await self.call(tenant, "GET", f"/v1/profiles/anonymous:{self.chance.choice(PEOPLE)}/timeline")

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
        self.warned += len(told)
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
        self.warned += len(told)
        self.expect(tenant, "rank", {one["id"] for one in body["items"]} & set(taken), set())
        self.decisions[tenant].append(body["decisionId"])

    async def complete(self, tenant: str) -> None:
        """All items of both tenants have the word in their titles."""
        status, body = await self.call(tenant, "POST", "/v1/complete", {
            "anonymousId": self.chance.choice(PEOPLE), "deadlineMs": 10_000, "query": self.chance.choice(("ti", "no")),
        })  # fmt: skip
        self.expect(tenant, "complete", status, 200)
        for one in body["items"]:
            self.expect(tenant, f"completed {one['id']}", self.owns(tenant, one["id"]), True)

    async def receipt(self, tenant: str) -> None:
        for of in TENANTS:
            if self.decisions[of]:
                decision = self.chance.choice(self.decisions[of])
                status, _ = await self.call(tenant, "GET", f"/v1/decisions/{decision}")
                self.expect(tenant, f"a receipt of {of}", status, 200 if of == tenant else 404)
        await self.call(tenant, "GET", "/v1/decisions?limit=10")


def body_of(path: str) -> dict[str, Any] | None:
    """What is posted to a path of something that was handed out."""
    return {"asNobody": True} if path.endswith("/whatif") else None


def taking_ids() -> set[tuple[str, str]]:
    """(method, path) of everything in the OpenAPI document that is about something with an id."""
    return {
        (method.upper(), path) for path, methods in document()["paths"].items() for method in methods
        if "{" in path or (method == "post" and path not in WITHOUT_IDS)
    }  # fmt: skip


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
        assert taking_ids() - crossing.called == set(), "every route that takes an id was called"
        counts = client.engine.meter.counts
        assert counts[f"items_rejected.{REFERENCE_TAKEN}"] == crossing.refused_items
        assert counts[f"events_rejected_{REFERENCE_TAKEN}"] == crossing.refused_events
        assert counts[f"questions_warned.{REFERENCE_TAKEN}"] == crossing.warned
        return crossing, client.engine.partition.hash()

    crossing, before = with_client(
        tmp_path, work, clock=clock, terms=TERMS, references=collide(), stop=False, models=Shelf("plain@1"),
        placements=PLACEMENTS,
    )  # fmt: skip
    record_property("calls", calls)
    record_property("crossed", len(crossing.wrong))
    record_property("refused", crossing.refused_items + crossing.refused_events)
    assert crossing.wrong == []
    assert min(crossing.refused_items, crossing.refused_events) > calls // 50

    async def rebuilt(client: Client) -> str:
        return client.engine.partition.hash()

    after = with_client(
        tmp_path, rebuilt, clock=clock, terms=TERMS, references=collide(), models=Shelf("plain@1"),
        placements=PLACEMENTS,
    )  # fmt: skip
    assert after == before
