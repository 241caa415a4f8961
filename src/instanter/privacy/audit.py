"""The record of what administrators did: access keys, erasures, consent, configuration, quarantine, backups.

It is a log of its own, never cut. Each entry is chained to the one before it by a keyed hash, so nobody without the
installation's secret can change, remove, insert or reorder entries unseen. The end could still be cut off; therefore
the main log is told the newest number and chain after each entry (`events.envelope.Audited`), and the record has to
reach at least that far.

Commands that run beside the server cannot write the record, which has one writer: they hand their act in as a small
file, and the server takes it up (`hand_in`, `handed_in`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

import msgspec

from ..events.envelope import CONTROL_PARTITION, Audited, Record
from ..events.folding import Prepare, Rows, always
from ..foundation.clock import Clock
from ..foundation.deadline import Deadline
from ..foundation.disk import Disk
from ..foundation.errors import Corrupt
from ..foundation.ids import Ids
from ..foundation.limits import AUDIT_HANDED_IN_MAX
from ..foundation.measure import Meter
from ..log.base import Readable
from ..log.commit import Durable, GroupCommitter, Refused
from ..log.segment_log import SegmentLog

AUDIT_VERSION: Final = 1
CHAIN_BYTES: Final = 32
COMMAND_LINE: Final = "command line"
SERVER: Final = "server"
CLOCK_CONFIRMED: Final = "clock.confirmed"
"""The act of somebody who says that the machine's clock was right when it said `at_ms`."""

Plain = str | int | float | bool

_SUFFIX = ".act"
_UNFINISHED = ".tmp"
_ACT_BYTES_MAX = 16 * 1024


class Act(msgspec.Struct, frozen=True):
    """What somebody did. Nothing in it leads to a person: a subject is an erasure's id, a key's id, a hash."""

    act: str
    """Thing and verb, e.g. "key.issued"."""
    actor: str
    """The id of the access key that was used, or `COMMAND_LINE`, or `SERVER`."""
    tenant: str = ""
    subject: str = ""
    details: dict[str, Plain] = {}
    at_ms: int = 0
    """0: when it is noted."""


class AuditEntry(msgspec.Struct, array_like=True, frozen=True):
    """One act as it is kept. New fields go last and have defaults."""

    version: int
    number: int
    """1 is the first."""
    at_ms: int
    tenant: str
    actor: str
    act: str
    subject: str
    details: dict[str, Plain]
    chain: bytes = b""
    """Keyed hash over the chain of the entry before and this entry without its own."""


class Head(msgspec.Struct, array_like=True, frozen=True):
    """The newest entry: all before it follow from its chain."""

    number: int = 0
    chain: bytes = bytes(CHAIN_BYTES)


class Remembered:
    """Where the log says that the record had come to: control state, folded from `Audited`."""

    def __init__(self) -> None:
        self.head = Head()

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {Audited: always(self._remember)}

    def rows(self) -> Rows:
        return {"audited": [self.head]}

    def restore(self, rows: Rows) -> None:
        self.head = next(iter(msgspec.convert(rows.get("audited", []), list[Head])), Head())

    def hashed(self) -> None:
        """What administrators did is no part of what was computed."""
        return

    def _remember(self, event: Audited) -> None:
        self.head = Head(event.number, event.chain)


class Trail(msgspec.Struct, frozen=True):
    """An opened record: its log, the key of its chain, and where it ends."""

    log: SegmentLog
    key: bytes
    head: Head


class AuditReport(msgspec.Struct, frozen=True):
    """What checking a record found."""

    acts: int
    broken: str = ""
    """The first thing that is wrong, in one sentence; empty when nothing is."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AuditEntry)
_act_decoder = msgspec.json.Decoder(Act)


def audit_key(secret: bytes) -> bytes:
    """The key of the chain, from the installation's secret."""
    return hashlib.blake2b(b"instanter audit chain", key=secret, digest_size=CHAIN_BYTES).digest()


def chained(key: bytes, before: Head, act: Act, *, at_ms: int) -> AuditEntry:
    """The entry that follows `before`.

    >>> key = audit_key(bytes(32))
    >>> first = chained(key, Head(), Act("key.issued", COMMAND_LINE, subject="k1"), at_ms=5)
    >>> first.number, verify_audit([first], key).broken
    (1, '')
    """
    entry = AuditEntry(
        AUDIT_VERSION, before.number + 1, at_ms, act.tenant, act.actor, act.act, act.subject, dict(act.details)
    )
    return msgspec.structs.replace(entry, chain=_chain(key, before.chain, entry))


def follows(entry: AuditEntry, before: Head, key: bytes) -> bool:
    """Whether an entry was noted behind `before`, under this key."""
    return _chain(key, before.chain, entry) == entry.chain


def _chain(key: bytes, before: bytes, entry: AuditEntry) -> bytes:
    unchained = msgspec.structs.replace(entry, chain=b"")
    return hashlib.blake2b(before + _encoder.encode(unchained), key=key, digest_size=CHAIN_BYTES).digest()


def decode_entry(payload: bytes, *, file: str = "audit", offset: int = 0) -> AuditEntry:
    """The entry in a frame's payload, or `Corrupt`; its checksum has been verified before."""
    try:
        entry = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(file=file, offset=offset, reason=f"not an audit entry: {error}") from None
    if entry.version > AUDIT_VERSION:
        reason = f"audit format {entry.version}; this program reads up to {AUDIT_VERSION}"
        raise Corrupt(file=file, offset=offset, reason=reason)
    return entry


