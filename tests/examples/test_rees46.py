"""The REES46 runner: wire shapes, sessions, the order of time, plain guesses, and a short run on a real server."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EVENTS_SMOKE = 700
MINUTE_MS = 60_000
COLUMNS = (
    "event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id",
    "user_session",
)  # fmt: skip


def row(*values: str) -> dict[str, str]:
    return dict(zip(COLUMNS, values, strict=True))


def view(rees46: ModuleType, number: int, at_ms: int, user: str, item: str, category: str = "sofa") -> Any:
    return rees46.Happening(f"line-{number}", at_ms, "view", item, category, "", 9.5, user, f"{user}-visit")


class PlainEngine:
    """A client that finds sessions by the gap, shows nothing, and keeps the order of what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.feeding_s = 0.0
        self.live: dict[str, list[int]] = {}

    def put_items(self, items: list[dict[str, Any]]) -> None:
        self.told.extend(("item", item["id"]) for item in items)

    def feed(self, events: Any) -> None:
        for event in events:
            self.told.append(("event", event["messageId"]))
            number = int(event["messageId"].removeprefix("line-"))
            self.live.setdefault(event["userId"], []).append(number)

    def ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        self.told.append(("asked", question["userId"]))
        return {"placements": {one["id"]: {"items": [], "servedBy": "popular"} for one in question["placements"]}}

    def get(self, path: str) -> dict[str, Any]:
        return {"features": {"session_events": float(len(self.live[path.rsplit("/", 1)[-1]]))}}

    def metrics(self) -> dict[str, float]:
        return {f'instanter_stage_seconds_recent{{quantile="{q}",stage="freshness"}}': 0.001 for q in (0.5, 0.99)}


def test_a_view_becomes_a_product_viewed_without_a_session(rees46: ModuleType) -> None:
    happening = rees46.happening_of(
        7, row("2019-10-01 00:00:01 UTC", "view", "172", "20530", "furniture.sofa", "", "543.1", "519", "5665-11")
    )
    assert rees46.event_of(happening) == {
        "type": "track", "event": "Product Viewed", "messageId": "line-7", "userId": "519",
        "timestamp": "2019-10-01T00:00:01.000Z", "properties": {"product_id": "172", "price": 543.1, "quantity": 1},
    }  # fmt: skip
    assert rees46.item_of(happening) == {"id": "172", "fields": {"category": "furniture.sofa", "price": 543.1}}


def test_a_purchase_becomes_an_order_of_one_product(rees46: ModuleType) -> None:
    event = rees46.event_of(
        rees46.happening_of(
            8, row("2019-10-01 00:00:01 UTC", "purchase", "172", "20530", "", "apple", "9.5", "519", "5665-11")
        )
    )
    assert event["event"] == "Order Completed"
    assert event["properties"]["products"] == [{"product_id": "172", "price": 9.5, "quantity": 1}]
    assert event["properties"]["revenue"] == 9.5


def test_an_item_without_a_category_path_is_of_its_category_number(rees46: ModuleType) -> None:
    happening = rees46.happening_of(
        0, row("2019-10-01 00:00:01 UTC", "cart", "172", "20530", "", "apple", "9.5", "519", "5665-11")
    )
    assert rees46.item_of(happening)["fields"] == {"category": "20530", "brand": "apple", "price": 9.5}
    assert rees46.event_of(happening)["event"] == "Product Added"


def test_a_session_ends_after_more_than_half_an_hour(rees46: ModuleType) -> None:
    times = (0, 30 * MINUTE_MS, 60 * MINUTE_MS + 1)
    log = [view(rees46, number, at_ms, "ada", "a") for number, at_ms in enumerate(times)]
    assert rees46.gap_sessions(log) == 2
    assert rees46.gap_sessions([*log, view(rees46, 3, 61 * MINUTE_MS, "bob", "a")]) == 3


def test_the_log_is_cut_into_stretches_without_losing_an_event(rees46: ModuleType) -> None:
    log = [view(rees46, number, at_ms, "ada", "a") for number, at_ms in enumerate((0, 299_999, 300_000, 900_000))]
    assert [[one.at_ms for one in part] for part in rees46.stretches(log)] == [[0, 299_999], [300_000], [900_000]]


