"""A decider: a process that follows the log of the writer, answers decisions, and hands on everything else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...api.admission import Admission, AdmissionOptions, Pulse
from ...api.app import is_tracking
from ...api.auth import Access
from ...api.deciding import Deciding, DecidingOptions, decides
from ...api.replies import refusal
from ...api.tenancy import Terms
from ...engine.follower import Follower, FollowerOptions, open_partition
from ...engine.models import StoredModels
from ...engine.receipts import DecidedElsewhere
from ...engine.warmup import KernelProgress, warm_up
from ...events.statements import Statements
from ...foundation.clock import SystemClock
from ...foundation.disk import RealDisk
from ...foundation.errors import Unavailable
from ...foundation.ids import Ids
from ...foundation.measure import Measurements
from ...log.segments import SegmentReader
from ...models.attention import NO_NETS, Nets
from ...models.store import ModelStore
from ...privacy.followed import FollowedSubjects
from ..attention.nets import PooledNets
from ..datadir import DataDirectory
from ..serving import answer, keep_the_loop_free, listen, make_edge, room_for, watch_kernels
from ..settings import Config
from ..wiring import decider_of, options_of, schema_of
from .board import AT, DECISIONS, HANDED_OVER, SOCKET, UP, Board
from .figures import FiguresFile
from .handing import Handing, WriterGone, handed_headers
from .telling import Telling

reports = logging.getLogger("instanter.serve")

FOLLOW_S: Final = 0.005
"""How often it reads on by itself: a decision that comes then has less to read."""
REST_S: Final = 0.04
"""The same while nothing comes."""
TURN_S: Final = 30.0
FIGURES_S: Final = 1.0
"""How often it says what it has measured."""
UNWANTED_BYTES_MAX: Final = 1024 * 1024
UNWANTED_S_MAX: Final = 1.0
"""So much of a request is read, for so long, that is refused because there is no writer."""
_TOLD_ANEW: Final = frozenset({
    b"content-length", b"content-encoding", b"access-control-allow-origin", b"access-control-expose-headers", b"vary",
})  # fmt: skip
"""Headers that are told by whoever stands around a handed-on answer or question, once it was read whole."""


def open_follower(
    config: Config, data: Path, board: Board, meter: Measurements, *, progress: KernelProgress | None = None,
    nets: Nets = NO_NETS,
) -> Follower:
    """A follower of the log in a data directory that a writer has open, with everything read that is acknowledged.

    Raises `Broken` where people lie on disk, or do not fit into memory.
    """
    disk = RealDisk()
    directory = DataDirectory(disk, data, keys=config.privacy.keys)
    schema = schema_of(config)
    decider = decider_of(config, schema)
    warm_up(schema, decider, tuple(placement.id for placement in config.placements), progress)
    records = SegmentReader(disk, directory.log)
    follower = Follower(
        open_partition(schema, records, disk=disk, checkpoints=directory.checkpoints), records,
        acknowledged=lambda: board.position, acknowledged_ms=lambda: board.at_ms, decider=decider, meter=meter,
        subjects=FollowedSubjects(disk, directory.keys, secret=directory.check()),
        statements=Statements(config.privacy.consent_ids, purposes=schema.purposes),
        models=StoredModels(ModelStore(disk, directory.models), nets), clock=SystemClock(not_before_ms=board.at_ms),
        ids=Ids(), options=FollowerOptions(frozenset(schema.purposes), config.privacy.consent_required),
    )  # fmt: skip
    follower.catch_up()
    return follower


class Front:
    """Everything that comes in: decisions to the application, the rest to the writer."""

    def __init__(self, app: ASGIApp, without: ASGIApp, handing: Handing, on_handed: Callable[[], None]) -> None:
        """`without` answers what cannot be handed on."""
        self._app = app
        self._without = without
        self._handing = handing
        self._on_handed = on_handed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or decides(scope):
            await self._app(scope, receive, send)
            return
        self._on_handed()
        coming = _Coming(receive)
        try:
            await self._handing.pass_on(scope, coming, send)
        except WriterGone:
            await coming.read_out()
            await self._without(scope, coming, send)


class _Coming:
    """The body of a request, which is read to its end even where nobody wants it: the HTTP server closes a connection
    whose request was answered while it was still coming, and what the client sends over it next would be cut off."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left_bytes = UNWANTED_BYTES_MAX
        self._more = True

    async def __call__(self) -> Message:
        message = await self._receive()
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        self._left_bytes -= len(message.get("body", b""))
        return message

    async def read_out(self) -> None:
        """Read what is still to come. It is given up where that is long, or takes long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNWANTED_S_MAX):
                while self._more and self._left_bytes > 0:
                    await self()


async def without_writer(scope: Scope, receive: Receive, send: Send) -> None:
    """Say that there is no writer."""
    await refusal(WriterGone(), tracking=is_tracking(scope["path"]))(scope, receive, send)


class HandingOn:
    """`api.deciding.HandOn` over the workers' socket."""

    def __init__(self, handing: Handing, on_handed: Callable[[], None]) -> None:
        self._handing = handing
        self._on_handed = on_handed

    async def __call__(self, request: Request, body: bytes) -> Response:
        self._on_handed()
        headers = [(name, value) for name, value in handed_headers(request.scope) if name not in _TOLD_ANEW]
        told = await self._handing.ask(request.method, request.scope["raw_path"], headers, body)
        response = Response(told.body, told.status)
        kept = [(name, value) for name, value in told.headers if name not in _TOLD_ANEW]
        response.raw_headers[:] = [*kept, (b"content-length", b"%d" % len(told.body))]
        return response


