"""The erasure list: durable when written, in its order, read by whoever opens it next."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

import msgspec
import pytest

from instanter.events.envelope import CONTROL_PARTITION
from instanter.foundation.errors import Corrupt, DiskFull, LogClosed
from instanter.log.commit import commit_now
from instanter.log.segment_log import SegmentLog
from instanter.privacy.erasures import VERSION, Erasure, ErasureList, Headstone
from instanter.sim.chance import Chance
from instanter.sim.disk import PowerLost, SimulatedDisk

ROOT = Path("keys/erasures")


def erasure(number: int) -> Erasure:
    return Erasure(VERSION, f"e{number}", number, "shop", (number, -number))


def test_an_erasure_is_on_disk_when_it_was_added() -> None:
    disk = SimulatedDisk()
    for number in (1, 2, 3):
        erasures = ErasureList(disk, ROOT)
        erasures.add(erasure(number))
        disk.crash()
    assert list(ErasureList(disk, ROOT)) == [erasure(1), erasure(2), erasure(3)]


def test_one_that_was_being_added_when_the_power_went_is_there_whole_or_not_at_all() -> None:
    for step in range(1, 4):
        for seed in range(20):
            disk = SimulatedDisk()
            erasures = ErasureList(disk, ROOT)
            erasures.add(erasure(1))
            disk.dies_at = disk.operations + step
            with contextlib.suppress(PowerLost):
                erasures.add(erasure(2))
            disk.lose_power(Chance(seed))
            assert list(ErasureList(disk, ROOT)) in ([erasure(1)], [erasure(1), erasure(2)])


def test_a_full_disk_takes_none_and_later_one() -> None:
    disk = SimulatedDisk()
    erasures = ErasureList(disk, ROOT)
    disk.fail("write", errno.ENOSPC)
    with pytest.raises(DiskFull):
        erasures.add(erasure(1))
    erasures.add(erasure(2))
    assert list(erasures) == [erasure(2)]


def test_two_processes_do_not_write_it() -> None:
    disk = SimulatedDisk()
    ErasureList(disk, ROOT)
    with pytest.raises(LogClosed):
        ErasureList(disk, ROOT)


def test_what_is_no_erasure_is_damage() -> None:
    disk = SimulatedDisk()
    log = SegmentLog(disk, ROOT, segment_bytes=1 << 20)
    commit_now(log, [(CONTROL_PARTITION, 1, b"\xc1")])
    log.close()
    with pytest.raises(Corrupt, match="not an erasure"):
        list(ErasureList(disk, ROOT))


DAY_MS = 86_400_000


def headstone(at_ms: int, *, days: int = 8, ids: tuple[bytes, ...] = (b"sealed",)) -> Headstone:
    return Headstone(VERSION, f"e{at_ms}", at_ms, at_ms + days * DAY_MS, ids, tuple(range(at_ms % 7)))


def test_a_headstone_is_on_disk_when_it_was_added_and_the_last_of_an_erasure_counts() -> None:
    disk = SimulatedDisk()
    erasures = ErasureList(disk, ROOT)
    erasures.add_headstone(headstone(1))
    erasures.add_headstone(msgspec.structs.replace(headstone(1), messages=(5, 6)))
    erasures.add_headstone(headstone(2, ids=()))
    disk.crash()
    erasures = ErasureList(disk, ROOT)
    assert len(list(erasures.headstones())) == 3
    assert {one.id: one.messages for one in erasures.standing(3).values()} == {"e1": (5, 6)}
    assert erasures.standing(1 + 8 * DAY_MS) == {}
    assert list(erasures) == []


def test_headstones_that_are_over_go_with_their_files() -> None:
    disk = SimulatedDisk()
    erasures = ErasureList(disk, ROOT)
    kept = []
    for hour in range(0, 60 * 24, 6):
        now_ms = 1 + hour * 3_600_000
        erasures.add_headstone(headstone(now_ms))
        stones = list(erasures.headstones())
        kept.append(len(stones))
        assert set(erasures.standing(now_ms)) <= {one.id for one in stones}
        assert len(erasures.standing(now_ms)) == min(hour // 6 + 1, 8 * 4)
    assert max(kept) <= 11 * 4, "those that stand, and those of two days and a bit"


def test_what_is_no_headstone_is_damage() -> None:
    disk = SimulatedDisk()
    log = SegmentLog(disk, ROOT.with_name("headstones"), segment_bytes=1 << 20)
    commit_now(log, [(CONTROL_PARTITION, 1, b"\xc1")])
    log.close()
    with pytest.raises(Corrupt, match="not a headstone"):
        list(ErasureList(disk, ROOT).headstones())
