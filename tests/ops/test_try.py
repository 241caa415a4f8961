"""`instanter try`: what is guessed of unknown files, what is taken of them, what their own past says of the engine."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import numpy as np
import pytest

from instanter.events.kinds import ORDER_COMPLETED
from instanter.events.times import read_time_ms
from instanter.foundation import limits
from instanter.foundation.errors import RequestRejected
from instanter.ops.cli.main import main
from instanter.ops.trying import folder as folders
from instanter.ops.trying.catalogue import Items
from instanter.ops.trying.columns import said_roles
from instanter.ops.trying.exports import SNOWPLOW_COLUMNS
from instanter.ops.trying.figures import planned
from instanter.ops.trying.history import KINDS, History, Remarks, Taken, unknown_share
from instanter.ops.trying.page import Standing
from instanter.ops.trying.preparing import Prepared, Said, prepared, taken_history
from instanter.ops.trying.running import FIRST_ACTS, first_history, imported

SETS = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NOW_MS = 1_790_000_000_000
SLICE_LINES = 3_000


def look(*paths: Path, said: Iterable[str] = (), kinds: dict[str, str] | None = None) -> Prepared:
    return prepared(paths, Said(said_roles(said), kinds or {}))


def take(*paths: Path, said: Iterable[str] = (), kinds: dict[str, str] | None = None) -> tuple[Taken, Items]:
    meant = Said(said_roles(said), kinds or {})
    taken, items, _ = taken_history(prepared(paths, meant), meant, now_ms=NOW_MS)
    return taken, items


def roles(ready: Prepared) -> dict[str, str]:
    return {one.role: one.column for one in ready.guesses.taken}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def cut(tmp_path: Path) -> Callable[[str], Path]:
    """The first lines of a file of a set, in a file of the same name."""

    def slice_of(name: str) -> Path:
        source = SETS / name
        if not source.exists():
            pytest.skip(f"the set is not here: {name}")
        path = tmp_path / source.name
        with gzip.open(source, "rb") as whole, gzip.open(path, "wb", 1) as part:
            part.writelines(islice(whole, SLICE_LINES))
        return path

    return slice_of


def clicks(count: int, *, start_ms: int = NOW_MS - 40 * 86_400_000) -> str:
    """A log in which everybody goes from one item to the next, `user;sku;when` in seconds."""
    lines = ["user;sku;when"]
    for number in range(count):
        person, step = number // 6, number % 6
        lines.append(f"u{person};s{(person * 3 + step) % 40:03};{start_ms // 1_000 + number * 61}")
    return "\n".join(lines) + "\n"


# Sets that nobody described.


@pytest.mark.parametrize(("names", "wanted"), [
    (["yoochoose_100k/train.tsv.gz"], {"item": "ItemId", "session": "SessionId", "time": "Time"}),
    (["serenade_toy/train.tsv.gz"], {"item": "ItemId", "session": "SessionId", "time": "Time"}),
    (["movielens_100k/items.csv.gz", "movielens_100k/ratings.csv.gz"],
     {"item": "item_id", "user": "user_id", "time": "timestamp", "rating": "rating"}),
    (["eshop_clothing/clicks.csv.gz"],
     {"item": "clothing_model", "session": "session_id", "price": "price", "sequence": "order", "year": "year",
      "month": "month", "day": "day"}),
    (["online_retail/lines.csv.gz"],
     {"item": "StockCode", "user": "CustomerID", "time": "InvoiceDate", "price": "UnitPrice", "quantity": "Quantity",
      "order": "InvoiceNo"}),
    (["rees46_night/events.csv.gz"],
     {"item": "product_id", "user": "user_id", "session": "user_session", "time": "event_time", "event": "event_type",
      "price": "price"}),
    (["trivago_hotels/actions.csv.gz"],
     {"item": "reference", "user": "user_id", "session": "session_id", "time": "timestamp", "event": "action_type",
      "sequence": "step"}),
    (["ranklens/items.jsonl.gz", "ranklens/events.jsonl.gz"],
     {"item": "item", "user": "user", "session": "session", "time": "timestamp", "event": "event"}),
    (["yoochoose_1_64/train.txt.gz"], {"visitor": "visit", "item": "items"}),
    (["amazon_beauty/train.txt.gz"], {"visitor": "visit", "item": "items"}),
])  # fmt: skip
def test_columns_of_real_sets_are_found_without_a_mapping(
    cut: Callable[[str], Path], names: list[str], wanted: dict[str, str]
) -> None:
    paths = [cut(name) for name in names]
    ready = look(*paths)
    assert roles(ready) == wanted
    assert all(one.reason for one in ready.guesses.taken), "each with its reason"
    taken, items = take(*paths)
    assert len(taken.history) > SLICE_LINES / 3
    assert {taken.history.item_names[one] for one in taken.history.items[:50]} & items.keys()


def test_the_news_set_is_found_in_parquet() -> None:
    path = SETS / "globo_news" / "clicks.parquet"
    if not path.exists():
        pytest.skip("the set is not here")
    found = roles(look(path))
    assert found == {
        "item": "click_article_id", "user": "user_id", "session": "session_id", "time": "click_timestamp"
    }  # fmt: skip


def test_a_log_says_what_its_items_are(cut: Callable[[str], Path]) -> None:
    _, items = take(cut("online_retail/lines.csv.gz"))
    assert items["85123A"]["title"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert items["85123A"]["price"]
    ready = look(cut("trivago_hotels/actions.csv.gz"))
    assert "device" not in ready.described, "it is the same again for a person, and not for an item"


def test_kinds_are_understood_or_left_out_and_counted(cut: Callable[[str], Path]) -> None:
    taken, _ = take(cut("trivago_hotels/actions.csv.gz"))
    assert taken.kinds_taken["clickout item"] == "Product Clicked"
    assert taken.kinds_taken["interaction item image"] == "Product Viewed"
    assert taken.kinds_left["filter selection"] > 0
    path = cut("rees46_night/events.csv.gz")
    taken, _ = take(path, kinds={"cart": "Product Added to Wishlist"})
    assert taken.kinds_taken == {
        "view": "Product Viewed", "cart": "Product Added to Wishlist", "purchase": "Order Completed"
    }  # fmt: skip


# Exports of known tools.


def test_a_google_analytics_export_is_read(written: Callable[[str, str | bytes], Path]) -> None:
    lines = [{
        "event_name": "purchase" if number % 5 == 4 else "view_item", "event_timestamp": str((NOW_MS - number) * 1_000),
        "user_pseudo_id": f"{number // 5}.17", "user_id": None,
        "event_params": [{"key": "ga_session_id", "value": {"int_value": str(number // 5)}}],
        "items": [{"item_id": f"SKU_{number % 7}", "item_name": f"Lamp {number % 7}", "item_brand": "Own",
                   "price": 12.5, "quantity": 2}, {"item_id": f"SKU_{(number + 1) % 7}", "price": 12.5}],
    } for number in range(40)]  # fmt: skip
    path = written("ga4.json", "\n".join(map(json.dumps, lines)))
    ready = look(path)
    assert ready.clicks_format == "Google Analytics 4 (JSON lines)"
    assert roles(ready) == {
        "item": "items[].item_id", "visitor": "user_pseudo_id", "session": "ga_session_id", "time": "event_timestamp",
        "event": "event_name", "price": "items[].price", "quantity": "items[].quantity",
    }  # fmt: skip
    taken, items = take(path)
    assert len(taken.history) == 80
    assert items["SKU_3"] == {"title": "Lamp 3", "brand": "Own", "price": 12.5}
    orders = [one for one in taken.history.events(0, 80) if b"Order Completed" in one]
    assert len(orders) == 8
    assert all(one.count(b"product_id") == 2 for one in orders), "the lines of one order are one event"


def snowplow(number: int) -> dict[str, str]:
    product = {"schema": "iglu:com.snowplowanalytics.snowplow.ecommerce/product/jsonschema/1-0-0",
               "data": {"id": f"p{number % 5}", "name": f"Chair {number % 5}", "category": "chairs", "price": 9.5}}
    action = {"schema": "iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2",
              "data": {"type": "add_to_cart" if number % 3 == 2 else "product_view"}}
    return {
        "app_id": "shop", "platform": "web", "collector_tstamp": f"2026-03-01 10:00:{number:02}.000",
        "event": "unstruct", "event_id": f"00000000-0000-4000-8000-{number:012}", "v_collector": "ssc",
        "domain_userid": f"d{number // 4}", "contexts": json.dumps({"schema": "contexts", "data": [product]}),
        "unstruct_event": json.dumps({"schema": "unstruct", "data": action}),
    }  # fmt: skip


def test_snowplow_is_read_as_lines_and_as_json(written: Callable[[str, str | bytes], Path]) -> None:
    rows = [snowplow(number) for number in range(40)]
    width = 131 - len(SNOWPLOW_COLUMNS)
    lines = written("enriched.tsv", "\n".join(
        "\t".join([*(row.get(name, "") for name in SNOWPLOW_COLUMNS), *[""] * width]) for row in rows))
    flat = [{
        **{name: value for name, value in row.items() if name not in ("contexts", "unstruct_event")},
        "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1": [json.loads(row["contexts"])["data"][0]["data"]],
        "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1":
            json.loads(row["unstruct_event"])["data"]["data"],
    } for row in rows]  # fmt: skip
    objects = written("enriched.json", "\n".join(map(json.dumps, flat)))
    for path in (lines, objects):
        taken, items = take(path)
        assert taken.kinds_taken == {"product_view": "Product Viewed", "add_to_cart": "Product Added"}, path
        assert len(taken.history) == 40
        assert items["p3"]["title"] == "Chair 3"
    assert look(lines).clicks_format == "Snowplow (Snowplow TSV)"


def test_tracking_events_are_read(written: Callable[[str, str | bytes], Path]) -> None:
    events = [{"type": "track", "event": "Product Viewed", "anonymousId": f"a{number // 4}",
               "timestamp": f"2026-03-01T10:{number:02}:00+01:00", "properties": {"product_id": f"{number % 3}"}}
              for number in range(40)]  # fmt: skip
    for name, text in (
        ("lines.json", "\n".join(map(json.dumps, events))), ("list.json", json.dumps(events)),
        ("batch.json", json.dumps({"batch": events})),
        ("batches.json", "\n".join(json.dumps({"batch": events[at : at + 10]}) for at in range(0, 40, 10))),
    ):  # fmt: skip
        path = written(name, text)
        assert roles(look(path))["item"] == "properties.product_id", name
        taken, _ = take(path)
        assert len(taken.history) == 40
    assert int(taken.history.at_ms[0]) == 1_772_355_600_000, "the zone counts"


def test_a_feed_of_the_agentic_commerce_protocol_is_read(written: Callable[[str, str | bytes], Path]) -> None:
    feed = written("acp.csv", (
        "item_id,title,description,url,brand,image_url,price,availability,is_eligible_search,product_category\n"
        "A1,Desk,Oak,https://shop.example/a1,Own,https://shop.example/a1.png,79.99 USD,in_stock,true,Home > Desks\n"))
    ready = look(feed)
    assert ready.items_kind.startswith("Agentic Commerce Protocol")
    assert ready.items["A1"]["price"] == "79.99 USD"
    assert ready.items["A1"]["category"] == "Home > Desks"


# What joins with what.


def test_the_catalogue_decides_which_column_is_the_item(written: Callable[[str, str | bytes], Path]) -> None:
    feed = written("feed.csv", "id,sku,title\n" + "".join(f"{900 + n},AB-{n},Thing {n}\n" for n in range(40)))
    log = written("log.csv", "who,x,at\n" + "".join(
        f"w{n // 4},AB-{n % 40},{1_780_000_000 + n}\n" for n in range(200)))
    ready = look(feed, log)
    assert ready.items_guess is not None
    assert ready.items_guess.column == "sku"
    assert "of the items that are clicked on" in ready.items_guess.reason
    assert roles(ready) == {"item": "x", "visitor": "who", "time": "at"}
    swapped = look(log, feed)
    assert roles(swapped) == roles(ready)
    assert any("they are taken so" in note for note in swapped.notes)


def test_zeros_in_front_stay_and_are_joined_where_one_file_lacks_them(
    written: Callable[[str, str | bytes], Path]
) -> None:
    feed = written("feed.csv", "product_id,title\n" + "".join(f"{n:05},Thing {n}\n" for n in range(1, 40)))
    log = written("log.csv", "visitor,product_id,ts\n" + "".join(
        f"v{n // 4},{n % 38 + 1},{1_780_000_000 + n}\n" for n in range(200)))
    said = Said()
    ready = prepared([feed, log], said)
    assert "00007" in ready.items
    taken, items, notes = taken_history(ready, said, now_ms=NOW_MS)
    assert unknown_share(taken.history, items.keys()) == (0.0, [])
    assert any("without zeros in front" in note for note in notes)
    own, _ = take(written("own.csv", "visitor,product_id,ts\n" + "".join(
        f"v{n // 4},{n % 38:05},{1_780_000_000 + n}\n" for n in range(200))))
    assert own.history.item_names[3] == "00003"


def test_clicks_that_name_no_product_of_the_catalogue_are_told_with_examples(
    written: Callable[[str, str | bytes], Path]
) -> None:
    feed = written("feed.csv", "product_id,title\n" + "".join(f"p{n},Thing {n}\n" for n in range(20)))
    log = written("log.csv", "visitor,product_id,ts\n" + "".join(
        f"v{n // 4},{'p' if n % 4 else 'gone-'}{n % 20},{1_780_000_000 + n}\n" for n in range(200)))
    taken, items = take(feed, log)
    share, examples = unknown_share(taken.history, items.keys())
    assert (share, len(examples)) == (0.25, 3)
    assert all(one.startswith("gone-") for one in examples)


def test_columns_without_names_are_told_by_their_values(written: Callable[[str, str | bytes], Path]) -> None:
    lines = "".join(f"{n // 8 + 500}\t{(n * 37) % 61 + 100}\t{n % 5 + 1}\t{881_250_949 + n}\n" for n in range(400))
    ready = look(written("u.data", lines))
    assert ready.notes == ["its first line has no names: the columns are called column 1 to column 4"]
    assert roles(ready) == {"visitor": "column 1", "item": "column 2", "time": "column 4"}


@pytest.mark.parametrize(("who", "what", "when"), [
    ("user", "product_id", "timestamp"), ("visitor", "sku", "ts"), ("session", "item", "time"),
    ("client_id", "artikelnummer", "zeitpunkt"), ("customerId", "handle", "created_at"), ("Kunde", "Artikel", "Datum"),
    ("user id", "Article ID", "Event Time"), ("uid", "asin", "unixReviewTime"),
])  # fmt: skip
def test_the_words_of_a_stranger(
    written: Callable[[str, str | bytes], Path], who: str, what: str, when: str
) -> None:
    text = f"{who},{what},{when}\n" + "".join(f"x{n // 5},p{n % 30},{1_780_000_000 + n}\n" for n in range(150))
    found = {column: role for role, column in roles(look(written("log.csv", text))).items()}
    assert found[what] == "item"
    assert found[who] in ("user", "visitor", "session")
    assert found[when] == "time"


# Times.


@pytest.mark.parametrize("times", [
    lambda n: str(1_780_000_000 + n), lambda n: str(1_780_000_000_000 + n * 1_000),
    lambda n: str((1_780_000_000 + n) * 10**6), lambda n: f"{1_780_000_000 + n}.25",
    lambda n: f"2026-05-28T20:{n // 60:02}:{n % 60:02}Z", lambda n: f"2026-05-28 22:{n // 60:02}:{n % 60:02}+02:00",
    lambda n: f"28.05.2026 20:{n // 60:02}:{n % 60:02}",
])  # fmt: skip
def test_times_in_any_usual_form(written: Callable[[str, str | bytes], Path], times: Callable[[int], str]) -> None:
    text = "visitor,sku,when\n" + "".join(f"v{n // 4},p{n % 9},{times(n)}\n" for n in range(100))
    taken, _ = take(written("log.csv", text))
    gaps = np.diff(taken.history.at_ms)
    assert gaps.tolist() == [1_000] * 99
    assert abs(int(taken.history.at_ms[0]) / 1_000 - 1_780_000_000) < 2 * 86_400


def test_without_a_time_the_order_of_the_file_counts(written: Callable[[str, str | bytes], Path]) -> None:
    text = "visitor,sku\n" + "".join(f"v{n // 4},p{n % 9}\n" for n in range(100))
    taken, _ = take(written("log.csv", text))
    assert int(taken.history.at_ms[-1]) == NOW_MS
    assert [taken.history.item_names[one] for one in taken.history.items[:3]] == ["p0", "p1", "p2"]
    assert any("times are made up" in note for note in taken.notes)


def test_a_time_to_come_is_left_out_and_named(written: Callable[[str, str | bytes], Path]) -> None:
    text = "visitor,sku,when\n" + "".join(f"v{n // 4},p{n % 9},{1_780_000_000 + n}\n" for n in range(100))
    taken, _ = take(written("log.csv", f"{text}v1,p1,2099-01-01\nv1,p1,soon\n,p1,1780000000\nv2,,1780000000\n"))
    assert len(taken.history) == 100
    assert sorted(taken.remarks.sentences()) == [
        "1 row: it does not say who it was (line 104)", "1 row: it names no product (line 105)",
        "1 row: its time 'soon' cannot be read (line 103)", "1 row: its time lies ahead of now (line 102)",
    ]  # fmt: skip


# Hostile files.


@pytest.mark.parametrize(("text", "told"), [
    ("", "it is empty"), ("\n\n", "it is empty"), (bytes(range(256)) * 40, "it is no text"),
    ("<html><body>no feed</body></html>", "HTML"), ("word\nother\nthird\n", "no column is the id"),
    ("a,b\n1.5,2.5\n2.5,3.5\n", "no column is the id"), ("[]", "there is no item"), ("{", "JSON"),
    ("[1, 2, 3]", "no object"),
    (b"\x1f\x8b\x08\x00broken", "unpacked"), ("title,price\nSofa,3\nSofa,4\nSofa,5\n", "no column is the id"),
    ("PAR1 and nothing more", "Parquet"),
])  # fmt: skip
def test_what_cannot_be_a_shop_is_refused_with_its_reason(
    written: Callable[[str, str | bytes], Path], text: str | bytes, told: str
) -> None:
    with pytest.raises(RequestRejected, match=told):
        look(written("file.csv", text))


def test_a_log_without_an_item_or_a_person_says_what_to_do(written: Callable[[str, str | bytes], Path]) -> None:
    feed = written("feed.csv", "product_id,title\n" + "".join(f"p{n},Thing {n}\n" for n in range(20)))
    log = written("log.csv", "when,note\n" + "".join(f"{1_780_000_000 + n},hello\n" for n in range(50)))
    with pytest.raises(RequestRejected, match="--map item=COLUMN"):
        take(feed, log)
    log = written("log.csv", "when,product_id\n" + "".join(f"{1_780_000_000 + n},p{n % 20}\n" for n in range(50)))
    with pytest.raises(RequestRejected, match="--map visitor=COLUMN"):
        take(feed, log)


@pytest.mark.parametrize(("map_", "told"), [
    ("item=nothing", "no file has a column 'nothing'"), ("colour=user", "'colour' is no role"), ("item", "ROLE=COLUMN"),
])  # fmt: skip
def test_a_mapping_that_cannot_be_is_refused(
    written: Callable[[str, str | bytes], Path], map_: str, told: str
) -> None:
    with pytest.raises(RequestRejected, match=told):
        look(written("log.csv", clicks(60)), said=[map_])


def test_a_mapping_wins_over_the_guess(written: Callable[[str, str | bytes], Path]) -> None:
    text = "visitor,product_id,real_item,ts\n" + "".join(
        f"v{n // 4},x{n % 3},p{n % 9},{1_780_000_000 + n}\n" for n in range(100))
    ready = look(written("log.csv", text), said=["product_id=real_item"])
    assert roles(ready)["item"] == "real_item"
    assert next(one.reason for one in ready.guesses.taken if one.role == "item") == "as --map says"
    with pytest.raises(RequestRejected, match="is no event that is taken"):
        take(written("log.csv", text), kinds={"x": "Sofa Assembled"})


def test_broken_lines_are_named_and_the_rest_goes_on(written: Callable[[str, str | bytes], Path]) -> None:
    lines = clicks(60).splitlines()
    lines[10] = lines[10] + ";too;many"
    lines[20] = "u1"
    taken, _ = take(written("log.csv", "\n".join(lines)))
    assert len(taken.history) == 58
    assert taken.remarks.sentences() == [
        "1 row: it has 5 values, and there are 3 columns (line 11)",
        "1 row: it has 1 values, and there are 3 columns (line 21)",
    ]  # fmt: skip
    objects = [json.dumps({"user": f"u{n // 4}", "sku": f"s{n % 9}", "ts": 1_780_000_000 + n}) for n in range(60)]
    objects[5], objects[6] = "{broken", "[1]"
    taken, _ = take(written("log.jsonl", "\n".join(objects)))
    assert len(taken.history) == 58
    assert any("it is no object (line 7)" in one for one in taken.remarks.sentences())


def test_other_encodings_and_columns_of_one_name(written: Callable[[str, str | bytes], Path]) -> None:
    text = "Besucher;Artikelnummer;Datum;Artikelnummer\n" + "".join(
        f"b{n // 4};Tür {n % 9};{1_780_000_000 + n};x\n" for n in range(60))
    for encoding in ("cp1252", "utf-16", "utf-8-sig"):
        ready = look(path := written("log.csv", text.encode(encoding)))
        assert roles(ready) == {"item": "Artikelnummer", "visitor": "Besucher", "time": "Datum"}, encoding
        assert any("several columns are called" in note for note in ready.notes)
        taken, _ = take(path)
        assert "Tür 3" in taken.history.item_names


def test_returns_and_ratings_that_say_no_are_left_out(written: Callable[[str, str | bytes], Path]) -> None:
    text = "order_id,customer,sku,quantity,price,date\n" + "".join(
        f"o{n // 3},c{n // 6},s{n % 9},{-1 if n == 7 else 1},3.5,{1_780_000_000 + n // 3}\n" for n in range(60))
    taken, _ = take(written("orders.csv", text))
    assert any("a return" in one for one in taken.remarks.sentences())
    events = list(taken.history.events(0, len(taken.history)))
    assert len(events) == 20
    assert msgspec.json.decode(events[0])["properties"]["products"][2]["product_id"] == "s2"
    text = "user,item,rating,ts\n" + "".join(
        f"u{n // 5},i{n % 9},{n % 5 + 1},{1_780_000_000 + n}\n" for n in range(100))
    taken, _ = take(written("ratings.csv", text))
    assert len(taken.history) == 40, "those above the middle"


def test_the_newest_acts_are_taken_of_too_many(
    written: Callable[[str, str | bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instanter.ops.trying.history.TRIED_ACTS_MAX", 50)
    assert limits.TRIED_ACTS_MAX == 1_000_000
    taken, _ = take(written("log.csv", clicks(330)))
    assert len(taken.history) == 50
    assert "the newest 50 acts were taken, and 280 older ones left out" in taken.notes
    assert int(taken.history.at_ms[-1]) == NOW_MS - 40 * 86_400_000 + 329 * 61_000


def test_a_first_page_has_the_newest_acts_of_many(written: Callable[[str, str | bytes], Path]) -> None:
    history = take(written("log.csv", clicks(330)))[0].history
    newest = history.newest(40)
    assert len(newest) == 40
    assert [newest.person_names[one] for one in newest.people] == [
        history.person_names[one] for one in history.people[290:]]
    assert newest.at_ms.tolist() == history.at_ms[290:].tolist()
    assert len(history.newest(1_000)) == 330
    assert first_history(history) is None, "all are in as soon"
    many = History(
        at_ms=np.arange(2 * FIRST_ACTS), people=np.zeros(2 * FIRST_ACTS, np.int64),
        items=np.zeros(2 * FIRST_ACTS, np.int64), kinds=np.zeros(2 * FIRST_ACTS, np.int64),
        groups=-np.arange(2 * FIRST_ACTS), prices=np.zeros(2 * FIRST_ACTS),
        quantities=np.ones(2 * FIRST_ACTS, np.int64), person_names=["p"], item_names=["a"], named_users=True,
    )  # fmt: skip
    first = first_history(many)
    assert first is not None
    assert (len(first), int(first.at_ms[0])) == (FIRST_ACTS, FIRST_ACTS)


def test_a_first_page_begins_with_a_whole_order() -> None:
    history = History(
        at_ms=np.arange(6), people=np.zeros(6, np.int64), items=np.arange(6) % 3,
        kinds=np.array([0, 0, KINDS.index(ORDER_COMPLETED), KINDS.index(ORDER_COMPLETED), 0, 0]),
        groups=np.array([-1, -2, 5, 5, -3, -4]), prices=np.zeros(6), quantities=np.ones(6, np.int64),
        person_names=["p"], item_names=["a", "b", "c"], named_users=True,
    )  # fmt: skip
    assert history.newest(3).at_ms.tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("called", ["VK brutto", "Prix TTC", "Prijs", "Precio de venta"])
def test_prices_have_words_of_their_own(written: Callable[[str, str | bytes], Path], called: str) -> None:
    feed = written("feed.csv", f"sku;titel;{called}\n" + "".join(f"s{n};Thing {n};{n},50\n" for n in range(1, 9)))
    assert look(feed).items["s3"]["price"] in ("3,50", 3.5)
    log = written("log.csv", f"user;sku;when;{called}\n" + "".join(
        f"u{n // 6};s{n % 8};{1_780_000_000 + n};{n % 8},50\n" for n in range(60)))
    assert roles(look(log))["price"] == called


def test_reasons_are_counted_together_beyond_a_bound() -> None:
    remarks = Remarks()
    for number in range(limits.TRIED_REMARKS_MAX + 9):
        remarks.add(f"reason {number}", f"line {number}")
    assert len(remarks.sentences()) == limits.TRIED_REMARKS_MAX + 1
    assert remarks.sentences()[0].startswith("9 rows: for other reasons")


# What is made of it.


def test_acts_are_events_that_the_door_takes(written: Callable[[str, str | bytes], Path]) -> None:
    taken, _ = take(written("log.csv", clicks(60)))
    sent = [msgspec.json.decode(one) for one in taken.history.events(0, 60, later_ms=5)]
    assert read_time_ms(sent[1]["timestamp"], "") == int(taken.history.at_ms[1]) + 5
    assert sent[0] == {
        "type": "track", "event": "Product Viewed", "messageId": "act-0", "userId": "u0",
        "timestamp": sent[0]["timestamp"], "properties": {"product_id": "s000"},
    }  # fmt: skip


def test_only_steps_to_another_known_item_are_asked_about() -> None:
    at_ms = np.arange(10, dtype=np.int64)
    history = History(
        at_ms=at_ms, people=np.zeros(10, np.int64), items=np.array([0, 1, 0, 1, 0, 1, 0, 1, 1, 2]),
        kinds=np.zeros(10, np.int64), groups=-at_ms, prices=np.zeros(10), quantities=np.ones(10, np.int64),
        person_names=["p"], item_names=["a", "b", "c"], named_users=True,
    )  # fmt: skip
    assert planned(history, np.array([True, True, True])).places.tolist() == [9], "behind 8, and 8 repeats 7"
    assert planned(history, np.array([True, True, False])).places.tolist() == []


@pytest.mark.slow
def test_the_page_has_the_shops_own_products(written: Callable[[str, str | bytes], Path], tmp_path: Path) -> None:
    text = "product_id,title,category,price\n" + "".join(f"p{n},Walnut thing {n},walnut,9.5\n" for n in range(30))
    feed, out, data = written("feed.csv", text), tmp_path / "out", tmp_path / "data"
    assert main(["try", str(feed), "--yes", "--exit", "--out", str(out)]) == 0
    imported(out / folders.CONFIG, data, look(feed).items, None, now_ms=NOW_MS, steps_max=1,
             told=lambda what, done, of: None)  # fmt: skip
    with Standing(config=out / folders.CONFIG, shelf=out / folders.ITEMS, name="Walnut") as standing:
        page = standing.show(data)
        with urlopen(page.url) as answer:
            assert "Walnut" in answer.read().decode()
        first, later = page, tmp_path / "later"
        imported(out / folders.CONFIG, later, look(feed).items, None, now_ms=NOW_MS, steps_max=1,
                 told=lambda what, done, of: None)  # fmt: skip
        page = standing.show(later)
        assert page.url == first.url
        assert page.engine.url != first.engine.url
        assert first.engine.process.poll() is not None, "the engine before is not left behind"
        with urlopen(page.url) as answer:
            assert "Walnut" in answer.read().decode()
        question = json.dumps({"anonymousId": "somebody", "placements": [{"id": "home.recommended"}]}).encode()
        asked = Request(f"{page.engine.url}/v1/decide", question, {"Content-Type": "application/json"})
        with urlopen(asked) as answer:
            assert json.loads(answer.read())["placements"]["home.recommended"]["items"]


@pytest.mark.slow
def test_a_trial_measures_and_leaves_what_can_be_served(
    written: Callable[[str, str | bytes], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written("clicks.csv", clicks(900))
    out = tmp_path / "out"
    assert main(["try", str(log), "--yes", "--exit", "--json", "--out", str(out)]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert report["acts"] == report["events"] == 900
    assert report["events_rejected"] == 0
    figures = report["figures"]
    assert figures["engine"]["hit_rate"] > figures["popular"]["hit_rate"]
    assert figures["mrr"]["low"] > 0
    assert report["moved_ms"] > 0
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [folders.CONFIG, folders.EVENTS, folders.GUESS, folders.ITEMS])
    first = msgspec.json.decode((out / folders.EVENTS).read_bytes().splitlines()[0])
    assert read_time_ms(first["timestamp"], "") == NOW_MS - 40 * 86_400_000, "as it was"
    assert main(["try", str(log), "--yes", "--exit", "--out", str(out)]) == 2, "what is there is not written over"
    data = tmp_path / "data"
    assert main(["import", "--config", str(out / folders.CONFIG), "--data", str(data), "--items",
                 str(out / folders.ITEMS), "--events", str(out / folders.EVENTS), "--history"]) == 0


def test_what_is_sold_out_today_is_in_no_list_and_is_not_asked_about(
    written: Callable[[str, str | bytes], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = clicks(900)
    items = sorted({line.split(";")[1] for line in log.splitlines()[1:]})
    gone = set(items[::2])
    lines = "".join(f"{one},Thing {one},{0 if one in gone else 3}\n" for one in items)
    feed = written("feed.csv", "id,title,stock\n" + lines)
    said = {}
    for name, file in (("with", feed), ("without", written("plain.csv", feed.read_text().replace(",0\n", ",3\n")))):
        assert main(["try", str(file), str(written("clicks.csv", log)), "--yes", "--exit", "--json",
                     "--out", str(tmp_path / name)]) == 0  # fmt: skip
        said[name] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert (said["with"]["sold_out"], said["without"]["sold_out"]) == (len(gone), 0)
    assert said["with"]["figures"]["steps"] < said["without"]["figures"]["steps"]
    for side in ("engine", "popular"):
        assert said["with"]["figures"][side]["hit_rate"] >= said["without"]["figures"][side]["hit_rate"] - 0.1, side


def test_a_log_of_which_most_is_left_out_says_what_to_say(
    written: Callable[[str, str | bytes], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, *lines = clicks(300).splitlines()
    kinds = ("purchase", *["zzz_seen"] * 5)
    log = "\n".join([f"{header};action", *(f"{line};{kinds[n % 6]}" for n, line in enumerate(lines)), ""])
    out = ["--yes", "--exit", "--out", str(tmp_path / "out")]
    assert main(["try", str(written("clicks.csv", log)), *out]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "say --event 'zzz_seen=Product Viewed'" in printed
    turned = ["--yes", "--exit", "--out", str(tmp_path / "again"), "--event", "Product Viewed=zzz_seen"]
    assert main(["try", str(written("clicks.csv", log)), *turned]) == 2
    assert "'zzz_seen=Product Viewed'" in " ".join(capsys.readouterr().err.split())
