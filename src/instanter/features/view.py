"""A person's features, read at a time: the merge of their cells, and their live session.

Windows and decays are computed against `now_ms` when they are read, so they fade with no event and no timer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from ..foundation.limits import LINKED_CELLS_MAX, READING_PLANS_MAX
from ..state.aggregations.base import Trait
from ..state.aggregations.dispatch import merge_feature, read_list, read_number
from ..state.cold_files import Stored, parts_of
from ..state.compiled import Ints, Reals, kernel
from ..state.layout import (
    CELL_FIRST_MS,
    CELL_KEY,
    CELL_NEWEST_MS,
    CELL_SESSION,
    SESSION_END_MS,
    SESSION_SCOPE,
    SESSION_START_MS,
    FeatureSpec,
    Scope,
)
from ..state.memory import State
from ..state.program import AS_CAME, AT, SCOPE, WORDS_TAKEN
from ..state.schema import Schema
from ..state.table import CELLS, SESSIONS, WORDS, Index, address, find
from ..state.upkeep import is_swept
from .declaration import FeatureDeclaration
from .described import described

# Columns of a reading plan, one row per feature.
FEATURE, NUMBER, LIST, START, TTL_MS = 0, 1, 2, 3, 4
"""Number of the feature in the program; its place among the numbers, or -1; among the lists, or -1; where its list
begins in the flat arrays; time to live, 0 for ever."""
_PLAN_COLUMNS = 5
_KNOWN, _IN_SESSION = 1, 2


class PersonLayout(msgspec.Struct, frozen=True):
    """Where the features of people stand in the arrays of a `Person`. Made once for one reader."""

    numbers: dict[str, int]
    """Name -> place in `Person.values`."""
    lists: dict[str, int]
    """Name -> place in `Person.counts`."""
    starts: tuple[int, ...]
    """Where each list begins in the flat arrays."""
    scored: frozenset[str]
    """The lists that are kept by scores; the others are kept by times."""


class Person(msgspec.Struct, frozen=True):
    """What is known of a person at one time. Lists come strongest (tops) or newest (lasts) first.

    Whoever wants one feature asks for it by name; all of them at once are for people to read.
    """

    known: bool
    """Whether any of the person's cells exists."""
    in_session: bool
    values: Reals
    """The numbers in the reader's order."""
    refs: Ints
    """All lists, one after another; list i begins at `Reader.starts[i]` and has `counts[i]` entries."""
    weights: Reals
    """Score (tops) or time in ms (lasts) of each of `refs`."""
    counts: Ints
    layout: PersonLayout

    def number(self, name: str) -> float:
        """One number; KeyError if there is none of that name."""
        return float(self.values[self.layout.numbers[name]])

    def top(self, name: str) -> tuple[Ints, Reals]:
        """References and scores of one list; KeyError if there is none of that name."""
        place = self.layout.lists[name]
        start = self.layout.starts[place]
        end = start + int(self.counts[place])
        return self.refs[start:end], self.weights[start:end]

    def last(self, name: str) -> tuple[Ints, Ints]:
        """References and times in ms of one list; KeyError if there is none of that name."""
        refs, times_ms = self.top(name)
        return refs, times_ms.astype(np.int64)

    @property
    def numbers(self) -> dict[str, float]:
        """All numbers by name."""
        return dict(zip(self.layout.numbers, self.values.tolist(), strict=False))

    @property
    def tops(self) -> dict[str, tuple[Ints, Reals]]:
        """Top-k feature -> references and scores."""
        return {name: self.top(name) for name in self.layout.lists if name in self.layout.scored}

    @property
    def lasts(self) -> dict[str, tuple[Ints, Ints]]:
        """Last-k feature -> references and times in ms."""
        return {name: self.last(name) for name in self.layout.lists if name not in self.layout.scored}


