"""The storefront as a process: a loopback server, and for others the child that runs it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from ..foundation.clock import SystemClock, elapsed_ns
from ..foundation.errors import InstanterError, Unavailable
from ..foundation.limits import STOREFRONT_CONNECTIONS_MAX
from ..sim.shop import Shop
from .app import Storefront
from .asking import Engine
from .crowd import Crowd
from .news import news_shelf
from .shelf import Shelf

KEY_VARIABLE: Final = "INSTANTER_KEY"
"""Where the shop's server finds its secret key: not among arguments, which others on the machine can read."""
START_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 5.0
_ASK_EVERY_S: Final = 0.02
_SENTENCE: Final = "storefront: "


def main(words: Sequence[str] | None = None) -> int:
    """`python -m instanter.storefront`."""
    parser = argparse.ArgumentParser(prog="python -m instanter.storefront", description=(
        "Serve a shop whose lists an Instanter server chooses. Without --shelf it sells the demo's furniture, which "
        "the server has to carry. A secret key for servers that ask for one is taken from INSTANTER_KEY."))
    parser.add_argument("--engine", required=True, metavar="URL", help="the Instanter server, as http://127.0.0.1:8080")
    parser.add_argument("--port", type=int, default=8090, metavar="N", help="loopback port (default: %(default)s)")
    parser.add_argument("--shelf", type=Path, metavar="FILE", help="items as NDJSON, in the shape of POST /v1/items")
    parser.add_argument("--name", default="Your shop", help="what the shop with --shelf is called")
    parser.add_argument("--public-key", default="", metavar="KEY", help="key of the browsers, where the server "
        "asks for one")
    parser.add_argument("--news", metavar="URL", help="also a news page, by the Instanter server that carries its "
        "articles")
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.WARNING)
    try:
        storefront, crowd = _storefront(arguments)
        asyncio.run(_serve(storefront, arguments.port))
        if crowd is not None:
            crowd.stop()
    except InstanterError as error:
        print(f"{_SENTENCE}{error}", file=sys.stderr)
        return 1
    return 0


def _storefront(arguments: argparse.Namespace) -> tuple[Storefront, Crowd | None]:
    key, clock, crowd = os.environ.get(KEY_VARIABLE, ""), SystemClock(), None
    if arguments.shelf is None:
        shop = Shop()
        shelf, crowd = Shelf.of_shop(shop), Crowd(shop, arguments.engine, key=key, clock=clock)
    else:
        shelf, remarks = Shelf.read(arguments.shelf, name=arguments.name)
        for remark in remarks:
            print(f"{arguments.shelf}: {remark}", file=sys.stderr)
    news = news_shelf(as_of_ms=clock.now_ms()) if arguments.news else None
    storefront = Storefront(
        shelf, Engine(arguments.engine, key=key), key=arguments.public_key, crowd=crowd,
        console_url=f"{arguments.engine.rstrip('/')}/console", news=news,
        news_engine=Engine(arguments.news, key=key) if arguments.news else None)  # fmt: skip
    return storefront, crowd


async def _serve(storefront: Storefront, port: int) -> None:
    """Until SIGTERM or SIGINT."""
    if not 0 < port < 65_536:
        raise Unavailable(f"there is no port {port}; choose another --port")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Unavailable(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another --port") from None
    server = Server(
        storefront.app(), address="127.0.0.1", port=port, interface=Interfaces.ASGINL, http=HTTPModes.http1,
        websockets=False, log_enabled=False, backpressure=STOREFRONT_CONNECTIONS_MAX)  # fmt: skip
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for told in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(told, ended.set)
    serving = asyncio.create_task(server.serve())
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not serving.done():
        stop: Callable[[], None] = server.stop
        stop()
    await serving


class ChildStorefront:
    """A storefront as a child process on a loopback port."""

    def __init__(
        self, engine: str, *, port: int = 0, shelf: Path | None = None, name: str = "Your shop", news: str = "",
        key: str = "", public_key: str = "",
    ) -> None:  # fmt: skip
        """`engine` and `news` are addresses of Instanter servers; without `shelf` it is the demo's furniture shop."""
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
        self._log = os.fdopen(descriptor, "w+b")
        command = [sys.executable, "-m", "instanter.storefront", "--engine", engine, "--port", str(self.port)]
        command += ["--shelf", str(shelf), "--name", name] if shelf is not None else []
        command += ["--news", news] if news else []
        command += ["--public-key", public_key] if public_key else []
        surroundings = {**os.environ, KEY_VARIABLE: key} if key else None
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log, env=surroundings)

    def wait_until_ready(self, *, within_s: float = START_S_MAX) -> None:
        """Until it answers. Raises `Unavailable` when the process ends or takes too long."""
        started_ns = elapsed_ns()
        while (elapsed_ns() - started_ns) / 1e9 < within_s:
            if self.process.poll() is not None:
                raise Unavailable(f"the storefront did not start: {self._last_words()}")
            if _answers(self.port):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_ASK_EVERY_S)
        raise Unavailable(f"the storefront did not answer within {within_s:g} s")

    def stop(self) -> int:
        """SIGTERM, then SIGKILL if it does not end; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        self._log.close()
        return code

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().split("\n")
        return lines[-1].removeprefix(_SENTENCE) or f"it ended with exit code {self.process.returncode}"


@contextlib.contextmanager
def running_storefront(
    engine: str, *, port: int = 0, shelf: Path | None = None, name: str = "Your shop", news: str = "", key: str = "",
    public_key: str = "",
) -> Iterator[ChildStorefront]:  # fmt: skip
    """A storefront that answers at its `url`, and is stopped afterwards."""
    child = ChildStorefront(
        engine, port=port, shelf=shelf, name=name, news=news, key=key, public_key=public_key)
    try:
        child.wait_until_ready()
        yield child
    finally:
        child.stop()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
