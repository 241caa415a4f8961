"""Files of events in every shape that people have them in."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from instanter.foundation.errors import Broken, RequestRejected
from instanter.foundation.limits import ARCHIVE_BUFFER_BYTES, ARCHIVE_RECORD_BYTES_MAX
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
    with pytest.raises(RequestRejected, match="says who it was"):
        read(path, event="what")
    with pytest.raises(RequestRejected, match="no column 'wat'"):
        read(path, event="wat")
    (event,) = read(path, event="what", userId="who", timestamp="when")[1]
    assert event == {"type": "track", "userId": "ada", "event": "view", "timestamp": "2023-11-14", "properties": {}}


def test_a_row_with_too_many_fields_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("event,user\nview,ada,oops\nview,bert\n")
    _, events, numbers, rejected = read(path)
    assert ([one["userId"] for one in events], numbers) == (["bert"], [3])
    assert rejected == [f"{path}:2: malformed: the row has more fields than the header"]


@pytest.mark.parametrize(("content", "told"), [
    ('{"type": "page"}'.encode("utf-16"), "UTF-16"), (b"PAR1\x00\x00\x15\x04", "binary"),
    (b"hello", "none of JSON lines"),
])
def test_what_is_no_file_of_events_is_refused_in_a_sentence(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(content)
    with pytest.raises(RequestRejected, match=told):
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
