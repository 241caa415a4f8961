"""Paths and methods that are not there, and errors of every kind, in the one shape."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from instanter.api.app import RESOURCES
from instanter.engine.loop import Engine
from instanter.foundation.clock import ManualClock
from instanter.foundation.deadline import Deadline
from instanter.ops.logs import JsonLines

from .client import Client, track, with_client


@pytest.mark.parametrize("path", [
    "/v1", "/v1/", "/v2/track", "/v1/track//", "/v1/tracks", "/V1/track", "/favicon.ico", "/v1/profile",
    "/%00", "/healthz/x",
])
def test_a_path_that_is_not_there_is_404_for_every_method(path: str, tmp_path: Path):
    async def work(client: Client) -> None:
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            reply = await client.http.request(method, path)
            assert reply.status_code == 404
            assert reply.headers["content-type"] == "application/json"
            assert reply.json()["error"]["code"] == "not_found"

    with_client(tmp_path, work)


@pytest.mark.parametrize(("path", "allowed"), [
    ("/v1/track", "OPTIONS, POST"), ("/v1/decide", "OPTIONS, POST"), ("/healthz", "GET, HEAD, OPTIONS"),
    ("/v1/items/a", "DELETE, GET, HEAD, OPTIONS, PATCH"), ("/v1/items", "GET, HEAD, OPTIONS, POST"),
    ("/v1/profiles/a/links/b", "DELETE, OPTIONS"),
])
def test_a_method_that_is_not_there_is_405_and_names_those_that_are(path: str, allowed: str, tmp_path: Path):
    async def work(client: Client) -> None:
        for method in {"GET", "PUT", "POST", "PATCH", "DELETE", "TRACE", "FROB"} - set(allowed.split(", ")):
            reply = await client.http.request(method, path)
            assert (reply.status_code, reply.headers["Allow"]) == (405, allowed)
            assert reply.json()["error"]["code"] == "method_not_allowed"
            assert ("success" in reply.json()) is (path == "/v1/track")
        asked = await client.http.request("OPTIONS", path)
        assert (asked.status_code, asked.headers["Allow"], asked.content) == (204, allowed, b"")

    with_client(tmp_path, work)


def test_once_the_engine_has_stopped_nothing_is_taken_or_told_from_what_was_folded(tmp_path: Path):
    always = {"/metrics"}

    async def work(client: Client) -> None:
        await client.stock("sku-1")
        client.engine.broken = "folding stopped in the midst of Ticked"
        for resource in RESOURCES:
            path = resource.path.replace("{id:path}", "sku-1").replace("{placement:path}", "home.hero")
            path = path.replace("{linked:path}", "a").replace("{key}", "k")
            for method, (scope, _) in resource.methods.items():
                body = b"{}" if method in ("POST", "PUT", "PATCH") else None
                reply = await client.call(method, path, body)
                if scope == "open" or path in always:
                    assert reply.status_code == (503 if path == "/readyz" else 200), path
                    continue
                assert (reply.status_code, reply.json()["error"]["code"]) == (503, "broken"), (method, path)
        client.engine.broken = ""

    with_client(tmp_path, work)


@pytest.mark.parametrize("path", ["/healthz", "/v1/items/sku-1", "/v1/keys", "/v1/models"])
def test_one_slash_at_the_end_is_as_good_as_none(path: str, tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        plain, slashed = await client.http.get(path), await client.http.get(path + "/")
        assert (slashed.status_code, slashed.json()) == (plain.status_code, plain.json())
        assert plain.status_code == 200

    with_client(tmp_path, work)


def test_an_id_that_ends_in_a_slash_is_escaped(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a/")
        assert (await client.get("/v1/items/a%2F")).json()["id"] == "a/"
        assert (await client.get("/v1/items/a/")).status_code == 404

    with_client(tmp_path, work)


def test_the_root_of_the_api_tells_where_the_routes_are_listed(tmp_path: Path):
    async def work(client: Client) -> None:
        assert "/openapi.json" in (await client.get("/v1")).json()["error"]["message"]
        assert "/v1/track" in (await client.get("/openapi.json")).json()["paths"]

    with_client(tmp_path, work)


def test_a_defect_of_ours_is_500_shows_nothing_and_is_logged_without_what_was_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
):
    def broken(engine: Engine) -> bytes:
        raise ValueError("planted-person")

    async def work(client: Client) -> None:
        reply = await client.http.get("/metrics?who=planted-person")
        assert reply.status_code == 500
        assert set(reply.json()["error"]) == {"code", "message", "details"}
        assert reply.json()["error"]["code"] == "internal"
        assert "planted" not in reply.text
        assert "Traceback" not in reply.text
        assert client.engine.meter.counts["requests_failed"] == 1

    with caplog.at_level(logging.ERROR, logger="instanter.api"):
        with_client(tmp_path, work, render=broken)
    (record,) = caplog.records
    line = JsonLines().format(record)
    told = json.loads(line)
    assert (told["level"], told["route"]) == ("error", "/metrics")
    assert told["error"] == "ValueError"
    assert any("broken" in frame for frame in told["frames"])
    assert "planted" not in line


def test_a_server_that_is_stopping_is_alive_and_not_ready(tmp_path: Path):
    async def work(client: Client) -> None:
        assert (await client.get("/readyz")).json()["status"] == "ready"
        await client.engine.stop(Deadline(10_000))
        assert (await client.get("/healthz")).status_code == 200
        reply = await client.get("/readyz")
        assert (reply.status_code, reply.json()["status"]) == (503, "not ready")
        refused = await client.post("/v1/track", track(1))
        assert (refused.status_code, refused.json()["code"]) == (503, "log_closed")

    with_client(tmp_path, work, clock=ManualClock())


def test_the_states_hash_is_that_of_its_position(tmp_path: Path):
    async def work(client: Client) -> None:
        first = (await client.get("/v1/state")).json()
        await client.post("/v1/track", track(1))
        second = (await client.get("/v1/state")).json()
        assert int(second["position"]) > int(first["position"])
        assert second["hash"] != first["hash"]
        assert (await client.get("/v1/state")).json() == second

    with_client(tmp_path, work)
