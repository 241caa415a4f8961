"""Who is behind an id, as told by the file of keys that another process writes: nothing is made, and no key is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..foundation.disk import Disk
from .roll import Roll
from .subjects import SUBJECTS, keyed_name
from .vault import Entries, slots_behind


class FollowedSubjects:
    """Finds pseudonyms as the `KeyStore` that writes the folder does. Needs no master key.

    A key is in the file before the records that stand on it are in the log. So whoever has read the log up to some
    position finds everybody it tells of, once `follow` was called. About 100 bytes a subject.
    """

    def __init__(self, disk: Disk, directory: Path, *, secret: bytes) -> None:
        self._disk = disk
        self._path = directory / SUBJECTS
        self._secret = secret
        self._slots = 0
        self._roll = Roll(list(self._new_entries()))
        self._gone: set[int] = set()
        """Pseudonyms of which the log has said, since this was made, that they are erased."""
        self._heirs: dict[int, list[Entries]] = {}
        """By pseudonym: newer keys under the name of somebody of whom the log has not said yet that they are gone."""

    def find(self, tenant: str, identifier: str) -> int:
        """The pseudonym of `u1` or `anonymous:a1`, 0 if there is none (any more)."""
        cell = self._roll.of_name(keyed_name(self._secret, tenant, identifier))[1]
        return 0 if cell in self._gone else cell

    def follow(self) -> None:
        """Take in whoever has become known. Costs one look at the file's size while nobody has."""
        for entries in self._new_entries():
            for slot, name, cell in zip(*(column.tolist() for column in entries), strict=True):
                self._meet(slot, name, cell)

    def drop(self, cells: Iterable[int]) -> None:
        """The log says that these are erased: whoever has come under their names since is found from here on."""
        for cell in cells:
            self._gone.add(cell)
            for heir in self._heirs.pop(cell, ()):
                for slot, name, successor in zip(*(column.tolist() for column in heir), strict=True):
                    self._meet(slot, name, successor)

    def _new_entries(self) -> Iterator[Entries]:
        while True:
            entries, slots = slots_behind(self._disk, self._path, self._slots)
            if slots <= self._slots:
                return
            self._slots = slots
            yield entries

    def _meet(self, slot: int, number: int, cell: int) -> None:
        """A key that is new in the file. A name leads on to its older key until the log says that this is gone."""
        name = number.to_bytes(8, "little", signed=True)
        before = self._roll.of_name(name)[1]
        if before and before not in self._gone and before != cell:
            row = Entries(*(np.array([value], np.int64) for value in (slot, number, cell)))
            self._heirs.setdefault(before, []).append(row)
            return
        self._roll.add(name, slot, cell)
