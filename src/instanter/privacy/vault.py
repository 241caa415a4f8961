"""Keys on disk: a file of slots, each with one key wrapped by the master key. A key is destroyed in its place.

A slot is 128 bytes, so that it never lies across two sectors and is written, or overwritten with zeros, all or not
at all: [mark u64, name 16 bytes, number i64, wrapped key 60 bytes, 28 unused, CRC-32 of all before u64]. The first
slot holds the version and shows whether the master key is the right one. A slot of zeros is free.

A wrapped key is bound to its name and number, so that keys cannot be exchanged between slots.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..foundation.disk import Disk, WritableFile
from ..foundation.errors import Broken, ConfigRejected, Corrupt, DiskFull, LogClosed
from ..foundation.rng import entropy

VERSION: Final = 1
SLOT_BYTES: Final = 128
KEY_BYTES: Final = 32
NAME_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_SLOT: Final = struct.Struct("<8s16sq60s28x")
_SUM: Final = struct.Struct("<Q")
_HEAD: Final = b"INSTVALT"
_KEY: Final = b"INSTSLOT"
_FREE: Final = bytes(SLOT_BYTES)
_READ_SLOTS: Final = 8_192
_UNSYNCED_SLOTS_MAX: Final = 8_192
"""Slots at the end that one crash can have torn."""


class Entry(NamedTuple):
    """A slot in use."""

    slot: int
    name: bytes
    number: int


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
        self.entries: list[Entry] = []
        """What was there when the file was opened; for the owner to index and clear."""
        existed = path.name in disk.list(path.parent)
        if read_only and not existed:
            raise Broken(f"there are no keys in {path.parent}")
        self._file: WritableFile | None = None if read_only else disk.open(path)
        self._slots = self._load() if existed else 0
        if self._slots == 0:
            self._begin()

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
        raw = self._raw(slot)
        if raw == _FREE:
            return None
        mark, name, number, wrapped = self._unpacked(raw, slot)
        if mark != _KEY:
            raise Corrupt(file=str(self._path), offset=slot * SLOT_BYTES, reason="not a slot of a key")
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
            self._append(b"".join(self._pending[slot] for slot in slots), end_bytes=slots[0] * SLOT_BYTES)
            for slot in slots:
                del self._pending[slot]

    def destroy(self, slots: Sequence[int]) -> None:
        """Overwrite these slots; on return nothing of their keys is on disk. Doing it twice is fine."""
        self.flush()
        with self._guard:
            for slot in slots:
                self._disk.overwrite(self._path, slot * SLOT_BYTES, _FREE)

    def close(self) -> None:
        """Give the file back; what was not flushed is lost."""
        if self._file is not None:
            self._file.close()

    def _append(self, chunk: bytes, *, end_bytes: int) -> None:
        assert self._file is not None, "it was opened to be read"
        try:
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(end_bytes)
            raise DiskFull(f"no room for the keys of people: {error.strerror}") from None
        try:
            self._file.sync()
        except OSError as error:
            self._ended = f"a sync of {self._path.name} failed: {error.strerror}; nothing new is taken until a restart"
            raise LogClosed(self._ended) from None

    def _raw(self, slot: int) -> bytes:
        pending = self._pending.get(slot)
        return pending if pending is not None else self._disk.read(self._path, slot * SLOT_BYTES, SLOT_BYTES)

    def _unpacked(self, raw: bytes, slot: int) -> tuple[bytes, bytes, int, bytes]:
        if not _is_whole(raw):
            raise Corrupt(file=str(self._path), offset=slot * SLOT_BYTES, reason="checksum does not match")
        mark, name, number, wrapped = _SLOT.unpack_from(raw)
        return mark, name, number, wrapped

    def _begin(self) -> None:
        name = _HEAD + bytes(NAME_BYTES - len(_HEAD))
        head = _packed(_HEAD, name, VERSION, self._master.wrap(bytes(KEY_BYTES), _about(name, VERSION)))
        self._append(head, end_bytes=0)
        self._disk.sync_directory(self._path.parent)
        self._slots = 1

    def _load(self) -> int:
        """Read and check all slots; how many there are. What a crash tore off the end is cut."""
        whole = self._disk.size(self._path) // SLOT_BYTES
        last, torn = -1, -1
        for slot, raw in self._stored(whole):
            if raw == _FREE or _is_whole(raw):
                last = slot
                self._take(slot, raw)
            elif torn < 0:
                torn = slot
            if 0 <= torn < last or (0 <= torn < whole - _UNSYNCED_SLOTS_MAX):
                reason = "checksum does not match"
                raise Corrupt(file=str(self._path), offset=torn * SLOT_BYTES, reason=reason)
        if self._file is not None:
            self._file.truncate((last + 1) * SLOT_BYTES)
        return last + 1

    def _stored(self, count: int) -> Iterator[tuple[int, bytes]]:
        for first in range(0, count, _READ_SLOTS):
            chunk = self._disk.read(self._path, first * SLOT_BYTES, _READ_SLOTS * SLOT_BYTES)
            for place in range(len(chunk) // SLOT_BYTES):
                yield first + place, chunk[place * SLOT_BYTES : (place + 1) * SLOT_BYTES]

    def _take(self, slot: int, raw: bytes) -> None:
        if slot == 0:
            self._check_head(raw)
        elif raw != _FREE:
            _, name, number, _ = _SLOT.unpack_from(raw)
            self.entries.append(Entry(slot, name, number))

    def _check_head(self, raw: bytes) -> None:
        mark, name, version, wrapped = self._unpacked(raw, 0)
        if mark != _HEAD:
            raise Corrupt(file=str(self._path), offset=0, reason="not a file of keys")
        if version > VERSION:
            raise Broken(f"{self._path} has format {version}; this program reads up to {VERSION}")
        try:
            self._master.unwrap(wrapped, _about(name, version))
        except InvalidTag:
            raise ConfigRejected(f"the master key given is not the one that {self._path} was made with",
                                 suggestion="INSTANTER_MASTER_KEY or [privacy] master_key_file") from None


def _about(name: bytes, number: int) -> bytes:
    return name + number.to_bytes(8, "little", signed=True)


def _packed(mark: bytes, name: bytes, number: int, wrapped: bytes) -> bytes:
    content = _SLOT.pack(mark, name, number, wrapped)
    return content + _SUM.pack(zlib.crc32(content))


def _is_whole(raw: bytes) -> bool:
    (checksum,) = _SUM.unpack_from(raw, _SLOT.size)
    return zlib.crc32(memoryview(raw)[: _SLOT.size]) == int(checksum)