def read_entries(log: Readable) -> Iterator[AuditEntry]:
    """All entries, oldest first. Raises `Corrupt`."""
    return (decode_entry(frame.payload, offset=frame.position) for frame in log.read())


def open_trail(log: SegmentLog, secret: bytes) -> Trail:
    """Read a record to its end; what is noted from here on continues the chain there."""
    head = Head()
    for entry in read_entries(log):
        head = Head(entry.number, entry.chain)
    return Trail(log, audit_key(secret), head)


class Audit:
    """The one writer of the record. Made and used on the loop's thread.

    `known` is the head that the main log remembers. If the record ends before that, its end was cut off: it goes on
    behind the known head, and what is `missing` shows as a gap for ever.
    """

    def __init__(
        self, trail: Trail, *, known: Head, clock: Clock, sync_window_ms: float, meter: Meter,
        on_noted: Callable[[Head], None],
    ) -> None:  # fmt: skip
        """`on_noted` is called with the newest head once it is durable, before those who wait are told."""
        self.log = trail.log
        """To read from."""
        self.missing = max(known.number - trail.head.number, 0)
        self._durable_head = self._head = known if self.missing else trail.head
        self._key = trail.key
        self._clock = clock
        self._meter = meter
        self._on_noted = on_noted
        self._committer: GroupCommitter[Head] = GroupCommitter(
            trail.log, sync_window_ms=sync_window_ms, on_durable=self._durable, on_refused=self._refused
        )

    @property
    def worker(self) -> Executor:
        """The thread that writes."""
        return self._committer.worker

    @property
    def head(self) -> Head:
        """The newest durable entry."""
        return self._durable_head

    def note(
        self, act: str, *, actor: str, tenant: str = "", subject: str = "", details: Mapping[str, Plain] | None = None
    ) -> asyncio.Future[None]:
        """Note an act; done when it is on disk, and awaited before the act is acknowledged. Raises `Unavailable`."""
        return self.take(Act(act, actor, tenant, subject, dict(details or {})))

    def take(self, act: Act) -> asyncio.Future[None]:
        """As `note`; an act that was handed in keeps its own time."""
        entry = chained(self._key, self._head, act, at_ms=act.at_ms or self._clock.now_ms())
        head = Head(entry.number, entry.chain)
        position = self._committer.append(CONTROL_PARTITION, self._clock.now_ms(), _encoder.encode(entry), head)
        self._head = head
        return self._committer.durable(position)

    async def close(self, deadline: Deadline) -> None:
        """Commit what was noted, within the deadline."""
        await self._committer.close(deadline)

    def abandon(self) -> None:
        """Give the record up without committing anything more."""
        self._committer.abandon()

    def _durable(self, group: Durable[Head]) -> None:
        self._durable_head = group.carried[-1]
        self._meter.count("acts_noted", len(group.carried))
        self._on_noted(self._durable_head)

    def _refused(self, group: Refused[Head]) -> None:
        """Everything behind the last durable entry was refused, so the chain goes on from there."""
        self._head = self._durable_head
        self._meter.count("acts_refused", len(group.carried))


# Checking.


def verify_audit(entries: Iterable[AuditEntry], key: bytes, known: Iterable[Head] = ()) -> AuditReport:
    """Follow the chain from the first entry. `known` are heads that the main log holds, in any order."""
    before, count, broken = Head(), 0, ""
    marks = {head.number: head.chain for head in known}
    for entry in entries:
        count += 1
        broken = _break_at(entry, before, key, marks)
        if broken:
            break
        before = Head(entry.number, entry.chain)
    furthest = max(marks, default=0)
    if not broken and before.number < furthest:
        broken = f"the record ends with act {before.number}, and the log knows of {furthest}: its end was cut off"
    return AuditReport(count, broken)


def _break_at(entry: AuditEntry, before: Head, key: bytes, marks: Mapping[int, bytes]) -> str:
    expected = before.number + 1
    if entry.number > expected:
        return f"act {entry.number} follows act {before.number}: what was between them is missing"
    if entry.number < expected:
        return f"act {entry.number} stands behind act {before.number}: it was moved or put in"
    if not follows(entry, before, key):
        return f"act {entry.number} is not what was noted: it was changed, or put in"
    if marks.get(entry.number, entry.chain) != entry.chain:
        return f"act {entry.number} is another one than the log knows: the record was written anew from there"
    return ""


# Acts of commands that run beside the server.


def hand_in(disk: Disk, directory: Path, act: Act, ids: Ids) -> Path:
    """Leave an act for the server that serves this directory, now or at its next start. Durable on return."""
    disk.make_directory(directory)
    path = directory / f"{act.at_ms:020d}-{ids.token()}{_SUFFIX}"
    unfinished = path.with_suffix(_UNFINISHED)
    file = disk.open(unfinished)
    try:
        file.write(msgspec.json.encode(act))
        file.sync()
    finally:
        file.close()
    disk.rename(unfinished, path)
    disk.sync_directory(directory)
    return path


def handed_in(disk: Disk, directory: Path) -> Iterator[tuple[Path, Act]]:
    """Acts that wait, oldest first, at most `AUDIT_HANDED_IN_MAX`; the taker removes each file once it is noted.

    A file that holds no act becomes one that says so: nothing is passed over in silence.
    """
    names = [name for name in disk.list(directory) if name.endswith(_SUFFIX)]
    for name in names[:AUDIT_HANDED_IN_MAX]:
        path = directory / name
        try:
            yield path, _act_decoder.decode(disk.read(path, 0, _ACT_BYTES_MAX))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield path, Act("audit.unreadable", SERVER, subject=name)
