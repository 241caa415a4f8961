"""Privacy and audit: who did what, an administrator's every act; found by who, what, about whom and when."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from ..tables import Column, Row, Table
from ..views import Page, Visit
from ..words import as_text

_PATH: Final = "/console/audit"
_ROWS: Final = "200"
FILTERS: Final = ("act", "actor", "subject", "since", "until")
_COLUMNS: Final = (
    Column("at", "When", "moment"), Column("act", "Act"), Column("actor", "By key", "code"),
    Column("subject", "About", "code"), Column("details", "Details"), Column("tenant", "Tenant", "code"),
    Column("number", "No.", "number"),
)  # fmt: skip


async def show(visit: Visit) -> Response:
    """A page of acts, the newest first."""
    asked = {name: visit.query[name] for name in (*FILTERS, "after") if visit.query.get(name)}
    told = await visit.ask.get("/v1/audit", {"limit": _ROWS, **asked})
    more = f"{_PATH}?{urlencode({**asked, 'after': told['next']})}" if told["next"] else ""
    empty = "No such act on this page of the record; there may be older ones." if more else "There is no such act."
    table = Table(title="Acts", columns=_COLUMNS, rows=[_row(act) for act in told["acts"]], more=more, empty=empty)
    return visit.tables("audit.html", table, asked=asked)


def _row(act: dict[str, Any]) -> Row:
    details = ", ".join(f"{name}: {as_text(value)}" for name, value in act["details"].items())
    return Row({**act, "details": details or None})


PAGE: Final = Page(
    title="Privacy and audit", path=_PATH, group="Governance", scope="audit:read", show=show,
    parameters=(*FILTERS, "after"),
)  # fmt: skip
