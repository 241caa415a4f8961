"""`instanter clock`: the machine's clock, and confirming it to a server that does not believe it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import msgspec

from ...foundation.clock import machine_ns, uptime_ns
from ...foundation.disk import RealDisk
from ...foundation.ids import Ids
from ...privacy.audit import CLOCK_CONFIRMED, COMMAND_LINE, Act, hand_in
from ..config import load
from ..datadir import DataDirectory
from .arguments import add_config, add_data


class ClockReport(msgspec.Struct, frozen=True):
    """What `instanter clock` says."""

    machine: str
    """What the machine's clock says, ISO 8601."""
    uptime_s: float
    confirmed: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter clock`."""
    parser.description = (
        "Show what this machine's clock says. A server whose machine's clock ran more than a day ahead of the\n"
        "machine's uptime within one run does not believe it: time goes on by the uptime, so nothing is retired,\n"
        "erased or expired by a wrong time, and /readyz says so. Where the clock is right, --confirm says that, for\n"
        "the audit record too; the server takes it up within seconds. It holds for the time that the clock says now.")
    parser.epilog = "examples:\n  instanter clock\n  instanter clock --data shop/data --confirm"
    add_config(parser)
    add_data(parser)
    parser.add_argument("--confirm", action="store_true",
                        help="say to the server of the data directory that it is right")


def run(arguments: argparse.Namespace) -> int:
    """Show, and confirm if that was asked for."""
    now_ms = machine_ns() // 1_000_000
    if arguments.confirm:
        disk = RealDisk()
        directory = DataDirectory(disk, arguments.data, keys=load(arguments.config).privacy.keys)
        directory.check()
        hand_in(disk, directory.acts, Act(CLOCK_CONFIRMED, COMMAND_LINE, at_ms=now_ms), Ids())
    machine = datetime.fromtimestamp(now_ms / 1_000, UTC).isoformat(timespec="seconds")
    report = ClockReport(machine, round(uptime_ns() / 1e9, 1), arguments.confirm)
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"the machine's clock says {machine}, {report.uptime_s / 86_400:,.1f} days after its start"
              f"{': confirmed' if report.confirmed else ''}")
    return 0
