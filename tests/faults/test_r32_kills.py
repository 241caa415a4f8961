"""R32: killed in the middle of a backup, a restore, an import, a model's making or placing, an erasure, a checkpoint.

The process ends by SIGKILL at a change of the disk, before it or after half of a write. The next start is whole or says
what to run, and nothing that was acknowledged is lost. Migrations are killed in `test_r28_migration`, power is lost in
`test_r6_checkpoint_crashes` and `test_s8_erasure_crashes`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instanter.engine.importing import Piece
from instanter.engine.loop import Engine
from instanter.foundation.clock import SystemClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import Disk, RealDisk
from instanter.foundation.errors import Broken
from instanter.log.segments import SegmentReader
from instanter.models.store import ModelStore
from instanter.ops import wiring
from instanter.ops.backup.making import back_up
from instanter.ops.backup.manifest import check_backup
from instanter.ops.backup.restoring import restore
from instanter.ops.config import load
from instanter.ops.datadir import DataDirectory
from instanter.ops.settings import Config
from instanter.privacy.erasures import read_erasures

from ..engine.harness import event, stock_shop, take
from ..models.examples import small_artefact
from .conftest import Figures
from .test_r28_migration import DyingDisk

pytestmark = [pytest.mark.faults, pytest.mark.about("P1", "P8")]

KILLS, KILLS_SHORT = 50, 3
KEPT = 60
"""Events that were acknowledged before."""


class KilledDisk(DyingDisk):
    """The machine's disk; from when it is armed the process is killed at its n-th change."""

    def __init__(self, dies_at: int) -> None:
        super().__init__(0)
        self._dies_at = dies_at

    def arm(self) -> None:
        self._left = self._dies_at

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


Act = Callable[[Path, KilledDisk, "Noted"], None]


class Noted:
    """What was acknowledged, in a file that a kill leaves."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, what: str) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(what.encode() + b"\n")

    def lines(self) -> list[str]:
        return self._path.read_text().split() if self._path.exists() else []


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("config") / "instanter.toml"
    path.write_text("[log]\nsegment_mb = 1\n[state]\nmemory_mb = 64\n")
    return load(path)


def serving(config: Config, data: Path, work: Callable[[Engine], Any], disk: Disk | None = None) -> Any:
    """Start as the server does, on this disk, do something, and end well."""
    if disk is not None:
        wiring.RealDisk = lambda: disk  # type: ignore[assignment, misc]
    make = wiring.open_engine(config, data, may_make_master_key=True)

    async def run() -> Any:
        engine = make()
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.stop(Deadline(10_000))

    return asyncio.run(run())


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that was left well, with a backup of it beside."""
    data = tmp_path_factory.mktemp("whole") / "data"

    async def fill(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, *(event(number, person=f"p{number % 6}") for number in range(KEPT)))
        await engine.models._put("default", "home.recommended", "", "", actor="tests", reason="placed")

    serving(config, data, fill)
    back_up(DataDirectory(RealDisk(), data), data.with_name("backup"), clock=SystemClock())
    return data


