"""Checkpoints: the state as of one exact position, written while the fold goes on.

A file is a magic, then sections of [length u32, CRC-32 u32, kind u8, payload]: the manifest first, then rows in
slices, rows that changed before their slice was copied (as they were), catalogue and other control state, and an
end. It is written under another name, synced, and renamed: a file with the right name is whole, or damaged.

People on disk are rows that say where they lie. The manifest names the cold files that hold them: these are synced
before the checkpoint counts, and stay as long as it does.

`Snapshot` is driven by the thread that folds: each step copies one slice and returns it, to be written elsewhere.
While it lives the state calls `relieve` by itself.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt
from ..foundation.ids import REFERENCE_KEY_BYTES
from .cold import COLD_KEY, COLD_PLACE, COLD_WORDS
from .columns import TABLE_OF, Column, Copies, columns_in, copies
from .compiled import Ints
from .layout import STEP_WORDS, Layout, Scope
from .memory import State
from .program import activate
from .table import (
    CELLS,
    CHUNKS,
    COLD,
    FIRST_ROW,
    FREE,
    ITEMS,
    LEDGERS,
    LIVE,
    ROWS_MAX,
    SESSIONS,
    STEPS,
    USED,
    WORDS,
    rows_of,
)

MAGIC = b"INSTCKPT"
VERSION = 2
"""2: cells may be free rows, and people may lie in cold files."""
_UNFINISHED = ".tmp"
_ASIDE = ".aside"
"""Of checkpoints of a log that is not there."""
SLICE_BYTES = 256 * 1024
"""Copied in one step, about 0.1 ms."""
CONTROL_ROWS = 500
"""Control rows encoded in one step."""
_HEADER = struct.Struct("<IIB")
_SPILL_LIMIT = 0.5
_SAVED_TABLES = (CELLS, SESSIONS, CHUNKS, ITEMS, COLD)
_PEOPLE = (CELLS, SESSIONS, CHUNKS)
_CATALOGUE = "catalogue"
REFERENCE_KEY = "reference_key"
"""The control rows with the key of the log's references; none for a log that has none."""
_Key = Annotated[bytes, msgspec.Meta(min_length=REFERENCE_KEY_BYTES, max_length=REFERENCE_KEY_BYTES)]
_PLURALS = {
    CELLS: "people",
    SESSIONS: "sessions",
    CHUNKS: "chunks of message ids",
    ITEMS: "items",
    COLD: "people on disk",
    STEPS: "steps",
}


class _Section(IntEnum):
    MANIFEST = 1
    ROWS = 2
    SPILLED = 3
    CONTROL = 4
    END = 5


class Manifest(msgspec.Struct, frozen=True):
    """What a checkpoint is of. `position` is that of the first record not folded."""

    version: int
    position: int
    at_ms: int
    regions: list[list[int]]
    columns: list[Column]
    settings: dict[str, int]
    active: list[tuple[str, str]]
    epoch: int
    epoch_hash: str
    epoch_ms: int
    sweep_from: int
    idle_ms: int = 0
    """See `program.Tables.idle`."""
    configured: int = 0
    cleared: dict[str, int] = {}
    """See `State`."""
    cold_files: dict[int, int] = {}
    """Cold files that hold somebody, with the number of their records."""
    records: int = 0
    """Folded since the log began; 0 where that was not noted."""
    since_ms: list[tuple[str, str, int]] = []
    """See `State`."""
    rings: list[tuple[str, str]] = []
    """(name, version) of the features that keep steps, in the order of their tables."""


class _Versioned(msgspec.Struct, frozen=True):
    """The one field of a manifest that every version has."""

    version: int


class _ControlRows(msgspec.Struct, frozen=True, array_like=True):
    name: str
    rows: list[Any]


class _PackedRows(msgspec.Struct, frozen=True, array_like=True):
    """`_ControlRows` whose rows are left as they are."""

    name: str
    rows: list[msgspec.Raw]


