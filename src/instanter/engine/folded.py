"""Folded parts: what a partition knows beside people's and items' records, each part a fold of the records it hears.

A new capability that is folded is a class with these four methods and one line in `Partition`; nothing else names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from ..events.envelope import (
    Configured,
    Epoch,
    Erased,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    Keyed,
    Record,
    Ticked,
    Unreadable,
)
from ..events.folding import Change, Prepare, Rows, always, check_record
from ..foundation.ids import References
from ..state.checkpoint import REFERENCE_KEY, reference_key_of
from ..state.memory import State

DELETED_ITEMS: Final = "deleted_items"
"""The section of a checkpoint with the references of deleted items that have no row, and the rows they left."""


class FoldedPart(Protocol):
    """What every part does."""

    def hears(self) -> Mapping[type[Record], Prepare]:
        """The kinds of records that it folds, and how: see `events.folding` for the two steps."""
        ...

    def rows(self) -> Rows:
        """What a checkpoint holds of it, by section; a section belongs to one part."""
        ...

    def restore(self, rows: Rows) -> None:
        """Become what gave these rows; it has folded nothing yet. Sections of others are none of its business, and one
        that is not there is empty. Raises `msgspec.ValidationError` for rows that are none."""
        ...

    def hashed(self) -> Iterable[object] | None:
        """What the hash of the partition is over; None where nothing is, as if there were no such part."""
        ...


class FoldedKey:
    """The key of the log's references. That nothing is known by them before it is for the partition to see to."""

    def __init__(self, references: References) -> None:
        self._references = references

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {Keyed: always(lambda event: self._references.use(event.key))}

    def rows(self) -> Rows:
        key = self._references.key
        return {REFERENCE_KEY: [key]} if key else {}

    def restore(self, rows: Rows) -> None:
        if key := reference_key_of(rows):
            self._references.use(key)

    def hashed(self) -> None:
        """It shows in every reference."""
        return


class FoldedState:
    """The state in arrays, with the catalogue: a part whose rows and hash are its own, but for what is known of items
    that are gone."""

    def __init__(self, state: State) -> None:
        self._state = state

    def hears(self) -> Mapping[type[Record], Prepare]:
        state, catalogue = self._state, self._state.catalogue
        return {
            ItemUpserted: catalogue.upserting,
            ItemPatched: catalogue.patching,
            ItemDeleted: catalogue.deleting,
            Configured: state.configuring,
            Epoch: state.publishing,
            Ticked: always(state.tick),
            Erased: always(lambda event: state.erase(event.cells)),
        }

    def rows(self) -> Rows:
        left = self._state.catalogue.rows_left.pairs()
        return {DELETED_ITEMS: left} if left else {}

    def restore(self, rows: Rows) -> None:
        """Checkpoints restore all else before."""
        left = msgspec.convert(list(rows.get(DELETED_ITEMS, ())), list[tuple[int, int]])
        self._state.catalogue.rows_left.restore(left)

    def hashed(self) -> None:
        return None


class FoldedParts:
    """All parts of one partition, in the order in which their rows and hashes are written."""

    def __init__(self, parts: Sequence[FoldedPart]) -> None:
        self._parts = parts
        self._hearing: dict[type[Record], list[Prepare]] = {}
        for part in parts:
            for kind, prepare in part.hears().items():
                self._hearing.setdefault(kind, []).append(prepare)

    def prepare(self, record: Record | Unreadable, end: int) -> list[Change]:
        """The changes that a control record makes; `end` is the position behind it. Changes nothing; raises one of
        `UNFIT` for a record that cannot be folded."""
        if isinstance(record, Unreadable):
            raise ValueError(record.reason)
        check_record(record)
        return [prepare(record, end) for prepare in self._hearing.get(type(record), ())]

    def rows(self) -> Rows:
        """What a checkpoint holds of them all."""
        return {section: rows for part in self._parts for section, rows in part.rows().items()}

    def restore(self, rows: Rows) -> None:
        """Take over what `rows` gave; raises `msgspec.ValidationError` for what is none of it."""
        for part in self._parts:
            part.restore(rows)

    def hashed(self) -> list[Iterable[object]]:
        """What the hash is over, part by part."""
        return [hashed for part in self._parts if (hashed := part.hashed()) is not None]
