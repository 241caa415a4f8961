"""A sender far over its rate, from a process of its own.

python rate_load.py PORT PATH SECONDS CONNECTIONS KEY...: over each connection one request after the other, the keys in
turn, each as soon as the last is answered. Prints one JSON object: what was granted in the first burst and after it,
how long that was, and how many refusals did not say when to come again.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
from typing import Any

from instanter.foundation.clock import elapsed_ns


class Sender(threading.Thread):
    """One connection."""

    def __init__(self, port: int, path: str, key: str, until_ns: int, name: str) -> None:
        super().__init__()
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self._path = path
        self._key = key
        self._until_ns = until_ns
        self._name = name
        self.granted_ns: list[int] = []
        self.refused = 0
        self.without_retry = 0
        self.others = 0
        self.dropped = 0
        """Connections that ended under a request."""

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        number = 0
        while elapsed_ns() < self._until_ns:
            number += 1
            body = json.dumps({"messageId": f"{self._name}-{number}", "anonymousId": "a1", "event": "Product Viewed"})
            try:
                self._http.request("POST", self._path, body, headers)
                reply = self._http.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException):
                # The server closed the connection; the next one is opened.
                self._http.close()
                self.dropped += 1
                continue
            if reply.status == 200:
                self.granted_ns.append(elapsed_ns())
            elif reply.status == 429:
                self.refused += 1
                told = reply.headers.get("Retry-After", "")
                self.without_retry += not (told.isdigit() and int(told) >= 1)
            else:
                self.others += 1
        self._http.close()


def main(port: int, path: str, seconds: float, connections: int, keys: list[str]) -> dict[str, Any]:
    started_ns = elapsed_ns()
    until_ns = started_ns + int(seconds * 1e9)
    senders = [
        Sender(port, path, keys[number % len(keys)], until_ns, f"{started_ns}-{number}")
        for number in range(connections)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    granted_ns = sorted(at for sender in senders for at in sender.granted_ns)
    return {
        "granted": len(granted_ns), "seconds": ((granted_ns or [until_ns])[-1] - started_ns) / 1e9,
        "refused": sum(sender.refused for sender in senders),
        "without_retry": sum(sender.without_retry for sender in senders),
        "others": sum(sender.others for sender in senders),
        "dropped": sum(sender.dropped for sender in senders),
    }  # fmt: skip


if __name__ == "__main__":
    port, path, seconds, connections, *keys = sys.argv[1:]
    print(json.dumps(main(int(port), path, float(seconds), int(connections), keys)))
