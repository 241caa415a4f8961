"""`instanter import`: items and events from files, through the same door as everything else."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from ...foundation.errors import RequestRejected
from ...foundation.limits import BATCH_BYTES_MAX
from ..child import running_server
from .arguments import add_config, add_data
from .connection import Connection
from .progress import records_progress

EVENTS_PER_BATCH = 500
ITEMS_PER_BATCH = 500
_ENVELOPE_BYTES = 1_024


class ImportReport(msgspec.Struct):
    """What `instanter import` did."""

    items: int = 0
    events: int = 0
    rejected: int = 0
    first_rejections: list[str] = []
    position: str = ""


class _Rejection(msgspec.Struct, rename="camel"):
    message_id: str
    code: str
    message: str


class _Reply(msgspec.Struct):
    accepted: int
    position: str
    rejected: list[_Rejection] = []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter import`."""
    parser.description = (
        "Import items and events: NDJSON, one object a line in the shapes of POST /v1/items (an item) and of the\n"
        "tracking routes (an event with its type). `-` is standard input, names ending in .gz are unpacked.\n"
        "Sends to a running server (--url), or opens the data directory itself.")
    parser.epilog = (
        "examples:\n  instanter import --data shop/data --items items.ndjson --events events.ndjson.gz\n"
        "  instanter import --url http://127.0.0.1:8080 --events -")
    add_config(parser)
    add_data(parser)
    parser.add_argument("--url", metavar="U", help="a running server; without it --data is opened")
    parser.add_argument("--items", metavar="FILE", help="items, one a line")
    parser.add_argument("--events", metavar="FILE", help="events, one a line, oldest first")


def run(arguments: argparse.Namespace) -> int:
    """Import, and report; exit code 1 if anything was rejected."""
    if not arguments.items and not arguments.events:
        raise RequestRejected("nothing", "say what to import: --items FILE, --events FILE or both")
    if arguments.url:
        report = _import(arguments, arguments.url)
    else:
        with running_server(arguments.data, config=arguments.config) as server:
            report = _import(arguments, server.url)
    print(msgspec.json.encode(report).decode() if arguments.json else _in_words(report))
    return 1 if report.rejected else 0


def _import(arguments: argparse.Namespace, url: str) -> ImportReport:
    report = ImportReport()
    connection = Connection(url)
    with contextlib.closing(connection):
        if arguments.items:
            with _lines(arguments.items) as lines, records_progress("items", quiet=arguments.json) as progress:
                _send_items(connection, lines, report, progress)
        if arguments.events:
            with _lines(arguments.events) as lines, records_progress("events", quiet=arguments.json) as progress:
                _send_events(connection, lines, report, progress)
    return report


@contextlib.contextmanager
def _lines(name: str) -> Iterator[Iterator[bytes]]:
    """The lines of a file that are not blank, without their ends."""
    with _opened(name) as file:
        yield (line for raw in file if (line := raw.strip()))


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


Told = Callable[[int, int], None] | None


def _send_items(connection: Connection, lines: Iterator[bytes], report: ImportReport, progress: Told) -> None:
    for batch in _batches(lines, per_batch=ITEMS_PER_BATCH):
        body = b'{"items":[' + b",".join(batch) + b"]}"
        reply = connection.call("POST", "/v1/items", msgspec.Raw(body), reply=_Reply)
        report.items += reply.accepted
        report.position = reply.position
        if progress is not None:
            progress(report.items, 0)


def _send_events(connection: Connection, lines: Iterator[bytes], report: ImportReport, progress: Told) -> None:
    for batch in _batches(lines, per_batch=EVENTS_PER_BATCH):
        body = b'{"batch":[' + b",".join(batch) + b"]}"
        reply = connection.call("POST", "/v1/batch", msgspec.Raw(body), reply=_Reply)
        report.events += reply.accepted
        report.rejected += len(reply.rejected)
        for rejection in reply.rejected[: 10 - len(report.first_rejections)]:
            report.first_rejections.append(f"{rejection.message_id}: {rejection.code}: {rejection.message}")
        report.position = reply.position
        if progress is not None:
            progress(report.events, 0)


def _batches(lines: Iterator[bytes], *, per_batch: int) -> Iterator[list[bytes]]:
    """Lines in batches that fit into one request."""
    batch: list[bytes] = []
    size_bytes = _ENVELOPE_BYTES
    for line in lines:
        if batch and (len(batch) == per_batch or size_bytes + len(line) + 1 > BATCH_BYTES_MAX):
            yield batch
            batch, size_bytes = [], _ENVELOPE_BYTES
        batch.append(line)
        size_bytes += len(line) + 1
    if batch:
        yield batch


def _in_words(report: ImportReport) -> str:
    lines = [f"imported {report.items:,} items and {report.events:,} events, {report.rejected:,} rejected"]
    lines += [f"  {rejection}" for rejection in report.first_rejections]
    if report.rejected:
        lines.append("rejected events are quarantined: instanter quarantine list")
    return "\n".join(lines)
