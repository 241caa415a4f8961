"""One fold of one log: applies records in their order to state and links.

Live serving, recovery, replay and verification all go through `Partition.apply`, or `apply_frames`, which is the same
for many records as they lie in the log; there is no other way in.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Final, NamedTuple, Protocol

import msgspec

from ..events.envelope import Epoch, Erased, Keyed, Record, Tracked, Unreadable, read_record
from ..events.folding import UNFIT, Change, Rows, check_time, is_in_time
from ..events.reject import LATE, LATE_FOR_SEQUENCES, POISON
from ..feedback.outcomes import OUTCOME_OF, OUTCOMES_FORMERLY
from ..foundation.errors import Broken, DiskFull
from ..foundation.ids import References
from ..foundation.limits import FOLD_BATCH_ITEMS_MAX
from ..identity.links import Links
from ..log.frames import Frame, LogPosition, Run, ends_of
from ..privacy.access import AccessKeys
from ..privacy.audit import Head, Remembered
from ..privacy.consent import Consents
from ..privacy.tombstones import Tombstones
from ..state.cold_files import ColdPlace
from ..state.compiled import Ints
from ..state.fold import DUPLICATE, LATE_FOR_WINDOWS, TABLE_FULL, TOLD_AGAIN
from ..state.fold import LATE_FOR_SEQUENCES as FOLDED_LATE_FOR_SEQUENCES
from ..state.memory import State, batches
from ..state.program import Columns
from ..state.schema import Schema, columns_of
from ..state.unpacking import EncodedRecords, Unpacking
from .folded import FoldedKey, FoldedParts, FoldedState
from .imports import Imports
from .learning import Learners
from .placed import PlacedModels

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


class Outcomes(Protocol):
    """Hears of what people did with what they were shown."""

    @property
    def open(self) -> int:
        """Decisions that wait for outcomes."""
        ...

    def note(self, event: Tracked, cells: Sequence[int]) -> None:
        """Somebody did something that counts; `cells` are all cells of the person as they are linked now."""
        ...

    def drop(self, cells: Iterable[int]) -> None:
        """People were erased."""
        ...


class Partition:
    """State and links as of `position`, the position of the first record not applied."""

    def __init__(
        self, schema: Schema, cold: ColdPlace | None = None, references: References | None = None
    ) -> None:
        """`cold` says where idle people may lie, and `references` gets the key of the log, see `State`."""
        self.state = State(schema, cold, references)
        self.references = self.state.references
        self.links = Links()
        self.consents = Consents()
        self.tombstones = Tombstones()
        self.access_keys = AccessKeys()
        self.models = PlacedModels()
        self.learners = Learners()
        self.outcomes: Outcomes | None = None
        """Who hears of outcomes besides, without being part of the state."""
        self.imports = Imports()
        self._remembered = Remembered()
        self._unpacking = Unpacking(schema, self.references)
        self.parts = FoldedParts([
            FoldedKey(self.references), FoldedState(self.state), self.links, self.consents, self.tombstones,
            self.access_keys, self._remembered, self.models, self.imports, self.learners,
        ])  # fmt: skip
        self.records = 0
        """Applied since the log began."""
        self.position = LogPosition(0)
        self.passed_over = 0
        """Records that this process could not fold: poison."""
        self.halfway = False
        """Whether a change is under way, or failed in the midst of it: what is here is no state of any log then."""
        self.on_epoch: Callable[[], None] | None = None
        """Called right after an epoch was applied, with nothing applied since."""

    @property
    def audited(self) -> Head:
        """Where the record of administrators' acts had come to."""
        return self._remembered.head

    def apply(
        self, records: Sequence[Record | Unreadable], *, ends: Sequence[LogPosition],
        times_ms: Sequence[int] | None = None,
    ) -> list[Noticed]:
        """Apply records in log order; `ends[i]` is the position behind record i, `times_ms[i]` the time of its frame;
        without them no record is held to the time of its own.

        A record that cannot be folded is passed over, here as in every replay, since that follows from it, its frame
        and the records before it alone; it and the late ones are named. Raises `Halted` for lack of room; anything else
        that is raised stops the partition, and nothing can be applied to it from then on (`Broken`).
        """
        return self._applied(ends, lambda noticed: self._apply(records, ends, times_ms, noticed))

    def apply_frames(self, frames: Sequence[Frame]) -> list[Noticed]:
        """As `apply` of what frames of the log hold. Of most events no record is made: their columns are unpacked from
        the bytes, which takes a third of the time where there are many."""
        ends = ends_of(frames)
        return self._applied(ends, lambda noticed: self._apply_frames(frames, ends, noticed))

    def _applied(self, ends: Sequence[LogPosition], apply: Callable[[list[Noticed]], None]) -> list[Noticed]:
        if self.halfway:
            raise Broken(f"a change failed in the midst of it, before or at {self.position}")
        noticed: list[Noticed] = []
        self.halfway = True
        try:
            apply(noticed)
        except Halted as halted:
            self._come_to(halted.applied, ends)
            self.halfway = False
            raise
        self._come_to(len(ends), ends)
        self.halfway = False
        return noticed

    def unfit(self, events: Sequence[Tracked]) -> Exception | None:
        """Why these events cannot be folded; None when they can. Changes nothing."""
        try:
            columns = columns_of(self.state.schema, events, self.references)
        except UNFIT as error:
            return error
        if len(columns.items) > FOLD_BATCH_ITEMS_MAX:
            return ValueError(f"an event has more than {FOLD_BATCH_ITEMS_MAX} items")
        return None

    def check(self, record: Record, time_ms: int | None = None) -> None:
        """Raise one of `UNFIT` for a control record that would be passed over now, in a frame of that time. Changes
        nothing."""
        self._prepare(record, time_ms, first=self.position == 0)

    def control_rows(self) -> Rows:
        """What a checkpoint holds beside the state."""
        return {**self.parts.rows(), "records": [self.records]}

    def restore_control(self, rows: Rows) -> None:
        """Take over what `control_rows` gave; raises `msgspec.ValidationError` for what is none of it."""
        self.parts.restore(rows)
        self.records = next(iter(msgspec.convert(rows.get("records", []), list[int])), 0)

    def hash(self) -> str:
        """Of the state and of everything beside it; the order in which it came to be does not show."""
        digest = hashlib.blake2b(self.state.hash().encode(), digest_size=16)
        for hashed in self.parts.hashed():
            digest.update(msgspec.msgpack.encode(sorted(msgspec.msgpack.encode(row) for row in hashed)))
        return digest.hexdigest()

    def _apply(
        self, records: Sequence[Record | Unreadable], ends: Sequence[LogPosition], times_ms: Sequence[int] | None,
        noticed: list[Noticed], first_place: int = 0,
    ) -> None:  # fmt: skip
        tracked: list[Tracked] = []
        times = repeat(None, len(records)) if times_ms is None else times_ms
        for place, (record, end, time_ms) in enumerate(zip(records, ends, times, strict=True), first_place):
            if type(record) is Tracked and (time_ms is None or is_in_time(record, time_ms)):
                tracked.append(record)
                continue
            self._fold(tracked, place, noticed)
            first, self.position = self.position == place == 0, end
            self._change(record, place, time_ms, noticed, first=first)
        self._fold(tracked, first_place + len(records), noticed)

    def _apply_frames(self, frames: Sequence[Frame], ends: Sequence[LogPosition], noticed: list[Noticed]) -> None:
        if isinstance(frames, Run):
            records = EncodedRecords(frames.chunk, frames.begins, frames.ends, frames.times_ms)
        else:
            records = EncodedRecords.joined([frame.payload for frame in frames], [frame.time_ms for frame in frames])
        place = 0
        while place < len(frames):
            columns = self._unpacking.columns(records, place)
            if len(columns.keys):
                place += self._fold_columns(columns, frames, place, noticed)
            else:
                frame = frames[place]
                self._apply([read_record(frame.payload)], ends[place : place + 1], [frame.time_ms], noticed, place)
                place += 1

    def _fold_columns(
        self, columns: Columns, frames: Sequence[Frame], place: int, noticed: list[Noticed]
    ) -> int:
        """Fold events of which the first stands in the frame at `place`; how many were."""
        try:
            folded = self.state.fold_columns(columns)
        except DiskFull as full:
            raise Halted(full.message, applied=place, noticed=noticed) from None
        noticed += _late_ones(folded, place)
        if self._is_learning:
            events = (read_record(frame.payload) for frame in frames[place : place + len(folded)])
            self._learn([event for event in events if isinstance(event, Tracked)], folded)
        return len(folded)

    @property
    def _is_learning(self) -> bool:
        """Whether anybody minds single events beside the state."""
        return bool(self.learners.declared or (self.outcomes is not None and self.outcomes.open))

    def _prepare(self, record: Record | Unreadable, time_ms: int | None, *, first: bool) -> list[Change]:
        """The changes that a control record makes; `first` says that the log begins with it."""
        if time_ms is not None and not isinstance(record, Unreadable):
            check_time(record, time_ms)
        if isinstance(record, Keyed) and not first:
            raise ValueError("a key behind other records, by whose references names are known already")
        return self.parts.prepare(record, self.position)

    def _change(
        self, record: Record | Unreadable, place: int, time_ms: int | None, noticed: list[Noticed], *, first: bool
    ) -> None:
        """Fold a control record: all parts prepare their changes before the first one is made."""
        try:
            changes = self._prepare(record, time_ms, first=first)
        except UNFIT as error:
            self._pass_over(place, error, noticed)
            return
        made = False
        try:
            for change in changes:
                change()
            made = True
        finally:
            failure = sys.exception()
            if not made and failure is not None:
                failure.add_note(f"in the midst of {type(record).__name__}, which ends at {self.position}")
        if self.on_epoch is not None and isinstance(record, Epoch):
            self.on_epoch()
        if self.outcomes is not None and isinstance(record, Erased):
            self.outcomes.drop(record.cells)

    def _pass_over(self, place: int, error: Exception, noticed: list[Noticed]) -> None:
        self.passed_over += 1
        noticed.append(Noticed(place, POISON, f"{type(error).__name__}: {error}"))

    def _come_to(self, applied: int, ends: Sequence[LogPosition]) -> None:
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
            if self._is_learning:
                self._learn(piece[: len(folded)], folded)
            if len(folded) < len(piece):
                self._fold_piece(piece[len(folded) :], place + len(folded), noticed, cuts)
            return
        if len(piece) == 1:
            self._pass_over(place, error, noticed)
            return
        for first in range(0, len(piece), cuts[0]):
            self._fold_piece(piece[first : first + cuts[0]], place + first, noticed, cuts[1:])

    def _learn(self, piece: Sequence[Tracked], folded: Ints) -> None:
        heard = OUTCOMES_FORMERLY if self.state.settings["folding"] < 2 else OUTCOME_OF
        for event, verdict in zip(piece, folded.tolist(), strict=True):
            if event.items and event.name in heard and verdict not in (DUPLICATE, TABLE_FULL, TOLD_AGAIN):
                cells = cells_of(event, self.links)
                if self.learners.declared:
                    self.learners.note(event, cells)
                if self.outcomes is not None:
                    self.outcomes.note(event, cells)


def cells_of(event: Tracked, links: Links) -> list[int]:
    """The cells under which whoever did this may have been shown something: the person's, and that of the device."""
    if not event.device:
        return links.cells(event.key)
    return list(dict.fromkeys([*links.cells(event.key), event.device]))


def _late_ones(folded: Ints, place: int) -> list[Noticed]:
    repeated = [Noticed(place + number, REPEATED, "") for number in (folded == DUPLICATE).nonzero()[0].tolist()]
    late = ((folded == FOLDED_LATE_FOR_SEQUENCES) | (folded == LATE_FOR_WINDOWS)).nonzero()[0].tolist()
    return repeated + [Noticed(place + number, _LATE[int(folded[number])], _TOO_OLD) for number in late]
