"""Files of events, whatever shape they have: read in pieces, one event at a time, with the number of its line.

NDJSON, one array, batches as they are sent to `/v1/batch` (one, or one a line), and tables of comma, semicolon or tab
separated values. Which it is is seen from the content, not from the name; gzip and a byte order mark are taken off.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import hashlib
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec

from ..events.kinds import NAME_BY_TYPE
from ..foundation.errors import Broken, RequestRejected
from ..foundation.limits import ARCHIVE_BUFFER_BYTES, ARCHIVE_RECORD_BYTES_MAX, EVENT_BYTES_MAX

STDIN: Final = "-"
_MARK: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_STRING_END: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BATCH: Final = re.compile(rb'\s*\{\s*"batch"\s*:\s*\[')
_ID_HEX: Final = 32
_SNIFFED_CHARS: Final = 4_096
"""Of a table's header, what its separator is told by: telling it takes time by the square of that."""

_any_json = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode

COLUMNS: Final = {
    "event": ("event", "event_name", "event_type", "eventname", "action", "behavior", "behaviour", "activity", "verb",
              "aktion", "ereignis", "type", "name"),
    "userId": ("userid", "user", "customerid", "customer", "memberid", "accountid", "personid", "customernumber",
               "kundennummer", "kundennr", "kundenid", "kunde", "nutzer", "benutzer"),
    "anonymousId": ("anonymousid", "visitorid", "userpseudoid", "clientid", "deviceid", "cookieid", "sessionid",
                    "usersession", "visitor", "session", "besucherid", "besucher"),
    "timestamp": ("timestamp", "time", "eventtime", "ts", "datetime", "date", "createdat", "occurredat", "at",
                  "happenedat", "eventtimestamp", "timestampms", "timestampmicros", "eventdate", "zeitpunkt",
                  "zeitstempel", "datum", "zeit", "originaltimestamp", "sentat", "receivedat"),
    "messageId": ("messageid", "eventid", "id", "uuid"),
    "product_id": ("productid", "itemid", "item", "product", "articleid", "contentid", "sku", "isbn", "movieid",
                   "articlenumber", "artikelnummer", "artikelnr", "artikelid", "artikel", "produktid", "produkt"),
    "order_id": ("orderid", "transactionid", "bestellnummer", "bestellnr"),
    "price": ("unitprice", "itemprice", "preis", "einzelpreis"),
    "quantity": ("qty", "menge", "anzahl"),
}  # fmt: skip
"""What a column of a table is taken for, by its name without case and separators; the first of these that is there."""
_TOP: Final = ("event", "userId", "anonymousId", "timestamp", "messageId")
_AS_THEY_ARE: Final = ("price", "quantity")
"""Properties that need no column of another name where there is one of theirs."""
_ITEMS: Final = ("products", "items", "line_items", "contents")
"""Columns that hold lists of items."""
_ASKED: Final = {
    "the event's name": "--map event=COLUMN",
    "who it was": "--map userId=COLUMN (or anonymousId=COLUMN)",
}
_TYPES: Final = ("track", *NAME_BY_TYPE)
_CP1252: Final = "instanter.cp1252"


