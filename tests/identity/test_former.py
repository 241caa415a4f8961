"""Links of former logs: who belonged to whom, and that every link can be taken back exactly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from instanter.events.envelope import Linked, Unlinked
from instanter.foundation.limits import LINKED_CELLS_MAX
from instanter.identity.former import FormerLinks


def linked(cell: int, owner: int) -> Linked:
    return Linked(1, "default", cell, owner, b"")


def unlinked(cell: int) -> Unlinked:
    return Unlinked(2, "default", cell)


def test_a_profile_is_the_owner_and_the_cells_linked_to_it():
    links = FormerLinks()
    links.link(linked(1, 9))
    links.link(linked(2, 9))
    assert links.cells(2) == [9, 1, 2]
    assert links.cells(9) == links.cells(1)


def test_an_unlinked_cell_is_alone_again_and_the_others_stay():
    links = FormerLinks()
    links.link(linked(1, 9))
    links.link(linked(2, 9))
    links.unlink(unlinked(1))
    assert links.cells(1) == [1]
    assert links.cells(9) == [9, 2]


def test_the_newest_link_of_a_cell_counts():
    links = FormerLinks()
    links.link(linked(1, 8))
    links.link(linked(1, 9))
    assert links.cells(9) == [9, 1]
    assert links.cells(8) == [8]


def test_an_alias_of_an_alias_is_one_profile():
    links = FormerLinks()
    links.link(linked(1, 2))
    links.link(linked(2, 3))
    assert links.cells(1) == [3, 2, 1]


def test_a_circle_is_no_link():
    links = FormerLinks()
    links.link(linked(1, 2))
    assert not links.would_change(cell=2, owner=1)
    links.link(linked(2, 1))
    assert links.cells(1) == [2, 1]


def test_a_cell_is_not_linked_to_itself():
    assert not FormerLinks().would_change(cell=1, owner=1)


def test_a_profile_has_a_bound_and_what_goes_beyond_is_no_link():
    links = FormerLinks()
    for cell in range(1, 3 * LINKED_CELLS_MAX):
        links.link(linked(cell, 100))
    assert len(links.cells(100)) == LINKED_CELLS_MAX
    assert len(links) == LINKED_CELLS_MAX - 1


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=40))
def test_cells_of_one_profile_agree_on_it_and_nobody_is_in_two(pairs: list[tuple[int, int]]):
    links = FormerLinks()
    for cell, owner in pairs:
        links.link(linked(cell, owner))
    for cell in range(1, 13):
        members = links.cells(cell)
        assert cell in members
        assert len(members) == len(set(members)) <= LINKED_CELLS_MAX
        assert all(links.cells(member) == members for member in members)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=20), st.integers(1, 9), st.integers(1, 9))
def test_a_fresh_link_taken_back_restores_what_was_there(pairs: list[tuple[int, int]], cell: int, owner: int):
    links = FormerLinks()
    for one, other in pairs:
        links.link(linked(one, other))
    if links.root(cell) != cell:
        links.unlink(unlinked(cell))
    before = {one: set(links.cells(one)) for one in range(1, 10)}
    links.link(linked(cell, owner))
    links.unlink(unlinked(cell))
    assert {one: set(links.cells(one)) for one in range(1, 10)} == before


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=20))
def test_links_survive_being_written_and_read(pairs: list[tuple[int, int]]):
    links = FormerLinks()
    for cell, owner in pairs:
        links.link(linked(cell, owner))
    again = FormerLinks(links)
    assert [again.cells(cell) for cell in range(1, 10)] == [links.cells(cell) for cell in range(1, 10)]
