"""One fold of one log: applies records in their order to state and links.

Live serving, recovery, replay and verification all go through `Partition.apply`; there is no other way in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ..events.envelope import (
    Audited,
    Configured,
    Consented,
    Decided,
    Epoch,
    Erased,
    Imported,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    KeyIssued,
    KeyRevoked,
    LearnerDeclared,
    LearnerTurned,
    Linked,
    ModelPlaced,
    Record,
    Ticked,
    Tracked,
    Unlinked,
    Withheld,
)
from ..events.reject import LATE, LATE_FOR_SEQUENCES, POISON
from ..feedback.outcomes import OUTCOME_OF, OUTCOMES_FORMERLY
from ..foundation.errors import DiskFull
from ..foundation.limits import FOLD_BATCH_ITEMS_MAX
from ..identity.links import Link, Links
from ..privacy.access import AccessKey, AccessKeys
from ..privacy.audit import Head
from ..privacy.consent import Consents, Statement
from ..privacy.tombstones import Tombstone, Tombstones
from ..state.cold_files import ColdPlace
from ..state.compiled import Ints
from ..state.fold import DUPLICATE, LATE_FOR_WINDOWS, TABLE_FULL, TOLD_AGAIN
from ..state.fold import LATE_FOR_SEQUENCES as FOLDED_LATE_FOR_SEQUENCES
from ..state.memory import State, batches
from ..state.schema import Schema, columns_of
from .imports import ImportRow, Imports
from .learning import Learners

UNFIT: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What `columns_of` raises for a record that it cannot take."""
CUTS: Final = (12, 1)
"""A batch with an unfit record is tried in pieces of so many events; so each record is tried at most three times."""
REPEATED: Final = "duplicate"
"""Noticed of an event whose messageId its person has sent before."""
_LATE: Final = {FOLDED_LATE_FOR_SEQUENCES: LATE_FOR_SEQUENCES, LATE_FOR_WINDOWS: LATE}
_TOO_OLD: Final = "too far behind the newest event of its person"


class Noticed(NamedTuple):
    """A record of which the fold could not make what was meant; the state is right all the same."""

    place: int
    """Among the records that were given to `apply`."""
    code: str
    """`late`, `late_for_sequences`, `duplicate` or `poison`."""
    reason: str


class Halted(DiskFull):
    """Memory is full and the disk takes nobody who is idle: of the records given to `apply` only the first `applied`
    were. Once there is room the rest can be applied as if nothing had been."""

    def __init__(self, reason: str, *, applied: int, noticed: list[Noticed]) -> None:
        super().__init__(reason)
        self.applied = applied
        self.noticed = noticed


