"""The record of administrators' acts: what is noted stays, in order, and nobody can change it unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.engine.loop import Engine
from instanter.events.envelope import Audited, decode_record
from instanter.foundation.clock import ManualClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Corrupt, DiskFull
from instanter.foundation.ids import Ids
from instanter.foundation.limits import AUDIT_HANDED_IN_MAX
from instanter.foundation.measure import NoMeter
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader
from instanter.privacy.audit import (
    AUDIT_VERSION,
    COMMAND_LINE,
    Act,
    Audit,
    AuditEntry,
    Head,
    audit_key,
    chained,
    decode_entry,
    hand_in,
    handed_in,
    open_trail,
    read_entries,
    verify_audit,
)
from instanter.sim.disk import SimulatedDisk

from ..engine.harness import CountingIds, event, take, with_engine

SECRET = bytes(range(32))
KEY = audit_key(SECRET)
ROOT = Path("audit")
NO_SPACE = 28


def record(count: int, key: bytes = KEY) -> list[AuditEntry]:
    """A whole record of so many acts."""
    entries: list[AuditEntry] = []
    head = Head()
    for number in range(1, count + 1):
        entry = chained(key, head, Act("key.issued", COMMAND_LINE, "shop", f"k{number}", {"n": number}), at_ms=number)
        entries.append(entry)
        head = Head(entry.number, entry.chain)
    return entries


def head_of(entry: AuditEntry) -> Head:
    return Head(entry.number, entry.chain)


class Noting:
    """An audit on a disk in memory, as the engine holds it."""

    def __init__(self, disk: SimulatedDisk, known: Head | None = None) -> None:
        self.remembered: list[Head] = []
        log = SegmentLog(disk, ROOT, segment_bytes=400)
        self.audit = Audit(
            open_trail(log, SECRET), known=known or Head(), clock=ManualClock(), sync_window_ms=0, meter=NoMeter(),
            on_noted=self.remembered.append,
        )  # fmt: skip

    async def note(self, *subjects: str) -> None:
        for subject in subjects:
            await self.audit.note("key.issued", actor=COMMAND_LINE, subject=subject)

    async def close(self) -> None:
        await self.audit.close(Deadline(10_000))


def entries_on(disk: SimulatedDisk) -> list[AuditEntry]:
    return list(read_entries(SegmentReader(disk, ROOT)))


def test_what_was_noted_is_there_after_a_restart_and_the_chain_goes_on() -> None:
    async def run() -> None:
        disk = SimulatedDisk()
        for subjects in (("a", "b"), ("c",), ("d", "e", "f", "g")):
            noting = Noting(disk)
            await noting.note(*subjects)
            await noting.close()
            disk.crash()
        entries = entries_on(disk)
        assert [entry.subject for entry in entries] == list("abcdefg")
        assert verify_audit(entries, KEY, [head_of(entries[-1])]).broken == ""
        assert noting.remembered[-1] == head_of(entries[-1])

    asyncio.run(run())


def test_a_refused_act_leaves_no_gap() -> None:
    async def run() -> None:
        disk = SimulatedDisk()
        noting = Noting(disk)
        await noting.note("a")
        disk.fail("write", NO_SPACE)
        refused = [noting.audit.note("key.issued", actor=COMMAND_LINE, subject=name) for name in "bc"]
        for waiter in refused:
            with pytest.raises(DiskFull):
                await waiter
        await noting.note("d")
        await noting.close()
        entries = entries_on(disk)
        assert [entry.subject for entry in entries] == ["a", "d"]
        assert verify_audit(entries, KEY).broken == ""

    asyncio.run(run())


def test_a_record_whose_end_was_cut_off_goes_on_with_a_gap() -> None:
    async def run() -> None:
        whole = record(5)
        disk = SimulatedDisk()
        noting = Noting(disk, known=head_of(whole[4]))
        assert noting.audit.missing == 5
        await noting.note("later")
        await noting.close()
        (entry,) = entries_on(disk)
        assert entry.number == 6
        assert "missing" in verify_audit([entry], KEY).broken

    asyncio.run(run())


Tampering = Callable[[list[AuditEntry]], list[AuditEntry]]


def changed(entries: list[AuditEntry]) -> list[AuditEntry]:
    return [*entries[:3], msgspec.structs.replace(entries[3], subject="other"), *entries[4:]]


def removed(entries: list[AuditEntry]) -> list[AuditEntry]:
    return entries[:3] + entries[4:]


def reordered(entries: list[AuditEntry]) -> list[AuditEntry]:
    return [*entries[:3], entries[4], entries[3], *entries[5:]]


def inserted(entries: list[AuditEntry]) -> list[AuditEntry]:
    forged = chained(audit_key(b"somebody else's secret"), head_of(entries[2]), Act("x", "y"), at_ms=1)
    return [*entries[:3], forged, *entries[3:]]


def doubled(entries: list[AuditEntry]) -> list[AuditEntry]:
    return [*entries[:4], entries[3], *entries[4:]]


def truncated(entries: list[AuditEntry]) -> list[AuditEntry]:
    return entries[:-1]


def emptied(entries: list[AuditEntry]) -> list[AuditEntry]:
    return []


def written_anew(entries: list[AuditEntry]) -> list[AuditEntry]:
    """By somebody who has the secret: the chain fits, the log knows another one."""
    head = head_of(entries[2])
    anew = []
    for _ in entries[3:]:
        anew.append(chained(KEY, head, Act("nothing", "nobody"), at_ms=1))
        head = head_of(anew[-1])
    return entries[:3] + anew


@pytest.mark.parametrize(("tamper", "says"), [
    (changed, "act 4 is not what was noted"),
    (removed, "act 5 follows act 3: what was between them is missing"),
    (reordered, "act 5 follows act 3"),
    (inserted, "act 4 is not what was noted: it was changed, or put in"),
    (doubled, "act 4 stands behind act 4: it was moved or put in"),
    (truncated, "the record ends with act 7, and the log knows of 8"),
    (emptied, "the record ends with act 0, and the log knows of 8"),
    (written_anew, "act 8 is another one than the log knows"),
])  # fmt: skip
def test_every_tampering_is_found_and_named(tamper: Tampering, says: str) -> None:
    entries = record(8)
    known = [head_of(entries[7])]
    assert verify_audit(entries, KEY, known).broken == ""
    assert says in verify_audit(tamper(entries), KEY, known).broken


def test_without_the_secret_no_record_can_be_made() -> None:
    assert verify_audit(record(3, audit_key(bytes(32))), KEY).broken


@given(st.integers(0, 7), st.sampled_from(["number", "at_ms", "tenant", "actor", "act", "subject", "details", "chain"]))
def test_no_field_of_any_entry_can_be_changed_unseen(place: int, field: str) -> None:
    entries = record(8)
    other = {"number": 99, "at_ms": -1, "details": {"n": -1}, "chain": bytes(32)}.get(field, "other")
    entries[place] = msgspec.structs.replace(entries[place], **{field: other})
    assert verify_audit(entries, KEY, [head_of(record(8)[7])]).broken


@given(st.permutations(range(8)), st.integers(0, 8))
def test_no_entry_can_be_taken_away_or_moved_unseen(order: list[int], kept: int) -> None:
    entries = record(8)
    tampered = [entries[place] for place in order[:kept]]
    assert (verify_audit(tampered, KEY, [head_of(entries[7])]).broken == "") == (tampered == entries)


def test_an_entry_of_a_newer_format_is_refused_in_one_sentence() -> None:
    newer = msgspec.structs.replace(record(1)[0], version=AUDIT_VERSION + 1)
    with pytest.raises(Corrupt, match=f"audit format {AUDIT_VERSION + 1}; this program reads up to {AUDIT_VERSION}"):
        decode_entry(msgspec.msgpack.encode(newer))


def test_acts_are_handed_in_whole_and_a_bounded_number_at_a_time(tmp_path: Path) -> None:
    disk, ids = RealDisk(), Ids(CountingIds())
    for number in range(AUDIT_HANDED_IN_MAX + 3):
        hand_in(disk, tmp_path / "acts", Act("backup.made", COMMAND_LINE, subject=str(number), at_ms=number + 1), ids)
    (tmp_path / "acts" / "half.tmp").write_bytes(b"{")
    taken = list(handed_in(disk, tmp_path / "acts"))
    assert [act.subject for _, act in taken] == [str(number) for number in range(AUDIT_HANDED_IN_MAX)]


@pytest.mark.parametrize("content", [b"{nothing", b'{"act": "\xff"}', b'{"act": ' + b"[" * 5_000])
def test_a_file_that_holds_no_act_is_noted_as_that(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.act").write_bytes(content)
    ((_, act),) = handed_in(RealDisk(), tmp_path)
    assert (act.act, act.subject) == ("audit.unreadable", "x.act")


# In the engine.


def noted(root: Path) -> list[AuditEntry]:
    return list(read_entries(SegmentReader(RealDisk(), root / "audit")))


def remembered(root: Path) -> list[Head]:
    frames = SegmentReader(RealDisk(), root / "log").read()
    records = [decode_record(frame.payload) for frame in frames]
    return [Head(record.number, record.chain) for record in records if isinstance(record, Audited)]


async def nothing(engine: Engine) -> None:
    return None


def test_the_engine_notes_its_configuration_and_the_log_remembers_how_far_the_record_reaches(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await engine.audit.note("key.issued", actor="k0", tenant="default", subject="k1", details={"public": True})

    with_engine(tmp_path, work)
    with_engine(tmp_path, nothing, clock=ManualClock(1_700_000_100_000))
    first, second = noted(tmp_path)
    assert (first.act, first.details["before"]) == ("configuration.changed", "")
    assert first.subject == first.details["after"]
    assert (second.act, second.actor, second.tenant, second.subject) == ("key.issued", "k0", "default", "k1")
    assert remembered(tmp_path)[-1] == head_of(second)
    assert verify_audit(noted(tmp_path), KEY, remembered(tmp_path)).broken == ""


def test_a_checkpoint_remembers_how_far_the_record_reaches(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await engine.audit.note("key.issued", actor="k0", subject="k1")
        await take(engine, event(1))
        await engine.checkpoint()

    with_engine(tmp_path, work, stop=False)

    async def look(engine: Engine) -> Head:
        assert engine.recovery.checkpoint is not None
        return engine.partition.audited

    assert with_engine(tmp_path, look) == head_of(noted(tmp_path)[-1])


def test_an_end_that_was_cut_off_between_two_starts_is_noted_and_shows_for_ever(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await engine.audit.note("key.revoked", actor="k0", subject="k1")

    with_engine(tmp_path, work)
    for path in (tmp_path / "audit").glob("*.seg"):
        path.unlink()
    with_engine(tmp_path, work, clock=ManualClock(1_700_000_100_000))
    acts = [(entry.number, entry.act) for entry in noted(tmp_path)]
    assert acts == [(3, "audit.shortened"), (4, "key.revoked")]
    assert "missing" in verify_audit(noted(tmp_path), KEY, remembered(tmp_path)).broken


def test_acts_that_were_handed_in_are_noted_at_the_next_start(tmp_path: Path) -> None:
    with_engine(tmp_path, nothing)
    act = Act("backup.made", COMMAND_LINE, subject="b1", details={"position": 5}, at_ms=1_700_000_000_123)
    path = hand_in(RealDisk(), tmp_path / "audit" / "acts", act, Ids(CountingIds()))
    with_engine(tmp_path, nothing, clock=ManualClock(1_700_000_100_000))
    entry = noted(tmp_path)[-1]
    assert (entry.act, entry.at_ms, entry.details) == ("backup.made", 1_700_000_000_123, {"position": 5})
    assert not path.exists()
