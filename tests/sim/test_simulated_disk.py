"""What the simulated disk loses, keeps and damages. What every disk must do is in tests/log."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from instanter.sim.chance import Chance
from instanter.sim.disk import SECTOR_BYTES, PowerLost, SimulatedDisk

ROOT = Path("/d")
A, B = ROOT / "a", ROOT / "b"
OLD = b"o" * SECTOR_BYTES
NEW = bytes(range(256)) * 8


def half_written() -> SimulatedDisk:
    """One sector synced, four more only written."""
    disk = SimulatedDisk()
    file = disk.open(A)
    file.write(OLD)
    file.sync()
    disk.sync_directory(ROOT)
    file.write(NEW)
    return disk


def outcomes(made: Callable[[], SimulatedDisk] = half_written, count: int = 200) -> set[bytes | None]:
    found: set[bytes | None] = set()
    for seed in range(count):
        disk = made()
        disk.lose_power(Chance("power", seed=seed))
        found.add(disk.files().get(A))
    return found


def test_what_was_synced_is_there_whatever_chance_says() -> None:
    assert all(content is not None and content.startswith(OLD) for content in outcomes())


def test_of_what_was_not_synced_nothing_a_part_or_everything_is_there() -> None:
    found = outcomes()
    assert {OLD, OLD + NEW} <= found
    assert any(content is not None and len(OLD) < len(content) < len(OLD + NEW) for content in found)
    holes = [content for content in found if content and bytes(SECTOR_BYTES) in content[len(OLD) :]]
    assert any(content[-1:] != b"\0" for content in holes), "a later sector without an earlier one"


def test_the_same_chance_leaves_the_same() -> None:
    left = []
    for _ in range(2):
        disk = half_written()
        disk.lose_power(Chance("power", seed=3))
        left.append(disk.files())
    assert left[0] == left[1]


def test_a_name_that_was_not_synced_may_be_lost_with_all_it_stood_for() -> None:
    def unnamed() -> SimulatedDisk:
        disk = SimulatedDisk()
        file = disk.open(A)
        file.write(OLD)
        file.sync()
        return disk

    assert outcomes(unnamed) == {None, OLD}


def test_a_rename_is_seen_whole_or_not_at_all() -> None:
    for seed in range(100):
        disk = SimulatedDisk()
        for path, content in ((A, b"new"), (B, b"old")):
            file = disk.open(path)
            file.write(content)
            file.sync()
        disk.sync_directory(ROOT)
        disk.rename(A, B)
        disk.lose_power(Chance("power", seed=seed))
        assert disk.files() in ({A: b"new", B: b"old"}, {B: b"new"})


def test_after_a_kill_everything_written_is_read_and_may_still_be_lost() -> None:
    disk = half_written()
    disk.lock(ROOT / "lock")
    disk.kill()
    assert disk.files() == {A: OLD + NEW}
    assert not disk.locked
    disk.crash()
    assert disk.files() == {A: OLD}


def test_what_a_failed_sync_gave_up_reads_well_and_no_later_sync_saves_it() -> None:
    disk = half_written()
    disk.fail("sync", errno.EIO)
    file = disk.open(A)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    again = disk.open(A)
    again.sync()
    assert disk.read(A, 0, 9_999) == OLD + NEW
    disk.crash()
    assert disk.files() == {A: OLD + bytes(len(NEW))}


def test_what_is_written_anew_after_a_failed_sync_is_saved_by_the_next() -> None:
    disk = half_written()
    disk.fail("sync", errno.EIO)
    file = disk.open(A)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    again = disk.open(A)
    again.truncate(len(OLD))
    again.write(NEW)
    again.sync()
    disk.crash()
    assert disk.files() == {A: OLD + NEW}


def test_what_was_taken_back_by_a_truncation_that_was_not_synced_may_be_there_again() -> None:
    def taken_back() -> SimulatedDisk:
        disk = half_written()
        disk.open(A).truncate(len(OLD))
        return disk

    assert {OLD, OLD + NEW} <= outcomes(taken_back)


def test_a_slot_is_overwritten_all_or_not_at_all() -> None:
    found = set()
    for seed in range(50):
        disk = half_written()
        disk.open(A).sync()
        disk.dies_at = disk.operations + 2
        with pytest.raises(PowerLost):
            disk.overwrite(A, 128, b"x" * 128)
        disk.lose_power(Chance("power", seed=seed))
        found.add(disk.read(A, 128, 128))
    assert found == {b"o" * 128, b"x" * 128}


def test_a_dead_disk_does_nothing_any_more() -> None:
    disk, told = half_written(), []
    disk.on_death = lambda: told.append("dead")
    disk.dies_at = disk.operations + 1
    for _ in range(2):
        with pytest.raises(PowerLost):
            disk.open(B)
    assert told == ["dead"]
    with pytest.raises(PowerLost):
        disk.read(A, 0, 1)


def test_one_bit_is_flipped_and_a_copy_keeps_what_it_was() -> None:
    disk = half_written()
    other = disk.copy()
    disk.flip(A, 3, 0)
    assert disk.read(A, 0, 5) == b"ooono"
    assert other.read(A, 0, 5) == b"ooooo"
