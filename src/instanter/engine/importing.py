"""Taking a file in, line by line, each with one effect however often and wherever it broke off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from ..events.envelope import Imported, Tracked, read_record
from ..events.reject import LATE
from ..foundation.clock import Clock
from ..foundation.errors import RequestRejected
from ..foundation.limits import IMPORTS_MAX
from ..log.base import Readable
from .imports import ImportRow
from .intake import Intake, Mending, RawEvent, Rejection, in_steps
from .journal import Journal
from .partition import REPEATED, Noticed, Partition
from .tally import EventWarning, Warnings

RECORDS_PER_EVENT_MAX: Final = 6
"""An event, the links it claims and what it says about purposes."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of a file."""

    import_id: bytes
    """b"" for a source that cannot be read again: then nothing is remembered of it."""
    events: Sequence[RawEvent]
    lines: Sequence[int]
    """In parallel, ascending."""
    through: int
    """All lines up to here are in this piece or came before, or hold no event."""
    of: int = 0
    size_bytes: int = 0
    continues: bytes = b""
    """The import of what this file began with once, to go on from."""
    sent_at_ms: int | None = None
    defaults: dict[str, Any] | None = None


class NameTaken(msgspec.Struct, frozen=True, rename="camel"):
    """What became of a piece's events of one name."""

    event: str
    """As it is known here; the name as sent where nothing is known of it."""
    taken: int
    heard: bool
    """Whether a feature hears it, or it links people."""
    duplicates: int
    """Of these, repetitions of what the person has sent before."""
    late: int
    """Of these, too far behind the person's newest event for anything but windows."""


class PieceTaken(msgspec.Struct, frozen=True, rename="camel"):
    """Everything up to the line `taken` is on disk and folded, once."""

    accepted: int
    repeated: int
    """Lines that had been taken before."""
    rejected: list[Rejection]
    position: str
    taken: int
    of: int
    finished: bool
    begun_ms: int
    """When the import began; 0 where nothing is remembered of it."""
    events: list[NameTaken]
    warnings: list[EventWarning]


