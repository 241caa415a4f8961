"""The group committer: order, groups, refusals; a failed sync and a full disk (rows R4 and R5, for the log)."""

import asyncio
import errno
import random
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import WritableFile
from instanter.foundation.errors import Broken, DiskFull, LogClosed, Overloaded, Unavailable
from instanter.log.commit import Durable, GroupCommitter, Refused
from instanter.log.frames import Group
from instanter.log.segment_log import SegmentLog
from instanter.sim.disk import SimulatedDisk

DIRECTORY = Path("/log")
LONG_MS = 3_600_000
"""A window that does not end by itself within a test."""


class _GatedFile:
    """A file whose syncs wait at the disk's gate."""

    def __init__(self, file: WritableFile, gate: threading.Event) -> None:
        self._gate = gate
        self.write = file.write
        self.truncate = file.truncate
        self.close = file.close
        self.is_at = file.is_at
        self._sync = file.sync

    def sync(self) -> None:
        assert self._gate.wait(timeout=30)
        self._sync()


class GatedDisk(SimulatedDisk):
    """Syncs wait while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def open(self, path: Path) -> WritableFile:
        return _GatedFile(super().open(path), self.gate)


class BrokenLog(SegmentLog):
    """A log whose commits find a mistake of ours."""

    def commit(self, group: Group) -> None:
        raise Broken("no such thing")


class Engine:
    """What stands above a committer: folds what is durable, remembers what was refused."""

    def __init__(self, disk: SimulatedDisk, *, window_ms: float = 0, pending_bytes_max: int = 1 << 20,
                 segment_bytes: int = 300) -> None:
        self.log = SegmentLog(disk, DIRECTORY, segment_bytes=segment_bytes)
        self.groups: list[Durable[str]] = []
        self.refusals: list[Refused[str]] = []
        self.committer: GroupCommitter[str] = GroupCommitter(
            self.log, sync_window_ms=window_ms, on_durable=self.groups.append, on_refused=self.refusals.append,
            pending_bytes_max=pending_bytes_max)

    @property
    def folded(self) -> list[str]:
        return [name for group in self.groups for name in group.carried]

    def append(self, name: str) -> asyncio.Future[None]:
        return self.committer.durable(self.committer.append(1, 1, name.encode(), name))

    async def close(self) -> None:
        await self.committer.close(Deadline(10_000))


def on_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an asynchronous test function on a loop of its own."""

    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 60))

    run.__name__ = test.__name__
    return run


def payloads(disk: SimulatedDisk) -> list[str]:
    log = SegmentLog(disk, DIRECTORY, segment_bytes=300)
    names = [frame.payload.decode() for frame in log.read()]
    log.close()
    return names


@on_loop
async def test_entries_are_handed_back_in_order_with_their_positions() -> None:
    engine = Engine(SimulatedDisk())
    for number in range(100):
        waiter = engine.append(str(number))
        if number % 7 == 0:
            await waiter
    await waiter
    assert engine.folded == [str(number) for number in range(100)]
    positions = [position for group in engine.groups for position in group.positions]
    assert [(frame.position, frame.payload.decode()) for frame in engine.log.read()] == list(
        zip(positions, engine.folded, strict=True))
    assert engine.committer.durable_end == engine.groups[-1].end
    await engine.close()


@on_loop
async def test_one_window_is_one_group_and_one_sync() -> None:
    disk = SimulatedDisk()
    engine = Engine(disk, window_ms=1)
    syncs = disk.calls["sync"]
    await asyncio.gather(*[engine.append(str(number)) for number in range(5)])
    assert [group.carried for group in engine.groups] == [["0", "1", "2", "3", "4"]]
    assert disk.calls["sync"] == syncs + 1
    await engine.close()


@on_loop
async def test_a_commit_can_be_asked_for_before_the_window_ends() -> None:
    engine = Engine(SimulatedDisk(), window_ms=LONG_MS)
    waiter = engine.append("now")
    engine.committer.commit_soon()
    await waiter
    engine.committer.commit_soon()
    assert engine.folded == ["now"]
    await engine.close()


