"""The engine in this process, over a temporary directory, with what the runs ask of it beside lists.

It is the one module of the examples that imports the engine; `instanter.ops.in_process` is what it stands on.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from runner import RunnerError

from instanter.decisions.decide import UNHURRIED_MS
from instanter.decisions.fallback import Stages
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import ReferenceTaken, RequestRejected
from instanter.foundation.limits import SEEN_STEPS_MAX
from instanter.foundation.measure import NoMeter
from instanter.ops import in_process
from instanter.ops.in_process import TENANT, Answered, Spot
from instanter.ops.reading import reading
from instanter.ops.training import Job, TrainReport, trained
from instanter.ops.wiring import load_checked

__all__ = ["REMEMBERED", "Answered", "InProcess", "Spot", "memory_mb"]

REMEMBERED = SEEN_STEPS_MAX
"""Acts of a person, the newest, by which a placement leaves out what was seen."""


class InProcess(in_process.InProcess):
    """An engine over a temporary directory of its own, gone when the block is left. Used in one thread."""

    def __init__(self, config: Path) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="instanter-run-", dir=_in_memory())
        self._path = config
        self.events_taken = 0
        self.taking_s = 0.0
        """Time spent until events were on disk and folded."""
        super().__init__(load_checked(config), Path(self._directory.name) / "data")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._directory.cleanup()

    def import_events(self, events: Sequence[bytes]) -> list[Any]:
        """As it says there; `RunnerError` unless all are taken."""
        started_s = time.perf_counter()
        return self._checked(len(events), super().import_events(events), started_s)

    def take_events(self, events: Sequence[bytes]) -> list[Any]:
        """As it says there; `RunnerError` unless all are taken."""
        started_s = time.perf_counter()
        return self._checked(len(events), super().take_events(events), started_s)

    def _checked(self, sent: int, rejected: list[Any], started_s: float) -> list[Any]:
        if rejected:
            raise RunnerError(f"of {sent} events {len(rejected)} were not taken: {rejected[:1]}")
        self.events_taken += sent
        self.taking_s += time.perf_counter() - started_s
        return rejected

    def train(self, placement: str) -> TrainReport:
        """Learn from what people did next, as the server does by itself, with the verdict of its gate. `RunnerError` if
        there is too little to learn from."""
        data = Path(self._directory.name) / "data"
        job = Job(TENANT, placement, {}, examples="next_acts", gated=True)
        try:
            with reading(load_checked(self._path), data) as read:
                return trained(read, load_checked(self._path), job)
        except RequestRejected as error:
            raise RunnerError(str(error)) from None

    def place(self, placement: str, model: str) -> None:
        """Put a model in charge, whatever the gate says of it."""
        self._loop.run_until_complete(self._engine.models.place(TENANT, placement, model, actor="runner"))

    def found(self, item: str, person: str, at_ms: int, spots: Sequence[Spot]) -> dict[str, bool]:
        """By placement: whether the item is among the candidates of such a list, before they are ranked."""
        state, decider = self._engine.partition.state, self._engine.decider
        keys = self._engine.cells_of(TENANT, user_id=person, anonymous_id=None)
        moment = decider.look(state, keys, TENANT, at_ms, Stages(Deadline(UNHURRIED_MS), NoMeter()))
        told = {}
        for one in spots:
            page = self._ref(one.item) if one.item else 0
            inputs = decider.inputs(moment, decider.asked(one.placement, limit=one.limit, page=page))
            told[one.placement] = inputs is not None and self._ref(item) in inputs.pool.columns.refs[inputs.eligible]
        return told

    def _ref(self, item: str) -> int:
        try:
            return self._engine.partition.state.catalogue.ref_of(TENANT, item)
        except ReferenceTaken:
            return 0

    @property
    def data_mb(self) -> float:
        """What its data directory holds; it lies in memory where `/dev/shm` is there."""
        files = (path for path in Path(self._directory.name).rglob("*") if path.is_file())
        return sum(path.stat().st_blocks * 512 for path in files) / 2**20

    @property
    def epoch(self) -> int:
        """How often what is counted of items was published."""
        return self._engine.partition.state.epoch


def _in_memory() -> str | None:
    """A folder in memory where there is one: nothing here is about the disk, and each step waits for it."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def memory_mb() -> float:
    """The most memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


in_process.quiet()
