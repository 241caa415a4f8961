"""One kind of table for all pages: sorted and filtered by the query string, so that what is seen can be linked to, and
taken along as CSV.

It sorts and filters what the page has read, which is bounded; where there is more, the table says so and leads on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..foundation.errors import RequestRejected
from .words import as_text

Kind = Literal["text", "code", "number", "price", "percent", "moment", "size", "duration", "badge"]
_RIGHT: Final = frozenset({"number", "price", "percent", "size", "duration"})
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Cells that begin so are formulas to spreadsheets."""


class Column(msgspec.Struct, frozen=True):
    """One column: `name` is the key of a row's cell, and stands in links."""

    name: str
    title: str
    kind: Kind = "text"

    @property
    def is_right(self) -> bool:
        """Whether it is set to the right, as what is compared by its digits."""
        return self.kind in _RIGHT


class Button(msgspec.Struct, frozen=True):
    """An act about a row: a form that is sent when it is pressed."""

    label: str
    path: str
    fields: Mapping[str, str] = {}
    confirm: str = ""
    """What is asked before."""
    is_grave: bool = False


class Row(msgspec.Struct, frozen=True):
    """One row."""

    cells: Mapping[str, Any]
    href: str = ""
    """Where its first cell leads."""
    buttons: Sequence[Button] = ()
    more: str = ""
    """Text that is unfolded below it."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table before anybody has sorted it."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    name: str = ""
    """Before its parameters in the query string, where a page has several."""
    empty: str = "There is nothing here yet."
    note: str = ""
    """What one has to know of it, as that there is more."""
    more: str = ""
    """Where the rows after these are."""
    sort: str = ""
    """By default: a column's name, with `-` before it for the largest first; "" as the rows come."""


class Heading(msgspec.Struct, frozen=True):
    """A column's heading, which is a link that sorts."""

    column: Column
    href: str
    order: Literal["ascending", "descending", "none"]


class Shown(msgspec.Struct, frozen=True):
    """A table as it is shown."""

    table: Table
    id: str
    headings: list[Heading]
    rows: list[Row]
    filter_name: str
    filter: str
    kept: list[tuple[str, str]]
    """The parameters that stay when the filter changes."""
    csv_href: str

    @property
    def has_buttons(self) -> bool:
        """Whether any row has an act."""
        return any(row.buttons for row in self.rows)


class QueryOf:
    """The query string of a page with tables."""

    def __init__(self, request: Request, tables: Sequence[Table], parameters: Sequence[str]) -> None:
        """Raises `RequestRejected` for a parameter that would have no effect."""
        self.path = request.scope["path"]
        self.params = dict(request.query_params)
        own = [_named(table, name) for table in tables for name in ("sort", "q")]
        known = [*own, *parameters, "csv"]
        for name in self.params:
            if name not in known:
                raise RequestRejected("schema", f'"{name[:40]}" is not a parameter of this page')
        self.csv: Table | None = None
        if "csv" in self.params:
            wanted = self.params.pop("csv")
            self.csv = next((table for table in tables if wanted in (table.name, table.name or "main")), None)
            if self.csv is None:
                raise RequestRejected("schema", f'this page has no table "{wanted[:40]}"')

    def href(self, **changed: str) -> str:
        """The page's own address with other parameters; those that are "" go."""
        params = {name: value for name, value in {**self.params, **changed}.items() if value}
        return f"{self.path}?{urlencode(params)}" if params else self.path


def shown(table: Table, query: QueryOf) -> Shown:
    """A table, sorted and filtered. Raises `RequestRejected` for a column that it does not have."""
    name, is_down = _sorting(table, query)
    headings = [
        Heading(
            column, query.href(**{_named(table, "sort"): column.name if name == column.name and is_down else
                                  f"-{column.name}" if name == column.name or column.is_right else column.name}),
            ("descending" if is_down else "ascending") if name == column.name else "none",
        )
        for column in table.columns
    ]  # fmt: skip
    filter_name = _named(table, "q")
    kept = [(key, value) for key, value in query.params.items() if key != filter_name and value]
    return Shown(
        table, f"table-{table.name or 'main'}", headings, _rows(table, query), filter_name,
        query.params.get(filter_name, ""), kept, query.href(csv=table.name or "main"),
    )  # fmt: skip


def csv_of(table: Table, query: QueryOf) -> Response:
    """The table as CSV, with the rows that are seen. What a spreadsheet would take for a formula gets a ' before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.name for column in table.columns])
    for row in _rows(table, query):
        writer.writerow([_csv_cell(row.cells.get(column.name)) for column in table.columns])
    name = quote(table.title.lower().replace(" ", "-"), safe="-")
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(out.getvalue().encode("utf-8", "replace"), media_type="text/csv; charset=utf-8", headers=headers)


def _rows(table: Table, query: QueryOf) -> list[Row]:
    wanted = query.params.get(_named(table, "q"), "").casefold().split()
    rows = [row for row in table.rows if not wanted or _holds(row, wanted)]
    name, is_down = _sorting(table, query)
    if name:
        there = [row for row in rows if row.cells.get(name) is not None]
        there.sort(key=_order(name), reverse=is_down)
        rows = [*there, *(row for row in rows if row.cells.get(name) is None)]
    return rows


def _holds(row: Row, wanted: Sequence[str]) -> bool:
    text = "\n".join(as_text(value) for value in row.cells.values()).casefold()
    return all(word in text for word in wanted)


def _order(name: str) -> Callable[[Row], tuple[int, float, str]]:
    """Numbers before texts, each in their own order: a column of data may hold both."""

    def key(row: Row) -> tuple[int, float, str]:
        value = row.cells[name]
        if isinstance(value, int | float):
            return (0, value, "")
        return (1, 0.0, as_text(value).casefold())

    return key


def _sorting(table: Table, query: QueryOf) -> tuple[str, bool]:
    """The column to sort by, "" for none, and whether the largest come first."""
    asked = query.params.get(_named(table, "sort")) or table.sort
    name = asked.removeprefix("-")
    if asked and name not in [column.name for column in table.columns]:
        columns = ", ".join(column.name for column in table.columns)
        raise RequestRejected("schema", f'there is no column "{name[:40]}" to sort by; there are {columns}')
    return name, asked.startswith("-")


def _named(table: Table, parameter: str) -> str:
    return f"{table.name}.{parameter}" if table.name else parameter


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    text = as_text(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
