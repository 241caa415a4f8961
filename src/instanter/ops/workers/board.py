"""The board: a small file in memory that all workers of one server see.

The writer rings there: it says up to where it has folded what it acknowledges, before it acknowledges. Each worker has
a row of figures of its own, which stay when it dies. Words of 64 bits; one process writes each of them.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final, NamedTuple

from ...foundation.limits import WORKERS_MAX
from .figures import NO_FIGURES, Figures

FILE: Final = "board"
SOCKET: Final = "writer.sock"
_POSITION, _AT_MS, _STARTS = 0, 1, 2
_HEAD_WORDS: Final = 8
_ROW_WORDS: Final = 8
UP, AT, DECISIONS, HANDED_OVER, RECEIPTS_LOST, STARTS = range(6)
"""Columns of a row: 1 while it decides; the position it has folded up to; decisions it made itself; requests it handed
to the writer; receipts of its decisions that the writer did not get; how often it was started."""
WRITER: Final = 0
"""The row of the writer; the deciders have those from 1 on."""


class WorkerSeen(NamedTuple):
    """A decider as its row tells."""

    number: int
    up: bool
    lag_bytes: int
    """How much of what is acknowledged it has not folded."""
    decisions: int
    handed_over: int
    receipts_lost: int
    starts: int
    figures: Figures = NO_FIGURES
    """What it has measured since its start."""


class Board:
    """Opened by every worker; `make` makes it, all zeros."""

    def __init__(self, folder: Path) -> None:
        with open(folder / FILE, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE_BYTES)
        self._words = memoryview(self._memory).cast("Q")

    @staticmethod
    def make(folder: Path) -> Board:
        """Make the file in a folder of the owner's alone."""
        descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.ftruncate(descriptor, _SIZE_BYTES)
        os.close(descriptor)
        return Board(folder)

    def ring(self, position: int, at_ms: int) -> None:
        """The writer has folded everything before `position`; it may be acknowledged from here on."""
        self._words[_AT_MS] = at_ms
        self._words[_POSITION] = position

    def begin_writing(self, position: int, at_ms: int) -> None:
        """A writer has come to where its log ends."""
        self.ring(position, at_ms)
        self._words[_STARTS] += 1

    @property
    def position(self) -> int:
        """Where the writer has come to."""
        return self._words[_POSITION]

    @property
    def at_ms(self) -> int:
        """The time in force when it rang last."""
        return self._words[_AT_MS]

    @property
    def writers(self) -> int:
        """Writers that have been ready so far; one at a time."""
        return self._words[_STARTS]

    def read(self, number: int, column: int) -> int:
        """A figure of a worker."""
        return self._words[_HEAD_WORDS + number * _ROW_WORDS + column]

    def write(self, number: int, column: int, value: int) -> None:
        """Put a figure of a worker."""
        self._words[_HEAD_WORDS + number * _ROW_WORDS + column] = value

    def count(self, number: int, column: int, by: int = 1) -> None:
        """Add to a figure of a worker."""
        self._words[_HEAD_WORDS + number * _ROW_WORDS + column] += by

    def seen(self, deciders: int) -> list[WorkerSeen]:
        """The deciders, by number."""
        position = self.position
        return [
            WorkerSeen(
                number, bool(self.read(number, UP)), max(position - self.read(number, AT), 0),
                decisions=self.read(number, DECISIONS), handed_over=self.read(number, HANDED_OVER),
                receipts_lost=self.read(number, RECEIPTS_LOST), starts=self.read(number, STARTS),
            )
            for number in range(1, deciders + 1)
        ]  # fmt: skip

    def close(self) -> None:
        """Let the memory go."""
        self._words.release()
        self._memory.close()


_SIZE_BYTES: Final = (_HEAD_WORDS + _ROW_WORDS * WORKERS_MAX) * 8
