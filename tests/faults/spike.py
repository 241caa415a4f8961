"""An open load in a process of its own: python spike.py PORT PLAN prints one JSON object a phase.

PLAN is JSON: [{"name", "per_s", "seconds", "connections"}, ...]; `per_s` 0 asks again as soon as there is an answer.
A request is due at its time whatever became of those before it, and its latency counts from then. One that finds no
connection free is given up. Every eleventh request is a batch of 100 events, the others are decisions. The numbers of
the batches that were acknowledged are in the phase's "acked": their messages are `message_id(batch, 0..99)`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple, cast

import uvloop

from instanter.foundation.clock import elapsed_ns
from instanter.ops.bench.load import quantile

EVENTS = 100
PEOPLE = 500
EVERY = 11
STEP_S = 0.002
ANSWERS_WITHIN_S = 5.0
PLACEHOLDER = b"@@"


def message_id(batch: int, number: int) -> str:
    return f"s{batch}-{number}"


def event(number: int) -> dict[str, Any]:
    return {
        "type": "track", "event": "Product Viewed", "anonymousId": f"p{number * 7 % PEOPLE}",
        "messageId": f"s{PLACEHOLDER.decode()}-{number}",
        "properties": {"product_id": f"sku-{number % 50}", "price": 10.0},
    }  # fmt: skip


BATCH = json.dumps({"batch": [event(number) for number in range(EVENTS)]}).encode()
DECISIONS = [
    json.dumps({"anonymousId": f"p{person}", "placements": [{"id": "home.recommended"}]}).encode()
    for person in range(PEOPLE)
]


class Asked(NamedTuple):
    """A request on its way."""

    due_ns: int
    batch: int
    """Its number, or 0 for a decision."""


class Connection(asyncio.Protocol):
    """One kept-alive connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self.asked: Asked | None = None
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self._load.free.append(self)

    def ask(self, path: bytes, body: bytes, asked: Asked) -> None:
        assert self.transport is not None
        self.asked = asked
        head = b"POST %s HTTP/1.1\r\nHost: [::1]\r\nContent-Length: %d\r\n\r\n" % (path, len(body))
        self.transport.write(head + body)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        lower = head.lower()
        if not found or len(body) < int(lower.partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        self._received = b""
        asked, self.asked = self.asked, None
        status = int(head[9:12])
        self._load.answered(status, asked, polite=status != 429 or b"retry-after:" in lower)
        if asked is not None:
            self._load.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.ended(self)


class Phase:
    """What one stretch of asking met."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.took_ms: dict[str, list[float]] = {"ok": [], "refused": []}
        self.acked: list[int] = []

    def told(self, name: str, seconds: float) -> dict[str, Any]:
        ok, refused = self.took_ms["ok"], self.took_ms["refused"]
        return {
            "name": name, "seconds": seconds, "counts": self.counts, "acked": self.acked, "ok_per_s": len(ok) / seconds,
            "ok_p50_ms": quantile(ok, 0.5), "ok_p99_ms": quantile(ok, 0.99), "refused_p99_ms": quantile(refused, 0.99),
        }  # fmt: skip


class Load:
    """Connections, and the requests that are asked over them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = count(1)
        self._wanted = 0
        self._open = 0
        self._opening: set[asyncio.Task[None]] = set()
        self.free: list[Connection] = []
        self.phase = Phase()

    async def run(self, *, per_s: float, seconds: float, connections: int) -> Phase:
        """Ask for so long, then wait for what is on its way."""
        self.phase = phase = Phase()
        self._wanted = connections
        self._open_more()
        await asyncio.sleep(0.1)
        began_ns, offered = elapsed_ns(), 0
        while (passed_s := (elapsed_ns() - began_ns) / 1e9) < seconds:
            due = int(passed_s * per_s) - offered if per_s else len(self.free)
            for number in range(offered, offered + due):
                self._offer(began_ns + int(number / per_s * 1e9) if per_s else elapsed_ns())
            offered += due
            self._open_more()
            await asyncio.sleep(STEP_S if per_s else 0)
        phase.counts["offered"] = offered
        ends_ns = elapsed_ns() + int(ANSWERS_WITHIN_S * 1e9)
        while len(self.free) < self._open and elapsed_ns() < ends_ns:
            await asyncio.sleep(STEP_S)
        return phase

    def _offer(self, due_ns: int) -> None:
        while self.free:
            connection = self.free.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                number = next(self._numbers)
                batch = number if number % EVERY == 0 else 0
                body = BATCH.replace(PLACEHOLDER, b"%d" % batch) if batch else DECISIONS[number % PEOPLE]
                connection.ask(b"/v1/batch" if batch else b"/v1/decide", body, Asked(due_ns, batch))
                return
        self.phase.counts["given up"] += 1

    def answered(self, status: int, asked: Asked | None, *, polite: bool) -> None:
        self.phase.counts[str(status)] += 1
        self.phase.counts["impolite"] += not polite
        if asked is None:
            return
        took_ms = (elapsed_ns() - asked.due_ns) / 1e6
        self.phase.took_ms["ok" if status == 200 else "refused"].append(took_ms)
        if status == 200 and asked.batch:
            self.phase.acked.append(asked.batch)

    def ended(self, connection: Connection) -> None:
        self._open -= 1
        if connection.asked is not None:
            self.phase.counts["broken off"] += 1
        if connection in self.free:
            self.free.remove(connection)

    def _open_more(self) -> None:
        while self._open < self._wanted and len(self._opening) < 64:
            self._open += 1
            opening = asyncio.create_task(self._connect())
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        except OSError:
            self._open -= 1
            self.phase.counts["not connected"] += 1


async def main(port: int, plan: list[dict[str, Any]]) -> None:
    load = Load(port)
    for step in plan:
        name = step.pop("name")
        phase = await load.run(**step)
        print(json.dumps(phase.told(name, step["seconds"])), flush=True)


def batches(phases: list[dict[str, Any]]) -> Iterator[int]:
    """The acknowledged batches of all phases."""
    for phase in phases:
        yield from phase["acked"]


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), json.loads(sys.argv[2])))