@on_loop
async def test_asking_for_the_next_position_commits_nothing() -> None:
    disk = GatedDisk()
    engine = Engine(disk, window_ms=0)
    asked = engine.committer.next_position()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (engine.groups, engine.committer.pending_bytes) == ([], 0)
    disk.gate.clear()
    assert engine.committer.append(1, 1, b"first", "first") == asked
    engine.committer.commit_soon()
    asked = engine.committer.next_position()
    assert engine.committer.append(1, 1, bytes(400), "beyond the segment") == asked
    asked = engine.committer.next_position()
    waiter = engine.append("behind it")
    disk.gate.set()
    await waiter
    assert [group.carried for group in engine.groups] == [["first"], ["beyond the segment", "behind it"]]
    assert engine.groups[-1].positions[-1] == asked
    asked = engine.committer.next_position()
    assert asked > engine.groups[-1].end, "the next group opens a segment"
    waiter = engine.append("in the next segment")
    await waiter
    assert engine.groups[-1].positions == [asked]
    await engine.close()


@on_loop
async def test_the_next_group_gathers_while_one_is_at_the_disk() -> None:
    disk = GatedDisk()
    engine = Engine(disk)
    disk.gate.clear()
    first = engine.append("first")
    engine.committer.commit_soon()
    later = [engine.append(str(number)) for number in range(3)]
    engine.committer.commit_soon()
    assert not first.done()
    assert engine.groups == []
    disk.gate.set()
    await asyncio.gather(first, *later)
    assert [group.carried for group in engine.groups] == [["first"], ["0", "1", "2"]]
    await engine.close()


@on_loop
async def test_who_waits_is_told_after_the_fold() -> None:
    engine = Engine(SimulatedDisk())
    waiter = engine.append("first")
    seen: list[list[str]] = []
    waiter.add_done_callback(lambda _: seen.append(engine.folded))
    await waiter
    assert seen == [["first"]]
    await engine.close()


@on_loop
async def test_an_entry_appended_during_the_fold_is_committed_too() -> None:
    disk = SimulatedDisk()
    log = SegmentLog(disk, DIRECTORY, segment_bytes=300)
    folded: list[str] = []
    derived = asyncio.get_running_loop().create_future()

    def fold(group: Durable[str]) -> None:
        folded.extend(group.carried)
        if "cause" in group.carried:
            committer.append(1, 1, b"effect", "effect")
        else:
            derived.set_result(None)

    committer: GroupCommitter[str] = GroupCommitter(
        log, sync_window_ms=0, on_durable=fold, on_refused=lambda refused: None)
    await committer.durable(committer.append(1, 1, b"cause", "cause"))
    await derived
    assert folded == ["cause", "effect"]
    await committer.close(Deadline(10_000))


@on_loop
async def test_a_wait_that_is_given_up_does_not_disturb_the_others() -> None:
    engine = Engine(SimulatedDisk())
    given_up, kept = engine.append("a"), engine.append("b")
    given_up.cancel()
    await kept
    assert engine.folded == ["a", "b"]
    await engine.close()


@on_loop
async def test_waiting_for_what_is_durable_already_is_over_at_once() -> None:
    engine = Engine(SimulatedDisk())
    position = engine.committer.append(1, 1, b"a", "a")
    await engine.committer.durable(position)
    assert engine.committer.durable(position).done()
    await engine.close()


@on_loop
async def test_beyond_the_bound_an_entry_is_refused_before_anything_is_done() -> None:
    disk = GatedDisk()
    engine = Engine(disk, pending_bytes_max=1_000, segment_bytes=10_000)
    disk.gate.clear()
    waiters = [engine.append("x" * 72) for _ in range(5)]
    engine.committer.commit_soon()
    waiters += [engine.append("y" * 72) for _ in range(5)]
    assert engine.committer.pending_bytes == 1_000
    with pytest.raises(Overloaded):
        engine.append("z")
    with pytest.raises(Overloaded):
        engine.committer.check_room(0, entries=1)
    disk.gate.set()
    await asyncio.gather(*waiters)
    assert engine.committer.pending_bytes == 0
    await engine.append("z")
    assert engine.folded == ["x" * 72] * 5 + ["y" * 72] * 5 + ["z"]
    await engine.close()


