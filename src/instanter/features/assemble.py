"""A decision's inputs: one float32 row for each candidate, with columns of stable names.

    item.<feature>      an item-scope number, as of the epoch and read at the decision's time
    item.<field>        a numeric field of the catalogue or of the request, NaN where absent
    item.click_rate     smoothed: (clicks + average x strength) / (impressions + strength); also view, cart, buy
    item.click_lift     log of that rate over the average: 0 for an item nobody has seen, NaN where the tenant's items
                        have no clicks at all
    item.recency        1 for an item that came just now, half of it every 30 days, less what the oldest item of the
                        tenant has: 0 for all where all came at once, NaN for an item the catalogue does not know
    cross.<list>, score.<top-k>, age.<last-k>  how a list of the person meets the candidate, see `meetings`
    cross.price_fit     1 at the mean price the person looked at, less the further away by ratio, NaN if unknown
    cross.co_viewed     how close the candidate is to what the person looked at, see `neighbours`
    position            1 for the first of the caller's list, 1/2 for the second ..., 0 if it is not there
    person.<feature>    a number of the person or of the session: the same for all candidates
    list.<...>          the candidate among the others, see `relative`
    next.<...>, own.<...>  what a walk of people's steps says of the candidate, see `next_items`
    with.<...>          the candidate in orders of the item of the page or of the cart, see `together`
    beside.<...>        the candidate beside the item of the page, or that of the person's newest step, see `beside`
    similar.<...>       how likely people go on to the candidate from that item, likewise
    query.match         how well it matches the query that candidates were found by, likewise
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..foundation.errors import ConfigRejected
from ..state.aggregations import MEAN
from ..state.aggregations.base import Trait
from ..state.aggregations.dispatch import read_numbers
from ..state.aggregations.fixed_point import decay
from ..state.compiled import Ints, Reals, kernel
from ..state.layout import FeatureSpec, Placed, Scope, ValueSource
from ..state.memory import State
from ..state.program import AT, TILE_MS, TRAITS
from ..state.schema import Schema
from . import beside, next_items, relative, together
from .carriers import carriers
from .declaration import FeatureDeclaration
from .meetings import MET_AS, Meetings
from .neighbours import Neighbours, place_of
from .next_items import Ahead
from .roles import FeatureRole
from .together import Together
from .view import Person, Reader, blank, declared_defaults, is_number

Matrix = npt.NDArray[np.float32]

RATES: tuple[tuple[str, FeatureRole, FeatureRole], ...] = (
    ("click", "clicks", "impressions"),
    ("view", "item_views", "impressions"),
    ("cart", "carts", "item_views"),
    ("buy", "buys", "item_views"),
)
"""Rate, and the roles of its numerator and of its denominator; a rate exists where both have a feature."""
EXPOSURES: Final[tuple[FeatureRole, ...]] = ("impressions", "item_views")
"""Roles of what says how often an item was shown or looked at."""
OF_PERSON: Final = "person."
"""How the columns begin that are the same for all candidates."""
RATE_STRENGTH = 10.0
"""How many impressions at the average rate an item starts with, at least."""
RATE_EVIDENCE = 1.0
"""How many clicks at the average rate an item starts with, at least: where clicks are rare, it takes many impressions
to say anything. An item that has fewer than the average is taken to have had so many more, up to the average: they may
be missing by chance."""
RATE_EXPECTED = 0.05
"""The average where nothing has been counted yet; weighs as much as one impression."""
_RATE_LEAST = 1e-6
EVIDENCE: Final = 2
"""Rules by which inputs are made. From these on what there is no evidence of is missing, and weighs nothing. Receipts
name a configuration, and that names the rules: what was decided by the first ones is decided again by the first."""
ONE_SESSION: Final = 3
"""From these rules on the live sessions of all cells of a person are read as one."""
BESIDE: Final = 4
"""From these rules on there are inputs that compare candidates with the item that the page is about, and inputs of what
people do one after another."""
ORDERED_BY_OTHERS: Final = 5
"""From these rules on these inputs have no built-in weight where a list of the caller is ordered."""
WHAT_IS_COMMON: Final = 6
"""From these rules on there are inputs that say how people go on from the item of the page by what others have in
common with it, and they have the weight of what candidates have in common with that item."""
WHAT_IS_PROVEN: Final = 7
"""From these rules on people of a shop say how many visits it takes until what others turned to next counts, and how
they go on from category to category."""
RULES_NOW: Final = WHAT_IS_PROVEN
FIRST_RULES: Final = 1
_CHANGED: Final = "2"
"""Version of the columns that are made otherwise since."""
RECENCY_HALF_LIFE_MS = 30 * 86_400_000

_TIMED, _TILED = int(Trait.TIMED), int(Trait.TILED)

# Where the single columns stand behind the rates and lists.
_PRICE_FIT, _CO_VIEWED, _POSITION, _RECENCY = 0, 1, 2, 3
_SINGLE = ("cross.price_fit", "cross.co_viewed", "position", "item.recency")
_SINGLES = len(_SINGLE)
_CHANGED_SINGLES: Final = frozenset({"cross.price_fit", "item.recency", "list.click_rank"})


class Column(msgspec.Struct, frozen=True):
    """A column of the matrix."""

    name: str
    unbounded: bool = False
    """A count, sum or price that may be of any size, unlike shares, rates and lifts."""
    version: str = ""
    """Of the feature that it is made of; "" of what is made of several, or of none. Under another version the same name
    means something else."""


class Candidates(msgspec.Struct, frozen=True):
    """Items to choose from, as parallel arrays."""

    refs: Ints
    rows: Ints
    """Row of each item in the state, -1 if it has none."""
    ranks: Ints
    """0-based place in the caller's list, -1 if it is not in there."""
    attributes: Ints
    """[candidates, text fields, values]: references, 0 where absent."""
    numbers: Reals
    """[candidates, numeric fields]: NaN where absent; column 0 is the price."""

    def __len__(self) -> int:
        return len(self.refs)

    def taken(self, places: Ints) -> Candidates:
        """The candidates at these places, in this order."""
        return Candidates(
            self.refs[places], self.rows[places], self.ranks[places], self.attributes[places], self.numbers[places]
        )


