"""`instanter import`: items and events from files, through the same door as everything else."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...foundation.errors import Broken, RateLimited, RequestRejected
from ...foundation.limits import BATCH_SENT_BYTES_MAX
from ..child import running_server
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .progress import records_progress

EVENTS_PER_BATCH = 500
ITEMS_PER_BATCH = 500
REJECTIONS_SHOWN = 10
TRIES_MAX = 60
"""How often a batch that came too soon is sent again."""
_ENVELOPE_BYTES = 1_024

Told = Callable[[int, int], None] | None


class ImportReport(msgspec.Struct):
    """What `instanter import` did."""

    items: int = 0
    events: int = 0
    rejected: int = 0
    """Items, events and lines that were not taken."""
    first_rejections: list[str] = []
    quarantined: int = 0
    """Those of them that the server keeps."""
    position: str = ""

    def reject(self, what: str) -> None:
        """Count one, and keep the first ones' words."""
        self.rejected += 1
        if len(self.first_rejections) < REJECTIONS_SHOWN:
            self.first_rejections.append(what)


class _Rejection(msgspec.Struct, rename="camel"):
    message_id: str
    code: str
    message: str


class _Reply(msgspec.Struct):
    accepted: int
    position: str
    rejected: list[_Rejection] = []


class _Line(NamedTuple):
    number: int
    text: bytes


