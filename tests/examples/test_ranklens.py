"""The RankLens runner: wire shapes, the order of time, the plain rankings, and a short run against a real server."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

LISTS_SMOKE = 1_500
"""Two and a half minutes: enough for lists whose clicks are waited for no longer, to learn from."""


def at_ms(event: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(event["timestamp"]).timestamp() * 1_000)


class BackwardsEngine:
    """A client whose engine turns every list around, and which keeps what it was told and when."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.fed: list[dict[str, Any]] = []
        self.asked: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []

    def put_items(self, items: list[dict[str, Any]]) -> None:
        self.items.extend(items)

    def feed(self, events: Any) -> None:
        self.fed.extend(events)

    def ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        assert path == "/v1/rank"
        self.asked.append((question, list(self.fed)))
        return {"items": [{"id": item} for item in reversed(question["candidates"])]}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def toy(ranklens: ModuleType) -> Any:
    """Three lists, the second shown before the click on the first, and the third at the time of a click."""
    lists = [
        ranklens.Shown("l1", 10_000, "ada", ("a", "b", "c")),
        ranklens.Shown("l2", 12_000, "bob", ("c", "b", "a")),
        ranklens.Shown("l3", 15_000, "ada", ("b", "c", "a")),
    ]
    clicks = [
        ranklens.Click("k1", 15_000, "ada", "c", "l1"),
        ranklens.Click("k2", 17_000, "bob", "b", "l2"),
        ranklens.Click("k3", 20_000, "ada", "a", "l3"),
    ]
    return ranklens.Log([{"id": "a", "fields": {}}], lists, clicks)


def test_an_item_event_becomes_a_catalogue_item(ranklens: ModuleType) -> None:
    fields = [{"name": "title", "value": "Heat"}, {"name": "genres", "value": ["crime"]}]
    row = {"event": "item", "item": "6", "fields": fields}
    assert ranklens.item_of(row) == {"id": "6", "fields": {"title": "Heat", "genres": ["crime"]}}


def test_a_ranking_becomes_a_slate_with_positions_from_1(ranklens: ModuleType) -> None:
    items = [{"id": "7", "relevancy": 0.0}, {"id": "9", "relevancy": 0.0}]
    shown = ranklens.shown_of({"id": "l1", "timestamp": "1636993834000", "user": "ada", "items": items})
    assert ranklens.slate_event(shown) == {
        "type": "track", "event": "Product List Viewed", "messageId": "l1", "userId": "ada",
        "timestamp": "2021-11-15T16:30:34.000Z",
        "properties": {
            "list_id": "l1", "products": [{"product_id": "7", "position": 1}, {"product_id": "9", "position": 2}],
        },
    }  # fmt: skip


def test_an_interaction_becomes_a_click_that_names_its_list(ranklens: ModuleType) -> None:
    click = ranklens.click_of(
        {"id": "k1", "item": "9", "timestamp": "1636993839000", "ranking": "l1", "user": "ada", "type": "click"}
    )
    event = ranklens.click_event(click)
    assert (event["event"], event["messageId"], event["userId"]) == ("Product Clicked", "k1", "ada")
    assert event["properties"] == {"list_id": "l1", "product_id": "9"}
    assert at_ms(event) == 1_636_993_839_000


def test_a_question_holds_the_list_as_shown_and_not_what_was_clicked(ranklens: ModuleType, toy: Any) -> None:
    question = ranklens.question(toy.lists[1], "movies.list")
    assert question["candidates"] == ["c", "b", "a"]
    assert question["timestamp"] == "1970-01-01T00:00:12.000Z"
    assert set(question) == {"placement", "candidates", "userId", "timestamp"}


def test_a_list_is_asked_about_before_anything_of_its_time_is_fed(ranklens: ModuleType, toy: Any) -> None:
    client = BackwardsEngine()
    trained: list[int] = []
    ranklens.ask_in_time_order(toy, 12_000, client, lambda: trained.append(len(client.fed)) or {"lists": 1})
    assert trained == [1], "once, on what was before the cut"
    for question, fed in client.asked:
        assert all(at_ms(event) < at_ms(question) for event in fed)
    assert [[event["messageId"] for event in fed] for _, fed in client.asked[::2]] == [["l1"], ["l1", "l2"]]


def test_everything_is_fed_once_and_in_time_order(ranklens: ModuleType, toy: Any) -> None:
    client = BackwardsEngine()
    answers = ranklens.ask_in_time_order(toy, 12_000, client, lambda: {"lists": 1})
    assert [event["messageId"] for event in client.fed] == ["l1", "l2", "l3", "k1", "k2", "k3"]
    assert client.items == toy.items
    assert answers.trained == answers.untrained == {"l2": ["a", "b", "c"], "l3": ["a", "c", "b"]}


def test_what_the_engine_leaves_out_comes_last_as_shown(ranklens: ModuleType) -> None:
    assert ranklens.answered({"items": [{"id": "c"}]}, ["a", "b", "c"]) == ["c", "a", "b"]


def test_a_reply_that_is_no_order_of_the_list_ends_the_run(ranklens: ModuleType, runner: ModuleType) -> None:
    with pytest.raises(runner.RunnerError, match="not an order"):
        ranklens.answered({"items": [{"id": "c"}, {"id": "c"}]}, ["a", "c"])


def test_the_live_click_rate_knows_what_happened_before_and_the_trained_one_only_what_was_before_the_cut(
    ranklens: ModuleType, toy: Any
) -> None:
    ranked = ranklens.plain_rankings(toy, 15_500)
    assert ranked == {"shown": {}, "random": {}, "click_rate_train": {}, "click_rate_live": {}}
    late = toy._replace(lists=[*toy.lists, ranklens.Shown("l4", 18_000, "eve", ("a", "b", "c"))])
    ranked = ranklens.plain_rankings(late, 16_000)
    assert ranked["shown"] == {"l4": ["a", "b", "c"]}
    assert ranked["click_rate_train"] == {"l4": ["c", "a", "b"]}
    assert ranked["click_rate_live"] == {"l4": ["b", "c", "a"]}
    assert sorted(ranked["random"]["l4"]) == ["a", "b", "c"]


def test_a_list_without_a_click_is_left_out_of_the_mean(ranklens: ModuleType) -> None:
    ranked = {"l1": ["a", "b", "c"], "l2": ["a", "b", "c"], "l3": ["c", "b", "a"]}
    assert ranklens.ndcgs(ranked, {"l1": {"a"}, "l3": {"a"}}) == pytest.approx([1.0, 0.5])


def test_a_run_against_a_server_reports_every_figure(
    ranklens: ModuleType, ranklens_data: Path, full: bool
) -> None:
    """The first lists only; all of them in the full run, which must be better than the live click rate beyond doubt."""
    result = ranklens.run(ranklens_data, None, True, lists_max=None if full else LISTS_SMOKE)
    engine, baselines = result["metrics"]["ndcg_at_10"], result["baselines"]
    assert set(result) == {"cut", "n", "metrics", "baselines"}
    assert result["n"] > 0
    assert 0.0 < engine <= 1.0
    assert set(baselines) == {
        f"ndcg_at_10_{name}" for name in ("shown", "random", "click_rate_train", "click_rate_live")
    }
    if full:
        assert result["metrics"]["difference"] >= 0.010
        assert result["metrics"]["difference_low"] > 0.0
