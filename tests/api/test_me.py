"""`/v1/me`: visitors see, pause, take along and erase what is theirs, by a proof, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from instanter.api.me import HASH_CHARS, SECRET_CHARS_MIN, visitor_id
from instanter.api.tenancy import Terms
from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import (
    VISITOR_ERASURE_COST,
    VISITOR_EXPORT_COST,
    VISITOR_RIGHTS_PER_S,
    VISITOR_SECRET_CHARS_MAX,
    VISITOR_WHY_COST,
)

from .client import AccessKey, Client, track, with_client

TERMS = Terms(key_requests_per_s=1_000_000)
SECRET, OTHER = "a-secret-that-a-device-has-made", "another-secret-of-another-device"
VISITOR = visitor_id(SECRET)
PLACEMENTS = [{"id": "home.recommended", "limit": 2}]


class Device:
    """A visitor's page: a public key, and the secret of the device."""

    def __init__(self, client: Client, key: AccessKey, secret: str) -> None:
        self.client = client
        self.headers = {**key.headers, "X-Visitor-Secret": secret}
        self.anonymous_id = visitor_id(secret)
        self.seen = 0

    async def view(self, item: str, **more: Any) -> None:
        self.seen += 1
        event = {**track(self.seen), "anonymousId": self.anonymous_id, "messageId": f"{self.anonymous_id}{self.seen}"}
        event |= {"properties": {"product_id": item}, **more}
        assert (await self.client.post("/v1/track", event, headers=self.headers)).status_code == 200

    async def decide(self, **more: Any) -> str:
        asked = {"anonymousId": self.anonymous_id, "placements": PLACEMENTS, "deadlineMs": 10_000, **more}
        answer = await self.client.post("/v1/decide", asked, headers=self.headers)
        assert answer.status_code == 200
        return str(answer.json()["decisionId"])

    async def me(self, method: str = "GET", path: str = "", body: Any = None, **headers: str) -> httpx.Response:
        return await self.client.call(method, f"/v1/me{path}", body, headers={**self.headers, **headers})


def with_devices(root: Path, work: Any, *, secrets: tuple[str, ...] = (SECRET, OTHER), **options: Any) -> None:
    async def run(client: Client) -> None:
        key = await client.key("write", "decide", public=True)
        catalogue = await client.key("catalog")
        items = [{"id": f"chair-{number}", "fields": {"title": f"Chair {number}", "category": "chairs", "stock": 3}}
                 for number in range(4)]  # fmt: skip
        assert (await client.post("/v1/items", {"items": items}, headers=catalogue.headers)).status_code == 200
        await work(client, *(Device(client, key, secret) for secret in secrets))

    with_client(root, run, terms=TERMS, **options)


def test_a_visitor_sees_what_is_known_in_words(tmp_path: Path) -> None:
    async def work(client: Client, device: Device, other: Device) -> None:
        await device.view("chair-1")
        told = (await device.me()).json()
        assert told["ids"] == [f"anonymous:{VISITOR}"]
        assert told["known"] is True
        assert "In this visit you have looked at Chair 1." in told["words"]
        assert "You like chairs." in told["words"]
        assert told["features"]["views"] == 1
        assert (await other.me()).status_code == 404

    with_devices(tmp_path, work)


def test_only_decisions_for_the_visitor_are_told(tmp_path: Path) -> None:
    async def work(client: Client, device: Device, other: Device) -> None:
        await device.view("chair-1")
        await other.view("chair-2")
        mine, anothers = await device.decide(), await other.decide()
        nobodys = await client.post("/v1/decide", {"placements": PLACEMENTS}, headers=device.headers)
        told = (await device.me(path=f"/decisions/{mine}")).json()
        shown = told["placements"]["home.recommended"]
        assert shown["servedBy"] == "personal"
        assert shown["words"][0].startswith("It was put together for you")
        assert [item["position"] for item in shown["items"]] == [1, 2]
        assert all(item["title"].startswith("Chair ") for item in shown["items"])
        for decision in (anothers, nobodys.json()["decisionId"], "d_0" + 32 * "0", "nonsense"):
            refused = await device.me(path=f"/decisions/{decision}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_decision")
        assert (await other.me(path=f"/decisions/{mine}")).status_code == 404

    with_devices(tmp_path, work)


