"""Taking events in: admit, append, quarantine what is rejected, and wait until the next decision sees the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ..events.admitted import Admitted
from ..events.decode import Door, Meet
from ..events.envelope import CONTROL_PARTITION, Imported, Record, Tracked, Withheld, encode_record
from ..events.kinds import ALIASED, IDENTIFIED
from ..events.meanings import BY_NAME
from ..events.nearest import likely_name
from ..events.notes import ITEM_UNKNOWN, LINKS_FULL, NO_CATALOGUE, UNHEARD, Note
from ..events.reject import BATCH, POISON, Quarantined, quarantined
from ..foundation.clock import Clock, elapsed_ns
from ..foundation.errors import EventRejected, Overloaded, Unavailable
from ..foundation.limits import BROKEN_EVENTS_BYTES_MAX, BROKEN_EVENTS_MAX, TALLY_NAMES_PER_TENANT_MAX
from ..foundation.measure import Meter
from ..log.commit import Entry
from ..log.frames import LogPosition, RecordPosition
from .journal import Journal
from .linking import Linking
from .partition import Partition
from .quarantine import QuarantineStore
from .tally import EventWarning, Tally, Warnings

EVENTS_PER_STEP = 100
BYTES_PER_STEP = 64 * 1024
"""Events decoded before the loop may do something else, or those that begin within so many bytes: lists of products
with prices as text take 0.3 ms a KiB on a busy machine. What libraries for servers send at once is a hundred events;
usual ones take 1.2 ms."""
BYTES_PER_TURN = 16 * 1024
"""For each of these bytes of a step the loop has a turn before the next one: to answer somebody else takes several."""

RawEvent = bytes | msgspec.Raw

_UNHEARD = Note(UNHEARD)
_LINKS_FULL = Note(LINKS_FULL)
_LINKING: Final = frozenset({IDENTIFIED, ALIASED})
"""Names that have an effect though no feature hears them."""
_ITEM_UNKNOWN = Note(ITEM_UNKNOWN)


class Rejection(msgspec.Struct, frozen=True, rename="camel"):
    """One event of a request that was not taken."""

    message_id: str
    code: str
    message: str
    index: int = 0
    """Its place in the batch, counted from 0."""


class Taken(msgspec.Struct, frozen=True):
    """What became of a request's events: on disk, folded, and behind `position`."""

    accepted: int
    rejected: list[Rejection]
    position: LogPosition
    warnings: list[EventWarning] = []
    """What of the accepted ones has no effect."""


class Marked(NamedTuple):
    """What became of a step of an import."""

    accepted: int
    rejected: list[Rejection]
    names: list[str]
    """Of the events that were kept."""


class SecondTry(msgspec.Struct, frozen=True):
    """An event out of the quarantine, as it came the first time."""

    raw: bytes
    kind: str | None
    arrived_ms: int
    """When it was received first: its event time is judged by that."""
    sent_at_ms: int | None = None
    defaults: dict[str, Any] | None = None
    public: bool = False


def in_steps(raws: Sequence[RawEvent], size_bytes: int) -> Iterator[Sequence[RawEvent]]:
    """Events of `size_bytes` in all, in parts of what is decoded at once.

    >>> [len(step) for step in in_steps([b"x"] * 101, 101)]
    [100, 1]
    """
    if size_bytes <= BYTES_PER_STEP:
        for first in range(0, len(raws), EVENTS_PER_STEP):
            yield raws[first : first + EVENTS_PER_STEP]
        return
    first = held_bytes = 0
    for place, raw in enumerate(raws):
        if place - first == EVENTS_PER_STEP or held_bytes >= BYTES_PER_STEP:
            yield raws[first:place]
            first, held_bytes = place, 0
        held_bytes += len(raw)
    yield raws[first:]


class Mending:
    """How much of one body was no JSON and could not be mended: beyond the bounds no more of it is looked into."""

    def __init__(self) -> None:
        self._events = 0
        self._bytes = 0

    @property
    def goes_on(self) -> bool:
        """Whether the next event is mended, if it is no JSON."""
        return self._events < BROKEN_EVENTS_MAX and self._bytes < BROKEN_EVENTS_BYTES_MAX

    def count(self, code: str, size_bytes: int) -> None:
        """Count an event that was refused, if it is for this reason."""
        if code == "malformed":
            self._events += 1
            self._bytes += size_bytes


