"""Items from lines of values: CSV, TSV and their likes."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from ...events.nothing import says_nothing
from ...foundation.limits import FEED_LINE_CHARS_MAX, FEED_QUOTES_MAX, FEED_VALUE_CHARS_MAX
from .columns import FeedColumns, Renamer, check_count, told_apart
from .found import Aside, Broken, Finds, Note, Problem, refused
from .opening import lines_of
from .quotes import UNCLOSED, QuoteWatch, WatchedLines
from .shopify import is_shopify_table, items_of_rows
from .whole_ids import with_whole_ids

DELIMITERS: Final = (",", "\t", ";", "|")
_LOOKED_AT: Final = 20
_NAME_CHARS: Final = 64
_NAMED_DELIMITER: Final = re.compile(r"sep=(.)\s*", re.IGNORECASE)


def read_table(text: io.TextIOWrapper, given: Mapping[str, str]) -> tuple[str, Finds]:
    """What kind of table it is, and its items; `RequestRejected` for what is none, or has no id."""
    table = opened_table(text)
    names, rows = _names(table.names), table.rows
    columns = FeedColumns(names, given, tables=True)
    if not given and is_shopify_table(names):
        return "Shopify CSV", items_of_rows(names, _plain_rows(names, rows, columns))
    columns.require_id(names)
    ours = {columns.ours.get(name, name) for name in names}
    kind = "Google Merchant" if {"availability", "link", "image_link"} <= ours else ""
    return f"{kind} {'TSV' if table.delimiter == chr(9) else 'CSV'}".strip(), _items(
        names, _plain_rows(names, rows, columns), given
    )


class OpenedTable(NamedTuple):
    """A table whose first row has been read."""

    names: Any
    """The values of the first row, or why it cannot be read."""
    rows: Iterator[tuple[str, Any]]
    """Where each further row begins ("line 7"), and its values or what is wrong with it."""
    delimiter: str


def opened_table(text: io.TextIOWrapper) -> OpenedTable:
    """The rows of a text of values; `RequestRejected` for what is none."""
    lines = lines_of(text)
    first = list(islice(lines, _LOOKED_AT))
    named = _NAMED_DELIMITER.fullmatch(first[0].rstrip("\r\n")) if first else None
    skipped = 1 if named else 0
    while skipped < len(first) and not first[skipped].strip():
        skipped += 1
    head = first[skipped:]
    if not head:
        raise refused("it is empty")
    delimiter = named[1] if named else _delimiter_of(head)
    rows = _Rows(chain(head, lines), delimiter, first_line=skipped + 1)
    names_row = next(rows.rows, None)
    if names_row is None:
        raise refused("it is empty")
    if isinstance(names_row[1], list):
        rows.set_columns(len(names_row[1]))
    return OpenedTable(names_row[1], rows.rows, delimiter)


class _RowTooLong(Exception):
    """A row has more characters than a line may have."""


class _RowLines:
    """Lines, one row after the other: a row may go on in further lines, and all of them together are bounded."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._row_chars = 0

    def begin_row(self) -> None:
        """What is read from here on belongs to another row."""
        self._row_chars = 0

    def read_line(self) -> str:
        """The next line; raises `StopIteration` or `_RowTooLong`."""
        line = next(self._lines)
        self._row_chars += len(line)
        if self._row_chars > FEED_LINE_CHARS_MAX:
            raise _RowTooLong
        return line


class _Rows:
    """The rows of a table with the lines that they begin in; a row that cannot be told is a problem.

    Where a quote has swallowed rows the file counts as broken off: nothing is known of what they would have said.
    """

    def __init__(self, lines: Iterator[str], delimiter: str, *, first_line: int) -> None:
        bounded = _RowLines(lines)
        self._lines = WatchedLines(bounded.read_line, begin_row=bounded.begin_row, first_number=first_line)
        self._format: dict[str, Any] = {"delimiter": delimiter, "skipinitialspace": True}
        self._watch = QuoteWatch(0)
        self._read_again = 0
        self.rows = self._read()

    def set_columns(self, count: int) -> None:
        """Say how many columns there are, once their names are read."""
        self._watch = QuoteWatch(count, **self._format)

    def _read(self) -> Iterator[tuple[str, Any]]:
        csv.field_size_limit(FEED_VALUE_CHARS_MAX)
        reader = csv.reader(self._lines, **self._format)
        delimiter = self._format["delimiter"]
        spaced = f"{delimiter} "
        while True:
            line = self._lines.number + 1
            self._lines.begin_row()
            try:
                plain = self._lines.take_plain()
                if plain is None:
                    values = next(reader)
                elif spaced in plain or plain[0] == " " or len(plain) > FEED_VALUE_CHARS_MAX:
                    values = next(csv.reader([plain], **self._format), [])
                else:  # What a reader of CSV would make of it, at a third of the time.
                    values = plain.rstrip("\r\n").split(delimiter)
            except StopIteration:
                return
            except csv.Error:
                swallowed = self._swallowed(f"a value has more than {FEED_VALUE_CHARS_MAX:,} characters: most likely ")
                yield f"line {line}", swallowed
                continue
            except _RowTooLong:
                what = f"it has more than {FEED_LINE_CHARS_MAX:,} characters"
                several = Broken(f"{what}: most likely {UNCLOSED}; {self._left_out(line)}")
                yield f"line {line}", several if self._lines.row else Problem(what)
                continue
            if self._lines.ended or self._watch.holds_rows(self._lines.row):
                yield f"line {line}", self._swallowed()
            elif any(value.strip() for value in values):
                if len(self._lines.row) == 1:
                    self._watch.pass_row(values)
                yield f"line {line}", values

    def _swallowed(self, before: str = "") -> Broken:
        """What is told of a row that swallows others, which are read by themselves then, so often."""
        line = self._lines.number - len(self._lines.row) + 1
        if self._read_again < FEED_QUOTES_MAX and self._watch.holds_rows(self._lines.row, broken=True):
            self._read_again += 1
            self._lines.read_again()
            return Broken(f"{before}{UNCLOSED}: the line is left out")
        return Broken(f"{before}{UNCLOSED}; {self._left_out(line)}")

    def _left_out(self, line: int) -> str:
        return f"what stands from there to line {self._lines.number} is left out"


