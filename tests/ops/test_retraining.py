"""Continual training by the server: what passes the gate takes over, what does not is stopped, what fails waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.api.jobs import Job, Progress, Refusal
from instanter.decisions.placement import DEFAULT_PLACEMENTS
from instanter.engine.loop import Engine
from instanter.engine.training import Counts
from instanter.foundation.clock import ManualClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.ids import Ids
from instanter.foundation.limits import HISTORY_LINES_MAX, JOBS_WAITING_PER_TENANT_MAX, TRAINING_TURNS_SKIPPED_MAX
from instanter.models.gate import GateVerdict
from instanter.ops.config import load
from instanter.ops.datadir import DataDirectory
from instanter.ops.jobs.placing import TRAIN, PlacingRun, in_charge
from instanter.ops.jobs.queue import Finished, JobQueue, Order
from instanter.ops.jobs.retraining import Retraining
from instanter.ops.jobs.supervision import running_jobs
from instanter.ops.settings import TrainingSettings
from instanter.ops.training import HISTORY, TrainReport, history, remember
from instanter.ops.wiring import open_engine

from ..engine.harness import event, stock_shop, take, with_engine
from ..engine.rankers import Shelf
from .clicks import HOME, fill
from .shop_data import write_config

PASSES = GateVerdict(True, "as good as what ranks now, or better", 90, 0.1, 0.05, 0.15)
FAILS = GateVerdict(False, "worse than what ranks now", 90, -0.2, -0.3, -0.1)
CRASHED = Refusal("failed", "its process ended with exit code -9")
NOTHING_YET = Refusal("no_examples", "the log holds no list to learn from", 400)


def report(model: str, verdict: GateVerdict | None = PASSES) -> bytes:
    """What a child tells of a training."""
    told = TrainReport(
        model, "default", HOME, 900, 9_000, Counts(), 0, {"ndcg_10": 0.5}, "", 1, 1.0, 0.1, 0.1, 0.8, verdict
    )  # fmt: skip
    return msgspec.json.encode(told)


def test_so_many_trainings_are_remembered_and_the_oldest_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    directory = DataDirectory(RealDisk(), tmp_path)
    directory.models.mkdir()
    told = msgspec.json.decode(report("logistic@1"), type=TrainReport)
    lines = [b'{"model": "%d"}' % number for number in range(HISTORY_LINES_MAX)]
    (directory.models / HISTORY).write_bytes(b"\n".join(lines) + b"\n")
    remember(directory, told)
    assert history(directory) == [*lines[1:], report("logistic@1")]
    monkeypatch.setattr("instanter.ops.training.HISTORY_BYTES_MAX", 5 * len(report("logistic@1")))
    for number in range(10, 20):
        remember(directory, msgspec.structs.replace(told, model=f"logistic@{number}"))
    assert [msgspec.json.decode(line)["model"] for line in history(directory)] == [
        f"logistic@{number}" for number in range(16, 20)]
    assert (directory.models / HISTORY).stat().st_size <= 5 * len(report("logistic@1"))


class Teacher:
    """A child that comes to what the test says, training for training."""

    def __init__(self, *finished: Finished) -> None:
        self.orders: list[Order] = []
        self._finished = list(finished)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, order: Order, on_progress: Callable[[Progress], None]) -> Finished:
        self.orders.append(order)
        if self.meanwhile is not None:
            await self.meanwhile()
        return self._finished.pop(0)


class School:
    """Continual training over an engine, with a child that is none."""

    def __init__(self, engine: Engine, root: Path, *finished: Finished, placements: tuple[str, ...] = (HOME,)) -> None:
        self.engine = engine
        self.teacher = Teacher(*finished)
        self.directory = DataDirectory(RealDisk(), root)
        self.directory.disk.make_directory(self.directory.models)
        run = PlacingRun(self.teacher, engine, self.directory)
        self.queue = JobQueue(run, clock=ManualClock(), ids=Ids(), meter=engine.meter)
        self.training = Retraining(
            TrainingSettings(every_min=15, placements=placements), DEFAULT_PLACEMENTS, engine, self.queue
        )

    async def turns(self, count: int = 1) -> None:
        for _ in range(count):
            await self.training.turn()

    @property
    def ranks(self) -> str:
        return in_charge(self.engine, "default", HOME)

    def remembered(self) -> list[tuple[str, bool]]:
        lines = [json.loads(line) for line in history(self.directory)]
        return [(line["model"], line["placed"]) for line in lines]


def with_school(
    root: Path, work: Callable[[School], Awaitable[None]], *finished: Finished, shelf: Shelf | None = None,
    placements: tuple[str, ...] = (HOME,),
) -> None:  # fmt: skip
    async def run(engine: Engine) -> None:
        await stock_shop(engine)
        school = School(engine, root, *finished, placements=placements)
        try:
            await work(school)
        finally:
            await school.queue.close()

    with_engine(root, run, models=shelf or Shelf("plain@1", "plain@2", "plain@3"))


def test_a_good_model_takes_over_and_the_next_one_is_measured_against_it(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.turns(2)
        assert [order.incumbent for order in school.teacher.orders] == ["", "plain@1"]
        assert school.ranks == "plain@2"
        assert school.remembered() == [("plain@1", True), ("plain@2", True)]
        (placed,) = school.engine.models.placed("default")
        assert (placed.stand_in, placed.reason) == ("plain@1", "trained")
        outcomes = [json.loads(job.outcome) for job in school.queue.of("default")]
        assert [outcome["placed"] for outcome in outcomes] == [True, True]
        assert school.engine.meter.counts["trained.placed"] == 2

    with_school(tmp_path, work, report("plain@1"), report("plain@2"))


@pytest.mark.parametrize(("low", "stands_in"), [(-0.01, "plain@1"), (0.0, "plain@1"), (0.001, "plain@2")])
def test_a_model_placed_without_a_measured_difference_does_not_use_up_the_stand_in(
    low: float, stands_in: str, tmp_path: Path
) -> None:
    async def work(school: School) -> None:
        await school.turns(3)
        (placed,) = school.engine.models.placed("default")
        assert (placed.model, placed.stand_in) == ("plain@3", stands_in)

    verdict = GateVerdict(True, "as good", 400, 0.005, low, 0.02)
    with_school(tmp_path, work, *(report(f"plain@{number}", verdict) for number in (1, 2, 3)))


@pytest.mark.parametrize("verdict", [FAILS, None])
def test_a_bad_model_is_stopped_by_the_gate_and_remembered(verdict: GateVerdict | None, tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.turns(2)
        assert school.ranks == "plain@1"
        assert school.remembered() == [("plain@1", True), ("plain@2", False)]
        assert school.engine.meter.counts["trained.stopped"] == 1

    with_school(tmp_path, work, report("plain@1"), report("plain@2", verdict))


def test_a_model_that_the_server_refuses_changes_nothing(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.turns(2)
        assert school.ranks == "plain@1"
        assert school.remembered() == [("plain@1", True), ("plain@bad", False)]
        assert school.engine.meter.counts["trained.refused"] == 1

    with_school(tmp_path, work, report("plain@1"), report("plain@bad"), shelf=Shelf("plain@1", damaged=["plain@bad"]))


def test_a_model_is_not_placed_over_one_that_it_was_not_measured_against(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        async def place_another() -> None:
            await school.engine.models.place("default", HOME, "plain@3", actor="somebody")

        school.teacher.meanwhile = place_another
        await school.turns()
        assert school.ranks == "plain@3"
        assert school.remembered() == [("plain@1", False)]
        assert school.engine.meter.counts["trained.overtaken"] == 1

    with_school(tmp_path, work, report("plain@1"))


def test_what_fails_is_tried_again_after_more_and_more_turns(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        tried = []
        for turn in range(1, 44):
            before = len(school.teacher.orders)
            await school.turns()
            tried += [turn] if len(school.teacher.orders) > before else []
        assert tried == [1, 3, 7, 15, 31, 32, 33, 35, 39]
        assert TRAINING_TURNS_SKIPPED_MAX == 15
        assert school.ranks == "plain@2"
        assert school.engine.meter.counts["jobs_failed.train"] == 7

    crashes = [CRASHED] * 4
    with_school(tmp_path, work, *crashes, report("plain@1"), report("plain@2"), *[CRASHED] * 3)


def test_one_placement_that_fails_holds_up_no_other_one(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.turns(2)
        assert [order.subject for order in school.teacher.orders] == ["search", HOME, HOME]

    with_school(tmp_path, work, CRASHED, report("plain@1"), report("plain@2"), placements=("search", HOME))


def test_too_little_to_learn_from_is_no_failure(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.turns(3)
        assert school.ranks == "plain@1"

    with_school(tmp_path, work, NOTHING_YET, NOTHING_YET, report("plain@1"))


def test_a_child_that_tells_of_no_training_places_nothing(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.turns()
        assert (school.ranks, school.remembered()) == ("", [])
        (job,) = school.queue.of("default")
        assert job.refusal is not None
        assert job.refusal.code == "failed"

    with_school(tmp_path, work, b'{"model": "plain@1"}')


def test_all_that_find_items_themselves_are_trained_where_none_is_named(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.turns()
        subjects = [order.subject for order in school.teacher.orders]
        assert subjects == [one.id for one in DEFAULT_PLACEMENTS if one.kind == "items"]

    with_school(tmp_path, work, *[NOTHING_YET] * 4, placements=())


def test_a_log_that_has_not_grown_is_not_trained_on_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instanter.ops.jobs.retraining.TRAINING_RECORDS_LEAST", 20)

    async def work(school: School) -> None:
        async def views(count: int) -> None:
            for _ in range(count):
                seen[0] += 1
                await take(school.engine, event(seen[0]))

        seen = [0]
        school.training.has_grown()
        grown = [school.training.has_grown()]
        await views(20)
        grown += [school.training.has_grown(), school.training.has_grown()]
        await views(19)
        grown.append(school.training.has_grown())
        await views(1)
        grown.append(school.training.has_grown())
        monkeypatch.setattr("instanter.ops.jobs.retraining.TRAINING_GROWTH", 1.0)
        await views(20)
        grown.append(school.training.has_grown())
        assert grown == [False, True, False, False, True, False]

    with_school(tmp_path, work)


def test_a_full_queue_is_tried_again_at_a_later_turn(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        end = asyncio.Event()
        school.teacher.meanwhile = end.wait
        for number in range(JOBS_WAITING_PER_TENANT_MAX + 1):
            school.queue.start("default", "replay", f"d_{number}")
        await school.turns(2)
        end.set()
        await school.queue.ended(school.queue.of("default")[0], None)
        await school.turns()
        assert school.ranks == "plain@1"

    with_school(tmp_path, work, *[CRASHED] * (JOBS_WAITING_PER_TENANT_MAX + 1), report("plain@1"))


def test_a_server_trains_a_model_that_ranks_from_then_on(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text() + f"""
[feedback]
window_min = 1
delay_s = 0
[training]
every_min = 15
placements = ["{HOME}"]
""")
    data, config = tmp_path / "data", load(path)
    fill(data, path, visits=560)
    make = open_engine(config, data, clock_of_events=True)

    async def work() -> tuple[Job, dict[str, Any]]:
        engine = make()
        await engine.start()
        try:
            async with running_jobs(config, data, engine) as queue:
                await Retraining(config.training, config.placements, engine, queue).turn()
                (job,) = queue.of("default")
                assert job.state == "done", job
                outcome = json.loads(job.outcome)
                assert in_charge(engine, "default", HOME) == outcome["model"]
                return job, outcome
        finally:
            await engine.stop(Deadline(10_000))

    job, outcome = asyncio.run(work())
    assert (job.kind, job.subject) == (TRAIN, HOME)
    assert outcome["verdict"]["passes"]
    assert outcome["placed"]
    assert outcome["verdict"]["lists"] >= 50
    (line,) = history(DataDirectory(RealDisk(), data))
    assert json.loads(line) == outcome
    assert not list((data / "jobs").glob("*"))
