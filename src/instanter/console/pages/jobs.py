"""Jobs: what takes too long for a request, how far each has come, and what came of it."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from ...api.routing import path_id
from ..asking import path_of
from ..tables import Column, Row, Table
from ..views import Page, Visit, Way

_PATH: Final = "/console/jobs"
_COLUMNS: Final = (
    Column("id", "Job", "code"), Column("kind", "Kind"), Column("subject", "About", "code"),
    Column("state", "State", "badge"), Column("createdAt", "Asked for", "moment"),
    Column("endedAt", "Ended", "moment"), Column("done", "Progress"), Column("error", "Error"),
)  # fmt: skip
_LEAD: Final = "Work that takes too long for a request: decisions made again from the log, models trained."


async def show(visit: Visit) -> Response:
    """All that are remembered, the newest first."""
    jobs = (await visit.ask.get("/v1/jobs"))["jobs"]
    empty = "No job was asked for since the server started."
    return visit.tables("tables.html", Table(
        title="Jobs", columns=_COLUMNS, rows=[_row(job) for job in jobs], empty=empty), lead=_LEAD)  # fmt: skip


async def show_one(visit: Visit) -> Response:
    """One job, with what came of it."""
    job = await visit.ask.get(path_of("v1", "jobs", path_id(visit.request)))
    return visit.render("job.html", job=job)


def _row(job: dict[str, Any]) -> Row:
    progress, error = job["progress"], job["error"]
    cells = {
        **job, "done": "" if progress is None else f"{progress['done']} of {progress['of'] or '?'}",
        "error": "" if error is None else f"{error['code']}: {error['message']}",
    }  # fmt: skip
    return Row(cells, href=f"{_PATH}{path_of(job['id'])}")


PAGE: Final = Page(
    title="Jobs", path=_PATH, group="Governance", scope="jobs:read", show=show, ways=(Way("GET", "/{id}", show_one),)
)
