"""A bookshop's first afternoon: its own names, a mapping misspelt and put right, and all that is said on the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from instanter.ops.child import running_server
from instanter.ops.cli import main as frame

from .shop_data import CONFIG, ndjson

Printed = pytest.CaptureFixture[str]
EVENTS, PEOPLE, BOOKS = 1_288, 200, 40
NAMES = {"book_opened": "Product Viewed", "basket_add": "Product Added"}
BY_PROFILE = ("category_affinity", "price_level", "orders", "bought_items")
EXPLORING = "[decide]\nexploration = 0.0\n"


def book_events(*, mapped: bool) -> list[dict[str, Any]]:
    """Eight days of them, up to two days ago: all visits are over."""
    last = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    events = []
    for number in range(EVENTS):
        name = "basket_add" if number % 6 == 0 else "book_opened"
        events.append({
            "type": "track", "event": NAMES[name] if mapped else name, "userId": f"reader-{number % PEOPLE}",
            "messageId": f"e{number}", "properties": {"product_id": f"book-{(number * 7) % BOOKS}"},
            "timestamp": (last - timedelta(minutes=9 * (EVENTS - number))).isoformat(),
        })  # fmt: skip
    return events


def books() -> list[dict[str, Any]]:
    return [{"id": f"book-{n}", "fields": {"title": f"Book {n}", "category": f"shelf {n % 5}", "price": 5 + n}}
            for n in range(BOOKS)]


def seen(data: Path, config: Path) -> tuple[dict[str, Any], list[list[str]]]:
    """Profiles, and the categories of the lists that some people get."""
    with running_server(data, config=config) as server, httpx.Client(base_url=server.url) as http:
        profiles = {
            f"reader-{n}": http.get(f"/v1/profiles/reader-{n}").json()["features"] for n in range(0, PEOPLE, 9)
        }
        lists = []
        for number in range(0, PEOPLE, 23):
            asked = {"userId": f"reader-{number}", "placements": [{"id": "home.recommended"}], "deadlineMs": 10_000}
            placed = http.post("/v1/decide", json=asked).json()["placements"]["home.recommended"]
            lists.append([placed["servedBy"], *(item["fields"]["category"] for item in placed["items"][:3])])
    told = {person: {name: rounded(features[name]) for name in BY_PROFILE} for person, features in profiles.items()}
    return told, lists


def rounded(value: Any) -> Any:
    """Decays go on between two looks: names and their order, and plain numbers."""
    if isinstance(value, list):
        return [entry["name"] for entry in value]
    return value if value is None else round(value, 6)


def test_the_afternoon(tmp_path: Path, capsys: Printed) -> None:
    config = tmp_path / "shop.toml"
    config.write_text(CONFIG + EXPLORING)
    items = ndjson(tmp_path / "books.ndjson", list(books()))
    files = {mapped: ndjson(tmp_path / f"events-{mapped}.ndjson", list(book_events(mapped=mapped)))
             for mapped in (False, True)}

    def run(verb: str, *words: object, data: str = "data") -> tuple[int, str]:
        code = frame.main([verb, "--config", str(config), "--data", str(tmp_path / data), *map(str, words)])
        return code, capsys.readouterr().out

    def doctor() -> str:
        return run("doctor", "--port", "1")[1]

    def configure(**names: str) -> None:
        mapping = "".join(f'{sent} = "{meant}"\n' for sent, meant in names.items())
        config.write_text(f"{CONFIG}{EXPLORING}[events.names]\n{mapping}")

    code, told = run("import", "--items", items, "--events", files[False])
    assert code == 0
    assert f"imported {BOOKS} items and {EVENTS:,} events, 0 rejected" in told
    assert f"{EVENTS:,} of {EVENTS:,} events change no profile" in told
    assert '"book_opened" = "Product Viewed"\n"basket_add" = "Product Added"' in told
    assert f"instanter remap --config {config} --data {tmp_path / 'data'}" in told
    assert "a master key was made" in told

    assert 'events "book_opened" change no profile' in doctor()
    configure(**{**NAMES, "book_opened": "Product Vewed"})
    assert '"book_opened" is mapped to "Product Vewed", which no feature hears' in doctor()
    assert 'did you mean "Product Viewed"?' in doctor()

    configure(**NAMES)
    code, told = run("import", "--events", files[False])
    assert (code, "this file was already imported on" in told, "instanter remap" in told) == (0, True, True)
    assert f"{EVENTS:,} kept events would be told again" in run("remap", "--dry-run")[1]
    code, told = run("remap")
    assert (code, f"{EVENTS:,} kept events told again" in told) == (0, True)
    assert "book_opened as Product Viewed" in told
    report = json.loads(run("remap", "--json")[1])
    assert (report["told"], report["skipped"]) == (0, {"told_before": EVENTS})
    assert "change no profile" not in doctor()

    assert run("import", "--items", items, "--events", files[True], data="from the start")[0] == 0
    ours, theirs = seen(tmp_path / "data", config), seen(tmp_path / "from the start", config)
    assert ours[0] == theirs[0]
    assert {served for served, *_ in ours[1]} == {"personal"}
    assert [sorted(one) for one in ours[1]] == [sorted(one) for one in theirs[1]]
