"""The simulated world notices what it is there to notice: each test breaks something, and a seed says so."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from instanter.engine.loop import Engine
from instanter.events.envelope import (
    Imported,
    KeyRevoked,
    LearnerDeclared,
    LearnerTurned,
    ModelPlaced,
    Record,
    Tied,
    Tracked,
    Unreadable,
)
from instanter.events.folding import UNFIT, Change
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import Bytes, Disk, WritableFile
from instanter.sim.disk import SimulatedDisk
from instanter.sim.world.accounts import Buried, Judged, Sent
from instanter.sim.world.run import SOMETIMES, Failed, Surroundings, World

from .worlds import Worlds

SEEDS = range(25)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


class _UnsyncedFile:
    def __init__(self, file: WritableFile) -> None:
        self.write = file.write
        self.truncate = file.truncate
        self.close = file.close
        self.is_at = file.is_at

    def sync(self) -> None:
        """Says that it was done."""


class LyingDisk:
    """Passes everything on to the disk of the world but syncs, or but what is to be overwritten."""

    def __init__(self, disk: Disk, lies: str) -> None:
        self._disk = disk
        self._lies = lies

    def __getattr__(self, name: str) -> object:
        return getattr(self._disk, name)

    def open(self, path: Path) -> WritableFile:
        file = self._disk.open(path)
        return _UnsyncedFile(file) if self._lies == "sync" else file

    def overwrite(self, path: Path, offset: int, content: Bytes) -> None:
        if self._lies != "overwrite":
            self._disk.overwrite(path, offset, content)


class LyingWorlds(Worlds):
    """Engines on a disk that lies."""

    def __init__(self, lies: str) -> None:
        super().__init__()
        self._lies = lies

    def open(self, surroundings: Surroundings) -> Engine:
        disk = LyingDisk(surroundings.disk, self._lies)
        return super().open(msgspec.structs.replace(surroundings, disk=disk))


class BackwardWorlds(Worlds):
    """Engines whose clock is the machine's as it is."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)

        class Raw(ManualClock):
            def now_ms(self) -> int:
                return surroundings.machine_ns() // 1_000_000

        raw = Raw()
        engine.clock = raw
        engine.intake._clock = raw
        return engine


class ForgetfulWorlds(Worlds):
    """Engines that take every message for a new one."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        fold = engine.partition.state.fold

        def forget(events: list[object]) -> object:
            return fold([msgspec.structs.replace(one, message=number) for number, one in enumerate(events, 1)])

        engine.partition.state.fold = forget
        return engine


class DeafWorlds(Worlds):
    """Engines that do not hear records of one kind."""

    def __init__(self, kind: type[Record]) -> None:
        super().__init__()
        self._kind = kind

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        prepare = engine.partition.parts.prepare

        def deaf(record: Record, end: int) -> list[Change]:
            return [] if isinstance(record, self._kind) else prepare(record, end)

        engine.partition.parts.prepare = deaf
        return engine


class CarelessWorlds(Worlds):
    """Engines that fold whatever they can of what is none."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        prepare = engine.partition.parts.prepare

        def careless(record: Record | Unreadable, end: int) -> list[Change]:
            try:
                return prepare(record, end)
            except UNFIT:
                return []

        engine.partition.parts.prepare = careless
        return engine


class TrustingWorlds(Worlds):
    """Engines that take an item for the one that they hold under its reference."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        catalogue = engine.partition.state.catalogue
        catalogue._own = lambda event: catalogue.items.get(catalogue.references.item(event.tenant, event.id))
        return engine


class StrangerWorlds(Worlds):
    """Engines that hear of no alias."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        links, put = engine.partition.links, engine.partition.links._put
        links._put = lambda tie: None if tie.kind == Tied.ALIAS else put(tie)
        return engine


class LastUserWorlds(Worlds):
    """Engines that give a shared device to one of its users."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        links = engine.partition.links
        links.user_of = lambda device: max(links._all_users(device), default=0)
        return engine


class AnonymousWorlds(Worlds):
    """Engines in which an event belongs to its device, whoever it names."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        fold = engine.partition.state.fold

        def misplace(events: list[Tracked]) -> object:
            return fold([msgspec.structs.replace(one, key=one.device or one.key) for one in events])

        engine.partition.state.fold = misplace
        return engine


class ObliviousWorlds(Worlds):
    """Engines in which what idle people have refused is forgotten with them."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        engine.eraser._refusals._refused = lambda cell: {}
        return engine


class UnfinishedWorlds(Worlds):
    """Engines that do not finish at their start what a life before did not come to the end of."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)

        async def finish() -> int:
            return 0

        engine.eraser.finish = finish
        return engine


