"""How long each class of data is kept: what is older cannot be read once retention ran, what is younger can."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from instanter.engine.erase import DAY_MS, RetentionOptions
from instanter.engine.loop import Engine
from instanter.events.envelope import Tracked
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import DiskFull, EventRejected, LogClosed, RequestRejected, Unavailable
from instanter.log.segments import SegmentReader, list_segments
from instanter.privacy.subjects import KeyStore
from instanter.sim.chance import Chance
from instanter.sim.disk import PowerLost, SimulatedDisk

from .harness import decide, event, open_engine, take, with_engine

ROOT = Path("shop")
START_MS = 19_676 * DAY_MS + 3 * 3_600_000
KEEP = RetentionOptions(events=3, receipts=5, profiles=10, quarantine=2)


def login(person: str, user: str) -> bytes:
    return json.dumps({"type": "identify", "messageId": f"i-{user}", "anonymousId": person, "userId": user}).encode()


def bodies(engine: Engine, person: str = "a1") -> list[str]:
    lines = [json.loads(line) for chunk in engine.export("default", f"anonymous:{person}") for line in chunk]
    return [line["event"]["messageId"] for line in lines if line["kind"] == "event"]


def is_known(engine: Engine, identifier: str) -> bool:
    return engine.subjects.find("default", identifier) != 0


def test_each_class_of_a_day_goes_at_its_day_and_not_before(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        clock = engine.clock
        assert isinstance(clock, ManualClock)
        decisions = []
        for day in range(8):
            await take(engine, event(day))
            decisions.append((await decide(engine))["decisionId"])
            await engine.intake.reject(b'{"x": %d' % day, EventRejected("malformed", "no"), tenant="default")
            await engine.journal.settled()
            await engine.eraser.retain()
            assert bodies(engine) == [f"m-{one}" for one in range(day + 1) if day - one <= KEEP.events]
            for one, decision in enumerate(decisions):
                if day - one <= KEEP.receipts:
                    assert engine.receipt("default", decision)
                else:
                    with pytest.raises(RequestRejected, match="expired") as refused:
                        engine.receipt("default", decision)
                    assert refused.value.status == 410
            open_ = [
                await engine.repairs.show(position, tenant="default", actor="tester")
                for position in await every(engine)
            ]
            assert [one.readable for one in open_] == [day - one <= KEEP.quarantine for one in range(day + 1)]
            clock.advance(DAY_MS)

    with_engine(tmp_path, work, clock=ManualClock(START_MS), retention=KEEP)


async def every(engine: Engine) -> list[int]:
    return await engine.quarantine.select("default", lambda code, group, position: True, 100)


def test_what_is_over_stays_unreadable_after_a_restart_and_its_keys_are_gone(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)

    async def fill(engine: Engine) -> None:
        await take(engine, event(1))
        clock.advance(5 * DAY_MS)
        await take(engine, event(2))
        await engine.eraser.retain()

    async def look(engine: Engine) -> None:
        assert bodies(engine) == ["m-2"]

    with_engine(tmp_path, fill, clock=clock, retention=KEEP)
    with_engine(tmp_path, look, clock=clock, retention=RetentionOptions())


def test_who_is_gone_for_long_is_erased_whole_and_who_came_back_is_not(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        clock = engine.clock
        assert isinstance(clock, ManualClock)
        await take(engine, event(1, person="a1"), login("a1", "u1"), event(2, person="b1"), event(3, person="c1"))
        await take(engine, event(4, person="linked", userId="u2"), login("linked", "u2"))
        clock.advance(9 * DAY_MS)
        await take(engine, event(5, person="b1"), event(6, person="", userId="u2"))
        clock.advance(DAY_MS)
        assert await engine.eraser.retain() == 0, "ten days and not more"
        clock.advance(1)
        assert await engine.eraser.retain() == 2
        assert [is_known(engine, one) for one in ("u1", "anonymous:a1", "anonymous:c1")] == [False] * 3
        assert [is_known(engine, one) for one in ("anonymous:b1", "u2", "anonymous:linked")] == [True] * 3
        assert (len(engine.partition.links), engine.partition.state.cells_used) == (1, 2)
        assert len(engine.partition.tombstones) == 0, "they may come back at once"
        await take(engine, event(7, person="a1", at_ms=START_MS))
        assert is_known(engine, "anonymous:a1")

    with_engine(tmp_path, work, clock=ManualClock(START_MS), retention=KEEP)


def saying(number: int, *, agreed: bool, **fields: Any) -> bytes:
    """An event that says something about personalization."""
    return event(number, context={"consent": {"personalization": agreed}}, **fields)


LIVES = [{"person": "", "userId": "u1"}, {"person": "a1"}, {"person": "a1", "userId": "u1"}]
"""The ids under which somebody comes who has a device and a user id."""


async def refuse_and_come_back(engine: Engine, clock: ManualClock) -> None:
    """Somebody refuses, and comes again each day for longer than people are kept; somebody else leaves."""
    await take(engine, event(1), login("a1", "u1"), event(2, person="b1"))
    await take(engine, saying(3, agreed=False, person="", userId="u1"))
    for day in range(11):
        clock.advance(DAY_MS)
        await take(engine, event(10 + day, userId="u1"))


async def is_refused(engine: Engine) -> bool:
    """Whether nothing is kept of somebody, whatever ids are named."""
    before = engine.partition.state.cells_used
    await take(engine, *(event(100 + number, **ids) for number, ids in enumerate(LIVES)))
    return engine.partition.state.cells_used == before


def test_a_refusal_outlives_the_profile(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)

    async def refuse(engine: Engine) -> None:
        await refuse_and_come_back(engine, clock)
        before = [engine.subjects.find("default", one) for one in ("u1", "anonymous:a1")]
        assert await engine.eraser.retain() == 2, "nothing that came meanwhile was kept"
        after = [engine.subjects.find("default", one) for one in ("u1", "anonymous:a1")]
        assert (0 in after, set(before) & set(after)) == (False, set()), "under other keys than what is forgotten"
        assert not engine.subjects.has(before)
        assert not is_known(engine, "anonymous:b1"), "who refused nothing leaves nothing"
        partition = engine.partition
        assert (len(partition.links), partition.state.cells_used, len(partition.consents)) == (0, 0, 2)
        assert await is_refused(engine)

    async def come_again(engine: Engine) -> None:
        assert await is_refused(engine)
        clock.advance(30 * DAY_MS)
        assert await engine.eraser.retain() == 0
        assert await is_refused(engine)
        assert engine.subjects.count == 2, "a refusal is passed on once"

    with_engine(tmp_path, refuse, clock=clock, retention=KEEP)
    with_engine(tmp_path, come_again, clock=clock, retention=KEEP)


def test_a_device_on_which_somebody_signs_in_meanwhile_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is its user's, and the link is on its way: nothing of the device itself has come."""
    clock = ManualClock(START_MS)

    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        clock.advance(20 * DAY_MS)
        signing_in: list[asyncio.Task[Any]] = []

        async def meanwhile(*_: object) -> dict[int, Any]:
            signing_in.append(asyncio.create_task(take(engine, login("a1", "u1"))))
            while not any(isinstance(one, Tracked) for one in engine.journal.in_flight()):
                await asyncio.sleep(0)
            return {}

        monkeypatch.setattr(engine.eraser._refusals, "prepare", meanwhile)
        retired = await engine.eraser.retain()
        await signing_in[0]
        device, user = (engine.subjects.find("default", one) for one in ("anonymous:a1", "u1"))
        assert engine.partition.links.has_signed_in(device, user)
        assert retired == 0

    with_engine(tmp_path, work, clock=clock, retention=KEEP)


