"""Files of events, whatever shape they have: read in pieces, one event at a time, with the number of its line.

NDJSON, one array, batches as they are sent to `/v1/batch` (one, or one a line), tables of comma, semicolon or tab
separated values, and Parquet. Which it is is seen from the content, not from the name; what it is packed in and a byte
order mark are taken off.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader, RawIOBase
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec

from ..events.kinds import NAME_BY_TYPE
from ..foundation.errors import Broken, RequestRejected
from ..foundation.limits import (
    ARCHIVE_BUFFER_BYTES,
    ARCHIVE_RECORD_BYTES_MAX,
    EVENT_BYTES_MAX,
    FEED_QUOTES_MAX,
    ROWS_PEEKED_MAX,
)
from .event_rows import (
    IDS_OF_EVENTS,
    NOW,
    TOP,
    EventLine,
    Row,
    always,
    asked_for,
    completed,
    event_of,
    lines_of,
    time_column,
    unsaid,
)
from .feeds.columns import repeated, told_apart
from .feeds.found import Broken as BrokenFile
from .feeds.opening import UNPACKING_ERRORS, encoding_of, is_no_text, unpacked
from .feeds.parquets import rows_of_parquet
from .feeds.quotes import UNCLOSED, QuoteWatch, WatchedLines
from .feeds.whole_ids import with_whole_ids

STDIN: Final = "-"
_MARK: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_OTHERWISE_PACKED: Final = (b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")
_PARQUET: Final = b"PAR1"
_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_STRING_END: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BATCH: Final = re.compile(rb'\s*\{\s*"batch"\s*:\s*\[')
_ID_HEX: Final = 32
_HEAD_BYTES: Final = 1_024
"""Looked at to tell how a text is encoded."""
_SNIFFED_CHARS: Final = 4_096
"""Of a table's header, what its separator is told by: telling it takes time by the square of that."""

_any_json = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode

_TYPES: Final = ("track", *NAME_BY_TYPE)
_CP1252: Final = "instanter.cp1252"


class Shape(NamedTuple):
    """What a file was taken for."""

    name: str
    columns: dict[str, str]
    """Of a table: what each column is taken for."""
    unsaid: tuple[str, ...] = ()
    """Of a table: what no column says and is missed, in sentences."""


Rejected = Callable[[str], None]


