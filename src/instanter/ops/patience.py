"""Patience with who follows a stream of events: the kernel hangs up on them later than on who does not take a reply.

Every connection has the deadline of the listening socket, after which the kernel hangs up on a peer that takes nothing
(`serving.listen`). Of a reply that is right; who follows a stream would never be told from where to resume. The HTTP
server keeps its sockets to itself: the one of a request is found among the open files of the process, by its peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from ipaddress import ip_address
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..api.stream import EVENT_STREAM
from ..foundation.limits import STREAM_SILENT_S_MAX

log = logging.getLogger("instanter.serve")

_FILES: Final = "/proc/self/fd"
_TOLD: Final = (b"content-type", EVENT_STREAM.encode())


class Patience:
    """An application whose streams of events may wait `STREAM_SILENT_S_MAX` for a peer that takes nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        peer = scope.get("client")
        if scope["type"] != "http" or scope["method"] != "GET" or not peer:
            await self._app(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_stream(message):
                found = await asyncio.to_thread(lengthen, peer[0], int(peer[1]), STREAM_SILENT_S_MAX)
                if not found:
                    log.warning("the socket of a reader of the stream was not found: it is hung up on like others")
            await send(message)

        await self._app(scope, receive, watched)


def lengthen(host: str, port: int, silent_s: float) -> bool:
    """Let the connection of a peer to this process stay as long as that though it takes nothing; whether there is one.
    Where the system has no such deadline there is nothing to do."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None or not os.path.isdir(_FILES):
        return True
    for name in os.listdir(_FILES):
        with contextlib.suppress(OSError):  # closed by now, or no connection
            descriptor = int(name)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as one:
                    if _is_of(one, host, port):
                        one.setsockopt(socket.IPPROTO_TCP, option, int(silent_s * 1_000))
                        return True
    return False


def _is_of(one: socket.socket, host: str, port: int) -> bool:
    """Whether a socket is a connection of that peer."""
    if one.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    peer = one.getpeername()
    return bool(peer[1] == port and ip_address(peer[0]) == ip_address(host))


def _is_stream(message: Message) -> bool:
    name, kind = _TOLD
    return any(told.lower() == name and value.startswith(kind) for told, value in message["headers"])
