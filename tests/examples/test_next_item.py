"""The runner of shops that send views alone: what is read, what is guessed, and the order of time."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any


class PlainEngine:
    """A client that shows what came first, and keeps the order of what it was told."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.told: list[str] = []

    def put_items(self, items: list[dict[str, Any]]) -> None:
        self.items += [item["id"] for item in items]

    def feed(self, events: list[dict[str, Any]]) -> None:
        self.told += [event["properties"]["product_id"] for event in events]

    def ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        self.told.append("?")
        (placement,) = question["placements"]
        return {"placements": {placement["id"]: {"items": [{"id": item} for item in self.items[: placement["limit"]]]}}}


def visit_in(next_item: ModuleType, *, guessed: bool) -> str:
    names = (str(number) for number in range(100))
    return next(one for one in names if (zlib.crc32(one.encode()) % next_item.GUESSED_IN == 0) is guessed)


def test_rows_become_views_with_their_times(next_item: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"SessionId\tItemId\tTime\n3\t21\t13.5\n"))
    assert list(next_item.timed(tmp_path, ["train.tsv.gz"])) == [next_item.View(13_500, "3", "21", {})]
    rows = b"year,month,day,order,session_id,main_category,clothing_model,price\n2008,4,1,2,7,1,A13,28\n"
    (tmp_path / "clicks.csv.gz").write_bytes(gzip.compress(rows))
    (view,) = next_item.dated(tmp_path)
    assert (view.visit, view.item, view.fields) == ("7", "A13", {"category": "1", "price": 28.0})
    assert 0 <= view.at_ms - next_item.time_ms("2008-04-01") < 86_400_000


def test_a_view_of_another_item_is_guessed_before_it_is_fed_and_nothing_else_is(next_item: ModuleType) -> None:
    engine = PlainEngine()
    visits, visit = next_item.Visits(engine), visit_in(next_item, guessed=True)
    views = [next_item.View(number, visit, item, {}) for number, item in enumerate(["a", "a", "b", "c"])]
    waiting: list[Any] = []
    for view in views:
        if visits.is_guess(view, waiting):
            visits.feed(waiting)
            visits.guess(view)
            waiting = []
        waiting.append(view)
    assert engine.told == ["a", "a", "?", "b", "?"]
    seen = [(one.wanted, one.shown, one.popular) for one in visits.guesses]
    assert seen == [("b", ["a"], []), ("c", ["a", "b"], ["a"])]
    other = next_item.View(9, visit_in(next_item, guessed=False), "b", {})
    assert not visits.is_guess(other, [next_item.View(8, other.visit, "a", {})])
