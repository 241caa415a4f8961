"""The serving edge: a listening socket of ours, an HTTP server on it, and what bounds those who connect.

How long a connection may do nothing is bounded in four places: the head of a request and the pause before it by the
HTTP server, the body by `api.admission`, the reading of a reply by the kernel (`TCP_USER_TIMEOUT`, which accepted
sockets inherit from the listening one; for streams `patience` lengthens it). Connections beyond the bound are closed by
`turn_away`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, NamedTuple, Protocol

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.types import ASGIApp

from ..api.admission import Admission, AdmissionOptions, Pulse
from ..api.app import is_tracking, make_app, page_methods
from ..api.auth import Access
from ..api.browsers import Edge, EdgeOptions
from ..api.models import Registry
from ..api.outcomes import forget_erased
from ..api.replies import refusal
from ..api.routing import guards_itself
from ..api.tenancy import Terms
from ..console.app import Console
from ..engine.loop import Engine
from ..foundation.clock import SystemClock
from ..foundation.deadline import Deadline
from ..foundation.errors import Overloaded, Unavailable
from ..foundation.ids import Ids
from ..foundation.limits import BACKLOG_MAX, FILES_RESERVED, HEAD_BYTES_MAX, SEND_BUFFER_BYTES_MAX
from ..foundation.measure import Meter
from ..state.compiling import compiled
from . import metrics
from .jobs.queue import JobQueue
from .live import LiveSeries
from .patience import Patience
from .remains import Remains
from .settings import ServeSettings
from .workers.board import WorkerSeen

reports = logging.getLogger("instanter.serve")

DRAIN_MS = 5_000.0
LOOK_S = 0.05
"""How often connections that wait are looked for; they wait in the kernel for one to two looks."""
SWITCH_S = 0.001
"""So long a thread keeps the interpreter though another one waits for it; Python's own is 5 ms."""
OPEN_FILES_MAX = 1_048_576
"""Asked for where the system sets no limit of its own."""


class Beside(Protocol):
    """What a writer does for the processes that decide beside it, see `workers`."""

    def seen(self) -> list[WorkerSeen]:
        """These processes as they are now."""
        ...

    def beside(
        self, engine: Engine, app: ASGIApp, access: Access, settings: ServeSettings, connections_max: int
    ) -> AbstractAsyncContextManager[None]:
        """Serve them as long as this lasts; `app` is what requests from outside go to."""
        ...


async def serve(
    make_engine: Callable[[], Engine], *, host: str, port: int, settings: ServeSettings, terms: Terms, dev: bool,
    on_ready: Callable[[Engine], None], with_jobs: Callable[[Engine], AbstractAsyncContextManager[JobQueue]],
    registry: Registry, workers: Beside | None = None,
) -> None:  # fmt: skip
    """Serve until SIGTERM or SIGINT, then drain: no new requests, what is in flight done, all on disk.

    `host` is an address; with `dev` no access key is asked for. Jobs are done between entering and leaving what
    `with_jobs` gives. `registry` knows the models that were trained. `workers` are those that decide beside this
    process. Raises `Unavailable` if the server cannot listen there or ends by itself.
    """
    connections_max = room_for(settings.connections_max)
    listener = listen(host, port, write_s=settings.write_s, shared=workers is not None)
    engine = make_engine()
    await engine.start()
    keep_the_loop_free()
    async with AsyncExitStack() as entered:
        jobs = await entered.enter_async_context(with_jobs(engine))
        access = Access(engine, SystemClock(), terms, dev=dev)
        seen = workers.seen if workers is not None else list
        series = LiveSeries(engine, SystemClock(), working=lambda: admission.working, workers=seen)
        app = make_app(
            engine, metrics=lambda: metrics.render(engine, admission, jobs, seen()), jobs=jobs, access=access,
            proxies=settings.proxies, series=series, registry=registry,
            console=lambda app: Console(app, access, SystemClock(), Ids()),
        )  # fmt: skip
        options = AdmissionOptions(requests_max=settings.requests_max, body_read_s=settings.body_read_s)
        pulse = Pulse()
        admission = Admission(app, options, engine.meter, pulse)
        edge = make_edge(admission, settings, engine.meter, dev=dev)
        if workers is not None:
            await entered.enter_async_context(workers.beside(engine, edge, access, settings, connections_max))
        remains = Remains(engine.meter, engine.workers)
        somebody_went = asyncio.Event()

        def forgotten() -> None:
            somebody_went.set()
            remains.want()

        engine.eraser.on_forgotten = forgotten

        def ready() -> None:
            watch_kernels(engine.meter)
            on_ready(engine)

        ended = await answer(
            edge, listener, settings=settings, connections_max=connections_max, meter=engine.meter,
            headers_for=edge.headers_for, on_ready=ready, beside=[
                pulse.beat(), remains.watch(), series.run(), engine.streams.run(),
                _forget_explanations(engine, jobs, somebody_went),
            ],
        )  # fmt: skip
    await engine.stop(ended.deadline)
    if ended.reason:
        raise Unavailable(f"the server on {host}:{port} ended: {ended.reason}")


