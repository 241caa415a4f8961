"""Whom we have erased, for as long as something late of theirs may still arrive. Folded from `Erased`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..events.envelope import Erased
from ..foundation.limits import TOMBSTONES_MAX


class Tombstone(msgspec.Struct, frozen=True, array_like=True):
    """One erased id, known by its keyed hash alone."""

    hash: bytes
    at_ms: int
    until_ms: int
    messages: tuple[int, ...]
    """References of messages that were remembered."""


class Tombstones:
    """All tombstones at one position of the log; at most `TOMBSTONES_MAX`, the oldest go first."""

    def __init__(self, rows: Iterable[Tombstone] = ()) -> None:
        self._by_hash: dict[bytes, Tombstone] = {row.hash: row for row in rows}

    def __len__(self) -> int:
        return len(self._by_hash)

    def __iter__(self) -> Iterator[Tombstone]:
        return iter(self._by_hash.values())

    def apply(self, event: Erased) -> None:
        """Remember an erasure; those that are over at its time go."""
        over = [one.hash for one in self._by_hash.values() if one.until_ms <= event.at_ms]
        for gone in over:
            del self._by_hash[gone]
        for tombstone in event.tombstones:
            self._by_hash.pop(tombstone, None)
            self._by_hash[tombstone] = Tombstone(tombstone, event.at_ms, event.until_ms, event.messages)
        while len(self._by_hash) > TOMBSTONES_MAX:
            del self._by_hash[next(iter(self._by_hash))]

    def drops(self, tombstone: bytes, *, happened_ms: int, message: int, now_ms: int) -> bool:
        """Whether an event of this id is a late or repeated one of somebody who was erased.

        >>> stones = Tombstones([Tombstone(b"ada", at_ms=100, until_ms=900, messages=(5,))])
        >>> [stones.drops(b"ada", happened_ms=at, message=1, now_ms=200) for at in (99, 101)]
        [True, False]
        >>> stones.drops(b"ada", happened_ms=101, message=5, now_ms=200)
        True
        """
        found = self._by_hash.get(tombstone)
        if found is None or now_ms >= found.until_ms:
            return False
        return happened_ms <= found.at_ms or message in found.messages
