"""A job in a process of its own: it gets its order by a pipe, tells by another, and never outlives the server.

The order goes to its standard input, one line of JSON, and the pipe stays open: where it ends, the server has, and the
child ends itself. What it tells is one JSON object a line. Nothing secret is in either, or on its command line: it
finds the master key as a command does, in the environment that it inherits, or in the file that is configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from ...api.jobs import Progress, Refusal
from ...foundation.limits import JOB_OUTCOME_BYTES_MAX, JOB_S_MAX
from ..settings import Config
from .queue import DEFECT, Finished, Order

log = logging.getLogger("instanter.jobs")

COMMAND: Final = (sys.executable, "-m", "instanter.ops.jobs")
TOO_LONG: Final = Refusal("too_long", "it took longer than a job may")


class Work(msgspec.Struct, frozen=True):
    """What goes to the child."""

    order: Order
    config: Config
    data: str


class Defect(msgspec.Struct, frozen=True):
    """An error that nobody meant to raise: its kind and the lines it passed."""

    error: str
    frames: list[str]


_NOTHING: Final = msgspec.Raw()


class Told(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line of the child's: one of these."""

    progress: Progress | None = None
    outcome: msgspec.Raw = _NOTHING
    refusal: Refusal | None = None
    defect: Defect | None = None


_told_in = msgspec.json.Decoder(Told).decode


class ChildRun:
    """Runs jobs on a data directory, each in a child with a folder of its own below `folder`."""

    def __init__(
        self, config: Config, data: Path, *, folder: Path, command: Sequence[str] = COMMAND,
        seconds_max: float = JOB_S_MAX,
    ) -> None:  # fmt: skip
        """What an earlier server left in `folder` is removed."""
        self._config = config
        self._data = data
        self._folder = folder
        self._command = command
        self._seconds_max = seconds_max
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="job")
        shutil.rmtree(folder, ignore_errors=True)

    async def __call__(self, order: Order, on_progress: Callable[[Progress], None]) -> Finished:
        """As `Run`. Raises `OSError` where no process can be made."""
        loop = asyncio.get_running_loop()
        work = msgspec.json.encode(Work(order, self._config, str(self._data))) + b"\n"
        child = _Child(self._command, self._folder)

        def tell(progress: Progress) -> None:
            loop.call_soon_threadsafe(on_progress, progress)

        talking = loop.run_in_executor(self._thread, child.talk, work, tell)
        try:
            async with asyncio.timeout(self._seconds_max):
                return await asyncio.shield(talking)
        except TimeoutError:
            return TOO_LONG
        finally:
            child.kill()
            await asyncio.shield(loop.run_in_executor(self._thread, child.clean))


class _Child:
    """One process, begun with it. `kill` may come from another thread."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        # On the loop's thread: a third of a millisecond, because nothing is done between fork and exec.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(folder)}, start_new_session=True,
        )  # fmt: skip

    def talk(self, work: bytes, on_progress: Callable[[Progress], None]) -> Finished:
        """Give the order, and listen until it has told how it ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):  # It has ended already; what it told is still to be read.
            stdin.write(work)
            stdin.flush()
        left_bytes = JOB_OUTCOME_BYTES_MAX
        while line := stdout.readline(left_bytes + 1):
            left_bytes -= len(line)
            if left_bytes < 0:
                return _failed("it said more than a job may")
            try:
                told = _told_in(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return _failed("it said something that is none of its answers")
            if told.progress is not None:
                on_progress(told.progress)
            elif (finished := _finished(told)) is not None:
                return finished
        return _failed(f"its process ended with exit code {self._process.wait()}")

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self._process.kill()

    def clean(self) -> None:
        """Wait for its end, and remove what it left."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _finished(told: Told) -> Finished | None:
    if told.outcome:
        return bytes(told.outcome)
    if told.refusal is not None:
        return told.refusal
    if told.defect is not None:
        log.error("a job met a defect", extra=msgspec.structs.asdict(told.defect))
        return DEFECT
    return None


def _failed(reason: str) -> Refusal:
    return Refusal("failed", reason)
