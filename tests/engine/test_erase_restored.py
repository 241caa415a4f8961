"""Erasures against what is put back from before them: an older log, and older keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from instanter.engine.erase import DAY_MS, RetentionOptions
from instanter.engine.loop import Engine
from instanter.events.envelope import Erased, decode_record
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.log.segments import SegmentReader
from instanter.privacy.erasures import read_erasures

from .harness import event, take, with_engine

START_MS = 1_700_000_000_000
KEEP = RetentionOptions(profiles=10)


def knows(engine: Engine, identifier: str) -> bool:
    try:
        engine.profiles.profile("default", identifier, now_ms=engine.clock.now_ms())
    except RequestRejected:
        return False
    return True


def put_back(source: Path, target: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target)


def erased_in(root: Path) -> list[Erased]:
    records = (decode_record(frame.payload) for frame in SegmentReader(RealDisk(), root / "log").read())
    return [record for record in records if isinstance(record, Erased)]


class Twice:
    """A shop of which a copy is made before somebody is erased in it."""

    def __init__(self, root: Path) -> None:
        self.live, self.backup = root / "live", root / "backup"
        self.clock = ManualClock(START_MS)

    def fill(self) -> None:
        async def work(engine: Engine) -> None:
            await take(engine, event(1), event(2, person="b1"))

        with_engine(self.live, work, clock=self.clock, retention=KEEP)
        shutil.copytree(self.live, self.backup)

    def erase(self) -> None:
        async def work(engine: Engine) -> None:
            self.clock.advance(1_000)
            await take(engine, event(3))
            self.clock.advance(1_000)
            await engine.eraser.erase("default", "anonymous:a1")

        with_engine(self.live, work, clock=self.clock, retention=KEEP)

    def restore_backup(self) -> None:
        """The backup with the newest keys, as one restores it."""
        put_back(self.live / "keys", self.backup / "keys")


@pytest.fixture
def shop(tmp_path: Path) -> Twice:
    shop = Twice(tmp_path)
    shop.fill()
    return shop


def test_late_and_repeated_events_stay_away_from_a_log_that_is_older_than_the_erasure(shop: Twice) -> None:
    async def come_again(engine: Engine) -> None:
        shop.clock.advance(1_000)
        await take(engine, event(1), event(4, at_ms=START_MS - 5), event(3))
        assert not knows(engine, "anonymous:a1"), "m-3 came after the copy was made"
        assert engine.meter.counts["events_withheld.erased"] == 3
        assert knows(engine, "anonymous:b1")

    async def anew(engine: Engine) -> None:
        await take(engine, event(9))
        assert knows(engine, "anonymous:a1")

    shop.erase()
    shop.restore_backup()
    with_engine(shop.backup, come_again, clock=shop.clock)
    told = erased_in(shop.backup)
    with_engine(shop.backup, come_again, clock=shop.clock, stop=False)
    assert erased_in(shop.backup) == told, "a second start has nothing to say"
    with_engine(shop.backup, anew, clock=shop.clock)


def test_a_log_from_before_the_person_ever_came_is_told_of_the_tombstone_as_well(tmp_path: Path) -> None:
    async def nobody(engine: Engine) -> None:
        await take(engine, event(2, person="b1"))

    async def look(engine: Engine) -> None:
        await take(engine, event(1), event(4, at_ms=START_MS - 5))
        assert not knows(engine, "anonymous:a1")
        assert len(engine.partition.tombstones) == 1

    shop, early = Twice(tmp_path), tmp_path / "early"
    with_engine(early, nobody, clock=shop.clock)
    shop.fill()
    shop.erase()
    put_back(shop.live / "keys", early / "keys")
    with_engine(early, look, clock=shop.clock)


def test_tombstones_that_are_over_are_told_to_nobody(shop: Twice) -> None:
    async def come_again(engine: Engine) -> None:
        assert len(engine.partition.tombstones) == 0
        await take(engine, event(4, at_ms=START_MS - 5))
        assert knows(engine, "anonymous:a1")

    shop.erase()
    shop.restore_backup()
    shop.clock.advance(9 * DAY_MS)
    with_engine(shop.backup, come_again, clock=shop.clock)


@pytest.mark.parametrize("checkpoints", ["kept", "lost"])
def test_older_keys_put_back_do_not_bring_an_erased_person_back(shop: Twice, checkpoints: str) -> None:
    cells: list[int] = []

    async def before(engine: Engine) -> None:
        cells.append(engine.subjects.find("default", "anonymous:a1"))

    async def look(engine: Engine) -> None:
        assert not engine.subjects.has(cells)
        assert engine.subjects.find("default", "anonymous:a1") == 0
        assert engine.subjects.count == 1
        assert knows(engine, "anonymous:b1")
        await take(engine, event(1), event(4, at_ms=START_MS - 5))

    with_engine(shop.backup, before, clock=shop.clock, stop=False)
    shop.erase()
    put_back(shop.backup / "keys", shop.live / "keys")
    if checkpoints == "lost":
        shutil.rmtree(shop.live / "checkpoints")
    with_engine(shop.live, look, clock=shop.clock)
    slots = (shop.live / "keys" / "subjects.keys").read_bytes()
    assert cells[0].to_bytes(8, "little", signed=True) not in slots, "the key is destroyed on disk"
    listed = [erasure.cells for erasure in read_erasures(RealDisk(), shop.live / "keys" / "erasures")]
    assert listed == [tuple(cells)], "an older log finds the erasure as well"
    with_engine(shop.live, look, clock=shop.clock)
    assert len(list(read_erasures(RealDisk(), shop.live / "keys" / "erasures"))) == 1


def test_older_keys_put_back_do_not_bring_back_who_was_retired(shop: Twice) -> None:
    async def retire(engine: Engine) -> None:
        shop.clock.advance(11 * DAY_MS)
        await take(engine, event(5, person="c1"))
        assert await engine.eraser.retain() == 2

    async def look(engine: Engine) -> None:
        assert engine.subjects.find("default", "anonymous:a1") == 0
        assert engine.subjects.count == 0

    with_engine(shop.live, retire, clock=shop.clock, retention=KEEP)
    put_back(shop.backup / "keys", shop.live / "keys")
    with_engine(shop.live, look, clock=shop.clock, retention=KEEP)


def test_the_newest_keys_are_not_taken_for_older_ones(shop: Twice, caplog: pytest.LogCaptureFixture) -> None:
    async def retire(engine: Engine) -> None:
        shop.clock.advance(11 * DAY_MS)
        await engine.eraser.retain()

    async def nothing(engine: Engine) -> None: ...

    shop.erase()
    with_engine(shop.live, nothing, clock=shop.clock)
    with_engine(shop.live, retire, clock=shop.clock, retention=KEEP)
    with_engine(shop.live, nothing, clock=shop.clock)
    assert "older than erasures" not in caplog.text
