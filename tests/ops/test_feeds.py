"""Files of items in every form, told apart by content; each bad row is named, and the rest goes on."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import (
    FEED_COLUMNS_MAX,
    FEED_LINE_CHARS_MAX,
    FEED_QUOTES_MAX,
    FEED_VALUE_CHARS_MAX,
    FEED_WRAPS_MAX,
    FEED_XML_CHARS_MAX,
    FEED_XML_DEPTH_MAX,
    FEED_XML_ELEMENTS_MAX,
    FEED_XML_TAG_BYTES_MAX,
    ROWS_PEEKED_MAX,
    UNPACKED_FREE_BYTES,
    UNPACKED_RATIO_MAX,
)
from instanter.ops.archives import opened_archive
from instanter.ops.feeds import opening
from instanter.ops.feeds.opening import HEAD_BYTES
from instanter.ops.feeds.reading import FeedItem, Problem, read_items

Told = list[tuple[str, str, Any]]
SOFA = {"title": "Sofa", "price": "19,90", "brand": "Own"}


def told(data: bytes | str, **columns: str) -> tuple[str, Told, str]:
    """The format, (place, id, fields) of items and (place, "", reason) of problems, and whether it broke off."""
    raw = data.encode() if isinstance(data, str) else data
    with read_items(io.BytesIO(raw), columns=columns) as feed:
        found: Told = [
            (place, one.id, one.fields) if isinstance(one, FeedItem) else (place, "", one.reason) for place, one in feed
        ]
        return feed.format, found, feed.broken


def items(data: bytes | str, **columns: str) -> dict[str, dict[str, Any]]:
    """Fields by id, of a feed without problems."""
    _, found, broken = told(data, **columns)
    assert not broken
    assert not [one for one in found if not one[1]], found
    return {item_id: fields for _, item_id, fields in found}


def refusal(data: bytes | str, **columns: str) -> str:
    with pytest.raises(RequestRejected) as caught:
        told(data, **columns)
    return caught.value.message


# Tables.

TABLE = 'id{0}title{0}price{0}brand\n5{0}"Sofa"{0}"19,90"{0}Own\n\nsku-2{0}"Lamp{0} ""big"""{0}7{0}\n'


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_table_is_read_with_any_delimiter_encoding_and_ending(delimiter: str, encoding: str, ending: str) -> None:
    text = TABLE.format(delimiter).replace("Own", "Öwn").replace("\n", ending)
    assert items(text.encode(encoding)) == {
        "5": {**SOFA, "brand": "Öwn"}, "sku-2": {"title": f'Lamp{delimiter} "big"', "price": "7"}
    }  # fmt: skip


def test_the_line_that_names_the_delimiter_for_spreadsheets_is_no_header() -> None:
    assert items("sep=;\r\nid;title\r\n1;a,b\r\n") == {"1": {"title": "a,b"}}


def test_a_table_without_a_last_line_end_and_with_spaces_is_read() -> None:
    assert items('\ufeff\n id , title ,Stock\n 1 , "a ""b""" , 5') == {"1": {"title": 'a "b"', "stock": "5"}}


def test_bytes_that_are_no_utf_8_further_on_are_the_windows_code_page() -> None:
    lines = b"id,title\n" + b"".join(b"%d,%s\n" % (number, b"x" * 90) for number in range(900)) + b"900,M\xfcller\n"
    assert items(lines)["900"] == {"title": "Müller"}


@pytest.mark.parametrize(("names", "id_column"), [
    ("id,sku,title", "id"), ("SKU,Name", "SKU"), ("Product ID,Title", "Product ID"), ("g:id,g:title", "g:id"),
    ("item_id,name", "item_id"), ("productId,name", "productId"), ("article_id,headline", "article_id"),
    ("title,product_id,sku", "product_id"),
])  # fmt: skip
def test_the_id_is_found_under_every_name_it_goes_by(names: str, id_column: str) -> None:
    columns = names.split(",")
    row = [f"of {name}" for name in columns]
    assert list(items(f"{names}\n{','.join(row)}\n")) == [f"of {id_column}"]


def test_columns_are_called_as_our_fields_and_others_keep_their_names() -> None:
    names = ("Product ID,Name,Type,Vendor,Regular Price,Sale Price,Inventory,Availability,Image URL,URL,Parent SKU,"
             "Available From,Expires,Created,Warehouse,GTIN")  # fmt: skip
    values = "1,n,c,b,9,8,7,in stock,i,l,g,2026-01-01,2027-01-01,2025-01-01,w,0012"
    assert items(f"{names}\n{values}\n")["1"] == {
        "title": "n", "category": "c", "brand": "b", "price": "9", "sale_price": "8", "stock": "7",
        "availability": "in stock", "image_link": "i", "link": "l", "item_group_id": "g",
        "availability_date": "2026-01-01", "expiration_date": "2027-01-01", "created_at": "2025-01-01",
        "Warehouse": "w", "GTIN": "0012",
    }  # fmt: skip


NOTHINGS = ["nan", "NaN", "NULL", "null", "None", "N/A", "NaT", "\\N", "<NA>", "#N/A", "#REF!", " NULL "]


