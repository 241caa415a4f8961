"""Erasing people: at their request, when they have been gone for long, and again after a backup was restored.

The order is what makes it safe to be killed anywhere: the erasure list first, which the next start finishes from;
then the log, which makes the fold forget; then the keys, which make the log itself unreadable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..events.decode import Door
from ..events.envelope import Erased
from ..events.subjects import Sealed
from ..foundation.clock import Clock
from ..foundation.errors import RequestRejected
from ..foundation.ids import Ids
from ..foundation.measure import Meter
from ..privacy.audit import SERVER, Audit
from ..privacy.erasures import VERSION, Erasure, ErasureList
from ..privacy.subjects import KeyStore
from .checkpoints import Checkpoints
from .journal import Journal
from .partition import Partition

ERASED_PER_TURN = 500
"""People forgotten for their idleness in one turn of retention."""
DAY_MS = 86_400_000


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place where something of a person was kept, and what became of it."""

    where: str
    how: str
    count: int | None = None


class ErasureReceipt(msgspec.Struct, frozen=True, rename="camel"):
    """What went where. It names nobody."""

    id: str
    at: str
    tenant: str
    places: list[Place]


class SignedErasure(msgspec.Struct, frozen=True, rename="camel"):
    """Reply of `DELETE /v1/profiles/{id}`. The signature (Ed25519, hexadecimal) is over the bytes of `receipt`."""

    receipt: msgspec.Raw
    signature: str
    public_key: str


class RetentionOptions(msgspec.Struct, frozen=True):
    """How long each class of data is kept, in days."""

    events: int = 90
    receipts: int = 90
    profiles: int = 400
    quarantine: int = 7