class Reader:
    """Reads people of one schema. Bounds: at most `LINKED_CELLS_MAX` cells a person; further ones are left out."""

    def __init__(
        self, schema: Schema, declarations: Sequence[FeatureDeclaration], *, sessions_together: bool = True
    ) -> None:
        """`sessions_together`: the live sessions of all cells are read as one, not the one of whoever asks alone."""
        self._sessions_together = sessions_together
        self._layout = schema.layout
        self._cell_words, self._session_words = schema.layout.cell_words, schema.layout.session_words
        self._slot_words = self._cell_words + self._session_words
        defaults = declared_defaults(declarations)
        placed = [
            (number, one.spec)
            for number, one in enumerate(schema.layout.features)
            if one.spec.scope is not Scope.ITEM and one.spec.aggregation.is_declared
        ]
        numeric = [spec for _, spec in placed if is_number(spec)]
        listed = [spec for _, spec in placed if spec.aggregation.listed]
        self.numbers: tuple[str, ...] = tuple(spec.name for spec in numeric)
        self.lists: tuple[FeatureSpec, ...] = tuple(listed)
        self.of_session = tuple(spec.name for spec in (*numeric, *listed) if spec.scope is Scope.SESSION)
        """The numbers and lists that tell of the live session."""
        names = {spec.name for spec in (*numeric, *listed)}
        self.described = {one.name: described(one) for one in declarations if one.name in names}
        """The numbers and lists in words."""
        self.starts: Ints = np.cumsum([0, *(spec.k for spec in listed)]).astype(np.int64)
        self._declared: Reals = np.array([defaults.get(name, np.nan) for name in self.numbers] or [0.0], np.float64)
        self._blank: Reals = np.array(
            [blank(spec, defaults.get(spec.name, np.nan)) for spec in numeric] or [0.0], np.float64
        )
        self._of_purpose = tuple(spec.purpose for spec in numeric)
        self._plan = self._planned(schema, placed)
        self._purposes = tuple(one.spec.purpose for one in schema.layout.features)
        self._plans: dict[frozenset[str], Ints] = {}
        """By denied purposes: the plan without the features for them."""
        self._of_profile = np.flatnonzero([spec.scope is Scope.PROFILE for spec in listed])
        self._numbers_of_profile = np.flatnonzero([spec.scope is Scope.PROFILE for spec in numeric])
        self._person_layout = PersonLayout(
            {name: place for place, name in enumerate(self.numbers)},
            {spec.name: place for place, spec in enumerate(listed)},
            tuple(self.starts.tolist()),
            frozenset(spec.name for spec in listed if spec.aggregation.listed == "scores"),
        )

    def person(
        self, state: State, keys: Sequence[int], now_ms: int, denied: frozenset[str] = frozenset()
    ) -> Person:
        """The person with these cells at `now_ms`. Cells that do not exist, and none at all, read as nobody.

        Nothing of the state changes, and nobody is moved: all records of the person are gathered, and merged, in memory
        of its own. See `State.lying` for what it raises. Features kept for a purpose in `denied` are not known: their
        default, else missing (NaN), and an empty list.
        """
        values = self._blank.copy()
        if denied:
            hidden = [place for place, purpose in enumerate(self._of_purpose) if purpose in denied]
            values[hidden] = self._declared[hidden]
        size = max(int(self.starts[-1]), 1)
        refs, weights = np.zeros(size, np.int64), np.zeros(size, np.float64)
        counts = np.zeros(max(len(self.lists), 1), np.int64)
        flags = 0
        keys = keys[:LINKED_CELLS_MAX]
        if keys:
            memory = state.tables.memory
            plan = self._plan_without(denied) if denied else self._plan
            gathered = self._gathered(state.lying(keys), len(keys))
            sessions = np.zeros(LINKED_CELLS_MAX, np.int64)
            flags = _read_person(
                plan, state.program.features, memory.ints, memory.regions, gathered, gathered.view(np.float64),
                state.tables.cell_index, state.tables.item_index, np.array(keys, np.int64),
                state.schema.settings["session_gap_ms"], int(state.tables.idle[0]), now_ms, self._declared, values,
                refs, weights, counts, sessions, self._sessions_together,
            )  # fmt: skip
        return self._named(flags, values, refs, weights, counts)

    def _gathered(self, lying: Mapping[int, Stored], keys: int) -> Ints:
        """Room for a cell and its session of each key, and behind them for what is merged; filled with those who lie on
        disk, by place."""
        gathered = np.zeros(keys * self._slot_words + max(self._cell_words, self._session_words), np.int64)
        for place, stored in lying.items():
            parts, at = parts_of(stored.words, self._layout), place * self._slot_words
            gathered[at : at + self._cell_words] = parts.cell
            if parts.cell[CELL_SESSION]:
                gathered[at + self._cell_words : at + self._slot_words] = parts.sessions[0]
        return gathered

    def without_profile(self, person: Person) -> Person:
        """The same person as the live session alone shows them."""
        values, counts = person.values.copy(), person.counts.copy()
        values[self._numbers_of_profile] = self._blank[self._numbers_of_profile]
        counts[self._of_profile] = 0
        flags = _IN_SESSION if person.in_session else 0
        return self._named(flags, values, person.refs, person.weights, counts)

    def lists_anything(self, person: Person) -> bool:
        """Whether any list of the person has an entry."""
        return bool(person.counts.any())

    def counts_anything(self, person: Person) -> bool:
        """Whether any number of the person is another than that of somebody who never did anything."""
        values = person.values
        return bool(((values == values) & (values != self._blank)).any())

    def _named(self, flags: int, values: Reals, refs: Ints, weights: Reals, counts: Ints) -> Person:
        known, in_session = bool(flags & _KNOWN), bool(flags & _IN_SESSION)
        return Person(known, in_session, values, refs, weights, counts, self._person_layout)

    def _plan_without(self, denied: frozenset[str]) -> Ints:
        plan = self._plans.get(denied)
        if plan is None:
            plan = self._plan.copy()
            for row, number in enumerate(self._plan[:, FEATURE].tolist()):
                if number >= 0 and self._purposes[number] in denied:
                    plan[row, FEATURE] = -1
            if len(self._plans) == READING_PLANS_MAX:
                self._plans.clear()
            self._plans[denied] = plan
        return plan

    def _planned(self, schema: Schema, placed: Sequence[tuple[int, FeatureSpec]]) -> Ints:
        plan = np.full((max(len(placed), 1), _PLAN_COLUMNS), -1, np.int64)
        places: Mapping[str, int] = {name: i for i, name in enumerate(self.numbers)}
        lists = {spec.name: i for i, spec in enumerate(self.lists)}
        for row, (number, spec) in enumerate(placed):
            place = lists.get(spec.name, -1)
            start = int(self.starts[place]) if place >= 0 else -1
            plan[row] = number, places.get(spec.name, -1), place, start, schema.ttl_ms.get(spec.name, 0)
        return plan


