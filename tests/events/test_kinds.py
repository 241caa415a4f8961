"""Event names: one canonical name for the spellings senders use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.events.kinds import KNOWN, NAME_BY_TYPE, TYPES, Names
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.limits import EVENT_NAMES_MAX


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_name_has_one_form_whatever_its_spelling(name: str):
    names = Names()
    joined = name.replace(" ", "")
    for spelling in (
        name,
        name.lower(),
        name.upper(),
        name.replace(" ", "_").lower(),
        name.replace(" ", "-"),
        joined,
        joined[0].lower() + joined[1:],
        f"  {name} ",
    ):
        assert names.canonical(spelling) == name


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("Viewed Product", "Product Viewed"),
        ("completed_order", "Order Completed"),
        ("Searched Products", "Products Searched"),
        ("Viewed Product List", "Product List Viewed"),
        ("Clicked Promotion", "Promotion Clicked"),
    ],
)
def test_the_verb_may_come_first(sent: str, name: str):
    assert Names().canonical(sent) == name


@given(sent=st.text(min_size=1, max_size=300))
def test_a_canonical_name_is_its_own_canonical_name(sent: str):
    names = Names()
    once = names.canonical(sent)
    assert names.canonical(once) == once
    assert names.canonical(sent) == once


def test_any_other_name_stays_as_sent():
    assert Names().canonical(" Sofa Assembled in AR ") == "Sofa Assembled in AR"


def test_a_mapping_comes_before_our_own_spellings():
    names = Names({"add_to_basket": "Product Added", "Product Viewed": "Sofa Viewed"})
    assert names.canonical("addToBasket") == "Product Added"
    assert names.canonical("product viewed") == "Sofa Viewed"
    assert names.canonical("Viewed Product") == "Product Viewed"


@pytest.mark.parametrize("mapping", [{"": "Product Viewed"}, {"x": ""}, {"x": "y" * 300}, {"--": "Product Viewed"}])
def test_a_mapping_that_cannot_work_is_refused(mapping: dict[str, str]):
    with pytest.raises(ConfigRejected):
        Names(mapping)


def test_more_names_than_are_remembered_still_come_out_right():
    names = Names()
    for n in range(EVENT_NAMES_MAX + 10):
        assert names.canonical(f" event {n}") == f"event {n}"
    assert names.canonical("product viewed") == "Product Viewed"


def test_every_type_has_a_name_but_track():
    assert set(TYPES) == {"track", *NAME_BY_TYPE}
    assert set(NAME_BY_TYPE.values()) <= set(KNOWN)