class Averages(NamedTuple):
    """What a tenant's items have on average: where an item starts that nobody has seen."""

    rates: Reals
    strengths: Reals
    """What an item starts with of the whole of each rate; infinite where nothing is known of the rate."""
    oldest_ms: int = 0
    """When the oldest item came, 0 if there is none."""


class Assembler:
    """Makes the matrix of one schema."""

    def __init__(
        self, schema: Schema, declarations: Sequence[FeatureDeclaration], reader: Reader, rules: int = RULES_NOW
    ) -> None:
        numeric = [
            (number, placed)
            for number, placed in enumerate(schema.layout.features)
            if placed.spec.scope is Scope.ITEM and is_number(placed.spec)
        ]
        names = [placed.spec.name for _, placed in numeric]
        self.carriers = carriers(declarations)
        """Features by the roles that decisions look for them by."""
        at_role = {role: names.index(name) for role, name in self.carriers.items() if name in names}
        rates = [(name, at_role[n], at_role[d]) for name, n, d in RATES if n in at_role and d in at_role]
        self._meetings = Meetings(reader.lists, reader.starts.tolist())
        self.columns = (
            *_columns_of_items([placed.spec for _, placed in numeric], schema.numbers, [rate[0] for rate in rates]),
            *_columns_of_people(self._meetings.lists, [schema.feature(name) for name in reader.numbers]),
            *(Column(name, unbounded=name in relative.UNBOUNDED) for name in relative.NAMES),
            *(Column(name) for name in (beside.names(schema.attributes) if rules >= BESIDE else ())),
            *_columns_of_common(rules),
            *(Column(name, name in next_items.UNBOUNDED) for name in (next_items.NAMES if rules >= BESIDE else ())),
            *(Column(name) for name in (together.NAMES if rules >= BESIDE else ())),
        )
        self.rules = rules
        if rules >= EVIDENCE:
            changed = {f"item.{rate[0]}_{kind}" for rate in rates for kind in ("rate", "lift")} | _CHANGED_SINGLES
            self.columns = tuple(
                Column(one.name, one.unbounded, _CHANGED) if one.name in changed else one for one in self.columns
            )
        _check_names(self.columns)
        defaults = declared_defaults(declarations)
        self._person_numbers = len(reader.numbers)
        self._words = schema.layout.item_words
        self._items = np.array(
            [[number, schema.ttl_ms.get(placed.spec.name, 0)] for number, placed in numeric] or np.zeros((0, 2)),
            np.int64,
        )
        self._defaults: Reals = np.array([defaults.get(name, np.nan) for name in names], np.float64)
        self._blank: Reals = np.array(
            [blank(placed.spec, defaults.get(placed.spec.name, np.nan)) for _, placed in numeric], np.float64
        )
        self._rates = np.array([rate[1:] for rate in rates] or np.zeros((0, 2)), np.int64)
        offsets = np.array([placed.offset for _, placed in numeric], np.int64)
        self._rate_offsets: Ints = offsets[self._rates]
        there = {rate[0] for rate in rates}
        of_rates = [role for name, part, whole in RATES if name in there for role in (part, whole)]
        # As a part of a rate, a number is no more than its whole: what was counted stands where it is one, later on.
        places = {role: place for place, role in enumerate(of_rates)}
        self.exposures = [places[role] for role in EXPOSURES if role in places]
        """Which of the numbers that `count` gives say how often an item was shown or looked at."""
        self._counted = places
        self._prices = _price_means(schema.layout.features)
        at = {column.name: place for place, column in enumerate(self.columns)}
        self._views = at.get(f"item.{self.carriers.get('item_views', '')}", -1)
        self._click_rate = at.get("item.click_rate", relative.NO_RATE)
        self._first_of_list = at[relative.NAMES[0]]
        self._first_beside = self._first_of_list + len(relative.NAMES)
        self._first_of_with = len(self.columns) - len(together.NAMES)
        self._first_of_next = self._first_of_with - len(next_items.NAMES)
        self._first_of_lists = len(numeric) + len(schema.numbers) + 2 * len(rates)
        alike = np.zeros(_SINGLES + self._person_numbers, np.float32)
        self._single = self._first_of_lists + len(self._meetings.nobody)
        self._alike: Matrix = np.concatenate([self._meetings.nobody, alike])
        """What all rows begin with, from the columns of the lists to those of the person."""

    @property
    def counts(self) -> int:
        """How many numbers of an item `count` gives."""
        return int(self._rate_offsets.size)

    def count(self, state: State, rows: Ints, counts: Ints) -> None:
        """Put what `averages` averages into `counts`, [rows, numbers], as of the epoch; sums are of its columns."""
        _count(state.published, self._words, rows, self._rate_offsets.ravel(), self.rules, counts)

    def counts_of(self, state: State, row: int) -> dict[str, int]:
        """How often an item was shown, clicked and so on, by the role of what counts it, as of the epoch."""
        counts: Ints = np.zeros((1, self.counts), np.int64)
        self.count(state, np.array([row], np.int64), counts)
        return {role: int(counts[0, place]) for role, place in self._counted.items()}

    def averages(self, counted: Ints, oldest_ms: int = 0) -> Averages:
        """The average of each rate over the items whose counts were summed up."""
        parts, wholes = counted.reshape(-1, 2).T.astype(np.float64)
        rates: Reals = np.clip((parts + RATE_EXPECTED) / (wholes + 1.0), _RATE_LEAST, 1.0)
        if self.rules < EVIDENCE:
            return Averages(rates, np.full(len(rates), RATE_STRENGTH))
        strengths = np.where(parts > 0.0, np.maximum(RATE_STRENGTH, RATE_EVIDENCE / rates), np.inf)
        return Averages(rates, strengths, oldest_ms)

    def mean_price(self, person: Person) -> float:
        """The mean price the person looked at: of the session, else of the profile, else 0."""
        return next((mean for name in self._prices if (mean := person.number(name)) > 0.0), 0.0)

    def matrix(
        self, state: State, person: Person, candidates: Candidates, neighbours: Neighbours, averages: Averages,
        now_ms: int, beside_row: int = -1, told: beside.Told = beside.NOTHING_TOLD, ahead: Ahead | None = None,
        goes_with: Together | None = None,
    ) -> Matrix:
        """The inputs, [candidates, columns]; `beside_row` is the row of the item that candidates are compared with,
        `told` what is known of words, and `ahead` and `goes_with` what walks have found, if there were any. Few
        compiled calls."""
        matrix = np.empty((len(candidates), len(self.columns)), np.float32)
        alike = self._alike.copy()
        alike[len(alike) - self._person_numbers :] = person.values[: self._person_numbers]
        matrix[:, self._first_of_lists : self._first_of_list] = alike
        self._meetings.fill(person, candidates.refs, candidates.attributes, now_ms, self._first_of_lists, matrix)
        _assemble(
            state.program.features, self._items, self._defaults, self._blank, self._rates, averages.rates,
            averages.strengths, averages.oldest_ms, self.rules, state.published, state.published_reals, self._words,
            state.catalogue.created_ms, candidates.refs, candidates.rows, candidates.ranks, candidates.numbers,
            neighbours.table_refs, neighbours.table_weights, self.mean_price(person), now_ms, self._single,
            np.empty(len(candidates), np.int64), np.empty(len(candidates), np.int64), np.empty(len(candidates)), matrix,
        )  # fmt: skip
        # A column of one candidate lies together by itself: kernels are to see one kind of array.
        prices = np.ascontiguousarray(candidates.numbers[:, 0])
        relative.stand(
            candidates.refs, candidates.ranks, prices, neighbours.recent, self._click_rate,
            self._first_of_list, matrix,
        )  # fmt: skip
        if self.rules >= BESIDE:
            beside.stand_beside(
                state, beside_row, now_ms, candidates.attributes, prices, self._first_beside, matrix,
                told, self._views if self.rules >= WHAT_IS_COMMON else None,
            )  # fmt: skip
            if ahead is None:
                matrix[:, self._first_of_next : self._first_of_with] = next_items.NOTHING_KNOWN
            else:
                ahead.fill(candidates.rows, now_ms, self._views, self._first_of_next, matrix)
            if self.rules >= WHAT_IS_PROVEN:
                next_items.fill_proven(ahead, told.half_hits, self._views, self._first_of_next, matrix)
            if goes_with is None:
                matrix[:, self._first_of_with :] = np.nan
            else:
                goes_with.fill(candidates.rows, candidates.attributes, self._first_of_with, matrix)
        return matrix