async def _forget_explanations(engine: Engine, jobs: JobQueue, somebody_went: asyncio.Event) -> None:
    """Of whoever was erased, each time somebody was; until cancelled."""
    while True:
        await somebody_went.wait()
        somebody_went.clear()
        await forget_erased(engine, jobs)


class Ended(NamedTuple):
    """How an HTTP server came to its end."""

    deadline: Deadline
    """For what is still to be done."""
    reason: str
    """Why it ended by itself; "" if it was told to."""


async def answer(
    app: ASGIApp, listener: socket.socket, *, settings: ServeSettings, connections_max: int, meter: Meter,
    headers_for: Callable[[bytes], list[tuple[bytes, bytes]]], beside: Sequence[Coroutine[Any, Any, None]],
    on_ready: Callable[[], None], stop: asyncio.Event | None = None,
) -> Ended:  # fmt: skip
    """Answer what comes to the listening socket until SIGTERM or SIGINT, or `stop`, then what is in flight; the socket
    is closed then. `beside` runs meanwhile. `headers_for`: see `turn_away`."""
    server = ListeningServer(Patience(app), listener, settings=settings, connections_max=connections_max)
    stopped = asyncio.create_task(told_to_stop(stop or asyncio.Event()))
    serving = asyncio.create_task(server.serve())
    files_before = open_files()
    turning = turn_away(
        listener, is_full=lambda: open_files() - files_before >= connections_max, meter=meter, headers_for=headers_for
    )
    running = [asyncio.create_task(one) for one in (*beside, turning)]
    await asyncio.sleep(0)
    if not serving.done():
        on_ready()
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    ended_by_itself = serving.done()
    deadline = Deadline(DRAIN_MS)
    for one in running:
        one.cancel()
    listener.close()
    end: Callable[[], None] = server.stop
    end()
    await asyncio.wait({serving, *running}, timeout=deadline.left_ms() / 1_000)
    return Ended(deadline, _first_line(serving.exception()) if ended_by_itself else "")


def make_edge(app: ASGIApp, settings: ServeSettings, meter: Meter, *, dev: bool) -> Edge:
    """What stands around everything: the names and pages that reach the server."""
    if dev and (settings.origins or settings.hosts):
        reports.warning("with --dev only this machine is let in: serve.origins and serve.hosts have no effect")
    options = EdgeOptions(origins=settings.origins, hosts=settings.hosts, dev=dev)
    return Edge(app, options, meter, page_methods=page_methods, is_tracking=is_tracking, guards_itself=guards_itself)


def watch_kernels(meter: Meter) -> None:
    """From here on a kernel that is still to be compiled, or loaded, is counted and told of: it holds somebody up."""

    def tell() -> None:
        meter.count("kernels_late")
        reports.warning("a kernel was not warmed up", extra={"kernel": compiled.wholes[-1]})

    compiled.on_whole = tell


class ListeningServer(Server):
    """granian on a socket that is ours: one that it opens itself carries no deadline for writing."""

    def __init__(
        self, app: ASGIApp, listener: socket.socket, *, settings: ServeSettings, connections_max: int,
        is_unix: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            runtime_threads=1,
            log_enabled=False,
            backlog=BACKLOG_MAX,
            backpressure=connections_max,
            http1_settings=HTTP1Settings(
                header_read_timeout=settings.header_read_s * 1_000, max_buffer_size=HEAD_BYTES_MAX
            ),
        )
        self._listening = listener
        self._is_unix = is_unix

    def _init_shared_socket(self) -> None:
        descriptor = os.dup(self._listening.fileno())  # the server's own, since it closes it
        hold: Callable[..., SocketHolder] = SocketHolder
        self.__dict__.update(_sfd=descriptor, _shd=hold(descriptor, self._is_unix, BACKLOG_MAX), _ssp=None)


