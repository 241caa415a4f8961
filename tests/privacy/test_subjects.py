"""Who is behind a pseudonym: found as long as there is a key, and never again once it is gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from instanter.events.subjects import NOBODY, Sealed
from instanter.foundation import limits
from instanter.foundation.errors import Broken, ConfigRejected, Corrupt, LogClosed
from instanter.privacy.roll import FRESH_MAX, Roll
from instanter.privacy.subjects import DAY_MS, KeyStore
from instanter.privacy.vault import NAME_BYTES, Entries
from instanter.sim.disk import SimulatedDisk

ROOT = Path("keys")
SECRET, MASTER = bytes(range(32)), bytes(range(32, 64))
AT_MS = 20_000 * DAY_MS + 5


def opened(disk: SimulatedDisk | None = None, **options: bool) -> KeyStore:
    return KeyStore(disk or SimulatedDisk(), ROOT, secret=SECRET, master=MASTER, **options)


def reopened(disk: SimulatedDisk, store: KeyStore) -> KeyStore:
    store.flush()
    store.close()
    disk.crash()
    return opened(disk)


def erase(store: KeyStore, *cells: int) -> None:
    store.overwrite(store.take_out(cells))


def test_an_id_is_nobody_until_it_is_made_and_then_always_the_same() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    assert store.find("shop", "ada") == 0
    cell = store.subject("shop", "ada").cell
    assert cell not in (0, NOBODY)
    assert [store.find("shop", "ada"), store.subject("shop", "ada").cell] == [cell, cell]
    assert reopened(disk, store).find("shop", "ada") == cell


def test_pseudonyms_tell_tenants_and_sorts_of_ids_apart_and_do_not_follow_from_the_id() -> None:
    store, other = opened(), opened()
    ids = [("shop", "ada"), ("shop", "anonymous:ada"), ("film", "ada")]
    cells = [store.subject(*one).cell for one in ids]
    assert len({*cells, *(other.subject(*one).cell for one in ids)}) == 6


@given(st.binary(max_size=200), st.sampled_from(list(Sealed)), st.integers(0, 2**45))
def test_what_was_sealed_is_unsealed_by_pseudonym_class_and_day_alone(plain: bytes, kind: Sealed, at_ms: int) -> None:
    store = opened()
    ada, bob = store.subject("shop", "ada"), store.subject("shop", "bob")
    sealed = ada.seal(kind, at_ms, plain)
    assert len(sealed) == len(plain) + 28
    assert len(plain) < 4 or plain not in sealed
    assert store.unseal(ada.cell, kind, at_ms, sealed) == plain
    assert store.unseal(ada.cell, kind, at_ms // DAY_MS * DAY_MS, sealed) == plain
    with pytest.raises(Corrupt):
        store.unseal(bob.cell, kind, at_ms, sealed)
    other = Sealed.RECEIPT if kind is Sealed.EVENT else Sealed.EVENT
    ada.seal(other, at_ms, b"")
    with pytest.raises(Corrupt):
        store.unseal(ada.cell, other, at_ms, sealed)


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_sealed_byte_that_was_changed_is_damage(place: int, bits: int) -> None:
    store = opened()
    sealed = bytearray(store.seal(NOBODY, Sealed.QUARANTINE, AT_MS, b"x" * 33))
    sealed[place] ^= bits
    with pytest.raises(Corrupt):
        store.unseal(NOBODY, Sealed.QUARANTINE, AT_MS, bytes(sealed))


def test_bytes_too_short_to_be_sealed_are_damage() -> None:
    store = opened()
    ada = store.subject("shop", "ada")
    ada.seal(Sealed.EVENT, AT_MS, b"")
    for size in range(28):
        with pytest.raises(Corrupt):
            store.unseal(ada.cell, Sealed.EVENT, AT_MS, bytes(size))


def test_the_way_of_events_seals_as_the_other_does_on_whatever_day() -> None:
    store = opened()
    ada = store.subject("shop", "ada")
    for at_ms in (AT_MS, AT_MS + DAY_MS, AT_MS, AT_MS - 3 * DAY_MS, AT_MS - 5, AT_MS - 6):
        assert store.unseal(ada.cell, Sealed.EVENT, at_ms, ada.seal_event(at_ms, b"body")) == b"body"


def test_a_sealed_id_says_by_itself_whose_key_opens_it_and_is_made_once() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    ada = store.subject("shop", "ada")
    assert ada.sealed_id is ada.sealed_id
    assert b"ada" not in ada.sealed_id
    assert store.unseal_id(ada.sealed_id) == "ada"
    store = reopened(disk, store)
    assert store.unseal_id(ada.sealed_id) == "ada"
    erase(store, ada.cell)
    assert store.unseal_id(ada.sealed_id) is None


def test_no_two_seals_are_alike() -> None:
    store = opened()
    seals = {store.seal(NOBODY, Sealed.EVENT, AT_MS, b"same")[:12] for _ in range(5_000)}
    assert len(seals) == 5_000


def test_who_was_taken_out_is_nobody_at_once_and_unreadable_for_good() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    ada, bob = store.subject("shop", "ada"), store.subject("shop", "bob")
    cell, sealed = ada.cell, ada.seal_event(AT_MS, b"hers")
    kept = bob.seal_event(AT_MS, b"his")
    store.flush()
    names = store.names_of([cell])
    slots = store.take_out([cell, 12345])
    assert (store.find("shop", "ada"), store.has([cell]), len(slots)) == (0, False, 1)
    assert store.unseal(cell, Sealed.EVENT, AT_MS, sealed) is None
    assert store.names_of([cell]) == []
    store.overwrite(slots)
    assert names[0] not in disk.files()[ROOT / "subjects.keys"]
    store = reopened(disk, store)
    assert store.find("shop", "ada") == 0
    assert store.unseal(cell, Sealed.EVENT, AT_MS, sealed) is None
    assert store.unseal(bob.cell, Sealed.EVENT, AT_MS, kept) == b"his"


def test_who_comes_back_after_an_erasure_is_somebody_new() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    before = store.subject("shop", "ada")
    cell, sealed = before.cell, before.seal_event(AT_MS, b"then")
    erase(store, cell)
    after = store.subject("shop", "ada")
    assert after.cell != cell
    with pytest.raises(Corrupt):
        store.unseal(after.cell, Sealed.EVENT, AT_MS, sealed)
    assert reopened(disk, store).find("shop", "ada") == after.cell


def test_nothing_can_be_sealed_any_more_for_somebody_who_was_erased() -> None:
    store = opened()
    ada = store.subject("shop", "ada")
    ada.seal_event(AT_MS, b"")
    erase(store, ada.cell)
    for seal in (lambda: ada.seal_event(AT_MS, b""), lambda: ada.seal(Sealed.RECEIPT, AT_MS, b"")):
        with pytest.raises(AssertionError, match="was erased"):
            seal()


@pytest.mark.parametrize("first", ["old", "new"])
def test_who_came_back_before_the_old_key_was_destroyed_stays_when_it_is(first: str) -> None:
    """Killed between taking out and overwriting, and in between the same id came again."""
    disk = SimulatedDisk()
    store = opened(disk)
    old = store.subject("shop", "ada").cell
    store.flush()
    store.take_out([old])
    new = store.subject("shop", "ada").cell
    store = reopened(disk, store)
    assert store.find("shop", "ada") == new
    assert store.has([old])
    erase(store, old if first == "old" else new)
    assert store.find("shop", "ada") == (new if first == "old" else 0)
    erase(store, old, new)
    assert (store.find("shop", "ada"), store.count) == (0, 0)
    assert reopened(disk, store).count == 0


@given(st.integers(0, 3 * DAY_MS), st.integers(0, 3 * DAY_MS))
def test_days_are_retired_whole_and_exactly(at_ms: int, before_ms: int) -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    sealed = store.seal(NOBODY, Sealed.EVENT, at_ms, b"x")
    receipt = store.seal(NOBODY, Sealed.RECEIPT, at_ms, b"y")
    store.flush()
    over = (at_ms // DAY_MS + 1) * DAY_MS <= before_ms
    slots = store.retire(Sealed.EVENT, before_ms)
    assert len(slots) == over
    assert (store.unseal(NOBODY, Sealed.EVENT, at_ms, sealed) is None) == over
    store.destroy_days(slots)
    assert store.retire(Sealed.EVENT, before_ms) == []
    again = reopened(disk, store)
    assert (again.unseal(NOBODY, Sealed.EVENT, at_ms, sealed) is None) == over
    assert again.unseal(NOBODY, Sealed.RECEIPT, at_ms, receipt) == b"y", "of another class"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30))
def test_whoever_seals_in_whatever_turn_and_on_whatever_day_seals_for_themselves(turns: list[tuple[int, int]]) -> None:
    store = opened()
    people = [store.subject("shop", f"u{number}") for number in range(3)]
    sealed = [(who, day, people[who].seal_event(day * DAY_MS, b"%d" % place)) for place, (who, day) in enumerate(turns)]
    for place, (who, day, body) in enumerate(sealed):
        assert store.unseal(people[who].cell, Sealed.EVENT, day * DAY_MS, body) == b"%d" % place


def test_the_cipher_of_who_sealed_last_goes_with_their_key_and_with_that_of_the_day() -> None:
    after_ms = AT_MS + DAY_MS
    for let_go in (lambda one, cell: one.take_out([cell]), lambda one, _: one.retire(Sealed.EVENT, after_ms)):
        store = opened()
        ada = store.subject("shop", "ada")
        ada.seal_event(AT_MS, b"")
        used = store.cipher
        ada.seal_event(AT_MS, b"")
        assert store.cipher is used, "it is kept from one to the next"
        let_go(store, ada.cell)
        assert store.cipher is not used
        assert store.sealing is None


def test_a_days_key_that_could_not_be_destroyed_is_tried_again() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    sealed = store.seal(NOBODY, Sealed.EVENT, AT_MS, b"x")
    store.flush()
    slots = store.retire(Sealed.EVENT, AT_MS + 2 * DAY_MS)
    disk.fail("overwrite", 5)
    with pytest.raises(LogClosed):
        store.destroy_days(slots)
    assert store.unseal(NOBODY, Sealed.EVENT, AT_MS, sealed) is None
    assert store.retire(Sealed.EVENT, AT_MS + 2 * DAY_MS) == slots
    store.destroy_days(slots)
    assert reopened(disk, store).unseal(NOBODY, Sealed.EVENT, AT_MS, sealed) is None


def test_a_key_is_durable_before_what_stands_on_it_if_it_is_flushed_first() -> None:
    """The first seal of a day makes the day's key; `flush` runs before each group of the log."""
    disk = SimulatedDisk()
    store = opened(disk)
    ada = store.subject("shop", "ada")
    sealed = ada.seal_event(AT_MS, b"body")
    store.flush()
    disk.crash()
    assert opened(disk).unseal(ada.cell, Sealed.EVENT, AT_MS, sealed) == b"body"


