"""The index of ids that another process writes: found once it is in the file, gone once the log says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from instanter.foundation.errors import LogClosed
from instanter.privacy.followed import FollowedSubjects
from instanter.privacy.roll import FRESH_MAX
from instanter.privacy.subjects import SUBJECTS, KeyStore
from instanter.privacy.vault import SLOT_BYTES, slots_behind
from instanter.sim.disk import SimulatedDisk

ROOT = Path("keys")
SECRET, MASTER = bytes(range(32)), bytes(range(32, 64))


def opened(disk: SimulatedDisk) -> KeyStore:
    return KeyStore(disk, ROOT, secret=SECRET, master=MASTER)


def followed(disk: SimulatedDisk) -> FollowedSubjects:
    return FollowedSubjects(disk, ROOT, secret=SECRET)


def test_everybody_is_found_once_their_keys_are_in_the_file() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    early = [store.subject("t", f"early-{number}").cell for number in range(3)]
    store.flush()
    index = followed(disk)
    assert [index.find("t", f"early-{number}") for number in range(3)] == early
    late = [store.subject("t", f"late-{number}").cell for number in range(FRESH_MAX + 10)]
    index.follow()
    assert index.find("t", "late-0") == 0
    store.flush()
    index.follow()
    assert [index.find("t", f"late-{number}") for number in range(FRESH_MAX + 10)] == late
    assert index.find("another", "early-0") == 0


def test_an_erased_id_leads_to_nobody_and_to_its_new_key_only_once_the_log_has_told_of_the_erasure() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    old = store.subject("t", "u1").cell
    store.flush()
    index = followed(disk)
    store.overwrite(store.take_out([old]))
    new = store.subject("t", "u1").cell
    store.flush()
    index.follow()
    assert index.find("t", "u1") == old
    index.drop([old])
    assert index.find("t", "u1") == new != old
    index.drop([new])
    assert index.find("t", "u1") == 0


def test_a_successor_is_found_once_the_log_says_that_the_one_before_is_gone() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    old = store.subject("t", "u1").cell
    store.flush()
    index = followed(disk)
    successor = store.draw_pseudonym()
    store.add_successor(old, successor)
    store.flush()
    index.follow()
    assert index.find("t", "u1") == old
    index.drop([old, successor])  # Nothing came of it.
    assert index.find("t", "u1") == 0


def test_a_slot_that_is_not_whole_yet_is_read_later() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    cell = store.subject("t", "u1").cell
    store.flush()
    whole = disk.read(ROOT / SUBJECTS, SLOT_BYTES, SLOT_BYTES)
    disk.overwrite(ROOT / SUBJECTS, SLOT_BYTES, whole[:64] + bytes(64))
    index = followed(disk)
    assert index.find("t", "u1") == 0
    disk.overwrite(ROOT / SUBJECTS, SLOT_BYTES, whole)
    index.follow()
    assert index.find("t", "u1") == cell
    assert slots_behind(disk, ROOT / SUBJECTS, 2)[1] == 2


def test_it_reads_beside_the_one_writer_and_makes_nothing() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    store.flush()
    before = disk.size(ROOT / SUBJECTS)
    index = followed(disk)
    assert index.find("t", "u1") == 0
    assert disk.size(ROOT / SUBJECTS) == before
    with pytest.raises(LogClosed):
        opened(disk)