class Snapshot:
    """A checkpoint in the making: call `abandon` when it is done or given up."""

    def __init__(
        self, state: State, *, position: int, at_ms: int, control: Mapping[str, Sequence[Any]], records: int = 0
    ) -> None:
        """Taken between two batches and right after an epoch. Costs a byte per row and a list of the items."""
        assert state.unpublished == 0, "an epoch comes right before a checkpoint"
        memory = state.tables.memory
        self.manifest = _manifest(state, position, at_ms, records)
        self._memory = memory
        self._state = state
        self._catalogue = state.catalogue.packed()
        self._control = control
        self._relieved: list[bytes] = []
        for table in _saved_tables(self.manifest):
            first, used = int(memory.regions[table, FIRST_ROW]), int(memory.regions[table, USED])
            memory.unsaved[first : first + used] = 1
        state.saving = self

    def sync_cold(self) -> None:
        """Make the cold files that the manifest names durable; `OSError`. Before the checkpoint is finished, in
        whatever thread."""
        if self.manifest.cold_files and self._state.cold is not None:
            self._state.cold.files.sync(self.manifest.cold_files)

    def sections(self) -> Iterator[bytes]:
        """The file's bytes, a bounded piece of work at a time."""
        yield MAGIC + _section(_Section.MANIFEST, msgspec.msgpack.encode(self.manifest))
        for table in _saved_tables(self.manifest):
            yield from self._rows(table)
        yield from self._spilled()
        for first in range(0, len(self._catalogue), CONTROL_ROWS):
            items = [msgspec.Raw(packed) for packed in self._catalogue[first : first + CONTROL_ROWS]]
            yield _section(_Section.CONTROL, msgspec.msgpack.encode(_PackedRows(_CATALOGUE, items)))
        for name, rows in self._control.items():
            for first in range(0, len(rows), CONTROL_ROWS):
                part = _ControlRows(name, list(rows[first : first + CONTROL_ROWS]))
                yield _section(_Section.CONTROL, msgspec.msgpack.encode(part))
        yield _section(_Section.END, b"")

    def relieve(self) -> None:
        """Make room for the rows that the next batch may touch."""
        spill = self._memory.spill
        if spill[0] > len(spill) * _SPILL_LIMIT:
            self._take_spill()

    def abandon(self) -> None:
        """Stop saving rows; the checkpoint is given up or done."""
        self._state.saving = None
        for table in _saved_tables(self.manifest):
            first, used = self._memory.regions[table, [FIRST_ROW, USED]]
            self._memory.unsaved[first : first + used] = 0
        self._memory.spill[0] = 1
        self._relieved.clear()

    def _take_spill(self) -> None:
        spill = self._memory.spill
        if spill[0] > 1:
            self._relieved.append(spill[1 : spill[0]].tobytes())
            spill[0] = 1

    def _rows(self, table: int) -> Iterator[bytes]:
        memory, used = self._memory, self.manifest.regions[table][USED]
        words, first_row = int(memory.regions[table, WORDS]), int(memory.regions[table, FIRST_ROW])
        step = max(SLICE_BYTES // (words * 8), 1)
        for row in range(0, used, step):
            count = min(step, used - row)
            payload = struct.pack("<II", table, row) + rows_of(memory, table)[row : row + count].tobytes()
            memory.unsaved[first_row + row : first_row + row + count] = 0
            yield _section(_Section.ROWS, payload)
            yield from self._spilled()

    def _spilled(self) -> Iterator[bytes]:
        self._take_spill()
        relieved, self._relieved = self._relieved, []
        for payload in relieved:
            yield _section(_Section.SPILLED, payload)


def _manifest(state: State, position: int, at_ms: int, records: int) -> Manifest:
    return Manifest(
        VERSION,
        position,
        at_ms,
        _regions(state),
        columns_in(state.schema.layout),
        state.settings,
        sorted(state.active),
        state.epoch,
        state.epoch_hash,
        state.epoch_ms,
        state.sweep_from,
        int(state.tables.idle[0]),
        state.configured,
        dict(sorted(state.cleared.items())),
        {} if state.cold is None else state.cold.files.needed(),
        records,
        [(*feature, at_ms) for feature, at_ms in sorted(state.since_ms.items())],
        _rings_of(state.schema.layout),
    )


def _regions(state: State) -> list[list[int]]:
    """Where the tables lie; of ledgers, which are not saved, nothing."""
    regions = state.tables.memory.regions.copy()
    regions[LEDGERS] = 0
    found: list[list[int]] = regions.tolist()
    return found


def _rings_of(layout: Layout) -> list[tuple[str, str]]:
    return [(spec.name, spec.version) for spec in layout.rings]


def _section(kind: _Section, payload: bytes) -> bytes:
    return _HEADER.pack(len(payload), zlib.crc32(payload, kind), kind) + payload


# Files.


def checkpoint_path(directory: Path, position: int) -> Path:
    return directory / f"{position:020d}.ckpt"


def list_checkpoints(disk: Disk, directory: Path) -> list[int]:
    """Positions of the checkpoints in a directory, newest first. Unfinished files are not among them."""
    names = (name.removesuffix(".ckpt") for name in disk.list(directory) if name.endswith(".ckpt"))
    return sorted((int(name) for name in names if name.isdigit()), reverse=True)


def set_aside(disk: Disk, path: Path) -> None:
    """Let a checkpoint count no more, and keep it until somebody is erased; durable on return."""
    disk.rename(path, path.with_suffix(_ASIDE))
    disk.sync_directory(path.parent)


def remove_set_aside(disk: Disk, directory: Path) -> None:
    """Remove what was set aside."""
    for name in disk.list(directory):
        if name.endswith(_ASIDE):
            disk.unlink(directory / name)


def write_checkpoint(disk: Disk, directory: Path, snapshot: Snapshot) -> Path:
    """Write a snapshot in one go (the engine's loop does the same in steps)."""
    disk.make_directory(directory)
    writer = CheckpointWriter(disk, directory, snapshot.manifest.position)
    for section in snapshot.sections():
        writer.write(section)
    snapshot.sync_cold()
    snapshot.abandon()
    return writer.finish()


class CheckpointWriter:
    """Puts the sections of one checkpoint on disk. Its methods may run in another thread, one at a time.

    A directory has one writer at a time: what others left unfinished, because they were killed, is removed.
    """

    def __init__(self, disk: Disk, directory: Path, position: int) -> None:
        self._disk = disk
        self._directory = directory
        self._path = checkpoint_path(directory, position)
        self._unfinished = self._path.with_suffix(_UNFINISHED)
        for name in disk.list(directory):
            if name.endswith(_UNFINISHED):
                disk.unlink(directory / name)
        self._file = disk.open(self._unfinished)

    def write(self, section: bytes) -> None:
        view = memoryview(section)
        while view:
            view = view[self._file.write(view) :]

    def finish(self) -> Path:
        """Sync and rename: from here on the checkpoint counts."""
        try:
            self._file.sync()
        finally:
            self._file.close()
        self._disk.rename(self._unfinished, self._path)
        self._disk.sync_directory(self._directory)
        return self._path

    def give_up(self) -> None:
        """Remove what was written."""
        self._file.close()
        self._disk.unlink(self._unfinished)


# Loading.


def load_checkpoint(disk: Disk, path: Path, state: State) -> tuple[Manifest, dict[str, list[Any]]]:
    """Fill a fresh state from a checkpoint; the manifest and the control rows by name.

    The columns of features that are still declared alike are copied, the others dropped: an old checkpoint opens
    under a new configuration. People for whom there is no room in memory any more are moved to disk, if the state has
    a place there; while that is done they take as much memory as before. `Corrupt` names the file and the byte.
    """
    sections = _sections(disk, path)
    manifest = _read_manifest(path, sections)
    offset = len(MAGIC)
    with _fitting(path, offset):
        _check_manifest(manifest)
        wide = _wide(manifest, state)
        _refuse_if_too_large(path, manifest, wide or state)
        if wide is not None:
            control = load_checkpoint(disk, path, wide)[1]
            state.take_over(wide)
            return manifest, control
        loading = _Loading(state, manifest)
    for offset, kind, payload in sections:
        with _fitting(path, offset):
            loading.take(kind, payload)
    with _fitting(path, offset):
        loading.finish()
    return manifest, loading.control


@contextmanager
def _fitting(path: Path, offset: int) -> Iterator[None]:
    """`Corrupt` for bytes whose checksum is right and which are still nothing that this program wrote."""
    try:
        yield
    except (ValueError, LookupError, ArithmeticError, RecursionError, struct.error, msgspec.MsgspecError) as error:
        raise Corrupt(file=str(path), offset=offset, reason=f"section does not fit: {error}") from None


def _sections(disk: Disk, path: Path) -> Iterator[tuple[int, int, bytes]]:
    size, offset = disk.size(path), len(MAGIC)
    if disk.read(path, 0, len(MAGIC)) != MAGIC:
        raise Corrupt(file=str(path), offset=0, reason="not a checkpoint")
    kind = 0
    while offset < size:
        header = disk.read(path, offset, _HEADER.size)
        if len(header) < _HEADER.size:
            raise Corrupt(file=str(path), offset=offset, reason="the section's header is cut off")
        length, checksum, kind = _HEADER.unpack(header)
        payload = disk.read(path, offset + _HEADER.size, length) if offset + length <= size else b""
        if len(payload) < length:
            raise Corrupt(file=str(path), offset=offset, reason="the section is cut off")
        if zlib.crc32(payload, kind) != checksum:
            raise Corrupt(file=str(path), offset=offset, reason="checksum does not match")
        yield offset, kind, payload
        offset += _HEADER.size + length
    if kind != _Section.END:
        raise Corrupt(file=str(path), offset=offset, reason="the end is missing")


def _read_manifest(path: Path, sections: Iterator[tuple[int, int, bytes]]) -> Manifest:
    offset, kind, payload = next(sections, (len(MAGIC), 0, b""))
    try:
        if kind != _Section.MANIFEST:
            raise Corrupt(file=str(path), offset=offset, reason="the manifest is missing")
        version = msgspec.msgpack.decode(payload, type=_Versioned).version
        if version > VERSION:
            raise Broken(f"{path} has format {version}; this program reads up to {VERSION}")
        return msgspec.msgpack.decode(payload, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(file=str(path), offset=offset, reason=f"the manifest does not fit: {error}") from None


def _check_manifest(manifest: Manifest) -> None:
    """`ValueError` or `LookupError` if no rows can lie as the manifest says."""
    for table in _saved_tables(manifest):
        region = manifest.regions[table]
        if not (0 <= region[LIVE] <= region[USED] and 0 <= region[FREE] <= region[USED] and region[WORDS] >= 1):
            raise ValueError(f"{_plural(table)} cannot lie so")
        if table >= STEPS and region[WORDS] != STEP_WORDS:
            raise ValueError(f"steps are not of {region[WORDS]} words")
    for column in manifest.columns:
        words = manifest.regions[TABLE_OF[Scope(column.scope)]][WORDS]
        if not 0 <= column.offset < column.offset + column.words <= words:
            raise ValueError(f"{column.name} cannot lie so")
    bytes.fromhex(manifest.epoch_hash)


def _refuse_if_too_large(path: Path, manifest: Manifest, state: State) -> None:
    regions = state.tables.memory.regions
    for table in _saved_tables(manifest):
        now = _table_now(manifest, state, table)
        if now is None:
            continue
        used, rows_max = manifest.regions[table][USED], int(regions[now, ROWS_MAX])
        if table == COLD and used and state.cold is None:
            raise Broken(f"{path} holds {used} people on disk, and it was not said where")
        if used > rows_max:
            raise Broken(f"{path} holds {used} {_plural(table)}, there is room for {rows_max}: raise state.memory_mb")


def _wide(manifest: Manifest, state: State) -> State | None:
    """A state with room for everybody in memory, if `state` has less and a place for them on disk."""
    regions, used = state.tables.memory.regions, {table: manifest.regions[table][USED] for table in _PEOPLE}
    if state.cold is None or all(used[table] <= regions[table, ROWS_MAX] for table in _PEOPLE):
        return None
    room = state.schema.capacity
    cells = max(used[CELLS], -(-used[SESSIONS] // 2), -(-used[CHUNKS] // 4))
    if cells > room.cells + room.cold:
        return None
    capacity = msgspec.structs.replace(room, cells=cells)
    return State(msgspec.structs.replace(state.schema, capacity=capacity), state.cold.place, state.references)


def _saved_tables(manifest: Manifest) -> tuple[int, ...]:
    """Format 1 knows nobody on disk."""
    tables = _SAVED_TABLES if manifest.version > 1 else tuple(table for table in _SAVED_TABLES if table != COLD)
    return (*tables, *range(STEPS, STEPS + len(manifest.rings)))


def _plural(table: int) -> str:
    return _PLURALS[min(table, STEPS)]


def _table_now(manifest: Manifest, state: State, table: int) -> int | None:
    """The table of the state that takes the rows of this one; None for a ring whose feature is no longer declared."""
    if table < STEPS:
        return table
    rings, ring = _rings_of(state.schema.layout), manifest.rings[table - STEPS]
    return STEPS + rings.index(ring) if ring in rings else None


def reference_key_of(control: Mapping[str, Sequence[Any]]) -> bytes:
    """The key of references among control rows, b"" for none; raises `msgspec.ValidationError` for one that is none."""
    return next(iter(msgspec.convert(control.get(REFERENCE_KEY, []), list[_Key])), b"")


class _Loading:
    """A fresh state on its way to what the manifest says."""

    def __init__(self, state: State, manifest: Manifest) -> None:
        self.control: dict[str, list[Any]] = {}
        self._state = state
        self._manifest = manifest
        self._copies = _copies(manifest, state)
        self._catalogue: list[bytes] = []
        self._spilled: list[Ints] = []
        """Rows as they were, kept to the end: the slice they lie in may come later and hold them as they became."""

    def take(self, kind: int, payload: bytes) -> None:
        """Put one section where it belongs."""
        if kind == _Section.ROWS:
            table, first = struct.unpack_from("<II", payload)
            rows = np.frombuffer(payload, np.int64, offset=8).reshape(-1, self._manifest.regions[table][WORDS])
            self._put(table, first, rows)
        elif kind == _Section.SPILLED:
            self._spilled.append(np.frombuffer(payload, np.int64))
        elif kind == _Section.CONTROL:
            packed = msgspec.msgpack.decode(payload, type=_PackedRows)
            if packed.name == _CATALOGUE:
                self._catalogue += map(bytes, packed.rows)
            else:
                part = msgspec.msgpack.decode(payload, type=_ControlRows)
                self.control.setdefault(part.name, []).extend(part.rows)
        elif kind != _Section.END:
            raise ValueError(f"there is no section of kind {kind}")

    def finish(self) -> None:
        """What follows from the rows: indexes, catalogue columns, the published epoch."""
        for spilled in self._spilled:
            self._put_spilled(spilled)
        state, manifest = self._state, self._manifest
        state.epoch, state.epoch_hash, state.epoch_ms = manifest.epoch, manifest.epoch_hash, manifest.epoch_ms
        state.sweep_from = manifest.sweep_from
        state.tables.idle[0] = manifest.idle_ms
        state.configured, state.cleared = manifest.configured, dict(manifest.cleared)
        state.check_rings()
        state.put_in_force(manifest.settings)
        state.active = frozenset(manifest.active)
        state.since_ms = {(name, version): at_ms for name, version, at_ms in manifest.since_ms}
        activate(state.program, state.schema.layout, state.active, state.since_ms)
        state.rebuild_indexes()
        state.rebuild_cold(manifest.cold_files)
        if key := reference_key_of(self.control):
            state.references.use(key)  # Before the catalogue: its columns hold references of texts.
        for item in self._catalogue:
            state.catalogue.restore(item)
        state.publish_all()

    def _put(self, table: int, first: int, rows: Ints) -> None:
        now = _table_now(self._manifest, self._state, table)
        if now is None:
            return
        regions = self._state.tables.memory.regions
        regions[now, [USED, FREE, LIVE]] = [self._manifest.regions[table][word] for word in (USED, FREE, LIVE)]
        target = rows_of(self._state.tables.memory, now)[first : first + len(rows)]
        for then, to, words in self._copies[table]:
            target[:, to : to + words] = rows[:, then : then + words]

    def _put_spilled(self, spilled: Ints) -> None:
        for table, row, words in _spilled_rows(spilled, self._manifest):
            self._put(table, row, words.reshape(1, -1))


def _spilled_rows(spilled: Ints, manifest: Manifest) -> Iterator[tuple[int, int, Ints]]:
    """Table, row and words, one after another."""
    at = 0
    while at < len(spilled):
        table, row = int(spilled[at]), int(spilled[at + 1])
        if not (table in _saved_tables(manifest) and 0 <= row < manifest.regions[table][USED]):
            raise ValueError(f"there is no row {row} in table {table}")
        words = manifest.regions[table][WORDS]
        yield table, row, spilled[at + 2 : at + 2 + words]
        at += 2 + words


def _copies(manifest: Manifest, state: State) -> Copies:
    """By table: what is still declared alike."""
    words = {table: manifest.regions[table][WORDS] for table in _saved_tables(manifest)}
    return copies(manifest.columns, words, state.schema.layout)


def read_control(disk: Disk, path: Path) -> dict[str, list[Any]]:
    """The control rows of a checkpoint by name, without its state; `Corrupt` names what is damaged."""
    sections = _sections(disk, path)
    _read_manifest(path, sections)
    control: dict[str, list[Any]] = {}
    for offset, kind, payload in sections:
        if kind == _Section.CONTROL:
            with _fitting(path, offset):
                part = msgspec.msgpack.decode(payload, type=_ControlRows)
            control.setdefault(part.name, []).extend(part.rows)
    return control


def read_manifest(disk: Disk, path: Path) -> Manifest:
    """What a checkpoint is of, at the cost of reading its first section; `Corrupt` if that is damaged."""
    return _read_manifest(path, _sections(disk, path))


def check_checkpoint(disk: Disk, path: Path) -> Manifest:
    """Read a checkpoint whole and check every section; `Corrupt` names what is damaged."""
    sections = _sections(disk, path)
    manifest = _read_manifest(path, sections)
    for _ in sections:
        pass
    return manifest


def people_on_disk(disk: Disk, path: Path) -> Ints:
    """Who lies in cold files by a checkpoint, [n, 2] of key and place; checks it whole, as `check_checkpoint`."""
    sections = _sections(disk, path)
    manifest = _read_manifest(path, sections)
    with _fitting(path, len(MAGIC)):
        _check_manifest(manifest)
        used = manifest.regions[COLD][USED] if COLD in _saved_tables(manifest) else 0
        if 8 * COLD_WORDS * used > disk.size(path):
            raise ValueError(f"{used} people on disk do not fit into the file")
    people, spills = np.zeros((used, COLD_WORDS), np.int64), list[Ints]()
    for offset, kind, payload in sections:
        with _fitting(path, offset):
            if kind == _Section.ROWS:
                table, first = struct.unpack_from("<II", payload)
                if table == COLD:
                    rows = np.frombuffer(payload, np.int64, offset=8).reshape(-1, COLD_WORDS)
                    people[first : first + len(rows)] = rows
            elif kind == _Section.SPILLED:
                spills.append(np.frombuffer(payload, np.int64))
    with _fitting(path, len(MAGIC)):
        for table, row, words in (one for spilled in spills for one in _spilled_rows(spilled, manifest)):
            if table == COLD:
                people[row] = words
    named: Ints = people[people[:, COLD_KEY] != 0][:, [COLD_KEY, COLD_PLACE]]
    return named


def cold_files_kept(disk: Disk, directory: Path) -> set[int]:
    """The cold files that the checkpoints in a directory name; `Corrupt` if one does not say."""
    needed: set[int] = set()
    for position in list_checkpoints(disk, directory):
        needed |= read_manifest(disk, checkpoint_path(directory, position)).cold_files.keys()
    return needed


def rewrite_checkpoint(
    disk: Disk, path: Path, directory: Path, *, position: int, control: Callable[[str, list[Any]], list[Any]]
) -> Path:
    """Write a checkpoint again to another directory: the state in it as it is, as of another position, with the
    control rows that `control` makes of those of each name. Raises `Corrupt` for a damaged one, and leaves none."""
    writer = CheckpointWriter(disk, directory, position)
    whole = False
    try:
        writer.write(MAGIC)
        for _, kind, payload in _sections(disk, path):
            if kind == _Section.MANIFEST:
                payload = msgspec.msgpack.encode({**msgspec.msgpack.decode(payload), "position": position})
            elif kind == _Section.CONTROL:
                part = msgspec.msgpack.decode(payload, type=_ControlRows)
                payload = msgspec.msgpack.encode(_ControlRows(part.name, control(part.name, part.rows)))
            writer.write(_section(_Section(kind), payload))
        whole = True
    finally:
        if not whole:
            writer.give_up()
    return writer.finish()
