"""What a data directory is known to have held: `holdings.json`, written after what it names was durable.

A log that was cut, a file of keys that is gone, an audit record that was removed look like ones that were never
longer. So what there was is written down beside it after each checkpoint and at the end, and a start that finds less
says so instead of serving what is left. What may go by itself is allowed for before it goes: the log begins later
only after the file says that it may.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ..foundation.disk import Disk, write_whole
from ..foundation.errors import Broken, Corrupt

FILE: Final = "holdings.json"
VERSION: Final = 1
LOG: Final = "log"
QUARANTINE: Final = "quarantine"
AUDIT: Final = "audit"

reports = logging.getLogger("instanter.engine")

Extent = tuple[int, int]
"""Where a log begins and ends."""


class Holdings(msgspec.Struct, frozen=True):
    """What was durable when this was written. New fields go last and have defaults."""

    version: int = VERSION
    logs: dict[str, Extent] = {}
    """By name, see `ops.losses`: the positions from which and up to which a log was there."""
    slots: dict[str, int] = {}
    """By name of the file: slots of keys."""
    files: dict[str, int] = {}
    """Files that never go, by their path below the directory, with their size."""
    secrets: bool = False
    """Whether there was a file of signing secrets."""
    models: tuple[str, ...] = ()
    """Ids of models in charge."""


class HoldingsFile:
    """The file, and its one writer. `write` may be called in any thread."""

    def __init__(self, disk: Disk, path: Path, look: Callable[[], Holdings]) -> None:
        """`look` says what is durable now."""
        self._disk = disk
        self._path = path
        self._look = look
        self._guard = threading.Lock()
        self._begins: dict[str, int] = {}

    def write(self) -> bool:
        """Write down what is durable now; False if the disk does not take it: then what was written before holds."""
        with self._guard:
            try:
                write_holdings(self._disk, self._path, self._allowing(self._look()))
            except OSError as error:
                reports.warning("what is held could not be written down", extra={"reason": str(error)})
                return False
            return True

    def allow(self, name: str, start: int) -> bool:
        """Allow for a log that begins at `start` from now on; whether that is durable."""
        self._begins[name] = start
        return self.write()

    def _allowing(self, held: Holdings) -> Holdings:
        logs = {
            name: (max(start, self._begins.get(name, 0)), end) for name, (start, end) in held.logs.items()
        }
        return msgspec.structs.replace(held, logs=logs)


def write_holdings(disk: Disk, path: Path, held: Holdings) -> None:
    """Put the file in its place, durably: JSON, and its own SHA-256 behind it."""
    content = msgspec.json.encode(held)
    write_whole(disk, path, content + b"\n" + hashlib.sha256(content).hexdigest().encode() + b"\n")


def read_holdings(disk: Disk, path: Path) -> Holdings | None:
    """What is written there; None without a file. `Corrupt` for one that is damaged, `Broken` for a newer format."""
    if path.name not in disk.list(path.parent):
        return None
    content, _, rest = disk.read(path, 0, disk.size(path)).rstrip(b"\n").rpartition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != rest:
        raise Corrupt(file=str(path), offset=0, reason="checksum does not match")
    try:
        held = msgspec.json.decode(content, type=Holdings)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(file=str(path), offset=0, reason=f"not what a directory holds: {error}") from None
    if held.version > VERSION:
        raise Broken(f"{path} has format {held.version}; this program reads up to {VERSION}")
    return held
