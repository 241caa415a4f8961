"""Training sets out of the replay: the inputs as they were served, bit for bit, with what came of every row.

Two passes over the log. The first joins outcomes to lists; the second folds the log again, stops where each list was
made, and takes the rows that the ranker read then. Nothing of the future can get in: the fold has not seen it yet.
Rows go to a file as they come, so memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..decisions.candidates import Given
from ..decisions.decide import UNHURRIED_MS
from ..decisions.enclosed import ids_of
from ..decisions.fallback import Stages
from ..events.envelope import Epoch
from ..features.assemble import Column
from ..feedback.slates import DECISION
from ..feedback.slates import Slate as Shown
from ..foundation.deadline import Deadline
from ..foundation.errors import Corrupt, RequestRejected
from ..foundation.measure import NoMeter
from ..log.base import Readable
from ..log.frames import LogPosition
from ..models.dataset import Dataset
from ..models.head import HEAD_ROWS, Head
from ..models.head_ranker import Order, order_of
from ..privacy.subjects import KeyStore
from ..state.compiled import Ints
from .joining import Joined
from .next_acts import NextAct
from .partition import Partition
from .profile import most_active
from .recovery import Progress
from .replay import Made, Past, Replay, decided_at
from .rows import RowFile, Taken

PRICE: Final = "price"
PROGRESS_LISTS: Final = 1_000
WHOLE_SHARE: Final = 0.15
"""Of acts, the newest: they are measured on, so all that could have been shown is there."""
OTHERS_TAKEN: Final = 20
"""Of those behind the head of a list: without them a model makes too much of what was acted on there."""
CHANCE: Final = "next.chance"
"""The input that says which rows come first of what people may turn to next."""


class Counts(msgspec.Struct):
    """What a training set is made of, and what was left out of it."""

    decisions: int = 0
    """Lists of ours."""
    lists: int = 0
    """Lists that others chose."""
    differing: int = 0
    """Decisions that the replay does not come to again: their inputs are not those that were served."""
    unread: int = 0
    """Lists that no ranker read inputs of, or none of whose items could be shown."""
    next_acts: int = 0
    """What people did next, of what the placement could have shown them right before."""
    unfound: int = 0
    """Acts on what the placement would not have found."""


class Gathered(NamedTuple):
    """A training set and its origin."""

    dataset: Dataset
    columns: tuple[Column, ...]
    """Of the dataset."""
    counts: Counts
    from_ms: int
    to_ms: int


class Gathering:
    """Makes the training set of one placement, as its present configuration reads it."""

    def __init__(
        self, replay: Replay, log: Readable, subjects: KeyStore, *, configuration: str, placement: str
    ) -> None:
        """`configuration` is the one that is in force: lists that others chose are read as it would have."""
        self._replay = replay
        self._log = log
        self._subjects = subjects
        self._configuration = configuration
        self._placement = placement
        self._unserved: Past | None = None
        self._unserved_now: Partition | None = None
        self.counts = Counts()

    def gather(self, joined: Iterable[Joined], file: Path, progress: Progress | None = None) -> Gathered:
        """Rows of all examples that can be read; `file` takes them while they come and is mapped by the dataset.

        Raises `RequestRejected` (no_examples) if there is none, and what `Past.at` raises.
        """
        found = sorted(joined, key=lambda one: one.example.slate.position)
        decider, _ = self._replay.footing(self._configuration)
        with RowFile(file, decider.assembler.columns) as rows:
            self._fill(rows, found, progress)
            if not len(rows):
                raise RequestRejected("no_examples", f'the log holds no list of "{self._placement}" to learn from')
            dataset = rows.dataset()
        at_ms = [one.example.slate.at_ms for one in found]
        return Gathered(dataset, decider.assembler.columns, self.counts, min(at_ms), max(at_ms))

    def gather_next(self, acts: Sequence[NextAct], file: Path, progress: Progress | None = None) -> Gathered:
        """Rows out of what people did next: what the placement could have shown right before, where it would have found
        what they then acted on. Raises as `gather`.

        Where what people do one after another is kept, the likeliest stand for the others and some of the rest, and a
        model of these orders the head of a list; see `Head`. Of the newest acts, which models are measured on, all
        stand there.
        """
        decider, _ = self._replay.footing(self._configuration)
        head = self._head()
        order = None if head is None else order_of(head, decider.assembler.columns)
        whole_from = int(len(acts) * (1.0 - WHOLE_SHARE))
        with RowFile(file, decider.assembler.columns) as rows:
            for number, act in enumerate(acts):
                self._add_act(rows, act, None if number >= whole_from else order)
                if progress is not None and number % PROGRESS_LISTS == 0:
                    progress(number, len(acts))
            if not len(rows):
                raise RequestRejected(
                    "no_examples", f'"{self._placement}" would have found nothing of what people did next'
                )
            dataset = msgspec.structs.replace(rows.dataset(self.names(acts[0].tenant)), head=head)
        at_ms = [act.at_ms for act in acts]
        return Gathered(dataset, decider.assembler.columns, self.counts, min(at_ms), max(at_ms))

    def names(self, tenant: str) -> Callable[[int], str | None]:
        """What tells the id of an item by its reference, as the catalogue is where the last act was looked at."""
        assert self._unserved_now is not None
        catalogue = self._unserved_now.state.catalogue
        return lambda ref: catalogue.name_of(tenant, ref)

    def _head(self) -> Head | None:
        """What a model of next acts orders: the rows that the built-in ranker has first."""
        decider, _ = self._replay.footing(self._configuration)
        if "sequences" not in decider.assembler.carriers:
            return None
        ranker = decider.asked(self._placement).spot.ranker
        weights = zip((column.name for column in ranker.columns), ranker.weights.tolist(), strict=True)
        return Head(CHANCE, weights=tuple((name, weight) for name, weight in weights if weight))

    def _add_act(self, rows: RowFile, act: NextAct, order: Order | None) -> None:
        """The rows of one act: those of the head, by this order, or all."""
        decider, _ = self._replay.footing(self._configuration)
        partition = self._as_of(act.position, act.at_ms)
        moment = decider.look(
            partition.state, _keys(partition, act.key), act.tenant, act.at_ms,
            Stages(Deadline(UNHURRIED_MS), NoMeter()),
        )  # fmt: skip
        asked = decider.asked(self._placement)
        if asked.spot.placement.needs_item:
            asked = decider.asked(self._placement, page=decider.newest_item(moment))
            if not asked.page:
                self.counts.unread += 1
                return
        inputs = decider.inputs(moment, asked)
        if inputs is None:
            self.counts.unread += 1
            return
        refs = inputs.pool.columns.refs[inputs.eligible]
        acted_on = np.isin(refs, act.items)
        if not acted_on.any():
            self.counts.unfound += 1
            return
        self.counts.next_acts += 1
        places = np.arange(len(acted_on))
        if order is not None:
            places = standing_for_all(order(inputs.matrix), acted_on, HEAD_ROWS)
        taken = Taken(places.tolist(), inputs.matrix[places], decider.assembler.columns)
        labels = acted_on[places].astype(np.float64).tolist()
        rows.add_unshown(act.at_ms, taken, labels, refs[places], inputs.recent)

    def _fill(self, rows: RowFile, found: Sequence[Joined], progress: Progress | None) -> None:
        done = 0
        for group in self._by_configuration(found):
            for one in group:
                taken = self._rows_of(one)
                done += 1
                if taken is None:
                    self.counts.unread += 1
                else:
                    rows.add(one.example, taken)
                if progress is not None and done % PROGRESS_LISTS == 0:
                    progress(done, len(found))

    def _by_configuration(self, found: Sequence[Joined]) -> list[list[Joined]]:
        """Those of one configuration together, each in the order of the log, so that the fold only goes forward."""
        groups: dict[str, list[Joined]] = {}
        for one in found:
            groups.setdefault(self._made_under(one), []).append(one)
        return list(groups.values())

    def _made_under(self, one: Joined) -> str:
        made = self._made(one) if one.example.slate.source == DECISION else None
        return self._configuration if made is None else made.receipt.config_hash

    def _made(self, one: Joined) -> Made | None:
        return decided_at(self._log, one.at, self._subjects)

    def _rows_of(self, one: Joined) -> Taken | None:
        if one.example.slate.source == DECISION:
            return self._rows_of_decision(one)
        return self._rows_of_list(one.example.slate)

    def _rows_of_decision(self, one: Joined) -> Taken | None:
        made = self._made(one)
        if made is None:
            return None
        try:
            again = self._replay.decision(made)
        except (Corrupt, RequestRejected):
            again = None
        if again is None or not again.identical:
            self.counts.differing += 1
            return None
        (slate,) = (slate for slate in again.slates if slate.asked.id == self._placement)
        if slate.matrix is None:
            return None
        self.counts.decisions += 1
        return Taken(range(len(slate.order)), slate.matrix[slate.order], again.columns)

    def _as_of(self, position: LogPosition, at_ms: int) -> Partition:
        """The past up to a position that nobody was served at. What decisions read of items is published right there,
        whatever epochs the log has: those depend on how the server came along, and examples on the events alone."""
        if self._unserved is None:
            _, past = self._replay.footing(self._configuration)
            self._unserved = self._replay.past(past.schema)
        partition = self._unserved.at(position)
        partition.state.publish(Epoch(at_ms, partition.state.epoch + 1, ""))
        self._unserved_now = partition
        return partition

    def _rows_of_list(self, slate: Shown) -> Taken | None:
        decider, _ = self._replay.footing(self._configuration)
        partition = self._as_of(slate.position, slate.at_ms)
        moment = decider.look(
            partition.state, _keys(partition, slate.key), slate.tenant, slate.at_ms,
            Stages(Deadline(UNHURRIED_MS), NoMeter()),
        )  # fmt: skip
        inputs = decider.inputs(moment, decider.asked(self._placement, given=_given(slate, partition)))
        if inputs is None:
            return None
        self.counts.lists += 1
        return Taken(inputs.eligible.tolist(), inputs.matrix, decider.assembler.columns)


def standing_for_all(order: Ints, acted_on: npt.NDArray[np.bool_], count: int) -> Ints:
    """Places of what was acted on, of the first `count` of an order and of `OTHERS_TAKEN` evenly out of the rest, the
    smallest first.

    >>> standing_for_all(np.array([2, 1, 0]), np.array([True, False, False]), 1).tolist()
    [0, 1, 2]
    """
    rest = order[count:]
    some = rest[np.linspace(0, len(rest) - 1, min(OTHERS_TAKEN, len(rest))).astype(np.int64)]
    places: Ints = np.unique(np.concatenate([order[:count], some, np.flatnonzero(acted_on)]))
    return places


def _keys(partition: Partition, key: int) -> list[int]:
    """The cells of whoever a list was shown to, the one that saw it first."""
    return most_active(partition.state, partition.links.cells(key), first=key)


def _given(slate: Shown, partition: Partition) -> Given:
    """A list that others chose, as the question that would have been asked about it."""
    prices = [(place, {PRICE: price}) for place, price in enumerate(slate.prices) if price == price]
    return Given(ids_of(slate.items, slate.tenant, partition.state.catalogue), np.array(slate.items, np.int64), prices)
