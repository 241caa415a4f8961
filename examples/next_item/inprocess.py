"""The engine in this process: what `instanter serve --dev --clock events` puts together, without HTTP before it.

Events come in through the same door, to the same log and the same fold, and lists are decided as for a request: it
saves the round trips of a run of many thousand lists. It is the one module of the examples that imports the engine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from runner import RunnerError

from instanter.decisions.decide import UNHURRIED_MS
from instanter.decisions.fallback import Stages
from instanter.decisions.request import DecideRequest, PlacementRequest
from instanter.engine.importing import Piece
from instanter.engine.loop import Engine
from instanter.events.envelope import ItemUpserted
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import ReferenceTaken, RequestRejected
from instanter.foundation.limits import SEEN_STEPS_MAX
from instanter.foundation.measure import NoMeter
from instanter.ops.reading import reading
from instanter.ops.training import Job, TrainReport, trained
from instanter.ops.wiring import load_checked, open_engine

TENANT = "default"
REMEMBERED = SEEN_STEPS_MAX
"""Acts of a person, the newest, by which a placement leaves out what was seen."""
PIECE_EVENTS = 2_000
ITEMS_PER_CALL = 1_000


class Spot(NamedTuple):
    """One list that is asked for."""

    placement: str
    limit: int
    item: str = ""
    """That the page is about, "" for none."""


class Answered(NamedTuple):
    """The lists of one question, by placement."""

    lists: dict[str, list[str]]
    rungs: dict[str, str]
    degraded: Sequence[str]
    took_ms: float


class InProcess:
    """An engine over a temporary directory of its own, gone when the block is left. Used in one thread."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._directory = tempfile.TemporaryDirectory(prefix="instanter-run-", dir=_in_memory())
        self._loop = asyncio.new_event_loop()
        self.events_taken = 0
        self.taking_s = 0.0
        """Time spent until events were on disk and folded."""

    def __enter__(self) -> Self:
        try:
            make = open_engine(
                load_checked(self._config), Path(self._directory.name) / "data", clock_of_events=True,
                may_make_master_key=True,
            )
            self._engine = self._loop.run_until_complete(_made(make))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run_until_complete(self._engine.abandon())
        self._end()

    def _end(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._directory.cleanup()

    def put_items(self, items: Mapping[str, Mapping[str, Any]]) -> None:
        """Upsert items, by id; the next decision sees them."""
        now_ms = self._engine.clock.now_ms()
        changes = [ItemUpserted(now_ms, TENANT, item, dict(fields)) for item, fields in items.items()]
        for first in range(0, len(changes), ITEMS_PER_CALL):
            self._loop.run_until_complete(self._engine.change_items(changes[first : first + ITEMS_PER_CALL]))

    def import_events(self, events: Sequence[bytes]) -> None:
        """Take events of the past in their order, as `instanter import` sends them; on return all are folded."""
        started_s = time.perf_counter()
        for first in range(0, len(events), PIECE_EVENTS):
            piece = events[first : first + PIECE_EVENTS]
            lines = range(1, len(piece) + 1)
            taken = self._loop.run_until_complete(self._engine.importer.take(
                Piece(import_id=b"", events=piece, lines=lines, through=len(piece)), tenant=TENANT
            ))  # fmt: skip
            self._check(len(piece), taken.accepted, taken.rejected)
        self.taking_s += time.perf_counter() - started_s

    def take_events(self, events: Sequence[bytes]) -> None:
        """Take events as they happen, as `POST /v1/batch` does; on return all are folded."""
        if not events:
            return
        started_s = time.perf_counter()
        taken = self._loop.run_until_complete(self._engine.intake.take(events, kind=None, tenant=TENANT))
        self._check(len(events), taken.accepted, taken.rejected)
        self.taking_s += time.perf_counter() - started_s

    def _check(self, sent: int, accepted: int, rejected: Sequence[Any]) -> None:
        if accepted != sent:
            raise RunnerError(f"of {sent} events only {accepted} were taken: {rejected[:1]}")
        self.events_taken += sent

    def ask(self, person: str, at_ms: int, spots: Sequence[Spot]) -> Answered:
        """What would be shown to this person then."""
        placements = [PlacementRequest(id=one.placement, limit=one.limit, item=one.item) for one in spots]
        request = DecideRequest(user_id=person, timestamp=at_ms, placements=placements)
        started_s = time.perf_counter()
        decision = self._loop.run_until_complete(
            self._engine.decide(request, tenant=TENANT, deadline=Deadline(UNHURRIED_MS))
        )
        took_ms = (time.perf_counter() - started_s) * 1_000
        placed = decision.reply.placements
        return Answered(
            {name: [item.id for item in one.items] for name, one in placed.items()},
            {name: one.served_by for name, one in placed.items()}, decision.reply.degraded, took_ms,
        )  # fmt: skip

    def train(self, placement: str) -> TrainReport:
        """Learn from what people did next, as the server does by itself, with the verdict of its gate. `RunnerError` if
        there is too little to learn from."""
        data = Path(self._directory.name) / "data"
        job = Job(TENANT, placement, {}, examples="next_acts", gated=True)
        try:
            with reading(load_checked(self._config), data) as read:
                return trained(read, load_checked(self._config), job)
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


async def _made(make: Callable[[], Engine]) -> Engine:
    engine = make()
    await engine.start()
    return engine


def memory_mb() -> float:
    """The most memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


logging.getLogger("instanter").setLevel(logging.ERROR)
