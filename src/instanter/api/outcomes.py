"""`GET /v1/jobs/{id}`: a job with what came of it, to whoever may be told that, as long as anybody may.

What explains a decision goes with its receipt: it is told no more at once, and let go of once somebody was erased.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from ..foundation.errors import InstanterError, RequestRejected
from .decide import EXPLAIN, WHY, read_receipt
from .jobs import Job, Jobs, jobs_of, shown
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of
from .whatif import WHATIF

EXPLAINING: Final = frozenset((WHY, EXPLAIN, WHATIF))
"""Kinds of jobs whose outcome tells what a decision stood on; their subject begins with its id."""


async def get(engine: Engine, request: Request) -> Response:
    """`GET /v1/jobs/{id}`. An explanation takes the scope of the receipt, and is gone where the receipt is: whoever
    was erased since is in neither."""
    job = jobs_of(request).get(tenant_of(request), path_id(request))
    if job is None:
        raise RequestRejected("unknown_job", "there is no such job, or it ended too long ago", status=404)
    if job.kind in EXPLAINING and job.state == "done":
        caller_of(request).require("receipts:read")
        await _receipt_of(engine, job)
    return reply(shown(job))


async def forget_erased(engine: Engine, jobs: Jobs) -> None:
    """Let go of explanations whose receipts can be read no more."""
    for job in jobs.with_outcomes():
        if job.kind in EXPLAINING:
            try:
                await _receipt_of(engine, job)
            except (InstanterError, OSError):  # nor is one told whose receipt is damaged
                jobs.forget_outcome(job.id)


async def _receipt_of(engine: Engine, job: Job) -> bytes:
    """The receipt of the decision that a job explains. Raises what `read_receipt` does."""
    return await read_receipt(engine, job.tenant, job.subject.partition(" ")[0])
