"""R14: whoever keeps the server waiting is cut off in time, and those who do not are answered as ever."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import socket
import threading
from collections.abc import Iterator
from itertools import cycle, islice

import pytest

from instanter.foundation.clock import elapsed_ns
from instanter.ops.bench.load import quantile

from .accountant import Client, ask
from .conftest import Figures, MakeSite
from .honest import Honest
from .servers import ForkedServer, Site
from .slow_clients import DRIPPING, HOST, LARGE, SILENT, UNREAD, SlowClient, held, resident_bytes, silent

MIB = 1024 * 1024
CLOSED_S_MAX = 10.0
GIVE_UP_S = 30.0
RESIDENT_GROWTH_MAX = 96 * MIB
OPENING_PAUSE_S = 0.002
"""Between two slow clients: they are many, not a spike."""
DRIP_S = 1.0
LOOK_S = 0.1
QUICK = "[serve]\nheader_read_s = 2\nbody_read_s = 2\nwrite_s = 2\n"
"""Of the short form; the full one stands on the defaults."""

pytestmark = pytest.mark.faults


class Siege:
    """Slow clients of all kinds, and when the server was rid of each."""

    def __init__(self, port: int, *, dripping: int, silent: int, unread: int) -> None:
        kinds = [*islice(cycle(DRIPPING), dripping), *islice(cycle(SILENT), silent), *islice(cycle(UNREAD), unread)]
        self._port = port
        self.clients: list[SlowClient] = []
        for kind in kinds:
            self.clients.append(kind(port))
            threading.Event().wait(OPENING_PAUSE_S)
        self.closed_s: dict[str, float] = {}
        """By kind, the longest that one was kept."""

    def last(self, pid: int) -> tuple[set[str], int]:
        """Drip until all are closed; the kinds that were not, and the most memory that the server took."""
        began_ns = elapsed_ns()
        waiting = {client.port: client for client in self.clients}
        dripped_ns = largest = 0
        while waiting and elapsed_ns() - began_ns < GIVE_UP_S * 1e9:
            if elapsed_ns() - dripped_ns > DRIP_S * 1e9:
                dripped_ns = elapsed_ns()
                for client in waiting.values():
                    client.drip()
            threading.Event().wait(LOOK_S)
            still = held(self._port)
            largest = max(largest, resident_bytes(pid))
            for port in [port for port in waiting if port not in still]:
                client = waiting.pop(port)
                kept_s = (elapsed_ns() - client.began_ns) / 1e9
                self.closed_s[client.kind] = max(kept_s, self.closed_s.get(client.kind, 0.0))
        return {client.kind for client in waiting.values()}, largest

    def close(self) -> None:
        for client in self.clients:
            client.close()


@pytest.fixture
def files() -> Iterator[None]:
    """Room for the sockets of a siege in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def started(site: Site, settings: str) -> ForkedServer:
    """A server with items to decide on."""
    site.config.write_text(site.config.read_text() + settings)
    server = site.start()
    items = [{"id": f"sku-{n}", "fields": {"title": f"Chair {n}", "category": "chairs"}} for n in range(50)]
    assert ask(server.port, "POST", "/v1/items", {"items": [*items, LARGE]}).status == 200
    return server


def test_whoever_is_slow_is_cut_off_and_the_others_are_answered(
    make_site: MakeSite, full: bool, files: None, figures: Figures
) -> None:
    server = started(make_site(), "" if full else QUICK)
    counts = {"dripping": 500, "silent": 500, "unread": 200} if full else {"dripping": 45, "silent": 45, "unread": 20}
    with Honest(server.port) as before:
        threading.Event().wait(8 if full else 1)
    resident = resident_bytes(server.pid)
    with Honest(server.port) as meanwhile:
        siege = Siege(server.port, **counts)
        left, largest = siege.last(server.pid)
    siege.close()
    baseline_ms, p99_ms = quantile(before.took_ms, 0.99), quantile(meanwhile.took_ms, 0.99)
    figures(
        sockets=sum(counts.values()), closed_after_s_max=round(max(siege.closed_s.values()), 1),
        decisions=len(meanwhile.took_ms), alone_p99_ms=round(baseline_ms, 1), beside_p99_ms=round(p99_ms, 1),
        grown_mib_max=round((largest - resident) / MIB, 1),
    )  # fmt: skip
    assert left == set(), "all are closed"
    assert max(siege.closed_s.values()) <= CLOSED_S_MAX
    assert (meanwhile.statuses, meanwhile.failures) == ({200}, [])
    assert largest - resident <= RESIDENT_GROWTH_MAX
    assert ask(server.port, "GET", "/readyz").status == 200
    if full:
        assert p99_ms <= 2 * baseline_ms


def test_beyond_the_bound_connections_are_answered_429_and_closed_and_open_ones_go_on(make_site: MakeSite) -> None:
    server = started(make_site(), "[serve]\nconnections_max = 16\nheader_read_s = 5\n")
    kept = Client(server.port)
    assert kept.call("GET", "/healthz").status == 200
    places = [silent(server.port) for _ in range(15)]
    refused = [answer_of(server.port) for _ in range(40)]
    assert {status for status, _, _ in refused} == {429}
    assert {code for _, code, _ in refused} == {"overloaded"}
    assert {int(retry_after) for _, _, retry_after in refused} == {1}
    assert kept.call("GET", "/healthz").status == 200, "whoever has a connection goes on"
    assert b"instanter_connections_refused_total 40.0" in kept.call("GET", "/metrics").body
    places.pop().close()
    with contextlib.closing(Client(server.port)) as new:
        statuses = [status for status in (new_status(new) for _ in range(100)) if status != 429]
        assert statuses[:1] == [200], "a place that is left is had again"
    for client in places:
        client.close()
    kept.close()


def answer_of(port: int) -> tuple[int, str, str]:
    """Status, code and Retry-After of what a new connection is told before it has asked; then it must end."""
    with socket.create_connection((HOST, port), timeout=10) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        code = json.loads(answer.read())["error"]["code"]
        assert connection.recv(1) == b""
        return answer.status, code, answer.headers["Retry-After"]


def new_status(client: Client) -> int:
    """The status of one call, 0 where the connection was closed under it."""
    try:
        return client.call("GET", "/healthz").status
    except (OSError, http.client.HTTPException):
        client.close()
        return 0
