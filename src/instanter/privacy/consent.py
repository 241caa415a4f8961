"""What people have agreed to, by purpose. Control state: folded from `Consented`, read by the next event and decision.

About each purpose the newest statement counts, over all cells of a profile. What was never stated is the
installation's to say (`[privacy] consent_required`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from ..events.envelope import Configured, Consented, Erased, Record
from ..events.folding import Prepare, Rows, always
from ..events.statements import PERSONALIZATION
from ..foundation.limits import PURPOSES_KEPT_MAX, PURPOSES_STATED_MAX


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What one cell has said, purposes as bits of `Consents.purposes`."""

    cell: int
    at_ms: int
    """Newest time of any statement."""
    stated: int
    granted: int
    times_ms: tuple[int, ...] = ()
    """By stated purpose, in the order of the bits, where they were not all stated at `at_ms`."""

    def words(self) -> Iterator[tuple[int, Word]]:
        """What was said about each stated purpose, by the number of its bit."""
        bits = [bit for bit in range(self.stated.bit_length()) if self.stated >> bit & 1]
        times_ms = self.times_ms or (self.at_ms,) * len(bits)
        for bit, at_ms in zip(bits, times_ms, strict=True):
            yield bit, Word(bool(self.granted >> bit & 1), at_ms)


class Word(NamedTuple):
    """What was said about one purpose, and when."""

    agreed: bool
    at_ms: int


class Consents:
    """All statements at one position of the log. An int or two a person, and only for people who have stated any."""

    def __init__(self, rows: Iterable[Statement] = (), purposes: Iterable[str] = ()) -> None:
        self.purposes: list[str] = list(purposes) or [PERSONALIZATION]
        """By bit. What is stated about a purpose that has no place is not kept."""
        self._by_cell: dict[int, Statement] = {row.cell: row for row in rows}

    def __len__(self) -> int:
        return len(self._by_cell)

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._by_cell.values())

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {
            Consented: always(self.apply),
            Configured: always(lambda event: self.declare(event.purposes)),
            Erased: always(lambda event: self.drop(event.cells)),
        }

    def rows(self) -> Rows:
        return {"consents": list(self), "purposes": list(self.purposes)}

    def restore(self, rows: Rows) -> None:
        statements = msgspec.convert(rows.get("consents", []), list[Statement])
        self.purposes[:] = msgspec.convert(rows.get("purposes", []), list[str]) or [PERSONALIZATION]
        self._by_cell = {one.cell: one for one in statements}

    def hashed(self) -> Iterable[object]:
        return self

    def declare(self, purposes: Iterable[str]) -> None:
        """Statements about these purposes are kept from here on, whatever else people state."""
        for purpose in purposes:
            self._place(purpose, PURPOSES_KEPT_MAX)

    def apply(self, event: Consented) -> None:
        """Take a statement in: what it says about a purpose counts unless something newer has been said.

        >>> consents = Consents()
        >>> consents.apply(Consented(2, "default", 7, {"personalization": False}))
        >>> consents.apply(Consented(1, "default", 7, {"personalization": True, "email": True}))
        >>> consents.of([7])
        {'personalization': False, 'email': True}
        """
        known = self._by_cell.get(event.cell)
        words = dict(known.words()) if known is not None else {}
        for purpose, agreed in event.purposes.items():
            bit = self._place(purpose, PURPOSES_STATED_MAX)
            if bit >= 0 and (bit not in words or event.at_ms >= words[bit].at_ms):
                words[bit] = Word(agreed, event.at_ms)
        if words:
            self._by_cell[event.cell] = _statement(event.cell, words)

    def said(self, cells: Iterable[int]) -> dict[str, Word]:
        """The newest word of the person with these cells about each purpose; of two of one time the refusal."""
        newest: dict[int, Word] = {}
        for cell in cells:
            known = self._by_cell.get(cell)
            for bit, word in known.words() if known is not None else ():
                other = newest.get(bit)
                if other is None or (word.at_ms, not word.agreed) > (other.at_ms, not other.agreed):
                    newest[bit] = word
        return {self.purposes[bit]: newest[bit] for bit in sorted(newest)}

    def of(self, cells: Iterable[int]) -> dict[str, bool]:
        """What the person with these cells has stated, by purpose."""
        return {purpose: word.agreed for purpose, word in self.said(cells).items()}

    def drop(self, cells: Iterable[int]) -> int:
        """Forget what these cells have stated; how many had."""
        return sum(self._by_cell.pop(cell, None) is not None for cell in cells)

    def _place(self, purpose: str, purposes_max: int) -> int:
        """The bit of a purpose, given to it if there is room; else -1."""
        if purpose in self.purposes:
            return self.purposes.index(purpose)
        if len(self.purposes) >= purposes_max:
            return -1
        self.purposes.append(purpose)
        return len(self.purposes) - 1


def _statement(cell: int, words: Mapping[int, Word]) -> Statement:
    times_ms = tuple(words[bit].at_ms for bit in sorted(words))
    newest_ms = max(times_ms)
    return Statement(
        cell, newest_ms, sum(1 << bit for bit in words), sum(1 << bit for bit, word in words.items() if word.agreed),
        () if min(times_ms) == newest_ms else times_ms,
    )  # fmt: skip