@pytest.mark.parametrize("nothing", NOTHINGS)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_texts_for_nothing_are_empty_cells_but_in_ids_and_titles(nothing: str, delimiter: str) -> None:
    rows = ["id,title,category,brand,stock,option1", f"1,{nothing},{nothing},{nothing},{nothing},{nothing}",
            f"{nothing},T,{nothing},B,,"]  # fmt: skip
    with read_items(io.BytesIO("\n".join(rows).replace(",", delimiter).encode())) as feed:
        found = [one for _, one in feed]
    plain = nothing.strip()
    assert found == [FeedItem("1", {"title": plain, "option1": plain}), FeedItem(plain, {"title": "T", "brand": "B"})]
    assert feed.notes == [
        "cells in which NULL, NaN, N/A and the like stand count as empty: category 2, brand 1, stock 1"
    ]


@pytest.mark.parametrize("text", ["NA", "none", "Nano", "NULL and void", "-"])
def test_texts_that_may_say_something_are_kept(text: str) -> None:
    with read_items(io.BytesIO(f"id,category\n1,{text}\n".encode())) as feed:
        assert [one for _, one in feed] == [FeedItem("1", {"category": text})]
    assert feed.notes == []


def test_texts_for_nothing_are_empty_cells_of_shopifys_export_too() -> None:
    table = "Handle,Title,Vendor,Variant Price,Variant SKU,Option1 Name,Option1 Value\nh,None,NULL,NaN,s,Size,None\n"
    assert items(table) == {"s": {"title": "None", "handle": "h", "item_group_id": "h", "size": "None"}}


@pytest.mark.parametrize(("written", "read_as", "notes"), [
    (["12345.0", "7.0"], ["12345", "7"], 1), (["12345.00", "NaN", "8.0"], ["12345", "NaN", "8"], 0),
    (["1.0", "1.1", "2.0"], ["1.0", "1.1", "2.0"], 0), (["5", "6.0"], ["5", "6.0"], 0), (["v1.0"], ["v1.0"], 0),
    (["7.0"], ["7"], 1),
])  # fmt: skip
def test_ids_that_a_column_writes_as_decimals_are_whole_numbers(
    written: list[str], read_as: list[str], notes: int
) -> None:
    rows = "".join(f"{one},{one},{one}\n" for one in written)
    with read_items(io.BytesIO(f"product_id,parent_id,size\n{rows}".encode())) as feed:
        found = [one for _, one in feed if isinstance(one, FeedItem)]
    if notes:
        assert [one.id for one in found] == read_as
        assert [one.fields["item_group_id"] for one in found] == read_as
        assert [one.fields["size"] for one in found] == written
        first = f"has whole numbers that are written as decimals: {written[0]} is read as {read_as[0]}"
        assert feed.notes == [f"the column product_id {first}", f"the column parent_id {first}"]
    elif "NaN" not in written:
        assert [one.id for one in found] == read_as
        assert feed.notes == []


def test_a_column_is_judged_by_its_first_rows_and_gaps_are_none() -> None:
    rows = "".join(f"{n}.0,{'' if n % 2 else n}\n" for n in range(1, ROWS_PEEKED_MAX + 1))
    found = items(f"id,size\n{rows}x-1,2\n9.5,3\n1000.0,4\n")
    assert [*found][-3:] == ["x-1", "9.5", "1000"]
    assert "1" in found


def test_two_columns_that_mean_the_same_are_both_kept() -> None:
    assert items("id,name,title\n1,n,t\n") == {"1": {"name": "n", "title": "t"}}
    assert items("id,x,x\n1,a,b\n") == {"1": {"x": "a", "x (3)": "b"}}


def test_a_column_can_be_named() -> None:
    mapped = {"s": {"title": "x", "id_in_feed": "1"}}
    assert items("id,sku,label\n1,s,x\n", id="sku", title="label") == mapped
    assert items("sku,label,id\ns,x,1\n", id="sku", title="label") == mapped
    assert list(items("code,label\n1,x\n", id="code")) == ["1"]
    assert refusal("code,label\n1,x\n", id="cod") == 'there is no column "cod" for id: the columns are code, label'


@pytest.mark.parametrize(("data", "says"), [
    ("a,b\n1,2\n", "no column is the id of an item; say which one: --map id=COLUMN (the columns are a, b)"),
    ("id,title,id\n1,x,2\n", 'two columns are called "id": rename one of them'),
    ("", "it is empty"), (",,\n", "it is empty"), ("\ufeff \n\n", "it is empty"),
    ("x" * 100 + "\n", "it is no table, JSON, XML or Parquet"),
    ("<html><body>Sign in</body></html>", "HTML page"), ("<!DOCTYPE html><html></html>", "HTML page"),
    ("<rss><channel></channel></rss>", "the XML has no items"), ("<a", "the XML cannot be read: line 1"),
    ('{"a": 1,\n"b": 2}', "the object holds no list of items"), (b"PAR1....", "standard input"),
    (b"\x1f\x8b\x08nonsense", "it cannot be unpacked"), (b"\x28\xb5\x2f\xfdx", "zstd"),
    (b"PK\x03\x04....[Content_Types].xml", "save it as CSV"), (b"PK\x03\x04", "standard input"),
])  # fmt: skip
def test_a_file_that_is_no_feed_is_refused_in_a_sentence_with_the_remedy(data: bytes | str, says: str) -> None:
    assert says in refusal(data)