def test_the_signing_key_is_one_and_durable_when_it_is_given() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    key = store.signing_key()
    assert store.signing_key() == key
    disk.crash()
    assert opened(disk).signing_key() == key


def test_caches_are_bounded_and_who_fell_out_is_the_same_again() -> None:
    count = limits.SUBJECTS_OPEN_MAX + 10
    store = opened()
    people = (store.subject("s", f"u{number}") for number in range(count))
    sealed = [(one.cell, one.seal_event(AT_MS, b"%d" % number)) for number, one in enumerate(people)]
    assert len(store._open) == limits.SUBJECTS_OPEN_MAX
    assert store.count == count
    for number in (0, 5, count - 1):
        cell, body = sealed[number]
        assert store.subject("s", f"u{number}").cell == cell == store.find("s", f"u{number}")
        assert store.unseal(cell, Sealed.EVENT, AT_MS, body) == b"%d" % number


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 50), st.booleans())
def test_many_at_once_are_who_they_are_one_by_one(numbers: list[int], open_max: int, settled: bool) -> None:
    store = KeyStore(SimulatedDisk(), ROOT, secret=SECRET, master=MASTER, open_max=open_max)
    cells = {number: store.subject("s", f"u{number}").cell for number in range(0, 41, 2)}
    if settled:
        store.flush()
        store._roll._settle()
    found = store.subjects("s", [f"u{number}" for number in numbers])
    assert [one.identifier for one in found] == [f"u{number}" for number in numbers]
    assert len(store._open) <= open_max
    for number, one in zip(numbers, found, strict=True):
        assert one.cell == cells.setdefault(number, one.cell) == store.find("s", f"u{number}")
        assert store.unseal(one.cell, Sealed.EVENT, AT_MS, one.seal_event(AT_MS, b"%d" % number)) == b"%d" % number
    assert store.count == len(cells)


