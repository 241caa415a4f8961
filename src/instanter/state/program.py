"""What the fold's loop reads: the configuration as arrays, a batch of events as columns, and the tables it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from ..events.meanings import number_of_role
from ..foundation.limits import ATTRIBUTE_VALUES_MAX, DEDUP_IDS_MAX, STEPS_MAX
from .compiled import Bytes, Ints, Reals, kernel
from .layout import FeatureSpec, Layout, Scope, companion_of, declared_name
from .table import Index, Memory

# Columns of `Program.features`, one row per feature.
AGGREGATION, SCOPE, AT, K, HALF_LIFE_MS, TILE_MS, TILES = 0, 1, 2, 3, 4, 5, 6
VALUE, VALUE_COLUMN, BY, BY_COLUMN, PER_ITEM, ACTIVE, COMPANION_AT, TRAITS, PURPOSE = 7, 8, 9, 10, 11, 12, 13, 14, 15
"""Traits are those of the aggregation, see `aggregations.base.Trait`; purpose is the bit of `Columns.denied` that takes
the feature out."""
TAKES_BACK, SINCE_MS = 16, 17
"""Whether something can be taken back of it; the time since which it counts, 0: from the beginning of the log on."""
AS_CAME = 18
"""Whether what stands equal goes by what came first, not by reference: since rules 4 of the fold."""
WORDS_TAKEN = 19
RING = 20
"""Which of the rings keeps its steps, if it keeps any."""
FEATURE_COLUMNS = 21

# What an event does to a feature: the columns of `Program.acts`.
SIGN, HEARD_SINCE = 0, 1
GIVES, GIVES_OF_ORDER, TAKES, TAKES_PART = 1, 2, -1, -2
"""`GIVES_OF_ORDER`: only where the order is named. `TAKES_PART`: only the items, where some are named."""

# Words of `Program.settings`.
GAP_MS, LENGTH_MAX_MS, SEQUENCE_MS, WINDOW_MS, DEDUP_MS, IDS_MAX, FOLDING, STEPS_KEPT = 0, 1, 2, 3, 4, 5, 6, 7

BLANKED_ROWS = 4_096
"""Rows of the catalogue's columns made ready at once."""

SETTING_NAMES = (
    "session_gap_ms",
    "session_length_max_ms",
    "lateness_sequence_ms",
    "lateness_window_ms",
    "dedup_window_ms",
    "dedup_ids_max",
    "folding",
    "steps_kept",
)
"""The settings that the fold stands on, in the order of `Program.settings`, as recorded in `Configured`."""

FOLDING_NOW = 4
"""The rules of the fold that a new `Configured` puts in force; what was folded by former ones is folded so again.

1: last, last_k and time_since take nothing that is late for sequences.
2: they take whatever is not late for windows, as everything does whose result the order of arrival does not change;
   built-in features hear all names of their roles (`events.meanings`), and what takes something back.
3: message ids that are long expired give their room back, see `dedup`; an item that leaves the catalogue, and of which
   nothing was counted, leaves its row to others.
4: what another installation has not, references, decides nothing that is read. The entries of a top-k stand in the
   order in which they came, and of equal ones the first to come is the first to go; items of one time in a last-k stand
   in the order of their rows; of two last values of one time the larger counts; the cells of a person are read
   together from the oldest on; and what several placements may explore is shared out in turn.
"""
VACANT_SINCE = 3
"""The rules from which on rows become vacant."""
SETTING_BOUNDS = {"dedup_ids_max": (0, DEDUP_IDS_MAX), "folding": (1, FOLDING_NOW), "steps_kept": (0, STEPS_MAX)}
"""Bounds of settings that are more than a time."""
SETTINGS_FORMERLY = {"folding": 1, "steps_kept": 0}
"""What held before a setting was recorded."""


NO_NAMES: Final[Mapping[str, int]] = {}


class Program(NamedTuple):
    """Which features each event code feeds, and how."""

    first: Ints
    """[codes + 1]: where the operations of a code begin in `ops`."""
    ops: Ints
    """Numbers of features, those that keep steps last."""
    acts: Ints
    """[operations, 2]: what the event does to the feature, and the rules of the fold from which on it is heard."""
    features: Ints
    feeds_items: Bytes
    """By code: the rules of the fold from which on an operation changes item records, 0 if none does."""
    settings: Ints
    roles: Ints
    """By code: the number of the event's role, see `events.meanings`; 0 for names that are not known."""


