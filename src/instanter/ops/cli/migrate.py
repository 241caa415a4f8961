"""`instanter migrate`: bring a data directory to today's format, as a start of the server would."""

from __future__ import annotations

import argparse

import msgspec

from ...foundation.clock import SystemClock
from ...foundation.disk import RealDisk
from ...foundation.ids import Ids
from ..config import load
from ..datadir import FORMAT, DataDirectory
from ..master import master_key
from ..migration.migrate import migrate
from ..wiring import footing_of, schema_of
from .arguments import add_config, add_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter migrate`."""
    parser.description = (
        "Bring a data directory that an older version wrote to today's format. A start of the server does the same;\n"
        "this does it alone, with the server stopped. It may be killed at any moment: run again, it completes. Make a\n"
        "backup before: the old files are overwritten once the new ones stand in their place.")
    parser.epilog = "example:\n  instanter migrate --config shop/instanter.toml --data shop/data"
    add_config(parser)
    add_data(parser)
    parser.add_argument("--dev", action="store_true", help="make a master key beside the others if none is given")


def run(arguments: argparse.Namespace) -> int:
    """Migrate, and report."""
    disk, config = RealDisk(), load(arguments.config)
    directory = DataDirectory(disk, arguments.data, keys=config.privacy.keys)
    directory.format()
    secret = directory.open()
    master = master_key(disk, directory.keys, file=config.privacy.master_key_file, may_make=arguments.dev)
    footing = footing_of(config, schema_of(config), secret=secret, master=master)
    migrated = migrate(directory, footing, clock=SystemClock(), ids=Ids())
    if arguments.json:
        print(msgspec.json.encode({"format": FORMAT, "migrated": migrated}).decode())
    elif migrated is None:
        print(f"{arguments.data} has format {FORMAT}; there is nothing to do")
    else:
        print(f"{arguments.data}: from format {migrated.from_format} to {migrated.to_format}\n"
              f"{migrated.records:,} records, {migrated.people:,} people with keys of their own, "
              f"{migrated.decisions:,} decisions, {migrated.checkpoints} checkpoints")
        for reason in migrated.passed_over:
            print(f"passed over: {reason}")
    return 0
