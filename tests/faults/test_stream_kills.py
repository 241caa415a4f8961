"""Readers of the stream outlive the server: killed in the midst of it, they are told every entry once when they resume;
told to end, it tells them so."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from .conftest import MakeSite
from .servers import ForkedServer

KILLS = 3
EVENTS_EACH = 40
KILLED_AFTER = 15
"""Entries that a reader has taken of each run before the kill; the others it is told by the next one."""
WAIT_S_MAX = 60.0

pytestmark = pytest.mark.faults


class Entry(NamedTuple):
    id: str
    kind: str
    data: dict[str, Any]


class Reader:
    """Follows the stream over one connection."""

    def __init__(self, port: int, last_id: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S_MAX)
        headers = {"Last-Event-ID": last_id} if last_id else {}
        self._connection.request("GET", "/v1/stream?kinds=event", headers=headers)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200

    def entries(self) -> Iterator[Entry]:
        """As they come; ends where the connection does, however it does."""
        fields: dict[str, str] = {}
        try:
            for line in self._answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "data" in fields:
                    yield Entry(fields["id"], fields["event"], json.loads(fields["data"]))
                    fields.clear()
        except (OSError, http.client.HTTPException):
            return

    def close(self) -> None:
        self._connection.close()


def send(server: ForkedServer, numbers: range) -> None:
    """Events, each acknowledged: on disk."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S_MAX)
    for number in numbers:
        event = {"event": "Product Viewed", "anonymousId": f"a{number % 7}", "messageId": f"m-{number}",
                 "properties": {"product_id": "sku-1"}}  # fmt: skip
        connection.request("POST", "/v1/track", json.dumps(event), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
    connection.close()


def test_a_reader_that_resumes_after_kills_is_told_every_event_once(make_site: MakeSite) -> None:
    site = make_site()
    told: list[str] = []
    last_id = ""
    for number in range(KILLS):
        server = site.start()
        reader = Reader(server.port, last_id)
        entries = reader.entries()
        opened = next(entries)
        assert opened.kind == "open"
        last_id = last_id or opened.id
        send(server, range(number * EVENTS_EACH, (number + 1) * EVENTS_EACH))
        for _ in range(KILLED_AFTER):
            entry = next(entries)
            told.append(entry.data["message"])
            last_id = entry.id
        server.kill()
        reader.close()
    server = site.start()
    reader = Reader(server.port, last_id)
    entries = reader.entries()
    next(entries)
    send(server, range(KILLS * EVENTS_EACH, KILLS * EVENTS_EACH + 1))
    while len(told) <= KILLS * EVENTS_EACH:
        told.append(next(entries).data["message"])
    reader.close()
    assert len(set(told)) == len(told), "as many entries as events, and none of them twice"


def test_a_server_told_to_end_says_so_to_who_follows(make_site: MakeSite) -> None:
    server = make_site().start()
    reader = Reader(server.port)
    entries = reader.entries()
    assert next(entries).kind == "open"
    send(server, range(3))
    assert len({next(entries).data["message"] for _ in range(3)}) == 3
    server.process.send_signal(signal.SIGTERM)
    *_, ended = entries
    reader.close()
    assert ended.kind == "end"
    assert ended.data["resume"]
    assert server.process.wait(WAIT_S_MAX) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=1.0)