class Columns(NamedTuple):
    """A batch of events. Items of event i are those from first_item[i] to first_item[i + 1]."""

    keys: Ints
    codes: Ints
    times_ms: Ints
    messages: Ints
    received_ms: Ints
    flags: Bytes
    """`envelope.Flag`, as far as the fold minds it."""
    denied: Ints
    """Purposes that the person has not agreed to, a bit each by their place in `Schema.purposes`."""
    orders: Ints
    """Reference of the order that the event names, 0 for none."""
    values: Reals
    """[events, value columns]: declared numeric properties, NaN where absent."""
    refs: Ints
    """[events, context columns]: references of declared context fields, 0 where absent."""
    first_item: Ints
    items: Ints
    prices: Reals
    quantities: Reals
    item_rows: Ints
    """Filled by the fold: row of each item, -1 if it has none."""

    def part(self, first: int, end: int) -> Columns:
        """The columns of events `first` to `end` - 1; they share what they hold with these."""
        begin, behind = int(self.first_item[first]), int(self.first_item[end])
        return Columns(
            self.keys[first:end], self.codes[first:end], self.times_ms[first:end], self.messages[first:end],
            self.received_ms[first:end], self.flags[first:end], self.denied[first:end], self.orders[first:end],
            self.values[first:end], self.refs[first:end], self.first_item[first : end + 1] - begin,
            self.items[begin:behind], self.prices[begin:behind], self.quantities[begin:behind],
            self.item_rows[begin:behind],
        )  # fmt: skip


class Attributes(NamedTuple):
    """Catalogue fields that features can see, by item row."""

    refs: Ints
    """[rows, attributes, values]: references of text fields, 0 where absent."""
    numbers: Reals
    """[rows, numbers]: numeric fields, NaN where absent; column 0 is the price outside of sales."""
    ready: Ints
    """[1]: rows of `numbers` that say so."""
    sale_prices: Reals
    """By row: what an item costs while `sale_ms` says so."""
    sale_ms: Ints
    """[rows, 2]: from when until when (excluded) the sale price holds; 0, 0 where there is none."""


class Changes(NamedTuple):
    """Item rows changed since the last epoch."""

    marks: Bytes
    rows: Ints
    meta: Ints


class Tables(NamedTuple):
    """Everything the fold changes."""

    memory: Memory
    cell_index: Index
    item_index: Index
    attributes: Attributes
    changes: Changes
    idle: Ints
    """[1]: from whom nothing was received since, of those that took their last event before it was so, has no
    sessions and remembers no messages, whether their rows have been freed yet or not."""
    forgotten: Ints
    """[1]: messages forgotten before their time, or never remembered, since this process began."""


def make_program(
    layout: Layout, *, codes: int, settings: dict[str, int], names: Mapping[str, int] = NO_NAMES
) -> Program:
    """Compile a layout for events with codes 0 to `codes` - 1, of which `names` says whose they are. All features are
    inactive at first."""
    purposes = layout.purposes
    features = np.zeros((max(len(layout.features), 1), FEATURE_COLUMNS), np.int64)
    ops: list[list[tuple[int, int, int]]] = [[] for _ in range(codes)]
    for number, placed in enumerate(layout.features):
        spec = placed.spec
        features[number, :TRAITS] = (
            spec.aggregation.number, spec.scope, placed.offset, spec.k, spec.half_life_ms, spec.tile_ms, spec.tiles,
            spec.value, spec.value_column, spec.by, spec.by_column, spec.per_item, 0, 0,
        )  # fmt: skip
        features[number, TRAITS] = spec.aggregation.traits
        features[number, WORDS_TAKEN] = spec.words
        features[number, PURPOSE] = purposes.index(spec.purpose)
        features[number, TAKES_BACK] = bool(spec.takes_back)
        if spec.aggregation.keeps_steps:
            features[number, RING] = layout.rings.index(spec)
        if spec.aggregation.companion is not None:
            features[number, COMPANION_AT] = layout.named(companion_of(spec.name, spec.aggregation.companion)).offset
        if spec.aggregation.is_declared:
            for code, sign in _signs(spec):
                ops[code].append((number, sign, spec.heard_since.get(code, 1)))
    for of_code in ops:
        of_code.sort(key=lambda op: layout.features[op[0]].spec.aggregation.keeps_steps)
    program = Program(
        np.cumsum([0, *map(len, ops)]).astype(np.int64),
        np.array([op[0] for code in ops for op in code], np.int64),
        np.array([op[1:] for code in ops for op in code] or np.zeros((0, 2)), np.int64),
        features,
        np.array(
            [
                min((since for number, _, since in code if layout.features[number].spec.scope is Scope.ITEM), default=0)
                for code in ops
            ],
            np.uint8,
        ),
        np.array([settings[name] for name in SETTING_NAMES], np.int64),
        _roles(names, codes),
    )
    follow_rules(program)
    return program