def test_a_bad_row_is_named_and_the_rest_goes_on() -> None:
    _, found, broken = told("id,title\n1,a\n2\n,b\n3,c,d\n4,e,\n5,f\n")
    assert found == [
        ("line 2", "1", {"title": "a"}), ("line 3", "", "it has 1 values, and there are 2 columns"),
        ("line 4", "", "it has no id"), ("line 5", "", "it has 3 values, and there are 2 columns"),
        ("line 6", "4", {"title": "e"}), ("line 7", "5", {"title": "f"}),
    ]  # fmt: skip
    assert not broken


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    _, found, _ = told('id,title\n1,"a\nb"\n\n2\n')
    assert [place for place, *_ in found] == ["line 2", "line 5"]


def test_a_quote_that_nobody_closes_is_told_with_what_it_took() -> None:
    rows = "".join(f"{number},{'x' * 80}\n" for number in range(2_000))
    _, found, broken = told(f'id,title\na,ok\nb,"open\n{rows}')
    assert "a quote in it is not closed" in broken
    assert len(found) == 2_002
    problems = [(place, reason) for place, item_id, reason in found if not item_id]
    assert problems[0][0] == "line 3"
    assert "a quote in it is not closed" in problems[0][1]
    assert f"{FEED_VALUE_CHARS_MAX:,}" in problems[0][1]
    assert found[-1][1] == "1999"


ROWS = "".join(f"p-{n},Lamp {n},{n}.50\n" for n in range(3, 6))


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize(("bad", "behind", "ids"), [
    ('p-2,Desk,"8\n', ROWS, ["p-3", "p-4", "p-5"]),
    ('p-2,"27 inch monitor,8\n', ROWS, ["p-3", "p-4", "p-5"]),
    ('p-2,"27 inch monitor,8\n', 'p-3,24",7\n' + ROWS, ["p-3", "p-3", "p-4", "p-5"]),
    ('"p-2,Desk,8\n', 'p-6,"Lamp",7\n' + ROWS, ["p-6", "p-3", "p-4", "p-5"]),
    ('p-2,Desk,"8\n', 'a,"Lamp",x\nb,"Bed",y\n', ["a", "b"]),
    ('p-2,Desk,"', "", []), ('p-2,Desk,"8\nand no more\n', "", []),
])  # fmt: skip
def test_a_quote_that_swallows_rows_is_told_with_its_line_and_replaces_no_catalogue(
    bad: str, behind: str, ids: list[str], delimiter: str
) -> None:
    table = f"id,title,price\np-1,Sofa,9\n{bad}{behind}".replace(",", delimiter)
    _, found, broken = told(table)
    assert [(place, item_id) for place, item_id, _ in found[:2]] == [("line 2", "p-1"), ("line 3", "")]
    assert [item_id for _, item_id, _ in found[2:]] == ids
    assert found[1][2] == broken
    assert broken.startswith("a quote in it is not closed")


def test_quotes_at_any_place_of_two_rows_lose_none_without_a_word() -> None:
    chance = random.Random(11)
    for _ in range(500):
        lines = [f"p-{n},Lamp {n},{n}.50" for n in range(chance.randint(3, 8))]
        for form in ('"{}', chance.choice(['"{}"', '{}"', '"{}'])):
            row, column = chance.randrange(len(lines)), chance.randrange(3)
            values = lines[row].split(",")
            values[column] = form.format(values[column])
            lines[row] = ",".join(values)
        _, found, broken = told("\n".join(["id,title,price", *lines, ""]))
        assert broken or len(found) == len(lines), lines


def test_lines_behind_a_quote_keep_their_numbers() -> None:
    _, found, _ = told(f'id,title,price\np-1,"27 inch,9\n\n{ROWS}p-9\n')
    assert [place for place, *_ in found] == ["line 2", *(f"line {number}" for number in range(4, 8))]


@pytest.mark.parametrize("text", [
    "two\nlines", "a, b\nc, d\ne", "soft, warm\n90 x 40 cm, blue\n5, 6 or 7 feet", '3,5 kg\n27"" wide, black',
    "x\n" * 50, "a,b,c\n" * 3,
])  # fmt: skip
def test_a_text_of_several_lines_is_one_value(text: str) -> None:
    table = f'id,title,price\np-1,"{text}",9\np-2,"{text}",8\n'
    _, found, broken = told(table)
    plain = text.replace('""', '"').strip()
    assert [fields["title"] for _, _, fields in found] == [plain, plain]
    assert not broken


def test_rows_behind_so_many_quotes_are_read_by_themselves() -> None:
    row = 'p-{0},"open,{0}\n'
    rows = "".join(row.format(number) for number in range(3 * FEED_QUOTES_MAX))
    _, found, broken = told(f"id,title,price\n{rows}")
    assert broken
    left_out = [reason for _, _, reason in found if "what stands from there" in reason]
    assert len(found) - len(left_out) == FEED_QUOTES_MAX
    assert left_out


