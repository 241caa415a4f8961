"""What was shown and what came of it, joined over the whole log: the examples that training sets are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ..decisions.receipt import PlacementReceipt
from ..events.envelope import Decided, Erased, Linked, ModelPlaced, Tracked, Unlinked, read_record
from ..feedback.example import Example
from ..feedback.join import Joiner
from ..feedback.rewards import Rewards
from ..feedback.slates import DECISION, Slate, slate_of
from ..foundation.disk import Disk
from ..foundation.errors import Corrupt
from ..identity.former import Link
from ..identity.links import Links, Tie
from ..log.base import Readable
from ..log.frames import RecordPosition
from ..privacy.subjects import KeyStore
from ..state.checkpoint import checkpoint_path, list_checkpoints, read_control
from .next_acts import NextActs
from .partition import cells_of
from .paths import Paths
from .replay import Made, opened


class ListsWanted(msgspec.Struct, frozen=True):
    """Which lists to learn from."""

    tenant: str
    placement: str
    lists: bool = False
    """Also the lists that others chose, as `Product List Viewed` tells of them: training for reranks."""
    acts: frozenset[str] = frozenset()
    """Names of the events that are acts on items, where what people did next is wanted too."""
    paths: bool = False
    """Also the order of all those acts."""
    until: int | None = None
    """Position up to which the log is looked at; what comes behind it is the future."""


class Joined(NamedTuple):
    """A list with what came of it."""

    example: Example
    at: int
    """Position of the record that tells of it: the decision's, or the event's."""


class Before(NamedTuple):
    """What was so where the log begins."""

    links: tuple[Link, ...] = ()
    ties: tuple[Tie, ...] = ()
    models: tuple[ModelPlaced, ...] = ()


_NOTHING_BEFORE: Final = Before()


class Joining:
    """One pass over the log."""

    def __init__(
        self, log: Readable, subjects: KeyStore, rewards: Rewards, wanted: ListsWanted, before: Before = _NOTHING_BEFORE
    ) -> None:
        self._log = log
        self._subjects = subjects
        self._wanted = wanted
        self._links = Links(before.links, before.ties)
        self._joiner = Joiner(rewards)
        self.next_acts = NextActs(wanted.tenant, wanted.acts)
        self.paths = Paths(wanted.tenant, wanted.acts if wanted.paths else ())
        self._at: dict[str, int] = {}
        """Of decisions that are still open, where they lie."""
        self.records = 0
        self.newest_ms = 0
        """Receipt time of the newest record looked at."""
        self.position = 0
        """Behind the last record looked at."""
        self.unreadable = 0
        """Decisions of erased people, and older than receipts are kept: they are left out."""
        self.in_charge: dict[tuple[str, str], ModelPlaced] = {}
        """Who ranks where, at the end."""
        self.ranked: set[str] = set()
        """Models ("kind@id") that have been in charge or stood in: receipts name them."""
        for placed in before.models:
            self._place(placed)

    @property
    def waiting(self) -> int:
        """Lists whose outcomes may still come."""
        return len(self._joiner)

    def examples(self, now_ms: int = 0) -> Iterator[Joined]:
        """Each list once, when everything that belongs to it has come; those still open at the end, or at `now_ms` if
        that is later, are left out."""
        for frame in self._log.read():
            if self._wanted.until is not None and frame.position >= self._wanted.until:
                break
            self._take(read_record(frame.payload), frame.position)
            self.records += 1
            self.newest_ms, self.position = max(self.newest_ms, frame.time_ms), frame.end
            yield from self._due(self.newest_ms)
        yield from self._due(max(self.newest_ms, now_ms))

    def _due(self, now_ms: int) -> Iterator[Joined]:
        for example in self._joiner.due(now_ms):
            yield Joined(example, self._at.pop(example.slate.id, example.slate.position))

    def _take(self, record: object, position: RecordPosition) -> None:
        match record:
            case Tracked() if record.tenant == self._wanted.tenant:
                self._note(record, position)
            case Decided() if record.tenant == self._wanted.tenant:
                self._show(position, record)
            case ModelPlaced():
                self._place(record)
            case Linked():
                self._links.link(record)
            case Unlinked():
                self._links.unlink(record)
            case Erased():
                self._links.drop(record.cells, record.at_ms)
                self._joiner.drop(record.cells)
                self.next_acts.drop(record.cells)
                self.paths.drop(record.cells)
            case _:
                pass

    def _place(self, placed: ModelPlaced) -> None:
        self.in_charge[placed.tenant, placed.placement] = placed
        self.ranked |= {placed.model, placed.stand_in} - {""}

    def _note(self, event: Tracked, position: RecordPosition) -> None:
        cells = tuple(cells_of(event, self._links))
        self.next_acts.note(event, position)
        self.paths.note(event)
        if self._wanted.lists:
            slate = slate_of(event, cells=cells, position=position)
            if slate is not None:
                self._joiner.show(slate)
        self._joiner.note(event, cells)

    def _show(self, position: int, record: Decided) -> None:
        try:
            made = opened(position, record, self._subjects)
        except Corrupt:
            made = None
        if made is None:
            self.unreadable += 1
            return
        for placement in made.receipt.placements:
            if placement.id == self._wanted.placement and placement.items:
                self._at[made.receipt.decision_id] = position
                self._joiner.show(shown_by(made, placement))


def before_the_log(log: Readable, disk: Disk, checkpoints: Path) -> Before:
    """What was so where the log begins, if its beginning has been cut off: as the oldest checkpoint has it. Nothing
    where the log is whole or no checkpoint can be read; outcomes under another id of a person then join no list."""
    if log.start > 0:
        for position in reversed(list_checkpoints(disk, checkpoints)):
            try:
                control = read_control(disk, checkpoint_path(checkpoints, position))
                return Before(
                    msgspec.convert(control.get("links", []), tuple[Link, ...]),
                    msgspec.convert(control.get("ties", []), tuple[Tie, ...]),
                    msgspec.convert(control.get("models", []), tuple[ModelPlaced, ...]),
                )
            except (Corrupt, FileNotFoundError, msgspec.ValidationError):  # A running server may just replace it.
                continue
    return Before()


def shown_by(made: Made, placement: PlacementReceipt) -> Slate:
    """One list of a decision, as outcomes are joined to it."""
    items = tuple(placement.shown())
    slot = placement.slot
    propensities = tuple(
        slot.propensity if slot is not None and slot.position == place else 1.0 for place in range(1, len(items) + 1)
    )
    return Slate(
        id=made.receipt.decision_id, source=DECISION, tenant=made.record.tenant, placement=placement.id,
        key=made.record.key, cells=made.receipt.keys, at_ms=made.receipt.at_ms, position=made.receipt.position,
        items=items,
        places=tuple(range(1, len(items) + 1)), propensities=propensities,
    )  # fmt: skip
