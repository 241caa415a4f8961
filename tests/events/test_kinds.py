"""Event names: one canonical name for the spellings senders use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.events import kinds
from instanter.events.kinds import KNOWN, NAME_BY_TYPE, TYPES, Names, folded, nearest_name
from instanter.events.meanings import BY_NAME, MEANINGS, Meaning
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


# The table of meanings.


def test_no_spelling_means_two_names() -> None:
    owners: dict[str, set[str]] = {}
    for meaning in MEANINGS:
        *thing, verb = meaning.name.split(" ")
        for spelling in (meaning.name, verb + "".join(thing), *meaning.spellings):
            owners.setdefault(folded(spelling), set()).add(meaning.name)
    assert {spelling: names for spelling, names in owners.items() if len(names) > 1} == {}


def test_every_name_that_code_speaks_of_is_in_the_table() -> None:
    named = {value for name, value in vars(kinds).items() if name.isupper() and isinstance(value, str)}
    assert named <= set(BY_NAME)
    assert len(BY_NAME) == len(MEANINGS)


@pytest.mark.parametrize("meaning", MEANINGS, ids=lambda meaning: meaning.name)
def test_each_spelling_of_the_table_is_its_name(meaning: Meaning) -> None:
    names = Names()
    assert {names.canonical(spelling) for spelling in meaning.spellings} <= {meaning.name}


@pytest.mark.parametrize(("sent", "name"), [
    ("view_item", "Product Viewed"), ("view_item_list", "Product List Viewed"), ("select_item", "Product Clicked"),
    ("add_to_cart", "Product Added"), ("remove_from_cart", "Product Removed"), ("purchase", "Order Completed"),
    ("add_to_wishlist", "Product Added to Wishlist"), ("begin_checkout", "Checkout Started"),
    ("add_payment_info", "Payment Info Entered"), ("refund", "Order Refunded"), ("search", "Products Searched"),
    ("page_view", "Page Viewed"), ("view_promotion", "Promotion Viewed"), ("select_promotion", "Promotion Clicked"),
    ("login", "Signed In"), ("sign_up", "Signed Up"), ("select_content", "Article Clicked"),
    ("product_viewed", "Product Viewed"), ("product_added_to_cart", "Product Added"),
    ("product_removed_from_cart", "Product Removed"), ("collection_viewed", "Product List Viewed"),
    ("cart_viewed", "Cart Viewed"), ("checkout_started", "Checkout Started"),
    ("checkout_completed", "Order Completed"), ("search_submitted", "Products Searched"),
    ("orders/create", "Order Completed"), ("ORDERS_CREATE", "Order Completed"), ("orders/paid", "Order Completed"),
    ("orders/cancelled", "Order Cancelled"), ("refunds/create", "Order Refunded"),
    ("Viewed Product Category", "Product List Viewed"), ("Added Product", "Product Added"),
    ("Completed Order", "Order Completed"), ("video_start", "Video Playback Started"),
    ("app_open", "Application Opened"), ("addEcommerceItem", "Product Added"),
    ("Article Bookmarked", "Article Liked"), ("Bookmark Removed", "Article Unliked"),
])  # fmt: skip
def test_what_other_tools_send_has_its_name(sent: str, name: str) -> None:
    assert Names().canonical(sent) == name


def test_a_mapping_may_name_its_target_in_any_spelling() -> None:
    names = Names({"book_opened": "product_viewed", "basket_add": "purchase", "quiz": "My Quiz"})
    assert names.canonical("Book Opened") == "Product Viewed"
    assert names.canonical("basketAdd") == "Order Completed"
    assert names.canonical("quiz") == "My Quiz"


@pytest.mark.parametrize(("name", "meant"), [
    ("Product Vewed", "Product Viewed"), ("basket_add", "Product Added"), ("wishlist_add", "Product Added to Wishlist"),
    ("Order Compleated", "Order Completed"), ("Sofa Assembled in AR", ""), ("", ""),
])  # fmt: skip
def test_the_nearest_name_is_told_where_one_is_near(name: str, meant: str) -> None:
    assert nearest_name(name) == meant


def test_the_nearest_name_may_be_one_of_your_own() -> None:
    assert nearest_name("sofa_asembled", ["Sofa Assembled"]) == "Sofa Assembled"