class Line(NamedTuple):
    """One event of a file, as JSON."""

    number: int
    """Of its line; higher where lines before it hold several events. No two have the same."""
    text: bytes


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
        self.unseen = set(self._columns)
        """Columns of which something was said and that no object has had yet."""
        self.shape = self._seen()
        self.last = 0
        """The number of the last event or line so far."""
        self._given = 0
        """The number of the last event."""

    def __iter__(self) -> Iterator[Line]:
        try:
            for number, text in self._events():
                self._given = max(number, self._given + 1)
                self.last = max(self.last, self._given)
                yield Line(self._given, text)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Broken(f"{self._name} cannot be unpacked to its end: {error}") from None

    def _seen(self) -> Shape:
        try:
            self._file = _unmarked(self._file)
            head = self._file.peek(ARCHIVE_BUFFER_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Broken(f"{self._name} cannot be unpacked to its end: {error}") from None
        begin = head.lstrip()
        if begin[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in head[:64]:
            raise RequestRejected(
                "format", f"{self._name} is not UTF-8 text: it looks like UTF-16 or a binary file; convert it first"
            )
        if begin[:1] == b"[":
            return Shape("one JSON array", {})
        if begin[:1] != b"{" and begin:
            return self._seen_table(begin)
        first = head.lstrip().partition(b"\n")[0].strip()
        if _BATCH.match(begin) and not _is_json(first):
            return Shape("one batch", {})
        second = begin.partition(b"\n")[2].lstrip()[:1]
        if begin and not _is_json(first) and second in (b'"', b"}"):
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
        self._lines = _RowLines(self._file)
        self._rows = csv.reader(self._lines, dialect)
        self._names = names = self._header()
        columns = completed(self._columns, names)
        unknown = [name for name in self._columns if name not in names]
        if unknown:
            raise RequestRejected("map", f"{self._name} has no column {unknown[0]!r}; it has {', '.join(names)[:200]}")
        if lacking := _lacking(columns):
            raise RequestRejected(
                "map", f"{self._name} is a table with the columns {', '.join(names)[:200]}, and none of them says "
                f"{' and '.join(lacking)}: say which does, {' '.join(map(_ASKED.__getitem__, lacking))}"
            )
        self.unseen.clear()
        return Shape("a table", columns, unsaid(columns, names))

    def _header(self) -> list[str]:
        """The names of a table's columns: its first row that says something."""
        try:
            return next(row for row in self._rows if any(map(str.strip, row)))
        except (csv.Error, _RowTooLarge) as error:
            what = f"{self._name}:{self._lines.number}: the header of the table cannot be read: {error}"
            raise RequestRejected("format", what) from None

    def _events(self) -> Iterator[Line]:
        match self.shape.name:
            case "JSON lines":
                yield from self._from_lines()
            case "a table":
                yield from self._from_table()
            case "one batch":
                yield from self._from_values(self._batch_values())
            case "one JSON array":
                yield from self._from_values(self._values(depth=1))
            case _:
                yield from self._from_values(self._values(depth=0))

    def _from_lines(self) -> Iterator[Line]:
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

    def _checked(self, number: int, text: bytes) -> Iterator[Line]:
        """The event in a text, or those of a batch in it."""
        try:
            _any_json(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._reject(f"{self._name}:{number}: malformed: {error}")
            return
        if b'"batch"' in text and (events := batched(text)) is not None:
            for event in events:
                yield Line(number, self._named(event))
        else:
            yield Line(number, self._named(text))

    def _named(self, text: bytes) -> bytes:
        """An event under the specification's names: as it was said which field is which, and a bare row of another
        tool as its names say. With nothing said, what has a type is left as it is."""
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
        columns = completed({column: meant for column, meant in self._columns.items() if column in sent}, sent)
        if _lacking(columns):
            return text
        if not self.shape.columns:
            self.shape = self.shape._replace(columns=columns, unsaid=unsaid(columns, sent))
        return _encode(event_of(sent, columns))

    def _from_values(self, values: Iterable[bytes]) -> Iterator[Line]:
        for number, text in enumerate(values, start=1):
            self.last = number
            yield from self._checked(number, text)

    def _from_table(self) -> Iterator[Line]:
        while True:
            self._lines.begin_row()
            try:
                values = next(self._rows, None)
            except csv.Error as error:
                self._reject_row(f"malformed: {error}")
                continue
            except _RowTooLarge as error:
                self._reject_row(f"too_large: {error}")
                continue
            if values is None:
                return
            self.last = self._lines.number
            if len(values) > len(self._names):
                self._reject_row("malformed: the row has more fields than the header")
                continue
            event = _encode(event_of(dict(zip(self._names, values, strict=False)), self.shape.columns))
            if len(event) > EVENT_BYTES_MAX:
                self._reject_row(f"too_large: an event has at most {EVENT_BYTES_MAX} bytes")
            elif values:
                yield Line(self._lines.number, event)

    def _reject_row(self, reason: str) -> None:
        """Name the row that ends with the line read last."""
        self.last = self._lines.number
        self._reject(f"{self._name}:{self._lines.number}: {reason}")

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
        self.number = 0
        """Of the line read last."""

    def begin_row(self) -> None:
        """What is read from here on belongs to another row."""
        self._row_bytes = 0

    def __iter__(self) -> _RowLines:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(ARCHIVE_RECORD_BYTES_MAX - self._row_bytes + 1)
        if not raw:
            raise StopIteration
        self.number += 1
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
        yield plain


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
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
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


def guessed(names: Iterable[str]) -> dict[str, str]:
    """What the columns of a table are taken for, by column.

    >>> guessed(["Event Type", "customer", "visitor_id", "price"])
    {'Event Type': 'event', 'customer': 'userId', 'visitor_id': 'anonymousId'}
    """
    names = list(names)
    by_spelling = {re.sub(r"[\W_]", "", name).casefold(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for meant, spellings in COLUMNS.items():
        if meant in _AS_THEY_ARE and meant in names:
            continue
        plain = [one.replace("_", "") for one in spellings]
        column = next((by_spelling[one] for one in plain if one in by_spelling and by_spelling[one] not in found), None)
        if column is not None:
            found[column] = meant
    return found


def completed(said: dict[str, str], names: Iterable[str]) -> dict[str, str]:
    """What columns are taken for: as it was said, and for what nothing was said as their names say.

    >>> completed({"label": "event"}, ["label", "event", "user"])
    {'user': 'userId', 'label': 'event'}
    """
    meant = set(said.values())
    found = {column: what for column, what in guessed(names).items() if what not in meant and column not in said}
    return {**found, **said}


def unsaid(columns: dict[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """What no column of a table says and is missed afterwards, in sentences with the remedy."""
    meant = {*columns.values(), *names}
    sentences = []
    if "timestamp" not in columns.values():
        sentences.append("no column says when it was, so all of them count as of now: --map timestamp=COLUMN")
    if "product_id" not in meant and not meant & set(_ITEMS):
        sentences.append("no column says which item it was about: --map product_id=COLUMN")
    return tuple(sentences)


def event_of(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """A row of a table as an event: what no column is taken for is a property, and what is empty is not there."""
    event: dict[str, Any] = {"type": "track"}
    properties: dict[str, Any] = {}
    for column, value in row.items():
        if value is None or value == "":
            continue
        meant = columns.get(column)
        if meant is None:
            properties.setdefault(column, value)
        elif meant in _TOP:
            is_number = meant == "timestamp" and isinstance(value, str) and value.isascii() and value.isdigit()
            event[meant] = int(value) if is_number else value
        else:
            properties[meant] = value
    return {**event, "properties": properties}


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
            (event if meant in _TOP else properties)[meant] = value
    return {**event, "properties": properties}


def _lacking(columns: dict[str, str]) -> list[str]:
    """What an event has to say and no column does."""
    meant = set(columns.values())
    name, person = _ASKED
    return [name] * ("event" not in meant) + [person] * (not meant & {"userId", "anonymousId"})


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
