"""Everything the state needs to know of a configuration: the layout, the columns of a batch, and the capacity."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ..events.envelope import Flag, Tracked
from ..events.folding import TIME_MS_MAX
from ..foundation.ids import References
from ..foundation.limits import CATALOGUE_ITEMS_ALWAYS
from .compiled import Ints, Reals
from .layout import FeatureSpec, Layout
from .ledger import LEDGER_PAGES_MAX
from .program import Columns

_FLAGS = int(Flag.BOT | Flag.RETOLD)
OTHER = 0
"""The code of every event that no feature counts on."""
CELLS_PER_LEDGER_PAGE = 16


class Capacity(msgspec.Struct, frozen=True):
    """How many records there is room for. Reaching one is counted and refused, never silent."""

    cells: int
    """People in memory."""
    items: int
    cold: int = 0
    """People whose place on disk is known, where there is a place for them."""
    catalogue: int = CATALOGUE_ITEMS_ALWAYS
    """Items of the usual size that the catalogue takes, where `items` leaves room for so many."""
    steps: int = 1_024
    """Steps of each ring of steps. It is a room for addresses: how many are kept says the setting `steps_kept`."""
    catalogue_bytes: int = 0
    """What larger items may take together, where that is more than so many of the usual size do."""

    @property
    def sessions(self) -> int:
        """A cell keeps at most two sessions."""
        return 2 * self.cells

    @property
    def chunks(self) -> int:
        """Chunks of message ids; on average four a cell."""
        return 4 * self.cells

    @property
    def ledger_pages(self) -> int:
        """Pages for the ledgers of who has many messages, for one of the largest at least. Who finds no room is looked
        through one by one, which takes longer."""
        return self.cells // CELLS_PER_LEDGER_PAGE + LEDGER_PAGES_MAX


class Schema(msgspec.Struct, frozen=True):
    """A configuration as the state sees it."""

    layout: Layout
    codes: dict[str, int]
    """Event name -> code, from 1."""
    properties: tuple[str, ...]
    """Numeric properties that features aggregate, by value column."""
    contexts: tuple[str, ...]
    """Context fields that features are kept by, by reference column."""
    attributes: tuple[str, ...]
    """Text fields of items that features are kept by."""
    numbers: tuple[str, ...]
    """Numeric fields of items; the first is the price."""
    settings: dict[str, int]
    """What the fold stands on, see `program.SETTING_NAMES`."""
    capacity: Capacity
    ttl_ms: dict[str, int] = {}
    """Feature -> time without an event after which it reads as its default."""
    purposes: tuple[str, ...] = ()
    """What features are kept for, sorted: the place of a purpose is its bit in `Columns.denied`."""
    hears_all: bool = False
    """A feature hears every event, whatever its name."""

    def declared(self) -> tuple[tuple[str, str], ...]:
        """(name, version) of each declared feature, as `Configured` records them."""
        return tuple(
            (placed.spec.name, placed.spec.version) for placed in self.layout.features if "." not in placed.spec.name
        )

    def feature(self, name: str) -> FeatureSpec:
        """The feature of that name; KeyError if there is none."""
        return self.layout.named(name).spec


def columns_of(schema: Schema, events: Sequence[Tracked], references: References) -> Columns:
    """The columns of a batch, in its order.

    Pure. Raises on a record that fits no column (`OverflowError`, `ValueError`, `TypeError`), and the loop that reads
    the columns cannot fail any more.
    """
    count = len(events)
    codes = schema.codes
    firsts, items = [0], list[int]()
    prices, quantities = list[float](), list[float]()
    for event in events:
        if event.items:
            items.extend(event.items)
            prices.extend(event.prices or (np.nan,) * len(event.items))
            quantities.extend(event.quantities or (1.0,) * len(event.items))
            if not len(items) == len(prices) == len(quantities):
                raise ValueError(f"{len(event.items)} items and another number of their prices or quantities")
        firsts.append(len(items))
    keys = [event.key for event in events]
    happened_ms, received_ms = [event.happened_ms for event in events], [event.received_ms for event in events]
    columns = Columns(
        np.array(keys, np.int64),
        np.array([codes.get(event.name, OTHER) for event in events], np.int64),
        np.array(happened_ms, np.int64),
        np.array([event.message for event in events], np.int64),
        np.array(received_ms, np.int64),
        np.array([event.flags & _FLAGS for event in events], np.uint8),
        _denied(schema.purposes, events, count),
        np.array([event.order for event in events], np.int64),
        _values(schema.properties, events, count),
        _contexts(schema.contexts, events, count, references),
        np.array(firsts, np.int64),
        np.array(items, np.int64),
        np.array(prices, np.float64),
        np.array(quantities, np.float64),
        np.empty(len(items), np.int64),
    )
    if 0 in keys or 0 in items:  # Of lists: for so few numpy takes longer.
        raise ValueError("an event of nobody, or about no item")
    for times_ms in (happened_ms, received_ms):
        if times_ms and (min(times_ms) < -TIME_MS_MAX or max(times_ms) > TIME_MS_MAX):
            raise ValueError("an event at no time")
    return columns


def _denied(purposes: tuple[str, ...], events: Sequence[Tracked], count: int) -> Ints:
    masks = np.zeros(count, np.int64)
    if not purposes:
        return masks
    for place, event in enumerate(events):
        if event.denied:
            masks[place] = sum(1 << bit for bit, purpose in enumerate(purposes) if purpose in event.denied)
    return masks


def _values(names: tuple[str, ...], events: Sequence[Tracked], count: int) -> Reals:
    values = np.full((count, max(len(names), 1)), np.nan)
    for column, name in enumerate(names):
        values[:, column] = [event.values.get(name, np.nan) for event in events]
    return values


def _contexts(names: tuple[str, ...], events: Sequence[Tracked], count: int, references: References) -> Ints:
    refs = np.zeros((count, max(len(names), 1)), np.int64)
    for column, name in enumerate(names):
        texts = [getattr(event.context, name) for event in events]
        refs[:, column] = [references.of(text) if text else 0 for text in texts]
    return refs
