"""What people have agreed to, by purpose. Control state: folded from `Consented`, read by the next event and decision.

The newest statement about a purpose counts, over all cells of a profile. What was never stated is the
installation's to say (`[privacy] consent_required`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from ..events.envelope import Consented
from ..foundation.limits import PURPOSES_MAX

PERSONALIZATION: Final = "personalization"
"""The purpose without which nothing is written about a person and no decision stands on one."""


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What one cell has said, purposes as bits of `Consents.purposes`; newest time of any statement."""

    cell: int
    at_ms: int
    stated: int
    granted: int


class Consents:
    """All statements at one position of the log. An int or two a person, and only for people who have stated any."""

    def __init__(self, rows: Iterable[Statement] = (), purposes: Iterable[str] = ()) -> None:
        self.purposes: list[str] = list(purposes)
        """By bit; at most `PURPOSES_MAX`, further ones are not told apart and not kept."""
        self._by_cell: dict[int, Statement] = {row.cell: row for row in rows}

    def __len__(self) -> int:
        return len(self._by_cell)

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._by_cell.values())

    def apply(self, event: Consented) -> None:
        """Take a statement in. An older one than the cell's newest only adds purposes not stated yet.

        >>> consents = Consents()
        >>> consents.apply(Consented(2, "default", 7, {"personalization": False}))
        >>> consents.apply(Consented(1, "default", 7, {"personalization": True, "email": True}))
        >>> consents.of([7])
        {'personalization': False, 'email': True}
        """
        known = self._by_cell.get(event.cell, Statement(event.cell, 0, 0, 0))
        stated, granted = self._bits(event.purposes)
        if event.at_ms < known.at_ms:
            stated &= ~known.stated
            granted &= stated
        self._by_cell[event.cell] = Statement(
            event.cell, max(known.at_ms, event.at_ms), known.stated | stated, known.granted & ~stated | granted
        )

    def of(self, cells: Iterable[int]) -> dict[str, bool]:
        """What the person with these cells has stated, by purpose."""
        said = [known for cell in cells if (known := self._by_cell.get(cell)) is not None]
        purposes: dict[str, bool] = {}
        for statement in sorted(said, key=lambda one: one.at_ms):
            for bit, purpose in enumerate(self.purposes):
                if statement.stated >> bit & 1:
                    purposes[purpose] = bool(statement.granted >> bit & 1)
        return purposes

    def newest_ms(self, cells: Iterable[int]) -> int:
        """When the person with these cells stated something last; 0 if never."""
        return max((known.at_ms for cell in cells if (known := self._by_cell.get(cell)) is not None), default=0)

    def drop(self, cells: Iterable[int]) -> int:
        """Forget what these cells have stated; how many had."""
        return sum(self._by_cell.pop(cell, None) is not None for cell in cells)

    def _bits(self, purposes: Mapping[str, bool]) -> tuple[int, int]:
        stated = granted = 0
        for purpose, agreed in purposes.items():
            if purpose not in self.purposes:
                if len(self.purposes) >= PURPOSES_MAX:
                    continue
                self.purposes.append(purpose)
            bit = 1 << self.purposes.index(purpose)
            stated |= bit
            granted |= bit if agreed else 0
        return stated, granted
