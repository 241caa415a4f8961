"""R10: the server's clock jumps by days and years, devices are ten years off, seconds leap and summer time ends.

Received times never go back in the log, also across restarts; nothing stands still meanwhile; nobody's features are
changed by somebody else's clock, and none gets a negative age.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from instanter.engine.loop import Engine
from instanter.events.envelope import CONTROL_PARTITION, Ticked, Tracked, decode_record, encode_record
from instanter.foundation.clock import SystemClock
from instanter.foundation.disk import Disk, RealDisk
from instanter.log.commit import commit_now
from instanter.log.frames import Frame
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader
from instanter.sim.chance import Chance
from instanter.sim.disk import SimulatedDisk
from instanter.sim.world.run import Surroundings

from ..engine.harness import decide, iso, stock_shop
from ..sim.worlds import Worlds
from .accountant import ask
from .conftest import About, MakeSite

T = TypeVar("T")
ROOT = Path("/clocks")
START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * DAY_MS
STEPS_MS = (0, -3 * DAY_MS, YEAR_MS, 2_000, -YEAR_MS, 0)
"""By how much the server's clock is wrong, one after another."""

pytestmark = [pytest.mark.faults, pytest.mark.about("P3")]


class Machine:
    """A clock that can be set to anything, and a stopwatch that only goes on."""

    def __init__(self) -> None:
        self.ms, self.stopwatch_ms = START_MS, 0

    def step(self, wrong_ms: int) -> None:
        """The clock is wrong by so much from here on."""
        self.ms = START_MS + self.stopwatch_ms + wrong_ms

    def wait(self, by_ms: int) -> None:
        """Time goes by."""
        self.ms += by_ms
        self.stopwatch_ms += by_ms


def live(disk: SimulatedDisk, machine: Machine, work: Callable[[Engine], Awaitable[T]]) -> T:
    """One life of an engine on this disk and this machine, killed at its end."""

    async def run() -> T:
        chance = Chance(f"r10/{disk.operations}")
        engine = Worlds().open(Surroundings(
            disk, ROOT, 0, lambda: machine.ms * 1_000_000, lambda: machine.stopwatch_ms * 1_000_000,
            lambda size_bytes: bytes(chance.below(256) for _ in range(size_bytes)),
        ))  # fmt: skip
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.abandon()
            disk.kill()

    return asyncio.run(run())


def event(number: int, person: str, **fields: Any) -> bytes:
    body = {"type": "track", "event": "Product Viewed", "messageId": f"{person}-{number}", "anonymousId": person}
    return json.dumps({**body, "properties": {"product_id": f"sku-{number % 7}", "price": 10}, **fields}).encode()


async def take(engine: Engine, *events: bytes) -> None:
    taken = await engine.intake.take(events, kind=None, tenant="default")
    assert (taken.accepted, taken.rejected) == (len(events), [])


def frames(disk: Disk, root: Path) -> Iterator[Frame]:
    return SegmentReader(disk, root / "log").read()


def tracked(disk: Disk, root: Path) -> list[Tracked]:
    records = (decode_record(frame.payload) for frame in frames(disk, root))
    return [record for record in records if isinstance(record, Tracked)]


def assert_in_order(disk: Disk, root: Path) -> None:
    times = [frame.time_ms for frame in frames(disk, root)]
    assert times == sorted(times)
    received = [record.received_ms for record in tracked(disk, root)]
    assert received == sorted(received)


async def busy_minute(engine: Engine, machine: Machine, first: int) -> int:
    """A minute of events and decisions; how many epochs were published in it."""
    before = engine.partition.state.epoch
    for number in range(first, first + 20):
        machine.wait(3_000)
        await take(engine, event(number, f"p{number % 3}"))
        reply = await decide(engine, person=f"p{number % 3}")
        assert reply["placements"]["home.recommended"]["items"]
    return engine.partition.state.epoch - before


def test_r10_across_restarts_with_any_clock_received_times_go_on(full: bool) -> None:
    disk, machine = SimulatedDisk(), Machine()
    live(disk, machine, stock_shop)
    for life, wrong_ms in enumerate(STEPS_MS * (3 if full else 1)):
        machine.step(wrong_ms)
        newest_ms = max(frame.time_ms for frame in frames(disk, ROOT))
        assert live(disk, machine, lambda engine, life=life: busy_minute(engine, machine, 100 * life)) >= 15
        assert_in_order(disk, ROOT)
        passed_ms = tracked(disk, ROOT)[-1].received_ms - newest_ms
        assert passed_ms >= 50_000, "a minute went by, a tenth slower at most"


def test_r10_inside_one_process_with_any_clock_received_times_go_on() -> None:
    disk, machine = SimulatedDisk(), Machine()

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        for life, wrong_ms in enumerate(STEPS_MS):
            machine.step(wrong_ms)
            assert await busy_minute(engine, machine, 100 * life) >= 15

    live(disk, machine, work)
    assert_in_order(disk, ROOT)


