"""Processes that do small pieces of work which must not run on the loop: each is asked, answers in time or is ended,
and is begun again.

A process stands for one thing that it was given at its beginning, a net for instance. It is asked by one socket, one
question at a time. Whoever asks waits so long and no longer: a process that is late or says nothing that can be read is
ended, since nobody knows what it would answer next, and another one is begun in a thread. Until that is ready, and the
longer the oftener it has failed, whoever asks is told at once that it is away. Where the server ends, however it does,
the sockets end, and with them the processes.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Final

from ..foundation.clock import elapsed_ns
from ..foundation.errors import Broken, InstanterError, Unavailable
from ..foundation.limits import NET_LOAD_S_MAX, NET_RESTART_S_MAX, NETS_MAX, POOL_ANSWER_BYTES_MAX

log = logging.getLogger("instanter.pool")

PAUSE_S: Final = 0.1
"""Before a process that failed is begun again; it doubles each time, up to `NET_RESTART_S_MAX`."""
_USED_LATELY_S: Final = 60
_LENGTH: Final = struct.Struct("<I")
Check = Callable[[Callable[[bytes], bytes]], None]
"""Asks a process that has just begun, and raises where it does not answer as it should."""


def send(connection: socket.socket, message: bytes) -> None:
    """One message; `OSError` where the other end is gone or does not read in time."""
    connection.sendall(_LENGTH.pack(len(message)) + message)


def receive(connection: socket.socket, bytes_max: int, until_ns: int | None = None) -> bytes:
    """One message. `OSError` where the other end is gone, it does not come in time, or it is too long."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, until_ns))
    if length > bytes_max:
        raise ConnectionError(f"a message of {length} bytes, of {bytes_max}")
    return _exactly(connection, length, until_ns)


def _exactly(connection: socket.socket, count: int, until_ns: int | None) -> bytes:
    parts, left = [], count
    while left:
        if until_ns is not None:
            connection.settimeout(max((until_ns - elapsed_ns()) / 1e9, 1e-4))
        part = connection.recv(left)
        if not part:
            raise ConnectionError("the other end is gone")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


class Pool:
    """Processes by name. `ask` is for one thread, the loop's; `prepare` and `close` may come from any."""

    def __init__(self, command: Sequence[str], *, count_max: int = NETS_MAX) -> None:
        """`command` is given the number of its socket as a further argument."""
        self._command = tuple(command)
        self._count_max = count_max
        self._workers = dict[str, _Worker]()
        self._one_at_a_time = threading.Lock()

    def __len__(self) -> int:
        """Processes that there are to be."""
        return len(self._workers)

    def prepare(self, name: str, content: bytes, check: Check) -> None:
        """On return the process of that name is ready: it was given `content`, and `check` has passed.

        One that there is already, or that is begun again, stays as it is. Raises what `check` raises, `Broken` where it
        did not begin, and `Unavailable` where as many as there may be have been in use within the last minute.
        """
        with self._one_at_a_time:
            if name in self._workers:
                self._workers[name].used_ns = elapsed_ns()
                return
            self._make_room()
            worker = _Worker(self._command, name, content, check)
            worker.begin()
            self._workers[name] = worker

    def ask(self, name: str, question: bytes, within_ms: float) -> bytes:
        """The answer of a process. `Unavailable` where it is not there, `Broken` where it failed or was late."""
        worker = self._workers.get(name)
        if worker is None:
            raise Unavailable(f"{name} was not prepared")
        return worker.ask(question, within_ms)

    def close(self) -> None:
        """End all processes; none is left on return."""
        with self._one_at_a_time:
            for worker in self._workers.values():
                worker.close()
            self._workers.clear()

    def _make_room(self) -> None:
        if len(self._workers) < self._count_max:
            return
        name, oldest = min(self._workers.items(), key=lambda one: one[1].used_ns)
        if elapsed_ns() - oldest.used_ns < _USED_LATELY_S * 1e9:
            raise Unavailable(f"{self._count_max} nets run already, and all are in use", retry_after_s=_USED_LATELY_S)
        oldest.close()
        del self._workers[name]


