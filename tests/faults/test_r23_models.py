"""R23: a model that gives no scores, raises or sleeps: the next one answers, and after 20 faults it ranks no more."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instanter.decisions.decide import Decider
from instanter.engine.loop import Engine
from instanter.events.envelope import ModelPlaced, decode_record
from instanter.features.assemble import Column, Matrix
from instanter.foundation.clock import ManualClock, elapsed_ns
from instanter.foundation.disk import RealDisk
from instanter.foundation.limits import MODEL_FAULTS_MAX
from instanter.log.segments import SegmentReader
from instanter.models.base import EVERY_COLUMN, EVERY_ROW, Chosen, Ranker
from instanter.state.compiled import Reals

from ..engine.harness import decide, event, stock_shop, take, with_engine
from .conftest import Figures

pytestmark = pytest.mark.faults

PLACEMENTS = ("home.recommended", "home.hero")


def asleep(matrix: Matrix) -> Reals:
    """Scores that take their time."""
    until_ns = elapsed_ns() + 30_000_000
    while elapsed_ns() < until_ns:
        pass
    return np.zeros(len(matrix))


def raising(matrix: Matrix) -> Reals:
    raise RuntimeError("out of luck")


WRONG: dict[str, Callable[[Matrix], Any]] = {
    "not a number": lambda matrix: np.full(len(matrix), math.nan),
    "one not a number": lambda matrix: np.array([math.nan, *[1.0] * (len(matrix) - 1)]),
    "infinite": lambda matrix: np.full(len(matrix), math.inf),
    "None": lambda matrix: None,
    "Nones": lambda matrix: [None] * len(matrix),
    "too few": lambda matrix: np.zeros(len(matrix) - 1),
    "too many": lambda matrix: np.zeros((len(matrix), 2)),
    "texts": lambda matrix: np.array(["best"] * len(matrix)),
    "raises": raising,
    "sleeps": asleep,
}


class Moody:
    """A ranker that behaves until it is told not to."""

    name, version, missing = "moody", "1", ()

    def __init__(self) -> None:
        self.does: Callable[[Matrix], Any] = lambda matrix: np.zeros(len(matrix))

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        scores: Reals = self.does(matrix)
        return scores

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        return np.zeros(matrix[rows][:, wanted].shape)


class Shelf:
    """The one model there is."""

    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker

    def ranker(self, model: str, decider: Decider) -> Ranker:
        return self._ranker


def finite(value: Any) -> bool:
    """Whether every number in a reply is one, and no score is null."""
    if isinstance(value, dict):
        return value.get("score", 0.0) is not None and all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("wrong", WRONG)
def test_everybody_is_answered_and_the_model_is_benched(
    wrong: str, tmp_path: Path, full: bool, figures: Figures
) -> None:
    asked, clock, model = 200 if full else 2 * MODEL_FAULTS_MAX, ManualClock(), Moody()

    async def work(engine: Engine) -> tuple[int, int]:
        await stock_shop(engine)
        await take(engine, event(1))
        for placement in PLACEMENTS:
            await engine.models.place("default", placement, "moody@1", actor="tests")
        model.does = WRONG[wrong]
        answered = by_model = 0
        for number in range(asked):
            reply = await decide(engine, placements=[{"id": PLACEMENTS[number % 2]}], explain=True)
            (placed,) = reply["placements"].values()
            assert finite(json.loads(json.dumps(reply, allow_nan=False)))
            answered += bool(placed["items"])
            by_model += placed["model"] == "moody@1"
            clock.advance(100)
            await asyncio.sleep(0)
        await engine.journal.settled()
        assert [engine.models.lineup.of("default", placement) for placement in PLACEMENTS] == [(), ()]
        return answered, by_model

    answered, by_model = with_engine(tmp_path, work, clock=clock, models=Shelf(model))
    assert answered == asked
    assert by_model == (MODEL_FAULTS_MAX + 1 if wrong == "sleeps" else 0)
    records = [decode_record(frame.payload) for frame in SegmentReader(RealDisk(), tmp_path / "log").read()]
    benched = [one.placement for one in records if isinstance(one, ModelPlaced) and one.reason == "benched"]
    assert sorted(benched) == sorted(PLACEMENTS)
    figures(**{wrong: {"asked": asked, "answered": answered}})
