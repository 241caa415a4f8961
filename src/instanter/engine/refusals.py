"""What people have refused outlives them: to forget a refusal would be to undo it.

When idle people are forgotten, each of their ids that something was refused for gets a fresh pseudonym, under which
nothing but the refusal stands. First the log is told of the refusal, then the key store of the pseudonym; only then the
keys from before are destroyed. So whenever the process dies, the id leads to a pseudonym for which the refusal stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import msgspec

from ..events.envelope import Consented, Linked, Record, Tracked, Unreadable
from ..foundation.clock import Clock
from ..foundation.errors import Unavailable
from ..privacy.subjects import KeyStore
from .journal import Journal
from .partition import Partition


class Heir(msgspec.Struct, frozen=True):
    """The pseudonym that takes over what was refused under another one of the same id."""

    cell: int
    successor: int
    slot: int
    """Of its key."""
    refused: Mapping[str, int]
    """When, by purpose."""


class Refusals:
    """Passes refusals on, for `erase.Eraser`."""

    def __init__(self, *, partition: Partition, journal: Journal, subjects: KeyStore, clock: Clock) -> None:
        self._partition = partition
        self._journal = journal
        self._subjects = subjects
        self._clock = clock

    async def prepare(self, cells: Iterable[int]) -> dict[int, Heir]:
        """By cell, the heirs of those for which something was refused. Refusal and key are durable on return; the ids
        lead to them once `KeyStore.succeed` is called."""
        refused = {cell: found for cell in cells if (found := self._refused(cell))}
        if not refused:
            return {}
        successors = {cell: self._subjects.draw_pseudonym() for cell in refused}
        said = [
            Consented(at_ms, "", successors[cell], {purpose: False})
            for cell, found in refused.items() for purpose, at_ms in found.items()
        ]  # fmt: skip
        await self._journal.write(said, self._clock.now_ms())
        heirs = {
            cell: Heir(cell, successor, self._subjects.add_successor(cell, successor), refused[cell])
            for cell, successor in successors.items()
        }
        try:
            await asyncio.to_thread(self._subjects.flush)
        except Unavailable:
            self._subjects.overwrite([heir.slot for heir in heirs.values()])  # They never get to the disk.
            raise
        return heirs

    def settled(self, profiles: Iterable[list[int]], heirs: Mapping[int, Heir]) -> list[list[int]]:
        """Those profiles that have refused what their heirs did, and of which nothing is on its way into the state."""
        coming = {cell for record in self._journal.in_flight() for cell in _cells_of(record)}
        return [
            cells for cells in profiles if coming.isdisjoint(cells)
            and all(self._refused(cell) == (heirs[cell].refused if cell in heirs else {}) for cell in cells)
        ]  # fmt: skip

    def _refused(self, cell: int) -> dict[str, int]:
        """When whoever this cell is read with refused what still stands. What a device claims says nothing for itself,
        and of an id that leads elsewhere already the refusal was passed on there."""
        if not self._partition.consents or self._partition.links.is_claim(cell) or not self._subjects.leads_to(cell):
            return {}
        said = self._partition.consents.said(self._partition.links.cells(cell))
        return {purpose: word.at_ms for purpose, word in said.items() if not word.agreed}


def _cells_of(record: Record | Unreadable) -> tuple[int, ...]:
    """The cells that a record says something of. A device that its user is signed in on has no part in the event, and
    what links the two lies behind it."""
    match record:
        case Tracked():
            return record.key, record.device
        case Consented():
            return (record.cell,)
        case Linked():
            return record.cell, record.owner, record.user
    return ()