@on_loop
async def test_a_batch_is_checked_as_a_whole() -> None:
    engine = Engine(SimulatedDisk(), pending_bytes_max=1_000)
    engine.committer.check_room(1_000 - 10 * 28, entries=10)
    with pytest.raises(Overloaded):
        engine.committer.check_room(1_001 - 10 * 28, entries=10)
    await engine.close()


@on_loop
async def test_a_fold_that_fails_is_told_to_who_waits() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def fold(group: Durable[str]) -> None:
        raise Broken("the fold failed")

    log = SegmentLog(SimulatedDisk(), DIRECTORY, segment_bytes=300)
    committer: GroupCommitter[str] = GroupCommitter(
        log, sync_window_ms=0, on_durable=fold, on_refused=lambda refused: None)
    with pytest.raises(Broken, match="was not taken up"):
        await committer.durable(committer.append(1, 1, b"a", "a"))
    assert [str(error) for error in reported] == ["the fold failed"]
    await committer.close(Deadline(10_000))


@on_loop
async def test_a_log_that_breaks_ends_writing_and_is_reported() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    committer: GroupCommitter[str] = GroupCommitter(
        BrokenLog(SimulatedDisk(), DIRECTORY, segment_bytes=300),
        sync_window_ms=0, on_durable=lambda group: None, on_refused=lambda refused: None)
    with pytest.raises(LogClosed, match="the log broke: no such thing"):
        await committer.durable(committer.append(1, 1, b"a", "a"))
    assert [type(error) for error in reported] == [Broken]
    with pytest.raises(LogClosed):
        committer.append(1, 1, b"b", "b")
    await committer.close(Deadline(10_000))


class TestClose:
    def test_what_was_taken_is_on_disk_and_folded_after_close(self) -> None:
        disk = SimulatedDisk()

        async def run() -> None:
            engine = Engine(disk, window_ms=LONG_MS)
            waiter = engine.append("last")
            await engine.close()
            assert waiter.done()
            assert engine.folded == ["last"]
            with pytest.raises(LogClosed, match="shutting down"):
                engine.append("late")

        asyncio.run(run())
        disk.crash()
        assert payloads(disk) == ["last"]

    def test_a_disk_that_hangs_does_not_hold_up_close_beyond_its_deadline(self) -> None:
        disk = GatedDisk()

        async def run() -> None:
            engine = Engine(disk)
            disk.gate.clear()
            first = engine.append("first")
            engine.committer.commit_soon()
            second = engine.append("second")
            await engine.committer.close(Deadline(0))
            for waiter in (first, second):
                with pytest.raises(LogClosed, match="before this was synced"):
                    await waiter
            with pytest.raises(LogClosed, match="shutting down"):
                await engine.committer.durable(engine.committer.durable_end)
            assert [refused.carried for refused in engine.refusals] == [["first"], ["second"]]
            disk.gate.set()
            while not list(engine.log.read()):
                await asyncio.sleep(0)
            await asyncio.to_thread(int)
            assert engine.groups == []

        asyncio.run(run())

    def test_no_thread_and_no_lock_remain(self) -> None:
        disk = SimulatedDisk()
        threads = threading.active_count()

        async def run() -> None:
            engine = Engine(disk)
            await engine.append("a")
            await engine.close()

        asyncio.run(run())
        assert threading.active_count() == threads
        assert disk.locked == set()


