"""What keeps jobs going beside a server: begun with it, ended with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ...engine.loop import Engine
from ...foundation.clock import SystemClock
from ...foundation.disk import RealDisk
from ...foundation.ids import Ids
from ..datadir import DataDirectory
from ..settings import Config
from .child import ChildRun
from .queue import JobQueue


@asynccontextmanager
async def running_jobs(config: Config, data: Path, engine: Engine) -> AsyncIterator[JobQueue]:
    """The queue of a server that has the data directory open. No process of a job is left afterwards."""
    directory = DataDirectory(RealDisk(), data, keys=config.privacy.keys)
    run = ChildRun(config, data, folder=directory.jobs)
    queue = JobQueue(run, clock=SystemClock(), ids=Ids(), meter=engine.meter)
    try:
        yield queue
    finally:
        await queue.close()
