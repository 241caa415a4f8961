"""Keys on disk: durable when said so, damage named, destroyed in their place, whatever dies when."""

from __future__ import annotations

import errno
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, ConfigRejected, Corrupt, DiskFull, LogClosed
from instanter.privacy.vault import KEY_BYTES, NAME_BYTES, SLOT_BYTES, MasterKey, Vault, mark_of, scan
from instanter.sim.chance import Chance
from instanter.sim.disk import PowerLost, SimulatedDisk

PATH = Path("keys/subjects.keys")
MASTER = bytes(range(32))


def opened(disk: SimulatedDisk, *, master: bytes = MASTER, read_only: bool = False) -> Vault:
    return Vault(disk, PATH, MasterKey(master), read_only=read_only)


def name(number: int) -> bytes:
    return number.to_bytes(NAME_BYTES, "big")


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def filled(disk: SimulatedDisk, count: int) -> Vault:
    """A vault with keys 1 to `count` in the slots of these numbers, durable."""
    vault = opened(disk)
    for number in range(1, count + 1):
        assert vault.add(name(number), number, key(number)) == number
    vault.flush()
    return vault


def entries(vault: Vault) -> list[tuple[int, int]]:
    """(slot, number) of what was there when it was opened."""
    return [pair for some in vault.entries for pair in zip(some.slots.tolist(), some.numbers.tolist(), strict=True)]


def numbers(disk: SimulatedDisk) -> dict[int, bytes | None]:
    """What a fresh start finds: number -> key."""
    vault = opened(disk)
    found = {number: vault.key(slot) for slot, number in entries(vault)}
    vault.close()
    return found


def test_what_was_flushed_is_there_when_the_power_comes_back_and_in_its_slot() -> None:
    disk = SimulatedDisk()
    filled(disk, 3).close()
    disk.crash()
    vault = opened(disk)
    assert [(slot, vault.name(slot), number) for slot, number in entries(vault)] == [(n, name(n), n) for n in (1, 2, 3)]
    assert vault.key(2) == key(2)
    assert vault.name(3) == name(3)
    assert vault.add(name(4), 4, key(4)) == 4


def test_a_key_can_be_read_before_it_is_durable() -> None:
    vault = filled(SimulatedDisk(), 1)
    slot = vault.add(name(2), 2, key(2))
    assert vault.key(slot) == key(2)


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(0, 9))
@settings(max_examples=150)
def test_a_lost_power_leaves_all_that_was_flushed_and_nothing_wrong(seed: int, durable: int, more: int) -> None:
    disk = SimulatedDisk()
    vault = filled(disk, durable)
    for number in range(durable + 1, durable + more + 1):
        vault.add(name(number), number, key(number))
    disk.fail("sync", None)
    if more:
        with pytest.raises(PowerLost):
            vault.flush()
    disk.lose_power(Chance(seed))
    found = numbers(disk)
    assert set(range(1, durable + 1)) <= set(found) <= set(range(1, durable + more + 1))
    assert all(found[number] == key(number) for number in found)


def test_a_start_is_possible_from_every_way_the_first_one_died() -> None:
    whole = SimulatedDisk()
    filled(whole, 1)
    for dies_at in range(1, whole.operations + 1):
        for seed in range(10):
            disk = SimulatedDisk()
            disk.dies_at = dies_at
            with pytest.raises(PowerLost):
                filled(disk, 1)
            disk.lose_power(Chance(seed))
            assert set(numbers(disk)) <= {1}


def test_what_a_killed_process_had_written_and_not_synced_is_made_durable_by_the_next() -> None:
    disk = SimulatedDisk()
    vault = filled(disk, 1)
    vault.add(name(2), 2, key(2))
    disk.fail("sync", None)
    with pytest.raises(PowerLost):
        vault.flush()
    disk.kill()
    assert numbers(disk) == {1: key(1), 2: key(2)}
    disk.crash()
    assert numbers(disk) == {1: key(1), 2: key(2)}, "it was read, so something may stand on it"


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_every_byte_that_is_changed_is_named_or_changes_nothing(bits: int) -> None:
    whole = SimulatedDisk()
    filled(whole, 2).close()
    raw = whole.files()[PATH]
    for offset in range(len(raw)):
        disk = SimulatedDisk()
        damaged = bytearray(raw)
        damaged[offset] ^= bits
        disk.put(PATH, bytes(damaged))
        with pytest.raises(Corrupt, match="damaged at byte") as caught:
            opened(disk)
        assert caught.value.offset == offset // SLOT_BYTES * SLOT_BYTES


