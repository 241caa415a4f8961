"""What people have agreed to: about each purpose the newest word counts, in whatever order statements come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from instanter.events.envelope import Consented
from instanter.events.statements import PERSONALIZATION
from instanter.foundation.limits import PURPOSES_KEPT_MAX, PURPOSES_STATED_MAX
from instanter.privacy.consent import Consents

PURPOSES = ("personalization", "email", "ads")
statements = st.lists(
    st.builds(
        Consented, st.integers(1, 1_000), st.just("shop"), st.integers(1, 3),
        st.dictionaries(st.sampled_from(PURPOSES), st.booleans(), min_size=1),
    ),
    max_size=12, unique_by=lambda one: one.at_ms,
)  # fmt: skip


def taken(stated: list[Consented]) -> Consents:
    consents = Consents()
    for one in stated:
        consents.apply(one)
    return consents


def plainly(stated: list[Consented], cells: list[int]) -> dict[str, bool]:
    """The promise, written down: by purpose the newest statement of any of the cells."""
    newest = sorted((one for one in stated if one.cell in cells), key=lambda one: one.at_ms)
    return {purpose: agreed for one in newest for purpose, agreed in one.purposes.items()}


@given(statements, st.lists(st.integers(1, 3), unique=True), st.randoms())
def test_the_newest_word_about_each_purpose_counts_whatever_came_first(stated, cells, random) -> None:
    shuffled = list(stated)
    random.shuffle(shuffled)
    assert taken(shuffled).of(cells) == plainly(stated, cells)


@given(statements)
def test_a_checkpoint_holds_every_word_and_its_time(stated: list[Consented]) -> None:
    consents = taken(stated)
    again = Consents(list(consents), consents.purposes)
    for cell in (1, 2, 3):
        assert again.said([cell]) == consents.said([cell])


def test_a_refusal_on_one_device_is_not_undone_by_an_older_grant_on_another_that_said_something_else_later() -> None:
    consents = taken([
        Consented(10, "shop", 1, {"personalization": False}),
        Consented(5, "shop", 2, {"personalization": True}),
        Consented(20, "shop", 2, {"email": True}),
    ])
    assert consents.of([1, 2]) == {"personalization": False, "email": True}


def test_of_two_words_of_one_time_the_refusal_counts() -> None:
    consents = taken([Consented(5, "shop", 1, {"email": True}), Consented(5, "shop", 2, {"email": False})])
    assert consents.of([1, 2]) == consents.of([2, 1]) == {"email": False}


def test_dropped_cells_have_said_nothing() -> None:
    consents = taken([Consented(5, "shop", 1, {"email": False}), Consented(5, "shop", 2, {"email": False})])
    assert consents.drop([1, 3]) == 1
    assert (consents.of([1]), consents.of([2]), len(consents)) == ({}, {"email": False}, 1)


def test_senders_cannot_use_up_the_places_of_the_purposes_that_matter() -> None:
    made_up = [f"made-up-{number}" for number in range(PURPOSES_STATED_MAX + 9)]
    consents = taken([Consented(1, "shop", 1, {purpose: True}) for purpose in made_up])
    assert len(consents.purposes) == PURPOSES_STATED_MAX
    consents.declare(["marketing", "marketing"])
    consents.apply(Consented(2, "shop", 1, {PERSONALIZATION: False, "marketing": False, "another": False}))
    said = consents.of([1])
    assert (said[PERSONALIZATION], said["marketing"], "another" in said) == (False, False, False)


def test_declared_purposes_are_bounded_too() -> None:
    consents = Consents()
    consents.declare(f"p{number}" for number in range(2 * PURPOSES_KEPT_MAX))
    assert len(consents.purposes) == PURPOSES_KEPT_MAX


def test_a_statement_about_purposes_without_a_place_alone_leaves_nothing() -> None:
    consents = Consents()
    consents.declare(f"p{number}" for number in range(PURPOSES_STATED_MAX))
    consents.apply(Consented(1, "shop", 1, {"another": False}))
    assert len(consents) == 0