def test_a_key_that_is_damaged_is_named_among_many() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    for number in range(3):
        store.subject("s", f"u{number}")
    store.flush()
    store._open.clear()
    disk.overwrite(ROOT / "subjects.keys", 2 * 128 + 40, b"x")
    with pytest.raises(Corrupt):
        store.subjects("s", ["u0", "u1", "u2"])


def test_more_keys_are_at_hand_where_a_past_is_run_through() -> None:
    assert limits.SUBJECTS_OPEN_IN_PROCESS_MAX == 8 * limits.SUBJECTS_OPEN_MAX
    store = KeyStore(SimulatedDisk(), ROOT, secret=SECRET, master=MASTER, open_max=3)
    cells = [store.subject("s", f"u{number}").cell for number in range(5)]
    assert len(store._open) == 3
    assert [store.subject("s", f"u{number}").cell for number in range(5)] == cells


def test_an_adopted_id_keeps_the_pseudonym_it_had() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    assert store.adopt("shop", "ada", 77).cell == 77
    assert store.adopt("shop", "ada", 78).cell == 77
    store = reopened(disk, store)
    assert (store.find("shop", "ada"), store.count) == (77, 1)


def test_there_is_one_writer_and_readers_beside_it_make_nothing() -> None:
    disk = SimulatedDisk()
    store = opened(disk)
    ada = store.subject("shop", "ada")
    sealed = ada.seal_event(AT_MS, b"body")
    store.flush()
    with pytest.raises(LogClosed, match="another process"):
        opened(disk)
    reader = opened(disk, read_only=True)
    assert reader.unseal(ada.cell, Sealed.EVENT, AT_MS, sealed) == b"body"
    with pytest.raises(AssertionError):
        reader.subject("shop", "bob")
    reader.close()
    store.close()
    store.close()
    opened(disk).close()


