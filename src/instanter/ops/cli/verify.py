"""`instanter verify`: read every byte of a data directory that has a checksum."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...events.envelope import decode_record
from ...events.reject import decode_quarantined
from ...foundation.disk import RealDisk
from ...foundation.errors import Corrupt
from ...log.recovery import recover
from ...log.segments import SegmentReader
from ...state.checkpoint import check_checkpoint, checkpoint_path, list_checkpoints
from ..datadir import DataDirectory
from ..readiness import is_locked
from .arguments import add_data
from .progress import records_progress


class VerifyReport(msgspec.Struct):
    """What `instanter verify` found."""

    records: int = 0
    quarantined: int = 0
    checkpoints: int = 0
    damage: list[str] = []
    unfinished: list[str] = []
    """Ends that hold no whole record: writes that were cut off, which the next start takes away."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter verify`."""
    parser.description = (
        "Read the log, the quarantine and the checkpoints, check every checksum and decode every record. Damage is\n"
        "named by file and byte. Only reads; may run beside a server. Exit code 1 if anything is damaged, or if the\n"
        "log ends in the middle of a record and no server is writing it.")
    parser.epilog = "example:\n  instanter verify --data shop/data"
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check everything, go on behind what is damaged where one can, and report."""
    directory = DataDirectory(RealDisk(), arguments.data)
    directory.check()
    report = VerifyReport()
    with records_progress("reading", quiet=arguments.json) as progress:
        report.records = _read(directory, report, progress)
        report.quarantined = _read_quarantine(directory, report)
        report.checkpoints = _read_checkpoints(directory, report)
    if not is_locked(directory.log / "lock"):
        report.unfinished = [*_unfinished(directory, directory.log), *_unfinished(directory, directory.quarantine)]
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"{report.records:,} records, {report.quarantined:,} quarantined events, "
              f"{report.checkpoints} checkpoints: {_verdict(report)}")
        for found in (*report.damage, *report.unfinished):
            print(found)
    return 1 if report.damage or report.unfinished else 0


def _verdict(report: VerifyReport) -> str:
    if report.damage:
        return "damaged"
    return "whole but for an unfinished end" if report.unfinished else "whole"


def _read(directory: DataDirectory, report: VerifyReport, progress: Callable[[int, int], None] | None) -> int:
    records = 0
    try:
        for frame in SegmentReader(directory.disk, directory.log).read():
            decode_record(frame.payload, offset=frame.position)
            records += 1
            if progress is not None and records % 4_096 == 0:
                progress(records, frame.position)
    except Corrupt as error:
        report.damage.append(str(error))
    return records


def _read_quarantine(directory: DataDirectory, report: VerifyReport) -> int:
    entries = 0
    try:
        for frame in SegmentReader(directory.disk, directory.quarantine).read():
            decode_quarantined(frame.payload, offset=frame.position)
            entries += 1
    except Corrupt as error:
        report.damage.append(str(error))
    return entries


def _unfinished(directory: DataDirectory, log: Path) -> list[str]:
    """What the next start would cut off a log's end. Damage has been reported before."""
    try:
        cut = recover(directory.disk, log).cut
    except Corrupt:
        return []
    if cut is None:
        return []
    return [f"{cut.file}: {cut.size_bytes} bytes from byte {cut.offset} on hold no whole record"]


def _read_checkpoints(directory: DataDirectory, report: VerifyReport) -> int:
    """Checkpoints read; one that a running server replaces meanwhile is none."""
    vanished = 0
    positions = list_checkpoints(directory.disk, directory.checkpoints)
    for position in positions:
        try:
            check_checkpoint(directory.disk, checkpoint_path(directory.checkpoints, position))
        except Corrupt as error:
            report.damage.append(str(error))
        except FileNotFoundError:
            vanished += 1
    return len(positions) - vanished
