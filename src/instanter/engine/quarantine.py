"""The quarantine: a log of its own, bounded in size, of what could not be taken or used as it should.

Nothing in it is changed: what became of an entry is a further entry (`Quarantined.settles`), so reading takes two
passes, one for the outcomes and one for the entries that are still open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Final, NamedTuple

import msgspec

from ..events.envelope import CONTROL_PARTITION, Record, Unreadable
from ..events.reject import (
    LATE,
    LATE_FOR_SEQUENCES,
    POISON,
    Quarantined,
    decode_quarantined,
    encode_quarantined,
    opened,
    pointer,
    sealed,
    settled,
)
from ..events.subjects import NOBODY, Subjects
from ..events.times import time_text
from ..foundation.clock import Clock
from ..foundation.deadline import Deadline
from ..foundation.errors import RequestRejected, Unavailable
from ..foundation.ids import reference
from ..foundation.limits import (
    LATE_NOTED_PER_MINUTE_MAX,
    POISON_NOTED_PER_MINUTE_MAX,
    QUARANTINE_GROUPS_MAX,
    TENANTS_NOTED_MAX,
)
from ..foundation.measure import Meter
from ..log.base import Log, Readable, frame_at
from ..log.commit import Durable, GroupCommitter, Refused
from ..privacy.access import DEFAULT_TENANT
from .partition import Noticed
from .shares import Shares

log = logging.getLogger("instanter.quarantine")

MINUTE_MS: Final = 60_000
FRAMES_PER_STEP: Final = 64
"""Entries read before the loop may do something else."""
READS_MAX: Final = 3
"""How often a reading begins anew because the oldest entries went while it was in them."""
LOOKED_BYTES: Final = 1024 * 1024
"""After so many new bytes it is looked whether the oldest have gone."""
REASONS_REMEMBERED_MAX: Final = 4_096
OTHERS: Final = "further groups"
GONE: Final = "gone"
"""The outcome of an entry whose bytes cannot be read any more: nothing can come of it."""

_NOTED_MAX = {
    LATE: LATE_NOTED_PER_MINUTE_MAX,
    LATE_FOR_SEQUENCES: LATE_NOTED_PER_MINUTE_MAX,
    POISON: POISON_NOTED_PER_MINUTE_MAX,
}
_POISON_TOLD_PER_MINUTE = 10
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_DIGITS = re.compile(r"\d+")


class Kept(NamedTuple):
    """An entry and where it lies in the quarantine, by which it is named."""

    position: int
    entry: Quarantined


class RetryResult(NamedTuple):
    """What the newest try made of an entry: an empty code means that it was taken."""

    code: str
    message: str


class Group(msgspec.Struct, frozen=True, rename="camel"):
    """Open entries that were refused for the same reason."""

    group: str
    """Its id: the same for the same reason, also after a restart."""
    code: str
    message: str
    """Without the values and positions that tell one entry from the next."""
    count: int
    """Entries, and events that got none of their own."""
    first_at: str
    last_at: str
    example: str
    """Position of the newest."""


class Listing(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /v1/quarantine`: everything that is open, largest group first."""

    total: int
    groups: list[Group]
    dropped_bytes: int
    """The oldest entries that went because the whole may not be larger, since there is a quarantine."""


def tenant_of(record: Record | Unreadable) -> str:
    """Whose quarantine tells of a record: the operator's own where it is no tenant's."""
    tenant: str = getattr(record, "tenant", DEFAULT_TENANT)
    return tenant


def normalised(message: str) -> str:
    """A reason without what is in quotes and without numbers.

    >>> normalised("JSON is malformed: invalid character (byte 17)"), normalised('no "left" in $[3]')
    ('JSON is malformed: invalid character (byte N)', 'no "..." in $[N]')
    """
    return _DIGITS.sub("N", _QUOTED.sub('"..."', message))


def group_of(code: str, message: str) -> str:
    """The id of the group of a reason."""
    return f"{reference(f'{code}{chr(0)}{normalised(message)}') & 0xFFFFFFFFFFFFFFFF:016x}"


