"""The files in which people who have been idle for long lie: append-only, each record with its own checksum.

    cold/00000001.cold   magic, length u32, CRC-32 u32, preamble (MessagePack), then records, each at a multiple of 128

A record is a header [CRC-32 u32, mark u32, words u32, era u32, key i64, 0 i64] and a person's words: the cell, its
sessions, its chunks of message ids, with counts where the cell has row numbers. So it does not depend on where
anything lay. The preamble says under which layout the file was written; features go by name and version.

Nothing is ever changed but by erasure: `scrub` overwrites a record with a mark and zeros. The mark goes first and in
one piece, so a reader finds the person or the mark, never half of either.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ..foundation.disk import Disk, WritableFile
from ..foundation.errors import Broken, Corrupt
from ..foundation.limits import COLD_FILE_BYTES, COLD_RECORD_BYTES_MAX
from .columns import Column, Copies, columns_in, copies
from .compiled import Ints
from .layout import CELL_CHUNK, CELL_PREVIOUS, CELL_SESSION, CHUNK_WORDS, Layout
from .table import CELLS, SESSIONS

MAGIC = b"INSTCOLD"
VERSION = 1
ALIGNED_BYTES = 128
READ_BYTES = 4_096
"""Read at once of a record whose size is not known yet: most are smaller."""
SCAN_BYTES = 256 * 1024
"""Read in one step of scrubbing."""
SCRUBBED_PER_STEP = 4
_START = struct.Struct("<8sII")
_HEADER = struct.Struct("<IIIIqq")
_SUFFIX = ".cold"


Read = Callable[[Path, int, int], bytes]
"""`Disk.read` or `Disk.read_now`."""


class Mark(IntEnum):
    """What a record is."""

    THERE = 0
    ERASING = 1
    """Its words may still be there."""
    ERASED = 2


_MARKS = frozenset(map(int, Mark))


class _Preamble(msgspec.Struct, frozen=True):
    version: int
    cell_words: int
    session_words: int
    chunk_words: int
    columns: list[Column]


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Format(NamedTuple):
    """How the records of a file are read."""

    path: Path
    preamble: _Preamble
    copies: Copies | None
    """None: they are of our layout."""


class Stored(NamedTuple):
    """A person as a record holds them, in our layout: cell, session, session before, chunks, one after another."""

    era: int
    words: Ints


class Parts(NamedTuple):
    """A stored person's rows."""

    cell: Ints
    sessions: Ints
    """[0 to 2, words]: the session, then the one before; see the counts in `cell`."""
    chunks: Ints


def parts_of(words: Ints, layout: Layout) -> Parts:
    """Cut a person's words into rows, without a copy."""
    sessions = int(words[CELL_SESSION] + words[CELL_PREVIOUS])
    end = layout.cell_words + sessions * layout.session_words
    held = words[layout.cell_words : end].reshape(sessions, layout.session_words)
    return Parts(words[: layout.cell_words], held, words[end:].reshape(-1, CHUNK_WORDS))


class Header(NamedTuple):
    """A record's header."""

    checksum: int
    mark: int
    words: int
    era: int
    key: int
    zero: int

    @property
    def size_bytes(self) -> int:
        """Of the whole record."""
        return _aligned(_HEADER.size + 8 * self.words)


class Appended(NamedTuple):
    """Records that have places at the end of a file, and are to be written there."""

    number: int
    """Of the file."""
    content: bytes
    places: list[int]


class _Growing:
    """A file that records are appended to."""

    def __init__(self, number: int, start: bytes) -> None:
        self.number = number
        self.start = start
        """What is written before the first record; empty once it was."""
        self.end = len(start)
        """The byte behind all records that have a place."""
        self.file: WritableFile | None = None
        """None before something is written, and once no more will be."""

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
        self.file = None


class ColdPlace(msgspec.Struct, frozen=True):
    """Where cold files are written; those in `inherited` are only read, for whoever looks into another's directory."""

    disk: Disk
    directory: Path
    inherited: Path | None = None


def place_of(number: int, offset: int) -> int:
    """One word for a file's number and a byte in it."""
    return number << 32 | offset // ALIGNED_BYTES


def file_of(place: int) -> int:
    return place >> 32


