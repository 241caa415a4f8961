"""R30: told to end under load, the server finishes what it has begun, loses nothing, and ends with 0."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
from pathlib import Path

import pytest

from instanter.foundation.clock import elapsed_ns
from instanter.ops.child import ChildServer

from .accountant import Accountant, Client, Shift, balance, recovered, replayed
from .conftest import Figures, InTime, MakeSite
from .servers import ForkedServer

DRAINED_S_MAX = 5.0

pytestmark = pytest.mark.faults


class HalfSent:
    """A request whose body is on its way while the server is told to end."""

    def __init__(self, port: int) -> None:
        self._body = json.dumps({"event": "x", "anonymousId": "half", "messageId": "half"}).encode()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=300)
        self._socket.sendall(b"POST /v1/track HTTP/1.1\r\nHost: [::1]\r\nContent-Length: %d\r\n\r\n" % len(self._body))
        self._socket.sendall(self._body[:10])

    def finish(self) -> int:
        """Send the rest; the status of the answer."""
        self._socket.sendall(self._body[10:])
        answer = http.client.HTTPResponse(self._socket)
        answer.begin()
        answer.read()
        self._socket.close()
        return answer.status


def end_under_load(
    server: ChildServer | ForkedServer, accountant: Accountant, *, times: int
) -> tuple[Shift, int, float, int]:
    """SIGTERM while events come in; what the senders met, exit code, seconds, and what the half-sent request got."""
    ended: list[tuple[int, float, int]] = []

    def end() -> None:
        half = HalfSent(server.port)
        began_ns = elapsed_ns()
        for _ in range(times):
            server.process.send_signal(signal.SIGTERM)
            threading.Event().wait(0.05)
        answered = half.finish()
        code = server.process.wait(20)
        ended.append((code, (elapsed_ns() - began_ns) / 1e9, answered))

    Client(server.port).close()
    ending = threading.Timer(0.5, end)
    ending.start()
    shift = accountant.send(server.port, stop=threading.Event(), events_max=20_000)
    ending.join()
    return shift, *ended[0]


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_r30_told_to_end_under_load(
    times: int, make_site: MakeSite, accountant: Accountant, figures: Figures, in_time: InTime
) -> None:
    site = make_site()
    shift, code, seconds, answered = end_under_load(site.start(), accountant, times=times)
    assert code == 0
    assert in_time(seconds, DRAINED_S_MAX)
    assert answered == 200, "a request that had begun is finished"
    assert shift.acked > 0
    assert set(shift.refused) <= {503}
    accountant.sent.note(["half"])
    accountant.acked.note(["half"])
    books = balance(accountant, site.data, site.config)
    assert books.even, books
    figures(ended_s_max=round(seconds, 2), **books.figures)
    assert recovered(site.data, site.config).state.hash() == replayed(site.data, site.config).state.hash()
    assert [path.suffix for path in (site.data / "checkpoints").iterdir()] == [".ckpt"], "the next start is quick"


def test_r30_the_command_itself_ends_with_0(
    tmp_path: Path, accountant: Accountant, in_time: InTime
) -> None:
    server = ChildServer(tmp_path / "data", log=tmp_path / "server.log")
    try:
        server.wait_until_ready()
        shift, code, seconds, answered = end_under_load(server, accountant, times=1)
    finally:
        server.stop()
    assert (code, answered) == (0, 200)
    assert in_time(seconds, DRAINED_S_MAX)
    assert shift.acked > 0
