"""Losses in the simulated world: what it left is copied, and a file or the end of one is taken away.

A start on the copy is refused with what is missing, or is as whole as one on what was left.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...engine.loop import Engine
from ...foundation.errors import Broken, ConfigRejected
from ..chance import Chance
from ..disk import SimulatedDisk
from .accounts import insist

UNFINISHED = ".tmp"


def lose(disk: SimulatedDisk, chance: Chance) -> tuple[Path, str]:
    """Take a file away, or cut it anywhere; which, and what was done to it."""
    path = chance.pick(sorted(path for path, raw in disk.files().items() if raw and path.suffix != UNFINISHED))
    content = disk.files()[path]
    if chance.happens(0.4):
        disk.lose(path)
        return path, "removed"
    end = chance.below(len(content))
    disk.put(path, content[:end])
    return path, f"cut to {end} of {len(content)} bytes"


def start_on_less(open_engine: Callable[[], Engine], path: Path) -> Engine | None:
    """The engine of a directory that lost something, None if the start was refused and said of what."""
    why: Broken | ConfigRejected
    try:
        return open_engine()
    except (Broken, ConfigRejected) as error:
        why = error
    insist(str(path) in str(why) or str(path.parent) in str(why), "P5", f"{path} was lost, and {why} was said")
    return None