def _roles(names: Mapping[str, int], codes: int) -> Ints:
    roles = np.zeros(codes, np.int64)
    for name, code in names.items():
        roles[code] = number_of_role(name)
    return roles


def follow_rules(program: Program) -> None:
    """Call after the settings have changed: features go by the rules of the fold that are in force."""
    program.features[:, AS_CAME] = program.settings[FOLDING] >= 4


def _signs(spec: FeatureSpec) -> list[tuple[int, int]]:
    gives = [(code, GIVES_OF_ORDER if code in spec.bound else GIVES) for code in spec.codes]
    return gives + [(code, TAKES_PART if code in spec.partial else TAKES) for code in spec.takes_back]


def activate(
    program: Program, layout: Layout, names: frozenset[tuple[str, str]], since_ms: Mapping[tuple[str, str], int]
) -> None:
    """From here on exactly the features with these (name, version) count; since when they do is in `since_ms`, and it
    is from the beginning on for those not named there."""
    for number, placed in enumerate(layout.features):
        name = declared_name(placed.spec.name)
        program.features[number, ACTIVE] = (name, placed.spec.version) in names
        program.features[number, SINCE_MS] = since_ms.get((name, placed.spec.version), 0)


def make_columns(*, events: int, items: int, values: int, refs: int) -> Columns:
    """Room for so many events and items, with so many columns of values and references."""
    return Columns(
        np.zeros(events, np.int64), np.zeros(events, np.int64), np.zeros(events, np.int64), np.zeros(events, np.int64),
        np.zeros(events, np.int64), np.zeros(events, np.uint8), np.zeros(events, np.int64), np.zeros(events, np.int64),
        np.zeros((events, max(values, 1))), np.zeros((events, max(refs, 1)), np.int64), np.zeros(events + 1, np.int64),
        np.zeros(items, np.int64), np.zeros(items), np.zeros(items), np.zeros(items, np.int64),
    )  # fmt: skip


def make_attributes(rows_max: int, *, attributes: int, numbers: int) -> Attributes:
    """Catalogue columns with nothing in them; of `numbers` a row is ready once `blank_numbers` has reached it."""
    return Attributes(
        np.zeros((rows_max, max(attributes, 1), ATTRIBUTE_VALUES_MAX), np.int64),
        np.zeros((rows_max, max(numbers, 1))),
        np.zeros(1, np.int64),
        np.zeros(rows_max),
        np.zeros((rows_max, 2), np.int64),
    )


@kernel
def price_at(attributes: Attributes, row: int, at_ms: int) -> float:
    """What the item of a row costs at a time, by the catalogue; NaN where it does not say."""
    if attributes.sale_ms[row, 0] <= at_ms < attributes.sale_ms[row, 1]:
        return float(attributes.sale_prices[row])
    return float(attributes.numbers[row, 0])


def blank_numbers(attributes: Attributes, rows: int) -> None:
    """Make the first `rows` rows ready, and some ahead: memory is taken as items come, not for all there could be."""
    ready = int(attributes.ready[0])
    if rows > ready:
        end = min(rows + BLANKED_ROWS, len(attributes.numbers))
        attributes.numbers[ready:end] = np.nan
        attributes.ready[0] = end


def make_changes(rows_max: int) -> Changes:
    return Changes(np.zeros(rows_max, np.uint8), np.zeros(rows_max, np.int64), np.zeros(1, np.int64))