def offset_of(place: int) -> int:
    return (place & 0xFFFFFFFF) * ALIGNED_BYTES


def cold_path(directory: Path, number: int) -> Path:
    return directory / f"{number:08d}{_SUFFIX}"


def list_cold_files(disk: Disk, directory: Path) -> list[int]:
    """Numbers of the cold files in a directory, in order."""
    names = (name.removesuffix(_SUFFIX) for name in disk.list(directory) if name.endswith(_SUFFIX))
    return sorted(int(name) for name in names if name.isdigit())


class ColdFiles:
    """The cold files of one state. Counts which records are still of use; knows nobody by key.

    Driven by the thread that folds, but for `write`, `sync`, `retain`, `scrub` and `read`, which may run in another:
    `read` in any, of the others no two of a kind at once.
    """

    def __init__(self, place: ColdPlace, layout: Layout) -> None:
        self._disk = place.disk
        self._directory = place.directory
        self._inherited = place.inherited
        self._layout = layout
        self._preamble = _Preamble(VERSION, layout.cell_words, layout.session_words, CHUNK_WORDS, columns_in(layout))
        self._formats: dict[int, _Format] = {}
        self._current: _Growing | None = None
        self._written: dict[int, _Growing] = {}
        """By number: files of which somebody may be writing the end."""
        self._syncing = 0
        """The file that is being made durable, 0 for none."""
        self._last = 0
        self._own: set[int] = set()
        self._unsynced: set[int] = set()
        self._distrusted: set[int] = set()
        """Files of which a sync failed: nobody knows what is on disk, so everybody moves out of them."""
        self.records: Counter[int] = Counter()
        """By file: records ever appended."""
        self.live: Counter[int] = Counter()
        """By file: records that are somebody."""

    # Writing.

    @property
    def number(self) -> int:
        """The file that is appended to, 0 if there is none."""
        return 0 if self._current is None else self._current.number

    @property
    def writing(self) -> bool:
        """Whether places were given that are not settled yet."""
        return bool(self._written)

    def append(self, people: Sequence[tuple[int, bytes]], era: int, *, patient: bool = False) -> Appended:
        """Give (key, words) each a place. Nobody is there before `write` has returned; tell `settle` about that.

        Who is `patient` may have to wait for a sync of the file in `write`; others get the next file then.
        """
        growing = self._growing(patient=patient)
        parts: list[bytes] = []
        places: list[int] = []
        at = growing.end
        for key, payload in people:
            places.append(place_of(growing.number, at))
            body = _HEADER.pack(0, Mark.THERE, len(payload) // 8, era, key, 0)[4:] + payload
            padding = -(len(body) + 4) % ALIGNED_BYTES
            parts += (zlib.crc32(body).to_bytes(4, "little"), body, bytes(padding))
            at += 4 + len(body) + padding
        growing.end = at
        self._written[growing.number] = growing
        return Appended(growing.number, b"".join(parts), places)

    def write(self, appended: Appended) -> None:
        """Write records to their places, in whatever thread. Raises `OSError`. Not durable yet."""
        growing = self._written[appended.number]
        if growing.file is None:
            self._disk.make_directory(self._directory)
            growing.file = self._disk.open(cold_path(self._directory, growing.number))
        _write_all(growing.file, growing.start)
        growing.start = b""
        _write_all(growing.file, appended.content)

    def settle(self, appended: Appended, *, written: bool) -> None:
        """Records are where `append` said; or nowhere: then nobody knows what is behind the others, and nothing more
        goes into that file."""
        growing = self._written[appended.number]
        if written:
            self._unsynced.add(growing.number)
            self.records[growing.number] += len(appended.places)
            self.live[growing.number] += len(appended.places)
        del self._written[growing.number]  # Not before: nobody removes a file that is being written.
        if not written or growing.end >= COLD_FILE_BYTES:
            self._retire(growing)
        if growing is not self._current:
            growing.close()

    def drop(self, place: int) -> None:
        """The record is nobody any more."""
        self.live[file_of(place)] -= 1

    def _growing(self, *, patient: bool) -> _Growing:
        """The file that is appended to, or the next one where somebody else is at that one's end."""
        current = self._current
        if current is not None and current.number not in self._written and (patient or current.number != self._syncing):
            return current
        self._close()
        number = self._last = self._following()
        self._own.add(number)
        self._formats[number] = _Format(cold_path(self._directory, number), self._preamble, None)
        content = msgspec.msgpack.encode(self._preamble)
        start = _START.pack(MAGIC, len(content), zlib.crc32(content)) + content
        self._current = _Growing(number, start + bytes(-len(start) % ALIGNED_BYTES))
        return self._current

    def _following(self) -> int:
        """The number of the next file, above all there are."""
        there = () if self._last else (*self._numbers(self._directory), *self._numbers(self._inherited))
        return 1 + max((self._last, *there))

    def _numbers(self, directory: Path | None) -> list[int]:
        return [] if directory is None else list_cold_files(self._disk, directory)

    def _close(self) -> None:
        """Append nothing more to the present file."""
        if self._current is not None:
            self._retire(self._current)

    def _retire(self, growing: _Growing) -> None:
        """Append nothing more to a file; whoever is writing its end still does."""
        if growing.number not in self._written:
            growing.close()
        if growing is self._current:
            self._current = None

    # Reading.

    def read(self, place: int, key: int) -> Stored | None:
        """The person at a place, None if they were erased; `Corrupt` names what does not fit."""
        return self._read(self._disk.read, place, key)

    def read_now(self, place: int, key: int) -> Stored | None:
        """As `read`, or `BlockingIOError`: the disk would have to be waited for."""
        return self._read(self._disk.read_now, place, key)

    def _read(self, read: Read, place: int, key: int) -> Stored | None:
        format_ = self._format(file_of(place))
        found = _read_record(read, format_.path, offset_of(place), key, format_.preamble)
        if found is None or format_.copies is None:
            return found
        return Stored(found.era, self._converted(found.words, format_))

    def _converted(self, words: Ints, format_: _Format) -> Ints:
        """A record's words in our layout."""
        then, layout = format_.preamble, self._layout
        sessions = int(words[CELL_SESSION] + words[CELL_PREVIOUS])
        chunks = words[then.cell_words + sessions * then.session_words :]
        cell = np.zeros((1, layout.cell_words), np.int64)
        held = np.zeros((sessions, layout.session_words), np.int64)
        assert format_.copies is not None
        for table, source, target in (
            (CELLS, words[: then.cell_words].reshape(1, -1), cell),
            (SESSIONS, words[then.cell_words : len(words) - len(chunks)].reshape(sessions, then.session_words), held),
        ):
            for at, now, count in format_.copies[table]:
                target[:, now : now + count] = source[:, at : at + count]
        return np.concatenate([cell.ravel(), held.ravel(), chunks])

    def _path(self, number: int) -> Path:
        if self._inherited is not None and number not in self._own:
            return cold_path(self._inherited, number)
        return cold_path(self._directory, number)

    def _format(self, number: int) -> _Format:
        known = self._formats.get(number)
        if known is None:
            preamble = read_preamble(self._disk, self._path(number))
            alike = preamble == self._preamble
            then = {CELLS: preamble.cell_words, SESSIONS: preamble.session_words}
            found = None if alike else copies(preamble.columns, then, self._layout)
            known = _Format(self._path(number), preamble, found)
            self._formats[number] = known
        return known

    # What a checkpoint needs.

    def adopt(self, records: dict[int, int], places: Ints) -> None:
        """Take over the files of a checkpoint, and count who lies where. `Corrupt` if a file is missing or cut."""
        numbers, first = np.unique(places >> 32, return_index=True)
        order = np.sort(places)
        self.records, self.live = Counter(records), Counter()
        for number in map(int, numbers):
            here = order[np.searchsorted(order, number << 32) : np.searchsorted(order, (number + 1) << 32)]
            self.live[number] = len(here)
            path, last = self._path(number), offset_of(int(here[-1]))
            self._format(number)
            if self._disk.size(path) < last + ALIGNED_BYTES:
                raise Corrupt(file=str(path), offset=last, reason="the file is cut off")
            _header(path, last, self._disk.read(path, last, _HEADER.size))
        assert len(first) == len(numbers)

    def needed(self) -> dict[int, int]:
        """The files that hold somebody, with the number of their records."""
        return {number: self.records[number] for number, count in self.live.items() if count > 0}

    def sync(self, needed: Container[int]) -> None:
        """Make durable what these files hold. A failure moves everybody out of the file, to be tried again."""
        for number in sorted(self._unsynced):
            if number in needed:
                if number in self._distrusted:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(self._path(number)))
                self._sync(number)
        self._disk.sync_directory(self._directory)

    def _sync(self, number: int) -> None:
        file = self._disk.open(self._path(number))
        # Before, not behind: what is appended meanwhile has to be synced with the next one.
        self._unsynced.discard(number)
        self._syncing = number
        whole = False
        try:
            file.sync()
            whole = True
        finally:
            file.close()
            self._syncing = 0
            if not whole:
                self._distrusted.add(number)
                self._unsynced.add(number)

    def retain(self, needed: set[int]) -> list[int]:
        """Remove our files that hold nobody and that no kept checkpoint needs; which."""
        removed = []
        for number in self._numbers(self._directory):
            taken = number == self.number or number in self._written
            if number not in needed and not taken and self.live[number] <= 0:
                self._disk.unlink(cold_path(self._directory, number))
                self._own.discard(number)
                self._unsynced.discard(number)
                self._distrusted.discard(number)
                removed.append(number)
        if removed:
            self._disk.sync_directory(self._directory)
        return removed

    def sparse(self) -> int:
        """A file that everybody should move out of: mostly of nobody, or not to be trusted. 0 if there is none."""
        if self.number in self._distrusted:
            self._close()
        for number, live in self.live.items():
            few = 2 * live < self.records[number]
            taken = number == self.number or number in self._written
            if live > 0 and not taken and (few or number in self._distrusted):
                return number
        return 0

    # Erasure.

    def end(self) -> tuple[int, int]:
        """Behind everything appended so far: (file, byte)."""
        current = self._current
        return (self._following(), 0) if current is None else (current.number, current.end)

    def numbers(self) -> list[int]:
        """All our files, also those that hold nobody any more."""
        return self._numbers(self._directory)

    def scrub(
        self, number: int, offset: int, condemned: Mapping[int, tuple[int, int]], end: tuple[int, int]
    ) -> int:
        """One step through a file, from `offset` (0: its beginning): overwrite the records of these people that lie
        before where each says. Where the next step begins, -1 behind the end of the file, or once it has been removed.
        `end` says where everything ends, see there: what lies behind is being written."""
        path = cold_path(self._directory, number)
        try:
            if offset == 0:
                offset = _first_record(self._disk, path)
            raw, at, scrubbed = self._disk.read(path, offset, SCAN_BYTES), 0, 0
        except FileNotFoundError:
            return -1
        while at + _HEADER.size <= len(raw):
            if (number, offset + at) >= end:
                return -1
            header = Header(*_HEADER.unpack_from(raw, at))
            if header.mark not in _MARKS or header.zero or header.size_bytes > COLD_RECORD_BYTES_MAX:
                # The end of a write that was given up, or of a process that was killed.
                return -1
            before = condemned.get(header.key) if header.mark == Mark.THERE else None
            if header.mark == Mark.ERASING or (before is not None and (number, offset + at) < before):
                self._overwrite(path, offset + at, header)
                scrubbed += 1
            at += header.size_bytes
            if scrubbed == SCRUBBED_PER_STEP:
                break
        return offset + at if at and self._disk.size(path) > offset + at else -1

    def _overwrite(self, path: Path, offset: int, header: Header) -> None:
        self._disk.overwrite(path, offset, _tombstone(Mark.ERASING, header.words))
        rest = min(header.size_bytes, self._disk.size(path) - offset) - ALIGNED_BYTES
        if rest > 0:
            self._disk.overwrite(path, offset + ALIGNED_BYTES, bytes(rest))
        self._disk.overwrite(path, offset, _tombstone(Mark.ERASED, header.words))


