"""People: found by their id, what is known of them, what they did and were shown, and their rights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import RedirectResponse, Response

from ...api.lines import NDJSON_MEDIA_TYPE
from ...api.routing import path_id
from ...foundation.errors import RequestRejected
from ...foundation.limits import CONSOLE_PIECES_READ_MAX
from ..asking import Refused, path_of
from ..tables import Column, QueryOf, Row, Table, csv_of, shown
from ..titles import shown_ids, titles_of
from ..views import Page, Visit, Way
from ..words import pretty, size
from . import decisions

PATH: Final = "/console/people"
_ENTRIES: Final = "50"
_SHOWN_CHARS: Final = 6_000
"""Of an entry that is unfolded; the export has all of it."""
_ITEMS_NAMED: Final = 6
_COLUMNS: Final = (
    Column("id", "Person", "code"), Column("lastReceivedAt", "Last event", "moment"), Column("lastEvent", "What"),
    Column("linked", "Also known as"),
)  # fmt: skip
_ENTRY_COLUMNS: Final = (
    Column("what", "What"), Column("detail", "About"), Column("at", "When", "moment"), Column("kind", "Kind", "badge"),
)  # fmt: skip
_LEAD: Final = "What is known of somebody, what they did and were shown, and what they may ask of you."
_EMPTY: Final = "Nobody has come yet, or nobody whose newest event can still be read."


class Feature(msgspec.Struct, frozen=True):
    """A number, or a list with the size of each entry as a share of the largest."""

    name: str
    title: str
    unit: str = ""
    number: float | None = None
    entries: list[tuple[str, str, float]] | None = None
    """Name, what is told of it, and its share of the largest."""


async def show(visit: Visit) -> Response:
    """Who was there last; or on to whoever was asked for."""
    wanted = visit.query.get("id", "").strip()
    if wanted:
        return RedirectResponse(PATH + path_of(wanted), status_code=303)
    query = {name: value for name in ("after",) if (value := visit.query.get(name, ""))}
    told = await visit.ask.get("/v1/profiles", query)
    more = f"{PATH}?after={told['next']}" if told["next"] else ""
    rows = [
        Row({**one, "linked": ", ".join(one["linked"]) or None}, href=PATH + path_of(one["id"]))
        for one in told["profiles"]
    ]
    note = "" if told["known"] is None else f"{told['known']:,} are known in all"
    table = Table(title="Who was there last", columns=_COLUMNS, rows=rows, empty=_EMPTY, more=more, note=note)
    return visit.tables("people.html", table, lead=_LEAD, wanted="")


async def show_one(visit: Visit) -> Response:
    """One person."""
    person = path_id(visit.request)
    try:
        profile = await visit.ask.get(path_of("v1", "profiles", person))
    except Refused as error:
        if error.code != "unknown_profile":
            raise
        return visit.render("people.html", status=404, lead=_LEAD, wanted=person, tables={})
    here = PATH + path_of(person)
    timeline = await _timeline(visit, person, here) if visit.may("profiles:export") else None
    query = QueryOf(visit.request, [] if timeline is None else [timeline.table], ("after",))
    if query.csv:
        return csv_of(query.csv, query)
    features = _features(profile)
    named = [entry[0] for one in features for entry in one.entries or ()]
    shown_last = [] if timeline is None else timeline.decisions
    named += [item for one in shown_last for item in shown_ids(one["decision"]["placements"], _ITEMS_NAMED)]
    titles = await titles_of(visit, named)
    return visit.render(
        "person.html", profile=profile, here=here, session=[one for one in features if _is_of_session(profile, one)],
        long_term=[one for one in features if not _is_of_session(profile, one)], timeline=timeline,
        shown=None if timeline is None else shown(timeline.table, query), silent=_silent(profile),
        people=PATH, titles=titles, items_named=_ITEMS_NAMED,
    )  # fmt: skip


async def export(visit: Visit) -> Response:
    """Everything held about the person, to keep."""
    path = path_of("v1", "profiles", path_id(visit.request), "export")
    response = visit.ask.handed_on(path, accept=NDJSON_MEDIA_TYPE)
    response.headers["Content-Disposition"] = 'attachment; filename="person.ndjson"'
    return response


async def consent(visit: Visit) -> Response:
    """State what the person has agreed to."""
    purpose, agreed = visit.form.text("purpose"), visit.form.text("agreed")
    if not purpose or agreed not in ("yes", "no"):
        raise RequestRejected("schema", "say what it is about, and whether the person agrees")
    body = {"purposes": {purpose: agreed == "yes"}}
    answer = await visit.ask.call("PUT", path_of("v1", "profiles", path_id(visit.request), "consent"), body=body)
    answer.json()
    said = "agreed to" if agreed == "yes" else "refused"
    return visit.done(f"Stated: {purpose} is {said}, from the next event and decision on.", _here(visit))


async def unlink(visit: Visit) -> Response:
    """Take the link to another id back."""
    path = path_of("v1", "profiles", path_id(visit.request), "links", visit.form.text("linked"))
    (await visit.ask.call("DELETE", path)).json()
    return visit.done(f"The link to {visit.form.text('linked')} is taken back; both are as they were.", _here(visit))


async def erase(visit: Visit) -> Response:
    """Erase the person, where the id was typed once more."""
    person = path_id(visit.request)
    if visit.form.text("confirm") != person:
        return visit.refused("Nothing was erased: the id that was typed is not this person's.", _here(visit))
    answer = await visit.ask.call("DELETE", path_of("v1", "profiles", person))
    return visit.render("erased.html", erasure=answer.json(), raw=answer.body.decode(), person=person, people=PATH)


def _here(visit: Visit) -> str:
    return PATH + path_of(path_id(visit.request))


class _Timeline(msgspec.Struct, frozen=True):
    """A piece of what somebody did and was shown."""

    table: Table
    decisions: list[dict[str, Any]]
    """The newest of it, as an export has them."""
    passed_over: str = ""
    """Where a part of the log is looked through that was not: it holds no event of theirs."""


async def _timeline(visit: Visit, person: str, here: str) -> _Timeline:
    """The entries of the next pieces of the log that have any."""
    after, entries, left_out, looked_bytes = visit.query.get("after", ""), list[dict[str, Any]](), 0, 0
    passed_over = ""
    for _ in range(CONSOLE_PIECES_READ_MAX):
        query = {"limit": _ENTRIES, **({"after": after} if after else {})}
        told = await visit.ask.get(path_of("v1", "profiles", person, "timeline"), query)
        entries, left_out, after = told["entries"], left_out + told["leftOut"], told["next"] or ""
        looked_bytes += told["lookedBytes"]
        passed_over = passed_over or (told["passedOver"] or {}).get("after", "")
        if entries or not after:
            break
    rows = [_entry(one, may_see=visit.may("receipts:read")) for one in entries]
    looked = f"{size(looked_bytes)} of the log looked through"
    note = f"{looked}; {left_out:,} entries cannot be read any more" if left_out else looked
    empty = "Nothing in this piece of the log. It may lie further back." if after else "Nothing that can still be read."
    table = Table(
        title="Timeline", columns=_ENTRY_COLUMNS, rows=rows, name="timeline", note=note, empty=empty,
        more=f"{here}?after={after}" if after else "",
    )  # fmt: skip
    decided = [one for one in entries if one["kind"] == "decision"][:3]
    return _Timeline(table, decided, f"{here}?after={passed_over}" if passed_over else "")


def _entry(entry: Mapping[str, Any], *, may_see: bool) -> Row:
    kind, more, href = entry["kind"], pretty(entry), ""
    match kind:
        case "event":
            cells = {"what": entry["name"], "at": entry["receivedAt"], "detail": _about(entry["event"])}
        case "decision":
            cells = {"what": "Was shown", "at": entry["at"], "detail": _shown_in(entry["decision"])}
            href = decisions.PATH + path_of(entry["id"]) if may_see else ""
        case "link":
            cells = {"what": "Ids are one person", "at": entry["at"], "detail": " and ".join(entry["ids"])}
        case _:
            cells = {"what": "Said what they agree to", "at": entry["at"], "detail": _said(entry["purposes"])}
    more = more if len(more) <= _SHOWN_CHARS else f"{more[:_SHOWN_CHARS]}\n... and more: the export has all of it"
    return Row({**cells, "kind": kind}, href=href, more=more)


def _about(event: Mapping[str, Any]) -> str | None:
    """What an event is about, by the names that trackers use."""
    properties = event.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    products = properties.get("products")
    named = [properties, *(products if isinstance(products, list) else ())]
    ids = [
        str(one[name]) for one in named if isinstance(one, dict)
        for name in ("product_id", "sku", "item_id", "id", "name", "query", "path") if one.get(name)
    ]  # fmt: skip
    return ", ".join(ids[:_ITEMS_NAMED]) or None


def _shown_in(receipt: Mapping[str, Any]) -> str:
    lists = []
    for name, placed in receipt["placements"].items():
        ids = [item["id"] for item in placed["items"]]
        more = f" and {len(ids) - _ITEMS_NAMED} more" if len(ids) > _ITEMS_NAMED else ""
        lists.append(f"{name}: {', '.join(ids[:_ITEMS_NAMED]) or 'nothing'}{more}")
    return "; ".join(lists)


def _said(purposes: Mapping[str, bool]) -> str:
    return ", ".join(f"{name}: {'yes' if agreed else 'no'}" for name, agreed in purposes.items())


def _is_of_session(profile: Mapping[str, Any], feature: Feature) -> bool:
    return feature.name in profile["sessionFeatures"]


def _features(profile: Mapping[str, Any]) -> list[Feature]:
    """Those that say something, by name."""
    words = profile["described"]
    return [
        _feature(name, value, words[name]) for name, value in sorted(profile["features"].items())
        if _says(value, words[name])
    ]  # fmt: skip


def _silent(profile: Mapping[str, Any]) -> list[str]:
    words = profile["described"]
    return sorted(words[name]["title"] for name, value in profile["features"].items() if not _says(value, words[name]))


def _says(value: Any, words: Mapping[str, str]) -> bool:
    """Whether a feature says something: nothing was counted where there are none, but no seconds ago is now."""
    return bool(value) or (value == 0 and words["unit"] == "s")


def _feature(name: str, value: Any, words: Mapping[str, str]) -> Feature:
    if not isinstance(value, list):
        return Feature(name, words["title"], words["unit"], number=value)
    largest = max((abs(one.get("score", 0.0)) for one in value), default=0.0) or 1.0
    return Feature(name, words["title"], words["unit"], entries=[
        (one["name"] if one["name"] is not None else f"no name any more ({one['ref']})",
         _score_said(one, words["unit"]), abs(one["score"]) / largest if "score" in one else 0.0)
        for one in value
    ])  # fmt: skip


def _score_said(entry: Mapping[str, Any], unit: str) -> str:
    return decisions.time_said(entry["atMs"]) if "atMs" in entry else f"{entry['score']:.3g} {unit}".rstrip()


PAGE: Final = Page(
    title="People", path=PATH, group="People", scope="profiles:read", show=show, parameters=("id", "after"),
    ways=(
        Way("GET", "/{id}", show_one), Way("GET", "/{id}/export", export), Way("POST", "/{id}/consent", consent),
        Way("POST", "/{id}/unlink", unlink), Way("POST", "/{id}/erase", erase),
    ),
)  # fmt: skip
