"""A partition that follows a log which another process writes, and decides on what it has read.

It folds what the writer has acknowledged, by the same fold, so at the same position it holds the same state and gives
the same decisions. It writes nothing: no record, no checkpoint, no key, no file of idle people. What it decided is told
to the writer (`DecidedElsewhere`), who seals and appends the receipt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ..decisions.decide import Decider, Decision
from ..decisions.request import AboutPerson, CompleteReply, CompleteRequest, DecideRequest
from ..events.envelope import ModelPlaced, Tracked
from ..events.statements import Statements
from ..foundation.clock import Clock
from ..foundation.deadline import Deadline
from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt, InstanterError, Unavailable
from ..foundation.ids import Ids
from ..foundation.measure import Meter
from ..log.frames import Frame
from ..log.segments import SegmentReader
from ..models.lineup import Lineup
from ..privacy.followed import FollowedSubjects
from ..state.checkpoint import checkpoint_path, list_checkpoints
from ..state.schema import Schema
from .asking import AskedAbout, PersonLookup
from .decision_ids import ELSEWHERE, TOKEN_BYTES, new_decision_id
from .gate import Agreements
from .models import faults_by_name, load_placed
from .partition import Partition
from .receipts import DecidedElsewhere
from .recovery import CHUNK_RECORDS, catch_up, open_checkpoint
from .replay import Models

log = logging.getLogger("instanter.engine")

RECORDS_PER_STEP: Final = 512
"""Records folded before the loop may do something else, as in the writer's journal."""
POSITION: Final = "position"
"""Stands in `degraded` where an answer was due before everything acknowledged had been read."""


class Followed(NamedTuple):
    """An answer, and what the writer is to be told of it."""

    decision: Decision
    told: DecidedElsewhere


class FollowerOptions(msgspec.Struct, frozen=True):
    """What a follower takes from the configuration, as the writer does."""

    purposes: frozenset[str]
    consent_required: bool = False


