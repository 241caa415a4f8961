"""Which of the links that events tell of are news, and have room: those on their way in the log count already."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, NamedTuple

from ..events.envelope import Linked, Tied
from ..events.link_claims import LinkClaim
from ..identity.links import Verdict
from .partition import Partition

NO_MATTER_WHOSE: Final = 0
"""In place of the owner: the device is nobody's, whoever was the first for whom there was no room."""

_Name = tuple[int, int, int]
"""Kind, cell and owner."""


class _Coming(NamedTuple):
    """A link that was appended before `position`, and perhaps not applied yet."""

    position: int
    name: _Name
    counted: tuple[int, ...]


class Linking:
    """Beside one intake. What it holds is bounded by what the journal holds.

    A link that is on its way is written once more with the next append: the group that it is in may fail.
    """

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._coming: deque[_Coming] = deque()
        self._appending: dict[_Name, LinkClaim] = {}
        self._names: Counter[_Name] = Counter()
        self._counts: Counter[int] = Counter()
        """By cell: links that are coming."""
        self.full = False
        """Whether there was no room for what was judged last."""

    def judge(self, claim: LinkClaim, at_ms: int, tenant: str) -> Linked | None:
        """The record of a link that is news; where it finds no room, of that."""
        links, kind, self.full = self._partition.links, claim.kind, False
        if kind == Tied.SIGN_IN and links.has_signed_in(claim.cell, claim.owner):
            return None
        record = claim.record(at_ms, tenant)
        name = kind, claim.cell, claim.owner
        verdict = links.judge(record, self._counts) if name not in self._names else Verdict.NEW
        if verdict is Verdict.FULL and kind != Tied.CLAIM:  # For claims it was looked at before.
            self.full = True
            if kind == Tied.ALIAS:
                return None
            name = Tied.BEYOND, claim.cell, NO_MATTER_WHOSE
            record = claim.record(at_ms, tenant, Tied.BEYOND)
            verdict = links.judge(record)
        if verdict is Verdict.KNOWN or name in self._appending:
            return None
        self._appending[name] = claim
        if name not in self._names and name[0] != Tied.BEYOND:
            self._counts.update(_counted(claim))
        return record

    def appended(self, position: int) -> None:
        """What was judged since lies in the log, the last of it at `position`; what has been applied is let go."""
        for name, claim in self._appending.items():
            counted = _counted(claim) if name not in self._names and name[0] != Tied.BEYOND else ()
            self._names[name] += 1
            self._coming.append(_Coming(position, name, counted))
        self._appending.clear()
        applied = self._partition.position
        while self._coming and self._coming[0].position < applied:
            self._let_go(self._coming.popleft())

    def refused(self) -> None:
        """What was judged since does not lie in the log."""
        for name, claim in self._appending.items():
            if name not in self._names and name[0] != Tied.BEYOND:
                self._take(_counted(claim))
        self._appending.clear()

    def _let_go(self, one: _Coming) -> None:
        self._names[one.name] -= 1
        if not self._names[one.name]:
            del self._names[one.name]
        self._take(one.counted)

    def _take(self, counted: tuple[int, ...]) -> None:
        for cell in counted:
            self._counts[cell] -= 1
            if not self._counts[cell]:
                del self._counts[cell]


def _counted(claim: LinkClaim) -> tuple[int, ...]:
    """The cells that it is one of the links of."""
    return (claim.owner, claim.user) if claim.kind == Tied.CLAIM else (claim.cell, claim.owner)
