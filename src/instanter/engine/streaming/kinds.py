"""The kinds of entries. One more is a class with what `Kind` says, and a line in `KINDS`; nothing else names it.

People stand in entries under pseudonyms, as in the log: who somebody is, is asked for elsewhere, and noted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from ...decisions.receipt import id_of
from ...events.envelope import Decided, Flag, Tracked, Withheld
from ...events.reject import Quarantined
from ...events.subjects import NOBODY
from ...events.times import time_text
from ...feedback.outcomes import happened_in
from ...feedback.rewards import Rewards
from ...foundation.limits import STREAM_ITEMS_MAX
from ...privacy.subjects import KeyStore
from ...state.catalogue import Catalogue
from ..export import read_receipt
from ..quarantine import normalised
from .shown import Shown


class About(NamedTuple):
    """What an entry is made with, beside its record."""

    subjects: KeyStore
    catalogue: Catalogue
    rewards: Rewards
    shown: Shown

    def items(self, tenant: str, refs: Sequence[int]) -> list[str]:
        """Ids, as the catalogue knows them now, of the first `STREAM_ITEMS_MAX`."""
        return [id_of(ref, tenant, self.catalogue) for ref in refs[:STREAM_ITEMS_MAX]]


class Told(NamedTuple):
    """What there is to tell of a record."""

    data: msgspec.Struct
    cells: tuple[int, ...] = ()
    """Whom it is about: once one of them is erased it is told no more."""
    placements: frozenset[str] | None = None
    """That it is about; None where it is of a kind that is about none."""


class Kind(Protocol):
    """What is told of some records."""

    @property
    def name(self) -> str:
        """As it is asked for."""
        ...

    @property
    def number(self) -> int:
        """The index of its entry in the id; never given to another kind."""
        ...

    @property
    def hears(self) -> frozenset[type[msgspec.Struct]]:
        """Records of the log, and entries of the quarantine, that there is something to tell of."""
        ...

    @property
    def is_placed(self) -> bool:
        """Whether its entries are about placements."""
        ...

    @property
    def joins(self) -> bool:
        """Whether it asks what was shown before."""
        ...

    def tell(self, record: Any, position: int, about: About) -> Told | None:
        """What there is to tell of a record that it hears; None: nothing."""
        ...


class PlacementTold(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One list of a decision."""

    id: str
    served_by: str
    """The rung."""
    model: str
    items: list[str]
    items_left_out: int = 0
    """Of a long list, those behind the first ones."""


class DecisionTold(msgspec.Struct, frozen=True, rename="camel"):
    """A decision; `GET /v1/decisions/{id}` is its receipt."""

    decision_id: str
    at: str
    cell: str | None
    """The pseudonym of the person; null where nobody was named who may be remembered."""
    placements: list[PlacementTold]
    degraded: list[str]


