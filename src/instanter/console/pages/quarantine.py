"""Quarantine and data health: what could not be taken and why, another try; and what has no effect."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from ...api.routing import path_id
from ...foundation.errors import RequestRejected
from ..asking import Refused, path_of
from ..tables import Button, Column, Row, Table
from ..views import Page, Visit, Way

_PATH: Final = "/console/quarantine"
_GROUPS: Final = (
    Column("message", "Reason"), Column("code", "Code", "code"), Column("count", "Events", "number"),
    Column("firstAt", "First", "moment"), Column("lastAt", "Last", "moment"),
)  # fmt: skip
_FINDINGS: Final = (
    Column("message", "What, and what to do"), Column("event", "About", "code"), Column("count", "Times", "number"),
    Column("code", "Code", "code"),
)  # fmt: skip
_NAMES: Final = (
    Column("event", "Event", "code"), Column("count", "Events", "number"), Column("heard", "Heard", "badge"),
)  # fmt: skip


async def show(visit: Visit) -> Response:
    """What is open, by reason; what has no effect; which events come."""
    tables: list[Table] = []
    total = dropped = 0
    if visit.may("quarantine:read"):
        told = await visit.ask.get("/v1/quarantine")
        total, dropped = told["total"], told["droppedBytes"]
        tables.append(Table(
            title="Could not be taken", columns=_GROUPS, rows=[_group_row(visit, one) for one in told["groups"]],
            empty="Nothing is kept out: all events that came were taken."))  # fmt: skip
    health = await visit.ask.get("/v1/health/data")
    tables.append(Table(
        title="Has no effect", name="effects", columns=_FINDINGS, rows=[Row(one) for one in health["findings"]],
        empty="Nothing was found among the newest events.",
        note=f"of the {health['records']:,} newest records of the log"))  # fmt: skip
    tables.append(Table(
        title="Events that come", name="events", columns=_NAMES, rows=[Row(one) for one in health["events"]],
        empty="No event has come yet.", sort="-count"))  # fmt: skip
    return visit.tables("quarantine.html", *tables, total=total, dropped_bytes=dropped)


async def show_one(visit: Visit) -> Response:
    """One entry, whole; that it was looked at is noted by the API."""
    entry = await visit.ask.get(path_of("v1", "quarantine", path_id(visit.request)))
    return visit.render("entry.html", entry=entry)


async def repair(visit: Visit) -> Response:
    """Try a group, a code or one entry again, rewritten if steps are given. The reply is shown as it came."""
    asked: dict[str, Any] = {
        name: visit.form.text(name) for name in ("group", "code", "position") if visit.form.text(name)
    }
    steps = visit.form.text("steps")
    if steps:
        asked["rewrite"] = _steps(steps)
    asked["dryRun"] = visit.form.ticked("dry")
    if len(asked) == 1:
        raise RequestRejected("schema", "say which: a group, a code or a position")
    try:
        told = await visit.ask.send("POST", "/v1/quarantine/repair", asked)
    except Refused as refused:
        return visit.render("repair.html", asked=asked, steps=steps, told=None, fault=refused.message)
    return visit.render("repair.html", asked=asked, steps=steps, told=told, fault="")


def _steps(text: str) -> Any:
    """The steps of a rewrite, as a list or as the file that the command line takes."""
    try:
        given = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise RequestRejected("malformed", f"the steps are no JSON: {error}") from None
    return given.get("steps", given) if isinstance(given, dict) else given


def _group_row(visit: Visit, group: dict[str, Any]) -> Row:
    look = Button("Try again", f"{_PATH}/repair", {"group": group["group"], "dry": "true"})
    return Row(
        group, href=f"{_PATH}{path_of(group['example'])}", buttons=(look,) if visit.may("quarantine:write") else ()
    )


PAGE: Final = Page(
    title="Quarantine and health", path=_PATH, group="Data", scope="health:read", show=show,
    ways=(Way("POST", "/repair", repair), Way("GET", "/{id}", show_one)),
)  # fmt: skip