def test_pausing_holds_for_the_next_event_and_decision_and_can_be_taken_back(tmp_path: Path) -> None:
    async def work(client: Client, device: Device, other: Device) -> None:
        await device.view("chair-1")
        paused = await device.me("PUT", "/consent", {"purposes": {"personalization": False}})
        assert paused.json()["purposes"] == {"personalization": False}
        await device.view("chair-2")
        told = (await device.me()).json()
        assert told["consent"] == {"personalization": False}
        assert told["words"][-1].startswith("You do not want to be remembered")
        assert "Chair 2" not in json.dumps(told)
        await device.me("PUT", "/consent", {"purposes": {"personalization": True}})
        await device.view("chair-3")
        assert (await device.me()).json()["features"]["views"] == 2

    with_devices(tmp_path, work)


def test_what_is_held_can_be_taken_along_and_erased(tmp_path: Path) -> None:
    async def work(client: Client, device: Device, other: Device) -> None:
        await device.view("chair-1")
        await other.view("chair-2")
        await device.decide()
        lines = [json.loads(line) for line in (await device.me(path="/export")).text.splitlines()]
        assert [line["kind"] for line in lines] == ["profile", "event", "decision"]
        bucket.advance(60_000)
        erased = await device.me("DELETE")
        assert erased.status_code == 200
        assert erased.json()["signature"]
        assert (await device.me()).status_code == 404
        assert (await other.me()).json()["features"]["views"] == 1

    bucket = ManualClock()
    with_devices(tmp_path, work, bucket_clock=bucket)


@pytest.mark.parametrize("secret", [
    "x" * (SECRET_CHARS_MIN - 1), "x" * (VISITOR_SECRET_CHARS_MAX + 1), f"{SECRET} ", "x" * 30 + "!", VISITOR,
])  # fmt: skip
def test_what_is_no_secret_proves_nobody(secret: str, tmp_path: Path) -> None:
    async def work(client: Client, device: Device) -> None:
        await device.view("chair-1")
        for method, path, body in CALLS:
            refused = await device.me(method, path, body, **{"X-Visitor-Secret": secret})
            assert refused.status_code == (404 if secret == VISITOR else 403), (method, path)
            assert "chair" not in refused.text
        assert (await device.me()).status_code == 200

    with_devices(tmp_path, work, secrets=(SECRET,))


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "", None), ("GET", "/export", None), ("DELETE", "", None),
    ("GET", "/decisions/d_0" + 32 * "0", None), ("PUT", "/consent", {"purposes": {"personalization": False}}),
]  # fmt: skip


def test_without_a_proof_it_is_said_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    async def work(client: Client, device: Device) -> None:
        await device.view("chair-1")
        before = client.engine.partition.hash()
        for method, path, body in CALLS:
            refused = await device.me(method, path, body, **{"X-Visitor-Secret": ""})
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "proof_missing")
            assert "X-Visitor-Secret" in refused.json()["error"]["message"]
            unknown = await device.me(method, path, body, **{"X-Visitor-Secret": "x" * 32})
            assert unknown.status_code == 404
        assert client.engine.partition.hash() == before, "nobody becomes known by asking"

    with_devices(tmp_path, work, secrets=(SECRET,))


def test_ids_that_follow_from_no_secret_cannot_be_asked_for(tmp_path: Path) -> None:
    async def work(client: Client, device: Device) -> None:
        event = {**track(1), "anonymousId": "plain-id-of-another-library-here"}
        await client.post("/v1/track", event, headers=device.headers)
        asked = await device.me(**{"X-Visitor-Secret": "plain-id-of-another-library-here"})
        assert asked.status_code == 404

    with_devices(tmp_path, work, secrets=(SECRET,))


