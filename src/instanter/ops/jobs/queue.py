"""The queue of jobs: one runs at a time, few wait, and how they ended is remembered for a while."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from ...api.jobs import Job, Progress, Refusal, State
from ...foundation.clock import Clock
from ...foundation.errors import Overloaded, Unavailable
from ...foundation.ids import Ids
from ...foundation.limits import (
    JOBS_KEPT_BYTES_MAX,
    JOBS_KEPT_MAX,
    JOBS_WAITING_MAX,
    JOBS_WAITING_PER_TENANT_MAX,
)
from ...foundation.measure import Meter

log = logging.getLogger("instanter.jobs")

RETRY_S: Final = 10
DEFECT: Final = Refusal("internal", "an error on our side; see the server's log")
STOPPED: Final = Refusal("stopped", "the server stopped before it was done")


class Order(msgspec.Struct, frozen=True):
    """What a job has to do."""

    kind: str
    tenant: str
    subject: str
    incumbent: str = ""
    """Of training: the model that ranks now."""


Finished = bytes | Refusal
"""The outcome of a job, JSON, or why there is none."""


class Run(Protocol):
    """Does a job to its end."""

    async def __call__(self, order: Order, on_progress: Callable[[Progress], None]) -> Finished:
        """When it is cancelled nothing of it goes on."""
        ...


class _Entry:
    __slots__ = ("ended", "job", "order")

    def __init__(self, job: Job, order: Order) -> None:
        self.job = job
        self.order = order
        self.ended = asyncio.Event()

    def change(self, state: State, **fields: object) -> None:
        self.job = msgspec.structs.replace(self.job, state=state, **fields)


class JobQueue:
    """The `Jobs` of a server. Tenants take turns; within one the job that was started first is first."""

    def __init__(self, run: Run, *, clock: Clock, ids: Ids, meter: Meter) -> None:
        self._run = run
        self._clock = clock
        self._ids = ids
        self._meter = meter
        self._jobs: dict[str, _Entry] = {}
        """All that can be asked for, in the order in which they were started."""
        self._waiting: list[_Entry] = []
        self._working: asyncio.Task[None] | None = None
        self._turns = OrderedDict[str, None]()
        """Tenants, the one whose turn was last at the end."""
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many run."""
        return int(self._working is not None)

    def start(self, tenant: str, kind: str, subject: str, *, incumbent: str = "") -> Job:
        """As `Jobs.start`."""
        order = Order(kind, tenant, subject, incumbent)
        for entry in self._jobs.values():
            if entry.order == order and not entry.ended.is_set():
                return entry.job
        self._check_room(tenant)
        job = Job(f"j_{self._ids.token()}", tenant, kind, subject, "waiting", self._clock.now_ms())
        entry = self._jobs[job.id] = _Entry(job, order)
        self._waiting.append(entry)
        self._begin()
        return entry.job

    def get(self, tenant: str, job_id: str) -> Job | None:
        """As `Jobs.get`."""
        entry = self._jobs.get(job_id)
        return entry.job if entry is not None and entry.job.tenant == tenant else None

    def of(self, tenant: str) -> list[Job]:
        """As `Jobs.of`."""
        return [entry.job for entry in reversed(self._jobs.values()) if entry.job.tenant == tenant]

    def with_outcomes(self) -> list[Job]:
        """As `Jobs.with_outcomes`."""
        return [entry.job for entry in self._jobs.values() if entry.job.outcome]

    def forget_outcome(self, job_id: str) -> None:
        """As `Jobs.forget_outcome`."""
        entry = self._jobs.get(job_id)
        if entry is not None:
            entry.change(entry.job.state, outcome=b"")

    async def ended(self, job: Job, within_s: float | None) -> Job:
        """As `Jobs.ended`."""
        entry = self._jobs.get(job.id)
        if entry is None:
            return job
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await entry.ended.wait()
        return entry.job

    async def close(self) -> None:
        """End what runs and what waits. No process of a job is left on return."""
        self._closed = True
        for entry in self._waiting:
            self._end(entry, STOPPED)
        self._waiting.clear()
        working = self._working
        if working is not None:
            working.cancel()
            await asyncio.wait({working})

    def _check_room(self, tenant: str) -> None:
        if self._closed:
            raise Unavailable("shutting down")
        full = len(self._waiting) >= JOBS_WAITING_MAX
        if full or sum(entry.job.tenant == tenant for entry in self._waiting) >= JOBS_WAITING_PER_TENANT_MAX:
            raise Overloaded("too many jobs wait for their turn", retry_after_s=RETRY_S)

    def _begin(self) -> None:
        """Begin the job whose turn it is, unless one runs."""
        if self._working is not None or not self._waiting:
            return
        entry = self._next()
        self._waiting.remove(entry)
        entry.change("running", started_ms=self._clock.now_ms())
        self._working = asyncio.create_task(self._work(entry))

    def _next(self) -> _Entry:
        """The oldest job of the tenant whose turn was longest ago."""
        turns = {tenant: place for place, tenant in enumerate(self._turns)}
        entry = min(self._waiting, key=lambda one: turns.get(one.job.tenant, -1))
        self._turns.pop(entry.job.tenant, None)
        self._turns[entry.job.tenant] = None
        if len(self._turns) > JOBS_KEPT_MAX:
            self._turns.popitem(last=False)
        return entry

    async def _work(self, entry: _Entry) -> None:
        finished: Finished = DEFECT
        try:
            finished = await self._run(entry.order, partial(self._progressed, entry))
        except OSError as error:
            log.error("a job met an error of the system", extra={"reason": str(error)})
        except asyncio.CancelledError:
            finished = STOPPED
        finally:
            self._working = None
            self._end(entry, finished)
            self._begin()

    def _progressed(self, entry: _Entry, progress: Progress) -> None:
        if not entry.ended.is_set():
            entry.change("running", progress=progress)

    def _end(self, entry: _Entry, finished: Finished) -> None:
        now_ms = self._clock.now_ms()
        if isinstance(finished, Refusal):
            entry.change("failed", ended_ms=now_ms, refusal=finished)
            self._meter.count(f"jobs_failed.{entry.order.kind}")
            log.warning("a job failed", extra={
                "job": entry.job.id, "kind": entry.order.kind, "code": finished.code, "reason": finished.message})
        else:
            entry.change("done", ended_ms=now_ms, outcome=finished)
            self._meter.count(f"jobs_done.{entry.order.kind}")
        entry.ended.set()
        self._forget()

    def _forget(self) -> None:
        """Let the oldest go that have ended, until there are few enough."""
        ended = [entry.job for entry in self._jobs.values() if entry.ended.is_set()]
        held_bytes = sum(len(job.outcome) for job in ended)
        while len(ended) > JOBS_KEPT_MAX or held_bytes > JOBS_KEPT_BYTES_MAX:
            oldest = ended.pop(0)
            held_bytes -= len(oldest.outcome)
            del self._jobs[oldest.id]