class Follower:
    """Used on one loop. `decide` is a function of what has been read; `reach` reads on."""

    def __init__(
        self, partition: Partition, records: SegmentReader, *, acknowledged: Callable[[], int],
        acknowledged_ms: Callable[[], int], subjects: FollowedSubjects, statements: Statements, decider: Decider,
        models: Models, clock: Clock, ids: Ids, meter: Meter, options: FollowerOptions,
    ) -> None:  # fmt: skip
        """`partition` is as of a checkpoint, or empty; `acknowledged` tells up to where the writer has folded the log:
        everything below is durable. `acknowledged_ms` tells what time it was for the writer then: it receives nothing
        before that any more."""
        self.partition = partition
        self.decider = decider
        self.lineup = Lineup()
        self.meter = meter
        self.broken = ""
        """Why nothing can be folded any more."""
        self._log = records
        self._acknowledged = acknowledged
        self._acknowledged_ms = acknowledged_ms
        self._subjects = subjects
        self._models = models
        self._clock = clock
        self._ids = ids
        agreements = Agreements(
            partition, subjects.find, purposes=options.purposes, required=options.consent_required
        )
        self._asking = PersonLookup(partition, subjects.find, agreements, statements)
        self._frames: Iterator[Frame] = iter(())
        self._placed: dict[tuple[str, str], ModelPlaced] = {}
        self._loading: asyncio.Task[None] | None = None
        partition.outcomes = _Gone(subjects)

    @property
    def lag_bytes(self) -> int:
        """How much of what is acknowledged has not been folded."""
        return max(self._acknowledged() - self.partition.position, 0)

    def step(self, records: int = RECORDS_PER_STEP) -> bool:
        """Fold the next records, at most so many; False if nothing more is acknowledged. Raises
        `Unavailable` once it cannot go on: then nothing must be decided here any more."""
        if self.broken:
            raise Unavailable(self.broken)
        end = self._acknowledged()
        if self.partition.position >= end:
            return False
        try:
            if not self._fold_some(records):
                self._frames = self._log.read_until(self.partition.position or None, end)
                if not self._fold_some(records):
                    raise Broken(f"the log ends at {self.partition.position}, before {end}, which was acknowledged")
        except (InstanterError, OSError) as error:
            self._break(str(error))
        if self.partition.state.verdicts["table_full"]:
            self._break(
                "there is no room for everybody in memory: with --workers nobody lies on disk; raise state.memory_mb"
            )
        self.decider.follow(self.partition.state)
        return self.partition.position < end

    def catch_up(self) -> None:
        """Fold everything that is acknowledged now, and load the models in charge; before anything is decided."""
        while self.step(CHUNK_RECORDS):
            pass
        for placed in self._changed():
            self.lineup.stand(placed.tenant, placed.placement, load_placed(self._models, self.decider, placed).rankers)
        self._subjects.follow()
        self.decider.follow(self.partition.state)

    async def reach(self, *, left_ms: Callable[[], float]) -> bool:
        """Fold everything that is acknowledged now; False where time runs out before. Others get their turn meanwhile.

        Raises `Unavailable` as `step` does. Where a model has just been put in charge it is waited for as well.
        """
        if self.broken:
            raise Unavailable(self.broken)
        end = self._acknowledged()
        while self.partition.position < end:
            if left_ms() <= 0.0:
                return False
            self.step()
            if self.partition.position < end:
                await asyncio.sleep(0)
        self._subjects.follow()
        return await self._models_stand(left_ms)

    def asked_about(self, tenant: str, request: AboutPerson, *, gpc: bool) -> AskedAbout:
        """As `PersonLookup.asked_about`."""
        return self._asking.asked_about(tenant, request, gpc=gpc)

    def decide(
        self, request: DecideRequest, *, tenant: str, deadline: Deadline, gpc: bool = False, late: bool = False
    ) -> Followed:
        """Decide on what has been folded. `late` says that more was acknowledged: the answer tells so.

        Raises what `Decider.admit` raises and nothing else.
        """
        now_ms, partition, began_ns = self._clock.now_ms(), self.partition, deadline.elapsed_ns()
        about = self.asked_about(tenant, request, gpc=gpc)
        self.meter.observe("person", deadline.elapsed_ns() - began_ns)
        made_as = new_decision_id(self._ids.token(TOKEN_BYTES), self._acknowledged_ms(), made_by=ELSEWHERE)
        decision = self.decider.decide(
            request, state=partition.state, keys=about.cells, tenant=tenant, now_ms=now_ms,
            position=partition.position, decision_id=made_as,
            deadline=deadline, meter=self.meter, denied=about.agreement.denied, rankers=self.lineup,
            learned=partition.learners,
        )  # fmt: skip
        if late:
            degraded = [POSITION, *decision.reply.degraded]
            decision = msgspec.structs.replace(
                decision, reply=msgspec.structs.replace(decision.reply, degraded=degraded)
            )
        personal, decided_ns = about.agreement.personal, deadline.elapsed_ns()
        told = DecidedElsewhere(
            decision.record(tenant, about.cell, now_ms, decision.lessons if personal else ()),
            decision.promised if personal else (), tuple(faults_by_name(decision.faults)),
        )  # fmt: skip
        self.meter.observe("seal", deadline.elapsed_ns() - decided_ns)
        return Followed(decision, told)

    def complete(
        self, request: CompleteRequest, *, tenant: str, deadline: Deadline, gpc: bool = False, late: bool = False
    ) -> CompleteReply:
        """Complete what is being typed on what has been folded; `late` as in `decide`. There is nothing to tell."""
        began_ns = deadline.elapsed_ns()
        about = self.asked_about(tenant, request, gpc=gpc)
        self.meter.observe("person", deadline.elapsed_ns() - began_ns)
        reply = self.decider.complete(
            request, state=self.partition.state, keys=about.cells, tenant=tenant, now_ms=self._clock.now_ms(),
            position=self.partition.position, deadline=deadline, meter=self.meter, denied=about.agreement.denied,
            rankers=self.lineup, learned=self.partition.learners,
        )  # fmt: skip
        return msgspec.structs.replace(reply, degraded=[POSITION, *reply.degraded]) if late else reply

    def _fold_some(self, records: int) -> int:
        return catch_up(self.partition, _Some(self._frames, records, start=self._log.start))[0]

    def _break(self, reason: str) -> None:
        self.broken = reason
        log.error("a decider stopped following the log", extra={"reason": reason})
        raise Unavailable(reason)

    # Models.

    def _changed(self) -> list[ModelPlaced]:
        """What has been placed otherwise since this was asked last; a placement without a model by an empty one."""
        placed = dict(self.partition.models)
        before, self._placed = self._placed, placed
        gone = [
            msgspec.structs.replace(one, model="", stand_in="") for key, one in before.items() if key not in placed
        ]
        return gone + [one for key, one in placed.items() if before.get(key) != one]

    async def _models_stand(self, left_ms: Callable[[], float]) -> bool:
        if self._loading is None and self.partition.models != self._placed:
            self._loading = asyncio.create_task(self._load(self._changed()))
        if self._loading is None:
            return True
        await asyncio.wait({self._loading}, timeout=max(left_ms(), 0.0) / 1_000)
        return self._loading is None

    async def _load(self, changed: Sequence[ModelPlaced]) -> None:
        try:
            for placed in changed:
                loaded = await asyncio.to_thread(load_placed, self._models, self.decider, placed)
                self.lineup.stand(placed.tenant, placed.placement, loaded.rankers)
        finally:
            self._loading = None


class _Some:
    """As `log.base.Readable`: the next records of a log that is being read, and no more of them."""

    def __init__(self, frames: Iterator[Frame], records: int, *, start: int) -> None:
        self._some = islice(frames, records)
        self.start = start

    def read(self, position: int | None = None) -> Iterator[Frame]:
        return self._some

    def read_runs(self, position: int | None = None) -> Iterator[Sequence[Frame]]:
        return iter([list(self._some)])


class _Gone:
    """As `engine.partition.Outcomes`: of what the fold tells only who was erased matters."""

    open: Final = 0

    def __init__(self, subjects: FollowedSubjects) -> None:
        self._subjects = subjects

    def note(self, event: Tracked, cells: Sequence[int]) -> None:
        return

    def drop(self, cells: Iterable[int]) -> None:
        self._subjects.drop(cells)


def open_partition(schema: Schema, records: SegmentReader, *, disk: Disk, checkpoints: Path) -> Partition:
    """The partition as of the newest checkpoint that can be used, or empty where the log goes back to its beginning.

    Nobody may lie on disk. Raises `Broken` where there is nothing to begin with.
    """
    for position in list_checkpoints(disk, checkpoints):
        try:
            return open_checkpoint(schema, disk, checkpoint_path(checkpoints, position))[0]
        except (Corrupt, FileNotFoundError) as error:  # Or the writer has just replaced it.
            log.warning("a checkpoint was passed over", extra={"reason": str(error)})
    if records.start > 0:
        raise Broken(f"the log begins at {records.start}, and there is no checkpoint behind it that can be used")
    return Partition(schema)
