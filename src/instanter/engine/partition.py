"""One fold of one log: applies records in their order to state and links.

Live serving, recovery, replay and verification all go through `Partition.apply`; there is no other way in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..events.envelope import (
    Audited,
    Configured,
    Decided,
    Epoch,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    Linked,
    Record,
    Ticked,
    Tracked,
    Unlinked,
)
from ..identity.links import Links
from ..privacy.audit import Head
from ..state.memory import State, batches
from ..state.schema import Schema


class Partition:
    """State and links as of `position`, the position of the first record not applied."""

    def __init__(self, schema: Schema) -> None:
        self.state = State(schema)
        self.links = Links()
        self.audited = Head()
        """Where the record of administrators' acts had come to."""
        self.position = 0
        self.on_epoch: Callable[[], None] | None = None
        """Called right after an epoch was applied, with nothing applied since."""
        self._apply_control: dict[type[Record], Callable[[Any], object]] = {
            ItemUpserted: self.state.catalogue.upsert,
            ItemPatched: self.state.catalogue.patch,
            ItemDeleted: self.state.catalogue.delete,
            Linked: self._link,
            Unlinked: self._unlink,
            Configured: self.state.configure,
            Epoch: self._publish,
            Ticked: self.state.tick,
            Decided: _nothing,
            Audited: self._remember_audited,
        }

    def apply(self, records: Sequence[Record], *, ends: Sequence[int]) -> None:
        """Apply records in log order; `ends[i]` is the position behind record i."""
        tracked: list[Tracked] = []
        for record, end in zip(records, ends, strict=True):
            if isinstance(record, Tracked):
                tracked.append(record)
                continue
            self._fold(tracked)
            self.position = end
            self._apply_control[type(record)](record)
        self._fold(tracked)
        if ends:
            self.position = ends[-1]

    def control_rows(self) -> dict[str, list[Any]]:
        """What a checkpoint holds beside the state."""
        return {"links": list(self.links), "audited": [self.audited]}

    def _fold(self, tracked: list[Tracked]) -> None:
        for batch in batches(tracked):
            self.state.fold(batch)
        tracked.clear()

    def _link(self, event: Linked) -> None:
        self.links.link(event)

    def _unlink(self, event: Unlinked) -> None:
        self.links.unlink(event)

    def _remember_audited(self, event: Audited) -> None:
        self.audited = Head(event.number, event.chain)

    def _publish(self, event: Epoch) -> None:
        self.state.publish(event)
        if self.on_epoch is not None:
            self.on_epoch()


def _nothing(record: Record) -> None:
    """Decisions are read, not folded."""
