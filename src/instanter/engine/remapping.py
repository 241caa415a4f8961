"""Kept events that no feature heard, told again under the names and features of today.

The log is walked from its beginning, a bounded piece at a time, and what is told again is appended as a record of its
own that names its first telling, so the log says what has been: a second walk tells nothing, and one that was killed
goes on. Nothing is changed that was there, so past receipts replay as they were. Consent and erasures of today hold.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from ..events.decode import Door
from ..events.envelope import Configured, Flag, Record, Tracked, encode_record, read_record
from ..events.kinds import NAME_BY_TYPE
from ..events.named_items import NAMING_ITEMS
from ..foundation.clock import Clock
from ..foundation.errors import EventRejected
from ..foundation.limits import EFFECTS_SAMPLES_MAX, REMAP_MESSAGES_MAX, REMAP_POSITIONS_MAX, REMAP_STEP_BYTES
from ..log.base import Readable
from ..log.commit import Entry
from ..privacy.audit import Audit, Plain
from ..privacy.subjects import KeyStore
from .effects import BARE_MAX, LAST_PART, field_with_ids, to_item_from
from .export import stored_event
from .intake import BYTES_PER_STEP
from .journal import Journal
from .partition import Partition

RECORDS_PER_STEP: Final = 2_048
"""Records of the log that one step looks at."""
EVENTS_AT_ONCE: Final = 64
"""Events told again before the loop may do something else."""
ANY: Final = "*"
NO_BOUND: Final = 1 << 62
_NAMES_BY_TYPE: Final = frozenset(NAME_BY_TYPE.values())


class NameRemapped(msgspec.Struct, frozen=True, rename="camel"):
    """Events that were kept under one name and are told again under another, or the same that is heard now."""

    event: str
    """The name that they were kept under."""
    name: str
    """The one that they are told again under."""
    told: int


class RemapStep(msgspec.Struct, frozen=True, rename="camel"):
    """What one step came to."""

    dry_run: bool
    looked: int
    """Records of the log."""
    told: list[NameRemapped]
    skipped: dict[str, int]
    """Events that were not told again: `told_before`, `repeated` (a messageId of the same person), `erased`,
    `withheld` (no consent today), `refused` (the door takes them no more), `unheard` (nor does anything hear them now),
    `no_item` (they would name no item, while a field of theirs has the catalogue's ids, and each is told once only).
    """
    unheard: dict[str, int]
    """Of these, by name."""
    elsewhere: dict[str, str]
    """Of those of `no_item`, by name: where the ids stand, and what to do about it."""
    next: str | None
    """Where to go on; null at the end of the log."""


class _Candidate(NamedTuple):
    position: int
    record: Tracked


class _Walk:
    """How far a tenant's walk has come, and what it has to remember."""

    def __init__(self, tenant: str, end: int) -> None:
        self.tenant = tenant
        self.position = 0
        self.end = end
        """What was not in the log when it began needs no telling again."""
        self.features: frozenset[tuple[str, str]] = frozenset()
        """That counted where the walk stands."""
        self.messages = OrderedDict[tuple[int, int, int], None]()
        """Cell, message and time of events passed, the newest `REMAP_MESSAGES_MAX`."""
        self.told: frozenset[int] = frozenset()
        """Positions below `told_below` of events that have been told again."""
        self.told_below = 0

    def is_new(self, record: Tracked) -> bool:
        """Whether this is no repetition of an event passed before; remembers it."""
        key = record.key, record.message, record.happened_ms
        if key in self.messages:
            return False
        if len(self.messages) >= REMAP_MESSAGES_MAX:
            self.messages.popitem(last=False)
        self.messages[key] = None
        return True


class Remapper:
    """Tells kept events again. One for all tenants, one step at a time; used on the loop's thread."""

    def __init__(
        self, *, door: Door, journal: Journal, partition: Partition, log: Readable, subjects: KeyStore, clock: Clock,
        audit: Audit, partitions: int,
    ) -> None:  # fmt: skip
        self._door = door
        self._journal = journal
        self._partition = partition
        self._log = log
        self._subjects = subjects
        self._clock = clock
        self._audit = audit
        self._partitions = partitions
        schema = partition.state.schema
        name_of = {code: name for name, code in schema.codes.items()}
        self._on = {
            (placed.spec.name, placed.spec.version): frozenset(
                name_of.get(code, ANY) for code in (*placed.spec.codes, *placed.spec.takes_back))
            for placed in schema.layout.features
        }
        """The names that each feature hears or takes back by, `ANY` among them where it hears all others too."""
        self._walk: _Walk | None = None
        self._turn = asyncio.Lock()

    async def step(self, tenant: str, after: int, *, dry_run: bool, actor: str) -> RemapStep:
        """Go on from a position, 0 for the beginning; on return what was told again is durable and folded. One that is
        further on than what is folded counts as that.

        Raises `Unavailable`: what was told by then stands, and the same step goes on with the rest.
        """
        after = min(after, self._partition.position)
        async with self._turn:
            walk = await self._walk_at(tenant, after)
            if after == 0 and not dry_run:
                await self._audit.note("events.remapped", actor=actor, tenant=tenant, details=dict[str, Plain]())
            frames, candidates, following = await asyncio.to_thread(self._look, walk)
            told, skipped, unheard = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
            bare = self._bare(candidates, tenant)
            self._walk = None  # Until it is through: where it broke off the log says.
            for some in _at_once(candidates):
                await self._tell(some, walk, dry_run, told, skipped, unheard, bare)
            walk.position = following
            if following < walk.end:
                self._walk = walk
            return RemapStep(
                dry_run, frames, [NameRemapped(event, name, count) for (event, name), count in told.items()],
                dict(skipped), dict(unheard), {name: to_item_from(field) for name, field in bare.items()},
                str(following) if following < walk.end else None,
            )  # fmt: skip

    async def _walk_at(self, tenant: str, after: int) -> _Walk:
        walk = self._walk
        if walk is None or walk.tenant != tenant or walk.position != after or after == 0:
            await self._journal.settled()
            walk = self._walk = _Walk(tenant, self._partition.position)
            while walk.position < after:  # Another walk came in between, or a restart: the same way without telling.
                _, passed, walk.position = await asyncio.to_thread(self._look, walk)
                for one in passed:
                    walk.is_new(one.record)
        if walk.position >= walk.told_below:
            walk.told, walk.told_below = await asyncio.to_thread(
                told_again, self._log, tenant, walk.position, REMAP_POSITIONS_MAX
            )
        return walk

    def _look(self, walk: _Walk) -> tuple[int, list[_Candidate], int]:
        """The next piece of the log: how many records, the candidates among them, and where to go on. In a thread."""
        looked, candidates, size_bytes, following = 0, list[_Candidate](), 0, walk.end
        for frame in self._log.read(walk.position or None):
            if frame.position >= walk.end or (walk.told_below and frame.position >= walk.told_below):
                following = min(frame.position, walk.end)
                break
            if looked == RECORDS_PER_STEP or size_bytes >= REMAP_STEP_BYTES:
                following = frame.position
                break
            looked += 1
            record = read_record(frame.payload)
            if isinstance(record, Configured):
                walk.features = frozenset(record.features)
            elif isinstance(record, Tracked) and self._may_tell(record, walk):
                candidates.append(_Candidate(frame.position, record))
                size_bytes += len(record.body)
        return looked, candidates, following

    def _may_tell(self, record: Tracked, walk: _Walk) -> bool:
        """Whether no feature heard it when it came, and one may now."""
        if record.tenant != walk.tenant or record.first_told:
            return False
        name, declared = record.name, walk.features & self._on.keys()
        if any(name in self._on[one] or ANY in self._on[one] for one in declared):
            return False
        if self._is_heard(name):  # Where features counted then that are gone it is not known what they heard.
            return declared == walk.features
        return name not in _NAMES_BY_TYPE

    def _bare(self, candidates: list[_Candidate], tenant: str) -> dict[str, str]:
        """The fields that hold the catalogue's ids in candidates that named no item, by the name they were kept under.

        Only such as `item_from` can name: for others there is nothing to wait for.
        """
        samples: dict[str, list[Tracked]] = {}
        left = EFFECTS_SAMPLES_MAX
        for _, record in candidates:
            if left and not record.items and len(some := samples.setdefault(record.name, [])) < BARE_MAX:
                some.append(record)
                left -= 1
        found = ((name, field_with_ids(samples[name], tenant, self._partition, self._subjects)) for name in samples)
        return {name: field for name, field in found if field and not field.endswith(LAST_PART)}

    def _is_heard(self, name: str) -> bool:
        schema = self._partition.state.schema
        return schema.hears_all or name in schema.codes

    async def _tell(
        self, candidates: list[_Candidate], walk: _Walk, dry_run: bool, told: Counter[tuple[str, str]],
        skipped: Counter[str], unheard: Counter[str], bare: dict[str, str],
    ) -> None:  # fmt: skip
        """Tell candidates again. They are judged and appended in one step: nobody is erased in between."""
        entries: list[Entry[Record]] = []
        now_ms = self._clock.now_ms()
        names = Counter[tuple[str, str]]()
        for position, record in candidates:
            again, why = self._again(position, record, walk, bare)
            if again is None:
                skipped[why] += 1
                if why == "unheard":
                    unheard[record.name] += 1
                continue
            names[record.name, again.name] += 1
            entries.append((again.key % self._partitions, now_ms, encode_record(again), again))
        if entries and not dry_run:
            self._journal.check_room(sum(len(entry[2]) for entry in entries), entries=len(entries))
            position = self._journal.extend(entries)
            await self._journal.durable(position)
            await self._journal.folded(position)
        else:
            await asyncio.sleep(0)
        told.update(names)

    def _again(
        self, position: int, record: Tracked, walk: _Walk, bare: dict[str, str]
    ) -> tuple[Tracked | None, str]:
        """The record to append, or why there is none."""
        is_new = walk.is_new(record)
        if position in walk.told:
            return None, "told_before"
        event = stored_event(record, self._subjects)
        if event is None or not self._partition.state.knows(record.key):
            return None, "erased"
        now_ms = self._clock.now_ms()
        try:
            admitted = self._door.admit(
                msgspec.json.encode(event), kind=None, received_ms=now_ms, tenant=record.tenant,
                arrived_ms=record.received_ms, public=bool(record.flags & Flag.PUBLIC),
            ).record  # fmt: skip
        except EventRejected:
            return None, "refused"
        if not isinstance(admitted, Tracked):
            return None, "withheld"
        if not self._is_heard(admitted.name):
            return None, "unheard"
        if not is_new:
            return None, "repeated"
        if record.name in bare and not admitted.items and admitted.name in NAMING_ITEMS:
            return None, "no_item"
        return msgspec.structs.replace(
            admitted, received_ms=record.received_ms, happened_ms=record.happened_ms, key=record.key,
            message=record.message, context=record.context, body=record.body, subject=record.subject,
            flags=admitted.flags | record.flags | Flag.RETOLD, first_told=position,
        ), ""  # fmt: skip


def _at_once(candidates: list[_Candidate]) -> Iterator[list[_Candidate]]:
    """In parts that are told before the loop may do something else."""
    some, size_bytes = list[_Candidate](), 0
    for one in candidates:
        if len(some) == EVENTS_AT_ONCE or size_bytes >= BYTES_PER_STEP:
            yield some
            some, size_bytes = [], 0
        some.append(one)
        size_bytes += len(one.record.body)
    if some:
        yield some


def told_again(log: Readable, tenant: str, start: int, most: int) -> tuple[frozenset[int], int]:
    """Positions from `start` on of events that have been told again, and below which position these are all.

    At most `most` of them: of more only the lowest. Reads the log behind `start`, where every second telling lies.
    """
    found: list[int] = []
    below = NO_BOUND
    for first_told in _second_tellings(log, tenant, start):
        if start <= first_told < below:
            found.append(first_told)
        if len(found) >= 2 * most:
            found = sorted(found)[:most]
            below = found[-1] + 1
    return frozenset(found), below


def _second_tellings(log: Readable, tenant: str, start: int) -> Iterator[int]:
    for frame in log.read(start or None):
        record = read_record(frame.payload)
        if isinstance(record, Tracked) and record.first_told and record.tenant == tenant:
            yield record.first_told