def _columns_of_items(features: Sequence[FeatureSpec], fields: Sequence[str], rates: Sequence[str]) -> list[Column]:
    columns = [Column(f"item.{spec.name}", True, spec.version) for spec in features]
    columns += [Column(f"item.{field}", unbounded=True) for field in fields]
    for rate in rates:
        columns += [Column(f"item.{rate}_rate"), Column(f"item.{rate}_lift")]
    return columns


def _columns_of_common(rules: int) -> list[Column]:
    if rules < WHAT_IS_COMMON:
        return []
    version = _CHANGED if rules >= WHAT_IS_PROVEN else ""
    proven = next_items.PROVEN_NAMES if rules >= WHAT_IS_PROVEN else ()
    return [*(Column(name, version=version) for name in (beside.CHANCE, beside.LIKED)), *map(Column, proven)]


def _columns_of_people(lists: Sequence[FeatureSpec], numbers: Sequence[FeatureSpec]) -> list[Column]:
    columns = [Column(f"cross.{spec.name}", False, spec.version) for spec in lists]
    columns += [Column(f"{MET_AS[spec.aggregation.listed]}.{spec.name}", True, spec.version) for spec in lists]
    columns += [Column(name) for name in _SINGLE]
    return [*columns, *(Column(f"{OF_PERSON}{spec.name}", True, spec.version) for spec in numbers)]