class _Count(msgspec.Struct):
    """One group in the making."""

    code: str
    message: str
    first_ms: int
    last_ms: int = 0
    count: int = 0
    example: int = 0


class Grouping:
    """Counts entries by reason; at most `QUARANTINE_GROUPS_MAX` groups, what is beyond them is one."""

    def __init__(self) -> None:
        self._groups: dict[str, _Count] = {}
        self._named: dict[tuple[str, str], str] = {}
        """The groups of reasons met before: most entries repeat one."""

    def add(self, kept: Kept, outcome: RetryResult | None) -> None:
        """Count one open entry."""
        entry = kept.entry
        code, message = outcome or (entry.code, entry.message)
        group = self._groups.get(self._named.get((code, message), "")) or self._group(code, message, entry.at_ms)
        group.count += 1 + entry.more
        group.last_ms, group.example = entry.at_ms, kept.position

    def listing(self, *, dropped_bytes: int) -> Listing:
        """What was counted."""
        groups = [
            Group(
                name, one.code, one.message, one.count, time_text(one.first_ms), time_text(one.last_ms),
                str(one.example),
            )
            for name, one in sorted(self._groups.items(), key=lambda item: (-item[1].count, item[0]))
        ]
        return Listing(sum(group.count for group in groups), groups, dropped_bytes)

    def _group(self, code: str, message: str, at_ms: int) -> _Count:
        name = group_of(code, message)
        if len(self._named) < REASONS_REMEMBERED_MAX:
            self._named[code, message] = name
        if name not in self._groups and len(self._groups) >= QUARANTINE_GROUPS_MAX:
            code = message = name = OTHERS
            self._named.clear()
        return self._groups.setdefault(name, _Count(code, normalised(message), at_ms))


def entries(quarantine: Readable) -> Iterator[Kept]:
    """All entries, oldest first, the outcomes among them. Raises `Corrupt`."""
    for frame in quarantine.read():
        yield Kept(frame.position, decode_quarantined(frame.payload, offset=frame.position))


def passed_over(quarantine: Readable) -> dict[int, str]:
    """The records of the log that could not be folded, by position, with the reason; those that were told again since
    are not among them. Raises `Corrupt`."""
    kept = [one for one in entries(quarantine) if one.entry.settles or one.entry.code == POISON]
    found = outcomes(kept)
    return {one.entry.position: one.entry.message for one in kept if is_open(one, found) and one.entry.position}


def outcomes(kept: Iterable[Kept]) -> dict[int, RetryResult]:
    """The newest outcome by the position of the entry it is about."""
    found: dict[int, RetryResult] = {}
    for one in kept:
        _note_outcome(found, one.entry)
    return found


def is_open(kept: Kept, found: dict[int, RetryResult]) -> bool:
    """Whether it is an event that nothing has come of yet."""
    outcome = found.get(kept.position)
    return not kept.entry.settles and (outcome is None or outcome.code not in ("", GONE))


def _note_outcome(found: dict[int, RetryResult], entry: Quarantined) -> None:
    if entry.settles:
        found[entry.settles] = RetryResult(entry.code, entry.message)


class _Rate:
    """How many pointers of one sort there were in this minute, and how many more there would have been."""

    __slots__ = ("_minute", "_noted", "left_out")

    def __init__(self) -> None:
        self._minute = -1
        self._noted = 0
        self.left_out = 0

    def allows(self, now_ms: int, per_minute: int) -> bool:
        """Count one; whether it may have an entry."""
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._minute, self._noted = minute, 0
        if self._noted >= per_minute:
            self.left_out += 1
            return False
        self._noted += 1
        return True