class Accounts:
    """What was sent, acknowledged and refused while appending one entry, or several at once, after another."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.acked: list[str] = []
        self.refused: list[tuple[str, Unavailable]] = []

    async def send(self, engine: Engine, *, groups: int) -> None:
        for _ in range(groups):
            names = [str(len(self.sent) + number) for number in range(3)]
            self.sent += names
            await asyncio.gather(*[self._send(engine, name) for name in names])

    async def _send(self, engine: Engine, name: str) -> None:
        try:
            await engine.append(name)
        except Unavailable as error:
            self.refused.append((name, error))
        else:
            self.acked.append(name)

    def balance(self, present: list[str]) -> tuple[int, int, int]:
        """lost, phantom, double."""
        lost = len(set(self.acked) - set(present))
        phantom = len(set(present) - set(self.sent))
        return lost, phantom, len(present) - len(set(present))


@pytest.mark.parametrize("k", range(1, 21))
def test_after_a_failed_sync_nothing_is_acknowledged_until_a_restart_and_nothing_was_lost(k: int) -> None:
    disk = SimulatedDisk()
    accounts = Accounts()

    async def run() -> None:
        engine = Engine(disk)
        disk.fail("sync", errno.EIO, at=k)
        await accounts.send(engine, groups=25)
        assert accounts.acked == accounts.sent[: len(accounts.acked)]
        assert len(accounts.acked) == 3 * (k - 1)
        assert {type(error) for _, error in accounts.refused} == {LogClosed}
        assert engine.folded == accounts.acked
        assert [name for refused in engine.refusals for name in refused.carried] == accounts.sent[3 * (k - 1) : 3 * k]
        await engine.close()

    asyncio.run(run())
    assert disk.calls["sync"] == 1 + k
    disk.crash(unsynced_bytes=1_000)
    assert payloads(disk) == accounts.acked


@pytest.mark.parametrize("k", range(1, 21))
def test_a_failed_sync_of_the_directory_ends_writing_too(k: int) -> None:
    disk = SimulatedDisk()
    accounts = Accounts()

    async def run() -> None:
        engine = Engine(disk)
        disk.fail("sync_directory", errno.EIO, at=k)
        await accounts.send(engine, groups=80)
        assert engine.folded == accounts.acked == accounts.sent[: len(accounts.acked)]
        assert 0 < len(accounts.acked) < len(accounts.sent)
        await engine.close()

    asyncio.run(run())
    disk.crash(unsynced_bytes=1_000)
    assert payloads(disk) == accounts.acked


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("k", range(1, 21))
def test_a_write_without_room_refuses_one_group_and_the_next_is_taken(k: int, code: int) -> None:
    disk = SimulatedDisk()
    accounts = Accounts()

    async def run() -> None:
        engine = Engine(disk)
        disk.fail("write", code, at=k)
        await accounts.send(engine, groups=25)
        assert [name for name, _ in accounts.refused] == accounts.sent[3 * (k - 1) : 3 * k]
        assert {type(error) for _, error in accounts.refused} == {DiskFull}
        assert engine.folded == accounts.acked
        await engine.close()

    asyncio.run(run())
    disk.crash()
    assert payloads(disk) == accounts.acked


@pytest.mark.parametrize("room_bytes", range(40, 700, 33))
def test_a_full_disk_refuses_until_there_is_room_and_needs_no_restart(room_bytes: int) -> None:
    disk = SimulatedDisk()
    accounts = Accounts()

    async def run() -> None:
        engine = Engine(disk)
        disk.capacity_bytes = room_bytes
        await accounts.send(engine, groups=15)
        refused = len(accounts.refused)
        assert refused > 0
        assert {(type(error), error.status) for _, error in accounts.refused} == {(DiskFull, 507)}
        disk.capacity_bytes = 1 << 20
        await accounts.send(engine, groups=15)
        assert len(accounts.refused) == refused
        assert engine.folded == accounts.acked
        assert [frame.payload.decode() for frame in engine.log.read()] == accounts.acked
        await engine.close()

    asyncio.run(run())
    disk.crash()
    assert payloads(disk) == accounts.acked


@on_loop
async def test_a_group_that_gathered_behind_a_refused_one_is_refused_with_it_and_positions_start_over() -> None:
    disk = GatedDisk()
    engine = Engine(disk)
    await engine.append("kept")
    end = engine.committer.durable_end
    disk.gate.clear()
    first = engine.append("a" * 50)
    disk.capacity_bytes = sum(len(raw) for raw in disk.files().values()) + 60
    engine.committer.commit_soon()
    behind = engine.append("b")
    disk.gate.set()
    for waiter in (first, behind):
        with pytest.raises(DiskFull):
            await waiter
    with pytest.raises(DiskFull):
        await engine.committer.durable(end)
    assert [refused.carried for refused in engine.refusals] == [["a" * 50], ["b"]]
    disk.capacity_bytes = 1 << 20
    assert engine.committer.append(1, 1, b"c", "c") == end
    await engine.committer.durable(end)
    assert engine.folded == ["kept", "c"]
    await engine.close()


@pytest.mark.parametrize("write_bytes_max", [1, 7, 64])
def test_short_writes_are_carried_on(write_bytes_max: int) -> None:
    disk = SimulatedDisk()
    accounts = Accounts()

    async def run() -> None:
        engine = Engine(disk)
        disk.write_bytes_max = write_bytes_max
        await accounts.send(engine, groups=10)
        await engine.close()

    asyncio.run(run())
    disk.crash()
    assert payloads(disk) == accounts.acked == accounts.sent


@on_loop
async def test_a_disk_that_takes_nothing_is_full() -> None:
    disk = SimulatedDisk()
    engine = Engine(disk)
    disk.write_bytes_max = 0
    with pytest.raises(DiskFull):
        await engine.append("a")
    disk.write_bytes_max = 100
    await engine.append("b")
    assert engine.folded == ["b"]
    await engine.close()


@pytest.mark.parametrize("operation", ["truncate", "unlink"])
def test_a_write_that_cannot_be_taken_back_ends_writing(operation: str) -> None:
    disk = SimulatedDisk()
    accounts = Accounts()

    async def run() -> None:
        engine = Engine(disk, segment_bytes=33 if operation == "unlink" else 300)
        await accounts.send(engine, groups=2)
        disk.fail("write", errno.ENOSPC)
        disk.fail(operation, errno.EIO)
        await accounts.send(engine, groups=2)
        assert len(accounts.acked) == 6
        assert {type(error) for _, error in accounts.refused[3:]} == {LogClosed}
        await engine.close()

    asyncio.run(run())
    disk.crash(unsynced_bytes=1_000)
    assert accounts.balance(payloads(disk)) == (0, 0, 0)


@pytest.mark.parametrize("operation", ["open", "write"])
def test_any_other_failure_of_a_write_ends_writing(operation: str) -> None:
    disk = SimulatedDisk()
    accounts = Accounts()

    async def run() -> None:
        engine = Engine(disk, segment_bytes=33)
        await accounts.send(engine, groups=2)
        disk.fail(operation, errno.EIO)
        await accounts.send(engine, groups=2)
        assert len(accounts.acked) == 6
        assert {type(error) for _, error in accounts.refused} == {LogClosed}
        await engine.close()

    asyncio.run(run())
    disk.crash(unsynced_bytes=1_000)
    assert accounts.balance(payloads(disk)) == (0, 0, 0)


@pytest.mark.parametrize("operation", ["make_directory", "open", "write", "sync", "sync_directory"])
@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EIO, LogClosed)])
def test_a_log_that_cannot_be_opened_says_why_and_leaves_no_lock(
    operation: str, code: int, kind: type[Unavailable]
) -> None:
    disk = SimulatedDisk()
    disk.fail(operation, code)
    with pytest.raises(kind, match="the log in /log cannot be opened"):
        SegmentLog(disk, DIRECTORY, segment_bytes=300)
    assert payloads(disk) == []


def test_a_segment_that_cannot_be_removed_now_is_removed_later() -> None:
    disk = SimulatedDisk()
    accounts = Accounts()

    async def run() -> None:
        engine = Engine(disk, segment_bytes=33)
        await accounts.send(engine, groups=4)
        disk.fail("unlink", errno.EIO, at=2)
        assert engine.log.retain(below=1 << 40, older_than_ms=1 << 40).segments_removed == 1
        assert engine.log.retain(below=1 << 40, older_than_ms=1 << 40).segments_removed == 2
        await engine.close()

    asyncio.run(run())
    assert payloads(disk) == accounts.acked[-3:]


@pytest.mark.parametrize("seed", range(5))
def test_any_mixture_of_full_and_short_and_roomy_loses_nothing(seed: int) -> None:
    disk = SimulatedDisk()
    accounts = Accounts()
    chance = random.Random(seed)

    async def run() -> None:
        engine = Engine(disk)
        for _ in range(60):
            used = sum(len(raw) for raw in disk.files().values())
            disk.capacity_bytes = used + chance.choice([0, 30, 100, 10_000])
            disk.write_bytes_max = chance.choice([5, 50, 10_000])
            await accounts.send(engine, groups=chance.randrange(3))
        assert len(accounts.refused) > 10
        await engine.close()

    asyncio.run(run())
    disk.crash()
    assert payloads(disk) == accounts.acked
