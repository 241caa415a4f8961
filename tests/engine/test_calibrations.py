"""Probabilities are held against outcomes while serving; where they do not hold they are called so no more."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from instanter.decisions.decide import Promised
from instanter.decisions.request import decode_decide
from instanter.engine.calibrations import EDGES, ITEMS_KEPT, ITEMS_LEAST, Calibrations, Watched
from instanter.engine.loop import Engine
from instanter.events.envelope import Flag, Tracked
from instanter.feedback.rewards import Rewards
from instanter.foundation.clock import ManualClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.limits import (
    CALIBRATION_DECISIONS_OPEN_MAX,
    CALIBRATION_DECISIONS_PER_PERSON_MAX,
    CALIBRATION_ITEMS_MAX,
    CALIBRATIONS_WATCHED_MAX,
)
from instanter.models.base import Uncalibrated, gives_probabilities
from instanter.models.linear import LinearRanker
from instanter.models.trained import ranker_of

from ..api.client import Client, with_client
from ..models.examples import small_artefact
from .harness import decide, event, stock_shop, take, with_engine
from .rankers import Shelf

HOME = "home.recommended"
HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000
ABOUT = ("default", HOME, "plain@1")


def shelf_of(*names: str) -> Shelf:
    """Models that promise probabilities of about 0.9 and more."""
    shelf = Shelf(*names)
    for ranker in shelf.rankers.values():
        ranker.gives_probabilities = True
    return shelf


def outcome(item: int, *, at_ms: int, person: int = 7, name: str = "Product Clicked", **fields: Any) -> Tracked:
    return Tracked(at_ms, at_ms, "default", person, 1, name, items=(item,), **fields)


def shown(calibrations: Calibrations, decision_id: str, *items: int, at_ms: int = START_MS, person: int = 7) -> None:
    chances = tuple(0.4 for _ in items)
    calibrations.show(decision_id, "default", person, at_ms, [Promised(HOME, "plain@1", items, chances)])


def rewarded(calibrations: Calibrations, at_ms: int = START_MS + HOUR_MS) -> tuple[float, float]:
    """Items that are counted, and those of them that brought a reward."""
    calibrations.settle(at_ms)
    watched = calibrations.of(*ABOUT)
    return (0.0, 0.0) if watched is None else (watched.items, watched.rewarded * watched.items)


# What is promised against what comes.


@pytest.mark.parametrize("seed", range(5))
def test_probabilities_that_hold_are_believed(seed: int) -> None:
    chance, watched = random.Random(seed), Watched()
    for _ in range(15_000):
        promised = chance.choice((0.004, 0.03, 0.08, 0.25, 0.6))
        watched.add(promised, rewarded=chance.random() < promised)
        assert watched.holds
    assert watched.error < 0.02


@pytest.mark.parametrize(
    ("promised", "comes", "holds"),
    [(0.3, 0.13, False), (0.03, 0.1, False), (0.02, 0.005, False), (0.1, 0.12, True), (0.9, 0.87, True)],
)
def test_those_that_are_off_by_more_than_chance_explains_are_not(promised: float, comes: float, holds: bool) -> None:
    chance, watched = random.Random(1), Watched()
    for _ in range(8_000):
        watched.add(promised, rewarded=chance.random() < comes)
    assert watched.holds is holds
    assert watched.expected == pytest.approx(promised)
    assert watched.error == pytest.approx(abs(promised - watched.rewarded))


def test_of_few_items_nothing_is_said() -> None:
    watched = Watched()
    for _ in range(ITEMS_LEAST - 1):
        watched.add(0.99, rewarded=False)
    assert watched.holds
    watched.add(0.99, rewarded=False)
    assert not watched.holds


def test_errors_that_cancel_out_in_the_mean_are_seen_by_bins() -> None:
    watched = Watched()
    for turn in range(2_000):
        watched.add(0.8 if turn % 2 else 0.2, rewarded=not turn % 2)
    assert watched.expected == pytest.approx(watched.rewarded)
    assert not watched.holds


def test_what_is_old_weighs_less_and_counts_are_bounded() -> None:
    watched = Watched()
    for _ in range(int(ITEMS_KEPT)):
        watched.add(0.9, rewarded=False)
    for _ in range(6 * int(ITEMS_KEPT)):
        watched.add(0.3, rewarded=True)
        assert watched.items <= ITEMS_KEPT
    assert watched.rewarded > 0.95


def test_every_probability_has_its_bin() -> None:
    watched = Watched()
    for chance in (0.0, *EDGES, 1.0):
        watched.add(chance, rewarded=False)
    assert [one.items for one in watched.bins] == [1.0] * len(EDGES) + [2.0]


# Which outcomes belong to which list.


def test_outcomes_count_for_the_list_that_showed_the_item_once_they_are_settled() -> None:
    calibrations = Calibrations(Rewards())
    shown(calibrations, "d_1", 1, 2, 3)
    calibrations.note(outcome(2, at_ms=START_MS + 1_000), [7])
    assert rewarded(calibrations, START_MS + 60_000) == (0.0, 0.0)
    assert calibrations.open == 1
    assert rewarded(calibrations) == (3.0, 1.0)
    assert calibrations.open == 0
    calibrations.note(outcome(1, at_ms=START_MS + 2_000), [7])  # Too late.
    assert rewarded(calibrations) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("event_of", "cells"),
    [
        (outcome(9, at_ms=START_MS + 1), [7]),  # Not shown.
        (outcome(1, at_ms=START_MS + 1), [8]),  # Somebody else.
        (outcome(1, at_ms=START_MS - HOUR_MS), [7]),  # Before.
        (outcome(1, at_ms=START_MS + HOUR_MS), [7]),  # After the window.
        (outcome(1, at_ms=START_MS + 1, name="Product Viewed"), [7]),  # Worth nothing.
        (outcome(1, at_ms=START_MS + 1, flags=Flag.BOT), [7]),
    ],
)
def test_what_does_not_belong_to_it_does_not_count(event_of: Tracked, cells: list[int]) -> None:
    calibrations = Calibrations(Rewards())
    shown(calibrations, "d_1", 1)
    calibrations.note(event_of, cells)
    assert rewarded(calibrations) == (1.0, 0.0)


def test_of_two_lists_the_one_that_the_event_names_counts_else_the_newest() -> None:
    calibrations = Calibrations(Rewards())
    shown(calibrations, "d_1", 1)
    shown(calibrations, "d_2", 1, at_ms=START_MS + 10)
    calibrations.note(outcome(1, at_ms=START_MS + 20, decision_id="d_1", person=0), [])
    calibrations.note(outcome(1, at_ms=START_MS + 20), [7])
    calibrations.note(outcome(1, at_ms=START_MS + 30), [7])  # The same list again.
    assert rewarded(calibrations) == (2.0, 2.0)


def test_a_refund_takes_an_order_back() -> None:
    calibrations = Calibrations(Rewards())
    shown(calibrations, "d_1", 1)
    calibrations.note(outcome(1, at_ms=START_MS + 1, name="Order Completed"), [7])
    calibrations.note(outcome(1, at_ms=START_MS + 2, name="Order Refunded"), [7])
    assert rewarded(calibrations) == (1.0, 0.0)


def test_people_who_are_erased_are_forgotten() -> None:
    calibrations = Calibrations(Rewards())
    shown(calibrations, "d_1", 1)
    shown(calibrations, "d_2", 1, person=8)
    calibrations.drop([7, 9])
    assert calibrations.open == 1
    calibrations.note(outcome(1, at_ms=START_MS + 1), [7])
    assert rewarded(calibrations) == (1.0, 0.0)


def test_what_waits_and_what_is_watched_is_bounded() -> None:
    calibrations = Calibrations(Rewards())
    for number in range(2 * CALIBRATION_DECISIONS_PER_PERSON_MAX):
        shown(calibrations, f"d_{number}", 1)
    assert calibrations.open == CALIBRATION_DECISIONS_PER_PERSON_MAX
    for number in range(CALIBRATION_DECISIONS_OPEN_MAX + 5):
        shown(calibrations, f"e_{number}", 1, person=0)
    assert calibrations.open == CALIBRATION_DECISIONS_OPEN_MAX
    calibrations.settle(START_MS + HOUR_MS)
    assert calibrations.open == 0
    for number in range(CALIBRATIONS_WATCHED_MAX + 5):
        calibrations.show(f"f_{number}", f"tenant-{number}", 0, START_MS, [Promised(HOME, "plain@1", (1,), (0.5,))])
    calibrations.settle(START_MS + HOUR_MS)
    assert len(list(calibrations)) == CALIBRATIONS_WATCHED_MAX
    assert calibrations.of("tenant-4", HOME, "plain@1") is None


# Served.


def test_scores_say_whether_they_are_probabilities(tmp_path: Path) -> None:
    shelf = Shelf("plain@1", "sure@2")
    shelf.rankers["sure@2"].gives_probabilities = True
    shelf.rankers["sure@2"].name = "sure"

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        kinds = []
        for model in ("", "plain@1", "sure@2"):
            if model:
                await engine.models.place("default", HOME, model, actor="tests")
            answer = (await decide(engine, explain=True))["placements"][HOME]
            kinds.append((answer["scoreKind"], [rule for rule in answer["rules"] if rule.startswith("scores:")]))
        order, probability = ["scores: an order, and no more"], ["scores: the probability of a reward"]
        assert kinds == [("order", order), ("order", order), ("probability", probability)]

    with_engine(tmp_path, work, models=shelf)


def test_models_give_probabilities_where_training_has_made_them_some() -> None:
    plain, logistic = (ranker_of([], small_artefact(logistic=logistic)) for logistic in (False, True))
    assert (gives_probabilities(plain), gives_probabilities(logistic)) == (False, True)
    assert not gives_probabilities(Uncalibrated(logistic))
    assert not hasattr(LinearRanker, "gives_probabilities")


async def promise(engine: Engine, clock: ManualClock, *, clicks: bool = False) -> None:
    """Enough lists of twenty items to judge by, and time until they are settled. With `clicks` as often as promised."""
    chance = random.Random(1)
    for number in range(ITEMS_LEAST // 20 + 1):
        answer = await decide(engine, person=f"p{number}", placements=[{"id": HOME, "limit": 20}])
        items = answer["placements"][HOME]["items"]
        if clicks:
            await take(engine, *(
                event(1_000 * number + item["position"], person=f"p{number}", name="Product Clicked",
                      at_ms=clock.now_ms(), properties={"product_id": item["id"]},
                      context={"decisionId": answer["decisionId"]})
                for item in items if chance.random() < item["score"]
            ))  # fmt: skip
    clock.advance(2 * HOUR_MS)
    engine._after_fold()
    await engine.journal.settled()


async def kind_of(engine: Engine) -> tuple[str, str]:
    answer = (await decide(engine))["placements"][HOME]
    return answer["model"], answer["scoreKind"]


def test_drift_benches_the_calibration_and_not_the_model(tmp_path: Path) -> None:
    shelf, clock = shelf_of("plain@1", "plain@2"), ManualClock()

    async def first(engine: Engine) -> None:
        await stock_shop(engine, 30)
        await engine.models.place("default", HOME, "plain@2", actor="tests")
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        before = (await decide(engine))["placements"][HOME]["items"]
        await promise(engine, clock)
        assert await kind_of(engine) == ("plain@1", "order")
        assert [one["id"] for one in (await decide(engine))["placements"][HOME]["items"]] == [
            one["id"] for one in before
        ]
        (placed,) = engine.models.placed("default")
        assert (placed.model, placed.stand_in, placed.reason) == ("plain@1", "plain@2", "uncalibrated")
        assert engine.meter.counts["calibrations_benched"] == 1
        assert "models_benched" not in engine.meter.counts
        await promise(engine, clock)
        assert engine.meter.counts["calibrations_benched"] == 1  # Once.

    async def second(engine: Engine) -> None:
        assert await kind_of(engine) == ("plain@1", "order")
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        assert await kind_of(engine) == ("plain@1", "probability")  # Somebody said so: it is watched anew.
        assert engine.models.placed("default")[0].stand_in == "plain@2"

    with_engine(tmp_path, first, models=shelf, clock=clock, stop=False)
    with_engine(tmp_path, second, models=shelf, clock=clock)


def test_probabilities_that_hold_stay(tmp_path: Path) -> None:
    shelf, clock = shelf_of("plain@1"), ManualClock()

    async def work(engine: Engine) -> None:
        await stock_shop(engine, 30)
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        await promise(engine, clock, clicks=True)
        watched = engine.calibrations.of(*ABOUT)
        assert watched is not None
        assert watched.items > ITEMS_LEAST
        assert watched.rewarded == pytest.approx(watched.expected, abs=0.05)
        assert await kind_of(engine) == ("plain@1", "probability")

    with_engine(tmp_path, work, models=shelf, clock=clock)


def test_the_listing_and_the_metrics_tell_expected_against_observed_by_bins(tmp_path: Path) -> None:
    shelf, clock = shelf_of("plain@1"), ManualClock()

    async def work(client: Client) -> None:
        engine = client.engine
        await stock_shop(engine, 30)
        await client.call("PUT", f"/v1/models/{HOME}", {"model": "plain@1"})
        (before,) = (await client.get("/v1/models")).json()["models"]
        assert (before["scoreKind"], before["calibration"]) == ("probability", None)
        await promise(engine, clock)
        (after,) = (await client.get("/v1/models")).json()["models"]
        told = after["calibration"]
        assert after["scoreKind"] == "order"
        assert (told["holds"], told["rewarded"]) == (False, 0.0)
        assert told["items"] == sum(one["items"] for one in told["bins"]) > ITEMS_LEAST
        assert told["error"] == pytest.approx(told["expected"], abs=1e-5)
        assert all(one["from"] <= one["expected"] <= one["to"] for one in told["bins"])
        metrics = (await client.get("/metrics")).text
        assert f'instanter_calibration_error{{model="plain@1",placement="{HOME}",tenant="default"}} 0.' in metrics
        assert 'instanter_calibration_items{of="rewarded",up_to="0.9"} 0.0' in metrics
        assert "instanter_calibrations_benched_total 1.0" in metrics

    with_client(tmp_path, work, models=shelf, clock=clock)


def test_of_a_long_list_the_top_is_watched(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine, 40)
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        body = {"anonymousId": "a1", "placements": [{"id": HOME, "limit": 40}], "deadlineMs": 10_000}
        decision = await engine.decide(
            decode_decide(json.dumps(body).encode()), tenant="default", deadline=Deadline(60_000)
        )
        (promised,) = decision.promised
        assert len(promised.items) == len(promised.chances) == CALIBRATION_ITEMS_MAX
        assert len(json.loads(decision.encode())["placements"][HOME]["items"]) == 40

    with_engine(tmp_path, work, models=shelf_of("plain@1"))


def test_who_did_not_agree_is_not_watched(tmp_path: Path) -> None:
    shelf, clock = shelf_of("plain@1"), ManualClock()

    async def work(engine: Engine) -> None:
        await stock_shop(engine, 30)
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        await decide(engine)
        assert engine.calibrations.open == 0

    with_engine(tmp_path, work, models=shelf, clock=clock, consent_required=True)


def test_a_model_that_is_benched_behind_one_without_probabilities_leaves_it_without(tmp_path: Path) -> None:
    shelf, clock = shelf_of("plain@1", "plain@2"), ManualClock()

    async def work(engine: Engine) -> None:
        await stock_shop(engine, 30)
        await engine.models.place("default", HOME, "plain@2", actor="tests")
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        engine.models.bench_calibration("default", HOME, "plain@2")  # The stand-in: the one in charge is as before.
        assert await kind_of(engine) == ("plain@1", "probability")
        engine.models.bench_calibration("default", HOME, "plain@1")
        engine.models.bench_calibration("default", HOME, "plain@1")
        engine.models.bench_calibration("default", HOME, "plain@9")
        assert engine.meter.counts["calibrations_benched"] == 2
        assert await kind_of(engine) == ("plain@1", "order")

    with_engine(tmp_path, work, models=shelf, clock=clock)


def test_an_erasure_reaches_what_waits(tmp_path: Path) -> None:
    shelf, clock = shelf_of("plain@1"), ManualClock()

    async def work(engine: Engine) -> None:
        await stock_shop(engine, 30)
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        await take(engine, event(1), event(2, person="b1"))
        await decide(engine)
        await decide(engine, person="b1")
        assert engine.calibrations.open == 2
        await engine.eraser.erase("default", "anonymous:a1")
        assert engine.calibrations.open == 1

    with_engine(tmp_path, work, models=shelf, clock=clock)
