"""A migration to be killed: python migrating.py DATA: says "ready", waits for a line, migrates, and ends with 0."""

from __future__ import annotations

import sys
from pathlib import Path

from instanter.foundation.clock import SystemClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.ids import Ids
from instanter.ops.datadir import DataDirectory
from instanter.ops.migration.migrate import migrate
from instanter.ops.settings import Config
from instanter.ops.wiring import footing_of, schema_of

MASTER = bytes(32)


def work(data: Path, disk: RealDisk) -> None:
    """Migrate as a start of the server does."""
    directory = DataDirectory(disk, data)
    footing = footing_of(Config(), schema_of(Config()), secret=directory.open(), master=MASTER)
    migrate(directory, footing, clock=SystemClock(), ids=Ids())


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    work(Path(sys.argv[1]), RealDisk())
