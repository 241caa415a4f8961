"""The writer's part: it rings after each fold, and listens on the workers' socket for what the deciders hand on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from ...api.auth import Access
from ...engine.loop import Engine
from ...foundation.errors import ConfigRejected
from ...foundation.limits import BACKLOG_MAX
from ..serving import ListeningServer
from ..settings import ServeSettings
from .board import SOCKET, UP, WRITER, Board, WorkerSeen
from .figures import FiguresFile
from .handing import PEER, peer_in
from .telling import PATH, ReceiptsHeard, Settled

HEADER_READ_S: Final = 60
"""How long one of our own processes may leave its connection idle; longer than it does."""


class Inside:
    """What the workers' socket serves: what deciders tell, and the requests that they hand on, as if they had come from
    whoever sent them."""

    def __init__(self, app: ASGIApp, engine: Engine, access: Access) -> None:
        self._app = app
        self._engine = engine
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._take(receive, send)
            return
        if (peer := peer_in(scope["headers"])) is not None:
            scope["client"] = peer
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != PEER]
        await self._app(scope, receive, send)

    async def _take(self, receive: Receive, send: Send) -> None:
        """Keep the receipts of a message, and settle what was spent."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        told = msgspec.msgpack.decode(body, type=ReceiptsHeard)
        before = self._engine.meter.counts["receipts_lost"]
        for decided in told.decided:
            self._engine.receipts.keep_elsewhere(decided)
        lost = self._engine.meter.counts["receipts_lost"] - before
        settled = msgspec.msgpack.encode(Settled(self._access.spend_elsewhere(told.spent), lost))
        length = (b"content-length", b"%d" % len(settled))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": settled})


class WriterSide:
    """The writer among the workers of one server."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self._deciders = workers - 1
        self._board = Board(folder)
        self._figures = {number: FiguresFile(folder, number) for number in range(1, workers)}

    def seen(self) -> list[WorkerSeen]:
        """The deciders as they are now."""
        return [one._replace(figures=self._figures[one.number].read()) for one in self._board.seen(self._deciders)]

    def warnings(self) -> tuple[str, ...]:
        """What an operator has to look at."""
        down = [one.number for one in self._board.seen(self._deciders) if not one.up and one.starts]
        return tuple(f"worker {number} does not decide; see its log" for number in down)

    @asynccontextmanager
    async def beside(self, engine: Engine, app: ASGIApp, access: Access, settings: ServeSettings, connections_max: int
                     ) -> AsyncIterator[None]:  # fmt: skip
        """Ring and listen as long as this lasts. Raises `ConfigRejected` where people lie on disk: a decider has all of
        them in memory."""
        state = engine.partition.state
        if state.cells_cold:
            raise ConfigRejected(
                f"{state.cells_cold:,} people lie on disk, and a decider has everybody in memory",
                suggestion="raise state.memory_mb, or serve without --workers", setting="state.memory_mb",
            )  # fmt: skip
        engine.on_folded = lambda position: self._board.ring(position, engine.clock.now_ms())
        engine.warnings_beside = self.warnings
        self._board.begin_writing(engine.partition.position, engine.clock.now_ms())
        listener = _listen(self._folder / SOCKET)
        inner = msgspec.structs.replace(settings, header_read_s=HEADER_READ_S)
        server = ListeningServer(
            Inside(app, engine, access), listener, settings=inner, connections_max=connections_max, is_unix=True
        )
        serving = asyncio.create_task(server.serve())
        await asyncio.sleep(0)
        self._board.write(WRITER, UP, 1)
        try:
            yield
        finally:
            self._board.write(WRITER, UP, 0)
            listener.close()
            end: Callable[[], None] = server.stop
            end()
            await asyncio.wait({serving})


def _listen(path: Path) -> socket.socket:
    """A listening socket at a path where one of an earlier writer may lie."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(BACKLOG_MAX)
    listener.setblocking(False)
    return listener