def test_what_somebody_signed_in_has_takes_their_token(tmp_path: Path) -> None:
    async def work(client: Client, device: Device, other: Device) -> None:
        admin = await client.key("admin", "write")
        made = (await client.post("/v1/signing-secrets", headers=admin.headers)).json()
        now_s = client.engine.clock.now_ms() // 1_000

        def token(user: str, secret: str = made["secret"]) -> str:
            claims = {"sub": user, "aud": "default", "exp": now_s + 600}
            return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": made["id"]})

        await device.view("chair-1")
        await other.view("chair-2")
        linked = {"messageId": "l1", "anonymousId": device.anonymous_id, "userId": "ada"}
        await client.post("/v1/identify", linked, headers=admin.headers)
        for method, path, body in CALLS:
            refused = await device.me(method, path, body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
            forged = await device.me(method, path, body, **{"X-User-Token": token("ada", "not the secret" * 4)})
            assert forged.status_code == 403
        told = (await device.me(**{"X-User-Token": token("ada")})).json()
        assert told["ids"] == ["ada", f"anonymous:{VISITOR}"]
        assert (await other.me(**{"X-User-Token": token("bob")})).status_code == 404
        assert (await other.me(**{"X-User-Token": "forged"})).json()["ids"] == [f"anonymous:{other.anonymous_id}"]
        bucket.advance(60_000)
        assert (await other.me("DELETE", **{"X-User-Token": token("ada")})).status_code == 200
        assert (await device.me()).status_code == 404
        assert (await other.me()).status_code == 200

    bucket = ManualClock()
    with_devices(tmp_path, work, bucket_clock=bucket)


def test_a_claim_of_a_page_takes_nothing_from_the_device(tmp_path: Path) -> None:
    async def work(client: Client, device: Device) -> None:
        await device.view("chair-1", userId="ada")
        assert (await device.me()).status_code == 200
        assert (await client.call("GET", "/v1/me", headers=device.headers | {"X-User-Token": "x"})).status_code == 200

    with_devices(tmp_path, work, secrets=(SECRET,))


def test_visitors_of_a_tenant_ask_for_so_much_and_no_more(tmp_path: Path) -> None:
    async def work(client: Client, device: Device, other: Device) -> None:
        await device.view("chair-1")
        await other.view("chair-1")
        for path, method, cost in (("/export", "GET", VISITOR_EXPORT_COST), ("", "DELETE", VISITOR_ERASURE_COST)):
            bucket.advance(60_000)
            assert (await device.me(method, path)).status_code == 200
            refused = await other.me(method, path)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, str(cost // VISITOR_RIGHTS_PER_S))
            assert (await other.me()).status_code == 200, "what is quick is not held up"
            bucket.advance(cost * 1_000 // VISITOR_RIGHTS_PER_S)
            assert (await other.me(path="/decisions/d_0" + 32 * "0")).status_code == 404
            await device.view("chair-1")
        bucket.advance(60_000)
        asked = [await other.me(path="/decisions/d_0" + 32 * "0") for _ in range(VISITOR_RIGHTS_PER_S + 1)]
        assert [one.status_code for one in asked] == [404] * (VISITOR_RIGHTS_PER_S // VISITOR_WHY_COST) + [429]

    bucket = ManualClock()
    with_devices(tmp_path, work, bucket_clock=bucket)


def test_a_person_who_lies_on_disk_is_read_and_two_at_once_do_not_mix(tmp_path: Path) -> None:
    async def work(client: Client, device: Device, other: Device) -> None:
        await device.view("chair-1")
        await other.view("chair-2")
        first, second = await asyncio.gather(device.me(), other.me())
        assert "Chair 1" in first.text
        assert "Chair 2" not in first.text
        assert "Chair 2" in second.text
        assert "Chair 1" not in second.text

    with_devices(tmp_path, work)


def test_with_dev_the_secret_is_enough(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        event = {**track(1), "anonymousId": VISITOR, "userId": "ada"}
        await client.post("/v1/track", event)
        told = await client.call("GET", "/v1/me", headers={"X-Visitor-Secret": SECRET})
        assert "ada" in told.json()["ids"]

    with_client(tmp_path, work)


def test_the_id_of_a_device_is_as_long_as_said() -> None:
    assert len(VISITOR) == 2 + HASH_CHARS
