"""Taking events in: admit, append, quarantine what is rejected, and wait until the next decision sees the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from ..events.decode import Admitted, Door
from ..events.envelope import CONTROL_PARTITION, Linked, Record, encode_record
from ..events.reject import encode_quarantined, quarantined
from ..foundation.clock import Clock, elapsed_ns
from ..foundation.errors import EventRejected, Overloaded
from ..foundation.measure import Meter
from ..log.commit import Entry
from .journal import Journal, QuarantineStore
from .partition import Partition

EVENTS_PER_STEP = 64
"""Events decoded before the loop may do something else."""

RawEvent = bytes | msgspec.Raw


class Rejection(msgspec.Struct, frozen=True, rename="camel"):
    """One event of a request that was not taken."""

    message_id: str
    code: str
    message: str


class Taken(msgspec.Struct, frozen=True):
    """What became of a request's events: on disk, folded, and behind `position`."""

    accepted: int
    rejected: list[Rejection]
    position: int


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

    async def take(
        self, raws: Sequence[RawEvent], *, kind: str | None, tenant: str, sent_at_ms: int | None = None,
        defaults: dict[str, Any] | None = None, arrived_ns: int | None = None,
    ) -> Taken:  # fmt: skip
        """Take events; on return they are durable and folded. Bad ones are quarantined and reported.

        Raises `Unavailable` (nothing more than a part may be in the log, and a retry has one effect).
        """
        arrived_ns = elapsed_ns() if arrived_ns is None else arrived_ns
        self._journal.check_room(sum(map(len, raws)), entries=len(raws))
        rejected: list[Rejection] = []
        waiters: list[asyncio.Future[None]] = []
        position = -1
        for first in range(0, len(raws), EVENTS_PER_STEP):
            if first:
                await asyncio.sleep(0)
            step = raws[first : first + EVENTS_PER_STEP]
            admitted, refused = self._admit(step, kind, tenant, sent_at_ms, defaults)
            if admitted:
                position = self._append(admitted, tenant)
                waiters.append(self._journal.durable(position))
            for raw, error in refused:
                rejection, waiter = self._set_aside(raw, error, tenant)
                rejected.append(rejection)
                waiters.append(waiter)
        await asyncio.gather(*waiters)
        if position >= 0:
            await self._journal.folded(position)
        self._meter.observe("freshness", elapsed_ns() - arrived_ns)
        self._meter.count("events_accepted", len(raws) - len(rejected))
        return Taken(len(raws) - len(rejected), rejected, self._partition.position)

    async def reject(self, raw: bytes, error: EventRejected, *, tenant: str) -> None:
        """Quarantine a body that holds no events one could tell apart; returns when it is on disk."""
        _, waiter = self._set_aside(raw, error, tenant)
        await waiter

    def _admit(
        self, raws: Sequence[RawEvent], kind: str | None, tenant: str, sent_at_ms: int | None,
        defaults: dict[str, Any] | None,
    ) -> tuple[list[Admitted], list[tuple[RawEvent, EventRejected]]]:  # fmt: skip
        """What goes in, and what does not with the reason."""
        started_ns = elapsed_ns()
        received_ms = self._clock.now_ms()
        admit = self._door.admit
        admitted: list[Admitted] = []
        refused: list[tuple[RawEvent, EventRejected]] = []
        for raw in raws:
            try:
                admitted.append(
                    admit(
                        raw, kind=kind, received_ms=received_ms, tenant=tenant, sent_at_ms=sent_at_ms, defaults=defaults
                    )
                )
            except EventRejected as error:
                refused.append((raw, error))
        enriched_ns = self._door.enrich_ns_taken()
        decoded_ns = elapsed_ns() - started_ns - enriched_ns
        self._meter.observe("decode", decoded_ns // len(raws), times=len(raws))
        self._meter.observe("enrich", enriched_ns // len(raws), times=len(raws))
        return admitted, refused

    def _append(self, admitted: Sequence[Admitted], tenant: str) -> int:
        """Append what was admitted, and the links it claims; the position of the last."""
        if not self._partition.state.has_room:
            self._check_known(admitted)
        partitions, links = self._partitions, self._partition.links
        entries: list[Entry[Record]] = []
        heard = self._partition.state.schema.codes
        newest_ms = unheard = 0
        for one in admitted:
            record = one.record
            unheard += record.name not in heard
            newest_ms = max(newest_ms, record.happened_ms)
            entries.append((record.key % partitions, record.received_ms, one.payload, record))
            for claim in one.links:
                if links.would_change(cell=claim.cell, owner=claim.owner):
                    linked = Linked(record.received_ms, tenant, claim.cell, claim.owner, claim.body)
                    entries.append((CONTROL_PARTITION, record.received_ms, encode_record(linked), linked))
        position = self._journal.extend(entries)
        self._clock.observe(newest_ms)
        if unheard:
            self._meter.count("events_unheard", unheard)
        return position

    def _check_known(self, admitted: Sequence[Admitted]) -> None:
        """With the state full, only people who are known already are taken."""
        if any(self._partition.state.cell_row(one.record.key) < 0 for one in admitted):
            raise Overloaded("the state is full: state.memory_mb holds no more people", retry_after_s=60)

    def _set_aside(
        self, raw: RawEvent, error: EventRejected, tenant: str
    ) -> tuple[Rejection, asyncio.Future[None]]:
        entry = quarantined(raw, error, at_ms=self._clock.now_ms(), tenant=tenant)
        waiter = self._quarantine.append(entry.at_ms, encode_quarantined(entry))
        self._meter.count("events_rejected")
        self._meter.count(f"events_rejected_{error.code}")
        return Rejection(entry.message_id, error.code, error.message), waiter