def test_a_refusal_that_outlived_the_profile_can_be_taken_back_exported_and_erased(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)

    async def work(engine: Engine) -> None:
        await refuse_and_come_back(engine, clock)
        await engine.eraser.retain()
        said = [json.loads(line) for chunk in engine.export("default", "u1") for line in chunk]
        assert [(line["kind"], line.get("purposes")) for line in said if line["kind"] != "profile"] == [
            ("consent", {"personalization": False})
        ]
        await take(engine, saying(200, agreed=True, person="", userId="u1"))
        assert engine.partition.state.cells_used == 1, "she has agreed again"
        await engine.eraser.erase("default", "anonymous:a1")
        assert not is_known(engine, "anonymous:a1")
        assert await engine.eraser.retain() == 0
        await engine.eraser.erase("default", "u1")
        assert (len(engine.partition.consents), engine.subjects.count) == (0, 0)

    with_engine(tmp_path, work, clock=clock, retention=KEEP)


def test_who_says_something_while_a_refusal_is_passed_on_is_not_retired_in_that_turn(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)

    async def work(engine: Engine) -> None:
        await refuse_and_come_back(engine, clock)
        before = engine.subjects.find("default", "u1")
        retired, _ = await asyncio.gather(
            engine.eraser.retain(), take(engine, saying(300, agreed=True, person="", userId="u1"))
        )
        assert retired == 1, "somebody else alone"
        assert engine.subjects.find("default", "u1") == before
        assert engine.consent_of("default", "anonymous:a1") == {"personalization": True}
        assert len(engine.partition.consents) == 1, "nobody takes over what was taken back"

    with_engine(tmp_path, work, clock=clock, retention=KEEP)


def retire(disk: SimulatedDisk, clock: ManualClock, *, dies_at: int = 0) -> bool:
    """One turn of retention, or the power goes at that change of the disk; whether it came to its end."""

    async def work() -> bool:
        engine = open_engine(ROOT, clock=clock, disk=disk, retention=KEEP)
        await engine.start()
        disk.dies_at = disk.operations + dies_at if dies_at else 0
        try:
            assert await engine.eraser.retain() == 2
        except (PowerLost, Unavailable):
            assert disk.dead
            return False
        finally:
            await engine.abandon()
        return True

    return asyncio.run(work())