class CountedTelling:
    """`Telling`, and the figure of decisions made here."""

    def __init__(self, telling: Telling, on_decided: Callable[[], None]) -> None:
        self.check = telling.check
        self._telling = telling
        self._on_decided = on_decided

    def tell(self, decided: DecidedElsewhere, key_id: str) -> None:
        self._on_decided()
        self._telling.tell(decided, key_id)


async def decide_beside(
    config: Config, data: Path, folder: Path, number: int, *, host: str, port: int, terms: Terms, dev: bool,
    progress: KernelProgress | None = None,
) -> None:  # fmt: skip
    """Decide beside the writer whose folder this is, until SIGTERM or SIGINT. Raises `Unavailable` once it cannot go
    on: it is to be started again then."""
    settings, board, meter = config.serve, Board(folder), Measurements()
    connections_max = room_for(settings.connections_max)
    clock = SystemClock(not_before_ms=board.at_ms)
    nets = PooledNets()
    follower = open_follower(config, data, board, meter, progress=progress, nets=nets)
    board.write(number, AT, follower.partition.position)
    handing = Handing(folder / SOCKET)
    telling = Telling(handing, board, number, clock)

    def count(column: int) -> Callable[[], None]:
        return lambda: board.count(number, column)

    options = options_of(config, clock_of_events=False)
    app = Deciding(
        follower, Access(follower, SystemClock(), terms, dev=dev), clock=clock,
        hand_on=HandingOn(handing, count(HANDED_OVER)), elsewhere=CountedTelling(telling, count(DECISIONS)),
        options=DecidingOptions(deadline_ms=options.deadline_ms, public_fields=options.catalogue.public_fields),
    )  # fmt: skip
    pulse, stop = Pulse(), asyncio.Event()
    admission = Admission(
        app, AdmissionOptions(requests_max=settings.requests_max, body_read_s=settings.body_read_s), meter, pulse
    )
    edge = make_edge(admission, settings, meter, dev=dev)
    front = Front(edge, make_edge(without_writer, settings, meter, dev=dev), handing, count(HANDED_OVER))
    following = _Following(follower, board, number, stop, on_turn=meter.turn)
    listener = listen(host, port, write_s=settings.write_s, shared=True)
    keep_the_loop_free()

    def ready() -> None:
        watch_kernels(meter)
        board.write(number, UP, 1)
        reports.info("a decider is ready", extra={"worker": number, "position": follower.partition.position})

    figures = _tell_figures(FiguresFile(folder, number), meter)
    beside = [pulse.beat(), telling.run(), following.run(), handing.run(), figures]
    try:
        ended = await answer(
            front, listener, settings=settings, connections_max=connections_max, meter=meter,
            headers_for=edge.headers_for, beside=beside, on_ready=ready, stop=stop,
        )  # fmt: skip
    finally:
        board.write(number, UP, 0)
        nets.close()
    await telling.finish()
    handing.close()
    if reason := following.ended or ended.reason:
        raise Unavailable(reason)


async def _tell_figures(file: FiguresFile, meter: Measurements) -> None:
    """Until cancelled."""
    while True:
        file.write(meter)
        await asyncio.sleep(FIGURES_S)


class _Following:
    """Reads on at leisure, and ends the process where it can decide no more."""

    def __init__(
        self, follower: Follower, board: Board, number: int, stop: asyncio.Event, on_turn: Callable[[], None]
    ) -> None:  # fmt: skip
        self._on_turn = on_turn
        self._follower = follower
        self._board = board
        self._number = number
        self._stop = stop
        self._writers = board.writers
        self.ended = ""

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        turned = loop.time()
        while not self.ended:
            before = self._follower.partition.position
            self._step()
            now = self._follower.partition.position
            self._board.write(self._number, AT, now)
            if loop.time() - turned > TURN_S:
                turned = loop.time()
                self._on_turn()
            await asyncio.sleep(FOLLOW_S if now != before else REST_S)
        self._stop.set()

    def _step(self) -> None:
        try:
            self._follower.step()
        except Unavailable as error:
            self.ended = error.message
        if self._board.writers != self._writers:
            self._writers = self._board.writers
            if self._board.position < self._follower.partition.position:
                self.ended = "a writer has begun with a log that ends before what was read"