@pytest.mark.parametrize("between", ["x", '\n'])
def test_a_row_that_is_too_long_is_told_and_not_cut_in_its_last_column(between: str) -> None:
    """In one line, or in many because its values hold line ends."""
    value = '"' + between * (FEED_VALUE_CHARS_MAX - 9) + '"'
    names = [f"c{number}" for number in range(FEED_LINE_CHARS_MAX // len(value) + 1)]
    rows = [["id", *names], ["2", *[value] * len(names)], ["3"] * (len(names) + 1)]
    _, found, _ = told("\n".join(map(",".join, rows)))
    long = [reason for _, item_id, reason in found if not item_id]
    assert f"it has more than {FEED_LINE_CHARS_MAX:,} characters" in long[0]
    assert "2" not in [item_id for _, item_id, _ in found]
    if between == "x":
        assert [(place, item_id) for place, item_id, _ in found] == [
            ("line 2", ""), ("line 3", "3")]


# JSON.

OBJECTS = [{"id": 5, "title": "Sofa", "stock": 0}, {"sku": "a", "name": "Lamp", "inventory": 3, "tags": ["x"]},
           {"id": "b", "fields": {"name": "kept"}}]  # fmt: skip
AS_ITEMS = {
    "5": {"title": "Sofa", "stock": 0}, "a": {"title": "Lamp", "stock": 3, "tags": ["x"]}, "b": {"name": "kept"}
}  # fmt: skip


@pytest.mark.parametrize("data", [
    json.dumps(OBJECTS), json.dumps(OBJECTS, indent=2), json.dumps({"items": OBJECTS}),
    json.dumps({"page": {"a": [1]}, "products": OBJECTS, "next": None}, indent=1), json.dumps({"entries": OBJECTS}),
    "\n".join(map(json.dumps, OBJECTS)), "\r\n\r\n".join(map(json.dumps, OBJECTS)) + "\r\n",
    "\ufeff" + json.dumps(OBJECTS), json.dumps(OBJECTS).encode("utf-16"), "  \n" + json.dumps(OBJECTS),
    json.dumps({"products": [{"node": one} for one in OBJECTS]}), json.dumps({"result": OBJECTS, "next": {"a": [1]}}),
    json.dumps({"meta": {"items": [1]}, "data": {"total": 3, "products": OBJECTS, "page": 1}, "ok": True}),
    json.dumps({"rss": {"channel": {"title": "x", "item": OBJECTS}}}, indent=1),
])  # fmt: skip
def test_json_is_read_as_lines_as_a_list_and_as_an_object_with_a_list(data: bytes | str) -> None:
    assert items(data) == AS_ITEMS


@pytest.mark.parametrize("data", [
    '{"items": [{"id": 1}]}\n{"items": [{"id": 2}]}', '{"data": {"items": [{"id": 1}], "a": [2]}}\n{"id": 2}',
    '[{"id": 1}]\n[{"id": 2}]', '{"items": [{"id": 1}], "more": {"a": 1}} x',
])  # fmt: skip
def test_what_stands_behind_a_list_is_told_and_replaces_no_catalogue(data: str) -> None:
    _, found, broken = told(data)
    assert [item_id for _, item_id, _ in found if item_id] == ["1"]
    assert "behind the list of items stands more" in broken


AROUND = [
    {"took": 1, "hits": {"total": 2, "hits": [{"_id": "a", "_source": {"name": "Sofa"}},
                                              {"_id": "x", "_source": {"sku": "b", "price": 5}}]}},
    {"@graph": [{"@type": "WebSite", "@id": "w", "name": "Shop"}, {"@type": "Product", "@id": "a", "name": "Sofa"},
                {"@type": "Product", "@id": "https://shop.example/b", "sku": "b", "price": 5}]},
    {"data": {"products": {"edges": [{"cursor": "c", "node": {"id": "a", "title": "Sofa"}},
                                     {"node": {"id": "b", "price": 5}}], "pageInfo": {"hasNextPage": False}}}},
    {"data": {"products": {"nodes": [{"id": "a", "title": "Sofa"}, {"id": "b", "price": 5}]}}},
    {"@type": "ItemList", "itemListElement": [
        {"@type": "ListItem", "item": {"@type": "Product", "@id": "a", "name": "Sofa"}},
        {"@type": "ListItem", "item": {"@type": "Product", "sku": "b", "price": 5}}]},
]  # fmt: skip


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("around", AROUND)
def test_items_are_found_within_what_interfaces_put_around_them(around: Any, indent: int | None) -> None:
    assert items(json.dumps(around, indent=indent)) == {"a": {"title": "Sofa"}, "b": {"price": 5}}


def test_an_item_that_holds_lists_itself_is_a_line() -> None:
    assert items('{"id": 1, "product": {"items": [1]}}\n{"id": 2, "title": "T"}') == {
        "1": {"product": {"items": [1]}}, "2": {"title": "T"}}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_whose_names_are_ids_is_told_what_is_wanted(indent: int | None) -> None:
    keyed = json.dumps({"a": {"title": "Sofa"}, "b": {"title": "Lamp"}}, indent=indent)
    said = refusal(keyed) if indent else told(keyed)[1][0][2]
    assert "write a list of items, each with its id" in said
    assert "--map" not in said


@pytest.mark.parametrize("data", [
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", bytes(range(1, 256)) * 9, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n\x01\x02\x03\x04",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 40, b"SQLite format 3\x00" + b"\x10" * 40,
])  # fmt: skip
def test_what_is_no_text_is_refused_and_nothing_of_it_is_shown(data: bytes, tmp_path: Path) -> None:
    said = refusal(data)
    assert "it is no text" in said
    assert "save it as CSV" in said
    path = tmp_path / "events"
    path.write_bytes(data)
    with pytest.raises(RequestRejected) as caught, opened_archive(str(path), pytest.fail):
        pass
    assert f"{path} is no text" in caught.value.message
    for message in (said, caught.value.message):
        assert message.isprintable()


def test_the_guid_of_rss_is_an_id() -> None:
    rss = '<rss><channel><item><title>x</title><guid isPermaLink="false">n1</guid></item></channel></rss>'
    assert items(rss) == {"n1": {"title": "x"}}


def test_nested_prices_brands_and_offers_are_made_plain() -> None:
    sent = [{"id": 1, "price": {"amount": "5.00", "currencyCode": "EUR"}, "brand": {"name": "Own"}},
            {"id": 2, "offers": {"price": "7", "priceCurrency": "USD", "availability": "https://schema.org/InStock"}}]
    one, two = items(json.dumps(sent)).values()
    assert one == {"price": "5.00", "currency": "EUR", "brand": "Own"}
    assert (two["price"], two["currency"], two["availability"]) == ("7", "USD", "https://schema.org/InStock")


def test_bad_lines_and_elements_are_named_and_the_rest_goes_on() -> None:
    lines = b'{"id": 1, "a": 1}\n{"id": 2\n[]\n{"a": 1}\n{"id": "x\\ud83d", "a": 1}\n{"id": true}\n{"id": 3, "a": 1}'
    _, found, _ = told(lines)
    assert [place for place, item_id, _ in found if not item_id] == [f"line {number}" for number in range(2, 7)]
    assert [item_id for _, item_id, _ in found if item_id] == ["1", "3"]
    _, found, broken = told('[{"id": 1, "a": 1}, 5, {"a": 1}, {"id": 2.5}, {"id": 3.0, "a": 1}]')
    assert [(place, item_id) for place, item_id, _ in found] == [
        ("item 1", "1"), ("item 2", ""), ("item 3", ""), ("item 4", ""), ("item 5", "3")
    ]  # fmt: skip
    assert not broken


@pytest.mark.parametrize("data", ['[{"id": 1, "a": 1}, {"id": 2', '[{"id": 1, "a": 1}', '[{"id": 1, "a": 1} {"id": 2}]',
                                  '{"items": [{"id": 1, "a": 1},', '[{"id": 1, "a": 1}, ' + "[" * 100_000])
def test_json_that_breaks_off_says_so_behind_what_could_be_read(data: str) -> None:
    _, found, broken = told(data)
    assert [item_id for _, item_id, _ in found] == ["1", ""]
    assert "the JSON" in broken


def test_a_line_that_is_too_long_is_told_and_the_next_one_read() -> None:
    data = '{"id": 1, "a": "' + "x" * (3 * FEED_LINE_CHARS_MAX) + '"}\n{"id": 2, "a": 1}\n'
    _, found, _ = told('{"id": 0, "a": 1}\n' + data)
    assert [(place, item_id) for place, item_id, _ in found] == [("line 1", "0"), ("line 2", ""), ("line 3", "2")]


# XML.

RSS = """<?xml version="1.0"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><g:id>5</g:id><title>ignored</title><g:title><![CDATA[Sofa & more]]></g:title><g:price>15.00 USD</g:price>
 <g:availability>in_stock</g:availability><g:item_group_id>g</g:item_group_id><link>https://shop.example/5</link>
 <g:shipping><g:country>US</g:country><g:price>4.00 USD</g:price></g:shipping>
 <g:additional_image_link>a</g:additional_image_link><g:additional_image_link>b</g:additional_image_link>
 <g:product_type>Home &gt; Sofas</g:product_type></item>
<item><g:title>no id</g:title></item>
<item><g:id>6</g:id></item>
</channel></rss>"""


def test_google_merchants_rss_is_read_element_by_element() -> None:
    kind, found, broken = told(RSS)
    assert (kind, broken) == ("Google Merchant RSS", "")
    assert found[0] == ("item 1 (line 3)", "5", {
        "title": "Sofa & more", "price": "15.00 USD", "availability": "in_stock", "item_group_id": "g",
        "link": "https://shop.example/5", "shipping": {"country": "US", "price": "4.00 USD"},
        "additional_image_link": ["a", "b"], "category": "Home > Sofas",
    })  # fmt: skip
    assert [(place, item_id) for place, item_id, _ in found[1:]] == [("item 2 (line 8)", ""), ("item 3 (line 9)", "6")]


def test_google_merchants_atom_is_read() -> None:
    data = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><entry>
    <id>tag:shop,2026:5</id><g:id>5</g:id><link href="https://shop.example/5"/><title>Sofa</title>
    <g:price>5 EUR</g:price></entry></feed>"""
    kind, found, _ = told(data)
    assert kind == "Google Merchant Atom"
    assert found[0][1:] == ("5", {"link": "https://shop.example/5", "title": "Sofa", "price": "5 EUR"})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_other_xml_is_read_in_any_encoding(encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding}"?><items><product id="5"><name>Söfa</name></product></items>'
    assert items(data.encode(encoding)) == {"5": {"title": "Söfa"}}


@pytest.mark.parametrize("data", [
    '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><rss><item><id>1</id><t>&b;</t></item></rss>',
    '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><rss><item><id>1</id><t>&a;</t></item></rss>',
    '<!DOCTYPE r [<!ENTITY % a SYSTEM "http://localhost/">%a;]><rss><item><id>1</id></item></rss>',
])  # fmt: skip
def test_declared_entities_are_refused(data: str) -> None:
    assert refusal(data) == "the XML declares entities, which are not read: write them out"


def test_xml_is_bounded_in_depth_elements_and_text() -> None:
    assert "nested more than" in refusal("<rss>" + "<a>" * (FEED_XML_DEPTH_MAX + 1))
    bad = ["<t>" + "x" * (FEED_XML_CHARS_MAX + 1) + "</t>", "<t/>" * (FEED_XML_ELEMENTS_MAX + 1)]
    for inside in bad:
        _, found, _ = told(f"<rss><item><id>1</id>{inside}</item><item><id>2</id><t>x</t></item></rss>")
        assert [item_id for _, item_id, _ in found] == ["", "2"]


def test_xml_that_breaks_off_says_so_behind_what_could_be_read() -> None:
    _, found, broken = told(RSS[: RSS.index("<item><g:title>no id")])
    assert [item_id for _, item_id, _ in found] == ["5", ""]
    assert "the XML breaks off" in broken
    _, found, broken = told("<rss><item><id>1</id></item><item><id>2</id><t>&nbsp;</t></item></rss>")
    assert ([item_id for _, item_id, _ in found], "undefined entity" in broken) == (["1", ""], True)


def test_google_merchants_table_is_told() -> None:
    names = "id\ttitle\tprice\tavailability\tlink\timage link\n"
    kind, found, _ = told(names + "5\tSofa\t15.00 USD\tin stock\thttps://a\thttps://b\n")
    assert kind == "Google Merchant TSV"
    assert found[0][2]["image_link"] == "https://b"


# Shopify.

SHOPIFY = """Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,\
Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,\
Variant Compare At Price,Image Src,Variant Image,Status
shirt,Shirt,<p>a</p>,Own,Tops,"red, new",true,Color,Red,Size,M,sh-r-m,shopify,3,deny,19.90,29.90,a.jpg,,active
shirt,,,,,,,,Blue,,L,sh-b-l,,0,deny,29.90,,,b.jpg,
shirt,,,,,,,,,,,,,,,,,c.jpg,,
card,Gift card,,Own,,,true,Title,Default Title,,,,shopify,0,continue,10,,,,active
old,Old,,Own,,,true,Title,Default Title,,,o-1,shopify,9,deny,10,,,,draft
off,Off,,Own,,,false,Title,Default Title,,,f-1,shopify,9,deny,10,,,,active
"""


def test_shopifys_export_is_one_item_a_variant() -> None:
    kind, _, _ = told(SHOPIFY)
    found = items(SHOPIFY)
    assert kind == "Shopify CSV"
    assert list(found) == ["sh-r-m", "sh-b-l", "card", "o-1", "f-1"]
    assert found["sh-r-m"] == {
        "title": "Shirt", "brand": "Own", "category": "Tops", "tags": ["red", "new"], "description": "<p>a</p>",
        "handle": "shirt", "image_link": "a.jpg", "item_group_id": "shirt", "color": "Red", "size": "M",
        "price": "29.90", "sale_price": "19.90", "stock": "3",
    }  # fmt: skip
    assert found["sh-b-l"]["image_link"] == "b.jpg"
    assert "stock" not in found["sh-b-l"], "nobody counts it"
    assert (found["sh-b-l"]["price"], found["card"]["availability"]) == ("29.90", "backorder")
    assert (found["o-1"]["availability"], found["f-1"]["availability"]) == ("discontinued", "out_of_stock")


PRODUCTS = {"products": [{
    "id": 7, "title": "Shirt", "handle": "shirt", "vendor": "Own", "product_type": "Tops", "tags": "red, new",
    "created_at": "2026-01-01T00:00:00-05:00", "options": [{"name": "Color"}], "images": [{"src": "a.jpg"}],
    "variants": [
        {"id": 71, "sku": "sh-r", "price": "19.90", "compare_at_price": "29.90", "option1": "Red", "available": True},
        {"id": 72, "sku": "", "price": "9.90", "compare_at_price": None, "option1": "Blue", "available": False,
         "featured_image": {"src": "b.jpg"}, "inventory_quantity": 4},
        {"price": "1"},
    ]}]}  # fmt: skip


def test_shopifys_json_is_one_item_a_variant() -> None:
    _, found, _ = told(json.dumps(PRODUCTS))
    assert found[0] == ("item 1", "sh-r", {
        "title": "Shirt", "brand": "Own", "category": "Tops", "tags": ["red", "new"], "handle": "shirt",
        "image_link": "a.jpg", "item_group_id": "7", "product_id": 7, "variant_id": 71, "color": "Red",
        "created_at": "2026-01-01T00:00:00-05:00", "price": "29.90", "sale_price": "19.90", "availability": True,
    })  # fmt: skip
    assert (found[1][1], found[1][2]["image_link"], found[1][2]["stock"]) == ("72", "b.jpg", 4)
    assert found[1][2]["availability"] is False
    assert found[2] == ("item 1", "", "a variant has neither a sku nor an id")
    _, found, _ = told(json.dumps(PRODUCTS), id="variant_id")
    assert [item_id for _, item_id, _ in found] == ["71", "72", ""]


# Parquet and packed files.


def test_a_parquet_file_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    """Of a row as pyarrow gives it the last of them stood for both."""
    path = tmp_path / "feed.parquet"
    parquet.write_table(pyarrow.Table.from_arrays([pyarrow.array(["1"]), *[pyarrow.array([2.0])] * 2],
                                                  names=["id", "price", "price"]), path)  # fmt: skip
    with pytest.raises(RequestRejected, match='two columns are called "price"'):
        read_items(path)


def test_parquet_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "items"
    table = pyarrow.table({
        "item_id": pyarrow.array([5.0, None, 7.0]), "name": ["Sofa", "x", None], "price": [1.5, 2.0, float("nan")],
        "created": pyarrow.array([1_772_323_200_000] * 3, pyarrow.timestamp("ms", tz="UTC")), "tags": [["a"], [], None],
    })  # fmt: skip
    parquet.write_table(table, path)
    with read_items(path) as feed:
        found = list(feed)
    assert feed.format == "Parquet"
    assert found[0] == ("row 1", FeedItem("5", {
        "title": "Sofa", "price": 1.5, "created_at": "2026-03-01T00:00:00+00:00", "tags": ["a"]
    }))  # fmt: skip
    assert found[1] == ("row 2", Problem("it has no id"))
    assert found[2][1] == FeedItem("7", {"created_at": "2026-03-01T00:00:00+00:00"})
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(RequestRejected, match="cannot be read"):
        read_items(path)


@pytest.mark.parametrize("pack", [
    gzip.compress, bz2.compress, lzma.compress, lambda data: gzip.compress(gzip.compress(data)),
    lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:]),
])  # fmt: skip
def test_packed_files_are_told_by_their_content(pack: Any, tmp_path: Path) -> None:
    data = TABLE.format(",").encode()
    assert list(items(pack(data))) == ["5", "sku-2"]
    path = tmp_path / "feed.csv"
    path.write_bytes(pack(data))
    with read_items(path) as feed:
        assert len(list(feed)) == 2


def test_a_zip_file_with_one_member_is_read_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "feed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("feed.csv", TABLE.format(";"))
    with read_items(path) as feed:
        assert len(list(feed)) == 2
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.csv", "x")
    with pytest.raises(RequestRejected, match="holds 2 files"):
        read_items(path)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a small file reaches."""
    monkeypatch.setattr(opening, "UNPACKED_FREE_BYTES", HEAD_BYTES)
    monkeypatch.setattr(opening, "UNPACKED_RATIO_MAX", 20)


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("as_path", [True, False])
@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress, lambda data: gzip.compress(gzip.compress(data))])
def test_what_unpacks_without_end_is_refused(pack: Any, as_path: bool, tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.write_bytes(pack(b"id,title\n" + b"5,Sofa\n" * 50_000))
    with (
        path.open("rb") as stream, read_items(path if as_path else stream) as feed,
        pytest.raises(RequestRejected, match="packed bytes hold more than"),
    ):  # fmt: skip
        list(feed)


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress])
def test_events_that_unpack_without_end_are_refused_too(pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(pack(b'{"type": "page"}\n' * 50_000))
    with pytest.raises(RequestRejected, match="packed bytes hold more than"), opened_archive(str(path), print) as lines:
        list(lines)


def test_what_is_packed_tightly_is_read_whatever_it_was_packed_into_up_to_a_bound() -> None:
    assert len(items(lzma.compress(b"id,title\n" + b"5,Sofa\n" * 30_000))) == 1
    gzip_at_most = 1_032
    assert UNPACKED_FREE_BYTES >= 1 << 30
    assert gzip_at_most < UNPACKED_RATIO_MAX


def test_a_packed_file_that_ends_early_says_so_behind_what_could_be_read() -> None:
    rows = "".join(f"{number},{number * 7919 % 10007}\n" for number in range(100_000))
    data = gzip.compress(f"id,a\n{rows}".encode())
    _, found, broken = told(data[: len(data) // 2])
    assert len(found) > 1_000
    assert "cannot be unpacked to its end" in broken
    assert found[-1][2] == broken


# For all of them.


@pytest.mark.parametrize("lines", [
    lambda number: f"{number},{'x' * 500}\n", lambda number: json.dumps({"id": number, "a": "x" * 500}) + ("\n"),
    lambda number: f"<item><id>{number}</id><a>{'x' * 500}</a></item>",
    lambda number: json.dumps({"id": number, "a": "x" * 500}) + ",",
])  # fmt: skip
def test_a_large_file_is_read_in_little_memory(lines: Any, tmp_path: Path) -> None:
    path = tmp_path / "feed"
    begin = {"<": ("<rss>", "</rss>"), "{": ("", ""), "0": ("id,a\n", "")}[lines(0)[0]]
    begin = ("[", '{"id": "last", "a": 1}]') if lines(0).endswith(",") else begin
    with path.open("w") as file:
        file.write(begin[0])
        file.writelines(lines(number) for number in range(20_000))
        file.write(begin[1])
    tracemalloc.start()
    with read_items(path) as feed:
        count = sum(isinstance(one, FeedItem) for _, one in feed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count >= 20_000
    assert peak < 2_000_000 < path.stat().st_size


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode), st.sampled_from(
    [RSS, SHOPIFY, TABLE.format(","), json.dumps(PRODUCTS), json.dumps(OBJECTS)]
).flatmap(lambda text: st.integers(0, len(text)).map(lambda cut: text[:cut].encode()))))  # fmt: skip
def test_any_bytes_are_items_problems_or_refused(data: bytes) -> None:
    with suppress(RequestRejected):
        assert all(isinstance(item_id, str) for _, item_id, _ in told(data)[1])


def test_what_is_damaged_within_says_so_behind_what_could_be_read(tmp_path: Path) -> None:
    """These ended the command in a traceback."""
    rows = b"id,title\n" + b"".join(b"%d,x%d\n" % (number, number * 7_919 % 1_000) for number in range(300_000))
    packed = bz2.compress(rows)
    damaged = packed[: len(packed) // 2] + bytes(400) + packed[len(packed) // 2 + 400 :]
    (tmp_path / "rows.bz2").write_bytes(damaged)
    zipped = tmp_path / "rows.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("rows.csv", "id,title\n1,x\n")
    raw = bytearray(zipped.read_bytes())
    central = raw.find(b"PK\x01\x02")
    raw[8:10] = raw[central + 10 : central + 12] = b"\x09\x00"
    zipped.write_bytes(bytes(raw))
    table = pyarrow.table({"id": [str(number) for number in range(20_000)]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    raw = bytearray((tmp_path / "rows.parquet").read_bytes())
    raw[2_000:20_000] = random.Random(1).randbytes(18_000)
    (tmp_path / "rows.parquet").write_bytes(bytes(raw))

    for name in ("rows.bz2", "rows.parquet"):
        with read_items(tmp_path / name) as feed:
            places = [found for _, found in feed]
        assert isinstance(places[-1], Problem), name
        assert feed.broken, name
    with pytest.raises(RequestRejected, match="compression method"):
        read_items(zipped)
    for text in ('{"x": tru}', '{"x": 1, "items" ', '{"x": ["' + "a" * 3_000_000 + '"], "items": []}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(RequestRejected):
            read_items(tmp_path / "x.json")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_so_many_columns_are_read_and_no_more(form: str, tmp_path: Path) -> None:
    """Each name was counted among all of them: 20,000 took 16 seconds."""
    path = tmp_path / f"wide.{form}"
    for columns, refused in ((FEED_COLUMNS_MAX, False), (FEED_COLUMNS_MAX + 1, True)):
        names = ["id", *(f"c{number}" for number in range(columns - 1))]
        if form == "csv":
            path.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
        else:
            parquet.write_table(pyarrow.table({name: ["1"] for name in names}), path)
        if refused:
            with pytest.raises(RequestRejected, match="columns"):
                read_items(path)
        else:
            with read_items(path) as feed:
                assert [found.id for _, found in feed if isinstance(found, FeedItem)] == ["1"]


@pytest.mark.parametrize("indent", [None, 1])
def test_so_many_objects_stand_around_a_list_and_no_more(indent: int | None, tmp_path: Path) -> None:
    path, wrapped = tmp_path / "wrapped.json", {"items": [{"id": "sofa"}]}
    for _ in range(FEED_WRAPS_MAX):
        wrapped = {"data": wrapped}
    path.write_text(json.dumps(wrapped, indent=indent))
    with read_items(path) as feed:
        assert [found.id for _, found in feed if isinstance(found, FeedItem)] == ["sofa"]
    path.write_text(json.dumps({"data": wrapped}, indent=indent))
    with suppress(RequestRejected), read_items(path) as feed:
        assert [found for _, found in feed if isinstance(found, FeedItem)] == []


def test_items_of_more_shapes_than_are_remembered_are_read_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instanter.ops.feeds.columns.FEED_SHAPES_MAX", 2)
    path = tmp_path / "shapes.ndjson"
    path.write_text("".join(json.dumps({"sku": f"i{n}", f"f{n % 5}": n}) + "\n" for n in range(20)))
    with read_items(path) as feed:
        found = [(one.id, one.fields) for _, one in feed if isinstance(one, FeedItem)]
    assert found == [(f"i{n}", {f"f{n % 5}": n}) for n in range(20)]


def test_xml_is_bounded_in_tags_and_attributes(tmp_path: Path) -> None:
    """A tag is looked at again with each piece of it, and a declared attribute is one of every element."""
    path = tmp_path / "x.xml"
    for document, says in (
        (b'<rss><item x="' + b"a" * (FEED_XML_TAG_BYTES_MAX + 200_000) + b'"/></rss>', "tag"),
        (b"<rss><!--" + b"a" * (FEED_XML_TAG_BYTES_MAX + 200_000) + b"--><item/></rss>", "tag"),
        (b'<!DOCTYPE rss [<!ATTLIST item x CDATA "' + b"a" * 9_000 + b'">]><rss><item/></rss>', "attributes"),
    ):
        path.write_bytes(document)
        with pytest.raises(RequestRejected, match=says):
            read_items(path)
    path.write_bytes(b'<rss><item id="1" x="' + b"a" * 70_000 + b'"/><item id="2"/></rss>')
    with read_items(path) as feed:
        found = [found for _, found in feed]
    assert [isinstance(one, Problem) for one in found] == [True, False]
