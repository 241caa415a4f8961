"""An honest client in a process of its own: python honest.py PORT decides again and again until its input ends.

Half the decisions are asked on a kept connection and half on new ones. Then it prints one JSON object: how long each
took, which statuses came, and what went wrong.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from instanter.foundation.clock import elapsed_ns

PAUSE_S = 0.02
ASKED = json.dumps(
    {"anonymousId": "honest", "placements": [{"id": "home.recommended"}], "deadlineMs": 10_000}
).encode()


class Honest:
    """The process, for the time of a `with`; afterwards what it met."""

    def __init__(self, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "it has begun"
        self.took_ms: list[float] = []
        self.statuses: set[int] = set()
        self.failures: list[str] = []

    def __enter__(self) -> Honest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        told = json.loads(self.process.communicate()[0])
        self.took_ms, self.statuses, self.failures = told["took_ms"], set(told["statuses"]), told["failures"]


def ask(port: int, stop: threading.Event, met: dict[str, Any], *, kept: bool) -> None:
    """Decide until told to stop."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    while not stop.wait(PAUSE_S):
        began_ns = elapsed_ns()
        try:
            connection.request("POST", "/v1/decide", body=ASKED)
            answer = connection.getresponse()
            answer.read()
            met["statuses"].append(answer.status)
        except (OSError, http.client.HTTPException) as error:
            met["failures"].append(repr(error))
        met["took_ms"].append((elapsed_ns() - began_ns) / 1e6)
        if not kept:
            connection.close()
    connection.close()


def main(port: int) -> None:
    stop = threading.Event()
    met: dict[str, Any] = {"took_ms": [], "statuses": [], "failures": []}
    threads = [threading.Thread(target=ask, args=(port, stop, met), kwargs={"kept": kept}) for kept in (True, False)]
    for thread in threads:
        thread.start()
    print("begun", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({**met, "statuses": sorted(set(met["statuses"]))}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
