"""A decision is made again from its receipt and what lies beside it: the same answer, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.decisions.decide import Decider, Decision
from instanter.decisions.enclosed import given_again
from instanter.decisions.placement import Placement
from instanter.decisions.receipt import Receipt, decode_receipt
from instanter.features.assemble import Column, Matrix
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import Corrupt, RequestRejected
from instanter.foundation.limits import (
    ENCLOSED_BYTES_MAX,
    FOUND_MAX,
    LIST_LIMIT_MAX,
    MISSING_TOLD_MAX,
    MODEL_FAULTS_MAX,
    RANKER_MS_MAX,
    RECEIPT_CANDIDATES_MAX,
)
from instanter.foundation.measure import Measurements, NoMeter
from instanter.models.base import EVERY_COLUMN, EVERY_ROW, Chosen, Ranker
from instanter.models.lineup import FAULTS_MS, Lineup, NoRankers
from instanter.state.compiled import Reals

HOME = {"id": "home.recommended"}


class ByPlace:
    """A ranker that likes the first columns best, or does something else than ranking."""

    name = "by_place"
    missing = ()

    def __init__(self, version: str = "1", gives: object = None) -> None:
        self.version = version
        self._gives = gives

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        if isinstance(self._gives, Exception):
            raise self._gives
        if self._gives is not None:
            return self._gives  # what no ranker may give
        return np.arange(float(len(matrix)))

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        return np.zeros(matrix[rows][:, wanted].shape)


def again(shop: Any, decision: Decision, decider: Decider | None = None, rankers: Any = None) -> Receipt:
    """The receipt of the decision made once more on the state as it is."""
    decider = decider or shop.decider
    receipt = decode_receipt(decision.receipt)
    asked = decider.asked_again(receipt, decision.enclosed, shop.state.catalogue)
    made, _ = decider.again(receipt, asked, state=shop.state, meter=NoMeter(), rankers=rankers or NoRankers())
    return made


def bought(shop: Any) -> None:
    shop.stock()
    for name, item in (("Product Viewed", "sku-3"), ("Product Clicked", "sku-8"), ("Order Completed", "sku-9")):
        shop.happen(name, item)
    shop.publish()


@pytest.mark.parametrize("exploration", [0.0, 1.0])
@pytest.mark.parametrize("keys", [(), (1,)])
def test_a_decision_made_again_is_the_same(shop, exploration: float, keys: tuple[int, ...]) -> None:
    bought(shop)
    placements = (*shop.decider.placements, Placement(id="mixed", sources=("candidates", "popular")))
    decider = shop.decider_of(placements, exploration=exploration)
    asked = (
        HOME, {"id": "home.hero"}, {"id": "product.similar", "item": "sku-3", "limit": 3},
        {"id": "search", "query": "sofa", "candidates": ["sku-4", "gone", {"id": "sku-5", "fields": {"price": 3}}]},
        {"id": "mixed", "candidates": [{"id": "sku-1", "fields": {"stock": 0}}, "sku-2"]},
        {"id": "cart.addons", "candidates": []},
    )  # fmt: skip
    decision = shop.decide(*asked, keys=keys, after_ms=5_000, decider=decider)
    assert again(shop, decision, decider) == decode_receipt(decision.receipt)


def test_a_long_list_lies_beside_the_receipt_and_one_that_is_too_long_is_not_kept(shop) -> None:
    bought(shop)
    long = shop.decide({"id": "search", "candidates": [f"sku-{number}" for number in range(1_000)]})
    assert len(long.enclosed) > 8_000
    assert again(shop, long) == decode_receipt(long.receipt)
    words = ["x" * 4_000] * 4
    huge = [{"id": f"sku-{number}", "fields": {"category": words}} for number in range(40)]
    kept_not = shop.decide({"id": "search", "candidates": huge})
    assert sum(map(len, words)) * len(huge) > ENCLOSED_BYTES_MAX
    assert kept_not.enclosed == b""
    with pytest.raises(RequestRejected, match="was not kept"):
        again(shop, kept_not)


def test_a_list_of_so_many_lies_in_the_receipt_and_a_longer_one_beside_it(shop) -> None:
    bought(shop)
    for beyond in (0, 1):
        candidates = [f"sku-{number}" for number in range(RECEIPT_CANDIDATES_MAX + beyond)]
        decision = shop.decide({"id": "search", "candidates": candidates})
        (placement,) = decode_receipt(decision.receipt).placements
        assert len(placement.caller) == (0 if beyond else 8 * RECEIPT_CANDIDATES_MAX)
        assert (len(decision.enclosed) > 8 * RECEIPT_CANDIDATES_MAX) is bool(beyond)
        assert again(shop, decision) == decode_receipt(decision.receipt)


def test_so_many_inputs_that_a_model_did_not_find_are_named_in_the_receipt(shop) -> None:
    ranker = ByPlace()
    ranker.missing = tuple(f"item.gone_{number}" for number in range(MISSING_TOLD_MAX + 3))
    shop.stock()
    decision = shop.decide({"id": "home.recommended"}, rankers=standing(ranker))
    (placement,) = decode_receipt(decision.receipt).placements
    assert placement.missing == ranker.missing[:MISSING_TOLD_MAX]


def test_the_sources_find_so_many_candidates_for_a_placement_and_no_more(shop) -> None:
    shop.stock(2 * FOUND_MAX)
    for number in range(2 * FOUND_MAX):
        shop.happen("Product Viewed", f"sku-{number}", key=number + 2)
    shop.publish()
    everything = Placement(id="all", limit=LIST_LIMIT_MAX, sources=("popular", "trending", "newest"), repeats=True)
    decision = shop.decide({"id": "all"}, decider=shop.decider_of((everything,)))
    (placement,) = decode_receipt(decision.receipt).placements
    assert placement.candidates == FOUND_MAX


def test_fields_that_mean_nothing_are_not_kept(shop) -> None:
    bought(shop)
    fields = {"margin": "secret", "price": 2}
    decision = shop.decide({"id": "search", "candidates": [{"id": "sku-1", "fields": fields}]})
    assert b"secret" not in decision.enclosed
    assert again(shop, decision) == decode_receipt(decision.receipt)


@pytest.mark.parametrize("value", [
    10**400, -(10**30), 2**63, -(2**63), 1e308, ["a", {"b": 10**40}], {"x": [10**40]}, [[1]], "x", True, None, [],
])  # fmt: skip
def test_fields_of_any_kind_are_kept_as_they_count(shop, value: object) -> None:
    bought(shop)
    candidates = [{"id": "sku-1", "fields": dict.fromkeys(("price", "stock", "category"), value)}, "sku-2"]
    decision = shop.decide({"id": "search", "candidates": candidates})
    assert not decision.reply.degraded
    assert again(shop, decision) == decode_receipt(decision.receipt)


def test_bytes_beside_a_receipt_that_are_none_of_it_are_corrupt(shop) -> None:
    bought(shop)
    decision = shop.decide({"id": "search", "candidates": [{"id": "sku-1", "fields": {"price": 2}}]})
    (placement,) = decode_receipt(decision.receipt).placements
    with pytest.raises(Corrupt, match="beside"):
        given_again(placement, b"\xff", "shop", shop.state.catalogue)


def test_what_was_cut_is_cut_again(shop) -> None:
    bought(shop)
    readings = iter([0] * 4 + [99_000_000] * 1_000)
    hurried = shop.decide(HOME, deadline=Deadline(100, stopwatch=lambda: next(readings)))
    receipt = decode_receipt(hurried.receipt)
    assert receipt.degraded
    assert msgspec.structs.replace(again(shop, hurried), degraded=receipt.degraded) == receipt


def test_another_state_gives_another_receipt(shop) -> None:
    bought(shop)
    decision = shop.decide(HOME)
    shop.happen("Product Viewed", "sku-4")
    assert again(shop, decision) != decode_receipt(decision.receipt)


# Rankers.


def standing(*rankers: Ranker) -> Lineup:
    lineup = Lineup()
    lineup.stand("shop", "home.recommended", rankers)
    return lineup


def test_the_model_in_charge_ranks_and_the_receipt_names_it(shop) -> None:
    bought(shop)
    decision = shop.decide(HOME, rankers=standing(ByPlace("7")))
    assert decision.reply.placements["home.recommended"].model == "by_place@7"
    assert not decision.faults
    receipt = decode_receipt(decision.receipt)
    assert again(shop, decision, rankers=standing(ByPlace("7"))) == receipt
    assert again(shop, decision) != receipt


@pytest.mark.parametrize("gives", [
    RuntimeError("no"), ValueError("no"), AttributeError("no"), np.full(40, np.nan), np.full(40, np.inf), np.zeros(3),
    np.zeros(40, np.int64), [None] * 40,
])  # fmt: skip
def test_where_a_ranker_fails_the_one_behind_it_answers(shop, gives: object) -> None:
    bought(shop)
    stand_in = shop.decide(HOME, rankers=standing(ByPlace("8", gives), ByPlace("7")))
    assert stand_in.reply.placements["home.recommended"].model == "by_place@7"
    assert [fault.ranker.version for fault in stand_in.faults] == ["8"]
    assert stand_in.reply.degraded == ["score"]
    both = shop.decide(HOME, rankers=standing(ByPlace("8", gives), ByPlace("7", gives)))
    assert both.reply.placements["home.recommended"].model.startswith("linear@")
    assert both.reply.placements["home.recommended"].served_by == "personal"


def test_a_ranker_that_takes_longer_than_the_bound_answers_and_is_noted_as_faulty(
    shop, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    shop.stock()
    for over_ms in (0, 1):
        ranker, now = ByPlace(), [0]

        def score(matrix: Matrix, columns: Sequence[Column], now=now, took_ms=RANKER_MS_MAX + over_ms) -> Reals:
            now[0] += took_ms * 1_000_000
            return np.arange(float(len(matrix)))

        ranker.score = score
        monkeypatch.setattr("instanter.decisions.decide.elapsed_ns", lambda now=now: now[0])
        decision = shop.decide(HOME, rankers=standing(ranker))
        assert decision.reply.placements["home.recommended"].model == "by_place@1"
        assert [fault.reason for fault in decision.faults] == [f"it took {RANKER_MS_MAX + 1} ms"] * over_ms


def test_twenty_faults_within_a_minute_bench_a_model() -> None:
    lineup, model = standing(ByPlace("8")), ByPlace("8")
    slow = [lineup.note(model, number * FAULTS_MS) for number in range(100)]
    assert not any(slow)
    noted = [lineup.note(model, 100 * FAULTS_MS + number) for number in range(MODEL_FAULTS_MAX)]
    assert noted.index(True) >= MODEL_FAULTS_MAX - 2
    lineup.stand("shop", "home.recommended", [model])
    assert not lineup.note(model, 101 * FAULTS_MS), "put in charge again it starts anew"


def test_faults_are_told_and_counted_by_nobody_else(shop) -> None:
    bought(shop)
    meter = shop.meter = Measurements()
    shop.decide(HOME, rankers=standing(ByPlace("8", ValueError("no"))))
    assert meter.counts["degraded.score"] == 1
