"""What readers of the stream and open pages of the console cost the decisions that are made meanwhile."""

from __future__ import annotations

import re
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Unavailable
from .bench import Bench
from .decide import CONNECTIONS, DECISIONS_PER_S, search_questions
from .load import HOST, TIMEOUT_S, LoadResult, Stream, is_ok, open_loop, quantile, request
from .result import Figure
from .server import Server

TITLE = (
    "readers: 100 decisions/s, 200 candidates each, alone and beside 200 readers of the stream, one of which takes "
    "nothing, and five open pages of the console"
)
READERS: Final = 200
PAGES: Final = 5
PAGE_PER_S: Final = 0.5
"""How often a page asks for new samples."""
ROUNDS: Final = 3
"""Alone and beside readers in turn: what else runs on the machine falls on both."""
P99_RATIO_MAX: Final = 1.2
LAST_ENTRY_S_MAX: Final = 10.0
ENTRIES: Final = request("GET", "/v1/stream?kinds=decision,outcome,refusal")
SAMPLES: Final = request("GET", "/console/live/samples?since=0")
_RECEIVED_MAX: Final = 1 << 20
_DECISION: Final = re.compile(rb'event: decision\ndata: \{"decisionId":"(\w+)"')
_ENTRY_HEAD_BYTES: Final = 128
"""Of an entry, what the id stands in: it may come in two parts."""
_DECIDED: Final = re.compile(rb'"decisionId":"(\w+)"')
_CUT: Final = b"event: cut\n"
_STUCK_BYTES: Final = 4_096
"""What the reader that takes nothing lets its system take for it."""


class Reader:
    """One connection that follows the stream. It keeps nothing but what decisions it was told of."""

    def __init__(self, port: int, *, stuck: bool = False) -> None:
        self.decisions: set[bytes] = set()
        """Their ids."""
        self.ended = False
        self.cut = False
        self._tail = b""
        self.connection = socket.socket()
        if stuck:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STUCK_BYTES)
        self.connection.settimeout(TIMEOUT_S)
        try:
            self.connection.connect((HOST, port))
            self.connection.sendall(ENTRIES)
            if not self.connection.recv(_STUCK_BYTES).startswith(b"HTTP/1.1 200"):
                raise Unavailable("the server takes no further reader")
        except OSError as error:
            raise Unavailable(f"no stream on port {port}: {error}") from None

    def take(self) -> None:
        """Take note of what has come."""
        try:
            received = self.connection.recv(_RECEIVED_MAX)
        except OSError:
            received = b""
        self.ended = self.ended or not received
        whole = self._tail + received
        self.decisions.update(_DECISION.findall(whole))
        self.cut = self.cut or _CUT in whole
        self._tail = whole[-_ENTRY_HEAD_BYTES:]


class Audience:
    """Readers that take what comes, in one thread, and one that does not."""

    def __init__(self, port: int, count: int) -> None:
        self.readers = [Reader(port) for _ in range(count - 1)]
        self.stuck = Reader(port, stuck=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take_all, daemon=True)

    def untold(self, decisions: set[bytes]) -> int:
        """How many of these decisions readers were not told of, all together; waited for as long as the last entries
        may take."""
        until_ns = elapsed_ns() + int(LAST_ENTRY_S_MAX * 1e9)
        while (lost := self._untold(decisions)) and elapsed_ns() < until_ns:
            self._stop.wait(0.1)
        return lost

    def _untold(self, decisions: set[bytes]) -> int:
        return sum(len(decisions - reader.decisions) for reader in self.readers)

    @contextmanager
    def listening(self) -> Iterator[Audience]:
        """Take what comes as long as this lasts, then hang up."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()
            for reader in (*self.readers, self.stuck):
                reader.connection.close()

    def _take_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            for reader in self.readers:
                selector.register(reader.connection, selectors.EVENT_READ, reader)
            while not self._stop.is_set():
                for key, _ in selector.select(timeout=0.1):
                    key.data.take()
                    if key.data.ended:
                        selector.unregister(key.fileobj)

    def was_cut(self) -> bool:
        """Whether the one that took nothing was cut off and told so, once it takes what waits."""
        self.stuck.connection.settimeout(LAST_ENTRY_S_MAX)
        while not self.stuck.ended:
            self.stuck.take()
        return self.stuck.cut


def readers(bench: Bench) -> tuple[list[Figure], str]:
    """The same decisions alone and beside readers, in turn."""
    people, count = bench.size(2_000, 50), bench.size(READERS, 5)
    alone: list[float] = []
    beside: list[float] = []
    lost = failures = cuts = 0
    with bench.server() as server:
        bench.people_known(server, range(people))
        questions = search_questions(bench, people, seconds=bench.seconds)
        _decide(server, questions[:DECISIONS_PER_S])
        cpu = [0.0, 0.0]
        for number in range(ROUNDS):
            bench.say(f"round {number + 1} of {ROUNDS}, alone")
            before_s = server.cpu_s()
            result = _decide(server, questions)
            cpu[0] += server.cpu_s() - before_s
            alone += result.latencies_ms
            failures += result.failures
            bench.say(f"round {number + 1} of {ROUNDS}, beside {count} readers")
            with Audience(server.port, count).listening() as audience:
                before_s = server.cpu_s()
                result = _decide(server, questions, pages=PAGES)
                cpu[1] += server.cpu_s() - before_s
                lost += audience.untold({_DECIDED.findall(body)[0] for body in result.bodies})
                cuts += audience.was_cut()
            beside += result.latencies_ms
            failures += result.failures
    asked = len(questions) * ROUNDS
    p99_alone, p99_beside = quantile(alone, 0.99), quantile(beside, 0.99)
    figures = [
        Figure(name="decide p99, beside readers to alone", value=p99_beside / p99_alone, unit="x",
               at_least=P99_RATIO_MAX),
        Figure(name="decisions that a reader was not told of", value=lost, unit="", at_least=0),
        Figure(name="rounds in which the one that takes nothing was cut off", value=cuts, unit=""),
        Figure(name="decide p99, alone", value=p99_alone, unit="ms"),
        Figure(name="decide p99, beside readers", value=p99_beside, unit="ms"),
        Figure(name="decide p50, alone", value=quantile(alone, 0.5), unit="ms"),
        Figure(name="decide p50, beside readers", value=quantile(beside, 0.5), unit="ms"),
        Figure(name="server CPU that readers cost a decision", value=(cpu[1] - cpu[0]) / asked * 1e3, unit="ms"),
    ]  # fmt: skip
    return figures, f"{failures} requests were refused" if failures else ""


def _decide(server: Server, questions: list[bytes], *, pages: int = 0) -> LoadResult:
    seconds = len(questions) / DECISIONS_PER_S
    streams = [Stream(questions, DECISIONS_PER_S, CONNECTIONS, check=is_ok, keep_bodies=True)]
    if pages:
        looks = [SAMPLES] * max(int(pages * PAGE_PER_S * seconds), 1)
        streams.append(Stream(looks, pages * PAGE_PER_S, pages, check=is_ok))
    results = open_loop(server.port, streams)
    return msgspec.structs.replace(results[0], failures=sum(result.failures for result in results))
