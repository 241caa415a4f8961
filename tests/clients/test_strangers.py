"""S14: a page in a real Chromium against a developer's server: from an origin of its own, and under a name of its own
that it turns to the server (DNS rebinding). The server has more to lose than anybody's: it asks nobody for a key."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from instanter.api.app import document
from instanter.events.envelope import Epoch, Ticked, decode_record
from instanter.foundation.disk import RealDisk
from instanter.log.segments import SegmentReader

from ..faults.servers import Nursery, Site
from ..faults.test_s1_scopes import BODIES
from .between import HOST
from .chromium import PAGES, Pages, chromium

pytestmark = [pytest.mark.faults, pytest.mark.row("S14")]

FOREIGN, REBOUND, LOCAL = "stranger.test", "rebound.test", "stranger.shop.localhost"
PATH_IDS = {"id": "sku-1", "placement": "home.hero", "linked": "anonymous:a1", "key": "k"}
ATTEMPTS_MIN = 100
LOOKED_AT = ("/v1/quarantine", "/v1/keys", "/v1/signing-secrets", "/v1/jobs", "/v1/models", "/v1/audit")
ASKED_BY_PAGES = (
    "/v1/track", "/v1/identify", "/v1/page", "/v1/screen", "/v1/group", "/v1/alias", "/v1/batch", "/v1/decide",
    "/v1/rank",
)  # fmt: skip
"""What a page of this machine may do, asking first or as text."""


def every_route() -> list[dict[str, Any]]:
    """Every operation of the document, with a body that it would take."""
    routes = []
    for path, methods in document()["paths"].items():
        filled = path
        for name, value in PATH_IDS.items():
            filled = filled.replace(f"{{{name}}}", value)
        for method in methods:
            routes.append({"method": method.upper(), "path": filled, "body": BODIES.get(path)})
    return routes


class Developer(NamedTuple):
    """A developer's server, and where its data is."""

    url: str
    data: Path

    def held(self) -> dict[str, Any]:
        """All that anything could have changed: the records of the log but those of passing time, keys, acts."""
        frames = SegmentReader(RealDisk(), self.data / "log").read()
        records = [decode_record(frame.payload, offset=frame.position) for frame in frames]
        with httpx.Client(base_url=self.url, timeout=30) as http:
            told = {path: http.get(path).json() for path in LOOKED_AT}
        return {"log": [record for record in records if not isinstance(record, Epoch | Ticked)], **told}


@pytest.fixture(scope="module")
def developer(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Developer]:
    """A server with an item and a person in it."""
    site = Site(nursery, tmp_path_factory.mktemp("developer"))
    url = f"http://{HOST}:{site.start().port}"
    items = {"items": [{"id": "sku-1", "fields": {"title": "Chair"}}]}
    assert httpx.post(f"{url}/v1/items", json=items).status_code == 200
    assert httpx.post(f"{url}/v1/track", json=BODIES["/v1/track"]).status_code == 200
    yield Developer(url, site.data)
    site.close()


@pytest.fixture
def stranger(site_of_pages: Pages) -> Pages:
    if chromium() is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return site_of_pages


class Turned:
    """Serves a page under a name, then hands everything that is asked under that name to the developer's server, heads
    as they are: to a browser and to the server this is what a name is whose address was changed in between."""

    def __init__(self, pages: Pages, server: str) -> None:
        host, _, port = server.removeprefix("http://").partition(":")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/stranger.html"):
                    self._answer(200, (PAGES / "stranger.html").read_bytes())
                else:
                    self._turned()

            def do_POST(self) -> None:
                if self.path == "/told":
                    pages.hear(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                    self._answer(204, b"")
                else:
                    self._turned()

            do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

            def _turned(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                ours = http.client.HTTPConnection(host, int(port), timeout=30)
                ours.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    ours.putheader(name, value)
                ours.endheaders(body or None)
                reply = ours.getresponse()
                self._answer(reply.status, reply.read())
                ours.close()

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                return None

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def check_tried(told: Any, bases: int) -> None:
    assert told.get("sent", 0) >= bases * ATTEMPTS_MIN, told


def test_a_foreign_page_has_no_effect(
    stranger: Pages, developer: Developer, record_property: Callable[[str, object], None]
) -> None:
    before = developer.held()
    bases = [developer.url, developer.url.replace(HOST, "localhost")]
    origin = f"http://{FOREIGN}:{stranger.port}"
    told = stranger.told_by_stranger(origin, "stranger", bases=" ".join(bases), routes=json.dumps(every_route()))
    check_tried(told, len(bases))
    assert told["read"] == 0, "answers that the page could read"
    assert developer.held() == before
    record_property("cross-site requests", told["sent"])
    record_property("effects", 0)


def test_a_name_that_is_turned_to_the_server_reaches_nothing(
    stranger: Pages, developer: Developer, record_property: Callable[[str, object], None]
) -> None:
    before, turned = developer.held(), Turned(stranger, developer.url)
    base = f"http://{REBOUND}:{turned.port}"
    try:
        told = stranger.told_by_stranger(base, "stranger", bases=base, routes=json.dumps(every_route()))
    finally:
        turned.close()
    check_tried(told, 1)
    probes = 2 * sum(route["path"] in ("/healthz", "/readyz") for route in every_route())
    assert told["read"] == probes, "the probes are answered under every name, and nothing else is"
    assert developer.held() == before
    record_property("requests under a turned name", told["sent"])


def test_a_page_of_this_machine_may_send_events_and_as_text_nothing_else(stranger: Pages, developer: Developer) -> None:
    """The same page from a loopback origin: what it sends arrives, so the tests above would see an effect."""
    before = developer.held()
    origin = f"http://{LOCAL}:{stranger.port}"
    routes = every_route()
    writes = [route for route in routes if route["method"] != "GET" and not route["path"].startswith(ASKED_BY_PAGES)]
    told = stranger.told_by_stranger(origin, "stranger", bases=developer.url, routes=json.dumps(writes))
    assert told["sent"] > 0
    assert developer.held() == before, "only tracking routes take what is not asked for first"
    tracked = [route for route in routes if route["path"] == "/v1/track"]
    told = stranger.told_by_stranger(origin, "stranger", bases=developer.url, routes=json.dumps(tracked))
    assert told["read"] > 0
    assert len(developer.held()["log"]) > len(before["log"])