def test_a_store_that_cannot_be_opened_lets_the_next_try() -> None:
    disk = SimulatedDisk()
    opened(disk).close()
    with pytest.raises(ConfigRejected):
        KeyStore(disk, ROOT, secret=SECRET, master=SECRET)
    opened(disk).close()


def test_nothing_is_sealed_for_somebody_without_a_key() -> None:
    with pytest.raises(Broken):
        opened().seal(99, Sealed.EVENT, AT_MS, b"")


class Everybody(RuleBasedStateMachine):
    """Any interleaving of making, erasing and reopening against a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.store = opened(self.disk)
        self.cells: dict[str, int] = {}
        self.gone: set[int] = set()
        self.sealed: dict[int, bytes] = {}

    @rule(number=st.integers(0, 40))
    def make(self, number: int) -> None:
        name = f"u{number}"
        one = self.store.subject("shop", name)
        assert self.cells.setdefault(name, one.cell) == one.cell
        assert one.cell not in self.gone
        self.sealed[one.cell] = one.seal_event(AT_MS, name.encode())

    @rule(count=st.integers(FRESH_MAX - 3, FRESH_MAX + 3), first=st.integers(100, 300))
    def make_many(self, count: int, first: int) -> None:
        for number in range(first, first + count):
            self.make(number)

    @rule(number=st.integers(0, 200))
    def erase(self, number: int) -> None:
        cell = self.cells.pop(f"u{number}", 0)
        erase(self.store, cell)
        self.gone |= {cell} - {0}

    @rule()
    def reopen(self) -> None:
        self.store = reopened(self.disk, self.store)

    @invariant()
    def everybody_is_who_they_are(self) -> None:
        assert self.store.count == len(self.cells)
        for name in [f"u{number}" for number in range(0, 400, 7)]:
            assert self.store.find("shop", name) == self.cells.get(name, 0)
        for cell, sealed in list(self.sealed.items())[-20:]:
            plain = self.store.unseal(cell, Sealed.EVENT, AT_MS, sealed)
            assert (plain is None) == (cell in self.gone)


TestEverybody = Everybody.TestCase
TestEverybody.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)


@pytest.mark.parametrize("cell", [2**63, 2**64 - 1, -(2**63) - 1])
def test_a_number_that_no_pseudonym_can_be_is_nobodys(cell: int) -> None:
    roll = Roll()
    roll.add(b"somebody".ljust(16), 0, -1)
    assert roll.slot_of_cell(cell) == -1
    assert roll.slot_of_cell(-1) == 0


def test_the_roll_takes_the_newest_of_a_name_however_it_was_filled() -> None:
    one = (5).to_bytes(NAME_BYTES, "little")
    columns = [np.array(column, np.int64) for column in ([1, 2], [5, 5], [70, 71])]
    roll = Roll([Entries(*columns)])
    assert roll.of_name(one) == (2, 71)
    roll.remove(one, 70)
    assert roll.of_name(one) == (2, 71)
    roll.remove(one, 71)
    assert (roll.of_name(one), roll.slot_of_cell(71), len(roll)) == ((-1, 0), -1, 0)
