"""Keys on disk: a file of slots, each with one key wrapped by the master key. A key is destroyed in its place.

A slot is 128 bytes, so that it never lies across two sectors and is written, or overwritten with zeros, all or not
at all: [mark u64, name 16 bytes, number i64, wrapped key 60 bytes, 28 unused, CRC-32 of all before u64]. The first
slot holds the version and shows whether the master key is the right one. A slot of zeros held a key once, or was
never written because the power went; no key is put there again.

A wrapped key is bound to its name and number, so that keys cannot be exchanged between slots.

What a crash left unfinished at the end never was a whole slot of ours, and is cut. A slot that bears the marks of one
and whose checksum is wrong was whole once: that is damage, and is named.
"""

from __future__ import annotations

import errno
import hashlib
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..foundation.disk import Disk, WritableFile
from ..foundation.errors import Broken, ConfigRejected, Corrupt, DiskFull, LogClosed
from ..foundation.rng import entropy
from ..state.compiled import Ints

VERSION: Final = 1
SLOT_BYTES: Final = 128
KEY_BYTES: Final = 32
NAME_BYTES: Final = 16
Bools = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

_NONCE_BYTES: Final = 12
_SLOT: Final = struct.Struct("<8s16sq60s28x")
_SUM: Final = struct.Struct("<Q")
_HEAD: Final = b"INSTVALT"
_KEY: Final = b"INSTSLOT"
_FREE: Final = bytes(SLOT_BYTES)
_UNUSED: Final = slice(92, 120)
_MARK_WORD, _NAME_WORD, _NUMBER_WORD, _SUM_WORD = 0, 1, 3, 15
_KEY_WORD: Final = int.from_bytes(_KEY, "little")
_SPREAD: Final = np.int64(-7046029254386353131)
"""Odd, so that no name loses anything by it."""
_MARK_BYTES: Final = 8
_NO_KEY: Final = "not a slot of a key"
_READ_SLOTS: Final = 8_192
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Entries(NamedTuple):
    """Slots in use, in three columns."""

    slots: Ints
    names: Ints
    """The first eight bytes of each name, little endian."""
    numbers: Ints


class Scanned(NamedTuple):
    """Slots of a file, one after another."""

    first: int
    words: Ints
    used: Bools
    """Which are not zeros."""
    sound: Bools
    """Which are not torn."""


