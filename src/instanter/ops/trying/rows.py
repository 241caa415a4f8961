"""A file as rows of values by name, whatever it is: a table, JSON, Parquet, an export of a known tool, lines of ids.

A file is read twice, a sample to guess by and then the columns that are wanted; so it lies on disk and is no stream.
What is wrong with a row comes in its place, and the rows behind it are read all the same.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ...foundation.errors import RequestRejected
from ..feeds import jsons
from ..feeds.columns import check_count, told_apart
from ..feeds.found import Aside, Broken, Problem, refused
from ..feeds.opening import UNPACKING_ERRORS, Peeked, encoding_of, is_no_text, text_of, unpacked
from ..feeds.parquets import rows_of_parquet
from ..feeds.tables import opened_table
from .exports import SNOWPLOW_COLUMNS, is_snowplow_line, kind_of, plain

EACH: Final = "[]"
"""Behind the name of a list in a path: the values of all its elements."""
LISTS: Final = ("batch", "events", "hits", "clicks", "sessions", *jsons.LISTS)
VISIT: Final = "visit"
ITEMS: Final = "items"
NAMELESS: Final = "column "
"""Columns of a file that has a visit a line, and what one without a name is called, before its number."""
_DEPTH_MAX: Final = 4
_COLUMNS_MAX: Final = 400
_NUMERIC: Final = re.compile(r"[+-]?[0-9]+([.:-][0-9]+)*([ T][0-9:.+Z-]+)?")
_LETTER: Final = re.compile(r"[^\W\d_]")
_IDS_LINE: Final = re.compile(r"[0-9]+([ \t]+[0-9]+)*\s*")
_LINES_SEEN: Final = 50
_SENT_SEEN: Final = 20

Located = tuple[str, Any]
"""Where it stands ("line 7"), and the values in the order that was asked for, or what is wrong."""


class Sample(NamedTuple):
    """The first rows of a file."""

    format: str
    """In words."""
    rows: list[dict[str, Any]]
    """By path."""
    names: list[str]
    """Paths, in the order in which they come."""
    notes: list[str]
    """How the file was read, in sentences."""
    export: str = ""
    """Whose export it is, in words; "" for no known one."""


class Rows:
    """One file. Raises `RequestRejected` ("feed") where it is none that is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sample(self, count: int) -> Sample:
        """Its first `count` rows that can be read."""
        with ExitStack() as closing:
            opened = _Opened(self.path, closing, None)
            rows: list[dict[str, Any]] = []
            for _, row in opened.rows:
                if not isinstance(row, Aside):
                    rows.append(opened.by_path(row))
                    if len(rows) == count:
                        break
            names = opened.names or list(dict.fromkeys(chain.from_iterable(rows)))[:_COLUMNS_MAX]
            export = kind_of(opened.first_sent) or kind_of(rows)
            return Sample(opened.format, rows, names, opened.notes, export)

    def read(self, wanted: Sequence[str]) -> Iterator[Located]:
        """Of each row the values of these columns, None or "" where it has none."""
        with ExitStack() as closing:
            opened = _Opened(self.path, closing, wanted)
            pick = opened.picking(wanted)
            place = "the file"
            try:
                for place, row in opened.rows:
                    yield place, row if isinstance(row, Aside) else pick(row)
            except UNPACKING_ERRORS as error:
                yield f"behind {place}", Broken(f"it cannot be unpacked to its end: {error}")