def test_a_view_is_guessed_before_its_item_and_event_are_told(rees46: ModuleType) -> None:
    log = [
        view(rees46, 0, 0, "ada", "a"), view(rees46, 1, 1_000, "bob", "a"), view(rees46, 2, 2_000, "ada", "b"),
        view(rees46, 3, 3_000, "ada", "b"), view(rees46, 4, 4_000, "eve", "c"),
    ]  # fmt: skip
    client = PlainEngine()
    evening = rees46.Evening(log, 2_000, client)
    evening.play()
    assert client.told == [
        ("item", "a"), ("event", "line-0"), ("event", "line-1"),
        ("asked", "ada"), ("item", "b"), ("event", "line-2"),
        ("event", "line-3"),
        ("asked", "eve"), ("item", "c"), ("event", "line-4"),
    ]  # fmt: skip
    assert [guess.wanted for guess in evening.guesses] == ["b", "c"]
    assert [sorted(guess.shown) for guess in evening.guesses] == [[rees46.HOME, rees46.SIMILAR], [rees46.HOME]]
    assert evening.sessions.sessions == 3


def test_plain_guesses_stand_on_earlier_views_alone(rees46: ModuleType) -> None:
    log = [
        view(rees46, 0, 0, "ada", "a"), view(rees46, 1, 1_000, "bob", "b", "lamp"),
        view(rees46, 2, 2_000, "cat", "b", "lamp"), view(rees46, 3, 3_000, "dan", "c"),
        view(rees46, 4, 4_000, "ada", "c"),
    ]  # fmt: skip
    (guess,) = rees46.plain_guesses(log, 4_000)
    assert guess.wanted == "c"
    assert guess.shown == {
        "home.recommended.popularity": ["b", "c"],
        "product.similar.popularity": ["b", "c"],
        "product.similar.same_category": ["c", "b"],
    }
    figures = rees46.hits([guess])
    assert figures["home.recommended.popularity.mrr_at_12"] == 0.5
    assert figures["product.similar.same_category.mrr_at_12"] == 1.0
    assert figures["product.similar.same_category.hit_at_12"] == 1.0


def test_the_engine_is_compared_with_each_plain_list_on_the_same_views(rees46: ModuleType) -> None:
    home, similar = rees46.HOME, rees46.SIMILAR
    ours = [rees46.Guess("a", {home: ["a"]}, {}), rees46.Guess("b", {home: ["c"], similar: ["b"]}, {})]
    plain = [
        rees46.Guess("a", {f"{home}.popularity": ["c"]}, {}),
        rees46.Guess("b", {name: ["b"] for name in (
            f"{home}.popularity", f"{similar}.popularity", f"{similar}.same_category")}, {}),
    ]  # fmt: skip
    more = rees46.more_hits(ours, plain)
    assert more[f"{home}.popularity.more"] == 0.0
    assert (more[f"{home}.popularity.more_low"], more[f"{home}.popularity.more_high"]) == (-1.0, 1.0)
    for name in (f"{similar}.same_category", f"{similar}.popularity"):
        assert [more[f"{name}.{figure}"] for figure in ("more", "more_low", "more_high")] == [0.0, 0.0, 0.0]


def test_a_placement_is_measured_only_where_it_was_asked_for(rees46: ModuleType) -> None:
    guesses = [
        rees46.Guess("a", {"home": ["a"]}, {"home": "personal"}),
        rees46.Guess("a", {"home": ["b"], "similar": ["b", "a"]}, {"home": "popular", "similar": "personal"}),
    ]
    assert rees46.hits(guesses) == {
        "home.hit_at_12": 0.5, "home.mrr_at_12": 0.5, "similar.hit_at_12": 1.0, "similar.mrr_at_12": 0.5,
    }  # fmt: skip
    assert rees46.rung_shares(guesses) == pytest.approx({"rung.personal": 2 / 3, "rung.popular": 1 / 3})


def test_a_run_against_a_server_loses_nothing_and_finds_the_sessions(
    rees46: ModuleType, rees46_data: Path, full: bool
) -> None:
    """The first events only; the whole evening in the full run."""
    result = rees46.run(rees46_data, None, True, events_max=None if full else EVENTS_SMOKE)
    metrics, baselines = result["metrics"], result["baselines"]
    assert set(result) == {"cut", "n", "metrics", "baselines"}
    assert result["n"] > 0
    assert metrics["events_lost"] == metrics["events_not_applied"] == 0
    assert metrics["sessions"] == baselines["gap_sessions"]
    assert sum(share for name, share in metrics.items() if name.startswith("rung.")) == pytest.approx(1.0, abs=1e-3)
    if full:
        assert metrics["events_sent"] == 12_183
        for name in ("home.recommended", "product.similar"):
            assert metrics[f"{name}.hit_at_12"] > baselines[f"{name}.popularity.hit_at_12"]
