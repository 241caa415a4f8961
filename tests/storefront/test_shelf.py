"""What a storefront carries, from the simulator's shop and from files of anybody's items."""

import json

import pytest

from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import STOREFRONT_ITEMS_MAX, STOREFRONT_PLAYED_MAX
from instanter.sim.shop import Shop
from instanter.storefront.personas import STRANGER, personas_of
from instanter.storefront.shelf import Shelf


def items(*fields):
    return [{"id": f"i-{number}", "fields": each} for number, each in enumerate(fields)]


class TestShelfOfTheShop:
    shelf = Shelf.of_shop(Shop(products=400))

    def test_it_has_rooms_with_their_categories(self):
        titles = {section.title: section for section in self.shelf.sections}
        assert "Living room" in titles
        inner = [self.shelf.section(slug).title for slug in titles["Living room"].within]
        assert "Armchair" in inner

    def test_a_section_is_found_by_its_slug_and_an_item_by_its_section(self):
        section = self.shelf.section("coffee-table")
        assert self.shelf.section_of(self.shelf.item(section.ids[0])) == section

    def test_search_wants_all_words_in_any_writing(self):
        found = self.shelf.search("  OAK table ", 5)
        assert found
        assert all(item.material == "oak" and "table" in item.category for item in found)
        assert self.shelf.search("***", 5) == []

    def test_stock_that_changes_is_seen(self):
        shelf = Shelf.of_shop(Shop(products=50))
        shelf.set_stock("sku-0001", 0)
        assert shelf.item("sku-0001").sold_out


class TestShelfOfAFile:
    def read(self, tmp_path, *lines):
        path = tmp_path / "items.ndjson"
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
        return Shelf.read(path)

    def test_a_line_that_is_no_item_is_named_and_the_rest_goes_on(self, tmp_path):
        shelf, remarks = self.read(
            tmp_path, {"id": "a", "fields": {"title": "Cup"}}, b"{nonsense", b"", {"fields": {}}, [1], {"id": "b"},
            {"id": 7, "fields": {"title": "Seven"}}, {"id": "c", "fields": "none"})  # fmt: skip
        assert [item.id for item in shelf.items()] == ["a", "b", "7"]
        assert [remark.partition(":")[0] for remark in remarks] == ["line 2", "line 4", "line 5", "line 8"]

    @pytest.mark.parametrize("lines", [[], [b"\xff\xfe"], [b"{}"]])
    def test_a_file_without_any_item_is_refused(self, tmp_path, lines):
        with pytest.raises(RequestRejected, match="holds no item"):
            self.read(tmp_path, *lines)

    def test_a_file_that_is_not_there_is_told(self, tmp_path):
        with pytest.raises(RequestRejected, match="cannot read"):
            Shelf.read(tmp_path / "none")

    def test_it_holds_at_most_so_many_and_says_so(self, tmp_path):
        lines = [b'{"id": "%d"}' % number for number in range(STOREFRONT_ITEMS_MAX + 2)]
        shelf, remarks = self.read(tmp_path, *lines)
        assert len(shelf) == STOREFRONT_ITEMS_MAX
        assert "the rest is not shown" in remarks[0]

    def test_fields_of_any_type_are_read_as_far_as_they_can_be_shown(self):
        shelf = Shelf.of_items(items(
            {"title": ["First", "second"], "price": "19.90", "category": None, "stock": "many", "size": 42,
             "nested": {"a": 1}, "long": "x" * 999, "ok": True},
            {"name": "Named", "price": float("inf"), "category": 5}))  # fmt: skip
        first, second = shelf.items()
        assert (first.title, first.price, first.stock, first.details) == ("First", 19.9, None, (("size", "42"),))
        assert (second.title, second.price, second.category) == ("Named", None, "5")

    def test_categories_of_one_slug_stay_apart_and_items_without_one_stand_together(self):
        shelf = Shelf.of_items(items({"category": "A b"}, {"category": "a B"}, {}, {"category": "!?"}))
        assert len({section.slug for section in shelf.categories}) == 4
        assert {section.title for section in shelf.sections} >= {"A b", "Other"}


class TestAStrangersFeed:
    def test_addresses_and_what_says_whether_it_is_sold_are_no_properties(self):
        shelf = Shelf.of_items(items({
            "title": "Jacket", "Link": "Https://shop.example/a", "Bild": "//cdn.example/a.jpg", "site": "www.a.example",
            "Aktiv": "Ja", "in stock": "yes", "Fit": "slim // long",
        }))  # fmt: skip
        assert shelf.item("i-0").details == (("Fit", "slim // long"),)

    def test_of_a_category_path_the_last_part_is_shown_and_paths_stay_apart(self):
        shelf = Shelf.of_items(items({"category": "Men > Jackets"}, {"category": "Women > Jackets"}, {"category": ">"}))
        assert [section.title for section in shelf.categories] == ["Jackets", "Jackets", ">"]
        assert len({section.slug for section in shelf.categories}) == 3
        second = shelf.item("i-1")
        assert (second.category_title, second.category) == ("Jackets", "Women > Jackets")
        assert shelf.section_of(second).ids == ("i-1",)

    def test_the_currency_is_that_of_all_prices_or_none(self):
        assert Shelf.of_items(items({"currency": "chf"}, {"currency": "CHF"}, {})).currency == "CHF"
        assert Shelf.of_items(items({"currency": "EUR"}, {"currency": "USD"})).currency == ""
        assert Shelf.of_items(items({"currency": "euros"})).currency == ""


class TestPersonas:
    def test_those_of_the_furniture_shop_begin_with_views_that_it_has(self):
        shelf = Shelf.of_shop(Shop())
        made = personas_of(shelf)
        assert made[0] == STRANGER
        assert len(made) == 6
        lover = next(persona for persona in made if persona.id == "midcentury")
        assert {item.style for item in lover.views} == {"mid-century"}
        assert all(0 < len(persona.views) <= STOREFRONT_PLAYED_MAX for persona in made[1:])

    def test_of_any_other_shelf_they_are_its_large_sections(self):
        shelf = Shelf.of_items(items({"category": "cups"}, {"category": "cups"}, {"category": "pans"}))
        assert [persona.name for persona in personas_of(shelf)] == ["A stranger", "Into Cups", "Into Pans"]
