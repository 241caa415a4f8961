"""What means nothing where something is set is refused, with what was probably meant, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instanter.api.app import RESOURCES

from ..engine.rankers import Shelf
from .client import Client, with_client

HOME = "home.recommended"
MISNAMED: list[tuple[str, str, Any, str]] = [
    ("PUT", f"/v1/models/{HOME}", {"model": "plain@1", "share": 0.1}, "there are keepStandIn, model"),
    ("PUT", f"/v1/models/{HOME}", {"model": "plain@1", "keepStandin": True}, "did you mean keepStandIn?"),
    ("POST", "/v1/complete", {"query": "so", "limt": 3}, "did you mean limit?"),
    ("PUT", f"/v1/learners/{HOME}", {"act": "freeze", "acts": 1}, "did you mean act?"),
    ("POST", "/v1/keys", {"name": "shop", "scopes": ["write"], "pubic": True}, "did you mean public?"),
    ("POST", "/v1/keys", {"name": "shop", "roles": "viewer"}, "did you mean role?"),
    ("POST", "/v1/keys", {"name": "shop", "scopes": ["write"], "requestsPerSecond": 5}, "did you mean requestsPerS?"),
    ("PUT", "/v1/profiles/u1/consent", {"purposes": {"personalization": False}, "purpose": {}}, "mean purposes?"),
    ("PUT", "/v1/me/consent", {"purposes": {"personalization": False}, "purpose": {}}, "mean purposes?"),
    ("POST", "/v1/items/delete", {"ids": ["sku-1"], "dryRun": True}, "there is ids"),
    ("POST", "/v1/items?replace=begin&comit=true", {"items": []}, "did you mean commit?"),
    ("POST", "/v1/items?Replace=begin", {"items": []}, "did you mean replace?"),
    ("POST", "/v1/items?key=1", {"items": []}, "there are commit, force, replace"),
    ("POST", "/v1/items", {"items": [], "replace": "begin"}, "stands in the address"),
    ("PATCH", "/v1/items/sku-1", {"fields": {"price": 2}, "stock": 0}, "stands beside fields"),
    ("POST", "/v1/imports", {"lines": [], "trough": 1}, "did you mean through?"),
    ("POST", "/v1/imports/" + 32 * "0", {"lines": [], "sizebyte": 1}, "did you mean sizeBytes?"),
    ("POST", "/v1/quarantine/repair", {"dryrun": True}, "did you mean dryRun?"),
    ("POST", "/v1/remap", {"dryrun": True}, "did you mean dryRun?"),
    ("POST", "/v1/signing-secrets", {"name": "app"}, "takes no body"),
    ("POST", "/v1/decisions/d_1/replay", {"at": 1}, "takes no body"),
    ("POST", "/v1/decisions/d_1/whatif", {"weight": {"item.click_lift": 1}}, "did you mean weights?"),
]
LENIENT = {"/v1/batch", "/v1/decide", "/v1/rank", *(one.path for one in RESOURCES if one.tracking)}
"""Events may carry anything; a question that misnames a field is answered, with a warning."""


@pytest.mark.parametrize(("method", "path", "body", "said"), MISNAMED)
def test_a_field_that_means_nothing_is_refused_and_changes_nothing(
    method: str, path: str, body: Any, said: str, tmp_path: Path
) -> None:
    async def work(client: Client) -> None:
        await client.stock("sku-1", price=1.0)
        before = client.engine.partition.hash()
        refused = await client.call(method, path, body)
        assert refused.status_code == 400, refused.text
        error = refused.json()["error"]
        assert error["code"] == "schema"
        assert said in error["message"]
        assert client.engine.partition.hash() == before
        assert len(client.engine.signing.of_tenant("default")) == 0

    with_client(tmp_path, work, models=Shelf("plain@1"))


def test_every_route_that_sets_something_by_a_body_is_among_them() -> None:
    def template(path: str) -> str:
        parts = path.partition("?")[0].split("/")
        return "/".join("{}" if part in (HOME, "u1", "sku-1", "d_1", 32 * "0") else part for part in parts)

    def shape(path: str) -> str:
        return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))

    asked = {(method, template(path)) for method, path, _, _ in MISNAMED}
    there = {
        (method, shape(one.path)) for one in RESOURCES if one.path not in LENIENT
        for method in one.methods if method in ("POST", "PUT", "PATCH")
    }  # fmt: skip
    assert asked == there


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/decide", {"anonymousID": "a1", "placements": [{"id": HOME, "limmit": 2}]}),
        ("/v1/rank", {"anonymousId": "a1", "placement": HOME, "candidates": ["sku-1"], "explian": True}),
    ],
)
def test_a_question_with_a_misspelt_field_is_answered_with_a_warning(path: str, body: Any, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        answered = await client.post(path, body)
        assert answered.status_code == 200
        told = answered.json()["warnings"]
        assert {one["code"] for one in told} == {"unknown_field"}
        assert all("did you mean" in one["message"] for one in told)
        assert len(told) == json.dumps(body).count("ID") + json.dumps(body).count("limmit") + ("explian" in body)

    with_client(tmp_path, work)


@pytest.mark.parametrize(
    "name", ["gpp", "GPP_STRING", "gppString", "usPrivacy", "us_privacy", "uspString", "consentMode", "gpc",
             "globalPrivacyControl", "doNotTrack", "DNT", "optOut"]
)  # fmt: skip
@pytest.mark.parametrize(
    ("path", "question"),
    [("/v1/decide", {"placements": [{"id": HOME}]}), ("/v1/rank", {"placement": HOME, "candidates": ["sku-1"]})],
)
def test_a_statement_of_consent_that_no_decision_reads_is_told(
    path: str, question: dict[str, Any], name: str, tmp_path: Path
) -> None:
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        for said, codes in (("DBABMA~CPXxRfAPXxRfAAfKABENB", ["consent_unread"]), ("", []), (None, [])):
            asked = {"anonymousId": "a1", "context": {name: said, "page": {"url": "https://x/gpp"}}, **question}
            told = (await client.post(path, asked)).json().get("warnings", [])
            assert [one["code"] for one in told] == codes
            assert all(one["message"].startswith(f"context.{name}: what it says of consent") for one in told)

    with_client(tmp_path, work)


def test_what_is_known_is_taken(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        for method, path, body in (
            ("PUT", f"/v1/models/{HOME}", {"model": "plain@1", "keepStandIn": True}),
            ("POST", "/v1/imports", {"batch": [], "sentAt": None, "context": {}, "integrations": {}, "writeKey": "k"}),
            ("POST", "/v1/signing-secrets", {}), ("POST", "/v1/signing-secrets", None),
            ("PATCH", "/v1/items/sku-1", {"id": "sku-1", "fields": {"price": 2}}),
            ("PATCH", "/v1/items/sku-1", {"price": 3, "stock": 1}),
            ("POST", "/v1/items?replace=begin&commit=true", {"items": [{"id": "sku-1", "fields": {"replace": 1}}]}),
        ):  # fmt: skip
            reply = await client.call(method, path, body)
            assert reply.status_code == 200, (path, reply.text)

    with_client(tmp_path, work, models=Shelf("plain@1"))
