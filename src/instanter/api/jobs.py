"""Jobs: work that takes too long for a request and too much for its process. Who started one can ask how it stands."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..events.times import time_text
from ..foundation.errors import Unavailable
from .replies import reply
from .tenancy import tenant_of

State = Literal["waiting", "running", "done", "failed"]


class Progress(msgspec.Struct, frozen=True):
    """How far a job has come."""

    done: int
    of: int = 0
    """0: that is not known."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a job came to no outcome."""

    code: str
    message: str
    status: int = 503
    """What a request is answered that waited for it."""


class Job(msgspec.Struct, frozen=True):
    """A job as it stands."""

    id: str
    tenant: str
    kind: str
    subject: str
    """What it is about: the id of a decision, the name of a placement."""
    state: State
    created_ms: int
    started_ms: int = 0
    ended_ms: int = 0
    progress: Progress | None = None
    outcome: bytes = b""
    """JSON, of a job that is done."""
    refusal: Refusal | None = None
    """Of one that failed."""


class Jobs(Protocol):
    """Does jobs, in the order of its choice, and remembers how they ended. Used on the loop's thread."""

    def start(self, tenant: str, kind: str, subject: str) -> Job:
        """Have it done. One like it that waits or runs is that job. Raises `Overloaded` where too many wait."""
        ...

    def get(self, tenant: str, job_id: str) -> Job | None:
        """A job of the tenant, None where it has none such (any more)."""
        ...

    def of(self, tenant: str) -> list[Job]:
        """The tenant's jobs, the newest first."""
        ...

    def with_outcomes(self) -> list[Job]:
        """Jobs of all tenants that something came of, which is kept."""
        ...

    def forget_outcome(self, job_id: str) -> None:
        """Keep a job, if there is such, without what came of it."""
        ...

    async def ended(self, job: Job, within_s: float | None) -> Job:
        """The job when it has ended, or as it stands after so long."""
        ...


class NoJobs:
    """An application that does none."""

    def start(self, tenant: str, kind: str, subject: str) -> Job:
        """As `Jobs.start`."""
        raise Unavailable("this server does no jobs")

    def get(self, tenant: str, job_id: str) -> Job | None:
        """As `Jobs.get`."""
        return None

    def of(self, tenant: str) -> list[Job]:
        """As `Jobs.of`."""
        return []

    def with_outcomes(self) -> list[Job]:
        """As `Jobs.with_outcomes`."""
        return []

    def forget_outcome(self, job_id: str) -> None:
        """As `Jobs.forget_outcome`."""

    async def ended(self, job: Job, within_s: float | None) -> Job:
        """As `Jobs.ended`."""
        return job


class JobError(msgspec.Struct):
    """Why a job failed."""

    code: str
    message: str


class JobListed(msgspec.Struct, rename="camel"):
    """A job in a listing."""

    id: str
    kind: str
    subject: str
    state: State
    created_at: str
    started_at: str | None
    ended_at: str | None
    progress: Progress | None
    error: JobError | None


class JobShown(JobListed, rename="camel"):
    """`GET /v1/jobs/{id}`."""

    outcome: msgspec.Raw | None
    """What came of it."""


class JobListing(msgspec.Struct, rename="camel"):
    """`GET /v1/jobs`: the newest first."""

    jobs: list[JobListed]


def jobs_of(request: Request) -> Jobs:
    """Who does the jobs of this application."""
    jobs: Jobs = request.app.state.jobs
    return jobs


async def list_(request: Request) -> Response:
    """`GET /v1/jobs`."""
    return reply(JobListing([_listed(job) for job in jobs_of(request).of(tenant_of(request))]))


def accepted(job: Job) -> Response:
    """202: where to ask for a job that goes on."""
    return reply(shown(job), status=202, headers={"Location": f"/v1/jobs/{job.id}"})


def shown(job: Job) -> JobShown:
    """A job as replies have it."""
    listed = msgspec.structs.asdict(_listed(job))
    return JobShown(**listed, outcome=msgspec.Raw(job.outcome) if job.outcome else None)


def _listed(job: Job) -> JobListed:
    refusal = job.refusal
    return JobListed(
        job.id, job.kind, job.subject, job.state, time_text(job.created_ms), _time_text(job.started_ms),
        _time_text(job.ended_ms), job.progress, None if refusal is None else JobError(refusal.code, refusal.message),
    )  # fmt: skip


def _time_text(at_ms: int) -> str | None:
    return time_text(at_ms) if at_ms else None