def test_a_refusal_stands_wherever_the_power_goes_while_people_are_retired() -> None:
    base, clock = SimulatedDisk(), ManualClock(START_MS)

    async def fill() -> None:
        engine = open_engine(ROOT, clock=clock, disk=base, retention=KEEP)
        await engine.start()
        await refuse_and_come_back(engine, clock)
        await engine.abandon()

    async def look(disk: SimulatedDisk) -> None:
        engine = open_engine(ROOT, clock=clock, disk=disk, retention=KEEP)
        await engine.start()
        assert await is_refused(engine)
        await engine.eraser.retain()
        assert await is_refused(engine)
        assert (engine.partition.state.cells_used, engine.subjects.count) == (0, 2)
        await engine.abandon()

    asyncio.run(fill())
    base.crash()
    dies_at, ended = 0, False
    while not ended:
        dies_at += 1
        disk = copy.deepcopy(base)
        ended = retire(disk, clock, dies_at=dies_at)
        disk.lose_power(Chance(dies_at))
        asyncio.run(look(disk))
    assert dies_at > 8, "log, keys, log, headstone and log again"


class FullKeys:
    """A key store that cannot make anything durable."""

    def __init__(self, subjects: KeyStore) -> None:
        self._subjects = subjects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subjects, name)

    def flush(self) -> None:
        raise DiskFull("no room on the disk for the keys of people")


def test_without_room_for_the_keys_of_refusals_nobody_is_retired() -> None:
    disk, clock = SimulatedDisk(), ManualClock(START_MS)

    async def work() -> None:
        engine = open_engine(ROOT, clock=clock, disk=disk, retention=KEEP)
        await engine.start()
        await refuse_and_come_back(engine, clock)
        cells = [engine.subjects.find("default", one) for one in ("u1", "anonymous:a1", "anonymous:b1")]
        refusals = engine.eraser._refusals
        refusals._subjects = FullKeys(engine.subjects)
        with pytest.raises(DiskFull, match="keys of people"):
            await engine.eraser.retain()
        refusals._subjects = engine.subjects
        assert [engine.subjects.find("default", one) for one in ("u1", "anonymous:a1", "anonymous:b1")] == cells
        assert await engine.eraser.retain() == 2
        assert engine.subjects.count == 2
        assert await is_refused(engine)
        await engine.abandon()

    asyncio.run(work())


def test_more_idle_people_than_one_turn_forgets_are_forgotten_in_several(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        clock = engine.clock
        assert isinstance(clock, ManualClock)
        for first in range(0, 1_200, 100):
            await take(engine, *(event(number, person=f"p{number}") for number in range(first, first + 100)))
        clock.advance(11 * DAY_MS)
        forgotten = [await engine.eraser.retain() for _ in range(4)]
        assert sum(forgotten) == 1_200
        assert max(forgotten) <= 500
        assert (engine.subjects.count, engine.partition.state.cells_used) == (0, 0)

    with_engine(tmp_path, work, clock=ManualClock(START_MS), retention=KEEP)


def test_keys_that_could_not_be_destroyed_are_found_idle_again_after_the_next_start() -> None:
    disk, clock = SimulatedDisk(), ManualClock(START_MS)

    async def run(fails: bool) -> None:
        engine = open_engine(ROOT, clock=clock, disk=disk, retention=KEEP)
        await engine.start()
        if fails:
            await take(engine, event(1))
            clock.advance(11 * DAY_MS)
            disk.fail("overwrite", 5)
            with pytest.raises(LogClosed):
                await engine.eraser.retain()
        else:
            assert await engine.eraser.retain() == 1
            assert (engine.subjects.count, engine.partition.state.cells_used) == (0, 0)
        await engine.abandon()

    asyncio.run(run(True))
    asyncio.run(run(False))


def test_the_clear_part_goes_with_segments_that_are_closed_each_day(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        clock = engine.clock
        assert isinstance(clock, ManualClock)
        for day in range(8):
            engine._log.set_apart(clock.now_ms() // DAY_MS * DAY_MS)
            engine._log.set_apart(clock.now_ms() // DAY_MS * DAY_MS)
            await take(engine, event(2 * day), event(2 * day + 1))
            await engine.checkpoint()
            clock.advance(DAY_MS)
        await engine.checkpoint()
        oldest = next(SegmentReader(engine._stores.disk, tmp_path / "log").read()).time_ms
        age_days = (clock.now_ms() - oldest) / DAY_MS
        assert 3 <= age_days <= 5
        assert 4 <= len(list_segments(engine._stores.disk, tmp_path / "log")) <= 6

    with_engine(tmp_path, work, clock=ManualClock(START_MS), retention=KEEP, keep_days=3)
