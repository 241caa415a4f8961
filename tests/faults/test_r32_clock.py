"""R32: a clock that runs away destroys nothing, and does once somebody has confirmed it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from instanter.engine.loop import Engine
from instanter.foundation.clock import DOUBTED_MS, SystemClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.ids import Ids
from instanter.ops.cli.main import main
from instanter.privacy.audit import CLOCK_CONFIRMED, COMMAND_LINE, Act, hand_in

from ..engine.harness import event, open_engine, take

pytestmark = [pytest.mark.faults, pytest.mark.about("P8")]

START_MS = 1_700_000_000_000
YEAR_MS = 365 * 86_400_000


class Machine:
    """A machine whose clock and uptime a test moves."""

    def __init__(self) -> None:
        self.clock_ms, self.uptime_ms = START_MS, 5_000

    def clock(self) -> SystemClock:
        return SystemClock(
            machine_ns=lambda: self.clock_ms * 1_000_000, stopwatch_ns=lambda: self.uptime_ms * 1_000_000
        )

    def pass_(self, by_ms: int) -> None:
        self.clock_ms += by_ms
        self.uptime_ms += by_ms


@pytest.mark.parametrize("by_ms", [DOUBTED_MS + 60_000, 3 * YEAR_MS])
def test_r32_time_goes_on_by_the_uptime_where_the_clock_runs_away(by_ms: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.clock_ms += by_ms
    assert (clock.now_ms(), clock.doubted_ms()) == (START_MS, by_ms)
    machine.pass_(10_000)
    assert clock.now_ms() == START_MS + 10_000
    assert not clock.believe(machine.clock_ms - 2 * DOUBTED_MS), "another time was confirmed"
    assert clock.doubted_ms() == by_ms
    machine.clock_ms -= by_ms
    assert (clock.now_ms(), clock.doubted_ms()) == (START_MS + 10_000, 0), "it was set right again"


@pytest.mark.parametrize("by_ms", [DOUBTED_MS - 60_000, -3 * YEAR_MS, -DOUBTED_MS])
def test_r32_a_clock_that_steps_less_or_back_is_not_doubted(by_ms: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.clock_ms += by_ms
    assert (clock.now_ms(), clock.doubted_ms()) == (START_MS + max(by_ms, 0), 0)


def test_r32_years_that_really_go_by_are_believed() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(400):
        machine.pass_(DOUBTED_MS * 2)
        assert (clock.now_ms(), clock.doubted_ms()) == (machine.clock_ms, 0)


def test_r32_a_machine_that_began_without_a_date_is_believed_up_to_where_the_log_ends() -> None:
    machine = Machine()
    machine.clock_ms = 1_000
    clock = SystemClock(
        not_before_ms=START_MS, machine_ns=lambda: machine.clock_ms * 1_000_000,
        stopwatch_ns=lambda: machine.uptime_ms * 1_000_000,
    )  # fmt: skip
    machine.pass_(60_000)
    machine.clock_ms = START_MS + 3_600_000
    assert (clock.now_ms(), clock.doubted_ms()) == (machine.clock_ms, 0)


def test_r32_nothing_is_destroyed_before_somebody_confirms_the_time(tmp_path: Path) -> None:
    machine = Machine()

    def days(engine: Engine) -> int:
        return len(engine.subjects._slot_of_day)

    async def run() -> None:
        engine = open_engine(tmp_path, clock=machine.clock())
        await engine.start()
        await take(engine, *(event(number, person=f"p{number % 10}") for number in range(50)), b"{")
        await engine.checkpoint()
        there = (engine.partition.state.cells_used, days(engine), engine.subjects.count)
        machine.clock_ms += 3 * YEAR_MS
        machine.pass_(60_000)
        assert await engine.eraser.retain() == 0
        await engine.checkpoint()
        await take(engine, event(60, person="p1"))
        assert (engine.partition.state.cells_used, days(engine), engine.subjects.count) == there
        assert any("is not believed" in one for one in engine.warnings)
        confirm(tmp_path, machine.clock_ms - 2 * DOUBTED_MS)
        await engine._take_acts()
        assert engine.clock.doubted_ms() > 0, "that was another time"
        confirm(tmp_path, machine.clock_ms)
        await engine._take_acts()
        assert (engine.clock.doubted_ms(), engine.warnings) == (0, ())
        assert engine.clock.now_ms() == machine.clock_ms
        assert await engine.eraser.retain() == there[0]
        assert engine.subjects.count == 0
        await engine.abandon()

    asyncio.run(run())


def confirm(root: Path, at_ms: int) -> None:
    hand_in(RealDisk(), root / "audit" / "acts", Act(CLOCK_CONFIRMED, COMMAND_LINE, at_ms=at_ms), Ids())


def test_r32_the_command_confirms_what_the_clock_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("INSTANTER_MASTER_KEY", "0" * 64)
    assert main(["keys", "create", "--data", str(tmp_path / "data"), "--scope", "decide", "--name", "shop"]) == 0
    capsys.readouterr()
    assert main(["clock", "--data", str(tmp_path / "data"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["confirmed"] is False
    assert main(["clock", "--data", str(tmp_path / "data"), "--confirm", "--json"]) == 0
    (act,) = [
        found for path in (tmp_path / "data" / "audit" / "acts").glob("*.act")
        if (found := json.loads(path.read_text()))["act"] == CLOCK_CONFIRMED
    ]
    assert act["at_ms"] > START_MS
