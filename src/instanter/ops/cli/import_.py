"""`instanter import`: items and events from files, through the same door as everything else."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import msgspec

from ...engine.stocktaking import one_group
from ...events.items import FIELDS_MEANT, GROUP
from ...events.kinds import KNOWN
from ...events.nearest import likely_name, mapping_line
from ...events.notes import UNHEARD
from ...events.nothing import names_no_group
from ...foundation.disk import RealDisk
from ...foundation.errors import RateLimited, RequestRejected, Unavailable
from ...foundation.limits import BATCH_SENT_BYTES_MAX, BODY_BYTES_MAX, FEED_GROUPS_MAX
from ..archives import STDIN, Identity, as_history, identity_of, named_identity, opened_archive
from ..child import running_server
from ..config import load
from ..datadir import DataDirectory
from ..event_rows import EventLine
from ..feeds.reading import Feed, Problem, read_items
from ..master import MADE_NAME
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .progress import records_progress

EVENTS_PER_PIECE: Final = 500
ITEMS_PER_BATCH: Final = 500
REJECTIONS_SHOWN: Final = 10
TRIES_MAX: Final = 60
"""How often a batch that came too soon, or while the server was away, is sent again."""
NAMES_SHOWN: Final = 20
_ENVELOPE_BYTES: Final = 1_024
_LINE_BYTES: Final = 20
_FELT: Final = ("category", "price")
"""Fields of items that most built-in features read."""
_READ: Final = frozenset({"title", "brand", "link", "image_link", "description", *FIELDS_MEANT.values()})
_OTHERS_SHOWN: Final = 8
_ID_SHOWN: Final = 40
_FIELDS_SEEN_MAX: Final = 200
"""The number of a line, beside its event."""

T = TypeVar("T")
Told = Callable[[int, int], None] | None


class NameReport(msgspec.Struct):
    """What became of the events of one name."""

    event: str
    taken: int = 0
    heard: bool = True
    duplicates: int = 0
    late: int = 0
    looks_like: str = ""
    """The known name that one which nobody hears looks most like."""


class WarningReport(msgspec.Struct):
    """What so many events of one name had the same to be said about."""

    event: str
    code: str
    message: str
    count: int = 0


class ImportReport(msgspec.Struct):
    """What `instanter import` did, and what was understood of it."""

    items: int = 0
    feed: str = ""
    """What the file of items was read as."""
    deleted: int = 0
    """Items that a replaced catalogue does not have any more."""
    item_remarks: list[str] = []
    """What of the items has no effect, the first sentences of it."""
    events: int = 0
    repeated: int = 0
    """Lines that an import of the same file had taken before."""
    rejected: int = 0
    """Items, events and lines that were not taken."""
    first_rejections: list[str] = []
    quarantined: int = 0
    """Those of them that the server keeps."""
    position: str = ""
    shape: str = ""
    """What the file of events was taken for, and of a table its columns."""
    columns: dict[str, str] = {}
    unsaid: list[str] = []
    """What no column says and is missed, in sentences."""
    import_id: str = ""
    finished_before: str = ""
    """When this very file was imported before, where there was nothing new in it."""
    continued: bool = False
    """Whether it went on from an import that broke off, or of what the file began with."""
    names: list[NameReport] = []
    warnings: list[WarningReport] = []
    mapping: list[str] = []
    """Lines for `[events.names]` in the configuration, one for each name that nobody hears and that looks like one."""
    quarantine: str = ""
    """The command that shows what the server keeps of what was not taken."""
    remap: str = ""
    """The command that tells kept events again once they are mapped."""
    notes: list[str] = []
    """What else there is to know."""

    def reject(self, what: str) -> None:
        """Count one, and keep the first ones' words."""
        self.rejected += 1
        if len(self.first_rejections) < REJECTIONS_SHOWN:
            self.first_rejections.append(what)


class _Rejection(msgspec.Struct, rename="camel"):
    message_id: str
    code: str
    message: str
    index: int = 0


class _RejectedItem(msgspec.Struct):
    index: int
    code: str
    message: str


class _ItemWarning(msgspec.Struct):
    items: int
    message: str
    ids: list[str] = []


class _ItemsReply(msgspec.Struct):
    accepted: int
    position: str
    rejected: list[_RejectedItem] = []
    warnings: list[_ItemWarning] = []
    replace: str = ""
    deleted: int = 0