def is_number(spec: FeatureSpec) -> bool:
    """Whether the feature reads as one number."""
    return spec.aggregation.is_number


def declared_defaults(declarations: Sequence[FeatureDeclaration]) -> dict[str, float]:
    """What is to be read where nothing is counted, of the features that say so."""
    return {one.name: one.default for one in declarations if one.default is not None}


def blank(spec: FeatureSpec, default: float) -> float:
    """What the feature reads of somebody of whom nothing can have been counted: the default where there is one (not
    NaN), else 0 of what counts and sums up, which is true, and missing of all else."""
    return 0.0 if default != default and spec.aggregation.traits & Trait.FROM_ZERO else default


@kernel
def _read_person(
    plan: Ints, features: Ints, memory_ints: Ints, regions: Ints, ints: Ints, reals: Reals, index: Index, items: Index,
    keys: Ints, gap_ms: int, idle_since_ms: int, now_ms: int, defaults: Reals, numbers: Reals, refs: Ints,
    weights: Reals, counts: Ints, sessions: Ints, sessions_together: bool,
) -> int:  # fmt: skip
    """Fill the arrays; returns whether the person is known and in a session, as flags. `keys` and `sessions`, which has
    as many places, are used up.

    The person's records are gathered in `ints` and `reals`, which are the same words: by place among `keys` a cell and
    behind it its session. Who is there already stays; the others are copied from `memory_ints`, which nothing changes.

    The session is the merge of all live ones. Formerly it was that of the first key, the one who asks, if it was live;
    else the newest live one of the others.
    """
    cells = keys  # A cell that was found takes the place of a key that has been looked up.
    used = 0
    live, start_ms = 0, now_ms
    end_ms, asking_is_live = -1, False
    first_ms = now_ms
    cell_words, session_words = regions[CELLS, WORDS], regions[SESSIONS, WORDS]
    for i in range(len(keys)):
        cell = i * (cell_words + session_words)
        found = cell + cell_words
        if ints[cell + CELL_KEY] == 0:
            row = find(index, keys[i])
            if row < 0:
                continue
            _copy(memory_ints, address(regions, CELLS, row), ints, cell, cell_words)
            if ints[cell + CELL_SESSION] > 0:
                session = address(regions, SESSIONS, ints[cell + CELL_SESSION] - 1)
                _copy(memory_ints, session, ints, found, session_words)
        cells[used] = cell
        used += 1
        first_ms = min(first_ms, ints[cell + CELL_FIRST_MS])
        if ints[cell + CELL_SESSION] == 0 or is_swept(ints, cell, idle_since_ms):
            continue
        if now_ms - ints[found + SESSION_END_MS] > gap_ms:
            continue
        if not sessions_together:
            if asking_is_live or ints[found + SESSION_END_MS] <= end_ms:
                continue
            end_ms, asking_is_live, live = ints[found + SESSION_END_MS], i == 0, 0
            start_ms = ints[found + SESSION_START_MS]
        sessions[live] = found
        live += 1
        start_ms = min(start_ms, ints[found + SESSION_START_MS])
    if used == 0:
        return 0
    if sessions_together and features[0, AS_CAME]:  # What is merged may depend on the order, which no key may decide.
        _sort(ints, cells, used, CELL_FIRST_MS, CELL_NEWEST_MS)
        _sort(ints, sessions, live, SESSION_START_MS, SESSION_END_MS)
    scratch = len(ints) - max(cell_words, session_words)
    for row in range(len(plan)):
        feature = plan[row, FEATURE]
        if feature < 0:
            continue
        if features[feature, SCOPE] == SESSION_SCOPE:
            at = _session_words(features, feature, ints, reals, items, sessions, live, scratch)
        else:
            at = _profile_words(
                features, feature, ints, reals, items, cells, used, scratch, now_ms, plan[row, TTL_MS]
            )
        if at < 0:
            continue
        if plan[row, NUMBER] >= 0:
            place = plan[row, NUMBER]
            since_ms = start_ms if features[feature, SCOPE] == SESSION_SCOPE else first_ms
            numbers[place] = read_number(features, feature, ints, reals, at, now_ms, since_ms, defaults[place])
        elif plan[row, LIST] >= 0:
            counts[plan[row, LIST]] = read_list(
                features, feature, ints, reals, at, now_ms, refs, weights, plan[row, START]
            )
    return 1 if live == 0 else 3