def _check_names(columns: Sequence[Column]) -> None:
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise ConfigRejected(
                f'two inputs of the ranker are called "{column.name}"',
                suggestion="an item feature has the name of an item field or of a rate; rename the feature",
            )
        seen.add(column.name)


def _price_means(features: Sequence[Placed]) -> tuple[str, ...]:
    means = [one.spec for one in features if one.spec.aggregation is MEAN and one.spec.value is ValueSource.PRICE]
    return tuple(spec.name for scope in (Scope.SESSION, Scope.PROFILE) for spec in means if spec.scope is scope)


@kernel
def _count(published: Ints, words: int, rows: Ints, offsets: Ints, rules: int, counts: Ints) -> None:
    for i in range(len(rows)):
        first = rows[i] * words
        for j in range(0, len(offsets), 2):
            part, whole = published[first + offsets[j]], published[first + offsets[j + 1]]
            counts[i, j], counts[i, j + 1] = min(part, whole) if rules >= EVIDENCE else part, whole


@kernel
def _assemble(
    features: Ints, items: Ints, defaults: Reals, blanks: Reals, rates: Ints, priors: Reals, strengths: Reals,
    oldest_ms: int, rules: int, published: Ints, published_reals: Reals, words: int, created_ms: Ints, refs: Ints,
    rows: Ints, ranks: Ints, numbers: Reals, near_refs: Ints, near_weights: Reals, mean_price: float, now_ms: int,
    single: int, records: Ints, known_ms: Ints, read: Reals, matrix: Matrix,
) -> None:  # fmt: skip
    """Column by column: what is to be done is the same for all candidates. `single` is the first of the single columns;
    `records`, `known_ms` and `read` are room for a number of each candidate, see `_read_items`."""
    for c in range(len(rows)):
        records[c] = rows[c] * words if rows[c] >= 0 else -1
        known_ms[c] = created_ms[rows[c]] if rows[c] >= 0 else 0
    for i in range(len(items)):
        _read_items(
            features, items[i, 0], items[i, 1], published, published_reals, records, known_ms, now_ms, defaults[i],
            blanks[i], read, matrix, i,
        )  # fmt: skip
    for c in range(len(rows)):
        for i in range(numbers.shape[1]):
            matrix[c, len(items) + i] = numbers[c, i]
    for rate in range(len(rates)):
        column = len(items) + numbers.shape[1] + 2 * rate
        for c in range(len(rows)):
            part, whole = matrix[c, rates[rate, 0]], matrix[c, rates[rate, 1]]
            share = _rate(part, whole, priors[rate], strengths[rate], rules)
            matrix[c, column] = share
            matrix[c, column + 1] = math.log(share / priors[rate])
    for c in range(len(rows)):
        matrix[c, single + _PRICE_FIT] = _price_fit(numbers[c, 0], mean_price, np.nan if rules >= EVIDENCE else 0.0)
        near = place_of(near_refs, refs[c])
        matrix[c, single + _CO_VIEWED] = near_weights[near] if near_refs[near] == refs[c] else 0.0
        matrix[c, single + _POSITION] = 1.0 / (1.0 + ranks[c]) if ranks[c] >= 0 else 0.0
        recency = decay(now_ms - known_ms[c], RECENCY_HALF_LIFE_MS) if known_ms[c] != 0 else 0.0
        if rules >= EVIDENCE:
            recency = _newer(recency, known_ms[c], oldest_ms, now_ms)
        matrix[c, single + _RECENCY] = recency


