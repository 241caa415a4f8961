"""Idle people on disk: who has been idle longest makes room, and is brought back when an event or a decision comes.

Where somebody lies changes nothing of what they are: the fold finds everybody it needs in memory, so its verdicts and
the state hash are the same with and without. In memory a row of the cold table remains, [key, place, received], and
its entry in an index. The cold table is saved with a checkpoint like any other, so a checkpoint is of one position;
the files it names stay as long as it does, and are durable before it counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from ..foundation.errors import Broken, DiskFull
from ..foundation.limits import COLD_MOVED_MAX, FOLD_BATCH_EVENTS_MAX
from .cold_files import Appended, ColdFiles, ColdPlace, Stored, parts_of
from .columns import TABLE_OF
from .compiled import Bytes, Ints, kernel
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
    USED,
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
_NO_WORDS: Final[Ints] = np.zeros(0, np.int64)
RETRY_STEPS = 500
"""Steps of upkeep between two tries while the disk takes nobody."""


class Packed(NamedTuple):
    """People as records hold them, one behind another."""

    keys: Ints
    received: Ints
    words: Ints
    ends: Ints
    """By person: the word behind theirs."""


class MovingOut:
    """People who are being written to disk, and are in memory until that has been done."""

    def __init__(self, files: ColdFiles, packed: Packed, era: int, appended: Appended) -> None:
        self.packed = packed
        self.era = era
        self.appended = appended
        self.failed = False
        """The disk did not take them."""
        self._files = files

    def apart(self) -> MovingOut:
        """The same with words of its own."""
        self.packed = self.packed._replace(words=self.packed.words.copy())
        return self

    def run(self) -> None:
        """Write them, in whatever thread."""
        try:
            self._files.write(self.appended)
        except OSError:
            self.failed = True


class Emptying:
    """People who have to leave a file, and are read there."""

    def __init__(self, files: ColdFiles, people: Sequence[ColdRecord]) -> None:
        self.found: dict[ColdRecord, Stored | None] = {}
        self.unreadable: dict[ColdRecord, Broken] = {}
        """Why some could not be read. Whoever lies there no more may have been in a file that has been removed."""
        self._files = files
        self._people = people

    def run(self) -> None:
        """Read them, in whatever thread."""
        for one in self._people:
            try:
                self.found[one] = self._files.read(one.place, one.key)
            except Broken as error:
                self.unreadable[one] = error


class Rewriting:
    """People who are being written to another file, and lie where they were until that has been done."""

    def __init__(self, files: ColdFiles, people: Sequence[ColdRecord], appended: Appended) -> None:
        self.people = people
        self.appended = appended
        self.failed = False
        """The disk did not take them."""
        self._files = files

    def run(self) -> None:
        """Write them, in whatever thread."""
        try:
            self._files.write(self.appended)
        except OSError:
            self.failed = True


class Scrubbing:
    """A step through a file in which records of erased people are overwritten."""

    def __init__(
        self, files: ColdFiles, number: int, offset: int, condemned: Mapping[int, tuple[int, int]],
        end: tuple[int, int],
    ) -> None:  # fmt: skip
        self.number = number
        self.offset = offset
        self.condemned = condemned
        """Whom the pass through all files is about."""
        self.following = 0
        """Where the next step begins, -1 behind the end of the file."""
        self._files = files
        self._end = end

    def run(self) -> None:
        """Overwrite them, in whatever thread. Raises `OSError`; the step is repeated then."""
        self.following = self._files.scrub(self.number, self.offset, self.condemned, self._end)


ColdWork = MovingOut | Emptying | Rewriting | Scrubbing
"""What waits for the disk: `run` may be called in another thread than the one that folds, which is to be given it back
then (`State.end_upkeep`). Meanwhile everybody is where they were."""


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
        return self._stored(_record(memory, row), max(cleared.values(), default=0), cleared, used=False)

    def _stored(self, one: ColdRecord, newest: int, cleared: dict[str, int], *, used: bool = True) -> Stored | None:
        """`newest` of what is in `cleared`; `used` says that an event or a decision is about the person."""
        fetched = self.fetched.find(one)
        if fetched is None:
            self.read_at_use += used
            found = self.files.read(one.place, one.key)
        else:
            found = fetched.stored
        return found if found is None or newest <= found.era else self._as_of_now(found, cleared)

    def _as_of_now(self, found: Stored, cleared: dict[str, int]) -> Stored:
        """A person as they would be in memory: see `State.cleared`."""
        if any(era > found.era for era in cleared.values()):
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
        return self._stored(_record(memory, row), max(cleared.values(), default=0), cleared)

    # Reading ahead.

    def unread(self, memory: Memory, cells: Index, keys: Ints) -> list[ColdRecord]:
        """Who of `keys` lies on disk and has not been read there, each once."""
        found = np.empty(2 * len(keys), np.int64)
        count = _find_lying(memory, cells, self.index, keys, found)
        words: list[int] = found[: 2 * count].tolist()
        lying = dict.fromkeys(map(ColdRecord, words[::2], words[1::2]))
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
        lying, newest = _records(memory, cold[(hot < 0) & (cold >= 0)]), max(cleared.values(), default=0)
        returning = [(one, self._stored(one, newest, cleared)) for one in lying]
        chunks = events + sum(int(stored.words[CELL_CHUNK]) for _, stored in returning if stored is not None)
        absent = int((hot < 0).sum())
        # Up to here nothing has changed; rows in memory may move, so they are told by key.
        if not self._make_room(memory, cells, absent, chunks, hot[hot >= 0], era, idle_ms, relieve):
            return False
        if returning:
            self._bring_back(memory, cells, returning, relieve)
        return True

    def _bring_back(
        self, memory: Memory, cells: Index, returning: Sequence[tuple[ColdRecord, Stored | None]],
        relieve: Callable[[], None],
    ) -> None:  # fmt: skip
        """Have those in memory of whom there is a record, and nobody of the others."""
        words = [_NO_WORDS if stored is None else stored.words for _, stored in returning]
        keys, ends = np.array([one.key for one, _ in returning], np.int64), np.cumsum([len(one) for one in words])
        packed, done = np.concatenate(words), 0
        while done < len(keys):
            relieve()
            done = _bring_back_all(memory, cells, self.index, keys, packed, ends, done)
        for one, stored in returning:
            self.fetched.forget(one.key)
            self.files.drop(one.place)
            self.brought_back += stored is not None

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
        moved = 0
        while moved < len(rows):
            moving = self._moving(memory, rows[moved:], era, idle_ms, relieve, patient=False)
            if moving is None:
                return False
            moving.run()
            if not self._shelve(memory, cells, moving, moving.packed.keys, relieve):
                return False
            moved += len(moving.packed.keys)
        return True

    def _moving(
        self, memory: Memory, rows: Ints, era: int, idle_ms: int, relieve: Callable[[], None], *, patient: bool
    ) -> MovingOut | None:
        """The first of these people, as many as the buffer takes, with places on disk; None if there are no more places
        to remember. Nothing changes yet."""
        if free_rows(memory, COLD) < len(rows):
            self.refused = True
            return None
        packed = self._packed(memory, rows, idle_ms, relieve)
        ends: list[int] = (8 * packed.ends).tolist()
        content = packed.words.tobytes()
        payloads = [content[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        people = list(zip(packed.keys.tolist(), payloads, strict=True))
        try:
            appended = self.files.append(people, era, patient=patient)
        except OSError:
            self.refused = True
            return None
        return MovingOut(self.files, packed, era, appended)

    def _packed(self, memory: Memory, rows: Ints, idle_ms: int, relieve: Callable[[], None]) -> Packed:
        """The first of these people as records hold them, in words that the next ones overwrite."""
        ends, count = np.zeros(len(rows), np.int64), 0
        while count == 0:
            relieve()
            count = _pack_all(memory, rows, self._buffer, ends, idle_ms)
            if count == 0:
                self._buffer = np.zeros(2 * len(self._buffer), np.int64)
        table, rows = rows_of(memory, CELLS), rows[:count]
        keys, received = table[rows, CELL_KEY], table[rows, CELL_RECEIVED_MS]
        return Packed(keys, received, self._buffer[: int(ends[count - 1])], ends[:count])

    def _shelve(
        self, memory: Memory, cells: Index, moving: MovingOut, keys: Ints, relieve: Callable[[], None]
    ) -> bool:
        """Let those of the people who were written go from memory who are among `keys`; False if none was written."""
        self.refused = moving.failed
        self.files.settle(moving.appended, written=not moving.failed)
        if moving.failed:
            return False
        going = np.isin(moving.packed.keys, keys)
        places, received = np.array(moving.appended.places, np.int64), moving.packed.received[going]
        for place in places[~going].tolist():
            self.files.drop(place)
        places = places[going]
        self._grow(len(keys))
        done = 0
        while done < len(keys):
            relieve()
            done += _shelve_all(memory, cells, self.index, keys[done:], places[done:], received[done:])
        self.moved_out += len(keys)
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
        for row in np.flatnonzero(rows_of(memory, CELLS)[:, CELL_KEY]):
            _put(narrow, narrow_cells, self._packed(memory, np.array([row]), idle_ms, _nothing).words, 0)

    # Upkeep.

    def begin_upkeep(
        self, memory: Memory, *, era: int, idle_ms: int, relieve: Callable[[], None]
    ) -> MovingOut | Emptying | None:
        """One bounded step: keep room ahead of the fold, then empty a file that is mostly of nobody. None if there is
        nothing to do. What is begun changes nothing before its end; see `end_upkeep`."""
        self._steps += 1
        if self.refused and self._steps % RETRY_STEPS:
            return None
        cells_max = int(memory.regions[CELLS, ROWS_MAX])
        ahead = min(RESERVED_CELLS, cells_max // 16)
        if free_rows(memory, CELLS) < ahead or free_rows(memory, CHUNKS) < ahead:
            rows = self._idle_longest(memory, self._step(memory), np.empty(0, np.int64))
            moving = self._moving(memory, rows, era, idle_ms, relieve, patient=True) if len(rows) else None
            # Whoever waits for room uses the buffer meanwhile.
            return moving and moving.apart()
        number = self.files.sparse()
        return Emptying(self.files, self._lying_in(memory, number)) if number else None

    def end_upkeep(
        self, memory: Memory, cells: Index, work: MovingOut | Emptying | Rewriting, *, era: int,
        cleared: dict[str, int], relieve: Callable[[], None],
    ) -> Rewriting | None:  # fmt: skip
        """Take over what a step of upkeep has done on disk; what is to be done there next. Raises `Corrupt` when
        somebody who has to leave a file cannot be read there."""
        match work:
            case MovingOut():
                self._end_moving_out(memory, cells, work, era, relieve)
            case Emptying():
                return self._rewriting(memory, work, era, cleared, relieve)
            case Rewriting():
                self._end_rewriting(memory, work, relieve)
        return None

    def _end_moving_out(
        self, memory: Memory, cells: Index, moving: MovingOut, era: int, relieve: Callable[[], None]
    ) -> None:
        """Let those go who still are what was written of them; others stay, and what was written is nobody's."""
        packed = moving.packed
        same = np.zeros(len(packed.keys), np.uint8)
        if moving.era == era and free_rows(memory, COLD) >= len(same):
            _compare_all(memory, cells, packed.keys, packed.words, packed.ends, self._buffer, same)
        self._shelve(memory, cells, moving, packed.keys[same != 0], relieve)

    def _lying_in(self, memory: Memory, number: int) -> list[ColdRecord]:
        """The next few who lie in a file."""
        found = np.empty(COLD_MOVED_MAX // 2, np.int64)
        used = int(memory.regions[COLD, USED])
        first = self._hand_compacting if self._hand_compacting < used else 0
        count, self._hand_compacting = _find_in_file(memory, number, first, first + COMPACTED_ROWS, found)
        return _records(memory, found[:count])

    def _rewriting(
        self, memory: Memory, emptying: Emptying, era: int, cleared: dict[str, int], relieve: Callable[[], None]
    ) -> Rewriting | None:
        """Give those places in another file who still lie where they were read; whoever was erased there goes."""
        for one in self._still_there(memory, list(emptying.unreadable)):
            raise emptying.unreadable[one]
        there = self._still_there(memory, list(emptying.found))
        for one in there:
            if emptying.found[one] is None:
                relieve()
                self._let_go(memory, find(self.index, one.key))
        staying = [(one, stored) for one in there if (stored := emptying.found[one]) is not None]
        if not staying:
            return None
        people = [(one.key, self._as_of_now(stored, cleared).words.tobytes()) for one, stored in staying]
        return Rewriting(self.files, [one for one, _ in staying], self.files.append(people, era, patient=True))

    def _end_rewriting(self, memory: Memory, rewriting: Rewriting, relieve: Callable[[], None]) -> None:
        self.refused = rewriting.failed
        self.files.settle(rewriting.appended, written=not rewriting.failed)
        if rewriting.failed:
            return
        there, rows = set(self._still_there(memory, rewriting.people)), rows_of(memory, COLD)
        for one, place in zip(rewriting.people, rewriting.appended.places, strict=True):
            if one not in there:
                self.files.drop(place)
                continue
            relieve()
            row = find(self.index, one.key)
            touch(memory, COLD, row)
            self.fetched.forget(one.key)
            self.files.drop(one.place)
            rows[row, COLD_PLACE] = place

    # Erasure.

    def forget(self, memory: Memory, key: int) -> bool:
        """Let an erased person go, and have every record of theirs overwritten by `scrub`; whether they lay on disk."""
        row = find(self.index, key)
        if row >= 0:
            self._let_go(memory, row)
        self._waiting[key] = self.files.end()
        return bool(row >= 0)

    @property
    def scrubbing(self) -> bool:
        """Whether some file may still hold somebody who was erased."""
        return bool(self._scrubbing or self._waiting)

    def begin_scrub(self) -> Scrubbing | None:
        """One bounded step of overwriting what is left of erased people. None if there is nothing to do, or while
        somebody is being written, who may be one of them."""
        if self.files.writing:
            return None
        if not self._scrubbing and self._waiting:
            numbers = self.files.numbers()
            self._condemned, self._waiting = self._waiting, {}
            self._scrubbing, self._scrubbed_to = numbers, 0
        if not self._scrubbing:
            return None
        return Scrubbing(self.files, self._scrubbing[-1], self._scrubbed_to, self._condemned, self.files.end())

    def end_scrub(self, step: Scrubbing) -> None:
        """Go on behind a step. Whoever else has made it too changes nothing, nor does one of an earlier pass."""
        if step.condemned is not self._condemned:
            return
        if (step.number, step.offset) != (self._scrubbing[-1] if self._scrubbing else 0, self._scrubbed_to):
            return
        self._scrubbed_to = max(step.following, 0)
        if step.following < 0:
            self._scrubbing.pop()

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
    _compare_all(memory, cells, keys, buffer[: int(ends[-1])], ends, buffer.copy(), np.zeros(len(keys), np.uint8))
    _find_in_file(memory, 1, 0, 1, rows.copy())
    _find_lying(memory, cells, make_index(256), keys, np.empty(2 * len(keys), np.int64))
    _shelve_all(memory, cells, make_index(256), keys, keys, keys)
    cold = index_of(rows_of(memory, COLD)[:, COLD_KEY])
    touch(memory, COLD, 0)
    address(memory.regions, COLD, 0)
    _unshelve(memory, cold, 0)
    _put(memory, cells, buffer, 0)
    _bring_back_all(memory, cells, cold, keys[1:], buffer, ends[:1], 0)


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
def _compare_all(
    memory: Memory, cells: Index, keys: Ints, words: Ints, ends: Ints, buffer: Ints, same: Bytes
) -> None:
    """Say by 1 who is in memory as `words` tell, which `_pack_all` has made. The buffer takes the largest of them."""
    ints, regions, start = memory.ints, memory.regions, 0
    for i in range(len(keys)):
        row, size = find(cells, keys[i]), ends[i] - start
        if row >= 0:
            cell = address(regions, CELLS, row)
            if _packed_words(ints, regions, cell) == size:
                _pack(ints, regions, cell, buffer, 0)
                same[i] = 1
                for word in range(size):
                    if buffer[word] != words[start + word]:
                        same[i] = 0
                        break
        start = ends[i]


@kernel
def _find_in_file(memory: Memory, number: int, first: int, end: int, found: Ints) -> tuple[int, int]:
    """Look at cold rows from `first` to `end` for people in a file until `found` is full; how many were found, and the
    first row not looked at."""
    ints, regions, count = memory.ints, memory.regions, 0
    end = min(end, regions[COLD, USED])
    for row in range(first, end):
        if count == len(found):
            return count, row
        word = address(regions, COLD, row)
        if ints[word + COLD_KEY] != 0 and ints[word + COLD_PLACE] >> 32 == number:
            found[count] = row
            count += 1
    return count, end


@kernel
def _bring_back_all(
    memory: Memory, cells: Index, cold: Index, keys: Ints, words: Ints, ends: Ints, first: int
) -> int:
    """Let people leave the cold table, from number `first` on, and have those in memory who have words; there is room.
    The first one not reached, before the rows saved for a checkpoint take half of theirs."""
    for i in range(first, len(keys)):
        if i > first and 2 * memory.spill[0] > len(memory.spill):
            return i
        _unshelve(memory, cold, find(cold, keys[i]))
        start = ends[i - 1] if i > 0 else 0
        if ends[i] > start:
            _put(memory, cells, words, start)
    return len(keys)


@kernel
def _find_lying(memory: Memory, cells: Index, cold: Index, keys: Ints, found: Ints) -> int:
    """Put key and place of those who lie on disk and are not in memory one behind another; how many there are."""
    count = 0
    for i in range(len(keys)):
        if find(cells, keys[i]) < 0:
            row = find(cold, keys[i])
            if row >= 0:
                found[2 * count] = keys[i]
                found[2 * count + 1] = memory.ints[address(memory.regions, COLD, row) + COLD_PLACE]
                count += 1
    return count


@kernel
def _put(memory: Memory, cells: Index, words: Ints, at: int) -> None:
    """Make the rows of a person from their words, which begin at `at`; there is room for them."""
    ints, regions = memory.ints, memory.regions
    row = allocate(memory, CELLS)
    cell = address(regions, CELLS, row)
    end = at + regions[CELLS, WORDS]
    for word in range(end - at):
        ints[cell + word] = words[at + word]
    for link in (CELL_SESSION, CELL_PREVIOUS):
        if words[at + link] > 0:
            session_row = allocate(memory, SESSIONS)
            session = address(regions, SESSIONS, session_row)
            for word in range(regions[SESSIONS, WORDS]):
                ints[session + word] = words[end + word]
            ints[session + SESSION_CELL] = row
            ints[cell + link] = session_row + 1
            end += regions[SESSIONS, WORDS]
    before = cell + CELL_CHUNK
    for _ in range(words[at + CELL_CHUNK]):
        chunk_row = allocate(memory, CHUNKS)
        chunk = address(regions, CHUNKS, chunk_row)
        for word in range(CHUNK_WORDS):
            ints[chunk + word] = words[end + word]
        ints[before] = chunk_row + 1
        before = chunk + CHUNK_NEXT
        end += CHUNK_WORDS
    insert(cells, words[at + CELL_KEY], row)


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