def scan(disk: Disk, path: Path) -> Iterator[Scanned]:
    """The whole slots of a file, many at a time; `Corrupt` where one is damaged, is none of a key, or is there twice.

    Needs no master key: that it opens them is all that an opening finds out beside this.
    """
    count = disk.size(path) // SLOT_BYTES
    end, torn = 0, -1
    told_by: list[Ints] = []
    for first in range(0, count, _READ_SLOTS):
        chunk = disk.read(path, first * SLOT_BYTES, min(_READ_SLOTS, count - first) * SLOT_BYTES)
        words = np.frombuffer(chunk, "<i8").reshape(-1, SLOT_BYTES // 8)
        used: Bools = np.asarray(words.any(axis=1))
        if first == 0 and not used[0] and len(used) == 1:
            return  # The power went when the file was begun.
        if first == 0:
            _check_first(words[0].tobytes(), path)
        broken = used & (words[:, _SUM_WORD] != _sums_of(chunk))
        if torn < 0 and broken.any():
            torn = first + int(broken.argmax())
        sound = np.flatnonzero(~broken)
        end = first + int(sound[-1]) + 1 if len(sound) else end
        ours = any(_is_ours(words[row].tobytes()) for row in np.flatnonzero(broken))
        if torn >= 0 and (torn < end or ours):
            raise Corrupt(file=str(path), offset=torn * SLOT_BYTES, reason="checksum does not match")
        keys = used & ~broken
        keys[: 1 - min(first, 1)] = False  # The first slot of a file holds no key.
        if (strange := keys & (words[:, _MARK_WORD] != _KEY_WORD)).any():
            raise Corrupt(file=str(path), offset=(first + int(strange.argmax())) * SLOT_BYTES, reason=_NO_KEY)
        told_by.append(words[keys, _NAME_WORD] * _SPREAD ^ words[keys, _NUMBER_WORD])
        yield Scanned(first, words, used, ~broken)
    if _has_twice(told_by):
        raise Corrupt(file=str(path), offset=0, reason="a key lies in it twice: a part of the file was put in again")


def mark_of(disk: Disk, path: Path) -> str:
    """What a file of slots is known by: a hash of its first one, which is never written again. "" where there is none
    yet, `Corrupt` where it is damaged."""
    first = disk.read(path, 0, SLOT_BYTES)
    if len(first) < SLOT_BYTES or (first == _FREE and disk.size(path) < 2 * SLOT_BYTES):
        return ""
    _check_first(first, path)
    return hashlib.blake2b(first, digest_size=_MARK_BYTES).hexdigest()


def slots_behind(disk: Disk, path: Path, first: int) -> tuple[Entries, int]:
    """The keys in the slots from `first` on, without what is wrapped in them, and how many slots the file has by now.

    For whoever reads beside the one writer: it ends before a slot that is not whole yet. At most `_READ_SLOTS` at once.
    """
    count = min(disk.size(path) // SLOT_BYTES - first, _READ_SLOTS)
    chunk = disk.read(path, first * SLOT_BYTES, count * SLOT_BYTES) if count > 0 else b""
    words = np.frombuffer(chunk[: len(chunk) // SLOT_BYTES * SLOT_BYTES], "<i8").reshape(-1, SLOT_BYTES // 8)
    used = np.asarray(words.any(axis=1))
    broken = np.flatnonzero(used & (words[:, _SUM_WORD] != _sums_of(chunk[: len(words) * SLOT_BYTES])))
    whole = int(broken[0]) if len(broken) else len(words)
    rows = np.flatnonzero(used[:whole])
    rows = rows[rows + first > 0]  # The first slot of a file holds no key.
    taken = words[rows]
    return Entries(rows + first, taken[:, _NAME_WORD].copy(), taken[:, _NUMBER_WORD].copy()), first + whole


class MasterKey:
    """Wraps keys for storage (AES-256-GCM, a fresh nonce each)."""

    def __init__(self, key: bytes, source: Callable[[int], bytes] = entropy) -> None:
        assert len(key) == KEY_BYTES, "a master key has 32 bytes"
        self._cipher = AESGCM(key)
        self._source = source

    def wrap(self, key: bytes, about: bytes) -> bytes:
        """60 bytes that only this master key opens, and only as `about`."""
        nonce = self._source(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, about)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """The key; raises `InvalidTag`."""
        return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], about)


class Vault:
    """One file of slots. `add` and `key` are the loop's; `flush` and `destroy` may run in other threads."""

    def __init__(self, disk: Disk, path: Path, master: MasterKey, *, read_only: bool = False) -> None:
        """Open the file or make it. `ConfigRejected` for another master key, `Corrupt` for damaged slots.

        With `read_only` nothing is made or mended, so that it can be read beside its one writer.
        """
        self._disk = disk
        self._path = path
        self._master = master
        self._guard = threading.Lock()
        self._pending: dict[int, bytes] = {}
        """Slots not on disk yet, in order."""
        self._ended = ""
        self.entries: list[Entries] = []
        """What was there when the file was opened; for the owner to index and clear."""
        existed = path.name in disk.list(path.parent)
        if read_only and not existed:
            raise Broken(f"there are no keys in {path.parent}")
        self._slots = 0
        self._file: WritableFile | None = None
        if read_only:
            self._slots = self._load()
            return
        self._file = disk.open(path)
        opened = False
        try:
            self._slots = self._load() if existed else 0
            self._make_durable()
            opened = True
        finally:
            if not opened:
                self._file.close()

    @property
    def durable_slots(self) -> int:
        """How many slots are on disk for good: none goes, a destroyed one stays as zeros."""
        with self._guard:
            return min(self._pending, default=self._slots)

    def add(self, name: bytes, number: int, key: bytes) -> int:
        """Put a key in; its slot. It is durable after the next `flush`."""
        assert len(name) == NAME_BYTES
        assert self._file is not None, "it was opened to be read"
        slot = self._slots
        packed = _packed(_KEY, name, number, self._master.wrap(key, _about(name, number)))
        with self._guard:
            self._pending[slot] = packed
            self._slots += 1
        return slot

    def key(self, slot: int) -> bytes | None:
        """The key in a slot, None if it was destroyed. `Corrupt` if it is damaged."""
        return self._key_in(self._raw(slot), slot)

    def keys(self, slots: Sequence[int]) -> list[bytes | None]:
        """As `key` of each; the file is opened once."""
        pending = [self._pending.get(slot) for slot in slots]
        places = [slot * SLOT_BYTES for slot, raw in zip(slots, pending, strict=True) if raw is None]
        read = iter(self._disk.read_each(self._path, places, SLOT_BYTES) if places else ())
        raws = [next(read) if raw is None else raw for raw in pending]
        return [self._key_in(raw, slot) for raw, slot in zip(raws, slots, strict=True)]

    def _key_in(self, raw: bytes, slot: int) -> bytes | None:
        if raw == _FREE:
            return None
        mark, name, number, wrapped = self._unpacked(raw, slot)
        if mark != _KEY:
            raise Corrupt(file=str(self._path), offset=slot * SLOT_BYTES, reason=_NO_KEY)
        try:
            return self._master.unwrap(wrapped, _about(name, number))
        except InvalidTag:
            reason = "the wrapped key does not open"
            raise Corrupt(file=str(self._path), offset=slot * SLOT_BYTES, reason=reason) from None

    def name(self, slot: int) -> bytes:
        """The name in a slot, zeros if it was destroyed."""
        raw = self._raw(slot)
        return bytes(NAME_BYTES) if raw == _FREE else self._unpacked(raw, slot)[1]

    def flush(self) -> None:
        """Make everything added durable. Raises `DiskFull`, and tries again next time, or `LogClosed` for good."""
        if not self._pending and not self._ended:
            return
        with self._guard:
            if self._ended:
                raise LogClosed(self._ended)
            if not self._pending:
                return
            slots = list(self._pending)
            assert self._file is not None, "it was opened to be read"
            self._append(b"".join(self._pending[slot] for slot in slots), end_bytes=slots[0] * SLOT_BYTES)
            if not self._file.is_at(self._path):
                raise self._end(f"{self._path} is gone: the keys were removed, replaced or unmounted")
            for slot in slots:
                del self._pending[slot]

    def destroy(self, slots: Sequence[int]) -> None:
        """Overwrite these slots; on return nothing of their keys is on disk. Doing it twice is fine, and needs no room.

        Raises `LogClosed` when the disk fails: which of them are destroyed is known when it has succeeded.
        """
        with self._guard:
            for slot in slots:
                if slot in self._pending:
                    self._pending[slot] = _FREE
                    continue
                try:
                    self._disk.overwrite(self._path, slot * SLOT_BYTES, _FREE)
                except OSError as error:
                    raise LogClosed(f"a key in {self._path.name} could not be destroyed: {error.strerror}") from None

    def close(self) -> None:
        """Give the file back; what was not flushed is lost."""
        if self._file is not None:
            self._file.close()

    def _append(self, chunk: bytes, *, end_bytes: int) -> None:
        assert self._file is not None, "it was opened to be read"
        try:
            rest = memoryview(chunk)
            while rest:
                taken = self._file.write(rest)
                if taken == 0:
                    raise OSError(errno.ENOSPC, "nothing was taken")
                rest = rest[taken:]
        except OSError as error:
            self._take_back(self._file, end_bytes)
            if error.errno in _NO_ROOM:
                raise DiskFull("no room on the disk for the keys of people") from None
            raise self._end(f"a write to {self._path.name} failed: {error.strerror}") from None
        try:
            self._sync(self._file)
        except LogClosed:
            self._take_back(self._file, end_bytes)
            raise

    def _sync(self, file: WritableFile) -> None:
        """Nobody knows what a failed sync left on the disk: it is not tried again."""
        try:
            file.sync()
        except OSError as error:
            raise self._end(f"a sync of {self._path.name} failed: {error.strerror}") from None

    def _take_back(self, file: WritableFile, end_bytes: int) -> None:
        """Forget an unfinished write, lest the next start read from memory what is not on the disk."""
        try:
            file.truncate(end_bytes)
        except OSError as error:
            reason = f"an unfinished write to {self._path.name} cannot be taken back: {error.strerror}"
            raise self._end(reason) from None

    def _end(self, reason: str) -> LogClosed:
        self._ended = self._ended or f"{reason}; nothing new is taken until a restart"
        return LogClosed(self._ended)

    def _raw(self, slot: int) -> bytes:
        pending = self._pending.get(slot)
        return pending if pending is not None else self._disk.read(self._path, slot * SLOT_BYTES, SLOT_BYTES)

    def _unpacked(self, raw: bytes, slot: int) -> tuple[bytes, bytes, int, bytes]:
        if not _is_whole(raw):
            raise Corrupt(file=str(self._path), offset=slot * SLOT_BYTES, reason="checksum does not match")
        mark, name, number, wrapped = _SLOT.unpack_from(raw)
        return mark, name, number, wrapped

    def _make_durable(self) -> None:
        """A process that was killed may have left keys, and the file's own name, which can be read and be lost yet."""
        assert self._file is not None
        if self._slots == 0:
            name = _HEAD + bytes(NAME_BYTES - len(_HEAD))
            head = _packed(_HEAD, name, VERSION, self._master.wrap(bytes(KEY_BYTES), _about(name, VERSION)))
            self._append(head, end_bytes=0)
            self._slots = 1
        else:
            self._sync(self._file)
        self._disk.sync_directory(self._path.parent)

    def _load(self) -> int:
        """Read and check all slots; how many there are. What a crash left unfinished at the end is cut."""
        end = 0
        for some in scan(self._disk, self._path):
            sound = np.flatnonzero(some.sound)
            end = some.first + int(sound[-1]) + 1 if len(sound) else end
            self._take(some.first, some.words, some.used & some.sound)
        if self._file is not None and self._disk.size(self._path) > end * SLOT_BYTES:
            self._file.truncate(end * SLOT_BYTES)
        return end

    def _take(self, first: int, words: Ints, whole: Bools) -> None:
        if first == 0 and len(words):
            self._check_master(words[0].tobytes())
            whole[0] = False
        rows = np.flatnonzero(whole)
        taken = words[rows]
        self.entries.append(Entries(rows + first, taken[:, _NAME_WORD].copy(), taken[:, _NUMBER_WORD].copy()))

    def _check_master(self, raw: bytes) -> None:
        _, name, version, wrapped = _SLOT.unpack_from(raw)
        try:
            self._master.unwrap(wrapped, _about(name, version))
        except InvalidTag:
            raise ConfigRejected(f"the master key given is not the one that {self._path} was made with",
                                 suggestion=self._remedy()) from None

    def _remedy(self) -> str:
        """Where the right key is to be had: in the folder itself where a start without one made it."""
        made = self._path.parent / "master.key"
        if made.name in self._disk.list(made.parent):
            return (
                f"that one lies in {made}: unset INSTANTER_MASTER_KEY and [privacy] master_key_file, or give what is "
                "in there by one of them, and then move the file away"
            )
        return "give that one by INSTANTER_MASTER_KEY, else by [privacy] master_key_file"


def _about(name: bytes, number: int) -> bytes:
    return name + number.to_bytes(8, "little", signed=True)


def _packed(mark: bytes, name: bytes, number: int, wrapped: bytes) -> bytes:
    content = _SLOT.pack(mark, name, number, wrapped)
    return content + _SUM.pack(zlib.crc32(content))


def _is_ours(raw: bytes) -> bool:
    """Whether bytes were a slot before they were damaged in one place."""
    return raw[: len(_KEY)] in (_KEY, _HEAD) or raw[_UNUSED] == _FREE[_UNUSED]


def _sums_of(chunk: bytes) -> Ints:
    """What the last word of each slot should be."""
    view, checked = memoryview(chunk), _SLOT.size
    starts = range(0, len(chunk), SLOT_BYTES)
    return np.fromiter((zlib.crc32(view[at : at + checked]) for at in starts), np.int64, len(starts))


def _check_first(raw: bytes, path: Path) -> None:
    """`Corrupt` for a first slot that is damaged or of another sort of file, `Broken` for a newer format."""
    if not _is_whole(raw):
        raise Corrupt(file=str(path), offset=0, reason="checksum does not match")
    mark, _, version, _ = _SLOT.unpack_from(raw)
    if mark != _HEAD:
        raise Corrupt(file=str(path), offset=0, reason="not a file of keys")
    if version > VERSION:
        raise Broken(f"{path} has format {version}; this program reads up to {VERSION}")


def _has_twice(told_by: Sequence[Ints]) -> bool:
    """Whether a number is among these twice; of two keys that are not one the numbers of 64 bits differ."""
    all_of_them = np.concatenate(told_by) if told_by else np.empty(0, np.int64)
    all_of_them.sort()
    return bool((all_of_them[1:] == all_of_them[:-1]).any())


def _is_whole(raw: bytes) -> bool:
    (checksum,) = _SUM.unpack_from(raw, _SLOT.size)
    return zlib.crc32(memoryview(raw)[: _SLOT.size]) == int(checksum)
