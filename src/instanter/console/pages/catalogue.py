"""Catalogue: what can be shown, page by page or by words, each item with its fields; changing one, taking one out."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from ...api.routing import path_id
from ...foundation.errors import RequestRejected
from ..asking import path_of
from ..tables import Column, Row, Table
from ..views import Page, Visit, Way

_PATH: Final = "/console/catalogue"
_ROWS: Final = 200
_FIELDS: Final = ("title", "category", "brand", "price", "stock")
_COLUMNS: Final = (
    Column("id", "Item", "code"), Column("title", "Title"), Column("category", "Category"), Column("brand", "Brand"),
    Column("price", "Price", "price"), Column("stock", "Stock", "number"), Column("impressions", "Shown", "number"),
    Column("item_views", "Viewed", "number"), Column("buys", "Bought", "number"),
)  # fmt: skip
_COUNTED: Final = ("impressions", "item_views", "buys")


async def show(visit: Visit) -> Response:
    """A page of it, what has the words that are asked for, or the one item of an id."""
    wanted, words = visit.query.get("id", ""), visit.query.get("words", "")
    if wanted:
        return visit.go(f"{_PATH}{path_of(wanted)}")
    asked = {"query": words} if words else {name: visit.query[name] for name in ("after",) if visit.query.get(name)}
    told = await visit.ask.get("/v1/items", {"limit": str(_ROWS), "counts": "true", **asked})
    more = f"{_PATH}?{urlencode({'after': told['next']})}" if told["next"] else ""
    note = "available ones, the best first" if words else f"of {told['count']:,} items" if more or asked else ""
    empty = "The catalogue is empty: POST /v1/items, or instanter import, fills it."
    table = Table(
        title="Items", columns=_COLUMNS, rows=[_row(item) for item in told["items"]], note=note, more=more,
        empty="No available item has one of these words." if words else empty,
    )  # fmt: skip
    sold_out = told["count"] - told["available"]
    return visit.tables("catalogue.html", table, count=told["count"], sold_out=sold_out, words=words)


async def show_one(visit: Visit) -> Response:
    """An item with all its fields."""
    item = await visit.ask.get(path_of("v1", "items", path_id(visit.request)), {"counts": "true"})
    return visit.render("item.html", item=item, fields=item["fields"], counts=item["counts"])


async def change(visit: Visit) -> Response:
    """Set one field of an item. The value is JSON; what is none is text."""
    item_id, name, text = path_id(visit.request), visit.form.text("field"), visit.form.text("value")
    if not name:
        raise RequestRejected("schema", "which field is to be changed?")
    fields = {name: _value(text)}
    await visit.ask.send("PATCH", path_of("v1", "items", item_id), {"fields": fields})
    return visit.done(f"{name} of {item_id} is {'gone' if fields[name] is None else text} from now on.")


async def delete(visit: Visit) -> Response:
    """Take an item out."""
    item_id = path_id(visit.request)
    await visit.ask.send("DELETE", path_of("v1", "items", item_id))
    return visit.done(f"{item_id} is out of the catalogue.", _PATH)


def _row(item: dict[str, Any]) -> Row:
    fields = item["fields"]
    counts = item["counts"]
    cells = {"id": item["id"], **{name: fields.get(name) for name in _FIELDS},
             **{name: counts.get(name) for name in _COUNTED}}  # fmt: skip
    return Row(cells, href=f"{_PATH}{path_of(item['id'])}")


def _value(text: str) -> Any:
    """What is meant by a text.

    >>> _value("3"), _value("oak"), _value(""), _value('["a", "b"]')
    (3, 'oak', None, ['a', 'b'])
    """
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


PAGE: Final = Page(
    title="Catalogue", path=_PATH, group="Shop", scope="catalog:read", show=show, parameters=("after", "id", "words"),
    ways=(Way("GET", "/{id}", show_one), Way("POST", "/{id}", change), Way("POST", "/{id}/delete", delete)),
)  # fmt: skip
