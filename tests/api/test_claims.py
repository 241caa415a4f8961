"""What a public key says of people and orders is a claim: taken, and counting for the device that sends it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from .client import AccessKey, Client, track
from .test_auth import DECIDE, with_keys


async def token(client: Client, user: str, **claims: Any) -> str:
    """A user token as the shop's server would sign it."""
    admin = await client.key("admin")
    made = (await client.post("/v1/signing-secrets", headers=admin.headers)).json()
    until_s = client.engine.clock.now_ms() // 1_000 + 3_600
    signed = {"sub": user, "aud": made["tenant"], "exp": until_s, **claims}
    return jwt.encode(signed, made["secret"], algorithm="HS256", headers={"kid": made["id"]})


async def keys(client: Client) -> tuple[AccessKey, AccessKey]:
    """A public key, and one of an administrator."""
    return await client.key("write", "decide", public=True), await client.key("admin", "write", "decide")


def test_a_users_claim_is_taken_and_counts_for_the_device_alone(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        await client.engine.change_items([])
        identify = {"messageId": "i", "anonymousId": "a1", "userId": "ada", "traits": {"plan": "gold"}}
        for path, body in (("/v1/identify", identify), ("/v1/track", {**track(1), "userId": "ada"})):
            assert (await client.post(path, body, headers=public.headers)).status_code == 200
        device = (await client.get("/v1/profiles/anonymous:a1", headers=admin.headers)).json()
        assert (device["features"]["views"], device["linked"]) == (1.0, [])
        assert (await client.get("/v1/profiles/ada", headers=admin.headers)).status_code == 404

    with_keys(tmp_path, work)


def test_a_secret_key_confirms_what_the_device_claimed(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        claimed = {**track(1), "userId": "ada"}
        assert (await client.post("/v1/track", claimed, headers=public.headers)).status_code == 200
        identify = {"messageId": "i", "anonymousId": "a1", "userId": "ada"}
        assert (await client.post("/v1/identify", identify, headers=admin.headers)).status_code == 200
        ada = (await client.get("/v1/profiles/ada", headers=admin.headers)).json()
        assert (ada["features"]["views"], ada["linked"]) == (1.0, ["anonymous:a1"])

    with_keys(tmp_path, work)


@pytest.mark.parametrize("place", ["context", "batch", "header"])
def test_a_signed_user_token_makes_it_count_at_once(place: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        signed = await token(client, "ada")
        identify: dict[str, Any] = {"type": "identify", "messageId": "i", "anonymousId": "a1", "userId": "ada"}
        body: dict[str, Any] = {"batch": [identify, {"type": "track", **track(1)}]}
        headers = dict(public.headers)
        if place == "context":
            identify["context"] = {"userToken": signed}
        elif place == "batch":
            body["context"] = {"userToken": signed, "locale": "en"}
        else:
            headers["X-User-Token"] = signed
        assert (await client.post("/v1/batch", body, headers=headers)).json()["accepted"] == 2
        ada = (await client.get("/v1/profiles/ada", headers=admin.headers)).json()
        assert (ada["features"]["views"], ada["linked"]) == (1.0, ["anonymous:a1"])
        exported = (await client.get("/v1/profiles/ada/export", headers=admin.headers)).text
        assert signed not in exported
        assert "userToken" not in exported

    with_keys(tmp_path, work)


def test_a_token_of_one_user_confirms_no_other(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        signed = await token(client, "bert")
        identify = {"messageId": "i", "anonymousId": "a1", "userId": "ada", "context": {"userToken": signed}}
        assert (await client.post("/v1/identify", identify, headers=public.headers)).status_code == 200
        for user in ("ada", "bert"):
            assert (await client.get(f"/v1/profiles/{user}", headers=admin.headers)).status_code == 404

    with_keys(tmp_path, work)


def test_an_order_of_a_public_key_is_kept_as_a_claim(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        order = {**track(1), "event": "completed_order", "properties": {"order_id": "o1", "product_id": "sku-1"}}
        assert (await client.post("/v1/track", order, headers=public.headers)).status_code == 200
        device = (await client.get("/v1/profiles/anonymous:a1", headers=admin.headers)).json()
        assert device["features"]["orders"] == 0.0
        server = {**order, "messageId": "m-server"}
        assert (await client.post("/v1/track", server, headers=admin.headers)).status_code == 200
        device = (await client.get("/v1/profiles/anonymous:a1", headers=admin.headers)).json()
        assert device["features"]["orders"] == 1.0

    with_keys(tmp_path, work)


def test_no_token_lies_in_the_quarantine(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        bad = {"event": "Lamp Lit", "anonymousId": "", "context": {"userToken": "aaa.bbb.ccc"}}
        assert (await client.post("/v1/track", bad, headers=public.headers)).status_code == 400
        groups = (await client.get("/v1/quarantine", headers=admin.headers)).json()["groups"]
        entry = await client.get(f"/v1/quarantine/{groups[0]['example']}", headers=admin.headers)
        assert "Lamp Lit" in entry.text
        assert "aaa.bbb" not in entry.text

    with_keys(tmp_path, work)


def test_a_public_key_decides_for_its_device_or_for_whom_a_token_confirms(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        public, admin = await keys(client)
        await client.engine.change_items([])
        await client.post("/v1/items", {"items": [{"id": "sku-1", "fields": {}}]}, headers=(
            await client.key("catalog")).headers)
        seen = {"messageId": "v", "userId": "ada", "event": "Product Viewed", "properties": {"product_id": "sku-1"}}
        assert (await client.post("/v1/track", seen, headers=admin.headers)).status_code == 200
        asked = {**DECIDE, "userId": "ada"}

        async def rung(headers: dict[str, str], **more: Any) -> str:
            reply = await client.post("/v1/decide", {**asked, **more}, headers=headers)
            assert reply.status_code == 200, reply.text
            return str(reply.json()["placements"]["home.recommended"]["servedBy"])

        assert await rung(public.headers) != "personal"
        signed = await token(client, "ada")
        assert await rung({**public.headers, "X-User-Token": signed}) == "personal"
        assert await rung(public.headers, context={"userToken": signed}) == "personal"
        alone = await client.post("/v1/decide", {**asked, "anonymousId": None}, headers=public.headers)
        assert alone.status_code == 403
        with_token = {**public.headers, "X-User-Token": signed}
        assert (await client.post("/v1/decide", {**asked, "anonymousId": None}, headers=with_token)).status_code == 200

    with_keys(tmp_path, work)


def test_the_sender_of_a_claim_is_told_and_it_is_counted(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        public, _ = await keys(client)
        order = {"type": "track", **track(1), "event": "Order Completed", "userId": "ada"}
        reply = await client.post("/v1/batch", {"batch": [order]}, headers=public.headers)
        told = {warning["code"]: warning["message"] for warning in reply.json()["warnings"]}
        assert "signed user token" in told["claimed"]
        assert client.engine.meter.counts["events_notes.claimed"] == 2

    with_keys(tmp_path, work)


def test_a_statement_of_consent_that_nothing_depends_on_is_told(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        _, admin = await keys(client)
        for consent, heeded in (({"C0003": False}, False), ({"personalization": True, "C0004": False}, True)):
            sent = {**track(1), "messageId": str(heeded), "context": {"consent": consent}}
            reply = await client.post("/v1/track", sent, headers=admin.headers)
            codes = [warning["code"] for warning in reply.json().get("warnings", [])]
            assert ("consent_unheeded" not in codes) is heeded

    with_keys(tmp_path, work)
