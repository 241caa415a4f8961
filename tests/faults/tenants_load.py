"""A tenant's traffic, from a process of its own. Prints one JSON object.

python tenants_load.py quiet PORT KEY RATE SECONDS: RATE decisions a second, and how long they took.
python tenants_load.py noisy PORT KEY RATE SECONDS: RATE events a second; with 0 decisions over many connections, each
as soon as the last is answered. It steps back for others on this machine: a sender of the world would not be on it.
"""

from __future__ import annotations

import json
import os
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
    head = f"POST {path} HTTP/1.1\r\nHost: [::1]\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(raw)}\r\n\r\n"
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


def flood(port: int, key: str, seconds: float) -> Counter[int]:
    """As many decisions as are answered in that time, by status."""
    sent = [decision(key, number) for number in range(200)]
    until_ns = elapsed_ns() + int(seconds * 1e9)
    statuses: Counter[int] = Counter()
    guard = threading.Lock()

    def keep_asking() -> None:
        connection, number, seen = Connection(port), 0, Counter[int]()
        while elapsed_ns() < until_ns:
            number += 1
            seen[connection.exchange(sent[number % len(sent)]).status] += 1
        connection.close()
        with guard:
            statuses.update(seen)

    threads = [threading.Thread(target=keep_asking) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def events(port: int, key: str, rate: int, seconds: float) -> Counter[int]:
    """So many events a second, whatever is answered, by status."""
    statuses: Counter[int] = Counter()

    def counted(reply: Reply) -> bool:
        statuses[reply.status] += 1
        return True

    sent = [view(key, number) for number in range(int(rate * seconds))]
    open_loop(port, [Stream(sent, rate, CONNECTIONS, check=counted)])
    return statuses


def noisy(port: int, key: str, rate: int, seconds: float) -> dict[str, Any]:
    os.nice(10)
    started_ns = elapsed_ns()
    statuses = events(port, key, rate, seconds) if rate else flood(port, key, seconds)
    by_status = {str(status): number for status, number in sorted(statuses.items())}
    return {"statuses": by_status, "seconds": (elapsed_ns() - started_ns) / 1e9}


def quiet(port: int, key: str, rate: int, seconds: float) -> dict[str, Any]:
    asked = [decision(key, number) for number in range(int(rate * seconds))]
    (outcome,) = open_loop(port, [Stream(asked, rate, QUIET_CONNECTIONS)])
    latencies_ms = outcome.latencies_ms
    return {
        "p50_ms": quantile(latencies_ms, 0.5), "p99_ms": quantile(latencies_ms, 0.99), "refused": outcome.failures
    }  # fmt: skip


if __name__ == "__main__":
    role, port, key, rate, seconds = sys.argv[1:]
    told = {"quiet": quiet, "noisy": noisy}[role](int(port), key, int(rate), float(seconds))
    print(json.dumps(told))
