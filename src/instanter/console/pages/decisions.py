"""Decisions: the newest ones, and one of them as a person reads it, with its reasons and why an item is not in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.responses import RedirectResponse, Response

from ...api.routing import path_id
from ...api.whatif import WHATIF
from ...foundation.errors import RequestRejected
from ..asking import Answer, Refused, path_of
from ..tables import Column, Row, Table
from ..titles import shown_ids, titles_of
from ..trial import FIELDS, body_of
from ..views import Page, Visit, Way
from ..words import moment

PATH: Final = "/console/decisions"
_COLUMNS: Final = (
    Column("decisionId", "Decision", "code"), Column("at", "Made", "moment"), Column("lists", "Lists"),
    Column("named", "Names somebody", "badge"), Column("tookMs", "Took", "duration"),
    Column("degraded", "Steps left out"),
)  # fmt: skip
_LEAD: Final = "Every list that was shown, and how it came about."
_EMPTY: Final = "No decision has been made yet, or none whose receipt can still be read."
_HERE: Final = ("item", "job")
"""Parameters of the page of one decision."""
JOBS_LACKING: Final = "this takes longer than a page waits, and a key needs the scope jobs:read to see what comes of it"


class Part(msgspec.Struct, frozen=True):
    """What comes of a question about a decision, which may be a job that goes on."""

    kind: str
    """Of the job: explain, why, replay or whatif."""
    outcome: Mapping[str, Any] | None = None
    job: Mapping[str, Any] | None = None
    fault: str = ""


async def show(visit: Visit) -> Response:
    """The newest decisions; or on to the one that was asked for."""
    wanted = visit.query.get("id", "").strip()
    if wanted:
        return RedirectResponse(PATH + path_of(wanted), status_code=303)
    if not visit.may("decisions:read"):
        return visit.render("decisions.html", lead=_LEAD, tables={})
    query = {name: value for name in ("after",) if (value := visit.query.get(name, ""))}
    told = await visit.ask.get("/v1/decisions", query)
    more = f"{PATH}?after={told['next']}" if told["next"] else ""
    rows = [_row(one) for one in told["decisions"]]
    table = Table(title="Newest decisions", columns=_COLUMNS, rows=rows, empty=_EMPTY, more=more)
    return visit.tables("decisions.html", table, lead=_LEAD)


async def show_one(visit: Visit) -> Response:
    """One decision: its receipt, and where it is asked what became of an item."""
    for name in visit.query:
        if name not in _HERE:
            raise RequestRejected("schema", f'"{name[:40]}" is not a parameter of this page')
    decision_id, item = path_id(visit.request), visit.query.get("item", "").strip()
    receipt = await visit.ask.get(path_of("v1", "decisions", decision_id))
    part = None
    if item:
        part = await asked(visit, "why", decision_id, {"item": item})
    elif job := visit.query.get("job", ""):
        part = await _of_job(visit, "replay", job)
    at = at_text(receipt["atMs"])
    return visit.render(
        "decision.html", receipt=receipt, at=at, item=item, part=part, here=PATH + path_of(decision_id), given={},
        models=await models_to_try(visit), titles=await titles_of(visit, [item, *shown_ids(receipt["placements"])]),
    )


async def show_reasons(visit: Visit) -> Response:
    """A part of the page: the lists with scores and reasons."""
    decision_id = path_id(visit.request)
    return await _fragment(visit, await asked(visit, "explain", decision_id, {"explain": "true"}), decision_id)


async def show_outcome(visit: Visit) -> Response:
    """A part of the page: what came of a job about the decision, or how far it is."""
    return await _fragment(visit, await _of_job(visit, "", visit.query.get("job", "")), path_id(visit.request))


async def replay(visit: Visit) -> Response:
    """Make it again, and say whether it came out the same."""
    decision_id = path_id(visit.request)
    here = PATH + path_of(decision_id)
    answer = await visit.ask.call("POST", path_of("v1", "decisions", decision_id, "replay"))
    told = answer.json()
    if answer.status == 202:
        return visit.done("It is being made again.", f"{here}?job={told['id']}")
    return visit.done(replay_said(told), here)


def replay_said(told: Mapping[str, Any]) -> str:
    """What came of a replay, in a sentence.

    >>> replay_said({"identical": True, "differences": [], "foldedEvents": 1200, "tookMs": 81.4})
    'Made again from 1,200 records of the log, in 81 ms: it is the same, bit for bit.'
    """
    made = f"Made again from {told['foldedEvents']:,} records of the log, in {told['tookMs']:.0f} ms: "
    if told["identical"]:
        return made + "it is the same, bit for bit."
    return made + f"it came out differently in {', '.join(told['differences'])}."


async def show_whatif(visit: Visit) -> Response:
    """What it would have shown if something had been otherwise, beside what it was; the form says what."""
    for name in visit.query:
        if name not in FIELDS:
            raise RequestRejected("schema", f'"{name[:40]}" is not a parameter of this page')
    decision_id = path_id(visit.request)
    receipt = await visit.ask.get(path_of("v1", "decisions", decision_id))
    part = None
    if visit.query:
        try:
            part = await asked(visit, WHATIF, decision_id, body=body_of(visit.query))
        except RequestRejected as error:
            part = Part(WHATIF, fault=error.message)
    return visit.render(
        "whatif.html", receipt=receipt, part=part, here=PATH + path_of(decision_id), given=visit.query,
        titles={}, models=await models_to_try(visit), made_at=time_said(receipt["atMs"]),
    )  # fmt: skip


async def models_to_try(visit: Visit) -> list[str]:
    """The names of the models that are kept, as far as the key may know of them."""
    if not visit.may("models:read"):
        return []
    told = await visit.ask.get("/v1/trained-models")
    return [one["model"] for one in told["models"] if one["kept"] and not one["damage"]]


async def asked(
    visit: Visit, kind: str, decision_id: str, query: Mapping[str, str] | None = None, body: Any = None
) -> Part:
    """What the API says to a question about a decision, be it a refusal; with a `body` to a what-if."""
    try:
        if body is None:
            answer = await visit.ask.call("GET", path_of("v1", "decisions", decision_id), query=query)
        else:
            answer = await visit.ask.call("POST", path_of("v1", "decisions", decision_id, WHATIF), body=body)
        return _part(visit, kind, answer)
    except Refused as error:
        return Part(kind, fault=error.message)


async def _of_job(visit: Visit, kind: str, job_id: str) -> Part:
    try:
        job = await visit.ask.get(path_of("v1", "jobs", job_id))
    except Refused as error:
        return Part(kind, fault=error.message)
    if job["error"] is not None:
        return Part(job["kind"], fault=job["error"]["message"])
    if job["outcome"] is None:
        return Part(job["kind"], job=job)
    return Part(job["kind"], outcome=job["outcome"])


def _part(visit: Visit, kind: str, answer: Answer) -> Part:
    told = answer.json()
    if answer.status != 202:
        return Part(kind, outcome=told)
    return Part(kind, job=told) if visit.may("jobs:read") else Part(kind, fault=JOBS_LACKING)


async def _fragment(visit: Visit, part: Part, decision_id: str) -> Response:
    told = part.outcome or {}
    ids = [told["item"]] if part.kind == "why" and told else []
    if part.kind == "explain" and told:
        ids = shown_ids(told["placements"])
    return visit.views.html(
        "decision_part.html", visit=visit, csrf=visit.session.csrf, part=part, here=PATH + path_of(decision_id),
        titles=await titles_of(visit, ids),
    )  # fmt: skip


def _row(decision: Mapping[str, Any]) -> Row:
    cells = {
        **decision, "lists": lists_said(decision["placements"]), "degraded": ", ".join(decision["degraded"]) or None,
    }  # fmt: skip
    return Row(cells, href=PATH + path_of(decision["decisionId"]))


def at_text(at_ms: float) -> str:
    """A time as the API's own texts have it.

    >>> at_text(1_700_000_000_000)
    '2023-11-14T22:13:20+00:00'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat()


def time_said(at_ms: float) -> str:
    """A time in words.

    >>> time_said(1_700_000_000_000)
    '2023-11-14 22:13:20'
    """
    return moment(at_text(at_ms))


def lists_said(placements: Sequence[Mapping[str, Any]]) -> str:
    """The lists of a decision on one line.

    >>> lists_said([{"id": "home.hero", "servedBy": "personal", "items": 1}])
    'home.hero: 1 item, personal'
    """
    return "; ".join(
        f"{one['id']}: {one['items']} {'item' if one['items'] == 1 else 'items'}, {one['servedBy']}"
        for one in placements
    )  # fmt: skip


PAGE: Final = Page(
    title="Decisions", path=PATH, group="People", scope="receipts:read", show=show, parameters=("id", "after"),
    ways=(
        Way("GET", "/{id}", show_one), Way("GET", "/{id}/reasons", show_reasons),
        Way("GET", "/{id}/outcome", show_outcome), Way("GET", "/{id}/whatif", show_whatif),
        Way("POST", "/{id}/replay", replay),
    ),
)  # fmt: skip
