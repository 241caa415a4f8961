"""Load on a server over HTTP/1.1: connections, requests at the times they are due, and how long each took.

Threads with blocking sockets, because a sleeping thread wakes within about 0.1 ms of the time it asked for, where
the timers of an event loop are whole milliseconds. A latency counts from the time at which the request was *due*:
when the server stalls, the requests that had to wait for it are slow too (no coordinated omission).
"""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Unavailable

HOST: Final = "127.0.0.1"
TIMEOUT_S: Final = 30.0
_RECEIVE_BYTES: Final = 256 * 1024
_LENGTH: Final = b"content-length:"
_START_IN_NS: Final = 20_000_000
"""Time for all threads to stand ready before the first request is due."""
_IDLE_NS_MAX: Final = 4_000_000_000
"""Well below what the server lets a connection be idle for: one that rested longer is opened anew."""


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of a request.

    >>> request("GET", "/healthz")
    b'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 0\\r\\n\\r\\n'
    """
    kind = "Content-Type: application/json\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """One kept-alive connection, one request at a time. Raises `Unavailable` when the server hangs up."""

    def __init__(self, port: int) -> None:
        try:
            self._socket = socket.create_connection((HOST, port), timeout=TIMEOUT_S)
        except OSError as error:
            raise Unavailable(f"no server on port {port}: {error}") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, sent: bytes) -> Reply:
        """Send the bytes of a request; returns when the last byte of the reply is here."""
        try:
            self._socket.sendall(sent)
            return self._receive()
        except OSError as error:
            raise Unavailable(f"the server did not answer: {error}") from None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive(self) -> Reply:
        received = self._more()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head, body = received[:end].lower(), received[end + 4 :]
        length = _content_length(head)
        if len(body) < length:
            parts, missing = [body], length - len(body)
            while missing > 0:
                parts.append(self._more())
                missing -= len(parts[-1])
            body = b"".join(parts)
        return Reply(int(head[9:12]), body)

    def _more(self) -> bytes:
        part = self._socket.recv(_RECEIVE_BYTES)
        if not part:
            raise Unavailable("the server hung up")
        return part


def _content_length(head: bytes) -> int:
    at = head.find(_LENGTH)
    if at < 0:
        raise Unavailable("a reply without a length")
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


def is_ok(reply: Reply) -> bool:
    """The plainest check of a reply."""
    return reply.status == 200


class Stream(msgspec.Struct, frozen=True):
    """Requests that are due at a steady rate, the first at once, over connections of their own."""

    requests: Sequence[bytes]
    rate_per_s: float
    connections: int
    """More than rate times latency; when all are busy, what is due waits and its latency says so."""
    check: Callable[[Reply], bool] = is_ok
    keep_bodies: bool = False


class LoadResult(msgspec.Struct, frozen=True):
    """What became of a stream's requests. `bodies` follow the order of the replies, and are empty unless kept."""

    latencies_ms: list[float]
    failures: int
    """Replies that the check refused."""
    seconds: float
    """From the first request to the last reply."""
    late_ms: list[float] = []
    """How long after its due time each request left: what of the latency is this client's or a busy connection's."""
    bodies: list[bytes] = []

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return len(self.latencies_ms) / self.seconds


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank); 0 if there are none.

    >>> quantile([3.0, 1.0, 2.0, 4.0], 0.5), quantile([3.0, 1.0], 1.0)
    (2.0, 3.0)
    """
    if not values:
        return 0.0
    rank = -int(-share * len(values) // 1)
    return sorted(values)[min(max(rank, 1), len(values)) - 1]


class _Recorder:
    """What one thread has seen; never shared while the load runs."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.late_ms: list[float] = []
        self.bodies: list[bytes] = []
        self.failures = 0
        self.ended_ns = 0


def open_loop(port: int, streams: Sequence[Stream]) -> list[LoadResult]:
    """Run all streams at once; returns when the last reply of each is here."""
    start_ns = elapsed_ns() + _START_IN_NS
    slots = [iter(range(len(stream.requests))) for stream in streams]
    with _quiet(), ThreadPoolExecutor(sum(stream.connections for stream in streams)) as pool:
        running = [
            [pool.submit(_scheduled, port, stream, slot, start_ns) for _ in range(stream.connections)]
            for stream, slot in zip(streams, slots, strict=True)
        ]
        return [_merged([future.result() for future in futures], start_ns) for futures in running]


def saturate(
    port: int, requests: Iterable[bytes], *, connections: int, check: Callable[[Reply], bool] = is_ok
) -> LoadResult:
    """Keep so many connections busy until the requests are used up. Latencies count from the sending."""
    shared = _Shared(iter(requests))
    start_ns = elapsed_ns()
    with _quiet(), ThreadPoolExecutor(connections) as pool:
        futures = [pool.submit(_busy, port, shared, check) for _ in range(connections)]
        return _merged([future.result() for future in futures], start_ns)


def _scheduled(port: int, stream: Stream, slots: Iterator[int], start_ns: int) -> _Recorder:
    recorder, connection = _Recorder(), Connection(port)
    interval_ns = 1e9 / stream.rate_per_s
    for slot in slots:
        due_ns = start_ns + int(slot * interval_ns)
        wait_ns = due_ns - elapsed_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        if wait_ns > _IDLE_NS_MAX:
            connection.close()
            connection = Connection(port)
        sent_ns = elapsed_ns()
        reply = connection.exchange(stream.requests[slot])
        recorder.ended_ns = elapsed_ns()
        recorder.latencies_ms.append((recorder.ended_ns - due_ns) / 1e6)
        recorder.late_ms.append((sent_ns - due_ns) / 1e6)
        recorder.failures += not stream.check(reply)
        if stream.keep_bodies:
            recorder.bodies.append(reply.body)
    connection.close()
    return recorder


def _busy(port: int, requests: _Shared, check: Callable[[Reply], bool]) -> _Recorder:
    recorder, connection = _Recorder(), Connection(port)
    for sent in requests:
        sent_ns = elapsed_ns()
        reply = connection.exchange(sent)
        recorder.ended_ns = elapsed_ns()
        recorder.latencies_ms.append((recorder.ended_ns - sent_ns) / 1e6)
        recorder.failures += not check(reply)
    connection.close()
    return recorder


class _Shared:
    """An iterator that several threads draw from."""

    def __init__(self, items: Iterator[bytes]) -> None:
        self._items = items
        self._guard = threading.Lock()

    def __iter__(self) -> _Shared:
        return self

    def __next__(self) -> bytes:
        with self._guard:
            return next(self._items)


def _merged(recorders: Sequence[_Recorder], start_ns: int) -> LoadResult:
    ended_ns = max(recorder.ended_ns for recorder in recorders)
    return LoadResult(
        latencies_ms=[value for recorder in recorders for value in recorder.latencies_ms],
        failures=sum(recorder.failures for recorder in recorders),
        seconds=max((ended_ns - start_ns) / 1e9, 1e-9),
        late_ms=[value for recorder in recorders for value in recorder.late_ms],
        bodies=[body for recorder in recorders for body in recorder.bodies],
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """No garbage collection of the client's while it measures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