class _Worker:
    """One process, and the next one where it fails."""

    def __init__(self, command: Sequence[str], name: str, content: bytes, check: Check) -> None:
        self._command, self._name, self._content, self._check = command, name, content, check
        self.used_ns = elapsed_ns()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._closed = threading.Event()
        self._beginning: threading.Thread | None = None
        self._failures = 0
        self._began_ns = 0

    def ask(self, question: bytes, within_ms: float) -> bytes:
        self.used_ns = elapsed_ns()
        connection = self._connection
        if connection is None:
            raise Unavailable(f"{self._name} is begun again")
        try:
            return _asked(connection, question, within_ms)
        except OSError as error:
            self._fail(str(error) or type(error).__name__)
            late = isinstance(error, TimeoutError)
            reason = f"did not answer within {within_ms:.0f} ms" if late else f"failed: {error}"
            raise Broken(f"{self._name} {reason}") from None

    def close(self) -> None:
        """End it for good."""
        self._closed.set()
        self._end(self._process)  # What is just beginning fails at once.
        if self._beginning is not None:
            self._beginning.join()
        self._let_go()
        self._end(self._process)

    def begin(self) -> None:
        """Begin the process; on return it can be asked. In whatever thread, by one at a time."""
        ours, theirs = socket.socketpair()
        process = None
        try:
            with theirs:
                process = self._process = self._popen(theirs)
            self._began_ns = elapsed_ns()
            if self._closed.is_set():
                raise ConnectionError("it was closed")
            ours.settimeout(NET_LOAD_S_MAX)
            send(ours, self._content)
            self._check(lambda question: _asked(ours, question, NET_LOAD_S_MAX * 1e3))
        except (InstanterError, OSError) as error:
            ours.close()
            self._end(process)
            if isinstance(error, OSError):
                raise Broken(f"{self._name} did not begin: {error}") from None
            raise
        self._connection = ours

    def _popen(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._command, str(theirs.fileno())], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip

    def _fail(self, reason: str) -> None:
        """It is of no use any more: end it, and begin another one beside."""
        if elapsed_ns() - self._began_ns > NET_RESTART_S_MAX * 1e9:
            self._failures = 0
        self._failures += 1
        pause_s = min(PAUSE_S * 2.0 ** (self._failures - 1), NET_RESTART_S_MAX)
        log.warning("a process of the pool is begun again", extra={
            "worker": self._name, "reason": reason, "in_s": pause_s})  # fmt: skip
        self._let_go()
        self._beginning = threading.Thread(
            target=self._begin_again, args=(self._process, pause_s), name="pool", daemon=True
        )
        self._beginning.start()

    def _begin_again(self, failed: subprocess.Popen[bytes] | None, pause_s: float) -> None:
        self._end(failed)
        while not self._closed.wait(pause_s):
            try:
                self.begin()
                return
            except (InstanterError, OSError) as error:
                self._failures += 1
                pause_s = min(2.0 * pause_s, NET_RESTART_S_MAX)
                log.warning("a process of the pool did not begin", extra={
                    "worker": self._name, "reason": str(error), "in_s": pause_s})  # fmt: skip

    def _let_go(self) -> None:
        """Ask it nothing more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    @staticmethod
    def _end(process: subprocess.Popen[bytes] | None) -> None:
        if process is not None:
            process.kill()
            process.wait()


def _asked(connection: socket.socket, question: bytes, within_ms: float) -> bytes:
    until_ns = elapsed_ns() + int(within_ms * 1e6)
    connection.settimeout(max(within_ms, 0.1) / 1e3)
    send(connection, question)
    return receive(connection, POOL_ANSWER_BYTES_MAX, until_ns)
