"""A body counts by its bytes, however it was cut up; and what the HTTP server lets through that it should not."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Sequence
from itertools import product

import pytest

from .accountant import ask
from .conftest import MakeSite
from .servers import ForkedServer
from .slow_clients import HOST

pytestmark = pytest.mark.faults

BODY_READ_S = 2
"""One pause too many, and the answer is 408."""


@pytest.fixture
def server(make_site: MakeSite) -> ForkedServer:
    site = make_site()
    site.config.write_text(site.config.read_text() + f"[serve]\nbody_read_s = {BODY_READ_S}\n")
    return site.start()


def answer_to(port: int, sent: bytes) -> http.client.HTTPResponse:
    """What is answered to these bytes, sent at once."""
    with socket.create_connection((HOST, port), timeout=30) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer


def chunked(pieces: Sequence[bytes], *, path: str = "/v1/batch", headers: str = "") -> bytes:
    """A request whose body is sent in these pieces."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def cut(body: bytes, size_bytes: int) -> list[bytes]:
    return [body[at : at + size_bytes] for at in range(0, len(body), size_bytes)]


def test_a_body_in_small_pieces_is_taken_as_one_in_a_single_piece(server: ForkedServer) -> None:
    sent = 0
    for pieces, packed in product((9, 100, 2_000), (False, True)):
        events = [{"type": "track", "event": "x", "anonymousId": "a", "messageId": f"m-{sent + n}"} for n in range(100)]
        sent += 100
        body = json.dumps({"batch": events}).encode()
        body, headers = (gzip.compress(body), "Content-Encoding: gzip\r\n") if packed else (body, "")
        request = chunked(cut(body, -(-len(body) // pieces)), headers=headers)
        assert answer_to(server.port, request).status == 200, (pieces, packed)
    assert b"instanter_events_accepted_total %d.0" % sent in ask(server.port, "GET", "/metrics").body


def test_a_request_says_which_server_it_means(server: ForkedServer) -> None:
    asked = "Access-Control-Request-Method: POST\r\n\r\n"
    for head, status in (
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET /healthz/ HTTP/1.1\r\nHost: probe.example\r\n\r\n", 200),
        ("GET /v1/items/a HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 421),
        ("GET http://rebound.example/v1/items/a HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 421),
        ("OPTIONS /v1/t HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n" + asked, 204),
        ("OPTIONS /v1/t HTTP/1.1\r\nHost: localhost\r\nOrigin: http://shop.example\r\n" + asked, 403),
    ):
        assert answer_to(server.port, head.encode()).status == status, head
    assert ask(server.port, "GET", "/readyz").status == 200
