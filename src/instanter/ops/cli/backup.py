"""`instanter backup`: copy a data directory, also while a server serves it."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from ...foundation.clock import SystemClock, elapsed_ns
from ...foundation.disk import RealDisk
from ...foundation.ids import Ids
from ...privacy.audit import COMMAND_LINE, Act, hand_in
from ..backup.making import back_up
from ..config import load
from ..datadir import DataDirectory
from .arguments import add_config, add_data

_NICE: Final = 19
"""Of the thread that copies: whoever serves goes first."""


class BackupReport(msgspec.Struct, frozen=True):
    """What `instanter backup` made."""

    to: str
    position: int
    checkpoint: int | None
    files: int
    size_bytes: int
    seconds: float
    installation: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter backup`."""
    parser.description = (
        "Copy a data directory to a new folder, also while a server serves it: the log up to a named record, a\n"
        "checkpoint, quarantine and audit record, each file with its SHA-256. Keys are left out, always: keep a copy\n"
        "of the keys folder elsewhere. The manifest is written last; a folder without one is no backup.")
    parser.epilog = "example:\n  instanter backup --data shop/data --to backups/monday"
    add_config(parser)
    add_data(parser)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="a folder that is empty or not there yet")


def run(arguments: argparse.Namespace) -> int:
    """Make the backup, leave word of it for the audit record, and report."""
    disk, clock = RealDisk(), SystemClock()
    directory = DataDirectory(disk, arguments.data, keys=load(arguments.config).privacy.keys)
    started_ns = elapsed_ns()
    with ThreadPoolExecutor(max_workers=1, initializer=os.nice, initargs=(_NICE,)) as modest:
        manifest = modest.submit(back_up, directory, arguments.to, clock=clock).result()
    report = BackupReport(
        str(arguments.to), manifest.position, manifest.checkpoint, len(manifest.files), manifest.size_bytes,
        round((elapsed_ns() - started_ns) / 1e9, 3), manifest.installation,
    )  # fmt: skip
    act = Act(
        "backup.made", COMMAND_LINE, at_ms=manifest.at_ms,
        details={"position": manifest.position, "size_bytes": manifest.size_bytes},
    )  # fmt: skip
    hand_in(disk, directory.acts, act, Ids())
    print(msgspec.json.encode(report).decode() if arguments.json else _in_words(report))
    return 0


def _in_words(report: BackupReport) -> str:
    return (
        f"{report.to}: {report.files} files, {report.size_bytes / 1e6:,.1f} MB, in {report.seconds:g} s\n"
        f"the log up to {report.position}; the keys are not in it (installation {report.installation})"
    )
