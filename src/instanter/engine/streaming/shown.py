"""What was shown of late, for outcomes to be joined to it: the decisions of the newest stretch of the log.

Which decision an outcome belongs to follows from the records alone, so that a stream that is read again says the same:
the decision that the event names, else the newest one that showed the item to the person, or to their device, within
the window and at most `STREAM_JOINED_BYTES_MAX` of the log before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from ...events.envelope import Decided, Tracked
from ...feedback.join import SKEW_MS
from ...foundation.limits import STREAM_JOINED_BYTES_MAX
from ...privacy.subjects import KeyStore
from ..export import read_receipt

NAMED: Final = "named"
"""How an outcome was joined: the event names a decision that lies too far back to be looked at."""
BY_DECISION: Final = "decision"
BY_ITEM: Final = "item"


class Found(NamedTuple):
    """Where an item had been shown."""

    decision_id: str
    by: str
    placement: str | None = None
    place: int | None = None
    """From 1 on."""
    at_ms: int | None = None


class _Made:
    """A decision. Its receipt is opened when somebody asks for it: most are never asked for."""

    __slots__ = ("_lists", "position", "record")

    def __init__(self, position: int, record: Decided) -> None:
        self.position = position
        self.record = record
        self._lists: tuple[tuple[str, list[int]], ...] | None = None

    def find(self, item: int, subjects: KeyStore) -> tuple[str, int] | None:
        """The placement and the place at which it showed an item; None where it did not, or can be read no more."""
        if self._lists is None:
            receipt = read_receipt(self.record, subjects)
            placements = () if receipt is None else receipt.placements
            self._lists = tuple((one.id, one.shown()) for one in placements)
        return next(((placement, 1 + items.index(item)) for placement, items in self._lists if item in items), None)


class Shown:
    """Decisions, the newest last. Used by one thread at a time."""

    def __init__(self, subjects: KeyStore, *, window_ms: int) -> None:
        self._subjects = subjects
        self._window_ms = window_ms
        self._made: deque[_Made] = deque()
        self._by_id: dict[str, _Made] = {}
        self._by_cell: dict[int, deque[_Made]] = {}
        self.reaches = -1
        """All decisions before this position that are not too far back are here; -1: none is."""

    def __len__(self) -> int:
        """Decisions that are held."""
        return len(self._made)

    def fill(self, decisions: Iterable[tuple[int, Decided]], reaches: int) -> None:
        """Begin anew with these decisions, in their order."""
        self._made.clear()
        self._by_id.clear()
        self._by_cell.clear()
        for position, record in decisions:
            self.add(position, record)
        self.reaches = reaches

    def add(self, position: int, record: Decided) -> None:
        """A decision was made. Those that are too far back by now go."""
        made = _Made(position, record)
        self._made.append(made)
        self._by_id[record.decision_id] = made
        if record.key:
            self._by_cell.setdefault(record.key, deque()).append(made)
        while self._made[0].position < position - STREAM_JOINED_BYTES_MAX:
            self._forget(self._made.popleft())

    def drop(self, cells: Iterable[int]) -> None:
        """Forget what was shown to people who were erased."""
        gone = {id(made) for cell in cells for made in self._by_cell.pop(cell, ())}
        if gone:
            theirs = [made for made in self._made if id(made) in gone]
            self._made = deque(made for made in self._made if id(made) not in gone)
            for made in theirs:
                self._by_id.pop(made.record.decision_id, None)

    def find(self, event: Tracked, position: int, item: int) -> Found | None:
        """Which decision an event's item had been shown by; the event lies at `position`."""
        if event.decision_id:
            made = self._by_id.get(event.decision_id)
            if made is None or self._is_far(made, position):
                return Found(event.decision_id, NAMED)
            since_ms = event.happened_ms - made.record.at_ms
            if made.record.tenant == event.tenant and -SKEW_MS <= since_ms <= self._window_ms:
                place = made.find(item, self._subjects)
                if place is not None:
                    return _found(made, place, BY_DECISION)
        newest: tuple[_Made, tuple[str, int]] | None = None
        for cell in (event.key, event.device):
            for made in reversed(self._by_cell.get(cell, ())):
                if (newest is not None and made.position < newest[0].position) or self._is_far(made, position):
                    break
                since_ms = event.happened_ms - made.record.at_ms
                if 0 <= since_ms <= self._window_ms and (place := made.find(item, self._subjects)) is not None:
                    newest = made, place
                    break
        return None if newest is None else _found(*newest, BY_ITEM)

    @staticmethod
    def _is_far(made: _Made, position: int) -> bool:
        return not 0 <= position - made.position <= STREAM_JOINED_BYTES_MAX

    def _forget(self, made: _Made) -> None:
        if self._by_id.get(made.record.decision_id) is made:
            del self._by_id[made.record.decision_id]
        theirs = self._by_cell.get(made.record.key)
        if theirs and theirs[0] is made:
            theirs.popleft()
            if not theirs:
                del self._by_cell[made.record.key]


def _found(made: _Made, place: tuple[str, int], by: str) -> Found:
    return Found(made.record.decision_id, by, place[0], place[1], made.record.at_ms)
