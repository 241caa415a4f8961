"""Clients that keep a server waiting, and what the kernel says of the server's end of their connections."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

from instanter.foundation.clock import elapsed_ns

HOST = "127.0.0.1"
LARGE = {"id": "large", "fields": {"title": "x" * 15_000}}
"""An item whose reply is larger than what a slow client takes of it."""
CALL = b"GET /v1/items/large HTTP/1.1\r\nHost: [::1]\r\n\r\n"
_ENDED = ("05", "06")
"""FIN_WAIT2 and TIME_WAIT: nothing is held but the name."""


class SlowClient:
    """One connection that is slow in its own way. Never blocks."""

    def __init__(self, port: int, kind: str, opening: bytes, drip: bytes) -> None:
        self.kind = kind
        self._drip = drip
        self._socket = socket.socket()
        # A small buffer, so that a reply that is not read fills it, and soon the server's too.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._socket.settimeout(10)
        self._socket.connect((HOST, port))
        self._socket.sendall(opening)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.began_ns = elapsed_ns()
        """The last sign of life that counts; what drips does not."""

    def drip(self) -> None:
        """Send one more byte."""
        with contextlib.suppress(OSError):
            self._socket.send(self._drip)

    def read(self, size_bytes: int) -> bytes:
        """Read what is there."""
        with contextlib.suppress(OSError):
            return self._socket.recv(size_bytes)
        return b""

    def close(self) -> None:
        self._socket.close()


def silent(port: int) -> SlowClient:
    """Connects and says nothing."""
    return SlowClient(port, "silent", b"", b"")


def idle(port: int) -> SlowClient:
    """Asks once and keeps the connection."""
    return SlowClient(port, "idle", b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n", b"")


def stopped(port: int) -> SlowClient:
    """Stops in the middle of its body."""
    return SlowClient(port, "stopped", b"POST /v1/track HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 1000\r\n\r\n{", b"")


def slow_head(port: int) -> SlowClient:
    """Sends its header byte by byte."""
    return SlowClient(port, "slow head", b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\nX-Slow: ", b"y")


def slow_body(port: int) -> SlowClient:
    """Sends its body byte by byte."""
    head = b"POST /v1/track HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 1000\r\n\r\n"
    return SlowClient(port, "slow body", head, b" ")


def slow_chunks(port: int) -> SlowClient:
    """Sends its body byte by byte, in chunks."""
    head = b"POST /v1/decide HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n"
    return SlowClient(port, "slow chunks", head, b"1\r\n \r\n")


def half_read(port: int) -> SlowClient:
    """Reads the beginning of a reply, and no more."""
    client = SlowClient(port, "half read", CALL, b"")
    client.read(100)
    return client


def unread_pipeline(port: int) -> SlowClient:
    """Asks a hundred times at once, for more than all buffers hold, and reads nothing."""
    return SlowClient(port, "unread pipeline", CALL * 100, b"")


DRIPPING: tuple[Callable[[int], SlowClient], ...] = (slow_head, slow_body, slow_chunks)
SILENT: tuple[Callable[[int], SlowClient], ...] = (silent, idle, stopped)
UNREAD: tuple[Callable[[int], SlowClient], ...] = (*[half_read] * 9, unread_pipeline)


def held(port: int) -> set[int]:
    """The peers' ports of all connections that the server, or the kernel in its place, still holds something for."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, peer, state, *_ = line.split()
        if int(local.split(":")[1], 16) == port and state not in _ENDED:
            found.add(int(peer.split(":")[1], 16))
    return found


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)
