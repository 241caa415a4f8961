"""The seam of the log. One process writes, any number of processes read.

A position is an integer inside the engine: the byte offset of a frame counted over all segments that ever were.
It grows with every entry, is never reused once durable, and survives restarts and retention. Two types keep apart what
it can mean, see `frames`: a `RecordPosition` is where one record lies, a `LogPosition` up to where something has come.
What looks up a position that came from outside takes any integer, and finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from ..foundation.errors import RequestRejected
from .frames import Frame, Group


class Cut(msgspec.Struct, frozen=True):
    """An unfinished end that was removed when a log was opened: a crash came before the sync."""

    file: str
    offset: int
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.file}: cut {self.size_bytes} bytes of an unfinished write at byte {self.offset}"


class OpenReport(msgspec.Struct, frozen=True):
    """What opening a log found. Everything from `start` to `end` is durable."""

    start: int
    end: int
    segments: int
    cut: Cut | None = None


class Retained(msgspec.Struct, frozen=True):
    """What is left after retention, and what went."""

    start: int
    segments_removed: int
    bytes_removed: int


class Readable(Protocol):
    """A log to read from, possibly while another process writes it."""

    @property
    def start(self) -> int:
        """Where it begins: 0 while nothing of it was dropped."""
        ...

    def read(self, position: int | None = None) -> Iterator[Frame]:
        """The frames from `position` on, or from the earliest kept; ends where the log ends for now.

        Raises `Corrupt` at a damaged frame, after the whole ones before it; `RequestRejected` with code `expired`
        when retention removed the position, and with code `position` when no frame starts there.
        """
        ...

    def read_runs(self, position: int | None = None) -> Iterator[Sequence[Frame]]:
        """As `read`, as many frames at once as lie together: what is only folded need not be taken apart."""
        ...


class ReadableBack(Readable, Protocol):
    """A log that can be read from its end, too."""

    def read_back(self, before: int | None = None) -> tuple[list[Frame], int]:
        """The frames before position `before` (None: the newest), some of them, in the order of the log, and the
        position to go on from; 0 when there is nothing older."""
        ...


class ReadableByTime(Readable, Protocol):
    """A log in which times are looked up."""

    def find_time(self, time_ms: int) -> int:
        """A position to read from, close before the first entry that was received at or after a time: none before it
        was. Looks at few pieces of the log, whatever its size."""
        ...


class Log(Readable, Protocol):
    """A log to write to and read from.

    Groups are committed one at a time in the order they were begun. `begin`, `commit`, `read` and `retain` may each
    run in a thread of their own.
    """

    def begin(self, after: Group | None = None) -> Group:
        """A new group behind `after`, which is complete but not yet committed; without it, behind what is durable."""
        ...

    def commit(self, group: Group) -> None:
        """Write and sync the group: durable on return. Blocks without holding the interpreter lock.

        Raises `DiskFull` when there is no room or when the group it follows was refused: nothing of it remains,
        and a group begun afterwards may succeed. Raises `LogClosed` when the disk failed: nothing more is written
        until the log is opened again.
        """
        ...

    def retain(
        self, *, below: int, older_than_ms: int, allowed: Callable[[int], bool] | None = None
    ) -> Retained:
        """Drop the oldest segments that lie wholly below position `below` and were complete before `older_than_ms`.

        `allowed` is told where the log will begin then, before anything goes; nothing does unless it agrees.
        Removes files, so it can take tens of milliseconds. A reader that is still in them ends with `expired`.
        """
        ...

    def set_apart(self, before_ms: int) -> None:
        """See to it that what was received before then can be dropped without what comes from now on.

        Segments go as a whole: asked once a day, no entry outlives its days by more than one.
        """
        ...

    def close(self) -> None:
        """Give up the log, so that another process may write it. What is not committed is lost."""
        ...


def frame_at(log: Readable, position: int) -> Frame:
    """The one frame that starts at `position`, or `RequestRejected` when there is none (any more)."""
    frame = next(log.read(position), None)
    if frame is None or frame.position != position:
        raise RequestRejected("position", f"no frame of the log starts at {position}", status=404)
    return frame
