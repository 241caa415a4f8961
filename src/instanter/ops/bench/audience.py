"""Readers of the stream, in a process of their own: what they take costs neither the server nor who measures it.

Run as `python -m instanter.ops.bench.audience PORT COUNT`. It writes a line once all follow; for a line of decisions it
writes one `Heard`, and ends.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import Final

import msgspec

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Broken, Unavailable
from .load import HOST, TIMEOUT_S, request

LAST_ENTRY_S_MAX: Final = 10.0
_KINDS: Final = "/v1/stream?kinds=decision,outcome,refusal"
_FOLLOWS: Final = b"follows\n"
_NICE: Final = 10
"""Who measures goes first where both share a core."""
_RECEIVED_MAX: Final = 1 << 20
_DECISION: Final = re.compile(rb'event: decision\ndata: \{"decisionId":"(\w+)"')
_ENTRY_HEAD_BYTES: Final = 512
"""Of an entry, what the id stands in, or what is told to who is cut off: it may come in two parts."""
_CUT: Final = re.compile(rb'event: cut\ndata: \{"resume":"\d+:')
_STUCK_BYTES: Final = 4_096
"""What the reader that takes nothing lets its system take for it."""


class Heard(msgspec.Struct, frozen=True):
    """What became of an audience."""

    untold: int
    """How many decisions readers were not told of, all together."""
    was_cut: bool
    """Whether the one that took nothing was cut off and told from where to resume, once it took what waited."""


class Audience:
    """The process, seen by who measures. Use it as a context: it has ended when the context is left."""

    def __init__(self, port: int, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "instanter.ops.bench.audience", str(port), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Audience:
        if self._process.stdout is None or self._process.stdout.readline() != _FOLLOWS:
            self.__exit__()
            raise Broken("the readers of the stream cannot follow it")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def heard(self, decisions: Iterable[bytes]) -> Heard:
        """What they heard, waited for as long as the last entries may take. They go then."""
        told, _ = self._process.communicate(b" ".join(decisions) + b"\n", timeout=TIMEOUT_S + 3 * LAST_ENTRY_S_MAX)
        return msgspec.json.decode(told, type=Heard)


class Reader:
    """One connection that follows the stream. It keeps nothing but what decisions it was told of."""

    def __init__(self, port: int, path: str = _KINDS, *, stuck: bool = False) -> None:
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
            self.connection.sendall(request("GET", path))
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
        self.cut = self.cut or _CUT.search(whole) is not None
        self._tail = whole[-_ENTRY_HEAD_BYTES:]

    def take_to_the_end(self) -> None:
        """Take what waits, and all that comes, until nothing does any more."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_MAX)
        self.connection.settimeout(LAST_ENTRY_S_MAX)
        until_ns = elapsed_ns() + int(LAST_ENTRY_S_MAX * 1e9)
        while not self.ended and not self.cut and elapsed_ns() < until_ns:
            self.take()


def _untold(readers: list[Reader], decisions: set[bytes]) -> int:
    return sum(len(decisions - reader.decisions) for reader in readers)


def _take_all(readers: list[Reader], stop: threading.Event) -> None:
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader.connection, selectors.EVENT_READ, reader)
        while not stop.is_set():
            for key, _ in selector.select(timeout=0.1):
                key.data.take()
                if key.data.ended:
                    selector.unregister(key.fileobj)


def _follow(port: int, count: int) -> None:
    readers = [Reader(port) for _ in range(count - 1)]
    stuck = Reader(port, "/v1/stream", stuck=True)
    stop = threading.Event()
    taking = threading.Thread(target=_take_all, args=(readers, stop))
    taking.start()
    try:
        sys.stdout.buffer.write(_FOLLOWS)
        sys.stdout.buffer.flush()
        decisions = set(sys.stdin.buffer.readline().split())
        until_ns = elapsed_ns() + int(LAST_ENTRY_S_MAX * 1e9)
        while _untold(readers, decisions) and elapsed_ns() < until_ns:
            stop.wait(0.1)
        stuck.take_to_the_end()
        heard = Heard(untold=_untold(readers, decisions), was_cut=stuck.cut)
    finally:
        stop.set()
        taking.join()
    sys.stdout.buffer.write(msgspec.json.encode(heard))


if __name__ == "__main__":
    os.nice(_NICE)
    _follow(int(sys.argv[1]), int(sys.argv[2]))