def test_a_checksum_that_was_put_right_again_does_not_exchange_keys() -> None:
    """Slots are bound to what they are about: exchanging the wrapped keys of two people is seen when one is opened."""
    disk = SimulatedDisk()
    filled(disk, 2).close()
    raw = bytearray(disk.files()[PATH])
    first, second = SLOT_BYTES, 2 * SLOT_BYTES
    one, other = bytes(raw[first + 32 : first + 92]), bytes(raw[second + 32 : second + 92])
    raw[first + 32 : first + 92], raw[second + 32 : second + 92] = other, one
    for slot in (first, second):
        raw[slot + 120 : slot + 128] = struct.pack("<Q", zlib.crc32(raw[slot : slot + 120]))
    disk.put(PATH, bytes(raw))
    vault = opened(disk)
    with pytest.raises(Corrupt, match="does not open"):
        vault.key(1)


@pytest.mark.parametrize("cut_bytes", range(1, SLOT_BYTES))
def test_a_torn_tail_is_cut_and_the_rest_is_there(cut_bytes: int) -> None:
    disk = SimulatedDisk()
    filled(disk, 3).close()
    disk.put(PATH, disk.files()[PATH][:-cut_bytes])
    assert set(numbers(disk)) == {1, 2}
    assert len(disk.files()[PATH]) == 3 * SLOT_BYTES


def test_garbage_at_the_end_is_cut_and_garbage_before_keys_is_damage() -> None:
    disk = SimulatedDisk()
    filled(disk, 2).close()
    raw, garbage = disk.files()[PATH], b"\xa5" * SLOT_BYTES
    disk.put(PATH, raw + 3 * garbage)
    assert set(numbers(disk)) == {1, 2}
    disk.put(PATH, raw[: 2 * SLOT_BYTES] + garbage + raw[2 * SLOT_BYTES :])
    with pytest.raises(Corrupt):
        opened(disk)


def another(raw: bytes) -> bytes:
    disk = SimulatedDisk()
    filled(disk, 2).close()
    return disk.files()[PATH]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda raw: bytes(len(raw)),
    "noise": lambda raw: b"\xa5" * len(raw),
    "the whole file once more": lambda raw: raw * 2,
    "its keys once more": lambda raw: raw + raw[SLOT_BYTES:],
    "its last key once more": lambda raw: raw + raw[-SLOT_BYTES:],
    "another file behind it": lambda raw: raw + another(raw),
    "no first slot": lambda raw: raw[SLOT_BYTES:],
    "a first slot of zeros": lambda raw: bytes(SLOT_BYTES) + raw[SLOT_BYTES:],
}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_an_opening_refuses_is_found_without_the_master_key(what: str) -> None:
    disk = SimulatedDisk()
    filled(disk, 3).close()
    disk.put(PATH, DAMAGES[what](disk.files()[PATH]))
    with pytest.raises(Corrupt) as opening:
        opened(disk)
    with pytest.raises(Corrupt) as reading:
        list(scan(disk, PATH))
    assert str(reading.value) == str(opening.value)


def test_a_file_is_known_by_its_first_slot_whatever_is_added_and_destroyed() -> None:
    disk, other = SimulatedDisk(), SimulatedDisk()
    vault = filled(disk, 2)
    known = mark_of(disk, PATH)
    vault.destroy([1])
    vault.add(name(3), 3, key(3))
    vault.flush()
    vault.close()
    filled(other, 2).close()
    assert mark_of(disk, PATH) == known != mark_of(other, PATH) != ""
    other.put(PATH, b"")
    assert mark_of(other, PATH) == "", "begun and not written"


def test_another_master_key_is_refused_in_one_sentence() -> None:
    disk = SimulatedDisk()
    filled(disk, 1).close()
    with pytest.raises(ConfigRejected, match="the master key given is not the one") as caught:
        opened(disk, master=bytes(32))
    assert "\n" not in str(caught.value)
    assert numbers(disk) == {1: key(1)}


def test_a_newer_format_is_refused() -> None:
    disk = SimulatedDisk()
    filled(disk, 0).close()
    master = MasterKey(MASTER)
    about = b"INSTVALT" + bytes(8)
    wrapped = master.wrap(bytes(32), about + (2).to_bytes(8, "little"))
    content = struct.pack("<8s16sq60s28x", b"INSTVALT", about, 2, wrapped)
    disk.put(PATH, content + struct.pack("<Q", zlib.crc32(content)))
    with pytest.raises(Broken, match="format 2"):
        opened(disk)


