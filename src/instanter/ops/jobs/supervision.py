"""What keeps jobs going beside a server: begun with it, ended with it."""

from __future__ import annotations

import asyncio
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
from .placing import PlacingRun
from .queue import JobQueue
from .retraining import Retraining


@asynccontextmanager
async def running_jobs(config: Config, data: Path, engine: Engine) -> AsyncIterator[JobQueue]:
    """The queue of a server that has the data directory open. No process of a job is left afterwards."""
    directory = DataDirectory(RealDisk(), data, keys=config.privacy.keys)
    run = PlacingRun(ChildRun(config, data, folder=directory.jobs), engine, directory)
    queue = JobQueue(run, clock=SystemClock(), ids=Ids(), meter=engine.meter)
    retraining = Retraining(config.training, config.placements, engine, queue)
    tasks = [asyncio.create_task(retraining.run())] if config.training.every_min else []
    try:
        yield queue
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await queue.close()
