"""Idle people on disk: who has been idle longest makes room, and is brought back when an event or a decision comes.

Where somebody lies changes nothing of what they are: the fold finds everybody it needs in memory, so its verdicts and
the state hash are the same with and without. In memory a row of the cold table remains, [key, place, received], and
its entry in an index. The cold table is saved with a checkpoint like any other, so a checkpoint is of one position;
the files it names stay as long as it does, and are durable before it counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..foundation.errors import Broken, DiskFull
from ..foundation.limits import COLD_MOVED_MAX, FOLD_BATCH_EVENTS_MAX
from .cold_files import ColdFiles, ColdPlace, Stored, parts_of
from .columns import TABLE_OF
from .compiled import Ints, kernel
from .fetched import ColdRecord, Fetched, FetchedRecord
from .layout import (
    CELL_CHUNK,
    CELL_KEY,
    CELL_PREVIOUS,
    CELL_RECEIVED_MS,
    CELL_SESSION,
    CHUNK_NEXT,
    CHUNK_WORDS,
    SESSION_CELL,
    Layout,
    Scope,
    declared_name,
)
from .table import (
    BASE,
    CELLS,
    CHUNKS,
    COLD,
    FIRST_ROW,
    LIVE,
    MIGRATE_PER_BATCH,
    ROWS_MAX,
    SESSIONS,
    WORDS,
    Index,
    Memory,
    address,
    allocate,
    find,
    find_all,
    free_rows,
    grown,
    index_of,
    insert,
    make_index,
    migrate,
    release,
    remove,
    rows_of,
    settled,
    touch,
)
from .upkeep import erase, is_swept, let_go

COLD_KEY, COLD_PLACE, COLD_RECEIVED_MS = 0, 1, 2
COLD_WORDS = 3
WINDOW = 8
"""People looked at for each one that is moved out: the longest idle of them go."""
RESERVED_CELLS = 1_024
"""Rows kept free ahead of the fold, where the table is large enough for it."""
COMPACTED_ROWS = 50_000
"""Cold rows looked at in one step of compaction."""
RETRY_STEPS = 500
"""Steps of upkeep between two tries while the disk takes nobody."""


class Cold:
    """The people of one state who lie on disk, and the way there and back."""

    def __init__(self, place: ColdPlace, layout: Layout) -> None:
        self.place = place
        self.files = ColdFiles(place, layout)
        self.index = make_index(256)
        self.refused = False
        """The disk took nobody when it was asked last."""
        self.moved_out = 0
        self.brought_back = 0
        self.fetched = Fetched()
        self.read_at_use = 0
        """Records that nobody had read ahead, or that had moved since."""
        self._layout = layout
        self._buffer: Ints = np.zeros(1 << 17, np.int64)
        self._hand = 0
        self._hand_compacting = 0
        self._steps = 0
        self._condemned: dict[int, tuple[int, int]] = {}
        """Erased people, and the end of the files then: what lies before it is overwritten in the pass under way."""
        self._waiting: dict[int, tuple[int, int]] = {}
        """Those of the next pass."""
        self._scrubbing: list[int] = []
        self._scrubbed_to = 0

    # Asking.

    def people(self, memory: Memory) -> int:
        """How many lie on disk."""
        return int(memory.regions[COLD, LIVE])

    def concerns(self, memory: Memory) -> bool:
        """Whether a batch must be prepared for: somebody lies on disk, or room may run out."""
        return (
            memory.regions[COLD, LIVE] > 0
            or free_rows(memory, CELLS) < FOLD_BATCH_EVENTS_MAX
            or free_rows(memory, CHUNKS) < FOLD_BATCH_EVENTS_MAX
        )

    def stored(self, memory: Memory, row: int, cleared: dict[str, int]) -> Stored | None:
        """The person at a cold row as they would be in memory; None if they were erased."""
        one = _record(memory, row)
        fetched = self.fetched.find(one)
        found = self.files.read(one.place, one.key) if fetched is None else fetched.stored
        if found is not None and any(era > found.era for era in cleared.values()):
            return Stored(found.era, self._without_cleared(found, cleared))
        return found

    def _without_cleared(self, found: Stored, cleared: dict[str, int]) -> Ints:
        """Features that began after the person moved out have counted nothing of theirs yet."""
        words = found.words.copy()
        parts = parts_of(words, self._layout)
        rows = {CELLS: parts.cell.reshape(1, -1), SESSIONS: parts.sessions}
        for placed in self._layout.features:
            since = cleared.get(declared_name(placed.spec.name), 0)
            if since > found.era and placed.spec.scope is not Scope.ITEM:
                table = rows[TABLE_OF[placed.spec.scope]]
                table[:, placed.offset : placed.offset + placed.spec.words] = 0
        return words

    def used(self, memory: Memory, row: int, cleared: dict[str, int]) -> Stored | None:
        """`stored`, of somebody whom an event or a decision is about."""
        self.read_at_use += self.fetched.find(_record(memory, row)) is None
        return self.stored(memory, row, cleared)

    # Reading ahead.

    def unread(self, memory: Memory, cells: Index, keys: Ints) -> list[ColdRecord]:
        """Who of `keys` lies on disk and has not been read there."""
        keys = np.unique(keys)
        hot, cold = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
        find_all(cells, keys, hot)
        find_all(self.index, keys, cold)
        lying = _records(memory, cold[(hot < 0) & (cold >= 0)])
        return [one for one in lying if self.fetched.find(one) is None]

    def fetch_now(self, memory: Memory, wanted: Sequence[ColdRecord]) -> list[ColdRecord]:
        """Have those at hand whose records the system has in memory; the others, for whom the disk has begun to work.

        What cannot be read is left to whoever uses it, who finds out why.
        """
        pending: list[ColdRecord] = []
        for one in self._still_there(memory, wanted):
            try:
                stored = self.files.read_now(one.place, one.key)
            except BlockingIOError:
                pending.append(one)
            except Broken:
                continue
            else:
                self.fetched.put(one.key, FetchedRecord(one.place, stored))
        return pending

    def fetch(self, wanted: Sequence[ColdRecord]) -> dict[ColdRecord, Stored | None]:
        """Read them, in whatever thread, and wait for the disk; give `keep_fetched` what could be read."""
        read: dict[ColdRecord, Stored | None] = {}
        for one in wanted:
            with contextlib.suppress(Broken):
                read[one] = self.files.read(one.place, one.key)
        return read

    def keep_fetched(self, memory: Memory, read: Mapping[ColdRecord, Stored | None]) -> None:
        """Have those at hand who still lie where they were read."""
        for one in self._still_there(memory, list(read)):
            self.fetched.put(one.key, FetchedRecord(one.place, read[one]))

    def _still_there(self, memory: Memory, some: Sequence[ColdRecord]) -> list[ColdRecord]:
        """Without those who came back, moved or were erased since somebody asked for them."""
        rows = np.empty(len(some), np.int64)
        find_all(self.index, np.array([one.key for one in some], np.int64), rows)
        there = set(_records(memory, rows[rows >= 0]))
        return [one for one in some if one in there]

    # Moving.

    def prepare(
        self, memory: Memory, cells: Index, keys: Ints, *, events: int, era: int, cleared: dict[str, int], idle_ms: int,
        relieve: Callable[[], None],
    ) -> bool:  # fmt: skip
        """Bring back who of `keys` lies on disk, and make room for who is new, in so many events.

        False if memory has no room for all of them at once, and nobody was brought back then. Raises `DiskFull` when
        the disk does not take those who have to make room, `Corrupt` when what it gave is not what was written.
        """
        keys = np.unique(keys)
        hot, cold = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
        find_all(cells, keys, hot)
        find_all(self.index, keys, cold)
        returning = [(int(row), self.used(memory, int(row), cleared)) for row in cold[(hot < 0) & (cold >= 0)]]
        chunks = events + sum(int(one.words[CELL_CHUNK]) for _, one in returning if one is not None)
        absent = int((hot < 0).sum())
        # Up to here nothing has changed; rows in memory may move, so they are told by key.
        if not self._make_room(memory, cells, absent, chunks, hot[hot >= 0], era, idle_ms, relieve):
            return False
        for row, one in returning:
            relieve()
            self._let_go(memory, row)
            if one is not None:
                _put(memory, cells, _read_only(one.words))
                self.brought_back += 1
        return True

    def _let_go(self, memory: Memory, row: int) -> None:
        """The person at a cold row is not there any more."""
        one = _record(memory, row)
        _unshelve(memory, self.index, row)
        self.fetched.forget(one.key)
        self.files.drop(one.place)

    def _make_room(
        self, memory: Memory, cells: Index, wanted: int, chunks: int, kept: Ints, era: int, idle_ms: int,
        relieve: Callable[[], None],
    ) -> bool:  # fmt: skip
        while free_rows(memory, CELLS) < wanted or free_rows(memory, CHUNKS) < chunks:
            short = max(wanted - free_rows(memory, CELLS), 1)
            rows = self._idle_longest(memory, max(short, self._step(memory)), kept)
            if not len(rows):
                return False
            if not self._move_out(memory, cells, rows, era, idle_ms, relieve):
                raise DiskFull("the state is full: the disk takes no more of the people who are idle")
        return True

    def _step(self, memory: Memory) -> int:
        """How many move out at once."""
        return int(min(COLD_MOVED_MAX, memory.regions[CELLS, ROWS_MAX] // 16 + 1))

    def _idle_longest(self, memory: Memory, count: int, kept: Ints) -> Ints:
        """Rows of up to `count` people to move out: of a window of all, those of whom nothing was received for
        longest. The window moves on with each call."""
        rows, count = rows_of(memory, CELLS), min(count, COLD_MOVED_MAX)
        start = self._hand if self._hand < len(rows) else 0
        end = min(start + WINDOW * count, len(rows))
        self._hand = end
        window = rows[start:end]
        there = np.flatnonzero(window[:, CELL_KEY] != 0)
        there = there[~np.isin(there + start, kept)]
        if not len(there):
            return self._anybody(rows, count, kept)
        count = min(count, len(there))
        received = window[there, CELL_RECEIVED_MS]
        chosen: Ints = there[np.argpartition(received, count - 1)[:count]] + start
        return chosen

    def _anybody(self, rows: Ints, count: int, kept: Ints) -> Ints:
        """When the window holds nobody who may go: the first who may."""
        there = np.flatnonzero(rows[:, CELL_KEY] != 0)
        return there[~np.isin(there, kept)][:count]

    def _move_out(
        self, memory: Memory, cells: Index, rows: Ints, era: int, idle_ms: int, relieve: Callable[[], None]
    ) -> bool:
        """Write these people to disk, then let them go; False if the disk, or the table of places, takes no more."""
        if free_rows(memory, COLD) < len(rows):
            self.refused = True
            return False
        moved = 0
        ends = np.zeros(len(rows), np.int64)
        while moved < len(rows):
            relieve()
            packed = _pack_all(memory, rows[moved:], self._buffer, ends, idle_ms)
            if packed == 0:
                self._buffer = np.zeros(2 * len(self._buffer), np.int64)
                continue
            now = rows[moved : moved + packed]
            if not self._write(memory, cells, now, ends[:packed], era, relieve):
                return False
            moved += packed
        self.moved_out += moved
        return True

    def _write(
        self, memory: Memory, cells: Index, rows: Ints, ends: Ints, era: int, relieve: Callable[[], None]
    ) -> bool:
        content, starts = self._buffer[: int(ends[-1])].tobytes(), [0, *(8 * ends[:-1]).tolist()]
        table = rows_of(memory, CELLS)
        keys, received = table[rows, CELL_KEY], table[rows, CELL_RECEIVED_MS]
        payloads = [content[start:end] for start, end in zip(starts, (8 * ends).tolist(), strict=True)]
        try:
            places = self.files.append(list(zip(keys.tolist(), payloads, strict=True)), era)
        except OSError:
            self.refused = True
            return False
        self.refused = False
        self._grow(len(rows))
        done, shelved = 0, np.array(places, np.int64)
        while done < len(rows):
            relieve()
            done += _shelve_all(memory, cells, self.index, keys[done:], shelved[done:], received[done:])
        return True

    def _grow(self, count: int) -> None:
        migrate(self.index, MIGRATE_PER_BATCH)
        self.index = grown(settled(self.index), room_for=count)

    def hand_over(
        self, memory: Memory, cells: Index, narrow: Memory, narrow_cells: Index, *, era: int, idle_ms: int
    ) -> None:
        """Move everybody to a memory with less room: who was idle longest goes to disk. `DiskFull` if it does not
        take them."""
        spare = COLD_MOVED_MAX
        nobody = np.empty(0, np.int64)
        for table in (CELLS, CHUNKS):
            most = max(int(narrow.regions[table, ROWS_MAX]) - spare, int(narrow.regions[table, ROWS_MAX]) // 2)
            while memory.regions[table, LIVE] > most:
                rows = self._idle_longest(memory, COLD_MOVED_MAX, nobody)
                if not self._move_out(memory, cells, rows, era, idle_ms, _nothing):
                    raise DiskFull("memory has less room than before, and the disk takes nobody who is idle")
        ends = np.zeros(1, np.int64)
        for row in np.flatnonzero(rows_of(memory, CELLS)[:, CELL_KEY]):
            while _pack_all(memory, np.array([row]), self._buffer, ends, idle_ms) == 0:
                self._buffer = np.zeros(2 * len(self._buffer), np.int64)
            _put(narrow, narrow_cells, _read_only(self._buffer[: int(ends[0])]))

    # Upkeep.

    def upkeep(
        self, memory: Memory, cells: Index, *, era: int, cleared: dict[str, int], idle_ms: int,
        relieve: Callable[[], None],
    ) -> bool:  # fmt: skip
        """One bounded step: keep room ahead of the fold, then empty a file that is mostly of nobody. False if there
        was nothing to do."""
        self._steps += 1
        if self.refused and self._steps % RETRY_STEPS:
            return False
        cells_max = int(memory.regions[CELLS, ROWS_MAX])
        ahead = min(RESERVED_CELLS, cells_max // 16)
        if free_rows(memory, CELLS) < ahead or free_rows(memory, CHUNKS) < ahead:
            rows = self._idle_longest(memory, self._step(memory), np.empty(0, np.int64))
            return len(rows) > 0 and self._move_out(memory, cells, rows, era, idle_ms, relieve)
        return self._compact(memory, era, cleared, relieve)

    def _compact(self, memory: Memory, era: int, cleared: dict[str, int], relieve: Callable[[], None]) -> bool:
        number = self.files.sparse()
        if not number:
            return False
        rows = rows_of(memory, COLD)
        first = self._hand_compacting if self._hand_compacting < len(rows) else 0
        looked = rows[first : first + COMPACTED_ROWS]
        here = np.flatnonzero((looked[:, COLD_KEY] != 0) & (looked[:, COLD_PLACE] >> 32 == number))
        here = here[: COLD_MOVED_MAX // 2]
        self._hand_compacting = first + (int(here[-1]) + 1 if len(here) else len(looked))
        found = [(int(row), self.stored(memory, int(row), cleared)) for row in here + first]
        staying = [(row, one) for row, one in found if one is not None]
        try:
            places = self.files.append(
                [(int(rows[row, COLD_KEY]), one.words.tobytes()) for row, one in staying], era
            ) if staying else []  # fmt: skip
        except OSError:
            self.refused = True
            return False
        for (row, _), place in zip(staying, places, strict=True):
            relieve()
            touch(memory, COLD, row)
            self.fetched.forget(int(rows[row, COLD_KEY]))
            self.files.drop(int(rows[row, COLD_PLACE]))
            rows[row, COLD_PLACE] = place
        for row, one in found:
            if one is None:
                relieve()
                self._let_go(memory, row)
        return True

    # Erasure.

    def forget(self, memory: Memory, key: int) -> bool:
        """Let an erased person go, and have every record of theirs overwritten by `scrub`; whether they lay on disk."""
        row = find(self.index, key)
        if row >= 0:
            self._let_go(memory, row)
        self._waiting[key] = self.files.end()
        return bool(row >= 0)

    def scrub(self) -> bool:
        """One bounded step of overwriting what is left of erased people; False when no file holds any of them.
        Raises `OSError`; the step is repeated then."""
        if self._scrubbing:
            following = self.files.scrub(self._scrubbing[-1], self._scrubbed_to, self._condemned)
            self._scrubbed_to = max(following, 0)
            if following < 0:
                self._scrubbing.pop()
        elif self._waiting:
            self._condemned, self._waiting = self._waiting, {}
            self._scrubbing, self._scrubbed_to = self.files.numbers(), 0
        return bool(self._scrubbing or self._waiting)

    # Loading.

    def rebuild(self, memory: Memory, records: dict[int, int]) -> None:
        """After the cold table was filled from a checkpoint."""
        rows = rows_of(memory, COLD)
        self.index = index_of(rows[:, COLD_KEY])
        self.files.adopt(records, rows[rows[:, COLD_KEY] != 0, COLD_PLACE])


def _nothing() -> None:
    """No checkpoint is being written."""


def _record(memory: Memory, row: int) -> ColdRecord:
    """Who has a cold row, and where they lie."""
    found = rows_of(memory, COLD)[row]
    return ColdRecord(int(found[COLD_KEY]), int(found[COLD_PLACE]))


def _records(memory: Memory, rows: Ints) -> list[ColdRecord]:
    found = rows_of(memory, COLD)[rows]
    return list(map(ColdRecord, found[:, COLD_KEY].tolist(), found[:, COLD_PLACE].tolist()))


def warm_up(memory: Memory, cells: Index) -> None:
    """Load or compile what moves people to disk and back, on copies of a memory and an index with two people."""
    memory, cells = _with_cold_rows(memory, 2), Index(*(column.copy() for column in cells))
    keys = rows_of(memory, CELLS)[:2, CELL_KEY].copy()
    rows, ends, buffer = np.empty(len(keys), np.int64), np.zeros(len(keys), np.int64), np.zeros(1 << 14, np.int64)
    find_all(cells, keys, rows)
    migrate(cells, MIGRATE_PER_BATCH)
    assert _pack_all(memory, rows, buffer, ends, 0) == len(rows)
    _shelve_all(memory, cells, make_index(256), keys, keys, keys)
    cold = index_of(rows_of(memory, COLD)[:, COLD_KEY])
    touch(memory, COLD, 0)
    address(memory.regions, COLD, 0)
    _unshelve(memory, cold, 0)
    _put(memory, cells, _read_only(buffer[: int(ends[0])]))


def _read_only(words: Ints) -> Ints:
    """The same words, as those are that were read from a file: one form of a kernel serves both."""
    seen = words.view()
    seen.flags.writeable = False
    return seen


def _with_cold_rows(memory: Memory, count: int) -> Memory:
    """A copy of a memory that has no place for people on disk, with some, behind all others."""
    assert memory.regions[COLD, ROWS_MAX] == 0
    regions = memory.regions.copy()
    regions[COLD, [BASE, ROWS_MAX, FIRST_ROW]] = len(memory.ints), count, len(memory.unsaved)
    ints = np.concatenate([memory.ints, np.zeros(count * int(regions[COLD, WORDS]), np.int64)])
    unsaved = np.concatenate([memory.unsaved, np.zeros(count, np.uint8)])
    return Memory(ints, ints.view(np.float64), regions, unsaved, memory.spill.copy(), memory.ledgers.copy())


@kernel
def _pack_all(memory: Memory, rows: Ints, buffer: Ints, ends: Ints, idle_ms: int) -> int:
    """Pack people one behind another; how many found room."""
    ints, regions, at = memory.ints, memory.regions, 0
    for i in range(len(rows)):
        cell = address(regions, CELLS, rows[i])
        if is_swept(ints, cell, idle_ms) and ints[cell + CELL_SESSION] + ints[cell + CELL_CHUNK] > 0:
            if 2 * memory.spill[0] > len(memory.spill):
                return i
            touch(memory, CELLS, rows[i])
            let_go(memory, rows[i])
        end = at + _packed_words(ints, regions, cell)
        if end > len(buffer):
            return i
        _pack(ints, regions, cell, buffer, at)
        ends[i] = end
        at = end
    return len(rows)


@kernel
def _packed_words(ints: Ints, regions: Ints, cell: int) -> int:
    words = regions[CELLS, WORDS]
    for word in (cell + CELL_SESSION, cell + CELL_PREVIOUS):
        if ints[word] > 0:
            words += regions[SESSIONS, WORDS]
    chunk = ints[cell + CELL_CHUNK] - 1
    while chunk >= 0:
        words += CHUNK_WORDS
        chunk = ints[address(regions, CHUNKS, chunk) + CHUNK_NEXT] - 1
    return int(words)


@kernel
def _pack(ints: Ints, regions: Ints, cell: int, buffer: Ints, at: int) -> None:
    """The cell with counts for row numbers, its sessions, its chunks in their order."""
    end = at
    for word in range(regions[CELLS, WORDS]):
        buffer[end] = ints[cell + word]
        end += 1
    for link in (CELL_SESSION, CELL_PREVIOUS):
        if ints[cell + link] > 0:
            session = address(regions, SESSIONS, ints[cell + link] - 1)
            for word in range(regions[SESSIONS, WORDS]):
                buffer[end + word] = ints[session + word]
            buffer[end + SESSION_CELL] = 0
            end += regions[SESSIONS, WORDS]
            buffer[at + link] = 1
    count, row = 0, ints[cell + CELL_CHUNK] - 1
    while row >= 0:
        chunk = address(regions, CHUNKS, row)
        for word in range(CHUNK_WORDS):
            buffer[end + word] = ints[chunk + word]
        buffer[end + CHUNK_NEXT] = 0
        end += CHUNK_WORDS
        count += 1
        row = ints[chunk + CHUNK_NEXT] - 1
    buffer[at + CELL_CHUNK] = count


@kernel
def _put(memory: Memory, cells: Index, words: Ints) -> None:
    """Make the rows of a person from their words; there is room for them."""
    ints, regions = memory.ints, memory.regions
    row = allocate(memory, CELLS)
    cell = address(regions, CELLS, row)
    end = regions[CELLS, WORDS]
    for word in range(end):
        ints[cell + word] = words[word]
    for link in (CELL_SESSION, CELL_PREVIOUS):
        if words[link] > 0:
            session_row = allocate(memory, SESSIONS)
            session = address(regions, SESSIONS, session_row)
            for word in range(regions[SESSIONS, WORDS]):
                ints[session + word] = words[end + word]
            ints[session + SESSION_CELL] = row
            ints[cell + link] = session_row + 1
            end += regions[SESSIONS, WORDS]
    before = cell + CELL_CHUNK
    for _ in range(words[CELL_CHUNK]):
        chunk_row = allocate(memory, CHUNKS)
        chunk = address(regions, CHUNKS, chunk_row)
        for word in range(CHUNK_WORDS):
            ints[chunk + word] = words[end + word]
        ints[before] = chunk_row + 1
        before = chunk + CHUNK_NEXT
        end += CHUNK_WORDS
    insert(cells, words[CELL_KEY], row)


@kernel
def _shelve_all(memory: Memory, cells: Index, cold: Index, keys: Ints, places: Ints, received: Ints) -> int:
    """Let people go from memory who lie at these places; how many, before the rows saved for a checkpoint take half
    of their room."""
    ints, regions = memory.ints, memory.regions
    for i in range(len(keys)):
        if i > 0 and 2 * memory.spill[0] > len(memory.spill):
            return i
        erase(memory, cells, keys[i])
        row = allocate(memory, COLD)
        word = address(regions, COLD, row)
        ints[word + COLD_KEY] = keys[i]
        ints[word + COLD_PLACE] = places[i]
        ints[word + COLD_RECEIVED_MS] = received[i]
        insert(cold, keys[i], row)
    return len(keys)


@kernel
def _unshelve(memory: Memory, cold: Index, row: int) -> None:
    remove(cold, memory.ints[address(memory.regions, COLD, row) + COLD_KEY])
    release(memory, COLD, row)
