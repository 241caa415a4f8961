"""The gate: what consent and tombstones say about an event, and about a decision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Final

import msgspec

from ..events.envelope import Linked, Tied
from ..events.gate import FREE, Judgement
from ..events.reject import identifiers_in, identifiers_named
from ..events.statements import PERSONALIZATION
from ..events.subjects import CLAIM_PREFIX, NOBODY, Sealed, Subjects
from ..foundation.clock import Clock
from ..foundation.errors import Corrupt
from ..foundation.limits import REFUSALS_MAX
from ..identity.links import Verdict
from ..privacy.consent import Word
from ..privacy.tombstones import Tombstone
from .partition import Partition

_NAMES_MIN: Final = 16
"""Ids of erased people that are held without a look at which of them are over."""


class Agreement(msgspec.Struct, frozen=True):
    """What a decision may stand on."""

    personal: bool = True
    denied: frozenset[str] = frozenset()
    """Purposes whose features are left out."""


_AGREED = Agreement()


class Agreements:
    """What the people of one partition have agreed to. Nothing is looked up while nobody has ever objected."""

    def __init__(
        self, partition: Partition, find: Callable[[str, str], int], *, purposes: Iterable[str], required: bool
    ) -> None:
        """As `Gate`; `find` is that of `events.subjects.Subjects`."""
        self._partition = partition
        self._find = find
        self._purposes = frozenset(purposes) - {PERSONALIZATION}
        self._required = required

    def agreement(
        self, tenant: str, identifiers: tuple[str, ...], *, stated: Mapping[str, bool] | None, gpc: bool
    ) -> Agreement:
        """What a decision for the person of these ids may stand on; `stated` counts for this decision alone."""
        if not (stated or gpc or self._required or self._partition.consents):
            return _AGREED
        known = self._partition.consents.of(self.cells(tenant, identifiers))
        return self.over(known | dict(stated or {}), gpc=gpc)

    def over(self, known: Mapping[str, bool], *, gpc: bool) -> Agreement:
        """What follows from what is known of a person, by purpose."""
        agreed = not self._required
        personal = known.get(PERSONALIZATION, agreed) and not gpc
        return Agreement(personal, frozenset(one for one in self._purposes if not known.get(one, agreed)))

    def cells(self, tenant: str, identifiers: tuple[str, ...]) -> list[int]:
        """All cells whose word counts for the ids: the user's, and the device's where nobody else has signed in."""
        links, find = self._partition.links, self._find
        if len(identifiers) == 2 and not identifiers[1].startswith(CLAIM_PREFIX):
            device, user = find(tenant, identifiers[0]), find(tenant, identifiers[1])
            return links.together(user, device)
        known = [cell for identifier in identifiers if (cell := find(tenant, identifier))]
        return list(dict.fromkeys(member for cell in known for member in links.cells(cell)))


class Gate:
    """`events.gate.Gate` over one partition's control state. Nothing is looked up while nobody has ever objected.

    What is stated again is not written again. So that a grant from before the newest refusal, arriving late, does not
    pass for news, the gate remembers when refusals were repeated; those of earlier processes count as repeated up to
    the start of this one.
    """

    def __init__(
        self, partition: Partition, subjects: Subjects, clock: Clock, *, purposes: Iterable[str], required: bool
    ) -> None:
        """`purposes` are those of the declared features; `required`: what was not stated is not agreed to."""
        self._partition = partition
        self._subjects = subjects
        self._clock = clock
        self._required = required
        self.agreements = Agreements(partition, subjects.find, purposes=purposes, required=required)
        self._refusals = OrderedDict[bytes, int]()
        """By keyed hash of the id: the newest event time of a refusal, new or repeated."""
        self._refused_until_ms = clock.now_ms()
        """Who is not in there may have repeated a refusal up to then."""
        self._erased: dict[bytes, tuple[Tombstone, ...]] = {}
        """By keyed hash of the id, as far as the tombstones of the partition have been looked at."""
        self._named_max = _NAMES_MIN
        """How many there were when those that are over were taken out last."""
        self._tombstones_seen = 0

    @property
    def is_open(self) -> bool:
        return not (self._required or self._partition.consents or self._partition.tombstones.added)

    def judge(
        self, tenant: str, identifiers: tuple[str, ...], *, stated: Mapping[str, bool] | None, gpc: bool,
        happened_ms: int, message: int, others: tuple[str, ...] = (),
    ) -> Judgement:  # fmt: skip
        partition = self._partition
        if not (stated or gpc or self._required or partition.consents or partition.tombstones.added):
            return FREE
        if partition.tombstones and self._was_erased(tenant, identifiers, others, happened_ms, message):
            return Judgement(withheld="erased")
        cells = self.agreements.cells(tenant, identifiers)
        said = partition.consents.said(cells)
        news = self._news(tenant, identifiers, said, stated or {}, happened_ms)
        known = {purpose: word.agreed for purpose, word in said.items()} | news
        # What the event itself refuses holds for the event, whatever was said later.
        known |= {purpose: False for purpose, agreed in (stated or {}).items() if not agreed}
        agreement = self.agreements.over(known, gpc=gpc)
        withheld = "" if agreement.personal else "gpc" if gpc else "consent"
        if not news and not withheld and not agreement.denied:
            return FREE
        return Judgement(withheld, tuple(sorted(agreement.denied)), news or None)

    def agreement(
        self, tenant: str, identifiers: tuple[str, ...], *, stated: Mapping[str, bool] | None, gpc: bool
    ) -> Agreement:
        """As `Agreements.agreement`."""
        return self.agreements.agreement(tenant, identifiers, stated=stated, gpc=gpc)

    def names_erased(self, tenant: str, raw: bytes, received_ms: int) -> bool:
        """Whether bytes that came in then name somebody who has been erased since."""
        if not self._partition.tombstones:
            return False
        names = (name for field, text in identifiers_in(raw) for name in identifiers_named(field, text))
        return any(stone.at_ms >= received_ms for name in names for stone in self._stones(tenant, name))

    def _news(
        self, tenant: str, identifiers: tuple[str, ...], said: Mapping[str, Word], stated: Mapping[str, bool],
        happened_ms: int,
    ) -> dict[str, bool]:  # fmt: skip
        """What of a statement has to be written down."""
        news: dict[str, bool] = {}
        for purpose, agreed in stated.items():
            word = said.get(purpose)
            if word is not None and happened_ms < word.at_ms:
                continue
            regained = word is not None and agreed and not word.agreed
            if regained and happened_ms < self._refused_ms(tenant, identifiers):
                continue
            if not agreed:
                self._refuse(tenant, identifiers, happened_ms)
            if word is None or word.agreed is not agreed:
                news[purpose] = agreed
        return news

    def _refused_ms(self, tenant: str, identifiers: tuple[str, ...]) -> int:
        names = (self._subjects.tombstone(tenant, identifier) for identifier in identifiers)
        known = [self._refusals[name] for name in names if name in self._refusals]
        return max(known, default=self._refused_until_ms)

    def _refuse(self, tenant: str, identifiers: tuple[str, ...], happened_ms: int) -> None:
        for identifier in identifiers:
            name = self._subjects.tombstone(tenant, identifier)
            newest_ms = max(self._refusals.pop(name, 0), happened_ms)
            if len(self._refusals) >= REFUSALS_MAX:
                self._refusals.popitem(last=False)
                self._refused_until_ms = self._clock.now_ms()
            self._refusals[name] = newest_ms

    def takes(self, claim: int, device: int, user: int) -> bool:
        """Whether there is room for what a device claims of a user."""
        link = Linked(0, "", claim, device, kind=Tied.CLAIM, user=user)
        return self._partition.links.judge(link) is not Verdict.FULL

    def _was_erased(
        self, tenant: str, identifiers: tuple[str, ...], others: tuple[str, ...], happened_ms: int, message: int
    ) -> bool:
        """Whether somebody was erased whose event this is: the user's, if it names one; a claim may be anybody's. Or
        one of `others`, whom it would make known again."""
        now_ms = self._clock.now_ms()
        if len(identifiers) == 2:
            claim = identifiers[1].startswith(CLAIM_PREFIX)
            identifiers = (*identifiers, identifiers[1].rpartition(CLAIM_PREFIX)[2]) if claim else identifiers[1:]
        return any(
            stone.drops(happened_ms=happened_ms, message=message, now_ms=now_ms)
            for identifier in (*identifiers, *others) for stone in self._stones(tenant, identifier)
        )  # fmt: skip

    def _stones(self, tenant: str, identifier: str) -> tuple[Tombstone, ...]:
        if self._tombstones_seen != self._partition.tombstones.added:
            self._learn()
        return self._erased.get(self._subjects.tombstone(tenant, identifier), ())

    def _learn(self) -> None:
        """Look at the tombstones that are new. One whose key is gone is over."""
        tombstones, now_ms = self._partition.tombstones, self._clock.now_ms()
        fresh = list(islice(reversed(tombstones), tombstones.added - self._tombstones_seen))
        self._tombstones_seen = tombstones.added
        if len(self._erased) > 2 * self._named_max:
            standing = {name: tuple(one for one in stones if one.until_ms > now_ms)
                        for name, stones in self._erased.items()}
            self._erased = {name: stones for name, stones in standing.items() if stones}
            self._named_max = max(len(self._erased), _NAMES_MIN)
        for stone in reversed(fresh):
            for sealed in stone.ids:
                name = self._name_in(stone, sealed)
                if name is not None:
                    self._erased[name] = (*self._erased.get(name, ()), stone)

    def _name_in(self, stone: Tombstone, sealed: bytes) -> bytes | None:
        try:
            return self._subjects.unseal(NOBODY, Sealed.TOMBSTONE, stone.at_ms, sealed)
        except Corrupt:  # Older keys were put back, and have got another one of that day since.
            return None
