"""Models in charge: placed, rolled back, found again after a restart, benched when they fail; all are answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from instanter.engine.loop import Engine
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import MODEL_FAULTS_MAX

from .harness import decide, event, stock_shop, take, with_engine
from .rankers import Shelf

HOME = "home.recommended"


async def model_of(engine: Engine) -> str:
    """Which model answers."""
    await take(engine, event(1))
    return str((await decide(engine))["placements"][HOME]["model"])


def test_a_model_is_placed_rolled_back_and_found_again(tmp_path: Path) -> None:
    shelf = Shelf("plain@1", "plain@2")

    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        assert (await model_of(engine)).startswith("linear@")
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        assert await model_of(engine) == "plain@1"
        placed = await engine.models.place("default", HOME, "plain@2", actor="tests")
        assert (placed.model, placed.stand_in, placed.reason) == ("plain@2", "plain@1", "placed")
        assert await model_of(engine) == "plain@2"
        assert engine.models.placed("another") == []
        assert engine.audit.head.number >= 2

    async def second(engine: Engine) -> None:
        assert await model_of(engine) == "plain@2"
        await engine.models.roll_back("default", HOME, actor="tests")
        assert await model_of(engine) == "plain@1"
        await engine.models.roll_back("default", HOME, actor="tests")
        assert (await model_of(engine)).startswith("linear@")
        with pytest.raises(RequestRejected, match="no model"):
            await engine.models.roll_back("default", HOME, actor="tests")

    with_engine(tmp_path, first, models=shelf)
    with_engine(tmp_path, second, models=shelf)


@pytest.mark.parametrize("again", ["after a checkpoint", "from the log alone"])
def test_who_ranks_survives_a_kill(again: str, tmp_path: Path) -> None:
    shelf = Shelf("plain@1", "plain@2")

    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        await engine.models.place("default", HOME, "plain@2", actor="tests")
        if again == "after a checkpoint":
            await engine.checkpoint()

    async def second(engine: Engine) -> None:
        assert await model_of(engine) == "plain@2"
        (placed,) = engine.models.placed("default")
        assert placed.stand_in == "plain@1"

    with_engine(tmp_path, first, models=shelf, stop=False)
    with_engine(tmp_path, second, models=shelf)


def test_a_model_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    shelf = Shelf("plain@1", "plain@nan", damaged=["plain@bad"])
    shelf.rankers["plain@nan"].fails = True

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        for model, code in (("plain@bad", "model_refused"), ("plain@nan", "model_refused"), ("x@1", "unknown_model")):
            with pytest.raises(RequestRejected) as refused:
                await engine.models.place("default", HOME, model, actor="tests")
            assert refused.value.code == code
            assert await model_of(engine) == "plain@1"
        with pytest.raises(RequestRejected, match="no placement"):
            await engine.models.place("default", "nowhere", "plain@1", actor="tests")

    with_engine(tmp_path, work, models=shelf)


def test_a_damaged_model_is_left_out_at_a_start_and_the_stand_in_serves(tmp_path: Path) -> None:
    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        await engine.models.place("default", HOME, "plain@2", actor="tests")

    async def second(engine: Engine) -> None:
        assert await model_of(engine) == "plain@1"
        assert "checksum" in engine.models.missing["plain@2"]

    with_engine(tmp_path, first, models=Shelf("plain@1", "plain@2"))
    with_engine(tmp_path, second, models=Shelf("plain@1", damaged=["plain@2"]))


def test_a_model_that_fails_is_benched_with_an_event_and_everybody_is_answered(tmp_path: Path) -> None:
    shelf = Shelf("plain@1", "plain@2")
    clock = ManualClock()

    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        await engine.models.place("default", HOME, "plain@2", actor="tests")
        shelf.rankers["plain@2"].fails = True
        for _ in range(MODEL_FAULTS_MAX):
            assert await model_of(engine) == "plain@1"
            clock.advance(100)
        assert engine.models.lineup.of("default", HOME) == (shelf.rankers["plain@1"],)
        assert engine.meter.counts["models_benched"] == 1
        await engine.journal.settled()

    async def second(engine: Engine) -> None:
        (placed,) = engine.models.placed("default")
        assert (placed.model, placed.stand_in, placed.reason) == ("plain@1", "", "benched")
        shelf.rankers["plain@1"].fails = True
        for _ in range(MODEL_FAULTS_MAX):
            assert (await model_of(engine)).startswith("linear@")
            clock.advance(100)
        await engine.journal.settled()
        assert engine.models.placed("default") == []

    with_engine(tmp_path, first, models=shelf, clock=clock)
    with_engine(tmp_path, second, models=shelf, clock=clock)


def test_a_model_that_is_not_measurably_better_leaves_the_stand_in_where_it_is(tmp_path: Path) -> None:
    """Else a row of trainings on the same data would leave nothing different to fall back on."""
    shelf = Shelf("plain@1", "plain@2", "plain@3", "plain@4")

    async def work(engine: Engine) -> None:
        async def placed(model: str, *, keeps: bool) -> tuple[str, str]:
            one = await engine.models.place("default", HOME, model, actor="tests", keeps_stand_in=keeps)
            return one.model, one.stand_in

        assert await placed("plain@1", keeps=True) == ("plain@1", "")
        assert await placed("plain@2", keeps=True) == ("plain@2", "plain@1")  # There was none to be kept.
        assert await placed("plain@3", keeps=True) == ("plain@3", "plain@1")
        assert await placed("plain@3", keeps=True) == ("plain@3", "plain@1")
        assert await placed("plain@1", keeps=True) == ("plain@1", "plain@3")  # Nobody stands in for itself.
        assert await placed("plain@4", keeps=True) == ("plain@4", "plain@3")
        assert await placed("plain@2", keeps=False) == ("plain@2", "plain@4")
        await engine.models.roll_back("default", HOME, actor="tests")
        assert engine.models.placed("default")[0].model == "plain@4"

    with_engine(tmp_path, work, models=shelf)
