"""The trivago runner: wire shapes, the order of time, the plain rankings, and a short run against a real server."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SESSIONS_SMOKE = 500


class Backwards:
    """A client whose engine turns every list around, and which keeps what it was told and when."""

    def __init__(self) -> None:
        self.fed: list[dict[str, Any]] = []
        self.asked: list[tuple[dict[str, Any], list[str]]] = []
        self.asking_s: list[float] = []

    def feed(self, events: Any) -> None:
        self.fed.extend(events)

    def ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        assert path == "/v1/rank"
        self.asked.append((question, [event["messageId"] for event in self.fed]))
        return {"items": [{"id": one["id"]} for one in reversed(question["candidates"])]}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def log(trivago: ModuleType) -> Any:
    """A session before the cut at 10 s, and one after it that looks, lists, looks again and clicks out twice."""

    def action(name: str, at_s: int, session: str, kind: str, reference: str, *shown: str) -> Any:
        prices = tuple(map(float, range(len(shown))))
        return trivago.Action(name, at_s * 1_000, f"user of {session}", session, kind, reference, shown, prices)

    return [
        action("s-1", 1, "s", "clickout item", "a", "a", "b"),
        action("t-1", 10, "t", "interaction item info", "c"),
        action("t-2", 11, "t", "clickout item", "b", "a", "b", "c"),
        action("t-3", 12, "t", "interaction item image", "a"),
        action("t-4", 13, "t", "clickout item", "c", "a", "b", "c", "d"),
        action("t-5", 14, "t", "filter selection", "pool"),
    ]


def test_a_click_out_is_a_list_with_prices_and_a_click_that_names_it(trivago: ModuleType, log: Any) -> None:
    shown, click = trivago.events_of(log[0])
    assert (shown["event"], click["event"]) == ("Product List Viewed", "Product Clicked")
    assert shown["properties"]["products"] == [
        {"product_id": "a", "position": 1, "price": 0.0}, {"product_id": "b", "position": 2, "price": 1.0}
    ]
    assert click["properties"] == {"list_id": shown["properties"]["list_id"], "product_id": "a"}


def test_only_the_last_click_out_of_a_session_that_begins_from_the_cut_on_is_asked_about(
    trivago: ModuleType, log: Any
) -> None:
    assert list(trivago.asked_about(log, 10_000)) == ["t-4"]
    assert list(trivago.asked_about(log, 0)) == ["s-1", "t-4"]
    assert list(trivago.asked_about(log, 11_000)) == []


def test_a_list_is_asked_about_before_it_is_fed_and_training_sees_what_was_before_the_cut(
    trivago: ModuleType, log: Any
) -> None:
    client, trained = Backwards(), list[int]()
    answers = trivago.ask_in_time_order(log, 10_000, client, lambda: trained.append(len(client.fed)) or {"lists": 1})
    assert trained == [2]
    assert [fed[-1] for _, fed in client.asked] == ["t-3", "t-3"]
    assert answers.trained == answers.untrained == {"t-4": ["d", "c", "b", "a"]}
    assert [event["messageId"] for event in client.fed][-1] == "t-5"
    question, _ = client.asked[0]
    assert question["candidates"][2] == {"id": "c", "fields": {"price": 2.0}}
    assert set(question) == {"placement", "candidates", "userId", "timestamp"}


def test_what_was_touched_last_comes_first_and_the_rest_as_shown(trivago: ModuleType, log: Any) -> None:
    ranked = trivago.plain_rankings(log, 10_000)
    assert ranked["touched_first"] == {"t-4": ["a", "b", "c", "d"]}
    assert ranked["popular"] == {"t-4": ["a", "b", "c", "d"]}
    assert ranked["shown"] == {"t-4": ["a", "b", "c", "d"]}
    assert trivago.ranks(ranked["shown"], trivago.asked_about(log, 10_000)) == [1 / 3]


def test_a_run_against_a_server_reports_every_figure(trivago: ModuleType, trivago_data: Path, full: bool) -> None:
    """The first sessions only; all of them in the full run, which must be better than what was touched first."""
    result = trivago.run(trivago_data, None, True, sessions_max=None if full else SESSIONS_SMOKE)
    assert set(result) == {"cut", "n", "metrics", "baselines"}
    assert result["n"] > 0
    assert 0.0 < result["metrics"]["mrr"] <= 1.0
    assert set(result["baselines"]) == {"mrr_shown", "mrr_touched_first", "mrr_popular"}
    if full:
        assert result["metrics"]["difference_low"] > 0.0
