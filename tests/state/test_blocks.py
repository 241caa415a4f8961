from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from instanter.state.blocks import BLOCK_BYTES, PackedItems

REFS = st.integers(-20, 40).filter(bool) | st.sampled_from((-(2**63), 2**63 - 1))
SIZES = st.integers(0, 300) | st.sampled_from((BLOCK_BYTES // 3, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES))


def content(size: int, number: int) -> bytes:
    return (number.to_bytes(4, "little") * (size // 4 + 1))[:size]


class BesideADict(RuleBasedStateMachine):
    """Whatever is put in, changed and taken out: what is there is what a dict has, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.items, self.oracle, self.number = PackedItems(), dict[int, bytes](), 0
        self.stills = [(self.items.still(), list(self.oracle.values()))]

    @rule(ref=REFS, size=SIZES)
    def put(self, ref: int, size: int) -> None:
        self.number += 1
        self.items[ref] = self.oracle[ref] = content(size, self.number)
        assert self.items.get(ref) == self.oracle[ref]

    @rule(refs=st.lists(REFS, max_size=30), size=SIZES)
    def put_many(self, refs: list[int], size: int) -> None:
        for ref in refs:
            self.put(ref, size)

    @rule(ref=REFS)
    def take_out(self, ref: int) -> None:
        if ref in self.oracle:
            del self.items[ref], self.oracle[ref]
        else:
            with pytest.raises(KeyError):
                del self.items[ref]

    @rule()
    def empty(self) -> None:
        self.items.clear()
        self.oracle.clear()

    @rule()
    def look(self) -> None:
        self.stills.append((self.items.still(), list(self.oracle.values())))

    @invariant()
    def is_as_the_dict(self) -> None:
        assert list(self.items.items()) == list(self.oracle.items())
        asked = [*range(1, 50), *self.oracle]
        assert self.items.unknown(asked) == set(asked) - set(self.oracle)

    @invariant()
    def what_was_looked_at_stays(self) -> None:
        for still, values in self.stills:
            assert list(still) == values
            assert still[:3] == values[:3]
            assert len(still) == len(values)

    @invariant()
    def dead_bytes_have_a_bound(self) -> None:
        live = sum(len(value) + 12 for value in self.oracle.values())
        most = max((len(value) for value in self.oracle.values()), default=0)
        assert self.items.held_bytes <= 2 * live + 8 * BLOCK_BYTES + 4 * most


TestBesideADict = BesideADict.TestCase


@given(st.lists(st.integers(1, 400), max_size=5))
def test_an_unknown_item_is_none(refs: list[int]) -> None:
    items = PackedItems()
    for ref in refs:
        items[ref] = b"x"
    assert 401 not in items
    with pytest.raises(KeyError):
        items[401]


def test_items_that_are_changed_again_and_again_take_no_more_blocks() -> None:
    items = PackedItems()
    for number in range(1, 5_001):
        items[number] = content(200, number)
    held = items.held_bytes
    for cycle in range(1, 8):
        for number in range(cycle, 5_001, cycle):
            items[number] = content(200, number + cycle)
    assert items.held_bytes <= 1.3 * held + 6 * BLOCK_BYTES
    assert [items[number][:4] for number in range(1, 5_001)] == [content(4, number + max(
        cycle for cycle in range(1, 8) if number % cycle == 0)) for number in range(1, 5_001)]  # fmt: skip


def test_items_that_are_gone_leave_no_block_but_the_one_that_is_written_to() -> None:
    items = PackedItems()
    for number in range(1, 20_001):
        items[number] = content(200, number)
    for number in range(1, 20_001):
        del items[number]
    assert items.held_bytes <= BLOCK_BYTES
    assert not items
