"""A server of our own as a child process: for `demo`, for `import` into a directory, for tests and measurements."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from ..foundation.clock import elapsed_ns
from ..foundation.errors import Unavailable

START_S_MAX = 600.0
"""The first start on a machine compiles the kernels, which takes minutes where others use the cores. One that has
ended is noticed at once."""
STOP_S_MAX = 15.0
_ASK_EVERY_S = 0.02
COMPILING = "compiling kernels, this once: later starts take a second or two"
"""What a server's log says while it does."""
_LOG_END_BYTES = 4_096
_SENTENCE = "instanter serve: "
"""How the command begins to say why it could not."""


class _Report(msgspec.Struct):
    """A line of a server's log, as far as it matters here."""

    message: str
    done: int = 0
    at_most: int = 0


class ChildServer:
    """`instanter serve --dev` on a loopback port. Ends with its handle, and only with that."""

    def __init__(
        self, data: Path, *, config: Path | None = None, port: int = 0, arguments: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:  # fmt: skip
        """`log` is the file its log goes to; without one it is kept aside, for the reason if it does not start.

        Raises `Unavailable` where something else listens on `port`: whatever is asked there would go to it.
        """
        if port:
            _check_free(port)
        self._log = os.fdopen(_descriptor(log), "w+b")
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "instanter.ops.cli.main", "serve", "--dev", "--data", str(data)]
        command += ["--port", str(self.port), *(["--config", str(config)] if config else []), *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log)

    def wait_until_ready(
        self, *, within_s: float = START_S_MAX, watch: Callable[[int, int], None] | None = None
    ) -> float:
        """Seconds until `GET /readyz` said 200. Raises `Unavailable` when the process ends or takes too long.

        While the server compiles, `watch` is told how many kernels are there, and how many at most there will be.
        """
        started_ns, told = elapsed_ns(), (0, 0)
        while (waited_s := (elapsed_ns() - started_ns) / 1e9) < within_s:
            if self.process.poll() is not None:
                raise Unavailable(f"the server did not start: {self._last_words()}")
            if is_ready(self.port):
                return waited_s
            if watch is not None and (now := self._compiled()) > told:
                told = now
                watch(*now)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_ASK_EVERY_S)
        raise Unavailable(f"the server was not ready within {within_s:g} s")

    def stop(self) -> int:
        """SIGTERM, then SIGKILL if it does not end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        self._log.close()
        return code

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait()
        self._log.close()

    def _compiled(self) -> tuple[int, int]:
        """How many kernels the end of the log says are compiled, and how many at most there will be."""
        descriptor = self._log.fileno()
        size_bytes = os.fstat(descriptor).st_size
        lines = os.pread(descriptor, _LOG_END_BYTES, max(0, size_bytes - _LOG_END_BYTES)).split(b"\n")
        found = (0, 0)
        for line in lines:
            with contextlib.suppress(msgspec.MsgspecError):
                report = msgspec.json.decode(line, type=_Report)
                found = (report.done, report.at_most) if report.message == COMPILING else found
        return found

    def _last_words(self) -> str:
        """The sentence it ended with."""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        told = next((line for line in reversed(lines) if line.startswith(_SENTENCE)), "")
        return told.removeprefix(_SENTENCE) or f"it ended with exit code {self.process.returncode}"


def is_ready(port: int) -> bool:
    """Whether `GET /readyz` on this loopback port says 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def running_server(
    data: Path, *, config: Path | None = None, port: int = 0, arguments: Sequence[str] = (), log: Path | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[ChildServer]:  # fmt: skip
    """A server that is ready, and stopped afterwards, also when this process is told to end by SIGTERM."""
    server = ChildServer(data, config=config, port=port, arguments=arguments, log=log)
    try:
        with _ending_as_by_hand():
            server.wait_until_ready(watch=watch)
            yield server
    finally:
        server.stop()


@contextlib.contextmanager
def _ending_as_by_hand() -> Iterator[None]:
    """SIGTERM raises `KeyboardInterrupt`, as Ctrl-C does, so that what was begun is ended. On the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _descriptor(path: Path | None) -> int:
    """Of a new file at `path`, or of one without a name."""
    if path is not None:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    descriptor, name = tempfile.mkstemp()
    os.unlink(name)
    return descriptor


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # What is left of connections to a server that has ended is nobody who listens.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise Unavailable(f"cannot listen on 127.0.0.1:{port}: {reason}; choose another --port") from None


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