class Importer:
    """Takes pieces of files, one at a time of each import. Used on the loop's thread."""

    def __init__(
        self, *, intake: Intake, journal: Journal, partition: Partition, log: Readable, clock: Clock
    ) -> None:
        self._intake = intake
        self._journal = journal
        self._partition = partition
        self._log = log
        self._clock = clock
        self._checked: set[tuple[str, bytes]] = set()
        """Imports whose newest piece is known to be whole: those checked, and those that went on since the start."""
        self._turn = asyncio.Lock()
        self._watched: dict[tuple[int, int], str] = {}
        """Names by cell and message, of the events whose fold is waited for."""
        self._repeated: Counter[str] = Counter()
        self._late: Counter[str] = Counter()

    def note(self, record: Tracked, noticed: Noticed) -> None:
        """Hear what the fold noticed of an event."""
        name = self._watched.get((record.key, record.message))
        if name is not None and noticed.code == REPEATED:
            self._repeated[name] += 1
        elif name is not None and noticed.code == LATE:
            self._late[name] += 1

    @property
    def heard(self) -> list[str]:
        """Names of events that some feature hears, in the order of the alphabet."""
        return sorted(self._partition.state.schema.codes)

    async def listed(self, tenant: str) -> list[ImportRow]:
        """The tenant's imports, the one that went on last first."""
        async with self._turn:
            for row in self._partition.imports.of_tenant(tenant):
                await self._check(row)
        return self._partition.imports.of_tenant(tenant)

    async def take(self, piece: Piece, *, tenant: str) -> PieceTaken:
        """Take a piece; on return it is durable and folded, each line once. Raises `Unavailable`: then a part may have
        been taken, and the same piece sent again goes on from there.

        It goes on when whoever sent it has hung up: else nobody would know how far it came.
        """
        return await asyncio.shield(asyncio.create_task(self._take_in_turn(piece, tenant)))

    async def _take_in_turn(self, piece: Piece, tenant: str) -> PieceTaken:
        async with self._turn:
            try:
                return await self._take(piece, tenant)
            finally:
                self._watched.clear()
                self._repeated.clear()
                self._late.clear()

    async def _take(self, piece: Piece, tenant: str) -> PieceTaken:
        row = await self._begun(piece, tenant) if piece.import_id else None
        taken = row.taken if row else 0
        fresh = [number for number, line in enumerate(piece.lines) if line > taken]
        accepted, rejected, warnings, names = 0, list[Rejection](), Warnings(), Counter[str]()
        events, mending, first = [piece.events[number] for number in fresh], Mending(), 0
        for raws in in_steps(events, sum(map(len, events))):
            step = fresh[first : first + len(raws)]
            first += len(raws)
            lines = [piece.lines[number] for number in step]

            def mark(places: Sequence[int], records: Sequence[Tracked], lines: list[int] = lines) -> Imported | None:
                for record in records:
                    self._watched[record.key, record.message] = record.name
                if not piece.import_id:
                    return None
                told = tuple(lines[place] for place in places)
                return self._record(piece, tenant, lines[-1], told, tuple(record.message for record in records))

            done = await self._intake.take_marked(
                raws, mark, tenant=tenant, sent_at_ms=piece.sent_at_ms, defaults=piece.defaults, warnings=warnings,
                mending=mending,
            )  # fmt: skip
            accepted += done.accepted
            rejected += [msgspec.structs.replace(one, index=step[one.index]) for one in done.rejected]
            names.update(done.names)
        if piece.import_id:
            row = await self._end(piece, tenant)
        return PieceTaken(
            accepted, len(piece.lines) - len(fresh), rejected, str(self._partition.position),
            row.taken if row else piece.through, row.of if row else 0, row is not None and row.finished,
            row.begun_ms if row else 0, [self._name(name, count) for name, count in names.items()], warnings.told(),
        )  # fmt: skip

    def _name(self, name: str, count: int) -> NameTaken:
        return NameTaken(name, count, self._intake.has_effect(name), self._repeated[name], self._late[name])

    async def _begun(self, piece: Piece, tenant: str) -> ImportRow | None:
        """The import, made sure of; or begun where the one stopped that it continues."""
        row = self._partition.imports.get(tenant, piece.import_id)
        if row is not None:
            return await self._check(row)
        if not piece.continues:
            return None
        begun = self._partition.imports.get(tenant, piece.continues)
        if begun is None:
            reason = "nothing is known of the import that this one continues"
            raise RequestRejected("unknown_import", reason, status=404)
        begun = await self._check(begun)
        await self._write(self._record(piece, tenant, begun.taken))
        return self._partition.imports.get(tenant, piece.import_id)

    async def _end(self, piece: Piece, tenant: str) -> ImportRow | None:
        """Say so where lines behind the last event are dealt with too, or the number of all is known only now."""
        self._note_checked((tenant, piece.import_id))
        row = self._partition.imports.get(tenant, piece.import_id)
        if row is None or piece.through > row.taken or (piece.of and piece.of != row.of):
            await self._write(self._record(piece, tenant, max(piece.through, row.taken if row else 0)))
        return self._partition.imports.get(tenant, piece.import_id)

    def _record(
        self, piece: Piece, tenant: str, taken: int, lines: tuple[int, ...] = (), messages: tuple[int, ...] = ()
    ) -> Imported:
        return Imported(
            self._clock.now_ms(), tenant, piece.import_id, taken, piece.of, piece.size_bytes, lines, messages
        )

    async def _write(self, record: Imported) -> None:
        await self._journal.write([record], record.at_ms)

    async def _check(self, row: ImportRow) -> ImportRow:
        """Since a start: see whether the events of the newest piece are in the log, or it was cut among them."""
        key = row.tenant, row.id
        if key in self._checked:
            return row
        await self._journal.settled()
        found = await asyncio.to_thread(events_behind, self._log, row) if row.lines else 0
        if found < len(row.lines):
            taken = row.lines[found] - 1
            await self._write(Imported(self._clock.now_ms(), row.tenant, row.id, taken, row.of, row.size_bytes))
        self._note_checked(key)
        return self._partition.imports.get(*key) or row

    def _note_checked(self, key: tuple[str, bytes]) -> None:
        """Of imports that are forgotten this is too: ids are the senders' to make up, as many as they like."""
        if len(self._checked) >= 2 * IMPORTS_MAX:
            self._checked = {one for one in self._checked if self._partition.imports.get(*one) is not None}
        self._checked.add(key)


def events_behind(log: Readable, row: ImportRow) -> int:
    """How many of the events of an import's newest piece are in the log: the rest of its group, as far as it goes."""
    found = 0
    try:
        for frame in islice(log.read(row.behind), RECORDS_PER_EVENT_MAX * len(row.lines)):
            if frame.begins_group or found == len(row.messages):
                break
            record = read_record(frame.payload)
            if isinstance(record, Tracked) and record.tenant == row.tenant and record.message == row.messages[found]:
                found += 1
    except RequestRejected:  # The log does not reach back so far any more: it was not cut there.
        return len(row.lines)
    return found
