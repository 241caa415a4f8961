"""Drawings of what a shop carries: each is a drawing, the same each time, and as its fields say."""

from xml.etree import ElementTree

import pytest

from instanter.foundation.limits import STOREFRONT_PICTURES_MAX
from instanter.sim.assortment import CATEGORIES, COLOURS, MATERIALS, STYLES
from instanter.storefront.drawing.articles import illustration
from instanter.storefront.drawing.palette import COLOURS as PAINTS
from instanter.storefront.drawing.palette import MATERIALS as SOLIDS
from instanter.storefront.drawing.palette import STYLES as LOOKS
from instanter.storefront.drawing.picture import PIECES, card, furniture, variant_of
from instanter.storefront.news import ARTICLES

CLOTHS = {"velvet", "linen", "wool", "boucle", "cotton"}


def test_all_that_the_shop_carries_can_be_drawn():
    assert set(PIECES) == {category.name for category in CATEGORIES}
    assert set(LOOKS) == set(STYLES)
    assert set(PAINTS) == set(COLOURS)
    assert set(SOLIDS) | CLOTHS == set(MATERIALS)


@pytest.mark.parametrize("category", sorted(PIECES))
def test_each_piece_differs_by_style_and_is_well_formed(category):
    material = next(each.materials[0] for each in CATEGORIES if each.name == category)
    drawings = {furniture(category, style, colour, material, variant)
                for style in STYLES for colour in ("teal", "blush") for variant in range(3)}  # fmt: skip
    assert len(drawings) >= len(STYLES)
    for drawing in drawings:
        assert ElementTree.fromstring(drawing).tag.endswith("svg")
        assert "script" not in drawing


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.name)
def test_each_piece_shows_its_colour_whatever_it_is_made_of(category):
    for material in category.materials:
        for style in STYLES:
            assert len({furniture(category.name, style, colour, material, 0) for colour in COLOURS}) == len(COLOURS)


def test_what_is_not_known_is_drawn_plainly():
    assert ElementTree.fromstring(furniture("armchair", "unheard of", "octarine", "moonlight", 7)) is not None


@pytest.mark.parametrize("title", ["", " ", "<script>alert(1)</script>", "Größe & Maß", "\u202e"])
def test_a_card_stands_for_whatever_has_no_recipe(title):
    assert ElementTree.fromstring(card(title, "kind")) is not None


def test_each_subject_has_a_scene():
    assert len({illustration(subject, "news-001") for subject in ARTICLES}) == len(ARTICLES)
    assert ElementTree.fromstring(illustration("unheard of", "x")) is not None


def test_as_many_drawings_are_kept_as_the_bound_says():
    assert furniture.cache_info().maxsize == card.cache_info().maxsize == STOREFRONT_PICTURES_MAX
    assert illustration.cache_info().maxsize == STOREFRONT_PICTURES_MAX


def test_an_item_has_one_variant():
    assert [variant_of("sku-0001"), variant_of("sku-0001")] == [variant_of("sku-0001")] * 2