class JoinedTold(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An item, and the decision that had shown it."""

    item: str
    outcome: str
    decision_id: str
    by: str
    """`decision` (the event names it), `item` (the newest that showed the item to the person), `named` (the event names
    it, and it lies too far back to be looked at)."""
    placement: str | None
    place: int | None
    after_ms: int | None
    """Since the decision."""
    revenue: float = 0.0


class OutcomeTold(msgspec.Struct, frozen=True, rename="camel"):
    """What came of decisions by one event."""

    name: str
    at: str
    cell: str
    joined: list[JoinedTold]


class EventTold(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An event that was taken."""

    name: str
    at: str
    """When it was received."""
    happened_at: str
    cell: str
    items: list[str]
    message: str
    """A reference of the messageId: an event that was sent twice has it twice."""
    decision_id: str = ""
    list_id: str = ""
    items_left_out: int = 0
    bot: bool = False
    told_again: bool = False
    """It is one of before, under the name that means something today."""


class RefusalTold(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An event that was not taken, or had not the effect that was meant."""

    at: str
    code: str
    message: str = ""
    """Without what was sent."""
    entry: str = ""
    """Its id in the quarantine, as `GET /v1/quarantine/{id}` takes it."""
    record: str = ""
    """The position of the record it points to: the event is in the log, and came too late, or cannot be folded."""
    name: str = ""
    """Of the event, where it was not kept for the person's sake."""
    more: int = 0
    """So many further ones share this entry."""


class _Decisions:
    name = "decision"
    number = 0
    hears = frozenset[type[msgspec.Struct]]({Decided})
    is_placed, joins = True, False

    def tell(self, record: Decided, position: int, about: About) -> Told | None:
        made = read_receipt(record, about.subjects)
        if made is None:
            return None
        lists = [(one, one.shown()) for one in made.placements]
        placements = [
            PlacementTold(
                one.id, one.rung, one.model, about.items(record.tenant, refs), max(len(refs) - STREAM_ITEMS_MAX, 0)
            )
            for one, refs in lists
        ]  # fmt: skip
        cell = pseudonym(record.key) if record.key else None
        told = DecisionTold(record.decision_id, time_text(record.at_ms), cell, placements, list(made.degraded))
        return Told(told, _known_by(record.key, record.subject), frozenset(one.id for one in made.placements))


class _Outcomes:
    name = "outcome"
    number = 1
    hears = frozenset[type[msgspec.Struct]]({Tracked})
    is_placed, joins = True, True

    def tell(self, record: Tracked, position: int, about: About) -> Told | None:
        if record.flags & (Flag.BOT | Flag.RETOLD) or not record.items:
            return None
        joined = []
        for happened in happened_in(record, dwell_ms=about.rewards.dwell_ms):
            found = about.shown.find(record, position, happened.item)
            if found is not None:
                joined.append(JoinedTold(
                    id_of(happened.item, record.tenant, about.catalogue), str(happened.outcome.name).lower(),
                    found.decision_id, found.by, found.placement, found.place,
                    None if found.at_ms is None else record.happened_ms - found.at_ms, happened.revenue,
                ))  # fmt: skip
        if not joined:
            return None
        told = OutcomeTold(record.name, time_text(record.received_ms), pseudonym(record.key), joined)
        placements = frozenset(one.placement for one in joined if one.placement is not None)
        return Told(told, _known_by(record.key, record.subject), placements)


class _Events:
    name = "event"
    number = 2
    hears = frozenset[type[msgspec.Struct]]({Tracked})
    is_placed, joins = False, False

    def tell(self, record: Tracked, position: int, about: About) -> Told | None:
        told = EventTold(
            record.name, time_text(record.received_ms), time_text(record.happened_ms), pseudonym(record.key),
            about.items(record.tenant, record.items), pseudonym(record.message), record.decision_id, record.list_id,
            max(len(record.items) - STREAM_ITEMS_MAX, 0), bool(record.flags & Flag.BOT),
            bool(record.flags & Flag.RETOLD),
        )  # fmt: skip
        return Told(told, _known_by(record.key, record.subject))


class _Refusals:
    name = "refusal"
    number = 3
    hears = frozenset[type[msgspec.Struct]]({Withheld, Quarantined})
    is_placed, joins = False, False

    def tell(self, record: Withheld | Quarantined, position: int, about: About) -> Told | None:
        if isinstance(record, Withheld):
            return Told(RefusalTold(time_text(record.at_ms), record.reason, name=record.name))
        if record.settles:
            return None
        return Told(RefusalTold(
            time_text(record.at_ms), record.code, normalised(record.message), str(position),
            str(record.position) if record.position else "", more=record.more,
        ))  # fmt: skip


KINDS: Final[tuple[Kind, ...]] = (_Decisions(), _Outcomes(), _Events(), _Refusals())
assert [kind.number for kind in KINDS] == list(range(len(KINDS)))
KIND_NAMES: Final = tuple(kind.name for kind in KINDS)
QUARANTINED: Final = frozenset(kind.name for kind in KINDS if Quarantined in kind.hears)
"""Those that the quarantine is read for."""


def pseudonym(cell: int) -> str:
    """As the audit record has it."""
    return f"{cell % (1 << 64):016x}"


def _known_by(key: int, subject: int) -> tuple[int, ...]:
    """The pseudonyms whose keys have to be there; none where nothing was sealed, or nobody is named."""
    return (key,) if subject not in (0, NOBODY) and key else ()