def killed(act: Act, data: Path, at: int, noted: Noted) -> bool:
    """Whether a process that did it was killed on its way; else it came to its end."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            act(data, KilledDisk(at), noted)
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code != 0


# What is done, in a process of its own.


def a_backup(data: Path, disk: KilledDisk, noted: Noted) -> None:
    disk.arm()
    back_up(DataDirectory(disk, data), data.with_name("new-backup"), clock=SystemClock())
    noted.note("made")


def a_restore(data: Path, disk: KilledDisk, noted: Noted) -> None:
    disk.arm()
    restore(DataDirectory(disk, data.with_name("restored")), data.with_name("backup"), keys=data / "keys")
    noted.note("restored")


def a_model(data: Path, disk: KilledDisk, noted: Noted) -> None:
    disk.arm()
    store = ModelStore(disk, data / "models")
    for number in range(3):
        noted.note(store.put(small_artefact(made_ms=number)))


def _served(config: Config, work: Callable[[Engine, Noted], Any]) -> Act:
    def act(data: Path, disk: KilledDisk, noted: Noted) -> None:
        async def armed(engine: Engine) -> None:
            disk.arm()
            await work(engine, noted)

        serving(config, data, armed, disk)

    return act


async def an_import(engine: Engine, noted: Noted) -> None:
    for first in range(0, 200, 20):
        lines = range(first + 1, first + 21)
        piece = Piece(
            events=[event(1_000 + line, person=f"i{line % 9}") for line in lines], lines=list(lines),
            import_id=b"import-1", of=200, through=first + 20,
        )  # fmt: skip
        taken = await engine.importer.take(piece, tenant="default")
        noted.note(str(taken.taken))


async def a_placing(engine: Engine, noted: Noted) -> None:
    for number in range(8):
        await engine.models._put("default", "home.hero", f"linear@{number}", "", actor="tests", reason="placed")
        noted.note(str(number))


async def an_erasure(engine: Engine, noted: Noted) -> None:
    for number in range(3):
        await engine.eraser.erase("default", f"anonymous:p{number}")
        noted.note(f"p{number}")


async def a_checkpoint(engine: Engine, noted: Noted) -> None:
    for number in range(4):
        await take(engine, event(2_000 + number, person=f"c{number}"))
        noted.note(str(number))
        await engine.checkpoint()


# What has to be so afterwards.


def refusal(look: Callable[[], object]) -> str:
    """Why something is refused; "" if it is not."""
    try:
        look()
    except Broken as error:
        return str(error)
    return ""


def after_a_backup(config: Config, data: Path, noted: Noted) -> None:
    made, other = data.with_name("new-backup"), DataDirectory(RealDisk(), data.with_name("other"))
    why = refusal(lambda: check_backup(RealDisk(), made))
    if why:
        assert (noted.lines(), "is not a backup" in why) == ([], True), why
        assert "is not a backup" in refusal(lambda: restore(other, made, keys=data / "keys"))
        return
    restore(other, made, keys=data / "keys")
    assert hash_of(config, other.root) == hash_of(config, data)


def after_a_restore(config: Config, data: Path, noted: Noted) -> None:
    restored = DataDirectory(RealDisk(), data.with_name("restored"))
    why = refusal(restored.check)
    if why:
        assert not noted.lines()
        assert "run it again" in why or "is not a data directory" in why, why
        restore(restored, data.with_name("backup"), keys=data / "keys")
    assert hash_of(config, restored.root) == hash_of(config, data)


def after_a_model(config: Config, data: Path, noted: Noted) -> None:
    kept = ModelStore(RealDisk(), data / "models").list()
    assert not [one.damage for one in kept if one.damage]
    assert set(noted.lines()) <= {one.id for one in kept}
    assert ModelStore(RealDisk(), data / "models").put(small_artefact(made_ms=99))
    hash_of(config, data)


def after_an_import(config: Config, data: Path, noted: Noted) -> None:
    async def go_on(engine: Engine) -> tuple[int, int]:
        (row,) = await engine.importer.listed("default") or [None]
        taken = row.taken if row else 0
        assert taken >= max(map(int, noted.lines()), default=0)
        await an_import(engine, noted)
        return taken, engine.partition.state.cells_used

    _, people = serving(config, data, go_on)
    assert people == 6 + 9
    assert messages(data) == KEPT + 200, "each line once"


def after_a_placing(config: Config, data: Path, noted: Noted) -> None:
    async def placed(engine: Engine) -> int:
        models = [one.model for one in engine.models.placed("default") if one.placement == "home.hero"]
        return int(models[0].partition("@")[2]) if models else -1

    assert serving(config, data, placed) >= max(map(int, noted.lines()), default=-1)


def after_an_erasure(config: Config, data: Path, noted: Noted) -> None:
    async def there(engine: Engine) -> set[str]:
        return {f"p{number}" for number in range(6) if engine.subjects.find("default", f"anonymous:p{number}")}

    left = serving(config, data, there)
    assert not left & set(noted.lines())
    assert {"p3", "p4", "p5"} <= left
    assert len(list(read_erasures(RealDisk(), data / "keys" / "erasures"))) == 6 - len(left)


def after_a_checkpoint(config: Config, data: Path, noted: Noted) -> None:
    assert messages(data) >= KEPT + len(noted.lines())
    hash_of(config, data)


def messages(data: Path) -> int:
    return sum(frame.partition != 0xFFFF for frame in SegmentReader(RealDisk(), data / "log").read())


def hash_of(config: Config, data: Path) -> str:
    """The state that a start finds, all of what was kept in it."""

    async def look(engine: Engine) -> str:
        assert engine.partition.state.cells_used >= 6
        assert messages(data) >= KEPT
        return engine.partition.state.hash()

    return str(serving(config, data, look))


CASES: dict[str, tuple[Callable[[Config], Act], Callable[[Config, Path, Noted], None]]] = {
    "backup": (lambda config: a_backup, after_a_backup),
    "restore": (lambda config: a_restore, after_a_restore),
    "train": (lambda config: a_model, after_a_model),
    "place": (lambda config: _served(config, a_placing), after_a_placing),
    "import": (lambda config: _served(config, an_import), after_an_import),
    "erase": (lambda config: _served(config, an_erasure), after_an_erasure),
    "checkpoint": (lambda config: _served(config, a_checkpoint), after_a_checkpoint),
}


@pytest.mark.parametrize("what", CASES)
def test_r32_killed_in_the_middle(
    what: str, whole: Path, config: Config, tmp_path: Path, full: bool, figures: Figures
) -> None:
    make, assert_whole = CASES[what]
    kills, at, stride, wanted = 0, 1, 1 if full else 9, KILLS if full else KILLS_SHORT
    while kills < wanted:
        root = tmp_path / f"at-{kills}-{at}"
        data = shutil.copytree(whole, root / "data")
        shutil.copytree(whole.with_name("backup"), root / "backup")
        noted = Noted(root / "noted")
        died = killed(make(config), data, at, noted)
        kills += died
        assert_whole(config, data, noted)
        at = at + stride if died else 1
        shutil.rmtree(root)
    figures(**{what: {"kills": kills, "lost": 0}})
