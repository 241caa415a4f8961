"""Continual training: a job for each placement again and again; one that fails sits some turns out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from ...decisions.placement import Placement
from ...engine.loop import Engine
from ...foundation.clock import elapsed_ns
from ...foundation.errors import InstanterError
from ...foundation.limits import TRAINING_GROWTH, TRAINING_RECORDS_LEAST, TRAINING_TURNS_SKIPPED_MAX
from ...privacy.access import DEFAULT_TENANT
from ..settings import TrainingSettings
from .placing import TRAIN, in_charge
from .queue import JobQueue

log = logging.getLogger("instanter.jobs")

FIRST_TURN_S: Final = 300.0
"""After the start, if turns are further apart."""


class _Standing:
    """How a placement's trainings have gone."""

    __slots__ = ("failures", "skip")

    def __init__(self) -> None:
        self.failures = 0
        """In a row."""
        self.skip = 0
        """Turns to sit out."""


class Retraining:
    """Starts the trainings that `[training]` asks for. What comes of them is the queue's and its `Run`'s."""

    def __init__(
        self, settings: TrainingSettings, placements: Iterable[Placement], engine: Engine, queue: JobQueue
    ) -> None:
        """`placements` are those of the configuration."""
        self._every_s = settings.every_min * 60
        self._engine = engine
        self._queue = queue
        named = settings.placements or [one.id for one in placements if one.kind == "items"]
        self._standings = {placement: _Standing() for placement in named}
        self._records = 0
        """Of the log, at the last turn."""

    async def run(self) -> None:
        """Take turns until cancelled, the first one soon: whoever has just brought in what they have waits for it."""
        pause_s = min(self._every_s, FIRST_TURN_S)
        while True:
            await asyncio.sleep(pause_s)
            began_ns = elapsed_ns()
            if self.has_grown():
                await self.turn()
            pause_s = max(self._every_s - (elapsed_ns() - began_ns) / 1e9, 0.0)

    def has_grown(self) -> bool:
        """Whether there is enough in the log that there was not at the last turn; asking for it makes one of now."""
        records = self._engine.partition.records
        if records - self._records < max(TRAINING_RECORDS_LEAST, int(TRAINING_GROWTH * self._records)):
            return False
        self._records = records
        return True

    async def turn(self) -> None:
        """Train one placement after the other, but for those that sit this turn out."""
        for placement, standing in self._standings.items():
            if standing.skip:
                standing.skip -= 1
                continue
            failed = await self._fails(placement)
            standing.failures = standing.failures + 1 if failed else 0
            standing.skip = min(2**standing.failures - 1, TRAINING_TURNS_SKIPPED_MAX)

    async def _fails(self, placement: str) -> bool:
        """Train it once. Too little to learn from is no failure."""
        incumbent = in_charge(self._engine, DEFAULT_TENANT, placement)
        try:
            job = self._queue.start(DEFAULT_TENANT, TRAIN, placement, incumbent=incumbent)
        except InstanterError as error:
            log.warning("a training was not begun", extra={"placement": placement, "reason": str(error)})
            return True
        refusal = (await self._queue.ended(job, None)).refusal
        return refusal is not None and refusal.status >= 500