def test_r10_a_clock_that_is_right_again_is_caught_up_with() -> None:
    machine = Machine()
    clock = SystemClock(
        not_before_ms=START_MS + HOUR_MS, machine_ns=lambda: machine.ms * 1_000_000,
        stopwatch_ns=lambda: machine.stopwatch_ms * 1_000_000,
    )  # fmt: skip
    assert clock.ahead_ms() == HOUR_MS
    machine.wait(5 * HOUR_MS)
    assert clock.ahead_ms() == HOUR_MS // 2
    machine.wait(6 * HOUR_MS)
    assert clock.ahead_ms() == 0
    machine.step(-YEAR_MS)
    before_ms = clock.now_ms()
    machine.step(0)
    assert clock.now_ms() - before_ms < 10, "what was only put right has not gone by"


def profile(engine: Engine, person: str) -> dict[str, Any]:
    return engine.profiles.profile("default", f"anonymous:{person}", now_ms=engine.clock.now_ms()).features


DEVICES_MS = (10 * YEAR_MS, -10 * YEAR_MS, 3 * DAY_MS, -3 * DAY_MS, 6 * 60_000, -31 * 60_000)


def skewed(number: int, wrong_ms: int, now_ms: int, *, tells: bool) -> bytes:
    device_ms = now_ms + wrong_ms
    sent_at = {"sentAt": iso(device_ms)} if tells else {}
    return event(number, f"skewed-{wrong_ms}-{tells}", timestamp=iso(device_ms - 1_000 * number), **sent_at)


def test_r10_devices_ten_years_off_have_no_negative_age_and_change_nobody_else() -> None:
    others: list[list[dict[str, Any]]] = []
    for with_skewed in (False, True):
        machine = Machine()

        async def work(engine: Engine, machine: Machine = machine, with_skewed: bool = with_skewed) -> None:
            await stock_shop(engine)
            for number in range(30):
                machine.wait(1_000)
                await take(engine, event(number, f"p{number % 3}", timestamp=iso(machine.ms)))
                if with_skewed:
                    await take(engine, *(skewed(number, wrong_ms, machine.ms, tells=tells)
                                         for wrong_ms in DEVICES_MS for tells in (True, False)))  # fmt: skip
            others.append([profile(engine, f"p{number}") for number in range(3)])
            for wrong_ms in DEVICES_MS if with_skewed else ():
                for tells in (True, False):
                    assert_sane(profile(engine, f"skewed-{wrong_ms}-{tells}"), engine.clock.now_ms())
                    assert (await decide(engine, person=f"skewed-{wrong_ms}-{tells}"))["placements"]

        disk = SimulatedDisk()
        live(disk, machine, work)
        for record in tracked(disk, ROOT):
            assert record.happened_ms <= record.received_ms + 5 * 60_000
    assert others[0] == others[1]


def assert_sane(features: dict[str, Any], now_ms: int) -> None:
    for name, value in features.items():
        if value is None:  # Missing: nothing of it has been counted.
            continue
        if isinstance(value, float):
            assert math.isfinite(value), name
            assert value >= 0.0, f"{name} is negative: {value}"
        else:
            assert all(math.isfinite(entry.get("score", 0.0)) for entry in value), name
            assert all(entry.get("atMs", 0) <= now_ms + 5 * 60_000 for entry in value), name


def utc_ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000


SPELLINGS = {
    "2016-12-31T23:59:60Z": utc_ms(2017, 1, 1),
    "2016-12-31T23:59:60.500Z": utc_ms(2017, 1, 1) + 500,
    "2017-01-01T00:59:60+01:00": utc_ms(2017, 1, 1),
    "2022-10-30T02:30:00+02:00": utc_ms(2022, 10, 30, 0, 30),
    "2022-10-30T02:30:00+01:00": utc_ms(2022, 10, 30, 1, 30),
    "2022-03-27T02:30:00+01:00": utc_ms(2022, 3, 27, 1, 30),
    "2022-03-27T02:30:00": utc_ms(2022, 3, 27, 2, 30),
    "2020-02-29T12:00:00-08:00": utc_ms(2020, 2, 29, 20),
}


def test_r10_leap_seconds_and_the_hours_of_summer_time_are_times_like_others() -> None:
    disk, machine = SimulatedDisk(), Machine()

    async def work(engine: Engine) -> None:
        for number, text in enumerate(SPELLINGS):
            await take(engine, event(number, f"p{number}", timestamp=text))

    live(disk, machine, work)
    assert [record.happened_ms for record in tracked(disk, ROOT)] == list(SPELLINGS.values())


def test_r10_a_server_whose_log_ends_a_year_ahead_serves_and_goes_on_from_there(
    make_site: MakeSite, about: About
) -> None:
    site = make_site()
    server = site.start()
    send(server.port, 0, about)
    server.kill()
    ahead_ms = SystemClock().now_ms() + YEAR_MS
    log = SegmentLog(RealDisk(), site.data / "log", segment_bytes=1 << 20)
    commit_now(log, [(CONTROL_PARTITION, ahead_ms, encode_record(Ticked(ahead_ms)))])
    log.close()
    server = site.start()
    for number in range(1, 4):
        send(server.port, number, about)
    server.kill()
    assert_in_order(RealDisk(), site.data)
    assert tracked(RealDisk(), site.data)[-1].received_ms >= ahead_ms


def send(port: int, number: int, about: About) -> None:
    batch = [json.loads(event(number, f"p{person}")) for person in range(5)]
    question = {"anonymousId": "p1", "placements": [{"id": "home.recommended"}]}
    with about("P10"):
        assert ask(port, "POST", "/v1/batch", {"batch": batch}).status == 200
        assert ask(port, "POST", "/v1/decide", question).status == 200
