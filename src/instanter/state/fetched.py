"""People on disk whose records were read before anybody needs them, each as of the place where it was read.

A place is never written twice, so a record is the person's for as long as the cold table names that place. Whoever
comes back, moves or is erased is forgotten here in the same step.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ..foundation.limits import FETCHED_BYTES_MAX, FETCHED_PEOPLE_MAX
from .cold_files import Stored


class ColdRecord(NamedTuple):
    """A person on disk, and where."""

    key: int
    place: int


class FetchedRecord(NamedTuple):
    """What was read of somebody at a place; `stored` is None of who was erased there."""

    place: int
    stored: Stored | None

    @property
    def size_bytes(self) -> int:
        """Of the words."""
        return 0 if self.stored is None else self.stored.words.nbytes


class Fetched:
    """Records by key, within two bounds; who was looked at longest ago makes room."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._records: OrderedDict[int, FetchedRecord] = OrderedDict()
        """In the order of their last use."""

    def __len__(self) -> int:
        return len(self._records)

    def put(self, key: int, record: FetchedRecord) -> None:
        """Keep a record, in the place of an older one of the same person."""
        self.forget(key)
        self._records[key] = record
        self.size_bytes += record.size_bytes
        while len(self._records) > FETCHED_PEOPLE_MAX or self.size_bytes > FETCHED_BYTES_MAX:
            self.forget(next(iter(self._records)))

    def find(self, one: ColdRecord) -> FetchedRecord | None:
        """The record that was read at this place; None if nothing was, or at another place."""
        found = self._records.get(one.key)
        if found is None or found.place != one.place:
            return None
        self._records.move_to_end(one.key)
        return found

    def forget(self, key: int) -> None:
        """Keep nothing of this person."""
        gone = self._records.pop(key, None)
        if gone is not None:
            self.size_bytes -= gone.size_bytes
