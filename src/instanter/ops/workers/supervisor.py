"""The process that starts the workers of a server, and starts them again. It holds no data and imports little.

First the writer. Once it is ready, the deciders. A worker that ends without having been told to is started again, at
once the first time, then after pauses that double; decisions go on meanwhile, through whoever is left. A writer that
never became ready ends everything: its reason is the server's. The workers end with this process, however that ends:
each holds one end of a pipe.
"""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...foundation.clock import elapsed_ns
from ...foundation.limits import WORKER_PAUSE_S_MAX
from .board import STARTS, UP, WRITER, Board

reports = logging.getLogger("instanter.serve")

COMMAND: Final = (sys.executable, "-m", "instanter.ops.workers.worker")
LOOK_S: Final = 0.05
"""How often it is looked whether a worker has ended."""
PAUSE_S: Final = 0.5
"""Before a worker that has ended soon after its start is started again; doubled each time."""
SOON_S: Final = 30.0
STOP_S_MAX: Final = 20.0
"""A worker that was told to end has so long before it is killed."""
_MEMORY: Final = Path("/dev/shm")
_FAILED: Final = 1


class Worker:
    """One of them: its process, if there is one, and when it may be started again."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self.number = number
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None
        self._began_ns = 0
        self._pause_s = 0.0
        self._again_ns = 0

    def start(self) -> None:
        """Start it, unless it is there or has to wait."""
        if self.process is None and elapsed_ns() >= self._again_ns:
            self._began_ns = elapsed_ns()
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )

    def ended(self) -> int | None:
        """Its exit code if it has ended since this was asked last."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self._forget()
        soon = elapsed_ns() - self._began_ns < SOON_S * 1e9
        wait_s = self._pause_s if soon else 0.0
        self._pause_s = min(max(2 * self._pause_s, PAUSE_S), WORKER_PAUSE_S_MAX) if soon else PAUSE_S
        self._again_ns = elapsed_ns() + int(wait_s * 1e9)
        return code

    def tell_to_end(self) -> None:
        """SIGTERM, if it is there."""
        if self.process is not None:
            self.process.terminate()

    def end(self, within_s: float) -> int:
        """Wait for its end, and kill it if it takes longer; its exit code."""
        if self.process is None:
            return 0
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
        code = self.process.wait()
        self._forget()
        return code

    def _forget(self) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process = None


class Supervisor:
    """The workers of one server: the writer has number 0."""

    def __init__(self, count: int, words: Sequence[str], folder: Path, command: Sequence[str] = COMMAND) -> None:
        """`words` are the arguments of `instanter serve`; `folder` is for this server alone."""
        self._board = Board.make(folder)
        self._workers = [
            Worker(number, [*command, str(folder), str(number), str(count), *words]) for number in range(count)
        ]
        self._stop = threading.Event()

    @property
    def pids(self) -> list[int]:
        """Of the workers that are there."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def stop(self) -> None:
        """End all: the deciders first, so that the writer gets their last receipts."""
        self._stop.set()

    def run(self) -> int:
        """Until `stop`; the exit code."""
        writer, *deciders = self._workers
        try:
            while not self._stop.wait(LOOK_S):
                code = self._ended(writer)
                if code is not None and not self._board.writers:
                    return code if code > 0 else _FAILED
                for decider in deciders:
                    self._ended(decider)
                self._start(writer)
                if self._board.read(WRITER, UP):
                    for decider in deciders:
                        self._start(decider)
            return self._end(deciders) or self._end([writer])
        finally:
            self._end(self._workers)

    def _start(self, worker: Worker) -> None:
        if worker.process is None:
            worker.start()
            if worker.process is not None:
                self._board.count(worker.number, STARTS)

    def _ended(self, worker: Worker) -> int | None:
        code = worker.ended()
        if code is not None:
            self._board.write(worker.number, UP, 0)
            name = f"worker {worker.number}" if worker.number else "the writer"
            reports.error(f"{name} has ended and is started again", extra={"exit_code": code})
        return code

    @staticmethod
    def _end(workers: Sequence[Worker]) -> int:
        for worker in workers:
            worker.tell_to_end()
        return max(map(abs, [worker.end(STOP_S_MAX) for worker in workers]), default=0)


def supervise(count: int, words: Sequence[str]) -> int:
    """Serve with so many workers until SIGTERM or SIGINT; the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="instanter-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        supervisor = Supervisor(count, words, folder)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        return supervisor.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
