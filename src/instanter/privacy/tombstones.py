"""Whom we have erased, for as long as something late of theirs may still arrive. Folded from `Erased`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ..events.envelope import Erased, Record
from ..events.folding import Prepare, Rows, always
from ..foundation.limits import TOMBSTONES_MAX


class Tombstone(msgspec.Struct, frozen=True, array_like=True):
    """One erased person, known by the sealed hashes of the ids alone."""

    ids: tuple[bytes, ...]
    at_ms: int
    until_ms: int
    messages: tuple[int, ...]
    """References of messages that were remembered."""

    def drops(self, *, happened_ms: int, message: int, now_ms: int) -> bool:
        """Whether an event of one of these ids is a late or repeated one from before the erasure.

        >>> stone = Tombstone((b"ada",), at_ms=100, until_ms=900, messages=(5,))
        >>> [stone.drops(happened_ms=at, message=1, now_ms=200) for at in (99, 101)]
        [True, False]
        >>> stone.drops(happened_ms=101, message=5, now_ms=200), stone.drops(happened_ms=99, message=5, now_ms=900)
        (True, False)
        """
        return now_ms < self.until_ms and (happened_ms <= self.at_ms or message in self.messages)


class Tombstones:
    """All tombstones at one position of the log; at most `TOMBSTONES_MAX`, the oldest go first."""

    def __init__(self, rows: Iterable[Tombstone] = (), newest_id: str = "") -> None:
        self.newest_id = newest_id
        """Of the newest erasure, whether it left a tombstone or not; by it one sees whether keys are older than it."""
        self._rows: deque[Tombstone] = deque(rows, maxlen=TOMBSTONES_MAX)
        self.added = len(self._rows)
        """How many there ever were, for whoever keeps an index of them."""

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Tombstone]:
        return iter(self._rows)

    def __reversed__(self) -> Iterator[Tombstone]:
        return reversed(self._rows)

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {Erased: always(self.apply)}

    def rows(self) -> Rows:
        return {"tombstones": list(self), "erased": [self.newest_id]}

    def restore(self, rows: Rows) -> None:
        tombstones = msgspec.convert(rows.get("tombstones", []), list[Tombstone])
        self.newest_id = next(iter(msgspec.convert(rows.get("erased", []), list[str])), "")
        self._rows = deque(tombstones, maxlen=TOMBSTONES_MAX)
        self.added = len(self._rows)

    def hashed(self) -> Iterable[object]:
        return self

    def apply(self, event: Erased) -> None:
        """Remember an erasure; the oldest ones that are over at its time go."""
        self.newest_id = event.id
        while self._rows and self._rows[0].until_ms <= event.at_ms:
            self._rows.popleft()
        if event.tombstones:
            self._rows.append(Tombstone(event.tombstones, event.at_ms, event.until_ms, event.messages))
            self.added += 1
