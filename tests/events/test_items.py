"""How fields of items are read, what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.events.items import (
    ALWAYS_MS,
    FieldReader,
    FieldTypes,
    ItemRefused,
    Meaning,
    candidate_fields,
    is_available,
    meaning_of,
    read_time_ms,
)
from instanter.foundation.limits import FIELDS_TYPED_MAX

NUMBERS = frozenset({"price", "width"})


def reader(**options: Any) -> FieldReader:
    return FieldReader(FieldTypes(), numbers=NUMBERS, **options)


def read(
    fields: dict[str, Any], known: dict[str, Any] | None = None, **options: Any
) -> tuple[dict[str, Any], list[str]]:
    """The canonical fields, and the codes of the remarks."""
    one = reader(**options)
    return one.read(fields, known), [f"{remark.field} {remark.code}" for remark in one.remarks]


@pytest.mark.parametrize(("sent", "fields"), [
    ({"price": 19.99}, {"price": 19.99}),
    ({"price": 20}, {"price": 20}),
    ({"price": "19.99"}, {"price": 19.99}),
    ({"price": "20.00"}, {"price": 20}),
    ({"price": "19,99 EUR"}, {"price": 19.99, "currency": "EUR"}),
    ({"price": "1.299,00"}, {"price": 1299}),
    ({"price": "€5", "currency": "eur"}, {"price": 5, "currency": "EUR"}),
    ({"price": "$5", "currency": "CAD"}, {"price": 5, "currency": "CAD"}),
    ({"price": ""}, {"price": None}),
    ({"price": None}, {"price": None}),
    ({"price": 9, "sale_price": "0.00"}, {"price": 9, "sale_price": None}),
    ({"stock": 5}, {"stock": 5}),
    ({"stock": "5"}, {"stock": 5}),
    ({"stock": " 5.0 "}, {"stock": 5}),
    ({"stock": "0"}, {"stock": 0}),
    ({"stock": "1"}, {"stock": 1}),
    ({"stock": -2}, {"stock": -2}),
    ({"stock": "10+"}, {"stock": 10}),
    ({"stock": "> 10"}, {"stock": 10}),
    ({"stock": "in stock"}, {"stock": None}),
    ({"stock": True}, {"stock": None}),
    ({"stock": False}, {"stock": 0}),
    ({"stock": "Sold Out"}, {"stock": 0}),
    ({"stock": "preorder"}, {"stock": None, "availability": "preorder"}),
    ({"stock": ""}, {"stock": None}),
    ({"availability": ""}, {"availability": None}),
    ({"item_group_id": 7}, {"item_group_id": "7"}),
    ({"item_group_id": 7.0}, {"item_group_id": "7"}),
    ({"item_group_id": "a-0"}, {"item_group_id": "a-0"}),
    *(({"item_group_id": none}, {"item_group_id": None}) for none in (
        0, 0.0, -0.0, False, None, "", " ", "0", "0.0", "00", "-", "--", "–", "nan", "NaN", "NULL", "null", "None",
        "none", "N/A", "n/a", "#N/A", "<NA>", "\\N", "NaT", "undefined", "00000000-0000-0000-0000-000000000000")),
    ({"width": "12,5"}, {"width": 12.5}),
    ({"width": 3}, {"width": 3}),
    ({"expiration_date": "0000-00-00"}, {"expiration_date": None}),
    ({"expiration_date": "2026-03-31"}, {"expiration_date": "2026-04-01T00:00:00.000+00:00"}),
    ({"expiration_date": "9999-12-31"}, {"expiration_date": "9999-12-31T23:59:59.000+00:00"}),
    ({"availability_date": "2026-03-01"}, {"availability_date": "2026-03-01T00:00:00.000+00:00"}),
    ({"created_at": 1_772_323_200}, {"created_at": "2026-03-01T00:00:00.000+00:00"}),
    ({"sale_price_effective_date": "2026-03-01T10:00+0100/2026-03-31"},
     {"sale_price_effective_date": "2026-03-01T09:00:00.000+00:00/2026-04-01T00:00:00.000+00:00"}),
    ({"sale_price_effective_date": "2026-03-01/"}, {"sale_price_effective_date": "2026-03-01T00:00:00.000+00:00/"}),
    ({"sale_price_effective_date": ""}, {"sale_price_effective_date": None}),
    ({"title": "Sofa", "tags": ["a"], "anything": {"b": 1}}, {"title": "Sofa", "tags": ["a"], "anything": {"b": 1}}),
])  # fmt: skip
def test_what_can_be_read_is_written_in_one_way(sent: dict[str, Any], fields: dict[str, Any]) -> None:
    assert read(sent) == (fields, [])


WORDS = {
    True: ["in_stock", "in stock", "In Stock", "InStock", "https://schema.org/InStock", "http://schema.org/instock/",
           "available", "true", True, 1, "1", 3, "limited_availability", "LimitedAvailability", "onlineOnly", "yes",
           "preorder", "PreOrder", "pre-order", "https://schema.org/PreOrder", "backorder", "BackOrder", "onbackorder"],
    False: ["out of stock", "out_of_stock", "OutOfStock", "https://schema.org/OutOfStock", "sold out", "SoldOut",
            "discontinued", "https://schema.org/Discontinued", "false", False, 0, "0", "unavailable", "no", -1],
}  # fmt: skip


@pytest.mark.parametrize(("sent", "available"), [(word, said) for said, words in WORDS.items() for word in words])
def test_availability_in_every_spelling_says_whether_it_can_be_bought(sent: object, available: bool) -> None:
    fields, remarks = read({"availability": sent})
    assert is_available(fields) is available
    assert remarks == []


@pytest.mark.parametrize(("sent", "field"), [
    ({"price": -5}, "price"), ({"price": "-5,00"}, "price"), ({"price": 10**30}, "price"),
    ({"sale_price": -1}, "sale_price"),
])  # fmt: skip
def test_what_cannot_be_is_refused_by_field_with_the_remedy(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(ItemRefused) as caught:
        read(sent)
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field} is ")
    assert ": send " in caught.value.message


@pytest.mark.parametrize("sent", [
    {"price": True}, {"price": [5]}, {"price": 1e400}, {"sale_price": {}}, {"stock": "many"}, {"stock": []},
    {"stock": "1.299 Stk"}, {"stock": "N/A"}, {"stock": 1e400}, {"availability_date": "soon"},
    {"expiration_date": "2026-13-01"}, {"expiration_date": True}, {"expiration_date": "03/01/2026"},
    {"expiration_date": -5}, {"availability_date": 10**21}, {"availability_date": {}}, {"expiration_date": "NaT"},
])  # fmt: skip
def test_a_field_that_cannot_be_read_is_lost_alone_and_told(sent: dict[str, Any]) -> None:
    one = reader()
    (field,) = sent
    assert one.read({"title": "Sofa", **sent}, {field: 7}) == {"title": "Sofa"}
    (remark,) = one.remarks
    assert (remark.field, remark.code) == (field, "unreadable")
    assert remark.message.startswith(f"{field} ")
    assert remark.message.endswith("; the item counts as one without it")


@pytest.mark.parametrize(("sent", "fields", "remarks"), [
    ({"price": "1,299"}, {"price": "1,299"}, ["price unreadable"]),
    ({"price": "on request"}, {"price": "on request"}, ["price unreadable"]),
    ({"price": 9, "sale_price": 10}, {"price": 9, "sale_price": 10}, ["sale_price without_effect"]),
    ({"price": "5 EUR", "currency": "USD"}, {"price": "5 EUR", "currency": "USD"}, ["price other_currency"]),
    ({"price": 5, "currency": "points"}, {"price": 5, "currency": "points"}, ["currency unreadable"]),
    ({"availability": "perhaps"}, {"availability": "perhaps"}, ["availability unreadable"]),
    ({"item_group_id": [1]}, {"item_group_id": [1]}, ["item_group_id unreadable"]),
    ({"item_group_id": True}, {"item_group_id": True}, ["item_group_id unreadable"]),
    ({"width": "12 cm"}, {"width": "12 cm"}, ["width unreadable"]),
    ({"width": "5 EUR"}, {"width": "5 EUR"}, ["width unreadable"]),
    ({"created_at": "yesterday"}, {"created_at": "yesterday"}, ["created_at unreadable"]),
    ({"sale_price_effective_date": "soon"}, {"sale_price_effective_date": "soon"},
     ["sale_price_effective_date unreadable"]),
    ({"inventory": 0}, {"inventory": 0}, ["inventory unheard"]),
    ({"Expires-At": "2026"}, {"Expires-At": "2026"}, ["Expires-At unheard"]),
    ({"inventory": 0, "stock": 0}, {"inventory": 0, "stock": 0}, []),
])  # fmt: skip
def test_what_has_less_effect_than_meant_is_said(
    sent: dict[str, Any], fields: dict[str, Any], remarks: list[str]
) -> None:
    assert read(sent) == (fields, remarks)


HIDDEN: list[dict[str, Any]] = [
    *({name: no} for name in ("active", "visible", "enabled", "published", "is_active", "Is Visible", "g:active")
      for no in (False, 0, "0", "false", "FALSE", "no", -1, "-1")),
    *({name: yes} for name in ("discontinued", "deleted", "hidden", "archived", "isDeleted", "disabled")
      for yes in (True, 1, "1", "true", "yes", "Y")),
    *({"status": word} for word in ("inactive", "archived", "draft", "private", "trash", "pending", "Draft",
                                    "DISABLED")),
    {"catalog_visibility": "hidden"}, {"Visibility in catalog": "hidden"}, {"visibility": "Not Visible Individually"},
    {"status": 2, "type_id": "simple"}, {"status": "2", "extension_attributes": {}},
    {"visibility": 1, "attribute_set_id": 4}, {"product_online": "2"},
    {"status": "active", "deleted": True}, {"active": True, "status": "draft"},
]  # fmt: skip
SHOWN: list[dict[str, Any]] = [
    {"active": True}, {"visible": "1"}, {"published": 1}, {"is_active": "yes"}, {"deleted": False}, {"hidden": "0"},
    {"deleted": None}, {"status": "publish"}, {"status": "Active"}, {"catalog_visibility": "visible"},
    {"visibility": 4, "type_id": "simple"}, {"status": 1, "type_id": "simple"}, {"product_online": 1},
    {"published": "2026-03-01"}, {"published": 2019}, {"status": ""},
]  # fmt: skip


@pytest.mark.parametrize("fields", HIDDEN)
def test_what_is_not_to_be_shown_is_not_available_whatever_its_stock(fields: dict[str, Any]) -> None:
    sent = {"stock": 5, "availability": "in stock", **fields}
    assert read(sent) == ({**sent, "availability": "discontinued"}, [])
    assert not is_available(read(sent)[0])


@pytest.mark.parametrize("fields", SHOWN)
def test_what_is_to_be_shown_is_as_available_as_its_stock_says(fields: dict[str, Any]) -> None:
    assert read(fields) == (fields, [])
    assert is_available(fields)
    assert not is_available(read({**fields, "stock": 0})[0])


@pytest.mark.parametrize("fields", [
    {"status": 2}, {"status": "new"}, {"status": "2"}, {"visibility": 1}, {"active": "perhaps"}, {"active": 12},
    {"deleted": "2026-03-01"}, {"visible": []}, {"status": "x" * 100}, {"status": 9, "type_id": "simple"},
])  # fmt: skip
def test_what_cannot_be_decided_has_no_effect_and_is_told(fields: dict[str, Any]) -> None:
    name = next(iter(fields))
    assert read(fields) == (fields, [f"{name} without_effect"])


@pytest.mark.parametrize(("said", "availability"), [(False, "out_of_stock"), (0, "out_of_stock"), (True, None)])
def test_magentos_stock_is_read_where_nothing_else_says_so(said: object, availability: str | None) -> None:
    sent = {"extension_attributes": {"stock_item": {"qty": 0, "is_in_stock": said}}}
    assert read(sent)[0].get("availability") == availability
    assert read({**sent, "availability": "preorder"})[0]["availability"] == "preorder"
    assert read({"extension_attributes": []})[0] == {"extension_attributes": []}


def test_an_item_that_was_hidden_is_shown_by_a_change_of_what_hid_it() -> None:
    known = read({"active": False, "stock": 3})[0]
    assert known["availability"] == "discontinued"
    assert read({"active": True}, known)[0] == {"active": True, "availability": None}
    assert read({"active": None}, known)[0] == {"active": None, "availability": None}
    assert read({"active": True, "deleted": True}, known)[0] == {"active": True, "deleted": True}
    assert read({"title": "T"}, known)[0] == {"title": "T"}
    assert read({"availability": "in stock"}, known)[0] == {"availability": "in_stock"}
    assert read({"active": False}, {"availability": "out_of_stock"})[0] == {"active": False}


@pytest.mark.parametrize(("name", "meant"), [
    *((name, "category") for name in ("Category", "categories", "product_type", "google_product_category", "Rubrik")),
    *((name, "brand") for name in ("Brand", "vendor", "manufacturer", "g:brand")),
    *((name, "price") for name in ("regular_price", "list_price", "unit_price", "Price")),
    ("g:availability", "availability"), ("g:price", "price"),
])  # fmt: skip
def test_a_name_that_an_import_understands_is_told_with_the_one_that_is_heard(name: str, meant: str) -> None:
    one = reader()
    assert one.read({name: "x"}) == {name: "x"}
    assert [(remark.field, remark.code) for remark in one.remarks] == [(name, "unheard")]
    assert one.remarks[0].message.endswith(f'the field that has one is called "{meant}"')
    heard = {"availability": "in stock"}.get(meant, "7")
    assert "unheard" not in " ".join(read({name: "x", meant: heard})[1])


def test_a_field_that_features_are_declared_over_is_heard() -> None:
    assert read({"vendor": "x", "regular_price": 5}, texts={"vendor"})[1] == ["regular_price unheard"]


@pytest.mark.parametrize("name", ["category", "brand", "tags", "genre"])
@pytest.mark.parametrize(("sent", "names"), [
    ([{"id": 9, "name": "Clothing", "slug": "clothing"}], "Clothing"), ({"id": 9, "name": "Clothing"}, "Clothing"),
    ([{"name": "A"}, {"name": "B"}], ["A", "B"]), ([{"name": "A"}, "B", {"id": 9}], ["A", "B"]),
    ({"title": "A"}, "A"), ({"label": "A"}, "A"), ({"edges": [{"node": {"name": "A"}}, {"node": {"title": "B"}}]},
                                                    ["A", "B"]),
    ({"nodes": [{"name": "A"}]}, "A"), ([["A"], ["B"]], ["A", "B"]), ([{"name": {"value": 5}}], "5"),
    (["A", "B"], ["A", "B"]), ([], []), ({}, None), ([{}], None), (["A"], ["A"]),
])  # fmt: skip
def test_names_are_taken_out_of_maps(name: str, sent: Any, names: Any) -> None:
    fields, remarks = read({name: sent}, texts={"genre"})
    if sent == [{}]:
        assert (fields, remarks) == ({}, [f"{name} unreadable"])
    else:
        assert (fields, remarks) == ({name: names}, [])


def test_a_map_without_a_name_is_lost_and_told_and_other_maps_are_kept() -> None:
    assert read({"category": [{"id": 9}], "anything": {"id": 9}}) == ({"anything": {"id": 9}}, ["category unreadable"])


def test_a_price_in_another_currency_is_never_the_same_number() -> None:
    one = reader()
    assert one.read({"price": "5 EUR"}) == {"price": 5, "currency": "EUR"}
    assert one.read({"price": "600 JPY"}) == {"price": "600 JPY"}
    assert [remark.code for remark in one.remarks] == ["other_currency"]
    assert one.read({"price": 600, "sale_price": 500, "currency": "JPY"}) == {
        "price": "600 JPY", "sale_price": "500 JPY", "currency": "JPY"
    }  # fmt: skip
    assert one.read({"price": 7}) == {"price": 7}
    assert one.remarks == []


def test_a_currency_that_is_set_stands_over_the_first_items() -> None:
    assert read({"price": "5 EUR"}, currency="USD") == ({"price": "5 EUR"}, ["price other_currency"])
    assert read({"price": "$5"}, currency="USD") == ({"price": 5, "currency": "$"}, [])


def test_a_code_says_more_than_a_sign() -> None:
    types = FieldTypes()
    for currency in ("$", "CAD", "$", "USD"):
        types.learn({"price": 1, "currency": currency})
    assert types.currency == "CAD"


def test_a_change_of_one_item_is_read_together_with_what_it_is() -> None:
    known = {"price": 9, "currency": "EUR", "availability": "out_of_stock"}
    assert read({"stock": 3}, known)[1] == ["stock without_effect"]
    assert read({"stock": 3, "availability": "in stock"}, known)[1] == []
    assert read({"sale_price": 10}, known)[1] == ["sale_price without_effect"]
    fields, remarks = read({"currency": "USD"}, known, currency="EUR")
    assert (fields, remarks) == ({"currency": "USD", "price": "9 USD"}, ["price other_currency"])
    assert read({"price": 6}, {"price": "5 USD", "currency": "USD"}, currency="EUR")[0] == {"price": "6 USD"}


def test_a_change_of_a_fields_kind_is_said_and_the_first_one_stands() -> None:
    one = reader()
    for fields, remarks in (
        ({"color": "red", "size": 5, "new": True}, []), ({"color": ["red", "blue"], "size": None}, []),
        ({"size": "XL"}, ["size"]), ({"color": 5}, ["color"]), ({"size": 6}, []), ({"new": "yes"}, ["new"]),
    ):  # fmt: skip
        assert one.read(fields) == fields
        assert [(remark.field, remark.code) for remark in one.remarks] == [(name, "other_kind") for name in remarks]


def test_kinds_are_remembered_of_so_many_fields() -> None:
    types = FieldTypes()
    types.learn({f"field {number}": number for number in range(FIELDS_TYPED_MAX + 5)})
    assert len(types.kinds) == FIELDS_TYPED_MAX
    other = types.copy()
    other.learn({"price": 1, "currency": "EUR"})
    assert types.currency == ""


@pytest.mark.parametrize(("sent", "at"), [
    ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00"), ("2026-03-01T10:00+0100", "2026-03-01T09:00:00"),
    ("2026-03-01 10:00:00", "2026-03-01T10:00:00"), ("2026-03-01 10:00:00 -0400", "2026-03-01T14:00:00"),
    ("2026-03-01 10:00:00 UTC", "2026-03-01T10:00:00"), ("2026-03-01", "2026-03-01T00:00:00"),
    ("20260301T100000Z", "2026-03-01T10:00:00"), ("2026/03/01", "2026-03-01T00:00:00"),
    ("2026/3/1 10:00", "2026-03-01T10:00:00"), ("1.3.2026", "2026-03-01T00:00:00"),
    ("01.03.2026 10:00", "2026-03-01T10:00:00"), ("Sun, 01 Mar 2026 10:00:00 GMT", "2026-03-01T10:00:00"),
    ("Sun, 1 Mar 2026 10:00:00 +0100", "2026-03-01T09:00:00"), (1_772_359_200, "2026-03-01T10:00:00"),
    (1_772_359_200_000, "2026-03-01T10:00:00"), (1_772_359_200_000_000, "2026-03-01T10:00:00"),
    (1_772_359_200_000_000_000, "2026-03-01T10:00:00"), ("1772359200", "2026-03-01T10:00:00"),
    ("1772359200.0", "2026-03-01T10:00:00"), (1_772_359_200.0, "2026-03-01T10:00:00"),
])  # fmt: skip
def test_a_time_is_the_same_in_every_spelling(sent: object, at: str) -> None:
    assert read_time_ms(sent) == int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()) * 1_000


@given(st.one_of(st.text(max_size=80), st.floats(), st.integers(), st.booleans(), st.none()))
def test_any_value_is_a_time_or_none(value: object) -> None:
    with suppress(ValueError):
        assert read_time_ms(value) >= 0


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.lists(st.text(max_size=3), max_size=3),
    st.lists(st.dictionaries(st.sampled_from(["id", "name"]), st.text(max_size=3), max_size=2), max_size=3),
    st.sampled_from(["draft", "active", 0, 1, 2]),
    st.sampled_from(["5 EUR", "$3", "in stock", "2026-03-01", "2026-03-01/2026-04-01", "9999-12-31"]),
)
NAMES = st.sampled_from([
    "price", "sale_price", "currency", "stock", "availability", "availability_date", "expiration_date", "created_at",
    "item_group_id", "sale_price_effective_date", "width", "title", "inventory", "active", "status", "deleted",
    "category", "visibility", "type_id",
])  # fmt: skip
FIELDS = st.dictionaries(NAMES, VALUES, max_size=6)


@given(FIELDS, FIELDS)
def test_whatever_is_sent_is_read_or_refused_and_reading_it_again_changes_nothing(
    sent: dict[str, Any], known: dict[str, Any]
) -> None:
    with suppress(ItemRefused):
        fields = read(sent)[0]
        meaning_of(fields)
        is_available(fields)
        assert read(fields)[0] == fields
        read(sent, known)


def test_a_sale_without_a_period_always_holds_and_one_that_cannot_be_read_never() -> None:
    assert meaning_of({"price": 9, "sale_price": 7}) == Meaning(sale_price=7.0, sale_until_ms=ALWAYS_MS)
    assert meaning_of({"price": 9, "sale_price": 7, "sale_price_effective_date": "soon"}) == Meaning()
    assert meaning_of({"price": 9, "sale_price": 7, "sale_price_effective_date": "soon/"}) == Meaning()


@pytest.mark.parametrize(("sent", "stock"), [
    ("1.250", 1250), ("1,250", 1250), ("12 000", 12000), ("1.250.000", 1250000), ("999.999", 999999), ("-1.250", -1250),
    ("0.500", 0.5), ("1.25", 1.25), ("1250.000", 1250), (1.25, 1.25), ("1250", 1250),
])  # fmt: skip
def test_a_stock_in_groups_of_three_digits_is_thousands(sent: object, stock: float) -> None:
    assert read({"stock": sent}) == ({"stock": stock}, [])
    assert candidate_fields({"stock": sent}, ()) == {"stock": stock}


@pytest.mark.parametrize("sent", ["EUR 1.250", "1.25.000", "1.250 Stk", "1.2500.00"])
def test_a_stock_in_other_groups_is_told(sent: str) -> None:
    assert read({"stock": sent}) == ({}, ["stock unreadable"])
    assert read({"price": "1.250"})[1], "a price may have decimals, and stays ambiguous"


@pytest.mark.parametrize("sent", [
    {"Aktiv": "nein"}, {"aktiv": "Nein"}, {"aktiv": False}, {"ist_aktiv": "0"}, {"sichtbar": "falsch"},
    {"gelöscht": "ja"}, {"Archiviert": "wahr"}, {"Status": "inaktiv"}, {"Artikelstatus": "Entwurf"},
    {"actif": "non"}, {"publié": "faux"}, {"statut": "brouillon"}, {"supprimé": "oui"}, {"actief": "nee"},
    {"verwijderd": "ja"}, {"status": "concept"}, {"activo": "no"}, {"oculto": "sí"}, {"status": "Borrador"},
    {"attivo": "falso"}, {"stato": "Bozza"}, {"inactive": True}, {"ativo": "não"},
])  # fmt: skip
def test_what_is_not_shown_may_be_said_in_the_languages_of_shops(sent: dict[str, Any]) -> None:
    fields, remarks = read({"stock": 3, **sent})
    assert (fields["availability"], remarks) == ("discontinued", [])


@pytest.mark.parametrize("sent", [
    {"aktiv": "ja"}, {"gelöscht": "nein"}, {"Status": "Aktiv"}, {"actif": "oui"}, {"actief": "ja"}, {"activo": "sí"},
    {"attivo": "vero"}, {"statut": "publié"}, {"inactive": 0},
])  # fmt: skip
def test_what_is_shown_may_be_said_so_too(sent: dict[str, Any]) -> None:
    assert read({"stock": 3, **sent}) == ({"stock": 3, **sent}, [])


@pytest.mark.parametrize("name", ["aktiv", "actif", "activo", "gelöscht", "statut"])
def test_a_sign_in_another_language_that_says_neither_is_told(name: str) -> None:
    assert read({name: "vielleicht"})[1] == [f"{name} without_effect"]


@pytest.mark.parametrize("name", ["verfügbar", "Verfuegbar", "lieferbar", "disponible", "disponibile", "beschikbaar"])
def test_availability_by_another_name_is_told_and_its_words_are_known(name: str) -> None:
    one = reader()
    one.read({name: "nein"})
    (remark,) = one.remarks
    assert (remark.field, remark.code) == (name, "unheard")
    assert 'is called "availability"' in remark.message
    for no, yes in (("nein", "ja"), ("non", "oui"), ("nee", "leverbaar"), ("no disponible", "sí")):
        assert read({"availability": no})[0] == {"availability": "out_of_stock"}
        assert read({"availability": yes})[0] == {"availability": "in_stock"}
