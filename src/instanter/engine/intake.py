"""Taking events in: admit, append, quarantine what is rejected, and wait until the next decision sees the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..events.decode import Admitted, Door
from ..events.envelope import Linked
from ..events.reject import encode_quarantined, quarantined
from ..foundation.clock import Clock, elapsed_ns
from ..foundation.errors import EventRejected, Overloaded
from ..foundation.measure import Meter
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
        meter: Meter, partitions: int, no_room: Callable[[int], bool],
    ) -> None:  # fmt: skip
        self._door = door
        self._journal = journal
        self._quarantine = quarantine
        self._partition = partition
        self._clock = clock
        self._meter = meter
        self._partitions = partitions
        self._no_room = no_room

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
            position = max(position, self._take_step(step, kind, tenant, sent_at_ms, defaults, rejected))
            waiters.extend(self._journal.settle())
            waiters.extend(self._quarantine.settle())
        for waiter in waiters:
            await waiter
        if position >= 0:
            await self._journal.folded(position)
        self._meter.observe("freshness", elapsed_ns() - arrived_ns)
        self._meter.count("events_accepted", len(raws) - len(rejected))
        return Taken(len(raws) - len(rejected), rejected, self._partition.position)

    async def reject(self, raw: bytes, error: EventRejected, *, tenant: str) -> None:
        """Quarantine a body that holds no events one could tell apart; returns when it is on disk."""
        self._set_aside(raw, error, tenant)
        for waiter in self._quarantine.settle():
            await waiter

    def _take_step(
        self, raws: Sequence[RawEvent], kind: str | None, tenant: str, sent_at_ms: int | None,
        defaults: dict[str, Any] | None, rejected: list[Rejection],
    ) -> int:  # fmt: skip
        """Admit and append some events; the position of the last one, -1 if none was admitted."""
        started_ns = elapsed_ns()
        received_ms = self._clock.now_ms()
        position = -1
        for raw in raws:
            try:
                admitted = self._door.admit(
                    raw, kind=kind, received_ms=received_ms, tenant=tenant, sent_at_ms=sent_at_ms, defaults=defaults
                )
            except EventRejected as error:
                rejected.append(self._set_aside(raw, error, tenant))
                continue
            position = self._append(admitted, tenant)
        elapsed = elapsed_ns() - started_ns
        enriched_ns = self._door.enrich_ns_taken()
        for _ in raws:
            self._meter.observe("decode", (elapsed - enriched_ns) // len(raws))
            self._meter.observe("enrich", enriched_ns // len(raws))
        return position

    def _append(self, admitted: Admitted, tenant: str) -> int:
        record = admitted.record
        if self._no_room(record.key):
            raise Overloaded("the state is full: state.memory_mb holds no more people", retry_after_s=60)
        self._clock.observe(record.happened_ms)
        position = self._journal.append(record.key % self._partitions, record.received_ms, admitted.payload, record)
        for claim in admitted.links:
            if self._partition.links.would_change(cell=claim.cell, owner=claim.owner):
                linked = Linked(record.received_ms, tenant, claim.cell, claim.owner, claim.body)
                position = self._journal.append_control(linked, record.received_ms)
        return position

    def _set_aside(self, raw: RawEvent, error: EventRejected, tenant: str) -> Rejection:
        entry = quarantined(raw, error, at_ms=self._clock.now_ms(), tenant=tenant)
        self._quarantine.append(entry.at_ms, encode_quarantined(entry))
        self._meter.count("events_rejected")
        self._meter.count(f"events_rejected_{error.code}")
        return Rejection(entry.message_id, error.code, error.message)
