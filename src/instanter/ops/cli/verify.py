"""`instanter verify`: read every byte of a data directory that has a checksum."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import msgspec

from ...events.envelope import decode_record
from ...events.reject import decode_quarantined
from ...foundation.disk import RealDisk
from ...foundation.errors import Corrupt
from ...log.segments import SegmentReader
from ...state.checkpoint import check_checkpoint, checkpoint_path, list_checkpoints
from ..datadir import DataDirectory
from .arguments import add_data
from .progress import records_progress


class VerifyReport(msgspec.Struct):
    """What `instanter verify` found."""

    records: int = 0
    quarantined: int = 0
    checkpoints: int = 0
    damage: list[str] = []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter verify`."""
    parser.description = (
        "Read the log, the quarantine and the checkpoints, check every checksum and decode every record. Damage is\n"
        "named by file and byte. Only reads; may run beside a server. Exit code 1 if anything is damaged.")
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
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"{report.records:,} records, {report.quarantined:,} quarantined events, "
              f"{report.checkpoints} checkpoints: {'damaged' if report.damage else 'whole'}")
        for damage in report.damage:
            print(damage)
    return 1 if report.damage else 0


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


def _read_checkpoints(directory: DataDirectory, report: VerifyReport) -> int:
    positions = list_checkpoints(directory.disk, directory.checkpoints)
    for position in positions:
        try:
            check_checkpoint(directory.disk, checkpoint_path(directory.checkpoints, position))
        except Corrupt as error:
            report.damage.append(str(error))
    return len(positions)