def _plain_rows(
    names: Sequence[str], rows: Iterator[tuple[str, Any]], columns: FeedColumns
) -> Iterator[tuple[str, Any]]:
    """Rows as they are meant: without texts for nothing, and with whole numbers as ids; notes of that at the end."""
    told: list[str] = []
    ids = {place: name for place, name in enumerate(names) if columns.holds_ids(name)}
    yield from with_whole_ids(_without_nothing(names, rows, columns), ids, told)
    for sentence in told:
        yield "the table", Note(sentence)


def _without_nothing(
    names: Sequence[str], rows: Iterator[tuple[str, Any]], columns: FeedColumns
) -> Iterator[tuple[str, Any]]:
    """Rows whose cells are empty where `NULL`, `NaN` and the like stand in them, and at the end a note of how many.

    Ids, titles and options stay as they are written: there are things that are called so.
    """
    kept = {place for place, name in enumerate(names) if columns.takes_at_its_word(name)}
    emptied = Counter[int]()
    for place, values in rows:
        if isinstance(values, list):
            for at, value in enumerate(values):
                if value and at not in kept and says_nothing(value):
                    values[at] = ""
                    emptied[at] += 1
        yield place, values
    if emptied:
        said = ", ".join(f"{names[at] if at < len(names) else at + 1} {count:,}" for at, count in emptied.most_common())
        yield "the table", Note(f"cells in which NULL, NaN, N/A and the like stand count as empty: {said}")


def _items(names: Sequence[str], rows: Iterator[tuple[str, Any]], given: Mapping[str, str]) -> Finds:
    renamer = Renamer(given, tables=True)
    for place, values in rows:
        if isinstance(values, Aside):
            yield place, values
            continue
        misfit = misfit_of(names, values)
        if misfit is not None:
            yield place, misfit
            continue
        found = renamer.item({name: value.strip() for name, value in zip(names, values, strict=False)})
        yield place, found


def misfit_of(names: Sequence[str], values: Sequence[str]) -> Problem | None:
    """Why a row does not fit the names of its columns, None where it does."""
    if len(values) == len(names) or (len(values) > len(names) and not any(values[len(names) :])):
        return None
    return Problem(f"it has {len(values)} values, and there are {len(names)} columns")


def _names(values: Any) -> list[str]:
    if isinstance(values, Aside):
        raise refused(f"the line with the names of the columns cannot be read: {values[0]}")
    names = [name.strip() or f"column {place}" for place, name in enumerate(values, start=1)]
    check_count(names)
    count = Counter(names)
    if any(FeedColumns([name], {}, tables=True).has_id for name in count if count[name] > 1):
        twice = next(name for name in sorted(count) if count[name] > 1)
        raise refused(f'two columns are called "{twice}": rename one of them')
    return told_apart(names)


def _delimiter_of(lines: Sequence[str]) -> str:
    """The delimiter that gives the names of the columns the most parts, where the lines below agree the most."""
    text = "".join(lines)

    def fitting(delimiter: str) -> tuple[float, int]:
        try:
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
        except csv.Error:
            return 0.0, 0
        width = len(rows[0]) if rows else 0
        below = rows[1:]
        alike = sum(len(row) == width for row in below) / len(below) if below else 1.0
        return (alike if width > 1 else 0.0), width

    best = max(DELIMITERS, key=fitting)
    if fitting(best)[1] > 1:
        return best
    name = lines[0].strip()
    if FeedColumns([name], {}, tables=True).has_id or len(name) <= _NAME_CHARS:
        return ","
    raise refused(
        "it is no table, JSON, XML or Parquet: its first line has no values that a comma, tab, semicolon or | parts"
    )