@kernel
def _read_items(
    features: Ints, feature: int, ttl_ms: int, published: Ints, published_reals: Reals, records: Ints, known_ms: Ints,
    now_ms: int, default: float, blank: float, read: Reals, matrix: Matrix, column: int,
) -> None:  # fmt: skip
    """One number of all candidates; that of nothing where there is no record, or its time to live is over. Aggregates
    that keep no time live for ever."""
    for c in range(len(records)):
        read[c] = blank
    read_numbers(features, feature, published, published_reals, records, known_ms, now_ms, default, read)
    for c in range(len(records)):
        dead = ttl_ms > 0 and records[c] >= 0 and now_ms - _newest_ms(
            features, feature, published, records[c] + features[feature, AT], now_ms
        ) > ttl_ms  # fmt: skip
        matrix[c, column] = blank if dead else read[c]


@kernel
def _newest_ms(features: Ints, feature: int, ints: Ints, at: int, now_ms: int) -> int:
    """When something came last to the words at `at`, as far as they tell; else now."""
    traits = features[feature, TRAITS]
    if traits & _TIMED:
        return int(ints[at])
    return int((ints[at] + 1) * features[feature, TILE_MS]) if traits & _TILED else now_ms


@kernel
def _rate(part: float, whole: float, prior: float, strength: float, rules: int) -> float:
    part = part if part > 0.0 else 0.0  # Missing is nothing too.
    whole = whole if whole > 0.0 else 0.0
    if rules >= EVIDENCE:
        if strength == np.inf:
            return np.nan
        # What was clicked without being seen to be shown says nothing about those who were shown it.
        part = min(part, whole)
        if part < prior * whole:
            part = min(part + RATE_EVIDENCE, prior * whole)
    share = (part + prior * strength) / (whole + strength)
    return min(share, 1.0)


@kernel
def _newer(recency: float, known_ms: int, oldest_ms: int, now_ms: int) -> float:
    """How much newer than the oldest item."""
    if known_ms == 0:
        return np.nan
    if oldest_ms == 0:
        return 0.0
    return max(recency - decay(now_ms - oldest_ms, RECENCY_HALF_LIFE_MS), 0.0)


@kernel
def _price_fit(price: float, mean_price: float, unknown: float) -> float:
    if mean_price <= 0.0 or not price > 0.0:
        return unknown
    return math.exp(-abs(math.log(price / mean_price)))