_any_json = msgspec.json.Decoder(msgspec.Raw)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter import`."""
    parser.description = (
        "Import items and events: NDJSON, one object a line in the shapes of POST /v1/items (an item) and of the\n"
        "tracking routes (an event with its type). `-` is standard input, names ending in .gz are unpacked.\n"
        "Sends to a running server (--url), or opens the data directory itself. What is not fit is left out and\n"
        "reported; exit code 1 then.")
    parser.epilog = (
        "examples:\n  instanter import --config shop/instanter.toml --data shop/data --items items.ndjson\n"
        "  instanter import --url http://127.0.0.1:8080 --events -")
    add_config(parser)
    add_data(parser)
    parser.add_argument("--url", metavar="U", help="a running server; without it --data is opened")
    add_key(parser)
    parser.add_argument("--items", metavar="FILE", help="items, one a line")
    parser.add_argument("--events", metavar="FILE", help="events, one a line, oldest first")


def run(arguments: argparse.Namespace) -> int:
    """Import, and report; exit code 1 if anything was rejected."""
    if not arguments.items and not arguments.events:
        raise RequestRejected("nothing", "say what to import: --items FILE, --events FILE or both")
    if arguments.items == arguments.events == "-":
        raise RequestRejected("nothing", "standard input can be the items or the events, not both")
    for name in (arguments.items, arguments.events):
        if name and name != "-":
            Path(name).open("rb").close()
    if arguments.url:
        report = _import(arguments, arguments.url, key=arguments.key)
    else:
        with running_server(arguments.data, config=arguments.config) as server:
            report = _import(arguments, server.url)
    print(msgspec.json.encode(report).decode() if arguments.json else _in_words(report))
    return 1 if report.rejected else 0


def _import(arguments: argparse.Namespace, url: str, *, key: str = "") -> ImportReport:
    report = ImportReport()
    connection = Connection(url, key=key)
    with contextlib.closing(connection):
        if arguments.items:
            with _lines(arguments.items, report) as lines, records_progress("items", quiet=arguments.json) as told:
                _send_items(connection, lines, report, told)
        if arguments.events:
            with _lines(arguments.events, report) as lines, records_progress("events", quiet=arguments.json) as told:
                _send_events(connection, lines, report, told)
    return report


@contextlib.contextmanager
def _lines(name: str, report: ImportReport) -> Iterator[Iterator[_Line]]:
    """The lines of a file that hold JSON; blank ones are passed over, others rejected."""
    with _opened(name) as file:
        yield _readable("stdin" if name == "-" else name, file, report)


@contextlib.contextmanager
def _opened(name: str) -> Iterator[Iterable[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
    elif name.endswith(".gz"):
        with gzip.GzipFile(name, "rb") as packed:
            yield packed
    else:
        with Path(name).open("rb") as plain:
            yield plain


def _readable(name: str, file: Iterable[bytes], report: ImportReport) -> Iterator[_Line]:
    try:
        for number, raw in enumerate(file, start=1):
            text = raw.strip()
            if not text:
                continue
            try:
                _any_json.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                report.reject(f"{name}:{number}: malformed: {error}")
                continue
            yield _Line(number, text)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Broken(f"{name} cannot be unpacked to its end: {error}") from None


def _send_items(connection: Connection, lines: Iterator[_Line], report: ImportReport, told: Told) -> None:
    for batch in _batches(lines, per_batch=ITEMS_PER_BATCH):
        _send_fit_items(connection, batch, report)
        if told is not None:
            told(report.items, 0)


def _send_fit_items(connection: Connection, batch: list[_Line], report: ImportReport) -> None:
    """Send items, which are taken all or none; a refused batch is halved until the unfit ones stand alone."""
    body = msgspec.Raw(b'{"items":[' + b",".join(line.text for line in batch) + b"]}")
    try:
        reply = _patiently(connection, "/v1/items", body)
    except RequestRejected as error:
        if len(batch) == 1:
            report.reject(f"item in line {batch[0].number}: {error}")
            return
        half = len(batch) // 2
        _send_fit_items(connection, batch[:half], report)
        _send_fit_items(connection, batch[half:], report)
        return
    report.items += reply.accepted
    report.position = reply.position


def _send_events(connection: Connection, lines: Iterator[_Line], report: ImportReport, told: Told) -> None:
    for batch in _batches(lines, per_batch=EVENTS_PER_BATCH):
        body = msgspec.Raw(b'{"batch":[' + b",".join(line.text for line in batch) + b"]}")
        try:
            reply = _patiently(connection, "/v1/batch", body)
        except RequestRejected as error:
            report.reject(f"lines {batch[0].number} to {batch[-1].number}: {error}")
            report.rejected += len(batch) - 1
            continue
        report.events += reply.accepted
        report.quarantined += len(reply.rejected)
        for rejection in reply.rejected:
            report.reject(f"{rejection.message_id or 'an event'}: {rejection.code}: {rejection.message}")
        report.position = reply.position
        if told is not None:
            told(report.events, 0)


def _patiently(connection: Connection, path: str, body: msgspec.Raw) -> _Reply:
    """Send a batch; one that came too soon is sent again after the time that the server names."""
    for _ in range(TRIES_MAX - 1):
        try:
            return connection.call("POST", path, body, reply=_Reply)
        except RateLimited as error:
            time.sleep(error.retry_after_s)
    return connection.call("POST", path, body, reply=_Reply)


def _batches(lines: Iterator[_Line], *, per_batch: int) -> Iterator[list[_Line]]:
    """Lines in batches that fit into one request."""
    batch: list[_Line] = []
    size_bytes = _ENVELOPE_BYTES
    for line in lines:
        if batch and (len(batch) == per_batch or size_bytes + len(line.text) + 1 > BATCH_SENT_BYTES_MAX):
            yield batch
            batch, size_bytes = [], _ENVELOPE_BYTES
        batch.append(line)
        size_bytes += len(line.text) + 1
    if batch:
        yield batch


def _in_words(report: ImportReport) -> str:
    lines = [f"imported {report.items:,} items and {report.events:,} events, {report.rejected:,} rejected"]
    lines += [f"  {rejection}" for rejection in report.first_rejections]
    if report.rejected > len(report.first_rejections):
        lines.append(f"  and {report.rejected - len(report.first_rejections):,} more")
    if report.quarantined:
        lines.append(f"{report.quarantined:,} of them are kept: instanter quarantine list --data DIR")
    return "\n".join(lines)
