"""Readers of the stream outlive the server: killed in the midst of it, they are told every entry once when they resume;
told to end, it tells them so. Who takes nothing is cut off, and told as well once they do."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from .conftest import MakeSite
from .servers import ForkedServer

KILLS = 3
EVENTS_EACH = 40
BATCH_EVENTS = 500
KILLED_AFTER = 15
"""Entries that a reader has taken of each run before the kill; the others it is told by the next one."""
WAIT_S_MAX = 60.0
WRITE_S = 1
"""After which the kernel hangs up on who takes no reply ..."""
STUCK_S = 4.0
"""... which is well over when the one that is stuck takes something."""

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

    def get_stuck(self) -> None:
        """Let the system take next to nothing for it from now on."""
        self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)

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


def send_many(server: ForkedServer, numbers: range) -> None:
    """A batch of events, acknowledged: on disk."""
    events = [{"type": "track", "event": "Product Viewed", "anonymousId": f"a{number % 7}", "messageId": f"m-{number}",
               "properties": {"product_id": "sku-1"}} for number in numbers]  # fmt: skip
    body = json.dumps({"batch": events}).encode()
    asked = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/v1/batch", body, {"Content-Type": "application/json"})  # fmt: skip
    with urllib.request.urlopen(asked, timeout=WAIT_S_MAX) as answer:
        assert json.load(answer)["accepted"] == len(events)


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


def cut_off(port: int) -> float:
    """How many readers the server has cut off."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S_MAX) as answer:
        found = re.search(rb"^instanter_stream_readers_cut_total(?:{.*})? ([0-9.]+)", answer.read(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_who_takes_nothing_for_longer_than_a_reply_may_is_still_told_from_where_to_resume(make_site: MakeSite) -> None:
    site = make_site()
    with site.config.open("a", encoding="utf-8") as config:
        config.write(f"[serve]\nwrite_s = {WRITE_S}\n")
    server = site.start()
    reader = Reader(server.port)
    entries = reader.entries()
    assert next(entries).kind == "open"
    reader.get_stuck()
    sent = 0
    until_s, at_most_s = time.monotonic() + STUCK_S, time.monotonic() + 2 * WAIT_S_MAX
    while time.monotonic() < until_s or not cut_off(server.port):
        assert time.monotonic() < at_most_s, f"not cut off, {sent} events later"
        send_many(server, range(sent, sent + BATCH_EVENTS))
        sent += BATCH_EVENTS
    *told, last = entries
    reader.close()
    assert last.kind == "cut"
    assert last.data["resume"] == told[-1].id, "behind what it was told"
