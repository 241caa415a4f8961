"""A quiet tenant and one that sends too much, from a process of their own.

python tenants_load.py PORT QUIET_KEY NOISY_KEY RATE NOISY_RATE SECONDS: the quiet tenant asks for RATE decisions a
second, first alone, then while the noisy one sends NOISY_RATE events a second; with 0 it asks for decisions over
many connections, each as soon as the last is answered. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from typing import Any

from instanter.foundation.clock import elapsed_ns
from instanter.ops.bench.load import Connection, Reply, Stream, open_loop, quantile

CONNECTIONS = 48
QUIET_CONNECTIONS = 6


def request(path: str, key: str, body: Any) -> bytes:
    """The bytes of a request that carries a key."""
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


def decision(key: str, number: int) -> bytes:
    person = f"a{number % 50}"
    return request("/v1/decide", key, {"anonymousId": person, "placements": [{"id": "home.recommended"}]})


def view(key: str, number: int) -> bytes:
    event = {
        "messageId": f"n-{number}", "anonymousId": f"a{number % 50}", "event": "Product Viewed",
        "properties": {"product_id": f"sku-{number % 200}"},
    }  # fmt: skip
    return request("/v1/track", key, event)


class Flood:
    """As many decisions as are answered, until told to stop."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._sent = [decision(key, number) for number in range(200)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CONNECTIONS)]
        self.statuses: Counter[int] = Counter()
        self._guard = threading.Lock()
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection, number, seen = Connection(self._port), 0, Counter[int]()
        while not self._stop.is_set():
            number += 1
            seen[connection.exchange(self._sent[number % len(self._sent)]).status] += 1
        connection.close()
        with self._guard:
            self.statuses.update(seen)

    def end(self) -> Counter[int]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.statuses


def main(port: int, quiet: str, noisy: str, rate: int, noisy_rate: int, seconds: float) -> dict[str, Any]:
    count = int(rate * seconds)
    asked = Stream([decision(quiet, number) for number in range(count)], rate, QUIET_CONNECTIONS)
    open_loop(port, [Stream(asked.requests[: rate], rate, QUIET_CONNECTIONS)])
    (alone,) = open_loop(port, [asked])
    if noisy_rate:
        statuses: Counter[int] = Counter()

        def counted(reply: Reply) -> bool:
            statuses[reply.status] += 1
            return reply.status in (200, 429)

        sent = [view(noisy, number) for number in range(int(noisy_rate * seconds))]
        beside, _ = open_loop(port, [asked, Stream(sent, noisy_rate, CONNECTIONS, check=counted)])
    else:
        flood = Flood(port, noisy)
        started_ns = elapsed_ns()
        (beside,) = open_loop(port, [asked])
        statuses = flood.end()
        assert elapsed_ns() > started_ns
    return {
        "alone_p50_ms": quantile(alone.latencies_ms, 0.5), "alone_p99_ms": quantile(alone.latencies_ms, 0.99),
        "beside_p50_ms": quantile(beside.latencies_ms, 0.5), "beside_p99_ms": quantile(beside.latencies_ms, 0.99),
        "quiet_failures": alone.failures + beside.failures, "seconds": beside.seconds,
        "noisy": {str(status): number for status, number in sorted(statuses.items())},
    }  # fmt: skip


if __name__ == "__main__":
    port, quiet, noisy, rate, noisy_rate, seconds = sys.argv[1:]
    print(json.dumps(main(int(port), quiet, noisy, int(rate), int(noisy_rate), float(seconds))))