@kernel
def _copy(source: Ints, at: int, target: Ints, to: int, words: int) -> None:
    for word in range(words):
        target[to + word] = source[at + word]


@kernel
def _sort(ints: Ints, records: Ints, count: int, word: int, then: int) -> None:
    """Put the first `count` of the records, given by where they stand, in the order of two of their words."""
    for i in range(1, count):
        moved, place = records[i], i
        while place > 0:
            before = records[place - 1]
            if ints[before + word] < ints[moved + word] or (
                ints[before + word] == ints[moved + word] and ints[before + then] <= ints[moved + then]
            ):
                break
            records[place] = before
            place -= 1
        records[place] = moved


@kernel
def _session_words(
    features: Ints, feature: int, ints: Ints, reals: Reals, items: Index, sessions: Ints, live: int, scratch: int
) -> int:
    """Where the words of a session feature stand, merged if several sessions are live; -1 if none is."""
    at = features[feature, AT]
    if live <= 1:
        return int(sessions[0] + at) if live else -1
    for word in range(scratch + at, scratch + at + features[feature, WORDS_TAKEN]):
        ints[word] = 0
    for i in range(live):
        merge_feature(features, feature, ints, reals, items, scratch + at, sessions[i] + at)
    return int(scratch + at)


@kernel
def _profile_words(
    features: Ints, feature: int, ints: Ints, reals: Reals, items: Index, cells: Ints, used: int, scratch: int,
    now_ms: int, ttl_ms: int,
) -> int:  # fmt: skip
    """Where the words of a profile feature stand, merged if several cells have not been forgotten; -1 if none."""
    at = features[feature, AT]
    only, living = -1, 0
    for i in range(used):
        if ttl_ms <= 0 or now_ms - ints[cells[i] + CELL_NEWEST_MS] <= ttl_ms:
            only = cells[i] + at
            living += 1
    if living <= 1:
        return only
    for word in range(scratch + at, scratch + at + features[feature, WORDS_TAKEN]):
        ints[word] = 0
    for i in range(used):
        if ttl_ms <= 0 or now_ms - ints[cells[i] + CELL_NEWEST_MS] <= ttl_ms:
            merge_feature(features, feature, ints, reals, items, scratch + at, cells[i] + at)
    return int(scratch + at)
