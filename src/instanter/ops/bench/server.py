"""Processes under test: started with a folder and a port of their own, watched through /proc, and ended."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Broken, InstanterError, Unavailable
from .load import HOST, Connection, is_ok, request
from .machine import on_all_cores, on_core, server_core

COMMAND: Final = (sys.executable, "-m", "instanter.ops.cli.main")
READY_S_MAX: Final = 120.0
END_S_MAX: Final = 15.0
_POLL_S: Final = 0.005
_WATCH_S: Final = 0.05
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_LOG_TAIL_CHARS: Final = 2_000


class Process:
    """A process on the server's core, or where it likes. Use it as a context: it has ended when the context is left."""

    def __init__(self, command: Sequence[str], *, log: Path, pinned: bool = True) -> None:
        self._log = log
        self.started_ns = elapsed_ns()
        with log.open("wb") as output, on_core(server_core()) if pinned else on_all_cores():
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id, for looking at it from outside."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_for(self, port: int, path: str) -> float:
        """Ask until the answer is 200; the seconds since the start. Raises `Broken` when it ends or takes too long."""
        asking = request("GET", path)
        while (elapsed_ns() - self.started_ns) / 1e9 < READY_S_MAX:
            if not self.running:
                raise Broken(f"the server ended: {self._log_tail()}")
            if _answers(port, asking):
                return (elapsed_ns() - self.started_ns) / 1e9
            time.sleep(_POLL_S)
        raise Broken(f"the server was not ready within {READY_S_MAX:g} s: {self._log_tail()}")

    def wait(self) -> int:
        """Returns when it has ended by itself, with its exit code."""
        return self._process.wait()

    def watched_to_its_end(self) -> int:
        """Returns when it has ended by itself, with the most memory (resident set) that it was seen with, in bytes."""
        most = 0
        while self.running:
            most = max(most, _resident_most_bytes(self.pid))
            time.sleep(_WATCH_S)
        return most

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not help in time."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL: no draining, no checkpoint at the end."""
        self._process.kill()
        self._process.wait()

    def output(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def _log_tail(self) -> str:
        return self.output()[-_LOG_TAIL_CHARS:].strip() or "it said nothing"

    def cpu_s(self) -> float:
        """Processor time, user and system, of it and its children so far; in steps of 1/100 s."""
        return sum(_cpu_ticks(pid) for pid in self._pids()) / _TICKS_PER_S

    def memory_bytes(self) -> int:
        """Memory in use (proportional set size: shared pages count once) of it and its children."""
        return sum(_proportional_bytes(pid) for pid in self._pids())

    def _pids(self) -> list[int]:
        pids = [self.pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
        return pids


class Server(Process):
    """`instanter serve --dev` on a port of its own, over the data folder that it is given."""

    def __init__(
        self, data: Path, *, config: Path | None = None, command: Sequence[str] = COMMAND,
        arguments: Sequence[str] = (), pinned: bool = True,
    ) -> None:  # fmt: skip
        self.port = free_port()
        self.data = data
        configured = () if config is None else ("--config", str(config))
        super().__init__(
            (*command, "serve", "--dev", "--port", str(self.port), "--data", str(data), *configured, *arguments),
            log=data.with_suffix(".log"), pinned=pinned,
        )

    def __enter__(self) -> Server:
        return self

    def wait_ready(self) -> float:
        """Returns when decisions can be answered; the seconds since the start."""
        return self.wait_for(self.port, "/readyz")

    def metrics(self) -> Metrics:
        """What /metrics says now."""
        connection = Connection(self.port)
        try:
            return Metrics(connection.exchange(request("GET", "/metrics")).body.decode())
        finally:
            connection.close()


class Metrics:
    """One answer of /metrics.

    >>> Metrics('# TYPE shots counter\\nshots_total{what="hit"} 3.0\\n').value("shots_total", what="hit")
    3.0
    """

    def __init__(self, text: str) -> None:
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 if there is none, as of a counter that has counted nothing."""
        return self._values.get((name, frozenset(labels.items())), 0.0)

    def by(self, name: str, label: str) -> dict[str, float]:
        """All samples of a metric by one of its labels."""
        return {dict(labels)[label]: value for (found, labels), value in self._values.items()
                if found == name and label in dict(labels)}


def free_port() -> int:
    """A port of the loopback address that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def own_cpu_s() -> float:
    """Processor time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def responder(scratch: Path) -> Iterator[int]:
    """The trivial server; its port."""
    port = free_port()
    command = (sys.executable, "-m", "instanter.ops.bench.responder", str(port))
    with Process(command, log=scratch / "responder.log") as process:
        process.wait_for(port, "/")
        yield port


def _answers(port: int, asking: bytes) -> bool:
    try:
        connection = Connection(port)
    except Unavailable:
        return False
    try:
        return is_ok(connection.exchange(asking))
    except InstanterError:
        return False
    finally:
        connection.close()


def _cpu_ticks(pid: int) -> int:
    """Fields 14 and 15 of /proc/PID/stat, counted behind the name, which may hold blanks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _resident_most_bytes(pid: int) -> int:
    """The high-water mark that the system keeps; 0 of a process that has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _proportional_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