def test_a_destroyed_key_is_zeros_on_the_disk_and_its_slot_is_not_given_again() -> None:
    disk = SimulatedDisk()
    vault = filled(disk, 3)
    vault.destroy([2])
    vault.destroy([2])
    disk.crash()
    assert disk.files()[PATH][2 * SLOT_BYTES : 3 * SLOT_BYTES] == bytes(SLOT_BYTES)
    assert vault.key(2) is None
    assert vault.name(2) == bytes(NAME_BYTES)
    assert numbers(disk) == {1: key(1), 3: key(3)}
    vault.close()
    assert opened(disk).add(name(4), 4, key(4)) == 4


def test_a_key_that_is_destroyed_before_it_was_flushed_never_gets_to_the_disk() -> None:
    disk = SimulatedDisk()
    vault = filled(disk, 1)
    slots = [vault.add(name(number), number, key(number)) for number in (2, 3)]
    vault.destroy(slots[:1])
    assert vault.key(slots[0]) is None
    vault.flush()
    assert disk.files()[PATH][slots[0] * SLOT_BYTES : slots[1] * SLOT_BYTES] == bytes(SLOT_BYTES)
    assert numbers(disk) == {1: key(1), 3: key(3)}


def test_a_full_disk_keeps_what_was_added_and_takes_it_later() -> None:
    disk = SimulatedDisk()
    vault = filled(disk, 1)
    disk.capacity_bytes = disk.used_bytes() + SLOT_BYTES + 7
    for number in (2, 3):
        vault.add(name(number), number, key(number))
    for _ in range(2):
        with pytest.raises(DiskFull):
            vault.flush()
        assert disk.size(PATH) == 2 * SLOT_BYTES
        assert vault.key(3) == key(3)
    vault.destroy([1])
    disk.capacity_bytes = 1 << 20
    vault.flush()
    disk.crash()
    assert numbers(disk) == {2: key(2), 3: key(3)}


def test_a_short_write_is_gone_on_with() -> None:
    disk = SimulatedDisk()
    disk.write_bytes_max = 50
    filled(disk, 5).close()
    disk.crash()
    assert set(numbers(disk)) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_disk_that_fails_ends_writing_until_a_restart_and_leaves_nothing_half(operation: str) -> None:
    disk = SimulatedDisk()
    vault = filled(disk, 2)
    vault.add(name(3), 3, key(3))
    disk.fail(operation, errno.EIO)
    for _ in range(2):
        with pytest.raises(LogClosed, match="restart"):
            vault.flush()
    vault.close()
    disk.kill()
    assert numbers(disk) == {1: key(1), 2: key(2)}
    disk.crash()
    assert numbers(disk) == {1: key(1), 2: key(2)}


def test_a_key_that_could_not_be_destroyed_is_said_so_and_destroyed_by_the_next_try() -> None:
    disk = SimulatedDisk()
    vault = filled(disk, 2)
    disk.fail("sync", errno.EIO)
    with pytest.raises(LogClosed, match="could not be destroyed"):
        vault.destroy([1, 2])
    vault.destroy([1, 2])
    disk.crash()
    assert numbers(disk) == {}


def test_a_reader_beside_the_writer_mends_nothing() -> None:
    disk = SimulatedDisk()
    filled(disk, 2).close()
    disk.put(PATH, disk.files()[PATH] + b"unfinished")
    operations = disk.operations
    vault = opened(disk, read_only=True)
    assert [vault.key(slot) for slot, _ in entries(vault)] == [key(1), key(2)]
    assert disk.operations == operations
    with pytest.raises(Broken, match="no keys"):
        Vault(SimulatedDisk(), PATH, MasterKey(MASTER), read_only=True)


def test_two_threads_that_flush_return_when_all_keys_they_saw_are_durable(tmp_path: Path) -> None:
    vault = Vault(RealDisk(), tmp_path / "keys", MasterKey(MASTER))
    path, wrong = tmp_path / "keys", list[int]()
    added = 0

    def flush() -> None:
        for _ in range(200):
            seen = added
            vault.flush()
            if path.stat().st_size < (seen + 1) * SLOT_BYTES:
                wrong.append(seen)

    threads = [threading.Thread(target=flush) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 2_001):
        vault.add(name(number), number, key(number))
        added = number
    for thread in threads:
        thread.join()
    vault.flush()
    vault.close()
    assert wrong == []
    again = Vault(RealDisk(), path, MasterKey(MASTER))
    assert entries(again) == [(n, n) for n in range(1, 2_001)]
    again.close()
