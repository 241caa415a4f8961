"""Handing requests on to the writer, over its socket in the workers' folder, and its answers back, piece by piece.

HTTP/1.1 as far as two of our own processes speak it. A connection carries one request at a time and is used again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from starlette.types import Receive, Scope, Send

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Unavailable
from ...foundation.limits import HEAD_BYTES_MAX

Headers = Sequence[tuple[bytes, bytes]]

PEER: Final = b"x-instanter-peer"
"""Carries the address of who sent a request that is handed on; what comes under this name from outside is dropped."""
IDLE_S_MAX: Final = 20.0
"""A connection that was idle for longer is not used again: the writer closes it after a while."""
IDLE_MAX: Final = 256
"""Connections kept for the next request."""
PIECE_BYTES: Final = 64 * 1024
_HOP: Final = frozenset({
    b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"expect", b"proxy-connection",
    PEER,
})  # fmt: skip
_IN_CHUNKS: Final = -1
"""A body that says of each part how long it is."""
_TO_THE_END: Final = -2
"""A body that ends with the connection."""
_BODILESS: Final = frozenset({204, 304})
_BROKEN_OFF: Final = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)
"""What reading from a writer that died raises, and from one that says what is no HTTP."""


class WriterGone(Unavailable):
    """The writer is not there, or left in the midst of a request."""

    def __init__(self) -> None:
        super().__init__(
            "the process that takes events and changes is not there: it is started again; decisions go on meanwhile",
            retry_after_s=1,
        )


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Head(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    length_bytes: int
    """Of the body, or one of the two below."""
    keeps: bool


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_ns: int = 0
    """Since when nobody has used it."""


class Handing:
    """Used on one loop."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)
        self._idle: deque[_Connection] = deque()
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. Answers that have no end, which this process would wait for, are ended then."""
        try:
            await asyncio.Event().wait()
        finally:
            self._ending.set()

    async def pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on as it comes in, and the answer back as it comes. Raises `WriterGone` as long as nothing of
        an answer was sent."""
        connection = await self._connected()
        pump = asyncio.create_task(_pump(scope, receive, connection.writer))
        over: asyncio.Task[None] | None = None
        kept = begun = False
        try:
            head = await _head(connection.reader)
            begun = True
            if head.length_bytes == _IN_CHUNKS:
                over = asyncio.create_task(self._hang_up_when_over(receive, pump, connection.writer))
            await send({"type": "http.response.start", "status": head.status, "headers": head.headers})
            # A short answer in one piece: in two, the second would wait until the client has confirmed the first.
            short = b""
            async for piece in _body(connection.reader, head, is_head=scope["method"] == "HEAD"):
                if not short and len(piece) == head.length_bytes:
                    short = piece
                else:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": short, "more_body": False})
            kept = head.keeps and pump.done() and pump.exception() is None
        except _BROKEN_OFF:
            if not begun:
                raise WriterGone from None
            if over is None or not over.done():
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for task in (pump, over):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, *_BROKEN_OFF):
                        await task
            self._give_back(connection, kept=kept)

    async def _hang_up_when_over(
        self, receive: Receive, pump: asyncio.Task[None], writer: asyncio.StreamWriter
    ) -> None:  # fmt: skip
        """An answer may have no end: hang up on the writer once the client has left, or this process ends."""
        await asyncio.wait({pump})
        waiting = {asyncio.create_task(_left(receive)), asyncio.create_task(self._ending.wait())}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        writer.close()

    async def ask(self, method: str, target: bytes, headers: Headers, body: bytes) -> Answer:
        """Send a whole request, and get the whole answer. Raises `WriterGone`; nobody knows then what became of it."""
        connection = await self._connected()
        kept = False
        try:
            connection.writer.write(_request(method, target, [*headers, (b"content-length", b"%d" % len(body))]) + body)
            head = await _head(connection.reader)
            answer = b"".join([piece async for piece in _body(connection.reader, head, is_head=method == "HEAD")])
            kept = head.keeps
        except _BROKEN_OFF:
            raise WriterGone from None
        finally:
            self._give_back(connection, kept=kept)
        return Answer(head.status, head.headers, answer)

    async def is_there(self) -> bool:
        """Whether the writer takes connections."""
        try:
            self._give_back(await self._connected(), kept=True)
        except WriterGone:
            return False
        return True

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().writer.close()

    async def _connected(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            fresh = elapsed_ns() - connection.idle_ns < IDLE_S_MAX * 1e9
            if fresh and not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.close()
        try:
            return _Connection(*await asyncio.open_unix_connection(self._socket, limit=2 * HEAD_BYTES_MAX))
        except OSError:
            raise WriterGone from None

    def _give_back(self, connection: _Connection, *, kept: bool) -> None:
        if kept and len(self._idle) < IDLE_MAX:
            self._idle.append(connection._replace(idle_ns=elapsed_ns()))
        else:
            connection.writer.close()


def _request(method: str, target: bytes, headers: Headers) -> bytes:
    lines = [method.encode() + b" " + target + b" HTTP/1.1", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def _pump(scope: Scope, receive: Receive, writer: asyncio.StreamWriter) -> None:
    """Send the request on, head and body, no faster than the writer takes it."""
    sent = dict(scope["headers"])
    chunked = b"transfer-encoding" in sent
    headers = handed_headers(scope)
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    head = _request(scope["method"], target, [*headers, (b"transfer-encoding", b"chunked")] if chunked else headers)
    writer.write(head)
    more = chunked or sent.get(b"content-length", b"0") != b"0"
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the client left in the midst of its request")
        piece, more = message.get("body", b""), message.get("more_body", False)
        if piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _left(receive: Receive) -> bool:
    """Returns when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return True


def handed_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers of a request as they are handed on, with the address of who sent it."""
    headers = [(name, value) for name, value in scope["headers"] if name not in _HOP]
    client = scope.get("client")
    if client:
        headers.append((PEER, f"{client[0]} {client[1]}".encode()))
    return headers


def peer_in(headers: Headers) -> tuple[str, int] | None:
    """Who sent a request that was handed on.

    >>> peer_in([(b"x-instanter-peer", b"10.0.0.7 4711")]), peer_in([(b"host", b"x")])
    (('10.0.0.7', 4711), None)
    """
    told = next((value for name, value in headers if name == PEER), b"")
    host, _, port = told.decode("latin-1").rpartition(" ")
    return (host, int(port)) if port.isdigit() else None


async def _head(reader: asyncio.StreamReader) -> _Head:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
    code = int(status.split(b" ", 2)[1])
    headers, length_bytes, keeps = list[tuple[bytes, bytes]](), _TO_THE_END, True
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if name == b"content-length":
            length_bytes = int(value)
        elif name == b"transfer-encoding":
            length_bytes = _IN_CHUNKS
            continue
        elif name == b"connection":
            keeps = value.lower() != b"close"
            continue
        headers.append((name, value))
    if code in _BODILESS:
        length_bytes = 0
    return _Head(code, headers, length_bytes, keeps and length_bytes != _TO_THE_END)


async def _body(reader: asyncio.StreamReader, head: _Head, *, is_head: bool) -> AsyncIterator[bytes]:
    if is_head or head.length_bytes == 0:
        return
    if head.length_bytes > 0:
        left_bytes = head.length_bytes
        while left_bytes:
            piece = await _some(reader, min(left_bytes, PIECE_BYTES))
            left_bytes -= len(piece)
            yield piece
        return
    if head.length_bytes == _TO_THE_END:
        while piece := await reader.read(PIECE_BYTES):
            yield piece
        return
    while left_bytes := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        while left_bytes:
            piece = await _some(reader, min(left_bytes, PIECE_BYTES))
            left_bytes -= len(piece)
            yield piece
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")


async def _some(reader: asyncio.StreamReader, bytes_max: int) -> bytes:
    piece = await reader.read(bytes_max)
    if not piece:
        raise EOFError("the writer left in the midst of its answer")
    return piece
