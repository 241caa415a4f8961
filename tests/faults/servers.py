"""Real servers to be killed, starved and attacked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from instanter.foundation.clock import elapsed_ns
from instanter.foundation.errors import Unavailable
from instanter.ops.child import free_port, is_ready

HERE = Path(__file__).parent
POLL_S = 0.01
START_S_MAX = 600.0
STOP_S_MAX = 120.0
"""Whoever takes longer hangs, on a machine however busy."""

CONFIG = """\
[log]
segment_mb = 1
[state]
memory_mb = 64
checkpoint_s = {checkpoint_s}
[limits]
requests_per_s = 1000000
"""
RARELY_S = 3_600


class Nursery:
    """Forks servers that need no second for imports. See nursery.py."""

    def __init__(self, stderr: IO[bytes]) -> None:
        self._guard = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self.close()
            raise Unavailable(f"the nursery ended with exit code {self._process.returncode}, see {stderr.name}")

    def ask(self, **order: Any) -> Any:
        """The one value that answers an order."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with self._guard:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            (answer,) = json.loads(process.stdout.readline()).values()
        return answer

    def close(self) -> None:
        self._process.communicate()


class ForkedProcess:
    """A server out of the nursery, as `subprocess.Popen` would show it."""

    def __init__(self, nursery: Nursery, arguments: list[str]) -> None:
        self._nursery = nursery
        self.pid: int = nursery.ask(start=arguments)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        started_ns = elapsed_ns()
        while self.poll() is None:
            if timeout is not None and (elapsed_ns() - started_ns) / 1e9 > timeout:
                raise subprocess.TimeoutExpired("instanter", timeout)
            threading.Event().wait(POLL_S)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Only to a process that has not been waited for, so the id is still its own."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedServer:
    """`instanter serve` on a loopback port, ready in a fraction of a second; with --dev unless keys are asked for."""

    def __init__(self, nursery: Nursery, data: Path, *, config: Path, dev: bool = True) -> None:
        self.port = free_port()
        self.process = ForkedProcess(nursery, [
            "serve", "--data", str(data), "--config", str(config), "--port", str(self.port), *(["--dev"] if dev else [])
        ])  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_ready(self) -> float:
        """Seconds until `GET /readyz` said 200."""
        started_ns = elapsed_ns()
        while (waited_s := (elapsed_ns() - started_ns) / 1e9) < START_S_MAX:
            if self.process.poll() is not None:
                raise Unavailable(f"the server ended with exit code {self.process.returncode}")
            if is_ready(self.port):
                return waited_s
            threading.Event().wait(POLL_S)
        raise Unavailable(f"the server was not ready within {START_S_MAX:g} s")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S_MAX)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(STOP_S_MAX)


class Site:
    """A data directory, and the servers that follow one another on it."""

    def __init__(self, nursery: Nursery, root: Path, *, checkpoint_s: int = RARELY_S, data: Path | None = None) -> None:
        self._nursery = nursery
        self._servers: list[ForkedServer] = []
        self.data = data or root / "data"
        self.config = root / "instanter.toml"
        self.config.write_text(CONFIG.format(checkpoint_s=checkpoint_s))
        self.ready_s: list[float] = []
        """Of each start: what recovery took, imports aside."""

    def start(self) -> ForkedServer:
        """The next server, ready."""
        server = ForkedServer(self._nursery, self.data, config=self.config)
        self._servers.append(server)
        self.ready_s.append(server.wait_until_ready())
        return server

    def run(self, *arguments: str) -> int:
        """Another verb of `instanter`, to its end; the exit code."""
        return ForkedProcess(self._nursery, list(arguments)).wait(60)

    def close(self) -> None:
        for server in self._servers:
            server.kill()