def listen(host: str, port: int, *, write_s: float, shared: bool = False) -> socket.socket:
    """A listening socket, not blocking; `shared` with other processes of the same user that say so, too. Raises
    `Unavailable` when it cannot be had.

    What is accepted from it has a bounded send buffer, and is closed by the kernel when its peer takes nothing of
    what was written for `write_s` (on Linux).
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES_MAX)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(write_s * 1_000))
        listener.bind((host, port))
        listener.listen(BACKLOG_MAX)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
    return listener


async def turn_away(
    listener: socket.socket, *, is_full: Callable[[], bool], meter: Meter,
    headers_for: Callable[[bytes], list[tuple[bytes, bytes]]] = lambda head: [],
) -> None:  # fmt: skip
    """Answer 429 to connections that wait because all places are taken, and close them; until cancelled.

    The HTTP server takes no connection while it has as many as it may: they would wait until somebody leaves.
    `headers_for` says what else an answer needs, by as much as has come of the request.
    """
    waited = False
    while True:
        await asyncio.sleep(LOOK_S)
        waits = _is_readable(listener)
        if waits and waited and is_full():
            turned = _refuse_waiting(listener, headers_for)
            meter.count("connections_refused", turned)
            waits = False
        waited = waits


def _is_readable(listener: socket.socket) -> bool:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


def _refuse_waiting(listener: socket.socket, headers_for: Callable[[bytes], list[tuple[bytes, bytes]]]) -> int:
    """Refuse what waits, one queue's worth at most; how many that were.

    What lies there is read: with it unread the kernel would cut the connection off, and the answer be lost with it.
    """
    for turned in range(BACKLOG_MAX):
        try:
            connection, _ = listener.accept()
        except OSError:
            return turned
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(_turned_away(headers_for(_what_came(connection))))
    return BACKLOG_MAX


def _what_came(connection: socket.socket) -> bytes:
    """As much of a request as has come by now."""
    try:
        return connection.recv(HEAD_BYTES_MAX)
    except OSError:
        return b""


def _turned_away(more: list[tuple[bytes, bytes]]) -> bytes:
    """The reply to a connection for which there is no place."""
    head = [b"HTTP/1.1 429 Too Many Requests", b"connection: close"]
    head += [name + b": " + value for name, value in (*_FULL.raw_headers, *more)]
    return b"\r\n".join(head) + b"\r\n\r\n" + bytes(_FULL.body)


_FULL = refusal(Overloaded("all connections are taken"), tracking=True)


def room_for(connections_max: int) -> int:
    """Raise the bound of open files to what this process may have; how many connections there is room for.

    Raises `Unavailable` if there is room for none.
    """
    files_max = open_files_max()
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    room = files_max - FILES_RESERVED
    if room < 1:
        raise Unavailable(f"{files_max} open files are too few: {FILES_RESERVED} are needed beside connections")
    if room < connections_max:
        reports.warning(
            "fewer connections than configured: raise the hard limit of open files",
            extra={"connections_max": room, "open_files": files_max},
        )
    return min(room, connections_max)


def open_files_max() -> int:
    """Files that this process may open at most, once it has asked for all it can have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else hard


def open_files() -> int:
    """Files this process has open. Costs a microsecond for every two of them."""
    return len(os.listdir("/dev/fd")) - 1


async def told_to_stop(stop: asyncio.Event) -> None:
    """Returns at the first SIGTERM or SIGINT, or once `stop` is set; further ones change nothing."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _first_line(error: BaseException | None) -> str:
    return str(error).partition("\n")[0] if error is not None else "no reason was given"


def keep_the_loop_free() -> None:
    """What lives now lives for good: leave it out of garbage collections, and make these rare and young. A thread that
    computes beside the loop lets go of the interpreter soon: what the loop has to answer waits for it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1_000)
    sys.setswitchinterval(SWITCH_S)