class Archive:
    """A file of events, open. Iterate over it once."""

    def __init__(self, name: str, file: BufferedReader, reject: Rejected, columns: dict[str, str]) -> None:
        self._name = "stdin" if name == STDIN else name
        self._file = file
        self._reject = reject
        self._columns = columns
        self._name_of_all = ""
        self._time_column: str | None = None
        """Of objects: the field that says when it was by what stands in it; None before the first of them."""
        self.notes: list[str] = []
        """How the file was read, in sentences."""
        self._begun = False
        """Whether an event has been read."""
        self.unseen = set(self._columns)
        """Columns of which something was said and that no object has had yet."""
        self.shape = self._seen()
        self.last = 0
        """The number of the last event or line so far."""
        self._given = 0
        """The number of the last event."""

    def __iter__(self) -> Iterator[EventLine]:
        try:
            for number, text in lines_of(self._events()):
                if self.shape.columns and len(text) > EVENT_BYTES_MAX:
                    self._reject(f"{self._name}:{number}: too_large: an event has at most {EVENT_BYTES_MAX} bytes")
                    continue
                self._given = max(number, self._given + 1)
                self.last = max(self.last, self._given)
                yield EventLine(self._given, text)
        except UNPACKING_ERRORS as error:
            raise Broken(f"{self._name} cannot be unpacked to its end: {error}") from None

    def _seen(self) -> Shape:
        try:
            self._file = _unmarked(self._file)
            head = self._file.peek(ARCHIVE_BUFFER_BYTES)
        except UNPACKING_ERRORS as error:
            raise Broken(f"{self._name} cannot be unpacked to its end: {error}") from None
        if head.startswith(_PARQUET):
            return self._seen_parquet()
        begin = head.lstrip()
        if not begin:
            raise RequestRejected("format", f"{self._name} is empty")
        if is_no_text(head[:ARCHIVE_BUFFER_BYTES]):
            raise RequestRejected("format", f"{self._name} is no text: save it as CSV, JSON or Parquet")
        if begin[:1] == b"[":
            return Shape("one JSON array", {})
        if begin[:1] != b"{":
            return self._seen_table(begin)
        first = head.lstrip().partition(b"\n")[0].strip()
        if _BATCH.match(begin) and not _is_json(first):
            return Shape("one batch", {})
        second = begin.partition(b"\n")[2].lstrip()[:1]
        if not _is_json(first) and second in (b'"', b"}"):
            return Shape("JSON objects over several lines", {})
        return Shape("JSON lines", {})

    def _seen_table(self, begin: bytes) -> Shape:
        header = begin.partition(b"\n")[0].decode("utf-8", _CP1252)[:_SNIFFED_CHARS]
        try:
            dialect: type[csv.Dialect] = csv.Sniffer().sniff(header, ",;\t|")
        except csv.Error:
            raise RequestRejected(
                "format", f"{self._name} is none of JSON lines, a JSON array, a batch and a table with a header: "
                f"its first line begins with {header[:40]!r}"
            ) from None
        bounded = _RowLines(self._file)
        self._lines = WatchedLines(bounded.read_line, begin_row=bounded.begin_row)
        self._values_of_rows = csv.reader(self._lines, dialect)
        names = self._header()
        self._watch = QuoteWatch(len(names), dialect=dialect)
        self._read_again = 0
        self._names = told_apart(names)
        columns = self._meant(self._names)
        if twice := repeated([name for name in names if name in columns]):
            raise RequestRejected("map", f'{self._name}: two columns are called "{twice}": rename one of them')
        self.unseen.clear()
        return Shape("a table", columns, unsaid(columns, self._names))

    def _header(self) -> list[str]:
        """The names of a table's columns: its first row that says something."""
        try:
            return next(row for row in self._values_of_rows if any(map(str.strip, row)))
        except (csv.Error, _RowTooLarge) as error:
            what = f"{self._name}:{self._lines.number}: the header of the table cannot be read: {error}"
            raise RequestRejected("format", what) from None

    def _seen_parquet(self) -> Shape:
        if self._name == "stdin":
            raise RequestRejected("format", "a Parquet file is read from a file, not from standard input")
        names, self._rows = rows_of_parquet(Path(self._name))
        columns = self._meant(names)
        self.unseen.clear()
        return Shape("Parquet", columns, unsaid(columns, names))

    def _meant(self, names: list[str]) -> dict[str, str]:
        """What the columns of a table are taken for; raises `RequestRejected` where they do not make an event."""
        columns = completed(self._columns, names)
        self._name_of_all = always(self._columns, names)
        unknown = [name for name in self._columns if name not in (*names, self._name_of_all) and not self._is_now(name)]
        if unknown:
            raise RequestRejected("map", f"{self._name} has no column {unknown[0]!r}; it has {', '.join(names)[:200]}")
        if asked := asked_for(columns):
            listed = ", ".join(names)[:200]
            raise RequestRejected("map", f"{self._name} is a table with the columns {listed}, and {asked}")
        return columns

    def _is_now(self, column: str) -> bool:
        """Whether it was said that all events count as of now."""
        return column == NOW and self._columns[column] == "timestamp"

    def _events(self) -> Iterator[EventLine | Row]:
        match self.shape.name:
            case "JSON lines":
                yield from self._from_lines()
            case "a table":
                yield from self._from_table()
            case "Parquet":
                yield from self._from_parquet()
            case "one batch":
                yield from self._from_values(self._batch_values())
            case "one JSON array":
                yield from self._from_values(self._values(depth=1))
            case _:
                yield from self._from_values(self._values(depth=0))

    def _from_lines(self) -> Iterator[EventLine | Row]:
        number = 0
        while True:
            raw = self._file.readline(ARCHIVE_RECORD_BYTES_MAX + 1)
            if not raw:
                return
            number += 1
            self.last = number
            if len(raw) > ARCHIVE_RECORD_BYTES_MAX:
                self._reject(f"{self._name}:{number}: too_large: a line has at most {ARCHIVE_RECORD_BYTES_MAX} bytes")
                _pass_over(self._file, raw)
                continue
            text = raw.strip()
            if text:
                yield from self._checked(number, text)

    def _checked(self, number: int, text: bytes) -> Iterator[EventLine | Row]:
        """The event in a text, or those of a batch in it."""
        try:
            _any_json(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._reject(f"{self._name}:{number}: malformed: {error}")
            return
        if b'"batch"' in text and (events := batched(text)) is not None:
            for event in events:
                yield self._placed(number, event)
        else:
            yield self._placed(number, text)

    def _placed(self, number: int, text: bytes) -> EventLine | Row:
        named = self._named(text)
        self._begun = True
        return EventLine(number, named) if isinstance(named, bytes) else Row(number, named)

    def _named(self, text: bytes) -> bytes | dict[str, Any]:
        """An event under the specification's names: as it was said which field is which. A bare row of another tool is
        an event as its names say. With nothing said, what has a type is left as it is."""
        if not self._columns and b'"type"' in text and b'"properties"' in text:
            return text
        sent = _decode_any(text)
        if not isinstance(sent, dict) or ("type" in sent and not self._columns):
            return text
        self.unseen -= sent.keys()
        properties = sent.get("properties")
        if isinstance(properties, dict) or sent.get("type") in _TYPES:
            properties = properties if isinstance(properties, dict) else {}
            self.unseen -= properties.keys()
            moved = _moved(sent, properties, self._columns)
            return _encode({"type": "track", **moved} if "event" in moved else moved)
        self._name_of_all = always(self._columns, sent)
        self.unseen.discard(self._name_of_all)
        said = {name: meant for name, meant in self._columns.items() if name in sent or name == self._name_of_all}
        columns = self._timed(completed(said, sent), sent)
        if asked := asked_for(columns):
            if self._begun or not sent:
                return text
            # None of the file has been taken yet, so it can still be read as the caller means it.
            listed = ", ".join(sent)[:200]
            raise RequestRejected("map", f"{self._name} holds objects with the fields {listed}, and {asked}")
        if not self.shape.columns:
            self.shape = self.shape._replace(columns=columns, unsaid=unsaid(columns, sent))
        return event_of(sent, columns, self._name_of_all)

    def _timed(self, columns: dict[str, str], sent: dict[str, Any]) -> dict[str, str]:
        """What the fields of an object are taken for, with the one in which its time stands."""
        if "timestamp" in columns.values() or any(map(self._is_now, self._columns)):
            self.unseen.discard(NOW)
            return columns
        if self._time_column is None:
            self._time_column = "" if self._begun else time_column(columns, [sent], self._name)
        return {**columns, self._time_column: "timestamp"} if self._time_column in sent else columns

    def _from_values(self, values: Iterable[bytes]) -> Iterator[EventLine | Row]:
        for number, text in enumerate(values, start=1):
            self.last = number
            yield from self._checked(number, text)

    def _from_table(self) -> Iterator[EventLine | Row]:
        columns = completed(self._columns, self._names)
        ids = {place: name for place, name in enumerate(self._names) if columns.get(name, name) in IDS_OF_EVENTS}
        rows = with_whole_ids(self._rows_of_table(), ids, self.notes)
        named = ((number, dict(zip(self._names, values, strict=False))) for number, values in rows)
        yield from self._from_rows(named)

    def _from_rows(self, rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Row]:
        """Rows as events, once it is known by the first of them which column says when it was."""
        first = list(islice(rows, ROWS_PEEKED_MAX))
        self._find_time([row for _, row in first])
        for number, row in chain(first, rows):
            yield Row(number, event_of(row, self.shape.columns, self._name_of_all))

    def _find_time(self, rows: list[dict[str, Any]]) -> None:
        """Of rows of which no column is called so: the one in which their times stand."""
        columns = self.shape.columns
        if not rows or "timestamp" in columns.values():
            return
        found = time_column(columns, rows, self._name)
        if found:
            columns = {**columns, found: "timestamp"}
            self.shape = self.shape._replace(columns=columns, unsaid=unsaid(columns, rows[0]))

    def _rows_of_table(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            self._lines.begin_row()
            try:
                values = next(self._values_of_rows, None)
            except csv.Error as error:
                self._reject_row(f"malformed: {error}")
                continue
            except _RowTooLarge as error:
                self._reject_row(f"too_large: {error}")
                continue
            if values is None:
                return
            if self._lines.ended or self._watch.holds_rows(self._lines.row):
                self._reject_swallowing()
                continue
            if len(self._lines.row) == 1:
                self._watch.pass_row(values)
            self.last = self._lines.number
            if len(values) > len(self._names):
                self._reject_row("malformed: the row has more fields than the header")
                continue
            if values:
                yield self._lines.number, values

    def _reject_row(self, reason: str) -> None:
        """Name the row that ends with the line read last."""
        self.last = self._lines.number
        self._reject(f"{self._name}:{self._lines.number}: {reason}")

    def _reject_swallowing(self) -> None:
        """Name a line whose quote takes in the rows behind it, which are read by themselves then, so often."""
        first, last = self._lines.number - len(self._lines.row) + 1, self._lines.number
        told = f"{self._name}:{first}: malformed: {UNCLOSED}"
        if self._read_again < FEED_QUOTES_MAX and self._watch.holds_rows(self._lines.row, broken=True):
            self._read_again += 1
            self._lines.read_again()
            self.last = first
            self._reject(f"{told}: the line is left out")
        else:
            self.last = last
            self._reject(f"{told}; what stands from there to line {last} is left out")

    def _from_parquet(self) -> Iterator[Row]:
        yield from self._from_rows(self._rows_of_parquet())

    def _rows_of_parquet(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, row in enumerate(self._rows, start=1):
            if isinstance(row, BrokenFile):
                raise Broken(f"{self._name}: behind row {number - 1} {row.reason}")
            self.last = number
            yield number, row

    def _batch_values(self) -> Iterator[bytes]:
        match = _BATCH.match(self._file.peek(ARCHIVE_BUFFER_BYTES))
        assert match is not None, "that is how its shape was seen"
        self._file.read(match.end() - 1)
        yield from self._values(depth=1)

    def _values(self, *, depth: int) -> Iterator[bytes]:
        """The objects at this depth of brackets, as they stand; what is no object is passed over and named."""
        buffer, at, level, begin = b"", 0, 0, -1
        while True:
            match = _STRUCTURE.search(buffer, at)
            if match is None or match[0] == b'"':
                end = None if match is None else _STRING_END.match(buffer, match.end())
                if end is not None:
                    at = end.end()
                    continue
                keep = begin if begin >= 0 else (match.start() if match is not None else len(buffer))
                if len(buffer) - keep > ARCHIVE_RECORD_BYTES_MAX:
                    reason = f"{self._name}: event {self.last + 1} has more than {ARCHIVE_RECORD_BYTES_MAX} bytes"
                    raise RequestRejected("too_large", reason)
                more = self._file.read1(ARCHIVE_BUFFER_BYTES)
                if not more:
                    if begin >= 0 or level > 0:
                        self._reject(f"{self._name}: malformed: the file ends within its event {self.last + 1}")
                    return
                at = (match.start() if match is not None else len(buffer)) - keep
                buffer = buffer[keep:] + more
                begin = 0 if begin >= 0 else -1
                continue
            at = match.end()
            if match[0] in b"{[":
                if level == depth and match[0] == b"{":
                    begin = match.start()
                level += 1
            else:
                level -= 1
                if level == depth and begin >= 0:
                    yield buffer[begin:at]
                    begin = -1
                elif level < depth:
                    return


class _RowTooLarge(Exception):
    """A row of a table has more bytes than one event may have in a file."""


class _RowLines:
    """The lines of a table, one row after the other, so much of it in memory as one row may take."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._row_bytes = 0

    def begin_row(self) -> None:
        """What is read from here on belongs to another row."""
        self._row_bytes = 0

    def read_line(self) -> str:
        """The next line; raises `StopIteration` or `_RowTooLarge`."""
        raw = self._file.readline(ARCHIVE_RECORD_BYTES_MAX - self._row_bytes + 1)
        if not raw:
            raise StopIteration
        self._row_bytes += len(raw)
        if self._row_bytes > ARCHIVE_RECORD_BYTES_MAX:
            _pass_over(self._file, raw)
            raise _RowTooLarge(f"a row has at most {ARCHIVE_RECORD_BYTES_MAX} bytes; is a quote in it not closed?")
        return raw.decode("utf-8", _CP1252)


@contextlib.contextmanager
def opened_archive(name: str, reject: Rejected, columns: dict[str, str] | None = None) -> Iterator[Archive]:
    """The events of a file, `-` for standard input. `reject` gets a sentence for each line that holds none."""
    with opened(name) as file:
        yield Archive(name, file, reject, columns or {})


@contextlib.contextmanager
def opened(name: str) -> Iterator[BufferedReader]:
    """A file unpacked, whatever it is called; `-` is standard input."""
    with contextlib.ExitStack() as stack:
        if name == STDIN:
            plain = cast(BufferedReader, sys.stdin.buffer)
        else:
            plain = cast(BufferedReader, stack.enter_context(Path(name).open("rb", buffering=ARCHIVE_BUFFER_BYTES)))
        if plain.peek(2)[:2] == _GZIP:
            packed = cast(Any, gzip.GzipFile(fileobj=plain, mode="rb"))
            plain = BufferedReader(packed, ARCHIVE_BUFFER_BYTES)
            stack.callback(plain.close)
        elif plain.peek(6).startswith(_OTHERWISE_PACKED):
            plain = BufferedReader(_unpacked(name, plain, stack), ARCHIVE_BUFFER_BYTES)
        yield plain if (encoding := _wide(plain)) is None else BufferedReader(_InUtf8(plain, encoding))


def _unpacked(name: str, plain: BufferedReader, closing: contextlib.ExitStack) -> RawIOBase:
    try:
        return unpacked(plain if name == STDIN else Path(name), closing)
    except RequestRejected as error:
        raise RequestRejected(error.code, f"{name}: {error.message}") from None


def _wide(plain: BufferedReader) -> str | None:
    """The encoding of text in more than a byte a sign, None for all other files."""
    try:
        head = plain.peek(ARCHIVE_BUFFER_BYTES)[:_HEAD_BYTES]
    except UNPACKING_ERRORS:
        return None  # Told where the file is read.
    encoding = "" if head.startswith(_PARQUET) else encoding_of(head)[0]
    return encoding if encoding.startswith(("utf-16", "utf-32")) else None


class _InUtf8(RawIOBase):
    """A stream of another encoding, as UTF-8."""

    def __init__(self, stream: BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            some = self._stream.read1(ARCHIVE_BUFFER_BYTES)
            self._left = self._decoder.decode(some, not some).encode()
            if not some:
                break
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


class Identity(NamedTuple):
    """What a file holds, as a name for the import of it."""

    id: str
    size_bytes: int
    began_as: str = ""
    """One of the ids asked about, of what the file begins with; "" for none."""


def identity_of(name: str, known: dict[int, str]) -> Identity:
    """The identity of a file's content, unpacked; `known` are ids of former imports by their size. Reads it once."""
    digest, size, began_as = hashlib.blake2b(digest_size=_ID_HEX // 2), 0, ""
    sizes = sorted(known)
    try:
        with opened(name) as file:
            while True:
                until = next((one for one in sizes if one > size), size + ARCHIVE_BUFFER_BYTES)
                some = file.read(min(ARCHIVE_BUFFER_BYTES, until - size))
                if not some:
                    break
                digest.update(some)
                size += len(some)
                if size in known and digest.hexdigest() == known[size]:
                    began_as = known[size]
    except UNPACKING_ERRORS as error:
        raise Broken(f"{name} cannot be unpacked to its end: {error}") from None
    own = digest.hexdigest()
    return Identity(own, size, "" if began_as == own else began_as)


def named_identity(name: str) -> Identity:
    """An identity by a name of the caller's, for what cannot be read twice."""
    return Identity(hashlib.blake2b(name.encode(), digest_size=_ID_HEX // 2, person=b"named").hexdigest(), 0)


def batched(text: bytes) -> Iterator[bytes] | None:
    """The events of a batch as it is sent, each with what the batch says for all; None for what is no batch.

    One after another: together they may be thousands of times as large as the batch.

    >>> list(batched(b'{"batch": [{"type": "page"}], "sentAt": "2024-01-01T00:00:00Z", "context": {"locale": "de"}}'))
    [b'{"sentAt":"2024-01-01T00:00:00Z","type":"page","context":{"locale":"de"}}']
    """
    whole = _decode_any(text)
    if not isinstance(whole, dict) or not isinstance(whole.get("batch"), list) or "event" in whole:
        return None
    return (_encode(_with_shared(event, whole.get("sentAt"), whole.get("context"))) for event in whole["batch"])


def _with_shared(event: Any, sent_at: Any, context: Any) -> Any:
    """An event of a batch with what the batch says for all; what is no object is left as it is."""
    if not isinstance(event, dict):
        return event
    told = {**({"sentAt": sent_at} if sent_at is not None else {}), **event}
    if isinstance(context, dict) and isinstance(event.get("context", {}), dict):
        told["context"] = {**context, **event.get("context", {})}
    return told


def as_history(text: bytes) -> bytes:
    """An event whose timestamp stands as it was sent: nothing is left by which a clock could be put right."""
    event = _decode_any(text)
    if not isinstance(event, dict):
        return text
    for name in ("sentAt", "receivedAt"):
        event.pop(name, None)
    if event.get("timestamp") is None and event.get("originalTimestamp") is not None:
        event["timestamp"] = event["originalTimestamp"]
    return _encode(event)


def _moved(sent: dict[str, Any], properties: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """An event with fields, of its own or among its properties, under the names that they were said to have."""
    event, properties = dict(sent), dict(properties)
    for column, meant in columns.items():
        holder = event if column in event else properties
        if column in holder:
            value = holder.pop(column)
            (event if meant in TOP else properties)[meant] = value
    return {**event, "properties": properties}


def _in_cp1252(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-8 read as the Windows code page has them, as feeds are."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(_CP1252, _in_cp1252)


def _decode_any(text: bytes) -> Any:
    """What a text says; None where it is no JSON or no Unicode all through, of which the door tells what is wrong."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_json(text: bytes) -> bool:
    try:
        _any_json(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _pass_over(file: BufferedReader, raw: bytes) -> None:
    """Leave out the rest of a line of which some has been read."""
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(ARCHIVE_BUFFER_BYTES)


def _unmarked(file: BufferedReader) -> BufferedReader:
    if file.peek(3)[:3] == _MARK:
        file.read(3)
    return file
