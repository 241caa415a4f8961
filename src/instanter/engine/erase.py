"""Erasing people: at their request, when they have been gone for long, and again after a backup was restored.

The order is what makes it safe to be killed anywhere: the erasure list first, which the next start finishes from;
then the log, which makes the fold forget; then the keys, which make the log itself unreadable.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ..events.decode import Door
from ..events.envelope import CONTROL_PARTITION, Erased, Ticked, Tracked, read_record
from ..events.subjects import NOBODY, Sealed
from ..foundation.clock import Clock
from ..foundation.errors import DiskFull, RequestRejected, Unavailable
from ..foundation.ids import Ids
from ..foundation.limits import ERASED_MESSAGES_MAX
from ..foundation.measure import Meter
from ..log.base import Readable
from ..privacy.audit import SERVER, Audit
from ..privacy.erasures import VERSION, Erasure, ErasureList, Headstone
from ..privacy.subjects import KeyStore
from .checkpoints import Checkpoints
from .journal import Journal
from .partition import Partition
from .refusals import Refusals

ERASED_PER_TURN = 500
"""People forgotten for their idleness in one turn of retention."""
BURIED_PER_WRITE = 128
"""Tombstones given to an older log in one go, up to 20 KB each."""
DAY_MS = 86_400_000
_THERE = -(1 << 64)
"""Stands for the tombstone itself beside its messages, whose references are of 64 bits."""
reports = logging.getLogger("instanter.engine")


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


class _Work:
    """An erasure under way. What is done of it is not done again when it is taken up once more."""

    def __init__(
        self, erasure: Erasure, record: Erased, names: Sequence[bytes], places: list[Place], actor: str
    ) -> None:
        self.erasure = erasure
        self.actor = actor
        self.record = self.listed = record
        """What the log is told, and what of it is written down beside the erasure list."""
        self.names = frozenset(names)
        """Keyed hashes of the ids."""
        self.places = places
        self.slots: list[int] = []
        self.forgotten = False
        self.noted = False


class Eraser:
    """Erases people of one partition. One erasure at a time."""

    def __init__(
        self, *, partition: Partition, journal: Journal, subjects: KeyStore, erasures: ErasureList, door: Door,
        audit: Audit, checkpoints: Checkpoints, make_checkpoint: Callable[[], Awaitable[object]], clock: Clock,
        ids: Ids, meter: Meter, retention: RetentionOptions, log: Readable,
    ) -> None:  # fmt: skip
        """`log` is the one that the journal writes."""
        self._partition = partition
        self._log = log
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
        self._refusals = Refusals(partition=partition, journal=journal, subjects=subjects, clock=clock)
        self.on_forgotten: Callable[[], None] = _nothing_more
        """Called whenever people have been forgotten."""
        self._one_at_a_time = asyncio.Lock()
        self._unfinished: dict[bytes, _Work] = {}
        """By keyed hash of each id, from when the erasure list names it until its receipt is given."""
        self._tasks: set[asyncio.Task[SignedErasure]] = set()
        self._purging = asyncio.Lock()
        self._purges_begun = 0
        self._purged = 0
        """The number of the newest purge that was begun and has succeeded."""
        self._removed = 0

    async def erase(self, tenant: str, identifier: str, *, actor: str = SERVER) -> SignedErasure:
        """Erase whoever goes by this id (`u1` or `anonymous:a1`), with every linked id.

        On return nothing of the person can be read, also not by us. Raises `RequestRejected` (404) when nobody does,
        and `Unavailable` when it cannot be finished now: it is then finished by calling again, within a minute by
        itself, or at the next start. Whoever asked may leave: what was begun goes on.
        """
        task = asyncio.create_task(self._erase(tenant, identifier, actor))
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    async def _erase(self, tenant: str, identifier: str, actor: str) -> SignedErasure:
        receipt = None
        work = self._unfinished.get(self._subjects.tombstone(tenant, identifier))
        if work is not None:
            receipt = await self._complete(work)
        async with self._one_at_a_time:
            cell = self._subjects.find(tenant, identifier)
            work = await self._begin(tenant, cell, actor) if cell else None
        if work is not None:
            receipt = await self._complete(work)
        if receipt is None:
            raise RequestRejected("unknown_profile", "nothing is known under this identifier", status=404)
        return receipt

    async def finish(self) -> int:
        """Carry out what the erasure list names and this log or the keys still hold; how many erasures.

        That is so after a kill in the middle of one, and after an older backup was restored; such a log is told of the
        tombstones that stand, too. And people whom older keys, put back, would bring back go again. Raises
        `Unavailable`. Doing it twice is fine.
        """
        await self._take_out_again()
        standing = self._erasures.standing(self._clock.now_ms())
        buried = self._buried()
        unfinished: list[_Work] = []
        untold: list[Erased] = []
        for erasure in self._erasures:
            stone = standing.get(erasure.id)
            if self._holds(erasure.cells):
                unfinished.append(self._work(erasure, stone=stone))
            elif stone is not None and not buried.get(stone.ids, frozenset()).issuperset((_THERE, *stone.messages)):
                untold.append(_record(erasure, stone))
        for first in range(0, len(untold), BURIED_PER_WRITE):
            await self._journal.write(untold[first : first + BURIED_PER_WRITE], self._clock.now_ms())
        for work in unfinished:
            await self._forget(work)
        if unfinished:
            await self._purge()
        return len(unfinished)

    def _buried(self) -> dict[tuple[bytes, ...], frozenset[int]]:
        """What the log knows of tombstones: by sealed ids the messages, and `_THERE`."""
        found: dict[tuple[bytes, ...], frozenset[int]] = {}
        for stone in self._partition.tombstones:
            found[stone.ids] = found.get(stone.ids, frozenset((_THERE,))).union(stone.messages)
        return found

    async def _take_out_again(self) -> None:
        """Destroy the keys of people whom this log has erased, if the keys are from before that.

        They are if they do not know the log's newest erasure; only then the log is read, from its beginning.
        """
        newest_id = self._partition.tombstones.newest_id
        listed = {erasure.id for erasure in self._erasures}
        if not newest_id or newest_id in listed or any(one.id == newest_id for one in self._erasures.headstones()):
            return
        reports.warning("the keys are older than erasures in the log: what they bring back is destroyed again")
        erased = [self._sealed_again(one) for one in await asyncio.to_thread(self._erased_in_log, listed)]
        slots = self._subjects.take_out(cell for record in erased for cell in record.cells)
        await asyncio.to_thread(self._subjects.overwrite, slots)
        for record in erased:
            if record.reason == "request":
                erasure = Erasure(VERSION, record.id, record.at_ms, record.tenant, record.cells, record.reason)
                await asyncio.to_thread(self._write_down, erasure, record)
        await asyncio.to_thread(self._erasures.add_headstone, self._seen(newest_id))
        await self._retire_days()

    def _erased_in_log(self, listed: Collection[str]) -> list[Erased]:
        """The erasures of the log that are not listed, one record each, all messages in it."""
        found: dict[str, Erased] = {}
        for frame in self._log.read():
            record = read_record(frame.payload) if frame.partition == CONTROL_PARTITION else None
            if not isinstance(record, Erased) or record.id in listed:
                continue
            known = found.get(record.id)
            if known is None or not known.tombstones or len(record.messages) > len(known.messages):
                found[record.id] = record
        return list(found.values())

    def _sealed_again(self, record: Erased) -> Erased:
        """The record with tombstones that these keys open, as far as they know whom it was about."""
        if not record.tombstones or record.until_ms <= self._clock.now_ms():
            return record
        return msgspec.structs.replace(record, tombstones=self._sealed(record.cells, record.at_ms) or record.tombstones)

    def _sealed(self, cells: Sequence[int], at_ms: int) -> tuple[bytes, ...]:
        """The keyed hashes of the ids behind these pseudonyms, as a tombstone has them."""
        names = self._subjects.names_of(cells)
        return tuple(self._subjects.seal(NOBODY, Sealed.TOMBSTONE, at_ms, name) for name in names)

    def _write_down(self, erasure: Erasure, record: Erased) -> None:
        """Put an erasure on the list, its headstone before it, and before that the key which that is sealed under."""
        if record.tombstones:
            self._subjects.flush()
            self._erasures.add_headstone(_headstone(record))
        self._erasures.add(erasure)

    def _seen(self, erasure_id: str) -> Headstone:
        now_ms = self._clock.now_ms()
        return Headstone(VERSION, erasure_id, now_ms, now_ms + self._horizon_ms())

    async def retain(self) -> int:
        """One turn of retention: destroy the keys of days that are over, and forget people who are gone for long.

        Takes up erasures that could not be finished, too.
        """
        for work in tuple(dict.fromkeys(self._unfinished.values())):
            await self._complete(work)
        await self._retire_days()
        before_ms = self._clock.now_ms() - self._retention.profiles * DAY_MS
        async with self._one_at_a_time:
            idle = self._partition.state.idle_cells(before_ms, ERASED_PER_TURN)
            gone, met = list[int](), set[int]()
            for cell in idle:
                if cell not in met and self._all_idle(cell, before_ms):
                    gone.append(cell)
                    met.update(self._members(cell))
            return await self._forget_idle(gone, before_ms) if gone else 0

    async def _retire_days(self) -> None:
        """What was sealed on days that are over cannot be read from here on."""
        now_ms, keep = self._clock.now_ms(), self._retention
        # Written down first: time never goes back behind it, so no day whose key is destroyed comes a second time.
        await self._journal.write([Ticked(now_ms)], now_ms)
        for kind, keep_ms in (
            (Sealed.EVENT, keep.events * DAY_MS), (Sealed.RECEIPT, keep.receipts * DAY_MS),
            (Sealed.QUARANTINE, keep.quarantine * DAY_MS), (Sealed.TOMBSTONE, self._horizon_ms()),
        ):  # fmt: skip
            slots = self._subjects.retire(kind, now_ms - keep_ms)
            if slots:
                await asyncio.to_thread(self._subjects.destroy_days, slots)
                self._meter.count(f"days_destroyed.{kind.name.lower()}", len(slots))

    async def _forget_idle(self, gone: Sequence[int], before_ms: int) -> int:
        """Forget the profiles of these cells, but for what they have refused; how many.

        Keys first: whom a crash leaves with a state and no key is found idle again. No entry of the erasure list: an
        old backup, restored, would find them idle as well. But a mark beside it, so that older keys, put back, are seen
        to be older.
        """
        heirs = await self._refusals.prepare(member for cell in gone for member in self._members(cell))
        # Within one step of the loop from here on: who has come meanwhile, or said something else, stays for this turn.
        still = [self._members(cell) for cell in gone if self._all_idle(cell, before_ms)]
        profiles = self._refusals.settled(still, heirs)
        cells = tuple(dict.fromkeys(member for members in profiles for member in members))
        token = self._ids.token()
        slots = self._subjects.take_out(cells)
        for heir in heirs.values():
            if heir.cell in cells:
                self._subjects.succeed(heir.slot, heir.successor)
            else:
                slots.append(heir.slot)
                cells = (*cells, heir.successor)
        if not cells:
            return 0
        await asyncio.to_thread(self._subjects.overwrite, slots)
        await asyncio.to_thread(self._erasures.add_headstone, self._seen(token))
        now_ms = self._clock.now_ms()
        await self._journal.write([Erased(now_ms, "", token, cells, reason="retention")], now_ms)
        self.on_forgotten()
        self._meter.count("people_retired", len(profiles))
        return len(profiles)

    async def _begin(self, tenant: str, cell: int, actor: str) -> _Work:
        """From here on the person is gone whatever happens: the list is on disk."""
        cells = tuple(self._partition.links.reach(cell))
        work = self._work(Erasure(VERSION, self._ids.token(), self._clock.now_ms(), tenant, cells), actor)
        await asyncio.to_thread(self._write_down, work.erasure, work.listed)
        self._unfinished |= dict.fromkeys(work.names, work)
        return work

    async def _complete(self, work: _Work) -> SignedErasure:
        """Everything that belongs to an erasure; can be called again after it failed, and twice at once."""
        async with self._one_at_a_time:
            await self._forget(work)
            if not work.noted:
                tenant, subject = work.erasure.tenant, work.erasure.id
                await self._audit.note("person.erased", actor=work.actor, tenant=tenant, subject=subject)
                work.noted = True
                self._meter.count("people_erased")
        removed = await self._purge()
        for name in work.names:
            self._unfinished.pop(name, None)
        self.on_forgotten()
        purged = Place("checkpoints", "removed; a new one stands without the person", removed)
        return self._signed(work.erasure, [*work.places, purged])

    def _work(self, erasure: Erasure, actor: str = SERVER, stone: Headstone | None = None) -> _Work:
        """An erasure with what has to be known of the person before it begins."""
        partition, cells = self._partition, erasure.cells
        names = self._subjects.names_of(cells)
        if stone is None:
            stone = Headstone(
                VERSION, erasure.id, erasure.at_ms, erasure.at_ms + self._horizon_ms(),
                ids=self._sealed(cells, erasure.at_ms),
            )  # fmt: skip
        record = self._with_messages(_record(erasure, stone))
        return _Work(erasure, record, names, [
            Place("state", "removed", sum(partition.state.knows(cell) for cell in cells)),
            Place("links", "removed", partition.links.count_about(cells)),
            Place("consent", "removed", sum(bool(partition.consents.of([cell])) for cell in cells)),
            *_not_reached(partition, cells),
        ], actor)  # fmt: skip

    async def _forget(self, work: _Work) -> None:
        """Make log, state and keys forget. Whatever of it fails is done again by the next call."""
        if work.forgotten:
            return
        erasure = work.erasure
        first = work.record = self._with_messages(work.record)
        await self._journal.write([first], self._clock.now_ms())
        # What came in meanwhile is erased by a second record, appended in the same step in which the pseudonyms stop
        # being found: nothing new is written under them behind it.
        work.slots += self._subjects.take_out(erasure.cells)
        now_ms = self._clock.now_ms()
        work.record = self._with_messages(first)
        again = Erased(now_ms, erasure.tenant, erasure.id, erasure.cells, reason=erasure.reason)
        await self._journal.write([work.record if work.record.messages != first.messages else again], now_ms)
        await asyncio.to_thread(self._subjects.overwrite, work.slots)
        if work.record.tombstones and work.record.messages != work.listed.messages:
            await asyncio.to_thread(self._erasures.add_headstone, _headstone(work.record))
            work.listed = work.record
        self._door.forget()
        sealed = "unreadable: sealed under the keys that were destroyed"
        work.places += [
            Place("keys", "destroyed", len(work.slots)),
            *(Place(where, sealed) for where in ("events", "receipts", "quarantine")),
            Place("caches", "emptied"),
            Place("backups", "hold no keys; the erasure list is applied before a restored one serves"),
        ]
        work.forgotten = True

    def _with_messages(self, record: Erased) -> Erased:
        """The record with all messages of its cells, also of events on their way: it will be behind them in the log."""
        cells = frozenset(record.cells)
        coming = [one.message for one in self._journal.in_flight() if isinstance(one, Tracked) and one.key in cells]
        messages = dict.fromkeys([*record.messages, *coming, *self._partition.state.messages_of(record.cells)])
        return msgspec.structs.replace(record, messages=tuple(messages)[:ERASED_MESSAGES_MAX])

    async def _purge(self) -> int:
        """Leave a checkpoint from after this call alone; how many were removed. Shared by all who wait for one."""
        asked = self._purges_begun
        async with self._purging:
            if self._purged <= asked:
                self._purges_begun += 1
                number = self._purges_begun
                try:
                    await self._make_checkpoint()
                    self._removed = await self._checkpoints.remove_older()
                except OSError as error:
                    raise _unavailable(error) from None
                self._purged = number
        return self._removed

    def _over(self, task: asyncio.Task[SignedErasure]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Whoever asked has been told, or has left.

    def _horizon_ms(self) -> int:
        """For how long something from before an erasure may still arrive: late, repeated, or out of the quarantine."""
        settings = self._partition.state.settings
        quarantine_ms = (self._retention.quarantine + 1) * DAY_MS
        return max(settings["lateness_window_ms"], settings["dedup_window_ms"], quarantine_ms)

    def _holds(self, cells: Sequence[int]) -> bool:
        """Whether anything is left of people with these pseudonyms."""
        partition = self._partition
        if any(partition.state.knows(cell) for cell in cells) or partition.consents.of(cells):
            return True
        return partition.links.count_about(cells) > 0 or self._subjects.has(cells)

    def _members(self, cell: int) -> list[int]:
        return self._partition.links.naming(cell)

    def _all_idle(self, cell: int, before_ms: int) -> bool:
        """Whether nothing came of any cell of the profile since."""
        return all(self._partition.state.received_ms(member) < before_ms for member in self._members(cell))

    def _signed(self, erasure: Erasure, places: list[Place]) -> SignedErasure:
        at = datetime.fromtimestamp(erasure.at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
        receipt = msgspec.json.encode(ErasureReceipt(erasure.id, at, erasure.tenant, places))
        key = Ed25519PrivateKey.from_private_bytes(self._subjects.signing_key())
        return SignedErasure(msgspec.Raw(receipt), key.sign(receipt).hex(), public_key_of(self._subjects).hex())


def _nothing_more() -> None:
    """Nobody has to be told."""


def _not_reached(partition: Partition, cells: Sequence[int]) -> list[Place]:
    """What was looked at and left, with the reason; nothing where everything was reached."""
    links, places = partition.links, list[Place]()
    if others := links.users_on(cells[0]) if links.is_shared(cells[0]) else 0:
        how = "not reached: on a shared device what was done signed in is each user's own; erase them by their user ids"
        places.append(Place("users of the device", how, others))
    if beyond := links.beyond(cells):
        how = "not reached: there was no room to link them, so nobody reads what was done there unsigned"
        places.append(Place("devices beyond the bound", how, beyond))
    if len(partition.state.messages_of(cells)) > ERASED_MESSAGES_MAX:
        how = f"the first {ERASED_MESSAGES_MAX:,} are recognised if they come again; later ones by their time alone"
        places.append(Place("repetitions", how))
    return places


def _record(erasure: Erasure, stone: Headstone) -> Erased:
    return Erased(
        erasure.at_ms, erasure.tenant, erasure.id, erasure.cells, tombstones=stone.ids, messages=stone.messages,
        until_ms=stone.until_ms, reason=erasure.reason,
    )  # fmt: skip


def _headstone(record: Erased) -> Headstone:
    return Headstone(VERSION, record.id, record.at_ms, record.until_ms, record.tombstones, record.messages)


def public_key_of(subjects: KeyStore) -> bytes:
    """By which receipts of this installation are checked."""
    return Ed25519PrivateKey.from_private_bytes(subjects.signing_key()).public_key().public_bytes_raw()


def is_signed_by(signed: SignedErasure, public_key: str) -> bool:
    """Whether a receipt, byte for byte, was signed by the installation with this public key (hexadecimal)."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signed.signature), bytes(signed.receipt))
    except (InvalidSignature, ValueError):
        return False
    return True


def _unavailable(error: OSError) -> Unavailable:
    """The disk would not have a checkpoint."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull("no room on the disk for a checkpoint without the person")
    return Unavailable(f"a checkpoint without the person could not be written: {error.strerror}")
