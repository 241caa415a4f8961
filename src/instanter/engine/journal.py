"""The log and the fold, tied together: what is durable is folded in order, then whoever waits for it is told.

A group that the disk took long for can be large; it is folded in steps, and the loop serves others in between.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from ..events.envelope import CONTROL_PARTITION, Record, Tracked, Unreadable, encode_record
from ..events.folding import UNFIT
from ..foundation.clock import elapsed_ns
from ..foundation.deadline import Deadline
from ..foundation.errors import Broken, DiskFull, Overloaded, RequestRejected
from ..foundation.limits import UNFOLDED_RECORDS_MAX
from ..foundation.measure import Meter
from ..log.base import Log
from ..log.commit import Durable, Entry, GroupCommitter, Refused
from ..log.frames import LogPosition, RecordPosition
from .fetching import Coming, Fetching
from .partition import Halted, Noticed, Partition

reports = logging.getLogger("instanter.engine")

RECORDS_PER_STEP = 512
"""Records folded before the loop may do something else; about 3 ms."""
HALTED_S = 1.0
"""Between two tries to fold on while memory is full and the disk takes nobody who is idle."""


class _Records(NamedTuple):
    """Records that are durable, with the positions before and behind each and the times of their frames, in
    parallel."""

    records: list[Record | Unreadable]
    positions: list[RecordPosition]
    ends: list[LogPosition]
    times_ms: list[int]

    def add(self, group: Durable[Record | Unreadable]) -> None:
        """Put a group behind them."""
        self.records.extend(group.carried)
        self.positions.extend(group.positions)
        self.ends.extend(group.ends)
        self.times_ms.extend(group.times_ms)

    def first(self, count: int) -> _Records:
        """The first ones, at most so many."""
        return _Records(self.records[:count], self.positions[:count], self.ends[:count], self.times_ms[:count])

    def drop(self, count: int) -> None:
        """Let the first ones go."""
        for column in self:
            del column[:count]

class Journal:
    """Appends records, and folds them into one partition once they are durable. Used on the loop's thread."""

    def __init__(
        self, log: Log, partition: Partition, *, sync_window_ms: float, meter: Meter,
        on_folded: Callable[[], None], on_broken: Callable[[str], None],
        on_noticed: Callable[[RecordPosition, Record | Unreadable, Noticed], None],
        before: Callable[[], None] | None = None, people: Fetching | None = None,
    ) -> None:  # fmt: skip
        """`on_noticed` gets the position of each record of which the fold could not make what was meant. `before`: see
        `GroupCommitter`. `people` reads ahead whom the records are about."""
        self._partition = partition
        self._people = people
        self._meter = meter
        self._on_folded = on_folded
        self._on_broken = on_broken
        self._on_noticed = on_noticed
        self._unfolded = _Records([], [], [], [])
        self._waiting: deque[tuple[LogPosition, asyncio.Future[None]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._broken = ""
        self._halted = ""
        """Why folding waits for room, "" while it does not."""
        self._again: asyncio.TimerHandle | None = None
        """The next try then."""
        self._received_ms = 0
        """Receipt time of the newest record."""
        self._committer: GroupCommitter[Record | Unreadable] = GroupCommitter(
            log, sync_window_ms=sync_window_ms, on_durable=self._durable, on_refused=self._refused, before=before
        )

    @property
    def worker(self) -> Executor:
        """The thread that writes."""
        return self._committer.worker

    @property
    def pending_bytes(self) -> int:
        """Bytes appended and not yet durable."""
        return self._committer.pending_bytes

    @property
    def writing(self) -> bool:
        """Whether records are taken: not after a failed sync, nor once folding has stopped."""
        return self._committer.writing and not self._broken

    @property
    def ended(self) -> str:
        """Why no records are taken any more, "" while they are."""
        return self._broken or self._committer.ended

    def end(self, reason: str) -> None:
        """Take no records any more, for this reason."""
        self._committer.end(reason)

    @property
    def unfolded(self) -> int:
        """Records durable and not yet folded."""
        return len(self._unfolded.records)

    def in_flight(self) -> Iterator[Record | Unreadable]:
        """Records appended and not folded yet."""
        yield from self._unfolded.records
        yield from self._committer.in_flight()

    @property
    def next_position(self) -> int:
        """The position that the next record appended in this step of the loop will have."""
        return self._committer.next_position()

    def check_room(self, payload_bytes: int, *, entries: int = 1) -> None:
        """Raise what `append` would raise for so much more."""
        if self._broken:
            raise Broken(self._broken)
        if self._halted:
            raise DiskFull(self._halted)
        if self.unfolded > UNFOLDED_RECORDS_MAX:
            raise Overloaded("the state is behind: too much is waiting to be folded")
        self._committer.check_room(payload_bytes, entries=entries)

    def extend(self, entries: Sequence[Entry[Record | Unreadable]]) -> RecordPosition:
        """Append (partition, time, payload, record) each, all or none; the position of the last.

        The times are of now: received times do not go back in the log. Raises `Unavailable`, and `Broken` once folding
        has stopped.
        """
        if self._broken:
            raise Broken(self._broken)
        if self._halted and self.unfolded > UNFOLDED_RECORDS_MAX:
            raise DiskFull(self._halted)
        position = self._committer.extend(entries)
        if self._people is not None and self._partition.state.cells_cold:
            self._people.begin([entry[3].key for entry in entries if isinstance(entry[3], Tracked)])
        self._received_ms = max(self._received_ms, entries[-1][1])
        return position

    def append(self, record: Record, time_ms: int, *, partition: int = CONTROL_PARTITION) -> RecordPosition:
        """Append one record, a control record unless a partition is given; its position. Raises `Unavailable`, and
        `RequestRejected` (unfit_record) for one that would be passed over.

        `time_ms` may be of a moment ago; the record is received when the one before it was, if that is later.
        """
        time_ms = max(time_ms, self._received_ms)
        self._check(record, time_ms)
        return self.extend([(partition, time_ms, encode_record(record), record)])

    def durable(self, position: RecordPosition) -> asyncio.Future[None]:
        """Done when the record at `position` is durable; ask in the step of the loop that appended it."""
        return self._committer.durable(position)

    async def folded(self, position: RecordPosition) -> None:
        """Returns once the record at `position`, which is durable, has been folded. As `reached`."""
        await self.reached(LogPosition(position + 1))  # Whatever lies behind its start lies behind it all.

    async def reached(self, position: LogPosition) -> None:
        """Returns once everything below `position`, which was given out, has been folded.

        Raises `DiskFull` while folding waits for room: it is folded once there is some.
        """
        if self._broken:
            raise Broken(self._broken)
        if self._partition.position < position:
            if self._halted:
                raise DiskFull(self._halted)
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append((position, waiter))
            await waiter

    async def settled(self) -> None:
        """Returns once everything appended so far is durable, or was refused."""
        await self._committer.settled()

    async def write(self, records: Sequence[Record], time_ms: int) -> RecordPosition:
        """Append control records, as `append`; returns when they are durable and folded, the position of the last."""
        time_ms = max(time_ms, self._received_ms)
        for record in records:
            self._check(record, time_ms)
        position = self.extend([(CONTROL_PARTITION, time_ms, encode_record(record), record) for record in records])
        await self.durable(position)
        await self.folded(position)
        return position

    def _check(self, record: Record, time_ms: int) -> None:
        """What the fold would pass over is refused before it is in the log."""
        try:
            self._partition.check(record, time_ms)
        except UNFIT as error:
            raise RequestRejected("unfit_record", f"this cannot be kept: {error}", status=422) from None

    async def close(self, deadline: Deadline) -> None:
        """Commit and fold what was appended, within the deadline."""
        await self._committer.close(deadline)
        self._halted = ""
        while self.unfolded and not (self._broken or self._halted):
            self._fold_now()
        self._cancel_again()

    def abandon(self) -> None:
        """Give the log up without committing anything more."""
        self._committer.abandon()
        self._unfolded.drop(self.unfolded)
        self._cancel_again()

    def _durable(self, group: Durable[Record | Unreadable]) -> None:
        self._meter.observe("append", group.disk_ns)
        busy = self.unfolded > 0
        self._unfolded.add(group)
        if not busy:
            self._fold_step()

    def _refused(self, group: Refused[Record | Unreadable]) -> None:
        self._meter.count("records_refused", len(group.carried))

    def _fold_step(self) -> None:
        """Fold the next records, once the people they are about have been read."""
        count = min(self.unfolded, RECORDS_PER_STEP)
        coming = self._coming(count)
        if not coming:
            self._fold_now(count)
            return
        asyncio.gather(*coming, return_exceptions=True).add_done_callback(lambda _: self._fold_now(count))

    def _coming(self, count: int) -> list[Coming]:
        """What has to be done before the people of the next records have been read."""
        if self._people is None or self._partition.state.cells_cold == 0:
            return []
        records = self._unfolded.records[:count]
        return self._people.coming([record.key for record in records if isinstance(record, Tracked)])

    def _fold_now(self, count: int = RECORDS_PER_STEP) -> None:
        """Fold the next records, at most so many; whoever has not been read is read here."""
        if self._broken or not self.unfolded:
            return
        started_ns, halted_before = elapsed_ns(), self._halted
        step = self._unfolded.first(count)
        folded, noticed = self._folded_step(step)
        self._unfolded.drop(folded)
        if folded:
            self._meter.observe("fold", (elapsed_ns() - started_ns) // folded, times=folded)
        self._tell()
        for one in noticed:
            self._on_noticed(step.positions[one.place], step.records[one.place], one)
        self._on_folded()
        if self._halted:
            if not halted_before:
                self._meter.count("folds_halted")
                reports.warning("folding waits for room", extra={"reason": self._halted})
            self._cancel_again()
            self._again = self._loop.call_later(HALTED_S, self._fold_step)
        elif self.unfolded:
            self._loop.call_soon(self._fold_step)

    def _folded_step(self, step: _Records) -> tuple[int, list[Noticed]]:
        """Fold the next records; how many were, and what of them was noticed."""
        folded, ended = len(step.records), False
        try:
            noticed = self._partition.apply(step.records, ends=step.ends, times_ms=step.times_ms)
            self._halted, ended = "", True
        except Halted as halted:
            self._halted, ended = halted.message, True
            folded, noticed = halted.applied, halted.noticed
        finally:
            if not ended:
                self._break(sys.exception())
        return folded, noticed

    def _cancel_again(self) -> None:
        if self._again is not None:
            self._again.cancel()

    def _tell(self) -> None:
        still: deque[tuple[LogPosition, asyncio.Future[None]]] = deque()
        for position, waiter in self._waiting:
            if position <= self._partition.position:
                if not waiter.done():
                    waiter.set_result(None)
            elif self._halted:
                if not waiter.done():
                    waiter.set_exception(DiskFull(self._halted))
            else:
                still.append((position, waiter))
        self._waiting = still

    def _break(self, error: BaseException | None) -> None:
        """A fold that failed in the midst of a change stops the partition: nothing wrong is served after it."""
        where = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
        self._broken = f"folding stopped{where}: {type(error).__name__}: {error}"
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Broken(self._broken))
        self._waiting.clear()
        self._on_broken(self._broken)