class Intake:
    """The way in for events. One for all tenants."""

    def __init__(
        self, *, door: Door, journal: Journal, quarantine: QuarantineStore, partition: Partition, clock: Clock,
        meter: Meter, partitions: int,
    ) -> None:  # fmt: skip
        self._door = door
        self._journal = journal
        self._quarantine = quarantine
        self._partition = partition
        self._clock = clock
        self._meter = meter
        self._partitions = partitions
        self._linking = Linking(partition)
        self.tally = Tally(since_ms=clock.now_ms())
        """What came in by event name, and what of it had no effect."""
        self._unheard_notes: dict[str, Note] = {}

    async def take(
        self, raws: Sequence[RawEvent], *, kind: str | None, tenant: str, sent_at_ms: int | None = None,
        defaults: dict[str, Any] | None = None, arrived_ns: int | None = None, gpc: bool = False, public: bool = False,
        user_token: str = "", history: bool = False, meet: Meet | None = None,
        alone: bool = False,
    ) -> Taken:  # fmt: skip
        """Take events; on return they are durable and folded. Bad ones are quarantined and reported.

        With `gpc` they came with `Sec-GPC: 1`: nothing of them is kept but a stub. With `public` they came with a
        public access key: whom they name and what they say of orders are claims, but for the user whom `user_token`
        confirms. With `history` they come out of an archive: their timestamps stand as they are. `meet` is asked before
        anybody is made known. `alone`: nobody else is on this loop, so it gets no turn between the steps, and all goes
        to the disk and to the fold together.

        Raises `Unavailable` (nothing more than a part may be in the log, and a retry has one effect).
        """
        arrived_ns = elapsed_ns() if arrived_ns is None else arrived_ns
        size_bytes = sum(map(len, raws))
        self._journal.check_room(size_bytes, entries=len(raws))
        rejected: list[Rejection] = []
        warnings = Warnings()
        waiters: list[asyncio.Future[None]] = []
        position, first, turns = None, 0, 0
        mending = Mending()
        try:
            for step in in_steps(raws, size_bytes):
                for _ in range(turns):
                    await asyncio.sleep(0)
                admitted, refused = self._admit(
                    step, kind, tenant, sent_at_ms, defaults, gpc, public, user_token, history,
                    mend=mending.goes_on, meet=meet,
                )  # fmt: skip
                if admitted:
                    position = self._append(admitted, tenant, warnings)
                    waiters.append(self._journal.durable(position))
                for place, error in refused:
                    raw = step[place]
                    mending.count(error.code, len(raw))
                    entry = quarantined(
                        raw, error, at_ms=self._clock.now_ms(), tenant=tenant, kind=kind or "", sent_at_ms=sent_at_ms,
                        defaults=defaults, public=public,
                    )  # fmt: skip
                    rejected.append(Rejection(entry.message_id, error.code, error.message, first + place))
                    waiters.append(self._set_aside(entry, gpc=gpc))
                first += len(step)
                turns = 0 if alone else 1 + sum(map(len, step)) // BYTES_PER_TURN
        except Unavailable:
            for waiter in waiters:  # Nobody waits for what went before the refusal.
                waiter.cancel()
            raise
        await (waiters[0] if len(waiters) == 1 else asyncio.gather(*waiters))
        if position is not None:
            await self._journal.folded(position)
        self._meter.observe("freshness", elapsed_ns() - arrived_ns)
        self._meter.count("events_accepted", len(raws) - len(rejected))
        return Taken(len(raws) - len(rejected), rejected, self._partition.position, warnings.told())

    async def take_marked(
        self, raws: Sequence[RawEvent], mark: Callable[[Sequence[int], Sequence[Tracked]], Imported | None], *,
        tenant: str, sent_at_ms: int | None, defaults: dict[str, Any] | None, warnings: Warnings, mending: Mending,
    ) -> Marked:  # fmt: skip
        """Take one step of an import, at most `EVENTS_PER_STEP`; on return it is durable and folded, or refused whole.

        What is refused is in the quarantine before; `mark` gets the places of what is kept, and its records, and gives
        the record that goes before them in the same group. `mending` is that of the body that the step is of.
        """
        assert len(raws) <= EVENTS_PER_STEP
        self._journal.check_room(sum(map(len, raws)), entries=len(raws))
        admitted, refused = self._admit(
            raws, None, tenant, sent_at_ms, defaults, False, False, "", False, mend=mending.goes_on
        )
        rejected, waiters = list[Rejection](), list[asyncio.Future[None]]()
        for place, error in refused:
            entry = quarantined(
                raws[place], error, at_ms=self._clock.now_ms(), tenant=tenant, kind="", sent_at_ms=sent_at_ms,
                defaults=defaults,
            )  # fmt: skip
            rejected.append(Rejection(entry.message_id, error.code, error.message, place))
            waiters.append(self._set_aside(entry, gpc=False))
            mending.count(error.code, len(raws[place]))
        await asyncio.gather(*waiters)
        bad = {place for place, _ in refused}
        places = [place for place in range(len(raws)) if place not in bad]
        if refused:  # Somebody may have been erased meanwhile.
            good = [raws[place] for place in places]
            admitted = self._admit(good, None, tenant, sent_at_ms, defaults, False, False, "", False)[0] if good else []
        kept = [(place, one.record) for place, one in zip(places, admitted, strict=True)
                if isinstance(one.record, Tracked)]
        if admitted:
            marked = mark([place for place, _ in kept], [record for _, record in kept])
            position = self._append(admitted, tenant, warnings, marked)
            await self._taken_up(position, self._journal.durable(position))
        self._meter.count("events_accepted", len(admitted))
        return Marked(len(admitted), rejected, [record.name for _, record in kept])

    def has_effect(self, name: str) -> bool:
        """Whether a feature hears events of this name, or they link people."""
        schema = self._partition.state.schema
        return schema.hears_all or name in schema.codes or name in _LINKING

    async def reject(
        self, raw: bytes, error: EventRejected, *, tenant: str, kind: str = BATCH, gpc: bool = False,
        public: bool = False,
    ) -> None:  # fmt: skip
        """Quarantine a body that holds no events one could tell apart; returns when it is on disk."""
        entry = quarantined(raw, error, at_ms=self._clock.now_ms(), tenant=tenant, kind=kind, public=public)
        await self._set_aside(entry, gpc=gpc)

    def admit_again(self, again: SecondTry, *, tenant: str, mend: bool = True) -> Admitted:
        """An event out of the quarantine through the same door; `EventRejected` when it is still not fit, and, without
        `mend`, where it is no JSON."""
        admitted = self._door.admit(
            again.raw, kind=again.kind, received_ms=self._clock.now_ms(), tenant=tenant, sent_at_ms=again.sent_at_ms,
            defaults=again.defaults, public=again.public, arrived_ms=again.arrived_ms, mend=mend,
        )  # fmt: skip
        if isinstance(admitted.record, Tracked) and (unfit := self._partition.unfit([admitted.record])) is not None:
            raise EventRejected(POISON, f"{type(unfit).__name__}: {unfit}")
        return admitted

    def append_again(self, admitted: Admitted, *, tenant: str) -> Awaitable[None]:
        """What `admit_again` gave, appended in the same step of the loop: nobody is erased in between.

        When it is awaited it is durable and folded. Raises `Unavailable`.
        """
        position = self._append([admitted], tenant, Warnings())
        return self._taken_up(position, self._journal.durable(position))

    async def _taken_up(self, position: RecordPosition, durable: asyncio.Future[None]) -> None:
        await durable
        await self._journal.folded(position)

    def _admit(
        self, raws: Sequence[RawEvent], kind: str | None, tenant: str, sent_at_ms: int | None,
        defaults: dict[str, Any] | None, gpc: bool, public: bool, user_token: str, history: bool, mend: bool = True,
        meet: Meet | None = None,
    ) -> tuple[list[Admitted], list[tuple[int, EventRejected]]]:  # fmt: skip
        """What goes in, and the places of what does not with the reasons; without `mend` no JSON that is broken."""
        started_ns = elapsed_ns()
        received_ms = self._clock.now_ms()
        admitted, refused = self._door.admit_step(
            raws, kind=kind, received_ms=received_ms, tenant=tenant, sent_at_ms=sent_at_ms, defaults=defaults, gpc=gpc,
            public=public, user_token=user_token, history=history, mend=mend, meet=meet,
        )  # fmt: skip
        enriched_ns = self._door.enrich_ns_taken()
        decoded_ns = elapsed_ns() - started_ns - enriched_ns
        self._meter.observe("decode", decoded_ns // len(raws), times=len(raws))
        self._meter.observe("enrich", enriched_ns // len(raws), times=len(raws))
        return admitted, refused

    def _append(
        self, admitted: Sequence[Admitted], tenant: str, warnings: Warnings, marked: Imported | None = None
    ) -> RecordPosition:
        """Append what was admitted, and the links it claims, behind `marked`; the position of the last. What has no
        effect is counted, and added to `warnings`."""
        if not self._partition.state.has_room:
            self._check_known(admitted)
        partitions = self._partitions
        entries: list[Entry[Record]] = []
        if marked is not None:
            entries.append((CONTROL_PARTITION, marked.at_ms, encode_record(marked), marked))
        heard, hears_all = self._partition.state.schema.codes, self._partition.state.schema.hears_all
        unknown = self._partition.state.catalogue.unknown(
            [ref for one in admitted if type(one.record) is Tracked for ref in one.record.items]
        )
        newest_ms = received_ms = 0
        taken: dict[str, int] = {}
        unheard: set[str] = set()
        for one in admitted:
            record = one.record
            received_ms = record.at_ms if isinstance(record, Withheld) else record.received_ms
            if one.consents:
                entries += [(CONTROL_PARTITION, received_ms, encode_record(said), said) for said in one.consents]
            if isinstance(record, Withheld):
                entries.append((CONTROL_PARTITION, received_ms, one.payload, record))
                self._meter.count(f"events_withheld.{record.reason}")
                continue
            name = record.name
            taken[name] = taken.get(name, 0) + 1
            if name not in heard and not hears_all and name not in _LINKING:
                self._meter.count("events_unheard")
                unheard.add(name)
                warnings.add(name, self._unheard(name), one.message_id)
            if one.notes:
                self._tell(one.notes, record, one.message_id, warnings)
            if unknown and not unknown.isdisjoint(record.items):
                self._tell_unknown(record, one.message_id, warnings)
            if record.happened_ms > newest_ms:
                newest_ms = record.happened_ms
            entries.append((record.key % partitions, received_ms, one.payload, record))
            for claim in one.links:
                linked = self._linking.judge(claim, received_ms, tenant)
                if linked is not None:
                    entries.append((CONTROL_PARTITION, received_ms, encode_record(linked), linked))
                if self._linking.full:
                    self._tell((_LINKS_FULL,), record, one.message_id, warnings)
        try:
            position = self._journal.extend(entries)
        except Unavailable:
            self._linking.refused()
            raise
        self._linking.appended(position)
        self._clock.observe(newest_ms)
        if taken:
            self.tally.count_events(tenant, taken, unheard=unheard, at_ms=received_ms)
        return position

    def _unheard(self, name: str) -> Note:
        """What is said about a name that nothing hears, with the one that was probably meant; of a name that is met
        first after many others, without: looking for it takes a millisecond."""
        note = self._unheard_notes.get(name)
        if note is None:
            if len(self._unheard_notes) >= TALLY_NAMES_PER_TENANT_MAX:
                return _UNHEARD
            meant = "" if name in BY_NAME else likely_name(name, self._partition.state.schema.codes)
            note = Note(UNHEARD, "", f'this looks like "{meant}"') if meant else _UNHEARD
            self._unheard_notes[name] = note
        return note

    def _tell(self, notes: Sequence[Note], record: Tracked, message_id: str, warnings: Warnings) -> None:
        """Count what is to be said about one event, and say it in the reply."""
        for note in notes:
            self._meter.count(f"events_notes.{note.code}")
            self.tally.count_note(record.tenant, record.name, note, at_ms=record.received_ms)
            warnings.add(record.name, note, message_id)

    def _tell_unknown(self, record: Tracked, message_id: str, warnings: Warnings) -> None:
        """An item of the event is not in the catalogue; or nothing is, which is said once a reply and not per name."""
        note = _ITEM_UNKNOWN if self._partition.state.catalogue.count_of(record.tenant) else NO_CATALOGUE
        self._tell((note,), record, message_id, warnings)

    def _check_known(self, admitted: Sequence[Admitted]) -> None:
        """With the state full, only people who are known already are taken."""
        records = (one.record for one in admitted)
        if any(not isinstance(one, Withheld) and self._partition.state.cell_row(one.key) < 0 for one in records):
            raise Overloaded(
                "the state is full: memory holds no more people, and the disk takes none who are idle", retry_after_s=60
            )

    def _set_aside(self, entry: Quarantined, *, gpc: bool) -> asyncio.Future[None]:
        """Keep a rejected event, or with `gpc` only why it was rejected; done when that is on disk."""
        self._meter.count("events_rejected")
        self._meter.count(f"events_rejected_{entry.code}")
        return self._quarantine.keep(msgspec.structs.replace(entry, raw=b"", defaults=b"") if gpc else entry)
