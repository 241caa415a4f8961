"""Files of events in every shape that people have them in."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import tracemalloc
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from instanter.foundation.errors import Broken, RequestRejected
from instanter.foundation.limits import ARCHIVE_BUFFER_BYTES, ARCHIVE_RECORD_BYTES_MAX, FEED_QUOTES_MAX, ROWS_PEEKED_MAX
from instanter.ops.archives import as_history, identity_of, opened_archive

EVENTS: list[dict[str, Any]] = [
    {"type": "track", "event": "Product Viewed", "anonymousId": f"a{n}", "properties": {
        "product_id": f"sku-{n}", "note": 'brackets ] } { [ and "quotes" \\', "tags": [["x"], {"y": [n]}]}}
    for n in range(40)
]  # fmt: skip


def read(path: Path, **columns: str) -> tuple[str, list[Any], list[int], list[str]]:
    """The shape, the events, their numbers, and what was rejected."""
    rejected: list[str] = []
    with opened_archive(str(path), rejected.append, {column: meant for meant, column in columns.items()}) as archive:
        lines = list(archive)
    return archive.shape.name, [json.loads(line.text) for line in lines], [line.number for line in lines], rejected


@pytest.mark.parametrize(("shape", "content"), [
    ("JSON lines", b"\n".join(json.dumps(event).encode() for event in EVENTS)),
    ("JSON lines", b"\r\n\r\n".join(json.dumps(event).encode() for event in EVENTS) + b"\r\n"),
    ("one JSON array", json.dumps(EVENTS).encode()),
    ("one JSON array", json.dumps(EVENTS, indent=4).encode()),
    ("one JSON array", b" [ " + b" ,\n".join(json.dumps(event).encode() for event in EVENTS) + b"]  "),
    ("one batch", json.dumps({"batch": EVENTS}, indent=1).encode()),
    ("JSON lines", json.dumps({"batch": EVENTS}).encode()),
    ("JSON lines", b"\n".join(json.dumps({"batch": EVENTS[at : at + 7]}).encode() for at in range(0, 40, 7))),
    ("JSON objects over several lines", b"\n".join(json.dumps(event, indent=2).encode() for event in EVENTS)),
])
@pytest.mark.parametrize("wrapped", ["plain", "marked", "packed", "both"])
def test_every_shape_gives_the_same_events_each_with_its_own_number(
    shape: str, content: bytes, wrapped: str, tmp_path: Path
) -> None:
    if wrapped in ("marked", "both"):
        content = b"\xef\xbb\xbf" + content
    if wrapped in ("packed", "both"):
        half = len(content) // 2
        content = gzip.compress(content[:half]) + gzip.compress(content[half:])
    path = tmp_path / "events.json"
    path.write_bytes(content)
    seen, events, numbers, rejected = read(path)
    assert (seen, rejected) == (shape, [])
    assert events == EVENTS
    assert numbers == sorted(set(numbers))


def test_an_array_that_is_larger_than_what_is_read_at_once_is_read_in_pieces(tmp_path: Path) -> None:
    chance = random.Random(5)
    events = [{"type": "page", "n": n, "pad": '{"[' * chance.randint(0, 9_000)} for n in range(200)]
    path = tmp_path / "events.json"
    path.write_text(json.dumps(events))
    assert path.stat().st_size > 4 * ARCHIVE_BUFFER_BYTES
    assert read(path)[1] == events


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize(("bad", "items"), [
    ('u3,view,"i3', [1, 2, 4, 5, 6]), ('u3,"view,i3', [1, 2, 4, 5, 6]), ('"u3,view,i3', [1, 2, 4, 5, 6]),
])  # fmt: skip
def test_a_quote_that_swallows_events_is_told_with_its_line_and_the_others_are_read(
    bad: str, items: list[int], delimiter: str, tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    rows = ["user,action,item", "u1,view,i1", "u2,view,i2", bad, 'u4,"view",i4', "u5,view,i5", "u6,view,i6", ""]
    path.write_text("\n".join(rows).replace(",", delimiter))
    _, events, numbers, rejected = read(path)
    assert [event["properties"]["product_id"] for event in events] == [f"i{item}" for item in items]
    assert numbers == [2, 3, 5, 6, 7]
    (told,) = rejected
    assert told.startswith(f"{path}:4: malformed: a quote in it is not closed")


def test_a_quote_that_is_open_at_the_end_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text('user,action,note\nu1,view,"two\nlines"\nu2,view,"open\nand no more')
    _, events, numbers, rejected = read(path)
    assert ([event["properties"]["note"] for event in events], numbers) == (["two\nlines"], [3])
    assert rejected == [f'{path}:4: malformed: a quote in it is not closed, or stands in a text and is not written '
                        'twice (""); what stands from there to line 5 is left out']  # fmt: skip


def test_events_behind_so_many_quotes_are_read_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user,action,note\n" + "".join(f'u{n},"view,{n}\n' for n in range(3 * FEED_QUOTES_MAX)))
    rejected = read(path)[3]
    left_out = [told for told in rejected if "what stands from there" in told]
    assert len(rejected) - len(left_out) == FEED_QUOTES_MAX
    assert left_out


def test_ids_that_a_column_writes_as_decimals_are_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,visitor,action,item,price\n12345.0,,view,7.0,5.0\n,v-1.0,view,8.0,6.0\n3.0,,view,,7.0\n")
    with opened_archive(str(path), pytest.fail) as archive:
        events = [json.loads(line.text) for line in archive]
    assert [event.get("userId") for event in events] == ["12345", None, "3"]
    assert events[1]["anonymousId"] == "v-1.0"
    assert [event["properties"].get("product_id") for event in events] == ["7", "8", None]
    assert [event["properties"]["price"] for event in events] == ["5.0", "6.0", "7.0"]
    assert [note.partition(":")[0] for note in archive.notes] == [
        f"the column {name} has whole numbers that are written as decimals" for name in ("user_id", "item")
    ]


TIMES = [
    ["2023-05-01 10:00:00", "2023-05-02"], ["2023-05-01T10:00:00Z", ""], ["1682935200", "1682935300"],
    ["1682935200000", "1682935300000"], ["Mon, 01 May 2023 10:00:00 GMT", "2023-05-02"],
]  # fmt: skip


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_column_is_known_as_the_time_by_what_stands_in_it(times: list[str], form: str, tmp_path: Path) -> None:
    rows = [{"user": f"u{n}", "action": "view", "item": "5", "birthday": "1990-05-01", "when": time}
            for n, time in enumerate(times)]  # fmt: skip
    path = tmp_path / f"events.{form}"
    if form == "csv":
        lines = [rows[0].keys(), *(row.values() for row in rows)]
        path.write_text("\n".join(",".join(f'"{one}"' for one in line) for line in lines))
    elif form == "json":
        path.write_text(json.dumps(rows))
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    with opened_archive(str(path), pytest.fail) as archive:
        events = [json.loads(line.text) for line in archive]
    assert [str(event.get("timestamp", "")) for event in events] == times
    assert archive.shape.columns["when"] == "timestamp"
    assert archive.shape.unsaid == ()
    assert events[0]["properties"]["birthday"] == "1990-05-01"


@pytest.mark.parametrize("form", ["csv", "json"])
def test_where_several_columns_hold_times_nothing_is_read_until_it_is_said_which(form: str, tmp_path: Path) -> None:
    row = {"user": "u", "action": "view", "item": "5", "when": "2023-05-01", "seen": "2023-05-02"}
    path = tmp_path / "events"
    path.write_text(json.dumps([row, row]) if form == "json" else ",".join(row) + "\n" + ",".join(row.values()) + "\n")
    with pytest.raises(RequestRejected) as caught:
        read(path)
    assert f"{path}: no column is known as the time of an event, and when and seen hold times" in caught.value.message
    assert "--map timestamp=when; --map timestamp=now" in caught.value.message
    assert read(path, timestamp="seen")[1][0]["timestamp"] == "2023-05-02"
    assert "timestamp" not in read(path, timestamp="now")[1][0]


@pytest.mark.parametrize("values", [["5", "6"], ["2023-05-01", "soon"], ["", ""], ["20230501", "20230502"],
                                    ["03/01/2026", "03/02/2026"], ["1e9", "x"],
                                    ["5.0", "6.5"], ["-1", "+2"], ["2023", "2024"], ["4006381333931", "4006381333932"]])
def test_a_column_of_other_values_is_no_time(values: list[str], tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user,action,n\n" + "".join(f"u,view,{value}\n" for value in values))
    with opened_archive(str(path), pytest.fail) as archive:
        assert all("timestamp" not in json.loads(line.text) for line in archive)
    assert any("no column says when it was" in sentence for sentence in archive.shape.unsaid)


def test_a_column_is_judged_by_its_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user,action,when\n" + "u,view,2023-05-01\n" * ROWS_PEEKED_MAX + "u,view,soon\n")
    assert read(path)[1][-1]["timestamp"] == "soon"


def test_a_bad_line_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"type": "page"}\n\n{"type": \n{"type": "page"} {}\n{"n": 1}')
    _, events, numbers, rejected = read(path)
    assert (events, numbers) == ([{"type": "page"}, {"n": 1}], [1, 5])
    assert [one.partition(": malformed")[0] for one in rejected] == [f"{path}:3", f"{path}:4"]


def test_a_line_or_an_event_that_is_too_large_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b'{"type": "page"}\n{"x": "' + b"y" * ARCHIVE_RECORD_BYTES_MAX + b'"}\n{"n": 1}\n')
    _, events, numbers, rejected = read(path)
    assert (len(events), numbers) == (2, [1, 3])
    assert "events:2: too_large: a line has at most 4194304 bytes" in rejected[0]
    path.write_bytes(b'[{"x": "' + b"y" * (ARCHIVE_RECORD_BYTES_MAX + ARCHIVE_BUFFER_BYTES) + b'"}]')
    with pytest.raises(RequestRejected, match="event 1 has more than"):
        read(path)
    path.write_bytes(b'["' + b"y" * (ARCHIVE_RECORD_BYTES_MAX + ARCHIVE_BUFFER_BYTES) + b'"]')  # A text, no event.
    with pytest.raises(RequestRejected, match="event 1 has more than"):
        read(path)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_is_read_with_its_columns_guessed(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    rows = [
        ["event_time", "event_type", "product_id", "price", "user_id", "user_session"],
        ["2023-11-14 10:00:00", "view", "44", "12.5", "7", ""], ["1700000000000", "cart", "45", "", "8", "s1"],
    ]
    path.write_text("\ufeff" + "\r\n".join(separator.join(row) for row in rows))
    shape, events, numbers, rejected = read(path)
    assert (shape, numbers, rejected) == ("a table", [2, 3], [])
    assert events == [
        {"type": "track", "timestamp": "2023-11-14 10:00:00", "event": "view", "userId": "7",
         "properties": {"product_id": "44", "price": "12.5"}},
        {"type": "track", "timestamp": 1700000000000, "event": "cart", "userId": "8", "anonymousId": "s1",
         "properties": {"product_id": "45"}}]


def test_what_a_table_does_not_say_is_asked_for_and_said_by_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("who,what,when\nada,view,2023-11-14\n")
    with pytest.raises(RequestRejected, match=r"none of them says the event's name.*--map event=COLUMN"):
        read(path)
    with pytest.raises(RequestRejected, match=r"says the event's name and who it was.*event=COLUMN.*userId=COLUMN"):
        read(path)
    with pytest.raises(RequestRejected, match=r"says who it was: say which does, --map userId=COLUMN \(or anon"):
        read(path, event="what")
    with pytest.raises(RequestRejected, match="no column 'wat'"):
        read(path, event="wat")
    (event,) = read(path, event="what", userId="who", timestamp="when")[1]
    assert event == {"type": "track", "userId": "ada", "event": "view", "timestamp": "2023-11-14", "properties": {}}


@pytest.mark.parametrize("header", ["event,label,user", "label,event,user", "user,label,event"])
def test_what_the_caller_says_of_a_column_counts_wherever_it_stands(header: str, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    cells = {"event": "ui_event", "label": "view", "user": "ada"}
    path.write_text(header + "\n" + ",".join(cells[name] for name in header.split(",")) + "\n")
    (event,) = read(path, event="label")[1]
    assert event == {"type": "track", "event": "view", "userId": "ada", "properties": {"event": "ui_event"}}


@pytest.mark.parametrize(("header", "expected"), [
    ("Zeitpunkt;Kunde;Aktion;Artikelnummer;Preis;Menge",
     {"Zeitpunkt": "timestamp", "Kunde": "userId", "Aktion": "event", "Artikelnummer": "product_id",
      "Preis": "price", "Menge": "quantity"}),
    ("price,product_id,received_at,sent_at,original_timestamp,event,anonymous_id,user_id,id",
     {"event": "event", "user_id": "userId", "anonymous_id": "anonymousId", "original_timestamp": "timestamp",
      "id": "messageId", "product_id": "product_id"}),
    ("timestamp,received_at,event,user_id,unit_price,price",
     {"event": "event", "user_id": "userId", "timestamp": "timestamp"}),
    ("event,user,Created at,Lineitem quantity,Lineitem price,Lineitem sku",
     {"event": "event", "user": "userId", "Created at": "timestamp", "Lineitem quantity": "quantity",
      "Lineitem price": "price", "Lineitem sku": "product_id"}),
])
def test_columns_are_known_as_warehouses_and_german_shops_call_them(
    header: str, expected: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(header + "\n")
    with opened_archive(str(path), list[str]().append) as archive:
        assert archive.shape.columns == expected


def test_a_table_without_times_or_items_says_so(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    for header, missed in (
        ("event,user", ["--map timestamp=COLUMN", "--map product_id=COLUMN"]), ("event,user,items,at", []),
        ("event,user,at", ["--map product_id=COLUMN"]),
    ):
        path.write_text(header + "\n")
        with opened_archive(str(path), list[str]().append) as archive:
            assert [one.rpartition(": ")[2] for one in archive.shape.unsaid] == missed


def test_bytes_that_are_no_utf_8_are_read_as_the_windows_code_page_has_them(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes("Aktion;Kunde;Größe\nGekauft für 5 €;ada;XL\n".encode("cp1252"))
    (event,) = read(path)[1]
    assert event == {"type": "track", "event": "Gekauft für 5 €", "userId": "ada", "properties": {"Größe": "XL"}}


def test_rows_of_json_are_read_as_those_of_a_table_and_what_is_said_counts_there_too(tmp_path: Path) -> None:
    path = tmp_path / "export.ndjson"
    row = {"event_name": "view_item", "event_timestamp": "1795890814000000", "user_pseudo_id": "1.2",
           "items": [{"item_id": "s"}], "n": 0}  # fmt: skip
    path.write_text(json.dumps(row) + "\n")
    expected = {"type": "track", "event": "view_item", "anonymousId": "1.2", "timestamp": 1795890814000000,
                "properties": {"items": [{"item_id": "s"}], "n": 0}}  # fmt: skip
    assert read(path)[1] == [expected]
    path.write_text(json.dumps({"event": "view", "user_id": 7, "product_id": "s", "flag": False}) + "\n")
    assert read(path)[1] == [{"type": "track", "event": "view", "userId": 7,
                              "properties": {"product_id": "s", "flag": False}}]  # fmt: skip
    path.write_text(json.dumps({"event": "view", "userId": "u", "properties": {"n": 1}}) + "\n")
    assert read(path)[1] == [{"type": "track", "event": "view", "userId": "u", "properties": {"n": 1}}]
    path.write_text('{"event": "view", "user": "u"}\n{"event": "view", "n": 1}\n')
    assert read(path)[1][1] == {"event": "view", "n": 1}
    pixel = {"name": "product_viewed", "type": "standard", "clientId": "c", "data": {"productVariant": {"sku": "s"}}}
    sent = {"type": "track", "event": "x", "userId": "u", "properties": {"what": "s", "n": 0}}
    path.write_text(f"{json.dumps(pixel)}\n{json.dumps(sent)}\n5\n")
    assert read(path)[1] == [pixel, sent, 5]
    _, (first, second, third), _, _ = read(path, event="name", product_id="what")
    assert (first["event"], first["anonymousId"], first["properties"]["data"]) == ("product_viewed", "c", pixel["data"])
    assert (second, third) == ({**sent, "properties": {"product_id": "s", "n": 0}}, 5)
    with opened_archive(str(path), list[str]().append, {"nowhere": "event", "what": "product_id"}) as archive:
        list(archive)
        assert archive.unseen == {"nowhere"}


def test_a_row_with_too_many_fields_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("event,user\nview,ada,oops\nview,bert\n")
    _, events, numbers, rejected = read(path)
    assert ([one["userId"] for one in events], numbers) == (["bert"], [3])
    assert rejected == [f"{path}:2: malformed: the row has more fields than the header"]


def test_a_row_of_a_table_has_so_many_bytes_in_one_line_or_in_many_and_a_longer_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    filler = "x" * (ARCHIVE_BUFFER_BYTES // 4)
    for between, in_one_line in ((",", True), (',"\n",', False)):
        row = between.join([filler] * (ARCHIVE_RECORD_BYTES_MAX // len(filler) + 1))
        path.write_text(f"event,user\nview,{row}\nview,ada\n\nview,bert\n")
        tracemalloc.start()
        try:
            _, events, numbers, rejected = read(path)
            assert tracemalloc.get_traced_memory()[1] < 6 * ARCHIVE_RECORD_BYTES_MAX
        finally:
            tracemalloc.stop()
        place, _, told = rejected[0].partition(": ")
        assert told.startswith(f"too_large: a row has at most {ARCHIVE_RECORD_BYTES_MAX} bytes; is a quote")
        if in_one_line:
            assert (place, [event["userId"] for event in events], numbers) == (f"{path}:2", ["ada", "bert"], [3, 5])
        else:
            assert int(place.rpartition(":")[2]) > 2


def test_the_header_of_a_table_has_so_many_bytes_too(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    many = ",".join(f"column_{number}" for number in range(50_000))
    path.write_text(f"\n{many},event,user\n{',' * 50_000}view,ada\n")
    (event,) = read(path)[1]
    assert (event["event"], event["userId"]) == ("view", "ada")
    path.write_text("event,user," + "x" * ARCHIVE_RECORD_BYTES_MAX + "\nview,ada\n")
    with pytest.raises(RequestRejected, match=r"events\.csv:1: the header of the table cannot be read: a row has at"):
        read(path)


@pytest.mark.parametrize(("content", "told"), [
    (b"PAR1\x00\x00\x15\x04", "the Parquet file cannot be read"), (b"hello", "none of JSON lines"),
    (b"\x7fELF\x02\x01\x00\x00\x00", "is no text: save it as CSV, JSON or Parquet"),
    (b"", "is empty"), (b" \n\n", "is empty"),
    (b"\x28\xb5\x2f\xfdx", "zstd"), (b"PK\x03\x04....[Content_Types].xml", "save it as CSV"),
    (b'{"typ": "view", "wer": "ada"}\n', "objects with the fields typ, wer, and none of them says the event's name"),
])
def test_what_is_no_file_of_events_is_refused_in_a_sentence(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(content)
    with pytest.raises(RequestRejected, match=told):
        read(path)


ROWS = "event,user,item\nview,ada,0007\nview,bert,0008\n"


def _zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("events.csv", content)
    return stream.getvalue()


@pytest.mark.parametrize("pack", [
    bytes, gzip.compress, bz2.compress, lzma.compress, _zipped,
])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_is_read_however_it_is_packed_and_encoded(pack: Any, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(pack(ROWS.encode(encoding)))
    shape, events, numbers, rejected = read(path)
    assert (shape, numbers, rejected) == ("a table", [2, 3], [])
    assert [one["properties"]["product_id"] for one in events] == ["0007", "0008"]
    assert identity_of(str(path), {}) == identity_of(str(path), {})


def test_parquet_is_read_as_a_table_is(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    at = datetime(2026, 10, 1, 12, tzinfo=UTC)
    parquet.write_table(arrow.table({
        "event": ["view", "buy"], "user_id": [1, 2], "sku": ["0007", None], "price": [Decimal("2.50"), None],
        "time": [at, at],
    }), path)  # fmt: skip
    shape, events, numbers, rejected = read(path)
    assert (shape, numbers, rejected) == ("Parquet", [1, 2], [])
    assert events[0] == {
        "type": "track", "event": "view", "userId": 1, "timestamp": at.isoformat(),
        "properties": {"product_id": "0007", "price": 2.5},
    }  # fmt: skip
    parquet.write_table(arrow.table({"user_id": [1]}), path)
    with pytest.raises(RequestRejected, match="the columns user_id, and none of them says the event's name"):
        read(path)


@pytest.mark.parametrize("form", ["table", "objects"])
def test_rows_that_are_lines_of_one_order_are_one_event(form: str, tmp_path: Path) -> None:
    rows = [("o1", "ada", "7", 2, "x"), ("o1", "ada", "8", 1, "y"), ("o2", "ada", "7", 1, "x"),
            ("o1", "ada", "9", 1, "z"), ("", "bert", "7", 1, "x"), ("", "bert", "8", 1, "x")]  # fmt: skip
    names = ("order_id", "customer", "sku", "quantity", "shop")
    path = tmp_path / "orders"
    if form == "table":
        path.write_text("\n".join(",".join(map(str, row)) for row in (names, *rows)))
    else:
        path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    with pytest.raises(RequestRejected, match="where all are of one kind, --map 'event=Order Completed'"):
        read(path)
    with pytest.raises(RequestRejected, match="Order Complted" if form == "table" else "none of them says"):
        read(path, event="Order Complted")
    _, events, numbers, rejected = read(path, event="Order Completed")
    assert (rejected, numbers) == ([], [3, 4, 5, 6, 7] if form == "table" else [2, 3, 4, 5, 6])
    assert {one["event"] for one in events} == {"Order Completed"}
    assert events[0]["properties"]["order_id"] == "o1"
    assert [(one["product_id"], str(one["quantity"]), one["shop"]) for one in events[0]["properties"]["products"]] == [
        ("7", "2", "x"), ("8", "1", "y")]  # fmt: skip
    assert all("products" not in one["properties"] for one in events[1:])


def test_an_order_that_is_told_again_is_no_further_line_of_it(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("event,user,order_id,item,time\nbuy,ada,o1,7,2026-10-01 10:00\nbuy,ada,o1,7,2026-10-01 10:00\n"
                    "buy,ada,o1,7,2026-10-01 10:05\n")  # fmt: skip
    _, events, _, _ = read(path)
    assert [len(one["properties"].get("products", [])) for one in events] == [2, 0]


def test_columns_of_one_name_are_told_apart_and_refused_where_they_mean_something(tmp_path: Path) -> None:
    path = tmp_path / "clicks.csv"
    path.write_text("event,user,item,note,note\nview,ada,i1,first,second\n")
    _, events, _, _ = read(path)
    assert [(one["properties"]["note"], one["properties"]["note (5)"]) for one in events] == [("first", "second")]
    path.write_text("event,user,item,item\nview,ada,i1,i2\n")
    with pytest.raises(RequestRejected, match='two columns are called "item"'):
        read(path)


def test_a_packed_file_that_ends_early_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    content = gzip.compress(b'{"type": "page"}\n' * 99_999)[:-20]
    path.write_bytes(content)
    with pytest.raises(Broken, match=r"events\.gz cannot be unpacked to its end"):
        read(path)
    with pytest.raises(Broken, match=r"events\.gz cannot be unpacked to its end"):
        identity_of(str(path), {})


def test_the_identity_is_of_the_content_and_knows_what_a_file_began_as(tmp_path: Path) -> None:
    plain, packed, grown = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    plain.write_bytes(b'{"n": 1}\n' * 100_000)
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    grown.write_bytes(plain.read_bytes() + b'{"n": 2}\n')
    first = identity_of(str(plain), {})
    assert identity_of(str(packed), {}) == first
    assert identity_of(str(plain), {first.size_bytes: first.id}).began_as == ""
    assert identity_of(str(grown), {first.size_bytes: first.id, 17: "0" * 32}).began_as == first.id
    grown.write_bytes(b'{"n": 3}\n' + plain.read_bytes())
    assert identity_of(str(grown), {first.size_bytes: first.id}).began_as == ""


def test_of_history_the_timestamp_stands_as_it_was_sent() -> None:
    sent = {"timestamp": "2023-01-01", "sentAt": "2023-01-02", "receivedAt": "2023-01-03", "event": "x"}
    assert json.loads(as_history(json.dumps(sent).encode())) == {"timestamp": "2023-01-01", "event": "x"}
    assert json.loads(as_history(b'{"originalTimestamp": 5, "sentAt": 6}'))["timestamp"] == 5
    assert as_history(b"7") == b"7"
