"""What becomes of two names of one reference where a reference is not compared with a name: messages, orders, values
and groups. They are made to collide; nothing of it reaches another person's counts, nor another tenant at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from instanter.api.tenancy import Terms
from instanter.foundation.clock import ManualClock
from instanter.foundation.ids import References, reference
from instanter.privacy.roles import SCOPES

from ..api.client import Client, with_client

TENANTS = ("one", "two")
Call = Callable[..., Awaitable[Any]]


def twins(text: str) -> int:
    """`twin-1` and `twin-2` have one reference, whatever they name."""
    return reference(text.replace("twin-1", "twin-2"))


def with_twins(root: Path, work: Callable[[Client, Call], Awaitable[None]]) -> None:
    """Run `work` with a call in a tenant's name that has to succeed."""

    async def run(client: Client) -> None:
        keys = {tenant: await client.key(*SCOPES, tenant=tenant) for tenant in TENANTS}

        async def call(tenant: str, method: str, path: str, body: Any = None) -> Any:
            reply = await client.call(method, path, body, headers=keys[tenant].headers)
            assert reply.status_code == 200, reply.text
            return reply.json()

        for tenant in TENANTS:
            items = [{"id": f"{name}-{tenant}", "fields": {"title": name, "stock": 1}} for name in ("sofa", "lamp")]
            await call(tenant, "POST", "/v1/items", {"items": items})
        await work(client, call)

    terms = Terms(key_requests_per_s=1_000_000)
    with_client(root, run, terms=terms, clock=ManualClock(), references=References(hashed=twins))


def viewed(tenant: str, person: str, message: str, item: str = "sofa") -> dict[str, Any]:
    return {"messageId": message, "anonymousId": person, "event": "Product Viewed",
            "properties": {"product_id": f"{item}-{tenant}"}}  # fmt: skip


def bought(tenant: str, person: str, order: str) -> dict[str, Any]:
    return {"messageId": f"m-{order}", "anonymousId": person, "event": "Order Completed",
            "properties": {"order_id": order, "products": [{"product_id": f"sofa-{tenant}", "price": 5}]}}  # fmt: skip


async def feature(call: Call, tenant: str, person: str, name: str) -> Any:
    return (await call(tenant, "GET", f"/v1/profiles/anonymous:{person}"))["features"][name]


def test_a_message_is_taken_for_its_twin_of_the_same_person_and_of_nobody_else(tmp_path: Path) -> None:
    async def work(client: Client, call: Call) -> None:
        for tenant, person, message in (
            ("one", "a", "twin-1"), ("one", "a", "twin-2"), ("one", "b", "twin-2"), ("two", "a", "twin-2")
        ):  # fmt: skip
            await call(tenant, "POST", "/v1/track", viewed(tenant, person, message))
        for tenant, person in (("one", "a"), ("one", "b"), ("two", "a")):
            assert await feature(call, tenant, person, "views") == 1.0
        assert client.engine.partition.state.verdicts["duplicate"] == 1, "counted as what has come before"

    with_twins(tmp_path, work)


def test_an_order_is_taken_for_its_twin_of_the_same_person_and_of_nobody_else(tmp_path: Path) -> None:
    async def work(client: Client, call: Call) -> None:
        for tenant, person, order in (
            ("one", "a", "twin-1"), ("one", "a", "twin-2"), ("one", "b", "twin-2"), ("two", "a", "twin-2")
        ):  # fmt: skip
            await call(tenant, "POST", "/v1/track", bought(tenant, person, order))
        for tenant, person in (("one", "a"), ("one", "b"), ("two", "a")):
            assert await feature(call, tenant, person, "orders") == 1.0
        assert client.engine.partition.state.verdicts["duplicate"] == 1

    with_twins(tmp_path, work)


def test_a_value_is_taken_for_its_twin_and_shown_by_the_name_that_the_same_tenant_gave_first(tmp_path: Path) -> None:
    async def work(client: Client, call: Call) -> None:
        for tenant, item, category in (
            ("one", "sofa", "twin-1"), ("one", "lamp", "twin-2"), ("two", "sofa", "twin-2")
        ):  # fmt: skip
            await call(tenant, "PATCH", f"/v1/items/{item}-{tenant}", {"fields": {"category": category}})
        for tenant, item in (("one", "lamp"), ("two", "sofa")):
            await call(tenant, "POST", "/v1/track", viewed(tenant, "a", "m-1", item))
        shown = [await feature(call, tenant, "a", "category_affinity") for tenant in TENANTS]
        assert [[one["name"] for one in some] for some in shown] == [["twin-1"], ["twin-2"]]

    with_twins(tmp_path, work)


def test_groups_of_one_reference_are_one_group_within_a_tenant_and_apart_between_two(tmp_path: Path) -> None:
    async def work(client: Client, call: Call) -> None:
        for tenant, item, group in (("one", "sofa", "twin-1"), ("one", "lamp", "twin-2"), ("two", "sofa", "twin-2")):
            await call(tenant, "PATCH", f"/v1/items/{item}-{tenant}", {"fields": {"item_group_id": group}})
        shown = {}
        for tenant in TENANTS:
            asked = {"anonymousId": "a", "deadlineMs": 10_000, "placements": [{"id": "home.recommended"}]}
            reply = await call(tenant, "POST", "/v1/decide", asked)
            shown[tenant] = [one["id"] for one in reply["placements"]["home.recommended"]["items"]]
        assert (len(shown["one"]), sorted(shown["two"])) == (1, ["lamp-two", "sofa-two"])

    with_twins(tmp_path, work)
