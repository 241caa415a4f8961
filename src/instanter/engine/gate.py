"""The gate: what consent and tombstones say about an event, and about a decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..events.gate import FREE, Judgement
from ..events.subjects import Subjects
from ..foundation.clock import Clock
from ..privacy.consent import PERSONALIZATION
from .partition import Partition


class Agreement(msgspec.Struct, frozen=True):
    """What a decision may stand on."""

    personal: bool = True
    denied: frozenset[str] = frozenset()
    """Purposes whose features are left out."""


_AGREED = Agreement()


class Gate:
    """`events.gate.Gate` over one partition's control state. Nothing is looked up while nobody has ever objected."""

    def __init__(
        self, partition: Partition, subjects: Subjects, clock: Clock, *, purposes: Iterable[str], required: bool
    ) -> None:
        """`purposes` are those of the declared features; `required`: what was not stated is not agreed to."""
        self._partition = partition
        self._subjects = subjects
        self._clock = clock
        self._purposes = frozenset(purposes) - {PERSONALIZATION}
        self._required = required

    def judge(
        self, tenant: str, identifiers: tuple[str, ...], *, stated: Mapping[str, bool] | None, gpc: bool,
        happened_ms: int, message: int,
    ) -> Judgement:  # fmt: skip
        partition = self._partition
        if not (stated or gpc or self._required or partition.consents or partition.tombstones):
            return FREE
        if partition.tombstones and self._was_erased(tenant, identifiers, happened_ms, message):
            return Judgement(withheld="erased")
        cells = self._cells(tenant, identifiers)
        known = partition.consents.of(cells)
        statement = None
        if stated and happened_ms >= partition.consents.newest_ms(cells):
            statement = stated if any(known.get(purpose) is not agreed for purpose, agreed in stated.items()) else None
            known |= stated
        agreement = self._agreement(known, gpc=gpc)
        withheld = "" if agreement.personal else "gpc" if gpc else "consent"
        if statement is None and not withheld and not agreement.denied:
            return FREE
        return Judgement(withheld, tuple(sorted(agreement.denied)), statement)

    def agreement(self, cells: Sequence[int], *, stated: Mapping[str, bool] | None, gpc: bool) -> Agreement:
        """What a decision for the person with these cells may stand on; `stated` counts for this decision alone."""
        if not (stated or gpc or self._required or self._partition.consents):
            return _AGREED
        return self._agreement(self._partition.consents.of(cells) | dict(stated or {}), gpc=gpc)

    def _agreement(self, known: Mapping[str, bool], *, gpc: bool) -> Agreement:
        agreed = not self._required
        personal = known.get(PERSONALIZATION, agreed) and not gpc
        return Agreement(personal, frozenset(one for one in self._purposes if not known.get(one, agreed)))

    def _cells(self, tenant: str, identifiers: tuple[str, ...]) -> list[int]:
        """All cells of the profiles that the ids belong to."""
        cells: dict[int, None] = {}
        for identifier in identifiers:
            cell = self._subjects.find(tenant, identifier)
            if cell:
                cells.update(dict.fromkeys(self._partition.links.cells(cell)))
        return list(cells)

    def _was_erased(self, tenant: str, identifiers: tuple[str, ...], happened_ms: int, message: int) -> bool:
        now_ms, tombstones = self._clock.now_ms(), self._partition.tombstones
        return any(
            tombstones.drops(
                self._subjects.tombstone(tenant, identifier), happened_ms=happened_ms, message=message, now_ms=now_ms
            )
            for identifier in identifiers
        )