class Partition:
    """State and links as of `position`, the position of the first record not applied."""

    def __init__(self, schema: Schema, cold: ColdPlace | None = None) -> None:
        """`cold` says where idle people may lie, see `State`."""
        self.state = State(schema, cold)
        self.links = Links()
        self.consents = Consents()
        self.tombstones = Tombstones()
        self.access_keys = AccessKeys()
        self.audited = Head()
        """Where the record of administrators' acts had come to."""
        self.models: dict[tuple[str, str], ModelPlaced] = {}
        """Who ranks, by tenant and placement; where none was placed it is the built-in ranker."""
        self.learners = Learners()
        self.imports = Imports()
        self.records = 0
        """Applied since the log began."""
        self.position = 0
        self.passed_over = 0
        """Records that this process could not fold: poison."""
        self.on_epoch: Callable[[], None] | None = None
        """Called right after an epoch was applied, with nothing applied since."""
        self._apply_control: dict[type[Record], Callable[[Any], object]] = {
            ItemUpserted: self.state.catalogue.upsert,
            ItemPatched: self.state.catalogue.patch,
            ItemDeleted: self.state.catalogue.delete,
            Linked: self._link,
            Unlinked: self._unlink,
            Configured: self._configure,
            Epoch: self._publish,
            Ticked: self.state.tick,
            Consented: self._consent,
            Erased: self._erase,
            Decided: self.learners.show,
            Withheld: _nothing,
            KeyIssued: self._issue_key,
            KeyRevoked: self._revoke_key,
            Audited: self._remember_audited,
            ModelPlaced: self._place_model,
            LearnerDeclared: self.learners.declare,
            LearnerTurned: self.learners.turn,
            Imported: self._import,
        }

    def apply(self, records: Sequence[Record], *, ends: Sequence[int]) -> list[Noticed]:
        """Apply records in log order; `ends[i]` is the position behind record i.

        A tracked event that fits no column is passed over, here as in every replay, since that follows from the record
        alone; it and the late ones are named. Raises `Halted` for lack of room; anything else that is raised stops the
        partition.
        """
        noticed: list[Noticed] = []
        try:
            self._apply(records, ends, noticed)
        except Halted as halted:
            self._come_to(halted.applied, ends)
            raise
        self._come_to(len(records), ends)
        return noticed

    def unfit(self, events: Sequence[Tracked]) -> Exception | None:
        """Why these events cannot be folded; None when they can. Changes nothing."""
        try:
            columns = columns_of(self.state.schema, events)
        except UNFIT as error:
            return error
        if len(columns.items) > FOLD_BATCH_ITEMS_MAX:
            return ValueError(f"an event has more than {FOLD_BATCH_ITEMS_MAX} items")
        return None

    def control_rows(self) -> dict[str, list[Any]]:
        """What a checkpoint holds beside the state."""
        return {
            "links": list(self.links),
            "consents": list(self.consents),
            "purposes": list(self.consents.purposes),
            "tombstones": list(self.tombstones),
            "erased": [self.tombstones.newest_id],
            "access_keys": self.access_keys.rows(),
            "audited": [self.audited],
            "models": list(self.models.values()),
            "imports": self.imports.rows(),
            "records": [self.records],
            **self.learners.rows(),
        }

    def restore_control(self, rows: dict[str, list[Any]]) -> None:
        """Take over what `control_rows` gave; raises `msgspec.ValidationError` for what is none of it."""
        self.links = Links(msgspec.convert(rows.get("links", []), list[Link]))
        self.consents = Consents(
            msgspec.convert(rows.get("consents", []), list[Statement]),
            msgspec.convert(rows.get("purposes", []), list[str]),
        )
        newest_id = next(iter(msgspec.convert(rows.get("erased", []), list[str])), "")
        self.tombstones = Tombstones(msgspec.convert(rows.get("tombstones", []), list[Tombstone]), newest_id)
        self.access_keys = AccessKeys(msgspec.convert(rows.get("access_keys", []), list[AccessKey]))
        models = msgspec.convert(rows.get("models", []), list[ModelPlaced])
        self.models = {(placed.tenant, placed.placement): placed for placed in models}
        self.imports = Imports(msgspec.convert(rows.get("imports", []), list[ImportRow]))
        self.learners.restore(rows)
        self.records = next(iter(msgspec.convert(rows.get("records", []), list[int])), 0)
        self.audited = next(iter(msgspec.convert(rows.get("audited", []), list[Head])), Head())

    def hash(self) -> str:
        """Of the state and of everything beside it; the order in which it came to be does not show."""
        digest = hashlib.blake2b(self.state.hash().encode(), digest_size=16)
        parts: list[Iterable[object]] = [self.links, self.consents, self.tombstones]
        if self.models:
            parts.append(self.models.values())
        if rows := self.imports.rows():
            parts.append(rows)
        if self.learners.declared:
            parts.append(self.learners.hashed())
        for part in parts:
            digest.update(msgspec.msgpack.encode(sorted(msgspec.msgpack.encode(row) for row in part)))
        return digest.hexdigest()

    def _apply(self, records: Sequence[Record], ends: Sequence[int], noticed: list[Noticed]) -> None:
        tracked: list[Tracked] = []
        for place, (record, end) in enumerate(zip(records, ends, strict=True)):
            if isinstance(record, Tracked):
                tracked.append(record)
                continue
            self._fold(tracked, place, noticed)
            self.position = end
            self._apply_control[type(record)](record)
        self._fold(tracked, len(records), noticed)

    def _come_to(self, applied: int, ends: Sequence[int]) -> None:
        if applied:
            self.position = ends[applied - 1]
        self.records += applied

    def _fold(self, tracked: list[Tracked], behind: int, noticed: list[Noticed]) -> None:
        """Fold the events that stand before place `behind`."""
        place = behind - len(tracked)
        for batch in batches(tracked):
            self._fold_piece(batch, place, noticed, CUTS)
            place += len(batch)
        tracked.clear()

    def _fold_piece(
        self, piece: Sequence[Tracked], place: int, noticed: list[Noticed], cuts: tuple[int, ...]
    ) -> None:
        """Fold events; where one is unfit, smaller pieces of them in their order, and at last all but that one."""
        try:
            folded = self.state.fold(piece)
        except DiskFull as full:
            raise Halted(full.message, applied=place, noticed=noticed) from None
        except (*UNFIT, AssertionError):
            error = self.unfit(piece)
            if error is None:  # The columns were fine, so the state may have changed.
                raise
        else:
            noticed += _late_ones(folded, place)
            if self.learners.declared:
                self._learn(piece[: len(folded)], folded)
            if len(folded) < len(piece):
                self._fold_piece(piece[len(folded) :], place + len(folded), noticed, cuts)
            return
        if len(piece) == 1:
            self.passed_over += 1
            noticed.append(Noticed(place, POISON, f"{type(error).__name__}: {error}"))
            return
        for first in range(0, len(piece), cuts[0]):
            self._fold_piece(piece[first : first + cuts[0]], place + first, noticed, cuts[1:])

    def _learn(self, piece: Sequence[Tracked], folded: Ints) -> None:
        heard = OUTCOMES_FORMERLY if self.state.settings["folding"] < 2 else OUTCOME_OF
        for event, verdict in zip(piece, folded.tolist(), strict=True):
            if event.items and event.name in heard and verdict not in (DUPLICATE, TABLE_FULL, TOLD_AGAIN):
                self.learners.note(event, self.links.cells(event.key))

    def _configure(self, event: Configured) -> None:
        self.state.configure(event)
        self.consents.declare(event.purposes)

    def _link(self, event: Linked) -> None:
        self.links.link(event)

    def _unlink(self, event: Unlinked) -> None:
        self.links.unlink(event)

    def _consent(self, event: Consented) -> None:
        self.consents.apply(event)

    def _erase(self, event: Erased) -> None:
        self.state.erase(event.cells)
        self.links.drop(event.cells)
        self.consents.drop(event.cells)
        self.learners.drop(event.cells)
        self.tombstones.apply(event)

    def _issue_key(self, event: KeyIssued) -> None:
        self.access_keys.issue(event)

    def _revoke_key(self, event: KeyRevoked) -> None:
        self.access_keys.revoke(event)

    def _remember_audited(self, event: Audited) -> None:
        self.audited = Head(event.number, event.chain)

    def _place_model(self, event: ModelPlaced) -> None:
        if event.model:
            self.models[event.tenant, event.placement] = event
        else:
            self.models.pop((event.tenant, event.placement), None)

    def _import(self, event: Imported) -> None:
        self.imports.apply(event, self.position)

    def _publish(self, event: Epoch) -> None:
        self.state.publish(event)
        self.learners.publish(event.at_ms)
        if self.on_epoch is not None:
            self.on_epoch()


def _late_ones(folded: Ints, place: int) -> list[Noticed]:
    repeated = [Noticed(place + number, REPEATED, "") for number in (folded == DUPLICATE).nonzero()[0].tolist()]
    late = ((folded == FOLDED_LATE_FOR_SEQUENCES) | (folded == LATE_FOR_WINDOWS)).nonzero()[0].tolist()
    return repeated + [Noticed(place + number, _LATE[int(folded[number])], _TOO_OLD) for number in late]


def _nothing(record: Record) -> None:
    """Is read, not folded."""
