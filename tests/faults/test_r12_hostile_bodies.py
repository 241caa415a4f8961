"""R12: whatever the body, the answer is a 2xx or a 4xx with a reason, by the same process, at a bounded cost."""

from __future__ import annotations

import http.client
import os
import socket
from collections import Counter
from pathlib import Path

import pytest

from .accountant import Client, Reply, ask, recovered, replayed
from .conftest import About, Figures, MakeSite
from .hostile import SOUND, Hostile, hostile_requests
from .servers import ForkedServer

RSS_GROWTH_BYTES_MAX = 32 * 1024 * 1024
LARGE_BYTES_MIN = 64 * 1024
"""From here on a body's cost goes by its bytes; below it is that of a request."""
LARGE_CPU_MS_PER_MIB_MAX = 20
WARM_ROUNDS = 20
PATHS = [
    "/v1/items/%ff", "/v1/items/%00", "/v1/items/" + "x" * 5_000, "/v1/profiles/%ed%a0%80", "/v1/profiles/anonymous:",
    "/v1/decisions/%ff", "/v1/decisions/d_0000000000000000-5", "/v1/decisions/d_0000000000000000" + "f" * 400,
    "/v1/decisions/d_00000000000000002f5", "/v1/decisions/d_", "/%ff", "/v1/nope?" + "a" * 5_000, "/v1//items",
    "/v1/batch",
]  # fmt: skip

pytestmark = [pytest.mark.faults, pytest.mark.about("P10")]


def rss_bytes(server: ForkedServer) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_s(server: ForkedServer) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_sound(what: str, path: str, reply: Reply) -> None:
    """2xx, or 4xx in the shape of the contract."""
    assert 200 <= reply.status < 500, (what, path, reply.status, reply.body[:200])
    if reply.status >= 400:
        error = reply.json["error"]
        for one in (error, *error["details"]):
            assert (type(one["code"]), type(one["message"])) == (str, str), (what, path)
            assert one["code"], (what, path)
            assert one["message"], (what, path)
        assert error["details"] == [] or path == "/v1/items", (what, path)
        if path.startswith(("/v1/track", "/v1/batch", "/v1/identify", "/v1/page", "/v1/alias")):
            assert (reply.json["code"], reply.json["message"]) == (error["code"], error["message"])


def test_r12_every_hostile_body_is_taken_or_refused_with_a_reason(
    make_site: MakeSite, full: bool, figures: Figures, about: About
) -> None:
    site = make_site()
    server, statuses, codes = site.start(), Counter[int](), Counter[str]()
    client = Client(server.port)
    for _ in range(WARM_ROUNDS):
        for (method, path), body in SOUND.items():
            assert client.call(method, path, body).status in (200, 404), (path, body)
    rss_before, spent_s, large_bytes = rss_bytes(server), {True: 0.0, False: 0.0}, 0
    requests = list(hostile_requests(12, 5_000 if full else 400))
    for large in (True, False):
        cpu_before = cpu_s(server)
        for hostile in (one for one in requests if (len(one.body) >= LARGE_BYTES_MIN) is large):
            try:
                reply = client.call(hostile.method, hostile.path, hostile.body, headers=hostile.headers)
            except (ConnectionError, http.client.HTTPException):
                # Behind a reply for which it has read no body a server may close the connection (RFC 9112, 9.3.1).
                client.close()
                client = Client(server.port)
                reply = client.call(hostile.method, hostile.path, hostile.body, headers=hostile.headers)
            assert_sound(repr(hostile.body[:100]), hostile.path, reply)
            statuses[reply.status] += 1
            large_bytes += len(hostile.body) if large else 0
            if reply.status >= 400:
                codes[reply.json["error"]["code"]] += 1
        spent_s[large] = cpu_s(server) - cpu_before
    client.close()
    grown_bytes, small = rss_bytes(server) - rss_before, sum(len(one.body) < LARGE_BYTES_MIN for one in requests)
    cpu_ms_per_mib = spent_s[True] * 1_000 / (large_bytes / 2**20)
    figures(bodies=statuses.total(), refused=codes.total(), status_5xx=sum(statuses[one] for one in range(500, 600)),
            large_cpu_ms_per_mib_max=round(cpu_ms_per_mib, 1),
            small_cpu_ms_each_max=round(spent_s[False] * 1_000 / small, 2),
            grown_mib_max=round(grown_bytes / 2**20, 1))  # fmt: skip
    assert {"malformed", "schema", "too_large", "too_deep", "encoding"} <= set(codes), "the cases reach every reason"
    with about("P6"):
        assert grown_bytes <= RSS_GROWTH_BYTES_MAX
    with about():
        assert cpu_ms_per_mib <= LARGE_CPU_MS_PER_MIB_MAX
    assert server.process.poll() is None, "the same process"
    live = ask(server.port, "GET", "/v1/state").json["hash"]
    server.kill()
    assert replayed(site.data, site.config).state.hash() == live, "what was taken can be folded again"
    assert recovered(site.data, site.config).state.hash() == live


def test_r12_every_hostile_path_is_answered(make_site: MakeSite) -> None:
    server = make_site().start()
    for path in PATHS:
        for method in ("GET", "DELETE", "PATCH", "POST"):
            assert_sound("path", path, ask(server.port, method, path, None if method == "GET" else {}))
    assert ask(server.port, "GET", "/readyz").status == 200


@pytest.mark.parametrize(("length", "sent"), [(500, 10), (10, 500), (-1, 10), (10**30, 10)])
def test_r12_a_wrong_content_length_harms_nobody_else(length: int, sent: int, make_site: MakeSite) -> None:
    server = make_site().start()
    head = f"POST /v1/track HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=300) as sender:
        sender.sendall(head + b"x" * sent)
        sender.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(sender)
        try:
            answer.begin()
        except (http.client.HTTPException, ConnectionError):
            pass
        else:
            assert 400 <= answer.status < 500
        finally:
            answer.close()
    assert ask(server.port, "GET", "/readyz").status == 200
    assert server.process.poll() is None


def test_r12_the_bodies_differ_and_are_the_same_for_the_same_seed() -> None:
    first, again = (list(hostile_requests(12, 300)) for _ in range(2))
    assert first == again
    assert len({(one.path, one.body, str(one.headers)) for one in first}) > 250
    assert all(isinstance(one, Hostile) for one in first)


@pytest.mark.parametrize("protocol", [b"\x80\xff", b"chat", b""])
def test_r12_a_web_socket_is_not_opened_and_ends_nothing(protocol: bytes, make_site: MakeSite) -> None:
    server = make_site().start()
    head = (
        b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: " + protocol + b"\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=300) as sender:
        sender.sendall(head)
        sender.shutdown(socket.SHUT_WR)
        assert b" 101 " not in sender.recv(4_096).partition(b"\r\n")[0]
    assert ask(server.port, "GET", "/readyz").status == 200
    assert server.process.poll() is None
