"""From the log and the quarantine to entries: the same for what has just come and for what lies far back.

Whoever reads goes by the times of receipt between the two: what the log holds is told in its order, what the
quarantine holds in its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ...events.envelope import Decided, Erased, read_record
from ...events.reject import decode_quarantined
from ...foundation.limits import STREAM_JOINED_BYTES_MAX, STREAM_READ_PER_PIECE, STREAM_RECORDS_PER_STEP
from ...log.frames import Frame
from ...log.segment_log import SegmentLog
from .cursor import Cursor
from .kinds import KINDS, QUARANTINED, About, Kind

_encode = msgspec.json.Encoder().encode
_ARRAY_SMALL: Final = 0x90
_ARRAY_16: Final = 0xDC
_DECIDED: Final = Decided.__struct_config__.tag
_SHOWING: Final = (_DECIDED, Erased.__struct_config__.tag)

_ODD: Final = (ArithmeticError, LookupError, ValueError)
"""What a record raises that another writer has left and the fold has passed over: there is nothing to tell of it."""


class Wanted:
    """What there are readers of."""

    __slots__ = ("joins", "kinds", "quarantine", "tags", "tenants")

    def __init__(self, tenants: Iterable[str], kinds: Iterable[str]) -> None:
        """Kinds by name."""
        names = frozenset(kinds)
        self.tenants = frozenset(tenants)
        self.kinds = tuple(kind for kind in KINDS if kind.name in names)
        self.joins = any(kind.joins for kind in self.kinds)
        """Whether it has to be known what was shown."""
        self.quarantine = not names.isdisjoint(QUARANTINED)
        heard = [record.__struct_config__.tag for kind in self.kinds for record in kind.hears]
        self.tags = frozenset([None, *heard, *(_SHOWING if self.joins else ())])
        """Of the records that have to be read; None where a record does not show its tag."""


class Entry(NamedTuple):
    """One entry, encoded but for its id."""

    tenant: str
    kind: str
    cursor: Cursor
    """Of the stream once it has been told."""
    cells: tuple[int, ...]
    placements: frozenset[str] | None
    body: bytes
    """Its lines behind the one with the id."""


class Step(NamedTuple):
    """What was made of some records."""

    entries: list[Entry]
    cursor: Cursor
    """Behind all that was looked at."""
    looked_at: int
    """How many records that was, and entries of the quarantine."""


class _Source:
    """Frames of a log, one after the other, from a position on; the reading goes on where it was."""

    def __init__(self, read: Callable[[int], Iterator[Frame]]) -> None:
        self._read = read
        self._frames: Iterator[Frame] = iter(())
        self._next: Frame | None = None
        self.position = -1

    def go_to(self, position: int) -> None:
        """Read on from there."""
        if position != self.position:
            self.position, self._next, self._frames = position, None, iter(())

    def peek(self, until: int) -> Frame | None:
        """The next frame below a position; None where there is none. Raises what `Readable.read` does."""
        if self._next is None and self.position < until:
            self._next = next(self._frames, None)
            if self._next is None:
                self._frames = self._read(self.position)
                self._next = next(self._frames, None)
        return self._next if self._next is not None and self._next.position < until else None

    def take(self) -> None:
        """Go on behind the frame that was looked at."""
        assert self._next is not None
        self.position, self._next = self._next.end, None


class Derivation:
    """One reading of both logs. Used by one thread at a time. A step takes a few milliseconds at most: who decides
    meanwhile waits for the interpreter."""

    def __init__(self, log: SegmentLog, quarantine: SegmentLog, about: About) -> None:
        self._log = log
        self._records = _Source(log.read)
        self._refused = _Source(quarantine.read)
        self._about = about

    def is_ready(self, cursor: Cursor, wanted: Wanted) -> bool:
        """Whether what was shown before is known as far as it is needed; else it is to be read by `looking_back`."""
        return not wanted.joins or self._about.shown.reaches == cursor.position

    def looking_back(self, cursor: Cursor) -> Iterator[None]:
        """Read what was shown before there, a bounded piece at a time."""
        found: list[tuple[int, Decided]] = []
        before, least = cursor.position, max(cursor.position - STREAM_JOINED_BYTES_MAX, 0)
        while before > least:
            frames, before = self._log.read_back(before)
            made = [
                (frame.position, record) for frame in frames
                if _tag(frame.payload) == _DECIDED and isinstance(record := read_record(frame.payload), Decided)
            ]  # fmt: skip
            found[:0] = made
            yield
        self._about.shown.fill([one for one in found if one[0] >= least], cursor.position)

    def step(self, after: Cursor, until: Cursor, wanted: Wanted, looks_max: int = STREAM_RECORDS_PER_STEP) -> Step:
        """The entries behind a cursor, of at most `looks_max` records below `until`, and of no more of them read than
        `STREAM_READ_PER_PIECE`. Raises `RequestRejected` where a log does not begin there, or not any more, and
        `Corrupt`."""
        records, refused, entries = self._records, self._refused, list[Entry]()
        records.go_to(after.position)
        refused.go_to(after.quarantine)
        index, looked_at, read = after.entry, 0, 0
        while looked_at < looks_max and read < STREAM_READ_PER_PIECE:
            record = records.peek(until.position)
            refusal = refused.peek(until.quarantine) if wanted.quarantine else None
            if refusal is not None and (record is None or refusal.time_ms < record.time_ms):
                refused.take()
                read += 1
                entry = decode_quarantined(refusal.payload, offset=refusal.position)
                at = Cursor(records.position, index, refused.position)
                told = self._told(entry, refusal.position, at, wanted.kinds) if entry.tenant in wanted.tenants else []
            elif record is not None:
                is_heard = _tag(record.payload) in wanted.tags
                at = Cursor(record.position, index, refused.position)
                told = self._of_record(record, at, wanted) if is_heard else []
                records.take()
                read += is_heard
                index = -1
            else:
                records.go_to(max(records.position, until.position))
                refused.go_to(max(refused.position, until.quarantine))
                index = -1
                break
            entries += told
            looked_at += 1
        if wanted.joins:
            self._about.shown.reaches = records.position
        return Step(entries, Cursor(records.position, index, refused.position), looked_at)

    def _of_record(self, frame: Frame, at: Cursor, wanted: Wanted) -> list[Entry]:
        """What there is to tell of a record behind entry `at.entry`, of which that is the position."""
        record = read_record(frame.payload)
        if wanted.joins and isinstance(record, Erased):
            self._about.shown.drop(record.cells)
        told = list[Entry]()
        if getattr(record, "tenant", None) in wanted.tenants:
            for kind in wanted.kinds:
                if kind.number > at.entry:
                    told += self._told(record, frame.position, at._replace(entry=kind.number), [kind])
        if wanted.joins and isinstance(record, Decided):
            self._about.shown.add(frame.position, record)
        return told

    def _told(self, record: Any, position: int, at: Cursor, kinds: Sequence[Kind]) -> list[Entry]:
        entries = []
        for kind in kinds:
            try:
                told = kind.tell(record, position, self._about) if type(record) in kind.hears else None
            except _ODD:
                continue
            if told is not None:
                body = b"event: %b\ndata: %b\n\n" % (kind.name.encode(), _encode(told.data))
                entries.append(Entry(record.tenant, kind.name, at, told.cells, told.placements, body))
        return entries


def _tag(payload: bytes) -> int | None:
    """The tag of an encoded record, without reading it; None where that cannot be told so."""
    first = payload[:4]
    if first and _ARRAY_SMALL <= first[0] < _ARRAY_SMALL + 16 and len(first) > 1:
        return first[1]
    return first[3] if len(first) == 4 and first[0] == _ARRAY_16 else None