class _Opened:
    """A file on its way: rows as they come, and how to get values out of one."""

    def __init__(self, path: Path, closing: ExitStack, wanted: Sequence[str] | None) -> None:
        self.names: list[str] = []
        """Of a table: its columns."""
        self.notes: list[str] = []
        self.first_sent: list[dict[str, Any]] = []
        """Of JSON: the first objects as they were sent."""
        self._is_table = False
        try:
            peeked = unpacked(path, closing)
        except UNPACKING_ERRORS as error:
            raise refused(f"it cannot be unpacked: {error}") from None
        head = peeked.head
        if head.startswith(b"PAR1"):
            self.format, self.rows = "Parquet", self._of_parquet(path, wanted)
            return
        if is_no_text(head):
            raise refused("it is no text, and none of the other files that are read: save it as CSV, JSON or Parquet")
        encoding, mark_bytes = encoding_of(head)
        begin = head[mark_bytes:].decode(encoding, "replace").lstrip()
        if not begin:
            raise refused("it is empty")
        if encoding not in ("utf-8",):
            self.notes.append(f"its text is read as {encoding}")
        if begin[0] in "[{":
            self.format, self.rows = self._of_json(peeked, begin)
        elif begin[0] == "<":
            raise refused("it is XML, which is read as a catalogue only")
        elif _is_ids(begin):
            self.format, self.rows = "lines of ids", self._of_ids(peeked)
        else:
            self.format, self.rows = self._of_table(peeked)

    def by_path(self, row: Any) -> dict[str, Any]:
        """All values of a row by path."""
        if self._is_table:
            return dict(zip(self.names, row, strict=False))
        return dict(_paths(row))

    def picking(self, wanted: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
        """A function that takes the values of these columns out of a row."""
        if self._is_table:
            places = [self.names.index(name) for name in wanted]
            if len(places) == 1:
                return lambda row: (row[places[0]],)
            return itemgetter(*places) if places else lambda row: ()
        if all(EACH not in name and "." not in name for name in wanted):
            return lambda row: [row.get(name) for name in wanted]
        keys = [name.split(".") for name in wanted]
        return lambda row: [row[name] if name in row else _value(row, key)
                            for name, key in zip(wanted, keys, strict=True)]

    def _of_json(self, peeked: Peeked, begin: str) -> tuple[str, Iterator[Located]]:
        text = text_of(peeked)
        if begin[0] == "{" and _is_lines(begin):
            return "JSON lines", _objects(jsons.objects_of_lines(text), self.first_sent)
        name, objects = jsons.objects_of_document(text, LISTS)
        return name, _objects(objects, self.first_sent)

    def _of_parquet(self, path: Path, wanted: Sequence[str] | None) -> Iterator[Located]:
        only = None if wanted is None else list(dict.fromkeys(name.partition(".")[0].partition(EACH)[0]
                                                              for name in wanted))  # fmt: skip
        _, rows = rows_of_parquet(path, only)
        return ((f"row {number}", row if isinstance(row, Broken) else plain(row))
                for number, row in enumerate(rows, start=1))  # fmt: skip

    def _of_ids(self, peeked: Peeked) -> Iterator[Located]:
        """A visit a line: its items in order; where the first numbers are those of the lines they name the person."""
        numbered = _is_numbered(peeked.head)
        if numbered:
            self.notes.append("each line is a person's: their number, then the ids of items in their order")
        else:
            self.notes.append("each line is a visit: ids of items in their order")
        for number, line in enumerate(text_of(peeked), start=1):
            ids = line.split()
            if ids:
                visit, items = (ids[0], ids[1:]) if numbered else (f"visit-{number}", ids)
                yield f"line {number}", {VISIT: visit, ITEMS: items}

    def _of_table(self, peeked: Peeked) -> tuple[str, Iterator[Located]]:
        table = opened_table(text_of(peeked))
        if isinstance(table.names, Aside):
            raise refused(f"the line with the names of the columns cannot be read: {table.names[0]}")
        first = [value.strip() for value in table.names]
        name = {"\t": "TSV", ",": "CSV"}.get(table.delimiter, f'a table with "{table.delimiter}"')
        if table.delimiter == "\t" and is_snowplow_line(table.names):
            rows = _cut(chain([("line 1", table.names)], table.rows), len(SNOWPLOW_COLUMNS))
            return "Snowplow TSV", _objects(((place, row if isinstance(row, Aside) else _named(row))
                                            for place, row in rows), self.first_sent)  # fmt: skip
        self._is_table = True
        check_count(first)
        if _is_headless(first):
            self.names = [f"{NAMELESS}{place}" for place in range(1, len(first) + 1)]
            self.notes.append(f"its first line has no names: the columns are called column 1 to column {len(first)}")
            return name, _fitting(chain([("line 1", table.names)], table.rows), len(first))
        named = [one or f"{NAMELESS}{place}" for place, one in enumerate(first, start=1)]
        self.names = told_apart(named)
        self.notes += [f'several columns are called "{one}": the further ones are called by their places'
                       for one, count in Counter(named).items() if count > 1][:3]  # fmt: skip
        return name, _fitting(table.rows, len(first))


def _named(row: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in zip(SNOWPLOW_COLUMNS, row, strict=False) if value}


def _objects(found: Iterator[Located], first: list[dict[str, Any]]) -> Iterator[Located]:
    """Objects with what is wrapped in them made plain; `first` gets some as they were sent."""
    for place, value in found:
        if isinstance(value, dict) and len(first) < _SENT_SEEN:
            first.append(value)
        if isinstance(value, Aside):
            yield place, value
        elif isinstance(value, dict) and isinstance(batch := value.get("batch"), list):
            for one in batch:
                yield place, plain(one) if isinstance(one, dict) else Problem("it is no object")
        elif isinstance(value, dict):
            yield place, plain(value)
        else:
            yield place, Problem("it is no object")


def _is_lines(begin: str) -> bool:
    """Whether JSON that begins with an object has one a line."""
    first, _, rest = begin.partition("\n")
    if not rest.lstrip().startswith("{"):
        return jsons.is_lines(begin)
    try:
        return isinstance(msgspec.json.decode(first), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _cut(rows: Iterator[Located], width: int) -> Iterator[Located]:
    return ((place, row if isinstance(row, Aside) else row[:width]) for place, row in rows)


def _fitting(rows: Iterator[Located], width: int) -> Iterator[Located]:
    """Rows that have as many values as there are columns; further empty ones do not count."""
    for place, row in rows:
        if isinstance(row, Aside) or len(row) == width or (len(row) > width and not any(row[width:])):
            yield place, row
        else:
            yield place, Problem(f"it has {len(row)} values, and there are {width} columns")


def _is_headless(first: Sequence[str]) -> bool:
    """Whether a first line holds values and no names: one of them is a number or a time.

    >>> _is_headless(["196", "242", "3"]), _is_headless(["user", "item"]), _is_headless(["2024-01-01 10:00", "ada"])
    (True, False, True)
    """
    return any(_NUMERIC.fullmatch(value) for value in first) or not any(map(_LETTER.search, first))


def _is_ids(begin: str) -> bool:
    """Whether the lines are ids with blanks between, not the same number of them in each."""
    lines = begin.splitlines()[:_LINES_SEEN]
    lines = lines[:-1] if len(lines) > 1 else lines
    if len(lines) < 2 or not all(_IDS_LINE.fullmatch(line) for line in lines):
        return False
    return len({len(line.split()) for line in lines}) > 1


def _is_numbered(head: bytes) -> bool:
    firsts = [line.split()[:1] for line in head.decode("ascii", "replace").splitlines()[:_LINES_SEEN]]
    return all(one and one[0] == str(number) for number, one in enumerate(firsts, start=1))


def _paths(value: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """What stands where in an object; of a list of objects the values of all of them under one path."""
    for name, one in value.items():
        path = f"{before}{name}"
        if isinstance(one, dict) and depth < _DEPTH_MAX:
            yield from _paths(one, f"{path}.", depth + 1)
        elif isinstance(one, list) and one and all(isinstance(part, dict) for part in one):
            keys = dict.fromkeys(key for part in one for key in part)
            for key in keys:
                yield f"{path}{EACH}.{key}", [part.get(key) for part in one]
        else:
            yield path, one


def _value(row: Any, keys: Sequence[str]) -> Any:
    """The value at a path."""
    for at, key in enumerate(keys):
        if key.endswith(EACH):
            parts = row.get(key.removesuffix(EACH)) if isinstance(row, dict) else None
            rest = keys[at + 1 :]
            return [_value(part, rest) for part in parts] if isinstance(parts, list) else None
        row = row.get(key) if isinstance(row, dict) else None
    return row


def opened_rows(path: Path) -> Rows:
    """A file as rows; `OSError` where there is none, `RequestRejected` where it is a folder."""
    if path.is_dir():
        raise RequestRejected("feed", f"{path} is a folder: name a file")
    path.open("rb").close()
    csv.field_size_limit(2**24)
    return Rows(path)


def first_rows(path: Path, count: int) -> list[Located]:
    """The first rows as they come, those that cannot be read too."""
    with ExitStack() as closing:
        return list(islice(_Opened(path, closing, None).rows, count))