def _write_all(file: WritableFile, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def check_people(disk: Disk, directory: Path, people: Ints) -> Iterator[Corrupt]:
    """Read whoever lies on disk, [n, 2] of key and place; what is damaged, a file that cannot be read at all once."""
    people = people[np.argsort(people[:, 1])]
    for number in np.unique(people[:, 1] >> 32).tolist():
        path = cold_path(directory, number)
        here = people[people[:, 1] >> 32 == number]
        try:
            preamble = read_preamble(disk, path)
        except Corrupt as error:
            yield error
            continue
        for key, place in here.tolist():
            try:
                _read_record(disk.read, path, offset_of(place), key, preamble)
            except Corrupt as error:
                yield error


def _read_record(read: Read, path: Path, offset: int, key: int, preamble: _Preamble) -> Stored | None:
    """The person in a record, in the layout of its file; None if they were erased."""
    try:
        raw = read(path, offset, READ_BYTES)
        header = _header(path, offset, raw)
        if header.size_bytes > len(raw):
            raw = read(path, offset, header.size_bytes)
    except BlockingIOError:
        raise
    except OSError as error:
        raise Corrupt(file=str(path), offset=offset, reason=f"cannot be read: {error}") from None
    if header.mark != Mark.THERE:
        return None
    body = raw[: _HEADER.size + 8 * header.words]
    if len(body) < _HEADER.size + 8 * header.words or zlib.crc32(body[4:]) != header.checksum:
        raise Corrupt(file=str(path), offset=offset, reason="checksum does not match")
    if header.key != key:
        raise Corrupt(file=str(path), offset=offset, reason="it is another person's record")
    words = np.frombuffer(body, np.int64, offset=_HEADER.size)
    if len(words) != _expected_words(words, preamble):
        raise Corrupt(file=str(path), offset=offset, reason="the record does not fit the layout of its file")
    return Stored(header.era, words)


def read_preamble(disk: Disk, path: Path) -> _Preamble:
    """Under which layout a file was written; `Corrupt` if it does not say."""
    try:
        magic, length, checksum = _START.unpack(disk.read(path, 0, _START.size))
        content = disk.read(path, _START.size, length)
    except (struct.error, OSError) as error:
        raise Corrupt(file=str(path), offset=0, reason=f"cannot be read: {error}") from None
    if magic != MAGIC or len(content) < length or zlib.crc32(content) != checksum:
        raise Corrupt(file=str(path), offset=0, reason="not a file of people")
    try:
        version = msgspec.msgpack.decode(content, type=_Versioned).version
        if version > VERSION:
            raise Broken(f"{path} has format {version}; this program reads up to {VERSION}")
        return msgspec.msgpack.decode(content, type=_Preamble)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(file=str(path), offset=0, reason=f"the preamble does not fit: {error}") from None


def _first_record(disk: Disk, path: Path) -> int:
    start = disk.read(path, 0, _START.size)
    return _aligned(_START.size + _START.unpack(start)[1]) if len(start) == _START.size else 0


def _header(path: Path, offset: int, raw: bytes) -> Header:
    if len(raw) < _HEADER.size:
        raise Corrupt(file=str(path), offset=offset, reason="the record is cut off")
    header = Header(*_HEADER.unpack_from(raw))
    if header.mark not in _MARKS:
        raise Corrupt(file=str(path), offset=offset, reason="there is no record here")
    if header.size_bytes > COLD_RECORD_BYTES_MAX:
        raise Corrupt(file=str(path), offset=offset, reason="checksum does not match")
    if header.mark != Mark.THERE and raw[: _HEADER.size] != _tombstone(Mark(header.mark), header.words)[: _HEADER.size]:
        raise Corrupt(file=str(path), offset=offset, reason="checksum does not match")
    return header


def _tombstone(mark: Mark, words: int) -> bytes:
    body = _HEADER.pack(0, mark, words, 0, 0, 0)[4:]
    return (zlib.crc32(body).to_bytes(4, "little") + body).ljust(ALIGNED_BYTES, b"\0")


def _expected_words(words: Ints, preamble: _Preamble) -> int:
    if len(words) < preamble.cell_words:
        return -1
    sessions, chunks = int(words[CELL_SESSION] + words[CELL_PREVIOUS]), int(words[CELL_CHUNK])
    return preamble.cell_words + sessions * preamble.session_words + chunks * preamble.chunk_words


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNED_BYTES) * ALIGNED_BYTES
