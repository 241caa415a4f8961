"""`instanter restore`: put a backup back into an empty folder."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from ...foundation.clock import SystemClock
from ...foundation.disk import RealDisk
from ...foundation.ids import Ids
from ...privacy.audit import COMMAND_LINE, Act, hand_in
from ..backup.restoring import restore
from ..config import load
from ..datadir import DataDirectory
from .arguments import add_config, add_data


class RestoreReport(msgspec.Struct, frozen=True):
    """What `instanter restore` put back."""

    data: str
    position: int
    files: int
    size_bytes: int
    keys: int
    """Files of keys; 0: the directory cannot be opened until its keys are there."""
    installation: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter restore`."""
    parser.description = (
        "Put a backup back into a folder that is empty or not there yet. Every byte of the backup is checked before\n"
        "anything is written, and the first damage is named. Give the newest copy of the keys folder: what was erased\n"
        "since the backup was made is erased in the restored directory too, before it is served. A restore that was\n"
        "cut off is run again; until it is done no server opens the folder.")
    parser.epilog = "example:\n  instanter restore --from backups/monday --data shop/data --keys keys-copy"
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR", help="the backup")
    add_config(parser)
    add_data(parser)
    parser.add_argument("--keys", type=Path, metavar="DIR",
                        help="a copy of the keys folder; without it the keys have to be put there by hand")


def run(arguments: argparse.Namespace) -> int:
    """Restore, leave word of it for the audit record, and report."""
    disk = RealDisk()
    directory = DataDirectory(disk, arguments.data, keys=load(arguments.config).privacy.keys)
    restored = restore(directory, arguments.source, keys=arguments.keys)
    manifest = restored.manifest
    act = Act(
        "backup.restored", COMMAND_LINE, at_ms=SystemClock().now_ms(),
        details={"position": manifest.position, "made_at_ms": manifest.at_ms},
    )  # fmt: skip
    hand_in(disk, directory.acts, act, Ids())
    report = RestoreReport(
        str(arguments.data), manifest.position, len(manifest.files), manifest.size_bytes, restored.keys,
        manifest.installation,
    )  # fmt: skip
    there = bool(disk.list(directory.keys))
    print(msgspec.json.encode(report).decode() if arguments.json else _in_words(report, directory.keys, there=there))
    return 0


def _in_words(report: RestoreReport, keys: Path, *, there: bool) -> str:
    lines = [f"{report.data}: {report.files} files, {report.size_bytes / 1e6:,.1f} MB, the log up to {report.position}"]
    if report.keys:
        lines.append(f"with {report.keys} files of keys in {keys}")
    elif there:
        lines.append(f"its keys are those in {keys}")
    else:
        lines.append(
            f"it cannot be opened yet: put the keys of installation {report.installation} into {keys} first"
        )
    return "\n".join(lines)