class QuarantineStore:
    """The one writer of the quarantine, and its reader on the loop. Oldest entries go when it is full."""

    def __init__(
        self, quarantine: Log, *, subjects: Subjects, clock: Clock, sync_window_ms: float, meter: Meter,
        before: Callable[[], None] | None = None, names_erased: Callable[[str, bytes, int], bool] | None = None,
    ) -> None:  # fmt: skip
        """`before` runs before each group is written: it makes the keys durable under which entries are sealed.

        `names_erased` says of a tenant's bytes that came in at some time whether they name somebody erased since:
        those that are sealed for their day alone are given out no more.
        """
        self._names_erased = names_erased
        self._log = quarantine
        self._subjects = subjects
        self._clock = clock
        self._meter = meter
        self._rates: dict[tuple[str, str], _Rate] = {}
        self._told = _Rate()
        self._shares = Shares(clock.now_ms())
        self._start = self._log.start
        self._looked_at = 0
        self._committer: GroupCommitter[None] = GroupCommitter(
            quarantine, sync_window_ms=sync_window_ms, on_durable=self._durable, on_refused=self._refused,
            before=before,
        )  # fmt: skip

    @property
    def worker(self) -> Executor:
        """The thread that writes."""
        return self._committer.worker

    @property
    def dropped_bytes(self) -> int:
        """Bytes of entries that had to go since there is a quarantine."""
        return self._start

    # Writing.

    def keep(self, entry: Quarantined) -> asyncio.Future[None]:
        """Seal and keep one entry, as far as its sender's share goes; done when it is on disk. Raises `Unavailable`."""
        fitted = self._shares.fitted(entry, self._clock.now_ms())
        if fitted is None:
            self._meter.count("quarantine_left_out")
            left_out: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            left_out.set_result(None)
            return left_out
        if len(fitted.raw) < len(entry.raw):
            self._meter.count("quarantine_stubs")
        return self._append(sealed(fitted, self._subjects))

    def settle(self, kept: Kept, *, code: str = "", message: str = "") -> asyncio.Future[None]:
        """Say that an entry has been taken, or why it still is not."""
        now_ms = self._clock.now_ms()
        return self._append(settled(kept.position, at_ms=now_ms, tenant=kept.entry.tenant, code=code, message=message))

    def note(self, position: int, record: Record | Unreadable, noticed: Noticed) -> None:
        """Point to a record of the log that the fold could not use as it should.

        At most so many a minute, tenant and sort; further ones are counted and told with the next. Waits for nothing
        and raises nothing: the record itself is in the log, whatever becomes of this.
        """
        code, tenant = noticed.code, tenant_of(record)
        self._meter.count(f"events_noted.{code}")
        now_ms = self._clock.now_ms()
        if code == POISON and self._told.allows(now_ms, _POISON_TOLD_PER_MINUTE):
            log.error("a record cannot be folded", extra={"position": position, "reason": noticed.reason})
        rate = self._rate(tenant, code)
        if rate is None or not rate.allows(now_ms, _NOTED_MAX[code]):
            self._meter.count("events_noted_together")
            return
        if not self._shares.notes(tenant, now_ms):
            rate.left_out += 1
            self._meter.count("events_noted_together")
            return
        entry = pointer(position, code, noticed.reason, at_ms=now_ms, tenant=tenant, more=rate.left_out)
        try:
            self._committer.append(CONTROL_PARTITION, now_ms, encode_quarantined(entry), None)
            rate.left_out = 0
        except Unavailable:
            rate.left_out += 1
            self._meter.count("quarantine_refused")

    async def note_missing(self, found: Iterable[tuple[int, Record | Unreadable, Noticed]]) -> None:
        """Point to those of these records to which no entry points yet: a crash may have come in between."""
        wanted = {position: (record, noticed) for position, record, noticed in found}
        if wanted:
            with contextlib.suppress(RequestRejected):  # The oldest entries went: then one is noted twice.
                async for kept in self._read():
                    wanted.pop(kept.entry.position, None)
        for position, (record, noticed) in wanted.items():
            self.note(position, record, noticed)

    async def settled(self) -> None:
        """Returns once everything kept so far is on disk, or was refused."""
        await self._committer.settled()

    async def close(self, deadline: Deadline) -> None:
        """Commit what was kept, within the deadline."""
        await self._committer.close(deadline)

    def abandon(self) -> None:
        """Give the quarantine up without committing anything more."""
        self._committer.abandon()

    def _rate(self, tenant: str, code: str) -> _Rate | None:
        rate = self._rates.get((tenant, code))
        if rate is None and len(self._rates) < TENANTS_NOTED_MAX * len(_NOTED_MAX):
            rate = self._rates[tenant, code] = _Rate()
        return rate

    def _append(self, entry: Quarantined) -> asyncio.Future[None]:
        payload = encode_quarantined(entry)
        return self._committer.durable(self._committer.append(CONTROL_PARTITION, entry.at_ms, payload, None))

    def _durable(self, group: Durable[None]) -> None:
        self._meter.count("events_quarantined", len(group.carried))
        if group.end - self._looked_at >= LOOKED_BYTES:
            self._looked_at = group.end
            before, self._start = self._start, self._log.start
            self._meter.count("quarantine_dropped_bytes", self._start - before)

    def _refused(self, group: Refused[None]) -> None:
        self._meter.count("quarantine_refused", len(group.carried))

    # Reading.

    async def listing(self, tenant: str) -> Listing:
        """The open entries of a tenant by reason. Reads the whole quarantine twice, in small steps."""
        await self.settled()
        for _ in range(READS_MAX):
            grouping = Grouping()
            try:
                found = await self._outcomes(tenant)
                async for kept in self._open(tenant, found):
                    grouping.add(kept, found.get(kept.position))
            except RequestRejected:  # Its oldest entries went while they were read.
                continue
            self._start = self._log.start
            return grouping.listing(dropped_bytes=self._start)
        raise Unavailable("the quarantine changes faster than it can be read")

    async def select(self, tenant: str, wanted: Callable[[str, str, int], bool], limit: int) -> list[int]:
        """Positions of up to `limit` open entries of a tenant, oldest first; `wanted` gets code, group, position."""
        await self.settled()
        for _ in range(READS_MAX):
            positions: list[int] = []
            try:
                found = await self._outcomes(tenant)
                async for kept in self._open(tenant, found):
                    code, message = found.get(kept.position) or RetryResult(kept.entry.code, kept.entry.message)
                    if wanted(code, group_of(code, message), kept.position):
                        positions.append(kept.position)
                    if len(positions) == limit:
                        break
            except RequestRejected:
                continue
            return positions
        raise Unavailable("the quarantine changes faster than it can be read")

    def entry(self, tenant: str, position: int) -> Kept:
        """One entry of a tenant, as it is stored; `RequestRejected` (404) when there is none (any more)."""
        unknown = RequestRejected("unknown_entry", f"the quarantine holds nothing at {position}", status=404)
        try:
            frame = frame_at(self._log, position)
        except RequestRejected:
            raise unknown from None
        entry = decode_quarantined(frame.payload, offset=frame.position)
        if entry.tenant != tenant or entry.settles:
            raise unknown
        return Kept(position, entry)

    def opened(self, kept: Kept) -> Quarantined | None:
        """The entry with its seal taken off, None when a key is gone, or somebody whom it names."""
        entry = opened(kept.entry, self._subjects)
        for_its_day = kept.entry.subjects == (NOBODY,)
        if entry is not None and for_its_day and self._names_erased is not None:
            return None if self._names_erased(entry.tenant, entry.raw, entry.at_ms) else entry
        return entry

    async def outcome(self, kept: Kept) -> RetryResult | None:
        """What the newest try made of an entry."""
        found = None
        async for one in self._read(kept.position):
            if one.entry.settles == kept.position:
                found = RetryResult(one.entry.code, one.entry.message)
        return found

    async def _outcomes(self, tenant: str) -> dict[int, RetryResult]:
        found: dict[int, RetryResult] = {}
        async for kept in self._read():
            if kept.entry.tenant == tenant:
                _note_outcome(found, kept.entry)
        return found

    async def _open(self, tenant: str, found: dict[int, RetryResult]) -> AsyncIterator[Kept]:
        async for kept in self._read():
            if kept.entry.tenant == tenant and is_open(kept, found):
                yield kept

    async def _read(self, position: int | None = None) -> AsyncIterator[Kept]:
        for number, frame in enumerate(self._log.read(position), start=1):
            if number % FRAMES_PER_STEP == 0:
                await asyncio.sleep(0)
            yield Kept(frame.position, decode_quarantined(frame.payload, offset=frame.position))
