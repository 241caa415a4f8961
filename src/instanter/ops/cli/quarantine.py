"""`instanter quarantine list`: the events that could not be taken, and why."""

from __future__ import annotations

import argparse
from collections import Counter, deque
from datetime import UTC, datetime

import msgspec

from ...events.reject import Quarantined, decode_quarantined
from ...foundation.disk import RealDisk
from ...log.segments import SegmentReader
from ..datadir import DataDirectory
from .arguments import add_data, positive

_SHOWN_CHARS = 120


class QuarantineEntry(msgspec.Struct, rename="camel"):
    """One rejected event as it is listed."""

    at: str
    code: str
    message: str
    message_id: str
    raw: str


class QuarantineReport(msgspec.Struct):
    """`instanter quarantine list --json`."""

    total: int
    by_code: dict[str, int]
    newest: list[QuarantineEntry]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter quarantine`."""
    parser.description = "List the events that were rejected, with the reason and the bytes as they came."
    parser.epilog = (
        "examples:\n  instanter quarantine list --data shop/data\n  instanter quarantine list --newest 100 --json")
    parser.add_argument("action", choices=("list",), help="list: count by reason, and show the newest")
    parser.add_argument("--newest", type=positive, default=20, metavar="N",
                        help="how many of the newest to show (default: %(default)s)")
    parser.add_argument("--code", default="", metavar="C", help="only those with this reason, e.g. schema")
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read the quarantine and list it."""
    directory = DataDirectory(RealDisk(), arguments.data)
    directory.check()
    counts: Counter[str] = Counter()
    newest: deque[Quarantined] = deque(maxlen=arguments.newest)
    for frame in SegmentReader(directory.disk, directory.quarantine).read():
        entry = decode_quarantined(frame.payload, offset=frame.position)
        counts[entry.code] += 1
        if arguments.code in ("", entry.code):
            newest.append(entry)
    report = QuarantineReport(counts.total(), dict(counts.most_common()), [_listed(entry) for entry in newest])
    print(msgspec.json.encode(report).decode() if arguments.json else _in_words(report))
    return 0


def _listed(entry: Quarantined) -> QuarantineEntry:
    at = datetime.fromtimestamp(entry.at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    return QuarantineEntry(at, entry.code, entry.message, entry.message_id, entry.raw.decode("utf-8", "replace"))


def _in_words(report: QuarantineReport) -> str:
    if not report.total:
        return "nothing is quarantined"
    lines = [f"quarantined events: {report.total:,}"]
    lines += [f"  {count:>8,}  {code}" for code, count in report.by_code.items()]
    if not report.newest:
        lines.append("none has the reason asked for")
    for entry in report.newest:
        lines.append(_shown(f"{entry.at}  {entry.code}: {entry.message}"))
        lines.append(f"    {_shown(entry.raw[:_SHOWN_CHARS])}")
    return "\n".join(lines)


def _shown(text: str) -> str:
    """Text of a sender's for a terminal, which it must not be able to steer."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