class WelcomingWorlds(Worlds):
    """Engines that take late events of whoever was erased."""

    def open(self, surroundings: Surroundings) -> Engine:
        engine = super().open(surroundings)
        engine.gate._was_erased = lambda *late: False
        return engine


def broken(worlds: Worlds, seeds: Iterable[int]) -> list[str]:
    """What the first seed says that fails."""
    for seed in seeds:
        try:
            World(seed, worlds).run()
        except Failed as failed:
            return [str(failed)]
    return []


@pytest.mark.parametrize(("worlds", "seeds", "told"), [
    pytest.param(LyingWorlds("sync"), range(2, 5), "damaged at byte", id="syncs that do nothing"),
    # Not every seed has somebody erased whose keys are looked for again.
    pytest.param(LyingWorlds("overwrite"), range(10, 17), "P8", id="keys that stay"),
    # Not every seed has somebody come again who had refused, and was idle for longer than people are kept.
    pytest.param(ObliviousWorlds(), range(2, 3), "went with the keys", id="refusals that go with idle people"),
    # In some worlds it is noticed first that a clock that ran away was believed, as in those of the seeds 0 and 1.
    pytest.param(BackwardWorlds(), range(2, 26), "R10", id="a clock that goes back"),
    # In few seeds a life ends between the record of an erasure and the end of the keys.
    pytest.param(UnfinishedWorlds(), range(20, 23), "can be read", id="erasures that no start finishes"),
    pytest.param(WelcomingWorlds(), SEEDS, "was to be withheld: erased", id="late events of the erased"),
    pytest.param(ForgetfulWorlds(), range(2, 25), "P2", id="messages that are forgotten"),
    pytest.param(DeafWorlds(KeyRevoked), SEEDS, "P2", id="keys that are not revoked"),
    pytest.param(DeafWorlds(ModelPlaced), SEEDS, "rank, not", id="models that are not placed"),
    pytest.param(DeafWorlds(LearnerTurned), SEEDS, "the learner was to", id="learners that are not turned"),
    pytest.param(DeafWorlds(Imported), SEEDS, "P2", id="imports that are forgotten"),
    pytest.param(CarelessWorlds(), SEEDS, "P2", id="records that nobody can fold"),
    pytest.param(DeafWorlds(LearnerDeclared), SEEDS, "declared", id="learners that are not declared"),
    pytest.param(TrustingWorlds(), range(7, 25), "P2", id="items that are known by their references alone"),
    pytest.param(StrangerWorlds(), SEEDS, "is no alias", id="aliases that nobody knows"),
    pytest.param(LastUserWorlds(), SEEDS, "P2", id="shared devices that are somebody's"),
    pytest.param(AnonymousWorlds(), SEEDS, "P2", id="events that lie in the cell of their device"),
])
def test_what_is_broken_is_found_soon(worlds: Worlds, seeds: Iterable[int], told: str) -> None:
    found = broken(worlds, seeds)
    assert found
    assert told in found[0]


def test_an_event_that_waited_while_the_clock_stepped_is_judged_by_when_it_was_received() -> None:
    sent = Sent("m-1", "u1", "Product Viewed", b"", timestamp_ms=8_000, sent_at_ms=9_000)
    judged = Judged(sent, message=1, graves=(Buried(9_500, 99_000, frozenset()),), said=(0, True), is_known=False)
    assert [judged.withheld(received_ms) for received_ms in (10_000, 11_000)] == ["erased", ""]


def test_what_happens_in_some_worlds_happens_in_those_and_in_no_others() -> None:
    words = {
        "forged names": ("an event about twin-", "of thief's twin-", ": unfit_record"),
        "aliases": ("is nobody's alias",), "declared learners": ("sim.side learns from",),
    }  # fmt: skip
    assert words.keys() == set(SOMETIMES)
    for seed in (1, 4, 6, 15):
        world = World(seed, Worlds())
        world.run()
        told = "\n".join(world.trace)
        for name, said in words.items():
            assert [word in told for word in said] == [world.happens_in(name)] * len(said), (seed, name)


def test_a_failure_says_seed_life_step_and_promise() -> None:
    (line,) = broken(LyingWorlds("sync"), SEEDS)
    assert line.startswith("seed ")
    assert ", life " in line
    assert ", step " in line


def test_two_numbers_are_two_worlds_and_all_of_a_world_is_in_its_trace() -> None:
    worlds = Worlds()
    first, second = World(1, worlds), World(2, worlds)
    assert first.run() != second.run()
    told = "\n".join(first.trace + second.trace)
    for what in ("taken", "decided", "changed", "checkpoint", "on disk", "started with", "was damaged at"):
        assert what in told
    assert isinstance(first.disk, SimulatedDisk)
