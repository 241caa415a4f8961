"""Vectors for the texts of a catalogue, and whether they are worth having: measured on what this shop's people did.

Whoever acts on an item and then on another one shows what goes together here. Of each such step it is asked whether the
second item is among the 20 nearest to the first: by the words that both have, as the engine looks for them anyhow, by
the vectors, and by both together. Only where both find more than words alone are the vectors worth their memory.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from ..engine.replay import Past
from ..events.envelope import Erased, Flag, Tracked, read_record
from ..events.vectors import VECTOR
from ..foundation.errors import RequestRejected
from ..foundation.limits import EMBEDDING_PEOPLE_MAX, EMBEDDING_STEPS_MAX, EMBEDDING_TEXT_CHARS_MAX
from ..log.base import Readable
from ..log.frames import LogPosition
from ..models.evaluate import Figure, compare
from ..models.item_words import text_of
from ..models.words import WordIndex
from ..state.memory import State
from .encoders import Encoder, Vectors
from .reading import Reading
from .settings import Config
from .training import acts_of
from .wiring import schema_of

NEAREST: Final = 20
"""Items that are looked at."""
STEP_MS_MAX: Final = 30 * 60_000
"""Acts further apart are no step: it was another visit."""
STEPS_FEWEST: Final = 200
"""Fewer say too little."""
_ENCODED_AT_ONCE: Final = 512


class Step(NamedTuple):
    """Somebody went on from one item to another."""

    person: int
    first: int
    """Reference of an item ..."""
    second: int
    """... and of the next one."""


class EmbeddingReport(msgspec.Struct, frozen=True, rename="camel"):
    """What vectors of a model are worth here."""

    model: str
    length: int
    items: int
    """Items of the catalogue with a text."""
    steps: int
    people: int
    """Who made them: each counts the same, whatever they did."""
    words: float
    """Share of the steps whose second item is among the nearest 20 of the first by words, ..."""
    vectors: float
    """... by vectors, ..."""
    both: float
    """... and among 20 that both take turns in naming."""
    difference: Figure
    """Of both and words, with its 95 % interval."""
    loaded: int = 0
    """Vectors that were loaded into the catalogue."""

    @property
    def is_better(self) -> bool:
        """Whether both find more than words alone, for certain."""
        return self.difference.low > 0.0


class Embedding(NamedTuple):
    """Vectors of the items with a text, and what they are worth."""

    report: EmbeddingReport
    ids: Sequence[str]
    vectors: Vectors


def embedded(read: Reading, config: Config, tenant: str, encoder: Encoder) -> Embedding:
    """Encode the texts of a tenant's items, as the catalogue stands at the end of the log, and measure.

    Raises `RequestRejected` where there are no texts, too few steps to tell, or vectors of another length already.
    """
    steps, end = steps_in(read.log, tenant, acts_of(config))
    past = Past(
        schema_of(config), read.log, disk=read.directory.disk, checkpoints=read.directory.checkpoints, cold=read.cold
    )
    state = past.at(end).state
    told = _texts(state, tenant, encoder.length)
    if not told:
        raise RequestRejected("no_texts", f'no item of "{tenant}" has a text that a vector could be made of')
    texts = [one.text for one in told]
    vectors = np.concatenate([encoder.encode(texts[at : at + _ENCODED_AT_ONCE])
                              for at in range(0, len(texts), _ENCODED_AT_ONCE)])  # fmt: skip
    found = _Compared(state, tenant, told, vectors).shares(steps)
    if found.steps < STEPS_FEWEST:
        raise RequestRejected(
            "no_examples", f"people went from one item with a text on to another {found.steps} times: from "
            f"{STEPS_FEWEST} times on it can be said what vectors are worth here")
    report = EmbeddingReport(
        encoder.name, encoder.length, len(told), found.steps, found.people, found.words, found.vectors, found.both,
        found.difference,
    )  # fmt: skip
    return Embedding(report, [one.id for one in told], vectors)


def steps_in(log: Readable, tenant: str, names: Collection[str]) -> tuple[Sequence[Step], LogPosition]:
    """The newest steps of a tenant's people, and the position behind the log's last record. `names` are those of the
    events that are acts on items; bots' are none, and nothing is one twice."""
    steps: deque[Step] = deque(maxlen=EMBEDDING_STEPS_MAX)
    last: OrderedDict[int, tuple[int, int]] = OrderedDict()
    """By person the item and the time of the newest act; who has done nothing for longest goes first."""
    end = LogPosition(log.start)
    for frame in log.read():
        end = LogPosition(frame.end)
        record = read_record(frame.payload)
        if isinstance(record, Erased):
            gone = frozenset(record.cells)
            steps = deque((step for step in steps if step.person not in gone), maxlen=EMBEDDING_STEPS_MAX)
        if not isinstance(record, Tracked) or record.tenant != tenant or record.name not in names or not record.items:
            continue
        if record.flags & (Flag.BOT | Flag.RETOLD):
            continue
        before = last.pop(record.key, None)
        last[record.key] = record.items[0], record.happened_ms
        if len(last) > EMBEDDING_PEOPLE_MAX:
            last.popitem(last=False)
        if before and before[0] != record.items[0] and 0 <= record.happened_ms - before[1] <= STEP_MS_MAX:
            steps.append(Step(record.key, before[0], record.items[0]))
    return steps, end


