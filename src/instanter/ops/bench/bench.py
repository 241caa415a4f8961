"""What the cases share: sizes, the shop, folders that vanish, and servers in them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...foundation.clock import Clock, elapsed_ns
from ...foundation.errors import Broken
from ...sim.shop import Shop
from .load import Connection, Reply, is_ok, saturate
from .machine import client_core, on_core
from .server import COMMAND, Server
from .traffic import Traffic, catalogue

LOADING_CONNECTIONS = 4
_SEED = 20
UNLIMITED = "[limits]\nrequests_per_s = 1000000\n"
"""What is measured is the engine, not the rate that it grants."""


class Bench:
    """One run of the benchmark. `say` is told what is being done."""

    def __init__(
        self, *, clock: Clock, say: Callable[[str], None], quick: bool = False, seconds: float = 30.0, workers: int = 2
    ) -> None:
        self.clock = clock
        self.say = say
        self.quick = quick
        self.seconds = 1.0 if quick else seconds
        """Length of what is measured at a steady rate."""
        self.workers = workers
        """Of the server that is compared with one of one worker."""
        self.shop = Shop()
        self._seed = _SEED

    def size(self, full: int, quick: int) -> int:
        """A count: the real one, or the one that only shows that it runs."""
        return quick if self.quick else full

    def traffic(self) -> Traffic:
        """Events that no other traffic of this run has sent."""
        self._seed += 1
        return Traffic(self.shop, seed=self._seed)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder that is removed afterwards; this process runs on the client's core meanwhile."""
        with tempfile.TemporaryDirectory(prefix="instanter-bench-") as name, on_core(client_core()):
            yield Path(name)

    @contextmanager
    def server(
        self, *, config: str = "", shop: bool = True, command: Sequence[str] = COMMAND,
        arguments: Sequence[str] = (), pinned: bool = True,
    ) -> Iterator[Server]:
        """A ready server with a folder of its own, the shop's catalogue in it unless told otherwise;
        `pinned` to one core."""
        with self.folder() as folder:
            written = folder / "instanter.toml"
            written.write_text(UNLIMITED + config, encoding="utf-8")
            with Server(
                folder / "data", config=written, command=command, arguments=arguments, pinned=pinned
            ) as server:
                server.wait_ready()
                if shop:
                    load(server, catalogue(self.shop))
                yield server

    def people_known(self, server: Server, people: range) -> None:
        """Everybody in `people` has viewed something."""
        now_ms = self.clock.now_ms()
        load(server, self.traffic().batches(people, len(people), at_ms=now_ms, in_turn=True))


def load(server: Server, requests: Iterator[bytes] | list[bytes]) -> None:
    """Send requests as fast as they are taken; each must be taken whole, or `Broken`."""
    outcome = saturate(server.port, requests, connections=LOADING_CONNECTIONS, check=taken_whole)
    if outcome.failures:
        raise Broken(f"the server refused {outcome.failures} of {len(outcome.latencies_ms)} requests while loading")


def taken_whole(reply: Reply) -> bool:
    """Whether a tracking or catalogue request was taken without a rejected event."""
    return is_ok(reply) and (b'"rejected":[]' in reply.body or b'"rejected"' not in reply.body)


def ask(connection: Connection, sent: bytes) -> bytes:
    """The body of a reply that must be 200, or `Broken`."""
    reply = connection.exchange(sent)
    if not is_ok(reply):
        asked, answer = sent.split(b" HTTP", 1)[0].decode(), reply.body[:200].decode(errors="replace")
        raise Broken(f"{asked}: {reply.status} {answer}")
    return reply.body


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started_ns = elapsed_ns()

    def seconds(self) -> float:
        return (elapsed_ns() - self._started_ns) / 1e9
