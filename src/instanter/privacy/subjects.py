"""The key store: who is behind a pseudonym, and the keys that what is personal is sealed under.

An id is found by a keyed hash (BLAKE2b under the installation's secret), which leads to a random pseudonym and a
random key. What is sealed of a class on a day takes two keys, the subject's and that of the class's day, so that
either a person or everything too old can be destroyed, at once and exactly, by destroying one key. AES-256-GCM.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from struct import iter_unpack
from typing import Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..events.subjects import NOBODY, Sealed, Sealing
from ..foundation.disk import Disk, Lock
from ..foundation.errors import Broken, Corrupt, LogClosed
from ..foundation.limits import SUBJECTS_OPEN_MAX
from ..foundation.rng import entropy
from .roll import Roll
from .sealing import NONCE_BYTES, batch_cipher
from .vault import KEY_BYTES, NAME_BYTES, MasterKey, Vault

DAY_MS: Final = 86_400_000
SUBJECTS: Final = "subjects.keys"
DAYS: Final = "days.keys"
EXPIRED: Final = "expired"
"""Why something cannot be read: the key of its day was destroyed because of its age."""
NO_KEY: Final = "no_key"
"""Likewise: the key of the person was destroyed, or a key was lost."""
SEALED_TOGETHER_MIN: Final = 8
"""For fewer events it costs more to begin than each costs less."""
_CELL_BYTES: Final = 8
_POOL_BYTES: Final = 16_384
_NONCES_DRAWN: Final = 1_024
_NO_KEY: Final = bytes(KEY_BYTES)
_NO_CIPHER: Final = AESGCM(_NO_KEY)
_SIGNING: Final = b"signing".ljust(NAME_BYTES, b"\0")


class KeySubject:
    """`events.subjects.Subject` of this store."""

    __slots__ = ("_event_key", "_from_ms", "_key", "_sealed_id", "_store", "_until_ms", "cell", "identifier")

    def __init__(self, store: KeyStore, identifier: str, cell: int, key: bytes) -> None:
        self.identifier = identifier
        self.cell = cell
        self._store = store
        self._key = key
        self._event_key = b""
        """Of events, for the day from `_from_ms` to `_until_ms`."""
        self._from_ms = self._until_ms = 0
        self._sealed_id = b""

    @property
    def sealed_id(self) -> bytes:
        """The id sealed; behind the pseudonym, so that it says by itself whose key opens it."""
        if not self._sealed_id:
            sealed = self._store.seal_under(self._key, Sealed.IDENTIFIER, 0, self.identifier.encode())
            self._sealed_id = self.cell.to_bytes(_CELL_BYTES, "little", signed=True) + sealed
        return self._sealed_id

    def seal(self, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        return self._store.seal_under(self._key, kind, at_ms, plain)

    def seal_event(self, at_ms: int, plain: bytes) -> bytes:
        """The key of the day is kept: this is the way of every event.

        Of ciphers only the newest is: what clients send together is mostly of one person. A cipher takes 1 us to make
        and 2.5 KB to keep, and one that was left alone for long takes as much to come back into the processor's cache.
        """
        store = self._store
        if store.sealing is not self or not self._from_ms <= at_ms < self._until_ms:
            store.sealing, store.cipher = self, AESGCM(self.event_key(at_ms))
        nonce = next(store.nonces)
        return nonce + store.cipher.encrypt(nonce, plain, None)

    def event_key(self, at_ms: int) -> bytes:
        """What events of that day are sealed under."""
        if not self._from_ms <= at_ms < self._until_ms:
            self._begin_day(at_ms // DAY_MS)
        return self._event_key

    def _begin_day(self, day: int) -> None:
        self._event_key = self._store.sealing_key(self._key, Sealed.EVENT, day)
        self._from_ms, self._until_ms = day * DAY_MS, (day + 1) * DAY_MS

    def rest(self) -> None:
        """Let the key of the day go: it may have been destroyed."""
        self._event_key, self._from_ms, self._until_ms = b"", 0, 0

    def forget(self) -> None:
        """Let all keys go: nothing is sealed with them any more."""
        self.rest()
        self._key, self._sealed_id, self.identifier = b"", b"", ""


class KeyStore:
    """`events.subjects.Subjects` in two files of slots: keys of subjects, and of days.

    About 100 bytes of memory and 128 of disk a subject. Opening reads all slots once.
    """

    def __init__(
        self, disk: Disk, directory: Path, *, secret: bytes, master: bytes,
        source: Callable[[int], bytes] = entropy, read_only: bool = False, open_max: int = SUBJECTS_OPEN_MAX,
    ) -> None:  # fmt: skip
        """One store writes a folder; with `read_only` others may look beside it, and make nothing. Of `open_max`
        subjects the keys are at hand."""
        self._secret = secret
        self._open_max = open_max
        self._source = source
        self._pool, self._pool_at = b"", 0
        self.nonces = chain.from_iterable(self._fresh_nonces())
        """One for each sealing."""
        self.sealing: KeySubject | None = None
        """Who has sealed an event last; `cipher` is theirs, of its day."""
        self.cipher = _NO_CIPHER
        self._batch_cipher = batch_cipher()
        wrapping = MasterKey(master, self._drawn)
        with ExitStack() as opened:
            if not read_only:
                opened.callback(_locked(disk, directory).release)
            self._subjects = Vault(disk, directory / SUBJECTS, wrapping, read_only=read_only)
            opened.callback(self._subjects.close)
            self._days = Vault(disk, directory / DAYS, wrapping, read_only=read_only)
            opened.callback(self._days.close)
            self._closing = opened.pop_all()
        self._open = OrderedDict[str, KeySubject]()
        self._roll = Roll(self._subjects.entries)
        self._subjects.entries.clear()
        self._slot_of_day: dict[tuple[int, int], int] = {}
        self._day_keys: dict[tuple[int, int], bytes] = {}
        self._retired: list[int] = []
        self.taken_out = 0
        """How often somebody was taken out: what was read before may be of people who are not known any more."""
        """Slots of days that are over, not known to be destroyed."""
        self._signing = b""
        self._index_days()

    # As `events.subjects.Subjects`.

    def find(self, tenant: str, identifier: str) -> int:
        known = self._open.get(f"{tenant}\0{identifier}")
        if known is not None:
            return known.cell
        return self._roll.of_name(self.tombstone(tenant, identifier))[1]

    def subject(self, tenant: str, identifier: str) -> KeySubject:
        known = self._open.get(f"{tenant}\0{identifier}")
        if known is not None:
            return known
        name = self.tombstone(tenant, identifier)
        slot, cell = self._roll.of_name(name)
        cell, key = self._new(name, self.draw_pseudonym()) if slot < 0 else (cell, self._known(slot))
        return self._opened(f"{tenant}\0{identifier}", KeySubject(self, identifier, cell, key))

    def subjects(self, tenant: str, identifiers: Sequence[str]) -> list[KeySubject]:
        known = self._open
        texts = [f"{tenant}\0{identifier}" for identifier in identifiers]
        found = [known.get(text) for text in texts]
        if None in found:
            missing = {
                text: identifier for text, identifier, one in zip(texts, identifiers, found, strict=True) if one is None
            }
            fetched = self._fetched(tenant, missing)
            found = [one or fetched[text] for text, one in zip(texts, found, strict=True)]
        return cast("list[KeySubject]", found)

    def seal(self, cell: int, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        key = self._key_of(cell)
        if key is None:
            raise Broken("there is no key to seal this under")
        return self.seal_under(key, kind, at_ms, plain)

    def seal_events(self, sealings: Sequence[Sealing]) -> list[bytes]:
        if self._batch_cipher is None or len(sealings) < SEALED_TOGETHER_MIN:
            return [subject.seal_event(at_ms, plain) for subject, at_ms, plain in sealings]
        own = cast("Sequence[tuple[KeySubject, int, bytes]]", sealings)
        return self._batch_cipher.seal(
            [subject.event_key(at_ms) for subject, at_ms, _ in own], list(islice(self.nonces, len(own))),
            [plain for _, _, plain in own],
        )  # fmt: skip

    def unseal(self, cell: int, kind: Sealed, at_ms: int, sealed: bytes) -> bytes | None:
        key = self._key_of(cell)
        day_key = self._day_keys.get((kind, at_ms // DAY_MS)) if kind is not Sealed.IDENTIFIER else _NO_KEY
        if key is None or day_key is None:
            return None
        try:
            return AESGCM(_combined(key, day_key, kind)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except (InvalidTag, ValueError):
            raise Corrupt(file="sealed bytes", offset=0, reason="they are not what was sealed") from None

    def lacks(self, cell: int, kind: Sealed, at_ms: int) -> str:
        """Why what was sealed so cannot be read, `EXPIRED` or `NO_KEY`; "" where both its keys are there.

        Of a class the oldest days go first: where an older day has its key, this one was not destroyed.
        """
        day = at_ms // DAY_MS
        if self._key_of(cell) is None:
            return NO_KEY
        if kind is Sealed.IDENTIFIER or (kind, day) in self._day_keys:
            return ""
        older = any(one[0] == kind and one[1] < day for one in list(self._day_keys))
        return NO_KEY if older else EXPIRED

    def tombstone(self, tenant: str, identifier: str) -> bytes:
        return keyed_name(self._secret, tenant, identifier)

    # Beyond it.

    @property
    def count(self) -> int:
        """Subjects there are."""
        return len(self._roll)

    @property
    def durable_slots(self) -> dict[str, int]:
        """By name of the file, how many slots are on disk for good."""
        return {SUBJECTS: self._subjects.durable_slots, DAYS: self._days.durable_slots}

    def unseal_id(self, sealed: bytes) -> str | None:
        """The id in a `Subject.sealed_id`, None when its key is gone."""
        cell = int.from_bytes(sealed[:_CELL_BYTES], "little", signed=True)
        plain = self.unseal(cell, Sealed.IDENTIFIER, 0, sealed[_CELL_BYTES:])
        return None if plain is None else plain.decode()

    def flush(self) -> None:
        """Make new keys durable; before the records that stand on them. Runs in the log's thread."""
        self._days.flush()
        self._subjects.flush()

    def names_of(self, cells: Iterable[int]) -> list[bytes]:
        """The keyed hashes (`tombstone`) of the ids behind these pseudonyms, of those that are known."""
        slots = map(self._roll.slot_of_cell, cells)
        return [self._subjects.name(slot) for slot in slots if slot >= 0]

    def has(self, cells: Iterable[int]) -> bool:
        """Whether any of these pseudonyms has a key."""
        return any(self._roll.slot_of_cell(cell) >= 0 for cell in cells)

    def take_out(self, cells: Iterable[int]) -> list[int]:
        """Forget who is behind these pseudonyms; the slots whose keys `overwrite` must destroy now."""
        there = {cell: slot for cell in cells if (slot := self._roll.slot_of_cell(cell)) >= 0}
        for cell, slot in there.items():
            self._roll.remove(self._subjects.name(slot), cell)
        if there:
            self.taken_out += 1
            self._forget(frozenset(there))
        return list(there.values())

    def draw_pseudonym(self) -> int:
        """One that nobody has, of 64 bits: that two people draw the same one is as likely as that two ids have the
        same hash."""
        cell = int.from_bytes(self._drawn(_CELL_BYTES), "little", signed=True)
        return cell if cell not in (0, NOBODY) else self.draw_pseudonym()

    def leads_to(self, cell: int) -> bool:
        """Whether the id behind this pseudonym leads to it, and to no newer one."""
        slot = self._roll.slot_of_cell(cell)
        return slot >= 0 and self._roll.of_name(self._subjects.name(slot))[0] == slot

    def add_successor(self, cell: int, successor: int) -> int:
        """Put in a fresh key for whoever is behind `cell`, under another pseudonym; its slot.

        The id leads there from `succeed` on, and from the next opening on.
        """
        name = self._subjects.name(self._roll.slot_of_cell(cell))
        return self._subjects.add(name, successor, self._drawn(KEY_BYTES))

    def succeed(self, slot: int, successor: int) -> None:
        """From here on the id behind this slot leads to that pseudonym; the one before has been taken out."""
        self._roll.add(self._subjects.name(slot), slot, successor)

    def overwrite(self, slots: Sequence[int]) -> None:
        """Destroy keys: nothing sealed under them can be read any more. Durable on return; may run in a thread."""
        self._subjects.destroy(slots)

    def _forget(self, cells: frozenset[int]) -> None:
        self.sealing, self.cipher = None, _NO_CIPHER
        for text in [text for text, subject in self._open.items() if subject.cell in cells]:
            self._open.pop(text).forget()

    def retire(self, kind: Sealed, before_ms: int) -> list[int]:
        """Forget the keys of a class's days that ended before `before_ms`; the slots that `destroy_days` must destroy.

        From here on nothing of those days can be read. Slots are given again until they have been destroyed.
        """
        last = before_ms // DAY_MS - 1
        old = [one for one in self._slot_of_day if one[0] == kind and one[1] <= last]
        for one in old:
            self._day_keys.pop(one, None)
            self._retired.append(self._slot_of_day.pop(one))
        if old:
            self.sealing, self.cipher = None, _NO_CIPHER
            for subject in self._open.values():
                subject.rest()
        return list(self._retired)

    def destroy_days(self, slots: Sequence[int]) -> None:
        """Destroy keys of days. Durable on return; may run in a thread."""
        self._days.destroy(slots)
        gone = frozenset(slots)
        self._retired = [slot for slot in self._retired if slot not in gone]

    def signing_key(self) -> bytes:
        """The seed of the installation's signature, 32 bytes; made at the first call, durable on return."""
        if not self._signing:
            self._signing = self._source(KEY_BYTES)
            self._days.add(_SIGNING, 0, self._signing)
            self._days.flush()
        return self._signing

    def close(self) -> None:
        """Give the files back. Closing twice is fine."""
        self._closing.close()

    # Sealing.

    def seal_under(self, key: bytes, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        """Seal under a key made for it."""
        nonce = next(self.nonces)
        day = 0 if kind is Sealed.IDENTIFIER else at_ms // DAY_MS
        return nonce + AESGCM(self.sealing_key(key, kind, day)).encrypt(nonce, plain, None)

    def sealing_key(self, key: bytes, kind: Sealed, day: int) -> bytes:
        """What a subject's class is sealed under on a day; the day's key is made if it is new."""
        assert len(key) == KEY_BYTES, "nothing is sealed for somebody who was erased"
        return _combined(key, _NO_KEY if kind is Sealed.IDENTIFIER else self._day_key(kind, day), kind)

    def _fresh_nonces(self) -> Iterator[Iterator[bytes]]:
        """Nonces of twelve fresh bytes, without end; taken from the system many at a time. No list of them is made: the
        room that a list does not use keeps what lay there before, for as long as the list is there."""
        while True:
            yield map(itemgetter(0), iter_unpack(f"{NONCE_BYTES}s", self._source(_NONCES_DRAWN * NONCE_BYTES)))

    def _drawn(self, size_bytes: int) -> bytes:
        """Fresh bytes; taken from the system many at a time, and each given out once."""
        at = self._pool_at
        if at + size_bytes > len(self._pool):
            self._pool, at = self._source(_POOL_BYTES), 0
        self._pool_at = at + size_bytes
        return self._pool[at : at + size_bytes]

    # Slots.

    def _index_days(self) -> None:
        for some in self._days.entries:
            for slot, number in zip(some.slots.tolist(), some.numbers.tolist(), strict=True):
                key = self._days.key(slot)
                assert key is not None, "a slot in use has a key"
                if self._days.name(slot) == _SIGNING:
                    self._signing = key
                else:
                    one = (number & 0xF, number >> 4)
                    self._slot_of_day[one], self._day_keys[one] = slot, key
        self._days.entries.clear()

    def adopt(self, tenant: str, identifier: str, cell: int) -> KeySubject:
        """The subject of an id that has a pseudonym already, in data from before there were keys."""
        name = self.tombstone(tenant, identifier)
        if self._roll.of_name(name)[0] < 0:
            self._new(name, cell)
        return self.subject(tenant, identifier)

    def _new(self, name: bytes, cell: int) -> tuple[int, bytes]:
        key = self._drawn(KEY_BYTES)
        self._roll.add(name, self._subjects.add(name, cell, key), cell)
        return cell, key

    def _fetched(self, tenant: str, missing: Mapping[str, str]) -> dict[str, KeySubject]:
        """The subjects of ids that are not at hand, by the text under which they are from here on. What all of them
        take is done once: the file is opened once, and the roll is asked once."""
        names = [self.tombstone(tenant, identifier) for identifier in missing.values()]
        places = self._roll.of_names(names)
        keys = iter(self._subjects.keys([slot for slot, _ in places if slot >= 0]))
        fetched: dict[str, KeySubject] = {}
        for (text, identifier), name, (slot, cell) in zip(missing.items(), names, places, strict=True):
            pseudonym, key = self._new(name, self.draw_pseudonym()) if slot < 0 else (cell, next(keys))
            assert key is not None, "a slot in the roll has a key"
            fetched[text] = self._opened(text, KeySubject(self, identifier, pseudonym, key))
        return fetched

    def _known(self, slot: int) -> bytes:
        key = self._subjects.key(slot)
        assert key is not None, "a slot in the roll has a key"
        return key

    def _key_of(self, cell: int) -> bytes | None:
        if cell == NOBODY:
            return _NO_KEY
        slot = self._roll.slot_of_cell(cell)
        return self._subjects.key(slot) if slot >= 0 else None

    def _day_key(self, kind: Sealed, day: int) -> bytes:
        one = (int(kind), day)
        key = self._day_keys.get(one)
        if key is None:
            key = self._drawn(KEY_BYTES)
            self._slot_of_day[one] = self._days.add(kind.name.encode().ljust(NAME_BYTES, b"\0"), day << 4 | kind, key)
            self._day_keys[one] = key
        return key

    def _opened(self, text: str, subject: KeySubject) -> KeySubject:
        if len(self._open) >= self._open_max:
            self._open.popitem(last=False)
        self._open[text] = subject
        return subject


def keyed_name(secret: bytes, tenant: str, identifier: str) -> bytes:
    """The keyed hash by which an id is recognised, as `Subjects.tombstone`."""
    text = f"{tenant}\0{identifier}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=NAME_BYTES, key=secret, person=b"subject").digest()


def _locked(disk: Disk, directory: Path) -> Lock:
    disk.make_directory(directory)
    try:
        return disk.lock(directory / "subjects.lock")
    except BlockingIOError:
        raise LogClosed(
            f"another process is using the keys in {directory}, most likely a server of this data directory: end that "
            "one, or ask it, by --url where the command has it"
        ) from None


def _combined(key: bytes, day_key: bytes, kind: Sealed) -> bytes:
    return hashlib.blake2b(key, digest_size=KEY_BYTES, key=day_key, person=kind.name.encode()).digest()
