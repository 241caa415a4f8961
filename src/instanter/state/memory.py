"""The state in arrays in memory: what one process knows at one position of the log.

Driven by one thread. `fold` and the control methods change it; readers look at the arrays between two changes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

import mmh3
import numpy as np

from ..events.envelope import Configured, Epoch, Ticked, Tracked
from ..events.folding import Change
from ..foundation.errors import Broken, DiskFull
from ..foundation.ids import References
from ..foundation.limits import (
    CATALOGUE_ITEM_BYTES,
    CATALOGUE_ITEMS_ALWAYS,
    EPOCHS_LOST_MAX,
    FOLD_BATCH_EVENTS_MAX,
    FOLD_BATCH_ITEMS_MAX,
    PUBLISHED_EPOCHS_MAX,
    PUBLISHED_ROWS_MAX,
)
from ..foundation.pages import empty_objects, give_back
from .aggregations.base import Trait
from .canonical import People, state_hash
from .catalogue import Catalogue
from .cold import COLD_KEY, COLD_RECEIVED_MS, COLD_WORDS, RESERVED_CELLS, Cold, ColdWork, Scrubbing
from .cold_files import ColdPlace, Stored
from .columns import TABLE_OF
from .compiled import Bytes, Ints, Reals, Shorts, form_of
from .fetched import ColdRecord
from .fold import APPLIED, DUPLICATE, LATE_FOR_SEQUENCES, LATE_FOR_WINDOWS, TABLE_FULL, TOLD_AGAIN, fold_batch
from .layout import (
    CELL_KEY,
    CELL_RECEIVED_MS,
    CHUNK_WORDS,
    ITEM_KEY,
    STEP_WORDS,
    Scope,
    companion_of,
    declared_name,
)
from .ledger import PAGE_WORDS
from .program import (
    FOLDING,
    SETTING_BOUNDS,
    SETTING_NAMES,
    SETTINGS_FORMERLY,
    STEPS_KEPT,
    VACANT_SINCE,
    Columns,
    Program,
    Tables,
    activate,
    blank_numbers,
    follow_rules,
    make_attributes,
    make_changes,
    make_program,
)
from .rows import item_of, received_ms
from .schema import Schema, columns_of
from .steps import begin, blank, check, first_word, keep, owners_of, sieve_of
from .table import (
    BASE,
    CELLS,
    COLD,
    FREE,
    ITEMS,
    LIVE,
    ROWS_MAX,
    STEPS,
    USED,
    find,
    free_rows,
    grown,
    index_of,
    make_index,
    make_memory,
    rows_of,
    scattered,
    settled,
    shrunk,
)
from .upkeep import erase, publish, sweep
from .vacant import Due, VacantRows

SWEEP_CELLS = 50_000
"""Cells looked at per tick; all are reached in turn."""
IDLE_CELLS = 20_000
"""Cells looked at by one call of `idle_cells`."""
SWEEP_IDLE_MS = 24 * 3_600_000

VERDICTS = {
    APPLIED: "applied",
    DUPLICATE: "duplicate",
    LATE_FOR_SEQUENCES: "late_for_sequences",
    LATE_FOR_WINDOWS: "late_for_windows",
    TABLE_FULL: "table_full",
    TOLD_AGAIN: "told_again",
}


def batches(events: Sequence[Tracked]) -> Iterator[Sequence[Tracked]]:
    """Cut a row of events into batches that one call of `State.fold` takes."""
    first = items = 0
    for place, event in enumerate(events):
        if place - first == FOLD_BATCH_EVENTS_MAX or items + len(event.items) > FOLD_BATCH_ITEMS_MAX:
            yield events[first:place]
            first, items = place, 0
        items += len(event.items)
    if first < len(events):
        yield events[first:]


class Saving(Protocol):
    """A checkpoint that is being written of this state."""

    def relieve(self) -> None:
        """Make room for the rows that the next batch may touch."""
        ...


class State:
    """Cells, sessions, items, catalogue and the published epoch of one log."""

    def __init__(
        self, schema: Schema, cold: ColdPlace | None = None, references: References | None = None
    ) -> None:
        """`cold` says where on disk idle people make room for others; without it, room that has run out is refused.
        `references` gets the key of the log when that is read."""
        self.references = references or References()
        layout, room = schema.layout, schema.capacity
        self._fold_form: Callable[[Program, Tables, Columns, Bytes], None] | None = None
        """`fold_batch` for the types that all arguments have here, once it was called."""
        self.schema = schema
        self.program = make_program(
            layout, codes=len(schema.codes) + 1, settings=schema.settings, names=schema.codes
        )
        self.tables = Tables(
            make_memory(
                words=(
                    layout.cell_words,
                    layout.session_words,
                    CHUNK_WORDS,
                    layout.item_words,
                    1,
                    COLD_WORDS,
                    PAGE_WORDS,
                    *(STEP_WORDS for _ in layout.rings),
                ),
                rows_max=(
                    room.cells,
                    room.sessions,
                    room.chunks,
                    room.items,
                    0,
                    room.cold if cold else 0,
                    room.ledger_pages,
                    *(1 + room.steps for _ in layout.rings),
                ),
                pairings=sum(bool(placed.spec.aggregation.traits & Trait.PAIRS) for placed in layout.features),
            ),
            make_index(),
            make_index(),
            make_attributes(room.items, attributes=len(schema.attributes), numbers=len(schema.numbers)),
            make_changes(room.items),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
        )
        self._rings = {spec.name: table for table, spec in zip(self._ring_tables, layout.rings, strict=True)}
        """Which table a feature's ring is; every decision looks for some."""
        self._newest_step_words = {
            spec.name: layout.named(companion_of(spec.name, spec.aggregation.companion)).offset
            for spec in layout.rings if spec.aggregation.companion is not None
        }  # fmt: skip
        for table in self._ring_tables:
            begin(self.tables.memory, table)
        self._fit_rings()
        self.cold = None if cold is None else Cold(cold, layout)
        self.configured = 0
        """How often features were put in force."""
        self.cleared: dict[str, int] = {}
        """Feature -> which of those times it began or ended last: what lies on disk from before is not to count."""
        self._vacant = VacantRows(room.items)
        self.given_back = 0
        """How often the memory of items that are gone was given back. Whoever keeps columns by row gives theirs back
        too, see `give_back_vacant`."""
        self.catalogue = Catalogue(
            self.tables.attributes,
            attribute_names=schema.attributes,
            number_names=schema.numbers,
            row_of=self.item_row,
            leave=self._leave_item,
            references=self.references,
        )
        self.published: Ints = scattered(room.items * layout.item_words)
        """Item records as of the epoch, row after row: what decisions read."""
        self.published_reals: Reals = self.published.view(np.float64)
        self.active: frozenset[tuple[str, str]] = frozenset()
        self.since_ms: dict[tuple[str, str], int] = {}
        """When a feature began to count that does not count from the beginning of the log."""
        self.epoch = 0
        self.epoch_hash = ""
        self.epoch_ms = 0
        self.reconfigured = False
        """Whether another configuration came into force after the last epoch, whose hash is one of the former's layout:
        a replay under this one comes to the same hashes from the next epoch on."""
        self._published_rows: deque[tuple[int, Ints]] = deque()
        """Of the newest epochs: number, and the rows of items that it changed."""
        self.sweep_from = 0
        self._idle_from = (0, 0)
        self.blanked = 0
        """How often steps of erased people were taken out, for whoever has worked out something from steps."""
        self.saving: Saving | None = None
        self.verdicts: Counter[str] = Counter(dict.fromkeys(VERDICTS.values(), 0))
        """What became of the events folded by this process."""

    # Reading.

    @property
    def cells_used(self) -> int:
        """People (cells) known, in memory or on disk."""
        return int(self.tables.memory.regions[CELLS, LIVE]) + self.cells_cold

    @property
    def cells_cold(self) -> int:
        """People (cells) who lie on disk."""
        return int(self.tables.memory.regions[COLD, LIVE])

    @property
    def cells_max(self) -> int:
        """People (cells) there is room for, in memory and on disk."""
        return self.schema.capacity.cells + (self.schema.capacity.cold if self.cold is not None else 0)

    @property
    def messages_forgotten(self) -> int:
        """Messages forgotten before their time since this process began: their repetitions count again."""
        return int(self.tables.forgotten[0])

    @property
    def items_used(self) -> int:
        """Items with aggregates: those of the catalogue, and those that events have named."""
        return int(self.tables.memory.regions[ITEMS, LIVE])

    @property
    def has_room(self) -> bool:
        """Whether one more batch of people who are not in memory would find room there."""
        if self.cold is not None and not self.cold.refused:
            return True
        return free_rows(self.tables.memory, CELLS) >= RESERVED_CELLS

    def catalogue_takes(self, *, items: int, size_bytes: int) -> bool:
        """Whether there is room for so many items more, and for so many bytes more of all."""
        room, count = self.schema.capacity, len(self.catalogue.items) + items
        items_max = max(room.catalogue, CATALOGUE_ITEMS_ALWAYS)
        bytes_max = max(items_max * CATALOGUE_ITEM_BYTES, room.catalogue_bytes)
        return count <= min(room.items, items_max) and self.catalogue.size_bytes + size_bytes <= bytes_max

    def cell_row(self, key: int) -> int:
        """The row of a cell in memory, or -1."""
        return find(self.tables.cell_index, key)

    def find_item(self, ref: int) -> int:
        """The row of an item, or -1."""
        return find(self.tables.item_index, ref)

    def knows(self, key: int) -> bool:
        """Whether there is a cell of this key."""
        return self.cell_row(key) >= 0 or (self.cold is not None and find(self.cold.index, key) >= 0)

    def received_ms(self, key: int) -> int:
        """When something of this cell was received last; 0 if there is no such cell."""
        row = self.cell_row(key)
        if row >= 0:
            return int(rows_of(self.tables.memory, CELLS)[row, CELL_RECEIVED_MS])
        row = -1 if self.cold is None else find(self.cold.index, key)
        return int(rows_of(self.tables.memory, COLD)[row, COLD_RECEIVED_MS]) if row >= 0 else 0

    def received_of(self, keys: Sequence[int]) -> list[int]:
        """`received_ms` of many cells."""
        found = np.array(keys, np.int64)
        received_ms(self.tables.memory, self.tables.cell_index, found)
        times_ms: list[int] = found.tolist()
        if self.cells_cold == 0:
            return times_ms
        return [self.received_ms(key) if at_ms == 0 else at_ms for key, at_ms in zip(keys, times_ms, strict=True)]

    def messages_of(self, keys: Sequence[int]) -> list[int]:
        """References of the messages that these cells remember."""
        found: list[int] = []
        for rows in self._people().of(keys):
            found += rows.messages(self.program.settings)[:, 1].tolist()
        return found

    def idle_cells(self, received_before_ms: int, limit: int) -> list[int]:
        """Keys of up to `limit` cells, also on disk, from which nothing was received since. Looks at a bounded number
        of cells and goes on behind them at the next call; where it stands is no part of the state."""
        memory = self.tables.memory
        table, first = self._idle_from
        rows = rows_of(memory, COLD if table else CELLS)
        key, received = (COLD_KEY, COLD_RECEIVED_MS) if table else (CELL_KEY, CELL_RECEIVED_MS)
        looked = rows[first : first + IDLE_CELLS]
        idle = np.flatnonzero((looked[:, key] != 0) & (looked[:, received] < received_before_ms))[:limit]
        following = first + (int(idle[-1]) + 1 if len(idle) == limit else len(looked))
        other = 0 if table or self.cells_cold == 0 else 1
        self._idle_from = (table, following) if following < len(rows) else (other, 0)
        keys: list[int] = looked[idle, key].tolist()
        return keys

    def hash(self, *, order_free: bool = False) -> str:
        """Canonical hash of everything folded, see `canonical`. Costs passes over all records, of memory a few MB and
        40 bytes a person."""
        return state_hash(self._people(), self.tables.memory, self.program.settings, order_free=order_free)

    def _people(self) -> People:
        cold = self.cold
        memory, cleared = self.tables.memory, self.cleared
        read = None if cold is None else lambda row: cold.stored(memory, row, cleared)
        return People(self.tables, self.schema.layout, read, None if cold is None else cold.index)

    # People on disk.

    def unread(self, keys: Sequence[int]) -> list[ColdRecord]:
        """Who of these lies on disk and has not been read ahead. Free of cost while nobody does."""
        if self.cold is None or self.cells_cold == 0 or not keys:
            return []
        return self.cold.unread(self.tables.memory, self.tables.cell_index, np.array(keys, np.int64))

    def fetch_now(self, wanted: Sequence[ColdRecord]) -> list[ColdRecord]:
        """Have these at hand as far as that needs no waiting for the disk; the others."""
        assert self.cold is not None
        return self.cold.fetch_now(self.tables.memory, wanted)

    def fetch(self, wanted: Sequence[ColdRecord]) -> dict[ColdRecord, Stored | None]:
        """Read people from disk; the one method that may run in another thread. Give `keep_fetched` what it returns."""
        assert self.cold is not None
        return self.cold.fetch(wanted)

    def keep_fetched(self, read: Mapping[ColdRecord, Stored | None]) -> None:
        """Have what was read at hand for those who still lie there. It changes nothing but how soon they are known."""
        assert self.cold is not None
        self.cold.keep_fetched(self.tables.memory, read)

    def lying(self, keys: Sequence[int]) -> dict[int, Stored]:
        """By place among `keys`: who lies on disk, as they would be in memory. Nobody is moved.

        Whoever was not read ahead is read here. Raises `Corrupt` when a record is damaged.
        """
        cold = self.cold
        if cold is None or self.cells_cold == 0:
            return {}
        found: dict[int, Stored] = {}
        for place, key in enumerate(keys):
            row = -1 if self.cell_row(key) >= 0 else find(cold.index, key)
            stored = cold.used(self.tables.memory, row, self.cleared) if row >= 0 else None
            if stored is not None:
                found[place] = stored
        return found

    @property
    def read_at_use(self) -> int:
        """People on disk whom this process had to read when they were needed, because nobody had read them ahead."""
        return 0 if self.cold is None else self.cold.read_at_use

    # Changing.

    def fold(self, events: Sequence[Tracked]) -> Ints:
        """Fold a batch in its order; what became of each event. `batches` cuts a longer row of events.

        The columns are made before anything changes: a batch that raises, see `columns_of`, has changed nothing.
        Memory that is full while the disk takes nobody ends it early: fewer outcomes than events then, or `DiskFull`
        if not even the first one found room.
        """
        return self.fold_columns(columns_of(self.schema, events, self.references))

    def fold_columns(self, columns: Columns) -> Ints:
        """As `fold`, of events by their columns."""
        count = len(columns.keys)
        assert count <= FOLD_BATCH_EVENTS_MAX
        assert len(columns.items) <= FOLD_BATCH_ITEMS_MAX
        self.make_room(cells=count, items=len(columns.items) + 9 * count)
        cold = self.cold
        if cold is not None and cold.concerns(self.tables.memory) and not self._warm(columns.keys, count):
            if count > 1:
                return self._fold_halves(columns)
            raise Broken("memory holds not even one person: raise state.memory_mb")
        self._relieve()
        outcomes = np.zeros(count, np.uint8)
        if self._fold_form is None:
            fold_batch(self.program, self.tables, columns, outcomes)
            self._fold_form = form_of(fold_batch, self.program, self.tables, columns, outcomes)
        else:
            self._fold_form(self.program, self.tables, columns, outcomes)
        counts = np.bincount(outcomes, minlength=len(VERDICTS))
        for verdict, name in VERDICTS.items():
            if counts[verdict]:
                self.verdicts[name] += int(counts[verdict])
        return outcomes.astype(np.int64)

    def _fold_halves(self, columns: Columns) -> Ints:
        count = len(columns.keys)
        half = count // 2
        first = self.fold_columns(columns.part(0, half))
        if len(first) < half:
            return first
        try:
            return np.concatenate([first, self.fold_columns(columns.part(half, count))])
        except DiskFull:
            return first

    def warm(self, keys: Sequence[int]) -> None:
        """Bring back who of these lies on disk. Free of cost while nobody does.

        Raises `Unavailable` when nobody else can make room for them, `Corrupt` when their record is damaged.
        """
        if self.cold is None or self.cells_cold == 0:
            return
        if any(self.cell_row(key) < 0 for key in keys):
            self.make_room(cells=len(keys), items=0)
            if not self._warm(np.array(keys, np.int64), 0):
                raise DiskFull("the state is full: memory holds no more people at once")

    def upkeep(self) -> bool:
        """One bounded step of what can be done at leisure: idle people make room before it is needed, files of idle
        people are kept dense, what is left of erased people is overwritten. False if there was nothing to do. Raises
        `OSError` where it could not be overwritten."""
        work = first = self.begin_upkeep()
        while work is not None:
            work.run()
            work = self.end_upkeep(work)
        return first is not None

    def begin_upkeep(self) -> ColdWork | None:
        """Begin with a step of `upkeep`, as far as that needs no waiting for the disk (1 ms). None if there is nothing
        to do; otherwise `run` what is returned, in whatever thread, and give it to `end_upkeep`."""
        self._give_back()
        cold = self.cold
        if cold is None:
            return None
        scrub = cold.begin_scrub()
        if scrub is not None or cold.scrubbing:
            return scrub
        return cold.begin_upkeep(
            self.tables.memory, era=self.configured, idle_ms=int(self.tables.idle[0]), relieve=self._relieve
        )

    def end_upkeep(self, work: ColdWork) -> ColdWork | None:
        """Take over what was done on disk; what is to be done there next, in the same way. Raises `Corrupt` for a
        damaged record of somebody who was to move."""
        assert self.cold is not None
        if isinstance(work, Scrubbing):
            self.cold.end_scrub(work)
            return None
        return self.cold.end_upkeep(
            self.tables.memory, self.tables.cell_index, work, era=self.configured, cleared=self.cleared,
            relieve=self._relieve,
        )  # fmt: skip

    def _give_back(self) -> None:
        """Let the system have the memory of many items that are gone."""
        due = self._vacant.due()
        if due is Due.NOTHING:
            return
        memory, attributes, words = self.tables.memory, self.tables.attributes, self.schema.layout.item_words
        base, rows_max, used = (int(memory.regions[ITEMS, column]) for column in (BASE, ROWS_MAX, USED))
        self.give_back_vacant(
            memory.ints[base : base + rows_max * words].reshape(-1, words), self.published.reshape(-1, words),
            attributes.refs, attributes.numbers, attributes.sale_prices, attributes.sale_ms, *self.catalogue.columns,
        )  # fmt: skip
        attributes.ready[0] = min(int(attributes.ready[0]), used)
        self.given_back += 1
        keys = rows_of(memory, ITEMS)[:, ITEM_KEY]
        self.tables = self.tables._replace(item_index=shrunk(settled(self.tables.item_index), keys))
        if due is Due.ALL:
            if self.saving is None:
                give_back(memory.spill[1:])
            self.catalogue.forget_named()
            empty_objects()

    def give_back_vacant(self, *columns: Ints | Reals | Shorts | Bytes) -> None:
        """Let the system have the memory of columns by row where many rows stand for no item: zeros are read there from
        now on."""
        for first, end in self._vacant.runs(int(self.tables.memory.regions[ITEMS, USED])):
            for column in columns:
                give_back(column[first:end])

    def scrub(self) -> bool:
        """One bounded step of overwriting erased people on disk; False once no cold file holds one. Raises
        `OSError`; call it again then."""
        step = self.begin_scrub()
        if step is not None:
            step.run()
            self.end_upkeep(step)
        return self.scrubbing

    @property
    def scrubbing(self) -> bool:
        """Whether some cold file may hold somebody who was erased."""
        return self.cold is not None and self.cold.scrubbing

    def begin_scrub(self) -> ColdWork | None:
        """As `begin_upkeep`, of overwriting erased people alone. None also while somebody is being written."""
        return None if self.cold is None else self.cold.begin_scrub()

    def _warm(self, keys: Ints, events: int) -> bool:
        assert self.cold is not None
        return self.cold.prepare(
            self.tables.memory, self.tables.cell_index, keys, events=events, era=self.configured, cleared=self.cleared,
            idle_ms=int(self.tables.idle[0]), relieve=self._relieve,
        )  # fmt: skip

    def _relieve(self) -> None:
        if self.saving is not None:
            self.saving.relieve()

    def make_room(self, *, cells: int, items: int) -> None:
        """Let the indexes grow before that many keys may come."""
        blank_numbers(self.tables.attributes, int(self.tables.memory.regions[ITEMS, USED]) + items)
        cell_index = grown(settled(self.tables.cell_index), room_for=cells)
        item_index = grown(settled(self.tables.item_index), room_for=items)
        if cell_index is not self.tables.cell_index or item_index is not self.tables.item_index:
            self.tables = self.tables._replace(cell_index=cell_index, item_index=item_index)

    def item_row(self, ref: int) -> int:
        """The row of an item, made if need be; -1 if there is no room. One that comes back has the row it left, if
        nobody else has. Another vacant one is taken only when there is none left that nobody had: who reads the
        catalogue page by page meets what comes meanwhile."""
        self.make_room(cells=0, items=1)
        if self._vacant and self.find_item(ref) < 0:
            own, regions = self.catalogue.rows_left.row_of(ref), self.tables.memory.regions
            own = own if own in self._vacant else -1
            if own >= 0 or regions[ITEMS, USED] == regions[ITEMS, ROWS_MAX]:
                self._relieve()
                self._vacant.take(self.tables.memory, self.tables.item_index, ref, own)
        return item_of(self.tables.memory, self.tables.item_index, ref)

    def _leave_item(self, row: int) -> bool:
        """Let an item that leaves the catalogue have no row, if nothing was counted of it; whether that is so."""
        if self.program.settings[FOLDING] < VACANT_SINCE or self.tables.changes.marks[row]:
            return False
        if rows_of(self.tables.memory, ITEMS)[row, ITEM_KEY + 1 :].any():
            return False
        self._relieve()
        self._vacant.leave(self.tables.memory, self.tables.item_index, row)
        return True

    def configuring(self, event: Configured, _end: int) -> Change:
        """The first step of `configure`: raises `ValueError` for settings that nothing can be folded by."""
        for name, (least, most) in SETTING_BOUNDS.items():
            if not least <= event.settings.get(name, least) <= most:
                raise ValueError(f"the setting {name} is {event.settings[name]}, not {least} to {most}")
        return partial(self.configure, event)

    def publishing(self, event: Epoch, _end: int) -> Change:
        """The first step of `publish`: raises `ValueError` for a number that does not follow on the epoch before."""
        if not self.epoch < event.number <= self.epoch + EPOCHS_LOST_MAX:
            raise ValueError(f"epoch {event.number} does not follow on {self.epoch}")
        return partial(self.publish, event)

    def configure(self, event: Configured) -> None:
        """From here on these features count, from nothing if they did not count before, and these settings hold.

        What does not count any more is let go, as it is by opening a checkpoint that was made under another
        configuration: both ways lead to the same state.
        """
        counted = frozenset(event.features)
        self.reconfigured = self.reconfigured or bool(self.active)
        first = not self.active and self.cells_used == 0
        begun = {} if first else dict.fromkeys(counted - self.active, event.at_ms)
        self.since_ms = {feature: at_ms for feature, at_ms in (self.since_ms | begun).items() if feature in counted}
        self.configured += 1
        self.cleared |= {name: self.configured for name, _ in counted ^ self.active}
        self._clear(counted ^ self.active)
        self.active = counted
        self.put_in_force(event.settings)
        activate(self.program, self.schema.layout, self.active, self.since_ms)

    @property
    def settings(self) -> dict[str, int]:
        """The settings in force, by name."""
        return dict(zip(SETTING_NAMES, self.program.settings.tolist(), strict=True))

    def put_in_force(self, settings: dict[str, int]) -> None:
        """Fold by these settings from here on; what is not named stays, or is what held before it had a name."""
        formerly = SETTINGS_FORMERLY if settings else {}
        for word, name in enumerate(SETTING_NAMES):
            self.program.settings[word] = settings.get(name, formerly.get(name, self.program.settings[word]))
        follow_rules(self.program)
        self._fit_rings()

    @property
    def _ring_tables(self) -> range:
        return range(STEPS, len(self.tables.memory.regions))

    def _fit_rings(self) -> None:
        """Let the rings keep as many steps as the settings say."""
        count = min(int(self.program.settings[STEPS_KEPT]), self.schema.capacity.steps)
        for table in self._ring_tables:
            keep(self.tables.memory, table, count)

    def check_rings(self) -> None:
        """`ValueError` if the rings, filled from a checkpoint, hold what no fold has written."""
        for table in self._ring_tables:
            check(self.tables.memory, table)

    def ring(self, name: str) -> int:
        """The first word of the ring of the feature of that name, see `steps`; KeyError if there is none."""
        return first_word(self.tables.memory, self._rings[name])

    def newest_step_word(self, name: str) -> int:
        """Which word of a cell is the number of its newest step in the ring of the feature of that name; KeyError if
        there is none."""
        return self._newest_step_words[name]

    def _clear(self, features: frozenset[tuple[str, str]]) -> None:
        """Take out what features have counted. Costs a pass over the records that hold any, and touches no others:
        memory that nothing was written to is not taken yet."""
        items = int(self.tables.memory.regions[ITEMS, USED])
        for placed in self.schema.layout.features:
            if (declared_name(placed.spec.name), placed.spec.version) in features:
                first, end = placed.offset, placed.offset + placed.spec.words
                rows_of(self.tables.memory, TABLE_OF[placed.spec.scope])[:, first:end] = 0
                if placed.spec.scope is Scope.ITEM:
                    self.published.reshape(-1, self.schema.layout.item_words)[:items, first:end] = 0
        for table, spec in zip(self._ring_tables, self.schema.layout.rings, strict=True):
            if (spec.name, spec.version) in features:
                begin(self.tables.memory, table)

    def erase(self, keys: Sequence[int]) -> int:
        """Remove these cells, their sessions and the messages they remember; how many were there.

        Nothing else changes: what items were counted stays, which is clear and names nobody. A checkpoint that is
        being written still gets the cells as they were. What lies of them in cold files is gone once `scrub` has
        returned False. Their steps say nothing any more, which costs a pass over the rings: some ms for millions.
        """
        erased = 0
        if known := [key for key in keys if self.knows(key)]:
            self._blank_steps(known)
        for key in keys:
            self._relieve()
            erased += erase(self.tables.memory, self.tables.cell_index, key)
            if self.cold is not None:
                erased += self.cold.forget(self.tables.memory, key)
        return erased

    def _blank_steps(self, keys: Sequence[int]) -> None:
        self.blanked += 1
        owners = owners_of(keys)
        sieve = sieve_of(owners)
        for table in self._ring_tables:
            row = 1
            while row < self.tables.memory.regions[table, USED]:
                self._relieve()
                row = blank(self.tables.memory, table, owners, sieve, row)

    def tick(self, event: Ticked) -> int:
        """Forget the sessions and messages of people from whom nothing came for long; of how many rows were freed.

        What counts is when it was received: an import of old events is not idle. From here on all of them count as
        forgotten; their rows are freed in turn, which changes nothing that can be seen.
        """
        self.tables.idle[0] = max(int(self.tables.idle[0]), event.at_ms - SWEEP_IDLE_MS)
        used = int(self.tables.memory.regions[CELLS, USED])
        first = self.sweep_from if self.sweep_from < used else 0
        self.sweep_from = first + SWEEP_CELLS
        swept, row = 0, first
        while row < min(self.sweep_from, used):
            self._relieve()
            row, freed = sweep(self.tables.memory, row, self.sweep_from, int(self.tables.idle[0]))
            swept += freed
        return swept

    @property
    def unpublished(self) -> int:
        """Items changed since the epoch."""
        return int(self.tables.changes.meta[0])

    def _hash_of_changes(self, before: str) -> str:
        """Over the hash of the epoch before and all item records changed since."""
        words = self.schema.layout.item_words
        base = int(self.tables.memory.regions[ITEMS, 0])
        changed = self.tables.changes.rows[: self.unpublished]
        items = self.tables.memory.ints[base : base + self.schema.capacity.items * words].reshape(-1, words)[changed]
        items = items[np.argsort(items[:, ITEM_KEY], kind="stable")]
        return mmh3.hash_bytes(bytes.fromhex(before) + items.tobytes()).hex()

    def rebuild_indexes(self) -> None:
        """Index the cells and items that the tables hold, after they were filled from a checkpoint."""
        memory = self.tables.memory
        cells, items = rows_of(memory, CELLS), rows_of(memory, ITEMS)
        blank_numbers(self.tables.attributes, len(items))
        self.tables = self.tables._replace(
            cell_index=index_of(cells[:, CELL_KEY]), item_index=index_of(items[:, ITEM_KEY])
        )
        self._vacant.find(memory)

    def rebuild_cold(self, files: dict[int, int]) -> None:
        """Find the people on disk again, after the tables were filled from a checkpoint that names these files."""
        if self.cold is not None:
            self.cold.rebuild(self.tables.memory, files)

    def take_over(self, wide: State) -> None:
        """Become what `wide` is, a state of the same schema with more room for people; it is of no use afterwards."""
        assert wide.cold is not None
        self.epoch, self.epoch_hash, self.epoch_ms = wide.epoch, wide.epoch_hash, wide.epoch_ms
        self.sweep_from, self.configured, self.cleared = 0, wide.configured, wide.cleared
        self.active, self.since_ms = wide.active, wide.since_ms
        self.put_in_force(wide.settings)
        activate(self.program, self.schema.layout, self.active, self.since_ms)
        self.tables.idle[0] = wide.tables.idle[0]
        self.make_room(cells=self.schema.capacity.cells, items=0)
        wide.cold.hand_over(
            wide.tables.memory, wide.tables.cell_index, self.tables.memory, self.tables.cell_index,
            era=self.configured, idle_ms=int(self.tables.idle[0]),
        )  # fmt: skip
        self.cold = wide.cold
        ours, theirs = self.tables.memory, wide.tables.memory
        for table in (ITEMS, COLD, *self._ring_tables):
            ours.regions[table, [USED, FREE, LIVE]] = theirs.regions[table, [USED, FREE, LIVE]]
            rows_of(ours, table)[:] = rows_of(theirs, table)
        self.rebuild_indexes()
        for item in wide.catalogue.packed():
            self.catalogue.restore(item)
        self.publish_all()

    def publish_all(self) -> None:
        """Publish all item records as they are, after they were filled from a checkpoint."""
        items = rows_of(self.tables.memory, ITEMS)
        self.published[: items.size] = items.ravel()
        self._published_rows.clear()

    def publish(self, event: Epoch) -> None:
        """Decisions read the item records as of now from here on.

        The hash goes on from the one that the record names: a replay under another configuration lays the records of
        items out differently, and comes back to the hashes that were served with the first epoch of its own.
        """
        self._remember_published(event.number)
        self.epoch, self.epoch_hash, self.epoch_ms = event.number, self._hash_of_changes(event.hash), event.at_ms
        self.reconfigured = False
        publish(self.tables.memory, self.tables.changes, self.published)

    def published_since(self, epoch: int) -> Ints | None:
        """The rows of items that were published after that epoch, each once; None if nobody remembers them all."""
        if epoch == self.epoch:
            return np.zeros(0, np.int64)
        newer = [rows for number, rows in self._published_rows if number > epoch]
        remembered = len(newer) > 0 and self._published_rows[0][0] <= epoch + 1
        return np.unique(np.concatenate(newer)) if remembered else None

    def _remember_published(self, number: int) -> None:
        kept = self._published_rows
        if kept and kept[-1][0] + 1 != number:
            kept.clear()
        kept.append((number, self.tables.changes.rows[: self.unpublished].astype(np.int64)))
        while len(kept) > PUBLISHED_EPOCHS_MAX or (
            len(kept) > 1 and sum(len(rows) for _, rows in kept) > PUBLISHED_ROWS_MAX
        ):
            kept.popleft()