class Eraser:
    """Erases people of one partition. One erasure at a time."""

    def __init__(
        self, *, partition: Partition, journal: Journal, subjects: KeyStore, erasures: ErasureList, door: Door,
        audit: Audit, checkpoints: Checkpoints, make_checkpoint: Callable[[], Awaitable[object]], clock: Clock,
        ids: Ids, meter: Meter, retention: RetentionOptions,
    ) -> None:  # fmt: skip
        self._partition = partition
        self._journal = journal
        self._subjects = subjects
        self._erasures = erasures
        self._door = door
        self._audit = audit
        self._checkpoints = checkpoints
        self._make_checkpoint = make_checkpoint
        self._clock = clock
        self._ids = ids
        self._meter = meter
        self._retention = retention
        self._one_at_a_time = asyncio.Lock()

    async def erase(self, tenant: str, identifier: str, *, actor: str = SERVER) -> SignedErasure:
        """Erase whoever goes by this id (`u1` or `anonymous:a1`), with every linked id.

        On return nothing of the person can be read, also not by us. Raises `RequestRejected` (404) when nobody does,
        and `Unavailable` when it cannot be finished now; it is then finished by calling again, or at the next start.
        """
        async with self._one_at_a_time:
            cell = self._subjects.find(tenant, identifier)
            if not cell:
                raise RequestRejected("unknown_profile", "nothing is known under this identifier", status=404)
            cells = tuple(dict.fromkeys([cell, *self._partition.links.cells(cell)]))
            erasure = Erasure(VERSION, self._ids.token(), self._clock.now_ms(), tenant, cells)
            places = await self._carry_out(erasure)
            await self._audit.note("person.erased", actor=actor, tenant=tenant, subject=erasure.id)
            await self._make_checkpoint()
            removed = await self._checkpoints.remove_older()
            places.append(Place("checkpoints", "removed; a new one stands without the person", removed))
            self._meter.count("people_erased")
            return self._signed(erasure, places)

    async def finish(self) -> int:
        """Carry out what the erasure list names and this log or the keys still hold; how many erasures.

        That is so after a kill in the middle of one, and after an older backup was restored.
        """
        unfinished = [erasure for erasure in self._erasures if self._holds(erasure.cells)]
        for erasure in unfinished:
            await self._forget(erasure)
        return len(unfinished)

    async def retain(self) -> int:
        """One turn of retention: destroy the keys of days that are over, and forget people who are gone for long."""
        now_ms, keep = self._clock.now_ms(), self._retention
        for kind, days in (
            (Sealed.EVENT, keep.events), (Sealed.RECEIPT, keep.receipts), (Sealed.QUARANTINE, keep.quarantine),
        ):  # fmt: skip
            retired = self._subjects.retire(kind, now_ms - days * DAY_MS)
            if retired:
                self._meter.count(f"days_destroyed.{kind.name.lower()}", retired)
        before_ms = now_ms - keep.profiles * DAY_MS
        async with self._one_at_a_time:
            idle = self._partition.state.idle_cells(before_ms, ERASED_PER_TURN)
            gone = [cell for cell in idle if self._all_idle(cell, before_ms)]
            if gone:
                cells = tuple(dict.fromkeys(member for cell in gone for member in self._members(cell)))
                await self._carry_out(Erasure(VERSION, self._ids.token(), now_ms, "", cells, "retention"))
                self._meter.count("people_retired", len(gone))
        return len(gone)

    async def _carry_out(self, erasure: Erasure) -> list[Place]:
        await asyncio.to_thread(self._erasures.add, erasure)
        return await self._forget(erasure)

    async def _forget(self, erasure: Erasure) -> list[Place]:
        partition, cells = self._partition, erasure.cells
        state = partition.state
        messages = tuple(state.messages_of(cells))
        horizon_ms = max(state.settings["lateness_window_ms"], state.settings["dedup_window_ms"])
        asked = erasure.reason == "request"
        record = Erased(
            erasure.at_ms, erasure.tenant, erasure.id, cells,
            tombstones=tuple(self._subjects.tombstones_of(cells)) if asked else (),
            messages=messages if asked else (), until_ms=erasure.at_ms + horizon_ms, reason=erasure.reason,
        )  # fmt: skip
        places = [
            Place("state", "removed", sum(state.cell_row(cell) >= 0 for cell in cells)),
            Place("links", "removed", len(partition.links.of_profile(cells[0]))),
            Place("consent", "removed", sum(bool(partition.consents.of([cell])) for cell in cells)),
        ]
        now_ms = self._clock.now_ms()
        await self._journal.write([record], now_ms)
        # What came in between the two lines above is erased by the second record: from here on the pseudonyms
        # cannot be found any more, so nothing new is written under them.
        slots = self._subjects.take_out(cells)
        await self._journal.write([Erased(now_ms, erasure.tenant, erasure.id, cells, reason=erasure.reason)], now_ms)
        await asyncio.to_thread(self._subjects.overwrite, slots)
        self._door.forget()
        sealed = "unreadable: sealed under the keys that were destroyed"
        return [
            *places,
            Place("keys", "destroyed", len(slots)),
            *(Place(where, sealed) for where in ("events", "receipts", "quarantine")),
            Place("caches", "emptied"),
            Place("backups", "hold no keys; the erasure list is applied before a restored one serves"),
        ]

    def _holds(self, cells: Sequence[int]) -> bool:
        """Whether anything is left of people with these pseudonyms."""
        partition = self._partition
        if any(partition.state.knows(cell) for cell in cells) or partition.consents.of(cells):
            return True
        return any(len(partition.links.cells(cell)) > 1 for cell in cells) or self._subjects.has(cells)

    def _members(self, cell: int) -> list[int]:
        return [cell, *(member for member in self._partition.links.cells(cell) if member != cell)]

    def _all_idle(self, cell: int, before_ms: int) -> bool:
        """Whether nothing came of any cell of the profile since."""
        return all(self._partition.state.received_ms(member) < before_ms for member in self._members(cell))

    def _signed(self, erasure: Erasure, places: list[Place]) -> SignedErasure:
        at = datetime.fromtimestamp(erasure.at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
        receipt = msgspec.json.encode(ErasureReceipt(erasure.id, at, erasure.tenant, places))
        key = Ed25519PrivateKey.from_private_bytes(self._subjects.signing_key())
        return SignedErasure(
            msgspec.Raw(receipt), key.sign(receipt).hex(), key.public_key().public_bytes_raw().hex()
        )