class _Name(msgspec.Struct):
    event: str
    taken: int
    heard: bool
    duplicates: int
    late: int


class _Warning(msgspec.Struct):
    code: str
    event: str
    count: int
    message: str


class _PieceReply(msgspec.Struct, rename="camel"):
    accepted: int
    repeated: int
    rejected: list[_Rejection]
    position: str
    taken: int
    finished: bool
    events: list[_Name]
    warnings: list[_Warning]


class _Known(msgspec.Struct, rename="camel"):
    id: str
    begun_at: str
    newest_at: str
    taken: int
    size_bytes: int
    finished: bool


class _Listing(msgspec.Struct):
    imports: list[_Known]
    heard: list[str]


class _Piece(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    lines: list[int]
    through: int
    of: int
    size_bytes: int
    continues: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter import`."""
    parser.description = (
        "Import items and events. Items: a feed of any usual kind. Events: JSON lines in the shapes of\n"
        "the tracking routes, one JSON array, batches, or a table with a header (CSV, TSV); which it is is seen from\n"
        "the content, and gzip is unpacked. `-` is standard input. Sends to a running server (--url), or opens the\n"
        "data directory itself. Says what was understood, by event name. What is not fit is left out and reported;\n"
        "exit code 1 then. An import that broke off is run again: each line counts once.")
    parser.epilog = (
        "examples:\n  instanter import --config shop/instanter.toml --data shop/data --items items.ndjson\n"
        "  instanter import --url http://127.0.0.1:8080 --items feed.xml --replace\n"
        "  instanter import --url http://127.0.0.1:8080 --events -\n"
        "  instanter import --config shop/instanter.toml --data shop/data --events 2023.json.gz --history")
    add_config(parser)
    add_data(parser)
    parser.add_argument("--url", metavar="U", help="a running server; without it --data is opened")
    add_key(parser)
    parser.add_argument("--items", metavar="FILE", help="items: CSV, TSV, JSON, Parquet, Google Merchant, Shopify")
    parser.add_argument("--replace", action="store_true",
                        help="items: the file is the whole catalogue, and what it does not name is deleted")
    parser.add_argument("--force", action="store_true",
                        help="with --replace: also if more than half would be deleted, or items had no id")
    parser.add_argument("--events", metavar="FILE", help="events, oldest first")
    parser.add_argument("--history", action="store_true",
                        help="events: the timestamp stands as it was sent, whatever sentAt and receivedAt say")
    parser.add_argument("--map", action="append", default=[], metavar="FIELD=COLUMN",
                        help="which column is a field: id, title, price ... of items; event, userId, anonymousId, "
                             "timestamp, messageId or a property of events; others are guessed by their names")
    parser.add_argument("--id", default="", metavar="NAME",
                        help="events from standard input: a name of your own, so that the import can be run again")


def run(arguments: argparse.Namespace) -> int:
    """Import, and report; exit code 1 if anything was rejected."""
    if not arguments.items and not arguments.events:
        raise RequestRejected("nothing", "say what to import: --items FILE, --events FILE or both")
    if arguments.items == arguments.events == STDIN:
        raise RequestRejected("nothing", "standard input can be the items or the events, not both")
    if _columns(arguments) and arguments.items and arguments.events:
        raise RequestRejected("map", "--map is for one file: import items and events one after the other")
    if (arguments.replace and not arguments.items) or (arguments.force and not arguments.replace):
        raise RequestRejected("replace", "--replace is for --items, and --force for --replace")
    if (arguments.history or arguments.id) and not arguments.events:
        raise RequestRejected("history", "--history and --id are for --events")
    for name in (arguments.items, arguments.events):
        if name and name != STDIN:
            Path(name).open("rb").close()
    if arguments.url:
        report = _import(arguments, arguments.url, key=arguments.key)
    else:
        report = _import_into_directory(arguments)
    print(msgspec.json.encode(report).decode() if arguments.json else _in_words(report))
    return 1 if report.rejected else 0


def _columns(arguments: argparse.Namespace) -> dict[str, str]:
    """What the columns of a table are said to be, by column."""
    columns: dict[str, str] = {}
    for pair in arguments.map:
        meant, equals, column = pair.partition("=")
        if not (meant and equals and column):
            raise RequestRejected("map", f"--map takes FIELD=COLUMN, as in --map event=action, not {pair!r}")
        columns[column] = meant
    return columns


def _import_into_directory(arguments: argparse.Namespace) -> ImportReport:
    """Serve the directory for as long as it takes."""
    config = load(arguments.config)
    made = DataDirectory(RealDisk(), arguments.data, keys=config.privacy.keys).keys / MADE_NAME
    there = made.exists()
    with running_server(arguments.data, config=arguments.config) as server:
        report = _import(arguments, server.url)
    if not there and made.exists():
        report.notes.append(
            f"a master key was made, {made}: every command opens this directory with it; it lies beside what it "
            "protects, which is good for trying out only")
    return report


def _import(arguments: argparse.Namespace, url: str, *, key: str = "") -> ImportReport:
    report = ImportReport()
    connection = Connection(url, key=key)
    with contextlib.closing(connection):
        if arguments.items:
            with records_progress("items", quiet=arguments.json) as told:
                _import_items(connection, arguments, report, told)
        if arguments.events:
            with records_progress("events", quiet=arguments.json) as told:
                _import_events(connection, arguments, report, told)
    return report


# Items.


def _import_items(connection: Connection, arguments: argparse.Namespace, report: ImportReport, told: Told) -> None:
    """Send the items of a file of any kind; with --replace what it does not name is deleted once all are there."""
    source = sys.stdin.buffer if arguments.items == STDIN else Path(arguments.items)
    columns = {meant: column for column, meant in _columns(arguments).items()}
    with _opened_feed(source, columns) as feed:
        report.feed = feed.format
        path = "/v1/items"
        if arguments.replace:
            begun = _patiently(lambda: connection.call("POST", "/v1/items?replace=begin", reply=_ItemsReply))
            path = f"/v1/items?replace={begun.replace}"
        seen = _Seen()
        for batch in _item_batches(feed, arguments.items, report, seen):
            _send_fit_items(connection, path, batch, report)
            if told is not None:
                told(report.items, 0)
        report.item_remarks += [*feed.notes, *_missing(seen.fields)]
        if sentence := one_group(seen.groups, seen.items):
            report.item_remarks.append(sentence)
        if not report.items and not report.rejected:
            report.notes.append(f"{arguments.items} has no items")
        if arguments.replace and not feed.broken:
            force = "&force=true" if arguments.force else ""
            try:
                done = _patiently(lambda: connection.call("POST", f"{path}&commit=true{force}", reply=_ItemsReply))
                report.deleted, report.position = done.deleted, done.position
            except RequestRejected as error:
                if error.status != 409:
                    raise
                report.reject(f"the catalogue was not replaced: {error}; --force says that it is meant")
        elif arguments.replace:
            report.notes.append(f"nothing was deleted from the catalogue: {feed.broken}")


def _opened_feed(source: Path | BinaryIO, columns: dict[str, str]) -> Feed:
    try:
        return read_items(source, columns=columns)
    except RequestRejected as error:
        name = source if isinstance(source, Path) else "stdin"
        raise RequestRejected(error.code, f"{name}: {error.message}") from None


class _PlacedItem(NamedTuple):
    place: str
    text: bytes


def _missing(fields: dict[str, None]) -> list[str]:
    """What built-in features read of items and none of a feed has, in a sentence.

    >>> _missing({"title": None, "category": None, "Betrag": None})
    ['no item has a price, and what is learned of it stays empty; --map price=COLUMN says which column it is (Betrag)']
    """
    missing = [name for name in _FELT if name not in fields]
    others = [_printable(name)[:40] for name in fields if name not in _READ and name not in _FELT][:_OTHERS_SHOWN]
    if not missing or not others:
        return []
    said = " ".join(f"--map {name}=COLUMN" for name in missing)
    return [f"no item has a {' or a '.join(missing)}, and what is learned of it stays empty; {said} says which "
            f"column it is ({', '.join(others)})"]


class _Seen:
    """What the items of a feed have together."""

    def __init__(self) -> None:
        self.fields = dict[str, None]()
        """Their names, so many."""
        self.groups = Counter[str]()
        """Items of each group, so many of them."""
        self.items = 0

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take notice of an item's fields."""
        self.items += 1
        for field in fields:
            if field not in self.fields and (len(self.fields) < _FIELDS_SEEN_MAX or field in _FELT):
                self.fields[field] = None
        group = fields.get(GROUP)
        if not names_no_group(group) and ((name := str(group)) in self.groups or len(self.groups) < FEED_GROUPS_MAX):
            self.groups[name] += 1


def _item_batches(feed: Feed, name: str, report: ImportReport, seen: _Seen) -> Iterator[list[_PlacedItem]]:
    """Items in batches that fit into one request; what is none is rejected with its place. `seen` gets all of them."""
    batch: list[_PlacedItem] = []
    size_bytes = 0
    for place, found in feed:
        if isinstance(found, Problem):
            report.reject(f"{name}: {place}: {found.reason}")
            continue
        seen.add(found.fields)
        text = msgspec.json.encode({"id": found.id, "fields": found.fields})
        if batch and (len(batch) == ITEMS_PER_BATCH or size_bytes + len(text) + _ENVELOPE_BYTES > BODY_BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(_PlacedItem(place, text))
        size_bytes += len(text) + 1
    if batch:
        yield batch


def _send_fit_items(connection: Connection, path: str, batch: list[_PlacedItem], report: ImportReport) -> None:
    """Send items; a batch of which none fits is refused whole, and halved until each has its reason."""
    body = msgspec.Raw(b'{"items":[' + b",".join(item.text for item in batch) + b"]}")
    try:
        reply = _patiently(lambda: connection.call("POST", path, body, reply=_ItemsReply))
    except RequestRejected as error:
        if error.status in (401, 403, 404):
            raise
        if len(batch) == 1:
            report.reject(f"item in {batch[0].place}: {error.code}: {_without_route(error)}")
            return
        half = len(batch) // 2
        _send_fit_items(connection, path, batch[:half], report)
        _send_fit_items(connection, path, batch[half:], report)
        return
    report.items += reply.accepted
    report.position = reply.position
    for rejected in reply.rejected:
        report.reject(f"item in {batch[rejected.index].place}: {rejected.code}: {rejected.message}")
    for warned in reply.warnings:
        which = f" (such as {_printable(warned.ids[0])[:_ID_SHOWN]})" if warned.ids else ""
        remark = f"{warned.items:,} item{'s' * (warned.items > 1)}{which}: {warned.message}"
        if len(report.item_remarks) < REJECTIONS_SHOWN and remark not in report.item_remarks:
            report.item_remarks.append(remark)


def _without_route(error: RequestRejected) -> str:
    """What a server said, without where it was asked.

    >>> _without_route(RequestRejected("schema", "POST /v1/items: 400 the price is below 0", status=400))
    'the price is below 0'
    """
    return error.message.partition(f": {error.status} ")[2] or error.message


# Events.


class _Sending:
    """An import of events on its way."""

    def __init__(
        self, connection: Connection, report: ImportReport, identity: Identity | None, *, file: str, taken: int,
        patient: bool,
    ) -> None:  # fmt: skip
        """`file` is what the file is called; `patient`: a server that is away for a while is waited for."""
        self._connection = connection
        self._report = report
        self._file = file
        self._identity = identity
        self._patient = patient and identity is not None
        self._taken = taken
        """Lines that need not be sent: they are known to be taken."""
        self._names: dict[str, NameReport] = {}
        self._warnings: dict[tuple[str, str, str], WarningReport] = {}
        self.told: Told = None

    def send(self, archive: Iterable[EventLine], *, history: bool) -> None:
        """Send what is not taken yet, piece by piece."""
        for piece in _pieces(self._fresh(archive), per_piece=EVENTS_PER_PIECE):
            texts = [as_history(line.text) for line in piece] if history else [line.text for line in piece]
            self._send(piece, texts)
            if self.told is not None:
                self.told(self._report.events + self._report.repeated, 0)

    def end(self, last: int) -> None:
        """Say that all lines up to the last one are dealt with, which finishes the import."""
        if self._identity is not None:
            self._call([], [], through=last, of=last)
        names = sorted(self._names.values(), key=lambda one: (-one.taken, one.event))
        self._report.names = names
        self._report.warnings = sorted(self._warnings.values(), key=lambda one: (-one.count, one.event, one.code))

    def _fresh(self, archive: Iterable[EventLine]) -> Iterator[EventLine]:
        for line in archive:
            if line.number > self._taken:
                yield line
            else:
                self._report.repeated += 1

    def _send(self, piece: list[EventLine], texts: list[bytes]) -> None:
        lines = [line.number for line in piece]
        try:
            self._call(texts, lines, through=lines[-1], of=0)
        except RequestRejected as error:
            if error.status in (401, 403):
                raise
            self._report.reject(f"lines {lines[0]} to {lines[-1]}: {error}")
            self._report.rejected += len(piece) - 1

    def _call(self, texts: list[bytes], lines: list[int], *, through: int, of: int) -> None:
        identity = self._identity
        asked = _Piece(
            [msgspec.Raw(text) for text in texts], lines, through, of, identity.size_bytes if identity else 0,
            identity.began_as if identity else "",
        )  # fmt: skip
        path = f"/v1/imports/{identity.id}" if identity else "/v1/imports"
        self._add(_patiently(
            lambda: self._connection.call("POST", path, asked, reply=_PieceReply), also_away=self._patient
        ), lines)  # fmt: skip

    def _add(self, reply: _PieceReply, lines: list[int]) -> None:
        report = self._report
        report.events += reply.accepted
        report.repeated += reply.repeated
        report.quarantined += len(reply.rejected)
        report.position = reply.position
        for rejection in reply.rejected:
            line = f":{lines[rejection.index]}" if rejection.index < len(lines) else ""
            of = f"{rejection.message_id}: " if rejection.message_id else ""
            report.reject(f"{self._file}{line}: {of}{rejection.code}: {rejection.message}")
        for one in reply.events:
            name = self._names.setdefault(one.event, NameReport(one.event))
            name.taken += one.taken
            name.heard = one.heard
            name.duplicates += one.duplicates
            name.late += one.late
        for warned in reply.warnings:
            key = warned.event, warned.code, warned.message
            self._warnings.setdefault(key, WarningReport(*key)).count += warned.count


def _import_events(
    connection: Connection, arguments: argparse.Namespace, report: ImportReport, told: Told
) -> None:
    listing = connection.call("GET", "/v1/imports", reply=_Listing)
    identity = _identity(arguments, listing)
    known = {one.id: one for one in listing.imports}
    mine = known.get(identity.id) if identity else None
    begun = mine or (known.get(identity.began_as) if identity else None)
    report.import_id = identity.id if identity else ""
    report.continued = begun is not None
    if mine is not None and mine.finished:
        report.finished_before = mine.newest_at
    else:
        sending = _Sending(
            connection, report, identity, file="stdin" if arguments.events == STDIN else arguments.events,
            taken=begun.taken if begun else 0, patient=bool(arguments.url),
        )  # fmt: skip
        sending.told = told
        with opened_archive(arguments.events, report.reject, _columns(arguments)) as archive:
            sending.send(archive, history=arguments.history)
            sending.end(archive.last)
            if not report.events and not report.rejected and not report.repeated:
                report.notes.append(f"{arguments.events} has no events")
            report.notes += map(_printable, archive.notes)
            report.shape, report.columns = archive.shape.name, archive.shape.columns
            report.unsaid = [*archive.shape.unsaid] + [
                f"no event has a field {column!r}, which --map names" for column in sorted(archive.unseen)]
    _advise(arguments, report, heard=listing.heard)


def _identity(arguments: argparse.Namespace, listing: _Listing) -> Identity | None:
    """What this import is called; None for standard input without a name."""
    if arguments.id:
        return named_identity(arguments.id)
    if arguments.events == STDIN:
        return None
    return identity_of(arguments.events, {one.size_bytes: one.id for one in reversed(listing.imports)})


def _advise(arguments: argparse.Namespace, report: ImportReport, *, heard: list[str]) -> None:
    """Say of the names that nobody hears what they look like, what to write where, and what to do then."""
    for name in report.names:
        if not name.heard and name.event not in KNOWN:
            name.looks_like = likely_name(name.event, heard) or likely_name(name.event, KNOWN)
            if name.looks_like and name.looks_like in heard:
                report.mapping.append(mapping_line(name.event, name.looks_like))
    where = f"--url {arguments.url}" if arguments.url else f"--data {arguments.data}"
    report.quarantine = f"instanter quarantine list {where}" if report.quarantined else ""
    if report.finished_before or any(not name.heard for name in report.names):
        config = f"--config {arguments.config} " if arguments.config else "--config FILE "
        report.remap = f"instanter remap {'' if arguments.url else config}{where}"


def _patiently(send: Callable[[], T], *, also_away: bool = False) -> T:
    """Send; what came too soon is sent again after the time that the server names, and with `also_away` what found no
    server or none that could answer: only where a second time has no second effect."""
    for _ in range(TRIES_MAX - 1):
        try:
            return send()
        except RateLimited as error:
            time.sleep(error.retry_after_s)
        except Unavailable as error:
            if not also_away:
                raise
            time.sleep(error.retry_after_s)
    return send()


def _pieces(lines: Iterator[EventLine], *, per_piece: int) -> Iterator[list[EventLine]]:
    """Lines in pieces that fit into one request."""
    piece: list[EventLine] = []
    size_bytes = _ENVELOPE_BYTES
    for line in lines:
        if piece and (len(piece) == per_piece or size_bytes + len(line.text) + _LINE_BYTES > BATCH_SENT_BYTES_MAX):
            yield piece
            piece, size_bytes = [], _ENVELOPE_BYTES
        piece.append(line)
        size_bytes += len(line.text) + _LINE_BYTES
    if piece:
        yield piece


# In words.


def _in_words(report: ImportReport) -> str:
    lines = [f"imported {report.items:,} items and {report.events:,} events, {report.rejected:,} rejected"]
    if report.feed:
        gone = f", {report.deleted:,} that it does not name deleted" if report.deleted else ""
        lines.append(f"the items were read as {report.feed}{gone}")
    lines += [f"  {_printable(told)}" for told in (*report.item_remarks, *report.first_rejections)]
    if report.rejected > len(report.first_rejections):
        lines.append(f"  and {report.rejected - len(report.first_rejections):,} more")
    if report.quarantined:
        lines.append(f"{report.quarantined:,} of them are kept: {report.quarantine}")
    if report.columns:
        taken_for = ", ".join(f"{column} as {meant}" for column, meant in report.columns.items())
        lines.append(f"the file was taken for {report.shape}: {taken_for}; --map FIELD=COLUMN says otherwise")
    lines += report.unsaid
    if report.finished_before:
        lines.append(f"this file was already imported on {_day(report.finished_before)}; there is nothing new in it. "
                     "To count what was kept under other names or features than then:")
        lines.append(f"  {report.remap}")
        lines.append("To have it read otherwise (--map, --history) import it into a new data directory; --id NAME "
                     "takes it once more beside what is there, and what counted then counts twice.")
    elif report.continued:
        lines.append(f"{report.repeated:,} events had been imported before, and were not counted again")
    lines += _names_in_words(report)
    lines += _advice_in_words(report)
    return "\n".join(lines + report.notes)


def _names_in_words(report: ImportReport) -> list[str]:
    shown = report.names[:NAMES_SHOWN]
    width = max((len(name.event) for name in shown), default=0)
    lines = []
    for name in shown:
        told = [] if name.heard else ["no feature hears this name" + (
            f'; it looks like "{name.looks_like}"' if name.looks_like else "")]
        if name.duplicates:
            told.append(f"{name.duplicates:,} repeat what their person had sent before")
        if name.late:
            told.append(f"{name.late:,} came too late to count: sort the file by time, oldest first")
        told += [f"{one.count:,}: {one.message}" for one in report.warnings
                 if one.event == name.event and one.code != UNHEARD]
        lines.append(f"  {_printable(name.event):{width}}  {name.taken:>9,}  {'; '.join(told) or 'heard'}")
    if len(report.names) > len(shown):
        lines.append(f"  and {len(report.names) - len(shown):,} more names")
    return lines


def _advice_in_words(report: ImportReport) -> list[str]:
    unheard = [name for name in report.names if not name.heard]
    if not unheard:
        return []
    kept = sum(name.taken for name in unheard)
    lines = [f"{kept:,} of {report.events:,} events change no profile: they are kept, and nobody hears their names."]
    if report.mapping:
        lines += ["If they mean what they look like, put this into the configuration:", "", "[events.names]",
                  *report.mapping, "", "and tell them again:", f"  {report.remap}"]
    else:
        lines += ["Map them under [events.names], or name them in the `on` of a feature, and tell them again:",
                  f"  {report.remap}"]
    return lines


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _day(iso: str) -> str:
    return iso[:16].replace("T", " at ")
