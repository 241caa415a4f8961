"""`instanter import`, as somebody uses it: what it says, and that an import that broke off counts once."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from instanter.events.envelope import Tracked, decode_record
from instanter.foundation.disk import RealDisk
from instanter.foundation.limits import BATCH_SENT_BYTES_MAX, FEED_GROUPS_MAX
from instanter.log.segments import SegmentReader
from instanter.ops.archives import EventLine
from instanter.ops.child import ChildServer
from instanter.ops.cli import main as frame
from instanter.ops.cli.import_ import _pieces, _Seen

from .shop_data import ndjson, write_config

Printed = pytest.CaptureFixture[str]
BEGIN = datetime(2023, 11, 20, tzinfo=UTC)
ARCHIVED = 700


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def archive(count: int = ARCHIVED) -> list[dict[str, Any]]:
    """Events as Segment archives them, three years old: sent a moment after they happened, by clocks a little off."""
    events = []
    for number in range(count):
        happened = BEGIN + timedelta(minutes=97 * number)
        events.append({
            "anonymousId": f"device-{number % 23}", "channel": "client", "event": "Product Viewed",
            "context": {"library": {"name": "analytics.js", "version": "2.11.1"}, "locale": "en-GB"},
            "messageId": f"ajs-next-{number % 200}", "originalTimestamp": iso(happened + timedelta(seconds=3)),
            "properties": {"product_id": f"sku-{number % 12}", "price": 12.5}, "projectId": "shop",
            "receivedAt": iso(happened + timedelta(seconds=2)), "sentAt": iso(happened + timedelta(seconds=5)),
            "timestamp": iso(happened), "type": "track", "userId": None, "version": 2,
        })  # fmt: skip
    return events


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildServer]:
    folder = tmp_path_factory.mktemp("importing")
    child = ChildServer(folder / "data", config=write_config(folder))
    try:
        child.wait_until_ready()
        yield child
    finally:
        child.stop()


def imported(server: ChildServer, printed: Printed, *words: object, code: int = 0) -> Any:
    """What the verb reports as JSON."""
    assert frame.main(["import", "--url", server.url, *map(str, words), "--json"]) == code
    return json.loads(printed.readouterr().out.splitlines()[-1])


def times_in(data: Path) -> list[int]:
    """The times of all events in the log."""
    found = [decode_record(frame.payload) for frame in SegmentReader(RealDisk(), data / "log").read()]
    return sorted(one.happened_ms for one in found if isinstance(one, Tracked))


def expected(count: int = ARCHIVED) -> list[int]:
    return [int((BEGIN + timedelta(minutes=97 * number)).timestamp() * 1_000) for number in range(count)]


def test_what_came_is_told_by_name_with_the_line_to_write_and_the_command_to_run(
    server: ChildServer, tmp_path: Path, capsys: Printed
) -> None:
    events = [
        {"type": "track", "event": "book_opened" if number % 5 else "basket_add", "userId": f"u{number % 20}",
         "messageId": f"k{number}", "properties": {"product_id": f"b{number % 9}"}}
        for number in range(1_288)
    ]
    file = ndjson(tmp_path / "books.ndjson", [*events, {"type": "page", "userId": "u1", "messageId": "p"}])
    assert frame.main(["import", "--url", server.url, "--events", str(file)]) == 0
    told = capsys.readouterr().out
    assert "imported 0 items and 1,289 events, 0 rejected" in told
    assert 'no feature hears this name; it looks like "Product Viewed"' in told
    assert "1,288 of 1,289 events change no profile" in told
    assert '[events.names]\n"book_opened" = "Product Viewed"\n"basket_add" = "Product Added"\n' in told
    assert f"instanter remap --url {server.url}" in told
    again = imported(server, capsys, "--events", file)
    assert (again["events"], again["repeated"], bool(again["finished_before"])) == (0, 0, True)
    assert again["remap"] == f"instanter remap --url {server.url}"
    assert frame.main(["import", "--url", server.url, "--events", str(file)]) == 0
    told = capsys.readouterr().out
    assert "this file was already imported on 20" in told
    assert "To have it read otherwise (--map, --history) import it into a new data directory; --id NAME" in told


def test_a_feed_without_what_features_read_is_told_so_with_its_columns(
    server: ChildServer, tmp_path: Path, capsys: Printed
) -> None:
    for content, told in (
        ("sku;Sparte;Betrag\n5;Krimi;12,50\n", "no item has a category or a price"),
        ("sku;Sparte\n5;Krimi\n", "no item has a"),
        ("Artikelnr;Titel;Warengruppe;Verlag;Preis;Bestand\n5;T;Krimi;V;12,50;3\n", ""),
        ("sku\n5\n", "fields is empty"),
    ):  # fmt: skip
        file = tmp_path / "feed.csv"
        file.write_text(content)
        remarks = imported(server, capsys, "--items", file)["item_remarks"]
        assert [told in one for one in remarks] == [True] * bool(told), content
        assert "Sparte" not in content or "Sparte" in remarks[0]


def test_a_group_that_holds_most_of_a_feed_is_told(server: ChildServer, tmp_path: Path, capsys: Printed) -> None:
    file = tmp_path / "groups.csv"
    for group, told in (("g", True), ("0", False), ("NULL", False)):
        file.write_text("sku,parent_id,title\n" + "".join(f"g-{n},{group},T\n" for n in range(12)))
        remarks = imported(server, capsys, "--items", file)["item_remarks"]
        assert any("12 of 12 items are in one item_group_id" in one for one in remarks) is told, group
        assert httpx.get(f"{server.url}/v1/items/g-1").json()["fields"].get("item_group_id") == ("g" if told else None)


WOO_REST = [
    {"id": 1, "name": "Shirt", "status": "publish", "catalog_visibility": "visible", "parent_id": 0, "price": "5",
     "categories": [{"id": 9, "name": "Clothing", "slug": "clothing"}, {"id": 10, "name": "Shirts"}]},
    {"id": 2, "name": "Draft", "status": "draft", "catalog_visibility": "visible", "parent_id": 0},
    {"id": 3, "name": "Kept back", "status": "publish", "catalog_visibility": "hidden", "parent_id": 0},
    {"id": 4, "name": "Shirt, red", "status": "publish", "parent_id": 1},
]
WOO_CSV = """ID,Type,SKU,Name,Published,Visibility in catalog,In stock?,Stock,Regular price,Categories,Parent
1,simple,a,Shirt,1,visible,1,,5,Clothing,
2,simple,b,Draft,-1,visible,1,,5,Clothing,
3,simple,c,Hidden,1,hidden,1,,5,Clothing,
4,variation,d,Red,1,visible,1,,5,Clothing,id:1
5,simple,e,Private,0,visible,1,,5,Clothing,
"""
MAGENTO = {"items": [
    {"id": 1, "sku": "m-1", "name": "Bag", "price": 34, "status": 1, "visibility": 4, "type_id": "simple",
     "extension_attributes": {"stock_item": {"is_in_stock": True}}},
    {"id": 2, "sku": "m-2", "name": "Off", "status": 2, "visibility": 4, "type_id": "simple"},
    {"id": 3, "sku": "m-3", "name": "Part", "status": 1, "visibility": 1, "type_id": "simple"},
    {"id": 4, "sku": "m-4", "name": "Gone", "status": 1, "visibility": 4, "type_id": "simple",
     "extension_attributes": {"stock_item": {"is_in_stock": False}}},
], "total_count": 4}
OWN = "sku;title;active\no-1;Sofa;1\no-2;Lamp;0\no-3;Desk;maybe\n"


@pytest.mark.parametrize(("content", "shown", "remark"), [
    (json.dumps(WOO_REST), ["1", "4"], ""), (WOO_CSV, ["1", "4"], ""), (json.dumps(MAGENTO), ["1"], ""),
    (OWN, ["o-1", "o-3"], "1 item (such as o-3): active does not say whether the item is shown"),
])  # fmt: skip
def test_what_shops_keep_back_is_not_shown(
    content: str, shown: list[str], remark: str, server: ChildServer, tmp_path: Path, capsys: Printed
) -> None:
    file = tmp_path / "shop"
    file.write_text(content)
    report = imported(server, capsys, "--items", file, "--replace", "--force")
    assert any(one.startswith(remark) for one in report["item_remarks"]) or not remark
    items = httpx.get(f"{server.url}/v1/items").json()["items"]
    fields = {item["id"]: item["fields"] for item in items}
    hiding = {"discontinued", "out_of_stock"}
    assert [name for name, one in fields.items() if one.get("availability") not in hiding] == shown
    if content == json.dumps(WOO_REST):
        assert fields["1"]["category"] == ["Clothing", "Shirts"]
    assert [one.get("item_group_id") for one in fields.values() if one.get("item_group_id")] in (["1"], ["id:1"], [])


def test_groups_are_counted_up_to_a_bound() -> None:
    seen = _Seen()
    for number in range(FEED_GROUPS_MAX + 5):
        seen.add({"item_group_id": number})
    seen.add({"item_group_id": 1})
    assert len(seen.groups) == FEED_GROUPS_MAX
    assert seen.groups["1"] == 2


def test_what_the_door_refuses_of_a_file_is_told_with_its_line(
    server: ChildServer, tmp_path: Path, capsys: Printed
) -> None:
    file = tmp_path / "who.csv"
    file.write_text("action,customer,item\n" + "view,ada,5\n" * 30 + "view,,5\nview,ada,5\n")
    report = imported(server, capsys, "--events", file, code=1)
    assert [one.partition(": ")[0] for one in report["first_rejections"]] == [f"{file}:32"]
    assert [one.partition(",")[0] for one in report["unsaid"]] == ["no column says when it was"]
    known = ndjson(tmp_path / "known.ndjson", [{"name": "view_item", "user": "ada", "item": "5"}] * 3)
    report = imported(server, capsys, "--events", known, "--map", "product_id=what", code=0)
    assert (report["events"], report["rejected"]) == (3, 0)
    assert report["unsaid"][-1] == "no event has a field 'what', which --map names"


def test_rows_that_say_neither_what_nor_who_are_refused_whole_and_can_be_read_as_they_are_meant(
    server: ChildServer, tmp_path: Path, capsys: Printed
) -> None:
    file = ndjson(tmp_path / "nobody.ndjson", [{"what": "view_item", "who": n, "params": {}} for n in range(1, 4)])
    assert frame.main(["import", "--url", server.url, "--events", str(file)]) == 2
    told = capsys.readouterr().err
    assert "holds objects with the fields what, who, params, and none of them says the event's name and who it" in told
    assert "--map event=COLUMN" in told
    assert "--map userId=COLUMN" in told
    report = imported(server, capsys, "--events", file, "--map", "event=what", "--map", "userId=who")
    assert (report["events"], report["rejected"]) == (3, 0)


def test_a_table_of_order_lines_counts_every_line(server: ChildServer, tmp_path: Path, capsys: Printed) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("order_id;customer_id;sku;quantity;price;created_at\n" + "".join(
        f"o{n // 3};buyer;bought-{n};1;5,00;2024-01-01 00:{n:02}\n" for n in range(6)))
    assert frame.main(["import", "--url", server.url, "--events", str(file)]) == 2
    assert "--map 'event=Order Completed'" in capsys.readouterr().err
    report = imported(server, capsys, "--events", file, "--map", "event=Order Completed")
    assert (report["events"], report["rejected"]) == (2, 0)
    person = httpx.get(f"{server.url}/v1/profiles/buyer").json()["features"]
    assert person["orders"] == 2
    assert {one["name"] for one in person["bought_items"]} == {f"bought-{n}" for n in range(6)}


def test_a_file_that_grew_is_imported_from_where_it_ended(
    server: ChildServer, tmp_path: Path, capsys: Printed
) -> None:
    file = tmp_path / "grows.csv"
    rows = [f"view,ada,{number},2024-01-01T00:{number:02}:00Z\n" for number in range(50)]
    file.write_text("action,customer,item,at\n" + "".join(rows[:30]))
    first = imported(server, capsys, "--events", file)
    assert (first["events"], first["shape"]) == (30, "a table")
    assert first["columns"] == {"action": "event", "customer": "userId", "at": "timestamp", "item": "product_id"}
    file.write_text("action,customer,item,at\n" + "".join(rows))
    second = imported(server, capsys, "--events", file)
    assert (second["events"], second["repeated"], second["continued"]) == (20, 30, True)


def test_duplicates_and_bad_lines_are_told(server: ChildServer, tmp_path: Path, capsys: Printed) -> None:
    event = {"type": "track", "event": "Product Viewed", "userId": "dup", "messageId": "one", "properties": {
        "product_id": "sku-x"}}
    file = ndjson(tmp_path / "dups.ndjson", [event, event, b"{", {**event, "type": "dance", "messageId": "two"}])
    report = imported(server, capsys, "--events", file, code=1)
    (name,) = report["names"]
    assert (name["taken"], name["duplicates"], name["heard"]) == (2, 1, True)
    assert (report["rejected"], report["quarantined"]) == (2, 1)
    assert f"{file}:3: malformed" in report["first_rejections"][0]


def test_standard_input_can_be_run_again_where_it_has_a_name(
    server: ChildServer, capsys: Printed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = ndjson(tmp_path / "piped.ndjson", [{"type": "page", "anonymousId": "pipe", "messageId": "m"}])
    told = []
    for _ in range(2):
        with file.open() as piped:
            monkeypatch.setattr(sys, "stdin", piped)
            told.append(imported(server, capsys, "--events", "-", "--id", "nightly"))
    assert [one["events"] for one in told] == [1, 0]
    assert told[1]["finished_before"]


def test_an_archive_three_years_old_that_was_broken_off_counts_once_each_at_its_time(
    tmp_path: Path, capsys: Printed
) -> None:
    """The importing process and the server are killed at random places, and it is run again until it is through."""
    chance = random.Random(11)
    file = tmp_path / "2023.json.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(event) + "\n" for event in archive()).encode()))
    data, config = tmp_path / "data", write_config(tmp_path)
    command = [sys.executable, "-m", "instanter.ops.cli.main", "import", "--events", str(file), "--history"]
    for kill_server in (False, True, False, True):
        child = ChildServer(data, config=config)
        try:
            child.wait_until_ready()
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            with subprocess.Popen([*command, "--url", child.url], **quiet) as one:
                until = time.monotonic() + 30
                before = len(httpx.get(f"{child.url}/v1/imports").json()["imports"])
                while time.monotonic() < until and one.poll() is None:
                    imports = httpx.get(f"{child.url}/v1/imports").json()["imports"]
                    if len(imports) > before or (imports and chance.random() < 0.1):
                        break
                if kill_server:
                    child.kill()
                one.kill()
        finally:
            if not kill_server:
                child.stop()
    child = ChildServer(data, config=config)
    try:
        child.wait_until_ready()
        report = imported(child, capsys, "--events", file, "--history")
        assert report["repeated"] + report["events"] == ARCHIVED or report["finished_before"]
        again = imported(child, capsys, "--events", file, "--history")
        assert again["events"] == 0
        assert again["finished_before"]
        (one,) = httpx.get(f"{child.url}/v1/imports").json()["imports"]
        assert (one["taken"], one["of"], one["finished"]) == (ARCHIVED, ARCHIVED, True)
    finally:
        child.stop()
    assert times_in(data) == expected()


def test_a_feed_of_any_kind_is_imported_and_replaces_the_catalogue(
    server: ChildServer, tmp_path: Path, capsys: Printed
) -> None:
    feed = tmp_path / "feed.csv"
    rows = ["\ufeffsku;title;price;availability", "r-1;Chair;19,90;in stock", "r-2;Table;1;out of stock", ";Lamp;3;"]
    feed.write_text("\n".join([*rows, ""]))
    first = imported(server, capsys, "--items", feed, code=1)
    assert (first["items"], first["rejected"], "CSV" in first["feed"]) == (2, 1, True)
    assert str(feed) in first["first_rejections"][0]
    assert httpx.get(f"{server.url}/v1/items/r-1").json()["fields"]["price"] == 19.9
    items = [f"r-{n}" for n in range(1, 5)]
    whole = ndjson(tmp_path / "whole.ndjson", [{"id": item, "title": "T"} for item in items])
    imported(server, capsys, "--items", whole, "--replace", "--force")  # Other tests left items here.
    assert imported(server, capsys, "--items", whole, "--replace")["deleted"] == 0
    less = ndjson(tmp_path / "less.json", [{"id": item, "title": "T"} for item in items[:3]])
    assert imported(server, capsys, "--items", less, "--replace")["deleted"] == 1
    assert httpx.get(f"{server.url}/v1/items/r-4").status_code == 404
    little = ndjson(tmp_path / "little.json", [{"id": "r-1", "title": "T"}])
    refused = imported(server, capsys, "--items", little, "--replace", code=1)
    assert "it would delete 2 of the 3 items" in refused["first_rejections"][0]
    assert "--force" in refused["first_rejections"][0]
    assert imported(server, capsys, "--items", little, "--replace", "--force")["deleted"] == 2
    broken = tmp_path / "broken.json"
    broken.write_text('[{"id": "r-9", "title": "T"}, {"id": "r-')
    report = imported(server, capsys, "--items", broken, "--replace", code=1)
    assert report["notes"][0].startswith("nothing was deleted from the catalogue")
    assert httpx.get(f"{server.url}/v1/items/r-1").status_code == 200


@pytest.mark.parametrize(("words", "told"), [
    (["--items", "FILE", "--events", "FILE", "--map", "a=b"], "--map is for one file"),
    (["--events", "FILE", "--replace"], "--replace is for --items"),
    (["--items", "FILE", "--force"], "--force for --replace"),
    (["--events", "FILE", "--map", "event"], "--map takes FIELD=COLUMN"),
    (["--items", "FILE", "--history"], "--history and --id are for --events"),
    (["--items", "FILE", "--id", "x"], "--history and --id are for --events"),
    (["--items", "FILE", "--url", "http://127.0.0.1:9/v1/items"], "address of the server alone, http://127.0.0.1:9"),
    (["--items", "FILE", "--url", "127.0.0.1:9"], "give one such as http://127.0.0.1:8080"),
    ([], "say what to import"),
])
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    words: list[str], told: str, tmp_path: Path, capsys: Printed
) -> None:
    file = ndjson(tmp_path / "some.ndjson", [{"type": "page"}])
    given = [word.replace("FILE", str(file)) for word in words]
    assert frame.main(["import", "--url", "http://127.0.0.1:9", *given]) == 2
    assert told in capsys.readouterr().err


def test_a_file_with_nothing_in_it_is_told_by_its_name(server: ChildServer, tmp_path: Path, capsys: Printed) -> None:
    empty, header = tmp_path / "empty.csv", tmp_path / "header.csv"
    empty.write_bytes(b"")
    header.write_text("event,user,sku,title\n")
    for words in (["--items"], ["--events"]):
        assert frame.main(["import", "--url", server.url, *words, str(empty)]) == 2
        assert f"{empty}" in (told := capsys.readouterr().err)
        assert "is empty" in told
        report = imported(server, capsys, *words, header)
        assert report["notes"] == [f"{header} has no {words[0].removeprefix('--')}"]


def test_what_is_said_of_an_item_names_one_and_no_route(server: ChildServer, tmp_path: Path, capsys: Printed) -> None:
    file = ndjson(tmp_path / "odd.ndjson", [{"id": "odd-1", "title": "x", "availability": "perhaps"}])
    assert imported(server, capsys, "--items", file)["item_remarks"][0].startswith("1 item (such as odd-1): avail")
    file = ndjson(tmp_path / "bad.ndjson", [{"id": "bad-1", "title": "x", "price": -1}])
    told = imported(server, capsys, "--items", file, code=1)["first_rejections"]
    assert told == ['item in line 1: schema: item "bad-1": price is below 0: send what the item costs']


def test_a_known_name_that_nothing_hears_does_not_look_like_itself(
    server: ChildServer, tmp_path: Path, capsys: Printed
) -> None:
    file = ndjson(tmp_path / "scrolled.ndjson", [{"event": "scroll", "user": "ada", "n": 1}])
    (name,) = imported(server, capsys, "--events", file)["names"]
    assert (name["event"], name["heard"], name["looks_like"]) == ("Page Scrolled", False, "")


def test_a_piece_of_an_import_is_no_larger_than_a_batch_of_ours() -> None:
    lines = [EventLine(number, b"x" * 30_000) for number in range(1, 101)]
    pieces = list(_pieces(iter(lines), per_piece=1_000))
    assert [line for piece in pieces for line in piece] == lines
    sizes = [sum(len(line.text) for line in piece) for piece in pieces]
    assert max(sizes) <= BATCH_SENT_BYTES_MAX < max(sizes) + 31_100
    assert [len(piece) for piece in _pieces(iter(lines[:5]), per_piece=2)] == [2, 2, 1]