class _Text(NamedTuple):
    """The text of an item."""

    row: int
    reference: int
    id: str
    text: str


def _texts(state: State, tenant: str, length: int) -> list[_Text]:
    """Of each item of a tenant that has one, by row."""
    catalogue, told = state.catalogue, list[_Text]()
    code = catalogue.code_of(tenant)
    for row in np.flatnonzero(catalogue.tenants == code).tolist() if code else ():
        there = int(catalogue.vector_lengths[row])
        if there and there != length:
            raise RequestRejected(
                "other_vectors", f"the catalogue has vectors of {there} numbers, and this model makes such of "
                f'{length}: to load others, take them out first (a PATCH with "{VECTOR}": null)')
        item = catalogue.at_row[row]
        text = text_of(item.fields)[:EMBEDDING_TEXT_CHARS_MAX]
        if text:
            told.append(_Text(row, item.ref, item.id, text))
    return told


class _Shares(NamedTuple):
    steps: int
    people: int
    words: float
    vectors: float
    both: float
    difference: Figure


class _Compared:
    """Who finds what, item by item."""

    def __init__(self, state: State, tenant: str, texts: Sequence[_Text], vectors: Vectors) -> None:
        self._tenant, self._texts, self._vectors = tenant, texts, vectors
        self._by_row = {one.row: place for place, one in enumerate(texts)}
        self._by_reference = {one.reference: place for place, one in enumerate(texts)}
        self._words = WordIndex(state)
        self._words.follow()
        self._known: dict[int, tuple[list[int], list[int], list[int]]] = {}

    def shares(self, steps: Iterable[Step]) -> _Shares:
        """Of each person the share of steps between two items with a text that was found, and of these the mean."""
        hits: dict[int, list[tuple[bool, bool, bool]]] = {}
        count = 0
        for step in steps:
            first, second = self._by_reference.get(step.first), self._by_reference.get(step.second)
            if first is None or second is None:
                continue
            by_words, by_vectors, by_both = self._nearest(first)
            hits.setdefault(step.person, []).append((second in by_words, second in by_vectors, second in by_both))
            count += 1
        means = np.array([np.mean(one, axis=0) for one in hits.values()]).reshape(-1, 3)
        words, vectors, both = means.mean(axis=0).tolist() if len(means) else (0.0, 0.0, 0.0)
        return _Shares(count, len(hits), words, vectors, both, compare(means[:, 2], means[:, 0]))

    def _nearest(self, place: int) -> tuple[list[int], list[int], list[int]]:
        known = self._known.get(place)
        if known is None:
            alike, _ = self._words.alike(self._tenant, [self._texts[place].row], NEAREST)
            by_words = [self._by_row[row] for row in alike.tolist() if row in self._by_row]
            nearness = self._vectors @ self._vectors[place]
            nearness[place] = -np.inf
            by_vectors = np.argsort(-nearness, kind="stable")[:NEAREST].tolist()
            known = self._known[place] = by_words, by_vectors, taking_turns(by_words, by_vectors, NEAREST)
        return known


def taking_turns(first: Sequence[int], second: Sequence[int], limit: int) -> list[int]:
    """The best of two orders, one from each by turns, nothing twice.

    >>> taking_turns([1, 2, 3], [2, 9], 4)
    [1, 2, 9, 3]
    """
    merged = dict[int, None]()
    for place in range(max(len(first), len(second))):
        for order in (first, second):
            if place < len(order):
                merged.setdefault(order[place])
    return list(merged)[:limit]


def vector_fields(vector: Vectors) -> dict[str, Any]:
    """The change of an item that loads its vector."""
    return {VECTOR: [round(float(number), 6) for number in vector]}
