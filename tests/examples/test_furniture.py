"""The furniture runner: what a page sends, how visits are added up, and a short run against real servers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from instanter.sim.choice import Reward
from instanter.sim.shop import Shop
from instanter.sim.visit import VisitResult

REWARDS = {"click": 1.0, "cart": 3.0, "order": 5.0}


class FirstOnes:
    """An engine that shows the first products of the shop, or the caller's list as it is, and keeps what it hears."""

    def __init__(self, shop: Shop) -> None:
        self.asked: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.events_sent = 0
        self._ids = [item.id for item in shop.items()]

    def ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        assert path == "/v1/decide"
        self.told.extend(question["events"])
        self.asked.append(question)
        placements = {
            one["id"]: {"items": [{"id": each} for each in one.get("candidates", self._ids)[: one["limit"]]]}
            for one in question["placements"]
        }
        return {"decisionId": f"d-{len(self.asked)}", "degraded": [], "placements": placements}

    def feed(self, events: list[dict[str, Any]]) -> None:
        self.told.extend(events)


@pytest.fixture
def shop() -> Shop:
    return Shop(seed=3, products=120)


def outcome(person: str, counted: Reward, expected: Reward) -> VisitResult:
    return VisitResult(
        anonymous_id=person, session_id="s", started_ms=0, ended_ms=1, lists=1, expected=expected, counted=counted
    )


def test_every_list_and_click_names_the_decision_that_chose_it(furniture: ModuleType, shop: Shop) -> None:
    client = FirstOnes(shop)
    furniture.visits(client, shop, people=12, seed=5, start_ms=furniture.DEFAULT_AS_OF_MS)
    lists = [event for event in client.told if event.get("event") == "Product List Viewed"]
    decisions = {event["properties"]["list_id"]: event["context"]["decisionId"] for event in lists}
    clicks = [event for event in client.told if event.get("event") == "Product Clicked"]
    assert clicks
    assert {decisions[click["properties"]["list_id"]] for click in clicks} == {
        click["context"]["decisionId"] for click in clicks
    }
    asked = {f"d-{number}": question for number, question in enumerate(client.asked, start=1)}
    for event in lists:
        question = asked[event["context"]["decisionId"]]
        assert question["anonymousId"] == event["anonymousId"]
        assert question["timestamp"] == event["timestamp"]


def test_a_page_asks_for_its_placements_at_once_and_tells_only_what_happened_before(
    furniture: ModuleType, shop: Shop
) -> None:
    client = FirstOnes(shop)
    furniture.visits(client, shop, people=12, seed=5, start_ms=furniture.DEFAULT_AS_OF_MS)
    spots = [tuple(one["id"] for one in question["placements"]) for question in client.asked]
    assert set(spots) <= {("home.hero", "home.recommended"), ("product.similar",), ("search",)}
    assert ("home.hero", "home.recommended") in spots
    for question in client.asked:
        assert all(event["timestamp"] <= question["timestamp"] for event in question["events"])
    times = [event["timestamp"] for event in client.told]
    assert times == sorted(times)


def test_rewards_are_weighed_as_configured_and_added_up_by_person(furniture: ModuleType) -> None:
    people = furniture.by_person(
        [
            outcome("ada", Reward(clicks=2.0, carts=1.0), Reward(clicks=1.0)),
            outcome("ada", Reward(orders=1.0), Reward(clicks=0.5)),
            outcome("bob", Reward(), Reward(carts=1.0)),
        ],
        REWARDS,
    )
    assert people == {"ada": (2, 10.0, 1.5), "bob": (1, 0.0, 3.0)}
    assert furniture.a_visit(people.values()) == (10.0 / 3.0, 1.5)


def test_the_interval_is_of_the_same_people_on_both_sides(furniture: ModuleType) -> None:
    one = {f"p{number}": furniture.Brought(1, 2.0 + number, 0.0) for number in range(40)}
    other = {name: brought._replace(counted=brought.counted - 1.0) for name, brought in one.items()}
    low, high = furniture.difference_interval(one, other, resamples=200)
    assert low == pytest.approx(1.0)
    assert high == pytest.approx(1.0)


def test_the_last_line_says_in_how_many_seeds_the_trained_one_was_better(furniture: ModuleType) -> None:
    def seed(number: int, built_in: float, trained: float) -> Any:
        sides = ({"ada": furniture.Brought(2, 2.0 * each, 2.0 * each)} for each in (built_in, trained))
        return furniture.Compared(number, *sides, 1, {}, 1, 0, 0.0)

    result = furniture.figures([seed(1, 2.0, 3.0), seed(2, 4.0, 3.0)])
    metrics = result["metrics"]
    assert (metrics["better_in"], metrics["seeds"]) == (1, 2)
    assert (metrics["lift"], metrics["lift_least"]) == (0.125, -0.25)
    assert (metrics["difference.1"], metrics["difference_low.1"]) == (1.0, 1.0)
    assert result["baselines"]["reward"] == 3.0
    assert result["n"] == 8


def test_a_run_has_both_sides_answer_and_a_model_in_charge_of_one(furniture: ModuleType, full: bool) -> None:
    sizes = furniture.Sizes() if full else furniture.Sizes(shown=40, compared=10)
    compared = furniture.compare(101, sizes, REWARDS)
    assert compared.degraded == 0
    assert set(compared.built_in) == set(compared.trained)
    assert len(compared.trained) == sizes.compared
    assert set(compared.training) == set(furniture.LEARNED)
    assert all(told["placed"] for told in compared.training.values())
    assert furniture.a_visit(compared.trained.values())[1] > 0.0
