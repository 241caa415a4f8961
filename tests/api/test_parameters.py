"""What may stand in the query of an address, on every route: what has no effect there is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from .client import Client, track, with_client


@pytest.mark.parametrize(("method", "path", "said"), [
    ("GET", "/v1/items?lmit=3", "did you mean limit?"),
    ("GET", "/v1/items?limit=3&limit=4", "limit stands 2 times"),
    ("GET", "/v1/profiles/anonymous:a1?limit=3", "there is none"),
    ("GET", "/v1/live?from=3", "there is since"),
    ("POST", "/v1/decide?explain=true", "there is none"),
    ("POST", "/v1/items?comit=true", "did you mean commit?"),
    ("DELETE", "/v1/items/sku-1?force=true", "there is none"),
])
def test_what_has_no_effect_is_told_and_nothing_is_done(method: str, path: str, said: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        body = None if method in ("GET", "DELETE") else {"items": []}
        refused = await client.call(method, path, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "schema")
        assert said in refused.json()["error"]["message"]
        assert (await client.get("/v1/items/sku-1")).status_code == 200

    with_client(tmp_path, work)


def test_trackers_and_scrapers_may_put_into_an_address_what_they_like(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        assert (await client.post("/v1/track?_=17", track(1))).status_code == 200
        assert (await client.get("/healthz?cache=no")).status_code == 200
        assert (await client.get("/metrics?name[]=up")).status_code == 200

    with_client(tmp_path, work)
